//! A bond and the monitor of its members: who is asked goes in, who may carry frames and what the passes have
//! to show come out.
//!
//! A member carries frames while its link and the monitor say so.

use super::monitor::{Asked, Monitor, Rules, Seen};
use super::{Bond, Happened, Member};
use vswitch_base::{Instant, MacAddr, PortIndex};
use vswitch_core::watch::{Neighbour, Watched};

impl Bond {
    /// Whether its members are monitored.
    #[must_use]
    pub fn is_monitored(&self) -> bool {
        Rules::of(&self.wanted.config).is_some()
    }

    /// The address that the bond speaks from where the node has none: its own, or that of the member that had
    /// one first.
    #[must_use]
    pub fn address(&self) -> Option<MacAddr> {
        let said = self.wanted.config.mac.map(|mac| MacAddr(mac.octets()));
        said.or(self.first_mac)
    }

    /// Whom the monitor asks, and as whom. [`Self::update`] has to follow.
    pub fn set_asked(&mut self, asked: Vec<Asked>, now: Instant) {
        match (Rules::of(&self.wanted.config), &mut self.monitor) {
            (Some(rules), Some(monitor)) => monitor.set_rules(rules, now),
            (Some(rules), none) => *none = Some(Monitor::new(rules, now)),
            (None, some) => *some = None,
        }
        if let Some(monitor) = &mut self.monitor {
            monitor.set_asked(asked, now);
        }
    }

    /// Takes in the links; what the monitor has to tell.
    pub(super) fn judge(&mut self, now: Instant) -> Vec<Happened> {
        let seen = |member: &Member| Seen {
            member: member.index,
            link: member.has_link(),
            frames_in: member.seen.frames_in,
        };
        let seen: Vec<Seen> = self.members.iter().map(seen).collect();
        let changed = match &mut self.monitor {
            Some(monitor) => monitor.judge(&seen, now),
            None => Vec::new(),
        };
        for member in &mut self.members {
            let monitor = self.monitor.as_ref();
            member.silent = monitor.is_some_and(|monitor| !monitor.allows(member.index));
        }
        let told = changed.into_iter().filter_map(|changed| {
            Some(Happened::Monitor {
                member: self.name_of(changed.member)?,
                silent: changed.silent,
            })
        });
        told.collect()
    }

    /// Takes in a frame of ARP or neighbour discovery that a member received. [`Self::update`] has to follow.
    pub fn hear_neighbour(&mut self, member: PortIndex, heard: &Neighbour, now: Instant) {
        if let Some(monitor) = &mut self.monitor {
            monitor.hear(member, heard, now);
        }
    }

    /// Probes to send: by whom, and whom they ask.
    pub fn take_probes(&mut self) -> Vec<(PortIndex, Asked)> {
        let monitor = self.monitor.as_mut();
        monitor.map(Monitor::take_probes).unwrap_or_default()
    }

    /// Why a member whose link is good carries nothing, if that is the monitor's doing.
    #[must_use]
    pub fn silence(&self, member: PortIndex) -> Option<&str> {
        self.monitor.as_ref()?.why(member)
    }

    /// What the passes have to show of what a member receives.
    #[must_use]
    pub fn watched(&self, member: PortIndex) -> Option<Watched> {
        let monitor = self.monitor.as_ref()?;
        self.members.iter().find(|m| m.index == member)?;
        let anybody = monitor.listens(member)?;
        let asked = monitor.asked().iter();
        let nobody = |asked: &&Asked| asked.ip.is_unspecified();
        let mut watched = Watched {
            anybody,
            targets: asked.clone().map(|asked| asked.target).collect(),
            probers: asked.clone().map(|asked| asked.mac).collect(),
            own: asked.clone().find(nobody).map(|asked| asked.mac),
        };
        watched.targets.dedup();
        watched.probers.dedup();
        Some(watched)
    }
}
