//! `GET /api/ready` and `GET /api/health`.

use std::time::Duration;

use goat_core::testing::{Failpoints, Point};
use goat_core::{Clock, Stores};
use serde_json::json;
use tokio::task::JoinSet;

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
    let ready = async || {
        // The previous outcome is no longer kept.
        app.clock.advance(Duration::from_millis(251));
        app.get("/api/ready").send().await
    };
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

/// W4: one check for all concurrent and recent probes, whatever its outcome.
#[tokio::test]
async fn probes_share_one_check_for_250_ms() {
    const PROBES: usize = 20_000;
    let (stores, failpoints) = Failpoints::over(Stores::memory());
    let app = TestApp::with(|setup| setup.stores = stores).await;
    let checks = || {
        let calls = failpoints.take_calls();
        calls.into_iter().filter(|call| call.ends_with(".ping")).collect::<Vec<_>>()
    };
    for (call, status) in [("", 200), ("sessions.ping", 503), ("", 200)] {
        if !call.is_empty() {
            failpoints.fail(call, Point::Return);
        }
        // The first probes wait for the check, and its client leaves.
        let held = failpoints.hold("users.ping", Point::Entry);
        let ping = || {
            let goat = app.goat.clone();
            async move { goat.ping().await.is_ok() }
        };
        let first = tokio::spawn(ping());
        held.reached().await;
        first.abort();
        let mut probes: JoinSet<bool> = (0..PROBES).map(|_| ping()).collect();
        tokio::task::yield_now().await;
        held.release();
        while let Some(is_ready) = probes.join_next().await {
            assert_eq!(is_ready.expect("no panic"), status == 200);
        }
        assert_eq!(app.get("/api/ready").send().await.status, status);
        assert_eq!(checks(), ["users.ping", "sessions.ping"], "{call}");
        app.clock.advance(Duration::from_millis(250));
        assert_eq!(app.get("/api/ready").send().await.status, status);
        assert_eq!(checks(), [""; 0], "the outcome is kept");
        app.clock.advance(Duration::from_millis(1));
    }
}

/// O6: a clock that jumped ahead and came back restores nothing, so the server's time stays ahead; tokens
/// would be dated in the future for other services.
#[tokio::test]
async fn not_ready_while_the_time_is_ahead_of_a_clock_that_was_set_back() {
    const HOUR: Duration = Duration::from_secs(3600);
    let app = TestApp::new().await;
    let client = app.client().await;
    let ready = async || {
        // Answers may be kept for a moment.
        app.clock.advance(Duration::from_secs(1));
        app.get("/api/ready").send().await
    };
    let metrics = async || {
        let body = app.get("/api/metrics").send().await.body;
        let text = String::from_utf8(body.to_vec()).expect("UTF-8");
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a metric");
            line.trim().parse::<u64>().expect("a number")
        };
        (value("goat_clock_ahead_seconds "), value("goat_clock_steps_back_total "))
    };
    assert_eq!((ready().await.status, metrics().await), (200, (0, 0)));
    let start = app.clock.now();
    app.clock.set_wall_clock(start + HOUR);
    assert_eq!((ready().await.status, metrics().await), (200, (0, 0)));
    app.clock.set_wall_clock(start + HOUR - Duration::from_secs(3));
    assert_eq!(ready().await.status, 200, "within the tolerance");

    app.clock.set_wall_clock(start);
    assert_not_ready(&ready().await, "set back");
    assert_eq!(metrics().await, (3602, 1));
    assert_eq!(app.get("/api/health").send().await.status, 200);
    // The access token stays expired.
    let response = app.get("/api/v1/user").bearer(&client.token).send().await;
    assert_eq!(response.failure(), (401, "token-expired"));

    app.clock.set_wall_clock(start + HOUR * 2);
    assert_eq!((ready().await.status, metrics().await), (200, (0, 1)));
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
