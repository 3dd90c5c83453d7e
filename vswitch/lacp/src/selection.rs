//! Selection (IEEE 802.1AX 6.4.14): which aggregator a port belongs to, which aggregator the bond
//! uses, and which of its ports carry traffic.
//!
//! Ports with equal keys and one partner, aggregatable at both ends, share an aggregator; others have
//! one alone. Aggregators are numbered like ports. A bond uses one aggregator at a time; ports of
//! others, and ports beyond `max_links`, are STANDBY: they speak, but are never in sync (P-05, P-08).
//!
//! Among more ports than `max_links` the system with priority decides by its own port priorities, so
//! that both ends come to the same ports.

#[cfg(test)]
mod tests;

use crate::info::{Key, ParticipantInfo, PortId, PortState, SystemId};
use crate::mux::MuxState;
use crate::port::LacpPort;
use crate::variables::Selected;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;
use vswitch_base::PortIndex;

/// What makes one aggregator better than another (K-28).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AdSelect {
    /// The one in use stays while it works; otherwise as `Bandwidth`.
    #[default]
    Stable,
    /// The sum of the speeds.
    Bandwidth,
    /// The number of ports, then the bandwidth.
    Count,
    /// The sum of the ports' priorities, then the number, then the bandwidth.
    PortPriority,
}

/// Who may be aggregated with whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct LagId {
    ours: Key,
    partner: SystemId,
    theirs: Key,
    /// The port, when it stands alone.
    alone: Option<u16>,
}

fn is_individual(port: &LacpPort) -> bool {
    let aggregates = |info: &ParticipantInfo| info.state.contains(PortState::AGGREGATION);
    !aggregates(&port.vars.actor)
        || !aggregates(&port.vars.partner)
        || port.vars.partner.system.mac.is_zero()
}

fn lag_of(port: &LacpPort) -> LagId {
    LagId {
        ours: port.vars.actor.key,
        partner: port.vars.partner.system,
        theirs: port.vars.partner.key,
        alone: is_individual(port).then_some(port.config.number),
    }
}

/// An aggregator by what selection compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Summary {
    individual: bool,
    has_partner: bool,
    no_key: bool,
    /// A port of it collects: there is traffic that a change would break.
    used: bool,
    /// The best of its ports, by [`deciding`].
    best: PortId,
    ports: u64,
    priorities: u64,
    bandwidth: u64,
}

impl Summary {
    /// What is compared; the greater is the better.
    const fn rank(&self, policy: AdSelect) -> (bool, bool, [u64; 3], Reverse<PortId>) {
        let figures = match policy {
            AdSelect::Stable | AdSelect::Bandwidth => [self.bandwidth, 0, 0],
            AdSelect::Count => [self.ports, self.bandwidth, 0],
            AdSelect::PortPriority => [self.priorities, self.ports, self.bandwidth],
        };
        let lower_first = Reverse(self.best);
        (!self.individual, self.has_partner, figures, lower_first)
    }
}

/// Parameters of the choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) ad_select: AdSelect,
    /// Ports that may carry traffic; 0 for all.
    pub(crate) max_links: u16,
}

/// Gives each port its aggregator and its verdict; returns the aggregator in use. Ports whose verdict
/// changed are to be run again, see `changed`.
pub(crate) fn select(
    ports: &mut BTreeMap<PortIndex, LacpPort>,
    active: Option<u16>,
    policy: Policy,
    changed: &mut BTreeSet<PortIndex>,
) -> Option<u16> {
    attach(ports, changed);
    let active = choose(ports, active, policy.ad_select);
    let working = active.map_or_else(BTreeSet::new, |id| winners(ports, id, policy.max_links));
    for (index, port) in ports.iter_mut() {
        let selected = match port.aggregator {
            None => Selected::Unselected,
            Some(_) if working.contains(index) => Selected::Selected,
            Some(_) => Selected::Standby,
        };
        if port.vars.selected != selected {
            port.vars.selected = selected;
            changed.insert(*index);
        }
    }
    ready(ports, changed);
    active
}

/// Aggregators for ports that have none or may not stay in theirs. A port moves only when its mux has
/// let go of the old aggregator, which takes a run between.
fn attach(ports: &mut BTreeMap<PortIndex, LacpPort>, changed: &mut BTreeSet<PortIndex>) {
    // Who founded an aggregator stands for it; without the founder the lowest port does.
    let mut lags: BTreeMap<u16, LagId> = BTreeMap::new();
    for port in ports.values_mut() {
        let stays = port.vars.port_enabled && port.vars.selected != Selected::Unselected;
        let lag = lag_of(port);
        if let Some(id) = port.aggregator.filter(|_| stays)
            && *lags.entry(id).or_insert(lag) == lag
        {
            continue;
        }
        port.aggregator = None;
    }
    let numbers: Vec<u16> = ports.values().map(|port| port.config.number).collect();
    for (index, port) in ports.iter_mut() {
        if port.aggregator.is_some() || !port.vars.port_enabled {
            continue;
        }
        if port.mux.state() != MuxState::Detached {
            port.vars.selected = Selected::Unselected;
            changed.insert(*index);
            continue;
        }
        let lag = lag_of(port);
        let shared = lags.iter().find(|(_, of)| **of == lag).map(|(id, _)| *id);
        let own = Some(port.config.number).filter(|id| !lags.contains_key(id));
        let free = || numbers.iter().copied().find(|id| !lags.contains_key(id));
        port.aggregator = shared.or(own).or_else(free);
        if let Some(id) = port.aggregator {
            lags.insert(id, lag);
        }
    }
}

/// The aggregator to use, among those with a port.
fn choose(
    ports: &BTreeMap<PortIndex, LacpPort>,
    active: Option<u16>,
    policy: AdSelect,
) -> Option<u16> {
    let mut summaries: BTreeMap<u16, Summary> = BTreeMap::new();
    for port in ports.values() {
        let Some(id) = port.aggregator else { continue };
        let summary = summaries.entry(id).or_default();
        let best = deciding(port);
        summary.best = if summary.ports == 0 {
            best
        } else {
            summary.best.min(best)
        };
        summary.used |= port.mux.state().collects();
        summary.individual = is_individual(port);
        summary.has_partner = !port.vars.partner.system.mac.is_zero();
        summary.no_key = port.vars.actor.key.0 == 0;
        summary.ports += 1;
        summary.priorities += u64::from(port.config.priority);
        summary.bandwidth += u64::from(port.link.speed);
    }
    // Only what carries traffic is worth to be kept: a choice from before the partners were known is
    // not, and between two ends that chose differently it would never end.
    let used = |summary: &Summary| summary.used;
    let current = active.and_then(|id| Some((id, *summaries.get(&id).filter(|s| used(s))?)));
    if policy == AdSelect::Stable
        && let Some((id, current)) = current
        && (current.has_partner || !summaries.values().any(|s| s.has_partner))
        && (!current.no_key || summaries.values().all(|s| s.no_key))
    {
        return Some(id);
    }
    // In a tie of the figures the one in use stays. Otherwise the port of the system that has
    // priority decides, so that both ends come to the same aggregator.
    let figures = |summary: &Summary| {
        let (individual, has_partner, figures, _) = summary.rank(policy);
        (individual, has_partner, figures)
    };
    let (best, summary) = summaries.into_iter().max_by_key(|(_, s)| s.rank(policy))?;
    match current {
        Some((id, current)) if figures(&current) >= figures(&summary) => Some(id),
        _ => Some(best),
    }
}

/// The port's identity at the end that has priority: what both ends of a link compare.
fn deciding(port: &LacpPort) -> PortId {
    let (ours, theirs) = (&port.vars.actor, &port.vars.partner);
    let known = !theirs.system.mac.is_zero();
    if known && theirs.system < ours.system {
        theirs.port
    } else {
        ours.port
    }
}

/// The ports of aggregator `id` that may carry traffic.
fn winners(ports: &BTreeMap<PortIndex, LacpPort>, id: u16, max_links: u16) -> BTreeSet<PortIndex> {
    let members = ports.iter().filter(|(_, port)| port.aggregator == Some(id));
    let mut ranked: Vec<(PortId, PortIndex)> = members
        .map(|(index, port)| (deciding(port), *index))
        .collect();
    ranked.sort_unstable();
    if max_links != 0 {
        ranked.truncate(usize::from(max_links));
    }
    ranked.into_iter().map(|(_, index)| index).collect()
}

/// Ready: no port that is selected for an aggregator still waits for others.
fn ready(ports: &mut BTreeMap<PortIndex, LacpPort>, changed: &mut BTreeSet<PortIndex>) {
    let waits = |port: &LacpPort| {
        port.vars.selected == Selected::Selected && port.mux.state() == MuxState::Waiting
    };
    let late: BTreeSet<u16> = ports
        .values()
        .filter(|port| {
            let comes = port.mux.state() == MuxState::Detached;
            let selected = port.vars.selected == Selected::Selected;
            selected && (comes || (waits(port) && !port.vars.ready_n))
        })
        .filter_map(|port| port.aggregator)
        .collect();
    for (index, port) in ports.iter_mut() {
        let ready = waits(port) && port.aggregator.is_some_and(|id| !late.contains(&id));
        if port.vars.ready != ready {
            port.vars.ready = ready;
            changed.insert(*index);
        }
    }
}
