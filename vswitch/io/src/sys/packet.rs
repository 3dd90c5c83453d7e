//! AF_PACKET: socket options and batched sends; the receive ring is in [`super::packet_ring`].
//!
//! The option functions may be called from anywhere; a [`Sender`] belongs to one worker at a time, and
//! the pointers that it hands to the kernel live for one call.
#![expect(
    unsafe_code,
    reason = "socket options of AF_PACKET and sendmmsg have no safe wrapper"
)]

use super::check;
use super::gather::{self, Gather};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use vswitch_core::frame::{BATCH_MAX, TxList};
use vswitch_core::port::TxReport;

/// How flows are spread over the sockets of one fanout group: by a hash of addresses, protocol and ports,
/// the same for both directions, which looks behind tags and keeps all frames of a flow on one socket. All
/// fragments of a datagram have one hash, without the ports; what is not IP has one hash altogether.
///
/// Without the group's extra flags, each of which would break a promise: `ROLLOVER` hands frames to another
/// socket when one is full, so that they overtake those waiting; `DEFRAG` puts datagrams together, which
/// are then longer than the MTU of the port that they should leave by.
const FANOUT_HASH: libc::c_uint = libc::PACKET_FANOUT_HASH;

/// Opens a packet socket that receives nothing yet (protocol 0).
///
/// # Errors
/// `EPERM` without CAP_NET_RAW.
pub(crate) fn open() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?)
}

/// Leaves out the frames that this host sends through the device.
///
/// # Errors
/// `ENOPROTOOPT` before Linux 4.20.
pub(crate) fn set_ignore_outgoing(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::PACKET_IGNORE_OUTGOING, &1_i32)
}

/// Puts a virtio-net header before each frame, both ways.
///
/// # Errors
/// `EINVAL` after a ring was set up, `ENOPROTOOPT` on kernels without it.
pub(crate) fn set_vnet_header(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::PACKET_VNET_HDR, &1_i32)
}

/// Hands frames to the driver without a queueing discipline.
///
/// # Errors
/// `ENOPROTOOPT` before Linux 3.14.
pub(crate) fn set_qdisc_bypass(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::PACKET_QDISC_BYPASS, &1_i32)
}

/// Lets a socket's unsent frames hold so much kernel memory, or as much as this process may ask for.
///
/// # Errors
/// The kernel's errno.
pub(crate) fn set_send_buffer(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    if rustix::net::sockopt::set_socket_send_buffer_size_force(fd, bytes).is_err() {
        rustix::net::sockopt::set_socket_send_buffer_size(fd, bytes)?;
    }
    Ok(())
}

/// Receives what is addressed to others, as long as the socket lives.
///
/// # Errors
/// `ENODEV` when the device is gone.
pub(crate) fn add_promiscuous(fd: BorrowedFd<'_>, ifindex: u32) -> io::Result<()> {
    let request = libc::packet_mreq {
        mr_ifindex: index(ifindex)?,
        mr_type: libc::PACKET_MR_PROMISC
            .try_into()
            .expect("the constant is 1"),
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set_option(fd, libc::PACKET_ADD_MEMBERSHIP, &request)
}

/// Starts reception from the device: every protocol.
///
/// # Errors
/// `ENODEV` when the device is gone, `ENETDOWN` when it is down.
pub(crate) fn bind_all(fd: BorrowedFd<'_>, ifindex: u32) -> io::Result<()> {
    let all = u16::try_from(libc::ETH_P_ALL).expect("the constant is 3");
    bind(fd, ifindex, all.to_be())
}

/// Starts reception of one protocol from the device.
///
/// # Errors
/// `ENODEV` when the device is gone, `ENETDOWN` when it is down.
#[cfg(feature = "testing")]
pub(crate) fn bind_protocol(fd: BorrowedFd<'_>, ifindex: u32, ether_type: u16) -> io::Result<()> {
    bind(fd, ifindex, ether_type.to_be())
}

/// Ties the socket to a device without receiving from it.
///
/// # Errors
/// `ENODEV` when the device is gone.
pub(crate) fn bind_send_only(fd: BorrowedFd<'_>, ifindex: u32) -> io::Result<()> {
    bind(fd, ifindex, 0)
}

fn bind(fd: BorrowedFd<'_>, ifindex: u32, protocol_be: u16) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).expect("the constant is 17"),
        sll_protocol: protocol_be,
        sll_ifindex: index(ifindex)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let len = u32::try_from(size_of_val(&address)).expect("a sockaddr_ll is 20 bytes");
    // SAFETY: the pointer is to a live sockaddr_ll of the length given.
    let result = unsafe { libc::bind(fd.as_raw_fd(), std::ptr::from_ref(&address).cast(), len) };
    check(result).map(drop)
}

/// Joins the bound socket to a fanout group and returns the group's id: pass `None` for the first
/// socket, which gets an id that nobody uses, and that id for the others.
///
/// # Errors
/// `EINVAL` when the socket is not bound or the group is another device's.
pub(crate) fn join_fanout(fd: BorrowedFd<'_>, group: Option<u16>) -> io::Result<u16> {
    join(fd, FANOUT_HASH, group)
}

/// Makes a program choose the socket of a fanout group for each frame: the one whose number, in the order
/// of joining, it returns, modulo their count. For the first socket of a group that nobody joined yet.
///
/// # Errors
/// `EINVAL` when the socket is not bound or the program is refused.
pub(crate) fn start_program_fanout(
    fd: BorrowedFd<'_>,
    program: &[libc::sock_filter],
) -> io::Result<u16> {
    let group = join(fd, libc::PACKET_FANOUT_CBPF, None)?;
    let program = program_of(program)?;
    set_option(fd, libc::PACKET_FANOUT_DATA, &program)?;
    Ok(group)
}

/// Joins the bound socket to a group that [`start_program_fanout`] made.
///
/// # Errors
/// As there.
pub(crate) fn join_program_fanout(fd: BorrowedFd<'_>, group: u16) -> io::Result<()> {
    join(fd, libc::PACKET_FANOUT_CBPF, Some(group)).map(drop)
}

fn join(fd: BorrowedFd<'_>, mode: libc::c_uint, group: Option<u16>) -> io::Result<u16> {
    // The group's own hook decides about outgoing frames, not the sockets'.
    let mut mode = mode | libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
    if group.is_none() {
        mode |= libc::PACKET_FANOUT_FLAG_UNIQUEID;
    }
    let argument = mode << 16 | u32::from(group.unwrap_or(0));
    set_option(fd, libc::PACKET_FANOUT, &argument)?;
    let joined: u32 = option(fd, libc::PACKET_FANOUT)?;
    Ok(u16::try_from(joined & 0xffff).expect("masked to 16 bits"))
}

fn program_of(program: &[libc::sock_filter]) -> io::Result<libc::sock_fprog> {
    Ok(libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        // The kernel only reads.
        filter: program.as_ptr().cast_mut(),
    })
}

/// Frames dropped because the ring was full, since the last call: the kernel resets on reading.
///
/// # Errors
/// The kernel's errno.
pub(crate) fn take_drops(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let statistics: libc::tpacket_stats = option(fd, libc::PACKET_STATISTICS)?;
    Ok(statistics.tp_drops)
}

/// Frames that came for the socket since the last call, taken or dropped: the kernel resets on reading.
///
/// # Errors
/// The kernel's errno.
#[cfg(feature = "testing")]
pub(crate) fn take_frames(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let statistics: libc::tpacket_stats = option(fd, libc::PACKET_STATISTICS)?;
    Ok(statistics.tp_packets)
}

/// Lets only those frames come that the classic BPF program accepts.
///
/// # Errors
/// `EINVAL` for a program that the kernel refuses.
#[cfg(feature = "testing")]
pub(crate) fn attach_filter(fd: BorrowedFd<'_>, program: &[libc::sock_filter]) -> io::Result<()> {
    let program = program_of(program)?;
    let len = u32::try_from(size_of_val(&program)).expect("a sock_fprog is 16 bytes");
    let value = std::ptr::from_ref(&program).cast();
    let (level, name) = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
    // SAFETY: the kernel reads a sock_fprog from `value` and `len` instructions from its pointer; both
    // are live.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value, len) };
    check(result).map(drop)
}

/// Sends batches with `sendmmsg`.
pub(crate) struct Sender {
    gather: Gather,
    messages: Box<[libc::mmsghdr; BATCH_MAX]>,
}

// SAFETY: the pointers in `messages` are written by `send` before each use and are dead afterwards.
unsafe impl Send for Sender {}

impl Sender {
    pub(crate) fn new() -> Self {
        // SAFETY: mmsghdr is a plain C struct of integers and pointers; all-zero is a value of it.
        let empty: libc::mmsghdr = unsafe { std::mem::zeroed() };
        Self {
            gather: Gather::new(),
            messages: Box::new([empty; BATCH_MAX]),
        }
    }

    /// Bytes of memory held.
    pub(crate) const fn memory_bytes() -> usize {
        Gather::memory_bytes() + BATCH_MAX * size_of::<libc::mmsghdr>()
    }

    /// Sends the frames in order through a socket that is bound to its device.
    ///
    /// When the device is down or gone the frames not sent are counted as errors. Past the queueing
    /// discipline the kernel cuts for no device: it drops a frame that would have to be cut, with the
    /// same errno as for a device without room. So the first such frame ends the work (`uncut`).
    pub(crate) fn send(&mut self, fd: BorrowedFd<'_>, frames: TxList<'_>) -> TxReport {
        let mut report = TxReport::default();
        let filled = self.gather.fill(frames);
        let count = filled.parts.len();
        for (message, parts) in self.messages.iter_mut().zip(filled.parts.iter_mut()) {
            message.msg_hdr.msg_iov = parts.as_mut_ptr();
            message.msg_hdr.msg_iovlen = gather::used(parts) as _;
        }
        let mut next = 0;
        while next < count {
            let messages = &mut self.messages[next..count];
            let len = u32::try_from(messages.len()).expect("at most BATCH_MAX");
            // SAFETY: `messages` are `len` live mmsghdrs whose iovecs point to `filled`'s parts; those
            // point to our headers and to frames borrowed for this call.
            let result = unsafe {
                libc::sendmmsg(
                    fd.as_raw_fd(),
                    messages.as_mut_ptr(),
                    len,
                    libc::MSG_DONTWAIT,
                )
            };
            if let Ok(sent @ 1..) = usize::try_from(result) {
                // After a short count the next round begins with the frame that failed and so learns
                // its errno, which the kernel did not keep.
                report.sent += u32::try_from(sent).expect("at most BATCH_MAX");
                next += sent;
                continue;
            }
            let errno = io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EIO);
            match errno {
                libc::EINTR => {}
                libc::ENOBUFS if frames.iter().nth(next).is_some_and(|f| f.offload.is_gso()) => {
                    report.uncut = true;
                    break;
                }
                libc::EAGAIN | libc::ENOBUFS => {
                    report.full += 1;
                    next += 1;
                }
                libc::ENETDOWN | libc::ENXIO | libc::ENODEV | libc::EBADF => {
                    report.errors += u32::try_from(count - next).expect("at most BATCH_MAX");
                    report.last_errno = errno;
                    break;
                }
                _ => {
                    report.errors += 1;
                    report.last_errno = errno;
                    next += 1;
                }
            }
        }
        report
    }
}

fn index(ifindex: u32) -> io::Result<libc::c_int> {
    libc::c_int::try_from(ifindex).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Sets a SOL_PACKET option. `T` is one of the kernel's plain C types.
pub(super) fn set_option<T>(fd: BorrowedFd<'_>, name: libc::c_int, value: &T) -> io::Result<()> {
    let len = u32::try_from(size_of::<T>()).expect("options are a few bytes");
    let value = std::ptr::from_ref(value).cast();
    // SAFETY: the kernel reads `len` bytes from `value`, which is live and that long.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_PACKET, name, value, len) };
    check(result).map(drop)
}

/// Reads a SOL_PACKET option. `T` is one of the kernel's plain C types of integers.
fn option<T: Copy>(fd: BorrowedFd<'_>, name: libc::c_int) -> io::Result<T> {
    // SAFETY: all callers pass a type of integers, for which all-zero is a value.
    let mut value: T = unsafe { std::mem::zeroed() };
    let mut len = u32::try_from(size_of::<T>()).expect("options are a few bytes");
    let (to, to_len) = (
        std::ptr::from_mut(&mut value).cast(),
        std::ptr::from_mut(&mut len),
    );
    // SAFETY: the kernel writes at most `len` bytes to `value`, which is live and that long.
    let result = unsafe { libc::getsockopt(fd.as_raw_fd(), libc::SOL_PACKET, name, to, to_len) };
    check(result)?;
    Ok(value)
}

/// What went wrong with a socket since it was last asked; asking clears it.
pub(crate) fn take_error(fd: BorrowedFd<'_>) -> Option<io::Error> {
    match rustix::net::sockopt::socket_error(fd.as_fd()) {
        Ok(Ok(())) => None,
        Ok(Err(errno)) | Err(errno) => Some(errno.into()),
    }
}
