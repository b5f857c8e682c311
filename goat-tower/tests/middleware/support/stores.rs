//! Stores that a test can make fail or block.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use goat_core::limit::{LimitKey, LimitStore, StoreAcquire, StoreDecision, StoreReply};
use goat_core::session::{Session, SessionEpoch, TokenReplacement};
use goat_core::store::memory::MemoryLimits;
use goat_core::store::{Revoked, Rotated, Rotation, SessionStore, SessionView};
use goat_core::{Page, PageRequest, Quota, SessionId, StoreError, Stores, Timestamp, UserId};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreState {
    Up,
    Down,
    Hanging,
}

/// Controls the state of the stores created with it.
#[derive(Clone, Debug)]
pub(crate) struct Switch(Arc<watch::Sender<StoreState>>);

impl Switch {
    pub(crate) fn set(&self, state: StoreState) {
        self.0.send_replace(state);
    }

    async fn wait(&self, operation: &'static str) -> Result<(), StoreError> {
        let mut state = self.0.subscribe();
        let state = *state.wait_for(|state| *state != StoreState::Hanging).await.unwrap();
        if state == StoreState::Down { Err(StoreError::unavailable(operation)) } else { Ok(()) }
    }
}

/// Returns in-memory stores with sessions and limits that obey a switch.
pub(crate) fn switched() -> (Stores, Switch) {
    let switch = Switch(Arc::new(watch::Sender::new(StoreState::Up)));
    let stores = Stores::memory();
    let sessions = HookedSessions { inner: Arc::clone(&stores.sessions), hook: switch.clone() };
    let limits = Limits { inner: Arc::default(), switch: switch.clone() };
    (Stores { sessions: Arc::new(sessions), limits: Arc::new(limits), ..stores }, switch)
}

#[async_trait]
impl CallHook for Switch {
    async fn before_call(&self) -> Result<(), StoreError> {
        self.wait("sessions.find").await
    }
}

/// Hook before a store call: it can delay or fail the call.
#[async_trait]
pub(crate) trait CallHook: std::fmt::Debug + Send + Sync {
    async fn before_call(&self) -> Result<(), StoreError>;
}

/// Session store that runs the hook before each lookup.
#[derive(Debug)]
pub(crate) struct HookedSessions<W> {
    pub(crate) inner: Arc<dyn SessionStore>,
    pub(crate) hook: W,
}

#[async_trait]
impl<W: CallHook> SessionStore for HookedSessions<W> {
    fn keeps_users(&self) -> bool {
        self.inner.keeps_users()
    }

    async fn create(&self, session: &Session, most: u32) -> Result<Vec<SessionId>, StoreError> {
        self.inner.create(session, most).await
    }

    async fn find(&self, user: UserId, id: SessionId) -> Result<Option<SessionView>, StoreError> {
        self.hook.before_call().await?;
        self.inner.find(user, id).await
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotated, StoreError> {
        self.inner.rotate(rotation).await
    }

    async fn replace_tokens(
        &self,
        user: UserId,
        replacement: &TokenReplacement,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.inner.replace_tokens(user, replacement, now).await
    }

    async fn list(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<Session>, StoreError> {
        self.inner.list(user, epoch, now, page).await
    }

    async fn revoke(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        sessions: &[SessionId],
    ) -> Result<Revoked, StoreError> {
        self.inner.revoke(user, epoch, now, sessions).await
    }

    async fn revoke_all(
        &self,
        user: UserId,
        epoch: SessionEpoch,
        now: Timestamp,
        kept: Option<SessionId>,
    ) -> Result<u64, StoreError> {
        self.inner.revoke_all(user, epoch, now, kept).await
    }

    async fn end(&self, user: UserId, id: SessionId) -> Result<bool, StoreError> {
        self.inner.end(user, id).await
    }

    async fn purge(&self, now: Timestamp, most: u32) -> Result<u64, StoreError> {
        self.inner.purge(now, most).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}

/// In-memory limits that decide asynchronously, like a remote store.
#[derive(Debug)]
struct Limits {
    inner: Arc<MemoryLimits>,
    switch: Switch,
}

impl LimitStore for Limits {
    fn acquire(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> StoreAcquire {
        let (inner, switch) = (Arc::clone(&self.inner), self.switch.clone());
        StoreReply::Pending(Box::pin(async move {
            switch.wait("limits.acquire").await?;
            inner.acquire(key, quota, elapsed).wait().await
        }))
    }

    fn acquire_both(
        &self,
        counters: [(LimitKey, Quota); 2],
        elapsed: Duration,
    ) -> StoreReply<[StoreDecision; 2]> {
        let (inner, switch) = (Arc::clone(&self.inner), self.switch.clone());
        StoreReply::Pending(Box::pin(async move {
            switch.wait("limits.acquire").await?;
            inner.acquire_both(counters, elapsed).wait().await
        }))
    }

    fn reset(&self, key: LimitKey, quota: Quota) -> StoreReply<()> {
        self.inner.reset(key, quota)
    }
}
