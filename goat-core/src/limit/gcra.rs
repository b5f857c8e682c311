//! GCRA, the generic cell rate algorithm, in exact integer arithmetic.
//!
//! Each key stores one number, the theoretical arrival time; its distance from now is the key's
//! *debt*. An admitted call adds `window / limit` to the debt, the passing of time reduces it, and
//! a call is admitted if the debt, its own cost included, is at most `burst` times `window /
//! limit`.
//!
//! Bound: of two admitted calls that are `n` apart within a time `t`, the later one meets a debt of
//! at least `n` times `window / limit` less `t`, and the debt it meets is at most `burst - 1` times
//! that. So `n` is at most `burst - 1 + t * limit / window`, and at most `burst + ⌊t * limit /
//! window⌋` calls are admitted.
//!
//! Invariant: only results are rounded, and always towards rejection. Since `window / limit` may
//! not be a whole number of nanoseconds, time is counted in *parts*: a nanosecond has `limit`
//! parts, and a call costs as many parts as the window has nanoseconds.

use std::time::Duration;

use super::{Quota, StoreDecision};

/// Parameters of the algorithm for one quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gcra {
    limit: u32,
    burst: u32,
    /// In nanoseconds: at most 366 days, which is 55 bits.
    window: u64,
}

impl Gcra {
    /// Returns `None` for a quota without a burst.
    pub(crate) fn of(quota: Quota) -> Option<Self> {
        let burst = quota.burst_size()?;
        let window = u64::try_from(quota.window().as_nanos()).ok()?;
        Some(Self { limit: quota.limit(), burst, window })
    }

    /// Parts per nanosecond.
    pub(crate) fn parts(self) -> u32 {
        self.limit
    }

    /// Cost of one call, in parts.
    pub(crate) fn cost(self) -> u64 {
        self.window
    }

    /// Largest debt at which one more call is admitted, in parts: at most 87 bits.
    pub(crate) fn tolerance(self) -> u128 {
        self.costs(self.burst - 1)
    }

    /// Returns the decision for a debt in parts, which includes the call's own cost if it was
    /// admitted.
    pub(crate) fn decision(self, debt: u128, is_refused: bool) -> StoreDecision {
        let free = self.costs(self.burst).saturating_sub(debt);
        // At most the burst, which has 32 bits.
        let remaining = divide(free, u128::from(self.window)) as u32;
        let until_one_more = self.costs(self.burst.saturating_sub(remaining + 1));
        let wait = debt.saturating_sub(until_one_more);
        let whole = divide(wait, u128::from(self.limit));
        let is_rounded = whole * u128::from(self.limit) < wait;
        // A full burst is given back within 366 days, so its nanoseconds fit 64 bits.
        let reset_after = Duration::from_nanos((whole + u128::from(is_rounded)) as u64);
        StoreDecision { remaining, reset_after, retry_after: is_refused.then_some(reset_after) }
    }

    fn costs(self, calls: u32) -> u128 {
        u128::from(calls) * u128::from(self.window)
    }
}

/// Rounds down. The 64-bit division is the usual case, and much faster.
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
    fn a_quota_without_a_burst_does_not_use_gcra() {
        assert_eq!(Gcra::of(Quota::per_minute(60)), None);
        assert!(Gcra::of(Quota::per_minute(60).burst(60)).is_some());
    }

    /// B5: a wait that is not a whole number of nanoseconds is rounded up.
    #[test]
    fn waits_are_rounded_towards_rejection() {
        let gcra = Gcra::of(Quota::per_second(7).burst(2)).expect("a burst");
        let cost = u128::from(gcra.cost());
        // One call: a seventh of a second.
        let decision = gcra.decision(cost, false);
        assert_eq!((decision.remaining, decision.retry_after), (1, None));
        assert_eq!(decision.reset_after, Duration::from_nanos(142_857_143));
        // Three sevenths are rounded once, not three times.
        let decision = gcra.decision(3 * cost, true);
        assert_eq!(decision.retry_after, Some(Duration::from_nanos(285_714_286)));
        // One part of a nanosecond is still owed.
        let decision = gcra.decision(gcra.tolerance() + 1, true);
        assert_eq!((decision.remaining, decision.retry_after), (0, Some(Duration::from_nanos(1))));
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
            let (gcra, burst) =
                (Gcra::of(quota).expect("a burst"), quota.burst_size().expect("one"));
            let all = gcra.tolerance() + u128::from(gcra.cost());
            let each = (quota.window().as_nanos()).div_ceil(u128::from(quota.limit()));
            let first = gcra.decision(u128::from(gcra.cost()), false);
            assert_eq!((first.remaining, first.reset_after.as_nanos()), (burst - 1, each));
            let last = gcra.decision(all, false);
            assert_eq!((last.remaining, last.reset_after.as_nanos()), (0, each));
        }
    }
}
