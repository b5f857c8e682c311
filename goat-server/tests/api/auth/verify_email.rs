//! `POST /api/v1/user/verify-email` and `POST /api/v1/auth/verify-email/confirm`.

use serde_json::{Value, json};

use super::members;
use crate::backends::on_every_backend;
use crate::support::app::{Setup, TestApp, TestResponse, TestUser};
use crate::support::backend::Backend;
use crate::support::mail::{by_code, by_link};

const ASK: &str = "/api/v1/user/verify-email";
const CONFIRM: &str = "/api/v1/auth/verify-email/confirm";
const INVALID: (u16, &str) = (400, "invalid-challenge");

fn with_mail(setup: &mut Setup) {
    setup.mail = true;
}

async fn ask(app: &TestApp, user: &TestUser) -> TestResponse {
    app.post(ASK).bearer(&user.token).send().await
}

async fn confirm(app: &TestApp, user: &TestUser, answer: &Value) -> TestResponse {
    app.post(CONFIRM).bearer(&user.token).json(answer).send().await
}

on_every_backend!(a_user_verifies_the_own_address);

/// M3
async fn a_user_verifies_the_own_address(backend: Backend) {
    let app = TestApp::on_with(backend, with_mail).await;
    for has_link in [true, false] {
        let user = app.client().await;
        let verified = async || {
            let own = app.get("/api/v1/user").bearer(&user.token).send().await;
            own.data()["email_verified"].clone()
        };
        let sent = ask(&app, &user).await;
        assert_eq!(sent.status, 202, "{}", sent.json);
        assert_eq!(members(sent.data()), ["challenge", "expires_at"]);
        let letter = app.letter(&user.email, "verify-email").await;
        let answer = if has_link { by_link(&letter) } else { by_code(&sent, &letter) };
        assert_eq!(verified().await, false);
        let confirmed = confirm(&app, &user, &answer).await;
        assert_eq!((confirmed.status, confirmed.body.len()), (204, 0), "{}", confirmed.json);
        assert_eq!(verified().await, true);
        assert_eq!(confirm(&app, &user, &answer).await.failure(), INVALID, "an answer works once");
        let again = ask(&app, &user).await;
        assert_eq!((again.status, &again.data()["email_verified"]), (200, &json!(true)));
        assert_eq!(again.data()["id"], user.id.to_string());
        assert!(app.letters.take().is_empty());
    }
}

on_every_backend!(only_the_user_who_asked_answers);

/// M3: otherwise the click of a mailbox's owner would verify a stranger's account, and a stranger's attempts
/// would use up the user's.
async fn only_the_user_who_asked_answers(backend: Backend) {
    let app = TestApp::on_with(backend, with_mail).await;
    let (user, other) = (app.client().await, app.client().await);
    ask(&app, &user).await;
    let answer = by_link(&app.letter(&user.email, "verify-email").await);
    let anonymous = app.post(CONFIRM).json(&answer).send().await;
    assert_eq!(anonymous.failure(), (401, "unauthenticated"));
    for _ in 0..6 {
        assert_eq!(confirm(&app, &other, &answer).await.failure(), INVALID);
    }
    assert_eq!(confirm(&app, &user, &answer).await.status, 204);
}
