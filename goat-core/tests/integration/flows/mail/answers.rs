//! Answers to letters: attempts, limits, and what each answers alone.

use std::sync::Arc;

use goat_core::auth::{ChallengeSent, MailAnswer, UndoEmail};
use goat_core::challenge::Purpose;
use goat_core::courier::Message;
use goat_core::event::EventKind;
use goat_core::session::Origin;
use goat_core::{ChallengeId, Clock as _, ErrorKind, Goat, Quota, Result, Signup};
use tokio::sync::Barrier;

use super::{
    INVALID, code, harness, kind, letter, link, recovery, request_recovery, token, wrong_code,
};
use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, PASSWORD, email, on_every_store, system,
};

on_every_store!(
    asking_twice_leaves_three_codes_and_five_guesses,
    guesses_count_together_over_all_letters,
    a_stranger_who_asked_for_a_letter_does_not_end_its_link,
    of_fifty_uses_at_once_one_succeeds,
    a_letter_answers_its_own_purpose_alone,
    an_answer_of_the_wrong_form_is_a_wrong_one,
);

async fn recover(harness: &Harness, answer: &MailAnswer) -> Option<ErrorKind> {
    let (password, origin) = (OTHER_PASSWORD.into(), Origin::default());
    kind(harness.goat.confirm_recovery(answer, &password, None, &origin).await)
}

async fn asked(harness: &Harness) -> (ChallengeSent, Message) {
    harness.advance(1);
    (request_recovery(harness, "ann").await, letter(harness, "ann").await)
}

/// M4: five for each; a new letter gives none back.
async fn asking_twice_leaves_three_codes_and_five_guesses(backend: Backend) {
    let harness = harness(backend);
    harness.user("ann", "client").await;
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(asked(&harness).await);
    }
    let (oldest, first) = &all[0];
    assert_eq!(recover(&harness, &code(*oldest, first)).await, INVALID, "the fourth ended it");
    let (sent, message) = &all[1];
    drop(harness.events.take());
    for _ in 0..5 {
        assert_eq!(recover(&harness, &wrong_code(*sent, message)).await, INVALID);
    }
    let failed = EventKind::AnswerFailed(Purpose::ResetPassword);
    assert_eq!(harness.events.take_kinds(), vec![failed; 5]);
    assert_eq!(recover(&harness, &code(*sent, message)).await, INVALID, "no attempt is left");
    let (sent, message) = &all[2];
    for _ in 0..4 {
        assert_eq!(recover(&harness, &wrong_code(*sent, message)).await, INVALID);
    }
    assert_eq!(recover(&harness, &code(*sent, message)).await, None, "the fifth is right");
    let (sent, message) = &all[3];
    assert_eq!(recover(&harness, &code(*sent, message)).await, INVALID, "of an earlier epoch");
}

/// M4: in the limits of the account, also for an address without one; a link does not count.
async fn guesses_count_together_over_all_letters(backend: Backend) {
    let harness = Harness::with_letters(backend, |settings| {
        settings.signup = Signup::Confirmed;
        settings.account_quota = Some(Quota::per_minute(7));
        settings.account_day_quota = Some(Quota::per_day(100));
    });
    harness.user("ann", "client").await;
    let (one, other) = (asked(&harness).await, asked(&harness).await);
    for _ in 0..4 {
        assert_eq!(recover(&harness, &wrong_code(one.0, &one.1)).await, INVALID);
    }
    for _ in 0..3 {
        assert_eq!(recover(&harness, &wrong_code(other.0, &other.1)).await, INVALID);
    }
    for (sent, message) in [&one, &other] {
        let limited = recover(&harness, &code(*sent, message)).await;
        assert_eq!(limited, Some(ErrorKind::RateLimited), "a right code too");
    }
    assert_eq!(recover(&harness, &link(&one.1)).await, None);

    let sent = request_recovery(&harness, "unknown").await;
    let guess = MailAnswer::code(sent.challenge, "00000000");
    for _ in 0..5 {
        assert_eq!(recover(&harness, &guess).await, INVALID);
    }
    assert_eq!(recover(&harness, &guess).await, INVALID, "no attempt is left");
    let sent = request_recovery(&harness, "unknown").await;
    let guess = MailAnswer::code(sent.challenge, "00000000");
    assert_eq!(recover(&harness, &guess).await, INVALID);
    assert_eq!(recover(&harness, &guess).await, Some(ErrorKind::RateLimited));
}

/// A stranger knows the id of the challenge, which the request returned.
async fn a_stranger_who_asked_for_a_letter_does_not_end_its_link(backend: Backend) {
    let harness = harness(backend);
    harness.user("ann", "client").await;
    let (sent, message) = asked(&harness).await;
    let junk = format!("{}{}", sent.challenge, "0".repeat(52));
    for _ in 0..20 {
        assert_eq!(recover(&harness, &MailAnswer::link(junk.as_str())).await, INVALID);
    }
    for _ in 0..20 {
        assert_eq!(recover(&harness, &wrong_code(sent, &message)).await, INVALID);
    }
    assert_eq!(recover(&harness, &code(sent, &message)).await, INVALID, "no attempt is left");
    assert_eq!(recover(&harness, &link(&message)).await, None);
}

/// M3: of every kind of letter; a recovery and a sign-up have tests of their own.
async fn of_fifty_uses_at_once_one_succeeds(backend: Backend) {
    let harness = Arc::new(harness(backend));
    let origin = Origin::default();
    let ann = harness.member("ann", "client").await;
    harness.verify_email(ann.user.id).await;
    let bob = harness.member("bob", "client").await;
    let me = harness.principal(&ann.tokens).await;
    let goat = &harness.goat;

    goat.request_sign_in(email("ann"), &origin).await.expect("accepted");
    let answer = link(&letter(&harness, "ann").await);
    let use_it = |goat: Goat| {
        let answer = answer.clone();
        async move { goat.sign_in_by_letter(&answer, Origin::default()).await.map(drop) }
    };
    assert_one(goat, use_it).await;

    let unverified = harness.principal(&bob.tokens).await;
    goat.users().request_verification(&unverified, &origin).await.expect("accepted");
    let answer = link(&letter(&harness, "bob").await);
    let use_it = |goat: Goat| {
        let (answer, me) = (answer.clone(), unverified.clone());
        async move { goat.users().verify_email(&me, &answer, &Origin::default()).await.map(drop) }
    };
    assert_one(goat, use_it).await;

    let role = harness.role("client");
    goat.users().invite(system(), email("eve"), role, &origin).await.expect("invited");
    let invitation = token(&letter(&harness, "eve").await);
    let use_it = |goat: Goat| {
        let (token, password) = (invitation.clone(), OTHER_PASSWORD.into());
        let origin = Origin::default();
        async move { goat.accept_invitation(token, &password, &origin).await.map(drop) }
    };
    assert_one(goat, use_it).await;

    goat.users().change_email(&me, email("ann2"), PASSWORD, &origin).await.expect("accepted");
    let answer = link(&letter(&harness, "ann2").await);
    let use_it = |goat: Goat| {
        let answer = answer.clone();
        async move { goat.confirm_email_change(&answer, &Origin::default()).await }
    };
    assert_one(goat, use_it).await;

    let undo = loop {
        let message = letter(&harness, "ann").await;
        if matches!(message, Message::EmailChanged { .. }) {
            break token(&message);
        }
    };
    let use_it = |goat: Goat| {
        let undo = UndoEmail { token: undo.clone(), factor: None };
        async move { goat.undo_email_change(undo, &Origin::default()).await }
    };
    assert_one(goat, use_it).await;
}

async fn assert_one<F>(goat: &Goat, use_it: impl Fn(Goat) -> F)
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let together = Arc::new(Barrier::new(50));
    let mut uses = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (used, together) = (use_it(goat.clone()), Arc::clone(&together));
        uses.spawn(async move {
            together.wait().await;
            kind(used.await)
        });
    }
    let outcomes = uses.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_none()).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == INVALID).count(), 49, "{outcomes:?}");
}

/// M3
async fn a_letter_answers_its_own_purpose_alone(backend: Backend) {
    let harness = harness(backend);
    let ann = harness.member("ann", "client").await;
    harness.verify_email(ann.user.id).await;
    let origin = Origin::default();
    let me = harness.principal(&ann.tokens).await;
    let recovery = link(&recovery(&harness, "ann").await);
    harness.goat.request_sign_up(email("new"), &origin).await.expect("accepted");
    let sign_up = link(&letter(&harness, "new").await);
    harness.goat.request_sign_in(email("ann"), &origin).await.expect("accepted");
    let sign_in = link(&letter(&harness, "ann").await);
    let goat = &harness.goat;
    let password = OTHER_PASSWORD.into();
    for other in [&sign_up, &sign_in] {
        assert_eq!(recover(&harness, other).await, INVALID);
    }
    for other in [&recovery, &sign_in] {
        assert_eq!(kind(goat.confirm_sign_up(other, &password, &origin).await), INVALID);
    }
    for other in [&recovery, &sign_up, &sign_in] {
        assert_eq!(kind(goat.confirm_email_change(other, &origin).await), INVALID);
        assert_eq!(kind(goat.users().verify_email(&me, other, &origin).await), INVALID);
    }
    for other in [&recovery, &sign_up] {
        assert_eq!(kind(goat.sign_in_by_letter(other, origin.clone()).await), INVALID);
    }
    goat.sign_in_by_letter(&sign_in, origin.clone()).await.expect("its own");
    goat.confirm_sign_up(&sign_up, &password, &origin).await.expect("its own");
    assert_eq!(recover(&harness, &recovery).await, None, "its own");
}

async fn an_answer_of_the_wrong_form_is_a_wrong_one(backend: Backend) {
    let harness = harness(backend);
    harness.user("ann", "client").await;
    let (sent, message) = asked(&harness).await;
    let unknown = ChallengeId::generate(harness.clock.now());
    for wrong in [
        MailAnswer::link(""),
        MailAnswer::link("a".repeat(10_000)),
        MailAnswer::link(sent.challenge.to_string()),
        MailAnswer::code(sent.challenge, ""),
        MailAnswer::code(sent.challenge, "0".repeat(10_000)),
        MailAnswer::code(unknown, "00000000"),
    ] {
        assert_eq!(recover(&harness, &wrong).await, INVALID, "{wrong:?}");
    }
    assert_eq!(recover(&harness, &code(sent, &message)).await, None, "no attempt was used");
}
