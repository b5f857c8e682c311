//! `GET /api/ready` and `GET /api/health`.

use std::time::Duration;

use goat_core::Stores;
use goat_core::testing::{Failpoints, Point};
use serde_json::json;

use crate::support::app::{TestApp, TestResponse};

fn assert_not_ready(response: &TestResponse, case: &str) {
    assert_eq!(response.failure(), (503, "unavailable"), "{case}");
    assert!(!response.header("retry-after").is_empty(), "{case}");
    let shown = response.json.to_string();
    for word in ["users", "sessions", "store", "ping", "127.0.0.1", "localhost"] {
        assert!(!shown.contains(word), "{case}: {shown}");
    }
}

/// O2: readiness depends on the stores, liveness does not, and both are bounded in time.
#[tokio::test(start_paused = true)]
async fn failing_or_hanging_store_is_not_ready_but_healthy() {
    let (stores, failpoints) = Failpoints::over(Stores::memory());
    let app = TestApp::with(|setup| setup.stores = stores).await;
    let ready = async || app.get("/api/ready").send().await;
    assert_eq!(ready().await.json, json!({"status": "ready"}));
    for call in ["users.ping", "sessions.ping"] {
        failpoints.fail(call, Point::Entry);
        assert_not_ready(&ready().await, call);
        let held = failpoints.hold(call, Point::Entry);
        let asked = tokio::time::Instant::now();
        assert_not_ready(&ready().await, call);
        let bound = Duration::from_millis(1_500);
        assert!(asked.elapsed() < bound, "{call}: {:?}", asked.elapsed());
        drop(held);
        assert_eq!(ready().await.status, 200, "{call}");
    }
    let _before = failpoints.take_calls();
    let health = app.get("/api/health").send().await;
    assert_eq!(health.json, json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}));
    assert_eq!(failpoints.take_calls(), [""; 0], "no store call");
}

/// O2
#[tokio::test]
async fn not_ready_before_the_start_and_while_draining() {
    let app = TestApp::with(|setup| setup.ready = false).await;
    assert_eq!(app.get("/api/health").send().await.json["status"], "ok");
    assert_not_ready(&app.get("/api/ready").send().await, "starting");
    app.lifecycle.ready();
    assert_eq!(app.get("/api/ready").send().await.status, 200);
    app.lifecycle.drain();
    let draining = app.get("/api/ready").send().await;
    assert_not_ready(&draining, "draining");
    assert_eq!(draining.header("retry-after"), "1");
    assert_eq!(app.get("/api/health").send().await.status, 200);
}
