//! Reads that many wait for: one for all who may share it, and never for who may not.
//!
//! On one thread, so that whoever was spawned before a call was reached has asked by then.

use std::sync::Arc;
use std::time::Duration;

use goat_core::auth::TokenPair;
use goat_core::invalidation::LocalInvalidations;
use goat_core::testing::{ManualClock, Point};
use goat_core::{ErrorKind, Principal, Result, Stores};
use tokio::task::JoinSet;

use crate::support::{Common, Node, REPORTS, system};

const STALENESS: Duration = Duration::from_secs(1);
const MANY: usize = 100;

struct Alone {
    node: Node,
    clock: ManualClock,
    tokens: TokenPair,
    me: Principal,
}

impl Alone {
    /// A node that has the roles, and a user whose session it does not remember.
    async fn new(staleness: Duration) -> Self {
        let clock = ManualClock::default();
        let common = Common::new(Stores::memory(), staleness, Arc::new(clock.clone()));
        let node = common.node(Arc::new(LocalInvalidations::default()));
        let tokens = node.member("ann").await.tokens;
        let me = node.principal(&tokens).await;
        clock.advance(STALENESS);
        drop(node.pauses.take_calls());
        Self { node, clock, tokens, me }
    }

    fn ask(&self, many: usize) -> JoinSet<Result<Principal>> {
        let token = self.tokens.access_token.expose();
        (0..many).map(|_| self.node.goat.authenticate_token(token)).collect()
    }

    fn finds(&self) -> usize {
        let calls = self.node.pauses.take_calls();
        calls.into_iter().filter(|call| *call == "sessions.find").count()
    }
}

#[tokio::test]
async fn many_who_miss_the_same_make_one_read() {
    let alone = Alone::new(STALENESS).await;
    let misses = alone.node.goat.sessions().cache_stats().misses;
    let held = alone.node.pauses.hold("sessions.find", Point::Return);
    let asking = alone.ask(MANY);
    held.reached().await;
    assert_eq!(alone.node.goat.sessions().cache_stats().misses - misses, MANY as u64);
    held.release();
    for answer in asking.join_all().await {
        assert_eq!(answer.expect("a live session").user(), alone.me.user());
    }
    assert_eq!(alone.finds(), 1);
    assert!(alone.node.calls(&alone.tokens).await.is_empty(), "and it is remembered");
}

/// R4: who comes after an eviction waits for no read from before it.
#[tokio::test]
async fn who_comes_after_an_eviction_reads_anew() {
    let alone = Alone::new(STALENESS).await;
    let held = alone.node.pauses.hold("sessions.find", Point::Return);
    let early = alone.ask(MANY);
    held.reached().await;
    let operator = alone.node.goat.roles().get("operator").expect("a role");
    alone
        .node
        .goat
        .users()
        .change_role(system(), alone.me.user(), operator)
        .await
        .expect("changed");
    for answer in alone.ask(MANY).join_all().await {
        assert_eq!(answer.expect("a live session").role().as_str(), "operator");
    }
    held.release();
    for answer in early.join_all().await {
        answer.expect("a live session");
    }
    assert_eq!(alone.finds(), 2);
    let now = alone.node.principal(&alone.tokens).await;
    assert_eq!(now.role().as_str(), "operator", "the late answer is not remembered");
}

#[tokio::test]
async fn nobody_waits_for_a_read_that_is_as_old_as_the_staleness() {
    let alone = Alone::new(STALENESS).await;
    let held = alone.node.pauses.hold("sessions.find", Point::Return);
    let early = alone.ask(1);
    held.reached().await;
    alone.clock.advance(STALENESS);
    for answer in alone.ask(MANY).join_all().await {
        answer.expect("a live session");
    }
    held.release();
    early.join_all().await;
    // Those who asked later shared one of their own, or were answered from what it left.
    assert_eq!(alone.finds(), 2);
}

#[tokio::test]
async fn who_hangs_up_leaves_nobody_waiting() {
    let alone = Alone::new(STALENESS).await;
    let held = alone.node.pauses.hold("sessions.find", Point::Return);
    let mut first = alone.ask(1);
    held.reached().await;
    let others = alone.ask(MANY);
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    first.abort_all();
    assert!(first.join_next().await.expect("one").expect_err("aborted").is_cancelled());
    held.release();
    for answer in others.join_all().await {
        answer.expect("a live session");
    }
    assert_eq!(alone.finds(), 1);
}

/// O1: a store that fails fails all who wait at once, and not one after another.
#[tokio::test]
async fn reads_that_fail_do_not_queue() {
    let alone = Alone::new(STALENESS).await;
    let held = alone.node.pauses.hold("sessions.find", Point::Entry);
    alone.node.pauses.fail("sessions.find", Point::Return);
    let asking = alone.ask(MANY);
    held.reached().await;
    held.release();
    for answer in asking.join_all().await {
        let error = answer.expect_err("the store is down");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
        assert!(error.to_string().contains("sessions.find"), "{error}");
    }
    assert_eq!(alone.finds(), 1);
    // And the next one is not refused for it.
    alone.node.principal(&alone.tokens).await;
    assert_eq!(alone.finds(), 1);
}

/// A1: a fresh read is one's own.
#[tokio::test]
async fn a_fresh_read_waits_for_nobody_elses() {
    let alone = Alone::new(STALENESS).await;
    let held = alone.node.pauses.hold("sessions.find", Point::Return);
    let early = alone.ask(1);
    held.reached().await;
    alone.node.goat.reauthenticate(&alone.me).await.expect("a live session");
    held.release();
    early.join_all().await;
    assert_eq!(alone.finds(), 2);
}

#[tokio::test]
async fn where_nothing_is_remembered_everybody_reads() {
    let alone = Alone::new(Duration::ZERO).await;
    let held = alone.node.pauses.hold("sessions.find", Point::Return);
    let asking = alone.ask(MANY);
    held.reached().await;
    held.release();
    asking.join_all().await;
    assert_eq!(alone.finds(), MANY);
}

/// O1: the same for what roles may do.
#[tokio::test]
async fn loads_of_roles_that_fail_do_not_queue_and_are_shared() {
    let alone = Alone::new(STALENESS).await;
    let list = |many: usize| -> JoinSet<_> {
        let goat = &alone.node.goat;
        let lists = (0..many).map(|_| {
            let goat = goat.clone();
            async move { goat.roles().list().await }
        });
        lists.collect()
    };
    let loads = || alone.node.pauses.take_calls().len();

    let held = alone.node.pauses.hold("roles.cached", Point::Entry);
    for _ in 0..MANY {
        alone.node.pauses.fail("roles.cached", Point::Return);
    }
    let asking = list(MANY);
    held.reached().await;
    held.release();
    for answer in asking.join_all().await {
        assert_eq!(answer.expect_err("the store is down").kind(), ErrorKind::Unavailable);
    }
    // The first, and one for those who came while it was under way.
    assert_eq!(loads(), 2);

    let alone = Alone::new(STALENESS).await;
    alone.node.goat.roles().grant(system(), "client", REPORTS).await.expect("granted");
    drop(alone.node.pauses.take_calls());
    let held = alone.node.pauses.hold("roles.load", Point::Return);
    let goat = alone.node.goat.clone();
    let first = tokio::spawn(async move { goat.roles().list().await });
    held.reached().await;
    held.release();
    assert!(first.await.expect("no panic").expect("roles")[0].permissions.contains(&REPORTS));
}
