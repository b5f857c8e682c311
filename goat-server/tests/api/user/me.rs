//! `/api/v1/user`: the account of the caller.

use std::sync::Arc;
use std::time::Duration;

use goat_core::testing::Point;
use serde_json::json;

use crate::auth::{profile, refresh};
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp, TestResponse};
use crate::support::backend::Backend;

const NEW_PASSWORD: &str = "seven lamps over the quay";

on_every_backend!(user_changes_email_and_password_and_deletes_the_account);

async fn user_changes_email_and_password_and_deletes_the_account(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let other = app.sign_in(&client.email, PASSWORD).await;

    let body = json!({"email": "new@example.org", "current_password": "wrong"});
    let response =
        app.patch("/api/v1/user/change-email").bearer(&client.token).json(&body).send().await;
    assert_eq!(response.failure(), (403, "wrong-password"));
    assert!(
        response.header("ratelimit").contains("\"password-check\""),
        "{}",
        response.header("ratelimit")
    );
    // The present address is no change, and needs no password.
    let body = json!({"email": client.email, "current_password": "wrong"});
    let response =
        app.patch("/api/v1/user/change-email").bearer(&client.token).json(&body).send().await;
    assert_eq!(response.status, 200);
    let body = json!({"email": "new@example.org", "current_password": PASSWORD});
    let response =
        app.patch("/api/v1/user/change-email").bearer(&client.token).json(&body).send().await;
    assert_eq!(response.data()["email"], "new@example.org");
    assert!(
        response.header("ratelimit").contains("\"password-check\""),
        "{}",
        response.header("ratelimit")
    );

    let path = "/api/v1/user/change-password";
    let body = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    let response = app.patch(path).bearer(&client.token).json(&body).send().await;
    assert_eq!(response.data()["revoked_sessions"], 1);
    assert_eq!(app.get("/api/v1/user").bearer(&other.token).send().await.status, 401);
    let (token, _) = tokens(&response);
    let body = json!({"current_password": NEW_PASSWORD});
    let response = app.delete("/api/v1/user").bearer(&token).json(&body).send().await;
    assert_eq!(response.status, 204);
    assert_eq!(app.get("/api/v1/user").bearer(&token).send().await.code(), "session-revoked");
}

const PATH: &str = "/api/v1/user/change-password";

async fn change_password(app: &TestApp, token: &str) -> TestResponse {
    let body = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    app.patch(PATH).bearer(token).json(&body).send().await
}

/// The access and the refresh token of a response.
fn tokens(response: &TestResponse) -> (String, String) {
    let text = |name: &str| response.data()[name].as_str().expect("a token").to_owned();
    (text("access_token"), text("refresh_token"))
}

on_every_backend!(changed_password_replaces_the_tokens_of_the_session);

/// D5
async fn changed_password_replaces_the_tokens_of_the_session(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let (access, current) = tokens(&refresh(&app, &client.refresh_token).await);
    app.clock.advance(Duration::from_millis(60_500));
    let response = change_password(&app, &access).await;
    assert_eq!((response.status, response.header("cache-control")), (200, "no-store"));
    let data = response.data();
    assert_eq!(data["revoked_sessions"], 0);
    assert_eq!(data["token_type"], "Bearer");
    assert_eq!(data["expires_in"], 299);
    assert_eq!(data["refresh_token_expires_at"], "2026-01-08T00:01:00.000Z");
    let (new_access, new_token) = tokens(&response);
    // A second tab or a stolen copy neither continues the session nor ends it.
    for _ in 0..2 {
        assert_eq!(profile(&app, &new_access).await.0, 200);
        for access in [&client.token, &access] {
            let response = app.get("/api/v1/user").bearer(access).send().await;
            assert_eq!(response.failure(), (401, "session-revoked"));
        }
        for token in [&current, &client.refresh_token] {
            assert_eq!(refresh(&app, token).await.failure(), (401, "session-revoked"));
        }
    }
    let response = refresh(&app, &new_token).await;
    assert_eq!(response.status, 200, "{}", response.json);
    assert_eq!(refresh(&app, &current).await.failure(), (401, "session-revoked"));
    assert_eq!(refresh(&app, &tokens(&response).1).await.status, 200);
    // The tokens since the change are subject to reuse detection.
    assert_eq!(refresh(&app, &new_token).await.failure(), (401, "token-reused"));
    assert_eq!(profile(&app, &new_access).await.0, 401);
}

on_every_backend!(refresh_that_loses_a_race_with_a_changed_password_ends_nothing);

/// D5, R7: a refresh that has read the session before the change.
async fn refresh_that_loses_a_race_with_a_changed_password_ends_nothing(backend: Backend) {
    let (stores, failpoints) = backend.open().await.with_failpoints();
    let app = Arc::new(TestApp::over(stores, |_| {}).await);
    let client = app.client().await;
    let held = failpoints.hold("sessions.rotate", Point::Entry);
    let slow = tokio::spawn({
        let (app, token) = (Arc::clone(&app), client.refresh_token.clone());
        async move { refresh(&app, &token).await }
    });
    held.reached().await;
    let (access, token) = tokens(&change_password(&app, &client.token).await);
    held.release();
    assert_eq!(slow.await.expect("a response").failure(), (401, "session-revoked"));
    assert_eq!(profile(&app, &access).await.0, 200);
    assert_eq!(refresh(&app, &token).await.status, 200);
}
