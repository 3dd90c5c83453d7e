//! Finishing what a sender left to do: partial checksums completed, large frames cut into segments.
//!
//! A guest hands over a TCP or UDP frame of up to 64 KB with a [`VnetHdr`] that says how to cut it and
//! where to put the checksum. Between ports that take such frames they cross the switch whole; where
//! the egress cannot ([`needs_finishing`]), a [`Finisher`] makes ordinary frames of them first. So a
//! frame with a partial checksum never leaves by a port that would put it on the wire like that.
//!
//! ```text
//!   TxFrame   [ dst src tags ] + [ inner tags, EtherType | IP, options | TCP/UDP | payload ....... ]
//!                                  `------------ headers -----------------------'
//!   segments  [ dst src tags ] + [ headers, rewritten | payload   0 .. mss   ]  \
//!             [ dst src tags ] + [ headers, rewritten | payload mss .. 2 mss ]   > in the scratch
//!             [ dst src tags ] + [ headers, rewritten | the remainder        ]  /
//! ```
//!
//! **Guarantees.** Nothing here panics, whatever stands in header and frame, and nothing allocates
//! after [`Finisher::new`]. A frame makes at most [`TCP_SEGMENTS_MAX`] or [`UDP_SEGMENTS_MAX`] segments. What the header claims is
//! checked against the packet itself (addresses family, protocol, position of the checksum); a
//! contradiction is an [`OffloadError`], never a guess. Segments are what Linux's software GSO makes
//! of the same frame.
//!
//! **Callers.** One `Finisher` per worker, used by its egress pass. The functions are pure.
//!
//! **Implements** I-02 and the rules on egress offload and MTU of `design.md` §5.
//!
//! A partial checksum of SCTP is completed for every port: it is a CRC, and whoever completes it later
//! would take it for an Internet checksum.
//!
//! Tunnels (VXLAN, Geneve, GRE, IP in IP) are cut for every port for the same reason: see `tunnel`.
//!
//! **Does not do** UDP fragmentation (`GSO_UDP`, historic), SCTP's segments (the virtio-net header has no
//! way to name them), jumbograms.

mod checksum;
mod crc32c;
mod headers;
mod segment;
#[cfg(test)]
mod tests;
mod tunnel;

pub use checksum::complete_checksum;

use crate::frame::{TxFrame, TxHeader, VnetHdr};
use crate::port::TxCaps;
use headers::SCTP_CHECKSUM;
use segment::Cut;
use std::fmt;
use std::iter::FusedIterator;
use vswitch_base::Tag;
use vswitch_base::ether::ADDRESSES_LEN;

/// Segments that one TCP frame may become: 64 KB at the smallest MSS that Linux agrees to (48 bytes). More
/// is a sender who wants us to multiply work.
pub const TCP_SEGMENTS_MAX: usize = 65_535 / 48;

/// Datagrams that one UDP frame may become: as many as Linux lets a sender ask for.
pub const UDP_SEGMENTS_MAX: usize = 128;

/// Bytes of the scratch: the longest frame that a port lends (67,584 bytes, the ring's slot), and
/// 256 bytes of headers repeated for each segment. Less than 100 are usual, and 45 segments: what no
/// frame ever reached takes no memory.
const SCRATCH_LEN: usize = 67_584 + TCP_SEGMENTS_MAX * 256;

/// Why a frame could not be finished. The egress counts each as `tx-offload`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OffloadError {
    /// The checksum's place is not inside the frame, behind its addresses and tags.
    ChecksumOutside,
    /// A segmentation type that we do not know.
    UnknownType(u8),
    /// Segmentation without a partial checksum, or with segments of no bytes.
    Incomplete,
    /// The frame ends inside its headers.
    Truncated,
    /// The packet is not what the segmentation type says, or its checksum is elsewhere.
    Contradiction,
    /// An IP fragment or a jumbogram: neither can be cut.
    NotWhole,
    /// More than [`TCP_SEGMENTS_MAX`] or [`UDP_SEGMENTS_MAX`] segments.
    TooManySegments,
    /// The frame, or what would become of it, is longer than the scratch or than IP allows.
    TooLong,
}

impl fmt::Display for OffloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::ChecksumOutside => "the place of the partial checksum is not inside the frame",
            Self::UnknownType(kind) => {
                return write!(
                    f,
                    "segmentation type {kind} is none of TCPv4, TCPv6 and UDP_L4"
                );
            }
            Self::Incomplete => "segmentation asked for without a partial checksum or a size",
            Self::Truncated => "the frame ends inside the headers that its segments would repeat",
            Self::Contradiction => "the packet is not of the protocol that the request names",
            Self::NotWhole => "an IP fragment or jumbogram cannot be cut into segments",
            Self::TooManySegments => {
                return write!(
                    f,
                    "the frame would become more than {TCP_SEGMENTS_MAX} segments of TCP or \
                     {UDP_SEGMENTS_MAX} of UDP"
                );
            }
            Self::TooLong => "the frame is too long to be finished",
        };
        f.write_str(text)
    }
}

impl std::error::Error for OffloadError {}

/// Whether a frame must go through a [`Finisher`] before a port with `caps` sends it. For most frames one
/// test of two zero bytes. What may be SCTP, and tunnels to be cut, no port takes: see the module.
#[inline]
#[must_use]
pub fn needs_finishing(frame: &TxFrame<'_>, caps: TxCaps) -> bool {
    let offload = &frame.offload;
    if offload.is_gso() {
        let cuts = match offload.gso_kind() {
            VnetHdr::GSO_TCPV4 => caps.tso4,
            VnetHdr::GSO_TCPV6 => caps.tso6,
            VnetHdr::GSO_UDP_L4 => caps.uso,
            // Nobody takes what we do not know; the finisher refuses it.
            _ => false,
        };
        // Who cuts must also sum: every segment needs a checksum of its own.
        !(cuts && caps.checksum) || headers::is_tunnel(frame)
    } else {
        offload.needs_csum()
            && (!caps.checksum || usize::from(offload.csum_offset) == SCTP_CHECKSUM)
    }
}

/// Whether a frame to be cut has nothing about it that devices which cut refuse: one tag at most, a
/// network header without IPv6 extensions right behind it, less than 64 KB.
#[must_use]
pub fn is_ordinary(frame: &TxFrame<'_>) -> bool {
    frame.wire_len() <= usize::from(u16::MAX)
        && frame.header.as_slice().len() <= ADDRESSES_LEN + Tag::LEN
        && headers::is_plain(frame.rest)
}

/// What counts of a frame against the MTU of the port it leaves by, in bytes: the network-layer
/// length, without Ethernet header and tags (those we push and those that were there). For a frame to
/// be cut it is that of its largest segment, as the offload header tells it; a header that makes no
/// sense counts with the whole frame.
///
/// Equal to the largest `segment_payload_len` of what [`Finisher::finish`] makes of the frame,
/// because that refuses headers that lie about the position of the transport header.
#[inline]
#[must_use]
pub fn segment_payload_len(frame: &TxFrame<'_>) -> usize {
    let l3 = headers::network_offset(frame.rest);
    let len = frame.rest.len().saturating_sub(l3);
    if !frame.offload.is_gso() {
        return len;
    }
    headers::claimed_segment_len(frame, l3).map_or(len, |claimed| claimed.min(len))
}

/// Cuts and completes frames, one at a time, in memory of its own (about 420 KB of address space, of which
/// only pages that a frame reached take memory).
pub struct Finisher {
    scratch: Box<[u8]>,
}

impl Finisher {
    /// A finisher with its scratch. The only allocation; for the time a worker is set up.
    #[must_use]
    pub fn new() -> Self {
        Self {
            scratch: vec![0; SCRATCH_LEN].into_boxed_slice(),
        }
    }

    /// Makes of `frame` what a port with `caps` can send: one frame or several, in order.
    ///
    /// What `caps` has is left alone: where the port sums but does not cut, segments go out with a
    /// partial checksum each ([`VnetHdr::NEEDS_CSUM`] and a seed of the segment's own length); where
    /// it does not sum, they are complete. A frame that needs nothing is copied as it is; ask
    /// [`needs_finishing`] first and save the copy.
    ///
    /// # Errors
    /// [`OffloadError`] when the frame contradicts its offload header or passes a limit. Nothing of
    /// it must then be sent.
    pub fn finish<'s>(
        &'s mut self,
        frame: &TxFrame<'_>,
        caps: TxCaps,
    ) -> Result<Segments<'s>, OffloadError> {
        let cut = if !needs_finishing(frame, caps) {
            let bytes = copy(&mut self.scratch, frame.rest)?;
            Cut::whole(bytes.len(), frame.offload)
        } else if frame.offload.is_gso() {
            segment::cut(&mut self.scratch, frame, caps.checksum)?
        } else {
            let bytes = copy(&mut self.scratch, frame.rest)?;
            complete(bytes, frame)?;
            Cut::whole(bytes.len(), VnetHdr::NONE)
        };
        Ok(Segments {
            header: frame.header,
            scratch: &self.scratch,
            cut,
        })
    }
}

impl Default for Finisher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Finisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the scratch: it is long and holds guests' traffic.
        f.debug_struct("Finisher").finish_non_exhaustive()
    }
}

/// The frames made of one, in the order to send them; they live in the [`Finisher`]'s scratch.
#[derive(Clone)]
pub struct Segments<'s> {
    header: TxHeader,
    scratch: &'s [u8],
    cut: Cut,
}

impl<'s> Iterator for Segments<'s> {
    type Item = TxFrame<'s>;

    fn next(&mut self) -> Option<TxFrame<'s>> {
        let (rest, tail) = self.scratch.split_at_checked(self.cut.take_len()?)?;
        self.scratch = tail;
        Some(TxFrame {
            header: self.header,
            rest,
            offload: self.cut.offload,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.cut.left, Some(self.cut.left))
    }
}

impl ExactSizeIterator for Segments<'_> {}
impl FusedIterator for Segments<'_> {}

impl fmt::Debug for Segments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments")
            .field("cut", &self.cut)
            .finish_non_exhaustive()
    }
}

/// `bytes` at the start of the scratch.
fn copy<'s>(scratch: &'s mut [u8], bytes: &[u8]) -> Result<&'s mut [u8], OffloadError> {
    let to = scratch
        .get_mut(..bytes.len())
        .ok_or(OffloadError::TooLong)?;
    to.copy_from_slice(bytes);
    Ok(to)
}

/// Completes the checksum of a frame that is one segment; `rest` is a copy of the frame's.
fn complete(rest: &mut [u8], frame: &TxFrame<'_>) -> Result<(), OffloadError> {
    let offset = usize::from(frame.offload.csum_offset);
    let start = usize::from(frame.offload.csum_start)
        .checked_sub(frame.header.as_slice().len())
        .ok_or(OffloadError::ChecksumOutside)?;
    if offset == SCTP_CHECKSUM && headers::sctp_at(rest) == Some(start) {
        return crc32c::complete(rest, start);
    }
    complete_checksum(rest, start, offset)
}
