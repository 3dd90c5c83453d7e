//! The controller's side of the address tables: configured and local addresses, ageing, changes for
//! watchers, addresses that jump.
//!
//! Calls on `Arc<Fdb>` are memory and may be made at any time; what orders them with the workers is the
//! snapshot. Configured addresses are put in just before the snapshot that has their port; addresses
//! that a new configuration has no place for are forgotten after every worker uses it, because until
//! then they could be learned again.

use super::Controller;
use crate::compile::{Compiled, WantedPort};
use crate::events::Note;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vswitch_api::config::ConfigError;
use vswitch_api::text::path;
use vswitch_api::types::{FdbEntry, FdbEvent, FdbKind, FdbOp, Severity};
use vswitch_base::{Duration, Instant, MacAddr, PortIndex, Vid};
use vswitch_core::fdb::{EntryKind, Fdb, FdbEventKind};
use vswitch_core::snapshot::PortState;

/// How often changes are collected while somebody watches them, and otherwise (flaps are looked for).
const DRAIN_WATCHED: Duration = Duration::from_millis(100);
const DRAIN_UNWATCHED: Duration = Duration::from_secs(1);
/// No address outlives its time by more than this (features.md 3.1.3).
const SWEEP_MAX_S: u32 = 10;

type Pins = BTreeMap<(Option<Vid>, MacAddr), (PortIndex, EntryKind)>;

/// What the tables hold by our doing, and when they are looked at next.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    pinned: BTreeMap<String, (Arc<Fdb>, Pins)>,
    /// Bridges with addresses that the new view has no place for.
    displaced: BTreeSet<String>,
    drained_at: Instant,
    swept_at: BTreeMap<String, Instant>,
    /// Changes that each table had lost when it was last looked at.
    lost: BTreeMap<String, u64>,
}

impl Addresses {
    /// When tables want to be looked at, if there are any.
    pub(super) fn next_tick(&self, watched: bool) -> Option<Instant> {
        let every = if watched {
            DRAIN_WATCHED
        } else {
            DRAIN_UNWATCHED
        };
        (!self.pinned.is_empty()).then(|| self.drained_at + every)
    }

    /// Addresses of a bridge that are there by configuration.
    pub(super) fn configured(&self, bridge: &str) -> u32 {
        let pins = self.pinned.get(bridge).map_or(0, |(_, pins)| pins.len());
        u32::try_from(pins).unwrap_or(u32::MAX)
    }
}

impl Controller {
    /// Makes `target` what is published next.
    ///
    /// # Errors
    /// Configured addresses that found no room; all others are in.
    pub(super) fn switch_view(
        &mut self,
        target: &Arc<Compiled>,
        now: Instant,
    ) -> Result<(), Vec<ConfigError>> {
        let old = std::mem::replace(&mut self.view, Arc::clone(target));
        // A number may be another port's before long.
        self.groups
            .keep_ports(|port| target.names.contains_key(&port));
        self.bindings
            .keep_ports(|port| target.names.contains_key(&port));
        if !Arc::ptr_eq(&old, target) {
            for (name, port) in &target.ports {
                let before = old.ports.get(name);
                let was_active = before.is_some_and(|p| is_active(p.view.state));
                if was_active && !is_active(port.view.state) {
                    self.registry.raise_epoch(port.index);
                }
                if before.is_some_and(|before| loses_places(before, port)) {
                    self.addresses.displaced.insert(port.bridge.clone());
                    self.addresses
                        .displaced
                        .extend(before.map(|b| b.bridge.clone()));
                }
            }
            for (name, bridge) in &target.bridges {
                let filtered = old.bridges.get(name).map(|b| b.spec.vlan_filtering);
                if filtered.is_some_and(|filtered| filtered != bridge.spec.vlan_filtering) {
                    self.addresses.displaced.insert(name.clone());
                }
            }
        }
        self.sync_pins(now)
    }

    /// Puts configured and local addresses into the tables, and takes those out that are no longer.
    ///
    /// # Errors
    /// As [`Self::switch_view`].
    pub(super) fn sync_pins(&mut self, now: Instant) -> Result<(), Vec<ConfigError>> {
        let view = Arc::clone(&self.view);
        let mut errors = Vec::new();
        self.addresses
            .pinned
            .retain(|name, _| view.bridges.contains_key(name));
        self.addresses
            .swept_at
            .retain(|name, _| view.bridges.contains_key(name));
        self.addresses
            .lost
            .retain(|name, _| view.bridges.contains_key(name));
        for (name, bridge) in &view.bridges {
            let wanted = view.pins_of(name, |port, wanted| self.mac_of(port, wanted));
            let table = &bridge.spec.fdb;
            let had = match self.addresses.pinned.remove(name) {
                Some((old, pins)) if Arc::ptr_eq(&old, table) => pins,
                _ => Pins::new(),
            };
            for (key, (port, kind)) in had.iter().filter(|(key, _)| !wanted.contains_key(key)) {
                table.remove(key.0, key.1);
                self.tell_pin(name, *key, *port, *kind, FdbOp::Removed, now);
            }
            let mut pinned = Pins::new();
            for (key, (port, kind)) in &wanted {
                if had.get(key) != Some(&(*port, *kind)) {
                    if table.pin(key.0, key.1, *port, *kind).is_err() {
                        let message = format!(
                            "no room for {} beside the addresses that share its place",
                            key.1
                        );
                        let at = bridge.pins.iter().find(|pin| (pin.vid, pin.mac) == *key);
                        let at = at.map_or_else(
                            || path(&["bridge", name, "fdb_max"]),
                            |pin| pin.path.clone(),
                        );
                        errors.push(
                            ConfigError::new(at, message).hint("raise fdb_max of the bridge"),
                        );
                        continue;
                    }
                    self.tell_pin(name, *key, *port, *kind, FdbOp::Added, now);
                }
                pinned.insert(*key, (*port, *kind));
            }
            self.addresses
                .pinned
                .insert(name.clone(), (Arc::clone(table), pinned));
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// A host port's address as it is now.
    pub(super) fn mac_of(&self, name: &str, wanted: &WantedPort) -> Option<MacAddr> {
        let open = self.actual.ports.get(name);
        let seen = open.and_then(|port| {
            let link = port
                .facts
                .ifindex
                .and_then(|ifindex| self.facts.link(ifindex));
            link.and_then(|link| link.mac).or(port.facts.mac)
        });
        seen.or(wanted.spec.device.mac)
    }

    fn tell_pin(
        &mut self,
        bridge: &str,
        (vid, mac): (Option<Vid>, MacAddr),
        port: PortIndex,
        kind: EntryKind,
        op: FdbOp,
        now: Instant,
    ) {
        if !self.streams.watches_addresses() {
            return;
        }
        let entry = self.fdb_row(bridge, vid, mac, port, kind);
        let time = self.wall.rfc3339(now);
        self.streams.offer_address(&FdbEvent {
            time,
            op: Some(op),
            entry: Some(entry),
            from_port: None,
            lost: 0,
        });
    }

    fn fdb_row(
        &self,
        bridge: &str,
        vid: Option<Vid>,
        mac: MacAddr,
        port: PortIndex,
        kind: EntryKind,
    ) -> FdbEntry {
        FdbEntry {
            bridge: bridge.to_owned(),
            mac: mac.to_string(),
            vlan: vid.map_or(0, Vid::get),
            port: self.port_name(port).unwrap_or("?").to_owned(),
            kind: fdb_kind(kind),
            ..FdbEntry::default()
        }
    }

    /// Forgets learned addresses that the published view has no place for: of VLANs that their port has
    /// left, of ports on another bridge.
    pub(super) fn forget_displaced(&mut self) {
        let view = Arc::clone(&self.view);
        for name in std::mem::take(&mut self.addresses.displaced) {
            let Some(bridge) = view.bridges.get(&name) else {
                continue;
            };
            let members: BTreeMap<PortIndex, &WantedPort> = view
                .ports
                .values()
                .filter(|port| port.bridge == name)
                .map(|port| (port.index, port))
                .collect();
            bridge.spec.fdb.flush(|entry| {
                entry.kind == EntryKind::Learned
                    && !members
                        .get(&entry.port)
                        .is_some_and(|port| match entry.vid {
                            Some(vid) => {
                                bridge.spec.vlan_filtering && port.view.vlans.contains(vid)
                            }
                            None => !bridge.spec.vlan_filtering,
                        })
            });
        }
    }

    /// Collects changes and ages addresses, if it is time.
    pub(super) fn tick_addresses(&mut self, now: Instant) {
        let watched = self.streams.watches_addresses();
        if self.addresses.next_tick(watched).is_none_or(|at| now < at) {
            return;
        }
        self.addresses.drained_at = now;
        self.sweep(now);
        self.drain(now);
    }

    fn sweep(&mut self, now: Instant) {
        let view = Arc::clone(&self.view);
        for (name, bridge) in &view.bridges {
            let every = bridge
                .ageing_s
                .map_or(SWEEP_MAX_S, |s| (s / 10).clamp(1, SWEEP_MAX_S));
            let last = *self.addresses.swept_at.entry(name.clone()).or_insert(now);
            if now.saturating_since(last) < Duration::from_secs(u64::from(every)) {
                continue;
            }
            self.addresses.swept_at.insert(name.clone(), now);
            let snapshot = &self.snapshot;
            bridge
                .spec
                .fdb
                .sweep(now.as_secs_u32(), bridge.ageing_s, |port, epoch| {
                    snapshot.port(port).is_some_and(|view| view.epoch == epoch)
                });
        }
    }

    /// Takes changes out of the tables, for those who watch.
    pub(super) fn drain(&mut self, now: Instant) {
        let view = Arc::clone(&self.view);
        let watched = self.streams.watches_addresses();
        for (name, bridge) in &view.bridges {
            // At most as many as fit the queue: workers may add faster than we take.
            for _ in 0..vswitch_core::fdb::EVENTS_MAX {
                let Some(event) = bridge.spec.fdb.take_event() else {
                    break;
                };
                let mut from_port = None;
                let op = match event.kind {
                    FdbEventKind::Learned => FdbOp::Learned,
                    FdbEventKind::Moved { from } => {
                        from_port = Some(self.port_name(from).unwrap_or("?").to_owned());
                        self.note_move(name, event.vid, event.mac, from, event.port, now);
                        FdbOp::Moved
                    }
                    FdbEventKind::Aged => FdbOp::Aged,
                    FdbEventKind::Evicted => FdbOp::Evicted,
                    FdbEventKind::Flushed => FdbOp::Flushed,
                    FdbEventKind::Reflected { by } => {
                        self.note_loop(name, &event, by, now);
                        continue;
                    }
                };
                if watched {
                    let entry =
                        self.fdb_row(name, event.vid, event.mac, event.port, EntryKind::Learned);
                    let time = self.wall.rfc3339(now);
                    let event = FdbEvent {
                        time,
                        op: Some(op),
                        entry: Some(entry),
                        from_port,
                        lost: 0,
                    };
                    self.streams.offer_address(&event);
                }
            }
            let lost = bridge.spec.fdb.stats().events_lost;
            let before = self.addresses.lost.insert(name.clone(), lost).unwrap_or(0);
            if watched && lost > before {
                self.streams.lose_addresses(name, lost - before);
            }
        }
    }

    /// An address that is pinned to one of our ports came in by a bond.
    fn note_loop(
        &mut self,
        bridge: &str,
        event: &vswitch_core::fdb::FdbEvent,
        member: PortIndex,
        now: Instant,
    ) {
        let Some(index) = self.view.bridges.get(bridge).map(|b| b.index) else {
            return;
        };
        if !self.loops.note((index, member, event.vid), now) {
            return;
        }
        let [member, port] =
            [member, event.port].map(|port| self.port_name(port).unwrap_or("?").to_owned());
        let (mac, vlan) = (event.mac, in_vlan(event.vid));
        let message = format!(
            "a frame from {mac}, which is {port}'s, came in by {member}{vlan}: a loop beyond the bond, or a switch \
             that does not know of it, or a second station with that address"
        );
        let detail = serde_json::json!({
            "mac": mac.to_string(), "vlan": event.vid.map_or(0, Vid::get), "member": member, "port": port,
        });
        self.note_with(
            now,
            Note {
                kind: "loop-alarm",
                object: &path(&["bridge", bridge]),
                severity: Severity::Warning,
                message,
                detail: Some(detail),
            },
        );
    }

    fn note_move(
        &mut self,
        bridge: &str,
        vid: Option<Vid>,
        mac: MacAddr,
        from: PortIndex,
        to: PortIndex,
        now: Instant,
    ) {
        let Some(index) = self.view.bridges.get(bridge).map(|b| b.index) else {
            return;
        };
        let Some(moves) = self.flaps.note_move((index, vid, mac), now) else {
            return;
        };
        let [from, to] = [from, to].map(|port| self.port_name(port).unwrap_or("?").to_owned());
        let vlan = in_vlan(vid);
        let message = format!(
            "{mac}{vlan} moved {moves} times in 10 s, between {from} and {to}: a loop, or two stations with one address"
        );
        let detail = serde_json::json!({
            "mac": mac.to_string(), "vlan": vid.map_or(0, Vid::get), "ports": [from, to], "moves": moves,
        });
        let object = path(&["bridge", bridge]);
        let severity = Severity::Warning;
        self.note_with(
            now,
            Note {
                kind: "mac-flap",
                object: &object,
                severity,
                message,
                detail: Some(detail),
            },
        );
    }
}

/// How the API spells a kind of entry.
pub(super) const fn fdb_kind(kind: EntryKind) -> FdbKind {
    match kind {
        EntryKind::Learned => FdbKind::Dynamic,
        EntryKind::Static => FdbKind::Static,
        EntryKind::Local => FdbKind::Local,
    }
}

fn in_vlan(vid: Option<Vid>) -> String {
    vid.map_or_else(String::new, |vid| format!(" in VLAN {vid}"))
}

const fn is_active(state: PortState) -> bool {
    matches!(state, PortState::Learning | PortState::Forwarding)
}

/// Whether addresses learned behind a port may be where the port no longer is.
fn loses_places(before: &WantedPort, after: &WantedPort) -> bool {
    before.bridge != after.bridge
        || before
            .view
            .vlans
            .iter()
            .any(|vid| !after.view.vlans.contains(vid))
}
