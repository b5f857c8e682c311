//! Changes of users by an administrator. Every rule is evaluated inside the write's own transaction.

use std::sync::Arc;

use crate::access::{Permission, Role, permissions};
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result, Violation};
use crate::event::EventKind;
use crate::id::UserId;
use crate::language::Languages;
use crate::secret::Secret;
use crate::store::{StoreTransaction, UserChange, UserSnapshot, UserWriteOutcome};
use crate::user::{Account, Email, NewService, NewUser, Status, User, UserKind, UserUpdate};

use super::context::{Acting, changed, check_person, deleted, explain_service};
use super::{Actor, ActorView, Context, Policy, Standing, Uncommitted, Users};

impl Users {
    /// Creates a user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:write`, [`ErrorKind::Invalid`] for a password against
    /// the policy, for the address of a service account, for status suspended and for a role that is not
    /// configured, [`ErrorKind::RoleNotAssignable`], [`ErrorKind::EmailTaken`]; or if a store is unavailable.
    pub async fn create(&self, actor: Actor, new: NewUser) -> Result<User> {
        let context = Arc::clone(&self.context);
        let account = context.created(&actor, new).await?;
        run_to_completion(async move {
            let user = context.create(None, &actor, &account).await?;
            context.emit(EventKind::UserCreated, actor.event_actor(), &user);
            Ok(user)
        })
        .await
    }

    /// Creates a user within a transaction of the application: see
    /// [`Goat::sign_up_in`](crate::Goat::sign_up_in). Other changes by actors wait for its end.
    ///
    /// # Errors
    ///
    /// As [`Users::create`]; [`ErrorKind::Internal`] if the user store cannot join the transaction.
    pub async fn create_in<'a>(
        &self,
        transaction: impl Into<StoreTransaction<'a>> + Send,
        actor: Actor,
        new: NewUser,
    ) -> Result<Uncommitted<User>> {
        let mut transaction = transaction.into();
        let context = Arc::clone(&self.context);
        let account = context.created(&actor, new).await?;
        let user = context.create(Some(&mut transaction), &actor, &account).await?;
        let created = user.clone();
        Ok(Uncommitted::new(user, async move {
            context.emit(EventKind::UserCreated, actor.event_actor(), &created);
        }))
    }

    /// Creates a service account: an active user for a program, with an address that receives no mail. It
    /// has a role and a rank as any user, and no way to sign in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:write`, [`ErrorKind::Invalid`] for a role that is not
    /// configured, [`ErrorKind::RoleNotAssignable`], [`ErrorKind::EmailTaken`]; or if a store is unavailable.
    pub async fn create_service(&self, actor: Actor, new: NewService) -> Result<User> {
        actor.check(&permissions::USER_WRITE)?;
        let context = Arc::clone(&self.context);
        let mut violations = Vec::new();
        context.check_role(&new.role, &mut violations);
        if !violations.is_empty() {
            return Err(Error::invalid(violations));
        }
        let email = new.name.email().clone();
        let hash = context.initial_hash(None).await?;
        let account = context.new_account(email, hash, new.role, Status::Active);
        run_to_completion(async move {
            let user = context.create(None, &actor, &account).await?;
            context.emit(EventKind::UserCreated, actor.event_actor(), &user);
            Ok(user)
        })
        .await
    }

    /// Changes a user's e-mail address, password or both.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:update`, [`ErrorKind::SessionRequired`] for an API key,
    /// [`ErrorKind::Invalid`] for a password against the policy and for the address of a service account,
    /// [`ErrorKind::NotFound`], [`ErrorKind::Outranked`] also for the actor itself,
    /// [`ErrorKind::InvalidTransition`] for a service account, which has no password and keeps its address,
    /// [`ErrorKind::EmailTaken`]; or if a store is unavailable.
    pub async fn update(&self, actor: Actor, id: UserId, update: UserUpdate) -> Result<User> {
        actor.check(&permissions::USER_UPDATE)?;
        actor.require_session()?;
        let violations = update.email.as_ref().map(check_person).unwrap_or_default();
        if !violations.is_empty() {
            return Err(Error::invalid(violations));
        }
        let context = Arc::clone(&self.context);
        let hash = match &update.password {
            None => None,
            Some(password) => {
                Some(context.hash_for(&actor, id, password, update.email.as_ref()).await?)
            }
        };
        run_to_completion(async move {
            let now = context.time.now();
            let rule = |standing: &Standing, snapshot: &UserSnapshot| {
                let mut account = context.target(standing, snapshot)?;
                if account.user.kind() == UserKind::Service {
                    return Err(ErrorKind::InvalidTransition);
                }
                let new_email = update
                    .email
                    .as_ref()
                    .filter(|email| email.as_str() != account.user.email.as_str());
                if new_email.is_none() && hash.is_none() {
                    return Ok(UserChange::Nothing);
                }
                if let Some(email) = new_email {
                    account.user.set_email(email.clone());
                }
                if let Some(hash) = &hash {
                    account.password_hash = hash.clone();
                    account.epoch = account.epoch.next(None);
                }
                account.user.updated_at = now;
                Ok(UserChange::Put(account))
            };
            let written =
                context.write_as(&actor, id, &permissions::USER_UPDATE, None, &rule).await?;
            let (before, after) = changed(written).map_err(explain_service)?;
            if let Some(before) = before {
                if hash.is_some() {
                    context
                        .end_sessions(&before.user, before.epoch, None, actor.event_actor())
                        .await;
                    context.emit(EventKind::PasswordChanged, actor.event_actor(), &after.user);
                    // To the earlier address, if that changes too: the new one may not be the owner's.
                    let languages = Languages::default();
                    context.notify_password_changed(&before.user, &languages, now).await;
                }
                if before.user.email.canonical() != after.user.email.canonical() {
                    context.note_rescue(&before.user, now).await;
                }
                if before.user.email.as_str() != after.user.email.as_str() {
                    let before = before.user.email;
                    context.emit_email_changed(actor.event_actor(), before, &after.user);
                }
            }
            Ok(after.user)
        })
        .await
    }

    /// Sets a user's password without the current one, which ends all sessions of the user.
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

    /// Changes a user's role. Sessions stay live, with the new role.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:change_role`, [`ErrorKind::Invalid`] for a role that is
    /// not configured, [`ErrorKind::NotFound`], [`ErrorKind::Outranked`] also for the actor itself,
    /// [`ErrorKind::RoleNotAssignable`], [`ErrorKind::LastAdministrator`]; or if a store is
    /// unavailable.
    pub async fn change_role(&self, actor: Actor, id: UserId, role: Role) -> Result<User> {
        actor.check(&permissions::USER_CHANGE_ROLE)?;
        let context = Arc::clone(&self.context);
        let mut violations = Vec::new();
        context.check_role(&role, &mut violations);
        if !violations.is_empty() {
            return Err(Error::invalid(violations));
        }
        run_to_completion(async move {
            let now = context.time.now();
            let rule = |standing: &Standing, snapshot: &UserSnapshot| {
                let mut account = context.target(standing, snapshot)?;
                Policy::check_assignable(standing, &role)?;
                if account.user.role == role {
                    return Ok(UserChange::Nothing);
                }
                let before = account.user.clone();
                account.user.role = role.clone();
                account.user.updated_at = now;
                context.check_administrators(&before, Some(&account.user), snapshot)?;
                Ok(UserChange::Put(account))
            };
            let needs = &permissions::USER_CHANGE_ROLE;
            let written = context.write_as(&actor, id, needs, Some(&role), &rule).await?;
            let (before, after) = context.assigned(written)?;
            if before.is_some() {
                context.emit(EventKind::RoleChanged, actor.event_actor(), &after.user);
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
    /// [`ErrorKind::Outranked`] also for the actor itself, [`ErrorKind::InvalidTransition`],
    /// [`ErrorKind::LastAdministrator`]; or if a store is unavailable.
    pub async fn change_status(&self, actor: Actor, id: UserId, status: Status) -> Result<User> {
        actor.check(&permissions::USER_CHANGE_STATUS)?;
        let context = Arc::clone(&self.context);
        run_to_completion(async move {
            let now = context.time.now();
            let rule = |standing: &Standing, snapshot: &UserSnapshot| {
                let mut account = context.target(standing, snapshot)?;
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
                context.check_administrators(&before, Some(&account.user), snapshot)?;
                Ok(UserChange::Put(account))
            };
            let needs = &permissions::USER_CHANGE_STATUS;
            let written = context.write_as(&actor, id, needs, None, &rule).await?;
            let (before, after) = changed(written)?;
            if let Some(before) = before {
                if status == Status::Suspended {
                    context
                        .end_sessions(&after.user, before.epoch, None, actor.event_actor())
                        .await;
                }
                context.emit(EventKind::StatusChanged, actor.event_actor(), &after.user);
            }
            Ok(after.user)
        })
        .await
    }

    /// Deletes another user and ends all of their sessions.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:delete`, [`ErrorKind::NotFound`],
    /// [`ErrorKind::Outranked`] also for the actor itself, [`ErrorKind::LastAdministrator`]; or if a store
    /// is unavailable.
    pub async fn delete(&self, actor: Actor, id: UserId) -> Result<()> {
        let context = Arc::clone(&self.context);
        run_to_completion(async move {
            let account = context.delete(None, &actor, id).await?;
            context.deleted(&account, actor.event_actor()).await;
            Ok(())
        })
        .await
    }

    /// Deletes another user within a transaction of the application, and returns the user as it was: see
    /// [`Goat::sign_up_in`](crate::Goat::sign_up_in). Other changes by actors wait for its end. The user's
    /// sessions are invalid from the commit; [`Uncommitted::committed`] evicts them from the caches.
    ///
    /// # Errors
    ///
    /// As [`Users::delete`]; [`ErrorKind::Internal`] if the user store cannot join the transaction.
    pub async fn delete_in<'a>(
        &self,
        transaction: impl Into<StoreTransaction<'a>> + Send,
        actor: Actor,
        id: UserId,
    ) -> Result<Uncommitted<User>> {
        let mut transaction = transaction.into();
        let context = Arc::clone(&self.context);
        let account = context.delete(Some(&mut transaction), &actor, id).await?;
        Ok(Uncommitted::new(account.user.clone(), async move {
            context.invalidate_user(id).await;
            context.deleted(&account, actor.event_actor()).await;
        }))
    }
}

/// A rule over the change of a user by an actor.
pub(super) type Rule<'a> =
    &'a (dyn Fn(&Standing, &UserSnapshot) -> Result<UserChange, ErrorKind> + Send + Sync);

impl Context {
    /// Returns the account of a new user, with the hash of its password.
    pub(super) async fn created(&self, actor: &Actor, new: NewUser) -> Result<Account> {
        actor.check(&permissions::USER_WRITE)?;
        let mut violations = check_person(&new.email);
        if new.status == Status::Suspended {
            violations.push(Violation::new("status", "must be inactive or active for a new user"));
        }
        self.check_role(&new.role, &mut violations);
        let email = Some(&new.email);
        let password = match &new.password {
            Some(password) => {
                self.check_password("password", password, email, &mut violations).await?
            }
            None => None,
        };
        if !violations.is_empty() {
            return Err(Error::invalid(violations));
        }
        let hash = self.initial_hash(password).await?;
        Ok(self.new_account(new.email, hash, new.role, new.status))
    }

    pub(super) async fn create(
        &self,
        within: Option<&mut StoreTransaction<'_>>,
        actor: &Actor,
        account: &Account,
    ) -> Result<User> {
        let rule = |standing: &Standing, snapshot: &UserSnapshot| {
            Policy::check_assignable(standing, &account.user.role)?;
            debug_assert!(snapshot.target.is_none(), "a new id is unused");
            Ok(UserChange::Put(account.clone()))
        };
        let (id, role, needs) = (account.user.id, &account.user.role, &permissions::USER_WRITE);
        let written = self.write_within(within, actor, id, needs, Some(role), &rule).await?;
        Ok(self.assigned(written)?.1.user)
    }

    async fn delete(
        &self,
        within: Option<&mut StoreTransaction<'_>>,
        actor: &Actor,
        id: UserId,
    ) -> Result<Account> {
        actor.check(&permissions::USER_DELETE)?;
        let rule = |standing: &Standing, snapshot: &UserSnapshot| {
            let account = self.target(standing, snapshot)?;
            self.check_administrators(&account.user, None, snapshot)?;
            Ok(UserChange::Delete)
        };
        let needs = &permissions::USER_DELETE;
        deleted(self.write_within(within, actor, id, needs, None, &rule).await?)
    }

    /// Writes for an actor; `assigns` is the role that the write gives to the target. The transaction
    /// checks the actor's authorization and the role again.
    pub(super) async fn write_as(
        &self,
        actor: &Actor,
        target: UserId,
        needs: &Permission,
        assigns: Option<&Role>,
        rule: Rule<'_>,
    ) -> Result<UserWriteOutcome> {
        self.write_within(None, actor, target, needs, assigns, rule).await
    }

    /// Like [`Context::write_as`], also within a transaction of the application.
    async fn write_within(
        &self,
        within: Option<&mut StoreTransaction<'_>>,
        actor: &Actor,
        target: UserId,
        needs: &Permission,
        assigns: Option<&Role>,
        rule: Rule<'_>,
    ) -> Result<UserWriteOutcome> {
        let facts = actor.facts();
        let table = self.role_table.table(None).await?;
        let decide = |snapshot: &UserSnapshot| {
            let view = ActorView::from(snapshot);
            let standing = self.policy.authorize(facts.as_ref(), view, needs, &table)?;
            if let Some(role) = assigns {
                self.policy.check_exists(role, snapshot, &table)?;
            }
            rule(&standing, snapshot)
        };
        let acting = Acting::of(facts.as_ref());
        self.write_user_within(within, acting, target, assigns, &decide).await
    }

    /// Returns the accounts of a write that assigned a role, or the violation if the role does not exist.
    fn assigned(&self, outcome: UserWriteOutcome) -> Result<(Option<Account>, Account)> {
        match outcome {
            UserWriteOutcome::Refused(ErrorKind::Invalid) => {
                // Deleted after this node last read the roles.
                self.role_table.mark_stale();
                Err(Error::invalid(vec![Violation::new("role", "must be the name of a role")]))
            }
            outcome => changed(outcome),
        }
    }

    /// Returns the target of a write, if it exists and the actor may act on it.
    pub(super) fn target(
        &self,
        standing: &Standing,
        snapshot: &UserSnapshot,
    ) -> Result<Account, ErrorKind> {
        let account = snapshot.target.as_ref().ok_or(ErrorKind::NotFound)?;
        Policy::check_target(standing, &account.user)?;
        Ok(account.clone())
    }

    /// Checks and hashes a password for another user.
    async fn hash_for(
        &self,
        actor: &Actor,
        id: UserId,
        password: &Secret<String>,
        new_email: Option<&Email>,
    ) -> Result<Secret<String>> {
        let mut violations = Vec::new();
        self.check_password("password", password, new_email, &mut violations).await?;
        if !violations.is_empty() {
            return Err(Error::invalid(violations));
        }
        // The user is read only now: a violation that depends on the e-mail address must not reveal the
        // address of a user that the actor may not act on, and no hash is computed for one.
        let target = self.stores.users.by_id(id).await?.ok_or(ErrorKind::NotFound)?.user;
        Policy::check_target(&actor.standing(), &target)?;
        if target.kind() == UserKind::Service {
            return Err(explain_service(ErrorKind::InvalidTransition.into()));
        }
        let email = new_email.or(Some(&target.email));
        let password = self.parse_password("password", password, email, &mut violations);
        let password = password.ok_or_else(|| Error::invalid(violations))?;
        Ok(Secret::new(self.hasher.hash(password).await?))
    }

    fn check_role(&self, role: &Role, violations: &mut Vec<Violation>) {
        let table = self.role_table.known();
        if !table.contains(role) {
            violations.push(Violation::new("role", table.requirement()));
        }
    }
}
