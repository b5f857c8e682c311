//! Two nodes over one wire: the stopwatch of both is the test's, and stands still unless it is moved,
//! so that nothing becomes stale by itself.

use std::sync::Arc;
use std::time::Duration;

use goat_core::invalidation::Broadcast;
use goat_core::session::Origin;
use goat_core::testing::{ManualClock, Point};
use goat_core::{ErrorKind, Stores};
use tokio::time::sleep;

use crate::support::{Common, Node, REPORTS, system, what_one_node_does_the_other_obeys};
use crate::wire::{Loses, Wire, is_heartbeat};

const STALENESS: Duration = Duration::from_secs(1);
const HALF: Duration = Duration::from_millis(500);

struct Pair {
    wire: Wire,
    clock: ManualClock,
    a: Node,
    b: Node,
}

impl Pair {
    async fn new() -> Self {
        let (wire, clock) = (Wire::default(), ManualClock::default());
        let common = Common::new(Stores::memory(), STALENESS, Arc::new(clock.clone()));
        let node = || common.node(Broadcast::new(Arc::new(wire.clone()), STALENESS));
        let (a, b) = (node(), node());
        a.hears().await;
        b.hears().await;
        Self { wire, clock, a, b }
    }

    /// Lets time pass for the nodes' clock and for their heartbeats.
    async fn pass(&self, time: Duration) {
        let step = Duration::from_millis(10);
        for _ in 0..time.as_millis() / step.as_millis() {
            self.clock.advance(step);
            sleep(step).await;
        }
    }
}

/// A7
#[tokio::test(start_paused = true)]
async fn what_one_node_ends_or_changes_the_other_obeys() {
    let Pair { a, b, .. } = Pair::new().await;
    what_one_node_does_the_other_obeys(&a, &b).await;
}

#[tokio::test(start_paused = true)]
async fn sign_in_and_refresh_and_being_let_in_tell_nobody_anything() {
    let Pair { wire, a, b, .. } = Pair::new().await;
    let tokens = a.member("ann").await.tokens;
    b.learn(&tokens).await;
    wire.take_sent();
    a.sign_in("ann").await;
    let tokens =
        a.goat.refresh(&tokens.refresh_token, &Origin::default()).await.expect("refreshed");
    b.principal(&tokens.tokens).await;
    let told = wire.take_sent();
    assert!(told.iter().all(|text| is_heartbeat(text)), "{told:?}");
}

/// A7: also where its task that should have noticed does not run.
#[tokio::test(start_paused = true)]
async fn a_node_that_hears_nothing_for_half_the_staleness_asks_the_stores_each_time() {
    let pair = Pair::new().await;
    let Pair { wire, clock, a, b } = &pair;
    let tokens = a.member("ann").await.tokens;
    // To the beginning of a lease, and to an entry that is younger than it.
    pair.pass(STALENESS).await;
    b.learn(&tokens).await;
    wire.lose(Loses::Everything);
    clock.advance(HALF - Duration::from_millis(1));
    assert!(b.calls(&tokens).await.is_empty(), "the lease holds");
    clock.advance(Duration::from_millis(1));
    for _ in 0..5 {
        assert_eq!(b.calls(&tokens).await, ["sessions.find", "users.state"]);
    }
    assert!(!b.goat.sessions().invalidations_connected());
    for _ in 0..2 {
        b.goat.roles().list().await.expect("roles");
        assert_eq!(b.pauses.take_calls(), ["roles.load"]);
    }
}

/// A7, R4: what happened while it was deaf is obeyed when it hears again, though all that it
/// remembers is young enough.
#[tokio::test(start_paused = true)]
async fn a_node_that_hears_again_has_forgotten_first() {
    let Pair { wire, a, b, .. } = Pair::new().await;
    let (ann, bob) = (a.member("ann").await.tokens, a.member("bob").await.tokens);
    b.learn(&ann).await;
    b.learn(&bob).await;
    b.goat.roles().list().await.expect("roles");
    for break_down in [false, true] {
        if break_down {
            wire.cut();
            wire.down(true);
        } else {
            wire.lose(Loses::Everything);
        }
        b.is_deaf().await;
        if break_down {
            let me = a.principal(&bob).await;
            a.goat.logout(&me, &Origin::default()).await.expect("signed out");
        } else {
            let me = a.principal(&ann).await;
            a.goat.logout(&me, &Origin::default()).await.expect("signed out");
            a.goat.roles().grant(system(), "client", REPORTS).await.expect("granted");
        }
        wire.lose(Loses::Nothing);
        wire.down(false);
        b.hears().await;
        let refused = if break_down { &bob } else { &ann };
        assert_eq!(b.refusal(refused).await, Some(ErrorKind::SessionRevoked));
        assert!(b.goat.roles().list().await.expect("roles")[0].permissions.contains(&REPORTS));
        if !break_down {
            b.learn(&bob).await;
        }
    }
    assert_eq!(b.heard(), 0, "no invalidation told it");
}

/// A7: heartbeats pass and the notice is lost: what is remembered is right until it is stale, and
/// not a moment longer.
#[tokio::test(start_paused = true)]
async fn where_only_the_notice_is_lost_nothing_older_than_the_staleness_is_answered() {
    let pair = Pair::new().await;
    let Pair { wire, clock, a, b } = &pair;
    let tokens = a.member("ann").await.tokens;
    b.learn(&tokens).await;
    let me = a.principal(&tokens).await;
    wire.lose(Loses::Invalidations);
    a.goat.logout(&me, &Origin::default()).await.expect("signed out");
    pair.pass(STALENESS - Duration::from_millis(10)).await;
    assert!(b.goat.sessions().invalidations_connected());
    assert_eq!(b.refusal(&tokens).await, None, "the bound is the staleness");
    clock.advance(Duration::from_millis(10));
    assert!(b.goat.sessions().invalidations_connected());
    assert_eq!(b.refusal(&tokens).await, Some(ErrorKind::SessionRevoked));
}

/// R4: on another node than the one that ended the session.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_on_another_node_never_brings_the_old_state_back() {
    let Pair { a, b, .. } = Pair::new().await;
    for (call, name) in [("sessions.find", "ann"), ("users.cached_state", "bob")] {
        let tokens = a.member(name).await.tokens;
        let me = a.principal(&tokens).await;
        let held = b.pauses.hold(call, Point::Return);
        let reading = tokio::spawn(b.goat.authenticate_token(tokens.access_token.expose()));
        held.reached().await;
        let before = b.heard();
        if name == "ann" {
            a.goat.logout(&me, &Origin::default()).await.expect("signed out");
        } else {
            a.goat.users().delete(system(), me.user()).await.expect("deleted");
        }
        b.hears_more_than(before).await;
        assert_eq!(b.refusal(&tokens).await, Some(ErrorKind::SessionRevoked), "does not wait");
        held.release();
        drop(reading.await.expect("no panic"));
        assert_eq!(b.refusal(&tokens).await, Some(ErrorKind::SessionRevoked), "{call}");
    }
}

/// What cannot be told does not turn what was done into a failure, and holds here at once.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_told_is_done_all_the_same() {
    let Pair { wire, a, .. } = Pair::new().await;
    let tokens = a.member("ann").await.tokens;
    let me = a.principal(&tokens).await;
    wire.down(true);
    a.goat.logout(&me, &Origin::default()).await.expect("signed out");
    assert_eq!(a.refusal(&tokens).await, Some(ErrorKind::SessionRevoked));
    let counts = a.goat.sessions().invalidation_stats();
    assert_eq!((counts.sent, counts.failed), (0, 1));
}

/// However many sessions end at once, the others are told once, and all are forgotten there.
#[tokio::test(start_paused = true)]
async fn sessions_that_end_together_are_told_together() {
    let Pair { a, b, .. } = Pair::new().await;
    let mut tokens = vec![a.member("ann").await.tokens];
    for _ in 0..5 {
        tokens.push(a.sign_in("ann").await.tokens);
    }
    let me = a.principal(&tokens[0]).await;
    let mut others = Vec::new();
    for tokens in &tokens[1..] {
        b.learn(tokens).await;
        others.push(a.principal(tokens).await.session());
    }
    let heard = b.heard();
    assert_eq!(a.goat.sessions().revoke(&me, &others).await.expect("they end"), 5);
    for tokens in &tokens[1..] {
        assert_eq!(a.refusal(tokens).await, Some(ErrorKind::SessionRevoked));
    }
    assert_eq!(a.goat.sessions().invalidation_stats().sent, 1);
    b.hears_more_than(heard).await;
    for tokens in &tokens[1..] {
        assert_eq!(b.refusal(tokens).await, Some(ErrorKind::SessionRevoked));
    }
    a.authenticate(&tokens[0]).await.expect("it goes on");
}

/// R7: what another version tells is obeyed as if everything had changed.
#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_understand_forgets_everything() {
    let Pair { wire, a, b, .. } = Pair::new().await;
    let tokens = a.member("ann").await.tokens;
    b.learn(&tokens).await;
    wire.say("2 somebody f u");
    b.hears_more_than(0).await;
    assert_eq!(b.calls(&tokens).await[..2], ["sessions.find", "users.cached_state"]);
}
