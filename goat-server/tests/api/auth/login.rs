//! `POST /api/v1/auth/login`.

use std::time::Duration;

use goat_core::{Actor, Status, UserId};
use serde_json::{Value, json};

use super::{LOGIN, login, members};
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp, TestResponse};
use crate::support::backend::Backend;

/// A response without the parts that differ between any two requests.
fn comparable(response: &TestResponse) -> (u16, Value, Vec<(String, String)>) {
    let mut json = response.json.clone();
    json["request_id"].take();
    let mut headers: Vec<_> = response
        .headers
        .iter()
        .filter(|(name, _)| *name != "x-request-id")
        .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").to_owned()))
        .collect();
    headers.sort();
    (response.status, json, headers)
}

async fn suspend(app: &TestApp, user: UserId) {
    let actor = Actor::system("a test");
    app.goat.users().change_status(actor, user, Status::Suspended).await.expect("suspended");
}

on_every_backend!(failed_login_does_not_reveal_whether_the_account_exists);

/// E1, E2, E3: the responses for unknown, inactive and suspended accounts equal that for a wrong
/// password in every header, and cost one verification each.
async fn failed_login_does_not_reveal_whether_the_account_exists(backend: Backend) {
    let app = TestApp::on_with(backend, |setup| setup.shipped_limits()).await;
    app.add("active@example.org", "client", Status::Active).await;
    app.add("inactive@example.org", "client", Status::Inactive).await;
    let suspended = app.add("suspended@example.org", "client", Status::Active).await;
    suspend(&app, suspended).await;
    let mut responses = Vec::new();
    for (number, (email, password)) in [
        ("active@example.org", "wrong"),
        ("inactive@example.org", "wrong"),
        ("suspended@example.org", "wrong"),
        ("unknown@example.org", "wrong"),
        ("unknown@example.org.", PASSWORD),
        ("no address at all", PASSWORD),
        ("nul\0@example.org", "\0"),
        ("", ""),
        ("active@EXAMPLE.com", ""),
        ("suspended@example.net", &"x".repeat(60_000)),
    ]
    .into_iter()
    .enumerate()
    {
        // An address of its own, since the address limit would count the attempts.
        let from = format!("198.51.100.{number}");
        let _ = app.hasher.take_calls();
        let body = json!({"email": email, "password": password});
        let response = app.post(LOGIN).json(&body).from(&from).send().await;
        assert_eq!(response.failure(), (401, "invalid-credentials"), "{email}");
        assert_eq!(response.header("www-authenticate"), r#"Bearer realm="goat""#, "{email}");
        assert!(email.is_empty() || !response.json.to_string().contains(email), "{email}");
        assert_eq!((app.hasher.verifications(), app.hasher.hashes()), (1, 0), "{email}");
        responses.push(comparable(&response));
    }
    for response in &responses {
        assert_eq!(response, &responses[0]);
    }
}

on_every_backend!(account_status_is_revealed_only_with_the_right_password);

/// E2
async fn account_status_is_revealed_only_with_the_right_password(backend: Backend) {
    let app = TestApp::on(backend).await;
    app.add("inactive@example.org", "client", Status::Inactive).await;
    let suspended = app.add("suspended@example.org", "client", Status::Active).await;
    suspend(&app, suspended).await;
    for (email, code) in [
        ("INACTIVE@example.org", "account-inactive"),
        ("suspended@example.org", "account-suspended"),
    ] {
        let response = login(&app, email, PASSWORD).await;
        assert_eq!(response.failure(), (403, code));
        assert_eq!(response.header("www-authenticate"), "", "another login would not help");
        assert!(!response.json.to_string().contains(email));
    }
}

on_every_backend!(login_returns_tokens_and_the_user);

async fn login_returns_tokens_and_the_user(backend: Backend) {
    let app = TestApp::on(backend).await;
    app.clock.advance(Duration::from_millis(1_250));
    let id = app.add("ann@example.org", "client", Status::Active).await;
    app.clock.advance(Duration::from_millis(2_500));
    let response = login(&app, " ANN@Example.ORG ", PASSWORD).await;
    assert_eq!(response.status, 200, "{}", response.json);
    assert_eq!(response.header("content-type"), "application/json");
    assert_eq!(response.header("cache-control"), "no-store");
    assert_eq!(members(&response.json), ["data"]);
    let data = response.data();
    assert_eq!(
        members(data),
        [
            "access_token",
            "access_token_expires_at",
            "device_token",
            "expires_in",
            "refresh_token",
            "refresh_token_expires_at",
            "token_type",
            "user",
        ]
    );
    // Login at 3.75 s: tokens expire at whole seconds, and `expires_in` is rounded down.
    assert_eq!(data["access_token_expires_at"], "2026-01-01T00:05:03.000Z");
    assert_eq!(data["refresh_token_expires_at"], "2026-01-08T00:00:03.000Z");
    assert_eq!(data["expires_in"], 299);
    assert_eq!(data["token_type"], "Bearer");
    let user = json!({
        "id": id.to_string(),
        "email": "ann@example.org",
        "email_verified": false,
        "role": "client",
        "status": "active",
        "created_at": "2026-01-01T00:00:01.250Z",
        "updated_at": "2026-01-01T00:00:01.250Z",
        "last_login_at": "2026-01-01T00:00:03.750Z",
        "attributes": {},
    });
    assert_eq!(data["user"], user, "a login is no update");
}
