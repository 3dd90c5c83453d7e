//! Whether a forwarding thread stands still.
//!
//! The control thread looks about once a second at each thread's [`Progress`]. A thread that is not asleep and
//! has begun no breath from one look to another, at least [`PATIENCE`] later, stands still: frames wait
//! in its ports' rings until the rings are full. A breath takes microseconds, so it is never work that
//! takes so long, but a device's system call that does not return, or a core that the scheduler
//! gives to something else. A thread that sleeps waits for frames, and does not stand still.
//!
//! A look that comes late says that the watcher itself had no core, or that the whole process was stopped:
//! then the time since the look before says nothing about the threads, and measuring begins anew.
//!
//! Pure; time is a parameter. It must be time that no test stops, for threads do not stop with it.

use crate::loop_stats::Progress;
use vswitch_base::{Duration, Instant};

/// From one look to the next.
pub(crate) const LOOK: Duration = Duration::from_secs(1);
/// How long a thread may be without a new breath. A breath takes some ten microseconds: no work comes near
/// a second, and a scheduler that keeps a thread off its core for so long is worth a warning.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// So much later a look may be, so that it falls together with another reason to wake up.
const SLACK: Duration = Duration::from_millis(250);
/// A look this much after its time is late.
const LATE: Duration = Duration::from_millis(500);

/// What a look found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Finding {
    /// A thread stands still. Told once.
    Stalled {
        /// Its number.
        worker: usize,
        /// For how long at least.
        lasting: Duration,
    },
    /// One that stood still has begun a breath, or sleeps.
    Recovered {
        /// Its number.
        worker: usize,
        /// For how long it stood still, to the interval of looks.
        lasted: Duration,
    },
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    /// Breaths at the look when it was seen to move last; `None` when it was asleep.
    breaths: Option<u64>,
    /// When that was.
    since: Instant,
    stalled: bool,
    stalls: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Watchdog {
    last: Instant,
    workers: Vec<Watched>,
}

impl Watchdog {
    /// Watches this many threads, which begin now.
    pub(crate) fn new(workers: usize, now: Instant) -> Self {
        let watched = Watched {
            breaths: None,
            since: now,
            stalled: false,
            stalls: 0,
        };
        Self {
            last: now,
            workers: vec![watched; workers],
        }
    }

    /// When to look next: at the first wake-up from then on.
    pub(crate) fn due(&self) -> Instant {
        self.last + LOOK
    }

    /// When to wake up for it if nothing else does.
    pub(crate) fn wake_by(&self) -> Instant {
        self.due() + SLACK
    }

    /// Looks at every thread, in the order of their numbers.
    pub(crate) fn look(
        &mut self,
        progress: impl IntoIterator<Item = Progress>,
        now: Instant,
    ) -> Vec<Finding> {
        let late = now > self.due() + LATE;
        self.last = now;
        let watched = self.workers.iter_mut().zip(progress).enumerate();
        watched
            .filter_map(|(worker, (watched, progress))| watched.look(worker, progress, late, now))
            .collect()
    }

    /// How often a thread was found standing still, and whether it is now. None of a thread that is not
    /// watched.
    pub(crate) fn stalls(&self, worker: usize) -> (u64, bool) {
        let watched = self.workers.get(worker);
        watched.map_or((0, false), |watched| (watched.stalls, watched.stalled))
    }
}

impl Watched {
    fn look(
        &mut self,
        worker: usize,
        progress: Progress,
        late: bool,
        now: Instant,
    ) -> Option<Finding> {
        let breaths = (!progress.asleep).then_some(progress.breaths);
        if breaths.is_none() || breaths != self.breaths {
            let lasted = now.saturating_since(self.since);
            self.breaths = breaths;
            self.since = now;
            let recovered = std::mem::replace(&mut self.stalled, false);
            return recovered.then_some(Finding::Recovered { worker, lasted });
        }
        if self.stalled {
            return None;
        }
        if late {
            self.since = now;
            return None;
        }
        let lasting = now.saturating_since(self.since);
        if lasting < PATIENCE {
            return None;
        }
        self.stalled = true;
        self.stalls += 1;
        Some(Finding::Stalled { worker, lasting })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASLEEP: Option<u64> = None;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn stalled(worker: usize, lasting: u64) -> Finding {
        let lasting = ms(lasting);
        Finding::Stalled { worker, lasting }
    }

    fn recovered(worker: usize, lasted: u64) -> Finding {
        let lasted = ms(lasted);
        Finding::Recovered { worker, lasted }
    }

    /// A look: milliseconds since the beginning, where each thread is then (breaths; none: asleep), and
    /// what is found.
    type Look<'a> = (u64, &'a [Option<u64>], &'a [Finding]);

    fn looks(dog: &mut Watchdog, rows: &[Look<'_>]) {
        for (at, threads, wanted) in rows {
            let progress = threads.iter().map(|breaths| Progress {
                breaths: breaths.unwrap_or(7),
                asleep: breaths.is_none(),
            });
            let found = dog.look(progress, Instant::ZERO + ms(*at));
            assert_eq!(found, *wanted, "at {at} ms");
        }
    }

    fn dog(workers: usize) -> Watchdog {
        Watchdog::new(workers, Instant::ZERO)
    }

    /// O-08: told once, counted once, and told when it is over.
    #[test]
    fn a_thread_that_begins_no_breath_for_a_second_stands_still() {
        let mut dog = dog(1);
        looks(
            &mut dog,
            &[
                (1_000, &[Some(5)], &[]),
                (2_000, &[Some(5)], &[stalled(0, 1_000)]),
                (3_000, &[Some(5)], &[]),
                (4_001, &[Some(5)], &[]),
            ],
        );
        assert_eq!(dog.stalls(0), (1, true));
        looks(&mut dog, &[(5_001, &[Some(6)], &[recovered(0, 4_001)])]);
        assert_eq!(dog.stalls(0), (1, false));
        looks(
            &mut dog,
            &[
                (6_001, &[Some(6)], &[stalled(0, 1_000)]),
                (7_001, &[ASLEEP], &[recovered(0, 2_000)]),
            ],
        );
        assert_eq!(dog.stalls(0), (2, false));
    }

    #[test]
    fn one_that_sleeps_or_moves_never_does() {
        let sleeping: [&[Option<u64>]; 6] = [
            &[ASLEEP],
            &[ASLEEP],
            &[Some(7)], // It woke just now: nothing was seen of it before.
            &[ASLEEP],
            &[Some(7)],
            &[ASLEEP],
        ];
        let moving: [&[Option<u64>]; 4] = [&[Some(1)], &[Some(2)], &[Some(3)], &[Some(1_000)]];
        for rows in [&sleeping[..], &moving[..]] {
            let mut dog = dog(1);
            for (second, threads) in (1..).zip(rows) {
                looks(&mut dog, &[(second * 1_000, *threads, &[])]);
            }
            assert_eq!(dog.stalls(0), (0, false));
        }
    }

    #[test]
    fn each_thread_is_judged_by_itself() {
        let mut dog = dog(3);
        looks(
            &mut dog,
            &[
                (1_000, &[Some(1), Some(1), ASLEEP], &[]),
                (2_000, &[Some(1), Some(2), ASLEEP], &[stalled(0, 1_000)]),
                (3_000, &[Some(1), Some(2), ASLEEP], &[stalled(1, 1_000)]),
                (
                    4_000,
                    &[Some(2), ASLEEP, ASLEEP],
                    &[recovered(0, 3_000), recovered(1, 2_000)],
                ),
            ],
        );
        assert_eq!(
            [0, 1, 2, 3].map(|worker| dog.stalls(worker).0),
            [1, 1, 0, 0]
        );
    }

    #[test]
    fn a_look_too_early_finds_nothing() {
        let mut dog = dog(1);
        looks(
            &mut dog,
            &[
                (1_000, &[Some(1)], &[]),
                (1_400, &[Some(1)], &[]),
                (1_999, &[Some(1)], &[]),
                (2_000, &[Some(1)], &[stalled(0, 1_000)]),
            ],
        );
    }

    /// The process was stopped, or the machine has no core for the control thread either.
    #[test]
    fn a_late_look_begins_anew() {
        let mut dog = dog(1);
        looks(
            &mut dog,
            &[
                (1_000, &[Some(1)], &[]),
                (2_501, &[Some(1)], &[]),
                (60_000, &[Some(1)], &[]),
                (61_500, &[Some(1)], &[stalled(0, 1_500)]),
                (90_000, &[Some(1)], &[]),
                (91_000, &[Some(2)], &[recovered(0, 31_000)]),
            ],
        );
        assert_eq!(dog.due(), Instant::ZERO + ms(92_000));
        let in_time = dog.due() + LATE;
        assert!(dog.due() < dog.wake_by() && dog.wake_by() < in_time);
    }
}
