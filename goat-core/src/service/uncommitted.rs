//! Result of a write within a transaction of the application, until that has committed.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;

use crate::detached::run_to_completion;

/// The work that follows a commit.
type AfterCommit = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A result that takes effect when the application's transaction commits. It dereferences to the result,
/// for the application's own rows.
///
/// After the commit, [`Uncommitted::committed`] emits the event and invalidates the caches. Without it
/// there is no event, and nodes see the change once their cached state is stale, which
/// [`Settings::cache_staleness`](crate::Settings::cache_staleness) bounds. If the transaction is rolled
/// back, drop the value.
#[must_use = "call `committed` after the transaction has committed, for the event and the caches"]
pub struct Uncommitted<T> {
    value: T,
    after_commit: AfterCommit,
}

impl<T> Uncommitted<T> {
    pub(super) fn new(value: T, after_commit: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { value, after_commit: Box::pin(after_commit) }
    }

    /// Emits the event, and invalidates the caches of all nodes. Call it after the transaction has
    /// committed, and only then.
    pub async fn committed(self) -> T {
        run_to_completion(self.after_commit).await;
        self.value
    }
}

impl<T> Deref for Uncommitted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Uncommitted<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Uncommitted").field(&self.value).finish()
    }
}
