//! Role store with read-through caching of permissions.

use std::sync::Arc;

use async_trait::async_trait;

use crate::access::RoleRows;
use crate::error::StoreError;
use crate::store::{Aged, RoleChange, RoleSnapshot, RoleStore, RoleWrite, RoleWriteOutcome};

use super::CacheKey;
use super::read_through::{ReadThrough, SharedCacheCounts};

#[derive(Debug)]
pub(super) struct CachedRoles {
    inner: Arc<dyn RoleStore>,
    rows: ReadThrough<RoleRows>,
}

impl CachedRoles {
    pub(super) fn new(inner: Arc<dyn RoleStore>, rows: ReadThrough<RoleRows>) -> Self {
        Self { inner, rows }
    }

    pub(super) fn counts(&self) -> SharedCacheCounts {
        self.rows.counts()
    }
}

#[async_trait]
impl RoleStore for CachedRoles {
    async fn load(&self) -> Result<RoleRows, StoreError> {
        self.inner.load().await
    }

    async fn cached(&self) -> Result<Aged<RoleRows>, StoreError> {
        let load = || async { self.inner.load().await.map(Some) };
        let Aged { value, age } = self.rows.recent(CacheKey::Roles, load).await?;
        // The store always returns rows, possibly empty.
        Ok(Aged { value: value.unwrap_or_default(), age })
    }

    async fn write(&self, write: RoleWrite<'_>) -> Result<RoleWriteOutcome, StoreError> {
        let invalidation = self.rows.pending_invalidation(CacheKey::Roles);
        let decide = |snapshot: &RoleSnapshot| {
            let change = (write.decide)(snapshot);
            if let Ok(
                RoleChange::Grant(_)
                | RoleChange::Revoke(_)
                | RoleChange::Put { .. }
                | RoleChange::Delete,
            ) = change
            {
                invalidation.may_write(snapshot.rows.revision + 1);
            }
            change
        };
        let written = self.inner.write(RoleWrite { decide: &decide, ..write }).await;
        // ATOMIC: after the commit and before the return, as for users.
        match &written {
            Ok(RoleWriteOutcome::Refused(_)) => invalidation.cancel(),
            Ok(RoleWriteOutcome::Written(rows)) => invalidation.complete(rows.revision).await,
            Err(_) => invalidation.assume_written().await,
        }
        written
    }
}
