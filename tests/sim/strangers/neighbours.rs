//! ARP and neighbour discovery into what watches for a bond's monitor.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use vswitch_base::{EtherType, MacAddr, Tag};
use vswitch_core::testing::announcements::ArpPacket;
use vswitch_core::testing::{dot1q, frame, station};
use vswitch_core::watch::{Neighbour, Speech, Watched};
use vswitch_tests::fuzz::{cases, damage};
use vswitch_tests::rng::Rng;

fn ip4(rng: &mut Rng) -> [u8; 4] {
    let any = rng.byte();
    [10, 0, 0, rng.pick(&[1, 2, 9, any])]
}

fn ip6(rng: &mut Rng) -> [u8; 16] {
    let any = rng.word();
    let last = rng.pick(&[1, 2, 9, any]);
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).octets()
}

fn discovery(rng: &mut Rng, src: MacAddr, tags: &[Tag]) -> Vec<u8> {
    let mut bytes = frame(station(99), src, tags, EtherType::IPV6, 0);
    bytes.extend_from_slice(&[0x60, 0, 0, 0, 0, 24, 58, rng.pick(&[255, 255, 64])]);
    bytes.extend_from_slice(&ip6(rng));
    bytes.extend_from_slice(&ip6(rng));
    bytes.extend_from_slice(&[rng.pick(&[135, 136, 133]), 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&ip6(rng));
    bytes
}

/// W-05: a frame that is wanted is about a target of ours, and at no byte of any other there is a panic.
#[test]
fn no_neighbour_leads_astray() {
    let mut rng = Rng::from_env("neighbours");
    let targets: Vec<IpAddr> = vec![
        Ipv4Addr::new(10, 0, 0, 1).into(),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    ];
    let watched = Watched {
        anybody: false,
        targets: targets.clone(),
        probers: vec![station(99)],
        own: Some(station(99)),
    };
    let (mut read, mut wanted) = ([0_usize; 2], 0_usize);
    for _ in 0..cases() {
        let tags = vec![dot1q(10); rng.below(4)];
        let src = station(rng.pick(&[1, 2, 99]));
        let mut bytes = match rng.below(8) {
            0 => {
                let mut bytes = vec![0; rng.below(120)];
                rng.fill(&mut bytes);
                bytes
            }
            1..=3 => discovery(&mut rng, src, &tags),
            _ => ArpPacket {
                operation: rng.pick(&[1, 2, 3, 4, 255]),
                sender: src,
                sender_ip: ip4(&mut rng),
                target: station(99),
                target_ip: ip4(&mut rng),
            }
            .frame(station(99), &tags),
        };
        if rng.once_in(2) {
            damage(&mut rng, &mut bytes);
        }
        let heard = Neighbour::parse(&bytes);
        let wants = watched.wants(&bytes);
        let Some(heard) = heard else {
            assert_eq!(wants, None, "not read, and wanted: {bytes:02x?}");
            continue;
        };
        read[usize::from(heard.speech == Speech::Asks)] += 1;
        assert_eq!(heard.dst.0[..], bytes[..6]);
        assert_eq!(heard.src.0[..], bytes[6..12]);
        assert_eq!(heard.sender.is_ipv4(), heard.target.is_ipv4());
        if let Some(ends) = wants {
            wanted += 1;
            assert_eq!(ends, heard.dst == station(99));
            let ours = targets.contains(&heard.sender)
                || targets.contains(&heard.target) && heard.src == station(99);
            assert!(ours, "{heard:?}");
        }
    }
    assert!(
        read.iter().all(|n| *n > 0) && wanted > 0,
        "{read:?} {wanted}"
    );
}
