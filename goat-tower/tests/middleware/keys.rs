//! API keys through the layers: accepted beside tokens, counted, and rejected where a person is required.

use std::sync::Arc;
use std::time::Duration;

use goat_core::key::Scopes;
use goat_core::testing::{TestGoat, TestKey};
use goat_core::token::{TokenSettings, Verifier};
use goat_core::{Permission, Quota};
use goat_tower::cookie::Cookies;
use goat_tower::offline::VerifierExt;
use goat_tower::{GoatExt, Requirement};
use http::{Method, Request};
use tower::{Layer, ServiceBuilder};

use crate::support::{EXPORTS, REPORTS, Sent, in_grpc, request, send, whoami, with_header};

const SESSION_REQUIRED: (u16, &str) = (403, "session-required");

fn with_key(key: &TestKey) -> Request<Sent> {
    with_header("authorization", &key.bearer())
}

fn scopes(permissions: impl IntoIterator<Item = Permission>) -> Scopes {
    Scopes::only(permissions).unwrap()
}

#[tokio::test]
async fn a_key_becomes_a_principal_and_the_response_is_not_cacheable() {
    let test = TestGoat::new();
    let key = test.service("backup", [REPORTS]).await;
    let service = test.goat.require(REPORTS).layer(whoami());
    let service = test.goat.authenticate().layer(service);
    // First from the store, then from the cache.
    for _ in 0..3 {
        let response = send(&service, with_key(&key)).await;
        assert_eq!(response.outcome(), (200, ""));
        assert_eq!(response.header("x-user"), key.key.owner.to_string());
        assert_eq!(response.header("cache-control"), "no-store");
    }
}

/// K1: what the scopes leave of the owner's rights decides.
#[tokio::test]
async fn requirements_look_at_the_scopes() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS, EXPORTS]).await;
    let narrow = test.goat.testing().key(&alice, scopes([REPORTS])).await;
    let whole = test.goat.testing().key(&alice, Scopes::Role).await;
    let role = Requirement::role(alice.user.role.clone());
    for (requirement, expected) in [
        (Requirement::from(REPORTS), (200, "")),
        (EXPORTS.into(), (403, "forbidden")),
        // A role has all of its rights, and the scopes name permissions.
        (role.clone(), (403, "forbidden")),
        (Requirement::at_least(test.goat.roles(), &alice.user.role), (403, "forbidden")),
        (role.or(REPORTS), (200, "")),
    ] {
        let service = test.goat.require(requirement.clone()).layer(whoami());
        assert_eq!(send(&service, with_key(&narrow)).await.outcome(), expected, "{requirement}");
        assert_eq!(send(&service, with_key(&whole)).await.outcome(), (200, ""), "{requirement}");
    }
}

/// K2: the permission comes first, then the session, then its proofs.
#[tokio::test]
async fn a_person_is_required_after_the_permissions_and_before_a_step_up() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let key = test.goat.testing().key(&alice, Scopes::Role).await;
    test.clock.advance(Duration::from_secs(61));
    let recent = || Requirement::recent(Duration::from_secs(60));
    let person = Requirement::person;
    assert_eq!(Requirement::from(REPORTS).and(person()).to_string(), "report:read and person");
    for (requirement, of_key, of_session) in [
        (person(), SESSION_REQUIRED, (200, "")),
        (Requirement::from(EXPORTS).and(person()), (403, "forbidden"), (403, "forbidden")),
        (Requirement::from(REPORTS).and(person()), SESSION_REQUIRED, (200, "")),
        (Requirement::from(REPORTS).or(person()), (200, ""), (200, "")),
        (Requirement::from(EXPORTS).or(person()), SESSION_REQUIRED, (200, "")),
        (recent(), SESSION_REQUIRED, (401, "step-up-required")),
        (person().and(recent()), SESSION_REQUIRED, (401, "step-up-required")),
        (Requirement::multi_factor(), SESSION_REQUIRED, (401, "step-up-required")),
        (Requirement::from(EXPORTS).and(recent()), (403, "forbidden"), (403, "forbidden")),
    ] {
        let service = test.goat.require(requirement.clone()).layer(whoami());
        let response = send(&service, with_key(&key)).await;
        assert_eq!(response.outcome(), of_key, "{requirement}");
        let response = send(&service, request(Some(&alice))).await;
        assert_eq!(response.outcome(), of_session, "{requirement}");
    }
}

/// The read from the stores rejects keys too where a recent proof is asked for.
#[tokio::test]
async fn a_recent_requirement_rejects_a_key() {
    let test = TestGoat::new();
    let key = test.service("backup", [REPORTS]).await;
    let recent = test.goat.require(REPORTS).recent().layer(whoami());
    assert_eq!(send(&recent, with_key(&key)).await.outcome(), SESSION_REQUIRED);
    let fresh = test.goat.require(REPORTS).fresh().layer(whoami());
    assert_eq!(send(&fresh, with_key(&key)).await.outcome(), (200, ""));
}

#[tokio::test]
async fn a_router_without_keys_rejects_valid_ones() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let key = test.service("backup", []).await;
    let invalid = with_header("authorization", "Bearer goat_0123");
    let alone = test.goat.authenticate().keys(false).layer(whoami());
    let address = test.goat.limit(Quota::per_minute(100)).by_address();
    let limited = test.goat.authenticate().keys(false).limited(address, None).layer(whoami());
    // First from the store, then from the cache.
    for _ in 0..3 {
        assert_eq!(send(&alone, with_key(&key)).await.outcome(), SESSION_REQUIRED);
        assert_eq!(send(&limited, with_key(&key)).await.outcome(), SESSION_REQUIRED);
    }
    assert_eq!(send(&alone, invalid).await.outcome(), (401, "invalid-token"));
    assert_eq!(send(&alone, request(Some(&alice))).await.outcome(), (200, ""));
    assert_eq!(send(&limited, request(Some(&alice))).await.outcome(), (200, ""));
    let accepted = test.goat.authenticate().keys(true).layer(whoami());
    assert_eq!(send(&accepted, with_key(&key)).await.outcome(), (200, ""));
}

/// A gRPC client receives `PERMISSION_DENIED`.
#[tokio::test]
async fn a_grpc_client_with_a_key_is_denied_permission() {
    let test = TestGoat::new();
    let key = test.service("backup", []).await;
    let service = test.goat.require(Requirement::person()).layer(whoami());
    let response = send(&service, in_grpc(with_key(&key), "application/grpc")).await;
    assert_eq!((response.status.as_u16(), response.header("grpc-status")), (200, "7"));
}

/// K6: a key comes in the `Authorization` header, and nowhere else; an offline verifier knows none.
#[tokio::test]
async fn a_key_is_read_from_the_authorization_header_only() {
    let test = TestGoat::new();
    let key = test.service("backup", []).await;
    let cookies = Cookies::new();
    let service = test.goat.authenticate().cookies(cookies).layer(whoami());
    assert_eq!(send(&service, with_key(&key)).await.outcome(), (200, ""));
    let mut by_cookie = with_header("cookie", &format!("__Host-goat-access={}", key.text()));
    by_cookie.headers_mut().insert("sec-fetch-site", "same-origin".parse().unwrap());
    assert_eq!(send(&service, by_cookie).await.outcome(), (401, "invalid-token"));
    for header in ["x-api-key", "proxy-authorization", "x-goat-key"] {
        let response = send(&service, with_header(header, key.text())).await;
        assert_eq!(response.outcome(), (401, "unauthenticated"), "{header}");
    }
    let mut by_query = request(None);
    *by_query.uri_mut() = format!("/reports?access_token={}", key.text()).parse().unwrap();
    assert_eq!(send(&service, by_query).await.outcome(), (401, "unauthenticated"));

    // The sign-out passes it over, and ends the session of the other cookie.
    let alice = test.sign_in("alice", []).await;
    let refresh = alice.tokens.refresh_token.expose();
    let both = format!("__Host-goat-access={}; __Host-goat-refresh={refresh}", key.text());
    let mut sign_out = with_header("cookie", &both);
    *sign_out.method_mut() = Method::POST;
    sign_out.headers_mut().insert("sec-fetch-site", "same-origin".parse().unwrap());
    let (sign_out, _) = sign_out.into_parts();
    assert!(Cookies::new().end_session(&test.goat, &sign_out).await.is_ok());
    assert!(test.goat.authenticate_token(alice.access_token()).await.is_err());

    let clock = Arc::new(test.clock.clone());
    let jwks = test.goat.jwks().to_string();
    let verifier = Verifier::with_clock(jwks, TokenSettings::default(), clock).unwrap();
    let offline = verifier.authenticate().layer(whoami());
    assert_eq!(send(&offline, with_key(&key)).await.outcome(), (401, "invalid-token"));
}

#[tokio::test]
async fn a_limit_by_key_counts_each_key_and_no_session() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let one = test.goat.testing().key(&alice, Scopes::Role).await;
    let other = test.goat.testing().key(&alice, Scopes::Role).await;
    let service = ServiceBuilder::new()
        .layer(test.goat.authenticate().optional())
        .layer(test.goat.limit(Quota::per_minute(1)).by_key())
        .service(whoami());
    for key in [&one, &other] {
        let response = send(&service, with_key(key)).await;
        assert_eq!(response.outcome(), (200, ""));
        assert_eq!(response.header("ratelimit"), r#""key";r=0;t=60"#);
        assert_eq!(send(&service, with_key(key)).await.outcome(), (429, "rate-limited"));
    }
    for sent in [request(Some(&alice)), request(Some(&alice)), request(None), request(None)] {
        assert_eq!(send(&service, sent).await.outcome(), (200, ""));
    }
}

/// A key counts with its owner, and like a session of its own.
#[tokio::test]
async fn limits_by_user_and_by_session_count_keys() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let key = test.goat.testing().key(&alice, Scopes::Role).await;
    let limit = || test.goat.limit(Quota::per_minute(1));
    let by_user = test.goat.authenticate().limited(None, limit().by_user()).layer(whoami());
    assert_eq!(send(&by_user, with_key(&key)).await.outcome(), (200, ""));
    assert_eq!(send(&by_user, request(Some(&alice))).await.outcome(), (429, "rate-limited"));
    let by_session = test.goat.authenticate().limited(None, limit().by_session()).layer(whoami());
    for expected in [(200, ""), (429, "rate-limited")] {
        assert_eq!(send(&by_session, with_key(&key)).await.outcome(), expected);
        assert_eq!(send(&by_session, request(Some(&alice))).await.outcome(), expected);
    }
}
