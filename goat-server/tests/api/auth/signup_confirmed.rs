//! `POST /api/v1/auth/signup` and `…/signup/confirm` where the mailbox confirms a sign-up.

use goat_core::{Signup, Status};
use goat_tower::cookie::Cookies;
use serde_json::{Value, json};

use super::{LOGIN, SIGNUP, login, members, post, profile};
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, Setup, TestApp, TestResponse};
use crate::support::backend::Backend;
use crate::support::mail::{by_code, by_link, with};

const CONFIRM: &str = "/api/v1/auth/signup/confirm";
const INVALID: (u16, &str) = (400, "invalid-challenge");

fn confirmed(setup: &mut Setup) {
    setup.mail = true;
    setup.goat.signup = Signup::Confirmed;
}

async fn sign_up(app: &TestApp, email: &str) -> TestResponse {
    let sent = post(app, SIGNUP, &json!({"email": email})).await;
    assert_eq!(sent.status, 202, "{}", sent.json);
    sent
}

fn password() -> Value {
    json!({"password": PASSWORD})
}

on_every_backend!(the_mailbox_confirms_a_sign_up_and_sets_its_password);

/// M8, M3: nothing exists before the answer, and each answer works once.
async fn the_mailbox_confirms_a_sign_up_and_sets_its_password(backend: Backend) {
    let app = TestApp::on_with(backend, confirmed).await;
    let admin = app.admin().await;
    for (email, has_link) in [("ann@example.org", true), ("bea@example.org", false)] {
        let sent = sign_up(&app, &format!(" {email} ")).await;
        assert_eq!(members(sent.data()), ["challenge", "expires_at"]);
        assert_eq!(sent.header("location"), "");
        let letter = app.letter(email, "confirm-sign-up").await;
        let found = app.get(&format!("/api/v1/user/list?search={email}")).bearer(&admin.token);
        assert_eq!(found.send().await.data(), &json!([]), "no row before the answer");
        let answer = if has_link { by_link(&letter) } else { by_code(&sent, &letter) };
        let body = with(&answer, &password());
        let created = post(&app, CONFIRM, &body).await;
        assert_eq!(created.status, 201, "{}", created.json);
        assert_eq!(
            members(created.data()),
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
        let user = &created.data()["user"];
        let id = user["id"].as_str().expect("an id");
        assert_eq!(created.header("location"), format!("/api/v1/user/{id}"));
        let shown = ["email", "email_verified", "role", "status"].map(|name| user[name].clone());
        assert_eq!(shown, [json!(email), json!(true), json!("client"), json!("active")]);
        let token = created.data()["access_token"].as_str().expect("a token");
        assert_eq!(profile(&app, token).await.0, 200);
        assert_eq!(login(&app, email, PASSWORD).await.status, 200);
        assert_eq!(post(&app, CONFIRM, &body).await.failure(), INVALID, "an answer works once");
    }
}

/// M8: a password before the answer would be a stranger's, signed up with the address.
#[tokio::test]
async fn the_password_comes_with_the_answer_only() {
    let app = TestApp::with(confirmed).await;
    let email = json!({"email": "ann@example.org"});
    for (members, fields) in [
        (json!({"password": PASSWORD}), vec!["password"]),
        (json!({"password": null}), vec!["password"]),
        (json!({"attributes": {}}), vec!["attributes"]),
        (json!({"password": PASSWORD, "email": "no address"}), vec!["email", "password"]),
        (json!({"role": "admin"}), vec!["role"]),
    ] {
        let response = post(&app, SIGNUP, &with(&email, &members)).await;
        assert_eq!(response.failure(), (400, "validation"), "{members}");
        assert_eq!(response.fields(), fields, "{members}");
    }
    let service = post(&app, SIGNUP, &json!({"email": "backup@service.invalid"})).await;
    assert_eq!((service.failure(), service.fields()), ((400, "validation"), vec!["email"]));
    assert!(app.letters.take().is_empty());
}

on_every_backend!(a_confirmation_that_fails_creates_nothing);

async fn a_confirmation_that_fails_creates_nothing(backend: Backend) {
    let app = TestApp::on_with(backend, confirmed).await;
    let email = "annabel-lee@example.org";
    sign_up(&app, email).await;
    let answer = by_link(&app.letter(email, "confirm-sign-up").await);
    for weak in ["too short", email] {
        let response = post(&app, CONFIRM, &with(&answer, &json!({"password": weak}))).await;
        assert_eq!(
            (response.failure(), response.fields()),
            ((400, "validation"), vec!["password"])
        );
    }
    let missing = post(&app, CONFIRM, &answer).await;
    assert_eq!((missing.failure(), missing.fields()), ((400, "validation"), vec!["password"]));
    assert_eq!(login(&app, email, PASSWORD).await.failure(), (401, "invalid-credentials"));
    // The mailbox is proven, so its owner may learn that the address was taken meanwhile.
    app.add(email, "client", Status::Active).await;
    let taken = post(&app, CONFIRM, &with(&answer, &password())).await;
    assert_eq!(taken.failure(), (409, "email-taken"));
}

/// M1: the owner of an account learns of a sign-up with the address by mail.
#[tokio::test]
async fn the_owner_of_a_taken_address_is_told() {
    let app = TestApp::with(confirmed).await;
    app.add("Ann@example.org", "client", Status::Active).await;
    sign_up(&app, "ANN@example.org").await;
    let letter = app.letter("Ann@example.org", "account-exists").await;
    assert!(letter.message.secret().is_none());
}

#[tokio::test]
async fn confirmation_exists_in_confirmed_mode_only() {
    for signup in [Signup::Active, Signup::Inactive, Signup::Closed] {
        let app = TestApp::with(|setup| {
            setup.mail = true;
            setup.goat.signup = signup;
        })
        .await;
        for body in ["{", "{}"] {
            let response = app.post(CONFIRM).body("application/json", body).send().await;
            assert_eq!(response.failure(), (404, "not-found"), "{signup:?}");
        }
    }
}

/// B20, B21: as a sign-in, with the origin check before the answer is used.
#[tokio::test]
async fn a_confirmed_sign_up_signs_in_with_cookies() {
    let app = TestApp::with(|setup| {
        confirmed(setup);
        setup.http.session_cookies = Some(Cookies::new());
    })
    .await;
    sign_up(&app, "ann@example.org").await;
    let answer = by_link(&app.letter("ann@example.org", "confirm-sign-up").await);
    let body = with(&answer, &json!({"password": PASSWORD, "session": "cookie"}));
    let send = async |site: &str| {
        app.post(CONFIRM).json(&body).header("sec-fetch-site", site).send().await
    };
    let elsewhere = send("cross-site").await;
    assert_eq!(elsewhere.failure(), (403, "cross-site-request"));
    let created = send("same-origin").await;
    assert_eq!(created.status, 201, "{}", created.json);
    assert_eq!(created.headers.get_all("set-cookie").iter().count(), 2);
    assert!(created.header("location").starts_with("/api/v1/user/"));
    assert!(!String::from_utf8_lossy(&created.body).contains("eyJ"), "no token");
    let known = json!({"email": "ann@example.org", "password": PASSWORD});
    assert_eq!(post(&app, LOGIN, &known).await.status, 200);
}
