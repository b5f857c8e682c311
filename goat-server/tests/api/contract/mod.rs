//! The contract that holds for every route.

mod authorization;
mod bodies;
mod codes;
mod conventions;
mod every_route;
mod examples;
mod keys;
mod precedence;
mod schemas;
mod shapes;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use goat_core::password::{HashError, PasswordHasher, Verification};
use http::Method;
use http_body::Frame;
use serde_json::Value;

use crate::support::app::{TestApp, TestResponse};

/// A well-formed id that does not exist.
const UNKNOWN_ID: &str = "01KDWMBY00C8X0F4ZCV7J3T9QH";

/// Sends a request such as `PATCH /api/v1/user`, with a token or without; `null` is no body.
async fn send(app: &TestApp, token: Option<&str>, line: &str, body: &Value) -> TestResponse {
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let mut request = app.request(method.parse::<Method>().expect("a method"), path);
    if let Some(token) = token {
        request = request.bearer(token);
    }
    if !body.is_null() {
        request = request.json(body);
    }
    request.send().await
}

/// Asserts that a failure is a complete problem document.
fn assert_problem(response: &TestResponse, status: u16, code: &str, path: &str) {
    assert_eq!(response.failure(), (status, code), "{}", response.json);
    assert_eq!(response.header("content-type"), "application/problem+json");
    assert_eq!(response.json["type"], format!("/errors/{code}"));
    assert_eq!(response.json["status"], status);
    assert_eq!(response.json["instance"], path);
    assert_eq!(response.json["request_id"], response.header("x-request-id"));
    assert!(response.json["detail"].as_str().expect("a sentence").ends_with('.'));
    assert!(!response.json["title"].as_str().expect("a title").is_empty());
    assert_headers(response);
}

/// H1: asserts the headers of every response.
fn assert_headers(response: &TestResponse) {
    assert_eq!(response.header("x-content-type-options"), "nosniff");
    assert_eq!(response.header("x-frame-options"), "DENY");
    assert_eq!(response.header("referrer-policy"), "no-referrer");
    assert!(response.header("content-security-policy").starts_with("default-src 'none'"));
    assert!(!response.header("x-request-id").is_empty());
}

/// A body whose client sends nothing, and does not disconnect.
fn silent_body() -> Body {
    struct Silent;

    impl http_body::Body for Silent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    Body::new(Silent)
}

/// A hasher that panics.
#[derive(Debug)]
struct PanickingHasher;

impl PasswordHasher for PanickingHasher {
    fn hash(&self, _: &[u8]) -> Result<String, HashError> {
        panic!("canary")
    }

    fn verify(&self, _: &[u8], _: &str) -> Result<Verification, HashError> {
        panic!("canary")
    }

    fn check(&self, _: &str) -> Result<(), HashError> {
        Ok(())
    }

    fn dummy_hash(&self) -> &str {
        ""
    }
}
