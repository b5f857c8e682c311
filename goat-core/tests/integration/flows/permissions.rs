//! Permissions of roles, compared with a naive evaluator: immediate on the same node, bounded by
//! the staleness on others.

use std::collections::BTreeSet;
use std::slice;

use goat_core::access::Grant;
use goat_core::auth::SignedIn;
use goat_core::event::EventKind;
use goat_core::key::{CreatedKey, Key, NewKey, Scopes, StoredKey};
use goat_core::store::{RoleChange, RoleSnapshot, RoleWrite};
use goat_core::{
    ErrorKind, Goat, GrantId, PageRequest, Permission, Principal, RoleSet, Secret, Status,
    Timestamp,
};

use crate::flows::support::{Backend, Harness, Outcome, on_every_store, system};

const ROLES: [&str; 3] = ["client", "operator", "admin"];
const REPORTS: Permission = Permission::new("report:read");

/// All permissions over two resources and two verbs, wildcards included.
fn every_permission() -> Vec<Permission> {
    let mut all = vec![Permission::FULL_ACCESS];
    for resource in ["book", "page"] {
        for verb in ["read", "write", "*"] {
            all.push(Permission::parse(&format!("{resource}:{verb}")).expect("a permission"));
        }
    }
    all
}

/// The rule, written naively: full access, the permission itself, or the wildcard of its resource.
fn naive(granted: &BTreeSet<(usize, String)>, role: usize, required: &Permission) -> bool {
    let has = |text: &str| granted.contains(&(role, text.to_owned()));
    let wildcard = required.as_str().split_once(':').map(|(resource, _)| format!("{resource}:*"));
    has("full_access") || has(required.as_str()) || wildcard.is_some_and(|wildcard| has(&wildcard))
}

async fn may(goat: &Goat, user: &SignedIn, required: &Permission) -> bool {
    goat.authenticate_token(user.tokens.access_token.expose())
        .await
        .expect("a session")
        .may(required)
}

/// A key with these scopes, or with all rights of the role, of a user that may lack them: the role had them
/// at its creation.
async fn a_key(
    harness: &Harness,
    owner: &Principal,
    scopes: Option<&BTreeSet<Permission>>,
) -> Secret<String> {
    let scopes = scopes.map_or(Scopes::Role, |scopes| {
        Scopes::only(scopes.iter().cloned()).expect("a few permissions")
    });
    let recent = harness.goat.require_recent(owner).await.expect("it is recent");
    let new = NewKey { name: "a program".to_owned(), scopes: Scopes::Role, expires_in: None };
    let CreatedKey { key, secret } = harness.goat.keys().create(recent, new).await.expect("a key");
    let keys = &harness.stores.keys;
    let stored = keys.find(key.id).await.expect("the store responds").expect("it exists").stored;
    assert!(keys.revoke(key.owner, key.id).await.expect("the store responds"));
    let scoped = StoredKey { key: Key { scopes, ..key }, ..stored };
    keys.create(&scoped, 50).await.expect("the store responds");
    secret
}

/// A6, K1
async fn random_grants_agree_with_a_naive_evaluator(backend: Backend) {
    let harness = Harness::on(backend);
    let other_node = harness.second_node();
    let mut people = Vec::new();
    for role in ROLES {
        people.push(harness.member(&format!("a-{role}"), role).await);
    }
    let all = every_permission();
    let mut granted = BTreeSet::from([(2, "full_access".to_owned())]);
    let mut held: Vec<Grant> = Vec::new();
    let mut seed = 7_u64;
    let mut roll = |sides: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % sides
    };
    // K1: keys of each person, with random scopes, and one with all rights of the role.
    let mut keys = Vec::new();
    for (role, person) in people.iter().enumerate() {
        let me = harness.principal(&person.tokens).await;
        for number in 0..4 {
            let scopes: BTreeSet<_> =
                (0..number * 2).map(|_| all[roll(all.len())].clone()).collect();
            let named = (number > 0).then_some(&scopes);
            let key = a_key(&harness, &me, named).await;
            keys.push((role, named.cloned(), key));
        }
    }
    for step in 0..80 {
        if roll(2) == 0 && !held.is_empty() {
            let grant = held.swap_remove(roll(held.len()));
            harness.goat.roles().revoke(system(), grant.id).await.expect("revoked");
            let role = ROLES.iter().position(|role| *role == grant.role.as_str());
            granted.remove(&(role.expect("a role"), grant.permission.to_string()));
            let again = harness.goat.roles().revoke(system(), grant.id).await.kind();
            assert_eq!(again, Some(ErrorKind::NotFound));
        } else {
            let (role, permission) = (roll(3), all[roll(all.len())].clone());
            let expected = if permission.is_full_access() && role < 2 {
                Some(ErrorKind::Invalid)
            } else if granted.contains(&(role, permission.to_string())) {
                Some(ErrorKind::PermissionExists)
            } else {
                None
            };
            let roles = harness.goat.roles();
            let outcome = roles.grant(system(), ROLES[role], permission.clone()).await;
            assert_eq!(outcome.kind(), expected, "{permission} for {}", ROLES[role]);
            if let Ok(grant) = outcome {
                granted.insert((role, permission.to_string()));
                held.push(grant);
            }
        }
        for (role, person) in people.iter().enumerate() {
            for required in &all {
                let expected = naive(&granted, role, required);
                for goat in [&harness.goat, &other_node] {
                    let real = may(goat, person, required).await;
                    assert_eq!(real, expected, "step {step}: {required} for {}", ROLES[role]);
                }
            }
        }
        for (role, scopes, key) in &keys {
            let scoped = |required: &Permission| {
                let named = scopes.iter().flatten().map(|scope| (0, scope.to_string())).collect();
                scopes.is_none() || naive(&named, 0, required)
            };
            for goat in [&harness.goat, &other_node] {
                let me = goat.authenticate_token(key.expose()).await.expect("a live key");
                let listed: Vec<_> = me.permissions().iter().map(ToString::to_string).collect();
                let listed = listed.into_iter().map(|permission| (0, permission)).collect();
                for required in &all {
                    let expected = naive(&granted, *role, required) && scoped(required);
                    let of = format!("step {step}: {required} for {} by {scopes:?}", ROLES[*role]);
                    assert_eq!(me.may(required), expected, "{of}");
                    assert_eq!(naive(&listed, 0, required), expected, "{of}: the list");
                }
            }
        }
    }
    let page = harness.goat.roles().grants(PageRequest::default()).await.expect("a page");
    assert!(page.items.is_sorted_by_key(|grant| grant.id));
}

/// A8: `full_access` of the role given at sign-up has no effect, however it got into the store, and a
/// start is refused.
async fn the_sign_up_role_never_has_full_access(backend: Backend) {
    let harness = Harness::on(backend);
    let (ann, root) =
        (harness.member("ann", "client").await, harness.member("root", "admin").await);
    harness.goat.prepare().await.expect("ready");
    let roles = harness.goat.roles();
    let refused = roles.grant(system(), "client", Permission::FULL_ACCESS).await.kind();
    assert_eq!(refused, Some(ErrorKind::Invalid));

    let now = Timestamp::from_millis(0);
    let grant = Grant {
        id: GrantId::generate(now),
        role: harness.role("client"),
        permission: Permission::FULL_ACCESS,
        created_at: now,
    };
    let decide = |_: &RoleSnapshot| Ok(RoleChange::Grant(vec![grant.clone()]));
    let write = RoleWrite { actor: None, key: None, deletes: None, decide: &decide };
    harness.stores.roles.write(write).await.expect("written past goat");
    harness.advance(1);
    let restarted = harness.second_node();
    let error = restarted.prepare().await.expect_err("a refused start");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("sign-up"), "{error}");
    for goat in [&harness.goat, &restarted] {
        assert!(
            !may(goat, &ann, &REPORTS).await && !may(goat, &ann, &Permission::FULL_ACCESS).await
        );
        assert!(goat.roles().list().await.expect("roles")[0].permissions.is_empty());
    }
    // Neither the fresh read nor the write's own transaction takes it into account.
    let actor = harness.actor(&ann.tokens).await;
    let refused = harness.goat.users().delete(actor, root.user.id).await.kind();
    assert_eq!(refused, Some(ErrorKind::Forbidden));

    // An administrator sees the grant and revokes it.
    let stored = roles.grants_of("client").await.expect("grants");
    assert_eq!(stored, slice::from_ref(&grant));
    roles.revoke(harness.actor(&root.tokens).await, grant.id).await.expect("revoked");
    harness.second_node().prepare().await.expect("ready");

    // A role set in which the former highest role is the lowest.
    let set = RoleSet::new([("admin", vec![]), ("chief", vec!["full_access"])]).expect("a set");
    let other = harness.node_with_roles(set);
    assert_eq!(other.prepare().await.kind(), Some(ErrorKind::Configuration));
    assert!(!may(&other, &root, &REPORTS).await);
}

async fn the_highest_role_cannot_lose_full_access(backend: Backend) {
    let harness = Harness::on(backend);
    let roles = harness.goat.roles();
    let grants = {
        harness.goat.prepare().await.expect("ready");
        roles.grants_of("admin").await.expect("grants")
    };
    let refused = roles.revoke(system(), grants[0].id).await.kind();
    assert_eq!(refused, Some(ErrorKind::LastAdministrator));
    let unknown = GrantId::generate(Timestamp::from_millis(0));
    assert_eq!(roles.revoke(system(), unknown).await.kind(), Some(ErrorKind::NotFound));
    assert_eq!(roles.grants_of("unknown").await.kind(), Some(ErrorKind::NotFound));
    let unknown = roles.grant(system(), "unknown", REPORTS).await.kind();
    assert_eq!(unknown, Some(ErrorKind::Invalid));
}

/// Changing roles requires `full_access`; this is checked before the input.
async fn changing_roles_requires_full_access(backend: Backend) {
    let harness = Harness::on(backend);
    harness.user("root", "admin").await;
    let operator = harness.member("olga", "operator").await.tokens;
    let roles = harness.goat.roles();
    let forbidden = Some(ErrorKind::Forbidden);
    for (role, permission) in
        [("operator", REPORTS), ("operator", Permission::FULL_ACCESS), ("unknown", REPORTS)]
    {
        let actor = harness.actor(&operator).await;
        assert_eq!(roles.grant(actor, role, permission).await.kind(), forbidden);
    }
    let grant = roles.grants_of("operator").await.expect("grants").remove(0);
    let actor = harness.actor(&operator).await;
    assert_eq!(roles.revoke(actor, grant.id).await.kind(), forbidden);
    let admin = harness.sign_in("root").await.tokens;
    let actor = harness.actor(&admin).await;
    roles.revoke(actor, grant.id).await.expect("revoked");
}

/// Changes take effect at once on this node and on nodes that received the invalidation.
async fn permission_changes_take_effect_before_they_return(backend: Backend) {
    let harness = Harness::on(backend);
    let other_node = harness.second_node();
    let ann = harness.member("ann", "client").await;
    for goat in [&harness.goat, &other_node] {
        assert!(!may(goat, &ann, &REPORTS).await);
    }
    let grant = harness.goat.roles().grant(system(), "operator", REPORTS).await.expect("granted");
    let operator = harness.role("operator");
    harness.goat.users().change_role(system(), ann.user.id, operator).await.expect("promoted");
    for goat in [&harness.goat, &other_node] {
        assert!(may(goat, &ann, &REPORTS).await);
    }
    harness.goat.roles().revoke(system(), grant.id).await.expect("revoked");
    for goat in [&harness.goat, &other_node] {
        assert!(!may(goat, &ann, &REPORTS).await);
    }
    let users = other_node.users();
    users.change_status(system(), ann.user.id, Status::Suspended).await.expect("suspended");
    for goat in [&harness.goat, &other_node] {
        let token = ann.tokens.access_token.expose();
        assert_eq!(goat.authenticate_token(token).await.kind(), Some(ErrorKind::SessionRevoked));
    }
}

/// A node that loses invalidations sees every change within the staleness.
async fn a_disconnected_node_sees_changes_within_the_staleness(backend: Backend) {
    let harness = Harness::on(backend);
    let disconnected = harness.disconnected_node();
    let ann = harness.member("ann", "client").await;
    let ben = harness.member("ben", "client").await;
    assert!(!may(&disconnected, &ann, &REPORTS).await);
    assert!(!may(&disconnected, &ben, &REPORTS).await);
    harness.goat.roles().grant(system(), "client", REPORTS).await.expect("granted");
    harness.advance(1);
    assert!(may(&disconnected, &ann, &REPORTS).await, "a grant");

    let role = harness.role("operator");
    harness.goat.users().change_role(system(), ann.user.id, role).await.expect("promoted");
    harness.advance(1);
    assert!(!may(&disconnected, &ann, &REPORTS).await, "a change of role");

    assert!(may(&disconnected, &ben, &REPORTS).await);
    harness.logout(&ben.tokens).await;
    let users = harness.goat.users();
    users.change_status(system(), ann.user.id, Status::Suspended).await.expect("suspended");
    harness.advance(1);
    for person in [&ann, &ben] {
        let token = person.tokens.access_token.expose();
        assert_eq!(
            disconnected.authenticate_token(token).await.kind(),
            Some(ErrorKind::SessionRevoked)
        );
    }
}

/// Listing the roles does not compare revisions, but the staleness applies too.
async fn a_disconnected_node_lists_roles_within_the_staleness(backend: Backend) {
    let harness = Harness::on(backend);
    let disconnected = harness.disconnected_node();
    assert!(disconnected.roles().list().await.expect("roles")[0].permissions.is_empty());
    harness.goat.roles().grant(system(), "client", REPORTS).await.expect("granted");
    harness.advance(1);
    assert_eq!(disconnected.roles().list().await.expect("roles")[0].permissions, [REPORTS]);
}

/// With a staleness of zero nothing is cached.
async fn without_staleness_a_disconnected_node_sees_changes_at_once(backend: Backend) {
    let harness =
        Harness::with(backend, |settings| settings.cache_staleness = std::time::Duration::ZERO);
    let disconnected = harness.disconnected_node();
    let ann = harness.member("ann", "client").await;
    assert!(!may(&disconnected, &ann, &REPORTS).await);
    harness.goat.roles().grant(system(), "client", REPORTS).await.expect("granted");
    assert!(may(&disconnected, &ann, &REPORTS).await);
    harness.logout(&ann.tokens).await;
    let token = ann.tokens.access_token.expose();
    assert_eq!(
        disconnected.authenticate_token(token).await.kind(),
        Some(ErrorKind::SessionRevoked)
    );
}

/// Authentication with a cached session calls no store.
async fn a_cached_validation_calls_no_store(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "client").await;
    harness.principal(&ann.tokens).await;
    drop(harness.failpoints.take_calls());
    for _ in 0..10 {
        harness.principal(&ann.tokens).await;
    }
    assert!(harness.failpoints.take_calls().is_empty());
    assert_eq!(harness.goat.sessions().cache_stats().hits, 10);
}

/// A user's role that the set does not contain grants nothing and ranks lowest.
async fn an_unknown_role_grants_nothing(backend: Backend) {
    use goat_core::{RoleSet, token::TokenKeys};
    let harness = Harness::on(backend);
    let root = harness.member("root", "admin").await;
    let boss = harness.member("boss", "admin").await.user.id;
    let keys = TokenKeys::generate();
    let roles = RoleSet::new([("client", vec![]), ("chief", vec!["full_access"])]);
    let goat = Goat::builder(harness.stores.clone(), keys)
        .roles(roles.expect("a set"))
        .hasher(std::sync::Arc::new(harness.hasher.clone()))
        .build()
        .expect("a goat");
    let tokens =
        crate::flows::support::login(&goat, "root@example.org", crate::flows::support::PASSWORD)
            .await;
    let tokens = tokens.expect("a session").tokens;
    let me = goat.authenticate_token(tokens.access_token.expose()).await.expect("a session");
    assert!(!me.may(&REPORTS) && !me.may(&Permission::FULL_ACCESS));
    let actor = || async { goat.reauthenticate(&me).await.expect("a session").into() };
    let forbidden = Some(ErrorKind::Forbidden);
    assert_eq!(goat.users().delete(actor().await, boss).await.kind(), forbidden);
    assert_eq!(goat.roles().grant(actor().await, "client", REPORTS).await.kind(), forbidden);
    assert!(!goat.users().has_administrator().await.expect("an answer"));
    drop(root);
}

async fn permission_events_have_an_actor(backend: Backend) {
    let harness = Harness::on(backend);
    let root = harness.member("root", "admin").await;
    harness.events.take();
    let actor = harness.actor(&root.tokens).await;
    let grant = harness.goat.roles().grant(actor, "client", REPORTS).await.expect("granted");
    let actor = harness.actor(&root.tokens).await;
    harness.goat.roles().revoke(actor, grant.id).await.expect("revoked");
    let events: Vec<_> =
        harness.events.take().into_iter().map(|one| (one.kind, one.actor)).collect();
    let by = goat_core::event::EventActor::User(root.user.id);
    assert_eq!(
        events,
        [(EventKind::PermissionGranted, by.clone()), (EventKind::PermissionRevoked, by)],
    );
}

on_every_store![
    random_grants_agree_with_a_naive_evaluator,
    the_sign_up_role_never_has_full_access,
    the_highest_role_cannot_lose_full_access,
    changing_roles_requires_full_access,
    permission_changes_take_effect_before_they_return,
    a_disconnected_node_sees_changes_within_the_staleness,
    a_disconnected_node_lists_roles_within_the_staleness,
    without_staleness_a_disconnected_node_sees_changes_at_once,
    a_cached_validation_calls_no_store,
    an_unknown_role_grants_nothing,
    permission_events_have_an_actor,
];
