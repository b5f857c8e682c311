//! Request bodies: strict JSON, its size, and its content type.

use serde_json::{Value, json};

use super::assert_problem;
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
