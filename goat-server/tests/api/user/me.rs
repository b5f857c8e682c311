//! `/api/v1/user`: the account of the caller.

use serde_json::json;

use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp};
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
        response.header("ratelimit").contains("\"account\""),
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
        response.header("ratelimit").contains("\"account\""),
        "{}",
        response.header("ratelimit")
    );

    let path = "/api/v1/user/change-password";
    let body = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    let response = app.patch(path).bearer(&client.token).json(&body).send().await;
    assert_eq!(response.data(), &json!({"revoked_sessions": 1}));
    assert_eq!(app.get("/api/v1/user").bearer(&other.token).send().await.status, 401);
    let body = json!({"current_password": NEW_PASSWORD});
    let response = app.delete("/api/v1/user").bearer(&client.token).json(&body).send().await;
    assert_eq!(response.status, 204);
    assert_eq!(
        app.get("/api/v1/user").bearer(&client.token).send().await.code(),
        "session-revoked"
    );
}
