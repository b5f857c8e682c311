//! Checks of limits as arguments of the script, and its replies.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::Value;

use super::gcra;
use crate::limit::{Gcra, LimitKey, Quota, StoreDecision};

/// A key under a quota.
pub(super) type Counter = (LimitKey, Quota);

/// A call that is counted by one or two counters of one group, or by none if one is limited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check {
    pub(super) one: Counter,
    pub(super) other: Option<Counter>,
    /// The caller's clock.
    pub(super) elapsed: Duration,
}

/// The decisions on the counters of a check; none for a foreign value.
pub(super) type Decisions = [Option<StoreDecision>; 2];

/// A log of more bytes is read in parts.
const WHOLE: u64 = 4096;
/// Bytes before the entries of a log.
const HEADER: u64 = 9;
/// Added to the number of the first key of two.
const PAIR: u8 = 128;
/// The reply for a foreign value.
const MALFORMED: i64 = -(1 << 53);

impl Check {
    pub(super) fn counters(&self) -> impl Iterator<Item = Counter> {
        std::iter::once(self.one).chain(self.other)
    }
}

/// Returns the Redis key of a counter. All counters of one group of limit keys share a hash tag.
pub(super) fn redis_key(prefix: &str, (key, quota): Counter) -> Vec<u8> {
    let [group, member] = [key.group(), key.member()].map(|part| URL_SAFE_NO_PAD.encode(part));
    let (limit, window) = (quota.limit(), quota.window().as_nanos());
    let burst = quota.burst_size().map(|burst| format!("/{burst}")).unwrap_or_default();
    format!("{prefix}:{{{group}}}{member}:{limit}/{window}{burst}").into_bytes()
}

/// Returns the distinct counters of checks, and the arguments of the script after time and margin. There are
/// fewer than 128 counters.
pub(super) fn encode(checks: impl Iterator<Item = Check>) -> (Vec<Counter>, Vec<Vec<u8>>) {
    let (mut counters, mut quotas) = (Vec::new(), Vec::new());
    let (mut quota_numbers, mut numbers) = (Vec::new(), Vec::new());
    for check in checks {
        for (counter, added) in check.counters().zip([check.other.map_or(0, |_| PAIR), 0]) {
            let number = number_of(&mut counters, counter);
            if usize::from(number) > quota_numbers.len() {
                quota_numbers.push(number_of(&mut quotas, counter.1));
            }
            numbers.push(number + added);
        }
    }
    let mut arguments = vec![quota_numbers, numbers];
    for quota in quotas {
        let five = Gcra::of(quota).map_or_else(|| log_arguments(quota), gcra::arguments);
        arguments.extend(five.map(String::into_bytes));
    }
    (counters, arguments)
}

/// Returns the number of an item in a list, from one up; adds it if it is new.
fn number_of<T: PartialEq>(items: &mut Vec<T>, item: T) -> u8 {
    let known = items.iter().position(|one| *one == item);
    let index = known.unwrap_or_else(|| {
        items.push(item);
        items.len() - 1
    });
    u8::try_from(index + 1).unwrap_or(u8::MAX)
}

/// Limit, window, width of an entry, and whether a log may be long.
fn log_arguments(quota: Quota) -> [String; 5] {
    let window = quota.window().as_nanos().div_ceil(1_000_000);
    let (limit, width) = (quota.limit(), width(window));
    let is_long = HEADER + u64::from(limit) * u64::from(width) > WHOLE;
    let is_long = u8::from(is_long).to_string();
    [limit.to_string(), window.to_string(), width.to_string(), is_long, String::new()]
}

/// The bytes per entry that distinguish all ages within the window.
fn width(window: u128) -> u32 {
    (2..8).find(|width| window < 1 << (8 * width)).unwrap_or(8)
}

/// Reads two numbers for each counter of each check.
pub(super) fn decode(checks: impl Iterator<Item = Check>, reply: &Value) -> Option<Vec<Decisions>> {
    let Value::Array(fields) = reply else { return None };
    let mut numbers = fields.iter().map(|field| match field {
        Value::Int(number) => Some(*number),
        _ => None,
    });
    let mut decision = |(_, quota): Counter| {
        let (one, two) = (numbers.next()??, numbers.next()??);
        Some(match Gcra::of(quota) {
            _ if one == MALFORMED => None,
            None => Some(read_log(one, two)?),
            Some(gcra) => Some(gcra::read(gcra, one, two)?),
        })
    };
    checks
        .map(|check| {
            let one = decision(check.one)?;
            let other = check.other.map_or(Some(None), &mut decision)?;
            Some([one, other])
        })
        .collect()
}

fn read_log(remaining: i64, wait: i64) -> Option<StoreDecision> {
    let reset_after = Duration::from_micros(u64::try_from(wait).ok()?);
    Some(StoreDecision {
        remaining: u32::try_from(remaining.max(0)).ok()?,
        reset_after,
        retry_after: (remaining < 0).then_some(reset_after),
    })
}
