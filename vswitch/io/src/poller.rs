//! Readiness for one worker: epoll over the descriptors of its queues, and a wake from outside.
//!
//! Level-triggered: a descriptor is reported as long as it is ready. A [`Waker`] may be cloned and
//! used from any thread; wakes that come before the poller looks are one. The poller itself belongs to
//! one worker. Nothing here allocates after construction.

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a descriptor was added as; chosen by the caller, returned by [`Poller::wait`].
/// `u64::MAX` is the poller's own.
pub type Token = u64;

const WAKE: Token = Token::MAX;
/// Events of one wait; more are reported by the next one.
const EVENTS: usize = 64;

/// Waits for descriptors to be readable.
pub struct Poller {
    epoll: OwnedFd,
    waker: Waker,
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { epoll, waker, .. } = self;
        f.debug_struct("Poller")
            .field("epoll", epoll)
            .field("waker", waker)
            .finish_non_exhaustive()
    }
}

/// Ends a [`Poller::wait`], now or the next one.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Wake>);

#[derive(Debug)]
struct Wake {
    eventfd: OwnedFd,
    /// A wake was sent that the poller did not see yet.
    pending: AtomicBool,
}

impl Waker {
    /// Ends the current wait, or the next one when there is none. Any thread; a system call only for
    /// the first wake since the poller last looked.
    ///
    /// # Errors
    /// What writing to the eventfd said; it does not fail in practice.
    pub fn wake(&self) -> io::Result<()> {
        if !self.0.pending.swap(true, Ordering::AcqRel) {
            rustix::io::write(&self.0.eventfd, &1_u64.to_ne_bytes())?;
        }
        Ok(())
    }
}

impl vswitch_core::mailbox::Wake for Waker {
    /// Writing to an eventfd does not fail; if it did, the worker would look within its nap.
    fn wake(&self) {
        let _looks_after_its_nap = Self::wake(self);
    }
}

/// What a wait found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Waited {
    /// Somebody called [`Waker::wake`].
    pub woken: bool,
    /// Descriptors that are ready, or that have an error to fetch.
    pub ready: usize,
}

impl Poller {
    /// # Errors
    /// When there are no descriptors left.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let poller = Self {
            epoll,
            waker: Waker(Arc::new(Wake {
                eventfd,
                pending: AtomicBool::new(false),
            })),
        };
        poller.register(poller.waker.0.eventfd.as_fd(), WAKE)?;
        Ok(poller)
    }

    /// A handle to end waits from any thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Reports `fd` as `token` when it is readable. The caller keeps the descriptor open until
    /// [`Self::remove`].
    ///
    /// # Errors
    /// `EEXIST` when it was added before, `EPERM` for a descriptor that cannot be polled,
    /// `InvalidInput` for the reserved token.
    pub fn add(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        if token == WAKE {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.register(fd, token)
    }

    /// As [`Self::add`], for the bare number that a `PortRx` gives out.
    ///
    /// # Errors
    /// As [`Self::add`], and `EBADF` for a number that is not open.
    pub fn add_raw(&self, fd: RawFd, token: Token) -> io::Result<()> {
        self.add(crate::sys::borrow(fd)?.as_fd(), token)
    }

    /// Stops reporting `fd`. One that was never added, or is closed, is a success.
    ///
    /// # Errors
    /// What epoll said.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        match epoll::delete(&self.epoll, fd) {
            Ok(()) | Err(rustix::io::Errno::NOENT | rustix::io::Errno::BADF) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`Self::remove`], for the bare number that a `PortRx` gives out.
    ///
    /// # Errors
    /// As [`Self::remove`].
    pub fn remove_raw(&self, fd: RawFd) -> io::Result<()> {
        match crate::sys::borrow(fd) {
            Ok(fd) => self.remove(fd),
            Err(_closed) => Ok(()),
        }
    }

    /// Waits until a descriptor is ready, somebody wakes us, or `timeout` passed (`None`: for ever,
    /// zero: only looks). Calls `take` with the token of each ready descriptor.
    ///
    /// # Errors
    /// What epoll said; an interrupting signal counts as nothing found.
    pub fn wait(
        &mut self,
        timeout: Option<Duration>,
        mut take: impl FnMut(Token),
    ) -> io::Result<Waited> {
        let timeout = timeout.map(|t| Timespec {
            tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: t.subsec_nanos().into(),
        });
        // On the stack: an event can hold a pointer, which would tie the poller to one thread.
        let none = epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        };
        let mut events = [none; EVENTS];
        let count = match epoll::wait(&self.epoll, &mut events[..], timeout.as_ref()) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let mut waited = Waited::default();
        for event in &events[..count] {
            let token = event.data.u64();
            if token == WAKE {
                waited.woken = true;
            } else {
                waited.ready += 1;
                take(token);
            }
        }
        if waited.woken {
            // First empty the counter, then allow new wakes; the other way round a wake between the
            // two would leave the flag set over an empty counter for ever. One that comes between
            // now writes nothing, but its message is seen: the caller looks at its mailbox after
            // this, and the swap acquires what the waker released.
            let mut counter = [0; 8];
            let _emptied = rustix::io::read(&self.waker.0.eventfd, &mut counter);
            self.waker.0.pending.swap(false, Ordering::AcqRel);
        }
        Ok(waited)
    }

    fn register(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakes_from_other_threads_are_coalesced_and_never_lost() {
        let mut poller = Poller::new().expect("epoll");
        let waker = poller.waker();
        for _ in 0..100 {
            let waker = waker.clone();
            let thread = std::thread::spawn(move || {
                for _ in 0..3 {
                    waker.wake().expect("wake");
                }
            });
            let waited = poller
                .wait(Some(Duration::from_secs(10)), |_| {})
                .expect("wait");
            assert!(waited.woken);
            thread.join().expect("no panic");
            poller.wait(Some(Duration::ZERO), |_| {}).expect("wait");
        }
        let waited = poller.wait(Some(Duration::ZERO), |_| {}).expect("wait");
        assert_eq!(waited, Waited::default());
    }

    #[test]
    fn a_readable_descriptor_is_reported_until_it_is_removed() {
        let mut poller = Poller::new().expect("epoll");
        let (reader, mut writer) = std::os::unix::net::UnixStream::pair().expect("pair");
        poller.add(reader.as_fd(), 7).expect("add");
        assert!(poller.add(reader.as_fd(), 7).is_err());
        assert!(poller.add(writer.as_fd(), u64::MAX).is_err());
        io::Write::write_all(&mut writer, b"x").expect("write");
        for _ in 0..2 {
            let mut seen = Vec::new();
            let waited = poller.wait(None, |token| seen.push(token)).expect("wait");
            assert_eq!((waited.ready, seen), (1, vec![7]));
        }
        poller.remove(reader.as_fd()).expect("remove");
        poller
            .remove(reader.as_fd())
            .expect("removing twice is a success");
        let waited = poller.wait(Some(Duration::ZERO), |_| {}).expect("wait");
        assert_eq!(waited.ready, 0);
    }
}
