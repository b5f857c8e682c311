//! API keys: creation, lists and revocation.

use std::time::Duration;

use goat_core::event::{EventActor, EventKind};
use goat_core::key::{CreatedKey, KeyPrefix, NewKey, PresentedKey, Scopes};
use goat_core::session::Origin;
use goat_core::testing::Point;
use goat_core::{Error, ErrorKind, PageRequest, Permission, Principal, Result, Settings, Status};

use crate::flows::support::{Backend, Harness, Outcome, PASSWORD, on_every_store, system};

fn new_key(scopes: Scopes) -> NewKey {
    NewKey { name: "nightly report".to_owned(), scopes, expires_in: None }
}

fn only<const N: usize>(permissions: [&'static str; N]) -> Scopes {
    Scopes::only(permissions.map(Permission::new)).expect("a few permissions")
}

async fn create(harness: &Harness, me: &Principal, new: NewKey) -> Result<CreatedKey> {
    let recent = harness.goat.require_recent(me).await?;
    harness.goat.keys().create(recent, new).await
}

fn violations(result: Result<CreatedKey>) -> Vec<String> {
    let error: Error = result.expect_err("it is against a rule");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let violations = error.violations().iter();
    violations.map(|one| format!("{} {}", one.field, one.message)).collect()
}

/// K3: the text shows once; the store has the hash of the secret.
async fn a_key_is_created_listed_and_revoked(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "operator").await;
    let me = harness.principal(&ann.tokens).await;
    drop(harness.events.take());
    let created = create(&harness, &me, new_key(only(["user:read"]))).await.expect("it is allowed");
    let key = &created.key;
    assert_eq!((key.owner, key.made_by), (ann.user.id, Some(ann.user.id)));
    assert_eq!(key.expires_at, Some(key.created_at + Duration::from_secs(8760 * 3600)));
    assert_eq!((key.scopes.clone(), key.last_used_at), (only(["user:read"]), None));
    let presented = PresentedKey::parse(&KeyPrefix::default(), created.secret.expose());
    let presented = presented.expect("the text of a key");
    assert_eq!(presented.id(), key.id);
    let view = harness.stores.keys.find(key.id).await.expect("the store responds");
    let stored = view.expect("it is stored").stored;
    assert_eq!(stored.key, *key);
    assert!(stored.hash.is_same_as(&presented.hash()));
    let events = harness.events.take();
    let [event] = events.as_slice() else { panic!("one event: {events:?}") };
    assert_eq!((&event.kind, event.key), (&EventKind::KeyCreated, Some(key.id)));
    assert_eq!((event.user, &event.actor), (Some(key.owner), &EventActor::User(key.owner)));
    let shown = format!("{created:?} {stored:?} {events:?}");
    assert!(!shown.contains(&created.secret.expose()[31..]), "{shown}");

    let keys = harness.goat.keys();
    let listed = keys.list(&me, PageRequest::default()).await.expect("the store responds");
    assert_eq!((listed.items.as_slice(), listed.total), (&[key.clone()][..], 1));
    let ben = harness.member("ben", "operator").await;
    let ben = harness.principal(&ben.tokens).await;
    let listed = keys.list(&ben, PageRequest::default()).await.expect("the store responds");
    assert_eq!(listed.total, 0);
    // R8: a key of another user is as one that does not exist.
    assert_eq!(keys.revoke(&ben, key.id).await.kind(), Some(ErrorKind::NotFound));
    keys.revoke(&me, key.id).await.expect("it exists");
    assert_eq!(keys.revoke(&me, key.id).await.kind(), Some(ErrorKind::NotFound));
    let events = harness.events.take();
    let event = events.iter().find(|event| event.kind == EventKind::KeyRevoked).expect("one");
    assert_eq!((event.key, event.user), (Some(key.id), Some(key.owner)));
}

/// G6: a new key needs a recent proof.
async fn a_new_key_needs_a_recent_proof(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "client").await;
    let me = harness.principal(&ann.tokens).await;
    harness.advance(299);
    create(&harness, &me, new_key(Scopes::Role)).await.expect("it is recent");
    harness.advance(2);
    let outcome = create(&harness, &me, new_key(Scopes::Role)).await;
    assert_eq!(outcome.kind(), Some(ErrorKind::StepUpRequired));
}

/// K5: the scopes are among the rights of the role.
async fn a_key_names_no_scope_that_the_role_lacks(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "operator").await;
    let me = harness.principal(&ann.tokens).await;
    for scopes in [Scopes::Role, only([]), only(["user:read", "user:update"])] {
        create(&harness, &me, new_key(scopes)).await.expect("the role has them");
    }
    let refused = only(["user:read", "user:*", "user:delete", "full_access"]);
    assert_eq!(
        violations(create(&harness, &me, new_key(refused)).await),
        ["scopes must be permissions of your role, which lacks full_access, user:*, user:delete"]
    );
    let top = harness.member("top", "admin").await;
    let top = harness.principal(&top.tokens).await;
    let scopes = only(["full_access", "a:*", "b:c"]);
    create(&harness, &top, new_key(scopes)).await.expect("full access has them");
}

async fn the_name_and_the_life_of_a_key_are_checked(backend: Backend) {
    let harness = Harness::with(backend, |settings| {
        settings.key_ttl = Some(Duration::from_secs(3600));
    });
    let ann = harness.member("ann", "client").await;
    let me = harness.principal(&ann.tokens).await;
    let named = |name: String| NewKey { name, ..new_key(Scopes::Role) };
    for name in ["x".to_owned(), "\u{1f510}".repeat(100)] {
        create(&harness, &me, named(name)).await.expect("a name");
    }
    for name in [String::new(), "x".repeat(101), "a\nb".to_owned(), "a\0b".to_owned()] {
        let found = violations(create(&harness, &me, named(name)).await);
        assert_eq!(found, ["name must be 1 to 100 characters, none of them a control one"]);
    }
    let living = |seconds: u64| NewKey {
        expires_in: Some(Duration::from_secs(seconds)),
        ..new_key(Scopes::Role)
    };
    for seconds in [1, 3600] {
        let key = create(&harness, &me, living(seconds)).await.expect("a life").key;
        assert_eq!(key.expires_at, Some(key.created_at + Duration::from_secs(seconds)));
        assert!(!key.is_expired(key.created_at));
        assert!(key.is_expired(key.created_at + Duration::from_secs(seconds)));
    }
    let found = violations(create(&harness, &me, living(0)).await);
    assert_eq!(found, ["expires_in must be at least 1 second"]);
    let found = violations(create(&harness, &me, living(3601)).await);
    assert_eq!(found, ["expires_in must be at most 3600 seconds"]);
}

async fn keys_without_an_end_are_a_setting(backend: Backend) {
    let harness = Harness::with(backend, |settings| {
        settings.key_ttl = None;
        settings.key_prefix = KeyPrefix::parse("acme").expect("a prefix");
    });
    let ann = harness.member("ann", "client").await;
    let me = harness.principal(&ann.tokens).await;
    let created = create(&harness, &me, new_key(Scopes::Role)).await.expect("it is allowed");
    assert_eq!(created.key.expires_at, None);
    assert!(created.secret.expose().starts_with("acme_"));
    let longest = NewKey { expires_in: Some(Duration::MAX), ..new_key(Scopes::Role) };
    let found = violations(create(&harness, &me, longest).await);
    assert_eq!(found, ["expires_in must be at most 3153600000 seconds"]);
}

async fn a_user_has_as_many_keys_as_the_settings_allow(backend: Backend) {
    let harness = Harness::with(backend, |settings| settings.keys_per_user = 2);
    let ann = harness.member("ann", "client").await;
    let me = harness.principal(&ann.tokens).await;
    let first = create(&harness, &me, new_key(Scopes::Role)).await.expect("the first");
    create(&harness, &me, new_key(Scopes::Role)).await.expect("the second");
    let outcome = create(&harness, &me, new_key(Scopes::Role)).await;
    assert_eq!(outcome.kind(), Some(ErrorKind::TooMany));
    harness.goat.keys().revoke(&me, first.key.id).await.expect("it exists");
    create(&harness, &me, new_key(Scopes::Role)).await.expect("there is room");
}

/// R7: what commits while a key is created decides on it.
async fn a_key_of_a_session_that_ended_meanwhile_is_not_created(backend: Backend) {
    let harness = Harness::on(backend);
    for (number, point) in Point::ALL.into_iter().enumerate() {
        a_key_races_a_change(&harness, &format!("ann{number}"), point).await;
    }
}

async fn a_key_races_a_change(harness: &Harness, name: &str, point: Point) {
    for change in ["suspended", "deleted", "logged-out"] {
        let ann = harness.member(&format!("{name}-{change}"), "client").await;
        let me = harness.principal(&ann.tokens).await;
        let logout = me.clone();
        let recent = harness.goat.require_recent(&me).await.expect("it is recent");
        let held = harness.failpoints.hold("keys.create", point);
        let goat = harness.goat.clone();
        let creating =
            tokio::spawn(async move { goat.keys().create(recent, new_key(Scopes::Role)).await });
        held.reached().await;
        let users = harness.goat.users();
        let done = match change {
            "deleted" => users.delete(system(), ann.user.id).await,
            "logged-out" => harness.goat.logout(&logout, &Origin::default()).await,
            _ => users.change_status(system(), ann.user.id, Status::Suspended).await.map(drop),
        };
        done.expect("it is allowed");
        held.release();
        let outcome = creating.await.expect("no panic");
        assert_eq!(outcome.kind(), Some(ErrorKind::SessionRevoked));
        let page = harness.stores.keys.list(ann.user.id, PageRequest::default()).await;
        assert_eq!(page.expect("the store responds").total, 0);
    }
}

/// The keys of a user are deleted with it, by an administrator and by itself, wherever they are kept.
async fn keys_are_deleted_with_their_owner(backend: Backend) {
    let harness = Harness::on(backend);
    for by_itself in [false, true] {
        let ann = harness.member(&format!("ann{by_itself}"), "client").await;
        let me = harness.principal(&ann.tokens).await;
        let key = create(&harness, &me, new_key(Scopes::Role)).await.expect("it is allowed").key;
        let users = harness.goat.users();
        if by_itself {
            users.delete_self(&me, PASSWORD).await.expect("the password is right");
        } else {
            users.delete(system(), ann.user.id).await.expect("it is allowed");
        }
        let found = harness.stores.keys.find(key.id).await.expect("the store responds");
        assert!(found.is_none());
    }
}

/// K9: the step after a restore revokes the keys of all users, and needs full access.
async fn the_keys_of_all_users_are_revoked(backend: Backend) {
    let harness = Harness::on(backend);
    for name in ["ann", "ben"] {
        let member = harness.member(name, "operator").await;
        let me = harness.principal(&member.tokens).await;
        create(&harness, &me, new_key(Scopes::Role)).await.expect("it is allowed");
        let actor = harness.actor(&member.tokens).await;
        let outcome = harness.goat.keys().revoke_all(actor).await;
        assert_eq!(outcome.kind(), Some(ErrorKind::Forbidden));
    }
    drop(harness.events.take());
    let count = harness.goat.keys().revoke_all(system()).await.expect("it is allowed");
    assert_eq!(count, 2);
    assert_eq!(harness.events.take_kinds(), [EventKind::KeysRevoked(2)]);
    assert_eq!(harness.goat.keys().revoke_all(system()).await.expect("it is allowed"), 0);
}

#[tokio::test]
async fn the_settings_of_keys_are_bounded() {
    use goat_core::token::TokenKeys;
    use goat_core::{Goat, Stores};

    for (ttl, is_valid) in [(59, false), (60, true), (3650 * 86_400, true), (3651 * 86_400, false)]
    {
        let settings = Settings { key_ttl: Some(Duration::from_secs(ttl)), ..Settings::default() };
        let goat = Goat::builder(Stores::memory(), TokenKeys::generate()).settings(settings);
        assert_eq!(goat.build().is_ok(), is_valid, "{ttl}");
    }
}

/// A store without keys creates none.
#[tokio::test]
async fn a_goat_without_a_store_of_keys_creates_none() {
    use goat_core::Stores;
    use goat_core::store::NoKeys;

    let stores = Stores { keys: std::sync::Arc::new(NoKeys), ..Stores::memory() };
    let harness = Harness::on(Backend::over(stores));
    let ann = harness.member("ann", "client").await;
    let me = harness.principal(&ann.tokens).await;
    let outcome = create(&harness, &me, new_key(Scopes::Role)).await;
    assert_eq!(outcome.kind(), Some(ErrorKind::TooMany));
    let keys = harness.goat.keys();
    let listed = keys.list(&me, PageRequest::default()).await.expect("the store responds");
    assert_eq!(listed.total, 0);
}

on_every_store! {
    a_key_is_created_listed_and_revoked,
    a_new_key_needs_a_recent_proof,
    a_key_names_no_scope_that_the_role_lacks,
    the_name_and_the_life_of_a_key_are_checked,
    keys_without_an_end_are_a_setting,
    a_user_has_as_many_keys_as_the_settings_allow,
    a_key_of_a_session_that_ended_meanwhile_is_not_created,
    keys_are_deleted_with_their_owner,
    the_keys_of_all_users_are_revoked,
}
