//! Rate limits in Redis: a sliding-window log of two to five bytes per call; GCRA in thirteen bytes
//! per key for quotas with a burst.
//!
//! Measured (`benches/benches/redis_memory.rs`) with all overhead, against a sorted set with one member
//! per request: 5.6 bytes per request against 46 at 60 per minute, 3.2 against 141 at 300, at about
//! the same CPU cost for logs of any length. A GCRA key takes 230 bytes with all overhead.
//!
//! Invariants: each call is one script on one key, by one clock; the in-process cache of limited keys
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
use crate::limit::{Gcra, LimitKey, LimitStore, Quota, StoreAcquire, StoreDecision, operation};

static SLIDING_WINDOW_LOG: LazyLock<Script> = LazyLock::new(|| {
    Script::new([include_str!("../clock.lua"), include_str!("sliding_window_log.lua")].concat())
});

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

    /// Returns the Redis key of a counter. All counters of one limit key share a hash tag.
    fn key(&self, key: LimitKey, quota: Quota) -> Vec<u8> {
        let (prefix, tag) = (&self.context.prefix, URL_SAFE_NO_PAD.encode(key.as_bytes()));
        let (limit, window) = (quota.limit(), quota.window().as_nanos());
        let burst = quota.burst_size().map(|burst| format!("/{burst}")).unwrap_or_default();
        format!("{prefix}:{{{tag}}}:{limit}/{window}{burst}").into_bytes()
    }

    async fn acquire_remote(
        self,
        key: LimitKey,
        quota: Quota,
        elapsed: Duration,
    ) -> Result<StoreDecision, StoreError> {
        let (time, margin) = if self.context.uses_caller_clock {
            (elapsed.as_micros().to_string(), TTL_MARGIN_OF_TESTS)
        } else {
            (String::new(), TTL_MARGIN)
        };
        let gcra = Gcra::of(quota);
        let (script, arguments) = match gcra {
            None => (&SLIDING_WINDOW_LOG, arguments(quota, time, margin)),
            Some(gcra) => (&gcra::SCRIPT, gcra::arguments(gcra, time, margin)),
        };
        let arguments: Vec<_> = arguments.iter().map(String::as_bytes).collect();
        // After a lost connection the call may count twice, which only errs towards limiting.
        let (client, counter) = (&self.context.client, self.key(key, quota));
        let reply =
            client.script(operation::ACQUIRE, script, &counter, &arguments, Retry::Yes).await?;
        let decision = match gcra {
            None => read(&reply),
            Some(gcra) => gcra::read(gcra, &reply),
        };
        let decision = decision.ok_or_else(|| {
            Failure::malformed("a limit's reply cannot be read").in_operation(operation::ACQUIRE)
        })?;
        if let Some(wait) = decision.retry_after {
            // Counted from before the call, so a caller that waits `retry_after` reaches Redis.
            self.limited.insert(key, quota, elapsed, elapsed.saturating_add(wait));
        }
        Ok(decision)
    }
}

/// The arguments of the log's script.
fn arguments(quota: Quota, time: String, margin: Duration) -> Vec<String> {
    let window = quota.window().as_nanos().div_ceil(1_000_000);
    let (limit, width) = (quota.limit().to_string(), width(window).to_string());
    vec![time, limit, window.to_string(), width, margin.as_millis().to_string()]
}

/// The bytes per entry that distinguish all ages within the window.
fn width(window: u128) -> u32 {
    (2..8).find(|width| window < 1 << (8 * width)).unwrap_or(8)
}

fn read(reply: &Value) -> Option<StoreDecision> {
    let Value::Array(fields) = reply else { return None };
    let &[Value::Int(remaining), Value::Int(wait), Value::Int(is_limited)] = fields.as_slice()
    else {
        return None;
    };
    let reset_after = Duration::from_micros(u64::try_from(wait).ok()?);
    Some(StoreDecision {
        remaining: u32::try_from(remaining).ok()?,
        reset_after,
        retry_after: (is_limited == 1).then_some(reset_after),
    })
}

impl LimitStore for RedisLimits {
    fn acquire(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> StoreAcquire {
        match self.limited.remaining(key, quota, elapsed) {
            Some(wait) => StoreAcquire::Ready(StoreDecision {
                remaining: 0,
                reset_after: wait,
                retry_after: Some(wait),
            }),
            None => {
                StoreAcquire::Pending(Box::pin(self.clone().acquire_remote(key, quota, elapsed)))
            }
        }
    }
}
