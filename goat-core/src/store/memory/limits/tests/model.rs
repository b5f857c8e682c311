//! Reference model of both algorithms: recomputes each decision from every allowed call, in another way
//! than the store.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use crate::limit::{LimitKey, Quota, StoreDecision};

#[derive(Clone, Default)]
pub(super) struct Model(HashMap<(LimitKey, Quota), Vec<Duration>>);

impl Model {
    pub(super) fn ask(&mut self, key: LimitKey, quota: Quota, now: Duration) -> StoreDecision {
        let admitted = self.0.entry((key, quota)).or_default();
        let is_limited = left(quota, admitted, now).0 == 0;
        if !is_limited {
            admitted.push(now);
        }
        let (remaining, reset_after) = left(quota, admitted, now);
        StoreDecision { remaining, reset_after, retry_after: is_limited.then_some(reset_after) }
    }
}

/// Returns how many more calls are allowed at this instant, and how long until one more is.
fn left(quota: Quota, admitted: &[Duration], now: Duration) -> (u32, Duration) {
    match quota.burst_size() {
        None => left_of_window(quota, admitted, now),
        Some(burst) => left_of_gcra(quota, burst, admitted, now),
    }
}

fn left_of_window(quota: Quota, admitted: &[Duration], now: Duration) -> (u32, Duration) {
    let mut live = admitted.iter().filter(|instant| **instant + quota.window() > now);
    let oldest = live.next();
    let count = u32::from(oldest.is_some()) + live.count() as u32;
    let back = oldest.map_or(quota.window(), |oldest| *oldest + quota.window() - now);
    (quota.limit() - count, back)
}

/// Each span from an allowed call to now may contain the burst and the calls replenished since.
fn left_of_gcra(quota: Quota, burst: u32, admitted: &[Duration], now: Duration) -> (u32, Duration) {
    let (limit, window) = (u128::from(quota.limit()), quota.window().as_nanos());
    let allowed = |age: u128| u128::from(burst) + age * limit / window;
    let spans = || {
        (0..)
            .zip(admitted)
            .map(|(before, first)| (admitted.len() as u128 - before, (now - *first).as_nanos()))
    };
    let remaining = spans().map(|(count, age)| allowed(age) - count).min();
    let remaining = remaining.map_or(burst, |remaining| remaining.min(u128::from(burst)) as u32);
    // Until each span allows one more.
    let wait = spans().map(|(count, age)| {
        let given_back = (count + u128::from(remaining) + 1).saturating_sub(u128::from(burst));
        (given_back * window).div_ceil(limit).saturating_sub(age)
    });
    (remaining, Duration::from_nanos(wait.max().unwrap_or_default() as u64))
}

/// Whether some span of these sorted instants contains more calls than allowed.
pub(super) fn is_over(quota: Quota, instants: &[Duration]) -> bool {
    let spans = || {
        let from = |first: usize| instants[first..].iter().map(move |last| *last - instants[first]);
        (0..instants.len()).flat_map(move |first| (1_u128..).zip(from(first)))
    };
    let (limit, window) = (u128::from(quota.limit()), quota.window());
    match quota.burst_size() {
        None => spans().any(|(count, age)| age < window && count > limit),
        Some(burst) => spans().any(|(count, age)| {
            count > u128::from(burst) + age.as_nanos() * limit / window.as_nanos()
        }),
    }
}

/// One step of a random sequence: a key, and the time since the last step.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) key: usize,
    pub(super) quota: usize,
    pub(super) pause: Duration,
}

pub(super) fn steps(keys: usize, quotas: usize, length: usize) -> impl Strategy<Value = Vec<Step>> {
    let pause = prop_oneof![
        4 => Just(Duration::ZERO),
        1 => Just(Duration::from_nanos(1)),
        2 => Just(Duration::from_millis(1)),
        1 => Just(Duration::from_secs(1)),
        4 => (0_u64..400_000_000).prop_map(Duration::from_nanos),
        1 => (0_u64..12_000).prop_map(Duration::from_millis),
    ];
    let step =
        (0..keys, 0..quotas, pause).prop_map(|(key, quota, pause)| Step { key, quota, pause });
    prop::collection::vec(step, 1..length)
}
