//! Request bodies: strict JSON, its size, and its content type.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{assert_problem, silent_body};
use crate::support::app::{TestApp, TestResponse};

const LOGIN: &str = "/api/v1/auth/login";
const SIGNUP: &str = "/api/v1/auth/signup";

async fn post(app: &TestApp, path: &str, body: &Value) -> TestResponse {
    app.post(path).json(body).send().await
}

#[tokio::test]
async fn missing_members_and_members_of_another_type_are_named() {
    let app = TestApp::new().await;
    for (path, both) in [
        (LOGIN, vec!["email", "password"]),
        (SIGNUP, vec!["email", "password"]),
        ("/api/v1/auth/refresh", vec!["refresh_token"]),
    ] {
        for value in [json!(null), json!(5), json!(true), json!(["x"]), json!({"a": "b"})] {
            let body: Value = both
                .iter()
                .map(|name| ((*name).to_owned(), value.clone()))
                .collect::<serde_json::Map<_, _>>()
                .into();
            let response = post(&app, path, &body).await;
            assert_eq!(response.failure(), (400, "validation"), "{path} {value}");
            assert_eq!(response.fields(), both, "{path} {value}");
        }
        let response = post(&app, path, &json!({})).await;
        assert_eq!((response.failure(), response.fields()), ((400, "validation"), both), "{path}");
        for message in response.json["errors"].as_array().expect("a list") {
            let names: Vec<_> = message.as_object().expect("an object").keys().collect();
            assert_eq!(names, ["field", "message"]);
        }
        assert_eq!(app.post(path).send().await.failure(), (415, "unsupported-media-type"));
    }
}

/// A4
#[tokio::test]
async fn every_invalid_member_is_named_at_once() {
    let app = TestApp::new().await;
    let body =
        json!({"email": "no address", "password": "qx7 lamps", "Email": "", "role": "admin"});
    let response = app.post("/api/v1/auth/signup").json(&body).send().await;
    assert_problem(&response, 400, "validation", "/api/v1/auth/signup");
    assert_eq!(response.fields(), ["email", "password", "Email", "role"]);

    let admin = app.admin().await;
    let body = json!({"email": "", "password": 5, "role": "king", "status": "suspended"});
    let response = app.post("/api/v1/user").bearer(&admin.token).json(&body).send().await;
    assert_eq!(response.fields(), ["email", "password", "role", "status"]);
}

/// W1
#[tokio::test]
async fn twenty_invalid_members_are_named_and_the_others_counted() {
    let app = TestApp::new().await;
    for (unknown, omitted) in [(18, None), (19, Some(1)), (5_000, Some(4_982))] {
        let members: serde_json::Map<_, _> =
            (0..unknown).map(|index| (format!("m{index:04}"), json!(1))).collect();
        let response = post(&app, LOGIN, &members.into()).await;
        assert_problem(&response, 400, "validation", LOGIN);
        assert_eq!(response.fields().len(), 20, "{unknown}");
        assert_eq!(response.fields()[..3], ["email", "password", "m0000"], "{unknown}");
        assert_eq!(response.json["errors_omitted"].as_u64(), omitted, "{unknown}");
        assert!(response.body.len() < 8 * 1024, "{unknown}");
    }
}

#[tokio::test]
async fn json_is_parsed_strictly() {
    let app = TestApp::new().await;
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        format!("{{\"email\": \"a\", \"password\": \"b\", \"x\": {open}{close}}}")
    };
    for (body, code) in [
        (String::new(), "malformed-json"),
        ("null".to_owned(), "malformed-json"),
        ("\"email\"".to_owned(), "malformed-json"),
        ("{\"email\": \"a\", \"password\": \"b\"} x".to_owned(), "malformed-json"),
        ("{\"email\": \"a\", \"password\": \"b\",}".to_owned(), "malformed-json"),
        ("{\"email\": \"a\", 'password': \"b\"}".to_owned(), "malformed-json"),
        ("{\"email\": \"a\", \"password\": \"\\ud800\"}".to_owned(), "malformed-json"),
        (
            "{\"email\": \"a\", \"password\": \"b\", \"x\": {\"y\": 1, \"y\": 2}}".to_owned(),
            "malformed-json",
        ),
        (nested(32), "validation"),
        (nested(33), "malformed-json"),
        ("[".repeat(60_000), "malformed-json"),
    ] {
        let shown: String = body.chars().take(60).collect();
        let response = app.post(LOGIN).body("application/json", body).send().await;
        assert_eq!(response.failure(), (400, code), "{shown}");
    }
    let marked = "\u{feff}{\"email\": \"a\", \"password\": \"b\"}";
    let response = app.post(LOGIN).body("application/json", marked).send().await;
    assert_eq!(response.failure(), (400, "malformed-json"));
    assert!(response.json["detail"].as_str().expect("a sentence").contains("byte order mark"));
    let bytes = b"{\"email\": \"a\", \"password\": \"\xff\"}".to_vec();
    let response = app.post(LOGIN).body("application/json", bytes).send().await;
    assert_eq!(response.failure(), (400, "malformed-json"));
}

#[tokio::test]
async fn body_size_limit_is_64_kib() {
    let app = TestApp::new().await;
    let frame = "{\"email\": \"a\", \"password\": \"\"}".len();
    for (length, status) in [(64 * 1024, 401), (64 * 1024 + 1, 413)] {
        let password = "x".repeat(length - frame);
        let body = format!("{{\"email\": \"a\", \"password\": \"{password}\"}}");
        assert_eq!(body.len(), length);
        // With `Content-Length` and without.
        let declared = app.post(LOGIN).body("application/json", body.clone());
        let declared = declared.header("content-length", &length.to_string()).send().await;
        let streamed = app.post(LOGIN).body("application/json", body).send().await;
        assert_eq!((declared.status, streamed.status), (status, status), "{length}");
    }
}

/// H3: a body that does not arrive is the client's fault, and not a failure of the server.
#[tokio::test]
async fn body_that_never_comes_is_a_408() {
    let app = TestApp::with(|setup| setup.http.request_timeout = Duration::from_millis(20)).await;
    let admin = app.admin().await;
    let user = format!("/api/v1/user/{}", admin.id);
    for (method, path) in [
        (Method::POST, LOGIN),
        (Method::POST, SIGNUP),
        (Method::PUT, user.as_str()),
        (Method::DELETE, "/api/v1/user"),
    ] {
        let request = app.request(method, path).bearer(&admin.token);
        let response = request.body("application/json", silent_body()).send().await;
        assert_problem(&response, 408, "request-timeout", path);
        assert_eq!(response.header("retry-after"), "", "{path}");
    }
}

#[tokio::test]
async fn content_type_must_be_json_in_utf_8() {
    let app = TestApp::new().await;
    let send = async |content_type: &str| {
        let body = "{\"email\": \"a\", \"password\": \"b\"}";
        app.post(LOGIN).body(content_type, body).send().await.status
    };
    for good in [
        "application/json",
        "Application/JSON",
        "application/json;charset=utf-8",
        "application/json; charset=UTF-8",
        "application/json ; charset=\"utf-8\"",
    ] {
        assert_eq!(send(good).await, 401, "{good}");
    }
    for bad in [
        "",
        "application/problem+json",
        "application/json; charset=utf-16",
        "application/json; charset=utf-8; x=y",
        "application/json; boundary=x",
        "application/jsonx",
        "application/x-www-form-urlencoded",
        "text/json",
    ] {
        assert_eq!(send(bad).await, 415, "{bad}");
    }
    for coding in ["gzip", "identity", ""] {
        let request = app.post(LOGIN).json(&json!({})).header("content-encoding", coding);
        assert_eq!(request.send().await.status, 415, "{coding}");
    }
}
