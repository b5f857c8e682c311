//! Conformance suite of [`LimitStore`], and two limit stores for tests.
//!
//! [`conformance`] runs every case. Each case uses fresh keys, so that one store can run all cases,
//! repeatedly.
//!
//! Each function panics if the store violates a guarantee of the port.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use goat_core::store::memory::MemoryLimits;
//! use goat_core::testing::{ManualClock, limits};
//!
//! limits::conformance(&MemoryLimits::default(), &ManualClock::default()).await;
//! # }
//! ```

mod bursts;
mod model;
mod pairs;

use std::pin::Pin;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::error::StoreError;
use crate::limit::{LimitKey, LimitStore, Quota, StoreAcquire, StoreDecision, StoreReply};
use crate::secret;

use super::TestTime;

pub use bursts::{
    a_rejected_call_uses_no_burst, admits_at_most_the_burst_concurrently, admits_exactly_the_burst,
    counts_bursts_of_one_key_separately, returns_burst_capacity_evenly,
    returns_fractional_intervals_exactly,
};
pub use model::{LimitModel, decides_as_an_exact_model};
pub use pairs::{
    acquires_both_or_neither, admits_at_most_the_smaller_quota_concurrently,
    counts_calls_alone_and_in_pairs_together, forgets_the_calls_of_a_reset_counter,
};

const WINDOW: Duration = Duration::from_secs(1);

/// Runs every case below.
///
/// # Panics
///
/// If the store violates a guarantee.
pub async fn conformance(store: &dyn LimitStore, time: &dyn TestTime) {
    decides_as_an_exact_model(store, time).await;
    admits_exactly_the_quota(store, time).await;
    returns_capacity_as_the_window_slides(store, time).await;
    rejected_calls_are_not_counted(store, time).await;
    admits_after_retry_after(store, time).await;
    counts_keys_separately(store, time).await;
    counts_quotas_of_one_key_separately(store, time).await;
    counts_large_quotas_exactly(store, time).await;
    admits_at_most_the_quota_concurrently(store, time).await;
    admits_exactly_the_burst(store, time).await;
    returns_burst_capacity_evenly(store, time).await;
    a_rejected_call_uses_no_burst(store, time).await;
    counts_bursts_of_one_key_separately(store, time).await;
    returns_fractional_intervals_exactly(store, time).await;
    admits_at_most_the_burst_concurrently(store, time).await;
    acquires_both_or_neither(store, time).await;
    counts_calls_alone_and_in_pairs_together(store, time).await;
    admits_at_most_the_smaller_quota_concurrently(store, time).await;
    forgets_the_calls_of_a_reset_counter(store, time).await;
}

/// B4: the quota is admitted, `remaining` counts down, and the next call is rejected.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn admits_exactly_the_quota(store: &dyn LimitStore, time: &dyn TestTime) {
    let (key, quota) = (fresh_key(), Quota::new(5, WINDOW));
    for remaining in (0..5).rev() {
        let decision = acquire(store, time, key, quota).await;
        assert_eq!(decision.retry_after, None, "refused with {remaining} to remain: {decision:?}");
        assert_eq!(decision.remaining, remaining);
        assert_eq!(decision.reset_after, WINDOW);
    }
    let refused = acquire(store, time, key, quota).await;
    assert_eq!(refused.remaining, 0);
    let wait = refused.retry_after.expect("a sixth call in the window is refused");
    assert_eq!(wait, WINDOW);
    assert_eq!(refused.reset_after, wait);
}

/// B4: the window slides. Capacity returns in the rhythm in which it was used.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn returns_capacity_as_the_window_slides(store: &dyn LimitStore, time: &dyn TestTime) {
    let (key, quota) = (fresh_key(), Quota::new(5, WINDOW));
    assert_eq!(admitted(store, time, key, quota, 2).await, 2);
    time.advance(WINDOW / 2).await;
    assert_eq!(admitted(store, time, key, quota, 9).await, 3);
    time.advance(WINDOW / 2).await;
    assert_eq!(admitted(store, time, key, quota, 9).await, 2, "only the first two came back");
    time.advance(WINDOW / 2).await;
    assert_eq!(admitted(store, time, key, quota, 9).await, 3, "only the next three came back");
}

/// A rejected call is not counted and delays no later call.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn rejected_calls_are_not_counted(store: &dyn LimitStore, time: &dyn TestTime) {
    let (key, quota) = (fresh_key(), Quota::new(2, WINDOW));
    assert_eq!(admitted(store, time, key, quota, 2).await, 2);
    let first = refusal(store, time, key, quota).await;
    for _ in 0..20 {
        assert!(refusal(store, time, key, quota).await <= first);
    }
    time.advance(first).await;
    assert_eq!(admitted(store, time, key, quota, 2).await, 2);
}

/// B5: a call is admitted after the wait of the rejection, and not before.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn admits_after_retry_after(store: &dyn LimitStore, time: &dyn TestTime) {
    let (key, quota) = (fresh_key(), Quota::new(2, WINDOW));
    let early = Duration::from_millis(1);
    assert_eq!(admitted(store, time, key, quota, 1).await, 1);
    time.advance(WINDOW / 4).await;
    assert_eq!(admitted(store, time, key, quota, 1).await, 1);
    let wait = refusal(store, time, key, quota).await;
    time.advance(wait.saturating_sub(early)).await;
    let rest = refusal(store, time, key, quota).await;
    time.advance(rest).await;
    assert_eq!(admitted(store, time, key, quota, 1).await, 1);
}

/// Each key, and each limit name, has a counter of its own.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn counts_keys_separately(store: &dyn LimitStore, time: &dyn TestTime) {
    let quota = Quota::new(1, WINDOW);
    let subject = format!("{:032x}", secret::random::<u128>());
    for limit in ["conformance-a", "conformance-b"] {
        let key = LimitKey::text(limit, &subject);
        assert_eq!(admitted(store, time, key, quota, 2).await, 1);
    }
    assert_eq!(admitted(store, time, fresh_key(), quota, 2).await, 1);
}

/// One key under two quotas has two independent counters.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn counts_quotas_of_one_key_separately(store: &dyn LimitStore, time: &dyn TestTime) {
    let key = fresh_key();
    let (short, long) = (Quota::new(3, WINDOW), Quota::new(4, WINDOW * 60));
    assert_eq!(admitted(store, time, key, short, 5).await, 3);
    assert_eq!(admitted(store, time, key, long, 2).await, 2);
    time.advance(WINDOW).await;
    // The long window still counts calls that left the short one.
    assert_eq!(admitted(store, time, key, short, 5).await, 3);
    assert_eq!(admitted(store, time, key, long, 9).await, 2);
}

/// A quota of hundreds is as exact as a quota of five.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn counts_large_quotas_exactly(store: &dyn LimitStore, time: &dyn TestTime) {
    let (key, quota) = (fresh_key(), Quota::new(300, WINDOW * 3600));
    assert_eq!(admitted(store, time, key, quota, 200).await, 200);
    assert_eq!(admitted(store, time, key, quota, 200).await, 100);
    assert_eq!(refusal(store, time, key, quota).await, quota.window());
}

/// B4: concurrent calls together are admitted at most up to the quota.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn admits_at_most_the_quota_concurrently(store: &dyn LimitStore, time: &dyn TestTime) {
    let remaining = concurrently(store, time, Quota::new(50, WINDOW * 3600)).await;
    assert_eq!(remaining, (0..50).collect::<Vec<_>>(), "each admitted call takes one of fifty");
}

/// The `remaining` of each admitted call, of many concurrent ones.
async fn concurrently(store: &dyn LimitStore, time: &dyn TestTime, quota: Quota) -> Vec<u32> {
    let key = fresh_key();
    concurrently_by(time, |_, elapsed| {
        let reply = store.acquire(key, quota, elapsed);
        Box::pin(async {
            let decision = settle(reply).await;
            decision.retry_after.is_none().then_some(decision.remaining)
        })
    })
    .await
}

/// A pending call of a test: the `remaining` of an admitted one.
type Answer = Pin<Box<dyn Future<Output = Option<u32>> + Send>>;

/// The same for any call, given its number and the time.
async fn concurrently_by(
    time: &dyn TestTime,
    call: impl Fn(usize, Duration) -> Answer + Sync,
) -> Vec<u32> {
    const THREADS: usize = 8;
    let runtime = tokio::runtime::Handle::current();
    let barrier = Barrier::new(THREADS);
    let ask = || {
        // A store may need the runtime's context.
        let _entered = runtime.enter();
        barrier.wait();
        (0..25).map(|number| call(number, time.elapsed())).collect::<Vec<_>>()
    };
    let calls = thread::scope(|scope| {
        let asking = [(); THREADS].map(|()| scope.spawn(ask));
        asking.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    let mut answers = JoinSet::new();
    for call in calls {
        answers.spawn(call);
    }
    let mut remaining: Vec<_> = answers.join_all().await.into_iter().flatten().collect();
    remaining.sort_unstable();
    remaining
}

/// Awaits a store's reply.
///
/// # Panics
///
/// If the store fails.
pub async fn settle<T>(reply: StoreReply<T>) -> T {
    reply.wait().await.expect("the store responds")
}

fn fresh_key() -> LimitKey {
    LimitKey::text("conformance", &format!("{:032x}", secret::random::<u128>()))
}

async fn acquire(
    store: &dyn LimitStore,
    time: &dyn TestTime,
    key: LimitKey,
    quota: Quota,
) -> StoreDecision {
    settle(store.acquire(key, quota, time.elapsed())).await
}

/// Returns how many of `calls` calls are admitted.
async fn admitted(
    store: &dyn LimitStore,
    time: &dyn TestTime,
    key: LimitKey,
    quota: Quota,
    calls: usize,
) -> usize {
    let mut admitted = 0;
    for _ in 0..calls {
        admitted += usize::from(acquire(store, time, key, quota).await.retry_after.is_none());
    }
    admitted
}

/// Expects a rejection and returns its wait.
async fn refusal(
    store: &dyn LimitStore,
    time: &dyn TestTime,
    key: LimitKey,
    quota: Quota,
) -> Duration {
    let decision = acquire(store, time, key, quota).await;
    decision
        .retry_after
        .unwrap_or_else(|| panic!("admitted over the quota of {quota}: {decision:?}"))
}

/// A store that always fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailingLimits;

impl LimitStore for FailingLimits {
    fn acquire(&self, _: LimitKey, _: Quota, _: Duration) -> StoreAcquire {
        StoreAcquire::Pending(Box::pin(async {
            Err(StoreError::unavailable(crate::limit::operation::ACQUIRE))
        }))
    }

    fn acquire_both(
        &self,
        _: [(LimitKey, Quota); 2],
        _: Duration,
    ) -> StoreReply<[StoreDecision; 2]> {
        StoreReply::Pending(Box::pin(async {
            Err(StoreError::unavailable(crate::limit::operation::ACQUIRE))
        }))
    }

    fn reset(&self, _: LimitKey, _: Quota) -> StoreReply<()> {
        StoreReply::Pending(Box::pin(async {
            Err(StoreError::unavailable(crate::limit::operation::RESET))
        }))
    }
}

/// A store that decides asynchronously, like a remote one.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeferredLimits<S>(S);

impl<S: LimitStore> DeferredLimits<S> {
    /// Counts in `store`, after one turn of the executor.
    pub fn new(store: S) -> Self {
        Self(store)
    }
}

impl<S: LimitStore> LimitStore for DeferredLimits<S> {
    fn acquire(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> StoreAcquire {
        deferred(self.0.acquire(key, quota, elapsed))
    }

    fn acquire_both(
        &self,
        counters: [(LimitKey, Quota); 2],
        elapsed: Duration,
    ) -> StoreReply<[StoreDecision; 2]> {
        deferred(self.0.acquire_both(counters, elapsed))
    }

    fn reset(&self, key: LimitKey, quota: Quota) -> StoreReply<()> {
        deferred(self.0.reset(key, quota))
    }
}

fn deferred<T: Send + 'static>(reply: StoreReply<T>) -> StoreReply<T> {
    StoreReply::Pending(Box::pin(async {
        tokio::task::yield_now().await;
        reply.wait().await
    }))
}
