//! The conformance suite of [`RoleStore`].
//!
//! [`conformance`] runs what every store has to keep; [`conformance_with_users`] what a store has
//! to keep that has users too. Every case makes roles of its own, so that one store may be used for
//! all of them, and again later, but not by two suites at once: they count revisions.
//!
//! Every function panics where the store does not keep a promise of the port.

#![expect(clippy::missing_panics_doc, reason = "to panic is what all of these are for")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::access::{
    Grant, Permission, Role, RoleChange, RoleRows, RoleSnapshot, RoleStore, RoleWrite,
    RoleWriteOutcome,
};
use crate::error::ErrorKind;
use crate::id::{GrantId, UserId};
use crate::user::{
    Account, Status, UserChange, UserSnapshot, UserStore, UserWrite, UserWriteOutcome,
};

use super::sample::{START, account, later, race, role};

/// Runs every case that needs no users.
pub async fn conformance(store: &Arc<dyn RoleStore>) {
    grants_are_kept_and_counted(store).await;
    a_grant_that_ends_is_counted(store).await;
    what_changes_nothing_is_not_counted(store).await;
    a_refused_write_changes_nothing(store).await;
    an_actor_that_does_not_exist_is_none(store).await;
    grants_at_once_are_all_kept_and_counted(store).await;
    a_permission_granted_at_once_is_granted_once(store).await;
    recent_rows_are_as_the_rows(store).await;
    recent_rows_show_every_write_that_was_answered(store).await;
}

/// Runs every case about users that are kept in the same place.
pub async fn conformance_with_users(roles: &Arc<dyn RoleStore>, users: &Arc<dyn UserStore>) {
    a_state_carries_the_revision(roles, users).await;
    a_write_of_roles_sees_who_acts(roles, users).await;
    a_write_of_users_sees_what_its_actor_may_do(roles, users).await;
    a_grant_never_comes_after_the_fall_of_its_giver(roles, users).await;
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
    match store.write(RoleWrite { actor, decide }).await.expect("the store answers") {
        RoleWriteOutcome::Written(rows) => Ok(rows),
        RoleWriteOutcome::Refused(kind) => Err(kind),
    }
}

async fn add(store: &Arc<dyn RoleStore>, grants: &[Grant]) -> RoleRows {
    let decide = |_: &RoleSnapshot| Ok(RoleChange::Grant(grants.to_vec()));
    write(store, None, &decide).await.expect("nothing refuses")
}

async fn load(store: &Arc<dyn RoleStore>) -> RoleRows {
    store.load().await.expect("the store answers")
}

fn of(rows: &RoleRows, role: &Role) -> Vec<Grant> {
    rows.grants.iter().filter(|grant| grant.role == *role).cloned().collect()
}

/// What is granted is read as it was given, in the order of ids; each change counts once.
pub async fn grants_are_kept_and_counted(store: &Arc<dyn RoleStore>) {
    let (role, before) = (role(), load(store).await);
    let mut grants = [grant(&role, "a:b"), grant(&role, "a:*"), grant(&role, "full_access")];
    let rows = add(store, &grants).await;
    assert_eq!(rows.revision, before.revision + 1);
    grants.sort_by_key(|grant| grant.id);
    assert_eq!(of(&rows, &role), grants);
    assert_eq!(load(store).await, rows);
    assert!(rows.grants.is_sorted_by_key(|grant| grant.id));
}

/// What is revoked is gone, and nothing else is.
pub async fn a_grant_that_ends_is_counted(store: &Arc<dyn RoleStore>) {
    let role = role();
    let (kept, ended) = (grant(&role, "a:b"), grant(&role, "a:c"));
    let before = add(store, &[kept.clone(), ended.clone()]).await;
    let revoke = |_: &RoleSnapshot| Ok(RoleChange::Revoke(ended.id));
    let rows = write(store, None, &revoke).await.expect("nothing refuses");
    assert_eq!((rows.revision, of(&rows, &role)), (before.revision + 1, vec![kept]));
    assert_eq!(load(store).await, rows);
}

/// The revision rises with changes only.
pub async fn what_changes_nothing_is_not_counted(store: &Arc<dyn RoleStore>) {
    let before = load(store).await;
    let changes = [
        RoleChange::Nothing,
        RoleChange::Grant(Vec::new()),
        RoleChange::Revoke(GrantId::generate(START)),
    ];
    for change in changes {
        let decide = |_: &RoleSnapshot| Ok(change.clone());
        assert_eq!(write(store, None, &decide).await.expect("nothing refuses"), before);
    }
    assert_eq!(load(store).await, before);
}

/// What the rules refuse leaves no trace; they see what there is.
pub async fn a_refused_write_changes_nothing(store: &Arc<dyn RoleStore>) {
    let before = load(store).await;
    let refuse = |snapshot: &RoleSnapshot| {
        assert_eq!(snapshot.rows, before);
        Err(ErrorKind::Forbidden)
    };
    assert_eq!(write(store, None, &refuse).await, Err(ErrorKind::Forbidden));
    assert_eq!(load(store).await, before);
}

/// A2: nobody acts in the name of a user who is not there.
pub async fn an_actor_that_does_not_exist_is_none(store: &Arc<dyn RoleStore>) {
    let decide = |snapshot: &RoleSnapshot| {
        assert!(snapshot.actor.is_none());
        Err(ErrorKind::SessionRevoked)
    };
    for actor in [None, Some(UserId::generate(START))] {
        assert_eq!(write(store, actor, &decide).await, Err(ErrorKind::SessionRevoked));
    }
}

/// None of the grants that are given at once is lost, nor its count.
pub async fn grants_at_once_are_all_kept_and_counted(store: &Arc<dyn RoleStore>) {
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

/// Who looks whether a role has the permission already sees those that others give at once.
pub async fn a_permission_granted_at_once_is_granted_once(store: &Arc<dyn RoleStore>) {
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

async fn recent(store: &Arc<dyn RoleStore>) -> RoleRows {
    store.cached().await.expect("the store answers").value
}

/// Recent rows are the rows where nothing was written since.
pub async fn recent_rows_are_as_the_rows(store: &Arc<dyn RoleStore>) {
    let role = role();
    for permission in ["a:b", "a:*", "full_access"] {
        let granted = grant(&role, permission);
        let rows = add(store, std::slice::from_ref(&granted)).await;
        // More than once, so that one who remembers has the chance to.
        for _ in 0..3 {
            assert_eq!(recent(store).await, rows);
        }
        let revoke = |_: &RoleSnapshot| Ok(RoleChange::Revoke(granted.id));
        let rows = write(store, None, &revoke).await.expect("nothing refuses");
        assert_eq!(recent(store).await, rows);
    }
}

/// Who asks for recent rows after a write was answered is shown that write or a later one, whatever
/// is read at the same time.
pub async fn recent_rows_show_every_write_that_was_answered(store: &Arc<dyn RoleStore>) {
    let (role, answered) = (role(), Arc::new(AtomicU64::new(load(store).await.revision)));
    race(8, |number| {
        let (store, role, answered) = (Arc::clone(store), role.clone(), Arc::clone(&answered));
        async move {
            for turn in 0..25 {
                if number < 2 {
                    let rows = add(&store, &[grant(&role, &format!("a:b{number}_{turn}"))]).await;
                    answered.fetch_max(rows.revision, Ordering::SeqCst);
                }
                let known = answered.load(Ordering::SeqCst);
                let seen = recent(&store).await.revision;
                assert!(seen >= known, "{seen} is shown after {known} was answered");
            }
        }
    })
    .await;
}

async fn put(users: &Arc<dyn UserStore>, account: &Account) {
    let decide = |_: &UserSnapshot| Ok(UserChange::Put(account.clone()));
    // Nobody here administers.
    let (target, top_role) = (account.user.id, &role());
    let write = UserWrite { actor: None, target, top_role, decide: &decide };
    let written = users.write(write).await.expect("the store answers");
    assert!(matches!(written, UserWriteOutcome::Changed { .. }), "{written:?}");
}

/// A user's state carries the revision of the permissions that it was read with.
pub async fn a_state_carries_the_revision(roles: &Arc<dyn RoleStore>, users: &Arc<dyn UserStore>) {
    let account = account(&role());
    put(users, &account).await;
    for permission in ["a:b", "a:c"] {
        let rows = add(roles, &[grant(&account.user.role, permission)]).await;
        let state = users.state(account.user.id).await.expect("the store answers");
        assert_eq!(state.expect("the user").roles_revision, Some(rows.revision));
    }
}

/// A2: a write of roles sees its actor's state and permissions.
pub async fn a_write_of_roles_sees_who_acts(
    roles: &Arc<dyn RoleStore>,
    users: &Arc<dyn UserStore>,
) {
    let mut account = account(&role());
    account.user.status = Status::Suspended;
    put(users, &account).await;
    let rows = add(roles, &[grant(&account.user.role, "a:b"), grant(&role(), "a:c")]).await;
    let decide = |snapshot: &RoleSnapshot| {
        let view = snapshot.actor.as_ref().expect("the actor");
        assert_eq!(view.state.role, account.user.role);
        assert_eq!(view.state.status, Status::Suspended);
        assert_eq!(view.state.roles_revision, Some(rows.revision));
        assert_eq!(view.permissions, Some(vec![Permission::new("a:b")]));
        Ok(RoleChange::Nothing)
    };
    write(roles, Some(account.user.id), &decide).await.expect("nothing refuses");
}

/// A2: a write of users sees what its actor may do at that moment.
pub async fn a_write_of_users_sees_what_its_actor_may_do(
    roles: &Arc<dyn RoleStore>,
    users: &Arc<dyn UserStore>,
) {
    let account = account(&role());
    put(users, &account).await;
    let granted = grant(&account.user.role, "a:b");
    let expect = async |expected: &[Permission]| {
        let decide = |snapshot: &UserSnapshot| {
            let view = snapshot.actor.as_ref().expect("the actor");
            assert_eq!(view.permissions.as_deref(), Some(expected));
            Ok(UserChange::Nothing)
        };
        let id = account.user.id;
        let write = UserWrite {
            actor: Some(id),
            target: id,
            top_role: &account.user.role,
            decide: &decide,
        };
        users.write(write).await.expect("the store answers");
    };
    expect(&[]).await;
    add(roles, std::slice::from_ref(&granted)).await;
    expect(&[Permission::new("a:b")]).await;
    let revoke = |_: &RoleSnapshot| Ok(RoleChange::Revoke(granted.id));
    write(roles, None, &revoke).await.expect("nothing refuses");
    expect(&[]).await;
}

/// A2: when a suspension has been answered, the suspended user's grants are made already or never.
pub async fn a_grant_never_comes_after_the_fall_of_its_giver(
    roles: &Arc<dyn RoleStore>,
    users: &Arc<dyn UserStore>,
) {
    for _ in 0..20 {
        let account = account(&role());
        let id = account.user.id;
        put(users, &account).await;
        let answered = race(2, |number| {
            let (roles, users) = (Arc::clone(roles), Arc::clone(users));
            let (mut account, grant) = (account.clone(), grant(&account.user.role, "a:b"));
            async move {
                if number == 0 {
                    account.user.status = Status::Suspended;
                    put(&users, &account).await;
                    return Some(load(&roles).await.revision);
                }
                let decide = |snapshot: &RoleSnapshot| {
                    let view = snapshot.actor.as_ref().expect("the actor");
                    let is_active = view.state.status == Status::Active;
                    let change = RoleChange::Grant(vec![grant.clone()]);
                    if is_active { Ok(change) } else { Err(ErrorKind::SessionRevoked) }
                };
                write(&roles, Some(id), &decide).await.ok();
                None
            }
        })
        .await;
        let answered = answered.into_iter().flatten().next().expect("the suspension's answer");
        assert_eq!(load(roles).await.revision, answered);
    }
}
