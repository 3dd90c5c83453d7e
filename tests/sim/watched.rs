//! What the monitor of a bond sees of what its members receive (`watch.rs`): copies that end no frame's way,
//! answers that end, and nothing else.
//!
//! Member 11 is active, 12 stands by; the monitor asks 10.0.0.1 from 02:..:99, which nobody else has.

use crate::lan;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use vswitch_base::{EtherType, MacAddr, PortIndex};
use vswitch_core::bond::{Admits, Transmit};
use vswitch_core::snapshot::PortState;
use vswitch_core::testing::{MemSwitch, dot1q, frame, station};
use vswitch_core::verdict::{DropReason, PuntReason};
use vswitch_core::watch::{HEARD_MAX, Neighbour, Speech, Watched};
use vswitch_tests::dropped;

const TARGET: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

fn own() -> MacAddr {
    station(99)
}

/// An ARP packet, request 1 or reply 2, in VLAN 10.
fn arp(operation: u8, dst: MacAddr, src: MacAddr, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut bytes = frame(dst, src, &[dot1q(10)], EtherType::ARP, 64);
    let packet = [
        &[0, 1, 8, 0, 6, 4, 0, operation][..],
        &src.0,
        &sender.octets(),
        &dst.0,
        &target.octets(),
    ]
    .concat();
    bytes[18..46].copy_from_slice(&packet);
    bytes
}

/// Neighbour discovery of that type, from 2001:db8::1 to 2001:db8::2 about 2001:db8::3.
fn discovery(kind: u8) -> Vec<u8> {
    let ip = |last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).octets();
    let mut bytes = frame(own(), station(7), &[], EtherType::IPV6, 78);
    bytes[14..22].copy_from_slice(&[0x60, 0, 0, 0, 0, 24, 58, 255]);
    bytes[22..38].copy_from_slice(&ip(1));
    bytes[38..54].copy_from_slice(&ip(2));
    bytes[54..58].copy_from_slice(&[kind, 0, 0, 0]);
    bytes[62..78].copy_from_slice(&ip(3));
    bytes
}

fn watching(change: impl Fn(&mut Watched)) -> MemSwitch {
    let mut switch = lan(2);
    switch.add_member(11, 10, Admits::Everything);
    switch.add_member(12, 10, Admits::Nothing);
    switch.bond(10, crate::trunk(10, &[10]), Transmit::One(PortIndex(11)));
    let mut watched = Watched {
        anybody: false,
        targets: vec![TARGET.into()],
        probers: vec![own()],
        own: Some(own()),
    };
    change(&mut watched);
    let watched = Arc::new(watched);
    for member in [11, 12] {
        switch.change(member, |view| view.watched = Some(Arc::clone(&watched)));
    }
    switch
}

fn heard(switch: &MemSwitch) -> Vec<(u16, PuntReason)> {
    let mut all = Vec::new();
    while let Some(punt) = switch.outbox.punts.take() {
        all.push((punt.port.0, punt.reason));
    }
    all
}

/// W-03: what targets say is seen, also on standby, and goes where it went without a monitor.
#[test]
fn what_targets_say_is_seen_and_goes_on_its_way() {
    let mut switch = watching(|_| {});
    let seen = |member| vec![(member, PuntReason::Probe)];
    let target = station(50);
    let announced = arp(1, MacAddr::BROADCAST, target, TARGET, TARGET);
    switch.inject(11, announced.clone());
    assert_eq!(heard(&switch), seen(11));
    assert_eq!(switch.who_sent(), [1, 2]);
    switch.inject(12, announced);
    assert_eq!(heard(&switch), seen(12));
    assert_eq!(switch.who_sent(), [0; 0]);
    assert_eq!(dropped(&switch, 12, DropReason::BondInactive), 1);
    // Our own probe, sent by one member and flooded back to the other.
    switch.inject(12, arp(1, MacAddr::BROADCAST, own(), NOBODY, TARGET));
    assert_eq!(heard(&switch), seen(12));
    // Others who ask the target, or one another.
    switch.inject(12, arp(1, MacAddr::BROADCAST, station(51), OTHER, TARGET));
    switch.inject(11, arp(2, station(1), station(51), OTHER, TARGET));
    switch.inject(11, vec![0; 14]);
    assert_eq!(heard(&switch), []);
    let totals = switch.totals(12);
    assert_eq!((totals.overheard, totals.punted()), (2, 0));
    // A member that is watched for everybody's ARP.
    let mut open = watching(|watched| watched.anybody = true);
    open.inject(12, arp(1, MacAddr::BROADCAST, station(51), OTHER, OTHER));
    assert_eq!(heard(&open), seen(12));
}

/// W-03: an answer to the monitor is flooded to nobody, also while the bond is down.
#[test]
fn answers_to_the_monitor_end_with_it() {
    let mut switch = watching(|_| {});
    let answer = arp(2, own(), station(50), TARGET, NOBODY);
    for state in [PortState::Forwarding, PortState::Disabled] {
        switch.change(10, |view| view.state = state);
        for member in [11, 12] {
            switch.inject(member, answer.clone());
            assert_eq!(heard(&switch), [(member, PuntReason::Probe)], "{state:?}");
            assert_eq!(switch.who_sent(), [0; 0]);
        }
    }
    let punted = switch.totals(12).punts[PuntReason::Probe.index()];
    assert_eq!((punted, switch.totals(12).overheard), (2, 0));
}

/// A flood of them costs its sender: a bounded number is copied.
#[test]
fn at_most_so_many_are_copied_in_a_second() {
    let mut switch = watching(|_| {});
    let mut copies = 0;
    for _ in 0..3 * HEARD_MAX {
        switch.inject(12, arp(1, MacAddr::BROADCAST, station(50), TARGET, TARGET));
        copies += heard(&switch).len() as u64;
    }
    assert_eq!(copies, HEARD_MAX);
    assert_eq!(switch.totals(12).overheard, HEARD_MAX);
}

/// W-04: tagged or not, whole or cut anywhere.
#[test]
fn neighbours_are_read_and_broken_ones_are_nobody() {
    let ip = |last| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
    for (kind, said) in [
        (135, Some((Speech::Asks, ip(1), ip(3)))),
        (136, Some((Speech::Answers, ip(3), ip(2)))),
        (134, None),
    ] {
        let found = Neighbour::parse(&discovery(kind));
        let found = found.map(|heard| (heard.speech, heard.sender, heard.target));
        assert_eq!(found, said, "type {kind}");
    }
    let mut routed = discovery(136);
    routed[21] = 64;
    assert_eq!(Neighbour::parse(&routed), None, "from beyond a router");
    let reply = arp(2, own(), station(50), TARGET, NOBODY);
    let read = Neighbour::parse(&reply).expect("a reply");
    assert_eq!((read.src, read.dst), (station(50), own()));
    assert_eq!((read.sender, read.target), (TARGET.into(), NOBODY.into()));
    for whole in [reply, discovery(136)] {
        let least = if whole.len() == 78 { 78 } else { 46 };
        for len in 0..whole.len() {
            let read = Neighbour::parse(&whole[..len]);
            assert_eq!(read.is_some(), len >= least, "{len} bytes");
        }
    }
}
