//! Confirmation of a pending sign-in: the answer of a second factor completes the first proof.
//!
//! Invariants:
//! - a pending sign-in is answered once: of concurrent right answers exactly one opens a session;
//! - an answer counts against the limits of the login and against the attempts of the challenge, before
//!   anything is compared;
//! - every failure before the status of the account is the same error, so that a failure does not say what
//!   was wrong;
//! - the session has the time of the answer, and the epoch of the first proof.

use std::sync::Arc;

use crate::challenge::{Challenge, ChallengeSecret, Purpose};
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventActor;
use crate::factor::{Answer, SignInChallenge};
use crate::id::UserId;
use crate::language::Languages;
use crate::limit::{Decision, WithDecisions};
use crate::proof::{MethodName, Proof};
use crate::session::Origin;
use crate::user::Account;

use super::open_session::{SignIn, Subject};
use super::pending_sign_in::{Held, LoginLimits};
use super::users_self::with_decisions;
use super::{Context, SignedIn};

impl Context {
    pub(crate) async fn confirm_sign_in(
        self: &Arc<Self>,
        presented: SignInChallenge,
        answer: Answer,
        origin: &Origin,
    ) -> Result<WithDecisions<SignedIn>> {
        let mut decisions = Vec::new();
        let mut known = None;
        let result =
            self.confirm_found(&presented, &answer, origin, &mut known, &mut decisions).await;
        let result = result.inspect_err(|error| {
            // A refusal by the limits is an event of its own.
            if error.kind() != ErrorKind::RateLimited {
                let (by, actor) = (answer.method().into(), EventActor::Anonymous);
                let subject = Subject { user: known, by, address: origin.address, actor };
                self.note_failed_sign_in(error.kind(), subject);
            }
        });
        with_decisions(result, decisions)
    }

    /// Sets `known` to the user of the challenge, for the event.
    async fn confirm_found(
        self: &Arc<Self>,
        presented: &SignInChallenge,
        answer: &Answer,
        origin: &Origin,
        known: &mut Option<UserId>,
        decisions: &mut Vec<Decision>,
    ) -> Result<SignedIn> {
        let (challenges, purpose) = (&self.stores.challenges, Purpose::PendingSignIn);
        let found = challenges.find(presented.id, purpose, self.time.now()).await?;
        let challenge = found.ok_or(ErrorKind::InvalidChallenge)?;
        let user = challenge.user.ok_or(ErrorKind::InvalidChallenge)?;
        let account = self.stores.users.by_id(user).await?.ok_or(ErrorKind::InvalidChallenge)?;
        *known = Some(user);
        let held = Held::parse(&challenge)?;
        *decisions = self.acquire_answer(held.limits, &account, origin).await?;
        if !challenges.attempt(challenge.id, purpose, self.time.now()).await? {
            return Err(ErrorKind::InvalidChallenge.into());
        }
        // TIMING: the secret in constant time, and before the answer, which may be used up.
        let is_shown = |stored| ChallengeSecret::matches(&presented.secret, stored);
        if !challenge.link.as_ref().is_some_and(is_shown) || challenge.epoch != account.epoch.number
        {
            return Err(ErrorKind::InvalidChallenge.into());
        }
        let Some(method) = self.verify_answer(user, answer).await? else {
            self.notify_wrong_factor(&account.user, origin).await;
            return Err(ErrorKind::InvalidChallenge.into());
        };
        let at = self.time.now();
        let by = MethodName::parse(&held.by).map_err(Error::defect)?;
        let proof = Proof::confirmed(user, challenge.epoch, held.methods(), by, method, at);
        self.open_confirmed(challenge, account, proof, held, origin.languages.clone()).await
    }

    /// Takes the challenge and opens the session.
    async fn open_confirmed(
        self: &Arc<Self>,
        challenge: Challenge,
        account: Account,
        proof: Proof,
        held: Held,
        languages: Languages,
    ) -> Result<SignedIn> {
        if !self.stores.challenges.take(challenge.id).await? {
            return Err(ErrorKind::InvalidChallenge.into());
        }
        let (limits, is_new_device) = (held.limits, held.is_new_device);
        let sign_in =
            SignIn { is_new_device, ..SignIn::new(account, proof, held.origin(languages), limits) };
        self.open_session_of(sign_in).await.map_err(|error| match error.kind() {
            // The epoch rose since the account was read.
            ErrorKind::InvalidCredentials => ErrorKind::InvalidChallenge.into(),
            _ => error,
        })
    }

    /// Acquires one attempt from the limits by which the login counted.
    async fn acquire_answer(
        &self,
        limits: LoginLimits,
        account: &Account,
        origin: &Origin,
    ) -> Result<Vec<Decision>> {
        let counters = &self.credential_limits;
        let acquired = match limits {
            LoginLimits::Unlimited => return Ok(Vec::new()),
            LoginLimits::Account => {
                counters.acquire_account(account.user.email.canonical()).await.map(|()| Vec::new())
            }
            LoginLimits::Device(token) => counters.acquire_device(token).await,
        };
        self.note_limits(acquired, &EventActor::Anonymous, origin.address)
    }
}
