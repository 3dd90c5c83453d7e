//! The Receive machine (IEEE 802.1AX 6.4.12): what is known of the partner, and for how long.
//!
//! ```text
//! BEGIN -> INITIALIZE -> PORT_DISABLED -(up)-> EXPIRED -(3 s)-> DEFAULTED
//!                              |                  | ^               |
//!                              +-(half duplex)    | +-(timer)-+     |
//!                              v                  +-(PDU)-> CURRENT <-(PDU)
//!                        LACP_DISABLED
//! ```
//! A link that goes down leads to PORT_DISABLED from everywhere.

#[cfg(test)]
mod tests;

use crate::info::{ParticipantInfo, PortState};
use crate::pdu::Lacpdu;
use crate::variables::{LONG_TIMEOUT_TIME, SHORT_TIMEOUT_TIME, Selected, Variables};
use vswitch_base::{Instant, Timer};

/// The states, with the standard's names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReceiveState {
    /// Forgets everything.
    #[default]
    Initialize,
    /// The link is down.
    PortDisabled,
    /// The partner is late; it has three seconds.
    Expired,
    /// The link is half duplex.
    LacpDisabled,
    /// No partner: works with the administrator's.
    Defaulted,
    /// The partner was heard in time.
    Current,
}

impl ReceiveState {
    /// The standard's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initialize => "INITIALIZE",
            Self::PortDisabled => "PORT_DISABLED",
            Self::Expired => "EXPIRED",
            Self::LacpDisabled => "LACP_DISABLED",
            Self::Defaulted => "DEFAULTED",
            Self::Current => "CURRENT",
        }
    }

    /// The state to enter, if any; CURRENT is entered again with every PDU.
    fn next(self, vars: &Variables, pdu: bool, expired: bool) -> Option<Self> {
        if vars.begin {
            return Some(Self::Initialize);
        }
        if !vars.port_enabled {
            return match self {
                Self::PortDisabled if vars.port_moved => Some(Self::Initialize),
                Self::PortDisabled => None,
                Self::Initialize
                | Self::Expired
                | Self::LacpDisabled
                | Self::Defaulted
                | Self::Current => Some(Self::PortDisabled),
            };
        }
        match self {
            Self::Initialize => Some(Self::PortDisabled),
            Self::PortDisabled if vars.lacp_enabled => Some(Self::Expired),
            Self::PortDisabled => Some(Self::LacpDisabled),
            Self::LacpDisabled if vars.lacp_enabled => Some(Self::PortDisabled),
            Self::LacpDisabled => None,
            Self::Expired | Self::Defaulted | Self::Current if !vars.lacp_enabled => {
                Some(Self::LacpDisabled)
            }
            Self::Expired | Self::Defaulted | Self::Current if pdu => Some(Self::Current),
            Self::Expired if expired => Some(Self::Defaulted),
            Self::Current if expired => Some(Self::Expired),
            Self::Expired | Self::Defaulted | Self::Current => None,
        }
    }
}

/// The machine of one port.
#[derive(Clone, Copy, Debug, Default)]
pub struct Receive {
    state: ReceiveState,
    current_while: Timer,
    /// In CURRENT: the timer is of the short timeout.
    short: bool,
}

impl Receive {
    /// The state.
    #[must_use]
    pub const fn state(&self) -> ReceiveState {
        self.state
    }

    /// When the partner is late.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.current_while.deadline()
    }

    /// One step; whether a state was entered. Takes the PDU when it made a difference; a PDU that
    /// stays has met a port that does not listen.
    pub fn run(&mut self, vars: &mut Variables, pdu: &mut Option<Lacpdu>, now: Instant) -> bool {
        let short = vars.actor.state.contains(PortState::TIMEOUT);
        if self.state == ReceiveState::Current && self.short && !short {
            // The partner is told of the long timeout, and then sends nothing for longer than the short one:
            // the standard lets the old timer run, which takes a good link out of service.
            self.short = false;
            self.current_while.set(now + LONG_TIMEOUT_TIME);
        }
        let expired = self.current_while.poll_expiration(now);
        let Some(next) = self.state.next(vars, pdu.is_some(), expired) else {
            return false;
        };
        let heard = if next == ReceiveState::Current {
            pdu.take()
        } else {
            None
        };
        self.enter(next, vars, heard.as_ref(), now);
        true
    }

    pub(crate) fn enter(
        &mut self,
        state: ReceiveState,
        vars: &mut Variables,
        pdu: Option<&Lacpdu>,
        now: Instant,
    ) {
        self.state = state;
        self.current_while.cancel();
        let expired = state == ReceiveState::Expired;
        vars.set_actor(PortState::EXPIRED, expired);
        match state {
            ReceiveState::Initialize => {
                vars.selected = Selected::Unselected;
                record_default(vars);
                vars.port_moved = false;
            }
            ReceiveState::PortDisabled => vars.set_partner(PortState::SYNCHRONIZATION, false),
            ReceiveState::Expired => {
                vars.set_partner(PortState::SYNCHRONIZATION, false);
                vars.set_partner(PortState::TIMEOUT, true);
                self.current_while.set(now + SHORT_TIMEOUT_TIME);
                // The partner may be there and only not hear us: say at once that we do not hear it.
                vars.ntt = true;
            }
            ReceiveState::LacpDisabled => {
                vars.selected = Selected::Unselected;
                record_default(vars);
                vars.set_partner(PortState::AGGREGATION, false);
            }
            ReceiveState::Defaulted => {
                if !same_partner(&vars.partner, &vars.partner_admin) {
                    vars.selected = Selected::Unselected;
                }
                record_default(vars);
            }
            ReceiveState::Current => {
                if let Some(pdu) = pdu {
                    record_pdu(vars, pdu);
                }
                self.short = vars.actor.state.contains(PortState::TIMEOUT);
                let time = if self.short {
                    SHORT_TIMEOUT_TIME
                } else {
                    LONG_TIMEOUT_TIME
                };
                self.current_while.set(now + time);
            }
        }
    }
}

/// Whether both are one partner in one aggregation.
fn same_partner(a: &ParticipantInfo, b: &ParticipantInfo) -> bool {
    same(a, b, PortState::AGGREGATION)
}

/// Whether identity and those bits of the state agree.
fn same(a: &ParticipantInfo, b: &ParticipantInfo, bits: PortState) -> bool {
    (a.system, a.key, a.port, a.state.0 & bits.0) == (b.system, b.key, b.port, b.state.0 & bits.0)
}

fn record_default(vars: &mut Variables) {
    vars.partner = vars.partner_admin;
    vars.set_actor(PortState::DEFAULTED, true);
}

/// update_Selected, update_NTT and recordPDU of the standard, in this order.
fn record_pdu(vars: &mut Variables, pdu: &Lacpdu) {
    if !same_partner(&pdu.actor, &vars.partner) {
        vars.selected = Selected::Unselected;
    }
    let told = PortState::ACTIVITY
        | PortState::TIMEOUT
        | PortState::SYNCHRONIZATION
        | PortState::AGGREGATION;
    if !same(&pdu.partner, &vars.actor, told) {
        vars.ntt = true;
    }
    let theirs = pdu.actor.state;
    let matched =
        same_partner(&pdu.partner, &vars.actor) || !theirs.contains(PortState::AGGREGATION);
    // Somebody has to keep the link alive: one side sends without being asked.
    let maintained = theirs.contains(PortState::ACTIVITY)
        || (vars.actor.state.contains(PortState::ACTIVITY)
            && pdu.partner.state.contains(PortState::ACTIVITY));
    vars.partner = pdu.actor;
    let sync = theirs.contains(PortState::SYNCHRONIZATION) && matched && maintained;
    vars.set_partner(PortState::SYNCHRONIZATION, sync);
    vars.set_actor(PortState::DEFAULTED, false);
}
