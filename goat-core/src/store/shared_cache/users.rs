//! User store with read-through caching of user states.

use std::sync::Arc;

use async_trait::async_trait;

use crate::access::Role;
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::UserId;
use crate::store::{
    Aged, Rehashed, StoreTransaction, UserChange, UserSnapshot, UserStore, UserWrite,
    UserWriteOutcome,
};
use crate::user::{Account, UserPage, UserQuery, UserState};

use super::CacheKey;
use super::read_through::{ReadThrough, SharedCacheCounts};

#[derive(Debug)]
pub(super) struct CachedUsers {
    inner: Arc<dyn UserStore>,
    states: ReadThrough<UserState>,
}

impl CachedUsers {
    pub(super) fn new(inner: Arc<dyn UserStore>, states: ReadThrough<UserState>) -> Self {
        Self { inner, states }
    }

    pub(super) fn counts(&self) -> SharedCacheCounts {
        self.states.counts()
    }
}

#[async_trait]
impl UserStore for CachedUsers {
    async fn by_email(&self, canonical: &str) -> Result<Option<Account>, StoreError> {
        self.inner.by_email(canonical).await
    }

    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        self.inner.by_id(id).await
    }

    async fn state(&self, id: UserId) -> Result<Option<UserState>, StoreError> {
        self.inner.state(id).await
    }

    async fn cached_state(&self, id: UserId) -> Result<Aged<Option<UserState>>, StoreError> {
        self.states.recent(CacheKey::User(id), || self.inner.state(id)).await
    }

    async fn invalidate(&self, id: UserId) -> Result<(), StoreError> {
        let invalidated = self.inner.invalidate(id).await;
        self.states.invalidate(CacheKey::User(id)).await;
        invalidated
    }

    async fn list(&self, query: &UserQuery) -> Result<UserPage, StoreError> {
        self.inner.list(query).await
    }

    async fn write(&self, write: UserWrite<'_>) -> Result<UserWriteOutcome, StoreError> {
        let invalidation = self.states.pending_invalidation(CacheKey::User(write.target));
        let decide = |snapshot: &UserSnapshot| {
            let change = (write.decide)(snapshot);
            if let Ok(UserChange::Put(_) | UserChange::Delete) = change {
                let before = snapshot.target.as_ref().map_or(0, |target| target.revision);
                invalidation.may_write(before + 1);
            }
            change
        };
        let written = self.inner.write(UserWrite { decide: &decide, ..write }).await;
        // ATOMIC: after the commit and before the return, so that a read after the write does not
        // return the state before it.
        match &written {
            Ok(UserWriteOutcome::Refused(_) | UserWriteOutcome::EmailTaken) => {
                invalidation.cancel();
            }
            Ok(UserWriteOutcome::Changed { after, .. }) => {
                invalidation.complete(after.revision).await;
            }
            // The write that made this change may have failed to invalidate, so do it here.
            Ok(UserWriteOutcome::Unchanged(account)) => {
                invalidation.complete(account.revision).await;
            }
            Ok(UserWriteOutcome::Deleted(before)) => {
                invalidation.complete(before.revision + 1).await;
            }
            Err(_) => invalidation.assume_written().await,
        }
        written
    }

    /// The caller invalidates once the transaction has committed.
    async fn write_in(
        &self,
        transaction: &mut StoreTransaction<'_>,
        write: UserWrite<'_>,
    ) -> Result<UserWriteOutcome, StoreError> {
        self.inner.write_in(transaction, write).await
    }

    async fn signed_in(
        &self,
        id: UserId,
        at: Timestamp,
        rehashed: Option<Rehashed<'_>>,
    ) -> Result<Option<UserState>, StoreError> {
        let signed_in = self.inner.signed_in(id, at, rehashed).await;
        // The revision is not known before the call, so a login of unknown outcome, which no client has
        // seen to succeed, shows once the entry is stale.
        if let Ok(Some(state)) = &signed_in {
            self.states.pending_invalidation(CacheKey::User(id)).complete(state.revision).await;
        }
        signed_in
    }

    async fn has_active_user_in(&self, role: &Role) -> Result<bool, StoreError> {
        self.inner.has_active_user_in(role).await
    }

    async fn sample_hashes(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        self.inner.sample_hashes(limit).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}
