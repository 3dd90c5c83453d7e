//! Time as a parameter: nothing here reads a clock.
//!
//! An own `Instant` because it must fit an atomic, print in a golden file and exist without std.

use core::ops::{Add, Sub};

/// A span of time in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Duration(u64);

impl Duration {
    /// No time.
    pub const ZERO: Self = Self(0);

    /// That many nanoseconds.
    #[must_use]
    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }

    /// That many microseconds; saturates.
    #[must_use]
    pub const fn from_micros(us: u64) -> Self {
        Self(us.saturating_mul(1_000))
    }

    /// That many milliseconds; saturates.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    /// That many seconds; saturates.
    #[must_use]
    pub const fn from_secs(s: u64) -> Self {
        Self(s.saturating_mul(1_000_000_000))
    }

    /// In nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// In whole seconds, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }
}

impl From<Duration> for core::time::Duration {
    fn from(d: Duration) -> Self {
        Self::from_nanos(d.0)
    }
}

impl From<core::time::Duration> for Duration {
    /// Saturates after 584 years.
    fn from(d: core::time::Duration) -> Self {
        Self(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// A point in time: nanoseconds since the process (or the simulation) began.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Instant(u64);

impl Instant {
    /// The beginning.
    pub const ZERO: Self = Self(0);

    /// That many nanoseconds after the beginning.
    #[must_use]
    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since the beginning.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the beginning, as stored beside each learned address; saturates after
    /// 136 years.
    #[inline]
    #[must_use]
    pub fn as_secs_u32(self) -> u32 {
        u32::try_from(self.0 / 1_000_000_000).unwrap_or(u32::MAX)
    }

    /// The time from `earlier` to this, zero when `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(d.0))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

/// A deadline that may be unset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timer(Option<Instant>);

impl Timer {
    /// Fires at `at`; replaces an earlier deadline.
    pub const fn set(&mut self, at: Instant) {
        self.0 = Some(at);
    }

    /// Never fires.
    pub const fn cancel(&mut self) {
        self.0 = None;
    }

    /// When it fires.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.0
    }

    /// Whether the deadline has come; true once, then unset.
    pub fn poll_expiration(&mut self, now: Instant) -> bool {
        let expired = self.0.is_some_and(|at| at <= now);
        if expired {
            self.0 = None;
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_fires_once() {
        let mut timer = Timer::default();
        let at = Instant::ZERO + Duration::from_millis(5);
        timer.set(at);
        assert!(!timer.poll_expiration(Instant::ZERO));
        assert!(timer.poll_expiration(at));
        assert!(!timer.poll_expiration(at));
        assert_eq!(timer.deadline(), None);
    }
}
