//! `GET /api/metrics`.

use std::collections::BTreeSet;

use serde_json::json;

use crate::backends::on_every_backend;
use crate::support::app::{CLIENT, PASSWORD, TestApp};
use crate::support::backend::Backend;

/// The exposition in the text format of Prometheus.
async fn scrape(app: &TestApp) -> String {
    let response = app.get("/api/metrics").send().await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    String::from_utf8(response.body.to_vec()).expect("UTF-8")
}

/// The names of all series with their labels.
fn series(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').expect("a value").0).collect()
}

on_every_backend!(every_metric_of_the_contract_is_exposed);

async fn every_metric_of_the_contract_is_exposed(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    for password in [PASSWORD, "wrong"] {
        let body = json!({"email": client.email, "password": password});
        app.post("/api/v1/auth/login").json(&body).send().await;
    }
    let body = json!({"refresh_token": client.refresh_token});
    app.post("/api/v1/auth/refresh").json(&body).send().await;
    app.get("/api/v1/user").bearer(&client.token).send().await;
    app.get("/api/v1/user").bearer(&client.token).send().await;
    let text = scrape(&app).await;
    let shown = series(&text);
    for expected in [
        r#"http_requests_total{method="POST",route="/api/v1/auth/login",status="200"}"#,
        r#"http_requests_total{method="POST",route="/api/v1/auth/login",status="401"}"#,
        r#"http_request_duration_seconds_count{method="GET",route="/api/v1/user",status="200"}"#,
        r#"http_request_duration_seconds_bucket{le="0.005",method="GET",route="/api/v1/user",status="200"}"#,
        r#"http_requests_in_flight{method="GET"}"#,
        r#"goat_logins_total{outcome="success"}"#,
        r#"goat_logins_total{outcome="invalid-credentials"}"#,
        r#"goat_refreshes_total{outcome="success"}"#,
        "goat_session_cache_hits_total",
        "goat_session_cache_misses_total",
        "goat_password_hashes_running",
        "goat_password_hashes_waiting",
        r#"goat_store_calls_total{operation="users.by_email"}"#,
        r#"goat_store_call_errors_total{operation="users.by_email"}"#,
        r#"goat_store_call_duration_seconds_count{operation="sessions.rotate"}"#,
    ] {
        assert!(shown.contains(expected), "{expected}: {text}");
    }
    // Counters of limits exist only where the process counts them.
    let counts_limits = app.goat.limits().load().is_some();
    for expected in ["goat_limit_keys", "goat_limit_overflows_total"] {
        assert_eq!(shown.contains(expected), counts_limits, "{expected}: {text}");
    }
    assert!(text.contains("goat_logins_total{outcome=\"invalid-credentials\"} 1\n"), "{text}");
    // L1: no user is named.
    for secret in [&client.email, &client.id.to_string(), CLIENT, &client.token] {
        assert!(!text.contains(secret), "{secret}");
    }
    let accepted = app.get("/api/metrics").header("accept", "application/openmetrics-text");
    let response = accepted.send().await;
    assert!(response.header("content-type").starts_with("application/openmetrics-text"));
    assert!(response.body.ends_with(b"# EOF\n"));
}

/// L3
#[tokio::test]
async fn invented_paths_and_methods_create_no_series() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let send = async |number: usize| {
        let paths = [
            format!("/{number}"),
            format!("/api/v1/user/{number}"),
            format!("/api/v1/permission/role-{number}"),
            format!("/api/v1/user/list?page={number}x"),
            format!("/api/%{number}/v1"),
        ];
        let path = &paths[number % paths.len()];
        app.get(path).bearer(&admin.token).send().await;
        if number.is_multiple_of(10) {
            let method = format!("M{number}").parse().expect("a method");
            app.request(method, path).send().await;
        }
    };
    for number in 0..50 {
        send(number).await;
    }
    scrape(&app).await;
    let before = scrape(&app).await;
    for number in 50..10_000 {
        send(number).await;
    }
    let after = scrape(&app).await;
    assert_eq!(series(&before), series(&after));
    assert_ne!(before, after, "they were counted");
}

#[tokio::test]
async fn metrics_are_public_unless_they_have_a_listener_of_their_own() {
    let app = TestApp::new().await;
    app.get("/.well-known/jwks.json").send().await;
    let metrics = app.get("/api/metrics").send().await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").starts_with("text/plain"));
    let text = String::from_utf8(metrics.body.to_vec()).expect("UTF-8");
    let counted =
        r#"http_requests_total{method="GET",route="/.well-known/jwks.json",status="200"} 1"#;
    assert!(text.contains(counted), "{text}");
    let moved = TestApp::with(|setup| setup.http.metrics_listen = "127.0.0.1:0".parse().ok()).await;
    assert_eq!(moved.get("/api/metrics").send().await.status, 404);
}

/// L6: metrics tell whether a sign-in found an account.
#[tokio::test]
async fn metrics_require_a_permission_where_they_are_not_public() {
    let app = TestApp::with(|setup| {
        setup.shipped_limits();
        setup.http.public_metrics = false;
    })
    .await;
    let response = app.get("/api/metrics").send().await;
    assert_eq!(response.failure(), (401, "unauthenticated"));
    assert_eq!(response.header("www-authenticate"), "Bearer realm=\"goat\"");
    let (client, admin) = (app.client().await, app.admin().await);
    let response = app.get("/api/metrics").bearer(&client.token).send().await;
    assert_eq!(response.failure(), (403, "forbidden"));
    let grant = json!({"role": "client", "action": "metrics:read"});
    app.post("/api/v1/permission").bearer(&admin.token).json(&grant).send().await.data();
    // More often than any limit allows.
    for _ in 0..500 {
        let response = app.get("/api/metrics").bearer(&client.token).send().await;
        assert_eq!(response.status, 200);
        assert_eq!(response.header("ratelimit"), "");
    }
    let wrong = app.request(http::Method::POST, "/api/metrics").send().await;
    assert_eq!(wrong.failure(), (405, "method-not-allowed"));
}

/// L3
#[tokio::test]
async fn requests_are_counted_by_route_template() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    for path in ["/nowhere", "/api/v1/user/%2e", "/api/v1/user/x", &admin.path()] {
        app.get(path).bearer(&admin.token).send().await;
    }
    let metrics = app.get("/api/metrics").send().await;
    let text = String::from_utf8(metrics.body.to_vec()).expect("UTF-8");
    let prefix = "http_requests_total{";
    let mut series: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(prefix)).collect();
    series.sort_unstable();
    let unmatched = goat_server::observe::metrics::UNMATCHED;
    let mut expected = [
        format!("method=\"GET\",route=\"{unmatched}\",status=\"404\"}} 2"),
        r#"method="GET",route="/api/v1/user/{id}",status="200"} 1"#.to_owned(),
        r#"method="GET",route="/api/v1/user/{id}",status="400"} 1"#.to_owned(),
    ];
    expected.sort_unstable();
    assert_eq!(series, expected);
}
