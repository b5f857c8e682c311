//! Rate limits in Redis: a sliding-window log of two to five bytes per call; GCRA in thirteen bytes
//! per key for quotas with a burst.
//!
//! Measured (`benches/benches/redis_memory.rs`) with all overhead, against a sorted set with one member
//! per request: 5.6 bytes per request against 46 at 60 per minute, 3.2 against 141 at 300, at about
//! the same CPU cost for logs of any length. A GCRA key takes 230 bytes with all overhead.
//!
//! Invariants: each call is one script on one or two keys of one slot, by one clock; the in-process cache of limited keys
//! limits only calls that Redis would limit too, and allows none.

mod gcra;
mod limited_keys;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::Value;

use self::limited_keys::LimitedKeys;
use super::RedisContext;
use super::client::{Retry, Script};
use super::failure::Failure;
use crate::error::StoreError;
use crate::limit::{
    Gcra, LimitKey, LimitStore, Quota, StoreAcquire, StoreDecision, StoreReply, operation,
};

static ACQUIRE: LazyLock<Script> = LazyLock::new(|| {
    let functions = [
        include_str!("../clock.lua"),
        include_str!("sliding_window_log.lua"),
        include_str!("gcra.lua"),
    ];
    Script::new([&functions.concat(), include_str!("acquire.lua")].concat())
});

/// A key under a quota.
type Counter = (LimitKey, Quota);

/// The capacity of the in-process cache of limited keys.
const LIMITED_KEYS: usize = 100_000;
/// How long a key's TTL exceeds its window. Both are measured by the server's clock.
const TTL_MARGIN: Duration = Duration::from_millis(2);
/// The same for tests, which advance the clock of the limits but not the server's.
const TTL_MARGIN_OF_TESTS: Duration = Duration::from_secs(3600);

/// Rate limits in Redis.
#[derive(Clone, Debug)]
pub(super) struct RedisLimits {
    context: RedisContext,
    limited: Arc<LimitedKeys>,
}

impl RedisLimits {
    pub(super) fn new(context: RedisContext) -> Self {
        Self { context, limited: Arc::new(LimitedKeys::new(LIMITED_KEYS)) }
    }

    /// Returns the Redis key of a counter. All counters of one group of limit keys share a hash tag.
    fn key(&self, (key, quota): Counter) -> Vec<u8> {
        let prefix = &self.context.prefix;
        let [group, member] = [key.group(), key.member()].map(|part| URL_SAFE_NO_PAD.encode(part));
        let (limit, window) = (quota.limit(), quota.window().as_nanos());
        let burst = quota.burst_size().map(|burst| format!("/{burst}")).unwrap_or_default();
        format!("{prefix}:{{{group}}}{member}:{limit}/{window}{burst}").into_bytes()
    }

    async fn acquire_remote<const N: usize>(
        self,
        counters: [Counter; N],
        elapsed: Duration,
    ) -> Result<[StoreDecision; N], StoreError> {
        let (time, margin) = if self.context.uses_caller_clock {
            (elapsed.as_micros().to_string(), TTL_MARGIN_OF_TESTS)
        } else {
            (String::new(), TTL_MARGIN)
        };
        let mut arguments = vec![time, margin.as_millis().to_string()];
        for (_, quota) in counters {
            match Gcra::of(quota) {
                None => arguments.extend(log_arguments(quota)),
                Some(gcra) => arguments.extend(gcra::arguments(gcra)),
            }
        }
        let arguments: Vec<_> = arguments.iter().map(String::as_bytes).collect();
        let keys = counters.map(|counter| self.key(counter));
        let keys = keys.each_ref().map(Vec::as_slice);
        let client = &self.context.client;
        // After a lost connection the call may count twice, which only errs towards limiting.
        let reply =
            client.script_on(operation::ACQUIRE, &ACQUIRE, &keys, &arguments, Retry::Yes).await?;
        let decisions = read(counters, &reply).ok_or_else(|| {
            Failure::malformed("a limit's reply cannot be read").in_operation(operation::ACQUIRE)
        })?;
        for ((key, quota), decision) in counters.into_iter().zip(&decisions) {
            if let Some(wait) = decision.retry_after {
                // Counted from before the call, so a caller that waits `retry_after` reaches Redis.
                self.limited.insert(key, quota, elapsed, elapsed.saturating_add(wait));
            }
        }
        Ok(decisions)
    }

    async fn reset_remote(self, counter: Counter) -> Result<(), StoreError> {
        let key = self.key(counter);
        let mut command = redis::cmd("DEL");
        command.arg(&key);
        self.context.client.command(operation::RESET, &key, &command, Retry::Yes).await?;
        // After the reply: a rejection that was on its way is not cached for longer than any other.
        self.limited.remove(counter.0, counter.1);
        Ok(())
    }

    /// Returns a cached rejection.
    fn cached(&self, (key, quota): Counter, elapsed: Duration) -> Option<StoreDecision> {
        self.limited.remaining(key, quota, elapsed).map(|wait| StoreDecision {
            remaining: 0,
            reset_after: wait,
            retry_after: Some(wait),
        })
    }
}

/// The name of the algorithm and the arguments of its function.
fn log_arguments(quota: Quota) -> [String; 4] {
    let window = quota.window().as_nanos().div_ceil(1_000_000);
    let (limit, width) = (quota.limit().to_string(), width(window).to_string());
    ["log".to_owned(), limit, window.to_string(), width]
}

/// The bytes per entry that distinguish all ages within the window.
fn width(window: u128) -> u32 {
    (2..8).find(|width| window < 1 << (8 * width)).unwrap_or(8)
}

/// Reads three numbers for each counter.
fn read<const N: usize>(counters: [Counter; N], reply: &Value) -> Option<[StoreDecision; N]> {
    let Value::Array(fields) = reply else { return None };
    let mut numbers = fields.iter().map(|field| match field {
        Value::Int(number) => Some(*number),
        _ => None,
    });
    let mut three = || Some([numbers.next()??, numbers.next()??, numbers.next()??]);
    let decisions = counters.iter().map(|(_, quota)| match Gcra::of(*quota) {
        None => read_log(three()?),
        Some(gcra) => gcra::read(gcra, three()?),
    });
    decisions.collect::<Option<Vec<_>>>()?.try_into().ok()
}

fn read_log([remaining, wait, is_limited]: [i64; 3]) -> Option<StoreDecision> {
    let reset_after = Duration::from_micros(u64::try_from(wait).ok()?);
    Some(StoreDecision {
        remaining: u32::try_from(remaining).ok()?,
        reset_after,
        retry_after: (is_limited == 1).then_some(reset_after),
    })
}

impl LimitStore for RedisLimits {
    fn acquire(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> StoreAcquire {
        match self.cached((key, quota), elapsed) {
            Some(decision) => StoreReply::Ready(decision),
            None => {
                let acquire = self.clone().acquire_remote([(key, quota)], elapsed);
                StoreReply::Pending(Box::pin(async { acquire.await.map(|[decision]| decision) }))
            }
        }
    }

    fn acquire_both(
        &self,
        counters: [Counter; 2],
        elapsed: Duration,
    ) -> StoreReply<[StoreDecision; 2]> {
        let cached = counters.map(|counter| self.cached(counter, elapsed));
        if cached.iter().all(Option::is_none) {
            return StoreReply::Pending(Box::pin(self.clone().acquire_remote(counters, elapsed)));
        }
        let [first, second] = counters.map(|(_, quota)| unused(quota));
        let [one, other] = cached;
        StoreReply::Ready([one.unwrap_or(first), other.unwrap_or(second)])
    }

    fn reset(&self, key: LimitKey, quota: Quota) -> StoreReply<()> {
        StoreReply::Pending(Box::pin(self.clone().reset_remote((key, quota))))
    }
}

/// The decision of a counter that was not asked, since the other one rejects.
fn unused(quota: Quota) -> StoreDecision {
    let remaining = quota.burst_size().unwrap_or(quota.limit());
    StoreDecision { remaining, reset_after: quota.window(), retry_after: None }
}
