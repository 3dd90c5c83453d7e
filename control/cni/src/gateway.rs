//! `isGateway`, `isDefaultGateway`: the node is the pods' router, by its own interface on the bridge.
//!
//! The reference plugin gives the bridge an address; here the bridge's `[host.NAME]` of the pod's VLAN gets
//! it. Masquerading is not part of a switch: `ipMasq` is refused with what to use instead.

use crate::call::Call;
use crate::daemon::{self, Daemon};
use crate::result::{CniResult, Route};
use crate::spec::{CniError, code};
use std::net::IpAddr;
use vswitch_api::request::GetState;
use vswitch_api::types::Port;
use vswitch_io::{IpPrefix, addr, link};

/// Refuses what cannot be served, before anything is made.
///
/// # Errors
/// Code 2 with the field; code 7 when the bridge has no interface of the node in that VLAN.
pub(crate) fn allowed(call: &Call, switch: &mut Daemon) -> Result<(), CniError> {
    if call.config.ip_masq {
        return Err(CniError::new(
            code::UNSUPPORTED,
            "unsupported field \"ipMasq\": true",
            "a switch does not rewrite addresses: masquerade on the node (nft, iptables), or leave it out",
        ));
    }
    if call.config.is_gateway {
        host_port(call, switch)?;
    }
    Ok(())
}

/// The node's interface on the bridge in the pod's VLAN.
fn host_port(call: &Call, switch: &mut Daemon) -> Result<Port, CniError> {
    let bridge = &call.config.bridge;
    let get = GetState {
        bridge: Some(bridge.clone()),
        port: None,
    };
    let state = switch
        .call(&get, &[])
        .map_err(|error| daemon::explain(&error))?
        .state;
    let default = state
        .bridges
        .iter()
        .find(|b| b.name == *bridge)
        .map(|b| b.default_pvid);
    let vlan = call.config.vlan.or(default);
    let serves = |port: &&Port| {
        port.kind == "host" && (port.vlans.pvid.is_none() || port.vlans.pvid == vlan)
    };
    state.ports.iter().find(serves).cloned().ok_or_else(|| {
        let table = match call.config.vlan {
            Some(vlan) => format!("[host.NAME] with bridge = \"{bridge}\" and vlan = {vlan}"),
            None => format!("[host.{bridge}] with bridge = \"{bridge}\""),
        };
        CniError::new(
            code::CONFIG,
            format!("\"isGateway\": the node has no interface on bridge {bridge} in that VLAN"),
            format!("add {table} to the switch's configuration, or leave isGateway out"),
        )
    })
}

/// Gives addresses without a gateway the first of their network, and the pod its default route.
pub(crate) fn complete(call: &Call, result: &mut CniResult) {
    if !call.config.is_gateway {
        return;
    }
    for ip in &mut result.ips {
        ip.gateway = ip.gateway.or_else(|| Some(first_of(ip.address)));
    }
    if !call.config.is_default_gateway {
        return;
    }
    for ip in &result.ips {
        let any = match ip.address.addr {
            IpAddr::V4(_) => IpAddr::from([0; 4]),
            IpAddr::V6(_) => IpAddr::from([0; 16]),
        };
        let to = IpPrefix { addr: any, len: 0 };
        if result.routes.iter().all(|route| route.to != to) {
            result.routes.push(Route {
                to,
                gateway: ip.gateway,
                more: serde_json::Map::new(),
            });
        }
    }
}

/// The first address of a network that a station can have.
fn first_of(prefix: IpPrefix) -> IpAddr {
    match prefix.addr {
        IpAddr::V4(addr) => {
            let mask = u32::MAX
                .checked_shl(32 - u32::from(prefix.len))
                .unwrap_or(0);
            IpAddr::V4(((u32::from(addr) & mask) | 1).into())
        }
        IpAddr::V6(addr) => {
            let mask = u128::MAX
                .checked_shl(128 - u32::from(prefix.len))
                .unwrap_or(0);
            IpAddr::V6(((u128::from(addr) & mask) | 1).into())
        }
    }
}

/// Gives the node's interface the gateways of the pod's addresses.
///
/// # Errors
/// The interface has another address of that family and `forceAddress` is not set; what the kernel said.
pub(crate) fn serve(call: &Call, switch: &mut Daemon, result: &CniResult) -> Result<(), CniError> {
    if !call.config.is_gateway {
        return Ok(());
    }
    let port = host_port(call, switch)?;
    let device = port.netdev.clone().unwrap_or_else(|| port.name.clone());
    let failed = |error: std::io::Error| {
        CniError::new(
            code::FAILED,
            format!("cannot give {device} the gateway address: {error}"),
            "",
        )
    };
    let Some(host) = link::by_name(&device).map_err(failed)? else {
        return Err(failed(std::io::ErrorKind::NotFound.into()));
    };
    for ip in &result.ips {
        let Some(gateway) = ip.gateway else { continue };
        let wanted = IpPrefix {
            addr: gateway,
            len: ip.address.len,
        };
        let there = addr::list(host.ifindex).map_err(failed)?;
        if there.contains(&wanted) {
            continue;
        }
        let others = there.iter().filter(|other| {
            let link_local = matches!(other.addr, IpAddr::V6(a) if a.is_unicast_link_local());
            other.addr.is_ipv4() == gateway.is_ipv4() && !link_local
        });
        for other in others {
            if !call.config.force_address {
                return Err(CniError::new(
                    code::FAILED,
                    format!("{device} already has an IP address different from {wanted}: {other}"),
                    "set forceAddress to replace it",
                ));
            }
            addr::remove(host.ifindex, *other).map_err(failed)?;
        }
        addr::add(host.ifindex, wanted).map_err(failed)?;
        let switch = match gateway {
            IpAddr::V4(_) => "/proc/sys/net/ipv4/ip_forward",
            IpAddr::V6(_) => "/proc/sys/net/ipv6/conf/all/forwarding",
        };
        std::fs::write(switch, "1").map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_of_a_network_is_its_gateway() {
        for (address, first) in [
            ("10.1.2.3/24", "10.1.2.1"),
            ("10.1.2.3/8", "10.0.0.1"),
            ("10.1.2.3/0", "0.0.0.1"),
            ("10.1.2.3/32", "10.1.2.3"),
            ("fd00::5/64", "fd00::1"),
        ] {
            let prefix = crate::result::prefix(address).expect(address);
            assert_eq!(first_of(prefix).to_string(), first, "{address}");
        }
    }
}
