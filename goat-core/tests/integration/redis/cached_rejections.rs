//! Cached rejections: they save calls to Redis, and never admit a request.

use std::time::Duration;

use goat_core::limit::StoreAcquire;
use goat_core::store::redis::RedisOptions;
use goat_core::testing::ManualClock;
use goat_core::{Clock, Quota};
use goat_engines::{Proxy, Redis};

use crate::redis::support::{acquire, key, open};

const QUOTA: Quota = Quota::per_second(2);

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn by_proxy(proxy: &Proxy) -> RedisOptions {
    let url = proxy.url(&Redis::shared().url());
    RedisOptions::new(url).prefix(Redis::prefix()).with_caller_clock()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_key_calls_redis_only_after_its_wait() {
    let proxy = Proxy::start(Redis::shared().address());
    let limits = open(&by_proxy(&proxy)).limits();
    acquire(&limits, key("a"), QUOTA, at(0)).await;
    acquire(&limits, key("a"), QUOTA, at(400)).await;
    assert_eq!(acquire(&limits, key("a"), QUOTA, at(500)).await.retry_after, Some(at(500)));
    let asked = proxy.count();
    for now in [500, 600, 999] {
        let StoreAcquire::Ready(decision) = limits.acquire(key("a"), QUOTA, at(now)) else {
            panic!("at {now} ms Redis is called despite the cached rejection");
        };
        assert_eq!((decision.remaining, decision.retry_after), (0, Some(at(1_000 - now))));
        assert_eq!(decision.reset_after, at(1_000 - now));
    }
    assert_eq!(proxy.count(), asked);
    // Other counters are not affected: another key, and this one under another quota.
    assert_eq!(acquire(&limits, key("b"), QUOTA, at(600)).await.remaining, 1);
    assert_eq!(acquire(&limits, key("a"), Quota::per_second(3), at(600)).await.remaining, 2);
    assert_eq!(proxy.count(), asked + 2);
    assert_eq!(acquire(&limits, key("a"), QUOTA, at(1_000)).await.retry_after, None);
    assert_eq!(proxy.count(), asked + 3);
}

/// The same for a quota with a burst.
#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_burst_calls_redis_only_after_its_wait() {
    let quota = Quota::per_second(1).burst(3);
    let proxy = Proxy::start(Redis::shared().address());
    let limits = open(&by_proxy(&proxy)).limits();
    for _ in 0..3 {
        assert_eq!(acquire(&limits, key("a"), quota, at(0)).await.retry_after, None);
    }
    assert_eq!(acquire(&limits, key("a"), quota, at(400)).await.retry_after, Some(at(600)));
    let asked = proxy.count();
    let StoreAcquire::Ready(decision) = limits.acquire(key("a"), quota, at(999)) else {
        panic!("Redis is called despite the cached rejection");
    };
    assert_eq!((decision.remaining, decision.retry_after), (0, Some(at(1))));
    assert_eq!(proxy.count(), asked);
    // Another burst is another counter.
    assert_eq!(acquire(&limits, key("a"), quota.burst(2), at(999)).await.remaining, 1);
    assert_eq!(acquire(&limits, key("a"), quota, at(1_000)).await.retry_after, None);
    assert_eq!(proxy.count(), asked + 2);
}

/// B5: the wait is measured from before the call, so a caller that waits from the reply on has
/// waited longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reply_does_not_extend_the_wait() {
    let options = RedisOptions::new(Redis::shared().url()).prefix(Redis::prefix());
    let limits = open(&options.with_caller_clock()).limits();
    let clock = ManualClock::default();
    for _ in 0..2 {
        acquire(&limits, key("a"), QUOTA, clock.elapsed()).await;
    }
    let pending = limits.acquire(key("a"), QUOTA, clock.elapsed());
    clock.advance(at(300));
    let StoreAcquire::Pending(answer) = pending else { panic!("there is no cached rejection yet") };
    let decision = answer.await.expect("a reply");
    assert_eq!(decision.retry_after, Some(at(1_000)));
    clock.advance(at(699));
    assert!(matches!(limits.acquire(key("a"), QUOTA, clock.elapsed()), StoreAcquire::Ready(_)));
    clock.advance(at(1));
    assert_eq!(acquire(&limits, key("a"), QUOTA, clock.elapsed()).await.retry_after, None);
}

/// B8: cached rejections never admit, also while Redis is down.
#[tokio::test(flavor = "multi_thread")]
async fn cached_rejections_never_admit() {
    let proxy = Proxy::start(Redis::shared().address());
    let limits = open(&by_proxy(&proxy)).limits();
    for _ in 0..3 {
        acquire(&limits, key("a"), QUOTA, at(0)).await;
    }
    proxy.refuse();
    let StoreAcquire::Ready(decision) = limits.acquire(key("a"), QUOTA, at(999)) else {
        panic!("a cached rejection")
    };
    assert_eq!(decision.retry_after, Some(at(1)));
    for (name, now) in [("a", 1_000), ("b", 0)] {
        let StoreAcquire::Pending(answer) = limits.acquire(key(name), QUOTA, at(now)) else {
            panic!("{name} has no cached rejection");
        };
        assert!(answer.await.expect_err("Redis is down").is_unavailable());
    }
}
