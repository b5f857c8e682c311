//! `/api/v1/auth`.

mod change_email;
mod code;
mod confirm;
mod cookies;
mod introspect;
mod invite;
mod login;
mod logout;
mod recover;
mod refresh;
mod revoke;
mod signup;
mod signup_confirmed;
mod step_up;
mod verify;
mod verify_email;

use serde_json::{Value, json};

use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp, TestResponse};
use crate::support::backend::Backend;

const SIGNUP: &str = "/api/v1/auth/signup";
const LOGIN: &str = "/api/v1/auth/login";
const REFRESH: &str = "/api/v1/auth/refresh";
const LOGOUT: &str = "/api/v1/auth/logout";
const VERIFY: &str = "/api/v1/auth/verify";

async fn post(app: &TestApp, path: &str, body: &Value) -> TestResponse {
    app.post(path).json(body).send().await
}

async fn login(app: &TestApp, email: &str, password: &str) -> TestResponse {
    post(app, LOGIN, &json!({"email": email, "password": password})).await
}

pub(crate) async fn refresh(app: &TestApp, refresh_token: &str) -> TestResponse {
    post(app, REFRESH, &json!({"refresh_token": refresh_token})).await
}

/// The status and the code of a protected request.
pub(crate) async fn profile(app: &TestApp, token: &str) -> (u16, String) {
    let response = app.get("/api/v1/user").bearer(token).send().await;
    (response.status, response.code().to_owned())
}

fn revoked() -> (u16, String) {
    (401, "session-revoked".to_owned())
}

/// The names of an object's members, sorted.
fn members(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> =
        value.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

on_every_backend!(signup_login_refresh_and_logout);

async fn signup_login_refresh_and_logout(backend: Backend) {
    let app = TestApp::on(backend).await;
    let credentials = json!({"email": " Ann@Example.org ", "password": PASSWORD});
    let created = post(&app, SIGNUP, &credentials).await;
    assert_eq!((created.status, &created.data()["email"]), (201, &json!("Ann@Example.org")));
    let id = created.data()["id"].as_str().expect("an id");
    assert_eq!(created.header("location"), format!("/api/v1/user/{id}"));
    assert_eq!(created.data()["last_login_at"], json!(null));
    assert_eq!(created.data()["created_at"], "2026-01-01T00:00:00.000Z");
    assert_eq!(post(&app, SIGNUP, &credentials).await.failure(), (409, "email-taken"));

    let login = post(&app, LOGIN, &credentials).await;
    assert_eq!((login.status, &login.data()["user"]["id"]), (200, &json!(id)));
    let refresh_token = login.data()["refresh_token"].as_str().expect("a token");
    let refreshed = refresh(&app, refresh_token).await;
    let token = refreshed.data()["access_token"].as_str().expect("a token");

    let own = app.get("/api/v1/user").bearer(token).send().await;
    assert_eq!((&own.data()["role"], &own.data()["permissions"]), (&json!("client"), &json!([])));
    let out = app.post(LOGOUT).bearer(token).send().await;
    assert_eq!((out.status, out.body.len()), (204, 0));
    assert_eq!(profile(&app, token).await, revoked());
}
