//! A quota: so many in a while, and what it says after it was asked.
//!
//! Invariants: a quota admits at least one, in a window from one second to 366 days; a burst is at
//! least one, and all of it is given back within 366 days.

mod words;

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::time::Duration;

/// A leap year: no limit is meant to outlast it, and stores may count on it.
const LONGEST_WINDOW: Duration = Duration::from_secs(366 * 86_400);

/// How much is allowed: so many in a window of time.
///
/// The argument is always how many, and the name of the constructor in how long:
/// `Quota::per_second(4000)` is four thousand a second. Nothing here takes the pause between two
/// calls, so the one cannot be given for the other; and a quota prints itself in words, for logs.
///
/// ```
/// use std::time::Duration;
/// use goat_core::Quota;
///
/// assert_eq!(Quota::per_second(4000).to_string(), "4000 per second");
/// assert_eq!(Quota::new(5, Duration::from_secs(90)).to_string(), "5 per 90 seconds");
/// assert_eq!(
///     Quota::per_minute(60).burst(10).to_string(),
///     "60 per minute, one every second, at most 10 at once",
/// );
/// ```
///
/// There are two ways to count. As it is made, a quota is counted by an exact log of the calls in
/// the sliding window; [`burst`](Self::burst) chooses the generic cell rate algorithm (GCRA, the
/// virtual scheduling of ITU-T I.371) in its place:
///
/// | | `per_minute(60)` | `per_minute(60).burst(10)` |
/// |---|---|---|
/// | at once, at most | 60, the limit | 10, the burst |
/// | in any minute, at most | 60, the limit | 69, the burst and the limit less one |
/// | in any span of length t, at most | 60 × ⌈t / 1 min⌉ | 10 + ⌊t / 1 s⌋ |
/// | given back | each call when it is a minute old: in the rhythm in which they were spent | one every second, whatever the rhythm was |
/// | who has spent all at once waits | a minute, and then has 60 again | a second, and then has 1 again |
/// | memory a key, in the process | 100 bytes, and 8 for each call from the third on: 590 | 80 bytes |
/// | memory a key, in Redis | 220 bytes, and 2 to 5 for each call: 340 | 230 bytes |
///
/// The spans are half-open, from an instant to just before another; where both ends belong to it, the
/// burst admits one more. What a call costs in time is about the same for both, some 75 ns in the
/// process on one key; `benches/README.md` has the figures.
///
/// Prefer the log where the number is a promise, such as of attempts to sign in or of what a plan
/// includes: never more than that, whenever one begins to count, and the client may spend it as it
/// likes. Prefer a burst where the purpose is an even load, where a client should not wait long for
/// the next call, or where limits are in the thousands for many keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    limit: u32,
    /// Set where one at a time is given back.
    burst: Option<NonZeroU32>,
    window: Duration,
}

impl Quota {
    /// `limit` in any window of that length.
    ///
    /// # Panics
    ///
    /// If `limit` is 0 or the window is not from one second to 366 days. As a constant, this does
    /// not compile.
    #[must_use]
    pub const fn new(limit: u32, window: Duration) -> Self {
        match Self::checked(limit, window) {
            Some(quota) => quota,
            None => panic!("a quota needs a limit of at least 1 and a window from 1 s to 366 days"),
        }
    }

    /// The same for numbers that come from outside; `None` where [`Quota::new`] would panic.
    #[must_use]
    pub const fn checked(limit: u32, window: Duration) -> Option<Self> {
        if limit == 0 || window.as_secs() < 1 || window.as_nanos() > LONGEST_WINDOW.as_nanos() {
            return None;
        }
        Some(Self { limit, burst: None, window })
    }

    /// `limit` in any second.
    ///
    /// # Panics
    ///
    /// If `limit` is 0.
    #[must_use]
    pub const fn per_second(limit: u32) -> Self {
        Self::new(limit, Duration::from_secs(1))
    }

    /// `limit` in any sixty seconds.
    ///
    /// # Panics
    ///
    /// If `limit` is 0.
    #[must_use]
    pub const fn per_minute(limit: u32) -> Self {
        Self::new(limit, Duration::from_secs(60))
    }

    /// `limit` in any sixty minutes.
    ///
    /// # Panics
    ///
    /// If `limit` is 0.
    #[must_use]
    pub const fn per_hour(limit: u32) -> Self {
        Self::new(limit, Duration::from_secs(3600))
    }

    /// `limit` in any twenty-four hours: no calendar's day, and nothing happens at midnight.
    ///
    /// # Panics
    ///
    /// If `limit` is 0.
    #[must_use]
    pub const fn per_day(limit: u32) -> Self {
        Self::new(limit, Duration::from_secs(86_400))
    }

    /// The same pace, evenly: one call is given back each `window / limit`, and no more than `burst`
    /// are ever there at once. So in any half-open window at most `burst + limit - 1` are admitted,
    /// and a burst of 1 admits one each `window / limit`. [`Quota`] compares it with the quota
    /// without a burst.
    ///
    /// A burst may be larger than the limit: `Quota::per_second(1).burst(60)` lets 60 through to
    /// somebody who did not ask for a minute, and then one a second.
    ///
    /// ```
    /// use goat_core::Quota;
    ///
    /// const STEADY: Quota = Quota::per_second(50).burst(100);
    /// assert_eq!(STEADY.to_string(), "50 per second, one every 20 milliseconds, at most 100 at once");
    /// assert_eq!(STEADY.burst_size(), Some(100));
    /// ```
    ///
    /// # Panics
    ///
    /// If `burst` is 0, or so large that all of it is given back in no less than 366 days, which is
    /// `burst * window / limit`: like the longest window, so that no counter outlasts it. A burst
    /// up to the limit is never too large. As a constant, this does not compile.
    #[must_use]
    pub const fn burst(self, burst: u32) -> Self {
        match self.checked_burst(burst) {
            Some(quota) => quota,
            None => panic!("a burst needs to be at least 1 and to be given back within 366 days"),
        }
    }

    /// The same for numbers that come from outside; `None` where [`Quota::burst`] would panic.
    #[must_use]
    pub const fn checked_burst(self, burst: u32) -> Option<Self> {
        let Some(size) = NonZeroU32::new(burst) else { return None };
        // Within a hundred bits: no overflow.
        let all = burst as u128 * self.window.as_nanos();
        if all > self.limit as u128 * LONGEST_WINDOW.as_nanos() {
            return None;
        }
        Some(Self { burst: Some(size), ..self })
    }

    /// How many.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// In how long.
    #[must_use]
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// How many at once, where they are given back one by one; `None` where the quota is counted by
    /// an exact log, and the limit may be spent at once.
    #[must_use]
    pub const fn burst_size(&self) -> Option<u32> {
        match self.burst {
            Some(burst) => Some(burst.get()),
            None => None,
        }
    }
}

/// What a limit said when it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The name of the limit, as the headers show it.
    pub limit: Cow<'static, str>,
    /// What it allows.
    pub quota: Quota,
    /// How many more it would admit now, at once: of the burst where the quota has one, else of
    /// the limit.
    pub remaining: u32,
    /// How long until one more remains than now, if nobody asks meanwhile; for a quota without a
    /// burst, the whole window if nothing was spent.
    pub reset_after: Duration,
    /// Set where the limit refuses: a caller that waits this long gets in, if nobody else spends
    /// from the same key. A limit that refuses is not charged.
    pub retry_after: Option<Duration>,
}

impl Charge {
    /// Whether the limit refuses.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.retry_after.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_has_a_limit_and_a_window_within_bounds() {
        let year = Duration::from_secs(366 * 86_400);
        assert!(Quota::checked(1, Duration::from_secs(1)).is_some());
        assert!(Quota::checked(u32::MAX, year).is_some());
        assert!(Quota::checked(0, Duration::from_secs(1)).is_none());
        assert!(Quota::checked(1, Duration::from_millis(999)).is_none());
        assert!(Quota::checked(1, year + Duration::from_nanos(1)).is_none());
        assert!(Quota::checked(1, Duration::MAX).is_none());
    }

    #[test]
    fn a_burst_is_at_least_one_and_given_back_within_a_year() {
        let year = Duration::from_secs(366 * 86_400);
        let sizes =
            |quota: Quota, burst| quota.checked_burst(burst).map(|quota| quota.burst_size());
        assert_eq!(sizes(Quota::per_minute(60), 0), None);
        assert_eq!(sizes(Quota::per_minute(60), 1), Some(Some(1)));
        assert_eq!(sizes(Quota::per_second(1), 60), Some(Some(60)));
        // As long as one may take, and one more.
        assert_eq!(sizes(Quota::new(1, year), 1), Some(Some(1)));
        assert_eq!(sizes(Quota::new(1, year), 2), None);
        assert_eq!(sizes(Quota::per_day(1), 366), Some(Some(366)));
        assert_eq!(sizes(Quota::per_day(1), 367), None);
        assert_eq!(sizes(Quota::per_second(1), 366 * 86_400 + 1), None);
        // A burst up to the limit is never too large.
        assert_eq!(sizes(Quota::new(u32::MAX, year), u32::MAX), Some(Some(u32::MAX)));
        assert_eq!(sizes(Quota::per_second(u32::MAX), u32::MAX), Some(Some(u32::MAX)));
        assert_eq!(sizes(Quota::per_second(136), u32::MAX), Some(Some(u32::MAX)));
        assert_eq!(sizes(Quota::per_second(135), u32::MAX), None);
    }

    #[test]
    fn a_quota_with_a_burst_is_another_quota() {
        const QUOTA: Quota = Quota::per_minute(60).burst(10);
        assert_eq!((QUOTA.limit(), QUOTA.window()), (60, Duration::from_secs(60)));
        assert_eq!(Quota::per_minute(60).burst_size(), None);
        assert_ne!(QUOTA, Quota::per_minute(60));
        assert_ne!(QUOTA, Quota::per_minute(60).burst(60));
        assert_eq!(Quota::per_minute(60).burst(3).burst(10), QUOTA, "the later word counts");
        assert_eq!(size_of::<Quota>(), 24);
    }

    #[test]
    #[should_panic(expected = "at least 1")]
    fn no_burst_at_all_is_no_quota() {
        let _ = Quota::per_minute(60).burst(0);
    }

    #[test]
    fn only_a_charge_that_says_when_to_come_back_refuses() {
        let admitted = Charge {
            limit: "auth".into(),
            quota: Quota::per_minute(1),
            remaining: 0,
            reset_after: Duration::from_secs(60),
            retry_after: None,
        };
        let refused = Charge { retry_after: Some(Duration::from_secs(60)), ..admitted.clone() };
        assert!(!admitted.refuses());
        assert!(refused.refuses());
    }
}
