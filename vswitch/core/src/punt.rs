//! Frames for the control side: a bounded queue, copied into, never waited for.
//!
//! Control frames (LACP, spanning tree) are short and rare. A worker copies up to [`PUNT_BYTES`] of one
//! into a slot; when the queue is full the frame is dropped and counted, so that a flood of them costs
//! its sender and nobody else.

#[cfg(all(test, shuttle))]
mod schedule;

use crate::sync::{Bounded, mutant};
use crate::verdict::PuntReason;
use arrayvec::ArrayVec;
use vswitch_base::{Instant, PortIndex};

/// Bytes kept of a punted frame: a LACPDU is 124, the largest spanning tree frame fits too.
pub const PUNT_BYTES: usize = 512;
/// Frames waiting at most.
pub const PUNTS_MAX: usize = 256;

/// A frame handed over.
#[derive(Clone, Debug)]
pub struct Punt {
    /// The port it came in by: the member, not the bond.
    pub port: PortIndex,
    /// Why.
    pub reason: PuntReason,
    /// When.
    pub at: Instant,
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
        // Only spares the copy: other workers offer too, so what counts is what `push` says.
        if self.0.is_full() && !mutant("overwrite_the_oldest") {
            return false;
        }
        let mut bytes = ArrayVec::new();
        if bytes
            .try_extend_from_slice(&frame[..frame.len().min(PUNT_BYTES)])
            .is_err()
        {
            return false;
        }
        let punt = Punt {
            port,
            reason,
            at,
            bytes,
        };
        if mutant("overwrite_the_oldest") {
            self.0.force_push(punt);
            return true;
        }
        self.0.push(punt).is_ok() || mutant("trust_the_first_look")
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
