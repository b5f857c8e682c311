//! `/api/v1/user/{id}/keys`: the API keys of service accounts, and of other users.

use std::time::Duration;

use goat_core::{Actor, Permission, UserId};
use serde_json::{Value, json};

use super::send;
use crate::backends::on_every_backend;
use crate::support::app::{TestApp, TestResponse, TestUser};
use crate::support::backend::Backend;

/// A well-formed id that does not exist.
const UNKNOWN_ID: &str = "01KDWMBY00C8X0F4ZCV7J3T9QH";

/// Creates a service account, and returns the path of its keys.
async fn service(app: &TestApp, name: &str, role: &str) -> String {
    use goat_core::user::{NewService, ServiceName};

    let name = ServiceName::parse(name).expect("a name");
    let new = NewService { name, role: app.goat.roles().get(role).expect("a role") };
    let user = app.goat.users().create_service(Actor::system("a test"), new).await;
    keys_of(user.expect("created").id)
}

fn keys_of(id: UserId) -> String {
    format!("/api/v1/user/{id}/keys")
}

async fn create(app: &TestApp, by: &TestUser, path: &str, scopes: Value) -> TestResponse {
    let body = json!({"name": "nightly", "scopes": scopes});
    send(app, by, &format!("POST {path}"), body).await
}

fn id(created: &TestResponse) -> String {
    created.data()["id"].as_str().expect("an id").to_owned()
}

on_every_backend!(service_account_gets_its_keys_from_others);

/// K3, K5
async fn service_account_gets_its_keys_from_others(backend: Backend) {
    let app = TestApp::on(backend).await;
    let operator = app.operator().await;
    let path = service(&app, "backup", "client").await;
    let created = create(&app, &operator, &path, json!("*")).await;
    assert_eq!(created.status, 201, "{}", created.json);
    assert_eq!((created.header("cache-control"), created.header("location")), ("no-store", ""));
    let mut key = created.data().clone();
    let text = key.as_object_mut().expect("an object").remove("key").expect("the text");
    assert!(text.as_str().expect("a text").starts_with("goat_"));
    let owner = path.split('/').nth(4).expect("an id");
    assert_eq!((&key["owner"], &key["made_by"]), (&json!(owner), &json!(operator.id.to_string())));

    let listed = send(&app, &operator, &format!("GET {path}"), Value::Null).await;
    assert_eq!(listed.data(), &json!([key]));
    assert_eq!(listed.header("cache-control"), "no-store");
    let revoke = format!("DELETE {path}/{}", id(&created));
    assert_eq!(send(&app, &operator, &revoke, Value::Null).await.status, 204);
    let again = send(&app, &operator, &revoke, Value::Null).await;
    assert_eq!(again.failure(), (404, "not-found"));
    let listed = send(&app, &operator, &format!("GET {path}"), Value::Null).await;
    assert_eq!(listed.data(), &json!([]));
}

/// A key that was created on the command line has no maker.
#[tokio::test]
async fn key_by_the_system_has_no_maker() {
    use goat_core::RecentActor;
    use goat_core::key::{NewKey, Scopes};

    let app = TestApp::new().await;
    let admin = app.admin().await;
    let path = service(&app, "backup", "client").await;
    let owner = UserId::parse(path.split('/').nth(4).expect("an id")).expect("an id");
    let new = NewKey { name: "nightly".to_owned(), scopes: Scopes::Role, expires_in: None };
    let created = app.goat.keys().create_for(RecentActor::system("a test"), owner, new).await;
    created.expect("created");
    let listed = send(&app, &admin, &format!("GET {path}"), Value::Null).await;
    assert_eq!(listed.data()[0]["made_by"], Value::Null);
}

on_every_backend!(rank_decides_on_the_keys_of_others);

/// K5: no key for a person, nor for a user that the actor does not outrank.
async fn rank_decides_on_the_keys_of_others(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (admin, operator, client) = (app.admin().await, app.operator().await, app.client().await);
    let equal = service(&app, "equal", "operator").await;
    let unknown = format!("/api/v1/user/{UNKNOWN_ID}/keys");
    for (by, path, expected) in [
        (&client, &equal, (403, "forbidden")),
        (&operator, &unknown, (404, "not-found")),
        (&operator, &equal, (403, "outranked")),
        (&operator, &keys_of(admin.id), (403, "outranked")),
        (&operator, &keys_of(operator.id), (403, "outranked")),
        (&operator, &keys_of(client.id), (409, "invalid-transition")),
        (&admin, &keys_of(client.id), (409, "invalid-transition")),
    ] {
        let response = create(&app, by, path, json!([])).await;
        assert_eq!(response.failure(), expected, "{path}");
    }
    let own = create(&app, &operator, &keys_of(operator.id), json!([])).await;
    let detail = own.json["detail"].as_str().expect("a text");
    assert_eq!(detail, "To create a key of your own, use POST /api/v1/keys.");

    let created = create(&app, &admin, &equal, json!(["user:read"])).await;
    let revoke = format!("DELETE {equal}/{}", id(&created));
    for (line, expected) in [
        (format!("GET {equal}"), (403, "outranked")),
        (revoke.clone(), (403, "outranked")),
        (format!("DELETE {}/{UNKNOWN_ID}", keys_of(operator.id)), (403, "outranked")),
        (format!("GET {unknown}"), (404, "not-found")),
        (format!("DELETE {unknown}/{UNKNOWN_ID}"), (404, "not-found")),
        (format!("DELETE {}/{UNKNOWN_ID}", keys_of(client.id)), (404, "not-found")),
    ] {
        let response = send(&app, &operator, &line, Value::Null).await;
        assert_eq!(response.failure(), expected, "{line}");
    }
    // An actor sees its own keys, as its sessions.
    let own = send(&app, &operator, &format!("GET {}", keys_of(operator.id)), Value::Null).await;
    assert_eq!(own.status, 200);
    assert_eq!(send(&app, &admin, &revoke, Value::Null).await.status, 204);
}

/// The keys of a person can be revoked, so that a leaked one does not wait for its owner.
#[tokio::test]
async fn key_of_a_person_is_revoked_by_an_actor_of_a_higher_rank() {
    let app = TestApp::new().await;
    let (operator, client) = (app.operator().await, app.client().await);
    let body = json!({"name": "own", "scopes": "*"});
    let created = send(&app, &client, "POST /api/v1/keys", body).await;
    let path = keys_of(client.id);
    let listed = send(&app, &operator, &format!("GET {path}"), Value::Null).await;
    assert_eq!(listed.data()[0]["id"], created.data()["id"]);
    let revoke = format!("DELETE {path}/{}", id(&created));
    assert_eq!(send(&app, &operator, &revoke, Value::Null).await.status, 204);
}

on_every_backend!(scopes_are_rights_of_the_actor_and_of_the_role);

/// K5
async fn scopes_are_rights_of_the_actor_and_of_the_role(backend: Backend) {
    let app = TestApp::on(backend).await;
    let operator = app.operator().await;
    let path = service(&app, "backup", "client").await;
    for role in ["client", "operator"] {
        let permission = Permission::new("report:read");
        let grant = app.goat.roles().grant(Actor::system("a test"), role, permission).await;
        grant.expect("granted");
    }
    let unknown = format!("/api/v1/user/{UNKNOWN_ID}/keys");
    for (path, scope, expected) in [
        // Of neither, and before the user is looked up.
        (&unknown, "report:write", (400, "validation")),
        // Of the actor only.
        (&path, "user:read", (400, "validation")),
        (&path, "report:read", (201, "")),
    ] {
        let response = create(&app, &operator, path, json!([scope])).await;
        assert_eq!(response.failure(), expected, "{scope}");
        if expected.0 == 400 {
            assert_eq!(response.fields(), ["scopes"], "{scope}");
        }
    }
}

#[tokio::test]
async fn service_account_has_as_many_keys_as_configured() {
    let app = TestApp::with(|setup| setup.goat.keys_per_user = 1).await;
    let operator = app.operator().await;
    let path = service(&app, "backup", "client").await;
    assert_eq!(create(&app, &operator, &path, json!("*")).await.status, 201);
    assert_eq!(create(&app, &operator, &path, json!("*")).await.failure(), (409, "too-many"));
}

/// G6: a new key needs a recent authentication after the permission, and before path, query and body. The
/// list and a revocation need none.
#[tokio::test]
async fn new_key_needs_a_recent_authentication() {
    let app = TestApp::with(|setup| setup.goat.access_ttl = Duration::from_secs(3600)).await;
    let (operator, client) = (app.operator().await, app.client().await);
    let path = service(&app, "backup", "client").await;
    let created = create(&app, &operator, &path, json!("*")).await;
    app.clock.advance(Duration::from_secs(301));
    let refused = create(&app, &operator, &path, json!("*")).await;
    assert_eq!(refused.failure(), (401, "step-up-required"));
    let refused = create(&app, &client, &path, json!("*")).await;
    assert_eq!(refused.failure(), (403, "forbidden"));
    let request = app.post("/api/v1/user/x/keys?unknown=1").bearer(&operator.token);
    let refused = request.body("text/plain", "x").send().await;
    assert_eq!(refused.failure(), (401, "step-up-required"));
    let listed = send(&app, &operator, &format!("GET {path}"), Value::Null).await;
    assert_eq!(listed.json["meta"]["total"], 1);
    let revoke = format!("DELETE {path}/{}", id(&created));
    assert_eq!(send(&app, &operator, &revoke, Value::Null).await.status, 204);
}

#[tokio::test]
async fn both_ids_are_validated() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    for (path, fields) in [
        (format!("/api/v1/user/x/keys/{UNKNOWN_ID}"), vec!["id"]),
        (format!("/api/v1/user/{UNKNOWN_ID}/keys/x"), vec!["key"]),
        ("/api/v1/user/x/keys/y".to_owned(), vec!["id", "key"]),
        (format!("/api/v1/user/{UNKNOWN_ID}/keys/{UNKNOWN_ID}?a=1"), vec!["a"]),
    ] {
        let response = send(&app, &admin, &format!("DELETE {path}"), Value::Null).await;
        let got = (response.failure(), response.fields());
        assert_eq!(got, ((400, "validation"), fields), "{path}");
    }
}
