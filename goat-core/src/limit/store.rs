//! Port of the rate limiter: acquire one request, and learn how many remain.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::error::StoreError;

use super::{LimitKey, Quota};

/// A store's decision on one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreDecision {
    /// How many more requests would be admitted now, at once: of the burst if the quota has one,
    /// else of the limit.
    pub remaining: u32,
    /// Time until one more remains than now, if no request comes in between. Without a burst that
    /// is when the oldest request leaves the window, or the whole window if nothing is counted;
    /// with a burst it is at most `window / limit`.
    pub reset_after: Duration,
    /// Set if the request is limited; nothing was counted then. Equal to `reset_after`.
    pub retry_after: Option<Duration>,
}

/// Result of [`LimitStore::acquire`]: a decision, or a future of one.
///
/// The two forms let an in-process limit avoid a boxed future and a turn of the executor.
pub enum StoreAcquire {
    /// The decision of a store in this process.
    Ready(StoreDecision),
    /// The pending decision of a remote store.
    Pending(Pin<Box<dyn Future<Output = Result<StoreDecision, StoreError>> + Send>>),
}

impl std::fmt::Debug for StoreAcquire {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready(decision) => formatter.debug_tuple("Ready").field(decision).finish(),
            Self::Pending(_) => formatter.write_str("Pending"),
        }
    }
}

/// Port: a store of rate-limit counters.
///
/// An implementation guarantees, for each pair of key and quota:
///
/// - for a quota without a burst, at most `quota.limit()` calls are admitted in any half-open
///   window of `quota.window()`, with any interleaving and on any number of nodes. Rounding is
///   always towards rejection;
/// - for a quota with a [burst](Quota::burst), at most `burst + ⌊t * limit / window⌋` calls are
///   admitted in any closed span of length `t`, likewise, and every call that this allows is
///   admitted. Rounding errors must not accumulate: over a year, as much capacity returns as the
///   quota says;
/// - a rejected call is not counted and delays no other call;
/// - a caller that waits for `retry_after` is admitted, if no other call uses the same counter;
/// - the same key under another quota is another counter, also if only the burst differs. So one
///   name may carry two quotas, for example one per minute and one per day, and each counts every
///   call once;
/// - memory is bounded in keys and per key, and only expired calls are dropped. Without room for
///   more counters, keys may share one: never above the quota, sometimes below it;
/// - a decision or a failure is returned within bounded time. A failure admits no call.
///
/// Counts may be lost with the store. The suite in `testing::limits` (feature `testing`) checks the
/// observable part of these guarantees.
pub trait LimitStore: std::fmt::Debug + Send + Sync {
    /// Acquires one request from the key if the quota allows it.
    ///
    /// `elapsed` is the caller's monotonic clock; a store with a clock of its own uses that
    /// instead. Readings may arrive slightly out of order; the store uses the latest that it has
    /// seen.
    fn acquire(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> StoreAcquire;

    /// Size of the store, for metrics; `None` if the store is not in this process.
    fn load(&self) -> Option<LimitLoad> {
        None
    }
}

/// Size of an in-process limit store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitLoad {
    /// Counters that exist now.
    pub keys: u64,
    /// Calls since the start that shared a counter for lack of room.
    pub overflowed: u64,
}

/// Operation names of [`LimitStore`], as errors and metrics report them.
pub(crate) mod operation {
    pub(crate) const ACQUIRE: &str = "limits.acquire";
}
