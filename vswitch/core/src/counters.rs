//! Counters with one writer each, readable from anywhere.
//!
//! Every worker has a [`PortCounters`] of its own for every port, so counting is an ordinary load, add
//! and store on memory nobody else writes. Readers add the workers' numbers up; they see each number at
//! some recent moment, not all at one moment.
//!
//! Kept true at all times between two batches, for every port summed over workers (N-17):
//!
//! * `frames_in = frames_forwarded + Σ ingress drops + Σ punts`
//! * `copies_to = frames_out + Σ egress drops`
//! * over all ports `Σ copies_from + Σ originated = Σ copies_to`

use crate::verdict::{DropReason, PuntReason};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use vswitch_base::Vid;

/// A number that one thread adds to and any may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only from the one thread that owns the counter: two would lose counts.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    /// The number.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one worker did on one port.
#[derive(Debug)]
#[repr(align(64))]
pub struct PortCounters {
    /// Frames received, whatever became of them.
    pub frames_in: Counter,
    /// Bytes of those on the wire, tags included, without FCS. A frame that stands for several
    /// segments counts once with all its bytes.
    pub bytes_in: Counter,
    /// Received frames of which at least one copy was made for a port.
    pub frames_forwarded: Counter,
    /// Copies made of frames received here.
    pub copies_from: Counter,
    /// Copies made for this port.
    pub copies_to: Counter,
    /// Those of them that are the switch's own: LACP, announcements, probes.
    pub originated: Counter,
    /// Copies that the device took.
    pub frames_out: Counter,
    /// Bytes of those. When a device took only part of a batch, its share of the batch's bytes.
    pub bytes_out: Counter,
    /// Copies whose checksum or segments we completed because the device could not.
    pub finished: Counter,
    /// Received frames that the control side got a copy of while they went on their way.
    pub overheard: Counter,
    /// The second in which the last of them came, and how many in it.
    overheard_in: [Counter; 2],
    /// The same for what stations say of their IP addresses.
    claims_in: [Counter; 2],
    drops: [Counter; DropReason::COUNT],
    punts: [Counter; PuntReason::COUNT],
    vlans: OnceLock<Box<VlanCounters>>,
}

impl Default for PortCounters {
    fn default() -> Self {
        Self {
            frames_in: Counter::default(),
            bytes_in: Counter::default(),
            frames_forwarded: Counter::default(),
            copies_from: Counter::default(),
            copies_to: Counter::default(),
            originated: Counter::default(),
            frames_out: Counter::default(),
            bytes_out: Counter::default(),
            finished: Counter::default(),
            overheard: Counter::default(),
            overheard_in: [Counter::default(), Counter::default()],
            claims_in: [Counter::default(), Counter::default()],
            drops: std::array::from_fn(|_| Counter::default()),
            punts: std::array::from_fn(|_| Counter::default()),
            vlans: OnceLock::new(),
        }
    }
}

impl PortCounters {
    /// Frames, or copies, dropped for that reason.
    #[inline]
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> &Counter {
        &self.drops[reason.index()]
    }

    /// Frames handed to the control side for that reason.
    #[inline]
    #[must_use]
    pub fn punted(&self, reason: PuntReason) -> &Counter {
        &self.punts[reason.index()]
    }

    /// Whether another frame may be copied in that second, of at most so many. Only from the counter's thread.
    pub(crate) fn may_overhear(&self, second: u64, most: u64) -> bool {
        one_more(&self.overheard_in, second, most)
    }

    /// The same for what a station says of its IP addresses.
    pub(crate) fn may_overhear_claim(&self, second: u64, most: u64) -> bool {
        one_more(&self.claims_in, second, most)
    }

    /// Counts frames of `vid` from now on (V-17). Not for the worker: it allocates.
    pub fn count_vlan(&self, vid: Vid) {
        let pages = self.vlans.get_or_init(Box::default);
        pages.0[usize::from(vid.get()) / PAGE].get_or_init(Box::default);
    }

    /// Whether frames of any VLAN are counted apart.
    #[inline]
    #[must_use]
    pub fn counts_vlans(&self) -> bool {
        self.vlans.get().is_some()
    }

    /// The numbers of a VLAN, if they are counted.
    #[inline]
    #[must_use]
    pub fn vlan(&self, vid: Vid) -> Option<&VlanCounter> {
        let v = usize::from(vid.get());
        self.vlans.get()?.0[v / PAGE]
            .get()
            .map(|page| &page.0[v % PAGE])
    }

    /// Adds this worker's numbers to a sum.
    pub fn add_to(&self, sum: &mut PortTotals) {
        sum.frames_in += self.frames_in.read();
        sum.bytes_in += self.bytes_in.read();
        sum.frames_forwarded += self.frames_forwarded.read();
        sum.copies_from += self.copies_from.read();
        sum.copies_to += self.copies_to.read();
        sum.originated += self.originated.read();
        sum.frames_out += self.frames_out.read();
        sum.bytes_out += self.bytes_out.read();
        sum.finished += self.finished.read();
        sum.overheard += self.overheard.read();
        for (total, counter) in sum.drops.iter_mut().zip(&self.drops) {
            *total += counter.read();
        }
        for (total, counter) in sum.punts.iter_mut().zip(&self.punts) {
            *total += counter.read();
        }
    }
}

/// VLANs in one page: a port that is in few VLANs pays for few pages of 2 KB.
const PAGE: usize = 64;

#[derive(Debug)]
struct VlanCounters([OnceLock<Box<VlanPage>>; 4096 / PAGE]);

impl Default for VlanCounters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| OnceLock::new()))
    }
}

#[derive(Debug)]
struct VlanPage([VlanCounter; PAGE]);

impl Default for VlanPage {
    fn default() -> Self {
        Self(std::array::from_fn(|_| VlanCounter::default()))
    }
}

/// What passed one port in one VLAN.
#[derive(Debug, Default)]
pub struct VlanCounter {
    /// Frames admitted.
    pub frames_in: Counter,
    /// Their bytes.
    pub bytes_in: Counter,
    /// Copies handed to the device.
    pub frames_out: Counter,
    /// Their bytes.
    pub bytes_out: Counter,
}

/// Adds frames to the numbers of their VLANs, those in a row of one VLAN at once.
#[derive(Debug)]
pub(crate) struct VlanTally<'a> {
    counters: &'a PortCounters,
    incoming: bool,
    vid: Option<Vid>,
    frames: u64,
    bytes: u64,
}

impl<'a> VlanTally<'a> {
    /// Counts frames that came in. What was added is in the counters when the tally is dropped.
    pub(crate) const fn incoming(counters: &'a PortCounters) -> Self {
        Self::new(counters, true)
    }

    /// Counts copies that go out.
    pub(crate) const fn outgoing(counters: &'a PortCounters) -> Self {
        Self::new(counters, false)
    }

    const fn new(counters: &'a PortCounters, incoming: bool) -> Self {
        Self {
            counters,
            incoming,
            vid: None,
            frames: 0,
            bytes: 0,
        }
    }

    /// A frame of that many bytes.
    #[inline]
    pub(crate) fn add(&mut self, vid: Option<Vid>, bytes: usize) {
        if vid != self.vid {
            self.settle();
            self.vid = vid;
        }
        self.frames += 1;
        self.bytes += bytes as u64;
    }

    fn settle(&mut self) {
        let (frames, bytes) = (
            std::mem::take(&mut self.frames),
            std::mem::take(&mut self.bytes),
        );
        let Some(vlan) = self.vid.and_then(|vid| self.counters.vlan(vid)) else {
            return;
        };
        let (frames_of, bytes_of) = if self.incoming {
            (&vlan.frames_in, &vlan.bytes_in)
        } else {
            (&vlan.frames_out, &vlan.bytes_out)
        };
        frames_of.add(frames);
        bytes_of.add(bytes);
    }
}

impl Drop for VlanTally<'_> {
    fn drop(&mut self) {
        self.settle();
    }
}

/// The numbers of a port over all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortTotals {
    /// See [`PortCounters::frames_in`].
    pub frames_in: u64,
    /// See [`PortCounters::bytes_in`].
    pub bytes_in: u64,
    /// See [`PortCounters::frames_forwarded`].
    pub frames_forwarded: u64,
    /// See [`PortCounters::copies_from`].
    pub copies_from: u64,
    /// See [`PortCounters::copies_to`].
    pub copies_to: u64,
    /// See [`PortCounters::originated`].
    pub originated: u64,
    /// See [`PortCounters::frames_out`].
    pub frames_out: u64,
    /// See [`PortCounters::bytes_out`].
    pub bytes_out: u64,
    /// See [`PortCounters::finished`].
    pub finished: u64,
    /// See [`PortCounters::overheard`].
    pub overheard: u64,
    /// By [`DropReason::index`].
    pub drops: [u64; DropReason::COUNT],
    /// By [`PuntReason::index`].
    pub punts: [u64; PuntReason::COUNT],
}

impl Default for PortTotals {
    fn default() -> Self {
        Self {
            frames_in: 0,
            bytes_in: 0,
            frames_forwarded: 0,
            copies_from: 0,
            copies_to: 0,
            originated: 0,
            frames_out: 0,
            bytes_out: 0,
            finished: 0,
            overheard: 0,
            drops: [0; DropReason::COUNT],
            punts: [0; PuntReason::COUNT],
        }
    }
}

impl PortTotals {
    /// Adds another port's numbers.
    pub fn add(&mut self, other: &Self) {
        self.frames_in += other.frames_in;
        self.bytes_in += other.bytes_in;
        self.frames_forwarded += other.frames_forwarded;
        self.copies_from += other.copies_from;
        self.copies_to += other.copies_to;
        self.originated += other.originated;
        self.frames_out += other.frames_out;
        self.bytes_out += other.bytes_out;
        self.finished += other.finished;
        self.overheard += other.overheard;
        let drops = self.drops.iter_mut().zip(other.drops);
        drops.for_each(|(sum, more)| *sum += more);
        let punts = self.punts.iter_mut().zip(other.punts);
        punts.for_each(|(sum, more)| *sum += more);
    }

    /// Dropped on the way in.
    #[must_use]
    pub fn ingress_drops(&self) -> u64 {
        self.sum_drops(false)
    }

    /// Copies dropped on the way out.
    #[must_use]
    pub fn egress_drops(&self) -> u64 {
        self.sum_drops(true)
    }

    /// Handed to the control side.
    #[must_use]
    pub fn punted(&self) -> u64 {
        self.punts.iter().sum()
    }

    /// Whether the port's two equations of the module hold.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.frames_in == self.frames_forwarded + self.ingress_drops() + self.punted()
            && self.copies_to == self.frames_out + self.egress_drops()
    }

    fn sum_drops(&self, egress: bool) -> u64 {
        DropReason::ALL
            .iter()
            .filter(|r| r.is_egress() == egress)
            .map(|r| self.drops[r.index()])
            .sum()
    }
}

/// Whether one more is allowed in that second, of at most so many; counts it.
fn one_more([at, count]: &[Counter; 2], second: u64, most: u64) -> bool {
    if at.read() != second {
        at.add(second.wrapping_sub(at.read()));
        count.add(0_u64.wrapping_sub(count.read()));
    }
    let may = count.read() < most;
    count.add(u64::from(may));
    may
}
