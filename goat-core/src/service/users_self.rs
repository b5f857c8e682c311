//! Changes of users by themselves. Each requires the current password or a recent proof; a password counts
//! against the session's limit before it is verified.
//!
//! Attempts do not count per account: anonymous logins exhaust that limit, and would keep a user from
//! defending the account.

use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result, Violation};
use crate::event::{Event, EventActor, EventKind};
use crate::limit::{Decision, WithDecisions};
use crate::password::TriedPassword;
use crate::secret::Secret;
use crate::session::{Origin, Session, TokenReplacement};
use crate::store::{UserChange, UserSnapshot};
use crate::user::{Account, Email, Revisions, User};

use super::context::{Acting, changed, check_person, deleted};
use super::{ActorFacts, ChallengeSent, Context, Principal, TokenPair, Users};

/// The confirmation of a change of the own account. The service checks it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Confirmation<'a> {
    /// The current password.
    Password(&'a str),
    /// A recent proof of the session, as [`Goat::require_recent`](crate::Goat::require_recent) asks for.
    RecentProof,
}

impl<'a> From<&'a str> for Confirmation<'a> {
    fn from(current_password: &'a str) -> Self {
        Self::Password(current_password)
    }
}

impl<'a> From<&'a String> for Confirmation<'a> {
    fn from(current_password: &'a String) -> Self {
        Self::Password(current_password)
    }
}

/// The current password, or else a recent proof.
impl<'a> From<Option<&'a Secret<String>>> for Confirmation<'a> {
    fn from(current_password: Option<&'a Secret<String>>) -> Self {
        current_password.map_or(Self::RecentProof, |password| password.expose().into())
    }
}

/// The result of a request to change an address.
#[derive(Clone, Debug)]
pub enum EmailChange {
    /// The address is changed: without a courier, and for another spelling of the same address.
    Changed(User),
    /// The address changes by the answer to the letter that was sent to the new one:
    /// [`Goat::confirm_email_change`](crate::Goat::confirm_email_change).
    Sent(ChallengeSent),
}

impl EmailChange {
    /// Returns the user, if the address is changed.
    #[must_use]
    pub fn changed(self) -> Option<User> {
        match self {
            Self::Changed(user) => Some(user),
            Self::Sent(_) => None,
        }
    }
}

/// The result of a changed password.
#[derive(Clone, Debug)]
pub struct PasswordChanged {
    /// The new tokens of the current session, which replace its earlier ones.
    pub tokens: TokenPair,
    /// How many other sessions ended.
    pub revoked_sessions: u64,
    /// How many API keys the user has, expired ones included. A new password leaves programs running.
    pub keys: u64,
}

impl Users {
    /// Changes the principal's own e-mail address. With a courier, the change takes effect once the new mailbox
    /// answered, and the result is the same for an address that another user has. Another spelling of the same
    /// address is no conflict, and takes effect at once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRequired`] for an API key, [`ErrorKind::Invalid`] for the address of a service
    /// account, [`ErrorKind::RateLimited`] for too many changes from the client's address or too many
    /// passwords in the session, [`ErrorKind::WrongPassword`], [`ErrorKind::StepUpRequired`],
    /// [`ErrorKind::EmailTaken`], [`ErrorKind::SessionRevoked`] if the session has ended meanwhile; or if the
    /// queue of letters is full or a store is unavailable.
    pub async fn change_email(
        &self,
        principal: &Principal,
        email: Email,
        confirmation: impl Into<Confirmation<'_>> + Send,
        origin: &Origin,
    ) -> Result<WithDecisions<EmailChange>> {
        principal.require_session()?;
        let confirmation = confirmation.into();
        let violations = check_person(&email);
        if !violations.is_empty() {
            return Err(Error::invalid(violations));
        }
        let context = Arc::clone(&self.context);
        let account = context.own_account(principal).await?;
        if account.user.email.as_str() == email.as_str() {
            // An earlier call that got no response may have made the change.
            if account.revision > principal.revisions().user {
                context.validator.user_changed(account.user.id).await;
            }
            let value = EmailChange::Changed(account.user);
            return Ok(WithDecisions { value, decisions: Vec::new() });
        }
        let mut decisions = Vec::new();
        let result = async {
            let address = origin.address;
            let acquired = context.credential_limits.acquire_change_email(address).await;
            let actor = EventActor::User(account.user.id);
            decisions.extend(context.note_limits(acquired, &actor, address)?);
            context.confirm(principal, &account, confirmation, &mut decisions).await?;
            let is_other = account.user.email.canonical() != email.canonical();
            if is_other && context.mail.is_some() {
                let sent = context.request_email_change(&account, &email, origin).await?;
                return Ok(EmailChange::Sent(sent));
            }
            let facts = ActorFacts::of(principal);
            run_to_completion(async move {
                let now = context.time.now();
                let id = account.user.id;
                let rule = |snapshot: &UserSnapshot| {
                    let mut account = own(snapshot, &facts, &account)?;
                    account.user.set_email(email.clone());
                    account.user.updated_at = now;
                    Ok(UserChange::Put(account))
                };
                let (before, after) =
                    changed(context.write_user(Acting::default(), id, None, &rule).await?)?;
                let before = before.map_or(account.user.email, |before| before.user.email);
                context.emit_email_changed(EventActor::User(id), before, &after.user);
                Ok(EmailChange::Changed(after.user))
            })
            .await
        }
        .await;
        with_decisions(result, decisions)
    }

    /// Changes the principal's own password. Ends every session but the current one, which continues
    /// under the returned tokens only: its earlier ones no longer work, and presenting one ends nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRequired`] for an API key, [`ErrorKind::Invalid`] for a new password against the
    /// policy or known from a data breach, and for a recent proof in place of the current password of a user
    /// who has one; [`ErrorKind::RateLimited`] for too many passwords in the session, [`ErrorKind::WrongPassword`],
    /// [`ErrorKind::StepUpRequired`], [`ErrorKind::PasswordUnchanged`], [`ErrorKind::SessionRevoked`] if the
    /// session has ended meanwhile; or if a store is unavailable.
    pub async fn change_password(
        &self,
        principal: &Principal,
        confirmation: impl Into<Confirmation<'_>> + Send,
        new_password: &Secret<String>,
        origin: &Origin,
    ) -> Result<WithDecisions<PasswordChanged>> {
        principal.require_session()?;
        let confirmation = confirmation.into();
        let context = Arc::clone(&self.context);
        let account = context.own_account(principal).await?;
        let mut violations = Vec::new();
        if matches!(confirmation, Confirmation::RecentProof) && account.has_password() {
            violations.push(Violation::new("current_password", "is required"));
        }
        let email = Some(&account.user.email);
        let new =
            context.check_password("new_password", new_password, email, &mut violations).await?;
        let (Some(new), true) = (new, violations.is_empty()) else {
            return Err(Error::invalid(violations));
        };
        let mut decisions = Vec::new();
        let result = async {
            context.confirm(principal, &account, confirmation, &mut decisions).await?;
            if let Confirmation::Password(current) = confirmation
                && new.is_same_as(&TriedPassword::new(current))
            {
                return Err(ErrorKind::PasswordUnchanged.into());
            }
            let hash = Secret::new(context.hasher.hash(new).await?);
            let facts = ActorFacts::of(principal);
            let seen = principal.revisions();
            let languages = origin.languages.clone();
            let now = context.time.now();
            let session = context.own_session(principal, now).await?;
            let permissions =
                context.token_permissions(account.user.id, &account.user.role).await?;
            // Before the commit, after which nothing may fail.
            let keys = context.count_keys(account.user.id).await?;
            run_to_completion(async move {
                let (id, kept) = (account.user.id, Some(session.id));
                let token = context.next_refresh_token(now, session.ends_at);
                let signed = Mutex::new(None);
                let rule = |snapshot: &UserSnapshot| {
                    let mut account = own(snapshot, &facts, &account)?;
                    account.password_hash = hash.clone();
                    account.epoch = account.epoch.next(kept);
                    let replacement = TokenReplacement {
                        session: session.id,
                        epoch: account.epoch.number,
                        token: token.clone(),
                    };
                    let mut session = session.clone();
                    session.replace_tokens(&replacement, now);
                    // Signed before the commit, for the epoch and the revision that commit, so that
                    // nothing after it can fail.
                    let revisions = Revisions { user: next_revision(account.revision), ..seen };
                    let permissions = permissions.clone();
                    let tokens = context.sign(&session, &account.user, permissions, revisions, now);
                    let failure = tokens.as_ref().err().map(Error::kind);
                    *signed.lock().unwrap_or_else(PoisonError::into_inner) = Some(tokens);
                    if let Some(kind) = failure {
                        return Err(kind);
                    }
                    account.replacement = Some(replacement);
                    account.user.updated_at = now;
                    Ok(UserChange::Put(account))
                };
                let outcome = context.write_user(Acting::default(), id, None, &rule).await?;
                let tokens =
                    signed.into_inner().unwrap_or_else(PoisonError::into_inner).transpose()?;
                let (before, after) = changed(outcome)?;
                let epoch = before.map_or(account.epoch, |before| before.epoch);
                let actor = EventActor::User(id);
                let user = after.user.clone();
                let revoked_sessions =
                    context.end_sessions(&user, epoch, kept, actor.clone()).await;
                context.store_replacement(after, now).await;
                let mut event = Event::new(EventKind::PasswordChanged, now, actor).about(&user);
                event.keys = Some(keys);
                context.observer.observe(&event);
                context.notify_password_changed(&user, &languages, now).await;
                let tokens = tokens.ok_or(ErrorKind::Internal)?;
                Ok(PasswordChanged { tokens, revoked_sessions, keys })
            })
            .await
        }
        .await;
        with_decisions(result, decisions)
    }

    /// Deletes the principal's own user. Every session ends.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRequired`] for an API key, [`ErrorKind::RateLimited`] for too many passwords in
    /// the session, [`ErrorKind::WrongPassword`], [`ErrorKind::StepUpRequired`],
    /// [`ErrorKind::LastAdministrator`], [`ErrorKind::SessionRevoked`] if the session has ended meanwhile; or
    /// if a store is unavailable.
    pub async fn delete_self(
        &self,
        principal: &Principal,
        confirmation: impl Into<Confirmation<'_>> + Send,
    ) -> Result<WithDecisions<()>> {
        principal.require_session()?;
        let confirmation = confirmation.into();
        let context = Arc::clone(&self.context);
        let account = context.own_account(principal).await?;
        let mut decisions = Vec::new();
        let result = async {
            context.confirm(principal, &account, confirmation, &mut decisions).await?;
            let facts = ActorFacts::of(principal);
            run_to_completion(async move {
                let id = account.user.id;
                let rule = |snapshot: &UserSnapshot| {
                    let account = own(snapshot, &facts, &account)?;
                    context.check_administrators(&account.user, None, snapshot)?;
                    Ok(UserChange::Delete)
                };
                let account =
                    deleted(context.write_user(Acting::default(), id, None, &rule).await?)?;
                context.deleted(&account, EventActor::User(id)).await;
                Ok(())
            })
            .await
        }
        .await;
        with_decisions(result, decisions)
    }
}

/// Attaches the rate-limit decisions to a result, success or failure.
pub(super) fn with_decisions<T>(
    result: Result<T>,
    decisions: Vec<Decision>,
) -> Result<WithDecisions<T>> {
    match result {
        Ok(value) => Ok(WithDecisions { value, decisions }),
        Err(error) => Err(error.with_decisions(decisions)),
    }
}

/// Returns the principal's own account as the transaction reads it, if the session is live and the
/// password is still the verified one.
fn own(
    snapshot: &UserSnapshot,
    facts: &ActorFacts,
    verified: &Account,
) -> Result<Account, ErrorKind> {
    let account =
        snapshot.target.clone().filter(|account| facts.is_live(account, snapshot.has_key));
    let account = account.ok_or(ErrorKind::SessionRevoked)?;
    // A new password changes both the epoch and the hash. The revocation of the other sessions changes
    // only the epoch, and a rehash at login only the hash.
    let same_epoch = account.epoch.number == verified.epoch.number;
    if !same_epoch && !account.password_hash.is_same_as(&verified.password_hash) {
        return Err(ErrorKind::WrongPassword);
    }
    Ok(account)
}

impl Context {
    /// Reads the principal's account and checks that the session is still live: a principal may be as
    /// old as the cache allows.
    pub(super) async fn own_account(&self, principal: &Principal) -> Result<Account> {
        let account = self.stores.users.by_id(principal.user()).await?;
        let facts = ActorFacts::of(principal);
        Ok(account.filter(|account| facts.is_live(account, None)).ok_or_else(|| facts.ended())?)
    }

    /// Reads the principal's session, which must not have ended.
    pub(super) async fn own_session(
        &self,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<Session> {
        let view =
            self.stores.sessions.find(principal.user(), principal.require_session()?).await?;
        let live = view.map(|view| view.session).filter(|session| !session.is_expired(now));
        Ok(live.ok_or(ErrorKind::SessionRevoked)?)
    }

    /// Stores the replacement of a session's tokens that committed with the account. A failure is only
    /// logged: validations see that the session lacks it, and the next refresh stores it.
    async fn store_replacement(&self, account: Account, now: Timestamp) {
        let (user, Some(replacement)) = (account.user.id, account.replacement) else { return };
        if let Err(error) = self.stores.sessions.replace_tokens(user, &replacement, now).await {
            tracing::warn!(%error, %user, "replaced tokens not stored in the session; the next refresh stores them");
        }
    }

    /// Checks the confirmation of a change of the own account.
    async fn confirm(
        &self,
        principal: &Principal,
        account: &Account,
        confirmation: Confirmation<'_>,
        decisions: &mut Vec<Decision>,
    ) -> Result<()> {
        match confirmation {
            // With a factor in force the password alone confirms nothing.
            Confirmation::Password(_) if self.has_factor(account.user.id).await? => {
                self.require_recent(principal).await.map(drop)
            }
            Confirmation::Password(password) => {
                self.verify_current(principal, account, password, decisions).await
            }
            Confirmation::RecentProof => self.require_recent(principal).await.map(drop),
        }
    }

    /// Verifies the current password of an account, counted against the limit of the session.
    pub(super) async fn verify_current(
        &self,
        principal: &Principal,
        account: &Account,
        password: &str,
        decisions: &mut Vec<Decision>,
    ) -> Result<()> {
        let actor = EventActor::User(account.user.id);
        let session = principal.require_session()?;
        // TIMING: before the password is verified, so that the quota bounds parallel guesses too.
        let acquired = self.credential_limits.acquire_password_check(session).await;
        decisions.push(self.note_limits(acquired, &actor, None)?);
        let tried = TriedPassword::new(password);
        if self.verify_password(&tried, Some(account)).await?.matches() {
            self.credential_limits.reset_password_check(session).await;
            return Ok(());
        }
        self.emit(EventKind::WrongPassword, actor, &account.user);
        Err(ErrorKind::WrongPassword.into())
    }
}

/// Returns the revision that a write commits; 0 stays, since the store does not count them.
fn next_revision(revision: u64) -> u64 {
    if revision == 0 { 0 } else { revision + 1 }
}

#[cfg(test)]
mod tests;
