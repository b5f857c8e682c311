//! `POST /api/v1/auth/recover` and `…/recover/confirm`.

use std::time::Duration;

use goat_core::factor::FactorKind;
use goat_core::key::Scopes;
use goat_core::testing::TestFactors;
use goat_core::user::Account;
use goat_core::{Secret, Status};
use serde_json::{Value, json};

use super::{LOGIN, login, members, post, profile, refresh, revoked};
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, Setup, TestApp, TestResponse};
use crate::support::backend::Backend;
use crate::support::mail::{by_code, by_link, with};

const RECOVER: &str = "/api/v1/auth/recover";
const CONFIRM: &str = "/api/v1/auth/recover/confirm";
const NEW_PASSWORD: &str = "seven lamps over the quay";
const INVALID: (u16, &str) = (400, "invalid-challenge");

fn with_mail(setup: &mut Setup) {
    setup.mail = true;
}

async fn ask(app: &TestApp, email: &str) -> TestResponse {
    let sent = post(app, RECOVER, &json!({"email": email})).await;
    assert_eq!(sent.status, 202, "{}", sent.json);
    assert_eq!(members(sent.data()), ["challenge", "expires_at"]);
    sent
}

async fn confirm(app: &TestApp, answer: &Value) -> TestResponse {
    post(app, CONFIRM, &with(answer, &json!({"new_password": NEW_PASSWORD}))).await
}

/// Asks for a letter, and returns the answer by its link.
async fn link(app: &TestApp, email: &str) -> Value {
    ask(app, email).await;
    by_link(&app.letter(email, "reset-password").await)
}

on_every_backend!(recovery_sets_a_password_ends_every_session_and_opens_none);

/// M7, M3
async fn recovery_sets_a_password_ends_every_session_and_opens_none(backend: Backend) {
    let app = TestApp::on_with(backend, with_mail).await;
    for has_link in [true, false] {
        let user = app.client().await;
        let sent = ask(&app, &user.email.to_uppercase()).await;
        let letter = app.letter(&user.email, "reset-password").await;
        assert_eq!(profile(&app, &user.token).await.0, 200, "a request alone changes nothing");
        let answer = if has_link { by_link(&letter) } else { by_code(&sent, &letter) };
        let recovered = confirm(&app, &answer).await;
        assert_eq!(recovered.status, 200, "{}", recovered.json);
        assert_eq!(members(recovered.data()), ["device_token"]);
        assert!(!recovered.headers.contains_key("set-cookie"));
        assert_eq!(profile(&app, &user.token).await, revoked());
        let refreshed = refresh(&app, &user.refresh_token).await;
        assert_eq!(refreshed.failure(), (401, "session-revoked"));
        app.letter(&user.email, "password-changed").await;
        assert_eq!(confirm(&app, &answer).await.failure(), INVALID, "an answer works once");
        let old = login(&app, &user.email, PASSWORD).await;
        assert_eq!(old.failure(), (401, "invalid-credentials"));
        let new = login(&app, &user.email, NEW_PASSWORD).await;
        assert_eq!(new.data()["user"]["email_verified"], true);
        let token = new.data()["access_token"].as_str().expect("a token");
        let sessions = app.get("/api/v1/sessions").bearer(token).send().await;
        assert_eq!(sessions.json["meta"]["total"], 1, "the recovery opened none");
    }
}

on_every_backend!(a_recovery_that_fails_changes_nothing);

async fn a_recovery_that_fails_changes_nothing(backend: Backend) {
    let app = TestApp::on_with(backend, with_mail).await;
    let user = app.client().await;
    let answer = link(&app, &user.email).await;
    for weak in ["too short", "client-0@example.org"] {
        let response = post(&app, CONFIRM, &with(&answer, &json!({"new_password": weak}))).await;
        assert_eq!(response.failure(), (400, "validation"), "{weak}");
        assert_eq!(response.fields(), ["new_password"], "{weak}");
    }
    let missing = post(&app, CONFIRM, &answer).await;
    assert_eq!((missing.failure(), missing.fields()), ((400, "validation"), vec!["new_password"]));
    // Of another purpose.
    let undo = post(&app, "/api/v1/auth/change-email/undo", &answer).await;
    assert_eq!(undo.failure(), INVALID);
    assert_eq!(profile(&app, &user.token).await.0, 200);
    assert_eq!(login(&app, &user.email, PASSWORD).await.status, 200);
    app.clock.advance(app.goat.settings().recovery_ttl);
    assert_eq!(confirm(&app, &answer).await.failure(), INVALID, "expired");
}

on_every_backend!(a_recovered_account_still_needs_its_second_factor);

/// M7: a user without a password shows a recovery code with the answer.
async fn a_recovered_account_still_needs_its_second_factor(backend: Backend) {
    let app = TestApp::on_with(backend, with_mail).await;
    let user = app.client().await;
    app.factors.enrol(user.id, FactorKind::Totp, app.goat.time().now());
    let answer = link(&app, &user.email).await;
    assert_eq!(confirm(&app, &answer).await.status, 200);
    let held = login(&app, &user.email, NEW_PASSWORD).await;
    assert_eq!(held.failure(), (401, "second-factor-required"));

    let none = Secret::new(Account::NO_PASSWORD.to_owned());
    app.edit(user.id, |account| account.password_hash = none.clone()).await;
    let answer = link(&app, &user.email).await;
    let missing = confirm(&app, &answer).await;
    assert_eq!((missing.failure(), missing.fields()), ((400, "validation"), vec!["recovery_code"]));
    let code = |code: &str| with(&answer, &json!({"recovery_code": code}));
    assert_eq!(confirm(&app, &code("wrong")).await.failure(), INVALID);
    assert_eq!(confirm(&app, &code(TestFactors::RECOVERY_CODE)).await.status, 200);
    let held = login(&app, &user.email, NEW_PASSWORD).await;
    assert_eq!(held.failure(), (401, "second-factor-required"));
}

on_every_backend!(the_first_recovery_leaves_no_earlier_way_in);

/// M7, M8: keys from before the address was proven may be a stranger's; those of a verified account stay.
async fn the_first_recovery_leaves_no_earlier_way_in(backend: Backend) {
    let app = TestApp::on_with(backend, with_mail).await;
    let user = app.client().await;
    let key = app.key(&user, Scopes::Role).await;
    assert_eq!(profile(&app, &key).await.0, 200);
    let answer = link(&app, &user.email).await;
    assert_eq!(confirm(&app, &answer).await.status, 200);
    assert_eq!(profile(&app, &key).await, (401, "invalid-token".to_owned()));

    let again = app.sign_in(&user.email, NEW_PASSWORD).await;
    let key = app.key(&again, Scopes::Role).await;
    let answer = link(&app, &user.email).await;
    let changed = json!({"new_password": "a kettle of green tea at noon"});
    assert_eq!(post(&app, CONFIRM, &with(&answer, &changed)).await.status, 200);
    assert_eq!(profile(&app, &key).await.0, 200, "the address was verified before");
}

/// An account that cannot sign in cannot be recovered, and its owner learns why there is no link.
#[tokio::test]
async fn inactive_and_suspended_users_have_nothing_to_reset() {
    let app = TestApp::with(with_mail).await;
    app.add("inactive@example.org", "client", Status::Inactive).await;
    let suspended = app.add("suspended@example.org", "client", Status::Active).await;
    app.edit(suspended, |account| account.user.status = Status::Suspended).await;
    for email in ["inactive@example.org", "suspended@example.org"] {
        ask(&app, email).await;
        assert!(app.letter(email, "nothing-to-reset").await.message.secret().is_none());
    }
}

/// D2: strangers that exhaust the limits of an account keep its owner neither from a recovery nor from the
/// sign-in after it.
#[tokio::test]
async fn the_owner_of_a_throttled_account_recovers_it_and_signs_in() {
    let app = TestApp::with(|setup| {
        setup.shipped_limits();
        setup.mail = true;
    })
    .await;
    let user = app.client().await;
    let letter = async || {
        ask(&app, &user.email).await;
        app.letter(&user.email, "reset-password").await
    };
    app.throttle(&user.email).await;
    let recovered = confirm(&app, &by_link(&letter().await)).await;
    assert_eq!(recovered.status, 200, "{}", recovered.json);
    let device_token = &recovered.data()["device_token"];
    let owner = async |members: Value| {
        let body = with(&json!({"email": user.email, "password": NEW_PASSWORD}), &members);
        app.post(LOGIN).json(&body).from("203.0.113.77").send().await
    };
    assert_eq!(owner(json!({})).await.status, 200, "the recovery resets the limits");
    app.throttle(&user.email).await;
    assert_eq!(owner(json!({})).await.failure(), (429, "rate-limited"));
    assert_eq!(owner(json!({"device_token": device_token})).await.status, 200);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(owner(json!({"device_token": device_token})).await.status, 200);
}
