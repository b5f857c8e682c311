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

/// Result of [`LimitStore::acquire`].
pub type StoreAcquire = StoreReply<StoreDecision>;

/// Reply of a limit store, or a future of it.
///
/// The two forms let an in-process limit avoid a boxed future and a turn of the executor.
pub enum StoreReply<T> {
    /// The reply of a store in this process.
    Ready(T),
    /// The pending reply of a remote store.
    Pending(PendingReply<T>),
}

/// The pending reply of a remote store.
pub type PendingReply<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

impl<T> StoreReply<T> {
    /// Awaits the reply, for decorators of a store.
    ///
    /// # Errors
    ///
    /// That of the store.
    pub async fn wait(self) -> Result<T, StoreError> {
        match self {
            Self::Ready(reply) => Ok(reply),
            Self::Pending(pending) => pending.await,
        }
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for StoreReply<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready(reply) => formatter.debug_tuple("Ready").field(reply).finish(),
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
/// - a call of two counters is counted by both or, if either rejects it, by neither;
/// - after a reset the counter is as if it was never used, for every later call on any node. A node
///   may reject by a rejection that it received before the reset for at most a second;
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

    /// Acquires one request from two counters, or from neither of them. The keys are of one
    /// [group](LimitKey::sibling), and the counters differ.
    ///
    /// If one counter rejects the call, the decision of a counter that would have admitted it has no
    /// `retry_after`, and no other meaning.
    fn acquire_both(
        &self,
        counters: [(LimitKey, Quota); 2],
        elapsed: Duration,
    ) -> StoreReply<[StoreDecision; 2]>;

    /// Forgets all calls of a counter. A counter that several keys share for lack of room keeps its
    /// calls.
    fn reset(&self, key: LimitKey, quota: Quota) -> StoreReply<()>;

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
    pub(crate) const RESET: &str = "limits.reset";
}
