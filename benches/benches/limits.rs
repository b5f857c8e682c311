//! In-memory rate limits: the sliding-window log against GCRA (a quota with a burst), by time per
//! call and memory per key.
//!
//! Rounds of both alternate, so that other load affects them equally. Memory is measured as the
//! growth of a separate process (Linux only). Asserts that GCRA's memory is independent of the
//! number of requests, and never above the log's.

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use benches::summary::Summary;
use goat_core::Quota;
use goat_core::limit::{LimitKey, LimitStore, StoreAcquire};
use goat_core::store::memory::MemoryLimits;

/// Rounds per median.
const ROUNDS: usize = 31;
/// Calls per round.
const CALLS: usize = 100_000;
/// Keys for the memory measurement.
const KEYS: usize = 100_000;
/// Argument that makes this program measure memory.
const MEMORY: &str = "--memory";

/// Acquires one request; returns whether it was allowed.
fn acquire(limits: &MemoryLimits, key: LimitKey, quota: Quota, elapsed: Duration) -> bool {
    match limits.acquire(key, quota, elapsed) {
        StoreAcquire::Ready(decision) => decision.retry_after.is_none(),
        StoreAcquire::Pending(_) => panic!("an in-memory store decides immediately"),
    }
}

fn keys(count: usize) -> Vec<LimitKey> {
    (0..count).map(|number| LimitKey::text("measured", &number.to_string())).collect()
}

/// Runs one round of calls and returns its duration.
type Round = Box<dyn FnMut() -> Duration>;

/// Calls the keys in turn, each after a pause in which its request is allowed.
fn allowed(count: usize, quota: Quota, pause: Duration) -> Round {
    let (limits, keys) = (MemoryLimits::new(count * 2), keys(count));
    let (mut now, mut next) = (Duration::ZERO, 0);
    // Use a part of the burst, so that the pause does not restore the initial state.
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
    // Fill the logs to their steady size.
    (0..quota.limit() as usize * count).for_each(|_| call());
    Box::new(move || timed(|_| call()))
}

/// Calls one key with an exhausted quota.
fn limited(quota: Quota) -> Round {
    let (limits, key) = (MemoryLimits::new(1), keys(1)[0]);
    while acquire(&limits, key, quota, Duration::ZERO) {}
    Box::new(move || timed(|_| assert!(!acquire(black_box(&limits), key, quota, Duration::ZERO))))
}

/// Calls new keys.
fn first(quota: Quota) -> Round {
    let keys = keys(CALLS);
    Box::new(move || {
        let limits = MemoryLimits::new(2 * CALLS);
        timed(|number| assert!(acquire(&limits, keys[number], quota, Duration::ZERO)))
    })
}

fn timed(mut call: impl FnMut(usize)) -> Duration {
    let started = Instant::now();
    (0..CALLS).for_each(&mut call);
    started.elapsed()
}

/// Returns nanoseconds per call: medians of alternating rounds.
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

fn time(summary: &mut Summary) {
    println!("time per call                                   log ns  burst ns  ratio");
    let minute = [Quota::per_minute(60), Quota::per_minute(60).burst(10)];
    let hour = [Quota::per_hour(10_000), Quota::per_hour(10_000).burst(100)];
    let (second, long) = (Duration::from_secs(1), Duration::from_secs(61));
    for (name, rounds) in [
        ("allowed: one key, 60 per minute", minute.map(|quota| allowed(1, quota, second))),
        (
            "allowed: one key, 10,000 per hour",
            hour.map(|quota| allowed(1, quota, second * 36 / 100)),
        ),
        ("allowed: 50,000 keys in turn", minute.map(|quota| allowed(50_000, quota, second))),
        (
            "allowed: 50,000 keys in turn, once per window",
            minute.map(|quota| allowed(50_000, quota, long)),
        ),
        ("allowed: a key's first call", minute.map(first)),
        ("limited: one key, 60 per minute", minute.map(limited)),
    ] {
        let [log, burst] = medians(rounds);
        println!("{name:<45} {log:>8.0} {burst:>9.0} {:>6.2}", burst / log);
        let baseline = format!("log, {log:.0} ns");
        summary.row(&format!("burst, {name}"), burst / log, &format!("{burst:.0} ns"), &baseline);
    }
}

/// Returns the resident memory of this process in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).expect("a line with Rss");
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024
}

fn quota_of(kind: &str, calls: usize) -> Quota {
    let quota = Quota::per_hour(u32::try_from(calls).expect("a few"));
    if kind == "burst" { quota.burst(quota.limit()) } else { quota }
}

/// Prints the bytes per key, in a process that does nothing else.
fn measure_memory(kind: &str, calls: usize) {
    let (quota, keys) = (quota_of(kind, calls), keys(KEYS));
    let before = resident();
    // Ten percent spare capacity, since the shards do not fill evenly.
    let limits = MemoryLimits::new(KEYS * 11 / 10);
    for _ in 0..calls {
        for key in &keys {
            assert!(acquire(&limits, *key, quota, Duration::ZERO));
        }
    }
    println!("{}", (resident() - before) / KEYS);
    assert_eq!((limits.keys(), limits.overflowed()), (KEYS, 0));
}

/// Returns the bytes per key, measured in a separate process.
fn bytes(kind: &str, calls: usize) -> usize {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).args([MEMORY, kind, &calls.to_string()]).output();
    let output = output.expect("a finished process");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

fn memory(summary: &mut Summary) {
    println!("calls in the window     log: bytes/key     burst: bytes/key   ratio");
    let mut least = usize::MAX;
    for calls in [1, 3, 10, 60, 300] {
        let (log, burst) = (bytes("log", calls), bytes("burst", calls));
        let ratio = burst as f64 / log as f64;
        println!("{calls:>19} {log:>18} {burst:>20} {ratio:>7.2}");
        summary.row(
            &format!("burst, memory per key after {calls} calls"),
            ratio,
            &format!("{burst} B"),
            &format!("log, {log} B"),
        );
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
    let mut summary = Summary::of("limits");
    time(&mut summary);
    println!();
    memory(&mut summary);
    summary.write();
}
