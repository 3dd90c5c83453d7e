//! Counters: the replies of `io.vswitch.Stats`.

use serde::{Deserialize, Serialize};

/// Which way a frame went, seen from the switch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum FrameDirection {
    /// Into the switch.
    #[default]
    In,
    /// Out of the switch.
    Out,
}

/// Frames dropped for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DropCount {
    /// The stable name of the reason.
    pub reason: String,
    /// `in`: by the rules of ingress; `out`: on the way out of this port.
    pub direction: FrameDirection,
    /// How many.
    pub frames: u64,
}

/// Counters of one port.
///
/// `framesIn = framesForwarded + framesPunted + Σ drops(in)`: each frame that came in is in
/// exactly one of them. `framesForwarded` counts a flooded frame once, `framesOut` counts each
/// of its copies at the port where it left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortCounters {
    /// The port.
    pub port: String,
    /// Its bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// Frames received.
    pub frames_in: u64,
    /// Bytes received, with the Ethernet header, without the checksum of the wire.
    pub bytes_in: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Received frames that left by at least one port, or were meant to.
    pub frames_forwarded: u64,
    /// Received frames handed to the control side.
    pub frames_punted: u64,
    /// Frames dropped, by reason.
    pub drops: Vec<DropCount>,
}

/// `io.vswitch.Stats.Ports`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortsReply {
    /// When the counters were read.
    pub snapshot_time: String,
    /// By port name.
    pub ports: Vec<PortCounters>,
}

/// Frames that one port dropped for one reason, explained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DropRow {
    /// The stable name of the reason.
    pub reason: String,
    /// The port.
    pub port: String,
    /// On the way in or out.
    pub direction: FrameDirection,
    /// How many.
    pub frames: u64,
    /// What the reason means and what to do.
    pub means: String,
}

/// `io.vswitch.Stats.Drops`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DropsReply {
    /// When the counters were read.
    pub snapshot_time: String,
    /// Rows that are not zero, most frames first.
    pub drops: Vec<DropRow>,
}

/// Counters of one VLAN, of a bridge or of one port in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VlanCounters {
    /// The bridge.
    pub bridge: String,
    /// The port; none: the whole bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The VLAN.
    pub vlan: u16,
    /// Frames received in it.
    pub frames_in: u64,
    /// Bytes received in it.
    pub bytes_in: u64,
    /// Frames sent in it.
    pub frames_out: u64,
    /// Bytes sent in it.
    pub bytes_out: u64,
}

/// `io.vswitch.Stats.Vlans`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VlansReply {
    /// When the counters were read.
    pub snapshot_time: String,
    /// By bridge, port and VLAN; only of bridges with `vlan_stats`.
    pub vlans: Vec<VlanCounters>,
}
