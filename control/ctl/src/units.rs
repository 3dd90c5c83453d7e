//! Numbers and times for people: `1.25 Mpps`, `3d 4h`, `12:03:04.567890`.
//!
//! JSON never sees these: there, numbers are plain integers in base units and times RFC 3339
//! texts. Pure; a text that is no time gives `None`, never a panic.

/// Nanoseconds in a second.
const SECOND_NS: u64 = 1_000_000_000;

/// A count or rate with an SI prefix and three significant digits: `950`, `1.25 M`.
fn scaled(value: f64) -> (f64, &'static str) {
    let mut value = value;
    for prefix in ["", "k", "M", "G", "T"] {
        if value < 999.5 {
            return (value, prefix);
        }
        value /= 1000.0;
    }
    (value, "P")
}

fn digits(value: f64) -> String {
    let decimals = if value >= 99.95 || value == value.trunc() {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}

/// A rate: `1.25 Mpps`, `9.40 Gbit/s`.
pub(crate) fn rate(per_second: f64, unit: &str) -> String {
    let (value, prefix) = scaled(per_second);
    format!("{} {prefix}{unit}", digits(value))
}

/// Bits a second: `9.40 Gbit/s`.
pub(crate) fn bits(per_second: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = per_second as f64;
    rate(value, "bit/s")
}

/// Bytes in SI units: `1.5 MB`.
pub(crate) fn bytes(count: u64) -> String {
    if count < 1000 {
        return format!("{count} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let (value, prefix) = scaled(count as f64);
    format!("{} {prefix}B", digits(value))
}

/// A short time: `640 ns`, `8 us`, `1.02 ms`, `2 s`.
pub(crate) fn nanoseconds(ns: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = ns as f64;
    for unit in ["ns", "us", "ms"] {
        if value < 999.5 {
            return format!("{} {unit}", digits(value));
        }
        value /= 1000.0;
    }
    format!("{} s", digits(value))
}

/// A link speed: `10G`, `2500M`.
pub(crate) fn speed(mbps: u32) -> String {
    if mbps >= 1000 && mbps.is_multiple_of(1000) {
        format!("{}G", mbps / 1000)
    } else {
        format!("{mbps}M")
    }
}

/// A duration in its two largest units: `3d 4h`, `12s`.
pub(crate) fn duration(seconds: u64) -> String {
    let parts = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut left = seconds;
    let mut text = Vec::new();
    for (length, unit) in parts {
        let count = left / length;
        left %= length;
        if count > 0 || (length == 1 && text.is_empty()) {
            text.push(format!("{count}{unit}"));
        } else if !text.is_empty() {
            break;
        }
        if text.len() == 2 {
            break;
        }
    }
    text.join(" ")
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
fn days_of(year: u64, month: u64, day: u64) -> Option<u64> {
    // Years begin in March, so that the leap day is the last of the year; eras of 400 years.
    let year = if month <= 2 {
        year.checked_sub(1)?
    } else {
        year
    };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day.checked_sub(1)?;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    days.checked_sub(719_468)
}

/// Nanoseconds since 1970 of an RFC 3339 time in UTC (`2026-11-24T10:00:00.5Z`).
pub(crate) fn parse_time(text: &str) -> Option<u64> {
    let text = text
        .strip_suffix('Z')
        .or_else(|| text.strip_suffix("+00:00"))?;
    let (date, time) = text.split_once(['T', ' '])?;
    let mut date = date.splitn(3, '-').map(str::parse::<u64>);
    let days = days_of(date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?)?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut clock = clock.splitn(3, ':').map(str::parse::<u64>);
    let seconds = clock.next()?.ok()? * 3_600 + clock.next()?.ok()? * 60 + clock.next()?.ok()?;
    let nanoseconds = if fraction.is_empty() {
        0
    } else {
        let cut = fraction.get(..9.min(fraction.len()))?;
        cut.parse::<u64>().ok()? * 10_u64.pow(u32::try_from(9 - cut.len()).ok()?)
    };
    days.checked_mul(86_400)?
        .checked_add(seconds)?
        .checked_mul(SECOND_NS)?
        .checked_add(nanoseconds)
}

/// The time of day of an instant since 1970, in UTC, to the microsecond: `12:03:04.567890`.
pub(crate) fn time_of_day(ns: u64) -> String {
    let (seconds, rest) = (ns / SECOND_NS % 86_400, ns % SECOND_NS);
    format!(
        "{:02}:{:02}:{:02}.{:06}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60,
        rest / 1_000
    )
}

/// An RFC 3339 time shortened to the time of day; what is no time stays as it is.
pub(crate) fn clock(text: &str) -> String {
    parse_time(text).map_or_else(
        || text.to_owned(),
        |ns| time_of_day(ns).chars().take(12).collect(),
    )
}

/// How long before `now` an RFC 3339 time was; both as the daemon told them.
pub(crate) fn age(since: &str, now: &str) -> Option<String> {
    let passed = parse_time(now)?.saturating_sub(parse_time(since)?);
    Some(duration(passed / SECOND_NS))
}

/// Seconds from one RFC 3339 time to another; `None` unless it is later.
pub(crate) fn seconds_between(before: &str, after: &str) -> Option<f64> {
    let passed = parse_time(after)?
        .checked_sub(parse_time(before)?)
        .filter(|passed| *passed > 0)?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate of three digits is made of it"
    )]
    let seconds = passed as f64 / SECOND_NS as f64;
    Some(seconds)
}

/// How much a counter grew per second; a counter that went back (daemon restarted) gives `None`.
pub(crate) fn growth(before: u64, after: u64, seconds: f64) -> Option<f64> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate of three digits is made of it"
    )]
    let grown = after.checked_sub(before)? as f64;
    Some(grown / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(rate(1_250_000.0, "pps"), "1.25 Mpps");
        assert_eq!(rate(0.0, "pps"), "0 pps");
        assert_eq!(rate(999.9, "pps"), "1.00 kpps");
        assert_eq!(rate(12.34, "pps"), "12.3 pps");
        let times = [0, 640, 8_000, 1_024_000, 1_048_576_000, 90_000_000_000].map(nanoseconds);
        assert_eq!(
            times,
            ["0 ns", "640 ns", "8 us", "1.02 ms", "1.05 s", "90 s"]
        );
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_500_000), "1.50 MB");
        assert_eq!(bytes(u64::MAX), "18447 PB");
        assert_eq!(
            (
                speed(10_000).as_str(),
                speed(2_500).as_str(),
                speed(100).as_str()
            ),
            ("10G", "2500M", "100M")
        );
    }

    #[test]
    fn durations_have_two_units() {
        let texts = [0, 59, 60, 3_661, 273_600, 86_400 * 400].map(duration);
        assert_eq!(texts, ["0s", "59s", "1m", "1h 1m", "3d 4h", "400d"]);
    }

    #[test]
    fn times_are_read_and_written() {
        assert_eq!(parse_time("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(
            parse_time("2000-03-01T00:00:01.5Z"),
            Some(951_868_801_500_000_000)
        );
        for day in (0..60_000_u64).step_by(7) {
            let at =
                std::time::UNIX_EPOCH + std::time::Duration::new(day * 86_400 + 59, 123_456_000);
            let text = vswitch_api::time::rfc3339(at);
            assert_eq!(
                parse_time(&text),
                Some((day * 86_400 + 59) * SECOND_NS + 123_456_000),
                "{text}"
            );
        }
        for wrong in [
            "",
            "Z",
            "now",
            "2026-01-01",
            "2026-01-01T00:00",
            "1-0-0T0:0:0Z",
            "é-1-1T0:0:0.éZ",
        ] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
        assert_eq!(clock("2000-03-01T00:00:01.5Z"), "00:00:01.500");
        assert_eq!(
            age("2026-01-01T00:00:00Z", "2026-01-01T03:04:00Z").as_deref(),
            Some("3h 4m")
        );
    }

    #[test]
    fn a_counter_that_went_back_has_no_rate() {
        assert_eq!(growth(5, 15, 2.0), Some(5.0));
        assert_eq!(growth(15, 5, 2.0), None);
        assert_eq!(
            seconds_between("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            None
        );
    }
}
