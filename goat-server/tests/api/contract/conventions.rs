//! What holds for every route: problem documents, headers, methods, paths, bodies.

use std::sync::Arc;

use crate::support::app::{PASSWORD, TestApp, TestResponse};
use goat_core::password::{HashError, PasswordHasher, Verification};
use http::Method;
use serde_json::json;

/// A failure looks like one, whoever made it.
fn assert_problem(answer: &TestResponse, status: u16, code: &str, path: &str) {
    assert_eq!(answer.failure(), (status, code), "{}", answer.json);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json["type"], format!("/errors/{code}"));
    assert_eq!(answer.json["status"], status);
    assert_eq!(answer.json["instance"], path);
    assert_eq!(answer.json["request_id"], answer.header("x-request-id"));
    assert!(answer.json["detail"].as_str().expect("a sentence").ends_with('.'));
    assert!(!answer.json["title"].as_str().expect("a title").is_empty());
    assert_headers(answer);
}

/// H1: every answer has these.
fn assert_headers(answer: &TestResponse) {
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("x-frame-options"), "DENY");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
    assert!(!answer.header("x-request-id").is_empty());
}

#[tokio::test]
async fn a_path_that_is_not_there_is_a_404() {
    let app = TestApp::new().await;
    for path in ["/", "/api", "/api/v1/users", "/API/v1/user", "/api/v1/User", "/api/v1/user/a/b/c"]
    {
        let answer = app.get(path).send().await;
        assert_problem(&answer, 404, "not-found", path);
        assert!(answer.header("ratelimit").starts_with("\"public\""));
    }
}

/// A5
#[tokio::test]
async fn another_spelling_of_a_path_reaches_nothing() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    for path in [
        "/api/v1/user/",
        "//api/v1/user",
        "/api//v1/user",
        "/api/v1/./user",
        "/api/v1/user/..",
        "/api/v1/user/%2e%2E",
        "/api/v1/user/a%2Fb",
        "/api/v1/us%65r",
        "/api/health/",
    ] {
        let answer = app.get(path).bearer(&admin.token).send().await;
        assert_problem(&answer, 404, "not-found", path);
        assert!(answer.header("ratelimit").starts_with("\"public\""), "{path}");
    }
    // Any other escape in place of an id is a 400.
    let path = format!("/api/v1/user/{}", admin.id.to_string().replace('0', "%30"));
    let answer = app.get(&path).bearer(&admin.token).send().await;
    assert_eq!((answer.failure(), answer.fields()), ((400, "validation"), vec!["id"]));
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_a_405_that_names_those_it_takes() {
    let app = TestApp::new().await;
    let cases = [
        (Method::GET, "/api/v1/auth/login", "POST", "public"),
        (Method::PUT, "/api/v1/user/list", "GET, HEAD", "address"),
        (Method::POST, "/api/v1/user/change-email", "PATCH", "address"),
        (Method::PATCH, "/api/v1/user", "DELETE, GET, HEAD, POST", "address"),
        (Method::OPTIONS, "/api/v1/user", "DELETE, GET, HEAD, POST", "address"),
        (Method::TRACE, "/api/v1/sessions", "DELETE, GET, HEAD", "address"),
        (Method::POST, "/api/health", "GET, HEAD", ""),
    ];
    for (method, path, allow, limit) in cases {
        let answer = app.request(method, path).send().await;
        assert_problem(&answer, 405, "method-not-allowed", path);
        assert_eq!(answer.header("allow"), allow, "{path}");
        assert_eq!(answer.header("ratelimit").split('"').nth(1).unwrap_or_default(), limit);
    }
}

/// A5
#[tokio::test]
async fn head_is_get_without_the_body_under_the_same_guards() {
    let app = TestApp::new().await;
    let client = app.client().await;
    let head = app.request(Method::HEAD, "/api/v1/user").send().await;
    assert_eq!((head.status, head.body.len()), (401, 0));
    assert!(head.header("www-authenticate").starts_with("Bearer"));
    let head = app.request(Method::HEAD, "/api/v1/user/list").bearer(&client.token).send().await;
    assert_eq!((head.status, head.body.len()), (403, 0));
    let head = app.request(Method::HEAD, "/api/v1/user").bearer(&client.token).send().await;
    let get = app.get("/api/v1/user").bearer(&client.token).send().await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), get.body.len().to_string());
    let head = app.request(Method::HEAD, "/nowhere").send().await;
    assert_eq!((head.status, head.body.len()), (404, 0));
}

/// A5
#[tokio::test]
async fn a_header_does_not_change_the_method() {
    let app = TestApp::new().await;
    let client = app.client().await;
    let answer = app
        .get("/api/v1/user")
        .bearer(&client.token)
        .header("x-http-method-override", "DELETE")
        .send()
        .await;
    assert_eq!(answer.data()["id"], client.id.to_string());
}

#[tokio::test]
async fn bodies_are_refused_in_the_order_of_the_contract() {
    let app = TestApp::new().await;
    let path = "/api/v1/auth/login";
    let good = r#"{"email": "a@example.org", "password": "x"}"#;
    let long = format!(r#"{{"email": "{}", "password": ""}}"#, "x".repeat(64 * 1024));
    let cases = [
        ("text/plain", good, 415, "unsupported-media-type"),
        ("application/json; charset=latin1", good, 415, "unsupported-media-type"),
        ("application/json", long.as_str(), 413, "payload-too-large"),
        ("application/json", "{", 400, "malformed-json"),
        ("application/json", "[]", 400, "malformed-json"),
        ("application/json", r#"{"email": "", "email": ""}"#, 400, "malformed-json"),
        ("application/json", "{}", 400, "validation"),
        ("application/json; charset=utf-8", good, 401, "invalid-credentials"),
    ];
    for (content_type, body, status, code) in cases {
        let answer = app.post(path).body(content_type, body.to_owned()).send().await;
        assert_problem(&answer, status, code, path);
    }
    let encoded = app.post(path).body("application/json", good).header("content-encoding", "gzip");
    assert_problem(&encoded.send().await, 415, "unsupported-media-type", path);
}

/// A4
#[tokio::test]
async fn everything_wrong_with_a_body_is_named_at_once() {
    let app = TestApp::new().await;
    let body = json!({"email": "nobody", "password": "qx7 lamps", "Email": "", "role": "admin"});
    let answer = app.post("/api/v1/auth/signup").json(&body).send().await;
    assert_problem(&answer, 400, "validation", "/api/v1/auth/signup");
    assert_eq!(answer.fields(), ["email", "password", "Email", "role"]);

    let admin = app.admin().await;
    let body = json!({"email": "", "password": 5, "role": "king", "status": "suspended"});
    let answer = app.post("/api/v1/user").bearer(&admin.token).json(&body).send().await;
    assert_eq!(answer.fields(), ["email", "password", "role", "status"]);
}

#[tokio::test]
async fn a_query_that_a_route_does_not_know_is_named() {
    let app = TestApp::new().await;
    for path in ["/api/health?x=1", "/api/v1/auth/login?x=1", "/.well-known/jwks.json?x"] {
        let method = if path.contains("login") { Method::POST } else { Method::GET };
        let answer = app.request(method, path).send().await;
        assert_eq!((answer.failure(), answer.fields()), ((400, "validation"), vec!["x"]), "{path}");
    }
}

/// H1
#[tokio::test]
async fn answers_with_credentials_are_not_stored() {
    let app = TestApp::new().await;
    let client = app.client().await;
    let login = json!({"email": client.email, "password": PASSWORD});
    let answers = [
        app.post("/api/v1/auth/login").json(&login).send().await,
        app.get("/api/v1/user").bearer(&client.token).send().await,
        app.get("/api/v1/user").send().await,
        app.get("/api/health").bearer("nonsense").send().await,
        app.get("/api/v1/auth/nothing").send().await,
    ];
    for answer in &answers {
        assert_eq!(answer.header("cache-control"), "no-store", "{}", answer.json);
        assert_headers(answer);
    }
    assert_eq!(answers.map(|answer| answer.status), [200, 200, 401, 200, 404]);
    assert_eq!(app.get("/api/health").send().await.header("cache-control"), "");
}

/// L2
#[tokio::test]
async fn the_request_id_is_the_callers_if_it_is_well_formed() {
    let app = TestApp::new().await;
    let given = app.get("/api/health").header("x-request-id", "order-17_a").send().await;
    assert_eq!(given.header("x-request-id"), "order-17_a");
    for bad in ["no spaces", "", "x\ty", &"a".repeat(65)] {
        let answer = app.get("/nowhere").header("x-request-id", bad).send().await;
        let id = answer.header("x-request-id");
        assert_eq!((id.len(), answer.json["request_id"].as_str()), (26, Some(id)), "{bad}");
    }
    let twice = app.get("/api/health").header("x-request-id", "a").header("x-request-id", "b");
    assert_eq!(twice.send().await.header("x-request-id").len(), 26);
}

#[tokio::test]
async fn challenges_say_what_is_missing() {
    let app = TestApp::new().await;
    let client = app.client().await;
    let nobody = app.get("/api/v1/user").send().await;
    assert_problem(&nobody, 401, "unauthenticated", "/api/v1/user");
    assert_eq!(nobody.header("www-authenticate"), r#"Bearer realm="goat""#);
    let bad = app.get("/api/v1/user").bearer("nonsense").send().await;
    assert_problem(&bad, 401, "invalid-token", "/api/v1/user");
    let challenge = bad.header("www-authenticate");
    assert!(challenge.starts_with(r#"Bearer realm="goat", error="invalid_token""#), "{challenge}");
    let lacking = app.get("/api/v1/user/list").bearer(&client.token).send().await;
    assert_problem(&lacking, 403, "forbidden", "/api/v1/user/list");
    let challenge = lacking.header("www-authenticate");
    assert!(challenge.ends_with(r#"error="insufficient_scope", scope="user:read""#), "{challenge}");
    let twice = app.get("/api/v1/user").bearer(&client.token).bearer(&client.token).send().await;
    assert_problem(&twice, 400, "bad-request", "/api/v1/user");
}

/// A gRPC client that finds its way here is answered over HTTP all the same.
#[tokio::test]
async fn a_refusal_has_its_status_whatever_the_content_type_of_the_request() {
    let app = TestApp::new().await;
    let answer = app.get("/api/v1/user").header("content-type", "application/grpc").send().await;
    assert_problem(&answer, 401, "unauthenticated", "/api/v1/user");
}

#[tokio::test]
async fn limits_show_by_name_and_refuse_before_anything_else() {
    let app = TestApp::with(crate::support::app::Setup::shipped_limits).await;
    let client = app.client().await;
    let profile = app.get("/api/v1/user").bearer(&client.token).send().await;
    assert_eq!(profile.header("ratelimit-policy"), r#""address";q=300;w=60, "user";q=60;w=60"#);
    assert_eq!(profile.header("x-ratelimit-remaining"), "59");

    let login = json!({"email": client.email, "password": PASSWORD});
    let answer = app.post("/api/v1/auth/login").json(&login).send().await;
    assert_eq!(answer.header("ratelimit-policy"), r#""auth";q=5;w=60, "account";q=50;w=60"#);
    assert_eq!(answer.header("ratelimit"), r#""auth";r=4;t=60, "account";r=48;t=60"#);
    let wrong = json!({"email": client.email, "password": "wrong"});
    for left in (0..4).rev() {
        let answer = app.post("/api/v1/auth/login").json(&wrong).send().await;
        assert_eq!(answer.status, 401);
        assert!(answer.header("ratelimit").starts_with(&format!("\"auth\";r={left};")));
    }
    let refused = app.post("/api/v1/auth/login").body("text/plain", "what?").send().await;
    assert_problem(&refused, 429, "rate-limited", "/api/v1/auth/login");
    assert_eq!(refused.header("retry-after"), "60");
    assert_eq!(refused.header("ratelimit"), r#""auth";r=0;t=60"#);
    // A bucket of its own, and one for every address.
    assert_eq!(app.post("/api/v1/auth/signup").json(&json!({})).send().await.status, 400);
    let elsewhere = app.post("/api/v1/auth/login").json(&wrong).from("192.0.2.8").send().await;
    assert_eq!(elsewhere.status, 401);
    app.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(app.post("/api/v1/auth/login").json(&login).send().await.status, 200);
}

/// A hasher with a defect.
#[derive(Debug)]
struct Broken;

impl PasswordHasher for Broken {
    fn hash(&self, _: &[u8]) -> Result<String, HashError> {
        panic!("canary")
    }

    fn verify(&self, _: &[u8], _: &str) -> Result<Verification, HashError> {
        panic!("canary")
    }

    fn check(&self, _: &str) -> Result<(), HashError> {
        Ok(())
    }

    fn decoy(&self) -> &str {
        ""
    }
}

/// H5
#[tokio::test]
async fn a_defect_is_a_500_that_says_nothing_of_it_and_the_server_lives_on() {
    let app = TestApp::with(|setup| setup.hasher = Some(Arc::new(Broken))).await;
    let login = json!({"email": "a@example.org", "password": "x"});
    for _ in 0..3 {
        let answer = app.post("/api/v1/auth/login").json(&login).send().await;
        assert_problem(&answer, 500, "internal", "/api/v1/auth/login");
        assert!(!answer.json.to_string().contains("canary"));
    }
    assert_eq!(app.get("/api/health").send().await.status, 200);
}

/// O2
#[tokio::test]
async fn health_answers_at_once_and_ready_only_while_requests_are_welcome() {
    let app = TestApp::with(|setup| setup.ready = false).await;
    assert_eq!(app.get("/api/health").send().await.json["status"], "ok");
    assert_problem(&app.get("/api/ready").send().await, 503, "unavailable", "/api/ready");
    app.lifecycle.ready();
    assert_eq!(app.get("/api/ready").send().await.status, 200);
    app.lifecycle.drain();
    let draining = app.get("/api/ready").send().await;
    assert_problem(&draining, 503, "unavailable", "/api/ready");
    assert_eq!(draining.header("retry-after"), "1");
    assert_eq!(app.get("/api/health").send().await.status, 200);
}

#[tokio::test]
async fn closed_sign_up_is_not_there_whatever_is_sent() {
    let app = TestApp::with(|setup| setup.goat.signup = goat_core::Signup::Closed).await;
    for body in ["{", r#"{"email": "a@example.org", "password": "a long walk on a short pier"}"#] {
        let answer = app.post("/api/v1/auth/signup").body("application/json", body).send().await;
        assert_problem(&answer, 404, "not-found", "/api/v1/auth/signup");
    }
}
