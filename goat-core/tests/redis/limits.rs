//! B4 on a real Redis: against a model that forgets nothing, by the caller's clock, and with
//! spenders at once whose clocks differ, by the server's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use goat_core::Quota;
use goat_core::limit::{LimitStore, Spent};
use goat_core::store::redis::RedisOptions;
use goat_engines::Redis;
use proptest::prelude::*;
use tokio::task::JoinSet;

use crate::support::{key, open, shared, spend};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Stores over the same logs, as different nodes have them: what one remembers, another does not.
pub(crate) fn nodes(count: usize) -> Vec<Arc<dyn LimitStore>> {
    nodes_of(&shared(), count)
}

fn nodes_of(options: &RedisOptions, count: usize) -> Vec<Arc<dyn LimitStore>> {
    let options = options.clone().with_caller_clock();
    (0..count).map(|_| open(&options).limits()).collect()
}

/// Keeps every admitted instant and counts afresh each time.
#[derive(Default)]
struct Model(HashMap<(usize, Quota), Vec<Duration>>);

impl Model {
    fn ask(&mut self, key: usize, quota: Quota, now: Duration) -> Spent {
        let log = self.0.entry((key, quota)).or_default();
        let live = |log: &[Duration]| {
            let mut live = log.iter().copied().filter(|at| *at + quota.window() > now);
            (live.next(), live.count() + 1)
        };
        let is_refused = matches!(live(log), (Some(_), count) if count >= quota.limit() as usize);
        if !is_refused {
            log.push(now);
        }
        let (oldest, count) = live(log);
        let reset_after = oldest.expect("one lives") + quota.window() - now;
        Spent {
            remaining: quota.limit() - u32::try_from(count).expect("a few"),
            reset_after,
            retry_after: is_refused.then_some(reset_after),
        }
    }
}

/// Windows on both sides of every width of an entry: 65.5 s, 4.66 h, 49.7 days.
const WINDOWS: [Duration; 9] = [
    SECOND,
    Duration::from_millis(2_500),
    Duration::from_millis(65_535),
    Duration::from_millis(65_536),
    Duration::from_secs(3_600),
    Duration::from_millis(16_777_215),
    Duration::from_millis(16_777_216),
    Duration::from_secs(49 * 86_400),
    Duration::from_secs(366 * 86_400),
];

/// Who asks, of which node, and for how long nobody did: thousandths of the window.
type Step = (usize, usize, u64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pause = prop_oneof![
        4 => Just(0),
        4 => 0_u64..200,
        1 => 200_u64..1_000,
        1 => Just(1_000),
        1 => 1_000_u64..3_000,
    ];
    prop::collection::vec((0..2_usize, 0..3_usize, pause), 1..60)
}

pub(crate) fn in_runtime<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// B4: what is admitted, what remains and when it comes back are as if everything were kept, to
    /// the millisecond, whichever node is asked.
    #[test]
    fn agrees_with_a_model_that_forgets_nothing(
        window in prop::sample::select(&WINDOWS[..]),
        limit in prop_oneof![Just(1_u32), 2_u32..6, 10_u32..30],
        start in prop_oneof![Just(0_u64), 0_u64..1 << 41],
        steps in steps(),
    ) {
        in_runtime(async {
            let (nodes, quota) = (nodes(3), Quota::new(limit, window));
            let (mut model, mut now) = (Model::default(), at(start));
            for (number, node, pause) in steps {
                let thousandth = u64::try_from(window.as_millis() / 1_000).expect("a year");
                now += at(pause * thousandth);
                let spent = spend(&nodes[node], key(&number.to_string()), quota, now).await;
                prop_assert_eq!(spent, model.ask(number, quota, now));
            }
            Ok(())
        })?;
    }

    /// B4, B5: between the milliseconds it rounds towards refusal, and who waits as long as it says
    /// gets in.
    #[test]
    fn fractions_of_a_millisecond_never_admit_more(
        fraction in 0_u32..1_000_000,
        limit in 1_u32..4,
        // In microseconds: the clock of Redis knows nothing finer.
        pauses in prop::collection::vec(0_u64..700_000, 1..60),
    ) {
        in_runtime(async {
            let (nodes, quota) = (nodes(3), Quota::new(limit, SECOND + Duration::from_nanos(fraction.into())));
            let (mut admitted, mut now) = (Vec::new(), Duration::ZERO);
            for (index, pause) in pauses.into_iter().enumerate() {
                now += Duration::from_micros(pause);
                let mut spent = spend(&nodes[index % 3], key("a"), quota, now).await;
                if let Some(wait) = spent.retry_after.filter(|_| index % 2 == 0) {
                    now += wait;
                    spent = spend(&nodes[(index + 1) % 3], key("a"), quota, now).await;
                    prop_assert_eq!(spent.retry_after, None, "waited, and refused again");
                }
                if spent.retry_after.is_none() {
                    admitted.push(now);
                }
            }
            let later = admitted.iter().skip(limit as usize);
            for (first, last) in admitted.iter().zip(later) {
                prop_assert!(*last - *first >= quota.window(), "{:?} {:?}", first, last);
            }
            Ok(())
        })?;
    }
}

/// B4: a log that is too long to be written whole each time counts no less exactly, while it grows,
/// while it slides, when it shrinks, and when the clock is set back.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_as_exact_as_a_short_one() {
    let redis = Redis::shared();
    for (limit, window, width) in
        [(1_500, SECOND * 60, 2), (1_500, SECOND * 3_600, 3), (400, DAY * 366, 5)]
    {
        let prefix = Redis::prefix();
        let nodes = nodes_of(&shared().prefix(&*prefix), 3);
        let quota = Quota::new(limit, window);
        let (mut model, mut now) = (Model::default(), at(1 << 40));
        let thousandth = u64::try_from(window.as_millis() / 1_000).expect("a year");
        for step in 0..u64::from(limit) * 4 {
            // Full after two thirds of a window, then sliding; now and then a gap, short or long.
            now += at(match step {
                _ if step % 701 == 700 => thousandth * 333,
                _ if step % 1_801 == 1_800 => thousandth * 990,
                _ => thousandth * (step % 3) / 4,
            });
            let spent = spend(&nodes[usize::from(step % 2 == 0)], key("0"), quota, now).await;
            assert_eq!(spent, model.ask(0, quota, now), "{limit} in {window:?}, step {step}");
        }
        // What has passed is the smaller part.
        let log = redis.cli(&["KEYS", &format!("{prefix}:*")]);
        let length: u32 = redis.cli(&["STRLEN", &log]).parse().expect("a number");
        assert!(length <= 9 + 2 * (limit + 1) * width, "{length} bytes");
        // Far back, the last of them counts as if it were made now.
        let log = &model.0[&(0, quota)];
        let last = log.last().expect("many");
        let live: Vec<_> = log.iter().filter(|entry| **entry + window > *last).collect();
        let spent = spend(&nodes[2], key("0"), quota, now - window * 3).await;
        if live.len() < limit as usize {
            let left = limit as usize - live.len() - 1;
            assert_eq!((spent.remaining as usize, spent.retry_after), (left, None));
        } else {
            assert_eq!(spent.retry_after, Some(*live[0] + window - *last));
        }
    }
}

/// B4, by the server's clock, whatever nodes think of the time: never more than the quota in any
/// window, and what can be given is.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_disagree_about_the_time_share_one_quota() {
    const NODES: u64 = 3;
    const SPENDERS: u64 = 4;
    let quota = Quota::new(20, Duration::from_micros(1_000_500));
    let (options, begun) = (shared(), Instant::now());
    let end = begun + Duration::from_millis(3_400);
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
                            assert!(wait <= quota.window() + at(1), "{wait:?}");
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
    for first in 0..admitted.len().saturating_sub(quota.limit() as usize) {
        let group = &admitted[first..=first + quota.limit() as usize];
        let last = group.iter().map(|(_, after)| *after).max().expect("some");
        let span = last - group[0].0;
        assert!(span >= quota.window(), "{} within {span:?}", group.len());
    }
    // At 0, 1, 2 and 3 windows as many as there may be; a machine that stood still may miss one.
    assert!((60..=80).contains(&admitted.len()), "what can be given is given: {}", admitted.len());
}

/// B5, by the server's clock: alone on a key, who waits exactly as long as the refusal says gets in.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_how_long_to_wait() {
    let (quota, options) = (Quota::per_second(25), shared());
    let (limits, begun) = (open(&options).limits(), Instant::now());
    for _ in 0..25 {
        assert_eq!(spend(&limits, key("a"), quota, begun.elapsed()).await.retry_after, None);
        tokio::time::sleep(at(7)).await;
    }
    for _ in 0..25 {
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

/// A clock that is set back a little stands still for the log; one that is set back by more than the
/// window does not lock the key, and gives nothing back either.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_neither_admits_nor_locks() {
    let (nodes, quota) = (nodes(8), Quota::new(2, SECOND * 10));
    let ask = async |node: usize, now| spend(&nodes[node], key("a"), quota, at(now)).await;
    assert_eq!(ask(0, 100_000).await.remaining, 1);
    assert_eq!(ask(0, 104_000).await.remaining, 0);
    // A little: until the clock is there again, and then as long as was left.
    assert_eq!(ask(1, 101_000).await.retry_after, Some(at(9_000)));
    // Far: the last call counts as if it were made now, the first as four seconds old.
    assert_eq!(ask(2, 50_000).await.retry_after, Some(at(6_000)));
    assert_eq!(ask(3, 55_999).await.retry_after, Some(at(1)));
    assert_eq!(ask(4, 56_000).await.remaining, 0);
    assert_eq!(ask(5, 56_000).await.retry_after, Some(at(4_000)));
    assert_eq!(ask(6, 60_000).await.remaining, 0);
}

/// Two to five bytes an entry, by the window; what has passed is dropped; the key goes with its last
/// entry; and all logs of one key share a slot.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_takes_what_the_documentation_says() {
    let (options, redis) = (shared(), Redis::shared());
    // The key is not told by the store.
    let keys = || {
        let keys = redis.cli(&["KEYS", "*"]);
        keys.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let limits = open(&options).limits();
    let mut slots = Vec::new();
    for (window, width, life) in [
        (SECOND * 60, 2, 60_000),
        (SECOND * 3_600, 3, 3_600_000),
        (DAY, 4, 86_400_000),
        (DAY * 366, 5, 31_622_400_000_u64),
    ] {
        let quota = Quota::new(10, window);
        for _ in 0..12 {
            spend(&limits, key("of this test alone"), quota, Duration::ZERO).await;
        }
        let name = format!(":10/{}", window.as_nanos());
        let log = keys().into_iter().find(|key| key.ends_with(&name)).expect("a log");
        assert_eq!(redis.cli(&["STRLEN", &log]), (9 + 10 * width).to_string());
        let left: u64 = redis.cli(&["PTTL", &log]).parse().expect("a number");
        assert!((life - 5_000..=life + 3).contains(&left), "{left} of {life} ms");
        slots.push(log[log.find('{').expect("a tag")..=log.find('}').expect("a tag")].to_owned());
    }
    slots.dedup();
    assert_eq!(slots.len(), 1, "{slots:?}");
}
