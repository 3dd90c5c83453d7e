//! Ports over descriptors that another process opened: the CNI plugin, which may enter a pod's network
//! namespace, while the daemon may not (it needs CAP_NET_ADMIN and CAP_NET_RAW, not CAP_SYS_ADMIN).
//!
//! A descriptor of the tun driver and a packet socket belong to the namespace in which they were made for
//! all of their life. So everything that a port does works from here; what does not is looking at the
//! device by netlink: its number, MTU and carrier are what the maker says, or unknown. The device was made
//! for us, so nothing is put back when the port is closed.
//!
//! Effects thread only.

use crate::af_packet::{PacketRx, RING_SLOTS, SLOT_BYTES};
use crate::error::{PortCause, PortError};
use crate::nic_tx::NicTx;
use crate::port::{Keep, OpenedPort, PortFacts, PortKeep};
use crate::sys::netns::NetNs;
use crate::sys::{packet, tun};
use crate::tap::{self, TapSpec};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use vswitch_base::MacAddr;
use vswitch_core::port::PortTx;

const TAKE: &str = "take over the TAP";
const BIND: &str = "bind the packet sockets to the device";

/// A TAP that was made in its namespace, by its only queue.
#[derive(Debug)]
pub struct HandedTap {
    /// The device's name in its namespace.
    pub name: String,
    /// Its address, as its maker says.
    pub mac: Option<MacAddr>,
    /// Payload bytes after the Ethernet header, as its maker says.
    pub mtu: u32,
    /// How many workers send on the port.
    pub workers: u16,
    /// The device stays when the switch ends; [`PortKeep::make_mortal`] ends that.
    pub persistent: bool,
    /// The queue.
    pub queue: OwnedFd,
}

/// A device in another namespace with packet sockets of that namespace.
#[derive(Debug)]
pub struct HandedNic {
    /// The device's name in its namespace.
    pub name: String,
    /// Its address, as its maker says.
    pub mac: Option<MacAddr>,
    /// Payload bytes after the Ethernet header, as its maker says.
    pub mtu: u32,
    /// How many workers send on the port.
    pub workers: u16,
    /// Unbound packet sockets, [`sockets_of_nic`] of them; more are closed.
    pub sockets: Vec<OwnedFd>,
}

/// How many packet sockets a port of `workers` needs: two that receive and one for each that sends.
#[must_use]
pub const fn sockets_of_nic(workers: u16) -> usize {
    2 + workers as usize
}

/// Makes the sockets of a [`HandedNic`] in a namespace.
///
/// # Errors
/// `EPERM` without CAP_SYS_ADMIN (to enter) and CAP_NET_RAW in it; what `socket` said.
pub fn nic_sockets(netns: &NetNs, workers: u16) -> io::Result<Vec<OwnedFd>> {
    netns.run(|| {
        (0..sockets_of_nic(workers))
            .map(|_| packet::open())
            .collect()
    })
}

/// Opens a port over a TAP's queue.
///
/// # Errors
/// The descriptor is no queue of a TAP with a virtio-net header, or what the system said. The descriptor
/// is closed then.
pub fn open_handed_tap(spec: HandedTap) -> Result<OpenedPort, PortError> {
    let fail = |error: io::Error| PortError::new(&spec.name, TAKE, error);
    let queue = spec.queue;
    if !tun::is_tap_queue(queue.as_fd()).map_err(fail)? {
        let cause = io::Error::other(
            "the descriptor is no single queue of a TAP with a virtio-net header and no packet information",
        );
        return Err(PortError::new(&spec.name, TAKE, PortCause::Os(cause)));
    }
    let mut warnings = Vec::new();
    tun::set_vnet_header_len(queue.as_fd(), 10).map_err(fail)?;
    tap::take_offloads(&spec.name, queue.as_fd(), &mut warnings).map_err(fail)?;
    let mut how = TapSpec::new(&spec.name);
    how.workers = spec.workers;
    let keep = HandedKeep {
        queue: Some(queue.try_clone().map_err(fail)?),
    };
    let queues = [queue];
    let (rx, tx, memory_bytes, method) =
        tap::open_queues(&how, &queues, &[], &mut warnings).map_err(fail)?;
    // Last: until here the device goes with its descriptors.
    tun::set_persistent(queues[0].as_fd(), spec.persistent).map_err(fail)?;
    Ok(OpenedPort {
        rx,
        tx,
        facts: facts(spec.name, spec.mac, spec.mtu, memory_bytes, method),
        keep: PortKeep(Keep::Handed(keep)),
        warnings,
    })
}

/// Opens a port over packet sockets.
///
/// # Errors
/// Too few sockets, no such device in their namespace, or what the system said. The sockets are closed
/// then.
pub fn open_handed_nic(spec: HandedNic) -> Result<OpenedPort, PortError> {
    let fail = |error: io::Error| PortError::new(&spec.name, BIND, error);
    let needed = sockets_of_nic(spec.workers);
    if spec.sockets.len() < needed {
        let cause = format!(
            "{} packet sockets were handed over, {needed} are needed: two and one for each worker",
            spec.sockets.len()
        );
        return Err(fail(io::Error::other(cause)));
    }
    let ifindex =
        rustix::net::netdevice::name_to_index(&spec.sockets[0], &spec.name).map_err(|errno| {
            match errno {
                rustix::io::Errno::NODEV => PortError::new(&spec.name, BIND, PortCause::Missing),
                errno => fail(errno.into()),
            }
        })?;
    let mut sockets = spec.sockets.into_iter();
    let mut next = || sockets.next().ok_or_else(|| io::ErrorKind::NotFound.into());
    let rx = PacketRx::open(ifindex, 1, RING_SLOTS, SLOT_BYTES, &mut next).map_err(fail)?;
    let mut memory: usize = rx.iter().map(PacketRx::memory_bytes).sum();
    let mut tx: Vec<Box<dyn PortTx>> = Vec::new();
    for _ in 0..spec.workers {
        let handle = next()
            .and_then(|socket| NicTx::open(ifindex, None, socket))
            .map_err(fail)?;
        memory += handle.memory_bytes();
        tx.push(Box::new(handle));
    }
    let memory = u64::try_from(memory).unwrap_or(u64::MAX);
    let mut facts = facts(spec.name, spec.mac, spec.mtu, memory, "ring");
    facts.ifindex = ifindex;
    Ok(OpenedPort {
        rx: rx.into_iter().map(|rx| Box::new(rx) as _).collect(),
        tx,
        facts,
        keep: PortKeep(Keep::Handed(HandedKeep { queue: None })),
        warnings: Vec::new(),
    })
}

fn facts(
    name: String,
    mac: Option<MacAddr>,
    mtu: u32,
    memory_bytes: u64,
    method: &'static str,
) -> PortFacts {
    PortFacts {
        name,
        ifindex: 0,
        mac,
        mtu,
        carrier: true,
        speed_mbps: None,
        memory_bytes,
        method,
    }
}

/// What is held of a device that was handed over.
#[derive(Debug)]
pub(crate) struct HandedKeep {
    /// A queue of a TAP.
    queue: Option<OwnedFd>,
}

impl HandedKeep {
    /// A TAP goes with its last descriptor from now on, also one that was to outlive the switch.
    pub(crate) fn make_mortal(&self) -> Result<(), PortError> {
        let Some(queue) = &self.queue else {
            return Ok(());
        };
        match tun::set_persistent(queue.as_fd(), false) {
            // It went with its namespace.
            Err(error) if error.raw_os_error() == Some(libc::EBADFD) => Ok(()),
            other => other.map_err(|error| PortError::new("TAP", "let go of the device", error)),
        }
    }
}
