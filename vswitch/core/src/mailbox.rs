//! Commands from the control thread to one worker, and how far the worker has come.
//!
//! **Order is the point.** A snapshot that names a port must not arrive before the worker can send on
//! it, and a port's handle must not be taken away before the snapshot that forgets it. Commands travel in
//! one queue, first in first out, so both are free.
//!
//! **Who frees what.** A worker takes commands between two batches. It hands everything it gives up
//! (queues, transmit handles) back through the mailbox; the control thread keeps every published snapshot
//! until all workers have passed it. So destructors, which may unmap a ring or close a device, run on the
//! control side and never between two batches.
//!
//! **Observed.** After adopting a snapshot the worker stores its generation: *replace first, then
//! announce*. From then on it refers to nothing older. "All workers observed generation N" is what
//! closing a port waits for.
//!
//! **Waking.** Posting to a worker that sleeps would go unnoticed until the next frame; whoever posts
//! wakes it ([`MailboxTx::wake`]; the daemon's eventfd).
//!
//! **Passing a queue on.** A worker gives a queue to another one by the other's mailbox, so that frames wait
//! for one thread only, and then says so by its own. *Give first, then say*: what the control side posts to
//! the other worker after it heard comes behind the queue.

#[cfg(all(test, shuttle))]
mod schedule;

use crate::counters::PortCounters;
use crate::originate::Originals;
use crate::port::PortTx;
use crate::queue::{QueueId, RxQueue};
use crate::snapshot::Snapshot;
use crate::sync::{Arc, AtomicU64, Fifo, Ordering, mutant, preempt};
use crossbeam::utils::CachePadded;
use std::fmt::Debug;
use vswitch_base::{Generation, PortIndex};

/// What a worker is told.
#[derive(Debug)]
pub enum WorkerCommand {
    /// Use this configuration from now on.
    Publish(Arc<Snapshot>),
    /// Poll this queue.
    AddQueue(RxQueue),
    /// Give that queue to another worker, and say so.
    PassQueue {
        /// The queue.
        queue: QueueId,
        /// Whose it is to be.
        to: MailboxTx,
    },
    /// Hand back all queues of that port.
    RemoveQueues {
        /// The port.
        port: PortIndex,
    },
    /// Send on that port through this from now on; hand the former handle back. With `None` copies for
    /// the port are counted as `tx-down`.
    SetTx {
        /// The port.
        port: PortIndex,
        /// The handle.
        tx: Option<Box<dyn PortTx>>,
        /// Where to count.
        counters: Arc<PortCounters>,
    },
    /// Forget the port's handle and counters.
    RemoveTx {
        /// The port.
        port: PortIndex,
    },
    /// Send frames of the switch itself by that port, and hand their memory back.
    Send {
        /// The port: a device's, not a bond's.
        port: PortIndex,
        /// The frames.
        frames: Originals,
    },
    /// Keep a copy of frames of that port for a capture, or stop with `None`.
    SetTap {
        /// The port.
        port: PortIndex,
        /// Where to put them.
        tap: Option<Arc<crate::capture::CaptureTap>>,
    },
    /// Leave the loop.
    Stop,
}

/// What a worker gave up.
#[derive(Debug)]
pub enum Retired {
    /// A queue.
    Queue(RxQueue),
    /// A queue, which is in the mailbox of the worker that it was to be passed to.
    Passed(QueueId),
    /// Frames that were sent.
    Sent(Originals),
    /// A transmit handle.
    Tx(PortIndex, Box<dyn PortTx>),
}

/// Means to wake a worker that may sleep. Calls that come before it looks may count as one.
pub trait Wake: Send + Sync + Debug {
    /// Wakes it.
    fn wake(&self);
}

#[derive(Debug, Default)]
struct Shared {
    wake: Option<Box<dyn Wake>>,
    commands: Fifo<WorkerCommand>,
    retired: Fifo<Retired>,
    observed: CachePadded<AtomicU64>,
}

/// The control side of one worker's mailbox.
#[derive(Clone, Debug)]
pub struct MailboxTx(Arc<Shared>);

/// The worker's side.
#[derive(Debug)]
pub struct MailboxRx(Arc<Shared>);

/// The two ends of a new mailbox of a worker that never sleeps.
#[must_use]
pub fn mailbox() -> (MailboxTx, MailboxRx) {
    new_mailbox(None)
}

/// The two ends of a new mailbox of a worker that is woken so.
#[must_use]
pub fn mailbox_with(wake: Box<dyn Wake>) -> (MailboxTx, MailboxRx) {
    new_mailbox(Some(wake))
}

fn new_mailbox(wake: Option<Box<dyn Wake>>) -> (MailboxTx, MailboxRx) {
    let shared = Arc::new(Shared {
        wake,
        ..Shared::default()
    });
    (MailboxTx(Arc::clone(&shared)), MailboxRx(shared))
}

impl MailboxTx {
    /// Puts a command at the end. The caller wakes the worker when all that it has to post is there.
    pub fn post(&self, command: WorkerCommand) {
        self.0.commands.push(command);
    }

    /// Lets the worker look at its mailbox now.
    pub fn wake(&self) {
        if let Some(wake) = &self.0.wake {
            wake.wake();
        }
    }

    /// The newest generation that the worker uses; nothing older is referenced by it.
    #[must_use]
    pub fn observed(&self) -> Generation {
        Generation(self.0.observed.load(Ordering::Acquire))
    }

    /// Something the worker gave up.
    #[must_use]
    pub fn take_retired(&self) -> Option<Retired> {
        self.0.retired.pop()
    }
}

impl MailboxRx {
    /// The next command. One load when there is none.
    #[inline]
    pub fn take(&self) -> Option<WorkerCommand> {
        if self.0.commands.is_empty() {
            return None;
        }
        self.0.commands.pop()
    }

    /// Announces that `generation` is in use and nothing older is.
    pub fn observe(&self, generation: Generation) {
        self.0.observed.store(generation.0, Ordering::Release);
        preempt();
    }

    /// Hands something back.
    pub fn retire(&self, retired: Retired) {
        self.0.retired.push(retired);
    }
}

/// Publishes snapshots to all workers and keeps each until all have passed it.
#[derive(Debug, Default)]
pub struct Publisher {
    workers: Vec<MailboxTx>,
    kept: std::collections::VecDeque<Arc<Snapshot>>,
}

impl Publisher {
    /// A publisher to these workers.
    #[must_use]
    pub fn new(workers: Vec<MailboxTx>) -> Self {
        Self {
            workers,
            kept: std::collections::VecDeque::new(),
        }
    }

    /// The mailboxes, by worker.
    #[must_use]
    pub fn workers(&self) -> &[MailboxTx] {
        &self.workers
    }

    /// Sends a snapshot to every worker. The caller wakes them.
    pub fn publish(&mut self, snapshot: &Arc<Snapshot>) {
        for worker in &self.workers {
            worker.post(WorkerCommand::Publish(Arc::clone(snapshot)));
        }
        self.kept.push_back(Arc::clone(snapshot));
    }

    /// The newest generation that all workers use; frees snapshots older than it.
    pub fn collect(&mut self) -> Generation {
        let all = self.workers.iter().map(MailboxTx::observed);
        let passed_by_all = if mutant("free_at_the_first_to_pass") {
            all.max()
        } else {
            all.min()
        };
        let observed = passed_by_all.unwrap_or_default();
        // What has just been observed is in use: only what is older goes.
        let free = if mutant("free_in_use") {
            observed.next()
        } else {
            observed
        };
        while self.kept.front().is_some_and(|s| s.generation < free) {
            self.kept.pop_front();
        }
        observed
    }
}
