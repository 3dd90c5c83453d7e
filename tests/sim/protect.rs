//! Step 7: what the station behind a port may send, and that nothing is learned from what it may not.

use crate::{access, lan, trunk};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use vswitch_base::{EtherType, MacAddr, Tag, Tci, Tpid};
use vswitch_core::protect::{Claims, Gate, Protection};
use vswitch_core::snapshot::{BpduPolicy, PortState};
use vswitch_core::testing::announcements::{self, ArpPacket};
use vswitch_core::testing::packets::{ICMPV6, UDP, discovery, extended, in_frame, ipv4, ipv6, udp};
use vswitch_core::testing::{MemFrame, MemSwitch, dot1q, station, vid};
use vswitch_core::verdict::{DropReason, PuntReason, Verdict};
use vswitch_core::worker::WorkerEvent;
use vswitch_tests::{broadcast, dropped, plain, ports_reached, reserved, tagged};

/// The station of that number, and its address is asked for.
pub(crate) fn of_station(number: u32) -> Arc<Protection> {
    Arc::new(Protection {
        macs: [station(number).word()].into(),
        spoof_check: true,
        ..Protection::default()
    })
}

const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 8);
const OWN6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
const OTHER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 8);

/// The same, guarded, with one IP address of each family.
pub(crate) fn of_guest(number: u32) -> Arc<Protection> {
    Arc::new(Protection {
        claims: Some(Claims::new(&[OWN.into(), OWN6.into()])),
        ..Protection::clone(&of_station(number))
    })
}

/// A frame of station 1 that a guard drops for that reason.
pub(crate) fn lie(reason: DropReason, tags: &[Tag]) -> Vec<u8> {
    let (src, all) = (station(1), MacAddr::BROADCAST);
    let six = |packet: &[u8]| in_frame(all, src, tags, EtherType::IPV6, packet);
    match reason {
        DropReason::ArpSpoof => {
            let packet = ArpPacket {
                operation: 2,
                sender: src,
                sender_ip: OTHER.octets(),
                target: station(2),
                target_ip: OWN.octets(),
            };
            packet.frame(all, tags)
        }
        DropReason::NdSpoof => {
            let message = discovery(136, OTHER6, &[(2, src)]);
            six(&ipv6(OWN6, OTHER6, ICMPV6, &message))
        }
        DropReason::DhcpServer => {
            let packet = ipv4(OWN, OTHER, UDP, &udp(67, 68));
            in_frame(all, src, tags, EtherType::IPV4, &packet)
        }
        DropReason::RaGuard => six(&ipv6(
            OWN6,
            OTHER6,
            0,
            &extended(ICMPV6, &discovery(134, OWN6, &[])),
        )),
        _ => {
            let packet = ipv4(OTHER, OWN, UDP, &udp(5, 53));
            in_frame(all, src, tags, EtherType::IPV4, &packet)
        }
    }
}

/// The reasons of a guard.
const LIES: [DropReason; 5] = [
    DropReason::ArpSpoof,
    DropReason::NdSpoof,
    DropReason::IpSpoof,
    DropReason::DhcpServer,
    DropReason::RaGuard,
];

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
        ..Protection::default()
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

/// G-03, G-04, N-14: each lie ends with its reason, however it is tagged, and teaches nothing.
#[test]
fn step_07_a_guard_sees_through_tags() {
    let service = Tag {
        tpid: Tpid::Dot1ad,
        tci: Tci(5),
    };
    for reason in LIES {
        for filtering in [true, false] {
            let mut switch = MemSwitch::new();
            switch.add(1, trunk(1, &[10]));
            switch.add(2, trunk(2, &[10]));
            switch.change(1, |port| port.protection = Some(of_guest(1)));
            switch.bridge(0, |bridge| bridge.vlan_filtering = filtering);
            let own = dot1q(10);
            let stripped = |tags: &[Tag]| MemFrame {
                stripped: Some(own),
                ..lie(reason, tags).into()
            };
            for frame in [
                lie(reason, &[own]).into(),
                lie(reason, &[own, service]).into(),
                lie(reason, &[own, own, service]).into(),
                stripped(&[]),
                stripped(&[service]),
            ] {
                let before = dropped(&switch, 1, reason);
                assert!(ports_reached(&mut switch, 1, frame).is_empty());
                assert_eq!(dropped(&switch, 1, reason), before + 1, "{reason:?}");
            }
            assert_eq!(switch.fdb(0).stats().entries, 0);
        }
    }
}

/// G-03, N-14: what is true passes, and so does the same from a port without a guard.
#[test]
fn step_07_a_guard_lets_the_station_be_itself() {
    let mut switch = guarded();
    switch.change(1, |port| port.protection = Some(of_guest(1)));
    let own =
        |packet: &[u8]| in_frame(MacAddr::BROADCAST, station(1), &[], EtherType::IPV4, packet);
    let ask = ArpPacket {
        operation: 1,
        sender: station(1),
        sender_ip: OWN.octets(),
        target: MacAddr::ZERO,
        target_ip: OTHER.octets(),
    };
    let none = Ipv4Addr::UNSPECIFIED;
    for frame in [
        broadcast(station(1)),
        ask.frame(MacAddr::BROADCAST, &[]),
        announcements::rarp(station(1), &[]),
        announcements::advertisement(station(1), &[]),
        own(&ipv4(OWN, OTHER, UDP, &udp(5, 53))),
        own(&ipv4(none, Ipv4Addr::BROADCAST, UDP, &udp(68, 67))),
    ] {
        assert_eq!(ports_reached(&mut switch, 1, frame), [2, 3]);
    }
    assert_eq!(switch.totals(1).ingress_drops(), 0);
    for reason in LIES {
        assert_eq!(ports_reached(&mut switch, 2, lie(reason, &[])), [1, 3]);
    }
}

/// G-03: a frame that stands for segments has the headers of any.
#[test]
fn step_07_a_guard_judges_uncut_segments() {
    let mut switch = guarded();
    let segments = || {
        let mut frame =
            vswitch_tests::packets::tcp4(MacAddr::BROADCAST, station(1), &[], 20_000, Some(1_400));
        frame.bytes[16..18].fill(0);
        frame
    };
    for (own, drops) in [(Ipv4Addr::new(10, 0, 0, 1), 0), (OTHER, 1)] {
        let protection = Protection {
            claims: Some(Claims::new(&[own.into()])),
            ..Protection::clone(&of_station(1))
        };
        switch.change(1, |port| port.protection = Some(Arc::new(protection)));
        switch.inject(1, segments());
        assert_eq!(dropped(&switch, 1, DropReason::IpSpoof), drops);
    }
}

/// G-03: whatever a guest makes of its frames, no byte leads to a panic, and what passes is read as true.
#[test]
fn no_guest_leads_a_guard_astray() {
    let mut rng = vswitch_tests::rng::Rng::from_env("guests");
    let mut switch = guarded();
    switch.change(1, |port| port.protection = Some(of_guest(1)));
    let mut passed = 0;
    for _ in 0..vswitch_tests::fuzz::cases() {
        let mut frame = match rng.below(4) {
            0 => in_frame(
                station(2),
                station(1),
                &[],
                EtherType::IPV4,
                &ipv4(OWN, OTHER, UDP, &udp(5, 53)),
            ),
            1 => announcements::advertisement(station(1), &[]),
            _ => lie(rng.pick(&LIES), &[]),
        };
        vswitch_tests::fuzz::damage(&mut rng, &mut frame);
        switch.inject(1, frame);
        for frame in switch.wire(2).take_all() {
            passed += 1;
            assert_eq!(frame.bytes[6..12], station(1).0);
            match frame.bytes[12..14] {
                [8, 0] => assert_eq!(frame.bytes[26..30], OWN.octets()),
                [8, 6] => assert_eq!(frame.bytes[22..28], station(1).0),
                _ => {}
            }
        }
        let _ = switch.take_sent();
    }
    assert!(passed > 0);
}

/// Port 1 of the guarded switch, held as well, or held alone.
fn held(known: bool) -> (MemSwitch, Arc<Gate>) {
    let mut switch = guarded();
    let gate = Arc::<Gate>::default();
    let protection = Protection {
        gate: Some(Arc::clone(&gate)),
        ..if known {
            Protection::clone(&of_guest(1))
        } else {
            Protection::default()
        }
    };
    switch.change(1, |port| port.protection = Some(Arc::new(protection)));
    (switch, gate)
}

/// N-03: nothing comes out of a held port and nothing is learned from it, until its station speaks; what is for the
/// station passes.
#[test]
fn step_07_a_held_port_opens_at_the_first_word_of_its_station() {
    let (mut switch, gate) = held(true);
    vswitch_tests::hear(&mut switch, 2, 2);
    switch.change(1, |port| port.flags.listens = true);
    let _ = switch.take_sent();
    for frame in [
        broadcast(station(7)),
        plain(station(2), station(7)),
        plain(reserved(2), station(7)),
        plain(reserved(14), station(7)),
        announcements::rarp(station(7), &[]),
        // Not in a VLAN of the port: as if it were not there.
        tagged(MacAddr::BROADCAST, station(1), &[dot1q(99)]),
        plain(MacAddr::BROADCAST, MacAddr::ZERO),
        vec![0; 9],
    ] {
        assert!(ports_reached(&mut switch, 1, frame).is_empty());
    }
    assert_eq!(dropped(&switch, 1, DropReason::Held), 4);
    assert_eq!(dropped(&switch, 1, DropReason::ReservedAddress), 1);
    assert!(switch.outbox.is_empty() && !gate.is_open());
    assert_eq!(switch.fdb(0).stats().entries, 1);
    assert_eq!(
        ports_reached(&mut switch, 2, plain(station(1), station(2))),
        [1, 3]
    );
    // Looked at by `explain` it stays closed; the word itself passes, also if it comes in a batch.
    let word = broadcast(station(1));
    let frame = vswitch_core::frame::Frame::new(&word);
    let port = vswitch_base::PortIndex(1);
    let told = vswitch_core::explain::explain(switch.snapshot(), port, &frame, switch.now);
    assert!(matches!(told.verdict, Verdict::Flood(_)));
    assert!(!gate.is_open());
    let wire = switch.wire(1).clone();
    wire.put(broadcast(station(7)));
    wire.put(word.clone());
    switch.inject(1, word.clone());
    assert_eq!(switch.wire(2).take_all().len(), 2);
    let _ = switch.take_sent();
    assert!(gate.is_open());
    let event = WorkerEvent::StationSpoke { port };
    assert_eq!(switch.outbox.take_event(), Some(event));
    assert_eq!(switch.outbox.take_event(), None, "told once");
    assert_eq!(learned(&switch, station(1)), Some(1));
    // Open, and guarded as ever; another snapshot does not close it.
    switch.change(2, |port| port.flags.isolated = true);
    assert!(ports_reached(&mut switch, 1, broadcast(station(7))).is_empty());
    assert_eq!(dropped(&switch, 1, DropReason::MacSpoof), 1);
    assert_eq!(ports_reached(&mut switch, 1, word), [2, 3]);
}

/// N-03: where nobody knows who comes, an announcement opens the port.
#[test]
fn step_07_a_held_port_opens_at_any_announcement() {
    for word in [
        announcements::rarp(station(7), &[]),
        announcements::gratuitous_arp(station(7), &[]),
        announcements::advertisement(station(7), &[]),
    ] {
        let (mut switch, gate) = held(false);
        assert!(ports_reached(&mut switch, 1, broadcast(station(7))).is_empty());
        assert!(ports_reached(&mut switch, 1, plain(station(2), station(7))).is_empty());
        assert_eq!(learned(&switch, station(7)), None);
        assert_eq!(ports_reached(&mut switch, 1, word), [2, 3]);
        assert!(gate.is_open());
        assert_eq!(ports_reached(&mut switch, 1, broadcast(station(8))), [2, 3]);
        assert_eq!(dropped(&switch, 1, DropReason::Held), 2);
    }
}
