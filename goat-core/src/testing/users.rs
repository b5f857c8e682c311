//! Conformance suite of [`UserStore`].
//!
//! [`conformance`] runs every case. Each case uses fresh users, roles and addresses, so that one
//! store can run all cases, repeatedly. Races are more effective on a multi-threaded runtime.
//!
//! [`ids_match_creation_times`] checks existing users: run it over a store that contains the
//! application's own users, before the suite adds any.
//!
//! Each function panics if the store violates a guarantee of the port.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use std::sync::Arc;
//! use goat_core::{store::UserStore, store::memory::MemoryDirectory, testing};
//!
//! let store: Arc<dyn UserStore> = Arc::new(MemoryDirectory::default());
//! testing::users::conformance(&store).await;
//! # }
//! ```

#![expect(clippy::missing_panics_doc, reason = "a panic is the result of these functions")]

mod cached;
pub(crate) mod list;
mod races;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::{Value, json};

pub use cached::{
    a_cached_state_equals_the_state, a_cached_state_includes_every_completed_write,
    concurrent_writes_each_raise_the_revision, each_stored_write_raises_the_revision,
};
pub use list::{
    a_list_applies_filter_order_and_page, a_list_continues_after_a_user,
    a_list_covers_users_of_many_roles, hidden_users_are_not_listed, ids_match_creation_times,
};
pub use races::{
    a_suspended_actor_writes_nothing, at_most_one_first_administrator_is_created,
    concurrent_attribute_patches_are_all_stored, concurrent_deletions_leave_one_administrator,
    concurrent_demotions_leave_one_administrator, concurrent_sign_ins_and_writes_are_both_stored,
    concurrent_sign_ups_with_one_address_create_one_user, concurrent_writes_create_a_user_once,
    no_concurrent_write_is_lost,
};

use crate::access::Role;
use crate::error::ErrorKind;
use crate::id::{SessionId, UserId};
use crate::session::TokenReplacement;
use crate::store::{Rehashed, UserChange, UserSnapshot, UserStore, UserWrite, UserWriteOutcome};
use crate::user::{Account, Attributes, Email, Status, User, UserFilter, UserQuery};

use super::sample::{START, account, account_of, later, role, service_account, token, word};

/// Runs every case.
pub async fn conformance(store: &Arc<dyn UserStore>) {
    an_account_is_read_back_as_written(store).await;
    unknown_users_are_not_found(store).await;
    an_address_belongs_to_one_user(store).await;
    a_verification_moves_with_the_address(store).await;
    concurrent_sign_ups_with_one_address_create_one_user(store).await;
    concurrent_writes_create_a_user_once(store).await;
    a_refused_write_has_no_effect(store).await;
    a_write_without_change_returns_the_target(store).await;
    a_write_sees_its_actor(store).await;
    only_active_persons_in_the_top_role_administer(store).await;
    concurrent_demotions_leave_one_administrator(store).await;
    concurrent_deletions_leave_one_administrator(store).await;
    at_most_one_first_administrator_is_created(store).await;
    no_concurrent_write_is_lost(store).await;
    concurrent_attribute_patches_are_all_stored(store).await;
    a_suspended_actor_writes_nothing(store).await;
    a_sign_in_changes_only_the_last_login(store).await;
    a_hash_is_replaced_only_if_unchanged(store).await;
    concurrent_sign_ins_and_writes_are_both_stored(store).await;
    only_active_persons_count_in_a_role(store).await;
    sampled_hashes_are_limited(store).await;
    a_list_applies_filter_order_and_page(store).await;
    hidden_users_are_not_listed(store).await;
    a_list_continues_after_a_user(store).await;
    a_list_covers_users_of_many_roles(store).await;
    each_stored_write_raises_the_revision(store).await;
    concurrent_writes_each_raise_the_revision(store).await;
    a_cached_state_equals_the_state(store).await;
    a_cached_state_includes_every_completed_write(store).await;
    store.ping().await.expect("the store responds");
}

type Decision<'a> = dyn Fn(&UserSnapshot) -> Result<UserChange, ErrorKind> + Send + Sync + 'a;

async fn write(
    store: &Arc<dyn UserStore>,
    actor: Option<UserId>,
    target: UserId,
    top_role: &Role,
    decide: &Decision<'_>,
) -> UserWriteOutcome {
    let write = UserWrite { actor, key: None, target, top_role, assigns: None, decide };
    store.write(write).await.expect("the store responds")
}

/// Writes an account as it is.
async fn put(store: &Arc<dyn UserStore>, account: &Account) -> UserWriteOutcome {
    let decide = |_: &UserSnapshot| Ok(UserChange::Put(account.clone()));
    write(store, None, account.user.id, &account.user.role, &decide).await
}

fn attributes(value: Value) -> Attributes {
    Attributes::parse(value).expect("attributes")
}

async fn read(store: &Arc<dyn UserStore>, id: UserId) -> Account {
    store.by_id(id).await.expect("the store responds").expect("the user is there")
}

/// Compares users, including the spelling of the address.
fn assert_same_user(one: &User, other: &User) {
    assert_eq!(one, other);
    assert_eq!(one.email.as_str(), other.email.as_str());
}

/// Compares everything, including the spelling of the address.
fn assert_same(one: &Account, other: &Account) {
    assert_same_user(&one.user, &other.user);
    assert_eq!(one.password_hash.expose(), other.password_hash.expose());
    assert_eq!(one.epoch, other.epoch);
    assert_eq!(one.replacement, other.replacement);
}

/// An account is read back by id, by address and as state, as it was last written.
pub async fn an_account_is_read_back_as_written(store: &Arc<dyn UserStore>) {
    let mut account = account_of(&role(), &format!("Ann.O'Hara+{}@Bücher.Example", word()));
    for _ in 0..2 {
        let written = put(store, &account).await;
        let UserWriteOutcome::Changed { after, .. } = written else { panic!("{written:?}") };
        assert_same(&after, &account);
        assert_same(&read(store, account.user.id).await, &account);
        let found = store.by_email(account.user.email.canonical()).await;
        assert_same(&found.expect("the store responds").expect("the user"), &account);
        let state = store.state(account.user.id).await.expect("the store responds");
        let state = state.expect("the user");
        assert_same_user(&state.user, &account.user);
        assert_eq!(state.epoch, account.epoch);

        account.user.email = Email::parse(&format!("{}@example.org", word())).expect("an address");
        account.user.role = role();
        account.user.status = Status::Suspended;
        account.user.updated_at = later(5);
        account.user.last_login_at = Some(later(4));
        account.user.email_verified_at = Some(later(5));
        account.user.attributes =
            attributes(json!({ "plan": "ü\u{1}'", "teams": ["a b"], "n": 1.5 }));
        account.password_hash = "another".into();
        let session = SessionId::generate(START);
        account.epoch = account.epoch.next(Some(session));
        let (epoch, token) = (account.epoch.number, token(later(5)));
        account.replacement = Some(TokenReplacement { session, epoch, token });
    }
}

/// An unknown id or address finds no user, also if it is not a valid address.
pub async fn unknown_users_are_not_found(store: &Arc<dyn UserStore>) {
    let id = UserId::generate(START);
    assert!(store.by_id(id).await.expect("the store responds").is_none());
    assert!(store.state(id).await.expect("the store responds").is_none());
    for name in ["nobody@example.org", "", "%", "a\0b", "' OR ''='", "ä", "\u{10ffff}"] {
        assert!(store.by_email(name).await.expect("the store responds").is_none(), "{name:?}");
    }
}

/// No two users share a canonical address; an address that a user gives up can be used again.
pub async fn an_address_belongs_to_one_user(store: &Arc<dyn UserStore>) {
    let role = role();
    let first = account(&role);
    put(store, &first).await;
    let spelling = first.user.email.canonical().to_uppercase();
    let mut second = account_of(&role, &spelling);
    assert!(matches!(put(store, &second).await, UserWriteOutcome::EmailTaken));
    assert!(store.by_id(second.user.id).await.expect("the store responds").is_none());

    second.user.email = account(&role).user.email;
    put(store, &second).await;
    let kept = second.clone();
    second.user.email = Email::parse(&spelling).expect("an address");
    assert!(matches!(put(store, &second).await, UserWriteOutcome::EmailTaken));
    assert_same(&read(store, second.user.id).await, &kept);

    let mut moved = first.clone();
    moved.user.email = account(&role).user.email;
    assert!(matches!(put(store, &moved).await, UserWriteOutcome::Changed { .. }));
    assert!(matches!(put(store, &second).await, UserWriteOutcome::Changed { .. }));
    let decide = |_: &UserSnapshot| Ok(UserChange::Delete);
    let deleted = write(store, None, second.user.id, &role, &decide).await;
    let UserWriteOutcome::Deleted(before) = deleted else { panic!("{deleted:?}") };
    assert_same(&before, &second);
    assert!(store.by_email(second.user.email.canonical()).await.expect("responds").is_none());
    assert!(matches!(put(store, &first).await, UserWriteOutcome::Changed { .. }));
}

/// The time at which an address was verified is stored in the same write as the address, exactly as the write
/// has it, and every read shows both as of one write.
pub async fn a_verification_moves_with_the_address(store: &Arc<dyn UserStore>) {
    let (mut account, other) = (account(&role()), account(&role()));
    put(store, &other).await;
    let writes = [
        (true, None),
        (false, Some(later(3))),
        (false, Some(later(4))),
        // Another address, not verified.
        (true, None),
        // Another address, verified in the same write; also at the time at which the earlier one was.
        (true, Some(later(5))),
        (true, Some(later(5))),
        (false, None),
    ];
    for (moves, verified_at) in writes {
        let before = account.user.email.clone();
        if moves {
            account.user.email =
                Email::parse(&format!("Ann.{}@example.org", word())).expect("an address");
        }
        account.user.email_verified_at = verified_at;
        let written = put(store, &account).await;
        let UserWriteOutcome::Changed { after, .. } = written else { panic!("{written:?}") };
        assert_same(&after, &account);
        assert_everywhere(store, &account).await;
        if moves {
            assert!(store.by_email(before.canonical()).await.expect("responds").is_none());
        }
    }
    account.user.email_verified_at = Some(later(6));
    put(store, &account).await;
    // A refused address leaves both.
    let mut taken = account.clone();
    taken.user.email = other.user.email;
    taken.user.email_verified_at = Some(later(7));
    assert!(matches!(put(store, &taken).await, UserWriteOutcome::EmailTaken));
    assert_everywhere(store, &account).await;
}

/// Asserts that every read of one user shows this account.
async fn assert_everywhere(store: &Arc<dyn UserStore>, account: &Account) {
    let (id, role) = (account.user.id, &account.user.role);
    assert_same(&read(store, id).await, account);
    let found = store.by_email(account.user.email.canonical()).await;
    assert_same(&found.expect("the store responds").expect("the user"), account);
    let state = store.state(id).await.expect("the store responds").expect("the user");
    assert_same_user(&state.user, &account.user);
    // Repeated, so that a caching store can use its cache.
    for _ in 0..2 {
        let cached = store.cached_state(id).await.expect("the store responds").value;
        assert_same_user(&cached.expect("the user").user, &account.user);
    }
    let filter = UserFilter { roles: vec![role.clone()], ..UserFilter::default() };
    let query = UserQuery { filter, hidden_roles: Vec::new(), except: None };
    let listed = store.list(&query).await.expect("the store responds").users;
    assert_eq!(listed.len(), 1);
    assert_same_user(&listed[0], &account.user);
    let decide = |snapshot: &UserSnapshot| {
        assert_same(snapshot.target.as_ref().expect("the target"), account);
        Ok(UserChange::Nothing)
    };
    write(store, None, id, role, &decide).await;
}

/// A write that the rules refuse has no effect.
pub async fn a_refused_write_has_no_effect(store: &Arc<dyn UserStore>) {
    let account = account(&role());
    put(store, &account).await;
    let decide = |_: &UserSnapshot| Err(ErrorKind::Outranked);
    let written = write(store, None, account.user.id, &account.user.role, &decide).await;
    assert!(matches!(written, UserWriteOutcome::Refused(ErrorKind::Outranked)), "{written:?}");
    assert_same(&read(store, account.user.id).await, &account);
}

/// `Nothing` returns the target unchanged; without a target, it and `Delete` are refused.
pub async fn a_write_without_change_returns_the_target(store: &Arc<dyn UserStore>) {
    let account = account(&role());
    let top = &account.user.role;
    put(store, &account).await;
    let nothing = |_: &UserSnapshot| Ok(UserChange::Nothing);
    let written = write(store, None, account.user.id, top, &nothing).await;
    let UserWriteOutcome::Unchanged(same) = written else { panic!("{written:?}") };
    assert_same(&same, &account);

    let missing = UserId::generate(START);
    let delete = |_: &UserSnapshot| Ok(UserChange::Delete);
    for decide in [&nothing as &Decision<'_>, &delete] {
        let written = write(store, None, missing, top, decide).await;
        assert!(matches!(written, UserWriteOutcome::Refused(ErrorKind::NotFound)), "{written:?}");
    }
}

/// A2: a write sees the current state of its actor, or that it is missing.
pub async fn a_write_sees_its_actor(store: &Arc<dyn UserStore>) {
    let (mut actor, target) = (account(&role()), account(&role()));
    actor.user.status = Status::Suspended;
    actor.epoch = actor.epoch.next(Some(SessionId::generate(START)));
    put(store, &actor).await;
    put(store, &target).await;
    let id = actor.user.id;
    let decide = |snapshot: &UserSnapshot| {
        let acting = snapshot.actor.as_ref().expect("the actor");
        assert_eq!(acting.user.role, actor.user.role);
        assert_eq!(acting.user.status, Status::Suspended);
        assert_eq!(acting.epoch, actor.epoch);
        assert_same(snapshot.target.as_ref().expect("the target"), &target);
        Ok(UserChange::Delete)
    };
    let written = write(store, Some(id), target.user.id, &role(), &decide).await;
    assert!(matches!(written, UserWriteOutcome::Deleted(_)), "{written:?}");

    let is_missing = |snapshot: &UserSnapshot| {
        assert!(snapshot.actor.is_none() && snapshot.target.is_none());
        Err(ErrorKind::NotFound)
    };
    for actor in [None, Some(UserId::generate(START))] {
        write(store, actor, target.user.id, &role(), &is_missing).await;
    }
}

/// A3: another administrator is an active person in the top role other than the target.
pub async fn only_active_persons_in_the_top_role_administer(store: &Arc<dyn UserStore>) {
    let top = role();
    let target = account(&top);
    put(store, &target).await;
    put(store, &account(&role())).await;
    let mut suspended = account(&top);
    suspended.user.status = Status::Suspended;
    put(store, &suspended).await;
    let mut inactive = account(&top);
    inactive.user.status = Status::Inactive;
    put(store, &inactive).await;
    put(store, &service_account(&top)).await;
    let expect = |expected: bool| {
        move |snapshot: &UserSnapshot| {
            assert_eq!(snapshot.others_administer, expected);
            Ok(UserChange::Nothing)
        }
    };
    write(store, None, target.user.id, &top, &expect(false)).await;
    write(store, Some(target.user.id), target.user.id, &top, &expect(false)).await;
    put(store, &account(&top)).await;
    write(store, None, target.user.id, &top, &expect(true)).await;
    write(store, Some(target.user.id), target.user.id, &top, &expect(true)).await;
}

/// A sign-in advances the time of the last sign-in, never back, raises the revision, and creates no user.
pub async fn a_sign_in_changes_only_the_last_login(store: &Arc<dyn UserStore>) {
    let mut account = account(&role());
    account.user.attributes = attributes(json!({ "plan": "pro" }));
    account.user.email_verified_at = Some(later(2));
    let id = account.user.id;
    put(store, &account).await;
    for (at, expected) in [(later(9), later(9)), (later(5), later(9)), (later(10), later(10))] {
        let state = store.signed_in(id, at, None).await.expect("responds").expect("the user");
        let mut expected_account = account.clone();
        expected_account.user.last_login_at = Some(expected);
        assert_same_user(&state.user, &expected_account.user);
        assert_eq!(state.epoch, account.epoch);
        assert_same(&read(store, id).await, &expected_account);
    }
    let missing = UserId::generate(START);
    assert_eq!(store.signed_in(missing, START, None).await.expect("responds"), None);
    assert!(store.by_id(missing).await.expect("the store responds").is_none());
}

/// P6: a new hash replaces only the hash that was verified.
pub async fn a_hash_is_replaced_only_if_unchanged(store: &Arc<dyn UserStore>) {
    let account = account(&role());
    let id = account.user.id;
    put(store, &account).await;
    for (old, new, expected) in [("hash", "newer", "newer"), ("hash", "other", "newer")] {
        let rehashed = Some(Rehashed { old, new });
        store.signed_in(id, later(1), rehashed).await.expect("responds").expect("the user");
        assert_eq!(read(store, id).await.password_hash.expose(), expected);
    }
}

/// Only active users count, and no service account.
pub async fn only_active_persons_count_in_a_role(store: &Arc<dyn UserStore>) {
    let mut account = account(&role());
    put(store, &service_account(&account.user.role)).await;
    for status in Status::ALL {
        account.user.status = status;
        put(store, &account).await;
        let found = store.has_active_user_in(&account.user.role).await.expect("responds");
        assert_eq!(found, status == Status::Active);
    }
    assert!(!store.has_active_user_in(&role()).await.expect("the store responds"));
}

/// Returns at most as many hashes as requested.
pub async fn sampled_hashes_are_limited(store: &Arc<dyn UserStore>) {
    let role = role();
    for _ in 0..3 {
        put(store, &account(&role)).await;
    }
    for limit in 0..3 {
        let hashes = store.sample_hashes(limit).await.expect("the store responds");
        assert_eq!(hashes.len(), limit as usize);
    }
}
