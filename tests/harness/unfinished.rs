//! Frames whose checksum and segments a sender left to others, field by field: what a guest's stack
//! hands to its device together with a virtio-net header.
//!
//! An [`Unfinished`] is a description; [`Unfinished::frame`] lays it out. All fields may be changed, so
//! that a test can ask for what no stack would send. [`Unfinished::random`] draws honest ones.

use crate::packets::checksum;
use crate::rng::Rng;
use vswitch_base::{EtherType, MacAddr, Tag};
use vswitch_core::frame::VnetHdr;
use vswitch_core::testing::{MemFrame, frame};

/// TCP flags.
pub const FIN: u8 = 0x01;
/// Push.
pub const PSH: u8 = 0x08;
/// Acknowledgement.
pub const ACK: u8 = 0x10;
/// Echo of congestion (RFC 3168).
pub const ECE: u8 = 0x40;
/// Congestion window reduced (RFC 3168).
pub const CWR: u8 = 0x80;

/// The longest IP packet.
const IP_MAX: usize = 65_535;
/// Segments of one frame, at most: what Linux allows UDP.
pub const SEGMENTS_MAX: usize = 128;
const SRC: [u8; 16] = [0xfd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const DST: [u8; 16] = [0xfd, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15];

/// The network header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Network {
    /// IPv4.
    V4 {
        /// Type of service.
        tos: u8,
        /// Identification.
        id: u16,
        /// Flags and fragment offset.
        fragment: u16,
        /// A multiple of 4 bytes, 40 at most.
        options: Vec<u8>,
        /// The header's checksum; right when `None`.
        checksum: Option<u16>,
    },
    /// IPv6.
    V6 {
        /// Traffic class and flow label, in the low 28 bits.
        flow: u32,
        /// Number and body of each extension header, without its first byte: 8 n - 1 bytes.
        extensions: Vec<(u8, Vec<u8>)>,
    },
}

/// The transport header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Transport {
    /// TCP.
    Tcp {
        /// Sequence number.
        sequence: u32,
        /// The low four bits of the byte with the header's length.
        reserved: u8,
        /// The eight flags.
        flags: u8,
        /// A multiple of 4 bytes, 40 at most.
        options: Vec<u8>,
    },
    /// UDP.
    Udp,
}

/// A frame with work left to do.
#[derive(Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Destination.
    pub dst: MacAddr,
    /// Source.
    pub src: MacAddr,
    /// In band, outermost first.
    pub tags: Vec<Tag>,
    /// IP.
    pub network: Network,
    /// What it carries.
    pub transport: Transport,
    /// What that carries.
    pub payload: Vec<u8>,
    /// Bytes of each segment's payload; `None`: only the checksum is left to do.
    pub mss: Option<u16>,
    /// The ECN bit beside the segmentation type.
    pub ecn: bool,
}

impl std::fmt::Debug for Unfinished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the payload: thousands of bytes that are read better from a capture.
        let Self {
            tags,
            network,
            transport,
            payload,
            mss,
            ecn,
            ..
        } = self;
        let len = payload.len();
        write!(
            f,
            "{network:?} {transport:?} tags {tags:?}, {len} bytes, mss {mss:?}, ecn {ecn}"
        )
    }
}

impl Unfinished {
    /// TCP over IPv4 with nothing special about it.
    #[must_use]
    pub fn tcp4(dst: MacAddr, src: MacAddr, payload: usize, mss: Option<u16>) -> Self {
        Self {
            dst,
            src,
            tags: Vec::new(),
            network: Network::V4 {
                tos: 0,
                id: 0x1234,
                fragment: 0x4000,
                options: Vec::new(),
                checksum: None,
            },
            transport: Transport::Tcp {
                sequence: 0x0102_0304,
                reserved: 0,
                flags: ACK,
                options: Vec::new(),
            },
            payload: (0..=250).cycle().take(payload).collect(),
            mss,
            ecn: false,
        }
    }

    /// The same over IPv6.
    #[must_use]
    pub fn tcp6(dst: MacAddr, src: MacAddr, payload: usize, mss: Option<u16>) -> Self {
        Self {
            network: Network::V6 {
                flow: 0x012_3456,
                extensions: Vec::new(),
            },
            ..Self::tcp4(dst, src, payload, mss)
        }
    }

    /// The same as UDP.
    #[must_use]
    pub fn udp(self) -> Self {
        Self {
            transport: Transport::Udp,
            ..self
        }
    }

    /// Where the IP header starts.
    #[must_use]
    pub fn l3(&self) -> usize {
        14 + self.tags.len() * Tag::LEN
    }

    /// Where the transport header starts.
    #[must_use]
    pub fn l4(&self) -> usize {
        self.l3()
            + match &self.network {
                Network::V4 { options, .. } => 20 + options.len(),
                Network::V6 { extensions, .. } => {
                    40 + extensions.iter().map(|(_, b)| b.len() + 1).sum::<usize>()
                }
            }
    }

    /// Where the payload starts.
    #[must_use]
    pub fn data(&self) -> usize {
        self.l4()
            + match &self.transport {
                Transport::Tcp { options, .. } => 20 + options.len(),
                Transport::Udp => 8,
            }
    }

    /// The offload header that asks for what is left to do.
    #[must_use]
    pub fn offload(&self) -> VnetHdr {
        let short = |n: usize| u16::try_from(n).expect("headers are short");
        let udp = self.transport == Transport::Udp;
        let kind = match &self.network {
            _ if self.mss.is_none() => VnetHdr::GSO_NONE,
            _ if udp => VnetHdr::GSO_UDP_L4,
            Network::V4 { .. } => VnetHdr::GSO_TCPV4,
            Network::V6 { .. } => VnetHdr::GSO_TCPV6,
        };
        VnetHdr {
            flags: VnetHdr::NEEDS_CSUM,
            gso_type: kind | if self.ecn { VnetHdr::GSO_ECN } else { 0 },
            hdr_len: self.mss.map_or(0, |_| short(self.data())),
            gso_size: self.mss.unwrap_or(0),
            csum_start: short(self.l4()),
            csum_offset: if udp { 6 } else { 16 },
        }
    }

    /// The frame and its offload header. Lengths that do not fit their fields are cut off, as a sender
    /// of large frames does.
    #[must_use]
    pub fn frame(&self) -> MemFrame {
        let ether_type = match self.network {
            Network::V4 { .. } => EtherType::IPV4,
            Network::V6 { .. } => EtherType::IPV6,
        };
        let mut bytes = frame(self.dst, self.src, &self.tags, ether_type, 0);
        let protocol = match self.transport {
            Transport::Tcp { .. } => 6,
            Transport::Udp => 17,
        };
        let l4_len = self.data() - self.l4() + self.payload.len();
        self.put_network(&mut bytes, protocol, l4_len);
        self.put_transport(&mut bytes, protocol, l4_len);
        bytes.extend(&self.payload);
        MemFrame {
            bytes,
            stripped: None,
            offload: self.offload(),
        }
    }

    fn put_network(&self, bytes: &mut Vec<u8>, protocol: u8, l4_len: usize) {
        let l3 = bytes.len();
        match &self.network {
            Network::V4 {
                tos,
                id,
                fragment,
                options,
                checksum: given,
            } => {
                let words = u8::try_from(5 + options.len() / 4).expect("at most 40 bytes");
                bytes.extend([0x40 | words, *tos]);
                bytes.extend(low_word(self.l4() - self.l3() + l4_len));
                bytes.extend(id.to_be_bytes());
                bytes.extend(fragment.to_be_bytes());
                bytes.extend([64, protocol, 0, 0]);
                bytes.extend(&SRC[..4]);
                bytes.extend(&DST[..4]);
                bytes.extend(options);
                let sum = given.unwrap_or_else(|| checksum(&bytes[l3..], 0));
                bytes[l3 + 10..l3 + 12].copy_from_slice(&sum.to_be_bytes());
            }
            Network::V6 { flow, extensions } => {
                bytes.extend((6 << 28 | flow).to_be_bytes());
                bytes.extend(low_word(self.l4() - self.l3() - 40 + l4_len));
                let mut numbers: Vec<u8> = extensions.iter().map(|(number, _)| *number).collect();
                numbers.push(protocol);
                bytes.extend([numbers[0], 64]);
                bytes.extend(SRC);
                bytes.extend(DST);
                for ((_, body), next) in extensions.iter().zip(&numbers[1..]) {
                    bytes.push(*next);
                    bytes.extend(body);
                }
            }
        }
    }

    fn put_transport(&self, bytes: &mut Vec<u8>, protocol: u8, l4_len: usize) {
        let seed = !self.pseudo(protocol, l4_len);
        bytes.extend([0x30, 0x39, 0x00, 0x50]);
        match &self.transport {
            Transport::Tcp {
                sequence,
                reserved,
                flags,
                options,
            } => {
                let words = u8::try_from(5 + options.len() / 4).expect("at most 40 bytes");
                bytes.extend(sequence.to_be_bytes());
                bytes.extend([1, 2, 3, 4, words << 4 | reserved, *flags, 0x7f, 0xff]);
                bytes.extend(seed.to_be_bytes());
                bytes.extend([0, 0]);
                bytes.extend(options);
            }
            Transport::Udp => {
                bytes.extend(low_word(l4_len));
                bytes.extend(seed.to_be_bytes());
            }
        }
    }

    /// The complemented sum of the pseudo-header for `len` bytes of transport.
    fn pseudo(&self, protocol: u8, len: usize) -> u16 {
        let addresses = match self.network {
            Network::V4 { .. } => [&SRC[..4], &DST[..4]].concat(),
            Network::V6 { .. } => [SRC, DST].concat(),
        };
        checksum(&addresses, u64::from(protocol) + len as u64)
    }

    /// An honest frame: lengths that fit, sizes around multiples of the segments', headers of every
    /// shape. UDP to be cut only with `uso`. Payloads are at most `frame_max` for frames that are not
    /// to be cut, and so are segments with their headers.
    #[must_use]
    pub fn random(rng: &mut Rng, dst: MacAddr, src: MacAddr, frame_max: usize, uso: bool) -> Self {
        let mut made = Self::tcp4(dst, src, 0, None);
        made.network = if rng.once_in(2) {
            random_v4(rng)
        } else {
            random_v6(rng)
        };
        made.transport = if rng.once_in(3) {
            Transport::Udp
        } else {
            random_tcp(rng)
        };
        let room = frame_max - (made.data() - made.l3());
        let udp = made.transport == Transport::Udp;
        let len = if rng.once_in(5) || udp && !uso {
            rng.pick(&[0, 1, 2, 3, rng.clone().below(room + 1), room])
        } else {
            let most = IP_MAX - (made.data() - made.l3());
            let mss = match rng.below(6) {
                0 => 1 + rng.below(room.min(100)),
                1 => 512 + rng.below(100),
                2 | 3 => 1_500 - (made.data() - made.l3()),
                4 => room,
                _ => 1 + rng.below(room),
            };
            made.mss = u16::try_from(mss).ok();
            made.ecn = !udp && rng.once_in(4);
            let segments = (most / mss).clamp(1, SEGMENTS_MAX - 3);
            let whole = (1 + rng.below(segments)) * mss;
            let more = rng.pick(&[0, 1, 2, mss - 1, rng.clone().below(mss)]);
            // A frame that fits one segment would not be to be cut; Linux counts TCP's options in.
            (whole + more).clamp(mss + 41, most.max(mss + 41))
        };
        made.payload = vec![0; len];
        rng.fill(&mut made.payload);
        made
    }
}

fn random_v4(rng: &mut Rng) -> Network {
    let mut options = vec![0; 4 * rng.pick(&[0, 0, 0, 1, 3, 10])];
    rng.fill(&mut options);
    Network::V4 {
        tos: rng.byte(),
        id: rng.pick(&[0, 0xffff, rng.clone().word()]),
        fragment: rng.pick(&[0, 0x4000]),
        options,
        // A sender that leaves this to its device, too, is honoured when the frame is cut.
        checksum: rng.once_in(8).then_some(0),
    }
}

fn random_v6(rng: &mut Rng) -> Network {
    let mut extensions = Vec::new();
    // Hop-by-hop options, destination options, routing, destination options.
    for number in [0, 60, 43, 60] {
        if rng.once_in(5) {
            let len = 8 * rng.pick(&[1, 1, 2, 5]);
            let mut body = vec![0; len - 1];
            // Length in units of 8 bytes behind the first; the options are one PadN.
            body[0] = u8::try_from(len / 8 - 1).expect("at most 40 bytes");
            if number != 43 {
                body[1] = 1;
                body[2] = u8::try_from(len - 4).expect("at most 40 bytes");
            }
            extensions.push((number, body));
        }
    }
    let [a, b, c, d, ..] = rng.bits().to_le_bytes();
    Network::V6 {
        flow: u32::from_be_bytes([a & 0x0f, b, c, d]),
        extensions,
    }
}

fn random_tcp(rng: &mut Rng) -> Transport {
    let mut options = vec![0; 4 * rng.pick(&[0, 3, 3, 3, 1, 9, 10])];
    rng.fill(&mut options);
    let near_wrap = u32::MAX - u32::from(rng.word());
    Transport::Tcp {
        sequence: rng.pick(&[0, near_wrap, u32::from(rng.clone().word()) << 7]),
        reserved: if rng.once_in(4) { rng.byte() & 0x0f } else { 0 },
        flags: if rng.once_in(2) { ACK } else { rng.byte() },
        options,
    }
}

fn low_word(n: usize) -> [u8; 2] {
    let [.., a, b] = n.to_be_bytes();
    [a, b]
}
