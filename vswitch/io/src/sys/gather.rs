//! The gather list of a transmit batch: virtio-net header and rewritten Ethernet header in memory of
//! our own, the rest where the frame was received. A short rest is copied behind its headers, so that the
//! kernel gets one part: taking in a list of two costs it more than the copy costs us.
//!
//! One [`Gather`] belongs to one transmit handle and is filled anew for each batch. The pointers in it
//! are valid only while the frames that it was filled from are borrowed, which [`Filled`]'s lifetime
//! says.
#![expect(
    unsafe_code,
    reason = "iovec holds raw pointers and so is not Send by itself"
)]

use std::marker::PhantomData;
use vswitch_core::frame::{BATCH_MAX, TxHeader, TxList, VnetHdr};

/// Parts per frame: headers, rest. The second is empty for a frame that is all in the first.
pub(crate) const PARTS: usize = 2;
/// Bytes of a rest that is copied.
const COPIED_MAX: usize = 192;

/// Room for the headers of one frame, and a short rest.
type Head = [u8; VnetHdr::LEN + TxHeader::MAX + COPIED_MAX];

/// Memory for the gather lists of one batch.
pub(crate) struct Gather {
    heads: Box<[Head; BATCH_MAX]>,
    parts: Box<[[libc::iovec; PARTS]; BATCH_MAX]>,
}

// SAFETY: the raw pointers are written by `fill` before each use and never read after the borrow of
// the frames ended; between batches they are dead values, so the owner may move to another thread.
unsafe impl Send for Gather {}

/// How many parts of a frame hold bytes.
pub(crate) const fn used(parts: &[libc::iovec; PARTS]) -> usize {
    if parts[1].iov_len == 0 { 1 } else { 2 }
}

/// Gather lists of as many frames as were passed to [`Gather::fill`].
pub(crate) struct Filled<'a> {
    /// Two parts per frame, in the order of the frames.
    pub(crate) parts: &'a mut [[libc::iovec; PARTS]],
    _frames: PhantomData<&'a [u8]>,
}

impl Gather {
    pub(crate) fn new() -> Self {
        let empty = libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        };
        Self {
            heads: Box::new([[0; VnetHdr::LEN + TxHeader::MAX + COPIED_MAX]; BATCH_MAX]),
            parts: Box::new([[empty; PARTS]; BATCH_MAX]),
        }
    }

    /// Bytes of memory held.
    pub(crate) const fn memory_bytes() -> usize {
        BATCH_MAX * (size_of::<Head>() + PARTS * size_of::<libc::iovec>())
    }

    /// Describes the frames of a list, which holds at most [`BATCH_MAX`].
    pub(crate) fn fill<'a>(&'a mut self, frames: TxList<'a>) -> Filled<'a> {
        let mut count = 0;
        for ((frame, head), parts) in frames
            .iter()
            .zip(self.heads.iter_mut())
            .zip(self.parts.iter_mut())
        {
            let header = frame.header.as_slice();
            let mut len = VnetHdr::LEN + header.len();
            head[..VnetHdr::LEN].copy_from_slice(&frame.offload.to_bytes());
            head[VnetHdr::LEN..len].copy_from_slice(header);
            let mut rest = frame.rest;
            if rest.len() <= COPIED_MAX {
                head[len..len + rest.len()].copy_from_slice(rest);
                len += rest.len();
                rest = &[];
            }
            parts[0] = libc::iovec {
                iov_base: head.as_mut_ptr().cast(),
                iov_len: len,
            };
            parts[1] = libc::iovec {
                iov_base: rest.as_ptr().cast_mut().cast(),
                iov_len: rest.len(),
            };
            count += 1;
        }
        Filled {
            parts: &mut self.parts[..count],
            _frames: PhantomData,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vswitch_core::frame::TxFrame;

    #[test]
    fn a_short_rest_is_copied_and_a_long_one_is_pointed_to() {
        let (short, long) = ([7_u8; COPIED_MAX], [7_u8; COPIED_MAX + 1]);
        let frame = |rest| TxFrame {
            header: TxHeader::new(&[1; 12]),
            rest,
            offload: VnetHdr::NONE,
        };
        let mut frames = vec![frame(&short[..]); BATCH_MAX];
        frames[3] = frame(&long[..]);
        let mut gather = Gather::new();
        let filled = gather.fill(TxList::all(&frames));
        assert_eq!(filled.parts.len(), BATCH_MAX);
        assert_eq!(used(&filled.parts[2]), 1);
        assert_eq!(filled.parts[2][0].iov_len, VnetHdr::LEN + 12 + COPIED_MAX);
        assert_eq!(used(&filled.parts[3]), 2);
        assert_eq!(filled.parts[3][0].iov_len, VnetHdr::LEN + 12);
        assert_eq!(filled.parts[3][1].iov_len, COPIED_MAX + 1);
        assert_eq!(
            filled.parts[3][1].iov_base.cast_const().cast(),
            long.as_ptr()
        );
    }
}
