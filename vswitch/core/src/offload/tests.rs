//! Finished frames against oracles: `etherparse` reads each segment, sums it, and the payloads must
//! add up to the original's. Frames are built byte by byte here, with sums of their own.
//!
//! | module | shows |
//! | --- | --- |
//! | here | one behaviour each |
//! | [`packet`] | the builder, and the judge of segments |
//! | [`random`] | random and hostile frames |
//! | [`tunnels`] | packets in packets |

mod packet;
mod random;
mod tunnels;

use super::*;
use packet::{Ip, L4, Packet, judge};

const ACK: u8 = 0x10;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

const SUMS: TxCaps = TxCaps {
    checksum: true,
    ..TxCaps::NONE
};

fn finish(frame: &TxFrame<'_>, caps: TxCaps) -> Result<Vec<(Vec<u8>, VnetHdr)>, OffloadError> {
    let mut finisher = Finisher::new();
    let segments = finisher.finish(frame, caps)?;
    assert_eq!(segments.len(), segments.clone().count());
    Ok(segments
        .map(|s| ([s.header.as_slice(), s.rest].concat(), s.offload))
        .collect())
}

fn tcp(payload: usize, mss: u16) -> Packet {
    Packet {
        flags: ACK,
        payload: (0..=250).cycle().take(payload).collect(),
        mss,
        ..Packet::default()
    }
}

/// I-02
#[test]
fn flags_sequence_and_identification_of_each_segment() {
    let packet = Packet {
        flags: ACK | FIN | PSH | CWR,
        sequence: u32::MAX - 99,
        id: u16::MAX,
        ecn: true,
        ..tcp(250, 100)
    };
    let rest = packet.rest();
    let out = finish(&packet.frame(&rest), TxCaps::NONE).unwrap();
    let field = |i: usize, at: usize, n: usize| {
        out[i].0[at..at + n]
            .iter()
            .fold(0_u32, |v, b| v << 8 | u32::from(*b))
    };
    assert_eq!(out.len(), 3);
    assert_eq!([0, 1, 2].map(|i| field(i, 38, 4)), [u32::MAX - 99, 0, 100]);
    assert_eq!([0, 1, 2].map(|i| field(i, 18, 2)), [0xffff, 0, 1]);
    assert_eq!([0, 1, 2].map(|i| field(i, 16, 2)), [140, 140, 90]);
    assert_eq!(
        [0, 1, 2].map(|i| out[i].0[47]),
        [ACK | CWR, ACK, ACK | FIN | PSH],
    );
    judge(&packet, &out);
}

/// I-02
#[test]
fn the_usual_frames_are_cut_and_summed() {
    for ip in [Ip::V4 { options: 0 }, Ip::V6 { extensions: vec![] }] {
        for l4 in [L4::Tcp { options: 12 }, L4::Udp] {
            for pushed in 0..=2 {
                let packet = Packet {
                    ip: ip.clone(),
                    l4,
                    pushed,
                    ..tcp(60_000, 1448)
                };
                let rest = packet.rest();
                let frame = packet.frame(&rest);
                let out = finish(&frame, TxCaps::NONE).unwrap();
                assert_eq!(out.len(), 42, "{packet:?}");
                judge(&packet, &out);
                // Left to the device: the same bytes but the checksum, which the header names.
                let mut left = finish(&frame, SUMS).unwrap();
                for (bytes, offload) in &mut left {
                    assert!(offload.needs_csum() && !offload.is_gso());
                    let (start, at) = (offload.csum_start.into(), offload.csum_offset.into());
                    complete_checksum(bytes, start, at).unwrap();
                    *offload = VnetHdr::NONE;
                }
                assert_eq!(left, out);
            }
        }
    }
}

/// I-02
#[test]
fn a_short_remainder_and_an_exact_fit() {
    for (payload, count) in [(1449, 2), (2896, 2), (2897, 3)] {
        let packet = tcp(payload, 1448);
        let rest = packet.rest();
        let out = finish(&packet.frame(&rest), TxCaps::NONE).unwrap();
        assert_eq!(out.len(), count, "{payload} bytes");
        judge(&packet, &out);
    }
}

/// I-02: a request to cut what is one segment already changes nothing but the checksum.
#[test]
fn a_frame_of_one_segment_is_only_completed() {
    for payload in [0, 1, 1447, 1448] {
        for l4 in [L4::Tcp { options: 0 }, L4::Udp] {
            let packet = Packet {
                l4,
                ..tcp(payload, 1448)
            };
            let rest = packet.rest();
            let frame = packet.frame(&rest);
            let plain = TxFrame {
                offload: VnetHdr {
                    gso_type: VnetHdr::GSO_NONE,
                    gso_size: 0,
                    hdr_len: 0,
                    ..frame.offload
                },
                ..frame
            };
            let completed = finish(&plain, TxCaps::NONE).unwrap();
            assert_eq!(finish(&frame, TxCaps::NONE).unwrap(), completed);
            let left = finish(&frame, SUMS).unwrap();
            assert_eq!(
                left,
                [([frame.header.as_slice(), &rest].concat(), plain.offload)]
            );
        }
    }
}

/// I-02
#[test]
fn the_final_destination_of_a_routing_header_stays_in_the_sum() {
    // The sender sums towards the last segment of the route, the header names the next hop: taking
    // the pseudo-header from the header would make a checksum that the receiver drops.
    let packet = Packet {
        ip: Ip::V6 {
            extensions: vec![43],
        },
        final_destination: Some([9; 16]),
        ..tcp(3000, 1000)
    };
    let rest = packet.rest();
    let out = finish(&packet.frame(&rest), TxCaps::NONE).unwrap();
    assert_eq!(out.len(), 3);
    for (bytes, _) in &out {
        let segment = &bytes[14 + 40 + 8..];
        assert_eq!(packet.pseudo_sum(segment.len(), segment), 0xffff);
    }
}

/// I-02
#[test]
fn a_partial_checksum_is_completed_under_tags_too() {
    for pushed in 0..=2 {
        for l4 in [L4::Tcp { options: 4 }, L4::Udp] {
            let packet = Packet {
                l4,
                pushed,
                inner: 1,
                mss: 0,
                ..tcp(333, 0)
            };
            let rest = packet.rest();
            let frame = packet.frame(&rest);
            assert!(needs_finishing(&frame, TxCaps::NONE));
            assert!(!needs_finishing(&frame, SUMS));
            let out = finish(&frame, TxCaps::NONE).unwrap();
            judge(&packet, &out);
            // Nothing to do: as it was.
            let same = finish(&frame, TxCaps::ALL).unwrap();
            assert_eq!(
                same,
                [([frame.header.as_slice(), &rest].concat(), frame.offload)]
            );
        }
    }
}

#[test]
fn a_checksum_of_zero_is_written_as_ffff() {
    // RFC 768: a zero would say that there is none.
    let mut bytes = [0xff, 0xff, 0, 0];
    complete_checksum(&mut bytes, 0, 2).unwrap();
    assert_eq!(bytes, [0xff, 0xff, 0xff, 0xff]);

    // In segments: choose the payload so that the sum of one datagram comes out as 0.
    let mut packet = Packet {
        l4: L4::Udp,
        payload: vec![0; 400],
        mss: 200,
        ..tcp(0, 0)
    };
    let rest = packet.rest();
    let out = finish(&packet.frame(&rest), TxCaps::NONE).unwrap();
    let checksum = [out[0].0[40], out[0].0[41]];
    packet.payload[..2].copy_from_slice(&checksum);
    let rest = packet.rest();
    let out = finish(&packet.frame(&rest), TxCaps::NONE).unwrap();
    assert_eq!(out[0].0[40..42], [0xff, 0xff]);
    judge(&packet, &out);
}

#[test]
fn checksums_of_any_length_match_the_textbook() {
    let bytes: Vec<u8> = (0x80..=0xff).cycle().step_by(37).take(2000).collect();
    for from in 0..5 {
        for to in (from..40).chain([1999, 2000]) {
            let part = &bytes[from..to];
            assert_eq!(
                checksum::sum(part) % 0xffff,
                packet::sum(part) % 0xffff,
                "{from}..{to}"
            );
        }
    }
}

#[test]
fn places_outside_the_frame_are_refused() {
    let mut bytes = [0; 10];
    assert_eq!(complete_checksum(&mut bytes, 0, 8), Ok(()));
    for (start, offset) in [(0, 9), (11, 0), (4, usize::MAX), (usize::MAX, 1), (10, 0)] {
        assert_eq!(
            complete_checksum(&mut bytes, start, offset),
            Err(OffloadError::ChecksumOutside),
            "{start} {offset}",
        );
    }
    let packet = Packet {
        mss: 0,
        ..tcp(100, 0)
    };
    let rest = packet.rest();
    let mut frame = packet.frame(&rest);
    frame.offload.csum_start = 11;
    assert_eq!(
        finish(&frame, TxCaps::NONE).unwrap_err(),
        OffloadError::ChecksumOutside
    );
}

#[test]
fn contradictions_are_refused() {
    use OffloadError::{Contradiction, Incomplete, NotWhole, Truncated, UnknownType};
    type Change = fn(&mut Vec<u8>, &mut VnetHdr);
    // `rest` starts with the EtherType: IPv4 at 2, TCP at 22.
    let cases: [(&str, Change, OffloadError); 17] = [
        (
            "IPv6 named",
            |_, o| o.gso_type = VnetHdr::GSO_TCPV6,
            Contradiction,
        ),
        (
            "UDP named",
            |_, o| o.gso_type = VnetHdr::GSO_UDP_L4,
            Contradiction,
        ),
        (
            "fragmentation",
            |_, o| o.gso_type = VnetHdr::GSO_UDP,
            UnknownType(3),
        ),
        ("unknown", |_, o| o.gso_type = 0x7f, UnknownType(0x7f)),
        ("ECN alone", |_, o| o.gso_type = 0x80, UnknownType(0x80)),
        ("ECN of UDP", |_, o| o.gso_type = 0x85, UnknownType(0x85)),
        ("no size", |_, o| o.gso_size = 0, Incomplete),
        ("no checksum", |_, o| o.flags = 0, Incomplete),
        (
            "sum starts elsewhere",
            |_, o| o.csum_start += 2,
            Contradiction,
        ),
        (
            "sum stored elsewhere",
            |_, o| o.csum_offset = 6,
            Contradiction,
        ),
        ("EtherType of ARP", |r, _| r[1] = 6, Contradiction),
        ("version", |r, _| r[2] = 0x65, Contradiction),
        ("short IP header", |r, _| r[2] = 0x44, Contradiction),
        ("short TCP header", |r, _| r[34] = 0x40, Contradiction),
        ("first fragment", |r, _| r[8] = 0x20, NotWhole),
        ("later fragment", |r, _| r[9] = 1, NotWhole),
        (
            "TCP header behind the end",
            |r, _| r.truncate(41),
            Truncated,
        ),
    ];
    for (name, change, error) in cases {
        let packet = tcp(3000, 1000);
        let mut rest = packet.rest();
        let mut offload = packet.frame(&rest).offload;
        change(&mut rest, &mut offload);
        let frame = TxFrame {
            offload,
            ..packet.frame(&rest)
        };
        assert_eq!(finish(&frame, TxCaps::NONE).unwrap_err(), error, "{name}");
        assert_eq!(finish(&frame, SUMS).unwrap_err(), error, "{name}");
    }
}

#[test]
fn jumbograms_and_ipv6_fragments_are_refused() {
    for (extension, option) in [(0, Some([0xc2, 4])), (44, None)] {
        let packet = Packet {
            ip: Ip::V6 {
                extensions: vec![extension],
            },
            ..tcp(3000, 1000)
        };
        let mut rest = packet.rest();
        if let Some(option) = option {
            rest[2 + 40 + 2..][..2].copy_from_slice(&option);
        }
        let frame = packet.frame(&rest);
        assert_eq!(
            finish(&frame, TxCaps::NONE).unwrap_err(),
            OffloadError::NotWhole
        );
    }
}

/// I-02: for every port, since a device would make an Internet checksum of it; under tags too.
#[test]
fn sctp_gets_its_crc() {
    for pushed in 0..=2 {
        let packet = Packet {
            mss: 0,
            pushed,
            inner: 1,
            ..tcp(100, 0)
        };
        let mut rest = packet.rest();
        let l4 = 4 + 2 + 20;
        rest[l4 - 20 + 9] = 132;
        rest[l4..l4 + 20].copy_from_slice(b"12345678----ABCDEFGH");
        let mut frame = packet.frame(&rest);
        frame.offload.csum_offset = 8;
        assert!(needs_finishing(&frame, TxCaps::ALL));
        for caps in [TxCaps::NONE, TxCaps::ALL] {
            let out = finish(&frame, caps).unwrap();
            let [(bytes, VnetHdr::NONE)] = &out[..] else {
                panic!("{out:?}")
            };
            let (before, sctp) = bytes.split_at(12 + 4 * pushed + l4);
            assert_eq!(before, [frame.header.as_slice(), &rest[..l4]].concat());
            assert_eq!(
                (&sctp[..8], &sctp[12..]),
                (&rest[l4..l4 + 8], &rest[l4 + 12..])
            );
            let mut zeroed = sctp.to_vec();
            zeroed[8..12].fill(0);
            assert_eq!(sctp[8..12], bitwise_crc32c(&zeroed).to_le_bytes());
        }
        // SCTP whose sum is said to start elsewhere gets what was asked for: all adds up to what the
        // seed lacked.
        let mut elsewhere = frame;
        elsewhere.offload.csum_start += 4;
        let (bytes, _) = finish(&elsewhere, TxCaps::ALL).unwrap().remove(0);
        let at = usize::from(elsewhere.offload.csum_start);
        assert_eq!(
            packet::sum(&bytes[at..]) % 0xffff,
            !packet::sum(&rest[l4 + 12..][..2]) % 0xffff
        );
    }
}

/// The textbook's CRC32c, bit by bit.
fn bitwise_crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 != 0 { 0x82f6_3b78 } else { 0 };
        }
    }
    !crc
}

#[test]
fn limits_hold_at_the_limit_and_one_above() {
    for (l4, mss, most) in [
        (L4::Tcp { options: 0 }, 48, TCP_SEGMENTS_MAX),
        (L4::Udp, 100, UDP_SEGMENTS_MAX),
    ] {
        let of = |more: usize| Packet {
            l4,
            ..tcp(most * usize::from(mss) + more, mss)
        };
        let (packet, longer) = (of(0), of(1));
        let rest = packet.rest();
        let out = finish(&packet.frame(&rest), TxCaps::NONE).unwrap();
        assert_eq!(out.len(), most);
        judge(&packet, &out);
        let rest = longer.rest();
        assert_eq!(
            finish(&longer.frame(&rest), TxCaps::NONE).unwrap_err(),
            OffloadError::TooManySegments,
        );
    }
    let long = vec![0; SCRATCH_LEN + 1];
    let header = tcp(0, 0).frame(&long).header;
    let plain = |rest| TxFrame {
        header,
        rest,
        offload: VnetHdr::NONE,
    };
    assert_eq!(
        finish(&plain(&long), TxCaps::NONE).unwrap_err(),
        OffloadError::TooLong
    );
    assert_eq!(finish(&plain(&long[1..]), TxCaps::NONE).unwrap().len(), 1);
    // Segments that together do not fit: an extension header of 264 bytes in each.
    let packet = Packet {
        ip: Ip::V6 {
            extensions: vec![60],
        },
        ..tcp(TCP_SEGMENTS_MAX * 48, 48)
    };
    let mut rest = packet.rest();
    rest[2 + 40 + 1] = 32;
    rest.splice(2 + 48..2 + 48, [0; 256]);
    let mut frame = packet.frame(&rest);
    frame.offload.csum_start += 256;
    assert_eq!(
        finish(&frame, TxCaps::NONE).unwrap_err(),
        OffloadError::TooLong
    );
    // A segment that IP cannot describe.
    let packet = tcp(67_000, 65_535);
    let rest = packet.rest();
    assert_eq!(
        finish(&packet.frame(&rest), TxCaps::NONE).unwrap_err(),
        OffloadError::TooLong
    );
}

#[test]
fn what_a_port_lacks_decides() {
    use VnetHdr as H;
    let gso = |gso_type| H {
        gso_type,
        gso_size: 1,
        flags: H::NEEDS_CSUM,
        ..H::NONE
    };
    let needs = |offload, caps| {
        let header = TxHeader::new(&[2; 12]);
        let frame = TxFrame {
            header,
            rest: &[8, 0],
            offload,
        };
        needs_finishing(&frame, caps)
    };
    let only = |tso4, tso6, uso| TxCaps {
        checksum: true,
        tso4,
        tso6,
        uso,
    };
    for caps in [TxCaps::NONE, TxCaps::ALL] {
        assert!(!needs(H::NONE, caps));
        assert!(!needs(
            H {
                flags: H::DATA_VALID,
                ..H::NONE
            },
            caps
        ));
        assert!(needs(gso(H::GSO_UDP), caps));
    }
    for (kind, right) in [
        (H::GSO_TCPV4, only(true, false, false)),
        (H::GSO_TCPV4 | H::GSO_ECN, only(true, false, false)),
        (H::GSO_TCPV6, only(false, true, false)),
        (H::GSO_UDP_L4, only(false, false, true)),
    ] {
        assert!(!needs(gso(kind), right));
        assert!(needs(
            gso(kind),
            TxCaps {
                checksum: false,
                ..right
            }
        ));
        let wrong = only(!right.tso4, !right.tso6, !right.uso);
        assert!(needs(gso(kind), wrong));
    }
}

/// I-02: what counts against the MTU of the egress.
#[test]
fn the_mtu_counts_the_network_layer_of_a_segment() {
    let packet = Packet {
        l4: L4::Tcp { options: 12 },
        pushed: 1,
        inner: 1,
        ..tcp(60_000, 1448)
    };
    let rest = packet.rest();
    let frame = packet.frame(&rest);
    assert_eq!(segment_payload_len(&frame), 1500);
    let whole = TxFrame {
        offload: VnetHdr::NONE,
        ..frame
    };
    assert_eq!(segment_payload_len(&whole), 60_052);
    // Less payload than a segment takes; claims outside the frame.
    let packet = tcp(10, 1448);
    let rest = packet.rest();
    let mut frame = packet.frame(&rest);
    assert_eq!(segment_payload_len(&frame), 50);
    frame.offload.csum_start = 5;
    frame.offload.gso_size = 1;
    assert_eq!(segment_payload_len(&frame), 50);
    for len in 0..rest.len() {
        let frame = TxFrame {
            rest: &rest[..len],
            ..frame
        };
        assert_eq!(segment_payload_len(&frame), len.saturating_sub(2));
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let errors = [
        OffloadError::ChecksumOutside,
        OffloadError::UnknownType(3),
        OffloadError::Incomplete,
        OffloadError::Truncated,
        OffloadError::Contradiction,
        OffloadError::NotWhole,
        OffloadError::TooManySegments,
        OffloadError::TooLong,
    ];
    let texts: std::collections::HashSet<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), errors.len());
}
