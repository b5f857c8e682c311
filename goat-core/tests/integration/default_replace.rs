//! The default of `SessionStore::replace`, for stores that do not implement it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use goat_core::session::{Session, SessionEpoch, TokenReplacement};
use goat_core::store::memory::MemorySessions;
use goat_core::store::{Revoked, Rotated, Rotation, SessionStore, SessionView};
use goat_core::testing::sessions;
use goat_core::{Page, PageRequest, SessionId, StoreError, Timestamp, UserId};

/// Passes every call on but `replace`, with a pause at each, so that calls interleave.
#[derive(Debug, Default)]
struct WithoutReplace(MemorySessions);

async fn pause() {
    tokio::time::sleep(Duration::from_micros(1)).await;
}

#[async_trait]
impl SessionStore for WithoutReplace {
    async fn create(&self, session: &Session, most: u32) -> Result<Vec<SessionId>, StoreError> {
        pause().await;
        self.0.create(session, most).await
    }

    async fn find(&self, user: UserId, id: SessionId) -> Result<Option<SessionView>, StoreError> {
        pause().await;
        self.0.find(user, id).await
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotated, StoreError> {
        self.0.rotate(rotation).await
    }

    async fn replace_tokens(
        &self,
        user: UserId,
        replacement: &TokenReplacement,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.0.replace_tokens(user, replacement, now).await
    }

    async fn list(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<Session>, StoreError> {
        self.0.list(user, epoch, now, page).await
    }

    async fn revoke(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        sessions: &[SessionId],
    ) -> Result<Revoked, StoreError> {
        self.0.revoke(user, epoch, now, sessions).await
    }

    async fn revoke_all(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        kept: Option<SessionId>,
    ) -> Result<u64, StoreError> {
        self.0.revoke_all(user, epoch, now, kept).await
    }

    async fn end(&self, user: UserId, id: SessionId) -> Result<bool, StoreError> {
        pause().await;
        self.0.end(user, id).await
    }

    async fn purge(&self, now: Timestamp, most: u32) -> Result<u64, StoreError> {
        self.0.purge(now, most).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// G4
#[tokio::test(flavor = "multi_thread")]
async fn default_replacement_conforms() {
    let store: Arc<dyn SessionStore> = Arc::new(WithoutReplace::default());
    sessions::a_session_is_replaced_by_another_one(&store).await;
    sessions::a_missing_session_is_not_replaced(&store).await;
    sessions::concurrent_replacements_leave_one_session(&store).await;
    sessions::a_replacement_does_not_revive_an_ended_session(&store).await;
}
