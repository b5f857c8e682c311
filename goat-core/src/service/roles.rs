//! Role service: lists roles, and grants and revokes their permissions. Changes of the roles themselves are
//! in `stored_roles`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::access::{Grant, Permission, Role, RoleSummary, RoleTable};
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result, Violation};
use crate::event::{Event, EventKind};
use crate::id::{GrantId, UserId};
use crate::page::{Page, PageRequest};
use crate::store::{RoleChange, RoleSnapshot, RoleWrite, RoleWriteOutcome};

use super::{Actor, ActorFacts, ActorView, Context};

/// Lists and changes roles, and grants and revokes their permissions.
///
/// Where the roles are stored, [`Roles::get`] and the methods beside it read the newest roles that this
/// goat has loaded; before the first load, the seed of a store without roles.
#[derive(Clone, Debug)]
pub struct Roles {
    pub(super) context: Arc<Context>,
}

impl Roles {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Returns the role of this name, if it exists.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Role> {
        self.context.role_table.known().get(name).cloned()
    }

    /// Returns all roles, in ascending rank.
    #[must_use]
    pub fn names(&self) -> Vec<Role> {
        self.context.role_table.known().ranked().to_vec()
    }

    /// Returns the lowest role.
    #[must_use]
    pub fn lowest(&self) -> Role {
        let table = self.context.role_table.known();
        table.ranked().first().unwrap_or(table.top()).clone()
    }

    /// Returns the highest role. Its active users are administrators.
    #[must_use]
    pub fn highest(&self) -> Role {
        self.context.role_table.known().top().clone()
    }

    /// Returns the role given at sign-up, the default for new users; `None` if the settings name a role that
    /// does not exist.
    #[must_use]
    pub fn at_signup(&self) -> Option<Role> {
        self.context.role_table.known().signup().cloned()
    }

    /// Returns all roles with their permissions, in ascending rank.
    ///
    /// # Errors
    ///
    /// If the store is unavailable.
    pub async fn list(&self) -> Result<Vec<RoleSummary>> {
        let table = self.context.role_table.table(None).await?;
        Ok(table.ranked().iter().map(|role| summary(role, &table)).collect())
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
    /// [`ErrorKind::NotFound`] for a role that does not exist; or if the store is unavailable.
    pub async fn grants_of(&self, role: &str) -> Result<Vec<Grant>> {
        let mut rows = self.context.stores.roles.load().await?;
        let table = self.context.policy.table(&rows);
        let role = table.get(role).ok_or(ErrorKind::NotFound)?.clone();
        rows.grants.retain(|grant| grant.role == role);
        rows.grants.sort_by_key(|grant| grant.id);
        Ok(rows.grants)
    }

    /// Grants a permission to a role. In force when this returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `full_access`, [`ErrorKind::Invalid`] for a role that does not
    /// exist and for `full_access` to a role other than the highest,
    /// [`ErrorKind::PermissionExists`]; or if the store is unavailable.
    pub async fn grant(&self, actor: Actor, role: &str, permission: Permission) -> Result<Grant> {
        actor.check(&Permission::FULL_ACCESS)?;
        let table = self.context.role_table.table(None).await?;
        let unknown = || Error::invalid(vec![Violation::new("role", table.requirement())]);
        let role = table.get(role).ok_or_else(unknown)?.clone();
        if permission.is_full_access() && role != *table.top() {
            return Err(Error::invalid(vec![Violation::new(
                "action",
                format!("can be full_access only for the role {}", table.top()),
            )]));
        }
        let context = Arc::clone(&self.context);
        let now = context.time.now();
        let grant = Grant { id: GrantId::generate(now), role, permission, created_at: now };
        run_to_completion(async move {
            let rule = |snapshot: &RoleSnapshot| {
                if !context.policy.table(&snapshot.rows).contains(&grant.role) {
                    return Err(ErrorKind::Invalid);
                }
                let same =
                    |held: &Grant| held.role == grant.role && held.permission == grant.permission;
                if snapshot.rows.grants.iter().any(same) {
                    return Err(ErrorKind::PermissionExists);
                }
                Ok(RoleChange::Grant(vec![grant.clone()]))
            };
            match context.write_roles(&actor, None, &rule).await {
                // The role was deleted meanwhile.
                Err(error) if error.kind() == ErrorKind::Invalid => Err(unknown_role()),
                Err(error) => Err(error),
                Ok(_) => {
                    let role = grant.role.clone();
                    context.emit_role(EventKind::PermissionGranted, &actor, role);
                    Ok(grant)
                }
            }
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
            let revoked = Mutex::new(None);
            let rule = |snapshot: &RoleSnapshot| {
                let held = snapshot.rows.grants.iter().find(|held| held.id == grant);
                let held = held.ok_or(ErrorKind::NotFound)?;
                let is_top = || held.role == *context.policy.table(&snapshot.rows).top();
                if held.permission.is_full_access() && is_top() {
                    return Err(ErrorKind::LastAdministrator);
                }
                *revoked.lock().unwrap_or_else(PoisonError::into_inner) = Some(held.role.clone());
                Ok(RoleChange::Revoke(grant))
            };
            context.write_roles(&actor, None, &rule).await?;
            let role = revoked.into_inner().unwrap_or_else(PoisonError::into_inner);
            if let Some(role) = role {
                context.emit_role(EventKind::PermissionRevoked, &actor, role);
            }
            Ok(())
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
        let write = RoleWrite { actor: Some(user), key: None, deletes: None, decide: &decide };
        self.context.stores.roles.write(write).await?;
        if is_missing.into_inner() { self.context.check_misplaced(user).await } else { Ok(()) }
    }

    /// Returns the requirement on a role's name, worded to follow the field's name.
    #[must_use]
    pub fn must_be_a_role(&self) -> String {
        self.context.role_table.known().requirement()
    }
}

/// Returns a role of the table with its rank and permissions.
pub(super) fn summary(role: &Role, table: &RoleTable) -> RoleSummary {
    RoleSummary {
        role: role.clone(),
        rank: table.rank(role),
        permissions: table.permissions(role).to_vec(),
    }
}

fn unknown_role() -> Error {
    Error::invalid(vec![Violation::new("role", "must be the name of a role")])
}

/// A rule over a change of roles and permissions.
pub(super) type RoleRule<'a> =
    &'a (dyn Fn(&RoleSnapshot) -> Result<RoleChange, ErrorKind> + Send + Sync);

/// The roles after a write.
pub(super) struct WrittenRoles {
    pub(super) table: Arc<RoleTable>,
    /// Whether the write changed anything.
    pub(super) is_changed: bool,
}

impl Context {
    /// Emits an event about a role.
    pub(super) fn emit_role(&self, kind: EventKind, actor: &Actor, role: Role) {
        let event = Event::new(kind, self.time.now(), actor.event_actor());
        self.observer.observe(&event.of_role(role));
    }

    /// Writes roles and permissions for an actor, and replaces the role tables of all nodes. The
    /// transaction checks the actor's authorization again.
    pub(super) async fn write_roles(
        &self,
        actor: &Actor,
        deletes: Option<&Role>,
        rule: RoleRule<'_>,
    ) -> Result<WrittenRoles> {
        let facts = actor.facts();
        let table = self.role_table.table(None).await?;
        let is_missing = AtomicBool::new(false);
        let before = AtomicU64::new(0);
        let decide = |snapshot: &RoleSnapshot| {
            before.store(snapshot.rows.revision, Ordering::Relaxed);
            if let Some(facts) = &facts {
                is_missing.store(misses_actor(snapshot), Ordering::Relaxed);
                // A store without users cannot read the actor; the fresh read that created the actor
                // is the only proof then.
                if snapshot.keeps_users {
                    let needs = Permission::FULL_ACCESS;
                    let (state, rows) = (snapshot.actor.as_ref(), &snapshot.rows);
                    let (roles, has_key) = (Some(rows), snapshot.has_key);
                    let view = ActorView { state, has_key, roles };
                    self.policy.authorize(Some(facts), view, &needs, &table)?;
                }
            }
            rule(snapshot)
        };
        let actor = facts.as_ref().map(ActorFacts::user);
        let key = facts.as_ref().and_then(ActorFacts::key);
        let write = RoleWrite { actor, key, deletes, decide: &decide };
        match self.stores.roles.write(write).await? {
            RoleWriteOutcome::Refused(kind) => {
                // A mix of stores that do not fit is not reported as an ended session.
                if let (Some(facts), true) = (facts, is_missing.into_inner()) {
                    self.check_misplaced(facts.user()).await?;
                }
                Err(kind.into())
            }
            RoleWriteOutcome::Written(rows) => {
                let is_changed = rows.revision != before.into_inner();
                let table = self.role_table.replace(rows);
                self.validator.roles_changed(table.revision).await;
                Ok(WrittenRoles { table, is_changed })
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
