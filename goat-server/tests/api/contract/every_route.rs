//! What holds for every answer of every route, whoever asks and by whatever method.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::app::{PASSWORD, TestApp, TestResponse, TestUser};
use goat_core::SessionId;
use goat_server::router::table;
use http::Method;
use serde_json::{Value, json};

/// An id that nothing has.
const NOTHING: &str = "01KDWMBY00C8X0F4ZCV7J3T9QH";

/// The paths of the table, each with the methods that it takes.
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

/// A path that fits a template.
fn concrete(template: &str) -> String {
    template.replace("{id}", NOTHING).replace("{key}", "client")
}

/// H1: the headers that every answer has, and those that depend on who asks.
fn assert_headers(answer: &TestResponse, path: &str, with_credentials: bool, what: &str) {
    assert_eq!(answer.header("x-request-id"), "a-request", "{what}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(answer.header("x-frame-options"), "DENY", "{what}");
    assert_eq!(answer.header("referrer-policy"), "no-referrer", "{what}");
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'"), "{what}: {policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{what}: {policy}");
    if with_credentials || path.starts_with("/api/v1/auth/") {
        assert_eq!(answer.header("cache-control"), "no-store", "{what}");
    }
    let has_challenge = !answer.header("www-authenticate").is_empty();
    assert_eq!(has_challenge, answer.status == 401 || answer.code() == "forbidden", "{what}");
    assert_eq!(answer.header("allow").is_empty(), answer.status != 405, "{what}");
}

/// A failure that is a whole problem document.
fn assert_problem(answer: &TestResponse, path: &str, what: &str) {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
    let problem = answer.json.as_object().expect(what);
    let mut names: BTreeSet<_> = problem.keys().map(String::as_str).collect();
    assert_eq!(names.remove("errors"), answer.code() == "validation", "{what}");
    let expected = ["code", "detail", "instance", "request_id", "status", "title", "type"];
    assert_eq!(names, BTreeSet::from(expected), "{what}");
    assert_eq!(problem["type"], format!("/errors/{}", answer.code()), "{what}");
    assert_eq!((&problem["status"], &problem["instance"]), (&json!(answer.status), &json!(path)));
    assert_eq!(problem["request_id"], "a-request", "{what}");
}

/// Nobody, somebody, and somebody who may do everything; without a body.
#[tokio::test]
async fn every_answer_has_its_headers_and_every_failure_is_a_problem_document() {
    let app = TestApp::new().await;
    for (template, takes) in paths() {
        let path = concrete(template);
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]
        {
            // Whoever asks may end their own session or account.
            let (client, admin) = (app.client().await, app.admin().await);
            for user in [None, Some(&client), Some(&admin)] {
                let method = Method::from_bytes(method.as_bytes()).expect("a method");
                let what = format!("{method} {path} by {:?}", user.map(|user| &user.email));
                let mut request =
                    app.request(method.clone(), &path).header("x-request-id", "a-request");
                if let Some(user) = user {
                    request = request.bearer(&user.token);
                }
                let answer = request.send().await;
                if method == Method::HEAD {
                    assert!(answer.body.is_empty(), "{what}");
                } else {
                    assert_headers(&answer, &path, user.is_some(), &what);
                    if answer.status >= 400 {
                        assert_problem(&answer, &path, &what);
                    }
                }
                assert!(answer.status < 500, "{what}: {}", answer.json);
                assert_eq!(answer.status == 405, !takes.contains(method.as_str()), "{what}");
                if answer.status == 405 {
                    let allow: BTreeSet<_> =
                        answer.header("allow").split(", ").map(str::to_owned).collect();
                    assert_eq!(allow, takes, "{what}");
                }
            }
        }
    }
}

/// A5
#[tokio::test]
async fn head_answers_as_get_does_but_for_the_body() {
    let app = TestApp::new().await;
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
            // A length may be told or not, but not wrongly.
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
async fn no_route_has_a_second_spelling() {
    let app = TestApp::new().await;
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
            let answer = request.send().await;
            assert_eq!(answer.failure(), (404, "not-found"), "{} {other}", endpoint.method());
            assert_eq!(answer.header("location"), "", "{other}");
            assert_eq!(answer.json["instance"], other.as_str());
        }
    }
}

/// Looks at every id and every time in an answer.
fn assert_formats(value: &Value, what: &str) -> usize {
    match value {
        Value::Array(values) => values.iter().map(|value| assert_formats(value, what)).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| match (name.as_str(), value) {
                ("id", Value::String(id)) => {
                    SessionId::parse(id).expect(what);
                    1
                }
                (name, Value::String(time)) if name.ends_with("_at") => {
                    let shape: String =
                        time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
                    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{what}");
                    if name.contains("token") {
                        assert!(time.ends_with(".000Z"), "{what}: a whole second");
                    }
                    1
                }
                ("id", other) => panic!("{what}: {other}"),
                (_, value) => assert_formats(value, what),
            })
            .sum(),
        _ => 0,
    }
}

#[tokio::test]
async fn ids_and_times_have_one_format_everywhere() {
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
        let answer = request.send().await;
        assert!(answer.status < 300, "{}", answer.json);
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(assert_formats(&answer.json, &answer.json.to_string()) > 1, "{}", answer.json);
        let names: Vec<_> = answer.json.as_object().expect("an object").keys().collect();
        assert!(names == ["data"] || names == ["data", "meta"], "{names:?}");
    }
}

/// H1: nothing about credentials is kept by a cache, refusals of every kind included.
#[tokio::test]
async fn no_refusal_about_credentials_is_stored() {
    let app = TestApp::with(crate::support::app::Setup::shipped_limits).await;
    let path = "/api/v1/auth/login";
    for (content_type, body, status) in [
        ("text/plain", "x".to_owned(), 415),
        ("application/json", "x".repeat(70_000), 413),
        ("application/json", "{".to_owned(), 400),
        ("application/json", "{}".to_owned(), 400),
        ("application/json", r#"{"email": "", "password": ""}"#.to_owned(), 401),
        ("application/json", "{}".to_owned(), 429),
    ] {
        let answer = app.post(path).body(content_type, body).send().await;
        assert_eq!((answer.status, answer.header("cache-control")), (status, "no-store"));
    }
    for (method, path, status) in [
        (Method::GET, path, 405),
        (Method::GET, "/api/v1/auth/nowhere", 404),
        (Method::POST, "/api/v1/auth/login/", 404),
        (Method::POST, "/api/v1/auth/logout", 401),
    ] {
        let answer = app.request(method, path).send().await;
        assert_eq!((answer.status, answer.header("cache-control")), (status, "no-store"), "{path}");
    }
}
