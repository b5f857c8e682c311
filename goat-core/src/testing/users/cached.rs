//! Revisions of users, and cached states.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::ErrorKind;
use crate::id::UserId;
use crate::store::{UserChange, UserSnapshot, UserStore, UserWriteOutcome};
use crate::user::{Account, Status, UserState};

use super::super::sample::{account, later, race, role};
use super::{put, read, write};

async fn state(store: &Arc<dyn UserStore>, id: UserId) -> Option<UserState> {
    store.state(id).await.expect("the store responds")
}

async fn cached_state(store: &Arc<dyn UserStore>, id: UserId) -> Option<UserState> {
    store.cached_state(id).await.expect("the store responds").value
}

/// Writes, compares the result's revision with all reads, and returns it.
async fn put_and_check_revision(store: &Arc<dyn UserStore>, account: &Account) -> u64 {
    let written = put(store, account).await;
    let UserWriteOutcome::Changed { after, .. } = written else { panic!("{written:?}") };
    assert_revision(store, after.user.id, after.revision).await
}

/// Asserts the revision in every read that has it.
async fn assert_revision(store: &Arc<dyn UserStore>, id: UserId, expected: u64) -> u64 {
    assert_eq!(read(store, id).await.revision, expected);
    assert_eq!(state(store, id).await.expect("the user").revision, expected);
    assert_eq!(cached_state(store, id).await.expect("the user").revision, expected);
    expected
}

/// The revision starts at one and rises by one with each stored write and each sign-in, independent of the
/// revision in the write, and with nothing else.
pub async fn each_stored_write_raises_the_revision(store: &Arc<dyn UserStore>) {
    let (mut account, other) = (account(&role()), account(&role()));
    let (id, top) = (account.user.id, &role());
    account.revision = 40;
    assert_eq!(put_and_check_revision(store, &account).await, 1);
    assert_eq!(put_and_check_revision(store, &account).await, 2);
    account.revision = 0;
    account.user.status = Status::Suspended;
    assert_eq!(put_and_check_revision(store, &account).await, 3);
    assert_eq!(put_and_check_revision(store, &other).await, 1);

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
    let state = store.signed_in(id, later(9), None).await.expect("the store responds");
    assert_eq!(state.expect("the user").revision, 4);
    assert_revision(store, id, 4).await;

    let delete = |_: &UserSnapshot| Ok(UserChange::Delete);
    let written = write(store, None, id, top, &delete).await;
    let UserWriteOutcome::Deleted(before) = written else { panic!("{written:?}") };
    assert_eq!(before.revision, 4);
}

/// Each concurrent write raises the revision.
pub async fn concurrent_writes_each_raise_the_revision(store: &Arc<dyn UserStore>) {
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
    assert_revision(store, account.user.id, 17).await;
}

/// Without later writes a cached state equals the state, also for a missing user.
pub async fn a_cached_state_equals_the_state(store: &Arc<dyn UserStore>) {
    let mut account = account(&role());
    let id = account.user.id;
    assert_eq!(cached_state(store, id).await, None);
    for status in Status::ALL {
        account.user.status = status;
        account.user.role = role();
        account.epoch = account.epoch.next(None);
        put(store, &account).await;
        // Repeated, so that a caching store can use its cache.
        for _ in 0..3 {
            let mut cached = cached_state(store, id).await.expect("the user");
            let fresh = state(store, id).await.expect("the user");
            // Another test may have changed roles since.
            assert!(cached.roles_revision <= fresh.roles_revision);
            cached.roles_revision = fresh.roles_revision;
            assert_eq!(cached, fresh);
            let seen = (cached.user.role, cached.user.status);
            assert_eq!(seen, (account.user.role.clone(), status));
        }
    }
    let delete = |_: &UserSnapshot| Ok(UserChange::Delete);
    write(store, None, id, &role(), &delete).await;
    assert_eq!(cached_state(store, id).await, None);
    assert_eq!(state(store, id).await, None);
}

/// A cached state that is read after a write has returned includes that write, with any concurrent
/// reads.
pub async fn a_cached_state_includes_every_completed_write(store: &Arc<dyn UserStore>) {
    let account = account(&role());
    let id = account.user.id;
    put(store, &account).await;
    let (acknowledged, writers) = (Arc::new(AtomicU64::new(1)), 2);
    race(8, |number| {
        let (store, account, acknowledged) =
            (Arc::clone(store), account.clone(), Arc::clone(&acknowledged));
        async move {
            for _ in 0..25 {
                if number < writers {
                    let UserWriteOutcome::Changed { after, .. } = put(&store, &account).await
                    else {
                        panic!("nothing refuses")
                    };
                    acknowledged.fetch_max(after.revision, Ordering::SeqCst);
                }
                let known = acknowledged.load(Ordering::SeqCst);
                let seen = cached_state(&store, id).await.expect("the user").revision;
                assert!(seen >= known, "read {seen} after {known} was written");
            }
        }
    })
    .await;
}
