//! Sign-up, sign-in, sign-out and verification: what they answer, what they cost, and what they
//! keep to themselves.

use std::time::Duration;

use crate::support::app::{PASSWORD, TestApp, TestResponse};
use crate::support::backend::{Backend, on_every_backend};
use goat_core::{Status, UserId};
use serde_json::{Value, json};

const LOGIN: &str = "/api/v1/auth/login";
const SIGN_UP: &str = "/api/v1/auth/signup";

async fn post(app: &TestApp, path: &str, body: &Value) -> TestResponse {
    app.post(path).json(body).send().await
}

async fn login(app: &TestApp, email: &str, password: &str) -> TestResponse {
    post(app, LOGIN, &json!({"email": email, "password": password})).await
}

/// The names of an object's members, sorted.
fn members(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> =
        value.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// An answer without what differs from request to request.
fn comparable(answer: &TestResponse) -> (u16, Value, Vec<(String, String)>) {
    let mut json = answer.json.clone();
    json["request_id"].take();
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| *name != "x-request-id")
        .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").to_owned()))
        .collect();
    headers.sort();
    (answer.status, json, headers)
}

on_every_backend!(a_failed_sign_in_does_not_tell_whether_there_is_an_account);

/// E1, E2, E3: unknown, inactive and suspended accounts are answered like a wrong password, to the
/// last header, and at the same cost.
async fn a_failed_sign_in_does_not_tell_whether_there_is_an_account(backend: Backend) {
    let app = TestApp::on_with(backend, |setup| setup.shipped_limits()).await;
    app.add("active@example.org", "client", Status::Active).await;
    app.add("late@example.org", "client", Status::Inactive).await;
    let suspended = app.add("gone@example.org", "client", Status::Active).await;
    suspend(&app, suspended).await;
    let mut answers = Vec::new();
    for (number, (email, password)) in [
        ("active@example.org", "wrong"),
        ("late@example.org", "wrong"),
        ("gone@example.org", "wrong"),
        ("nobody@example.org", "wrong"),
        ("nobody@example.org.", PASSWORD),
        ("no address at all", PASSWORD),
        ("active@EXAMPLE.com", ""),
        ("late@example.net", "\0"),
        ("gone@example.net", &"x".repeat(60_000)),
    ]
    .into_iter()
    .enumerate()
    {
        // The limit by address would tell how many have asked.
        let from = format!("198.51.100.{number}");
        let _ = app.hasher.take_calls();
        let body = json!({"email": email, "password": password});
        let answer = app.post(LOGIN).json(&body).from(&from).send().await;
        assert_eq!(answer.failure(), (401, "invalid-credentials"), "{email}");
        assert!(!answer.json.to_string().contains(email), "{email}");
        assert_eq!((app.hasher.verifications(), app.hasher.hashes()), (1, 0), "{email}");
        answers.push(comparable(&answer));
    }
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
}

async fn suspend(app: &TestApp, user: UserId) {
    let actor = goat_core::Actor::system("a test");
    app.goat.users().change_status(actor, user, Status::Suspended).await.expect("suspended");
}

on_every_backend!(who_knows_the_password_learns_the_status);

/// E2
async fn who_knows_the_password_learns_the_status(backend: Backend) {
    let app = TestApp::on(backend).await;
    app.add("late@example.org", "client", Status::Inactive).await;
    let suspended = app.add("gone@example.org", "client", Status::Active).await;
    suspend(&app, suspended).await;
    for (email, code) in
        [("late@example.org", "account-inactive"), ("gone@example.org", "account-suspended")]
    {
        let answer = login(&app, email, PASSWORD).await;
        assert_eq!(answer.failure(), (403, code));
        assert_eq!(answer.header("www-authenticate"), "", "to sign in again would not help");
        assert!(!answer.json.to_string().contains(email));
    }
}

on_every_backend!(no_refusal_echoes_an_address);

/// E3
async fn no_refusal_echoes_an_address(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    app.add("taken@example.org", "client", Status::Active).await;
    let body = json!({"email": "TAKEN@example.org", "password": PASSWORD});
    let taken = post(&app, SIGN_UP, &body).await;
    assert_eq!(taken.failure(), (409, "email-taken"));
    let path = "/api/v1/user/change-email";
    let body = json!({"email": "Taken@Example.org", "current_password": PASSWORD});
    let change = app.patch(path).bearer(&client.token).json(&body).send().await;
    assert_eq!(change.failure(), (409, "email-taken"));
    let body = json!({"email": "taken at example.org", "password": PASSWORD});
    let invalid = post(&app, SIGN_UP, &body).await;
    assert_eq!((invalid.failure(), invalid.fields()), ((400, "validation"), vec!["email"]));
    let body = json!({"email": "taken at example.org", "current_password": PASSWORD});
    let unchanged = app.patch(path).bearer(&client.token).json(&body).send().await;
    assert_eq!((unchanged.failure(), unchanged.fields()), ((400, "validation"), vec!["email"]));
    // The same rule, in the same words.
    assert_eq!(invalid.json["errors"], unchanged.json["errors"]);
    for answer in [taken, change, invalid, unchanged] {
        assert!(!answer.json.to_string().to_lowercase().contains("taken@"), "{}", answer.json);
        assert!(!answer.json.to_string().contains("taken at"), "{}", answer.json);
    }
}

on_every_backend!(a_sign_in_answers_tokens_and_the_user);

async fn a_sign_in_answers_tokens_and_the_user(backend: Backend) {
    let app = TestApp::on(backend).await;
    app.clock.advance(Duration::from_millis(1_250));
    let id = app.add("ann@example.org", "client", Status::Active).await;
    app.clock.advance(Duration::from_millis(2_500));
    let answer = login(&app, " ANN@Example.ORG ", PASSWORD).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(members(&answer.json), ["data"]);
    let data = answer.data();
    assert_eq!(
        members(data),
        [
            "access_token",
            "access_token_expires_at",
            "expires_in",
            "refresh_token",
            "refresh_token_expires_at",
            "token_type",
            "user",
        ]
    );
    // Signed in at 3.75 s: expiries fall on whole seconds, and what is left is rounded down.
    assert_eq!(data["access_token_expires_at"], "2026-01-01T00:05:03.000Z");
    assert_eq!(data["refresh_token_expires_at"], "2026-01-08T00:00:03.000Z");
    assert_eq!(data["expires_in"], 299);
    assert_eq!(data["token_type"], "Bearer");
    let user = json!({
        "id": id.to_string(),
        "email": "ann@example.org",
        "role": "client",
        "status": "active",
        "created_at": "2026-01-01T00:00:01.250Z",
        "updated_at": "2026-01-01T00:00:01.250Z",
        "last_login_at": "2026-01-01T00:00:03.750Z",
    });
    assert_eq!(data["user"], user, "to sign in is no update");
}

on_every_backend!(who_signs_up_may_have_to_wait);

async fn who_signs_up_may_have_to_wait(backend: Backend) {
    let app =
        TestApp::on_with(backend, |setup| setup.goat.signup = goat_core::Signup::Inactive).await;
    let body = json!({"email": "ann@example.org", "password": PASSWORD});
    let made = post(&app, SIGN_UP, &body).await;
    assert_eq!(made.status, 201);
    assert_eq!(
        members(made.data()),
        ["created_at", "email", "id", "last_login_at", "role", "status", "updated_at"]
    );
    assert_eq!(made.data()["status"], "inactive");
    assert_eq!(made.data()["role"], "client");
    let answer = post(&app, LOGIN, &body).await;
    assert_eq!(answer.failure(), (403, "account-inactive"));
}

/// A4
#[tokio::test]
async fn nobody_signs_up_as_more_than_they_are() {
    let app = TestApp::new().await;
    let (email, password) =
        ("\"email\": \"ann@example.org\"", format!("\"password\": \"{PASSWORD}\""));
    for (extra, status, code, fields) in [
        ("\"role\": \"admin\"", 400, "validation", vec!["role"]),
        ("\"Role\": \"admin\"", 400, "validation", vec!["Role"]),
        ("\"EMAIL\": \"b@example.org\"", 400, "validation", vec!["EMAIL"]),
        ("\"status\": \"active\", \"id\": 1", 400, "validation", vec!["id", "status"]),
        ("\"password\": \"another good walk\"", 400, "malformed-json", vec![]),
        // The same name, spelt otherwise.
        ("\"p\\u0061ssword\": \"another good walk\"", 400, "malformed-json", vec![]),
    ] {
        let body = format!("{{{email}, {password}, {extra}}}");
        let answer = app.post(SIGN_UP).body("application/json", body).send().await;
        assert_eq!(answer.failure(), (status, code), "{extra}");
        assert_eq!(answer.fields(), fields, "{extra}");
    }
    // None of them has made an account.
    let body = json!({"email": "ann@example.org", "password": PASSWORD});
    assert_eq!(post(&app, SIGN_UP, &body).await.status, 201);
}

#[tokio::test]
async fn members_must_be_there_and_be_texts() {
    let app = TestApp::new().await;
    for (path, both) in [
        (LOGIN, vec!["email", "password"]),
        (SIGN_UP, vec!["email", "password"]),
        ("/api/v1/auth/refresh", vec!["refresh_token"]),
    ] {
        for value in [json!(null), json!(5), json!(true), json!(["x"]), json!({"a": "b"})] {
            let body: Value = both
                .iter()
                .map(|name| ((*name).to_owned(), value.clone()))
                .collect::<serde_json::Map<_, _>>()
                .into();
            let answer = post(&app, path, &body).await;
            assert_eq!(answer.failure(), (400, "validation"), "{path} {value}");
            assert_eq!(answer.fields(), both, "{path} {value}");
        }
        let answer = post(&app, path, &json!({})).await;
        assert_eq!((answer.failure(), answer.fields()), ((400, "validation"), both), "{path}");
        for message in answer.json["errors"].as_array().expect("a list") {
            assert_eq!(members(message), ["field", "message"]);
        }
        assert_eq!(app.post(path).send().await.failure(), (415, "unsupported-media-type"));
    }
}

#[tokio::test]
async fn json_is_read_strictly() {
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
        let answer = app.post(LOGIN).body("application/json", body).send().await;
        assert_eq!(answer.failure(), (400, code), "{shown}");
    }
    let bytes = b"{\"email\": \"a\", \"password\": \"\xff\"}".to_vec();
    let answer = app.post(LOGIN).body("application/json", bytes).send().await;
    assert_eq!(answer.failure(), (400, "malformed-json"));
}

#[tokio::test]
async fn a_body_may_have_64_kib_and_not_a_byte_more() {
    let app = TestApp::new().await;
    let frame = "{\"email\": \"a\", \"password\": \"\"}".len();
    for (length, status) in [(64 * 1024, 401), (64 * 1024 + 1, 413)] {
        let password = "x".repeat(length - frame);
        let body = format!("{{\"email\": \"a\", \"password\": \"{password}\"}}");
        assert_eq!(body.len(), length);
        // With a length that was declared, and without.
        let declared = app.post(LOGIN).body("application/json", body.clone());
        let declared = declared.header("content-length", &length.to_string()).send().await;
        let streamed = app.post(LOGIN).body("application/json", body).send().await;
        assert_eq!((declared.status, streamed.status), (status, status), "{length}");
    }
}

#[tokio::test]
async fn content_types_are_json_in_utf_8_or_refused() {
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

on_every_backend!(a_sign_out_ends_this_session_and_no_other);

async fn a_sign_out_ends_this_session_and_no_other(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let other = app.sign_in(&client.email, PASSWORD).await;
    // Known to the cache.
    assert_eq!(app.get("/api/v1/user").bearer(&client.token).send().await.status, 200);
    let out = app.post("/api/v1/auth/logout").bearer(&client.token).send().await;
    assert_eq!((out.status, out.body.len()), (204, 0));
    assert_eq!(out.header("cache-control"), "no-store");
    for path in ["/api/v1/user", "/api/v1/auth/verify"] {
        let dead = app.get(path).bearer(&client.token).send().await;
        assert_eq!(dead.failure(), (401, "session-revoked"));
        let challenge = dead.header("www-authenticate");
        assert!(
            challenge
                .starts_with(r#"Bearer realm="goat", error="invalid_token", error_description=""#)
        );
    }
    let again = app.post("/api/v1/auth/logout").bearer(&client.token).send().await;
    assert_eq!(again.failure(), (401, "session-revoked"));
    let refresh = json!({"refresh_token": client.refresh_token});
    let refreshed = post(&app, "/api/v1/auth/refresh", &refresh).await;
    assert_eq!(refreshed.failure(), (401, "session-revoked"));
    assert_eq!(app.get("/api/v1/user").bearer(&other.token).send().await.status, 200);
}

on_every_backend!(verification_names_every_missing_permission_and_takes_wildcards);

async fn verification_names_every_missing_permission_and_takes_wildcards(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (admin, client) = (app.admin().await, app.client().await);
    let verify = async |token: &str, query: &str| {
        app.get(&format!("/api/v1/auth/verify{query}")).bearer(token).send().await
    };
    let body = json!({"role": "client", "action": "report:*"});
    let granted = app.post("/api/v1/permission").bearer(&admin.token).json(&body).send().await;
    assert_eq!(granted.status, 201);
    assert_eq!(verify(&client.token, "?permission=report:read").await.status, 204);
    assert_eq!(verify(&client.token, "?permission=report:*").await.status, 204);
    assert_eq!(verify(&admin.token, "?permission=whatever:it_is").await.status, 204);
    let refused = verify(&client.token, "?permission=report:read&permission=user:read").await;
    assert_eq!(refused.failure(), (403, "forbidden"));
    assert_eq!(
        refused.header("www-authenticate"),
        r#"Bearer realm="goat", error="insufficient_scope", scope="user:read""#
    );
    let head = app.request(http::Method::HEAD, "/api/v1/auth/verify").bearer(&client.token);
    let head = head.send().await;
    assert_eq!((head.status, head.header("x-goat-user")), (204, client.id.to_string().as_str()));
    let nobody = app.get("/api/v1/auth/verify").send().await;
    assert_eq!(nobody.failure(), (401, "unauthenticated"));
    assert_eq!(verify(&client.token, "?permissions=a:b").await.fields(), ["permissions"]);
}
