//! Error codes: every code of the contract occurs, with its status and form, and no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use goat_core::access::{NewRole, Rank};
use goat_core::factor::FactorKind;
use goat_core::testing::{Failpoints, Point};
use goat_core::{Actor, Quota, Role, Status, Stores};
use goat_tower::cookie::Cookies;
use serde_json::{Value, json};

use super::{PanickingHasher, UNKNOWN_ID, silent_body};
use crate::support::app::{PASSWORD, Setup, TestApp, TestResponse};

/// The codes of the contract with their statuses.
const CODES: [(&str, u16); 37] = [
    ("validation", 400),
    ("invalid-challenge", 400),
    ("malformed-json", 400),
    ("bad-request", 400),
    ("unauthenticated", 401),
    ("invalid-token", 401),
    ("token-expired", 401),
    ("session-revoked", 401),
    ("token-reused", 401),
    ("invalid-credentials", 401),
    ("second-factor-required", 401),
    ("step-up-required", 401),
    ("cross-site-request", 403),
    ("forbidden", 403),
    ("outranked", 403),
    ("role-not-assignable", 403),
    ("wrong-code", 403),
    ("wrong-password", 403),
    ("account-inactive", 403),
    ("account-suspended", 403),
    ("not-found", 404),
    ("method-not-allowed", 405),
    ("request-timeout", 408),
    ("email-taken", 409),
    ("password-unchanged", 409),
    ("last-administrator", 409),
    ("invalid-transition", 409),
    ("permission-exists", 409),
    ("role-exists", 409),
    ("role-in-use", 409),
    ("role-protected", 409),
    ("too-many", 409),
    ("payload-too-large", 413),
    ("unsupported-media-type", 415),
    ("rate-limited", 429),
    ("internal", 500),
    ("unavailable", 503),
];

/// Failed responses, each with its request path.
type Failures = Vec<(TestResponse, String)>;

/// Sends a request, and returns the response with its path.
async fn send(
    app: &TestApp,
    token: Option<&str>,
    line: &str,
    body: Value,
) -> (TestResponse, String) {
    let (_, path) = line.split_once(' ').expect("a method and a path");
    (super::send(app, token, line, &body).await, path.to_owned())
}

/// Requests that fail authentication or authorization.
async fn authentication_failures(app: &TestApp) -> Failures {
    let (profile, refresh) = ("GET /api/v1/user", "POST /api/v1/auth/refresh");
    let client = app.client().await;
    let mut failures = vec![
        send(app, None, profile, Value::Null).await,
        send(app, Some("nonsense"), profile, Value::Null).await,
        send(app, Some(&client.token), "GET /api/v1/role", Value::Null).await,
    ];
    let twice = app.get("/api/v1/user").bearer("a").bearer("b").send().await;
    failures.push((twice, "/api/v1/user".to_owned()));
    let cookies = TestApp::with(|setup| setup.http.session_cookies = Some(Cookies::new())).await;
    failures.push(send(&cookies, None, refresh, json!({})).await);
    let expiring = app.client().await;
    // Beyond the leeway for clock skew.
    app.clock.advance(app.goat.settings().access_ttl * 2);
    failures.push(send(app, Some(&expiring.token), profile, Value::Null).await);

    let single = app.client().await;
    let verify = "GET /api/v1/auth/verify?assurance=multi";
    let (response, _) = send(app, Some(&single.token), verify, Value::Null).await;
    failures.push((response, "/api/v1/auth/verify".to_owned()));

    let enrolled = app.client().await;
    app.factors.enrol(enrolled.id, FactorKind::Totp, app.goat.time().now());
    let credentials = json!({"email": enrolled.email, "password": PASSWORD});
    failures.push(send(app, None, "POST /api/v1/auth/login", credentials).await);
    let answer = json!({"challenge": UNKNOWN_ID, "secret": "x", "code": "0"});
    failures.push(send(app, None, "POST /api/v1/auth/login/confirm", answer).await);
    let wrong = json!({"code": "0"});
    failures.push(send(app, Some(&enrolled.token), "POST /api/v1/auth/step-up", wrong).await);

    let ended = app.client().await;
    send(app, Some(&ended.token), "POST /api/v1/auth/logout", Value::Null).await;
    failures.push(send(app, Some(&ended.token), profile, Value::Null).await);
    // Use of the successor ends the grace period of its predecessor.
    let reusing = app.client().await;
    let first = json!({"refresh_token": reusing.refresh_token});
    let second = send(app, None, refresh, first.clone()).await.0;
    let second = json!({"refresh_token": second.data()["refresh_token"]});
    assert_eq!(send(app, None, refresh, second).await.0.status, 200);
    failures.push(send(app, None, refresh, first).await);

    let login = "POST /api/v1/auth/login";
    app.add("inactive@example.org", "client", Status::Inactive).await;
    let suspended = app.client().await;
    let (admin, path) = (app.admin().await, suspended.path());
    let suspend = format!("PATCH {path}/change-status");
    send(app, Some(&admin.token), &suspend, json!({"status": "suspended"})).await;
    for (email, password) in [
        ("unknown@example.org", "x"),
        ("inactive@example.org", PASSWORD),
        (&suspended.email, PASSWORD),
    ] {
        failures.push(send(app, None, login, json!({"email": email, "password": password})).await);
    }
    failures
}

/// Malformed requests.
async fn malformed_requests(app: &TestApp) -> Failures {
    let path = "/api/v1/auth/login";
    let long = "x".repeat(64 * 1024 + 1);
    let mut failures = vec![
        send(app, None, "GET /nowhere", Value::Null).await,
        send(app, None, "DELETE /api/health", Value::Null).await,
        send(app, None, "POST /api/v1/auth/login", json!({"email": 1})).await,
    ];
    for (content_type, body) in
        [("application/json", "{"), ("application/json", long.as_str()), ("text/plain", "{}")]
    {
        let response = app.post(path).body(content_type, body.to_owned()).send().await;
        failures.push((response, path.to_owned()));
    }
    failures
}

/// Requests that conflict with the rules or with the present state.
async fn conflicts(app: &TestApp) -> Failures {
    let (admin, operator, client) = (app.admin().await, app.operator().await, app.client().await);
    let single_admin = TestApp::new().await;
    let last = single_admin.admin().await;
    let status = format!("PATCH {}/change-status", client.path());
    let write = json!({"role": "operator", "action": "user:write"});
    let user = json!({"email": client.email, "password": PASSWORD});
    let mut admin_user = user.clone();
    admin_user["role"] = json!("admin");
    let same = json!({"current_password": PASSWORD, "new_password": PASSWORD});
    let line = "POST /api/v1/permission";
    assert_eq!(send(app, Some(&admin.token), line, write.clone()).await.0.status, 201);
    let (admin, operator, client) =
        (admin.token.as_str(), (operator.token.as_str(), operator.path()), client.token.as_str());
    let full = TestApp::new().await;
    let full_admin = full.admin().await;
    let many = (0..997).map(|number| NewRole {
        name: Role::parse_new(&format!("r{number}")).expect("a name"),
        rank: Rank(7),
        permissions: Vec::new(),
    });
    let applied = full.goat.roles().apply(Actor::system("a test"), many.collect()).await;
    applied.expect("as many roles as there may be");
    let role = json!({"name": "team", "rank": 1});
    vec![
        send(app, Some(admin), line, write).await,
        send(&full, Some(&full_admin.token), "POST /api/v1/role", role).await,
        send(app, Some(admin), "POST /api/v1/role", json!({"name": "admin", "rank": 1})).await,
        send(app, Some(admin), "DELETE /api/v1/role/operator", Value::Null).await,
        send(app, Some(admin), "DELETE /api/v1/role/admin", Value::Null).await,
        send(app, Some(operator.0), &format!("DELETE {}/sessions", operator.1), Value::Null).await,
        send(app, Some(operator.0), "POST /api/v1/user", admin_user).await,
        send(app, Some(admin), "POST /api/v1/user", user).await,
        send(app, Some(admin), &status, json!({"status": "inactive"})).await,
        send(app, Some(client), "DELETE /api/v1/user", json!({"current_password": "x"})).await,
        send(app, Some(client), "PATCH /api/v1/user/change-password", same).await,
        send(
            &single_admin,
            Some(&last.token),
            "DELETE /api/v1/user",
            json!({"current_password": PASSWORD}),
        )
        .await,
    ]
}

/// Failures of the server and of its dependencies, and rate limiting.
async fn server_failures() -> Failures {
    let credentials = json!({"email": "ann@example.org", "password": PASSWORD});
    let login = "POST /api/v1/auth/login";
    let limited = TestApp::with(|setup: &mut Setup| {
        setup.limits.auth = Some(Quota::per_minute(1));
    })
    .await;
    send(&limited, None, login, credentials.clone()).await;
    let broken = TestApp::with(|setup| setup.hasher = Some(Arc::new(PanickingHasher))).await;
    let (stores, failpoints) = Failpoints::over(Stores::memory());
    let down = TestApp::with(|setup| setup.stores = stores).await;
    failpoints.fail("users.by_email", Point::Entry);
    let impatient =
        TestApp::with(|setup| setup.http.request_timeout = Duration::from_millis(20)).await;
    let silent = impatient.post("/api/v1/auth/login").body("application/json", silent_body());
    vec![
        (silent.send().await, "/api/v1/auth/login".to_owned()),
        send(&limited, None, login, credentials.clone()).await,
        send(&broken, None, login, credentials.clone()).await,
        send(&down, None, login, credentials).await,
    ]
}

/// Asserts the form of a problem document with its headers.
fn assert_form(response: &TestResponse, path: &str) {
    let (code, case) = (response.code().to_owned(), &response.json);
    let mut members = vec!["code", "detail", "instance", "request_id", "status", "title", "type"];
    if code == "second-factor-required" {
        members.extend(["challenge", "enrol", "expires_at", "methods", "secret"]);
        members.sort_unstable();
    }
    if code == "role-in-use" {
        members.push("users");
    }
    if code == "validation" {
        members.insert(2, "errors");
        let errors = response.json["errors"].as_array().expect("a list");
        assert!(!errors.is_empty(), "{case}");
        for error in errors {
            let names: Vec<_> = error.as_object().expect("an object").keys().collect();
            assert_eq!(names, ["field", "message"], "{case}");
        }
    }
    let shown: Vec<_> = response.json.as_object().expect("an object").keys().collect();
    assert_eq!(shown, members, "{case}");
    assert_eq!(response.header("content-type"), "application/problem+json");
    assert_eq!(response.json["type"], format!("/errors/{code}"));
    assert_eq!(response.json["status"], response.status);
    assert_eq!(response.json["instance"], path);
    assert_eq!(response.json["request_id"], response.header("x-request-id"));
    let detail = response.json["detail"].as_str().expect("a text");
    let begins_well = detail.starts_with(|first: char| first.is_uppercase());
    assert!(begins_well && detail.ends_with('.') && !detail.contains("canary"), "{case}");
    let waits = matches!(response.status, 429 | 503);
    assert_eq!(response.headers.contains_key("retry-after"), waits, "{case}");
    let challenged = response.status == 401 || code == "forbidden";
    assert_eq!(response.headers.contains_key("www-authenticate"), challenged, "{case}");
    assert_eq!(response.headers.contains_key("allow"), response.status == 405, "{case}");
}

#[tokio::test]
async fn exactly_the_codes_of_the_contract_occur() {
    let app = TestApp::new().await;
    let mut failures = authentication_failures(&app).await;
    failures.extend(malformed_requests(&app).await);
    failures.extend(conflicts(&app).await);
    failures.extend(server_failures().await);
    let (mut statuses, mut titles) = (BTreeMap::new(), BTreeMap::new());
    for (response, path) in &failures {
        assert_form(response, path);
        statuses.insert(response.code(), response.status);
        let title = response.json["title"].as_str().expect("a title");
        let before = titles.insert(response.code(), title);
        assert!(!title.is_empty() && before.is_none_or(|before| before == title), "{title}");
    }
    assert_eq!(statuses, BTreeMap::from(CODES));
}
