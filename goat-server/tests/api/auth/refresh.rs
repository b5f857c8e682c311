//! Rotation over HTTP: a refresh token works once, a lost answer logs nobody out, and a stolen token
//! ends the session.

use std::sync::Arc;
use std::time::Duration;

use crate::support::app::{PASSWORD, TestApp, TestResponse, TestUser};
use crate::support::backend::{Backend, on_every_backend};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use goat_core::Status;
use goat_core::testing::Point;
use serde_json::{Value, json};

/// The leeway as shipped.
const LEEWAY: Duration = Duration::from_secs(30);

async fn refresh(app: &TestApp, token: &str) -> TestResponse {
    app.post("/api/v1/auth/refresh").json(&json!({"refresh_token": token})).send().await
}

/// The next pair: the access token and the refresh token.
async fn next(app: &TestApp, token: &str) -> (String, String) {
    let answer = refresh(app, token).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    let text = |name: &str| answer.data()[name].as_str().expect("a token").to_owned();
    (text("access_token"), text("refresh_token"))
}

async fn profile(app: &TestApp, token: &str) -> (u16, String) {
    let answer = app.get("/api/v1/user").bearer(token).send().await;
    (answer.status, answer.code().to_owned())
}

fn revoked() -> (u16, String) {
    (401, "session-revoked".to_owned())
}

/// What a token says.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("JSON")
}

on_every_backend!(a_refresh_answers_the_next_tokens_and_nothing_else);

async fn a_refresh_answers_the_next_tokens_and_nothing_else(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    app.clock.advance(Duration::from_millis(60_500));
    let answer = refresh(&app, &client.refresh_token).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
    let data = answer.data().as_object().expect("an object");
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

on_every_backend!(within_the_leeway_the_predecessor_gets_the_very_same_successor);

/// R1, R3
async fn within_the_leeway_the_predecessor_gets_the_very_same_successor(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let (_, successor) = next(&app, &client.refresh_token).await;
    app.clock.advance(LEEWAY - Duration::from_millis(1));
    let (access, again) = next(&app, &client.refresh_token).await;
    assert_eq!(successor, again, "byte for byte");
    assert_eq!(profile(&app, &access).await.0, 200);
    next(&app, &successor).await;
}

on_every_backend!(a_lost_answer_logs_nobody_out);

/// R3: the client is gone, or the answer is, after the store has done its part.
async fn a_lost_answer_logs_nobody_out(backend: Backend) {
    let (stores, pauses) = backend.open().await.with_pauses();
    let app = Arc::new(TestApp::over(stores, |_| {}).await);
    let client = app.client().await;
    pauses.fail("sessions.rotate", Point::Return);
    let lost = refresh(&app, &client.refresh_token).await;
    assert_eq!(lost.failure(), (503, "unavailable"));
    assert!(!lost.header("retry-after").is_empty());
    let held = pauses.hold("sessions.rotate", Point::Return);
    let hung_up = tokio::spawn({
        let (app, token) = (Arc::clone(&app), client.refresh_token.clone());
        async move { refresh(&app, &token).await }
    });
    held.reached().await;
    hung_up.abort();
    assert!(hung_up.await.expect_err("aborted").is_cancelled());
    held.release();
    let (access, token) = next(&app, &client.refresh_token).await;
    assert_eq!(profile(&app, &access).await.0, 200);
    next(&app, &token).await;
}

on_every_backend!(an_old_token_after_the_leeway_ends_the_session);

/// R2
async fn an_old_token_after_the_leeway_ends_the_session(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let other = app.sign_in(&client.email, PASSWORD).await;
    let (access, successor) = next(&app, &client.refresh_token).await;
    assert_eq!(profile(&app, &access).await.0, 200);
    app.clock.advance(LEEWAY);
    let reused = refresh(&app, &client.refresh_token).await;
    assert_eq!(reused.failure(), (401, "token-reused"));
    let challenge = reused.header("www-authenticate");
    assert!(challenge.starts_with(r#"Bearer realm="goat", error="invalid_token""#), "{challenge}");
    assert_eq!(reused.header("cache-control"), "no-store");
    // At once, access tokens included; whatever unexpired token is shown.
    assert_eq!(profile(&app, &access).await, revoked());
    assert_eq!(profile(&app, &client.token).await, revoked());
    for token in [&client.refresh_token, &successor] {
        assert_eq!(refresh(&app, token).await.failure(), (401, "session-revoked"));
    }
    assert_eq!(profile(&app, &other.token).await.0, 200, "the other session goes on");
}

on_every_backend!(once_the_successor_is_used_the_predecessor_is_old);

/// R2
async fn once_the_successor_is_used_the_predecessor_is_old(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let (_, second) = next(&app, &client.refresh_token).await;
    let (access, third) = next(&app, &second).await;
    assert_eq!(refresh(&app, &client.refresh_token).await.failure(), (401, "token-reused"));
    assert_eq!(profile(&app, &access).await, revoked());
    assert_eq!(refresh(&app, &third).await.failure(), (401, "session-revoked"));
}

on_every_backend!(without_a_leeway_a_token_works_once);

/// R2
async fn without_a_leeway_a_token_works_once(backend: Backend) {
    let app = TestApp::on_with(backend, |setup| setup.goat.refresh_leeway = Duration::ZERO).await;
    let client = app.client().await;
    next(&app, &client.refresh_token).await;
    assert_eq!(refresh(&app, &client.refresh_token).await.failure(), (401, "token-reused"));
}

on_every_backend!(the_leeway_does_not_revive_a_session_that_was_ended);

/// R4
async fn the_leeway_does_not_revive_a_session_that_was_ended(backend: Backend) {
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

on_every_backend!(a_refresh_in_one_tab_leaves_the_other_its_access_token);

/// R5
async fn a_refresh_in_one_tab_leaves_the_other_its_access_token(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let (access, _) = next(&app, &client.refresh_token).await;
    assert_eq!(profile(&app, &client.token).await.0, 200);
    assert_eq!(profile(&app, &access).await.0, 200);
}

on_every_backend!(no_refresh_extends_the_absolute_end_and_no_token_outlives_it);

/// R6
async fn no_refresh_extends_the_absolute_end_and_no_token_outlives_it(backend: Backend) {
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
    let answer = refresh(&app, &token).await;
    assert_eq!(answer.data()["access_token_expires_at"], "2026-01-01T00:16:40.000Z");
    assert_eq!(answer.data()["refresh_token_expires_at"], "2026-01-01T00:16:40.000Z");
    assert_eq!(answer.data()["expires_in"], 40);
    let sessions = app.get("/api/v1/sessions").bearer(&access).send().await;
    assert_eq!(sessions.data()[0]["expires_at"], "2026-01-01T00:16:40.000Z");
    assert_eq!(sessions.data()[0]["last_used_at"], "2026-01-01T00:16:00.000Z");
    app.clock.advance(Duration::from_secs(40));
    // The leeway for clocks never reaches past the session's end.
    assert_eq!(profile(&app, &access).await.0, 401);
    assert_eq!(refresh(&app, &token).await.failure(), (401, "token-expired"));
}

on_every_backend!(an_idle_session_ends);

/// R6
async fn an_idle_session_ends(backend: Backend) {
    let app =
        TestApp::on_with(backend, |setup| setup.goat.refresh_ttl = Duration::from_secs(600)).await;
    let client = app.client().await;
    app.clock.advance(Duration::from_secs(600));
    assert_eq!(refresh(&app, &client.refresh_token).await.failure(), (401, "token-expired"));
}

on_every_backend!(an_expired_token_ends_nothing_even_if_it_was_used);

async fn an_expired_token_ends_nothing_even_if_it_was_used(backend: Backend) {
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
async fn what_is_no_refresh_token_is_invalid() {
    let app = TestApp::new().await;
    let client = app.client().await;
    let padded = format!("{}=", client.refresh_token);
    let spaced = format!(" {}", client.refresh_token);
    let bearer = format!("Bearer {}", client.refresh_token);
    for token in ["", "x", "a.b.c", "ü", "\0", &padded, &spaced, &bearer, &client.token] {
        let answer = refresh(&app, token).await;
        assert_eq!(answer.failure(), (401, "invalid-token"), "{token}");
        assert!(token.len() < 4 || !answer.json.to_string().contains(token), "{token}");
    }
    // They have ended nothing.
    next(&app, &client.refresh_token).await;
}

on_every_backend!(suspended_and_deleted_users_do_not_go_on);

async fn suspended_and_deleted_users_do_not_go_on(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let (suspended, deleted) = (app.client().await, app.client().await);
    let path = format!("{}/change-status", suspended.path());
    let body = json!({"status": "suspended"});
    let answer = app.patch(&path).bearer(&admin.token).json(&body).send().await;
    assert_eq!(answer.data()["status"], "suspended");
    let answer = app.delete(&deleted.path()).bearer(&admin.token).send().await;
    assert_eq!(answer.status, 204);
    for user in [&suspended, &deleted] {
        assert_eq!(refresh(&app, &user.refresh_token).await.failure(), (401, "session-revoked"));
        assert_eq!(profile(&app, &user.token).await, revoked());
    }
    // To be let in again revives no session.
    let body = json!({"status": "active"});
    let answer = app.patch(&path).bearer(&admin.token).json(&body).send().await;
    assert_eq!(answer.data()["status"], "active");
    assert_eq!(refresh(&app, &suspended.refresh_token).await.failure(), (401, "session-revoked"));
    assert_eq!(profile(&app, &suspended.token).await, revoked());
}

on_every_backend!(
    parallel_refreshes_of_one_token_have_one_living_successor,
    flavor = "multi_thread",
    worker_threads = 4
);

/// R1: fifty at once, in the database that the server ships with.
async fn parallel_refreshes_of_one_token_have_one_living_successor(backend: Backend) {
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
        let (access, successor) = attempt.await.expect("an answer");
        assert_eq!(profile(&app, &access).await.0, 200);
        successors.push(successor);
    }
    successors.dedup();
    assert_eq!(successors.len(), 1);
    assert_ne!(successors[0], ann.refresh_token);
    assert_eq!(profile(&app, &ann.token).await.0, 200, "nobody was logged out");
    let (access, _) = next(&app, &successors[0]).await;
    let sessions = app.get("/api/v1/sessions").bearer(&access).send().await;
    assert_eq!(sessions.json["meta"]["total"], 1);
}
