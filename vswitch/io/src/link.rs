//! Network devices as the kernel lists them, and the changes that ports need: up and down, MTU, MAC,
//! another namespace, deletion.
//!
//! Every function speaks to the network namespace of the calling thread and waits for the kernel, which
//! may hold its device lock for long: effects thread, never a worker or the control loop. Changes of a
//! link are told by [`crate::monitor::LinkMonitor`].

use crate::netlink::{self, Message, Request, Socket};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use vswitch_base::MacAddr;

pub(crate) const RTM_NEWLINK: u16 = 16;
pub(crate) const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;

const IFINFO_LEN: usize = 16;
const IFF_UP: u32 = 1;
const IFF_LOOPBACK: u32 = 1 << 3;
const IFF_PROMISC: u32 = 1 << 8;
const IFF_LOWER_UP: u32 = 1 << 16;
/// RTEXT_FILTER_SKIP_STATS: an answer without counters.
const SKIP_STATS: u32 = 1 << 3;
/// `ifi_type` of Ethernet.
const ARPHRD_ETHER: u16 = 1;
/// Where `tx_dropped` is in `struct rtnl_link_stats64`: the eighth counter.
const STATS64_TX_DROPPED: usize = 7 * 8;

/// A network device.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Link {
    /// The number that stays when the device is renamed.
    pub ifindex: u32,
    /// Its name now.
    pub name: String,
    /// `veth`, `tun`, `bridge`, …; `None` for a physical device.
    pub kind: Option<String>,
    /// The kind that the device plays for its master (`bridge`, `bond`), when it has one.
    pub port_kind: Option<String>,
    /// Interface index of the kernel bridge, bond or team above it.
    pub master: Option<u32>,
    /// Its address, when it has one of six bytes.
    pub mac: Option<MacAddr>,
    /// The address burnt in, where the device has one.
    pub permanent_mac: Option<MacAddr>,
    /// Payload bytes after the Ethernet header.
    pub mtu: u32,
    /// The largest MTU that the driver takes; 0 where it does not say.
    pub max_mtu: u32,
    /// Frames that wait at most for the device to send them (`txqueuelen`).
    pub tx_queue: u32,
    /// Switched on by the administrator.
    pub up: bool,
    /// The cable is in, or the peer is up. Always `false` while the device is down.
    pub carrier: bool,
    /// Receives what is addressed to others, asked for by anybody.
    pub promiscuous: bool,
    /// How many asked for it.
    pub promiscuity: u32,
    /// The loopback device.
    pub loopback: bool,
    /// An Ethernet device.
    pub ethernet: bool,
    /// Frames that the device had no room for.
    pub tx_dropped: u64,
    /// The mark that somebody gave it.
    pub alias: Option<String>,
    /// The device has a peer or lower device in another namespace, by the kernel's number for it.
    pub link_netnsid: Option<u32>,
}

impl Link {
    /// Decodes the payload of RTM_NEWLINK or RTM_DELLINK; `None` for messages that are not about the
    /// device itself, such as its state as a bridge port.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let family = *payload.first()?;
        if i32::from(family) != libc::AF_UNSPEC {
            return None;
        }
        let device_type = netlink::u16_at(payload, 2)?;
        let ifindex = netlink::u32_at(payload, 4)?;
        let flags = netlink::u32_at(payload, 8)?;
        let mut link = Self {
            ifindex,
            name: String::new(),
            kind: None,
            port_kind: None,
            master: None,
            mac: None,
            permanent_mac: None,
            mtu: 0,
            max_mtu: 0,
            tx_queue: 0,
            up: flags & IFF_UP != 0,
            carrier: flags & IFF_LOWER_UP != 0,
            promiscuous: flags & IFF_PROMISC != 0,
            promiscuity: 0,
            loopback: flags & IFF_LOOPBACK != 0,
            ethernet: device_type == ARPHRD_ETHER,
            tx_dropped: 0,
            alias: None,
            link_netnsid: None,
        };
        for (kind, value) in netlink::attributes(payload.get(IFINFO_LEN..)?) {
            link.take(kind, value);
        }
        Some(link)
    }

    fn take(&mut self, kind: u16, value: &[u8]) {
        let number = netlink::u32_at(value, 0);
        match kind {
            libc::IFLA_IFNAME => self.name = netlink::text(value),
            libc::IFLA_ADDRESS => self.mac = mac(value),
            libc::IFLA_PERM_ADDRESS => self.permanent_mac = mac(value),
            libc::IFLA_MTU => self.mtu = number.unwrap_or(0),
            libc::IFLA_TXQLEN => self.tx_queue = number.unwrap_or(0),
            libc::IFLA_MAX_MTU => self.max_mtu = number.unwrap_or(0),
            libc::IFLA_MASTER => self.master = number.filter(|&master| master != 0),
            libc::IFLA_PROMISCUITY => self.promiscuity = number.unwrap_or(0),
            libc::IFLA_IFALIAS => self.alias = Some(netlink::text(value)),
            libc::IFLA_LINK_NETNSID => self.link_netnsid = number,
            libc::IFLA_STATS64 => {
                self.tx_dropped = netlink::u64_at(value, STATS64_TX_DROPPED).unwrap_or(0);
            }
            libc::IFLA_LINKINFO => {
                for (kind, value) in netlink::attributes(value) {
                    match kind {
                        libc::IFLA_INFO_KIND => self.kind = Some(netlink::text(value)),
                        libc::IFLA_INFO_SLAVE_KIND => self.port_kind = Some(netlink::text(value)),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

fn mac(value: &[u8]) -> Option<MacAddr> {
    if value.len() == 6 {
        MacAddr::from_prefix(value)
    } else {
        None
    }
}

/// The fixed part of a link message about `ifindex` with the bits of `change` set to those of `flags`.
fn ifinfo(ifindex: u32, flags: u32, change: u32) -> [u8; IFINFO_LEN] {
    let mut bytes = [0; IFINFO_LEN];
    bytes[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&change.to_ne_bytes());
    bytes
}

fn newlink(message: &Message<'_>) -> Option<Link> {
    if message.kind == RTM_NEWLINK {
        Link::parse(message.payload)
    } else {
        None
    }
}

/// All devices of this namespace.
///
/// # Errors
/// What netlink answered.
pub fn list() -> io::Result<Vec<Link>> {
    let mut links = Vec::new();
    dump(&mut Socket::route()?, &mut links)?;
    Ok(links)
}

/// Appends all devices to `links`.
pub(crate) fn dump(socket: &mut Socket, links: &mut Vec<Link>) -> io::Result<()> {
    let build = |request: &mut Request| {
        request.fixed(&ifinfo(0, 0, 0));
    };
    socket.dump(RTM_GETLINK, build, |message| links.extend(newlink(message)))
}

/// The device with this name; `None` when there is none.
///
/// # Errors
/// What netlink answered; `InvalidInput` for a name that no interface can have.
pub fn by_name(name: &str) -> io::Result<Option<Link>> {
    crate::sys::ifreq::name_bytes(name)?;
    get(0, Some(name))
}

/// The device with this index; `None` when there is none.
///
/// # Errors
/// What netlink answered.
pub fn by_index(ifindex: u32) -> io::Result<Option<Link>> {
    get(ifindex, None)
}

fn get(ifindex: u32, name: Option<&str>) -> io::Result<Option<Link>> {
    let build = |request: &mut Request| {
        request.fixed(&ifinfo(ifindex, 0, 0));
        if let Some(name) = name {
            request.string(libc::IFLA_IFNAME, name);
        }
    };
    match Socket::route()?.ask(RTM_GETLINK, build, newlink) {
        Ok(link) => Ok(Some(link)),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the device has a carrier; `None` when there is none with this index.
pub(crate) fn carrier(socket: &mut Socket, ifindex: u32) -> io::Result<Option<bool>> {
    let build = |request: &mut Request| {
        request
            .fixed(&ifinfo(ifindex, 0, 0))
            // Counters may take a driver long.
            .attribute(libc::IFLA_EXT_MASK, &SKIP_STATS.to_ne_bytes());
    };
    match socket.ask(RTM_GETLINK, build, newlink) {
        Ok(link) => Ok(Some(link.carrier)),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Switches a device on or off.
///
/// # Errors
/// `ENODEV`, `EPERM`, or what the driver says.
pub fn set_up(ifindex: u32, up: bool) -> io::Result<()> {
    set(ifindex, if up { IFF_UP } else { 0 }, IFF_UP, |_| {})
}

/// Sets the MTU: payload bytes after the Ethernet header.
///
/// # Errors
/// `EINVAL` outside what the driver takes.
pub fn set_mtu(ifindex: u32, mtu: u32) -> io::Result<()> {
    set(ifindex, 0, 0, |request| {
        request.attribute(libc::IFLA_MTU, &mtu.to_ne_bytes());
    })
}

/// Sets how many frames may wait for the device to send them (`txqueuelen`): its queueing discipline takes
/// the number, and a TAP makes the queue to its reader that long.
///
/// # Errors
/// `ENOMEM` for a TAP's queue that the kernel has no memory for.
pub fn set_tx_queue(ifindex: u32, frames: u32) -> io::Result<()> {
    set(ifindex, 0, 0, |request| {
        request.attribute(libc::IFLA_TXQLEN, &frames.to_ne_bytes());
    })
}

/// Sets the address.
///
/// # Errors
/// `EADDRNOTAVAIL` for a multicast address, `EBUSY` where the device must be down for it.
pub fn set_mac(ifindex: u32, mac: MacAddr) -> io::Result<()> {
    set(ifindex, 0, 0, |request| {
        request.attribute(libc::IFLA_ADDRESS, &mac.0);
    })
}

/// Moves a device into another namespace, as `name` there. It arrives switched off and without its
/// addresses; descriptors of a TAP stay valid.
///
/// # Errors
/// `EEXIST` when the name is taken there, `EINVAL` for a device that is tied to its namespace.
pub fn move_to_netns(ifindex: u32, netns: impl AsFd, name: &str) -> io::Result<()> {
    crate::sys::ifreq::name_bytes(name)?;
    let fd = netns.as_fd().as_raw_fd();
    set(ifindex, 0, 0, |request| {
        request.attribute(libc::IFLA_NET_NS_FD, &fd.to_ne_bytes());
        request.string(libc::IFLA_IFNAME, name);
    })
}

fn set(ifindex: u32, flags: u32, change: u32, build: impl FnOnce(&mut Request)) -> io::Result<()> {
    Socket::route()?.transact(RTM_SETLINK, 0, |request| {
        request.fixed(&ifinfo(ifindex, flags, change));
        build(request);
    })
}

/// Creates a veth pair: `name` here, `peer_name` here or in `peer_netns`. Both ends are down.
///
/// # Errors
/// `EEXIST` when a name is taken, `EOPNOTSUPP` without the veth driver.
pub fn add_veth(name: &str, peer_name: &str, peer_netns: Option<&crate::NetNs>) -> io::Result<()> {
    new_veth(
        name,
        |_| {},
        peer_name,
        |peer| {
            if let Some(netns) = peer_netns {
                let fd = netns.as_fd().as_raw_fd();
                peer.attribute(libc::IFLA_NET_NS_FD, &fd.to_ne_bytes());
            }
        },
    )
}

/// Creates a veth pair by one request, each end with the attributes that its function adds.
///
/// # Errors
/// As [`add_veth`], and what the attributes lead to.
pub(crate) fn new_veth(
    name: &str,
    here: impl FnOnce(&mut Request),
    peer_name: &str,
    there: impl FnOnce(&mut Request),
) -> io::Result<()> {
    /// The peer's link message inside the veth's own.
    const VETH_INFO_PEER: u16 = 1;
    crate::sys::ifreq::name_bytes(name)?;
    crate::sys::ifreq::name_bytes(peer_name)?;
    let flags = netlink::flag::CREATE | netlink::flag::EXCL;
    Socket::route()?.transact(RTM_NEWLINK, flags, |request| {
        request
            .fixed(&ifinfo(0, 0, 0))
            .string(libc::IFLA_IFNAME, name);
        here(request);
        request.nested(libc::IFLA_LINKINFO, |info| {
            info.string(libc::IFLA_INFO_KIND, "veth")
                .nested(libc::IFLA_INFO_DATA, |data| {
                    data.nested(VETH_INFO_PEER, |peer| {
                        peer.fixed(&ifinfo(0, 0, 0))
                            .string(libc::IFLA_IFNAME, peer_name);
                        there(peer);
                    });
                });
        });
    })
}

/// Deletes a device; one that is gone already is a success.
///
/// # Errors
/// `EOPNOTSUPP` for a physical device, `EPERM`.
pub fn delete(ifindex: u32) -> io::Result<()> {
    let deleted = Socket::route()?.transact(RTM_DELLINK, 0, |request| {
        request.fixed(&ifinfo(ifindex, 0, 0));
    });
    match deleted {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        other => other,
    }
}
