//! API keys on every route: which of them accept a key, where a key is read, and its limits.

use goat_core::key::Scopes;
use goat_core::{Permission, Quota};
use goat_server::api::{Rule, table};
use goat_tower::cookie::Cookies;
use http::Method;
use serde_json::json;

use crate::backends::on_every_backend;
use crate::support::app::{TestApp, TestResponse};
use crate::support::backend::Backend;

/// The routes that only a session calls.
const SESSION_ONLY: [&str; 20] = [
    "POST /api/v1/auth/logout",
    "POST /api/v1/auth/step-up",
    "POST /api/v1/auth/verify-email/confirm",
    "POST /api/v1/user/verify-email",
    "POST /api/v1/user/{id}/recover",
    "DELETE /api/v1/user",
    "PATCH /api/v1/user/change-email",
    "PATCH /api/v1/user/change-password",
    "PUT /api/v1/user/{id}",
    "GET /api/v1/user/{id}/sessions",
    "DELETE /api/v1/user/{id}/sessions",
    "GET /api/v1/sessions",
    "DELETE /api/v1/sessions",
    "DELETE /api/v1/sessions/{id}",
    "POST /api/v1/keys",
    "GET /api/v1/keys",
    "DELETE /api/v1/keys/{id}",
    "POST /api/v1/user/{id}/keys",
    "GET /api/v1/user/{id}/keys",
    "DELETE /api/v1/user/{id}/keys/{key}",
];
/// The session route for programs, of keys that name its permission.
const OPEN_SESSION: &str = "POST /api/v1/user/{id}/session";

const REFUSED: (u16, &str) = (403, "session-required");

fn only(permission: Permission) -> Scopes {
    Scopes::only([permission]).expect("one permission")
}

/// K2: on all routes, before path, query and body, and after the permission.
#[tokio::test]
async fn keys_are_refused_where_only_a_session_acts() {
    for step_up_admin in [false, true] {
        let app = TestApp::with(|setup| {
            setup.every_route();
            setup.http.step_up_admin = step_up_admin;
        })
        .await;
        let (admin, client) = (app.admin().await, app.client().await);
        let whole = app.key(&admin, Scopes::Role).await;
        let naming = app.key(&admin, only(Permission::new("session:create"))).await;
        let powerless = app.key(&client, Scopes::Role).await;
        let mut refused = Vec::new();
        for endpoint in table().iter().filter(|endpoint| endpoint.rule().is_protected()) {
            let route = format!("{} {}", endpoint.method(), endpoint.path());
            let path = endpoint.path().replace("{id}", "x").replace("{key}", "%");
            let path = format!("{path}?beyond=the-guards");
            let send = async |key: &str| {
                let request = app.request(endpoint.method().clone(), &path).bearer(key);
                request.body("text/plain", "{").send().await
            };
            let response = send(&whole).await;
            if response.failure() == REFUSED {
                refused.push(route.clone());
                assert_eq!(response.header("www-authenticate"), "", "{route}");
                assert_eq!(response.header("cache-control"), "no-store", "{route}");
            } else {
                assert_eq!(response.failure(), (400, "validation"), "{route}: {}", response.json);
            }
            if route == OPEN_SESSION {
                assert_eq!(send(&naming).await.failure(), (400, "validation"));
            }
            if matches!(endpoint.rule(), Rule::Permission(_) | Rule::Lookup(_)) {
                assert_eq!(send(&powerless).await.failure(), (403, "forbidden"), "{route}");
            }
        }
        let mut expected: Vec<_> = SESSION_ONLY.into_iter().chain([OPEN_SESSION]).collect();
        expected.sort_unstable();
        refused.sort_unstable();
        assert_eq!(refused, expected);
    }
}

on_every_backend!(a_key_acts_for_its_owner_within_its_scopes);

/// K1, K2: a key reads and changes what its scopes and its owner's role allow, also where sessions need a
/// recent proof; it loses both with its owner.
async fn a_key_acts_for_its_owner_within_its_scopes(backend: Backend) {
    let app = TestApp::on_with(backend, |setup| setup.http.step_up_admin = true).await;
    let (admin, client) = (app.admin().await, app.client().await);
    let (operator, other) = (app.operator().await, app.client().await);
    let key = app.key(&operator, only(Permission::new("user:change_status"))).await;
    let profile = async || app.get("/api/v1/user").bearer(&key).send().await;
    let suspend = async |id: String| {
        let path = format!("{id}/change-status");
        app.patch(&path).bearer(&key).json(&json!({"status": "suspended"})).send().await
    };
    let own = profile().await;
    assert_eq!(own.data()["id"], operator.id.to_string());
    assert_eq!(own.data()["permissions"], json!(["user:change_status"]));
    let read = app.get(&client.path()).bearer(&key).send().await;
    assert_eq!(read.failure(), (403, "forbidden"));
    app.clock.advance(std::time::Duration::from_secs(301));
    assert_eq!(suspend(client.path()).await.status, 200, "a key passes by its scopes");
    assert_eq!(suspend(admin.path()).await.failure(), (403, "outranked"));
    let admin = app.sign_in(&admin.email, crate::support::app::PASSWORD).await;
    let body = json!({"role": "client"});
    let demote = app.patch(&format!("{}/change-role", operator.path())).bearer(&admin.token);
    assert_eq!(demote.json(&body).send().await.status, 200);
    assert_eq!(suspend(other.path()).await.failure(), (403, "forbidden"));
    assert_eq!(profile().await.data()["permissions"], json!([]));
    let delete = app.delete(&operator.path()).bearer(&admin.token).send().await;
    assert_eq!(delete.status, 204);
    assert_eq!(profile().await.failure(), (401, "invalid-token"));
}

/// K6: only in `Authorization: Bearer`.
#[tokio::test]
async fn keys_are_read_from_the_authorization_header_only() {
    let app = TestApp::with(|setup| setup.http.session_cookies = Some(Cookies::new())).await;
    let client = app.client().await;
    let key = app.key(&client, Scopes::Role).await;
    let get = || app.get("/api/v1/user").header("sec-fetch-site", "same-origin");
    assert_eq!(get().bearer(&key).send().await.status, 200);
    let cookie = format!("__Host-goat-access={key}");
    let missing = (401, "unauthenticated");
    for (request, expected) in [
        (get().header("cookie", &cookie), (401, "invalid-token")),
        (get().header("cookie", &format!("goat_key={key}; key={key}")), missing),
        (get().header("x-api-key", &key), missing),
        (get().header("x-goat-key", &key), missing),
        (get().header("authorization", &key), missing),
        (get().header("authorization", &format!("Basic {key}")), missing),
        (app.get(&format!("/api/v1/user?access_token={key}")), missing),
        (app.get(&format!("/api/v1/user?key={key}")), missing),
    ] {
        assert_eq!(request.send().await.failure(), expected);
    }
    // Nor does it pass for a refresh token.
    let body = json!({"refresh_token": key});
    let response = app.post("/api/v1/auth/refresh").json(&body).send().await;
    assert_eq!(response.failure(), (401, "invalid-token"));
}

/// K4: the answers to an unknown key and to a wrong secret are the same.
#[tokio::test]
async fn a_wrong_secret_looks_like_an_unknown_key() {
    let app = TestApp::new().await;
    let client = app.client().await;
    let (known, gone) =
        (app.key(&client, Scopes::Role).await, app.key(&client, Scopes::Role).await);
    let me = app.goat.authenticate_token(&client.token).await.expect("a session");
    let id = app.goat.authenticate_token(&gone).await.expect("a key").credential();
    let goat_core::Credential::Key(id) = id else { panic!("a key") };
    app.goat.keys().revoke(&me, id).await.expect("it exists");
    let forged = goat_core::testing::forged_key(&known.as_str().into(), &gone.as_str().into());
    let shown = |mut response: TestResponse| {
        response.headers.remove("x-request-id");
        response.json["request_id"] = json!(null);
        (response.status, format!("{:?}", response.headers), response.json)
    };
    for _ in 0..2 {
        // Each from an address of its own, so that the headers of limits are the same.
        let answers = [(forged.expose(), "192.0.2.1"), (&gone, "192.0.2.2")];
        let [wrong, unknown] = answers.map(async |(key, from): (&String, &str)| {
            shown(app.get("/api/v1/user").from(from).bearer(key).send().await)
        });
        let (wrong, unknown) = (wrong.await, unknown.await);
        assert_eq!((wrong.0, &wrong.2["code"]), (401, &json!("invalid-token")));
        assert_eq!(wrong, unknown);
    }
}

/// The limit of the owner counts its keys with its sessions.
#[tokio::test]
async fn the_user_limit_counts_keys_under_their_owner() {
    let app = TestApp::with(|setup| setup.limits.user = Some(Quota::per_minute(3))).await;
    let client = app.client().await;
    let keys = [app.key(&client, Scopes::Role).await, app.key(&client, Scopes::Role).await];
    for token in [&keys[0], &keys[1], &client.token] {
        let response = app.request(Method::GET, "/api/v1/user").bearer(token).send().await;
        assert_eq!(response.status, 200);
    }
    for token in [&keys[0], &keys[1], &client.token] {
        let response = app.get("/api/v1/user").bearer(token).send().await;
        assert_eq!(response.failure(), (429, "rate-limited"));
    }
}
