//! Precedence of failures: of a request that is wrong in several ways, the response names the first
//! in the order of the contract.

use goat_core::{Quota, Status};
use goat_server::api::{Rule, table};
use http::Method;
use serde_json::json;

use super::UNKNOWN_ID;
use crate::support::app::{PASSWORD, TestApp, TestRequest, TestUser};

/// Adds two `Authorization` headers, both invalid.
fn with_two_credentials(request: TestRequest<'_>) -> TestRequest<'_> {
    request.bearer("nonsense").header("authorization", "Basic bm9ib2R5Og==")
}

/// J8
#[tokio::test]
async fn two_authorization_headers_are_a_400_on_every_route() {
    let app = TestApp::with_every_route().await;
    for endpoint in table() {
        // The query is invalid too.
        let path = format!("{}?unknown=1", endpoint.path());
        let response =
            with_two_credentials(app.request(endpoint.method().clone(), &path)).send().await;
        let route = format!("{} {path}", endpoint.method());
        assert_eq!(response.failure(), (400, "bad-request"), "{route}");
        assert_eq!(response.header("cache-control"), "no-store", "{route}");
        assert_eq!(response.header("www-authenticate"), "", "{route}");
        assert_eq!(response.json["instance"], endpoint.path(), "{route}");
        assert_eq!(response.json["request_id"], response.header("x-request-id"), "{route}");
    }
}

#[tokio::test]
async fn path_and_method_precede_duplicate_authorization() {
    let app = TestApp::new().await;
    for (method, path, status) in [
        (Method::GET, "/nowhere", 404),
        (Method::GET, "/api/v1/auth/login/", 404),
        (Method::GET, "/api/v1/auth/login", 405),
        (Method::PUT, "/api/v1/user", 405),
        (Method::POST, "/api/health", 405),
    ] {
        let response = with_two_credentials(app.request(method, path)).send().await;
        assert_eq!(response.status, status, "{path}");
    }
}

#[tokio::test]
async fn address_limit_precedes_everything() {
    let app = TestApp::with(|setup| {
        let once = Some(Quota::per_minute(1));
        setup.limits.auth = once;
        setup.limits.refresh = once;
        setup.limits.public = once;
        setup.limits.address = once;
    })
    .await;
    for (method, path, limit) in [
        (Method::GET, "/nowhere", "public"),
        (Method::PUT, "/api/v1/user/list", "address"),
        (Method::POST, "/api/v1/auth/login", "auth"),
        (Method::POST, "/api/v1/auth/signup", "auth"),
        (Method::POST, "/api/v1/auth/refresh", "refresh"),
    ] {
        let request = || with_two_credentials(app.request(method.clone(), path));
        assert_ne!(request().send().await.status, 429, "{path}");
        let refused = request().send().await;
        assert_eq!(refused.failure(), (429, "rate-limited"), "{path}");
        assert_eq!(refused.header("ratelimit"), format!("\"{limit}\";r=0;t=60"), "{path}");
    }
    // Unknown paths and unknown methods of public routes share the public limit.
    assert_eq!(app.get("/api/v1/auth/login").send().await.status, 429);
    assert_eq!(app.get("/.well-known/jwks.json").send().await.status, 429);
    // Protected routes share the address limit.
    assert_eq!(app.get("/api/v1/sessions").send().await.status, 429);
}

#[tokio::test]
async fn authentication_precedes_validation() {
    let app = TestApp::with_every_route().await;
    for endpoint in table().into_iter().filter(|endpoint| endpoint.rule().is_protected()) {
        let path = format!("{}?unknown=1", endpoint.path().replace("{id}", "x"));
        let request =
            || app.request(endpoint.method().clone(), &path).body("text/plain", "x".repeat(70_000));
        assert_eq!(request().send().await.failure(), (401, "unauthenticated"), "{path}");
        let bad = request().bearer("nonsense").send().await;
        assert_eq!(bad.failure(), (401, "invalid-token"), "{path}");
    }
}

#[tokio::test]
async fn user_limit_follows_authentication_and_precedes_the_permission() {
    let app = TestApp::with(|setup| setup.limits.user = Some(Quota::per_minute(1))).await;
    let client = app.client().await;
    let path = "/api/v1/user/x?unknown=1";
    let put = || app.put(path).body("text/plain", "what?");
    assert_eq!(put().bearer(&client.token).send().await.failure(), (403, "forbidden"));
    let refused = put().bearer(&client.token).send().await;
    assert_eq!(refused.failure(), (429, "rate-limited"));
    assert_eq!(
        refused.header("ratelimit"),
        r#""address";r=999998;t=60, "user";r=0;t=60"#,
        "the address is charged, the user is over the limit"
    );
    // Without authentication there is no user limit.
    for _ in 0..3 {
        assert_eq!(put().bearer("nonsense").send().await.status, 401);
    }
}

/// D1: the same place for the limit of session control, and for that of verification.
#[tokio::test]
async fn session_limit_follows_authentication_and_precedes_path_query_and_body() {
    let app = TestApp::with(|setup| {
        setup.limits.session_control = Some(Quota::per_minute(1));
        setup.limits.verify = Some(Quota::per_minute(1));
    })
    .await;
    for (method, path, limit) in [
        (Method::DELETE, "/api/v1/sessions/x", "session-control"),
        (Method::GET, "/api/v1/auth/verify", "verify"),
    ] {
        let client = app.client().await;
        let request =
            |token: &str| app.request(method.clone(), &format!("{path}?unknown=1")).bearer(token);
        assert_eq!(request(&client.token).send().await.failure(), (400, "validation"), "{path}");
        let refused = request(&client.token).send().await;
        assert_eq!(refused.failure(), (429, "rate-limited"), "{path}");
        let shown = refused.header("ratelimit");
        assert!(shown.ends_with(&format!("\"{limit}\";r=0;t=60")), "{shown}");
        assert_eq!(request("nonsense").send().await.failure(), (401, "invalid-token"), "{path}");
    }
}

#[tokio::test]
async fn permission_precedes_path_query_and_body() {
    let app = TestApp::with_every_route().await;
    let client = app.client().await;
    for endpoint in table() {
        let (Rule::Permission(permission) | Rule::Lookup(permission)) = endpoint.rule() else {
            continue;
        };
        let path = format!("{}?unknown=1", endpoint.path());
        let request = app.request(endpoint.method().clone(), &path).bearer(&client.token);
        let response = request.body("text/plain", "what?").send().await;
        assert_eq!(response.failure(), (403, "forbidden"), "{path}");
        assert_eq!(
            response.header("www-authenticate"),
            format!("Bearer realm=\"goat\", error=\"insufficient_scope\", scope=\"{permission}\""),
            "{path}"
        );
    }
}

#[tokio::test]
async fn path_query_body_and_lookup_fail_in_this_order() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let put = |path: &str| app.put(path).bearer(&admin.token);
    let long = format!("{{\"email\": \"{}\"}}", "x".repeat(70_000));
    let unknown = &format!("/api/v1/user/{UNKNOWN_ID}");

    let response = put("/api/v1/user/x").body("text/plain", long.clone()).send().await;
    assert_eq!((response.failure(), response.fields()), ((400, "validation"), vec!["id"]));
    let query = format!("{unknown}?unknown=1");
    let response = put(&query).body("text/plain", long.clone()).send().await;
    assert_eq!((response.failure(), response.fields()), ((400, "validation"), vec!["unknown"]));
    let response = put(unknown).body("text/plain", long.clone()).send().await;
    assert_eq!(response.failure(), (415, "unsupported-media-type"));
    let response = put(unknown).body("application/json", long).send().await;
    assert_eq!(response.failure(), (413, "payload-too-large"));
    let response = put(unknown).body("application/json", "{").send().await;
    assert_eq!(response.failure(), (400, "malformed-json"));
    let response = put(unknown).json(&json!({"email": 1})).send().await;
    assert_eq!(response.failure(), (400, "validation"));
    let response = put(unknown).json(&json!({"email": admin.email})).send().await;
    assert_eq!(response.failure(), (404, "not-found"), "before the conflict");
}

/// The status and the code of a role change.
async fn change_role(app: &TestApp, actor: &TestUser, path: &str, role: &str) -> (u16, String) {
    let path = format!("{path}/change-role");
    let response = app.patch(&path).bearer(&actor.token).json(&json!({"role": role})).send().await;
    (response.status, response.code().to_owned())
}

#[tokio::test]
async fn rank_precedes_role_assignment_and_both_precede_no_change() {
    let app = TestApp::new().await;
    let (admin, operator, other) = (app.admin().await, app.operator().await, app.operator().await);
    let client = app.client().await;
    let body = json!({"role": "operator", "action": "user:change_role"});
    let granted = app.post("/api/v1/permission").bearer(&admin.token).json(&body).send().await;
    assert_eq!(granted.status, 201);
    let outranked = (403, "outranked".to_owned());
    // An equal rank, together with a role that cannot be assigned or is unchanged.
    assert_eq!(change_role(&app, &operator, &other.path(), "admin").await, outranked);
    assert_eq!(change_role(&app, &operator, &other.path(), "operator").await, outranked);
    assert_eq!(change_role(&app, &operator, &admin.path(), "admin").await, outranked);
    assert_eq!(change_role(&app, &operator, &operator.path(), "operator").await, outranked);
    for role in ["operator", "admin"] {
        let response = change_role(&app, &operator, &client.path(), role).await;
        assert_eq!(response, (403, "role-not-assignable".to_owned()));
    }
    assert_eq!(change_role(&app, &operator, &client.path(), "client").await, (200, String::new()));
}

#[tokio::test]
async fn no_change_precedes_the_limits_and_these_the_password() {
    let app = TestApp::with(|setup| {
        setup.goat.password_check_quota = Some(Quota::per_minute(1));
        setup.goat.change_email_quota = Some(Quota::per_minute(3));
    })
    .await;
    app.add("taken@example.org", "client", Status::Active).await;
    let client = app.client().await;
    let path = "/api/v1/user/change-email";
    let change = async |email: &str, password: &str| {
        let body = json!({"email": email, "current_password": password});
        app.patch(path).bearer(&client.token).json(&body).send().await
    };
    let wrong = change("taken@example.org", "wrong").await;
    assert_eq!(wrong.failure(), (403, "wrong-password"), "before the conflict");
    let refused = change("taken@example.org", "wrong").await;
    assert_eq!(refused.failure(), (429, "rate-limited"));
    let shown = refused.header("ratelimit");
    assert!(shown.ends_with(r#""auth";r=1;t=60, "password-check";r=0;t=60"#), "{shown}");
    assert_eq!(refused.header("retry-after"), "60");
    // The limit of the client's address precedes that of the password, which it does not charge.
    assert_eq!(change("taken@example.org", "wrong").await.failure(), (429, "rate-limited"));
    let refused = change("taken@example.org", "wrong").await;
    assert_eq!(refused.failure(), (429, "rate-limited"));
    let shown = refused.header("ratelimit");
    assert!(shown.ends_with(r#""auth";r=0;t=60"#), "{shown}");
    // The present address is no change, even above the limit.
    assert_eq!(change(&client.email, "wrong").await.status, 200);
    app.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(change("taken@example.org", PASSWORD).await.failure(), (409, "email-taken"));
}

#[tokio::test]
async fn rank_and_role_precede_a_conflict() {
    let app = TestApp::new().await;
    let (admin, operator, other) = (app.admin().await, app.operator().await, app.operator().await);
    let body = json!({"role": "operator", "action": "user:write"});
    let granted = app.post("/api/v1/permission").bearer(&admin.token).json(&body).send().await;
    assert_eq!(granted.status, 201);
    let put = async |path: &str| {
        let body = json!({"email": admin.email});
        app.put(path).bearer(&operator.token).json(&body).send().await
    };
    for path in [admin.path(), other.path(), operator.path()] {
        assert_eq!(put(&path).await.failure(), (403, "outranked"));
    }
    assert_eq!(put(&app.client().await.path()).await.failure(), (409, "email-taken"));
    for (role, status, code) in
        [("operator", 403, "role-not-assignable"), ("client", 409, "email-taken")]
    {
        let body = json!({"email": admin.email, "password": PASSWORD, "role": role});
        let response = app.post("/api/v1/user").bearer(&operator.token).json(&body).send().await;
        assert_eq!(response.failure(), (status, code));
    }
}

#[tokio::test]
async fn validation_of_the_new_password_precedes_the_current_one() {
    let app =
        TestApp::with(|setup| setup.goat.password_check_quota = Some(Quota::per_minute(1))).await;
    let client = app.client().await;
    let change = async |current: &str, new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        let path = "/api/v1/user/change-password";
        app.patch(path).bearer(&client.token).json(&body).send().await
    };
    let short = change("wrong", "qx7 lamps").await;
    assert_eq!((short.failure(), short.fields()), ((400, "validation"), vec!["new_password"]));
    // The address is no valid password; this check needs the account.
    let address = change("wrong", &client.email).await;
    assert_eq!(address.failure(), (400, "validation"));
    assert_eq!(change("wrong", PASSWORD).await.failure(), (403, "wrong-password"));
    assert_eq!(change("wrong", "qx7 lamps").await.failure(), (400, "validation"));
    assert_eq!(change(PASSWORD, PASSWORD).await.failure(), (429, "rate-limited"));
    app.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(change(PASSWORD, PASSWORD).await.failure(), (409, "password-unchanged"));
}
