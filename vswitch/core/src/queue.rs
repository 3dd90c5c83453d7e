//! A receive queue as it is handed from the control side to a worker and on to another, and what it costs.
//!
//! An [`RxQueue`] is owned by one worker at a time; with it goes everything that must not be lost when it
//! changes hands. Its [`QueueLoad`] has one writer, the worker that owns the queue: it travels through a
//! mailbox with the queue, which puts what one worker wrote before what the next one reads. The control
//! side reads it at any time, by a [`Gauge`].

use crate::counters::Counter;
use crate::port::PortRx;
use crate::punt::PuntBudget;
use crate::sync::Arc;
use vswitch_base::{Duration, PortIndex};

/// Which queue of which port.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct QueueId {
    /// The port.
    pub port: PortIndex,
    /// The queue's number among the port's, from 0.
    pub number: u16,
}

/// What a queue has cost the workers that served it. One writer.
#[derive(Debug, Default)]
pub struct QueueLoad {
    /// Frames received.
    pub frames: Counter,
    /// Nanoseconds of breaths that found frames, this queue's share of each. A breath without frames is
    /// no load: a worker that only looks about has room.
    pub busy_ns: Counter,
}

/// A frame costs about as much as copying this many bytes: how the time of a breath is divided between
/// several queues that had frames in it.
const FRAME_WEIGHT: u64 = 4_096;

/// One receive queue of a port, with what belongs to it.
#[derive(Debug)]
pub struct RxQueue {
    /// Which one.
    pub id: QueueId,
    pub(crate) rx: Box<dyn PortRx>,
    load: Arc<QueueLoad>,
    /// It gave an error and is not polled again: the control side replaces it.
    pub(crate) failed: bool,
    /// What it may hand over to the control side.
    pub(crate) punts: PuntBudget,
    /// Breaths with frames since its worker's last rest.
    pub(crate) lively: u32,
    /// Its part of the breath that is not charged yet.
    weight: u64,
}

impl RxQueue {
    /// A queue that no worker has served yet.
    #[must_use]
    pub fn new(id: QueueId, rx: Box<dyn PortRx>) -> Self {
        Self {
            id,
            rx,
            load: Arc::default(),
            failed: false,
            punts: PuntBudget::default(),
            lively: 0,
            weight: 0,
        }
    }

    /// What it costs, to be read from anywhere.
    #[must_use]
    pub const fn load(&self) -> &Arc<QueueLoad> {
        &self.load
    }

    /// Notes what came in this breath and returns its weight.
    pub(crate) fn weigh(&mut self, frames: usize, bytes: u64) -> u64 {
        self.load.frames.add(frames as u64);
        self.weight = (frames as u64 * FRAME_WEIGHT).saturating_add(bytes);
        self.weight
    }

    /// Charges its share of a breath that took `ns` for queues that together weigh `all`, above 0.
    pub(crate) fn charge(&mut self, ns: u64, all: u64) {
        let weight = std::mem::take(&mut self.weight);
        if weight == all {
            self.load.busy_ns.add(ns);
        } else if weight > 0 {
            self.load.busy_ns.add(ns.saturating_mul(weight) / all);
        }
    }
}

/// What part of the time a queue kept its worker busy, in thousandths, by one interval after the other.
#[derive(Debug)]
pub struct Gauge {
    load: Arc<QueueLoad>,
    /// What was read at the last interval's end.
    read_ns: u64,
    share: Option<u16>,
}

impl Gauge {
    /// A gauge of a queue's load that has seen no interval.
    #[must_use]
    pub const fn new(load: Arc<QueueLoad>) -> Self {
        Self {
            load,
            read_ns: 0,
            share: None,
        }
    }

    /// What it measures.
    #[must_use]
    pub fn load(&self) -> &QueueLoad {
        &self.load
    }

    /// Ends an interval of that length, above zero. Returns its share and that of the interval before,
    /// if there was one: 0 to 1,000.
    pub fn read(&mut self, interval: Duration) -> (u16, Option<u16>) {
        let total = self.load.busy_ns.read();
        let busy = total.saturating_sub(self.read_ns);
        self.read_ns = total;
        let share = u128::from(busy) * 1_000 / u128::from(interval.as_nanos().max(1));
        let share = u16::try_from(share.min(1_000)).unwrap_or(1_000);
        (share, self.share.replace(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::MemPort;

    fn queue() -> RxQueue {
        let port = PortIndex(1);
        RxQueue::new(
            QueueId { port, number: 0 },
            MemPort::new(Default::default()).rx(),
        )
    }

    #[test]
    fn a_breath_is_divided_by_frames_and_bytes() {
        for (of_first, of_second, expected) in [
            ((64, 64 * 60), (0, 0), (1_000, 0)),
            ((8, 0), (8, 0), (500, 500)),
            ((3, 0), (1, 0), (750, 250)),
            // One frame of 64 KB costs like sixteen more.
            ((1, 15 * 4_096), (16, 0), (500, 500)),
        ] {
            let (mut first, mut second) = (queue(), queue());
            let all = first.weigh(of_first.0, of_first.1) + second.weigh(of_second.0, of_second.1);
            first.charge(1_000, all);
            second.charge(1_000, all);
            let charged = (first.load.busy_ns.read(), second.load.busy_ns.read());
            assert_eq!(charged, expected, "{of_first:?} {of_second:?}");
            assert_eq!(first.load.frames.read(), of_first.0 as u64);
            // Nothing is charged twice.
            second.weigh(1, 0);
            first.charge(1_000, FRAME_WEIGHT);
            assert_eq!(first.load.busy_ns.read(), expected.0);
        }
    }

    #[test]
    fn a_gauge_tells_this_interval_and_the_one_before() {
        let queue = queue();
        let mut gauge = Gauge::new(Arc::clone(queue.load()));
        let second = Duration::from_secs(1);
        let busy = |ms: u64| queue.load.busy_ns.add(ms * 1_000_000);
        busy(250);
        assert_eq!(gauge.read(second), (250, None));
        busy(999);
        assert_eq!(gauge.read(second), (999, Some(250)));
        assert_eq!(gauge.read(second), (0, Some(999)));
        // A breath that began before the interval did.
        busy(1_500);
        assert_eq!(gauge.read(second), (1_000, Some(0)));
        assert_eq!(gauge.read(Duration::ZERO), (0, Some(1_000)));
    }
}
