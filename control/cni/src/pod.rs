//! The pod's side of a port: its interface, made, configured, looked at and removed in its namespace.

use crate::call::Call;
use crate::result::{CniResult, Ip};
use crate::spec::{CniError, code};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};
use vswitch_api::types::AttachMode;
use vswitch_base::MacAddr;
use vswitch_io::{IpPrefix, NetNs, addr, handed, link, pod};

/// What marks the host's end of a pair as ours; the attachment follows.
pub(crate) const MARK: &str = "vswitch:";
/// How long the kernel's search for a second owner of an IPv6 address is waited for.
const SETTLE: Duration = Duration::from_secs(10);

/// A device that was made, and what the daemon needs of it.
#[derive(Debug)]
pub(crate) struct Made {
    /// The name by which the daemon knows the device.
    pub(crate) device: String,
    /// Descriptors for the daemon.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// The host's end of a pair, with its address.
    pub(crate) host_end: Option<(String, MacAddr)>,
}

/// An interface as it is.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) mac: Option<MacAddr>,
    pub(crate) mtu: u32,
    pub(crate) up: bool,
    pub(crate) addresses: Vec<IpPrefix>,
    pub(crate) routes: Vec<(IpPrefix, Option<IpAddr>)>,
}

/// Opens the namespace of the call.
///
/// # Errors
/// Code 8: it cannot be opened, is none, or is the plugin's own: a pod's routes in the node's table cut the node off.
pub(crate) fn namespace(call: &Call) -> Result<NetNs, CniError> {
    let path = &call.env.netns;
    let failed = |error: &io::Error| {
        CniError::new(
            code::NETNS,
            format!("failed to open netns \"{path}\": {error}"),
            "CNI_NETNS is the path of a network namespace, such as /var/run/netns/NAME",
        )
    };
    let netns = NetNs::open(Path::new(path)).map_err(|error| failed(&error))?;
    netns.run(|| Ok(())).map_err(|error| failed(&error))?;
    let is_own = NetNs::current().and_then(|own| Ok(own.id()? == netns.id()?));
    if is_own.map_err(|error| failed(&error))? && !call.env.own_netns {
        return Err(CniError::new(
            code::NETNS,
            format!("netns \"{path}\" is the plugin's own namespace"),
            "CNI_NETNS is a container's; set CNI_NETNS_OVERRIDE=1 if this one is meant",
        ));
    }
    Ok(netns)
}

fn failed(what: &str, call: &Call, error: &io::Error) -> CniError {
    let (ifname, netns) = (&call.env.ifname, &call.env.netns);
    let hint = match error.raw_os_error() {
        Some(1 | 13) => "the plugin needs root (CAP_NET_ADMIN, CAP_SYS_ADMIN)",
        Some(2) => "is the kernel's tun driver there? modprobe tun",
        _ => "",
    };
    CniError::new(
        code::FAILED,
        format!("cannot {what} {ifname} in {netns}: {error}"),
        hint,
    )
}

/// Whether the interface's name is free in the pod.
///
/// # Errors
/// Code 101 when it is not, else what the kernel said.
pub(crate) fn is_free(call: &Call, netns: &NetNs) -> Result<(), CniError> {
    let name = call.env.ifname.as_str();
    let taken = netns
        .run(|| link::by_name(name))
        .map_err(|error| failed("look for", call, &error))?;
    if taken.is_none() {
        return Ok(());
    }
    Err(CniError::new(
        code::NAME,
        format!("interface \"{name}\" already exists in {}", call.env.netns),
        "an earlier ADD was not followed by DEL, or another network has this name",
    ))
}

/// Makes the interface; it is down.
///
/// # Errors
/// What the kernel said. Nothing is left then.
pub(crate) fn make(
    call: &Call,
    netns: &NetNs,
    mode: AttachMode,
    mtu: u32,
    workers: u32,
) -> Result<Made, CniError> {
    let (name, mac) = (call.env.ifname.as_str(), call.mac());
    let failed = |error: io::Error| failed("make", call, &error);
    let owner = call.attachment();
    match mode {
        AttachMode::Veth => {
            let host = owner.port_name();
            let pair = pod::Pair {
                host: &host,
                alias: &format!("{MARK}{owner}"),
                name,
                mac,
                mtu,
            };
            if let Some(stale) = link::by_name(&host).map_err(failed)? {
                // Of an ADD that was killed: its other end is in a namespace that is gone or another one.
                link::delete(stale.ifindex).map_err(failed)?;
            }
            pod::add_pair(&pair, netns).map_err(failed)?;
            let end = link::by_name(&host).map_err(failed)?;
            let mac = end.and_then(|end| end.mac).unwrap_or(MacAddr::ZERO);
            Ok(Made {
                device: host.clone(),
                descriptors: Vec::new(),
                host_end: Some((host, mac)),
            })
        }
        AttachMode::Tap => {
            let queue = netns
                .run(|| pod::make_tap(name, mac, mtu))
                .map_err(failed)?;
            Ok(Made {
                device: name.to_owned(),
                descriptors: vec![queue],
                host_end: None,
            })
        }
        AttachMode::TapGuest => {
            let config = &call.config;
            let count = handed::sockets_of_nic(u16::try_from(workers).unwrap_or(u16::MAX));
            let sockets = netns
                .run(|| {
                    let (owner, group) = (Some(config.owner), Some(config.group));
                    pod::make_guest_tap(name, mac, mtu, config.queues, owner, group)?;
                    pod::packet_sockets(count)
                })
                .map_err(failed)?;
            Ok(Made {
                device: name.to_owned(),
                descriptors: sockets,
                host_end: None,
            })
        }
    }
}

/// Switches the interface on, without IPv6 unless it will have IPv6 addresses; its number.
///
/// # Errors
/// What the kernel said.
pub(crate) fn switch_on(call: &Call, netns: &NetNs) -> Result<u32, CniError> {
    let name = call.env.ifname.as_str();
    let on = !call.config.leave_down;
    netns
        .run(|| {
            let link = link::by_name(name)?.ok_or(io::ErrorKind::NotFound)?;
            // No addresses of its own until somebody gives it one: a VM's station speaks for itself.
            pod::set_ipv6(name, false)?;
            link::set_up(link.ifindex, on)?;
            Ok(link.ifindex)
        })
        .map_err(|error| failed("switch on", call, &error))
}

/// Gives the interface what the address plugin gave.
///
/// # Errors
/// What the kernel said; code 100 when somebody else has one of the IPv6 addresses.
pub(crate) fn address(
    call: &Call,
    netns: &NetNs,
    ifindex: u32,
    result: &CniResult,
) -> Result<(), CniError> {
    let name = call.env.ifname.as_str();
    let work = || {
        if result.ips.iter().any(|ip| ip.address.addr.is_ipv6()) {
            pod::set_ipv6(name, true)?;
        }
        for ip in &result.ips {
            addr::add(ifindex, ip.address)?;
        }
        for route in &result.routes {
            let made = pod::Route {
                to: route.to,
                gateway: route
                    .gateway
                    .or_else(|| gateway_for(&result.ips, route.to.addr)),
                mtu: route.number("mtu"),
                advmss: route.number("advmss"),
                priority: route.number("priority"),
                table: route.number("table"),
                scope: route
                    .number("scope")
                    .and_then(|scope| u8::try_from(scope).ok()),
            };
            pod::add_route(ifindex, &made)?;
        }
        Ok(())
    };
    netns
        .run(work)
        .map_err(|error| failed("give addresses to", call, &error))?;
    if call.config.settle {
        settle(call, netns, ifindex)?;
    }
    Ok(())
}

/// The gateway of a route that names none: that of the address of its family.
fn gateway_for(ips: &[Ip], to: IpAddr) -> Option<IpAddr> {
    let same = ips
        .iter()
        .filter(|ip| ip.address.addr.is_ipv4() == to.is_ipv4());
    same.filter_map(|ip| ip.gateway).next()
}

fn settle(call: &Call, netns: &NetNs, ifindex: u32) -> Result<(), CniError> {
    let since = Instant::now();
    loop {
        match netns.run(|| pod::is_settled(ifindex)) {
            Ok(true) => return Ok(()),
            Ok(false) if since.elapsed() < SETTLE => std::thread::sleep(Duration::from_millis(20)),
            Ok(false) => return Ok(()),
            Err(error) => return Err(failed("settle the addresses of", call, &error)),
        }
    }
}

/// Tells neighbours where the addresses are: gratuitous ARP requests (RFC 5227, 3) and unsolicited neighbour
/// advertisements (RFC 4861, 7.2.6). Best effort: they learn it from the first frame as well.
pub(crate) fn announce(netns: &NetNs, ifindex: u32, mac: MacAddr, ips: &[Ip]) {
    let frames: Vec<Vec<u8>> = ips
        .iter()
        .map(|ip| match ip.address.addr {
            IpAddr::V4(addr) => arp(mac, addr),
            IpAddr::V6(addr) => advertisement(mac, addr.octets()),
        })
        .collect();
    if !frames.is_empty() {
        let _told = netns.run(|| pod::send_frames(ifindex, &frames));
    }
}

fn arp(mac: MacAddr, addr: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(42);
    frame.extend([0xff; 6]);
    frame.extend(mac.0);
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend(mac.0);
    frame.extend(addr.octets());
    frame.extend([0; 6]);
    frame.extend(addr.octets());
    frame
}

fn advertisement(mac: MacAddr, addr: [u8; 16]) -> Vec<u8> {
    /// All nodes on the link.
    const ALL: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    const OVERRIDE: u8 = 0x20;
    let mut body = vec![136, 0, 0, 0, OVERRIDE, 0, 0, 0];
    body.extend(addr);
    body.extend([2, 1]);
    body.extend(mac.0);
    let length = u16::try_from(body.len()).unwrap_or(0);
    let words = |bytes: &[u8]| -> u32 {
        bytes
            .chunks(2)
            .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
            .sum()
    };
    let mut sum = words(&addr) + words(&ALL) + u32::from(length) + 58 + words(&body);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let sum = !u16::try_from(sum).unwrap_or(0);
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![0x33, 0x33, 0, 0, 0, 1];
    frame.extend(mac.0);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend(length.to_be_bytes());
    frame.extend([58, 255]);
    frame.extend(addr);
    frame.extend(ALL);
    frame.extend(body);
    frame
}

/// The interface as it is; `None`: there is none.
///
/// # Errors
/// What the kernel said.
pub(crate) fn look(call: &Call, netns: &NetNs) -> Result<Option<Seen>, CniError> {
    let name = call.env.ifname.as_str();
    netns
        .run(|| {
            let Some(link) = link::by_name(name)? else {
                return Ok(None);
            };
            Ok(Some(Seen {
                mac: link.mac,
                mtu: link.mtu,
                up: link.up,
                addresses: addr::list(link.ifindex)?,
                routes: pod::routes(link.ifindex)?,
            }))
        })
        .map_err(|error| failed("look at", call, &error))
}

/// Removes the host's end, and the interface if it `is_ours`; what is gone is a success.
///
/// # Errors
/// What the kernel said.
pub(crate) fn remove(call: &Call, is_ours: bool) -> Result<(), CniError> {
    let failed = |error: io::Error| failed("remove", call, &error);
    let host = call.attachment().port_name();
    if let Some(end) = link::by_name(&host).map_err(failed)? {
        link::delete(end.ifindex).map_err(failed)?;
    }
    if !is_ours {
        return Ok(());
    }
    let Ok(netns) = NetNs::open(Path::new(&call.env.netns)) else {
        // It is gone, and the interface with it.
        return Ok(());
    };
    let name = call.env.ifname.as_str();
    let removed = netns.run(|| match link::by_name(name)? {
        // Never what was moved into the pod by somebody else.
        Some(link) if matches!(link.kind.as_deref(), Some("veth" | "tun")) => {
            link::delete(link.ifindex)
        }
        _ => Ok(()),
    });
    match removed {
        // The file is there and is no namespace any more: it was unmounted.
        Err(error) if error.raw_os_error() == Some(22) => Ok(()),
        other => other.map_err(failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_are_what_stacks_accept() {
        let mac = MacAddr([2, 0, 0, 0, 0, 7]);
        let frame = arp(mac, Ipv4Addr::new(10, 0, 0, 5));
        assert_eq!(frame.len(), 42);
        assert_eq!(frame[28..32], frame[38..42], "it asks for its own address");
        let frame = advertisement(mac, [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(frame.len(), 14 + 40 + 32);
        // The checksum over pseudo header and body is all ones.
        let words = frame[22..54].chunks(2).chain(frame[54..].chunks(2));
        let mut sum: u32 = words
            .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
            .sum();
        sum += 32 + 58;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        assert_eq!(sum, 0xffff);
    }
}
