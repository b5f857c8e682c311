//! A quota: so many in a sliding window, and what it says after it was asked.
//!
//! Invariant: a quota admits at least one, in a window from one second to 366 days.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// A leap year: no limit is meant to outlast it, and stores may count on it.
const LONGEST_WINDOW: Duration = Duration::from_secs(366 * 86_400);

/// How much is allowed: never more than `limit` in any window of the given length.
///
/// ```
/// use std::time::Duration;
/// use goat_core::Quota;
///
/// assert_eq!(Quota::per_minute(60).to_string(), "60 per 60 s");
/// assert_eq!(Quota::new(5, Duration::from_secs(90)).to_string(), "5 per 90 s");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    limit: u32,
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
        Some(Self { limit, window })
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
}

impl fmt::Display for Quota {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} per {} s", self.limit, self.window.as_secs_f64())
    }
}

/// What a limit said when it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The name of the limit, as the headers show it.
    pub limit: Cow<'static, str>,
    /// What it allows.
    pub quota: Quota,
    /// How many are left now.
    pub remaining: u32,
    /// How long until one more is given back; the whole window if nothing was spent.
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
