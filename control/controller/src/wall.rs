//! Wall-clock text from the switch's own time.
//!
//! The controller has no clock: the daemon says once what time of day the beginning was, and every
//! [`Instant`] is rendered from there. A step of the system's clock therefore does not show; events keep
//! their order and their distances.

use vswitch_base::Instant;

/// The time of day at [`Instant::ZERO`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WallClock {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub unix_ns_at_zero: u64,
}

impl WallClock {
    /// Nanoseconds since 1970.
    #[must_use]
    pub const fn unix_ns(self, at: Instant) -> u64 {
        self.unix_ns_at_zero.saturating_add(at.as_nanos())
    }

    /// RFC 3339 in UTC with milliseconds, as `2026-02-28T23:59:59.123Z`.
    #[must_use]
    pub fn rfc3339(self, at: Instant) -> String {
        let ns = self.unix_ns(at);
        let (seconds, ms) = (ns / 1_000_000_000, ns / 1_000_000 % 1_000);
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        let (h, m, s) = (second / 3_600, second / 60 % 60, second % 60);
        format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
    }
}

/// Year, month and day of a day counted from 1970-01-01 (Gregorian; years begin in March inside, so
/// that the leap day comes last).
const fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vswitch_base::Duration;

    #[test]
    fn known_days_print_as_the_calendar_says() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_735_689_600, "2025-01-01T00:00:00.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ];
        for (seconds, text) in cases {
            let wall = WallClock {
                unix_ns_at_zero: seconds * 1_000_000_000,
            };
            assert_eq!(wall.rfc3339(Instant::ZERO), text);
        }
        let wall = WallClock::default();
        assert_eq!(
            wall.rfc3339(Instant::ZERO + Duration::from_millis(1_234)),
            "1970-01-01T00:00:01.234Z"
        );
    }
}
