//! Frames for the control side: a bounded queue, copied into, never waited for.
//!
//! Control frames (LACP, spanning tree) are short and rare. A worker copies up to [`PUNT_BYTES`] of one
//! into a slot; when the queue is full the frame is dropped and counted, so that a flood of them costs
//! its sender and nobody else.

use crate::verdict::PuntReason;
use arrayvec::ArrayVec;
use crossbeam::queue::ArrayQueue;
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
pub struct PuntQueue(ArrayQueue<Punt>);

impl Default for PuntQueue {
    fn default() -> Self {
        Self(ArrayQueue::new(PUNTS_MAX))
    }
}

impl PuntQueue {
    /// Hands a frame over; whether there was room.
    pub fn offer(&self, port: PortIndex, reason: PuntReason, at: Instant, frame: &[u8]) -> bool {
        if self.0.is_full() {
            return false;
        }
        let mut bytes = ArrayVec::new();
        let kept = &frame[..frame.len().min(PUNT_BYTES)];
        bytes.try_extend_from_slice(kept).is_ok()
            && self
                .0
                .push(Punt {
                    port,
                    reason,
                    at,
                    bytes,
                })
                .is_ok()
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
