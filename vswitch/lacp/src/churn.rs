//! Churn detection (IEEE 802.1AX 6.4.17): a side that is not in sync for a minute has a problem that
//! an operator has to solve. A port has two of these, for the actor and for the partner.

#[cfg(test)]
mod tests;

use crate::variables::CHURN_DETECTION_TIME;
use vswitch_base::{Instant, Timer};

/// The states, with the standard's names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ChurnState {
    /// Out of sync for less than a minute.
    #[default]
    Monitor,
    /// In sync.
    NoChurn,
    /// Out of sync for a minute or more.
    Churn,
}

impl ChurnState {
    /// The standard's name, without the side.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monitor => "CHURN_MONITOR",
            Self::NoChurn => "NO_CHURN",
            Self::Churn => "CHURN",
        }
    }

    /// The state to enter, if any. `restart` holds at BEGIN and while the port is disabled.
    fn next(self, restart: bool, sync: bool, expired: bool) -> Option<Self> {
        if restart {
            return (self != Self::Monitor).then_some(Self::Monitor);
        }
        match self {
            Self::Monitor if sync => Some(Self::NoChurn),
            Self::Monitor => expired.then_some(Self::Churn),
            Self::NoChurn => (!sync).then_some(Self::Monitor),
            Self::Churn => sync.then_some(Self::NoChurn),
        }
    }
}

/// The machine of one side of a port.
#[derive(Clone, Copy, Debug, Default)]
pub struct Churn {
    state: ChurnState,
    timer: Timer,
}

impl Churn {
    /// The state.
    #[must_use]
    pub const fn state(&self) -> ChurnState {
        self.state
    }

    /// When the side has been out of sync for too long.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.timer.deadline()
    }

    /// One step; whether a state was entered. A disabled port has no churn and no timer.
    pub fn run(&mut self, restart: bool, sync: bool, now: Instant) -> bool {
        let expired = self.timer.poll_expiration(now);
        let next = self.state.next(restart, sync, expired);
        self.state = next.unwrap_or(self.state);
        if restart || self.state != ChurnState::Monitor {
            self.timer.cancel();
        } else if self.timer.deadline().is_none() {
            self.timer.set(now + CHURN_DETECTION_TIME);
        }
        next.is_some()
    }
}
