//! What opening a port gives: its queues, its facts, and the handle that keeps the device ours.
//!
//! [`OpenedPort`] is taken apart by its owner: the queues go to the workers, [`PortKeep`] stays with the
//! effects thread and gives the device back, as it was found, when it is closed or dropped. Close the
//! queues first: a queue of a closed port only reports that its device is gone.

use crate::error::PortError;
use crate::handed::HandedKeep;
use crate::nic::{DeviceBefore, NicKeep};
use crate::tap::TapKeep;
use std::io;
use vswitch_base::MacAddr;
use vswitch_core::port::{PortRx, PortTx};

/// A port that is ready to forward.
#[derive(Debug)]
#[non_exhaustive]
pub struct OpenedPort {
    /// Receive queues, one worker each.
    pub rx: Vec<Box<dyn PortRx>>,
    /// One for each worker that was asked for, in order.
    pub tx: Vec<Box<dyn PortTx>>,
    /// What the device is like.
    pub facts: PortFacts,
    /// Gives the device back when closed or dropped.
    pub keep: PortKeep,
    /// What is not as it should be but does not stop the port, in whole sentences.
    pub warnings: Vec<String>,
}

/// What a port's device is like at the moment of opening; changes are told by the link monitor.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PortFacts {
    /// The device's name.
    pub name: String,
    /// Its number in its network namespace.
    pub ifindex: u32,
    /// Its address, when it has one.
    pub mac: Option<MacAddr>,
    /// Payload bytes after the Ethernet header.
    pub mtu: u32,
    /// Whether frames can pass now.
    pub carrier: bool,
    /// Megabits per second, when the device knows.
    pub speed_mbps: Option<u32>,
    /// Most memory that the port's rings and buffers can take, user's and kernel's, in bytes.
    pub memory_bytes: u64,
    /// How frames are received: `ring`, `io_uring` or `read`.
    pub method: &'static str,
}

/// Keeps a port's device in the state that the port needs, and puts it back.
#[derive(Debug)]
pub struct PortKeep(pub(crate) Keep);

#[derive(Debug)]
pub(crate) enum Keep {
    Nic(NicKeep),
    Tap(TapKeep),
    /// Of a device that was handed over open.
    Handed(HandedKeep),
}

impl PortKeep {
    /// What a `nic` port's device was before it was taken; to be written down by the caller, so that
    /// it can be restored after a crash. `None` for a TAP.
    #[must_use]
    pub const fn before(&self) -> Option<&DeviceBefore> {
        match &self.0 {
            Keep::Nic(nic) => Some(nic.before()),
            Keep::Tap(_) | Keep::Handed(_) => None,
        }
    }

    /// Whether the host's own stack is kept off the device (always for a TAP: it has none behind it).
    #[must_use]
    pub const fn is_isolated(&self) -> bool {
        match &self.0 {
            Keep::Nic(nic) => nic.is_isolated(),
            Keep::Tap(_) | Keep::Handed(_) => true,
        }
    }

    /// Plugs or pulls the cable of a TAP, as the device behind it sees it.
    ///
    /// # Errors
    /// `Unsupported` for a `nic` port, whose carrier is the cable's; `EBADFD` for a TAP that is gone.
    pub fn set_carrier(&self, on: bool) -> io::Result<()> {
        match &self.0 {
            Keep::Nic(_) => Err(io::ErrorKind::Unsupported.into()),
            Keep::Tap(tap) => tap.set_carrier(on),
            Keep::Handed(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Has a TAP that was handed over go with its last descriptor, although it is persistent; whether
    /// this is such a port, so that there is no device to delete.
    ///
    /// # Errors
    /// What the driver said; a device that is gone is a success.
    pub fn make_mortal(&self) -> Result<bool, PortError> {
        match &self.0 {
            Keep::Handed(handed) => handed.make_mortal().map(|()| true),
            Keep::Nic(_) | Keep::Tap(_) => Ok(false),
        }
    }

    /// Gives the device back: a `nic` as it was found, a TAP removed unless it is persistent.
    ///
    /// # Errors
    /// What could not be put back; everything else was. A device that is gone is a success.
    pub fn close(self) -> Result<(), PortError> {
        match self.0 {
            Keep::Nic(nic) => nic.close(),
            Keep::Tap(tap) => tap.close(),
            Keep::Handed(_) => Ok(()),
        }
    }

    /// Lets go without putting anything back, for a restart that takes the device again at once. The
    /// ingress filter goes with the process. A TAP stays only if it is persistent.
    pub fn leave(self) {
        match self.0 {
            Keep::Nic(nic) => nic.leave(),
            Keep::Tap(tap) => tap.leave(),
            Keep::Handed(_) => {}
        }
    }
}
