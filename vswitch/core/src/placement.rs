//! Which worker serves which receive queue: handing ports to the workers, moving queues, taking ports back.
//!
//! The control side of all mailboxes, as far as queues and handles go.
//!
//! **Moving a queue.** The worker that has it is told to pass it to another. It does so between two breaths,
//! when everything it received has been sent, and wakes the other, which polls it from its next breath on.
//! What arrives meanwhile waits in the queue itself. At no time do two workers have it, so the frames of a
//! flow, which all come by one queue, stay in order.
//!
//! **Taking a port back** while queues of it move: the workers are asked when all have been passed on, so
//! that the order to give everything back comes behind each queue in its mailbox.
//!
//! One thread. [`Placement::collect`] wakes the workers that it posts to, the other calls leave that to the
//! caller.

#[cfg(all(test, shuttle))]
mod schedule;
#[cfg(test)]
mod tests;

use crate::balance::Measured;
use crate::counters::PortCounters;
use crate::mailbox::{MailboxTx, Retired, WorkerCommand};
use crate::port::{PortRx, PortTx};
use crate::queue::{Gauge, QueueId, RxQueue};
use crate::sync::{Arc, mutant};
use std::collections::BTreeMap;
use vswitch_base::{Duration, PortIndex};

/// See the module.
#[derive(Debug)]
pub struct Placement {
    workers: Vec<MailboxTx>,
    ports: BTreeMap<PortIndex, Placed>,
    /// How many queues each worker serves or is about to.
    queues: Vec<usize>,
}

/// An attached port.
#[derive(Debug)]
struct Placed {
    queues: Vec<PlacedQueue>,
    /// How many workers have a handle to send by.
    handles: usize,
    /// Queues and handles that are still to come back: the port is being detached.
    awaited: Option<usize>,
}

impl Placed {
    fn is_moving(&self) -> bool {
        self.queues.iter().any(|queue| queue.next.is_some())
    }
}

#[derive(Debug)]
struct PlacedQueue {
    /// Who has it.
    worker: usize,
    /// Who is to have it, until it has been passed on.
    next: Option<usize>,
    gauge: Gauge,
}

/// What came back from the workers.
#[derive(Debug, Default)]
pub struct Collected {
    /// Ports of which everything is back.
    pub complete: Vec<PortIndex>,
    /// To be dropped where that may block.
    pub back: Vec<Retired>,
}

impl Placement {
    /// Nothing placed on any of these workers.
    #[must_use]
    pub fn new(workers: Vec<MailboxTx>) -> Self {
        Self {
            queues: vec![0; workers.len()],
            workers,
            ports: BTreeMap::new(),
        }
    }

    /// Hands a port to the workers: every worker can send on it and counts in its own of `counters`; its
    /// queues go to those with fewest. A worker without a handle counts copies as `tx-down`.
    pub fn attach(
        &mut self,
        port: PortIndex,
        rx: Vec<Box<dyn PortRx>>,
        tx: Vec<Box<dyn PortTx>>,
        counters: &[Arc<PortCounters>],
    ) {
        let handles = tx.len().min(self.workers.len());
        let mut tx = tx.into_iter();
        for (worker, counters) in self.workers.iter().zip(counters) {
            let (tx, counters) = (tx.next(), Arc::clone(counters));
            worker.post(WorkerCommand::SetTx { port, tx, counters });
        }
        let mut queues = Vec::with_capacity(rx.len());
        for (number, rx) in (0..).zip(rx) {
            let queue = RxQueue::new(QueueId { port, number }, rx);
            let fewest = (0..self.workers.len()).min_by_key(|w| self.queues[*w]);
            let worker = fewest.unwrap_or(0);
            queues.push(PlacedQueue {
                worker,
                next: None,
                gauge: Gauge::new(Arc::clone(queue.load())),
            });
            self.queues[worker] += 1;
            self.workers[worker].post(WorkerCommand::AddQueue(queue));
        }
        let placed = Placed {
            queues,
            handles,
            awaited: None,
        };
        self.ports.insert(port, placed);
    }

    /// Asks the workers for a port's queues and handles. True when there is nothing to wait for; else
    /// [`Self::collect`] tells when all are back.
    pub fn detach(&mut self, port: PortIndex) -> bool {
        let Some(placed) = self.ports.get_mut(&port) else {
            return true;
        };
        if placed.awaited.is_none() {
            placed.awaited = Some(placed.queues.len() + placed.handles);
            for queue in &placed.queues {
                self.queues[queue.next.unwrap_or(queue.worker)] -= 1;
            }
            if !placed.is_moving() || mutant("ask_at_once") {
                ask_back(&self.workers, port);
            }
        }
        let nothing = placed.awaited == Some(0);
        if nothing {
            self.ports.remove(&port);
        }
        nothing
    }

    /// Begins to move a queue to another worker; returns the one that has it and is to be woken. `None`, and
    /// nothing happens, when there is no such queue or worker, the worker has it already, the queue is moving,
    /// or its port is being detached.
    pub fn move_queue(&mut self, id: QueueId, to: usize) -> Option<usize> {
        let placed = self.ports.get_mut(&id.port)?;
        let queue = placed.queues.get_mut(usize::from(id.number))?;
        let refused = placed.awaited.is_some() || queue.next.is_some() || queue.worker == to;
        if refused || to >= self.workers.len() {
            return None;
        }
        queue.next = Some(to);
        self.queues[queue.worker] -= 1;
        self.queues[to] += 1;
        self.workers[queue.worker].post(WorkerCommand::PassQueue {
            queue: id,
            to: self.workers[to].clone(),
        });
        Some(queue.worker)
    }

    /// Takes what the workers gave back.
    pub fn collect(&mut self) -> Collected {
        let mut collected = Collected::default();
        for from in 0..self.workers.len() {
            while let Some(retired) = self.workers[from].take_retired() {
                self.take_back(retired, &mut collected);
            }
        }
        collected
    }

    fn take_back(&mut self, retired: Retired, collected: &mut Collected) {
        let port = match &retired {
            Retired::Queue(queue) => queue.id.port,
            Retired::Tx(port, _) => *port,
            Retired::Passed(id) => return self.passed(*id),
            Retired::Sent(_) => return collected.back.push(retired),
        };
        collected.back.push(retired);
        let Some(placed) = self.ports.get_mut(&port) else {
            return;
        };
        // A handle that another replaced is not awaited.
        placed.awaited = placed.awaited.map(|left| left.saturating_sub(1));
        if placed.awaited == Some(0) {
            self.ports.remove(&port);
            collected.complete.push(port);
        }
    }

    /// A queue is in its next worker's mailbox.
    fn passed(&mut self, id: QueueId) {
        let Some(placed) = self.ports.get_mut(&id.port) else {
            return;
        };
        if let Some(queue) = placed.queues.get_mut(usize::from(id.number)) {
            queue.worker = queue.next.take().unwrap_or(queue.worker);
        }
        let is_time = placed.awaited.is_some() && !placed.is_moving();
        if is_time && !mutant("ask_at_once") {
            ask_back(&self.workers, id.port);
            self.workers.iter().for_each(MailboxTx::wake);
        }
    }

    /// Ends an interval of that length: the load of every queue in it.
    pub fn measure(&mut self, interval: Duration) -> Vec<Measured> {
        let mut measured = Vec::new();
        for (port, placed) in &mut self.ports {
            let stays = placed.awaited.is_some();
            for (number, queue) in (0..).zip(&mut placed.queues) {
                let (share, before) = queue.gauge.read(interval);
                measured.push(Measured {
                    queue: QueueId {
                        port: *port,
                        number,
                    },
                    worker: queue.next.unwrap_or(queue.worker),
                    share,
                    before: before.filter(|_| !stays && queue.next.is_none()),
                });
            }
        }
        measured
    }

    /// How many receive queues of a port each worker serves, or is about to; nothing for a port that is not
    /// attached.
    #[must_use]
    pub fn queues_of(&self, port: PortIndex) -> Vec<usize> {
        let Some(placed) = self.ports.get(&port).filter(|p| p.awaited.is_none()) else {
            return Vec::new();
        };
        let mut counts = vec![0; self.workers.len()];
        for queue in &placed.queues {
            counts[queue.next.unwrap_or(queue.worker)] += 1;
        }
        counts
    }
}

/// Asks all workers for what they have of a port.
fn ask_back(workers: &[MailboxTx], port: PortIndex) {
    for worker in workers {
        worker.post(WorkerCommand::RemoveQueues { port });
        worker.post(WorkerCommand::RemoveTx { port });
    }
}
