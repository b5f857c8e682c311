//! API keys of service accounts, made by others.

use std::time::Duration;

use goat_core::auth::SignedIn;
use goat_core::event::{EventActor, EventKind};
use goat_core::key::{CreatedKey, NewKey, Scopes};
use goat_core::session::Origin;
use goat_core::store::KeyView;
use goat_core::testing::Point;
use goat_core::user::{NewService, ServiceName};
use goat_core::{
    Clock as _, ErrorKind, KeyId, PageRequest, Permission, RecentActor, Result, Status, User,
    UserId,
};

use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, Outcome as _, PASSWORD, on_every_store, system,
};

fn new_key(scopes: Scopes) -> NewKey {
    NewKey { name: "nightly report".to_owned(), scopes, expires_in: None }
}

fn only<const N: usize>(permissions: [&'static str; N]) -> Scopes {
    Scopes::only(permissions.map(Permission::new)).expect("a few permissions")
}

async fn service(harness: &Harness, name: &str, role: &str) -> User {
    let name = ServiceName::parse(name).expect("a name");
    let new = NewService { name, role: harness.role(role) };
    harness.goat.users().create_service(system(), new).await.expect("a service account")
}

async fn recent(harness: &Harness, by: &SignedIn) -> RecentActor {
    let me = harness.principal(&by.tokens).await;
    harness.goat.require_recent(&me).await.expect("it is recent").into()
}

async fn create(
    harness: &Harness,
    by: &SignedIn,
    owner: UserId,
    scopes: Scopes,
) -> Result<CreatedKey> {
    harness.goat.keys().create_for(recent(harness, by).await, owner, new_key(scopes)).await
}

async fn stored(harness: &Harness, id: KeyId) -> Option<KeyView> {
    harness.stores.keys.find(id).await.expect("the store responds")
}

async fn count(harness: &Harness, owner: UserId) -> u64 {
    let page = harness.goat.keys().list_unchecked(owner, PageRequest::default()).await;
    page.expect("the store responds").total
}

fn violation(result: &Result<CreatedKey>) -> String {
    let error = result.as_ref().expect_err("it is against a rule");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let [one] = error.violations() else { panic!("one violation: {error:?}") };
    format!("{} {}", one.field, one.message)
}

/// K3, K5
async fn an_actor_makes_lists_and_revokes_the_keys_of_a_service_account(backend: Backend) {
    let harness = Harness::on(backend);
    let oli = harness.member("oli", "operator").await;
    let backup = service(&harness, "backup", "client").await;
    drop(harness.events.take());
    let created = create(&harness, &oli, backup.id, Scopes::Role).await.expect("it is allowed");
    let key = &created.key;
    assert_eq!((key.owner, key.made_by), (backup.id, Some(oli.user.id)));
    assert_eq!(stored(&harness, key.id).await.expect("it is stored").stored.key, *key);
    let events = harness.events.take();
    let [event] = events.as_slice() else { panic!("one event: {events:?}") };
    assert_eq!((&event.kind, event.key), (&EventKind::KeyCreated, Some(key.id)));
    assert_eq!((event.user, &event.actor), (Some(backup.id), &EventActor::User(oli.user.id)));
    let shown = format!("{created:?} {events:?}");
    assert!(!shown.contains(&created.secret.expose()[31..]), "{shown}");

    let keys = harness.goat.keys();
    let by_system = RecentActor::system("a test");
    let other = keys.create_for(by_system, backup.id, new_key(Scopes::Role)).await;
    let other = other.expect("it is allowed").key;
    assert_eq!(other.made_by, None);
    let me = harness.principal(&oli.tokens).await;
    let listed = keys.list_of(&me, backup.id, PageRequest::default()).await.expect("allowed");
    assert_eq!(listed.total, 2);
    assert_eq!(keys.find_by_id(other.id).await.expect("the store responds"), Some(other.clone()));

    drop(harness.events.take());
    let revoke = async |owner, id| {
        let actor = harness.actor(&oli.tokens).await;
        keys.revoke_of(actor, owner, id).await
    };
    // R8: a key is revoked as that of its owner only.
    let robot = service(&harness, "robot", "client").await;
    assert_eq!(revoke(robot.id, key.id).await.kind(), Some(ErrorKind::NotFound));
    revoke(backup.id, key.id).await.expect("it is allowed");
    assert_eq!(revoke(backup.id, key.id).await.kind(), Some(ErrorKind::NotFound));
    assert!(stored(&harness, key.id).await.is_none());
    assert!(stored(&harness, other.id).await.is_some());
    let events = harness.events.take();
    let event = events.iter().find(|event| event.kind == EventKind::KeyRevoked).expect("one");
    assert_eq!((event.key, event.user), (Some(key.id), Some(backup.id)));
    assert_eq!(event.actor, EventActor::User(oli.user.id));
}

/// K5: no actor makes a key for another person, nor for itself here; and only one that outranks the
/// service account.
async fn a_key_is_made_for_a_service_account_of_a_lower_rank_only(backend: Backend) {
    let harness = Harness::on(backend);
    let (oli, ann) =
        (harness.member("oli", "operator").await, harness.member("ann", "client").await);
    let admin = harness.member("admin", "admin").await;
    let (backup, equal) =
        (service(&harness, "backup", "client").await, service(&harness, "equal", "operator").await);
    let ghost = UserId::generate(harness.clock.now());
    for (by, owner, expected) in [
        (&ann, backup.id, Some(ErrorKind::Forbidden)),
        (&oli, ghost, Some(ErrorKind::NotFound)),
        (&oli, equal.id, Some(ErrorKind::Outranked)),
        (&oli, admin.user.id, Some(ErrorKind::Outranked)),
        (&oli, oli.user.id, Some(ErrorKind::Outranked)),
        (&oli, ann.user.id, Some(ErrorKind::InvalidTransition)),
        (&admin, ann.user.id, Some(ErrorKind::InvalidTransition)),
        (&admin, equal.id, None),
        (&oli, backup.id, None),
    ] {
        let before = count(&harness, owner).await;
        let created = create(&harness, by, owner, only([])).await;
        assert_eq!(created.kind(), expected, "{owner}");
        let added = u64::from(expected.is_none());
        assert_eq!(count(&harness, owner).await, before + added, "{owner}");
    }
    let by_system = RecentActor::system("a test");
    let created = harness.goat.keys().create_for(by_system, ann.user.id, new_key(only([]))).await;
    assert_eq!(created.kind(), Some(ErrorKind::InvalidTransition));
    let oli = harness.principal(&oli.tokens).await;
    let keys = harness.goat.keys();
    let list = async |me, owner| keys.list_of(me, owner, PageRequest::default()).await.kind();
    let ann_me = harness.principal(&ann.tokens).await;
    assert_eq!(list(&ann_me, backup.id).await, Some(ErrorKind::Forbidden));
    assert_eq!(list(&oli, equal.id).await, Some(ErrorKind::Outranked));
    assert_eq!(list(&oli, ghost).await, Some(ErrorKind::NotFound));
    for owner in [backup.id, ann.user.id, oli.user()] {
        assert_eq!(list(&oli, owner).await, None, "{owner}");
    }
}

/// An actor revokes the keys of a person too, but of none that it may not act on.
async fn a_key_of_a_person_is_revoked_by_an_actor_of_a_higher_rank(backend: Backend) {
    let harness = Harness::on(backend);
    let (oli, other) =
        (harness.member("oli", "operator").await, harness.member("other", "operator").await);
    let ann = harness.member("ann", "client").await;
    let own = async |by: &SignedIn| {
        let me = harness.principal(&by.tokens).await;
        let recent = harness.goat.require_recent(&me).await.expect("it is recent");
        let created = harness.goat.keys().create(recent, new_key(Scopes::Role)).await;
        created.expect("it is allowed").key
    };
    let keys = harness.goat.keys();
    for (by, key, expected) in [
        (&ann, own(&other).await, Some(ErrorKind::Forbidden)),
        (&oli, own(&other).await, Some(ErrorKind::Outranked)),
        (&oli, own(&oli).await, Some(ErrorKind::Outranked)),
        (&oli, own(&ann).await, None),
    ] {
        let actor = harness.actor(&by.tokens).await;
        assert_eq!(keys.revoke_of(actor, key.owner, key.id).await.kind(), expected);
        assert_eq!(stored(&harness, key.id).await.is_none(), expected.is_none());
    }
}

/// K5: a scope that the actor or the role lacks is refused by its name, also in all rights of the role.
async fn a_key_names_no_scope_that_the_actor_or_the_role_lacks(backend: Backend) {
    let harness = Harness::with_stored_roles(backend);
    let roles = harness.goat.roles();
    roles.list().await.expect("the roles are loaded");
    let oli = harness.member("oli", "operator").await;
    let backup = service(&harness, "backup", "client").await;
    for permission in ["report:read", "user:read"].map(Permission::new) {
        roles.grant(system(), "client", permission).await.expect("granted");
    }
    // The operator outranks a client no longer: that role has a permission that its own lacks.
    let refused = create(&harness, &oli, backup.id, only([])).await;
    assert_eq!(refused.kind(), Some(ErrorKind::Outranked));
    roles.grant(system(), "operator", Permission::new("report:*")).await.expect("granted");

    let refused = create(&harness, &oli, backup.id, only(["user:read", "user:delete"])).await;
    let lacks = "scopes must be permissions that you have; you lack user:delete";
    assert_eq!(violation(&refused), lacks);
    let refused = create(&harness, &oli, backup.id, only(["report:read", "report:*"])).await;
    let lacks = "scopes must be permissions that you have and that the role of the user has, unlike report:*";
    assert_eq!(violation(&refused), lacks);
    // A scope that the actor lacks is refused before the user is read.
    let ghost = UserId::generate(harness.clock.now());
    let refused = create(&harness, &oli, ghost, only(["user:delete"])).await;
    assert_eq!(refused.kind(), Some(ErrorKind::Invalid));
    assert_eq!(count(&harness, backup.id).await, 0);
    for scopes in [only(["report:read", "user:read"]), Scopes::Role] {
        create(&harness, &oli, backup.id, scopes).await.expect("both have them");
    }
}

/// A change that commits while a key is made.
enum Meanwhile {
    ActorSuspended,
    ActorDemoted,
    ActorLoggedOutEverywhere,
    ActorLoggedOut,
    OwnerPromoted,
    OwnerDeleted,
    OwnerDemotedBelowItsScopes,
}

/// K5, R7: every rule holds after the key has committed, or there is no key.
async fn a_change_that_commits_meanwhile_decides_on_the_key(backend: Backend) {
    let harness = Harness::on(backend);
    // The administrator that stays.
    harness.user("root", "admin").await;
    for (number, point) in Point::ALL.into_iter().enumerate() {
        for (change, expected) in [
            (Meanwhile::ActorSuspended, ErrorKind::SessionRevoked),
            (Meanwhile::ActorDemoted, ErrorKind::Forbidden),
            (Meanwhile::ActorLoggedOutEverywhere, ErrorKind::SessionRevoked),
            (Meanwhile::ActorLoggedOut, ErrorKind::SessionRevoked),
            (Meanwhile::OwnerPromoted, ErrorKind::Outranked),
            (Meanwhile::OwnerDeleted, ErrorKind::NotFound),
            (Meanwhile::OwnerDemotedBelowItsScopes, ErrorKind::Invalid),
        ] {
            let name = format!("{number}-{expected:?}-{}", change.index()).to_lowercase();
            let boss = harness.member(&format!("boss-{name}"), "admin").await;
            let owner = service(&harness, &name, "operator").await;
            races(&harness, point, &change, expected, (&boss, &owner)).await;
        }
    }
}

impl Meanwhile {
    fn index(&self) -> u8 {
        match self {
            Self::ActorSuspended => 0,
            Self::ActorDemoted => 1,
            Self::ActorLoggedOutEverywhere => 2,
            Self::ActorLoggedOut => 3,
            Self::OwnerPromoted => 4,
            Self::OwnerDeleted => 5,
            Self::OwnerDemotedBelowItsScopes => 6,
        }
    }
}

async fn races(
    harness: &Harness,
    point: Point,
    change: &Meanwhile,
    expected: ErrorKind,
    (boss, owner): (&SignedIn, &User),
) {
    let users = harness.goat.users();
    let actor = recent(harness, boss).await;
    let (goat, owner_id) = (harness.goat.clone(), owner.id);
    let held = harness.failpoints.hold("keys.create", point);
    let scopes = only(["user:read"]);
    let creating =
        tokio::spawn(async move { goat.keys().create_for(actor, owner_id, new_key(scopes)).await });
    held.reached().await;
    let boss_id = boss.user.id;
    let done = match change {
        Meanwhile::ActorSuspended => {
            users.change_status(system(), boss_id, Status::Suspended).await.map(drop)
        }
        Meanwhile::ActorDemoted => {
            users.change_role(system(), boss_id, harness.role("client")).await.map(drop)
        }
        Meanwhile::ActorLoggedOutEverywhere => {
            harness.goat.sessions().revoke_all_of(system(), boss_id).await.map(drop)
        }
        Meanwhile::ActorLoggedOut => {
            let me = harness.principal(&boss.tokens).await;
            harness.goat.logout(&me, &Origin::default()).await
        }
        // Another role of the highest rank acts on every user, so the actor is demoted below it.
        Meanwhile::OwnerPromoted => {
            let promoted = users.change_role(system(), owner_id, harness.role("admin")).await;
            promoted.expect("promoted");
            users.change_role(system(), boss_id, harness.role("operator")).await.map(drop)
        }
        Meanwhile::OwnerDeleted => users.delete(system(), owner_id).await,
        Meanwhile::OwnerDemotedBelowItsScopes => {
            users.change_role(system(), owner_id, harness.role("client")).await.map(drop)
        }
    };
    done.expect("it is allowed");
    held.release();
    let outcome = creating.await.expect("no panic");
    assert_eq!(outcome.kind(), Some(expected));
    assert_eq!(count(harness, owner_id).await, 0);
}

async fn the_quota_of_keys_holds_for_service_accounts(backend: Backend) {
    let harness = Harness::with(backend, |settings| settings.keys_per_user = 2);
    let oli = harness.member("oli", "operator").await;
    let backup = service(&harness, "backup", "client").await;
    for expected in [None, None, Some(ErrorKind::TooMany)] {
        assert_eq!(create(&harness, &oli, backup.id, Scopes::Role).await.kind(), expected);
    }
}

/// Where keys are switched off, none is created.
async fn no_key_is_created_where_they_are_switched_off(backend: Backend) {
    let harness = Harness::with(backend, |settings| settings.keys = false);
    let oli = harness.member("oli", "operator").await;
    let backup = service(&harness, "backup", "client").await;
    let created = create(&harness, &oli, backup.id, Scopes::Role).await;
    assert_eq!(created.kind(), Some(ErrorKind::NotFound));
    let me = harness.principal(&oli.tokens).await;
    let recent = harness.goat.require_recent(&me).await.expect("it is recent");
    let created = harness.goat.keys().create(recent, new_key(Scopes::Role)).await;
    assert_eq!(created.kind(), Some(ErrorKind::NotFound));
    assert_eq!(count(&harness, oli.user.id).await + count(&harness, backup.id).await, 0);
}

/// A new password leaves programs running; its result and its event say how many keys there are.
async fn a_new_password_counts_the_keys(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "client").await;
    let me = harness.principal(&ann.tokens).await;
    for _ in 0..2 {
        let recent = harness.goat.require_recent(&me).await.expect("it is recent");
        harness.goat.keys().create(recent, new_key(Scopes::Role)).await.expect("it is allowed");
        harness.clock.advance(Duration::from_secs(1));
    }
    drop(harness.events.take());
    let changed = harness
        .goat
        .users()
        .change_password(&me, PASSWORD, &OTHER_PASSWORD.into(), &Origin::default())
        .await;
    assert_eq!(changed.expect("the password is right").value.keys, 2);
    let events = harness.events.take();
    let event = events.iter().find(|event| event.kind == EventKind::PasswordChanged);
    assert_eq!(event.expect("an event").keys, Some(2));
    assert_eq!(count(&harness, ann.user.id).await, 2);
}

on_every_store! {
    an_actor_makes_lists_and_revokes_the_keys_of_a_service_account,
    a_key_is_made_for_a_service_account_of_a_lower_rank_only,
    a_key_of_a_person_is_revoked_by_an_actor_of_a_higher_rank,
    a_key_names_no_scope_that_the_actor_or_the_role_lacks,
    a_change_that_commits_meanwhile_decides_on_the_key,
    the_quota_of_keys_holds_for_service_accounts,
    no_key_is_created_where_they_are_switched_off,
    a_new_password_counts_the_keys,
}
