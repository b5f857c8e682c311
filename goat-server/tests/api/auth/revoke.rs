//! `POST /api/v1/auth/revoke` (RFC 7009).

use std::time::Duration;

use goat_core::Quota;
use goat_core::testing::forged_key;
use serde_json::json;

use crate::backends::on_every_backend;
use crate::support::app::{TestApp, TestResponse, TestUser};
use crate::support::backend::Backend;

const PATH: &str = "/api/v1/auth/revoke";
const FORM: &str = "application/x-www-form-urlencoded";

async fn revoke(app: &TestApp, form: &str) -> TestResponse {
    app.post(PATH).body(FORM, form.to_owned()).send().await
}

/// Asserts the one success, which shows nothing about the token.
fn assert_done(response: &TestResponse, case: &str) {
    assert_eq!((response.status, response.body.len()), (200, 0), "{case}");
    assert_eq!(response.header("content-type"), "", "{case}");
    assert_eq!(response.header("cache-control"), "no-store", "{case}");
}

async fn refresh(app: &TestApp, user: &TestUser) -> TestResponse {
    let body = json!({"refresh_token": user.refresh_token});
    app.post("/api/v1/auth/refresh").json(&body).send().await
}

on_every_backend!(bearer_ends_the_session_of_an_access_or_refresh_token);

async fn bearer_ends_the_session_of_an_access_or_refresh_token(backend: Backend) {
    let app = TestApp::on(backend).await;
    let other = app.client().await;
    for is_expired in [false, true] {
        for by_access in [true, false] {
            let user = app.client().await;
            if is_expired {
                app.clock.advance(Duration::from_secs(3600));
            }
            let token = if by_access { &user.token } else { &user.refresh_token };
            let form = format!("token_type_hint=access_token&token={token}&client_id=x");
            assert_done(&revoke(&app, &form).await, "the first");
            assert_eq!(refresh(&app, &user).await.failure(), (401, "session-revoked"));
            let used = app.get("/api/v1/user").bearer(&user.token).send().await;
            let expected = if is_expired { "token-expired" } else { "session-revoked" };
            assert_eq!(used.failure(), (401, expected));
            assert_done(&revoke(&app, &form).await, "again");
        }
    }
    assert_eq!(refresh(&app, &other).await.status, 200);
}

on_every_backend!(any_other_text_changes_nothing_and_looks_alike);

/// Not an oracle, and no way to end a session without its token: forged, stripped of its signature, of another
/// kind, or a session's id.
async fn any_other_text_changes_nothing_and_looks_alike(backend: Backend) {
    let app = TestApp::on(backend).await;
    let user = app.client().await;
    let (unsigned, _) = user.token.rsplit_once('.').expect("a signature");
    let mut forged = user.token.clone();
    let place = unsigned.len() + 5;
    let letter = if forged.as_bytes()[place] == b'A' { "B" } else { "A" };
    forged.replace_range(place..=place, letter);
    let sessions = app.get("/api/v1/sessions").bearer(&user.token).send().await;
    let session = sessions.data()[0]["id"].as_str().expect("an id").to_owned();
    for token in ["x", &forged, unsigned, &format!("{unsigned}."), &session, &user.id.to_string()] {
        assert_done(&revoke(&app, &format!("token={token}")).await, token);
    }
    assert_eq!(app.get("/api/v1/user").bearer(&user.token).send().await.status, 200);
}

/// Standard clients send their credentials by HTTP Basic or in the form, with or without a bearer token; goat
/// has no clients, and reads none of it.
#[tokio::test]
async fn client_authentication_is_ignored() {
    let app = TestApp::new().await;
    for header in [None, Some("Basic Zm9vOmJhcg=="), Some("Bearer nonsense")] {
        let user = app.client().await;
        let mut request = app.post(PATH);
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let form = format!("client_id=a&client_secret=b&token={}", user.refresh_token);
        assert_done(&request.body(FORM, form).send().await, "revoked");
        assert_eq!(refresh(&app, &user).await.failure(), (401, "session-revoked"));
    }
}

#[tokio::test]
async fn body_is_a_form_with_one_token() {
    let app = TestApp::new().await;
    for form in ["", "token=", "token_type_hint=access_token", "token=a&token=b"] {
        let response = revoke(&app, form).await;
        assert_eq!(
            (response.failure(), response.fields()),
            ((400, "validation"), vec!["token"]),
            "{form}"
        );
    }
    let json = app.post(PATH).json(&json!({"token": "x"})).send().await;
    assert_eq!(json.failure(), (415, "unsupported-media-type"));
    let detail = json.json["detail"].as_str().expect("a text");
    assert!(detail.contains("application/x-www-form-urlencoded"), "{detail}");
    let large = format!("token={}", "x".repeat(64 * 1024));
    assert_eq!(revoke(&app, &large).await.failure(), (413, "payload-too-large"));
}

/// One bucket by address with the other public routes.
#[tokio::test]
async fn revocation_counts_in_the_public_limit() {
    let app = TestApp::with(|setup| setup.limits.public = Some(Quota::per_minute(2))).await;
    for _ in 0..2 {
        assert_eq!(revoke(&app, "token=x").await.status, 200);
    }
    let refused = revoke(&app, "token=x").await;
    assert_eq!(refused.failure(), (429, "rate-limited"));
    assert_eq!(refused.header("ratelimit"), "\"public\";r=0;t=60");
    assert_eq!(app.get("/.well-known/jwks.json").send().await.status, 429);
}

on_every_backend!(key_is_revoked_by_its_text);

/// K2: the one change of keys that a key makes, and of itself only. A wrong secret changes nothing, and looks
/// alike.
async fn key_is_revoked_by_its_text(backend: Backend) {
    let app = TestApp::on(backend).await;
    let user = app.client().await;
    let create = async || {
        let body = json!({"name": "a", "scopes": "*"});
        let created = app.post("/api/v1/keys").bearer(&user.token).json(&body).send().await;
        created.data()["key"].as_str().expect("the text").to_owned()
    };
    let (key, other) = (create().await, create().await);
    let works = async |key: &str| app.get("/api/v1/user").bearer(key).send().await.status == 200;
    assert!(works(&key).await && works(&other).await);
    let forged = forged_key(&key.as_str().into(), &other.as_str().into());
    let (id, _) = key["goat_".len()..].split_at(26);
    for text in [forged.expose(), &key[..key.len() - 1], &key.to_uppercase(), id] {
        assert_done(&revoke(&app, &format!("token={text}")).await, text);
    }
    assert!(works(&key).await);
    for again in [false, true] {
        assert_done(&revoke(&app, &format!("token={key}")).await, &format!("again: {again}"));
        assert!(!works(&key).await);
    }
    assert!(works(&other).await);
    let listed = app.get("/api/v1/keys").bearer(&user.token).send().await;
    assert_eq!(listed.json["meta"]["total"], 1);
}
