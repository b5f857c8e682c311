//! Changes of stored roles. Every rule is evaluated inside the write's own transaction.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::access::{
    Grant, MAX_ROLES, NewRole, Permission, Rank, Role, RoleDifference, RoleRows, RoleSummary,
    StoredRole,
};
use crate::detached::run_to_completion;
use crate::error::{Error, ErrorKind, Result, Violation};
use crate::event::EventKind;
use crate::page::PageRequest;
use crate::store::{RoleChange, RoleSnapshot};
use crate::user::{UserFilter, UserQuery};

use super::roles::summary;
use super::{Actor, Context, Roles};

/// Creates, ranks and deletes roles, of a goat that is built with
/// [`Builder::stored_roles`](crate::Builder::stored_roles).
impl Roles {
    /// Creates a role. In force when this returns. Users that have a role of this name already, which did
    /// not exist, have its permissions from then on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `full_access`, [`ErrorKind::Invalid`] for a name that is too long
    /// or starts with another character than a letter, for a rank above
    /// [`Rank::HIGHEST_ASSIGNABLE`] and for `full_access`; [`ErrorKind::RoleExists`],
    /// [`ErrorKind::TooMany`] with 1,000 roles; [`ErrorKind::Configuration`] if the roles are fixed in code;
    /// or if the store is unavailable.
    pub async fn create(&self, actor: Actor, new: NewRole) -> Result<RoleSummary> {
        actor.check(&Permission::FULL_ACCESS)?;
        self.context.check_stored()?;
        check_new(&new)?;
        let context = Arc::clone(&self.context);
        run_to_completion(async move {
            let now = context.time.now();
            let NewRole { name: role, rank, permissions } = new;
            let permissions = BTreeSet::from_iter(permissions);
            let grants = Grant::all(permissions.iter().map(|permission| (&role, permission)), now);
            let stored = StoredRole { role, rank, created_at: now };
            let rule = |snapshot: &RoleSnapshot| {
                let rows = &snapshot.rows;
                if of(rows, &stored.role).is_some() {
                    return Err(ErrorKind::RoleExists);
                }
                if rows.roles.len() >= MAX_ROLES {
                    return Err(ErrorKind::TooMany);
                }
                let table = context.policy.table(rows);
                if stored.rank >= table.rank(table.top()) {
                    return Err(ErrorKind::Invalid);
                }
                // Those of a role of this name that did not exist had no effect.
                let old = rows.grants.iter().filter(|grant| grant.role == stored.role);
                Ok(RoleChange::Put {
                    roles: vec![stored.clone()],
                    grants: grants.clone(),
                    revoked: old.map(|grant| grant.id).collect(),
                })
            };
            let written = context.write_roles(&actor, None, &rule).await.map_err(too_high)?;
            context.emit_role(EventKind::RoleCreated, &actor, stored.role.clone());
            Ok(summary(&stored.role, &written.table))
        })
        .await
    }

    /// Gives a role another rank. In force when this returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `full_access`, [`ErrorKind::Invalid`] for a rank above
    /// [`Rank::HIGHEST_ASSIGNABLE`], [`ErrorKind::NotFound`], [`ErrorKind::RoleProtected`] for the highest
    /// role; [`ErrorKind::Configuration`] if the roles are fixed in code; or if the store is unavailable.
    pub async fn set_rank(&self, actor: Actor, role: &str, rank: Rank) -> Result<RoleSummary> {
        actor.check(&Permission::FULL_ACCESS)?;
        self.context.check_stored()?;
        check_rank(rank)?;
        let role = Role::parse(role).map_err(|_| ErrorKind::NotFound)?;
        let context = Arc::clone(&self.context);
        run_to_completion(async move {
            let rule = |snapshot: &RoleSnapshot| {
                let stored = of(&snapshot.rows, &role).ok_or(ErrorKind::NotFound)?;
                let table = context.policy.table(&snapshot.rows);
                if role == *table.top() {
                    return Err(ErrorKind::RoleProtected);
                }
                if rank >= table.rank(table.top()) {
                    return Err(ErrorKind::Invalid);
                }
                if stored.rank == rank {
                    return Ok(RoleChange::Nothing);
                }
                let roles = vec![StoredRole { rank, ..stored.clone() }];
                Ok(RoleChange::Put { roles, grants: Vec::new(), revoked: Vec::new() })
            };
            let written = context.write_roles(&actor, None, &rule).await.map_err(too_high)?;
            if written.is_changed {
                context.emit_role(EventKind::RoleRanked, &actor, role.clone());
            }
            Ok(summary(&role, &written.table))
        })
        .await
    }

    /// Deletes a role that no user has, with its permissions. In force when this returns.
    ///
    /// Where users and roles are kept in different stores, the users are counted right before the write.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `full_access`, [`ErrorKind::NotFound`],
    /// [`ErrorKind::RoleProtected`] for the highest role and the one given at sign-up,
    /// [`ErrorKind::RoleInUse`] with [`Error::users`]; [`ErrorKind::Configuration`] if the roles are fixed
    /// in code; or if a store is unavailable.
    pub async fn delete(&self, actor: Actor, role: &str) -> Result<()> {
        actor.check(&Permission::FULL_ACCESS)?;
        self.context.check_stored()?;
        let role = Role::parse(role).map_err(|_| ErrorKind::NotFound)?;
        let context = Arc::clone(&self.context);
        run_to_completion(async move {
            let counted = context.users_in(&role).await?;
            let users = AtomicU64::new(0);
            let rule = |snapshot: &RoleSnapshot| {
                of(&snapshot.rows, &role).ok_or(ErrorKind::NotFound)?;
                let table = context.policy.table(&snapshot.rows);
                if role == *table.top() || Some(&role) == table.signup() {
                    return Err(ErrorKind::RoleProtected);
                }
                let count = snapshot.users.unwrap_or(counted);
                users.store(count, Ordering::Relaxed);
                if count == 0 { Ok(RoleChange::Delete) } else { Err(ErrorKind::RoleInUse) }
            };
            match context.write_roles(&actor, Some(&role), &rule).await {
                Err(error) if error.kind() == ErrorKind::RoleInUse => {
                    Err(Error::role_in_use(users.into_inner()))
                }
                Err(error) => Err(error),
                Ok(_) => {
                    context.emit_role(EventKind::RoleDeleted, &actor, role);
                    Ok(())
                }
            }
        })
        .await
    }

    /// Returns the differences between the stored roles and a list, and writes nothing: each role of the list should exist with
    /// its rank and exactly its permissions. Other roles may exist. The list may name the highest role, with
    /// its present rank and `full_access`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a list that breaks a rule of [`Roles::create`] or names a role twice,
    /// [`ErrorKind::RoleProtected`] for another rank of the highest role, [`ErrorKind::TooMany`];
    /// [`ErrorKind::Configuration`] if the roles are fixed in code; or if the store is unavailable.
    pub async fn compare(&self, roles: &[NewRole]) -> Result<Vec<RoleDifference>> {
        self.context.check_stored()?;
        // The seed of a new database is no difference.
        let rows = self.context.role_table.rows_with_seed().await?;
        self.context.differences(roles, &rows).map_err(|kind| refused_list(kind, roles))
    }

    /// Removes the [differences](Roles::compare) between the stored roles and a list, and returns them. In
    /// force when this returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `full_access`; otherwise as [`Roles::compare`].
    pub async fn apply(&self, actor: Actor, roles: Vec<NewRole>) -> Result<Vec<RoleDifference>> {
        actor.check(&Permission::FULL_ACCESS)?;
        self.context.check_stored()?;
        let context = Arc::clone(&self.context);
        run_to_completion(async move {
            let now = context.time.now();
            let found = Mutex::new(Vec::new());
            let rule = |snapshot: &RoleSnapshot| {
                let differences = context.differences(&roles, &snapshot.rows)?;
                let change = change(&differences, &snapshot.rows, now);
                *found.lock().unwrap_or_else(PoisonError::into_inner) = differences;
                Ok(change)
            };
            let written = context.write_roles(&actor, None, &rule).await;
            written.map_err(|error| match error.kind() {
                kind @ (ErrorKind::Invalid | ErrorKind::RoleProtected | ErrorKind::TooMany) => {
                    refused_list(kind, &roles)
                }
                _ => error,
            })?;
            let differences = found.into_inner().unwrap_or_else(PoisonError::into_inner);
            for difference in &differences {
                let kind = match difference {
                    RoleDifference::Missing(..) => EventKind::RoleCreated,
                    RoleDifference::Ranked { .. } => EventKind::RoleRanked,
                    RoleDifference::Lacks(..) => EventKind::PermissionGranted,
                    RoleDifference::Exceeds(..) => EventKind::PermissionRevoked,
                };
                context.emit_role(kind, &actor, difference.role().clone());
            }
            Ok(differences)
        })
        .await
    }
}

/// Returns the stored role.
fn of<'a>(rows: &'a RoleRows, role: &Role) -> Option<&'a StoredRole> {
    rows.roles.iter().find(|stored| stored.role == *role)
}

fn check_new(new: &NewRole) -> Result<()> {
    let mut violations = Vec::new();
    if let Err(error) = Role::parse_new(new.name.as_str()) {
        violations.push(Violation::new("name", error.to_string()));
    }
    if new.rank > Rank::HIGHEST_ASSIGNABLE {
        violations.push(rank_violation());
    }
    if new.permissions.iter().any(Permission::is_full_access) {
        violations.push(Violation::new("permissions", "must not contain full_access"));
    }
    if violations.is_empty() { Ok(()) } else { Err(Error::invalid(violations)) }
}

fn check_rank(rank: Rank) -> Result<()> {
    let is_assignable = rank <= Rank::HIGHEST_ASSIGNABLE;
    if is_assignable { Ok(()) } else { Err(Error::invalid(vec![rank_violation()])) }
}

fn rank_violation() -> Violation {
    let Rank(highest) = Rank::HIGHEST_ASSIGNABLE;
    Violation::new("rank", format!("must be from 0 to {highest}"))
}

/// Names the field of a rank that the transaction refused: the highest role may rank below the limit.
fn too_high(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Invalid => {
            Error::invalid(vec![Violation::new("rank", "must be below that of the highest role")])
        }
        _ => error,
    }
}

fn refused_list(kind: ErrorKind, roles: &[NewRole]) -> Error {
    match kind {
        ErrorKind::Invalid => {
            let mut names = HashSet::new();
            let twice = roles.iter().find(|role| !names.insert(&role.name));
            let message = match twice {
                Some(role) => format!("name the role {} twice", role.name),
                None => "must have names of up to 32 characters, ranks below that of the highest \
                         role, and full_access for that role alone"
                    .to_owned(),
            };
            Error::invalid(vec![Violation::new("roles", message)])
        }
        kind => kind.into(),
    }
}

/// Returns the change that removes differences.
fn change(
    differences: &[RoleDifference],
    rows: &RoleRows,
    now: crate::clock::Timestamp,
) -> RoleChange {
    if differences.is_empty() {
        return RoleChange::Nothing;
    }
    let mut roles = Vec::new();
    let mut lacked = Vec::new();
    let mut revoked = Vec::new();
    for difference in differences {
        match difference {
            RoleDifference::Missing(role, rank) | RoleDifference::Ranked { role, to: rank, .. } => {
                roles.push(StoredRole { role: role.clone(), rank: *rank, created_at: now });
            }
            RoleDifference::Lacks(role, permission) => lacked.push((role, permission)),
            RoleDifference::Exceeds(role, permission) => revoked.extend(
                rows.grants
                    .iter()
                    .filter(|held| held.role == *role && held.permission == *permission)
                    .map(|held| held.id),
            ),
        }
    }
    RoleChange::Put { roles, grants: Grant::all(lacked, now), revoked }
}

impl Context {
    /// Fails if the roles are fixed in code.
    fn check_stored(&self) -> Result<()> {
        if self.policy.has_stored_roles() {
            return Ok(());
        }
        Err(Error::configuration("the roles are fixed in code; build the goat with stored_roles"))
    }

    /// Returns the number of users in a role, exact up to the reach of a list.
    async fn users_in(&self, role: &Role) -> Result<u64> {
        let page = PageRequest::new(1, 1).unwrap_or_default();
        let filter = UserFilter { roles: vec![role.clone()], page, ..UserFilter::default() };
        let query = UserQuery { filter, hidden_roles: Vec::new(), except: None };
        Ok(self.stores.users.list(&query).await?.total)
    }

    fn differences(
        &self,
        wanted: &[NewRole],
        rows: &RoleRows,
    ) -> Result<Vec<RoleDifference>, ErrorKind> {
        let table = self.policy.table(rows);
        let (top, top_rank) = (table.top(), table.rank(table.top()));
        let mut differences = Vec::new();
        let mut names = HashSet::new();
        let mut count = rows.roles.len();
        for NewRole { name, rank, permissions } in wanted {
            let has_full_access = permissions.iter().any(Permission::is_full_access);
            let is_top = name == top;
            if !names.insert(name) || has_full_access != is_top {
                return Err(ErrorKind::Invalid);
            }
            match of(rows, name) {
                Some(stored) if stored.rank == *rank => {}
                Some(_) if is_top => return Err(ErrorKind::RoleProtected),
                _ if *rank >= top_rank || *rank > Rank::HIGHEST_ASSIGNABLE => {
                    return Err(ErrorKind::Invalid);
                }
                Some(stored) => differences.push(RoleDifference::Ranked {
                    role: name.clone(),
                    from: stored.rank,
                    to: *rank,
                }),
                None if Role::parse_new(name.as_str()).is_err() => return Err(ErrorKind::Invalid),
                None => {
                    count += 1;
                    differences.push(RoleDifference::Missing(name.clone(), *rank));
                }
            }
            let wanted = BTreeSet::from_iter(permissions);
            let held = rows.grants.iter().filter(|grant| grant.role == *name);
            let held: BTreeSet<_> = held.map(|grant| &grant.permission).collect();
            let lacks = wanted.difference(&held).map(|permission| (*permission).clone());
            let exceeds = held.difference(&wanted).map(|permission| (*permission).clone());
            differences.extend(lacks.map(|one| RoleDifference::Lacks(name.clone(), one)));
            differences.extend(exceeds.map(|one| RoleDifference::Exceeds(name.clone(), one)));
        }
        if count > MAX_ROLES { Err(ErrorKind::TooMany) } else { Ok(differences) }
    }
}
