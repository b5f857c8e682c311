//! Refresh tokens: used once, repeated within the leeway, and fatal to their session when reused.

use std::time::Duration;

use goat_core::ErrorKind;
use goat_core::auth::TokenPair;
use goat_core::event::EventKind;
use goat_core::session::Origin;
use goat_core::testing::Point;

use crate::support::{Ground, House, Outcome, on_every_store, refresh};

/// R1
async fn parallel_refreshes_of_one_token_have_one_living_successor(ground: Ground) {
    let house = House::on(ground);
    let before = house.member("ann", "client").await.tokens;
    let attempts: Vec<_> = (0..50)
        .map(|_| {
            let (goat, token) = (house.goat.clone(), before.refresh_token.clone());
            tokio::spawn(async move { refresh(&goat, &token).await })
        })
        .collect();
    let mut successors = Vec::new();
    for attempt in attempts {
        let tokens = attempt.await.expect("no panic").expect("nobody is logged out").tokens;
        house.principal(&tokens).await;
        successors.push(tokens.refresh_token.expose().clone());
    }
    successors.dedup();
    assert_eq!(successors.len(), 1);
    assert_ne!(&successors[0], before.refresh_token.expose());
    // The one successor lives, and so does the session.
    refresh(&house.goat, &successors.remove(0).into()).await.expect("it is current");
    house.principal(&before).await;
}

/// R1
async fn two_nodes_that_refresh_one_token_agree_on_the_successor(ground: Ground) {
    let house = House::on(ground);
    let other = house.neighbour();
    let before = house.member("ann", "client").await.tokens;
    let held = house.pauses.hold("sessions.rotate", Point::Entry);
    let first = tokio::spawn({
        let (goat, token) = (house.goat.clone(), before.refresh_token.clone());
        async move { refresh(&goat, &token).await }
    });
    held.reached().await;
    let second = refresh(&other, &before.refresh_token).await.expect("rotated");
    held.release();
    let first = first.await.expect("no panic").expect("repeated");
    assert_eq!(same(&first.tokens), same(&second.tokens));
}

/// R1, R3
async fn the_predecessor_gets_the_very_same_successor_within_the_leeway(ground: Ground) {
    let house = House::on(ground);
    let before = house.member("ann", "client").await.tokens;
    let first = house.refresh(&before).await.expect("rotated").tokens;
    house.clock.advance(Duration::from_millis(29_999));
    let again = house.refresh(&before).await.expect("repeated").tokens;
    assert_eq!(same(&first), same(&again));
    assert_eq!(first.refresh_token_expires_at, again.refresh_token_expires_at);
    // The access token is a new one, good for its own time.
    assert!(again.access_token_expires_at > first.access_token_expires_at);
    house.principal(&again).await;
    house.refresh(&again).await.expect("the successor is current");
}

/// R2
async fn the_predecessor_after_the_leeway_ends_the_session(ground: Ground) {
    let house = House::on(ground);
    let before = house.member("ann", "client").await.tokens;
    let after = house.refresh(&before).await.expect("rotated").tokens;
    house.principal(&after).await;
    house.advance(30);
    house.events.take();
    assert_eq!(house.refresh(&before).await.kind(), Some(ErrorKind::TokenReused));
    assert_eq!(house.events.take_kinds(), [EventKind::TokenReused]);
    // Access tokens die with it, and every token of the session is that of an ended one.
    for tokens in [&before, &after] {
        assert_eq!(house.authenticate(tokens).await.kind(), Some(ErrorKind::SessionRevoked));
        assert_eq!(house.refresh(tokens).await.kind(), Some(ErrorKind::SessionRevoked));
    }
}

/// R2
async fn the_predecessor_of_a_used_successor_ends_the_session(ground: Ground) {
    let house = House::on(ground);
    let first = house.member("ann", "client").await.tokens;
    let second = house.refresh(&first).await.expect("rotated").tokens;
    let third = house.refresh(&second).await.expect("rotated").tokens;
    assert_eq!(house.refresh(&first).await.kind(), Some(ErrorKind::TokenReused));
    assert_eq!(house.refresh(&third).await.kind(), Some(ErrorKind::SessionRevoked));
    assert_eq!(house.authenticate(&third).await.kind(), Some(ErrorKind::SessionRevoked));
}

/// R2
async fn without_a_leeway_the_second_use_ends_the_session(ground: Ground) {
    let house = House::with(ground, |settings| settings.refresh_leeway = Duration::ZERO);
    let before = house.member("ann", "client").await.tokens;
    let after = house.refresh(&before).await.expect("rotated").tokens;
    assert_eq!(house.refresh(&before).await.kind(), Some(ErrorKind::TokenReused));
    assert_eq!(house.refresh(&after).await.kind(), Some(ErrorKind::SessionRevoked));
}

/// R2: only the session that the token belongs to.
async fn reuse_leaves_other_sessions_alone(ground: Ground) {
    let house = House::on(ground);
    let stolen = house.member("ann", "client").await.tokens;
    let other = house.sign_in("ann").await.tokens;
    house.refresh(&stolen).await.expect("rotated");
    house.advance(31);
    assert_eq!(house.refresh(&stolen).await.kind(), Some(ErrorKind::TokenReused));
    house.principal(&other).await;
    house.refresh(&other).await.expect("it lives");
}

async fn an_expired_token_ends_nothing(ground: Ground) {
    let house = House::with(ground, |settings| {
        settings.refresh_ttl = Duration::from_secs(600);
    });
    let first = house.member("ann", "client").await.tokens;
    house.advance(400);
    let second = house.refresh(&first).await.expect("rotated").tokens;
    // The first is past its time and the leeway for clocks, the second is not.
    house.advance(206);
    assert_eq!(house.refresh(&first).await.kind(), Some(ErrorKind::TokenExpired));
    house.principal(&house.refresh(&second).await.expect("it lives").tokens).await;
}

/// R6
async fn an_idle_session_ends_and_its_tokens_with_it(ground: Ground) {
    let house = House::with(ground, |settings| {
        settings.refresh_ttl = Duration::from_secs(600);
        settings.access_ttl = Duration::from_secs(600);
    });
    let tokens = house.member("ann", "client").await.tokens;
    house.principal(&tokens).await;
    house.advance(599);
    house.principal(&tokens).await;
    house.advance(1);
    // The leeway for clocks never reaches past the session's end.
    assert_eq!(house.authenticate(&tokens).await.kind(), Some(ErrorKind::SessionRevoked));
    assert_eq!(house.refresh(&tokens).await.kind(), Some(ErrorKind::TokenExpired));
}

/// R6
async fn a_refresh_never_extends_the_absolute_end(ground: Ground) {
    let house = House::with(ground, |settings| {
        settings.access_ttl = Duration::from_secs(300);
        settings.refresh_ttl = Duration::from_secs(600);
        settings.session_ttl = Duration::from_secs(1000);
    });
    let mut tokens = house.member("ann", "client").await.tokens;
    let end = tokens.refresh_token_expires_at + Duration::from_secs(400);
    for _ in 0..9 {
        house.clock.advance(Duration::from_millis(110_500));
        tokens = house.refresh(&tokens).await.expect("rotated").tokens;
        assert!(tokens.refresh_token_expires_at <= end);
        assert!(tokens.access_token_expires_at <= end);
        assert!(tokens.expires_in <= Duration::from_secs(300));
        house.principal(&tokens).await;
    }
    assert_eq!((tokens.refresh_token_expires_at, tokens.access_token_expires_at), (end, end));
    house.advance(6);
    assert!(house.refresh(&tokens).await.is_err());
    assert!(house.authenticate(&tokens).await.is_err());
}

/// R6: also an access token that was answered late to a predecessor.
async fn no_token_outlives_its_session(ground: Ground) {
    let house = House::with(ground, |settings| {
        settings.access_ttl = Duration::from_secs(60);
        settings.refresh_ttl = Duration::from_secs(60);
    });
    let before = house.member("ann", "client").await.tokens;
    let first = house.refresh(&before).await.expect("rotated").tokens;
    house.advance(20);
    let again = house.refresh(&before).await.expect("repeated").tokens;
    assert_eq!(same(&first), same(&again));
    assert!(again.access_token_expires_at <= again.refresh_token_expires_at);
}

/// R5
async fn a_refresh_leaves_the_other_access_token_good(ground: Ground) {
    let house = House::on(ground);
    let before = house.member("ann", "client").await.tokens;
    let after = house.refresh(&before).await.expect("rotated").tokens;
    house.principal(&before).await;
    house.principal(&after).await;
}

/// R3
async fn an_answer_that_was_lost_logs_nobody_out(ground: Ground) {
    let house = House::on(ground);
    let before = house.member("ann", "client").await.tokens;
    // Done, and the answer lost between the store and the goat.
    house.pauses.fail("sessions.rotate", Point::Return);
    assert_eq!(house.refresh(&before).await.kind(), Some(ErrorKind::Unavailable));
    // Done, and the client gone before it heard.
    let held = house.pauses.hold("sessions.rotate", Point::Return);
    let abandoned = tokio::spawn({
        let (goat, token) = (house.goat.clone(), before.refresh_token.clone());
        async move { refresh(&goat, &token).await }
    });
    held.reached().await;
    abandoned.abort();
    assert!(abandoned.await.expect_err("aborted").is_cancelled());
    held.release();
    let answer = house.refresh(&before).await.expect("asked again").tokens;
    house.principal(&answer).await;
    house.refresh(&answer).await.expect("it is current");
}

/// R3
async fn a_failure_before_the_commit_costs_no_token(ground: Ground) {
    let house = House::on(ground);
    let tokens = house.member("ann", "client").await.tokens;
    for call in ["sessions.find", "sessions.rotate"] {
        house.pauses.fail(call, Point::Entry);
        assert_eq!(house.refresh(&tokens).await.kind(), Some(ErrorKind::Unavailable), "{call}");
    }
    house.refresh(&tokens).await.expect("still good");
}

async fn an_ended_session_is_revoked_whatever_token_is_shown(ground: Ground) {
    let house = House::on(ground);
    let first = house.member("ann", "client").await.tokens;
    let second = house.refresh(&first).await.expect("rotated").tokens;
    let third = house.refresh(&second).await.expect("rotated").tokens;
    house.logout(&third).await;
    for tokens in [&first, &second, &third] {
        assert_eq!(house.refresh(tokens).await.kind(), Some(ErrorKind::SessionRevoked));
        assert_eq!(house.authenticate(tokens).await.kind(), Some(ErrorKind::SessionRevoked));
    }
}

/// R4
async fn a_slow_refresh_does_not_revive_a_session_that_was_signed_out(ground: Ground) {
    let house = House::on(ground);
    for call in ["sessions.find", "sessions.rotate"] {
        for point in Point::ALL {
            let tokens = house.member(&format!("ann-{call}-{point:?}"), "client").await.tokens;
            let me = house.principal(&tokens).await;
            let held = house.pauses.hold(call, point);
            let slow = tokio::spawn({
                let (goat, token) = (house.goat.clone(), tokens.refresh_token.clone());
                async move { refresh(&goat, &token).await }
            });
            held.reached().await;
            house.goat.logout(&me, &Origin::default()).await.expect("signed out");
            held.release();
            let late = slow.await.expect("no panic");
            if let Ok(late) = late {
                assert_eq!((call, point), ("sessions.rotate", Point::Return));
                assert!(house.authenticate(&late.tokens).await.is_err());
                assert!(house.refresh(&late.tokens).await.is_err());
            }
            assert_eq!(house.authenticate(&tokens).await.kind(), Some(ErrorKind::SessionRevoked));
            assert_eq!(house.refresh(&tokens).await.kind(), Some(ErrorKind::SessionRevoked));
        }
    }
}

/// O6
async fn a_clock_that_jumps_revives_nothing(ground: Ground) {
    use goat_core::Clock;
    const HOUR: Duration = Duration::from_secs(3600);
    let house = House::with(ground, |settings| {
        settings.access_ttl = Duration::from_secs(300);
        settings.refresh_ttl = Duration::from_secs(1800);
    });
    let idle = house.member("ann", "client").await.tokens;
    let old = house.member("ben", "client").await.tokens;
    let current = house.refresh(&old).await.expect("rotated").tokens;
    house.advance(31);
    let start = house.clock.now();
    // Back: time goes on by the stopwatch, so the leeway does not open again.
    house.clock.set_calendar(start - HOUR);
    assert_eq!(house.refresh(&old).await.kind(), Some(ErrorKind::TokenReused));
    assert_eq!(house.refresh(&current).await.kind(), Some(ErrorKind::SessionRevoked));
    house.principal(&idle).await;
    // Forward: what is over is over, also when the calendar comes back.
    house.clock.set_calendar(start + HOUR);
    assert!(house.authenticate(&idle).await.is_err());
    assert_eq!(house.refresh(&idle).await.kind(), Some(ErrorKind::TokenExpired));
    house.clock.set_calendar(start);
    assert!(house.authenticate(&idle).await.is_err());
    assert_eq!(house.refresh(&idle).await.kind(), Some(ErrorKind::TokenExpired));
}

fn same(tokens: &TokenPair) -> &str {
    tokens.refresh_token.expose()
}

on_every_store![
    parallel_refreshes_of_one_token_have_one_living_successor,
    two_nodes_that_refresh_one_token_agree_on_the_successor,
    the_predecessor_gets_the_very_same_successor_within_the_leeway,
    the_predecessor_after_the_leeway_ends_the_session,
    the_predecessor_of_a_used_successor_ends_the_session,
    without_a_leeway_the_second_use_ends_the_session,
    reuse_leaves_other_sessions_alone,
    an_expired_token_ends_nothing,
    an_idle_session_ends_and_its_tokens_with_it,
    a_refresh_never_extends_the_absolute_end,
    no_token_outlives_its_session,
    a_refresh_leaves_the_other_access_token_good,
    an_answer_that_was_lost_logs_nobody_out,
    a_failure_before_the_commit_costs_no_token,
    an_ended_session_is_revoked_whatever_token_is_shown,
    a_slow_refresh_does_not_revive_a_session_that_was_signed_out,
    a_clock_that_jumps_revives_nothing,
];
