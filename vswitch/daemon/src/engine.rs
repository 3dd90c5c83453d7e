//! The workers, their mailboxes and their counters, as the control thread holds them.
//!
//! The engine starts and stops threads, hands ports to them and takes ports back, and adds their numbers
//! up. It decides nothing: what is opened, published and closed comes from the controller as effects.
//! Control thread only.

use crate::clock::Clock;
use crate::cpus;
use crate::worker_thread::{self, ThreadStats, Waiting, WakeControl};
use hashbrown::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use vswitch_base::{Generation, PortIndex, Vid};
use vswitch_core::capture::CaptureTap;
use vswitch_core::counters::{PortCounters, PortTotals};
use vswitch_core::mailbox::{Publisher, Retired, WorkerCommand, mailbox};
use vswitch_core::port::{PortRx, PortTx};
use vswitch_core::snapshot::Snapshot;
use vswitch_core::testing::MemPort;
use vswitch_core::worker::{Outbox, Worker};
use vswitch_io::{Poller, Waker};

/// The queues and handles of one opened port.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    /// Receive queues.
    pub rx: Vec<Box<dyn PortRx>>,
    /// One transmit handle for each worker.
    pub tx: Vec<Box<dyn PortTx>>,
    /// The other end of a port of memory.
    pub wire: Option<MemPort>,
}

struct Thread {
    waker: Waker,
    stats: Arc<ThreadStats>,
    cpu: Option<usize>,
    queues: usize,
    join: Option<JoinHandle<()>>,
}

/// See the module.
pub(crate) struct Engine {
    publisher: Publisher,
    threads: Vec<Thread>,
    outbox: Arc<Outbox>,
    counters: HashMap<PortIndex, Vec<Arc<PortCounters>>>,
    /// How many queues of an attached port each worker serves, and how many workers have a handle.
    placed: HashMap<PortIndex, (Vec<usize>, usize)>,
    /// Handles still to come back of a port that is being detached.
    leaving: HashMap<PortIndex, usize>,
}

impl Engine {
    /// Starts `count` workers (at least one), each on a CPU of its own where there are enough.
    ///
    /// # Errors
    /// When a thread or its poller cannot be made.
    pub(crate) fn start(
        count: usize,
        waiting: Waiting,
        clock: &Clock,
        mut control: impl FnMut() -> Box<dyn WakeControl>,
    ) -> io::Result<Self> {
        let outbox = Arc::<Outbox>::default();
        let chosen = cpus::choose(&cpus::allowed(), count.max(1));
        let (mut threads, mut mailboxes) = (Vec::new(), Vec::new());
        for (number, cpu) in chosen.into_iter().enumerate() {
            let (mail_tx, mail_rx) = mailbox();
            let poller = Poller::new()?;
            let waker = poller.waker();
            let stats = Arc::<ThreadStats>::default();
            let worker = Worker::new(mail_rx, Arc::clone(&outbox));
            let (outbox, thread_stats, control) =
                (Arc::clone(&outbox), Arc::clone(&stats), control());
            let clock = clock.clone();
            let join = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                if let Some(cpu) = cpu {
                    cpus::bind(cpu);
                }
                let outcome = worker_thread::run(
                    worker, poller, &clock, waiting, &thread_stats, &outbox, &*control,
                );
                if let Err(error) = outcome {
                    tracing::error!(worker = number, %error, "forwarding thread ended: cannot wait for frames");
                }
            })?;
            threads.push(Thread {
                waker,
                stats,
                cpu,
                queues: 0,
                join: Some(join),
            });
            mailboxes.push(mail_tx);
        }
        Ok(Self {
            publisher: Publisher::new(mailboxes),
            threads,
            outbox,
            counters: HashMap::new(),
            placed: HashMap::new(),
            leaving: HashMap::new(),
        })
    }

    /// Punts and events of the workers.
    #[must_use]
    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Hands a port to the workers: every worker can send on it, its queues go to those with fewest.
    pub(crate) fn attach(&mut self, port: PortIndex, handles: Handles) {
        let workers = self.threads.len();
        let counters = self
            .counters
            .entry(port)
            .or_insert_with(|| (0..workers).map(|_| Arc::default()).collect());
        let sent_txs = handles.tx.len().min(workers);
        let mut txs = handles.tx.into_iter();
        for (mailbox, counters) in self.publisher.workers().iter().zip(counters) {
            let (tx, counters) = (txs.next(), Arc::clone(counters));
            mailbox.post(WorkerCommand::SetTx { port, tx, counters });
        }
        let mut placed = vec![0; workers];
        for rx in handles.rx {
            let least = (0..workers)
                .min_by_key(|w| self.threads[*w].queues)
                .unwrap_or(0);
            self.threads[least].queues += 1;
            placed[least] += 1;
            self.publisher.workers()[least].post(WorkerCommand::AddQueue { port, rx });
        }
        self.placed.insert(port, (placed, sent_txs));
        self.wake_all();
    }

    /// Asks the workers for a port's queues and handles. True when there is nothing to wait for; else
    /// [`Self::collect`] tells when all are back.
    pub(crate) fn detach(&mut self, port: PortIndex) -> bool {
        let (placed, txs) = self.placed.remove(&port).unwrap_or_default();
        for (thread, queues) in self.threads.iter_mut().zip(&placed) {
            thread.queues -= queues;
        }
        let awaited = placed.iter().sum::<usize>() + txs;
        if awaited > 0 {
            self.leaving.insert(port, awaited);
        }
        for mailbox in self.publisher.workers() {
            mailbox.post(WorkerCommand::RemoveQueues { port });
            mailbox.post(WorkerCommand::RemoveTx { port });
        }
        self.wake_all();
        awaited == 0
    }

    /// Forgets a port's numbers: its index may be given to another.
    pub(crate) fn forget(&mut self, port: PortIndex) {
        self.counters.remove(&port);
    }

    /// Sends a configuration to all workers.
    pub(crate) fn publish(&mut self, snapshot: &Arc<Snapshot>) {
        self.publisher.publish(snapshot);
        self.wake_all();
    }

    /// Counts frames of these VLANs on a port from now on.
    pub(crate) fn count_vlans(&self, port: PortIndex, vids: impl Iterator<Item = Vid>) {
        let counters = self
            .counters
            .get(&port)
            .map(Vec::as_slice)
            .unwrap_or_default();
        for vid in vids {
            counters.iter().for_each(|c| c.count_vlan(vid));
        }
    }

    /// Starts or ends a capture on a port.
    pub(crate) fn set_tap(&self, port: PortIndex, tap: Option<&Arc<CaptureTap>>) {
        for mailbox in self.publisher.workers() {
            mailbox.post(WorkerCommand::SetTap {
                port,
                tap: tap.map(Arc::clone),
            });
        }
        self.wake_all();
    }

    /// What the workers gave back and how far they are: the generation that all observed, ports of
    /// which everything is back, and what came back: to be dropped where that may block.
    pub(crate) fn collect(&mut self) -> (Generation, Vec<PortIndex>, Vec<Retired>) {
        let (mut complete, mut back) = (Vec::new(), Vec::new());
        for mailbox in self.publisher.workers() {
            while let Some(retired) = mailbox.take_retired() {
                let port = match &retired {
                    Retired::Queue(port, _) | Retired::Tx(port, _) => *port,
                };
                back.push(retired);
                if let Some(left) = self.leaving.get_mut(&port) {
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        self.leaving.remove(&port);
                        complete.push(port);
                    }
                }
            }
        }
        (self.publisher.collect(), complete, back)
    }

    /// A port's numbers over all workers.
    #[must_use]
    pub(crate) fn totals(&self, port: PortIndex) -> PortTotals {
        let mut sum = PortTotals::default();
        for counters in self.counters.get(&port).into_iter().flatten() {
            counters.add_to(&mut sum);
        }
        sum
    }

    /// Frames in, bytes in, frames out, bytes out of a port in one VLAN; `None` when not counted.
    #[must_use]
    pub(crate) fn vlan_totals(&self, port: PortIndex, vid: Vid) -> Option<[u64; 4]> {
        let mut sum = [0; 4];
        for counters in self.counters.get(&port)? {
            let vlan = counters.vlan(vid)?;
            let row = [
                &vlan.frames_in,
                &vlan.bytes_in,
                &vlan.frames_out,
                &vlan.bytes_out,
            ];
            sum.iter_mut()
                .zip(row)
                .for_each(|(sum, counter)| *sum += counter.read());
        }
        Some(sum)
    }

    /// Each worker's core and statistics.
    pub(crate) fn thread_stats(&self) -> impl Iterator<Item = (Option<usize>, &ThreadStats)> {
        self.threads.iter().map(|t| (t.cpu, &*t.stats))
    }

    /// Stops all workers and waits for them; what they held is dropped.
    pub(crate) fn stop(&mut self) {
        for mailbox in self.publisher.workers() {
            mailbox.post(WorkerCommand::Stop);
        }
        self.wake_all();
        for thread in &mut self.threads {
            if let Some(join) = thread.join.take() {
                // A worker that panicked has taken the process with it (panic = abort).
                let _ = join.join();
            }
        }
    }

    /// Lets every worker look at its mailbox and its queues now.
    pub(crate) fn wake_all(&self) {
        for thread in &self.threads {
            if let Err(error) = thread.waker.wake() {
                tracing::error!(%error, "cannot wake a worker: it looks at its mailbox within a second");
            }
        }
    }
}
