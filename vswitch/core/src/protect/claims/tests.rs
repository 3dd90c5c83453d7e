//! Each claim that a frame can make, true and false, and what cannot be read.

use super::*;
use crate::testing::announcements::ArpPacket;
use crate::testing::packets::{self, discovery, extended, fragment, in_frame, ipv4, ipv6, udp};
use crate::testing::{dot1q, station};

const OWN4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
const OTHER4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 8);
const OWN6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
const OTHER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 8);
const LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 7);
const OTHER_LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 8);
const NOBODY: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ME: MacAddr = station(1);
const OTHER: MacAddr = station(2);

fn listed() -> Claims {
    Claims::new(&[OWN4.into(), OWN6.into()])
}

/// What comes of a frame of station 1.
fn judge(claims: &Claims, frame: &[u8]) -> Result<(), DropReason> {
    claims.judge(&[station(9).word(), ME.word()], &frame[12..], false)
}

fn v4(packet: &[u8]) -> Vec<u8> {
    in_frame(MacAddr::BROADCAST, ME, &[], EtherType::IPV4, packet)
}

fn v6(packet: &[u8]) -> Vec<u8> {
    in_frame(OTHER, ME, &[], EtherType::IPV6, packet)
}

fn arp(operation: u8, sender: MacAddr, sender_ip: Ipv4Addr) -> Vec<u8> {
    let packet = ArpPacket {
        operation,
        sender,
        sender_ip: sender_ip.octets(),
        target: OTHER,
        target_ip: OTHER4.octets(),
    };
    packet.frame(MacAddr::BROADCAST, &[])
}

fn nd(from: Ipv6Addr, kind: u8, target: Ipv6Addr, options: &[(u8, MacAddr)]) -> Vec<u8> {
    let message = discovery(kind, target, options);
    v6(&ipv6(from, ALL_NODES, ICMPV6, &message))
}

#[test]
fn arp_is_of_the_station() {
    for operation in [1, 2, 3, 4, 8] {
        assert_eq!(judge(&listed(), &arp(operation, ME, OWN4)), Ok(()));
        let probe = arp(operation, ME, Ipv4Addr::UNSPECIFIED);
        assert_eq!(judge(&listed(), &probe), Ok(()));
        let spoof = Err(DropReason::ArpSpoof);
        assert_eq!(judge(&listed(), &arp(operation, OTHER, OWN4)), spoof);
        assert_eq!(judge(&listed(), &arp(operation, ME, OTHER4)), spoof);
        let any = Claims::default();
        assert_eq!(judge(&any, &arp(operation, ME, OTHER4)), Ok(()));
        assert_eq!(judge(&any, &arp(operation, OTHER, OTHER4)), spoof);
    }
    // Of another network, or cut off: nobody can say what it claims.
    let whole = arp(1, ME, OWN4);
    for at in 14..20 {
        let mut strange = whole.clone();
        strange[at] ^= 1;
        assert_eq!(judge(&listed(), &strange), Err(DropReason::ArpSpoof));
    }
    for len in 14..42 {
        assert_eq!(judge(&listed(), &whole[..len]), Err(DropReason::ArpSpoof));
    }
}

#[test]
fn ipv4_is_from_the_station_or_asks_for_an_address() {
    let from =
        |from, to, ports: (u16, u16)| v4(&ipv4(from, to, packets::UDP, &udp(ports.0, ports.1)));
    let spoof = Err(DropReason::IpSpoof);
    assert_eq!(judge(&listed(), &from(OWN4, OTHER4, (5, 53))), Ok(()));
    assert_eq!(judge(&listed(), &from(OTHER4, OWN4, (5, 53))), spoof);
    assert_eq!(
        judge(&Claims::default(), &from(OTHER4, OWN4, (5, 53))),
        Ok(())
    );
    let (none, all) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
    assert_eq!(judge(&listed(), &from(none, all, (68, 67))), Ok(()));
    for (to, ports) in [(OTHER4, (68, 67)), (all, (69, 67)), (all, (68, 69))] {
        assert_eq!(judge(&listed(), &from(none, to, ports)), spoof);
    }
    // Only IPv6 addresses are known: IPv4 is free.
    let six = Claims::new(&[OWN6.into()]);
    assert_eq!(judge(&six, &from(OTHER4, OWN4, (5, 53))), Ok(()));
}

#[test]
fn dhcp_is_asked_for_and_not_given() {
    let own = |to: u16| v4(&ipv4(OWN4, OTHER4, packets::UDP, &udp(67, to)));
    assert_eq!(judge(&listed(), &own(67)), Ok(()), "a relay");
    assert_eq!(judge(&listed(), &own(68)), Err(DropReason::DhcpServer));
    assert_eq!(
        judge(&Claims::default(), &own(68)),
        Err(DropReason::DhcpServer)
    );
    // No client looks at the port that it comes from.
    let hidden = v4(&ipv4(OWN4, OTHER4, packets::UDP, &udp(1067, 68)));
    assert_eq!(judge(&listed(), &hidden), Err(DropReason::DhcpServer));
    let six = |to: u16| v6(&ipv6(LINK, OTHER_LINK, packets::UDP, &udp(547, to)));
    assert_eq!(judge(&listed(), &six(547)), Ok(()));
    assert_eq!(judge(&listed(), &six(546)), Err(DropReason::DhcpServer));
    let tcp = v4(&ipv4(OWN4, OTHER4, 6, &udp(67, 68)));
    assert_eq!(judge(&listed(), &tcp), Ok(()), "not TCP");
}

#[test]
fn ipv4_fragments_and_options_hide_nothing() {
    let mut packet = ipv4(OWN4, OTHER4, packets::UDP, &udp(67, 68));
    packet[6] = 0x20;
    assert_eq!(judge(&listed(), &v4(&packet)), Err(DropReason::DhcpServer));
    packet[7] = 1;
    assert_eq!(judge(&listed(), &v4(&packet)), Ok(()), "no ports in there");
    packet[15] = 8;
    assert_eq!(judge(&listed(), &v4(&packet)), Err(DropReason::IpSpoof));
    let mut options = ipv4(
        OWN4,
        OTHER4,
        packets::UDP,
        &[&[1; 12][..], &udp(67, 68)].concat(),
    );
    options[0] = 0x48;
    assert_eq!(judge(&listed(), &v4(&options)), Err(DropReason::DhcpServer));
}

#[test]
fn what_cannot_be_read_is_taken_for_a_spoof() {
    let spoof = Err(DropReason::IpSpoof);
    let whole = v4(&ipv4(OWN4, OTHER4, packets::UDP, &udp(5, 53)));
    for len in 14..whole.len() {
        let said = judge(&Claims::default(), &whole[..len]);
        assert_eq!(said, if len < 14 + 48 { spoof } else { Ok(()) }, "{len}");
    }
    for (at, value) in [(14, 0x55), (14, 0x44), (14, 0x4f), (17, 10), (17, 22)] {
        let mut broken = whole.clone();
        broken[at] = value;
        assert_eq!(
            judge(&Claims::default(), &broken),
            spoof,
            "{at}: {value:#x}"
        );
    }
    let whole = v6(&ipv6(
        OWN6,
        OTHER6,
        60,
        &extended(packets::UDP, &udp(5, 53)),
    ));
    for len in 14..whole.len() {
        assert_eq!(judge(&Claims::default(), &whole[..len]), spoof, "{len}");
    }
    assert_eq!(judge(&Claims::default(), &whole), Ok(()));
    let mut broken = whole;
    broken[14] = 0x45;
    assert_eq!(judge(&Claims::default(), &broken), spoof);
}

#[test]
fn a_frame_of_segments_says_no_lengths() {
    let mut packet = ipv4(OWN4, OTHER4, 6, &[0; 2000]);
    packet[2..4].fill(0);
    let frame = v4(&packet);
    let macs = [ME.word()];
    assert_eq!(listed().judge(&macs, &frame[12..], true), Ok(()));
    assert!(listed().judge(&macs, &frame[12..], false).is_err());
    let mut packet = ipv6(OTHER6, OTHER6, 6, &[0; 2000]);
    packet[4..6].fill(0);
    let said = listed().judge(&macs, &v6(&packet)[12..], true);
    assert_eq!(said, Err(DropReason::IpSpoof));
}

#[test]
fn ipv6_is_from_the_station_or_from_nobody_where_that_may_be() {
    let spoof = Err(DropReason::IpSpoof);
    let from = |from: Ipv6Addr| v6(&ipv6(from, ALL_NODES, packets::UDP, &udp(5, 53)));
    assert_eq!(judge(&listed(), &from(OWN6)), Ok(()));
    assert_eq!(judge(&listed(), &from(OTHER6)), spoof);
    assert_eq!(
        judge(&listed(), &from(OTHER_LINK)),
        Ok(()),
        "no list has one"
    );
    let strict = Claims::new(&[OWN6.into(), LINK.into()]);
    assert_eq!(judge(&strict, &from(LINK)), Ok(()));
    assert_eq!(judge(&strict, &from(OTHER_LINK)), spoof);
    assert_eq!(judge(&listed(), &from(NOBODY)), spoof);
    assert_eq!(judge(&Claims::default(), &from(OTHER6)), Ok(()));
    // Reports of listeners, behind a router alert as they are sent.
    for kind in [131, 132, 143, 128] {
        let report = ipv6(NOBODY, ALL_NODES, 0, &extended(ICMPV6, &[kind, 0, 0, 0]));
        let may = if kind == 128 { spoof } else { Ok(()) };
        assert_eq!(judge(&listed(), &v6(&report)), may, "{kind}");
    }
    assert_eq!(judge(&listed(), &nd(NOBODY, 133, NOBODY, &[])), Ok(()));
}

#[test]
fn neighbour_discovery_is_about_the_station() {
    let spoof = Err(DropReason::NdSpoof);
    let said = |frame: &[u8]| judge(&listed(), frame);
    // Asks for another, and says where to answer.
    assert_eq!(said(&nd(OWN6, 135, OTHER6, &[(1, ME)])), Ok(()));
    assert_eq!(said(&nd(OWN6, 135, OTHER6, &[])), Ok(()));
    assert_eq!(said(&nd(OWN6, 135, OTHER6, &[(1, OTHER)])), spoof);
    assert_eq!(
        said(&nd(OTHER6, 135, OWN6, &[(1, ME)])),
        Err(DropReason::IpSpoof)
    );
    // About to take an address.
    assert_eq!(said(&nd(NOBODY, 135, OWN6, &[])), Ok(()));
    assert_eq!(said(&nd(NOBODY, 135, LINK, &[])), Ok(()));
    assert_eq!(said(&nd(NOBODY, 135, OTHER6, &[])), spoof);
    // Has one.
    assert_eq!(said(&nd(OWN6, 136, OWN6, &[(2, ME)])), Ok(()));
    assert_eq!(said(&nd(LINK, 136, OWN6, &[])), Ok(()));
    assert_eq!(said(&nd(OWN6, 136, OTHER6, &[(2, ME)])), spoof);
    assert_eq!(said(&nd(OWN6, 136, OWN6, &[(2, OTHER)])), spoof);
    assert_eq!(
        said(&nd(OWN6, 136, OWN6, &[(14, OTHER), (2, OTHER)])),
        spoof
    );
    assert_eq!(
        said(&nd(NOBODY, 136, OWN6, &[(2, ME)])),
        Err(DropReason::IpSpoof)
    );
    let strict = Claims::new(&[OWN6.into(), LINK.into()]);
    assert_eq!(
        judge(&strict, &nd(OWN6, 136, OTHER_LINK, &[(2, ME)])),
        spoof
    );
    // Looks for routers.
    assert_eq!(said(&nd(LINK, 133, NOBODY, &[(1, ME)])), Ok(()));
    assert_eq!(said(&nd(LINK, 133, NOBODY, &[(1, OTHER)])), spoof);
    // Without a list the Ethernet addresses are the station's all the same.
    let any = Claims::default();
    assert_eq!(judge(&any, &nd(OTHER6, 136, OTHER6, &[(2, ME)])), Ok(()));
    assert_eq!(judge(&any, &nd(OTHER6, 136, OTHER6, &[(2, OTHER)])), spoof);
}

#[test]
fn broken_neighbour_discovery_is_a_spoof() {
    let spoof = Err(DropReason::NdSpoof);
    for units in [0, 2, 255] {
        let mut message = discovery(136, OWN6, &[(2, ME)]);
        message[25] = units;
        let frame = v6(&ipv6(OWN6, ALL_NODES, ICMPV6, &message));
        assert_eq!(judge(&listed(), &frame), spoof, "{units}");
    }
    let message = discovery(136, OWN6, &[(2, ME)]);
    for len in 1..message.len() {
        let frame = v6(&ipv6(OWN6, ALL_NODES, ICMPV6, &message[..len]));
        assert_eq!(
            judge(&listed(), &frame),
            if len == 24 { Ok(()) } else { spoof },
            "{len}"
        );
    }
    let none = v6(&ipv6(OWN6, ALL_NODES, ICMPV6, &[]));
    assert_eq!(judge(&listed(), &none), Err(DropReason::IpSpoof));
}

#[test]
fn routers_are_elsewhere_and_extension_headers_hide_none() {
    let guard = Err(DropReason::RaGuard);
    for kind in [134, 137] {
        let message = discovery(kind, OWN6, &[]);
        assert_eq!(judge(&Claims::default(), &nd(LINK, kind, OWN6, &[])), guard);
        for header in [0, 43, 60, 135, 139, 140] {
            let packet = ipv6(LINK, ALL_NODES, header, &extended(ICMPV6, &message));
            assert_eq!(judge(&listed(), &v6(&packet)), guard, "{header}");
        }
        let mut packet = message.clone();
        let mut next = ICMPV6;
        for headers in 1..=12 {
            packet = extended(next, &packet);
            next = 60;
            let said = judge(&listed(), &v6(&ipv6(LINK, ALL_NODES, 60, &packet)));
            let too_many = headers > EXTENSIONS_MAX;
            assert_eq!(
                said,
                if too_many {
                    Err(DropReason::IpSpoof)
                } else {
                    guard
                }
            );
        }
        // An authentication header counts in fours.
        let hidden = [&[ICMPV6, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1][..], &message].concat();
        assert_eq!(
            judge(&listed(), &v6(&ipv6(LINK, ALL_NODES, 51, &hidden))),
            guard
        );
    }
}

#[test]
fn ipv6_fragments_hide_nothing() {
    let advertisement = discovery(134, OWN6, &[]);
    let first = |upper: &[u8]| v6(&ipv6(LINK, ALL_NODES, 44, upper));
    let said = |frame: &[u8]| judge(&listed(), frame);
    assert_eq!(
        said(&first(&fragment(ICMPV6, 0, &advertisement))),
        Err(DropReason::RaGuard)
    );
    let own = discovery(136, LINK, &[(2, ME)]);
    assert_eq!(
        said(&first(&fragment(ICMPV6, 0, &own))),
        Err(DropReason::NdSpoof)
    );
    // The header that matters is left to the second.
    assert_eq!(
        said(&first(&fragment(60, 0, &[]))),
        Err(DropReason::IpSpoof)
    );
    assert_eq!(
        said(&first(&fragment(ICMPV6, 0, &[]))),
        Err(DropReason::IpSpoof)
    );
    assert_eq!(
        said(&first(&fragment(packets::UDP, 0, &[2]))),
        Err(DropReason::IpSpoof)
    );
    let later = fragment(ICMPV6, 3, &advertisement);
    assert_eq!(said(&first(&later)), Ok(()), "nothing without its first");
    let later = v6(&ipv6(OTHER6, ALL_NODES, 44, &later));
    assert_eq!(said(&later), Err(DropReason::IpSpoof));
}

#[test]
fn tags_and_llc_hide_nothing() {
    let service = Tag {
        tpid: Tpid::Dot1ad,
        ..dot1q(5)
    };
    let lie = ipv4(OTHER4, OWN4, 6, &[0; 20]);
    for count in 0..=TAGS_MAX + 1 {
        for tag in [service, dot1q(5)] {
            let tags = vec![tag; count];
            let frame = in_frame(OTHER, ME, &tags, EtherType::IPV4, &lie);
            assert_eq!(judge(&listed(), &frame), Err(DropReason::IpSpoof));
            let frame = in_frame(OTHER, ME, &tags, EtherType(0x88b5), &lie);
            let said = judge(&listed(), &frame);
            assert_eq!(said.is_ok(), count <= TAGS_MAX, "{count}");
            for len in 14..12 + 4 * count + 2 {
                assert!(judge(&listed(), &frame[..len]).is_err(), "{count}: {len}");
            }
        }
    }
    let snap = [&SNAP[..], &[8, 0], &lie].concat();
    let frame = in_frame(OTHER, ME, &[], EtherType(48), &snap);
    assert_eq!(judge(&listed(), &frame), Err(DropReason::IpSpoof));
    let llc = in_frame(OTHER, ME, &[], EtherType(38), &[0x42, 0x42, 3]);
    assert_eq!(judge(&listed(), &llc), Ok(()));
}
