//! Rate limiter: acquires one request from a limit and returns the decision.
//!
//! Invariant: a failing store never admits a request (B8).

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::clock::Time;
use crate::error::Error;

use super::{
    Decision, LimitKey, LimitLoad, LimitStore, PendingReply, Quota, StoreAcquire, StoreDecision,
    StoreReply,
};

/// How many times the quota of an address its IPv6 /48 has.
const NETWORK_FACTOR: NonZeroU32 = NonZeroU32::MIN.saturating_add(15);

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
        PendingDecision { limit: limit.into(), acquire: Acquire::One(quota, acquire) }
    }

    /// Acquires one request from two counters, or from neither of them, as one limit. The decision is
    /// that of the counter that refuses, or of the one with the least remaining.
    ///
    /// The keys are [siblings](LimitKey::sibling), and the counters differ.
    pub fn acquire_both(
        &self,
        limit: impl Into<Cow<'static, str>>,
        counters: [(LimitKey, Quota); 2],
    ) -> PendingDecision {
        let quotas = counters.map(|(_, quota)| quota);
        let acquire = match self.store.acquire_both(counters, self.time.elapsed()) {
            StoreReply::Pending(pending) => Acquire::Both(quotas, pending),
            StoreReply::Ready(decisions) => {
                let (quota, decision) = binding(quotas, decisions);
                Acquire::One(quota, StoreAcquire::Ready(decision))
            }
        };
        PendingDecision { limit: limit.into(), acquire }
    }

    /// Acquires one request from a key that an address is a part of, and from the same key with the
    /// address's [network](LimitKey::network), if it has one, at sixteen times the quota.
    ///
    /// A client with an IPv6 /48 has 65,536 networks of the size that counts as one address.
    pub fn acquire_in_network(
        &self,
        limit: impl Into<Cow<'static, str>>,
        key: LimitKey,
        network: Option<LimitKey>,
        quota: Quota,
    ) -> PendingDecision {
        match network {
            None => self.acquire(limit, key, quota),
            Some(network) => {
                self.acquire_both(limit, [(key, quota), (network, quota.times(NETWORK_FACTOR))])
            }
        }
    }

    /// Acquires one request of a client address, as a limit of requests by address does: IPv6 by its
    /// /64, and by its /48 at sixteen times the quota. `counter` is the name of the counters.
    ///
    /// ```
    /// # async fn example() -> goat_core::Result<()> {
    /// use goat_core::testing::TestGoat;
    /// use goat_core::Quota;
    ///
    /// let limits = TestGoat::new().goat.limits().clone();
    /// let address = "2001:db8::7".parse().expect("an address");
    /// let decision = limits.acquire_by_address("form", "form", address, Quota::per_minute(5)).await?;
    /// assert_eq!(decision.remaining, 4);
    /// # Ok(())
    /// # }
    /// ```
    pub fn acquire_by_address(
        &self,
        limit: impl Into<Cow<'static, str>>,
        counter: &str,
        address: IpAddr,
        quota: Quota,
    ) -> PendingDecision {
        let key = LimitKey::address(counter, address);
        self.acquire_in_network(limit, key, LimitKey::network(counter, address), quota)
    }

    /// Acquires one request from two limits, or from neither of them. If one refuses, only the
    /// decisions that refuse are meaningful.
    pub(crate) async fn acquire_each(
        &self,
        limits: [(&'static str, LimitKey, Quota); 2],
    ) -> Result<[Decision; 2], Error> {
        let counters = limits.map(|(_, key, quota)| (key, quota));
        let replies = self.store.acquire_both(counters, self.time.elapsed()).wait().await?;
        let [first, second] = limits.map(|(limit, _, quota)| (Cow::Borrowed(limit), quota));
        Ok([replies[0].of(first.0, first.1), replies[1].of(second.0, second.1)])
    }

    /// Forgets all requests of a key under a quota, as after a successful login.
    ///
    /// # Errors
    ///
    /// If the store is unavailable; then the requests still count.
    pub async fn reset(&self, key: LimitKey, quota: Quota) -> Result<(), Error> {
        Ok(self.store.reset(key, quota).wait().await?)
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
    acquire: Acquire,
}

/// The call of the store.
enum Acquire {
    One(Quota, StoreAcquire),
    Both([Quota; 2], PendingReply<[StoreDecision; 2]>),
}

impl fmt::Debug for Acquire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(quota, acquire) => {
                formatter.debug_tuple("One").field(quota).field(acquire).finish()
            }
            Self::Both(quotas, _) => formatter.debug_tuple("Both").field(quotas).finish(),
        }
    }
}

/// Returns the decision that a client has to wait for, or that leaves it the least.
fn binding(quotas: [Quota; 2], decisions: [StoreDecision; 2]) -> (Quota, StoreDecision) {
    let [first, second] = decisions;
    let is_second = match (first.retry_after, second.retry_after) {
        (None, None) => second.remaining < first.remaining,
        (first, second) => second > first,
    };
    let index = usize::from(is_second);
    (quotas[index], decisions[index])
}

impl PendingDecision {
    /// Returns the decision without waiting if the store has made it already.
    ///
    /// # Errors
    ///
    /// Returns the future itself if the store is remote and must be awaited.
    pub fn ready(self) -> Result<Decision, Self> {
        match self.acquire {
            Acquire::One(quota, StoreAcquire::Ready(decision)) => {
                Ok(decision.of(self.limit, quota))
            }
            Acquire::One(_, StoreAcquire::Pending(_)) | Acquire::Both(..) => Err(self),
        }
    }
}

impl Future for PendingDecision {
    type Output = Result<Decision, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (quota, decision) = match &mut self.acquire {
            Acquire::One(quota, StoreAcquire::Ready(decision)) => (*quota, *decision),
            Acquire::One(quota, StoreAcquire::Pending(pending)) => {
                (*quota, ready!(pending.as_mut().poll(context))?)
            }
            Acquire::Both(quotas, pending) => {
                binding(*quotas, ready!(pending.as_mut().poll(context))?)
            }
        };
        let limit = std::mem::take(&mut self.limit);
        Poll::Ready(Ok(decision.of(limit, quota)))
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

    /// B9: a client with a whole /48 gets no more than sixteen times the quota of an address.
    #[test]
    fn an_ipv6_48_is_bounded_at_sixteen_times_the_quota() {
        for quota in [Quota::per_minute(2), Quota::per_minute(2).burst(2)] {
            let (limits, clock) = limits(MemoryLimits::new(1_000));
            let ask = |address: String| {
                let address = address.parse().expect("an address");
                limits.acquire_by_address("auth", "login", address, quota).ready().expect("at once")
            };
            let subnets = || (0..100).map(|subnet| ask(format!("2001:db8:1:{subnet:x}::1")));
            let admitted = subnets().filter(|decision| !decision.is_limited()).count();
            assert_eq!(admitted, 32, "{quota}");
            let refused = ask("2001:db8:1:63::1".to_owned());
            assert_eq!((refused.remaining, refused.quota), (0, quota.times(NETWORK_FACTOR)));
            // Neither another /48 nor IPv4 is affected, and a refused call charges no address.
            assert_eq!(ask("2001:db8:2::1".to_owned()).remaining, 1);
            assert_eq!(ask("192.0.2.1".to_owned()).remaining, 1);
            clock.advance(Duration::from_secs(60));
            assert_eq!(ask("2001:db8:1:63::1".to_owned()).remaining, 1);
        }
    }

    #[tokio::test]
    async fn a_limit_of_two_counters_shows_the_binding_one() {
        let key = LimitKey::text("export", "alice");
        let counters = [(key, Quota::per_minute(2)), (key.sibling(b"day"), Quota::per_day(3))];
        let (direct, clock) = limits(MemoryLimits::new(10));
        let (remote, remote_clock) = limits(DeferredLimits::new(MemoryLimits::new(10)));
        for (limits, clock) in [(direct, clock), (remote, remote_clock)] {
            let ask = async || limits.acquire_both("export", counters).await.expect("a decision");
            let first = ask().await;
            assert_eq!((first.quota, first.remaining), (Quota::per_minute(2), 1));
            assert_eq!(ask().await.remaining, 0);
            assert_eq!(ask().await.retry_after, Some(Duration::from_secs(60)));
            clock.advance(Duration::from_secs(60));
            let last = ask().await;
            assert_eq!((last.quota, last.remaining), (Quota::per_day(3), 0));
            let refused = ask().await;
            let wait = Duration::from_secs(86_400 - 60);
            assert_eq!((refused.quota, refused.retry_after), (Quota::per_day(3), Some(wait)));
            limits.reset(counters[1].0, counters[1].1).await.expect("a store");
            assert_eq!(ask().await.remaining, 0, "the minute has one more");
            assert_eq!(ask().await.quota, Quota::per_minute(2));
        }
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
