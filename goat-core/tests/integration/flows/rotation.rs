//! Refresh tokens: single use, repeatable within the grace period, and reuse detection.

use std::time::Duration;

use goat_core::ErrorKind;
use goat_core::auth::TokenPair;
use goat_core::event::EventKind;
use goat_core::session::Origin;
use goat_core::testing::Point;

use crate::flows::support::{Backend, Harness, Outcome, on_every_store, refresh};

/// R1
async fn concurrent_refreshes_with_one_token_have_one_successor(backend: Backend) {
    let harness = Harness::on(backend);
    let before = harness.member("ann", "client").await.tokens;
    let attempts: Vec<_> = (0..50)
        .map(|_| {
            let (goat, token) = (harness.goat.clone(), before.refresh_token.clone());
            tokio::spawn(async move { refresh(&goat, &token).await })
        })
        .collect();
    let mut successors = Vec::new();
    for attempt in attempts {
        let tokens = attempt.await.expect("no panic").expect("no logout").tokens;
        harness.principal(&tokens).await;
        successors.push(tokens.refresh_token.expose().clone());
    }
    successors.dedup();
    assert_eq!(successors.len(), 1);
    assert_ne!(&successors[0], before.refresh_token.expose());
    // The successor is valid, and so is the session.
    refresh(&harness.goat, &successors.remove(0).into()).await.expect("the current token");
    harness.principal(&before).await;
}

/// R1
async fn concurrent_refreshes_on_two_nodes_have_one_successor(backend: Backend) {
    let harness = Harness::on(backend);
    let other = harness.second_node();
    let before = harness.member("ann", "client").await.tokens;
    let held = harness.failpoints.hold("sessions.rotate", Point::Entry);
    let first = tokio::spawn({
        let (goat, token) = (harness.goat.clone(), before.refresh_token.clone());
        async move { refresh(&goat, &token).await }
    });
    held.reached().await;
    let second = refresh(&other, &before.refresh_token).await.expect("rotated");
    held.release();
    let first = first.await.expect("no panic").expect("repeated");
    assert_eq!(same(&first.tokens), same(&second.tokens));
}

/// R1, R3
async fn the_predecessor_receives_the_same_successor_within_the_grace_period(backend: Backend) {
    let harness = Harness::on(backend);
    let before = harness.member("ann", "client").await.tokens;
    let first = harness.refresh(&before).await.expect("rotated").tokens;
    harness.clock.advance(Duration::from_millis(9_999));
    let again = harness.refresh(&before).await.expect("repeated").tokens;
    assert_eq!(same(&first), same(&again));
    assert_eq!(first.refresh_token_expires_at, again.refresh_token_expires_at);
    // The access token is a new one with its own expiry.
    assert!(again.access_token_expires_at > first.access_token_expires_at);
    harness.principal(&again).await;
    harness.refresh(&again).await.expect("the successor is current");
}

/// R2
async fn the_predecessor_ends_the_session_after_the_grace_period(backend: Backend) {
    let harness = Harness::on(backend);
    let before = harness.member("ann", "client").await.tokens;
    let after = harness.refresh(&before).await.expect("rotated").tokens;
    harness.principal(&after).await;
    harness.advance(10);
    harness.events.take();
    assert_eq!(harness.refresh(&before).await.kind(), Some(ErrorKind::TokenReused));
    assert_eq!(harness.events.take_kinds(), [EventKind::TokenReused]);
    // Access tokens become invalid too, and every token of the session is reported as revoked.
    for tokens in [&before, &after] {
        assert_eq!(harness.authenticate(tokens).await.kind(), Some(ErrorKind::SessionRevoked));
        assert_eq!(harness.refresh(tokens).await.kind(), Some(ErrorKind::SessionRevoked));
    }
}

/// R2
async fn the_predecessor_of_a_used_successor_ends_the_session(backend: Backend) {
    let harness = Harness::on(backend);
    let first = harness.member("ann", "client").await.tokens;
    let second = harness.refresh(&first).await.expect("rotated").tokens;
    let third = harness.refresh(&second).await.expect("rotated").tokens;
    assert_eq!(harness.refresh(&first).await.kind(), Some(ErrorKind::TokenReused));
    assert_eq!(harness.refresh(&third).await.kind(), Some(ErrorKind::SessionRevoked));
    assert_eq!(harness.authenticate(&third).await.kind(), Some(ErrorKind::SessionRevoked));
}

/// R2
async fn without_a_grace_period_the_second_use_ends_the_session(backend: Backend) {
    let harness = Harness::with(backend, |settings| settings.refresh_leeway = Duration::ZERO);
    let before = harness.member("ann", "client").await.tokens;
    let after = harness.refresh(&before).await.expect("rotated").tokens;
    assert_eq!(harness.refresh(&before).await.kind(), Some(ErrorKind::TokenReused));
    assert_eq!(harness.refresh(&after).await.kind(), Some(ErrorKind::SessionRevoked));
}

/// R2: reuse ends only the token's own session.
async fn reuse_does_not_affect_other_sessions(backend: Backend) {
    let harness = Harness::on(backend);
    let stolen = harness.member("ann", "client").await.tokens;
    let other = harness.sign_in("ann").await.tokens;
    harness.refresh(&stolen).await.expect("rotated");
    harness.advance(31);
    assert_eq!(harness.refresh(&stolen).await.kind(), Some(ErrorKind::TokenReused));
    harness.principal(&other).await;
    harness.refresh(&other).await.expect("still valid");
}

async fn an_expired_token_does_not_end_the_session(backend: Backend) {
    let harness = Harness::with(backend, |settings| {
        settings.refresh_ttl = Duration::from_secs(600);
    });
    let first = harness.member("ann", "client").await.tokens;
    harness.advance(400);
    let second = harness.refresh(&first).await.expect("rotated").tokens;
    // The first token is past its expiry and the clock leeway, the second is not.
    harness.advance(206);
    assert_eq!(harness.refresh(&first).await.kind(), Some(ErrorKind::TokenExpired));
    harness.principal(&harness.refresh(&second).await.expect("still valid").tokens).await;
}

/// R6
async fn an_idle_session_expires_with_its_tokens(backend: Backend) {
    let harness = Harness::with(backend, |settings| {
        settings.refresh_ttl = Duration::from_secs(600);
        settings.access_ttl = Duration::from_secs(600);
    });
    let tokens = harness.member("ann", "client").await.tokens;
    harness.principal(&tokens).await;
    harness.advance(599);
    harness.principal(&tokens).await;
    harness.advance(1);
    // The clock leeway does not extend the session.
    assert_eq!(harness.authenticate(&tokens).await.kind(), Some(ErrorKind::SessionRevoked));
    assert_eq!(harness.refresh(&tokens).await.kind(), Some(ErrorKind::TokenExpired));
}

/// R6
async fn a_refresh_does_not_extend_the_absolute_end(backend: Backend) {
    let harness = Harness::with(backend, |settings| {
        settings.access_ttl = Duration::from_secs(300);
        settings.refresh_ttl = Duration::from_secs(600);
        settings.session_ttl = Duration::from_secs(1000);
    });
    let mut tokens = harness.member("ann", "client").await.tokens;
    let end = tokens.refresh_token_expires_at + Duration::from_secs(400);
    for _ in 0..9 {
        harness.clock.advance(Duration::from_millis(110_500));
        tokens = harness.refresh(&tokens).await.expect("rotated").tokens;
        assert!(tokens.refresh_token_expires_at <= end);
        assert!(tokens.access_token_expires_at <= end);
        assert!(tokens.expires_in <= Duration::from_secs(300));
        harness.principal(&tokens).await;
    }
    assert_eq!((tokens.refresh_token_expires_at, tokens.access_token_expires_at), (end, end));
    harness.advance(6);
    assert!(harness.refresh(&tokens).await.is_err());
    assert!(harness.authenticate(&tokens).await.is_err());
}

/// R6: also an access token issued later for the predecessor.
async fn no_token_outlives_its_session(backend: Backend) {
    let harness = Harness::with(backend, |settings| {
        settings.access_ttl = Duration::from_secs(60);
        settings.refresh_ttl = Duration::from_secs(60);
    });
    let before = harness.member("ann", "client").await.tokens;
    let first = harness.refresh(&before).await.expect("rotated").tokens;
    harness.advance(9);
    let again = harness.refresh(&before).await.expect("repeated").tokens;
    assert_eq!(same(&first), same(&again));
    assert!(again.access_token_expires_at <= again.refresh_token_expires_at);
}

/// R5
async fn a_refresh_does_not_invalidate_the_previous_access_token(backend: Backend) {
    let harness = Harness::on(backend);
    let before = harness.member("ann", "client").await.tokens;
    let after = harness.refresh(&before).await.expect("rotated").tokens;
    harness.principal(&before).await;
    harness.principal(&after).await;
}

/// R3
async fn a_lost_response_logs_no_client_out(backend: Backend) {
    let harness = Harness::on(backend);
    let before = harness.member("ann", "client").await.tokens;
    // Committed, and the result lost between store and goat.
    harness.failpoints.fail("sessions.rotate", Point::Return);
    assert_eq!(harness.refresh(&before).await.kind(), Some(ErrorKind::Unavailable));
    // Committed, and the client gone before the response.
    let held = harness.failpoints.hold("sessions.rotate", Point::Return);
    let abandoned = tokio::spawn({
        let (goat, token) = (harness.goat.clone(), before.refresh_token.clone());
        async move { refresh(&goat, &token).await }
    });
    held.reached().await;
    abandoned.abort();
    assert!(abandoned.await.expect_err("aborted").is_cancelled());
    held.release();
    let answer = harness.refresh(&before).await.expect("the retry").tokens;
    harness.principal(&answer).await;
    harness.refresh(&answer).await.expect("the current token");
}

/// R3
async fn a_failure_before_the_commit_costs_no_token(backend: Backend) {
    let harness = Harness::on(backend);
    let tokens = harness.member("ann", "client").await.tokens;
    for call in ["sessions.find", "sessions.rotate"] {
        harness.failpoints.fail(call, Point::Entry);
        assert_eq!(harness.refresh(&tokens).await.kind(), Some(ErrorKind::Unavailable), "{call}");
    }
    harness.refresh(&tokens).await.expect("still good");
}

async fn every_token_of_an_ended_session_is_revoked(backend: Backend) {
    let harness = Harness::on(backend);
    let first = harness.member("ann", "client").await.tokens;
    let second = harness.refresh(&first).await.expect("rotated").tokens;
    let third = harness.refresh(&second).await.expect("rotated").tokens;
    harness.logout(&third).await;
    for tokens in [&first, &second, &third] {
        assert_eq!(harness.refresh(tokens).await.kind(), Some(ErrorKind::SessionRevoked));
        assert_eq!(harness.authenticate(tokens).await.kind(), Some(ErrorKind::SessionRevoked));
    }
}

/// R4
async fn a_slow_refresh_does_not_revive_a_session_after_logout(backend: Backend) {
    let harness = Harness::on(backend);
    for call in ["sessions.find", "sessions.rotate"] {
        for point in Point::ALL {
            let tokens = harness.member(&format!("ann-{call}-{point:?}"), "client").await.tokens;
            let me = harness.principal(&tokens).await;
            let held = harness.failpoints.hold(call, point);
            let slow = tokio::spawn({
                let (goat, token) = (harness.goat.clone(), tokens.refresh_token.clone());
                async move { refresh(&goat, &token).await }
            });
            held.reached().await;
            harness.goat.logout(&me, &Origin::default()).await.expect("signed out");
            held.release();
            let late = slow.await.expect("no panic");
            if let Ok(late) = late {
                assert_eq!((call, point), ("sessions.rotate", Point::Return));
                assert!(harness.authenticate(&late.tokens).await.is_err());
                assert!(harness.refresh(&late.tokens).await.is_err());
            }
            assert_eq!(harness.authenticate(&tokens).await.kind(), Some(ErrorKind::SessionRevoked));
            assert_eq!(harness.refresh(&tokens).await.kind(), Some(ErrorKind::SessionRevoked));
        }
    }
}

/// O6
async fn a_jumping_wall_clock_revives_no_session(backend: Backend) {
    use goat_core::Clock;
    const HOUR: Duration = Duration::from_secs(3600);
    let harness = Harness::with(backend, |settings| {
        settings.access_ttl = Duration::from_secs(300);
        settings.refresh_ttl = Duration::from_secs(1800);
    });
    let idle = harness.member("ann", "client").await.tokens;
    let old = harness.member("ben", "client").await.tokens;
    let current = harness.refresh(&old).await.expect("rotated").tokens;
    harness.advance(31);
    let start = harness.clock.now();
    // Back: time continues by the monotonic clock, so the grace period does not reopen.
    harness.clock.set_wall_clock(start - HOUR);
    assert_eq!(harness.refresh(&old).await.kind(), Some(ErrorKind::TokenReused));
    assert_eq!(harness.refresh(&current).await.kind(), Some(ErrorKind::SessionRevoked));
    harness.principal(&idle).await;
    // Forward: expired sessions stay expired, also when the wall clock is set back.
    harness.clock.set_wall_clock(start + HOUR);
    assert!(harness.authenticate(&idle).await.is_err());
    assert_eq!(harness.refresh(&idle).await.kind(), Some(ErrorKind::TokenExpired));
    harness.clock.set_wall_clock(start);
    assert!(harness.authenticate(&idle).await.is_err());
    assert_eq!(harness.refresh(&idle).await.kind(), Some(ErrorKind::TokenExpired));
}

fn same(tokens: &TokenPair) -> &str {
    tokens.refresh_token.expose()
}

on_every_store![
    concurrent_refreshes_with_one_token_have_one_successor,
    concurrent_refreshes_on_two_nodes_have_one_successor,
    the_predecessor_receives_the_same_successor_within_the_grace_period,
    the_predecessor_ends_the_session_after_the_grace_period,
    the_predecessor_of_a_used_successor_ends_the_session,
    without_a_grace_period_the_second_use_ends_the_session,
    reuse_does_not_affect_other_sessions,
    an_expired_token_does_not_end_the_session,
    an_idle_session_expires_with_its_tokens,
    a_refresh_does_not_extend_the_absolute_end,
    no_token_outlives_its_session,
    a_refresh_does_not_invalidate_the_previous_access_token,
    a_lost_response_logs_no_client_out,
    a_failure_before_the_commit_costs_no_token,
    every_token_of_an_ended_session_is_revoked,
    a_slow_refresh_does_not_revive_a_session_after_logout,
    a_jumping_wall_clock_revives_no_session,
];
