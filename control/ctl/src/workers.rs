//! What a forwarding thread did between two readings, or since it began: shares, means, quantiles.
//!
//! The daemon counts breaths by powers of two, so a quantile is known to its bucket: told is the
//! greatest value that the bucket may have. Pure.

use vswitch_api::types::{DaemonInfo, HistogramBucket, WorkerInfo};

use crate::render::{Cell, Style, or_dash};
use crate::units;

/// See the module. Nothing is known of a thread whose counters went back: the daemon is another one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Load {
    busy_ns: Option<u64>,
    idle_ns: Option<u64>,
    frames: Option<u64>,
    batches: Option<u64>,
    sizes: Vec<HistogramBucket>,
    times: Vec<HistogramBucket>,
    longest_ns: Option<u64>,
}

/// A value known to its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    AtMost(u64),
    MoreThan(u64),
}

impl Load {
    /// Since the reading before, if there is one that knows this thread, else since it began.
    pub(crate) fn of(now: &WorkerInfo, before: Option<&DaemonInfo>) -> Self {
        let old = before.and_then(|info| info.workers.iter().find(|old| old.index == now.index));
        Self::between(now, old)
    }

    fn between(now: &WorkerInfo, old: Option<&WorkerInfo>) -> Self {
        let Some(old) = old else {
            return Self {
                busy_ns: Some(now.busy_ns),
                idle_ns: Some(now.idle_ns),
                frames: Some(now.frames),
                batches: Some(now.batches),
                sizes: now.batch_sizes.clone(),
                times: now.loop_times_ns.clone(),
                longest_ns: now.longest_ns,
            };
        };
        let times = grown(&now.loop_times_ns, &old.loop_times_ns);
        let longest_ns = if now.longest_ns == old.longest_ns {
            // It was before: of this time only the bucket is known.
            quantile(&times, 100).and_then(|within| at_most(within, now.longest_ns))
        } else {
            now.longest_ns
        };
        Self {
            busy_ns: now.busy_ns.checked_sub(old.busy_ns),
            idle_ns: now.idle_ns.checked_sub(old.idle_ns),
            frames: now.frames.checked_sub(old.frames),
            batches: now.batches.checked_sub(old.batches),
            sizes: grown(&now.batch_sizes, &old.batch_sizes),
            times,
            longest_ns,
        }
    }

    /// Part of the time in which it had frames, in percent.
    pub(crate) fn busy_percent(&self) -> Option<u64> {
        let all = self.busy_ns?.checked_add(self.idle_ns?)?;
        let percent = u128::from(self.busy_ns?) * 100 / u128::from(Some(all).filter(|n| *n > 0)?);
        u64::try_from(percent).ok()
    }

    /// Frames and batches in a second.
    pub(crate) fn per_second(&self) -> Option<(f64, f64)> {
        let all = self.busy_ns?.checked_add(self.idle_ns?)?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate of three digits is made of it"
        )]
        let seconds = Some(all as f64 / 1e9).filter(|seconds| *seconds > 0.0)?;
        let rate = |count| units::growth(0, count, seconds);
        Some((rate(self.frames?)?, rate(self.batches?)?))
    }

    /// Frames in a batch, to a tenth.
    pub(crate) fn mean_batch(&self) -> Option<String> {
        let batches = Some(self.batches?).filter(|batches| *batches > 0)?;
        let tenths = u128::from(self.frames?) * 10 / u128::from(batches);
        Some(format!("{}.{}", tenths / 10, tenths % 10))
    }

    /// So many percent of the batches have at most this many frames.
    pub(crate) fn batch(&self, percent: u64) -> Option<String> {
        quantile(&self.sizes, percent).map(|within| match within {
            Within::AtMost(frames) => frames.to_string(),
            Within::MoreThan(frames) => format!(">{frames}"),
        })
    }

    /// So many percent of the passes over all queues take at most this many nanoseconds.
    pub(crate) fn loop_ns(&self, percent: u64) -> Option<u64> {
        at_most(quantile(&self.times, percent)?, self.longest_ns)
    }

    /// The pass that took longest, in nanoseconds; of a part of the thread's life at most that.
    pub(crate) const fn longest_ns(&self) -> Option<u64> {
        self.longest_ns
    }

    pub(crate) fn busy_cell(&self) -> Cell {
        or_dash(self.busy_percent().map(|percent| format!("{percent}%")))
    }

    pub(crate) fn loop_cell(&self, percent: u64) -> Cell {
        or_dash(self.loop_ns(percent).map(units::nanoseconds))
    }

    pub(crate) fn longest_cell(&self) -> Cell {
        or_dash(self.longest_ns.map(units::nanoseconds))
    }
}

/// How often it stood still, and whether it does now.
pub(crate) fn stalls_cell(worker: &WorkerInfo) -> Cell {
    match (worker.stalls, worker.stalled) {
        (Some(stalls), Some(true)) => Cell::new(Style::Bad, format!("{stalls}, now")),
        (Some(stalls), _) if stalls > 0 => Cell::new(Style::Warn, stalls.to_string()),
        (stalls, _) => or_dash(stalls),
    }
}

/// Whose queues it serves: `eth0, vm1 x4`.
pub(crate) fn ports(worker: &WorkerInfo) -> Option<String> {
    let ports = worker.ports.iter().map(|at| match at.queues {
        1 => at.port.clone(),
        queues => format!("{} x{queues}", at.port),
    });
    let ports: Vec<String> = ports.collect();
    (!ports.is_empty()).then(|| ports.join(", "))
}

/// What came to each bucket; nothing when one went back or the buckets are others.
fn grown(now: &[HistogramBucket], old: &[HistogramBucket]) -> Vec<HistogramBucket> {
    if now.len() != old.len() {
        return Vec::new();
    }
    let grown = now.iter().zip(old).map(|(now, old)| {
        let count = now.count.checked_sub(old.count)?;
        (now.up_to == old.up_to).then_some(HistogramBucket { count, ..*now })
    });
    grown.collect::<Option<_>>().unwrap_or_default()
}

/// The bucket that the given percentage, 1 to 100, of all values does not exceed. `None` without values.
fn quantile(buckets: &[HistogramBucket], percent: u64) -> Option<Within> {
    let all: u128 = buckets.iter().map(|bucket| u128::from(bucket.count)).sum();
    let wanted = (all * u128::from(percent)).div_ceil(100);
    let (mut seen, mut below) = (0, 0);
    for bucket in buckets {
        seen += u128::from(bucket.count);
        if bucket.count > 0 && seen >= wanted {
            return Some(bucket.up_to.map_or(Within::MoreThan(below), Within::AtMost));
        }
        below = bucket.up_to.unwrap_or(below);
    }
    None
}

/// The greatest that it may be, no more than the greatest there was.
fn at_most(within: Within, longest: Option<u64>) -> Option<u64> {
    match within {
        Within::AtMost(bound) => Some(longest.map_or(bound, |longest| bound.min(longest))),
        Within::MoreThan(_) => longest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(counts: &[u64]) -> Vec<HistogramBucket> {
        let last = counts.len() - 1;
        let bucket = |(at, count): (usize, &u64)| HistogramBucket {
            up_to: (at < last).then(|| 1_000 << at),
            count: *count,
        };
        counts.iter().enumerate().map(bucket).collect()
    }

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let (at_most, more) = (Within::AtMost, Within::MoreThan);
        for (counts, wanted) in [
            (&[0, 0, 0, 0][..], [None; 4]),
            (&[1, 0, 0, 0], [Some(at_most(1_000)); 4]),
            (&[0, 0, 0, 9], [Some(more(4_000)); 4]),
            (
                &[1, 1, 0, 0],
                [1_000, 1_000, 2_000, 2_000].map(|bound| Some(at_most(bound))),
            ),
            (
                &[98, 0, 1, 1],
                [
                    Some(at_most(1_000)),
                    Some(at_most(1_000)),
                    Some(at_most(4_000)),
                    Some(more(4_000)),
                ],
            ),
            (&[u64::MAX, 0, 0, u64::MAX], {
                let first = Some(at_most(1_000));
                [first, first, Some(more(4_000)), Some(more(4_000))]
            }),
        ] {
            let found = [1, 50, 99, 100].map(|percent| quantile(&histogram(counts), percent));
            assert_eq!(found, wanted, "{counts:?}");
        }
    }

    fn worker(frames: u64, times: &[u64], longest_ns: Option<u64>) -> WorkerInfo {
        WorkerInfo {
            busy_ns: frames * 1_000,
            idle_ns: frames * 3_000,
            frames,
            batches: times.iter().sum(),
            loop_times_ns: histogram(times),
            longest_ns,
            ..WorkerInfo::default()
        }
    }

    #[test]
    fn a_load_is_the_difference_of_two_readings() {
        let before = worker(1_000, &[10, 0, 5, 0], Some(3_500));
        let since_the_start = Load::between(&before, None);
        assert_eq!(since_the_start.busy_percent(), Some(25));
        assert_eq!(since_the_start.mean_batch().as_deref(), Some("66.6"));
        assert_eq!(since_the_start.loop_ns(50), Some(1_000));
        assert_eq!(since_the_start.loop_ns(99), Some(3_500), "no more than any");
        assert_eq!(since_the_start.longest_ns(), Some(3_500));

        let now = worker(1_500, &[10, 20, 5, 0], Some(3_500));
        let load = Load::between(&now, Some(&before));
        assert_eq!(load.busy_percent(), Some(25));
        assert_eq!(load.mean_batch().as_deref(), Some("25.0"));
        assert_eq!(load.per_second(), Some((250_000.0, 10_000.0)));
        assert_eq!(load.loop_ns(50), Some(2_000));
        assert_eq!(load.longest_ns(), Some(2_000), "the longest was before");

        let now = worker(1_500, &[10, 20, 5, 1], Some(9_000));
        let load = Load::between(&now, Some(&before));
        assert_eq!(load.longest_ns(), Some(9_000));
        let nothing = Load::between(&now, Some(&now));
        assert_eq!(
            (
                nothing.mean_batch(),
                nothing.loop_ns(50),
                nothing.longest_ns()
            ),
            (None, None, None)
        );
        assert_eq!((nothing.busy_percent(), nothing.per_second()), (None, None));
    }

    #[test]
    fn another_daemon_is_no_difference() {
        let (before, now) = (worker(10, &[7, 0], None), worker(5, &[3, 0], None));
        let load = Load::between(&now, Some(&before));
        assert_eq!(load, Load::default());
        let older = WorkerInfo::default();
        let load = Load::between(&older, Some(&now));
        assert_eq!(load, Load::default(), "one that has no histograms");
        let since_the_start = Load::between(&older, None);
        assert_eq!(since_the_start.batch(50), None);
    }

    #[test]
    fn batches_beyond_the_last_bound_are_more_than_it() {
        let worker = WorkerInfo {
            batch_sizes: histogram(&[0, 3, 1]),
            ..WorkerInfo::default()
        };
        let load = Load::between(&worker, None);
        let texts = [50, 99].map(|percent| load.batch(percent));
        assert_eq!(texts, [Some("2000".to_owned()), Some(">2000".to_owned())]);
    }
}
