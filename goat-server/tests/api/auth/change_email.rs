//! `PATCH /api/v1/user/change-email` with mail, and `POST /api/v1/auth/change-email/{confirm, undo}`.

use std::time::Duration;

use goat_core::Status;
use goat_core::factor::FactorKind;
use goat_core::key::Scopes;
use goat_core::testing::TestFactors;
use serde_json::{Value, json};

use super::{login, members, post, profile, revoked};
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, Setup, TestApp, TestResponse, TestUser};
use crate::support::backend::Backend;
use crate::support::mail::{by_code, by_link, with};

const CHANGE: &str = "/api/v1/user/change-email";
const CONFIRM: &str = "/api/v1/auth/change-email/confirm";
const UNDO: &str = "/api/v1/auth/change-email/undo";
const NEW: &str = "new@example.org";
const INVALID: (u16, &str) = (400, "invalid-challenge");

const DAY: Duration = Duration::from_secs(86_400);

fn with_mail(setup: &mut Setup) {
    setup.mail = true;
}

async fn change(app: &TestApp, user: &TestUser, email: &str) -> TestResponse {
    let body = json!({"email": email, "current_password": PASSWORD});
    app.patch(CHANGE).bearer(&user.token).json(&body).send().await
}

/// Changes the address of a user, and returns the answer by the link that undoes it.
async fn changed(app: &TestApp, user: &TestUser, email: &str) -> Value {
    assert_eq!(change(app, user, email).await.status, 202);
    let answer = by_link(&app.letter(email, "confirm-new-email").await);
    assert_eq!(post(app, CONFIRM, &answer).await.status, 204);
    by_link(&app.letter(&user.email, "email-changed").await)
}

async fn shown(app: &TestApp, user: &TestUser) -> (String, bool) {
    let own = app.get("/api/v1/user").bearer(&user.token).send().await;
    let email = own.data()["email"].as_str().expect("an address").to_owned();
    (email, own.data()["email_verified"] == true)
}

on_every_backend!(an_address_changes_once_the_new_one_answers);

/// M9, M3: the old address stays until then, and is told of the change.
async fn an_address_changes_once_the_new_one_answers(backend: Backend) {
    let app = TestApp::on_with(backend, with_mail).await;
    for (has_link, new) in [(true, "by-link@example.org"), (false, "by-code@example.org")] {
        let user = app.client().await;
        let sent = change(&app, &user, new).await;
        assert_eq!(sent.status, 202, "{}", sent.json);
        assert_eq!(members(sent.data()), ["challenge", "expires_at"]);
        let letter = app.letter(new, "confirm-new-email").await;
        assert!(!format!("{letter:?}").contains(&user.email), "M9");
        assert_eq!(shown(&app, &user).await, (user.email.clone(), false));
        let answer = if has_link { by_link(&letter) } else { by_code(&sent, &letter) };
        let confirmed = post(&app, CONFIRM, &answer).await;
        assert_eq!((confirmed.status, confirmed.body.len()), (204, 0), "{}", confirmed.json);
        assert_eq!(shown(&app, &user).await, (new.to_owned(), true));
        // The old address was not verified: it is told, and undoes nothing.
        let told = app.letter(&user.email, "email-changed").await;
        assert!(told.message.secret().is_none());
        assert_eq!(post(&app, CONFIRM, &answer).await.failure(), INVALID, "an answer works once");
        assert_eq!(login(&app, &user.email, PASSWORD).await.status, 401);
        assert_eq!(login(&app, new, PASSWORD).await.status, 200);
    }
}

on_every_backend!(a_change_of_address_needs_a_proof_and_a_free_address);

/// G6, M9
async fn a_change_of_address_needs_a_proof_and_a_free_address(backend: Backend) {
    let app = TestApp::on_with(backend, with_mail).await;
    let user = app.client().await;
    let patch = async |body: Value| app.patch(CHANGE).bearer(&user.token).json(&body).send().await;
    let wrong = patch(json!({"email": NEW, "current_password": "wrong"})).await;
    assert_eq!(wrong.failure(), (403, "wrong-password"));
    // The present address, in another case, is no change that a mailbox could confirm.
    let same = change(&app, &user, &user.email.to_uppercase()).await;
    assert_eq!((same.status, &same.data()["email"]), (200, &json!(user.email.to_uppercase())));
    assert_eq!(change(&app, &user, NEW).await.status, 202);
    let answer = by_link(&app.letter(NEW, "confirm-new-email").await);
    app.add(NEW, "client", Status::Active).await;
    assert_eq!(post(&app, CONFIRM, &answer).await.failure(), (409, "email-taken"));
    app.clock.advance(Duration::from_secs(301));
    let user = app.sign_in(&user.email.to_uppercase(), PASSWORD).await;
    let patch = async |body: Value| app.patch(CHANGE).bearer(&user.token).json(&body).send().await;
    assert_eq!(patch(json!({"email": "other@example.org"})).await.status, 202, "a recent proof");
}

/// Without a recent proof or the password, no letter is sent.
#[tokio::test]
async fn a_change_of_address_without_a_proof_sends_no_letter() {
    let app = TestApp::with(|setup| {
        with_mail(setup);
        setup.goat.access_ttl = Duration::from_secs(900);
    })
    .await;
    let user = app.client().await;
    app.clock.advance(Duration::from_secs(301));
    let patch = app.patch(CHANGE).bearer(&user.token).json(&json!({"email": NEW}));
    assert_eq!(patch.send().await.failure(), (401, "step-up-required"));
    assert!(app.letters.take().is_empty());
}

on_every_backend!(the_old_address_takes_the_account_back);

/// M9: with its sessions ended, without the password and the keys since the change, and with a letter that
/// recovers it.
async fn the_old_address_takes_the_account_back(backend: Backend) {
    let app = TestApp::on_with(backend, with_mail).await;
    let user = app.client().await;
    app.verify_email(user.id).await;
    let undo = changed(&app, &user, NEW).await;
    app.clock.advance(Duration::from_secs(1));
    let thief = app.sign_in(NEW, PASSWORD).await;
    let key = app.key(&thief, Scopes::Role).await;
    assert_eq!(profile(&app, &key).await.0, 200);
    // A recovery and a second change end it neither.
    let ask = post(&app, "/api/v1/auth/recover", &json!({"email": NEW})).await;
    assert_eq!(ask.status, 202);
    let answer = by_link(&app.letter(NEW, "reset-password").await);
    let recovered = with(&answer, &json!({"new_password": "seven lamps over the quay"}));
    assert_eq!(post(&app, "/api/v1/auth/recover/confirm", &recovered).await.status, 200);
    let thief = app.sign_in(NEW, "seven lamps over the quay").await;
    let body = json!({"email": "newer@example.org"});
    let again = app.patch(CHANGE).bearer(&thief.token).json(&body).send().await;
    assert_eq!(again.status, 202, "{}", again.json);
    let answer = by_link(&app.letter("newer@example.org", "confirm-new-email").await);
    assert_eq!(post(&app, CONFIRM, &answer).await.status, 204);
    let younger = by_link(&app.letter(NEW, "email-changed").await);

    app.clock.advance(7 * DAY - Duration::from_secs(2));
    let undone = post(&app, UNDO, &undo).await;
    assert_eq!((undone.status, undone.body.len()), (204, 0), "{}", undone.json);
    assert_eq!(profile(&app, &key).await, (401, "invalid-token".to_owned()));
    assert_eq!(post(&app, UNDO, &undo).await.failure(), INVALID, "an answer works once");
    assert_eq!(
        post(&app, UNDO, &younger).await.failure(),
        INVALID,
        "a used undo ends younger ones"
    );
    let reset = by_link(&app.letter(&user.email, "reset-password").await);
    for password in [PASSWORD, "seven lamps over the quay"] {
        let response = login(&app, &user.email, password).await;
        assert_eq!(response.failure(), (401, "invalid-credentials"), "no password is left");
    }
    let own = with(&reset, &json!({"new_password": "a kettle of green tea at noon"}));
    assert_eq!(post(&app, "/api/v1/auth/recover/confirm", &own).await.status, 200);
    let back = login(&app, &user.email, "a kettle of green tea at noon").await;
    assert_eq!(back.data()["user"]["id"], user.id.to_string());
    assert_eq!(back.data()["user"]["email_verified"], true);
}

/// M9
#[tokio::test]
async fn an_undo_ends_every_session_at_once_and_expires_after_seven_days() {
    let app = TestApp::with(with_mail).await;
    let (one, other) = (app.client().await, app.client().await);
    for user in [&one, &other] {
        app.verify_email(user.id).await;
    }
    let undo = changed(&app, &one, NEW).await;
    let late = changed(&app, &other, "newer@example.org").await;
    assert_eq!(profile(&app, &one.token).await.0, 200);
    assert_eq!(post(&app, UNDO, &undo).await.status, 204);
    assert_eq!(profile(&app, &one.token).await, revoked());
    app.clock.advance(7 * DAY);
    assert_eq!(post(&app, UNDO, &late).await.failure(), INVALID);
}

/// M9: a stolen old mailbox alone takes no account with a second factor.
#[tokio::test]
async fn an_undo_shows_a_factor_that_is_older_than_the_change() {
    let app = TestApp::with(with_mail).await;
    let user = app.client().await;
    app.verify_email(user.id).await;
    let undo = changed(&app, &user, NEW).await;
    let other = app.client().await;
    app.verify_email(other.id).await;
    app.factors.enrol(other.id, FactorKind::Totp, app.goat.time().now());
    app.clock.advance(Duration::from_secs(1));
    let code = json!({"code": TestFactors::CODE});
    let stepped_up = app.post("/api/v1/auth/step-up").bearer(&other.token).json(&code).send().await;
    let token = stepped_up.data()["access_token"].as_str().expect("a token");
    let body = json!({"email": "newer@example.org"});
    let sent = app.patch(CHANGE).bearer(token).json(&body).send().await;
    assert_eq!(sent.status, 202, "{}", sent.json);
    let answer = by_link(&app.letter("newer@example.org", "confirm-new-email").await);
    assert_eq!(post(&app, CONFIRM, &answer).await.status, 204);
    let guarded = by_link(&app.letter(&other.email, "email-changed").await);
    // A younger one is none of the owner's.
    app.factors.enrol(user.id, FactorKind::Totp, app.goat.time().now());
    assert_eq!(post(&app, UNDO, &undo).await.status, 204);

    let missing = post(&app, UNDO, &guarded).await;
    assert_eq!(missing.failure(), (400, "validation"));
    assert_eq!(missing.fields(), ["authenticator_code"]);
    let code = |code: &str| json!({"authenticator_code": code});
    let both = with(&code(TestFactors::CODE), &json!({"recovery_code": "x"}));
    let both = post(&app, UNDO, &with(&guarded, &both)).await;
    assert_eq!((both.failure(), both.fields()), ((400, "validation"), vec!["recovery_code"]));
    for wrong in [code("000000"), json!({"recovery_code": "x"})] {
        assert_eq!(post(&app, UNDO, &with(&guarded, &wrong)).await.failure(), INVALID, "{wrong}");
    }
    let right = post(&app, UNDO, &with(&guarded, &code(TestFactors::CODE))).await;
    assert_eq!(right.status, 204, "{}", right.json);
    // The recovery that follows asks for no second one.
    let reset = by_link(&app.letter(&other.email, "reset-password").await);
    let reset = with(&reset, &json!({"new_password": "seven lamps over the quay"}));
    assert_eq!(post(&app, "/api/v1/auth/recover/confirm", &reset).await.status, 200);
}

#[tokio::test]
async fn an_address_that_another_user_has_is_not_restored() {
    let app = TestApp::with(with_mail).await;
    let user = app.client().await;
    app.verify_email(user.id).await;
    let undo = changed(&app, &user, NEW).await;
    // A sign-up that proves no mailbox cannot take it.
    let sign_up = json!({"email": user.email, "password": PASSWORD});
    let taken = post(&app, super::SIGNUP, &sign_up).await;
    assert_eq!(taken.failure(), (409, "email-taken"), "its owner may still undo the change");
    let other = app.add("other@example.org", "client", Status::Active).await;
    let email = goat_core::Email::parse(&user.email).expect("an address");
    app.edit(other, |account| account.user.email = email.clone()).await;
    assert_eq!(post(&app, UNDO, &undo).await.failure(), (409, "email-taken"));
    assert_eq!(shown(&app, &user).await.0, NEW);
}
