//! Sizes: what fits a port, tags that do not count, and frames that stand for several segments.

use crate::{access, lan, trunk};
use vswitch_base::{MacAddr, Tag, Tci, Tpid};
use vswitch_core::frame::VnetHdr;
use vswitch_core::port::TxCaps;
use vswitch_core::snapshot::PortView;
use vswitch_core::testing::{MemFrame, MemSwitch, dot1q, frame, station};
use vswitch_core::verdict::DropReason;
use vswitch_tests::packets::{tcp4, tcp4_checksums_hold};
use vswitch_tests::{EXPERIMENTAL, broadcast, dropped, hear, ports_reached};

fn of_payload(payload: usize, tags: &[Tag]) -> Vec<u8> {
    let len = 14 + tags.len() * Tag::LEN + payload;
    frame(MacAddr::BROADCAST, station(1), tags, EXPERIMENTAL, len)
}

/// L-06
#[test]
fn the_vlan_tag_does_not_count() {
    let mut switch = lan(2);
    switch.add(3, trunk(3, &[10]));
    assert_eq!(
        ports_reached(&mut switch, 1, of_payload(1_500, &[])),
        [2, 3]
    );
    assert_eq!(
        ports_reached(&mut switch, 3, of_payload(1_500, &[dot1q(10)])),
        [1, 2]
    );
    assert!(ports_reached(&mut switch, 1, of_payload(1_501, &[])).is_empty());
    assert!(ports_reached(&mut switch, 3, of_payload(1_501, &[dot1q(10)])).is_empty());
    for (port, count) in [(1, 1), (2, 2), (3, 1)] {
        assert_eq!(
            dropped(&switch, port, DropReason::TxOversize),
            count,
            "port {port}"
        );
    }
}

/// L-06
#[test]
fn a_stripped_tag_counts_like_one_in_band() {
    let mut switch = lan(2);
    for (payload, fits) in [(1_500, true), (1_501, false)] {
        let stripped = MemFrame {
            stripped: Some(dot1q(10)),
            ..of_payload(payload, &[]).into()
        };
        assert_eq!(
            ports_reached(&mut switch, 1, stripped) == [2],
            fits,
            "{payload}"
        );
    }
}

/// L-06: one customer tag is free on a bridge that does not look at tags, too.
#[test]
fn without_filtering_one_customer_tag_does_not_count() {
    let mut switch = lan(2);
    switch.bridge(0, |bridge| bridge.vlan_filtering = false);
    for (payload, fits) in [(1_500, true), (1_501, false)] {
        let in_band = of_payload(payload, &[dot1q(77)]);
        assert_eq!(
            ports_reached(&mut switch, 1, in_band) == [2],
            fits,
            "in band, {payload}"
        );
        let stripped = MemFrame {
            stripped: Some(dot1q(77)),
            ..of_payload(payload, &[]).into()
        };
        assert_eq!(
            ports_reached(&mut switch, 1, stripped) == [2],
            fits,
            "stripped, {payload}"
        );
        let plain = of_payload(payload, &[]);
        assert_eq!(
            ports_reached(&mut switch, 1, plain) == [2],
            fits,
            "no tag, {payload}"
        );
    }
}

/// L-06: a service tag is payload and counts.
#[test]
fn an_inner_tag_counts() {
    let service = Tag {
        tpid: Tpid::Dot1ad,
        tci: Tci(5),
    };
    let mut switch = lan(2);
    assert_eq!(
        ports_reached(&mut switch, 1, of_payload(1_496, &[service])),
        [2]
    );
    assert!(ports_reached(&mut switch, 1, of_payload(1_497, &[service])).is_empty());
    let stripped = |payload| MemFrame {
        stripped: Some(service),
        ..of_payload(payload, &[]).into()
    };
    assert_eq!(ports_reached(&mut switch, 1, stripped(1_496)), [2]);
    assert!(ports_reached(&mut switch, 1, stripped(1_497)).is_empty());
}

/// L-06, I-02: a large frame is judged by its segments, and passes whole where the device cuts.
#[test]
fn a_gso_frame_is_judged_by_its_largest_segment() {
    let mut switch = lan(2);
    hear(&mut switch, 2, 2);
    for (mss, fits) in [(1_460, true), (1_461, false)] {
        let large = tcp4(station(2), station(1), &[], 60_000, Some(mss));
        switch.inject(1, large.clone());
        let sent = switch.take_sent();
        assert_eq!(
            sent.get(&2),
            fits.then(|| vec![large]).as_ref(),
            "mss {mss}"
        );
    }
    assert_eq!(dropped(&switch, 2, DropReason::TxOversize), 1);
}

/// I-02
#[test]
fn a_tag_pushed_or_popped_moves_the_offload_offsets() {
    let mut switch = lan(1);
    switch.add(2, trunk(2, &[10]));
    let large = tcp4(MacAddr::BROADCAST, station(1), &[], 60_000, Some(1_460));
    let with_tag = tcp4(
        MacAddr::BROADCAST,
        station(1),
        &[dot1q(10)],
        60_000,
        Some(1_460),
    );
    switch.inject(1, large.clone());
    assert_eq!(switch.take_sent()[&2], std::slice::from_ref(&with_tag));
    switch.inject(2, with_tag);
    assert_eq!(switch.take_sent()[&1], [large]);
}

/// I-02: a frame with an unfinished checksum never leaves by a port that would send it like that.
#[test]
fn ports_that_cannot_get_finished_frames() {
    let mut switch = MemSwitch::new();
    switch.add(1, access(1));
    switch.add_with(2, access(2), TxCaps::NONE);
    let large = tcp4(MacAddr::BROADCAST, station(1), &[], 14_600, Some(1_460));
    switch.inject(1, large);
    let segments = switch.take_sent().remove(&2).unwrap();
    assert_eq!(segments.len(), 10);
    for segment in &segments {
        assert_eq!(segment.bytes.len(), 1_514);
        assert_eq!(segment.offload, VnetHdr::NONE);
        assert!(tcp4_checksums_hold(&segment.bytes));
    }
    let totals = switch.totals(2);
    assert_eq!((totals.frames_out, totals.finished), (1, 1));
    assert_eq!(totals.bytes_out, 15_140);

    let small = tcp4(MacAddr::BROADCAST, station(1), &[], 100, None);
    switch.inject(1, small);
    let whole = switch.take_sent().remove(&2).unwrap();
    assert!(whole.len() == 1 && tcp4_checksums_hold(&whole[0].bytes));
}

/// I-02: no device is left with a partial checksum of SCTP, which it would take for an Internet checksum.
#[test]
fn sctp_leaves_complete_by_every_port() {
    let mut switch = lan(2);
    let all = vswitch_tests::hostile::all(MacAddr::BROADCAST, station(1));
    let sctp = all.into_iter().find(|case| case.name.starts_with("SCTP"));
    let before = sctp.expect("a frame of SCTP").frame;
    // Among others, which the device gets as they are.
    let large = tcp4(MacAddr::BROADCAST, station(1), &[], 60_000, Some(1_460));
    switch.wire(1).put(large.clone());
    switch.wire(1).put(before.clone());
    switch.inject(1, large.clone());
    let sent = switch.take_sent().remove(&2).unwrap();
    assert_eq!((&sent[0], &sent[2]), (&large, &large));
    assert_eq!(sent[1].offload, VnetHdr::NONE);
    assert_ne!(sent[1].bytes[42..46], before.bytes[42..46]);
    assert_eq!(sent[1].bytes[46..], before.bytes[46..]);
}

/// A finished frame stays in its place among those that need nothing.
#[test]
fn finishing_keeps_the_order() {
    let mut switch = MemSwitch::new();
    switch.add(1, access(1));
    switch.add_with(2, access(2), TxCaps::NONE);
    let wire = switch.wire(1).clone();
    let lens = [60, 500, 61];
    wire.put(broadcast(station(1)));
    wire.put(tcp4(MacAddr::BROADCAST, station(1), &[], 500 - 54, None));
    switch.inject(
        1,
        frame(MacAddr::BROADCAST, station(1), &[], EXPERIMENTAL, 61),
    );
    let sent = switch.take_sent().remove(&2).unwrap();
    assert_eq!(sent.iter().map(|f| f.bytes.len()).collect::<Vec<_>>(), lens);
}

/// L-06
#[test]
fn jumbo_ports_take_jumbo_frames() {
    let mut switch = lan(1);
    switch.add(
        2,
        PortView {
            mtu: 9_000,
            ..access(2)
        },
    );
    switch.add(3, access(3));
    assert_eq!(ports_reached(&mut switch, 1, of_payload(9_000, &[])), [2]);
    assert!(ports_reached(&mut switch, 1, of_payload(9_001, &[])).is_empty());
}

/// An offload request whose offsets would leave the header's 16 bits with a pushed tag is refused:
/// wrapped, it would point the device at the frame's addresses.
#[test]
fn a_checksum_beyond_sixteen_bits_is_refused() {
    let mut switch = lan(1);
    switch.add(
        2,
        PortView {
            mtu: u16::MAX,
            ..trunk(2, &[10])
        },
    );
    let wild = MemFrame {
        bytes: frame(MacAddr::BROADCAST, station(1), &[], EXPERIMENTAL, 65_549),
        stripped: None,
        offload: VnetHdr {
            flags: VnetHdr::NEEDS_CSUM,
            csum_start: 65_534,
            csum_offset: 0,
            ..VnetHdr::NONE
        },
    };
    assert!(ports_reached(&mut switch, 1, wild).is_empty());
    assert_eq!(dropped(&switch, 1, DropReason::BadOffload), 1);
}
