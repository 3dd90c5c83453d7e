//! Who is at the other end of a Unix socket: the supplementary groups that `SO_PEERCRED` leaves out.

use super::check;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Groups asked for at most; for a process with more the kernel answers `ERANGE`.
const GROUPS_MAX: usize = 1024;

/// The supplementary group ids of the process that connected, as they were then (`SO_PEERGROUPS`,
/// Linux 4.13).
///
/// # Errors
/// What `getsockopt` said: `ENOPROTOOPT` on an older kernel.
pub fn peer_groups(socket: impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; GROUPS_MAX];
    let mut len = libc::socklen_t::try_from(size_of_val(&groups[..])).unwrap_or(0);
    // SAFETY: the descriptor is open for the call, `groups` has room for `len` bytes and `len` is a
    // valid pointer; the kernel writes at most `len` bytes of plain integers and updates `len`.
    check(unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut len,
        )
    })?;
    groups.truncate(usize::try_from(len).unwrap_or(0) / size_of::<u32>());
    Ok(groups)
}
