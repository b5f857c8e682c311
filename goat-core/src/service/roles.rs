//! What an application may ask about roles and permissions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::Time;
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result, Violation};
use crate::event::{Event, EventKind, Observer};
use crate::id::{GrantId, UserId};
use crate::page::{Page, PageRequest};
use crate::session::SessionValidator;

use super::{
    Actor, Grant, Permission, Rank, Role, RoleChange, RoleSnapshot, RoleTableCache, RoleWrite,
    RoleWriteOutcome,
};

/// A role, with its rank and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSummary {
    /// Its name.
    pub role: Role,
    /// Its rank, from 1 up.
    pub rank: Rank,
    /// What it may do, in alphabetical order.
    pub permissions: Vec<Permission>,
}

/// Roles and the permissions that they have.
#[derive(Clone, Debug)]
pub struct Roles {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    access: Arc<RoleTableCache>,
    validator: Arc<SessionValidator>,
    observer: Arc<dyn Observer>,
    time: Time,
}

impl Roles {
    pub(crate) fn new(
        access: Arc<RoleTableCache>,
        validator: Arc<SessionValidator>,
        observer: Arc<dyn Observer>,
        time: Time,
    ) -> Self {
        Self { inner: Arc::new(Inner { access, validator, observer, time }) }
    }

    /// The role of this name, if the running set has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Role> {
        self.inner.access.policy().roles().get(name).cloned()
    }

    /// The names of all roles, in rising rank.
    #[must_use]
    pub fn names(&self) -> Vec<Role> {
        self.inner.access.policy().roles().iter().cloned().collect()
    }

    /// The lowest role, which users get unless somebody says otherwise.
    #[must_use]
    pub fn lowest(&self) -> Role {
        self.inner.access.policy().roles().bottom().clone()
    }

    /// The roles, in rising rank.
    ///
    /// # Errors
    ///
    /// If the store does not answer.
    pub async fn list(&self) -> Result<Vec<RoleSummary>> {
        let table = self.inner.access.table(None).await?.0;
        let roles = self.inner.access.policy().roles();
        let summary = |role: &Role| RoleSummary {
            role: role.clone(),
            rank: roles.rank(role),
            permissions: table.permissions(role),
        };
        Ok(roles.iter().map(summary).collect())
    }

    /// A page of all permissions, in the order in which they were granted.
    ///
    /// # Errors
    ///
    /// If the store does not answer.
    pub async fn grants(&self, page: PageRequest) -> Result<Page<Grant>> {
        let mut rows = self.inner.access.store().load().await?;
        rows.grants.sort_by_key(|grant| grant.id);
        Ok(Page::of(rows.grants, page))
    }

    /// The permissions of a role.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for a role that the running set does not know; or if the store does
    /// not answer.
    pub async fn grants_of(&self, role: &str) -> Result<Vec<Grant>> {
        let role = self.get(role).ok_or(ErrorKind::NotFound)?;
        let mut rows = self.inner.access.store().load().await?;
        rows.grants.retain(|grant| grant.role == role);
        rows.grants.sort_by_key(|grant| grant.id);
        Ok(rows.grants)
    }

    /// Gives a role a permission. In force when this returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `full_access`, [`ErrorKind::Invalid`] for a role that the
    /// set does not know and for `full_access` to a role that is not the highest,
    /// [`ErrorKind::PermissionExists`]; or if the store does not answer.
    pub async fn grant(&self, actor: Actor, role: &str, permission: Permission) -> Result<Grant> {
        actor.check(&Permission::FULL_ACCESS)?;
        let inner = Arc::clone(&self.inner);
        let role = self
            .get(role)
            .ok_or_else(|| Error::invalid(vec![Violation::new("role", self.must_be_a_role())]))?;
        if permission.is_full_access() && role != *inner.access.policy().roles().top() {
            return Err(Error::invalid(vec![Violation::new(
                "action",
                format!(
                    "can be full_access only for the role {}",
                    inner.access.policy().roles().top()
                ),
            )]));
        }
        let now = inner.time.now();
        let grant = Grant { id: GrantId::generate(now), role, permission, created_at: now };
        run_to_completion(async move {
            let added = grant.clone();
            inner
                .write(actor, EventKind::PermissionGranted, move |snapshot| {
                    let same = |held: &Grant| {
                        held.role == grant.role && held.permission == grant.permission
                    };
                    if snapshot.rows.grants.iter().any(same) {
                        return Err(ErrorKind::PermissionExists);
                    }
                    Ok(RoleChange::Grant(vec![grant.clone()]))
                })
                .await?;
            Ok(added)
        })
        .await
    }

    /// Takes a permission away again. In force when this returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `full_access`, [`ErrorKind::NotFound`],
    /// [`ErrorKind::LastAdministrator`] for the `full_access` of the highest role; or if the store
    /// does not answer.
    pub async fn revoke(&self, actor: Actor, grant: GrantId) -> Result<()> {
        actor.check(&Permission::FULL_ACCESS)?;
        let inner = Arc::clone(&self.inner);
        run_to_completion(async move {
            let top = inner.access.policy().roles().top().clone();
            inner
                .write(actor, EventKind::PermissionRevoked, move |snapshot| {
                    let held = snapshot.rows.grants.iter().find(|held| held.id == grant);
                    let held = held.ok_or(ErrorKind::NotFound)?;
                    if held.role == top && held.permission.is_full_access() {
                        return Err(ErrorKind::LastAdministrator);
                    }
                    Ok(RoleChange::Revoke(grant))
                })
                .await
        })
        .await
    }

    /// Fails if the store of permissions says that it keeps users, and does not know this one.
    pub(crate) async fn check_users(&self, user: UserId) -> Result<()> {
        let is_missed = AtomicBool::new(false);
        let decide = |snapshot: &RoleSnapshot| {
            is_missed.store(misses_actor(snapshot), Ordering::Relaxed);
            Err(ErrorKind::NotFound)
        };
        let write = RoleWrite { actor: Some(user), decide: &decide };
        self.inner.access.store().write(write).await?;
        if is_missed.into_inner() { self.inner.check_known(user).await } else { Ok(()) }
    }

    /// What a role must be, to be read after the field's name.
    #[must_use]
    pub fn must_be_a_role(&self) -> String {
        let names = self.names();
        let names: Vec<_> = names.iter().map(Role::as_str).collect();
        format!("must be one of {}", names.join(", "))
    }
}

impl Inner {
    async fn write(
        &self,
        actor: Actor,
        event: EventKind,
        rule: impl Fn(&RoleSnapshot) -> Result<RoleChange, ErrorKind> + Send + Sync,
    ) -> Result<()> {
        let facts = actor.facts();
        let (table, _) = self.access.table(None).await?;
        let is_missed = AtomicBool::new(false);
        let decide = |snapshot: &RoleSnapshot| {
            if let Some(facts) = &facts {
                is_missed.store(misses_actor(snapshot), Ordering::Relaxed);
                // A store that does not keep users cannot show the actor: the fresh read that made
                // the actor is all the proof there is then.
                if snapshot.keeps_users {
                    let (needs, view) = (Permission::FULL_ACCESS, snapshot.actor.as_ref());
                    self.access.policy().admit(Some(facts), view, &needs, &table)?;
                }
            }
            rule(snapshot)
        };
        let write = RoleWrite { actor: facts.as_ref().map(|facts| facts.user), decide: &decide };
        match self.access.store().write(write).await? {
            RoleWriteOutcome::Refused(kind) => {
                // Not that their session has ended, if it is the stores that do not fit.
                if let (Some(facts), true) = (facts, is_missed.into_inner()) {
                    self.check_known(facts.user).await?;
                }
                Err(kind.into())
            }
            RoleWriteOutcome::Written(rows) => {
                self.access.put(rows);
                self.validator.roles_changed().await;
                self.observer.observe(&Event::new(event, self.time.now(), actor.event_actor()));
                Ok(())
            }
        }
    }

    /// Fails if there is a user whom the store of permissions was found to miss. Nobody who was not
    /// there comes back, so that whoever is found now is kept elsewhere.
    async fn check_known(&self, missed: UserId) -> Result<()> {
        if !self.validator.knows(missed).await? {
            return Ok(());
        }
        Err(Error::configuration(
            "the store of permissions looks for users where they are not kept; where users are \
             kept elsewhere, it is roles_without_users of the database, or MemoryRoles",
        ))
    }
}

/// Whether the store says that it keeps users, and does not have the one who acts.
fn misses_actor(snapshot: &RoleSnapshot) -> bool {
    snapshot.keeps_users && snapshot.actor.is_none()
}
