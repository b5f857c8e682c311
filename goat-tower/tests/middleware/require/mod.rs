//! The require layer.

mod proofs;
mod requirement;

use std::sync::{Arc, Mutex};

use goat_core::access::permissions::USER_READ;
use goat_core::testing::TestGoat;
use goat_core::{Actor, Permission, Principal};
use goat_tower::{Denial, FreshPrincipal, GoatExt, Requirement};
use http::{Request, Response};
use tower::{Layer, ServiceBuilder, service_fn};

use crate::support::stores::{StoreState, switched};
use crate::support::{EXPORTS, REPORTS, Sent, request, send, whoami};

#[tokio::test]
async fn anonymous_requests_are_401_and_forbidden_ones_name_the_missing_permission() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let bob = test.sign_in("bob", [EXPORTS]).await;
    let service = ServiceBuilder::new()
        .layer(test.goat.authenticate().optional())
        .layer(test.goat.require(REPORTS))
        .service(whoami());
    assert_eq!(send(&service, request(Some(&alice))).await.outcome(), (200, ""));
    assert_eq!(send(&service, request(None)).await.outcome(), (401, "unauthenticated"));
    let response = send(&service, request(Some(&bob))).await;
    assert_eq!(response.outcome(), (403, "forbidden"));
    assert_eq!(
        response.header("www-authenticate"),
        r#"Bearer realm="goat", error="insufficient_scope", scope="report:read""#
    );
}

#[tokio::test]
async fn all_any_and_wildcards_are_evaluated() {
    let test = TestGoat::new();
    let both = test.sign_in("both", [REPORTS, EXPORTS]).await;
    let one = test.sign_in("one", [EXPORTS]).await;
    let all = test.sign_in("all", [Permission::new("report:*")]).await;
    let root = test.sign_in("root", [Permission::FULL_ACCESS]).await;
    let none = test.sign_in("none", []).await;
    let cases = [
        (Requirement::from(&REPORTS), [true, false, true, true, false]),
        (Requirement::from([REPORTS, EXPORTS]), [true, false, true, true, false]),
        (Requirement::any([REPORTS, EXPORTS]), [true, true, true, true, false]),
        (Requirement::signed_in(), [true; 5]),
        (Requirement::any::<Permission>([]), [false; 5]),
    ];
    for (requirement, allowed) in cases {
        let service = test.goat.require(requirement.clone()).layer(whoami());
        for (user, allowed) in [&both, &one, &all, &root, &none].into_iter().zip(allowed) {
            let response = send(&service, request(Some(user))).await;
            let expected = if allowed { 200 } else { 403 };
            assert_eq!(response.status.as_u16(), expected, "{requirement:?} {}", user.user.role);
        }
    }
    let service = test.goat.require([REPORTS, EXPORTS]).layer(whoami());
    let response = send(&service, request(Some(&one))).await;
    assert!(response.header("www-authenticate").ends_with(r#"scope="report:read report:export""#));
}

#[tokio::test]
async fn without_an_authenticate_layer_it_authenticates_by_itself() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let bob = test.sign_in("bob", []).await;
    let service = test.goat.require(REPORTS).layer(whoami());
    for _ in 0..2 {
        let response = send(&service, request(Some(&alice))).await;
        assert_eq!(response.outcome(), (200, ""));
        assert_eq!(response.header("x-user"), alice.user.id.to_string());
        assert_eq!(response.header("cache-control"), "no-store");
        assert_eq!(send(&service, request(Some(&bob))).await.outcome(), (403, "forbidden"));
    }
    assert_eq!(send(&service, request(None)).await.outcome(), (401, "unauthenticated"));
}

/// O1
#[tokio::test]
async fn an_unavailable_store_is_a_503() {
    let (stores, switch) = switched();
    let test = TestGoat::build(stores, |builder| builder);
    let alice = test.sign_in("alice", [REPORTS]).await;
    switch.set(StoreState::Down);
    for layer in [test.goat.require(REPORTS), test.goat.require(EXPORTS).fresh()] {
        let response = send(&layer.layer(whoami()), request(Some(&alice))).await;
        assert_eq!(response.outcome(), (503, "unavailable"));
    }
}

#[tokio::test]
async fn a_fresh_requirement_bypasses_the_cache() {
    let (stores, switch) = switched();
    let test = TestGoat::build(stores, |builder| builder);
    let alice = test.sign_in("alice", [REPORTS]).await;
    let bob = test.sign_in("bob", []).await;
    let remembered = test.goat.require(REPORTS).layer(whoami());
    let fresh = test.goat.require(REPORTS).fresh().layer(whoami());
    for service in [&remembered, &remembered] {
        assert_eq!(send(service, request(Some(&alice))).await.outcome(), (200, ""));
        assert_eq!(send(service, request(Some(&bob))).await.outcome(), (403, "forbidden"));
    }
    switch.set(StoreState::Down);
    assert_eq!(send(&remembered, request(Some(&alice))).await.outcome(), (200, ""));
    assert_eq!(send(&fresh, request(Some(&alice))).await.outcome(), (503, "unavailable"));
    // A session that the cache rejects needs no store call.
    assert_eq!(send(&fresh, request(Some(&bob))).await.outcome(), (403, "forbidden"));
}

/// A2: changes of another node that this node's cache does not have yet.
#[tokio::test]
async fn a_fresh_requirement_uses_the_stores_current_state() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let stale = test.goat.authenticate_token(alice.access_token()).await.unwrap();
    let fresh = test.goat.require(REPORTS).fresh().layer(whoami());
    let from_the_cache = || {
        let mut request = request(None);
        request.extensions_mut().insert::<Principal>(stale.clone());
        request
    };
    assert_eq!(send(&fresh, from_the_cache()).await.outcome(), (200, ""));
    test.sign_in("alice", [EXPORTS]).await;
    assert_eq!(send(&fresh, from_the_cache()).await.outcome(), (403, "forbidden"));
    test.goat.logout(&stale, &Default::default()).await.unwrap();
    assert_eq!(send(&fresh, from_the_cache()).await.outcome(), (401, "session-revoked"));
}

#[tokio::test]
async fn a_fresh_principal_can_be_taken_once_and_becomes_an_actor() {
    let test = TestGoat::new();
    let root = test.sign_in("root", [Permission::FULL_ACCESS]).await;
    let taken = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&taken);
    let handler = service_fn(move |request: Request<Sent>| {
        let copy = request.extensions().clone();
        *slot.lock().unwrap() = FreshPrincipal::take(request.extensions());
        assert!(FreshPrincipal::take(&copy).is_none(), "copies share the proof");
        std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(Sent::default())))
    });
    let service = test.goat.require(USER_READ).fresh().layer(handler);
    assert_eq!(send(&service, request(Some(&root))).await.outcome(), (200, ""));
    let fresh = taken.lock().unwrap().take().unwrap();
    assert_eq!(fresh.user(), root.user.id);
    let granted = test.goat.roles().grant(Actor::from(fresh), "client", REPORTS).await;
    assert_eq!(granted.unwrap().permission, REPORTS);

    let cached = test.goat.require(USER_READ).layer(service_fn(|request: Request<Sent>| {
        assert!(FreshPrincipal::take(request.extensions()).is_none(), "not requested");
        std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(Sent::default())))
    }));
    assert_eq!(send(&cached, request(Some(&root))).await.outcome(), (200, ""));
}

/// A principal of another goat may have any role and permission there.
#[tokio::test]
async fn another_goats_principal_is_rejected() {
    let (here, there) = (TestGoat::new(), TestGoat::new());
    let eve = there.sign_in("eve", [Permission::FULL_ACCESS]).await;
    let require = [here.goat.require(REPORTS), here.goat.require(REPORTS).fresh()];
    for require in require {
        for service in [
            there.goat.authenticate().layer(require.clone().layer(whoami())),
            there.goat.authenticate().optional().layer(require.clone().layer(whoami())),
        ] {
            let response = send(&service, request(Some(&eve))).await;
            assert_eq!(response.outcome(), (500, "internal"));
            let denial = response.head.extensions().get::<Denial>().unwrap();
            let advice = denial.error().unwrap().to_string();
            assert!(advice.contains("another goat's authenticate()"), "{advice}");
        }
        // A requirement authenticates by itself, and another goat's result is equally rejected.
        let both = there.goat.require(REPORTS).layer(require.layer(whoami()));
        assert_eq!(send(&both, request(Some(&eve))).await.outcome(), (500, "internal"));
    }
    // A clone is the same goat.
    let alice = here.sign_in("alice", [REPORTS]).await;
    let service =
        here.goat.clone().authenticate().layer(here.goat.require(REPORTS).layer(whoami()));
    assert_eq!(send(&service, request(Some(&alice))).await.outcome(), (200, ""));
}
