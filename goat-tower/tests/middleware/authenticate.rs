//! The authenticate layer.

use std::time::Duration;

use goat_core::testing::TestGoat;
use goat_tower::{Denial, GoatExt};
use http::{Method, Request, Version};
use tower::Layer;

use crate::support::stores::{StoreState, switched};
use crate::support::{Sent, in_grpc, request, send, whoami, with_header};

/// H1
#[tokio::test]
async fn a_live_session_becomes_a_principal_and_the_response_is_not_cacheable() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let service = test.goat.authenticate().layer(whoami());
    // First from the store, then from the cache.
    for _ in 0..2 {
        let response = send(&service, request(Some(&alice))).await;
        assert_eq!(response.outcome(), (200, ""));
        assert_eq!(response.header("x-user"), alice.user.id.to_string());
        assert_eq!(response.header("cache-control"), "no-store");
        assert_eq!(response.body, "answered");
    }
}

#[tokio::test]
async fn a_request_without_credentials_is_unauthenticated() {
    let service = TestGoat::new().goat.authenticate().layer(whoami());
    for anonymous in [request(None), with_header("authorization", "Basic YTpi")] {
        let response = send(&service, anonymous).await;
        assert_eq!(response.outcome(), (401, "unauthenticated"));
        assert_eq!(response.header("www-authenticate"), r#"Bearer realm="goat""#);
        assert_eq!(response.header("cache-control"), "no-store");
        let reason = response.head.extensions().get::<Denial>().unwrap();
        assert_eq!(reason.code(), "unauthenticated");
    }
}

#[tokio::test]
async fn optional_authentication_allows_anonymous_requests_and_rejects_invalid_tokens() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let service = test.goat.authenticate().optional().layer(whoami());

    let response = send(&service, request(None)).await;
    assert_eq!((response.outcome(), response.header("x-user")), ((200, ""), ""));
    assert_eq!(
        response.header("cache-control"),
        "",
        "without credentials the response is not personal"
    );
    let response = send(&service, request(Some(&alice))).await;
    assert_eq!(response.header("x-user"), alice.user.id.to_string());

    let response = send(&service, with_header("authorization", "Bearer nonsense")).await;
    assert_eq!(response.outcome(), (401, "invalid-token"));
}

#[tokio::test]
async fn a_rejected_token_has_a_reason() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let bob = test.sign_in("bob", []).await;
    let service = test.goat.authenticate().layer(whoami());

    let principal = test.goat.authenticate_token(bob.access_token()).await.unwrap();
    test.goat.logout(&principal, &Default::default()).await.unwrap();
    let response = send(&service, request(Some(&bob))).await;
    assert_eq!(response.outcome(), (401, "session-revoked"));

    test.clock.advance(Duration::from_secs(3600));
    let response = send(&service, request(Some(&alice))).await;
    assert_eq!(response.outcome(), (401, "token-expired"));
    assert!(response.header("www-authenticate").contains(r#"error="invalid_token""#));

    let refresh = format!("Bearer {}", alice.tokens.refresh_token.expose());
    let response = send(&service, with_header("authorization", &refresh)).await;
    assert_eq!(
        response.outcome(),
        (401, "invalid-token"),
        "a refresh token is not an access token"
    );
}

/// J8
#[tokio::test]
async fn two_authorization_headers_are_a_bad_request_even_if_optional() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let twice = || -> Request<Sent> {
        let mut request = request(Some(&alice));
        let value = request.headers()["authorization"].clone();
        request.headers_mut().append("authorization", value);
        request
    };
    let strict = test.goat.authenticate();
    for layer in [strict.clone(), strict.optional()] {
        let response = send(&layer.layer(whoami()), twice()).await;
        assert_eq!(response.outcome(), (400, "bad-request"));
    }
}

/// O1
#[tokio::test]
async fn an_unavailable_store_is_a_503() {
    let (stores, switch) = switched();
    let test = TestGoat::build(stores, |builder| builder);
    let alice = test.sign_in("alice", []).await;
    switch.set(StoreState::Down);
    let strict = test.goat.authenticate();
    for layer in [strict.clone(), strict.optional()] {
        let response = send(&layer.layer(whoami()), request(Some(&alice))).await;
        assert_eq!(response.outcome(), (503, "unavailable"));
        assert_eq!(response.header("retry-after"), "1");
        assert_eq!(response.header("www-authenticate"), "");
    }
    switch.set(StoreState::Up);
    let response = send(&test.goat.authenticate().layer(whoami()), request(Some(&alice))).await;
    assert_eq!(response.outcome(), (200, ""));
}

#[tokio::test]
async fn the_application_can_render_the_denial() {
    use bytes::Bytes;
    use http::{Response, StatusCode, request::Parts};

    let layer = TestGoat::new().goat.authenticate().render_with(
        |denial: &Denial, _: &Parts| -> Response<Bytes> {
            let mut response = Response::new(Bytes::from(denial.code()));
            *response.status_mut() = StatusCode::IM_A_TEAPOT;
            response
        },
    );
    let response = send(&layer.layer(whoami()), request(None)).await;
    assert_eq!((response.status.as_u16(), response.body.as_str()), (418, "unauthenticated"));
}

#[tokio::test]
async fn a_grpc_denial_is_trailers_only() {
    let service = TestGoat::new().goat.authenticate().layer(whoami());
    let response = send(&service, in_grpc(request(None), "application/grpc")).await;
    assert_eq!((response.status.as_u16(), response.header("grpc-status")), (200, "16"));
}

/// Proxies that authorize by a subrequest (`auth_request`, `forwardAuth`) forward the client's
/// headers and read only the status: any 2xx allows the request.
#[tokio::test]
async fn a_grpc_content_type_turns_a_denial_into_a_200_only_for_post() {
    let service = TestGoat::new().goat.authenticate().layer(whoami());
    for content_type in ["application/grpc", "application/grpc+proto", "application/grpc-web"] {
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
            let mut grpc = in_grpc(request(None), content_type);
            *grpc.method_mut() = method;
            let response = send(&service, grpc).await;
            assert_eq!(response.outcome(), (401, "unauthenticated"), "{content_type}");
        }
    }
}

/// H6: HTTP/1.1, and a request without `te: trailers`, as of a proxy that authorizes by a `POST`.
#[tokio::test]
async fn a_grpc_content_type_alone_does_not_turn_a_denial_into_a_200() {
    let service = TestGoat::new().goat.authenticate().layer(whoami());
    for content_type in ["application/grpc", "application/grpc+proto", "application/grpc-web"] {
        let mut http1 = in_grpc(request(None), content_type);
        *http1.version_mut() = Version::HTTP_11;
        let mut without_te = in_grpc(request(None), content_type);
        without_te.headers_mut().remove("te");
        for grpc in [http1, without_te] {
            let response = send(&service, grpc).await;
            assert_eq!(response.outcome(), (401, "unauthenticated"), "{content_type}");
        }
    }
}
