//! Role service: lists roles, and grants and revokes their permissions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::access::{Grant, Permission, Role, RoleSummary};
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result, Violation};
use crate::event::{Event, EventKind};
use crate::id::{GrantId, UserId};
use crate::page::{Page, PageRequest};
use crate::store::{RoleChange, RoleSnapshot, RoleWrite, RoleWriteOutcome};

use super::{Actor, ActorView, Context};

/// Lists roles, and grants and revokes their permissions.
#[derive(Clone, Debug)]
pub struct Roles {
    context: Arc<Context>,
}

impl Roles {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Returns the role of this name, if it is configured.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Role> {
        self.context.policy.roles().get(name).cloned()
    }

    /// Returns all roles, in ascending rank.
    #[must_use]
    pub fn names(&self) -> Vec<Role> {
        self.context.policy.roles().iter().cloned().collect()
    }

    /// Returns the lowest role, the default for new users.
    #[must_use]
    pub fn lowest(&self) -> Role {
        self.context.policy.roles().bottom().clone()
    }

    /// Returns all roles with their permissions, in ascending rank.
    ///
    /// # Errors
    ///
    /// If the store is unavailable.
    pub async fn list(&self) -> Result<Vec<RoleSummary>> {
        let table = self.context.role_table.table(None).await?;
        let roles = self.context.policy.roles();
        let summary = |role: &Role| RoleSummary {
            role: role.clone(),
            rank: roles.rank(role),
            permissions: table.permissions(role).to_vec(),
        };
        Ok(roles.iter().map(summary).collect())
    }

    /// Returns a page of all grants, oldest first.
    ///
    /// # Errors
    ///
    /// If the store is unavailable.
    pub async fn grants(&self, page: PageRequest) -> Result<Page<Grant>> {
        let mut rows = self.context.stores.roles.load().await?;
        rows.grants.sort_by_key(|grant| grant.id);
        Ok(Page::of(rows.grants, page))
    }

    /// Returns the grants of a role, oldest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for a role that is not configured; or if the store is unavailable.
    pub async fn grants_of(&self, role: &str) -> Result<Vec<Grant>> {
        let role = self.get(role).ok_or(ErrorKind::NotFound)?;
        let mut rows = self.context.stores.roles.load().await?;
        rows.grants.retain(|grant| grant.role == role);
        rows.grants.sort_by_key(|grant| grant.id);
        Ok(rows.grants)
    }

    /// Grants a permission to a role. In force when this returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `full_access`, [`ErrorKind::Invalid`] for a role that is not
    /// configured and for `full_access` to a role other than the highest,
    /// [`ErrorKind::PermissionExists`]; or if the store is unavailable.
    pub async fn grant(&self, actor: Actor, role: &str, permission: Permission) -> Result<Grant> {
        actor.check(&Permission::FULL_ACCESS)?;
        let context = Arc::clone(&self.context);
        let roles = context.policy.roles();
        let role = self
            .get(role)
            .ok_or_else(|| Error::invalid(vec![Violation::new("role", roles.requirement())]))?;
        if permission.is_full_access() && role != *roles.top() {
            return Err(Error::invalid(vec![Violation::new(
                "action",
                format!("can be full_access only for the role {}", roles.top()),
            )]));
        }
        let now = context.time.now();
        let grant = Grant { id: GrantId::generate(now), role, permission, created_at: now };
        run_to_completion(async move {
            let added = grant.clone();
            let rule = move |snapshot: &RoleSnapshot| {
                let same =
                    |held: &Grant| held.role == grant.role && held.permission == grant.permission;
                if snapshot.rows.grants.iter().any(same) {
                    return Err(ErrorKind::PermissionExists);
                }
                Ok(RoleChange::Grant(vec![grant.clone()]))
            };
            context.write_roles(actor, EventKind::PermissionGranted, rule).await?;
            Ok(added)
        })
        .await
    }

    /// Revokes a grant. In force when this returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `full_access`, [`ErrorKind::NotFound`],
    /// [`ErrorKind::LastAdministrator`] for the `full_access` of the highest role; or if the store is
    /// unavailable.
    pub async fn revoke(&self, actor: Actor, grant: GrantId) -> Result<()> {
        actor.check(&Permission::FULL_ACCESS)?;
        let context = Arc::clone(&self.context);
        run_to_completion(async move {
            let top = context.policy.roles().top().clone();
            let rule = move |snapshot: &RoleSnapshot| {
                let held = snapshot.rows.grants.iter().find(|held| held.id == grant);
                let held = held.ok_or(ErrorKind::NotFound)?;
                if held.role == top && held.permission.is_full_access() {
                    return Err(ErrorKind::LastAdministrator);
                }
                Ok(RoleChange::Revoke(grant))
            };
            context.write_roles(actor, EventKind::PermissionRevoked, rule).await
        })
        .await
    }

    /// Fails if the role store keeps users but does not find this one.
    pub(crate) async fn check_users(&self, user: UserId) -> Result<()> {
        let is_missing = AtomicBool::new(false);
        let decide = |snapshot: &RoleSnapshot| {
            is_missing.store(misses_actor(snapshot), Ordering::Relaxed);
            Err(ErrorKind::NotFound)
        };
        let write = RoleWrite { actor: Some(user), decide: &decide };
        self.context.stores.roles.write(write).await?;
        if is_missing.into_inner() { self.context.check_misplaced(user).await } else { Ok(()) }
    }

    /// Returns the requirement on a role's name, worded to follow the field's name.
    #[must_use]
    pub fn must_be_a_role(&self) -> String {
        self.context.policy.roles().requirement()
    }
}

impl Context {
    async fn write_roles(
        &self,
        actor: Actor,
        event: EventKind,
        rule: impl Fn(&RoleSnapshot) -> Result<RoleChange, ErrorKind> + Send + Sync,
    ) -> Result<()> {
        let facts = actor.facts();
        let table = self.role_table.table(None).await?;
        let is_missing = AtomicBool::new(false);
        let decide = |snapshot: &RoleSnapshot| {
            if let Some(facts) = &facts {
                is_missing.store(misses_actor(snapshot), Ordering::Relaxed);
                // A store without users cannot read the actor; the fresh read that created the actor
                // is the only proof then.
                if snapshot.keeps_users {
                    let needs = Permission::FULL_ACCESS;
                    let (state, grants) = (snapshot.actor.as_ref(), &snapshot.rows.grants);
                    let view = ActorView { state, grants: Some(grants) };
                    self.policy.authorize(Some(facts), view, &needs, &table)?;
                }
            }
            rule(snapshot)
        };
        let write = RoleWrite { actor: facts.as_ref().map(|facts| facts.user), decide: &decide };
        match self.stores.roles.write(write).await? {
            RoleWriteOutcome::Refused(kind) => {
                // A mix of stores that do not fit is not reported as an ended session.
                if let (Some(facts), true) = (facts, is_missing.into_inner()) {
                    self.check_misplaced(facts.user).await?;
                }
                Err(kind.into())
            }
            RoleWriteOutcome::Written(rows) => {
                let revision = self.role_table.replace(rows).revision;
                self.validator.roles_changed(revision).await;
                self.observer.observe(&Event::new(event, self.time.now(), actor.event_actor()));
                Ok(())
            }
        }
    }

    /// Fails if a user that the role store misses exists. A deleted user never returns, so a user that
    /// exists now is kept in another store.
    async fn check_misplaced(&self, missed: UserId) -> Result<()> {
        if self.stores.users.state(missed).await?.is_none() {
            return Ok(());
        }
        Err(Error::configuration(
            "the store of permissions looks for users where they are not kept; where users are \
             kept elsewhere, it is roles_without_users of the database, or MemoryRoles",
        ))
    }
}

/// Whether the store keeps users but does not find the actor.
fn misses_actor(snapshot: &RoleSnapshot) -> bool {
    snapshot.keeps_users && snapshot.actor.is_none()
}
