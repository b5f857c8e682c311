//! Quotas in words.
//!
//! Invariant: the words are exact. An interval that is not a whole number of nanoseconds is a
//! fraction.

use std::fmt::{self, Formatter};
use std::time::Duration;

use super::Quota;

const SECOND: u128 = 1_000_000_000;

/// Units of longer durations, used if the duration is a whole number of them.
const LONGER: [(u128, &str); 3] =
    [(86_400 * SECOND, "day"), (3_600 * SECOND, "hour"), (60 * SECOND, "minute")];

/// Units of all other durations: the first that fits at least once.
const SHORTER: [(u128, &str); 4] =
    [(SECOND, "second"), (1_000_000, "millisecond"), (1_000, "microsecond"), (1, "nanosecond")];

impl fmt::Display for Quota {
    /// Words for a log or a start, such as "5 per 90 seconds".
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} per {}", self.limit, Words(self.window))?;
        match self.burst {
            Some(burst) => {
                write!(formatter, ", one every {}, at most {burst} at once", Each(*self))
            }
            None => Ok(()),
        }
    }
}

/// A duration in its largest whole unit: "minute", "90 seconds", "2.5 seconds".
struct Words(Duration);

impl fmt::Display for Words {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.as_nanos();
        let longer = LONGER.iter().find(|(unit, _)| nanoseconds.is_multiple_of(*unit));
        let shorter = || SHORTER.iter().find(|(unit, _)| nanoseconds >= *unit);
        let Some((unit, name)) = longer.or_else(shorter) else { return Ok(()) };
        let (whole, rest) = (nanoseconds / unit, nanoseconds % unit);
        if rest > 0 {
            // As many digits as a unit has decimal places in nanoseconds.
            let places = unit.ilog10() as usize;
            let digits = format!("{rest:0places$}");
            return write!(formatter, "{whole}.{} {name}s", digits.trim_end_matches('0'));
        }
        if whole == 1 { formatter.write_str(name) } else { write!(formatter, "{whole} {name}s") }
    }
}

/// The interval in which capacity for one request returns.
struct Each(Quota);

impl fmt::Display for Each {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let (nanoseconds, limit) = (self.0.window.as_nanos(), u128::from(self.0.limit));
        if let (0, Ok(each)) = (nanoseconds % limit, u64::try_from(nanoseconds / limit)) {
            return Words(Duration::from_nanos(each)).fmt(formatter);
        }
        // A fraction of a second in its lowest terms.
        let divisor = greatest_common_divisor(nanoseconds, limit * SECOND);
        let (parts, of) = (nanoseconds / divisor, limit * SECOND / divisor);
        match (parts / of, parts % of) {
            (0, parts) => write!(formatter, "{parts}/{of} second"),
            (whole, parts) => write!(formatter, "{whole} {parts}/{of} seconds"),
        }
    }
}

fn greatest_common_divisor(mut a: u128, mut b: u128) -> u128 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_words(limit: u32, window: Duration) -> String {
        Quota::new(limit, window).to_string()
    }

    #[test]
    fn a_quota_displays_its_limit_and_window() {
        let seconds = Duration::from_secs;
        assert_eq!(Quota::per_second(4000).to_string(), "4000 per second");
        assert_eq!(Quota::per_minute(60).to_string(), "60 per minute");
        assert_eq!(Quota::per_hour(1).to_string(), "1 per hour");
        assert_eq!(Quota::per_day(1).to_string(), "1 per day");
        assert_eq!(in_words(1, seconds(4000)), "1 per 4000 seconds");
        assert_eq!(in_words(5, seconds(90)), "5 per 90 seconds");
        assert_eq!(in_words(5, seconds(120)), "5 per 2 minutes");
        assert_eq!(in_words(5, seconds(5_400)), "5 per 90 minutes");
        assert_eq!(in_words(5, seconds(86_400 * 7)), "5 per 7 days");
        assert_eq!(in_words(5, Duration::from_millis(2_500)), "5 per 2.5 seconds");
        assert_eq!(in_words(5, Duration::new(61, 50)), "5 per 61.00000005 seconds");
    }

    #[test]
    fn a_burst_displays_its_interval_and_size() {
        for (quota, every) in [
            (Quota::per_minute(60), "second"),
            (Quota::per_minute(1), "minute"),
            (Quota::per_hour(30), "2 minutes"),
            (Quota::per_minute(40), "1.5 seconds"),
            (Quota::per_second(1_000), "millisecond"),
            (Quota::per_second(4_000), "250 microseconds"),
            (Quota::per_second(16), "62.5 milliseconds"),
            (Quota::per_second(1_000_000_000), "nanosecond"),
            (Quota::per_minute(1_000_000_000), "60 nanoseconds"),
        ] {
            let expected = format!("{quota}, one every {every}, at most 1 at once");
            assert_eq!(quota.burst(1).to_string(), expected);
        }
        let all = Quota::per_minute(60).burst(10).to_string();
        assert_eq!(all, "60 per minute, one every second, at most 10 at once");
    }

    #[test]
    fn an_interval_of_no_whole_nanoseconds_is_a_fraction() {
        for (quota, every) in [
            (Quota::per_second(7), "1/7 second"),
            (Quota::per_minute(7), "8 4/7 seconds"),
            (Quota::per_minute(90), "2/3 second"),
            (Quota::per_second(4_096), "1/4096 second"),
            (Quota::per_second(u32::MAX), "1/4294967295 second"),
            (Quota::new(3, Duration::from_nanos(1_000_000_001)), "1000000001/3000000000 second"),
        ] {
            let expected = format!("{quota}, one every {every}, at most 5 at once");
            assert_eq!(quota.burst(5).to_string(), expected);
        }
    }
}
