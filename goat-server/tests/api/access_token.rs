//! Access tokens: any defect is a 401. The tests sign with the server's key, so that the defect is the
//! only reason for the rejection.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use goat_core::Secret;
use goat_core::token::TokenKeys;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

use crate::backends::on_every_backend;
use crate::support::app::{TestApp, TestResponse, TestUser};
use crate::support::backend::Backend;

/// The server's signing secret.
const SECRET: &[u8] = b"yJ2kq0vR8sXw3nTz6bHc1mLf9dGp5aQe";
/// Another secret.
const OTHER: &[u8] = b"Qe5aGp9dLf1mHc6bTz3nXw8sR0vq2kyJ";

fn keys(secrets: &[&[u8]]) -> TokenKeys {
    let secrets = secrets.iter().map(|secret| Secret::new(secret.to_vec())).collect();
    TokenKeys::hs256(secrets).expect("keys")
}

/// The header and the payload of a token.
fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64"));
    let mut part = || serde_json::from_slice(&parts.next().expect("a part")).expect("JSON");
    (part(), part())
}

/// Signs a header and a payload with the server's key.
fn sign(header: &str, payload: &str) -> String {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", encode(header), encode(payload));
    let key = EncodingKey::from_secret(SECRET).expect("a key");
    let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("a signature");
    format!("{message}.{signature}")
}

async fn app() -> (TestApp, TestUser) {
    app_on(Backend::Memory).await
}

async fn app_on(backend: Backend) -> (TestApp, TestUser) {
    let app = TestApp::on_with(backend, |setup| setup.keys = keys(&[SECRET])).await;
    let client = app.client().await;
    (app, client)
}

async fn show(app: &TestApp, token: &str) -> TestResponse {
    app.get("/api/v1/user").bearer(token).send().await
}

async fn assert_rejected(app: &TestApp, token: &str, why: &str) {
    let response = show(app, token).await;
    assert_eq!(response.failure(), (401, "invalid-token"), "{why}");
    assert_eq!(response.header("cache-control"), "no-store", "{why}");
    let challenge = response.header("www-authenticate");
    let expected = r#"Bearer realm="goat", error="invalid_token", error_description=""#;
    assert!(challenge.starts_with(expected), "{why}: {challenge}");
}

/// Shows that the rejections below are due to the defects.
#[tokio::test]
async fn tokens_signed_by_the_test_are_valid() {
    let (app, client) = app().await;
    let (header, payload) = parts(&client.token);
    let forged = sign(&header.to_string(), &payload.to_string());
    assert_eq!(show(&app, &forged).await.data()["id"], client.id.to_string());
}

/// J1, J2, J3
#[tokio::test]
async fn header_does_not_choose_the_verification() {
    let (app, client) = app().await;
    let (header, payload) = parts(&client.token);
    let payload = payload.to_string();
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("NONE")),
        ("alg", json!("nOnE")),
        ("alg", json!("")),
        ("alg", json!("HS512")),
        ("alg", json!("hs256")),
        ("alg", json!("RS256")),
        ("alg", json!("EdDSA")),
        ("alg", json!(["HS256"])),
        ("alg", json!(null)),
        ("kid", json!("another")),
        ("kid", json!("../../etc/passwd")),
        ("kid", json!(1)),
        ("typ", json!("JWT")),
        ("typ", json!("rt+jwt")),
        ("typ", json!(null)),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
    ] {
        let mut header = header.clone();
        header[name] = value;
        let header = header.to_string();
        assert_rejected(&app, &sign(&header, &payload), &header).await;
    }
    for name in ["alg", "typ", "kid"] {
        let mut header = header.clone();
        header.as_object_mut().expect("an object").remove(name).expect(name);
        assert_rejected(&app, &sign(&header.to_string(), &payload), name).await;
    }
    let twice = header.to_string().replacen('{', "{\"alg\":\"none\",", 1);
    assert_rejected(&app, &sign(&twice, &payload), "alg twice").await;
}

/// J2
#[tokio::test]
async fn keys_and_key_urls_in_the_header_are_ignored() {
    let (app, client) = app().await;
    let (header, payload) = parts(&client.token);
    for (name, value) in [
        ("jku", json!("http://127.0.0.1:9/keys")),
        ("x5u", json!("http://127.0.0.1:9/chain")),
        ("x5c", json!(["MIIB"])),
        ("jwk", json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(OTHER)})),
    ] {
        let mut header = header.clone();
        header[name] = value;
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(payload.to_string())
        );
        let key = EncodingKey::from_secret(OTHER).expect("a key");
        let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("one");
        assert_rejected(&app, &format!("{message}.{signature}"), name).await;
    }
}

/// J1
#[tokio::test]
async fn wrong_or_missing_signature_is_rejected() {
    let (app, client) = app().await;
    let (message, signature) = client.token.rsplit_once('.').expect("three parts");
    let unsigned = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
    let payload = message.split_once('.').expect("two parts").1;
    let other = if signature.starts_with('A') { "B" } else { "A" };
    for (why, token) in [
        ("empty", format!("{message}.")),
        ("absent", message.to_owned()),
        ("cut", format!("{message}.{}", &signature[1..])),
        ("another", format!("{message}.{other}{}", &signature[1..])),
        ("none", format!("{unsigned}.{payload}.")),
        ("four parts", format!("{message}.{signature}.")),
        ("padded", format!("{message}.{signature}=")),
    ] {
        assert_rejected(&app, &token, why).await;
    }
}

/// J4
#[tokio::test]
async fn every_claim_is_required_and_typed() {
    let (app, client) = app().await;
    let (header, payload) = parts(&client.token);
    let header = header.to_string();
    let names = ["iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp", "client_id", "auth_time"];
    for name in names {
        let mut without = payload.clone();
        without.as_object_mut().expect("an object").remove(name).expect(name);
        assert_rejected(&app, &sign(&header, &without.to_string()), name).await;
        for value in [json!(null), json!(true), json!([]), json!({}), json!(-1), json!("")] {
            let mut wrong = payload.clone();
            wrong[name] = value;
            let wrong = wrong.to_string();
            assert_rejected(&app, &sign(&header, &wrong), &wrong).await;
        }
        let twice =
            payload.to_string().replacen('{', &format!("{{\"{name}\":{},", payload[name]), 1);
        assert_rejected(&app, &sign(&header, &twice), &twice).await;
    }
    for (name, value) in [
        ("iss", json!("Goat")),
        ("aud", json!("another")),
        ("aud", json!(["goat-api", "another"])),
        ("aud", payload["iss"].clone()),
        ("client_id", json!(null)),
        ("auth_time", json!("1767225600")),
        ("sub", json!(client.id.to_string().to_lowercase())),
        ("exp", json!(payload["exp"].to_string())),
        ("exp", json!(1e300)),
        ("nbf", json!("1767225600")),
    ] {
        let mut wrong = payload.clone();
        wrong[name] = value;
        let wrong = wrong.to_string();
        assert_rejected(&app, &sign(&header, &wrong), &wrong).await;
    }
}

on_every_backend!(session_must_exist_and_belong_to_the_user);

/// J4
async fn session_must_exist_and_belong_to_the_user(backend: Backend) {
    let (app, client) = app_on(backend).await;
    let other_user = app.client().await;
    let (header, payload) = parts(&client.token);
    for (name, value) in [
        ("sub", other_user.id.to_string()),
        ("sid", other_user.session.to_string()),
        ("sub", "01KDWMBY00C8X0F4ZCV7J3T9QH".to_owned()),
        ("sid", "01KDWMBY00C8X0F4ZCV7J3T9QH".to_owned()),
    ] {
        let mut forged = payload.clone();
        forged[name] = json!(value);
        let response = show(&app, &sign(&header.to_string(), &forged.to_string())).await;
        assert_eq!(response.failure(), (401, "session-revoked"), "{name}");
    }
}

/// J3
#[tokio::test]
async fn access_and_refresh_tokens_are_not_interchangeable() {
    let (app, client) = app().await;
    assert_rejected(&app, &client.refresh_token, "a refresh token").await;
    let body = json!({"refresh_token": client.token});
    let response = app.post("/api/v1/auth/refresh").json(&body).send().await;
    assert_eq!(response.failure(), (401, "invalid-token"));
}

/// J5
#[tokio::test]
async fn times_have_a_leeway_of_five_seconds() {
    let (app, client) = app().await;
    let (header, payload) = parts(&client.token);
    let now = payload["iat"].as_i64().expect("seconds");
    let shifted = |by: i64| {
        let mut later = payload.clone();
        for name in ["iat", "nbf"] {
            later[name] = json!(now + by);
        }
        sign(&header.to_string(), &later.to_string())
    };
    assert_eq!(show(&app, &shifted(5)).await.status, 200);
    assert_rejected(&app, &shifted(6), "not yet").await;
    app.clock.advance(Duration::from_millis(304_999));
    assert_eq!(show(&app, &client.token).await.status, 200);
    app.clock.advance(Duration::from_millis(1));
    let expired = show(&app, &client.token).await;
    assert_eq!(expired.failure(), (401, "token-expired"));
    let challenge = expired.header("www-authenticate");
    assert!(challenge.contains(r#"error="invalid_token""#), "{challenge}");
}

/// J7
#[tokio::test]
async fn first_key_signs_and_all_keys_verify() {
    let before = app().await.1;
    let rotated = TestApp::with(|setup| setup.keys = keys(&[OTHER, SECRET])).await;
    let client = rotated.client().await;
    assert_eq!(show(&rotated, &client.token).await.status, 200);
    let (header, payload) = parts(&client.token);
    let (old_header, _) = parts(&before.token);
    assert_ne!(header["kid"], old_header["kid"], "the first signs");
    // Signed with the second key, for a session of this app.
    let second = sign(&old_header.to_string(), &payload.to_string());
    assert_eq!(show(&rotated, &second).await.status, 200);
    // Keys are found by `kid` only.
    assert_rejected(&rotated, &sign(&header.to_string(), &payload.to_string()), "wrong kid").await;
    let removed = TestApp::with(|setup| setup.keys = keys(&[OTHER])).await;
    assert_rejected(&removed, &second, "its key was removed").await;
}

/// J8
#[tokio::test]
async fn malformed_authorization_headers_are_rejected() {
    let (app, client) = app().await;
    let long = |length: usize| format!("Bearer {}", "a".repeat(length - 7));
    for value in [long(8192), long(8193), long(30_000)] {
        let response = app.get("/api/v1/user").header("authorization", &value).send().await;
        assert_eq!(response.failure(), (401, "invalid-token"), "{}", value.len());
    }
    for value in [
        "Bearer".to_owned(),
        format!("Bearer {} x", client.token),
        format!("Bearer {},{}", client.token, client.token),
        format!("Bearer\t{}", client.token),
        format!("Bearer {}==", client.token),
    ] {
        let response = app.get("/api/v1/user").header("authorization", &value).send().await;
        assert_eq!(response.failure(), (401, "invalid-token"), "{value}");
    }
    for value in ["Basic YTpi", "", "Token x", client.token.as_str()] {
        let response = app.get("/api/v1/user").header("authorization", value).send().await;
        assert_eq!(response.failure(), (401, "unauthenticated"), "{value}");
        assert_eq!(response.header("www-authenticate"), r#"Bearer realm="goat""#);
        assert_eq!(response.header("cache-control"), "no-store");
    }
    for scheme in ["bearer", "BEARER", "Bearer  "] {
        let value = format!("{scheme} {}", client.token);
        let response = app.get("/api/v1/user").header("authorization", &value).send().await;
        assert_eq!(response.status, 200, "{scheme}");
    }
}

/// J8: base64 with another encoding of the same bytes.
#[tokio::test]
async fn stray_bits_in_base64_are_rejected() {
    let (app, client) = app().await;
    let (message, signature) = client.token.rsplit_once('.').expect("three parts");
    // 32 bytes leave two bits of the last of 43 characters unused.
    let last = signature.chars().last().expect("43 characters");
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let index = alphabet.find(last).expect("one of them");
    let stray = alphabet.chars().nth(index + 1).expect("it is even");
    let token = format!("{message}.{}{stray}", &signature[..signature.len() - 1]);
    assert_eq!(show(&app, &client.token).await.status, 200);
    assert_rejected(&app, &token, "stray bits").await;
}

/// J8
#[tokio::test]
async fn token_is_read_from_the_authorization_header_only() {
    let (app, client) = app().await;
    let path = format!("/api/v1/user?access_token={}", client.token);
    assert_eq!(app.get(&path).send().await.failure(), (401, "unauthenticated"));
    let known = app.get(&path).bearer(&client.token).send().await;
    assert_eq!((known.failure(), known.fields()), ((400, "validation"), vec!["access_token"]));
    assert!(!known.json.to_string().contains(&client.token));
    let cookie = format!("access_token={}", client.token);
    let response = app.get("/api/v1/user").header("cookie", &cookie).send().await;
    assert_eq!(response.failure(), (401, "unauthenticated"));
    let body = format!("access_token={}", client.token);
    let form = app.post("/api/v1/auth/logout").body("application/x-www-form-urlencoded", body);
    assert_eq!(form.send().await.failure(), (401, "unauthenticated"));
}
