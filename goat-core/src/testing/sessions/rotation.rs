//! Rotation of refresh tokens: each is used once, also under concurrency.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::{TokenId, UserId};
use crate::session::{Predecessor, RefreshToken, Session, SessionEpoch};
use crate::store::{Rotated, Rotation, SessionStore};
use crate::testing::sample::{START, later, race, session, token};

use super::{create, find};

pub(super) const LEEWAY: Duration = Duration::from_secs(10);

/// The client's address at each rotation, unless a case sets another.
fn address() -> Option<IpAddr> {
    "2001:db8::7".parse().ok()
}

pub(super) async fn made(store: &Arc<dyn SessionStore>) -> Session {
    let session = session(UserId::generate(START), START);
    create(store, &session).await;
    session
}

pub(super) fn rotation(
    session: &Session,
    presented: TokenId,
    now: Timestamp,
    leeway: Duration,
) -> Rotation {
    Rotation {
        session: session.id,
        user: session.user,
        presented,
        epoch: session.epoch,
        successor: token(now),
        address: address(),
        now,
        leeway,
    }
}

pub(super) async fn rotate(store: &Arc<dyn SessionStore>, rotation: &Rotation) -> Rotated {
    store.rotate(rotation).await.expect("the store responds")
}

/// Rotates once, to have a predecessor.
pub(super) async fn rotated(
    store: &Arc<dyn SessionStore>,
    session: &Session,
    now: Timestamp,
) -> Session {
    match rotate(store, &rotation(session, session.current.id, now, LEEWAY)).await {
        Rotated::Rotated(session) => session,
        other => panic!("{other:?}"),
    }
}

/// R1, R5: the successor becomes current, the token its predecessor, and the session is extended.
pub async fn a_rotation_replaces_the_current_token(store: &Arc<dyn SessionStore>) {
    let session = made(store).await;
    let successor = RefreshToken { key: "another".to_owned(), ..token(later(60)) };
    let mut request = rotation(&session, session.current.id, later(60), LEEWAY);
    request.successor = successor.clone();
    let expected = Session {
        last_used_at: later(60),
        idle_at: successor.expires_at,
        current: successor,
        previous: Some(Predecessor {
            id: session.current.id,
            used_at: later(60),
            used_from: address(),
        }),
        ..session.clone()
    };
    assert_eq!(rotate(store, &request).await, Rotated::Rotated(expected.clone()));
    assert_eq!(find(store, session.user, session.id).await, Some(expected));
}

/// D6: the address of the first use is kept, whichever address a repeat comes from.
pub async fn the_address_of_the_first_use_is_kept(store: &Arc<dyn SessionStore>) {
    for first in [None, Some("192.0.2.7"), Some("2001:db8::1")] {
        let first = first.map(|text| text.parse().expect("an address"));
        let session = made(store).await;
        let mut request = rotation(&session, session.current.id, later(60), LEEWAY);
        for address in [first, address(), None] {
            request.address = address;
            let rotated = rotate(store, &request).await;
            let (Rotated::Rotated(kept) | Rotated::Repeated(kept)) = rotated else {
                panic!("{rotated:?}");
            };
            assert_eq!(kept.previous.expect("a predecessor").used_from, first);
            assert_eq!(kept.address, session.address);
            assert_eq!(find(store, session.user, session.id).await, Some(kept));
            request.successor = token(later(60));
        }
    }
}

/// R6: the session's absolute end limits the successor.
pub async fn a_successor_does_not_outlive_the_session(store: &Arc<dyn SessionStore>) {
    let session = made(store).await;
    let mut request = rotation(&session, session.current.id, later(60), LEEWAY);
    request.successor.expires_at = session.ends_at + LEEWAY;
    assert!(matches!(rotate(store, &request).await, Rotated::Rotated(_)));
    let found = find(store, session.user, session.id).await.expect("the session");
    assert_eq!((found.expires_at(), found.ends_at), (session.ends_at, session.ends_at));
}

/// R1, R2, R3: the direct predecessor receives the same successor within the grace period, to the
/// millisecond, and after it ends the session. Without a grace period it ends the session at once,
/// also by a clock that is behind.
pub async fn a_predecessor_is_accepted_within_the_grace_period(store: &Arc<dyn SessionStore>) {
    let used_at = later(60);
    let moment = Duration::from_millis(1);
    for (now, leeway, is_honoured) in [
        (used_at, LEEWAY, true),
        (used_at + LEEWAY - moment, LEEWAY, true),
        (used_at + LEEWAY, LEEWAY, false),
        (used_at, Duration::ZERO, false),
        (used_at - moment, Duration::ZERO, false),
        (used_at - LEEWAY, Duration::ZERO, false),
        (used_at - moment, LEEWAY, true),
    ] {
        let first = made(store).await;
        let second = rotated(store, &first, used_at).await;
        let again = rotate(store, &rotation(&first, first.current.id, now, leeway)).await;
        let (expected, left) = if is_honoured {
            (Rotated::Repeated(second.clone()), Some(second))
        } else {
            (Rotated::Reused(second), None)
        };
        assert_eq!(again, expected);
        assert_eq!(find(store, first.user, first.id).await, left);
    }
}

/// R2: any token other than the current one and its direct predecessor ends the session: an older
/// one, and an unknown one.
pub async fn a_reused_token_ends_the_session(store: &Arc<dyn SessionStore>) {
    for is_known in [true, false] {
        let first = made(store).await;
        let second = rotated(store, &first, later(60)).await;
        let third = rotated(store, &second, later(61)).await;
        let presented = if is_known { first.current.id } else { TokenId::generate(START) };
        let outcome = rotate(store, &rotation(&first, presented, later(62), LEEWAY)).await;
        assert_eq!(outcome, Rotated::Reused(third.clone()));
        assert_eq!(find(store, first.user, first.id).await, None);
        let current = rotation(&third, third.current.id, later(62), LEEWAY);
        assert_eq!(rotate(store, &current).await, Rotated::Unknown);
    }
}

/// R6: neither the current token nor its predecessor revives an expired session.
pub async fn an_expired_session_is_not_rotated(store: &Arc<dyn SessionStore>) {
    let first = made(store).await;
    let second = rotated(store, &first, later(60)).await;
    let moment = Duration::from_millis(1);
    for presented in [second.current.id, first.current.id] {
        let late = rotation(&second, presented, second.idle_at, LEEWAY);
        assert_eq!(rotate(store, &late).await, Rotated::Unknown);
    }
    let in_time = rotation(&second, second.current.id, second.idle_at - moment, LEEWAY);
    assert!(matches!(rotate(store, &in_time).await, Rotated::Rotated(_)));
}

/// A token with another user's id has no effect, and neither has one without a session.
pub async fn a_token_of_another_user_is_unknown(store: &Arc<dyn SessionStore>) {
    let session = made(store).await;
    let mut request = rotation(&session, session.current.id, later(60), LEEWAY);
    request.user = UserId::generate(START);
    assert_eq!(rotate(store, &request).await, Rotated::Unknown);
    request.presented = TokenId::generate(START);
    assert_eq!(rotate(store, &request).await, Rotated::Unknown);
    assert_eq!(find(store, session.user, session.id).await, Some(session.clone()));
    store.end(session.user, session.id).await.expect("the store responds");
    let request = rotation(&session, session.current.id, later(60), LEEWAY);
    assert_eq!(rotate(store, &request).await, Rotated::Unknown);
}

/// R1: fifty concurrent refreshes with one token make one successor, which all of them receive.
pub async fn concurrent_refreshes_get_one_successor(store: &Arc<dyn SessionStore>) {
    let session = made(store).await;
    let outcomes = race(50, |_| {
        let request = rotation(&session, session.current.id, later(60), LEEWAY);
        let store = Arc::clone(store);
        async move { rotate(&store, &request).await }
    })
    .await;
    let kept = find(store, session.user, session.id).await.expect("the session");
    let winners = outcomes.iter().filter(|one| **one == Rotated::Rotated(kept.clone())).count();
    let others = outcomes.iter().filter(|one| **one == Rotated::Repeated(kept.clone())).count();
    assert_eq!((winners, others), (1, 49), "{outcomes:?}");
}

/// R2: without a grace period, the second of fifty ends the session, and the others find none.
pub async fn concurrent_refreshes_without_grace_period_end_the_session(
    store: &Arc<dyn SessionStore>,
) {
    let session = made(store).await;
    let outcomes = race(50, |_| {
        let request = rotation(&session, session.current.id, later(60), Duration::ZERO);
        let store = Arc::clone(store);
        async move { rotate(&store, &request).await }
    })
    .await;
    let count = |is: fn(&Rotated) -> bool| outcomes.iter().filter(|one| is(one)).count();
    let rotated = count(|one| matches!(one, Rotated::Rotated(_)));
    let reused = count(|one| matches!(one, Rotated::Reused(_)));
    let unknown = count(|one| matches!(one, Rotated::Unknown));
    assert_eq!((rotated, reused, unknown), (1, 1, 48), "{outcomes:?}");
    assert_eq!(find(store, session.user, session.id).await, None);
}

/// R4: a session that is ended during a rotation is removed, in either order.
pub async fn a_rotation_does_not_revive_an_ended_session(store: &Arc<dyn SessionStore>) {
    for round in 0..24 {
        let session = made(store).await;
        let (id, user) = (session.id, session.user);
        race(3, |number| {
            let store = Arc::clone(store);
            let request = rotation(&session, session.current.id, later(60), LEEWAY);
            async move {
                let epoch = SessionEpoch::default();
                if number > 0 {
                    rotate(&store, &request).await;
                } else if round % 3 == 0 {
                    assert!(store.end(user, id).await.expect("the store responds"));
                } else if round % 3 == 1 {
                    store.revoke(user, epoch, later(60), &[id]).await.expect("the store responds");
                } else {
                    store.revoke_all(user, epoch, later(60), None).await.expect("responds");
                }
            }
        })
        .await;
        assert_eq!(find(store, user, id).await, None, "round {round}");
    }
}
