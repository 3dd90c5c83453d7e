//! Per-device switches under `/proc/sys/net`, of the calling thread's network namespace.
//!
//! Effects thread: opens and writes files.

use std::io;
use std::path::PathBuf;

/// Whether IPv6 is switched off on a device; `None` when the kernel has no IPv6.
///
/// # Errors
/// When the file is there and cannot be read.
pub(crate) fn ipv6_disabled(name: &str) -> io::Result<Option<bool>> {
    match std::fs::read_to_string(path(name)) {
        Ok(text) => Ok(Some(text.trim() != "0")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Switches IPv6 off or on.
///
/// # Errors
/// `EROFS` where `/proc/sys` is read-only, as in many containers.
pub(crate) fn set_ipv6_disabled(name: &str, disabled: bool) -> io::Result<()> {
    std::fs::write(path(name), if disabled { "1" } else { "0" })
}

fn path(name: &str) -> PathBuf {
    // A dot in the name is no separator here, as it would be for sysctl(8): this is a path.
    ["/proc/sys/net/ipv6/conf", name, "disable_ipv6"]
        .iter()
        .collect()
}
