//! Second factors: sign-ins that stop for them, their answers, and what they prove.

use std::net::IpAddr;
use std::time::Duration;

use goat_core::auth::{Assurance, Login, Method, MethodName, Methods, SignedIn, StepUp, Vouch};
use goat_core::event::{EventActor, EventKind};
use goat_core::factor::{Answer, FactorKind, PendingSignIn, SignInChallenge};
use goat_core::session::{Origin, Session};
use goat_core::testing::{Point, TestFactors};
use goat_core::{
    ChallengeId, Clock as _, Error, ErrorKind, PageRequest, Principal, Quota, Result, UserId,
};

use crate::flows::proofs::Change;
use crate::flows::support::{Backend, Harness, Outcome, PASSWORD, address, on_every_store, system};

on_every_store!(
    a_factor_in_force_stops_a_single_proof,
    a_factor_store_that_does_not_answer_opens_no_session,
    with_a_factor_only_a_proof_of_several_factors_is_recent,
    an_answer_completes_the_sign_in,
    a_pending_sign_in_is_no_session,
    a_pending_sign_in_ends,
    a_pending_sign_in_takes_five_answers,
    the_newest_five_of_a_user_can_be_answered,
    of_two_answers_at_once_one_opens_a_session,
    a_dropped_answer_opens_one_session_at_most,
    a_pending_sign_in_opens_nothing_after_the_end_of_all_sessions,
    answers_count_in_the_limits_of_the_account,
    answers_count_in_the_limits_of_the_device,
    an_answer_makes_a_session_one_of_several_factors,
    a_wrong_answer_of_a_step_up_changes_nothing,
);

const FIVE_MINUTES: u64 = 300;
const TEN_MINUTES: u64 = 600;

pub(crate) fn code() -> Answer {
    Answer::Totp(TestFactors::CODE.into())
}

fn wrong_code() -> Answer {
    Answer::Totp("000000".into())
}

fn from() -> IpAddr {
    "192.0.2.7".parse().expect("an address")
}

async fn enrolled(harness: &Harness, name: &str) -> UserId {
    let user = harness.user(name, "client").await.id;
    harness.factors.enrol(user, FactorKind::Totp, harness.clock.now());
    user
}

fn login(name: &str) -> Login {
    let origin =
        Origin { address: Some(from()), device: Some("kiosk".to_owned()), ..Origin::default() };
    Login::new(address(name), PASSWORD, origin)
}

fn pending(error: &Error) -> PendingSignIn {
    assert_eq!(error.kind(), ErrorKind::SecondFactorRequired);
    error.pending().expect("a pending sign-in").clone()
}

/// Shows the right password of a user with a factor.
pub(crate) async fn hold(harness: &Harness, name: &str) -> PendingSignIn {
    pending(&harness.goat.login(login(name)).await.expect_err("a factor is in force"))
}

async fn answer(harness: &Harness, pending: &PendingSignIn, answer: Answer) -> Result<SignedIn> {
    Ok(harness.goat.answer(pending, answer, &Origin::default()).await?.value)
}

async fn current(harness: &Harness, me: &Principal) -> Session {
    let page = harness.goat.sessions().list(me, PageRequest::default()).await;
    page.expect("the store responds").items.remove(0)
}

/// G1, G7: a password, a statement of the application, and one of an operator's system.
async fn a_factor_in_force_stops_a_single_proof(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = enrolled(&harness, "ann").await;
    drop(harness.events.take());
    let goat = &harness.goat;
    let (ldap, origin) =
        (Vouch::single("ldap"), Origin { address: Some(from()), ..Origin::default() });
    let proof = goat.vouch(ann, ldap.clone()).await.expect("a proof");
    let errors = [
        goat.login(login("ann")).await.expect_err("one factor"),
        goat.open_session(proof, origin.clone()).await.expect_err("one factor"),
        goat.sessions().open(system(), ann, ldap, origin).await.expect_err("one factor"),
    ];
    for error in &errors {
        let pending = pending(error);
        assert_eq!(pending.methods(), [Method::Totp, Method::RecoveryCode]);
        assert!(pending.enrol().is_empty());
        assert_eq!(pending.expires_at(), harness.clock.now() + Duration::from_secs(TEN_MINUTES));
        assert!(!format!("{error:?}").contains(pending.secret().expose()));
    }
    let events = harness.events.take();
    let system = EventActor::System("a test".to_owned());
    let by =
        [("password", EventActor::Anonymous), ("ldap", EventActor::Anonymous), ("ldap", system)];
    assert_eq!(events.len(), by.len());
    for (event, (method, actor)) in events.into_iter().zip(by) {
        assert_eq!((event.kind, event.actor), (EventKind::SignInPending, actor));
        assert_eq!((event.user, event.address), (Some(ann), Some(from())));
        assert_eq!(event.method, Some(MethodName::new(method)));
    }
    let wrong = goat.login(Login::new(address("ann"), "wrong", Origin::default())).await;
    assert_eq!(wrong.kind(), Some(ErrorKind::InvalidCredentials), "no word of the factor");
    let proof = goat.vouch(ann, Vouch::multi("smartcard")).await.expect("a proof");
    goat.open_session(proof, Origin::default()).await.expect("it is multi by itself");
}

/// G1
async fn a_factor_store_that_does_not_answer_opens_no_session(backend: Backend) {
    let harness = Harness::on(backend);
    harness.user("ann", "client").await;
    harness.failpoints.fail("factors.of", Point::Entry);
    assert_eq!(harness.goat.login(login("ann")).await.kind(), Some(ErrorKind::Unavailable));
}

/// G6
async fn with_a_factor_only_a_proof_of_several_factors_is_recent(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "client").await;
    let me = harness.principal(&ann.tokens).await;
    harness.goat.require_recent(&me).await.expect("the login is recent");
    harness.factors.enrol(ann.user.id, FactorKind::Totp, harness.clock.now());
    let error = harness.goat.require_recent(&me).await.expect_err("one factor");
    assert!(error.required_proof().expect("a proof").multi);
    let users = harness.goat.users();
    let deleted = users.delete_self(&me, PASSWORD).await;
    assert_eq!(deleted.kind(), Some(ErrorKind::StepUpRequired), "in place of a password");
    let proof = harness.goat.vouch(ann.user.id, Vouch::multi("smartcard")).await.expect("a proof");
    let multi = harness.goat.open_session(proof, Origin::default()).await.expect("a session");
    let me = harness.principal(&multi.tokens).await;
    harness.goat.require_recent(&me).await.expect("several factors");
    users.delete_self(&me, PASSWORD).await.expect("deleted");
}

/// G1: the session has both methods, the time of the answer, and the device of the login.
async fn an_answer_completes_the_sign_in(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = enrolled(&harness, "ann").await;
    for (answered, method) in [
        (code(), Method::Totp),
        (Answer::RecoveryCode(TestFactors::RECOVERY_CODE.into()), Method::RecoveryCode),
    ] {
        let pending = hold(&harness, "ann").await;
        harness.advance(30);
        drop(harness.events.take());
        let at = harness.clock.now();
        let signed_in = answer(&harness, &pending, answered).await.expect("the right answer");
        assert_eq!(signed_in.user.id, ann);
        let me = harness.principal(&signed_in.tokens).await;
        harness.goat.require_recent(&me).await.expect("just proven");
        let session = current(&harness, &me).await;
        assert_eq!(session.methods, Methods::of(Method::Password).with(method));
        assert_eq!((session.created_at, session.authenticated_at), (at, at));
        assert_eq!((session.multi_at, me.assurance()), (Some(at), Some(Assurance::Multi)));
        assert_eq!((session.device.as_str(), session.address), ("kiosk", Some(from())));
        let verifier = harness.verifier();
        let claims = verifier.verify(signed_in.tokens.access_token.expose()).expect("valid");
        assert_eq!(claims.acr(), Some(Assurance::Multi));
        assert_eq!(claims.amr(), ["mfa", "otp", "pwd"]);
        let events = harness.events.take();
        assert_eq!((events.len(), &events[0].kind), (1, &EventKind::SignedIn));
        assert_eq!(events[0].method, Some(MethodName::new("password")));
        let again = answer(&harness, &pending, code()).await;
        assert_eq!(again.kind(), Some(ErrorKind::InvalidChallenge), "it is answered");
        harness.logout(&signed_in.tokens).await;
    }
}

/// G2
async fn a_pending_sign_in_is_no_session(backend: Backend) {
    let harness = Harness::on(backend);
    enrolled(&harness, "ann").await;
    let pending = hold(&harness, "ann").await;
    for text in [pending.secret().expose().clone(), pending.challenge().to_string()] {
        let refused = harness.goat.authenticate_token(&text).await;
        assert_eq!(refused.kind(), Some(ErrorKind::InvalidToken));
        let refused = harness.goat.refresh(&text.into(), &Origin::default()).await;
        assert_eq!(refused.kind(), Some(ErrorKind::InvalidToken));
    }
    answer(&harness, &pending, code()).await.expect("nothing was used up");
}

/// G2: after ten minutes, with the epoch, and with the user.
async fn a_pending_sign_in_ends(backend: Backend) {
    let harness = Harness::on(backend);
    let invalid = Some(ErrorKind::InvalidChallenge);
    enrolled(&harness, "ann").await;
    for (seconds, expected) in [(TEN_MINUTES - 1, None), (TEN_MINUTES, invalid)] {
        let pending = hold(&harness, "ann").await;
        harness.advance(seconds);
        assert_eq!(answer(&harness, &pending, code()).await.kind(), expected, "{seconds}");
    }
    for (number, change) in Change::ALL.into_iter().enumerate() {
        let name = format!("user{number}");
        let user = harness.user(&name, "client").await.id;
        let me = harness.principal(&harness.sign_in(&name).await.tokens).await;
        harness.factors.enrol(user, FactorKind::Totp, harness.clock.now());
        let pending = hold(&harness, &name).await;
        change.perform(&harness, user, &me).await;
        assert_eq!(answer(&harness, &pending, code()).await.kind(), invalid, "{change:?}");
    }
}

/// G2: wrong secrets and wrong answers alike; which of them was wrong does not show.
async fn a_pending_sign_in_takes_five_answers(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = enrolled(&harness, "ann").await;
    let (first, second) = (hold(&harness, "ann").await, hold(&harness, "ann").await);
    let other = SignInChallenge { id: first.challenge(), secret: second.secret().clone() };
    let unknown = SignInChallenge {
        id: ChallengeId::generate(harness.clock.now()),
        secret: first.secret().clone(),
    };
    drop(harness.events.take());
    let of_first = || SignInChallenge::from(&first);
    let recovery = || Answer::RecoveryCode("wrong".into());
    for (presented, answer, user) in [
        (unknown, code(), None),
        (of_first(), wrong_code(), Some(ann)),
        (of_first(), recovery(), Some(ann)),
        (other.clone(), code(), Some(ann)),
        (other.clone(), wrong_code(), Some(ann)),
        (other, code(), Some(ann)),
        (of_first(), code(), Some(ann)),
    ] {
        let failed = harness.goat.answer(presented, answer, &Origin::default()).await;
        let failed = failed.expect_err("a wrong one");
        assert_eq!(failed.kind(), ErrorKind::InvalidChallenge);
        assert_eq!(failed.client_message(), ErrorKind::InvalidChallenge.sentence());
        let events = harness.events.take();
        let kind = EventKind::SignInFailed(ErrorKind::InvalidChallenge);
        assert_eq!((events.len(), &events[0].kind, events[0].user), (1, &kind, user));
    }
    answer(&harness, &second, code()).await.expect("another one is not affected");
}

/// G2
async fn the_newest_five_of_a_user_can_be_answered(backend: Backend) {
    let harness = Harness::on(backend);
    enrolled(&harness, "ann").await;
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(hold(&harness, "ann").await);
        harness.advance(1);
    }
    let mut answered = Vec::new();
    for pending in &held {
        answered.push(answer(&harness, pending, code()).await.is_ok());
    }
    assert_eq!(answered, [false, true, true, true, true, true]);
}

/// G2: by a barrier before the one that takes it, and by many at once.
async fn of_two_answers_at_once_one_opens_a_session(backend: Backend) {
    let harness = Harness::on(backend);
    enrolled(&harness, "ann").await;
    let pending = hold(&harness, "ann").await;
    let held = harness.failpoints.hold("challenges.take", Point::Entry);
    let spawn = |pending: &PendingSignIn| {
        let (goat, pending) = (harness.goat.clone(), pending.clone());
        tokio::spawn(async move { goat.answer(&pending, code(), &Origin::default()).await })
    };
    let slow = spawn(&pending);
    held.reached().await;
    answer(&harness, &pending, code()).await.expect("the first that takes it");
    held.release();
    assert_eq!(slow.await.expect("no panic").kind(), Some(ErrorKind::InvalidChallenge));

    let pending = hold(&harness, "ann").await;
    let all: Vec<_> = (0..5).map(|_| spawn(&pending)).collect();
    let mut opened = 0;
    for answering in all {
        match answering.await.expect("no panic") {
            Ok(_) => opened += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidChallenge),
        }
    }
    assert_eq!(opened, 1);
}

/// G3: at every store call of the answer, before and after it.
async fn a_pending_sign_in_opens_nothing_after_the_end_of_all_sessions(backend: Backend) {
    let harness = Harness::on(backend);
    enrolled(&harness, "rehearsal").await;
    let pending = hold(&harness, "rehearsal").await;
    drop(harness.failpoints.take_calls());
    answer(&harness, &pending, code()).await.expect("a session");
    let mut calls = harness.failpoints.take_calls();
    calls.retain(|call| *call != "roles.load");
    for call in ["challenges.find", "challenges.attempt", "challenges.take", "sessions.create"] {
        assert!(calls.contains(&call), "{calls:?}");
    }
    let mut number = 0;
    for (call, point) in calls.iter().flat_map(|call| Point::ALL.map(|point| (*call, point))) {
        for change in Change::ALL {
            let case = format!("{change:?} at {call} {point:?}");
            number += 1;
            let name = format!("user{number}");
            let user = harness.user(&name, "client").await.id;
            let me = harness.principal(&harness.sign_in(&name).await.tokens).await;
            harness.factors.enrol(user, FactorKind::Totp, harness.clock.now());
            let pending = hold(&harness, &name).await;
            let held = harness.failpoints.hold(call, point);
            let goat = harness.goat.clone();
            let answering =
                tokio::spawn(
                    async move { goat.answer(&pending, code(), &Origin::default()).await },
                );
            held.reached().await;
            change.perform(&harness, user, &me).await;
            held.release();
            match answering.await.expect("no panic") {
                Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidChallenge, "{case}"),
                Ok(signed_in) => {
                    let is_last = call == "sessions.create"
                        || (call, point) == ("users.signed_in", Point::Return);
                    assert!(is_last, "{case}: no read of the user follows");
                    let (tokens, refused) =
                        (&signed_in.value.tokens, Some(ErrorKind::SessionRevoked));
                    assert_eq!(harness.authenticate(tokens).await.kind(), refused, "{case}");
                    assert_eq!(harness.refresh(tokens).await.kind(), refused, "{case}");
                }
            }
        }
    }
}

/// G2: an answer that is dropped at a store call, before or after it, leaves the sign-in pending, or has
/// answered it; a second session opens in neither case.
async fn a_dropped_answer_opens_one_session_at_most(backend: Backend) {
    let harness = Harness::on(backend);
    enrolled(&harness, "rehearsal").await;
    let pending = hold(&harness, "rehearsal").await;
    drop(harness.failpoints.take_calls());
    answer(&harness, &pending, code()).await.expect("a session");
    let mut calls = harness.failpoints.take_calls();
    calls.retain(|call| *call != "roles.load");
    let takes = calls.iter().position(|call| *call == "challenges.take").expect("it is taken");
    for (place, call) in calls.iter().enumerate() {
        for point in Point::ALL {
            let case = format!("{call} {point:?}");
            let name = format!("user{place}{point:?}").to_lowercase();
            let user = enrolled(&harness, &name).await;
            let pending = hold(&harness, &name).await;
            let held = harness.failpoints.hold(call, point);
            let (goat, first) = (harness.goat.clone(), pending.clone());
            let dropped =
                tokio::spawn(async move { goat.answer(&first, code(), &Origin::default()).await });
            held.reached().await;
            dropped.abort();
            assert!(dropped.await.is_err(), "{case}");
            held.release();
            let again = answer(&harness, &pending, code()).await;
            let is_pending = place < takes || (place == takes && point == Point::Entry);
            assert_eq!(again.is_ok(), is_pending, "{case}");
            let proof = harness.goat.vouch(user, Vouch::multi("smartcard")).await;
            let other = harness.goat.open_session(proof.expect("a proof"), Origin::default()).await;
            let me = harness.principal(&other.expect("a session").tokens).await;
            let page = harness.goat.sessions().list(&me, PageRequest::default()).await;
            assert!(page.expect("the store responds").items.len() <= 2, "{case}");
        }
    }
}

/// D2, G2: also over several pending sign-ins; a right password alone gives no attempt back.
async fn answers_count_in_the_limits_of_the_account(backend: Backend) {
    let harness = Harness::with(backend, |settings| {
        settings.account_day_quota = Some(Quota::per_day(6));
    });
    let ann = enrolled(&harness, "ann").await;
    for answers in [2, 1] {
        let pending = hold(&harness, "ann").await;
        for _ in 0..answers {
            let wrong = answer(&harness, &pending, wrong_code()).await;
            assert_eq!(wrong.kind(), Some(ErrorKind::InvalidChallenge));
        }
    }
    let pending = hold(&harness, "ann").await;
    drop(harness.events.take());
    let limited = answer(&harness, &pending, code()).await.expect_err("the seventh");
    assert_eq!(limited.kind(), ErrorKind::RateLimited);
    assert_eq!(limited.decisions()[0].limit, "account-day");
    assert_eq!(harness.events.take_kinds(), [EventKind::Limited("account-day".to_owned())]);
    let limited = harness.goat.login(login("ann")).await;
    assert_eq!(limited.kind(), Some(ErrorKind::RateLimited), "one bucket for both");

    // An answer by another way of signing in counts nothing here; a completed sign-in resets the day.
    let proof = harness.goat.vouch(ann, Vouch::single("ldap")).await.expect("a proof");
    let vouched = pending_of(harness.goat.open_session(proof, Origin::default()).await);
    answer(&harness, &vouched, code()).await.expect("not limited");
    answer(&harness, &pending, code()).await.expect("the day began anew");
}

fn pending_of<T: std::fmt::Debug>(result: Result<T>) -> PendingSignIn {
    pending(&result.expect_err("a factor is in force"))
}

/// B12, D2: the owner's device has limits of its own, which a stranger's attempts on the account do not use.
async fn answers_count_in_the_limits_of_the_device(backend: Backend) {
    let harness = Harness::with(backend, |settings| {
        settings.account_quota = Some(Quota::per_minute(2));
    });
    let user = harness.user("ann", "client").await.id;
    let device_token = harness.sign_in("ann").await.device_token;
    harness.factors.enrol(user, FactorKind::Totp, harness.clock.now());
    let by_device = || Login { device_token: Some(device_token.clone()), ..login("ann") };
    let mut pending = pending_of(harness.goat.login(by_device()).await);
    let _ = harness.goat.login(Login::new(address("ann"), "wrong", Origin::default())).await;
    let limited = harness.goat.login(login("ann")).await;
    assert_eq!(limited.kind(), Some(ErrorKind::RateLimited), "a stranger used up the account");
    let wrong = harness.goat.answer(&pending, wrong_code(), &Origin::default()).await;
    let wrong = wrong.expect_err("a wrong code");
    let limits: Vec<_> = wrong.decisions().iter().map(|decision| &*decision.limit).collect();
    assert_eq!(limits, ["device", "device-day"]);
    // Ten a minute: two are used.
    for _ in 2..9 {
        pending = pending_of(harness.goat.login(by_device()).await);
    }
    answer(&harness, &pending, code()).await.expect("the tenth");
    let limited = harness.goat.login(by_device()).await.expect_err("the eleventh");
    assert_eq!(
        (limited.kind(), &*limited.decisions()[0].limit),
        (ErrorKind::RateLimited, "device")
    );
}

/// G4, G5: the session already holds a first proof.
async fn an_answer_makes_a_session_one_of_several_factors(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "client").await;
    harness.factors.enrol(ann.user.id, FactorKind::Totp, harness.clock.now());
    harness.advance(FIVE_MINUTES + 1);
    let tokens = harness.refresh(&ann.tokens).await.expect("live").tokens;
    let me = harness.principal(&tokens).await;
    let before = current(&harness, &me).await;
    drop(harness.events.take());
    let next = harness.goat.step_up(&me, StepUp::Factor(code()), &Origin::default()).await;
    let next = next.expect("the right code").value.tokens;
    let at = harness.clock.now();
    let me = harness.principal(&next).await;
    harness.goat.require_recent(&me).await.expect("just proven");
    let after = current(&harness, &me).await;
    assert_eq!(after.methods, Methods::of(Method::Password).with(Method::Totp));
    assert_eq!((after.authenticated_at, after.multi_at), (at, Some(at)));
    assert_eq!((after.created_at, after.ends_at), (before.created_at, before.ends_at));
    let revoked = Some(ErrorKind::SessionRevoked);
    assert_eq!(harness.authenticate(&tokens).await.kind(), revoked);
    let events = harness.events.take();
    assert_eq!((events.len(), &events[0].kind), (1, &EventKind::SteppedUp));
    assert_eq!(events[0].method, Some(MethodName::new("totp")));
    // A password alone renews nothing of it.
    harness.advance(FIVE_MINUTES + 1);
    let tokens = harness.refresh(&next).await.expect("live").tokens;
    let me = harness.principal(&tokens).await;
    let by_password = StepUp::Password(PASSWORD.into());
    let next = harness.goat.step_up(&me, by_password, &Origin::default()).await.expect("right");
    let me = harness.principal(&next.value.tokens).await;
    let required = Some(ErrorKind::StepUpRequired);
    assert_eq!(harness.goat.require_recent(&me).await.kind(), required);
}

/// G5: neither does the code of another user's factor, or one that is not in force.
async fn a_wrong_answer_of_a_step_up_changes_nothing(backend: Backend) {
    let harness = Harness::on(backend);
    let ann = harness.member("ann", "client").await;
    let ben = harness.member("ben", "client").await;
    harness.factors.enrol(ann.user.id, FactorKind::SecurityKey, harness.clock.now());
    harness.factors.enrol(ben.user.id, FactorKind::Totp, harness.clock.now());
    let me = harness.principal(&ann.tokens).await;
    drop(harness.events.take());
    for answer in [code(), wrong_code(), Answer::RecoveryCode("wrong".into())] {
        let method = MethodName::from(answer.method());
        let origin = Origin { address: Some(from()), ..Origin::default() };
        let failed = harness.goat.step_up(&me, StepUp::Factor(answer), &origin).await;
        assert_eq!(failed.kind(), Some(ErrorKind::WrongCode));
        let event = harness.events.take().remove(0);
        assert_eq!((event.kind, event.user), (EventKind::WrongCode, Some(ann.user.id)));
        assert_eq!((event.method, event.address), (Some(method), Some(from())));
    }
    assert_eq!(current(&harness, &me).await.multi_at, None);
}
