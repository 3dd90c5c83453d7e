//! Checks of one object at a time: its numbers, what its fields say together, and what it
//! refers to.

use super::Found;
use crate::config::{
    Ageing, BridgeConfig, Config, FDB_MAX, HostConfig, PortConfig, PortKind, StaticKind, Timespan,
    Workers, vlans,
};
use crate::text::{known_hint, nearest};

/// Most queues of a port.
const QUEUES_MAX: u32 = 64;
/// Most receive ring slots of a `nic` port: 264 MiB.
const RING_SLOTS_MAX: u32 = 4096;
/// The longest transmit queue, in frames: the kernel's bonding manual takes up to `INT_MAX`.
const TX_QUEUE_MAX: u32 = i32::MAX.unsigned_abs();

/// `[daemon]`.
pub(super) fn daemon(config: &Config, found: &mut Found) {
    let daemon = &config.daemon;
    if let Workers::Count(count) = daemon.workers {
        found.range(&["daemon", "workers"], count, 1, 256);
    }
    if daemon.spin > Timespan::from_secs(1) {
        found.add(
            &["daemon", "spin"],
            format!("spinning for {} wastes a core", daemon.spin),
            "at most 1s; poll = \"busy\" never sleeps",
        );
    }
    let rebalance = daemon.rebalance_interval;
    let usable = Timespan::from_micros(100_000)..=Timespan::from_secs(3_600);
    if !(rebalance.get().is_zero() || usable.contains(&rebalance)) {
        found.add(
            &["daemon", "rebalance_interval"],
            format!("an interval of {rebalance} is out of range"),
            "100ms to 1h; \"0s\" leaves queues with the workers that they were given to",
        );
    }
    for (key, group) in [
        ("admin_group", &daemon.admin_group),
        ("monitor_group", &daemon.monitor_group),
    ] {
        if group.is_empty()
            || group.len() > 64
            || group
                .chars()
                .any(|c| c == ':' || c.is_whitespace() || c.is_control())
        {
            found.add(
                &["daemon", key],
                "this is no group name",
                "name a group of /etc/group",
            );
        }
    }
    if daemon.log.trim().is_empty() {
        found.add(
            &["daemon", "log"],
            "the log level is empty",
            "error, warn, info, debug or trace",
        );
    }
}

/// `[bridge.NAME]`.
pub(super) fn bridge(config: &Config, name: &str, bridge: &BridgeConfig, found: &mut Found) {
    if found.is_full() {
        return;
    }
    let at = |key| ["bridge", name, key];
    if let Some(mac) = bridge.mac {
        found.station(&at("mac"), mac);
    }
    found.mtu(&at("mtu"), bridge.mtu, None);
    if bridge.default_pvid != 0 && !vlans::is_usable(bridge.default_pvid) {
        found.add(
            &at("default_pvid"),
            format!("there is no VLAN {}", bridge.default_pvid),
            "1 to 4094, or 0 for no default VLAN",
        );
    }
    if let Ageing::After(span) = bridge.ageing
        && !(Timespan::from_secs(1)..=Timespan::from_secs(1_000_000)).contains(&span)
    {
        found.add(
            &at("ageing"),
            format!("an ageing time of {span} is out of range"),
            "1s to 1000000s, or \"never\", or \"off\"",
        );
    }
    found.range(&at("fdb_max"), bridge.fdb_max, 1, FDB_MAX);
    if bridge.group_fwd_mask & 0b111 != 0 {
        found.add(
            &at("group_fwd_mask"),
            format!("{:#06x} has one of the bits 0, 1, 2", bridge.group_fwd_mask),
            "spanning tree, PAUSE and LACP frames are not forwarded by a bridge; a port's own group_fwd_mask may set bit 2",
        );
    }
    found.vlan_set(&at("vlans"), &bridge.vlans);
    match bridge.uplink.as_deref() {
        Some(uplink) => self::uplink(config, name, uplink, found),
        None if !bridge.vlans.is_empty() => {
            let hint = "name the uplink; VLANs of other ports are said at the port";
            found.add(
                &at("vlans"),
                "these are the VLANs of the uplink, and there is no uplink",
                hint,
            );
        }
        None => {}
    }
    static_entries(config, name, bridge, found);
}

fn uplink(config: &Config, name: &str, uplink: &str, found: &mut Found) {
    let at = ["bridge", name, "uplink"];
    let Some(port) = config.port_of(uplink) else {
        let nics = config
            .port
            .iter()
            .filter(|(_, port)| port.kind == PortKind::Nic);
        let nics: Vec<&str> = nics.map(|(name, _)| name.as_str()).collect();
        let mut hint = known_hint(uplink, "port of kind nic", &nics);
        if nearest(uplink, nics.iter().copied()).is_none() {
            hint = format!("write [port.{uplink}] with kind = \"nic\"; {hint}");
        }
        return found.add(&at, format!("there is no port \"{uplink}\""), hint);
    };
    if let Some(bond) = config.bond_of(uplink) {
        found.add(
            &at,
            format!("\"{uplink}\" is a member of bond \"{bond}\""),
            format!("name the bond: uplink = \"{bond}\""),
        );
    } else if !matches!(port.kind, PortKind::Nic | PortKind::Bond) {
        found.add(
            &at,
            format!("port \"{uplink}\" is a {}, not a network device", port.kind),
            "an uplink is a bond, or a port of kind nic",
        );
    }
    if let Some(other) = port.bridge.as_deref().filter(|other| *other != name) {
        found.add(
            &at,
            format!("port \"{uplink}\" is on bridge \"{other}\""),
            "leave \"bridge\" out at the port, or name this bridge there",
        );
    }
    let own = !config
        .bridge
        .get(name)
        .is_none_or(|bridge| bridge.vlans.is_empty());
    if own && !port.says_no_vlans() {
        found.add(
            &["bridge", name, "vlans"],
            format!("port \"{uplink}\" says its VLANs itself"),
            "say the uplink's VLANs in one place",
        );
    }
}

fn static_entries(config: &Config, name: &str, bridge: &BridgeConfig, found: &mut Found) {
    let mut seen = std::collections::BTreeSet::new();
    let members = if bridge.fdb.is_empty() {
        Vec::new()
    } else {
        config.members_of(name)
    };
    let known: std::collections::BTreeSet<&str> = members.iter().copied().collect();
    for (index, entry) in bridge.fdb.iter().enumerate() {
        if found.is_full() {
            return;
        }
        let place = format!("fdb[{index}]");
        let mut local = Found::default();
        local.station(&["mac"], entry.mac);
        if let Some(vid) = entry.vlan {
            local.vid(&["vlan"], vid);
        } else if bridge.vlan_filtering && bridge.default_pvid == 0 {
            local.add(
                &["vlan"],
                "the bridge has no default VLAN",
                "say the VLAN of the address",
            );
        }
        if !known.contains(entry.port.as_str()) {
            let message = format!("bridge \"{name}\" has no port \"{}\"", entry.port);
            local.add(
                &["port"],
                message,
                known_hint(&entry.port, "port on this bridge", &members),
            );
        } else if entry.kind == StaticKind::Local && !config.host.contains_key(&entry.port) {
            let message = format!("\"{}\" is no host port", entry.port);
            local.add(
                &["kind"],
                message,
                "a local address is the switch's own: name a host port, or use kind = \"static\"",
            );
        }
        if !seen.insert((entry.mac, entry.vlan.unwrap_or(bridge.default_pvid))) {
            local.add(
                &["mac"],
                format!("{} is listed twice for one VLAN", entry.mac),
                "keep one entry",
            );
        }
        let base = crate::text::path(&["bridge", name]);
        found
            .errors
            .extend(local.errors.into_iter().map(|mut error| {
                error.path = format!("{base}.{place}.{}", error.path);
                error
            }));
    }
}

/// Reports a bridge that is not there; returns its name and MTU if it is.
fn on_bridge<'a>(
    config: &'a Config,
    at: &[&str],
    bridge: &'a str,
    found: &mut Found,
) -> Option<(&'a str, u32)> {
    if let Some(known) = config.bridge.get(bridge) {
        return Some((bridge, known.mtu));
    }
    let names: Vec<&str> = config.bridge.keys().map(String::as_str).collect();
    let shown = crate::text::excerpt(bridge, 40);
    found.add(
        at,
        format!("there is no bridge \"{shown}\""),
        known_hint(bridge, "bridge", &names),
    );
    None
}

/// `[port.NAME]`.
pub(super) fn port(config: &Config, name: &str, port: &PortConfig, found: &mut Found) {
    if found.is_full() {
        return;
    }
    let at = |key| ["port", name, key];
    super::protection::protection(config, name, port, found);
    if let Some(bond) = config.bond_of(name) {
        super::bonds::member_port(name, bond, port, found);
        return port_kind(name, port, found);
    }
    if (port.kind == PortKind::Bond) != config.bond.contains_key(name) {
        super::bonds::kind(name, port, found);
    }
    let bridge = match port.bridge.as_deref() {
        Some(bridge) => on_bridge(config, &at("bridge"), bridge, found),
        None => match config.uplink_of(name) {
            Some(bridge) => config.bridge.get(bridge).map(|known| (bridge, known.mtu)),
            None => {
                let names: Vec<&str> = config.bridge.keys().map(String::as_str).collect();
                found.add(
                    &["port", name],
                    "this port is on no bridge",
                    format!("say bridge = NAME; {}", known_hint("", "bridge", &names)),
                );
                None
            }
        },
    };
    port_vlans(name, port, found);
    if let Some(mtu) = port.mtu {
        found.mtu(&at("mtu"), mtu, bridge);
    }
    if port.group_fwd_mask & 0b10 != 0 {
        found.add(
            &at("group_fwd_mask"),
            "bit 1 is set",
            "PAUSE frames are never forwarded",
        );
    }
    if let Some(limit) = port.mac_limit {
        found.range(&at("mac_limit"), limit, 1, FDB_MAX);
    }
    found.range(&at("queue_mapping"), port.queue_mapping, 0, u16::MAX.into());
    found.range(&at("queues"), port.queues, 1, QUEUES_MAX);
    if let Some(mac) = port.mac {
        found.station(&at("mac"), mac);
    }
    port_kind(name, port, found);
}

/// The length of the transmit queue: the kernel's bounds, and a TAP with none would take no frame.
fn tx_queue(name: &str, port: &PortConfig, found: &mut Found) {
    let at = ["port", name, "txqueuelen"];
    let Some(frames) = port.txqueuelen else {
        return;
    };
    let elsewhere = port.kind == PortKind::Nic && port.netns.is_some();
    if elsewhere || port.kind == PortKind::Mem {
        let (what, hint) = if elsewhere {
            ("is left as it is", "set it where the device was made")
        } else {
            ("does not exist", "take it out")
        };
        let message = format!("the device of this port {what}");
        found.add(&at, message, hint);
    }
    let least = u32::from(port.kind == PortKind::Tap);
    found.range(&at, frames, least, TX_QUEUE_MAX);
}

/// Fields that a port of this kind does not have.
fn port_kind(name: &str, port: &PortConfig, found: &mut Found) {
    let tap_only = [
        ("persistent", port.persistent),
        ("owner", port.owner.is_some()),
        ("group", port.group.is_some()),
        (
            "mac",
            port.mac.is_some() && !super::protection::names_station(port),
        ),
    ];
    let both = [("netns", port.netns.is_some())];
    tx_queue(name, port, found);
    if port.kind == PortKind::Bond && port.queues != 1 {
        found.add(
            &["port", name, "queues"],
            "a bond has no queues",
            "its members have: say it in their [port.NAME]",
        );
    }
    let nic_only = [
        // A TAP in another namespace may have another name there.
        ("device", port.device.is_some() && port.netns.is_none()),
        ("ring_slots", port.ring_slots.is_some()),
    ];
    let wrong = tap_only
        .iter()
        .filter(|_| port.kind != PortKind::Tap)
        .map(|field| (field, "tap"));
    let wrong = wrong.chain(
        nic_only
            .iter()
            .filter(|_| port.kind != PortKind::Nic)
            .map(|field| (field, "nic")),
    );
    let wrong = wrong.chain(
        both.iter()
            .filter(|_| !matches!(port.kind, PortKind::Nic | PortKind::Tap))
            .map(|field| (field, "tap")),
    );
    for ((key, _), kind) in wrong.filter(|((_, set), _)| *set) {
        found.add(
            &["port", name, key],
            format!("a port of kind {} has no \"{key}\"", port.kind),
            format!("\"{key}\" is for kind = \"{kind}\""),
        );
    }
    if let Some(device) = &port.device
        && let Err(mut error) = super::check_name("device", device)
    {
        error.path = crate::text::path(&["port", name, "device"]);
        found.errors.push(error);
    }
    if let Some(slots) = port.ring_slots {
        found.range(&["port", name, "ring_slots"], slots, 2, RING_SLOTS_MAX);
    }
    if port
        .netns
        .as_deref()
        .is_some_and(|netns| netns.is_empty() || netns.contains('\0') || netns.len() > 4095)
    {
        found.add(
            &["port", name, "netns"],
            "this names no network namespace",
            "a name of `ip netns list`, or a path such as /proc/PID/ns/net",
        );
    }
}

fn port_vlans(name: &str, port: &PortConfig, found: &mut Found) {
    let at = |key| ["port", name, key];
    for (key, vid) in [("vlan", port.vlan), ("native_vlan", port.native_vlan)] {
        if let Some(vid) = vid {
            found.vid(&at(key), vid);
        }
    }
    found.vlan_set(&at("trunk"), &port.trunk);
    found.entries("port", name, port.vlans.as_deref().unwrap_or_default());
    let trunk = !port.trunk.is_empty();
    if let Some(vid) = port.vlan
        && (trunk || port.native_vlan.is_some())
    {
        found.add(
            &at("vlan"),
            format!("vlan = {vid} makes an access port, and this port also has trunk VLANs"),
            format!("an access port is in one VLAN; for a trunk write native_vlan = {vid} and trunk = [...]"),
        );
    }
    if port.vlans.is_some() && (trunk || port.vlan.is_some() || port.native_vlan.is_some()) {
        found.add(
            &at("vlans"),
            "\"vlans\" says all VLANs, and the short forms say some again",
            "use either \"vlans\" or \"vlan\", \"native_vlan\", \"trunk\"",
        );
    }
    if let Some(vid) = port.native_vlan.filter(|vid| port.trunk.contains(*vid)) {
        found.add(
            &at("native_vlan"),
            format!("VLAN {vid} is also in trunk, which is tagged"),
            "the native VLAN is untagged: take it out of trunk, or use \"vlans\" for a PVID that is sent tagged",
        );
    }
}

/// `[host.NAME]`.
pub(super) fn host(config: &Config, name: &str, host: &HostConfig, found: &mut Found) {
    if found.is_full() {
        return;
    }
    let at = |key| ["host", name, key];
    let bridge = if host.bridge.is_empty() {
        let names: Vec<&str> = config.bridge.keys().map(String::as_str).collect();
        found.add(
            &["host", name],
            "this host port is on no bridge",
            format!("say bridge = NAME; {}", known_hint("", "bridge", &names)),
        );
        None
    } else {
        on_bridge(config, &at("bridge"), &host.bridge, found)
    };
    if let Some(vid) = host.vlan {
        found.vid(&at("vlan"), vid);
    }
    found.vlan_set(&at("trunk"), &host.trunk);
    found.entries("host", name, host.vlans.as_deref().unwrap_or_default());
    if let Some(vid) = host.vlan.filter(|vid| host.trunk.contains(*vid)) {
        found.add(
            &at("vlan"),
            format!("VLAN {vid} is also in trunk, which is tagged"),
            "take it out of one of the two",
        );
    }
    if host.vlans.is_some() && (host.vlan.is_some() || !host.trunk.is_empty()) {
        found.add(
            &at("vlans"),
            "\"vlans\" says all VLANs, and the short forms say some again",
            "use either \"vlans\" or \"vlan\" and \"trunk\"",
        );
    }
    if let Some(mtu) = host.mtu {
        found.mtu(&at("mtu"), mtu, bridge);
    }
    found.range(&at("queue_mapping"), host.queue_mapping, 0, u16::MAX.into());
    if let Some(frames) = host.txqueuelen {
        found.range(&at("txqueuelen"), frames, 1, TX_QUEUE_MAX);
    }
    if let Some(mac) = host.mac {
        found.station(&at("mac"), mac);
    }
    found.range(&at("queues"), host.queues, 1, QUEUES_MAX);
    if let Some(gateway) = host.gateway
        && !host.addresses.iter().any(|cidr| cidr.contains(gateway))
    {
        let hint = if host.addresses.is_empty() {
            "say the host's own address in \"addresses\"".to_owned()
        } else {
            let list: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
            format!("addresses: {}", list.join(", "))
        };
        found.add(
            &at("gateway"),
            format!("{gateway} is in no network of this host port"),
            hint,
        );
    }
}
