//! Bonds as they are: the replies of `io.vswitch.Bond`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Severity;

/// One end of a link as its LACPDUs tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LacpEnd {
    /// The system's address.
    pub system: String,
    /// The system's priority, lower is better.
    pub system_priority: u16,
    /// Ports of one system with equal keys may be aggregated.
    pub key: u16,
    /// The port's number in its system.
    pub port: u16,
    /// The port's priority, lower is better.
    pub port_priority: u16,
    /// The eight state bits.
    pub state: u8,
    /// The same as letters, such as `ASGCD--F`.
    pub state_letters: String,
}

/// What LACP does on one member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LacpMember {
    /// What we say.
    pub actor: LacpEnd,
    /// What the other side said; none: it was not heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<LacpEnd>,
    /// State of the Receive machine, by the standard's name.
    pub receive: String,
    /// State of the Mux machine, by the standard's name.
    pub mux: String,
    /// Since when the Mux machine is in it.
    pub mux_since: String,
    /// `yes`, `standby` or `no`.
    pub selected: String,
    /// Number of its aggregator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregator: Option<u16>,
    /// `monitor`, `none` or `churned`: our side out of sync for a minute.
    pub actor_churn: String,
    /// The same of the partner's side.
    pub partner_churn: String,
    /// Milliseconds since the last LACPDU; none: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_ms: Option<u64>,
    /// Whether the partner answers Markers: `answers`, `silent` or `unknown`.
    pub marker_answers: String,
    /// LACPDUs received.
    pub lacpdus_in: u64,
    /// LACPDUs sent.
    pub lacpdus_out: u64,
    /// Marker questions received.
    pub markers_in: u64,
    /// Marker questions sent.
    pub markers_out: u64,
    /// Marker answers sent.
    pub marker_responses_out: u64,
    /// Marker answers received.
    pub marker_responses_in: u64,
    /// Slow protocol frames of a kind that nobody knows.
    pub unknown_in: u64,
    /// Malformed frames.
    pub illegal_in: u64,
    /// LACPDUs of this very system.
    pub loopback_in: u64,
}

/// A member of a bond.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BondMember {
    /// The port.
    pub name: String,
    /// `up`, `failing`, `down` or `returning`.
    pub link: String,
    /// Since when its link is so.
    pub since: String,
    /// `active`, `standby`, `carrying`, `collecting`, `waiting` or `down`.
    pub role: String,
    /// The same in words, with the reason.
    pub reason: String,
    /// Mbit/s, where the device tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_mbps: Option<u32>,
    /// Bits a second that its part of what is sent came to in the last 10 seconds, where parts are by load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_bps: Option<u64>,
    /// The device's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// How often its link was lost for good, `downdelay` waited for.
    pub failures: u64,
    /// LACP, in mode `802.3ad`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacp: Option<LacpMember>,
}

/// LACP of a bond.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LacpBond {
    /// The system's address.
    pub system: String,
    /// The system's priority.
    pub system_priority: u16,
    /// `slow` or `fast`.
    pub rate: String,
    /// Whether LACPDUs are sent without being asked.
    pub active: bool,
    /// How the aggregator in use is chosen.
    pub ad_select: String,
    /// The aggregator in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregator: Option<u16>,
    /// Members that are in it.
    pub aggregator_ports: u32,
    /// The partner of the aggregator in use, told by one of its members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<LacpEnd>,
    /// `up`, `fallback`, `too-few-links`, `no-partner`, `negotiating` or `no-link`.
    pub verdict: String,
}

/// Something about a bond that is probably not meant, with its cause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BondFinding {
    /// Stable name: `miscabled`, `partner-keys`, `no-partner`, `loopback`, ...
    pub kind: String,
    /// How grave.
    pub severity: Severity,
    /// Members that it is about.
    pub members: Vec<String>,
    /// What, in one line.
    pub message: String,
    /// What to look at.
    pub hint: String,
}

/// A bond as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bond {
    /// The operator's name.
    pub name: String,
    /// The bridge that it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// The mode, by the kernel's name.
    pub mode: String,
    /// `up`, `degraded` or `down`.
    pub state: String,
    /// Why it is not up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when it is in `state`.
    pub since: String,
    /// The active member, in the mode that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<String>,
    /// The preferred member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// Whether the active member was chosen by hand.
    pub by_hand: bool,
    /// The options in force, as in `[bond.NAME]`.
    pub options: Value,
    /// Its members, in the order of the configuration.
    pub members: Vec<BondMember>,
    /// LACP, in mode `802.3ad`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacp: Option<LacpBond>,
    /// What is probably not meant.
    pub findings: Vec<BondFinding>,
}

/// `io.vswitch.Bond.List`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BondsReply {
    /// When this was read.
    pub snapshot_time: String,
    /// Bonds by name.
    pub bonds: Vec<Bond>,
}

/// `io.vswitch.Bond.Hash`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HashReply {
    /// The members that would send the frame.
    pub members: Vec<String>,
    /// `active`, `turn`, `hash`, `all` or `nobody`: how they are chosen.
    pub chosen: String,
    /// What is hashed: a policy by the kernel's name, `station`, or `destination` (the IP address).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The frame's hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<u32>,
    /// The bucket that it falls on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<u32>,
    /// How many buckets there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckets: Option<u32>,
}

/// `io.vswitch.Bond.SetActive`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetActiveReply {
    /// The member that was active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}
