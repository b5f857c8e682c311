use axum::Router;
use axum::routing::get;
use goat_core::auth::{Login, SignUp};
use goat_core::session::{Origin, OtherSessions};
use goat_core::{Email, ErrorKind, Secret};
use http::{Method, Request};
use tower::ServiceExt as _;

use super::parser::{Format, parse};
use super::*;
use crate::observe::logging::{RecordContextLayer, RequestLogLayer};

fn login(password: &str) -> Login {
    Login {
        email: "ann@example.org".into(),
        password: Secret::new(password.to_owned()),
        device_token: None,
        origin: Origin::default(),
    }
}

const PASSWORD: &str = "a long walk on a short pier";

async fn sign_up(goat: &Goat) {
    goat.sign_up(SignUp {
        email: Email::parse("ann@example.org").unwrap(),
        password: Some(PASSWORD.into()),
        origin: Origin::default(),
    })
    .await
    .unwrap();
}

/// L3
#[tokio::test]
async fn random_paths_add_no_series() {
    let metrics = Metrics::new();
    let goat = goat(&metrics);
    let app = Router::new()
        .route("/users/{id}", get(async || "a user"))
        .layer(RecordContextLayer)
        .layer(RequestLogLayer::new(Arc::clone(&metrics)));
    let ask = async |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(axum::body::Body::empty()).unwrap();
        let answer = app.clone().oneshot(request).await.unwrap();
        axum::body::to_bytes(answer.into_body(), 1024).await.unwrap();
    };
    let series = || parse(&metrics.expose(&goat, None).1, Format::Prometheus).series;
    for path in ["/users/1", "/nowhere"] {
        for method in ["GET", "PURGE"] {
            ask(method, path).await;
        }
    }
    let before: Vec<_> = series().into_keys().collect();
    for number in 0..10_000_u32 {
        // A pseudo-random sequence without repetition.
        let random = number.wrapping_mul(2_654_435_761);
        let method = if number % 2 == 0 { "GET".to_owned() } else { format!("X{random:x}") };
        let path = if number % 3 == 0 { format!("/users/{random}") } else { format!("/{random}") };
        ask(&method, &path).await;
    }
    let after = series();
    assert_eq!(after.keys().cloned().collect::<Vec<_>>(), before);
    assert_eq!(
        after[r#"http_requests_total{method="GET",route="/users/{id}",status="200"}"#],
        1668.0
    );
    let all: f64 = (after.iter())
        .filter(|(series, _)| series.starts_with("http_requests_total"))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(all, 10_004.0);
}

#[test]
fn request_is_in_flight_until_finished_or_dropped() {
    let metrics = Metrics::new();
    let goat = goat(&metrics);
    let count = || sample(&metrics, &goat, r#"http_requests_in_flight{method="POST"}"#);
    let one = metrics.request_started(&Method::POST);
    let two = metrics.request_started(&Method::POST);
    assert_eq!(count(), Some(2.0));
    drop(one);
    assert_eq!(count(), Some(1.0));
    two.finish(None, None, Duration::ZERO);
    assert_eq!(count(), Some(0.0));
}

#[tokio::test]
async fn logins_and_refreshes_are_counted_by_outcome() {
    let metrics = Metrics::new();
    let goat = goat(&metrics);
    let count = |name: &str| sample(&metrics, &goat, name).unwrap_or(0.0);
    sign_up(&goat).await;
    goat.login(login("another one altogether")).await.unwrap_err();
    let tokens = goat.login(login(PASSWORD)).await.unwrap().value.tokens;
    assert_eq!(count(r#"goat_logins_total{outcome="success"}"#), 1.0);
    assert_eq!(count(r#"goat_logins_total{outcome="invalid-credentials"}"#), 1.0);
    assert_eq!(count(r#"goat_events_total{event="signed-up"}"#), 1.0);

    let origin = Origin::default();
    let first = tokens.refresh_token;
    let second = goat.refresh(&first, &origin).await.unwrap().tokens.refresh_token;
    goat.refresh(&first, &origin).await.unwrap();
    goat.refresh(&second, &origin).await.unwrap();
    goat.refresh(&first, &origin).await.unwrap_err();
    goat.refresh(&second, &origin).await.unwrap_err();
    for outcome in ["repeated", "reused", "session-revoked"] {
        assert_eq!(count(&format!("goat_refreshes_total{{outcome=\"{outcome}\"}}")), 1.0);
    }
    assert_eq!(count(r#"goat_refreshes_total{outcome="success"}"#), 2.0);
    assert_eq!(count(r#"goat_sessions_ended_total{reason="reused"}"#), 1.0);
}

#[tokio::test]
async fn sessions_denials_caches_and_store_calls_are_counted() {
    let metrics = Metrics::new();
    let goat = goat(&metrics);
    goat.prepare().await.unwrap();
    let count = |name: &str| sample(&metrics, &goat, name).unwrap_or(0.0);
    sign_up(&goat).await;
    let mut principals = Vec::new();
    for _ in 0..3 {
        let tokens = goat.login(login(PASSWORD)).await.unwrap().value.tokens;
        let access = tokens.access_token.expose();
        goat.authenticate_token(access).await.unwrap();
        principals.push(goat.authenticate_token(access).await.unwrap());
    }
    assert_eq!(count("goat_session_cache_hits_total"), 3.0);
    assert_eq!(count("goat_session_cache_misses_total"), 3.0);
    // Each login evicts the user's earlier entries, whose profile has the time of the last one.
    assert_eq!(count("goat_session_cache_entries"), 1.0);

    let origin = Origin::default();
    goat.logout(&principals[0], &origin).await.unwrap();
    goat.sessions().revoke_all(&principals[1], OtherSessions::KeepCurrent).await.unwrap();
    assert_eq!(count(r#"goat_sessions_ended_total{reason="signed-out"}"#), 1.0);
    assert_eq!(count(r#"goat_sessions_ended_total{reason="revoked"}"#), 1.0);
    assert!(count("goat_session_cache_evictions_total") >= 2.0);

    let refused = async || goat.login(login("another one altogether")).await.unwrap_err();
    while refused().await.kind() != ErrorKind::RateLimited {}
    assert_eq!(count(r#"goat_limit_denials_total{limit="account"}"#), 1.0);
    // The account's counters of a minute and of a day.
    assert_eq!(count("goat_limit_keys"), 2.0);

    assert_eq!(count(r#"goat_store_calls_total{operation="sessions.create"}"#), 3.0);
    assert_eq!(count(r#"goat_store_call_errors_total{operation="sessions.create"}"#), 0.0);
    let counted = r#"goat_store_call_duration_seconds_count{operation="sessions.create"}"#;
    assert_eq!(count(counted), 3.0);
}
