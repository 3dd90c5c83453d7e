//! The ioctls of `/dev/net/tun`.
//!
//! A descriptor is one queue of one device; closing the last descriptor removes a device that is not
//! persistent. Effects thread: opening can block on the kernel's device lock.
#![expect(unsafe_code, reason = "the TUN ioctls have no safe wrapper")]

use super::{check, ifreq};
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Everything a TAP can leave to us: partial checksums, TCP and UDP segmentation.
pub(crate) const OFFLOADS_ALL: u32 = OFFLOADS_TCP | libc::TUN_F_USO4 | libc::TUN_F_USO6;
/// The same without UDP segmentation, which kernels before 6.2 refuse.
pub(crate) const OFFLOADS_TCP: u32 =
    libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;

/// Opens the clone device, attached to nothing yet.
///
/// # Errors
/// `ENOENT` without the tun driver, `EACCES` without permission.
pub(crate) fn open() -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(rustix::fs::open("/dev/net/tun", flags, Mode::empty())?)
}

/// Creates the TAP `name`, or attaches to it, as one queue with a virtio-net header before each frame;
/// returns its name, which the kernel chose if `name` has a `%d`.
///
/// # Errors
/// `EBUSY` when another process holds it, `EINVAL` when `name` is a device of another kind or has other
/// flags, `EPERM` without CAP_NET_ADMIN.
pub(crate) fn attach(fd: BorrowedFd<'_>, name: &str, multi_queue: bool) -> io::Result<String> {
    let queues = if multi_queue {
        libc::IFF_MULTI_QUEUE
    } else {
        0
    };
    attach_with(fd, name, libc::IFF_VNET_HDR | queues)
}

/// Creates the TAP `name`, or attaches to it, as its only queue and with nothing before each frame.
///
/// # Errors
/// As [`attach`].
#[cfg(feature = "testing")]
pub(crate) fn attach_plain(fd: BorrowedFd<'_>, name: &str) -> io::Result<String> {
    attach_with(fd, name, 0)
}

/// Whether a descriptor is a queue of a TAP that gives frames as [`attach`] asks for them: with a virtio-net
/// header, without packet information, one queue.
///
/// # Errors
/// `EBADFD` for a descriptor of the driver that is attached to nothing, `ENOTTY` for any other one.
pub(crate) fn is_tap_queue(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut request = ifreq::request("any")?;
    // SAFETY: TUNGETIFF writes the device's name and flags into the ifreq, no pointer.
    unsafe { ifreq::ioctl(fd, libc::TUNGETIFF, &mut request)? };
    // SAFETY: the kernel has just written the flags, and every bit pattern of them is a value.
    let flags = libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags });
    let wanted = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    Ok(flags & (wanted | libc::IFF_MULTI_QUEUE | libc::IFF_TUN) == wanted)
}

fn attach_with(fd: BorrowedFd<'_>, name: &str, flags: libc::c_int) -> io::Result<String> {
    let mut request = ifreq::request(name)?;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_TAP | libc::IFF_NO_PI | flags)
        .expect("these flags are below 2^15");
    // SAFETY: TUNSETIFF takes an ifreq with a name and flags, no pointer.
    unsafe { ifreq::ioctl(fd, libc::TUNSETIFF, &mut request)? };
    Ok(ifreq::name_of(&request))
}

/// Takes a queue of a device of several out of those that the device hands frames to. It can still be
/// written to; who writes there does not draw the answers of a flow to any queue.
///
/// # Errors
/// `EINVAL` when the device was not made for several queues.
pub(crate) fn detach_queue(fd: BorrowedFd<'_>) -> io::Result<()> {
    // The kernel takes the device from the descriptor, not from the name.
    let mut request = ifreq::request("-")?;
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(libc::IFF_DETACH_QUEUE).expect("the flag is below 2^15");
    // SAFETY: TUNSETQUEUE takes an ifreq with flags, no pointer.
    unsafe { ifreq::ioctl(fd, libc::TUNSETQUEUE, &mut request) }
}

/// Sets the size of the virtio-net header in bytes.
///
/// # Errors
/// `EINVAL` below ten bytes.
pub(crate) fn set_vnet_header_len(fd: BorrowedFd<'_>, bytes: libc::c_int) -> io::Result<()> {
    // SAFETY: TUNSETVNETHDRSZ reads one int through the pointer, which is live.
    let result = unsafe {
        libc::ioctl(
            fd.as_raw_fd(),
            libc::TUNSETVNETHDRSZ,
            std::ptr::from_ref(&bytes),
        )
    };
    check(result).map(drop)
}

/// Tells the device what frames may come to us unfinished (`TUN_F_*`).
///
/// # Errors
/// `EINVAL` when the kernel does not know one of them.
pub(crate) fn set_offloads(fd: BorrowedFd<'_>, offloads: u32) -> io::Result<()> {
    by_value(fd, libc::TUNSETOFFLOAD, libc::c_ulong::from(offloads))
}

/// Whether the device stays when its last descriptor is closed.
///
/// # Errors
/// `EBADFD` when the device is gone.
pub(crate) fn set_persistent(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    by_value(fd, libc::TUNSETPERSIST, libc::c_ulong::from(on))
}

/// The user that may attach to the device without CAP_NET_ADMIN.
///
/// # Errors
/// `EINVAL` for an id that the user namespace does not map.
pub(crate) fn set_owner(fd: BorrowedFd<'_>, uid: u32) -> io::Result<()> {
    by_value(fd, libc::TUNSETOWNER, libc::c_ulong::from(uid))
}

/// The group that may attach to the device without CAP_NET_ADMIN.
///
/// # Errors
/// As [`set_owner`].
pub(crate) fn set_group(fd: BorrowedFd<'_>, gid: u32) -> io::Result<()> {
    by_value(fd, libc::TUNSETGROUP, libc::c_ulong::from(gid))
}

/// Turns the device's carrier on or off, as a switch port does for a cable.
///
/// # Errors
/// `EBADFD` when the device is gone.
pub(crate) fn set_carrier(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let value = libc::c_int::from(on);
    // SAFETY: TUNSETCARRIER reads one int through the pointer, which is live.
    let result = unsafe {
        libc::ioctl(
            fd.as_raw_fd(),
            libc::TUNSETCARRIER,
            std::ptr::from_ref(&value),
        )
    };
    check(result).map(drop)
}

/// Opens one queue of the TAP `name` with a ten-byte virtio-net header.
///
/// # Errors
/// As the three calls that it makes.
pub(crate) fn open_queue(name: &str, multi_queue: bool) -> io::Result<(OwnedFd, String)> {
    let fd = open()?;
    let name = attach(fd.as_fd(), name, multi_queue)?;
    set_vnet_header_len(fd.as_fd(), 10)?;
    Ok((fd, name))
}

fn by_value(fd: BorrowedFd<'_>, number: libc::Ioctl, value: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the ioctls passed here take their argument by value; nothing is dereferenced.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), number, value) };
    check(result).map(drop)
}
