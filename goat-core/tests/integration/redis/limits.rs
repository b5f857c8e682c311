//! B4 and B5 on a real Redis, for both algorithms: the sliding-window log and, for quotas with a
//! burst, GCRA. Exactness against a reference model by the caller's clock; concurrent callers with
//! different clocks by the server's.

use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use goat_core::Quota;
use goat_core::limit::{LimitStore, StoreDecision};
use goat_core::store::redis::RedisOptions;
use goat_core::testing::limits::LimitModel;
use goat_engines::Redis;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::redis::support::{acquire, key, open, shared};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(366 * 86_400);

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Redis has a clock of microseconds.
fn micros(microseconds: u128) -> Duration {
    Duration::from_micros(u64::try_from(microseconds).expect("a year or two"))
}

/// Stores of different nodes over the same counters, each with local state of its own.
fn nodes(count: usize) -> Vec<Arc<dyn LimitStore>> {
    nodes_with(&shared(), count)
}

fn nodes_with(options: &RedisOptions, count: usize) -> Vec<Arc<dyn LimitStore>> {
    let options = options.clone().with_caller_clock();
    (0..count).map(|_| open(&options).limits()).collect()
}

/// The model, rounded to the resolution of the clock of Redis.
fn model() -> LimitModel {
    LimitModel::with_resolution(Duration::from_micros(1))
}

/// Calls of `(key, node, time)` decide as the model does.
fn check_against_model(
    quota: Quota,
    calls: impl IntoIterator<Item = (usize, usize, Duration)>,
) -> Result<(), TestCaseError> {
    in_runtime(async {
        let (nodes, mut model) = (nodes(3), model());
        for (number, node, now) in calls {
            let key = key(&number.to_string());
            let decision = acquire(&nodes[node], key, quota, now).await;
            prop_assert_eq!(decision, model.acquire(key, quota, now), "{}", quota);
        }
        Ok(())
    })
}

fn in_runtime<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// Windows around the limits of each entry width: 65.5 s, 4.66 h, 49.7 days.
const WINDOWS: [Duration; 9] = [
    SECOND,
    Duration::from_millis(2_500),
    Duration::from_millis(65_535),
    Duration::from_millis(65_536),
    Duration::from_secs(3_600),
    Duration::from_millis(16_777_215),
    Duration::from_millis(16_777_216),
    Duration::from_secs(49 * 86_400),
    YEAR,
];

/// Odd and extreme rates, windows and bursts.
const BURST_QUOTAS: [Quota; 12] = [
    Quota::per_second(1).burst(1),
    Quota::per_minute(60).burst(10),
    Quota::per_second(7).burst(3),
    Quota::new(97, Duration::from_nanos(13_370_000_001)).burst(11),
    Quota::new(1_000_003, Duration::from_secs(3_600)).burst(5),
    Quota::per_second(999_983).burst(3),
    Quota::per_second(u32::MAX).burst(1),
    Quota::per_second(u32::MAX).burst(u32::MAX),
    Quota::per_second(136).burst(u32::MAX),
    Quota::new(1, YEAR).burst(1),
    Quota::new(365, YEAR).burst(365),
    Quota::new(u32::MAX, YEAR).burst(u32::MAX),
];

/// `window / limit`, rounded up.
fn interval(quota: Quota) -> Duration {
    micros(quota.window().as_nanos().div_ceil(u128::from(quota.limit())).div_ceil(1_000))
}

/// Key, node, and the pause before the call in thousandths of the window.
type LogStep = (usize, usize, u64);

fn log_steps() -> impl Strategy<Value = Vec<LogStep>> {
    let pause = prop_oneof![
        4 => Just(0),
        4 => 0_u64..200,
        1 => 200_u64..1_000,
        1 => Just(1_000),
        1 => 1_000_u64..3_000,
    ];
    prop::collection::vec((0..2_usize, 0..3_usize, pause), 1..60)
}

/// Node, the pause before the call in intervals, and microseconds added to the pause.
type BurstStep = (usize, u32, i32);

fn burst_steps() -> impl Strategy<Value = Vec<BurstStep>> {
    let pause = prop_oneof![6 => Just(0_u32), 4 => Just(1), 2 => 2_u32..5, 1 => 5_u32..1_000];
    prop::collection::vec((0..3_usize, pause, -2_i32..3), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// B4: exact to the millisecond, on any node.
    #[test]
    fn sliding_window_equals_the_model(
        window in prop::sample::select(&WINDOWS[..]),
        limit in prop_oneof![Just(1_u32), 2_u32..6, 10_u32..30],
        start in prop_oneof![Just(0_u64), 0_u64..1 << 41],
        steps in log_steps(),
    ) {
        let mut now = at(start);
        let thousandth = u64::try_from(window.as_millis() / 1_000).expect("a year");
        let calls = steps.into_iter().map(|(number, node, pause)| {
            now += at(pause * thousandth);
            (number, node, now)
        });
        check_against_model(Quota::new(limit, window), calls)?;
    }

    /// B4, B5: exact to the microsecond around each change, on any node.
    #[test]
    fn burst_equals_the_model(
        quota in prop::sample::select(&BURST_QUOTAS[..]),
        start in prop_oneof![Just(0_u64), 0_u64..1 << 41],
        steps in burst_steps(),
    ) {
        let mut now = at(start);
        let calls = steps.into_iter().map(|(node, intervals, nudge)| {
            let later = now + interval(quota).saturating_mul(intervals).min(YEAR / 50);
            let nudged = Duration::from_micros(nudge.unsigned_abs().into());
            let early = later.saturating_sub(nudged).max(now);
            now = if nudge < 0 { early } else { later + nudged };
            (0, node, now)
        });
        check_against_model(quota, calls)?;
    }

    /// B4, B5: fractions of a millisecond round towards rejection, and a call after `retry_after`
    /// is allowed.
    #[test]
    fn fractions_of_a_millisecond_allow_no_extra_call(
        fraction in 0_u32..1_000_000,
        limit in 1_u32..4,
        // In microseconds, the resolution of the clock of Redis.
        pauses in prop::collection::vec(0_u64..700_000, 1..60),
    ) {
        in_runtime(async {
            let quota = Quota::new(limit, SECOND + Duration::from_nanos(fraction.into()));
            let (nodes, mut allowed, mut now) = (nodes(3), Vec::new(), Duration::ZERO);
            for (index, pause) in pauses.into_iter().enumerate() {
                now += Duration::from_micros(pause);
                let mut decision = acquire(&nodes[index % 3], key("a"), quota, now).await;
                if let Some(wait) = decision.retry_after.filter(|_| index % 2 == 0) {
                    now += wait;
                    decision = acquire(&nodes[(index + 1) % 3], key("a"), quota, now).await;
                    prop_assert_eq!(decision.retry_after, None, "limited after the wait");
                }
                if decision.retry_after.is_none() {
                    allowed.push(now);
                }
            }
            let later = allowed.iter().skip(limit as usize);
            for (first, last) in allowed.iter().zip(later) {
                prop_assert!(*last - *first >= quota.window(), "{:?} {:?}", first, last);
            }
            Ok(())
        })?;
    }
}

/// B4: a log too long to be rewritten on each call is exact while it grows, slides and shrinks, and
/// when the clock is set back.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_equals_the_model() {
    let redis = Redis::shared();
    for (limit, window, width) in
        [(1_500, SECOND * 60, 2), (1_500, SECOND * 3_600, 3), (400, YEAR, 5)]
    {
        let prefix = Redis::prefix();
        let nodes = nodes_with(&shared().prefix(&*prefix), 3);
        let quota = Quota::new(limit, window);
        let (mut model, mut now) = (model(), at(1 << 40));
        let thousandth = u64::try_from(window.as_millis() / 1_000).expect("a year");
        for step in 0..u64::from(limit) * 4 {
            // Full after two thirds of a window, then sliding, with a few short and long gaps.
            now += at(match step {
                _ if step % 701 == 700 => thousandth * 333,
                _ if step % 1_801 == 1_800 => thousandth * 990,
                _ => thousandth * (step % 3) / 4,
            });
            let decision = acquire(&nodes[usize::from(step % 2 == 0)], key("0"), quota, now).await;
            assert_eq!(
                decision,
                model.acquire(key("0"), quota, now),
                "{limit} in {window:?}, {step}"
            );
        }
        // Expired entries are at most half of the log.
        let log = redis.cli(&["KEYS", &format!("{prefix}:*")]);
        let length: u32 = redis.cli(&["STRLEN", &log]).parse().expect("a number");
        assert!(length <= 9 + 2 * (limit + 1) * width, "{length} bytes");
        // After a large step back the newest entry counts as new.
        let log = model.allowed(key("0"), quota);
        let last = log.last().expect("many");
        let live: Vec<_> = log.iter().filter(|entry| **entry + window > *last).collect();
        let decision = acquire(&nodes[2], key("0"), quota, now - window * 3).await;
        if live.len() < limit as usize {
            let left = limit as usize - live.len() - 1;
            assert_eq!((decision.remaining as usize, decision.retry_after), (left, None));
        } else {
            assert_eq!(decision.retry_after, Some(*live[0] + window - *last));
        }
    }
}

/// A client that always waits for `retry_after` gets exactly the quota over years: rounding errors do
/// not accumulate.
#[tokio::test(flavor = "multi_thread")]
async fn bursts_do_not_drift() {
    let nodes = nodes(2);
    for quota in [
        Quota::per_second(7).burst(2),
        Quota::new(97, Duration::from_nanos(13_370_000_001)).burst(2),
        Quota::new(365, YEAR).burst(2),
    ] {
        let (start, mut count) = (at(1 << 40), 0);
        let mut now = start;
        for round in 0..2_000 {
            match acquire(&nodes[round % 2], key("a"), quota, now).await.retry_after {
                None => count += 1,
                Some(wait) => now += wait,
            }
        }
        let limit = u128::from(quota.limit());
        let replenished = (now - start).as_nanos() * limit / quota.window().as_nanos();
        // The last one may become available at this instant.
        assert!(
            count == replenished + 2 || count == replenished + 1,
            "{quota}: {count} of {replenished}"
        );
        assert!(count > 500, "{quota}: {count}");
    }
}

/// Three nodes whose clocks differ by two windows, eight clients each, all at once. Returns the
/// decisions.
async fn call_concurrently(quota: Quota, calls: usize) -> Vec<StoreDecision> {
    const CLIENTS: usize = 24;
    let options = shared();
    let nodes = [(); 3].map(|()| open(&options).limits());
    let (mut clients, start) = (JoinSet::new(), Arc::new(Barrier::new(CLIENTS)));
    for client in 0..CLIENTS {
        let (limits, start) = (Arc::clone(&nodes[client % 3]), Arc::clone(&start));
        let elapsed = quota.window() * 2 * u32::try_from(client % 3).expect("a node");
        clients.spawn(async move {
            start.wait().await;
            let mut decisions = Vec::new();
            for _ in 0..calls {
                decisions.push(acquire(&limits, key("a"), quota, elapsed).await);
            }
            decisions
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

/// The `remaining` of each allowed call, sorted.
fn allowed(decisions: &[StoreDecision]) -> Vec<u32> {
    let allowed = decisions.iter().filter(|decision| decision.retry_after.is_none());
    let mut remaining: Vec<_> = allowed.map(|decision| decision.remaining).collect();
    remaining.sort_unstable();
    remaining
}

/// B4: without the seam of the tests the server's clock counts, and the clocks of the nodes do not.
/// The window is too long to slide during the test.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_with_different_clocks_share_one_window() {
    let quota = Quota::new(100, DAY);
    let decisions = call_concurrently(quota, 9).await;
    assert_eq!(allowed(&decisions), (0..100).collect::<Vec<_>>());
    let mut waits = decisions.iter().filter_map(|decision| decision.retry_after);
    assert!(waits.all(|wait| wait > DAY / 2 && wait <= DAY + at(1)), "{decisions:?}");
}

/// B4: the same for a burst.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_with_different_clocks_share_one_burst() {
    let quota = Quota::new(2, DAY).burst(100);
    let decisions = call_concurrently(quota, 9).await;
    assert_eq!(allowed(&decisions), (0..100).collect::<Vec<_>>());
    let mut waits = decisions.iter().filter_map(|decision| decision.retry_after);
    assert!(waits.all(|wait| wait > DAY / 4 && wait <= DAY / 2), "{decisions:?}");
}

/// B5, by the server's clock: without other callers, a call after `retry_after` is allowed.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_after_retry_after_is_allowed() {
    for (quota, calls, rounds) in
        [(Quota::per_second(25), 25, 25), (Quota::per_second(7).burst(1), 0, 10)]
    {
        let (options, start) = (shared(), Instant::now());
        let limits = open(&options).limits();
        for _ in 0..calls {
            assert_eq!(acquire(&limits, key("a"), quota, start.elapsed()).await.retry_after, None);
            tokio::time::sleep(at(7)).await;
        }
        for _ in 0..rounds {
            // A node without local state, then the same node again.
            let limits = open(&options).limits();
            let decision = acquire(&limits, key("a"), quota, start.elapsed()).await;
            if let Some(wait) = decision.retry_after {
                tokio::time::sleep(wait).await;
                let decision = acquire(&limits, key("a"), quota, start.elapsed()).await;
                assert_eq!(decision.retry_after, None, "waited {wait:?}");
            }
        }
    }
}

/// If the clock is set back by less than the window, the log's time stands still. If it is set back
/// further, the key is not locked out, and no earlier call is returned.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_neither_resets_nor_locks_a_window() {
    let (nodes, quota) = (nodes(8), Quota::new(2, SECOND * 10));
    let ask = async |node: usize, now| acquire(&nodes[node], key("a"), quota, at(now)).await;
    assert_eq!(ask(0, 100_000).await.remaining, 1);
    assert_eq!(ask(0, 104_000).await.remaining, 0);
    // By less: the time until the clock catches up, and the wait from then.
    assert_eq!(ask(1, 101_000).await.retry_after, Some(at(9_000)));
    // By more: the last call counts as new, the first as four seconds old.
    assert_eq!(ask(2, 50_000).await.retry_after, Some(at(6_000)));
    assert_eq!(ask(3, 55_999).await.retry_after, Some(at(1)));
    assert_eq!(ask(4, 56_000).await.remaining, 0);
    assert_eq!(ask(5, 56_000).await.retry_after, Some(at(4_000)));
    assert_eq!(ask(6, 60_000).await.remaining, 0);
}

/// A clock that is set back costs a key at most the burst, locks it for at most one interval, and
/// returns no earlier call.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_costs_at_most_the_burst() {
    let (nodes, quota) = (nodes(9), Quota::new(2, SECOND * 10).burst(3));
    let ask = async |node: usize, now| acquire(&nodes[node], key("a"), quota, at(now)).await;
    assert_eq!(ask(0, 1_000_000).await.remaining, 2);
    // By less than the burst lasts: replenishing takes that much longer.
    let decision = ask(1, 999_000).await;
    assert_eq!((decision.remaining, decision.reset_after), (0, at(1_000)));
    assert_eq!(ask(2, 999_999).await.retry_after, Some(at(1)));
    // By more: the burst is used up and replenishes from now on.
    assert_eq!(ask(3, 50_000).await.retry_after, Some(at(5_000)));
    assert_eq!(ask(4, 54_999).await.retry_after, Some(at(1)));
    assert_eq!(ask(5, 55_000).await.remaining, 0);
    assert_eq!(ask(6, 55_000).await.retry_after, Some(at(5_000)));
    assert_eq!(ask(7, 65_000).await.remaining, 1);
    // Set forward again by more than the burst lasts: a new key.
    assert_eq!(ask(8, 1_000_000).await.remaining, 2);
}

/// The documented sizes: two to five bytes for each entry of a log, by the window, and thirteen bytes
/// for a burst. Counters expire when they are full again, and all counters of a key share a slot.
#[tokio::test(flavor = "multi_thread")]
async fn counters_have_the_documented_size_and_expiry() {
    let (prefix, redis) = (Redis::prefix(), Redis::shared());
    let limits = open(&shared().prefix(&*prefix)).limits();
    let mut slots = Vec::new();
    for (quota, calls, bytes, expiry) in [
        (Quota::new(10, SECOND * 60), 12, 9 + 10 * 2, 60_000),
        (Quota::new(10, SECOND * 3_600), 12, 9 + 10 * 3, 3_600_000),
        (Quota::new(10, DAY), 12, 9 + 10 * 4, 86_400_000),
        (Quota::new(10, YEAR), 12, 9 + 10 * 5, 31_622_400_000_u64),
        (Quota::new(60, SECOND * 3_600).burst(10), 90, 13, 600_000),
        (Quota::new(60, SECOND * 3_600).burst(60), 90, 13, 3_600_000),
        (Quota::new(12, YEAR).burst(12), 90, 13, 31_622_400_000),
    ] {
        for _ in 0..calls {
            acquire(&limits, key("a"), quota, Duration::ZERO).await;
        }
        let burst = quota.burst_size().map(|burst| format!("/{burst}")).unwrap_or_default();
        let name = format!("{}/{}{burst}", quota.limit(), quota.window().as_nanos());
        let counter = &*redis.cli(&["KEYS", &format!("{prefix}:*:{name}")]);
        assert_eq!(redis.cli(&["STRLEN", counter]), bytes.to_string(), "{quota}");
        let left: u64 = redis.cli(&["PTTL", counter]).parse().expect("a number");
        // The calls take some of the time, and return some of the capacity.
        assert!((expiry / 2..=expiry + 3).contains(&left), "{left} of {expiry} ms");
        slots.push(counter.split(['{', '}']).nth(1).expect("a tag").to_owned());
    }
    slots.dedup();
    assert_eq!(slots.len(), 1, "{slots:?}");
}
