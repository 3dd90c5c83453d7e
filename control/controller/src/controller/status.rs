//! The read side: bridges, ports and addresses as they are.

use super::addresses::fdb_kind;
use super::known::Configured;
use super::streams::{PAGE, Row};
use super::{Controller, RequestId};
use crate::bond::Bond;
use crate::groups::Place;
use std::collections::BTreeMap;
use vswitch_api::ApiError;
use vswitch_api::config::Membership;
use vswitch_api::request::{FdbFlush, FdbList};
use vswitch_api::types::{
    Bridge, FdbEntry, FdbFlushed, FdbPage, Owner, OwnerKind, Port, PortFlags, PortVlans, State,
    StateReply,
};
use vswitch_base::{BridgeIndex, Instant, MacAddr, PortIndex, Vid};
use vswitch_core::fdb::{Entry, EntryKind};
use vswitch_core::verdict::FloodClass;

/// Learned addresses by port.
type Counts = BTreeMap<PortIndex, u32>;

impl Controller {
    pub(super) fn known(&self, bridge: Option<&str>, port: Option<&str>) -> Result<(), ApiError> {
        if let Some(name) = bridge.filter(|name| !self.config.bridge.contains_key(*name)) {
            return Err(ApiError::not_found(
                "bridge",
                name,
                self.config.bridge.keys().map(String::as_str),
            ));
        }
        let ports = || {
            let ports = self.config.port_names().into_iter();
            ports.chain(self.config.host.keys().map(String::as_str))
        };
        match port.filter(|name| !ports().any(|known| known == *name)) {
            Some(name) => Err(ApiError::not_found("port", name, ports())),
            None => Ok(()),
        }
    }

    pub(super) fn state_reply(
        &self,
        bridge: Option<&str>,
        port: Option<&str>,
        now: Instant,
    ) -> Result<StateReply, ApiError> {
        self.known(bridge, port)?;
        Ok(StateReply {
            state: self.state(bridge, port, now),
        })
    }

    pub(super) fn state(&self, bridge: Option<&str>, port: Option<&str>, now: Instant) -> State {
        let tables = self
            .committed
            .bridges
            .values()
            .map(|bridge| &bridge.spec.fdb);
        let counts: Counts = tables.flat_map(|fdb| fdb.counts_by_port()).collect();
        let wanted =
            |of: &str, name: &str| bridge.is_none_or(|b| b == of) && port.is_none_or(|p| p == name);
        let ports = self
            .committed
            .ports
            .iter()
            .filter(|(name, port)| wanted(&port.bridge, name))
            .map(|(name, _)| self.port_row(name, &counts))
            .collect();
        let on = port
            .and_then(|p| self.committed.ports.get(p))
            .map(|p| p.bridge.as_str());
        let bridges = self
            .committed
            .bridges
            .keys()
            .filter(|name| bridge.is_none_or(|b| b == *name) && on.is_none_or(|b| b == *name))
            .map(|name| self.bridge_row(name))
            .collect();
        State {
            generation: self.generation,
            snapshot_time: self.wall.rfc3339(now),
            bridges,
            ports,
        }
    }

    fn bridge_row(&self, name: &str) -> Bridge {
        let (Some(config), Some(bridge)) = (
            self.config.bridge.get(name),
            self.committed.bridges.get(name),
        ) else {
            return Bridge::default();
        };
        Bridge {
            name: name.to_owned(),
            mac: bridge.spec.mac.to_string(),
            mtu: config.mtu,
            vlan_filtering: config.vlan_filtering,
            default_pvid: config.default_pvid,
            ageing: config.ageing.to_string(),
            fdb_entries: bridge.spec.fdb.stats().entries + self.addresses.configured(name),
            fdb_max: config.fdb_max,
            uplink: config.uplink.clone(),
            protected: config.protected,
            ports: self
                .config
                .members_of(name)
                .into_iter()
                .map(str::to_owned)
                .collect(),
            attached_vlans: self.attachments.vlan_owners(&self.config, name),
        }
    }

    fn port_row(&self, name: &str, counts: &Counts) -> Port {
        let (Some(wanted), Some(status)) = (self.committed.ports.get(name), self.status.get(name))
        else {
            return Port::default();
        };
        let open = self.actual.ports.get(name);
        let facts = open.map(|port| &port.facts);
        let link = facts
            .and_then(|f| f.ifindex)
            .and_then(|i| self.facts.link(i));
        let link = link.filter(|_| wanted.spec.netns().is_none());
        let config = self.config.port.get(name).cloned().unwrap_or_default();
        let table = self.config.membership_of(name).unwrap_or_default();
        let entries = counts.get(&wanted.index).copied().unwrap_or(0);
        let mac = link
            .and_then(|l| l.mac)
            .or_else(|| facts.and_then(|f| f.mac))
            .or(wanted.spec.device.mac)
            .or_else(|| self.bonds.get(name).and_then(Bond::address));
        Port {
            name: name.to_owned(),
            bridge: Some(wanted.bridge.clone()),
            bond: self.config.bond_of(name).map(str::to_owned),
            kind: crate::actual::kind_name(&wanted.spec.kind).to_owned(),
            uplink: self.config.uplink_of(name).is_some(),
            netdev: link
                .map(|l| l.name.clone())
                .or_else(|| wanted.spec.device_name().map(str::to_owned)),
            ifindex: facts.and_then(|f| f.ifindex),
            netns: wanted.spec.netns().map(str::to_owned),
            mac: mac.map(|mac| mac.to_string()),
            mtu: u32::from(wanted.view.mtu),
            txqueuelen: wanted.spec.device.tx_queue.frames(),
            queues: u32::from(wanted.spec.queues),
            admin_up: wanted.enabled,
            state: status.state.to_owned(),
            reason: status.reason.clone(),
            speed_mbps: link
                .and_then(|l| l.speed_mbps)
                .or_else(|| facts.and_then(|f| f.speed_mbps)),
            vlans: self.vlans_of(&wanted.bridge, &table),
            flags: PortFlags {
                accept_frames: config.accept_frames.to_string(),
                stp_state: config.state.to_string(),
                bpdu: config.bpdu.to_string(),
                hairpin: wanted.view.flags.hairpin,
                isolated: wanted.view.flags.isolated,
                learning: wanted.view.flags.learning,
                flood: wanted.view.floods & FloodClass::UnknownUnicast.bit() != 0,
                mcast_flood: wanted.view.floods & FloodClass::Multicast.bit() != 0,
                bcast_flood: wanted.view.floods & FloodClass::Broadcast.bit() != 0,
                group_fwd_mask: wanted.view.group_fwd_mask,
                mac_limit: config.mac_limit,
            },
            held: wanted
                .kept
                .hold
                .then(|| !open.is_some_and(|port| port.memory.gate.is_open())),
            fdb_entries: entries,
            addresses: wanted
                .spec
                .device
                .addresses
                .iter()
                .map(ToString::to_string)
                .collect(),
            owner: Owner {
                kind: self.owner_of(name),
            },
            since: self.wall.rfc3339(status.since),
        }
    }

    fn vlans_of(&self, bridge: &str, table: &Membership) -> PortVlans {
        let filtering = self
            .config
            .bridge
            .get(bridge)
            .is_some_and(|b| b.vlan_filtering);
        if filtering {
            PortVlans::from(table)
        } else {
            PortVlans::default()
        }
    }

    fn owner_of(&self, name: &str) -> OwnerKind {
        if self
            .config
            .port
            .get(name)
            .is_some_and(|p| p.attached.is_some())
        {
            return OwnerKind::Cni;
        }
        let saved = self.saved.port_of(name).is_some() || self.saved.host.contains_key(name);
        if saved {
            OwnerKind::Static
        } else {
            OwnerKind::Api
        }
    }

    /// Entries that are not stale, of one bridge or all, behind one port or any; sorted by bridge, VLAN
    /// and address.
    pub(super) fn rows(&self, bridge: Option<&str>, port: Option<&str>) -> Vec<Row> {
        let port = port.and_then(|name| self.port_index(name));
        let mut rows = Vec::new();
        for (name, at) in &self.view.bridges {
            if bridge.is_some_and(|wanted| wanted != name) {
                continue;
            }
            let begin = rows.len();
            let wanted = |entry: &Entry| {
                port.is_none_or(|port| port == entry.port) && self.is_current(entry)
            };
            let entries = at.spec.fdb.entries().filter(wanted);
            rows.extend(entries.map(|entry| (at.index, entry)));
            rows[begin..].sort_unstable_by_key(|(_, entry)| (entry.vid, entry.mac));
        }
        rows
    }

    /// Rows as the API has them.
    pub(super) fn render(&self, rows: Vec<Row>, now: Instant) -> Vec<FdbEntry> {
        let now_s = now.as_secs_u32();
        let bridges: Vec<(BridgeIndex, &String)> = self
            .view
            .bridges
            .iter()
            .map(|(name, bridge)| (bridge.index, name))
            .collect();
        let bridge = |index| {
            let found = bridges.iter().find(|(known, _)| *known == index);
            found.map_or_else(String::new, |(_, name)| (*name).clone())
        };
        let mut configured: BTreeMap<BridgeIndex, Configured> = BTreeMap::new();
        let mut ips = |bridge: BridgeIndex, name: &str, entry: &Entry| -> Vec<String> {
            let at = configured.entry(bridge);
            let configured = at.or_insert_with(|| self.configured(name));
            let place = Place {
                bridge,
                port: entry.port,
                vid: entry.vid,
                mac: entry.mac,
            };
            let known = self.ips_of(configured, place, now);
            known.iter().map(ToString::to_string).collect()
        };
        let ago = |second: u32| u64::from(now_s.saturating_sub(second));
        let mut row = |(index, entry): Row| FdbEntry {
            ips: ips(index, &bridge(index), &entry),
            bridge: bridge(index),
            mac: entry.mac.to_string(),
            vlan: entry.vid.map_or(0, Vid::get),
            port: self.port_name(entry.port).unwrap_or("?").to_owned(),
            kind: fdb_kind(entry.kind),
            seen_seconds: (entry.kind == EntryKind::Learned).then(|| ago(entry.seen)),
            used_seconds: (entry.used > 0).then(|| ago(entry.used)),
            hits: None,
        };
        rows.into_iter().map(&mut row).collect()
    }

    fn is_current(&self, entry: &Entry) -> bool {
        entry.kind != EntryKind::Learned
            || self
                .snapshot
                .port(entry.port)
                .is_some_and(|port| port.epoch == entry.epoch)
    }

    pub(super) fn fdb_list(&mut self, id: RequestId, list: &FdbList, more: bool, now: Instant) {
        if let Err(error) = self.known(list.bridge.as_deref(), list.port.as_deref()) {
            return self.streams.answer(id, Err::<(), _>(error));
        }
        let mac = list.mac.map(|mac| MacAddr(mac.octets()));
        let mut rows = self.rows(list.bridge.as_deref(), list.port.as_deref());
        rows.retain(|(_, entry)| {
            list.vlan
                .is_none_or(|vlan| vlan == entry.vid.map_or(0, Vid::get))
                && mac.is_none_or(|mac| mac == entry.mac)
        });
        if more {
            return self.streams.list(id, rows.into());
        }
        let truncated = rows.len() > PAGE;
        rows.truncate(PAGE);
        let entries = self.render(rows, now);
        self.streams.answer(id, Ok(FdbPage { entries, truncated }));
    }

    pub(super) fn fdb_flush(&mut self, flush: &FdbFlush) -> Result<FdbFlushed, ApiError> {
        self.known(flush.bridge.as_deref(), flush.port.as_deref())?;
        let port = flush.port.as_deref().and_then(|name| self.port_index(name));
        let mac = flush.mac.map(|mac| MacAddr(mac.octets()));
        let mut flushed = 0;
        for (name, bridge) in &self.view.bridges {
            if flush.bridge.as_ref().is_some_and(|wanted| wanted != name) {
                continue;
            }
            flushed += bridge.spec.fdb.flush(|entry| {
                entry.kind == EntryKind::Learned
                    && port.is_none_or(|port| port == entry.port)
                    && flush
                        .vlan
                        .is_none_or(|vlan| vlan == entry.vid.map_or(0, Vid::get))
                    && mac.is_none_or(|mac| mac == entry.mac)
            });
        }
        Ok(FdbFlushed {
            flushed: flushed as u64,
        })
    }
}
