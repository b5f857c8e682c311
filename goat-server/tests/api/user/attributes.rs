//! `PATCH /api/v1/user/attributes` and `PATCH /api/v1/user/{id}/attributes`, and attributes at sign-up.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::send;
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp, TestResponse};
use crate::support::backend::Backend;

const OWN: &str = "PATCH /api/v1/user/attributes";

async fn app(backend: Backend) -> TestApp {
    TestApp::on_with(backend, |setup| {
        setup.goat.self_attributes = vec!["locale".to_owned(), "theme".to_owned()];
    })
    .await
}

async fn shown(app: &TestApp, path: &str, token: &str) -> Value {
    let response = app.get(path).bearer(token).send().await;
    response.data()["attributes"].clone()
}

fn messages(response: &TestResponse) -> Vec<String> {
    assert_eq!(response.failure(), (400, "validation"), "{}", response.json);
    let errors = response.json["errors"].as_array().expect("a list").iter();
    errors
        .map(|error| format!("{} {}", error["field"], error["message"]).replace('"', ""))
        .collect()
}

on_every_backend!(user_changes_own_attributes);

async fn user_changes_own_attributes(backend: Backend) {
    let app = app(backend).await;
    let ann = app.client().await;
    assert_eq!(shown(&app, "/api/v1/user", &ann.token).await, json!({}));
    let response = send(&app, &ann, OWN, json!({"locale": "de-AT", "theme": ["dark", "ü"]})).await;
    let all = json!({"locale": "de-AT", "theme": ["dark", "ü"]});
    assert_eq!(response.data()["attributes"], all);
    assert_eq!(shown(&app, "/api/v1/user", &ann.token).await, all);
    // A number that a parser which is not exact rounds.
    let exact = json!({"theme": null, "locale": 2.771_507_794_182_597_5e-163});
    let response = send(&app, &ann, OWN, exact).await;
    assert_eq!(response.data()["attributes"]["locale"].to_string(), "2.7715077941825975e-163");
    let response = send(&app, &ann, OWN, json!({"locale": 5})).await;
    assert_eq!(response.data()["attributes"], json!({"locale": 5}));
    let response = send(&app, &ann, OWN, json!({})).await;
    assert_eq!(response.data()["attributes"], json!({"locale": 5}));

    let refused = send(&app, &ann, OWN, json!({"locale": "en", "plan": "pro", "id": null})).await;
    let others =
        ["id", "plan"].map(|key| format!("{key} is not an attribute that you may change yourself"));
    assert_eq!(messages(&refused), others);
    assert_eq!(shown(&app, "/api/v1/user", &ann.token).await, json!({"locale": 5}));
}

on_every_backend!(administrator_changes_the_attributes_of_users_below);

/// A1, A2: the permission and the rank decide, as on the other routes that act on a user.
async fn administrator_changes_the_attributes_of_users_below(backend: Backend) {
    let app = app(backend).await;
    let (operator, ann, other) = (app.operator().await, app.client().await, app.operator().await);
    let of = |path: String| format!("PATCH {path}/attributes");
    let body = || json!({"plan": "pro", "seats": 5, "trial": false});
    let response = send(&app, &operator, &of(ann.path()), body()).await;
    assert_eq!(response.data()["attributes"], body());
    assert_eq!(shown(&app, &ann.path(), &operator.token).await, body());
    assert_eq!(shown(&app, "/api/v1/user", &ann.token).await, body());
    let list = app.get("/api/v1/user/list?role=client").bearer(&operator.token).send().await;
    assert_eq!(list.data()[0]["attributes"], body());

    let unknown = "/api/v1/user/01KDWMBY00C8X0F4ZCV7J3T9QH".to_owned();
    for (by, path, failure) in [
        (&operator, other.path(), (403, "outranked")),
        (&operator, operator.path(), (403, "outranked")),
        (&ann, other.path(), (403, "forbidden")),
        (&operator, unknown, (404, "not-found")),
    ] {
        assert_eq!(send(&app, by, &of(path), body()).await.failure(), failure);
    }
    let own = send(&app, &operator, &of(operator.path()), body()).await;
    assert!(own.json["detail"].to_string().contains("PATCH /api/v1/user/attributes"));
}

on_every_backend!(faulty_keys_and_values_are_named);

async fn faulty_keys_and_values_are_named(backend: Backend) {
    let app = app(backend).await;
    let (admin, ann) = (app.admin().await, app.client().await);
    let line = format!("PATCH {}/attributes", ann.path());
    let patch = async |body: Value| send(&app, &admin, &line, body).await;
    let key = "must be a key of 1 to 64 characters of a to z, 0 to 9 and _";
    let value = "must be a string, a number, true, false, null or a list of strings";
    let refused = patch(json!({
        "Plan": 1, "a b\n": 1, "list": [1], "nested": {"a": null}, "ok": 1, "x".repeat(65): 1,
    }));
    let expected = [
        format!("Plan {key}"),
        format!("a\u{fffd}b\u{fffd} {key}"),
        format!("list {value}"),
        format!("nested {value}"),
        format!("{}… {key}", "x".repeat(64)),
    ];
    assert_eq!(messages(&refused.await), expected);

    let bounds = [
        "attributes must have at most 32 keys and 4096 bytes of JSON, with those that the user has",
    ];
    assert_eq!(patch(json!({"a": "b".repeat(4096 - 8)})).await.status, 200);
    assert_eq!(messages(&patch(json!({"c": 1})).await), bounds);
    assert_eq!(messages(&patch(json!({"a": "b".repeat(4096 - 7)})).await), bounds);
    let keys = |count: usize| (0..count).map(|index| (format!("k{index}"), json!(0)));
    let keys = |count: usize| Value::Object(keys(count).collect());
    assert_eq!(patch(json!({"a": null})).await.data()["attributes"], json!({}));
    assert_eq!(patch(keys(32)).await.status, 200);
    assert_eq!(messages(&patch(json!({"more": 1})).await), bounds);
}

on_every_backend!(multi_thread concurrent_patches_of_different_keys_survive);

/// Both requests are read before either writes.
async fn concurrent_patches_of_different_keys_survive(backend: Backend) {
    let app = Arc::new(app(backend).await);
    let (admin, ann) = (app.admin().await, app.client().await);
    for round in 0..10 {
        let start = Arc::new(Barrier::new(3));
        let requests = [
            (ann.token.clone(), "/api/v1/user/attributes".to_owned(), "locale"),
            (ann.token.clone(), "/api/v1/user/attributes".to_owned(), "theme"),
            (admin.token.clone(), format!("{}/attributes", ann.path()), "plan"),
        ]
        .map(|(token, path, key)| {
            let (app, start) = (Arc::clone(&app), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                app.patch(&path).bearer(&token).json(&json!({key: round})).send().await.status
            })
        });
        for request in requests {
            assert_eq!(request.await.expect("no panic"), 200);
        }
        let all = json!({"locale": round, "plan": round, "theme": round});
        assert_eq!(shown(&app, "/api/v1/user", &ann.token).await, all);
    }
}

on_every_backend!(sign_up_takes_own_keys_only);

/// A4: an attribute that the user may not choose is neither dropped nor obeyed.
async fn sign_up_takes_own_keys_only(backend: Backend) {
    let app = app(backend).await;
    let sign_up = async |attributes: Value| {
        let body =
            json!({"email": "ann@example.org", "password": PASSWORD, "attributes": attributes});
        app.post("/api/v1/auth/signup").json(&body).send().await
    };
    let refused = sign_up(json!({"locale": {}, "plan": "pro", "theme": 1})).await;
    assert_eq!(refused.fields(), ["attributes.locale", "attributes.plan"]);
    assert_eq!(sign_up(json!([])).await.fields(), ["attributes"]);
    assert_eq!(sign_up(json!({"locale": "x".repeat(5000)})).await.fields(), ["attributes"]);
    let made = sign_up(json!({"locale": "de", "theme": null})).await;
    assert_eq!(made.data()["attributes"], json!({"locale": "de", "theme": null}));
    let login = json!({"email": "ann@example.org", "password": PASSWORD});
    let response = app.post("/api/v1/auth/login").json(&login).send().await;
    assert_eq!(response.data()["user"]["attributes"], made.data()["attributes"]);
}

/// RFC 7396 names a media type of its own; no other route accepts it.
#[tokio::test]
async fn patches_have_the_media_type_of_json_or_of_merge_patches() {
    let app = app(Backend::Memory).await;
    let ann = app.client().await;
    let send = async |path: &str, media_type: &str| {
        let request = app.request(Method::PATCH, path).bearer(&ann.token);
        request.body(media_type, r#"{"locale": "de"}"#).send().await.status
    };
    for good in [
        "application/json",
        "application/merge-patch+json",
        "Application/Merge-Patch+JSON; charset=utf-8",
    ] {
        assert_eq!(send("/api/v1/user/attributes", good).await, 200, "{good}");
    }
    for bad in
        ["application/json-patch+json", "application/merge-patch+json; charset=utf-16", "text/json"]
    {
        assert_eq!(send("/api/v1/user/attributes", bad).await, 415, "{bad}");
    }
    assert_eq!(send("/api/v1/user/change-email", "application/merge-patch+json").await, 415);
}
