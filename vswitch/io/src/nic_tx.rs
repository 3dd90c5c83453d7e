//! One worker's way to send on an existing device.
//!
//! A frame that leaves nothing to a device of one queue goes through an AF_XDP socket in copy mode, which
//! costs the kernel a fifth less than a packet socket does. A frame with offloads, or too long for a chunk, goes
//! through a packet socket with a virtio-net header. Both hand over to the driver before they return,
//! past the queueing discipline, so frames leave in the order in which they came. What the device does
//! not take is dropped and counted. Without AF_XDP, and on a device with
//! several queues, everything goes through the packet socket.
//!
//! On that way the kernel completes checksums where the device does not, but refuses frames that it would
//! have to cut into segments: which types those are shows when it does, and is tried again now and then.

use crate::sys::packet::{self, Sender};
use crate::sys::xdp::XdpSender;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use vswitch_core::frame::{TxList, VnetHdr};
use vswitch_core::port::{PortTx, TxCaps, TxReport};

/// What one worker's unsent frames may hold in kernel memory. The usual limit of 208 KiB is three
/// frames of 64 KiB: it would drop most of a TCP burst.
const SEND_BUFFER_BYTES: usize = 4 << 20;
/// Frames for which a segmentation type that the device refused is not tried again. A trial costs the
/// copy of one frame of 64 KB; what an operator switched on at the device is in use soon after.
const FRAMES_PER_TRIAL: u32 = 4096;

/// See the module.
pub(crate) struct NicTx {
    socket: OwnedFd,
    sender: Sender,
    plain: Option<XdpSender>,
    /// What the device took lately.
    caps: TxCaps,
    /// Frames until types that are not in `caps` are tried again.
    until_trial: u32,
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
    /// Opens the way of one worker over a new packet socket; `plain` is for frames without offloads.
    ///
    /// # Errors
    /// `ENODEV`, `ENOMEM`, `EPERM`, or `ENOPROTOOPT` on kernels without an option that is needed.
    pub(crate) fn open(
        ifindex: u32,
        plain: Option<XdpSender>,
        socket: OwnedFd,
    ) -> io::Result<Self> {
        packet::set_vnet_header(socket.as_fd())?;
        packet::set_qdisc_bypass(socket.as_fd())?;
        packet::set_send_buffer(socket.as_fd(), SEND_BUFFER_BYTES)?;
        packet::bind_send_only(socket.as_fd(), ifindex)?;
        Ok(Self {
            socket,
            sender: Sender::new(),
            plain,
            caps: TxCaps::ALL,
            until_trial: 0,
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
        if self.until_trial > 0 {
            let frames = u32::try_from(frames.len()).unwrap_or(u32::MAX);
            self.until_trial = self.until_trial.saturating_sub(frames);
            if self.until_trial == 0 {
                self.caps = TxCaps::ALL;
            }
        }
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
            if report.uncut {
                break;
            }
            left = rest;
        }
        report
    }

    fn caps(&self) -> TxCaps {
        // The kernel completes checksums for every device, but cuts for none on the way that we take.
        self.caps
    }

    fn learn_uncut(&mut self, gso_kind: u8) {
        match gso_kind {
            VnetHdr::GSO_TCPV4 => self.caps.tso4 = false,
            VnetHdr::GSO_TCPV6 => self.caps.tso6 = false,
            VnetHdr::GSO_UDP_L4 => self.caps.uso = false,
            _ => return,
        }
        self.until_trial = FRAMES_PER_TRIAL;
    }
}
