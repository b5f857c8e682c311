//! The conformance suite of [`LimitStore`], and two stores to test against.
//!
//! [`conformance`] runs all of it. Every case makes keys of its own, so that one store may be used
//! for all of them and again later. Windows are one second long: with a [`ManualClock`] that is no
//! time, with [`WaitingTime`] the suite takes some eleven seconds.
//!
//! Every function panics where the store does not keep a promise of the port.
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
//!
//! [`ManualClock`]: super::ManualClock
//! [`WaitingTime`]: super::WaitingTime

mod bursts;

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::error::StoreError;
use crate::limit::{LimitKey, LimitStore, Quota, Spending, Spent};
use crate::secret;

use super::TestTime;

pub use bursts::{
    a_refusal_spends_nothing_of_a_burst, admits_no_more_than_a_burst_at_once,
    admits_the_burst_and_no_more, gives_a_burst_back_evenly, gives_back_odd_fractions_exactly,
    keeps_bursts_of_one_key_apart,
};

const WINDOW: Duration = Duration::from_secs(1);

/// Runs every case below.
///
/// # Panics
///
/// Where the store does not keep a promise.
pub async fn conformance(store: &dyn LimitStore, time: &dyn TestTime) {
    admits_the_quota_and_no_more(store, time).await;
    gives_back_one_by_one_as_the_window_slides(store, time).await;
    refused_calls_spend_nothing(store, time).await;
    admits_who_waited_retry_after(store, time).await;
    keeps_keys_apart(store, time).await;
    keeps_quotas_of_one_key_apart(store, time).await;
    counts_past_the_first_few(store, time).await;
    admits_no_more_under_concurrency(store, time).await;
    admits_the_burst_and_no_more(store, time).await;
    gives_a_burst_back_evenly(store, time).await;
    a_refusal_spends_nothing_of_a_burst(store, time).await;
    keeps_bursts_of_one_key_apart(store, time).await;
    gives_back_odd_fractions_exactly(store, time).await;
    admits_no_more_than_a_burst_at_once(store, time).await;
}

/// B4: as many as the quota says are admitted, `remaining` counts down, and the next is refused.
///
/// # Panics
///
/// Where the store does not keep the promise.
pub async fn admits_the_quota_and_no_more(store: &dyn LimitStore, time: &dyn TestTime) {
    let (key, quota) = (fresh_key(), Quota::new(5, WINDOW));
    for remaining in (0..5).rev() {
        let spent = spend(store, time, key, quota).await;
        assert_eq!(spent.retry_after, None, "refused with {remaining} to remain: {spent:?}");
        assert_eq!(spent.remaining, remaining);
        assert!(!spent.reset_after.is_zero() && spent.reset_after <= WINDOW, "{spent:?}");
        if time.is_manual() {
            assert_eq!(spent.reset_after, WINDOW);
        }
    }
    let refused = spend(store, time, key, quota).await;
    assert_eq!(refused.remaining, 0);
    let wait = refused.retry_after.expect("a sixth call in the window is refused");
    // A store that counts milliseconds rounds them towards refusal.
    let rounding = if time.is_manual() { Duration::ZERO } else { Duration::from_millis(1) };
    assert!(!wait.is_zero() && wait <= WINDOW + rounding, "{refused:?}");
    assert_eq!(refused.reset_after, wait);
}

/// B4: the window slides. What was spent half a window later comes back half a window later.
///
/// # Panics
///
/// Where the store does not keep the promise.
pub async fn gives_back_one_by_one_as_the_window_slides(
    store: &dyn LimitStore,
    time: &dyn TestTime,
) {
    let (key, quota) = (fresh_key(), Quota::new(5, WINDOW));
    assert_eq!(admitted(store, time, key, quota, 2).await, 2);
    time.advance(WINDOW / 2).await;
    assert_eq!(admitted(store, time, key, quota, 9).await, 3);
    time.advance(WINDOW / 2).await;
    assert_eq!(admitted(store, time, key, quota, 9).await, 2, "only the first two came back");
    time.advance(WINDOW / 2).await;
    assert_eq!(admitted(store, time, key, quota, 9).await, 3, "only the next three came back");
}

/// A refused call is not charged, and does not put off the next that is admitted.
///
/// # Panics
///
/// Where the store does not keep the promise.
pub async fn refused_calls_spend_nothing(store: &dyn LimitStore, time: &dyn TestTime) {
    let (key, quota) = (fresh_key(), Quota::new(2, WINDOW));
    assert_eq!(admitted(store, time, key, quota, 2).await, 2);
    let first = refusal(store, time, key, quota).await;
    for _ in 0..20 {
        assert!(refusal(store, time, key, quota).await <= first);
    }
    time.advance(first).await;
    assert_eq!(admitted(store, time, key, quota, 2).await, 2);
}

/// B5: who waits as long as the refusal said gets in, and sooner nobody does.
///
/// # Panics
///
/// Where the store does not keep the promise.
pub async fn admits_who_waited_retry_after(store: &dyn LimitStore, time: &dyn TestTime) {
    let (key, quota) = (fresh_key(), Quota::new(2, WINDOW));
    let early = if time.is_manual() { Duration::from_millis(1) } else { WINDOW / 4 };
    assert_eq!(admitted(store, time, key, quota, 1).await, 1);
    time.advance(WINDOW / 4).await;
    assert_eq!(admitted(store, time, key, quota, 1).await, 1);
    let wait = refusal(store, time, key, quota).await;
    time.advance(wait.saturating_sub(early)).await;
    let rest = refusal(store, time, key, quota).await;
    time.advance(rest).await;
    assert_eq!(admitted(store, time, key, quota, 1).await, 1);
}

/// Another key, and another limit's name, is another counter.
///
/// # Panics
///
/// Where the store does not keep the promise.
pub async fn keeps_keys_apart(store: &dyn LimitStore, time: &dyn TestTime) {
    let quota = Quota::new(1, WINDOW);
    let subject = format!("{:032x}", secret::random::<u128>());
    for limit in ["conformance-a", "conformance-b"] {
        let key = LimitKey::text(limit, &subject);
        assert_eq!(admitted(store, time, key, quota, 2).await, 1);
    }
    assert_eq!(admitted(store, time, fresh_key(), quota, 2).await, 1);
}

/// One key under two quotas keeps to each, and neither is charged for the other's calls.
///
/// # Panics
///
/// Where the store does not keep the promise.
pub async fn keeps_quotas_of_one_key_apart(store: &dyn LimitStore, time: &dyn TestTime) {
    let key = fresh_key();
    let (short, long) = (Quota::new(3, WINDOW), Quota::new(4, WINDOW * 60));
    assert_eq!(admitted(store, time, key, short, 5).await, 3);
    assert_eq!(admitted(store, time, key, long, 2).await, 2);
    time.advance(WINDOW).await;
    // What the short window drops, the long one still knows.
    assert_eq!(admitted(store, time, key, short, 5).await, 3);
    assert_eq!(admitted(store, time, key, long, 9).await, 2);
}

/// A quota of hundreds is as exact as a quota of five.
///
/// # Panics
///
/// Where the store does not keep the promise.
pub async fn counts_past_the_first_few(store: &dyn LimitStore, time: &dyn TestTime) {
    // Long enough that a slow server answers all of it within one window.
    let (key, quota) = (fresh_key(), Quota::new(300, WINDOW * 3600));
    assert_eq!(admitted(store, time, key, quota, 200).await, 200);
    assert_eq!(admitted(store, time, key, quota, 200).await, 100);
    assert!(refusal(store, time, key, quota).await > WINDOW * 3000);
}

/// B4: as many as the quota says are admitted, also when all ask at once.
///
/// # Panics
///
/// Where the store does not keep the promise.
pub async fn admits_no_more_under_concurrency(store: &dyn LimitStore, time: &dyn TestTime) {
    let remaining = at_once(store, time, Quota::new(50, WINDOW * 3600)).await;
    assert_eq!(remaining, (0..50).collect::<Vec<_>>(), "each admitted call takes one of fifty");
}

/// What remained after each call that was admitted, of many that were made at once.
async fn at_once(store: &dyn LimitStore, time: &dyn TestTime, quota: Quota) -> Vec<u32> {
    const THREADS: usize = 8;
    let key = fresh_key();
    let runtime = tokio::runtime::Handle::current();
    let barrier = Barrier::new(THREADS);
    let ask = || {
        // A store may need to be in the runtime to begin.
        let _entered = runtime.enter();
        barrier.wait();
        (0..25).map(|_| store.spend(key, quota, time.elapsed())).collect::<Vec<_>>()
    };
    let spendings = thread::scope(|scope| {
        let asking = [(); THREADS].map(|()| scope.spawn(ask));
        asking.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    let mut answers = JoinSet::new();
    for spending in spendings {
        answers.spawn(settle(spending));
    }
    let mut remaining: Vec<_> = (answers.join_all().await.into_iter())
        .filter(|spent| spent.retry_after.is_none())
        .map(|spent| spent.remaining)
        .collect();
    remaining.sort_unstable();
    remaining
}

/// Waits for a store's answer.
///
/// # Panics
///
/// If the store fails.
pub async fn settle(spending: Spending) -> Spent {
    match spending {
        Spending::Done(spent) => spent,
        Spending::Pending(pending) => pending.await.expect("the store answers"),
    }
}

fn fresh_key() -> LimitKey {
    LimitKey::text("conformance", &format!("{:032x}", secret::random::<u128>()))
}

async fn spend(store: &dyn LimitStore, time: &dyn TestTime, key: LimitKey, quota: Quota) -> Spent {
    settle(store.spend(key, quota, time.elapsed())).await
}

/// How many of so many calls are admitted.
async fn admitted(
    store: &dyn LimitStore,
    time: &dyn TestTime,
    key: LimitKey,
    quota: Quota,
    calls: usize,
) -> usize {
    let mut admitted = 0;
    for _ in 0..calls {
        admitted += usize::from(spend(store, time, key, quota).await.retry_after.is_none());
    }
    admitted
}

/// Asks where a refusal is due, and returns how long it says to wait.
async fn refusal(
    store: &dyn LimitStore,
    time: &dyn TestTime,
    key: LimitKey,
    quota: Quota,
) -> Duration {
    let spent = spend(store, time, key, quota).await;
    spent.retry_after.unwrap_or_else(|| panic!("admitted over the quota of {quota}: {spent:?}"))
}

/// A store that is down.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailingLimits;

impl LimitStore for FailingLimits {
    fn spend(&self, _: LimitKey, _: Quota, _: Duration) -> Spending {
        Spending::Pending(Box::pin(async { Err(StoreError::unavailable("limits.spend")) }))
    }
}

/// A store that answers as one elsewhere does: after its caller has waited.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeferredLimits<S>(S);

impl<S: LimitStore> DeferredLimits<S> {
    /// Counts in `store`, and lets every caller wait for one turn of the executor.
    pub fn new(store: S) -> Self {
        Self(store)
    }
}

impl<S: LimitStore> LimitStore for DeferredLimits<S> {
    fn spend(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> Spending {
        let spending = self.0.spend(key, quota, elapsed);
        Spending::Pending(Box::pin(async {
            tokio::task::yield_now().await;
            match spending {
                Spending::Done(spent) => Ok(spent),
                Spending::Pending(pending) => pending.await,
            }
        }))
    }
}
