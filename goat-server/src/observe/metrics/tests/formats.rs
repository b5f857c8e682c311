use std::collections::BTreeMap;

use goat_core::auth::Login;
use goat_core::session::Origin;
use http::{Method, StatusCode};

use super::parser::{Format, parse};
use super::*;

const ASKS_OPEN_METRICS: Option<&str> = Some("application/openmetrics-text;version=1.0.0");

/// Returns metrics with a sample in every family.
async fn busy() -> (Arc<Metrics>, Goat) {
    let metrics = Metrics::new();
    let goat = goat(&metrics);
    let request = Login {
        email: "nobody@example.org".into(),
        password: "a long walk on a short pier".into(),
        device_token: None,
        origin: Origin::default(),
    };
    goat.login(request).await.unwrap_err();
    metrics.denied("a \"quoted\" \\ name\nof two lines");
    metrics.request_started(&Method::GET).finish(
        Some("/users/{id}".into()),
        Some(StatusCode::OK),
        Duration::from_millis(3),
    );
    metrics.request_started(&Method::GET).finish(None, None, Duration::from_secs(60));
    (metrics, goat)
}

#[tokio::test]
async fn both_formats_follow_their_specifications_and_agree() {
    let (metrics, goat) = busy().await;
    let (content_type, text) = metrics.expose(&goat, ASKS_OPEN_METRICS);
    assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let open_metrics = parse(&text, Format::OpenMetrics);
    let (content_type, text) = metrics.expose(&goat, Some("*/*"));
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    let prometheus = parse(&text, Format::Prometheus);

    assert_eq!(open_metrics.series, prometheus.series);
    let renamed: BTreeMap<_, _> = (open_metrics.types.into_iter())
        .map(|(name, kind)| match kind.as_str() {
            "counter" => (format!("{name}_total"), kind),
            "info" => (format!("{name}_info"), "gauge".to_owned()),
            _ => (name, kind),
        })
        .collect();
    assert_eq!(renamed, prometheus.types);
}

#[tokio::test]
async fn every_family_is_exposed() {
    let (metrics, goat) = busy().await;
    let (_, text) = metrics.expose(&goat, None);
    let types = parse(&text, Format::Prometheus).types;
    let families: Vec<_> =
        types.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
    let expected = [
        ("goat_build_info", "gauge"),
        ("goat_clock_ahead_seconds", "gauge"),
        ("goat_clock_steps_back_total", "counter"),
        ("goat_events_total", "counter"),
        ("goat_limit_denials_total", "counter"),
        ("goat_limit_keys", "gauge"),
        ("goat_limit_overflows_total", "counter"),
        ("goat_logins_total", "counter"),
        ("goat_password_hashes_running", "gauge"),
        ("goat_password_hashes_waiting", "gauge"),
        ("goat_refreshes_total", "counter"),
        ("goat_session_cache_entries", "gauge"),
        ("goat_session_cache_evictions_total", "counter"),
        ("goat_session_cache_hits_total", "counter"),
        ("goat_session_cache_misses_total", "counter"),
        ("goat_sessions_ended_total", "counter"),
        ("goat_store_call_duration_seconds", "histogram"),
        ("goat_store_call_errors_total", "counter"),
        ("goat_store_calls_total", "counter"),
        ("http_request_duration_seconds", "histogram"),
        ("http_requests_in_flight", "gauge"),
        ("http_requests_total", "counter"),
    ];
    assert_eq!(families, expected);
}

#[tokio::test]
async fn request_without_a_status_is_labelled_none() {
    let (metrics, goat) = busy().await;
    let name = r#"http_requests_total{method="GET",route="unmatched",status="none"}"#;
    assert_eq!(sample(&metrics, &goat, name), Some(1.0));
}
