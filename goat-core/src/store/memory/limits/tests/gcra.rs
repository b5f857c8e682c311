//! GCRA: exact to the nanosecond, over long times, and with odd and extreme quotas.

use super::*;

/// Quotas without an integral interval, and extreme ones.
const ODD: [Quota; 12] = [
    Quota::per_second(7).burst(1),
    Quota::per_second(7).burst(2),
    Quota::new(97, Duration::from_nanos(13_370_000_001)).burst(11),
    Quota::new(1_000_003, Duration::from_secs(3_600)).burst(5),
    Quota::per_second(999_999_937).burst(3),
    Quota::per_second(u32::MAX).burst(1),
    Quota::per_second(u32::MAX).burst(u32::MAX),
    Quota::per_second(136).burst(u32::MAX),
    Quota::new(1, YEAR).burst(1),
    Quota::new(365, YEAR).burst(365),
    Quota::new(u32::MAX, YEAR).burst(u32::MAX),
    Quota::new(u32::MAX, YEAR).burst(1),
];

const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// `window / limit`, rounded up.
fn interval(quota: Quota) -> Duration {
    let nanoseconds = quota.window().as_nanos().div_ceil(u128::from(quota.limit()));
    Duration::from_nanos(nanoseconds as u64)
}

/// Pauses of about a whole number of intervals.
fn pauses() -> impl Strategy<Value = Vec<(u32, i32)>> {
    let intervals = prop_oneof![6 => Just(0_u32), 4 => Just(1), 2 => 2_u32..5, 1 => 5_u32..1_000];
    prop::collection::vec((intervals, -2_i32..3), 1..150)
}

proptest! {
    /// B4, B5: a nanosecond before and after each boundary, and years later.
    #[test]
    fn odd_quotas_equal_an_exact_model(
        quota in prop::sample::select(&ODD[..]),
        start in prop_oneof![Just(0_u64), 0..u64::MAX / 8],
        pauses in pauses(),
    ) {
        let (store, mut model) = (MemoryLimits::new(10), LimitModel::default());
        let (mut now, mut allowed) = (Duration::from_nanos(start), Vec::new());
        for (intervals, nanoseconds) in pauses {
            let pause = interval(quota).saturating_mul(intervals).min(YEAR / 50);
            let nudge = Duration::from_nanos(nanoseconds.unsigned_abs().into());
            let later = now + pause;
            now = if nanoseconds < 0 { later.saturating_sub(nudge).max(now) } else { later + nudge };
            // A call of another key drops expired counters, and no others.
            store.ask(key(1), Quota::per_day(1), now);
            let decision = store.ask(key(0), quota, now);
            prop_assert_eq!(decision, model.acquire(key(0), quota, now));
            if decision.retry_after.is_none() {
                allowed.push(now);
            }
        }
        prop_assert!(!is_over(quota, &allowed), "over {}: {:?}", quota, allowed);
    }
}

/// A caller that always retries after the wait gets exactly the quota over hours or years, so rounding
/// errors do not accumulate.
#[test]
fn rounding_does_not_accumulate() {
    for (quota, rounds) in [
        (Quota::per_second(7).burst(2), 100_000_u64),
        (Quota::new(97, Duration::from_nanos(13_370_000_001)).burst(2), 100_000),
        (Quota::new(1_000_003, Duration::from_secs(3_600)).burst(2), 100_000),
        (Quota::per_second(999_999_937).burst(3), 100_000),
        (Quota::new(365, YEAR).burst(2), 100_000),
    ] {
        let (store, mut now, mut count) = (MemoryLimits::new(10), Duration::ZERO, 0_u128);
        for _ in 0..rounds {
            match store.ask(key(0), quota, now).retry_after {
                None => count += 1,
                Some(wait) => now += wait,
            }
        }
        let given_back = now.as_nanos() * u128::from(quota.limit()) / quota.window().as_nanos();
        let burst = u128::from(quota.burst_size().expect("a burst"));
        // The last one may be due at this instant.
        let all = burst + given_back;
        assert!(count == all || count + 1 == all, "{quota}: {count} of {all} after {now:?}");
        assert!(count > 10_000, "{count}");
    }
}

/// B5, to the nanosecond.
#[test]
fn call_before_retry_after_is_limited_with_a_burst() {
    let store = MemoryLimits::new(10);
    let quota = Quota::per_second(7).burst(3);
    let first = Duration::new(5, 123_456_789);
    for remaining in [2, 1, 0] {
        let decision = store.ask(key(0), quota, first);
        assert_eq!((decision.remaining, decision.retry_after), (remaining, None));
        assert_eq!(decision.reset_after, interval(quota));
    }
    let wait = store.ask(key(0), quota, first).retry_after.expect("a limited call");
    // A seventh of a second, rounded up.
    assert_eq!(wait, Duration::from_nanos(142_857_143));
    assert!(!store.allows(key(0), quota, first + wait - Duration::from_nanos(1)));
    assert!(store.allows(key(0), quota, first + wait));
    // Two sevenths are 285,714,286: the rounding is not added up.
    let asked = first + wait;
    let wait = store.ask(key(0), quota, asked).retry_after.expect("a limited call");
    assert_eq!(asked + wait - first, Duration::from_nanos(285_714_286));
}

/// The burst is replenished one by one, up to its size.
#[test]
fn burst_is_replenished_evenly_up_to_its_size() {
    let (store, quota) = (MemoryLimits::new(10), Quota::per_minute(60).burst(10));
    let allowed = |elapsed| (0..99).filter(|_| store.allows(key(0), quota, elapsed)).count();
    assert_eq!(allowed(at(0)), 10);
    assert_eq!(allowed(at(999)), 0);
    assert_eq!(allowed(at(1_000)), 1);
    assert_eq!(allowed(at(4_500)), 3);
    assert_eq!(allowed(at(5_000)), 1);
    let decision = store.ask(key(0), quota, at(7_750));
    assert_eq!((decision.remaining, decision.reset_after), (1, at(250)));
    assert_eq!(allowed(at(86_400_000)), 10);
    // In a minute from the first of them: the burst, and one a second.
    let minute = (0..60).map(|second| allowed(at(86_400_000 + second * 1_000))).sum::<usize>();
    assert_eq!(minute, 59, "with the ten: 69, the burst and the limit less one");
}

/// One key with and without a burst, and under two bursts.
#[test]
fn each_burst_of_a_key_counts_separately() {
    let store = MemoryLimits::new(10);
    let quotas = [
        Quota::per_minute(3),
        Quota::per_minute(3).burst(1),
        Quota::per_minute(3).burst(2),
        Quota::per_minute(4).burst(2),
    ];
    let allowed = quotas.map(|quota| (0..9).filter(|_| store.allows(key(0), quota, at(0))).count());
    assert_eq!(allowed, [3, 1, 2, 2]);
    assert_eq!(store.keys(), 4);
}

/// The clock range ends five hundred years ahead; time stands still there, without overflow.
#[test]
fn end_of_the_clock_range_allows_the_burst_only() {
    for quota in [
        Quota::per_second(1).burst(3),
        Quota::new(3, YEAR).burst(3),
        Quota::new(u32::MAX, YEAR).burst(3),
    ] {
        let store = MemoryLimits::new(10);
        let allowed = (0..9).filter(|_| store.allows(key(0), quota, Duration::MAX)).count();
        assert_eq!(allowed, 3, "{quota}");
    }
}
