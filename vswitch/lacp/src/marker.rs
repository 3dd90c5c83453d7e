//! The Marker responder (IEEE 802.1AX 6.5.4): each question goes back as its answer.
//!
//! Slow protocols send at most ten frames a second; questions beyond that stay without answer, and
//! so a partner cannot make us send without bound (P-10).

#[cfg(test)]
mod tests;

use crate::pdu::{MarkerKind, MarkerPdu};
use alloc::collections::VecDeque;
use vswitch_base::{Duration, Instant};

/// Answers in one second.
const LIMIT: u8 = 10;

/// The responder of one port.
#[derive(Clone, Debug, Default)]
pub struct Marker {
    answers: VecDeque<MarkerPdu>,
    second: Option<Instant>,
    taken: u8,
}

impl Marker {
    /// Takes a Marker PDU; whether it will be answered.
    pub fn handle(&mut self, pdu: &MarkerPdu, now: Instant) -> bool {
        if pdu.kind() == MarkerKind::Response {
            return false;
        }
        let fresh = self
            .second
            .is_none_or(|began| now - began >= Duration::from_secs(1));
        if fresh {
            self.second = Some(now);
            self.taken = 0;
        }
        // The queue is bounded too, for a caller that does not fetch.
        if self.taken >= LIMIT || self.answers.len() >= usize::from(LIMIT) {
            return false;
        }
        self.taken += 1;
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
