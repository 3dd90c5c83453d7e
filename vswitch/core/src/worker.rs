//! One forwarding thread's state: its queues, its ways out, the configuration it uses.
//!
//! [`Worker::poll`] is one breath: for each queue, take a batch through the four passes and send what
//! comes of it, then give the batch's memory back. Commands are taken between breaths only. Nothing here
//! blocks, allocates while frames flow, or knows a clock; the daemon's thread does the waiting.

use crate::bond::held::HeldFrame;
use crate::bond::loads::Joined;
use crate::bond::{Held, RoundRobin, Transmit};
use crate::capture::CaptureTap;
use crate::counters::PortCounters;
use crate::egress::{self, Staging, TxSlot};
use crate::frame::{BATCH_MAX, FrameBatch};
use crate::mailbox::{MailboxRx, Retired, WorkerCommand};
use crate::offload::Finisher;
use crate::originate;
use crate::passes::{Classes, Passes, stage_from};
use crate::port::RxLosses;
use crate::punt::PuntQueue;
use crate::queue::RxQueue;
use crate::snapshot::Snapshot;
use crate::sync::{Arc, Fifo, mutant};
use crate::verdict::{DropReason, Egress};
use std::os::fd::RawFd;
use vswitch_base::{Duration, Instant, PortIndex};

/// What a worker has to tell the control side apart from frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WorkerEvent {
    /// A receive queue failed; it is not polled again until it is replaced.
    QueueFailed {
        /// Its port.
        port: PortIndex,
        /// `errno`, 0 when the system gave none.
        errno: i32,
    },
    /// A port that was held is open: its station spoke.
    StationSpoke {
        /// The port.
        port: PortIndex,
    },
}

/// What all workers share with the control thread.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Frames for the control side.
    pub punts: PuntQueue,
    events: Fifo<WorkerEvent>,
}

impl Outbox {
    /// The oldest event that nobody has taken.
    #[must_use]
    pub fn take_event(&self) -> Option<WorkerEvent> {
        self.events.pop()
    }

    /// Tells the control side something. Allocates: for what happens once.
    #[cold]
    pub(crate) fn tell(&self, event: WorkerEvent) {
        self.events.push(event);
    }

    /// Whether there is anything to take.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.punts.is_empty() && self.events.is_empty()
    }
}

/// Breaths with frames since the last rest that make a queue hot.
const HOT_BREATHS: u32 = 32;

/// A breath that took longer was not work: the machine stood still.
const BREATH_MAX: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub struct Worker {
    mailbox: MailboxRx,
    outbox: Arc<Outbox>,
    snapshot: Arc<Snapshot>,
    queues: Vec<RxQueue>,
    /// When the last breath began, and what its queues had to do in it.
    begun: Instant,
    weight: u64,
    hot: Vec<RawFd>,
    slots: Vec<Option<TxSlot>>,
    taps: Vec<Option<Arc<CaptureTap>>>,
    tapped: bool,
    staging: Staging,
    /// Whose turn it is to send, by the bond's index; the count outlives a snapshot.
    turns: Vec<RoundRobin>,
    /// By the bond's index, where its frames are measured.
    loads: Vec<Option<Joined>>,
    held: Held,
    finisher: Finisher,
    /// Counts for ports without a slot: the order of commands rules that out, but a number that is
    /// not zero shows that it failed.
    lost: PortCounters,
    queues_changed: bool,
    progressed: bool,
    stopped: bool,
}

impl Worker {
    /// A worker without queues that uses the empty configuration.
    #[must_use]
    pub fn new(mailbox: MailboxRx, outbox: Arc<Outbox>) -> Self {
        Self {
            mailbox,
            outbox,
            snapshot: Arc::default(),
            queues: Vec::new(),
            begun: Instant::ZERO,
            weight: 0,
            hot: Vec::new(),
            slots: Vec::new(),
            taps: Vec::new(),
            tapped: false,
            staging: Staging::default(),
            turns: Vec::new(),
            loads: Vec::new(),
            held: Held::default(),
            finisher: Finisher::default(),
            lost: PortCounters::default(),
            queues_changed: false,
            progressed: false,
            stopped: false,
        }
    }

    /// One breath over all queues: takes commands, then at most one batch of each queue. Returns frames
    /// received.
    ///
    /// The time from one call that returned frames to the next one is charged to the queues that had them:
    /// who waits between breaths does so after a call that returned none.
    pub fn poll(&mut self, now: Instant) -> usize {
        self.charge(now);
        self.take_commands();
        let mut frames = 0;
        for i in 0..self.queues.len() {
            frames += self.poll_queue(i, now);
        }
        frames
    }

    /// Whether `Stop` has arrived.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether queues came or went since the last call: the poller's set must be made anew.
    pub const fn take_queues_changed(&mut self) -> bool {
        std::mem::replace(&mut self.queues_changed, false)
    }

    /// Whether commands were obeyed since the last call: the control side may be waiting for that.
    pub const fn take_progressed(&mut self) -> bool {
        std::mem::replace(&mut self.progressed, false)
    }

    /// Descriptors to wait on.
    pub fn ready_fds(&self) -> impl Iterator<Item = RawFd> + '_ {
        self.queues
            .iter()
            .filter(|q| !q.failed)
            .flat_map(|q| q.rx.ready_fds())
            .flatten()
    }

    /// Descriptors of queues that became hot since the last call: they have had frames again and again
    /// since the last [`Self::rest`], so nobody waits for them now. Whoever waits on descriptors can
    /// leave these out until then, which spares the kernel a notification for every frame.
    pub fn take_hot(&mut self) -> impl Iterator<Item = RawFd> + '_ {
        self.hot.drain(..)
    }

    /// The caller is about to sleep: no queue is hot any more.
    pub fn rest(&mut self) {
        self.hot.clear();
        for queue in &mut self.queues {
            queue.lively = 0;
        }
    }

    /// Receive losses of each queue since the last call. Makes system calls: once a second is enough.
    pub fn collect_losses(&mut self) {
        for queue in &mut self.queues {
            count_losses(queue, &self.slots);
        }
    }

    /// Charges the breath that ends now to the queues that had frames in it.
    fn charge(&mut self, now: Instant) {
        let begun = std::mem::replace(&mut self.begun, now);
        let weight = std::mem::take(&mut self.weight);
        if weight > 0 {
            let took = now.saturating_since(begun).min(BREATH_MAX).as_nanos();
            for queue in &mut self.queues {
                queue.charge(took, weight);
            }
        }
    }

    fn poll_queue(&mut self, index: usize, now: Instant) -> usize {
        let queue = &mut self.queues[index];
        if queue.failed {
            return 0;
        }
        let ingress = queue.id.port;
        let mut batch = FrameBatch::new();
        let outcome = queue.rx.receive(&mut batch);
        let frames = batch.len();
        let mut bytes = 0;
        if frames > 0 {
            let counters = match self.slots.get(ingress.index()) {
                Some(Some(slot)) => Arc::clone(&slot.counters),
                _ => return drop_unknown(&self.lost, &batch),
            };
            let tap = if self.tapped {
                self.taps.get(ingress.index())
            } else {
                None
            };
            let tap = tap.and_then(Option::as_deref);
            let mut passes = Passes {
                snapshot: &self.snapshot,
                outbox: &self.outbox,
                staging: &mut self.staging,
                turns: &mut self.turns,
                loads: &self.loads,
                held: &mut self.held,
                counters: &counters,
                budget: &mut queue.punts,
                tap,
                ingress,
                now,
            };
            let mut classes = Classes::new();
            let before = counters.bytes_in.read();
            passes.run(&batch, &mut classes);
            bytes = counters.bytes_in.read().wrapping_sub(before);
            self.staging.send_all(
                &batch,
                &classes,
                &mut self.slots,
                &self.snapshot,
                now,
                &mut self.finisher,
                &self.lost,
                self.tapped.then_some(&self.taps[..]),
            );
        }
        drop(batch);
        if self.held.is_overrun() && !self.held.is_empty() {
            self.release(now);
        }
        let queue = &mut self.queues[index];
        queue.rx.release();
        if frames > 0 {
            self.weight += queue.weigh(frames, bytes);
            queue.lively = queue.lively.saturating_add(1);
            if queue.lively == HOT_BREATHS {
                self.hot.extend(queue.rx.ready_fds().into_iter().flatten());
            }
        }
        if let Err(error) = outcome {
            queue.failed = true;
            self.queues_changed = true;
            let errno = error.raw_os_error().unwrap_or(0);
            self.outbox.events.push(WorkerEvent::QueueFailed {
                port: ingress,
                errno,
            });
        }
        frames
    }

    /// Sends what was held, but for what the snapshot in use still holds.
    #[cold]
    fn release(&mut self, now: Instant) {
        let mut waiting = self.held.release();
        while !waiting.is_empty() {
            let some: Vec<HeldFrame> = waiting.drain(..waiting.len().min(BATCH_MAX)).collect();
            let (mut batch, mut classes) = (FrameBatch::new(), Classes::new());
            let mut kept = Vec::with_capacity(some.len());
            for held in &some {
                let stays = self.release_one(batch.len(), held);
                kept.push(stays);
                if !stays {
                    batch.push(held.frame());
                    classes.push(held.class);
                }
            }
            self.staging.send_all(
                &batch,
                &classes,
                &mut self.slots,
                &self.snapshot,
                now,
                &mut self.finisher,
                &self.lost,
                self.tapped.then_some(&self.taps[..]),
            );
            drop(batch);
            for (held, _) in some.into_iter().zip(kept).filter(|(_, stays)| *stays) {
                self.held.put_back(held);
            }
        }
    }

    /// Stages frame number `number` of those that are released; whether it has to wait on instead. One copy
    /// was made when it came, so that one leaves or is counted where it should have left.
    fn release_one(&mut self, number: usize, held: &HeldFrame) -> bool {
        let (frame, class, egress) = (held.frame(), &held.class, held.egress);
        let station = egress::station(class, egress.tagged);
        let flow = || egress::flow(&frame, class, egress.tagged);
        let transmit = self.snapshot.transmit(egress.port);
        if let Some(Transmit::Hashed(hashed)) = transmit
            && !self.held.is_overrun()
            && hashed.waits_for(station, flow).is_some()
        {
            return true;
        }
        let mut by = None;
        if let (Some(transmit), Some(turn)) = (transmit, self.turns.get_mut(egress.port.index())) {
            transmit.each(station, flow, turn, |port| by = by.or(Some(port)));
        }
        if let (Some(port), Some(Transmit::Rewritten(rewritten))) = (by, transmit) {
            stage_from(&mut self.staging, number, egress, rewritten, port);
        } else if let Some(port) = by {
            self.staging.push(number, Egress { port, ..egress });
        } else {
            let slot = self.slots.get(held.member.index()).and_then(Option::as_ref);
            let counters = slot.map_or(&self.lost, |slot| &slot.counters);
            counters.copies_to.add(1);
            counters.dropped(DropReason::TxDown).add(1);
        }
        false
    }

    fn take_commands(&mut self) {
        while let Some(command) = self.mailbox.take() {
            self.obey(command);
            self.progressed = true;
        }
    }

    fn obey(&mut self, command: WorkerCommand) {
        match command {
            WorkerCommand::Publish(snapshot) => {
                self.staging.grow(snapshot.port_slots());
                for seed in self.turns.len()..snapshot.port_slots() {
                    let seed = u32::try_from(seed).unwrap_or(0);
                    self.turns.push(RoundRobin::new(1, seed));
                }
                self.measure(&snapshot);
                let generation = snapshot.generation;
                // Replace first, then announce: whoever sees the number may free what came before.
                if mutant("announce_first") {
                    self.mailbox.observe(generation);
                }
                self.snapshot = snapshot;
                self.held.begin();
                if !self.held.is_empty() {
                    // Before anything that came later.
                    self.release(self.begun);
                }
                self.mailbox.observe(generation);
            }
            WorkerCommand::AddQueue(mut queue) => {
                queue.lively = 0;
                self.queues.push(queue);
                self.hot.reserve(2 * self.queues.len());
                self.queues_changed = true;
            }
            WorkerCommand::PassQueue { queue: id, to } => {
                let say_first = mutant("say_before_giving");
                if say_first {
                    self.mailbox.retire(Retired::Passed(id));
                }
                if let Some(queue) = self.give_up_queue(|queue| queue.id == id) {
                    to.post(WorkerCommand::AddQueue(queue));
                    to.wake();
                }
                if !say_first {
                    self.mailbox.retire(Retired::Passed(id));
                }
            }
            WorkerCommand::RemoveQueues { port } => {
                while let Some(queue) = self.give_up_queue(|queue| queue.id.port == port) {
                    self.mailbox.retire(Retired::Queue(queue));
                }
            }
            WorkerCommand::SetTx { port, tx, counters } => {
                self.staging.grow(port.index() + 1);
                if self.slots.len() <= port.index() {
                    self.slots.resize_with(port.index() + 1, || None);
                }
                self.retire_tx(port);
                self.slots[port.index()] = Some(TxSlot { tx, counters });
            }
            WorkerCommand::RemoveTx { port } => self.retire_tx(port),
            WorkerCommand::Send { port, frames } => {
                match self.slots.get_mut(port.index()) {
                    Some(Some(slot)) => {
                        let tap = self.taps.get(port.index()).and_then(Option::as_deref);
                        originate::send(slot, port, &frames, tap, self.begun);
                    }
                    _ => originate::lose(&self.lost, frames.len()),
                }
                self.mailbox.retire(Retired::Sent(frames));
            }
            WorkerCommand::SetTap { port, tap } => {
                if self.taps.len() <= port.index() {
                    self.taps.resize_with(port.index() + 1, || None);
                }
                self.taps[port.index()] = tap;
                self.tapped = self.taps.iter().any(Option::is_some);
            }
            WorkerCommand::Stop => self.stopped = true,
        }
    }

    /// Has tables of its own for the bonds that are measured.
    fn measure(&mut self, snapshot: &Snapshot) {
        let slots = snapshot.loads_slots();
        self.loads.resize_with(slots, || None);
        for (index, joined) in (0..).map(PortIndex).zip(&mut self.loads) {
            *joined = Joined::follow(joined.take(), snapshot.loads(index));
        }
    }

    /// Everything received by it has been sent, since commands are taken between breaths only; what it
    /// lost so far is counted here, what waits in it is its next worker's.
    fn give_up_queue(&mut self, which: impl FnMut(&RxQueue) -> bool) -> Option<RxQueue> {
        let at = self.queues.iter().position(which)?;
        let mut queue = self.queues.remove(at);
        count_losses(&mut queue, &self.slots);
        queue.rx.hand_over();
        self.queues_changed = true;
        Some(queue)
    }

    fn retire_tx(&mut self, port: PortIndex) {
        let slot = self.slots.get_mut(port.index()).and_then(Option::take);
        if let Some(tx) = slot.and_then(|slot| slot.tx) {
            self.mailbox.retire(Retired::Tx(port, tx));
        }
    }
}

/// Counts what a queue lost before we saw it.
fn count_losses(queue: &mut RxQueue, slots: &[Option<TxSlot>]) {
    let RxLosses {
        ring_full,
        truncated,
    } = queue.rx.take_losses();
    let Some(Some(slot)) = slots.get(queue.id.port.index()) else {
        return;
    };
    let counters = &slot.counters;
    counters.frames_in.add(ring_full + truncated);
    counters.dropped(DropReason::RxRingFull).add(ring_full);
    counters.dropped(DropReason::RxTruncated).add(truncated);
}

/// A queue without a slot: see [`Worker::lost`].
#[cold]
fn drop_unknown(lost: &PortCounters, batch: &FrameBatch<'_>) -> usize {
    lost.frames_in.add(batch.len() as u64);
    lost.dropped(DropReason::NoBridge).add(batch.len() as u64);
    batch.len()
}
