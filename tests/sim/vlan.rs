//! VLAN rules beyond the ingress filter: hybrid ports, priority tags, the uplink of the README's kind.

use crate::{BR, access_in, lan, trunk};
use vswitch_base::{MacAddr, PortIndex};
use vswitch_core::snapshot::PortView;
use vswitch_core::testing::{MemSwitch, dot1q, station, vid};
use vswitch_core::verdict::DropReason;
use vswitch_tests::{broadcast, dropped, ports_reached, sent, tagged};

/// Untagged in `pvid`, tagged in the rest.
fn hybrid(number: u16, pvid: u16, rest: &[u16]) -> PortView {
    let mut view = PortView::access(PortIndex(number), BR, vid(pvid));
    view.vlans = rest.iter().chain(&[pvid]).map(|v| vid(*v)).collect();
    view
}

/// V-04: a hybrid port is untagged in one VLAN and tagged in others, both ways.
#[test]
fn a_hybrid_port_speaks_tagged_and_untagged() {
    let mut switch = MemSwitch::new();
    switch.add(1, hybrid(1, 10, &[20, 30]));
    switch.add(2, access_in(2, 10));
    switch.add(3, access_in(3, 20));
    assert_eq!(ports_reached(&mut switch, 1, broadcast(station(1))), [2]);
    let in_20 = tagged(MacAddr::BROADCAST, station(1), &[dot1q(20)]);
    switch.inject(1, in_20.clone());
    assert_eq!(
        sent(&switch),
        [(3, broadcast(station(1)))],
        "leaves untagged"
    );
    switch.inject(2, broadcast(station(2)));
    assert_eq!(
        sent(&switch),
        [(1, broadcast(station(2)))],
        "10 is untagged there"
    );
    switch.inject(3, broadcast(station(1)));
    assert_eq!(sent(&switch), [(1, in_20)], "20 is tagged there");
}

/// V-04: several VLANs may leave one port untagged; only one of them takes untagged frames in.
#[test]
fn several_vlans_leave_a_port_untagged() {
    let mut switch = MemSwitch::new();
    let mut server = hybrid(1, 10, &[20, 30]);
    server.untagged.insert(vid(20));
    switch.add(1, server);
    for (port, vlan) in [(2, 10), (3, 20), (4, 30)] {
        switch.add(port, access_in(port, vlan));
    }
    for (port, tags) in [(2, &[][..]), (3, &[]), (4, &[dot1q(30)])] {
        switch.inject(port, broadcast(station(9)));
        let expected = tagged(MacAddr::BROADCAST, station(9), tags);
        assert_eq!(sent(&switch), [(1, expected)], "from port {port}");
    }
    assert_eq!(ports_reached(&mut switch, 1, broadcast(station(1))), [2]);
}

/// V-06: without PVID neither untagged nor priority-tagged frames enter; tagged ones do.
#[test]
fn a_port_without_pvid_takes_tagged_frames_only() {
    let mut switch = lan(1);
    switch.add(2, trunk(2, &[10]));
    for frame in [
        broadcast(station(2)),
        tagged(MacAddr::BROADCAST, station(2), &[dot1q(5 << 13)]),
    ] {
        assert!(ports_reached(&mut switch, 2, frame).is_empty());
    }
    assert_eq!(dropped(&switch, 2, DropReason::NoPvid), 2);
    let in_10 = tagged(MacAddr::BROADCAST, station(2), &[dot1q(10)]);
    assert_eq!(ports_reached(&mut switch, 2, in_10), [1]);
}

/// V-07: VLAN 0 means no VLAN but a priority: it is classified as untagged and keeps PCP and DEI.
#[test]
fn a_priority_tag_keeps_its_priority_in_the_ports_vlan() {
    const PCP_5_DEI: u16 = 5 << 13 | 1 << 12;
    let mut switch = lan(2);
    switch.add(3, trunk(3, &[10]));
    switch.inject(
        1,
        tagged(MacAddr::BROADCAST, station(1), &[dot1q(PCP_5_DEI)]),
    );
    let retagged = tagged(MacAddr::BROADCAST, station(1), &[dot1q(PCP_5_DEI | 10)]);
    assert_eq!(sent(&switch), [(2, broadcast(station(1))), (3, retagged)]);
}

/// S-16: an uplink with `1 PVID Egress Untagged`, 100 and 200: those pass both ways, nothing else.
#[test]
fn an_uplink_lets_its_vlans_pass_and_no_others() {
    let mut switch = MemSwitch::new();
    switch.add(1, hybrid(1, 1, &[100, 200]));
    for (port, vlan) in [(2, 1), (3, 100), (4, 200), (5, 201)] {
        switch.add(port, access_in(port, vlan));
    }
    let from_outside = |vlan: Option<u16>| {
        let tags: Vec<_> = vlan.into_iter().map(dot1q).collect();
        tagged(MacAddr::BROADCAST, station(1), &tags)
    };
    for (vlan, reached) in [
        (None, &[2][..]),
        (Some(0), &[2]),
        (Some(1), &[2]),
        (Some(100), &[3]),
        (Some(200), &[4]),
        (Some(201), &[]),
    ] {
        assert_eq!(
            ports_reached(&mut switch, 1, from_outside(vlan)),
            reached,
            "{vlan:?}"
        );
    }
    assert_eq!(dropped(&switch, 1, DropReason::VlanNotAllowed), 1);
    for (port, leaves) in [
        (2, from_outside(None)),
        (3, from_outside(Some(100))),
        (4, from_outside(Some(200))),
    ] {
        switch.inject(port, broadcast(station(1)));
        assert_eq!(sent(&switch), [(1, leaves)]);
    }
    assert!(ports_reached(&mut switch, 5, broadcast(station(5))).is_empty());
    assert_eq!(dropped(&switch, 5, DropReason::NoEgress), 1);
}
