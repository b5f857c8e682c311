//! What roles may do: against a naive evaluator, at once here and soon elsewhere.

use std::collections::BTreeSet;

use goat_core::access::Grant;
use goat_core::auth::SignedIn;
use goat_core::event::EventKind;
use goat_core::{ErrorKind, Goat, GrantId, PageRequest, Permission, Status, Timestamp};

use crate::support::{Ground, House, Outcome, on_every_store, system};

const ROLES: [&str; 3] = ["client", "operator", "admin"];
const REPORTS: Permission = Permission::new("report:read");

/// Every permission over two resources and two verbs, wildcards included.
fn every_permission() -> Vec<Permission> {
    let mut all = vec![Permission::FULL_ACCESS];
    for resource in ["book", "page"] {
        for verb in ["read", "write", "*"] {
            all.push(Permission::parse(&format!("{resource}:{verb}")).expect("a permission"));
        }
    }
    all
}

/// The rule as it is read: everything, the very same, or the resource's wildcard.
fn naive(granted: &BTreeSet<(usize, String)>, role: usize, asked: &Permission) -> bool {
    let has = |text: &str| granted.contains(&(role, text.to_owned()));
    let wildcard = asked.as_str().split_once(':').map(|(resource, _)| format!("{resource}:*"));
    has("full_access") || has(asked.as_str()) || wildcard.is_some_and(|wildcard| has(&wildcard))
}

async fn may(goat: &Goat, who: &SignedIn, asked: &Permission) -> bool {
    goat.authenticate_token(who.tokens.access_token.expose()).await.expect("a session").may(asked)
}

/// A6
async fn random_grants_agree_with_a_naive_evaluator(ground: Ground) {
    let house = House::on(ground);
    let neighbour = house.neighbour();
    let mut people = Vec::new();
    for role in ROLES {
        people.push(house.member(&format!("a-{role}"), role).await);
    }
    let all = every_permission();
    let mut granted = BTreeSet::from([(2, "full_access".to_owned())]);
    let mut held: Vec<Grant> = Vec::new();
    let mut seed = 7_u64;
    let mut roll = |sides: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % sides
    };
    for step in 0..80 {
        if roll(2) == 0 && !held.is_empty() {
            let grant = held.swap_remove(roll(held.len()));
            house.goat.roles().revoke(system(), grant.id).await.expect("revoked");
            let role = ROLES.iter().position(|role| *role == grant.role.as_str());
            granted.remove(&(role.expect("a role"), grant.permission.to_string()));
            let again = house.goat.roles().revoke(system(), grant.id).await.kind();
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
            let roles = house.goat.roles();
            let outcome = roles.grant(system(), ROLES[role], permission.clone()).await;
            assert_eq!(outcome.kind(), expected, "{permission} for {}", ROLES[role]);
            if let Ok(grant) = outcome {
                granted.insert((role, permission.to_string()));
                held.push(grant);
            }
        }
        for (role, person) in people.iter().enumerate() {
            for asked in &all {
                let expected = naive(&granted, role, asked);
                for goat in [&house.goat, &neighbour] {
                    let real = may(goat, person, asked).await;
                    assert_eq!(real, expected, "step {step}: {asked} for {}", ROLES[role]);
                }
            }
        }
    }
    let page = house.goat.roles().grants(PageRequest::default()).await.expect("a page");
    assert!(page.items.is_sorted_by_key(|grant| grant.id));
}

async fn the_full_access_of_the_highest_role_stays(ground: Ground) {
    let house = House::on(ground);
    let roles = house.goat.roles();
    let grants = {
        house.goat.prepare().await.expect("ready");
        roles.grants_of("admin").await.expect("grants")
    };
    let refused = roles.revoke(system(), grants[0].id).await.kind();
    assert_eq!(refused, Some(ErrorKind::LastAdministrator));
    let unknown = GrantId::generate(Timestamp::from_millis(0));
    assert_eq!(roles.revoke(system(), unknown).await.kind(), Some(ErrorKind::NotFound));
    assert_eq!(roles.grants_of("ghost").await.kind(), Some(ErrorKind::NotFound));
    let ghost = roles.grant(system(), "ghost", REPORTS).await.kind();
    assert_eq!(ghost, Some(ErrorKind::Invalid));
}

/// Only `full_access` changes what roles may do, also where the input is wrong besides.
async fn only_full_access_changes_what_roles_may_do(ground: Ground) {
    let house = House::on(ground);
    house.user("root", "admin").await;
    let operator = house.member("olga", "operator").await.tokens;
    let roles = house.goat.roles();
    let forbidden = Some(ErrorKind::Forbidden);
    for (role, permission) in
        [("operator", REPORTS), ("operator", Permission::FULL_ACCESS), ("ghost", REPORTS)]
    {
        let actor = house.actor(&operator).await;
        assert_eq!(roles.grant(actor, role, permission).await.kind(), forbidden);
    }
    let grant = roles.grants_of("operator").await.expect("grants").remove(0);
    let actor = house.actor(&operator).await;
    assert_eq!(roles.revoke(actor, grant.id).await.kind(), forbidden);
    let admin = house.sign_in("root").await.tokens;
    let actor = house.actor(&admin).await;
    roles.revoke(actor, grant.id).await.expect("revoked");
}

/// Effects are immediate on the goat that answered, and on those that hear it.
async fn changes_of_rights_are_in_force_when_they_return(ground: Ground) {
    let house = House::on(ground);
    let neighbour = house.neighbour();
    let ann = house.member("ann", "client").await;
    for goat in [&house.goat, &neighbour] {
        assert!(!may(goat, &ann, &REPORTS).await);
    }
    let grant = house.goat.roles().grant(system(), "operator", REPORTS).await.expect("granted");
    let operator = house.role("operator");
    house.goat.users().change_role(system(), ann.user.id, operator).await.expect("promoted");
    for goat in [&house.goat, &neighbour] {
        assert!(may(goat, &ann, &REPORTS).await);
    }
    house.goat.roles().revoke(system(), grant.id).await.expect("revoked");
    for goat in [&house.goat, &neighbour] {
        assert!(!may(goat, &ann, &REPORTS).await);
    }
    let users = neighbour.users();
    users.change_status(system(), ann.user.id, Status::Suspended).await.expect("suspended");
    for goat in [&house.goat, &neighbour] {
        let token = ann.tokens.access_token.expose();
        assert_eq!(goat.authenticate_token(token).await.kind(), Some(ErrorKind::SessionRevoked));
    }
}

/// A node whose notices are lost sees every change within the staleness.
async fn a_deaf_node_sees_every_change_within_the_staleness(ground: Ground) {
    let house = House::on(ground);
    let deaf = house.deaf_neighbour();
    let ann = house.member("ann", "client").await;
    let ben = house.member("ben", "client").await;
    assert!(!may(&deaf, &ann, &REPORTS).await);
    assert!(!may(&deaf, &ben, &REPORTS).await);
    house.goat.roles().grant(system(), "client", REPORTS).await.expect("granted");
    house.advance(1);
    assert!(may(&deaf, &ann, &REPORTS).await, "a grant");

    let role = house.role("operator");
    house.goat.users().change_role(system(), ann.user.id, role).await.expect("promoted");
    house.advance(1);
    assert!(!may(&deaf, &ann, &REPORTS).await, "a change of role");

    assert!(may(&deaf, &ben, &REPORTS).await);
    house.logout(&ben.tokens).await;
    let users = house.goat.users();
    users.change_status(system(), ann.user.id, Status::Suspended).await.expect("suspended");
    house.advance(1);
    for person in [&ann, &ben] {
        let token = person.tokens.access_token.expose();
        assert_eq!(deaf.authenticate_token(token).await.kind(), Some(ErrorKind::SessionRevoked));
    }
}

/// What lists the roles goes by no revision, and is no older for it.
async fn a_deaf_node_lists_the_roles_no_older_than_the_staleness(ground: Ground) {
    let house = House::on(ground);
    let deaf = house.deaf_neighbour();
    assert!(deaf.roles().list().await.expect("roles")[0].permissions.is_empty());
    house.goat.roles().grant(system(), "client", REPORTS).await.expect("granted");
    house.advance(1);
    assert_eq!(deaf.roles().list().await.expect("roles")[0].permissions, [REPORTS]);
}

/// The staleness of zero: nothing is remembered.
async fn without_staleness_a_deaf_node_sees_changes_at_once(ground: Ground) {
    let house =
        House::with(ground, |settings| settings.cache_staleness = std::time::Duration::ZERO);
    let deaf = house.deaf_neighbour();
    let ann = house.member("ann", "client").await;
    assert!(!may(&deaf, &ann, &REPORTS).await);
    house.goat.roles().grant(system(), "client", REPORTS).await.expect("granted");
    assert!(may(&deaf, &ann, &REPORTS).await);
    house.logout(&ann.tokens).await;
    let token = ann.tokens.access_token.expose();
    assert_eq!(deaf.authenticate_token(token).await.kind(), Some(ErrorKind::SessionRevoked));
}

/// A live verdict is answered from memory, without a store.
async fn a_live_verdict_asks_no_store(ground: Ground) {
    let house = House::on(ground);
    let ann = house.member("ann", "client").await;
    house.principal(&ann.tokens).await;
    drop(house.pauses.take_calls());
    for _ in 0..10 {
        house.principal(&ann.tokens).await;
    }
    assert!(house.pauses.take_calls().is_empty());
    assert_eq!(house.goat.sessions().cache_stats().hits, 10);
}

/// The role that a person has and the set does not know allows nothing and ranks lowest.
async fn a_role_that_the_set_does_not_know_allows_nothing(ground: Ground) {
    use goat_core::{RoleSet, token::TokenKeys};
    let house = House::on(ground);
    let root = house.member("root", "admin").await;
    let boss = house.member("boss", "admin").await.user.id;
    let keys = TokenKeys::generate();
    let roles = RoleSet::new([("client", vec![]), ("chief", vec!["full_access"])]);
    let goat = Goat::builder(house.stores.clone(), keys)
        .roles(roles.expect("a set"))
        .hasher(std::sync::Arc::new(house.hasher.clone()))
        .build()
        .expect("a goat");
    let tokens = crate::support::login(&goat, "root@example.org", crate::support::PASSWORD).await;
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

async fn events_of_rights_say_who_did_what(ground: Ground) {
    let house = House::on(ground);
    let root = house.member("root", "admin").await;
    house.events.take();
    let actor = house.actor(&root.tokens).await;
    let grant = house.goat.roles().grant(actor, "client", REPORTS).await.expect("granted");
    let actor = house.actor(&root.tokens).await;
    house.goat.roles().revoke(actor, grant.id).await.expect("revoked");
    let told: Vec<_> = house.events.take().into_iter().map(|one| (one.kind, one.actor)).collect();
    let by = goat_core::event::EventActor::User(root.user.id);
    assert_eq!(
        told,
        [(EventKind::PermissionGranted, by.clone()), (EventKind::PermissionRevoked, by)],
    );
}

on_every_store![
    random_grants_agree_with_a_naive_evaluator,
    the_full_access_of_the_highest_role_stays,
    only_full_access_changes_what_roles_may_do,
    changes_of_rights_are_in_force_when_they_return,
    a_deaf_node_sees_every_change_within_the_staleness,
    a_deaf_node_lists_the_roles_no_older_than_the_staleness,
    without_staleness_a_deaf_node_sees_changes_at_once,
    a_live_verdict_asks_no_store,
    a_role_that_the_set_does_not_know_allows_nothing,
    events_of_rights_say_who_did_what,
];
