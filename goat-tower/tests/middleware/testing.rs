//! What goat-tower gives to the tests of applications, and what they read where a test fails.

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

use crate::support::stores::{Mood, switched};
use crate::support::{EXPORTS, REPORTS, Sent, in_grpc, request, send, whoami, with_header};

thread_local! {
    /// Where the last panic of this thread was, which the test expects.
    static PLACE: RefCell<Option<(String, u32)>> = const { RefCell::new(None) };
}

/// What an assertion says that fails in the line of the caller.
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
    let Err(payload) = outcome else { panic!("it should fail") };
    let here = Location::caller();
    assert_eq!((file.as_str(), line), (here.file(), here.line()), "it shows another line");
    *payload.downcast::<String>().unwrap()
}

/// What layers answer, each with the code that it has.
async fn denials(content_type: &'static str) -> Vec<(&'static str, Response<()>)> {
    let (stores, switch) = switched();
    let test = TestGoat::build(stores, |builder| builder);
    let service = ServiceBuilder::new()
        .layer(test.goat.authenticate())
        .layer(test.goat.limit(Quota::per_minute(1)).by_user())
        .layer(test.goat.require(REPORTS))
        .service(whoami());
    let asked = |request: Request<Sent>| {
        let request = in_grpc(request, content_type);
        let service = service.clone();
        async move { send(&service, request).await.response }
    };
    let mut repeated = with_header("authorization", "Bearer a.b.c");
    repeated.headers_mut().append("authorization", HeaderValue::from_static("Bearer a.b.c"));
    let bob = test.sign_in("bob", [EXPORTS]).await;
    let carol = test.sign_in("carol", [REPORTS]).await;
    let mut denials = vec![
        ("unauthenticated", asked(request(None)).await),
        ("invalid-token", asked(with_header("authorization", "Bearer nonsense")).await),
        ("bad-request", asked(repeated).await),
        ("forbidden", asked(request(Some(&bob))).await),
        ("rate-limited", asked(request(Some(&bob))).await),
    ];
    let principal = test.goat.authenticate_token(carol.access_token()).await.unwrap();
    test.goat.logout(&principal, &Default::default()).await.unwrap();
    denials.push(("session-revoked", asked(request(Some(&carol))).await));
    test.clock.advance(Duration::from_secs(10));
    switch.set(Mood::Down);
    denials.push(("unavailable", asked(request(Some(&bob))).await));
    test.clock.advance(Duration::from_secs(3600));
    denials.push(("token-expired", asked(request(Some(&bob))).await));
    denials
}

#[tokio::test]
async fn each_denial_of_the_layers_is_told_by_its_code_and_by_no_other() {
    for content_type in ["text/plain", "application/grpc"] {
        let denials = denials(content_type).await;
        for (code, response) in &denials {
            assert_denied(response, *code);
            let said = failure(|| assert_allowed(response));
            assert!(said.starts_with("expected to be allowed\n  got "), "{said}");
            assert!(said.contains(&format!(" {code}: ")), "{said}");
            for (other, _) in denials.iter().filter(|(other, _)| other != code) {
                let said = failure(|| assert_denied(response, *other));
                assert!(said.starts_with(&format!("expected to be denied as {other}\n")), "{said}");
            }
        }
    }
}

/// What came over a network has its status and headers only.
#[tokio::test]
async fn where_the_extensions_were_lost_the_headers_tell_and_what_they_do_not_tell_fails() {
    for content_type in ["text/plain", "application/grpc"] {
        for (code, mut response) in denials(content_type).await {
            response.extensions_mut().clear();
            if code == "bad-request" {
                let said = failure(|| assert_denied(&response, code));
                assert!(said.contains("not rejected by goat"), "{said}");
                continue;
            }
            assert_denied(&response, code);
            let said = failure(|| assert_allowed(&response));
            assert!(said.contains(code) && said.contains("source: the headers"), "{said}");
            for other in [ErrorKind::Outranked, ErrorKind::InvalidCredentials] {
                failure(|| assert_denied(&response, other));
            }
        }
    }
    // Somebody else's 403 says nothing of permissions.
    for headers in [vec![], vec![("content-type", "application/problem+json")]] {
        let mut bare = Response::builder().status(StatusCode::FORBIDDEN);
        for (name, value) in headers {
            bare = bare.header(name, value);
        }
        let bare = bare.body(()).unwrap();
        let said = failure(|| assert_denied(&bare, "forbidden"));
        assert!(said.contains("403, for an unknown reason"), "{said}");
        assert!(
            said.contains("either goat did not reject the request, or the extensions were lost"),
            "{said}"
        );
        failure(|| assert_allowed(&bare));
    }
}

#[tokio::test]
async fn a_failed_test_reads_what_was_expected_and_all_that_came() {
    let denials = denials("text/plain").await;
    let of = |code| &denials.iter().find(|(known, _)| *known == code).unwrap().1;
    assert_eq!(
        failure(|| assert_denied(of("unauthenticated"), "forbidden")),
        "expected to be denied as forbidden\n  \
         got 401 unauthenticated: Authentication is required. Sign in and send the access token.\n  \
         challenge: Bearer realm=\"goat\""
    );
    let said = failure(|| assert_denied(of("forbidden"), "unauthenticated"));
    let expected = "expected to be denied as unauthenticated\n  \
         got 403 forbidden: Your role does not have the required permission. Ask an administrator.\n  \
         challenge: Bearer realm=\"goat\", error=\"insufficient_scope\", scope=\"report:read\"";
    assert!(said.starts_with(expected), "{said}");
    assert_eq!(
        failure(|| assert_allowed(of("rate-limited"))),
        "expected to be allowed\n  \
         got 429 rate-limited: Too many requests. Try again after the time in `Retry-After`.\n  \
         retry after: 60 s"
    );
    let said = failure(|| assert_allowed(of("unavailable")));
    assert!(said.contains("\n  for the log: unavailable: "), "{said}");
    assert_eq!(
        failure(|| assert_denied(&Response::new(()), ErrorKind::Forbidden)),
        "expected to be denied as forbidden\n  got 200, not rejected by goat"
    );
}

#[tokio::test]
async fn a_denial_names_what_is_missing_and_how_long_to_wait() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let service = test.goat.require([REPORTS, EXPORTS]).layer(whoami());
    for grpc in [false, true] {
        let request = match grpc {
            true => in_grpc(request(Some(&alice)), "application/grpc"),
            false => request(Some(&alice)),
        };
        let response = send(&service, request).await.response;
        let refused = assert_denied(&response, ErrorKind::Forbidden);
        let refused = refused.lacking(REPORTS).lacking("report:export report:read");
        for other in ["report", "report:read,", "report:read user:read", "", " "] {
            let said = failure(|| refused.clone().lacking(other));
            assert!(said.starts_with(&format!("expected to lack {other}\n  got ")), "{said}");
        }
        let said = failure(|| refused.retry_after());
        assert!(said.starts_with("expected a Retry-After header\n  got "), "{said}");
    }
    for (code, response) in denials("text/plain").await {
        if code == "rate-limited" {
            assert_eq!(assert_denied(&response, code).retry_after(), Duration::from_secs(60));
        }
    }
}

#[tokio::test]
async fn however_an_application_makes_a_denial_look_it_is_one() {
    fn to_sign_in(_: &Denial, _: &Parts) -> Response<Bytes> {
        let response = Response::builder().status(StatusCode::SEE_OTHER);
        response.header("location", "/sign-in").body(Bytes::new()).unwrap()
    }
    let test = TestGoat::new();
    let service = test.goat.authenticate().render_with(to_sign_in).layer(whoami());
    let response = send(&service, request(None)).await.response;
    assert_eq!(response.status(), 303);
    assert_denied(&response, "unauthenticated");
    let said = failure(|| assert_allowed(&response));
    assert!(said.contains("got 303 unauthenticated: "), "{said}");
}

#[test]
fn what_a_handler_answers_by_itself_is_allowed_unless_it_refuses_too() {
    for kind in [ErrorKind::NotFound, ErrorKind::Invalid, ErrorKind::EmailTaken] {
        let response = Problem::from(kind).into_response();
        assert_allowed(&response);
        let said = failure(|| assert_denied(&response, kind));
        assert!(said.contains("no layer refused it"), "{said}");
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
async fn a_missing_layer_fails_a_test_with_what_to_add() {
    let test = TestGoat::new();
    let service = test.goat.limit(Quota::per_minute(1)).by_user().layer(whoami());
    let response = send(&service, request(None)).await.response;
    for said in [
        failure(|| assert_allowed(&response)),
        failure(|| assert_denied(&response, "unauthenticated")),
    ] {
        assert!(said.contains("for the log: configuration: a limit counts by user"), "{said}");
    }
}

#[tokio::test]
async fn a_request_is_of_one_user_and_from_one_address() {
    let test = TestGoat::new();
    let (alice, bob) = (test.sign_in("alice", []).await, test.sign_in("bob", []).await);
    let request = Request::get("/").signed_in(&alice).signed_in(&bob);
    let request = request.coming_from("192.0.2.7").coming_from("[2001:db8::1]:4711");
    let request = request.body(()).unwrap();
    let values: Vec<_> = request.headers().get_all("authorization").iter().collect();
    assert_eq!(values, [bob.bearer().as_str()]);
    let shown = format!("{request:?}");
    assert!(!shown.contains(bob.access_token()), "a request that is printed shows no token");
    let peer = PeerAddress::of(request.extensions()).unwrap();
    assert_eq!(peer.0.to_string(), "[2001:db8::1]:4711");

    for (text, client) in [("192.0.2.7", "192.0.2.7"), ("::1", "::1"), ("10.0.0.1:80", "10.0.0.1")]
    {
        let request = Request::get("/").coming_from(text).body(()).unwrap();
        assert_eq!(ClientAddress::of(request.extensions()).unwrap().to_string(), client);
    }
    let said = failure(|| Request::get("/").coming_from("localhost"));
    assert_eq!(said, r#""localhost" is not an IP address, with or without a port"#);
    assert!(Request::get("not a path").signed_in(&alice).coming_from("::1").body(()).is_err());
}

/// The layers ask for the same with the feature as without: nothing here is a way past them.
#[tokio::test]
async fn who_is_made_for_a_test_is_judged_like_anybody() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let service = test.goat.require(REPORTS).layer(whoami());
    assert_allowed(&send(&service, request(Some(&alice))).await.response);
    // On another goat the same user, role and permissions are nothing without its own session.
    let other = TestGoat::new();
    other.sign_in("alice", [REPORTS]).await;
    let elsewhere = other.goat.require(REPORTS).layer(whoami());
    assert_denied(&send(&elsewhere, request(Some(&alice))).await.response, "invalid-token");
    let grants = test.goat.roles().grants_of(alice.user.role.as_str()).await.unwrap();
    let actor = goat_core::Actor::system("a test");
    test.goat.roles().revoke(actor, grants[0].id).await.unwrap();
    let refused = send(&service, request(Some(&alice))).await.response;
    assert_denied(&refused, "forbidden").lacking(Permission::new("report:read"));
}
