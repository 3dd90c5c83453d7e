//! The address tables: the replies of `io.vswitch.Fdb`.

use serde::{Deserialize, Serialize};

/// Where an address entry comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FdbKind {
    /// Learned from a frame.
    #[default]
    Dynamic,
    /// Configured; neither ages nor moves.
    Static,
    /// The switch's own address.
    Local,
}

/// One known address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FdbEntry {
    /// The bridge.
    pub bridge: String,
    /// The address.
    pub mac: String,
    /// The VLAN; 0 on a bridge without VLAN filtering.
    pub vlan: u16,
    /// The port or host port it is behind.
    pub port: String,
    /// Learned, configured, or the switch's own.
    pub kind: FdbKind,
    /// Seconds since the last frame from it; learned addresses only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_seconds: Option<u64>,
    /// Seconds since the last frame to it, where that is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_seconds: Option<u64>,
    /// Frames sent to it, where that is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hits: Option<u64>,
    /// The station's IP addresses that are known: what a bond announces it with after a failover.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<String>,
}

/// `io.vswitch.Fdb.List`: one page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FdbPage {
    /// Up to 1,000 entries.
    pub entries: Vec<FdbEntry>,
    /// Whether there are more that this call, made without `more`, cannot return.
    pub truncated: bool,
}

/// `io.vswitch.Fdb.Flush`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdbFlushed {
    /// Learned addresses that were forgotten.
    pub flushed: u64,
}

/// What happened to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FdbOp {
    /// In the first replies: it was there already.
    Present,
    /// Learned.
    Learned,
    /// Seen on another port than before.
    Moved,
    /// Forgotten for its age.
    Aged,
    /// Forgotten by flush, or because its port went away.
    Flushed,
    /// Pushed out of a full table.
    Evicted,
    /// Configured.
    Added,
    /// No longer configured.
    Removed,
}

/// `io.vswitch.Fdb.Watch`: one change; or, with nothing but `lost`, a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FdbEvent {
    /// When.
    pub time: String,
    /// What happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<FdbOp>,
    /// The entry after the change, or as it was when it went away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<FdbEntry>,
    /// Where a moved address was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_port: Option<String>,
    /// Changes lost before this one, because this client read too slowly.
    pub lost: u64,
}
