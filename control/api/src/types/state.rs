//! State, configuration changes and events: the replies of `io.vswitch.Switch`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{Membership, VlanRange, VlanSet};

/// Who made an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OwnerKind {
    /// The configuration file.
    #[default]
    Static,
    /// A client of the control socket.
    Api,
    /// The CNI plugin.
    Cni,
}

/// Who made a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// File, API or CNI.
    pub kind: OwnerKind,
}

/// The VLAN table of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortVlans {
    /// The VLAN of untagged frames on ingress; none: they are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pvid: Option<u16>,
    /// VLANs sent without a tag.
    pub untagged: Vec<VlanRange>,
    /// VLANs sent with a tag.
    pub tagged: Vec<VlanRange>,
}

impl From<&Membership> for PortVlans {
    fn from(table: &Membership) -> Self {
        Self {
            pvid: table.pvid,
            untagged: table.untagged.ranges().to_vec(),
            tagged: table.tagged.ranges().to_vec(),
        }
    }
}

impl From<&PortVlans> for Membership {
    fn from(vlans: &PortVlans) -> Self {
        let set = |ranges: &[VlanRange]| ranges.iter().copied().collect::<VlanSet>();
        Self {
            pvid: vlans.pvid,
            untagged: set(&vlans.untagged),
            tagged: set(&vlans.tagged),
        }
    }
}

/// How a port treats frames.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortFlags {
    /// `all`, `untagged` or `tagged`.
    pub accept_frames: String,
    /// `forwarding`, `learning`, `blocking` or `disabled`.
    pub stp_state: String,
    /// `auto`, `drop`, `guard`, `forward` or `listen`.
    pub bpdu: String,
    /// A frame may leave by the port it came in.
    pub hairpin: bool,
    /// May not talk to other isolated ports.
    pub isolated: bool,
    /// Source addresses are learned.
    pub learning: bool,
    /// Unknown unicast is flooded here.
    pub flood: bool,
    /// Multicast is flooded here.
    pub mcast_flood: bool,
    /// Broadcast is flooded here.
    pub bcast_flood: bool,
    /// Reserved group addresses that are forwarded, one bit each.
    pub group_fwd_mask: u16,
    /// The most addresses learned here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac_limit: Option<u32>,
}

/// A port or host port as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// The operator's name.
    pub name: String,
    /// The bridge it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// The bond it is a member of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bond: Option<String>,
    /// `nic`, `tap`, `host`, `bond` or `mem`.
    pub kind: String,
    /// Whether it is its bridge's uplink.
    pub uplink: bool,
    /// Its network device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netdev: Option<String>,
    /// The device's index in the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ifindex: Option<u32>,
    /// The namespace that its device was moved into, as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// The device's address; none while the device is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Bytes of payload.
    pub mtu: u32,
    /// Frames that may wait for the device, where the configuration says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txqueuelen: Option<u32>,
    /// Receive queues.
    pub queues: u32,
    /// Whether the operator wants it up.
    pub admin_up: bool,
    /// `up`, `down`, `lower-down` or `absent`.
    pub state: String,
    /// Why it is not up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The link's speed in Mbit/s, where the device tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_mbps: Option<u32>,
    /// Its VLAN table.
    pub vlans: PortVlans,
    /// How it treats frames.
    pub flags: PortFlags,
    /// Whether it is held until its guest speaks; none: it never is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<bool>,
    /// Learned addresses behind it.
    pub fdb_entries: u32,
    /// IP addresses that the daemon set (host ports).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Who made it.
    pub owner: Owner,
    /// Since when it is in `state`.
    pub since: String,
}

/// A bridge as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bridge {
    /// The operator's name.
    pub name: String,
    /// Its own address.
    pub mac: String,
    /// Bytes of payload.
    pub mtu: u32,
    /// Whether VLANs are told apart.
    pub vlan_filtering: bool,
    /// The VLAN of ports that say nothing; 0: none.
    pub default_pvid: u16,
    /// `300s`, `never` or `off`.
    pub ageing: String,
    /// Addresses known, learned and configured.
    pub fdb_entries: u32,
    /// The most addresses known.
    pub fdb_max: u32,
    /// Its uplink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink: Option<String>,
    /// Whether changes by API are refused.
    pub protected: bool,
    /// Names of its ports and host ports.
    pub ports: Vec<String>,
    /// VLANs that its uplink carries because attachments need them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attached_vlans: Vec<VlanOwners>,
}

/// VLANs and who needs them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VlanOwners {
    /// The first VLAN.
    pub first: u16,
    /// The last, both included.
    pub last: u16,
    /// Attachments, as `NETWORK/CONTAINER/IFNAME`.
    pub owners: Vec<String>,
}

/// Bridges and ports as they are now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The configuration's generation: one more with each applied change.
    pub generation: u64,
    /// When this was read.
    pub snapshot_time: String,
    /// Bridges by name.
    pub bridges: Vec<Bridge>,
    /// Ports and host ports by name.
    pub ports: Vec<Port>,
}

/// `io.vswitch.Switch.GetState`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateReply {
    /// The state.
    pub state: State,
}

/// What a change does to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeOp {
    /// A new object or value.
    Add,
    /// An object or value goes away.
    Remove,
    /// A value changes in place.
    Change,
    /// The object goes away and comes back.
    Replace,
}

/// What a change costs the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Impact {
    /// Nothing.
    None,
    /// One port is away for a moment.
    PortFlap,
    /// A port loses its link.
    LinkLoss,
}

/// One planned or made change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Add, remove, change or replace.
    pub op: ChangeOp,
    /// The configuration path, such as `port.vm1.vlan`.
    pub path: String,
    /// The former value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The new value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// What it costs the traffic.
    pub impact: Impact,
}

/// The reply of every method that changes the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeReply {
    /// The generation after the change; with `dryRun` the present one.
    pub generation: u64,
    /// What was changed, or would be.
    pub changes: Vec<Change>,
}

/// `io.vswitch.Switch.Plan`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanReply {
    /// What would be changed.
    pub changes: Vec<Change>,
    /// What is legal but probably not meant.
    pub warnings: Vec<String>,
}

/// Which configuration is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConfigSource {
    /// What the switch works by now.
    #[default]
    Running,
    /// What the files said when they were last read.
    Saved,
}

/// `io.vswitch.Switch.GetConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReply {
    /// The configuration: the schema of the file as JSON.
    pub config: Value,
    /// Its generation.
    pub generation: u64,
}

/// How grave an event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As intended.
    #[default]
    Info,
    /// Works, but look at it.
    Warning,
    /// Does not work.
    Error,
}

/// Something that happened, or a problem that lasts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Ascending by one; a gap means that events were lost.
    pub sequence: u64,
    /// When.
    pub time: String,
    /// Stable name: `port-up`, `port-down`, `config`, `mac-flap`, `overflow`, ...
    pub kind: String,
    /// The object, such as `port.vm1`.
    pub object: String,
    /// How grave.
    pub severity: Severity,
    /// For people.
    pub message: String,
    /// More, by kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Value>,
}

/// `io.vswitch.Switch.Watch`: the state first, then one event a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchReply {
    /// The state, in the first reply and after lost events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// What happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
}

/// The switch in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// All that is configured works.
    #[default]
    Ok,
    /// Something does not work.
    Degraded,
    /// Nothing is forwarded.
    Failed,
}

/// `io.vswitch.Switch.GetHealth`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthReply {
    /// The switch in one word.
    pub health: Health,
    /// What does not work.
    pub problems: Vec<Event>,
    /// The daemon's version.
    pub version: String,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// The configuration's generation.
    pub generation: u64,
    /// Changes that are not in the files.
    pub unsaved: u64,
    /// Bridges.
    pub bridges: u32,
    /// Ports and host ports.
    pub ports: u32,
    /// Ports and host ports that are up.
    pub ports_up: u32,
    /// Addresses known on all bridges.
    pub fdb_entries: u64,
    /// Forwarding threads.
    pub workers: u32,
}
