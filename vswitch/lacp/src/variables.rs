//! The variables that the machines of one port share (IEEE 802.1AX 6.4.4 to 6.4.8).
//!
//! Machines never call each other. Each reads and writes these, and [`crate::port`] runs them until
//! none moves. Invariant: `actor.state` is written by the machine that owns the bit, see the fields.

use crate::info::{ParticipantInfo, PortState};
use vswitch_base::Duration;

/// Between periodic PDUs when the partner asked for the short timeout.
pub const FAST_PERIODIC_TIME: Duration = Duration::from_secs(1);
/// Between periodic PDUs when the partner asked for the long timeout.
pub const SLOW_PERIODIC_TIME: Duration = Duration::from_secs(30);
/// A partner is late after this when we asked for the short timeout.
pub const SHORT_TIMEOUT_TIME: Duration = Duration::from_secs(3);
/// A partner is late after this when we asked for the long timeout.
pub const LONG_TIMEOUT_TIME: Duration = Duration::from_secs(90);
/// Out of sync for so long is churn.
pub const CHURN_DETECTION_TIME: Duration = Duration::from_secs(60);
/// Waits for more ports of an aggregator, so that they come up together.
pub const AGGREGATE_WAIT_TIME: Duration = Duration::from_secs(2);

/// What selection decided for a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Selected {
    /// No aggregator, or another than before: the mux has to let go first.
    #[default]
    Unselected,
    /// The port may carry traffic in its aggregator.
    Selected,
    /// The port has an aggregator but must not carry traffic: others have priority.
    Standby,
}

/// Shared variables of one port, with the standard's names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Variables {
    /// What we say of ourselves. The receive machine owns DEFAULTED and EXPIRED, the mux machine
    /// SYNCHRONIZATION, COLLECTING and DISTRIBUTING, the configuration the rest.
    pub actor: ParticipantInfo,
    /// What we know of the partner.
    pub partner: ParticipantInfo,
    /// What is assumed of a partner that was not heard.
    pub partner_admin: ParticipantInfo,
    /// All machines start again; true for one round.
    pub begin: bool,
    /// The link is up and the member is enabled.
    pub port_enabled: bool,
    /// The link is full duplex, which LACP needs.
    pub lacp_enabled: bool,
    /// The partner of this port, whose link is down, was heard on another port.
    pub port_moved: bool,
    /// Written by selection; the receive machine may only withdraw it.
    pub selected: Selected,
    /// The port waited long enough for others; written by the mux machine.
    pub ready_n: bool,
    /// All ports that wait for the aggregator are ready; written by selection.
    pub ready: bool,
    /// Need to transmit: something that the partner should know has changed.
    pub ntt: bool,
    /// Collecting and distributing go together.
    pub coupled: bool,
}

impl Variables {
    /// Sets or clears bits of the actor's state; whether that changed something.
    pub const fn set_actor(&mut self, bits: PortState, on: bool) -> bool {
        set(&mut self.actor.state, bits, on)
    }

    /// Sets or clears bits of the partner's state.
    pub const fn set_partner(&mut self, bits: PortState, on: bool) {
        set(&mut self.partner.state, bits, on);
    }
}

/// Sets or clears bits; whether that changed something.
const fn set(state: &mut PortState, bits: PortState, on: bool) -> bool {
    let before = state.0;
    state.0 = if on {
        before | bits.0
    } else {
        before & !bits.0
    };
    state.0 != before
}
