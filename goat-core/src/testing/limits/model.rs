//! Exact model of a limit, which recomputes each decision from every call that it allowed, and the case that
//! compares a store with it.

use std::collections::HashMap;
use std::time::Duration;

use crate::limit::{LimitKey, LimitStore, Quota, StoreDecision};

use super::super::TestTime;
use super::{acquire, fresh_key};

/// Steps of the comparison.
const STEPS: usize = 300;

/// Quotas with and without bursts, whose intervals are whole microseconds.
const QUOTAS: [Quota; 8] = [
    Quota::per_second(1),
    Quota::per_second(3),
    Quota::new(3, Duration::from_millis(2_500)),
    Quota::new(40, Duration::from_secs(10)),
    Quota::per_second(1).burst(1),
    Quota::per_second(8).burst(3),
    Quota::new(4, Duration::from_millis(2_500)).burst(5),
    Quota::new(40, Duration::from_secs(10)).burst(2),
];

/// The exact model. Its waits are rounded up to the resolution of a store's clock.
#[derive(Clone, Debug)]
pub struct LimitModel {
    allowed: HashMap<(LimitKey, Quota), Vec<Duration>>,
    resolution: Duration,
}

impl Default for LimitModel {
    /// A model with a resolution of one nanosecond.
    fn default() -> Self {
        Self::with_resolution(Duration::from_nanos(1))
    }
}

impl LimitModel {
    /// Returns a model of a store whose clock has this resolution.
    #[must_use]
    pub fn with_resolution(resolution: Duration) -> Self {
        Self { allowed: HashMap::new(), resolution }
    }

    /// Decides on a call. Time does not go back between two calls of one key.
    pub fn acquire(&mut self, key: LimitKey, quota: Quota, now: Duration) -> StoreDecision {
        let resolution = self.resolution;
        let allowed = self.allowed.entry((key, quota)).or_default();
        let is_limited = available(quota, allowed, now).0 == 0;
        if !is_limited {
            allowed.push(now);
        }
        let (remaining, wait) = available(quota, allowed, now);
        let reset_after =
            nanoseconds(wait.as_nanos().div_ceil(resolution.as_nanos()) * resolution.as_nanos());
        StoreDecision { remaining, reset_after, retry_after: is_limited.then_some(reset_after) }
    }

    /// Returns the times of the calls that were allowed.
    #[must_use]
    pub fn allowed(&self, key: LimitKey, quota: Quota) -> &[Duration] {
        self.allowed.get(&(key, quota)).map_or(&[], Vec::as_slice)
    }
}

/// Returns how many calls `quota` allows now, and the time until it allows one more.
fn available(quota: Quota, allowed: &[Duration], now: Duration) -> (u32, Duration) {
    match quota.burst_size() {
        None => available_in_window(quota, allowed, now),
        Some(burst) => available_in_burst(quota, burst, allowed, now),
    }
}

fn available_in_window(quota: Quota, allowed: &[Duration], now: Duration) -> (u32, Duration) {
    let mut ends = allowed.iter().map(|at| *at + quota.window()).filter(|end| *end > now);
    let oldest = ends.next();
    let count = oldest.iter().chain(&ends.collect::<Vec<_>>()).count();
    let remaining = u128::from(quota.limit()) - count as u128;
    (saturated(remaining), oldest.map_or(Duration::ZERO, |end| end - now))
}

/// A span from an allowed call until now allows the burst and the calls replenished within the span.
/// The span that allows the fewest decides.
fn available_in_burst(
    quota: Quota,
    burst: u32,
    allowed: &[Duration],
    now: Duration,
) -> (u32, Duration) {
    let (limit, window) = (u128::from(quota.limit()), quota.window().as_nanos());
    let burst = u128::from(burst);
    let spans = || (1..).zip(allowed.iter().rev()).map(|(count, first)| (count, now - *first));
    let remaining = spans()
        .map(|(count, age)| burst + age.as_nanos() * limit / window - count)
        .fold(burst, u128::min);
    let wait = spans().map(|(count, age)| {
        let replenished = (count + remaining + 1).saturating_sub(burst);
        (replenished * window).div_ceil(limit).saturating_sub(age.as_nanos())
    });
    (saturated(remaining), nanoseconds(wait.max().unwrap_or_default()))
}

fn saturated(count: u128) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn nanoseconds(count: u128) -> Duration {
    Duration::from_nanos(u64::try_from(count).unwrap_or(u64::MAX))
}

/// B4, B5: decisions, remaining calls and waits of a few keys under several quotas equal those of the exact
/// model, in a sequence of calls that is the same in every run.
///
/// # Panics
///
/// If the store violates the guarantee.
pub async fn decides_as_an_exact_model(store: &dyn LimitStore, time: &dyn TestTime) {
    let (mut model, mut random) = (LimitModel::default(), SplitMix(0));
    let keys = [fresh_key(), fresh_key(), fresh_key()];
    for step in 0..STEPS {
        let pause = match random.below(6) {
            0 | 1 => 0,
            2 => 1,
            3 => 1_000,
            4 => random.below(400),
            _ => random.below(4_000),
        };
        time.advance(Duration::from_millis(pause)).await;
        let key = keys[random.below(keys.len() as u64) as usize];
        let quota = QUOTAS[random.below(QUOTAS.len() as u64) as usize];
        let decision = acquire(store, time, key, quota).await;
        assert_eq!(decision, model.acquire(key, quota, time.elapsed()), "{quota}, step {step}");
    }
}

/// SplitMix64: reproducible choices.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
