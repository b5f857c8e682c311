//! `POST /api/v1/auth/step-up`, and the operations that need a recent authentication.

use std::time::Duration;

use goat_core::auth::Vouch;
use goat_core::session::Origin;
use goat_core::{Actor, Quota};
use goat_tower::cookie::Cookies;
use serde_json::{Value, json};

use super::{VERIFY, profile, refresh, revoked};
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp, TestResponse};
use crate::support::backend::Backend;

const STEP_UP: &str = "/api/v1/auth/step-up";

/// The codes of a missing proof.
const REQUIRED: (u16, &str) = (401, "step-up-required");

async fn step_up(app: &TestApp, token: &str, password: &str) -> TestResponse {
    app.post(STEP_UP).bearer(token).json(&json!({"password": password})).send().await
}

fn text(response: &TestResponse, name: &str) -> String {
    response.data()[name].as_str().expect("a text").to_owned()
}

/// Access tokens that outlive the window.
async fn patient(backend: Backend) -> TestApp {
    TestApp::on_with(backend, |setup| setup.goat.access_ttl = Duration::from_secs(3600)).await
}

on_every_backend!(step_up_returns_the_tokens_of_a_new_session);

/// G4
async fn step_up_returns_the_tokens_of_a_new_session(backend: Backend) {
    let app = patient(backend).await;
    let client = app.client().await;
    app.clock.advance(Duration::from_secs(600));
    let response = step_up(&app, &client.token, PASSWORD).await;
    assert_eq!((response.status, response.header("cache-control")), (200, "no-store"));
    let members: Vec<_> = response.data().as_object().expect("an object").keys().collect();
    assert_eq!(
        members,
        [
            "access_token",
            "access_token_expires_at",
            "expires_in",
            "refresh_token",
            "refresh_token_expires_at",
            "token_type",
        ]
    );
    assert!(response.header("ratelimit").contains("\"password-check\""));
    for _ in 0..2 {
        assert_eq!(profile(&app, &client.token).await, revoked());
        let old = refresh(&app, &client.refresh_token).await;
        assert_eq!(old.failure(), (401, "session-revoked"));
    }
    let token = text(&response, "access_token");
    let sessions = app.get("/api/v1/sessions").bearer(&token).send().await;
    let sessions = sessions.data().as_array().expect("a list").clone();
    assert_eq!(sessions.len(), 1);
    assert_ne!(sessions[0]["id"], client.session.to_string());
    assert_eq!(sessions[0]["created_at"], "2026-01-01T00:00:00.000Z");
    assert_eq!(sessions[0]["authenticated_at"], "2026-01-01T00:10:00.000Z");
    assert_eq!(sessions[0]["device"], "a test");
    assert_eq!(refresh(&app, &text(&response, "refresh_token")).await.status, 200);
}

on_every_backend!(wrong_password_of_a_step_up_changes_nothing);

async fn wrong_password_of_a_step_up_changes_nothing(backend: Backend) {
    let app = TestApp::on_with(backend, |setup| {
        setup.goat.password_check_quota = Some(Quota::per_minute(2));
    })
    .await;
    let client = app.client().await;
    let wrong = step_up(&app, &client.token, "wrong").await;
    assert_eq!(wrong.failure(), (403, "wrong-password"));
    assert_eq!(profile(&app, &client.token).await.0, 200);
    for (body, fields) in [
        (json!({}), vec!["password", "code", "recovery_code"]),
        (json!({"password": 1}), vec!["password"]),
        (json!({"password": PASSWORD, "code": "123456"}), vec!["password", "code"]),
        (json!({"code": "123456", "recovery_code": "x"}), vec!["code", "recovery_code"]),
        (json!({"password": PASSWORD, "challenge": "x"}), vec!["challenge"]),
    ] {
        let response = app.post(STEP_UP).bearer(&client.token).json(&body).send().await;
        assert_eq!((response.failure(), response.fields()), ((400, "validation"), fields));
    }
    assert_eq!(step_up(&app, &client.token, "wrong").await.status, 403);
    let limited = step_up(&app, &client.token, PASSWORD).await;
    assert_eq!(limited.failure(), (429, "rate-limited"));
    assert_eq!(app.post(STEP_UP).json(&json!({})).send().await.failure(), (401, "unauthenticated"));
}

/// D1: step-up counts with the other calls of session control.
#[tokio::test]
async fn step_up_counts_against_session_control() {
    let app = TestApp::with(|setup| {
        setup.limits.user = Some(Quota::per_minute(1));
        setup.limits.session_control = Some(Quota::per_minute(2));
    })
    .await;
    let client = app.client().await;
    assert_eq!(profile(&app, &client.token).await.0, 200);
    assert_eq!(profile(&app, &client.token).await.0, 429);
    assert_eq!(step_up(&app, &client.token, "wrong").await.status, 403);
    let stepped_up = step_up(&app, &client.token, PASSWORD).await;
    assert_eq!(stepped_up.status, 200);
    let token = text(&stepped_up, "access_token");
    let again = step_up(&app, &token, PASSWORD).await;
    assert_eq!(again.failure(), (429, "rate-limited"), "the new session continues the count");
}

on_every_backend!(own_changes_without_the_password_need_a_recent_authentication);

/// G6
async fn own_changes_without_the_password_need_a_recent_authentication(backend: Backend) {
    let app = patient(backend).await;
    let client = app.client().await;
    let change_email = async |token: &str, body: Value| {
        app.patch("/api/v1/user/change-email").bearer(token).json(&body).send().await
    };
    let new = |name: &str| json!({"email": format!("{name}@example.org")});
    assert_eq!(change_email(&client.token, new("new")).await.status, 200);
    let path = "/api/v1/user/change-password";
    let body = json!({"new_password": "seven lamps over the quay"});
    let response = app.patch(path).bearer(&client.token).json(&body).send().await;
    assert_eq!(
        (response.failure(), response.fields()),
        ((400, "validation"), vec!["current_password"])
    );

    app.clock.advance(Duration::from_secs(301));
    let response = change_email(&client.token, new("other")).await;
    assert_eq!(response.failure(), REQUIRED);
    assert_eq!(
        response.header("www-authenticate"),
        r#"Bearer realm="goat", error="insufficient_user_authentication", max_age="300""#
    );
    // The present address is no change.
    assert_eq!(change_email(&client.token, new("new")).await.status, 200);
    let delete = app.delete("/api/v1/user").bearer(&client.token).json(&json!({}));
    assert_eq!(delete.send().await.failure(), REQUIRED);
    let token = text(&step_up(&app, &client.token, PASSWORD).await, "access_token");
    assert_eq!(change_email(&token, new("other")).await.status, 200);
    let delete = app.delete("/api/v1/user").bearer(&token).json(&json!({}));
    assert_eq!(delete.send().await.status, 204);
}

on_every_backend!(verify_asks_for_a_recent_authentication_and_an_assurance);

/// G5
async fn verify_asks_for_a_recent_authentication_and_an_assurance(backend: Backend) {
    let app = patient(backend).await;
    let client = app.client().await;
    let verify = async |token: &str, query: &str| {
        app.get(&format!("{VERIFY}{query}")).bearer(token).send().await
    };
    app.clock.advance(Duration::from_secs(60));
    let response = verify(&client.token, "?max_age=60").await;
    assert_eq!((response.status, response.header("x-goat-assurance")), (204, "single"));
    let begins = r#"Bearer realm="goat", error="insufficient_user_authentication""#;
    for (query, ends) in [
        ("?max_age=59", r#", max_age="59""#),
        ("?assurance=multi", r#", acr_values="multi""#),
        ("?max_age=59&assurance=multi", r#", max_age="59", acr_values="multi""#),
    ] {
        let response = verify(&client.token, query).await;
        assert_eq!(response.failure(), REQUIRED, "{query}");
        assert_eq!(response.header("www-authenticate"), format!("{begins}{ends}"));
        assert_eq!(response.header("x-goat-user"), "");
    }
    let response = verify(&client.token, "?permission=a:b&max_age=59").await;
    assert_eq!(response.failure(), (403, "forbidden"));
    let proof = app.goat.vouch(client.id, Vouch::multi("smartcard")).await.expect("a user");
    let multi = app.goat.open_session(proof, Origin::default()).await.expect("a session");
    let token = multi.tokens.access_token.expose();
    let response = verify(token, "?max_age=0&assurance=multi").await;
    assert_eq!((response.status, response.header("x-goat-assurance")), (204, "multi"));
    for query in ["?max_age=-1", "?max_age=", "?max_age=31536001", "?max_age=1&max_age=1"] {
        assert_eq!(verify(token, query).await.fields(), ["max_age"], "{query}");
    }
    for query in ["?assurance=single", "?assurance=", "?assurance=Multi"] {
        assert_eq!(verify(token, query).await.fields(), ["assurance"], "{query}");
    }
}

/// G6: `GOAT_STEP_UP_ADMIN`.
#[tokio::test]
async fn changes_by_administrators_need_a_recent_authentication_where_configured() {
    for step_up_admin in [false, true] {
        let app = TestApp::with(|setup| {
            setup.goat.access_ttl = Duration::from_secs(3600);
            setup.http.step_up_admin = step_up_admin;
        })
        .await;
        let (admin, client) = (app.admin().await, app.client().await);
        let suspend = async |token: &str| {
            let path = format!("{}/change-status", client.path());
            app.patch(&path).bearer(token).json(&json!({"status": "suspended"})).send().await
        };
        app.clock.advance(Duration::from_secs(301));
        let rejected = suspend(&client.token).await;
        assert_eq!(rejected.failure(), (403, "forbidden"), "the permission comes first");
        let response = suspend(&admin.token).await;
        if !step_up_admin {
            assert_eq!(response.status, 200);
            continue;
        }
        assert_eq!(response.failure(), REQUIRED);
        // Reading needs none.
        let read = app.get(&client.path()).bearer(&admin.token).send().await;
        assert_eq!(read.status, 200);
        let token = text(&step_up(&app, &admin.token, PASSWORD).await, "access_token");
        assert_eq!(suspend(&token).await.status, 200);
    }
}

/// A session in cookies stays in cookies.
#[tokio::test]
async fn step_up_of_a_session_in_cookies_sets_both() {
    let app = TestApp::with(|setup| setup.http.session_cookies = Some(Cookies::new())).await;
    let client = app.client().await;
    let login = json!({"email": client.email, "password": PASSWORD, "session": "cookie"});
    let login = app.post("/api/v1/auth/login").header("sec-fetch-site", "same-origin").json(&login);
    let login = login.send().await;
    let cookies = |response: &TestResponse| {
        let set = response.headers.get_all("set-cookie").iter();
        let pairs = set.filter_map(|set| set.to_str().ok()?.split(';').next().map(str::to_owned));
        pairs.collect::<Vec<_>>().join("; ")
    };
    let before = cookies(&login);
    let request = app.post(STEP_UP).header("sec-fetch-site", "same-origin");
    let request = request.header("cookie", &before).json(&json!({"password": PASSWORD}));
    let response = request.send().await;
    assert_eq!(response.status, 200, "{}", response.json);
    let members: Vec<_> = response.data().as_object().expect("an object").keys().collect();
    assert_eq!(members, ["access_token_expires_at", "expires_in", "refresh_token_expires_at"]);
    let after = cookies(&response);
    let with = async |cookies: &str| {
        let request = app.get("/api/v1/user").header("sec-fetch-site", "same-origin");
        request.header("cookie", cookies).send().await.status
    };
    assert_eq!((with(&before).await, with(&after).await), (401, 200));
}

/// The system has no session to prove.
#[tokio::test]
async fn system_needs_no_step_up() {
    let app = TestApp::with(|setup| setup.http.step_up_admin = true).await;
    let client = app.client().await;
    app.clock.advance(Duration::from_secs(301));
    let users = app.goat.users();
    users.delete(Actor::system("a job"), client.id).await.expect("deleted");
}
