//! Reports as hosts send them, what is kept of them, and what is said again.

use super::*;
use proptest::prelude::*;
use std::net::Ipv4Addr;

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn place(port: u16) -> Place {
    Place {
        bridge: BridgeIndex(0),
        port: PortIndex(port),
        vid: None,
        mac: MacAddr([0x52, 0x54, 0, 0, 0, 1]),
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(text, 16).expect("hex")
    };
    digits.chunks_exact(2).map(byte).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// As Linux sends them when a program joins 239.1.2.3, by tcpdump: version 2, and version 3.
fn linux_v2() -> Vec<u8> {
    hex("0800 46c0 0020 0000 4000 0102 e912 0a00 0001 ef01 0203 9404 0000 1600 f8fa ef01 0203")
}

fn linux_v3() -> Vec<u8> {
    hex(
        "0800 46c0 0028 0000 4000 0102 f9f8 0a00 0001 e000 0016 9404 0000 \
         2200 e8f9 0000 0001 0400 0000 ef01 0203",
    )
}

/// The same of ff05::1:3, version 2 of MLD.
fn linux_mld2() -> Vec<u8> {
    hex(
        "86dd 6000 0000 0024 0001 fe80 0000 0000 0000 a423 9aff fe46 f4a3 ff02 0000 0000 0000 0000 \
         0000 0000 0016 3a00 0502 0000 0100 8f00 3df6 0000 0001 0400 0000 ff05 0000 0000 0000 0000 \
         0000 0001 0003",
    )
}

/// N-06: what a host of Linux says is heard, and said again so that the same is heard of it.
#[test]
fn a_report_is_kept_and_said_again_in_its_version() {
    let v6 = "fe80::a423:9aff:fe46:f4a3";
    for (frame, version, from, group) in [
        (linux_v2(), Version::Igmp2, "10.0.0.1", "239.1.2.3"),
        (linux_v3(), Version::Igmp3, "10.0.0.1", "239.1.2.3"),
        (linux_mld2(), Version::Mld2, v6, "ff05::1:3"),
    ] {
        let heard = report(&frame).expect("a report");
        assert_eq!((heard.version, heard.from), (version, ip(from)));
        assert_eq!(heard.records[0].group, ip(group));
        let mut groups = Groups::default();
        assert!(groups.hear(place(1), &frame, at(0)));
        let again = groups.rejoin(BridgeIndex(0), at(100));
        let [said] = &again[..] else {
            panic!("{again:?}");
        };
        let heard_again = report(&said.said.rest).expect("a report");
        assert_eq!(heard_again, heard);
        let to = match version {
            Version::Igmp2 => [1, 0, 0x5e, 1, 2, 3],
            Version::Mld2 => [0x33, 0x33, 0, 0, 0, 0x16],
            _ => [1, 0, 0x5e, 0, 0, 0x16],
        };
        assert_eq!(said.said.addresses[..6], to);
        assert_eq!(said.said.addresses[6..], place(1).mac.0);
        assert_eq!(groups.rejoin(BridgeIndex(0), at(260)), [], "it is over");
        assert!(groups.is_empty());
    }
}

fn spoken(version: Version, group: &str, exclude: bool, sources: &[IpAddr]) -> Vec<u8> {
    let from = match version {
        Version::Mld1 | Version::Mld2 => ip("fe80::1"),
        _ => ip("10.0.0.1"),
    };
    let mac = place(1).mac;
    let said = wire::compose(mac, version, from, ip(group), exclude, sources);
    said.expect("one family").rest
}

/// Every version, with and without sources; groups of the link itself are no matter of ours.
#[test]
fn every_version_is_understood() {
    let source = [ip("10.9.9.9")];
    let source6 = [ip("fd00::9")];
    for (version, group, exclude, sources, kept) in [
        (Version::Igmp1, "239.1.1.1", true, &[][..], true),
        (Version::Igmp2, "239.1.1.1", true, &[], true),
        (Version::Igmp3, "239.1.1.1", false, &source, true),
        (Version::Igmp3, "239.1.1.1", true, &source, true),
        (Version::Igmp2, "224.0.0.251", true, &[], false),
        (Version::Mld1, "ff05::1:3", true, &[], true),
        (Version::Mld2, "ff05::1:3", true, &[], true),
        (Version::Mld2, "ff3e::8000:1", false, &source6, true),
        (Version::Mld2, "ff02::1:ff00:1", true, &[], true),
        (Version::Mld2, "ff02::1", true, &[], false),
        (Version::Mld2, "ff01::2", true, &[], false),
    ] {
        let mut groups = Groups::default();
        let frame = spoken(version, group, exclude, sources);
        assert!(groups.hear(place(1), &frame, at(0)), "{version:?} {group}");
        let again = groups.rejoin(BridgeIndex(0), at(1));
        assert_eq!(again.len(), usize::from(kept), "{version:?} {group}");
        for said in again {
            assert_eq!(report(&said.said.rest), report(&frame));
        }
    }
}

/// Joined, changed and left, as RFC 3376, 6.4 has it.
#[test]
fn what_is_wanted_follows_what_is_said() {
    let sources: Vec<IpAddr> = (1..=20)
        .map(|n| Ipv4Addr::new(10, 9, 9, n).into())
        .collect();
    let record = |kind: u8, sources: &[IpAddr]| {
        let mut frame = spoken(Version::Igmp3, "239.1.1.1", true, sources);
        let at = 2 + 24 + 8;
        frame[at] = kind;
        let message = &mut frame[2 + 24..2 + 24 + 16 + 4 * sources.len()];
        message[2..4].copy_from_slice(&[0, 0]);
        let mut sum: u32 = message
            .chunks(2)
            .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])))
            .sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        let sum = !u16::try_from(sum).expect("16 bits");
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        frame
    };
    // Kind and number of sources; whether that leaves all but these, or these, or nothing.
    type Row = (&'static [(u8, usize)], Option<(bool, usize)>);
    let table: [Row; 9] = [
        (&[(4, 0)], Some((true, 0))),
        (&[(4, 0), (3, 0)], None),
        (&[(3, 2)], Some((false, 2))),
        (&[(3, 2), (6, 1)], Some((false, 1))),
        (&[(3, 1), (6, 1)], None),
        (&[(5, 2), (5, 3)], Some((false, 3))),
        (&[(2, 3), (5, 2)], Some((true, 1))),
        (&[(2, 1), (6, 2)], Some((true, 2))),
        (&[(1, 20)], Some((true, 0))),
    ];
    for (said, expected) in table {
        let mut groups = Groups::default();
        for (kind, count) in said {
            assert!(groups.hear(place(1), &record(*kind, &sources[..*count]), at(0)));
        }
        let again = groups.rejoin(BridgeIndex(0), at(1));
        let again = again.first().and_then(|said| report(&said.said.rest));
        let wants = again.map(|report| {
            let record = &report.records[0];
            (record.kind == RecordKind::Exclude, record.sources.len())
        });
        assert_eq!(wants, expected, "{said:?}");
    }
}

#[test]
fn what_is_kept_is_bounded_and_goes_with_its_port() {
    let mut groups = Groups::default();
    for number in 0..2_000_u32 {
        let group = Ipv4Addr::from(0xef01_0000 + number).to_string();
        groups.hear(place(1), &spoken(Version::Igmp2, &group, true, &[]), at(0));
    }
    assert_eq!(groups.len(), PORT_MAX);
    groups.hear(
        place(2),
        &spoken(Version::Igmp2, "239.7.7.7", true, &[]),
        at(0),
    );
    assert_eq!(groups.len(), PORT_MAX + 1, "another port has its own part");
    groups.keep_ports(|port| port != PortIndex(1));
    assert_eq!(groups.len(), 1);
    assert_eq!(groups.rejoin(BridgeIndex(1), at(1)), [], "another bridge");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Strangers' bytes: no panic, and nothing beyond the bounds, whatever is bent or cut off.
    #[test]
    fn bytes_of_strangers_do_no_harm(
        which in 0..5_usize,
        cut in any::<proptest::sample::Index>(),
        bent in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        noise in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut frame = match which {
            0 => linux_v2(),
            1 => linux_v3(),
            2 => spoken(Version::Mld1, "ff05::1:3", true, &[]),
            3 => spoken(Version::Mld2, "ff05::1:3", false, &[ip("fd00::9")]),
            _ => noise,
        };
        for (at, value) in bent {
            if !frame.is_empty() {
                let at = at.index(frame.len());
                frame[at] = value;
            }
        }
        frame.truncate(cut.index(frame.len() + 1).max(frame.len() / 2));
        let mut groups = Groups::default();
        groups.hear(place(1), &frame, at(0));
        prop_assert!(groups.len() <= PORT_MAX);
        for said in groups.rejoin(BridgeIndex(0), at(1)) {
            prop_assert!(report(&said.said.rest).is_some());
        }
    }
}
