//! What nodes remember together, watched as the stores are: each call has its time, and is reported.

use std::sync::Arc;
use std::time::Duration;

use goat_core::event::Observer;
use goat_core::store::shared_cache::{Entry, Look, Shelf, ShelfKey};
use goat_core::{Clock, StoreError};
use tokio::time::timeout;

/// A shelf whose calls are bounded and reported.
#[derive(Debug)]
pub(super) struct WatchedShelf {
    pub(super) inner: Arc<dyn Shelf>,
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
impl Shelf for WatchedShelf {
    async fn look(&self, key: ShelfKey) -> Result<Look, StoreError> {
        self.call("shelf.look", self.inner.look(key)).await
    }

    async fn put(&self, key: ShelfKey, entry: &Entry, life: Duration) -> Result<bool, StoreError> {
        self.call("shelf.put", self.inner.put(key, entry, life)).await
    }

    async fn raise(&self, key: ShelfKey, revision: u64, life: Duration) -> Result<(), StoreError> {
        self.call("shelf.raise", self.inner.raise(key, revision, life)).await
    }
}
