//! A TAP queue by `read` and `writev`: one system call a frame, on every kernel.
//!
//! Frames are read one behind the other into one arena, so that a batch of small frames stays in few
//! cache lines. One worker owns each value.

use super::READ_BYTES;
use rustix::io::Errno;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use vswitch_core::frame::{Frame, FrameBatch, TxList, VnetHdr};
use vswitch_core::port::{PortRx, PortTx, ReadyFds, TxCaps, TxReport};

/// Room for 16 frames of the largest size, or for a batch of ordinary ones.
const ARENA_BYTES: usize = 16 * READ_BYTES as usize;
/// Frames begin at cache lines.
const ALIGN: usize = 64;

/// One receive queue.
#[derive(Debug)]
pub(super) struct PlainRx {
    fd: OwnedFd,
    arena: Box<[u8]>,
    /// Bytes of the arena that are lent.
    used: usize,
}

impl PlainRx {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            arena: vec![0; ARENA_BYTES].into(),
            used: 0,
        }
    }

    pub(super) const fn memory_bytes(&self) -> usize {
        self.arena.len()
    }
}

impl PortRx for PlainRx {
    fn receive<'a>(&'a mut self, batch: &mut FrameBatch<'a>) -> io::Result<()> {
        let mut free = &mut self.arena[self.used..];
        while batch.remaining_capacity() > 0 && free.len() >= READ_BYTES as usize {
            let len = match rustix::io::read(&self.fd, &mut free[..READ_BYTES as usize]) {
                Ok(len) => len,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            };
            let taken = len.next_multiple_of(ALIGN).min(free.len());
            self.used += taken;
            let (buffer, rest) = std::mem::take(&mut free).split_at_mut(taken);
            free = rest;
            let Some((header, bytes)) = buffer[..len].split_first_chunk::<{ VnetHdr::LEN }>()
            else {
                continue; // the driver always writes the header
            };
            let offload = VnetHdr::from_bytes(header);
            batch.push(Frame {
                bytes,
                stripped: None,
                offload,
            });
        }
        Ok(())
    }

    fn release(&mut self) {
        self.used = 0;
    }

    fn ready_fds(&self) -> ReadyFds {
        [Some(self.fd.as_raw_fd()), None]
    }
}

/// One worker's way to send.
#[derive(Debug)]
pub(super) struct PlainTx {
    fd: OwnedFd,
}

impl PlainTx {
    pub(super) const fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl PortTx for PlainTx {
    fn send(&mut self, frames: TxList<'_>) -> TxReport {
        let mut report = TxReport::default();
        for frame in frames.iter() {
            let offload = frame.offload.to_bytes();
            let parts = [
                IoSlice::new(&offload),
                IoSlice::new(frame.header.as_slice()),
                IoSlice::new(frame.rest),
            ];
            let written = loop {
                match rustix::io::writev(&self.fd, &parts) {
                    Err(Errno::INTR) => {}
                    other => break other,
                }
            };
            match written {
                Ok(_) => report.sent += 1,
                Err(Errno::AGAIN | Errno::NOBUFS) => report.full += 1,
                Err(error) => {
                    report.errors += 1;
                    report.last_errno = error.raw_os_error();
                }
            }
        }
        report
    }

    fn caps(&self) -> TxCaps {
        // The header tells the receiver what is left to do; its kernel does it when it must.
        TxCaps::ALL
    }
}
