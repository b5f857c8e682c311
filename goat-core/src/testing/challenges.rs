//! Conformance suite of [`ChallengeStore`].
//!
//! [`conformance`] runs every case, for a store that decides by the caller's time. Each case uses subjects of
//! its own, so that one store can run all cases. Each function panics if the store violates a guarantee of the
//! port. [`a_dropped_put_has_its_full_effect_or_none`] and [`conformance_with_users`] are for stores of the
//! library's kinds: they take a dropped call for one that never runs on, and users in the same database.

#![expect(clippy::missing_panics_doc, reason = "a panic is the result of these functions")]

use std::sync::Arc;
use std::time::Duration;

use crate::access::Role;
use crate::challenge::{ATTEMPTS, Challenge, Purpose, ServerKeyId, Subject};
use crate::clock::Timestamp;
use crate::error::ErrorKind;
use crate::id::{ChallengeId, UserId};
use crate::secret::Secret;
use crate::store::{ChallengeStore, UserChange, UserSnapshot, UserStore, UserWrite};
use crate::user::Account;

use super::sample::{START, account, later, polled, race, role};

type Decide<'a> = &'a (dyn Fn(&UserSnapshot) -> Result<UserChange, ErrorKind> + Send + Sync);

/// Runs every case.
pub async fn conformance(store: &Arc<dyn ChallengeStore>) {
    a_challenge_is_found_as_put_until_it_expires(store).await;
    a_challenge_answers_its_purpose_alone(store).await;
    the_newest_challenges_of_a_subject_stay(store).await;
    attempts_are_bounded_under_concurrency(store).await;
    a_challenge_is_taken_once(store).await;
    all_challenges_of_a_user_are_removed(store).await;
    a_purge_removes_expired_challenges_up_to_its_limit(store).await;
}

/// A challenge of a new user that lives for ten minutes.
fn challenge(purpose: Purpose, made_at: Timestamp) -> Challenge {
    Challenge {
        id: ChallengeId::generate(made_at),
        purpose,
        user: Some(UserId::generate(made_at)),
        epoch: 0,
        link: None,
        code: None,
        attempts_left: ATTEMPTS,
        made_at,
        expires_at: made_at + Duration::from_secs(600),
        payload: Secret::new(Vec::new()),
    }
}

fn subject_of(challenge: &Challenge) -> Subject {
    challenge.user.map_or_else(|| Subject::address("someone@example.org"), Subject::user)
}

async fn put(store: &Arc<dyn ChallengeStore>, challenge: &Challenge) {
    store.put(challenge, &subject_of(challenge), 5).await.expect("the store responds");
}

async fn find(
    store: &Arc<dyn ChallengeStore>,
    challenge: &Challenge,
    now: Timestamp,
) -> Option<Challenge> {
    store.find(challenge.id, challenge.purpose, now).await.expect("the store responds")
}

/// The parts of a challenge, which has no equality since it holds a secret.
fn parts(challenge: &Challenge) -> String {
    let Challenge { epoch, link, code, made_at, payload, .. } = challenge;
    let payload = payload.expose();
    format!("{challenge:?} {epoch} {link:?} {code:?} {made_at:?} {payload:?}")
}

/// A challenge is read back as it was put, up to its expiry; a find uses no attempt.
pub async fn a_challenge_is_found_as_put_until_it_expires(store: &Arc<dyn ChallengeStore>) {
    let plain = challenge(Purpose::PendingSignIn, START);
    let mut link = challenge(Purpose::ResetPassword, START);
    (link.link, link.epoch) = (Some([7; 32]), 9);
    link.payload = Secret::new((0..=255).cycle().take(2048).collect());
    let mut code = challenge(Purpose::EmailSignIn, START);
    let key = ServerKeyId::parse("a-key_1").expect("an id");
    (code.code, code.user) = (Some((key, [8; 32])), None);
    for challenge in [&plain, &link, &code] {
        put(store, challenge).await;
        for now in [START, START, challenge.expires_at - Duration::from_millis(1)] {
            let found = find(store, challenge, now).await.expect("it is live");
            assert_eq!(parts(&found), parts(challenge));
        }
        assert!(find(store, challenge, challenge.expires_at).await.is_none());
        let attempt = store.attempt(challenge.id, challenge.purpose, challenge.expires_at).await;
        assert!(!attempt.expect("the store responds"), "expired");
    }
    let unknown = challenge(Purpose::PendingSignIn, START);
    assert!(find(store, &unknown, START).await.is_none());
}

/// Another purpose neither finds a challenge nor uses its attempts.
pub async fn a_challenge_answers_its_purpose_alone(store: &Arc<dyn ChallengeStore>) {
    for purpose in Purpose::ALL {
        let challenge = challenge(purpose, START);
        put(store, &challenge).await;
        for other in Purpose::ALL {
            let found = store.find(challenge.id, other, START).await.expect("the store responds");
            assert_eq!(found.is_some(), other == purpose);
            let subject = subject_of(&challenge);
            let pending = store.is_pending(other, &subject, START).await;
            assert_eq!(pending.expect("the store responds"), other == purpose);
            if other != purpose {
                let attempt = store.attempt(challenge.id, other, START).await;
                assert!(!attempt.expect("the store responds"));
            }
        }
        let found = find(store, &challenge, START).await.expect("it is live");
        assert_eq!(found.attempts_left, ATTEMPTS);
    }
}

/// Of a purpose and a subject the newest stay, the latest among them; others are not affected.
pub async fn the_newest_challenges_of_a_subject_stay(store: &Arc<dyn ChallengeStore>) {
    let user = UserId::generate(START);
    let subject = Subject::user(user);
    let of_user = |purpose, at| Challenge { user: Some(user), ..challenge(purpose, at) };
    let other_purpose = of_user(Purpose::SignUp, START);
    let other_subject = challenge(Purpose::PendingSignIn, START);
    put(store, &other_purpose).await;
    put(store, &other_subject).await;
    let made: Vec<_> =
        (0..5).map(|second| of_user(Purpose::PendingSignIn, later(second))).collect();
    for challenge in &made {
        store.put(challenge, &subject, 3).await.expect("the store responds");
    }
    // By a clock that is behind.
    let behind = of_user(Purpose::PendingSignIn, START);
    store.put(&behind, &subject, 3).await.expect("the store responds");
    for (challenge, expected) in made.iter().zip([false, false, false, true, true]) {
        assert_eq!(find(store, challenge, later(9)).await.is_some(), expected);
    }
    for challenge in [&behind, &other_purpose, &other_subject] {
        assert!(find(store, challenge, later(9)).await.is_some());
    }
    race(20, |_| {
        let (store, subject) = (Arc::clone(store), subject.clone());
        let challenge = of_user(Purpose::PendingSignIn, later(10));
        async move { store.put(&challenge, &subject, 3).await.expect("the store responds") }
    })
    .await;
    assert_eq!(store.remove_all(user, None).await.expect("the store responds"), 3 + 1);
}

/// G2: of parallel attempts no more succeed than there are. It is still found, without one.
pub async fn attempts_are_bounded_under_concurrency(store: &Arc<dyn ChallengeStore>) {
    let challenge = challenge(Purpose::PendingSignIn, START);
    put(store, &challenge).await;
    let attempts = race(20, |_| {
        let (store, id) = (Arc::clone(store), challenge.id);
        async move { store.attempt(id, Purpose::PendingSignIn, later(1)).await.expect("responds") }
    })
    .await;
    let taken = attempts.into_iter().filter(|taken| *taken).count();
    assert_eq!(taken, usize::from(ATTEMPTS));
    let found = find(store, &challenge, later(1)).await.expect("it has not expired");
    assert_eq!(found.attempts_left, 0);
    let subject = subject_of(&challenge);
    let pending = store.is_pending(Purpose::PendingSignIn, &subject, later(1)).await;
    assert!(!pending.expect("the store responds"));
    // An answer that used the last attempt can still take it.
    assert!(store.take(challenge.id).await.expect("the store responds"));
}

/// G2: of fifty callers one takes a challenge, and it does not return.
pub async fn a_challenge_is_taken_once(store: &Arc<dyn ChallengeStore>) {
    let challenge = challenge(Purpose::PendingSignIn, START);
    put(store, &challenge).await;
    let taken = race(50, |_| {
        let (store, id) = (Arc::clone(store), challenge.id);
        async move { store.take(id).await.expect("the store responds") }
    })
    .await;
    assert_eq!(taken.into_iter().filter(|taken| *taken).count(), 1);
    assert!(find(store, &challenge, START).await.is_none());
    let attempt = store.attempt(challenge.id, Purpose::PendingSignIn, START).await;
    assert!(!attempt.expect("the store responds"));
}

/// All challenges of a user are removed, but earlier ones of the purpose to keep.
pub async fn all_challenges_of_a_user_are_removed(store: &Arc<dyn ChallengeStore>) {
    let user = UserId::generate(START);
    let of_user = |purpose, at| Challenge { user: Some(user), ..challenge(purpose, at) };
    let stranger = challenge(Purpose::UndoEmail, START);
    let (early, late) = (of_user(Purpose::UndoEmail, START), of_user(Purpose::UndoEmail, later(5)));
    let other = of_user(Purpose::ResetPassword, START);
    for challenge in [&stranger, &early, &late, &other] {
        put(store, challenge).await;
    }
    let keep = Some((Purpose::UndoEmail, later(5)));
    assert_eq!(store.remove_all(user, keep).await.expect("the store responds"), 2);
    for (challenge, expected) in
        [(&stranger, true), (&early, true), (&late, false), (&other, false)]
    {
        assert_eq!(find(store, challenge, later(6)).await.is_some(), expected);
    }
    assert_eq!(store.remove_all(user, None).await.expect("the store responds"), 1);
    assert!(find(store, &stranger, later(6)).await.is_some());
}

/// A purge removes expired challenges, at most as many as requested.
pub async fn a_purge_removes_expired_challenges_up_to_its_limit(store: &Arc<dyn ChallengeStore>) {
    // Far in the past, so that it affects no other cases.
    let now = Timestamp::from_seconds(100_000);
    let made: Vec<_> = (0..4)
        .map(|number| {
            let expires_at = now + Duration::from_millis(number) - Duration::from_millis(2);
            Challenge { expires_at, ..challenge(Purpose::SignUp, now - Duration::from_secs(60)) }
        })
        .collect();
    for challenge in &made {
        put(store, challenge).await;
    }
    let purge = async |most| store.purge(now, most).await.expect("the store responds");
    assert_eq!(purge(0).await, 0);
    assert_eq!(purge(2).await, 2);
    assert_eq!(purge(9).await, 1);
    assert_eq!(purge(9).await, 0);
    assert!(find(store, &made[3], now).await.is_some());
    assert!(store.take(made[3].id).await.expect("the store responds"));
}

/// A put dropped at any await has its full effect or none: the one live challenge stays, or the next one takes
/// its place.
pub async fn a_dropped_put_has_its_full_effect_or_none(store: &Arc<dyn ChallengeStore>) {
    let purpose = Purpose::PendingSignIn;
    let first = challenge(purpose, START);
    let user = first.user.expect("a user");
    let subject = Subject::user(user);
    store.put(&first, &subject, 1).await.expect("the store responds");
    let mut is_finished = false;
    for polls in 0..40 {
        let next = Challenge { user: Some(user), ..challenge(purpose, later(1)) };
        is_finished |= polled(store.put(&next, &subject, 1), polls).await.is_some();
        let pending = store.is_pending(purpose, &subject, later(2)).await;
        assert!(pending.expect("the store responds"), "after {polls} polls");
    }
    assert!(is_finished, "forty polls are enough for a call");
    assert_eq!(store.remove_all(user, None).await.expect("the store responds"), 1);
}

/// Checks a store in the database of the users: a deleted user's challenges are gone with it.
pub async fn conformance_with_users(store: &Arc<dyn ChallengeStore>, users: &Arc<dyn UserStore>) {
    let role = role();
    let (deleted, other) = (account(&role), account(&role));
    let of = |account: &Account| Challenge {
        user: Some(account.user.id),
        ..challenge(Purpose::PendingSignIn, START)
    };
    let (gone, kept) = (of(&deleted), of(&other));
    for (account, challenge) in [(&deleted, &gone), (&other, &kept)] {
        let rule = |_: &UserSnapshot| Ok(UserChange::Put(account.clone()));
        write(users, account, &role, &rule).await;
        put(store, challenge).await;
    }
    write(users, &deleted, &role, &|_: &UserSnapshot| Ok(UserChange::Delete)).await;
    assert!(find(store, &gone, START).await.is_none());
    assert!(find(store, &kept, START).await.is_some());
}

async fn write(users: &Arc<dyn UserStore>, account: &Account, top_role: &Role, decide: Decide<'_>) {
    let target = account.user.id;
    let write = UserWrite { actor: None, key: None, target, top_role, assigns: None, decide };
    users.write(write).await.expect("the store responds");
}
