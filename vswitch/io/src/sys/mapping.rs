//! Memory from mmap: private, or shared with the kernel through a descriptor.
//!
//! A [`Mapping`] is owned by one value, may move between threads, and is unmapped when dropped. It hands
//! out nothing by itself: who owns it says what lies where.
#![expect(unsafe_code, reason = "mmap and munmap")]

use rustix::mm::{MapFlags, ProtFlags};
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

/// Page-aligned memory.
#[derive(Debug)]
pub(super) struct Mapping {
    pub(super) base: NonNull<u8>,
    /// Bytes. Set to zero, the memory is given up: it stays mapped for ever.
    pub(super) len: usize,
}

// SAFETY: plain memory owned by this value; what the kernel does with it is its owner's affair.
unsafe impl Send for Mapping {}

impl Mapping {
    /// `len` bytes of zeros of our own.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn private(len: usize) -> io::Result<Self> {
        // SAFETY: a new private mapping at an address of the kernel's choice.
        let base = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )?
        };
        Self::owned(base, len)
    }

    /// `len` bytes of what the descriptor has at `offset`, which must be that long.
    ///
    /// # Errors
    /// `EINVAL` for an offset or a length that the descriptor does not have, `ENOMEM`.
    pub(super) fn shared(fd: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no memory of ours.
        let base = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::POPULATE,
                fd,
                offset,
            )?
        };
        Self::owned(base, len)
    }

    fn owned(base: *mut core::ffi::c_void, len: usize) -> io::Result<Self> {
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        // SAFETY: the mapping is ours and of this length; its owner ended every use of it.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert!(
            unmapped.is_ok(),
            "the memory was mapped at this address and length"
        );
    }
}
