//! What nodes remember together, watched as the stores are: each call has its time, and is reported.

use std::sync::Arc;
use std::time::Duration;

use goat_core::event::Observer;
use goat_core::store::shared_cache::{CacheEntry, CacheKey, Lookup, SharedCache};
use goat_core::{Clock, StoreError};
use tokio::time::timeout;

/// A shelf whose calls are bounded and reported.
#[derive(Debug)]
pub(super) struct WatchedShelf {
    pub(super) inner: Arc<dyn SharedCache>,
    pub(super) timeout: Duration,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) clock: Arc<dyn Clock>,
}

impl WatchedShelf {
    async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = self.clock.elapsed();
        let answer = timeout(self.timeout, call).await;
        let answer = answer.unwrap_or_else(|_| Err(StoreError::unavailable(operation)));
        let took = self.clock.elapsed().saturating_sub(begun);
        self.observer.store_called(operation, took, answer.is_err());
        answer
    }
}

#[async_trait::async_trait]
impl SharedCache for WatchedShelf {
    async fn get(&self, key: CacheKey) -> Result<Lookup, StoreError> {
        self.call("shared_cache.get", self.inner.get(key)).await
    }

    async fn put(
        &self,
        key: CacheKey,
        entry: &CacheEntry,
        life: Duration,
    ) -> Result<bool, StoreError> {
        self.call("shared_cache.put", self.inner.put(key, entry, life)).await
    }

    async fn invalidate_below(
        &self,
        key: CacheKey,
        revision: u64,
        life: Duration,
    ) -> Result<(), StoreError> {
        self.call("shared_cache.invalidate_below", self.inner.invalidate_below(key, revision, life))
            .await
    }
}
