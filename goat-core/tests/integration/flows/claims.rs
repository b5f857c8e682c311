//! Claims of the application and attributes in access tokens (J4).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use goat_core::auth::{SignUp, TokenPair};
use goat_core::session::Origin;
use goat_core::token::{TokenKeys, TokenSettings, Verifier};
use goat_core::user::AttributePatch;
use goat_core::{Goat, Stores, User};
use serde_json::{Value, json};

use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, PASSWORD, address, email, login, refresh, system,
};

async fn goat_with(claims: impl Fn(&User) -> Value + Send + Sync + 'static) -> Goat {
    let goat = Goat::builder(Stores::memory(), TokenKeys::generate()).claims(claims);
    let goat = goat.build().expect("good settings");
    let (email, password) = (email("ann"), PASSWORD.into());
    let request = SignUp { email, password: Some(password), origin: Origin::default() };
    goat.sign_up(request).await.expect("signed up");
    goat
}

fn payload(tokens: &TokenPair) -> Value {
    let token = tokens.access_token.expose();
    let payload = token.split('.').nth(1).expect("a payload");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64");
    serde_json::from_slice(&payload).expect("JSON")
}

#[tokio::test]
async fn tokens_of_login_refresh_and_a_changed_password_have_them() {
    let goat = goat_with(|user| json!({ "tenant": user.email.domain(), "seats": [1, 2] })).await;
    let signed_in = login(&goat, address("ann"), PASSWORD).await.expect("signed in");
    let refreshed = refresh(&goat, &signed_in.tokens.refresh_token).await.expect("rotated").tokens;
    let me = goat.authenticate_token(refreshed.access_token.expose()).await.expect("valid");
    let changed = goat
        .users()
        .change_password(&me, PASSWORD, &OTHER_PASSWORD.into(), &Origin::default())
        .await;
    let changed = changed.expect("changed").value.tokens;
    for tokens in [&signed_in.tokens, &refreshed, &changed] {
        let payload = payload(tokens);
        assert_eq!(payload["tenant"], "example.org");
        assert_eq!(payload["seats"], json!([1, 2]));
        assert_eq!(payload["sub"], signed_in.user.id.to_string());
    }
}

/// A rejected claim locks out no user: the token is signed without any.
#[tokio::test]
async fn reserved_names_and_long_claims_are_omitted() {
    for claims in [
        json!({ "sub": "root", "tenant": "t" }),
        json!({ "permissions": ["full_access"], "tenant": "t" }),
        json!({ "goat_attributes": {}, "tenant": "t" }),
        json!({ "tenant": "t".repeat(1024) }),
        json!("tenant"),
    ] {
        let goat = goat_with(move |_| claims.clone()).await;
        let signed_in = login(&goat, address("ann"), PASSWORD).await.expect("signed in");
        let payload = payload(&signed_in.tokens);
        assert_eq!(payload["sub"], signed_in.user.id.to_string());
        assert!(payload.get("tenant").is_none(), "{payload}");
        assert!(payload.get("permissions").is_none(), "{payload}");
        let token = signed_in.tokens.access_token.expose();
        goat.authenticate_token(token).await.expect("a valid token");
    }
}

/// As many attributes as fit, in the order of the setting; a service reads them offline.
#[tokio::test]
async fn tokens_carry_the_attributes_of_the_setting() {
    let harness = Harness::with(Backend::memory(), |settings| {
        settings.token_attributes = ["plan", "note", "teams"].map(str::to_owned).to_vec();
    });
    let ann = harness.member("ann", "client").await;
    assert!(payload(&ann.tokens).get("goat_attributes").is_none());
    let users = harness.goat.users();
    let note = "n".repeat(2000);
    let change = json!({ "plan": "pro", "note": note, "teams": ["a", "ü"], "secret": "canary" });
    let change = AttributePatch::parse(change).expect("a patch");
    users.change_attributes(system(), ann.user.id, change).await.expect("changed");
    let tokens = harness.refresh(&ann.tokens).await.expect("rotated").tokens;
    let carried = json!({ "plan": "pro", "teams": ["a", "ü"] });
    assert_eq!(payload(&tokens)["goat_attributes"], carried);
    let settings = TokenSettings::default();
    let keys = harness.goat.jwks().to_string();
    let verifier = Verifier::with_clock(keys, settings, Arc::new(harness.clock.clone()));
    let seen = verifier.expect("a verifier").verify(tokens.access_token.expose());
    let seen = seen.expect("a valid token").attributes().clone();
    assert_eq!(serde_json::to_value(&seen).expect("JSON"), carried);
    harness.principal(&tokens).await;
}
