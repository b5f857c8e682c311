//! Rate limiter: acquires one request from a limit and returns the decision.
//!
//! Invariant: a failing store never admits a request (B8).

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::clock::Time;
use crate::error::Error;

use super::{Decision, LimitKey, LimitLoad, LimitStore, Quota, StoreAcquire, StoreDecision};

/// Rate limiter over a [`LimitStore`]. Cheap to clone.
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
/// let decision = limits.acquire("export", key, Quota::per_hour(2)).await?;
/// assert!(!decision.is_limited());
/// assert_eq!(decision.remaining, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Limits {
    store: Arc<dyn LimitStore>,
    time: Time,
}

impl Limits {
    /// Counts in `store`, by the monotonic clock of `time` unless the store has its own.
    #[must_use]
    pub fn new(store: Arc<dyn LimitStore>, time: Time) -> Self {
        Self { store, time }
    }

    /// Acquires one request from `key` unless the quota is exhausted. `limit` is the name that the
    /// [`Decision`] carries; it should be the one that the key was made with.
    ///
    /// The store is called before this returns. With a `'static` name and an in-memory store this
    /// does not allocate; see [`PendingDecision::ready`].
    pub fn acquire(
        &self,
        limit: impl Into<Cow<'static, str>>,
        key: LimitKey,
        quota: Quota,
    ) -> PendingDecision {
        let acquire = self.store.acquire(key, quota, self.time.elapsed());
        PendingDecision { limit: limit.into(), quota, acquire }
    }

    /// The clock of this limiter, used where the store has none of its own.
    #[must_use]
    pub fn time(&self) -> &Time {
        &self.time
    }

    /// Size of the store, for metrics; `None` if the store is not in this process.
    #[must_use]
    pub fn load(&self) -> Option<LimitLoad> {
        self.store.load()
    }
}

/// A result with the rate-limit decisions made on the way to it.
#[derive(Clone, Debug)]
pub struct WithDecisions<T> {
    /// The result.
    pub value: T,
    /// The decisions, for the `RateLimit` headers of the response.
    pub decisions: Vec<Decision>,
}

/// A decision in progress: a future of `Result<`[`Decision`]`, `[`Error`]`>`.
///
/// A limited request is `Ok`, and [`Decision::is_limited`] returns true. A failing store is an
/// error, [`Error::is_unavailable`] if it is down. Dropping the future is safe: the request was
/// counted or it was not.
#[derive(Debug)]
#[must_use = "a limit has no effect unless its decision is awaited"]
pub struct PendingDecision {
    limit: Cow<'static, str>,
    quota: Quota,
    acquire: StoreAcquire,
}

impl PendingDecision {
    /// Returns the decision without waiting if the store has made it already.
    ///
    /// # Errors
    ///
    /// Returns the future itself if the store is remote and must be awaited.
    pub fn ready(self) -> Result<Decision, Self> {
        match self.acquire {
            StoreAcquire::Ready(decision) => Ok(decision.of(self.limit, self.quota)),
            StoreAcquire::Pending(_) => Err(self),
        }
    }
}

impl Future for PendingDecision {
    type Output = Result<Decision, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let decision = match &mut self.acquire {
            StoreAcquire::Ready(decision) => *decision,
            StoreAcquire::Pending(pending) => match pending.as_mut().poll(context) {
                Poll::Ready(Ok(decision)) => decision,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            },
        };
        let limit = std::mem::take(&mut self.limit);
        Poll::Ready(Ok(decision.of(limit, self.quota)))
    }
}

impl StoreDecision {
    /// Adds the name and the quota of the limit.
    fn of(self, limit: Cow<'static, str>, quota: Quota) -> Decision {
        let Self { remaining, reset_after, retry_after } = self;
        Decision { limit, quota, remaining, reset_after, retry_after }
    }
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
    fn an_in_memory_limit_decides_without_being_awaited() {
        let (limits, clock) = limits(MemoryLimits::new(10));
        let key = LimitKey::text("export", "alice");
        let ask = || limits.acquire("export", key, Quota::per_minute(1)).ready().expect("at once");
        let admitted = ask();
        assert_eq!(admitted.limit, "export");
        assert_eq!(admitted.quota, Quota::per_minute(1));
        assert_eq!(admitted.remaining, 0);
        assert_eq!(admitted.reset_after, Duration::from_secs(60));
        assert!(!admitted.is_limited());
        clock.advance(Duration::from_secs(10));
        assert_eq!(ask().retry_after, Some(Duration::from_secs(50)));
        clock.advance(Duration::from_secs(50));
        assert!(!ask().is_limited());
    }

    #[tokio::test]
    async fn a_remote_limit_is_awaited() {
        let (limits, _) = limits(DeferredLimits::new(MemoryLimits::new(10)));
        let key = LimitKey::text("export", "alice");
        let pending = limits.acquire("export", key, Quota::per_minute(1));
        let decision = pending.ready().expect_err("not at once").await.expect("a decision");
        assert_eq!((decision.limit.as_ref(), decision.remaining), ("export", 0));
        let decision =
            limits.acquire("export", key, Quota::per_minute(1)).await.expect("a decision");
        assert!(decision.is_limited());
    }

    #[test]
    fn a_wall_clock_set_forward_frees_no_capacity() {
        let (limits, clock) = limits(MemoryLimits::new(10));
        let key = LimitKey::text("login", "alice");
        let ask = || limits.acquire("login", key, Quota::per_minute(1)).ready().expect("at once");
        assert!(!ask().is_limited());
        clock.set_wall_clock(crate::Timestamp::from_seconds(4_000_000_000));
        assert!(ask().is_limited());
    }

    /// B8
    #[tokio::test]
    async fn a_failing_store_admits_no_request() {
        let (limits, _) = limits(FailingLimits);
        let key = LimitKey::text("login", "alice");
        for _ in 0..3 {
            let pending = limits.acquire("login", key, Quota::per_minute(5));
            let pending = pending.ready().expect_err("nothing to answer with");
            let error = pending.await.expect_err("the store is down");
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.retry_after().is_some());
        }
    }
}
