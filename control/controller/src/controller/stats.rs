//! Counters as the API has them: by port, by reason, by VLAN.
//!
//! Read from the data plane through the [`Counters`](super::Counters) of the daemon; nothing is kept
//! here, so rates are for the client to compute from two replies.

use super::{Controller, VlanTotals};
use std::collections::BTreeMap;
use vswitch_api::ApiError;
use vswitch_api::request::StatsVlans;
use vswitch_api::types::{
    DropCount, DropRow, DropsReply, FrameDirection, PortCounters, PortsReply, VlanCounters,
    VlansReply,
};
use vswitch_base::{Instant, Vid, VidSet};
use vswitch_core::verdict::DropReason;

impl Controller {
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
            let mut totals = self.counters.totals(wanted.index);
            let bond = self.committed.bonds.get(name);
            for (_, member) in bond.map_or(&[][..], |bond| &bond.members) {
                totals.add(&self.counters.totals(*member));
            }
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

    /// By bridge, VLAN and port, the sum of the bridge first.
    pub(super) fn vlan_stats(
        &self,
        stats: &StatsVlans,
        now: Instant,
    ) -> Result<VlansReply, ApiError> {
        self.known(stats.bridge.as_deref(), stats.port.as_deref())?;
        let mut rows: BTreeMap<(&str, Vid, Option<&str>), VlanTotals> = BTreeMap::new();
        for (name, port) in &self.committed.ports {
            let other_bridge = stats.bridge.as_ref().is_some_and(|b| *b != port.bridge);
            // What passes a member passes its bond.
            let shown = self.config.bond_of(name).unwrap_or(name);
            let asked = |port: &String| port == name || port == shown;
            if other_bridge || !stats.port.as_ref().is_none_or(asked) {
                continue;
            }
            let counted = port.counted_vlans.iter().flat_map(VidSet::iter);
            for vid in counted.filter(|vid| stats.vlan.is_none_or(|vlan| vlan == vid.get())) {
                let Some(totals) = self.counters.vlan(port.index, vid) else {
                    continue;
                };
                let all = stats.port.is_none().then_some(None);
                for of in all.into_iter().chain([Some(shown)]) {
                    let sum = rows.entry((&port.bridge, vid, of)).or_default();
                    sum.frames_in += totals.frames_in;
                    sum.bytes_in += totals.bytes_in;
                    sum.frames_out += totals.frames_out;
                    sum.bytes_out += totals.bytes_out;
                }
            }
        }
        let row =
            |((bridge, vid, port), totals): ((&str, Vid, Option<&str>), VlanTotals)| VlanCounters {
                bridge: bridge.to_owned(),
                port: port.map(str::to_owned),
                vlan: vid.get(),
                frames_in: totals.frames_in,
                bytes_in: totals.bytes_in,
                frames_out: totals.frames_out,
                bytes_out: totals.bytes_out,
            };
        let vlans = rows.into_iter().map(row).collect();
        Ok(VlansReply {
            snapshot_time: self.wall.rfc3339(now),
            vlans,
        })
    }
}

const fn direction(reason: DropReason) -> FrameDirection {
    if reason.is_egress() {
        FrameDirection::Out
    } else {
        FrameDirection::In
    }
}
