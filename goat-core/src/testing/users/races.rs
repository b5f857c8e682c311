//! Concurrent writes of users.

use std::sync::Arc;

use serde_json::json;

use crate::access::Role;
use crate::error::ErrorKind;
use crate::id::UserId;
use crate::session::SessionEpoch;
use crate::store::{UserChange, UserSnapshot, UserStore, UserWriteOutcome};
use crate::testing::sample::{account, account_of, later, race, role, service_account, word};
use crate::user::{AttributePatch, Status};

use super::{put, read, write};

/// Of concurrent sign-ups with one address, one succeeds.
pub async fn concurrent_sign_ups_with_one_address_create_one_user(store: &Arc<dyn UserStore>) {
    let (role, email) = (role(), format!("{}@example.org", word()));
    let outcomes = race(16, |_| {
        let (store, account) = (Arc::clone(store), account_of(&role, &email));
        async move { (account.user.id, put(&store, &account).await) }
    })
    .await;
    let made = |(_, written): &&(UserId, UserWriteOutcome)| {
        matches!(written, UserWriteOutcome::Changed { .. })
    };
    let winners: Vec<UserId> = outcomes.iter().filter(made).map(|(id, _)| *id).collect();
    let taken =
        outcomes.iter().filter(|(_, written)| matches!(written, UserWriteOutcome::EmailTaken));
    assert_eq!((winners.len(), taken.count()), (1, 15));
    let holder = store.by_email(&email).await.expect("the store responds").expect("the user");
    assert_eq!(holder.user.id, winners[0]);
}

/// If a concurrent write creates the missing target, the decision is made again.
pub async fn concurrent_writes_create_a_user_once(store: &Arc<dyn UserStore>) {
    let (account, top) = (account(&role()), role());
    let outcomes = race(8, |_| {
        let (store, account, top) = (Arc::clone(store), account.clone(), top.clone());
        async move {
            let decide = |snapshot: &UserSnapshot| match &snapshot.target {
                None => Ok(UserChange::Put(account.clone())),
                Some(_) => Ok(UserChange::Nothing),
            };
            write(&store, None, account.user.id, &top, &decide).await
        }
    })
    .await;
    let made =
        outcomes.iter().filter(|written| matches!(written, UserWriteOutcome::Changed { .. }));
    let found = outcomes.iter().filter(|written| matches!(written, UserWriteOutcome::Unchanged(_)));
    assert_eq!((made.count(), found.count()), (1, 7));
}

/// Refuses to remove the last administrator.
fn demote(to: &Role) -> impl Fn(&UserSnapshot) -> Result<UserChange, ErrorKind> + Send + Sync {
    let to = to.clone();
    move |snapshot| {
        if !snapshot.others_administer {
            return Err(ErrorKind::LastAdministrator);
        }
        let mut account = snapshot.target.clone().ok_or(ErrorKind::NotFound)?;
        account.user.role = to.clone();
        Ok(UserChange::Put(account))
    }
}

/// A3: two administrators who demote each other concurrently leave one.
pub async fn concurrent_demotions_leave_one_administrator(store: &Arc<dyn UserStore>) {
    for _ in 0..10 {
        let (top, low) = (role(), role());
        let pair = [account(&top), account(&top)];
        for account in pair.iter().chain([&service_account(&top)]) {
            put(store, account).await;
        }
        let outcomes = race(2, |number| {
            let (store, top, low) = (Arc::clone(store), top.clone(), low.clone());
            let (actor, target) = (pair[number].user.id, pair[1 - number].user.id);
            async move { write(&store, Some(actor), target, &top, &demote(&low)).await }
        })
        .await;
        assert_one_is_left(store, &top, &outcomes).await;
    }
}

/// A3: the same for concurrent deletions by the system.
pub async fn concurrent_deletions_leave_one_administrator(store: &Arc<dyn UserStore>) {
    for _ in 0..10 {
        let top = role();
        let pair = [account(&top), account(&top)];
        for account in pair.iter().chain([&service_account(&top)]) {
            put(store, account).await;
        }
        let outcomes = race(2, |number| {
            let (store, top, target) = (Arc::clone(store), top.clone(), pair[number].user.id);
            async move {
                let decide = |snapshot: &UserSnapshot| {
                    let left = snapshot.others_administer;
                    if left { Ok(UserChange::Delete) } else { Err(ErrorKind::LastAdministrator) }
                };
                write(&store, None, target, &top, &decide).await
            }
        })
        .await;
        assert_one_is_left(store, &top, &outcomes).await;
    }
}

async fn assert_one_is_left(store: &Arc<dyn UserStore>, top: &Role, outcomes: &[UserWriteOutcome]) {
    let refusal = UserWriteOutcome::Refused(ErrorKind::LastAdministrator);
    let is_refusal = |written: &&UserWriteOutcome| format!("{written:?}") == format!("{refusal:?}");
    assert_eq!(outcomes.iter().filter(is_refusal).count(), 1, "{outcomes:?}");
    assert!(store.has_active_user_in(top).await.expect("the store responds"));
}

/// Of concurrent writes that create the first administrator, one succeeds.
pub async fn at_most_one_first_administrator_is_created(store: &Arc<dyn UserStore>) {
    let top = role();
    let outcomes = race(8, |_| {
        let (store, account) = (Arc::clone(store), account(&top));
        async move {
            let decide = |snapshot: &UserSnapshot| {
                let is_first = !snapshot.others_administer;
                if is_first {
                    Ok(UserChange::Put(account.clone()))
                } else {
                    Err(ErrorKind::Forbidden)
                }
            };
            write(&store, None, account.user.id, &account.user.role, &decide).await
        }
    })
    .await;
    let made =
        outcomes.iter().filter(|written| matches!(written, UserWriteOutcome::Changed { .. }));
    assert_eq!(made.count(), 1, "{outcomes:?}");
}

/// The snapshot of `decide` holds at the commit: no increment is lost.
pub async fn no_concurrent_write_is_lost(store: &Arc<dyn UserStore>) {
    let (account, actor) = (account(&role()), account(&role()));
    put(store, &account).await;
    put(store, &actor).await;
    let (target, actor) = (account.user.id, actor.user.id);
    race(24, |number| {
        let (store, top) = (Arc::clone(store), account.user.role.clone());
        async move {
            let decide = |snapshot: &UserSnapshot| {
                let mut account = snapshot.target.clone().ok_or(ErrorKind::NotFound)?;
                account.epoch = account.epoch.next(None);
                Ok(UserChange::Put(account))
            };
            let actor = (number % 2 == 0).then_some(actor);
            write(&store, actor, target, &top, &decide).await
        }
    })
    .await;
    assert_eq!(read(store, target).await.epoch, SessionEpoch { number: 24, kept: None });
}

/// Patches of different keys all take effect.
pub async fn concurrent_attribute_patches_are_all_stored(store: &Arc<dyn UserStore>) {
    let account = account(&role());
    let id = account.user.id;
    put(store, &account).await;
    race(8, |number| {
        let (store, top) = (Arc::clone(store), account.user.role.clone());
        async move {
            let patch = AttributePatch::parse(json!({ format!("k{number}"): number }));
            let patch = patch.expect("a patch");
            let decide = |snapshot: &UserSnapshot| {
                let mut account = snapshot.target.clone().ok_or(ErrorKind::NotFound)?;
                let merged = account.user.attributes.merged(&patch);
                account.user.attributes = merged.map_err(|_| ErrorKind::Invalid)?;
                Ok(UserChange::Put(account))
            };
            write(&store, None, id, &top, &decide).await
        }
    })
    .await;
    let all = "{\"k0\":0,\"k1\":1,\"k2\":2,\"k3\":3,\"k4\":4,\"k5\":5,\"k6\":6,\"k7\":7}";
    assert_eq!(read(store, id).await.user.attributes.as_str(), all);
}

/// A2: once a suspension has returned, no write by the suspended user follows.
pub async fn a_suspended_actor_writes_nothing(store: &Arc<dyn UserStore>) {
    for _ in 0..20 {
        let (mut actor, target, top) = (account(&role()), account(&role()), role());
        put(store, &actor).await;
        put(store, &target).await;
        let (id, target) = (actor.user.id, target.user.id);
        actor.user.status = Status::Suspended;
        let answered = race(2, |number| {
            let (store, actor, top) = (Arc::clone(store), actor.clone(), top.clone());
            async move {
                if number == 0 {
                    let suspend = |_: &UserSnapshot| Ok(UserChange::Put(actor.clone()));
                    write(&store, None, id, &top, &suspend).await;
                    return Some(read(&store, target).await.epoch);
                }
                let decide = |snapshot: &UserSnapshot| {
                    let acting = snapshot.actor.as_ref().expect("the actor");
                    if acting.user.status != Status::Active {
                        return Err(ErrorKind::SessionRevoked);
                    }
                    let mut account = snapshot.target.clone().ok_or(ErrorKind::NotFound)?;
                    account.epoch = account.epoch.next(None);
                    Ok(UserChange::Put(account))
                };
                write(&store, Some(id), target, &top, &decide).await;
                None
            }
        })
        .await;
        let answered = answered.into_iter().flatten().next().expect("the suspension's answer");
        assert_eq!(read(store, target).await.epoch, answered);
    }
}

/// Neither overwrites the other's fields.
pub async fn concurrent_sign_ins_and_writes_are_both_stored(store: &Arc<dyn UserStore>) {
    for _ in 0..10 {
        let account = account(&role());
        let id = account.user.id;
        put(store, &account).await;
        race(2, |number| {
            let (store, top) = (Arc::clone(store), account.user.role.clone());
            async move {
                if number == 0 {
                    store.signed_in(id, later(3), None).await.expect("responds").expect("the user");
                    return;
                }
                let suspend = |snapshot: &UserSnapshot| {
                    let mut account = snapshot.target.clone().ok_or(ErrorKind::NotFound)?;
                    account.user.status = Status::Suspended;
                    Ok(UserChange::Put(account))
                };
                write(&store, None, id, &top, &suspend).await;
            }
        })
        .await;
        let user = read(store, id).await.user;
        assert_eq!((user.status, user.last_login_at), (Status::Suspended, Some(later(3))));
    }
}
