//! Conformance cases for calls of two counters, and for resets.

use crate::limit::{LimitKey, LimitStore, Quota, StoreDecision};
use crate::testing::TestTime;

use super::{WINDOW, acquire, admitted, concurrently_by, fresh_key, refusal, settle};

/// Two counters of one group.
type Pair = [(LimitKey, Quota); 2];

/// Two quotas of each combination of algorithms, the second with room for one more call.
fn pairs() -> [Pair; 4] {
    let [log, wide] = [Quota::new(2, WINDOW), Quota::new(3, WINDOW * 60)];
    let [burst, wide_burst] = [log.burst(2), Quota::new(3, WINDOW * 60).burst(3)];
    [[log, wide], [burst, wide_burst], [log, wide_burst], [burst, wide]].map(|[first, second]| {
        let key = fresh_key();
        [(key.sibling(b"first"), first), (key, second)]
    })
}

async fn both(store: &dyn LimitStore, time: &dyn TestTime, pair: Pair) -> [StoreDecision; 2] {
    settle(store.acquire_both(pair, time.elapsed())).await
}

/// A call that either counter rejects is counted by neither, in each combination of algorithms.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn acquires_both_or_neither(store: &dyn LimitStore, time: &dyn TestTime) {
    for pair in pairs() {
        let [first, second] = pair;
        for remaining in [1, 0] {
            let [one, other] = both(store, time, pair).await;
            assert_eq!((one.retry_after, other.retry_after), (None, None));
            assert_eq!((one.remaining, other.remaining), (remaining, remaining + 1));
        }
        // The first is used up: the second has one left, also after more calls.
        for _ in 0..3 {
            let [one, other] = both(store, time, pair).await;
            assert!(one.retry_after.is_some_and(|wait| !wait.is_zero()), "{one:?}");
            assert_eq!(other.retry_after, None);
        }
        assert_eq!(admitted(store, time, second.0, second.1, 5).await, 1);
        // Now both are used up, then the second alone: the first keeps what came back.
        let [one, other] = both(store, time, pair).await;
        assert!(one.retry_after.is_some() && other.retry_after.is_some(), "{one:?} {other:?}");
        time.advance(WINDOW).await;
        for _ in 0..3 {
            let [one, other] = both(store, time, pair).await;
            assert_eq!(one.retry_after, None);
            assert!(other.retry_after.is_some_and(|wait| wait > WINDOW), "{other:?}");
        }
        assert!(admitted(store, time, first.0, first.1, 5).await >= 1);
    }
}

/// A counter counts the same calls alone and as one of two.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn counts_calls_alone_and_in_pairs_together(store: &dyn LimitStore, time: &dyn TestTime) {
    for pair in pairs() {
        let [first, second] = pair;
        assert_eq!(acquire(store, time, second.0, second.1).await.remaining, 2);
        let [one, other] = both(store, time, pair).await;
        assert_eq!((one.remaining, other.remaining), (1, 1));
        assert_eq!(acquire(store, time, first.0, first.1).await.remaining, 0);
        // Two counters in the other order are the same counters.
        let [other, one] = both(store, time, [second, first]).await;
        assert!(one.retry_after.is_some() && other.retry_after.is_none(), "{one:?} {other:?}");
    }
}

/// B4: concurrent calls of two counters are admitted at most up to the smaller quota, in either order.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn admits_at_most_the_smaller_quota_concurrently(
    store: &dyn LimitStore,
    time: &dyn TestTime,
) {
    let key = fresh_key();
    let small = (key, Quota::new(50, WINDOW * 3600));
    let large = (key.sibling(b"large"), Quota::new(70, WINDOW * 3600));
    let remaining = concurrently_by(time, |call, elapsed| {
        let pair = if call % 2 == 0 { [small, large] } else { [large, small] };
        let small = call % 2;
        let reply = store.acquire_both(pair, elapsed);
        Box::pin(async move {
            let decisions = settle(reply).await;
            let is_limited = decisions.iter().any(|decision| decision.retry_after.is_some());
            (!is_limited).then_some(decisions[small].remaining)
        })
    })
    .await;
    assert_eq!(remaining, (0..50).collect::<Vec<_>>(), "each admitted call takes one of fifty");
    assert_eq!(admitted(store, time, large.0, large.1, 99).await, 20, "fifty of seventy are used");
}

/// A reset counter is as if it was never used; another counter of the key keeps its calls.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn forgets_the_calls_of_a_reset_counter(store: &dyn LimitStore, time: &dyn TestTime) {
    for quota in [Quota::new(2, WINDOW * 60), Quota::new(2, WINDOW * 60).burst(2)] {
        let (key, other) = (fresh_key(), Quota::new(3, WINDOW * 60));
        // A counter without calls, too.
        settle(store.reset(key, quota)).await;
        for _ in 0..2 {
            assert_eq!(admitted(store, time, key, quota, 2).await, 2);
            refusal(store, time, key, quota).await;
            settle(store.reset(key, quota)).await;
        }
        assert_eq!(admitted(store, time, key, other, 1).await, 1);
        settle(store.reset(key, quota)).await;
        assert_eq!(acquire(store, time, key, other).await.remaining, 1);
        assert_eq!(acquire(store, time, key, quota).await.remaining, 1);
    }
}
