//! Packets for the offload tests, and the judge of what became of them.
//!
//! Nothing here uses the code under test: bytes are laid out by hand, sums are the textbook's, and
//! segments are read by `etherparse`.

use crate::frame::{TxFrame, TxHeader, VnetHdr};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use vswitch_base::{Tag, Tci, Tpid};

#[derive(Clone, Debug)]
pub(super) enum Ip {
    /// Bytes of options, a multiple of 4 up to 40.
    V4 { options: usize },
    /// Numbers of extension headers, of 8 bytes (hop-by-hop: 16) each.
    V6 { extensions: Vec<u8> },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum L4 {
    /// Bytes of options, a multiple of 4 up to 40.
    Tcp {
        options: usize,
    },
    Udp,
}

#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) ip: Ip,
    pub(super) l4: L4,
    /// Tags in the header, 0 to 2.
    pub(super) pushed: usize,
    /// Tags at the start of the rest.
    pub(super) inner: usize,
    pub(super) id: u16,
    pub(super) sequence: u32,
    pub(super) flags: u8,
    pub(super) ecn: bool,
    pub(super) payload: Vec<u8>,
    /// 0: not to be cut.
    pub(super) mss: u16,
    /// The destination to sum, where it is not the header's.
    pub(super) final_destination: Option<[u8; 16]>,
}

impl Default for Packet {
    fn default() -> Self {
        Self {
            ip: Ip::V4 { options: 0 },
            l4: L4::Tcp { options: 0 },
            pushed: 0,
            inner: 0,
            id: 0x1234,
            sequence: 0xabcd_ef01,
            flags: 0x10,
            ecn: false,
            payload: Vec::new(),
            mss: 0,
            final_destination: None,
        }
    }
}

const SRC: [u8; 16] = [0xfd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const DST: [u8; 16] = [
    0xfd, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa,
];

/// The textbook's sum, one pair of bytes after the other.
pub(super) fn sum(bytes: &[u8]) -> u16 {
    let mut total = 0_u32;
    for pair in bytes.chunks(2) {
        total += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        total = (total & 0xffff) + (total >> 16);
    }
    u16::try_from(total).unwrap()
}

impl Packet {
    fn protocol(&self) -> u8 {
        match self.l4 {
            L4::Tcp { .. } => 6,
            L4::Udp => 17,
        }
    }

    fn ip_len(&self) -> usize {
        match &self.ip {
            Ip::V4 { options } => 20 + options,
            Ip::V6 { extensions } => {
                40 + extensions
                    .iter()
                    .map(|e| if *e == 0 { 16 } else { 8 })
                    .sum::<usize>()
            }
        }
    }

    fn l4_header_len(&self) -> usize {
        match self.l4 {
            L4::Tcp { options } => 20 + options,
            L4::Udp => 8,
        }
    }

    /// Sum of the pseudo-header for `len` bytes of transport, and of `bytes`.
    pub(super) fn pseudo_sum(&self, len: usize, bytes: &[u8]) -> u16 {
        let dst = self.final_destination.unwrap_or(DST);
        let mut all = match self.ip {
            Ip::V4 { .. } => [&SRC[..4], &dst[..4]].concat(),
            Ip::V6 { .. } => [SRC, dst].concat(),
        };
        all.extend(u32::try_from(len).unwrap().to_be_bytes());
        all.extend([0, self.protocol()]);
        all.extend(bytes);
        sum(&all)
    }

    /// From the inner tags or the EtherType on, with a partial checksum.
    pub(super) fn rest(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for i in 0..self.inner {
            out.extend([0x88, 0xa8, 0x20, u8::try_from(i).unwrap()]);
        }
        let l4_len = self.l4_header_len() + self.payload.len();
        match &self.ip {
            Ip::V4 { options } => {
                out.extend([0x08, 0x00, 0x45 + u8::try_from(options / 4).unwrap(), 0x03]);
                // Above 64 KB the field is whatever the sender left there.
                #[expect(clippy::cast_possible_truncation, reason = "as a sender would")]
                let total = (20 + options + l4_len) as u16;
                out.extend(total.to_be_bytes());
                out.extend(self.id.to_be_bytes());
                out.extend([0x40, 0, 64, self.protocol(), 0xde, 0xad]);
                out.extend(&SRC[..4]);
                out.extend(&DST[..4]);
                out.extend(vec![1; *options]);
                // To be cut: the header's own sum is whatever the sender left there.
                if self.payload.len() <= usize::from(self.mss) || self.mss == 0 {
                    let ip = out.len() - 20 - options;
                    out[ip + 10..ip + 12].fill(0);
                    let checksum = !sum(&out[ip..]);
                    out[ip + 10..ip + 12].copy_from_slice(&checksum.to_be_bytes());
                }
            }
            Ip::V6 { extensions } => {
                out.extend([0x86, 0xdd, 0x60, 0x12, 0x34, 0x56]);
                #[expect(clippy::cast_possible_truncation, reason = "as a sender would")]
                let len = (self.ip_len() - 40 + l4_len) as u16;
                out.extend(len.to_be_bytes());
                let mut chain = extensions.clone();
                chain.push(self.protocol());
                out.extend([chain[0], 64]);
                out.extend(SRC);
                out.extend(DST);
                for (this, next) in extensions.iter().zip(&chain[1..]) {
                    match this {
                        // A PadN option that fills it.
                        0 => out.extend([*next, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
                        60 => out.extend([*next, 0, 1, 4, 0, 0, 0, 0]),
                        _ => out.extend([*next, 0, 0, 0, 0, 0, 0, 0]),
                    }
                }
            }
        }
        let seed = self.pseudo_sum(l4_len, &[]);
        out.extend([0x12, 0x34, 0x56, 0x78]);
        match self.l4 {
            L4::Tcp { options } => {
                out.extend(self.sequence.to_be_bytes());
                out.extend([
                    1,
                    2,
                    3,
                    4,
                    u8::try_from(5 + options / 4).unwrap() << 4,
                    self.flags,
                ]);
                out.extend([0x7f, 0xff]);
                out.extend(seed.to_be_bytes());
                out.extend([0, 0]);
                out.extend(vec![1; options]);
            }
            L4::Udp => {
                #[expect(clippy::cast_possible_truncation, reason = "as a sender would")]
                let len = l4_len as u16;
                out.extend(len.to_be_bytes());
                out.extend(seed.to_be_bytes());
            }
        }
        out.extend(&self.payload);
        out
    }

    pub(super) fn frame<'a>(&self, rest: &'a [u8]) -> TxFrame<'a> {
        let mut header = TxHeader::new(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        for i in 0..self.pushed {
            header.push_tag(Tag {
                tpid: Tpid::Dot1q,
                tci: Tci(0x6000 + u16::try_from(i).unwrap()),
            });
        }
        let l4 = header.as_slice().len() + 4 * self.inner + 2 + self.ip_len();
        let kind = match (&self.ip, self.l4) {
            _ if self.mss == 0 => VnetHdr::GSO_NONE,
            (_, L4::Udp) => VnetHdr::GSO_UDP_L4,
            (Ip::V4 { .. }, _) => VnetHdr::GSO_TCPV4,
            (Ip::V6 { .. }, _) => VnetHdr::GSO_TCPV6,
        };
        let offload = VnetHdr {
            flags: VnetHdr::NEEDS_CSUM,
            gso_type: match kind {
                VnetHdr::GSO_TCPV4 | VnetHdr::GSO_TCPV6 if self.ecn => kind | VnetHdr::GSO_ECN,
                _ => kind,
            },
            // Only a hint: must not matter.
            hdr_len: 7,
            gso_size: self.mss,
            csum_start: u16::try_from(l4).unwrap(),
            csum_offset: if matches!(self.l4, L4::Udp) { 6 } else { 16 },
        };
        TxFrame {
            header,
            rest,
            offload,
        }
    }
}

/// Judges complete segments of `packet`: each a sound frame, together the original.
pub(super) fn judge(packet: &Packet, segments: &[(Vec<u8>, VnetHdr)]) {
    let rest = packet.rest();
    let frame = packet.frame(&rest);
    let whole = [frame.header.as_slice(), &rest].concat();
    let l3 = frame.header.as_slice().len() + 4 * packet.inner + 2;
    let l4 = l3 + packet.ip_len();
    let data = l4 + packet.l4_header_len();
    let mss = if packet.mss == 0 {
        packet.payload.len()
    } else {
        packet.mss.into()
    };
    let mut payload: Vec<u8> = Vec::new();

    for (i, (bytes, offload)) in segments.iter().enumerate() {
        let (first, last) = (i == 0, i + 1 == segments.len());
        assert_eq!(*offload, VnetHdr::NONE);
        // Addresses, tags, EtherType as they were.
        assert_eq!(bytes[..l3], whole[..l3]);
        let read = SlicedPacket::from_ethernet(bytes).expect("a segment that etherparse reads");
        assert_eq!(read.link_exts.len(), packet.pushed + packet.inner);
        let transport = read.transport.as_ref().expect("a whole transport header");

        let (expected, found, body) = match (read.net.as_ref().unwrap(), transport) {
            (NetSlice::Ipv4(ip), t) => {
                let ip = ip.header();
                assert_eq!(usize::from(ip.total_len()), bytes.len() - l3);
                assert_eq!(ip.header_checksum(), ip.to_header().calc_header_checksum());
                let sent = if packet.mss == 0 {
                    0
                } else {
                    u16::try_from(i).unwrap()
                };
                assert_eq!(ip.identification(), packet.id.wrapping_add(sent));
                let fields = |b: &[u8]| [&b[..2], &b[6..10], &b[12..l4 - l3]].concat();
                if packet.mss > 0 {
                    assert_eq!(fields(&bytes[l3..]), fields(&whole[l3..]));
                }
                let (src, dst) = (ip.source(), ip.destination());
                match t {
                    TransportSlice::Tcp(t) => (
                        t.calc_checksum_ipv4(src, dst).unwrap(),
                        t.checksum(),
                        t.payload(),
                    ),
                    TransportSlice::Udp(u) => {
                        let sum = u.to_header().calc_checksum_ipv4_raw(src, dst, u.payload());
                        (sum.unwrap(), u.checksum(), u.payload())
                    }
                    other => panic!("{other:?}"),
                }
            }
            (NetSlice::Ipv6(ip), t) => {
                let ip = ip.header();
                assert_eq!(usize::from(ip.payload_length()), bytes.len() - l3 - 40);
                let fields = |b: &[u8]| [&b[..4], &b[6..l4 - l3]].concat();
                assert_eq!(fields(&bytes[l3..]), fields(&whole[l3..]));
                let (src, dst) = (ip.source(), ip.destination());
                match t {
                    TransportSlice::Tcp(t) => (
                        t.calc_checksum_ipv6(src, dst).unwrap(),
                        t.checksum(),
                        t.payload(),
                    ),
                    TransportSlice::Udp(u) => {
                        let sum = u.to_header().calc_checksum_ipv6_raw(src, dst, u.payload());
                        (sum.unwrap(), u.checksum(), u.payload())
                    }
                    other => panic!("{other:?}"),
                }
            }
            (other, _) => panic!("{other:?}"),
        };
        // 0 and 0xffff are one value to TCP; to UDP 0 is none at all.
        assert_eq!(found % 0xffff, expected % 0xffff, "checksum of segment {i}");

        match transport {
            TransportSlice::Tcp(t) => {
                let sent = u32::try_from(i * mss).unwrap();
                assert_eq!(t.sequence_number(), packet.sequence.wrapping_add(sent));
                let mut flags = packet.flags;
                if !first {
                    flags &= !0x80;
                }
                if !last {
                    flags &= !0x09;
                }
                assert_eq!(bytes[l4 + 13], flags);
                assert_eq!(bytes[l4..l4 + 4], whole[l4..l4 + 4]);
                assert_eq!(bytes[l4 + 8..l4 + 13], whole[l4 + 8..l4 + 13]);
                assert_eq!(bytes[l4 + 14..l4 + 16], whole[l4 + 14..l4 + 16]);
                assert_eq!(bytes[l4 + 18..data], whole[l4 + 18..data]);
            }
            TransportSlice::Udp(u) => {
                assert_eq!(usize::from(u.length()), bytes.len() - l4);
                assert_ne!(u.checksum(), 0);
                assert_eq!(bytes[l4..l4 + 4], whole[l4..l4 + 4]);
            }
            other => panic!("{other:?}"),
        }
        assert!(if last {
            body.len() <= mss
        } else {
            body.len() == mss
        });
        payload.extend(body);
    }
    assert!(payload == packet.payload, "the payloads are the original's");
}
