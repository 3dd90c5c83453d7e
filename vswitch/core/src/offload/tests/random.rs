//! Random frames: honest ones against the judge, hostile ones against the limits.

use super::packet::{Ip, L4, Packet, judge};
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use vswitch_base::{Tag, Tci, Tpid};

fn packets() -> impl Strategy<Value = Packet> {
    let ip = prop_oneof![
        (0..=10_usize).prop_map(|n| Ip::V4 { options: n * 4 }),
        // In the order that RFC 8200 recommends and etherparse reads.
        (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(hop, dst, route)| {
            let all = [(hop, 0), (dst, 60), (route, 43)];
            Ip::V6 {
                extensions: all.iter().filter(|e| e.0).map(|e| e.1).collect(),
            }
        }),
    ];
    let l4 = prop_oneof![
        (0..=10_usize).prop_map(|n| L4::Tcp { options: n * 4 }),
        Just(L4::Udp)
    ];
    let numbers = (any::<u16>(), any::<u32>(), any::<u8>(), any::<bool>());
    let cut = (vec(any::<u8>(), 0..9000), 1..3000_u16, 1..60_usize);
    (ip, l4, 0..=2_usize, 0..=1_usize, numbers, cut).prop_map(
        |(ip, l4, pushed, inner, (id, sequence, flags, ecn), (bytes, mss, times))| {
            // Repeated, so that sizes reach 60,000 bytes without drawing each of them.
            let payload: Vec<u8> = bytes
                .iter()
                .copied()
                .cycle()
                .take(bytes.len() * times)
                .collect();
            let payload = payload[..payload.len().min(60_000)].to_vec();
            let most = match l4 {
                L4::Tcp { .. } => TCP_SEGMENTS_MAX,
                L4::Udp => UDP_SEGMENTS_MAX,
            };
            let least = payload.len().div_ceil(most);
            let mss = mss.max(u16::try_from(least).unwrap());
            Packet {
                ip,
                l4,
                pushed,
                inner,
                id,
                sequence,
                flags,
                ecn,
                payload,
                mss,
                final_destination: None,
            }
        },
    )
}

fn headers() -> impl Strategy<Value = VnetHdr> {
    let kinds = prop_oneof![
        4 => prop::sample::select(vec![0, 1, 3, 4, 5, 0x81, 0x84, 0x85]),
        1 => any::<u8>(),
    ];
    let small = prop_oneof![4 => 0..120_u16, 1 => any::<u16>()];
    (
        any::<u8>(),
        kinds,
        any::<u16>(),
        small.clone(),
        small.clone(),
        small,
    )
        .prop_map(
            |(flags, gso_type, hdr_len, gso_size, csum_start, csum_offset)| VnetHdr {
                flags,
                gso_type,
                hdr_len,
                gso_size,
                csum_start,
                csum_offset,
            },
        )
}

fn caps() -> impl Strategy<Value = TxCaps> {
    any::<[bool; 4]>().prop_map(|[checksum, tso4, tso6, uso]| TxCaps {
        checksum,
        tso4,
        tso6,
        uso,
    })
}

/// The limits that hold for whatever comes in.
fn stays_within_limits(finisher: &mut Finisher, frame: &TxFrame<'_>, caps: TxCaps) {
    let promised = segment_payload_len(frame);
    assert!(promised <= frame.rest.len());
    let finishing = needs_finishing(frame, caps);
    let Ok(segments) = finisher.finish(frame, caps) else {
        return;
    };
    let count = segments.len();
    assert!((1..=TCP_SEGMENTS_MAX).contains(&count));
    let (mut sent, mut largest) = (0, 0);
    for segment in segments {
        sent += 1;
        assert!(segment.wire_len() <= frame.wire_len());
        assert_eq!(segment.header.as_slice(), frame.header.as_slice());
        assert!(
            !needs_finishing(&segment, caps),
            "nothing is left that the port lacks"
        );
        largest = largest.max(segment_payload_len(&segment));
    }
    assert_eq!(sent, count);
    if finishing {
        assert_eq!(largest, promised, "the MTU was checked on what is sent");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// I-02
    #[test]
    fn segments_are_sound_and_add_up(packet in packets()) {
        let rest = packet.rest();
        let frame = packet.frame(&rest);
        let out = finish(&frame, TxCaps::NONE).unwrap();
        prop_assert_eq!(out.len(), packet.payload.len().div_ceil(packet.mss.into()).max(1));
        judge(&packet, &out);
        let largest = out.iter().map(|(b, _)| b.len()).max().unwrap();
        let overhead = frame.header.as_slice().len() + 4 * packet.inner + 2;
        prop_assert_eq!(segment_payload_len(&frame), largest - overhead);
    }

    /// I-02
    #[test]
    fn completed_frames_are_sound(mut packet in packets()) {
        packet.mss = 0;
        packet.payload.truncate(9000);
        let rest = packet.rest();
        judge(&packet, &finish(&packet.frame(&rest), TxCaps::NONE).unwrap());
    }

    /// I-02
    #[test]
    fn partial_segments_complete_to_the_same(packet in packets()) {
        let rest = packet.rest();
        let frame = packet.frame(&rest);
        let whole = finish(&frame, TxCaps::NONE).unwrap();
        for ((mut bytes, offload), (expected, _)) in finish(&frame, SUMS).unwrap().into_iter().zip(whole) {
            let (start, at) = (usize::from(offload.csum_start), usize::from(offload.csum_offset));
            complete_checksum(&mut bytes, start, at).unwrap();
            // TCP's zero stays a zero when cut, as with Linux.
            if expected[start + at..start + at + 2] == [0, 0] {
                bytes[start + at..start + at + 2].fill(0);
            }
            prop_assert_eq!(bytes, expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_do_no_harm(
        rest in vec(any::<u8>(), 0..2000),
        offload in headers(),
        tags in 0..=2_usize,
        caps in caps(),
    ) {
        let mut header = TxHeader::new(&[3; 12]);
        for _ in 0..tags {
            header.push_tag(Tag { tpid: Tpid::Dot1q, tci: Tci(7) });
        }
        stays_within_limits(&mut Finisher::new(), &TxFrame { header, rest: &rest, offload }, caps);
    }

    /// Frames that are right but for a few bytes get further into the code.
    #[test]
    fn damaged_frames_do_no_harm(
        packet in packets(),
        damage in vec((0..160_usize, any::<u8>()), 0..4),
        length in prop_oneof![2 => Just(usize::MAX), 1 => 0..200_usize],
        offload in prop_oneof![3 => Just(None), 1 => headers().prop_map(Some)],
        mss in prop_oneof![3 => Just(None), 1 => any::<u16>().prop_map(Some)],
        caps in caps(),
    ) {
        let mut rest = packet.rest();
        for (at, value) in damage {
            if let Some(byte) = rest.get_mut(at) {
                *byte = value;
            }
        }
        rest.truncate(length);
        let mut frame = packet.frame(&rest);
        frame.offload = offload.unwrap_or(frame.offload);
        frame.offload.gso_size = mss.unwrap_or(frame.offload.gso_size);
        stays_within_limits(&mut Finisher::new(), &frame, caps);
    }
}
