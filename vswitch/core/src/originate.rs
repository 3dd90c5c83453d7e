//! Frames of the switch itself: what the control side has to say on a link.
//!
//! LACPDUs, announcements after a failover, probes. The control side composes them whole, tag included,
//! and names the device they leave by; nothing is looked up, learned or cut. They are counted as copies
//! to the port and apart ([`PortCounters::originated`]), and captures see them leave.

use crate::capture::CaptureTap;
use crate::counters::PortCounters;
use crate::egress::{self, TxSlot};
use crate::frame::{BATCH_MAX, TxFrame, TxHeader, TxList, VnetHdr};
use crate::verdict::DropReason;
use arrayvec::ArrayVec;
use vswitch_base::ether::ADDRESSES_LEN;
use vswitch_base::{Instant, PortIndex};

/// Frames to send by one port, in order, each from its destination address on, without FCS.
pub type Originals = Box<[Box<[u8]>]>;

/// Sends frames by a port. What is shorter than two addresses is no frame and counted as refused.
pub(crate) fn send(
    slot: &mut TxSlot,
    port: PortIndex,
    frames: &[Box<[u8]>],
    tap: Option<&CaptureTap>,
    now: Instant,
) {
    let counters = &*slot.counters;
    counters.originated.add(frames.len() as u64);
    counters.copies_to.add(frames.len() as u64);
    let Some(tx) = slot.tx.as_deref_mut() else {
        counters
            .dropped(DropReason::TxDown)
            .add(frames.len() as u64);
        return;
    };
    for some in frames.chunks(BATCH_MAX) {
        let ready: ArrayVec<TxFrame<'_>, BATCH_MAX> =
            some.iter().filter_map(|frame| whole(frame)).collect();
        let refused = some.len() - ready.len();
        counters.dropped(DropReason::TxError).add(refused as u64);
        if let Some(tap) = tap {
            ready
                .iter()
                .for_each(|frame| tap.note_out(port, now, frame));
        }
        if !ready.is_empty() {
            let bytes = ready.iter().map(|frame| frame.wire_len() as u64).sum();
            let report = tx.send(TxList::all(&ready));
            egress::count(counters, &report, bytes, ready.len() as u64);
        }
    }
}

/// Nobody can send by that port: it has just left.
#[cold]
pub(crate) fn lose(lost: &PortCounters, frames: usize) {
    lost.originated.add(frames as u64);
    lost.copies_to.add(frames as u64);
    lost.dropped(DropReason::TxDown).add(frames as u64);
}

fn whole(frame: &[u8]) -> Option<TxFrame<'_>> {
    let (addresses, rest) = frame.split_first_chunk::<ADDRESSES_LEN>()?;
    Some(TxFrame {
        header: TxHeader::with_tags(addresses, None, None),
        rest,
        offload: VnetHdr::NONE,
    })
}

#[cfg(test)]
mod tests;
