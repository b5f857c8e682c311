//! Sign-in by the answer to a letter.

use goat_core::auth::{Assurance, ChallengeSent, MailAnswer, Method, Methods, SignedIn};
use goat_core::courier::Message;
use goat_core::event::{EventActor, EventKind};
use goat_core::factor::{Answer, FactorKind};
use goat_core::session::Origin;
use goat_core::testing::TestFactors;
use goat_core::user::UserFilter;
use goat_core::{Clock as _, ErrorKind, PageRequest, Result, Status, UserId};

use super::{INVALID, code, harness, kind, letter, letters, link, wrong_code};
use crate::flows::support::{Backend, Harness, email, on_every_store, system};

on_every_store!(
    a_letter_signs_in_a_user_with_a_verified_address,
    a_letter_is_no_second_factor,
    an_unproven_address_receives_no_letter,
    the_status_is_shown_to_the_mailbox_alone,
    a_letter_signs_in_for_ten_minutes,
    a_letter_opens_nothing_after_the_end_of_all_sessions,
);

async fn request(harness: &Harness, name: &str) -> ChallengeSent {
    harness.goat.request_sign_in(email(name), &Origin::default()).await.expect("accepted")
}

async fn answer(harness: &Harness, answer: &MailAnswer) -> Result<SignedIn> {
    harness.goat.sign_in_by_letter(answer, Origin::default()).await
}

async fn verified(harness: &Harness, name: &str) -> UserId {
    let user = harness.user(name, "client").await.id;
    harness.verify_email(user).await;
    user
}

async fn a_letter_signs_in_a_user_with_a_verified_address(backend: Backend) {
    let harness = harness(backend);
    let ann = verified(&harness, "ann").await;
    let sent = request(&harness, "ann").await;
    let message = letter(&harness, "ann").await;
    assert!(matches!(message, Message::SignInCode(_)));
    drop(harness.events.take());
    assert_eq!(kind(answer(&harness, &wrong_code(sent, &message)).await), INVALID);
    let events = harness.events.take();
    let kinds: Vec<_> = events.iter().map(|event| event.kind.clone()).collect();
    assert_eq!(kinds.last(), Some(&EventKind::SignInFailed(ErrorKind::InvalidChallenge)));
    assert_eq!((events[0].user, &events[0].actor), (Some(ann), &EventActor::Anonymous));
    let signed_in = answer(&harness, &code(sent, &message)).await.expect("the right code");
    let me = harness.principal(&signed_in.tokens).await;
    let page = harness.goat.sessions().list(&me, PageRequest::default()).await.expect("a page");
    assert_eq!(page.items[0].methods, Methods::of(Method::EmailCode));
    assert_eq!(me.assurance(), Some(Assurance::Single));
    harness.goat.require_recent(&me).await.expect("just proven");
}

/// G1
async fn a_letter_is_no_second_factor(backend: Backend) {
    let harness = harness(backend);
    let ann = verified(&harness, "ann").await;
    harness.factors.enrol(ann, FactorKind::Totp, harness.clock.now());
    request(&harness, "ann").await;
    let error = answer(&harness, &link(&letter(&harness, "ann").await)).await.expect_err("one");
    assert_eq!(error.kind(), ErrorKind::SecondFactorRequired);
    let pending = error.pending().expect("a pending sign-in");
    let right = Answer::Totp(TestFactors::CODE.into());
    let signed_in = harness.goat.answer(pending, right, &Origin::default()).await;
    let signed_in = signed_in.expect("the right code").value;
    let me = harness.principal(&signed_in.tokens).await;
    let page = harness.goat.sessions().list(&me, PageRequest::default()).await.expect("a page");
    assert_eq!(page.items[0].methods, Methods::of(Method::EmailCode).with(Method::Totp));
}

async fn an_unproven_address_receives_no_letter(backend: Backend) {
    let harness = harness(backend);
    harness.user("ann", "client").await;
    request(&harness, "ann").await;
    request(&harness, "nobody").await;
    verified(&harness, "bob").await;
    request(&harness, "bob").await;
    letter(&harness, "bob").await;
    assert!(letters(&harness).take().is_empty());
    let found = harness.goat.users().list_all(UserFilter::default()).await.expect("a list");
    assert_eq!(found.users.len(), 2, "no user was created");
}

async fn the_status_is_shown_to_the_mailbox_alone(backend: Backend) {
    let harness = harness(backend);
    let ann = verified(&harness, "ann").await;
    harness.goat.users().change_status(system(), ann, Status::Suspended).await.expect("suspended");
    request(&harness, "ann").await;
    let refused = answer(&harness, &link(&letter(&harness, "ann").await)).await;
    assert_eq!(kind(refused), Some(ErrorKind::AccountSuspended));
}

async fn a_letter_signs_in_for_ten_minutes(backend: Backend) {
    let harness = harness(backend);
    verified(&harness, "ann").await;
    for (seconds, expected) in [(599, None), (600, INVALID)] {
        request(&harness, "ann").await;
        let message = letter(&harness, "ann").await;
        harness.advance(seconds);
        assert_eq!(kind(answer(&harness, &link(&message)).await), expected, "{seconds}");
    }
}

/// G3
async fn a_letter_opens_nothing_after_the_end_of_all_sessions(backend: Backend) {
    let harness = harness(backend);
    let ann = verified(&harness, "ann").await;
    request(&harness, "ann").await;
    let message = letter(&harness, "ann").await;
    harness.goat.sessions().revoke_all_of(system(), ann).await.expect("ended");
    assert_eq!(kind(answer(&harness, &link(&message)).await), INVALID);
}

#[tokio::test]
async fn sign_in_by_letter_is_off_by_default() {
    let harness = Harness::with_letters(Backend::memory(), |_| {});
    let refused = harness.goat.request_sign_in(email("ann"), &Origin::default()).await;
    assert_eq!(kind(refused), Some(ErrorKind::NotFound));
}
