//! One worker's way to send on an existing device.
//!
//! A frame that leaves nothing to the device goes through an AF_XDP socket in copy mode, which costs the
//! kernel a fifth less than a packet socket does. A frame with offloads, or too long for a chunk, goes
//! through a packet socket with a virtio-net header. Both hand over to the driver before they return,
//! past the queueing discipline, so frames leave in the order in which they came. What the device does
//! not take is dropped and counted. Without AF_XDP everything goes through the packet socket.

use crate::sys::packet::{self, Sender};
use crate::sys::xdp::XdpSender;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use vswitch_core::frame::TxList;
use vswitch_core::port::{PortTx, TxCaps, TxReport};

/// What one worker's unsent frames may hold in kernel memory. The usual limit of 208 KiB is three
/// frames of 64 KiB: it would drop most of a TCP burst.
const SEND_BUFFER_BYTES: usize = 4 << 20;

/// See the module.
pub(crate) struct NicTx {
    socket: OwnedFd,
    sender: Sender,
    plain: Option<XdpSender>,
}

impl std::fmt::Debug for NicTx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NicTx")
            .field("socket", &self.socket)
            .field("plain", &self.plain)
            .finish_non_exhaustive()
    }
}

impl NicTx {
    /// Opens the way of one worker; `plain` is for frames without offloads.
    ///
    /// # Errors
    /// `ENODEV`, `ENOMEM`, `EPERM`, or `ENOPROTOOPT` on kernels without an option that is needed.
    pub(crate) fn open(ifindex: u32, plain: Option<XdpSender>) -> io::Result<Self> {
        let socket = packet::open()?;
        packet::set_vnet_header(socket.as_fd())?;
        packet::set_qdisc_bypass(socket.as_fd())?;
        let forced =
            rustix::net::sockopt::set_socket_send_buffer_size_force(&socket, SEND_BUFFER_BYTES);
        if forced.is_err() {
            rustix::net::sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES)?;
        }
        packet::bind_send_only(socket.as_fd(), ifindex)?;
        Ok(Self {
            socket,
            sender: Sender::new(),
            plain,
        })
    }

    /// Bytes of memory held in this process; unsent frames hold up to 4 MiB of the kernel's besides.
    pub(crate) const fn memory_bytes(&self) -> usize {
        let plain = match self.plain {
            Some(_) => XdpSender::memory_bytes(),
            None => 0,
        };
        Sender::memory_bytes() + plain
    }
}

impl PortTx for NicTx {
    fn send(&mut self, frames: TxList<'_>) -> TxReport {
        let Some(plain) = &mut self.plain else {
            return self.sender.send(self.socket.as_fd(), frames);
        };
        let mut report = TxReport::default();
        let mut left = frames;
        while let Some(first) = left.iter().next() {
            let is_plain = XdpSender::takes(first);
            let run = left.iter().position(|f| XdpSender::takes(f) != is_plain);
            let (run, rest) = left.split_at(run.unwrap_or(left.len()));
            report += if is_plain {
                plain.send(run)
            } else {
                self.sender.send(self.socket.as_fd(), run)
            };
            left = rest;
        }
        report
    }

    fn caps(&self) -> TxCaps {
        // The kernel completes and segments whatever the device itself cannot.
        TxCaps::ALL
    }
}
