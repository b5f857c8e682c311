//! Session cases that depend on time, which passes by [`TestTime::advance`].

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::{TokenId, UserId};
use crate::page::PageRequest;
use crate::session::{RefreshToken, Session, SessionEpoch};
use crate::store::{Revoked, Rotated, Rotation, SessionStore};
use crate::testing::TestTime;
use crate::testing::sample::{race, session};

use super::{create, find, ids};

const SECOND: Duration = Duration::from_secs(1);

/// Runs every case that depends on time.
pub async fn conformance_in(store: &Arc<dyn SessionStore>, time: &dyn TestTime) {
    the_grace_period_ends(store, time).await;
    a_clock_set_back_extends_no_grace_period(store, time).await;
    a_session_expires(store, time).await;
    a_rotation_extends_the_session(store, time).await;
    sessions_expired_by_the_stores_clock_are_evicted_first(store, time).await;
    concurrent_refreshes_get_one_successor_now(store, time).await;
}

/// A session with this idle TTL.
fn brief(time: &dyn TestTime, user: UserId, idle: Duration) -> Session {
    let now = time.now();
    let mut session = session(user, now);
    session.idle_at = now + idle;
    session.current.expires_at = session.idle_at;
    session
}

fn rotation(time: &dyn TestTime, session: &Session, ttl: Duration, leeway: Duration) -> Rotation {
    let now = time.now();
    let successor = RefreshToken {
        id: TokenId::generate(now),
        issued_at: now.floor_to_second(),
        expires_at: now + ttl,
        key: "key".to_owned(),
    };
    Rotation {
        session: session.id,
        user: session.user,
        presented: session.current.id,
        epoch: session.epoch,
        successor,
        address: None,
        now,
        leeway,
    }
}

async fn rotate(store: &Arc<dyn SessionStore>, rotation: &Rotation) -> Rotated {
    store.rotate(rotation).await.expect("the store responds")
}

async fn alive(
    store: &Arc<dyn SessionStore>,
    user: UserId,
    now: Timestamp,
) -> Vec<crate::id::SessionId> {
    let list = store.list(user, SessionEpoch::default(), now, PageRequest::default()).await;
    ids(&list.expect("the store responds").items)
}

/// R1, R2, R3: the direct predecessor is accepted within the grace period and never after; a grace
/// period of zero accepts none.
pub async fn the_grace_period_ends(store: &Arc<dyn SessionStore>, time: &dyn TestTime) {
    let minute = Duration::from_secs(60);
    let first = brief(time, UserId::generate(time.now()), minute);
    let strict = brief(time, UserId::generate(time.now()), minute);
    for session in [&first, &strict] {
        create(store, session).await;
    }
    let begun = time.now();
    let request = rotation(time, &first, minute, SECOND);
    let Rotated::Rotated(second) = rotate(store, &request).await else { panic!("it is current") };
    let used = second.previous.expect("it was used");
    assert_eq!((second.current.clone(), used.id), (request.successor, first.current.id));
    assert_eq!((used.used_at, second.last_used_at), (begun, begun));
    assert_eq!(find(store, first.user, first.id).await.as_ref(), Some(&second));
    let again = rotate(store, &rotation(time, &first, minute, SECOND)).await;
    assert_eq!(again, Rotated::Repeated(second.clone()));
    let moment = Duration::from_millis(1);
    time.advance(SECOND - moment).await;
    let last = rotate(store, &rotation(time, &first, minute, SECOND)).await;
    assert_eq!(last, Rotated::Repeated(second.clone()));
    time.advance(moment).await;
    let late = rotate(store, &rotation(time, &first, minute, SECOND)).await;
    assert_eq!(late, Rotated::Reused(second));
    assert_eq!(find(store, first.user, first.id).await, None);

    let once = rotate(store, &rotation(time, &strict, minute, Duration::ZERO)).await;
    assert!(matches!(once, Rotated::Rotated(_)), "{once:?}");
    let twice = rotate(store, &rotation(time, &strict, minute, Duration::ZERO)).await;
    assert!(matches!(twice, Rotated::Reused(_)), "{twice:?}");
}

/// O6: after the store's clock was set back, a predecessor whose grace period has ended stays rejected.
/// A correction by less than the grace period does no harm.
pub async fn a_clock_set_back_extends_no_grace_period(
    store: &Arc<dyn SessionStore>,
    time: &dyn TestTime,
) {
    let (minute, leeway) = (Duration::from_secs(60), SECOND * 10);
    for back in [leeway, minute, minute * 60] {
        let first = brief(time, UserId::generate(time.now()), minute * 120);
        create(store, &first).await;
        let request = rotation(time, &first, minute * 120, leeway);
        let Rotated::Rotated(second) = rotate(store, &request).await else {
            panic!("it is current")
        };
        let at = |now| Rotation { now, ..rotation(time, &first, minute * 120, leeway) };
        let corrected = at(time.now() - leeway / 2);
        assert_eq!(rotate(store, &corrected).await, Rotated::Repeated(second.clone()));
        assert_eq!(rotate(store, &at(time.now() - back)).await, Rotated::Reused(second));
    }
}

/// R6: an expired session is not rotated, not listed, cannot be revoked, and does not count.
pub async fn a_session_expires(store: &Arc<dyn SessionStore>, time: &dyn TestTime) {
    let user = UserId::generate(time.now());
    let (short, long) = (brief(time, user, SECOND), brief(time, user, SECOND * 60));
    create(store, &long).await;
    create(store, &short).await;
    let request = rotation(time, &short, SECOND, SECOND * 60);
    let Rotated::Rotated(used) = rotate(store, &request).await else { panic!("it is current") };
    assert_eq!(alive(store, user, time.now()).await.len(), 2);
    time.advance(SECOND).await;
    for session in [&short, &used] {
        let late = rotate(store, &rotation(time, session, SECOND, SECOND * 60)).await;
        assert_eq!(late, Rotated::Unknown);
    }
    let (epoch, now) = (SessionEpoch::default(), time.now());
    assert_eq!(alive(store, user, now).await, [long.id]);
    let both = [long.id, short.id];
    let revoked = store.revoke(user, epoch, now, &both).await.expect("the store responds");
    assert_eq!(revoked, Revoked::Missing);
    // The expiry of one does not affect the other.
    assert_eq!(find(store, user, long.id).await.as_ref(), Some(&long));
    assert_eq!(store.revoke_all(user, epoch, now, None).await.expect("the store responds"), 1);
    assert_eq!(find(store, user, long.id).await, None);
}

/// R5, R6: a rotation extends the session, but never past its end.
pub async fn a_rotation_extends_the_session(store: &Arc<dyn SessionStore>, time: &dyn TestTime) {
    let user = UserId::generate(time.now());
    let mut session = brief(time, user, SECOND);
    session.ends_at = time.now() + SECOND * 2;
    create(store, &session).await;
    time.advance(SECOND / 2).await;
    let request = rotation(time, &session, SECOND * 60, SECOND);
    let Rotated::Rotated(session) = rotate(store, &request).await else { panic!("it is current") };
    assert_eq!((session.idle_at, session.expires_at()), (session.ends_at, session.ends_at));
    // The original idle expiry.
    time.advance(SECOND * 3 / 4).await;
    assert_eq!(alive(store, user, time.now()).await, [session.id]);
    assert_eq!(find(store, user, session.id).await.as_ref(), Some(&session));
    time.advance(SECOND * 3 / 4).await;
    let late = rotate(store, &rotation(time, &session, SECOND, SECOND)).await;
    assert_eq!(late, Rotated::Unknown);
    assert_eq!(alive(store, user, time.now()).await, []);
}

/// A sign-in above the cap evicts expired sessions first, then the oldest.
pub async fn sessions_expired_by_the_stores_clock_are_evicted_first(
    store: &Arc<dyn SessionStore>,
    time: &dyn TestTime,
) {
    let user = UserId::generate(time.now());
    let old = brief(time, user, SECOND * 60);
    create(store, &old).await;
    time.advance(Duration::from_millis(5)).await;
    let over = brief(time, user, SECOND);
    create(store, &over).await;
    time.advance(SECOND).await;
    let (third, fourth) = (brief(time, user, SECOND * 60), brief(time, user, SECOND * 60));
    let evicted = store.create(&third, 2).await.expect("the store responds");
    assert_eq!(evicted, [over.id]);
    let evicted = store.create(&fourth, 2).await.expect("the store responds");
    assert_eq!(evicted, [old.id]);
    let mut left = alive(store, user, time.now()).await;
    left.sort_unstable();
    let mut expected = [third.id, fourth.id];
    expected.sort_unstable();
    assert_eq!(left, expected);
}

/// R1: fifty concurrent refreshes with one token make one successor, which all of them receive.
async fn concurrent_refreshes_get_one_successor_now(
    store: &Arc<dyn SessionStore>,
    time: &dyn TestTime,
) {
    let session = brief(time, UserId::generate(time.now()), SECOND * 60);
    create(store, &session).await;
    let outcomes = race(50, |_| {
        let request = rotation(time, &session, SECOND * 60, SECOND * 30);
        let store = Arc::clone(store);
        async move { rotate(&store, &request).await }
    })
    .await;
    let kept = find(store, session.user, session.id).await.expect("the session");
    let winners = outcomes.iter().filter(|one| **one == Rotated::Rotated(kept.clone())).count();
    let others = outcomes.iter().filter(|one| **one == Rotated::Repeated(kept.clone())).count();
    assert_eq!((winners, others), (1, 49), "{outcomes:?}");
}
