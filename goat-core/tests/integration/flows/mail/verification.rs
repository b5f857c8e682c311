//! Verification of the address of an account.

use goat_core::auth::ChallengeSent;
use goat_core::courier::Message;
use goat_core::event::EventKind;
use goat_core::session::Origin;
use goat_core::{Clock as _, ErrorKind, Principal};

use super::{INVALID, code, harness, kind, letter, letters, link};
use crate::flows::support::{Backend, Harness, email, on_every_store, system};

on_every_store!(
    a_session_of_the_user_verifies_the_address,
    a_strangers_session_verifies_nothing,
    a_letter_to_an_earlier_address_verifies_nothing,
);

async fn request(harness: &Harness, me: &Principal) -> Option<ChallengeSent> {
    let sent = harness.goat.users().request_verification(me, &Origin::default()).await;
    sent.expect("accepted")
}

async fn a_session_of_the_user_verifies_the_address(backend: Backend) {
    let harness = harness(backend);
    let ann = harness.member("ann", "client").await;
    let me = harness.principal(&ann.tokens).await;
    assert!(me.profile().email_verified_at.is_none());
    let sent = request(&harness, &me).await.expect("not verified yet");
    let message = letter(&harness, "ann").await;
    assert!(matches!(message, Message::VerifyEmail(_)));
    harness.advance(1);
    drop(harness.events.take());
    let (users, origin) = (harness.goat.users(), Origin::default());
    let user = users.verify_email(&me, &code(sent, &message), &origin).await.expect("verified");
    assert_eq!(user.email_verified_at, Some(harness.clock.now()));
    assert_eq!(harness.events.take_kinds(), [EventKind::EmailVerified]);
    let me = harness.principal(&ann.tokens).await;
    assert_eq!(me.profile().email_verified_at, Some(harness.clock.now()), "the caches know");
    let again = users.verify_email(&me, &link(&message), &origin).await;
    assert_eq!(kind(again), INVALID, "it is answered");
    assert!(request(&harness, &me).await.is_none());
    assert!(letters(&harness).take().is_empty());
}

/// Otherwise the click of a victim would verify the account of a stranger.
async fn a_strangers_session_verifies_nothing(backend: Backend) {
    let harness = harness(backend);
    let (ann, bob) = (harness.member("ann", "client").await, harness.member("bob", "client").await);
    let (ann, bob) = (harness.principal(&ann.tokens).await, harness.principal(&bob.tokens).await);
    request(&harness, &ann).await;
    let message = letter(&harness, "ann").await;
    let (users, origin) = (harness.goat.users(), Origin::default());
    for _ in 0..6 {
        assert_eq!(kind(users.verify_email(&bob, &link(&message), &origin).await), INVALID);
    }
    users.verify_email(&ann, &link(&message), &origin).await.expect("no attempt was used");
    assert!(
        harness
            .principal(&harness.sign_in("bob").await.tokens)
            .await
            .profile()
            .email_verified_at
            .is_none()
    );
}

async fn a_letter_to_an_earlier_address_verifies_nothing(backend: Backend) {
    let harness = harness(backend);
    let ann = harness.member("ann", "client").await;
    let me = harness.principal(&ann.tokens).await;
    request(&harness, &me).await;
    let message = letter(&harness, "ann").await;
    let update = goat_core::user::UserUpdate { email: Some(email("eve")), password: None };
    harness.goat.users().update(system(), ann.user.id, update).await.expect("changed");
    let (users, origin) = (harness.goat.users(), Origin::default());
    assert_eq!(kind(users.verify_email(&me, &link(&message), &origin).await), INVALID);
    request(&harness, &harness.principal(&ann.tokens).await).await;
    let message = letter(&harness, "eve").await;
    harness.goat.sessions().revoke_all_of(system(), ann.user.id).await.expect("ended");
    let ended = users.verify_email(&me, &link(&message), &origin).await;
    assert_eq!(kind(ended), Some(ErrorKind::SessionRevoked));
}
