//! Network namespaces: a handle, and running something inside one.
//!
//! A thread that enters another namespace is a short-lived thread of its own, so that nobody else's
//! system calls are ever made in the wrong place. Effects thread and tests only: this blocks.
#![expect(
    unsafe_code,
    reason = "unshare(2) is unsafe for flags other than the one used here"
)]

use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// A network namespace, kept alive by this handle. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct NetNs(Arc<OwnedFd>);

impl NetNs {
    /// The namespace behind a path such as `/run/netns/blue` or `/proc/1234/ns/net`.
    ///
    /// # Errors
    /// When the path cannot be opened. That it is a namespace shows at the first use.
    pub fn open(path: &Path) -> io::Result<Self> {
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self::from(fd))
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn current() -> io::Result<Self> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// A new, empty namespace (its loopback is down), which ends with the last handle and device
    /// descriptor in it.
    ///
    /// # Errors
    /// `EPERM` without CAP_SYS_ADMIN.
    pub fn new() -> io::Result<Self> {
        join(
            std::thread::Builder::new()
                .name("netns-new".into())
                .spawn(|| {
                    // SAFETY: CLONE_NEWNET alone changes what this thread's later calls see; it shares no
                    // descriptor table or memory away, which is what makes other flags unsafe.
                    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)? };
                    Self::current()
                })?,
        )
    }

    /// Runs `work` in this namespace, on a thread of its own, and waits for it.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or what `work` returns. A panic in `work` goes on here.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let enter = || {
            rustix::thread::move_into_link_name_space(
                self.0.as_fd(),
                Some(LinkNameSpaceType::Network),
            )?;
            work()
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("netns".into());
            match thread.spawn_scoped(scope, enter)?.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Moves the calling thread into this namespace for good.
    ///
    /// # Errors
    /// `EPERM` without CAP_SYS_ADMIN, `EINVAL` when the handle is no network namespace.
    pub fn enter(&self) -> io::Result<()> {
        rustix::thread::move_into_link_name_space(
            self.0.as_fd(),
            Some(LinkNameSpaceType::Network),
        )?;
        Ok(())
    }

    /// A number that is the same for two handles of one namespace, as long as it lives.
    ///
    /// # Errors
    /// When the descriptor cannot be examined.
    pub fn id(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(self.0.as_fd())?.st_ino)
    }
}

impl From<OwnedFd> for NetNs {
    fn from(fd: OwnedFd) -> Self {
        Self(Arc::new(fd))
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn join<T>(thread: std::thread::JoinHandle<io::Result<T>>) -> io::Result<T> {
    match thread.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
