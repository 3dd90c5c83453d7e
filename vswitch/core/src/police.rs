//! How much may pass: a bucket of bits that fills at a rate.
//!
//! A frame passes when its bits are in the bucket, and takes them out; else it is dropped, and takes none. So
//! in any span of time no more passes than the burst and what the rate gave in it. Bits are those of the bytes from the
//! destination address to the end of the payload, tags included, without FCS; a frame that stands for segments
//! has the bits of all its bytes.
//!
//! The workers share the bucket of a port and wait for nobody: whoever moves its time on, and no other,
//! puts in what that span has earned. The bucket belongs to the port as long as its device is open, the
//! [`Limit`] to a snapshot: a new rate finds the level as it is.

#[cfg(all(test, shuttle))]
mod schedule;

use crate::sync::{Arc, AtomicU64, Ordering, mutant};
use vswitch_base::Instant;

/// The unit of a bucket is a billionth of a bit: a bit a second for a nanosecond is one, and nothing is rounded.
const PER_BIT: u64 = 1_000_000_000;

/// A rate and a burst.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// Bits in a second.
    pub rate: u64,
    /// Bits at once, at most [`Limit::BURST_MAX`].
    pub burst: u64,
}

impl Limit {
    /// The largest bucket.
    pub const BURST_MAX: u64 = u64::MAX / PER_BIT;

    const fn most(self) -> u64 {
        self.burst.saturating_mul(PER_BIT)
    }
}

/// The bits that may pass now, whatever the limit.
#[derive(Debug)]
pub struct Bucket {
    level: AtomicU64,
    /// Up to when the level was worked out, in nanoseconds.
    at: AtomicU64,
}

impl Default for Bucket {
    /// A full one.
    fn default() -> Self {
        Self {
            level: AtomicU64::new(u64::MAX),
            at: AtomicU64::new(0),
        }
    }
}

impl Bucket {
    /// Puts in what `limit` has earned up to `now`. Called as well before another limit counts.
    pub fn settle(&self, limit: Limit, now: Instant) {
        // Relaxed: the level is one word, and a span belongs to whoever exchanged its end.
        let (at, now) = (self.at.load(Ordering::Relaxed), now.as_nanos());
        if now <= at {
            return;
        }
        let ours = self
            .at
            .compare_exchange(at, now, Ordering::Relaxed, Ordering::Relaxed);
        if ours.is_ok() || mutant("earn_twice") {
            let earned = limit.rate.saturating_mul(now - at);
            self.change(|level| Some(level.saturating_add(earned).min(limit.most())));
        }
    }

    /// Takes the bits of so many bytes out, if they are there.
    pub(crate) fn take(&self, bytes: usize, limit: Limit, now: Instant) -> bool {
        self.settle(limit, now);
        let need = bits(bytes).saturating_mul(PER_BIT);
        self.change(|level| level.min(limit.most()).checked_sub(need))
    }

    /// Whether [`Self::take`] would.
    pub(crate) fn has(&self, bytes: usize, limit: Limit, now: Instant) -> bool {
        let since = now
            .as_nanos()
            .saturating_sub(self.at.load(Ordering::Relaxed));
        let earned = limit.rate.saturating_mul(since);
        let level = self.level.load(Ordering::Relaxed).saturating_add(earned);
        level.min(limit.most()) >= bits(bytes).saturating_mul(PER_BIT)
    }

    fn change(&self, to: impl Fn(u64) -> Option<u64>) -> bool {
        let mut level = self.level.load(Ordering::Relaxed);
        while let Some(next) = to(level) {
            match self
                .level
                .compare_exchange(level, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(changed) => level = changed,
            }
        }
        false
    }
}

const fn bits(bytes: usize) -> u64 {
    bytes as u64 * 8
}

/// A limit, and the bucket that it fills.
#[derive(Clone, Debug)]
pub struct Policer {
    /// How much may pass.
    pub limit: Limit,
    /// Shared by all workers, and by the members of a bond.
    pub bucket: Arc<Bucket>,
}

impl Policer {
    /// Whether a frame of so many bytes passes; `live`: and takes its bits.
    #[inline]
    pub(crate) fn passes(&self, bytes: usize, live: bool, now: Instant) -> bool {
        if live {
            self.bucket.take(bytes, self.limit, now)
        } else {
            self.bucket.has(bytes, self.limit, now)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vswitch_base::Duration;

    const LIMIT: Limit = Limit {
        rate: 8_000,
        burst: 16_000,
    };

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(1_000 + ms)
    }

    /// How many frames of 100 bytes pass at that moment, of many.
    fn pass(bucket: &Bucket, limit: Limit, ms: u64) -> usize {
        let passes = (0..1_000).filter(|_| bucket.take(100, limit, at(ms)));
        passes.count()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let bucket = Bucket::default();
        assert!(bucket.has(2_000, LIMIT, at(0)) && !bucket.has(2_001, LIMIT, at(0)));
        assert_eq!(pass(&bucket, LIMIT, 0), 20);
        assert_eq!(pass(&bucket, LIMIT, 99), 0);
        assert_eq!(pass(&bucket, LIMIT, 100), 1, "nothing is rounded away");
        assert_eq!(pass(&bucket, LIMIT, 90), 0, "a worker with an older moment");
        assert_eq!(pass(&bucket, LIMIT, 1_100), 10);
        assert_eq!(
            pass(&bucket, LIMIT, 100_000),
            20,
            "never more than the burst"
        );
        let slow: usize = (1..=1_000)
            .map(|ms| pass(&bucket, LIMIT, 100_000 + ms))
            .sum();
        assert_eq!(slow, 10, "asked each millisecond");
    }

    #[test]
    fn another_limit_finds_the_level_as_it_is() {
        let bucket = Bucket::default();
        assert_eq!(pass(&bucket, LIMIT, 0), 20);
        let fast = Limit {
            rate: 80_000,
            burst: 160_000,
        };
        bucket.settle(LIMIT, at(500));
        assert_eq!(pass(&bucket, fast, 500), 5, "what the former rate earned");
        assert_eq!(pass(&bucket, fast, 600), 10);
        assert_eq!(pass(&bucket, fast, 60_000), 200);
        bucket.settle(fast, at(120_000));
        assert_eq!(
            pass(&bucket, LIMIT, 120_000),
            20,
            "no more than the new burst"
        );
    }

    #[test]
    fn the_largest_numbers_are_numbers() {
        let limit = Limit {
            rate: u64::MAX,
            burst: Limit::BURST_MAX,
        };
        let bucket = Bucket::default();
        for ms in 0..3 {
            assert!(bucket.take(2_000_000_000, limit, at(ms)));
        }
    }
}
