//! Several bridges in one process share nothing but the worker (B-01).

use crate::{access, lan};
use vswitch_base::{BridgeIndex, PortIndex};
use vswitch_core::snapshot::PortView;
use vswitch_core::testing::{station, vid};
use vswitch_tests::{broadcast, hear, plain, ports_reached};

/// B-01
#[test]
fn bridges_do_not_know_each_other() {
    let mut switch = lan(2);
    switch.bridge(1, |_| {});
    for number in [11, 12] {
        switch.add(
            number,
            PortView::access(PortIndex(number), BridgeIndex(1), vid(10)),
        );
    }
    assert_eq!(ports_reached(&mut switch, 1, broadcast(station(1))), [2]);
    assert_eq!(ports_reached(&mut switch, 11, broadcast(station(1))), [12]);
    assert_eq!(
        ports_reached(&mut switch, 2, plain(station(1), station(2))),
        [1]
    );
    assert_eq!(
        ports_reached(&mut switch, 12, plain(station(1), station(2))),
        [11]
    );
}

/// B-01: a port that changed its bridge is nobody's destination in the old one.
#[test]
fn an_address_of_a_port_in_another_bridge_floods() {
    let mut switch = lan(3);
    switch.bridge(1, |_| {});
    hear(&mut switch, 2, 2);
    switch.change(2, |port| {
        *port = PortView {
            bridge: Some(BridgeIndex(1)),
            ..access(2)
        };
    });
    assert_eq!(
        ports_reached(&mut switch, 1, plain(station(2), station(1))),
        [3]
    );
}

/// B-03, B-04: two host ports of one bridge, each in its own VLAN.
#[test]
fn host_ports_live_in_their_own_vlans() {
    let mut switch = lan(2);
    let mut host = |number: u16, v: u16| {
        let mut port = crate::access_in(number, v);
        port.flags.host = true;
        switch.add(number, port);
        let kind = vswitch_core::fdb::EntryKind::Local;
        let mac = station(0x900 + u32::from(v));
        switch
            .fdb(0)
            .pin(Some(vid(v)), mac, PortIndex(number), kind)
            .unwrap();
    };
    host(8, 10);
    host(9, 20);
    assert_eq!(
        ports_reached(&mut switch, 1, plain(station(0x90a), station(1))),
        [8]
    );
    let other = plain(station(0x914), station(1));
    assert_eq!(
        ports_reached(&mut switch, 1, other),
        [2, 8],
        "unknown in this VLAN"
    );
    assert_eq!(
        ports_reached(&mut switch, 9, broadcast(station(0x914))),
        [] as [u16; 0]
    );
    assert_eq!(
        ports_reached(&mut switch, 8, broadcast(station(0x90a))),
        [1, 2]
    );
}
