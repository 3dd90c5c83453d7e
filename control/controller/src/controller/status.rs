//! The read side: state, health, addresses, counters and traces, from what the controller holds.

use super::addresses::fdb_kind;
use super::{Controller, RequestId};
use vswitch_api::ApiError;
use vswitch_api::config::Membership;
use vswitch_api::request::{FdbFlush, FdbList, StatsVlans, Trace};
use vswitch_api::types::{
    Bridge, DropCount, DropRow, DropsReply, Event, FdbEntry, FdbFlushed, FdbPage, FrameDirection,
    Health, HealthReply, Owner, OwnerKind, Port, PortCounters, PortFlags, PortVlans, PortsReply,
    Severity, State, StateReply, TraceCopy, TraceReply, TraceStep, VlanCounters, VlansReply,
};
use vswitch_base::{Instant, MacAddr, PortIndex, Tag, Tci, Tpid, Vid};
use vswitch_core::explain::{Skipped, Step, explain};
use vswitch_core::fdb::{Entry, EntryKind, Learned};
use vswitch_core::frame::{Frame, VnetHdr};
use vswitch_core::verdict::{DropReason, FloodClass, Verdict};

/// Entries of one reply of a list.
const PAGE: usize = 1000;

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
            self.config
                .port
                .keys()
                .chain(self.config.host.keys())
                .map(String::as_str)
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
        let wanted =
            |of: &str, name: &str| bridge.is_none_or(|b| b == of) && port.is_none_or(|p| p == name);
        let ports = self
            .committed
            .ports
            .iter()
            .filter(|(name, port)| wanted(&port.bridge, name))
            .map(|(name, _)| self.port_row(name))
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
            fdb_entries: bridge.spec.fdb.stats().entries,
            fdb_max: config.fdb_max,
            uplink: config.uplink.clone(),
            protected: config.protected,
            ports: self
                .config
                .members_of(name)
                .into_iter()
                .map(str::to_owned)
                .collect(),
        }
    }

    fn port_row(&self, name: &str) -> Port {
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
        let fdb = self
            .committed
            .bridges
            .get(&wanted.bridge)
            .map(|b| &b.spec.fdb);
        let entries = fdb.map_or(0, |fdb| {
            let found = fdb
                .counts_by_port()
                .into_iter()
                .find(|(port, _)| *port == wanted.index);
            found.map_or(0, |(_, count)| count)
        });
        let mac = link
            .and_then(|l| l.mac)
            .or_else(|| facts.and_then(|f| f.mac))
            .or(wanted.spec.device.mac);
        Port {
            name: name.to_owned(),
            bridge: Some(wanted.bridge.clone()),
            bond: None,
            kind: crate::actual::kind_name(&wanted.spec.kind).to_owned(),
            uplink: self.config.uplink_of(name).is_some(),
            netdev: link
                .map(|l| l.name.clone())
                .or_else(|| wanted.spec.device_name().map(str::to_owned)),
            ifindex: facts.and_then(|f| f.ifindex),
            netns: wanted.spec.netns().map(str::to_owned),
            mac: mac.map(|mac| mac.to_string()),
            mtu: u32::from(wanted.view.mtu),
            queues: u32::from(wanted.spec.queues),
            admin_up: wanted.enabled,
            state: status.state.to_owned(),
            reason: status.reason.clone(),
            speed_mbps: facts.and_then(|f| f.speed_mbps),
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
        let saved = self.saved.port.contains_key(name) || self.saved.host.contains_key(name);
        if saved {
            OwnerKind::Static
        } else {
            OwnerKind::Api
        }
    }

    pub(super) fn health(&self, now: Instant) -> HealthReply {
        let mut problems = Vec::new();
        for (name, status) in &self.status {
            let down = !matches!(status.state, "up" | "down") || status.shut.is_some();
            if down {
                problems.push(Event {
                    sequence: 0,
                    time: self.wall.rfc3339(status.since),
                    kind: "port-down".to_owned(),
                    object: vswitch_api::text::path(&["port", name]),
                    severity: if status.state == "lower-down" {
                        Severity::Warning
                    } else {
                        Severity::Error
                    },
                    message: format!(
                        "port {name} is {}{}",
                        status.state,
                        status
                            .reason
                            .as_deref()
                            .map_or_else(String::new, |r| format!(": {r}"))
                    ),
                    detail: None,
                });
            }
        }
        if self.stalled {
            problems.push(Event {
                sequence: 0,
                time: self.wall.rfc3339(now),
                kind: "workers".to_owned(),
                object: "daemon".to_owned(),
                severity: Severity::Error,
                message: "a worker does not take the newest configuration".to_owned(),
                detail: None,
            });
        }
        let up = self
            .status
            .values()
            .filter(|status| status.state == "up")
            .count();
        let bridges = self.committed.bridges.values();
        HealthReply {
            health: match problems.is_empty() {
                true => Health::Ok,
                false if self.stalled => Health::Failed,
                false => Health::Degraded,
            },
            problems,
            version: self.settings.version.clone(),
            uptime_seconds: (now - Instant::ZERO).as_secs(),
            generation: self.generation,
            unsaved: crate::plan::changes(&self.saved, &self.config).len() as u64,
            bridges: u32::try_from(self.committed.bridges.len()).unwrap_or(u32::MAX),
            ports: u32::try_from(self.status.len()).unwrap_or(u32::MAX),
            ports_up: u32::try_from(up).unwrap_or(u32::MAX),
            fdb_entries: bridges.map(|b| u64::from(b.spec.fdb.stats().entries)).sum(),
            workers: self.settings.workers,
        }
    }

    /// Entries that are not stale, of one bridge or all, sorted.
    pub(super) fn fdb_entries(
        &self,
        bridge: Option<&str>,
        port: Option<&str>,
        now: Instant,
    ) -> Vec<FdbEntry> {
        let port = port.and_then(|name| self.port_index(name));
        let now_s = now.as_secs_u32();
        let mut rows = Vec::new();
        for (name, view) in &self.view.bridges {
            if bridge.is_some_and(|wanted| wanted != name) {
                continue;
            }
            for entry in view.spec.fdb.entries() {
                if port.is_some_and(|port| port != entry.port) || !self.is_current(&entry) {
                    continue;
                }
                let learned = entry.kind == EntryKind::Learned;
                rows.push(FdbEntry {
                    bridge: name.clone(),
                    mac: entry.mac.to_string(),
                    vlan: entry.vid.map_or(0, Vid::get),
                    port: self.port_name(entry.port).unwrap_or("?").to_owned(),
                    kind: fdb_kind(entry.kind),
                    seen_seconds: learned.then(|| u64::from(now_s.saturating_sub(entry.seen))),
                    used_seconds: (entry.used > 0)
                        .then(|| u64::from(now_s.saturating_sub(entry.used))),
                    hits: None,
                });
            }
        }
        rows.sort_by(|a, b| (&a.bridge, a.vlan, &a.mac).cmp(&(&b.bridge, b.vlan, &b.mac)));
        rows
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
        let mac = list.mac.as_ref().map(ToString::to_string);
        let mut rows = self.fdb_entries(list.bridge.as_deref(), list.port.as_deref(), now);
        rows.retain(|row| {
            list.vlan.is_none_or(|vlan| vlan == row.vlan)
                && mac.as_ref().is_none_or(|mac| *mac == row.mac)
        });
        if !more {
            let truncated = rows.len() > PAGE;
            rows.truncate(PAGE);
            return self.streams.answer(
                id,
                Ok(FdbPage {
                    entries: rows,
                    truncated,
                }),
            );
        }
        let mut pages: Vec<FdbPage> = rows
            .chunks(PAGE)
            .map(|chunk| FdbPage {
                entries: chunk.to_vec(),
                truncated: false,
            })
            .collect();
        let last = pages.pop().unwrap_or_default();
        for page in pages {
            self.streams.continue_with(id, page);
        }
        self.streams.answer(id, Ok(last));
    }

    pub(super) fn fdb_flush(&mut self, flush: &FdbFlush) -> Result<FdbFlushed, ApiError> {
        self.known(flush.bridge.as_deref(), flush.port.as_deref())?;
        let port = flush.port.as_deref().and_then(|name| self.port_index(name));
        let mac: Option<MacAddr> = flush
            .mac
            .as_ref()
            .and_then(|mac| mac.to_string().parse().ok());
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

    pub(super) fn port_stats(
        &self,
        port: Option<&str>,
        now: Instant,
    ) -> Result<PortsReply, ApiError> {
        self.known(None, port)?;
        let rows = self
            .committed
            .ports
            .iter()
            .filter(|(name, _)| port.is_none_or(|p| p == *name));
        let ports = rows.map(|(name, wanted)| {
            let totals = self.counters.totals(wanted.index);
            let drops = DropReason::ALL
                .iter()
                .filter(|reason| totals.drops[reason.index()] > 0)
                .map(|reason| DropCount {
                    reason: reason.name().to_owned(),
                    direction: direction(*reason),
                    frames: totals.drops[reason.index()],
                });
            PortCounters {
                port: name.clone(),
                bridge: Some(wanted.bridge.clone()),
                frames_in: totals.frames_in,
                bytes_in: totals.bytes_in,
                frames_out: totals.frames_out,
                bytes_out: totals.bytes_out,
                frames_forwarded: totals.frames_forwarded,
                frames_punted: totals.punted(),
                drops: drops.collect(),
            }
        });
        Ok(PortsReply {
            snapshot_time: self.wall.rfc3339(now),
            ports: ports.collect(),
        })
    }

    pub(super) fn drops(
        &self,
        port: Option<&str>,
        reason: Option<&str>,
        now: Instant,
    ) -> Result<DropsReply, ApiError> {
        if let Some(name) = reason.filter(|name| DropReason::ALL.iter().all(|r| r.name() != *name))
        {
            return Err(ApiError::not_found(
                "reason",
                name,
                DropReason::ALL.iter().map(|r| r.name()),
            ));
        }
        let mut drops = Vec::new();
        for counters in self.port_stats(port, now)?.ports {
            for drop in counters.drops {
                let means = DropReason::ALL.iter().find(|r| r.name() == drop.reason);
                if reason.is_none_or(|wanted| wanted == drop.reason) {
                    drops.push(DropRow {
                        means: means.map_or("", |r| r.meaning()).to_owned(),
                        reason: drop.reason,
                        port: counters.port.clone(),
                        direction: drop.direction,
                        frames: drop.frames,
                    });
                }
            }
        }
        drops.sort_by(|a, b| b.frames.cmp(&a.frames).then_with(|| a.port.cmp(&b.port)));
        Ok(DropsReply {
            snapshot_time: self.wall.rfc3339(now),
            drops,
        })
    }

    pub(super) fn vlan_stats(
        &self,
        stats: &StatsVlans,
        now: Instant,
    ) -> Result<VlansReply, ApiError> {
        self.known(stats.bridge.as_deref(), stats.port.as_deref())?;
        let mut vlans = Vec::new();
        for (name, port) in &self.committed.ports {
            let other_bridge = stats.bridge.as_ref().is_some_and(|b| *b != port.bridge);
            if other_bridge || stats.port.as_ref().is_some_and(|p| p != name) {
                continue;
            }
            for vid in port
                .counted_vlans
                .iter()
                .flat_map(vswitch_base::VidSet::iter)
            {
                let wanted = stats.vlan.is_none_or(|vlan| vlan == vid.get());
                let Some(totals) = self.counters.vlan(port.index, vid).filter(|_| wanted) else {
                    continue;
                };
                vlans.push(VlanCounters {
                    bridge: port.bridge.clone(),
                    port: Some(name.clone()),
                    vlan: vid.get(),
                    frames_in: totals.frames_in,
                    bytes_in: totals.bytes_in,
                    frames_out: totals.frames_out,
                    bytes_out: totals.bytes_out,
                });
            }
        }
        Ok(VlansReply {
            snapshot_time: self.wall.rfc3339(now),
            vlans,
        })
    }

    pub(super) fn trace(&self, trace: &Trace, now: Instant) -> Result<TraceReply, ApiError> {
        self.known(None, Some(&trace.port))?;
        let bytes = trace.frame()?;
        let Some(ingress) = self.port_index(&trace.port) else {
            return Err(ApiError::not_found("port", &trace.port, std::iter::empty()));
        };
        let pcp = u16::from(trace.pcp.unwrap_or(0) & 7) << 13;
        let stripped = trace.vlan.map(|vlan| Tag {
            tpid: Tpid::Dot1q,
            tci: Tci(pcp | vlan & 0xfff),
        });
        let frame = Frame {
            bytes: &bytes,
            stripped,
            offload: VnetHdr::NONE,
        };
        let explained = explain(&self.snapshot, ingress, &frame, now);
        let name = |index: PortIndex| self.port_name(index).unwrap_or("?").to_owned();
        let class = explained.classified;
        let vid = class.and_then(|c| c.vid);
        let mut reply = TraceReply::default();
        let mut add = |stage: &str, object: Option<String>, text: String, reason: Option<&str>| {
            let reason = reason.map(str::to_owned);
            reply.steps.push(TraceStep {
                stage: stage.to_owned(),
                object,
                text,
                reason,
            });
        };
        let mut copies = Vec::new();
        for step in &explained.steps {
            match step {
                Step::NoBridge => add(
                    "in",
                    Some(trace.port.clone()),
                    "the port is not attached to its bridge now".to_owned(),
                    None,
                ),
                Step::Admitted { vid, tag } => {
                    let text = match (vid, tag) {
                        (None, _) => "the bridge does not filter VLANs".to_owned(),
                        (Some(vid), None) => format!("untagged: VLAN {vid} (pvid)"),
                        (Some(vid), Some(tag)) if tag.vid_bits() == 0 => {
                            format!("priority tag {}: VLAN {vid} (pvid)", tag.pcp().get())
                        }
                        (Some(vid), Some(_)) => format!("tagged: VLAN {vid}"),
                    };
                    add("in", Some(trace.port.clone()), text, None);
                }
                Step::Learn { learned } => {
                    let source = class.map(|c| c.src.to_string());
                    add("learn", source, self.learned_text(*learned), None);
                }
                Step::Group { class: kind } => {
                    let text = match kind {
                        FloodClass::Broadcast => "broadcast: flood",
                        _ => "multicast: flood",
                    };
                    add(
                        "find",
                        class.map(|c| c.dst.to_string()),
                        text.to_owned(),
                        None,
                    );
                }
                Step::Unknown => {
                    let vlan = vid.map_or_else(String::new, |vid| format!(" in VLAN {vid}"));
                    let text = format!("unknown{vlan}: flood");
                    add("find", class.map(|c| c.dst.to_string()), text, None);
                }
                Step::Known { port, kind } => {
                    let kind = match kind {
                        EntryKind::Learned => "learned",
                        EntryKind::Static => "static",
                        EntryKind::Local => "the switch's own",
                    };
                    let text = format!("behind {} ({kind})", name(*port));
                    add("find", class.map(|c| c.dst.to_string()), text, None);
                }
                Step::Out { egress } => {
                    let tag = vid.filter(|_| egress.tagged).map(Vid::get);
                    let text =
                        tag.map_or_else(|| "untagged".to_owned(), |tag| format!("tagged {tag}"));
                    add("out", Some(name(egress.port)), text, None);
                    copies.push(TraceCopy {
                        port: name(egress.port),
                        tag,
                    });
                }
                Step::Skip { port, why } => {
                    let (text, reason) = match why {
                        Skipped::Ingress => ("it came from there", "same-port"),
                        Skipped::Isolated => ("both ports are isolated", "isolated"),
                        Skipped::FloodOff => {
                            ("this kind of traffic is not flooded there", "flood-off")
                        }
                        Skipped::Oversize => ("larger than the port's MTU", "tx-oversize"),
                    };
                    add("skip", Some(name(*port)), text.to_owned(), Some(reason));
                }
            }
        }
        let (verdict, reason) = match explained.verdict {
            Verdict::Forward(_) => ("forward", None),
            Verdict::Flood(_) => ("flood", None),
            Verdict::Punt(reason) => {
                add(
                    "punt",
                    Some("the control side".to_owned()),
                    reason.meaning().to_owned(),
                    Some(reason.name()),
                );
                ("punt", Some(reason.name()))
            }
            Verdict::Drop(reason) => {
                add(
                    "drop",
                    None,
                    reason.meaning().to_owned(),
                    Some(reason.name()),
                );
                ("drop", Some(reason.name()))
            }
        };
        reply.verdict = verdict.to_owned();
        reply.reason = reason.map(str::to_owned);
        reply.copies = copies;
        Ok(reply)
    }

    fn learned_text(&self, learned: Learned) -> String {
        match learned {
            Learned::Known => "known here".to_owned(),
            Learned::New => "new: would be learned here".to_owned(),
            Learned::Moved { from } => {
                format!(
                    "known behind {}: would move here",
                    self.port_name(from).unwrap_or("?")
                )
            }
            Learned::Pinned => "configured behind another port: stays there".to_owned(),
            Learned::OwnAddress => "the switch's own address: not learned".to_owned(),
            Learned::PortLimit => "not learned: the port has mac_limit addresses".to_owned(),
            Learned::Busy => "not learned this time".to_owned(),
            Learned::NoRoom => "not learned: no room beside static entries".to_owned(),
        }
    }
}

const fn direction(reason: DropReason) -> FrameDirection {
    if reason.is_egress() {
        FrameDirection::Out
    } else {
        FrameDirection::In
    }
}
