//! Random sequences of calls, and whether those that were allowed exceed the quota.

use std::time::Duration;

use proptest::prelude::*;

use crate::limit::Quota;

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
