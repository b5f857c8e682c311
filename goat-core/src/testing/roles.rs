//! Conformance suite of [`RoleStore`].
//!
//! [`conformance`] checks the guarantees of every store, [`conformance_with_users`] those of a
//! store that also holds the users. Each case uses fresh roles, so that one store can run all
//! cases, repeatedly, but not concurrently with another suite: the cases count revisions.
//!
//! Each function panics if the store violates a guarantee of the port.

#![expect(clippy::missing_panics_doc, reason = "a panic is the result of these functions")]

pub mod stored;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::access::{Grant, Permission, Role, RoleRows};
use crate::error::ErrorKind;
use crate::id::{GrantId, UserId};
use crate::store::{
    RoleChange, RoleSnapshot, RoleStore, RoleWrite, RoleWriteOutcome, UserChange, UserSnapshot,
    UserStore, UserWrite, UserWriteOutcome,
};
use crate::user::{Account, Status};

use super::sample::{START, account, later, race, role};

/// Runs every case that needs no users.
pub async fn conformance(store: &Arc<dyn RoleStore>) {
    a_grant_is_stored_and_raises_the_revision(store).await;
    a_revoked_grant_raises_the_revision(store).await;
    a_write_without_effect_keeps_the_revision(store).await;
    a_refused_write_has_no_effect(store).await;
    stored::a_role_is_stored_with_its_rank(store).await;
    stored::roles_and_grants_change_in_one_write(store).await;
    stored::a_deleted_role_takes_its_grants_with_it(store).await;
    a_missing_actor_is_none(store).await;
    concurrent_grants_are_all_stored(store).await;
    concurrent_grants_of_one_permission_store_one(store).await;
    cached_rows_equal_the_rows(store).await;
    cached_rows_include_every_completed_write(store).await;
}

/// Runs every case that involves users in the same store.
pub async fn conformance_with_users(roles: &Arc<dyn RoleStore>, users: &Arc<dyn UserStore>) {
    a_state_carries_the_revision(roles, users).await;
    a_role_write_sees_its_actor(roles, users).await;
    a_user_write_sees_the_permissions_of_all_roles(roles, users).await;
    a_suspended_actor_grants_nothing(roles, users).await;
    stored::a_deletion_sees_the_number_of_users(roles, users).await;
    stored::a_user_write_sees_whether_the_assigned_role_exists(roles, users).await;
    stored::no_user_has_a_role_that_was_deleted_concurrently(roles, users).await;
}

type Decision<'a> = dyn Fn(&RoleSnapshot) -> Result<RoleChange, ErrorKind> + Send + Sync + 'a;

fn grant(role: &Role, permission: &str) -> Grant {
    Grant {
        id: GrantId::generate(START),
        role: role.clone(),
        permission: Permission::parse(permission).expect("a permission"),
        created_at: later(3),
    }
}

async fn write(
    store: &Arc<dyn RoleStore>,
    actor: Option<UserId>,
    decide: &Decision<'_>,
) -> Result<RoleRows, ErrorKind> {
    write_deleting(store, actor, None, decide).await
}

async fn write_deleting(
    store: &Arc<dyn RoleStore>,
    actor: Option<UserId>,
    deletes: Option<&Role>,
    decide: &Decision<'_>,
) -> Result<RoleRows, ErrorKind> {
    match store
        .write(RoleWrite { actor, key: None, deletes, decide })
        .await
        .expect("the store responds")
    {
        RoleWriteOutcome::Written(rows) => Ok(rows),
        RoleWriteOutcome::Refused(kind) => Err(kind),
    }
}

async fn add(store: &Arc<dyn RoleStore>, grants: &[Grant]) -> RoleRows {
    let decide = |_: &RoleSnapshot| Ok(RoleChange::Grant(grants.to_vec()));
    write(store, None, &decide).await.expect("accepted")
}

async fn load(store: &Arc<dyn RoleStore>) -> RoleRows {
    store.load().await.expect("the store responds")
}

fn of(rows: &RoleRows, role: &Role) -> Vec<Grant> {
    rows.grants.iter().filter(|grant| grant.role == *role).cloned().collect()
}

/// Grants are read back as written, sorted by id; each change raises the revision by one.
pub async fn a_grant_is_stored_and_raises_the_revision(store: &Arc<dyn RoleStore>) {
    let (role, before) = (role(), load(store).await);
    let mut grants = [grant(&role, "a:b"), grant(&role, "a:*"), grant(&role, "full_access")];
    let rows = add(store, &grants).await;
    assert_eq!(rows.revision, before.revision + 1);
    grants.sort_by_key(|grant| grant.id);
    assert_eq!(of(&rows, &role), grants);
    assert_eq!(load(store).await, rows);
    assert!(rows.grants.is_sorted_by_key(|grant| grant.id));
}

/// A revoked grant is removed, and no other.
pub async fn a_revoked_grant_raises_the_revision(store: &Arc<dyn RoleStore>) {
    let role = role();
    let (kept, ended) = (grant(&role, "a:b"), grant(&role, "a:c"));
    let before = add(store, &[kept.clone(), ended.clone()]).await;
    let revoke = |_: &RoleSnapshot| Ok(RoleChange::Revoke(ended.id));
    let rows = write(store, None, &revoke).await.expect("accepted");
    assert_eq!((rows.revision, of(&rows, &role)), (before.revision + 1, vec![kept]));
    assert_eq!(load(store).await, rows);
}

/// Only changes raise the revision.
pub async fn a_write_without_effect_keeps_the_revision(store: &Arc<dyn RoleStore>) {
    let before = load(store).await;
    let changes = [
        RoleChange::Nothing,
        RoleChange::Grant(Vec::new()),
        RoleChange::Revoke(GrantId::generate(START)),
    ];
    for change in changes {
        let decide = |_: &RoleSnapshot| Ok(change.clone());
        assert_eq!(write(store, None, &decide).await.expect("accepted"), before);
    }
    assert_eq!(load(store).await, before);
}

/// A write that the rules refuse has no effect; the rules see the current rows.
pub async fn a_refused_write_has_no_effect(store: &Arc<dyn RoleStore>) {
    let before = load(store).await;
    let refuse = |snapshot: &RoleSnapshot| {
        assert_eq!(snapshot.rows, before);
        Err(ErrorKind::Forbidden)
    };
    assert_eq!(write(store, None, &refuse).await, Err(ErrorKind::Forbidden));
    assert_eq!(load(store).await, before);
}

/// A2: a missing user is no actor.
pub async fn a_missing_actor_is_none(store: &Arc<dyn RoleStore>) {
    let decide = |snapshot: &RoleSnapshot| {
        assert!(snapshot.actor.is_none());
        Err(ErrorKind::SessionRevoked)
    };
    for actor in [None, Some(UserId::generate(START))] {
        assert_eq!(write(store, actor, &decide).await, Err(ErrorKind::SessionRevoked));
    }
}

/// No concurrent grant is lost, and each raises the revision.
pub async fn concurrent_grants_are_all_stored(store: &Arc<dyn RoleStore>) {
    let (role, before) = (role(), load(store).await);
    let mut revisions = race(16, |number| {
        let (store, grant) = (Arc::clone(store), grant(&role, &format!("a:b{number}")));
        async move { add(&store, &[grant]).await.revision }
    })
    .await;
    revisions.sort_unstable();
    assert_eq!(revisions, (before.revision + 1..=before.revision + 16).collect::<Vec<u64>>());
    let rows = load(store).await;
    assert_eq!((rows.revision, of(&rows, &role).len()), (before.revision + 16, 16));
}

/// A check for an existing grant sees grants that are made concurrently.
pub async fn concurrent_grants_of_one_permission_store_one(store: &Arc<dyn RoleStore>) {
    let role = role();
    let outcomes = race(16, |_| {
        let (store, grant) = (Arc::clone(store), grant(&role, "a:b"));
        async move {
            let decide = |snapshot: &RoleSnapshot| {
                let exists = !of(&snapshot.rows, &grant.role).is_empty();
                let change = RoleChange::Grant(vec![grant.clone()]);
                if exists { Err(ErrorKind::PermissionExists) } else { Ok(change) }
            };
            write(&store, None, &decide).await
        }
    })
    .await;
    let refused = |outcome: &&Result<_, _>| **outcome == Err(ErrorKind::PermissionExists);
    assert_eq!(outcomes.iter().filter(refused).count(), 15);
    assert_eq!(of(&load(store).await, &role).len(), 1);
}

async fn cached(store: &Arc<dyn RoleStore>) -> RoleRows {
    store.cached().await.expect("the store responds").value
}

/// Without later writes the cached rows equal the rows.
pub async fn cached_rows_equal_the_rows(store: &Arc<dyn RoleStore>) {
    let role = role();
    for permission in ["a:b", "a:*", "full_access"] {
        let granted = grant(&role, permission);
        let rows = add(store, std::slice::from_ref(&granted)).await;
        // Repeated, so that a caching store can use its cache.
        for _ in 0..3 {
            assert_eq!(cached(store).await, rows);
        }
        let revoke = |_: &RoleSnapshot| Ok(RoleChange::Revoke(granted.id));
        let rows = write(store, None, &revoke).await.expect("nothing refuses");
        assert_eq!(cached(store).await, rows);
    }
}

/// Cached rows that are read after a write has returned include that write, with any concurrent
/// reads.
pub async fn cached_rows_include_every_completed_write(store: &Arc<dyn RoleStore>) {
    let (role, written) = (role(), Arc::new(AtomicU64::new(load(store).await.revision)));
    race(8, |number| {
        let (store, role, written) = (Arc::clone(store), role.clone(), Arc::clone(&written));
        async move {
            for turn in 0..25 {
                if number < 2 {
                    let rows = add(&store, &[grant(&role, &format!("a:b{number}_{turn}"))]).await;
                    written.fetch_max(rows.revision, Ordering::SeqCst);
                }
                let known = written.load(Ordering::SeqCst);
                let seen = cached(&store).await.revision;
                assert!(seen >= known, "read {seen} after {known} was written");
            }
        }
    })
    .await;
}

async fn put(users: &Arc<dyn UserStore>, account: &Account) {
    let decide = |_: &UserSnapshot| Ok(UserChange::Put(account.clone()));
    // A fresh top role: no administrator is affected.
    let (target, top_role) = (account.user.id, &role());
    let write =
        UserWrite { actor: None, key: None, target, top_role, assigns: None, decide: &decide };
    let written = users.write(write).await.expect("the store responds");
    assert!(matches!(written, UserWriteOutcome::Changed { .. }), "{written:?}");
}

/// A user's state carries the revision of the permissions that it was read with.
pub async fn a_state_carries_the_revision(roles: &Arc<dyn RoleStore>, users: &Arc<dyn UserStore>) {
    let account = account(&role());
    put(users, &account).await;
    for permission in ["a:b", "a:c"] {
        let rows = add(roles, &[grant(&account.user.role, permission)]).await;
        let state = users.state(account.user.id).await.expect("the store responds");
        assert_eq!(state.expect("the user").roles_revision, Some(rows.revision));
    }
}

/// A2: a write of roles sees its actor's state and the permissions of all roles.
pub async fn a_role_write_sees_its_actor(roles: &Arc<dyn RoleStore>, users: &Arc<dyn UserStore>) {
    let mut account = account(&role());
    account.user.status = Status::Suspended;
    put(users, &account).await;
    let rows = add(roles, &[grant(&account.user.role, "a:b"), grant(&role(), "a:c")]).await;
    let decide = |snapshot: &RoleSnapshot| {
        let actor = snapshot.actor.as_ref().expect("the actor");
        assert_eq!(actor.user.role, account.user.role);
        assert_eq!(actor.user.status, Status::Suspended);
        assert_eq!(actor.roles_revision, Some(rows.revision));
        assert_eq!(snapshot.rows, rows);
        Ok(RoleChange::Nothing)
    };
    write(roles, Some(account.user.id), &decide).await.expect("nothing refuses");
}

/// A2: a write of users by an actor sees the current permissions of all roles.
pub async fn a_user_write_sees_the_permissions_of_all_roles(
    roles: &Arc<dyn RoleStore>,
    users: &Arc<dyn UserStore>,
) {
    let account = account(&role());
    put(users, &account).await;
    let other = role();
    let granted = [grant(&account.user.role, "a:b"), grant(&other, "a:c")];
    let expect = async |expected: &[Grant]| {
        let decide = |snapshot: &UserSnapshot| {
            let mut seen = snapshot.roles.clone().expect("roles, in a write by an actor").grants;
            seen.retain(|one| one.role == account.user.role || one.role == other);
            seen.sort_by_key(|one| one.permission.clone());
            assert_eq!(seen, expected);
            Ok(UserChange::Nothing)
        };
        let id = account.user.id;
        let write = UserWrite {
            actor: Some(id),
            key: None,
            target: id,
            top_role: &account.user.role,
            assigns: None,
            decide: &decide,
        };
        users.write(write).await.expect("the store responds");
    };
    expect(&[]).await;
    add(roles, &granted).await;
    expect(&granted).await;
    let revoke = |_: &RoleSnapshot| Ok(RoleChange::Revoke(granted[1].id));
    write(roles, None, &revoke).await.expect("nothing refuses");
    expect(&granted[..1]).await;
}

/// A2: once a suspension has returned, no grant by the suspended user follows.
pub async fn a_suspended_actor_grants_nothing(
    roles: &Arc<dyn RoleStore>,
    users: &Arc<dyn UserStore>,
) {
    for _ in 0..20 {
        let account = account(&role());
        let id = account.user.id;
        put(users, &account).await;
        let written = race(2, |number| {
            let (roles, users) = (Arc::clone(roles), Arc::clone(users));
            let (mut account, grant) = (account.clone(), grant(&account.user.role, "a:b"));
            async move {
                if number == 0 {
                    account.user.status = Status::Suspended;
                    put(&users, &account).await;
                    return Some(load(&roles).await.revision);
                }
                let decide = |snapshot: &RoleSnapshot| {
                    let actor = snapshot.actor.as_ref().expect("the actor");
                    let is_active = actor.user.status == Status::Active;
                    let change = RoleChange::Grant(vec![grant.clone()]);
                    if is_active { Ok(change) } else { Err(ErrorKind::SessionRevoked) }
                };
                write(&roles, Some(id), &decide).await.ok();
                None
            }
        })
        .await;
        let written = written.into_iter().flatten().next().expect("the suspension's answer");
        assert_eq!(load(roles).await.revision, written);
    }
}
