//! The arithmetic of a quota with a burst: the generic cell rate algorithm, exact in integers.
//!
//! A key has one number, the theoretical arrival time: until then it *owes*. A call that is
//! admitted adds `window / limit` to what its key owes, time takes it off, and a call is admitted
//! if the key then owes no more than `burst` times that.
//!
//! So of calls `n` apart that are admitted within a time `t`, the last finds at least `n` times
//! `window / limit` less `t` owed, which is at most `burst - 1` times: `n` is at most
//! `burst - 1 + t * limit / window`, and with the first there are `burst + ⌊t * limit / window⌋`.
//!
//! Invariant: nothing is rounded but the answers, and those towards refusal. `window / limit` may
//! be no whole number of nanoseconds, so that time is counted in *parts*: a nanosecond has `limit`
//! of them, and a call costs as many as the window has nanoseconds.

use std::time::Duration;

use super::{Quota, Spent};

/// A quota with a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    limit: u32,
    burst: u32,
    /// In nanoseconds: at most 366 days, which is 55 bits.
    window: u64,
}

impl Pace {
    /// `None` for a quota without a burst.
    pub(crate) fn of(quota: Quota) -> Option<Self> {
        let burst = quota.burst_size()?;
        let window = u64::try_from(quota.window().as_nanos()).ok()?;
        Some(Self { limit: quota.limit(), burst, window })
    }

    /// How many parts a nanosecond has.
    pub(crate) fn parts(self) -> u32 {
        self.limit
    }

    /// What a call costs, in parts.
    pub(crate) fn cost(self) -> u64 {
        self.window
    }

    /// The most that a key may owe for one more to be admitted, in parts: at most 87 bits.
    pub(crate) fn tolerance(self) -> u128 {
        self.costs(self.burst - 1)
    }

    /// What a caller is told: so many parts are owed now, its own call included if it was admitted.
    pub(crate) fn spent(self, owed: u128, is_refused: bool) -> Spent {
        let free = self.costs(self.burst).saturating_sub(owed);
        // No more than the burst, and so no more than 32 bits.
        let remaining = divide(free, u128::from(self.window)) as u32;
        let until_one_more = self.costs(self.burst.saturating_sub(remaining + 1));
        let wait = owed.saturating_sub(until_one_more);
        let whole = divide(wait, u128::from(self.limit));
        let is_rounded = whole * u128::from(self.limit) < wait;
        // What a burst takes is below a year, in nanoseconds of 64 bits.
        let reset_after = Duration::from_nanos((whole + u128::from(is_rounded)) as u64);
        Spent { remaining, reset_after, retry_after: is_refused.then_some(reset_after) }
    }

    fn costs(self, calls: u32) -> u128 {
        u128::from(calls) * u128::from(self.window)
    }
}

/// Rounded down. The short way is the usual one, and a good deal quicker.
fn divide(number: u128, by: u128) -> u128 {
    match (u64::try_from(number), u64::try_from(by)) {
        (Ok(number), Ok(by)) => u128::from(number / by),
        _ => number / by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_without_a_burst_has_no_pace() {
        assert_eq!(Pace::of(Quota::per_minute(60)), None);
        assert!(Pace::of(Quota::per_minute(60).burst(60)).is_some());
    }

    /// B5: what is no whole number of nanoseconds is rounded up.
    #[test]
    fn waits_are_rounded_towards_refusal() {
        let pace = Pace::of(Quota::per_second(7).burst(2)).expect("a burst");
        let cost = u128::from(pace.cost());
        // One call: a seventh of a second.
        let spent = pace.spent(cost, false);
        assert_eq!((spent.remaining, spent.retry_after), (1, None));
        assert_eq!(spent.reset_after, Duration::from_nanos(142_857_143));
        // Three sevenths are whole only as three sevenths.
        let spent = pace.spent(3 * cost, true);
        assert_eq!(spent.retry_after, Some(Duration::from_nanos(285_714_286)));
        // A part of a nanosecond is owed still.
        let spent = pace.spent(pace.tolerance() + 1, true);
        assert_eq!((spent.remaining, spent.retry_after), (0, Some(Duration::from_nanos(1))));
    }

    #[test]
    fn the_largest_numbers_fit() {
        let year = Duration::from_secs(366 * 86_400);
        for quota in [
            Quota::new(u32::MAX, year).burst(u32::MAX),
            Quota::new(1, year).burst(1),
            Quota::per_second(u32::MAX).burst(u32::MAX),
            Quota::per_second(u32::MAX).burst(1),
            Quota::per_second(136).burst(u32::MAX),
        ] {
            let (pace, burst) =
                (Pace::of(quota).expect("a burst"), quota.burst_size().expect("one"));
            let all = pace.tolerance() + u128::from(pace.cost());
            let each = (quota.window().as_nanos()).div_ceil(u128::from(quota.limit()));
            let first = pace.spent(u128::from(pace.cost()), false);
            assert_eq!((first.remaining, first.reset_after.as_nanos()), (burst - 1, each));
            let last = pace.spent(all, false);
            assert_eq!((last.remaining, last.reset_after.as_nanos()), (0, each));
        }
    }
}
