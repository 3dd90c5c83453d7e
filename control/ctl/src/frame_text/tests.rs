//! Frames from text: the bytes, the errors, and that no text does harm.

use super::*;

fn hex_of(text: &str) -> String {
    hex::encode(&parse(text).unwrap_or_else(|failure| panic!("{text}: {}", failure.what)))
}

#[test]
fn an_arp_request_has_every_byte_in_its_place() {
    let frame = hex_of("src 52:54:00:00:00:01 arp who-has 10.0.0.1 tell 10.0.0.2");
    let head =
        "ffffffffffff525400000001080600010800060400015254000000010a0000020000000000000a000001";
    assert_eq!(
        frame,
        format!("{head}{}", "00".repeat(18)),
        "60 bytes, filled with zeroes"
    );
}

#[test]
fn tags_stand_outside_in_and_the_length_grows_with_them() {
    let frame =
        hex_of("dst broadcast vlan 100 pcp 5 tpid 0x88a8 vlan 200 dei type 0x1234 payload abcd");
    assert!(
        frame.starts_with("ffffffffffff02000000000188a8a064810010c81234abcd"),
        "{frame}"
    );
    assert_eq!(frame.len() / 2, 68);
    assert_eq!(hex_of("vlan 5 len 1500 ipv4 udp").len() / 2, 1500);
}

#[test]
fn ip_packets_have_right_checksums_and_groups_their_address() {
    for text in [
        "ipv4 udp",
        "ipv4 tcp syn",
        "ipv4 icmp",
        "ipv6 udp dport 53 payload 00",
        "ipv6 tcp",
        "ipv6 icmp",
        "ip ttl 1",
    ] {
        let bytes = parse(text).unwrap();
        let packet = etherparse::SlicedPacket::from_ethernet(&bytes).unwrap();
        match (&packet.net, &packet.transport) {
            (Some(etherparse::NetSlice::Ipv4(ip)), transport) => {
                assert_eq!(
                    ip.header().header_checksum(),
                    ip.header().to_header().calc_header_checksum(),
                    "{text}"
                );
                if let Some(etherparse::TransportSlice::Udp(udp)) = transport {
                    let header = udp.to_header();
                    let right = header
                        .calc_checksum_ipv4(&ip.header().to_header(), udp.payload())
                        .unwrap();
                    assert_eq!(header.checksum, right, "{text}");
                }
            }
            (Some(etherparse::NetSlice::Ipv6(_)), Some(_)) => {}
            other => panic!("{text}: {other:?}"),
        }
    }
    assert!(hex_of("ipv4 to 239.1.2.3 udp").starts_with("01005e010203"));
    assert!(hex_of("ipv6 to ff02::1 udp").starts_with("333300000001"));
    assert!(hex_of("ipv4 to 255.255.255.255 udp").starts_with("ffffffffffff"));
    assert!(
        hex_of("dst 02:00:00:00:00:09 ipv4 to 239.1.2.3").starts_with("020000000009"),
        "what is said wins"
    );
}

#[test]
fn link_protocols_are_whole_frames() {
    assert!(hex_of("lacp").starts_with("0180c2000002020000000001880901010114"));
    assert_eq!(hex_of("lacp").len() / 2, 124, "a LACPDU has 124 bytes");
    assert!(hex_of("bpdu").starts_with("0180c20000000200000000010026424203"));
    assert!(hex_of("lldp").starts_with("0180c200000e02000000000188cc0207"));
}

#[test]
fn hex_is_taken_as_it_is() {
    assert_eq!(parse("ff ff:FF\n00").unwrap(), [255, 255, 255, 0]);
    assert_eq!(parse("abcd").unwrap(), [0xab, 0xcd]);
}

#[test]
fn errors_say_what_and_give_examples() {
    for (text, what) in [
        ("", "it is empty"),
        ("abc", "3 hex digits are no whole number of bytes"),
        ("dst", "behind \"dst\" the value is missing"),
        (
            "dst 1",
            "\"1\" behind \"dst\" is no address such as 52:54:00:00:00:01",
        ),
        (
            "vlan 4096",
            "\"4096\" behind \"vlan\" is no number up to 4095",
        ),
        ("vlan 1 pcp 8", "\"8\" behind \"pcp\" is no number up to 7"),
        ("arp", "behind \"arp\" the value is missing"),
        (
            "arp whohas",
            "\"whohas\" behind \"arp\" is neither who-has nor is-at",
        ),
        (
            "ipv4 from ::1",
            "\"::1\" behind \"from\" is no IPv4 address",
        ),
        ("arp who-has 1.2.3.4 ipv4", "\"ipv4\" is a second payload"),
        (
            "ipv4 len 30",
            "len 30 is less than the 34 bytes that were said",
        ),
        ("payload 00", "\"payload\" is not understood here"),
        (
            "type 0x10000",
            "\"0x10000\" behind \"type\" is no number up to 65535",
        ),
    ] {
        let failure = parse(text).unwrap_err();
        assert_eq!(failure.what, format!("this is no frame: {what}"), "{text}");
        assert!(
            failure
                .help
                .iter()
                .any(|help| help.contains("vswctl trace vm1")),
            "{text}"
        );
        assert_eq!(failure.exit, crate::Exit::Usage);
    }
    assert!(parse(&"vlan 1 ".repeat(9)).is_err());
    assert_eq!(
        parse("apr who-has 1.2.3.4").unwrap_err().help[0],
        "did you mean \"arp\"?"
    );
}

/// Any sequence of the grammar's words gives a frame within its limits or an error.
#[test]
fn no_text_does_harm() {
    let words = [
        "src",
        "dst",
        "vlan",
        "pcp",
        "dei",
        "tpid",
        "arp",
        "who-has",
        "is-at",
        "tell",
        "ip",
        "ipv4",
        "ipv6",
        "from",
        "to",
        "ttl",
        "udp",
        "tcp",
        "icmp",
        "sport",
        "dport",
        "syn",
        "lacp",
        "bpdu",
        "lldp",
        "type",
        "payload",
        "len",
        "0",
        "7",
        "255",
        "4095",
        "65535",
        "0x8100",
        "1.2.3.4",
        "::1",
        "ff02::1",
        "02:00:00:00:00:01",
        "abcd",
        "é",
        "-1",
    ];
    let mut state = 7_usize;
    let mut frames = 0;
    for _ in 0..50_000 {
        let mut text = String::new();
        for _ in 0..state % 9 + 1 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            text.push_str(words[(state >> 33) % words.len()]);
            text.push(' ');
        }
        state = state.wrapping_add(state >> 40);
        if let Ok(frame) = parse(&text) {
            assert!(frame.len() <= FRAME_MAX, "{text}");
            frames += 1;
        }
    }
    assert!(frames > 1_000, "the words made only {frames} frames");
}
