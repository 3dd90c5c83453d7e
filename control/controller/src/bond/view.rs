//! A bond as operators see it: its state and that of each member, with the reason and since when; and the
//! one thing that they choose while it works, the active member.
//!
//! Pure: what [`Bond`] and LACP know becomes `vswitch_api`'s rows.

use super::diagnosis::{self, Seen};
use super::{Bond, Happened, LinkState, Member};
use crate::wall::WallClock;
use vswitch_api::config::BondMode;
use vswitch_api::types::{BondMember, LacpBond, LacpEnd, LacpMember};
use vswitch_base::{Instant, PortIndex};
use vswitch_core::bond::Transmit;
use vswitch_lacp::churn::ChurnState;
use vswitch_lacp::variables::Selected;
use vswitch_lacp::{MemberStatus, ParticipantInfo, Verdict};

/// A bond in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BondState {
    /// Every member does its part.
    Up,
    /// It carries frames, and a member does not do its part.
    Degraded,
    /// It carries nothing.
    Down,
}

impl BondState {
    /// For operators.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// Why a member cannot be made the active one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoChoice {
    /// The mode has no active member.
    Mode(BondMode),
    /// It is no member; those that are.
    Unknown(Vec<String>),
    /// Its link is not good.
    Unusable(LinkState),
    /// The monitor does not trust it, with the reason.
    Silent(String),
}

impl Bond {
    /// Its state now.
    #[must_use]
    pub fn state(&self) -> BondState {
        if !self.carries() {
            BondState::Down
        } else if self.members.iter().all(|member| self.does_its_part(member)) {
            BondState::Up
        } else {
            BondState::Degraded
        }
    }

    /// Since when it is in [`Self::state`]; `None` before the first update.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        self.standing.map(|(_, since)| since)
    }

    pub(super) fn take_stand(&mut self, now: Instant) {
        let state = self.state();
        if self.standing.is_none_or(|(before, _)| before != state) {
            self.standing = Some((state, now));
        }
    }

    /// Why it is not up, in one line.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        match self.state() {
            BondState::Up => None,
            BondState::Down => Some(self.why_down()),
            BondState::Degraded => {
                let idle = self.members.iter().filter(|m| !self.does_its_part(m));
                let told = idle.map(|m| format!("{} {}", m.name, self.part(m)));
                Some(told.collect::<Vec<_>>().join("; "))
            }
        }
    }

    /// A member that the monitor gives up was lost like one whose link went, and the bond chooses again.
    pub(super) fn take_failure(&mut self, event: &Happened) {
        let Happened::Monitor { member, silent } = event else {
            return;
        };
        self.by_hand = None;
        if let Some(member) = self.members.iter_mut().find(|m| m.name == *member) {
            member.failures += u64::from(silent.is_some());
        }
    }

    fn status(&self, member: &Member) -> Option<MemberStatus> {
        self.negotiation.as_ref()?.lacp().member(member.index)
    }

    /// Whether nothing has to be done about a member: a standby of those in use has nothing to do.
    fn does_its_part(&self, member: &Member) -> bool {
        let Some(lacp) = &self.negotiation else {
            return member.state == LinkState::Up
                && member.is_usable()
                && self.wanted.config.mode != BondMode::Lacp;
        };
        let in_use = lacp.lacp().aggregator();
        member.state == LinkState::Up
            && !lacp.fell_back()
            && self.status(member).is_some_and(|status| {
                let standby = status.selected == Selected::Standby && status.aggregator == in_use;
                status.distributing || standby
            })
    }

    /// What a member does, in one word.
    fn role(&self, member: &Member) -> &'static str {
        let status = self.status(member);
        match (member.is_usable(), status) {
            (false, _) => "down",
            (true, Some(status)) if status.distributing => "carrying",
            (true, Some(status)) if status.collecting => "collecting",
            (true, Some(status)) if status.selected == Selected::Standby => "standby",
            (true, Some(_)) => "waiting",
            (true, None) if self.wanted.config.mode == BondMode::Lacp => "waiting",
            (true, None) if self.is_standby(member.index) => "standby",
            (true, None) if self.has_active() => "active",
            (true, None) if self.rewrites() && self.active == Some(member.index) => "active",
            (true, None) => "carrying",
        }
    }

    /// What a member does, in words that follow its name.
    fn part(&self, member: &Member) -> String {
        match (member.state, &self.negotiation) {
            (LinkState::Down, _) if !member.seen.attached => "is not there".to_owned(),
            (LinkState::Down, _) => "has no link".to_owned(),
            (LinkState::Returning, _) => "has a link again, and waits for updelay".to_owned(),
            (LinkState::Failing, _) => "lost its link, and has until downdelay".to_owned(),
            (LinkState::Up, _) if !member.is_usable() => {
                let why = self.silence(member.index).unwrap_or("nobody answers there");
                format!("is not used: {why}")
            }
            (LinkState::Up, Some(lacp)) => lacp.part(member.index),
            (LinkState::Up, None) if self.wanted.config.mode == BondMode::Lacp => {
                "waits for an address that LACP could name".to_owned()
            }
            (LinkState::Up, None) if self.is_standby(member.index) => match self.active_name() {
                Some(active) => format!("stands by for {active}"),
                None => "stands by".to_owned(),
            },
            (LinkState::Up, None) if self.has_active() => "is the active one".to_owned(),
            (LinkState::Up, None) if self.rewrites() => match &self.transmit {
                Transmit::Rewritten(by) if by.active == member.index => {
                    "carries flows, and lets in what comes".to_owned()
                }
                Transmit::Rewritten(by) => match by.source(member.index) {
                    Some(source) => format!("carries flows, as from {source}"),
                    None => "carries nothing: it has no address of its own".to_owned(),
                },
                _ => "carries nothing".to_owned(),
            },
            (LinkState::Up, None) => "carries frames".to_owned(),
        }
    }

    /// The active member, in the modes that have one or designate one (kernel: modes 1, 5 and 6).
    #[must_use]
    pub fn active_name(&self) -> Option<String> {
        let index = self.active.filter(|_| self.chooses())?;
        self.name_of(index)
    }

    /// Whether the active member was made so by [`Self::set_active`].
    #[must_use]
    pub const fn is_by_hand(&self) -> bool {
        self.by_hand.is_some()
    }

    const fn chooses(&self) -> bool {
        matches!(
            self.wanted.config.mode,
            BondMode::ActiveBackup | BondMode::BalanceTlb | BondMode::BalanceAlb
        )
    }

    /// Makes a member the active one until a link of the bond or its configuration changes (K-14); the one
    /// that was active. [`Self::update`] has to follow.
    ///
    /// # Errors
    /// The mode has no active member, or this member cannot be it.
    pub fn set_active(&mut self, name: &str) -> Result<Option<String>, NoChoice> {
        if !self.chooses() {
            return Err(NoChoice::Mode(self.wanted.config.mode));
        }
        let Some(member) = self.members.iter().find(|member| member.name == name) else {
            let known = self.members.iter().map(|member| member.name.clone());
            return Err(NoChoice::Unknown(known.collect()));
        };
        if member.state != LinkState::Up {
            return Err(NoChoice::Unusable(member.state));
        }
        if !member.is_usable() {
            return Err(NoChoice::Silent(self.part(member)));
        }
        let before = self.active_name();
        self.by_hand = Some(member.index);
        Ok(before)
    }

    /// The members as the API has them.
    #[must_use]
    pub fn rows(&self, wall: WallClock, now: Instant) -> Vec<BondMember> {
        let row = |member: &Member| BondMember {
            name: member.name.clone(),
            link: member.state.name().to_owned(),
            since: wall.rfc3339(member.since.unwrap_or(now)),
            role: self.role(member).to_owned(),
            reason: self.part(member),
            speed_mbps: member.seen.speed_mbps,
            load_bps: self.load_bps(member.index),
            mac: member.seen.mac.map(|mac| mac.to_string()),
            failures: member.failures,
            lacp: self
                .status(member)
                .map(|status| lacp_member(&status, wall, now)),
        };
        self.members.iter().map(row).collect()
    }

    /// LACP of the bond as the API has it, where it speaks it.
    #[must_use]
    pub fn lacp_row(&self) -> Option<LacpBond> {
        let negotiation = self.negotiation.as_ref()?;
        let (lacp, system) = (negotiation.lacp(), negotiation.system());
        let config = &self.wanted.config;
        let in_use = lacp.aggregator();
        let members = lacp.members().filter_map(|index| lacp.member(index));
        let of: Vec<MemberStatus> = members
            .filter(|status| in_use.is_some() && status.aggregator == in_use)
            .collect();
        Some(LacpBond {
            system: system.mac.to_string(),
            system_priority: system.priority,
            rate: config.lacp_rate.to_string(),
            active: config.lacp_active.0,
            ad_select: config.ad_select.to_string(),
            aggregator: in_use,
            aggregator_ports: u32::try_from(of.len()).unwrap_or(u32::MAX),
            partner: of.iter().find_map(|status| partner(&status.partner)),
            verdict: match lacp.verdict() {
                Verdict::Up { .. } => "up",
                Verdict::Fallback { .. } => "fallback",
                Verdict::TooFewLinks { .. } => "too-few-links",
                Verdict::NoPartner => "no-partner",
                Verdict::Negotiating => "negotiating",
                Verdict::NoLink => "no-link",
            }
            .to_owned(),
        })
    }

    /// What [`diagnosis`] looks at. `unasked`: whether a member's partner speaks LACP though the bond does not.
    pub fn seen<'a>(&'a self, unasked: &'a dyn Fn(&str) -> bool) -> impl Iterator<Item = Seen<'a>> {
        self.members.iter().map(|member| Seen {
            name: &member.name,
            usable: member.is_usable(),
            speed_mbps: member.seen.speed_mbps,
            lacp: self.status(member),
            unasked: unasked(&member.name),
        })
    }

    /// What LACP makes of the whole bond, where it speaks it.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.negotiation.as_ref().map(|lacp| lacp.lacp().verdict())
    }

    /// Systems and keys that the members hear, with the first member that hears each.
    #[must_use]
    pub fn partners(&self) -> Vec<diagnosis::Partner<'_>> {
        let mut partners: Vec<diagnosis::Partner<'_>> = Vec::new();
        for member in &self.members {
            let Some(status) = self.status(member).filter(diagnosis::is_heard) else {
                continue;
            };
            let (system, key) = (status.partner.system, status.partner.key);
            if !partners.iter().any(|p| (p.system, p.key) == (system, key)) {
                partners.push(diagnosis::Partner {
                    member: &member.name,
                    system,
                    key,
                });
            }
        }
        partners
    }

    /// The index of each member, by name: for those who look a frame's member up.
    #[must_use]
    pub fn member_name(&self, index: PortIndex) -> Option<String> {
        self.name_of(index)
    }
}

fn end(info: &ParticipantInfo) -> LacpEnd {
    LacpEnd {
        system: info.system.mac.to_string(),
        system_priority: info.system.priority,
        key: info.key.0,
        port: info.port.number,
        port_priority: info.port.priority,
        state: info.state.0,
        state_letters: info.state.to_string(),
    }
}

fn partner(info: &ParticipantInfo) -> Option<LacpEnd> {
    (!info.system.mac.is_zero()).then(|| end(info))
}

const fn churn(state: ChurnState) -> &'static str {
    match state {
        ChurnState::Monitor => "monitor",
        ChurnState::NoChurn => "none",
        ChurnState::Churn => "churned",
    }
}

/// What LACP does on a member as the API has it.
fn lacp_member(status: &MemberStatus, wall: WallClock, now: Instant) -> LacpMember {
    let counters = status.counters;
    let heard = status
        .heard
        .map(|at| now.saturating_since(at).as_nanos() / 1_000_000);
    LacpMember {
        actor: end(&status.actor),
        partner: partner(&status.partner),
        receive: status.receive.name().to_owned(),
        mux: status.mux.name().to_owned(),
        mux_since: wall.rfc3339(status.since),
        selected: match status.selected {
            Selected::Selected => "yes",
            Selected::Standby => "standby",
            Selected::Unselected => "no",
        }
        .to_owned(),
        aggregator: status.aggregator,
        actor_churn: churn(status.actor_churn).to_owned(),
        partner_churn: churn(status.partner_churn).to_owned(),
        heard_ms: heard,
        marker_answers: status.answers.name().to_owned(),
        lacpdus_in: counters.lacpdu_rx,
        lacpdus_out: counters.lacpdu_tx,
        markers_in: counters.marker_rx,
        markers_out: counters.marker_tx,
        marker_responses_out: counters.marker_response_tx,
        marker_responses_in: counters.marker_response_rx,
        unknown_in: counters.unknown_rx,
        illegal_in: counters.illegal_rx,
        loopback_in: counters.loopback_rx,
    }
}

#[cfg(test)]
mod tests;
