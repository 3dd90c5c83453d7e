//! Frames as the forwarding passes see them: borrowed on receive, gathered on transmit.
//!
//! A received [`Frame`] borrows the port's memory for one batch and is never changed. What is sent is
//! a [`TxFrame`]: a rewritten header of at most [`TxHeader::MAX`] bytes, held inline, and the borrowed
//! rest, which backends gather. One buffer so leaves tagged on one port and untagged on another
//! without a copy, and the addresses that were judged are the addresses that are sent.
//!
//! ```text
//!   received   [ dst src ][ in-band tag? ][ rest ............ ]   + stripped tag, beside the bytes
//!   sent       [ dst src ][ egress tag? ][ inner tag? ] + [ rest ............ ]
//!                inline, rewritten                         borrowed from the receive buffer
//! ```

use arrayvec::ArrayVec;
use vswitch_base::{MacWord, Tag, ether::ADDRESSES_LEN};

/// Frames handled in one go. At 64 the cost of a virtual call and a system call per batch vanishes
/// beside the frames' own; larger batches measured no faster and add latency.
pub const BATCH_MAX: usize = 64;

/// The frames of one receive call, all from one port.
pub type FrameBatch<'a> = ArrayVec<Frame<'a>, BATCH_MAX>;

/// A received frame, without FCS. The bytes belong to the port until the batch is dropped.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// From the destination address on. Any length: the ingress pass judges it.
    pub bytes: &'a [u8],
    /// The outermost tag, where the kernel took it off the bytes and handed it over beside them.
    pub stripped: Option<Tag>,
    /// Segmentation and checksum work that the sender left to do; offsets count from `bytes[0]`.
    pub offload: VnetHdr,
}

impl<'a> Frame<'a> {
    /// A plain frame: nothing out of band, nothing left to do.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            stripped: None,
            offload: VnetHdr::NONE,
        }
    }

    /// Bytes on the wire, tags included, without FCS.
    #[inline]
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        self.bytes.len() + if self.stripped.is_some() { Tag::LEN } else { 0 }
    }
}

/// The virtio-net header (virtio 1.x §5.1.6, the ten-byte legacy layout in native byte order) that
/// AF_PACKET and TAP hand over with a frame. All zero: a complete, ordinary frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VnetHdr {
    /// [`VnetHdr::NEEDS_CSUM`], [`VnetHdr::DATA_VALID`].
    pub flags: u8,
    /// One of the `GSO_*` values, possibly with [`VnetHdr::GSO_ECN`].
    pub gso_type: u8,
    /// Bytes of all headers; a hint, not to be trusted.
    pub hdr_len: u16,
    /// Payload bytes of each segment, 0 when `gso_type` is none.
    pub gso_size: u16,
    /// Where the checksum starts, from the frame's first byte.
    pub csum_start: u16,
    /// Where the sum is stored, from `csum_start`.
    pub csum_offset: u16,
}

impl VnetHdr {
    /// Bytes of the header on a descriptor.
    pub const LEN: usize = 10;
    /// Nothing to do.
    pub const NONE: Self = Self {
        flags: 0,
        gso_type: 0,
        hdr_len: 0,
        gso_size: 0,
        csum_start: 0,
        csum_offset: 0,
    };
    /// Flag: the checksum at `csum_start + csum_offset` holds the pseudo-header only.
    pub const NEEDS_CSUM: u8 = 1;
    /// Flag: the sender's checksum has been checked.
    pub const DATA_VALID: u8 = 2;
    /// `gso_type`: not segmented.
    pub const GSO_NONE: u8 = 0;
    /// `gso_type`: TCP over IPv4.
    pub const GSO_TCPV4: u8 = 1;
    /// `gso_type`: UDP fragmentation (historic).
    pub const GSO_UDP: u8 = 3;
    /// `gso_type`: TCP over IPv6.
    pub const GSO_TCPV6: u8 = 4;
    /// `gso_type`: UDP segmentation, each segment a datagram.
    pub const GSO_UDP_L4: u8 = 5;
    /// Bit beside the type: the TCP flow uses ECN.
    pub const GSO_ECN: u8 = 0x80;

    /// Whether the frame is said to stand for several segments, of whatever type.
    #[inline]
    #[must_use]
    pub const fn is_gso(&self) -> bool {
        self.gso_type != Self::GSO_NONE
    }

    /// The segmentation type without [`Self::GSO_ECN`] where that bit may stand: beside TCP. Anywhere
    /// else it is left, and so makes a type that nobody knows, as it does for Linux.
    #[inline]
    #[must_use]
    pub const fn gso_kind(&self) -> u8 {
        match self.gso_type & !Self::GSO_ECN {
            tcp @ (Self::GSO_TCPV4 | Self::GSO_TCPV6) => tcp,
            _ => self.gso_type,
        }
    }

    /// Whether a checksum is left to complete.
    #[inline]
    #[must_use]
    pub const fn needs_csum(&self) -> bool {
        self.flags & Self::NEEDS_CSUM != 0
    }

    /// Decodes the ten bytes before a frame.
    #[inline]
    #[must_use]
    pub const fn from_bytes(b: &[u8; Self::LEN]) -> Self {
        Self {
            flags: b[0],
            gso_type: b[1],
            hdr_len: u16::from_ne_bytes([b[2], b[3]]),
            gso_size: u16::from_ne_bytes([b[4], b[5]]),
            csum_start: u16::from_ne_bytes([b[6], b[7]]),
            csum_offset: u16::from_ne_bytes([b[8], b[9]]),
        }
    }

    /// The inverse of [`Self::from_bytes`].
    #[inline]
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; Self::LEN] {
        let (h, g) = (self.hdr_len.to_ne_bytes(), self.gso_size.to_ne_bytes());
        let (s, o) = (
            self.csum_start.to_ne_bytes(),
            self.csum_offset.to_ne_bytes(),
        );
        [
            self.flags,
            self.gso_type,
            h[0],
            h[1],
            g[0],
            g[1],
            s[0],
            s[1],
            o[0],
            o[1],
        ]
    }

    /// The header for the same frame after `removed` bytes of its Ethernet header were replaced by
    /// `added`: offsets move by the difference (a tag pushed or popped moves them by 4).
    #[inline]
    #[must_use]
    pub const fn shifted(mut self, removed: usize, added: usize) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "headers of at most 22 bytes"
        )]
        let (removed, added) = (removed as u16, added as u16);
        if self.needs_csum() {
            self.csum_start = self.csum_start.wrapping_sub(removed).wrapping_add(added);
        }
        if self.is_gso() {
            self.hdr_len = self.hdr_len.wrapping_sub(removed).wrapping_add(added);
        }
        self
    }

    /// Whether the header can be true of a frame of `len` bytes: offsets inside it, a known segment
    /// type with a size. What fails is dropped at ingress, since a guest may write anything here.
    #[inline]
    #[must_use]
    pub const fn is_plausible(&self, len: usize) -> bool {
        if self.needs_csum() {
            let end = self.csum_start as usize + self.csum_offset as usize + 2;
            let start = self.csum_start as usize;
            // Room for the tags that may be pushed before it: the field has 16 bits.
            let movable = start + 2 * Tag::LEN <= u16::MAX as usize;
            if start < vswitch_base::ether::HEADER_LEN || end > len || !movable {
                return false;
            }
        }
        match self.gso_kind() {
            Self::GSO_NONE => true,
            Self::GSO_TCPV4 | Self::GSO_TCPV6 | Self::GSO_UDP_L4 => {
                self.gso_size > 0 && self.needs_csum()
            }
            _ => false,
        }
    }
}

/// The rewritten start of a frame to send: addresses and at most two tags.
#[derive(Clone, Copy, Debug)]
pub struct TxHeader {
    bytes: [u8; Self::ROOM],
    len: u8,
}

/// A tag as the wire has it, in the low four bytes.
#[inline]
fn word(tag: Tag) -> u64 {
    let [a, b] = tag.tpid.ether_type().to_be_bytes();
    let [c, d] = tag.tci.0.to_be_bytes();
    u32::from_le_bytes([a, b, c, d]).into()
}

impl TxHeader {
    /// Two addresses and two tags, and room for an EtherType: 22 bytes.
    pub const MAX: usize = ADDRESSES_LEN + 2 * Tag::LEN + 2;
    /// Whole words of memory.
    const ROOM: usize = 24;

    /// The two addresses, then the tags in the order of the wire.
    #[inline]
    #[must_use]
    pub fn with_tags(
        addresses: &[u8; ADDRESSES_LEN],
        outer: Option<Tag>,
        inner: Option<Tag>,
    ) -> Self {
        // Put together in registers and written in whole words: bytes written one by one and read back
        // in words would make the processor wait for each header.
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *addresses;
        let first = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let second = u64::from(u32::from_le_bytes([i, j, k, l]));
        let (second, third, len) = match (outer, inner) {
            (None, None) => (second, 0, 12),
            (Some(tag), None) | (None, Some(tag)) => (second | word(tag) << 32, 0, 16),
            (Some(outer), Some(inner)) => (second | word(outer) << 32, word(inner), 20),
        };
        let mut bytes = [0; Self::ROOM];
        bytes[..8].copy_from_slice(&first.to_le_bytes());
        bytes[8..16].copy_from_slice(&second.to_le_bytes());
        bytes[16..].copy_from_slice(&third.to_le_bytes());
        Self { bytes, len }
    }

    /// The two addresses alone.
    #[inline]
    #[must_use]
    pub fn new(addresses: &[u8; ADDRESSES_LEN]) -> Self {
        Self::with_tags(addresses, None, None)
    }

    /// Appends a tag.
    ///
    /// # Panics
    /// With a third tag: the passes push at most two.
    pub fn push_tag(&mut self, tag: Tag) {
        let at = usize::from(self.len);
        self.bytes[at..at + 2].copy_from_slice(&tag.tpid.ether_type().to_be_bytes());
        self.bytes[at + 2..at + 4].copy_from_slice(&tag.tci.0.to_be_bytes());
        self.len += 4;
    }

    /// Makes the frame come from that address.
    pub fn set_source(&mut self, source: MacWord) {
        self.bytes[6..ADDRESSES_LEN].copy_from_slice(&source.mac().0);
    }

    /// The bytes to send.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// A frame to send: `header` then `rest`, one frame on the wire.
#[derive(Clone, Copy, Debug)]
pub struct TxFrame<'a> {
    /// The rewritten start.
    pub header: TxHeader,
    /// What follows it: from the EtherType (or an inner tag) on.
    pub rest: &'a [u8],
    /// What is left to do; offsets count from the first byte of `header`.
    pub offload: VnetHdr,
}

impl TxFrame<'_> {
    /// Bytes on the wire without FCS.
    #[inline]
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.header.as_slice().len() + self.rest.len()
    }
}

/// Frames to send by one port, in order: at most [`BATCH_MAX`], by their number among the frames that
/// were composed for the whole batch. So a flood to many ports composes a frame once, and each port's
/// list costs a byte a frame.
#[derive(Clone, Copy, Debug)]
pub struct TxList<'a> {
    frames: &'a [TxFrame<'a>],
    order: &'a [u8],
}

/// The order of [`TxList::all`].
static IN_ORDER: [u8; BATCH_MAX] = {
    let mut order = [0; BATCH_MAX];
    let mut i = 0;
    while i < BATCH_MAX {
        #[expect(clippy::cast_possible_truncation, reason = "64 numbers")]
        let number = i as u8;
        order[i] = number;
        i += 1;
    }
    order
};

impl<'a> TxList<'a> {
    /// The frames with those numbers.
    ///
    /// # Panics
    /// When there are more than [`BATCH_MAX`]; [`Self::iter`] when a number names no frame.
    #[inline]
    #[must_use]
    pub fn new(frames: &'a [TxFrame<'a>], order: &'a [u8]) -> Self {
        assert!(order.len() <= BATCH_MAX, "a list holds one batch at most");
        Self { frames, order }
    }

    /// All of `frames`, in their order.
    ///
    /// # Panics
    /// When there are more than [`BATCH_MAX`].
    #[inline]
    #[must_use]
    pub fn all(frames: &'a [TxFrame<'a>]) -> Self {
        Self::new(frames, &IN_ORDER[..frames.len()])
    }

    /// How many.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.order.len()
    }

    /// The first `n` frames, and those after them.
    ///
    /// # Panics
    /// When there are fewer.
    #[inline]
    #[must_use]
    pub fn split_at(&self, n: usize) -> (Self, Self) {
        let (first, rest) = self.order.split_at(n);
        let list = |order| Self {
            frames: self.frames,
            order,
        };
        (list(first), list(rest))
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The frames, in the order in which they leave.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a TxFrame<'a>> + use<'a> {
        let frames = self.frames;
        self.order
            .iter()
            .map(move |number| &frames[usize::from(*number)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vswitch_base::{Tci, Tpid};

    #[test]
    fn a_pushed_tag_moves_checksum_and_header_length_by_four() {
        let hdr = VnetHdr {
            flags: VnetHdr::NEEDS_CSUM,
            gso_type: VnetHdr::GSO_TCPV4,
            hdr_len: 54,
            gso_size: 1448,
            csum_start: 34,
            csum_offset: 16,
        };
        let pushed = hdr.shifted(12, 16);
        assert_eq!((pushed.csum_start, pushed.hdr_len), (38, 58));
        assert_eq!(pushed.shifted(16, 12), hdr);
        assert_eq!(VnetHdr::NONE.shifted(12, 16), VnetHdr::NONE);
        assert_eq!(VnetHdr::from_bytes(&hdr.to_bytes()), hdr);
    }

    #[test]
    fn implausible_headers_are_seen() {
        let hdr = VnetHdr {
            flags: 1,
            csum_start: 34,
            csum_offset: 16,
            ..VnetHdr::NONE
        };
        assert!(hdr.is_plausible(52));
        assert!(!hdr.is_plausible(51));
        assert!(
            !VnetHdr {
                csum_start: 13,
                ..hdr
            }
            .is_plausible(200)
        );
        assert!(!VnetHdr { gso_type: 1, ..hdr }.is_plausible(200));
        assert!(
            !VnetHdr {
                gso_type: 9,
                gso_size: 1,
                ..hdr
            }
            .is_plausible(200)
        );
        assert!(
            !VnetHdr {
                gso_type: 1,
                gso_size: 9,
                ..VnetHdr::NONE
            }
            .is_plausible(200)
        );
    }

    #[test]
    fn the_ecn_bit_goes_with_tcp_only() {
        let gso = |gso_type| VnetHdr {
            flags: VnetHdr::NEEDS_CSUM,
            gso_type,
            gso_size: 9,
            csum_start: 34,
            csum_offset: 16,
            ..VnetHdr::NONE
        };
        for (gso_type, plausible) in [
            (VnetHdr::GSO_TCPV4 | VnetHdr::GSO_ECN, true),
            (VnetHdr::GSO_TCPV6 | VnetHdr::GSO_ECN, true),
            (VnetHdr::GSO_UDP_L4 | VnetHdr::GSO_ECN, false),
            (VnetHdr::GSO_ECN, false),
        ] {
            let hdr = gso(gso_type);
            assert!(hdr.is_gso(), "{gso_type:#x} asks for something");
            assert_eq!(hdr.is_plausible(200), plausible, "{gso_type:#x}");
        }
    }

    #[test]
    fn a_header_holds_two_tags() {
        let outer = Tag {
            tpid: Tpid::Dot1q,
            tci: Tci(100),
        };
        let inner = Tag {
            tpid: Tpid::Dot1ad,
            tci: Tci(5),
        };
        let addresses = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        for tags in [
            [None, None],
            [Some(outer), None],
            [None, Some(inner)],
            [Some(outer), Some(inner)],
        ] {
            let mut appended = TxHeader::new(&addresses);
            tags.into_iter()
                .flatten()
                .for_each(|tag| appended.push_tag(tag));
            let header = TxHeader::with_tags(&addresses, tags[0], tags[1]);
            assert_eq!(header.as_slice(), appended.as_slice());
            assert_eq!(header.as_slice()[..12], addresses);
        }
        let header = TxHeader::with_tags(&addresses, Some(outer), Some(inner));
        assert_eq!(header.as_slice()[12..], [0x81, 0, 0, 100, 0x88, 0xa8, 0, 5]);
    }
}
