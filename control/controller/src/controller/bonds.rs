//! Bonds under the controller: what is seen of their members goes in, what happened becomes events and a
//! new snapshot.
//!
//! Bonds follow the view that is published, so that a change of configuration and the loss of a link meet
//! in one place. Called before anything else is done, and before each publication: a lost link acts at
//! once, whatever a job is doing.

use super::Controller;
use crate::bond::{Bond, Happened, LinkSeen, LinkState, Member};
use std::collections::BTreeMap;
use std::sync::Arc;
use vswitch_api::text::path;
use vswitch_api::types::Severity;
use vswitch_base::Instant;
use vswitch_core::bond::Transmit;

impl Controller {
    /// Brings the bonds up to date; whether the passes have to be told.
    pub(super) fn follow_bonds(&mut self, now: Instant) -> bool {
        let view = Arc::clone(&self.view);
        if view.bonds.is_empty() && self.bonds.is_empty() {
            return false;
        }
        let mut before = std::mem::take(&mut self.bonds);
        let mut bonds = BTreeMap::new();
        let (mut changed, mut all) = (false, Vec::new());
        for (name, wanted) in &view.bonds {
            let known = before.remove(name);
            let new = known.is_none();
            let mut bond = known.unwrap_or_else(|| Bond::new(wanted));
            let other = bond.wanted() != wanted;
            if other {
                bond.configure(wanted);
            }
            let sent = bond.transmit().clone();
            let happened = bond.update(|member| self.link_seen(member), now);
            let lost = sent != Transmit::Nobody && !bond.carries();
            if let Some(port) = view.ports.get(name).filter(|_| lost) {
                // Whoever was behind it may be anywhere when it comes back.
                self.registry.raise_epoch(port.index);
            }
            if new || other || !happened.is_empty() || *bond.transmit() != sent {
                changed = true;
                all.push((name, happened));
            }
            bonds.insert(name.clone(), bond);
        }
        changed |= !before.is_empty();
        self.bonds = bonds;
        for (name, happened) in all {
            self.tell(name, happened, now);
        }
        changed
    }

    /// Whether there is a bond.
    #[must_use]
    pub fn has_bonds(&self) -> bool {
        !self.bonds.is_empty()
    }

    /// The kernel's numbers of the devices that are members of bonds, in our namespace.
    #[must_use]
    pub fn bonded_devices(&self) -> Vec<u32> {
        let members = self.bonds.values().flat_map(Bond::members);
        let open = members.filter_map(|member| self.actual.ports.get(&member.name));
        let ours = open.filter(|port| port.spec.netns().is_none());
        ours.filter_map(|port| port.facts.ifindex).collect()
    }

    fn link_seen(&self, member: &Member) -> LinkSeen {
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
        }
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
            Some(match member.state {
                LinkState::Up if state.is_standby(member.index) => format!("on standby in {bond}"),
                LinkState::Up => format!("carries frames of {bond}"),
                other => format!("its link in {bond} is {other}"),
            })
        });
        found.next()
    }
}
