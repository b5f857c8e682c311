//! What a process remembers of refusals: it spares Redis, and never admits.

use std::time::Duration;

use goat_core::limit::Spending;
use goat_core::store::redis::RedisOptions;
use goat_core::testing::ManualClock;
use goat_core::{Clock, Quota};
use goat_engines::{Proxy, Redis};

use crate::support::{key, open, spend};

const QUOTA: Quota = Quota::per_second(2);

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn by_proxy(proxy: &Proxy) -> RedisOptions {
    let url = proxy.url(&Redis::shared().url());
    RedisOptions::new(url).prefix(Redis::prefix()).with_caller_clock()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_refused_until_an_instant_does_not_ask_before_it() {
    let proxy = Proxy::start(Redis::shared().address());
    let limits = open(&by_proxy(&proxy)).limits();
    spend(&limits, key("a"), QUOTA, at(0)).await;
    spend(&limits, key("a"), QUOTA, at(400)).await;
    assert_eq!(spend(&limits, key("a"), QUOTA, at(500)).await.retry_after, Some(at(500)));
    let asked = proxy.count();
    for now in [500, 600, 999] {
        let Spending::Done(spent) = limits.spend(key("a"), QUOTA, at(now)) else {
            panic!("at {now} ms Redis is asked for what is known");
        };
        assert_eq!((spent.remaining, spent.retry_after), (0, Some(at(1_000 - now))));
        assert_eq!(spent.reset_after, at(1_000 - now));
    }
    assert_eq!(proxy.count(), asked);
    // Others are asked for: another key, and this one under another quota.
    assert_eq!(spend(&limits, key("b"), QUOTA, at(600)).await.remaining, 1);
    assert_eq!(spend(&limits, key("a"), Quota::per_second(3), at(600)).await.remaining, 2);
    assert_eq!(proxy.count(), asked + 2);
    assert_eq!(spend(&limits, key("a"), QUOTA, at(1_000)).await.retry_after, None);
    assert_eq!(proxy.count(), asked + 3);
}

/// The same for a quota with a burst: one that is spent is known to be so until one is given back.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_that_is_spent_does_not_ask_before_one_is_given_back() {
    let quota = Quota::per_second(1).burst(3);
    let proxy = Proxy::start(Redis::shared().address());
    let limits = open(&by_proxy(&proxy)).limits();
    for _ in 0..3 {
        assert_eq!(spend(&limits, key("a"), quota, at(0)).await.retry_after, None);
    }
    assert_eq!(spend(&limits, key("a"), quota, at(400)).await.retry_after, Some(at(600)));
    let asked = proxy.count();
    let Spending::Done(spent) = limits.spend(key("a"), quota, at(999)) else {
        panic!("Redis is asked for what is known");
    };
    assert_eq!((spent.remaining, spent.retry_after), (0, Some(at(1))));
    assert_eq!(proxy.count(), asked);
    // Another burst is another counter.
    assert_eq!(spend(&limits, key("a"), quota.burst(2), at(999)).await.remaining, 1);
    assert_eq!(spend(&limits, key("a"), quota, at(1_000)).await.retry_after, None);
    assert_eq!(proxy.count(), asked + 2);
}

/// B5: the instant is counted from before the question. Whoever waits from the answer on has waited
/// longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_does_not_put_the_instant_off() {
    let options = RedisOptions::new(Redis::shared().url()).prefix(Redis::prefix());
    let limits = open(&options.with_caller_clock()).limits();
    let clock = ManualClock::default();
    for _ in 0..2 {
        spend(&limits, key("a"), QUOTA, clock.elapsed()).await;
    }
    let asking = limits.spend(key("a"), QUOTA, clock.elapsed());
    clock.advance(at(300));
    let Spending::Pending(answer) = asking else { panic!("nothing is known yet") };
    let spent = answer.await.expect("it answers");
    assert_eq!(spent.retry_after, Some(at(1_000)));
    clock.advance(at(699));
    assert!(matches!(limits.spend(key("a"), QUOTA, clock.elapsed()), Spending::Done(_)));
    clock.advance(at(1));
    assert_eq!(spend(&limits, key("a"), QUOTA, clock.elapsed()).await.retry_after, None);
}

/// B8: it refuses and never admits, also while Redis is away.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_admits_nobody() {
    let proxy = Proxy::start(Redis::shared().address());
    let limits = open(&by_proxy(&proxy)).limits();
    for _ in 0..3 {
        spend(&limits, key("a"), QUOTA, at(0)).await;
    }
    proxy.refuse();
    let Spending::Done(spent) = limits.spend(key("a"), QUOTA, at(999)) else { panic!("known") };
    assert_eq!(spent.retry_after, Some(at(1)));
    for (name, now) in [("a", 1_000), ("b", 0)] {
        let Spending::Pending(answer) = limits.spend(key(name), QUOTA, at(now)) else {
            panic!("{name} is not known to be refused");
        };
        assert!(answer.await.expect_err("Redis is away").is_unavailable());
    }
}
