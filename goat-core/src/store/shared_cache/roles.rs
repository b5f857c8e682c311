//! Roles whose permissions are remembered on the shelf.

use std::sync::Arc;

use async_trait::async_trait;

use crate::access::{RoleChange, RoleRows, RoleSnapshot, RoleStore, RoleWrite, RolesWritten};
use crate::error::StoreError;
use crate::recent::Recent;

use super::ShelfKey;
use super::read_through::{Level, SharedCounts};

#[derive(Debug)]
pub(super) struct CachedRoles {
    inner: Arc<dyn RoleStore>,
    rows: Level<RoleRows>,
}

impl CachedRoles {
    pub(super) fn new(inner: Arc<dyn RoleStore>, rows: Level<RoleRows>) -> Self {
        Self { inner, rows }
    }

    pub(super) fn counts(&self) -> SharedCounts {
        self.rows.counts()
    }
}

#[async_trait]
impl RoleStore for CachedRoles {
    async fn load(&self) -> Result<RoleRows, StoreError> {
        self.inner.load().await
    }

    async fn recent(&self) -> Result<Recent<RoleRows>, StoreError> {
        let load = || async { self.inner.load().await.map(Some) };
        let Recent { value, age } = self.rows.recent(ShelfKey::Roles, load).await?;
        // There are always rows, if only none.
        Ok(Recent { value: value.unwrap_or_default(), age })
    }

    async fn write(&self, write: RoleWrite<'_>) -> Result<RolesWritten, StoreError> {
        let raising = self.rows.raising(ShelfKey::Roles);
        let decide = |snapshot: &RoleSnapshot| {
            let change = (write.decide)(snapshot);
            if let Ok(RoleChange::Grant(_) | RoleChange::Revoke(_)) = change {
                raising.may_reach(snapshot.rows.revision + 1);
            }
            change
        };
        let written = self.inner.write(RoleWrite { decide: &decide, ..write }).await;
        // ATOMIC: after the commit and before the answer, as with users.
        match &written {
            Ok(RolesWritten::Refused(_)) => raising.nothing(),
            Ok(RolesWritten::Written(rows)) => raising.to(rows.revision).await,
            Err(_) => raising.unknown().await,
        }
        written
    }
}
