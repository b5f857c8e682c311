//! Recovery of a forgotten password.

use std::sync::Arc;

use goat_core::auth::{Login, MailAnswer, Recovered};
use goat_core::courier::Message;
use goat_core::event::EventKind;
use goat_core::factor::FactorKind;
use goat_core::key::{NewKey, Scopes};
use goat_core::session::Origin;
use goat_core::testing::{Point, TestFactors};
use goat_core::{
    Clock as _, Email, ErrorKind, PageRequest, Quota, Result, Settings, Status, UserId,
};
use tokio::sync::Barrier;

use super::{INVALID, code, harness, kind, letter, letters, link, recovery, request_recovery};
use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, PASSWORD, address, email, login, on_every_store, system,
};

on_every_store!(
    a_recovery_ends_every_session_and_opens_none,
    a_recovery_leaves_the_keys_of_a_verified_address,
    the_first_recovery_leaves_no_earlier_way_in,
    a_recovery_ends_other_letters,
    an_account_that_cannot_sign_in_is_not_recovered,
    a_letter_to_an_earlier_address_recovers_nothing,
    a_letter_ends_with_the_epoch,
    a_user_with_a_factor_and_no_password_shows_a_recovery_code,
    an_administrator_starts_a_recovery,
    of_fifty_recoveries_at_once_one_succeeds,
    a_change_during_a_recovery_wins,
    a_dropped_recovery_is_whole_or_nothing,
);

async fn recover(harness: &Harness, answer: &MailAnswer) -> Result<Recovered> {
    recover_with(harness, answer, OTHER_PASSWORD, None).await
}

async fn recover_with(
    harness: &Harness,
    answer: &MailAnswer,
    password: &str,
    recovery_code: Option<&str>,
) -> Result<Recovered> {
    let (password, code) = (password.into(), recovery_code.map(Into::into));
    harness.goat.confirm_recovery(answer, &password, code, &Origin::default()).await
}

async fn key(harness: &Harness, name: &str) -> String {
    let signed_in = harness.sign_in(name).await;
    let me = harness.principal(&signed_in.tokens).await;
    let recent = harness.goat.require_recent(&me).await.expect("just signed in");
    let new = NewKey { name: "a key".into(), scopes: Scopes::Role, expires_in: None };
    let created = harness.goat.keys().create(recent, new).await.expect("a key");
    created.secret.expose().clone()
}

async fn is_live(harness: &Harness, credential: &str) -> bool {
    harness.goat.authenticate_token(credential).await.is_ok()
}

/// M7: the password of the sessions is gone, the new one signs in, and the limits of the account are reset.
async fn a_recovery_ends_every_session_and_opens_none(backend: Backend) {
    let harness = Harness::with_letters(backend, |settings| {
        settings.account_quota = Some(Quota::per_minute(3));
        settings.account_day_quota = Some(Quota::per_day(5));
    });
    let ann = harness.member("ann", "client").await;
    harness.verify_email(ann.user.id).await;
    let sent = request_recovery(&harness, "ann").await;
    let ttl = Settings::default().recovery_ttl;
    assert_eq!(sent.expires_at, harness.clock.now() + ttl);
    let message = letter(&harness, "ann").await;
    assert!(matches!(message, Message::ResetPassword { needs_recovery_code: false, .. }));
    // Strangers exhaust the limits of the account.
    for _ in 0..9 {
        login(&harness.goat, address("ann"), "a guess").await.expect_err("wrong");
    }
    let throttled = login(&harness.goat, address("ann"), PASSWORD).await;
    assert_eq!(kind(throttled), Some(ErrorKind::RateLimited));
    let typed = recover(&harness, &code(sent, &message)).await;
    assert_eq!(kind(typed), Some(ErrorKind::RateLimited), "a typed code counts as well");

    drop(harness.events.take());
    let recovered = recover(&harness, &link(&message)).await.expect("a link does not count");
    assert!(!is_live(&harness, ann.tokens.access_token.expose()).await);
    let kinds = harness.events.take_kinds();
    assert_eq!(kinds, [EventKind::SessionsRevoked(1), EventKind::PasswordRecovered]);
    let account = harness.stores.users.by_id(ann.user.id).await.expect("the store responds");
    let (epoch, now) = (account.expect("a user").epoch, harness.clock.now());
    let page = PageRequest::default();
    let sessions = harness.stores.sessions.list(ann.user.id, epoch, now, page).await;
    assert!(sessions.is_ok_and(|page| page.items.is_empty()), "no session was opened");
    let notice = letter(&harness, "ann").await;
    assert!(matches!(notice, Message::PasswordChanged { keys: 0, .. }), "{notice:?}");
    login(&harness.goat, address("ann"), OTHER_PASSWORD).await.expect("the new password");
    for _ in 0..9 {
        login(&harness.goat, address("ann"), "a guess").await.expect_err("wrong");
    }
    let throttled = login(&harness.goat, address("ann"), OTHER_PASSWORD).await;
    assert_eq!(kind(throttled), Some(ErrorKind::RateLimited));
    let request = Login {
        device_token: Some(recovered.device_token),
        ..Login::new(address("ann"), OTHER_PASSWORD, Origin::default())
    };
    harness.goat.login(request).await.expect("the device has limits of its own");
}

/// M7: factors and keys stay, and the letter names them.
async fn a_recovery_leaves_the_keys_of_a_verified_address(backend: Backend) {
    let harness = harness(backend);
    let ann = harness.user("ann", "client").await.id;
    let verified_at = harness.verify_email(ann).await;
    let key = key(&harness, "ann").await;
    harness.factors.enrol(ann, FactorKind::Totp, harness.clock.now());
    let message = recovery(&harness, "ann").await;
    harness.advance(1);
    let recovered = recover(&harness, &link(&message)).await.expect("the right answer");
    assert_eq!(recovered.user.email_verified_at, Some(verified_at), "the first time stays");
    assert!(is_live(&harness, &key).await);
    let refused = harness.try_sign_in("ann").await;
    assert_eq!(kind(refused), Some(ErrorKind::InvalidCredentials));
    let refused = login(&harness.goat, address("ann"), OTHER_PASSWORD).await;
    assert_eq!(kind(refused), Some(ErrorKind::SecondFactorRequired));
    let notice = loop {
        let message = letter(&harness, "ann").await;
        if matches!(message, Message::PasswordChanged { .. }) {
            break message;
        }
    };
    let Message::PasswordChanged { factors, keys, .. } = notice else { unreachable!() };
    assert_eq!((factors, keys), (vec![FactorKind::Totp], 1));
}

/// M8: a stranger signed up with the address before its owner.
async fn the_first_recovery_leaves_no_earlier_way_in(backend: Backend) {
    let harness = harness(backend);
    let stranger = harness.member("ann", "client").await;
    let key = key(&harness, "ann").await;
    assert!(is_live(&harness, &key).await);
    let recovered = recover(&harness, &link(&recovery(&harness, "ann").await)).await;
    let user = recovered.expect("the right answer").user;
    assert_eq!(user.email_verified_at, Some(harness.clock.now()));
    assert!(!is_live(&harness, &key).await);
    assert!(!is_live(&harness, stranger.tokens.access_token.expose()).await);
    assert_eq!(kind(harness.try_sign_in("ann").await), Some(ErrorKind::InvalidCredentials));
    let kinds = harness.events.take_kinds();
    assert!(kinds.contains(&EventKind::KeysRevoked(1)), "{kinds:?}");
}

/// M7
async fn a_recovery_ends_other_letters(backend: Backend) {
    let harness = harness(backend);
    let ann = harness.user("ann", "client").await.id;
    harness.verify_email(ann).await;
    let (one, other) = (recovery(&harness, "ann").await, recovery(&harness, "ann").await);
    harness.goat.request_sign_in(email("ann"), &Origin::default()).await.expect("accepted");
    let sign_in = letter(&harness, "ann").await;
    recover(&harness, &link(&one)).await.expect("the right answer");
    assert_eq!(kind(recover(&harness, &link(&other)).await), INVALID);
    let refused = harness.goat.sign_in_by_letter(&link(&sign_in), Origin::default()).await;
    assert_eq!(kind(refused), INVALID);
}

async fn an_account_that_cannot_sign_in_is_not_recovered(backend: Backend) {
    let harness = harness(backend);
    let ann = harness.user("ann", "client").await.id;
    let early = recovery(&harness, "ann").await;
    let users = harness.goat.users();
    users.change_status(system(), ann, Status::Suspended).await.expect("suspended");
    assert_eq!(kind(recover(&harness, &link(&early)).await), INVALID);
    assert!(matches!(recovery(&harness, "ann").await, Message::NothingToReset));
    users.change_status(system(), ann, Status::Active).await.expect("active");
    assert_eq!(kind(recover(&harness, &link(&early)).await), INVALID, "from before");
    recover(&harness, &link(&recovery(&harness, "ann").await)).await.expect("recovered");
}

async fn a_letter_to_an_earlier_address_recovers_nothing(backend: Backend) {
    let harness = harness(backend);
    let ann = harness.user("ann", "client").await.id;
    let early = recovery(&harness, "ann").await;
    let update = goat_core::user::UserUpdate { email: Some(email("ann2")), password: None };
    harness.goat.users().update(system(), ann, update).await.expect("changed");
    assert_eq!(kind(recover(&harness, &link(&early)).await), INVALID);
    harness.try_sign_in("ann2").await.expect("the password is the old one");
}

async fn a_letter_ends_with_the_epoch(backend: Backend) {
    let harness = harness(backend);
    let ann = harness.member("ann", "client").await.user.id;
    let early = recovery(&harness, "ann").await;
    harness.goat.sessions().revoke_all_of(system(), ann).await.expect("ended");
    assert_eq!(kind(recover(&harness, &link(&early)).await), INVALID);
    harness.goat.users().delete(system(), ann).await.expect("deleted");
    assert_eq!(kind(recover(&harness, &link(&early)).await), INVALID);
}

async fn a_user_with_a_factor_and_no_password_shows_a_recovery_code(backend: Backend) {
    let harness = harness(backend);
    let ann = harness.user("ann", "client").await.id;
    harness.store_hash(ann, "!").await;
    harness.factors.enrol(ann, FactorKind::Totp, harness.clock.now());
    let message = recovery(&harness, "ann").await;
    assert!(matches!(message, Message::ResetPassword { needs_recovery_code: true, .. }));
    let answer = link(&message);
    let missing = recover(&harness, &answer).await.expect_err("no recovery code");
    assert_eq!(missing.kind(), ErrorKind::Invalid);
    assert_eq!(missing.violations()[0].field, "recovery_code");
    let wrong = recover_with(&harness, &answer, OTHER_PASSWORD, Some("WRONG")).await;
    assert_eq!(kind(wrong), INVALID);
    let code = Some(TestFactors::RECOVERY_CODE);
    recover_with(&harness, &answer, OTHER_PASSWORD, code).await.expect("both are right");
    harness.store_hash(ann, "!").await;
    let answer = link(&recovery(&harness, "ann").await);
    for _ in 0..5 {
        let wrong = recover_with(&harness, &answer, OTHER_PASSWORD, Some("WRONG")).await;
        assert_eq!(kind(wrong), INVALID);
    }
    let late = recover_with(&harness, &answer, OTHER_PASSWORD, code).await;
    assert_eq!(kind(late), INVALID, "guesses at a recovery code use the attempts");
}

/// M12
async fn an_administrator_starts_a_recovery(backend: Backend) {
    let harness = harness(backend);
    let ann = harness.user("ann", "client").await.id;
    let boss = harness.member("boss", "operator").await;
    let (users, origin) = (harness.goat.users(), Origin::default());
    users.start_recovery(harness.actor(&boss.tokens).await, ann, &origin).await.expect("sent");
    let message = letter(&harness, "ann").await;
    recover(&harness, &link(&message)).await.expect("the user answers");
    let own = users.start_recovery(harness.actor(&boss.tokens).await, boss.user.id, &origin).await;
    assert_eq!(kind(own), Some(ErrorKind::Outranked));
    let client = login(&harness.goat, address("ann"), OTHER_PASSWORD).await.expect("signed in");
    let actor = harness.actor(&client.tokens).await;
    let refused = users.start_recovery(actor, boss.user.id, &origin).await;
    assert_eq!(kind(refused), Some(ErrorKind::Forbidden));
    let missing = UserId::generate(harness.clock.now());
    let actor = harness.actor(&boss.tokens).await;
    assert_eq!(
        kind(users.start_recovery(actor, missing, &origin).await),
        Some(ErrorKind::NotFound)
    );
}

/// M3
async fn of_fifty_recoveries_at_once_one_succeeds(backend: Backend) {
    let harness = Arc::new(harness(backend));
    harness.user("ann", "client").await;
    let answer = link(&recovery(&harness, "ann").await);
    let together = Arc::new(Barrier::new(50));
    let mut answers = tokio::task::JoinSet::new();
    for number in 0..50 {
        let (harness, answer, together) =
            (Arc::clone(&harness), answer.clone(), Arc::clone(&together));
        answers.spawn(async move {
            together.wait().await;
            let password = format!("{OTHER_PASSWORD} {number}");
            (recover_with(&harness, &answer, &password, None).await.is_ok(), password)
        });
    }
    let recovered: Vec<_> =
        answers.join_all().await.into_iter().filter(|(is_ok, _)| *is_ok).collect();
    let [(_, password)] = recovered.as_slice() else { panic!("{recovered:?}") };
    login(&harness.goat, address("ann"), password).await.expect("its password is in force");
}

/// G3: if the letters of a user end while a recovery waits for a store, the recovery changes nothing.
async fn a_change_during_a_recovery_wins(backend: Backend) {
    let harness = Arc::new(harness(backend));
    let ann = harness.user("ann", "client").await.id;
    harness.verify_email(ann).await;
    let message = recovery(&harness, "ann").await;
    drop(harness.failpoints.take_calls());
    recover(&harness, &link(&message)).await.expect("the right answer");
    let calls = harness.failpoints.take_calls();
    let before_write = calls.iter().position(|call| *call == "users.write").expect("a write");
    assert!(before_write >= 3, "{calls:?}");
    for (index, call) in calls[..=before_write].iter().enumerate() {
        let message = recovery(&harness, "ann").await;
        let nth = calls[..index].iter().filter(|earlier| *earlier == call).count();
        assert_eq!(nth, 0, "the first call of its name is held: {calls:?}");
        let held = harness.failpoints.hold(call, Point::Entry);
        let recovering = tokio::spawn({
            let (harness, answer) = (Arc::clone(&harness), link(&message));
            async move { kind(recover_with(&harness, &answer, PASSWORD, None).await) }
        });
        held.reached().await;
        // By another node, which is not held.
        harness.second_node().sessions().revoke_all_of(system(), ann).await.expect("ended");
        held.release();
        assert_eq!(recovering.await.expect("no panic"), INVALID, "{call}");
        login(&harness.goat, address("ann"), OTHER_PASSWORD).await.expect("unchanged");
    }
}

/// At each call of a store the client disconnects: either nothing changed and the letter still works, or the
/// recovery is complete.
async fn a_dropped_recovery_is_whole_or_nothing(backend: Backend) {
    let harness = Arc::new(harness(backend));
    let ann = harness.user("ann", "client").await.id;
    harness.verify_email(ann).await;
    let first = recovery(&harness, "ann").await;
    drop(harness.failpoints.take_calls());
    recover(&harness, &link(&first)).await.expect("the right answer");
    let mut calls = harness.failpoints.take_calls();
    calls.dedup();
    let mut current = OTHER_PASSWORD.to_owned();
    for (index, call) in calls.iter().enumerate().filter(|(_, call)| !call.starts_with("keys")) {
        if calls[..index].contains(call) {
            continue;
        }
        let session = login(&harness.goat, address("ann"), &current).await.expect("signed in");
        let message = recovery(&harness, "ann").await;
        let next = format!("another long password {index}");
        let held = harness.failpoints.hold(call, Point::Entry);
        let recovering = tokio::spawn({
            let (harness, answer, next) = (Arc::clone(&harness), link(&message), next.clone());
            async move { recover_with(&harness, &answer, &next, None).await.map(drop) }
        });
        held.reached().await;
        recovering.abort();
        drop(recovering.await);
        held.release();
        let is_taken = !matches!(*call, "challenges.find" | "challenges.attempt" | "users.by_id");
        if is_taken {
            harness.events.wait_for(|kind| *kind == EventKind::PasswordRecovered).await;
            drop(harness.events.take());
            current = next;
        } else {
            assert!(is_live(&harness, session.tokens.access_token.expose()).await, "{call}");
            recover_with(&harness, &link(&message), &next, None).await.expect("it still works");
            drop(harness.events.take());
            current = next;
        }
        assert!(!is_live(&harness, session.tokens.access_token.expose()).await, "{call}");
        login(&harness.goat, address("ann"), &current).await.expect("the new password");
    }
}

/// M1: no letter to an address without an account, nor to that of a service account.
#[tokio::test]
async fn strangers_receive_no_letter() {
    let harness = harness(Backend::memory());
    let name = goat_core::user::ServiceName::parse("backup").expect("a name");
    let role = harness.role("client");
    let new = goat_core::user::NewService { name, role };
    harness.goat.users().create_service(system(), new).await.expect("a service account");
    harness.user("ann", "client").await;
    for unknown in ["eve@example.org", "backup@service.invalid"] {
        let email = Email::parse(unknown).expect("an address");
        let sent =
            harness.goat.request_recovery(email, &Origin::default()).await.expect("accepted");
        let guess = MailAnswer::code(sent.challenge, "00000000");
        assert_eq!(kind(recover(&harness, &guess).await), INVALID);
    }
    // The letters of earlier requests come first.
    let message = recovery(&harness, "ann").await;
    assert!(matches!(message, Message::ResetPassword { .. }));
    assert!(letters(&harness).take().is_empty());
}
