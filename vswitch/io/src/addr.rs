//! IP addresses and default routes of a device: what a `host` port's TAP carries.
//!
//! Speaks to the network namespace of the calling thread and waits for the kernel: effects thread.
//! Adding what is there and removing what is not are successes, so that a change can be repeated.

use crate::netlink::{self, Request, Socket, flag};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::IpAddr;

pub(crate) const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
pub(crate) const RTM_GETADDR: u16 = 22;
pub(crate) const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;

/// An address is usable at once, without the kernel's search for a second owner. Our bridge needs
/// seconds to come up, and an address that stays "tentative" refuses to be bound to.
const IFA_F_NODAD: u8 = 0x02;

/// An address with the length of its network prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct IpPrefix {
    /// The address.
    pub addr: IpAddr,
    /// Bits of the prefix: at most 32 or 128.
    pub len: u8,
}

impl std::fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

/// Gives a device an address.
///
/// # Errors
/// `ENODEV`, `EPERM`, `EACCES` where IPv6 is disabled on the device, `EINVAL` for a prefix too long.
pub fn add(ifindex: u32, prefix: IpPrefix) -> io::Result<()> {
    let flags = flag::CREATE | flag::REPLACE;
    Socket::route()?.transact(RTM_NEWADDR, flags, |request| {
        address(request, ifindex, prefix, IFA_F_NODAD);
        if let IpAddr::V4(addr) = prefix.addr
            && prefix.len < 31
        {
            let host_bits = u32::MAX.checked_shr(u32::from(prefix.len)).unwrap_or(0);
            let broadcast = u32::from(addr) | host_bits;
            request.attribute(libc::IFA_BROADCAST, &broadcast.to_be_bytes());
        }
    })
}

/// Takes an address from a device.
///
/// # Errors
/// `ENODEV`, `EPERM`.
pub fn remove(ifindex: u32, prefix: IpPrefix) -> io::Result<()> {
    let removed = Socket::route()?.transact(RTM_DELADDR, 0, |request| {
        address(request, ifindex, prefix, 0);
    });
    match removed {
        Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => Ok(()),
        other => other,
    }
}

/// The addresses of a device, link-local ones included.
///
/// # Errors
/// What netlink answered.
pub fn list(ifindex: u32) -> io::Result<Vec<IpPrefix>> {
    let mut found = Vec::new();
    let build = |request: &mut Request| {
        request.fixed(&[0; 8]);
    };
    Socket::route()?.dump(RTM_GETADDR, build, |message| {
        let payload = message.payload;
        if message.kind != RTM_NEWADDR || netlink::u32_at(payload, 4) != Some(ifindex) {
            return;
        }
        let (mut peer, mut local) = (None, None);
        for (kind, value) in netlink::attributes(payload.get(8..).unwrap_or(&[])) {
            match kind {
                libc::IFA_LOCAL => local = ip(value),
                libc::IFA_ADDRESS => peer = ip(value),
                _ => {}
            }
        }
        if let (Some(addr), Some(&len)) = (local.or(peer), payload.get(1)) {
            found.push(IpPrefix { addr, len });
        }
    })?;
    Ok(found)
}

/// Makes `gateway`, reached through the device, the default route of its address family.
///
/// # Errors
/// `ENETUNREACH` when no address of the device reaches the gateway.
pub fn set_default_route(ifindex: u32, gateway: IpAddr) -> io::Result<()> {
    let flags = flag::CREATE | flag::REPLACE;
    Socket::route()?.transact(RTM_NEWROUTE, flags, |request| {
        route(request, ifindex, gateway);
    })
}

/// Removes the default route through `gateway` and the device.
///
/// # Errors
/// `EPERM`.
pub fn remove_default_route(ifindex: u32, gateway: IpAddr) -> io::Result<()> {
    let removed =
        Socket::route()?.transact(RTM_DELROUTE, 0, |request| route(request, ifindex, gateway));
    match removed {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENODEV)) => Ok(()),
        other => other,
    }
}

fn address(request: &mut Request, ifindex: u32, prefix: IpPrefix, flags: u8) {
    let index = ifindex.to_ne_bytes();
    let head = [
        family(prefix.addr),
        prefix.len,
        flags,
        libc::RT_SCOPE_UNIVERSE,
    ];
    request.fixed(&head).fixed(&index);
    with_ip(prefix.addr, |bytes| {
        request
            .attribute(libc::IFA_LOCAL, bytes)
            .attribute(libc::IFA_ADDRESS, bytes);
    });
}

fn route(request: &mut Request, ifindex: u32, gateway: IpAddr) {
    // struct rtmsg: family, prefix lengths of destination and source, tos, table, protocol, scope,
    // type, flags.
    request.fixed(&[
        family(gateway),
        0,
        0,
        0,
        libc::RT_TABLE_MAIN,
        libc::RTPROT_STATIC,
        libc::RT_SCOPE_UNIVERSE,
        libc::RTN_UNICAST,
        0,
        0,
        0,
        0,
    ]);
    with_ip(gateway, |bytes| {
        request.attribute(libc::RTA_GATEWAY, bytes);
    });
    request.attribute(libc::RTA_OIF, &ifindex.to_ne_bytes());
}

pub(crate) fn family(addr: IpAddr) -> u8 {
    let family = if addr.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    u8::try_from(family).expect("2 or 10")
}

pub(crate) fn with_ip(addr: IpAddr, mut take: impl FnMut(&[u8])) {
    match addr {
        IpAddr::V4(addr) => take(&addr.octets()),
        IpAddr::V6(addr) => take(&addr.octets()),
    }
}

pub(crate) fn ip(value: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(value) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(value).ok().map(IpAddr::from)
}
