//! `[bond.NAME]`: several ports that are one towards the bridge, under the kernel's option names.
//!
//! A bond and its members are ports: `[port.NAME]` with `kind = "bond"` says how a bond sits on its
//! bridge (VLANs, floods, MTU), and `[port.MEMBER]` what a member is made of. Where there is no such table,
//! a bond is a port with the defaults, on the bridge whose `uplink` it is, and a member is the network
//! device of its name. Pure; any thread. Implements features.md A-00..A-03, K-01, K-03, K-11, K-12,
//! K-19..K-21, K-38.

use super::values::{BondMode, HashPolicy, PrimaryReselect};
use super::{Config, PortConfig, PortKind};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

/// The most members of a bond.
pub const MEMBERS_MAX: usize = 64;

/// `[bond.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BondConfig {
    /// How members share the traffic, by the kernel's name or number. Default `balance-rr`, as there.
    #[serde(deserialize_with = "mode")]
    pub mode: BondMode,
    /// Its members, in the order that counts where none is preferred: network devices, or ports of this
    /// configuration.
    pub members: Vec<String>,
    /// What a frame's member depends on in `balance-xor`.
    pub xmit_hash_policy: HashPolicy,
    /// Mixed into the hash, so that two switches in a row do not choose alike; 0: the kernel's choice.
    pub hash_seed: u32,
    /// Frames in a row for each member in `balance-rr`: 0..=65535; 0: a member at random for each frame.
    pub packets_per_slave: PacketsPerMember,
    /// The member to prefer in `active-backup`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// When a preferred member that returns becomes active again.
    pub primary_reselect: PrimaryReselect,
    /// Milliseconds that a link must be up before its member is used: 0..=2,147,483,647.
    pub updelay: u32,
    /// Milliseconds that a link may be down before its member is given up.
    pub downdelay: u32,
    /// Whether members that are not active let frames in all the same.
    pub all_slaves_active: bool,
}

/// A mode by its name, or by its number as a number or text.
fn mode<'de, D: Deserializer<'de>>(from: D) -> Result<BondMode, D::Error> {
    struct ModeVisitor;
    impl de::Visitor<'_> for ModeVisitor {
        type Value = BondMode;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a bonding mode by name or number")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<BondMode, E> {
            match text {
                "0" => Ok(BondMode::BalanceRr),
                "1" => Ok(BondMode::ActiveBackup),
                "2" => Ok(BondMode::BalanceXor),
                "3" => Ok(BondMode::Broadcast),
                "4" | "802.3ad" | "5" | "balance-tlb" | "6" | "balance-alb" => {
                    Err(E::custom(format!(
                        "mode \"{text}\" is not in this version; there are: {}",
                        BondMode::NAMES.join(", ")
                    )))
                }
                other => other.parse().map_err(E::custom),
            }
        }
        fn visit_u64<E: de::Error>(self, number: u64) -> Result<BondMode, E> {
            self.visit_str(&number.to_string())
        }
        fn visit_i64<E: de::Error>(self, number: i64) -> Result<BondMode, E> {
            self.visit_str(&number.to_string())
        }
    }
    from.deserialize_any(ModeVisitor)
}

/// See [`BondConfig::packets_per_slave`]; 1 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PacketsPerMember(pub u32);

impl Default for PacketsPerMember {
    fn default() -> Self {
        Self(1)
    }
}

impl Config {
    /// The bond that a port is a member of.
    pub fn bond_of(&self, port: &str) -> Option<&str> {
        let is_member = |bond: &BondConfig| bond.members.iter().any(|member| member == port);
        let found = self.bond.iter().find(|(_, bond)| is_member(bond));
        found.map(|(name, _)| name.as_str())
    }

    /// A port as it is meant: its table, or what a bond or member without one is. `None` where nothing of
    /// that name is a port; host ports are none.
    pub fn port_of(&self, name: &str) -> Option<Cow<'_, PortConfig>> {
        let implied = |kind| {
            Some(Cow::Owned(PortConfig {
                kind,
                ..PortConfig::default()
            }))
        };
        match self.port.get(name) {
            Some(port) => Some(Cow::Borrowed(port)),
            None if self.bond.contains_key(name) => implied(PortKind::Bond),
            None if self.bond_of(name).is_some() => implied(PortKind::Nic),
            None => None,
        }
    }

    /// How many ports and host ports there are at most, bonds and members counted.
    pub(super) fn port_count(&self) -> usize {
        let members: usize = self.bond.values().map(|bond| bond.members.len()).sum();
        self.port.len() + self.host.len() + self.bond.len() + members
    }

    /// Names of all ports, those included that have no table of their own; ascending.
    pub fn port_names(&self) -> BTreeSet<&str> {
        let members = self.bond.values().flat_map(|bond| &bond.members);
        let names = self.port.keys().chain(self.bond.keys()).chain(members);
        names.map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests;
