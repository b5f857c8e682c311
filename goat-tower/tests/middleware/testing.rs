//! The module `testing`: assertions for applications, and their failure messages.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Once;
use std::time::Duration;

use bytes::Bytes;
use goat_core::testing::TestGoat;
use goat_core::{ErrorKind, Permission, Quota};
use goat_tower::address::{ClientAddress, PeerAddress};
use goat_tower::testing::{RequestBuilderExt, assert_allowed, assert_denied};
use goat_tower::{Denial, GoatExt, Problem};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use tower::{Layer, ServiceBuilder};

use crate::support::stores::{StoreState, switched};
use crate::support::{EXPORTS, REPORTS, Sent, in_grpc, request, send, whoami, with_header};

thread_local! {
    /// Location of the last expected panic on this thread.
    static PLACE: RefCell<Option<(String, u32)>> = const { RefCell::new(None) };
}

/// Returns the message of a failing assertion, which must be attributed to the caller's line.
#[track_caller]
fn failure<T>(assertion: impl FnOnce() -> T) -> String {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let expected = PLACE.with_borrow_mut(|place| match (place, panic.location()) {
                (Some(place), Some(found)) => {
                    *place = (found.file().to_owned(), found.line());
                    true
                }
                _ => false,
            });
            if !expected {
                usual(panic);
            }
        }));
    });
    PLACE.set(Some(Default::default()));
    let outcome = catch_unwind(AssertUnwindSafe(assertion));
    let (file, line) = PLACE.take().unwrap();
    let Err(payload) = outcome else { panic!("expected a failure") };
    let here = Location::caller();
    assert_eq!((file.as_str(), line), (here.file(), here.line()), "the caller's line");
    *payload.downcast::<String>().unwrap()
}

/// Returns the layers' denials, each with its code.
async fn denials(content_type: &'static str) -> Vec<(&'static str, Response<()>)> {
    let (stores, switch) = switched();
    let test = TestGoat::build(stores, |builder| builder);
    let service = ServiceBuilder::new()
        .layer(test.goat.authenticate())
        .layer(test.goat.limit(Quota::per_minute(1)).by_user())
        .layer(test.goat.require(REPORTS))
        .service(whoami());
    let denial_for = |request: Request<Sent>| {
        let request = in_grpc(request, content_type);
        let service = service.clone();
        async move { send(&service, request).await.head }
    };
    let mut repeated = with_header("authorization", "Bearer a.b.c");
    repeated.headers_mut().append("authorization", HeaderValue::from_static("Bearer a.b.c"));
    let bob = test.sign_in("bob", [EXPORTS]).await;
    let carol = test.sign_in("carol", [REPORTS]).await;
    let mut denials = vec![
        ("unauthenticated", denial_for(request(None)).await),
        ("invalid-token", denial_for(with_header("authorization", "Bearer nonsense")).await),
        ("bad-request", denial_for(repeated).await),
        ("forbidden", denial_for(request(Some(&bob))).await),
        ("rate-limited", denial_for(request(Some(&bob))).await),
    ];
    let principal = test.goat.authenticate_token(carol.access_token()).await.unwrap();
    test.goat.logout(&principal, &Default::default()).await.unwrap();
    denials.push(("session-revoked", denial_for(request(Some(&carol))).await));
    test.clock.advance(Duration::from_secs(10));
    switch.set(StoreState::Down);
    denials.push(("unavailable", denial_for(request(Some(&bob))).await));
    test.clock.advance(Duration::from_secs(3600));
    denials.push(("token-expired", denial_for(request(Some(&bob))).await));
    denials
}

#[tokio::test]
async fn each_denial_matches_its_own_code_only() {
    for content_type in ["text/plain", "application/grpc"] {
        let denials = denials(content_type).await;
        for (code, response) in &denials {
            assert_denied(response, *code);
            let message = failure(|| assert_allowed(response));
            assert!(message.starts_with("expected to be allowed\n  got "), "{message}");
            assert!(message.contains(&format!(" {code}: ")), "{message}");
            for (other, _) in denials.iter().filter(|(other, _)| other != code) {
                let message = failure(|| assert_denied(response, *other));
                assert!(
                    message.starts_with(&format!("expected to be denied as {other}\n")),
                    "{message}"
                );
            }
        }
    }
}

/// Responses received over a network have only a status and headers.
#[tokio::test]
async fn without_extensions_the_headers_are_used() {
    for content_type in ["text/plain", "application/grpc"] {
        for (code, mut response) in denials(content_type).await {
            response.extensions_mut().clear();
            if code == "bad-request" {
                let message = failure(|| assert_denied(&response, code));
                assert!(message.contains("not rejected by goat"), "{message}");
                continue;
            }
            assert_denied(&response, code);
            let message = failure(|| assert_allowed(&response));
            assert!(message.contains(code) && message.contains("source: the headers"), "{message}");
            for other in [ErrorKind::Outranked, ErrorKind::InvalidCredentials] {
                failure(|| assert_denied(&response, other));
            }
        }
    }
    // A 403 of another server names no permissions.
    for headers in [vec![], vec![("content-type", "application/problem+json")]] {
        let mut bare = Response::builder().status(StatusCode::FORBIDDEN);
        for (name, value) in headers {
            bare = bare.header(name, value);
        }
        let bare = bare.body(()).unwrap();
        let message = failure(|| assert_denied(&bare, "forbidden"));
        assert!(message.contains("403, for an unknown reason"), "{message}");
        assert!(
            message.contains("either goat did not reject the request, or the extensions were lost"),
            "{message}"
        );
        failure(|| assert_allowed(&bare));
    }
}

#[tokio::test]
async fn a_failure_shows_the_expected_and_the_actual_outcome() {
    let denials = denials("text/plain").await;
    let of = |code| &denials.iter().find(|(known, _)| *known == code).unwrap().1;
    assert_eq!(
        failure(|| assert_denied(of("unauthenticated"), "forbidden")),
        "expected to be denied as forbidden\n  \
         got 401 unauthenticated: Authentication is required. Sign in and send the access token.\n  \
         challenge: Bearer realm=\"goat\""
    );
    let message = failure(|| assert_denied(of("forbidden"), "unauthenticated"));
    let expected = "expected to be denied as unauthenticated\n  \
         got 403 forbidden: Your role, or your API key, does not have the required permission. Ask an administrator.\n  \
         challenge: Bearer realm=\"goat\", error=\"insufficient_scope\", scope=\"report:read\"";
    assert!(message.starts_with(expected), "{message}");
    assert_eq!(
        failure(|| assert_allowed(of("rate-limited"))),
        "expected to be allowed\n  \
         got 429 rate-limited: Too many requests. Try again after the time in `Retry-After`.\n  \
         retry after: 60 s"
    );
    let message = failure(|| assert_allowed(of("unavailable")));
    assert!(message.contains("\n  for the log: unavailable: "), "{message}");
    assert_eq!(
        failure(|| assert_denied(&Response::new(()), ErrorKind::Forbidden)),
        "expected to be denied as forbidden\n  got 200, not rejected by goat"
    );
}

#[tokio::test]
async fn a_denial_has_missing_permissions_and_retry_after() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let service = test.goat.require([REPORTS, EXPORTS]).layer(whoami());
    for grpc in [false, true] {
        let request = match grpc {
            true => in_grpc(request(Some(&alice)), "application/grpc"),
            false => request(Some(&alice)),
        };
        let response = send(&service, request).await.head;
        let denied = assert_denied(&response, ErrorKind::Forbidden);
        let denied = denied.lacking(REPORTS).lacking("report:export report:read");
        for other in ["report", "report:read,", "report:read user:read", "", " "] {
            let message = failure(|| denied.clone().lacking(other));
            assert!(message.starts_with(&format!("expected to lack {other}\n  got ")), "{message}");
        }
        let message = failure(|| denied.retry_after());
        assert!(message.starts_with("expected a Retry-After header\n  got "), "{message}");
    }
    for (code, response) in denials("text/plain").await {
        if code == "rate-limited" {
            assert_eq!(assert_denied(&response, code).retry_after(), Duration::from_secs(60));
        }
    }
}

#[tokio::test]
async fn a_custom_rendering_is_still_a_denial() {
    fn to_sign_in(_: &Denial, _: &Parts) -> Response<Bytes> {
        let response = Response::builder().status(StatusCode::SEE_OTHER);
        response.header("location", "/sign-in").body(Bytes::new()).unwrap()
    }
    let test = TestGoat::new();
    let service = test.goat.authenticate().render_with(to_sign_in).layer(whoami());
    let response = send(&service, request(None)).await.head;
    assert_eq!(response.status(), 303);
    assert_denied(&response, "unauthenticated");
    let message = failure(|| assert_allowed(&response));
    assert!(message.contains("got 303 unauthenticated: "), "{message}");
}

#[test]
fn a_handlers_response_is_allowed_unless_it_rejects() {
    for kind in [ErrorKind::NotFound, ErrorKind::Invalid, ErrorKind::EmailTaken] {
        let response = Problem::from(kind).into_response();
        assert_allowed(&response);
        let message = failure(|| assert_denied(&response, kind));
        assert!(message.contains("no layer rejected the request"), "{message}");
    }
    for status in [200, 204, 302, 404, 422, 500] {
        assert_allowed(&Response::builder().status(status).body(()).unwrap());
    }
    for kind in [ErrorKind::InvalidCredentials, ErrorKind::Outranked, ErrorKind::RateLimited] {
        let response = Problem::from(kind).into_response();
        assert_denied(&response, kind);
        failure(|| assert_allowed(&response));
    }
}

#[tokio::test]
async fn a_missing_layer_fails_a_test_with_the_fix() {
    let test = TestGoat::new();
    let service = test.goat.limit(Quota::per_minute(1)).by_user().layer(whoami());
    let response = send(&service, request(None)).await.head;
    for message in [
        failure(|| assert_allowed(&response)),
        failure(|| assert_denied(&response, "unauthenticated")),
    ] {
        assert!(
            message.contains("for the log: configuration: a limit counts by user"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_request_has_one_user_and_one_address() {
    let test = TestGoat::new();
    let (alice, bob) = (test.sign_in("alice", []).await, test.sign_in("bob", []).await);
    let request = Request::get("/").signed_in(&alice).signed_in(&bob);
    let request = request.coming_from("192.0.2.7").coming_from("[2001:db8::1]:4711");
    let request = request.body(()).unwrap();
    let values: Vec<_> = request.headers().get_all("authorization").iter().collect();
    assert_eq!(values, [bob.bearer().as_str()]);
    let shown = format!("{request:?}");
    assert!(!shown.contains(bob.access_token()), "a printed request contains no token");
    let peer = PeerAddress::of(request.extensions()).unwrap();
    assert_eq!(peer.0.to_string(), "[2001:db8::1]:4711");

    for (text, client) in [("192.0.2.7", "192.0.2.7"), ("::1", "::1"), ("10.0.0.1:80", "10.0.0.1")]
    {
        let request = Request::get("/").coming_from(text).body(()).unwrap();
        assert_eq!(ClientAddress::of(request.extensions()).unwrap().to_string(), client);
    }
    let message = failure(|| Request::get("/").coming_from("localhost"));
    assert_eq!(message, r#""localhost" is not an IP address, with or without a port"#);
    assert!(Request::get("not a path").signed_in(&alice).coming_from("::1").body(()).is_err());
}

/// The feature does not weaken the layers.
#[tokio::test]
async fn test_users_are_authorized_like_other_users() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let service = test.goat.require(REPORTS).layer(whoami());
    assert_allowed(&send(&service, request(Some(&alice))).await.head);
    // On another goat, the same user, role and permissions are worthless without a session there.
    let other = TestGoat::new();
    other.sign_in("alice", [REPORTS]).await;
    let on_other_goat = other.goat.require(REPORTS).layer(whoami());
    assert_denied(&send(&on_other_goat, request(Some(&alice))).await.head, "invalid-token");
    let grants = test.goat.roles().grants_of(alice.user.role.as_str()).await.unwrap();
    let actor = goat_core::Actor::system("a test");
    test.goat.roles().revoke(actor, grants[0].id).await.unwrap();
    let denied = send(&service, request(Some(&alice))).await.head;
    assert_denied(&denied, "forbidden").lacking(Permission::new("report:read"));
}
