//! PDUs against the table of the standard's offsets, and random bytes against the parser.

extern crate std;

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::string::ToString;
use std::vec::Vec;

/// A PDU as a switch sends it, offset by offset; written from the table, not by `emit`.
const WIRE: [u8; PDU_LEN] = {
    let mut b = [0; PDU_LEN];
    let fields: [(usize, &[u8]); 15] = [
        (0, &[0x01, 0x01]),
        (2, &[0x01, 0x14]),
        (4, &[0x80, 0x00]),
        (6, &[0x00, 0x1c, 0x73, 0xaa, 0x00, 0x01]),
        (12, &[0x00, 0x20]),
        (14, &[0x00, 0xff]),
        (16, &[0x00, 0x05]),
        (18, &[0x3d]),
        (22, &[0x02, 0x14]),
        (24, &[0xff, 0xff, 0x0c, 0x42, 0xa1, 0x00, 0x11, 0x22]),
        (32, &[0x00, 0x0f, 0x00, 0xfe, 0x00, 0x01]),
        (38, &[0x47]),
        (42, &[0x03, 0x10]),
        (44, &[0x12, 0x34]),
        (58, &[0x00, 0x00]),
    ];
    let mut f = 0;
    while f < fields.len() {
        let (at, bytes) = fields[f];
        let mut i = 0;
        while i < bytes.len() {
            b[at + i] = bytes[i];
            i += 1;
        }
        f += 1;
    }
    b
};

fn parsed() -> Lacpdu {
    Lacpdu {
        version: 1,
        actor: ParticipantInfo {
            system: SystemId {
                priority: 0x8000,
                mac: MacAddr([0, 0x1c, 0x73, 0xaa, 0, 1]),
            },
            key: Key(32),
            port: PortId {
                priority: 255,
                number: 5,
            },
            state: PortState(0x3d),
        },
        partner: ParticipantInfo {
            system: SystemId {
                priority: 0xffff,
                mac: MacAddr([0x0c, 0x42, 0xa1, 0, 0x11, 0x22]),
            },
            key: Key(15),
            port: PortId {
                priority: 254,
                number: 1,
            },
            state: PortState(0x47),
        },
        collector_max_delay: 0x1234,
    }
}

fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut wire = WIRE.to_vec();
    wire[at..at + bytes.len()].copy_from_slice(bytes);
    wire
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = std::vec![
        0x01, 0x80, 0xc2, 0, 0, 2, 0, 0x1c, 0x73, 0xaa, 0, 9, 0x88, 0x09
    ];
    bytes.extend(payload);
    bytes
}

/// P-13
#[test]
fn every_field_is_where_the_table_says() {
    assert_eq!(SlowProtocol::parse(&WIRE), Ok(SlowProtocol::Lacp(parsed())));
    assert_eq!(parsed().emit(), WIRE);
    let sender = MacAddr([0, 0x1c, 0x73, 0xaa, 0, 9]);
    assert_eq!(frame(&WIRE).len(), 124);
    assert_eq!(
        SlowProtocol::parse_frame(&frame(&WIRE)),
        Ok((sender, SlowProtocol::Lacp(parsed()))),
    );
}

/// P-13
#[test]
fn what_is_malformed_is_refused_by_name() {
    use PduError::{Short, TlvLength, TlvType};
    let cases: [(&str, Vec<u8>, PduError); 10] = [
        ("nothing", Vec::new(), Short(0)),
        ("one byte less", WIRE[..59].to_vec(), Short(59)),
        ("actor type", with(2, &[2]), TlvType { at: 2, found: 2 }),
        (
            "actor length",
            with(3, &[19]),
            TlvLength {
                at: 3 - 1,
                found: 19,
            },
        ),
        ("partner type", with(22, &[1]), TlvType { at: 22, found: 1 }),
        (
            "partner length",
            with(23, &[21]),
            TlvLength { at: 22, found: 21 },
        ),
        (
            "marker without fields",
            with(0, &[2, 1, 3]),
            TlvType { at: 2, found: 3 },
        ),
        (
            "marker length",
            with(0, &[2, 1, 1, 0x14]),
            TlvLength { at: 2, found: 0x14 },
        ),
        (
            "v2, a TLV of no length",
            with(1, &[2]).tap(58, &[4, 0]),
            TlvLength { at: 58, found: 0 },
        ),
        (
            "v2, a TLV too long",
            with(1, &[2]).tap(58, &[4, 53]),
            TlvLength { at: 58, found: 53 },
        ),
    ];
    for (name, bytes, error) in cases {
        assert_eq!(SlowProtocol::parse(&bytes), Err(error), "{name}");
        assert!(!error.to_string().is_empty());
    }
}

trait Tap {
    fn tap(self, at: usize, bytes: &[u8]) -> Self;
}

impl Tap for Vec<u8> {
    fn tap(mut self, at: usize, bytes: &[u8]) -> Self {
        self[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }
}

/// P-13
#[test]
fn only_untagged_frames_to_the_group_are_slow_protocol_frames() {
    let good = frame(&WIRE);
    let mut unicast = good.clone();
    unicast[0] = 0;
    assert!(matches!(
        SlowProtocol::parse_frame(&unicast),
        Err(PduError::Destination(_))
    ));
    let mut nearest = good.clone();
    nearest[5] = 3;
    assert!(matches!(
        SlowProtocol::parse_frame(&nearest),
        Err(PduError::Destination(_))
    ));
    let mut tagged = good.clone();
    tagged.splice(12..12, [0x81, 0, 0, 100]);
    assert_eq!(
        SlowProtocol::parse_frame(&tagged),
        Err(PduError::EtherType(0x8100))
    );
    assert_eq!(
        SlowProtocol::parse_frame(&good[..13]),
        Err(PduError::Short(13))
    );
    assert_eq!(
        SlowProtocol::parse_frame(&good[..14]),
        Err(PduError::Short(0))
    );
}

#[test]
fn reserved_bytes_are_ignored_and_sent_as_zero() {
    let mut wire = WIRE;
    for reserved in [19..22, 39..42, 46..58, 60..110] {
        wire[reserved].fill(0xee);
    }
    let Ok(SlowProtocol::Lacp(pdu)) = SlowProtocol::parse(&wire) else {
        panic!("a LACPDU")
    };
    assert_eq!(pdu, parsed());
    assert_eq!(pdu.emit(), WIRE);
    // The shortest that is taken: all fields and the terminator.
    assert_eq!(
        SlowProtocol::parse(&WIRE[..60]),
        Ok(SlowProtocol::Lacp(parsed()))
    );
}

/// P-14
#[test]
fn further_tlvs_of_later_versions_are_skipped() {
    // Port algorithm (4), port conversation id (5), one of the masks, terminator.
    let mut wire = with(1, &[2]);
    wire[58..].fill(0);
    wire.splice(
        58..58,
        [4, 6, 0, 0x80, 0xc2, 1, 5, 8, 1, 2, 3, 4, 5, 6, 6, 3, 0],
    );
    let Ok(SlowProtocol::Lacp(pdu)) = SlowProtocol::parse(&wire) else {
        panic!("a LACPDU")
    };
    assert_eq!(
        pdu,
        Lacpdu {
            version: 2,
            ..parsed()
        }
    );
    // We answer with what we speak.
    assert_eq!(pdu.emit(), WIRE);
    // Version 1 ends at the terminator's place, whatever stands there.
    assert!(SlowProtocol::parse(&with(58, &[4, 0])).is_ok());
    // TLVs up to the last byte, without a terminator.
    assert!(SlowProtocol::parse(&with(1, &[9]).tap(58, &[4, 52])).is_ok());
}

#[test]
fn a_missing_collector_says_nothing_of_the_delay() {
    let Ok(SlowProtocol::Lacp(pdu)) = SlowProtocol::parse(&with(42, &[0, 0])) else {
        panic!("a LACPDU")
    };
    assert_eq!(
        pdu,
        Lacpdu {
            collector_max_delay: 0,
            ..parsed()
        }
    );
}

#[test]
fn a_marker_is_answered_with_its_own_bytes() {
    let mut wire = [0; PDU_LEN];
    wire[..18].copy_from_slice(&[
        2, 1, 1, 0x16, 0, 7, 2, 3, 4, 5, 6, 7, 0xde, 0xad, 0xbe, 0xef, 0, 0,
    ]);
    let marker = MarkerPdu::new(7, MacAddr([2, 3, 4, 5, 6, 7]), 0xdead_beef);
    assert_eq!(marker.emit(), wire);

    // Reserved bytes come back as they were.
    wire[16] = 9;
    wire[100] = 0xaa;
    let Ok(SlowProtocol::Marker(marker)) = SlowProtocol::parse(&wire) else {
        panic!("a marker")
    };
    assert_eq!(marker.kind(), MarkerKind::Information);
    assert_eq!(marker.requester_port(), 7);
    assert_eq!(marker.requester_system(), MacAddr([2, 3, 4, 5, 6, 7]));
    assert_eq!(marker.transaction(), 0xdead_beef);
    let answer = marker.response();
    assert_eq!(answer.kind(), MarkerKind::Response);
    wire[2] = 2;
    assert_eq!(answer.emit(), wire);
    assert_eq!(SlowProtocol::parse(&wire), Ok(SlowProtocol::Marker(answer)));
}

#[test]
fn other_subtypes_are_told_by_number() {
    for subtype in [0, 3, 10, 255] {
        assert_eq!(
            SlowProtocol::parse(&[subtype]),
            Ok(SlowProtocol::Other(subtype))
        );
    }
}

fn infos() -> impl Strategy<Value = ParticipantInfo> {
    any::<(u16, [u8; 6], u16, u16, u16, u8)>().prop_map(
        |(prio, mac, key, port_prio, port, state)| ParticipantInfo {
            system: SystemId {
                priority: prio,
                mac: MacAddr(mac),
            },
            key: Key(key),
            port: PortId {
                priority: port_prio,
                number: port,
            },
            state: PortState(state),
        },
    )
}

proptest! {
    #[test]
    fn what_is_emitted_is_parsed_back(actor in infos(), partner in infos(), delay in any::<u16>()) {
        let pdu = Lacpdu { collector_max_delay: delay, ..Lacpdu::new(actor, partner) };
        prop_assert_eq!(SlowProtocol::parse(&pdu.emit()), Ok(SlowProtocol::Lacp(pdu)));
    }

    #[test]
    fn markers_round_trip(port in any::<u16>(), system in any::<[u8; 6]>(), number in any::<u32>()) {
        let marker = MarkerPdu::new(port, MacAddr(system), number);
        let expected = Ok(SlowProtocol::Marker(marker));
        prop_assert_eq!(SlowProtocol::parse(&marker.emit()), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..200)) {
        let _ = SlowProtocol::parse_frame(&bytes);
        // Without a panic, and not taken for more than it is.
        if let Ok(SlowProtocol::Lacp(_) | SlowProtocol::Marker(_)) = SlowProtocol::parse(&bytes) {
            prop_assert!(bytes.len() >= PDU_MIN);
        }
    }

    /// Right but for a few bytes: gets further into the parser.
    #[test]
    fn damaged_pdus_do_no_harm(
        version in any::<u8>(),
        damage in vec((0..PDU_LEN, any::<u8>()), 0..6),
        len in 0..=PDU_LEN,
        tail in vec(any::<u8>(), 0..100),
    ) {
        let mut bytes = with(1, &[version]);
        for (at, value) in damage {
            bytes[at] = value;
        }
        bytes.truncate(len);
        bytes.extend(tail);
        if let Ok(SlowProtocol::Lacp(pdu)) = SlowProtocol::parse(&bytes) {
            prop_assert_eq!(&bytes[2..4], &[1, 20][..]);
            prop_assert_eq!(&bytes[22..24], &[2, 20][..]);
            prop_assert_eq!(pdu.actor.state.0, bytes[18]);
        }
        let _ = SlowProtocol::parse_frame(&frame(&bytes));
    }
}
