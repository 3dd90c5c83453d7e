//! Threads that close what nobody waits for: devices that were made for one port and go with it.
//!
//! The kernel takes 10 to 30 ms to let go of a TAP, a packet socket or a pair of devices (it waits until no core
//! looks at it any more), and lets several go at once. On the effects thread that would hold up whoever comes
//! next: 200 pods that end at once took 6 s there.

use crossbeam::channel::{Sender, unbounded};
use std::io;
use std::thread::JoinHandle;
use vswitch_core::mailbox::Retired;
use vswitch_io::{PortKeep, link};

/// Threads; most of their time is waiting.
const THREADS: usize = 8;

/// What is left of a port.
#[derive(Debug)]
pub(crate) struct Remains {
    /// The port, for the log.
    pub(crate) name: String,
    /// Its queues and handles.
    pub(crate) handles: Vec<Retired>,
    /// What kept its device.
    pub(crate) keep: PortKeep,
    /// The device to delete, by its number in the daemon's namespace: its name may be another's by then.
    pub(crate) device: Option<u32>,
}

impl Remains {
    fn bury(self) {
        // First: with the device everything goes that hangs on it.
        if let Some(ifindex) = self.device
            && let Err(error) = link::delete(ifindex)
        {
            tracing::warn!(port = self.name, %error, "a device could not be deleted");
        }
        self.keep.leave();
        drop(self.handles);
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Reaper {
    work: Option<Sender<Remains>>,
    threads: Vec<JoinHandle<()>>,
}

impl Reaper {
    /// Starts the threads.
    ///
    /// # Errors
    /// When one cannot be started.
    pub(crate) fn start() -> io::Result<Self> {
        let (work, inbox) = unbounded::<Remains>();
        let thread = |number: usize| {
            let inbox = inbox.clone();
            std::thread::Builder::new()
                .name(format!("reaper-{number}"))
                .spawn(move || inbox.iter().for_each(Remains::bury))
        };
        let threads = (0..THREADS).map(thread).collect::<io::Result<_>>()?;
        Ok(Self {
            work: Some(work),
            threads,
        })
    }

    /// Hands over what is left of a port.
    pub(crate) fn take(&self, remains: Remains) {
        if let Some(work) = &self.work
            && let Err(error) = work.send(remains)
        {
            error.into_inner().bury();
        }
    }
}

impl Drop for Reaper {
    /// Waits until all is closed: a daemon that has ended holds nothing.
    fn drop(&mut self) {
        self.work = None;
        for thread in self.threads.drain(..) {
            // A panic has taken the process with it (panic = abort).
            let _ = thread.join();
        }
    }
}
