//! The layers and extractors in a router of axum.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Extension};
use axum::response::IntoResponse;
use axum::routing::{delete, get};
use goat_core::testing::{TestGoat, TestUser};
use goat_core::{Actor, Permission, Quota};
use goat_tower::address::ClientAddress;
use goat_tower::{FreshPrincipal, GoatExt, Origin, Principal};
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::fixture::REPORTS;

async fn me(me: Principal) -> String {
    me.user().to_string()
}

async fn perhaps(me: Option<Principal>) -> String {
    me.map_or_else(|| "stranger".to_owned(), |me| me.user().to_string())
}

async fn act(Extension(test): Extension<TestGoat>, fresh: FreshPrincipal) -> impl IntoResponse {
    let done = test.goat.roles().grant(Actor::from(fresh), "client", REPORTS).await;
    done.map(|grant| grant.permission.to_string()).map_err(goat_tower::Problem::from)
}

async fn twice(_: FreshPrincipal, _: FreshPrincipal) {}

async fn address(address: ClientAddress) -> String {
    address.to_string()
}

async fn perhaps_address(address: Option<ClientAddress>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

async fn origin(origin: Origin) -> String {
    format!("{:?} {:?}", origin.address, origin.device)
}

fn app(test: &TestGoat) -> Router {
    Router::new()
        .route("/me", get(me))
        .route("/perhaps", get(perhaps))
        .route("/reports", get(me).route_layer(test.goat.require(REPORTS)))
        .route("/grant", get(act).route_layer(test.goat.require(Permission::FULL_ACCESS).fresh()))
        .route("/twice", get(twice).route_layer(test.goat.require(REPORTS).fresh()))
        .route("/stale", delete(act))
        .route("/export", get(me).route_layer(test.goat.limit(Quota::per_minute(1)).by_user()))
        .route("/address", get(address))
        .route("/perhaps-address", get(perhaps_address))
        .route("/origin", get(origin))
        .layer(Extension(test.clone()))
}

async fn ask(app: Router, method: &str, path: &str, user: Option<&TestUser>) -> (u16, String) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(user) = user {
        request = request.header("authorization", user.bearer());
    }
    let response: Response<Body> = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn handlers_take_what_the_layers_found() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let root = test.sign_in("root", [Permission::FULL_ACCESS]).await;
    let id = alice.user.id.to_string();
    let app = app(&test).layer(test.goat.authenticate());
    for path in ["/me", "/perhaps", "/reports", "/export"] {
        assert_eq!(ask(app.clone(), "GET", path, Some(&alice)).await, (200, id.clone()), "{path}");
    }
    assert_eq!(ask(app.clone(), "GET", "/export", Some(&alice)).await.0, 429);
    assert_eq!(ask(app.clone(), "GET", "/grant", Some(&alice)).await.0, 403);
    let granted = ask(app.clone(), "GET", "/grant", Some(&root)).await;
    assert_eq!(granted, (200, "report:read".to_owned()));
    assert_eq!(ask(app.clone(), "GET", "/me", None).await.0, 401);
}

#[tokio::test]
async fn a_stranger_is_nobody_where_that_may_be_and_401_where_it_may_not() {
    let test = TestGoat::new();
    let app = app(&test).layer(test.goat.authenticate().optional());
    let answer = ask(app.clone(), "GET", "/perhaps", None).await;
    assert_eq!(answer, (200, "stranger".to_owned()));
    for path in ["/me", "/reports", "/grant"] {
        let (status, body) = ask(app.clone(), "GET", path, None).await;
        assert_eq!(status, 401, "{path}");
        assert!(body.contains(r#""code":"unauthenticated""#), "{body}");
        assert!(body.contains(&format!(r#""instance":"{path}""#)), "{body}");
    }
}

#[tokio::test]
async fn a_missing_layer_is_a_500_that_tells_the_client_nothing() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let app = app(&test);
    for (method, path) in [
        ("GET", "/me"),
        ("GET", "/perhaps"),
        ("GET", "/twice"),
        ("DELETE", "/stale"),
        ("GET", "/export"),
        ("GET", "/address"),
    ] {
        let (status, body) = ask(app.clone(), method, path, Some(&alice)).await;
        assert_eq!(status, 500, "{path}");
        assert!(body.contains(r#""code":"internal""#) && !body.contains("layer"), "{body}");
    }
    let answer = ask(app.clone(), "GET", "/perhaps-address", None).await;
    assert_eq!(answer, (200, String::new()));
    let known = app.layer(Extension(ClientAddress::new([192, 0, 2, 7].into())));
    for path in ["/address", "/perhaps-address"] {
        assert_eq!(ask(known.clone(), "GET", path, None).await, (200, "192.0.2.7".to_owned()));
    }
}

/// What axum's own server says of a connection, `into_make_service_with_connect_info`, is enough.
#[tokio::test]
async fn the_peer_that_axum_knows_is_the_client_unless_a_layer_knows_better() {
    let test = TestGoat::new();
    let peer = Extension(ConnectInfo(SocketAddr::from(([192, 0, 2, 7], 4711))));
    let app = app(&test).layer(test.goat.limit(Quota::per_minute(1)).by_address());
    let served = app.clone().layer(peer);
    let answer = ask(served.clone(), "GET", "/address", None).await;
    assert_eq!(answer, (200, "192.0.2.7".to_owned()));
    assert_eq!(ask(served, "GET", "/address", None).await.0, 429);
    let found = Extension(ClientAddress::new([198, 51, 100, 1].into()));
    let answer = ask(app.layer(found).layer(peer), "GET", "/address", None).await;
    assert_eq!(answer, (200, "198.51.100.1".to_owned()));
}

#[tokio::test]
async fn an_origin_is_what_is_known_and_fails_nobody() {
    let app = app(&TestGoat::new());
    let answer = ask(app.clone(), "GET", "/origin", None).await;
    assert_eq!(answer, (200, "None None".to_owned()));
    let known = app.layer(Extension(ClientAddress::new([192, 0, 2, 7].into())));
    let request = Request::get("/origin").header("user-agent", "a test");
    let response = known.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"Some(192.0.2.7) Some("a test")"#);
}
