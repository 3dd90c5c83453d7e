//! ARP and neighbour discovery into what keeps the IP addresses of stations.

use std::net::{IpAddr, Ipv6Addr};
use vswitch_base::{BridgeIndex, Duration, EtherType, Instant, MacAddr, PortIndex, Vid};
use vswitch_controller::bindings::{
    Bindings, FAMILY_MAX, LIFE, PORT_MAX, TOTAL_MAX, claim, is_stations,
};
use vswitch_controller::groups::Place;
use vswitch_core::bindings::is_claim;
use vswitch_core::testing::announcements::ArpPacket;
use vswitch_core::testing::{frame, station};
use vswitch_tests::fuzz::{cases, damage};
use vswitch_tests::rng::Rng;

fn arp(rng: &mut Rng, src: MacAddr) -> Vec<u8> {
    let any = [rng.byte(), rng.byte(), rng.byte(), rng.byte()];
    ArpPacket {
        operation: rng.pick(&[1, 2, 2, 3]),
        sender: rng.pick(&[src, src, station(9)]),
        sender_ip: rng.pick(&[any, [10, 0, any[2], any[3]], [0; 4]]),
        target: station(99),
        target_ip: any,
    }
    .frame(station(99), &[])
}

fn discovery(rng: &mut Rng, src: MacAddr) -> Vec<u8> {
    let kind = rng.pick(&[135, 136, 136, 134]);
    let any = rng.word();
    let mut ip = || {
        let first = rng.pick(&[0x2001, 0x2001, 0xfe80, 0xff02]);
        Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, any).octets()
    };
    let (from, to, target) = (ip(), ip(), ip());
    let mut bytes = frame(station(99), src, &[], EtherType::IPV6, 0);
    bytes.extend_from_slice(&[0x60, 0, 0, 0, 0, 40, 58, rng.pick(&[255, 255, 255, 64])]);
    bytes.extend_from_slice(&[from, to].concat());
    bytes.extend_from_slice(&[kind, 0, 0, 0, 0x20, 0, 0, 0]);
    bytes.extend_from_slice(&target);
    for _ in 0..2 {
        bytes.extend_from_slice(&[rng.pick(&[0, 1, 2, 14]), rng.pick(&[1, 1, 1, 0])]);
        bytes.extend_from_slice(&rng.pick(&[src, src, station(9)]).0);
    }
    bytes
}

/// what is kept is bounded, in all, of a port and of a station; an address is one station's; and no byte
/// makes it panic. What is a claim is overheard.
#[test]
fn no_claim_leads_astray() {
    let mut rng = Rng::from_env("bindings");
    let mut bindings = Bindings::default();
    let (mut now, mut claims) = (Instant::ZERO, 0_usize);
    let place = |rng: &mut Rng, mac| Place {
        bridge: BridgeIndex(u16::from(rng.once_in(4))),
        port: PortIndex(rng.pick(&[1, 1, 1, 2, 3])),
        vid: Vid::new(rng.pick(&[1, 10])).ok(),
        mac,
    };
    for _ in 0..cases() {
        let [high, low] = rng.word().to_be_bytes();
        let src = MacAddr([0x52, 0x54, 0, 0, rng.pick(&[0, high]), low & 0x3f]);
        let mut bytes = match rng.below(8) {
            0 => {
                let mut bytes = vec![0; rng.below(120)];
                rng.fill(&mut bytes);
                bytes
            }
            1..=3 => discovery(&mut rng, src),
            _ => arp(&mut rng, src),
        };
        if rng.once_in(3) {
            damage(&mut rng, &mut bytes);
        }
        let shown = bytes.get(12..).is_some_and(is_claim);
        now = now + Duration::from_millis(100);
        let Some(ip) = claim(&bytes) else {
            continue;
        };
        assert!(shown && is_stations(ip), "{ip}: {bytes:02x?}");
        claims += 1;
        let mac = MacAddr(bytes[6..12].try_into().expect("six"));
        let place = place(&mut rng, mac);
        if rng.once_in(4) {
            bindings.hear_beyond(place, ip, now);
        } else {
            bindings.hear(place, ip, now);
            assert_eq!(bindings.of(place, now).first(), Some(&ip));
            assert!(!bindings.is_anothers(place, ip, now));
            let other = Place {
                mac: station(200),
                ..place
            };
            assert!(bindings.is_anothers(other, ip, now) || mac == other.mac);
        }
        let known = bindings.of(place, now);
        let of = |v4| {
            known
                .iter()
                .filter(|ip: &&IpAddr| ip.is_ipv4() == v4)
                .count()
        };
        assert!(
            of(true) <= FAMILY_MAX && of(false) <= FAMILY_MAX,
            "{known:?}"
        );
        assert!(bindings.of(place, now + LIFE).is_empty());
        assert!(bindings.of_port(place.port) <= PORT_MAX && bindings.len() <= TOTAL_MAX);
    }
    assert!(claims > 0 && bindings.of_port(PortIndex(1)) > 0, "{claims}");
    bindings.keep_ports(|_| false);
    assert!(bindings.is_empty());
}
