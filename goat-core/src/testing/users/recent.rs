//! How often a user was written, and states that may be remembered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::ErrorKind;
use crate::id::UserId;
use crate::user::{
    Account, Status, UserChange, UserSnapshot, UserState, UserStore, UserWriteOutcome,
};

use super::super::sample::{account, later, race, role};
use super::{put, read, write};

async fn state(store: &Arc<dyn UserStore>, id: UserId) -> Option<UserState> {
    store.state(id).await.expect("the store answers")
}

async fn cached_state(store: &Arc<dyn UserStore>, id: UserId) -> Option<UserState> {
    store.cached_state(id).await.expect("the store answers").value
}

/// What a write that was kept says, after it was compared with what is read.
async fn kept(store: &Arc<dyn UserStore>, account: &Account) -> u64 {
    let written = put(store, account).await;
    let UserWriteOutcome::Changed { after, .. } = written else { panic!("{written:?}") };
    revision(store, after.user.id, after.revision).await
}

/// How often the user was written, by every read that tells.
async fn revision(store: &Arc<dyn UserStore>, id: UserId, expected: u64) -> u64 {
    assert_eq!(read(store, id).await.revision, expected);
    assert_eq!(state(store, id).await.expect("the user").revision, expected);
    assert_eq!(cached_state(store, id).await.expect("the user").revision, expected);
    expected
}

/// The revision is one at first and rises by one with each write that is kept, whatever the write
/// itself says; with nothing else.
pub async fn every_write_that_is_kept_is_counted(store: &Arc<dyn UserStore>) {
    let (mut account, other) = (account(&role()), account(&role()));
    let (id, top) = (account.user.id, &role());
    account.revision = 40;
    assert_eq!(kept(store, &account).await, 1);
    assert_eq!(kept(store, &account).await, 2);
    account.revision = 0;
    account.user.status = Status::Suspended;
    assert_eq!(kept(store, &account).await, 3);
    assert_eq!(kept(store, &other).await, 1);

    let nothing = |snapshot: &UserSnapshot| {
        assert_eq!(snapshot.target.as_ref().map(|target| target.revision), Some(3));
        Ok(UserChange::Nothing)
    };
    let written = write(store, None, id, top, &nothing).await;
    let UserWriteOutcome::Unchanged(same) = written else { panic!("{written:?}") };
    assert_eq!(same.revision, 3);
    let refuse = |_: &UserSnapshot| Err(ErrorKind::Forbidden);
    write(store, None, id, top, &refuse).await;
    let mut taken = account.clone();
    taken.user.email = other.user.email.clone();
    assert!(matches!(put(store, &taken).await, UserWriteOutcome::EmailTaken));
    store.signed_in(id, later(9), None).await.expect("the store answers");
    assert_eq!(revision(store, id, 3).await, 3);

    let delete = |_: &UserSnapshot| Ok(UserChange::Delete);
    let written = write(store, None, id, top, &delete).await;
    let UserWriteOutcome::Deleted(before) = written else { panic!("{written:?}") };
    assert_eq!(before.revision, 3);
}

/// Writes at once are counted each.
pub async fn writes_at_once_are_counted_each(store: &Arc<dyn UserStore>) {
    let account = account(&role());
    put(store, &account).await;
    let mut revisions = race(16, |_| {
        let (store, account) = (Arc::clone(store), account.clone());
        async move {
            let written = put(&store, &account).await;
            let UserWriteOutcome::Changed { before, after } = written else {
                panic!("{written:?}")
            };
            assert_eq!(before.expect("it was there").revision + 1, after.revision);
            after.revision
        }
    })
    .await;
    revisions.sort_unstable();
    assert_eq!(revisions, (2..=17).collect::<Vec<u64>>());
    revision(store, account.user.id, 17).await;
}

/// A recent state is the state where nothing was written since, also of who is not there.
pub async fn a_recent_state_is_as_the_state(store: &Arc<dyn UserStore>) {
    let mut account = account(&role());
    let id = account.user.id;
    assert_eq!(cached_state(store, id).await, None);
    for status in Status::ALL {
        account.user.status = status;
        account.user.role = role();
        account.epoch = account.epoch.next(None);
        put(store, &account).await;
        // More than once, so that one who remembers has the chance to.
        for _ in 0..3 {
            let mut recent = cached_state(store, id).await.expect("the user");
            let fresh = state(store, id).await.expect("the user");
            // Roles may have been changed since by somebody else.
            assert!(recent.roles_revision <= fresh.roles_revision);
            recent.roles_revision = fresh.roles_revision;
            assert_eq!(recent, fresh);
            assert_eq!((recent.role, recent.status), (account.user.role.clone(), status));
        }
    }
    let delete = |_: &UserSnapshot| Ok(UserChange::Delete);
    write(store, None, id, &role(), &delete).await;
    assert_eq!(cached_state(store, id).await, None);
    assert_eq!(state(store, id).await, None);
}

/// Who asks for a recent state after a write was answered is shown that write or a later one,
/// whatever is read at the same time.
pub async fn a_recent_state_shows_every_write_that_was_answered(store: &Arc<dyn UserStore>) {
    let account = account(&role());
    let id = account.user.id;
    put(store, &account).await;
    let (answered, writers) = (Arc::new(AtomicU64::new(1)), 2);
    race(8, |number| {
        let (store, account, answered) =
            (Arc::clone(store), account.clone(), Arc::clone(&answered));
        async move {
            for _ in 0..25 {
                if number < writers {
                    let UserWriteOutcome::Changed { after, .. } = put(&store, &account).await
                    else {
                        panic!("nothing refuses")
                    };
                    answered.fetch_max(after.revision, Ordering::SeqCst);
                }
                let known = answered.load(Ordering::SeqCst);
                let seen = cached_state(&store, id).await.expect("the user").revision;
                assert!(seen >= known, "{seen} is shown after {known} was answered");
            }
        }
    })
    .await;
}
