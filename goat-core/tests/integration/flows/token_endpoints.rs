//! Introspection and revocation of tokens and API keys, for other services and clients.

use goat_core::auth::SignedIn;
use goat_core::event::EventKind;
use goat_core::key::{NewKey, Scopes};
use goat_core::session::Origin;
use goat_core::testing::{Point, forged_key};
use goat_core::{ErrorKind, KeyId, Permission, Secret, Status};

use super::support::{
    Backend, Harness, OTHER_PASSWORD, Outcome as _, PASSWORD, on_every_store, system,
};

on_every_store!(
    introspection_shows_the_rights_of_now,
    a_refresh_token_is_inactive_and_is_not_used_up,
    revocation_ends_the_session_of_the_token_alone,
    an_expired_access_token_ends_its_session,
    a_replaced_token_ends_nothing,
    a_token_is_revoked_by_two_calls_at_once,
    a_text_that_is_no_token_of_a_session_ends_nothing,
    a_key_is_active_with_its_present_rights,
    any_other_key_is_inactive_and_revokes_nothing,
    a_key_is_revoked_by_its_text,
    a_revoked_key_is_invalid_on_another_node,
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
    assert_eq!((found.user, found.role), (ann.user.id, Some(harness.role("client"))));
    assert_eq!(found.permissions, []);
    assert_eq!((found.client_id.as_deref(), found.key), (Some("goat"), None));
    assert_eq!(found.amr, ["pwd"]);
    assert!(found.authenticated_at <= Some(found.issued_at));
    assert!(Some(found.issued_at) < found.expires_at);

    let users = harness.goat.users();
    users.change_role(system(), ann.user.id, harness.role("operator")).await.expect("promoted");
    let found = introspect().await.expect("an answer").expect("active");
    assert_eq!(found.role, Some(harness.role("operator")));
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
    let changed =
        harness.goat.users().change_password(&me, PASSWORD, &new, &Origin::default()).await;
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

async fn key_of(harness: &Harness, owner: &SignedIn, scopes: Scopes) -> (KeyId, Secret<String>) {
    let me = harness.principal(&owner.tokens).await;
    let recent = harness.goat.require_recent(&me).await.expect("it is recent");
    let new = NewKey { name: "a key".to_owned(), scopes, expires_in: None };
    let created = harness.goat.keys().create(recent, new).await.expect("it is allowed");
    (created.key.id, created.secret)
}

/// Both succeed, whichever ends the session.
async fn a_token_is_revoked_by_two_calls_at_once(backend: Backend) {
    let harness = Harness::on(backend);
    for (number, point) in Point::ALL.into_iter().enumerate() {
        let ann = harness.member(&format!("ann{number}"), "client").await;
        let held = harness.failpoints.hold("sessions.end", point);
        let (goat, token) = (harness.goat.clone(), ann.tokens.access_token.clone());
        let first =
            tokio::spawn(
                async move { goat.revoke_token(token.expose(), &Origin::default()).await },
            );
        held.reached().await;
        revoke(&harness, &ann.tokens.access_token).await;
        held.release();
        first.await.expect("no panic").expect("always a success");
        let outcome = harness.authenticate(&ann.tokens).await;
        assert_eq!(outcome.kind(), Some(ErrorKind::SessionRevoked));
    }
}

/// K1, K8: a key is introspected with the rights that it has now: those of its scopes that the role has.
async fn a_key_is_active_with_its_present_rights(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "operator").await;
    let scopes = Scopes::only(["user:read", "user:update"].map(Permission::new)).expect("scopes");
    let (id, key) = key_of(&harness, &ann, scopes).await;
    let introspect = async || harness.goat.introspect(key.expose()).await.expect("an answer");
    let found = introspect().await.expect("active");
    assert_eq!((found.user, found.role, found.key), (ann.user.id, None, Some(id)));
    assert_eq!(found.permissions, ["user:read", "user:update"].map(Permission::new));
    assert_eq!((found.client_id, found.assurance, found.authenticated_at), (None, None, None));
    assert!(found.amr.is_empty());
    let (_, whole) = key_of(&harness, &ann, Scopes::Role).await;
    let whole = harness.goat.introspect(whole.expose()).await.expect("an answer");
    assert_eq!(whole.expect("active").role, Some(harness.role("operator")));
    let lives = found.expires_at.expect("an end").since(found.issued_at);
    assert_eq!(lives, harness.goat.settings().key_ttl.expect("a life"));

    let users = harness.goat.users();
    users.change_role(system(), ann.user.id, harness.role("client")).await.expect("demoted");
    let found = introspect().await.expect("active");
    assert_eq!((found.role, found.permissions.len()), (None, 0));
    users.change_status(system(), ann.user.id, Status::Suspended).await.expect("suspended");
    assert!(introspect().await.is_none());
}

/// K4, K8: a wrong secret, another prefix, a key that has expired or was revoked.
async fn any_other_key_is_inactive_and_revokes_nothing(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "client").await;
    let (_, key) = key_of(&harness, &ann, Scopes::Role).await;
    let (_, other) = key_of(&harness, &ann, Scopes::Role).await;
    for text in [forged_key(&key, &other), Secret::new(key.expose().replace("goat_", "acme_"))] {
        assert!(!is_active(&harness, &text).await);
        revoke(&harness, &text).await;
        assert!(is_active(&harness, &key).await);
    }
    harness.advance(8760 * 3600);
    assert!(!is_active(&harness, &key).await);
}

/// K2: a key revokes itself, also one that has expired and one of a suspended owner.
async fn a_key_is_revoked_by_its_text(backend: Backend) {
    let harness = Harness::on(backend);
    for case in ["live", "expired", "suspended"] {
        let ann = harness.member(&format!("ann-{case}"), "client").await;
        let (id, key) = key_of(&harness, &ann, Scopes::Role).await;
        let (other, _) = key_of(&harness, &ann, Scopes::Role).await;
        match case {
            "expired" => harness.advance(8760 * 3600),
            "suspended" => {
                let users = harness.goat.users();
                let done = users.change_status(system(), ann.user.id, Status::Suspended).await;
                done.expect("suspended");
            }
            _ => assert!(is_active(&harness, &key).await),
        }
        drop(harness.events.take());
        revoke(&harness, &key).await;
        let events = harness.events.take();
        let [event] = events.as_slice() else { panic!("one event: {events:?}") };
        assert_eq!((&event.kind, event.key), (&EventKind::KeyRevoked, Some(id)), "{case}");
        assert_eq!(event.user, Some(ann.user.id));
        assert!(!is_active(&harness, &key).await);
        let stored = async |id| harness.stores.keys.find(id).await.expect("the store responds");
        assert!(stored(id).await.is_none() && stored(other).await.is_some());
        // Again is the same.
        revoke(&harness, &key).await;
    }
}

/// A key that is revoked by its text is invalid on another node too.
async fn a_revoked_key_is_invalid_on_another_node(backend: Backend) {
    let harness = Harness::on(backend);
    let node = harness.second_node();
    let ann = harness.member("ann", "client").await;
    let (_, key) = key_of(&harness, &ann, Scopes::Role).await;
    for _ in 0..2 {
        node.authenticate_token(key.expose()).await.expect("a live key");
    }
    revoke(&harness, &key).await;
    let outcome = node.authenticate_token(key.expose()).await;
    assert_eq!(outcome.kind(), Some(ErrorKind::InvalidToken));
}
