//! The conformance suite of [`UserStore`].
//!
//! [`conformance`] runs all of it. Every case makes users, roles and addresses of its own, so that
//! one store may be used for all of them, and again later. Races are worth more on a runtime of
//! several threads.
//!
//! [`users_stand_where_their_ids_say`] is about users who were there before: run it over a store
//! with people of the application's own in it, before the suite adds any.
//!
//! Every function panics where the store does not keep a promise of the port.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use std::sync::Arc;
//! use goat_core::{store::memory::MemoryDirectory, testing, user::UserStore};
//!
//! let store: Arc<dyn UserStore> = Arc::new(MemoryDirectory::default());
//! testing::users::conformance(&store).await;
//! # }
//! ```

#![expect(clippy::missing_panics_doc, reason = "to panic is what all of these are for")]

mod list;
mod races;
mod recent;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use list::{
    a_list_goes_on_after_a_user, a_list_is_what_filter_order_and_page_say,
    hidden_users_are_in_no_list, users_stand_where_their_ids_say,
};
pub use races::{
    a_system_without_administrator_gets_one_at_most,
    a_write_never_comes_after_the_fall_of_its_actor,
    administrators_removed_by_the_system_at_once_leave_one,
    administrators_who_demote_each_other_at_once_leave_one, no_write_is_lost_to_another,
    sign_ins_and_writes_do_not_undo_one_another, sign_ups_with_one_address_at_once_make_one_user,
    writes_of_one_new_user_at_once_make_it_once,
};
pub use recent::{
    a_recent_state_is_as_the_state, a_recent_state_shows_every_write_that_was_answered,
    every_write_that_is_kept_is_counted, writes_at_once_are_counted_each,
};

use crate::access::Role;
use crate::error::ErrorKind;
use crate::id::{SessionId, UserId};
use crate::user::{
    Account, Email, Rehashed, Status, UserChange, UserSnapshot, UserStore, UserWrite,
    UserWriteOutcome,
};

use super::sample::{START, account, account_of, later, role, word};

/// Runs every case.
pub async fn conformance(store: &Arc<dyn UserStore>) {
    an_account_is_kept_as_it_was_put(store).await;
    nobody_is_found_under_an_unknown_name(store).await;
    an_address_belongs_to_one_user(store).await;
    sign_ups_with_one_address_at_once_make_one_user(store).await;
    writes_of_one_new_user_at_once_make_it_once(store).await;
    a_refused_write_changes_nothing(store).await;
    a_change_that_is_none_says_so(store).await;
    a_write_sees_who_acts(store).await;
    others_administer_if_active_in_the_top_role(store).await;
    administrators_who_demote_each_other_at_once_leave_one(store).await;
    administrators_removed_by_the_system_at_once_leave_one(store).await;
    a_system_without_administrator_gets_one_at_most(store).await;
    no_write_is_lost_to_another(store).await;
    a_write_never_comes_after_the_fall_of_its_actor(store).await;
    a_sign_in_is_noted_and_touches_nothing_else(store).await;
    a_hash_is_replaced_only_if_it_is_still_there(store).await;
    sign_ins_and_writes_do_not_undo_one_another(store).await;
    somebody_is_active_in_a_role_or_nobody(store).await;
    no_more_hashes_are_shown_than_asked_for(store).await;
    a_list_is_what_filter_order_and_page_say(store).await;
    hidden_users_are_in_no_list(store).await;
    a_list_goes_on_after_a_user(store).await;
    every_write_that_is_kept_is_counted(store).await;
    writes_at_once_are_counted_each(store).await;
    a_recent_state_is_as_the_state(store).await;
    a_recent_state_shows_every_write_that_was_answered(store).await;
    store.ping().await.expect("the store answers");
}

type Decision<'a> = dyn Fn(&UserSnapshot) -> Result<UserChange, ErrorKind> + Send + Sync + 'a;

async fn write(
    store: &Arc<dyn UserStore>,
    actor: Option<UserId>,
    target: UserId,
    top_role: &Role,
    decide: &Decision<'_>,
) -> UserWriteOutcome {
    let write = UserWrite { actor, target, top_role, decide };
    store.write(write).await.expect("the store answers")
}

/// Writes an account as it is.
async fn put(store: &Arc<dyn UserStore>, account: &Account) -> UserWriteOutcome {
    let decide = |_: &UserSnapshot| Ok(UserChange::Put(account.clone()));
    write(store, None, account.user.id, &account.user.role, &decide).await
}

async fn read(store: &Arc<dyn UserStore>, id: UserId) -> Account {
    store.by_id(id).await.expect("the store answers").expect("the user is there")
}

/// Compares everything, the spelling of the address included.
fn assert_same(one: &Account, other: &Account) {
    assert_eq!(one.user, other.user);
    assert_eq!(one.user.email.as_str(), other.user.email.as_str());
    assert_eq!(one.password_hash.expose(), other.password_hash.expose());
    assert_eq!(one.epoch, other.epoch);
}

/// What was put is read by id, by address and as state, as it was put and as it was put last.
pub async fn an_account_is_kept_as_it_was_put(store: &Arc<dyn UserStore>) {
    let mut account = account_of(&role(), &format!("Ann.O'Hara+{}@Bücher.Example", word()));
    for _ in 0..2 {
        let written = put(store, &account).await;
        let UserWriteOutcome::Changed { after, .. } = written else { panic!("{written:?}") };
        assert_same(&after, &account);
        assert_same(&read(store, account.user.id).await, &account);
        let found = store.by_email(account.user.email.canonical()).await;
        assert_same(&found.expect("the store answers").expect("the user"), &account);
        let state = store.state(account.user.id).await.expect("the store answers");
        let state = state.expect("the user");
        assert_eq!(state.role, account.user.role);
        assert_eq!(state.status, account.user.status);
        assert_eq!(state.epoch, account.epoch);

        account.user.email = Email::parse(&format!("{}@example.org", word())).expect("an address");
        account.user.role = role();
        account.user.status = Status::Suspended;
        account.user.updated_at = later(5);
        account.user.last_login_at = Some(later(4));
        account.password_hash = "another".into();
        account.epoch = account.epoch.next(Some(SessionId::generate(START)));
    }
}

/// An unknown id or address finds nobody, also one that is no address at all.
pub async fn nobody_is_found_under_an_unknown_name(store: &Arc<dyn UserStore>) {
    let id = UserId::generate(START);
    assert!(store.by_id(id).await.expect("the store answers").is_none());
    assert!(store.state(id).await.expect("the store answers").is_none());
    for name in ["nobody@example.org", "", "%", "a\0b", "' OR ''='", "ä", "\u{10ffff}"] {
        assert!(store.by_email(name).await.expect("the store answers").is_none(), "{name:?}");
    }
}

/// No two users share a canonical address; one that is given up is free again.
pub async fn an_address_belongs_to_one_user(store: &Arc<dyn UserStore>) {
    let role = role();
    let first = account(&role);
    put(store, &first).await;
    let spelling = first.user.email.canonical().to_uppercase();
    let mut second = account_of(&role, &spelling);
    assert!(matches!(put(store, &second).await, UserWriteOutcome::EmailTaken));
    assert!(store.by_id(second.user.id).await.expect("the store answers").is_none());

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
    assert!(store.by_email(second.user.email.canonical()).await.expect("answers").is_none());
    assert!(matches!(put(store, &first).await, UserWriteOutcome::Changed { .. }));
}

/// What the rules refuse leaves no trace.
pub async fn a_refused_write_changes_nothing(store: &Arc<dyn UserStore>) {
    let account = account(&role());
    put(store, &account).await;
    let decide = |_: &UserSnapshot| Err(ErrorKind::Outranked);
    let written = write(store, None, account.user.id, &account.user.role, &decide).await;
    assert!(matches!(written, UserWriteOutcome::Refused(ErrorKind::Outranked)), "{written:?}");
    assert_same(&read(store, account.user.id).await, &account);
}

/// `Nothing` answers the target as it is; without a target, it and `Delete` are refused.
pub async fn a_change_that_is_none_says_so(store: &Arc<dyn UserStore>) {
    let account = account(&role());
    let top = &account.user.role;
    put(store, &account).await;
    let nothing = |_: &UserSnapshot| Ok(UserChange::Nothing);
    let written = write(store, None, account.user.id, top, &nothing).await;
    let UserWriteOutcome::Unchanged(same) = written else { panic!("{written:?}") };
    assert_same(&same, &account);

    let nobody = UserId::generate(START);
    let delete = |_: &UserSnapshot| Ok(UserChange::Delete);
    for decide in [&nothing as &Decision<'_>, &delete] {
        let written = write(store, None, nobody, top, decide).await;
        assert!(matches!(written, UserWriteOutcome::Refused(ErrorKind::NotFound)), "{written:?}");
    }
}

/// A2: a write sees its actor as it is now, or that there is none.
pub async fn a_write_sees_who_acts(store: &Arc<dyn UserStore>) {
    let (mut actor, target) = (account(&role()), account(&role()));
    actor.user.status = Status::Suspended;
    actor.epoch = actor.epoch.next(Some(SessionId::generate(START)));
    put(store, &actor).await;
    put(store, &target).await;
    let id = actor.user.id;
    let decide = |snapshot: &UserSnapshot| {
        let view = snapshot.actor.as_ref().expect("the actor");
        assert_eq!(view.state.role, actor.user.role);
        assert_eq!(view.state.status, Status::Suspended);
        assert_eq!(view.state.epoch, actor.epoch);
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

/// Only who is active, in the top role, and not the target counts as another administrator.
pub async fn others_administer_if_active_in_the_top_role(store: &Arc<dyn UserStore>) {
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

/// A sign-in sets the time of the last one, and not back; nobody is made by it.
pub async fn a_sign_in_is_noted_and_touches_nothing_else(store: &Arc<dyn UserStore>) {
    let account = account(&role());
    let id = account.user.id;
    put(store, &account).await;
    for (at, expected) in [(later(9), later(9)), (later(5), later(9)), (later(10), later(10))] {
        let user = store.signed_in(id, at, None).await.expect("answers").expect("the user");
        let mut expected_account = account.clone();
        expected_account.user.last_login_at = Some(expected);
        assert_eq!(user, expected_account.user);
        assert_same(&read(store, id).await, &expected_account);
    }
    let nobody = UserId::generate(START);
    assert_eq!(store.signed_in(nobody, START, None).await.expect("answers"), None);
    assert!(store.by_id(nobody).await.expect("the store answers").is_none());
}

/// P6: a newer hash replaces the one that was verified, and no other.
pub async fn a_hash_is_replaced_only_if_it_is_still_there(store: &Arc<dyn UserStore>) {
    let account = account(&role());
    let id = account.user.id;
    put(store, &account).await;
    for (old, new, expected) in [("hash", "newer", "newer"), ("hash", "other", "newer")] {
        let rehashed = Some(Rehashed { old, new });
        store.signed_in(id, later(1), rehashed).await.expect("answers").expect("the user");
        assert_eq!(read(store, id).await.password_hash.expose(), expected);
    }
}

/// Only who is active counts.
pub async fn somebody_is_active_in_a_role_or_nobody(store: &Arc<dyn UserStore>) {
    let mut account = account(&role());
    for status in Status::ALL {
        account.user.status = status;
        put(store, &account).await;
        let found = store.has_active_user_in(&account.user.role).await.expect("answers");
        assert_eq!(found, status == Status::Active);
    }
    assert!(!store.has_active_user_in(&role()).await.expect("the store answers"));
}

/// As many hashes as asked for, or as there are.
pub async fn no_more_hashes_are_shown_than_asked_for(store: &Arc<dyn UserStore>) {
    let role = role();
    for _ in 0..3 {
        put(store, &account(&role)).await;
    }
    for limit in 0..3 {
        let hashes = store.sample_hashes(limit).await.expect("the store answers");
        assert_eq!(hashes.len(), limit as usize);
    }
}
