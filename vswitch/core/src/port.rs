//! The contract between the forwarding core and a port backend.
//!
//! **Receive.** A [`PortRx`] is one queue, owned by one worker at a time. [`PortRx::receive`] lends frames that
//! point into the queue's own memory; the borrow ends when the batch is dropped, and
//! [`PortRx::release`] then gives the memory back to the kernel. A backend lends a slot at most once
//! until it was released.
//!
//! **Transmit.** A [`PortTx`] is one worker's way to send on a port; every worker has one for every
//! port, so that nothing is shared and nothing is locked. Frames go out in the order given. What the
//! device does not take at once is dropped and reported, never retried: a full queue must not hold up
//! the other ports. The one exception is a frame that stands for segments and that the device refuses
//! whole ([`TxReport::uncut`]): the egress cuts it and sends the segments in its place.
//!
//! **Neither blocks, allocates, logs, or panics on what a device hands over.** Errors that concern the
//! whole port (device gone, network down) are returned from `receive` once per occurrence; the worker
//! passes them on to the control side and goes on.
//!
//! MTU here always means the payload after the Ethernet header, without tags: a port of MTU 1500 takes
//! frames of 1,514 bytes, and of 1,518 with a tag.

#[cfg(doc)]
use crate::frame::VnetHdr;
use crate::frame::{FrameBatch, TxList};
use std::fmt::Debug;
use std::io;
use std::os::fd::RawFd;

/// `EPROTO`: the errno of a queue whose kernel side has stopped for good and must be opened anew.
pub const QUEUE_STUCK: i32 = 71;

/// One receive queue of a port.
pub trait PortRx: Send + Debug {
    /// Appends what is ready, up to the room left in `batch`; an empty batch means that nothing is.
    ///
    /// # Errors
    /// [`io::Error`] when the device failed as a whole, [`QUEUE_STUCK`] when only the queue did. Frames
    /// already appended stay valid.
    fn receive<'a>(&'a mut self, batch: &mut FrameBatch<'a>) -> io::Result<()>;

    /// Gives back the memory of all frames lent so far. Called after the batch was dropped.
    fn release(&mut self);

    /// The thread that polled the queue will not do so again, another may: ends whatever ties the queue
    /// to the calling thread. Nothing that was received or waits is lost. Called after `release`; may
    /// make a system call, must not wait.
    fn hand_over(&mut self) {}

    /// The descriptors of which one polls readable when `receive` would find frames: none for ports
    /// whose owner must be woken by other means.
    fn ready_fds(&self) -> ReadyFds;

    /// Frames that the kernel dropped for lack of room, and frames cut to the slot, since the last
    /// call. May make a system call: for the slow path (once a second), not per batch.
    fn take_losses(&mut self) -> RxLosses {
        RxLosses::default()
    }
}

/// Up to two descriptors to wait on.
pub type ReadyFds = [Option<RawFd>; 2];

/// What a receive queue lost before we saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RxLosses {
    /// Dropped by the kernel because the ring was full.
    pub ring_full: u64,
    /// Dropped by the backend because the slot was too small for them.
    pub truncated: u64,
}

/// One worker's way to send on a port.
pub trait PortTx: Send + Debug {
    /// Sends `frames` in order, as far as the device takes them.
    fn send(&mut self, frames: TxList<'_>) -> TxReport;

    /// What may be left to the device, as far as is known.
    fn caps(&self) -> TxCaps;

    /// Told after a frame of that segmentation type ([`VnetHdr::gso_kind`]) was refused whole and its
    /// segments were taken: [`Self::caps`] may leave the type out for a while. The frame had nothing
    /// unusual about it, so that no sender can make others' frames be cut.
    fn learn_uncut(&mut self, _gso_kind: u8) {}
}

/// What became of the frames of one [`PortTx::send`]: `sent + full + errors` is their number, or with
/// `uncut` the number of those before the refused one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TxReport {
    /// Taken by the device.
    pub sent: u32,
    /// Dropped because the device's queue was full (`EAGAIN`, `ENOBUFS`).
    pub full: u32,
    /// Dropped because the device refused them.
    pub errors: u32,
    /// `errno` of the last refusal, 0 when there was none.
    pub last_errno: i32,
    /// The frame behind those counted stands for segments, and the device took neither it nor, for the
    /// sake of their order, those behind it: either it does not cut such frames or it was full.
    pub uncut: bool,
}

impl std::ops::AddAssign for TxReport {
    /// The frames of another list of the same port, sent later.
    fn add_assign(&mut self, later: Self) {
        self.sent += later.sent;
        self.full += later.full;
        self.errors += later.errors;
        self.uncut = later.uncut;
        if later.last_errno != 0 {
            self.last_errno = later.last_errno;
        }
    }
}

/// Work that a port takes over from the sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TxCaps {
    /// Completes partial checksums.
    pub checksum: bool,
    /// Cuts TCP over IPv4.
    pub tso4: bool,
    /// Cuts TCP over IPv6.
    pub tso6: bool,
    /// Cuts UDP datagrams (`GSO_UDP_L4`).
    pub uso: bool,
}

impl TxCaps {
    /// Takes everything: the kernel finishes what a device cannot.
    pub const ALL: Self = Self {
        checksum: true,
        tso4: true,
        tso6: true,
        uso: true,
    };
    /// Takes complete frames only.
    pub const NONE: Self = Self {
        checksum: false,
        tso4: false,
        tso6: false,
        uso: false,
    };
}
