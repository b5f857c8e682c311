//! Single-flight reads: concurrent cache misses share one store read, except where sharing would
//! return a state that is too old.
//!
//! The tests use one thread, so that every task spawned before a call reaches its failpoint has
//! started its read.

use std::sync::Arc;
use std::time::Duration;

use goat_core::auth::TokenPair;
use goat_core::invalidation::LocalInvalidations;
use goat_core::testing::{ManualClock, Point};
use goat_core::{ErrorKind, Principal, Result, Stores};
use tokio::task::JoinSet;

use crate::flows::support::system;
use crate::invalidations::support::{Deployment, Node, REPORTS};

const STALENESS: Duration = Duration::from_secs(1);
const CALLERS: usize = 100;

struct Fixture {
    node: Node,
    clock: ManualClock,
    tokens: TokenPair,
    me: Principal,
}

impl Fixture {
    /// A node with the roles cached, and a user whose session is not.
    async fn new(staleness: Duration) -> Self {
        let clock = ManualClock::default();
        let deployment = Deployment::new(Stores::memory(), staleness, Arc::new(clock.clone()));
        let node = deployment.node(Arc::new(LocalInvalidations::default()));
        let tokens = node.signed_in_user("ann").await.tokens;
        let me = node.principal(&tokens).await;
        clock.advance(STALENESS);
        drop(node.failpoints.take_calls());
        Self { node, clock, tokens, me }
    }

    fn authenticate(&self, many: usize) -> JoinSet<Result<Principal>> {
        let token = self.tokens.access_token.expose();
        (0..many).map(|_| self.node.goat.authenticate_token(token)).collect()
    }

    fn session_reads(&self) -> usize {
        let calls = self.node.failpoints.take_calls();
        calls.into_iter().filter(|call| *call == "sessions.find").count()
    }
}

#[tokio::test]
async fn concurrent_misses_share_one_read() {
    let fixture = Fixture::new(STALENESS).await;
    let misses = fixture.node.goat.sessions().cache_stats().misses;
    let held = fixture.node.failpoints.hold("sessions.find", Point::Return);
    let requests = fixture.authenticate(CALLERS);
    held.reached().await;
    assert_eq!(fixture.node.goat.sessions().cache_stats().misses - misses, CALLERS as u64);
    held.release();
    for result in requests.join_all().await {
        assert_eq!(result.expect("a live session").user(), fixture.me.user());
    }
    assert_eq!(fixture.session_reads(), 1);
    assert!(fixture.node.calls(&fixture.tokens).await.is_empty(), "the session is cached");
}

/// R4: a miss after an eviction does not join a read from before it.
#[tokio::test]
async fn a_miss_after_an_eviction_starts_a_new_read() {
    let fixture = Fixture::new(STALENESS).await;
    let held = fixture.node.failpoints.hold("sessions.find", Point::Return);
    let first_requests = fixture.authenticate(CALLERS);
    held.reached().await;
    let operator = fixture.node.goat.roles().get("operator").expect("a role");
    fixture
        .node
        .goat
        .users()
        .change_role(system(), fixture.me.user(), operator)
        .await
        .expect("changed");
    for result in fixture.authenticate(CALLERS).join_all().await {
        assert_eq!(result.expect("a live session").role().as_str(), "operator");
    }
    held.release();
    for result in first_requests.join_all().await {
        result.expect("a live session");
    }
    assert_eq!(fixture.session_reads(), 2);
    let now = fixture.node.principal(&fixture.tokens).await;
    assert_eq!(now.role().as_str(), "operator", "the late result is not cached");
}

#[tokio::test]
async fn a_miss_does_not_join_a_read_as_old_as_the_staleness() {
    let fixture = Fixture::new(STALENESS).await;
    let held = fixture.node.failpoints.hold("sessions.find", Point::Return);
    let first_requests = fixture.authenticate(1);
    held.reached().await;
    fixture.clock.advance(STALENESS);
    for result in fixture.authenticate(CALLERS).join_all().await {
        result.expect("a live session");
    }
    held.release();
    first_requests.join_all().await;
    // The later requests shared one read of their own, or used the entry that it left.
    assert_eq!(fixture.session_reads(), 2);
}

#[tokio::test]
async fn an_aborted_reader_is_replaced_by_the_next_caller() {
    let fixture = Fixture::new(STALENESS).await;
    let held = fixture.node.failpoints.hold("sessions.find", Point::Return);
    let mut first = fixture.authenticate(1);
    held.reached().await;
    let others = fixture.authenticate(CALLERS);
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    first.abort_all();
    assert!(first.join_next().await.expect("one").expect_err("aborted").is_cancelled());
    held.release();
    for result in others.join_all().await {
        result.expect("a live session");
    }
    assert_eq!(fixture.session_reads(), 2, "the next caller reads for all");
}

/// O1: a failed read fails all waiting requests at once; they do not retry one after another.
#[tokio::test]
async fn a_failed_read_fails_all_waiters_at_once() {
    let fixture = Fixture::new(STALENESS).await;
    let held = fixture.node.failpoints.hold("sessions.find", Point::Entry);
    fixture.node.failpoints.fail("sessions.find", Point::Return);
    let requests = fixture.authenticate(CALLERS);
    held.reached().await;
    held.release();
    for result in requests.join_all().await {
        let error = result.expect_err("the store is set_down");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
        assert!(error.to_string().contains("sessions.find"), "{error}");
    }
    assert_eq!(fixture.session_reads(), 1);
    // The failure is not cached.
    fixture.node.principal(&fixture.tokens).await;
    assert_eq!(fixture.session_reads(), 1);
}

/// F1: a fresh read is never shared.
#[tokio::test]
async fn a_fresh_read_does_not_join_another() {
    let fixture = Fixture::new(STALENESS).await;
    let held = fixture.node.failpoints.hold("sessions.find", Point::Return);
    let first_requests = fixture.authenticate(1);
    held.reached().await;
    fixture.node.goat.reauthenticate(&fixture.me).await.expect("a live session");
    held.release();
    first_requests.join_all().await;
    assert_eq!(fixture.session_reads(), 2);
}

#[tokio::test]
async fn zero_staleness_disables_sharing() {
    let fixture = Fixture::new(Duration::ZERO).await;
    let held = fixture.node.failpoints.hold("sessions.find", Point::Return);
    let requests = fixture.authenticate(CALLERS);
    held.reached().await;
    held.release();
    requests.join_all().await;
    assert_eq!(fixture.session_reads(), CALLERS);
}

/// O1: the same for role tables.
#[tokio::test]
async fn a_failed_role_load_fails_all_waiters_at_once() {
    let fixture = Fixture::new(STALENESS).await;
    let list = |many: usize| -> JoinSet<_> {
        let goat = &fixture.node.goat;
        let lists = (0..many).map(|_| {
            let goat = goat.clone();
            async move { goat.roles().list().await }
        });
        lists.collect()
    };
    let loads = || fixture.node.failpoints.take_calls().len();

    let held = fixture.node.failpoints.hold("roles.cached", Point::Entry);
    for _ in 0..CALLERS {
        fixture.node.failpoints.fail("roles.cached", Point::Return);
    }
    let requests = list(CALLERS);
    held.reached().await;
    held.release();
    for result in requests.join_all().await {
        assert_eq!(result.expect_err("the store is set_down").kind(), ErrorKind::Unavailable);
    }
    assert_eq!(loads(), 1);

    let fixture = Fixture::new(STALENESS).await;
    fixture.node.goat.roles().grant(system(), "client", REPORTS).await.expect("granted");
    fixture.clock.advance(STALENESS);
    let held = fixture.node.failpoints.hold("roles.cached", Point::Return);
    let goat = fixture.node.goat.clone();
    let first = tokio::spawn(async move { goat.roles().list().await });
    held.reached().await;
    held.release();
    assert!(first.await.expect("no panic").expect("roles")[0].permissions.contains(&REPORTS));
}
