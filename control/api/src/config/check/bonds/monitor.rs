//! Checks of what watches a bond's members: intervals, targets, and who excludes whom.

use super::{Found, INT_MAX};
use crate::config::bond::targets::TARGETS_MAX;
use crate::config::bond::words::{ArpAllTargets, ArpValidate};
use crate::config::{BondConfig, BondMode, Config, vlans};
use std::net::IpAddr;

/// The keys of the monitor in `[bond.NAME]`.
pub(super) fn monitor(config: &Config, name: &str, bond: &BondConfig, found: &mut Found) {
    let at = |key| ["bond", name, key];
    found.range(&at("miimon"), bond.miimon.unwrap_or(0), 0, INT_MAX);
    found.range(&at("arp_interval"), bond.arp_interval, 0, INT_MAX);
    found.range(&at("arp_missed_max"), bond.arp_missed_max, 1, 255);
    targets(config, name, bond, found);
    let some = bond.arp_interval > 0;
    let why = match bond.mode {
        BondMode::Lacp => Some("LACP watches its links itself, best with lacp_rate = \"fast\""),
        BondMode::BalanceTlb | BondMode::BalanceAlb | BondMode::BalanceSlb => Some(
            "a station has one member there, and probes by all would move it from one to the next",
        ),
        BondMode::ActiveBackup
        | BondMode::BalanceRr
        | BondMode::BalanceXor
        | BondMode::Broadcast => None,
    };
    if let Some(why) = why.filter(|_| some) {
        let message = format!("mode {} sends no probes", bond.mode);
        found.add(&at("arp_interval"), message, why);
    }
    if some && bond.miimon.is_some_and(|miimon| miimon > 0) {
        found.add(
            &at("miimon"),
            "a bond is watched by miimon or by arp_interval",
            "leave miimon out: carriers are looked at beside arp_interval as well",
        );
    }
    if some && bond.targets().is_empty() {
        found.add(
            &at("arp_interval"),
            "nobody is to be probed",
            "name who answers beyond the switch: arp_ip_target = [\"10.0.0.1\"]",
        );
    }
    let idle = [
        ("arp_validate", bond.arp_validate != ArpValidate::None),
        (
            "arp_all_targets",
            bond.arp_all_targets != ArpAllTargets::Any,
        ),
    ];
    for (key, _) in idle.iter().filter(|(_, said)| *said && !some) {
        found.add(
            &at(key),
            "no probes are sent that this could be about",
            "set arp_interval, in milliseconds, and arp_ip_target",
        );
    }
}

fn targets(config: &Config, name: &str, bond: &BondConfig, found: &mut Found) {
    let lists = [
        ("arp_ip_target", bond.arp_ip_target.len()),
        ("ns_ip6_target", bond.ns_ip6_target.len()),
    ];
    for (key, count) in lists.iter().filter(|(_, count)| *count > TARGETS_MAX) {
        found.add(
            &["bond", name, key],
            format!("these are {count} targets"),
            format!("a bond has {TARGETS_MAX} at most"),
        );
    }
    let table = config.membership_of(name).unwrap_or_default();
    let bridge = config.bridge_of(name).and_then(|n| config.bridge.get(n));
    let filtering = bridge.is_some_and(|bridge| bridge.vlan_filtering);
    let carried = |vid| table.untagged.contains(vid) || table.tagged.contains(vid);
    let all = bond.targets();
    for (index, target) in all.iter().enumerate().take(4 * TARGETS_MAX) {
        let key = if target.ip.is_ipv4() {
            "arp_ip_target"
        } else {
            "ns_ip6_target"
        };
        let at = ["bond", name, key];
        let alone = match target.ip {
            IpAddr::V4(ip) => {
                !ip.is_unspecified()
                    && !ip.is_broadcast()
                    && !ip.is_multicast()
                    && !ip.is_loopback()
            }
            IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback(),
        };
        if !alone {
            found.add(
                &at,
                format!("{} is no station's address", target.ip),
                "name a router or a host beyond the switch",
            );
        }
        if all[..index].contains(target) {
            found.add(
                &at,
                format!("\"{target}\" is named twice"),
                "name each target once",
            );
        }
        match target.vlan {
            Some(vid) if !vlans::is_usable(vid) => found.vid(&at, vid),
            Some(vid) if filtering && !carried(vid) => found.add(
                &at,
                format!("the bond is not in VLAN {vid}"),
                "name a VLAN that the bond carries, or add it to the bridge's vlans",
            ),
            None if filtering && table.pvid.is_none() && bridge.is_some() => found.add(
                &at,
                format!("\"{target}\" is in no VLAN: untagged frames of this bond are in none"),
                format!("say which: \"{target} vlan 100\""),
            ),
            _ => {}
        }
    }
}
