//! `POST /api/v1/auth/introspect` (RFC 7662).

use goat_core::Actor;
use goat_core::access::permissions::TOKEN_INTROSPECT;
use serde_json::json;

use crate::backends::on_every_backend;
use crate::support::app::{TestApp, TestResponse, TestUser};
use crate::support::backend::Backend;

const PATH: &str = "/api/v1/auth/introspect";
const FORM: &str = "application/x-www-form-urlencoded";

async fn introspect(app: &TestApp, by: &TestUser, form: &str) -> TestResponse {
    app.post(PATH).bearer(&by.token).body(FORM, form.to_owned()).send().await
}

on_every_backend!(active_token_has_the_members_of_the_contract);

/// K8
async fn active_token_has_the_members_of_the_contract(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (service, ann) = (app.admin().await, app.operator().await);
    let form = format!("token={}&token_type_hint=refresh_token&unknown=1", ann.token);
    let response = introspect(&app, &service, &form).await;
    assert_eq!((response.status, response.header("cache-control")), (200, "no-store"));
    assert_eq!(response.header("content-type"), "application/json");
    let now = app.goat.time().now().as_seconds();
    assert_eq!(
        response.json,
        json!({
            "active": true,
            "sub": ann.id.to_string(),
            "scope": "user:change_status user:read user:update",
            "client_id": "goat",
            "exp": now + 300,
            "iat": now,
            "acr": "single",
            "amr": ["pwd"],
            "auth_time": now,
            "goat_role": "operator",
        })
    );
    // A role without permissions: a scope is never empty.
    let client = app.client().await;
    let response = introspect(&app, &service, &format!("token={}", client.token)).await;
    assert_eq!((&response.json["active"], response.json.get("scope")), (&json!(true), None));
}

on_every_backend!(anything_else_is_inactive_without_a_reason);

/// K8
async fn anything_else_is_inactive_without_a_reason(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (service, ann, ended) = (app.admin().await, app.client().await, app.client().await);
    assert_eq!(app.post("/api/v1/auth/logout").bearer(&ended.token).send().await.status, 204);
    let long = "x".repeat(60_000);
    for token in [&ended.token, &ended.refresh_token, &ann.refresh_token, "eyJ.x.y", "a+b", &long] {
        let response = introspect(&app, &service, &format!("token={token}")).await;
        assert_eq!(response.status, 200, "{token}");
        assert_eq!(response.body, br#"{"active":false}"#.as_slice(), "{token}");
        assert_eq!(response.header("cache-control"), "no-store");
        assert_eq!(response.header("www-authenticate"), "");
    }
    // The refresh token was not used up.
    let body = json!({"refresh_token": ann.refresh_token});
    assert_eq!(app.post("/api/v1/auth/refresh").json(&body).send().await.status, 200);
}

/// K8: neither a public client nor a user without the permission learns anything; an operator's step-up
/// of administrators does not stand in the way of a service.
#[tokio::test]
async fn only_callers_with_the_permission_are_answered() {
    let app = TestApp::with(|setup| setup.http.step_up_admin = true).await;
    let (admin, client) = (app.admin().await, app.client().await);
    let form = format!("token={}", admin.token);
    let anonymous = app.post(PATH).body(FORM, form.clone()).send().await;
    assert_eq!(anonymous.failure(), (401, "unauthenticated"));
    let basic = app.post(PATH).header("authorization", "Basic Zm9vOmJhcg==");
    assert_eq!(basic.body(FORM, form.clone()).send().await.status, 401);
    let refused = introspect(&app, &client, &form).await;
    assert_eq!(refused.failure(), (403, "forbidden"));
    let challenge = refused.header("www-authenticate");
    assert!(challenge.contains("scope=\"token:introspect\""), "{challenge}");
    let grant = app.goat.roles().grant(Actor::system("a test"), "client", TOKEN_INTROSPECT).await;
    grant.expect("granted");
    app.clock.advance(std::time::Duration::from_secs(290));
    assert_eq!(introspect(&app, &client, &form).await.json["active"], true);
    // The expiry is that of now too.
    app.clock.advance(std::time::Duration::from_secs(60));
    let later = app.client().await;
    assert_eq!(introspect(&app, &later, &form).await.json, json!({"active": false}));
}

#[tokio::test]
async fn body_is_a_form_with_one_token() {
    let app = TestApp::new().await;
    let service = app.admin().await;
    for form in ["", "token=", "Token=x", "token=a&token=b", "token=%zz"] {
        let response = introspect(&app, &service, form).await;
        assert_eq!(
            (response.failure(), response.fields()),
            ((400, "validation"), vec!["token"]),
            "{form}"
        );
    }
    let request = || app.post(PATH).bearer(&service.token);
    let json = request().json(&json!({"token": service.token})).send().await;
    assert_eq!(json.failure(), (415, "unsupported-media-type"));
    let large = format!("token={}", "x".repeat(64 * 1024));
    assert_eq!(introspect(&app, &service, &large).await.failure(), (413, "payload-too-large"));
    // J8: a token in the query string is never read.
    let path = format!("{PATH}?token={}", service.token);
    let response = app.post(&path).bearer(&service.token).body(FORM, "token=x").send().await;
    assert_eq!((response.failure(), response.fields()), ((400, "validation"), vec!["token"]));
}

on_every_backend!(active_key_has_the_members_of_the_contract);

/// K1, K8: the rights are those of now.
async fn active_key_has_the_members_of_the_contract(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (service, ann) = (app.admin().await, app.operator().await);
    let body = json!({"name": "a", "scopes": ["user:read"], "expires_in": 60});
    let created = app.post("/api/v1/keys").bearer(&ann.token).json(&body).send().await;
    let key = created.data()["key"].as_str().expect("the text").to_owned();
    let response = introspect(&app, &service, &format!("token={key}")).await;
    assert_eq!((response.status, response.header("cache-control")), (200, "no-store"));
    let now = app.goat.time().now().as_seconds();
    assert_eq!(
        response.json,
        json!({
            "active": true,
            "sub": ann.id.to_string(),
            "scope": "user:read",
            "exp": now + 60,
            "iat": now,
            "goat_key": created.data()["id"],
        })
    );
    let demote = format!("{}/change-role", ann.path());
    let body = json!({"role": "client"});
    let demoted = app.patch(&demote).bearer(&service.token).json(&body).send().await;
    assert_eq!(demoted.status, 200);
    let response = introspect(&app, &service, &format!("token={key}")).await;
    assert_eq!((&response.json["active"], response.json.get("scope")), (&json!(true), None));
    app.clock.advance(std::time::Duration::from_secs(60));
    let response = introspect(&app, &service, &format!("token={key}")).await;
    assert_eq!(response.body, br#"{"active":false}"#.as_slice());
}

/// A service asks with a key of its own.
#[tokio::test]
async fn key_with_the_permission_introspects() {
    let app = TestApp::new().await;
    let (admin, ann) = (app.admin().await, app.client().await);
    let form = format!("token={}", ann.token);
    for (scopes, expected) in [(json!(["token:introspect"]), 200), (json!(["user:read"]), 403)] {
        let body = json!({"name": "a service", "scopes": scopes});
        let created = app.post("/api/v1/keys").bearer(&admin.token).json(&body).send().await;
        let key = created.data()["key"].as_str().expect("the text");
        let response = app.post(PATH).bearer(key).body(FORM, form.clone()).send().await;
        assert_eq!(response.status, expected, "{scopes}");
    }
}
