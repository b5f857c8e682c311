//! `/api/v1/user`.

mod admin;
mod attributes;
mod email;
mod keys;
mod list;
mod me;
mod profile;
mod recover;
mod service;
mod session;

use serde_json::Value;

use crate::support::app::{TestApp, TestResponse, TestUser};

/// Sends a request such as `PATCH /api/v1/user` with a user's token; `null` is no body.
async fn send(app: &TestApp, user: &TestUser, line: &str, body: Value) -> TestResponse {
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let request = app.request(method.parse().expect("a method"), path).bearer(&user.token);
    if body.is_null() { request.send().await } else { request.json(&body).send().await }
}
