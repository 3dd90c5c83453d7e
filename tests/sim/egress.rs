//! The test that each candidate port of a frame must pass (`should_deliver`), condition by condition.

use crate::{access, access_in, lan, trunk};
use vswitch_base::MacAddr;
use vswitch_core::snapshot::PortState;
use vswitch_core::testing::{MemSwitch, dot1q, station};
use vswitch_core::verdict::{DropReason, FloodClass};
use vswitch_tests::{broadcast, dropped, group, hear, plain, ports_reached, tagged};

/// Reached by a frame for a known station behind port 2, and by a flood.
fn reached(switch: &mut MemSwitch) -> (Vec<u16>, Vec<u16>) {
    let known = ports_reached(switch, 1, plain(station(2), station(1)));
    let flood = ports_reached(switch, 1, broadcast(station(1)));
    (known, flood)
}

/// B-06
#[test]
fn egress_not_the_ingress_port_unless_hairpin() {
    let mut switch = lan(2);
    hear(&mut switch, 1, 11);
    assert!(ports_reached(&mut switch, 1, plain(station(11), station(1))).is_empty());
    assert_eq!(dropped(&switch, 1, DropReason::SamePort), 1);
    assert_eq!(ports_reached(&mut switch, 1, broadcast(station(1))), [2]);
    switch.change(1, |port| port.flags.hairpin = true);
    assert_eq!(
        ports_reached(&mut switch, 1, plain(station(11), station(1))),
        [1]
    );
    assert_eq!(ports_reached(&mut switch, 1, broadcast(station(1))), [1, 2]);
}

#[test]
fn egress_port_state_forwarding() {
    for state in [
        PortState::Disabled,
        PortState::Blocking,
        PortState::Learning,
    ] {
        let mut switch = lan(3);
        hear(&mut switch, 2, 2);
        switch.change(2, |port| port.state = state);
        assert_eq!(reached(&mut switch), (vec![], vec![3]), "{state:?}");
        assert_eq!(
            dropped(&switch, 1, DropReason::EgressBlocked),
            1,
            "{state:?}"
        );
    }
}

/// V-01
#[test]
fn egress_vlan_member() {
    let mut switch = lan(3);
    hear(&mut switch, 2, 2);
    switch.change(2, |port| {
        *port = access_in(2, 20);
    });
    assert_eq!(reached(&mut switch), (vec![], vec![3]));
    assert_eq!(dropped(&switch, 1, DropReason::EgressVlan), 1);
}

/// G-01
#[test]
fn egress_not_both_isolated() {
    let mut switch = lan(3);
    hear(&mut switch, 2, 2);
    switch.change(1, |port| port.flags.isolated = true);
    assert_eq!(
        reached(&mut switch),
        (vec![2], vec![2, 3]),
        "only the ingress"
    );
    switch.change(2, |port| port.flags.isolated = true);
    assert_eq!(reached(&mut switch), (vec![], vec![3]), "both");
    assert_eq!(dropped(&switch, 1, DropReason::Isolated), 1);
    switch.change(1, |port| port.flags.isolated = false);
    assert_eq!(
        reached(&mut switch),
        (vec![2], vec![2, 3]),
        "only the egress"
    );
}

/// L-06
#[test]
fn egress_mtu_fits() {
    let mut switch = lan(3);
    hear(&mut switch, 2, 2);
    switch.change(2, |port| port.mtu = 45);
    assert_eq!(
        reached(&mut switch),
        (vec![], vec![3]),
        "46 bytes of payload"
    );
    assert_eq!(dropped(&switch, 2, DropReason::TxOversize), 2);
    switch.change(2, |port| port.mtu = 46);
    assert_eq!(reached(&mut switch), (vec![2], vec![2, 3]));
}

/// B-08
#[test]
fn egress_flood_switches_one_by_one() {
    let (unicast, multicast, broadcast) = (
        FloodClass::UnknownUnicast,
        FloodClass::Multicast,
        FloodClass::Broadcast,
    );
    for off in [unicast, multicast, broadcast] {
        let mut switch = lan(3);
        hear(&mut switch, 2, 2);
        switch.change(2, |port| port.floods &= !off.bit());
        for (class, dst) in [
            (unicast, station(99)),
            (multicast, group(1)),
            (broadcast, MacAddr::BROADCAST),
        ] {
            let expected: &[u16] = if class == off { &[3] } else { &[2, 3] };
            let reached = ports_reached(&mut switch, 1, plain(dst, station(1)));
            assert_eq!(reached, expected, "{off:?} off, {class:?}");
        }
        let known = ports_reached(&mut switch, 1, plain(station(2), station(1)));
        assert_eq!(known, [2], "a known station is no flood");
    }
}

#[test]
fn egress_the_host_ignores_multicast_and_broadcast_switches() {
    let mut switch = lan(2);
    let mut host = access(9);
    host.flags.host = true;
    switch.add(9, host);
    switch.change(2, |port| port.floods = 0);
    assert_eq!(ports_reached(&mut switch, 9, broadcast(station(9))), [1, 2]);
    assert_eq!(
        ports_reached(&mut switch, 9, plain(group(1), station(9))),
        [1, 2]
    );
    let unknown = plain(station(99), station(9));
    assert_eq!(
        ports_reached(&mut switch, 9, unknown),
        [1],
        "but not `flood` off"
    );
    assert_eq!(ports_reached(&mut switch, 1, broadcast(station(1))), [9]);
}

#[test]
fn a_flood_that_nobody_takes_is_a_drop() {
    let mut switch = lan(1);
    assert!(ports_reached(&mut switch, 1, broadcast(station(1))).is_empty());
    assert_eq!(dropped(&switch, 1, DropReason::NoEgress), 1);
    switch.add(2, trunk(2, &[20]));
    assert!(ports_reached(&mut switch, 1, broadcast(station(1))).is_empty());
    let elsewhere = tagged(MacAddr::BROADCAST, station(1), &[dot1q(20)]);
    assert!(ports_reached(&mut switch, 2, elsewhere).is_empty());
    assert_eq!(dropped(&switch, 2, DropReason::NoEgress), 1);
}
