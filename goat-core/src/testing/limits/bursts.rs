//! Conformance cases for quotas with a burst. Capacity for one call returns in a second.

use std::time::Duration;

use crate::limit::{LimitStore, Quota};
use crate::testing::TestTime;

use super::{WINDOW, acquire, admitted, concurrently, fresh_key, refusal};

/// The burst is admitted at once, `remaining` counts down, and the next call waits for one
/// interval.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn admits_exactly_the_burst(store: &dyn LimitStore, time: &dyn TestTime) {
    let (key, quota) = (fresh_key(), Quota::new(60, WINDOW * 60).burst(5));
    for remaining in (0..5).rev() {
        let decision = acquire(store, time, key, quota).await;
        assert_eq!(decision.retry_after, None, "refused with {remaining} to remain: {decision:?}");
        assert_eq!(decision.remaining, remaining);
        assert_eq!(decision.reset_after, WINDOW);
    }
    let refused = acquire(store, time, key, quota).await;
    assert_eq!(refused.remaining, 0);
    let wait = refused.retry_after.expect("a sixth call at once is refused");
    assert_eq!(wait, WINDOW);
    assert_eq!(refused.reset_after, wait);
}

/// Capacity for one call returns every `window / limit`, up to the burst, independent of when it was
/// used.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn returns_burst_capacity_evenly(store: &dyn LimitStore, time: &dyn TestTime) {
    let (key, quota) = (fresh_key(), Quota::new(2, WINDOW * 2).burst(2));
    assert_eq!(admitted(store, time, key, quota, 9).await, 2);
    time.advance(WINDOW / 2).await;
    assert_eq!(admitted(store, time, key, quota, 9).await, 0, "half of one came back");
    time.advance(WINDOW / 2).await;
    assert_eq!(admitted(store, time, key, quota, 9).await, 1, "only one came back");
    time.advance(WINDOW * 3).await;
    assert_eq!(admitted(store, time, key, quota, 9).await, 2, "no more than the burst came back");
}

/// A rejected call is not counted; a call is admitted after the wait of the rejection, and not
/// before.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn a_rejected_call_uses_no_burst(store: &dyn LimitStore, time: &dyn TestTime) {
    let (key, quota) = (fresh_key(), Quota::new(1, WINDOW).burst(3));
    let early = Duration::from_millis(1);
    assert_eq!(admitted(store, time, key, quota, 3).await, 3);
    let wait = refusal(store, time, key, quota).await;
    for _ in 0..20 {
        assert!(refusal(store, time, key, quota).await <= wait);
    }
    time.advance(wait.saturating_sub(early)).await;
    let rest = refusal(store, time, key, quota).await;
    time.advance(rest).await;
    assert_eq!(admitted(store, time, key, quota, 2).await, 1);
}

/// One key under a quota without a burst and two with different bursts has three counters.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn counts_bursts_of_one_key_separately(store: &dyn LimitStore, time: &dyn TestTime) {
    let (key, quota) = (fresh_key(), Quota::new(4, WINDOW * 3600));
    assert_eq!(admitted(store, time, key, quota, 9).await, 4);
    assert_eq!(admitted(store, time, key, quota.burst(2), 9).await, 2);
    assert_eq!(admitted(store, time, key, quota.burst(3), 9).await, 3);
    assert_eq!(admitted(store, time, fresh_key(), quota.burst(3), 9).await, 3);
}

/// An interval that is not a whole number of nanoseconds accumulates no error: calls at each
/// returned wait receive exactly the capacity that returned.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn returns_fractional_intervals_exactly(store: &dyn LimitStore, time: &dyn TestTime) {
    // Limits that do not divide their windows of milliseconds.
    for (limit, milliseconds) in [(7, 1_000), (997, 60_001), (3, 86_400_000)] {
        let window = Duration::from_millis(milliseconds);
        let (key, quota) = (fresh_key(), Quota::new(limit, window).burst(3));
        let (begun, mut count) = (time.elapsed(), 0);
        for _ in 0..400 {
            match acquire(store, time, key, quota).await.retry_after {
                None => count += 1,
                // The resolution of a manual clock is a millisecond.
                Some(wait) => time.advance(wait + Duration::from_micros(999)).await,
            }
        }
        while acquire(store, time, key, quota).await.retry_after.is_none() {
            count += 1;
        }
        let passed = (time.elapsed() - begun).as_millis();
        let given_back = passed * u128::from(limit) / u128::from(milliseconds);
        assert_eq!(count, 3 + given_back, "{quota}, after {passed} ms");
    }
}

/// Concurrent calls together are admitted at most up to the burst.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn admits_at_most_the_burst_concurrently(store: &dyn LimitStore, time: &dyn TestTime) {
    let quota = Quota::new(1, WINDOW * 3600).burst(50);
    let remaining = concurrently(store, time, quota).await;
    assert_eq!(remaining, (0..50).collect::<Vec<_>>(), "each admitted call takes one of fifty");
}
