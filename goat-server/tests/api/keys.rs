//! `/api/v1/keys`: the API keys of the current user.

use std::time::Duration;

use goat_core::key::{KeyPrefix, PresentedKey};
use goat_core::{KeyId, Quota};
use goat_engines::Redis;
use serde_json::{Value, json};

use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp, TestResponse, TestUser};
use crate::support::backend::Backend;

const PATH: &str = "/api/v1/keys";

/// A well-formed id that does not exist.
const UNKNOWN_ID: &str = "01KDWMBY00C8X0F4ZCV7J3T9QH";

async fn create(app: &TestApp, by: &TestUser, body: Value) -> TestResponse {
    app.post(PATH).bearer(&by.token).json(&body).send().await
}

async fn list(app: &TestApp, by: &TestUser, query: &str) -> TestResponse {
    app.get(&format!("{PATH}{query}")).bearer(&by.token).send().await
}

async fn revoke(app: &TestApp, by: &TestUser, id: &str) -> TestResponse {
    app.delete(&format!("{PATH}/{id}")).bearer(&by.token).send().await
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

on_every_backend!(key_shows_its_text_once);

/// K3: the text is in the answer that created the key, and in no other; the store has its hash.
async fn key_shows_its_text_once(backend: Backend) {
    let app = TestApp::on(backend).await;
    let operator = app.operator().await;
    app.clock.advance(Duration::from_millis(1_250));
    let body = json!({
        "name": "nightly report",
        "scopes": ["user:update", "user:read", "user:read"],
        "expires_in": 3600,
    });
    let created = create(&app, &operator, body).await;
    assert_eq!(created.status, 201, "{}", created.json);
    assert_eq!(created.header("cache-control"), "no-store");
    assert_eq!(created.header("location"), "", "a key has no path of its own");
    let mut key = created.data().clone();
    let secret = key.as_object_mut().expect("an object").remove("key").expect("the text");
    let id = key["id"].clone();
    assert_eq!(
        key,
        json!({
            "id": id,
            "name": "nightly report",
            "scopes": ["user:read", "user:update"],
            "owner": operator.id.to_string(),
            "made_by": operator.id.to_string(),
            "created_at": "2026-01-01T00:00:01.250Z",
            "expires_at": "2026-01-01T01:00:01.250Z",
            "last_used_at": null,
        })
    );
    let presented = PresentedKey::parse(&KeyPrefix::default(), text(&secret)).expect("a key");
    let id = KeyId::parse(text(&id)).expect("a canonical ULID");
    assert_eq!(presented.id(), id);
    let stored = app.stores.stores.keys.find(id).await.expect("a read").expect("it is stored");
    assert!(stored.stored.hash.is_same_as(&presented.hash()));

    let listed = list(&app, &operator, "").await;
    assert_eq!(listed.header("cache-control"), "no-store");
    assert_eq!(listed.data(), &json!([key]));
    let revoked = revoke(&app, &operator, &id.to_string()).await;
    assert_eq!((revoked.status, revoked.body.len()), (204, 0));
    for later in [listed, revoked, list(&app, &operator, "").await] {
        let shown = format!("{:?} {}", later.headers, later.json);
        assert!(!shown.contains(&text(&secret)[31..]), "{shown}");
    }
}

on_every_backend!(keys_are_listed_newest_first_and_revoked_by_their_owner);

/// R8: a key of another user is as one that does not exist.
async fn keys_are_listed_newest_first_and_revoked_by_their_owner(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (client, other) = (app.client().await, app.client().await);
    let mut ids = Vec::new();
    for number in 0..5 {
        app.clock.advance(Duration::from_secs(1));
        let body = json!({"name": format!("key {number}"), "scopes": "*"});
        let created = create(&app, &client, body).await;
        assert_eq!(created.data()["scopes"], "*");
        assert_eq!(created.data()["expires_at"], format!("2027-01-01T00:00:0{}.000Z", number + 1));
        ids.insert(0, text(&created.data()["id"]).to_owned());
    }
    let mut seen = Vec::new();
    for page in 1..=3 {
        let response = list(&app, &client, &format!("?page={page}&limit=2")).await;
        let meta = json!({"page": page, "limit": 2, "total": 5, "total_pages": 3});
        assert_eq!(response.json["meta"], meta);
        let keys = response.data().as_array().expect("a list");
        seen.extend(keys.iter().map(|key| text(&key["id"]).to_owned()));
    }
    assert_eq!(seen, ids);
    for query in ["?page=0", "?limit=101", "?owner=me", "?page=101&limit=100"] {
        assert_eq!(list(&app, &client, query).await.failure(), (400, "validation"), "{query}");
    }
    assert_eq!(list(&app, &other, "").await.data(), &json!([]));
    for id in [UNKNOWN_ID, &ids[2]] {
        assert_eq!(revoke(&app, &other, id).await.failure(), (404, "not-found"));
    }
    assert_eq!(revoke(&app, &client, "x").await.fields(), ["id"]);
    assert_eq!(revoke(&app, &client, &ids[2]).await.status, 204);
    assert_eq!(revoke(&app, &client, &ids[2]).await.failure(), (404, "not-found"));
    let left = list(&app, &client, "").await;
    assert_eq!(left.json["meta"]["total"], 4);
}

on_every_backend!(members_of_a_new_key_are_checked);

/// K5
async fn members_of_a_new_key_are_checked(backend: Backend) {
    let app = TestApp::on(backend).await;
    let operator = app.operator().await;
    let permissions: Vec<_> = (0..101).map(|number| format!("user:v{number}")).collect();
    let long = "x".repeat(101);
    for (body, fields) in [
        (json!({}), vec!["name", "scopes"]),
        (json!({"name": "", "scopes": "*"}), vec!["name"]),
        (json!({"name": long, "scopes": "*"}), vec!["name"]),
        (json!({"name": "a\nb", "scopes": "*"}), vec!["name"]),
        (json!({"name": "a", "scopes": "all"}), vec!["scopes"]),
        (json!({"name": "a", "scopes": null}), vec!["scopes"]),
        (json!({"name": "a", "scopes": {}}), vec!["scopes"]),
        (json!({"name": "a", "scopes": permissions}), vec!["scopes"]),
        (
            json!({"name": "a", "scopes": ["user:read", "User:read", 5]}),
            vec!["scopes[1]", "scopes[2]"],
        ),
        (json!({"name": "a", "scopes": ["*"]}), vec!["scopes[0]"]),
        (json!({"name": "a", "scopes": ["user:read", "user:delete"]}), vec!["scopes"]),
        (json!({"name": "a", "scopes": ["full_access"]}), vec!["scopes"]),
        (json!({"name": "a", "scopes": "*", "expires_in": 0}), vec!["expires_in"]),
        (json!({"name": "a", "scopes": "*", "expires_in": 31_536_001}), vec!["expires_in"]),
        (json!({"name": "a", "scopes": "*", "expires_in": "1h"}), vec!["expires_in"]),
        (json!({"name": "a", "scopes": "*", "expires_in": null}), vec!["expires_in"]),
        (json!({"name": "a", "scopes": "*", "owner": UNKNOWN_ID}), vec!["owner"]),
        (
            json!({"name": "", "scopes": ["a:b"], "expires_in": 40_000_000}),
            vec!["name", "scopes", "expires_in"],
        ),
    ] {
        let response = create(&app, &operator, body.clone()).await;
        let got = (response.failure(), response.fields());
        assert_eq!(got, ((400, "validation"), fields), "{body}");
    }
    assert_eq!(list(&app, &operator, "").await.json["meta"]["total"], 0);
    for scopes in [json!([]), json!("*"), json!(["user:read"])] {
        let body =
            json!({"name": "\u{1f510}".repeat(100), "scopes": scopes, "expires_in": 31_536_000});
        let created = create(&app, &operator, body).await;
        assert_eq!(created.data()["scopes"], scopes);
    }
}

on_every_backend!(user_has_as_many_keys_as_configured);

async fn user_has_as_many_keys_as_configured(backend: Backend) {
    let app = TestApp::on_with(backend, |setup| setup.goat.keys_per_user = 1).await;
    let client = app.client().await;
    let body = || json!({"name": "a", "scopes": "*"});
    let first = create(&app, &client, body()).await;
    let refused = create(&app, &client, body()).await;
    assert_eq!(refused.failure(), (409, "too-many"));
    // The body comes first.
    let invalid = create(&app, &client, json!({"name": "a", "scopes": ["a:b"]})).await;
    assert_eq!(invalid.failure(), (400, "validation"));
    assert_eq!(revoke(&app, &client, text(&first.data()["id"])).await.status, 204);
    assert_eq!(create(&app, &client, body()).await.status, 201);
}

/// G6: a new key needs a recent authentication, which comes before query and body; the list and a revocation
/// need none.
#[tokio::test]
async fn new_key_needs_a_recent_authentication() {
    let app = TestApp::with(|setup| setup.goat.access_ttl = Duration::from_secs(3600)).await;
    let client = app.client().await;
    let body = json!({"name": "a", "scopes": "*"});
    app.clock.advance(Duration::from_secs(300));
    let created = create(&app, &client, body.clone()).await;
    assert_eq!(created.status, 201);
    app.clock.advance(Duration::from_secs(1));
    let refused = create(&app, &client, body).await;
    assert_eq!(refused.failure(), (401, "step-up-required"));
    let challenge = refused.header("www-authenticate");
    let expected =
        r#"Bearer realm="goat", error="insufficient_user_authentication", max_age="300""#;
    assert_eq!(challenge, expected);
    let path = format!("{PATH}?unknown=1");
    let request = app.post(&path).bearer(&client.token).body("text/plain", "x");
    assert_eq!(request.send().await.failure(), (401, "step-up-required"));
    assert_eq!(list(&app, &client, "").await.status, 200);
    assert_eq!(revoke(&app, &client, text(&created.data()["id"])).await.status, 204);
}

/// D1: a revocation counts in `session-control`, so that an exhausted limit of the user does not prevent it;
/// the other calls count per user.
#[tokio::test]
async fn revocation_counts_per_session() {
    let app = TestApp::with(|setup| {
        setup.limits.user = Some(Quota::per_minute(2));
        setup.limits.session_control = Some(Quota::per_minute(1));
    })
    .await;
    let client = app.client().await;
    let created = create(&app, &client, json!({"name": "a", "scopes": "*"})).await;
    assert!(created.header("ratelimit").contains(r#""user";r=1"#));
    assert!(list(&app, &client, "").await.header("ratelimit").contains(r#""user";r=0"#));
    assert_eq!(list(&app, &client, "").await.failure(), (429, "rate-limited"));
    let revoked = revoke(&app, &client, text(&created.data()["id"])).await;
    assert_eq!(revoked.status, 204);
    assert!(revoked.header("ratelimit").contains(r#""session-control";r=0"#));
    assert_eq!(revoke(&app, &client, UNKNOWN_ID).await.failure(), (429, "rate-limited"));
}

/// `GOAT_KEYS=false`
#[tokio::test]
async fn routes_of_keys_do_not_exist_where_they_are_switched_off() {
    let app = TestApp::with(|setup| setup.goat.keys = false).await;
    let admin = app.admin().await;
    let user = format!("/api/v1/user/{}/keys", admin.id);
    for line in [
        format!("POST {PATH}"),
        format!("GET {PATH}"),
        format!("PATCH {PATH}"),
        format!("DELETE {PATH}/{UNKNOWN_ID}"),
        format!("POST {user}"),
        format!("GET {user}"),
        format!("DELETE {user}/{UNKNOWN_ID}"),
    ] {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let request = app.request(method.parse().expect("a method"), path);
        let response = request.bearer(&admin.token).send().await;
        assert_eq!(response.failure(), (404, "not-found"), "{line}");
    }
}

on_every_backend!(new_password_counts_the_keys_and_leaves_them);

async fn new_password_counts_the_keys_and_leaves_them(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    for number in 0..3 {
        let body = json!({"name": format!("key {number}"), "scopes": "*"});
        assert_eq!(create(&app, &client, body).await.status, 201);
    }
    let body = json!({"current_password": PASSWORD, "new_password": "seven lamps over the quay"});
    let request = app.patch("/api/v1/user/change-password").bearer(&client.token);
    let changed = request.json(&body).send().await;
    assert_eq!((changed.status, &changed.data()["keys"]), (200, &json!(3)));
    let token = text(&changed.data()["access_token"]);
    let listed = app.get(PATH).bearer(token).send().await;
    assert_eq!(listed.json["meta"]["total"], 3);
}

/// K9: Redis holds nothing of a key, so that one that is emptied or older revives none.
#[tokio::test]
async fn emptied_redis_revives_no_key() {
    let app = TestApp::on(Backend::PostgresAndRedis).await;
    let second = TestApp::over(app.stores.second_node(), |setup| setup.clock = app.clock.clone());
    let second = second.await;
    let client = app.client().await;
    let created = create(&app, &client, json!({"name": "a", "scopes": "*"})).await;
    let (id, key) = (text(&created.data()["id"]), text(&created.data()["key"]));
    let used = async |app: &TestApp| {
        let response = app.get("/api/v1/user").bearer(key).send().await;
        (response.status, response.code().to_owned())
    };
    for app in [&app, &second, &app, &second] {
        assert_eq!(used(app).await.0, 200);
    }
    let redis = Redis::shared();
    let pattern = format!("{}:*", app.stores.prefix().expect("a prefix"));
    let names = redis.cli(&["KEYS", &pattern]);
    assert!(!names.is_empty() && !names.contains(id), "{names}");
    assert_eq!(revoke(&app, &client, id).await.status, 204);
    for name in redis.cli(&["KEYS", &pattern]).lines() {
        redis.cli(&["DEL", name]);
    }
    let invalid = (401, "invalid-token".to_owned());
    assert_eq!((used(&app).await, used(&second).await), (invalid.clone(), invalid));
}
