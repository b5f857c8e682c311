//! The API mounted in another application's router, as the crate documentation shows it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::get;
use goat_core::{Goat, Stores, testing::PlainHasher, token::TokenKeys};
use goat_server::api::AppState;
use goat_server::api::router;
use goat_server::observe::metrics::Metrics;
use goat_server::serve::Lifecycle;
use goat_server::start::settings::{Flags, Settings};
use goat_tower::{GoatExt as _, Principal};
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

async fn hello(me: Principal) -> String {
    format!("hello, {}", me.user())
}

fn app() -> Router {
    let goat = Goat::builder(Stores::memory(), TokenKeys::generate())
        .hasher(Arc::new(PlainHasher::default()))
        .build()
        .expect("settings within bounds");
    let nowhere = Path::new("there-is-no.env");
    let (settings, _) = Settings::load([], &Flags::default(), nowhere).expect("the defaults");
    let api = router(AppState {
        goat: goat.clone(),
        metrics: Metrics::new(),
        lifecycle: Lifecycle::new(),
        http: Arc::new(settings.http),
        limits: Arc::new(settings.limits),
    });
    Router::new().route("/hello", get(hello)).layer(goat.authenticate()).merge(api)
}

/// Sends a request as axum's server passes it on, and returns the status and the body.
async fn call(app: &Router, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
    let peer = ConnectInfo(SocketAddr::from(([192, 0, 2, 7], 4711)));
    let mut request = Request::builder().method(method).uri(path).extension(peer);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request =
        request.header("content-type", "application/json").body(Body::from(body.to_owned()));
    let response = app.clone().oneshot(request.expect("a request")).await.expect("a response");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn token_of_the_api_authenticates_routes_of_the_application() {
    let app = app();
    let form = r#"{"email": "ann@example.org", "password": "a long walk on a short pier"}"#;
    let (status, body) = call(&app, "POST", "/api/v1/auth/signup", "", form).await;
    assert_eq!(status, 201, "{body}");
    let (status, body) = call(&app, "POST", "/api/v1/auth/login", "", form).await;
    assert_eq!(status, 200, "{body}");
    let tokens: Value = serde_json::from_str(&body).expect("JSON");
    let token = tokens["data"]["access_token"].as_str().expect("a token");

    assert_eq!(call(&app, "GET", "/hello", "", "").await.0, 401);
    let (status, greeting) = call(&app, "GET", "/hello", token, "").await;
    assert_eq!(status, 200, "{greeting}");
    assert!(greeting.starts_with("hello, "), "{greeting}");

    let sessions = call(&app, "GET", "/api/v1/sessions", token, "").await;
    assert!(sessions.1.contains("192.0.2.7"), "{sessions:?}");
    assert_eq!(call(&app, "POST", "/api/v1/auth/logout", token, "").await.0, 204);
    assert_eq!(call(&app, "GET", "/hello", token, "").await.0, 401);
}
