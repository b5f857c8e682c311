//! SQL store of roles and their permissions.

use async_trait::async_trait;
use sqlx::Row as _;

use crate::access::{Grant, Role, RoleRows, StoredRole};
use crate::error::StoreError;
use crate::id::GrantId;
use crate::page::PAGE_REACH;
use crate::store::roles::operation;
use crate::store::sql::failure::Failure;
use crate::store::{RoleChange, RoleSnapshot, RoleStore, RoleWrite, RoleWriteOutcome};

use super::connection::Connection;
use super::database::Pools;
use super::dialect::{self, for_key_share, for_update};
use super::keys;
use super::rows;
use super::users::lock_actor;

/// The roles and permissions of a database.
#[derive(Debug)]
pub(super) struct SqlRoles {
    pools: Pools,
    /// Whether users are kept in the same database.
    has_users: bool,
}

impl SqlRoles {
    pub(super) fn with_users(pools: Pools) -> Self {
        Self { pools, has_users: true }
    }

    pub(super) fn without_users(pools: Pools) -> Self {
        Self { pools, has_users: false }
    }
}

#[async_trait]
impl RoleStore for SqlRoles {
    async fn load(&self) -> Result<RoleRows, StoreError> {
        self.pools.run(operation::LOAD, || async { all(&mut self.pools.read().await?).await }).await
    }

    async fn write(&self, write: RoleWrite<'_>) -> Result<RoleWriteOutcome, StoreError> {
        self.pools
            .run(operation::WRITE, || async {
                // ATOMIC: every change of roles holds the guard, so that roles, permissions and revision
                // stay as read until the commit, and the actor's row is locked. The lock of a role to be
                // deleted waits for the writes that assign it; the count sees them then.
                let mut connection = self.pools.begin().await?;
                dialect::lock_guard(&mut connection).await?;
                let users = match write.deletes {
                    Some(role) if self.has_users => {
                        lock(&mut connection, role).await?;
                        Some(users_in(&mut connection, role).await?)
                    }
                    _ => None,
                };
                let actor = match write.actor {
                    Some(id) if self.has_users => lock_actor(&mut connection, id).await?,
                    _ => None,
                };
                let has_key = match write.key {
                    Some(key) if self.has_users => Some(keys::lock(&mut connection, key).await?),
                    _ => None,
                };
                let rows = all(&mut connection).await?;
                let keeps_users = self.has_users;
                let snapshot = RoleSnapshot { actor, has_key, keeps_users, users, rows };
                let is_changed = match (write.decide)(&snapshot) {
                    Err(kind) => return Ok(RoleWriteOutcome::Refused(kind)),
                    Ok(change) => apply(&mut connection, change, write.deletes).await?,
                };
                if !is_changed {
                    return Ok(RoleWriteOutcome::Written(snapshot.rows));
                }
                let increment = "UPDATE goat_guard SET roles_revision = roles_revision + 1";
                connection.execute(sqlx::query(increment)).await?;
                let rows = all(&mut connection).await?;
                connection.commit().await?;
                Ok(RoleWriteOutcome::Written(rows))
            })
            .await
    }
}

/// Reads the roles, the grants and their revision in one query, so that they are consistent.
pub(super) async fn all(connection: &mut Connection<'_>) -> Result<RoleRows, Failure> {
    // A row without a permission is a role.
    let query = "SELECT goat_guard.roles_revision, stored.id, stored.role, stored.permission, \
                 stored.rank, stored.created_at \
                 FROM goat_guard LEFT JOIN (\
                 SELECT id, role, permission, CAST(NULL AS BIGINT) AS rank, created_at \
                 FROM goat_permissions UNION ALL \
                 SELECT NULL, name, NULL, rank, created_at FROM goat_roles) AS stored ON 1 = 1 \
                 ORDER BY stored.id, stored.role";
    let found = connection.all(sqlx::query(query)).await?;
    let first = found.first().ok_or(Failure::Row("roles_revision"))?;
    let mut rows =
        RoleRows { revision: rows::count(first, "roles_revision")?, ..RoleRows::default() };
    for row in &found {
        if row.try_get::<Option<&str>, _>("id")?.is_some() {
            rows.grants.push(rows::grant(row)?);
        } else if row.try_get::<Option<&str>, _>("role")?.is_some() {
            // Without roles and grants, the outer join returns one row with nulls.
            rows.roles.push(rows::role(row)?);
        }
    }
    Ok(rows)
}

/// Whether the role is stored. It stays so until the end of the transaction.
pub(super) async fn exists(connection: &mut Connection<'_>, role: &Role) -> Result<bool, Failure> {
    const QUERY: &str = concat!("SELECT name FROM goat_roles WHERE name = $1", for_key_share!());
    Ok(connection.optional(sqlx::query(QUERY).bind(role.as_str())).await?.is_some())
}

/// Locks a role until the end of the transaction.
async fn lock(connection: &mut Connection<'_>, role: &Role) -> Result<(), Failure> {
    const QUERY: &str = concat!("SELECT name FROM goat_roles WHERE name = $1", for_update!());
    connection.optional(sqlx::query(QUERY).bind(role.as_str())).await?;
    Ok(())
}

/// Returns the number of users in a role, exact up to [`PAGE_REACH`].
async fn users_in(connection: &mut Connection<'_>, role: &Role) -> Result<u64, Failure> {
    let query = "SELECT count(*) AS users FROM \
                 (SELECT id FROM goat_users WHERE role = $1 LIMIT $2) AS counted";
    let query = sqlx::query(query).bind(role.as_str()).bind(rows::signed(PAGE_REACH));
    rows::count(&connection.one(query).await?, "users")
}

/// Applies a change; returns whether anything changed.
async fn apply(
    connection: &mut Connection<'_>,
    change: RoleChange,
    deletes: Option<&Role>,
) -> Result<bool, Failure> {
    match change {
        RoleChange::Nothing => Ok(false),
        RoleChange::Grant(grants) => put(connection, &[], &grants, &[]).await,
        RoleChange::Revoke(id) => put(connection, &[], &[], &[id]).await,
        RoleChange::Put { roles, grants, revoked } => {
            put(connection, &roles, &grants, &revoked).await
        }
        RoleChange::Delete => match deletes {
            Some(role) => delete(connection, role).await,
            None => Ok(false),
        },
    }
}

async fn put(
    connection: &mut Connection<'_>,
    roles: &[StoredRole],
    grants: &[Grant],
    revoked: &[GrantId],
) -> Result<bool, Failure> {
    let mut changed = 0;
    for id in revoked {
        let query = "DELETE FROM goat_permissions WHERE id = $1";
        changed += connection.execute(sqlx::query(query).bind(id.to_string())).await?;
    }
    for StoredRole { role, rank, created_at } in roles {
        let query = "INSERT INTO goat_roles (name, rank, created_at) VALUES ($1, $2, $3) \
                     ON CONFLICT (name) DO UPDATE SET rank = excluded.rank \
                     WHERE goat_roles.rank <> excluded.rank";
        let query = sqlx::query(query)
            .bind(role.as_str())
            .bind(i64::from(rank.0))
            .bind(created_at.as_millis());
        changed += connection.execute(query).await?;
    }
    for grant in grants {
        let query = "INSERT INTO goat_permissions (id, role, permission, created_at) \
                     VALUES ($1, $2, $3, $4)";
        let query = sqlx::query(query)
            .bind(grant.id.to_string())
            .bind(grant.role.as_str())
            .bind(grant.permission.as_str())
            .bind(grant.created_at.as_millis());
        changed += connection.execute(query).await?;
    }
    Ok(changed > 0)
}

async fn delete(connection: &mut Connection<'_>, role: &Role) -> Result<bool, Failure> {
    let query = "DELETE FROM goat_permissions WHERE role = $1";
    connection.execute(sqlx::query(query).bind(role.as_str())).await?;
    let query = "DELETE FROM goat_roles WHERE name = $1";
    Ok(connection.execute(sqlx::query(query).bind(role.as_str())).await? > 0)
}
