//! The one place where the daemon reads a clock.
//!
//! Everything inside takes [`vswitch_base::Instant`]: nanoseconds since the process began. Wall-clock
//! time is only for people and captures. Tests may stop the clock and set it forward by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;
use vswitch_base::Instant;

/// Monotonic time since it was made, and the wall-clock time of that moment. Clones are one clock.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    start: std::time::Instant,
    started_at: SystemTime,
    /// The nanoseconds at which it stands; 0: it runs.
    stands_at: Arc<AtomicU64>,
}

impl Clock {
    /// A clock that begins one second ago: second 0 means "never" in time stamps of addresses.
    #[must_use]
    pub(crate) fn start() -> Self {
        let second = std::time::Duration::from_secs(1);
        let now = std::time::Instant::now();
        Self {
            start: now.checked_sub(second).unwrap_or(now),
            started_at: SystemTime::now() - second,
            stands_at: Arc::default(),
        }
    }

    /// Now.
    #[inline]
    #[must_use]
    pub(crate) fn now(&self) -> Instant {
        // Whoever acts on a new time hears of it by a lock or a system call, which order the store.
        match self.stands_at.load(Ordering::Relaxed) {
            0 => self.running_now(),
            stands_at => Instant::from_nanos(stands_at),
        }
    }

    /// Now as if nobody had stopped it or set it forward: for what goes on all the same, such as threads.
    #[must_use]
    pub(crate) fn running_now(&self) -> Instant {
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Instant::from_nanos(nanos)
    }

    /// Whether [`Self::warp`] has stopped it.
    #[must_use]
    pub(crate) fn is_stopped(&self) -> bool {
        self.stands_at.load(Ordering::Relaxed) != 0
    }

    /// Stops it, if it runs, and sets it forward.
    pub(crate) fn warp(&self, by: std::time::Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        let stands_at = self.now().as_nanos().saturating_add(by);
        self.stands_at.store(stands_at, Ordering::Relaxed);
    }

    /// The wall-clock time of an instant, as far as nobody set the clock since start.
    #[must_use]
    pub(crate) fn wall(&self, at: Instant) -> SystemTime {
        self.started_at + std::time::Duration::from_nanos(at.as_nanos())
    }
}
