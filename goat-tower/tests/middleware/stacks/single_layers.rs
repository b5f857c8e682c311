//! Each layer alone on hyper's server, over HTTP/1.1 and HTTP/2.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use goat_core::testing::{TestGoat, TestUser};
use goat_core::token::{TokenSettings, Verifier};
use goat_core::{Quota, Settings, Stores};
use goat_tower::GoatExt;
use goat_tower::address::{ClientAddress, ClientAddressLayer};
use goat_tower::cookie::Cookies;
use goat_tower::offline::VerifierExt;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tower::{Layer, Service, service_fn};

use crate::support::connection::{
    Client, EXPORTS, REPORTS, Sent, TestResponse, VERSIONS, Version, people, request, serve,
};

/// Inner service that responds with the client's identity.
fn inner()
-> impl Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    service_fn(async |request: Request<Incoming>| {
        let client = ClientAddress::of(request.extensions()).map(|client| client.to_string());
        Ok(Response::new(Full::from(client.unwrap_or_default())))
    })
}

/// Serves a layered service, and connects to it.
macro_rules! behind {
    ($version:expr, $layer:expr) => {{
        let address = serve($version, $layer.layer(inner())).await;
        Client::connect($version, address).await
    }};
}

fn with(mut request: Request<Sent>, name: &'static str, value: &str) -> Request<Sent> {
    request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
    request
}

fn outcome(response: &TestResponse) -> (u16, &str) {
    (response.status.as_u16(), response.code())
}

#[tokio::test]
async fn authentication_required_and_optional() {
    for version in VERSIONS {
        let (test, alice, _) = people().await;
        let mut client = behind!(version, test.goat.authenticate());
        let response = client.fetch(request(Some(&alice))).await;
        assert_eq!((outcome(&response), response.header("cache-control")), ((200, ""), "no-store"));
        let response = client.fetch(request(None)).await;
        assert_eq!(outcome(&response), (401, "unauthenticated"));

        let mut client = behind!(version, test.goat.authenticate().optional());
        assert_eq!(outcome(&client.fetch(request(None)).await), (200, ""));
        let bad = with(request(None), "authorization", "Bearer a.b.c");
        assert_eq!(outcome(&client.fetch(bad).await), (401, "invalid-token"));
    }
}

#[tokio::test]
async fn a_requirement_and_a_fresh_one() {
    for version in VERSIONS {
        let (test, alice, bob) = people().await;
        let require = || test.goat.require(REPORTS);
        for mut client in [behind!(version, require()), behind!(version, require().fresh())] {
            assert_eq!(outcome(&client.fetch(request(Some(&alice))).await), (200, ""));
            let response = client.fetch(request(Some(&bob))).await;
            assert_eq!(outcome(&response), (403, "forbidden"));
            let challenge =
                r#"Bearer realm="goat", error="insufficient_scope", scope="report:read""#;
            assert_eq!(response.header("www-authenticate"), challenge);
            assert_eq!(outcome(&client.fetch(request(None)).await), (401, "unauthenticated"));
        }
    }
}

/// Several limits, with both algorithms and distinct names.
#[tokio::test]
async fn limits_with_both_algorithms() {
    for version in VERSIONS {
        let (test, ..) = people().await;
        let log = test.goat.limit(Quota::per_minute(2)).by_address().named("log");
        let burst = test.goat.limit(Quota::per_minute(60).burst(2)).by_address().named("burst");
        let stack = tower::ServiceBuilder::new().layer(log).layer(burst);
        let mut client = behind!(version, stack.into_inner());
        let response = client.fetch(request(None)).await;
        assert_eq!(outcome(&response), (200, ""));
        let policy = r#""log";q=2;w=60, "burst";q=60;w=60;goat-burst=2"#;
        assert_eq!(response.header("ratelimit-policy"), policy);
        assert_eq!(response.header("ratelimit"), r#""log";r=1;t=60, "burst";r=1;t=1"#);

        assert_eq!(outcome(&client.fetch(request(None)).await), (200, ""));
        let response = client.fetch(request(None)).await;
        assert_eq!(outcome(&response), (429, "rate-limited"));
        assert_eq!(response.header("ratelimit"), r#""log";r=0;t=60"#);
        assert_eq!(response.header("retry-after"), "60");

        let burst = test.goat.limit(Quota::per_minute(60).burst(1)).by_address().named("alone");
        let mut client = behind!(version, burst);
        assert_eq!(outcome(&client.fetch(request(None)).await), (200, ""));
        let response = client.fetch(request(None)).await;
        assert_eq!(
            (outcome(&response), response.header("retry-after")),
            ((429, "rate-limited"), "1")
        );
        assert_eq!(response.header("ratelimit-policy"), r#""alone";q=60;w=60;goat-burst=1"#);
        assert_eq!(response.header("ratelimit"), r#""alone";r=0;t=1"#);
    }
}

#[tokio::test]
async fn authentication_between_two_limits() {
    for version in VERSIONS {
        let (test, alice, _) = people().await;
        let limit = |count| test.goat.limit(Quota::per_minute(count));
        let admit = test.goat.authenticate().limited(limit(3).by_address(), limit(1).by_user());
        let mut client = behind!(version, admit);
        let response = client.fetch(request(Some(&alice))).await;
        assert_eq!(outcome(&response), (200, ""));
        assert_eq!(response.header("ratelimit"), r#""address";r=2;t=60, "user";r=0;t=60"#);
        assert_eq!(outcome(&client.fetch(request(Some(&alice))).await), (429, "rate-limited"));
        assert_eq!(outcome(&client.fetch(request(None)).await), (401, "unauthenticated"));
        let response = client.fetch(request(None)).await;
        assert_eq!(outcome(&response), (429, "rate-limited"));
        assert_eq!(response.header("ratelimit"), r#""address";r=0;t=60"#);
    }
}

#[tokio::test]
async fn the_client_address_behind_a_proxy() {
    for version in VERSIONS {
        let trusting = ClientAddressLayer::new().trust("127.0.0.1".parse().unwrap());
        for (layer, expected) in
            [(trusting, "203.0.113.9"), (ClientAddressLayer::new(), "127.0.0.1")]
        {
            let mut client = behind!(version, layer);
            let sent = with(request(None), "x-forwarded-for", "203.0.113.9");
            assert_eq!(client.fetch(sent).await.body, expected);
        }
    }
}

/// The request's own origin comes from `Host` in HTTP/1.1 and from `:authority` in HTTP/2.
#[tokio::test]
async fn cookies_from_the_same_and_another_origin() {
    for version in VERSIONS {
        let (test, alice, _) = people().await;
        let mut client = behind!(version, test.goat.authenticate().cookies(Cookies::new()));
        let from = |origin| {
            let mut sent = request(None);
            if version == Version::Http1 {
                // HTTP/1.1 clients send only the path as the target.
                *sent.uri_mut() = "/reports".parse().unwrap();
            } else {
                sent.headers_mut().remove("host");
            }
            let cookie = format!("__Host-goat-access={}", alice.access_token());
            with(with(sent, "cookie", &cookie), "origin", origin)
        };
        let response = client.fetch(from("https://goat.example")).await;
        assert_eq!((outcome(&response), response.header("cache-control")), ((200, ""), "no-store"));
        for other in ["https://evil.example", "https://goat.example:8443", "null"] {
            let response = client.fetch(from(other)).await;
            assert_eq!(outcome(&response), (403, "cross-site-request"), "{other}");
        }
    }
}

#[tokio::test]
async fn offline_verification() {
    let settings = Settings { access_token_permissions: true, ..Settings::default() };
    let issuer = TestGoat::build(Stores::memory(), |goat| goat.settings(settings));
    let alice = issuer.sign_in("alice", [REPORTS]).await;
    let bob = issuer.sign_in("bob", [EXPORTS]).await;
    let (jwks, clock) = (issuer.goat.jwks().to_string(), Arc::new(issuer.clock.clone()));
    let verifier = Verifier::with_clock(jwks, TokenSettings::default(), clock).unwrap();
    for version in VERSIONS {
        let mut client = behind!(version, verifier.authenticate());
        assert_eq!(outcome(&client.fetch(request(Some(&bob))).await), (200, ""));
        assert_eq!(outcome(&client.fetch(request(None)).await), (401, "unauthenticated"));
        let mut client = behind!(version, verifier.require(REPORTS));
        assert_eq!(outcome(&client.fetch(request(Some(&alice))).await), (200, ""));
        assert_eq!(outcome(&client.fetch(request(Some(&bob))).await), (403, "forbidden"));
    }
}

/// gRPC statuses 16, 7 and 8 over HTTP/2, with `retry-after` beside the last; H6: HTTP statuses over
/// HTTP/1.1.
#[tokio::test]
async fn a_grpc_denial_over_http2_is_trailers_only() {
    for version in VERSIONS {
        let (test, alice, bob) = people().await;
        let stack = tower::ServiceBuilder::new()
            .layer(test.goat.authenticate())
            .layer(test.goat.require(REPORTS))
            .layer(test.goat.limit(Quota::per_minute(1)).by_user());
        let mut client = behind!(version, stack.into_inner());
        let call = |user: Option<&TestUser>| {
            let request = with(request(user), "te", "trailers");
            with(request, "content-type", "application/grpc")
        };
        assert_eq!(client.fetch(call(Some(&alice))).await.header("grpc-status"), "");
        for (user, status, wait) in
            [(None, "16", ""), (Some(&bob), "7", ""), (Some(&alice), "8", "60")]
        {
            let response = client.fetch(call(user)).await;
            if version == Version::Http1 {
                assert!([401, 403, 429].contains(&response.status.as_u16()));
                assert_eq!(response.header("grpc-status"), "");
                continue;
            }
            assert_eq!((response.status.as_u16(), response.body.len()), (200, 0));
            assert_eq!(response.header("grpc-status"), status);
            assert_eq!(response.header("retry-after"), wait);
            assert!(!response.header("grpc-message").is_empty());
        }
    }
}
