//! Introspection and revocation of tokens, for other services and clients.

use goat_core::session::Origin;
use goat_core::{ErrorKind, Permission, Secret, Status};

use super::support::{
    Backend, Harness, OTHER_PASSWORD, Outcome as _, PASSWORD, on_every_store, system,
};

on_every_store!(
    introspection_shows_the_rights_of_now,
    a_refresh_token_is_inactive_and_is_not_used_up,
    revocation_ends_the_session_of_the_token_alone,
    an_expired_access_token_ends_its_session,
    a_replaced_token_ends_nothing,
    a_text_that_is_no_token_of_a_session_ends_nothing,
);

async fn revoke(harness: &Harness, token: &Secret<String>) {
    let origin = Origin::default();
    harness.goat.revoke_token(token.expose(), &origin).await.expect("always a success");
}

async fn is_active(harness: &Harness, token: &Secret<String>) -> bool {
    harness.goat.introspect(token.expose()).await.expect("an answer").is_some()
}

/// K1, K8: role, permissions and status are those of now.
async fn introspection_shows_the_rights_of_now(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "client").await;
    let introspect = async || harness.goat.introspect(ann.tokens.access_token.expose()).await;
    let found = introspect().await.expect("an answer").expect("active");
    assert_eq!((found.user, found.role.as_str()), (ann.user.id, "client"));
    assert_eq!(found.permissions, []);
    assert_eq!((found.client_id.as_str(), found.amr), ("goat", vec!["pwd".to_owned()]));
    assert!(found.authenticated_at <= found.issued_at && found.issued_at < found.expires_at);

    let users = harness.goat.users();
    users.change_role(system(), ann.user.id, harness.role("operator")).await.expect("promoted");
    let found = introspect().await.expect("an answer").expect("active");
    assert_eq!(found.role.as_str(), "operator");
    assert!(found.permissions.contains(&Permission::new("user:read")));
    users.change_status(system(), ann.user.id, Status::Suspended).await.expect("suspended");
    assert!(introspect().await.expect("an answer").is_none());

    let bea = harness.member("bea", "client").await;
    harness.logout(&bea.tokens).await;
    assert!(!is_active(&harness, &bea.tokens.access_token).await);
    let cleo = harness.member("cleo", "client").await;
    harness.advance(306);
    assert!(!is_active(&harness, &cleo.tokens.access_token).await);
}

async fn a_refresh_token_is_inactive_and_is_not_used_up(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "client").await;
    assert!(!is_active(&harness, &ann.tokens.refresh_token).await);
    assert!(!is_active(&harness, &ann.device_token).await);
    let refreshed = harness.refresh(&ann.tokens).await.expect("not used up");
    assert!(is_active(&harness, &refreshed.tokens.access_token).await);
    // A used one is not a reuse here.
    let again = harness.refresh(&refreshed.tokens).await.expect("the next");
    assert!(!is_active(&harness, &ann.tokens.refresh_token).await);
    harness.refresh(&again.tokens).await.expect("the session continues");
}

/// An access token, a refresh token, and one that was used before.
async fn revocation_ends_the_session_of_the_token_alone(backend: Backend) {
    let harness = Harness::on(backend);
    harness.user("ann", "client").await;
    let other = harness.sign_in("ann").await;
    for used in [0, 1, 2] {
        let session = harness.sign_in("ann").await;
        let tokens = if used == 2 {
            harness.refresh(&session.tokens).await.expect("refreshed").tokens
        } else {
            session.tokens.clone()
        };
        harness.principal(&tokens).await;
        let token = if used == 0 { &tokens.access_token } else { &session.tokens.refresh_token };
        revoke(&harness, token).await;
        assert_eq!(harness.authenticate(&tokens).await.kind(), Some(ErrorKind::SessionRevoked));
        assert_eq!(harness.refresh(&tokens).await.kind(), Some(ErrorKind::SessionRevoked));
        // Again is the same.
        revoke(&harness, token).await;
    }
    harness.principal(&other.tokens).await;
}

async fn an_expired_access_token_ends_its_session(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "client").await;
    harness.advance(3600);
    assert_eq!(harness.authenticate(&ann.tokens).await.kind(), Some(ErrorKind::TokenExpired));
    revoke(&harness, &ann.tokens.access_token).await;
    assert_eq!(harness.refresh(&ann.tokens).await.kind(), Some(ErrorKind::SessionRevoked));

    // An expired refresh token of a session that goes on ends nothing, as at a refresh.
    let bea = harness.member("bea", "client").await;
    harness.advance(100 * 3600);
    let next = harness.refresh(&bea.tokens).await.expect("refreshed");
    harness.advance(100 * 3600);
    revoke(&harness, &bea.tokens.refresh_token).await;
    harness.refresh(&next.tokens).await.expect("the session continues");
}

/// D5: a copy from before a change of the password does not end the session that made the change.
async fn a_replaced_token_ends_nothing(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "client").await;
    let me = harness.principal(&ann.tokens).await;
    let new = OTHER_PASSWORD.into();
    let changed = harness.goat.users().change_password(&me, PASSWORD, &new).await;
    let tokens = changed.expect("changed").value.tokens;
    revoke(&harness, &ann.tokens.access_token).await;
    revoke(&harness, &ann.tokens.refresh_token).await;
    harness.principal(&tokens).await;
    harness.refresh(&tokens).await.expect("the session continues");
}

async fn a_text_that_is_no_token_of_a_session_ends_nothing(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "client").await;
    // Another key, and another letter in the signature.
    let stranger = Harness::on(Backend::memory()).member("ann", "client").await;
    let mut forged = ann.tokens.access_token.expose().clone();
    let middle = forged.len() - 10;
    let letter = if forged.as_bytes()[middle] == b'A' { "B" } else { "A" };
    forged.replace_range(middle..=middle, letter);
    for token in [
        Secret::new(String::new()),
        Secret::new("x".repeat(60_000)),
        Secret::new(forged),
        stranger.tokens.access_token,
        stranger.tokens.refresh_token,
        ann.device_token.clone(),
    ] {
        revoke(&harness, &token).await;
        assert!(!is_active(&harness, &token).await);
    }
    harness.principal(&ann.tokens).await;
}
