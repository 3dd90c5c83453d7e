//! Points in time as RFC 3339 text in UTC: `2026-11-23T14:02:11.000250Z`.
//!
//! The control socket carries no other form. Pure arithmetic on the proleptic Gregorian
//! calendar, no time zone data, no clock of its own: the caller brings the time. Any thread.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Days of 400 years, after which the Gregorian calendar repeats.
const ERA_DAYS: u64 = 146_097;

/// The time in UTC with microseconds. Times before 1970 and after the year 9999 (no clock of a
/// running switch shows them) print as the nearest that has a form.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let last = Duration::new(253_402_300_799, 999_999_999); // 9999-12-31T23:59:59
    let since = since.min(last);
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let micros = since.subsec_micros();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// The year, month and day that is `days` after 1970-01-01.
///
/// Counts in years that begin in March, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // From 0000-03-01.
    let (era, day) = (days / ERA_DAYS, days % ERA_DAYS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, nanos: u32) -> String {
        rfc3339(UNIX_EPOCH + Duration::new(seconds, nanos))
    }

    /// Against `date -u -d @N`.
    #[test]
    fn known_times_print_as_date_prints_them() {
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(at(951_782_400, 1_500), "2000-02-29T00:00:00.000001Z");
        assert_eq!(at(1_078_012_800, 0), "2004-02-29T00:00:00.000000Z");
        assert_eq!(at(1_795_442_531, 250_000), "2026-11-23T14:02:11.000250Z");
        assert_eq!(at(4_107_542_399, 0), "2100-02-28T23:59:59.000000Z");
        assert_eq!(
            at(4_107_542_400, 0),
            "2100-03-01T00:00:00.000000Z",
            "2100 has no leap day"
        );
        assert_eq!(at(253_402_300_800, 0), "9999-12-31T23:59:59.999999Z");
        assert_eq!(
            rfc3339(UNIX_EPOCH - Duration::from_secs(1)),
            "1970-01-01T00:00:00.000000Z"
        );
    }

    /// Every day of 400 years follows the one before.
    #[test]
    fn the_calendar_has_no_gap() {
        let length = |year: u64, month: u64| match month {
            2 if year.is_multiple_of(4)
                && (!year.is_multiple_of(100) || year.is_multiple_of(400)) =>
            {
                29
            }
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let mut today = (1970, 1, 1);
        for days in 0..ERA_DAYS {
            assert_eq!(civil(days), today);
            let (year, month, day) = today;
            today = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, day) if day == length(year, month) => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }
}
