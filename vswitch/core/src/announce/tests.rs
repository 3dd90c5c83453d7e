//! What is an announcement, what only looks like one, and that no bytes harm.

use super::*;
use crate::frame::VnetHdr;
use crate::ingress::classify;
use crate::snapshot::{BridgeSpec, PortView, SnapshotBuilder};
use crate::testing::announcements::{ArpPacket, advertisement, gratuitous_arp, rarp};
use crate::testing::{dot1q, frame, station, vid};
use proptest::prelude::*;
use std::sync::Arc;
use vswitch_base::{BridgeIndex, Generation, PortIndex};

/// What pass 1 and then `announces` make of it, on a trunk of VLAN 10 or a bridge without VLANs.
fn told_on(bytes: &[u8], stripped: Option<Tag>, vlan_filtering: bool) -> bool {
    let (bridge, port) = (BridgeIndex(0), PortIndex(1));
    let mut view = PortView::trunk(port, bridge, &[vid(10)]);
    view.pvid = Some(vid(10));
    let spec = BridgeSpec {
        vlan_filtering,
        learning: true,
        mac: station(99),
        fdb: Arc::new(crate::fdb::Fdb::new(1, 1)),
    };
    let mut builder = SnapshotBuilder::new(Generation(1));
    builder.port(port, view.clone()).bridge(bridge, spec);
    let snapshot = builder.build();
    let frame = Frame {
        bytes,
        stripped,
        offload: VnetHdr::NONE,
    };
    let class = classify(&frame, &view, snapshot.bridge(bridge).unwrap());
    announces(&frame, &class)
}

fn told(bytes: &[u8]) -> bool {
    told_on(bytes, None, true)
}

/// N-04: each kind, untagged, tagged in band and beside the bytes, and where tags are payload.
#[test]
fn announcements_are_known_whatever_their_tag() {
    for make in [gratuitous_arp, rarp, advertisement] {
        let tag = dot1q(10);
        assert!(told(&make(station(1), &[])));
        assert!(told(&make(station(1), &[tag])));
        assert!(told_on(&make(station(1), &[]), Some(tag), true));
        assert!(told_on(&make(station(1), &[]), Some(tag), false));
        assert!(told_on(&make(station(1), &[tag]), None, false));
    }
}

/// N-04: what an ARP packet must say, a difference at a time.
#[test]
fn only_words_of_the_sender_about_itself_count() {
    let own = [10, 0, 0, 7];
    let request = ArpPacket {
        operation: 1,
        sender: station(1),
        sender_ip: own,
        target: MacAddr::ZERO,
        target_ip: own,
    };
    let other = [10, 0, 0, 8];
    let (broadcast, unicast) = (MacAddr::BROADCAST, station(2));
    let reply = ArpPacket {
        operation: 2,
        target_ip: other,
        ..request
    };
    let reverse = ArpPacket {
        operation: 3,
        target: station(1),
        ..request
    };
    for (expected, to, packet) in [
        (true, broadcast, request),
        (false, unicast, request),
        // Asks for somebody else; asks whether an address is free.
        (
            false,
            broadcast,
            ArpPacket {
                target_ip: other,
                ..request
            },
        ),
        (
            false,
            broadcast,
            ArpPacket {
                sender_ip: [0; 4],
                ..request
            },
        ),
        (
            false,
            broadcast,
            ArpPacket {
                sender_ip: [0; 4],
                target_ip: [0; 4],
                ..request
            },
        ),
        (true, broadcast, reply),
        (false, unicast, reply),
        (true, broadcast, reverse),
        (false, unicast, reverse),
        // Asks for another machine's address; the server's answer.
        (
            false,
            broadcast,
            ArpPacket {
                target: station(2),
                ..reverse
            },
        ),
        (
            false,
            broadcast,
            ArpPacket {
                operation: 4,
                ..reverse
            },
        ),
    ] {
        assert_eq!(told(&packet.frame(to, &[])), expected, "{packet:?} to {to}");
    }
    // Carried by a frame of somebody else.
    for operation in [1, 3] {
        let packet = ArpPacket {
            operation,
            target: station(1),
            ..request
        };
        let mut bytes = packet.frame(broadcast, &[]);
        bytes[11] ^= 1;
        assert!(!told(&bytes), "{operation}");
    }
    assert!(!told(&frame(
        broadcast,
        station(1),
        &[],
        EtherType::ARP,
        60
    )));
}

/// N-04: what an advertisement must say.
#[test]
fn only_an_unsolicited_advertisement_with_its_address_counts() {
    let good = advertisement(station(1), &[]);
    // Offsets in the frame: next header 20, hop limit 21, type 54, code 55, flags 58, option 78.
    for (at, value, expected) in [
        (58, 0, true),
        (58, 0x80, true),
        (58, 0x60, false),
        (20, 17, false),
        (21, 64, false),
        (54, 135, false),
        (55, 1, false),
        (78, 1, false),
        (79, 0, false),
        (79, 2, false),
        (85, 2, false),
        (5, 2, false),
    ] {
        let mut bytes = good.clone();
        bytes[at] = value;
        assert_eq!(told(&bytes), expected, "byte {at} is {value}");
    }
    // Another option before it.
    let mut longer = good[..78].to_vec();
    longer.extend_from_slice(&[14, 1, 1, 2, 3, 4, 5, 6]);
    longer.extend_from_slice(&good[78..]);
    longer[19] = 40;
    assert!(told(&longer));
    longer[19] = 32;
    assert!(!told(&longer), "the packet ends before it");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Cut anywhere and with any byte changed: no panic, and a cut one tells nothing.
    #[test]
    fn no_bytes_harm(which in 0..3usize, cut: prop::sample::Index, at: prop::sample::Index, value: u8) {
        let make = [gratuitous_arp, rarp, advertisement][which];
        let bytes = make(station(1), &[dot1q(10)]);
        let said = [46, 46, 90][which];
        let cut = cut.index(bytes.len() + 1);
        prop_assert_eq!(told(&bytes[..cut]), cut >= said);
        let mut changed = bytes[..cut].to_vec();
        if cut > 0 {
            changed[at.index(cut)] = value;
        }
        told(&changed);
    }
}
