//! Stores that a test makes fail, or wait until it says so.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use goat_core::limit::{LimitKey, LimitStore, StoreAcquire};
use goat_core::session::{Session, SessionEpoch};
use goat_core::store::memory::MemoryLimits;
use goat_core::store::{Revoked, Rotated, Rotation, SessionStore, SessionView};
use goat_core::{Page, PageRequest, Quota, SessionId, StoreError, Stores, Timestamp, UserId};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    Down,
    Hanging,
}

/// Sets the mood of the stores that were made with it.
#[derive(Clone, Debug)]
pub(crate) struct Switch(Arc<watch::Sender<Mood>>);

impl Switch {
    pub(crate) fn set(&self, mood: Mood) {
        self.0.send_replace(mood);
    }

    async fn let_through(&self, operation: &'static str) -> Result<(), StoreError> {
        let mut mood = self.0.subscribe();
        let mood = *mood.wait_for(|mood| *mood != Mood::Hanging).await.unwrap();
        if mood == Mood::Down { Err(StoreError::unavailable(operation)) } else { Ok(()) }
    }
}

/// Stores in memory of which sessions and limits obey a switch.
pub(crate) fn switched() -> (Stores, Switch) {
    let switch = Switch(Arc::new(watch::Sender::new(Mood::Fine)));
    let stores = Stores::memory();
    let sessions = FarSessions { inner: Arc::clone(&stores.sessions), way: switch.clone() };
    let limits = Limits { inner: Arc::default(), switch: switch.clone() };
    (Stores { sessions: Arc::new(sessions), limits: Arc::new(limits), ..stores }, switch)
}

#[async_trait]
impl Way for Switch {
    async fn pass(&self) -> Result<(), StoreError> {
        self.let_through("sessions.find").await
    }
}

/// What lies between a layer and a store: it takes time, or fails.
#[async_trait]
pub(crate) trait Way: std::fmt::Debug + Send + Sync {
    async fn pass(&self) -> Result<(), StoreError>;
}

/// Sessions at the far end of a way, which whoever looks for one has to pass.
#[derive(Debug)]
pub(crate) struct FarSessions<W> {
    pub(crate) inner: Arc<dyn SessionStore>,
    pub(crate) way: W,
}

#[async_trait]
impl<W: Way> SessionStore for FarSessions<W> {
    fn keeps_users(&self) -> bool {
        self.inner.keeps_users()
    }

    async fn create(&self, session: &Session, most: u32) -> Result<Vec<SessionId>, StoreError> {
        self.inner.create(session, most).await
    }

    async fn find(&self, user: UserId, id: SessionId) -> Result<Option<SessionView>, StoreError> {
        self.way.pass().await?;
        self.inner.find(user, id).await
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotated, StoreError> {
        self.inner.rotate(rotation).await
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

/// Counts in memory, and answers as a store elsewhere does: when it is waited for.
#[derive(Debug)]
struct Limits {
    inner: Arc<MemoryLimits>,
    switch: Switch,
}

impl LimitStore for Limits {
    fn acquire(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> StoreAcquire {
        let (inner, switch) = (Arc::clone(&self.inner), self.switch.clone());
        StoreAcquire::Pending(Box::pin(async move {
            switch.let_through("limits.acquire").await?;
            match inner.acquire(key, quota, elapsed) {
                StoreAcquire::Ready(spent) => Ok(spent),
                StoreAcquire::Pending(pending) => pending.await,
            }
        }))
    }
}
