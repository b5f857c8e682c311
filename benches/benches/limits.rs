//! The two ways to count a limit in memory, side by side: the exact log of a sliding window, and a
//! pace with a burst (the generic cell rate algorithm). Time a call, and memory a key.
//!
//! Rounds of the two alternate, so that what the machine does meanwhile meets both. Each figure of
//! memory is taken in a process of its own, by how much that grew, which needs Linux. Asserts what is
//! promised of memory: with a burst it is the same whatever was asked, and never more than a log's.

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use goat_core::Quota;
use goat_core::limit::{LimitKey, LimitStore, StoreAcquire};
use goat_core::store::memory::MemoryLimits;

/// How many rounds a median is taken of.
const ROUNDS: usize = 31;
/// How many calls a round has.
const CALLS: usize = 100_000;
/// How many keys memory is measured with.
const KEYS: usize = 100_000;
/// The argument that makes a process of this program measure memory.
const MEMORY: &str = "--memory";

/// Whether the call was admitted.
fn acquire(limits: &MemoryLimits, key: LimitKey, quota: Quota, elapsed: Duration) -> bool {
    match limits.acquire(key, quota, elapsed) {
        StoreAcquire::Ready(spent) => spent.retry_after.is_none(),
        StoreAcquire::Pending(_) => panic!("it lies in memory"),
    }
}

fn keys(count: usize) -> Vec<LimitKey> {
    (0..count).map(|number| LimitKey::text("measured", &number.to_string())).collect()
}

/// A round of calls, and how long it took.
type Round = Box<dyn FnMut() -> Duration>;

/// Each of the keys in turn, so long after its call before: admitted all.
fn admitted(count: usize, quota: Quota, pause: Duration) -> Round {
    let (limits, keys) = (MemoryLimits::new(count * 2), keys(count));
    let (mut now, mut next) = (Duration::ZERO, 0);
    // A burst is somewhat spent, so that its key is not as new again when it has waited for one.
    for key in keys.iter().filter(|_| quota.burst_size().is_some()) {
        (0..5).for_each(|_| assert!(acquire(&limits, *key, quota, now)));
    }
    let mut call = move || {
        if next == 0 {
            now += pause;
        }
        assert!(acquire(black_box(&limits), keys[next], quota, now), "{quota} at {now:?}");
        next = (next + 1) % count;
    };
    // Until the logs are as long as they will be.
    (0..quota.limit() as usize * count).for_each(|_| call());
    Box::new(move || timed(|_| call()))
}

/// One key that has nothing left.
fn refused(quota: Quota) -> Round {
    let (limits, key) = (MemoryLimits::new(1), keys(1)[0]);
    while acquire(&limits, key, quota, Duration::ZERO) {}
    Box::new(move || timed(|_| assert!(!acquire(black_box(&limits), key, quota, Duration::ZERO))))
}

/// Keys that were never seen before.
fn first(quota: Quota) -> Round {
    let keys = keys(CALLS);
    Box::new(move || {
        let limits = MemoryLimits::new(2 * CALLS);
        timed(|number| assert!(acquire(&limits, keys[number], quota, Duration::ZERO)))
    })
}

fn timed(mut call: impl FnMut(usize)) -> Duration {
    let begun = Instant::now();
    (0..CALLS).for_each(&mut call);
    begun.elapsed()
}

/// Nanoseconds a call: the medians of rounds that alternate.
fn medians(mut rounds: [Round; 2]) -> [f64; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (round, times) in rounds.iter_mut().zip(&mut times) {
            times.push(round());
        }
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 2].as_nanos() as f64 / CALLS as f64
    })
}

fn time() {
    println!("time a call                                     log ns  burst ns  ratio");
    let minute = [Quota::per_minute(60), Quota::per_minute(60).burst(10)];
    let hour = [Quota::per_hour(10_000), Quota::per_hour(10_000).burst(100)];
    let (second, long) = (Duration::from_secs(1), Duration::from_secs(61));
    for (name, rounds) in [
        ("admitted: one key, 60 a minute", minute.map(|quota| admitted(1, quota, second))),
        (
            "admitted: one key, 10,000 an hour",
            hour.map(|quota| admitted(1, quota, second * 36 / 100)),
        ),
        ("admitted: 50,000 keys in turn", minute.map(|quota| admitted(50_000, quota, second))),
        (
            "admitted: 50,000 keys in turn, once a window",
            minute.map(|quota| admitted(50_000, quota, long)),
        ),
        ("admitted: a key's first call", minute.map(first)),
        ("refused: one key, 60 a minute", minute.map(refused)),
    ] {
        let [log, burst] = medians(rounds);
        println!("{name:<45} {log:>8.0} {burst:>9.0} {:>6.2}", burst / log);
    }
}

/// The bytes that this process has in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux says");
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).expect("what is in memory");
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024
}

fn quota_of(kind: &str, calls: usize) -> Quota {
    let quota = Quota::per_hour(u32::try_from(calls).expect("a few"));
    if kind == "burst" { quota.burst(quota.limit()) } else { quota }
}

/// Prints how many bytes a key took, in a process that did nothing else.
fn measure_memory(kind: &str, calls: usize) {
    let (quota, keys) = (quota_of(kind, calls), keys(KEYS));
    let before = resident();
    // A tenth more room than keys, since they do not fill the shards evenly.
    let limits = MemoryLimits::new(KEYS * 11 / 10);
    for _ in 0..calls {
        for key in &keys {
            assert!(acquire(&limits, *key, quota, Duration::ZERO));
        }
    }
    println!("{}", (resident() - before) / KEYS);
    assert_eq!((limits.keys(), limits.overflowed()), (KEYS, 0));
}

/// Bytes a key, from a process of its own.
fn bytes(kind: &str, calls: usize) -> usize {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).args([MEMORY, kind, &calls.to_string()]).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

fn memory() {
    println!("calls in the window   log: bytes a key   burst: bytes a key   ratio");
    let mut least = usize::MAX;
    for calls in [1, 3, 10, 60, 300] {
        let (log, burst) = (bytes("log", calls), bytes("burst", calls));
        println!("{calls:>19} {log:>18} {burst:>20} {:>7.2}", burst as f64 / log as f64);
        assert!(burst <= log, "a burst takes {burst} bytes, and a log {log}");
        least = least.min(burst);
        assert!(burst - least <= 8, "a burst takes {burst} bytes after {calls} calls, and {least}");
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if let [_, argument, kind, calls] = arguments.as_slice()
        && argument == MEMORY
    {
        return measure_memory(kind, calls.parse().expect("a number of calls"));
    }
    time();
    println!();
    memory();
}
