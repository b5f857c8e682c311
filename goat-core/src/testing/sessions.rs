//! The conformance suite of [`SessionStore`].
//!
//! [`conformance`] runs all of it by the caller's clock, and [`conformance_in`] what depends on time
//! by whatever clock the store has. Every case makes users of its own, so that one store may be used
//! for all of them; a case that purges lets other sessions alone. Races are worth more on a runtime
//! of several threads.
//!
//! Every function panics where the store does not keep a promise of the port.

#![expect(clippy::missing_panics_doc, reason = "to panic is what all of these are for")]

mod clock;
mod rotation;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub use clock::{
    a_session_ends_when_its_time_comes, a_session_lives_on_while_it_is_used, conformance_in,
    the_leeway_ends, what_is_over_by_the_stores_clock_gives_way,
};
pub use rotation::{
    a_current_token_is_replaced, a_late_rotation_revives_nothing,
    a_predecessor_is_honoured_while_the_leeway_lasts, a_rotation_never_outlives_the_session,
    a_session_that_is_over_does_not_rotate, a_token_of_another_user_is_unknown,
    any_other_token_ends_the_session, fifty_at_once_get_one_successor,
    fifty_at_once_without_leeway_end_the_session,
};

use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::page::PageRequest;
use crate::session::{Revoked, Session, SessionEpoch, SessionStore};

use super::sample::{START, later, polled, race, session};

/// Runs every case.
pub async fn conformance(store: &Arc<dyn SessionStore>) {
    conformance_of_expiring(store).await;
    a_purge_takes_what_is_over_and_no_more_than_asked(store).await;
}

/// Runs every case for a store whose sessions go by themselves when they are over, so that a purge
/// finds nothing to take.
pub async fn conformance_of_expiring(store: &Arc<dyn SessionStore>) {
    a_session_is_kept_as_it_was_made(store).await;
    a_current_token_is_replaced(store).await;
    a_rotation_never_outlives_the_session(store).await;
    a_predecessor_is_honoured_while_the_leeway_lasts(store).await;
    any_other_token_ends_the_session(store).await;
    a_session_that_is_over_does_not_rotate(store).await;
    a_token_of_another_user_is_unknown(store).await;
    fifty_at_once_get_one_successor(store).await;
    fifty_at_once_without_leeway_end_the_session(store).await;
    a_late_rotation_revives_nothing(store).await;
    the_oldest_give_way_to_the_newest(store).await;
    what_is_over_gives_way_first(store).await;
    there_are_never_more_than_allowed(store).await;
    a_list_has_what_is_alive_the_newest_first(store).await;
    named_sessions_end_together_or_not_at_all(store).await;
    sessions_named_twice_at_once_end_once(store).await;
    all_sessions_end_but_the_kept_one(store).await;
    a_session_ends_once(store).await;
    a_purge_takes_nothing_that_is_alive(store).await;
    a_dropped_call_leaves_nothing_half_done(store).await;
    store.ping().await.expect("the store answers");
}

/// More than any case makes.
const MANY: u32 = 1000;

async fn create(store: &Arc<dyn SessionStore>, session: &Session) {
    let evicted = store.create(session, MANY).await.expect("the store answers");
    assert_eq!(evicted, []);
}

async fn find(store: &Arc<dyn SessionStore>, user: UserId, id: SessionId) -> Option<Session> {
    store.find(user, id).await.expect("the store answers").map(|view| view.session)
}

/// Some sessions of a user, a second apart, the oldest first.
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
    ids(&list.expect("the store answers").items)
}

/// What was made is found as it was made.
pub async fn a_session_is_kept_as_it_was_made(store: &Arc<dyn SessionStore>) {
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

/// Who signs in too often loses the oldest sessions, and hears which; others lose nothing.
pub async fn the_oldest_give_way_to_the_newest(store: &Arc<dyn SessionStore>) {
    let (user, other) = (UserId::generate(START), UserId::generate(START));
    let sessions = some(store, user, 4).await;
    let others = some(store, other, 1).await;
    let newest = session(user, later(10));
    let evicted = store.create(&newest, 3).await.expect("the store answers");
    assert_eq!(BTreeSet::from_iter(evicted), BTreeSet::from_iter(ids(&sessions[..2])));
    assert_eq!(alive(store, user).await, [newest.id, sessions[3].id, sessions[2].id]);
    assert_eq!(alive(store, other).await, [others[0].id]);
    // The newest stays, also if its clock is behind.
    let newest = session(user, START);
    store.create(&newest, 1).await.expect("the store answers");
    assert_eq!(alive(store, user).await, [newest.id]);
}

/// A session whose time is over gives way before an older one that is alive.
pub async fn what_is_over_gives_way_first(store: &Arc<dyn SessionStore>) {
    let user = UserId::generate(START);
    let sessions = some(store, user, 2).await;
    let mut over = session(user, later(5));
    over.idle_at = later(6);
    over.current.expires_at = later(6);
    create(store, &over).await;
    let newest = session(user, later(10));
    let evicted = store.create(&newest, 3).await.expect("the store answers");
    assert_eq!(evicted, [over.id]);
    assert_eq!(alive(store, user).await, [newest.id, sessions[1].id, sessions[0].id]);
}

/// The cap holds also for sign-ins at once, and every session that gave way is told once.
pub async fn there_are_never_more_than_allowed(store: &Arc<dyn SessionStore>) {
    let user = UserId::generate(START);
    let evicted = race(20, |number| {
        let (store, session) = (Arc::clone(store), session(user, later(number as u64)));
        async move { store.create(&session, 5).await.expect("the store answers") }
    })
    .await;
    let evicted: Vec<SessionId> = evicted.into_iter().flatten().collect();
    let distinct = BTreeSet::from_iter(evicted.iter().copied());
    assert_eq!((evicted.len(), distinct.len()), (15, 15));
    let alive = alive(store, user).await;
    assert_eq!(alive.len(), 5);
    assert!(alive.iter().all(|id| !distinct.contains(id)));
}

/// Lists are of one user, the newest first, without what is over and what the epoch ended.
pub async fn a_list_has_what_is_alive_the_newest_first(store: &Arc<dyn SessionStore>) {
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
        let page = store.list(user, epoch, now, page).await.expect("the store answers");
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
    // To the millisecond: a session is over when its time has come.
    let last = Duration::from_millis(1);
    assert_eq!(list(first, old[3].idle_at - last, 1, 20).await, (reversed(&old[3..]), 2));
    assert_eq!(list(first, old[3].idle_at, 1, 20).await, (reversed(&old[4..]), 1));
    assert_eq!(list(first, old[4].idle_at, 1, 20).await, (vec![], 0));
}

/// R8: other people's sessions, those that are over and those that never were are alike; a batch
/// with one of them ends nothing.
pub async fn named_sessions_end_together_or_not_at_all(store: &Arc<dyn SessionStore>) {
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
        let revoked = store.revoke(user, epoch, later(20), &batch).await.expect("answers");
        assert_eq!(revoked, Revoked::Missing);
    }
    for session in sessions.iter().chain(&foreign).chain([&over, &fallen]) {
        assert_eq!(find(store, session.user, session.id).await.as_ref(), Some(session));
    }
    // The epoch's kept session is alive whatever its number is.
    let epoch = SessionEpoch { number: 0, kept: Some(fallen.id) };
    let batch = [sessions[1].id, fallen.id, sessions[0].id];
    let revoked = store.revoke(user, epoch, later(20), &batch).await.expect("answers");
    assert_eq!(revoked, Revoked::All(3));
    for id in batch {
        assert_eq!(find(store, user, id).await, None);
    }
    assert_eq!(alive(store, user).await, [sessions[2].id]);
    let nothing = store.revoke(user, epoch, later(20), &[]).await.expect("the store answers");
    assert_eq!(nothing, Revoked::All(0));
}

/// Of batches that name the same sessions, in whatever order, one ends them.
pub async fn sessions_named_twice_at_once_end_once(store: &Arc<dyn SessionStore>) {
    let user = UserId::generate(START);
    let sessions = some(store, user, 6).await;
    let revoked = race(8, |number| {
        let (store, mut batch) = (Arc::clone(store), ids(&sessions));
        batch.rotate_left(number % 6);
        async move {
            let epoch = SessionEpoch::default();
            store.revoke(user, epoch, later(20), &batch).await.expect("the store answers")
        }
    })
    .await;
    let all = revoked.iter().filter(|revoked| **revoked == Revoked::All(6)).count();
    let none = revoked.iter().filter(|revoked| **revoked == Revoked::Missing).count();
    assert_eq!((all, none), (1, 7));
}

/// Everything of the user goes, dead or alive, but the kept one; those alive are counted.
pub async fn all_sessions_end_but_the_kept_one(store: &Arc<dyn SessionStore>) {
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
    let end = async |kept| store.revoke_all(user, epoch, later(20), kept).await.expect("answers");
    assert_eq!(end(kept).await, 2);
    for id in [sessions[0].id, sessions[2].id, over.id, fallen.id] {
        assert_eq!(find(store, user, id).await, None);
    }
    assert_eq!(alive(store, user).await, [sessions[1].id]);
    assert_eq!(alive(store, other).await, [others[0].id]);
    // A session of somebody else keeps nobody alive, and is left alone.
    assert_eq!(end(Some(others[0].id)).await, 1);
    assert_eq!(end(None).await, 0);
    assert_eq!(alive(store, other).await, [others[0].id]);
}

/// R4: what has ended is gone; to end it again is no error.
pub async fn a_session_ends_once(store: &Arc<dyn SessionStore>) {
    let sessions = some(store, UserId::generate(START), 2).await;
    assert!(store.end(sessions[0].user, sessions[0].id).await.expect("the store answers"));
    assert!(!store.end(sessions[0].user, sessions[0].id).await.expect("the store answers"));
    assert_eq!(find(store, sessions[0].user, sessions[0].id).await, None);
    assert_eq!(find(store, sessions[1].user, sessions[1].id).await.as_ref(), Some(&sessions[1]));
}

/// A purge takes no session whose time has not come.
pub async fn a_purge_takes_nothing_that_is_alive(store: &Arc<dyn SessionStore>) {
    let sessions = some(store, UserId::generate(START), 3).await;
    let moment = Duration::from_millis(1);
    store.purge(sessions[0].idle_at - moment, MANY).await.expect("the store answers");
    for session in &sessions {
        assert_eq!(find(store, session.user, session.id).await.as_ref(), Some(session));
    }
}

/// A purge takes what is over, in steps.
pub async fn a_purge_takes_what_is_over_and_no_more_than_asked(store: &Arc<dyn SessionStore>) {
    // Long ago, so that it takes nothing of other cases.
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
    let purge = async |most| store.purge(now, most).await.expect("the store answers");
    assert_eq!(purge(0).await, 0);
    assert_eq!(purge(2).await, 2);
    assert_eq!(purge(2).await, 1);
    assert_eq!(purge(2).await, 0);
    for (number, session) in sessions.iter().enumerate() {
        assert_eq!(find(store, session.user, session.id).await.is_some(), number >= 3, "{number}");
    }
    store.revoke_all(user, SessionEpoch::default(), now, None).await.expect("the store answers");
}

/// A call that is dropped, wherever it stands, did all that it was to do or nothing, and leaves the
/// store in order.
pub async fn a_dropped_call_leaves_nothing_half_done(store: &Arc<dyn SessionStore>) {
    let user = UserId::generate(START);
    let mut made = some(store, user, 1).await;
    let mut is_finished = false;
    for times in 0..40 {
        // It makes one session and ends another: there is always exactly one.
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
    store.create(&last, 1).await.expect("the store answers");
    assert_eq!(alive(store, user).await, [last.id]);
}
