//! A request as an edit of the desired configuration: old configuration in, new one out.
//!
//! Guarantees: the input is not changed; a request that cannot be done says so with a typed
//! error and gives nothing; protected objects are the same before and after (S-21), whatever
//! the verb. Every other rule is left to `config::check` and to the controller's facts, which
//! look at the result. Pure; any thread. Implements house.md 4.6 step 3, features.md S-20, S-21,
//! S-48, 3.2.3.

mod bonds;

use serde_json::{Map, Value};

use super::{Config, HostConfig, PortConfig, StaticEntry, tree};
use crate::error::ApiError;
use crate::request::{
    AddBridge, AddPort, AddVlan, DelBridge, DelPort, DelVlan, FdbAdd, FdbDel, Request, SetBridge,
    SetPort,
};

/// The configuration after a request; `None` if the request changes no configuration.
///
/// # Errors
///
/// `NotFound`, `AlreadyExists`, `InUse`, `Protected`, `InvalidParameter`, or `InvalidConfig`
/// with what is wrong in the options of the request.
pub fn edit(config: &Config, request: &Request) -> Result<Option<Config>, ApiError> {
    let mut new = config.clone();
    match request {
        Request::Plan(plan) => return plan.config().map(Some),
        Request::Apply(apply) => new = apply.config()?,
        Request::AddBridge(add) => add_bridge(&mut new, add)?,
        Request::SetBridge(set) => set_bridge(&mut new, set)?,
        Request::DelBridge(del) => del_bridge(&mut new, del)?,
        Request::AddPort(add) => add_port(&mut new, add)?,
        Request::SetPort(set) => set_port(&mut new, set)?,
        Request::DelPort(del) => del_port(&mut new, del)?,
        Request::AddVlan(add) => add_vlan(&mut new, add)?,
        Request::DelVlan(del) => del_vlan(&mut new, del)?,
        Request::BondAdd(add) => bonds::add(&mut new, add)?,
        Request::BondSet(set) => bonds::set(&mut new, set)?,
        Request::BondDel(del) => bonds::del(&mut new, del)?,
        Request::BondAddMember(add) => bonds::add_member(&mut new, add)?,
        Request::BondDelMember(del) => bonds::del_member(&mut new, del)?,
        Request::FdbAdd(add) => fdb_add(&mut new, add)?,
        Request::FdbDel(del) => fdb_del(&mut new, del)?,
        _ => return Ok(None),
    }
    guard_protected(config, &new)?;
    Ok(Some(new))
}

/// Refuses a change of what the configuration file protects: a bridge with `protected = true`,
/// its uplink's port, and its host ports (S-21). Other ports may come and go on it.
///
/// # Errors
///
/// `Protected` with the object that would change.
pub fn guard_protected(old: &Config, new: &Config) -> Result<(), ApiError> {
    let refuse = |kind: &str, name: &str, bridge: &str| {
        Err(ApiError::Protected {
            kind: kind.to_owned(),
            name: name.to_owned(),
            reason: format!("bridge \"{bridge}\" is protected by the configuration file"),
            hint: Some("change the configuration file, then: systemctl reload vswitchd".to_owned()),
        })
    };
    for (name, bridge) in old.bridge.iter().filter(|(_, bridge)| bridge.protected) {
        if new.bridge.get(name) != Some(bridge) {
            return refuse("bridge", name, name);
        }
        if let Some(uplink) = &bridge.uplink
            && (old.port.get(uplink) != new.port.get(uplink)
                || old.bond.get(uplink) != new.bond.get(uplink))
        {
            return refuse("port", uplink, name);
        }
        let hosts = |config: &Config| -> Vec<(String, HostConfig)> {
            let on = config.host.iter().filter(|(_, host)| host.bridge == *name);
            on.map(|(name, host)| (name.clone(), host.clone()))
                .collect()
        };
        let (before, after) = (hosts(old), hosts(new));
        if let Some((host, _)) = before.iter().find(|host| !after.contains(host)) {
            return refuse("host", host, name);
        }
    }
    // A bridge does not become protected by the API: nobody could undo it there.
    let made = |(name, bridge): &(&String, &super::BridgeConfig)| {
        bridge.protected && !old.bridge.get(*name).is_some_and(|old| old.protected)
    };
    match new.bridge.iter().find(made) {
        Some((name, _)) => Err(ApiError::InvalidConfig {
            errors: vec![
                super::ConfigError::new(
                    crate::text::path(&["bridge", name, "protected"]),
                    "only the configuration file protects a bridge",
                )
                .hint("leave \"protected\" out here"),
            ],
        }),
        None => Ok(()),
    }
}

fn no_bridge(config: &Config, name: &str) -> ApiError {
    ApiError::not_found("bridge", name, config.bridge.keys().map(String::as_str))
}

fn no_port(config: &Config, name: &str) -> ApiError {
    if let Some(bond) = config.bond_of(name) {
        return ApiError::InUse {
            kind: "port".to_owned(),
            name: name.to_owned(),
            users: vec![format!("bond {bond}")],
            hint: Some(format!(
                "its VLANs and its place are those of {bond}: see [bond.{bond}]"
            )),
        };
    }
    let known = config.port_names().into_iter();
    ApiError::not_found(
        "port",
        name,
        known.chain(config.host.keys().map(String::as_str)),
    )
}

fn exists(kind: &str, name: &str) -> ApiError {
    ApiError::AlreadyExists {
        kind: kind.to_owned(),
        name: name.to_owned(),
        hint: Some(format!("change it: vswctl {kind} set {name} ...")),
    }
}

fn add_bridge(config: &mut Config, add: &AddBridge) -> Result<(), ApiError> {
    let bridge = tree::bridge(&add.name, &add.config)?;
    match config.bridge.get(&add.name) {
        Some(present) if add.may_exist && *present == bridge => return Ok(()),
        Some(_) => return Err(exists("bridge", &add.name)),
        None => {}
    }
    config.bridge.insert(add.name.clone(), bridge);
    Ok(())
}

/// The fields of an object with some of them replaced, or, where the new value is `null`, left
/// out, which is their default.
fn merged(present: &impl serde::Serialize, changes: &Value) -> Result<Value, ApiError> {
    let Some(changes) = changes.as_object() else {
        return Err(ApiError::parameter(
            "config",
            "the options to change are an object",
        ));
    };
    let mut fields = match serde_json::to_value(present) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    for (key, value) in changes {
        if value.is_null() && fields.remove(key).is_some() {
            continue;
        }
        fields.insert(key.clone(), value.clone());
    }
    Ok(Value::Object(fields))
}

fn set_bridge(config: &mut Config, set: &SetBridge) -> Result<(), ApiError> {
    let Some(present) = config.bridge.get(&set.name) else {
        return Err(no_bridge(config, &set.name));
    };
    let bridge = tree::bridge(&set.name, &merged(present, &set.config)?)?;
    config.bridge.insert(set.name.clone(), bridge);
    Ok(())
}

fn del_bridge(config: &mut Config, del: &DelBridge) -> Result<(), ApiError> {
    if !config.bridge.contains_key(&del.name) {
        return if del.if_exists {
            Ok(())
        } else {
            Err(no_bridge(config, &del.name))
        };
    }
    let users: Vec<String> = config
        .members_of(&del.name)
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    if !users.is_empty() && !del.cascade {
        return Err(ApiError::InUse {
            kind: "bridge".to_owned(),
            name: del.name.clone(),
            users,
            hint: Some(format!(
                "remove its ports first, or all at once: vswctl bridge del {} --cascade",
                del.name
            )),
        });
    }
    for user in users {
        config.port.remove(&user);
        config.bond.remove(&user);
        if config
            .host
            .get(&user)
            .is_some_and(|host| host.bridge == del.name)
        {
            config.host.remove(&user);
        }
    }
    config.bridge.remove(&del.name);
    Ok(())
}

fn add_port(config: &mut Config, add: &AddPort) -> Result<(), ApiError> {
    let port = tree::port(&add.name, &add.config)?;
    match config.port.get(&add.name) {
        Some(present) if add.may_exist && *present == port => return Ok(()),
        Some(_) => return Err(exists("port", &add.name)),
        None if config.host.contains_key(&add.name) => return Err(exists("host", &add.name)),
        None => {}
    }
    config.port.insert(add.name.clone(), port);
    Ok(())
}

/// The fields by which a port says its VLANs; saying one of them takes the others back, so that
/// `port set vm1 --vlan 5` makes an access port of a trunk.
const VLAN_FIELDS: [&str; 4] = ["vlan", "native_vlan", "trunk", "vlans"];

/// Like [`merged`], but new VLAN fields replace all old ones.
fn merged_port(present: &impl serde::Serialize, changes: &Value) -> Result<Value, ApiError> {
    let mut fields = merged(present, changes)?;
    let said = |key: &&str| changes.get(*key).is_some_and(|value| !value.is_null());
    if VLAN_FIELDS.iter().any(said)
        && let Some(fields) = fields.as_object_mut()
    {
        // native_vlan and trunk make one form together: each may be changed alone.
        let trunk_form = said(&"native_vlan") || said(&"trunk");
        fields.retain(|key, _| {
            let is_vlan = VLAN_FIELDS.contains(&key.as_str());
            let same_form = trunk_form && (key == "native_vlan" || key == "trunk");
            !is_vlan || said(&key.as_str()) || same_form
        });
    }
    Ok(fields)
}

fn set_port(config: &mut Config, set: &SetPort) -> Result<(), ApiError> {
    if let Some(present) = config.port.get(&set.name) {
        let port: PortConfig = tree::port(&set.name, &merged_port(present, &set.config)?)?;
        config.port.insert(set.name.clone(), port);
        return Ok(());
    }
    let Some(present) = config.host.get(&set.name) else {
        return Err(no_port(config, &set.name));
    };
    // On a host port `vlan` and `trunk` go together: only "vlans" excludes them.
    let mut fields = merged(present, &set.config)?;
    if let Some(fields) = fields.as_object_mut() {
        let said = |key: &str| set.config.get(key).is_some_and(|value| !value.is_null());
        if said("vlans") {
            fields.retain(|key, _| !(key == "vlan" || key == "trunk") || said(key));
        } else if said("vlan") || said("trunk") {
            fields.remove("vlans");
        }
    }
    let host = tree::host(&set.name, &fields)?;
    config.host.insert(set.name.clone(), host);
    Ok(())
}

fn del_port(config: &mut Config, del: &DelPort) -> Result<(), ApiError> {
    let name = &del.name;
    if let Some(bridge) = config.uplink_of(name).map(str::to_owned)
        && config.port.contains_key(name)
    {
        return Err(ApiError::InUse {
            kind: "port".to_owned(),
            name: name.clone(),
            users: vec![format!("bridge {bridge}")],
            hint: Some(format!(
                "it is the uplink; first: vswctl bridge set {bridge} uplink="
            )),
        });
    }
    if config.port.remove(name).is_none() && config.host.remove(name).is_none() {
        return if del.if_exists {
            Ok(())
        } else {
            Err(no_port(config, name))
        };
    }
    for bridge in config
        .bridge
        .values_mut()
        .filter(|bridge| !bridge.protected)
    {
        bridge.fdb.retain(|entry| entry.port != *name); // An address behind a port goes with it.
    }
    Ok(())
}

fn add_vlan(config: &mut Config, add: &AddVlan) -> Result<(), ApiError> {
    let range = add.range()?;
    let Some(mut table) = config.membership_of(&add.port) else {
        return Err(no_port(config, &add.port));
    };
    table.add(range, add.pvid, add.untagged);
    config.set_membership(&add.port, &table);
    Ok(())
}

fn del_vlan(config: &mut Config, del: &DelVlan) -> Result<(), ApiError> {
    let range = del.range()?;
    let Some(mut table) = config.membership_of(&del.port) else {
        return Err(no_port(config, &del.port));
    };
    if !table.remove(range) {
        let tagged = table.tagged.ranges().iter().chain(table.untagged.ranges());
        let known: Vec<String> = tagged.map(ToString::to_string).collect();
        return Err(ApiError::NotFound {
            kind: "vlan".to_owned(),
            name: range.to_string(),
            hint: Some(if known.is_empty() {
                format!("port \"{}\" is in no VLAN", del.port)
            } else {
                format!("port \"{}\" is in VLAN {}", del.port, known.join(", "))
            }),
            known,
        });
    }
    config.set_membership(&del.port, &table);
    Ok(())
}

fn fdb_add(config: &mut Config, add: &FdbAdd) -> Result<(), ApiError> {
    let Some(on) = config.bridge_of(&add.port).map(str::to_owned) else {
        return Err(no_port(config, &add.port));
    };
    let name = add.bridge.as_deref().unwrap_or(&on);
    let Some(bridge) = config.bridge.get_mut(name) else {
        return Err(no_bridge(config, name));
    };
    let default = bridge.default_pvid;
    let vlan = add.vlan.unwrap_or(default);
    let entry = StaticEntry {
        mac: add.mac,
        vlan: add.vlan,
        port: add.port.clone(),
        kind: add.kind.unwrap_or_default(),
    };
    // As `bridge fdb replace`: an address is behind one port, the last that was said.
    bridge
        .fdb
        .retain(|known| (known.mac, known.vlan.unwrap_or(default)) != (add.mac, vlan));
    bridge.fdb.push(entry);
    Ok(())
}

fn fdb_del(config: &mut Config, del: &FdbDel) -> Result<(), ApiError> {
    let Some(bridge) = config.bridge.get_mut(&del.bridge) else {
        return Err(no_bridge(config, &del.bridge));
    };
    let default = bridge.default_pvid;
    let vlan = del.vlan.unwrap_or(default);
    let before = bridge.fdb.len();
    bridge
        .fdb
        .retain(|known| (known.mac, known.vlan.unwrap_or(default)) != (del.mac, vlan));
    if bridge.fdb.len() == before {
        let known: Vec<String> = bridge
            .fdb
            .iter()
            .take(100)
            .map(|entry| format!("{} vlan {}", entry.mac, entry.vlan.unwrap_or(default)))
            .collect();
        return Err(ApiError::NotFound {
            kind: "address".to_owned(),
            name: format!("{} vlan {vlan}", del.mac),
            known,
            hint: Some(format!(
                "only configured addresses are deleted; learned ones: vswctl fdb flush --mac {}",
                del.mac
            )),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
