//! Frames for the control side: a bounded queue, copied into, never waited for.
//!
//! Control frames (LACP, spanning tree) are short and rare. A worker copies up to [`PUNT_BYTES`] of one
//! into a slot; when the queue is full the frame is dropped and counted, so that a flood of them costs
//! its sender and nobody else. Before that each receive queue has a [`PuntBudget`]: who floods one link with
//! them takes neither room in the queue nor the control side's time from the LACP of another.

#[cfg(all(test, shuttle))]
mod schedule;

use crate::sync::{Bounded, mutant};
use crate::verdict::PuntReason;
use arrayvec::ArrayVec;
use vswitch_base::{Duration, Instant, PortIndex, Vid};

/// Bytes kept of a punted frame: a LACPDU is 124, the largest spanning tree frame fits too.
pub const PUNT_BYTES: usize = 512;
/// Frames waiting at most.
pub const PUNTS_MAX: usize = 256;

/// Frames that a receive queue may hand over at once, and then in a second. What is well behaved needs far
/// less: three LACPDUs, five Markers, a spanning tree frame each second.
pub const BURST: u32 = 64;
/// See [`BURST`].
pub const PER_SECOND: u32 = 64;

/// What a receive queue may still hand over.
#[derive(Clone, Copy, Debug)]
pub struct PuntBudget {
    left: u32,
    /// Up to when what is left was worked out.
    at: Instant,
}

impl Default for PuntBudget {
    fn default() -> Self {
        Self {
            left: BURST,
            at: Instant::ZERO,
        }
    }
}

impl PuntBudget {
    /// Takes one, if one is left.
    pub fn take(&mut self, now: Instant) -> bool {
        let one = Duration::from_secs(1).as_nanos() / u64::from(PER_SECOND);
        let grown = now.saturating_since(self.at).as_nanos() / one;
        if grown > 0 {
            let grown = u32::try_from(grown).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(grown).min(BURST);
            // What was not enough for one more counts next time, but where there was room for all.
            self.at = if self.left == BURST {
                now
            } else {
                self.at + Duration::from_nanos(one * u64::from(grown))
            };
        }
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}

/// A frame handed over.
#[derive(Clone, Debug)]
pub struct Punt {
    /// The port it came in by: the member, not the bond.
    pub port: PortIndex,
    /// Why.
    pub reason: PuntReason,
    /// When.
    pub at: Instant,
    /// The VLAN that it was taken for, where that is asked for.
    pub vid: Option<Vid>,
    /// The first [`PUNT_BYTES`] bytes.
    pub bytes: ArrayVec<u8, PUNT_BYTES>,
}

/// The queue from all workers to the control thread.
#[derive(Debug)]
pub struct PuntQueue(Bounded<Punt>);

impl Default for PuntQueue {
    fn default() -> Self {
        Self(Bounded::new(PUNTS_MAX))
    }
}

impl PuntQueue {
    /// Hands a frame over; whether there was room.
    pub fn offer(&self, port: PortIndex, reason: PuntReason, at: Instant, frame: &[u8]) -> bool {
        self.offer_parts(port, reason, at, None, [frame, &[]])
    }

    /// As [`Self::offer`], of a frame in two parts.
    pub fn offer_parts(
        &self,
        port: PortIndex,
        reason: PuntReason,
        at: Instant,
        vid: Option<Vid>,
        parts: [&[u8]; 2],
    ) -> bool {
        // Only spares the copy: other workers offer too, so what counts is what `push` says.
        if self.0.is_full() && !mutant("overwrite_the_oldest") {
            return false;
        }
        let mut bytes = ArrayVec::<u8, PUNT_BYTES>::new();
        for part in parts {
            let room = bytes.remaining_capacity().min(part.len());
            if bytes.try_extend_from_slice(&part[..room]).is_err() {
                return false;
            }
        }
        let punt = Punt {
            port,
            reason,
            at,
            vid,
            bytes,
        };
        if mutant("overwrite_the_oldest") {
            self.0.force_push(punt);
            return true;
        }
        self.0.push(punt).is_ok() || mutant("trust_the_first_look")
    }

    /// Whether a copy of a frame that goes on its way may be offered: what ends here (LACP) finds half of the room
    /// whatever stations say.
    pub(crate) fn has_room_for_copies(&self) -> bool {
        self.0.len() < PUNTS_MAX / 2
    }

    /// The oldest frame waiting.
    pub fn take(&self) -> Option<Punt> {
        self.0.pop()
    }

    /// Whether none is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flood has its burst and then its pace; who was quiet has the burst again.
    #[test]
    fn a_budget_is_a_burst_and_a_pace() {
        let mut budget = PuntBudget::default();
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        let mut passed = |ms, tries: u32| (0..tries).filter(|_| budget.take(at(ms))).count();
        assert_eq!(passed(5_000, 1000), 64);
        assert_eq!(passed(5_001, 1000), 0);
        let second: usize = (0..1000).map(|ms| passed(5_001 + ms, 10)).sum();
        assert_eq!(second, 64);
        assert_eq!(
            passed(6_500, 1000),
            32,
            "half a second more, and what was left over"
        );
        assert_eq!(passed(60_000, 1000), 64);
    }
}
