//! Step-up: the user of a live session shows a proof again, and a new session takes the place of the old
//! one.
//!
//! Invariants:
//! - only a proof makes a session more recent;
//! - the new session has another id and other tokens, so that a copy of the old ones gains nothing; it ends
//!   when the old one would have ended;
//! - the old tokens are invalid when the step-up returns;
//! - nothing after the replacement can fail the step-up.

use std::sync::Arc;

use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, RequiredProof, Result};
use crate::event::{Event, EventActor, EventKind};
use crate::factor::Answer;
use crate::id::SessionId;
use crate::limit::WithDecisions;
use crate::proof::{Assurance, Method};
use crate::secret::Secret;
use crate::session::Origin;
use crate::store::Replaced;
use crate::user::{Account, Revisions};

use super::users_self::with_decisions;
use super::{Context, FreshPrincipal, Principal, RecentPrincipal, TokenPair};

/// The proof that a user shows again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StepUp {
    /// The password of the account.
    Password(Secret<String>),
    /// The answer of a second factor. With the first proof of the session it is a proof of several factors.
    Factor(Answer),
}

/// The result of a step-up.
#[derive(Clone, Debug)]
pub struct SteppedUp {
    /// The session that replaces the earlier one.
    pub session: SessionId,
    /// Its tokens. Those of the earlier session no longer work, and presenting one ends nothing.
    pub tokens: TokenPair,
}

impl Context {
    /// Re-reads the principal, and checks that its session was proven a short time ago.
    pub(crate) async fn require_recent(&self, principal: &Principal) -> Result<RecentPrincipal> {
        principal.require_session()?;
        let fresh: FreshPrincipal = self.reauthenticate(principal).await?;
        let me = fresh.principal();
        let within = self.settings.recent;
        // In a session of several factors only such proofs count, also without a factor.
        let multi = me.assurance() == Some(Assurance::Multi) || self.has_factor(me.user()).await?;
        let is_enough = !multi || me.assurance() == Some(Assurance::Multi);
        if is_enough && me.is_recent(within, self.time.now()) {
            return Ok(RecentPrincipal::new(fresh));
        }
        Err(Error::step_up_required(RequiredProof { max_age: Some(within), multi }))
    }

    pub(crate) async fn step_up(
        self: &Arc<Self>,
        principal: &Principal,
        proof: StepUp,
        origin: &Origin,
    ) -> Result<WithDecisions<SteppedUp>> {
        principal.require_session()?;
        let account = self.own_account(principal).await?;
        let mut decisions = Vec::new();
        let result = async {
            let (method, assurance) = match proof {
                StepUp::Password(password) => {
                    let password = password.expose();
                    self.verify_current(principal, &account, password, &mut decisions).await?;
                    (Method::Password, Assurance::Single)
                }
                StepUp::Factor(answer) => {
                    (self.verify_factor(&account, &answer, origin).await?, Assurance::Multi)
                }
            };
            let permissions = self.token_permissions(account.user.id, &account.user.role).await?;
            let (context, principal) = (Arc::clone(self), principal.clone());
            let origin = origin.clone();
            // The old session is invalidated and the event emitted even if the client disconnects.
            run_to_completion(async move {
                context
                    .replace_session(&principal, account, (method, assurance), permissions, &origin)
                    .await
            })
            .await
        }
        .await;
        with_decisions(result, decisions)
    }

    /// Verifies the answer of a factor of the session's user.
    async fn verify_factor(
        &self,
        account: &Account,
        answer: &Answer,
        origin: &Origin,
    ) -> Result<Method> {
        if let Some(method) = self.verify_answer(account.user.id, answer).await? {
            return Ok(method);
        }
        let (now, actor) = (self.time.now(), EventActor::User(account.user.id));
        let mut event = Event::new(EventKind::WrongCode, now, actor).about(&account.user);
        event.method = Some(answer.method().into());
        self.observer.observe(&event.with_address(origin.address));
        Err(ErrorKind::WrongCode.into())
    }

    async fn replace_session(
        &self,
        principal: &Principal,
        account: Account,
        (method, assurance): (Method, Assurance),
        permissions: Option<Vec<String>>,
        origin: &Origin,
    ) -> Result<SteppedUp> {
        let now = self.time.now();
        let session = self.own_session(principal, now).await?;
        let old = session.id;
        let token = self.next_refresh_token(now, session.ends_at);
        // The epoch that was read with the password: a later one ends the new session.
        let (id, epoch) = (old.successor(now), account.epoch.number);
        let new = session.stepped_up(id, epoch, token, (method, assurance), now);
        // Signed before the commit, so that nothing after it can fail.
        let user = &account.user;
        let seen = principal.revisions();
        let revisions = Revisions { user: seen.user.max(account.revision), ..seen };
        let tokens = self.sign(&new, user, permissions, revisions, now)?;
        if self.stores.sessions.replace(old, &new).await? == Replaced::Missing {
            return Err(ErrorKind::SessionRevoked.into());
        }
        // ATOMIC: the old session is invalid in this process before the step-up returns.
        self.validator.sessions_ended(user.id, &[old]).await;
        let event = Event::new(EventKind::SteppedUp, now, EventActor::User(user.id)).about(user);
        let mut event = event.in_session(new.id).with_address(origin.address);
        event.method = Some(method.into());
        self.observer.observe(&event);
        Ok(SteppedUp { session: new.id, tokens })
    }
}
