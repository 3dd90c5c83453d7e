//! Edits of bonds and of who is their member.
//!
//! A member is on no bridge of its own, and neither is its table: when it leaves its bond, its table
//! goes too. Whether the result is sound is judged by `config::check`, as with every edit.

use super::{exists, merged, no_bridge};
use crate::config::{Config, PortConfig, PortKind, tree};
use crate::error::ApiError;
use crate::request::{BondAdd, BondAddMember, BondDel, BondDelMember, BondSet};

fn no_bond(config: &Config, name: &str) -> ApiError {
    ApiError::not_found("bond", name, config.bond.keys().map(String::as_str))
}

fn in_use(kind: &str, name: &str, user: String, hint: String) -> ApiError {
    ApiError::InUse {
        kind: kind.to_owned(),
        name: name.to_owned(),
        users: vec![user],
        hint: Some(hint),
    }
}

pub(super) fn add(config: &mut Config, add: &BondAdd) -> Result<(), ApiError> {
    let name = &add.name;
    let bond = tree::bond(name, &add.config)?;
    if let Some(bridge) = add.bridge.as_deref()
        && !config.bridge.contains_key(bridge)
    {
        return Err(no_bridge(config, bridge));
    }
    match config.bond.get(name) {
        Some(present) if add.may_exist && *present == bond => return Ok(()),
        Some(_) => return Err(exists("bond", name)),
        None if config.host.contains_key(name) => return Err(exists("host", name)),
        None => {}
    }
    let uplink = config.uplink_of(name);
    if let Some(bridge) = add.bridge.clone().filter(|at| uplink != Some(at.as_str()))
        && !config.port.contains_key(name)
    {
        let port = PortConfig {
            kind: PortKind::Bond,
            bridge: Some(bridge),
            ..PortConfig::default()
        };
        config.port.insert(name.clone(), port);
    }
    config.bond.insert(name.clone(), bond);
    Ok(())
}

pub(super) fn set(config: &mut Config, set: &BondSet) -> Result<(), ApiError> {
    let Some(present) = config.bond.get(&set.name) else {
        return Err(no_bond(config, &set.name));
    };
    let bond = tree::bond(&set.name, &merged(present, &set.config)?)?;
    config.bond.insert(set.name.clone(), bond);
    Ok(())
}

pub(super) fn del(config: &mut Config, del: &BondDel) -> Result<(), ApiError> {
    let name = &del.name;
    if !config.bond.contains_key(name) {
        return match del.if_exists {
            true => Ok(()),
            false => Err(no_bond(config, name)),
        };
    }
    if let Some(bridge) = config.uplink_of(name) {
        let hint = format!("it is the uplink; first: vswctl bridge set {bridge} uplink=");
        return Err(in_use("bond", name, format!("bridge {bridge}"), hint));
    }
    let bond = config.bond.remove(name).unwrap_or_default();
    for port in bond.members.iter().chain([name]) {
        config.port.remove(port);
    }
    let bridges = config.bridge.values_mut();
    for bridge in bridges.filter(|bridge| !bridge.protected) {
        bridge.fdb.retain(|entry| entry.port != *name); // An address behind a port goes with it.
    }
    Ok(())
}

pub(super) fn add_member(config: &mut Config, add: &BondAddMember) -> Result<(), ApiError> {
    let (name, member) = (&add.bond, &add.member);
    if !config.bond.contains_key(name) {
        return Err(no_bond(config, name));
    }
    match config.bond_of(member) {
        Some(other) if other == name => {
            return Err(ApiError::AlreadyExists {
                kind: "member".to_owned(),
                name: member.clone(),
                hint: Some(format!("look at it: vswctl bond show {name}")),
            });
        }
        Some(other) => {
            let hint = format!("first: vswctl bond del-member {other} {member}");
            return Err(in_use("port", member, format!("bond {other}"), hint));
        }
        None => {}
    }
    if let Some(bridge) = config.bridge_of(member) {
        let hint = if config.uplink_of(member).is_some() {
            format!(
                "it is the uplink; the bond can take its place: vswctl bridge set {bridge} --uplink {name}"
            )
        } else {
            format!("first: vswctl port del {member}")
        };
        return Err(in_use("port", member, format!("bridge {bridge}"), hint));
    }
    if let Some(bond) = config.bond.get_mut(name) {
        bond.members.push(member.clone());
    }
    Ok(())
}

pub(super) fn del_member(config: &mut Config, del: &BondDelMember) -> Result<(), ApiError> {
    let (name, member) = (&del.bond, &del.member);
    let Some(bond) = config.bond.get_mut(name) else {
        return Err(no_bond(config, name));
    };
    if !bond.members.contains(member) {
        let known = bond.members.iter().map(String::as_str);
        return Err(ApiError::not_found("member", member, known));
    }
    if bond.members.len() == 1 {
        let hint =
            format!("it is the last one; to take the whole bond away: vswctl bond del {name}");
        return Err(in_use("member", member, format!("bond {name}"), hint));
    }
    bond.members.retain(|known| known != member);
    bond.primary = bond.primary.take().filter(|primary| primary != member);
    bond.prio.remove(member);
    bond.actor_port_prio.remove(member);
    bond.queue_id.remove(member);
    config.port.remove(member);
    Ok(())
}

#[cfg(test)]
mod tests;
