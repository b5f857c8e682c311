//! B4 of quotas with a burst on a real Redis: against a model that forgets nothing, by the caller's
//! clock, with odd numbers and the largest; and with spenders at once, by the server's clock.

use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use goat_core::Quota;
use goat_core::limit::Spent;
use goat_engines::Redis;
use proptest::prelude::*;
use tokio::task::JoinSet;

use crate::limits::{at, in_runtime, nodes};
use crate::support::{key, open, shared, spend};

const SECOND: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(366 * 86_400);

const QUOTAS: [Quota; 12] = [
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

/// In microseconds, as the clock of Redis shows them.
fn micros(microseconds: u128) -> Duration {
    Duration::from_micros(u64::try_from(microseconds).expect("a year or two"))
}

/// In each span that begins with an admitted call and ends now there may be the burst and what was
/// given back since: how many more that is, and how long until it is one more.
fn left(quota: Quota, admitted: &[Duration], now: Duration) -> (u32, Duration) {
    let (limit, window) = (u128::from(quota.limit()), quota.window().as_nanos());
    let burst = u128::from(quota.burst_size().expect("a burst"));
    let spans = || (1..).zip(admitted.iter().rev()).map(|(count, first)| (count, now - *first));
    let remaining = spans()
        .map(|(count, age)| burst + age.as_nanos() * limit / window - count)
        .fold(burst, u128::min);
    let wait = spans().map(|(count, age)| {
        let given_back = (count + remaining + 1).saturating_sub(burst);
        let nanoseconds = (given_back * window).div_ceil(limit);
        micros(nanoseconds.saturating_sub(age.as_nanos()).div_ceil(1_000))
    });
    (u32::try_from(remaining).expect("the burst at most"), wait.max().unwrap_or_default())
}

/// Counts afresh each time from every admitted instant.
fn ask(admitted: &mut Vec<Duration>, quota: Quota, now: Duration) -> Spent {
    let is_refused = left(quota, admitted, now).0 == 0;
    if !is_refused {
        admitted.push(now);
    }
    let (remaining, reset_after) = left(quota, admitted, now);
    Spent { remaining, reset_after, retry_after: is_refused.then_some(reset_after) }
}

/// `window / limit`, rounded up.
fn interval(quota: Quota) -> Duration {
    micros(quota.window().as_nanos().div_ceil(u128::from(quota.limit())).div_ceil(1_000))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// B4, B5: what is admitted, what remains and when one more comes back are as if everything were
    /// kept, to the microsecond before and after each instant that matters, whichever node is asked.
    #[test]
    fn bursts_agree_with_a_model_that_forgets_nothing(
        quota in prop::sample::select(&QUOTAS[..]),
        start in prop_oneof![Just(0_u64), 0_u64..1 << 41],
        steps in prop::collection::vec(
            (
                0..3_usize,
                prop_oneof![6 => Just(0_u32), 4 => Just(1), 2 => 2_u32..5, 1 => 5_u32..1_000],
                -2_i32..3,
            ),
            1..60,
        ),
    ) {
        in_runtime(async {
            let (nodes, mut admitted, mut now) = (nodes(3), Vec::new(), at(start));
            for (node, intervals, nudge) in steps {
                let later = now + interval(quota).saturating_mul(intervals).min(YEAR / 50);
                let nudged = Duration::from_micros(nudge.unsigned_abs().into());
                let early = later.saturating_sub(nudged).max(now);
                now = if nudge < 0 { early } else { later + nudged };
                let spent = spend(&nodes[node], key("a"), quota, now).await;
                prop_assert_eq!(spent, ask(&mut admitted, quota, now), "{}", quota);
            }
            Ok(())
        })?;
    }
}

/// Whoever always asks again when told to gets exactly what the quota says, years on end: a rounding
/// that added up would show.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_drifts_over_a_long_time() {
    let nodes = nodes(2);
    for quota in [
        Quota::per_second(7).burst(2),
        Quota::new(97, Duration::from_nanos(13_370_000_001)).burst(2),
        Quota::new(365, YEAR).burst(2),
    ] {
        let (begun, mut count) = (at(1 << 40), 0);
        let mut now = begun;
        for round in 0..2_000 {
            match spend(&nodes[round % 2], key("a"), quota, now).await.retry_after {
                None => count += 1,
                Some(wait) => now += wait,
            }
        }
        let limit = u128::from(quota.limit());
        let given_back = (now - begun).as_nanos() * limit / quota.window().as_nanos();
        // The last may be due just now.
        assert!(
            count == given_back + 2 || count == given_back + 1,
            "{quota}: {count} of {given_back}"
        );
        assert!(count > 500, "{quota}: {count}");
    }
}

/// B4, by the server's clock, whatever nodes think of the time: never more in any span than the
/// burst and what was given back within it, and what can be given is.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_disagree_about_the_time_share_one_pace() {
    const NODES: u64 = 3;
    const SPENDERS: u64 = 4;
    let quota = Quota::new(20, Duration::from_micros(1_000_500)).burst(10);
    let (options, begun) = (shared(), Instant::now());
    let end = begun + Duration::from_millis(2_400);
    let mut spenders = JoinSet::new();
    for node in 0..NODES {
        let limits = open(&options).limits();
        for _ in 0..SPENDERS {
            let limits = Arc::clone(&limits);
            spenders.spawn(async move {
                // A node's stopwatch may show anything.
                let elapsed = || {
                    begun.elapsed() + Duration::from_secs(60) * u32::try_from(node).expect("a few")
                };
                let mut admitted = Vec::new();
                while Instant::now() < end {
                    let before = Instant::now();
                    let spent = spend(&limits, key("a"), quota, elapsed()).await;
                    match spent.retry_after {
                        None => admitted.push((before, Instant::now())),
                        Some(wait) => {
                            assert!(wait <= interval(quota), "{wait:?}");
                            tokio::time::sleep(wait.min(at(50))).await;
                        }
                    }
                }
                admitted
            });
        }
    }
    let mut admitted: Vec<_> = spenders.join_all().await.into_iter().flatten().collect();
    admitted.sort_unstable();
    // The server's instant of a call lies between its two readings.
    for first in 0..admitted.len() {
        let mut latest = admitted[first].1;
        for (count, (_, after)) in (1_u128..).zip(&admitted[first..]) {
            latest = latest.max(*after);
            let span = (latest - admitted[first].0).as_nanos();
            let allowed = 10 + span * 20 / quota.window().as_nanos();
            assert!(count <= allowed, "{count} within {span} ns");
        }
    }
    // The burst, and one each 50 ms; a machine that stood still for longer than the burst lasts may
    // miss some, and one that was late at the end may be given a few more.
    assert!(admitted.len() >= 40, "what can be given is given: {}", admitted.len());
}

/// B5, by the server's clock: alone on a key, who waits exactly as long as the refusal says gets in.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_a_burst_says_how_long_to_wait() {
    let (quota, options) = (Quota::per_second(7).burst(1), shared());
    let begun = Instant::now();
    for _ in 0..10 {
        // Each time a node that remembers nothing, then the same again.
        let limits = open(&options).limits();
        let spent = spend(&limits, key("a"), quota, begun.elapsed()).await;
        if let Some(wait) = spent.retry_after {
            tokio::time::sleep(wait).await;
            let spent = spend(&limits, key("a"), quota, begun.elapsed()).await;
            assert_eq!(spent.retry_after, None, "waited {wait:?}");
        }
    }
}

/// A clock that is set back takes no more than the burst from a key, locks it for no longer than one
/// call takes to be given back, and gives nothing back.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_takes_a_burst_at_most() {
    let (nodes, quota) = (nodes(9), Quota::new(2, SECOND * 10).burst(3));
    let ask = async |node: usize, now| spend(&nodes[node], key("a"), quota, at(now)).await;
    assert_eq!(ask(0, 1_000_000).await.remaining, 2);
    // A little: what was owed is owed for that much longer.
    let spent = ask(1, 999_000).await;
    assert_eq!((spent.remaining, spent.reset_after), (0, at(1_000)));
    assert_eq!(ask(2, 999_999).await.retry_after, Some(at(1)));
    // Far: all of the burst is owed, from now on.
    assert_eq!(ask(3, 50_000).await.retry_after, Some(at(5_000)));
    assert_eq!(ask(4, 54_999).await.retry_after, Some(at(1)));
    assert_eq!(ask(5, 55_000).await.remaining, 0);
    assert_eq!(ask(6, 55_000).await.retry_after, Some(at(5_000)));
    assert_eq!(ask(7, 65_000).await.remaining, 1);
    // And forward again, by more than the burst: as if the key were new.
    assert_eq!(ask(8, 1_000_000).await.remaining, 2);
}

/// Thirteen bytes, however much is asked; the key goes when it owes nothing any more; and all
/// counters of one key share a slot.
#[tokio::test(flavor = "multi_thread")]
async fn an_arrival_takes_what_the_documentation_says() {
    let (prefix, redis) = (Redis::prefix(), Redis::shared());
    let limits = open(&shared().prefix(&*prefix)).limits();
    let mut slots = Vec::new();
    for (quota, name, life) in [
        (Quota::per_minute(60).burst(10), "60/60000000000/10", 10_000),
        (Quota::per_minute(60).burst(600), "60/60000000000/600", 600_000),
        (Quota::new(12, YEAR).burst(12), "12/31622400000000000/12", 31_622_400_000_u64),
        (Quota::new(12, YEAR), "12/31622400000000000", 31_622_400_000),
    ] {
        for _ in 0..700 {
            spend(&limits, key("of this test alone"), quota, Duration::ZERO).await;
        }
        let counter = &*redis.cli(&["KEYS", &format!("{prefix}:*:{name}")]);
        if quota.burst_size().is_some() {
            assert_eq!(redis.cli(&["STRLEN", counter]), "13");
        }
        let left: u64 = redis.cli(&["PTTL", counter]).parse().expect("a number");
        assert!((life - 9_000..=life + 3).contains(&left), "{left} of {life} ms");
        slots.push(counter.split(['{', '}']).nth(1).expect("a tag").to_owned());
    }
    slots.dedup();
    assert_eq!(slots.len(), 1, "{slots:?}");
}
