//! Two limits and authentication as one layer: what it answers, and for what it waits.

mod combinations;
mod remote_stores;

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use goat_core::store::memory::MemoryLimits;
use goat_core::testing::limits::DeferredLimits;
use goat_core::testing::{TestGoat, TestUser};
use goat_core::{Principal, Quota, Stores};
use goat_tower::address::ClientAddress;
use goat_tower::{AuthenticateWithLimitsLayer, Denial, GoatExt, LimitLayer};
use http::request::Parts;
use tower::{Layer, Service, ServiceExt};

use crate::support::{Answer, Probe, REPORTS, in_grpc, request, send, whoami};
use remote_stores::{ADDRESS, Kept, USER, Wire, poll, settled};

const NONE: Option<LimitLayer> = None;

fn admission(test: &TestGoat) -> AuthenticateWithLimitsLayer {
    let goat = &test.goat;
    let by_user = goat.limit(USER).by_user();
    goat.authenticate().limited(goat.limit(ADDRESS).by_address(), by_user)
}

/// Somebody whom the cache knows; all stores are elsewhere.
async fn known() -> (TestGoat, Wire, TestUser) {
    let (stores, wire) = Wire::over(Kept::Elsewhere);
    let test = TestGoat::build(stores, |builder| builder);
    let alice = test.sign_in("alice", [REPORTS]).await;
    test.goat.authenticate_token(alice.access_token()).await.unwrap();
    wire.close();
    (test, wire, alice)
}

/// Somebody whom the cache has forgotten.
async fn forgotten() -> (TestGoat, Wire, TestUser) {
    let (test, wire, alice) = known().await;
    test.clock.advance(Duration::from_secs(10));
    (test, wire, alice)
}

#[track_caller]
fn answered(poll: Poll<Answer>) -> Answer {
    let Poll::Ready(answer) = poll else { panic!("it still waits") };
    answer
}

#[tokio::test]
async fn what_the_second_limit_says_waits_for_the_first() {
    for (refused, limit) in [(false, "user"), (true, "address")] {
        let (test, wire, alice) = known().await;
        let service = admission(&test).layer(whoami());
        for _ in 0..USER.limit() {
            let (answer, _) = wire.drive(send(&service, request(Some(&alice)))).await;
            assert_eq!(answer.outcome(), (200, ""));
        }
        if refused {
            let (answer, _) = wire.drive(send(&service, request(None))).await;
            assert_eq!(answer.outcome(), (401, "unauthenticated"));
        }
        let mut future = pin!(send(&service, request(Some(&alice))));
        assert!(poll(future.as_mut()).is_pending());
        wire.arrive_alone("user");
        assert!(poll(future.as_mut()).is_pending(), "the address may refuse yet");
        wire.arrive_alone("address");
        let answer = answered(poll(future));
        assert_eq!(answer.outcome(), (429, "rate-limited"));
        assert!(answer.header("ratelimit").contains(&format!(r#""{limit}";r=0"#)), "{answer:?}");
    }
}

#[tokio::test]
async fn what_the_first_limit_refuses_or_cannot_tell_is_answered_without_the_rest() {
    for (known_before, also) in [(true, "user"), (false, "session")] {
        for (fails, outcome) in [(false, (429, "rate-limited")), (true, (503, "unavailable"))] {
            let (test, wire, alice) = if known_before { known().await } else { forgotten().await };
            let service = admission(&test).layer(whoami());
            for _ in 0..ADDRESS.limit() {
                assert_eq!(wire.drive(send(&service, request(None))).await.0.status, 401);
            }
            if fails {
                wire.fail("address");
            }
            let mut future = pin!(send(&service, request(Some(&alice))));
            assert!(settled(future.as_mut()).await.is_pending());
            wire.arrive_alone("address");
            let answer = answered(settled(future).await);
            assert_eq!(answer.outcome(), outcome);
            assert_eq!(wire.arrive(), [also], "that was under way, and nobody waits for it");
        }
    }
}

/// What is said of it in the documentation: one of the user's own, and of nobody else's.
#[tokio::test]
async fn a_user_may_be_charged_for_what_the_address_is_refused() {
    let (test, wire, alice) = known().await;
    let service = admission(&test).layer(whoami());
    for _ in 0..ADDRESS.limit() {
        assert_eq!(wire.drive(send(&service, request(None))).await.0.status, 401);
    }
    let (answer, _) = wire.drive(send(&service, request(Some(&alice)))).await;
    assert_eq!(answer.outcome(), (429, "rate-limited"));
    let mut elsewhere = request(Some(&alice));
    elsewhere.extensions_mut().insert(ClientAddress::new([192, 0, 2, 8].into()));
    let (answer, _) = wire.drive(send(&service, elsewhere)).await;
    assert_eq!(answer.header("ratelimit"), r#""address";r=2;t=60, "user";r=0;t=60"#);
}

/// Dropped wherever it waits: nothing came through, nothing stays reserved, and each limit was
/// charged once or not at all.
#[tokio::test]
async fn a_request_that_is_dropped_while_it_waits_leaves_a_limit_charged_or_not() {
    for (is_known, waits) in [(true, 1), (false, 2)] {
        for dropped_at in 0..waits {
            let (test, wire, alice) = if is_known { known().await } else { forgotten().await };
            let probe = Probe::default();
            let seen = Arc::clone(&probe.seen);
            let service = admission(&test).layer(probe);
            let mut future = Box::pin(service.clone().oneshot(request(Some(&alice))));
            for _ in 0..dropped_at {
                assert!(settled(future.as_mut()).await.is_pending());
                wire.arrive();
            }
            assert!(settled(future.as_mut()).await.is_pending());
            assert_eq!(seen.reserved(), 1, "what waits is ready to go on");
            drop(future);
            assert_eq!((seen.calls(), seen.reserved()), (0, 0));
            let asked = wire.asked();

            wire.arrive();
            let (response, _) = wire.drive(service.oneshot(request(Some(&alice)))).await;
            let spent = |limit| asked.iter().filter(|call| **call == limit).count();
            let left = format!(
                r#""address";r={};t=60, "user";r={};t=60"#,
                2 - spent("address"),
                1 - spent("user")
            );
            assert_eq!(response.unwrap().headers()["ratelimit"], left, "{is_known} {dropped_at}");
            assert_eq!((seen.calls(), seen.unready_calls()), (1, 0));
        }
    }
}

#[tokio::test]
async fn either_limit_may_be_left_out() {
    let cases = |test: &TestGoat| {
        let goat = &test.goat;
        let (address, user) = (goat.limit(ADDRESS).by_address(), goat.limit(USER).by_user());
        let who = goat.authenticate();
        [
            (who.clone().limited(NONE, NONE), ""),
            (who.clone().limited(address.clone(), NONE), r#""address";r=2;t=60"#),
            (who.clone().limited(NONE, user.clone()), r#""user";r=1;t=60"#),
            (who.limited(address, user), r#""address";r=2;t=60, "user";r=1;t=60"#),
        ]
    };
    // Each is asked as few times as can be: with the session in the cache, and without.
    let trips: [[&[&[&str]]; 4]; 2] = [
        [&[], &[&["address"]], &[&["user"]], &[&["address", "user"]]],
        [
            &[&["session"]],
            &[&["address", "session"]],
            &[&["session"], &["user"]],
            &[&["address", "session"], &["user"]],
        ],
    ];
    for (is_known, trips) in [(true, trips[0]), (false, trips[1])] {
        for (number, trips) in trips.into_iter().enumerate() {
            let (test, wire, alice) = if is_known { known().await } else { forgotten().await };
            let (layer, limits) = cases(&test)[number].clone();
            let (answer, waited) =
                wire.drive(send(&layer.layer(whoami()), request(Some(&alice)))).await;
            assert_eq!((answer.outcome(), answer.header("ratelimit")), ((200, ""), limits));
            assert_eq!(answer.header("cache-control"), "no-store");
            assert_eq!(waited, trips);
        }
    }
}

/// On an executor that polls only what was woken, for stores that answer at different times.
#[tokio::test(start_paused = true)]
async fn whichever_answers_last_wakes_the_request() {
    let limits = Arc::new(DeferredLimits::new(MemoryLimits::default()));
    let test = TestGoat::build(Stores { limits, ..Stores::memory() }, |builder| builder);
    let alice = test.sign_in("alice", []).await;
    let service = admission(&test).layer(whoami());
    // The session by the store, then by the cache.
    for left in [r#""address";r=2;t=60, "user";r=1;t=60"#, r#""address";r=1;t=60, "user";r=0;t=60"#]
    {
        let sent = send(&service, request(Some(&alice)));
        let answer = tokio::time::timeout(Duration::from_secs(1), sent).await;
        assert_eq!(answer.expect("it was woken").header("ratelimit"), left);
    }
}

/// No question is put, so no instance is cloned for one and no future is polled.
#[tokio::test]
async fn what_is_known_here_reaches_the_inner_service_within_the_call() {
    let (stores, wire) = Wire::over(Kept::Memory);
    let test = TestGoat::build(stores, |builder| builder);
    let alice = test.sign_in("alice", []).await;
    test.goat.authenticate_token(alice.access_token()).await.unwrap();
    wire.close();
    let mut service = admission(&test).layer(whoami());
    for (user, stage) in [
        (Some(&alice), "inner"),
        (None, "denied"),
        (Some(&alice), "inner"),
        (Some(&alice), "denied"),
    ] {
        let future = service.ready().await.unwrap().call(request(user));
        assert_eq!(format!("{future:?}"), format!("GuardFuture({stage})"));
    }
    assert_eq!(wire.asked(), ["address", "user", "address", "address", "user", "address"]);
}

/// A fresh requirement relies on nothing that was read before.
#[tokio::test]
async fn a_fresh_requirement_costs_a_trip_of_its_own() {
    let (test, wire, alice) = known().await;
    let service = admission(&test).layer(test.goat.require(REPORTS).fresh().layer(whoami()));
    let (answer, trips) = wire.drive(send(&service, request(Some(&alice)))).await;
    assert_eq!(answer.outcome(), (200, ""));
    assert_eq!(trips, [vec!["address", "user"], vec!["session"]]);
}

/// The second limit's key sees who it is, also where that came from a store.
#[tokio::test]
async fn the_second_limit_may_count_by_a_text_that_only_who_is_known_has() {
    for is_known in [true, false] {
        let (test, wire, alice) = if is_known { known().await } else { forgotten().await };
        let by_role = test.goat.limit(USER).named("role").by_key(|request: &Parts| {
            Some(request.extensions.get::<Principal>()?.role().to_string().into())
        });
        let layer = test.goat.authenticate().limited(test.goat.limit(ADDRESS), by_role);
        let (answer, _) = wire.drive(send(&layer.layer(whoami()), request(Some(&alice)))).await;
        assert_eq!(answer.header("ratelimit"), r#""address";r=2;t=60, "role";r=1;t=60"#);
    }
}

#[tokio::test]
async fn limits_in_the_wrong_place_let_nobody_go_uncounted() {
    let (test, wire, alice) = known().await;
    let (goat, minute) = (&test.goat, Quota::per_minute(9));
    let by_key = goat.limit(minute).by_key(|_| Some("all".into()));
    let swapped =
        goat.authenticate().limited(goat.limit(minute).by_user(), goat.limit(minute).by_address());
    let nowhere = goat.authenticate().limited(by_key, goat.limit(minute).by_address());
    for (layer, advice) in [(swapped, "authenticate()"), (nowhere, "PeerAddress")] {
        let mut request = request(Some(&alice));
        request.extensions_mut().remove::<ClientAddress>();
        let (answer, _) = wire.drive(send(&layer.layer(whoami()), request)).await;
        assert_eq!(answer.outcome(), (500, "internal"));
        let reason = answer.response.extensions().get::<Denial>().unwrap();
        assert!(reason.error().unwrap().to_string().contains(advice), "{reason:?}");
    }
}

#[tokio::test]
async fn a_grpc_caller_is_denied_in_trailers_whoever_denies() {
    let (test, wire, alice) = known().await;
    let service = admission(&test).layer(whoami());
    let grpc = |user| in_grpc(request(user), "application/grpc");
    for (user, status) in
        [(None, "16"), (Some(&alice), ""), (Some(&alice), ""), (Some(&alice), "8"), (None, "8")]
    {
        let (answer, _) = wire.drive(send(&service, grpc(user))).await;
        assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, status));
    }
}
