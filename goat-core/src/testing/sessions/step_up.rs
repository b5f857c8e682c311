//! Replacement of a session by another one, as a step-up does (G4).

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::proof::Method;
use crate::session::Session;
use crate::store::{Replaced, Rotated, SessionStore};
use crate::testing::sample::{START, later, polled, race, session, token};

use super::rotation::{LEEWAY, made, rotate, rotated, rotation};
use super::{alive, create, find};

/// The session that replaces another one.
fn successor(old: &Session, now: Timestamp) -> Session {
    Session {
        id: SessionId::generate(now),
        current: token(now),
        last_used_at: now,
        authenticated_at: now,
        multi_at: Some(now),
        methods: old.methods.with(Method::Totp),
        previous: None,
        ..old.clone()
    }
}

async fn replace(store: &Arc<dyn SessionStore>, old: SessionId, new: &Session) -> Replaced {
    store.replace(old, new).await.expect("the store responds")
}

/// G4: the old session is gone with its tokens, and the new one is as given; no other session changes.
pub async fn a_session_is_replaced_by_another_one(store: &Arc<dyn SessionStore>) {
    let user = UserId::generate(START);
    let other = session(user, later(1));
    create(store, &other).await;
    let first = session(user, START);
    create(store, &first).await;
    let old = rotated(store, &first, later(10)).await;
    let new = successor(&old, later(20));
    assert_eq!(replace(store, old.id, &new).await, Replaced::Replaced);
    assert_eq!(find(store, user, old.id).await, None);
    assert_eq!(find(store, user, new.id).await.as_ref(), Some(&new));
    assert_eq!(find(store, user, other.id).await.as_ref(), Some(&other));
    for token in [first.current.id, old.current.id] {
        let presented = rotation(&old, token, later(21), LEEWAY);
        assert_eq!(rotate(store, &presented).await, Rotated::Unknown);
    }
    rotated(store, &new, later(22)).await;
    // A session of one user with no other, whose key a store may remove meanwhile.
    let only = made(store).await;
    let next = successor(&only, later(20));
    assert_eq!(replace(store, only.id, &next).await, Replaced::Replaced);
    assert_eq!(find(store, only.user, next.id).await.as_ref(), Some(&next));
}

/// R4, R6: neither an expired nor an ended session, nor another user's, is replaced.
pub async fn a_missing_session_is_not_replaced(store: &Arc<dyn SessionStore>) {
    let old = made(store).await;
    let foreign = made(store).await;
    let late = successor(&old, old.idle_at);
    assert_eq!(replace(store, old.id, &late).await, Replaced::Missing);
    let new = successor(&old, later(20));
    assert_eq!(replace(store, foreign.id, &new).await, Replaced::Missing);
    assert_eq!(replace(store, SessionId::generate(START), &new).await, Replaced::Missing);
    for session in [&old, &foreign] {
        assert_eq!(find(store, session.user, session.id).await.as_ref(), Some(session));
    }
    store.end(old.user, old.id).await.expect("the store responds");
    assert_eq!(replace(store, old.id, &new).await, Replaced::Missing);
    for id in [late.id, new.id] {
        assert_eq!(find(store, old.user, id).await, None);
    }
}

/// G4: of fifty replacements in parallel one succeeds, and its session alone is live.
pub async fn concurrent_replacements_leave_one_session(store: &Arc<dyn SessionStore>) {
    let old = made(store).await;
    let news: Vec<Session> = (0..50).map(|_| successor(&old, later(20))).collect();
    let outcomes = race(50, |number| {
        let (store, old, new) = (Arc::clone(store), old.id, news[number].clone());
        async move { (new.id, replace(&store, old, &new).await) }
    })
    .await;
    let replaced = outcomes.iter().filter(|(_, outcome)| *outcome == Replaced::Replaced);
    let won: Vec<_> = replaced.map(|(id, _)| *id).collect();
    assert_eq!(won.len(), 1);
    assert_eq!(alive(store, old.user).await, won);
}

/// R4, G4: a logout that races a replacement ends the old session or comes too late for it.
pub async fn a_replacement_does_not_revive_an_ended_session(store: &Arc<dyn SessionStore>) {
    for _ in 0..12 {
        let old = made(store).await;
        let new = successor(&old, later(20));
        let outcomes = race(2, |number| {
            let (store, old, new) = (Arc::clone(store), old.clone(), new.clone());
            async move {
                let found = match number {
                    0 => replace(&store, old.id, &new).await == Replaced::Replaced,
                    _ => store.end(old.user, old.id).await.expect("the store responds"),
                };
                (number, found)
            }
        })
        .await;
        let found = |number| outcomes.contains(&(number, true));
        let (replaced, ended) = (found(0), found(1));
        assert!(replaced != ended, "one of them found it");
        let expected = if replaced { vec![new.id] } else { vec![] };
        assert_eq!(alive(store, old.user).await, expected);
    }
}

/// G4: a replacement that is dropped at any await has its full effect or none. Not part of
/// [`conformance`](super::conformance): the default of [`SessionStore::replace`] is two calls.
pub async fn a_dropped_replacement_has_its_full_effect_or_none(store: &Arc<dyn SessionStore>) {
    let first = made(store).await;
    let (mut live, mut is_finished) = (first, false);
    for polls in 0..40 {
        let new = successor(&live, later(20));
        is_finished |= polled(store.replace(live.id, &new), polls).await.is_some();
        let alive = alive(store, live.user).await;
        assert!(alive == [live.id] || alive == [new.id], "after {polls} polls");
        if alive == [new.id] {
            live = new;
        }
    }
    assert!(is_finished, "forty polls are enough for a call");
    assert_eq!(find(store, live.user, live.id).await, Some(live));
}
