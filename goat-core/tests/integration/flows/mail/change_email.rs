//! Changes of addresses, and the way back.

use std::sync::Arc;
use std::time::Duration;

use goat_core::auth::{Confirmation, EmailChange, UndoEmail};
use goat_core::courier::Message;
use goat_core::event::EventKind;
use goat_core::factor::{Answer, FactorKind};
use goat_core::key::{NewKey, Scopes};
use goat_core::session::Origin;
use goat_core::testing::{Point, TestFactors};
use goat_core::{
    Clock as _, Email, ErrorKind, KeyId, Principal, Result, Secret, Signup, Status, UserId,
};

use super::{INVALID, code, harness, kind, letter, letters, link, recovery, token};
use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, PASSWORD, address, email, login, on_every_store, system,
};

on_every_store!(
    a_change_takes_effect_once_the_new_mailbox_answered,
    a_taken_address_looks_like_a_free_one,
    another_spelling_takes_effect_at_once,
    a_newer_change_ends_the_older_one,
    a_change_ends_with_the_epoch_and_the_address,
    the_old_address_takes_the_account_back,
    an_undo_outlives_a_recovery_and_a_second_change,
    an_undo_ends_after_seven_days,
    an_unverified_address_takes_nothing_back,
    a_used_undo_ends_younger_ones_alone,
    an_undo_removes_the_keys_that_are_newer,
    an_older_factor_answers_too,
    an_address_with_an_undo_counts_as_taken,
    a_full_queue_uses_nothing_up,
    a_change_that_fails_leaves_the_way_back,
    an_undo_that_fails_is_used_again,
    an_undo_waits_for_the_end_of_a_suspension,
    an_administrators_change_ends_every_letter,
);

const SEVEN_DAYS: u64 = 7 * 86_400;

async fn verified(harness: &Harness, name: &str) -> UserId {
    let user = harness.user(name, "client").await.id;
    harness.verify_email(user).await;
    user
}

async fn request(harness: &Harness, me: &Principal, to: &str) -> goat_core::auth::ChallengeSent {
    let users = harness.goat.users();
    let confirmed = Confirmation::Password(PASSWORD);
    let changed = users.change_email(me, email(to), confirmed, &Origin::default()).await;
    match changed.expect("accepted").value {
        EmailChange::Sent(sent) => sent,
        EmailChange::Changed(user) => panic!("changed at once: {user:?}"),
    }
}

/// Changes an address, and returns the letter to the old one.
async fn change(harness: &Harness, from: &str, to: &str, password: &str) -> Message {
    let signed_in = login(&harness.goat, address(from), password).await.expect("signed in");
    let me = harness.principal(&signed_in.tokens).await;
    let users = harness.goat.users();
    let sent = users.change_email(&me, email(to), password, &Origin::default()).await;
    assert!(matches!(sent.expect("accepted").value, EmailChange::Sent(_)));
    confirm(harness, &letter_of(harness, to, "confirm-new-email").await).await.expect("confirmed");
    letter_of(harness, from, "email-changed").await
}

/// The next letter to a user of this kind.
async fn letter_of(harness: &Harness, name: &str, wanted: &str) -> Message {
    loop {
        let message = letter(harness, name).await;
        if message.name() == wanted {
            return message;
        }
    }
}

async fn confirm(harness: &Harness, message: &Message) -> Result<()> {
    harness.goat.confirm_email_change(&link(message), &Origin::default()).await
}

async fn recover(harness: &Harness, message: &Message) -> Result<()> {
    let (answer, password) = (link(message), OTHER_PASSWORD.into());
    let origin = Origin::default();
    harness.goat.confirm_recovery(&answer, &password, None, &origin).await.map(drop)
}

async fn undo(harness: &Harness, token: Secret<String>, factor: Option<Answer>) -> Result<()> {
    harness.goat.undo_email_change(UndoEmail { token, factor }, &Origin::default()).await
}

async fn address_of(harness: &Harness, user: UserId) -> (String, bool) {
    let account = harness.stores.users.by_id(user).await.expect("the store responds");
    let user = account.expect("a user").user;
    (user.email.as_str().to_owned(), user.email_verified_at.is_some())
}

/// M9: the letter to the new address does not name the old one, which is told.
async fn a_change_takes_effect_once_the_new_mailbox_answered(backend: Backend) {
    let harness = harness(backend);
    let ann = verified(&harness, "ann").await;
    let signed_in = harness.sign_in("ann").await;
    let me = harness.principal(&signed_in.tokens).await;
    let sent = request(&harness, &me, "eve").await;
    assert_eq!(address_of(&harness, ann).await, (address("ann"), true));
    let message = letter(&harness, "eve").await;
    assert!(matches!(message, Message::ConfirmNewEmail(_)));
    harness.advance(5);
    drop(harness.events.take());
    let typed = code(sent, &message);
    harness.goat.confirm_email_change(&typed, &Origin::default()).await.expect("confirmed");
    assert_eq!(address_of(&harness, ann).await, (address("eve"), true));
    let events = harness.events.take();
    assert_eq!(events[0].kind, EventKind::EmailChanged);
    assert_eq!(events[0].previous_email, Some(email("ann")));
    let notice = letter(&harness, "ann").await;
    let Message::EmailChanged { undo: Some(undo), at } = &notice else { panic!("{notice:?}") };
    assert_eq!(*at, harness.clock.now());
    assert_eq!(undo.expires_at, *at + Duration::from_secs(SEVEN_DAYS));
    assert!(undo.code.is_none());
    harness.principal(&signed_in.tokens).await;
    assert_eq!(kind(confirm(&harness, &message).await), INVALID, "it is answered");
    let taken = kind(harness.try_sign_in("ann").await);
    assert_eq!(taken, Some(ErrorKind::InvalidCredentials));
}

/// M1
async fn a_taken_address_looks_like_a_free_one(backend: Backend) {
    let harness = harness(backend);
    verified(&harness, "ann").await;
    harness.user("bob", "client").await;
    let signed_in = harness.sign_in("ann").await;
    let me = harness.principal(&signed_in.tokens).await;
    request(&harness, &me, "BOB").await;
    let told = letters(&harness).next_to(&address("bob")).await;
    assert!(matches!(told.message, Message::AccountExists), "in the owner's spelling");
    // One that is taken before the answer is told to the client, which has proven the mailbox.
    request(&harness, &me, "eve").await;
    let message = letter(&harness, "eve").await;
    harness.user("eve", "client").await;
    assert_eq!(kind(confirm(&harness, &message).await), Some(ErrorKind::EmailTaken));
}

async fn another_spelling_takes_effect_at_once(backend: Backend) {
    let harness = harness(backend);
    let ann = verified(&harness, "ann").await;
    let signed_in = harness.sign_in("ann").await;
    let me = harness.principal(&signed_in.tokens).await;
    let louder = Email::parse(&address("ann").to_uppercase()).expect("an address");
    let users = harness.goat.users();
    let changed = users.change_email(&me, louder, PASSWORD, &Origin::default()).await;
    assert!(matches!(changed.expect("changed").value, EmailChange::Changed(_)));
    assert_eq!(address_of(&harness, ann).await, (address("ann").to_uppercase(), true));
}

async fn a_newer_change_ends_the_older_one(backend: Backend) {
    let harness = harness(backend);
    let ann = verified(&harness, "ann").await;
    let signed_in = harness.sign_in("ann").await;
    let me = harness.principal(&signed_in.tokens).await;
    request(&harness, &me, "eve").await;
    let older = letter(&harness, "eve").await;
    harness.advance(1);
    request(&harness, &me, "eva").await;
    assert_eq!(kind(confirm(&harness, &older).await), INVALID);
    confirm(&harness, &letter(&harness, "eva").await).await.expect("the newer one");
    assert_eq!(address_of(&harness, ann).await.0, address("eva"));
}

async fn a_change_ends_with_the_epoch_and_the_address(backend: Backend) {
    let harness = harness(backend);
    let ann = verified(&harness, "ann").await;
    let signed_in = harness.sign_in("ann").await;
    let me = harness.principal(&signed_in.tokens).await;
    request(&harness, &me, "eve").await;
    let message = letter(&harness, "eve").await;
    let update = goat_core::user::UserUpdate { email: Some(email("ann2")), password: None };
    harness.goat.users().update(system(), ann, update).await.expect("changed");
    assert_eq!(kind(confirm(&harness, &message).await), INVALID, "of another address");
    harness.goat.users().invalidate(ann).await;
    let me = harness.principal(&signed_in.tokens).await;
    request(&harness, &me, "eve").await;
    let message = letter(&harness, "eve").await;
    harness.goat.sessions().revoke_all_of(system(), ann).await.expect("ended");
    assert_eq!(kind(confirm(&harness, &message).await), INVALID, "of an earlier epoch");
    assert_eq!(address_of(&harness, ann).await.0, address("ann2"));
}

/// M9: sessions end, the password is gone, and a recovery follows.
async fn the_old_address_takes_the_account_back(backend: Backend) {
    let harness = harness(backend);
    let ann = verified(&harness, "ann").await;
    let notice = change(&harness, "ann", "eve", PASSWORD).await;
    let thief = login(&harness.goat, address("eve"), PASSWORD).await.expect("signed in");
    harness.advance(SEVEN_DAYS - 1);
    drop(harness.events.take());
    undo(&harness, token(&notice), None).await.expect("taken back");
    assert_eq!(address_of(&harness, ann).await, (address("ann"), true));
    assert!(harness.authenticate(&thief.tokens).await.is_err());
    for name in ["ann", "eve"] {
        let refused = kind(harness.try_sign_in(name).await);
        assert_eq!(refused, Some(ErrorKind::InvalidCredentials), "{name}: the password is gone");
    }
    let kinds = harness.events.take_kinds();
    assert!(kinds.contains(&EventKind::EmailChangeUndone), "{kinds:?}");
    let message = letter_of(&harness, "ann", "reset-password").await;
    recover(&harness, &message).await.expect("recovered");
    login(&harness.goat, address("ann"), OTHER_PASSWORD).await.expect("the owner is back");
    assert_eq!(kind(undo(&harness, token(&notice), None).await), INVALID, "it is used");
}

/// M9: an attacker cannot end it.
async fn an_undo_outlives_a_recovery_and_a_second_change(backend: Backend) {
    let harness = harness(backend);
    let ann = verified(&harness, "ann").await;
    let notice = change(&harness, "ann", "eve", PASSWORD).await;
    harness.advance(60);
    let message = recovery(&harness, "eve").await;
    recover(&harness, &message).await.expect("recovered");
    harness.advance(60);
    change(&harness, "eve", "eva", OTHER_PASSWORD).await;
    undo(&harness, token(&notice), None).await.expect("taken back");
    assert_eq!(address_of(&harness, ann).await, (address("ann"), true));
}

async fn an_undo_ends_after_seven_days(backend: Backend) {
    let harness = harness(backend);
    let ann = verified(&harness, "ann").await;
    let notice = change(&harness, "ann", "eve", PASSWORD).await;
    harness.advance(SEVEN_DAYS);
    assert_eq!(kind(undo(&harness, token(&notice), None).await), INVALID);
    assert_eq!(address_of(&harness, ann).await.0, address("eve"));
}

/// M9
async fn an_unverified_address_takes_nothing_back(backend: Backend) {
    let harness = harness(backend);
    harness.user("ann", "client").await;
    let notice = change(&harness, "ann", "eve", PASSWORD).await;
    assert!(matches!(notice, Message::EmailChanged { undo: None, .. }));
}

async fn a_used_undo_ends_younger_ones_alone(backend: Backend) {
    let harness = harness(backend);
    let ann = verified(&harness, "ann").await;
    let first = change(&harness, "ann", "eve", PASSWORD).await;
    harness.advance(60);
    let second = change(&harness, "eve", "eva", PASSWORD).await;
    harness.advance(60);
    undo(&harness, token(&second), None).await.expect("back to the second address");
    assert_eq!(address_of(&harness, ann).await.0, address("eve"));
    undo(&harness, token(&first), None).await.expect("back to the first address");
    assert_eq!(address_of(&harness, ann).await.0, address("ann"));

    let bob = verified(&harness, "bob").await;
    // At one time, as by two clocks.
    let first = change(&harness, "bob", "rob", PASSWORD).await;
    let second = change(&harness, "rob", "rub", PASSWORD).await;
    undo(&harness, token(&first), None).await.expect("back to the first address");
    assert_eq!(kind(undo(&harness, token(&second), None).await), INVALID);
    assert_eq!(address_of(&harness, bob).await.0, address("bob"));
}

async fn an_undo_removes_the_keys_that_are_newer(backend: Backend) {
    let harness = harness(backend);
    let ann = verified(&harness, "ann").await;
    let older = key(&harness, "ann").await;
    harness.advance(60);
    let notice = change(&harness, "ann", "eve", PASSWORD).await;
    harness.advance(60);
    let newer = key(&harness, "eve").await;
    undo(&harness, token(&notice), None).await.expect("taken back");
    assert!(harness.goat.authenticate_token(&newer.1).await.is_err());
    assert!(harness.goat.authenticate_token(&older.1).await.is_ok());
    let page = harness.stores.keys.list(ann, Default::default()).await.expect("a page");
    let left: Vec<_> = page.items.iter().map(|key| key.id).collect();
    assert_eq!(left, [older.0]);
}

async fn key(harness: &Harness, name: &str) -> (KeyId, String) {
    let signed_in = login(&harness.goat, address(name), PASSWORD).await.expect("signed in");
    let me = harness.principal(&signed_in.tokens).await;
    let recent = harness.goat.require_recent(&me).await.expect("just signed in");
    let new = NewKey { name: "a key".into(), scopes: Scopes::Role, expires_in: None };
    let created = harness.goat.keys().create(recent, new).await.expect("a key");
    (created.key.id, created.secret.expose().clone())
}

/// A stolen old mailbox alone takes no account; the recovery that follows asks for no second code.
async fn an_older_factor_answers_too(backend: Backend) {
    let harness = harness(backend);
    let ann = verified(&harness, "ann").await;
    let notice = change(&harness, "ann", "eve", PASSWORD).await;
    // A factor that is newer than the change may be the thief's.
    harness.advance(60);
    harness.factors.enrol(ann, FactorKind::Totp, harness.clock.now());
    undo(&harness, token(&notice), None).await.expect("taken back without it");

    let bob = verified(&harness, "bob").await;
    let session = harness.sign_in("bob").await;
    harness.advance(10);
    let me = harness.principal(&session.tokens).await;
    request(&harness, &me, "rob").await;
    harness.factors.enrol(bob, FactorKind::Totp, harness.clock.now());
    harness.advance(10);
    confirm(&harness, &letter(&harness, "rob").await).await.expect("confirmed");
    let notice = letter_of(&harness, "bob", "email-changed").await;
    let missing = undo(&harness, token(&notice), None).await.expect_err("no code");
    assert_eq!(missing.kind(), ErrorKind::Invalid);
    assert_eq!(missing.violations()[0].field, "authenticator_code");
    let wrong = Answer::Totp("000000".into());
    assert_eq!(kind(undo(&harness, token(&notice), Some(wrong)).await), INVALID);
    let right = Answer::Totp(TestFactors::CODE.into());
    undo(&harness, token(&notice), Some(right)).await.expect("both are right");
    let message = letter_of(&harness, "bob", "reset-password").await;
    assert!(matches!(message, Message::ResetPassword { needs_recovery_code: false, .. }));
    recover(&harness, &message).await.expect("no second code");
}

/// M9: in a mode of sign-up that proves no mailbox.
async fn an_address_with_an_undo_counts_as_taken(backend: Backend) {
    let harness = Harness::with_letters(backend, |settings| settings.signup = Signup::Active);
    let ann = verified(&harness, "ann").await;
    let notice = change(&harness, "ann", "eve", PASSWORD).await;
    let sign_up = || {
        let request = goat_core::auth::SignUp::new(email("ann"), PASSWORD, Origin::default());
        harness.goat.sign_up(request)
    };
    assert_eq!(kind(sign_up().await), Some(ErrorKind::EmailTaken));
    harness.advance(SEVEN_DAYS);
    sign_up().await.expect("free again");
    assert_eq!(kind(undo(&harness, token(&notice), None).await), INVALID);
    assert_eq!(address_of(&harness, ann).await.0, address("eve"));
    // An owner that was overtaken otherwise learns it.
    let bob = verified(&harness, "bob").await;
    let notice = change(&harness, "bob", "rob", PASSWORD).await;
    harness.user("bob", "client").await;
    assert_eq!(kind(undo(&harness, token(&notice), None).await), Some(ErrorKind::EmailTaken));
    assert_eq!(address_of(&harness, bob).await.0, address("rob"));
}

/// M9: a thief confirms two changes at once, so that the second one fails.
async fn a_change_that_fails_leaves_the_way_back(backend: Backend) {
    let harness = Arc::new(harness(backend));
    let ann = verified(&harness, "ann").await;
    let signed_in = harness.sign_in("ann").await;
    let me = harness.principal(&signed_in.tokens).await;
    request(&harness, &me, "eve").await;
    let first = letter(&harness, "eve").await;
    // The second request has read the account before the first change.
    let held = harness.failpoints.hold("challenges.put", Point::Entry);
    let second = tokio::spawn({
        let (harness, me) = (Arc::clone(&harness), me.clone());
        async move { request(&harness, &me, "eva").await }
    });
    held.reached().await;
    confirm(&harness, &first).await.expect("confirmed");
    let undo_of_first = letter_of(&harness, "ann", "email-changed").await;
    held.release();
    second.await.expect("accepted");
    let second = letter(&harness, "eva").await;
    assert_eq!(kind(confirm(&harness, &second).await), INVALID);
    undo(&harness, token(&undo_of_first), None).await.expect("taken back");
    assert_eq!(address_of(&harness, ann).await.0, address("ann"));
}

/// M9: it cannot be asked for again.
async fn an_undo_that_fails_is_used_again(backend: Backend) {
    let harness = harness(backend);
    let ann = verified(&harness, "ann").await;
    let notice = change(&harness, "ann", "eve", PASSWORD).await;
    for call in ["keys.list", "users.write"] {
        harness.failpoints.fail(call, Point::Entry);
        let failed = undo(&harness, token(&notice), None).await;
        assert_eq!(kind(failed), Some(ErrorKind::Unavailable), "{call}");
        assert_eq!(address_of(&harness, ann).await.0, address("eve"), "{call}");
    }
    undo(&harness, token(&notice), None).await.expect("taken back");
    assert_eq!(address_of(&harness, ann).await.0, address("ann"));
}

async fn an_undo_waits_for_the_end_of_a_suspension(backend: Backend) {
    let harness = harness(backend);
    let ann = verified(&harness, "ann").await;
    let notice = change(&harness, "ann", "eve", PASSWORD).await;
    let users = harness.goat.users();
    users.change_status(system(), ann, Status::Suspended).await.expect("suspended");
    assert_eq!(kind(undo(&harness, token(&notice), None).await), INVALID);
    users.change_status(system(), ann, Status::Active).await.expect("active");
    undo(&harness, token(&notice), None).await.expect("taken back");
}

/// M9, M10: also a thief's undo; the earlier address is told of both changes.
async fn an_administrators_change_ends_every_letter(backend: Backend) {
    let harness = harness(backend);
    let ann = verified(&harness, "ann").await;
    change(&harness, "ann", "eve", PASSWORD).await;
    let thiefs = change(&harness, "eve", "eva", PASSWORD).await;
    let update = goat_core::user::UserUpdate {
        email: Some(email("ann")),
        password: Some(OTHER_PASSWORD.into()),
    };
    harness.goat.users().update(system(), ann, update).await.expect("rescued");
    letter_of(&harness, "eva", "password-changed").await;
    letter_of(&harness, "eva", "email-changed").await;
    assert_eq!(kind(undo(&harness, token(&thiefs), None).await), INVALID);
    assert_eq!(address_of(&harness, ann).await.0, address("ann"));
    login(&harness.goat, address("ann"), OTHER_PASSWORD).await.expect("the owner is back");
}

/// M9: no change without its letter to the old address.
async fn a_full_queue_uses_nothing_up(backend: Backend) {
    let harness = harness(backend);
    let ann = verified(&harness, "ann").await;
    let signed_in = harness.sign_in("ann").await;
    let me = harness.principal(&signed_in.tokens).await;
    request(&harness, &me, "eve").await;
    let message = letter(&harness, "eve").await;
    letters(&harness).set_full(true);
    assert_eq!(kind(confirm(&harness, &message).await), Some(ErrorKind::Unavailable));
    assert_eq!(address_of(&harness, ann).await.0, address("ann"));
    letters(&harness).set_full(false);
    confirm(&harness, &message).await.expect("it still works");
}
