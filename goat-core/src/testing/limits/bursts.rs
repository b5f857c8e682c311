//! What a store promises for quotas with a burst.
//!
//! One is given back in a second, so that a server that takes some milliseconds for an answer gives
//! nothing back in between.

use std::time::Duration;

use crate::limit::{LimitStore, Quota};
use crate::testing::TestTime;

use super::{WINDOW, admitted, at_once, fresh_key, refusal, spend};

/// The burst is admitted at once and no more, `remaining` counts down, and the wait is that for one.
///
/// # Panics
///
/// Where the store does not keep the promise.
pub async fn admits_the_burst_and_no_more(store: &dyn LimitStore, time: &dyn TestTime) {
    let (key, quota) = (fresh_key(), Quota::new(60, WINDOW * 60).burst(5));
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
    let wait = refused.retry_after.expect("a sixth call at once is refused");
    assert!(!wait.is_zero() && wait <= WINDOW, "{refused:?}");
    assert_eq!(refused.reset_after, wait);
}

/// One is given back each `window / limit`, whatever the rhythm in which they were spent, and no
/// more than the burst is ever there.
///
/// # Panics
///
/// Where the store does not keep the promise.
pub async fn gives_a_burst_back_evenly(store: &dyn LimitStore, time: &dyn TestTime) {
    let (key, quota) = (fresh_key(), Quota::new(2, WINDOW * 2).burst(2));
    assert_eq!(admitted(store, time, key, quota, 9).await, 2);
    time.advance(WINDOW / 2).await;
    assert_eq!(admitted(store, time, key, quota, 9).await, 0, "half of one came back");
    time.advance(WINDOW / 2).await;
    assert_eq!(admitted(store, time, key, quota, 9).await, 1, "only one came back");
    time.advance(WINDOW * 3).await;
    assert_eq!(admitted(store, time, key, quota, 9).await, 2, "no more than the burst came back");
}

/// A refused call is not charged, and who waits as long as it said gets in, and sooner nobody does.
///
/// # Panics
///
/// Where the store does not keep the promise.
pub async fn a_refusal_spends_nothing_of_a_burst(store: &dyn LimitStore, time: &dyn TestTime) {
    let (key, quota) = (fresh_key(), Quota::new(1, WINDOW).burst(3));
    let early = if time.is_manual() { Duration::from_millis(1) } else { WINDOW / 4 };
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

/// Of one key, a quota with a burst, one with another burst and one without are three counters.
///
/// # Panics
///
/// Where the store does not keep the promise.
pub async fn keeps_bursts_of_one_key_apart(store: &dyn LimitStore, time: &dyn TestTime) {
    let (key, quota) = (fresh_key(), Quota::new(4, WINDOW * 3600));
    assert_eq!(admitted(store, time, key, quota, 9).await, 4);
    assert_eq!(admitted(store, time, key, quota.burst(2), 9).await, 2);
    assert_eq!(admitted(store, time, key, quota.burst(3), 9).await, 3);
    assert_eq!(admitted(store, time, fresh_key(), quota.burst(3), 9).await, 3);
}

/// What is no whole number of nanoseconds is neither lost nor won: whoever asks as soon as a refusal
/// says gets all that the pace gives back, and no more. Only where time is [manual], since it must
/// be known.
///
/// [manual]: TestTime::is_manual
///
/// # Panics
///
/// Where the store does not keep the promise.
pub async fn gives_back_odd_fractions_exactly(store: &dyn LimitStore, time: &dyn TestTime) {
    if !time.is_manual() {
        return;
    }
    // Of a window of milliseconds, as many as that have no even interval.
    for (limit, milliseconds) in [(7, 1_000), (997, 60_001), (3, 86_400_000)] {
        let window = Duration::from_millis(milliseconds);
        let (key, quota) = (fresh_key(), Quota::new(limit, window).burst(3));
        let (begun, mut count) = (time.elapsed(), 0);
        for _ in 0..400 {
            match spend(store, time, key, quota).await.retry_after {
                None => count += 1,
                // A manual clock knows nothing finer than milliseconds.
                Some(wait) => time.advance(wait + Duration::from_micros(999)).await,
            }
        }
        while spend(store, time, key, quota).await.retry_after.is_none() {
            count += 1;
        }
        let passed = (time.elapsed() - begun).as_millis();
        let given_back = passed * u128::from(limit) / u128::from(milliseconds);
        assert_eq!(count, 3 + given_back, "{quota}, after {passed} ms");
    }
}

/// As many as the burst are admitted, also when all ask at once.
///
/// # Panics
///
/// Where the store does not keep the promise.
pub async fn admits_no_more_than_a_burst_at_once(store: &dyn LimitStore, time: &dyn TestTime) {
    let quota = Quota::new(1, WINDOW * 3600).burst(50);
    let remaining = at_once(store, time, quota).await;
    assert_eq!(remaining, (0..50).collect::<Vec<_>>(), "each admitted call takes one of fifty");
}
