//! Step 7: what the station behind a port may send, and that nothing is learned from what it may not.

use crate::{access, lan, trunk};
use std::sync::Arc;
use vswitch_base::{MacAddr, Tag, Tci, Tpid};
use vswitch_core::protect::Protection;
use vswitch_core::snapshot::{BpduPolicy, PortState};
use vswitch_core::testing::{MemFrame, MemSwitch, dot1q, station, vid};
use vswitch_core::verdict::{DropReason, PuntReason};
use vswitch_tests::{broadcast, dropped, plain, ports_reached, reserved, tagged};

/// The station of that number, and its address is asked for.
pub(crate) fn of_station(number: u32) -> Arc<Protection> {
    Arc::new(Protection {
        macs: [station(number).word()].into(),
        spoof_check: true,
    })
}

/// Ports 1 to 3 of VLAN 10; station 1 alone is behind port 1.
fn guarded() -> MemSwitch {
    let mut switch = lan(3);
    switch.change(1, |port| port.protection = Some(of_station(1)));
    switch
}

fn learned(switch: &MemSwitch, mac: MacAddr) -> Option<u16> {
    let hit = switch.fdb(0).find(Some(vid(10)), mac);
    hit.map(|hit| hit.port.0)
}

/// G-02
#[test]
fn step_07_a_spoofed_source_ends_and_teaches_nothing() {
    let mut switch = guarded();
    vswitch_tests::hear(&mut switch, 2, 2);
    assert_eq!(ports_reached(&mut switch, 1, broadcast(station(1))), [2, 3]);
    for dst in [MacAddr::BROADCAST, station(2), station(9)] {
        assert!(ports_reached(&mut switch, 1, plain(dst, station(2))).is_empty());
        assert!(ports_reached(&mut switch, 1, plain(dst, station(8))).is_empty());
    }
    assert_eq!(dropped(&switch, 1, DropReason::MacSpoof), 6);
    assert_eq!(learned(&switch, station(1)), Some(1));
    assert_eq!(
        learned(&switch, station(2)),
        Some(2),
        "not moved by who says to be it"
    );
    assert_eq!(learned(&switch, station(8)), None);
    // What goes to the station is nobody's business.
    assert_eq!(
        ports_reached(&mut switch, 2, plain(station(1), station(2))),
        [1]
    );
}

/// G-02: several addresses, and with a tag in band, beside the bytes, or that is payload.
#[test]
fn step_07_each_own_address_passes_whatever_the_tag() {
    let mut switch = MemSwitch::new();
    switch.add(1, trunk(1, &[10, 20]));
    switch.add(2, trunk(2, &[10, 20]));
    let macs = (1..=16).map(|number| station(number).word()).collect();
    let protection = Protection {
        macs,
        spoof_check: true,
    };
    switch.change(1, |port| port.protection = Some(Arc::new(protection)));
    let service = Tag {
        tpid: Tpid::Dot1ad,
        tci: Tci(5),
    };
    for filtering in [true, false] {
        switch.bridge(0, |bridge| bridge.vlan_filtering = filtering);
        for number in 1..=17 {
            let src = station(number);
            let expected: &[u16] = if number == 17 { &[] } else { &[2] };
            let in_band = tagged(MacAddr::BROADCAST, src, &[dot1q(20), service]);
            assert_eq!(ports_reached(&mut switch, 1, in_band), expected);
            let beside = MemFrame {
                stripped: Some(dot1q(10)),
                ..broadcast(src).into()
            };
            assert_eq!(ports_reached(&mut switch, 1, beside), expected);
        }
    }
    assert_eq!(dropped(&switch, 1, DropReason::MacSpoof), 4);
}

/// G-02: what ends before keeps its reason, and what is for the link its way; neither teaches a spoofed source.
#[test]
fn step_07_what_is_settled_before_stays_so_and_teaches_nothing_false() {
    let mut switch = guarded();
    assert!(ports_reached(&mut switch, 1, plain(reserved(14), station(7))).is_empty());
    assert_eq!(dropped(&switch, 1, DropReason::ReservedAddress), 1);
    assert_eq!(learned(&switch, station(7)), None);
    switch.inject(1, plain(reserved(14), station(1)));
    assert_eq!(learned(&switch, station(1)), Some(1));
    switch.change(1, |port| port.bpdu = BpduPolicy::Guard);
    switch.inject(1, plain(reserved(0), station(7)));
    let punt = switch.outbox.punts.take().expect("a BPDU for the guard");
    assert_eq!(punt.reason, PuntReason::BpduGuard);
    assert_eq!(learned(&switch, station(7)), None);
    switch.change(1, |port| port.state = PortState::Learning);
    switch.inject(1, broadcast(station(7)));
    assert_eq!(dropped(&switch, 1, DropReason::MacSpoof), 1);
    assert_eq!(learned(&switch, station(7)), None);
}

/// G-02: a batch of frames from both is judged frame by frame.
#[test]
fn step_07_frames_of_one_batch_are_judged_each() {
    let mut switch = guarded();
    let wire = switch.wire(1).clone();
    for number in [1, 1, 7, 1, 7, 7] {
        wire.put(broadcast(station(number)));
    }
    switch.inject(1, broadcast(station(1)));
    assert_eq!(dropped(&switch, 1, DropReason::MacSpoof), 3);
    assert_eq!(switch.wire(2).take_all().len(), 4);
    // A port that asks for nothing is not held to it.
    switch.add(4, access(4));
    assert_eq!(
        ports_reached(&mut switch, 4, broadcast(station(7))),
        [1, 2, 3]
    );
}
