//! `POST /api/v1/user/invite`, `POST /api/v1/user/{id}/invite` and `POST /api/v1/auth/invite/confirm`.

use goat_core::access::permissions::USER_WRITE;
use goat_core::{Actor, Status};
use goat_tower::cookie::Cookies;
use serde_json::{Value, json};

use super::{login, members, post, profile};
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, Setup, TestApp, TestResponse, TestUser};
use crate::support::backend::Backend;
use crate::support::mail::{by_link, with};

const INVITE: &str = "/api/v1/user/invite";
const CONFIRM: &str = "/api/v1/auth/invite/confirm";
const UNKNOWN: &str = "/api/v1/user/01KDWMBY00C8X0F4ZCV7J3T9QH/invite";
const INVALID: (u16, &str) = (400, "invalid-challenge");

fn with_mail(setup: &mut Setup) {
    setup.mail = true;
}

async fn invite(app: &TestApp, by: &TestUser, body: Value) -> TestResponse {
    app.post(INVITE).bearer(&by.token).json(&body).send().await
}

/// Sends an invitation again, of the user at this path.
async fn again(app: &TestApp, by: &TestUser, path: &str) -> TestResponse {
    app.post(&format!("{path}/invite")).bearer(&by.token).send().await
}

async fn accept(app: &TestApp, answer: &Value) -> TestResponse {
    post(app, CONFIRM, &with(answer, &json!({"password": PASSWORD}))).await
}

async fn link(app: &TestApp, email: &str) -> Value {
    by_link(&app.letter(email, "invitation").await)
}

on_every_backend!(an_invited_user_chooses_a_password_and_becomes_active);

/// M3: a new letter ends the older one, and an answer works once.
async fn an_invited_user_chooses_a_password_and_becomes_active(backend: Backend) {
    let app = TestApp::on_with(backend, with_mail).await;
    let admin = app.admin().await;
    let body = json!({"email": "Ann@example.org", "role": "operator"});
    let invited = invite(&app, &admin, body).await;
    assert_eq!(invited.status, 201, "{}", invited.json);
    let user = invited.data();
    let path = format!("/api/v1/user/{}", user["id"].as_str().expect("an id"));
    assert_eq!(invited.header("location"), path);
    let shown = ["email", "email_verified", "role", "status"].map(|name| user[name].clone());
    let expected = [json!("Ann@example.org"), json!(false), json!("operator"), json!("inactive")];
    assert_eq!(shown, expected);
    let older = link(&app, "Ann@example.org").await;
    let sent = again(&app, &admin, &path).await;
    assert_eq!((sent.status, sent.body.len()), (202, 0), "{}", sent.json);
    let answer = link(&app, "Ann@example.org").await;
    assert_eq!(accept(&app, &older).await.failure(), INVALID);
    for weak in ["too short", "ann@example.org"] {
        let response = post(&app, CONFIRM, &with(&answer, &json!({"password": weak}))).await;
        assert_eq!(
            (response.failure(), response.fields()),
            ((400, "validation"), vec!["password"])
        );
    }
    assert_eq!(login(&app, "ann@example.org", PASSWORD).await.status, 401);
    let accepted = accept(&app, &answer).await;
    assert_eq!(accepted.status, 201, "{}", accepted.json);
    assert_eq!(
        members(accepted.data()),
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
    let user = &accepted.data()["user"];
    assert_eq!([&user["status"], &user["email_verified"]], [&json!("active"), &json!(true)]);
    let token = accepted.data()["access_token"].as_str().expect("a token");
    assert_eq!(profile(&app, token).await.0, 200);
    assert_eq!(login(&app, "ann@example.org", PASSWORD).await.status, 200);
    assert_eq!(accept(&app, &answer).await.failure(), INVALID, "an answer works once");
    assert_eq!(again(&app, &admin, &path).await.failure(), (409, "invalid-transition"));
}

on_every_backend!(invitations_follow_the_rules_of_rank);

async fn invitations_follow_the_rules_of_rank(backend: Backend) {
    let app = TestApp::on_with(backend, with_mail).await;
    let (admin, operator) = (app.admin().await, app.operator().await);
    let ann = json!({"email": "ann@example.org"});
    assert_eq!(invite(&app, &operator, ann.clone()).await.failure(), (403, "forbidden"));
    let granted = app.goat.roles().grant(Actor::system("a test"), "operator", USER_WRITE).await;
    granted.expect("granted");
    let above = invite(&app, &operator, with(&ann, &json!({"role": "admin"}))).await;
    assert_eq!(above.failure(), (403, "role-not-assignable"));
    let taken = invite(&app, &operator, json!({"email": admin.email})).await;
    assert_eq!(taken.failure(), (409, "email-taken"));
    let body = json!({"email": "backup@service.invalid", "role": "king"});
    let invalid = invite(&app, &operator, body).await;
    assert_eq!((invalid.failure(), invalid.fields()), ((400, "validation"), vec!["email", "role"]));
    assert!(app.letters.take().is_empty());
    let invited = invite(&app, &operator, ann).await;
    assert_eq!(invited.data()["role"], "client", "as at sign-up");

    let admins = json!({"email": "bea@example.org", "role": "admin"});
    let invited = invite(&app, &admin, admins).await;
    let path = format!("/api/v1/user/{}", invited.data()["id"].as_str().expect("an id"));
    assert_eq!(again(&app, &operator, &path).await.failure(), (403, "outranked"));
    assert_eq!(again(&app, &admin, &admin.path()).await.failure(), (403, "outranked"));
    let unknown = app.post(UNKNOWN).bearer(&admin.token).send().await;
    assert_eq!(unknown.failure(), (404, "not-found"));
    let inactive = app.add("inactive@example.org", "client", Status::Inactive).await;
    let inactive = format!("/api/v1/user/{inactive}");
    let response = again(&app, &admin, &inactive).await;
    assert_eq!(response.failure(), (409, "invalid-transition"), "created with a password");
}

/// M4: wrong answers end the letter, and never the user.
#[tokio::test]
async fn wrong_answers_end_the_invitation_and_not_the_user() {
    let app = TestApp::with(with_mail).await;
    let admin = app.admin().await;
    let invited = invite(&app, &admin, json!({"email": "ann@example.org"})).await;
    let path = format!("/api/v1/user/{}", invited.data()["id"].as_str().expect("an id"));
    let answer = link(&app, "ann@example.org").await;
    let token = answer["token"].as_str().expect("a token");
    let wrong = json!({"token": format!("{}{}", &token[..26], "0".repeat(52))});
    for _ in 0..5 {
        assert_eq!(accept(&app, &wrong).await.failure(), INVALID);
    }
    assert_eq!(accept(&app, &answer).await.failure(), INVALID);
    assert_eq!(again(&app, &admin, &path).await.status, 202);
    let answer = link(&app, "ann@example.org").await;
    assert_eq!(accept(&app, &answer).await.status, 201);
}

/// An invitation has no code.
#[tokio::test]
async fn an_invitation_is_answered_by_its_link_only() {
    let app = TestApp::with(with_mail).await;
    let body = json!({"challenge": "01KDWMBY00C8X0F4ZCV7J3T9QH", "code": "00000000"});
    let response = accept(&app, &body).await;
    assert_eq!(response.failure(), (400, "validation"));
    assert_eq!(response.fields(), ["token", "challenge", "code"]);
}

/// B20, B21: with the origin check before the answer is used.
#[tokio::test]
async fn an_accepted_invitation_signs_in_with_cookies() {
    let app = TestApp::with(|setup| {
        with_mail(setup);
        setup.http.session_cookies = Some(Cookies::new());
    })
    .await;
    let admin = app.admin().await;
    invite(&app, &admin, json!({"email": "ann@example.org"})).await;
    let answer = link(&app, "ann@example.org").await;
    let body = with(&answer, &json!({"password": PASSWORD, "session": "cookie"}));
    let send = async |site: &str| {
        app.post(CONFIRM).json(&body).header("sec-fetch-site", site).send().await
    };
    assert_eq!(send("cross-site").await.failure(), (403, "cross-site-request"));
    let accepted = send("same-origin").await;
    assert_eq!(accepted.status, 201, "{}", accepted.json);
    assert_eq!(accepted.headers.get_all("set-cookie").iter().count(), 2);
    assert!(!String::from_utf8_lossy(&accepted.body).contains("eyJ"), "no token");
}
