//! Cutting one large TCP or UDP frame into frames of the sender's segment size.
//!
//! Every segment repeats the headers with what must differ: lengths, IPv4 identification and header
//! checksum, TCP sequence number and flags, transport checksum. Segments lie one after the other in
//! the scratch, all of one length but the last.
//!
//! Done as Linux does it: the identification counts up by one for each segment; CWR stays on the
//! first segment only, whether or not the sender set the ECN bit (RFC 3168 §6.1.2: one reduction is
//! announced once); FIN and PSH go to the last; a segment's pseudo-header sum is the sender's,
//! corrected by the difference in length. So what the sender summed is kept even where the address
//! in the IP header is not the one that counts (IPv6 routing header, IPv4 source route).
//!
//! A frame that is one segment already is no frame to cut, for Linux either: its checksum is completed and
//! nothing else is touched.
//!
//! Called by [`super::Finisher`] only. Writes within the scratch it is given or not at all.

use super::checksum::{complete_checksum, never_zero, sum, with_length};
use super::headers::{IPV6_LEN, Layout, Network, Transport, word};
use super::{OffloadError, TCP_SEGMENTS_MAX, UDP_SEGMENTS_MAX};
use crate::frame::{TxFrame, VnetHdr};
use std::ops::Range;

const TCP_FIN: u8 = 0x01;
const TCP_PSH: u8 = 0x08;
const TCP_CWR: u8 = 0x80;

/// Frames that lie in the scratch one after the other: how many are left, and how long they are.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    /// Not yet taken.
    pub(super) left: usize,
    /// Of all but the last.
    full_len: usize,
    last_len: usize,
    /// Work that is still to do, the same for each.
    pub(super) offload: VnetHdr,
}

impl Cut {
    /// A frame in one piece.
    pub(super) const fn whole(len: usize, offload: VnetHdr) -> Self {
        Self {
            left: 1,
            full_len: len,
            last_len: len,
            offload,
        }
    }

    /// The length of the next frame; `None` after the last.
    pub(super) fn take_len(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        Some(if self.left == 0 {
            self.last_len
        } else {
            self.full_len
        })
    }
}

/// Cuts `frame` into `scratch`. With `partial`, checksums are left to the device.
pub(super) fn cut(
    scratch: &mut [u8],
    frame: &TxFrame<'_>,
    partial: bool,
) -> Result<Cut, OffloadError> {
    let offload = frame.offload;
    let mss = usize::from(offload.gso_size);
    if !offload.needs_csum() || mss == 0 {
        return Err(OffloadError::Incomplete);
    }
    let layout = Layout::of(frame)?;
    // No device would sum a tunnel's inside for us.
    let partial = partial && layout.outer.is_none();

    let (headers, payload) = frame.rest.split_at(layout.payload);
    let count = payload.len().div_ceil(mss).max(1);
    let most = match layout.transport {
        Transport::Tcp => TCP_SEGMENTS_MAX,
        Transport::Udp => UDP_SEGMENTS_MAX,
    };
    if count > most {
        return Err(OffloadError::TooManySegments);
    }
    let full_len = headers.len() + mss.min(payload.len());
    if full_len - layout.outermost() > usize::from(u16::MAX)
        || count * headers.len() + payload.len() > scratch.len()
    {
        return Err(OffloadError::TooLong);
    }

    let left = if partial {
        VnetHdr {
            gso_type: VnetHdr::GSO_NONE,
            gso_size: 0,
            hdr_len: 0,
            ..offload
        }
    } else {
        VnetHdr::NONE
    };
    if count == 1 && layout.outer.is_none() {
        let whole = &mut scratch[..frame.rest.len()];
        whole.copy_from_slice(frame.rest);
        if !partial {
            complete_checksum(whole, layout.l4, layout.transport.checksum_offset())?;
        }
        return Ok(Cut::whole(whole.len(), left));
    }

    let original = Original::of(headers, &layout, frame.rest.len())?;
    let mut scratch = scratch;
    for i in 0..count {
        let from = i * mss;
        let part = &payload[from..payload.len().min(from + mss)];
        let (segment, tail) = scratch.split_at_mut(headers.len() + part.len());
        scratch = tail;
        segment[..headers.len()].copy_from_slice(headers);
        segment[headers.len()..].copy_from_slice(part);
        patch_network(
            segment,
            layout.network,
            layout.l3..layout.l4,
            original.id,
            i,
        );
        original.patch_transport(segment, &layout, from, i == 0, i + 1 == count);
        original.patch_checksum(segment, &layout, partial);
        if let Some(outer) = &layout.outer {
            outer.patch(segment, i);
        }
    }

    let last_len = headers.len() + payload.len() - (count - 1) * mss;
    Ok(Cut {
        left: count,
        full_len,
        last_len,
        offload: left,
    })
}

/// What the segments' fields are computed from.
struct Original {
    /// IPv4 identification; unused for IPv6.
    id: u16,
    /// TCP sequence number; unused for UDP.
    sequence: u32,
    /// Sum of the pseudo-header, as the sender stored it.
    seed: u16,
    /// The transport length that `seed` counts.
    seed_len: usize,
}

impl Original {
    fn of(headers: &[u8], layout: &Layout, len: usize) -> Result<Self, OffloadError> {
        let Layout { l3, l4, .. } = *layout;
        Ok(Self {
            id: word(headers, l3 + 4)?,
            sequence: u32::from(word(headers, l4 + 4)?) << 16 | u32::from(word(headers, l4 + 6)?),
            seed: word(headers, l4 + layout.transport.checksum_offset())?,
            seed_len: match layout.transport {
                Transport::Tcp => len - l4,
                // A sender that left the field at something else than the whole summed what stands
                // in the field.
                Transport::Udp => usize::from(word(headers, l4 + 4)?),
            },
        })
    }

    /// TCP sequence number and flags, UDP length.
    fn patch_transport(
        &self,
        segment: &mut [u8],
        layout: &Layout,
        from: usize,
        first: bool,
        last: bool,
    ) {
        let header = &mut segment[layout.l4..];
        match layout.transport {
            Transport::Tcp => {
                // Payloads are shorter than the scratch.
                #[expect(clippy::cast_possible_truncation, reason = "less than 2^17")]
                let sequence = self.sequence.wrapping_add(from as u32);
                header[4..8].copy_from_slice(&sequence.to_be_bytes());
                if !first {
                    header[13] &= !TCP_CWR;
                }
                if !last {
                    header[13] &= !(TCP_FIN | TCP_PSH);
                }
            }
            Transport::Udp => {
                let len = short(header.len());
                put(header, 4, len);
            }
        }
    }

    /// The transport checksum, or the seed for whoever completes it.
    fn patch_checksum(&self, segment: &mut [u8], layout: &Layout, partial: bool) {
        let covered = &mut segment[layout.l4..];
        let at = layout.transport.checksum_offset();
        put(
            covered,
            at,
            with_length(self.seed, self.seed_len, covered.len()),
        );
        if !partial {
            let checksum = !sum(covered);
            let checksum = match layout.transport {
                Transport::Tcp => checksum,
                Transport::Udp => never_zero(checksum),
            };
            put(covered, at, checksum);
        }
    }
}

/// Length, identification and header checksum of the IP header at `place` of segment number `i` of a
/// packet that had `id`.
pub(super) fn patch_network(
    segment: &mut [u8],
    network: Network,
    place: Range<usize>,
    id: u16,
    i: usize,
) {
    let len = segment.len() - place.start;
    let header = &mut segment[place];
    match network {
        Network::V4 => {
            put(header, 2, short(len));
            put(header, 4, id.wrapping_add(short(i)));
            put(header, 10, 0);
            let checksum = !sum(header);
            put(header, 10, checksum);
        }
        Network::V6 => put(header, 4, short(len - IPV6_LEN)),
    }
}

/// Writes two bytes into a header that [`Layout`] found whole.
pub(super) fn put(header: &mut [u8], at: usize, value: u16) {
    header[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// A length that [`cut`] bounded to 16 bits.
pub(super) fn short(len: usize) -> u16 {
    debug_assert!(
        len <= usize::from(u16::MAX),
        "lengths are bounded before cutting"
    );
    #[expect(clippy::cast_possible_truncation, reason = "bounded before cutting")]
    let short = len as u16;
    short
}
