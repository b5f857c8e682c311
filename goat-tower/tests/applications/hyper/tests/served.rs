//! The application over a local connection.

use std::net::SocketAddr;
use std::time::Duration;

use application_hyper::{App, REPORTS, signed_in};
use goat_core::Stores;
use goat_core::testing::{Failpoints, Point, TestGoat};
use goat_tower::goat_core;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::service::Service as _;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

async fn start(test: &TestGoat) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(App::new(&test.goat).serve(listener));
    address
}

async fn get(server: SocketAddr, authorization: Option<&str>) -> Response<Incoming> {
    let stream = TcpStream::connect(server).await.expect("a connection");
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    let mut request = Request::builder().uri("/reports").header("host", "goat.test");
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    let request = request.body(Full::<Bytes>::default()).expect("a request");
    client.send_request(request).await.expect("a response")
}

async fn text(response: Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[tokio::test]
async fn an_authorized_user_gets_the_reports() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let response = get(start(&test).await, Some(&alice.bearer())).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["ratelimit"], r#""address";r=9;t=60, "user";r=2;t=60"#);
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(text(response).await, alice.user.id.to_string());
}

#[tokio::test]
async fn an_anonymous_request_is_unauthenticated() {
    let server = start(&TestGoat::new()).await;
    let response = get(server, None).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()["www-authenticate"], r#"Bearer realm="goat""#);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert!(text(response).await.contains(r#""code":"unauthenticated""#));

    let forged = get(server, Some("Bearer not.a.token")).await;
    assert_eq!(forged.status(), StatusCode::UNAUTHORIZED);
    assert!(text(forged).await.contains(r#""code":"invalid-token""#));
}

#[tokio::test]
async fn a_forbidden_request_names_the_missing_permission() {
    let test = TestGoat::new();
    let bob = test.sign_in("bob", []).await;
    let response = get(start(&test).await, Some(&bob.bearer())).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let challenge = response.headers()["www-authenticate"].to_str().expect("ASCII");
    assert!(
        challenge.contains(r#"error="insufficient_scope", scope="report:read""#),
        "{challenge}"
    );
}

#[tokio::test]
async fn a_user_is_limited_until_the_window_has_passed() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let server = start(&test).await;
    for _ in 0..3 {
        assert_eq!(get(server, Some(&alice.bearer())).await.status(), StatusCode::OK);
    }
    let limited = get(server, Some(&alice.bearer())).await;
    assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(limited.headers()["retry-after"], "60");

    // Other users are not limited, nor the same user after the minute.
    let carol = test.sign_in("carol", [REPORTS]).await;
    assert_eq!(get(server, Some(&carol.bearer())).await.status(), StatusCode::OK);
    test.clock.advance(Duration::from_secs(60));
    assert_eq!(get(server, Some(&alice.bearer())).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_flood_is_limited_by_address() {
    let test = TestGoat::new();
    let server = start(&test).await;
    for _ in 0..10 {
        assert_eq!(get(server, None).await.status(), StatusCode::UNAUTHORIZED);
    }
    let alice = test.sign_in("alice", [REPORTS]).await;
    let limited = get(server, Some(&alice.bearer())).await;
    assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn an_unavailable_store_is_a_503() {
    let (stores, failpoints) = Failpoints::over(Stores::memory());
    let test = TestGoat::build(stores, |builder| builder);
    let alice = test.sign_in("alice", [REPORTS]).await;
    let server = start(&test).await;
    // Longer than the cache's staleness.
    test.clock.advance(Duration::from_secs(60));
    failpoints.fail("sessions.find", Point::Entry);
    let response = get(server, Some(&alice.bearer())).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    assert!(text(response).await.contains(r#""code":"unavailable""#));

    assert_eq!(get(server, Some(&alice.bearer())).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_unnamed_service_behaves_the_same() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let service = TowerToHyperService::new(signed_in::<()>(&test.goat));
    let request = Request::builder().header("authorization", alice.bearer()).body(());
    let response = service.call(request.expect("a request")).await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    let response = service.call(Request::new(())).await.expect("a response");
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}
