//! `POST /api/v1/auth/refresh`: rotation, the grace period for lost responses, and reuse detection.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use goat_core::Status;
use goat_core::testing::Point;
use serde_json::{Value, json};

use super::{profile, refresh, revoked};
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp, TestUser};
use crate::support::backend::Backend;

/// The default grace period.
const GRACE_PERIOD: Duration = Duration::from_secs(10);

/// Refreshes and returns the next access token and refresh token.
async fn next(app: &TestApp, token: &str) -> (String, String) {
    let response = refresh(app, token).await;
    assert_eq!(response.status, 200, "{}", response.json);
    let text = |name: &str| response.data()[name].as_str().expect("a token").to_owned();
    (text("access_token"), text("refresh_token"))
}

/// The claims of a token.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("JSON")
}

on_every_backend!(refresh_returns_the_next_tokens);

async fn refresh_returns_the_next_tokens(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    app.clock.advance(Duration::from_millis(60_500));
    let response = refresh(&app, &client.refresh_token).await;
    assert_eq!((response.status, response.header("cache-control")), (200, "no-store"));
    let data = response.data().as_object().expect("an object");
    let mut names: Vec<_> = data.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "access_token",
            "access_token_expires_at",
            "expires_in",
            "refresh_token",
            "refresh_token_expires_at",
            "token_type",
        ]
    );
    assert_eq!(data["access_token_expires_at"], "2026-01-01T00:06:00.000Z");
    assert_eq!(data["refresh_token_expires_at"], "2026-01-08T00:01:00.000Z");
    assert_eq!(data["expires_in"], 299);
    for (token, end) in [("access_token", 360), ("refresh_token", 604_860)] {
        let claims = claims(data[token].as_str().expect("a token"));
        assert_eq!(claims["exp"], 1_767_225_600 + end);
        assert_eq!(claims["sid"], client.session.to_string());
    }
}

on_every_backend!(tokens_carry_client_and_time_of_authentication_and_their_own_audience);

/// J9, J10
async fn tokens_carry_client_and_time_of_authentication_and_their_own_audience(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let signed_in_at = claims(&client.token)["iat"].clone();
    let (mut access, mut token) = (client.token.clone(), client.refresh_token.clone());
    for refreshes in 0..3 {
        let (accessing, refreshing) = (claims(&access), claims(&token));
        assert_eq!((&accessing["iss"], &accessing["aud"]), (&json!("goat"), &json!("goat-api")));
        assert_eq!((&refreshing["iss"], &refreshing["aud"]), (&json!("goat"), &json!("goat")));
        assert_eq!(accessing["client_id"], "goat");
        assert_eq!(accessing["auth_time"], signed_in_at, "after {refreshes} refreshes");
        assert_eq!(accessing["iat"].as_i64(), Some(1_767_225_600 + 60 * refreshes));
        app.clock.advance(Duration::from_secs(60));
        (access, token) = next(&app, &token).await;
    }
}

on_every_backend!(repeated_refresh_in_the_grace_period_returns_the_same_successor);

/// R1, R3
async fn repeated_refresh_in_the_grace_period_returns_the_same_successor(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let (_, successor) = next(&app, &client.refresh_token).await;
    app.clock.advance(GRACE_PERIOD - Duration::from_millis(1));
    let (access, again) = next(&app, &client.refresh_token).await;
    assert_eq!(successor, again, "byte for byte");
    assert_eq!(profile(&app, &access).await.0, 200);
    next(&app, &successor).await;
}

on_every_backend!(repeated_refresh_from_elsewhere_is_an_event_and_ends_nothing);

/// D6
async fn repeated_refresh_from_elsewhere_is_an_event_and_ends_nothing(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let send = async |from: &str, token: &str| {
        let body = json!({ "refresh_token": token });
        let response = app.post("/api/v1/auth/refresh").from(from).json(&body).send().await;
        response.data()["refresh_token"].as_str().expect("a token").to_owned()
    };
    let events = async || {
        let metrics = app.get("/api/metrics").send().await;
        let text = String::from_utf8(metrics.body.to_vec()).expect("UTF-8");
        let series = r#"goat_events_total{event="refresh-repeated-elsewhere"} "#;
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.map_or(0, |count| count.parse().expect("a count"))
    };
    let successor = send("192.0.2.7", &client.refresh_token).await;
    assert_eq!(send("192.0.2.7", &client.refresh_token).await, successor);
    assert_eq!(events().await, 0);
    for (count, from) in [(1, "198.51.100.9"), (2, "2001:db8::9"), (2, "::ffff:192.0.2.7")] {
        assert_eq!(send(from, &client.refresh_token).await, successor);
        assert_eq!(events().await, count, "{from}");
    }
    // The first use of the successor may come from anywhere.
    let next = send("203.0.113.5", &successor).await;
    assert_eq!(events().await, 2);
    send("203.0.113.5", &next).await;
}

on_every_backend!(lost_response_does_not_end_the_session);

/// R3: the store rotated the token, and then the response or the client is lost.
async fn lost_response_does_not_end_the_session(backend: Backend) {
    let (stores, failpoints) = backend.open().await.with_failpoints();
    let app = Arc::new(TestApp::over(stores, |_| {}).await);
    let client = app.client().await;
    failpoints.fail("sessions.rotate", Point::Return);
    let lost = refresh(&app, &client.refresh_token).await;
    assert_eq!(lost.failure(), (503, "unavailable"));
    assert!(!lost.header("retry-after").is_empty());
    let held = failpoints.hold("sessions.rotate", Point::Return);
    let disconnected = tokio::spawn({
        let (app, token) = (Arc::clone(&app), client.refresh_token.clone());
        async move { refresh(&app, &token).await }
    });
    held.reached().await;
    disconnected.abort();
    assert!(disconnected.await.expect_err("aborted").is_cancelled());
    held.release();
    let (access, token) = next(&app, &client.refresh_token).await;
    assert_eq!(profile(&app, &access).await.0, 200);
    next(&app, &token).await;
}

on_every_backend!(reused_refresh_token_ends_the_session);

/// R2
async fn reused_refresh_token_ends_the_session(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let other = app.sign_in(&client.email, PASSWORD).await;
    let (access, successor) = next(&app, &client.refresh_token).await;
    assert_eq!(profile(&app, &access).await.0, 200);
    app.clock.advance(GRACE_PERIOD);
    let reused = refresh(&app, &client.refresh_token).await;
    assert_eq!(reused.failure(), (401, "token-reused"));
    let challenge = reused.header("www-authenticate");
    assert!(challenge.starts_with(r#"Bearer realm="goat", error="invalid_token""#), "{challenge}");
    assert_eq!(reused.header("cache-control"), "no-store");
    // Immediately, and for every token of the session.
    assert_eq!(profile(&app, &access).await, revoked());
    assert_eq!(profile(&app, &client.token).await, revoked());
    for token in [&client.refresh_token, &successor] {
        assert_eq!(refresh(&app, token).await.failure(), (401, "session-revoked"));
    }
    assert_eq!(profile(&app, &other.token).await.0, 200, "the other session stays");
}

on_every_backend!(use_of_the_successor_ends_the_grace_period);

/// R2
async fn use_of_the_successor_ends_the_grace_period(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let (_, second) = next(&app, &client.refresh_token).await;
    let (access, third) = next(&app, &second).await;
    assert_eq!(refresh(&app, &client.refresh_token).await.failure(), (401, "token-reused"));
    assert_eq!(profile(&app, &access).await, revoked());
    assert_eq!(refresh(&app, &third).await.failure(), (401, "session-revoked"));
}

on_every_backend!(without_a_grace_period_a_refresh_token_works_once);

/// R2
async fn without_a_grace_period_a_refresh_token_works_once(backend: Backend) {
    let app = TestApp::on_with(backend, |setup| setup.goat.refresh_leeway = Duration::ZERO).await;
    let client = app.client().await;
    next(&app, &client.refresh_token).await;
    assert_eq!(refresh(&app, &client.refresh_token).await.failure(), (401, "token-reused"));
}

on_every_backend!(grace_period_does_not_restore_an_ended_session);

/// R4
async fn grace_period_does_not_restore_an_ended_session(backend: Backend) {
    let app = TestApp::on(backend).await;
    for revoke in [false, true] {
        let client = app.client().await;
        let (access, successor) = next(&app, &client.refresh_token).await;
        let ended = if revoke {
            let path = format!("/api/v1/sessions/{}", client.session);
            app.delete(&path).bearer(&access).send().await
        } else {
            app.post("/api/v1/auth/logout").bearer(&access).send().await
        };
        assert_eq!(ended.status, 204);
        for token in [&client.refresh_token, &successor] {
            assert_eq!(refresh(&app, token).await.failure(), (401, "session-revoked"));
        }
        assert_eq!(profile(&app, &access).await, revoked());
    }
}

on_every_backend!(refresh_keeps_the_previous_access_token_valid);

/// R5
async fn refresh_keeps_the_previous_access_token_valid(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let (access, _) = next(&app, &client.refresh_token).await;
    assert_eq!(profile(&app, &client.token).await.0, 200);
    assert_eq!(profile(&app, &access).await.0, 200);
}

on_every_backend!(no_token_outlives_the_absolute_session_ttl);

/// R6
async fn no_token_outlives_the_absolute_session_ttl(backend: Backend) {
    let app = TestApp::on_with(backend, |setup| {
        setup.goat.refresh_ttl = Duration::from_secs(600);
        setup.goat.session_ttl = Duration::from_secs(1000);
    })
    .await;
    let client = app.client().await;
    let (mut access, mut token) = (client.token.clone(), client.refresh_token.clone());
    for _ in 0..4 {
        app.clock.advance(Duration::from_secs(240));
        (access, token) = next(&app, &token).await;
        for token in [&access, &token] {
            assert!(claims(token)["exp"].as_i64().expect("seconds") <= 1_767_226_600);
        }
    }
    let response = refresh(&app, &token).await;
    assert_eq!(response.data()["access_token_expires_at"], "2026-01-01T00:16:40.000Z");
    assert_eq!(response.data()["refresh_token_expires_at"], "2026-01-01T00:16:40.000Z");
    assert_eq!(response.data()["expires_in"], 40);
    let sessions = app.get("/api/v1/sessions").bearer(&access).send().await;
    assert_eq!(sessions.data()[0]["expires_at"], "2026-01-01T00:16:40.000Z");
    assert_eq!(sessions.data()[0]["last_used_at"], "2026-01-01T00:16:00.000Z");
    app.clock.advance(Duration::from_secs(40));
    // The leeway for clock skew does not extend the session.
    assert_eq!(profile(&app, &access).await.0, 401);
    assert_eq!(refresh(&app, &token).await.failure(), (401, "token-expired"));
}

on_every_backend!(idle_session_expires);

/// R6
async fn idle_session_expires(backend: Backend) {
    let app =
        TestApp::on_with(backend, |setup| setup.goat.refresh_ttl = Duration::from_secs(600)).await;
    let client = app.client().await;
    app.clock.advance(Duration::from_secs(600));
    assert_eq!(refresh(&app, &client.refresh_token).await.failure(), (401, "token-expired"));
}

on_every_backend!(expired_refresh_token_is_not_treated_as_reused);

async fn expired_refresh_token_is_not_treated_as_reused(backend: Backend) {
    let app =
        TestApp::on_with(backend, |setup| setup.goat.refresh_ttl = Duration::from_secs(600)).await;
    let client = app.client().await;
    app.clock.advance(Duration::from_secs(500));
    let (_, successor) = next(&app, &client.refresh_token).await;
    app.clock.advance(Duration::from_secs(106));
    assert_eq!(refresh(&app, &client.refresh_token).await.failure(), (401, "token-expired"));
    let (access, _) = next(&app, &successor).await;
    assert_eq!(profile(&app, &access).await.0, 200);
}

#[tokio::test]
async fn malformed_refresh_tokens_are_rejected() {
    let app = TestApp::new().await;
    let client = app.client().await;
    let padded = format!("{}=", client.refresh_token);
    let spaced = format!(" {}", client.refresh_token);
    let bearer = format!("Bearer {}", client.refresh_token);
    for token in ["", "x", "a.b.c", "ü", "\0", &padded, &spaced, &bearer, &client.token] {
        let response = refresh(&app, token).await;
        assert_eq!(response.failure(), (401, "invalid-token"), "{token}");
        assert!(token.len() < 4 || !response.json.to_string().contains(token), "{token}");
    }
    // The session stays.
    next(&app, &client.refresh_token).await;
}

on_every_backend!(suspended_and_deleted_users_cannot_refresh);

async fn suspended_and_deleted_users_cannot_refresh(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let (suspended, deleted) = (app.client().await, app.client().await);
    let path = format!("{}/change-status", suspended.path());
    let body = json!({"status": "suspended"});
    let response = app.patch(&path).bearer(&admin.token).json(&body).send().await;
    assert_eq!(response.data()["status"], "suspended");
    let response = app.delete(&deleted.path()).bearer(&admin.token).send().await;
    assert_eq!(response.status, 204);
    for user in [&suspended, &deleted] {
        assert_eq!(refresh(&app, &user.refresh_token).await.failure(), (401, "session-revoked"));
        assert_eq!(profile(&app, &user.token).await, revoked());
    }
    // Reactivation restores no session.
    let body = json!({"status": "active"});
    let response = app.patch(&path).bearer(&admin.token).json(&body).send().await;
    assert_eq!(response.data()["status"], "active");
    assert_eq!(refresh(&app, &suspended.refresh_token).await.failure(), (401, "session-revoked"));
    assert_eq!(profile(&app, &suspended.token).await, revoked());
}

on_every_backend!(multi_thread concurrent_refreshes_of_one_token_have_one_successor);

/// R1
async fn concurrent_refreshes_of_one_token_have_one_successor(backend: Backend) {
    let app = Arc::new(TestApp::on_with(backend, |_| {}).await);
    app.add("ann@example.org", "client", Status::Active).await;
    let ann: TestUser = app.sign_in("ann@example.org", PASSWORD).await;
    let attempts: Vec<_> = (0..50)
        .map(|_| {
            let (app, token) = (Arc::clone(&app), ann.refresh_token.clone());
            tokio::spawn(async move { next(&app, &token).await })
        })
        .collect();
    let mut successors = Vec::new();
    for attempt in attempts {
        let (access, successor) = attempt.await.expect("a response");
        assert_eq!(profile(&app, &access).await.0, 200);
        successors.push(successor);
    }
    successors.dedup();
    assert_eq!(successors.len(), 1);
    assert_ne!(successors[0], ann.refresh_token);
    assert_eq!(profile(&app, &ann.token).await.0, 200, "the session stays");
    let (access, _) = next(&app, &successors[0]).await;
    let sessions = app.get("/api/v1/sessions").bearer(&access).send().await;
    assert_eq!(sessions.json["meta"]["total"], 1);
}
