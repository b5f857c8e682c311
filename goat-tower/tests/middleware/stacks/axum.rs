//! An axum router, on axum's and on hyper's server.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use goat_core::{Goat, Quota};
use goat_tower::{GoatExt, Principal};
use http_body_util::Full;
use tokio::net::TcpListener;

use crate::support::connection::{
    Client, REPORTS, VERSIONS, Version, people, request, serve, with_body,
};

fn app(goat: &Goat) -> Router {
    Router::new()
        .route("/reports", post(list).route_layer(goat.require(REPORTS)))
        .route("/upload", post(upload).route_layer(goat.limit(Quota::per_minute(1)).by_user()))
        .layer(goat.authenticate())
        .route("/", get(async || "a front page"))
        .layer(goat.limit(Quota::per_minute(100)).by_address())
}

async fn list(me: Principal) -> String {
    me.user().to_string()
}

async fn upload(_: Principal, body: Bytes) -> String {
    body.len().to_string()
}

async fn walk_through(version: Version, address: SocketAddr, (alice, bob): People) {
    let mut client = Client::connect(version, address).await;
    let response = client.fetch(request(Some(&alice))).await;
    assert_eq!(response.body, alice.user.id.to_string());
    assert_eq!(response.header("ratelimit"), r#""address";r=99;t=60"#);
    assert_eq!(client.fetch(request(Some(&bob))).await.status, 403);
    let response = client.fetch(request(None)).await;
    assert_eq!((response.status.as_u16(), response.code()), (401, "unauthenticated"));

    let to = |path: &str, user| {
        let mut request = with_body(user, Full::from(vec![7; 3000]));
        *request.uri_mut() = format!("http://goat.example{path}").parse().unwrap();
        request
    };
    let response = client.fetch(to("/upload", Some(&bob))).await;
    assert_eq!((response.status.as_u16(), &response.body[..]), (200, b"3000" as &[u8]));
    let response = client.fetch(to("/upload", Some(&bob))).await;
    assert_eq!((response.status.as_u16(), response.header("retry-after")), (429, "60"));

    let mut front = to("/", None);
    *front.method_mut() = http::Method::GET;
    let response = client.fetch(front).await;
    assert_eq!((response.status.as_u16(), &response.body[..]), (200, b"a front page" as &[u8]));
    assert_eq!(response.header("ratelimit"), r#""address";r=94;t=60"#);
}

type People = (goat_core::testing::TestUser, goat_core::testing::TestUser);

/// The peer comes from axum's `ConnectInfo`.
#[tokio::test]
async fn a_layered_router_on_axums_server() {
    let (test, alice, bob) = people().await;
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app(&test.goat).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async { axum::serve(listener, app).await });
    walk_through(Version::Http1, address, (alice, bob)).await;
}

#[tokio::test]
async fn a_layered_router_on_hypers_server() {
    for version in VERSIONS {
        let (test, alice, bob) = people().await;
        let address = serve(version, app(&test.goat)).await;
        walk_through(version, address, (alice, bob)).await;
    }
}
