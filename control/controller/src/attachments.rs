//! Attachments: ports that container runtimes own, kept apart from the operator's configuration.
//!
//! What runs is the operator's configuration with a `[port.NAME]` for each attachment in it
//! ([`Attachments::merge`]); the same compiler, the same rules and the same errors hold for both. The uplink
//! of a bridge carries what the operator lists and what the attachments on the bridge need: always the union,
//! worked out anew, never counted up and down, so that no order of attaching and detaching can lose or leave
//! a VLAN (features.md N-08, S-20). The bridge's `default_pvid` is the operator's matter alone.
//!
//! Pure.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use vswitch_api::ApiError;
use vswitch_api::config::{Config, Mac, PortConfig, PortKind, VlanRange, VlanSet, tree};
use vswitch_api::request::Attach;
use vswitch_api::types::{AttachMode, Attachment, VlanOwners};

/// The longest network name or container id: names of the Kubernetes API have at most 253 characters.
const NAME_MAX: usize = 512;

/// One attachment, as it is written down.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Who owns the port.
    pub attachment: Attachment,
    /// What the port is made of.
    pub mode: AttachMode,
    /// Its device: see [`Attach::device`].
    pub device: String,
    /// The namespace that the device is in, unless it is ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// The address of the interface in the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Its options, without what follows from the mode.
    pub config: PortConfig,
}

impl Record {
    /// Reads what a client asks for.
    ///
    /// # Errors
    /// A part of the attachment that is empty, too long or contains a control character; a namespace that
    /// the mode needs or has none of; options that are no options of a port.
    pub fn read(attach: &Attach) -> Result<Self, ApiError> {
        let attachment = attach.attachment.clone();
        for (field, value) in [
            ("attachment.network", &attachment.network),
            ("attachment.containerId", &attachment.container_id),
            ("attachment.ifname", &attachment.ifname),
        ] {
            if value.is_empty() || value.len() > NAME_MAX || value.chars().any(char::is_control) {
                let message =
                    format!("{NAME_MAX} characters at most, at least one, none of them control");
                return Err(ApiError::parameter(field, message));
            }
        }
        match (attach.mode, &attach.netns) {
            (AttachMode::Veth, Some(_)) => {
                return Err(ApiError::parameter(
                    "netns",
                    "the host's end of a veth pair is in the daemon's own namespace",
                ));
            }
            (AttachMode::Tap | AttachMode::TapGuest, None) => {
                return Err(ApiError::parameter(
                    "netns",
                    "the path of the namespace that the TAP is in is needed to find it again",
                ));
            }
            _ => {}
        }
        let name = attachment.port_name();
        let mut options = attach.config.clone();
        let Some(table) = options.as_object_mut() else {
            return Err(ApiError::parameter(
                "config",
                "the options of a port are an object",
            ));
        };
        for key in [
            "kind",
            "device",
            "netns",
            "persistent",
            "owner",
            "group",
            "queues",
        ] {
            if table.contains_key(key) {
                return Err(ApiError::parameter(
                    "config",
                    format!("\"{key}\" follows from the mode: leave it out"),
                ));
            }
        }
        let kind = kind_of(attach.mode).to_string();
        table.insert("kind".to_owned(), kind.into());
        let mut config = tree::port(&name, &options).map_err(ApiError::from)?;
        let mac = config.mac.take();
        if config.bridge.is_none() {
            return Err(ApiError::parameter("config", "\"bridge\" is missing"));
        }
        Ok(Self {
            attachment,
            mode: attach.mode,
            device: attach.device.clone(),
            netns: attach.netns.clone(),
            mac,
            config,
        })
    }

    /// Whether both are served by one device.
    #[must_use]
    pub fn is_same_device(&self, other: &Self) -> bool {
        self.mode == other.mode && self.device == other.device && self.netns == other.netns
    }

    /// The bridge.
    #[must_use]
    pub fn bridge(&self) -> &str {
        self.config.bridge.as_deref().unwrap_or_default()
    }

    fn port(&self) -> PortConfig {
        PortConfig {
            kind: kind_of(self.mode),
            device: Some(self.device.clone()),
            netns: self.netns.clone(),
            // The device's own, or that of the station that is looked at.
            mac: self.mac.filter(|_| {
                let looked_at = self.config.mac_spoof_check
                    || self.config.guard
                    || self.config.hold_until_guest;
                self.mode == AttachMode::Tap || looked_at
            }),
            persistent: self.mode == AttachMode::Tap,
            attached: Some(self.mode),
            ..self.config.clone()
        }
    }
}

const fn kind_of(mode: AttachMode) -> PortKind {
    match mode {
        AttachMode::Tap => PortKind::Tap,
        AttachMode::Veth | AttachMode::TapGuest => PortKind::Nic,
    }
}

/// All attachments by who owns them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attachments(BTreeMap<Attachment, Record>);

impl Attachments {
    /// The attachments of a state file.
    #[must_use]
    pub fn recovered(records: Vec<Record>) -> Self {
        let records = records.into_iter();
        Self(records.map(|r| (r.attachment.clone(), r)).collect())
    }

    /// One.
    #[must_use]
    pub fn get(&self, attachment: &Attachment) -> Option<&Record> {
        self.0.get(attachment)
    }

    /// All, ascending by network, container and interface.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.0.values()
    }

    /// With this one, in place of what its owner had.
    pub fn insert(&mut self, record: Record) {
        self.0.insert(record.attachment.clone(), record);
    }

    /// Without this one; whether it was there.
    pub fn remove(&mut self, attachment: &Attachment) -> bool {
        self.0.remove(attachment).is_some()
    }

    /// Those on a bridge, in words.
    #[must_use]
    pub fn users_of(&self, bridge: &str) -> Vec<String> {
        let on = self.iter().filter(|record| record.bridge() == bridge);
        on.map(|r| format!("attachment {}", r.attachment)).collect()
    }

    /// The owner of a port.
    #[must_use]
    pub fn owner_of(&self, port: &str) -> Option<&Record> {
        self.iter().find(|r| r.attachment.port_name() == port)
    }

    /// What runs: the operator's configuration with the attachments. One whose bridge is not configured is
    /// left out. An operator's port of the same name stays.
    #[must_use]
    pub fn merge(&self, operator: &Config) -> Config {
        let mut config = operator.clone();
        for record in self.iter() {
            if config.bridge.contains_key(record.bridge()) {
                let name = record.attachment.port_name();
                config.port.entry(name).or_insert_with(|| record.port());
            }
        }
        self.carry_vlans(&mut config);
        config
    }

    /// Puts the uplinks of bridges into the VLANs of the attachments there.
    fn carry_vlans(&self, config: &mut Config) {
        let mut needed: BTreeMap<String, VlanSet> = BTreeMap::new();
        for record in self.iter() {
            let name = record.attachment.port_name();
            let Some(bridge) = config.bridge.get(record.bridge()) else {
                continue;
            };
            let Some(uplink) = bridge.uplink.clone().filter(|_| bridge.vlan_filtering) else {
                continue;
            };
            let table = config.membership_of(&name).unwrap_or_default();
            let vlans = needed.entry(uplink).or_default();
            for set in [&table.untagged, &table.tagged] {
                for range in set.ranges() {
                    vlans.insert(*range);
                }
            }
            if bridge.default_pvid != 0 {
                vlans.remove(VlanRange::single(bridge.default_pvid));
            }
        }
        for (uplink, vlans) in needed {
            let Some(mut table) = config.membership_of(&uplink) else {
                continue;
            };
            let before = table.clone();
            // What leaves untagged there stays so.
            let mut lacking = vlans;
            for range in table.untagged.ranges() {
                lacking.remove(*range);
            }
            for range in lacking.ranges() {
                table.tagged.insert(*range);
            }
            if table != before {
                config.set_membership(&uplink, &table);
            }
        }
    }

    /// VLANs that the attachments on a bridge need of its uplink, ascending, with who needs them; without the
    /// bridge's `default_pvid`, which nobody's coming and going changes.
    #[must_use]
    pub fn vlan_owners(&self, merged: &Config, bridge: &str) -> Vec<VlanOwners> {
        let Some(config) = merged.bridge.get(bridge).filter(|b| b.uplink.is_some()) else {
            return Vec::new();
        };
        let default = config.default_pvid;
        let needs = |record: &Record| {
            let table = merged.membership_of(&record.attachment.port_name());
            let mut vlans = VlanSet::new();
            for set in table
                .iter()
                .flat_map(|table| [&table.untagged, &table.tagged])
            {
                for range in set.ranges() {
                    vlans.insert(*range);
                }
            }
            if default != 0 {
                vlans.remove(VlanRange::single(default));
            }
            (record.attachment.to_string(), vlans)
        };
        let on = self.iter().filter(|record| record.bridge() == bridge);
        let all: Vec<(String, VlanSet)> = on.map(needs).collect();
        // Between two of these numbers nobody's need changes, so a trunk of everything is one row.
        let ranges = all.iter().flat_map(|(_, vlans)| vlans.ranges());
        let cuts: BTreeSet<u16> = ranges.flat_map(|r| [r.first, r.last + 1]).collect();
        let mut rows: Vec<VlanOwners> = Vec::new();
        for (first, end) in cuts.iter().zip(cuts.iter().skip(1)) {
            let needing = all.iter().filter(|(_, vlans)| vlans.contains(*first));
            let owners: Vec<String> = needing.map(|(owner, _)| owner.clone()).collect();
            if !owners.is_empty() {
                rows.push(VlanOwners {
                    first: *first,
                    last: end - 1,
                    owners,
                });
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests;
