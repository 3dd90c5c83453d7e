//! Checks of what a port may say of the station behind it: its addresses, and what is asked of its frames.

use super::Found;
use crate::config::{BURST_MAX, BURST_MIN, Bits, Config, PortConfig, PortKind};
use std::collections::BTreeSet;

/// Most own addresses of a port: each frame is compared with them one by one.
const MACS_MAX: usize = 16;
/// Most IP addresses of a port: each packet's source is compared with them one by one.
const IPS_MAX: usize = 64;

/// The switches of a port's protection that are on, by their keys.
fn asked(port: &PortConfig) -> Option<&'static str> {
    let switches = [
        ("guard", port.guard),
        ("mac_spoof_check", port.mac_spoof_check),
        ("hold_until_guest", port.hold_until_guest),
    ];
    let on = switches.into_iter().find(|(_, on)| *on);
    on.map(|(key, _)| key)
}

/// Whether `mac` says the address of the station behind the port, whatever the port is made of.
pub(super) fn names_station(port: &PortConfig) -> bool {
    asked(port).is_some() && matches!(port.kind, PortKind::Nic | PortKind::Mem)
}

/// The protection of `[port.NAME]`.
pub(super) fn protection(config: &Config, name: &str, port: &PortConfig, found: &mut Found) {
    let at = |key| ["port", name, key];
    let asked = asked(port);
    if let Some(key) = asked {
        let many = if port.kind == PortKind::Bond {
            Some("this port is a bond")
        } else if config.bond_of(name).is_some() {
            Some("this port is a member of a bond")
        } else if config.uplink_of(name).is_some() {
            Some("this port is its bridge's uplink")
        } else {
            None
        };
        if let Some(why) = many {
            found.add(
                &at(key),
                format!("{why}: the stations behind it are many"),
                format!("\"{key}\" is for ports that lead to one virtual machine or container"),
            );
        }
    }
    if asked.is_none() && !port.guard_macs.is_empty() {
        found.add(
            &at("guard_macs"),
            "nothing asks for these addresses",
            "add guard = true, or mac_spoof_check = true",
        );
    }
    if !port.guard && !port.guard_ips.is_empty() {
        found.add(
            &at("guard_ips"),
            "nothing asks for these addresses",
            "add guard = true",
        );
    }
    if let Some(key) = asked
        && (port.guard || port.mac_spoof_check)
        && port.mac.is_none()
        && port.guard_macs.is_empty()
    {
        found.add(
            &at(key),
            "the station's address is not known",
            "add mac = \"52:54:00:..\", the address of the machine behind the port, or guard_macs = [..] for several",
        );
    }
    macs(name, port, found);
    ips(name, port, found);
    rates(name, port, found);
}

fn macs(name: &str, port: &PortConfig, found: &mut Found) {
    let at = ["port", name, "guard_macs"];
    let own = port.guard_macs.iter().chain(&port.mac).count();
    if own > MACS_MAX {
        return found.add(
            &at,
            format!("with \"mac\" these are {own} addresses"),
            format!("a port has {MACS_MAX} own addresses at most"),
        );
    }
    let mut seen: BTreeSet<_> = port.mac.into_iter().collect();
    for mac in &port.guard_macs {
        found.station(&at, *mac);
        if !seen.insert(*mac) {
            found.add(&at, format!("{mac} is said twice"), "say each address once");
        }
    }
}

fn ips(name: &str, port: &PortConfig, found: &mut Found) {
    let at = ["port", name, "guard_ips"];
    let count = port.guard_ips.len();
    if count > IPS_MAX {
        return found.add(
            &at,
            format!("these are {count} addresses"),
            format!("a port has {IPS_MAX} at most"),
        );
    }
    let mut seen = BTreeSet::new();
    for ip in &port.guard_ips {
        if ip.is_unspecified() || ip.is_multicast() {
            let hint = "0.0.0.0 and :: are taken where a station has to use them";
            found.add(&at, format!("{ip} is no station's address"), hint);
        } else if !seen.insert(*ip) {
            found.add(&at, format!("{ip} is said twice"), "say each address once");
        }
    }
}

fn rates(name: &str, port: &PortConfig, found: &mut Found) {
    let rates = [
        (
            "ingress_rate",
            port.ingress_rate,
            "ingress_burst",
            port.ingress_burst,
        ),
        (
            "egress_rate",
            port.egress_rate,
            "egress_burst",
            port.egress_burst,
        ),
    ];
    for (key, rate, burst_key, burst) in rates {
        let mut check = |key: &str, said: Option<Bits>, least: u64, most: u64| {
            if let Some(bits) = said.filter(|bits| !(least..=most).contains(&bits.0)) {
                found.add(
                    &["port", name, key],
                    format!("{key} = {bits} is out of range"),
                    format!("from {} to {}", Bits(least), Bits(most)),
                );
            }
        };
        check(key, rate, 1_000, 1_000_000_000_000);
        check(burst_key, burst, BURST_MIN, BURST_MAX);
        if burst.is_some() && rate.is_none() {
            found.add(
                &["port", name, burst_key],
                "there is no rate that this could be the burst of",
                format!("add {key} = \"100M\""),
            );
        }
    }
}

#[cfg(test)]
mod tests;
