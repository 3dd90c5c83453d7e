//! Pass 4: verdicts into copies, copies into frames to send, port by port.
//!
//! Staging holds numbers, not frames: a flood to a thousand ports writes a thousand bytes. Each frame
//! is composed once, or twice when it leaves both tagged and untagged, and once more for a bond that sends
//! it from another source; each touched port gets its frames in one call. What a port cannot take over
//! (checksums, segments) is finished here, so that a frame with a bad checksum never leaves.

use crate::bond::Station;
use crate::capture::CaptureTap;
use crate::counters::{PortCounters, VlanTally};
use crate::frame::{BATCH_MAX, Frame, FrameBatch, TxFrame, TxHeader, TxList};
use crate::ingress::Classified;
use crate::offload::{self, Finisher};
use crate::port::{PortTx, TxCaps, TxReport};
use crate::snapshot::{PortView, Snapshot};
use crate::sync::Arc;
use crate::verdict::{DropReason, Egress};
use arrayvec::ArrayVec;
use vswitch_base::ether::{ADDRESSES_LEN, HEADER_LEN, InBandTag};
use vswitch_base::flow::FlowView;
use vswitch_base::{EtherView, Instant, MacWord, PortIndex, Tag, Tci, Tpid};

/// A worker's way out of one port.
#[derive(Debug)]
pub struct TxSlot {
    /// The device's side; `None` while the port has no open device.
    pub tx: Option<Box<dyn PortTx>>,
    /// This worker's numbers of the port.
    pub counters: Arc<PortCounters>,
}

/// Variants of the frames of a batch: each untagged and tagged.
const VARIANTS: usize = 2 * BATCH_MAX;
/// Frames to compose: those, and as many from another source.
const COMPOSED: usize = VARIANTS + BATCH_MAX;
/// The number of a variant that nobody asked for yet.
const NONE: u8 = u8::MAX;
const _: () = assert!(COMPOSED < NONE as usize);

/// The frames that leave by one port, by their number among the composed ones.
#[derive(Clone, Debug)]
struct List {
    len: u8,
    numbers: [u8; BATCH_MAX],
}

/// Copies of the frames of one batch, by the port they leave by. Grown when a snapshot with more ports
/// arrives, never while a batch is handled.
#[derive(Debug)]
pub struct Staging {
    lists: Vec<List>,
    touched: Vec<PortIndex>,
    /// The number of each variant: frame times two, plus one if tagged.
    numbers: [u8; VARIANTS],
    /// The variants that are to be composed, by number.
    variants: ArrayVec<u8, COMPOSED>,
    /// The numbers that leave from another source ([`crate::bond::rewriting`]).
    sources: ArrayVec<(u8, MacWord), BATCH_MAX>,
}

impl Default for Staging {
    fn default() -> Self {
        Self {
            lists: Vec::new(),
            touched: Vec::new(),
            numbers: [NONE; VARIANTS],
            variants: ArrayVec::new(),
            sources: ArrayVec::new(),
        }
    }
}

impl Staging {
    /// Makes room for ports up to `port_slots`.
    pub fn grow(&mut self, port_slots: usize) {
        if self.lists.len() < port_slots {
            let empty = List {
                len: 0,
                numbers: [0; BATCH_MAX],
            };
            self.lists.resize(port_slots, empty);
            self.touched.reserve(port_slots);
        }
    }

    /// Stages a copy of frame number `frame` of the batch. At most one for each frame and port.
    #[inline]
    pub fn push(&mut self, frame: usize, egress: Egress) {
        let variant = frame * 2 + usize::from(egress.tagged);
        let mut number = self.numbers[variant];
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a batch has at most 64 frames, so 128 variants"
        )]
        if number == NONE {
            number = self.variants.len() as u8;
            self.numbers[variant] = number;
            self.variants.push(variant as u8);
        }
        self.list(egress.port, number);
    }

    /// As [`Self::push`], of a copy whose source becomes `source`; `false`: there is no room for another one,
    /// which is only where a frame leaves by several bonds that rewrite.
    #[inline(never)]
    pub fn push_from(&mut self, frame: usize, egress: Egress, source: MacWord) -> bool {
        let (Ok(variant), Ok(number)) = (
            u8::try_from(frame * 2 + usize::from(egress.tagged)),
            u8::try_from(self.variants.len()),
        ) else {
            return false;
        };
        if self.sources.try_push((number, source)).is_err() {
            return false;
        }
        self.variants.push(variant);
        self.list(egress.port, number);
        true
    }

    #[inline]
    fn list(&mut self, port: PortIndex, number: u8) {
        let list = &mut self.lists[port.index()];
        if list.len == 0 {
            self.touched.push(port);
        }
        list.numbers[usize::from(list.len)] = number;
        list.len += 1;
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "called by the worker only, and each is a field of its own"
    )]
    /// Sends everything staged and leaves the staging empty.
    pub fn send_all(
        &mut self,
        batch: &FrameBatch<'_>,
        classes: &[Classified],
        slots: &mut [Option<TxSlot>],
        snapshot: &Snapshot,
        now: Instant,
        finisher: &mut Finisher,
        lost: &PortCounters,
        taps: Taps<'_>,
    ) {
        let mut composed = Composed::new(batch, classes);
        for variant in self.variants.drain(..) {
            self.numbers[usize::from(variant)] = NONE;
            composed.add(variant);
        }
        for (number, source) in self.sources.drain(..) {
            composed.frames[usize::from(number)]
                .header
                .set_source(source);
        }
        for port in self.touched.drain(..) {
            let list = &mut self.lists[port.index()];
            let numbers = &list.numbers[..usize::from(list.len)];
            list.len = 0;
            let Some(slot) = slots.get_mut(port.index()).and_then(Option::as_mut) else {
                lost.copies_to.add(numbers.len() as u64);
                lost.dropped(DropReason::TxDown).add(numbers.len() as u64);
                continue;
            };
            let tap = taps.and_then(|taps| Some((taps.get(port.index())?.as_deref()?, port)));
            let exit = Exit {
                view: snapshot.port(port),
                now,
                tap,
            };
            send_port(slot, &composed, numbers, &exit, finisher);
        }
    }
}

/// The frames of a batch as they leave, each made once whatever the number of its copies.
struct Composed<'a> {
    batch: &'a FrameBatch<'a>,
    classes: &'a [Classified],
    frames: ArrayVec<TxFrame<'a>, COMPOSED>,
    /// The frame of the batch that each was made of.
    of: ArrayVec<u8, COMPOSED>,
    /// The largest payload, as MTUs count it. A frame that stands for segments counts whole: ports are
    /// then asked frame by frame.
    payload_max: usize,
    /// Whether any frame leaves work to whoever sends it.
    unfinished: bool,
    /// Whether any leaves work that no port takes.
    untakeable: bool,
}

impl<'a> Composed<'a> {
    fn new(batch: &'a FrameBatch<'a>, classes: &'a [Classified]) -> Self {
        Self {
            batch,
            classes,
            frames: ArrayVec::new(),
            of: ArrayVec::new(),
            payload_max: 0,
            unfinished: false,
            untakeable: false,
        }
    }

    #[inline]
    fn add(&mut self, variant: u8) {
        let i = usize::from(variant / 2);
        let (frame, class) = (&self.batch[i], &self.classes[i]);
        let out = compose(frame, class, variant & 1 != 0);
        self.payload_max = self.payload_max.max(payload_len(frame, class));
        self.unfinished |= out.offload.needs_csum() || out.offload.is_gso();
        self.untakeable |= offload::needs_finishing(&out, TxCaps::ALL);
        self.frames.push(out);
        self.of.push(variant / 2);
    }

    /// The frame of the batch, and its class, that a composed one was made of.
    #[inline]
    fn origin(&self, number: u8) -> (&'a Frame<'a>, &'a Classified) {
        let i = usize::from(self.of[usize::from(number)]);
        (&self.batch[i], &self.classes[i])
    }
}

/// Captures by port; `None` when nothing is captured anywhere.
pub type Taps<'a> = Option<&'a [Option<Arc<CaptureTap>>]>;

/// What is to be kept in mind of a port that frames leave by.
struct Exit<'a> {
    /// `None` when it has left.
    view: Option<&'a PortView>,
    now: Instant,
    tap: Option<(&'a CaptureTap, PortIndex)>,
}

/// Sends the copies staged for one port, in order.
fn send_port(
    slot: &mut TxSlot,
    composed: &Composed<'_>,
    numbers: &[u8],
    exit: &Exit<'_>,
    finisher: &mut Finisher,
) {
    let mtu = exit.view.map_or(0, |view| view.mtu);
    let rate = exit.view.and_then(|view| view.egress_rate.as_ref());
    let counters = &*slot.counters;
    counters.copies_to.add(numbers.len() as u64);
    let Some(tx) = slot.tx.as_deref_mut() else {
        counters
            .dropped(DropReason::TxDown)
            .add(numbers.len() as u64);
        return;
    };
    let caps = tx.caps();
    let all_ready = composed.payload_max <= usize::from(mtu)
        && (!composed.unfinished || caps == TxCaps::ALL && !composed.untakeable)
        && exit.tap.is_none()
        && rate.is_none();
    if all_ready {
        count_vlans_out(counters, composed, numbers);
        flush(tx, composed, numbers, finisher, counters);
        return;
    }
    let mut ready: ArrayVec<u8, BATCH_MAX> = ArrayVec::new();
    for number in numbers {
        let out = &composed.frames[usize::from(*number)];
        let (frame, class) = composed.origin(*number);
        if !fits(frame, class, mtu) {
            counters.dropped(DropReason::TxOversize).add(1);
            continue;
        }
        if let Some(rate) = rate
            && !rate.passes(out.wire_len(), true, exit.now)
        {
            counters.dropped(DropReason::PolicedOut).add(1);
            continue;
        }
        if let Some((tap, port)) = exit.tap {
            tap.note_out(port, exit.now, out);
        }
        count_vlans_out(counters, composed, &[*number]);
        if offload::needs_finishing(out, caps) {
            // What was staged before goes first: frames of a flow stay in order.
            flush(tx, composed, &ready, finisher, counters);
            ready.clear();
            finish(tx, out, caps, finisher, counters);
        } else {
            ready.push(*number);
        }
    }
    flush(tx, composed, &ready, finisher, counters);
}

/// Counts copies in their VLANs, where that is wanted.
#[inline]
fn count_vlans_out(counters: &PortCounters, composed: &Composed<'_>, numbers: &[u8]) {
    if counters.counts_vlans() {
        let mut tally = VlanTally::outgoing(counters);
        for number in numbers {
            let (_, class) = composed.origin(*number);
            tally.add(class.vid, composed.frames[usize::from(*number)].wire_len());
        }
    }
}

/// Sends the frames of those numbers, in order.
fn flush(
    tx: &mut dyn PortTx,
    composed: &Composed<'_>,
    numbers: &[u8],
    finisher: &mut Finisher,
    counters: &PortCounters,
) {
    if let Some(refused) = hand_over(tx, composed, numbers, counters) {
        cut_and_go_on(tx, composed, &numbers[refused..], finisher, counters);
    }
}

/// Hands frames to the device and counts them; the place of the one that it refused for want of cutting,
/// behind which it took none.
#[inline]
fn hand_over(
    tx: &mut dyn PortTx,
    composed: &Composed<'_>,
    numbers: &[u8],
    counters: &PortCounters,
) -> Option<usize> {
    if numbers.is_empty() {
        return None;
    }
    let list = TxList::new(&composed.frames, numbers);
    let report = tx.send(list);
    let handled = (report.sent + report.full + report.errors) as usize;
    debug_assert!(handled == numbers.len() || handled < numbers.len() && report.uncut);
    let bytes: u64 = list.iter().take(handled).map(|f| f.wire_len() as u64).sum();
    count(counters, &report, bytes, handled as u64);
    report.uncut.then_some(handled)
}

/// Cuts the first of the frames and hands over the others; again where one of them is refused.
#[cold]
fn cut_and_go_on(
    tx: &mut dyn PortTx,
    composed: &Composed<'_>,
    mut numbers: &[u8],
    finisher: &mut Finisher,
    counters: &PortCounters,
) {
    while let Some((refused, others)) = numbers.split_first() {
        let frame = &composed.frames[usize::from(*refused)];
        let caps = TxCaps {
            checksum: tx.caps().checksum,
            ..TxCaps::NONE
        };
        let sent = finish(tx, frame, caps, finisher, counters);
        if sent && offload::is_ordinary(frame) {
            tx.learn_uncut(frame.offload.gso_kind());
        }
        let next = hand_over(tx, composed, others, counters);
        numbers = next.map_or(&[], |at| &others[at..]);
    }
}

/// Sends one frame that needs its checksum or segments made here, for a port with `caps`. It counts as
/// one copy: out when all its segments were taken, dropped otherwise. Whether it went out.
#[cold]
fn finish(
    tx: &mut dyn PortTx,
    frame: &TxFrame<'_>,
    caps: TxCaps,
    finisher: &mut Finisher,
    counters: &PortCounters,
) -> bool {
    let Ok(segments) = finisher.finish(frame, caps) else {
        counters.dropped(DropReason::TxOffload).add(1);
        return false;
    };
    counters.finished.add(1);
    let mut ready: ArrayVec<TxFrame<'_>, BATCH_MAX> = ArrayVec::new();
    let (mut bytes, mut total) = (0, TxReport::default());
    let mut left = segments.len();
    for segment in segments {
        bytes += segment.wire_len() as u64;
        ready.push(segment);
        left -= 1;
        // The first goes alone: a device that has no room for it is not asked for the others.
        if total == TxReport::default() || ready.is_full() || left == 0 {
            let report = tx.send(TxList::all(&ready));
            total.sent += report.sent;
            total.full += report.full;
            total.errors += report.errors;
            total.last_errno = report.last_errno;
            ready.clear();
            if total.full + total.errors > 0 {
                break;
            }
        }
    }
    let one = TxReport {
        sent: u32::from(total.full + total.errors == 0),
        full: u32::from(total.full > 0),
        errors: u32::from(total.full == 0 && total.errors > 0),
        last_errno: total.last_errno,
        uncut: false,
    };
    count(counters, &one, bytes, 1);
    one.sent == 1
}

/// Counts what became of `frames` frames of `bytes` bytes.
pub(crate) fn count(counters: &PortCounters, report: &TxReport, bytes: u64, frames: u64) {
    counters.frames_out.add(report.sent.into());
    let sent = u64::from(report.sent);
    counters.bytes_out.add(if sent == frames {
        bytes
    } else {
        bytes * sent / frames
    });
    if report.full > 0 {
        counters.dropped(DropReason::TxFull).add(report.full.into());
    }
    if report.errors > 0 {
        counters
            .dropped(DropReason::TxError)
            .add(report.errors.into());
    }
}

/// The frame as it leaves, tagged with its VLAN or not.
#[inline]
fn compose<'a>(frame: &Frame<'a>, class: &Classified, tagged: bool) -> TxFrame<'a> {
    // Classified frames have a whole header; the empty fallback cannot be reached and cannot panic.
    let addresses = frame
        .bytes
        .first_chunk::<ADDRESSES_LEN>()
        .unwrap_or(&[0; ADDRESSES_LEN]);
    let outer = tagged.then_some(Tag {
        tpid: Tpid::Dot1q,
        tci: class.tci,
    });
    let header = TxHeader::with_tags(addresses, outer, class.inner);
    let cut = usize::from(class.cut);
    let rest = frame.bytes.get(cut..).unwrap_or_default();
    let offload = frame.offload.shifted(cut, header.as_slice().len());
    TxFrame {
        header,
        rest,
        offload,
    }
}

/// The sender of a frame, as a link sees it that the frame leaves by tagged or not.
#[inline]
pub(crate) fn station(class: &Classified, tagged: bool) -> Station {
    Station {
        vid: class.vid.filter(|_| tagged),
        mac: class.src,
    }
}

/// A classified frame as it leaves, for its flow; `None` for one that is too short to be sent.
#[inline]
pub(crate) fn flow<'f>(
    frame: &Frame<'f>,
    class: &Classified,
    tagged: bool,
) -> Option<FlowView<'f>> {
    let outer = tagged.then_some(Tag {
        tpid: Tpid::Dot1q,
        tci: class.tci,
    });
    let rest = frame.bytes.get(usize::from(class.cut)..)?;
    FlowView::leaving(frame.bytes.first_chunk()?, outer.or(class.inner), rest)
}

/// Whether a frame's payload fits an MTU. The Ethernet header and the VLAN's tag do not count, further
/// tags do; where VLANs are not filtered one outer tag is free all the same (Linux,
/// `is_skb_forwardable`). A frame that stands for segments is judged by its largest.
#[inline]
#[must_use]
pub fn fits(frame: &Frame<'_>, class: &Classified, mtu: u16) -> bool {
    payload_len(frame, class) <= usize::from(mtu)
        || frame.offload.is_gso() && segments_fit(frame, class, mtu)
}

/// Whether the port's rate has no room now for a copy of a frame.
pub(crate) fn is_policed(
    frame: &Frame<'_>,
    class: &Classified,
    egress: Egress,
    port: &PortView,
    now: Instant,
) -> bool {
    let len = compose(frame, class, egress.tagged).wire_len();
    let rate = port.egress_rate.as_ref();
    rate.is_some_and(|rate| !rate.passes(len, false, now))
}

/// What counts of a frame as a whole against an MTU; see [`fits`].
#[inline]
fn payload_len(frame: &Frame<'_>, class: &Classified) -> usize {
    let overhead = usize::from(class.cut) + (HEADER_LEN - ADDRESSES_LEN);
    let inner = if class.inner.is_some() { Tag::LEN } else { 0 };
    let mut payload = frame.bytes.len().saturating_sub(overhead) + inner;
    if class.vid.is_none() && (inner > 0 || tags_at(frame.bytes, ADDRESSES_LEN) > 0) {
        payload = payload.saturating_sub(Tag::LEN);
    }
    payload
}

#[cold]
fn segments_fit(frame: &Frame<'_>, class: &Classified, mtu: u16) -> bool {
    let tags = tags_at(frame.bytes, usize::from(class.cut)) + usize::from(class.inner.is_some());
    let counted = if class.vid.is_none() {
        tags.saturating_sub(1)
    } else {
        tags
    };
    let segment = offload::segment_payload_len(&compose(frame, class, false));
    segment + counted * Tag::LEN <= usize::from(mtu)
}

/// Tags in band from byte `at` on.
#[inline]
fn tags_at(bytes: &[u8], at: usize) -> usize {
    let mut rest = bytes.get(at..).unwrap_or_default();
    let mut tags = 0;
    while let [a, b, _, _, inner @ ..] = rest
        && Tpid::from_ether_type(u16::from_be_bytes([*a, *b])).is_some()
    {
        rest = inner;
        tags += 1;
    }
    tags
}

/// The tag that a frame came with, in or out of band, as pass 1 judged it.
#[must_use]
pub fn received_tci(frame: &Frame<'_>, class: &Classified) -> Option<Tci> {
    match frame.stripped {
        Some(Tag {
            tpid: Tpid::Dot1q,
            tci,
        }) => Some(tci),
        Some(_) => None,
        None if usize::from(class.cut) > ADDRESSES_LEN => {
            match EtherView::new(frame.bytes)?.tag() {
                InBandTag::Tag(tag) => Some(tag.tci),
                _ => None,
            }
        }
        None => None,
    }
}
