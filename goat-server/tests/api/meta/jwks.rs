//! `GET /.well-known/jwks.json`.

use goat_core::Secret;
use goat_core::token::TokenKeys;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::support::app::TestApp;

/// RFC 7517: the document is all that a verifier needs.
#[tokio::test]
async fn published_keys_verify_tokens() {
    let app = TestApp::new().await;
    let client = app.client().await;
    let response = app.get("/.well-known/jwks.json").send().await;
    assert_eq!((response.status, response.header("content-type")), (200, "application/json"));
    let [key] = response.json["keys"].as_array().expect("a list").as_slice() else {
        panic!("one key: {}", response.json)
    };
    let names: Vec<_> = key.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x"], "and no member of the private key");
    assert_eq!(
        [&key["alg"], &key["crv"], &key["kty"], &key["use"]],
        ["EdDSA", "Ed25519", "OKP", "sig"]
    );
    let header = jsonwebtoken::decode_header(&client.token).expect("a header");
    assert_eq!(header.kid.as_deref(), key["kid"].as_str());

    let public = DecodingKey::from_ed_components(key["x"].as_str().expect("x")).expect("a key");
    let mut rules = Validation::new(Algorithm::EdDSA);
    // jsonwebtoken reads the system clock, not that of the test.
    (rules.validate_exp, rules.validate_aud) = (false, false);
    let verify = |token: &str| jsonwebtoken::decode::<Value>(token, &public, &rules);
    let claims = verify(&client.token).expect("a good signature").claims;
    assert_eq!(claims["sub"], client.id.to_string());
    let (signed, signature) = client.token.rsplit_once('.').expect("a signature");
    let other = app.admin().await.token;
    let (other, _) = other.rsplit_once('.').expect("a signature");
    assert_ne!(signed, other);
    verify(&format!("{other}.{signature}")).expect_err("the signature of another token");
}

#[tokio::test]
async fn symmetric_keys_are_not_published() {
    let keys = TokenKeys::hs256(vec![Secret::new((0..64).collect())]).expect("a secret");
    let app = TestApp::with(|setup| setup.keys = keys).await;
    let client = app.client().await;
    assert_eq!(app.get("/.well-known/jwks.json").send().await.json, json!({"keys": []}));
    assert_eq!(app.get("/api/v1/user").bearer(&client.token).send().await.status, 200);
}
