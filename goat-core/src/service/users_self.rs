//! What users do to themselves: with the current password, reserved against the account's limit
//! before it is verified.

use std::sync::Arc;

use crate::access::{ActorFacts, Principal};
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{EventActor, EventKind};
use crate::limit::{Decision, WithDecisions};
use crate::password::TriedPassword;
use crate::secret::Secret;
use crate::user::{Account, Email, Status, User, UserChange, UserSnapshot};

use super::write::changed;
use super::{Inner, Users};

impl Users {
    /// Changes one's own e-mail address. The same address in another spelling is no conflict.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RateLimited`] for too many attempts on the account,
    /// [`ErrorKind::WrongPassword`], [`ErrorKind::EmailTaken`], [`ErrorKind::SessionRevoked`] if the
    /// session has ended meanwhile; or if a store does not answer.
    pub async fn change_email(
        &self,
        principal: &Principal,
        email: Email,
        current_password: &str,
    ) -> Result<WithDecisions<User>> {
        let inner = Arc::clone(&self.inner);
        let account = inner.own_account(principal).await?;
        if account.user.email.as_str() == email.as_str() {
            return Ok(WithDecisions { value: account.user, decisions: Vec::new() });
        }
        let mut decisions = Vec::new();
        let result = async {
            inner.prove(&account, current_password, &mut decisions).await?;
            let facts = ActorFacts::of(principal);
            run_to_completion(async move {
                let now = inner.time.now();
                let id = account.user.id;
                let rule = |snapshot: &UserSnapshot| {
                    let mut account = own(snapshot, facts, &account)?;
                    account.user.email = email.clone();
                    account.user.updated_at = now;
                    Ok(UserChange::Put(account))
                };
                let user = changed(inner.write_own(id, &rule).await?)?.1.user;
                inner.emit(EventKind::EmailChanged, EventActor::User(id), id);
                Ok(user)
            })
            .await
        }
        .await;
        with_decisions(result, decisions)
    }

    /// Changes one's own password. Every other session ends, this one goes on; answers how many
    /// ended.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a new password against the policy, [`ErrorKind::RateLimited`] for
    /// too many attempts on the account, [`ErrorKind::WrongPassword`],
    /// [`ErrorKind::PasswordUnchanged`], [`ErrorKind::SessionRevoked`] if the session has ended
    /// meanwhile; or if a store does not answer.
    pub async fn change_password(
        &self,
        principal: &Principal,
        current_password: &str,
        new_password: &Secret<String>,
    ) -> Result<WithDecisions<u64>> {
        let inner = Arc::clone(&self.inner);
        let account = inner.own_account(principal).await?;
        let mut violations = Vec::new();
        let email = &account.user.email;
        let new = inner.check_password("new_password", new_password, Some(email), &mut violations);
        let Some(new) = new else { return Err(Error::invalid(violations)) };
        let mut decisions = Vec::new();
        let result = async {
            inner.prove(&account, current_password, &mut decisions).await?;
            if new.is_same_as(&TriedPassword::new(current_password)) {
                return Err(ErrorKind::PasswordUnchanged.into());
            }
            let hash = Secret::new(inner.hashing.hash(new).await?);
            let facts = ActorFacts::of(principal);
            let session = principal.session();
            run_to_completion(async move {
                let now = inner.time.now();
                let id = account.user.id;
                let rule = |snapshot: &UserSnapshot| {
                    let mut account = own(snapshot, facts, &account)?;
                    account.password_hash = hash.clone();
                    account.epoch = account.epoch.next(Some(session));
                    account.user.updated_at = now;
                    Ok(UserChange::Put(account))
                };
                let (before, _) = changed(inner.write_own(id, &rule).await?)?;
                let epoch = before.map_or(account.epoch, |before| before.epoch);
                let ended =
                    inner.end_sessions(id, epoch, Some(session), EventActor::User(id)).await;
                inner.emit(EventKind::PasswordChanged, EventActor::User(id), id);
                Ok(ended)
            })
            .await
        }
        .await;
        with_decisions(result, decisions)
    }

    /// Deletes oneself. Every session ends.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RateLimited`] for too many attempts on the account,
    /// [`ErrorKind::WrongPassword`], [`ErrorKind::LastAdministrator`],
    /// [`ErrorKind::SessionRevoked`] if the session has ended meanwhile; or if a store does not
    /// answer.
    pub async fn delete_self(
        &self,
        principal: &Principal,
        current_password: &str,
    ) -> Result<WithDecisions<()>> {
        let inner = Arc::clone(&self.inner);
        let account = inner.own_account(principal).await?;
        let mut decisions = Vec::new();
        let result = async {
            inner.prove(&account, current_password, &mut decisions).await?;
            let facts = ActorFacts::of(principal);
            run_to_completion(async move {
                let id = account.user.id;
                let rule = |snapshot: &UserSnapshot| {
                    let account = own(snapshot, facts, &account)?;
                    let others = snapshot.others_administer;
                    inner.access.policy().check_administrators(&account.user, None, others)?;
                    Ok(UserChange::Delete)
                };
                let written = inner.write_own(id, &rule).await?;
                inner.deleted(written, EventActor::User(id)).await
            })
            .await
        }
        .await;
        with_decisions(result, decisions)
    }
}

/// Joins a result with what was charged for it, whichever way it ended.
fn with_decisions<T>(result: Result<T>, decisions: Vec<Decision>) -> Result<WithDecisions<T>> {
    match result {
        Ok(value) => Ok(WithDecisions { value, decisions }),
        Err(error) => Err(error.with_decisions(decisions)),
    }
}

/// One's own account as the transaction finds it: active, the session alive, and the password still
/// the one that was verified.
fn own(
    snapshot: &UserSnapshot,
    facts: ActorFacts,
    verified: &Account,
) -> Result<Account, ErrorKind> {
    let account = snapshot.target.clone().ok_or(ErrorKind::SessionRevoked)?;
    if account.user.status != Status::Active || !facts.is_alive_in(account.epoch) {
        return Err(ErrorKind::SessionRevoked);
    }
    // A new password raises the epoch and has another hash. To end one's other sessions does only
    // the first, and to renew a hash at sign-in only the second.
    let same_epoch = account.epoch.number == verified.epoch.number;
    if !same_epoch && account.password_hash.expose() != verified.password_hash.expose() {
        return Err(ErrorKind::WrongPassword);
    }
    Ok(account)
}

impl Inner {
    /// Verifies the current password of an account, reserved against its limit.
    async fn prove(
        &self,
        account: &Account,
        password: &str,
        decisions: &mut Vec<Decision>,
    ) -> Result<()> {
        let by = EventActor::User(account.user.id);
        decisions.extend(self.reserve(account.user.email.canonical(), by, None).await?);
        let tried = TriedPassword::new(password);
        let verified = self.verify(&tried, Some(account)).await?;
        if verified.matches() {
            return Ok(());
        }
        self.emit(EventKind::WrongPassword, EventActor::User(account.user.id), account.user.id);
        Err(ErrorKind::WrongPassword.into())
    }
}
