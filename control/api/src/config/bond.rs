//! `[bond.NAME]`: several ports that are one towards the bridge, under the kernel's option names.
//!
//! A bond and its members are ports: `[port.NAME]` with `kind = "bond"` says how a bond sits on its
//! bridge (VLANs, floods, MTU), and `[port.MEMBER]` what a member is made of. Where there is no such table,
//! a bond is a port with the defaults, on the bridge whose `uplink` it is, and a member is the network
//! device of its name. Pure; any thread. Implements features.md A-00..A-07, K-01..K-13,
//! K-15..K-24, K-26..K-33, K-35, K-36, K-38..K-40.

pub mod targets;
pub mod words;

use super::values::Mac;
use super::{Config, PortConfig, PortKind};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use targets::{ArpTarget, NsTarget, Target};
use words::{
    AdSelect, ArpAllTargets, ArpValidate, BondMode, FailOverMac, Goodbye, HashPolicy, KeyPolicy,
    LacpRate, OnOff, PrimaryReselect, TlbSrc,
};

/// The most members of a bond.
pub const MEMBERS_MAX: usize = 64;

/// `[bond.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BondConfig {
    /// How members share the traffic, by the kernel's name or number. Default `balance-rr`, as there.
    #[serde(deserialize_with = "words::mode")]
    pub mode: BondMode,
    /// Its members, in the order that counts where none is preferred: network devices, or ports of this
    /// configuration.
    pub members: Vec<String>,
    /// The bond's own address: the system that LACP names. Without it, that of the first member that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Whose address an `active-backup` bond speaks from; it matters where the bond itself speaks.
    #[serde(deserialize_with = "words::fail_over_mac")]
    pub fail_over_mac: FailOverMac,
    /// What a frame's member depends on in `balance-xor` and `802.3ad`; in `balance-tlb` and `balance-alb` where
    /// `tlb_src` is `rewrite`, but for `balance-alb` with `tlb_dynamic_lb`, which goes by the destination's address.
    #[serde(deserialize_with = "words::hash_policy")]
    pub xmit_hash_policy: HashPolicy,
    /// Mixed into the hash, so that two switches in a row do not choose alike; 0: the kernel's choice.
    pub hash_seed: u32,
    /// Frames in a row for each member in `balance-rr`: 0..=65535; 0: a member at random for each frame.
    pub packets_per_slave: u32,
    /// The member to prefer: as the active one in `active-backup`, as the one that lets groups in in
    /// `balance-tlb` and `balance-alb`, where `tlb_src` is `rewrite` everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// When a preferred member that returns becomes active again.
    #[serde(deserialize_with = "words::primary_reselect")]
    pub primary_reselect: PrimaryReselect,
    /// Members' priorities as active or designated one, higher is better, where no `primary` is: a number of
    /// 32 bits; 0 where nothing is said.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub prio: BTreeMap<String, i32>,
    /// Whether the members' parts in `balance-tlb` and `balance-alb` are as their speeds and as what is sent.
    pub tlb_dynamic_lb: OnOff,
    /// From whose address frames leave in `balance-tlb` and `balance-alb`: their station's, or their member's.
    pub tlb_src: TlbSrc,
    /// Seconds after which the switch beyond is reminded of every station in `balance-tlb` and `balance-alb`:
    /// 1..=2,147,483,647.
    pub lp_interval: u32,
    /// Milliseconds from one look at the members' carriers to the next, 0 for none: 0..=2,147,483,647; 100 where
    /// nothing is said, also beside an `arp_interval`, with which it is not said. The kernel's events act at once
    /// in any case. Of several bonds the shortest counts for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub miimon: Option<u32>,
    /// Accepted for the kernel's sake: the carrier that the kernel tells is always used.
    pub use_carrier: OnOff,
    /// Milliseconds between two probes of the targets, and how long they have to answer; 0: none is sent,
    /// ..=2,147,483,647. Not in `802.3ad` and modes where a station has
    /// one member.
    pub arp_interval: u32,
    /// Whom ARP asks, 16 at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arp_ip_target: Vec<ArpTarget>,
    /// Whom neighbour solicitations ask, 16 at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ns_ip6_target: Vec<NsTarget>,
    /// Which frames show that a member receives.
    #[serde(deserialize_with = "words::arp_validate")]
    pub arp_validate: ArpValidate,
    /// How many targets have to answer.
    #[serde(deserialize_with = "words::arp_all_targets")]
    pub arp_all_targets: ArpAllTargets,
    /// Intervals without an answer after which a member is given up: 1..=255; on standby one more.
    pub arp_missed_max: u32,
    /// Milliseconds that a link must be up before its member is used: 0..=2,147,483,647. Taken exactly, not
    /// as multiples of `miimon`.
    pub updelay: u32,
    /// Milliseconds that a link may be down before its member is given up.
    pub downdelay: u32,
    /// Whether members that are not active let frames in all the same.
    pub all_slaves_active: OnOff,
    /// How often every station on the bridge is announced after a failover: 0..=255.
    #[serde(alias = "num_unsol_na")]
    pub num_grat_arp: u32,
    /// Milliseconds between two of these rounds: 0..=300,000; 0: as `miimon`.
    pub peer_notif_delay: u32,
    /// How often, 200 ms apart, what stations on the bridge reported of multicast groups is said again after a
    /// failover: 0..=255.
    pub resend_igmp: u32,
    /// With fewer members that carry frames an `802.3ad` bond is down; 0 is as 1.
    pub min_links: u32,
    /// How often the partner is asked for LACPDUs.
    #[serde(deserialize_with = "words::lacp_rate")]
    pub lacp_rate: LacpRate,
    /// Whether LACPDUs are sent without the partner having sent any.
    pub lacp_active: OnOff,
    /// Which aggregator is used where members lead to several.
    #[serde(deserialize_with = "words::ad_select")]
    pub ad_select: AdSelect,
    /// The system's priority, lower is better: 1..=65535.
    pub ad_actor_sys_prio: u32,
    /// The system's address, in place of the bond's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ad_actor_system: Option<Mac>,
    /// The operator's part of the key: 0..=1023.
    pub ad_user_port_key: u32,
    /// Members' port priorities, lower is better: 1..=65535; 255 where nothing is said.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub actor_port_prio: BTreeMap<String, u32>,
    /// By member the number that ports name as their `queue_mapping`: 0..=65535, each but 0 once; 0, where
    /// nothing is said, is no port's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub queue_id: BTreeMap<String, u32>,
    /// Whether members of different speeds may be aggregated.
    pub key_policy: KeyPolicy,
    /// Whether a member begins to send and to take frames at one time. Off: it sends when the partner
    /// says that it takes.
    pub coupled_control: OnOff,
    /// Without a partner on any member the bond is down.
    pub lacp_strict: OnOff,
    /// Without a partner on any member, one member works without LACP.
    pub lacp_fallback_ab: OnOff,
    /// Members that carry frames at a time, the others stand by: 0..=64, 0 for all.
    pub max_links: u32,
    /// What the partner is told when a member is taken out.
    pub lacp_goodbye: Goodbye,
}

impl Default for BondConfig {
    /// What the kernel has, where it has the option.
    fn default() -> Self {
        Self {
            mode: BondMode::default(),
            members: Vec::new(),
            mac: None,
            fail_over_mac: FailOverMac::default(),
            xmit_hash_policy: HashPolicy::default(),
            hash_seed: 0,
            packets_per_slave: 1,
            primary: None,
            primary_reselect: PrimaryReselect::default(),
            miimon: None,
            use_carrier: OnOff::ON,
            arp_interval: 0,
            arp_ip_target: Vec::new(),
            ns_ip6_target: Vec::new(),
            arp_validate: ArpValidate::default(),
            arp_all_targets: ArpAllTargets::default(),
            arp_missed_max: 2,
            prio: BTreeMap::new(),
            tlb_dynamic_lb: OnOff::ON,
            tlb_src: TlbSrc::default(),
            lp_interval: 1,
            updelay: 0,
            downdelay: 0,
            all_slaves_active: OnOff::OFF,
            num_grat_arp: 1,
            peer_notif_delay: 0,
            resend_igmp: 1,
            min_links: 0,
            lacp_rate: LacpRate::default(),
            lacp_active: OnOff::ON,
            ad_select: AdSelect::default(),
            ad_actor_sys_prio: 65_535,
            ad_actor_system: None,
            ad_user_port_key: 0,
            actor_port_prio: BTreeMap::new(),
            queue_id: BTreeMap::new(),
            key_policy: KeyPolicy::default(),
            coupled_control: OnOff::ON,
            lacp_strict: OnOff::OFF,
            lacp_fallback_ab: OnOff::ON,
            max_links: 0,
            lacp_goodbye: Goodbye::default(),
        }
    }
}

impl BondConfig {
    /// `miimon` as it counts, milliseconds.
    pub fn miimon(&self) -> u32 {
        self.miimon.unwrap_or(100)
    }

    /// Everybody who is asked, ARP's targets first.
    pub fn targets(&self) -> Vec<Target<IpAddr>> {
        let arp = self.arp_ip_target.iter().map(Target::any);
        arp.chain(self.ns_ip6_target.iter().map(Target::any))
            .collect()
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
