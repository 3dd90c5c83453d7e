//! Checks of what objects are called and of what several objects may not share: names,
//! devices, uplinks, addresses.

use std::collections::BTreeMap;

use super::{ConfigError, Found};
use crate::config::{Config, NAME_MAX, PortKind};
use crate::text::{excerpt, path};

/// Checks one object or device name by the kernel's rules for interface names.
///
/// `what` is the kind of object for the message ("port", "bridge", "device").
///
/// # Errors
///
/// What is wrong with the name; its `path` is `what.NAME`.
pub fn check_name(what: &str, name: &str) -> Result<(), ConfigError> {
    let shown = excerpt(name, 40);
    let bad = |why: String, hint: &str| {
        Err(ConfigError::new(
            path(&[what, name]),
            format!("the {what} name \"{shown}\" {why}"),
        )
        .hint(hint))
    };
    if name.is_empty() {
        return bad("is empty".to_owned(), "names are 1 to 15 characters long");
    }
    if !name.is_ascii() {
        return bad(
            "has characters outside ASCII".to_owned(),
            "use letters, digits, \"-\", \"_\" and \".\"",
        );
    }
    if name.len() > NAME_MAX {
        let why = format!("has {} characters", name.len());
        return bad(why, "interface names of the kernel have at most 15");
    }
    if name == "." || name == ".." {
        return bad(
            "means a folder".to_owned(),
            "use letters, digits, \"-\", \"_\" and \".\"",
        );
    }
    let forbidden = |c: char| {
        c == '/' || c == ':' || c == '%' || c.is_ascii_whitespace() || c.is_ascii_control()
    };
    if let Some(c) = name.chars().find(|c| forbidden(*c)) {
        return bad(
            format!("has the character {c:?}"),
            "use letters, digits, \"-\", \"_\" and \".\"",
        );
    }
    Ok(())
}

/// Names of objects, and names that two kinds of objects share.
pub(super) fn objects(config: &Config, found: &mut Found) {
    let kinds = [
        ("bridge", config.bridge.keys().collect::<Vec<_>>()),
        ("bond", config.bond.keys().collect()),
        ("port", config.port.keys().collect()),
        ("host", config.host.keys().collect()),
    ];
    for (kind, names) in kinds {
        for name in names {
            found.errors.extend(check_name(kind, name).err());
        }
    }
    let bonds = config
        .bond
        .keys()
        .filter(|name| !config.port.contains_key(*name));
    let bonds = bonds.map(|name| ("bond", name));
    for (kind, name) in bonds.chain(config.port.keys().map(|name| ("port", name))) {
        let at = [kind, name.as_str()];
        if config.bridge.contains_key(name) {
            found.add(
                &at,
                format!("\"{name}\" is also a bridge"),
                "give it another name; only a host port may have its bridge's",
            );
        }
        if config.host.contains_key(name) {
            found.add(
                &at,
                format!("\"{name}\" is also a host port"),
                "give one of them another name",
            );
        }
    }
    for (name, host) in &config.host {
        if config.bridge.contains_key(name) && host.bridge != *name && !host.bridge.is_empty() {
            found.add(
                &["host", name, "bridge"],
                format!("host port \"{name}\" has the name of a bridge that it is not on"),
                format!("set bridge = \"{name}\", or give the host port another name"),
            );
        }
    }
}

/// Network devices that two objects claim, and uplinks that two bridges claim (S-22).
pub(super) fn devices(config: &Config, found: &mut Found) {
    let mut owner: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    let hosts = config
        .host
        .keys()
        .map(|name| (name.as_str(), "host", name.as_str(), false));
    let ports = config
        .port
        .iter()
        .filter_map(|(name, port)| match port.kind {
            // In another namespace the name is free again.
            PortKind::Nic | PortKind::Tap if port.netns.is_some() => None,
            PortKind::Nic => {
                let device = port.device.as_deref().unwrap_or(name);
                Some((device, "port", name.as_str(), port.device.is_some()))
            }
            PortKind::Tap => Some((name.as_str(), "port", name.as_str(), false)),
            PortKind::Mem | PortKind::Bond => None,
        });
    // Members that are devices. Members with a table are among the ports already.
    let members = config.bond.values().flat_map(|bond| &bond.members);
    let members = members
        .filter(|name| !config.port.contains_key(*name))
        .map(|name| (name.as_str(), "member", name.as_str(), false));
    let ports = ports.chain(members);
    for (device, kind, name, named) in hosts.chain(ports) {
        let Some((other_kind, other)) = owner.insert(device, (kind, name)) else {
            continue;
        };
        if other == name {
            continue; // A host and a port of one name: reported as a clash of names.
        }
        let at = ["port", name, "device"];
        found.add(
            if named { &at } else { &at[..2] },
            format!("device \"{device}\" is already used by {other_kind} \"{other}\""),
            "a device belongs to one port: remove one of the two",
        );
    }
    let mut bridge_of: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, bridge) in &config.bridge {
        let Some(uplink) = bridge.uplink.as_deref() else {
            continue;
        };
        if let Some(other) = bridge_of.insert(uplink, name) {
            found.add(
                &["bridge", name, "uplink"],
                format!("\"{uplink}\" is already the uplink of bridge \"{other}\""),
                "an uplink belongs to one bridge",
            );
        }
    }
}

/// IP and Ethernet addresses that two host ports claim.
pub(super) fn addresses(config: &Config, found: &mut Found) {
    let mut ip_owner = BTreeMap::new();
    let mut mac_owner = BTreeMap::new();
    for (name, host) in &config.host {
        for cidr in &host.addresses {
            if let Some(other) = ip_owner.insert(cidr.address, name) {
                found.add(
                    &["host", name, "addresses"],
                    format!(
                        "{} is already an address of host port \"{other}\"",
                        cidr.address
                    ),
                    "an address belongs to one host port",
                );
            }
        }
        if let Some(mac) = host.mac
            && let Some(other) = mac_owner.insert((&host.bridge, mac), name)
        {
            found.add(
                &["host", name, "mac"],
                format!("{mac} is already the address of host port \"{other}\""),
                "two devices on one bridge need two addresses",
            );
        }
    }
}
