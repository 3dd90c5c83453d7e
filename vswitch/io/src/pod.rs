//! What a container's side of a port needs, for whoever may enter its network namespace: devices made in one
//! step with address, MTU and mark; routes; frames that announce a station.
//!
//! Every function speaks to the namespace of the calling thread ([`crate::NetNs::run`]) and waits for the
//! kernel. Never called by the daemon: it needs no CAP_SYS_ADMIN because this is done by others.

use crate::addr::{self, IpPrefix, RTM_GETADDR, RTM_NEWADDR, RTM_NEWROUTE};
use crate::link;
use crate::netlink::{self, Request, Socket, flag};
use crate::sys::{packet, tun};
use crate::sysctl;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use vswitch_base::MacAddr;

/// The table that routes without one go to (`RT_TABLE_MAIN`).
const MAIN_TABLE: u32 = 254;
/// `IFA_F_DADFAILED` and `IFA_F_TENTATIVE` of `struct ifaddrmsg`.
const IFA_F_DADFAILED: u8 = 0x08;
const IFA_F_TENTATIVE: u8 = 0x40;

/// Which pair of virtual Ethernet devices to make.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The host's end.
    pub host: &'a str,
    /// A mark on the host's end for whoever finds it (IFLA_IFALIAS, 255 bytes).
    pub alias: &'a str,
    /// The container's end.
    pub name: &'a str,
    /// Address of the container's end.
    pub mac: MacAddr,
    /// Payload bytes of both.
    pub mtu: u32,
}

/// Makes a pair: the host's end here, the other in `netns`, both down. One request: there is never half
/// of it.
///
/// # Errors
/// `EEXIST` when a name is taken on either side, `EINVAL` for an MTU that the driver does not take.
pub fn add_pair(pair: &Pair<'_>, netns: &crate::NetNs) -> io::Result<()> {
    let mtu = pair.mtu.to_ne_bytes();
    let fd = netns.as_fd().as_raw_fd().to_ne_bytes();
    let here = |request: &mut Request| {
        request
            .string(libc::IFLA_IFALIAS, alias_of(pair.alias))
            .attribute(libc::IFLA_MTU, &mtu);
    };
    link::new_veth(pair.host, here, pair.name, |peer| {
        peer.attribute(libc::IFLA_ADDRESS, &pair.mac.0)
            .attribute(libc::IFLA_MTU, &mtu)
            .attribute(libc::IFLA_NET_NS_FD, &fd);
    })
}

/// As much of a text as the kernel keeps.
fn alias_of(text: &str) -> &str {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Makes a TAP of one queue in this namespace, down; it goes with its last descriptor.
///
/// # Errors
/// `EBUSY` or `EINVAL` when the name is taken, `ENOENT` without the tun driver, `EPERM`.
pub fn make_tap(name: &str, mac: MacAddr, mtu: u32) -> io::Result<OwnedFd> {
    let (queue, _) = tun::open_queue(name, false)?;
    set_up_tap(name, mac, mtu)?;
    Ok(queue)
}

/// Makes a persistent TAP that a hypervisor opens: `queues` more than one only if it opens several.
///
/// # Errors
/// As [`make_tap`].
pub fn make_guest_tap(
    name: &str,
    mac: MacAddr,
    mtu: u32,
    queues: u16,
    owner: Option<u32>,
    group: Option<u32>,
) -> io::Result<()> {
    let (queue, _) = tun::open_queue(name, queues > 1)?;
    if let Some(uid) = owner {
        tun::set_owner(queue.as_fd(), uid)?;
    }
    if let Some(gid) = group {
        tun::set_group(queue.as_fd(), gid)?;
    }
    set_up_tap(name, mac, mtu)?;
    // Last: until here it goes with the descriptor.
    tun::set_persistent(queue.as_fd(), true)
}

fn set_up_tap(name: &str, mac: MacAddr, mtu: u32) -> io::Result<()> {
    let link = link::by_name(name)?.ok_or(io::ErrorKind::NotFound)?;
    link::set_mac(link.ifindex, mac)?;
    if link.mtu == mtu {
        return Ok(());
    }
    link::set_mtu(link.ifindex, mtu)
}

/// Packet sockets of this namespace, bound to nothing.
///
/// # Errors
/// `EPERM` without CAP_NET_RAW.
pub fn packet_sockets(count: usize) -> io::Result<Vec<OwnedFd>> {
    (0..count).map(|_| packet::open()).collect()
}

/// Sends frames by a device, whole, from their destination address on.
///
/// # Errors
/// `ENETDOWN` while the device is down, `EPERM` without CAP_NET_RAW.
pub fn send_frames(ifindex: u32, frames: &[Vec<u8>]) -> io::Result<()> {
    let socket = packet::open()?;
    packet::bind_send_only(socket.as_fd(), ifindex)?;
    for frame in frames {
        rustix::io::write(&socket, frame)?;
    }
    Ok(())
}

/// Switches IPv6 off or on for a device; whether the kernel has IPv6.
///
/// # Errors
/// `EROFS` where `/proc/sys` is read-only.
pub fn set_ipv6(name: &str, on: bool) -> io::Result<bool> {
    if sysctl::ipv6_disabled(name)?.is_none() {
        return Ok(false);
    }
    sysctl::set_ipv6_disabled(name, !on)?;
    Ok(true)
}

/// A route of a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// Where to.
    pub to: IpPrefix,
    /// By which router; `None`: the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// Its MTU, if not the link's.
    pub mtu: Option<u32>,
    /// The maximum segment size to advertise.
    pub advmss: Option<u32>,
    /// Its metric.
    pub priority: Option<u32>,
    /// Its table; `None`: the main one.
    pub table: Option<u32>,
    /// Its scope; `None`: universe with a gateway, link without.
    pub scope: Option<u8>,
}

/// Adds a route by a device; one that is there is a success.
///
/// # Errors
/// `ENETUNREACH` when no address of the device reaches the gateway.
pub fn add_route(ifindex: u32, route: &Route) -> io::Result<()> {
    let added = Socket::route()?.transact(RTM_NEWROUTE, flag::CREATE | flag::EXCL, |request| {
        let scope = route.scope.unwrap_or_else(|| match route.gateway {
            Some(_) => libc::RT_SCOPE_UNIVERSE,
            None if route.to.addr.is_ipv6() => libc::RT_SCOPE_UNIVERSE,
            None => libc::RT_SCOPE_LINK,
        });
        let table = route.table.unwrap_or(MAIN_TABLE);
        request.fixed(&[
            addr::family(route.to.addr),
            route.to.len,
            0,
            0,
            u8::try_from(table).unwrap_or(libc::RT_TABLE_UNSPEC),
            libc::RTPROT_BOOT,
            scope,
            libc::RTN_UNICAST,
            0,
            0,
            0,
            0,
        ]);
        addr::with_ip(route.to.addr, |bytes| {
            request.attribute(libc::RTA_DST, bytes);
        });
        if let Some(gateway) = route.gateway {
            addr::with_ip(gateway, |bytes| {
                request.attribute(libc::RTA_GATEWAY, bytes);
            });
        }
        request
            .attribute(libc::RTA_OIF, &ifindex.to_ne_bytes())
            .attribute(libc::RTA_TABLE, &table.to_ne_bytes());
        if let Some(priority) = route.priority {
            request.attribute(libc::RTA_PRIORITY, &priority.to_ne_bytes());
        }
        if route.mtu.is_some() || route.advmss.is_some() {
            request.nested(libc::RTA_METRICS, |metrics| {
                for (kind, value) in [(RTAX_MTU, route.mtu), (RTAX_ADVMSS, route.advmss)] {
                    if let Some(value) = value {
                        metrics.attribute(kind, &value.to_ne_bytes());
                    }
                }
            });
        }
    });
    match added {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        other => other,
    }
}

const RTAX_MTU: u16 = 2;
const RTAX_ADVMSS: u16 = 8;

/// The routes by a device in the main table, as (destination, gateway).
///
/// # Errors
/// What netlink answered.
pub fn routes(ifindex: u32) -> io::Result<Vec<(IpPrefix, Option<IpAddr>)>> {
    const RTM_GETROUTE: u16 = 26;
    let mut found = Vec::new();
    let build = |request: &mut Request| {
        request.fixed(&[0; 12]);
    };
    Socket::route()?.dump(RTM_GETROUTE, build, |message| {
        let payload = message.payload;
        let Some(head) = payload.get(..12).filter(|_| message.kind == RTM_NEWROUTE) else {
            return;
        };
        let (mut to, mut gateway, mut by) = (None, None, None);
        for (kind, value) in netlink::attributes(payload.get(12..).unwrap_or(&[])) {
            match kind {
                libc::RTA_DST => to = addr::ip(value),
                libc::RTA_GATEWAY => gateway = addr::ip(value),
                libc::RTA_OIF => by = netlink::u32_at(value, 0),
                _ => {}
            }
        }
        let any = match i32::from(head[0]) {
            libc::AF_INET => IpAddr::from([0; 4]),
            libc::AF_INET6 => IpAddr::from([0; 16]),
            _ => return,
        };
        if by == Some(ifindex) {
            let addr = to.unwrap_or(any);
            found.push((IpPrefix { addr, len: head[1] }, gateway));
        }
    })?;
    Ok(found)
}

/// Whether the kernel has found out that all IPv6 addresses of a device are nobody else's.
///
/// # Errors
/// `AddrInUse` when somebody else has one.
pub fn is_settled(ifindex: u32) -> io::Result<bool> {
    let mut settled = true;
    let mut taken = false;
    let build = |request: &mut Request| {
        request.fixed(&[0; 8]);
    };
    Socket::route()?.dump(RTM_GETADDR, build, |message| {
        let payload = message.payload;
        if message.kind == RTM_NEWADDR && netlink::u32_at(payload, 4) == Some(ifindex) {
            let flags = payload.get(2).copied().unwrap_or(0);
            taken |= flags & IFA_F_DADFAILED != 0;
            settled &= flags & IFA_F_TENTATIVE == 0;
        }
    })?;
    if taken {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    Ok(settled)
}

/// Devices of this namespace whose mark begins with `prefix`: name, number, mark.
///
/// # Errors
/// What netlink answered.
pub fn marked(prefix: &str) -> io::Result<Vec<(String, u32, String)>> {
    let links = link::list()?.into_iter();
    let found = links.filter_map(|link| Some((link.name, link.ifindex, link.alias?)));
    Ok(found
        .filter(|(.., alias)| alias.starts_with(prefix))
        .collect())
}
