//! What a forwarding thread did, breath by breath: sums, two histograms, the longest breath, and a mark of
//! progress for the watchdog.
//!
//! A breath that found frames lasts from its beginning to the beginning of the next one, so whatever the
//! thread did for these frames is in it, and no clock is read for it. Sleep never is: after a breath
//! with frames the thread takes the next one at once. Breaths that found nothing are idle time.
//!
//! **Who writes.** The thread alone: each number is loaded, changed and stored, without a locked
//! instruction. Others read at any time; numbers of one reading may be a breath apart.
//!
//! Pure; time is a parameter.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use vswitch_base::{Duration, Instant};

/// Buckets for 1, 2, 4 .. 4096 frames, and one for more.
const SIZES: usize = 14;
/// Buckets for 1, 2, 4 .. 1,048,576 microseconds, and one for more.
const TIMES: usize = 22;

/// See the module. Written at every breath: alone in its cache lines (of which processors fetch two at
/// once), or the threads would wait for one another's.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct LoopStats {
    begun: Instant,
    breaths: AtomicU64,
    asleep: AtomicBool,
    batches: AtomicU64,
    frames: AtomicU64,
    busy_ns: AtomicU64,
    sizes: [AtomicU64; SIZES],
    times: [AtomicU64; TIMES],
    longest_ns: AtomicU64,
    longest_at: AtomicU64,
}

/// How far a thread has come, for the watchdog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    /// Breaths begun.
    pub breaths: u64,
    /// Whether it waits in the kernel for frames or commands.
    pub asleep: bool,
}

/// A reading.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LoopReading {
    /// Breaths that found frames.
    pub batches: u64,
    /// Frames found.
    pub frames: u64,
    /// Time of the breaths that found frames.
    pub busy: Duration,
    /// The rest of the time since the thread began: it slept, or looked and found nothing.
    pub idle: Duration,
    /// Breaths by the number of their frames: at most so many (`None`: more), and how many breaths.
    pub sizes: Vec<(Option<u64>, u64)>,
    /// Breaths with frames by the time they took: at most so many nanoseconds (`None`: more), and how
    /// many breaths.
    pub times: Vec<(Option<u64>, u64)>,
    /// The breath with frames that took longest: how long, and when it began. `None` before the first
    /// that took any time.
    pub longest: Option<(Duration, Instant)>,
}

impl LoopStats {
    /// Of a thread that begins now.
    pub(crate) fn new(begun: Instant) -> Self {
        let zeros = || AtomicU64::new(0);
        Self {
            begun,
            breaths: zeros(),
            asleep: AtomicBool::new(false),
            batches: zeros(),
            frames: zeros(),
            busy_ns: zeros(),
            sizes: std::array::from_fn(|_| zeros()),
            times: std::array::from_fn(|_| zeros()),
            longest_ns: zeros(),
            longest_at: zeros(),
        }
    }

    /// A breath begins. The thread only.
    #[inline]
    pub(crate) fn begin(&self) {
        add(&self.breaths, 1);
    }

    /// A breath that began at `at` and found this many frames, at least one, took this long. The thread
    /// only.
    #[inline]
    pub(crate) fn note(&self, at: Instant, took: Duration, frames: usize) {
        let frames = frames as u64;
        add(&self.batches, 1);
        add(&self.frames, frames);
        add(&self.busy_ns, took.as_nanos());
        add(&self.sizes[bucket(frames, SIZES)], 1);
        add(&self.times[bucket(micros(took), TIMES)], 1);
        if took.as_nanos() > self.longest_ns.load(Ordering::Relaxed) {
            self.longest_at.store(at.as_nanos(), Ordering::Relaxed);
            self.longest_ns.store(took.as_nanos(), Ordering::Relaxed);
        }
    }

    /// The thread goes to sleep, or is back. The thread only.
    pub(crate) fn set_asleep(&self, asleep: bool) {
        self.asleep.store(asleep, Ordering::Relaxed);
    }

    /// How far it has come. Any thread.
    pub(crate) fn progress(&self) -> Progress {
        Progress {
            breaths: self.breaths.load(Ordering::Relaxed),
            asleep: self.asleep.load(Ordering::Relaxed),
        }
    }

    /// All numbers. Any thread.
    pub(crate) fn read(&self, now: Instant) -> LoopReading {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let alive = now.saturating_since(self.begun).as_nanos();
        let busy = read(&self.busy_ns);
        let longest = read(&self.longest_ns);
        LoopReading {
            batches: read(&self.batches),
            frames: read(&self.frames),
            busy: Duration::from_nanos(busy),
            idle: Duration::from_nanos(alive.saturating_sub(busy)),
            sizes: bounded(1, &self.sizes),
            times: bounded(1_000, &self.times),
            longest: (longest > 0).then(|| {
                let at = Instant::from_nanos(read(&self.longest_at));
                (Duration::from_nanos(longest), at)
            }),
        }
    }
}

/// Whole microseconds, begun ones included.
const fn micros(took: Duration) -> u64 {
    took.as_nanos().div_ceil(1_000)
}

/// The bucket, of so many, of a number: 0 for at most 1, then one for each power of two that it is at
/// most, the last for all that is more.
fn bucket(number: u64, buckets: usize) -> usize {
    let bits = u64::BITS - number.saturating_sub(1).leading_zeros();
    (bits as usize).min(buckets - 1)
}

/// Each bucket's upper bound in these units, which the last has not, and its count.
fn bounded(unit: u64, buckets: &[AtomicU64]) -> Vec<(Option<u64>, u64)> {
    let last = buckets.len() - 1;
    let bounds = (0..).map(|at| (at < last).then(|| unit << at));
    let counts = buckets.iter().map(|count| count.load(Ordering::Relaxed));
    bounds.zip(counts).collect()
}

fn add(counter: &AtomicU64, n: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(n),
        Ordering::Relaxed,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(n: u64) -> Duration {
        Duration::from_nanos(n)
    }

    /// The bounds and counts that are not zero.
    fn filled(buckets: &[(Option<u64>, u64)]) -> Vec<(Option<u64>, u64)> {
        buckets.iter().filter(|(_, n)| *n > 0).copied().collect()
    }

    /// O-08: a breath is counted under the least power of two that it does not exceed.
    #[test]
    fn breaths_are_sorted_by_frames_and_by_time() {
        for (frames, up_to) in [
            (1, Some(1)),
            (2, Some(2)),
            (3, Some(4)),
            (4, Some(4)),
            (5, Some(8)),
            (64, Some(64)),
            (65, Some(128)),
            (4_096, Some(4_096)),
            (4_097, None),
            (usize::MAX, None),
        ] {
            let stats = LoopStats::new(Instant::ZERO);
            stats.note(Instant::ZERO, nanos(10), frames);
            let reading = stats.read(Instant::ZERO);
            assert_eq!(filled(&reading.sizes), [(up_to, 1)], "{frames} frames");
        }
        for (took, up_to) in [
            (0, Some(1_000)),
            (1, Some(1_000)),
            (1_000, Some(1_000)),
            (1_001, Some(2_000)),
            (2_000, Some(2_000)),
            (2_001, Some(4_000)),
            (1_000_000, Some(1_024_000)),
            (1_048_576_000, Some(1_048_576_000)),
            (1_048_576_001, None),
            (u64::MAX, None),
        ] {
            let stats = LoopStats::new(Instant::ZERO);
            stats.note(Instant::ZERO, nanos(took), 1);
            let reading = stats.read(Instant::ZERO);
            assert_eq!(filled(&reading.times), [(up_to, 1)], "{took} ns");
        }
    }

    #[test]
    fn bounds_are_powers_of_two_and_the_last_has_none() {
        let reading = LoopStats::new(Instant::ZERO).read(Instant::ZERO);
        for (buckets, first, last, count) in [
            (&reading.sizes, 1, 4_096, SIZES),
            (&reading.times, 1_000, 1_048_576_000, TIMES),
        ] {
            let bounds: Vec<u64> = buckets.iter().filter_map(|(bound, _)| *bound).collect();
            assert_eq!((bounds[0], bounds[bounds.len() - 1]), (first, last));
            assert!(bounds.windows(2).all(|two| two[1] == 2 * two[0]));
            assert_eq!(bounds.len(), count - 1);
            assert_eq!(buckets.last(), Some(&(None, 0)));
        }
    }

    #[test]
    fn sums_agree_with_the_histograms() {
        let begun = Instant::from_nanos(500);
        let stats = LoopStats::new(begun);
        let mut at = begun;
        for n in 1..=100_u64 {
            stats.begin();
            stats.note(at, nanos(n * 100), usize::try_from(n).expect("small"));
            at = at + nanos(n * 100);
        }
        let reading = stats.read(begun + nanos(1_000_000));
        assert_eq!((reading.batches, reading.frames), (100, 5_050));
        for buckets in [&reading.sizes, &reading.times] {
            assert_eq!(buckets.iter().map(|(_, n)| n).sum::<u64>(), 100);
        }
        assert_eq!(
            (reading.busy, reading.idle),
            (nanos(505_000), nanos(495_000))
        );
        assert_eq!(
            reading.longest,
            Some((nanos(10_000), begun + nanos(495_000)))
        );
    }

    #[test]
    fn the_longest_breath_is_the_first_of_its_length() {
        let stats = LoopStats::new(Instant::ZERO);
        assert_eq!(stats.read(Instant::ZERO).longest, None);
        for (at, took) in [(1, 5), (2, 9), (3, 9), (4, 8)] {
            stats.note(Instant::from_nanos(at), nanos(took), 1);
        }
        let longest = Some((nanos(9), Instant::from_nanos(2)));
        assert_eq!(stats.read(Instant::ZERO).longest, longest);
    }

    #[test]
    fn a_thread_that_did_nothing_was_idle_all_the_time() {
        let stats = LoopStats::new(Instant::from_nanos(1_000));
        let reading = stats.read(Instant::from_nanos(5_000));
        assert_eq!((reading.busy, reading.idle), (nanos(0), nanos(4_000)));
        stats.note(Instant::from_nanos(1_000), nanos(9_000), 1);
        let ahead = stats.read(Instant::from_nanos(5_000));
        assert_eq!(ahead.idle, nanos(0), "the reader's clock is older");
    }

    #[test]
    fn progress_is_breaths_and_sleep() {
        let stats = LoopStats::new(Instant::ZERO);
        stats.begin();
        stats.begin();
        stats.set_asleep(true);
        let asleep = Progress {
            breaths: 2,
            asleep: true,
        };
        assert_eq!(stats.progress(), asleep);
        stats.set_asleep(false);
        assert!(!stats.progress().asleep);
    }
}
