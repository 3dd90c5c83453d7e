//! What a bond tells of itself: events, the verdict on its carrier, the status of a member.

use crate::churn::ChurnState;
use crate::generator::Answers;
use crate::info::{ParticipantInfo, PortState};
use crate::mux::MuxState;
use crate::periodic::PeriodicState;
use crate::port::{Counters, LacpPort};
use crate::receive::ReceiveState;
use crate::variables::Selected;
use vswitch_base::{Instant, PortIndex};

/// The side of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Ours.
    Actor,
    /// The partner's.
    Partner,
}

/// Something happened. Events say what is now; the order is the order in which it happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A member begins or ends to take or to send frames, by its mux or as the fallback.
    Member {
        /// Which.
        member: PortIndex,
        /// Frames from the link are taken.
        collecting: bool,
        /// Frames are sent on the link.
        distributing: bool,
    },
    /// The bond uses another aggregator, or none.
    Aggregator(Option<u16>),
    /// A member has another partner: system, key or port differ. All zero is none.
    Partner {
        /// Which.
        member: PortIndex,
        /// The partner.
        partner: ParticipantInfo,
    },
    /// A side has been out of sync for a minute, or is well again.
    Churn {
        /// Which member.
        member: PortIndex,
        /// Which side.
        side: Side,
        /// Out of sync.
        churned: bool,
    },
    /// A member hears this very system: the link leads back. Told once for each time the link is up.
    Loopback {
        /// Which.
        member: PortIndex,
    },
}

/// The last word to the partner of a removed member (P-18, N-19).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Goodbye {
    /// Nothing: the partner finds out by its timeout.
    Silent,
    /// The port is out of sync: the partner stops to send on the link at once.
    #[default]
    OutOfSync,
    /// The port is individual as well, as Linux says it. Some switches then shut their port.
    Individual,
}

impl Goodbye {
    /// The state bits that the last PDU does not have; `None` for no PDU.
    pub(crate) fn clears(self) -> Option<PortState> {
        let closed = PortState::SYNCHRONIZATION | PortState::COLLECTING | PortState::DISTRIBUTING;
        match self {
            Self::Silent => None,
            Self::OutOfSync => Some(closed),
            Self::Individual => Some(closed | PortState::AGGREGATION),
        }
    }
}

/// Whether the bond has carrier, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It works.
    Up {
        /// The aggregator in use.
        aggregator: u16,
        /// Members that send.
        links: usize,
    },
    /// It works without LACP, by one member, since no partner was heard.
    Fallback {
        /// Which.
        member: PortIndex,
    },
    /// Down: fewer members send than `min_links` asks for.
    TooFewLinks {
        /// Members that send.
        links: usize,
        /// Members that are needed.
        needed: usize,
    },
    /// Down: nobody speaks LACP, and strictness or the missing fallback forbid to work without.
    NoPartner,
    /// Down: a partner is awaited or not in sync yet.
    Negotiating,
    /// Down: no member has a link.
    NoLink,
}

impl Verdict {
    /// Whether the bond has carrier.
    #[must_use]
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Up { .. } | Self::Fallback { .. })
    }
}

/// What a member does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemberStatus {
    /// What we say of ourselves.
    pub actor: ParticipantInfo,
    /// What we know of the partner; all zero without one.
    pub partner: ParticipantInfo,
    /// State of the Receive machine.
    pub receive: ReceiveState,
    /// State of the Periodic Transmission machine.
    pub periodic: PeriodicState,
    /// State of the Mux machine.
    pub mux: MuxState,
    /// State of the Actor Churn machine.
    pub actor_churn: ChurnState,
    /// State of the Partner Churn machine.
    pub partner_churn: ChurnState,
    /// What selection decided.
    pub selected: Selected,
    /// Number of the aggregator.
    pub aggregator: Option<u16>,
    /// Takes frames, by the mux or as the fallback.
    pub collecting: bool,
    /// Sends frames, by the mux or as the fallback.
    pub distributing: bool,
    /// Whether the partner answers Markers.
    pub answers: Answers,
    /// A Marker has no answer yet.
    pub asks: bool,
    /// When the mux entered its state.
    pub since: Instant,
    /// When a LACPDU of another system came last, since the member was added.
    pub heard: Option<Instant>,
    /// Counters.
    pub counters: Counters,
}

impl MemberStatus {
    pub(crate) fn new(port: &LacpPort, fallback: bool) -> Self {
        Self {
            actor: port.vars.actor,
            partner: port.vars.partner,
            receive: port.receive.state(),
            periodic: port.periodic.state(),
            mux: port.mux.state(),
            actor_churn: port.actor_churn.state(),
            partner_churn: port.partner_churn.state(),
            selected: port.vars.selected,
            aggregator: port.aggregator,
            collecting: fallback || port.mux.state().collects(),
            distributing: fallback || port.mux.state().distributes(),
            answers: port.generator.answers(),
            asks: port.generator.is_open(),
            since: port.since,
            heard: port.heard,
            counters: port.counters,
        }
    }

    /// Whether our side has been out of sync for a minute.
    #[must_use]
    pub fn actor_churned(&self) -> bool {
        self.actor_churn == ChurnState::Churn
    }

    /// Whether the partner's side has been out of sync for a minute.
    #[must_use]
    pub fn partner_churned(&self) -> bool {
        self.partner_churn == ChurnState::Churn
    }
}
