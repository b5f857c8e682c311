//! `GET /api/v1/user`: the profile, from the cache of the session's validation.

use std::time::Duration;

use goat_core::Status;
use goat_core::testing::{Failpoints, ManualClock};
use goat_core::token::TokenKeys;
use serde_json::{Value, json};

use crate::auth::refresh;
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp, TestUser};
use crate::support::backend::Backend;

const PATH: &str = "/api/v1/user";

async fn profile(app: &TestApp, token: &str) -> Value {
    let response = app.get(PATH).bearer(token).send().await;
    assert_eq!(response.status, 200);
    response.data().clone()
}

/// Asserts that requests read neither a store nor the shared cache.
async fn assert_cached(app: &TestApp, calls: &Failpoints, token: &str) {
    let shared = || {
        let stats = app.goat.shared_cache_stats();
        stats.map(|stats| [stats.users(), stats.roles()])
    };
    // The first read under a newer role table empties the cache.
    profile(app, token).await;
    let before = shared();
    drop(calls.take_calls());
    for _ in 0..3 {
        profile(app, token).await;
    }
    assert_eq!(calls.take_calls(), [""; 0]);
    assert_eq!(shared(), before);
}

async fn app(backend: Backend) -> (TestApp, Failpoints, TestUser) {
    let (stores, calls) = backend.open().await.with_failpoints();
    let app = TestApp::over(stores, |setup| {
        setup.goat.self_attributes = vec!["plan".to_owned()];
    })
    .await;
    let admin = app.admin().await;
    profile(&app, &admin.token).await;
    (app, calls, admin)
}

on_every_backend!(profile_of_a_cached_session_reads_no_store);

async fn profile_of_a_cached_session_reads_no_store(backend: Backend) {
    let (app, calls, admin) = app(backend).await;
    let shown = profile(&app, &admin.token).await;
    assert_eq!((&shown["email"], &shown["role"]), (&json!(admin.email), &json!("admin")));
    assert_eq!(shown["permissions"], json!(["full_access"]));
    assert_cached(&app, &calls, &admin.token).await;
}

on_every_backend!(change_shows_in_the_next_profile);

async fn change_shows_in_the_next_profile(backend: Backend) {
    let (app, calls, admin) = app(backend).await;
    let client = app.client().await;
    let before = profile(&app, &client.token).await;
    assert_cached(&app, &calls, &client.token).await;
    let user = format!("{PATH}/{}", client.id);
    let role = format!("{user}/change-role");
    let own = json!({"email": "own@example.org", "current_password": PASSWORD});
    let login = json!({"email": "set@example.org", "password": PASSWORD});
    let grant = json!({"role": "operator", "action": "report:read"});
    let permissions = json!(["report:read", "user:change_status", "user:read", "user:update"]);
    let change_email = format!("{PATH}/change-email");
    let (own_attributes, attributes) = (format!("{PATH}/attributes"), format!("{user}/attributes"));
    let plan = json!({"plan": "pro"});
    let both = json!({"plan": "pro", "seats": 5});
    for (request, body, member, shown) in [
        (app.patch(&change_email).bearer(&client.token), own, "email", json!("own@example.org")),
        (app.patch(&own_attributes).bearer(&client.token), plan.clone(), "attributes", plan),
        (app.patch(&attributes).bearer(&admin.token), json!({"seats": 5}), "attributes", both),
        (
            app.put(&user).bearer(&admin.token),
            json!({"email": "set@example.org"}),
            "email",
            json!("set@example.org"),
        ),
        (
            app.patch(&role).bearer(&admin.token),
            json!({"role": "operator"}),
            "role",
            json!("operator"),
        ),
        (app.post("/api/v1/permission").bearer(&admin.token), grant, "permissions", permissions),
        (app.post("/api/v1/auth/login"), login, "last_login_at", json!("2026-01-01T00:00:00.007Z")),
    ] {
        app.clock.advance(Duration::from_millis(1));
        let response = request.json(&body).send().await;
        assert!(response.status < 300, "{member}: {}", response.code());
        assert_ne!(before[member], shown);
        assert_eq!(profile(&app, &client.token).await[member], shown);
        assert_cached(&app, &calls, &client.token).await;
    }
    let status = json!({"status": Status::Suspended.as_str()});
    let path = format!("{user}/change-status");
    assert_eq!(app.patch(&path).bearer(&admin.token).json(&status).send().await.status, 200);
    let response = app.get(PATH).bearer(&client.token).send().await;
    assert_eq!(response.failure(), (401, "session-revoked"));
}

on_every_backend!(verified_address_shows_until_it_changes);

/// A user shows alike wherever the API has one.
async fn verified_address_shows_until_it_changes(backend: Backend) {
    let (app, calls, admin) = app(backend).await;
    let client = app.client().await;
    let user = format!("{PATH}/{}", client.id);
    let change_email = format!("{PATH}/change-email");
    let shown = async || {
        let mut shown = vec![profile(&app, &client.token).await];
        assert_cached(&app, &calls, &client.token).await;
        let one = app.get(&user).bearer(&admin.token).send().await;
        shown.push(one.data().clone());
        let list = app.get(&format!("{PATH}/list?role=client")).bearer(&admin.token).send().await;
        assert_eq!(list.data().as_array().map(Vec::len), Some(1));
        shown.push(list.data()[0].clone());
        shown.iter().map(|user| user["email_verified"].as_bool()).collect::<Vec<_>>()
    };
    assert_eq!(shown().await, [Some(false); 3]);
    app.verify_email(client.id).await;
    assert_eq!(shown().await, [Some(true); 3]);
    for (email, is_verified) in
        [(client.email.to_uppercase(), true), ("own@example.org".to_owned(), false)]
    {
        let login = json!({"email": client.email, "password": PASSWORD});
        let login = app.post("/api/v1/auth/login").json(&login).send().await;
        assert_eq!(login.data()["user"]["email_verified"], true);
        let body = json!({"email": email, "current_password": PASSWORD});
        let change = app.patch(&change_email).bearer(&client.token).json(&body).send().await;
        assert_eq!(change.data()["email"], email);
        assert_eq!(change.data()["email_verified"], is_verified);
        assert_eq!(shown().await, [Some(is_verified); 3], "{email}");
    }
    app.verify_email(client.id).await;
    let body = json!({"email": "set@example.org"});
    let put = app.put(&user).bearer(&admin.token).json(&body).send().await;
    assert_eq!(put.data()["email_verified"], false);
    assert_eq!(shown().await, [Some(false); 3]);
}

/// Also before the second node has received the invalidation.
#[tokio::test]
async fn token_issued_after_a_change_shows_it_on_another_node() {
    let (keys, clock) = (TokenKeys::generate(), ManualClock::default());
    let node = async |stores| {
        let (keys, clock) = (keys.clone(), clock.clone());
        TestApp::over(stores, |setup| (setup.keys, setup.clock) = (keys, clock)).await
    };
    let first = node(Backend::PostgresAndRedis.open().await).await;
    let second = node(first.stores.second_node()).await;
    let client = first.client().await;
    let mut refresh_token = client.refresh_token.clone();
    for number in 0..20 {
        let email = format!("ann{number}@example.org");
        let body = json!({"email": email, "current_password": PASSWORD});
        profile(&second, &client.token).await;
        let path = format!("{PATH}/change-email");
        let response = first.patch(&path).bearer(&client.token).json(&body).send().await;
        assert_eq!(response.status, 200);
        let tokens = refresh(&first, &refresh_token).await.data().clone();
        let access = tokens["access_token"].as_str().expect("a token");
        assert_eq!(profile(&second, access).await["email"], email);
        refresh_token = tokens["refresh_token"].as_str().expect("a token").to_owned();
    }
}
