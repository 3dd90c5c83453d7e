//! Pass 4: verdicts into copies, copies into frames to send, port by port.
//!
//! Staging holds indices into the batch, not frames: a flood to a thousand ports writes a thousand
//! pairs of bytes. Then each touched port gets its frames in one call. What a port cannot take over
//! (checksums, segments) is finished here, so that a frame with a bad checksum never leaves.

use crate::capture::CaptureTap;
use crate::counters::PortCounters;
use crate::frame::{BATCH_MAX, Frame, FrameBatch, TxFrame, TxHeader};
use crate::ingress::Classified;
use crate::offload::{self, Finisher};
use crate::port::{PortTx, TxReport};
use crate::sync::Arc;
use crate::verdict::{DropReason, Egress};
use arrayvec::ArrayVec;
use vswitch_base::ether::{ADDRESSES_LEN, HEADER_LEN, InBandTag};
use vswitch_base::{EtherView, Instant, PortIndex, Tag, Tci, Tpid, Vid};

/// A worker's way out of one port.
#[derive(Debug)]
pub struct TxSlot {
    /// The device's side; `None` while the port has no open device.
    pub tx: Option<Box<dyn PortTx>>,
    /// This worker's numbers of the port.
    pub counters: Arc<PortCounters>,
}

#[derive(Clone, Copy, Debug)]
struct Copy {
    frame: u8,
    tagged: bool,
}

#[derive(Clone, Debug)]
struct List {
    len: u8,
    copies: [Copy; BATCH_MAX],
}

/// Copies of the frames of one batch, by the port they leave by. Grown when a snapshot with more ports
/// arrives, never while a batch is handled.
#[derive(Debug, Default)]
pub struct Staging {
    lists: Vec<List>,
    touched: Vec<PortIndex>,
}

impl Staging {
    /// Makes room for ports up to `port_slots`.
    pub fn grow(&mut self, port_slots: usize) {
        if self.lists.len() < port_slots {
            let empty = List {
                len: 0,
                copies: [Copy {
                    frame: 0,
                    tagged: false,
                }; BATCH_MAX],
            };
            self.lists.resize(port_slots, empty);
            self.touched.reserve(port_slots);
        }
    }

    /// Stages a copy of frame number `frame` of the batch. At most one for each frame and port.
    #[inline]
    pub fn push(&mut self, frame: usize, egress: Egress) {
        let list = &mut self.lists[egress.port.index()];
        if list.len == 0 {
            self.touched.push(egress.port);
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a batch has at most 64 frames"
        )]
        let copy = Copy {
            frame: frame as u8,
            tagged: egress.tagged,
        };
        list.copies[usize::from(list.len)] = copy;
        list.len += 1;
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call site, and each is a worker's own field"
    )]
    /// Sends everything staged and leaves the staging empty. `mtu_of` is 0 for a port that has left.
    pub fn send_all(
        &mut self,
        batch: &FrameBatch<'_>,
        classes: &[Classified],
        slots: &mut [Option<TxSlot>],
        mtu_of: impl Fn(PortIndex) -> u16,
        finisher: &mut Finisher,
        lost: &PortCounters,
        taps: Taps<'_>,
    ) {
        for port in self.touched.drain(..) {
            let list = &mut self.lists[port.index()];
            let copies = &list.copies[..usize::from(list.len)];
            list.len = 0;
            let copies = copies.iter().map(|c| {
                let i = usize::from(c.frame);
                (&batch[i], &classes[i], c.tagged)
            });
            match slots.get_mut(port.index()).and_then(Option::as_mut) {
                Some(slot) => {
                    let tap = taps.and_then(|(taps, now)| {
                        Some((taps.get(port.index())?.as_deref()?, port, now))
                    });
                    send_port(slot, copies, mtu_of(port), finisher, tap);
                }
                None => {
                    let count = copies.count() as u64;
                    lost.copies_to.add(count);
                    lost.dropped(DropReason::TxDown).add(count);
                }
            }
        }
    }
}

/// Captures by port, and the time of the batch; `None` when nothing is captured anywhere.
pub type Taps<'a> = Option<(&'a [Option<Arc<CaptureTap>>], Instant)>;

/// Sends the copies staged for one port, in order.
fn send_port<'a>(
    slot: &mut TxSlot,
    copies: impl ExactSizeIterator<Item = (&'a Frame<'a>, &'a Classified, bool)>,
    mtu: u16,
    finisher: &mut Finisher,
    tap: Option<(&CaptureTap, PortIndex, Instant)>,
) {
    let counters = &*slot.counters;
    counters.copies_to.add(copies.len() as u64);
    let Some(tx) = slot.tx.as_deref_mut() else {
        counters
            .dropped(DropReason::TxDown)
            .add(copies.len() as u64);
        return;
    };
    let caps = tx.caps();
    let mut ready: ArrayVec<TxFrame<'_>, BATCH_MAX> = ArrayVec::new();
    for (frame, class, tagged) in copies {
        if !fits(frame, class, mtu) {
            counters.dropped(DropReason::TxOversize).add(1);
            continue;
        }
        let out = compose(frame, class, tagged);
        if let Some((tap, port, now)) = tap {
            tap.note_out(port, now, &out);
        }
        if let Some(vlan) = class.vid.and_then(|vid| counters.vlan(vid)) {
            vlan.frames_out.add(1);
            vlan.bytes_out.add(out.wire_len() as u64);
        }
        if offload::needs_finishing(&out.offload, caps) {
            // What was staged before goes first: frames of a flow stay in order.
            flush(tx, &mut ready, counters);
            finish(tx, &out, finisher, counters);
        } else {
            ready.push(out);
        }
    }
    flush(tx, &mut ready, counters);
}

fn flush(
    tx: &mut dyn PortTx,
    ready: &mut ArrayVec<TxFrame<'_>, BATCH_MAX>,
    counters: &PortCounters,
) {
    if ready.is_empty() {
        return;
    }
    let bytes: u64 = ready.iter().map(|f| f.wire_len() as u64).sum();
    let report = tx.send(ready);
    debug_assert_eq!(
        (report.sent + report.full + report.errors) as usize,
        ready.len()
    );
    count(counters, &report, bytes, ready.len() as u64);
    ready.clear();
}

/// Sends one frame that needs its checksum or segments made here. It counts as one copy: out when all
/// its segments were taken, dropped otherwise.
#[cold]
fn finish(
    tx: &mut dyn PortTx,
    frame: &TxFrame<'_>,
    finisher: &mut Finisher,
    counters: &PortCounters,
) {
    let Ok(segments) = finisher.finish(frame, tx.caps()) else {
        counters.dropped(DropReason::TxOffload).add(1);
        return;
    };
    counters.finished.add(1);
    let mut ready: ArrayVec<TxFrame<'_>, BATCH_MAX> = ArrayVec::new();
    let (mut bytes, mut total) = (0, TxReport::default());
    let mut send = |ready: &mut ArrayVec<TxFrame<'_>, BATCH_MAX>| {
        let report = tx.send(ready);
        total.sent += report.sent;
        total.full += report.full;
        total.errors += report.errors;
        ready.clear();
    };
    for segment in segments {
        bytes += segment.wire_len() as u64;
        ready.push(segment);
        if ready.is_full() {
            send(&mut ready);
        }
    }
    if !ready.is_empty() {
        send(&mut ready);
    }
    let one = TxReport {
        sent: u32::from(total.full + total.errors == 0),
        full: u32::from(total.full > 0),
        errors: u32::from(total.full == 0 && total.errors > 0),
        last_errno: total.last_errno,
    };
    count(counters, &one, bytes, 1);
}

fn count(counters: &PortCounters, report: &TxReport, bytes: u64, frames: u64) {
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
    let mut header = TxHeader::new(addresses);
    if tagged {
        header.push_tag(Tag {
            tpid: Tpid::Dot1q,
            tci: class.tci,
        });
    }
    if let Some(inner) = class.inner {
        header.push_tag(inner);
    }
    let cut = usize::from(class.cut);
    let rest = frame.bytes.get(cut..).unwrap_or_default();
    let offload = frame.offload.shifted(cut, header.as_slice().len());
    TxFrame {
        header,
        rest,
        offload,
    }
}

/// Whether a frame's payload fits an MTU. The Ethernet header and the VLAN's tag do not count, further
/// tags do; where VLANs are not filtered one outer tag is free all the same (Linux,
/// `is_skb_forwardable`). A frame that stands for segments is judged by its largest.
#[inline]
#[must_use]
pub fn fits(frame: &Frame<'_>, class: &Classified, mtu: u16) -> bool {
    let overhead = usize::from(class.cut) + (HEADER_LEN - ADDRESSES_LEN);
    let inner = if class.inner.is_some() { Tag::LEN } else { 0 };
    let mut payload = frame.bytes.len().saturating_sub(overhead) + inner;
    if class.vid.is_none() && (inner > 0 || tags_at(frame.bytes, ADDRESSES_LEN) > 0) {
        payload = payload.saturating_sub(Tag::LEN);
    }
    payload <= usize::from(mtu) || frame.offload.is_gso() && segments_fit(frame, class, mtu)
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

/// Counts an admitted frame in its VLAN, where that is wanted.
#[inline]
pub(crate) fn count_vlan_in(counters: &PortCounters, vid: Option<Vid>, bytes: usize) {
    if let Some(vlan) = vid.and_then(|vid| counters.vlan(vid)) {
        vlan.frames_in.add(1);
        vlan.bytes_in.add(bytes as u64);
    }
}
