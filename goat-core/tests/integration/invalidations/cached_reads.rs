//! The node's caches fill from the caches of the stores with the age of the cached values, and
//! never decide by cached values where a fresh read is required.

use std::sync::Arc;
use std::time::Duration;

use goat_core::access::RoleRows;
use goat_core::auth::TokenPair;
use goat_core::invalidation::LocalInvalidations;
use goat_core::session::{Origin, OtherSessions};
use goat_core::testing::ManualClock;
use goat_core::user::UserState;
use goat_core::{ErrorKind, PageRequest, Status, Stores, UserId};

use crate::delegating_stores::{StubCache, with_stub_caches};
use crate::flows::support::system;
use crate::invalidations::support::{Deployment, Node, REPORTS};

const STALENESS: Duration = Duration::from_secs(1);

struct Fixture {
    clock: ManualClock,
    deployment: Deployment,
    users: StubCache<Option<UserState>>,
    roles: StubCache<RoleRows>,
    node: Node,
    tokens: TokenPair,
    user: UserId,
}

impl Fixture {
    async fn new() -> Self {
        let clock = ManualClock::default();
        clock.advance(STALENESS * 100);
        let users = StubCache::new(clock.clone());
        let roles = StubCache::new(clock.clone());
        let stores = with_stub_caches(&Stores::memory(), users.clone(), roles.clone());
        let deployment = Deployment::new(stores, STALENESS, Arc::new(clock.clone()));
        let node = deployment.node(Arc::new(LocalInvalidations::default()));
        let tokens = node.signed_in_user("ann").await.tokens;
        let user = node.principal(&tokens).await.user();
        clock.advance(STALENESS);
        Self { clock, deployment, users, roles, node, tokens, user }
    }

    async fn state(&self) -> Option<UserState> {
        self.deployment.stores.users.state(self.user).await.expect("a store")
    }

    /// Another node with empty caches over the same stores.
    fn other_node(&self) -> Node {
        self.deployment.node(Arc::new(LocalInvalidations::default()))
    }

    /// Suspends the user on another node; this node receives no invalidation.
    async fn suspend_without_invalidation(&self) {
        let users = self.other_node();
        let users = users.goat.users();
        users.change_status(system(), self.user, Status::Suspended).await.expect("suspended");
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);

#[tokio::test]
async fn an_entry_has_the_age_of_the_cached_value_it_was_filled_from() {
    let fixture = Fixture::new().await;
    let Fixture { clock, node, tokens, .. } = &fixture;
    fixture.users.set(fixture.state().await, Duration::from_millis(600));
    assert_eq!(node.calls(tokens).await, ["sessions.find", "users.cached_state"]);
    fixture.suspend_without_invalidation().await;
    clock.advance(Duration::from_millis(399));
    assert!(node.calls(tokens).await.is_empty());
    clock.advance(MILLISECOND);
    // The cached value is as old as the staleness now, and is not used.
    let calls = node.calls(tokens).await;
    assert_eq!(calls, ["sessions.find", "users.cached_state", "users.state"]);
    assert_eq!(node.auth_error(tokens).await, Some(ErrorKind::SessionRevoked));
}

#[tokio::test]
async fn a_cached_value_alone_rejects_no_session() {
    let fixture = Fixture::new().await;
    let Fixture { clock, node, tokens, .. } = &fixture;
    let mut suspended = fixture.state().await.expect("a state");
    suspended.user.status = Status::Suspended;
    for cached in [None, Some(suspended)] {
        fixture.users.set(cached, MILLISECOND);
        node.principal(tokens).await;
        clock.advance(STALENESS);
    }
}

/// R4: after an eviction only values read later count, even if the shared cache was not
/// invalidated.
#[tokio::test]
async fn a_cached_value_from_before_an_eviction_is_not_used() {
    let fixture = Fixture::new().await;
    let Fixture { clock, node, tokens, user, .. } = &fixture;
    fixture.users.set(fixture.state().await, Duration::ZERO);
    clock.advance(MILLISECOND);
    assert_eq!(node.calls(tokens).await, ["sessions.find", "users.cached_state"]);
    let operator = node.goat.roles().get("operator").expect("a role");
    node.goat.users().change_role(system(), *user, operator).await.expect("changed");
    assert_eq!(node.principal(tokens).await.role().as_str(), "operator");
}

/// A list of the own sessions asks for the user's session epoch only what a validation would.
#[tokio::test]
async fn own_sessions_are_listed_under_the_epoch_of_a_current_validation() {
    let fixture = Fixture::new().await;
    let Fixture { clock, node, tokens, .. } = &fixture;
    let me = node.principal(tokens).await;
    let list = async || {
        drop(node.failpoints.take_calls());
        let page = node.goat.sessions().list(&me, PageRequest::default()).await.expect("a list");
        (page.total, node.failpoints.take_calls())
    };
    assert_eq!(list().await, (1, vec!["sessions.list"]));
    clock.advance(STALENESS);
    assert_eq!(list().await, (1, vec!["users.state", "sessions.list"]));
    // The raised epoch evicts the validation.
    node.principal(tokens).await;
    let ended = node.goat.sessions().revoke_all(&me, OtherSessions::EndCurrentToo).await;
    assert_eq!(ended.expect("revoked"), 1);
    assert_eq!(list().await, (0, vec!["users.state", "sessions.list"]));
}

/// F1: checks that require fresh state read the store.
#[tokio::test]
async fn reauthentication_and_refresh_read_the_store() {
    let fixture = Fixture::new().await;
    let Fixture { node, tokens, .. } = &fixture;
    let me = node.principal(tokens).await;
    fixture.users.set(fixture.state().await, Duration::ZERO);
    fixture.suspend_without_invalidation().await;
    let error = node.goat.reauthenticate(&me).await.expect_err("suspended");
    assert_eq!(error.kind(), ErrorKind::SessionRevoked);
    let error = node.goat.refresh(&tokens.refresh_token, &Origin::default()).await;
    assert_eq!(error.expect_err("suspended").kind(), ErrorKind::SessionRevoked);
}

#[tokio::test]
async fn cached_roles_are_used_until_stale_or_outdated_by_a_revision() {
    let fixture = Fixture::new().await;
    let rows = || async { fixture.deployment.stores.roles.load().await.expect("rows") };
    let old = rows().await;

    // A node with empty caches.
    fixture.roles.set(old.clone(), Duration::from_millis(400));
    let cold = fixture.other_node();
    let list = async |node: &Node| {
        drop(node.failpoints.take_calls());
        let may = node.goat.roles().list().await.expect("roles")[0].permissions.clone();
        (may.contains(&REPORTS), node.failpoints.take_calls())
    };
    assert_eq!(list(&cold).await, (false, vec!["roles.cached"]));
    assert_eq!(list(&cold).await, (false, vec![]));
    fixture.clock.advance(Duration::from_millis(599));
    assert_eq!(list(&cold).await, (false, vec![]));
    fixture.clock.advance(MILLISECOND);
    // As old as the staleness.
    assert_eq!(list(&cold).await, (false, vec!["roles.cached", "roles.load"]));

    // A user's state has a newer revision of the roles than the cached rows.
    let client = fixture.other_node();
    client.goat.roles().grant(system(), "client", REPORTS).await.expect("granted");
    fixture.roles.set(old, Duration::ZERO);
    let calls = cold.calls(&fixture.tokens).await;
    assert_eq!(calls[calls.len() - 2..], ["roles.cached", "roles.load"]);
    assert!(cold.principal(&fixture.tokens).await.may(&REPORTS));
}

/// After an invalidation of roles only a read of the store counts: the shared cache may not have
/// been invalidated.
#[tokio::test]
async fn an_invalidation_of_roles_requires_a_store_read() {
    let fixture = Fixture::new().await;
    let joined = Arc::new(LocalInvalidations::default());
    let (a, b) = (fixture.deployment.node(joined.clone()), fixture.deployment.node(joined));
    b.goat.roles().list().await.expect("roles");
    let old = fixture.deployment.stores.roles.load().await.expect("rows");
    a.goat.roles().grant(system(), "client", REPORTS).await.expect("granted");
    fixture.roles.set(old, Duration::ZERO);
    drop(b.failpoints.take_calls());
    assert!(b.goat.roles().list().await.expect("roles")[0].permissions.contains(&REPORTS));
    assert_eq!(b.failpoints.take_calls(), ["roles.load"]);
}

/// The node that changes permissions already has the new table in force; the others reload it.
#[tokio::test]
async fn a_role_change_is_reloaded_by_the_other_nodes_only() {
    let fixture = Fixture::new().await;
    let joined = Arc::new(LocalInvalidations::default());
    let (a, b) = (fixture.deployment.node(joined.clone()), fixture.deployment.node(joined));
    for node in [&a, &b] {
        node.goat.roles().list().await.expect("roles");
    }
    a.goat.roles().grant(system(), "client", REPORTS).await.expect("granted");
    for (node, calls) in [(&a, vec![]), (&b, vec!["roles.load"])] {
        drop(node.failpoints.take_calls());
        assert!(node.goat.roles().list().await.expect("roles")[0].permissions.contains(&REPORTS));
        assert_eq!(node.failpoints.take_calls(), calls);
    }
}
