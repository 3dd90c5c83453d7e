//! The one place where the daemon reads a clock.
//!
//! Everything inside takes [`vswitch_base::Instant`]: nanoseconds since the process began. Wall-clock
//! time is only for people and captures.

use std::time::SystemTime;
use vswitch_base::Instant;

/// Monotonic time since it was made, and the wall-clock time of that moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: std::time::Instant,
    started_at: SystemTime,
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
        }
    }

    /// Now.
    #[inline]
    #[must_use]
    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The wall-clock time of an instant, as far as nobody set the clock since start.
    #[must_use]
    pub(crate) fn wall(&self, at: Instant) -> SystemTime {
        self.started_at + std::time::Duration::from_nanos(at.as_nanos())
    }
}
