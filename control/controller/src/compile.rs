//! From the desired configuration to what the switch is made of.
//!
//! [`compile`] reports every error with its path, or gives a [`Compiled`]: the wanted ports with their
//! devices and their view for the passes, the bridges with their tables and pinned addresses.
//! [`Compiled::snapshot`] then makes the immutable snapshot for the ports that are attached at that
//! moment. Both are pure: the same input gives the same output, nothing outside changes.
//!
//! Implements features.md 3.2 (membership per profile; an access port is in exactly one VLAN), T-04 and
//! T-05 (spanning tree frames: listened to on `nic`, contained elsewhere), B-03, B-04, B-08, B-09, S-18.
//! A port that cannot work for a reason the machine shows (its device belongs to a kernel bridge) is
//! still compiled, with the reason in [`Compiled::blocked`]: at start the others must come up.

mod machine;
mod protection;
mod steering;

pub use machine::blocked;
pub use protection::Kept;

use crate::bond::{Bond, WantedBond};
use crate::effect::{DeviceSettings, OpenKind, OpenSpec, TxQueue};
use crate::facts::Facts;
use crate::registry::{OutOfIndices, Registry, derived_mac};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vswitch_api::config::{
    self, Ageing, BondConfig, BpduPolicy, BridgeConfig, Config, ConfigError, HostConfig, Mac,
    Membership, PortConfig, PortKind, StaticKind, StpState,
};
use vswitch_api::text::path;
use vswitch_api::types::AttachMode;
use vswitch_base::{BridgeIndex, Generation, MacAddr, PortIndex, Vid, VidSet};
use vswitch_core::fdb::{EntryKind, Fdb};
use vswitch_core::protect::PortMemory;
use vswitch_core::snapshot::{
    AcceptFrames, BpduPolicy as CoreBpdu, BridgeSpec, PortFlags, PortState, PortView, Snapshot,
    SnapshotBuilder,
};
use vswitch_core::verdict::FloodClass;

/// A configuration, compiled.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// By name.
    pub bridges: BTreeMap<String, CompiledBridge>,
    /// Ports and host ports by name.
    pub ports: BTreeMap<String, WantedPort>,
    /// Names of ports by index.
    pub names: BTreeMap<PortIndex, String>,
    /// Bonds by name; their members are among the ports, and so are they.
    pub bonds: BTreeMap<String, WantedBond>,
    /// Ports that cannot work as the machine is now, with the reason.
    pub blocked: BTreeMap<String, ConfigError>,
}

/// One bridge.
#[derive(Clone, Debug)]
pub struct CompiledBridge {
    /// Its index.
    pub index: BridgeIndex,
    /// What the passes need of it.
    pub spec: BridgeSpec,
    /// Seconds after which a learned address is forgotten; `None`: never.
    pub ageing_s: Option<u32>,
    /// Configured addresses.
    pub pins: Vec<WantedPin>,
}

/// One port or host port.
#[derive(Clone, Debug)]
pub struct WantedPort {
    /// Its index.
    pub index: PortIndex,
    /// Its bridge.
    pub bridge: String,
    /// Its device.
    pub spec: OpenSpec,
    /// Its view, as if attached and running, with epoch 0.
    pub view: PortView,
    /// What its view gets from what is kept of it.
    pub kept: Kept,
    /// Whether the operator wants it up.
    pub enabled: bool,
    /// The `queue_id` of the members that its frames leave bonds by; 0: none.
    pub queue_mapping: u16,
    /// VLANs that are counted, when they are.
    pub counted_vlans: Option<VidSet>,
}

/// An address that does not age.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WantedPin {
    /// The VLAN; `None` on a bridge that does not filter VLANs.
    pub vid: Option<Vid>,
    /// The address.
    pub mac: MacAddr,
    /// The port it is behind, by name.
    pub port: String,
    /// Static or local.
    pub kind: EntryKind,
    /// Where the configuration says so.
    pub path: String,
}

/// What decides at the moment of publication whether a port takes part.
#[derive(Clone, Debug)]
pub struct PortRun {
    /// Its epoch.
    pub epoch: u16,
    /// Whether frames may pass: device running, not shut by a guard.
    pub running: bool,
    /// What is kept of it while its device is open.
    pub memory: PortMemory,
}

/// Compiles a configuration. Indices for new names are reserved in `registry`; those of a configuration
/// that is given up are released by the caller.
///
/// # Errors
/// Everything that is wrong with the configuration, in its order.
pub fn compile(
    config: &Config,
    registry: &mut Registry,
    facts: &Facts,
) -> Result<Compiled, Vec<ConfigError>> {
    let mut found = errors(config, facts);
    if !found.is_empty() {
        return Err(found);
    }
    let mut compiled = Compiled::default();
    for (name, bridge) in &config.bridge {
        match registry.reserve_bridge(name) {
            Ok(index) => {
                let table = registry.table(name, bridge.fdb_max);
                compiled.bridges.insert(
                    name.clone(),
                    compiled_bridge(name, bridge, index, table, facts),
                );
            }
            Err(full) => found.push(no_index("bridge", name, full)),
        }
    }
    let hosts = config.host.keys().map(|n| ("host", n.as_str()));
    // Bonds first: their members' views lead to them.
    let (bonds, ports): (Vec<_>, Vec<_>) = (config.port_names().into_iter().map(|n| ("port", n)))
        .partition(|(_, name)| config.bond.contains_key(*name));
    for (kind, name) in bonds.into_iter().chain(ports).chain(hosts) {
        match registry.reserve_port(name) {
            Ok(index) => {
                if let Some(port) = wanted_port(config, name, index, &compiled, facts) {
                    compiled
                        .blocked
                        .extend(blocked(kind, name, &port.spec, facts));
                    compiled.names.insert(index, name.to_owned());
                    compiled.ports.insert(name.to_owned(), port);
                }
            }
            Err(full) => found.push(no_index(kind, name, full)),
        }
    }
    for (name, bond) in &config.bond {
        compiled.bonds.extend(wanted_bond(name, bond, &compiled));
    }
    if found.is_empty() {
        Ok(compiled)
    } else {
        Err(found)
    }
}

/// Everything that is wrong with a configuration whatever is open: what `config::check` finds, and what
/// this daemon does not do.
#[must_use]
pub fn errors(config: &Config, facts: &Facts) -> Vec<ConfigError> {
    let mut errors = config::check(config);
    if !facts.mem_ports {
        let mem = config
            .port
            .iter()
            .filter(|(_, port)| port.kind == PortKind::Mem);
        errors.extend(mem.map(|(name, _)| {
            ConfigError::new(
                path(&["port", name, "kind"]),
                "ports of kind mem are for tests",
            )
            .hint("start the daemon with --enable-mem-ports, or use kind = \"tap\"")
        }));
    }
    errors
}

/// Ports that cannot work as the machine is now, with the reason. The configuration has no errors.
#[must_use]
pub fn forbidden(config: &Config, facts: &Facts) -> BTreeMap<String, ConfigError> {
    let ports = config.port_names().into_iter().filter_map(|name| {
        let bridge = config.bridge.get(config.bridge_of(name)?)?;
        let spec = port_spec(name, &*config.port_of(name)?, bridge, facts);
        blocked("port", name, &spec, facts)
    });
    let hosts = config.host.iter().filter_map(|(name, host)| {
        let bridge = config.bridge.get(&host.bridge)?;
        let spec = host_spec(name, host, bridge, MacAddr::ZERO, facts);
        blocked("host", name, &spec, facts)
    });
    ports.chain(hosts).collect()
}

fn no_index(kind: &str, name: &str, full: OutOfIndices) -> ConfigError {
    let message = format!("a daemon has {} of these at most", full.limit);
    ConfigError::new(path(&[kind, name]), message)
        .hint("remove some; numbers of removed ones are free again a moment later")
}

fn wanted_bond(
    name: &str,
    config: &BondConfig,
    compiled: &Compiled,
) -> Option<(String, WantedBond)> {
    compiled.ports.get(name)?;
    let members = config.members.iter();
    let members = members.filter_map(|name| Some((name.clone(), compiled.ports.get(name)?.index)));
    let bond = WantedBond {
        config: config.clone(),
        members: members.collect(),
    };
    Some((name.to_owned(), bond))
}

fn compiled_bridge(
    name: &str,
    bridge: &BridgeConfig,
    index: BridgeIndex,
    fdb: Arc<Fdb>,
    facts: &Facts,
) -> CompiledBridge {
    let default = Some(bridge.default_pvid).filter(|vid| *vid != 0);
    let pin = |(i, entry): (usize, &config::StaticEntry)| WantedPin {
        vid: entry
            .vlan
            .or(default)
            .filter(|_| bridge.vlan_filtering)
            .and_then(vid),
        mac: mac(entry.mac),
        port: entry.port.clone(),
        kind: match entry.kind {
            StaticKind::Static => EntryKind::Static,
            StaticKind::Local => EntryKind::Local,
        },
        path: format!("{}.fdb[{i}]", path(&["bridge", name])),
    };
    CompiledBridge {
        index,
        spec: BridgeSpec {
            vlan_filtering: bridge.vlan_filtering,
            learning: bridge.ageing != Ageing::Off,
            mac: bridge
                .mac
                .map_or_else(|| derived_mac(facts.machine, name), mac),
            fdb,
        },
        ageing_s: match bridge.ageing {
            Ageing::After(span) => {
                // Rounded up: an ageing time of 1.5 s never forgets after one.
                let whole = span.get().as_secs() + u64::from(span.get().subsec_nanos() > 0);
                Some(u32::try_from(whole).unwrap_or(u32::MAX))
            }
            Ageing::Never | Ageing::Off => None,
        },
        pins: bridge.fdb.iter().enumerate().map(pin).collect(),
    }
}

fn wanted_port(
    config: &Config,
    name: &str,
    index: PortIndex,
    compiled: &Compiled,
    facts: &Facts,
) -> Option<WantedPort> {
    let bridge_name = config.bridge_of(name)?;
    let bridge = config.bridge.get(bridge_name)?;
    let at = compiled.bridges.get(bridge_name)?;
    let mut view = PortView::new(index);
    view.bridge = Some(at.index);
    view.group_fwd_mask = bridge.group_fwd_mask;
    // A member is in no VLAN: its bond is.
    set_vlans(&mut view, &config.membership_of(name).unwrap_or_default());
    let mut kept = Kept::default();
    let (spec, enabled, queue_mapping) = match (config.port_of(name), config.host.get(name)) {
        (Some(port), _) => {
            let mut spec = port_spec(name, &port, bridge, facts);
            match config
                .bond_of(name)
                .and_then(|bond| compiled.ports.get(bond))
            {
                Some(bond) => {
                    view.logical = bond.index;
                    spec.device.mtu = bond.spec.device.mtu;
                    let bonds = bond.spec.device.tx_queue;
                    spec.device.tx_queue = spec.device.tx_queue.or_bonds(bonds, &spec.kind);
                }
                None => {
                    kept = Kept::of(&port);
                    set_port_view(&mut view, &port);
                }
            }
            (spec, port.enabled, port.queue_mapping)
        }
        (None, Some(host)) => {
            view.flags.host = true;
            view.floods = FloodClass::Multicast.bit() | FloodClass::Broadcast.bit();
            let spec = host_spec(name, host, bridge, at.spec.mac, facts);
            (spec, true, host.queue_mapping)
        }
        (None, None) => return None,
    };
    view.mtu = spec.device.mtu;
    // What passes a bond is counted at its members.
    let bond = config
        .bond_of(name)
        .and_then(|bond| compiled.ports.get(bond));
    let vlans = bond.map_or(&view, |bond| &bond.view).vlans.clone();
    let counts = bridge.vlan_stats && spec.kind != OpenKind::Bond;
    let counted_vlans = counts.then_some(vlans);
    Some(WantedPort {
        index,
        bridge: bridge_name.to_owned(),
        spec,
        view,
        kept,
        enabled,
        // Checked to be at most 65,535.
        queue_mapping: u16::try_from(queue_mapping).unwrap_or(0),
        counted_vlans,
    })
}

/// The VLAN table of a port; its PVID is a member even if the table forgets it.
fn set_vlans(view: &mut PortView, table: &Membership) {
    for (set, untagged) in [(&table.untagged, true), (&table.tagged, false)] {
        for range in set.ranges() {
            for vid in (range.first..=range.last).filter_map(vid) {
                view.vlans.insert(vid);
                if untagged {
                    view.untagged.insert(vid);
                }
            }
        }
    }
    view.pvid = table
        .pvid
        .and_then(vid)
        .filter(|pvid| view.vlans.contains(*pvid));
}

fn set_port_view(view: &mut PortView, port: &PortConfig) {
    let nic = matches!(port.kind, PortKind::Nic | PortKind::Bond);
    view.state = match port.state {
        _ if !port.enabled => PortState::Disabled,
        StpState::Forwarding => PortState::Forwarding,
        StpState::Learning => PortState::Learning,
        StpState::Blocking => PortState::Blocking,
        StpState::Disabled => PortState::Disabled,
    };
    view.flags = PortFlags {
        hairpin: port.hairpin,
        isolated: port.isolated,
        learning: port.learning,
        host: false,
        listens: nic,
        reflects: false,
        tells_groups: false,
        tells_neighbours: false,
    };
    view.accept = match port.accept_frames {
        config::AcceptFrames::All => AcceptFrames::All,
        config::AcceptFrames::Untagged => AcceptFrames::Untagged,
        config::AcceptFrames::Tagged => AcceptFrames::Tagged,
    };
    view.bpdu = match port.bpdu {
        BpduPolicy::Auto if nic => CoreBpdu::Listen,
        BpduPolicy::Auto | BpduPolicy::Drop => CoreBpdu::Contain,
        BpduPolicy::Guard => CoreBpdu::Guard,
        BpduPolicy::Forward => CoreBpdu::Forward,
        BpduPolicy::Listen => CoreBpdu::Listen,
    };
    view.group_fwd_mask |= port.group_fwd_mask;
    view.protection = protection::of(port).map(Arc::new);
    view.mac_limit = port.mac_limit.unwrap_or(u32::MAX);
    view.floods = [
        (port.flood, FloodClass::UnknownUnicast),
        (port.mcast_flood, FloodClass::Multicast),
        (port.bcast_flood, FloodClass::Broadcast),
    ]
    .iter()
    .filter(|(on, _)| *on)
    .fold(0, |bits, (_, class)| bits | class.bit());
}

fn port_spec(name: &str, port: &PortConfig, bridge: &BridgeConfig, facts: &Facts) -> OpenSpec {
    // The kernel would draw a new address for a TAP each time it is made, and whoever talks to the pod
    // in it would have to ask anew after every restart.
    let stable = (port.kind == PortKind::Tap).then(|| derived_mac(facts.machine, name));
    let kind = match port.kind {
        PortKind::Nic => OpenKind::Nic {
            device: port.device.clone().unwrap_or_else(|| name.to_owned()),
            ring_slots: port.ring_slots,
            netns: port.netns.clone(),
        },
        PortKind::Tap => OpenKind::Tap {
            device: port.device.clone(),
            netns: port.netns.clone(),
            persistent: port.persistent,
            owner: port.owner,
            group: port.group,
        },
        PortKind::Bond => OpenKind::Bond,
        PortKind::Mem => OpenKind::Mem,
    };
    let device = DeviceSettings {
        mtu: mtu(port.mtu.unwrap_or(bridge.mtu)),
        tx_queue: TxQueue::of(port.txqueuelen),
        // Of other kinds it is the address of the station behind the port.
        mac: stable.map(|stable| port.mac.map_or(stable, mac)),
        up: port.enabled,
        ..DeviceSettings::default()
    };
    OpenSpec {
        name: name.to_owned(),
        kind,
        queues: queues(port.queues),
        device,
        found: None,
        handed: None,
        // The plugin calls what it makes as the port is called; what somebody made by hand is his.
        made_for_us: port.attached == Some(AttachMode::Veth)
            && port.device.as_deref() == Some(name),
    }
}

fn host_spec(
    name: &str,
    host: &HostConfig,
    bridge: &BridgeConfig,
    bridge_mac: MacAddr,
    facts: &Facts,
) -> OpenSpec {
    let own = host.mac.map(mac).unwrap_or_else(|| {
        // The bridge's own interface has the bridge's address.
        if name == host.bridge {
            bridge_mac
        } else {
            derived_mac(facts.machine, name)
        }
    });
    let device = DeviceSettings {
        mtu: mtu(host.mtu.unwrap_or(bridge.mtu)),
        tx_queue: TxQueue::of(host.txqueuelen),
        mac: Some(own),
        up: true,
        addresses: host.addresses.clone(),
        gateway: host.gateway,
    };
    let kind = OpenKind::Host;
    OpenSpec {
        name: name.to_owned(),
        kind,
        queues: queues(host.queues),
        device,
        found: None,
        handed: None,
        made_for_us: false,
    }
}

impl Compiled {
    /// The snapshot of the ports for which `run` answers; the others are not part of it. `bonds` are those of
    /// this configuration, with the links of their members as they are.
    pub fn snapshot(
        &self,
        generation: Generation,
        bonds: &BTreeMap<String, Bond>,
        run_of: impl Fn(&str, &WantedPort) -> Option<PortRun>,
    ) -> Snapshot {
        let mut builder = SnapshotBuilder::new(generation);
        for bridge in self.bridges.values() {
            builder.bridge(bridge.index, bridge.spec.clone());
        }
        let bridges_with = |asked: fn(&BondConfig) -> bool| -> BTreeSet<&str> {
            let bonds = bonds.iter().filter(|(_, b)| asked(&b.wanted().config));
            let bridge = |(name, _)| Some(self.ports.get(name)?.bridge.as_str());
            bonds.filter_map(bridge).collect()
        };
        let replays = bridges_with(|bond| bond.resend_igmp > 0);
        let announces = bridges_with(|bond| bond.num_grat_arp > 0);
        for (name, port) in &self.ports {
            let Some(run) = run_of(name, port) else {
                continue;
            };
            let mut view = port.view.clone();
            view.epoch = run.epoch;
            if !run.running {
                view.state = PortState::Disabled;
            }
            view.flags.tells_neighbours = announces.contains(port.bridge.as_str());
            if let Some(bond) = bonds.get(name) {
                builder.bond(port.index, bond.transmit().clone());
                if let Some(loads) = bond.loads() {
                    builder.measure(port.index, Arc::clone(loads));
                }
                view.flags.reflects = bond.reflects();
            } else {
                view.flags.tells_groups = replays.contains(port.bridge.as_str());
            }
            if let Some(admits) = bonds.values().find_map(|bond| bond.admits(port.index)) {
                view.admits = admits;
            }
            let watched = bonds.values().find_map(|bond| bond.watched(port.index));
            view.watched = watched.map(Arc::new);
            view.steers = steering::steers(self, port.queue_mapping, bonds);
            port.kept.dress(&mut view, &run.memory);
            if let Some((bond, run)) = self.bond_run(&view, port, &run_of) {
                bond.kept.dress_exit(&mut view, &run.memory);
            }
            builder.port(port.index, view);
        }
        builder.build()
    }

    /// The bond of a member, as it takes part.
    fn bond_run(
        &self,
        view: &PortView,
        member: &WantedPort,
        run_of: impl Fn(&str, &WantedPort) -> Option<PortRun>,
    ) -> Option<(&WantedPort, PortRun)> {
        if view.logical == member.index {
            return None;
        }
        let name = self.names.get(&view.logical)?;
        let bond = self.ports.get(name)?;
        Some((bond, run_of(name, bond)?))
    }

    /// All addresses that a bridge must have: configured ones, and those of its host ports in each of
    /// their VLANs. `mac_of` tells a host port's address as it is now.
    pub fn pins_of(
        &self,
        bridge: &str,
        mac_of: impl Fn(&str, &WantedPort) -> Option<MacAddr>,
    ) -> BTreeMap<(Option<Vid>, MacAddr), (PortIndex, EntryKind)> {
        let Some(at) = self.bridges.get(bridge) else {
            return BTreeMap::new();
        };
        let mut pins = BTreeMap::new();
        for pin in &at.pins {
            if let Some(port) = self.ports.get(&pin.port) {
                pins.insert((pin.vid, pin.mac), (port.index, pin.kind));
            }
        }
        for (name, port) in self
            .ports
            .iter()
            .filter(|(_, p)| p.bridge == bridge && p.view.flags.host)
        {
            let Some(mac) = mac_of(name, port) else {
                continue;
            };
            let own = (port.index, EntryKind::Local);
            if at.spec.vlan_filtering {
                pins.extend(port.view.vlans.iter().map(|vid| ((Some(vid), mac), own)));
            } else {
                pins.insert((None, mac), own);
            }
        }
        pins
    }
}

fn vid(value: u16) -> Option<Vid> {
    Vid::new(value).ok()
}

const fn mac(mac: Mac) -> MacAddr {
    MacAddr(mac.octets())
}

/// Checked to be at most 9,216.
fn mtu(value: u32) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

/// Checked to be at most 64.
fn queues(value: u32) -> u16 {
    u16::try_from(value).unwrap_or(1)
}
#[cfg(test)]
mod tests;
