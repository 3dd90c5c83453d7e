//! Bonds under the controller: what is seen of their members goes in, what happened becomes events and a
//! new snapshot.
//!
//! Bonds follow the view that is published, so that a change of configuration and the loss of a link meet
//! in one place. Called before anything else is done, and before each publication: a lost link acts at
//! once, whatever a job is doing.

use super::Controller;
use crate::bond::{Bond, Happened, LinkSeen, LinkState, Member, negotiation};
use crate::effect::Effect;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vswitch_api::text::path;
use vswitch_api::types::Severity;
use vswitch_base::{Duration, EtherView, Instant, PortIndex};
use vswitch_core::bond::{Admits, Transmit};
use vswitch_core::watch::Watched;

/// What the passes know of a member: what it lets in and shows.
type Part = (Option<Admits>, Option<Watched>);

/// What the passes know of a bond: how it sends, whether that may come back, who sends what ports steer, and its
/// members.
fn part_of(bond: &Bond) -> (Transmit, bool, Vec<PortIndex>, Vec<Part>) {
    let members = bond.members().iter();
    let part = members.map(|m| (bond.admits(m.index), bond.watched(m.index)));
    (
        bond.transmit().clone(),
        bond.reflects(),
        bond.steerable(),
        part.collect(),
    )
}

fn miimon(bond: &Bond) -> u32 {
    bond.wanted().config.miimon()
}

impl Controller {
    /// Brings the bonds up to date; whether the passes have to be told.
    pub(super) fn follow_bonds(&mut self, now: Instant) -> bool {
        let view = Arc::clone(&self.view);
        if view.bonds.is_empty() && self.bonds.is_empty() {
            return false;
        }
        let mut gone = std::mem::take(&mut self.bonds);
        let mut bonds = BTreeMap::new();
        let (mut changed, mut all) = (false, Vec::new());
        let (mut slow, mut speaking, mut probes) = (Vec::new(), Vec::new(), Vec::new());
        for (name, wanted) in &view.bonds {
            let known = gone.remove(name);
            let new = known.is_none();
            let mut bond = known.unwrap_or_else(|| Bond::new(wanted));
            let other = bond.wanted() != wanted;
            if other {
                bond.configure(wanted);
            }
            let before = part_of(&bond);
            let monitored = bond.is_monitored();
            let asked = if monitored {
                let seen = |m| self.link_seen(m, false).mac;
                let first = || bond.members().iter().find_map(seen);
                self.asked_by(name, wanted, bond.address().or_else(first))
            } else {
                Vec::new()
            };
            bond.set_asked(asked, now);
            bond.observed(self.observed);
            let happened = bond.update(|member| self.link_seen(member, monitored), now);
            let lost = before.0 != Transmit::Nobody && !bond.carries();
            if let Some(port) = view.ports.get(name).filter(|_| lost) {
                // Whoever was behind it may be anywhere when it comes back.
                self.registry.raise_epoch(port.index);
            }
            let moved = new || other || part_of(&bond) != before;
            changed |= moved;
            if moved || !happened.is_empty() {
                all.push((name, happened));
            }
            slow.extend(bond.take_slow());
            probes.extend(bond.take_probes());
            if bond.take_moved() {
                speaking.push(name);
            }
            bonds.insert(name.clone(), bond);
        }
        changed |= !gone.is_empty();
        for mut bond in gone.into_values() {
            bond.depart_all(now);
            slow.extend(bond.take_slow());
        }
        self.bonds = bonds;
        self.send_slow(slow);
        self.send_probes(probes);
        self.announcing
            .retain(|(name, _), _| view.bonds.contains_key(name));
        for name in speaking {
            self.begin_announcing(name, now);
        }
        for (name, happened) in all {
            self.tell(name, happened, now);
        }
        changed
    }

    /// How long from one look at the members' carriers to the next: the shortest `miimon`; `None`: none is.
    #[must_use]
    pub fn link_poll(&self) -> Option<Duration> {
        let shortest = self.bonds.values().map(miimon).filter(|ms| *ms > 0).min();
        shortest.map(|ms| Duration::from_millis(ms.into()))
    }

    /// The kernel's numbers of the devices that are members of bonds with a `miimon`, in our namespace.
    #[must_use]
    pub fn bonded_devices(&self) -> Vec<u32> {
        let polled = self.bonds.values().filter(|bond| miimon(bond) > 0);
        let members = polled.flat_map(Bond::members);
        let open = members.filter_map(|member| self.actual.ports.get(&member.name));
        let ours = open.filter(|port| port.spec.netns().is_none());
        ours.filter_map(|port| port.facts.ifindex).collect()
    }

    fn link_seen(&self, member: &Member, counted: bool) -> LinkSeen {
        let wanted = self.view.ports.get(&member.name);
        let open = self.actual.ports.get(&member.name).filter(|open| {
            open.attached
                && open.index == member.index
                && open.failed.is_none()
                && !self.leaving.contains(&member.name)
        });
        let (Some(open), Some(wanted)) = (open, wanted) else {
            return LinkSeen::default();
        };
        let link = open
            .facts
            .ifindex
            .and_then(|ifindex| self.facts.link(ifindex));
        LinkSeen {
            attached: true,
            running: wanted.enabled && self.is_running(open),
            speed_mbps: link
                .and_then(|link| link.speed_mbps)
                .or(open.facts.speed_mbps),
            mac: link.and_then(|link| link.mac).or(open.facts.mac),
            frames_in: if counted {
                self.counters.totals(member.index).frames_in
            } else {
                0
            },
        }
    }

    /// Sends slow protocol payloads, each from the address of the device that it leaves by.
    fn send_slow(&mut self, slow: Vec<(PortIndex, Vec<u8>)>) {
        for (index, payload) in slow {
            let Some((_, open)) = self.actual.by_index(index) else {
                continue;
            };
            let link = open.facts.ifindex.and_then(|i| self.facts.link(i));
            let from = link.and_then(|link| link.mac).or(open.facts.mac);
            let frame = negotiation::frame(from.unwrap_or_default(), &payload);
            self.send_by(index, vec![frame]);
        }
    }

    /// Sends frames by a port, if it is there to send them.
    pub(super) fn send_by(&mut self, index: PortIndex, frames: Vec<Box<[u8]>>) {
        let open = self.actual.by_index(index);
        if open.is_some_and(|(_, open)| open.attached && open.failed.is_none()) {
            let frames = frames.into();
            self.send(Effect::Send { index, frames }, false);
        }
    }

    /// A slow protocol frame came in by a member of a bond that speaks LACP: taken, or not ours.
    pub(super) fn hear_slow(&mut self, index: PortIndex, frame: &[u8], now: Instant) -> bool {
        let Some(view) = EtherView::new(frame) else {
            return false;
        };
        let has = |bond: &&mut Bond| bond.members().iter().any(|m| m.index == index);
        let Some(bond) = self.bonds.values_mut().find(has) else {
            return false;
        };
        let before = part_of(bond);
        let heard = bond.hear(index, view.after_header(), now);
        // A PDU alone can open a member, or close it.
        self.publish_due |= part_of(bond) != before;
        heard
    }

    /// Ports are about to be taken out: their partners hear of it while they can.
    pub(super) fn say_goodbye(&mut self, leaving: &BTreeSet<String>, now: Instant) {
        let mut slow = Vec::new();
        for bond in self.bonds.values_mut() {
            let members = bond.members().iter();
            let leaving = members.filter(|member| leaving.contains(&member.name));
            for index in leaving.map(|member| member.index).collect::<Vec<_>>() {
                bond.depart(index, now);
            }
            slow.extend(bond.take_slow());
        }
        self.send_slow(slow);
    }

    fn tell(&mut self, name: &str, happened: Vec<Happened>, now: Instant) {
        let object = path(&["bond", name]);
        for event in happened {
            match event {
                Happened::Link { member, state } => {
                    let severity = if state == LinkState::Down {
                        Severity::Warning
                    } else {
                        Severity::Info
                    };
                    let message = format!("the link of {member} in {name} is {state}");
                    self.note(now, "bond-link", &object, severity, message);
                }
                Happened::Monitor { member, silent } => {
                    let (severity, message) = match silent {
                        Some(why) => (
                            Severity::Warning,
                            format!("{member} in {name} passes no frames: {why}"),
                        ),
                        None => (
                            Severity::Info,
                            format!("{member} in {name} passes frames again"),
                        ),
                    };
                    self.note(now, "bond-monitor", &object, severity, message);
                }
                Happened::Moved(moved) => {
                    let message = format!("{name}: {moved}");
                    self.note(now, "bond-moved", &object, moved.severity(), message);
                }
                Happened::Balanced { buckets, of } => {
                    let message = format!(
                        "{name}: {buckets} of {of} shares of what is sent have another member, for their load"
                    );
                    self.note(now, "bond-balanced", &object, Severity::Info, message);
                }
                Happened::Lacp { severity, message } => {
                    self.note(now, "lacp", &object, severity, format!("{name}: {message}"));
                }
                Happened::Active { member, before } => {
                    let message = match (member, before) {
                        (Some(member), Some(before)) => {
                            format!("{name} goes by {member} now, no longer by {before}")
                        }
                        (Some(member), None) => format!("{name} goes by {member}"),
                        (None, _) => format!("{name} has no member that could be active"),
                    };
                    self.note(now, "bond-active", &object, Severity::Info, message);
                }
            }
        }
        self.refresh_status(name, now);
        let members = self.bonds.get(name).map(Bond::members).unwrap_or_default();
        let members: Vec<String> = members.iter().map(|m| m.name.clone()).collect();
        for member in members {
            self.refresh_status(&member, now);
        }
    }

    /// What a port that is up does in its bond.
    pub(super) fn part_in_bond(&self, name: &str) -> Option<String> {
        let bonds = self.bonds.iter();
        let mut found = bonds.filter_map(|(bond, state)| {
            let member = state.members().iter().find(|m| m.name == name)?;
            Some(match (member.state, state.negotiation()) {
                (LinkState::Up | LinkState::Failing, None)
                    if state.silence(member.index).is_some() =>
                {
                    let why = state.silence(member.index).unwrap_or_default();
                    format!("carries nothing of {bond}: {why}")
                }
                (LinkState::Up, Some(lacp)) => format!("{}, in {bond}", lacp.part(member.index)),
                (LinkState::Up, None) if state.is_standby(member.index) => {
                    format!("on standby in {bond}")
                }
                (LinkState::Up, None) => format!("carries frames of {bond}"),
                (other, _) => format!("its link in {bond} is {other}"),
            })
        });
        found.next()
    }
}
