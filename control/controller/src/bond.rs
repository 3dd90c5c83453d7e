//! One bond's state: whose link is good, who is active, and what that means for the passes.
//!
//! ```text
//!            link lost, downdelay        still lost after it
//!     up ─────────────────────► failing ───────────────────► down
//!      ▲ ▲──────────────────────────┘ link back               │
//!      │       still there after it            link, updelay  │
//!      └──────────────────────────── returning ◄──────────────┘
//! ```
//!
//! The states and rules are those of the kernel's `bond_miimon_inspect` and `bond_find_best_slave`
//! (features.md 3.4.2, 3.5.1), but that a lost link is told by an event and not found by a poll. A member
//! that is `failing` still counts. `updelay` is not waited for when no member could be used meanwhile.
//!
//! In mode `802.3ad` the links decide who negotiates, and [`negotiation`] decides who carries.
//!
//! Pure: links, PDUs and time come in; [`Transmit`], [`vswitch_core::bond::Admits`],
//! frames and a list of what happened go out.

pub mod balancing;
mod carriers;
pub mod dealing;
pub mod diagnosis;
pub mod monitor;
pub mod moving;
pub mod negotiation;
pub mod shares;
mod view;
mod watching;

pub use view::{BondState, NoChoice};

use balancing::Balancing;
use monitor::Monitor;
use moving::{Moved, Moving};
use negotiation::Negotiation;
use shares::Shares;
use std::fmt;
use std::sync::Arc;
use vswitch_api::config::{BondConfig, BondMode, PrimaryReselect};
use vswitch_api::types::Severity;
use vswitch_base::{Duration, Instant, MacAddr, PortIndex, Timer};
use vswitch_core::bond::{Copies, Transmit};
use vswitch_lacp::SystemId;

/// A bond as it is configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WantedBond {
    /// How it works.
    pub config: BondConfig,
    /// Names and indices of its members, in the order of the configuration.
    pub members: Vec<(String, PortIndex)>,
}

/// A member's link, as the bond takes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkState {
    /// Good.
    Up,
    /// Lost, and not yet given up (`downdelay`).
    Failing,
    /// Lost.
    Down,
    /// There again, and not yet trusted (`updelay`).
    Returning,
}

impl LinkState {
    /// For operators.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Failing => "failing",
            Self::Down => "down",
            Self::Returning => "returning",
        }
    }
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is seen of a member's link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkSeen {
    /// Its port is attached: whatever its link is, without that nothing passes.
    pub attached: bool,
    /// Its device is up and has carrier, and the operator wants it up.
    pub running: bool,
    /// Mbit/s, where the device tells it.
    pub speed_mbps: Option<u32>,
    /// The device's address.
    pub mac: Option<MacAddr>,
    /// Frames that came in by it so far, where its bond is monitored.
    pub frames_in: u64,
}

impl LinkSeen {
    const fn is_good(self) -> bool {
        self.attached && self.running
    }
}

/// One member.
#[derive(Clone, Debug)]
pub struct Member {
    /// The operator's name of the port.
    pub name: String,
    /// Its index.
    pub index: PortIndex,
    /// Its link.
    pub state: LinkState,
    /// Since when its link is so; `None` before it was first looked at.
    since: Option<Instant>,
    /// How often its link was given up.
    failures: u64,
    seen: LinkSeen,
    delay: Timer,
    /// The monitor does not trust it.
    silent: bool,
}

impl Member {
    /// Whether it may carry frames.
    #[must_use]
    pub const fn is_usable(&self) -> bool {
        self.has_link() && !self.silent
    }

    const fn has_link(&self) -> bool {
        matches!(self.state, LinkState::Up | LinkState::Failing)
    }

    fn enter(&mut self, state: LinkState) {
        // As the kernel counts: a link that came and was never trusted was not lost.
        let lost = self.state == LinkState::Failing && state == LinkState::Down;
        self.failures += u64::from(lost);
        self.state = state;
        self.delay.cancel();
    }

    /// Follows the link as far as that is due; whether the state changed.
    fn follow(&mut self, up: Duration, down: Duration, now: Instant) -> bool {
        let before = self.state;
        let good = self.seen.is_good();
        let elapsed = self.delay.poll_expiration(now);
        match self.state {
            LinkState::Up if !good => {
                self.enter(LinkState::Failing);
                self.delay.set(now + down);
            }
            LinkState::Failing if good => self.enter(LinkState::Up),
            LinkState::Down if good => {
                self.enter(LinkState::Returning);
                self.delay.set(now + up);
            }
            LinkState::Returning if !good => self.enter(LinkState::Down),
            LinkState::Failing if elapsed => self.enter(LinkState::Down),
            LinkState::Returning if elapsed => self.enter(LinkState::Up),
            _ => {}
        }
        // A delay of nothing is over, and a port that is taken away waits for nobody.
        match self.state {
            LinkState::Failing if down == Duration::ZERO || !self.seen.attached => {
                self.enter(LinkState::Down);
            }
            LinkState::Returning if up == Duration::ZERO => self.enter(LinkState::Up),
            _ => {}
        }
        self.state != before
    }
}

/// What happened to a bond.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Happened {
    /// A member's link state changed.
    Link {
        /// Its name.
        member: String,
        /// The state.
        state: LinkState,
    },
    /// A member passes frames no more although its link is good, or does again.
    Monitor {
        /// Its name.
        member: String,
        /// Why it does not; `None`: it does.
        silent: Option<String>,
    },
    /// Another member is active; `None`: none is.
    Active {
        /// Its name.
        member: Option<String>,
        /// The one that was.
        before: Option<String>,
    },
    /// Flows have gone from a member to another, in the mode that keeps their order.
    Moved(Moved),
    /// Flows have another member for what is sent.
    Balanced {
        /// Buckets that have.
        buckets: usize,
        /// Of so many.
        of: usize,
    },
    /// Something in LACP that an operator wants to know.
    Lacp {
        /// How bad it is.
        severity: Severity,
        /// What, with the member's name.
        message: String,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Bond {
    wanted: WantedBond,
    members: Vec<Member>,
    active: Option<PortIndex>,
    /// The member that an operator made active, until a link or the configuration changes.
    by_hand: Option<PortIndex>,
    /// The state that operators see, and since when.
    standing: Option<(BondState, Instant)>,
    transmit: Transmit,
    /// The address of the member that had one first.
    first_mac: Option<MacAddr>,
    /// In mode `802.3ad`, from when on the bond has an address.
    negotiation: Option<Negotiation>,
    /// In the modes of which the other side knows nothing, who lets in what.
    shares: Shares,
    /// In the modes that balance by load, what is known of it.
    balancing: Balancing,
    /// In mode `802.3ad`, flows on their way from a member to another.
    moving: Moving,
    /// Where there is an `arp_interval`.
    monitor: Option<Monitor>,
    /// Who agreed on the members that carry.
    partner: Option<SystemId>,
    /// Stations are to be announced.
    moved: bool,
    /// Payloads of slow protocol frames that wait to be sent, with the member.
    slow: Vec<(PortIndex, Vec<u8>)>,
    /// What tells copies from frames, in the modes in which the other side may send a copy by each member.
    copies: Option<Arc<Copies>>,
}

impl Bond {
    /// A bond whose members have not been seen yet.
    #[must_use]
    pub fn new(wanted: &WantedBond) -> Self {
        let mut bond = Self {
            wanted: wanted.clone(),
            members: Vec::new(),
            active: None,
            by_hand: None,
            standing: None,
            transmit: Transmit::Nobody,
            first_mac: None,
            negotiation: None,
            shares: Shares::default(),
            balancing: Balancing::default(),
            moving: Moving::default(),
            monitor: None,
            partner: None,
            moved: false,
            slow: Vec::new(),
            copies: None,
        };
        bond.configure(wanted);
        bond
    }

    /// Takes over another configuration; members that stay keep their state.
    pub fn configure(&mut self, wanted: &WantedBond) {
        let mut before = std::mem::take(&mut self.members);
        let member = |(name, index): &(String, PortIndex)| {
            let known = before.iter().position(|m| m.index == *index);
            known.map_or_else(
                || Member {
                    name: name.clone(),
                    index: *index,
                    state: LinkState::Down,
                    since: None,
                    failures: 0,
                    seen: LinkSeen::default(),
                    delay: Timer::default(),
                    silent: false,
                },
                |at| before.swap_remove(at),
            )
        };
        self.members = wanted.members.iter().map(member).collect();
        self.wanted = wanted.clone();
        let copied = wanted.config.mode == BondMode::Broadcast || self.is_shared();
        self.copies = copied.then(|| self.copies.take().unwrap_or_default());
        self.balancing.forget();
        self.by_hand = None;
    }

    /// What it is to be.
    #[must_use]
    pub const fn wanted(&self) -> &WantedBond {
        &self.wanted
    }

    /// Its members, in the order of the configuration.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// How it sends.
    #[must_use]
    pub const fn transmit(&self) -> &Transmit {
        &self.transmit
    }

    /// Whether any member carries frames.
    #[must_use]
    pub fn carries(&self) -> bool {
        self.transmit != Transmit::Nobody
    }

    /// Whether a member stands by while another is active.
    #[must_use]
    pub fn is_standby(&self, member: PortIndex) -> bool {
        self.has_active() && self.active != Some(member)
    }

    /// Whether its mode has one member that the others stand by for. In other modes the one that would be
    /// active sends IGMP.
    fn has_active(&self) -> bool {
        self.wanted.config.mode == BondMode::ActiveBackup
    }

    /// When [`Self::update`] has to be called though no link changed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.members.iter().filter_map(|m| m.delay.deadline());
        let lacp = self.negotiation.as_ref();
        waiting
            .chain(lacp.and_then(Negotiation::poll_timeout))
            .chain(self.shares.poll_timeout())
            .chain(self.balancing.poll_timeout())
            .chain(self.moving.poll_timeout())
            .chain(self.monitor.as_ref().map(Monitor::poll_timeout))
            .min()
    }

    /// LACP, where the bond speaks it.
    #[must_use]
    pub const fn negotiation(&self) -> Option<&Negotiation> {
        self.negotiation.as_ref()
    }

    /// Takes a slow protocol frame that a member received, from behind the EtherType; whether the bond
    /// speaks LACP. [`Self::update`] has to follow.
    pub fn hear(&mut self, member: PortIndex, payload: &[u8], now: Instant) -> bool {
        let Some(lacp) = &mut self.negotiation else {
            return self.wanted.config.mode == BondMode::Lacp;
        };
        lacp.hear(member, payload, now);
        true
    }

    /// A member's port is about to leave: its partner is told.
    pub fn depart(&mut self, member: PortIndex, now: Instant) {
        if let Some(lacp) = &mut self.negotiation {
            lacp.depart(member, now);
            self.slow.extend(lacp.payloads(now));
        }
    }

    /// The bond goes, or speaks LACP no more: every partner is told.
    pub fn depart_all(&mut self, now: Instant) {
        if let Some(mut lacp) = self.negotiation.take() {
            lacp.depart_all(now);
            self.slow.extend(lacp.payloads(now));
        }
    }

    /// Slow protocol payloads to send, with the member.
    pub fn take_slow(&mut self) -> Vec<(PortIndex, Vec<u8>)> {
        std::mem::take(&mut self.slow)
    }

    /// Takes in what is seen of each member's link, and works out who carries what; what happened.
    pub fn update(&mut self, seen: impl Fn(&Member) -> LinkSeen, now: Instant) -> Vec<Happened> {
        let config = &self.wanted.config;
        let up = Duration::from_millis(config.updelay.into());
        let down = Duration::from_millis(config.downdelay.into());
        let states: Vec<LinkState> = self.members.iter().map(|m| m.state).collect();
        for member in &mut self.members {
            member.seen = seen(member);
            while member.follow(up, down, now) {}
        }
        self.hurry();
        let told = self.judge(now);
        self.negotiate(now);
        let changed = self.members.iter_mut().zip(states);
        let mut happened = Vec::new();
        for (member, before) in changed {
            let other = member.state != before;
            if other {
                happened.push(Happened::Link {
                    member: member.name.clone(),
                    state: member.state,
                });
                self.by_hand = None;
            }
            if other || member.since.is_none() {
                member.since = Some(now);
            }
        }
        for event in told {
            self.take_failure(&event);
            happened.push(event);
        }
        let active = self.choose();
        if let Some(monitor) = &mut self.monitor {
            monitor.settle(active, now);
        }
        if active != self.active {
            let before = std::mem::replace(&mut self.active, active);
            if self.has_active() || self.rewrites() {
                happened.push(Happened::Active {
                    member: active.and_then(|index| self.name_of(index)),
                    before: before.and_then(|index| self.name_of(index)),
                });
            }
        }
        if let Some(lacp) = &mut self.negotiation {
            happened.extend(lacp.happened(&self.members, now));
        }
        let dealt = self.balance(now);
        let before = std::mem::take(&mut self.transmit);
        self.transmit = self.transmit_now(&before, dealt.as_ref());
        if dealt.is_some() {
            happened.extend(self.balanced(&before));
        }
        happened.extend(self.order_moves(&before, now));
        let partner = self.negotiation.as_ref().and_then(Negotiation::partner);
        let partner_before = std::mem::replace(&mut self.partner, partner);
        let shared = self.is_shared();
        let of = |transmit: &Transmit| match transmit {
            Transmit::Hashed(hashed) if shared => Some(hashed.buckets.clone()),
            _ => None,
        };
        let (was, is) = (of(&before), of(&self.transmit));
        // Whose bucket moved has to be heard where it is now.
        self.moved |= self.shares.follow(was.as_ref(), is.as_ref(), now) && is.is_some();
        self.moved |= self.moves(&before, partner_before);
        self.take_stand(now);
        happened
    }

    /// Whether stations are to be announced: a member no longer sends, or the first one does again. An LACP
    /// partner moves them itself from link to link; another partner knows nothing of them.
    fn moves(&self, before: &Transmit, partner_before: Option<SystemId>) -> bool {
        let (was, is) = (before.members(), self.transmit.members());
        if let Transmit::Rewritten(is) = &self.transmit {
            // Everybody is beside the member that takes what comes in.
            return !matches!(before, Transmit::Rewritten(was) if was.active == is.active);
        }
        let lost = || was.iter().any(|member| !is.contains(member));
        let same_partner = self.partner.is_some() && self.partner == partner_before;
        !is.is_empty() && (was.is_empty() || !same_partner && lost())
    }

    /// Whether stations are to be announced, once for each reason.
    pub const fn take_moved(&mut self) -> bool {
        std::mem::replace(&mut self.moved, false)
    }

    /// Lets LACP follow, in the mode that has it.
    fn negotiate(&mut self, now: Instant) {
        let config = &self.wanted.config;
        self.first_mac = self
            .first_mac
            .or_else(|| self.members.iter().find_map(|member| member.seen.mac));
        if config.mode != BondMode::Lacp {
            return self.depart_all(now);
        }
        let said = config.ad_actor_system.or(config.mac);
        let said = said.map(|mac| MacAddr(mac.octets()));
        let Some(system) = said.or(self.first_mac) else {
            return;
        };
        let lacp = self
            .negotiation
            .get_or_insert_with(|| Negotiation::new(config, system));
        lacp.follow(config, system, &self.members, now);
        self.slow.extend(lacp.payloads(now));
    }

    fn name_of(&self, index: PortIndex) -> Option<String> {
        let found = self.members.iter().find(|m| m.index == index);
        found.map(|member| member.name.clone())
    }

    /// Where nobody can be used, the member that has the least to wait is used at once.
    fn hurry(&mut self) {
        if self.members.iter().any(Member::is_usable) {
            return;
        }
        let returning = self.members.iter_mut();
        let first = returning
            .filter(|m| m.state == LinkState::Returning)
            .min_by_key(|m| m.delay.deadline());
        if let Some(member) = first {
            member.enter(LinkState::Up);
        }
    }

    /// The member that is to be active.
    fn choose(&self) -> Option<PortIndex> {
        if self.by_hand.is_some() {
            return self.by_hand;
        }
        let usable = |member: &&Member| member.is_usable();
        let named = |name: &String| self.members.iter().find(|m| m.name == *name);
        let config = &self.wanted.config;
        let primary = config.primary.as_ref().and_then(named);
        let primary = primary.filter(|m| m.state == LinkState::Up && m.is_usable());
        let current = self.members.iter().find(|m| Some(m.index) == self.active);
        let current = current.filter(usable);
        let prio = |member: &Member| config.prio.get(&member.name).copied().unwrap_or(0);
        // Who is preferred where nobody is by name; equals are left as they are.
        let better = self
            .members
            .iter()
            .rev()
            .filter(|m| m.state == LinkState::Up && m.is_usable());
        let better = better
            .max_by_key(|m| prio(m))
            .filter(|m| current.is_none_or(|current| prio(m) > prio(current)));
        let chosen = match (current, primary.or(better)) {
            (Some(current), Some(primary)) => match config.primary_reselect {
                PrimaryReselect::Better if primary.seen.speed_mbps <= current.seen.speed_mbps => {
                    current
                }
                PrimaryReselect::Failure => current,
                PrimaryReselect::Always | PrimaryReselect::Better => primary,
            },
            (Some(current), None) => current,
            (None, Some(primary)) => primary,
            (None, None) => self.members.iter().find(usable)?,
        };
        Some(chosen.index)
    }

    /// Why it carries nothing.
    #[must_use]
    pub fn why_down(&self) -> String {
        let usable = self.members.iter().any(Member::is_usable);
        if self.wanted.config.mode == BondMode::Lacp && usable {
            return match &self.negotiation {
                Some(lacp) => lacp.why_down().unwrap_or_default(),
                None => "no member has an address that LACP could name".to_owned(),
            };
        }
        let links: Vec<String> = self
            .members
            .iter()
            .map(|member| match self.silence(member.index) {
                Some(why) if member.has_link() => format!("{} silent: {why}", member.name),
                _ => format!("{} {}", member.name, member.state),
            })
            .collect();
        format!("no member can be used: {}", links.join(", "))
    }
}

#[cfg(test)]
mod tests;
