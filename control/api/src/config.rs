//! The desired configuration: bridges, ports, host ports and the daemon's own settings.
//!
//! One schema in two notations: TOML in `/etc/vswitch/` ([`mod@file`]) and JSON on the socket
//! ([`tree`]). One table per named object, snake_case keys, option names of the kernel where
//! the kernel has the option. Every field has a default; unknown keys are errors.
//!
//! Guarantees: [`check()`] finds every error that needs no look at the machine, and never only
//! the first; a configuration printed and read again is the same. Pure data; any thread.
//! Implements interfaces.md §6 and features.md S-18..S-21, B-01..B-09, V-01..V-10, F-03..F-08,
//! G-01..G-04, G-06..G-08, N-14,
//! N-03, Q-05. What a device can really do (exists, is free, takes the MTU) is not known
//! here: the controller asks that of its facts.

pub mod bond;
pub mod check;
pub mod edit;
pub mod file;
mod membership;
pub mod tree;
pub mod values;
pub mod vlans;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::types::AttachMode;

pub use bond::BondConfig;
pub use bond::targets::{ArpTarget, NsTarget, TARGETS_MAX, Target};
pub use bond::words::{
    AdSelect, ArpAllTargets, ArpValidate, BondMode, FailOverMac, Goodbye, HashPolicy, KeyPolicy,
    LacpRate, OnOff, PrimaryReselect, TlbSrc,
};
pub use check::{ConfigError, check, check_name};
pub use edit::{edit, guard_protected};
pub use membership::Membership;
pub use values::{
    AcceptFrames, Ageing, Bits, BpduPolicy, Cidr, Mac, PollMode, PortKind, StaticKind, StpState,
    Timespan, ValueError, Workers,
};
pub use vlans::{VID_MAX, VID_MIN, VlanParseError, VlanRange, VlanSet};

/// The smallest MTU: what IPv4 requires of every link, in bytes of payload.
pub const MTU_MIN: u32 = 68;
/// The largest MTU, in bytes of payload: what switches call a jumbo frame.
pub const MTU_MAX: u32 = 9216;
/// The most addresses that a bridge may be configured to remember.
pub const FDB_MAX: u32 = 1_048_576;
/// The least burst of a rate, in bits: the largest frame that stands for segments passes at once.
pub const BURST_MIN: u64 = 528_000;
/// The largest burst of a rate, in bits.
pub const BURST_MAX: u64 = 16_000_000_000;
/// The most bytes of an object's name: IFNAMSIZ without its final NUL.
pub const NAME_MAX: usize = 15;

/// The most bridges of a daemon.
pub const BRIDGES_MAX: usize = 1024;
/// The most ports and host ports of a daemon.
pub const PORTS_MAX: usize = 8192;

/// Everything that the operator wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[daemon]`: threads, groups, log. Read at start; changing it needs a restart.
    pub daemon: DaemonConfig,
    /// `[bridge.NAME]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub bridge: BTreeMap<String, BridgeConfig>,
    /// `[bond.NAME]`: how ports are bundled.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub bond: BTreeMap<String, BondConfig>,
    /// `[port.NAME]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub port: BTreeMap<String, PortConfig>,
    /// `[host.NAME]`: the node's own interfaces on its bridges.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub host: BTreeMap<String, HostConfig>,
}

/// `[daemon]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DaemonConfig {
    /// Forwarding threads: 1..=256, or `"auto"`: one fewer than the CPUs that the daemon may use, at least
    /// one. Fewer threads than CPUs are bound to one each, from the last down; others are not bound.
    pub workers: Workers,
    /// How workers wait for frames.
    pub poll: PollMode,
    /// How long an adaptive worker looks for more frames before it sleeps, while that pays; 0 to 1 s.
    pub spin: Timespan,
    /// How often a receive queue may move from a busy worker to another: `"0s"` never, else 100 ms to 1 h.
    pub rebalance_interval: Timespan,
    /// Members of this group may change the switch. Root always may.
    pub admin_group: String,
    /// Members of this group may look at the switch.
    pub monitor_group: String,
    /// Log level, or levels per module: `"info"`, `"warn,vswitchd::server=debug"`.
    pub log: String,
}

impl Default for DaemonConfig {
    fn default() -> Self {
        Self {
            workers: Workers::Auto,
            poll: PollMode::Adaptive,
            spin: Timespan::from_micros(5),
            rebalance_interval: Timespan::from_secs(5),
            admin_group: "vswitch".to_owned(),
            monitor_group: "vswitch-view".to_owned(),
            log: "info".to_owned(),
        }
    }
}

/// `[bridge.NAME]`: one learning domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BridgeConfig {
    /// The bridge's own address; without it one is derived from the name, so it is stable (B-05).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Bytes of payload: 68..=9216. Default 1500.
    pub mtu: u32,
    /// Whether VLANs are told apart. Off: tags are payload, one address table for all.
    pub vlan_filtering: bool,
    /// The VLAN of ports that say nothing about VLANs, untagged; 0: such ports are in none.
    pub default_pvid: u16,
    /// How long learned addresses live.
    pub ageing: Ageing,
    /// The most addresses remembered: 1..=1,048,576. Default 65,536.
    pub fdb_max: u32,
    /// Reserved group addresses 01-80-C2-00-00-0X to forward, one bit per X; not bits 0, 1, 2.
    pub group_fwd_mask: u16,
    /// Whether frames and bytes are counted per VLAN (V-17).
    pub vlan_stats: bool,
    /// The port towards the outside: a bond, or a `[port.NAME]` of kind `nic`; neither need say `bridge`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uplink: Option<String>,
    /// VLANs of the uplink. `default_pvid`, where it is listed, is the uplink's PVID and
    /// untagged; all others are tagged. Empty: the uplink is in `default_pvid` only, unless its
    /// own `[port.NAME]` says otherwise.
    #[serde(skip_serializing_if = "VlanSet::is_empty")]
    pub vlans: VlanSet,
    /// Whether changes by API are refused: only the configuration file may change it (S-21).
    pub protected: bool,
    /// Configured addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fdb: Vec<StaticEntry>,
}

impl Default for BridgeConfig {
    fn default() -> Self {
        Self {
            mac: None,
            mtu: 1500,
            vlan_filtering: true,
            default_pvid: 1,
            ageing: Ageing::default(),
            fdb_max: 65_536,
            group_fwd_mask: 0,
            vlan_stats: false,
            uplink: None,
            vlans: VlanSet::new(),
            protected: false,
            fdb: Vec::new(),
        }
    }
}

/// `[[bridge.NAME.fdb]]`: a configured address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticEntry {
    /// The station's address.
    pub mac: Mac,
    /// The VLAN; without it the bridge's `default_pvid`.
    #[serde(
        default,
        with = "vlans::vid_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub vlan: Option<u16>,
    /// The port or host port that the address is behind.
    pub port: String,
    /// Whether the address is a station's or the switch's own.
    #[serde(default)]
    pub kind: StaticKind,
}

/// One entry of the full-control form `vlans = [{ vid = 100, pvid = true, untagged = true }]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortVlan {
    /// One VLAN, or a range such as `"200-299"`.
    #[serde(with = "vlans::range_text")]
    pub vid: VlanRange,
    /// Whether untagged frames enter this VLAN; one VLAN of the port at most.
    #[serde(default)]
    pub pvid: bool,
    /// Whether its frames leave without a tag.
    #[serde(default)]
    pub untagged: bool,
}

/// `[port.NAME]`: an attachment to the outside.
///
/// VLANs in one of these ways (interfaces.md §6):
///
/// | says | member of |
/// | --- | --- |
/// | nothing | the bridge's `default_pvid`, untagged |
/// | `vlan = 100` | 100, untagged, nothing else: an access port |
/// | `trunk = [100, "200-299"]` | these, tagged; untagged frames are dropped |
/// | `native_vlan = 1`, `trunk = [100]` | 1 untagged and PVID, 100 tagged |
/// | `vlans = [{ vid, pvid, untagged }]` | exactly these |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PortConfig {
    /// The bridge; an uplink may leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// What the port is made of. Must be said in files and requests.
    pub kind: PortKind,
    /// The network device of a `nic` port, or of a TAP in another namespace; without it the port's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Access port: the one VLAN.
    #[serde(with = "vlans::vid_text", skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// Trunk: the VLAN of untagged frames.
    #[serde(with = "vlans::vid_text", skip_serializing_if = "Option::is_none")]
    pub native_vlan: Option<u16>,
    /// Trunk: the tagged VLANs.
    #[serde(skip_serializing_if = "VlanSet::is_empty")]
    pub trunk: VlanSet,
    /// Full control, in place of the three above; an empty list: the port is in no VLAN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlans: Option<Vec<PortVlan>>,
    /// Which frames are taken, by their tag.
    pub accept_frames: AcceptFrames,
    /// Whether a frame may leave by the port it came in (B-06).
    pub hairpin: bool,
    /// Whether the port may not talk to other isolated ports (G-01).
    pub isolated: bool,
    /// Whether source addresses are learned (B-07). Default true.
    pub learning: bool,
    /// Whether unknown unicast is flooded to the port (B-08). Default true.
    pub flood: bool,
    /// Whether multicast is flooded to the port. Default true.
    pub mcast_flood: bool,
    /// Whether broadcast is flooded to the port. Default true.
    pub bcast_flood: bool,
    /// The forwarding state.
    pub state: StpState,
    /// As the bridge's, for frames that enter here; bit 2 (LACP) is allowed, bit 1 (PAUSE) never.
    pub group_fwd_mask: u16,
    /// Spanning tree frames.
    pub bpdu: BpduPolicy,
    /// The most addresses learned here: 1..=1,048,576. Without it only the bridge's limit (G-06).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_limit: Option<u32>,
    /// Bytes of payload: 68 up to the bridge's, which is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Frames that may wait for the device to send them, 0..=2,147,483,647, from 1 for a TAP, whose queue to
    /// its reader it is; without it as the device was found. Of a bond: of its members that say none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txqueuelen: Option<u32>,
    /// What comes in here leaves a bond by the member with this `queue_id`, while that one can send; 0..=65535,
    /// 0: as the bond's mode has it.
    pub queue_mapping: u32,
    /// Receive queues: 1..=64.
    pub queues: u32,
    /// Memory of the receive rings of each queue of a `nic` port, in slots of 67,584 bytes: 2..=4096. A queue
    /// alone cuts half of it into small slots for small frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring_slots: Option<u32>,
    /// Whether the TAP outlives the daemon.
    pub persistent: bool,
    /// The user id that may open the TAP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<u32>,
    /// The group id that may open the TAP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// The network namespace that the TAP is made in, or that the device of a `nic` port is in: a name of
    /// `ip netns`, or a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// The address of the TAP's device; without it one is derived from machine and name, so it is stable.
    /// Of a `nic` port with one of the protections below: the address of the station behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Whether frames from another address than the station's own are dropped (G-02). Those are `mac` and
    /// `guard_macs`.
    pub mac_spoof_check: bool,
    /// Whether what the station sends must be about itself (N-14): `mac_spoof_check`, and ARP, neighbour
    /// discovery and IP sources of its own addresses, and no DHCP server or router behind the port.
    pub guard: bool,
    /// Further addresses of the station behind the port; 16 with `mac` at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guard_macs: Vec<Mac>,
    /// IP addresses of the station, 64 at most; of a family of which none is said all are taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guard_ips: Vec<IpAddr>,
    /// Whether nothing is taken from the port until its station has spoken since the device was opened (N-03): a
    /// frame from one of its addresses or, where none is said, an announcement (RARP, gratuitous ARP,
    /// unsolicited neighbour advertisement).
    pub hold_until_guest: bool,
    /// Bits a second that the switch takes from the port, and at once: the rate 1k to 1T; the burst from
    /// 528k, a frame of 64 KB, to 16G, without it a tenth of a second of the rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress_rate: Option<Bits>,
    /// See `ingress_rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress_burst: Option<Bits>,
    /// Bits a second that the switch sends to the port, and at once; as `ingress_rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_rate: Option<Bits>,
    /// See `egress_rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_burst: Option<Bits>,
    /// Whether the port is administratively up. Default true.
    pub enabled: bool,
    /// Of a port that is no part of the configuration but an attachment's: what it is made of.
    #[serde(skip)]
    pub attached: Option<AttachMode>,
}

impl Default for PortConfig {
    fn default() -> Self {
        Self {
            bridge: None,
            kind: PortKind::Tap,
            device: None,
            vlan: None,
            native_vlan: None,
            trunk: VlanSet::new(),
            vlans: None,
            accept_frames: AcceptFrames::All,
            hairpin: false,
            isolated: false,
            learning: true,
            flood: true,
            mcast_flood: true,
            bcast_flood: true,
            state: StpState::Forwarding,
            group_fwd_mask: 0,
            bpdu: BpduPolicy::Auto,
            mac_limit: None,
            mtu: None,
            txqueuelen: None,
            queue_mapping: 0,
            queues: 1,
            ring_slots: None,
            persistent: false,
            owner: None,
            group: None,
            netns: None,
            mac: None,
            mac_spoof_check: false,
            guard: false,
            guard_macs: Vec::new(),
            guard_ips: Vec::new(),
            hold_until_guest: false,
            ingress_rate: None,
            ingress_burst: None,
            egress_rate: None,
            egress_burst: None,
            enabled: true,
            attached: None,
        }
    }
}

/// `[host.NAME]`: a TAP of the node itself on a bridge (S-04, S-18, B-03, B-04).
///
/// It may have the name of its bridge. With `vlan` it is an access port of that VLAN; without,
/// it is in the bridge's `default_pvid`. `trunk` adds tagged VLANs, for VLAN sub-interfaces
/// that the node makes on top. `vlans` gives full control, as for a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostConfig {
    /// The bridge. Must be said.
    pub bridge: String,
    /// The untagged VLAN; without it the bridge's `default_pvid`.
    #[serde(with = "vlans::vid_text", skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// Tagged VLANs.
    #[serde(skip_serializing_if = "VlanSet::is_empty")]
    pub trunk: VlanSet,
    /// Full control, in place of the two above; an empty list: the port is in no VLAN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlans: Option<Vec<PortVlan>>,
    /// Addresses that the daemon sets; without any, another program may own them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Cidr>,
    /// The default route; must be in the network of one of the addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// The device's address; without it one is derived from the name, so it is stable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Bytes of payload: 68 up to the bridge's, which is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// As a port's: 1..=2,147,483,647.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txqueuelen: Option<u32>,
    /// As a port's.
    pub queue_mapping: u32,
    /// Queues of the TAP: 1..=64.
    pub queues: u32,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            bridge: String::new(),
            vlan: None,
            trunk: VlanSet::new(),
            vlans: None,
            addresses: Vec::new(),
            gateway: None,
            mac: None,
            mtu: None,
            txqueuelen: None,
            queue_mapping: 0,
            queues: 1,
        }
    }
}

mod resolve;

#[cfg(test)]
mod tests;
