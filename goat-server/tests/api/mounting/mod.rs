//! The API mounted in an application, beside its own routes and its fallback.

mod beside;
mod groups;
mod prefix;

use axum::Router;
use axum::routing::get;
use goat_server::Api;
use serde_json::Value;

use crate::support::app::{TestApp, TestResponse};

/// A well-formed id that does not exist.
const UNKNOWN_ID: &str = "01KDWMBY00C8X0F4ZCV7J3T9QH";

/// The body of the application's fallback.
const FALLBACK: &[u8] = b"no such page";

/// An application with two routes and a fallback of its own, and with these mounts.
fn application(mounts: impl IntoIterator<Item = Api>) -> Router {
    let own = Router::new()
        .route("/", get(async || "the shop"))
        .route("/api/shop", get(async || "the shop's own API"))
        .fallback(async || (http::StatusCode::NOT_FOUND, FALLBACK));
    mounts.into_iter().fold(own, |app, api| app.merge(api.into_router()))
}

/// A path that matches a template.
fn concrete(template: &str) -> String {
    template.replace("{id}", UNKNOWN_ID).replace("{key}", "client").replace("{name}", "ghost")
}

/// Asserts that the application's fallback responded, without any of goat's middleware.
fn assert_fallback(response: &TestResponse, path: &str) {
    assert_eq!((response.status, &*response.body), (404, FALLBACK), "{path}");
    let mut names: Vec<_> = response.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "content-type"], "{path}");
}

/// Asserts that the API responded with a problem document about this path.
fn assert_problem(response: &TestResponse, expected: (u16, &str), path: &str) {
    assert_eq!(response.failure(), expected, "{path}");
    assert_eq!(response.json["instance"], path);
    assert_eq!(response.header("content-type"), "application/problem+json", "{path}");
    assert!(!response.header("x-request-id").is_empty(), "{path}");
}

/// The OpenAPI document at a path.
async fn document(app: &TestApp, path: &str) -> Value {
    let response = app.get(path).send().await;
    assert_eq!(response.status, 200, "{path}");
    response.json
}

/// The methods and paths of an OpenAPI document.
fn operations(document: &Value) -> Vec<(String, String)> {
    let paths = document["paths"].as_object().expect("paths");
    let items = paths.iter().map(|(path, item)| (path, item.as_object().expect("an item")));
    let operations = items.flat_map(|(path, item)| {
        item.keys().map(|method| (method.to_ascii_uppercase(), path.clone()))
    });
    operations.collect()
}
