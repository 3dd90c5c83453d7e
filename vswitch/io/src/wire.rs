//! The far end of a cable: plain packet sockets and TAPs for tests and measurements, apart from what the
//! switch itself uses, so that a measurement does not change with what it measures.
//!
//! [`sender`] gives a socket for `sendmmsg`, past the queueing discipline. [`Counter`] counts what arrives
//! at almost no cost: its socket is never read, so that all but the first frames end at the kernel's test
//! for room, and the kernel's own statistics are the count. [`plain_tap`] is a TAP without any header or
//! offload, [`Machine`] one with both. Callable from any thread; nothing here blocks but a machine that
//! waits for a frame.

mod machine;

pub use machine::Machine;

use crate::sys::{packet, tun};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// What a sender's unsent frames may hold in kernel memory, in bytes: never the limit of a measurement.
const SEND_BUFFER_BYTES: usize = 4 << 20;
/// What a counter keeps before the kernel drops at once: its least value is about one frame.
const RECEIVE_BUFFER_BYTES: usize = 1;

/// Opens a packet socket that only sends on `device`, straight to the driver, and never blocks.
///
/// # Errors
/// `EPERM` without CAP_NET_RAW, `ENODEV` when there is no such device.
pub fn sender(device: &str) -> io::Result<OwnedFd> {
    let socket = packet::open()?;
    let ifindex = index_of(&socket, device)?;
    packet::set_qdisc_bypass(socket.as_fd())?;
    rustix::net::sockopt::set_socket_send_buffer_size_force(&socket, SEND_BUFFER_BYTES).or_else(
        |_| rustix::net::sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES),
    )?;
    packet::bind_send_only(socket.as_fd(), ifindex)?;
    Ok(socket)
}

/// Which frames a [`Counter`] counts, by their destination address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Destination {
    /// Every frame.
    Any,
    /// Addresses that do not begin with these two bytes: what was flooded here.
    NotBeginningWith([u8; 2]),
}

/// Counts the frames of one EtherType that a device receives.
#[derive(Debug)]
pub struct Counter {
    socket: OwnedFd,
}

impl Counter {
    /// Starts counting on `device`.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_RAW, `ENODEV` when there is no such device, `ENETDOWN` when it is off.
    pub fn open(device: &str, ether_type: u16, what: Destination) -> io::Result<Self> {
        let socket = packet::open()?;
        let ifindex = index_of(&socket, device)?;
        packet::set_ignore_outgoing(socket.as_fd())?;
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES)?;
        packet::add_promiscuous(socket.as_fd(), ifindex)?;
        if let Destination::NotBeginningWith(start) = what {
            packet::attach_filter(socket.as_fd(), &not_beginning_with(start))?;
        }
        packet::bind_protocol(socket.as_fd(), ifindex, ether_type)?;
        Ok(Self { socket })
    }

    /// Frames since the last call. Ask before four thousand million have come.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn take(&self) -> io::Result<u64> {
        packet::take_frames(self.socket.as_fd()).map(u64::from)
    }
}

/// Opens the TAP `name`, made if there is none, whose reads and writes are bare frames and block. It
/// ends with its descriptor.
///
/// # Errors
/// `EBUSY` when another process holds it, `EPERM` without CAP_NET_ADMIN, `ENOENT` without the tun driver.
pub fn plain_tap(name: &str) -> io::Result<File> {
    let fd = tun::open()?;
    tun::attach_plain(fd.as_fd(), name)?;
    rustix::io::ioctl_fionbio(&fd, false)?;
    Ok(File::from(fd))
}

fn index_of(socket: &OwnedFd, device: &str) -> io::Result<u32> {
    Ok(rustix::net::netdevice::name_to_index(socket, device)?)
}

/// `ldh [0]; jeq start, drop, keep`.
fn not_beginning_with(start: [u8; 2]) -> [libc::sock_filter; 4] {
    let instruction = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).expect("instruction codes are below 256"),
        jt,
        jf,
        k,
    };
    [
        instruction(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 0, 0, 0),
        instruction(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            u16::from_be_bytes(start).into(),
        ),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ]
}
