//! In-process limits against an exact model, concurrent threads, and floods of keys.

mod gcra;
mod sequences;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use self::sequences::{Step, is_over, steps};
use super::*;
use crate::limit::StoreDecision;
use crate::testing::limits::LimitModel;
use crate::testing::{ManualClock, limits};

const SECOND: Duration = Duration::from_secs(1);

fn key(number: usize) -> LimitKey {
    LimitKey::text("test", &number.to_string())
}

/// A key that is cheap to create in bulk.
fn flood_key(number: u32) -> LimitKey {
    LimitKey::address("test", Ipv4Addr::from(number).into())
}

/// A reading of the monotonic clock.
fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

impl MemoryLimits {
    fn ask(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> StoreDecision {
        match self.acquire(key, quota, elapsed) {
            StoreAcquire::Ready(decision) => decision,
            StoreAcquire::Pending(_) => panic!("an in-memory store is synchronous"),
        }
    }

    fn allows(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> bool {
        self.ask(key, quota, elapsed).retry_after.is_none()
    }

    fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| size_of::<Mutex<Shard>>() + lock(shard).bytes()).sum()
    }
}

const QUOTAS: [Quota; 10] = [
    Quota::per_second(1),
    Quota::per_second(3),
    Quota::new(3, Duration::from_millis(2_500)),
    Quota::new(7, Duration::from_nanos(1_000_000_001)),
    Quota::new(40, Duration::from_secs(10)),
    Quota::per_second(1).burst(1),
    Quota::per_second(7).burst(3),
    Quota::new(3, Duration::from_millis(2_500)).burst(5),
    Quota::new(7, Duration::from_nanos(1_000_000_001)).burst(7),
    Quota::new(40, Duration::from_secs(10)).burst(2),
];

proptest! {
    /// B4: decisions, remaining calls and waits equal those of an exact model, with and without bursts.
    #[test]
    fn decisions_equal_an_exact_model(steps in steps(4, QUOTAS.len(), 200)) {
        let (store, mut model, mut now) = (MemoryLimits::new(100), LimitModel::default(), Duration::ZERO);
        for Step { key: number, quota, pause } in steps {
            now += pause;
            let (key, quota) = (key(number), QUOTAS[quota]);
            prop_assert_eq!(store.ask(key, quota, now), model.acquire(key, quota, now));
        }
        prop_assert_eq!(store.overflowed(), 0);
    }

    /// B4: a call of two counters counts by both or by neither, and then the model is unchanged.
    #[test]
    fn pairs_equal_an_exact_model(steps in steps(3, QUOTAS.len() - 1, 200)) {
        let (store, mut model, mut now) = (MemoryLimits::new(100), LimitModel::default(), Duration::ZERO);
        for Step { key: number, quota, pause } in steps {
            now += pause;
            let first = (key(number), QUOTAS[quota]);
            let second = (key(number).sibling(b"wide"), QUOTAS[quota + 1]);
            let StoreReply::Ready(decisions) = store.acquire_both([first, second], now) else {
                panic!("an in-memory store is synchronous")
            };
            // Another call of one counter shows its state.
            let is_limited = |model: &LimitModel, (key, quota)| model.clone().acquire(key, quota, now).retry_after;
            let waits = [is_limited(&model, first), is_limited(&model, second)];
            prop_assert_eq!(decisions.map(|decision| decision.retry_after), waits);
            if waits == [None, None] {
                prop_assert_eq!(decisions[0], model.acquire(first.0, first.1, now));
                prop_assert_eq!(decisions[1], model.acquire(second.0, second.1, now));
            }
        }
    }

    /// B7, B4: with capacity for few of its keys, the store never allows more than the quota.
    /// B5: and a limited caller is allowed after the wait, if there is no other caller.
    #[test]
    fn full_store_never_allows_more_than_the_quota(capacity in 0_usize..5, steps in steps(12, QUOTAS.len(), 200)) {
        let (store, mut now) = (MemoryLimits::new(capacity), Duration::ZERO);
        let mut allowed: HashMap<_, Vec<Duration>> = HashMap::new();
        for (index, Step { key: number, quota, pause }) in steps.into_iter().enumerate() {
            now += pause;
            let (key, quota) = (key(number), QUOTAS[quota]);
            let mut decision = store.ask(key, quota, now);
            if let Some(wait) = decision.retry_after.filter(|_| index % 4 == 0) {
                prop_assert!(!wait.is_zero());
                now += wait;
                decision = store.ask(key, quota, now);
                prop_assert_eq!(decision.retry_after, None, "B5: limited after the wait");
            }
            if decision.retry_after.is_none() {
                allowed.entry((key, quota)).or_default().push(now);
            }
            prop_assert!(store.keys() <= capacity);
        }
        for ((_, quota), instants) in allowed {
            prop_assert!(!is_over(quota, &instants), "over {}: {:?}", quota, instants);
        }
    }
}

#[tokio::test]
async fn conforms_to_the_port() {
    limits::conformance(&MemoryLimits::default(), &ManualClock::default()).await;
    limits::conformance(
        &limits::DeferredLimits::new(MemoryLimits::default()),
        &ManualClock::default(),
    )
    .await;
}

/// B5, to the nanosecond.
#[test]
fn call_before_retry_after_is_limited() {
    let store = MemoryLimits::new(10);
    let (key, quota) = (key(0), Quota::per_second(1));
    let first = Duration::new(5, 123_456_789);
    assert!(store.allows(key, quota, first));
    let asked = first + Duration::from_nanos(1);
    let wait = store.ask(key, quota, asked).retry_after.expect("a limited call");
    assert_eq!(asked + wait, first + SECOND);
    assert!(!store.allows(key, quota, asked + wait - Duration::from_nanos(1)));
    assert!(store.allows(key, quota, asked + wait));
}

/// B4: two threads arrive in another order than they read the clock.
#[test]
fn late_reading_counts_as_the_latest() {
    for quota in [Quota::per_second(1), Quota::per_second(1).burst(1)] {
        let store = MemoryLimits::new(2);
        assert_eq!(store.shards.len(), 1);
        assert!(store.allows(key(0), quota, at(1_000)));
        assert!(store.allows(key(1), quota, at(400)));
        // By its own reading, the second call would have expired at 1,400.
        assert_eq!(store.ask(key(1), quota, at(1_500)).retry_after, Some(at(500)));
        // A late reading of the same key does not extend the wait beyond the window.
        assert_eq!(store.ask(key(1), quota, at(0)).retry_after, Some(at(500)));
        assert!(store.allows(key(1), quota, at(2_000)));
    }
}

/// B4: concurrent threads are allowed exactly the quota in each window, or the burst and then one call
/// an interval; a full store allows no more.
#[test]
fn concurrent_threads_are_allowed_exactly_the_quota() {
    const THREADS: usize = 8;
    const KEYS: usize = 6;
    const LIMIT: usize = 30;
    let (window, burst) =
        (Quota::new(LIMIT as u32, SECOND), Quota::per_second(1).burst(LIMIT as u32));
    for (quota, pause, later) in [(window, 2_000, LIMIT), (burst, 1_000, 1)] {
        for (capacity, exact) in [(100, true), (2, false)] {
            let (store, barrier) = (MemoryLimits::new(capacity), Barrier::new(THREADS));
            // Three windows or intervals, one per round.
            let allowed: [[AtomicUsize; KEYS]; 3] = Default::default();
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        for (round, allowed) in allowed.iter().enumerate() {
                            barrier.wait();
                            for call in 0..KEYS * LIMIT {
                                let number = call % KEYS;
                                // The readings of one round differ by less than a second.
                                let elapsed = at(round as u64 * pause + call as u64);
                                if store.allows(key(number), quota, elapsed) {
                                    allowed[number].fetch_add(1, Ordering::Relaxed);
                                }
                            }
                        }
                    });
                }
            });
            for (round, allowed) in allowed.iter().enumerate() {
                let most = if round == 0 { LIMIT } else { later };
                for allowed in allowed {
                    let allowed = allowed.load(Ordering::Relaxed);
                    assert!(allowed <= LIMIT, "{quota}: {allowed} allowed");
                    assert!(!exact || allowed == most, "{quota}: {allowed} of {most} allowed");
                }
            }
        }
    }
}

/// B7: a million keys; counters of both algorithms share one capacity.
#[test]
fn flood_of_keys_stays_within_the_capacity() {
    const ROOM: usize = 50_000;
    let (window, burst) = (Quota::per_minute(100), Quota::per_minute(1).burst(100));
    for quotas in [[window, window], [window, burst]] {
        let store = MemoryLimits::new(ROOM);
        for number in 0..1_000_000_u32 {
            // All within one window, so no key expires.
            let quota = quotas[number as usize % 2];
            store.ask(flood_key(number), quota, Duration::from_micros(number.into()));
        }
        assert!(store.keys() <= ROOM, "{} keys", store.keys());
        assert!(store.keys() > ROOM * 9 / 10, "only {} keys", store.keys());
        assert!(store.overflowed() >= 950_000);
        assert!(store.bytes() < ROOM * 145, "{} bytes for {ROOM} keys", store.bytes());
    }
}

/// B7: a flood of keys that count for a day leaves room for limits of a minute, and drops out later.
#[test]
fn flood_of_long_windows_leaves_room_for_short_ones() {
    let (store, day) = (MemoryLimits::new(2_000), Quota::per_day(2));
    for number in 0..20_000 {
        store.ask(flood_key(number), day, at(0));
    }
    assert!((900..=1_000).contains(&store.keys()), "{} keys", store.keys());
    let overflowed = store.overflowed();
    for number in 0..500 {
        assert_eq!(store.ask(flood_key(number), Quota::per_minute(5), at(0)).remaining, 4);
    }
    assert_eq!(store.overflowed(), overflowed);
    let tomorrow = at(86_400_000);
    for number in 0..700 {
        assert_eq!(store.ask(flood_key(number), day, tomorrow).remaining, 1, "{number}");
    }
}

/// B7: the documented size of a key; with a burst, at any rate of calls.
#[test]
fn key_has_the_documented_size() {
    assert_eq!(size_of::<(CounterId, sliding_window_log::SlidingWindowLog)>(), 40);
    assert_eq!(size_of::<(CounterId, gcra_state::GcraState)>(), 32);
    for (quota, calls, size) in
        [(Quota::per_minute(100), 1, 80..90), (Quota::per_minute(100).burst(50), 20, 60..70)]
    {
        let store = MemoryLimits::new(MOST_KEYS_PER_SHARD);
        assert_eq!(store.shards.len(), 7);
        let one =
            MemoryLimits { shards: Box::new([Mutex::new(Shard::new(3_584, store.seed))]), ..store };
        for call in 0..calls {
            for number in 0..3_584 {
                one.ask(flood_key(number), quota, at(call));
            }
        }
        assert_eq!(one.keys(), 3_584);
        let each = one.bytes() / 3_584;
        assert!(size.contains(&each), "{quota}: {each} bytes a key");
    }
}

/// B7: more keys than the capacity fit if they are not live at the same time.
#[test]
fn expired_keys_make_capacity() {
    for quota in [Quota::per_second(5), Quota::per_second(1).burst(5)] {
        let store = MemoryLimits::new(1_000);
        for number in 0..20_000_u32 {
            // 500 live keys at any time.
            let decision = store.ask(flood_key(number), quota, at(u64::from(number) * 2));
            assert_eq!(decision.remaining, 4);
        }
        assert_eq!(store.overflowed(), 0);
        assert!(store.keys() <= 520, "{quota}: {} keys, of which 500 live", store.keys());
    }
}

/// B7: also those of the other algorithm.
#[test]
fn calls_of_one_key_drop_other_expired_keys() {
    let window = Quota::per_second(500);
    for quota in [window, Quota::per_second(1).burst(5)] {
        let store = MemoryLimits::new(1_000);
        assert_eq!(store.shards.len(), 1);
        for number in 0..200 {
            store.ask(flood_key(number), quota, at(0));
        }
        assert_eq!(store.keys(), 200);
        for _ in 0..200 {
            store.ask(flood_key(0), window, at(1_000));
        }
        assert_eq!(store.keys(), 1);
    }
}

/// B7: nor for a new key of the other algorithm.
#[test]
fn live_key_is_not_dropped_for_a_new_one() {
    let window = Quota::per_minute(2);
    for quota in [window, Quota::per_minute(1).burst(2)] {
        let store = MemoryLimits::new(3);
        for number in 0..3 {
            assert!(store.allows(key(number), quota, at(0)));
        }
        for number in 3..1_000 {
            store.ask(key(number), quota, at(1_000));
            store.ask(key(number), window, at(1_000));
        }
        for number in 0..3 {
            assert_eq!(store.ask(key(number), quota, at(2_000)).remaining, 0);
            assert!(!store.allows(key(number), quota, at(2_001)));
        }
    }
}

/// B7: a key does not get twice the quota by moving from the overflow counter to its own.
#[test]
fn new_counter_starts_from_the_overflow_counter() {
    for (short, quota) in [
        (Quota::per_second(1), Quota::per_minute(2)),
        (Quota::per_second(1).burst(1), Quota::per_minute(1).burst(2)),
    ] {
        let store = MemoryLimits::new(1);
        assert!(store.allows(key(0), short, at(0)));
        assert!(store.allows(key(1), quota, at(500)));
        assert_eq!((store.keys(), store.overflowed()), (1, 1));
        // The key in the table has expired.
        assert!(store.allows(key(1), quota, at(1_000)));
        assert_eq!((store.keys(), store.overflowed()), (1, 1));
        assert_eq!(store.ask(key(1), quota, at(1_001)).retry_after, Some(at(59_499)));
        assert!(store.allows(key(1), quota, at(60_500)));
    }
}

/// B7: overflow counters are bounded too, and further quotas are limited.
#[test]
fn quotas_beyond_the_overflow_counters_are_limited_until_one_expires() {
    let quotas: [fn(Duration) -> Quota; 2] =
        [|time| Quota::new(2, time), |interval| Quota::new(1, interval).burst(2)];
    for quota in quotas {
        let (store, quota) = (MemoryLimits::new(0), |number: u32| quota(SECOND * (number + 1)));
        let allowed = (0..100).filter(|number| store.allows(key(0), quota(*number), at(0)));
        assert_eq!(allowed.count(), 16);
        let wait = store.ask(key(0), quota(50), at(100)).retry_after;
        assert_eq!(wait, Some(at(900)), "the shortest window expires first");
        assert!(!store.allows(key(0), quota(50), at(999)));
        assert!(store.allows(key(0), quota(50), at(1_000)));
    }
}

/// A reset counter is as a new one, and is dropped when it is due.
#[test]
fn reset_counter_keeps_its_place_until_it_is_due() {
    for quota in [Quota::per_second(2), Quota::per_second(2).burst(2)] {
        let store = MemoryLimits::new(1);
        for round in 0..10 {
            assert!(store.allows(key(0), quota, at(round)));
            assert!(store.allows(key(0), quota, at(round)));
            assert!(!store.allows(key(0), quota, at(round)));
            let _done = store.reset(key(0), quota);
        }
        assert_eq!(store.keys(), 1);
        assert!(store.allows(key(1), quota, at(1_001)));
        assert_eq!((store.keys(), store.overflowed()), (1, 0));
    }
}

/// Two layers under one name: each quota has its own counter.
#[test]
fn each_quota_of_a_key_counts_separately() {
    let store = MemoryLimits::new(10);
    let (minute, hour) = (Quota::per_minute(2), Quota::per_hour(3));
    let both = |elapsed| {
        let first = store.allows(key(0), minute, elapsed);
        first && store.allows(key(0), hour, elapsed)
    };
    assert_eq!([0, 1, 2].map(|second| both(SECOND * second)), [true, true, false]);
    assert_eq!([61, 62].map(|second| both(SECOND * second)), [true, false]);
    assert!(!both(SECOND * 3_599));
    assert!(both(SECOND * 3_600));
    assert_eq!(store.keys(), 2);
}

/// L1
#[test]
fn debug_output_shows_no_keys() {
    let store = MemoryLimits::new(7);
    store.ask(key(0), Quota::per_second(1), at(0));
    assert_eq!(format!("{store:?}"), "MemoryLimits { max_keys: 7, .. }");
}
