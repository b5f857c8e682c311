//! Replacement of a session's tokens on purpose (D5).

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::session::{Session, TokenReplacement};
use crate::store::{Rotated, SessionStore};
use crate::testing::sample::{START, later, race, token};

use super::find;
use super::rotation::{LEEWAY, made, rotate, rotated, rotation};

fn replacement(session: &Session, epoch: u64, at: Timestamp) -> TokenReplacement {
    TokenReplacement { session: session.id, epoch, token: token(at) }
}

async fn replace(
    store: &Arc<dyn SessionStore>,
    user: UserId,
    replacement: &TokenReplacement,
    now: Timestamp,
) -> bool {
    store.replace_tokens(user, replacement, now).await.expect("the store responds")
}

/// D5: the new token is current, and the tokens from before, within the grace period too, are replaced:
/// they change nothing, however often they are presented.
pub async fn a_replacement_supersedes_the_tokens_of_the_session(store: &Arc<dyn SessionStore>) {
    let first = made(store).await;
    let second = rotated(store, &first, later(60)).await;
    // An epoch that is exact only in all of its eight bytes.
    for epoch in [1, 1 << 33, u64::MAX >> 1] {
        let before = find(store, first.user, first.id).await.expect("the session");
        let replacement = replacement(&first, epoch, later(61));
        assert!(replace(store, first.user, &replacement, later(61)).await);
        let expected = Session {
            epoch,
            idle_at: replacement.token.expires_at,
            current: replacement.token,
            previous: None,
            ..before.clone()
        };
        assert_eq!(find(store, first.user, first.id).await, Some(expected));
        for old in [&first, &second, &before] {
            let presented = rotation(old, old.current.id, later(62), LEEWAY);
            assert_eq!(rotate(store, &presented).await, Rotated::Replaced);
        }
    }
    let current = find(store, first.user, first.id).await.expect("the session");
    let next = rotated(store, &current, later(63)).await;
    let old = rotation(&second, second.current.id, later(64), LEEWAY);
    assert_eq!(rotate(store, &old).await, Rotated::Replaced);
    assert_eq!(find(store, first.user, first.id).await, Some(next.clone()));
    let reused = rotation(&current, current.current.id, later(63) + LEEWAY, LEEWAY);
    assert_eq!(rotate(store, &reused).await, Rotated::Reused(next));
}

/// A replacement that was applied, or is older than the applied one, changes nothing; it does not
/// extend the session past its end.
pub async fn a_replacement_is_applied_once(store: &Arc<dyn SessionStore>) {
    let session = made(store).await;
    let (earlier, mut latest) =
        (replacement(&session, 1, later(1)), replacement(&session, 2, later(2)));
    latest.token.expires_at = session.ends_at + LEEWAY;
    assert!(replace(store, session.user, &latest, later(3)).await);
    let found = find(store, session.user, session.id).await.expect("the session");
    assert_eq!(found.expires_at(), session.ends_at);
    let next = rotated(store, &found, later(4)).await;
    for replacement in [&latest, &earlier] {
        assert!(!replace(store, session.user, replacement, later(5)).await);
    }
    assert_eq!(find(store, session.user, session.id).await, Some(next));
}

/// R4, R6: neither an expired nor an ended session, nor another user's, is changed or created.
pub async fn a_replacement_needs_a_live_session_of_the_user(store: &Arc<dyn SessionStore>) {
    let session = made(store).await;
    let replacement = replacement(&session, 1, later(1));
    assert!(!replace(store, UserId::generate(START), &replacement, later(1)).await);
    assert!(!replace(store, session.user, &replacement, session.idle_at).await);
    let unknown = TokenReplacement { session: SessionId::generate(START), ..replacement.clone() };
    assert!(!replace(store, session.user, &unknown, later(1)).await);
    assert_eq!(find(store, session.user, unknown.session).await, None);
    assert_eq!(find(store, session.user, session.id).await.as_ref(), Some(&session));
    store.end(session.user, session.id).await.expect("the store responds");
    assert!(!replace(store, session.user, &replacement, later(1)).await);
    assert_eq!(find(store, session.user, session.id).await, None);
}

/// R1: whichever of concurrent rotations and replacements comes first, the replacement's token is the
/// one that works.
pub async fn a_replacement_wins_over_concurrent_rotations(store: &Arc<dyn SessionStore>) {
    for _ in 0..12 {
        let session = made(store).await;
        let replacement = replacement(&session, 1, later(60));
        let outcomes = race(6, |number| {
            let (store, replacement) = (Arc::clone(store), replacement.clone());
            let request = rotation(&session, session.current.id, later(60), LEEWAY);
            let user = session.user;
            async move {
                if number > 1 {
                    return rotate(&store, &request).await;
                }
                replace(&store, user, &replacement, later(60)).await;
                Rotated::Replaced
            }
        })
        .await;
        let is_reused = |outcome: &Rotated| matches!(outcome, Rotated::Reused(_));
        assert!(!outcomes.iter().any(is_reused), "{outcomes:?}");
        let found = find(store, session.user, session.id).await.expect("the session");
        assert_eq!((found.epoch, &found.current), (1, &replacement.token));
        rotated(store, &found, later(61)).await;
    }
}
