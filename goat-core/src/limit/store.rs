//! The port of limits: spend one, and hear what is left.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::error::StoreError;

use super::{LimitKey, Quota};

/// What a store of limits says of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// How many more would be admitted now, at once: of the burst where the quota has one, else of
    /// the limit.
    pub remaining: u32,
    /// How long until one more remains than now, if nobody asks meanwhile. Without a burst that is
    /// when the oldest call leaves the window, and the whole window if nothing is spent; with one
    /// it is `window / limit` at most.
    pub reset_after: Duration,
    /// Set where the store refuses, and then nothing was spent; the same as `reset_after`.
    pub retry_after: Option<Duration>,
}

/// The answer of a store: there already, or on its way.
///
/// Two forms, so that a limit in this process costs neither a box nor a turn of the executor.
pub enum Spending {
    /// Kept in this process.
    Done(Spent),
    /// Somewhere else.
    Pending(Pin<Box<dyn Future<Output = Result<Spent, StoreError>> + Send>>),
}

impl std::fmt::Debug for Spending {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done(spent) => formatter.debug_tuple("Done").field(spent).finish(),
            Self::Pending(_) => formatter.write_str("Pending"),
        }
    }
}

/// Where limits are counted.
///
/// An implementer guarantees, for each pair of key and quota:
///
/// - for a quota without a burst, never more than `quota.limit()` calls are admitted in any
///   half-open window of `quota.window()`, with any interleaving and on any number of nodes. What is
///   rounded is rounded towards refusal;
/// - for a quota with a [burst](Quota::burst), never more than `burst + ⌊t * limit / window⌋` calls
///   are admitted in any span of length `t`, both its ends included, likewise; and whatever that
///   allows is admitted. Nothing that is rounded may add up: over a year, as many are given back as
///   the quota says;
/// - a refused call spends nothing and puts off nothing;
/// - a caller that waits `retry_after` is admitted, if nobody else spends from the same counter;
/// - the same key under another quota is another counter, the burst included. So a name may carry
///   two quotas, such as so many a minute and so many a day, and each counts every call once;
/// - memory is bounded in keys and per key, and only what has passed is forgotten. Where there is
///   no room, keys may share a counter: never over the quota, sometimes under;
/// - an answer or a failure comes within a bounded time. A failure admits nobody.
///
/// The counts may be lost with the store. The suite in `testing::limits` (feature `testing`) checks
/// what can be seen of this from outside.
pub trait LimitStore: std::fmt::Debug + Send + Sync {
    /// Spends one from the key, if the quota allows it.
    ///
    /// `elapsed` is the caller's stopwatch; a store with a clock of its own uses that instead.
    /// Readings may come slightly out of order; the store counts the latest that it has seen.
    fn spend(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> Spending;

    /// How full the store is, for metrics; `None` where that is not this process's matter.
    fn load(&self) -> Option<LimitLoad> {
        None
    }
}

/// How full a store of limits in this process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitLoad {
    /// Counters that are kept now.
    pub keys: u64,
    /// Calls that found no room for a counter of their own, since the start.
    pub overflowed: u64,
}
