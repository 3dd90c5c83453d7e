//! The machine behind a TAP, played by a test: it holds the descriptor, sends frames with any offload
//! header, and takes only the offloads that it named.
//!
//! Blocks for at most the time that each call is given. Callable from any thread.

use crate::sys::tun;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use vswitch_core::frame::VnetHdr;
use vswitch_core::port::TxCaps;

/// Longest frame that is received whole.
const FRAME_MAX: usize = 1 << 17;

/// A TAP whose frames are read and written by the test, virtio-net header and all. The device ends with
/// this value.
#[derive(Debug)]
pub struct Machine {
    fd: OwnedFd,
    buffer: Box<[u8]>,
}

impl Machine {
    /// Makes the TAP `name` in the calling thread's network namespace, off, for a machine that can finish
    /// what `takes` names. TCP with the ECN bit goes with TCP.
    ///
    /// # Errors
    /// As [`super::plain_tap`]; `EINVAL` when the kernel does not know an offload (UDP segmentation before
    /// Linux 6.2).
    pub fn open(name: &str, takes: TxCaps) -> io::Result<Self> {
        let (fd, _) = tun::open_queue(name, false)?;
        let bits = [
            (takes.checksum, libc::TUN_F_CSUM),
            (takes.tso4, libc::TUN_F_TSO4 | libc::TUN_F_TSO_ECN),
            (takes.tso6, libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN),
            (takes.uso, libc::TUN_F_USO4 | libc::TUN_F_USO6),
        ];
        let offloads = bits
            .iter()
            .filter(|(takes, _)| *takes)
            .fold(0, |all, (_, bit)| all | bit);
        tun::set_offloads(fd.as_fd(), offloads)?;
        Ok(Self {
            fd,
            buffer: vec![0; FRAME_MAX].into(),
        })
    }

    /// Sends a frame, addresses first.
    ///
    /// # Errors
    /// `EINVAL` when the kernel refuses the offload header, `EIO` when the device is off.
    pub fn send(&self, offload: &VnetHdr, frame: &[u8]) -> io::Result<()> {
        let header = offload.to_bytes();
        loop {
            match rustix::io::writev(&self.fd, &[IoSlice::new(&header), IoSlice::new(frame)]) {
                Err(Errno::INTR) => {}
                other => return Ok(other.map(drop)?),
            }
        }
    }

    /// The next frame; `None` when none comes within `patience`.
    ///
    /// # Errors
    /// `EBADFD` when the device is gone, `EIO` when it is off.
    pub fn receive(&mut self, patience: Duration) -> io::Result<Option<(VnetHdr, &[u8])>> {
        let timeout = Timespec::try_from(patience).map_err(|_| io::ErrorKind::InvalidInput)?;
        let len = loop {
            match rustix::io::read(&self.fd, &mut *self.buffer) {
                Ok(len) => break len,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let mut ready = [PollFd::new(&self.fd, PollFlags::IN)];
                    match rustix::event::poll(&mut ready, Some(&timeout)) {
                        Ok(0) => return Ok(None),
                        Ok(_) | Err(Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        };
        let (header, frame) = self.buffer[..len]
            .split_first_chunk::<{ VnetHdr::LEN }>()
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Some((VnetHdr::from_bytes(header), frame)))
    }
}
