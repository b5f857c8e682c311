//! `authenticate().limited(…)`: two limits and authentication as one layer, with concurrent store
//! calls.

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

use crate::support::{Probe, REPORTS, TestResponse, in_grpc, request, send, whoami};
use remote_stores::{ADDRESS, LimitLocation, RemoteStores, USER, poll, poll_until_idle};

const NONE: Option<LimitLayer> = None;

fn with_limits(test: &TestGoat) -> AuthenticateWithLimitsLayer {
    let goat = &test.goat;
    let by_user = goat.limit(USER).by_user();
    goat.authenticate().limited(goat.limit(ADDRESS).by_address(), by_user)
}

/// A cached user; all stores are remote.
async fn cached() -> (TestGoat, RemoteStores, TestUser) {
    let (stores, remote) = RemoteStores::over(LimitLocation::Remote);
    let test = TestGoat::build(stores, |builder| builder);
    let alice = test.sign_in("alice", [REPORTS]).await;
    test.goat.authenticate_token(alice.access_token()).await.unwrap();
    remote.pause();
    (test, remote, alice)
}

/// A user with an expired cache entry.
async fn uncached() -> (TestGoat, RemoteStores, TestUser) {
    let (test, remote, alice) = cached().await;
    test.clock.advance(Duration::from_secs(10));
    (test, remote, alice)
}

#[track_caller]
fn ready(poll: Poll<TestResponse>) -> TestResponse {
    let Poll::Ready(response) = poll else { panic!("still pending") };
    response
}

#[tokio::test]
async fn the_second_limits_rejection_waits_for_the_first() {
    for (rejected, limit) in [(false, "user"), (true, "address")] {
        let (test, remote, alice) = cached().await;
        let service = with_limits(&test).layer(whoami());
        for _ in 0..USER.limit() {
            let (response, _) = remote.drive(send(&service, request(Some(&alice)))).await;
            assert_eq!(response.outcome(), (200, ""));
        }
        if rejected {
            let (response, _) = remote.drive(send(&service, request(None))).await;
            assert_eq!(response.outcome(), (401, "unauthenticated"));
        }
        let mut future = pin!(send(&service, request(Some(&alice))));
        assert!(poll(future.as_mut()).is_pending());
        remote.release_one("user");
        assert!(poll(future.as_mut()).is_pending(), "the address limit is still pending");
        remote.release_one("address");
        let response = ready(poll(future));
        assert_eq!(response.outcome(), (429, "rate-limited"));
        assert!(
            response.header("ratelimit").contains(&format!(r#""{limit}";r=0"#)),
            "{response:?}"
        );
    }
}

#[tokio::test]
async fn a_rejection_or_failure_of_the_first_limit_does_not_wait_for_the_rest() {
    for (known_before, also) in [(true, "user"), (false, "session")] {
        for (fails, outcome) in [(false, (429, "rate-limited")), (true, (503, "unavailable"))] {
            let (test, remote, alice) =
                if known_before { cached().await } else { uncached().await };
            let service = with_limits(&test).layer(whoami());
            for _ in 0..ADDRESS.limit() {
                assert_eq!(remote.drive(send(&service, request(None))).await.0.status, 401);
            }
            if fails {
                remote.fail("address");
            }
            let mut future = pin!(send(&service, request(Some(&alice))));
            assert!(poll_until_idle(future.as_mut()).await.is_pending());
            remote.release_one("address");
            let response = ready(poll_until_idle(future).await);
            assert_eq!(response.outcome(), outcome);
            assert_eq!(remote.release(), [also], "in flight, but not awaited");
        }
    }
}

/// As documented: only the user's own limit may be charged.
#[tokio::test]
async fn a_users_limit_may_be_charged_when_the_address_is_limited() {
    let (test, remote, alice) = cached().await;
    let service = with_limits(&test).layer(whoami());
    for _ in 0..ADDRESS.limit() {
        assert_eq!(remote.drive(send(&service, request(None))).await.0.status, 401);
    }
    let (response, _) = remote.drive(send(&service, request(Some(&alice)))).await;
    assert_eq!(response.outcome(), (429, "rate-limited"));
    let mut other_address = request(Some(&alice));
    other_address.extensions_mut().insert(ClientAddress::new([192, 0, 2, 8].into()));
    let (response, _) = remote.drive(send(&service, other_address)).await;
    assert_eq!(response.header("ratelimit"), r#""address";r=2;t=60, "user";r=0;t=60"#);
}

/// Dropped at each waiting point: the inner service is not called, nothing stays reserved, and each
/// limit is charged once or not at all.
#[tokio::test]
async fn a_dropped_request_charges_each_limit_once_or_not_at_all() {
    for (is_known, waits) in [(true, 1), (false, 2)] {
        for dropped_at in 0..waits {
            let (test, remote, alice) = if is_known { cached().await } else { uncached().await };
            let probe = Probe::default();
            let seen = Arc::clone(&probe.seen);
            let service = with_limits(&test).layer(probe);
            let mut future = Box::pin(service.clone().oneshot(request(Some(&alice))));
            for _ in 0..dropped_at {
                assert!(poll_until_idle(future.as_mut()).await.is_pending());
                remote.release();
            }
            assert!(poll_until_idle(future.as_mut()).await.is_pending());
            assert_eq!(seen.reserved(), 1, "a waiting call holds its reservation");
            drop(future);
            assert_eq!((seen.calls(), seen.reserved()), (0, 0));
            let calls = remote.calls();

            remote.release();
            let (response, _) = remote.drive(service.oneshot(request(Some(&alice)))).await;
            let spent = |limit| calls.iter().filter(|call| **call == limit).count();
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
async fn either_limit_is_optional() {
    let cases = |test: &TestGoat| {
        let goat = &test.goat;
        let (address, user) = (goat.limit(ADDRESS).by_address(), goat.limit(USER).by_user());
        let authenticate = goat.authenticate();
        [
            (authenticate.clone().limited(NONE, NONE), ""),
            (authenticate.clone().limited(address.clone(), NONE), r#""address";r=2;t=60"#),
            (authenticate.clone().limited(NONE, user.clone()), r#""user";r=1;t=60"#),
            (authenticate.limited(address, user), r#""address";r=2;t=60, "user";r=1;t=60"#),
        ]
    };
    // The minimal number of store calls, with and without the session in the cache.
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
            let (test, remote, alice) = if is_known { cached().await } else { uncached().await };
            let (layer, limits) = cases(&test)[number].clone();
            let (response, waited) =
                remote.drive(send(&layer.layer(whoami()), request(Some(&alice)))).await;
            assert_eq!((response.outcome(), response.header("ratelimit")), ((200, ""), limits));
            assert_eq!(response.header("cache-control"), "no-store");
            assert_eq!(waited, trips);
        }
    }
}

/// On an executor that polls only woken tasks, with stores that respond at different times.
#[tokio::test(start_paused = true)]
async fn the_last_response_wakes_the_request() {
    let limits = Arc::new(DeferredLimits::new(MemoryLimits::default()));
    let test = TestGoat::build(Stores { limits, ..Stores::memory() }, |builder| builder);
    let alice = test.sign_in("alice", []).await;
    let service = with_limits(&test).layer(whoami());
    // The session from the store, then from the cache.
    for left in [r#""address";r=2;t=60, "user";r=1;t=60"#, r#""address";r=1;t=60, "user";r=0;t=60"#]
    {
        let sent = send(&service, request(Some(&alice)));
        let response = tokio::time::timeout(Duration::from_secs(30), sent).await;
        assert_eq!(response.expect("a response after the wake-up").header("ratelimit"), left);
    }
}

/// Without a store call, no instance is cloned and no future is polled.
#[tokio::test]
async fn cached_requests_reach_the_inner_service_synchronously() {
    let (stores, remote) = RemoteStores::over(LimitLocation::Memory);
    let test = TestGoat::build(stores, |builder| builder);
    let alice = test.sign_in("alice", []).await;
    test.goat.authenticate_token(alice.access_token()).await.unwrap();
    remote.pause();
    let mut service = with_limits(&test).layer(whoami());
    for (user, stage) in [
        (Some(&alice), "inner"),
        (None, "denied"),
        (Some(&alice), "inner"),
        (Some(&alice), "denied"),
    ] {
        let future = service.ready().await.unwrap().call(request(user));
        assert_eq!(format!("{future:?}"), format!("GuardFuture({stage})"));
    }
    assert_eq!(remote.calls(), ["address", "user", "address", "address", "user", "address"]);
}

/// A fresh requirement uses no earlier result.
#[tokio::test]
async fn a_fresh_requirement_costs_its_own_round_trip() {
    let (test, remote, alice) = cached().await;
    let service = with_limits(&test).layer(test.goat.require(REPORTS).fresh().layer(whoami()));
    let (response, trips) = remote.drive(send(&service, request(Some(&alice)))).await;
    assert_eq!(response.outcome(), (200, ""));
    assert_eq!(trips, [vec!["address", "user"], vec!["session"]]);
}

/// The second limit's key function sees the principal, also one read from the store.
#[tokio::test]
async fn the_second_limit_can_count_by_the_principal() {
    for is_known in [true, false] {
        let (test, remote, alice) = if is_known { cached().await } else { uncached().await };
        let by_role = test.goat.limit(USER).named("role").by_custom_key(|request: &Parts| {
            Some(request.extensions.get::<Principal>()?.role().to_string().into())
        });
        let layer = test.goat.authenticate().limited(test.goat.limit(ADDRESS), by_role);
        let (response, _) = remote.drive(send(&layer.layer(whoami()), request(Some(&alice)))).await;
        assert_eq!(response.header("ratelimit"), r#""address";r=2;t=60, "role";r=1;t=60"#);
    }
}

#[tokio::test]
async fn misplaced_limits_are_errors_not_bypasses() {
    let (test, remote, alice) = cached().await;
    let (goat, minute) = (&test.goat, Quota::per_minute(9));
    let by_custom = goat.limit(minute).by_custom_key(|_| Some("all".into()));
    let swapped =
        goat.authenticate().limited(goat.limit(minute).by_user(), goat.limit(minute).by_address());
    let nowhere = goat.authenticate().limited(by_custom, goat.limit(minute).by_address());
    for (layer, advice) in [(swapped, "authenticate()"), (nowhere, "PeerAddress")] {
        let mut request = request(Some(&alice));
        request.extensions_mut().remove::<ClientAddress>();
        let (response, _) = remote.drive(send(&layer.layer(whoami()), request)).await;
        assert_eq!(response.outcome(), (500, "internal"));
        let reason = response.head.extensions().get::<Denial>().unwrap();
        assert!(reason.error().unwrap().to_string().contains(advice), "{reason:?}");
    }
}

#[tokio::test]
async fn grpc_denials_of_all_parts_are_trailers_only() {
    let (test, remote, alice) = cached().await;
    let service = with_limits(&test).layer(whoami());
    let grpc = |user| in_grpc(request(user), "application/grpc");
    for (user, status) in
        [(None, "16"), (Some(&alice), ""), (Some(&alice), ""), (Some(&alice), "8"), (None, "8")]
    {
        let (response, _) = remote.drive(send(&service, grpc(user))).await;
        assert_eq!((response.status.as_u16(), response.header("grpc-status")), (200, status));
    }
}
