//! Times as in RFC 3339, in UTC with milliseconds.

use std::fmt;

use goat_core::Timestamp;

const DAY: i64 = 86_400_000;

/// The last time that RFC 3339 has: the end of the year 9999.
const LATEST: i64 = 253_402_300_799_999;

/// Shows a time such as `2026-01-31T09:26:53.589Z`. One outside of the years 1970 to 9999 is the nearest of
/// them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rfc3339(pub(crate) Timestamp);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.0.as_millis().clamp(0, LATEST);
        let (year, month, day) = date(time / DAY);
        let rest = time % DAY;
        let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
        let (second, millisecond) = (rest / 1000 % 60, rest % 1000);
        write!(
            formatter,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z"
        )
    }
}

/// Returns the date of a day since 1970-01-01 in the Gregorian calendar. The year is counted from March, so
/// that a leap day is its last.
const fn date(day: i64) -> (i64, i64, i64) {
    // Since 0000-03-01.
    let day = day + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_shown_in_utc_with_milliseconds() {
        for (milliseconds, expected) in [
            (i64::MIN, "1970-01-01T00:00:00.000Z"),
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000 - 1, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_767_225_600_120, "2026-01-01T00:00:00.120Z"),
            (1_798_761_599_999, "2026-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (LATEST, "9999-12-31T23:59:59.999Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Rfc3339(Timestamp::from_millis(milliseconds)).to_string(), expected);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let (mut year, mut month, mut day) = date(0);
        assert_eq!((year, month, day), (1970, 1, 1));
        for number in 1..=LATEST / DAY {
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 if is_leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > last {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
            assert_eq!(date(number), (year, month, day));
        }
        assert_eq!((year, month, day), (9999, 12, 31));
    }
}
