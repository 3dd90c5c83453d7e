//! Devices that turn out not to cut: what they refuse whole leaves as segments, in its place.

use crate::access;
use vswitch_base::MacAddr;
use vswitch_core::frame::VnetHdr;
use vswitch_core::testing::{MemFrame, MemPort, MemSwitch, dot1q, frame, station};
use vswitch_core::verdict::DropReason;
use vswitch_tests::packets::{checksum, tcp4};
use vswitch_tests::{EXPERIMENTAL, dropped};

/// A switch whose port 2 refuses to cut, and that port's wire.
fn switch() -> (MemSwitch, MemPort) {
    let mut switch = MemSwitch::new();
    switch.add(1, access(1));
    let wire = switch.add(2, access(2));
    wire.refuse_to_cut();
    (switch, wire)
}

fn large(payload: usize) -> MemFrame {
    tcp4(MacAddr::BROADCAST, station(1), &[], payload, Some(1_460))
}

fn small(len: usize) -> MemFrame {
    frame(MacAddr::BROADCAST, station(1), &[], EXPERIMENTAL, len).into()
}

/// I-02: segments keep their place among the frames of the batch, and only they were to be finished.
#[test]
fn what_a_device_refuses_whole_leaves_as_segments_in_its_place() {
    let (mut switch, wire) = switch();
    let from = switch.wire(1).clone();
    from.put(small(60));
    from.put(large(3_000));
    from.put(small(61));
    from.put(large(1_500));
    from.put(large(5_000));
    switch.inject(1, small(62));
    let sent = wire.take_all();
    let lens: Vec<usize> = sent.iter().map(|f| f.bytes.len()).collect();
    let (full, rest) = (1_514, |payload: usize| 54 + payload % 1_460);
    assert_eq!(
        lens,
        [
            60,
            full,
            full,
            rest(3_000),
            61,
            full,
            rest(1_500),
            full,
            full,
            full,
            rest(5_000),
            62
        ]
    );
    for segment in sent.iter().filter(|f| f.bytes.len() > 62) {
        // The device still sums.
        assert!(segment.offload.needs_csum() && !segment.offload.is_gso());
        assert_eq!(
            checksum(&segment.bytes[14..34], 0),
            0,
            "the header's checksum"
        );
    }
    assert_eq!(wire.learned(), [VnetHdr::GSO_TCPV4; 3]);
    let totals = switch.totals(2);
    assert_eq!((totals.frames_out, totals.finished), (6, 3));
    assert_eq!(
        totals.bytes_out,
        sent.iter().map(|f| f.bytes.len() as u64).sum::<u64>()
    );
}

/// A device without room refuses the first segment as well: one drop, nothing learned, nobody waits.
#[test]
fn a_device_that_was_only_full_is_not_said_not_to_cut() {
    let (mut switch, wire) = switch();
    wire.limit_room(1);
    switch.wire(1).put(small(60));
    switch.wire(1).put(large(3_000));
    switch.inject(1, small(61));
    assert_eq!(wire.take_all().len(), 1);
    assert_eq!(dropped(&switch, 2, DropReason::TxFull), 2);
    assert!(wire.learned().is_empty());
}

/// A guest's odd frames are cut, but teach nothing: others' frames must not be cut on their account.
#[test]
fn unusual_frames_are_cut_and_teach_nothing() {
    let (mut switch, wire) = switch();
    let nested = [dot1q(10), dot1q(77), dot1q(78)];
    switch.inject(
        1,
        tcp4(MacAddr::BROADCAST, station(1), &nested, 3_000, Some(1_440)),
    );
    assert_eq!(wire.take_all().len(), 3);
    let mut lying = large(3_000);
    lying.offload.gso_type = VnetHdr::GSO_TCPV6;
    switch.inject(1, lying);
    assert!(wire.take_all().is_empty());
    assert_eq!(dropped(&switch, 2, DropReason::TxOffload), 1);
    assert!(wire.learned().is_empty());
}
