//! Two nodes over one in-process transport. Their manual clock advances only when the test advances
//! it, so that no entry expires unintentionally.

use std::sync::Arc;
use std::time::Duration;

use goat_core::invalidation::Broadcast;
use goat_core::session::Origin;
use goat_core::testing::{ManualClock, Point};
use goat_core::{ErrorKind, Stores};
use tokio::time::sleep;

use crate::flows::support::system;
use crate::invalidations::support::{
    Deployment, Node, REPORTS, changes_on_one_node_apply_on_the_other,
};
use crate::invalidations::transport::{Loss, TestTransport, is_heartbeat};

const STALENESS: Duration = Duration::from_secs(1);
const HALF: Duration = Duration::from_millis(500);

struct Pair {
    transport: TestTransport,
    clock: ManualClock,
    a: Node,
    b: Node,
}

impl Pair {
    async fn new() -> Self {
        let (transport, clock) = (TestTransport::default(), ManualClock::default());
        let deployment = Deployment::new(Stores::memory(), STALENESS, Arc::new(clock.clone()));
        let node = || deployment.node(Broadcast::new(Arc::new(transport.clone()), STALENESS));
        let (a, b) = (node(), node());
        a.wait_until_connected().await;
        b.wait_until_connected().await;
        Self { transport, clock, a, b }
    }

    /// Advances the nodes' clock and the clock of their heartbeats.
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
async fn changes_apply_on_the_other_node() {
    let Pair { a, b, .. } = Pair::new().await;
    changes_on_one_node_apply_on_the_other(&a, &b).await;
}

#[tokio::test(start_paused = true)]
async fn sign_in_refresh_and_authentication_send_no_invalidation() {
    let Pair { transport, a, b, .. } = Pair::new().await;
    let tokens = a.signed_in_user("ann").await.tokens;
    b.warm_cache(&tokens).await;
    transport.take_sent();
    a.sign_in("ann").await;
    let tokens =
        a.goat.refresh(&tokens.refresh_token, &Origin::default()).await.expect("refreshed");
    b.principal(&tokens.tokens).await;
    let sent = transport.take_sent();
    assert!(sent.iter().all(|text| is_heartbeat(text)), "{sent:?}");
}

/// A7: also where the task that should detect the loss does not run.
#[tokio::test(start_paused = true)]
async fn after_half_the_staleness_without_heartbeats_each_read_goes_to_the_stores() {
    let pair = Pair::new().await;
    let Pair { transport, clock, a, b } = &pair;
    let tokens = a.signed_in_user("ann").await.tokens;
    // To the start of a lease, and to an entry that is younger than the lease.
    pair.pass(STALENESS).await;
    b.warm_cache(&tokens).await;
    transport.lose(Loss::Everything);
    clock.advance(HALF - Duration::from_millis(1));
    assert!(b.calls(&tokens).await.is_empty(), "the lease holds");
    clock.advance(Duration::from_millis(1));
    for _ in 0..5 {
        assert_eq!(b.calls(&tokens).await, ["sessions.find", "users.state"]);
    }
    assert!(!b.goat.sessions().invalidations_connected());
    for _ in 0..2 {
        b.goat.roles().list().await.expect("roles");
        assert_eq!(b.failpoints.take_calls(), ["roles.load"]);
    }
}

/// A7, R4: changes made while the node was disconnected apply once it is connected again, though
/// its entries are younger than the staleness.
#[tokio::test(start_paused = true)]
async fn a_reconnected_node_has_emptied_its_caches_first() {
    let Pair { transport, a, b, .. } = Pair::new().await;
    let (ann, bob) = (a.signed_in_user("ann").await.tokens, a.signed_in_user("bob").await.tokens);
    b.warm_cache(&ann).await;
    b.warm_cache(&bob).await;
    b.goat.roles().list().await.expect("roles");
    for break_down in [false, true] {
        if break_down {
            transport.end_subscriptions();
            transport.set_down(true);
        } else {
            transport.lose(Loss::Everything);
        }
        b.wait_until_disconnected().await;
        if break_down {
            let me = a.principal(&bob).await;
            a.goat.logout(&me, &Origin::default()).await.expect("signed out");
        } else {
            let me = a.principal(&ann).await;
            a.goat.logout(&me, &Origin::default()).await.expect("signed out");
            a.goat.roles().grant(system(), "client", REPORTS).await.expect("granted");
        }
        transport.lose(Loss::Nothing);
        transport.set_down(false);
        b.wait_until_connected().await;
        let refused = if break_down { &bob } else { &ann };
        assert_eq!(b.auth_error(refused).await, Some(ErrorKind::SessionRevoked));
        assert!(b.goat.roles().list().await.expect("roles")[0].permissions.contains(&REPORTS));
        if !break_down {
            b.warm_cache(&bob).await;
        }
    }
    assert_eq!(b.invalidations_received(), 0, "no invalidation arrived");
}

/// A7: if heartbeats arrive and the invalidation is lost, an entry is used until it is stale, and
/// no longer.
#[tokio::test(start_paused = true)]
async fn a_lost_invalidation_delays_the_change_by_at_most_the_staleness() {
    let pair = Pair::new().await;
    let Pair { transport, clock, a, b } = &pair;
    let tokens = a.signed_in_user("ann").await.tokens;
    b.warm_cache(&tokens).await;
    let me = a.principal(&tokens).await;
    transport.lose(Loss::Invalidations);
    a.goat.logout(&me, &Origin::default()).await.expect("signed out");
    pair.pass(STALENESS - Duration::from_millis(10)).await;
    assert!(b.goat.sessions().invalidations_connected());
    assert_eq!(b.auth_error(&tokens).await, None, "the bound is the staleness");
    clock.advance(Duration::from_millis(10));
    assert!(b.goat.sessions().invalidations_connected());
    assert_eq!(b.auth_error(&tokens).await, Some(ErrorKind::SessionRevoked));
}

/// R4: the reader is on another node than the change.
#[tokio::test(start_paused = true)]
async fn a_slow_read_on_another_node_does_not_restore_the_old_state() {
    let Pair { a, b, .. } = Pair::new().await;
    for (call, name) in [("sessions.find", "ann"), ("users.cached_state", "bob")] {
        let tokens = a.signed_in_user(name).await.tokens;
        let me = a.principal(&tokens).await;
        let held = b.failpoints.hold(call, Point::Return);
        let reading = tokio::spawn(b.goat.authenticate_token(tokens.access_token.expose()));
        held.reached().await;
        let before = b.invalidations_received();
        if name == "ann" {
            a.goat.logout(&me, &Origin::default()).await.expect("signed out");
        } else {
            a.goat.users().delete(system(), me.user()).await.expect("deleted");
        }
        b.wait_for_invalidation_after(before).await;
        assert_eq!(
            b.auth_error(&tokens).await,
            Some(ErrorKind::SessionRevoked),
            "does not join the held read"
        );
        held.release();
        drop(reading.await.expect("no panic"));
        assert_eq!(b.auth_error(&tokens).await, Some(ErrorKind::SessionRevoked), "{call}");
    }
}

/// A change whose invalidation cannot be sent succeeds, and applies on its own node at once.
#[tokio::test(start_paused = true)]
async fn a_change_succeeds_without_its_invalidation() {
    let Pair { transport, a, .. } = Pair::new().await;
    let tokens = a.signed_in_user("ann").await.tokens;
    let me = a.principal(&tokens).await;
    transport.set_down(true);
    a.goat.logout(&me, &Origin::default()).await.expect("signed out");
    assert_eq!(a.auth_error(&tokens).await, Some(ErrorKind::SessionRevoked));
    let counts = a.goat.sessions().invalidation_stats();
    assert_eq!((counts.sent, counts.failed), (0, 1));
}

/// Sessions that end together are sent as one invalidation, which evicts all of them elsewhere.
#[tokio::test(start_paused = true)]
async fn sessions_revoked_together_send_one_invalidation() {
    let Pair { a, b, .. } = Pair::new().await;
    let mut tokens = vec![a.signed_in_user("ann").await.tokens];
    for _ in 0..5 {
        tokens.push(a.sign_in("ann").await.tokens);
    }
    let me = a.principal(&tokens[0]).await;
    let mut others = Vec::new();
    for tokens in &tokens[1..] {
        b.warm_cache(tokens).await;
        others.extend(a.principal(tokens).await.session());
    }
    let before = b.invalidations_received();
    assert_eq!(a.goat.sessions().revoke(&me, &others).await.expect("revoked"), 5);
    for tokens in &tokens[1..] {
        assert_eq!(a.auth_error(tokens).await, Some(ErrorKind::SessionRevoked));
    }
    assert_eq!(a.goat.sessions().invalidation_stats().sent, 1);
    b.wait_for_invalidation_after(before).await;
    for tokens in &tokens[1..] {
        assert_eq!(b.auth_error(tokens).await, Some(ErrorKind::SessionRevoked));
    }
    a.authenticate(&tokens[0]).await.expect("the current session stays");
}

/// A7: an invalidation of an unknown version counts as a change of everything.
#[tokio::test(start_paused = true)]
async fn an_unknown_version_empties_the_caches() {
    let Pair { transport, a, b, .. } = Pair::new().await;
    let tokens = a.signed_in_user("ann").await.tokens;
    b.warm_cache(&tokens).await;
    transport.deliver("2 somebody f u");
    b.wait_for_invalidation_after(0).await;
    assert_eq!(b.calls(&tokens).await[..2], ["sessions.find", "users.cached_state"]);
}
