//! The Marker responder (IEEE 802.1AX 6.5.4): each question goes back as its answer.
//!
//! Slow protocols send at most ten frames a second; questions beyond that stay without answer, and
//! so a partner cannot make us send without bound (P-10).

#[cfg(test)]
mod tests;

use crate::pace::{LIMIT, Pace};
use crate::pdu::{MarkerKind, MarkerPdu};
use alloc::collections::VecDeque;
use vswitch_base::Instant;

/// The responder of one port.
#[derive(Clone, Debug, Default)]
pub struct Marker {
    answers: VecDeque<MarkerPdu>,
    pace: Pace,
}

impl Marker {
    /// Takes a Marker PDU; whether it will be answered.
    pub fn handle(&mut self, pdu: &MarkerPdu, now: Instant) -> bool {
        if pdu.kind() == MarkerKind::Response {
            return false;
        }
        // The queue is bounded too, for a caller that does not fetch.
        if self.answers.len() >= usize::from(LIMIT) || !self.pace.take(now) {
            return false;
        }
        self.answers.push_back(pdu.response());
        true
    }

    /// The next answer to send.
    pub fn poll(&mut self) -> Option<MarkerPdu> {
        self.answers.pop_front()
    }

    /// Whether an answer waits.
    #[must_use]
    pub fn pending(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Forgets what waits: the link is gone.
    pub fn clear(&mut self) {
        self.answers.clear();
    }
}
