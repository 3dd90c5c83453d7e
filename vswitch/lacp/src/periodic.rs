//! The Periodic Transmission machine (IEEE 802.1AX 6.4.13): asks for a PDU every second or every 30.
//!
//! The rate is the partner's wish, in its Timeout bit. Ours only says how often we want to hear.

#[cfg(test)]
mod tests;

use crate::info::PortState;
use crate::variables::{FAST_PERIODIC_TIME, SLOW_PERIODIC_TIME, Variables};
use vswitch_base::{Instant, Timer};

/// The states, with the standard's names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PeriodicState {
    /// Nothing is sent without need.
    #[default]
    NoPeriodic,
    /// One second to the next PDU.
    FastPeriodic,
    /// Thirty seconds to the next PDU.
    SlowPeriodic,
    /// A PDU is due.
    PeriodicTx,
}

impl PeriodicState {
    /// The standard's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoPeriodic => "NO_PERIODIC",
            Self::FastPeriodic => "FAST_PERIODIC",
            Self::SlowPeriodic => "SLOW_PERIODIC",
            Self::PeriodicTx => "PERIODIC_TX",
        }
    }

    /// The state to enter, if any.
    fn next(self, vars: &Variables, expired: bool) -> Option<Self> {
        let active = PortState::ACTIVITY;
        let passive = !vars.actor.state.contains(active) && !vars.partner.state.contains(active);
        let short = vars.partner.state.contains(PortState::TIMEOUT);
        if vars.begin || !vars.lacp_enabled || !vars.port_enabled || passive {
            return (self != Self::NoPeriodic).then_some(Self::NoPeriodic);
        }
        match self {
            Self::NoPeriodic => Some(Self::FastPeriodic),
            Self::FastPeriodic if expired => Some(Self::PeriodicTx),
            Self::FastPeriodic => (!short).then_some(Self::SlowPeriodic),
            Self::SlowPeriodic => (short || expired).then_some(Self::PeriodicTx),
            Self::PeriodicTx if short => Some(Self::FastPeriodic),
            Self::PeriodicTx => Some(Self::SlowPeriodic),
        }
    }
}

/// The machine of one port.
#[derive(Clone, Copy, Debug, Default)]
pub struct Periodic {
    state: PeriodicState,
    timer: Timer,
}

impl Periodic {
    /// The state.
    #[must_use]
    pub const fn state(&self) -> PeriodicState {
        self.state
    }

    /// When the next PDU is due.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.timer.deadline()
    }

    /// One step; whether a state was entered.
    pub fn run(&mut self, vars: &mut Variables, now: Instant) -> bool {
        let expired = self.timer.poll_expiration(now);
        let Some(next) = self.state.next(vars, expired) else {
            return false;
        };
        self.enter(next, vars, now);
        true
    }

    pub(crate) fn enter(&mut self, state: PeriodicState, vars: &mut Variables, now: Instant) {
        self.state = state;
        match state {
            PeriodicState::NoPeriodic => self.timer.cancel(),
            PeriodicState::FastPeriodic => self.timer.set(now + FAST_PERIODIC_TIME),
            PeriodicState::SlowPeriodic => self.timer.set(now + SLOW_PERIODIC_TIME),
            PeriodicState::PeriodicTx => {
                self.timer.cancel();
                vars.ntt = true;
            }
        }
    }
}
