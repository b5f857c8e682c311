//! Challenges within the life of a user and of a goat.

use std::time::Duration;

use goat_core::challenge::{ATTEMPTS, Challenge, Purpose, Subject};
use goat_core::testing::Point;
use goat_core::{ChallengeId, Clock as _, Secret, Timestamp, UserId};

use crate::flows::support::{Backend, Harness, PASSWORD, on_every_store, system};

on_every_store!(a_deleted_user_leaves_no_challenge, maintenance_removes_expired_challenges);

fn challenge(user: UserId, now: Timestamp) -> Challenge {
    Challenge {
        id: ChallengeId::generate(now),
        purpose: Purpose::ResetPassword,
        user: Some(user),
        epoch: 0,
        link: Some([7; 32]),
        code: None,
        attempts_left: ATTEMPTS,
        made_at: now,
        expires_at: now + Duration::from_secs(600),
        payload: Secret::new(Vec::new()),
    }
}

async fn put(harness: &Harness, user: UserId) -> ChallengeId {
    let challenge = challenge(user, harness.clock.now());
    let put = harness.stores.challenges.put(&challenge, &Subject::user(user), 3).await;
    put.expect("the store responds");
    challenge.id
}

/// Deletion by the user and by an administrator, also with the challenges in another store than the users.
async fn a_deleted_user_leaves_no_challenge(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "client").await;
    let (bob, cat) = (harness.member("bob", "client").await, harness.member("cat", "client").await);
    let mut challenges = Vec::new();
    for user in [&ann, &bob, &cat] {
        challenges.push(put(&harness, user.user.id).await);
    }
    let me = harness.principal(&ann.tokens).await;
    harness.goat.users().delete_self(&me, PASSWORD).await.expect("deleted");
    harness.goat.users().delete(system(), bob.user.id).await.expect("deleted");
    let mut taken = Vec::new();
    for id in challenges {
        taken.push(harness.stores.challenges.take(id).await.expect("the store responds"));
    }
    assert_eq!(taken, [false, false, true]);
}

async fn maintenance_removes_expired_challenges(backend: Backend) {
    let harness = Harness::on(backend);
    let user = harness.user("ann", "client").await.id;
    let expired = put(&harness, user).await;
    harness.advance(600);
    let live = put(&harness, user).await;
    let purged = harness.failpoints.hold("challenges.purge", Point::Return);
    let maintenance = tokio::spawn(harness.goat.clone().maintain());
    purged.reached().await;
    let challenges = &harness.stores.challenges;
    assert!(!challenges.take(expired).await.expect("the store responds"));
    assert!(challenges.take(live).await.expect("the store responds"));
    maintenance.abort();
}
