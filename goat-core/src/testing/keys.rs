//! Conformance suite of [`KeyStore`].
//!
//! Each case uses fresh users, so that one store can run all cases;
//! [`revoke_all_deletes_the_keys_of_all_users`] deletes every key of the store. Races are more effective on a
//! multi-threaded runtime.
//!
//! Each function panics if the store violates a guarantee of the port.

#![expect(clippy::missing_panics_doc, reason = "a panic is the result of these functions")]

use std::sync::Arc;

use crate::access::Permission;
use crate::clock::Timestamp;
use crate::id::{KeyId, UserId};
use crate::key::{Key, Scopes, StoredKey};
use crate::page::PageRequest;
use crate::store::{Created, KeyStore, KeyView, UserChange, UserSnapshot, UserStore, UserWrite};

use super::sample::{START, account, later, polled, race, role, stored_key};

/// Above the number of keys in any case.
const MANY: u32 = 1000;

/// Runs every case that needs no users.
pub async fn conformance(store: &Arc<dyn KeyStore>) {
    a_key_is_read_back_as_created(store).await;
    the_quota_of_keys_counts_those_of_the_owner(store).await;
    the_quota_of_keys_holds_under_concurrency(store).await;
    a_list_has_the_keys_of_the_owner_newest_first(store).await;
    a_key_is_revoked_by_its_owner_only(store).await;
    concurrent_revocations_delete_a_key_once(store).await;
    uses_of_keys_are_recorded(store).await;
    revoke_all_deletes_the_keys_of_one_user(store).await;
    a_dropped_creation_has_its_full_effect_or_none(store).await;
    revoke_all_deletes_the_keys_of_all_users(store).await;
}

/// Runs the cases of a store that keeps users too.
pub async fn conformance_with_users(store: &Arc<dyn KeyStore>, users: &Arc<dyn UserStore>) {
    a_key_is_read_with_its_owner(store, users).await;
    the_keys_of_a_deleted_user_are_gone(store, users).await;
    a_write_reads_its_key(store, users).await;
}

fn someone() -> UserId {
    UserId::generate(START)
}

async fn create(store: &Arc<dyn KeyStore>, key: &StoredKey) {
    let created = store.create(key, MANY).await.expect("the store responds");
    assert_eq!(created, Created::Created);
}

async fn find(store: &Arc<dyn KeyStore>, id: KeyId) -> Option<KeyView> {
    store.find(id).await.expect("the store responds")
}

async fn all(store: &Arc<dyn KeyStore>, owner: UserId) -> Vec<Key> {
    let page = PageRequest::new(1, 100).expect("a page");
    store.list(owner, page).await.expect("the store responds").items
}

/// K3: with all members, and its hash.
pub async fn a_key_is_read_back_as_created(store: &Arc<dyn KeyStore>) {
    let scopes = ["report:read", "user:*"].map(Permission::new);
    let plain = stored_key(someone());
    let key = Key {
        made_by: None,
        name: "na\u{ef}ve \u{1f510} 'key'".to_owned(),
        scopes: Scopes::only(scopes).expect("scopes"),
        expires_at: Some(later(60)),
        last_used_at: Some(later(1)),
        ..stored_key(someone()).key
    };
    let full = StoredKey { key, hash: plain.hash };
    let bare = stored_key(someone());
    let bare = StoredKey { key: Key { scopes: Scopes::Only(Vec::new()), ..bare.key }, ..bare };
    for stored in [plain, full, bare] {
        assert!(find(store, stored.key.id).await.is_none());
        create(store, &stored).await;
        let found = find(store, stored.key.id).await.expect("it exists").stored;
        assert_eq!(found.key, stored.key);
        assert!(found.hash.is_same_as(&stored.hash));
        assert_eq!(all(store, stored.key.owner).await, [stored.key]);
    }
}

/// The keys of other users do not count; expired ones do.
pub async fn the_quota_of_keys_counts_those_of_the_owner(store: &Arc<dyn KeyStore>) {
    let owner = someone();
    create(store, &stored_key(someone())).await;
    for number in 0..3 {
        let mut stored = stored_key(owner);
        stored.key.expires_at = Some(START);
        let created = store.create(&stored, 2).await.expect("the store responds");
        let expected = if number < 2 { Created::Created } else { Created::TooMany };
        assert_eq!(created, expected);
    }
    let keys = all(store, owner).await;
    assert_eq!(keys.len(), 2);
    assert!(store.revoke(owner, keys[0].id).await.expect("the store responds"));
    let created = store.create(&stored_key(owner), 2).await.expect("the store responds");
    assert_eq!(created, Created::Created);
}

/// Of many concurrent creations as many succeed as the quota allows.
pub async fn the_quota_of_keys_holds_under_concurrency(store: &Arc<dyn KeyStore>) {
    let owner = someone();
    let outcomes = race(12, |_| {
        let store = Arc::clone(store);
        async move { store.create(&stored_key(owner), 5).await.expect("the store responds") }
    })
    .await;
    let created = outcomes.iter().filter(|outcome| **outcome == Created::Created);
    assert_eq!(created.count(), 5);
    assert_eq!(all(store, owner).await.len(), 5);
}

/// Pages with the total, also past the end.
pub async fn a_list_has_the_keys_of_the_owner_newest_first(store: &Arc<dyn KeyStore>) {
    let owner = someone();
    create(store, &stored_key(someone())).await;
    let mut expected = Vec::new();
    for number in 0..5 {
        let mut stored = stored_key(owner);
        stored.key.created_at = later(number / 2);
        create(store, &stored).await;
        expected.push(stored.key);
    }
    expected.sort_by_key(|key| std::cmp::Reverse((key.created_at, key.id)));
    let page = async |number| {
        let page = PageRequest::new(number, 2).expect("a page");
        store.list(owner, page).await.expect("the store responds")
    };
    for (number, range) in [(1, 0..2), (2, 2..4), (3, 4..5), (4, 5..5)] {
        let found = page(number).await;
        assert_eq!((found.items.as_slice(), found.total), (&expected[range], 5));
    }
    let nothing = store.list(someone(), PageRequest::default()).await.expect("the store responds");
    assert_eq!((nothing.items.len(), nothing.total), (0, 0));
}

/// R8: a key of another user is as one that does not exist.
pub async fn a_key_is_revoked_by_its_owner_only(store: &Arc<dyn KeyStore>) {
    let stored = stored_key(someone());
    create(store, &stored).await;
    let Key { id, owner, .. } = stored.key;
    assert!(!store.revoke(someone(), id).await.expect("the store responds"));
    assert!(find(store, id).await.is_some());
    assert!(store.revoke(owner, id).await.expect("the store responds"));
    assert!(find(store, id).await.is_none());
    assert!(!store.revoke(owner, id).await.expect("the store responds"));
}

/// One of several revocations reports the key.
pub async fn concurrent_revocations_delete_a_key_once(store: &Arc<dyn KeyStore>) {
    let stored = stored_key(someone());
    create(store, &stored).await;
    let Key { id, owner, .. } = stored.key;
    let outcomes = race(8, |_| {
        let store = Arc::clone(store);
        async move { store.revoke(owner, id).await.expect("the store responds") }
    })
    .await;
    assert_eq!(outcomes.into_iter().filter(|was_revoked| *was_revoked).count(), 1);
}

/// K7: the time of a use never falls, a late use revives no revoked key, and concurrent calls of several
/// keys do not block one another.
pub async fn uses_of_keys_are_recorded(store: &Arc<dyn KeyStore>) {
    let (one, other) = (stored_key(someone()), stored_key(someone()));
    create(store, &one).await;
    create(store, &other).await;
    let (one, other) = (one.key.id, other.key.id);
    let unknown = stored_key(someone()).key.id;
    let used = async |uses: &[(KeyId, Timestamp)]| {
        store.used(uses).await.expect("the store responds");
    };
    let last = async |id| find(store, id).await.expect("it exists").stored.key.last_used_at;
    used(&[]).await;
    used(&[(one, later(20)), (unknown, later(20)), (other, later(30))]).await;
    assert_eq!((last(one).await, last(other).await), (Some(later(20)), Some(later(30))));
    used(&[(other, later(10)), (one, later(40))]).await;
    assert_eq!((last(one).await, last(other).await), (Some(later(40)), Some(later(30))));
    race(8, |number| {
        let store = Arc::clone(store);
        let mut uses = vec![(one, later(100 + number as u64)), (other, later(200))];
        if number % 2 == 0 {
            uses.reverse();
        }
        async move { store.used(&uses).await.expect("the store responds") }
    })
    .await;
    assert_eq!((last(one).await, last(other).await), (Some(later(107)), Some(later(200))));
    assert!(find(store, unknown).await.is_none());
}

/// The keys of other users stay.
pub async fn revoke_all_deletes_the_keys_of_one_user(store: &Arc<dyn KeyStore>) {
    let (owner, other) = (someone(), someone());
    for owner in [owner, owner, other] {
        create(store, &stored_key(owner)).await;
    }
    for expected in [2, 0] {
        assert_eq!(store.revoke_all(Some(owner)).await.expect("the store responds"), expected);
    }
    assert_eq!((all(store, owner).await.len(), all(store, other).await.len()), (0, 1));
}

/// K9: the step after a restore.
pub async fn revoke_all_deletes_the_keys_of_all_users(store: &Arc<dyn KeyStore>) {
    let stored = stored_key(someone());
    create(store, &stored).await;
    assert!(store.revoke_all(None).await.expect("the store responds") >= 1);
    assert!(find(store, stored.key.id).await.is_none());
    assert_eq!(store.revoke_all(None).await.expect("the store responds"), 0);
}

/// A creation that is dropped at any await leaves the key as a whole, or nothing.
pub async fn a_dropped_creation_has_its_full_effect_or_none(store: &Arc<dyn KeyStore>) {
    let mut is_finished = false;
    for polls in 0..40 {
        let owner = someone();
        let stored = stored_key(owner);
        let outcome = polled(store.create(&stored, MANY), polls).await;
        // It waits for the owner's lock, until the dropped call has committed or rolled back.
        create(store, &stored_key(owner)).await;
        let found = find(store, stored.key.id).await;
        if let Some(created) = outcome {
            assert_eq!(created.expect("the store responds"), Created::Created);
            assert!(found.is_some());
            is_finished = true;
        }
        if let Some(found) = found {
            assert_eq!(found.stored.key, stored.key);
        }
    }
    assert!(is_finished, "forty polls are enough for a call");
}

async fn write(users: &Arc<dyn UserStore>, target: UserId, change: UserChange) {
    let top_role = role();
    let decide = |_: &UserSnapshot| Ok(change.clone());
    let write = UserWrite {
        actor: None,
        key: None,
        target,
        top_role: &top_role,
        assigns: None,
        decide: &decide,
    };
    users.write(write).await.expect("the store responds");
}

/// One read returns the key and the state of its owner; an owner that does not exist is none.
pub async fn a_key_is_read_with_its_owner(store: &Arc<dyn KeyStore>, users: &Arc<dyn UserStore>) {
    let account = account(&role());
    let id = account.user.id;
    let stored = stored_key(id);
    create(store, &stored).await;
    assert!(find(store, stored.key.id).await.expect("it exists").owner.is_none());
    write(users, id, UserChange::Put(account)).await;
    let view = find(store, stored.key.id).await.expect("it exists");
    let state = users.state(id).await.expect("the store responds");
    assert_eq!(view.owner, state);
    assert_eq!(view.stored.key, stored.key);
}

/// The keys are deleted in the transaction that deletes the user. Those of other users stay.
pub async fn the_keys_of_a_deleted_user_are_gone(
    store: &Arc<dyn KeyStore>,
    users: &Arc<dyn UserStore>,
) {
    let account = account(&role());
    let (id, other) = (account.user.id, stored_key(someone()));
    write(users, id, UserChange::Put(account)).await;
    let stored = stored_key(id);
    for key in [&stored, &stored_key(id), &other] {
        create(store, key).await;
    }
    write(users, id, UserChange::Delete).await;
    assert!(find(store, stored.key.id).await.is_none());
    assert_eq!(all(store, id).await, []);
    assert!(find(store, other.key.id).await.is_some());
}

/// K1: a write by a key learns in its own transaction whether the key is stored.
pub async fn a_write_reads_its_key(store: &Arc<dyn KeyStore>, users: &Arc<dyn UserStore>) {
    let account = account(&role());
    let id = account.user.id;
    write(users, id, UserChange::Put(account)).await;
    let stored = stored_key(id);
    let key = stored.key.id;
    create(store, &stored).await;
    for expected in [Some(true), Some(false)] {
        for (key, expected) in [(Some(key), expected), (None, None)] {
            for actor in [None, Some(id)] {
                let top_role = role();
                let decide = |snapshot: &UserSnapshot| {
                    assert_eq!(snapshot.has_key, expected);
                    Ok(UserChange::Nothing)
                };
                let (target, top_role) = (id, &top_role);
                let write =
                    UserWrite { actor, key, target, top_role, assigns: None, decide: &decide };
                users.write(write).await.expect("the store responds");
            }
        }
        store.revoke(id, key).await.expect("the store responds");
    }
}
