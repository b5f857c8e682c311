//! Batches: concurrent checks of limits share one script call, and are decided as by calls of their own.
//!
//! On a runtime with one thread, all tasks that are ready have their turn before a batch is sent.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use goat_core::Quota;
use goat_core::limit::{LimitKey, LimitStore, StoreDecision, StoreReply};
use goat_core::store::memory::MemoryLimits;
use goat_core::store::redis::RedisOptions;
use goat_engines::{Proxy, Redis, RedisCluster};
use proptest::prelude::*;
use tokio::task::JoinSet;

use crate::redis::support::{acquire, key, open, shared, try_acquire};

/// A store behind a proxy that counts the calls; its script is loaded.
async fn counted() -> (Arc<dyn LimitStore>, Proxy) {
    let proxy = Proxy::start(Redis::shared().address());
    let url = proxy.url(&Redis::shared().url());
    let limits = open(&RedisOptions::new(url).prefix(Redis::prefix())).limits();
    acquire(&limits, key("loads the script"), Quota::per_minute(9), Duration::ZERO).await;
    (limits, proxy)
}

async fn both(limits: &dyn LimitStore, counters: [(LimitKey, Quota); 2]) -> [StoreDecision; 2] {
    let decided = limits.acquire_both(counters, Duration::ZERO).wait().await;
    decided.expect("the server responds")
}

/// The limits by address and by user.
#[tokio::test]
async fn limits_of_one_request_are_one_call() {
    let (limits, proxy) = counted().await;
    let before = proxy.count();
    let [address, user] = [Quota::per_minute(300), Quota::per_minute(60)];
    let network = LimitKey::network("a", "2001:db8::1".parse().expect("an address"));
    let pair = [
        (LimitKey::address("a", "2001:db8::1".parse().expect("an address")), address),
        (network.expect("of IPv6"), Quota::per_minute(4_800)),
    ];
    let (by_address, by_user) = tokio::join!(
        both(limits.as_ref(), pair),
        acquire(&limits, key("user"), user, Duration::ZERO)
    );
    assert_eq!(by_address.map(|decision| decision.remaining), [299, 4_799]);
    assert_eq!(by_user.remaining, 59);
    assert_eq!(proxy.count(), before + 1);
}

/// B4: also for checks of one key.
#[tokio::test]
async fn concurrent_requests_share_few_calls() {
    for quota in [Quota::per_hour(10), Quota::per_hour(10).burst(10)] {
        let (limits, proxy) = counted().await;
        let before = proxy.count();
        let ask = |number: usize| {
            let (limits, key) = (Arc::clone(&limits), key(&(number % 4).to_string()));
            async move { acquire(&limits, key, quota, Duration::ZERO).await }
        };
        let decisions = (0..200).map(ask).collect::<JoinSet<_>>().join_all().await;
        let mut left: Vec<_> = decisions
            .iter()
            .filter(|decision| decision.retry_after.is_none())
            .map(|decision| decision.remaining)
            .collect();
        left.sort_unstable();
        let expected: Vec<u32> = (0..10).flat_map(|number| [number; 4]).collect();
        assert_eq!(left, expected, "{quota}");
        assert!(proxy.count() - before <= 4, "{} calls", proxy.count() - before);
    }
}

/// Singles and pairs of the counters of a batch: key, whether with a second counter, quota.
fn checks() -> impl Strategy<Value = Vec<(u8, bool, u8)>> {
    prop::collection::vec((0..3_u8, any::<bool>(), 0..4_u8), 1..40)
}

fn quota(number: u8) -> Quota {
    match number {
        0 => Quota::per_minute(3),
        1 => Quota::per_hour(9),
        2 => Quota::per_minute(2).burst(4),
        _ => Quota::per_day(5_000),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// B4: a batch decides as the store in memory does, check by check.
    #[test]
    fn batch_equals_single_checks(batches in prop::collection::vec((checks(), 0..40_u64), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let limits = open(&shared().prefix(Redis::prefix()).with_caller_clock()).limits();
            let model = MemoryLimits::default();
            let mut now = Duration::from_secs(100);
            for (checks, pause) in batches {
                now += Duration::from_secs(pause);
                let decide = |store: &dyn LimitStore, (number, is_pair, other): (u8, bool, u8)| {
                    let one = (key(&number.to_string()), quota(number));
                    let other = (one.0.sibling(b"other"), quota(other));
                    if is_pair {
                        store.acquire_both([one, other], now)
                    } else {
                        match store.acquire(one.0, one.1, now) {
                            StoreReply::Ready(decision) => StoreReply::Ready([decision; 2]),
                            StoreReply::Pending(pending) => StoreReply::Pending(Box::pin(async {
                                pending.await.map(|decision| [decision; 2])
                            })),
                        }
                    }
                };
                let pending: JoinSet<_> = checks
                    .iter()
                    .enumerate()
                    .map(|(turn, check)| {
                        let reply = decide(limits.as_ref(), *check);
                        async move { (turn, reply.wait().await.expect("the server responds")) }
                    })
                    .collect();
                let mut decided = pending.join_all().await;
                decided.sort_by_key(|(turn, _)| *turn);
                for ((_, decisions), check) in decided.into_iter().zip(checks) {
                    let expected = decide(&model, check).wait().await.expect("in memory");
                    let is_limited = |decision: &StoreDecision| decision.retry_after.is_some();
                    let is_rejected = expected.iter().any(is_limited);
                    prop_assert_eq!(decisions.iter().any(is_limited), is_rejected, "{:?}", check);
                    for (decision, expected) in decisions.iter().zip(&expected) {
                        // In a rejected pair, the decision of a counter that is not limited means
                        // nothing, nor is a counter asked whose other one is known to be limited.
                        if is_limited(decision) || !is_rejected {
                            prop_assert_eq!(decision, expected, "{:?}", check);
                        }
                    }
                }
            }
            Ok(())
        })?;
    }
}

/// A value that another system wrote fails the checks of its key, and no other check of the batch.
#[tokio::test]
async fn foreign_value_fails_its_own_checks_only() {
    let (redis, prefix) = (Redis::shared(), Redis::prefix());
    let limits = open(&shared().prefix(&*prefix)).limits();
    let quotas = [Quota::per_minute(7), Quota::per_minute(7).burst(7), Quota::per_hour(5_000)];
    for quota in quotas {
        for foreign in [&["SET", "", "canary"][..], &["HSET", "", "a", "b"]] {
            acquire(&limits, key("theirs"), quota, Duration::ZERO).await;
            let place = redis.cli(&["KEYS", &format!("{prefix}:*")]);
            assert_eq!(redis.cli(&["DEL", &place]), "1");
            let words: Vec<&str> =
                foreign.iter().map(|word| if word.is_empty() { &*place } else { word }).collect();
            redis.cli(&words);
            let (theirs, ours) = tokio::join!(
                try_acquire(&limits, key("theirs"), quota, Duration::ZERO),
                acquire(&limits, key("ours"), quota, Duration::ZERO)
            );
            let error = theirs.expect_err("no counter");
            assert!(!error.is_unavailable() && !format!("{error:?}").contains("canary"));
            assert_eq!(ours.retry_after, None, "{quota}");
            redis.cli(&["DEL", &place]);
            limits.reset(key("ours"), quota).wait().await.expect("the server responds");
        }
    }
}

/// A caller that is dropped before its batch is sent is not counted, and cancels no other.
#[tokio::test]
async fn dropped_caller_is_not_counted_and_cancels_no_other() {
    let (limits, proxy) = counted().await;
    let quota = Quota::per_minute(9);
    let before = proxy.count();
    let mut dropped = Box::pin(limits.acquire(key("a"), quota, Duration::ZERO).wait());
    assert!(is_pending(dropped.as_mut()).await);
    drop(dropped);
    assert_eq!(acquire(&limits, key("a"), quota, Duration::ZERO).await.remaining, 8);
    assert_eq!(proxy.count(), before + 1);
}

/// Polls once.
async fn is_pending<T>(mut future: Pin<&mut impl Future<Output = T>>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

/// A runtime that ends fails the checks that it was to send; others send theirs.
#[test]
fn runtime_that_ends_holds_up_no_later_check() {
    let limits = open(&shared().prefix(Redis::prefix())).limits();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let quota = Quota::per_minute(9);
    let first = runtime().expect("a runtime");
    let mut pending = Box::pin(limits.acquire(key("a"), quota, Duration::ZERO).wait());
    assert!(first.block_on(is_pending(pending.as_mut())));
    drop(first);
    runtime().expect("a runtime").block_on(async {
        assert!(pending.await.expect_err("not sent").is_unavailable());
        assert_eq!(acquire(&limits, key("a"), quota, Duration::ZERO).await.remaining, 8);
    });
}

/// Keys in several slots are calls of their own.
#[tokio::test(flavor = "multi_thread")]
async fn cluster_decides_concurrent_checks_of_all_slots() {
    let cluster = RedisCluster::start();
    let limits = open(&RedisOptions::new(&*cluster.urls()[0])).limits();
    let ask = |number: usize| {
        let (limits, key) = (Arc::clone(&limits), key(&(number % 40).to_string()));
        async move { acquire(&limits, key, Quota::per_hour(2), Duration::ZERO).await }
    };
    let decisions = (0..120).map(ask).collect::<JoinSet<_>>().join_all().await;
    let admitted = decisions.iter().filter(|decision| decision.retry_after.is_none()).count();
    assert_eq!(admitted, 80);
}
