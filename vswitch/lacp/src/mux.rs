//! The Mux machine (IEEE 802.1AX 6.4.15): attaches the port to its aggregator, and opens it.
//!
//! ```text
//! DETACHED <-> WAITING -(2 s, all ready)-> ATTACHED -> COLLECTING_DISTRIBUTING     coupled
//!     ^                                      |     \-> COLLECTING <-> DISTRIBUTING independent
//!     +--------------------------------------+
//! ```
//! Coupled control opens both directions when the partner is in sync. Independent control opens the
//! receiving direction first and the other when the partner collects, so that no frame is lost (P-07).
//! A change of the kind of control goes on from where the port is.

#[cfg(test)]
mod tests;

use crate::info::PortState;
use crate::variables::{AGGREGATE_WAIT_TIME, Selected, Variables};
use vswitch_base::{Instant, Timer};

/// The states, with the standard's names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MuxState {
    /// In no aggregator.
    #[default]
    Detached,
    /// Waits for other ports of the aggregator, or for its turn as a standby.
    Waiting,
    /// In its aggregator, waits for the partner.
    Attached,
    /// Takes frames.
    Collecting,
    /// Takes and sends frames, by independent control.
    Distributing,
    /// Takes and sends frames, by coupled control.
    CollectingDistributing,
}

impl MuxState {
    /// The standard's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Detached => "DETACHED",
            Self::Waiting => "WAITING",
            Self::Attached => "ATTACHED",
            Self::Collecting => "COLLECTING",
            Self::Distributing => "DISTRIBUTING",
            Self::CollectingDistributing => "COLLECTING_DISTRIBUTING",
        }
    }

    /// Whether frames are taken from the link.
    #[must_use]
    pub const fn collects(self) -> bool {
        match self {
            Self::Detached | Self::Waiting | Self::Attached => false,
            Self::Collecting | Self::Distributing | Self::CollectingDistributing => true,
        }
    }

    /// Whether frames are sent on the link.
    #[must_use]
    pub const fn distributes(self) -> bool {
        match self {
            Self::Detached | Self::Waiting | Self::Attached | Self::Collecting => false,
            Self::Distributing | Self::CollectingDistributing => true,
        }
    }

    /// The state to enter, if any.
    fn next(self, vars: &Variables) -> Option<Self> {
        if vars.begin {
            return (self != Self::Detached).then_some(Self::Detached);
        }
        let selected = vars.selected == Selected::Selected;
        let open = selected && vars.partner.state.contains(PortState::SYNCHRONIZATION);
        let collected = vars.partner.state.contains(PortState::COLLECTING);
        match self {
            Self::Detached => (vars.selected != Selected::Unselected).then_some(Self::Waiting),
            Self::Waiting if vars.selected == Selected::Unselected => Some(Self::Detached),
            Self::Waiting => (selected && vars.ready).then_some(Self::Attached),
            Self::Attached if !selected => Some(Self::Detached),
            Self::Attached if open && vars.coupled => Some(Self::CollectingDistributing),
            Self::Attached => open.then_some(Self::Collecting),
            Self::Collecting if !open => Some(Self::Attached),
            Self::Collecting if vars.coupled => Some(Self::CollectingDistributing),
            Self::Collecting => collected.then_some(Self::Distributing),
            Self::Distributing if !open => Some(Self::Collecting),
            Self::Distributing if vars.coupled => Some(Self::CollectingDistributing),
            Self::Distributing => (!collected).then_some(Self::Collecting),
            Self::CollectingDistributing if !open => Some(Self::Attached),
            Self::CollectingDistributing if vars.coupled => None,
            Self::CollectingDistributing if collected => Some(Self::Distributing),
            Self::CollectingDistributing => Some(Self::Collecting),
        }
    }
}

/// The machine of one port.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mux {
    state: MuxState,
    wait_while: Timer,
}

impl Mux {
    /// The state.
    #[must_use]
    pub const fn state(&self) -> MuxState {
        self.state
    }

    /// When the port has waited for others long enough.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.wait_while.deadline()
    }

    /// One step; whether a state was entered or the wait ended.
    pub fn run(&mut self, vars: &mut Variables, now: Instant) -> bool {
        let waited = self.wait_while.poll_expiration(now);
        if waited {
            vars.ready_n = true;
        }
        let Some(next) = self.state.next(vars) else {
            return waited;
        };
        self.enter(next, vars, now);
        true
    }

    pub(crate) fn enter(&mut self, state: MuxState, vars: &mut Variables, now: Instant) {
        self.state = state;
        self.wait_while.cancel();
        vars.ready_n = false;
        // Readiness was that of the wait that ends here.
        vars.ready = false;
        let before = vars.actor.state;
        let attached = !matches!(state, MuxState::Detached | MuxState::Waiting);
        vars.set_actor(PortState::SYNCHRONIZATION, attached);
        vars.set_actor(PortState::COLLECTING, state.collects());
        vars.set_actor(PortState::DISTRIBUTING, state.distributes());
        if vars.actor.state != before {
            vars.ntt = true;
        }
        if state == MuxState::Waiting {
            self.wait_while.set(now + AGGREGATE_WAIT_TIME);
        }
    }
}
