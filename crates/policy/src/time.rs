//! Points in time, to the second and in UTC: `2026-12-31` or `2026-12-31T12:00:00Z` (RFC 3339
//! §5.6). What this is not: a clock; whoever evaluates says what time it is.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

const DAY: i64 = 86_400;
/// 9999-12-31T23:59:59Z: the last that can be written with four digits of a year.
const LAST: i64 = 253_402_300_799;

/// A point in time between the years 0001 and 9999.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

impl Time {
    /// So many seconds after 1970; the last second of the year 9999 for what is later.
    pub const fn from_unix(seconds: u64) -> Self {
        if seconds > LAST.unsigned_abs() { Self(LAST) } else { Self(seconds.cast_signed()) }
    }

    /// Seconds after 1970; negative before.
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// So much later.
    #[must_use]
    pub fn after(self, span: Duration) -> Option<Self> {
        let later = self.0.checked_add(i64::try_from(span.as_secs()).ok()?)?;
        (later <= LAST).then_some(Self(later))
    }

    /// So much earlier.
    #[must_use]
    pub fn before(self, span: Duration) -> Option<Self> {
        let earlier = self.0.checked_sub(i64::try_from(span.as_secs()).ok()?)?;
        (earlier >= days(1, 1, 1) * DAY).then_some(Self(earlier))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0.div_euclid(DAY));
        write!(f, "{year:04}-{month:02}-{day:02}")?;
        let rest = self.0.rem_euclid(DAY);
        if rest == 0 {
            return Ok(());
        }
        write!(f, "T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
    }
}

/// The text is not a date, nor a date and a time of day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseTimeError;

impl fmt::Display for ParseTimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a time; write a date as in 2026-12-31, or 2026-12-31T12:00:00Z")
    }
}

impl core::error::Error for ParseTimeError {}

impl FromStr for Time {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Self, ParseTimeError> {
        parse(text).ok_or(ParseTimeError)
    }
}

fn parse(text: &str) -> Option<Time> {
    let (date, clock) = match text.split_once('T') {
        Some((date, clock)) => (date, Some(clock.strip_suffix('Z')?)),
        None => (text, None),
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = match clock {
        Some(clock) => numbers(clock, ':', [2, 2, 2])?,
        None => [0; 3],
    };
    let real = (1..=12).contains(&month) && year >= 1 && day >= 1 && day <= last_day(year, month);
    let day = (real && hour < 24 && minute < 60 && second < 60).then(|| days(year, month, day))?;
    Some(Time(day * DAY + hour * 3600 + minute * 60 + second))
}

/// Three numbers of so many digits each.
fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(between);
    let mut out = [0; 3];
    for (slot, len) in out.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == len)?;
        *slot = part.bytes().all(|c| c.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(out)
}

const fn last_day(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. The year begins in March here, so that
/// the odd day of February comes last.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year
        - 719_468
}

/// The date of a day counted from 1970-01-01.
const fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let cycle = day.div_euclid(146_097);
    let of_cycle = day.rem_euclid(146_097);
    let year = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = cycle * 400 + year + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn times_read_and_write() {
        let unix = |text: &str| text.parse::<Time>().unwrap().unix();
        assert_eq!(unix("1970-01-01"), 0);
        assert_eq!(unix("2000-02-29"), 951_782_400);
        assert_eq!(unix("2026-11-28T22:05:36Z"), 1_795_903_536);
        assert_eq!(unix("1969-12-31T23:59:59Z"), -1);
        for text in ["0001-01-01", "1600-02-29", "2026-12-31", "9999-12-31T23:59:59Z"] {
            assert_eq!(text.parse::<Time>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn every_day_of_eight_centuries_reads_back() {
        for day in days(1600, 1, 1)..days(2400, 1, 1) {
            let time = Time(day * DAY);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-29",
            "1900-02-29",
            "0000-01-01",
            "2026-1-1",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00Z",
            "+026-01-01",
            "2026-01-01-01",
        ] {
            assert_eq!(bad.parse::<Time>(), Err(ParseTimeError), "{bad}");
        }
    }

    #[test]
    fn sums_stay_within_the_calendar() {
        let last = Time::from_unix(u64::MAX);
        assert_eq!(last.to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(last.after(Duration::from_secs(1)), None);
        assert_eq!(last.before(Duration::from_secs(u64::MAX)), None);
        let first: Time = "0001-01-01".parse().unwrap();
        assert_eq!(first.before(Duration::from_secs(1)), None);
        assert_eq!(first.after(Duration::from_hours(24)).unwrap().to_string(), "0001-01-02");
    }
}
