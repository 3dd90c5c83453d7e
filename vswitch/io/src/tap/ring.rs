//! A TAP queue by io_uring: frames come through a multishot read, go out in batches of one system call.
//!
//! One worker owns each value; a read belongs to the thread that started it, until `hand_over`.

use super::{READ_BUFFERS, READ_BYTES};
use crate::sys::uring::{ReadRing, WriteRing};
use std::io;
use std::os::fd::OwnedFd;
use vswitch_core::frame::{Frame, FrameBatch, TxList, VnetHdr};
use vswitch_core::port::{PortRx, PortTx, ReadyFds, TxCaps, TxReport};

/// One receive queue.
#[derive(Debug)]
pub(super) struct UringRx(ReadRing);

impl UringRx {
    /// # Errors
    /// As [`ReadRing::new`].
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self(ReadRing::new(fd, READ_BUFFERS, READ_BYTES)?))
    }

    pub(super) const fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }
}

impl PortRx for UringRx {
    fn receive<'a>(&'a mut self, batch: &mut FrameBatch<'a>) -> io::Result<()> {
        let room = batch.remaining_capacity();
        self.0.receive(room, |read| {
            // The driver always writes the header.
            if let Some((header, bytes)) = read.split_first_chunk::<{ VnetHdr::LEN }>() {
                let offload = VnetHdr::from_bytes(header);
                batch.push(Frame {
                    bytes,
                    stripped: None,
                    offload,
                });
            }
        })
    }

    fn release(&mut self) {
        self.0.release();
    }

    fn hand_over(&mut self) {
        self.0.disarm();
    }

    fn ready_fds(&self) -> ReadyFds {
        [Some(self.0.ready_fd()), None]
    }
}

/// One worker's way to send.
#[derive(Debug)]
pub(super) struct UringTx(WriteRing);

impl UringTx {
    /// # Errors
    /// As [`WriteRing::new`].
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self(WriteRing::new(fd)?))
    }

    pub(super) const fn memory_bytes() -> usize {
        WriteRing::memory_bytes()
    }
}

impl PortTx for UringTx {
    fn send(&mut self, frames: TxList<'_>) -> TxReport {
        self.0.send(frames)
    }

    fn caps(&self) -> TxCaps {
        TxCaps::ALL
    }
}
