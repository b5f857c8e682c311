//! The axum extractors, with and without their layers.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Extension};
use axum::response::IntoResponse;
use axum::routing::{delete, get};
use goat_core::testing::{TestGoat, TestUser};
use goat_core::{Actor, Permission, Quota};
use goat_tower::address::ClientAddress;
use goat_tower::{FreshPrincipal, GoatExt, Origin, Principal, RecentPrincipal, Requirement};
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt};

use crate::support::REPORTS;

async fn me(me: Principal) -> String {
    me.user().to_string()
}

async fn optional(me: Option<Principal>) -> String {
    me.map_or_else(|| "anonymous".to_owned(), |me| me.user().to_string())
}

async fn fresh(Extension(test): Extension<TestGoat>, fresh: FreshPrincipal) -> impl IntoResponse {
    let done = test.goat.roles().grant(Actor::from(fresh), "client", REPORTS).await;
    done.map(|grant| grant.permission.to_string()).map_err(goat_tower::Problem::from)
}

async fn twice(_: FreshPrincipal, _: FreshPrincipal) {}

async fn recent(me: RecentPrincipal) -> String {
    me.user().to_string()
}

async fn recent_as_fresh(me: FreshPrincipal) -> String {
    me.user().to_string()
}

async fn recent_twice(_: RecentPrincipal, _: RecentPrincipal) {}

async fn address(address: ClientAddress) -> String {
    address.to_string()
}

async fn optional_address(address: Option<ClientAddress>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

async fn origin(origin: Origin) -> String {
    format!("{:?} {:?}", origin.address, origin.device)
}

fn app(test: &TestGoat) -> Router {
    Router::new()
        .route("/me", get(me))
        .route("/optional", get(optional))
        .route("/reports", get(me).route_layer(test.goat.require(REPORTS)))
        .route("/grant", get(fresh).route_layer(test.goat.require(Permission::FULL_ACCESS).fresh()))
        .route("/twice", get(twice).route_layer(test.goat.require(REPORTS).fresh()))
        .route("/stale", delete(fresh))
        .route("/export", get(me).route_layer(test.goat.limit(Quota::per_minute(1)).by_user()))
        .route("/address", get(address))
        .route("/optional-address", get(optional_address))
        .route("/origin", get(origin))
        .layer(Extension(test.clone()))
}

async fn fetch(app: Router, method: &str, path: &str, user: Option<&TestUser>) -> (u16, String) {
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
async fn extractors_return_the_results_of_the_layers() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let root = test.sign_in("root", [Permission::FULL_ACCESS]).await;
    let id = alice.user.id.to_string();
    let app = app(&test).layer(test.goat.authenticate());
    for path in ["/me", "/optional", "/reports", "/export"] {
        assert_eq!(
            fetch(app.clone(), "GET", path, Some(&alice)).await,
            (200, id.clone()),
            "{path}"
        );
    }
    assert_eq!(fetch(app.clone(), "GET", "/export", Some(&alice)).await.0, 429);
    assert_eq!(fetch(app.clone(), "GET", "/grant", Some(&alice)).await.0, 403);
    let granted = fetch(app.clone(), "GET", "/grant", Some(&root)).await;
    assert_eq!(granted, (200, "report:read".to_owned()));
    assert_eq!(fetch(app.clone(), "GET", "/me", None).await.0, 401);
}

#[tokio::test]
async fn an_anonymous_request_is_none_if_optional_and_401_otherwise() {
    let test = TestGoat::new();
    let app = app(&test).layer(test.goat.authenticate().optional());
    let response = fetch(app.clone(), "GET", "/optional", None).await;
    assert_eq!(response, (200, "anonymous".to_owned()));
    for path in ["/me", "/reports", "/grant"] {
        let (status, body) = fetch(app.clone(), "GET", path, None).await;
        assert_eq!(status, 401, "{path}");
        assert!(body.contains(r#""code":"unauthenticated""#), "{body}");
        assert!(body.contains(&format!(r#""instance":"{path}""#)), "{body}");
    }
}

#[tokio::test]
async fn a_missing_layer_is_a_500_without_details() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let app = app(&test);
    for (method, path) in [
        ("GET", "/me"),
        ("GET", "/optional"),
        ("GET", "/twice"),
        ("DELETE", "/stale"),
        ("GET", "/export"),
        ("GET", "/address"),
    ] {
        let (status, body) = fetch(app.clone(), method, path, Some(&alice)).await;
        assert_eq!(status, 500, "{path}");
        assert!(body.contains(r#""code":"internal""#) && !body.contains("layer"), "{body}");
    }
    let response = fetch(app.clone(), "GET", "/optional-address", None).await;
    assert_eq!(response, (200, String::new()));
    let known = app.layer(Extension(ClientAddress::new([192, 0, 2, 7].into())));
    for path in ["/address", "/optional-address"] {
        assert_eq!(fetch(known.clone(), "GET", path, None).await, (200, "192.0.2.7".to_owned()));
    }
}

/// `into_make_service_with_connect_info` provides the peer.
#[tokio::test]
async fn connect_info_is_the_client_address_without_a_layer() {
    let test = TestGoat::new();
    let peer = Extension(ConnectInfo(SocketAddr::from(([192, 0, 2, 7], 4711))));
    let app = app(&test).layer(test.goat.limit(Quota::per_minute(1)).by_address());
    let served = app.clone().layer(peer);
    let response = fetch(served.clone(), "GET", "/address", None).await;
    assert_eq!(response, (200, "192.0.2.7".to_owned()));
    assert_eq!(fetch(served, "GET", "/address", None).await.0, 429);
    let found = Extension(ClientAddress::new([198, 51, 100, 1].into()));
    let response = fetch(app.layer(found).layer(peer), "GET", "/address", None).await;
    assert_eq!(response, (200, "198.51.100.1".to_owned()));
}

#[tokio::test]
async fn an_origin_extractor_never_fails() {
    let app = app(&TestGoat::new());
    let response = fetch(app.clone(), "GET", "/origin", None).await;
    assert_eq!(response, (200, "None None".to_owned()));
    let known = app.layer(Extension(ClientAddress::new([192, 0, 2, 7].into())));
    let request = Request::get("/origin").header("user-agent", "a test");
    let response = known.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"Some(192.0.2.7) Some("a test")"#);
}

/// Routes in nested routers, and a fallback.
fn routes() -> Router {
    let users = Router::new().route("/", get(nothing)).route("/{id}", get(nothing).put(nothing));
    Router::new().route("/reports/{id}", get(nothing)).nest("/users", users)
}

async fn nothing() {}

/// L3: each route has one counter for all parameters, and all unmatched paths share one. The last
/// request of each line is limited.
const SHARED: [&[(&str, &str, u16)]; 4] = [
    &[("GET", "/reports/1", 200), ("GET", "/reports/2", 429)],
    &[("GET", "/users/1", 200), ("PUT", "/users/2", 429), ("DELETE", "/users/3", 429)],
    &[("GET", "/users", 200), ("GET", "/users", 429)],
    &[("GET", "/nowhere", 404), ("GET", "/users/1/nowhere", 429), ("GET", "/other", 429)],
];

#[tokio::test]
async fn a_limit_by_path_template_counts_nested_routes_and_one_counter_for_unmatched_paths() {
    let test = TestGoat::new();
    let limit = test.goat.limit(Quota::per_minute(1)).by_path_template();
    for app in [
        routes().layer(limit.clone().named("around the outer router")),
        Router::new().merge(routes()).layer(limit.clone().named("around a merged one")),
    ] {
        for (method, path, expected) in SHARED.concat() {
            let (status, _) = fetch(app.clone(), method, path, None).await;
            assert_eq!(status, expected, "{method} {path}");
        }
    }
    let keys = test.goat.limits().load().unwrap().keys;
    let app = routes().layer(limit.named("around the outer router"));
    for index in 0..50 {
        assert_eq!(fetch(app.clone(), "GET", &format!("/{index}"), None).await.0, 429);
        assert_eq!(fetch(app.clone(), "GET", &format!("/users/{index}"), None).await.0, 429);
    }
    assert_eq!(test.goat.limits().load().unwrap().keys, keys);
}

#[tokio::test]
async fn a_limit_by_path_template_as_route_layer_counts_matched_routes_only() {
    let test = TestGoat::new();
    let limit = test.goat.limit(Quota::per_minute(1)).by_path_template();
    let app = routes().route_layer(limit.clone());
    for (method, path, expected) in SHARED[..3].concat() {
        assert_eq!(fetch(app.clone(), method, path, None).await.0, expected, "{method} {path}");
    }
    for _ in 0..3 {
        assert_eq!(fetch(app.clone(), "GET", "/nowhere", None).await.0, 404);
    }
    // Inside a nested router the whole template is counted.
    let users =
        Router::new().route("/{id}", get(nothing)).route_layer(limit.clone().named("inner"));
    let app = Router::new().nest("/users", users.clone()).nest("/people", users);
    for (path, expected) in [("/users/1", 200), ("/users/2", 429), ("/people/1", 200)] {
        assert_eq!(fetch(app.clone(), "GET", path, None).await.0, expected, "{path}");
    }
    // The same in a router mounted as a service; outside of it the route is unknown.
    let users = Router::new().route("/{id}", get(nothing)).layer(limit.clone().named("mounted"));
    let app = Router::new().nest_service("/users", users.clone()).nest_service("/people", users);
    for (path, expected) in [("/users/1", 200), ("/users/2", 429), ("/people/1", 200)] {
        assert_eq!(fetch(app.clone(), "GET", path, None).await.0, expected, "{path}");
    }
    let users = Router::new().route("/{id}", get(nothing));
    let app = Router::new().nest_service("/users", users).route("/reports", get(nothing));
    let app = app.layer(limit.clone().named("around what is mounted"));
    for (path, expected) in
        [("/users/1", 200), ("/users/2", 429), ("/nowhere", 429), ("/reports", 200)]
    {
        assert_eq!(fetch(app.clone(), "GET", path, None).await.0, expected, "{path}");
    }
    // Around the router the route is unknown, and all requests share one counter.
    let app = Router::new().fallback_service(limit.named("outside").layer(routes()));
    for (path, expected) in [("/users/1", 200), ("/reports/1", 429), ("/nowhere", 429)] {
        assert_eq!(fetch(app.clone(), "GET", path, None).await.0, expected, "{path}");
    }
}

#[tokio::test]
async fn users_are_counted_per_route() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let bob = test.sign_in("bob", []).await;
    let limit = test.goat.limit(Quota::per_minute(1)).by_user().by_path_template();
    let app = routes().layer(limit).layer(test.goat.authenticate());
    for (user, path, expected) in [
        (&alice, "/reports/1", 200),
        (&alice, "/users/1", 200),
        (&bob, "/reports/1", 200),
        (&alice, "/reports/2", 429),
        (&bob, "/reports/2", 429),
        (&bob, "/users/9", 200),
    ] {
        assert_eq!(fetch(app.clone(), "GET", path, Some(user)).await.0, expected, "{path}");
    }
}

/// G6: a handler that takes a `RecentPrincipal` runs only behind a layer that required a recent proof.
#[tokio::test]
async fn recent_principal_comes_from_a_layer_that_requires_a_recent_proof() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", []).await;
    let id = alice.user.id.to_string();
    let goat = &test.goat;
    let anyone = Requirement::signed_in;
    let app = Router::new()
        .route("/recent", get(recent).route_layer(goat.require(anyone()).recent()))
        .route("/fresh", get(recent_as_fresh).route_layer(goat.require(anyone()).recent()))
        .route("/unproven", get(recent).route_layer(goat.require(anyone()).fresh()))
        .route("/twice", get(recent_twice).route_layer(goat.require(anyone()).recent()))
        .route("/alone", get(recent))
        .layer(goat.authenticate());
    for path in ["/recent", "/fresh"] {
        let answer = fetch(app.clone(), "GET", path, Some(&alice)).await;
        assert_eq!(answer, (200, id.clone()), "{path}");
    }
    for path in ["/unproven", "/twice", "/alone"] {
        assert_eq!(fetch(app.clone(), "GET", path, Some(&alice)).await.0, 500, "{path}");
    }
    test.clock.advance(std::time::Duration::from_secs(301));
    for path in ["/recent", "/fresh", "/twice"] {
        let (status, body) = fetch(app.clone(), "GET", path, Some(&alice)).await;
        assert_eq!(status, 401, "{path}");
        assert!(body.contains("step-up-required"), "{path}: {body}");
    }
}
