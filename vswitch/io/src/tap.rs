//! `tap` and `host` ports: a TAP that the switch makes and whose descriptor it holds.
//!
//! What a guest or the host's stack sends on the device is read from the descriptor with its virtio-net
//! header, so that partial checksums and 64 KB segmentation frames arrive whole; what we write there is
//! received by it. A `host` port is a TAP with addresses ([`crate::addr`]).
//!
//! Received by io_uring (1.5 times the rate of plain reads) or, where the kernel has none or forbids it,
//! by `read` and `writev`. A TAP that is to live in another network namespace is made there: its name
//! need not be free here, and it is never seen half configured.
//!
//! **Several queues.** The device spreads flows over them by a hash of addresses and ports that is the same
//! for both directions. The kernel would override that for flows that were written to it: their answers
//! would come by the queue that was written to last, and so change queue, and could overtake each other,
//! whenever another worker begins to write a flow. So workers write to queues of their own that are
//! detached: the device hands no frames to those and learns nothing from them.
//!
//! A device that is deleted makes every `receive` return `EBADFD`. Frames that the device dropped because
//! we were slow are in [`crate::link::Link::tx_dropped`], not in `take_losses`: asking for them can wait
//! on the kernel's device lock, which a worker must not. Opening is for the effects thread.

use crate::error::{PortCause, PortError};
use crate::link::{self, Link};
use crate::port::{Keep, OpenedPort, PortFacts, PortKeep};
use crate::sys::netns::NetNs;
use crate::sys::tun;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use vswitch_base::MacAddr;
use vswitch_core::port::{PortRx, PortTx};

mod plain;
mod ring;

use plain::{PlainRx, PlainTx};
use ring::{UringRx, UringTx};

const CREATE: &str = "create the TAP";
const CONFIGURE: &str = "configure the TAP";
/// Most bytes of one read: virtio-net header, Ethernet header with tags, 64 KB of segments.
const READ_BYTES: u32 = 67_584;
/// Buffers of a queue that reads by io_uring: 2.1 MiB of address space, of which only pages that a frame
/// reached take memory. Twice as many measured no faster.
const READ_BUFFERS: u16 = 32;
/// Queues that the kernel lets a device have, detached ones included.
const QUEUES_MAX: u16 = 256;

/// How a TAP's frames are read and written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TapMethod {
    /// io_uring where it works, else plain system calls.
    #[default]
    Auto,
    /// io_uring, or an error.
    Uring,
    /// `read` and `writev`.
    Plain,
}

/// Which TAP to make and how.
#[derive(Clone, Debug)]
pub struct TapSpec {
    /// The device's name, where it will live.
    pub name: String,
    /// Its address; `None` leaves the kernel's choice, or what a device that exists has.
    pub mac: Option<MacAddr>,
    /// Payload bytes after the Ethernet header; `None` leaves 1,500, or what a device that exists has.
    pub mtu: Option<u32>,
    /// Queues, 1 to 255. A guest that opens the TAP must agree that there are several.
    pub queues: u16,
    /// How many workers send on the port.
    pub workers: u16,
    /// The device stays when the switch ends. One that exists already is attached to and always stays.
    pub persistent: bool,
    /// User that may attach to the device.
    pub owner: Option<u32>,
    /// Group that may attach to the device.
    pub group: Option<u32>,
    /// The namespace that the device lives in; `None` for the caller's.
    pub netns: Option<NetNs>,
    /// Switch the device on.
    pub up: bool,
    /// How frames are moved.
    pub method: TapMethod,
}

impl TapSpec {
    /// The usual TAP: one queue, one worker, on, gone with the switch.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            mac: None,
            mtu: None,
            queues: 1,
            workers: 1,
            persistent: false,
            owner: None,
            group: None,
            netns: None,
            up: true,
            method: TapMethod::Auto,
        }
    }
}

/// Makes a TAP, or attaches to a persistent one, and opens it as a port.
///
/// # Errors
/// [`PortError`] with a hint: name taken by another device, busy, no permission, no tun driver, or what
/// the system said. A device that was made is gone again.
pub fn open_tap(spec: &TapSpec) -> Result<OpenedPort, PortError> {
    let made = match &spec.netns {
        None => make(spec),
        Some(netns) => netns
            .run(|| Ok(make(spec)))
            .map_err(|error| PortError::new(&spec.name, "enter the network namespace", error))?,
    };
    let Made {
        queues,
        writers,
        link,
        existed,
        mut warnings,
    } = made?;
    let fail = |error: io::Error| PortError::new(&spec.name, "open the TAP's queues", error);
    let keep = TapKeep {
        ifindex: link.ifindex,
        name: link.name.clone(),
        netns: spec.netns.clone(),
        remove: !existed && !spec.persistent,
        queue: queues[0].try_clone().map_err(fail)?,
    };
    let opened = open_queues(spec, &queues, &writers, &mut warnings).map_err(fail)?;
    let (rx, tx, memory_bytes, method) = opened;
    let facts = PortFacts {
        name: link.name,
        ifindex: link.ifindex,
        mac: link.mac,
        mtu: link.mtu,
        carrier: link.carrier,
        speed_mbps: None,
        memory_bytes,
        method,
    };
    Ok(OpenedPort {
        rx,
        tx,
        facts,
        keep: PortKeep(Keep::Tap(keep)),
        warnings,
    })
}

struct Made {
    queues: Vec<OwnedFd>,
    /// To write to; empty where there is one queue for both.
    writers: Vec<OwnedFd>,
    link: Link,
    existed: bool,
    warnings: Vec<String>,
}

/// Makes and configures the device in the network namespace of the calling thread.
fn make(spec: &TapSpec) -> Result<Made, PortError> {
    let name = spec.name.as_str();
    let create = |error: io::Error| PortError::new(name, CREATE, error);
    let found = link::by_name(name).map_err(create)?;
    let existed = found.is_some();
    if let Some(found) = &found
        && found.kind.as_deref() != Some("tun")
    {
        let kind = found.kind.clone().unwrap_or_else(|| "physical".to_owned());
        return Err(PortError::new(name, CREATE, PortCause::NameTaken { kind }));
    }
    let count = spec.queues.clamp(1, QUEUES_MAX - 1);
    let open = || {
        let opened = tun::open_queue(name, count > 1);
        opened.map(|(queue, _)| queue).map_err(|error| match error {
            error if error.raw_os_error() == Some(libc::ENOENT) => {
                PortError::new(name, CREATE, PortCause::Unsupported { feature: "tun driver" })
            }
            error if existed && error.raw_os_error() == Some(libc::EINVAL) => {
                let cause = io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "a TUN or TAP of this name exists with other flags (queues, packet information)",
                );
                PortError::new(name, CREATE, cause)
            }
            error => create(error),
        })
    };
    let mut queues = vec![open()?];
    let mut writers = Vec::new();
    if count > 1 {
        // Each is the device's second queue until it is detached: what is written there counts as
        // received by that one, which exists.
        for _ in 0..spec.workers.min(QUEUES_MAX - count) {
            let writer = open()?;
            tun::detach_queue(writer.as_fd()).map_err(create)?;
            writers.push(writer);
        }
    }
    for _ in 1..count {
        queues.push(open()?);
    }
    let mut warnings = Vec::new();
    let link = configure(spec, queues[0].as_fd(), existed, &mut warnings)
        .map_err(|error| PortError::new(name, CONFIGURE, error))?;
    let Some(link) = link else {
        return Err(PortError::new(name, CREATE, PortCause::Gone));
    };
    Ok(Made {
        queues,
        writers,
        link,
        existed,
        warnings,
    })
}

/// Has the device leave to us what it can: checksums and segmentation.
pub(crate) fn take_offloads(
    port: &str,
    queue: BorrowedFd<'_>,
    warnings: &mut Vec<String>,
) -> io::Result<()> {
    if tun::set_offloads(queue, tun::OFFLOADS_ALL).is_err() {
        tun::set_offloads(queue, tun::OFFLOADS_TCP)?;
        warnings.push(format!(
            "port {port}: this kernel does not hand over UDP segmentation offload (Linux 6.2 does)",
        ));
    }
    Ok(())
}

fn configure(
    spec: &TapSpec,
    queue: BorrowedFd<'_>,
    existed: bool,
    warnings: &mut Vec<String>,
) -> io::Result<Option<Link>> {
    take_offloads(&spec.name, queue, warnings)?;
    if let Some(uid) = spec.owner {
        tun::set_owner(queue, uid)?;
    }
    if let Some(gid) = spec.group {
        tun::set_group(queue, gid)?;
    }
    if spec.persistent || !existed {
        tun::set_persistent(queue, spec.persistent)?;
    }
    let Some(link) = link::by_name(&spec.name)? else {
        return Ok(None);
    };
    if let Some(mac) = spec.mac.filter(|&mac| link.mac != Some(mac)) {
        link::set_mac(link.ifindex, mac)?;
    }
    if let Some(mtu) = spec.mtu.filter(|&mtu| link.mtu != mtu) {
        link::set_mtu(link.ifindex, mtu)?;
    }
    if spec.up && !link.up {
        link::set_up(link.ifindex, true)?;
    }
    link::by_index(link.ifindex)
}

pub(crate) type Queues = (
    Vec<Box<dyn PortRx>>,
    Vec<Box<dyn PortTx>>,
    u64,
    &'static str,
);

pub(crate) fn open_queues(
    spec: &TapSpec,
    queues: &[OwnedFd],
    writers: &[OwnedFd],
    warnings: &mut Vec<String>,
) -> io::Result<Queues> {
    let writers = if writers.is_empty() { queues } else { writers };
    if spec.method != TapMethod::Plain {
        match open_uring(spec, queues, writers) {
            Err(error) if spec.method == TapMethod::Auto => warnings.push(format!(
                "port {}: frames are moved by plain system calls, because io_uring is not usable \
                 ({error})",
                spec.name
            )),
            other => return other,
        }
    }
    let mut memory = 0;
    let mut rx: Vec<Box<dyn PortRx>> = Vec::new();
    for queue in queues {
        let queue = PlainRx::new(queue.try_clone()?);
        memory += queue.memory_bytes();
        rx.push(Box::new(queue));
    }
    let mut tx: Vec<Box<dyn PortTx>> = Vec::new();
    for (_, queue) in (0..spec.workers).zip(writers.iter().cycle()) {
        tx.push(Box::new(PlainTx::new(queue.try_clone()?)));
    }
    Ok((rx, tx, u64::try_from(memory).unwrap_or(u64::MAX), "read"))
}

fn open_uring(spec: &TapSpec, queues: &[OwnedFd], writers: &[OwnedFd]) -> io::Result<Queues> {
    let mut memory = 0;
    let mut rx: Vec<Box<dyn PortRx>> = Vec::new();
    for queue in queues {
        let queue = UringRx::new(queue.try_clone()?)?;
        memory += queue.memory_bytes();
        rx.push(Box::new(queue));
    }
    let mut tx: Vec<Box<dyn PortTx>> = Vec::new();
    for (_, queue) in (0..spec.workers).zip(writers.iter().cycle()) {
        memory += UringTx::memory_bytes();
        tx.push(Box::new(UringTx::new(queue.try_clone()?)?));
    }
    Ok((
        rx,
        tx,
        u64::try_from(memory).unwrap_or(u64::MAX),
        "io_uring",
    ))
}

/// Keeps a TAP.
#[derive(Debug)]
pub(crate) struct TapKeep {
    ifindex: u32,
    name: String,
    netns: Option<NetNs>,
    /// Whether the device goes with the port.
    remove: bool,
    /// A device without an open queue has no carrier.
    queue: OwnedFd,
}

impl TapKeep {
    pub(crate) fn close(mut self) -> Result<(), PortError> {
        self.remove()
            .map_err(|error| PortError::new(&self.name, "remove the TAP", error))
    }

    pub(crate) fn set_carrier(&self, on: bool) -> io::Result<()> {
        tun::set_carrier(self.queue.as_fd(), on)
    }

    pub(crate) fn leave(mut self) {
        self.remove = false;
    }

    fn remove(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.remove) {
            return Ok(());
        }
        let (ifindex, name) = (self.ifindex, self.name.as_str());
        let remove = || match link::by_index(ifindex)? {
            // Not one that got the number later, nor one that was moved away and is not ours to find.
            Some(link) if link.name == name && link.kind.as_deref() == Some("tun") => {
                link::delete(ifindex)
            }
            _ => Ok(()),
        };
        match &self.netns {
            None => remove(),
            Some(netns) => netns.run(remove),
        }
    }
}

impl Drop for TapKeep {
    fn drop(&mut self) {
        // The device goes with its last descriptor in any case.
        let _later = self.remove();
    }
}
