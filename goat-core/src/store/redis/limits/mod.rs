//! Rate limits in Redis: a sliding-window log of two to five bytes per call; GCRA in thirteen bytes
//! per key for quotas with a burst.
//!
//! Measured (`benches/benches/redis_memory.rs`) with all overhead, against a sorted set with one member
//! per request: 5.6 bytes per request against 46 at 60 per minute, 3.2 against 141 at 300, at about
//! the same CPU cost for logs of any length. A GCRA key takes 230 bytes with all overhead.
//!
//! Invariants: each call is one script by one clock, on keys of one server, or of one slot of a cluster; the
//! in-process cache of limited keys limits only calls that Redis would limit too, and allows none.

mod batch;
mod check;
mod gcra;
mod limited_keys;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use self::batch::Batches;
use self::check::{Check, Counter, redis_key};
use self::limited_keys::LimitedKeys;
use super::RedisContext;
use super::client::{Retry, Script};
use super::failure::Failure;
use crate::error::StoreError;
use crate::limit::{
    LimitKey, LimitStore, Quota, StoreAcquire, StoreDecision, StoreReply, operation,
};

static ACQUIRE: LazyLock<Script> = LazyLock::new(|| {
    Script::new([include_str!("../clock.lua"), include_str!("acquire.lua")].concat())
});

/// The capacity of the in-process cache of limited keys.
const LIMITED_KEYS: usize = 100_000;

/// Rate limits in Redis.
#[derive(Clone, Debug)]
pub(super) struct RedisLimits {
    context: RedisContext,
    batches: Arc<Batches>,
    limited: Arc<LimitedKeys>,
}

impl RedisLimits {
    pub(super) fn new(context: RedisContext) -> Self {
        let batches = Batches::new(context.clone());
        Self { context, batches, limited: Arc::new(LimitedKeys::new(LIMITED_KEYS)) }
    }

    async fn acquire_remote(
        self,
        one: Counter,
        other: Option<Counter>,
        elapsed: Duration,
    ) -> Result<[Option<StoreDecision>; 2], StoreError> {
        let check = Check { one, other, elapsed };
        let decisions = self.batches.decide(check).await?;
        for ((key, quota), decision) in check.counters().zip(decisions) {
            if let Some(wait) = decision.and_then(|decision| decision.retry_after) {
                // Counted from before the call, so a caller that waits `retry_after` reaches Redis.
                self.limited.insert(key, quota, elapsed, elapsed.saturating_add(wait));
            }
        }
        Ok(decisions)
    }

    async fn reset_remote(self, counter: Counter) -> Result<(), StoreError> {
        let key = redis_key(&self.context.prefix, counter);
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

/// Returns the decision on a counter, unless its value is foreign.
fn known(decision: Option<StoreDecision>) -> Result<StoreDecision, StoreError> {
    decision.ok_or_else(|| {
        Failure::malformed("a limit's value cannot be read").in_operation(operation::ACQUIRE)
    })
}

impl LimitStore for RedisLimits {
    fn acquire(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> StoreAcquire {
        if let Some(decision) = self.cached((key, quota), elapsed) {
            return StoreReply::Ready(decision);
        }
        let acquire = self.clone().acquire_remote((key, quota), None, elapsed);
        StoreReply::Pending(Box::pin(async {
            let [decision, _] = acquire.await?;
            known(decision)
        }))
    }

    fn acquire_both(
        &self,
        counters: [Counter; 2],
        elapsed: Duration,
    ) -> StoreReply<[StoreDecision; 2]> {
        let [one, other] = counters;
        let [first, second] = counters.map(|counter| self.cached(counter, elapsed));
        if first.is_some() || second.is_some() {
            let decisions = [first.unwrap_or(unused(one.1)), second.unwrap_or(unused(other.1))];
            return StoreReply::Ready(decisions);
        }
        let acquire = self.clone().acquire_remote(one, Some(other), elapsed);
        StoreReply::Pending(Box::pin(async {
            let [first, second] = acquire.await?;
            Ok([known(first)?, known(second)?])
        }))
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
