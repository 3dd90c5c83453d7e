//! Announcements after a failover: who is told of, by which members, and at what pace (N-05).
//!
//! When another member of a bond has to carry what one carried, the switch beyond still sends to the old
//! one until it hears each station again, and a machine that only listens is not heard. So every station
//! on the bridge that is not behind the bond is announced, in its VLAN, by the member that its frames would
//! leave by: those first that were seen last, at most [`BURST`] frames every [`PACE`], the whole round
//! `num_grat_arp` times. A station of which IP addresses are known (`known.rs`) is announced with these, which
//! corrects its neighbours as well; any other by its Ethernet address.
//!
//! What stations reported of multicast groups is said again as well, `resend_igmp` times (N-06): a switch that
//! snoops keeps their groups from a link on which it heard nobody ask.
//!
//! In the modes that have an `lp_interval` the switch is reminded of every station in that interval, at the
//! same pace: one that only listens is not forgotten. Where members send from their own addresses, each says its
//! own in every VLAN of these stations first.

use super::Controller;
use crate::announcement::{Announcement, Station};
use crate::bond::Bond;
use crate::groups::Place;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use vswitch_api::config::{BondConfig, BondMode};
use vswitch_base::ether::ADDRESSES_LEN;
use vswitch_base::flow::FlowView;
use vswitch_base::{Duration, Instant, MacAddr, PortIndex, Tag, Tci, Tpid, Vid};
use vswitch_core::bond::{RoundRobin, Station as Sender};
use vswitch_core::fdb::{EntryKind, FdbKey};
use vswitch_core::punt::Punt;
use vswitch_core::snapshot::PortState;

/// Frames of announcements at a time, but for a station that needs more alone.
const BURST: usize = 128;
/// Time between two bursts: 25,600 frames a second.
const PACE: Duration = Duration::from_millis(5);
/// The longest `peer_notif_delay`, milliseconds; a `miimon` in its place has no other bound.
const LONGEST: u32 = 300_000;
/// Between two rounds where neither `peer_notif_delay` nor `miimon` says.
const AGAIN: Duration = Duration::from_millis(100);

/// Between two rounds of group reports (the kernel's `resend_igmp`).
const REJOIN_AGAIN: Duration = Duration::from_millis(200);

/// What a bond has to say.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Topic {
    /// Where stations are now.
    Stations,
    /// Where they have been all the time, to a switch that forgets.
    Reminder,
    /// Which groups they have joined.
    Groups,
}

/// What is said in a station's name.
#[derive(Debug)]
struct Said {
    vid: Option<Vid>,
    mac: MacAddr,
    /// The member whose address this is; `None`: a station's, said by whichever member its frames leave by.
    by: Option<PortIndex>,
    frames: Vec<Announcement>,
}

/// What is still to be said by one bond on one topic.
#[derive(Debug)]
pub(super) struct Round {
    /// What of this round was not said yet.
    waiting: VecDeque<Said>,
    /// Rounds after this one.
    more: u32,
    next: Instant,
    turns: RoundRobin,
}

/// By bond and topic.
pub(super) type Rounds = BTreeMap<(String, Topic), Round>;

impl Round {
    fn new(more: u32, next: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            more,
            next,
            turns: RoundRobin::new(1, 0),
        }
    }
}

impl Controller {
    /// The stations of a bond's bridge are to be announced from now on; what was under way begins anew.
    pub(super) fn begin_announcing(&mut self, bond: &str, now: Instant) {
        let Some(config) = self.bonds.get(bond).map(|bond| &bond.wanted().config) else {
            return;
        };
        let topics = [
            (Topic::Stations, config.num_grat_arp),
            (Topic::Groups, config.resend_igmp),
        ];
        for (topic, rounds) in topics {
            let key = (bond.to_owned(), topic);
            if rounds > 0 {
                self.announcing.insert(key, Round::new(rounds, now));
            } else {
                self.announcing.remove(&key);
            }
        }
    }

    /// Bonds that have nothing to say and a switch to remind say so in their interval.
    pub(super) fn keep_reminding(&mut self, now: Instant) {
        for (name, bond) in &self.bonds {
            let config = &bond.wanted().config;
            let reminds = matches!(config.mode, BondMode::BalanceTlb | BondMode::BalanceAlb);
            if reminds && bond.carries() {
                let next = now + Duration::from_secs(config.lp_interval.into());
                let key = (name.clone(), Topic::Reminder);
                self.announcing
                    .entry(key)
                    .or_insert_with(|| Round::new(1, next));
            }
        }
    }

    /// When [`Self::announce`] has something to do.
    pub(super) fn next_announcement(&self) -> Option<Instant> {
        self.announcing.values().map(|round| round.next).min()
    }

    /// Announces what is due.
    pub(super) fn announce(&mut self, now: Instant) {
        let due = self
            .announcing
            .iter()
            .filter(|(_, round)| round.next <= now);
        let due: Vec<(String, Topic)> = due.map(|(key, _)| key.clone()).collect();
        for key in due {
            if let Some(mut round) = self.announcing.remove(&key)
                && self.say(&key.0, key.1, &mut round, now)
            {
                self.announcing.insert(key, round);
            }
        }
        self.keep_reminding(now);
    }

    /// One burst of a bond's round; whether there is more to say.
    fn say(&mut self, bond: &str, topic: Topic, round: &mut Round, now: Instant) -> bool {
        if round.waiting.is_empty() {
            round.waiting = match topic {
                Topic::Groups => self.rejoins(bond, now),
                Topic::Stations | Topic::Reminder => self.stations_beside(bond, topic, now),
            };
            if topic == Topic::Reminder {
                self.add_members(bond, &mut round.waiting);
            }
            round.more -= 1;
        }
        let burst = burst(&mut round.waiting);
        let mut frames: BTreeMap<PortIndex, Vec<Box<[u8]>>> = BTreeMap::new();
        let bridge = self.view.ports.get(bond);
        let bridge = bridge.and_then(|port| self.view.bridges.get(&port.bridge));
        for said in &burst {
            if let Some(bridge) = bridge.filter(|_| said.by.is_none()) {
                // What comes back of this is no word of the station from out there.
                let key = FdbKey::new(said.vid, said.mac.word());
                bridge.spec.fdb.note_announced(key, now.as_secs_u32());
            }
            self.compose(bond, said, &mut round.turns, &mut frames);
        }
        for (index, frames) in frames {
            self.send_by(index, frames);
        }
        let config = self.bonds.get(bond).map(|bond| &bond.wanted().config);
        let pause = match (topic, config) {
            _ if !round.waiting.is_empty() => PACE,
            (Topic::Groups, _) => REJOIN_AGAIN,
            (_, config) => config.map_or(AGAIN, again),
        };
        round.next = now + pause;
        !round.waiting.is_empty() || round.more > 0
    }

    /// The station's frames, with those of others by the members that send them.
    fn compose(
        &self,
        bond: &str,
        said: &Said,
        turns: &mut RoundRobin,
        frames: &mut BTreeMap<PortIndex, Vec<Box<[u8]>>>,
    ) {
        let (Some(port), Some(state)) = (self.view.ports.get(bond), self.bonds.get(bond)) else {
            return;
        };
        let tagged = said.vid.and_then(|vid| port.view.egress_tagged(vid));
        let tagged = said.vid.filter(|_| tagged == Some(true));
        let tag = tagged.map(|vid| Tag {
            tpid: Tpid::Dot1q,
            tci: Tci::default().with_vid(vid),
        });
        let sender = Sender {
            vid: tagged,
            mac: said.mac.word(),
        };
        for frame in &said.frames {
            let mut send = |member| frames.entry(member).or_default().push(frame.frame(tagged));
            if let Some(member) = said.by {
                send(member);
                continue;
            }
            let flow = || FlowView::leaving(&frame.addresses, tag, &frame.rest);
            state.transmit().each(sender, flow, turns, send);
        }
    }

    /// Before the stations, the members in each of their VLANs, where they send from their own addresses.
    fn add_members(&self, bond: &str, waiting: &mut VecDeque<Said>) {
        let members = self.bonds.get(bond).map(Bond::taught).unwrap_or_default();
        let vids: BTreeSet<Option<Vid>> = waiting.iter().map(|said| said.vid).collect();
        for (vid, (member, mac)) in vids
            .iter()
            .flat_map(|vid| members.iter().map(move |m| (vid, m)))
        {
            let station = Station {
                vid: *vid,
                mac: *mac,
                ips: Vec::new(),
            };
            waiting.push_front(Said {
                vid: *vid,
                mac: *mac,
                by: Some(*member),
                frames: vec![station.reminder()],
            });
        }
    }

    /// Everybody on the bond's bridge who is not behind the bond, in the VLANs that the bond carries; who was
    /// seen last comes first.
    fn stations_beside(&self, bond: &str, topic: Topic, now: Instant) -> VecDeque<Said> {
        let view = Arc::clone(&self.view);
        let Some(port) = view.ports.get(bond) else {
            return VecDeque::new();
        };
        let (Some(bridge), PortState::Forwarding) =
            (view.bridges.get(&port.bridge), port.view.state)
        else {
            return VecDeque::new();
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
        let configured = self.configured(&port.bridge);
        let mut found: Vec<(u32, Station)> = entries
            .map(|entry| {
                let place = Place {
                    bridge: bridge.index,
                    port: entry.port,
                    vid: entry.vid,
                    mac: entry.mac,
                };
                let station = Station {
                    vid: entry.vid,
                    mac: entry.mac,
                    ips: match topic {
                        // It says only where the station is.
                        Topic::Reminder => Vec::new(),
                        _ => self.ips_of(&configured, place, now),
                    },
                };
                (entry.seen.max(entry.used), station)
            })
            .collect();
        found.sort_by_key(|(seen, _)| std::cmp::Reverse(*seen));
        let said = |station: Station| Said {
            vid: station.vid,
            mac: station.mac,
            by: None,
            frames: match topic {
                Topic::Reminder => vec![station.reminder()],
                _ => station.announcements(),
            },
        };
        found
            .into_iter()
            .map(|(_, station)| said(station))
            .collect()
    }

    /// What stations on the bond's bridge reported of groups, in the VLANs that the bond carries.
    fn rejoins(&mut self, bond: &str, now: Instant) -> VecDeque<Said> {
        let view = Arc::clone(&self.view);
        let Some(port) = view.ports.get(bond) else {
            return VecDeque::new();
        };
        let Some(bridge) = view.bridges.get(&port.bridge) else {
            return VecDeque::new();
        };
        let carried =
            |vid: Option<Vid>| vid.is_none_or(|vid| port.view.egress_tagged(vid).is_some());
        let rejoins = self.groups.rejoin(bridge.index, now).into_iter();
        let rejoins = rejoins.filter(|again| carried(again.place.vid));
        rejoins
            .map(|again| Said {
                vid: again.place.vid,
                mac: again.place.mac,
                by: None,
                frames: vec![again.said],
            })
            .collect()
    }

    /// A station reported what it wants of groups.
    pub(super) fn hear_groups(&mut self, punt: &Punt, now: Instant) {
        let rest = punt.bytes.get(ADDRESSES_LEN..);
        if let (Some(place), Some(rest)) = (self.place_of(punt), rest) {
            self.groups.hear(place, rest, now);
        }
    }
}

/// What is said at a time.
fn burst(waiting: &mut VecDeque<Said>) -> Vec<Said> {
    let mut frames = 0;
    let fits = |said: &&Said| {
        frames += said.frames.len();
        frames <= BURST
    };
    let many = waiting.iter().take_while(fits).count();
    waiting.drain(..many.max(1).min(waiting.len())).collect()
}

fn again(config: &BondConfig) -> Duration {
    match (config.peer_notif_delay, config.miimon()) {
        (0, 0) => AGAIN,
        (0, ms) | (ms, _) => Duration::from_millis(ms.min(LONGEST).into()),
    }
}
