//! `POST /api/v1/auth/code` and `…/code/confirm`.

use goat_core::Status;
use goat_core::factor::FactorKind;
use goat_core::testing::TestFactors;
use goat_tower::cookie::Cookies;
use serde_json::{Value, json};

use super::{members, post, profile};
use crate::backends::on_every_backend;
use crate::support::app::{Setup, TestApp, TestResponse};
use crate::support::backend::Backend;
use crate::support::mail::{by_code, by_link, with};

const CODE: &str = "/api/v1/auth/code";
const CONFIRM: &str = "/api/v1/auth/code/confirm";
const INVALID: (u16, &str) = (400, "invalid-challenge");

fn with_codes(setup: &mut Setup) {
    setup.mail = true;
    setup.goat.email_sign_in = true;
}

async fn ask(app: &TestApp, email: &str) -> TestResponse {
    let sent = post(app, CODE, &json!({"email": email})).await;
    assert_eq!(sent.status, 202, "{}", sent.json);
    assert_eq!(members(sent.data()), ["challenge", "expires_at"]);
    sent
}

/// Adds a user with a verified address, asks for a letter, and returns the answer by its link.
async fn link(app: &TestApp, email: &str, status: Status) -> Value {
    let id = app.add(email, "client", Status::Active).await;
    app.verify_email(id).await;
    app.edit(id, |account| account.user.status = status).await;
    ask(app, email).await;
    by_link(&app.letter(email, "sign-in-code").await)
}

on_every_backend!(a_letter_signs_a_verified_user_in);

/// M3
async fn a_letter_signs_a_verified_user_in(backend: Backend) {
    let app = TestApp::on_with(backend, with_codes).await;
    let id = app.add("ann@example.org", "client", Status::Active).await;
    app.verify_email(id).await;
    for has_link in [true, false] {
        let sent = ask(&app, "ann@example.org").await;
        let letter = app.letter("ann@example.org", "sign-in-code").await;
        let answer = if has_link { by_link(&letter) } else { by_code(&sent, &letter) };
        let signed_in = post(&app, CONFIRM, &answer).await;
        assert_eq!(signed_in.status, 200, "{}", signed_in.json);
        assert_eq!(
            members(signed_in.data()),
            [
                "access_token",
                "access_token_expires_at",
                "device_token",
                "expires_in",
                "refresh_token",
                "refresh_token_expires_at",
                "token_type",
                "user"
            ]
        );
        let token = signed_in.data()["access_token"].as_str().expect("a token");
        let sessions = app.get("/api/v1/sessions").bearer(token).send().await;
        assert_eq!(sessions.data()[0]["methods"], json!(["email_code"]));
        assert_eq!(post(&app, CONFIRM, &answer).await.failure(), INVALID, "an answer works once");
    }
    let sent = ask(&app, "ann@example.org").await;
    let letter = app.letter("ann@example.org", "sign-in-code").await;
    app.clock.advance(std::time::Duration::from_secs(600));
    assert_eq!(post(&app, CONFIRM, &by_link(&letter)).await.failure(), INVALID, "expired");
    assert_eq!(post(&app, CONFIRM, &by_code(&sent, &letter)).await.failure(), INVALID);
}

/// G1: the letter is the first proof only.
#[tokio::test]
async fn a_second_factor_stays_required() {
    let app = TestApp::with(with_codes).await;
    let id = app.add("ann@example.org", "client", Status::Active).await;
    app.verify_email(id).await;
    app.factors.enrol(id, FactorKind::Totp, app.goat.time().now());
    ask(&app, "ann@example.org").await;
    let answer = by_link(&app.letter("ann@example.org", "sign-in-code").await);
    let held = post(&app, CONFIRM, &answer).await;
    assert_eq!(held.failure(), (401, "second-factor-required"));
    assert_eq!(held.json["methods"], json!(["totp", "recovery_code"]));
    let pending = json!({"challenge": held.json["challenge"], "secret": held.json["secret"]});
    let pending = with(&pending, &json!({"code": TestFactors::CODE}));
    let confirmed = post(&app, "/api/v1/auth/login/confirm", &pending).await;
    let token = confirmed.data()["access_token"].as_str().expect("a token");
    assert_eq!(profile(&app, token).await.0, 200);
    let sessions = app.get("/api/v1/sessions").bearer(token).send().await;
    assert_eq!(sessions.data()[0]["methods"], json!(["email_code", "totp"]));
}

#[tokio::test]
async fn an_account_that_cannot_be_used_is_named_after_a_right_answer() {
    let app = TestApp::with(with_codes).await;
    for (email, status, code) in [
        ("inactive@example.org", Status::Inactive, "account-inactive"),
        ("suspended@example.org", Status::Suspended, "account-suspended"),
    ] {
        let answer = link(&app, email, status).await;
        assert_eq!(post(&app, CONFIRM, &answer).await.failure(), (403, code));
    }
}

/// M8: a stranger that signed up with the address of a mailbox gets no letter to it, nor does its owner sign in to
/// the account of a stranger.
#[tokio::test]
async fn unverified_and_unknown_addresses_receive_no_letter() {
    let app = TestApp::with(with_codes).await;
    app.add("unverified@example.org", "client", Status::Active).await;
    for email in ["unverified@example.org", "unknown@example.org", "backup@service.invalid"] {
        ask(&app, email).await;
    }
    // The letters of all requests are chosen before this one is sent.
    let answer = link(&app, "ann@example.org", Status::Active).await;
    assert!(app.letters.take().is_empty());
    assert_eq!(post(&app, CONFIRM, &answer).await.status, 200);
}

#[tokio::test]
async fn sign_in_by_mail_exists_where_it_is_switched_on() {
    let app = TestApp::with(|setup| setup.mail = true).await;
    for path in [CODE, CONFIRM] {
        for body in ["{", r#"{"email": "ann@example.org"}"#] {
            let response = app.post(path).body("application/json", body).send().await;
            assert_eq!(response.failure(), (404, "not-found"), "{path}");
        }
    }
}

/// B20, B21: with the origin check before the answer is used.
#[tokio::test]
async fn a_letter_signs_in_with_cookies() {
    let app = TestApp::with(|setup| {
        with_codes(setup);
        setup.http.session_cookies = Some(Cookies::new());
    })
    .await;
    let answer = link(&app, "ann@example.org", Status::Active).await;
    let body = with(&answer, &json!({"session": "cookie"}));
    let send = async |site: &str| {
        app.post(CONFIRM).json(&body).header("sec-fetch-site", site).send().await
    };
    assert_eq!(send("cross-site").await.failure(), (403, "cross-site-request"));
    let signed_in = send("same-origin").await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.json);
    assert_eq!(signed_in.headers.get_all("set-cookie").iter().count(), 2);
    assert!(!String::from_utf8_lossy(&signed_in.body).contains("eyJ"), "no token");
}
