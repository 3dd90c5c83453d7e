//! All members of one bond: the public surface.
//!
//! Four kinds of methods, to be called in this order after anything happened:
//!
//! 1. mutators ([`Lacp::add_member`], [`Lacp::set_config`] ..) and `handle_*`, which take what came;
//! 2. [`Lacp::poll_transmit`] until it has nothing more;
//! 3. [`Lacp::poll_event`] until it has nothing more;
//! 4. [`Lacp::poll_timeout`], to know when to call [`Lacp::handle_timeout`]; then again from 2.
//!
//! Nothing blocks and nothing reads a clock. Time never goes back. Work is bounded: each call runs
//! the members it concerns, a bounded number of rounds; [`Lacp::steps`] counts them.

#[cfg(test)]
mod tests;

use crate::event::{Event, Goodbye, MemberStatus, Side, Verdict};
use crate::info::{ParticipantInfo, PortState, SystemId};
use crate::pdu::{Lacpdu, MarkerKind, MarkerPdu, PDU_LEN, PduError, SlowProtocol};
use crate::port::{LacpPort, LinkState, MemberConfig};
use crate::selection::{AdSelect, Policy, select};
use crate::transmit::Transmit;
use crate::variables::Selected;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use vswitch_base::{Instant, PortIndex};

/// Rounds of machines and selection after which a system must have come to rest: letting go,
/// attaching, readiness and opening take one each, and a new choice of the aggregator as many again.
const ROUNDS: u32 = 16;

/// What an operator says of the bond. Every field may be changed while it works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Priority and address (K-29, K-30).
    pub system: SystemId,
    /// Asks the partner for a PDU every second (K-26).
    pub fast: bool,
    /// Sends without being asked (K-27).
    pub active: bool,
    /// How the aggregator in use is chosen (K-28).
    pub ad_select: AdSelect,
    /// Collecting and distributing go together (K-33).
    pub coupled: bool,
    /// Members that may carry traffic at a time, 0 for all (K-39).
    pub max_links: u16,
    /// With fewer members that carry traffic the bond is down; 0 is as 1 (K-24).
    pub min_links: u16,
    /// Without a partner the bond is down, whatever `fallback` says (K-35).
    pub strict: bool,
    /// Without a partner on any member, one member works without LACP (K-36).
    pub fallback: bool,
    /// The speed has no part in the key: members of different speeds are aggregated.
    pub fixed_key: bool,
}

impl Config {
    /// Linux's defaults for a system of that address.
    #[must_use]
    pub const fn new(system: SystemId) -> Self {
        Self {
            system,
            fast: false,
            active: true,
            ad_select: AdSelect::Stable,
            coupled: true,
            max_links: 0,
            min_links: 0,
            strict: false,
            fallback: true,
            fixed_key: false,
        }
    }

    fn bits(&self) -> PortState {
        let bit = |on, bit: PortState| if on { bit } else { PortState(0) };
        bit(self.active, PortState::ACTIVITY) | bit(self.fast, PortState::TIMEOUT)
    }
}

/// Why a member is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemberError {
    /// The port is a member already.
    Exists,
    /// The port is no member.
    Unknown,
    /// Number 0, or the number of another member.
    Number(u16),
}

impl core::fmt::Display for MemberError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Exists => f.write_str("is a member already"),
            Self::Unknown => f.write_str("is no member"),
            Self::Number(number) => write!(f, "port number {number} is 0 or taken"),
        }
    }
}

impl core::error::Error for MemberError {}

/// What was last told of a member.
#[derive(Clone, Copy, Default)]
struct Told {
    open: (bool, bool),
    partner: ParticipantInfo,
    churned: [bool; 2],
    loopback: bool,
}

/// One bond's LACP.
pub struct Lacp {
    config: Config,
    ports: BTreeMap<PortIndex, LacpPort>,
    told: BTreeMap<PortIndex, Told>,
    told_aggregator: Option<u16>,
    active: Option<u16>,
    dirty: BTreeSet<PortIndex>,
    /// Goodbyes, and from when on they may leave.
    departing: VecDeque<(Instant, PortIndex, [u8; PDU_LEN])>,
    /// What removed members sent in the last second: one that comes back does not send more for it.
    gone: BTreeMap<PortIndex, Transmit>,
    events: VecDeque<Event>,
    /// Where the next look for something to send begins, so that no member starves.
    cursor: PortIndex,
    steps: u64,
}

impl Lacp {
    /// A bond without members.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self {
            config,
            ports: BTreeMap::new(),
            told: BTreeMap::new(),
            told_aggregator: None,
            active: None,
            dirty: BTreeSet::new(),
            departing: VecDeque::new(),
            gone: BTreeMap::new(),
            events: VecDeque::new(),
            cursor: PortIndex(0),
            steps: 0,
        }
    }

    /// Adds a member.
    ///
    /// # Errors
    /// [`MemberError::Exists`], or [`MemberError::Number`].
    pub fn add_member(
        &mut self,
        member: PortIndex,
        config: MemberConfig,
        link: LinkState,
        now: Instant,
    ) -> Result<(), MemberError> {
        if self.ports.contains_key(&member) {
            return Err(MemberError::Exists);
        }
        self.check_number(member, config.number)?;
        self.departing.retain(|(_, port, _)| *port != member);
        let mut port = LacpPort::new(config, link);
        port.since = now;
        port.transmit = self.gone.remove(&member).unwrap_or_default();
        self.ports.insert(member, port);
        self.told.insert(member, Told::default());
        self.apply(member);
        self.settle(now);
        Ok(())
    }

    /// Changes what an operator says of a member. The machines go on, unless number, key or
    /// aggregatability change.
    ///
    /// # Errors
    /// [`MemberError::Unknown`], or [`MemberError::Number`].
    pub fn set_member(
        &mut self,
        member: PortIndex,
        config: MemberConfig,
        now: Instant,
    ) -> Result<(), MemberError> {
        self.check_number(member, config.number)?;
        let port = self.ports.get_mut(&member).ok_or(MemberError::Unknown)?;
        port.config = config;
        self.apply(member);
        self.settle(now);
        Ok(())
    }

    /// Removes a member, and tells its partner as `goodbye` says (P-18); whether it was one. A member
    /// that carried traffic gets a last event.
    pub fn remove_member(&mut self, member: PortIndex, goodbye: Goodbye, now: Instant) -> bool {
        let Some(mut port) = self.ports.remove(&member) else {
            return false;
        };
        self.dirty.remove(&member);
        let told = self.told.remove(&member).unwrap_or_default();
        if told.open != (false, false) {
            self.events.push_back(Event::Member {
                member,
                collecting: false,
                distributing: false,
            });
        }
        let speaks = port.vars.port_enabled && port.vars.lacp_enabled;
        if let Some(cleared) = goodbye.clears().filter(|_| speaks) {
            port.vars.set_actor(cleared, false);
            let at = port.transmit.permitted_from().max(now);
            port.transmit.record(at);
            self.departing.push_back((at, member, port.pdu().emit()));
        }
        self.gone.retain(|_, sent| !sent.is_idle(now));
        self.gone.insert(member, port.transmit);
        self.settle(now);
        true
    }

    /// Changes what an operator says of the bond. Only another system address or priority, or another
    /// key, makes members start their selection again.
    pub fn set_config(&mut self, config: Config, now: Instant) {
        self.config = config;
        let members: BTreeSet<PortIndex> = self.ports.keys().copied().collect();
        for member in members {
            self.apply(member);
        }
        self.settle(now);
    }

    /// Takes a slow protocol PDU, from behind the EtherType. PDUs of ports that are no members are
    /// ignored.
    ///
    /// # Errors
    /// [`PduError`] for malformed bytes, which are counted and have no other effect.
    pub fn handle_pdu(
        &mut self,
        member: PortIndex,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), PduError> {
        let parsed = SlowProtocol::parse(payload);
        let Some(port) = self.ports.get_mut(&member) else {
            return parsed.map(|_| ());
        };
        match parsed {
            Err(error) => {
                port.counters.illegal_rx += 1;
                return Err(error);
            }
            Ok(SlowProtocol::Other(_)) => port.counters.unknown_rx += 1,
            Ok(SlowProtocol::Marker(pdu)) => {
                match pdu.kind() {
                    MarkerKind::Information => port.counters.marker_rx += 1,
                    MarkerKind::Response => port.counters.marker_response_rx += 1,
                }
                let own = (port.vars.actor.port.number, port.vars.actor.system.mac);
                let ours = (pdu.requester_port(), pdu.requester_system()) == own;
                match pdu.kind() {
                    _ if !port.vars.port_enabled => {}
                    MarkerKind::Information => _ = port.marker.handle(&pdu, now),
                    MarkerKind::Response if ours => _ = port.generator.handle(pdu.transaction()),
                    MarkerKind::Response => {}
                }
            }
            Ok(SlowProtocol::Lacp(pdu)) => self.handle_lacpdu(member, pdu, now),
        }
        Ok(())
    }

    /// Takes a LACPDU that was parsed already.
    pub fn handle_lacpdu(&mut self, member: PortIndex, pdu: Lacpdu, now: Instant) {
        let Some(port) = self.ports.get_mut(&member) else {
            return;
        };
        port.counters.lacpdu_rx += 1;
        if pdu.actor.system.mac == self.config.system.mac {
            port.counters.loopback_rx += 1;
            if let Some(told) = self.told.get_mut(&member)
                && !told.loopback
            {
                told.loopback = true;
                self.events.push_back(Event::Loopback { member });
            }
            return;
        }
        if !port.vars.port_enabled {
            return;
        }
        port.heard = Some(now);
        self.steps += u64::from(port.run(Some(pdu), now));
        self.dirty.insert(member);
        self.moved(member, &pdu.actor);
        self.settle(now);
    }

    /// Takes what the link of a member has become.
    pub fn handle_link(&mut self, member: PortIndex, link: LinkState, now: Instant) {
        let Some(port) = self.ports.get_mut(&member) else {
            return;
        };
        if !link.up {
            port.marker.clear();
            if let Some(told) = self.told.get_mut(&member) {
                told.loopback = false;
            }
        }
        port.link = link;
        self.apply(member);
        self.settle(now);
    }

    /// Runs the timers that have fired.
    pub fn handle_timeout(&mut self, now: Instant) {
        for (index, port) in &self.ports {
            if port.deadline().is_some_and(|at| at <= now) {
                self.dirty.insert(*index);
            }
        }
        self.settle(now);
    }

    /// When to call [`Self::handle_timeout`] and [`Self::poll_transmit`]; the past for at once.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let of_port = |port: &LacpPort| {
            let sends = port.transmit.deadline(&port.vars);
            let markers = port.marker.pending() || port.generator.pending();
            let answers = markers.then_some(Instant::ZERO);
            [port.deadline(), sends, answers]
                .into_iter()
                .flatten()
                .min()
        };
        let departs = self.departing.iter().map(|(at, ..)| *at);
        self.ports.values().filter_map(of_port).chain(departs).min()
    }

    /// The next PDU to send and the member it leaves by: what stands behind the EtherType. To
    /// 01:80:c2:00:00:02, from the address of the device, without a tag.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(PortIndex, [u8; PDU_LEN])> {
        if let Some(at) = self.departing.iter().position(|(at, ..)| *at <= now) {
            return self
                .departing
                .remove(at)
                .map(|(_, member, pdu)| (member, pdu));
        }
        let cursor = self.cursor;
        let behind = |after: bool| {
            move |(index, _): &(&PortIndex, &mut LacpPort)| (**index >= cursor) == after
        };
        for after in [true, false] {
            for (index, port) in self.ports.iter_mut().filter(behind(after)) {
                let bytes = if let Some(answer) = port.marker.poll() {
                    port.counters.marker_response_tx += 1;
                    answer.emit()
                } else if let Some(transaction) = port.generator.poll() {
                    port.counters.marker_tx += 1;
                    let own = &port.vars.actor;
                    MarkerPdu::new(own.port.number, own.system.mac, transaction).emit()
                } else if port.transmit.run(&mut port.vars, now) {
                    port.counters.lacpdu_tx += 1;
                    port.pdu().emit()
                } else {
                    continue;
                };
                self.cursor = PortIndex(index.0.wrapping_add(1));
                return Some((*index, bytes));
            }
        }
        None
    }

    /// Asks the partner of a member whether all that was sent to it has arrived; [`MemberStatus::asks`] until
    /// it has, or the answer is overdue. `false`: it does not answer such questions as far as is known, or is
    /// asked too often. [`Self::poll_transmit`] has to follow.
    pub fn ask(&mut self, member: PortIndex, now: Instant) -> bool {
        let port = self.ports.get_mut(&member);
        port.is_some_and(|port| port.generator.ask(now))
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether the bond has carrier, and why.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let open = |port: &&LacpPort| port.mux.state().distributes();
        let links = self.ports.values().filter(open).count();
        let needed = usize::from(self.config.min_links.max(1));
        if let Some(aggregator) = self.active.filter(|_| links > 0) {
            return if links >= needed {
                Verdict::Up { aggregator, links }
            } else {
                Verdict::TooFewLinks { links, needed }
            };
        }
        let partner =
            |port: &LacpPort| port.vars.port_enabled && !port.vars.partner.system.mac.is_zero();
        let mut alone = self.ports.iter().filter(|(_, port)| port.is_alone());
        match alone.next() {
            _ if self.ports.values().any(partner) => Verdict::Negotiating,
            None if self.ports.values().any(|port| port.vars.port_enabled) => Verdict::Negotiating,
            None => Verdict::NoLink,
            Some(_) if self.config.strict || !self.config.fallback => Verdict::NoPartner,
            Some(_) if needed > 1 => Verdict::TooFewLinks { links: 1, needed },
            Some(first) => {
                let rank = |port: &LacpPort| (port.config.priority, port.config.number);
                let best = alone.chain([first]).min_by_key(|(_, port)| rank(port));
                let (member, _) = best.unwrap_or(first);
                Verdict::Fallback { member: *member }
            }
        }
    }

    /// The aggregator in use.
    #[must_use]
    pub const fn aggregator(&self) -> Option<u16> {
        self.active
    }

    /// What a member does.
    #[must_use]
    pub fn member(&self, member: PortIndex) -> Option<MemberStatus> {
        let port = self.ports.get(&member)?;
        let fallback = self.verdict() == Verdict::Fallback { member };
        Some(MemberStatus::new(port, fallback))
    }

    /// The members.
    pub fn members(&self) -> impl Iterator<Item = PortIndex> + '_ {
        self.ports.keys().copied()
    }

    /// Rounds of machines that were run, since the start: the measure of work.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    fn check_number(&self, member: PortIndex, number: u16) -> Result<(), MemberError> {
        let mut others = self.ports.iter().filter(|(index, _)| **index != member);
        if number == 0 || others.any(|(_, port)| port.config.number == number) {
            return Err(MemberError::Number(number));
        }
        Ok(())
    }

    /// Writes the configuration into a member's variables.
    fn apply(&mut self, member: PortIndex) {
        let config = self.config;
        if let Some(port) = self.ports.get_mut(&member) {
            port.apply(
                config.system,
                config.bits(),
                config.coupled,
                config.fixed_key,
            );
            self.dirty.insert(member);
        }
    }

    /// A partner that is heard on `member` has left the dead link that it was known on.
    fn moved(&mut self, member: PortIndex, actor: &ParticipantInfo) {
        for (index, port) in &mut self.ports {
            let was = &port.vars.partner;
            let here = was.system == actor.system && was.port.number == actor.port.number;
            if *index != member && !port.vars.port_enabled && here {
                port.vars.port_moved = true;
                self.dirty.insert(*index);
            }
        }
    }

    /// Runs what is dirty and selection, in turn, until nothing is.
    fn settle(&mut self, now: Instant) {
        let policy = Policy {
            ad_select: self.config.ad_select,
            max_links: self.config.max_links,
        };
        for _ in 0..ROUNDS {
            for index in core::mem::take(&mut self.dirty) {
                if let Some(port) = self.ports.get_mut(&index) {
                    self.steps += u64::from(port.run(None, now));
                }
            }
            self.active = select(&mut self.ports, self.active, policy, &mut self.dirty);
            if self.dirty.is_empty() {
                break;
            }
        }
        debug_assert!(self.dirty.is_empty(), "selection did not come to rest");
        self.tell();
    }

    /// Events for what differs from what was last told.
    fn tell(&mut self) {
        if self.told_aggregator != self.active {
            self.told_aggregator = self.active;
            self.events.push_back(Event::Aggregator(self.active));
        }
        let verdict = self.verdict();
        for (index, port) in &self.ports {
            let member = *index;
            let Some(told) = self.told.get_mut(&member) else {
                continue;
            };
            let status = MemberStatus::new(port, verdict == Verdict::Fallback { member });
            let open = (status.collecting, status.distributing);
            if told.open != open {
                told.open = open;
                self.events.push_back(Event::Member {
                    member,
                    collecting: open.0,
                    distributing: open.1,
                });
            }
            let identity = |info: &ParticipantInfo| (info.system, info.key, info.port);
            if identity(&told.partner) != identity(&status.partner) {
                told.partner = status.partner;
                self.events.push_back(Event::Partner {
                    member,
                    partner: status.partner,
                });
            }
            for (side, was, is) in [
                (Side::Actor, 0, status.actor_churned()),
                (Side::Partner, 1, status.partner_churned()),
            ] {
                // A standby is out of sync on purpose.
                let is = is && port.vars.selected != Selected::Standby;
                if told.churned[was] != is {
                    told.churned[was] = is;
                    let churned = is;
                    self.events.push_back(Event::Churn {
                        member,
                        side,
                        churned,
                    });
                }
            }
        }
    }
}
