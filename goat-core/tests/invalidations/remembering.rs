//! What somebody else remembers of users and roles fills the cache, as old as it is, and decides
//! nothing that must be fresh.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use goat_core::access::{RoleRows, RoleStore, RoleWrite, RoleWriteOutcome};
use goat_core::auth::TokenPair;
use goat_core::invalidation::LocalInvalidations;
use goat_core::session::Origin;
use goat_core::store::Aged;
use goat_core::testing::ManualClock;
use goat_core::user::{
    Account, Rehashed, UserPage, UserQuery, UserState, UserStore, UserWrite, UserWriteOutcome,
};
use goat_core::{Clock, ErrorKind, Role, Status, StoreError, Stores, Timestamp, User, UserId};

use crate::support::{Common, Node, REPORTS, system};

const STALENESS: Duration = Duration::from_secs(1);

/// Answers what it was given as remembered, with an age that grows.
#[derive(Clone, Debug)]
struct Remembers<T> {
    clock: ManualClock,
    /// What, and when its read began.
    value: Arc<Mutex<Option<(T, Duration)>>>,
}

impl<T: Clone> Remembers<T> {
    fn remember(&self, value: T, age: Duration) {
        let began = self.clock.elapsed().checked_sub(age).expect("not before the test");
        *self.value.lock().expect("no panic") = Some((value, began));
    }

    fn recent(&self) -> Option<Aged<T>> {
        let value = self.value.lock().expect("no panic").clone();
        value.map(|(value, began)| Aged { value, age: self.clock.elapsed() - began })
    }
}

#[derive(Debug)]
struct Users {
    inner: Arc<dyn UserStore>,
    remembers: Remembers<Option<UserState>>,
}

#[async_trait]
impl UserStore for Users {
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
        match self.remembers.recent() {
            Some(recent) => Ok(recent),
            None => self.inner.cached_state(id).await,
        }
    }
    async fn list(&self, query: &UserQuery) -> Result<UserPage, StoreError> {
        self.inner.list(query).await
    }
    async fn write(&self, write: UserWrite<'_>) -> Result<UserWriteOutcome, StoreError> {
        self.inner.write(write).await
    }
    async fn signed_in(
        &self,
        id: UserId,
        at: Timestamp,
        rehashed: Option<Rehashed<'_>>,
    ) -> Result<Option<User>, StoreError> {
        self.inner.signed_in(id, at, rehashed).await
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

#[derive(Debug)]
struct Roles {
    inner: Arc<dyn RoleStore>,
    remembers: Remembers<RoleRows>,
}

#[async_trait]
impl RoleStore for Roles {
    async fn load(&self) -> Result<RoleRows, StoreError> {
        self.inner.load().await
    }
    async fn cached(&self) -> Result<Aged<RoleRows>, StoreError> {
        match self.remembers.recent() {
            Some(recent) => Ok(recent),
            None => self.inner.cached().await,
        }
    }
    async fn write(&self, write: RoleWrite<'_>) -> Result<RoleWriteOutcome, StoreError> {
        self.inner.write(write).await
    }
}

struct Ground {
    clock: ManualClock,
    common: Common,
    users: Remembers<Option<UserState>>,
    roles: Remembers<RoleRows>,
    node: Node,
    tokens: TokenPair,
    user: UserId,
}

impl Ground {
    async fn new() -> Self {
        let clock = ManualClock::default();
        clock.advance(STALENESS * 100);
        let users = Remembers { clock: clock.clone(), value: Arc::default() };
        let roles = Remembers { clock: clock.clone(), value: Arc::default() };
        let stores = Stores::memory();
        let stores = Stores {
            users: Arc::new(Users { inner: stores.users, remembers: users.clone() }),
            roles: Arc::new(Roles { inner: stores.roles, remembers: roles.clone() }),
            ..stores
        };
        let common = Common::new(stores, STALENESS, Arc::new(clock.clone()));
        let node = common.node(Arc::new(LocalInvalidations::default()));
        let tokens = node.member("ann").await.tokens;
        let user = node.principal(&tokens).await.user();
        clock.advance(STALENESS);
        Self { clock, common, users, roles, node, tokens, user }
    }

    async fn state(&self) -> Option<UserState> {
        self.common.stores.users.state(self.user).await.expect("a store")
    }

    /// A node that has heard of nothing, over the same stores.
    fn other(&self) -> Node {
        self.common.node(Arc::new(LocalInvalidations::default()))
    }

    /// Suspends the user where this node does not hear of it.
    async fn suspend_unheard(&self) {
        let users = self.other();
        let users = users.goat.users();
        users.change_status(system(), self.user, Status::Suspended).await.expect("suspended");
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);

#[tokio::test]
async fn an_entry_is_as_old_as_what_it_was_filled_from() {
    let ground = Ground::new().await;
    let Ground { clock, node, tokens, .. } = &ground;
    ground.users.remember(ground.state().await, Duration::from_millis(600));
    assert_eq!(node.calls(tokens).await, ["sessions.find", "users.cached_state"]);
    ground.suspend_unheard().await;
    clock.advance(Duration::from_millis(399));
    assert!(node.calls(tokens).await.is_empty());
    clock.advance(MILLISECOND);
    // What is remembered is as old as the staleness now, and no good any more.
    let calls = node.calls(tokens).await;
    assert_eq!(calls, ["sessions.find", "users.cached_state", "users.state"]);
    assert_eq!(node.refusal(tokens).await, Some(ErrorKind::SessionRevoked));
}

#[tokio::test]
async fn nobody_is_refused_by_what_is_merely_remembered() {
    let ground = Ground::new().await;
    let Ground { clock, node, tokens, .. } = &ground;
    let mut suspended = ground.state().await.expect("a state");
    suspended.status = Status::Suspended;
    for remembered in [None, Some(suspended)] {
        ground.users.remember(remembered, MILLISECOND);
        node.principal(tokens).await;
        clock.advance(STALENESS);
    }
}

/// R4: after an eviction only what was read later counts, whoever failed to tell those who remember.
#[tokio::test]
async fn what_is_remembered_from_before_an_eviction_is_not_used_after_it() {
    let ground = Ground::new().await;
    let Ground { clock, node, tokens, user, .. } = &ground;
    ground.users.remember(ground.state().await, Duration::ZERO);
    clock.advance(MILLISECOND);
    assert_eq!(node.calls(tokens).await, ["sessions.find", "users.cached_state"]);
    let operator = node.goat.roles().get("operator").expect("a role");
    node.goat.users().change_role(system(), *user, operator).await.expect("changed");
    assert_eq!(node.principal(tokens).await.role().as_str(), "operator");
}

/// A1, F1: what must be fresh asks the store itself.
#[tokio::test]
async fn proofs_and_refreshes_use_nothing_that_is_remembered() {
    let ground = Ground::new().await;
    let Ground { node, tokens, .. } = &ground;
    let me = node.principal(tokens).await;
    ground.users.remember(ground.state().await, Duration::ZERO);
    ground.suspend_unheard().await;
    let error = node.goat.reauthenticate(&me).await.expect_err("suspended");
    assert_eq!(error.kind(), ErrorKind::SessionRevoked);
    let error = node.goat.refresh(&tokens.refresh_token, &Origin::default()).await;
    assert_eq!(error.expect_err("suspended").kind(), ErrorKind::SessionRevoked);
}

#[tokio::test]
async fn roles_come_from_what_is_remembered_unless_a_notice_or_a_revision_says_otherwise() {
    let ground = Ground::new().await;
    let rows = || async { ground.common.stores.roles.load().await.expect("rows") };
    let old = rows().await;

    // A node that knows nothing yet.
    ground.roles.remember(old.clone(), Duration::from_millis(400));
    let cold = ground.other();
    let list = async |node: &Node| {
        drop(node.pauses.take_calls());
        let may = node.goat.roles().list().await.expect("roles")[0].permissions.clone();
        (may.contains(&REPORTS), node.pauses.take_calls())
    };
    assert_eq!(list(&cold).await, (false, vec!["roles.cached"]));
    assert_eq!(list(&cold).await, (false, vec![]));
    ground.clock.advance(Duration::from_millis(599));
    assert_eq!(list(&cold).await, (false, vec![]));
    ground.clock.advance(MILLISECOND);
    // As old as the staleness.
    assert_eq!(list(&cold).await, (false, vec!["roles.cached", "roles.load"]));

    // A user's state shows a revision that is newer than what is remembered.
    let client = ground.other();
    client.goat.roles().grant(system(), "client", REPORTS).await.expect("granted");
    ground.roles.remember(old, Duration::ZERO);
    let calls = cold.calls(&ground.tokens).await;
    assert_eq!(calls[calls.len() - 2..], ["roles.cached", "roles.load"]);
    assert!(cold.principal(&ground.tokens).await.may(&REPORTS));
}

/// A notice is settled by a read of the store alone: whoever wrote may have failed to tell those who
/// remember.
#[tokio::test]
async fn a_notice_about_roles_is_not_settled_by_what_is_remembered() {
    let ground = Ground::new().await;
    let joined = Arc::new(LocalInvalidations::default());
    let (a, b) = (ground.common.node(joined.clone()), ground.common.node(joined));
    b.goat.roles().list().await.expect("roles");
    let old = ground.common.stores.roles.load().await.expect("rows");
    a.goat.roles().grant(system(), "client", REPORTS).await.expect("granted");
    ground.roles.remember(old, Duration::ZERO);
    drop(b.pauses.take_calls());
    assert!(b.goat.roles().list().await.expect("roles")[0].permissions.contains(&REPORTS));
    assert_eq!(b.pauses.take_calls(), ["roles.load"]);
}
