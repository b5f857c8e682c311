//! Stored roles: their rows, and their deletion beside writes of users.

use std::sync::Arc;

use crate::access::{Rank, Role, RoleRows, StoredRole};
use crate::error::ErrorKind;
use crate::id::UserId;
use crate::store::{
    RoleChange, RoleSnapshot, RoleStore, UserChange, UserSnapshot, UserStore, UserWrite,
    UserWriteOutcome,
};
use crate::testing::sample::{account, later, race, role};
use crate::user::Account;

use super::{grant, load, of, put, write, write_deleting};

fn stored(role: &Role, rank: u32) -> StoredRole {
    StoredRole { role: role.clone(), rank: Rank(rank), created_at: later(5) }
}

async fn put_roles(store: &Arc<dyn RoleStore>, roles: &[StoredRole]) -> RoleRows {
    let decide = |_: &RoleSnapshot| {
        let (roles, grants, revoked) = (roles.to_vec(), Vec::new(), Vec::new());
        Ok(RoleChange::Put { roles, grants, revoked })
    };
    write(store, None, &decide).await.expect("nothing refuses")
}

async fn delete(store: &Arc<dyn RoleStore>, actor: Option<UserId>, role: &Role) -> bool {
    let decide = |snapshot: &RoleSnapshot| match snapshot.users {
        None | Some(0) => Ok(RoleChange::Delete),
        Some(_) => Err(ErrorKind::RoleInUse),
    };
    write_deleting(store, actor, Some(role), &decide).await.is_ok()
}

fn find<'a>(rows: &'a RoleRows, role: &Role) -> Option<&'a StoredRole> {
    rows.roles.iter().find(|stored| stored.role == *role)
}

/// Roles are read back as written, by name; another rank replaces the rank alone, and only a change
/// raises the revision.
pub async fn a_role_is_stored_with_its_rank(store: &Arc<dyn RoleStore>) {
    let (one, other, before) = (role(), role(), load(store).await);
    let rows = put_roles(store, &[stored(&one, 0), stored(&other, 999)]).await;
    assert_eq!(rows.revision, before.revision + 1);
    assert_eq!(rows.roles.len(), before.roles.len() + 2);
    assert_eq!(find(&rows, &one), Some(&stored(&one, 0)));
    assert_eq!(find(&rows, &other), Some(&stored(&other, 999)));
    assert!(rows.roles.is_sorted_by_key(|stored| stored.role.as_str()));
    assert_eq!((&rows.grants, load(store).await), (&before.grants, rows.clone()));

    let later = StoredRole { created_at: later(9), ..stored(&one, 7) };
    let ranked = put_roles(store, std::slice::from_ref(&later)).await;
    assert_eq!(ranked.revision, rows.revision + 1);
    assert_eq!(find(&ranked, &one), Some(&stored(&one, 7)), "with the time of its creation");
    assert_eq!(put_roles(store, &[later]).await, ranked, "no change");
}

/// One write adds roles and grants and removes others, as one revision.
pub async fn roles_and_grants_change_in_one_write(store: &Arc<dyn RoleStore>) {
    let (one, other) = (role(), role());
    let old = grant(&one, "a:b");
    let before = super::add(store, std::slice::from_ref(&old)).await;
    let new = [grant(&one, "a:c"), grant(&other, "a:b")];
    let decide = |_: &RoleSnapshot| {
        let roles = vec![stored(&one, 3), stored(&other, 3)];
        Ok(RoleChange::Put { roles, grants: new.to_vec(), revoked: vec![old.id] })
    };
    let rows = write(store, None, &decide).await.expect("nothing refuses");
    assert_eq!(rows.revision, before.revision + 1);
    assert_eq!([of(&rows, &one), of(&rows, &other)], new.map(|grant| vec![grant]));
    assert!(find(&rows, &one).is_some() && find(&rows, &other).is_some());
    assert_eq!(load(store).await, rows);
}

/// Grants of other roles stay. A role that does not exist is deleted without effect.
pub async fn a_deleted_role_takes_its_grants_with_it(store: &Arc<dyn RoleStore>) {
    let (kept, ended) = (role(), role());
    put_roles(store, &[stored(&kept, 1), stored(&ended, 1)]).await;
    let grants = [grant(&kept, "a:b"), grant(&ended, "a:b"), grant(&ended, "a:c")];
    let before = super::add(store, &grants).await;
    assert!(delete(store, None, &ended).await);
    let rows = load(store).await;
    assert_eq!(rows.revision, before.revision + 1);
    assert_eq!((find(&rows, &ended), of(&rows, &ended)), (None, Vec::new()));
    assert_eq!(of(&rows, &kept), grants[..1]);
    assert!(find(&rows, &kept).is_some());
    assert!(delete(store, None, &ended).await);
    assert_eq!(load(store).await, rows);
}

async fn assign(users: &Arc<dyn UserStore>, account: &Account) -> Result<(), ErrorKind> {
    let decide = |snapshot: &UserSnapshot| match snapshot.has_assigned_role {
        Some(true) => Ok(UserChange::Put(account.clone())),
        _ => Err(ErrorKind::Invalid),
    };
    let (target, assigns) = (account.user.id, Some(&account.user.role));
    let write =
        UserWrite { actor: None, key: None, target, top_role: &role(), assigns, decide: &decide };
    match users.write(write).await.expect("the store responds") {
        UserWriteOutcome::Refused(kind) => Err(kind),
        UserWriteOutcome::Changed { .. } => Ok(()),
        other => panic!("{other:?}"),
    }
}

/// A deletion sees how many users have the role, of any status, and other writes see no number.
pub async fn a_deletion_sees_the_number_of_users(
    roles: &Arc<dyn RoleStore>,
    users: &Arc<dyn UserStore>,
) {
    let role = role();
    put_roles(roles, &[stored(&role, 1)]).await;
    for count in 0..3 {
        let decide = |snapshot: &RoleSnapshot| {
            assert_eq!(snapshot.users, Some(count));
            Err(ErrorKind::RoleInUse)
        };
        let refused = write_deleting(roles, None, Some(&role), &decide).await;
        assert_eq!(refused, Err(ErrorKind::RoleInUse));
        put(users, &account(&role)).await;
    }
    let decide = |snapshot: &RoleSnapshot| {
        assert_eq!(snapshot.users, None);
        Ok(RoleChange::Nothing)
    };
    write(roles, None, &decide).await.expect("nothing refuses");
}

/// Also for the system: its writes see no roles otherwise.
pub async fn a_user_write_sees_whether_the_assigned_role_exists(
    roles: &Arc<dyn RoleStore>,
    users: &Arc<dyn UserStore>,
) {
    let role = role();
    assert_eq!(assign(users, &account(&role)).await, Err(ErrorKind::Invalid));
    put_roles(roles, &[stored(&role, 1)]).await;
    assert_eq!(assign(users, &account(&role)).await, Ok(()));
    let account = account(&role);
    let decide = |snapshot: &UserSnapshot| {
        assert_eq!(snapshot.has_assigned_role, None, "it assigns none");
        Ok(UserChange::Put(account.clone()))
    };
    let (target, top_role) = (account.user.id, &role);
    let write =
        UserWrite { actor: None, key: None, target, top_role, assigns: None, decide: &decide };
    users.write(write).await.expect("the store responds");
}

/// A sign-up, an assignment and a deletion of the role at once: either the role stays, or no user has it.
/// The deletion's actor is assigned the role itself, so that every lock is contended.
pub async fn no_user_has_a_role_that_was_deleted_concurrently(
    roles: &Arc<dyn RoleStore>,
    users: &Arc<dyn UserStore>,
) {
    for _ in 0..20 {
        let role = role();
        put_roles(roles, &[stored(&role, 1)]).await;
        let actor = account(&crate::testing::sample::role());
        put(users, &actor).await;
        let assigned = race(5, |number| {
            let (roles, users) = (Arc::clone(roles), Arc::clone(users));
            let (role, actor) = (role.clone(), actor.clone());
            async move {
                match number {
                    0 => {
                        delete(&roles, Some(actor.user.id), &role).await;
                        false
                    }
                    1 => {
                        let mut assigned = actor;
                        assigned.user.role = role;
                        assign(&users, &assigned).await.is_ok()
                    }
                    _ => assign(&users, &account(&role)).await.is_ok(),
                }
            }
        })
        .await;
        let exists = find(&load(roles).await, &role).is_some();
        assert_eq!(exists, assigned.contains(&true), "the role exists: {exists}, {assigned:?}");
    }
}
