//! What counts as a claim, who keeps an address, and that nobody's claims cost another his place.

use super::*;
use crate::announcement::{ARP, arp as packet};

const NONE: [IpAddr; 0] = [];
const A: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fn place(port: u16, mac: MacAddr) -> Place {
    Place {
        bridge: BridgeIndex(0),
        port: PortIndex(port),
        vid: Vid::new(10).ok(),
        mac,
    }
}

fn station(number: u8) -> MacAddr {
    MacAddr([0x52, 0x54, 0, 0, 0, number])
}

fn arp(operation: u8, sender: MacAddr, ip: [u8; 4], tag: Option<u16>) -> Vec<u8> {
    let target = Ipv4Addr::new(10, 0, 0, 9);
    let said = packet(ARP, operation, sender, ip.into(), MacAddr::ZERO, target);
    said.frame(tag.and_then(|tag| Vid::new(tag).ok())).to_vec()
}

fn discovery(kind: u8, hops: u8, src: &str, target: &str, option: &[u8]) -> Vec<u8> {
    let ip = |text: &str| text.parse::<Ipv6Addr>().expect("an address").octets();
    let mut bytes = [station(99).0, station(1).0].concat();
    bytes.extend_from_slice(&[0x86, 0xdd]);
    let length = u8::try_from(24 + option.len()).expect("short");
    bytes.extend_from_slice(&[0x60, 0, 0, 0, 0, length, 58, hops]);
    bytes.extend_from_slice(&[ip(src), ip("ff02::1")].concat());
    bytes.extend_from_slice(&[kind, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&ip(target));
    bytes.extend_from_slice(option);
    bytes
}

fn option(kind: u8, mac: MacAddr) -> Vec<u8> {
    [&[kind, 1][..], &mac.0].concat()
}

///
#[test]
fn arp_claims_the_senders_address_for_the_frames_source() {
    for operation in [1, 2] {
        let said = arp(operation, station(1), [10, 0, 0, 1], None);
        assert_eq!(claim(&said), Some(A));
    }
    // A probe (RFC 5227) asks for what it does not have yet.
    for ip in [[0; 4], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4]] {
        assert_eq!(claim(&arp(1, station(1), ip, None)), None, "{ip:?}");
    }
    let mut another = arp(1, station(1), [10, 0, 0, 1], None);
    another[22] ^= 2;
    assert_eq!(claim(&another), None, "of another");
    assert_eq!(claim(&arp(1, station(1), [10, 0, 0, 1], Some(7))), None);
}

///
#[test]
fn discovery_claims_what_it_is_sent_from_or_what_it_advertises() {
    let (own, other) = (station(1), station(2));
    let fd = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
    for (said, expected) in [
        (
            discovery(135, 255, "fd00::1", "fd00::9", &option(1, own)),
            fd("fd00::1"),
        ),
        (
            discovery(135, 255, "fd00::1", "fd00::9", &[]),
            fd("fd00::1"),
        ),
        (
            discovery(135, 255, "fd00::1", "fd00::9", &option(1, other)),
            None,
        ),
        (discovery(135, 255, "::", "fd00::1", &[]), None),
        (
            discovery(136, 255, "fe80::1", "fd00::1", &option(2, own)),
            fd("fd00::1"),
        ),
        (
            discovery(136, 255, "fe80::1", "fe80::1", &option(2, own)),
            fd("fe80::1"),
        ),
        (discovery(136, 255, "fe80::1", "fd00::1", &[]), None),
        (
            discovery(136, 255, "fe80::1", "fd00::1", &option(2, other)),
            None,
        ),
        (
            discovery(136, 64, "fe80::1", "fd00::1", &option(2, own)),
            None,
        ),
        (
            discovery(136, 255, "fe80::1", "ff02::1", &option(2, own)),
            None,
        ),
        (
            discovery(134, 255, "fe80::1", "fd00::1", &option(2, own)),
            None,
        ),
        (discovery(136, 255, "fe80::1", "fd00::1", &[7, 0]), None),
    ] {
        assert_eq!(claim(&said), expected, "{said:02x?}");
    }
}

#[test]
fn the_latest_word_counts_and_an_old_one_does_not() {
    let (mut bindings, now) = (Bindings::default(), Instant::ZERO);
    let (one, two) = (place(1, station(1)), place(2, station(2)));
    bindings.hear(one, A, now);
    assert_eq!(bindings.of(one, now), [A]);
    assert!(bindings.is_anothers(two, A, now) && !bindings.is_anothers(one, A, now));
    let moved = place(2, station(1));
    assert_eq!(bindings.of(moved, now), NONE, "not said there");
    let elsewhere = Place { vid: None, ..two };
    bindings.hear(elsewhere, A, now);
    assert_eq!(
        bindings.of(one, now),
        [A],
        "another VLAN is another network"
    );
    let beyond = place(9, station(1));
    bindings.hear_beyond(beyond, A, now);
    assert_eq!(bindings.of(one, now), [A], "its own word came back");
    bindings.hear(two, A, now);
    assert_eq!(
        (bindings.of(one, now), bindings.of(two, now)),
        (vec![], vec![A])
    );
    assert_eq!(bindings.of(two, now + LIFE), NONE);
    assert!(!bindings.is_anothers(one, A, now + LIFE));
    bindings.hear_beyond(place(9, station(3)), A, now);
    assert_eq!(bindings.of(two, now), NONE, "a station beyond has it now");
    bindings.keep_ports(|port| port == PortIndex(1));
    assert!(bindings.is_empty());
}

#[test]
fn a_station_keeps_its_newest_addresses_of_each_family() {
    let (mut bindings, one) = (Bindings::default(), place(1, station(1)));
    let second = Duration::from_secs(1);
    let mut now = Instant::ZERO;
    bindings.hear(one, "fd00::1".parse().expect("an address"), now);
    for last in 0..20 {
        now = now + second;
        bindings.hear(one, IpAddr::from([10, 0, 0, last]), now);
    }
    let known = bindings.of(one, now);
    let kept: Vec<String> = known.iter().map(ToString::to_string).collect();
    let newest = [
        "10.0.0.19",
        "10.0.0.18",
        "10.0.0.17",
        "10.0.0.16",
        "fd00::1",
    ];
    assert_eq!(kept, newest);
}

/// who claims everything in the name of many fills his own place only.
#[test]
fn who_says_much_takes_nobody_elses_place() {
    let mut bindings = Bindings::default();
    let quiet = place(0, station(1));
    bindings.hear(quiet, A, Instant::ZERO);
    let second = Duration::from_secs(1);
    for port in 1..=40_u16 {
        for number in 0..1100_u16 {
            let [high, low] = number.to_be_bytes();
            let [_, from] = port.to_be_bytes();
            let mac = MacAddr([2, 0, 0, from, high, low]);
            let ip = IpAddr::from([11, from, high, low]);
            bindings.hear(place(port, mac), ip, Instant::ZERO + second);
        }
        assert!(bindings.of_port(PortIndex(port)) <= PORT_MAX);
        assert!(bindings.len() <= TOTAL_MAX);
    }
    assert_eq!(bindings.len(), TOTAL_MAX);
    assert_eq!(bindings.of(quiet, Instant::ZERO + second), [A]);
}
