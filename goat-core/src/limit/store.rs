//! The port of limits.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::error::StoreError;

use super::{LimitKey, Quota};

/// What a store of limits says of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// How many are left.
    pub remaining: u32,
    /// How long until one more is given back; the whole window if nothing is spent.
    pub reset_after: Duration,
    /// Set where the store refuses, and then nothing was spent.
    pub retry_after: Option<Duration>,
}

/// The answer of a store: there already, or on its way.
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
/// An implementer guarantees that for one key and quota never more than `quota.limit()` calls are
/// admitted in any window, with any interleaving and on any number of nodes; that a refused call
/// spends nothing; and that its memory is bounded in keys and per key. The count may be lost with
/// the store.
pub trait LimitStore: std::fmt::Debug + Send + Sync {
    /// Spends one from the key, if the quota allows it. `elapsed` is the caller's stopwatch; a
    /// store with a clock of its own uses that instead.
    fn spend(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> Spending;
}
