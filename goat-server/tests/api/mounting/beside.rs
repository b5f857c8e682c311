//! The API beside the routes and the fallback of an application, and beside itself.

use axum::Router;
use axum::routing::get;
use goat_core::Quota;
use goat_server::start::settings::MountSettings;
use goat_server::{Api, Group};
use goat_tower::{GoatExt as _, Principal};
use http::Method;
use serde_json::json;

use super::{application, assert_fallback, assert_problem, document};
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp};
use crate::support::backend::Backend;

on_every_backend!(token_of_the_api_authenticates_routes_of_the_application);

async fn token_of_the_api_authenticates_routes_of_the_application(backend: Backend) {
    async fn hello(me: Principal) -> String {
        format!("hello, {}", me.user())
    }
    let app = TestApp::on(backend).await;
    let own = Router::new().route("/hello", get(hello)).layer(app.goat.authenticate());
    // The default settings, as an application gets them.
    let api = Api::new(app.goat.clone()).prefix("/auth");
    let app = app.within(own.merge(api.into_router()));

    let form = json!({"email": "ann@example.org", "password": PASSWORD});
    let signed_up = app.post("/auth/api/v1/auth/signup").json(&form).send().await;
    assert_eq!(signed_up.status, 201, "{}", signed_up.json);
    let signed_in = app.post("/auth/api/v1/auth/login").json(&form).send().await;
    let token = signed_in.data()["access_token"].as_str().expect("a token");

    assert_eq!(app.get("/hello").send().await.status, 401);
    let greeting = app.get("/hello").bearer(token).send().await;
    assert_eq!(greeting.status, 200);
    assert!(greeting.body.starts_with(b"hello, "));
    let sessions = app.get("/auth/api/v1/sessions").bearer(token).send().await;
    assert_eq!(sessions.data()[0]["ip"], crate::support::app::CLIENT);
    assert_eq!(app.get("/auth/api/ready").send().await.status, 200);
    // L6
    assert_eq!(app.get("/auth/api/metrics").send().await.status, 401);
    assert_eq!(app.post("/auth/api/v1/auth/logout").bearer(token).send().await.status, 204);
    assert_eq!(app.get("/hello").bearer(token).send().await.status, 401);
}

#[tokio::test]
async fn unknown_paths_of_the_subtree_are_problems_and_others_the_applications() {
    let app = TestApp::new().await;
    let mounted = application([app.api.clone().prefix("/auth")]);
    let app = app.within(mounted);
    for path in ["/auth", "/auth/", "/auth/login", "/auth/api", "/auth/api/v1/unknown"] {
        assert_problem(&app.get(path).send().await, (404, "not-found"), path);
    }
    let path = "/auth/api/v1/sessions";
    let response = app.post(path).send().await;
    assert_problem(&response, (405, "method-not-allowed"), path);
    assert_eq!(response.header("allow"), "DELETE, GET, HEAD");
    for path in ["/unknown", "/api/health", "/.well-known/jwks.json", "/login", "/api"] {
        assert_fallback(&app.get(path).send().await, path);
    }
}

#[tokio::test]
async fn an_api_without_a_prefix_leaves_other_paths_to_the_application() {
    let app = TestApp::new().await;
    let mounted = application([app.api.clone()]);
    let app = app.within(mounted);
    assert_eq!(app.get("/api/health").send().await.status, 200);
    assert_eq!(app.get("/.well-known/jwks.json").send().await.status, 200);
    assert_eq!(app.get("/api/shop").send().await.body, "the shop's own API");
    for path in ["/api", "/api/", "/api/v1", "/api/v1/unknown"] {
        assert_problem(&app.get(path).send().await, (404, "not-found"), path);
    }
    for path in ["/unknown", "/.well-known/other", "/login", "/logout"] {
        assert_fallback(&app.get(path).send().await, path);
    }
}

#[tokio::test]
async fn routes_of_the_application_have_none_of_the_middleware() {
    let app = TestApp::with(|setup| {
        setup.limits.public = Some(Quota::per_minute(1));
        setup.http.cors_origins = vec!["https://shop.example.org".to_owned()];
        setup.http.public_url = Some("https://id.example.org".parse().expect("a URL"));
    })
    .await;
    let (api, alone) = (app.api.clone().prefix("/auth"), application([]));
    let app = app.within(alone);
    let requests = [(Method::GET, "/"), (Method::GET, "/other"), (Method::OPTIONS, "/")];
    let mut expected = Vec::new();
    for (method, path) in &requests {
        expected.push(app.request(method.clone(), path).send().await);
    }
    let app = app.within(application([api]));
    for _ in 0..3 {
        for ((method, path), alone) in requests.iter().zip(&expected) {
            let request = app.request(method.clone(), path);
            let request = request.header("origin", "https://shop.example.org");
            let request = request.header("access-control-request-method", "GET");
            let beside = request.header("authorization", "Bearer nonsense").send().await;
            assert_eq!(beside.status, alone.status, "{method} {path}");
            assert_eq!(beside.headers, alone.headers, "{method} {path}");
            assert_eq!(beside.body, alone.body, "{method} {path}");
        }
    }
    let limited = ["/auth/a", "/auth/b"].map(|path| app.get(path));
    let [first, second] = limited;
    assert_eq!(first.send().await.status, 404);
    assert_eq!(second.send().await.status, 429, "the API has its limits");
}

on_every_backend!(groups_under_several_prefixes_are_one_system);

async fn groups_under_several_prefixes_are_one_system(backend: Backend) {
    let app = TestApp::on(backend).await;
    let api = app.api.clone();
    let mounts = [
        api.clone().prefix("/auth").groups([Group::Accounts]),
        api.clone().prefix("/auth/admin").groups([Group::Administration]),
        api.prefix("/ops").groups([Group::Operations]),
    ];
    let mounted = application(mounts);
    let app = app.within(mounted);
    let admin = app.admin().await;
    let body = json!({"email": admin.email, "password": PASSWORD});
    let signed_in = app.post("/auth/api/v1/auth/login").json(&body).send().await;
    let token = signed_in.data()["access_token"].as_str().expect("a token");
    let users = app.get("/auth/admin/api/v1/user/list").bearer(token).send().await;
    assert_eq!(users.data()[0]["email"], admin.email);
    assert_eq!(app.get("/ops/api/health").send().await.status, 200);
    let operations = document(&app, "/ops/api/openapi.json").await;
    assert!(operations["paths"].get("/api/health").is_some());
    assert!(operations["paths"].get("/api/v1/auth/login").is_none());
    for path in
        ["/auth/api/v1/role", "/auth/admin/api/v1/sessions", "/ops/api/v1/user", "/auth/admin"]
    {
        assert_problem(&app.get(path).bearer(token).send().await, (404, "not-found"), path);
    }
    assert_fallback(&app.get("/unknown").send().await, "/unknown");
    assert_eq!(app.post("/auth/api/v1/auth/logout").bearer(token).send().await.status, 204);
    let ended = app.get("/auth/admin/api/v1/user/list").bearer(token).send().await;
    assert_eq!(ended.failure(), (401, "session-revoked"));
}

/// L3
#[tokio::test]
async fn metrics_name_routes_as_without_a_prefix() {
    let app = TestApp::new().await;
    let mounted = application([app.api.clone().prefix("/auth")]);
    let app = app.within(mounted);
    let user = app.client().await;
    assert_eq!(app.get("/auth/api/v1/user").bearer(&user.token).send().await.status, 200);
    assert_eq!(app.get("/auth/unknown").send().await.status, 404);
    assert_eq!(app.get("/unknown").send().await.status, 404);
    let metrics = app.get("/auth/api/metrics").send().await;
    let metrics = std::str::from_utf8(&metrics.body).expect("UTF-8");
    let counted = metrics.lines().filter(|line| line.starts_with("http_requests_total{"));
    let counted: Vec<_> = counted.collect();
    assert_eq!(counted.len(), 2, "{counted:?}");
    assert!(counted.iter().any(|line| line.contains("route=\"/api/v1/user\"")), "{counted:?}");
    assert!(counted.iter().all(|line| !line.contains("auth")), "{counted:?}");
}

/// B1
#[tokio::test]
async fn mounts_of_one_goat_share_its_limits() {
    let app = TestApp::with(|setup| setup.limits.auth = Some(Quota::per_minute(2))).await;
    let mounts = ["/a", "/b"].map(|prefix| app.api.clone().prefix(prefix));
    let mounted = application(mounts);
    let app = app.within(mounted);
    let mut statuses = Vec::new();
    for prefix in ["/a", "/b", "/a", "/b"] {
        let body = json!({"email": "ann@example.org", "password": "wrong"});
        let path = format!("{prefix}/api/v1/auth/login");
        statuses.push(app.post(&path).json(&body).send().await.status);
    }
    assert_eq!(statuses, [401, 401, 429, 429]);
}

#[tokio::test]
async fn settings_may_come_from_the_environment() {
    let environment = [
        ("GOAT_RATE_LIMIT_PUBLIC", "1/1m"),
        ("GOAT_TRUSTED_PROXIES", "192.0.2.0/24"),
        // Those of the goat are the application's own business.
        ("DATABASE_URL", "mysql://shop"),
        ("GOAT_ENV", "staging"),
    ];
    let environment = environment.map(|(name, value)| (name.into(), value.into()));
    let (settings, warnings) = MountSettings::load(environment).expect("valid settings");
    assert!(warnings.is_empty(), "{warnings:?}");
    let app = TestApp::new().await;
    let api = Api::new(app.goat.clone()).http(settings.http).limits(settings.limits);
    let mounted = application([api]);
    let app = app.within(mounted);
    let health = app.get("/api/health").header("x-request-id", "of-the-proxy").send().await;
    assert_eq!(health.header("x-request-id"), "of-the-proxy");
    assert_eq!(app.get("/api/a").send().await.status, 404);
    assert_eq!(app.get("/api/b").send().await.status, 429);

    let invalid =
        [("GOAT_RATE_LIMIT_PUBLIC", "many"), ("GOAT_LOGIN_PAGE", "on"), ("GOAT_LIMIT", "1")];
    let invalid = invalid.map(|(name, value)| (name.into(), value.into()));
    let invalid = MountSettings::load(invalid).expect_err("two are wrong");
    let named: Vec<_> = invalid.problems.iter().map(|problem| problem.variable()).collect();
    assert_eq!(named, ["GOAT_LOGIN_PAGE", "GOAT_RATE_LIMIT_PUBLIC"]);
    assert_eq!(invalid.warnings.len(), 1, "an unknown name");
}
