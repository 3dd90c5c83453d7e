//! Packets in packets: each segment's inside is judged like any packet, its outside here.

use super::packet::{Ip, L4, Packet, judge, sum};
use super::*;

/// What is around the packet, and between.
#[derive(Clone, Copy, Debug)]
struct Around {
    v6: bool,
    /// Protocol of the outer packet.
    protocol: u8,
    /// What follows the outer IP header: UDP or GRE header, and whatever the tunnel has.
    between: &'static [u8],
    /// The outer UDP has a checksum.
    summed: bool,
}

/// VXLAN: UDP header, flags and VNI, an inner Ethernet header up to the EtherType.
const VXLAN4: &[u8] = &[
    0xc0, 1, 0x12, 0xb5, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 7, 0, 2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 8,
    0,
];
const VXLAN6: &[u8] = &[
    0xc0, 1, 0x12, 0xb5, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 7, 0, 2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8,
    0x86, 0xdd,
];
const KINDS: [Around; 7] = [
    around(false, 17, VXLAN4, false),
    around(false, 17, VXLAN4, true),
    around(true, 17, VXLAN4, true),
    around(false, 4, &[], false),
    around(true, 4, &[], false),
    around(false, 47, &[0, 0, 8, 0], false),
    around(false, 47, &[0x20, 0, 8, 0, 1, 2, 3, 4], false),
];
const KINDS_OF_V6: [Around; 3] = [
    around(false, 17, VXLAN6, false),
    around(true, 17, VXLAN6, true),
    around(false, 41, &[], false),
];

const fn around(v6: bool, protocol: u8, between: &'static [u8], summed: bool) -> Around {
    Around {
        v6,
        protocol,
        between,
        summed,
    }
}

const OUTER_ID: u16 = 0xfffe;

impl Around {
    /// Bytes of the outer IP header.
    const fn ip_len(self) -> usize {
        if self.v6 { 40 } else { 20 }
    }

    /// The packet, whose rest begins with its EtherType, with the other around it.
    fn rest(self, inner: &[u8]) -> Vec<u8> {
        let packet = &inner[2..];
        let len = self.between.len() + packet.len();
        let word = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
        let mut out = Vec::new();
        if self.v6 {
            out.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            out.extend(word(len));
            out.extend([self.protocol, 64]);
            out.extend([0xfe; 16]);
            out.extend([0xfd; 16]);
        } else {
            out.extend([8, 0, 0x45, 0]);
            out.extend(word(20 + len));
            out.extend(OUTER_ID.to_be_bytes());
            out.extend([
                0,
                0,
                64,
                self.protocol,
                0,
                0,
                192,
                168,
                0,
                1,
                192,
                168,
                0,
                2,
            ]);
        }
        let l4 = out.len();
        out.extend(self.between);
        out.extend(packet);
        if self.protocol == 17 {
            out[l4 + 4..l4 + 6].copy_from_slice(&word(len));
            if self.summed {
                // A seed: not zero is all that counts.
                out[l4 + 6..l4 + 8].copy_from_slice(&[0x12, 0x34]);
            }
        }
        out
    }

    /// Bytes before the inner IP header, without the EtherType.
    const fn len(self) -> usize {
        self.ip_len() + self.between.len()
    }

    /// Judges the outside of segment number `i` and gives the inside with an Ethernet header of its own.
    fn open(self, i: usize, frame: &[u8], header: usize, inner_type: &[u8]) -> Vec<u8> {
        let ip = &frame[header + 2..];
        let (ip_header, carried) = ip.split_at(self.ip_len());
        let word = |at: usize| usize::from(u16::from_be_bytes([ip[at], ip[at + 1]]));
        if self.v6 {
            assert_eq!(word(4), carried.len());
        } else {
            assert_eq!(word(2), ip.len());
            assert_eq!(sum(ip_header), 0xffff);
            let id = OUTER_ID.wrapping_add(u16::try_from(i).unwrap());
            assert_eq!(word(4), usize::from(id));
        }
        if self.protocol == 17 {
            let udp = self.ip_len();
            assert_eq!(word(udp + 4), carried.len());
            if self.summed {
                let addresses = if self.v6 { 8..40 } else { 12..20 };
                let length = u16::try_from(carried.len()).unwrap().to_be_bytes();
                let pseudo = [&ip[addresses], &[0, 17], &length].concat();
                assert_eq!(sum(&[&pseudo, carried].concat()), 0xffff);
            } else {
                assert_eq!(word(udp + 6), 0);
            }
        }
        [&frame[..header], inner_type, &ip[self.len()..]].concat()
    }
}

fn inners(v6: bool) -> Vec<Packet> {
    let ip = if v6 {
        Ip::V6 { extensions: vec![] }
    } else {
        Ip::V4 { options: 8 }
    };
    let tcp = Packet {
        ip,
        l4: L4::Tcp { options: 12 },
        flags: FIN | PSH | CWR | ACK,
        id: 0xffff,
        ..tcp(5_000, 1_300)
    };
    let udp = Packet {
        l4: L4::Udp,
        ..tcp.clone()
    };
    vec![tcp, udp]
}

/// The inner packet as it was before: in a tunnel its header's checksum is right.
fn right(rest: &mut [u8], packet: &Packet) {
    if let Ip::V4 { options } = packet.ip {
        let header = &mut rest[2..22 + options];
        header[10..12].fill(0);
        let checksum = !sum(header);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// I-02: for every port, complete; what is inside as if it were alone.
#[test]
fn tunnels_are_cut_inside_and_outside() {
    for (v6, kinds) in [(false, &KINDS[..]), (true, &KINDS_OF_V6)] {
        for (packet, kind) in inners(v6)
            .iter()
            .flat_map(|packet| kinds.iter().map(move |kind| (packet, kind)))
        {
            for pushed in [0, 1] {
                let packet = Packet {
                    pushed,
                    ..packet.clone()
                };
                let mut inner = packet.rest();
                right(&mut inner, &packet);
                let rest = kind.rest(&inner);
                let mut frame = TxFrame {
                    rest: &rest,
                    ..packet.frame(&inner)
                };
                frame.offload.csum_start += u16::try_from(kind.len()).unwrap();
                for caps in [TxCaps::ALL, SUMS, TxCaps::NONE] {
                    assert!(needs_finishing(&frame, caps), "{kind:?}");
                    let out = finish(&frame, caps).unwrap_or_else(|e| panic!("{kind:?}: {e}"));
                    let largest = out.iter().map(|(bytes, _)| bytes.len()).max().unwrap();
                    let header = 12 + 4 * pushed;
                    assert_eq!(segment_payload_len(&frame), largest - header - 2);
                    let insides: Vec<_> = out
                        .iter()
                        .enumerate()
                        .map(|(i, (bytes, offload))| {
                            (kind.open(i, bytes, header, &inner[..2]), *offload)
                        })
                        .collect();
                    assert_eq!(insides.len(), 4);
                    judge(&packet, &insides);
                }
            }
        }
    }
}

/// What is not surely a tunnel is refused: the inner packet must be what it says of itself.
#[test]
fn what_only_looks_like_a_tunnel_is_refused() {
    type Change = fn(&mut [u8], &mut VnetHdr);
    let kind = KINDS[0];
    // The outer IP header at 2, UDP at 22, the inner IP header at 52 and TCP at 80.
    let cases: [(&str, Change); 10] = [
        ("inner length", |r, _| r[55] ^= 1),
        ("inner protocol", |r, _| r[61] = 17),
        ("inner checksum", |r, _| r[62] ^= 1),
        ("inner version", |r, _| r[52] = 0x57),
        ("another inner family", |_, o| {
            o.gso_type = VnetHdr::GSO_TCPV6;
        }),
        ("sum elsewhere", |_, o| o.csum_start += 4),
        ("sum stored elsewhere", |_, o| o.csum_offset = 6),
        ("nothing that carries packets", |r, _| r[11] = 6),
        ("GRE with a checksum", |r, _| {
            r[11] = 47;
            r[22] = 0x80;
        }),
        ("a fragment around it", |r, _| r[8] = 0x20),
    ];
    for (name, change) in cases {
        let packet = &inners(false)[0];
        let mut inner = packet.rest();
        right(&mut inner, packet);
        let mut rest = kind.rest(&inner);
        let mut offload = packet.frame(&inner).offload;
        offload.csum_start += u16::try_from(kind.len()).unwrap();
        let whole = TxFrame {
            rest: &rest,
            offload,
            ..packet.frame(&inner)
        };
        assert!(finish(&whole, TxCaps::ALL).is_ok());
        change(&mut rest, &mut offload);
        let frame = TxFrame {
            rest: &rest,
            offload,
            ..packet.frame(&inner)
        };
        assert!(finish(&frame, TxCaps::NONE).is_err(), "{name}");
    }
}
