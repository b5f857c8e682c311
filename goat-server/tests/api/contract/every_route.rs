//! Every route of the table, with every method, as every kind of caller.

use std::collections::{BTreeMap, BTreeSet};

use goat_core::SessionId;
use goat_server::api::table;
use http::Method;
use serde_json::{Value, json};

use super::UNKNOWN_ID;
use crate::support::app::{CLIENT, PASSWORD, Setup, TestApp, TestResponse, TestUser};

/// The paths of the table with their methods.
fn paths() -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut paths = BTreeMap::<_, BTreeSet<_>>::new();
    for endpoint in table() {
        let methods = paths.entry(endpoint.path()).or_default();
        methods.insert(endpoint.method().to_string());
        if endpoint.method() == Method::GET {
            methods.insert("HEAD".to_owned());
        }
    }
    paths
}

/// A path that matches a template.
fn concrete(template: &str) -> String {
    template.replace("{id}", UNKNOWN_ID).replace("{key}", "client").replace("{name}", "ghost")
}

/// An app that takes request ids from [`CLIENT`].
async fn behind_a_proxy() -> TestApp {
    let proxy = format!("{CLIENT}/32").parse().expect("a range");
    TestApp::with(|setup| {
        setup.every_route();
        setup.http.trusted_proxies = vec![proxy];
    })
    .await
}

/// H1: the headers of every response, and those that depend on the caller.
fn assert_headers(response: &TestResponse, path: &str, with_credentials: bool, case: &str) {
    assert_eq!(response.header("x-request-id"), "a-request", "{case}");
    assert_eq!(response.header("x-content-type-options"), "nosniff", "{case}");
    assert_eq!(response.header("x-frame-options"), "DENY", "{case}");
    assert_eq!(response.header("referrer-policy"), "no-referrer", "{case}");
    let policy = response.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'"), "{case}: {policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{case}: {policy}");
    if with_credentials || path.starts_with("/api/v1/auth/") {
        assert_eq!(response.header("cache-control"), "no-store", "{case}");
    }
    let has_challenge = !response.header("www-authenticate").is_empty();
    assert_eq!(has_challenge, response.status == 401 || response.code() == "forbidden", "{case}");
    assert_eq!(response.header("allow").is_empty(), response.status != 405, "{case}");
}

/// Asserts that a failure is a complete problem document.
fn assert_problem(response: &TestResponse, path: &str, case: &str) {
    assert_eq!(response.header("content-type"), "application/problem+json", "{case}");
    let problem = response.json.as_object().expect(case);
    let mut names: BTreeSet<_> = problem.keys().map(String::as_str).collect();
    assert_eq!(names.remove("errors"), response.code() == "validation", "{case}");
    let expected = ["code", "detail", "instance", "request_id", "status", "title", "type"];
    assert_eq!(names, BTreeSet::from(expected), "{case}");
    assert_eq!(problem["type"], format!("/errors/{}", response.code()), "{case}");
    assert_eq!((&problem["status"], &problem["instance"]), (&json!(response.status), &json!(path)));
    assert_eq!(problem["request_id"], "a-request", "{case}");
}

/// Anonymous, a client and an administrator; without a body.
#[tokio::test]
async fn responses_have_the_headers_and_failures_are_problem_documents() {
    let app = behind_a_proxy().await;
    for (template, takes) in paths() {
        let path = concrete(template);
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]
        {
            // The request may end the caller's session or account.
            let (client, admin) = (app.client().await, app.admin().await);
            for user in [None, Some(&client), Some(&admin)] {
                let method = Method::from_bytes(method.as_bytes()).expect("a method");
                let case = format!("{method} {path} by {:?}", user.map(|user| &user.email));
                let mut request =
                    app.request(method.clone(), &path).header("x-request-id", "a-request");
                if let Some(user) = user {
                    request = request.bearer(&user.token);
                }
                let response = request.send().await;
                if method == Method::HEAD {
                    assert!(response.body.is_empty(), "{case}");
                } else {
                    assert_headers(&response, &path, user.is_some(), &case);
                    if response.status >= 400 {
                        assert_problem(&response, &path, &case);
                    }
                }
                assert!(response.status < 500, "{case}: {}", response.json);
                assert_eq!(response.status == 405, !takes.contains(method.as_str()), "{case}");
                if response.status == 405 {
                    let allow: BTreeSet<_> =
                        response.header("allow").split(", ").map(str::to_owned).collect();
                    assert_eq!(allow, takes, "{case}");
                }
            }
        }
    }
}

/// A5
#[tokio::test]
async fn head_equals_get_without_the_body() {
    let app = behind_a_proxy().await;
    let (client, admin) = (app.client().await, app.admin().await);
    let get_paths = paths().into_iter().filter(|(_, takes)| takes.contains("HEAD"));
    for (template, _) in get_paths.filter(|(template, _)| *template != "/api/metrics") {
        let path = concrete(template);
        for user in [None, Some(&client), Some(&admin)] {
            let ask = async |method| {
                let mut request = app.request(method, &path).header("x-request-id", "a-request");
                if let Some(user) = user {
                    request = request.bearer(&user.token);
                }
                request.send().await
            };
            let (get, mut head) = (ask(Method::GET).await, ask(Method::HEAD).await);
            assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
            // `Content-Length` is optional, but must be right.
            if let Some(length) = head.headers.remove("content-length") {
                assert_eq!(length, get.body.len().to_string().as_str(), "{path}");
            }
            for (name, value) in &get.headers {
                let differs = name.as_str().contains("ratelimit") || name == "content-length";
                assert!(differs || head.headers.get(name) == Some(value), "{path}: {name}");
            }
        }
    }
}

/// A5
#[tokio::test]
async fn every_route_has_one_spelling() {
    let app = TestApp::with_every_route().await;
    let admin = app.admin().await;
    for endpoint in table() {
        let path = concrete(endpoint.path());
        let last = path.rfind('/').expect("a slash");
        for other in [
            format!("{path}/"),
            format!("/{path}"),
            format!("{}/{}", &path[..last], &path[last..]),
            format!("{}/.{}", &path[..last], &path[last..]),
            format!("{}/x/..{}", &path[..last], &path[last..]),
            format!("{}%2F{}", &path[..last], &path[last + 1..]),
            format!("{}%2f{}", &path[..last], &path[last + 1..]),
            format!("{path}%2e"),
            path.replacen('/', "/%2E/", 1),
            path.replacen("/api", "/API", 1).replacen("/.well", "/.Well", 1),
        ] {
            let request = app.request(endpoint.method().clone(), &other).bearer(&admin.token);
            let response = request.send().await;
            assert_eq!(response.failure(), (404, "not-found"), "{} {other}", endpoint.method());
            assert_eq!(response.header("location"), "", "{other}");
            assert_eq!(response.json["instance"], other.as_str());
        }
    }
}

/// Asserts the format of every id and every time in a response, and counts them.
fn assert_formats(value: &Value, case: &str) -> usize {
    match value {
        Value::Array(values) => values.iter().map(|value| assert_formats(value, case)).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| match (name.as_str(), value) {
                ("id", Value::String(id)) => {
                    SessionId::parse(id).expect(case);
                    1
                }
                (name, Value::String(time)) if name.ends_with("_at") => {
                    let shape: String =
                        time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
                    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{case}");
                    if name.contains("token") {
                        assert!(time.ends_with(".000Z"), "{case}: a whole second");
                    }
                    1
                }
                ("id", other) => panic!("{case}: {other}"),
                (_, value) => assert_formats(value, case),
            })
            .sum(),
        _ => 0,
    }
}

#[tokio::test]
async fn ids_and_times_have_one_format() {
    let app = TestApp::new().await;
    app.clock.advance(std::time::Duration::from_millis(7));
    let (admin, client): (TestUser, TestUser) = (app.admin().await, app.client().await);
    let credentials = json!({"email": "ann@example.org", "password": PASSWORD});
    let refresh = json!({"refresh_token": client.refresh_token});
    let grant = json!({"role": "client", "action": "report:read"});
    for request in [
        app.post("/api/v1/auth/signup").json(&credentials),
        app.post("/api/v1/auth/login").json(&credentials),
        app.post("/api/v1/auth/refresh").json(&refresh),
        app.get("/api/v1/user").bearer(&admin.token),
        app.get("/api/v1/user/list").bearer(&admin.token),
        app.get(&client.path()).bearer(&admin.token),
        app.get(&format!("{}/sessions", client.path())).bearer(&admin.token),
        app.get("/api/v1/sessions").bearer(&client.token),
        app.post("/api/v1/permission").bearer(&admin.token).json(&grant),
        app.get("/api/v1/permission").bearer(&admin.token),
        app.get("/api/v1/permission/operator").bearer(&admin.token),
    ] {
        let response = request.send().await;
        assert!(response.status < 300, "{}", response.json);
        assert_eq!(response.header("content-type"), "application/json");
        assert!(
            assert_formats(&response.json, &response.json.to_string()) > 1,
            "{}",
            response.json
        );
        let names: Vec<_> = response.json.as_object().expect("an object").keys().collect();
        assert!(names == ["data"] || names == ["data", "meta"], "{names:?}");
    }
}

/// H1: rejections of every kind are not cacheable.
#[tokio::test]
async fn rejections_of_credentials_are_not_cacheable() {
    let app = TestApp::with(Setup::shipped_limits).await;
    let path = "/api/v1/auth/login";
    for (content_type, body, status) in [
        ("text/plain", "x".to_owned(), 415),
        ("application/json", "x".repeat(70_000), 413),
        ("application/json", "{".to_owned(), 400),
        ("application/json", "{}".to_owned(), 400),
        ("application/json", r#"{"email": "", "password": ""}"#.to_owned(), 401),
        ("application/json", "{}".to_owned(), 429),
    ] {
        let response = app.post(path).body(content_type, body).send().await;
        assert_eq!((response.status, response.header("cache-control")), (status, "no-store"));
    }
    for (method, path, status) in [
        (Method::GET, path, 405),
        (Method::GET, "/api/v1/auth/nowhere", 404),
        (Method::POST, "/api/v1/auth/login/", 404),
        (Method::POST, "/api/v1/auth/logout", 401),
    ] {
        let response = app.request(method, path).send().await;
        assert_eq!(
            (response.status, response.header("cache-control")),
            (status, "no-store"),
            "{path}"
        );
    }
}
