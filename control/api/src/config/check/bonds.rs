//! Checks of bonds: their members, their numbers, and what the tables of bonds and members may not say.

mod monitor;

use super::Found;
use crate::config::bond::MEMBERS_MAX;
use crate::config::bond::words::TlbSrc;
use crate::config::{BondConfig, BondMode, Config, PortConfig, PortKind};
use crate::text::known_hint;
use std::collections::{BTreeMap, BTreeSet};

/// The kernel's largest number: milliseconds of a delay, links (`INT_MAX`).
const INT_MAX: u32 = i32::MAX as u32;

/// `[bond.NAME]`.
pub(super) fn bond(config: &Config, name: &str, bond: &BondConfig, found: &mut Found) {
    if found.is_full() {
        return;
    }
    let at = |key| ["bond", name, key];
    if bond.members.is_empty() {
        found.add(
            &at("members"),
            "this bond has no members",
            "name network devices: members = [\"eth0\", \"eth1\"]",
        );
    } else if bond.members.len() > MEMBERS_MAX {
        found.add(
            &at("members"),
            format!("these are {} members", bond.members.len()),
            format!("a bond has {MEMBERS_MAX} at most"),
        );
    }
    members(config, name, bond, found);
    let most = u32::from(u16::MAX);
    found.range(&at("packets_per_slave"), bond.packets_per_slave, 0, most);
    found.range(&at("updelay"), bond.updelay, 0, INT_MAX);
    found.range(&at("downdelay"), bond.downdelay, 0, INT_MAX);
    found.range(&at("num_grat_arp"), bond.num_grat_arp, 0, 255);
    found.range(&at("resend_igmp"), bond.resend_igmp, 0, 255);
    let longest = 300_000;
    found.range(&at("peer_notif_delay"), bond.peer_notif_delay, 0, longest);
    let balances = matches!(bond.mode, BondMode::BalanceTlb | BondMode::BalanceAlb);
    if bond.tlb_src != TlbSrc::Pin && !balances {
        found.add(
            &at("tlb_src"),
            format!("mode {} leaves source addresses as they are", bond.mode),
            "leave tlb_src out: \"rewrite\" is for balance-tlb and balance-alb",
        );
    }
    if let Some(primary) = &bond.primary {
        let known: Vec<&str> = bond.members.iter().map(String::as_str).collect();
        if !balances && bond.mode != BondMode::ActiveBackup {
            found.add(
                &at("primary"),
                format!("mode {} prefers no member", bond.mode),
                "\"primary\" is for active-backup, balance-tlb and balance-alb",
            );
        } else if !bond.members.contains(primary) {
            found.add(
                &at("primary"),
                format!("\"{primary}\" is no member of this bond"),
                known_hint(primary, "member", &known),
            );
        }
    }
    lacp(name, bond, found);
    monitor::monitor(config, name, bond, found);
    by_member(name, bond, found);
    found.range(&at("lp_interval"), bond.lp_interval, 1, INT_MAX);
    if config.port_of(name).is_some() && config.bridge_of(name).is_none() {
        let table = config.port.contains_key(name);
        // A table's own check says so as well.
        if !table {
            found.add(
                &["bond", name],
                "this bond is on no bridge",
                format!("write uplink = \"{name}\" at a bridge, or [port.{name}] with kind = \"bond\" and bridge = NAME"),
            );
        }
    }
}

/// What LACP says on the wire, and what it needs.
fn lacp(name: &str, bond: &BondConfig, found: &mut Found) {
    let most_members = u32::try_from(MEMBERS_MAX).unwrap_or(u32::MAX);
    let at = |key| ["bond", name, key];
    let most = u32::from(u16::MAX);
    found.range(&at("ad_actor_sys_prio"), bond.ad_actor_sys_prio, 1, most);
    found.range(&at("ad_user_port_key"), bond.ad_user_port_key, 0, 1023);
    found.range(&at("max_links"), bond.max_links, 0, most_members);
    found.range(&at("min_links"), bond.min_links, 0, INT_MAX);
    if bond.max_links > 0 && bond.min_links > bond.max_links {
        found.add(
            &at("min_links"),
            format!(
                "{} members must carry frames and {} may",
                bond.min_links, bond.max_links
            ),
            "make min_links no larger than max_links",
        );
    }
    for (key, mac) in [("mac", bond.mac), ("ad_actor_system", bond.ad_actor_system)] {
        if let Some(mac) = mac.filter(|mac| !mac.is_station()) {
            found.add(
                &at(key),
                format!("{mac} is no station's address"),
                "the first octet is even, and not all are zero",
            );
        }
    }
    for (member, prio) in &bond.actor_port_prio {
        found.range(&["bond", name, "actor_port_prio", member], *prio, 1, most);
    }
    let mut taken: BTreeMap<u32, &str> = BTreeMap::new();
    for (member, id) in &bond.queue_id {
        let at = ["bond", name, "queue_id", member];
        found.range(&at, *id, 0, most);
        // As the kernel refuses it.
        if let Some(other) = taken.insert(*id, member).filter(|_| *id > 0) {
            found.add(
                &at,
                format!("{member} = {id}, and {other} has that number"),
                "give each member a number of its own, or 0",
            );
        }
    }
}

/// Tables by member name no others.
fn by_member(name: &str, bond: &BondConfig, found: &mut Found) {
    let tables = [
        ("actor_port_prio", bond.actor_port_prio.keys().collect()),
        ("prio", bond.prio.keys().collect::<Vec<_>>()),
        ("queue_id", bond.queue_id.keys().collect()),
    ];
    let known: Vec<&str> = bond.members.iter().map(String::as_str).collect();
    for (key, named) in tables {
        for member in named {
            if !bond.members.contains(member) {
                found.add(
                    &["bond", name, key, member],
                    format!("\"{member}\" is no member of this bond"),
                    known_hint(member, "member", &known),
                );
            }
        }
    }
}

fn members(config: &Config, name: &str, bond: &BondConfig, found: &mut Found) {
    let mut seen = BTreeSet::new();
    for (index, member) in bond.members.iter().enumerate() {
        if found.is_full() {
            return;
        }
        let place = format!("members[{index}]");
        let mut complain = |message: String, hint: String| {
            let mut path = crate::text::path(&["bond", name]);
            path = format!("{path}.{place}");
            let error = crate::config::ConfigError::new(path, message);
            found.errors.push(error.hint(hint));
        };
        if !seen.insert(member) {
            let hint = "name each member once".to_owned();
            complain(format!("\"{member}\" is named twice"), hint);
        } else if let Err(error) = super::check_name("device", member) {
            complain(error.message, error.hint.unwrap_or_default());
        } else if config.bond.contains_key(member) {
            let hint = "a bond's members are network devices or ports".to_owned();
            complain(format!("\"{member}\" is itself a bond"), hint);
        } else if config.bridge.contains_key(member) || config.host.contains_key(member) {
            let hint = "a bond's members are network devices or ports".to_owned();
            complain(format!("\"{member}\" is a bridge or host port"), hint);
        } else if let Some(other) = config.bond_of(member).filter(|other| *other != name) {
            let hint = "a member belongs to one bond".to_owned();
            complain(
                format!("\"{member}\" is a member of bond \"{other}\""),
                hint,
            );
        }
    }
}

/// What `[port.NAME]` of a member may not say: it is the bond's.
pub(super) fn member_port(name: &str, bond: &str, port: &PortConfig, found: &mut Found) {
    let standard = PortConfig::default();
    let said = [
        ("bridge", port.bridge.is_some()),
        ("vlan", port.vlan.is_some()),
        ("native_vlan", port.native_vlan.is_some()),
        ("trunk", !port.trunk.is_empty()),
        ("vlans", port.vlans.is_some()),
        (
            "accept_frames",
            port.accept_frames != standard.accept_frames,
        ),
        ("hairpin", port.hairpin),
        ("isolated", port.isolated),
        ("learning", !port.learning),
        ("flood", !port.flood),
        ("mcast_flood", !port.mcast_flood),
        ("bcast_flood", !port.bcast_flood),
        ("state", port.state != standard.state),
        ("group_fwd_mask", port.group_fwd_mask != 0),
        ("bpdu", port.bpdu != standard.bpdu),
        ("mac_limit", port.mac_limit.is_some()),
        ("mtu", port.mtu.is_some()),
        ("queue_mapping", port.queue_mapping != 0),
        ("ingress_rate", port.ingress_rate.is_some()),
        ("egress_rate", port.egress_rate.is_some()),
    ];
    for (key, _) in said.iter().filter(|(_, said)| *said) {
        found.add(
            &["port", name, key],
            format!("this port is a member of bond \"{bond}\", whose \"{key}\" counts"),
            format!("say it in [port.{bond}] with kind = \"bond\""),
        );
    }
    if port.kind == PortKind::Bond {
        kind(name, port, found);
    }
}

/// A port of kind `bond` without a bond, or a bond whose port is of another kind.
pub(super) fn kind(name: &str, port: &PortConfig, found: &mut Found) {
    let at = ["port", name, "kind"];
    if port.kind == PortKind::Bond {
        found.add(
            &at,
            format!("there is no bond \"{name}\""),
            format!("write [bond.{name}] with its members"),
        );
    } else {
        found.add(
            &at,
            format!("\"{name}\" is a bond, and this port is a {}", port.kind),
            "set kind = \"bond\", or give one of the two another name",
        );
    }
}
