//! Conformance suite of [`SessionStore`].
//!
//! [`conformance`] runs every case with times of its own; [`conformance_in`] runs the cases in which
//! time passes. Both need a store that decides by the caller's time. Each case uses fresh users, so that one store can run all
//! cases; a case that purges affects no other sessions. Races are more effective on a
//! multi-threaded runtime.
//!
//! Each function panics if the store violates a guarantee of the port.

#![expect(clippy::missing_panics_doc, reason = "a panic is the result of these functions")]

mod clock;
mod proofs;
mod replacement;
mod rotation;
mod step_up;
pub use step_up::{
    a_dropped_replacement_has_its_full_effect_or_none, a_missing_session_is_not_replaced,
    a_replacement_does_not_revive_an_ended_session, a_session_is_replaced_by_another_one,
    concurrent_replacements_leave_one_session,
};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub use clock::{
    a_clock_set_back_extends_no_grace_period, a_rotation_extends_the_session, a_session_expires,
    conformance_in, sessions_expired_by_the_stores_clock_are_evicted_first, the_grace_period_ends,
};
pub use proofs::the_proofs_of_a_session_outlive_its_tokens;
pub use replacement::{
    a_replacement_is_applied_once, a_replacement_needs_a_live_session_of_the_user,
    a_replacement_supersedes_the_tokens_of_the_session,
    a_replacement_wins_over_concurrent_rotations,
};
pub use rotation::{
    a_predecessor_is_accepted_within_the_grace_period, a_reused_token_ends_the_session,
    a_rotation_does_not_revive_an_ended_session, a_rotation_replaces_the_current_token,
    a_successor_does_not_outlive_the_session, a_token_of_another_user_is_unknown,
    an_expired_session_is_not_rotated, concurrent_refreshes_get_one_successor,
    concurrent_refreshes_without_grace_period_end_the_session,
    the_address_of_the_first_use_is_kept,
};

use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::page::PageRequest;
use crate::session::{Session, SessionEpoch};
use crate::store::{Revoked, SessionStore};

use super::sample::{START, later, polled, race, session};

/// Runs every case.
pub async fn conformance(store: &Arc<dyn SessionStore>) {
    conformance_of_expiring(store).await;
    a_purge_removes_expired_sessions_up_to_its_limit(store).await;
}

/// Runs every case for a store that expires sessions by itself, so that a purge removes nothing.
pub async fn conformance_of_expiring(store: &Arc<dyn SessionStore>) {
    a_session_is_read_back_as_created(store).await;
    the_proofs_of_a_session_outlive_its_tokens(store).await;
    a_rotation_replaces_the_current_token(store).await;
    the_address_of_the_first_use_is_kept(store).await;
    a_successor_does_not_outlive_the_session(store).await;
    a_predecessor_is_accepted_within_the_grace_period(store).await;
    a_reused_token_ends_the_session(store).await;
    an_expired_session_is_not_rotated(store).await;
    a_token_of_another_user_is_unknown(store).await;
    concurrent_refreshes_get_one_successor(store).await;
    concurrent_refreshes_without_grace_period_end_the_session(store).await;
    a_rotation_does_not_revive_an_ended_session(store).await;
    a_replacement_supersedes_the_tokens_of_the_session(store).await;
    a_replacement_is_applied_once(store).await;
    a_replacement_needs_a_live_session_of_the_user(store).await;
    a_replacement_wins_over_concurrent_rotations(store).await;
    a_session_is_replaced_by_another_one(store).await;
    a_missing_session_is_not_replaced(store).await;
    concurrent_replacements_leave_one_session(store).await;
    a_replacement_does_not_revive_an_ended_session(store).await;
    the_oldest_sessions_are_evicted(store).await;
    expired_sessions_are_evicted_first(store).await;
    the_session_cap_holds_under_concurrency(store).await;
    a_list_has_live_sessions_newest_first(store).await;
    a_batch_is_revoked_as_a_whole(store).await;
    concurrent_batches_end_sessions_once(store).await;
    revoke_all_keeps_only_the_kept_session(store).await;
    ending_a_session_is_idempotent(store).await;
    a_purge_removes_no_live_session(store).await;
    a_dropped_call_has_its_full_effect_or_none(store).await;
    store.ping().await.expect("the store responds");
}

/// Above the number of sessions in any case.
const MANY: u32 = 1000;

async fn create(store: &Arc<dyn SessionStore>, session: &Session) {
    let evicted = store.create(session, MANY).await.expect("the store responds");
    assert_eq!(evicted, []);
}

async fn find(store: &Arc<dyn SessionStore>, user: UserId, id: SessionId) -> Option<Session> {
    store.find(user, id).await.expect("the store responds").map(|view| view.session)
}

/// Creates sessions of a user, one second apart, and returns them oldest first.
async fn some(store: &Arc<dyn SessionStore>, user: UserId, many: u64) -> Vec<Session> {
    let mut sessions = Vec::new();
    for number in 0..many {
        let session = session(user, later(number));
        create(store, &session).await;
        sessions.push(session);
    }
    sessions
}

fn ids(sessions: &[Session]) -> Vec<SessionId> {
    sessions.iter().map(|session| session.id).collect()
}

async fn alive(store: &Arc<dyn SessionStore>, user: UserId) -> Vec<SessionId> {
    let page = PageRequest::new(1, 100).expect("a page");
    let list = store.list(user, SessionEpoch::default(), later(60), page).await;
    ids(&list.expect("the store responds").items)
}

/// A session is read back as it was created.
pub async fn a_session_is_read_back_as_created(store: &Arc<dyn SessionStore>) {
    let user = UserId::generate(START);
    let mut session = session(user, START);
    session.device = "Mözilla/5.0 (😀; \"quoted\"; 'and\\so\ton')".to_owned();
    for address in [None, Some("192.0.2.7"), Some("2001:db8::1")] {
        session.id = SessionId::generate(START);
        session.epoch += 1;
        session.address = address.map(|address| address.parse().expect("an address"));
        create(store, &session).await;
        assert_eq!(find(store, session.user, session.id).await, Some(session.clone()));
    }
    assert_eq!(find(store, UserId::generate(START), SessionId::generate(START)).await, None);
}

/// A sign-in above the cap evicts the user's oldest sessions and returns their ids; other users are
/// not affected.
pub async fn the_oldest_sessions_are_evicted(store: &Arc<dyn SessionStore>) {
    let (user, other) = (UserId::generate(START), UserId::generate(START));
    let sessions = some(store, user, 4).await;
    let others = some(store, other, 1).await;
    let newest = session(user, later(10));
    let evicted = store.create(&newest, 3).await.expect("the store responds");
    assert_eq!(BTreeSet::from_iter(evicted), BTreeSet::from_iter(ids(&sessions[..2])));
    assert_eq!(alive(store, user).await, [newest.id, sessions[3].id, sessions[2].id]);
    assert_eq!(alive(store, other).await, [others[0].id]);
    // The newest is kept, also if its clock is behind.
    let newest = session(user, START);
    store.create(&newest, 1).await.expect("the store responds");
    assert_eq!(alive(store, user).await, [newest.id]);
}

/// An expired session is evicted before an older live one.
pub async fn expired_sessions_are_evicted_first(store: &Arc<dyn SessionStore>) {
    let user = UserId::generate(START);
    let sessions = some(store, user, 2).await;
    let mut over = session(user, later(5));
    over.idle_at = later(6);
    over.current.expires_at = later(6);
    create(store, &over).await;
    let newest = session(user, later(10));
    let evicted = store.create(&newest, 3).await.expect("the store responds");
    assert_eq!(evicted, [over.id]);
    assert_eq!(alive(store, user).await, [newest.id, sessions[1].id, sessions[0].id]);
}

/// The cap holds for concurrent sign-ins, and each evicted session is returned once.
pub async fn the_session_cap_holds_under_concurrency(store: &Arc<dyn SessionStore>) {
    let user = UserId::generate(START);
    let evicted = race(20, |number| {
        let (store, session) = (Arc::clone(store), session(user, later(number as u64)));
        async move { store.create(&session, 5).await.expect("the store responds") }
    })
    .await;
    let evicted: Vec<SessionId> = evicted.into_iter().flatten().collect();
    let distinct = BTreeSet::from_iter(evicted.iter().copied());
    assert_eq!((evicted.len(), distinct.len()), (15, 15));
    let alive = alive(store, user).await;
    assert_eq!(alive.len(), 5);
    assert!(alive.iter().all(|id| !distinct.contains(id)));
}

/// A list has the sessions of one user, newest first, without expired ones and those that the epoch
/// ended.
pub async fn a_list_has_live_sessions_newest_first(store: &Arc<dyn SessionStore>) {
    let user = UserId::generate(START);
    some(store, UserId::generate(START), 1).await;
    let old = some(store, user, 5).await;
    let mut new = Vec::new();
    for seconds in 10..13 {
        let mut session = session(user, later(seconds));
        session.epoch = 1;
        create(store, &session).await;
        new.push(session);
    }
    let list = async |epoch: SessionEpoch, now: Timestamp, number, limit| {
        let page = PageRequest::new(number, limit).expect("a page");
        let page = store.list(user, epoch, now, page).await.expect("the store responds");
        (ids(&page.items), page.total)
    };
    let first = SessionEpoch::default();
    let reversed = |sessions: &[Session]| ids(&sessions.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(list(first, later(20), 1, 20).await, (reversed(&old), 5));
    assert_eq!(list(first, later(20), 1, 2).await, (vec![old[4].id, old[3].id], 5));
    assert_eq!(list(first, later(20), 3, 2).await, (vec![old[0].id], 5));
    assert_eq!(list(first, later(20), 4, 2).await, (vec![], 5));
    let second = first.next(None);
    assert_eq!(list(second, later(20), 1, 20).await, (reversed(&new), 3));
    let keeping = first.next(Some(old[1].id));
    let mut expected = reversed(&new);
    expected.push(old[1].id);
    assert_eq!(list(keeping, later(20), 1, 20).await, (expected, 4));
    // A session expires at exactly `idle_at`, to the millisecond.
    let last = Duration::from_millis(1);
    assert_eq!(list(first, old[3].idle_at - last, 1, 20).await, (reversed(&old[3..]), 2));
    assert_eq!(list(first, old[3].idle_at, 1, 20).await, (reversed(&old[4..]), 1));
    assert_eq!(list(first, old[4].idle_at, 1, 20).await, (vec![], 0));
}

/// R8: foreign, expired and unknown sessions are indistinguishable; a batch with one of them ends
/// nothing.
pub async fn a_batch_is_revoked_as_a_whole(store: &Arc<dyn SessionStore>) {
    let user = UserId::generate(START);
    let sessions = some(store, user, 3).await;
    let foreign = some(store, UserId::generate(START), 1).await;
    let mut over = session(user, START);
    over.idle_at = later(20);
    create(store, &over).await;
    let mut fallen = session(user, START);
    fallen.epoch = 7;
    create(store, &fallen).await;
    let epoch = SessionEpoch { number: 0, kept: Some(sessions[2].id) };
    let missing = [foreign[0].id, over.id, fallen.id, SessionId::generate(START)];
    for missing in missing {
        let batch = [sessions[0].id, missing, sessions[1].id];
        let revoked = store.revoke(user, epoch, later(20), &batch).await.expect("responds");
        assert_eq!(revoked, Revoked::Missing);
    }
    for session in sessions.iter().chain(&foreign).chain([&over, &fallen]) {
        assert_eq!(find(store, session.user, session.id).await.as_ref(), Some(session));
    }
    // The session that the epoch keeps is live with any epoch number of its own.
    let epoch = SessionEpoch { number: 0, kept: Some(fallen.id) };
    let batch = [sessions[1].id, fallen.id, sessions[0].id];
    let revoked = store.revoke(user, epoch, later(20), &batch).await.expect("responds");
    assert_eq!(revoked, Revoked::All(3));
    for id in batch {
        assert_eq!(find(store, user, id).await, None);
    }
    assert_eq!(alive(store, user).await, [sessions[2].id]);
    let nothing = store.revoke(user, epoch, later(20), &[]).await.expect("the store responds");
    assert_eq!(nothing, Revoked::All(0));
}

/// Of concurrent batches with the same sessions, in any order, exactly one ends them.
pub async fn concurrent_batches_end_sessions_once(store: &Arc<dyn SessionStore>) {
    let user = UserId::generate(START);
    let sessions = some(store, user, 6).await;
    let revoked = race(8, |number| {
        let (store, mut batch) = (Arc::clone(store), ids(&sessions));
        batch.rotate_left(number % 6);
        async move {
            let epoch = SessionEpoch::default();
            store.revoke(user, epoch, later(20), &batch).await.expect("the store responds")
        }
    })
    .await;
    let all = revoked.iter().filter(|revoked| **revoked == Revoked::All(6)).count();
    let none = revoked.iter().filter(|revoked| **revoked == Revoked::Missing).count();
    assert_eq!((all, none), (1, 7));
}

/// All sessions of the user are removed, live or not, except the kept one; the live ones are
/// counted.
pub async fn revoke_all_keeps_only_the_kept_session(store: &Arc<dyn SessionStore>) {
    let (user, other) = (UserId::generate(START), UserId::generate(START));
    let sessions = some(store, user, 3).await;
    let others = some(store, other, 1).await;
    let mut over = session(user, START);
    over.idle_at = later(20);
    create(store, &over).await;
    let mut fallen = session(user, START);
    fallen.epoch = 7;
    create(store, &fallen).await;
    let epoch = SessionEpoch::default();
    let kept = Some(sessions[1].id);
    let end = async |kept| store.revoke_all(user, epoch, later(20), kept).await.expect("responds");
    assert_eq!(end(kept).await, 2);
    for id in [sessions[0].id, sessions[2].id, over.id, fallen.id] {
        assert_eq!(find(store, user, id).await, None);
    }
    assert_eq!(alive(store, user).await, [sessions[1].id]);
    assert_eq!(alive(store, other).await, [others[0].id]);
    // A foreign session as the kept one protects nothing and is not affected.
    assert_eq!(end(Some(others[0].id)).await, 1);
    assert_eq!(end(None).await, 0);
    assert_eq!(alive(store, other).await, [others[0].id]);
}

/// R4: an ended session is removed; ending it again is not an error.
pub async fn ending_a_session_is_idempotent(store: &Arc<dyn SessionStore>) {
    let sessions = some(store, UserId::generate(START), 2).await;
    assert!(store.end(sessions[0].user, sessions[0].id).await.expect("the store responds"));
    assert!(!store.end(sessions[0].user, sessions[0].id).await.expect("the store responds"));
    assert_eq!(find(store, sessions[0].user, sessions[0].id).await, None);
    assert_eq!(find(store, sessions[1].user, sessions[1].id).await.as_ref(), Some(&sessions[1]));
}

/// A purge removes no live session.
pub async fn a_purge_removes_no_live_session(store: &Arc<dyn SessionStore>) {
    let sessions = some(store, UserId::generate(START), 3).await;
    let moment = Duration::from_millis(1);
    store.purge(sessions[0].idle_at - moment, MANY).await.expect("the store responds");
    for session in &sessions {
        assert_eq!(find(store, session.user, session.id).await.as_ref(), Some(session));
    }
}

/// A purge removes expired sessions, at most as many as requested.
pub async fn a_purge_removes_expired_sessions_up_to_its_limit(store: &Arc<dyn SessionStore>) {
    // Far in the past, so that it affects no other cases.
    let now = Timestamp::from_seconds(100_000);
    let user = UserId::generate(now);
    let ending = |after: u64| {
        let mut session = session(user, now - Duration::from_secs(7200));
        session.idle_at = now + Duration::from_millis(after) - Duration::from_millis(2);
        session
    };
    let sessions: Vec<Session> = (0..6).map(ending).collect();
    for session in &sessions {
        create(store, session).await;
    }
    let purge = async |most| store.purge(now, most).await.expect("the store responds");
    assert_eq!(purge(0).await, 0);
    assert_eq!(purge(2).await, 2);
    assert_eq!(purge(2).await, 1);
    assert_eq!(purge(2).await, 0);
    for (number, session) in sessions.iter().enumerate() {
        assert_eq!(find(store, session.user, session.id).await.is_some(), number >= 3, "{number}");
    }
    store.revoke_all(user, SessionEpoch::default(), now, None).await.expect("the store responds");
}

/// A call dropped at any await has its full effect or none, and the store stays consistent.
pub async fn a_dropped_call_has_its_full_effect_or_none(store: &Arc<dyn SessionStore>) {
    let user = UserId::generate(START);
    let mut made = some(store, user, 1).await;
    let mut is_finished = false;
    for times in 0..40 {
        // Each call creates one session and evicts another, so exactly one is live.
        let next = session(user, later(1 + times));
        made.push(next.clone());
        let polls = usize::try_from(times).expect("a small number");
        is_finished |= polled(store.create(&next, 1), polls).await.is_some();
        let alive = alive(store, user).await;
        assert_eq!(alive.len(), 1, "after {times} polls");
        assert!(ids(&made).contains(&alive[0]));
    }
    assert!(is_finished, "forty polls are enough for a call");
    let last = session(user, later(50));
    store.create(&last, 1).await.expect("the store responds");
    assert_eq!(alive(store, user).await, [last.id]);
}
