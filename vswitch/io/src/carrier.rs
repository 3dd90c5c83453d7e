//! Carriers asked for, where waiting for news of them may be too long.
//!
//! The kernel spreads its news of lost carriers: when it told of any link of the machine within the last second,
//! the next loss waits until that second is over (`linkwatch_schedule_work` and `linkwatch_urgent_event` in
//! net/core/link_watch.c; a carrier that returns, a veth and a port of a kernel bond do not wait). Who asks
//! is told at once.

use crate::link;
use crate::netlink::Socket;
use std::io;

/// Asks for carriers, again and again, by one socket. It speaks to the network namespace of the thread that
/// opened it.
#[derive(Debug)]
pub struct CarrierProbe(Socket);

impl CarrierProbe {
    /// Opens the socket.
    ///
    /// # Errors
    /// When the kernel has no netlink sockets for us.
    pub fn open() -> io::Result<Self> {
        Socket::route().map(Self)
    }

    /// Whether the device has a carrier, which one that is down never has; `None` when there is no such
    /// device. Waits for the kernel's device lock: not for the control loop.
    ///
    /// # Errors
    /// What netlink answered.
    pub fn carrier(&mut self, ifindex: u32) -> io::Result<Option<bool>> {
        link::carrier(&mut self.0, ifindex)
    }
}
