//! One test for each step that a frame takes through a bridge, in the order of the steps.
//!
//! Step 6 (locked ports) has no code yet; 7 is in `protect`, 8 in `reflections`;
//! 10 (snooping) and 12 (suppression) are held to what a switch without them must do: nothing.

use crate::{access, access_in, lan, trunk};
use vswitch_base::{EtherType, MacAddr, Tag, Tci, Tpid};
use vswitch_core::snapshot::{BpduPolicy, PortState};
use vswitch_core::testing::{MemFrame, MemSwitch, dot1q, frame, station, vid};
use vswitch_core::verdict::{DropReason, PuntReason};
use vswitch_tests::{
    EXPERIMENTAL, broadcast, dropped, group, hear, plain, ports_reached, reserved, sent, tagged,
};

fn learned(switch: &MemSwitch, number: u32) -> Option<u16> {
    switch
        .fdb(0)
        .find(Some(vid(10)), station(number))
        .map(|hit| hit.port.0)
}

/// B-15
#[test]
fn step_01_sanity_wants_an_ethernet_header() {
    let mut switch = lan(2);
    let whole = broadcast(station(1));
    for len in 0..14 {
        assert_eq!(
            ports_reached(&mut switch, 1, whole[..len].to_vec()),
            [] as [u16; 0]
        );
        assert_eq!(dropped(&switch, 1, DropReason::Runt), len as u64 + 1);
    }
    assert_eq!(ports_reached(&mut switch, 1, whole[..14].to_vec()), [2]);
}

/// B-15
#[test]
fn step_01_sanity_refuses_zero_and_group_sources() {
    let mut switch = lan(2);
    for (n, source) in [MacAddr::ZERO, MacAddr::BROADCAST, group(1), reserved(0)]
        .into_iter()
        .enumerate()
    {
        for dst in [MacAddr::BROADCAST, station(2), reserved(2)] {
            assert!(ports_reached(&mut switch, 1, plain(dst, source)).is_empty());
        }
        assert_eq!(
            dropped(&switch, 1, DropReason::SourceInvalid),
            (n as u64 + 1) * 3
        );
    }
    assert_eq!(switch.fdb(0).stats().entries, 0);
}

#[test]
fn step_01_sanity_floods_the_zero_destination() {
    let mut switch = lan(3);
    assert_eq!(
        ports_reached(&mut switch, 1, plain(MacAddr::ZERO, station(1))),
        [2, 3]
    );
}

/// V-02, V-03
#[test]
fn step_02_a_stripped_tag_counts_like_one_in_band() {
    for tci in [10, 0x6000 | 10, 0, 0xe000, 20, 4095] {
        let mut outcomes = Vec::new();
        for stripped in [false, true] {
            let mut switch = lan(2);
            switch.add(3, trunk(3, &[10, 20]));
            let tag = dot1q(tci);
            let dst = MacAddr::BROADCAST;
            let frame = if stripped {
                MemFrame {
                    stripped: Some(tag),
                    ..plain(dst, station(1)).into()
                }
            } else {
                tagged(dst, station(1), &[tag]).into()
            };
            switch.inject(1, frame);
            let totals = switch.totals(1);
            outcomes.push((
                sent(&switch),
                totals.drops,
                totals.bytes_in,
                learned(&switch, 1),
            ));
        }
        assert_eq!(outcomes[0], outcomes[1], "tci {tci:#x}");
    }
}

#[test]
fn step_02_a_stripped_tag_that_is_payload_goes_back() {
    let service = Tag {
        tpid: Tpid::Dot1ad,
        tci: Tci(0x2064),
    };
    let bytes = broadcast(station(1));
    let frame = MemFrame {
        bytes,
        stripped: Some(service),
        ..MemFrame::default()
    };
    let with_tag = tagged(MacAddr::BROADCAST, station(1), &[service]);
    let both = tagged(MacAddr::BROADCAST, station(1), &[dot1q(10), service]);

    let mut switch = lan(2);
    switch.add(3, trunk(3, &[10]));
    switch.inject(1, frame.clone());
    assert_eq!(sent(&switch), [(2, with_tag.clone()), (3, both)]);

    switch.bridge(0, |bridge| bridge.vlan_filtering = false);
    switch.inject(1, frame);
    assert_eq!(sent(&switch), [(2, with_tag.clone()), (3, with_tag)]);
}

/// B-09, G-08
#[test]
fn step_03_reserved_addresses_never_reach_the_lookup() {
    let mut switch = lan(3);
    for last in 0..16 {
        // An operator's mistake: even a static entry does not let them through.
        let kind = vswitch_core::fdb::EntryKind::Static;
        switch
            .fdb(0)
            .pin(
                Some(vid(10)),
                reserved(last),
                vswitch_base::PortIndex(2),
                kind,
            )
            .unwrap();
        assert!(ports_reached(&mut switch, 1, plain(reserved(last), station(1))).is_empty());
    }
    assert_eq!(switch.totals(1).ingress_drops(), 16);
}

#[test]
fn step_03_reserved_addresses_come_before_the_port_state() {
    let mut switch = lan(2);
    switch.change(1, |port| {
        port.state = PortState::Blocking;
        port.bpdu = BpduPolicy::Listen;
        port.flags.listens = true;
    });
    switch.inject(1, plain(reserved(0), station(1)));
    switch.inject(1, plain(reserved(2), station(1)));
    let reasons: Vec<_> = std::iter::from_fn(|| switch.outbox.punts.take())
        .map(|p| p.reason)
        .collect();
    assert_eq!(reasons, [PuntReason::Bpdu, PuntReason::SlowProtocol]);
    assert_eq!(learned(&switch, 1), None, "a blocking port teaches nothing");
}

/// B-03, B-09: the node speaks to its neighbours as the bridge, by all its ports and whatever their
/// masks say; but not what belongs to one link (PAUSE, LACP) nor what shuts the port beyond it.
#[test]
fn step_03_the_node_s_own_link_local_frames_leave_by_all_ports() {
    let mut switch = lan(3);
    switch.add(9, access(9));
    switch.change(9, |port| port.flags.host = true);
    switch.change(3, |port| port.floods = 0);
    let everywhere = [1, 2, 3];
    for last in 3..16 {
        let lldp = plain(reserved(last), station(9));
        assert_eq!(ports_reached(&mut switch, 9, lldp), everywhere, "{last:#x}");
    }
    for (last, reason) in [
        (0, DropReason::BpduContained),
        (1, DropReason::MacControl),
        (2, DropReason::ReservedAddress),
    ] {
        let frame = plain(reserved(last), station(9));
        assert!(ports_reached(&mut switch, 9, frame).is_empty(), "{last}");
        assert_eq!(dropped(&switch, 9, reason), 1);
    }
    // An operator may still say otherwise of slow protocols.
    switch.change(9, |port| port.group_fwd_mask = 1 << 2);
    let lacp = plain(reserved(2), station(9));
    assert_eq!(ports_reached(&mut switch, 9, lacp), everywhere);
    // A guest's stay where they are, and so does what a neighbour says to the node.
    assert!(ports_reached(&mut switch, 1, plain(reserved(14), station(1))).is_empty());
}

#[test]
fn step_03_link_local_frames_teach_their_source() {
    let mut switch = lan(2);
    switch.inject(1, plain(reserved(0x0e), station(1)));
    assert_eq!(learned(&switch, 1), Some(1));
    switch.inject(1, plain(reserved(1), station(2)));
    assert_eq!(learned(&switch, 2), None, "PAUSE teaches nothing");
    switch.inject(1, tagged(reserved(0x0e), station(3), &[dot1q(99)]));
    assert_eq!(
        learned(&switch, 3),
        None,
        "nor does a VLAN that the port is not in"
    );
    assert_eq!(dropped(&switch, 1, DropReason::ReservedAddress), 2);
}

#[test]
fn step_04_port_state_decides_who_enters() {
    for (state, learns, enters) in [
        (PortState::Disabled, false, false),
        (PortState::Blocking, false, false),
        (PortState::Learning, true, false),
        (PortState::Forwarding, true, true),
    ] {
        let mut switch = lan(2);
        switch.change(1, |port| port.state = state);
        let reached = ports_reached(&mut switch, 1, broadcast(station(1)));
        assert_eq!(reached == [2], enters, "{state:?}");
        assert_eq!(learned(&switch, 1), learns.then_some(1), "{state:?}");
        let blocked = u64::from(!learns);
        assert_eq!(
            dropped(&switch, 1, DropReason::PortBlocked),
            blocked,
            "{state:?}"
        );
        let learning = u64::from(learns && !enters);
        assert_eq!(
            dropped(&switch, 1, DropReason::PortLearning),
            learning,
            "{state:?}"
        );
    }
}

/// V-06, V-10, V-08
#[test]
fn step_05_what_the_ingress_filter_drops_is_not_learned() {
    let mut switch = lan(2);
    switch.add(3, trunk(3, &[20]));
    let cases = [
        (
            1,
            tagged(MacAddr::BROADCAST, station(1), &[dot1q(20)]),
            DropReason::VlanNotAllowed,
        ),
        (3, broadcast(station(1)), DropReason::NoPvid),
        (
            3,
            tagged(MacAddr::BROADCAST, station(1), &[dot1q(0)]),
            DropReason::NoPvid,
        ),
        (
            1,
            tagged(MacAddr::BROADCAST, station(1), &[dot1q(4095)]),
            DropReason::VlanReserved,
        ),
    ];
    for (port, frame, reason) in cases {
        let before = dropped(&switch, port, reason);
        assert!(
            ports_reached(&mut switch, port, frame).is_empty(),
            "{reason:?}"
        );
        assert_eq!(dropped(&switch, port, reason), before + 1);
        assert_eq!(switch.fdb(0).stats().entries, 0, "{reason:?}");
    }
}

/// B-01
#[test]
fn step_09_learns_the_source_in_its_vlan() {
    let mut switch = lan(3);
    hear(&mut switch, 1, 1);
    assert_eq!(learned(&switch, 1), Some(1));
    assert_eq!(switch.fdb(0).find(Some(vid(20)), station(1)), None);
    assert_eq!(switch.fdb(0).find(None, station(1)), None);
    assert_eq!(
        ports_reached(&mut switch, 2, plain(station(1), station(2))),
        [1]
    );
}

#[test]
fn step_10_without_snooping_even_malformed_reports_pass() {
    let mut switch = lan(3);
    let mut igmp = frame(group(0), station(1), &[], EtherType::IPV4, 60);
    // IPv4 with options, IGMP, a header longer than the packet: nothing of it is ours to judge.
    igmp[14] = 0x4f;
    igmp[23] = 2;
    switch.inject(1, igmp.clone());
    assert_eq!(sent(&switch), [(2, igmp.clone()), (3, igmp)]);
}

#[test]
fn step_11_a_learning_port_learns_before_it_drops() {
    let mut switch = lan(2);
    switch.change(1, |port| port.state = PortState::Learning);
    assert!(ports_reached(&mut switch, 1, broadcast(station(1))).is_empty());
    assert_eq!(dropped(&switch, 1, DropReason::PortLearning), 1);
    switch.change(1, |port| port.state = PortState::Forwarding);
    assert_eq!(
        ports_reached(&mut switch, 2, plain(station(1), station(2))),
        [1]
    );
}

#[test]
fn step_12_arp_requests_are_flooded_even_for_known_stations() {
    let mut switch = lan(3);
    hear(&mut switch, 2, 2);
    let request = frame(MacAddr::BROADCAST, station(1), &[], EtherType::ARP, 60);
    switch.inject(1, request.clone());
    assert_eq!(sent(&switch), [(2, request.clone()), (3, request)]);
}

/// B-01, F-01
#[test]
fn step_13_looks_the_destination_up_in_the_frame_s_vlan() {
    let mut switch = lan(2);
    switch.add(3, access_in(3, 20));
    switch.add(4, trunk(4, &[10, 20]));
    hear(&mut switch, 2, 7);
    hear(&mut switch, 3, 7);
    assert_eq!(
        ports_reached(&mut switch, 1, plain(station(7), station(1))),
        [2]
    );
    let in_20 = tagged(station(7), station(4), &[dot1q(20)]);
    assert_eq!(ports_reached(&mut switch, 4, in_20), [3]);
    let in_10 = tagged(station(7), station(4), &[dot1q(10)]);
    assert_eq!(ports_reached(&mut switch, 4, in_10), [2]);
}

/// B-03
#[test]
fn step_14_delivers_to_one_port_to_the_host_or_to_all() {
    let mut switch = lan(3);
    let mut host = access(9);
    host.flags.host = true;
    switch.add(9, host);
    let own = station(0x900);
    let local = vswitch_core::fdb::EntryKind::Local;
    switch
        .fdb(0)
        .pin(Some(vid(10)), own, vswitch_base::PortIndex(9), local)
        .unwrap();
    hear(&mut switch, 2, 2);

    let all = [2, 3, 9];
    assert_eq!(
        ports_reached(&mut switch, 1, plain(station(2), station(1))),
        [2]
    );
    assert_eq!(ports_reached(&mut switch, 1, plain(own, station(1))), [9]);
    assert_eq!(
        ports_reached(&mut switch, 1, plain(station(77), station(1))),
        all
    );
    assert_eq!(
        ports_reached(&mut switch, 1, plain(group(1), station(1))),
        all
    );
    assert_eq!(ports_reached(&mut switch, 1, broadcast(station(1))), all);
}

#[test]
fn frames_of_one_batch_keep_their_order() {
    let mut switch = lan(2);
    let frames: Vec<Vec<u8>> = (0..200)
        .map(|n| frame(MacAddr::BROADCAST, station(1), &[], EXPERIMENTAL, 60 + n))
        .collect();
    let wire = switch.wire(1).clone();
    for frame in &frames[1..] {
        wire.put(frame.clone());
    }
    // The last one goes through `inject`, which runs the worker over all of them.
    switch.inject(1, frames[0].clone());
    let mut expected = frames[1..].to_vec();
    expected.push(frames[0].clone());
    let got: Vec<Vec<u8>> = sent(&switch).into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(got, expected);
}
