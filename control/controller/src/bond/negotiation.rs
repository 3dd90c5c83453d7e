//! LACP of one bond: the configuration and the links of its members go into the protocol's machines,
//! PDUs and what is worth telling come out.
//!
//! The machines are `vswitch_lacp`'s; here the operator's words become theirs, members get their numbers,
//! and events become text. Nothing is sent before [`Negotiation::payloads`] is asked.

use super::moving::Ask;
use super::{Happened, Member};
use std::collections::{BTreeMap, BTreeSet};
use vswitch_api::config::{AdSelect, BondConfig, Goodbye, KeyPolicy, LacpRate};
use vswitch_api::types::Severity;
use vswitch_base::{Duration, EtherType, Instant, MacAddr, PortIndex};
use vswitch_core::bond::Admits;
use vswitch_lacp::mux::MuxState;
use vswitch_lacp::receive::ReceiveState;
use vswitch_lacp::{
    Config, Event, Lacp, LinkState, MemberConfig, MemberStatus, ParticipantInfo, PortState, Side,
    SystemId, Verdict,
};

/// A partner that keeps changing is told of this often at most.
const PARTNER_TOLD: Duration = Duration::from_secs(1);

/// How long a member that returns waits for the partner to say that it collects.
const TAKEN_WITHIN: Duration = Duration::from_secs(1);

/// What was last told of a member's partner.
#[derive(Clone, Copy, Default)]
struct Told {
    partner: ParticipantInfo,
    at: Option<Instant>,
}

/// See the module.
pub struct Negotiation {
    lacp: Lacp,
    config: Config,
    /// Each member's number on the wire, kept as long as it is a member, and what is said of it.
    members: BTreeMap<PortIndex, (MemberConfig, LinkState)>,
    told: BTreeMap<PortIndex, Told>,
    goodbye: vswitch_lacp::Goodbye,
    /// When it was last followed.
    now: Instant,
}

impl Ask for Negotiation {
    fn ask(&mut self, member: PortIndex, now: Instant) -> bool {
        self.lacp.ask(member, now)
    }

    fn asks(&self, member: PortIndex) -> bool {
        self.lacp.member(member).is_some_and(|status| status.asks)
    }
}

impl std::fmt::Debug for Negotiation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = self.lacp.verdict();
        f.debug_struct("Negotiation")
            .field("verdict", &verdict)
            .finish_non_exhaustive()
    }
}

impl Negotiation {
    /// LACP of a bond without members, for a system of that address.
    #[must_use]
    pub fn new(config: &BondConfig, system: MacAddr) -> Self {
        let config = words(config, system);
        Self {
            lacp: Lacp::new(config),
            config,
            members: BTreeMap::new(),
            told: BTreeMap::new(),
            goodbye: vswitch_lacp::Goodbye::default(),
            now: Instant::ZERO,
        }
    }

    /// The protocol's state.
    #[must_use]
    pub const fn lacp(&self) -> &Lacp {
        &self.lacp
    }

    /// The system that we say to be.
    #[must_use]
    pub const fn system(&self) -> SystemId {
        self.config.system
    }

    /// Takes in the configuration, the members and their links, and lets time pass.
    pub fn follow(
        &mut self,
        config: &BondConfig,
        system: MacAddr,
        members: &[Member],
        now: Instant,
    ) {
        self.now = now;
        self.goodbye = goodbye(config.lacp_goodbye);
        let wanted = words(config, system);
        if wanted != self.config {
            self.config = wanted;
            self.lacp.set_config(wanted, now);
        }
        let gone = self.members.keys().copied();
        let gone = gone.filter(|index| members.iter().all(|member| member.index != *index));
        for index in gone.collect::<Vec<_>>() {
            self.depart(index, now);
        }
        for member in members {
            self.follow_member(config, member, now);
        }
        if self.lacp.poll_timeout().is_some_and(|at| at <= now) {
            self.lacp.handle_timeout(now);
        }
    }

    fn follow_member(&mut self, config: &BondConfig, member: &Member, now: Instant) {
        let link = LinkState {
            up: member.is_usable(),
            speed: member.seen.speed_mbps.unwrap_or(0),
            full_duplex: true,
        };
        let known = self.members.get(&member.index).copied();
        let number = known.map_or_else(|| self.free_number(), |(known, _)| known.number);
        let said = said_of(config, &member.name, number);
        let taken = match known {
            None => self.lacp.add_member(member.index, said, link, now),
            Some((before, _)) if before != said => self.lacp.set_member(member.index, said, now),
            Some(_) => Ok(()),
        };
        // Numbers are ours and unique, so that nothing is refused.
        debug_assert!(taken.is_ok(), "{taken:?}");
        if known.is_some_and(|(_, before)| before != link) {
            self.lacp.handle_link(member.index, link, now);
        }
        self.members.insert(member.index, (said, link));
    }

    fn free_number(&self) -> u16 {
        let taken: BTreeSet<u16> = self.members.values().map(|(said, _)| said.number).collect();
        (1..=u16::MAX).find(|n| !taken.contains(n)).unwrap_or(1)
    }

    /// A member leaves: its partner is told as far as that is wanted. Once for each membership.
    pub fn depart(&mut self, member: PortIndex, now: Instant) {
        if self.members.remove(&member).is_some() {
            self.told.remove(&member);
            self.lacp.remove_member(member, self.goodbye, now);
        }
    }

    /// Every member leaves.
    pub fn depart_all(&mut self, now: Instant) {
        for member in self.members.keys().copied().collect::<Vec<_>>() {
            self.depart(member, now);
        }
    }

    /// Takes what a member heard, from behind the EtherType. What is malformed is counted there.
    pub fn hear(&mut self, member: PortIndex, payload: &[u8], now: Instant) {
        // The error is in the member's counters; that is all that is done about it.
        let _ = self.lacp.handle_pdu(member, payload, now);
    }

    /// What is to be sent now, as payload of slow protocol frames, with the member.
    pub fn payloads(&mut self, now: Instant) -> impl Iterator<Item = (PortIndex, Vec<u8>)> + '_ {
        let next = move || self.lacp.poll_transmit(now);
        std::iter::from_fn(next).map(|(member, pdu)| (member, pdu.to_vec()))
    }

    /// When [`Self::follow`] has to be called though nothing came.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let members = self.lacp.members().filter_map(|m| self.lacp.member(m));
        let waiting = members.filter(|m| m.distributing && !self.is_taken(m));
        waiting
            .map(|m| m.since + TAKEN_WITHIN)
            .chain(self.lacp.poll_timeout())
            .min()
    }

    /// The system that agreed on the members that carry.
    #[must_use]
    pub fn partner(&self) -> Option<SystemId> {
        let Verdict::Up { aggregator, .. } = self.lacp.verdict() else {
            return None;
        };
        let mut members = self.lacp.members().filter_map(|m| self.lacp.member(m));
        let found = members.find(|m| m.aggregator == Some(aggregator) && m.distributing);
        found.map(|member| member.partner.system)
    }

    /// Whether the bond may send by that member.
    #[must_use]
    ///
    /// By coupled control a member sends when the partner is in sync; many partners take frames only a moment
    /// later. So while another member is known to be taken from, one that returns waits for the partner to
    /// say that it collects, for [`TAKEN_WITHIN`] at most.
    pub fn sends(&self, member: PortIndex) -> bool {
        let status = self.lacp.member(member);
        let distributes = status.is_some_and(|m| m.distributing);
        let taken = |m: &MemberStatus| m.distributing && self.is_taken(m);
        let mut others = self.lacp.members().filter_map(|m| self.lacp.member(m));
        self.lacp.verdict().is_up()
            && distributes
            && (status.is_some_and(|m| taken(&m)) || !others.any(|m| taken(&m)))
    }

    /// Whether the partner takes what a member sends, as far as it says or should.
    fn is_taken(&self, member: &MemberStatus) -> bool {
        let says = member.partner.state.contains(PortState::COLLECTING);
        says || member.since + TAKEN_WITHIN <= self.now
    }

    /// Whether a member carries frames though nobody answers (`lacp_fallback_ab`).
    #[must_use]
    pub fn fell_back(&self) -> bool {
        matches!(self.lacp.verdict(), Verdict::Fallback { .. })
    }

    /// What a member lets in: everything when it collects, and from the moment on when we say that we are in
    /// sync: a partner with coupled control sends as soon as it hears that.
    #[must_use]
    pub fn admits(&self, member: PortIndex) -> Admits {
        let Some(status) = self.lacp.member(member) else {
            return Admits::Nothing;
        };
        let in_sync = status.mux == MuxState::Attached
            && status.receive == ReceiveState::Current
            && status.actor.state.contains(PortState::SYNCHRONIZATION);
        if status.collecting || in_sync {
            Admits::Everything
        } else {
            Admits::Nothing
        }
    }

    /// What happened since the last call, in words.
    pub fn happened(&mut self, members: &[Member], now: Instant) -> Vec<Happened> {
        let name = |index| name_of(members, index);
        let mut happened = Vec::new();
        while let Some(event) = self.lacp.poll_event() {
            let (severity, message) = match event {
                Event::Member {
                    member,
                    collecting,
                    distributing,
                } => (
                    Severity::Info,
                    format!("{} {}", name(member), carries(collecting, distributing)),
                ),
                Event::Aggregator(Some(number)) => {
                    (Severity::Info, format!("aggregator {number} is in use"))
                }
                Event::Aggregator(None) => (Severity::Info, "no aggregator is in use".to_owned()),
                Event::Churn {
                    member,
                    side,
                    churned,
                } => churn(name(member), side, churned),
                Event::Loopback { member } => (
                    Severity::Error,
                    format!(
                        "{} hears this very system: its cable leads back to this bond",
                        name(member)
                    ),
                ),
                // Looked at below, at a bounded pace.
                Event::Partner { .. } => continue,
            };
            happened.push(Happened::Lacp { severity, message });
        }
        happened.extend(self.partners(members, now));
        happened
    }

    /// Partners that are not those that were last told.
    fn partners(&mut self, members: &[Member], now: Instant) -> Vec<Happened> {
        let mut happened = Vec::new();
        for index in self.members.keys() {
            let Some(status) = self.lacp.member(*index) else {
                continue;
            };
            let told = self.told.entry(*index).or_default();
            let identity = |info: &ParticipantInfo| (info.system, info.key, info.port);
            let same = identity(&told.partner) == identity(&status.partner);
            if same || told.at.is_some_and(|at| now < at + PARTNER_TOLD) {
                continue;
            }
            *told = Told {
                partner: status.partner,
                at: Some(now),
            };
            let name = name_of(members, *index);
            let message = if status.partner.system.mac.is_zero() {
                format!("{name} has no LACP partner")
            } else {
                format!("the partner of {name} is {}", status.partner)
            };
            happened.push(Happened::Lacp {
                severity: Severity::Info,
                message,
            });
        }
        happened
    }

    /// Why the bond carries nothing; `None` when it does.
    #[must_use]
    pub fn why_down(&self) -> Option<String> {
        Some(match self.lacp.verdict() {
            Verdict::Up { .. } | Verdict::Fallback { .. } => return None,
            Verdict::TooFewLinks { links, needed } => {
                format!("{links} of at least {needed} members carry frames (min_links)")
            }
            Verdict::NoPartner => {
                "no member hears LACP from the other side, and lacp_strict or lacp_fallback_ab \
                 forbids to work without"
                    .to_owned()
            }
            Verdict::Negotiating => "LACP is being negotiated".to_owned(),
            Verdict::NoLink => "no member has a link".to_owned(),
        })
    }

    /// What a member with a good link does.
    #[must_use]
    pub fn part(&self, member: PortIndex) -> String {
        let Some(status) = self.lacp.member(member) else {
            return "takes no part in LACP".to_owned();
        };
        if self.lacp.verdict() == (Verdict::Fallback { member }) {
            return "carries frames without LACP: no partner is heard".to_owned();
        }
        match (status.collecting, status.distributing) {
            (true, true) => "carries frames".to_owned(),
            (true, false) => "takes frames, and sends none until the partner takes them".to_owned(),
            _ if status.partner.system.mac.is_zero() => "hears no LACP partner".to_owned(),
            _ if status.selected == vswitch_lacp::variables::Selected::Standby => {
                "stands by: max_links members carry frames".to_owned()
            }
            _ if status.aggregator.is_some() && status.aggregator != self.lacp.aggregator() => {
                format!(
                    "is not in the aggregator in use: its partner is {}",
                    status.partner.system
                )
            }
            _ => "negotiates with its LACP partner".to_owned(),
        }
    }
}

/// A slow protocol frame from a device of that address.
#[must_use]
pub fn frame(from: MacAddr, payload: &[u8]) -> Box<[u8]> {
    let kind = EtherType::SLOW_PROTOCOLS.0.to_be_bytes();
    let parts: [&[u8]; 4] = [&MacAddr::SLOW_PROTOCOLS.0, &from.0, &kind, payload];
    parts.concat().into()
}

fn name_of(members: &[Member], index: PortIndex) -> &str {
    let found = members.iter().find(|member| member.index == index);
    found.map_or("a former member", |member| member.name.as_str())
}

const fn carries(collecting: bool, distributing: bool) -> &'static str {
    match (collecting, distributing) {
        (true, true) => "carries frames",
        (true, false) => "takes frames and sends none",
        (false, _) => "no longer carries frames",
    }
}

fn churn(name: &str, side: Side, churned: bool) -> (Severity, String) {
    let whose = match side {
        Side::Actor => "our side",
        Side::Partner => "the partner",
    };
    if churned {
        let message = format!("{whose} of {name} has been out of sync for a minute");
        (Severity::Warning, message)
    } else {
        (
            Severity::Info,
            format!("{whose} of {name} is in sync again"),
        )
    }
}

fn words(config: &BondConfig, system: MacAddr) -> Config {
    let priority = u16::try_from(config.ad_actor_sys_prio).unwrap_or(u16::MAX);
    let short = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    Config {
        fast: config.lacp_rate == LacpRate::Fast,
        active: config.lacp_active.0,
        ad_select: match config.ad_select {
            AdSelect::Stable => vswitch_lacp::AdSelect::Stable,
            AdSelect::Bandwidth => vswitch_lacp::AdSelect::Bandwidth,
            AdSelect::Count => vswitch_lacp::AdSelect::Count,
            AdSelect::ActorPortPrio => vswitch_lacp::AdSelect::PortPriority,
        },
        coupled: config.coupled_control.0,
        max_links: short(config.max_links),
        min_links: short(config.min_links),
        strict: config.lacp_strict.0,
        fallback: config.lacp_fallback_ab.0,
        fixed_key: config.key_policy == KeyPolicy::Fixed,
        ..Config::new(SystemId {
            priority,
            mac: system,
        })
    }
}

fn said_of(config: &BondConfig, name: &str, number: u16) -> MemberConfig {
    let prio = config.actor_port_prio.get(name).copied().unwrap_or(255);
    MemberConfig {
        number,
        priority: u16::try_from(prio).unwrap_or(u16::MAX),
        user_key: u16::try_from(config.ad_user_port_key).unwrap_or(0),
        enabled: true,
        aggregatable: true,
    }
}

const fn goodbye(said: Goodbye) -> vswitch_lacp::Goodbye {
    match said {
        Goodbye::Silent => vswitch_lacp::Goodbye::Silent,
        Goodbye::OutOfSync => vswitch_lacp::Goodbye::OutOfSync,
        Goodbye::Individual => vswitch_lacp::Goodbye::Individual,
    }
}
