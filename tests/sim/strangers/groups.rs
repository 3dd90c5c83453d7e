//! IGMP and MLD reports into what is kept of stations' groups.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use vswitch_base::{BridgeIndex, Duration, Instant, PortIndex};
use vswitch_controller::groups::{Groups, LIFE, PORT_MAX, Place, SOURCES_MAX, report};
use vswitch_core::testing::{station, vid};
use vswitch_tests::fuzz::{cases, damage};
use vswitch_tests::packets::checksum;
use vswitch_tests::rng::Rng;

const PORTS: u16 = 2;

/// Group records with up to 20 sources each; the number said may be a lie.
fn records(rng: &mut Rng, address: impl Fn(&mut Rng) -> Vec<u8>) -> (u16, Vec<u8>) {
    let count = rng.pick(&[1, 1, 2, 5]);
    let mut bytes = Vec::new();
    for _ in 0..count {
        let sources = rng.pick(&[0, 0, 1, 3, 20]);
        bytes.extend_from_slice(&[rng.pick(&[1, 2, 3, 4, 5, 6, 7, 0]), 0, 0, sources]);
        bytes.extend(address(rng));
        for _ in 0..sources {
            bytes.extend(address(rng));
        }
    }
    let said = if rng.once_in(12) { rng.word() } else { count };
    (said, bytes)
}

fn igmp(rng: &mut Rng) -> Vec<u8> {
    let address = |rng: &mut Rng| vec![rng.pick(&[224, 239, 10]), rng.pick(&[0, 1]), 0, rng.byte()];
    let mut message = match rng.below(4) {
        kind @ 0..=2 => {
            let mut message = vec![[0x12, 0x16, 0x17][kind], 0, 0, 0];
            message.extend(address(rng));
            message
        }
        _ => {
            let (said, records) = records(rng, address);
            let [high, low] = said.to_be_bytes();
            [vec![0x22, 0, 0, 0, 0, 0, high, low], records].concat()
        }
    };
    if rng.once_in(3) {
        damage(rng, &mut message);
    }
    if !rng.once_in(20) && message.len() >= 4 {
        message[2..4].fill(0);
        let sum = checksum(&message, 0).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
    }
    let length = u16::try_from(20 + message.len())
        .expect("short")
        .to_be_bytes();
    let mut rest = vec![8, 0, 0x45, 0, length[0], length[1], 0, 0, 0, 0, 1, 2, 0, 0];
    rest.extend_from_slice(&[10, 0, 0, rng.byte(), 224, 0, 0, 22]);
    rest.extend(message);
    rest
}

fn mld(rng: &mut Rng) -> Vec<u8> {
    let address = |rng: &mut Rng| {
        let first = rng.pick(&[0xff02, 0xff05, 0xff01, 0x2001]);
        let address = Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, rng.word() & 0xff);
        address.octets().to_vec()
    };
    let mut message = match rng.below(3) {
        kind @ 0..=1 => {
            let mut message = vec![[131, 132][kind], 0, 0, 0, 0, 0, 0, 0];
            message.extend(address(rng));
            message
        }
        _ => {
            let (said, records) = records(rng, address);
            let [high, low] = said.to_be_bytes();
            [vec![143, 0, 0, 0, 0, 0, high, low], records].concat()
        }
    };
    if rng.once_in(3) {
        damage(rng, &mut message);
    }
    let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, rng.word()).octets();
    let to = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16).octets();
    if !rng.once_in(20) && message.len() >= 4 {
        message[2..4].fill(0);
        let length = u32::try_from(message.len()).expect("short").to_be_bytes();
        let whole = [&from[..], &to, &length, &[0, 0, 0, 58], &message].concat();
        let sum = checksum(&whole, 0).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
    }
    let length = u16::try_from(8 + message.len())
        .expect("short")
        .to_be_bytes();
    let mut rest = vec![0x86, 0xdd, 0x60, 0, 0, 0, length[0], length[1], 0, 1];
    rest.extend_from_slice(&from);
    rest.extend_from_slice(&to);
    rest.extend_from_slice(&[58, 0, 5, 2, 0, 0, 1, 0]);
    rest.extend(message);
    rest
}

/// N-06: what is kept is bounded and is of groups that may be kept, and what is said again can be read.
#[test]
fn no_report_leads_astray() {
    let mut rng = Rng::from_env("reports");
    let mut groups = Groups::default();
    let mut now = Instant::ZERO + Duration::from_secs(1);
    let (mut heard, mut said, mut fullest) = (0_usize, 0_usize, 0);
    for case in 0..cases() {
        let mut rest = match rng.below(10) {
            0 => {
                let mut bytes = vec![0; rng.below(120)];
                rng.fill(&mut bytes);
                bytes
            }
            1..=5 => igmp(&mut rng),
            _ => mld(&mut rng),
        };
        if rng.once_in(4) {
            damage(&mut rng, &mut rest);
        }
        let place = Place {
            bridge: BridgeIndex(0),
            port: PortIndex(u16::from(rng.once_in(2))),
            vid: Some(vid(10)),
            mac: station(u32::from(rng.byte() & 3)),
        };
        heard += usize::from(groups.hear(place, &rest, now));
        fullest = fullest.max(groups.len());
        assert!(groups.len() <= usize::from(PORTS) * PORT_MAX);
        if case % 500 == 499 {
            for again in groups.rejoin(BridgeIndex(0), now) {
                let group = read_back(&again.said.rest);
                assert!(group.is_multicast() && !is_of_the_link(group), "{group}");
                said += 1;
            }
        }
        now = now + Duration::from_millis(u64::from(rng.byte()));
        if rng.once_in(5_000) {
            now = now + LIFE;
            assert!(groups.rejoin(BridgeIndex(0), now).is_empty());
        }
    }
    assert!(
        heard > 0 && said > 0 && fullest > 100,
        "{heard} {said} {fullest}"
    );
}

/// The group of a report of ours.
fn read_back(rest: &[u8]) -> IpAddr {
    let report = report(rest).unwrap_or_else(|| panic!("not to be read: {rest:02x?}"));
    assert_eq!(report.records.len(), 1);
    assert!(report.records[0].sources.len() <= SOURCES_MAX);
    report.records[0].group
}

/// Groups that every switch floods (RFC 4541, 2.1.2).
fn is_of_the_link(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group.octets()[..3] == Ipv4Addr::new(224, 0, 0, 0).octets()[..3],
        IpAddr::V6(group) => group == Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
    }
}
