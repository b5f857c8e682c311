//! Which answer wins where several could be given: each request here is wrong in every way that is
//! still left, and is answered by the first of them.

use crate::support::app::{PASSWORD, TestApp, TestRequest, TestUser};
use goat_core::{Quota, Status};
use goat_server::router::{Rule, table};
use http::Method;
use serde_json::json;

/// Two `Authorization` headers, neither of which would do.
fn torn(request: TestRequest<'_>) -> TestRequest<'_> {
    request.bearer("nonsense").header("authorization", "Basic bm9ib2R5Og==")
}

/// J8
#[tokio::test]
async fn two_authorization_headers_are_a_400_on_every_route() {
    let app = TestApp::new().await;
    for endpoint in table() {
        // The query and the body are wrong too, and come later.
        let path = format!("{}?unknown=1", endpoint.path());
        let answer = torn(app.request(endpoint.method().clone(), &path)).send().await;
        let route = format!("{} {path}", endpoint.method());
        assert_eq!(answer.failure(), (400, "bad-request"), "{route}");
        assert_eq!(answer.header("cache-control"), "no-store", "{route}");
        assert_eq!(answer.header("www-authenticate"), "", "{route}");
        assert_eq!(answer.json["instance"], endpoint.path(), "{route}");
        assert_eq!(answer.json["request_id"], answer.header("x-request-id"), "{route}");
    }
}

#[tokio::test]
async fn the_path_and_the_method_come_before_two_authorization_headers() {
    let app = TestApp::new().await;
    for (method, path, status) in [
        (Method::GET, "/nowhere", 404),
        (Method::GET, "/api/v1/auth/login/", 404),
        (Method::GET, "/api/v1/auth/login", 405),
        (Method::PUT, "/api/v1/user", 405),
        (Method::POST, "/api/health", 405),
    ] {
        let answer = torn(app.request(method, path)).send().await;
        assert_eq!(answer.status, status, "{path}");
    }
}

#[tokio::test]
async fn the_limit_by_address_comes_before_all_else() {
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
        let request = || torn(app.request(method.clone(), path));
        assert_ne!(request().send().await.status, 429, "{path}");
        let refused = request().send().await;
        assert_eq!(refused.failure(), (429, "rate-limited"), "{path}");
        assert_eq!(refused.header("ratelimit"), format!("\"{limit}\";r=0;t=60"), "{path}");
    }
    // The paths that are not there, and the methods that a sign-in does not take, share one.
    assert_eq!(app.get("/api/v1/auth/login").send().await.status, 429);
    assert_eq!(app.get("/.well-known/jwks.json").send().await.status, 429);
    // The protected ones share another.
    assert_eq!(app.get("/api/v1/sessions").send().await.status, 429);
}

#[tokio::test]
async fn who_asks_comes_before_what_is_asked() {
    let app = TestApp::new().await;
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
async fn the_limit_by_user_comes_after_who_asks_and_before_the_permission() {
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
        "both were charged or refuse"
    );
    // Who is nobody has no limit by user.
    for _ in 0..3 {
        assert_eq!(put().bearer("nonsense").send().await.status, 401);
    }
}

#[tokio::test]
async fn the_permission_comes_before_path_query_and_body() {
    let app = TestApp::new().await;
    let client = app.client().await;
    for endpoint in table() {
        let Rule::Permission(permission) = endpoint.rule() else { continue };
        let path = format!("{}?unknown=1", endpoint.path());
        let request = app.request(endpoint.method().clone(), &path).bearer(&client.token);
        let answer = request.body("text/plain", "what?").send().await;
        assert_eq!(answer.failure(), (403, "forbidden"), "{path}");
        assert_eq!(
            answer.header("www-authenticate"),
            format!("Bearer realm=\"goat\", error=\"insufficient_scope\", scope=\"{permission}\""),
            "{path}"
        );
    }
}

#[tokio::test]
async fn path_and_query_come_before_the_body_and_the_body_before_the_entity() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let put = |path: &str| app.put(path).bearer(&admin.token);
    let long = format!("{{\"email\": \"{}\"}}", "x".repeat(70_000));
    let nobody = "/api/v1/user/01KDWMBY00C8X0F4ZCV7J3T9QH";

    let answer = put("/api/v1/user/x").body("text/plain", long.clone()).send().await;
    assert_eq!((answer.failure(), answer.fields()), ((400, "validation"), vec!["id"]));
    let query = format!("{nobody}?unknown=1");
    let answer = put(&query).body("text/plain", long.clone()).send().await;
    assert_eq!((answer.failure(), answer.fields()), ((400, "validation"), vec!["unknown"]));
    let answer = put(nobody).body("text/plain", long.clone()).send().await;
    assert_eq!(answer.failure(), (415, "unsupported-media-type"));
    let answer = put(nobody).body("application/json", long).send().await;
    assert_eq!(answer.failure(), (413, "payload-too-large"));
    let answer = put(nobody).body("application/json", "{").send().await;
    assert_eq!(answer.failure(), (400, "malformed-json"));
    let answer = put(nobody).json(&json!({"email": 1})).send().await;
    assert_eq!(answer.failure(), (400, "validation"));
    let answer = put(nobody).json(&json!({"email": admin.email})).send().await;
    assert_eq!(answer.failure(), (404, "not-found"), "also before the address is taken");
}

/// Changes a role, for somebody.
async fn change_role(app: &TestApp, actor: &TestUser, path: &str, role: &str) -> (u16, String) {
    let path = format!("{path}/change-role");
    let answer = app.patch(&path).bearer(&actor.token).json(&json!({"role": role})).send().await;
    (answer.status, answer.code().to_owned())
}

#[tokio::test]
async fn rank_comes_before_the_role_and_both_before_that_nothing_changes() {
    let app = TestApp::new().await;
    let (admin, operator, other) = (app.admin().await, app.operator().await, app.operator().await);
    let client = app.client().await;
    let body = json!({"role": "operator", "action": "user:change_role"});
    let granted = app.post("/api/v1/permission").bearer(&admin.token).json(&body).send().await;
    assert_eq!(granted.status, 201);
    let outranked = (403, "outranked".to_owned());
    // An equal, a role that is not one's to give, and no change at all.
    assert_eq!(change_role(&app, &operator, &other.path(), "admin").await, outranked);
    assert_eq!(change_role(&app, &operator, &other.path(), "operator").await, outranked);
    assert_eq!(change_role(&app, &operator, &admin.path(), "admin").await, outranked);
    assert_eq!(change_role(&app, &operator, &operator.path(), "operator").await, outranked);
    for role in ["operator", "admin"] {
        let answer = change_role(&app, &operator, &client.path(), role).await;
        assert_eq!(answer, (403, "role-not-assignable".to_owned()));
    }
    assert_eq!(change_role(&app, &operator, &client.path(), "client").await, (200, String::new()));
}

#[tokio::test]
async fn that_nothing_changes_comes_before_the_account_limit_that_before_the_password() {
    let app = TestApp::with(|setup| setup.goat.account_quota = Some(Quota::per_minute(2))).await;
    app.add("taken@example.org", "client", Status::Active).await;
    // To sign in has spent one of the two.
    let client = app.client().await;
    let path = "/api/v1/user/change-email";
    let change = async |email: &str, password: &str| {
        let body = json!({"email": email, "current_password": password});
        app.patch(path).bearer(&client.token).json(&body).send().await
    };
    let wrong = change("taken@example.org", "wrong").await;
    assert_eq!(wrong.failure(), (403, "wrong-password"), "before the address is taken");
    let refused = change("taken@example.org", "wrong").await;
    assert_eq!(refused.failure(), (429, "rate-limited"));
    assert!(refused.header("ratelimit").contains("\"account\";r=0;t=60"));
    assert_eq!(refused.header("retry-after"), "60");
    // One's own address is no change, whatever limit is spent.
    assert_eq!(change(&client.email, "wrong").await.status, 200);
    app.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(change("taken@example.org", PASSWORD).await.failure(), (409, "email-taken"));
}

#[tokio::test]
async fn rank_and_role_come_before_a_conflict() {
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
        let answer = app.post("/api/v1/user").bearer(&operator.token).json(&body).send().await;
        assert_eq!(answer.failure(), (status, code));
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_new_password_comes_before_the_old_one() {
    let app = TestApp::with(|setup| setup.goat.account_quota = Some(Quota::per_minute(2))).await;
    // To sign in has spent one of the two.
    let client = app.client().await;
    let change = async |current: &str, new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        let path = "/api/v1/user/change-password";
        app.patch(path).bearer(&client.token).json(&body).send().await
    };
    let short = change("wrong", "qx7 lamps").await;
    assert_eq!((short.failure(), short.fields()), ((400, "validation"), vec!["new_password"]));
    // The address may not be the password, and only the account knows it.
    let address = change("wrong", &client.email).await;
    assert_eq!(address.failure(), (400, "validation"));
    assert_eq!(change("wrong", PASSWORD).await.failure(), (403, "wrong-password"));
    assert_eq!(change("wrong", "qx7 lamps").await.failure(), (400, "validation"));
    assert_eq!(change(PASSWORD, PASSWORD).await.failure(), (429, "rate-limited"));
    app.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(change(PASSWORD, PASSWORD).await.failure(), (409, "password-unchanged"));
}
