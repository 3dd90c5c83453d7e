//! The gather list of a transmit batch: virtio-net header and rewritten Ethernet header in memory of
//! our own, the rest where the frame was received.
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

/// Parts per frame: headers, rest.
pub(crate) const PARTS: usize = 2;

/// Room for the headers of one frame.
type Head = [u8; VnetHdr::LEN + TxHeader::MAX];

/// Memory for the gather lists of one batch.
pub(crate) struct Gather {
    heads: Box<[Head; BATCH_MAX]>,
    parts: Box<[[libc::iovec; PARTS]; BATCH_MAX]>,
}

// SAFETY: the raw pointers are written by `fill` before each use and never read after the borrow of
// the frames ended; between batches they are dead values, so the owner may move to another thread.
unsafe impl Send for Gather {}

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
            heads: Box::new([[0; VnetHdr::LEN + TxHeader::MAX]; BATCH_MAX]),
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
            let len = VnetHdr::LEN + header.len();
            head[..VnetHdr::LEN].copy_from_slice(&frame.offload.to_bytes());
            head[VnetHdr::LEN..len].copy_from_slice(header);
            parts[0] = libc::iovec {
                iov_base: head.as_mut_ptr().cast(),
                iov_len: len,
            };
            parts[1] = libc::iovec {
                iov_base: frame.rest.as_ptr().cast_mut().cast(),
                iov_len: frame.rest.len(),
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
    fn each_frame_of_a_whole_batch_has_two_parts() {
        let rest = [7_u8; 50];
        let frame = TxFrame {
            header: TxHeader::new(&[1; 12]),
            rest: &rest,
            offload: VnetHdr::NONE,
        };
        let frames = vec![frame; BATCH_MAX];
        let mut gather = Gather::new();
        let filled = gather.fill(TxList::all(&frames));
        assert_eq!(filled.parts.len(), BATCH_MAX);
        assert_eq!(filled.parts[3][0].iov_len, VnetHdr::LEN + 12);
        assert_eq!(filled.parts[3][1].iov_len, 50);
        assert_eq!(
            filled.parts[3][1].iov_base.cast_const().cast(),
            rest.as_ptr()
        );
    }
}
