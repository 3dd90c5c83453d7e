//! Passes 1 to 3 over the batch of one port, and the staging of what pass 4 sends.
//!
//! One pass does one thing for all frames of the batch, so that its code and data stay at hand, and so
//! that memory which many frames need is asked for by all of them before the first one waits for it:
//! a look-up in a large table misses the cache, and misses that overlap cost little more than one.
//! Frames in a row mostly have the same two addresses; what was worked out for the one before is then
//! taken over.
//!
//! Called by the worker only. Nothing here allocates or waits.

use crate::bindings;
use crate::bond::loads::Joined;
use crate::bond::{Admits, Held, Rewritten, RoundRobin, Transmit};
use crate::capture::CaptureTap;
use crate::counters::{PortCounters, VlanTally};
use crate::egress::{self, Staging};
use crate::explain::Live;
use crate::fdb::{Fdb, FdbKey, Hit, Learned, Probe};
use crate::forward::{self, Entrance};
use crate::frame::{BATCH_MAX, Frame, FrameBatch};
use crate::groups;
use crate::guard;
use crate::ingress::{Classified, classify_into, end_watched, turn_away};
use crate::learn;
use crate::punt::PuntBudget;
use crate::snapshot::{PortView, Snapshot};
use crate::verdict::{DropReason, Egress, Verdict};
use crate::watch::{self, Watched};
use crate::worker::{Outbox, WorkerEvent};
use arrayvec::ArrayVec;
use std::hint::black_box;
use vswitch_base::{Instant, PortIndex};

/// The frames of a batch after pass 1, in its order.
pub(crate) type Classes = ArrayVec<Classified, BATCH_MAX>;
type Probes = ArrayVec<Probe, BATCH_MAX>;

/// What the passes need to know, for the batch of one port.
pub(crate) struct Passes<'p> {
    pub(crate) snapshot: &'p Snapshot,
    pub(crate) outbox: &'p Outbox,
    pub(crate) staging: &'p mut Staging,
    /// Whose turn it is, by the bond's index.
    pub(crate) turns: &'p mut [RoundRobin],
    /// By the bond's index, where its frames are measured.
    pub(crate) loads: &'p [Option<Joined>],
    /// Frames whose bucket is on its way to another member.
    pub(crate) held: &'p mut Held,
    pub(crate) counters: &'p PortCounters,
    /// What the queue may still hand over to the control side.
    pub(crate) budget: &'p mut PuntBudget,
    pub(crate) tap: Option<&'p CaptureTap>,
    pub(crate) ingress: PortIndex,
    pub(crate) now: Instant,
}

impl Passes<'_> {
    /// Takes `batch` through the passes; copies to send are staged, and `classes` says what each frame
    /// is. On a port of no bridge all are dropped and `classes` stays empty.
    pub(crate) fn run(&mut self, batch: &FrameBatch<'_>, classes: &mut Classes) {
        let snapshot = self.snapshot;
        self.counters.frames_in.add(batch.len() as u64);
        let Some(entrance) = forward::entrance(snapshot, self.ingress) else {
            self.refuse(batch);
            return;
        };
        let (mut sources, mut destinations) = (Probes::new(), Probes::new());
        self.classify(batch, entrance, classes, &mut sources, &mut destinations);
        if let Some(watched) = entrance.watched {
            self.watch(batch, classes, watched);
        }
        if !matches!(entrance.admits, Admits::Everything) {
            for (class, frame) in classes.iter_mut().zip(batch) {
                turn_away::<Live>(class, frame, entrance.admits, entrance.port, self.now);
            }
        }
        if let Some(protection) = entrance.port.protection.as_deref() {
            for (class, frame) in classes.iter_mut().zip(batch) {
                if protection.examine::<Live>(class, frame, self.now) {
                    self.outbox
                        .tell(WorkerEvent::StationSpoke { port: self.ingress });
                }
            }
        }
        ask(&entrance.bridge.fdb, &sources, &destinations);
        self.learn(batch, classes, &entrance, &sources);
        if entrance.bridge.guarded && !entrance.port.flags.reflects {
            let now_s = self.now.as_secs_u32();
            guard::note_announcements(batch, classes, &sources, &entrance, now_s);
        }
        let flags = entrance.port.flags;
        if flags.tells_groups || flags.tells_neighbours {
            self.overhear(batch, classes, &entrance);
        }
        self.forward(batch, classes, entrance, &destinations);
    }

    /// Lets the control side see reports of group membership, and what stations say of their addresses.
    fn overhear(&self, batch: &FrameBatch<'_>, classes: &Classes, entrance: &Entrance<'_>) {
        let (flags, punts) = (entrance.port.flags, &self.outbox.punts);
        // What comes in by a member is no word of a station on this side.
        let beyond = entrance.logical != entrance.ingress;
        for (class, frame) in classes.iter().zip(batch) {
            if class.verdict.is_some() {
                continue;
            }
            let group = class.dst.is_multicast();
            if group && !class.dst.is_broadcast() && flags.tells_groups {
                groups::overhear(self.counters, punts, self.ingress, self.now, frame, class);
            }
            if flags.tells_neighbours && (group || !beyond) && bindings::may_claim(frame, class) {
                let from = (self.ingress, beyond);
                bindings::overhear(self.counters, punts, from, self.now, frame, class);
            }
        }
    }

    /// Lets the control side see what the monitor of a bond waits for, before a member turns it away.
    fn watch(&self, batch: &FrameBatch<'_>, classes: &mut Classes, watched: &Watched) {
        for (class, frame) in classes.iter_mut().zip(batch) {
            match watched.wants(frame.bytes) {
                Some(true) => end_watched(class),
                Some(false) => {
                    let punts = &self.outbox.punts;
                    watch::overhear(self.counters, punts, self.ingress, self.now, frame.bytes);
                }
                None => {}
            }
        }
    }

    #[cold]
    fn refuse(&self, batch: &FrameBatch<'_>) {
        let bytes: usize = batch.iter().map(Frame::wire_len).sum();
        self.counters.bytes_in.add(bytes as u64);
        self.counters
            .dropped(DropReason::NoBridge)
            .add(batch.len() as u64);
        for frame in batch {
            self.capture(frame, Some(DropReason::NoBridge));
        }
    }

    /// Pass 1. Also works out where both addresses of each frame are looked for.
    fn classify(
        &self,
        batch: &FrameBatch<'_>,
        entrance: Entrance<'_>,
        classes: &mut Classes,
        sources: &mut Probes,
        destinations: &mut Probes,
    ) {
        let fdb = &*entrance.bridge.fdb;
        let mut bytes = 0;
        for frame in batch {
            bytes += frame.wire_len() as u64;
            classes.push(Classified::NEW);
            if let Some(class) = classes.last_mut() {
                classify_into(class, frame, entrance.port, entrance.bridge);
                let key = FdbKey::new(class.vid, class.src);
                let source = match sources.last() {
                    Some(last) if last.key() == key => *last,
                    _ => fdb.probe(key),
                };
                sources.push(source);
                destinations.push(fdb.probe(FdbKey::new(class.vid, class.dst)));
            }
        }
        self.counters.bytes_in.add(bytes);
        if self.counters.counts_vlans() {
            let mut tally = VlanTally::incoming(self.counters);
            for (class, frame) in classes.iter().zip(batch) {
                if class.learnable {
                    tally.add(class.vid, frame.wire_len());
                }
            }
        }
    }

    /// Pass 2.
    fn learn(
        &self,
        batch: &FrameBatch<'_>,
        classes: &mut Classes,
        entrance: &Entrance<'_>,
        probes: &Probes,
    ) {
        let now_s = self.now.as_secs_u32();
        let mut known: Option<&Probe> = None;
        for ((class, probe), frame) in classes.iter_mut().zip(probes).zip(batch) {
            // The same sender again: seen already, and its place is known.
            if class.verdict.is_none() && known.is_some_and(|known| known.key() == probe.key()) {
                continue;
            }
            let learned = learn::learn(
                class,
                frame,
                probe,
                entrance,
                self.snapshot,
                now_s,
                &mut Live,
            );
            // Where nothing more is to be done for a known sender, nothing is for the next of its
            // frames either.
            let settled = learned == Some(Learned::Known) && class.verdict.is_none();
            known = settled.then_some(probe);
        }
    }

    /// Pass 3, and the staging of copies.
    fn forward(
        &mut self,
        batch: &FrameBatch<'_>,
        classes: &Classes,
        entrance: Entrance<'_>,
        probes: &Probes,
    ) {
        let now_s = self.now.as_secs_u32();
        let fdb = &*entrance.bridge.fdb;
        let (mut forwarded, mut copies) = (0, 0);
        let mut last: Option<(&Probe, Verdict)> = None;
        let mut used: ArrayVec<Hit, BATCH_MAX> = ArrayVec::new();
        for (i, (class, probe)) in classes.iter().zip(probes).enumerate() {
            let verdict = match (class.verdict, last) {
                (Some(settled), _) => settled,
                (None, Some((same, verdict))) if same.key() == probe.key() => verdict,
                (None, _) => {
                    let hit = if class.dst.is_multicast() {
                        None
                    } else {
                        fdb.find_at(probe)
                    };
                    let verdict = forward::decide(
                        class,
                        hit,
                        entrance.logical,
                        entrance.port,
                        entrance.bridge,
                        self.snapshot,
                        &mut Live,
                    );
                    if let (Verdict::Forward(_), Some(hit)) = (verdict, hit) {
                        used.push(hit);
                    }
                    last = Some((probe, verdict));
                    verdict
                }
            };
            let dropped = match verdict {
                Verdict::Forward(egress) => {
                    let staged = self.stage(i, &batch[i], class, egress, entrance.port);
                    copies += staged;
                    forwarded += u64::from(staged > 0);
                    (staged == 0).then_some(DropReason::EgressBlocked)
                }
                Verdict::Flood(kind) => {
                    let mut flooded = 0;
                    for flood in entrance.bridge.flood_ports(class.vid) {
                        if forward::floods_to(flood, kind, entrance.logical, entrance.port) {
                            flooded += self.stage(i, &batch[i], class, flood.egress, entrance.port);
                        }
                    }
                    copies += flooded;
                    forwarded += u64::from(flooded > 0);
                    (flooded == 0).then_some(DropReason::NoEgress)
                }
                Verdict::Punt(reason) => {
                    let bytes = batch[i].bytes;
                    let punts = &self.outbox.punts;
                    if self.budget.take(self.now)
                        && punts.offer(self.ingress, reason, self.now, bytes)
                    {
                        self.counters.punted(reason).add(1);
                        None
                    } else {
                        Some(DropReason::PuntQueueFull)
                    }
                }
                Verdict::Drop(reason) => Some(reason),
            };
            if let Some(reason) = dropped {
                self.counters.dropped(reason).add(1);
            }
            if self.tap.is_some() {
                self.capture(&batch[i], dropped);
            }
        }
        // Together at the end: these are misses too, and in a loop of their own they overlap.
        for hit in used {
            fdb.note_use(hit, now_s);
        }
        self.counters.copies_from.add(copies);
        self.counters.frames_forwarded.add(forwarded);
    }

    /// Stages a copy for a port, or for the members of a bond that send it. How many that are.
    #[inline]
    fn stage(
        &mut self,
        i: usize,
        frame: &Frame<'_>,
        class: &Classified,
        egress: Egress,
        from: &PortView,
    ) -> u64 {
        let Some(transmit) = self.snapshot.transmit(egress.port) else {
            self.staging.push(i, egress);
            return 1;
        };
        if self.snapshot.looks_aside() && self.stage_aside(i, frame, class, egress, from, transmit)
        {
            return 1;
        }
        let Some(turn) = self.turns.get_mut(egress.port.index()) else {
            return 0;
        };
        let staging = &mut *self.staging;
        let mut copies = 0;
        let flow = || egress::flow(frame, class, egress.tagged);
        let station = egress::station(class, egress.tagged);
        transmit.each(station, flow, turn, |port| {
            staging.push(i, Egress { port, ..egress });
            copies += 1;
        });
        copies
    }

    /// What some bonds ask for and most do not ([`Snapshot::looks_aside`]), out of the way of the others. Whether
    /// the one copy is taken care of.
    #[inline(never)]
    fn stage_aside(
        &mut self,
        i: usize,
        frame: &Frame<'_>,
        class: &Classified,
        egress: Egress,
        from: &PortView,
        transmit: &Transmit,
    ) -> bool {
        if let Some(port) = from.steer(egress.port) {
            stage_by(self.staging, i, egress, transmit, port);
            return true;
        }
        let flow = || egress::flow(frame, class, egress.tagged);
        let station = egress::station(class, egress.tagged);
        if let Transmit::Hashed(hashed) = transmit
            && let Some(by) = hashed.waits_for(station, flow)
            && self.held.put(frame, class, egress, by)
        {
            return true;
        }
        if let Some(Some(joined)) = self.loads.get(egress.port.index()) {
            measure(joined, transmit, frame, class, egress);
        }
        if let Transmit::Rewritten(rewritten) = transmit {
            let port = rewritten.pick(flow().as_ref());
            stage_from(self.staging, i, egress, rewritten, port);
            return true;
        }
        false
    }

    #[cold]
    fn capture(&self, frame: &Frame<'_>, dropped: Option<DropReason>) {
        if let Some(tap) = self.tap {
            tap.note_in(self.ingress, self.now, frame, dropped);
        }
    }
}

/// Stages a copy that this member sends, as it would by its bond's mode.
#[cold]
fn stage_by(staging: &mut Staging, i: usize, egress: Egress, transmit: &Transmit, port: PortIndex) {
    match transmit {
        Transmit::Rewritten(rewritten) => stage_from(staging, i, egress, rewritten, port),
        _ => staging.push(i, Egress { port, ..egress }),
    }
}

/// Counts a frame in its bucket.
#[inline(never)]
fn measure(
    joined: &Joined,
    transmit: &Transmit,
    frame: &Frame<'_>,
    class: &Classified,
    egress: Egress,
) {
    let flow = || egress::flow(frame, class, egress.tagged);
    let bucket = match transmit {
        Transmit::Hashed(hashed) => {
            let number = hashed.number(egress::station(class, egress.tagged), flow);
            hashed.buckets.bucket(number)
        }
        Transmit::Rewritten(rewritten) => flow()
            .and_then(|flow| rewritten.number(&flow))
            .and_then(|number| rewritten.buckets.bucket(number)),
        _ => None,
    };
    if let Some(bucket) = bucket {
        joined.own.add(bucket, frame.wire_len());
    }
}

/// Stages a copy that a member sends from its own address, where it is not the active one.
#[inline(never)]
pub(crate) fn stage_from(
    staging: &mut Staging,
    i: usize,
    egress: Egress,
    rewritten: &Rewritten,
    port: PortIndex,
) {
    let active = Egress {
        port: rewritten.active,
        ..egress
    };
    let staged = match rewritten.source(port) {
        Some(source) => staging.push_from(i, Egress { port, ..egress }, source),
        None => false,
    };
    if !staged {
        staging.push(i, active);
    }
}

/// Asks for the memory of all look-ups to come. Nothing else is in the loop, so that the processor has
/// as many of them under way at once as it can.
fn ask(fdb: &Fdb, sources: &Probes, destinations: &Probes) {
    let mut asked = 0;
    for (source, destination) in sources.iter().zip(destinations) {
        asked ^= fdb.touch(source) ^ fdb.touch(destination);
    }
    black_box(asked);
}
