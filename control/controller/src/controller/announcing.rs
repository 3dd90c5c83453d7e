//! Announcements after a failover: who is told of, by which members, and at what pace (N-05).
//!
//! When another member of a bond has to carry what one carried, the switch beyond still sends to the old
//! one until it hears each station again, and a machine that only listens is not heard. So every station
//! on the bridge that is not behind the bond is announced, in its VLAN, by the member that its frames would
//! leave by: those first that were seen last, at most [`BURST`] frames every [`PACE`], the whole round
//! `num_grat_arp` times.
//!
//! In the modes that have an `lp_interval` the switch is reminded of every station in that interval, at the
//! same pace: one that only listens is not forgotten.

use super::Controller;
use crate::announcement::Station;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use vswitch_api::config::{BondConfig, BondMode};
use vswitch_base::flow::FlowView;
use vswitch_base::{Duration, Instant, MacAddr, PortIndex, Tag, Tci, Tpid};
use vswitch_core::bond::{RoundRobin, Station as Sender};
use vswitch_core::fdb::{EntryKind, FdbKey};
use vswitch_core::snapshot::PortState;

/// Stations announced at a time.
const BURST: usize = 128;
/// Time between two bursts: 25,600 stations a second.
const PACE: Duration = Duration::from_millis(5);
/// The longest `peer_notif_delay`, milliseconds; a `miimon` in its place has no other bound.
const LONGEST: u32 = 300_000;
/// Between two rounds where neither `peer_notif_delay` nor `miimon` says.
const AGAIN: Duration = Duration::from_millis(100);

/// What is still to be said by one bond.
#[derive(Debug)]
pub(super) struct Round {
    /// Stations of this round that were not announced yet.
    waiting: VecDeque<Station>,
    /// Rounds after this one.
    more: u32,
    next: Instant,
    turns: RoundRobin,
    /// The switch beyond is only reminded.
    reminds: bool,
}

impl Round {
    fn new(more: u32, next: Instant, reminds: bool) -> Self {
        Self {
            waiting: VecDeque::new(),
            more,
            next,
            turns: RoundRobin::new(1, 0),
            reminds,
        }
    }
}

impl Controller {
    /// The stations of a bond's bridge are to be announced from now on; what was under way begins anew.
    pub(super) fn begin_announcing(&mut self, bond: &str, now: Instant) {
        let config = self.bonds.get(bond).map(|bond| &bond.wanted().config);
        let Some(rounds) = config.map(|config| config.num_grat_arp).filter(|n| *n > 0) else {
            return;
        };
        let round = Round::new(rounds, now, false);
        self.announcing.insert(bond.to_owned(), round);
    }

    /// Bonds that have nothing to say and a switch to remind say so in their interval.
    pub(super) fn keep_reminding(&mut self, now: Instant) {
        for (name, bond) in &self.bonds {
            let config = &bond.wanted().config;
            let reminds = matches!(config.mode, BondMode::BalanceTlb | BondMode::BalanceAlb);
            if reminds && bond.carries() && !self.announcing.contains_key(name) {
                let next = now + Duration::from_secs(config.lp_interval.into());
                self.announcing
                    .insert(name.clone(), Round::new(1, next, true));
            }
        }
    }

    /// When [`Self::announce`] has something to do.
    pub(super) fn next_announcement(&self) -> Option<Instant> {
        self.announcing.values().map(|round| round.next).min()
    }

    /// Announces what is due.
    pub(super) fn announce(&mut self, now: Instant) {
        let due = |(_, round): &(&String, &Round)| round.next <= now;
        let due: Vec<String> = self
            .announcing
            .iter()
            .filter(due)
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            if let Some(mut round) = self.announcing.remove(&name)
                && self.say(&name, &mut round, now)
            {
                self.announcing.insert(name, round);
            }
        }
        self.keep_reminding(now);
    }

    /// One burst of a bond's round; whether there is more to say.
    fn say(&mut self, bond: &str, round: &mut Round, now: Instant) -> bool {
        if round.waiting.is_empty() {
            round.waiting = self.stations_beside(bond).into();
            round.more -= 1;
        }
        let burst = round.waiting.len().min(BURST);
        let burst: Vec<Station> = round.waiting.drain(..burst).collect();
        let mut frames: BTreeMap<PortIndex, Vec<Box<[u8]>>> = BTreeMap::new();
        let bridge = self.view.ports.get(bond);
        let bridge = bridge.and_then(|port| self.view.bridges.get(&port.bridge));
        for station in &burst {
            if let Some(bridge) = bridge {
                // What comes back of this is no word of the station from out there.
                let key = FdbKey::new(station.vid, station.mac.word());
                bridge.spec.fdb.note_announced(key, now.as_secs_u32());
            }
            self.compose(bond, station, round, &mut frames);
        }
        for (index, frames) in frames {
            self.send_by(index, frames);
        }
        let config = self.bonds.get(bond).map(|bond| &bond.wanted().config);
        round.next = now
            + if round.waiting.is_empty() {
                config.map_or(AGAIN, again)
            } else {
                PACE
            };
        !round.waiting.is_empty() || round.more > 0
    }

    /// The station's frames, with those of others by the members that send them.
    fn compose(
        &self,
        bond: &str,
        station: &Station,
        round: &mut Round,
        frames: &mut BTreeMap<PortIndex, Vec<Box<[u8]>>>,
    ) {
        let (Some(port), Some(state)) = (self.view.ports.get(bond), self.bonds.get(bond)) else {
            return;
        };
        let tagged = station.vid.and_then(|vid| port.view.egress_tagged(vid));
        let tagged = station.vid.filter(|_| tagged == Some(true));
        let tag = tagged.map(|vid| Tag {
            tpid: Tpid::Dot1q,
            tci: Tci::default().with_vid(vid),
        });
        let sender = Sender {
            vid: tagged,
            mac: station.mac.word(),
        };
        let all = if round.reminds {
            vec![station.reminder()]
        } else {
            station.announcements()
        };
        for said in all {
            let flow = || FlowView::leaving(&said.addresses, tag, &said.rest);
            let send = |member| frames.entry(member).or_default().push(said.frame(tagged));
            state.transmit().each(sender, flow, &mut round.turns, send);
        }
    }

    /// Everybody on the bond's bridge who is not behind the bond, in the VLANs that the bond carries; who was
    /// seen last comes first.
    fn stations_beside(&self, bond: &str) -> Vec<Station> {
        let view = Arc::clone(&self.view);
        let Some(port) = view.ports.get(bond) else {
            return Vec::new();
        };
        let (Some(bridge), PortState::Forwarding) =
            (view.bridges.get(&port.bridge), port.view.state)
        else {
            return Vec::new();
        };
        let carried = |vid| match vid {
            Some(vid) => port.view.egress_tagged(vid).is_some(),
            None => !bridge.spec.vlan_filtering,
        };
        let is_live = |index: PortIndex, epoch, kind| {
            self.snapshot
                .port(index)
                .is_some_and(|view| kind != EntryKind::Learned || view.epoch == epoch)
        };
        let entries = bridge.spec.fdb.entries();
        let entries = entries.filter(|entry| {
            entry.port != port.index
                && carried(entry.vid)
                && is_live(entry.port, entry.epoch, entry.kind)
        });
        let mut found: Vec<(u32, Station)> = entries
            .map(|entry| {
                let station = Station {
                    vid: entry.vid,
                    mac: entry.mac,
                    ips: self.ips_of(entry.port, entry.mac),
                };
                (entry.seen.max(entry.used), station)
            })
            .collect();
        found.sort_by_key(|(seen, _)| std::cmp::Reverse(*seen));
        found.into_iter().map(|(_, station)| station).collect()
    }

    /// The IP addresses that are known of a station: those that a host port was given.
    fn ips_of(&self, index: PortIndex, mac: MacAddr) -> Vec<std::net::IpAddr> {
        let Some((name, open)) = self.actual.by_index(index) else {
            return Vec::new();
        };
        let Some(wanted) = self
            .view
            .ports
            .get(name)
            .filter(|port| port.view.flags.host)
        else {
            return Vec::new();
        };
        if self.mac_of(name, wanted) != Some(mac) {
            return Vec::new();
        }
        open.spec
            .device
            .addresses
            .iter()
            .map(|cidr| cidr.address)
            .collect()
    }
}

fn again(config: &BondConfig) -> Duration {
    match (config.peer_notif_delay, config.miimon()) {
        (0, 0) => AGAIN,
        (0, ms) | (ms, _) => Duration::from_millis(ms.min(LONGEST).into()),
    }
}
