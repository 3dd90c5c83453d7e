//! The system calls that no safe crate offers, one thin safe function or owning type each.
//!
//! This folder is the only place of the workspace where `unsafe` is allowed. What leaves it is safe:
//! memory shared with the kernel is owned by one type ([`packet_ring::RxRing`], [`uring::ReadRing`]) that
//! lends each slot at most once until it was released, and pointers handed to the kernel never outlive
//! the call they were made for. Callable from any thread; nothing here has global state.

#![expect(unsafe_code, reason = "a bare descriptor number is borrowed")]

pub(crate) mod ethtool;
pub(crate) mod gather;
pub(crate) mod ifreq;
mod mapping;
pub(crate) mod netns;
pub(crate) mod packet;
pub(crate) mod packet_ring;
pub(crate) mod peer;
pub(crate) mod tun;
pub(crate) mod uring;
pub(crate) mod xdp;

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

/// The result of a C call that returns a negative number and `errno` on failure.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// A descriptor that a `PortRx` named by its number, to pass to epoll at once.
///
/// # Errors
/// `EBADF` for a number that is not open.
pub(crate) fn borrow<'a>(fd: RawFd) -> io::Result<BorrowedFd<'a>> {
    // SAFETY: F_GETFD only looks the number up.
    check(unsafe { libc::fcntl(fd, libc::F_GETFD) })?;
    // SAFETY: open, as just checked, and not -1. The callers use it in the one epoll_ctl call that
    // follows and store nothing; a number closed and reused meanwhile harms no memory.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}
