//! Step-up: recent proofs, and the session that replaces another one.

use std::time::Duration;

use goat_core::auth::{
    Assurance, Confirmation, Method, Methods, SignedIn, StepUp, SteppedUp, TokenPair, Vouch,
};
use goat_core::challenge::ATTEMPTS;
use goat_core::event::EventKind;
use goat_core::factor::{Answer, FactorKind, PendingSignIn};
use goat_core::session::{Origin, Session};
use goat_core::testing::{Point, TestFactors};
use goat_core::user::NewUser;
use goat_core::{
    ErrorKind, PageRequest, Principal, Quota, RequiredProof, Result, Status, Timestamp, UserId,
};
use proptest::prelude::*;

use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, Outcome, PASSWORD, address, email, login, on_every_store,
    system,
};

const FIVE_MINUTES: u64 = 300;

async fn step_up(harness: &Harness, me: &Principal, password: &str) -> Result<SteppedUp> {
    let proof = StepUp::Password(password.into());
    Ok(harness.goat.step_up(me, proof, &Origin::default()).await?.value)
}

async fn current(harness: &Harness, me: &Principal) -> Session {
    let page = harness.goat.sessions().list(me, PageRequest::default()).await;
    let sessions = page.expect("the store responds").items;
    sessions.into_iter().find(|session| Some(session.id) == me.session()).expect("it is live")
}

/// G4: a new session with new tokens is in the place of the old one; the old tokens are dead when it
/// answers, and end nothing; device, beginning and end stay.
async fn a_step_up_replaces_the_session(backend: Backend) {
    let harness = Harness::on(backend);
    let first = harness.member("ann", "client").await;
    let other = harness.sign_in("ann").await;
    let me = harness.principal(&first.tokens).await;
    let before = current(&harness, &me).await;
    harness.advance(200);
    drop(harness.events.take());
    let next = step_up(&harness, &me, PASSWORD).await.expect("the password is right");
    let at = harness.goat.time().now();
    assert_ne!(next.session, first.session);
    for _ in 0..2 {
        let revoked = Some(ErrorKind::SessionRevoked);
        assert_eq!(harness.authenticate(&first.tokens).await.kind(), revoked);
        assert_eq!(harness.refresh(&first.tokens).await.kind(), revoked);
    }
    let now = harness.principal(&next.tokens).await;
    let after = current(&harness, &now).await;
    let expected = Session {
        id: next.session,
        last_used_at: at,
        authenticated_at: at,
        current: after.current.clone(),
        idle_at: after.idle_at,
        ..before
    };
    assert_eq!(after, expected);
    assert_eq!(after.methods, Methods::of(Method::Password));
    let verifier = harness.verifier();
    let claims = verifier.verify(next.tokens.access_token.expose()).expect("a valid token");
    assert_eq!(claims.authenticated_at(), at.floor_to_second());
    harness.refresh(&next.tokens).await.expect("it is live");
    harness.principal(&other.tokens).await;
    let events = harness.events.take();
    let event = events.iter().find(|event| event.kind == EventKind::SteppedUp).expect("one");
    assert_eq!((event.session, event.user), (Some(next.session), Some(first.user.id)));
    assert!(!events.iter().any(|event| event.kind == EventKind::TokenReused));
}

/// G4: a thief's copy of the tokens gains nothing by the step-up of the owner.
async fn a_copied_token_does_not_rise_with_its_session(backend: Backend) {
    let harness = Harness::on(backend);
    let owner = harness.member("ann", "client").await;
    harness.advance(FIVE_MINUTES + 1);
    let tokens = harness.refresh(&owner.tokens).await.expect("live").tokens;
    let (me, thief) = (harness.principal(&tokens).await, tokens.clone());
    step_up(&harness, &me, PASSWORD).await.expect("the password is right");
    assert_eq!(harness.authenticate(&thief).await.kind(), Some(ErrorKind::SessionRevoked));
    let stale = harness.goat.require_recent(&me).await;
    assert_eq!(stale.kind(), Some(ErrorKind::SessionRevoked));
    let again = step_up(&harness, &me, PASSWORD).await;
    assert_eq!(again.kind(), Some(ErrorKind::SessionRevoked));
}

/// G5: the window counts from the proof to the second, and a refresh does not move it.
async fn only_a_proof_makes_a_session_recent(backend: Backend) {
    let harness = Harness::on(backend);
    let mut tokens = harness.member("ann", "client").await.tokens;
    for seconds in [0, 299, 1] {
        harness.advance(seconds);
        let me = harness.principal(&tokens).await;
        harness.goat.require_recent(&me).await.expect("at most five minutes");
        tokens = harness.refresh(&tokens).await.expect("live").tokens;
    }
    harness.advance(1);
    tokens = harness.refresh(&tokens).await.expect("live").tokens;
    let me = harness.principal(&tokens).await;
    let error = harness.goat.require_recent(&me).await.expect_err("too old");
    assert_eq!(error.kind(), ErrorKind::StepUpRequired);
    let max_age = Some(Duration::from_secs(FIVE_MINUTES));
    assert_eq!(error.required_proof(), Some(RequiredProof { max_age, multi: false }));
    assert_eq!(step_up(&harness, &me, "wrong").await.kind(), Some(ErrorKind::WrongPassword));
    assert_eq!(harness.goat.require_recent(&me).await.kind(), Some(ErrorKind::StepUpRequired));
    let next = step_up(&harness, &me, PASSWORD).await.expect("right").tokens;
    let me = harness.principal(&next).await;
    harness.goat.require_recent(&me).await.expect("just proven");
}

/// G5: in a session with a proof of several factors a password makes nothing recent.
async fn a_password_does_not_renew_a_proof_of_several_factors(backend: Backend) {
    let harness = Harness::on(backend);
    let user = harness.user("ann", "client").await.id;
    let proof = harness.goat.vouch(user, Vouch::multi("smartcard")).await.expect("a user");
    let opened = harness.goat.open_session(proof, Origin::default()).await.expect("a session");
    let me = harness.principal(&opened.tokens).await;
    assert_eq!(me.assurance(), Some(Assurance::Multi));
    harness.goat.require_recent(&me).await.expect("just proven");
    harness.advance(FIVE_MINUTES + 1);
    let tokens = harness.refresh(&opened.tokens).await.expect("live").tokens;
    let me = harness.principal(&tokens).await;
    let next = step_up(&harness, &me, PASSWORD).await.expect("right").tokens;
    let me = harness.principal(&next).await;
    assert_eq!(
        (me.assurance(), me.authenticated_at()),
        (Some(Assurance::Multi), Some(harness.goat.time().now()))
    );
    let error = harness.goat.require_recent(&me).await.expect_err("no proof of several factors");
    assert!(error.required_proof().expect("one").multi);
    let methods = current(&harness, &me).await.methods;
    assert_eq!(methods, Methods::of(Method::Vouched).with(Method::Password));
}

/// D2: wrong passwords of step-ups count per session, with those of other changes.
async fn passwords_of_step_ups_are_limited(backend: Backend) {
    let harness = Harness::with(backend, |settings| {
        settings.password_check_quota = Some(Quota::per_minute(3));
    });
    let tokens = harness.member("ann", "client").await.tokens;
    let me = harness.principal(&tokens).await;
    for _ in 0..3 {
        assert_eq!(step_up(&harness, &me, "wrong").await.kind(), Some(ErrorKind::WrongPassword));
    }
    let error = step_up(&harness, &me, PASSWORD).await.expect_err("too many");
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.decisions()[0].limit, "password-check");
}

/// D2: a step-up gives no attempt back, also one by a factor, for which the thief of a session may have a code.
async fn the_limits_of_a_session_continue_in_the_one_that_replaces_it(backend: Backend) {
    let harness = Harness::with(backend, |settings| {
        settings.password_check_quota = Some(Quota::per_minute(3));
    });
    let ann = harness.member("ann", "client").await;
    harness.factors.enrol(ann.user.id, FactorKind::Totp, harness.goat.time().now());
    let mut tokens = ann.tokens;
    for _ in 0..3 {
        let me = harness.principal(&tokens).await;
        assert_eq!(step_up(&harness, &me, "wrong").await.kind(), Some(ErrorKind::WrongPassword));
        let code = StepUp::Factor(Answer::Totp(TestFactors::CODE.into()));
        let next = harness.goat.step_up(&me, code, &Origin::default()).await;
        tokens = next.expect("the right code").value.tokens;
    }
    let me = harness.principal(&tokens).await;
    assert_eq!(step_up(&harness, &me, "wrong").await.kind(), Some(ErrorKind::RateLimited));
    let other = harness.goat.vouch(ann.user.id, Vouch::multi("smartcard")).await.expect("a user");
    let other = harness.goat.open_session(other, Origin::default()).await.expect("a session");
    let other = harness.principal(&other.tokens).await;
    assert_eq!(step_up(&harness, &other, "wrong").await.kind(), Some(ErrorKind::WrongPassword));
}

/// G6: changes of the own account need the current password or a recent proof.
async fn own_changes_need_a_password_or_a_recent_proof(backend: Backend) {
    let harness = Harness::on(backend);
    let users = harness.goat.users();
    let tokens = harness.member("ann", "client").await.tokens;
    let me = harness.principal(&tokens).await;
    let (origin, recent) = (Origin::default(), Confirmation::RecentProof);
    users.change_email(&me, email("ben"), recent, &origin).await.expect("just signed in");
    // A user with a password shows it for another one.
    let changed =
        users.change_password(&me, recent, &OTHER_PASSWORD.into(), &Origin::default()).await;
    let error = changed.expect_err("without the password");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.violations()[0].field, "current_password");

    harness.advance(FIVE_MINUTES + 1);
    let tokens = harness.refresh(&tokens).await.expect("live").tokens;
    let me = harness.principal(&tokens).await;
    let required = Some(ErrorKind::StepUpRequired);
    assert_eq!(users.change_email(&me, email("eve"), recent, &origin).await.kind(), required);
    assert_eq!(users.delete_self(&me, recent).await.kind(), required);
    // The present address is no change.
    users.change_email(&me, email("ben"), recent, &origin).await.expect("nothing to do");
    users.change_email(&me, email("eve"), PASSWORD, &origin).await.expect("the password");
    let next = step_up(&harness, &me, PASSWORD).await.expect("right").tokens;
    let me = harness.principal(&next).await;
    users.delete_self(&me, recent).await.expect("just proven");
}

/// G6: a user without a password sets one by a recent proof.
async fn a_user_without_a_password_sets_one_by_a_recent_proof(backend: Backend) {
    let harness = Harness::on(backend);
    let users = harness.goat.users();
    let (email, role) = (email("ann"), harness.role("client"));
    let new = NewUser { email, password: None, role, status: Status::Active };
    let ann = users.create(system(), new).await.expect("a user").id;
    let open = async || {
        let proof = harness.goat.vouch(ann, Vouch::single("ldap")).await.expect("a user");
        let opened = harness.goat.open_session(proof, Origin::default()).await;
        opened.expect("a session").tokens
    };
    let tokens = open().await;
    let me = harness.principal(&tokens).await;
    let wrong = Some(ErrorKind::WrongPassword);
    assert_eq!(
        users.change_password(&me, "", &PASSWORD.into(), &Origin::default()).await.kind(),
        wrong
    );
    assert_eq!(step_up(&harness, &me, "!").await.kind(), wrong);
    harness.advance(FIVE_MINUTES + 1);
    let stale = harness.refresh(&tokens).await.expect("live").tokens;
    let me = harness.principal(&stale).await;
    let set = users
        .change_password(&me, Confirmation::RecentProof, &PASSWORD.into(), &Origin::default())
        .await;
    assert_eq!(set.kind(), Some(ErrorKind::StepUpRequired));
    let me = harness.principal(&open().await).await;
    let set = users
        .change_password(&me, Confirmation::RecentProof, &PASSWORD.into(), &Origin::default())
        .await;
    assert_eq!(set.expect("just proven").value.revoked_sessions, 1);
    login(&harness.goat, address("ann"), PASSWORD).await.expect("the new password");
}

/// D5, G6: a request that began before a new password confirms nothing by the recent proof of its session.
async fn a_principal_from_before_a_new_password_confirms_nothing(backend: Backend) {
    let harness = Harness::on(backend);
    let tokens = harness.member("ann", "client").await.tokens;
    let old = harness.principal(&tokens).await;
    let users = harness.goat.users();
    users
        .change_password(&old, PASSWORD, &OTHER_PASSWORD.into(), &Origin::default())
        .await
        .expect("the password");
    let (recent, revoked) = (Confirmation::RecentProof, Some(ErrorKind::SessionRevoked));
    assert_eq!(harness.goat.require_recent(&old).await.kind(), revoked);
    let changed = users.change_email(&old, email("eve"), recent, &Origin::default()).await;
    assert_eq!(changed.kind(), revoked);
    assert_eq!(users.delete_self(&old, recent).await.kind(), revoked);
    login(&harness.goat, address("ann"), OTHER_PASSWORD).await.expect("nothing changed");
}

/// G4, R7: a suspension at every store call of a step-up, before and after it, ends both sessions.
async fn a_step_up_that_lost_a_race_is_invalid(backend: Backend) {
    let harness = Harness::on(backend);
    let rehearsal = harness.member("rehearsal", "client").await.tokens;
    let me = harness.principal(&rehearsal).await;
    drop(harness.failpoints.take_calls());
    step_up(&harness, &me, PASSWORD).await.expect("success without a race");
    let calls = harness.failpoints.take_calls();
    assert!(calls.contains(&"sessions.replace"), "{calls:?}");
    for (number, call) in calls.into_iter().enumerate() {
        for point in Point::ALL {
            let name = format!("user{number}{point:?}").to_lowercase();
            let user = harness.user(&name, "client").await.id;
            let tokens = harness.sign_in(&name).await.tokens;
            let me = harness.principal(&tokens).await;
            let held = harness.failpoints.hold(call, point);
            let (goat, proof) = (harness.goat.clone(), StepUp::Password(PASSWORD.into()));
            let stepping =
                tokio::spawn(async move { goat.step_up(&me, proof, &Origin::default()).await });
            held.reached().await;
            for status in [Status::Suspended, Status::Active] {
                let changed = harness.goat.users().change_status(system(), user, status).await;
                changed.expect("changed");
            }
            held.release();
            let next = stepping.await.expect("no panic").ok().map(|next| next.value.tokens);
            for tokens in next.iter().chain([&tokens]) {
                let refused = Some(ErrorKind::SessionRevoked);
                assert_eq!(harness.authenticate(tokens).await.kind(), refused, "{call} {point:?}");
                assert_eq!(harness.refresh(tokens).await.kind(), refused, "{call} {point:?}");
            }
        }
    }
}

/// G4: a logout at every store call of a step-up, before and after it. It succeeds even if the step-up was
/// faster: a store repeats the command after a lost response, and cannot tell which of the two ended the session.
async fn a_logout_during_a_step_up_ends_the_session_that_it_names(backend: Backend) {
    let harness = Harness::on(backend);
    let rehearsal = harness.member("rehearsal", "client").await.tokens;
    let me = harness.principal(&rehearsal).await;
    drop(harness.failpoints.take_calls());
    step_up(&harness, &me, PASSWORD).await.expect("success without a race");
    let calls = harness.failpoints.take_calls();
    for (number, call) in calls.into_iter().enumerate() {
        for point in Point::ALL {
            let name = format!("user{number}{point:?}").to_lowercase();
            let tokens = harness.member(&name, "client").await.tokens;
            let me = harness.principal(&tokens).await;
            let held = harness.failpoints.hold(call, point);
            let (goat, proof) = (harness.goat.clone(), StepUp::Password(PASSWORD.into()));
            let stepping = {
                let me = me.clone();
                tokio::spawn(async move { goat.step_up(&me, proof, &Origin::default()).await })
            };
            held.reached().await;
            let logout = harness.goat.logout(&me, &Origin::default()).await;
            held.release();
            let stepped_up = stepping.await.expect("no panic");
            let refused = Some(ErrorKind::SessionRevoked);
            assert_eq!(logout.kind(), None, "{call} {point:?}");
            match stepped_up {
                Ok(next) => drop(harness.principal(&next.value.tokens).await),
                Err(error) => assert_eq!(Some(error.kind()), refused, "{call} {point:?}"),
            }
            assert_eq!(harness.authenticate(&tokens).await.kind(), refused, "{call} {point:?}");
        }
    }
}

on_every_store![
    a_logout_during_a_step_up_ends_the_session_that_it_names,
    a_step_up_replaces_the_session,
    a_copied_token_does_not_rise_with_its_session,
    a_principal_from_before_a_new_password_confirms_nothing,
    only_a_proof_makes_a_session_recent,
    a_password_does_not_renew_a_proof_of_several_factors,
    passwords_of_step_ups_are_limited,
    the_limits_of_a_session_continue_in_the_one_that_replaces_it,
    own_changes_need_a_password_or_a_recent_proof,
    a_user_without_a_password_sets_one_by_a_recent_proof,
    a_step_up_that_lost_a_race_is_invalid,
];

/// A step of the model. Sessions are chosen by number, among all that were ever opened.
#[derive(Clone, Copy, Debug)]
enum Step {
    Login,
    Vouch {
        multi: bool,
    },
    /// The answer to a sign-in, by number among all that were ever held.
    Answer {
        held: usize,
        is_right: bool,
    },
    Confirm(usize),
    ConfirmByCode(usize),
    Enrol,
    RemoveFactors,
    Refresh(usize),
    Logout(usize),
    SuspendAndReactivate,
    Wait(u64),
}

/// The model of a session.
#[derive(Clone, Debug)]
struct Modelled {
    tokens: TokenPair,
    is_live: bool,
    authenticated_at: Timestamp,
    multi_at: Option<Timestamp>,
    ends_at: Timestamp,
}

/// The model of a pending sign-in.
#[derive(Clone, Debug)]
struct Held {
    pending: PendingSignIn,
    /// Whether it is stored: not answered, and among the newest five.
    is_stored: bool,
    attempts_left: u8,
    /// How often all sessions had ended.
    epoch: u64,
}

struct Model {
    harness: Harness,
    user: UserId,
    sessions: Vec<Modelled>,
    held: Vec<Held>,
    is_enrolled: bool,
    epoch: u64,
}

impl Model {
    async fn new() -> Self {
        let harness = Harness::on(Backend::memory());
        let user = harness.user("ann", "client").await.id;
        let (sessions, held) = (Vec::new(), Vec::new());
        Self { harness, user, sessions, held, is_enrolled: false, epoch: 0 }
    }

    fn opened(&mut self, tokens: TokenPair, multi: bool) {
        let at = self.harness.goat.time().now();
        let ttl = self.harness.goat.settings().session_ttl;
        self.sessions.push(Modelled {
            tokens,
            is_live: true,
            authenticated_at: at,
            multi_at: multi.then_some(at),
            ends_at: (at + ttl).floor_to_second(),
        });
    }

    /// The outcome of a first proof of one factor.
    fn signed_in(&mut self, outcome: Result<SignedIn>) {
        let error = match outcome {
            Ok(signed_in) => {
                assert!(!self.is_enrolled);
                return self.opened(signed_in.tokens, false);
            }
            Err(error) => error,
        };
        assert!(self.is_enrolled && error.kind() == ErrorKind::SecondFactorRequired, "{error}");
        let pending = error.pending().expect("a pending sign-in").clone();
        let (attempts_left, epoch) = (ATTEMPTS, self.epoch);
        self.held.push(Held { pending, is_stored: true, attempts_left, epoch });
        let stored = self.held.iter_mut().rev().filter(|held| held.is_stored);
        stored.skip(5).for_each(|held| held.is_stored = false);
        // No two are of the same time.
        self.harness.clock.advance(Duration::from_millis(1));
    }

    async fn answer(&mut self, number: usize, is_right: bool) {
        if self.held.is_empty() {
            return;
        }
        let place = number % self.held.len();
        let held = self.held[place].clone();
        let code = if is_right { TestFactors::CODE } else { "000000" };
        let (answer, origin) = (Answer::Totp(code.into()), Origin::default());
        let answered = self.harness.goat.answer(&held.pending, answer, &origin).await;
        let now = self.harness.goat.time().now();
        let is_live = held.is_stored && held.attempts_left > 0 && now < held.pending.expires_at();
        if is_live {
            self.held[place].attempts_left -= 1;
        }
        let is_right = is_live && is_right && held.epoch == self.epoch && self.is_enrolled;
        match answered {
            Ok(signed_in) => {
                assert!(is_right, "{held:?}");
                self.held[place].is_stored = false;
                self.opened(signed_in.value.tokens, true);
            }
            Err(error) => {
                assert!(
                    !is_right && error.kind() == ErrorKind::InvalidChallenge,
                    "{held:?}: {error}"
                );
            }
        }
    }

    async fn perform(&mut self, step: Step) {
        let choose =
            |number: usize| (!self.sessions.is_empty()).then(|| number % self.sessions.len());
        match step {
            Step::Login => {
                let outcome = self.harness.try_sign_in("ann").await;
                self.signed_in(outcome);
            }
            Step::Answer { held, is_right } => self.answer(held, is_right).await,
            Step::Enrol => {
                let now = self.harness.goat.time().now();
                self.harness.factors.enrol(self.user, FactorKind::Totp, now);
                self.is_enrolled = true;
            }
            Step::RemoveFactors => {
                self.harness.factors.remove(self.user);
                self.is_enrolled = false;
            }
            Step::Vouch { multi } => {
                let vouch = if multi { Vouch::multi("card") } else { Vouch::single("ldap") };
                let proof = self.harness.goat.vouch(self.user, vouch).await.expect("a user");
                let opened = self.harness.goat.open_session(proof, Origin::default()).await;
                match opened {
                    Ok(signed_in) if multi => self.opened(signed_in.tokens, true),
                    outcome => self.signed_in(outcome),
                }
            }
            Step::ConfirmByCode(number) => {
                let Some(number) = choose(number) else { return };
                let old = self.sessions[number].clone();
                let Ok(me) = self.harness.authenticate(&old.tokens).await else {
                    return;
                };
                let proof = StepUp::Factor(Answer::Totp(TestFactors::CODE.into()));
                let next = self.harness.goat.step_up(&me, proof, &Origin::default()).await;
                if !self.is_enrolled {
                    assert_eq!(next.kind(), Some(ErrorKind::WrongCode));
                    return;
                }
                self.sessions[number].is_live = false;
                let (tokens, at) =
                    (next.expect("right").value.tokens, self.harness.goat.time().now());
                let (authenticated_at, multi_at) = (at, Some(at));
                self.sessions.push(Modelled { tokens, authenticated_at, multi_at, ..old });
            }
            Step::Confirm(number) => {
                let Some(number) = choose(number) else { return };
                let old = self.sessions[number].clone();
                let Ok(me) = self.harness.authenticate(&old.tokens).await else {
                    return;
                };
                let next = step_up(&self.harness, &me, PASSWORD).await.expect("right");
                self.sessions[number].is_live = false;
                let at = self.harness.goat.time().now();
                let new = Modelled { tokens: next.tokens, authenticated_at: at, ..old };
                self.sessions.push(new);
            }
            Step::Refresh(number) => {
                let Some(number) = choose(number) else { return };
                let refreshed = self.harness.refresh(&self.sessions[number].tokens).await;
                assert_eq!(refreshed.is_ok(), self.sessions[number].is_live);
                if let Ok(refreshed) = refreshed {
                    self.sessions[number].tokens = refreshed.tokens;
                }
            }
            Step::Logout(number) => {
                let Some(number) = choose(number) else { return };
                if self.sessions[number].is_live {
                    let refreshed = self.harness.refresh(&self.sessions[number].tokens).await;
                    self.harness.logout(&refreshed.expect("live").tokens).await;
                    self.sessions[number].is_live = false;
                }
            }
            Step::SuspendAndReactivate => {
                for status in [Status::Suspended, Status::Active] {
                    let users = self.harness.goat.users();
                    users.change_status(system(), self.user, status).await.expect("changed");
                }
                self.sessions.iter_mut().for_each(|session| session.is_live = false);
                self.epoch += 1;
            }
            Step::Wait(seconds) => self.harness.advance(seconds),
        }
    }

    /// Compares every session with the model.
    async fn check(&mut self) {
        let now = self.harness.goat.time().now();
        let within = Duration::from_secs(FIVE_MINUTES);
        for session in &mut self.sessions {
            let refreshed = self.harness.refresh(&session.tokens).await;
            assert_eq!(refreshed.is_ok(), session.is_live, "{session:?}");
            let Ok(refreshed) = refreshed else { continue };
            session.tokens = refreshed.tokens;
            let me = self.harness.principal(&session.tokens).await;
            assert_eq!(me.authenticated_at(), Some(session.authenticated_at));
            assert_eq!(me.assurance() == Some(Assurance::Multi), session.multi_at.is_some());
            let counts_from = session.multi_at.unwrap_or(session.authenticated_at);
            let is_enough = !self.is_enrolled || session.multi_at.is_some();
            let is_recent = is_enough && now <= counts_from + within;
            assert_eq!(self.harness.goat.require_recent(&me).await.is_ok(), is_recent);
            assert_eq!(current(&self.harness, &me).await.ends_at, session.ends_at);
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => Just(Step::Login),
        1 => any::<bool>().prop_map(|multi| Step::Vouch { multi }),
        3 => (0..8_usize, any::<bool>())
            .prop_map(|(held, is_right)| Step::Answer { held, is_right }),
        3 => (0..8_usize).prop_map(Step::Confirm),
        2 => (0..8_usize).prop_map(Step::ConfirmByCode),
        2 => Just(Step::Enrol),
        1 => Just(Step::RemoveFactors),
        3 => (0..8_usize).prop_map(Step::Refresh),
        1 => (0..8_usize).prop_map(Step::Logout),
        1 => Just(Step::SuspendAndReactivate),
        3 => (1..400_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// G1, G2, G4, G5: random sign-ins, answers, step-ups, refreshes, logouts and suspensions against a model.
    #[test]
    fn sessions_are_as_recent_and_assured_as_their_proofs(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let mut model = Model::new().await;
            for step in steps {
                model.perform(step).await;
                model.check().await;
            }
        });
    }
}
