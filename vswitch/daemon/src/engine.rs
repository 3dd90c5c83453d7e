//! The workers, their mailboxes and their counters, as the control thread holds them.
//!
//! The engine starts and stops threads, hands ports to them and takes ports back, moves receive queues from
//! busy threads to others, and adds their numbers up. It decides nothing: what is opened, published and
//! closed comes from the controller as effects, which queue moves from `vswitch_core::balance`. Control
//! thread only.

use crate::clock::Clock;
use crate::cpus;
use crate::loop_stats::LoopStats;
use crate::worker_thread::{self, Waiting, WakeControl};
use hashbrown::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use vswitch_base::{Generation, Instant, PortIndex, Vid};
use vswitch_core::balance::{self, Balancer, Move};
use vswitch_core::capture::CaptureTap;
use vswitch_core::counters::{PortCounters, PortTotals};
use vswitch_core::mailbox::{Publisher, Retired, WorkerCommand, mailbox_with};
use vswitch_core::originate::Originals;
use vswitch_core::placement::Placement;
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
    stats: Arc<LoopStats>,
    cpu: Option<usize>,
    join: Option<JoinHandle<()>>,
}

/// See the module.
pub(crate) struct Engine {
    publisher: Publisher,
    threads: Vec<Thread>,
    outbox: Arc<Outbox>,
    counters: HashMap<PortIndex, Vec<Arc<PortCounters>>>,
    placement: Placement,
    balancer: Balancer,
}

impl Engine {
    /// Starts `count` workers (at least one), each on a CPU of its own where there are enough. Every
    /// `rebalance` it is looked whether a queue should move; zero: never.
    ///
    /// # Errors
    /// When a thread or its poller cannot be made.
    pub(crate) fn start(
        count: usize,
        waiting: Waiting,
        rebalance: Duration,
        clock: &Clock,
        mut control: impl FnMut() -> Box<dyn WakeControl>,
    ) -> io::Result<Self> {
        let outbox = Arc::<Outbox>::default();
        let chosen = cpus::choose(&cpus::allowed(), count.max(1));
        let (mut threads, mut mailboxes) = (Vec::new(), Vec::new());
        for (number, cpu) in chosen.into_iter().enumerate() {
            let poller = Poller::new()?;
            let waker = poller.waker();
            let (mail_tx, mail_rx) = mailbox_with(Box::new(waker.clone()));
            let stats = Arc::new(LoopStats::new(clock.now()));
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
                join: Some(join),
            });
            mailboxes.push(mail_tx);
        }
        Ok(Self {
            placement: Placement::new(mailboxes.clone()),
            balancer: Balancer::new(rebalance.into(), clock.now()),
            publisher: Publisher::new(mailboxes),
            threads,
            outbox,
            counters: HashMap::new(),
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
        self.placement
            .attach(port, handles.rx, handles.tx, counters);
        self.wake_all();
    }

    /// Asks the workers for a port's queues and handles. True when there is nothing to wait for; else
    /// [`Self::collect`] tells when all are back.
    pub(crate) fn detach(&mut self, port: PortIndex) -> bool {
        let nothing = self.placement.detach(port);
        self.wake_all();
        nothing
    }

    /// When [`Self::rebalance`] has something to look at; `None`: never.
    #[must_use]
    pub(crate) fn rebalance_due(&self) -> Option<Instant> {
        let several = self.threads.len() > 1;
        self.balancer.due().filter(|_| several)
    }

    /// Moves a queue from a busy worker to another if the loads of the interval that ends now say so; what
    /// was moved and why.
    pub(crate) fn rebalance(&mut self, now: Instant) -> Option<Move> {
        let interval = self.balancer.end_interval(now)?;
        let measured = self.placement.measure(interval);
        let found = balance::propose(&measured, self.threads.len())?;
        let from = self.placement.move_queue(found.queue, found.to)?;
        self.wake(from);
        Some(found)
    }

    /// How many receive queues of a port each worker serves, by worker; nothing for a port that is not
    /// attached.
    #[must_use]
    pub(crate) fn queues_of(&self, port: PortIndex) -> Vec<usize> {
        self.placement.queues_of(port)
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

    /// Sends frames of the switch itself by a port, always by the same worker: they stay in order.
    pub(crate) fn send(&self, port: PortIndex, frames: Originals) {
        let workers = self.publisher.workers();
        let Some(worker) = port.index().checked_rem(workers.len()) else {
            return;
        };
        workers[worker].post(WorkerCommand::Send { port, frames });
        self.wake(worker);
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
        let collected = self.placement.collect();
        (self.publisher.collect(), collected.complete, collected.back)
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

    /// How many receive queues of each attached port the workers serve, by worker.
    pub(crate) fn placement(&self) -> impl Iterator<Item = (PortIndex, Vec<usize>)> {
        let ports = self.counters.keys();
        ports.map(|port| (*port, self.queues_of(*port)))
    }

    /// Each worker's core and statistics.
    pub(crate) fn thread_stats(&self) -> impl Iterator<Item = (Option<usize>, &LoopStats)> {
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
        (0..self.threads.len()).for_each(|worker| self.wake(worker));
    }

    fn wake(&self, worker: usize) {
        let thread = self.threads.get(worker);
        if let Some(Err(error)) = thread.map(|thread| thread.waker.wake()) {
            tracing::error!(%error, "cannot wake a worker: it looks at its mailbox within a second");
        }
    }
}
