//! What actors do to others: every rule is asked inside the write's own transaction.

use std::sync::Arc;

use crate::access::{Actor, Permission, Role, Standing, permissions};
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result, Violation};
use crate::event::EventKind;
use crate::id::UserId;
use crate::secret::Secret;
use crate::user::{
    Account, Email, Status, User, UserChange, UserSnapshot, UserWrite, UserWriteOutcome,
};

use super::write::changed;
use super::{Inner, Users};

/// A user to be made by an administrator.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Where the user is reached.
    pub email: Email,
    /// The password that the user begins with.
    pub password: Secret<String>,
    /// The role.
    pub role: Role,
    /// Whether the user may sign in at once. Nobody begins suspended.
    pub status: Status,
}

/// What an administrator changes of a user.
#[derive(Clone, Debug, Default)]
pub struct UserUpdate {
    /// The new e-mail address.
    pub email: Option<Email>,
    /// The new password; it ends all sessions of the user.
    pub password: Option<Secret<String>>,
}

impl Users {
    /// Makes a user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:write`, [`ErrorKind::Invalid`] for a password against
    /// the policy, for status suspended and for a role that the set does not know,
    /// [`ErrorKind::RoleNotAssignable`], [`ErrorKind::EmailTaken`]; or if a store does not answer.
    pub async fn create(&self, actor: Actor, new: NewUser) -> Result<User> {
        actor.check(&permissions::USER_WRITE)?;
        let inner = Arc::clone(&self.inner);
        let mut violations = Vec::new();
        if new.status == Status::Suspended {
            violations.push(Violation::new("status", "must be inactive or active for a new user"));
        }
        inner.check_role(&new.role, &mut violations);
        let password =
            inner.check_password("password", &new.password, Some(&new.email), &mut violations);
        let (Some(password), true) = (password, violations.is_empty()) else {
            return Err(Error::invalid(violations));
        };
        let hash = Secret::new(inner.hashing.hash(password).await?);
        run_to_completion(async move {
            let account = inner.new_account(new.email, hash, new.role, new.status);
            let rule = |standing: Standing, snapshot: &UserSnapshot| {
                inner.access.policy().check_assignable(standing, &account.user.role)?;
                debug_assert!(snapshot.target.is_none(), "an id that was just drawn is nobody's");
                Ok(UserChange::Put(account.clone()))
            };
            let id = account.user.id;
            let written = inner.write(&actor, id, &permissions::USER_WRITE, &rule).await?;
            let user = changed(written)?.1.user;
            inner.emit(EventKind::UserCreated, actor.event_actor(), user.id);
            Ok(user)
        })
        .await
    }

    /// Changes a user's e-mail address, password or both.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:update`, [`ErrorKind::Invalid`] for a password against
    /// the policy, [`ErrorKind::NotFound`], [`ErrorKind::Outranked`] also on oneself,
    /// [`ErrorKind::EmailTaken`]; or if a store does not answer.
    pub async fn update(&self, actor: Actor, id: UserId, update: UserUpdate) -> Result<User> {
        actor.check(&permissions::USER_UPDATE)?;
        let inner = Arc::clone(&self.inner);
        let hash = match &update.password {
            None => None,
            Some(password) => {
                Some(inner.hash_for(&actor, id, password, update.email.as_ref()).await?)
            }
        };
        run_to_completion(async move {
            let now = inner.time.now();
            let rule = |standing: Standing, snapshot: &UserSnapshot| {
                let mut account = inner.target(standing, snapshot)?;
                let new_email = update
                    .email
                    .as_ref()
                    .filter(|email| email.as_str() != account.user.email.as_str());
                if new_email.is_none() && hash.is_none() {
                    return Ok(UserChange::Nothing);
                }
                if let Some(email) = new_email {
                    account.user.email = email.clone();
                }
                if let Some(hash) = &hash {
                    account.password_hash = hash.clone();
                    account.epoch = account.epoch.next(None);
                }
                account.user.updated_at = now;
                Ok(UserChange::Put(account))
            };
            let written = inner.write(&actor, id, &permissions::USER_UPDATE, &rule).await?;
            let (before, after) = changed(written)?;
            if let Some(before) = &before {
                if hash.is_some() {
                    inner.end_sessions(id, before.epoch, None, actor.event_actor()).await;
                    inner.emit(EventKind::PasswordChanged, actor.event_actor(), id);
                }
                if before.user.email.as_str() != after.user.email.as_str() {
                    inner.emit(EventKind::EmailChanged, actor.event_actor(), id);
                }
            }
            Ok(after.user)
        })
        .await
    }

    /// Sets a user's password without the old one, for the system's own use: it ends all sessions
    /// of the user.
    ///
    /// # Errors
    ///
    /// As [`Users::update`].
    pub async fn reset_password(
        &self,
        actor: Actor,
        id: UserId,
        password: Secret<String>,
    ) -> Result<User> {
        self.update(actor, id, UserUpdate { email: None, password: Some(password) }).await
    }

    /// Changes a user's role. Sessions go on, under the new role.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:change_role`, [`ErrorKind::Invalid`] for a role that
    /// the set does not know, [`ErrorKind::NotFound`], [`ErrorKind::Outranked`] also on oneself,
    /// [`ErrorKind::RoleNotAssignable`], [`ErrorKind::LastAdministrator`]; or if a store does not
    /// answer.
    pub async fn change_role(&self, actor: Actor, id: UserId, role: Role) -> Result<User> {
        actor.check(&permissions::USER_CHANGE_ROLE)?;
        let inner = Arc::clone(&self.inner);
        let mut violations = Vec::new();
        inner.check_role(&role, &mut violations);
        if !violations.is_empty() {
            return Err(Error::invalid(violations));
        }
        run_to_completion(async move {
            let now = inner.time.now();
            let policy = inner.access.policy();
            let rule = |standing: Standing, snapshot: &UserSnapshot| {
                let mut account = inner.target(standing, snapshot)?;
                policy.check_assignable(standing, &role)?;
                if account.user.role == role {
                    return Ok(UserChange::Nothing);
                }
                let before = account.user.clone();
                account.user.role = role.clone();
                account.user.updated_at = now;
                let after = Some(&account.user);
                policy.check_administrators(&before, after, snapshot.others_administer)?;
                Ok(UserChange::Put(account))
            };
            let written = inner.write(&actor, id, &permissions::USER_CHANGE_ROLE, &rule).await?;
            let (before, after) = changed(written)?;
            if before.is_some() {
                inner.validator.user_changed(id).await;
                inner.emit(EventKind::RoleChanged, actor.event_actor(), id);
            }
            Ok(after.user)
        })
        .await
    }

    /// Changes a user's status. Suspension ends all sessions.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:change_status`, [`ErrorKind::NotFound`],
    /// [`ErrorKind::Outranked`] also on oneself, [`ErrorKind::InvalidTransition`],
    /// [`ErrorKind::LastAdministrator`]; or if a store does not answer.
    pub async fn change_status(&self, actor: Actor, id: UserId, status: Status) -> Result<User> {
        actor.check(&permissions::USER_CHANGE_STATUS)?;
        let inner = Arc::clone(&self.inner);
        run_to_completion(async move {
            let now = inner.time.now();
            let policy = inner.access.policy();
            let rule = |standing: Standing, snapshot: &UserSnapshot| {
                let mut account = inner.target(standing, snapshot)?;
                if account.user.status == status {
                    return Ok(UserChange::Nothing);
                }
                if !account.user.status.may_become(status) {
                    return Err(ErrorKind::InvalidTransition);
                }
                let before = account.user.clone();
                account.user.status = status;
                account.user.updated_at = now;
                if status == Status::Suspended {
                    account.epoch = account.epoch.next(None);
                }
                let after = Some(&account.user);
                policy.check_administrators(&before, after, snapshot.others_administer)?;
                Ok(UserChange::Put(account))
            };
            let written = inner.write(&actor, id, &permissions::USER_CHANGE_STATUS, &rule).await?;
            let (before, after) = changed(written)?;
            if let Some(before) = before {
                if status == Status::Suspended {
                    inner.end_sessions(id, before.epoch, None, actor.event_actor()).await;
                } else {
                    inner.validator.user_changed(id).await;
                }
                inner.emit(EventKind::StatusChanged, actor.event_actor(), id);
            }
            Ok(after.user)
        })
        .await
    }

    /// Deletes another user. Every session of theirs ends.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:delete`, [`ErrorKind::NotFound`],
    /// [`ErrorKind::Outranked`] also on oneself, [`ErrorKind::LastAdministrator`]; or if a store
    /// does not answer.
    pub async fn delete(&self, actor: Actor, id: UserId) -> Result<()> {
        actor.check(&permissions::USER_DELETE)?;
        let inner = Arc::clone(&self.inner);
        run_to_completion(async move {
            let rule = |standing: Standing, snapshot: &UserSnapshot| {
                let account = inner.target(standing, snapshot)?;
                let others = snapshot.others_administer;
                inner.access.policy().check_administrators(&account.user, None, others)?;
                Ok(UserChange::Delete)
            };
            let written = inner.write(&actor, id, &permissions::USER_DELETE, &rule).await?;
            inner.deleted(written, actor.event_actor()).await
        })
        .await
    }
}

/// A rule over somebody whom an actor acts on.
type Rule<'a> =
    &'a (dyn Fn(Standing, &UserSnapshot) -> Result<UserChange, ErrorKind> + Send + Sync);

impl Inner {
    /// Writes for an actor, who is checked anew inside the transaction.
    async fn write(
        &self,
        actor: &Actor,
        target: UserId,
        needs: &Permission,
        rule: Rule<'_>,
    ) -> Result<UserWriteOutcome> {
        let facts = actor.facts();
        let (table, _) = self.access.table(None).await?;
        let policy = self.access.policy();
        let decide = |snapshot: &UserSnapshot| {
            let view = snapshot.actor.as_ref();
            let standing = policy.admit(facts.as_ref(), view, needs, &table)?;
            rule(standing, snapshot)
        };
        let actor = facts.as_ref().map(|facts| facts.user);
        let top_role = policy.roles().top();
        Ok(self.users.write(UserWrite { actor, target, top_role, decide: &decide }).await?)
    }

    /// The user to act on, if there is one and the actor may.
    fn target(&self, standing: Standing, snapshot: &UserSnapshot) -> Result<Account, ErrorKind> {
        let account = snapshot.target.as_ref().ok_or(ErrorKind::NotFound)?;
        self.access.policy().check_target(standing, &account.user)?;
        Ok(account.clone())
    }

    /// Hashes a password for another user, who has, or is about to have, an e-mail address.
    async fn hash_for(
        &self,
        actor: &Actor,
        id: UserId,
        password: &Secret<String>,
        new_email: Option<&Email>,
    ) -> Result<Secret<String>> {
        let check = |email: Option<&Email>| {
            let mut violations = Vec::new();
            let password = self.check_password("password", password, email, &mut violations);
            password.ok_or_else(|| Error::invalid(violations))
        };
        check(new_email)?;
        // Only now whose it is: what the policy says of a password must not show the address of
        // somebody on whom the actor may not act, and nobody's work is done for such a one.
        let target = self.users.by_id(id).await?.ok_or(ErrorKind::NotFound)?.user;
        let policy = self.access.policy();
        policy.check_target(actor.standing(policy), &target)?;
        let password = check(new_email.or(Some(&target.email)))?;
        Ok(Secret::new(self.hashing.hash(password).await?))
    }

    fn check_role(&self, role: &Role, violations: &mut Vec<Violation>) {
        let roles = self.access.policy().roles();
        if !roles.contains(role) {
            let names: Vec<_> = roles.iter().map(Role::as_str).collect();
            violations.push(Violation::new("role", format!("must be one of {}", names.join(", "))));
        }
    }
}
