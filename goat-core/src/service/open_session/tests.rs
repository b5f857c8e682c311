//! Every method against a factor in force.

use std::sync::Arc;

use crate::auth::{Assurance, Login, MailAnswer, Method, StepUp, Vouch};
use crate::courier::Message;
use crate::error::{Error, ErrorKind};
use crate::factor::{Answer, FactorKind, PendingSignIn};
use crate::goat::Goat;
use crate::id::UserId;
use crate::session::Origin;
use crate::settings::Settings;
use crate::store::Stores;
use crate::testing::{TestFactors, TestGoat, TestUser};

/// How a method takes part in a sign-in.
enum Part {
    /// It is a first proof of one factor.
    First(First),
    /// It answers a pending sign-in.
    Second(Answer),
    /// No flow takes it.
    Unused,
}

/// A first proof of one factor.
enum First {
    Password,
    EmailCode,
    Vouched,
}

/// The table of methods. A new method does not compile without its entry.
fn part(method: Method) -> Part {
    match method {
        Method::Password => Part::First(First::Password),
        Method::EmailCode => Part::First(First::EmailCode),
        Method::Vouched => Part::First(First::Vouched),
        Method::Totp => Part::Second(Answer::Totp(TestFactors::CODE.into())),
        Method::RecoveryCode => {
            Part::Second(Answer::RecoveryCode(TestFactors::RECOVERY_CODE.into()))
        }
        Method::SecurityKey | Method::Passkey | Method::Federated => Part::Unused,
    }
}

/// The sources that make proofs, before their tests.
const MAKERS: [&str; 3] = [
    include_str!("../../proof/mod.rs"),
    include_str!("../../factor/answer.rs"),
    include_str!("../step_up.rs"),
];

struct Fixture {
    test: TestGoat,
    ann: UserId,
}

impl Fixture {
    async fn new() -> Self {
        let factors = TestFactors::default();
        let stores = Stores { factors: Arc::new(factors.clone()), ..Stores::memory() };
        let settings = Settings { email_sign_in: true, mail_quota: None, ..Settings::default() };
        let test = TestGoat::build(stores, |builder| {
            builder.settings(settings).test_factors(&factors).test_letters()
        });
        let ann = test.sign_in("ann", []).await;
        verify_email(&test.goat, &ann).await;
        let ann = ann.user;
        let actor = crate::Actor::system("a test");
        let set = test.goat.users().reset_password(actor, ann.id, PASSWORD.into()).await;
        set.expect("a password");
        factors.enrol(ann.id, FactorKind::Totp, test.goat.time().now());
        Self { test, ann: ann.id }
    }

    /// Returns the letter that signs in.
    async fn letter(&self, email: &str) -> MailAnswer {
        loop {
            let letter = self.test.goat.testing().letters().next_to(email).await;
            if let Message::SignInCode(secret) = letter.message {
                return MailAnswer::link(secret.link.text());
            }
        }
    }

    /// Signs in by a first proof, in each of the ways that there are for it.
    async fn sign_in(&self, first: First) -> Vec<PendingSignIn> {
        let (goat, origin) = (&self.test.goat, Origin::default());
        let email = goat.users().find_by_id(self.ann).await.expect("the store responds");
        let email = email.expect("a user").email;
        let refused: Vec<Error> = match first {
            First::Password => {
                let login = Login::new(email.as_str(), PASSWORD, origin);
                vec![goat.login(login).await.expect_err("one factor")]
            }
            First::EmailCode => {
                goat.request_sign_in(email.clone(), &origin).await.expect("accepted");
                let answer = self.letter(email.as_str()).await;
                vec![goat.sign_in_by_letter(&answer, origin).await.expect_err("one factor")]
            }
            First::Vouched => {
                let vouch = Vouch::single("ldap");
                let proof = goat.vouch(self.ann, vouch.clone()).await.expect("a proof");
                let opened = goat.open_session(proof, origin.clone()).await;
                let actor = crate::Actor::system("a test");
                let by_actor = goat.sessions().open(actor, self.ann, vouch, origin).await;
                vec![opened.expect_err("one factor"), by_actor.expect_err("one factor")]
            }
        };
        let pending = |error: &Error| {
            assert_eq!(error.kind(), ErrorKind::SecondFactorRequired);
            error.pending().expect("a pending sign-in").clone()
        };
        refused.iter().map(pending).collect()
    }
}

/// Verifies the address of a user by the answer to a letter.
async fn verify_email(goat: &Goat, user: &TestUser) {
    let me = goat.authenticate_token(user.access_token()).await.expect("a live session");
    let (users, origin) = (goat.users(), Origin::default());
    users.request_verification(&me, &origin).await.expect("accepted");
    let letter = goat.testing().letters().next_to(user.user.email.as_str()).await;
    let secret = letter.message.secret().expect("a letter with a secret");
    let answer = MailAnswer::link(secret.link.text());
    users.verify_email(&me, &answer, &origin).await.expect("verified");
}

const PASSWORD: &str = "a long walk on a short pier";

/// G1
#[tokio::test]
async fn every_method_that_opens_a_session_stops_for_an_enrolled_factor() {
    let fixture = Fixture::new().await;
    let goat = &fixture.test.goat;
    for method in Method::ALL {
        match part(method) {
            Part::First(first) => {
                for pending in fixture.sign_in(first).await {
                    assert_eq!(pending.methods(), [Method::Totp, Method::RecoveryCode], "{method}");
                }
            }
            Part::Second(answer) => {
                let pending = fixture.sign_in(First::Password).await.remove(0);
                let opened = goat.answer(&pending, answer.clone(), &Origin::default()).await;
                let tokens = opened.expect("the right answer").value.tokens;
                let me = goat.authenticate_token(tokens.access_token.expose()).await;
                let me = me.expect("a live session");
                assert_eq!(me.assurance(), Some(Assurance::Multi), "{method}");
                let stepped_up =
                    goat.step_up(&me, StepUp::Factor(answer), &Origin::default()).await;
                stepped_up.expect("also in a session");
            }
            Part::Unused => {
                let name = format!("Method::{method:?}");
                for source in MAKERS {
                    assert!(!source.contains(&name), "{name} makes a proof: add its entry");
                }
            }
        }
    }
}
