//! The Transmit machine (IEEE 802.1AX 6.4.16): at most three LACPDUs in any second.

#[cfg(test)]
mod tests;

use crate::variables::{FAST_PERIODIC_TIME, Variables};
use vswitch_base::Instant;

/// PDUs that may leave in one [`FAST_PERIODIC_TIME`].
const LIMIT: usize = 3;

/// The machine of one port: the times of the last three PDUs, the oldest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Transmit {
    sent: [Option<Instant>; LIMIT],
}

impl Transmit {
    /// From when on a PDU may leave; the past where nothing is in the way.
    #[must_use]
    pub fn permitted_from(&self) -> Instant {
        self.sent[0].map_or(Instant::ZERO, |at| at + FAST_PERIODIC_TIME)
    }

    /// Whether what was sent no longer restricts what may leave.
    #[must_use]
    pub fn is_idle(&self, now: Instant) -> bool {
        self.sent[LIMIT - 1].is_none_or(|at| at + FAST_PERIODIC_TIME <= now)
    }

    /// When to ask again, if there is something to send.
    #[must_use]
    pub fn deadline(&self, vars: &Variables) -> Option<Instant> {
        vars.ntt.then(|| self.permitted_from())
    }

    /// Whether a PDU leaves now; if so it is counted and the need is over. A port that may not speak
    /// has no need.
    pub fn run(&mut self, vars: &mut Variables, now: Instant) -> bool {
        if !vars.port_enabled || !vars.lacp_enabled {
            vars.ntt = false;
        }
        if !vars.ntt || now < self.permitted_from() {
            return false;
        }
        vars.ntt = false;
        self.record(now);
        true
    }

    /// A PDU leaves at `now`.
    pub const fn record(&mut self, now: Instant) {
        self.sent = [self.sent[1], self.sent[2], Some(now)];
    }
}
