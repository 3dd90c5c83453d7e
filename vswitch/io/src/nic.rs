//! `nic` ports: an existing device (a NIC, a veth end, a TAP's netdev) that the switch takes over.
//!
//! While a device is ours it is up, has generic receive offload on and large receive offload off, has no
//! IPv6 of its own, and its frames do not reach the host's stack. What it was before is in
//! [`DeviceBefore`], which the daemon writes down: after a crash the next run passes it in again, so that
//! in the end the device is as it was before the first. Everything is put back when the port is closed.
//!
//! Refused: a device that is missing, the loopback, a kernel bridge or bond, or a port of one.
//! Effects thread only: drivers may take seconds.

use crate::addr::{self, IpPrefix};
use crate::af_packet::{PacketRx, RING_SLOTS, SLOT_BYTES};
use crate::error::{PortCause, PortError};
use crate::link::{self, Link};
use crate::nft::IngressGuard;
use crate::nic_tx::NicTx;
use crate::port::{Keep, OpenedPort, PortFacts, PortKeep};
use crate::sys::ethtool::Ethtool;
use crate::sys::packet;
use crate::sys::xdp::XdpSender;
use crate::sysctl;
use serde::{Deserialize, Serialize};
use std::io;
use vswitch_core::port::{PortRx, PortTx};

const TAKE: &str = "take the device";
const RESTORE: &str = "give the device back as it was";

/// Which device to open and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NicSpec {
    /// The device's name.
    pub name: String,
    /// Receive queues, 1 to 64; several share the device's flows by hash.
    pub queues: u16,
    /// How many workers send on the port.
    pub workers: u16,
    /// Slots of each queue's ring; rounded up to what fits the memory that the kernel takes anyway.
    pub ring_slots: u32,
    /// Bytes of a slot. Below 67,584 a segmentation-offload frame can be too long and is dropped.
    pub slot_bytes: u32,
    /// The MTU to give the device while it is ours; `None` leaves it.
    pub mtu: Option<u32>,
    /// Switch generic receive offload on.
    pub gro: bool,
    /// Keep the host's own stack off the device.
    pub isolate: bool,
    /// What the device was before an earlier run took it, when that run could not put it back.
    pub before: Option<DeviceBefore>,
}

impl NicSpec {
    /// The usual way to open `name`: one queue, one worker, host kept off.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            queues: 1,
            workers: 1,
            ring_slots: RING_SLOTS,
            slot_bytes: SLOT_BYTES,
            mtu: None,
            gro: true,
            isolate: true,
            before: None,
        }
    }
}

/// What a device was before it was taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceBefore {
    /// Its number, by which it is found again even when renamed.
    pub ifindex: u32,
    /// Its name then.
    pub name: String,
    /// Its address then: a device of this number with another name and address is another device.
    pub mac: Option<[u8; 6]>,
    /// Switched on.
    pub up: bool,
    /// Payload bytes after the Ethernet header.
    pub mtu: u32,
    /// Frames that wait at most for the device; `None` where an earlier version did not write it down.
    #[serde(default)]
    pub tx_queue: Option<u32>,
    /// Generic receive offload; `None` where the device has no such switch.
    pub gro: Option<bool>,
    /// Large receive offload; `None` where the device has no such switch.
    pub lro: Option<bool>,
    /// IPv6 switched off on it; `None` where the kernel has no IPv6.
    pub disable_ipv6: Option<bool>,
    /// Its IPv6 addresses but the link-local ones: switching IPv6 off removes them.
    #[serde(default)]
    pub ipv6_addresses: Vec<IpPrefix>,
}

impl DeviceBefore {
    fn of(link: &Link, ethtool: &Ethtool) -> io::Result<Self> {
        let ipv6_addresses = addr::list(link.ifindex)?
            .into_iter()
            .filter(|prefix| match prefix.addr {
                std::net::IpAddr::V4(_) => false,
                std::net::IpAddr::V6(addr) => !addr.is_unicast_link_local(),
            })
            .collect();
        Ok(Self {
            ifindex: link.ifindex,
            name: link.name.clone(),
            mac: link.mac.map(|mac| mac.0),
            up: link.up,
            mtu: link.mtu,
            tx_queue: Some(link.tx_queue),
            gro: ethtool.gro(&link.name).ok(),
            lro: ethtool.lro(&link.name).ok(),
            disable_ipv6: sysctl::ipv6_disabled(&link.name)?,
            ipv6_addresses,
        })
    }

    /// Whether `link` is the device described.
    #[must_use]
    pub fn is_of(&self, link: &Link) -> bool {
        self.ifindex == link.ifindex
            && (self.name == link.name
                || (self.mac.is_some() && self.mac == link.mac.map(|mac| mac.0)))
    }
}

/// Opens a device as a port.
///
/// # Errors
/// [`PortError`] with a hint: missing, refused, no permission, or what the system said. The device is
/// then as it was.
pub fn open_nic(spec: &NicSpec) -> Result<OpenedPort, PortError> {
    let (mut keep, mut warnings) = take(spec)?;
    let ifindex = keep.before.ifindex;
    let opened = open_queues(spec, ifindex, &mut warnings);
    let (rx, tx, memory_bytes) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            keep.put_back(&mut |_| {});
            return Err(PortError::new(
                &spec.name,
                "open packet sockets",
                unsupported(error),
            ));
        }
    };
    let link = find(&spec.name, ifindex)?;
    let speed_mbps = Ethtool::open()
        .ok()
        .and_then(|ethtool| ethtool.speed_mbps(&link.name));
    if link.mtu + 18 > spec.slot_bytes {
        warnings.push(format!(
            "port {}: ring slots of {} bytes cannot hold frames of MTU {}: longer ones are dropped",
            spec.name, spec.slot_bytes, link.mtu
        ));
    }
    let facts = PortFacts {
        name: link.name,
        ifindex,
        mac: link.mac,
        mtu: link.mtu,
        carrier: link.carrier,
        speed_mbps,
        memory_bytes,
        method: "ring",
    };
    Ok(OpenedPort {
        rx,
        tx,
        facts,
        keep: PortKeep(Keep::Nic(keep)),
        warnings,
    })
}

type Queues = (Vec<Box<dyn PortRx>>, Vec<Box<dyn PortTx>>, u64);

fn open_queues(spec: &NicSpec, ifindex: u32, warnings: &mut Vec<String>) -> io::Result<Queues> {
    let mut memory = 0;
    let mut rx: Vec<Box<dyn PortRx>> = Vec::new();
    for queue in PacketRx::open(
        ifindex,
        spec.queues.clamp(1, 64),
        spec.ring_slots,
        spec.slot_bytes,
        &mut packet::open,
    )? {
        memory += queue.memory_bytes();
        rx.push(Box::new(queue));
    }
    let mut tx: Vec<Box<dyn PortTx>> = Vec::new();
    let plain = XdpSender::open(ifindex, usize::from(spec.workers)).unwrap_or_else(|error| {
        warnings.push(format!(
            "port {}: every frame is sent through a packet socket, which costs more: no AF_XDP ({error})",
            spec.name
        ));
        Vec::new()
    });
    let mut plain = plain.into_iter();
    for _ in 0..spec.workers {
        let handle = NicTx::open(ifindex, plain.next(), packet::open()?)?;
        memory += handle.memory_bytes();
        tx.push(Box::new(handle));
    }
    Ok((rx, tx, u64::try_from(memory).unwrap_or(u64::MAX)))
}

fn unsupported(error: io::Error) -> PortCause {
    match error.raw_os_error() {
        Some(libc::ENOPROTOOPT) => PortCause::Unsupported {
            feature: "packet sockets with PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING and TPACKET_V2",
        },
        _ => PortCause::Os(error),
    }
}

/// Puts a device back as `before` says. A device that is gone, or whose number another device has now,
/// is a success: there is nothing to restore.
///
/// # Errors
/// The first thing that could not be put back; everything else was.
pub fn restore(before: &DeviceBefore) -> Result<(), PortError> {
    let mut first = None;
    restore_each(before, &mut |error| {
        first.get_or_insert(error);
    });
    first.map_or(Ok(()), |error| {
        Err(PortError::new(&before.name, RESTORE, error))
    })
}

/// Keeps a device ours.
#[derive(Debug)]
pub(crate) struct NicKeep {
    before: DeviceBefore,
    guard: Option<IngressGuard>,
    /// Whether there is anything left to put back.
    held: bool,
}

impl NicKeep {
    pub(crate) const fn before(&self) -> &DeviceBefore {
        &self.before
    }

    pub(crate) const fn is_isolated(&self) -> bool {
        self.guard.is_some()
    }

    pub(crate) fn close(mut self) -> Result<(), PortError> {
        let mut first = None;
        self.put_back(&mut |error| {
            first.get_or_insert(error);
        });
        first.map_or(Ok(()), |error| {
            Err(PortError::new(&self.before.name, RESTORE, error))
        })
    }

    pub(crate) fn leave(mut self) {
        self.held = false;
    }

    fn put_back(&mut self, failed: &mut dyn FnMut(io::Error)) {
        if std::mem::take(&mut self.held) {
            restore_each(&self.before, failed);
            // Last, so that the host's stack does not answer on a device that is still promiscuous.
            self.guard = None;
        }
    }
}

impl Drop for NicKeep {
    fn drop(&mut self) {
        self.put_back(&mut |_| {});
    }
}

/// Makes a device ours, apart from its sockets.
fn take(spec: &NicSpec) -> Result<(NicKeep, Vec<String>), PortError> {
    let name = spec.name.as_str();
    let fail = |error: io::Error| PortError::new(name, TAKE, error);
    let Some(link) = link::by_name(name).map_err(fail)? else {
        return Err(PortError::new(name, TAKE, PortCause::Missing));
    };
    refuse(&link).map_err(|cause| PortError::new(name, TAKE, cause))?;

    let ethtool = Ethtool::open().map_err(fail)?;
    let before = match &spec.before {
        Some(before) if before.is_of(&link) => before.clone(),
        _ => DeviceBefore::of(&link, &ethtool).map_err(fail)?,
    };
    // From here on an error puts everything back, by the drop of `keep`.
    let mut keep = NicKeep {
        before,
        guard: None,
        held: true,
    };
    let mut warnings = Vec::new();
    if spec.isolate {
        isolate(&link, &mut keep, &mut warnings);
    }
    if let Some(mtu) = spec.mtu.filter(|&mtu| mtu != link.mtu) {
        link::set_mtu(link.ifindex, mtu)
            .map_err(|error| PortError::new(name, "set the MTU", error))?;
    }
    offloads(spec, &ethtool, &mut warnings);
    link::set_up(link.ifindex, true)
        .map_err(|error| PortError::new(name, "switch the device on", error))?;
    Ok((keep, warnings))
}

/// What must not become a port.
fn refuse(link: &Link) -> Result<(), PortCause> {
    if link.loopback {
        return Err(PortCause::Loopback);
    }
    if !link.ethernet {
        return Err(PortCause::NotEthernet);
    }
    if let Some(master) = link.master {
        let above = link::by_index(master)?;
        let (master, kind) = above.map_or_else(
            || (format!("interface {master}"), None),
            |above| (above.name, above.kind),
        );
        // A VRF is a routing domain, not a switch; but its members belong to the host as well.
        let kind = kind
            .or_else(|| link.port_kind.clone())
            .unwrap_or_else(|| "master".to_owned());
        return Err(PortCause::PortOf { master, kind });
    }
    match link.kind.as_deref() {
        Some(kind @ ("bridge" | "bond" | "team" | "vrf")) => Err(PortCause::Master {
            kind: kind.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Keeps the host's stack off the device, as far as the kernel lets us.
fn isolate(link: &Link, keep: &mut NicKeep, warnings: &mut Vec<String>) {
    let name = link.name.as_str();
    match IngressGuard::new(name, link.ifindex) {
        Ok(guard) => keep.guard = Some(guard),
        Err(error) => warnings.push(format!(
            "port {name}: the kernel's own stack still sees the frames of this device, because no \
             nftables ingress chain could be made ({error}); give the device no addresses"
        )),
    }
    if keep.before.disable_ipv6 == Some(false)
        && let Err(error) = sysctl::set_ipv6_disabled(name, true)
    {
        warnings.push(format!(
            "port {name}: the kernel may send IPv6 frames of its own on this device, because IPv6 \
             could not be switched off on it ({error})"
        ));
    }
    match addr::list(link.ifindex) {
        Ok(addresses) => {
            let usable: Vec<String> = addresses
                .iter()
                .filter(|prefix| prefix.addr.is_ipv4())
                .chain(&keep.before.ipv6_addresses)
                .map(IpPrefix::to_string)
                .collect();
            if !usable.is_empty() {
                warnings.push(format!(
                    "port {name}: the host cannot use its addresses on this device ({}) while the \
                     switch has it; put them on a host port",
                    usable.join(", ")
                ));
            }
        }
        Err(error) => warnings.push(format!("port {name}: addresses unknown ({error})")),
    }
}

/// Receive offloads: merged frames that can be cut again are welcome, others are not.
fn offloads(spec: &NicSpec, ethtool: &Ethtool, warnings: &mut Vec<String>) {
    let name = spec.name.as_str();
    if spec.gro
        && ethtool.gro(name).is_ok_and(|on| !on)
        && let Err(error) = ethtool.set_gro(name, true)
    {
        warnings.push(format!(
            "port {name}: generic receive offload could not be switched on ({error}); TCP from \
             senders without segmentation offload is slower"
        ));
    }
    if ethtool.lro(name).is_ok_and(|on| on)
        && let Err(error) = ethtool.set_lro(name, false)
    {
        warnings.push(format!(
            "port {name}: large receive offload could not be switched off ({error}); frames that \
             the device merged may not be forwarded whole"
        ));
    }
}

/// Puts everything back that differs, and passes each error on.
fn restore_each(before: &DeviceBefore, failed: &mut dyn FnMut(io::Error)) {
    let link = match link::by_index(before.ifindex) {
        Ok(Some(link)) if before.is_of(&link) => link,
        Ok(_) => return,
        Err(error) => return failed(error),
    };
    let name = link.name.as_str();
    let mut check = |result: io::Result<()>| {
        if let Err(error) = result {
            failed(error);
        }
    };
    match Ethtool::open() {
        Ok(ethtool) => {
            if let Some(gro) = before
                .gro
                .filter(|&gro| ethtool.gro(name).ok() != Some(gro))
            {
                check(ethtool.set_gro(name, gro));
            }
            if let Some(lro) = before
                .lro
                .filter(|&lro| ethtool.lro(name).ok() != Some(lro))
            {
                check(ethtool.set_lro(name, lro));
            }
        }
        Err(error) => check(Err(error)),
    }
    if link.mtu != before.mtu {
        check(link::set_mtu(link.ifindex, before.mtu));
    }
    if let Some(frames) = before.tx_queue
        && frames != link.tx_queue
    {
        check(link::set_tx_queue(link.ifindex, frames));
    }
    if link.up != before.up {
        check(link::set_up(link.ifindex, before.up));
    }
    if let Some(disabled) = before.disable_ipv6
        && sysctl::ipv6_disabled(name).is_ok_and(|now| now != Some(disabled))
    {
        check(sysctl::set_ipv6_disabled(name, disabled));
        for &prefix in &before.ipv6_addresses {
            check(addr::add(link.ifindex, prefix));
        }
    }
}

fn find(name: &str, ifindex: u32) -> Result<Link, PortError> {
    match link::by_index(ifindex) {
        Ok(Some(link)) => Ok(link),
        Ok(None) => Err(PortError::new(name, TAKE, PortCause::Gone)),
        Err(error) => Err(PortError::new(name, TAKE, error)),
    }
}
