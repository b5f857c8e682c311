//! What an application may ask of limits: charge one.
//!
//! Invariant: a store that fails never admits anybody (B8).

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::clock::Time;
use crate::error::Error;

use super::{Charge, LimitKey, LimitLoad, LimitStore, Quota, Spending, Spent};

/// Charges limits. Cheap to clone.
///
/// ```
/// # async fn example() -> goat_core::Result<()> {
/// use std::sync::Arc;
/// use goat_core::limit::{LimitKey, Limits};
/// use goat_core::store::memory::MemoryLimits;
/// use goat_core::{Quota, SystemClock, Time};
///
/// let time = Time::new(Arc::new(SystemClock::start()));
/// let limits = Limits::new(Arc::new(MemoryLimits::default()), time);
///
/// let key = LimitKey::text("export", "alice");
/// let charge = limits.charge("export", key, Quota::per_hour(2)).await?;
/// assert!(!charge.refuses());
/// assert_eq!(charge.remaining, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Limits {
    store: Arc<dyn LimitStore>,
    time: Time,
}

impl Limits {
    /// Counts in `store`, by the stopwatch of `time` where the store has none of its own.
    #[must_use]
    pub fn new(store: Arc<dyn LimitStore>, time: Time) -> Self {
        Self { store, time }
    }

    /// Charges one to `key`, unless the quota refuses. `limit` is the name that the [`Charge`]
    /// carries; it should be the one that the key was made with.
    ///
    /// The store is asked before this returns. A name that is `'static` and a store in memory cost
    /// no allocation; see [`Charging::ready`].
    pub fn charge(
        &self,
        limit: impl Into<Cow<'static, str>>,
        key: LimitKey,
        quota: Quota,
    ) -> Charging {
        let spending = self.store.spend(key, quota, self.time.elapsed());
        Charging { limit: limit.into(), quota, spending }
    }

    /// The time that they count by, where the store has none of its own.
    #[must_use]
    pub fn time(&self) -> &Time {
        &self.time
    }

    /// How full the store is, for metrics; `None` where it is not in this process.
    #[must_use]
    pub fn load(&self) -> Option<LimitLoad> {
        self.store.load()
    }
}

/// A charge on its way: a future of `Result<`[`Charge`]`, `[`Error`]`>`.
///
/// A charge that the limit refuses is `Ok`, and [`Charge::refuses`] says so. A store that fails is
/// an error, [`Error::is_unavailable`] if it is down. To drop the future is safe: either the limit
/// was charged or it was not.
#[derive(Debug)]
#[must_use = "a limit that nobody waits for refuses nobody"]
pub struct Charging {
    limit: Cow<'static, str>,
    quota: Quota,
    spending: Spending,
}

impl Charging {
    /// The charge without waiting, where the store has answered already; otherwise the future back.
    ///
    /// # Errors
    ///
    /// The future, if the store is elsewhere and must be waited for.
    pub fn ready(self) -> Result<Charge, Self> {
        match self.spending {
            Spending::Done(spent) => Ok(charge(self.limit, self.quota, spent)),
            Spending::Pending(_) => Err(self),
        }
    }
}

impl Future for Charging {
    type Output = Result<Charge, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let spent = match &mut self.spending {
            Spending::Done(spent) => *spent,
            Spending::Pending(pending) => match pending.as_mut().poll(context) {
                Poll::Ready(Ok(spent)) => spent,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            },
        };
        let limit = std::mem::take(&mut self.limit);
        Poll::Ready(Ok(charge(limit, self.quota, spent)))
    }
}

fn charge(limit: Cow<'static, str>, quota: Quota, spent: Spent) -> Charge {
    let Spent { remaining, reset_after, retry_after } = spent;
    Charge { limit, quota, remaining, reset_after, retry_after }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::ErrorKind;
    use crate::store::memory::MemoryLimits;
    use crate::testing::ManualClock;
    use crate::testing::limits::{DeferredLimits, FailingLimits};

    fn limits(store: impl LimitStore + 'static) -> (Limits, ManualClock) {
        let clock = ManualClock::default();
        (Limits::new(Arc::new(store), Time::new(Arc::new(clock.clone()))), clock)
    }

    #[test]
    fn a_limit_in_memory_answers_without_being_awaited() {
        let (limits, clock) = limits(MemoryLimits::new(10));
        let key = LimitKey::text("export", "alice");
        let ask = || limits.charge("export", key, Quota::per_minute(1)).ready().expect("at once");
        let admitted = ask();
        assert_eq!(admitted.limit, "export");
        assert_eq!(admitted.quota, Quota::per_minute(1));
        assert_eq!(admitted.remaining, 0);
        assert_eq!(admitted.reset_after, Duration::from_secs(60));
        assert!(!admitted.refuses());
        clock.advance(Duration::from_secs(10));
        assert_eq!(ask().retry_after, Some(Duration::from_secs(50)));
        clock.advance(Duration::from_secs(50));
        assert!(!ask().refuses());
    }

    #[tokio::test]
    async fn a_limit_elsewhere_is_waited_for() {
        let (limits, _) = limits(DeferredLimits::new(MemoryLimits::new(10)));
        let key = LimitKey::text("export", "alice");
        let charging = limits.charge("export", key, Quota::per_minute(1));
        let charge = charging.ready().expect_err("not at once").await.expect("a charge");
        assert_eq!((charge.limit.as_ref(), charge.remaining), ("export", 0));
        let charge = limits.charge("export", key, Quota::per_minute(1)).await.expect("a charge");
        assert!(charge.refuses());
    }

    #[test]
    fn a_calendar_set_forward_gives_nothing_back() {
        let (limits, clock) = limits(MemoryLimits::new(10));
        let key = LimitKey::text("login", "alice");
        let ask = || limits.charge("login", key, Quota::per_minute(1)).ready().expect("at once");
        assert!(!ask().refuses());
        clock.set_calendar(crate::Timestamp::from_seconds(4_000_000_000));
        assert!(ask().refuses());
    }

    /// B8
    #[tokio::test]
    async fn a_store_that_fails_admits_nobody() {
        let (limits, _) = limits(FailingLimits);
        let key = LimitKey::text("login", "alice");
        for _ in 0..3 {
            let charging = limits.charge("login", key, Quota::per_minute(5));
            let charging = charging.ready().expect_err("nothing to answer with");
            let error = charging.await.expect_err("the store is down");
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.retry_after().is_some());
        }
    }
}
