//! Authentication by API key: rights, changes, costs, and the operations that only a session performs.

use std::sync::Arc;
use std::time::Duration;

use goat_core::auth::{SignedIn, StepUp, Vouch};
use goat_core::key::{CreatedKey, NewKey, Scopes};
use goat_core::session::{Origin, OtherSessions};
use goat_core::testing::Point;
use goat_core::user::{AttributePatch, NewUser, UserFilter, UserUpdate};
use goat_core::{
    Actor, Credential, ErrorKind, Goat, KeyId, PageRequest, Permission, Principal, Result, Status,
    Stores,
};

use crate::delegating_stores::ignoring_keys;
use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, Outcome, PASSWORD, email, on_every_store, system,
};

const READ: Permission = Permission::new("user:read");
const UPDATE: Permission = Permission::new("user:update");
const STATUS: Permission = Permission::new("user:change_status");
const SESSION_CREATE: Permission = Permission::new("session:create");

async fn key(harness: &Harness, owner: &SignedIn, scopes: Scopes) -> CreatedKey {
    let me = harness.principal(&owner.tokens).await;
    let recent = harness.goat.require_recent(&me).await.expect("it is recent");
    let new = NewKey { name: "a program".to_owned(), scopes, expires_in: None };
    harness.goat.keys().create(recent, new).await.expect("a key")
}

fn only(permissions: impl IntoIterator<Item = Permission>) -> Scopes {
    Scopes::only(permissions).expect("a few permissions")
}

async fn by_key(goat: &Goat, key: &CreatedKey) -> Result<Principal> {
    goat.authenticate_token(key.secret.expose()).await
}

/// Authenticates until the key is cached.
async fn cached(harness: &Harness, key: &CreatedKey) -> Principal {
    for _ in 0..4 {
        drop(harness.failpoints.take_calls());
        let principal = by_key(&harness.goat, key).await.expect("a live key");
        if harness.failpoints.take_calls().is_empty() {
            return principal;
        }
    }
    panic!("the key is not cached");
}

async fn actor(harness: &Harness, key: &CreatedKey) -> Actor {
    let principal = by_key(&harness.goat, key).await.expect("a live key");
    harness.goat.reauthenticate(&principal).await.expect("a live key").into()
}

/// K1: the present rights of the owner's role, intersected with the scopes.
async fn a_key_has_the_rights_of_its_owner_that_its_scopes_name(backend: Backend) {
    let harness = Harness::on(backend);
    let olga = harness.member("olga", "operator").await;
    let whole = key(&harness, &olga, Scopes::Role).await;
    let narrow = key(&harness, &olga, only([READ])).await;
    let none = key(&harness, &olga, only([])).await;
    for (key, expected) in
        [(&whole, vec![STATUS, READ, UPDATE]), (&narrow, vec![READ]), (&none, vec![])]
    {
        let me = by_key(&harness.goat, key).await.expect("a live key");
        assert_eq!((me.user(), me.role().as_str()), (olga.user.id, "operator"));
        assert_eq!((me.session(), me.authenticated_at(), me.assurance()), (None, None, None));
        assert_eq!(me.credential(), Credential::Key(key.key.id));
        assert!(!me.is_recent(Duration::from_secs(3600), harness.goat.time().now()));
        assert_eq!(me.permissions(), expected);
        assert_eq!(
            (me.may(&READ), me.may(&UPDATE)),
            (expected.contains(&READ), expected.len() > 1)
        );
        assert!(!format!("{me:?}").contains(&key.secret.expose()[31..]));
    }
    assert_eq!(cached(&harness, &narrow).await.permissions(), [READ]);
}

/// K4, W: a cached key asks no store; a wrong secret costs one read, as an unknown key does, and gets the
/// same answer; a malformed key costs none.
async fn a_wrong_secret_costs_and_looks_like_an_unknown_key(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "client").await;
    let (known, other) =
        (key(&harness, &ann, Scopes::Role).await, key(&harness, &ann, Scopes::Role).await);
    cached(&harness, &known).await;
    let mine = harness.principal(&ann.tokens).await;
    harness.goat.keys().revoke(&mine, other.key.id).await.expect("it exists");
    // The id of the known key with the secret of another one.
    let forged = goat_core::testing::forged_key(&known.secret, &other.secret);
    for _ in 0..3 {
        let answers = [forged.expose().as_str(), other.secret.expose()].map(async |text| {
            drop(harness.failpoints.take_calls());
            let error = harness.goat.authenticate_token(text).await.expect_err("it is not valid");
            let calls = harness.failpoints.take_calls();
            (error.kind(), error.client_message().to_owned(), calls)
        });
        let [wrong, unknown] = answers;
        let (wrong, unknown) = (wrong.await, unknown.await);
        assert_eq!(wrong, unknown);
        assert_eq!((wrong.0, wrong.2), (ErrorKind::InvalidToken, vec!["keys.find"]));
    }
    assert!(harness.failpoints.take_calls().is_empty());
    let text = known.secret.expose();
    let mistyped = |place: usize| {
        let other = if &text[place..=place] == "0" { "1" } else { "0" };
        format!("{}{other}{}", &text[..place], &text[place + 1..])
    };
    let malformed = (5..text.len()).map(mistyped).chain([
        "goat_".to_owned(),
        text[..text.len() - 1].to_owned(),
        format!("{text}0"),
        text.to_uppercase(),
        format!("acme{}", &text[4..]),
    ]);
    for text in malformed {
        let outcome = harness.goat.authenticate_token(&text).await;
        assert_eq!(outcome.kind(), Some(ErrorKind::InvalidToken), "{text}");
    }
    assert!(harness.failpoints.take_calls().is_empty(), "no store was asked");
    by_key(&harness.goat, &known).await.expect("the cached key is still good");
    assert!(harness.failpoints.take_calls().is_empty(), "the forgery has not evicted it");
}

/// K6: neither passes for the other.
async fn a_key_is_no_token_and_a_token_no_key(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "client").await;
    let created = key(&harness, &ann, Scopes::Role).await;
    let secret = &created.secret;
    let (goat, invalid) = (&harness.goat, Some(ErrorKind::InvalidToken));
    assert_eq!(goat.authenticate_access_token(secret.expose()).await.kind(), invalid);
    assert_eq!(goat.refresh(secret, &Origin::default()).await.kind(), invalid);
    let tokens = [&ann.tokens.access_token, &ann.tokens.refresh_token, &ann.device_token];
    for token in tokens {
        let outcome = goat.authenticate_token(&format!("goat_{}", token.expose())).await;
        assert_eq!(outcome.kind(), invalid);
    }
    by_key(goat, &created).await.expect("it was good all the time");
}

/// K1: a store of users that was written before there were keys fails closed.
async fn a_store_that_ignores_the_key_of_a_write_allows_none(backend: Backend) {
    let harness = Harness::on(backend);
    let (ann, bob) = (harness.member("ann", "admin").await, harness.user("bob", "client").await);
    let created = key(&harness, &ann, Scopes::Role).await;
    for (stores, expected) in [
        (harness.stores.clone(), None),
        (ignoring_keys(&harness.stores), Some(ErrorKind::InvalidToken)),
    ] {
        let node = harness.node(stores);
        let me = by_key(&node, &created).await.expect("a live key");
        let actor = node.reauthenticate(&me).await.expect("a live key").into();
        let role = harness.role(if expected.is_none() { "operator" } else { "client" });
        assert_eq!(node.users().change_role(actor, bob.id, role).await.kind(), expected);
    }
}

async fn keys_expire(backend: Backend) {
    let harness = Harness::with(backend, |settings| {
        settings.key_ttl = Some(Duration::from_secs(3600));
    });
    let ann = harness.member("ann", "client").await;
    let created = key(&harness, &ann, Scopes::Role).await;
    cached(&harness, &created).await;
    harness.advance(3599);
    cached(&harness, &created).await;
    harness.advance(1);
    for _ in 0..2 {
        let outcome = by_key(&harness.goat, &created).await;
        assert_eq!(outcome.kind(), Some(ErrorKind::TokenExpired));
    }
}

#[tokio::test]
async fn disabled_keys_are_rejected_without_a_store() {
    use goat_core::Settings;
    use goat_core::token::TokenKeys;

    let (stores, failpoints) = goat_core::testing::Failpoints::over(Stores::memory());
    let harness = Harness::on(Backend::over(stores.clone()));
    let ann = harness.member("ann", "client").await;
    let created = key(&harness, &ann, Scopes::Role).await;
    let settings = Settings { keys: false, ..Settings::default() };
    let disabled = Goat::builder(stores, TokenKeys::generate()).settings(settings).build();
    let disabled = disabled.expect("good settings");
    drop(failpoints.take_calls());
    let outcome = by_key(&disabled, &created).await;
    assert_eq!(outcome.kind(), Some(ErrorKind::InvalidToken));
    assert!(failpoints.take_calls().is_empty());
}

/// A change after which a key must have other rights, or none.
#[derive(Clone, Copy, Debug)]
enum Change {
    Revoke,
    RevokeAll,
    Suspend,
    Delete,
    DeleteSelf,
    Demote,
    RevokePermission,
}

impl Change {
    const ALL: [Self; 7] = [
        Self::Revoke,
        Self::RevokeAll,
        Self::Suspend,
        Self::Delete,
        Self::DeleteSelf,
        Self::Demote,
        Self::RevokePermission,
    ];

    async fn apply(self, harness: &Harness, owner: &Principal, key: KeyId) {
        let (goat, id) = (&harness.goat, owner.user());
        let users = goat.users();
        match self {
            Self::Revoke => goat.keys().revoke(owner, key).await.expect("it exists"),
            Self::RevokeAll => drop(goat.keys().revoke_all(system()).await.expect("revoked")),
            Self::Suspend => {
                let status = Status::Suspended;
                drop(users.change_status(system(), id, status).await.expect("suspended"));
            }
            Self::Delete => users.delete(system(), id).await.expect("deleted"),
            Self::DeleteSelf => drop(users.delete_self(owner, PASSWORD).await.expect("deleted")),
            Self::Demote => {
                let role = harness.role("client");
                drop(users.change_role(system(), id, role).await.expect("demoted"));
            }
            Self::RevokePermission => {
                let grants = goat.roles().grants_of("operator").await.expect("grants");
                let grant = grants.iter().find(|grant| grant.permission == READ).expect("a grant");
                goat.roles().revoke(system(), grant.id).await.expect("revoked");
                goat.roles()
                    .grant(system(), "operator", Permission::new("a:b"))
                    .await
                    .expect("new");
            }
        }
    }
}

/// K1: at once on the same node and on one that receives the invalidation, and within the staleness on one
/// that receives none. A new password touches no key.
async fn changes_are_in_force_for_keys(backend: Backend) {
    let harness = Harness::on(backend);
    let (second, silent) = (harness.second_node(), harness.disconnected_node());
    for (number, change) in Change::ALL.into_iter().enumerate() {
        let olga = harness.member(&format!("olga{number}"), "operator").await;
        let owner = harness.principal(&olga.tokens).await;
        let keys =
            [key(&harness, &olga, Scopes::Role).await, key(&harness, &olga, only([READ])).await];
        for key in &keys {
            cached(&harness, key).await;
            for goat in [&second, &silent].into_iter().cycle().take(6) {
                assert!(by_key(goat, key).await.expect("a live key").may(&READ));
            }
        }
        change.apply(&harness, &owner, keys[0].key.id).await;
        for (place, key) in keys.iter().enumerate() {
            for (node, goat) in [&harness.goat, &second, &silent].into_iter().enumerate() {
                if node == 2 && place == 0 {
                    harness.advance(1);
                }
                let outcome = by_key(goat, key).await;
                let of = format!("{change:?} of key {place} on node {node}: {outcome:?}");
                match change {
                    Change::Revoke if place == 1 => assert!(outcome.expect("it lives").may(&READ)),
                    Change::Demote | Change::RevokePermission => {
                        assert!(!outcome.expect("it lives").may(&READ), "{of}");
                    }
                    _ => assert_eq!(outcome.kind(), Some(ErrorKind::InvalidToken), "{of}"),
                }
            }
        }
    }
    let ann = harness.member("ann", "client").await;
    let created = key(&harness, &ann, Scopes::Role).await;
    let reset = harness.goat.users().reset_password(system(), ann.user.id, OTHER_PASSWORD.into());
    reset.await.expect("reset");
    assert_eq!(harness.authenticate(&ann.tokens).await.kind(), Some(ErrorKind::SessionRevoked));
    by_key(&harness.goat, &created).await.expect("programs keep running");
}

/// K1: a slow read of a key does not outlive a change that completes meanwhile.
async fn a_slow_read_of_a_key_does_not_survive_a_change(backend: Backend) {
    let harness = Harness::on(backend);
    for (number, is_known) in [false, true].into_iter().enumerate() {
        let ann = harness.member(&format!("ann{number}"), "client").await;
        let owner = harness.principal(&ann.tokens).await;
        let created = key(&harness, &ann, Scopes::Role).await;
        if is_known {
            by_key(&harness.goat, &created).await.expect("a live key");
        }
        let held = harness.failpoints.hold("keys.find", Point::Return);
        let (goat, secret) = (harness.goat.clone(), created.secret.clone());
        let reading = tokio::spawn(async move { goat.authenticate_token(secret.expose()).await });
        held.reached().await;
        harness.goat.keys().revoke(&owner, created.key.id).await.expect("it exists");
        held.release();
        drop(reading.await.expect("no panic"));
        let outcome = by_key(&harness.goat, &created).await;
        assert_eq!(outcome.kind(), Some(ErrorKind::InvalidToken), "known: {is_known}");
    }
}

/// K1, A2: the fresh read, and then the write's own transaction, check the key, its owner and its rights.
async fn a_write_checks_the_key_again(backend: Backend) {
    let harness = Harness::on(backend);
    let target = harness.user("carl", "client").await.id;
    let suspend = async |actor: Actor| {
        harness.goat.users().change_status(actor, target, Status::Suspended).await
    };
    for (number, change) in Change::ALL.into_iter().enumerate() {
        for is_fresh in [true, false] {
            let name = format!("olga{number}{is_fresh}");
            let olga = harness.member(&name, "operator").await;
            let owner = harness.principal(&olga.tokens).await;
            let created = key(&harness, &olga, only([READ, STATUS])).await;
            let principal = by_key(&harness.goat, &created).await.expect("a live key");
            let before = actor(&harness, &created).await;
            if matches!(change, Change::RevokePermission) {
                let grants = harness.goat.roles().grants_of("operator").await.expect("grants");
                let grant = grants.iter().find(|grant| grant.permission == STATUS);
                let grant = grant.expect("a grant").id;
                harness.goat.roles().revoke(system(), grant).await.expect("revoked");
            } else {
                change.apply(&harness, &owner, created.key.id).await;
            }
            let is_demoted = matches!(change, Change::Demote | Change::RevokePermission);
            let expected = if is_demoted { ErrorKind::Forbidden } else { ErrorKind::InvalidToken };
            let outcome = if is_fresh {
                match harness.goat.reauthenticate(&principal).await {
                    Ok(fresh) => suspend(fresh.into()).await,
                    Err(error) => Err(error),
                }
            } else {
                suspend(before).await
            };
            assert_eq!(outcome.kind(), Some(expected), "{change:?}, read again: {is_fresh}");
            if matches!(change, Change::RevokePermission) {
                harness.goat.roles().grant(system(), "operator", STATUS).await.expect("granted");
            }
        }
    }
    let olga = harness.member("olga", "operator").await;
    let scopes = [(only([READ]), Some(ErrorKind::Forbidden)), (only([STATUS]), None)];
    for (scopes, expected) in scopes {
        let created = key(&harness, &olga, scopes).await;
        let outcome = suspend(actor(&harness, &created).await).await;
        assert_eq!(outcome.kind(), expected);
    }
}

/// K1: of roles and permissions too.
async fn a_write_of_roles_checks_the_key_again(backend: Backend) {
    let harness = Harness::on(backend);
    let root = harness.member("root", "admin").await;
    let owner = harness.principal(&root.tokens).await;
    let grant = async |actor: Actor, text: &str| {
        let permission = Permission::parse(text).expect("a permission");
        harness.goat.roles().grant(actor, "client", permission).await
    };
    let whole = key(&harness, &root, Scopes::Role).await;
    let narrow = key(&harness, &root, only([Permission::new("user:*")])).await;
    assert!(grant(actor(&harness, &whole).await, "a:b").await.is_ok());
    let outcome = grant(actor(&harness, &narrow).await, "a:c").await;
    assert_eq!(outcome.kind(), Some(ErrorKind::Forbidden));
    let before = actor(&harness, &whole).await;
    harness.goat.keys().revoke(&owner, whole.key.id).await.expect("it exists");
    assert_eq!(grant(before, "a:d").await.kind(), Some(ErrorKind::InvalidToken));
}

/// K1, rank by key: the rank is the owner's, the permissions are the key's. The top rank acts on every user
/// by full access only.
async fn a_key_outranks_by_its_own_permissions(backend: Backend) {
    let harness = Harness::on(backend);
    let root = harness.member("root", "admin").await;
    let (vice, olga, carl) = (
        harness.user("vice", "admin").await.id,
        harness.user("olga", "operator").await.id,
        harness.user("carl", "client").await.id,
    );
    let whole = key(&harness, &root, Scopes::Role).await;
    let full = key(&harness, &root, only([Permission::FULL_ACCESS])).await;
    let all_of_users = key(&harness, &root, only([Permission::new("user:*")])).await;
    let narrow = key(&harness, &root, only([READ, Permission::new("user:change_role")])).await;
    for (key, reachable) in [
        (&whole, vec![vice, olga, carl]),
        (&full, vec![vice, olga, carl]),
        (&all_of_users, vec![olga, carl]),
        (&narrow, vec![carl]),
    ] {
        let me = by_key(&harness.goat, key).await.expect("a live key");
        let listed = harness.goat.users().list(&me, UserFilter::default()).await.expect("a list");
        assert_eq!(listed.users.len(), reachable.len() + 1, "and itself");
        for (id, role) in [(vice, "admin"), (olga, "operator"), (carl, "client")] {
            let is_reachable = reachable.contains(&id);
            let expected = (!is_reachable).then_some(ErrorKind::Outranked);
            assert_eq!(harness.goat.users().find(&me, id).await.kind(), expected);
            let by = actor(&harness, key).await;
            let changed = harness.goat.users().change_role(by, id, harness.role(role)).await;
            assert_eq!(changed.kind(), expected, "{role}");
            let by = actor(&harness, key).await;
            let assigned = harness.goat.users().change_role(by, carl, harness.role(role)).await;
            let expected = (!is_reachable).then_some(ErrorKind::RoleNotAssignable);
            assert_eq!(assigned.kind(), expected, "{role}");
            let back = harness.goat.users().change_role(system(), carl, harness.role("client"));
            back.await.expect("the system may");
        }
    }
}

/// K2: of every service.
async fn operations_of_sessions_refuse_a_key(backend: Backend) {
    let harness = Harness::on(backend);
    let root = harness.member("root", "admin").await;
    let carl = harness.member("carl", "client").await;
    let created = key(&harness, &root, Scopes::Role).await;
    let me = by_key(&harness.goat, &created).await.expect("a live key");
    let (goat, origin, page) = (&harness.goat, Origin::default(), PageRequest::default());
    let (users, sessions, keys) = (goat.users(), goat.sessions(), goat.keys());
    let by = async || actor(&harness, &created).await;
    let new = OTHER_PASSWORD.into();
    let step_up = StepUp::Password(PASSWORD.into());
    let update = UserUpdate { email: Some(email("other")), password: None };
    let vouch = || Vouch::single("ldap");
    drop(harness.failpoints.take_calls());
    let outcomes = [
        ("require_recent", goat.require_recent(&me).await.kind()),
        ("step_up", goat.step_up(&me, step_up, &origin).await.kind()),
        ("logout", goat.logout(&me, &origin).await.kind()),
        ("change_email", users.change_email(&me, email("new"), PASSWORD, &origin).await.kind()),
        (
            "change_password",
            users.change_password(&me, PASSWORD, &new, &Origin::default()).await.kind(),
        ),
        ("delete_self", users.delete_self(&me, PASSWORD).await.kind()),
        ("list", sessions.list(&me, page).await.kind()),
        ("list_of", sessions.list_of(&me, carl.user.id, page).await.kind()),
        ("revoke", sessions.revoke(&me, &[root.session]).await.kind()),
        ("revoke_all", sessions.revoke_all(&me, OtherSessions::KeepCurrent).await.kind()),
        ("keys", keys.list(&me, page).await.kind()),
        ("revoke_key", keys.revoke(&me, created.key.id).await.kind()),
    ];
    assert!(harness.failpoints.take_calls().is_empty(), "no store was asked");
    let outcomes = outcomes.into_iter().chain([
        ("revoke_all_of", sessions.revoke_all_of(by().await, carl.user.id).await.kind()),
        ("update", users.update(by().await, carl.user.id, update).await.kind()),
        ("reset_password", {
            let reset = users.reset_password(by().await, carl.user.id, OTHER_PASSWORD.into());
            reset.await.kind()
        }),
        ("revoke_all_keys", keys.revoke_all(by().await).await.kind()),
        ("open", sessions.open(by().await, carl.user.id, vouch(), origin.clone()).await.kind()),
    ]);
    for (operation, outcome) in outcomes {
        assert_eq!(outcome, Some(ErrorKind::SessionRequired), "{operation}");
    }
    // The permission comes first.
    let narrow = key(&harness, &root, only([Permission::new("a:b")])).await;
    let me = by_key(goat, &narrow).await.expect("a live key");
    let outcome = sessions.list_of(&me, carl.user.id, page).await;
    assert_eq!(outcome.kind(), Some(ErrorKind::Forbidden));
    for scopes in [only([Permission::new("session:*")]), only([Permission::FULL_ACCESS])] {
        let by = actor(&harness, &key(&harness, &root, scopes).await).await;
        let outcome = sessions.open(by, carl.user.id, vouch(), origin.clone()).await;
        assert_eq!(outcome.kind(), Some(ErrorKind::SessionRequired), "it is not named");
    }
    let named = key(&harness, &root, only([SESSION_CREATE])).await;
    let by = actor(&harness, &named).await;
    let opened = sessions.open(by, carl.user.id, vouch(), origin).await.expect("it is named");
    assert_eq!(opened.user.id, carl.user.id);
    // What a key may do: its own attributes, and a user with its first password.
    users.change_own_attributes(&me, AttributePatch::default()).await.expect("allowed");
    let by = actor(&harness, &created).await;
    let new = NewUser {
        email: email("fresh"),
        password: Some(PASSWORD.into()),
        role: harness.role("client"),
        status: Status::Active,
    };
    users.create(by, new).await.expect("allowed");
}

/// K7: the last use is recorded once an hour, key and node, and no request waits for it.
async fn the_last_use_is_recorded_once_an_hour_off_the_request_path(backend: Backend) {
    const HOUR: Duration = Duration::from_secs(3600);
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "client").await;
    let keys = [key(&harness, &ann, Scopes::Role).await, key(&harness, &ann, Scopes::Role).await];
    let forged = goat_core::testing::forged_key(&keys[0].secret, &keys[1].secret);
    let start = harness.goat.time().now();
    let hour = start.as_millis() / 3_600_000 * 3_600_000;
    let last_use = async |key: &CreatedKey| {
        let view = harness.stores.keys.find(key.key.id).await.expect("the store responds");
        view.expect("it exists")
            .stored
            .key
            .last_used_at
            .map(|at| (at.as_millis() - hour) / 3_600_000)
    };
    let record = async || harness.goat.keys().record_uses().await.expect("the store responds");
    drop(harness.goat.authenticate_token(forged.expose()).await);
    assert_eq!(record().await, 0, "a wrong secret is no use");
    for passed in 0..3 {
        drop(harness.failpoints.take_calls());
        for _ in 0..5 {
            by_key(&harness.goat, &keys[0]).await.expect("a live key");
        }
        assert!(!harness.failpoints.take_calls().contains(&"keys.used"));
        let before = last_use(&keys[0]).await;
        harness.failpoints.fail("keys.used", Point::Entry);
        assert!(harness.goat.keys().record_uses().await.is_err());
        assert_eq!(last_use(&keys[0]).await, before, "left to the next call");
        drop(harness.failpoints.take_calls());
        assert_eq!((record().await, record().await), (1, 0));
        assert_eq!(harness.failpoints.take_calls(), ["keys.used"]);
        assert_eq!(last_use(&keys[0]).await, Some(passed), "to the hour");
        assert_eq!(last_use(&keys[1]).await, None);
        harness.clock.advance(HOUR);
    }
}

/// O1: a store that does not answer rejects no key for good, and admits none; its failure is not cached.
async fn a_key_is_neither_admitted_nor_invalid_while_its_store_is_down(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "client").await;
    let created = key(&harness, &ann, Scopes::Role).await;
    for _ in 0..2 {
        harness.failpoints.fail("keys.find", Point::Entry);
        let outcome = by_key(&harness.goat, &created).await;
        assert_eq!(outcome.kind(), Some(ErrorKind::Unavailable));
        let principal = by_key(&harness.goat, &created).await.expect("it is back");
        harness.failpoints.fail("keys.find", Point::Return);
        let outcome = harness.goat.reauthenticate(&principal).await;
        assert_eq!(outcome.kind(), Some(ErrorKind::Unavailable));
        harness.advance(1);
    }
}

/// The key of a user that another store keeps: the owner is read there, and a deleted one is gone.
#[tokio::test]
async fn keys_in_a_store_without_users_work() {
    let keys = Stores::memory().keys;
    let harness =
        Harness::on(Backend::over(Stores { keys: Arc::clone(&keys), ..Stores::memory() }));
    let olga = harness.member("olga", "operator").await;
    let carl = harness.user("carl", "client").await.id;
    let created = key(&harness, &olga, Scopes::Role).await;
    drop(harness.failpoints.take_calls());
    by_key(&harness.goat, &created).await.expect("a live key");
    assert_eq!(harness.failpoints.take_calls(), ["keys.find", "users.state"]);
    cached(&harness, &created).await;
    let by = actor(&harness, &created).await;
    harness.goat.users().change_status(by, carl, Status::Suspended).await.expect("it may");
    let suspended = harness.goat.users().change_status(system(), olga.user.id, Status::Suspended);
    suspended.await.expect("suspended");
    let outcome = by_key(&harness.goat, &created).await;
    assert_eq!(outcome.kind(), Some(ErrorKind::InvalidToken));
}

on_every_store! {
    a_key_has_the_rights_of_its_owner_that_its_scopes_name,
    a_wrong_secret_costs_and_looks_like_an_unknown_key,
    a_key_is_no_token_and_a_token_no_key,
    keys_expire,
    changes_are_in_force_for_keys,
    a_slow_read_of_a_key_does_not_survive_a_change,
    a_write_checks_the_key_again,
    a_write_of_roles_checks_the_key_again,
    a_store_that_ignores_the_key_of_a_write_allows_none,
    a_key_outranks_by_its_own_permissions,
    operations_of_sessions_refuse_a_key,
    the_last_use_is_recorded_once_an_hour_off_the_request_path,
    a_key_is_neither_admitted_nor_invalid_while_its_store_is_down,
}
