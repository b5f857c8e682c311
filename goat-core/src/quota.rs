//! Quotas: how many requests per window of time, and the decision of a limit.
//!
//! Invariants: a quota admits at least one request, in a window from one second to 366 days; a
//! burst is at least one, and all of it is given back within 366 days.

mod words;

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::time::Duration;

/// One leap year. Stores may rely on this as the longest window.
const LONGEST_WINDOW: Duration = Duration::from_secs(366 * 86_400);

/// How many requests are allowed per window of time.
///
/// The argument is always the number of requests, and the constructor names the window:
/// `Quota::per_second(4000)` is four thousand per second. No constructor takes the interval between
/// two requests, so the two cannot be confused. A quota's `Display` form is in words, for logs.
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
/// There are two algorithms. By default an exact log counts the requests in the sliding window;
/// [`burst`](Self::burst) selects GCRA, the generic cell rate algorithm (the virtual scheduling of
/// ITU-T I.371):
///
/// | | `per_minute(60)` | `per_minute(60).burst(10)` |
/// |---|---|---|
/// | at once, at most | 60, the limit | 10, the burst |
/// | in any minute, at most | 60, the limit | 69, the burst and the limit less one |
/// | in any span of length t, at most | 60 × ⌈t / 1 min⌉ | 10 + ⌊t / 1 s⌋ |
/// | given back | each request one window after it was made | one every second |
/// | after using everything at once | wait a minute, then 60 again | wait a second, then 1 again |
/// | memory per key, in process | 100 bytes, plus 8 per request from the third on: 590 | 80 bytes |
/// | memory per key, in Redis | 220 bytes, plus 2 to 5 per request: 340 | 230 bytes |
///
/// The spans are half-open; in a closed span the burst admits one more. Both take about the same
/// time per request, some 75 ns in process on one key; `benches/README.md` has the figures.
///
/// Prefer the log where the number is a hard bound, such as attempts to sign in or the quota of a
/// plan: never more than that in any window, however the requests are spaced. Prefer a burst where
/// the purpose is a smooth load, where a client should not wait long for the next request, or where
/// limits are in the thousands for many keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    limit: u32,
    /// Set if the quota uses GCRA.
    burst: Option<NonZeroU32>,
    window: Duration,
}

impl Quota {
    /// `limit` requests in any window of that length.
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

    /// Like [`Quota::new`], for numbers from outside; returns `None` where that would panic.
    #[must_use]
    pub const fn checked(limit: u32, window: Duration) -> Option<Self> {
        if limit == 0 || window.as_secs() < 1 || window.as_nanos() > LONGEST_WINDOW.as_nanos() {
            return None;
        }
        Some(Self { limit, burst: None, window })
    }

    /// `limit` requests in any second.
    ///
    /// # Panics
    ///
    /// If `limit` is 0.
    #[must_use]
    pub const fn per_second(limit: u32) -> Self {
        Self::new(limit, Duration::from_secs(1))
    }

    /// `limit` requests in any sixty seconds.
    ///
    /// # Panics
    ///
    /// If `limit` is 0.
    #[must_use]
    pub const fn per_minute(limit: u32) -> Self {
        Self::new(limit, Duration::from_secs(60))
    }

    /// `limit` requests in any sixty minutes.
    ///
    /// # Panics
    ///
    /// If `limit` is 0.
    #[must_use]
    pub const fn per_hour(limit: u32) -> Self {
        Self::new(limit, Duration::from_secs(3600))
    }

    /// `limit` requests in any 24 hours: a sliding window, not a calendar day.
    ///
    /// # Panics
    ///
    /// If `limit` is 0.
    #[must_use]
    pub const fn per_day(limit: u32) -> Self {
        Self::new(limit, Duration::from_secs(86_400))
    }

    /// Limits the same rate by GCRA: capacity for one request returns every `window / limit`, up to
    /// `burst`. So any half-open window admits at most `burst + limit - 1` requests, and a burst of
    /// 1 admits one every `window / limit`. [`Quota`] compares both algorithms.
    ///
    /// A burst may be larger than the limit: `Quota::per_second(1).burst(60)` admits 60 at once
    /// after a minute without requests, and then one per second.
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
    /// If `burst` is 0, or takes more than 366 days to be given back (`burst * window / limit`), so
    /// that no counter outlives the longest window. A burst up to the limit is never too large. As
    /// a constant, this does not compile.
    #[must_use]
    pub const fn burst(self, burst: u32) -> Self {
        match self.checked_burst(burst) {
            Some(quota) => quota,
            None => panic!("a burst needs to be at least 1 and to be given back within 366 days"),
        }
    }

    /// Like [`Quota::burst`], for numbers from outside; returns `None` where that would panic.
    #[must_use]
    pub const fn checked_burst(self, burst: u32) -> Option<Self> {
        let Some(size) = NonZeroU32::new(burst) else { return None };
        // At most about a hundred bits: no overflow.
        let all = burst as u128 * self.window.as_nanos();
        if all > self.limit as u128 * LONGEST_WINDOW.as_nanos() {
            return None;
        }
        Some(Self { burst: Some(size), ..self })
    }

    /// Returns the quota of `factor` callers together: that many times the limit and the burst in the
    /// same window.
    #[must_use]
    pub(crate) fn times(self, factor: NonZeroU32) -> Self {
        // The larger burst is given back in at most the same time, also if the limit saturates.
        let burst = self.burst.map(|burst| burst.saturating_mul(factor));
        Self { limit: self.limit.saturating_mul(factor.get()), burst, window: self.window }
    }

    /// The number of requests per window.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// The length of the window.
    #[must_use]
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// The burst if the quota uses GCRA; `None` if it uses the sliding-window log.
    #[must_use]
    pub const fn burst_size(&self) -> Option<u32> {
        match self.burst {
            Some(burst) => Some(burst.get()),
            None => None,
        }
    }
}

/// The decision of a rate limit on one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The name of the limit in the `RateLimit` headers.
    pub limit: Cow<'static, str>,
    /// The quota of the limit.
    pub quota: Quota,
    /// How many more requests it would admit now, at once: of the burst if the quota has one, else
    /// of the limit.
    pub remaining: u32,
    /// Time until one more remains than now, if no request comes in between; for a quota without a
    /// burst, the whole window if nothing is counted.
    pub reset_after: Duration,
    /// Set if the request is limited: a caller that waits this long is admitted, if no other
    /// request uses the same key. A limited request is not counted.
    pub retry_after: Option<Duration>,
}

impl Decision {
    /// Whether the request is limited.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.retry_after.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_and_window_of_a_quota_are_bounded() {
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
        // The longest possible burst, and one more.
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
        assert_eq!(Quota::per_minute(60).burst(3).burst(10), QUOTA, "the last call wins");
        assert_eq!(size_of::<Quota>(), 24);
    }

    #[test]
    fn a_multiple_of_a_quota_is_a_quota() {
        let (year, sixteen) =
            (Duration::from_secs(366 * 86_400), NonZeroU32::MIN.saturating_add(15));
        assert_eq!(Quota::per_minute(5).times(sixteen), Quota::per_minute(80));
        let burst = Quota::per_minute(5).burst(3).times(sixteen);
        assert_eq!(burst, Quota::per_minute(80).burst(48));
        for quota in [
            Quota::new(u32::MAX, year),
            Quota::new(u32::MAX, year).burst(u32::MAX),
            Quota::new(u32::MAX / 15, year).burst(u32::MAX / 15),
            Quota::per_second(136).burst(u32::MAX),
            Quota::new(1, year).burst(1),
        ] {
            let times = quota.times(sixteen);
            assert_eq!(Quota::checked(times.limit(), times.window()).map(|_| ()), Some(()));
            let burst = times.burst_size().unwrap_or(1);
            assert!(times.checked_burst(burst).is_some(), "{times}");
        }
    }

    #[test]
    #[should_panic(expected = "at least 1")]
    fn a_burst_of_zero_panics() {
        let _ = Quota::per_minute(60).burst(0);
    }

    #[test]
    fn a_decision_with_a_wait_is_limited() {
        let admitted = Decision {
            limit: "auth".into(),
            quota: Quota::per_minute(1),
            remaining: 0,
            reset_after: Duration::from_secs(60),
            retry_after: None,
        };
        let refused = Decision { retry_after: Some(Duration::from_secs(60)), ..admitted.clone() };
        assert!(!admitted.is_limited());
        assert!(refused.is_limited());
    }
}
