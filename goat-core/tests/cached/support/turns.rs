//! Stores that pass calls on: to two nodes by turns, or to one that never commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use goat_core::access::{RoleRows, RoleStore, RoleWrite, RoleWriteOutcome};
use goat_core::store::Aged;
use goat_core::user::{
    Account, Rehashed, UserPage, UserQuery, UserSnapshot, UserState, UserStore, UserWrite,
    UserWriteOutcome,
};
use goat_core::{ErrorKind, Role, StoreError, Stores, Timestamp, User, UserId};

use super::Node;

/// Two nodes that take turns, call by call.
#[derive(Debug)]
pub(crate) struct TurnAbout {
    nodes: [Stores; 2],
    turn: AtomicUsize,
    commits: bool,
}

impl TurnAbout {
    pub(crate) fn over(nodes: [&Node; 2]) -> Arc<Self> {
        let nodes = nodes.map(|node| node.stores.clone());
        Arc::new(Self { nodes, turn: AtomicUsize::new(0), commits: true })
    }

    pub(crate) fn stores(self: &Arc<Self>) -> Stores {
        Stores { users: Arc::clone(self) as _, roles: Arc::clone(self) as _, ..Stores::memory() }
    }

    fn next(&self) -> &Stores {
        &self.nodes[self.turn.fetch_add(1, Ordering::Relaxed) % 2]
    }
}

/// Users whose writes are decided, and then fail before the commit.
pub(crate) struct NeverCommits;

impl NeverCommits {
    pub(crate) fn over(stores: &Stores) -> Stores {
        let nodes = [stores.clone(), stores.clone()];
        let this = Arc::new(TurnAbout { nodes, turn: AtomicUsize::new(0), commits: false });
        this.stores()
    }
}

#[async_trait]
impl UserStore for TurnAbout {
    async fn by_email(&self, canonical: &str) -> Result<Option<Account>, StoreError> {
        self.next().users.by_email(canonical).await
    }

    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        self.next().users.by_id(id).await
    }

    async fn state(&self, id: UserId) -> Result<Option<UserState>, StoreError> {
        self.next().users.state(id).await
    }

    async fn cached_state(&self, id: UserId) -> Result<Aged<Option<UserState>>, StoreError> {
        self.next().users.cached_state(id).await
    }

    async fn list(&self, query: &UserQuery) -> Result<UserPage, StoreError> {
        self.next().users.list(query).await
    }

    async fn write(&self, write: UserWrite<'_>) -> Result<UserWriteOutcome, StoreError> {
        if self.commits {
            return self.next().users.write(write).await;
        }
        let decide = |snapshot: &UserSnapshot| {
            (write.decide)(snapshot).ok();
            Err(ErrorKind::Internal)
        };
        self.next().users.write(UserWrite { decide: &decide, ..write }).await?;
        Err(StoreError::unavailable("users.write"))
    }

    async fn signed_in(
        &self,
        id: UserId,
        at: Timestamp,
        rehashed: Option<Rehashed<'_>>,
    ) -> Result<Option<User>, StoreError> {
        self.next().users.signed_in(id, at, rehashed).await
    }

    async fn has_active_user_in(&self, role: &Role) -> Result<bool, StoreError> {
        self.next().users.has_active_user_in(role).await
    }

    async fn sample_hashes(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        self.next().users.sample_hashes(limit).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.next().users.ping().await
    }
}

#[async_trait]
impl RoleStore for TurnAbout {
    async fn load(&self) -> Result<RoleRows, StoreError> {
        self.next().roles.load().await
    }

    async fn cached(&self) -> Result<Aged<RoleRows>, StoreError> {
        self.next().roles.cached().await
    }

    async fn write(&self, write: RoleWrite<'_>) -> Result<RoleWriteOutcome, StoreError> {
        self.next().roles.write(write).await
    }
}
