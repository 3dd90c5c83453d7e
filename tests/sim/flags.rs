//! Port flags beyond the egress test: learning, limits, what a port accepts, the host's port.

use crate::{access, lan, trunk};
use vswitch_base::{EtherType, MacAddr, PortIndex, Tag, Tci, Tpid};
use vswitch_core::fdb::EntryKind;
use vswitch_core::snapshot::{AcceptFrames, BpduPolicy};
use vswitch_core::testing::announcements::ArpPacket;
use vswitch_core::testing::{MemFrame, MemSwitch, dot1q, frame, station, vid};
use vswitch_core::verdict::{DropReason, PuntReason};
use vswitch_tests::{broadcast, dropped, hear, plain, ports_reached, reserved, tagged};

/// B-07
#[test]
fn learning_off_forwards_without_learning() {
    let mut switch = lan(3);
    switch.change(1, |port| port.flags.learning = false);
    assert_eq!(ports_reached(&mut switch, 1, broadcast(station(1))), [2, 3]);
    switch.inject(1, plain(reserved(0x0e), station(1)));
    assert_eq!(switch.fdb(0).stats().entries, 0);
    assert_eq!(
        ports_reached(&mut switch, 2, plain(station(1), station(2))),
        [1, 3]
    );
}

/// F-04
#[test]
fn a_bridge_that_does_not_learn_is_a_hub() {
    let mut switch = lan(3);
    switch.bridge(0, |bridge| bridge.learning = false);
    hear(&mut switch, 1, 1);
    assert_eq!(
        ports_reached(&mut switch, 2, plain(station(1), station(2))),
        [1, 3]
    );
}

/// G-07
#[test]
fn accept_frames_refuses_by_tag() {
    use AcceptFrames::{All, Tagged, Untagged};
    let none: [u16; 0] = [];
    for (accept, untagged, priority, own) in [
        (All, true, true, true),
        (Untagged, true, true, false),
        (Tagged, false, false, true),
    ] {
        let mut switch = lan(2);
        switch.change(1, |port| port.accept = accept);
        for (frame, passes) in [
            (broadcast(station(1)), untagged),
            (
                tagged(MacAddr::BROADCAST, station(1), &[dot1q(0xa000)]),
                priority,
            ),
            (tagged(MacAddr::BROADCAST, station(1), &[dot1q(10)]), own),
        ] {
            let before = dropped(&switch, 1, DropReason::FrameTypeRefused);
            let reached = ports_reached(&mut switch, 1, frame);
            assert_eq!(reached, if passes { &[2][..] } else { &none }, "{accept:?}");
            let refused = dropped(&switch, 1, DropReason::FrameTypeRefused) - before;
            assert_eq!(refused, u64::from(!passes), "{accept:?}");
        }
    }
}

/// G-06
#[test]
fn mac_limit_drops_what_it_does_not_learn() {
    let mut switch = lan(2);
    switch.change(1, |port| port.mac_limit = 2);
    hear(&mut switch, 1, 1);
    hear(&mut switch, 1, 2);
    assert!(ports_reached(&mut switch, 1, broadcast(station(3))).is_empty());
    assert_eq!(dropped(&switch, 1, DropReason::MacLimit), 1);
    assert_eq!(
        ports_reached(&mut switch, 1, broadcast(station(1))),
        [2],
        "known ones go on"
    );
    // An address that leaves for another port makes room.
    hear(&mut switch, 2, 2);
    assert_eq!(ports_reached(&mut switch, 1, broadcast(station(3))), [2]);
}

/// F-15
#[test]
fn the_bridge_s_own_address_as_source_is_not_learned_but_forwarded() {
    let mut switch = lan(2);
    let mut host = access(9);
    host.flags.host = true;
    switch.add(9, host);
    let own = station(0x900);
    switch
        .fdb(0)
        .pin(Some(vid(10)), own, PortIndex(9), EntryKind::Local)
        .unwrap();
    assert_eq!(ports_reached(&mut switch, 1, broadcast(own)), [2, 9]);
    assert_eq!(ports_reached(&mut switch, 2, plain(own, station(2))), [9]);
}

/// T-04, T-05, G-08: Cisco's per-VLAN spanning tree, whose address is an ordinary group, as well.
#[test]
fn spanning_tree_frames_follow_the_port_s_policy() {
    for dst in [reserved(0), MacAddr::PVST] {
        let bpdu = || plain(dst, station(1));
        for (policy, reached, punted, contained) in [
            (BpduPolicy::Contain, false, None, 1),
            (BpduPolicy::Guard, false, Some(PuntReason::BpduGuard), 0),
            (BpduPolicy::Listen, false, Some(PuntReason::Bpdu), 0),
            (BpduPolicy::Forward, true, None, 0),
        ] {
            let mut switch = lan(2);
            switch.change(1, |port| {
                port.bpdu = policy;
                // The mask has no say in bit 0.
                port.group_fwd_mask = 1;
            });
            let passed = ports_reached(&mut switch, 1, bpdu()) == [2];
            assert_eq!(passed, reached, "{policy:?}");
            let punt = switch.outbox.punts.take();
            assert_eq!(punt.as_ref().map(|p| p.reason), punted, "{policy:?}");
            if let Some(punt) = punt {
                assert_eq!((punt.port, &punt.bytes[..]), (PortIndex(1), &bpdu()[..]));
            }
            assert_eq!(
                dropped(&switch, 1, DropReason::BpduContained),
                contained,
                "{policy:?}"
            );
        }
    }
}

/// T-05: a guest on a trunk sends it tagged, in each of its VLANs; none gets out.
#[test]
fn tagged_per_vlan_spanning_tree_is_contained_too() {
    let mut switch = MemSwitch::new();
    for number in [1, 2] {
        switch.add(number, trunk(number, &[10, 20]));
    }
    for (n, tag) in [10, 20].map(dot1q).into_iter().enumerate() {
        let bpdu = tagged(MacAddr::PVST, station(1), &[tag]);
        assert!(ports_reached(&mut switch, 1, bpdu.clone()).is_empty());
        let rest = [&bpdu[..12], &bpdu[16..]].concat();
        let stripped = MemFrame {
            stripped: Some(tag),
            ..rest.into()
        };
        assert!(ports_reached(&mut switch, 1, stripped).is_empty());
        let so_far = (n as u64 + 1) * 2;
        assert_eq!(dropped(&switch, 1, DropReason::BpduContained), so_far);
    }
}

/// T-05: a spanning tree frame reaches no guest whose port contains them only on the way in.
#[test]
fn spanning_tree_frames_pass_between_ports_that_forward_them() {
    let mut switch = lan(3);
    switch.change(1, |port| port.bpdu = BpduPolicy::Forward);
    assert_eq!(
        ports_reached(&mut switch, 1, plain(reserved(0), station(1))),
        [2, 3]
    );
    assert!(ports_reached(&mut switch, 2, plain(reserved(0), station(2))).is_empty());
}

/// V-17
#[test]
fn vlan_counters_count_admitted_and_sent_frames() {
    let mut switch = lan(1);
    switch.add(2, trunk(2, &[10, 20]));
    for port in [1, 2] {
        for v in [10, 20] {
            switch.count_vlan(port, vid(v));
        }
    }
    switch.inject(1, broadcast(station(1)));
    switch.inject(2, tagged(MacAddr::BROADCAST, station(2), &[dot1q(10)]));
    switch.inject(2, tagged(MacAddr::BROADCAST, station(2), &[dot1q(20)]));
    switch.inject(2, tagged(MacAddr::BROADCAST, station(2), &[dot1q(30)]));
    assert_eq!(switch.vlan_totals(1, vid(10)), Some([1, 60, 1, 60]));
    assert_eq!(switch.vlan_totals(2, vid(10)), Some([1, 64, 1, 64]));
    assert_eq!(switch.vlan_totals(2, vid(20)), Some([1, 64, 0, 0]));
    assert_eq!(switch.vlan_totals(1, vid(20)), Some([0, 0, 0, 0]));
    assert_eq!(switch.vlan_totals(1, vid(300)), None, "not counted there");
}

/// A flood of control frames costs its sender's frames, counted, and nothing else: another port's are
/// handed over as before.
#[test]
fn punts_are_bounded() {
    let mut switch = lan(2);
    switch.change(1, |port| port.flags.listens = true);
    for _ in 0..300 {
        switch.inject(1, plain(reserved(2), station(1)));
    }
    let totals = switch.totals(1);
    assert_eq!(totals.punts[PuntReason::SlowProtocol.index()], 64);
    assert_eq!(totals.drops[DropReason::PuntQueueFull.index()], 236);
    switch.change(2, |port| port.flags.listens = true);
    switch.inject(2, plain(reserved(2), station(2)));
    assert_eq!(switch.totals(2).punts[PuntReason::SlowProtocol.index()], 1);
    assert_eq!(ports_reached(&mut switch, 1, broadcast(station(1))), [2]);
}

/// N-06: a report of group membership goes on its way and the control side has a copy, untagged, with its VLAN;
/// of other ports, of other frames and of a flood it has none.
#[test]
fn reports_of_groups_are_overheard() {
    let mut switch = lan(2);
    switch.change(1, |port| port.flags.tells_groups = true);
    let mut report = frame(
        MacAddr([1, 0, 0x5e, 1, 2, 3]),
        station(1),
        &[],
        EtherType::IPV4,
        60,
    );
    (report[14], report[14 + 9], report[14 + 24]) = (0x46, 2, 0x16);
    switch.inject(1, report.clone());
    let punt = switch.outbox.punts.take().expect("a copy");
    assert_eq!(punt.reason, PuntReason::Groups);
    assert_eq!((punt.port, punt.vid), (PortIndex(1), Some(vid(10))));
    assert_eq!(punt.bytes[..], report[..]);
    assert_eq!(
        ports_reached(&mut switch, 1, report.clone()),
        [2],
        "and on its way"
    );
    let totals = switch.totals(1);
    assert_eq!((totals.overheard, totals.punted()), (2, 0));
    let mut other = report.clone();
    other[14 + 9] = 17;
    for (port, frame) in [(2, report.clone()), (1, other)] {
        switch.inject(port, frame);
    }
    assert_eq!(switch.totals(1).overheard, 2);
    for _ in 0..200 {
        switch.inject(1, report.clone());
    }
    assert_eq!(switch.totals(1).overheard, 64, "of a second");
}

/// what a station says of its IP addresses goes on its way and the control side has a copy, untagged, with
/// its VLAN; also said to one, and not in excess. Of other frames, and of another network, it has none.
#[test]
fn what_stations_say_of_their_addresses_is_overheard() {
    let said = |operation, ip, to: MacAddr, tags: &[Tag]| {
        ArpPacket {
            operation,
            sender: station(1),
            sender_ip: ip,
            target: station(2),
            target_ip: [10, 0, 0, 2],
        }
        .frame(to, tags)
    };
    let mut switch = lan(2);
    let ask = said(1, [10, 0, 0, 1], MacAddr::BROADCAST, &[]);
    switch.inject(1, ask.clone());
    assert!(switch.outbox.punts.take().is_none(), "not asked for");
    switch.change(1, |port| port.flags.tells_neighbours = true);
    for frame in [ask.clone(), said(2, [10, 0, 0, 1], station(2), &[])] {
        switch.inject(1, frame.clone());
        let punt = switch.outbox.punts.take().expect("a copy");
        assert_eq!(punt.reason, PuntReason::Neighbours);
        assert_eq!((punt.port, punt.vid), (PortIndex(1), Some(vid(10))));
        assert_eq!(punt.bytes[..], frame[..]);
    }
    assert_eq!(
        ports_reached(&mut switch, 1, ask.clone()),
        [2],
        "and on its way"
    );
    switch.outbox.punts.take().expect("a copy");
    let service = Tag {
        tpid: Tpid::Dot1ad,
        tci: Tci::default().with_vid(vid(10)),
    };
    for frame in [
        said(1, [0; 4], MacAddr::BROADCAST, &[]),
        said(1, [10, 0, 0, 1], MacAddr::BROADCAST, &[service]),
        broadcast(station(1)),
    ] {
        switch.inject(1, frame);
    }
    assert!(switch.outbox.punts.take().is_none());
    for _ in 0..200 {
        switch.inject(1, ask.clone());
    }
    assert_eq!(switch.totals(1).overheard, 32, "in that second");
}

/// R-03, N-06: stations that talk at once leave room for what the link partner says.
#[test]
fn what_is_overheard_leaves_room_for_link_protocols() {
    let mut switch = lan(40);
    switch.change(1, |port| port.flags.listens = true);
    for port in 1..=40 {
        switch.change(port, |port| port.flags.tells_neighbours = true);

        let said = ArpPacket {
            operation: 1,
            sender: station(port.into()),
            sender_ip: [10, 0, 0, 1],
            target: MacAddr::ZERO,
            target_ip: [10, 0, 0, 1],
        };
        for _ in 0..32 {
            switch.inject(port, said.frame(MacAddr::BROADCAST, &[]));
        }
    }
    switch.inject(1, plain(reserved(2), station(1)));
    let overheard: u64 = (1..=40).map(|port| switch.totals(port).overheard).sum();
    assert_eq!(overheard, 128);
    let totals = switch.totals(1);
    assert_eq!(totals.punts[PuntReason::SlowProtocol.index()], 1);
}
