//! B7: the memory of a process stays bounded at a million limited keys and beyond, measured on the
//! process and not on the store's own account.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::process::Command;
use std::time::Duration;

use goat_core::Quota;
use goat_core::limit::{LimitKey, LimitStore as _, StoreAcquire};
use goat_core::store::memory::MemoryLimits;

/// Set in the process that is measured.
const MEASURED: &str = "GOAT_TEST_MILLION_KEYS";
const MILLION: u32 = 1_000_000;
const MORE: u32 = 200_000;
/// The default number of keys, at the documented size and with the buckets of a hash table that a shard
/// leaves free.
const CAP: usize = 160 << 20;

#[test]
fn a_million_keys_do_not_grow_the_process_past_its_cap() {
    if std::env::var_os(MEASURED).is_some() {
        return flood();
    }
    let name = "million_keys::a_million_keys_do_not_grow_the_process_past_its_cap";
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    let output = command.args(["--exact", name, "--nocapture"]).env(MEASURED, "1").output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn flood() {
    let store = MemoryLimits::default();
    let quota = Quota::per_hour(5);
    let limit = |numbers: Range<u32>| {
        for number in numbers {
            let key = LimitKey::address("flood", Ipv4Addr::from(number).into());
            let StoreAcquire::Ready(_) = store.acquire(key, quota, Duration::ZERO) else {
                panic!("an in-memory store is synchronous");
            };
        }
    };
    let before = resident();
    limit(0..MILLION);
    let full = resident();
    assert!(full - before < CAP, "{} bytes for a million keys", full - before);
    // No key has expired, so new ones share the overflow log. Each of its own would take over 100 bytes.
    limit(MILLION..MILLION + MORE);
    let flooded = resident();
    assert!(flooded < full + MORE as usize * 50, "{full} bytes, then {flooded}");
    assert!(store.keys() <= MILLION as usize, "{} keys", store.keys());
    assert!(store.keys() > MILLION as usize * 9 / 10, "only {} keys", store.keys());
}

/// The resident memory of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the size");
    let kibibytes = line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number");
    kibibytes << 10
}
