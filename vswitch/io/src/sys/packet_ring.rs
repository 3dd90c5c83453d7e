//! The TPACKET_V2 receive ring.
//!
//! ```text
//!   ring of slots, each   [ tpacket2_hdr | sockaddr_ll | pad | vnet header (10) | frame ... ]
//!                           tp_status      ^ kernel writes      tp_mac - 10       tp_mac
//!
//!            released          lent             ready           kernel's
//!        |--------------|--------------|-----------------|-----------------|
//!                      tail           head
//! ```
//!
//! A slot belongs to the kernel while its status word is TP_STATUS_KERNEL and to us while
//! TP_STATUS_USER is set. We read the word with acquire before anything else of the slot and write it
//! with release after the last use. [`RxRing::lend`] lends each slot once; [`RxRing::release`] needs
//! `&mut self`, so that no lent slice is alive when a slot goes back. What the kernel writes into a
//! slot's header is checked against the slot's bounds before it is used.
//!
//! One ring belongs to one worker at a time.
#![expect(unsafe_code, reason = "a ring shared with the kernel")]

use super::packet::set_option;
use rustix::mm::{MapFlags, ProtFlags};
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use vswitch_core::frame::VnetHdr;

/// The memory layout of a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Geometry {
    /// Bytes of one slot, a multiple of 16.
    pub(crate) slot_bytes: u32,
    /// Bytes of one block: a power of two, because the kernel takes whole powers of two pages.
    pub(crate) block_bytes: u32,
    /// Slots of one block.
    pub(crate) per_block: u32,
    /// Blocks.
    pub(crate) blocks: u32,
}

/// Bytes of the largest block: 2 MiB is what the kernel's page allocator gives without trying hard.
const BLOCK_MAX: u32 = 2 << 20;

impl Geometry {
    /// The layout with the least memory for at least `slots` slots of at least `slot_bytes` bytes.
    /// The kernel rounds each block up to a power of two pages, so what would be lost to rounding is
    /// used for more slots instead.
    pub(crate) fn new(slots: u32, slot_bytes: u32) -> Self {
        let slots = slots.clamp(1, 1 << 14);
        let slot_bytes = slot_bytes.clamp(256, 1 << 17).next_multiple_of(16);
        let wanted = u64::from(slots) * u64::from(slot_bytes);
        let block_bytes = u32::try_from(wanted.min(u64::from(BLOCK_MAX)))
            .expect("cut to BLOCK_MAX")
            .next_power_of_two()
            .max(4096);
        let per_block = block_bytes / slot_bytes;
        Self {
            slot_bytes,
            block_bytes,
            per_block,
            blocks: slots.div_ceil(per_block),
        }
    }

    /// Slots in the whole ring.
    pub(crate) const fn slots(&self) -> u32 {
        self.per_block * self.blocks
    }

    /// Bytes in the whole ring.
    pub(crate) const fn bytes(&self) -> usize {
        self.block_bytes as usize * self.blocks as usize
    }
}

/// A frame in a slot.
pub(crate) struct RxSlot<'a> {
    /// From the destination address on; shorter than the frame was when `truncated`.
    pub(crate) bytes: &'a [u8],
    /// The virtio-net header.
    pub(crate) vnet: [u8; VnetHdr::LEN],
    /// Tag control information and tag protocol id of a tag taken out of band.
    pub(crate) tag: Option<(u16, u16)>,
    /// The slot was too small for the frame.
    pub(crate) truncated: bool,
}

/// The receive ring of one packet socket, mapped.
#[derive(Debug)]
pub(crate) struct RxRing {
    base: NonNull<u8>,
    geometry: Geometry,
    /// The next slot to look at.
    head: u32,
    /// Slots before `head` that were lent and not given back.
    lent: u32,
    /// A slot was lent since [`Self::take_used`].
    used: bool,
}

// SAFETY: the mapping belongs to this value alone and is valid from any thread; the kernel's side is
// synchronised by the status words.
unsafe impl Send for RxRing {}

impl RxRing {
    /// Sets up and maps a TPACKET_V2 ring. Options that change the slot layout must be set before.
    ///
    /// # Errors
    /// `ENOMEM` when the kernel has no memory for it, `EINVAL` when it does not know the layout.
    pub(crate) fn map(fd: BorrowedFd<'_>, geometry: Geometry) -> io::Result<Self> {
        let version = libc::c_int::try_from(libc::tpacket_versions::TPACKET_V2 as u32)
            .expect("the constant is 1");
        set_option(fd, libc::PACKET_VERSION, &version)?;
        let request = libc::tpacket_req {
            tp_block_size: geometry.block_bytes,
            tp_block_nr: geometry.blocks,
            tp_frame_size: geometry.slot_bytes,
            tp_frame_nr: geometry.slots(),
        };
        set_option(fd, libc::PACKET_RX_RING, &request)?;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no memory of ours; the
        // result is checked by `?` and owned by the value returned.
        let base = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                geometry.bytes(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::POPULATE,
                fd,
                0,
            )?
        };
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            base,
            geometry,
            head: 0,
            lent: 0,
            used: false,
        })
    }

    /// Bytes mapped.
    pub(crate) const fn memory_bytes(&self) -> usize {
        self.geometry.bytes()
    }

    /// Whether a slot was lent since the last call.
    pub(crate) const fn take_used(&mut self) -> bool {
        std::mem::replace(&mut self.used, false)
    }

    /// Whether a frame is ready that was not lent yet.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.lent < self.geometry.slots()
            && self.status(self.head).load(Ordering::Acquire) & libc::TP_STATUS_USER != 0
    }

    /// When the kernel took in the frame that would be lent next, in nanoseconds of its real-time clock;
    /// `None` when none is ready.
    #[inline]
    pub(crate) fn stamp(&self) -> Option<u64> {
        if !self.is_ready() {
            return None;
        }
        // SAFETY: the slot begins with a tpacket2_hdr, aligned, and is ours since `is_ready` saw its
        // status with acquire: the kernel does not write to it until we release it.
        let header = unsafe { self.slot(self.head).cast::<libc::tpacket2_hdr>().read() };
        Some(u64::from(header.tp_sec) * 1_000_000_000 + u64::from(header.tp_nsec))
    }

    /// Lends the frames that are ready, in order, as the iterator is advanced. What was lent stays
    /// lent until [`Self::release`].
    pub(crate) const fn lend(&mut self) -> Lend<'_> {
        Lend { ring: self }
    }

    /// Gives back every slot lent so far.
    pub(crate) fn release(&mut self) {
        let slots = self.geometry.slots();
        let mut slot = (self.head + slots - self.lent) % slots;
        for _ in 0..self.lent {
            self.status(slot)
                .store(libc::TP_STATUS_KERNEL, Ordering::Release);
            slot = self.after(slot);
        }
        self.lent = 0;
    }

    /// The slot that follows `slot`.
    const fn after(&self, slot: u32) -> u32 {
        if slot + 1 == self.geometry.slots() {
            0
        } else {
            slot + 1
        }
    }

    /// The start of a slot. `slot` is below the number of slots.
    fn slot(&self, slot: u32) -> NonNull<u8> {
        let Geometry {
            slot_bytes,
            block_bytes,
            per_block,
            ..
        } = self.geometry;
        let at = (slot / per_block) as usize * block_bytes as usize
            + (slot % per_block) as usize * slot_bytes as usize;
        debug_assert!(at + slot_bytes as usize <= self.geometry.bytes());
        // SAFETY: `at` is inside the mapping, because per_block slots fit into a block and the
        // mapping has all blocks.
        unsafe { self.base.add(at) }
    }

    /// The status word of a slot.
    fn status(&self, slot: u32) -> &AtomicU32 {
        // tp_status is the first field of tpacket2_hdr, at an address that is a multiple of 16.
        let word = self.slot(slot).cast::<u32>();
        // SAFETY: the word is inside the mapping, aligned, lives as long as `self`, and both we and
        // the kernel access it atomically only.
        unsafe { AtomicU32::from_ptr(word.as_ptr()) }
    }
}

impl Drop for RxRing {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, of this length, and no borrow of it can be alive here.
        let unmapped =
            unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.geometry.bytes()) };
        debug_assert!(
            unmapped.is_ok(),
            "the ring was mapped at this address and length"
        );
    }
}

/// Iterator over the frames that are ready; see [`RxRing::lend`].
pub(crate) struct Lend<'a> {
    ring: &'a mut RxRing,
}

impl Lend<'_> {
    /// As [`RxRing::stamp`].
    #[inline]
    pub(crate) fn stamp(&self) -> Option<u64> {
        self.ring.stamp()
    }
}

impl<'a> Iterator for Lend<'a> {
    type Item = RxSlot<'a>;

    #[inline]
    fn next(&mut self) -> Option<RxSlot<'a>> {
        let ring = &mut *self.ring;
        let slot_bytes = ring.geometry.slot_bytes as usize;
        if ring.lent == ring.geometry.slots() {
            return None;
        }
        let status = ring.status(ring.head).load(Ordering::Acquire);
        if status & libc::TP_STATUS_USER == 0 {
            return None;
        }
        let start = ring.slot(ring.head);
        ring.head = ring.after(ring.head);
        ring.lent += 1;
        ring.used = true;

        // SAFETY: the slot begins with a tpacket2_hdr, aligned, and is ours since the acquire above:
        // the kernel does not write to it until we release it.
        let header = unsafe { start.cast::<libc::tpacket2_hdr>().read() };
        let (at, len) = (usize::from(header.tp_mac), header.tp_snaplen as usize);
        let inside = at >= size_of::<libc::tpacket2_hdr>() + VnetHdr::LEN
            && at.checked_add(len).is_some_and(|end| end <= slot_bytes);
        if !inside {
            return Some(RxSlot {
                bytes: &[],
                vnet: [0; VnetHdr::LEN],
                tag: None,
                truncated: true,
            });
        }
        // SAFETY: `at - LEN` is inside the slot, as just checked.
        let vnet = unsafe { start.add(at - VnetHdr::LEN) };
        // SAFETY: ten bytes inside the slot, which is ours; a byte array needs no alignment.
        let vnet = unsafe { vnet.cast::<[u8; VnetHdr::LEN]>().read() };
        // SAFETY: `at` is inside the slot, as just checked.
        let bytes = unsafe { start.add(at) };
        // SAFETY: `len` bytes from there are inside the slot, initialised by the kernel, and not
        // written by anyone for 'a: the slot is lent once, and only `release`, which needs the ring
        // mutably and so ends 'a, gives it back to the kernel.
        let bytes = unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast_const(), len) };
        let tag = (status & libc::TP_STATUS_VLAN_VALID != 0).then(|| {
            let known = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
            (
                header.tp_vlan_tci,
                if known { header.tp_vlan_tpid } else { 0x8100 },
            )
        });
        Some(RxSlot {
            bytes,
            vnet,
            tag,
            truncated: header.tp_snaplen < header.tp_len,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_ring_wastes_less_than_a_slot() {
        let ring = Geometry::new(62, 67_584);
        assert_eq!(
            (ring.blocks, ring.per_block, ring.bytes()),
            (2, 31, 4 << 20)
        );
        let ring = Geometry::new(31, 67_584);
        assert_eq!(
            (ring.blocks, ring.per_block, ring.bytes()),
            (1, 31, 2 << 20)
        );
    }

    #[test]
    fn any_request_gives_a_ring_with_at_least_the_slots_asked_for() {
        for slots in [0, 1, 2, 31, 32, 33, 63, 512, 5000] {
            for slot_bytes in [0, 256, 2048, 2100, 67_584, 131_072] {
                let ring = Geometry::new(slots, slot_bytes);
                assert!(
                    ring.slots() >= slots.max(1),
                    "{slots} x {slot_bytes}: {ring:?}"
                );
                assert!(ring.slot_bytes >= slot_bytes && ring.slot_bytes.is_multiple_of(16));
                assert!(ring.block_bytes.is_power_of_two() && ring.block_bytes >= 4096);
                assert!(ring.per_block * ring.slot_bytes <= ring.block_bytes);
            }
        }
    }
}
