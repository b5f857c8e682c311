//! What an application may ask about users.

use std::sync::Arc;

use crate::access::{
    Access, Actor, ActorFacts, Permission, Principal, Role, Standing, permissions,
};
use crate::clock::Time;
use crate::error::{Error, ErrorKind, Result, Violation};
use crate::event::{Doer, Event, EventKind, Observer};
use crate::id::{SessionId, UserId};
use crate::limit::{AccountLimit, Charged};
use crate::password::{HashGate, NewPassword, PasswordPolicy, TriedPassword};
use crate::secret::Secret;
use crate::session::{SessionEpoch, SessionStore, Verdicts};
use crate::task::to_the_end;

use super::list::canonical_search;
use super::{
    Account, Change, Email, Snapshot, Status, User, UserFilter, UserPage, UserQuery, UserStore,
    UserWrite, Written,
};

/// Users: seen, made, changed, deleted.
#[derive(Clone, Debug)]
pub struct Users {
    inner: Arc<Inner>,
}

/// What the services of users and the flows that write users stand on.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) users: Arc<dyn UserStore>,
    pub(crate) sessions: Arc<dyn SessionStore>,
    pub(crate) access: Arc<Access>,
    pub(crate) verdicts: Arc<Verdicts>,
    pub(crate) hashing: HashGate,
    pub(crate) passwords: PasswordPolicy,
    pub(crate) attempts: AccountLimit,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) time: Time,
}

/// A user, with what they may do.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The user.
    pub user: User,
    /// What the user's role may do.
    pub permissions: Vec<Permission>,
}

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
    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// The caller, and what they may do.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionRevoked`] if the user is gone; or if a store does not answer.
    pub async fn profile(&self, principal: &Principal) -> Result<Profile> {
        let account = self.inner.own_account(principal).await?;
        let (table, _) = self.inner.access.table(None).await?;
        let known = self.inner.access.policy().roles().contains(&account.user.role);
        let grants = table.of(&account.user.role).filter(|_| known);
        let permissions = grants.map(|grant| grant.permission.clone()).collect();
        Ok(Profile { user: account.user, permissions })
    }

    /// A page of the users whom the caller may act on, and the caller.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:read`; or if the store does not answer.
    pub async fn list(&self, principal: &Principal, mut filter: UserFilter) -> Result<UserPage> {
        need(principal, &permissions::USER_READ)?;
        let policy = self.inner.access.policy();
        let rank = policy.roles().rank(principal.role());
        let hidden = policy.roles().iter().filter(|role| !policy.outranks(rank, role));
        let hidden_roles = hidden.cloned().collect();
        filter.search = filter.search.as_deref().map(canonical_search);
        let query = UserQuery { filter, hidden_roles, except: Some(principal.user()) };
        Ok(self.inner.users.list(&query).await?)
    }

    /// One user: oneself, or somebody whom the caller may act on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:read`, [`ErrorKind::NotFound`],
    /// [`ErrorKind::Outranked`]; or if the store does not answer.
    pub async fn find(&self, principal: &Principal, id: UserId) -> Result<User> {
        need(principal, &permissions::USER_READ)?;
        let account = self.inner.users.by_id(id).await?.ok_or(ErrorKind::NotFound)?;
        let policy = self.inner.access.policy();
        let rank = policy.roles().rank(principal.role());
        if id != principal.user() && !policy.outranks(rank, &account.user.role) {
            return Err(ErrorKind::Outranked.into());
        }
        Ok(account.user)
    }

    /// The user behind an e-mail address, for the system's own use: it is shown to nobody but an
    /// operator at the command line.
    ///
    /// # Errors
    ///
    /// If the store does not answer.
    pub async fn find_by_email(&self, email: &Email) -> Result<Option<User>> {
        let account = self.inner.users.by_email(email.canonical()).await?;
        Ok(account.map(|account| account.user))
    }

    /// A page of all users, for the system's own use.
    ///
    /// # Errors
    ///
    /// If the store does not answer.
    pub async fn list_all(&self, mut filter: UserFilter) -> Result<UserPage> {
        filter.search = filter.search.as_deref().map(canonical_search);
        let query = UserQuery { filter, hidden_roles: Vec::new(), except: None };
        Ok(self.inner.users.list(&query).await?)
    }

    /// Whether there is an administrator: somebody active in the highest role.
    ///
    /// # Errors
    ///
    /// If the store does not answer.
    pub async fn has_administrator(&self) -> Result<bool> {
        let top = self.inner.access.policy().roles().top();
        Ok(self.inner.users.anyone_active_in(top).await?)
    }

    /// Makes a user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:write`, [`ErrorKind::Invalid`] for a password against
    /// the policy, for status suspended and for a role that the set does not know,
    /// [`ErrorKind::RoleNotAssignable`], [`ErrorKind::EmailTaken`]; or if a store does not answer.
    pub async fn create(&self, actor: Actor, new: NewUser) -> Result<User> {
        let inner = Arc::clone(&self.inner);
        let mut violations = Vec::new();
        if new.status == Status::Suspended {
            violations.push(Violation::new("status", "must be inactive or active for a new user"));
        }
        inner.check_role(&new.role, &mut violations);
        let password = inner.check_password("password", &new.password, &new.email, &mut violations);
        let (Some(password), true) = (password, violations.is_empty()) else {
            return Err(Error::invalid(violations));
        };
        let hash = Secret::new(inner.hashing.hash(password).await?);
        to_the_end(async move {
            let account = inner.new_account(new.email, hash, new.role, new.status);
            let rule = |standing: Standing, snapshot: &Snapshot| {
                inner.access.policy().check_assignable(standing, &account.user.role)?;
                debug_assert!(snapshot.target.is_none(), "an id that was just drawn is nobody's");
                Ok(Change::Put(account.clone()))
            };
            let id = account.user.id;
            let written = inner.write(&actor, id, &permissions::USER_WRITE, &rule).await?;
            let user = changed(written)?.1.user;
            inner.tell(EventKind::UserCreated, actor.doer(), user.id);
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
        let inner = Arc::clone(&self.inner);
        let hash = match &update.password {
            None => None,
            Some(password) => Some(inner.hash_for(id, password, update.email.as_ref()).await?),
        };
        to_the_end(async move {
            let now = inner.time.now();
            let rule = |standing: Standing, snapshot: &Snapshot| {
                let mut account = inner.target(standing, snapshot)?;
                let new_email = update
                    .email
                    .as_ref()
                    .filter(|email| email.as_str() != account.user.email.as_str());
                if new_email.is_none() && hash.is_none() {
                    return Ok(Change::Nothing);
                }
                if let Some(email) = new_email {
                    account.user.email = email.clone();
                }
                if let Some(hash) = &hash {
                    account.password_hash = hash.clone();
                    account.epoch = account.epoch.next(None);
                }
                account.user.updated_at = now;
                Ok(Change::Put(account))
            };
            let written = inner.write(&actor, id, &permissions::USER_UPDATE, &rule).await?;
            let (before, after) = changed(written)?;
            if let Some(before) = &before {
                if hash.is_some() {
                    inner.end_sessions(id, before.epoch, None, actor.doer()).await;
                    inner.tell(EventKind::PasswordChanged, actor.doer(), id);
                }
                if before.user.email != after.user.email {
                    inner.tell(EventKind::EmailChanged, actor.doer(), id);
                }
            }
            Ok(after.user)
        })
        .await
    }

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
    ) -> Result<Charged<User>> {
        let inner = Arc::clone(&self.inner);
        let account = inner.own_account(principal).await?;
        if account.user.email.as_str() == email.as_str() {
            return Ok(Charged { value: account.user, charges: Vec::new() });
        }
        let mut charges = Vec::new();
        let result = async {
            inner.prove(&account, current_password, &mut charges).await?;
            let facts = ActorFacts::of(principal);
            to_the_end(async move {
                let now = inner.time.now();
                let number = account.epoch.number;
                let id = account.user.id;
                let rule = |snapshot: &Snapshot| {
                    let mut account = own(snapshot, facts, number)?;
                    account.user.email = email.clone();
                    account.user.updated_at = now;
                    Ok(Change::Put(account))
                };
                let user = changed(inner.write_own(id, &rule).await?)?.1.user;
                inner.tell(EventKind::EmailChanged, Doer::User(id), id);
                Ok(user)
            })
            .await
        }
        .await;
        charged(result, charges)
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
    ) -> Result<Charged<u64>> {
        let inner = Arc::clone(&self.inner);
        let account = inner.own_account(principal).await?;
        let mut violations = Vec::new();
        let email = &account.user.email;
        let new = inner.check_password("new_password", new_password, email, &mut violations);
        let Some(new) = new else { return Err(Error::invalid(violations)) };
        let mut charges = Vec::new();
        let result = async {
            inner.prove(&account, current_password, &mut charges).await?;
            if new.is_same_as(&TriedPassword::new(current_password)) {
                return Err(ErrorKind::PasswordUnchanged.into());
            }
            let hash = Secret::new(inner.hashing.hash(new).await?);
            let facts = ActorFacts::of(principal);
            let session = principal.session();
            to_the_end(async move {
                let now = inner.time.now();
                let number = account.epoch.number;
                let id = account.user.id;
                let rule = |snapshot: &Snapshot| {
                    let mut account = own(snapshot, facts, number)?;
                    account.password_hash = hash.clone();
                    account.epoch = account.epoch.next(Some(session));
                    account.user.updated_at = now;
                    Ok(Change::Put(account))
                };
                let (before, _) = changed(inner.write_own(id, &rule).await?)?;
                let epoch = before.map_or(account.epoch, |before| before.epoch);
                let ended = inner.end_sessions(id, epoch, Some(session), Doer::User(id)).await;
                inner.tell(EventKind::PasswordChanged, Doer::User(id), id);
                Ok(ended)
            })
            .await
        }
        .await;
        charged(result, charges)
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
        let inner = Arc::clone(&self.inner);
        let mut violations = Vec::new();
        inner.check_role(&role, &mut violations);
        if !violations.is_empty() {
            return Err(Error::invalid(violations));
        }
        to_the_end(async move {
            let now = inner.time.now();
            let policy = inner.access.policy();
            let rule = |standing: Standing, snapshot: &Snapshot| {
                let mut account = inner.target(standing, snapshot)?;
                policy.check_assignable(standing, &role)?;
                if account.user.role == role {
                    return Ok(Change::Nothing);
                }
                let before = account.user.clone();
                account.user.role = role.clone();
                account.user.updated_at = now;
                let after = Some(&account.user);
                policy.check_administrators(&before, after, snapshot.others_administer)?;
                Ok(Change::Put(account))
            };
            let written = inner.write(&actor, id, &permissions::USER_CHANGE_ROLE, &rule).await?;
            let (before, after) = changed(written)?;
            if before.is_some() {
                inner.verdicts.user_changed(id).await;
                inner.tell(EventKind::RoleChanged, actor.doer(), id);
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
        let inner = Arc::clone(&self.inner);
        to_the_end(async move {
            let now = inner.time.now();
            let policy = inner.access.policy();
            let rule = |standing: Standing, snapshot: &Snapshot| {
                let mut account = inner.target(standing, snapshot)?;
                if account.user.status == status {
                    return Ok(Change::Nothing);
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
                Ok(Change::Put(account))
            };
            let written = inner.write(&actor, id, &permissions::USER_CHANGE_STATUS, &rule).await?;
            let (before, after) = changed(written)?;
            if let Some(before) = before {
                if status == Status::Suspended {
                    inner.end_sessions(id, before.epoch, None, actor.doer()).await;
                } else {
                    inner.verdicts.user_changed(id).await;
                }
                inner.tell(EventKind::StatusChanged, actor.doer(), id);
            }
            Ok(after.user)
        })
        .await
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
    ) -> Result<Charged<()>> {
        let inner = Arc::clone(&self.inner);
        let account = inner.own_account(principal).await?;
        let mut charges = Vec::new();
        let result = async {
            inner.prove(&account, current_password, &mut charges).await?;
            let facts = ActorFacts::of(principal);
            to_the_end(async move {
                let number = account.epoch.number;
                let id = account.user.id;
                let rule = |snapshot: &Snapshot| {
                    let account = own(snapshot, facts, number)?;
                    let others = snapshot.others_administer;
                    inner.access.policy().check_administrators(&account.user, None, others)?;
                    Ok(Change::Delete)
                };
                let written = inner.write_own(id, &rule).await?;
                inner.deleted(written, Doer::User(id)).await
            })
            .await
        }
        .await;
        charged(result, charges)
    }

    /// Deletes another user. Every session of theirs ends.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `user:delete`, [`ErrorKind::NotFound`],
    /// [`ErrorKind::Outranked`] also on oneself, [`ErrorKind::LastAdministrator`]; or if a store
    /// does not answer.
    pub async fn delete(&self, actor: Actor, id: UserId) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move {
            let rule = |standing: Standing, snapshot: &Snapshot| {
                let account = inner.target(standing, snapshot)?;
                let others = snapshot.others_administer;
                inner.access.policy().check_administrators(&account.user, None, others)?;
                Ok(Change::Delete)
            };
            let written = inner.write(&actor, id, &permissions::USER_DELETE, &rule).await?;
            inner.deleted(written, actor.doer()).await
        })
        .await
    }
}

fn need(principal: &Principal, permission: &Permission) -> Result<()> {
    if principal.may(permission) { Ok(()) } else { Err(ErrorKind::Forbidden.into()) }
}

/// What a write left: the account before it, unless nothing changed, and the account now.
fn changed(written: Written) -> Result<(Option<Account>, Account)> {
    match written {
        Written::Refused(kind) => Err(kind.into()),
        Written::EmailTaken => Err(ErrorKind::EmailTaken.into()),
        Written::Unchanged(account) => Ok((None, account)),
        Written::Changed { before, after } => Ok((before, after)),
        Written::Deleted(_) => Err(ErrorKind::NotFound.into()),
    }
}

/// Joins a result with what was charged for it, whichever way it ended.
fn charged<T>(result: Result<T>, charges: Vec<crate::limit::Charge>) -> Result<Charged<T>> {
    match result {
        Ok(value) => Ok(Charged { value, charges }),
        Err(error) => Err(error.with_charges(charges)),
    }
}

/// One's own account as the transaction finds it: active, the session alive, and the password still
/// the one that was verified, since a new one would have raised the epoch.
fn own(snapshot: &Snapshot, facts: ActorFacts, verified: u64) -> Result<Account, ErrorKind> {
    let account = snapshot.target.clone().ok_or(ErrorKind::SessionRevoked)?;
    if account.user.status != Status::Active || !facts.is_alive_in(account.epoch) {
        return Err(ErrorKind::SessionRevoked);
    }
    if account.epoch.number != verified {
        return Err(ErrorKind::WrongPassword);
    }
    Ok(account)
}

/// A rule over somebody whom an actor acts on.
type Rule<'a> = &'a (dyn Fn(Standing, &Snapshot) -> Result<Change, ErrorKind> + Send + Sync);

impl Inner {
    fn tell(&self, kind: EventKind, doer: Doer, user: UserId) {
        self.observer.observe(&Event::new(kind, self.time.now(), doer).on(user));
    }

    /// Who asks. A principal whose user is gone has no session either.
    async fn own_account(&self, principal: &Principal) -> Result<Account> {
        let account = self.users.by_id(principal.user()).await?;
        Ok(account.ok_or(ErrorKind::SessionRevoked)?)
    }

    fn check_role(&self, role: &Role, violations: &mut Vec<Violation>) {
        let roles = self.access.policy().roles();
        if !roles.contains(role) {
            let names: Vec<_> = roles.iter().map(Role::as_str).collect();
            violations.push(Violation::new("role", format!("must be one of {}", names.join(", "))));
        }
    }

    /// A new password that follows the policy, or what it must do to.
    pub(crate) fn check_password(
        &self,
        field: &'static str,
        password: &Secret<String>,
        email: &Email,
        violations: &mut Vec<Violation>,
    ) -> Option<NewPassword> {
        let parsed =
            NewPassword::parse(password.expose(), &self.passwords, Some(email.canonical()));
        match parsed {
            Ok(password) => Some(password),
            Err(faults) => {
                violations.extend(
                    faults.into_iter().map(|fault| Violation::new(field, fault.to_string())),
                );
                None
            }
        }
    }

    /// Hashes a password for a user who has, or is about to have, an e-mail address.
    async fn hash_for(
        &self,
        id: UserId,
        password: &Secret<String>,
        email: Option<&Email>,
    ) -> Result<Secret<String>> {
        let stored;
        let email = match email {
            Some(email) => email,
            None => {
                stored = self.users.by_id(id).await?.ok_or(ErrorKind::NotFound)?.user.email;
                &stored
            }
        };
        let mut violations = Vec::new();
        match self.check_password("password", password, email, &mut violations) {
            Some(password) => Ok(Secret::new(self.hashing.hash(password).await?)),
            None => Err(Error::invalid(violations)),
        }
    }

    /// An account that does not exist yet.
    pub(crate) fn new_account(
        &self,
        email: Email,
        password_hash: Secret<String>,
        role: Role,
        status: Status,
    ) -> Account {
        let now = self.time.now();
        let user = User {
            id: UserId::generate(now),
            email,
            role,
            status,
            created_at: now,
            updated_at: now,
            last_login_at: None,
        };
        Account { user, password_hash, epoch: SessionEpoch::default() }
    }

    /// Verifies the current password of an account, reserved against its limit.
    async fn prove(
        &self,
        account: &Account,
        password: &str,
        charges: &mut Vec<crate::limit::Charge>,
    ) -> Result<()> {
        charges.extend(self.attempts.reserve(account.user.email.canonical()).await?);
        let tried = TriedPassword::new(password);
        let verified = self.hashing.verify(&tried, Some(account.password_hash.expose())).await?;
        if verified.matches() {
            return Ok(());
        }
        self.tell(EventKind::WrongPassword, Doer::User(account.user.id), account.user.id);
        Err(ErrorKind::WrongPassword.into())
    }

    /// Writes for an actor, who is checked anew inside the transaction.
    async fn write(
        &self,
        actor: &Actor,
        target: UserId,
        needs: &Permission,
        rule: Rule<'_>,
    ) -> Result<Written> {
        let facts = actor.facts();
        let (table, _) = self.access.table(None).await?;
        let policy = self.access.policy();
        let decide = |snapshot: &Snapshot| {
            let view = snapshot.actor.as_ref();
            let standing = policy.admit(facts.as_ref(), view, needs, &table)?;
            rule(standing, snapshot)
        };
        let actor = facts.as_ref().map(|facts| facts.user);
        let top_role = policy.roles().top();
        Ok(self.users.write(UserWrite { actor, target, top_role, decide: &decide }).await?)
    }

    /// Writes for somebody who acts on themselves.
    pub(crate) async fn write_own(
        &self,
        target: UserId,
        decide: &(dyn Fn(&Snapshot) -> Result<Change, ErrorKind> + Send + Sync),
    ) -> Result<Written> {
        let top_role = self.access.policy().roles().top();
        Ok(self.users.write(UserWrite { actor: None, target, top_role, decide }).await?)
    }

    /// The user to act on, if there is one and the actor may.
    fn target(&self, standing: Standing, snapshot: &Snapshot) -> Result<Account, ErrorKind> {
        let account = snapshot.target.as_ref().ok_or(ErrorKind::NotFound)?;
        self.access.policy().check_target(standing, &account.user)?;
        Ok(account.clone())
    }

    /// After the epoch has risen: everyone forgets, and the sessions are removed. They are dead
    /// already; what cannot be removed now is purged when its time is over.
    async fn end_sessions(
        &self,
        user: UserId,
        before: SessionEpoch,
        kept: Option<SessionId>,
        doer: Doer,
    ) -> u64 {
        self.verdicts.user_changed(user).await;
        let now = self.time.now();
        match self.sessions.revoke_all(user, before, now, kept).await {
            Ok(count) => {
                let event = Event::new(EventKind::SessionsRevoked(count), now, doer).on(user);
                self.observer.observe(&event);
                count
            }
            Err(error) => {
                tracing::warn!(%error, %user, "ended sessions could not be removed; they are dead all the same");
                0
            }
        }
    }

    async fn deleted(&self, written: Written, doer: Doer) -> Result<()> {
        let account = match written {
            Written::Deleted(account) => account,
            other => return changed(other).map(drop),
        };
        let id = account.user.id;
        self.end_sessions(id, account.epoch, None, doer.clone()).await;
        self.tell(EventKind::UserDeleted, doer, id);
        Ok(())
    }
}
