//! `struct ifreq` requests: an interface name and one value.
//!
//! Names are checked before they reach the kernel: 1 to 15 bytes without NUL, `/` or blanks, so that
//! nothing is cut silently. Callable from any thread.
#![expect(unsafe_code, reason = "ioctl(2) with struct ifreq has no safe wrapper")]

use super::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The longest interface name in bytes, without the final NUL.
pub(crate) const NAME_MAX: usize = libc::IFNAMSIZ - 1;

/// The bytes of `name` as the kernel wants them.
///
/// # Errors
/// `InvalidInput` for a name that no interface can have.
pub(crate) fn name_bytes(name: &str) -> io::Result<[libc::c_char; libc::IFNAMSIZ]> {
    let usable = !name.is_empty()
        && name.len() <= NAME_MAX
        && name != "."
        && name != ".."
        && name
            .bytes()
            .all(|b| b > b' ' && b != b'/' && b != b':' && b < 0x7f);
    if !usable {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{name}` cannot be an interface name (1 to {NAME_MAX} visible characters)"),
        ));
    }
    let mut out = [0; libc::IFNAMSIZ];
    for (to, from) in out.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Ok(out)
}

/// What the name in an `ifreq` says.
pub(crate) fn name_of(request: &libc::ifreq) -> String {
    let bytes: Vec<u8> = request
        .ifr_name
        .iter()
        .map(|c| c.to_ne_bytes()[0])
        .take_while(|&b| b != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A request for `name` with all values zero.
///
/// # Errors
/// `InvalidInput` for an impossible name.
pub(crate) fn request(name: &str) -> io::Result<libc::ifreq> {
    let ifr_name = name_bytes(name)?;
    // SAFETY: ifreq is a plain C struct of integers, byte arrays and a pointer, for all of which the
    // all-zero pattern is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name = ifr_name;
    Ok(request)
}

/// Performs one ioctl that reads and writes `request`.
///
/// # Errors
/// The kernel's errno.
///
/// # Safety
/// `number` must be an ioctl that takes a `struct ifreq`, and a pointer in `request.ifr_ifru`, if that
/// ioctl reads one, must be valid for what the kernel reads and writes through it.
pub(crate) unsafe fn ioctl(
    fd: BorrowedFd<'_>,
    number: libc::c_ulong,
    request: &mut libc::ifreq,
) -> io::Result<()> {
    // SAFETY: the caller vouches for the number; the pointer is to a live, writable ifreq.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), number, std::ptr::from_mut(request)) };
    check(result).map(drop)
}
