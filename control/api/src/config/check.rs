//! Everything that is wrong with a configuration and can be known without looking at the
//! machine.
//!
//! Guarantees: all errors are reported, not only the first; each names the path of the value
//! that an operator would change, what is wrong, and (`hint`) what to do; the order is that of
//! the configuration (daemon, bridges, bonds, ports, hosts). Pure; any thread.
//! Implements features.md S-20..S-22, B-09, V-03, V-10, F-03..F-08, interfaces.md §6.
//! Not here: whether a device exists, is free, or can do what is asked (the controller's facts).

mod bonds;
mod names;
mod objects;
mod protection;

use std::fmt;

use super::{
    BRIDGES_MAX, Config, MTU_MAX, MTU_MIN, Mac, Membership, PORTS_MAX, PortVlan, VlanSet, vlans,
};
use crate::text::path;

pub use names::check_name;

/// The most errors that one check reports: more help nobody, and a stranger's configuration of
/// 16 MiB must not become a reply of gigabytes.
pub const ERRORS_MAX: usize = 100;

/// One thing that is wrong with a configuration.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct ConfigError {
    /// The value that is wrong, such as `port.vm1.vlan` or `host."mgmt-br.100".mtu`.
    pub path: String,
    /// What is wrong with it, without the path.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ConfigError {
    /// An error without a hint.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
            hint: None,
        }
    }

    /// The same error with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Checks a whole configuration. An empty list means that it contradicts nothing but, perhaps,
/// the machine.
pub fn check(config: &Config) -> Vec<ConfigError> {
    let mut found = Found::default();
    for (kind, count, most) in [
        ("bridge", config.bridge.len(), BRIDGES_MAX),
        ("port", config.port_count(), PORTS_MAX),
    ] {
        if count > most {
            let hint = format!("a daemon has at most {most}, host ports counted as ports");
            found.add(&[kind], format!("these are {count} {kind}s"), hint);
        }
    }
    if !found.errors.is_empty() {
        return found.errors; // The checks below take time by the number of objects.
    }
    objects::daemon(config, &mut found);
    names::objects(config, &mut found);
    for (name, bridge) in &config.bridge {
        objects::bridge(config, name, bridge, &mut found);
    }
    for (name, bond) in &config.bond {
        bonds::bond(config, name, bond, &mut found);
    }
    for (name, port) in &config.port {
        objects::port(config, name, port, &mut found);
    }
    for (name, host) in &config.host {
        objects::host(config, name, host, &mut found);
    }
    names::devices(config, &mut found);
    names::addresses(config, &mut found);
    found.errors.truncate(ERRORS_MAX);
    found.errors
}

/// The errors found so far.
#[derive(Default)]
struct Found {
    errors: Vec<ConfigError>,
}

impl Found {
    fn is_full(&self) -> bool {
        self.errors.len() >= ERRORS_MAX
    }

    fn add(&mut self, at: &[&str], message: impl Into<String>, hint: impl Into<String>) {
        self.errors
            .push(ConfigError::new(path(at), message).hint(hint));
    }

    /// Reports a VLAN id that is none (V-10).
    fn vid(&mut self, at: &[&str], vid: u16) {
        if !vlans::is_usable(vid) {
            let why = match vid {
                0 => "VLAN 0 is no VLAN: it marks frames that only carry a priority".to_owned(),
                4095 => "VLAN 4095 is reserved by 802.1Q".to_owned(),
                _ => format!("there is no VLAN {vid}"),
            };
            self.add(at, why, "VLAN ids are 1 to 4094");
        }
    }

    /// Reports the first VLAN id of a set that is none.
    fn vlan_set(&mut self, at: &[&str], set: &VlanSet) {
        let first = set.ranges().first().map(|range| range.first);
        let last = set.ranges().last().map(|range| range.last);
        if let Some(bad) = first.filter(|vid| !vlans::is_usable(*vid)).or(last) {
            self.vid(at, bad);
        }
    }

    /// Reports wrong VLANs, a VLAN twice, or two PVIDs in a full-control list.
    fn entries(&mut self, kind: &str, name: &str, entries: &[PortVlan]) {
        let mut table = Membership::default();
        for (index, entry) in entries.iter().enumerate() {
            if self.is_full() {
                return;
            }
            let place = format!("vlans[{index}]");
            let at = |key: &str| format!("{}.{place}.{key}", path(&[kind, name]));
            let mut error = |key: &str, message: String, hint: &str| {
                self.errors
                    .push(ConfigError::new(at(key), message).hint(hint));
            };
            let range = entry.vid;
            if !vlans::is_usable(range.first) || !vlans::is_usable(range.last) {
                let message = format!("{range} is not a VLAN id or range of them");
                error("vid", message, "VLAN ids are 1 to 4094");
                continue;
            }
            let seen: VlanSet = table
                .untagged
                .ranges()
                .iter()
                .chain(table.tagged.ranges())
                .copied()
                .collect();
            if let Some(vid) = seen.first_common(&range.into()) {
                error(
                    "vid",
                    format!("VLAN {vid} is listed twice"),
                    "keep one entry for each VLAN",
                );
            }
            if entry.pvid && range.first != range.last {
                let message = format!("the range {range} cannot be the PVID");
                error(
                    "pvid",
                    message,
                    "untagged frames enter one VLAN: give it an entry of its own",
                );
            } else if entry.pvid
                && let Some(first) = table.pvid
            {
                let message = format!("VLAN {range} and VLAN {first} are both the PVID");
                error(
                    "pvid",
                    message,
                    "untagged frames enter one VLAN: leave pvid = true on one entry",
                );
            }
            let pvid = entry.pvid && table.pvid.is_none();
            table.add(range, false, entry.untagged);
            table.pvid = if pvid { Some(range.first) } else { table.pvid };
        }
    }

    /// Reports an MTU out of bounds, or above that of its bridge (I-09).
    fn mtu(&mut self, at: &[&str], mtu: u32, bridge: Option<(&str, u32)>) {
        if !(MTU_MIN..=MTU_MAX).contains(&mtu) {
            self.add(
                at,
                format!("an MTU of {mtu} is out of range"),
                format!("MTUs are {MTU_MIN} to {MTU_MAX} bytes"),
            );
        } else if let Some((bridge, most)) = bridge
            && mtu > most
            && (MTU_MIN..=MTU_MAX).contains(&most)
        {
            self.add(
                at,
                format!("an MTU of {mtu} is above the {most} of bridge \"{bridge}\""),
                format!(
                    "lower it, or set mtu = {mtu} in [{}]",
                    path(&["bridge", bridge])
                ),
            );
        }
    }

    /// Reports an address that no station can have (B-15).
    fn station(&mut self, at: &[&str], mac: Mac) {
        if !mac.is_station() {
            let what = if mac == Mac::default() {
                "is no address"
            } else {
                "is a group address"
            };
            self.add(
                at,
                format!("{mac} {what}"),
                "a station's address has an even first byte, such as 02:00:00:00:00:01",
            );
        }
    }

    /// Reports a number that is out of its range.
    fn range(&mut self, at: &[&str], value: u32, least: u32, most: u32) {
        if !(least..=most).contains(&value) {
            let key = at.last().copied().unwrap_or_default();
            self.add(
                at,
                format!("{key} = {value} is out of range"),
                format!("from {least} to {most}"),
            );
        }
    }
}

#[cfg(test)]
mod tests;
