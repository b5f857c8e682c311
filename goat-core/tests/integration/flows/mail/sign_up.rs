//! Confirmed sign-up.

use std::sync::Arc;

use goat_core::auth::{Login, MailAnswer, Method, Methods, SignedIn};
use goat_core::courier::Message;
use goat_core::event::EventKind;
use goat_core::session::Origin;
use goat_core::user::UserFilter;
use goat_core::{Clock as _, Email, ErrorKind, PageRequest, Result, Settings, Signup};
use tokio::sync::Barrier;

use super::{INVALID, code, harness, kind, letter, letters, link};
use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, PASSWORD, address, email, on_every_store,
};

on_every_store!(
    no_account_exists_before_the_mailbox_answered,
    a_code_confirms_a_sign_up,
    a_taken_address_is_told_to_its_owner_alone,
    an_address_that_was_taken_meanwhile_is_refused,
    a_weak_password_uses_no_attempt,
    a_sign_up_expires,
    of_fifty_answers_at_once_one_creates_the_account,
);

async fn request(harness: &Harness, name: &str) -> goat_core::auth::ChallengeSent {
    harness.goat.request_sign_up(email(name), &Origin::default()).await.expect("accepted")
}

async fn confirm(harness: &Harness, answer: &MailAnswer) -> Result<SignedIn> {
    harness.goat.confirm_sign_up(answer, &PASSWORD.into(), &Origin::default()).await
}

/// M8: no row and no password before the answer; then active, verified and in the lowest role.
async fn no_account_exists_before_the_mailbox_answered(backend: Backend) {
    let harness = harness(backend);
    let sent = request(&harness, "ann").await;
    let message = letter(&harness, "ann").await;
    assert!(matches!(message, Message::ConfirmSignUp(_)));
    let ttl = Settings::default().confirm_ttl;
    assert_eq!(sent.expires_at, harness.clock.now() + ttl);
    assert_eq!(message.secret().expect("a secret").expires_at, sent.expires_at);
    let users = harness.goat.users();
    assert!(users.list_all(UserFilter::default()).await.expect("a list").users.is_empty());
    let login = Login::new(address("ann"), PASSWORD, Origin::default());
    assert_eq!(kind(harness.goat.login(login).await), Some(ErrorKind::InvalidCredentials));

    harness.advance(60);
    drop(harness.events.take());
    let signed_in = confirm(&harness, &link(&message)).await.expect("the right answer");
    let now = harness.clock.now();
    let user = &signed_in.user;
    assert_eq!((user.role.as_str(), user.email_verified_at), ("client", Some(now)));
    assert_eq!(harness.events.take_kinds(), [EventKind::SignedUp, EventKind::SignedIn]);
    let me = harness.principal(&signed_in.tokens).await;
    let sessions = harness.goat.sessions().list(&me, PageRequest::default()).await;
    let session = sessions.expect("a page").items.remove(0);
    assert_eq!(session.methods, Methods::of(Method::EmailCode));
    harness.sign_in("ann").await;
    assert_eq!(kind(confirm(&harness, &link(&message)).await), INVALID, "it is answered");
}

async fn a_code_confirms_a_sign_up(backend: Backend) {
    let harness = harness(backend);
    let sent = request(&harness, "ann").await;
    let message = letter(&harness, "ann").await;
    let other = request(&harness, "bob").await;
    assert_eq!(kind(confirm(&harness, &code(other, &message)).await), INVALID, "of another");
    confirm(&harness, &code(sent, &message)).await.expect("the right code");
    assert_eq!(kind(confirm(&harness, &link(&message)).await), INVALID, "it is answered");
}

/// M1, M8
async fn a_taken_address_is_told_to_its_owner_alone(backend: Backend) {
    let harness = harness(backend);
    harness.user("ann", "client").await;
    let spelled = Email::parse("ANN@example.org").expect("an address");
    harness.goat.request_sign_up(spelled, &Origin::default()).await.expect("accepted");
    let sent = letters(&harness).next_to(&address("ann")).await;
    assert!(matches!(sent.message, Message::AccountExists));
    assert_eq!(sent.to.as_str(), address("ann"), "in the owner's spelling");
    let service = Email::parse("backup@service.invalid").expect("an address");
    let refused = harness.goat.request_sign_up(service, &Origin::default()).await;
    assert_eq!(kind(refused), Some(ErrorKind::Invalid));
}

async fn an_address_that_was_taken_meanwhile_is_refused(backend: Backend) {
    let harness = harness(backend);
    request(&harness, "ann").await;
    let message = letter(&harness, "ann").await;
    let admin = harness.user("ann", "operator").await;
    let refused = confirm(&harness, &link(&message)).await;
    assert_eq!(kind(refused), Some(ErrorKind::EmailTaken), "that client has proven the mailbox");
    let found = harness.goat.users().list_all(UserFilter::default()).await.expect("a list");
    assert_eq!(found.users, [admin]);
}

async fn a_weak_password_uses_no_attempt(backend: Backend) {
    let harness = harness(backend);
    request(&harness, "ann").await;
    let message = letter(&harness, "ann").await;
    for weak in ["short", "ann@example.org", "password1234567"].repeat(3) {
        let answer = link(&message);
        let refused = harness.goat.confirm_sign_up(&answer, &weak.into(), &Origin::default()).await;
        let error = refused.expect_err("a weak password");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{weak}");
        assert_eq!(error.violations()[0].field, "password");
    }
    confirm(&harness, &link(&message)).await.expect("no attempt was used");
}

async fn a_sign_up_expires(backend: Backend) {
    let harness = harness(backend);
    let day = Settings::default().confirm_ttl.as_secs();
    for (name, seconds, expected) in [("ann", day - 1, None), ("bob", day, INVALID)] {
        request(&harness, name).await;
        let message = letter(&harness, name).await;
        harness.advance(seconds);
        assert_eq!(kind(confirm(&harness, &link(&message)).await), expected, "{seconds}");
    }
}

/// M3
async fn of_fifty_answers_at_once_one_creates_the_account(backend: Backend) {
    let harness = Arc::new(harness(backend));
    request(&harness, "ann").await;
    let answer = link(&letter(&harness, "ann").await);
    let together = Arc::new(Barrier::new(50));
    let mut answers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (harness, answer, together) =
            (Arc::clone(&harness), answer.clone(), Arc::clone(&together));
        answers.spawn(async move {
            together.wait().await;
            kind(confirm(&harness, &answer).await)
        });
    }
    let outcomes = answers.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_none()).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == INVALID).count(), 49);
    let found = harness.goat.users().list_all(UserFilter::default()).await.expect("a list");
    assert_eq!(found.users.len(), 1);
}

/// The other modes take no confirmed sign-up, and this one no other.
#[tokio::test]
async fn sign_up_is_confirmed_or_not() {
    for signup in [Signup::Active, Signup::Inactive, Signup::Closed] {
        let harness = Harness::with_letters(Backend::memory(), |settings| settings.signup = signup);
        let refused = harness.goat.request_sign_up(email("ann"), &Origin::default()).await;
        assert_eq!(kind(refused), Some(ErrorKind::SignupClosed), "{signup:?}");
    }
    let harness = harness(Backend::memory());
    let request = goat_core::auth::SignUp::new(email("ann"), OTHER_PASSWORD, Origin::default());
    assert_eq!(kind(harness.goat.sign_up(request).await), Some(ErrorKind::SignupClosed));
}
