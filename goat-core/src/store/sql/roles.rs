//! SQL store of role permissions.

use async_trait::async_trait;
use sqlx::Row as _;

use crate::access::{Grant, RoleRows};
use crate::error::StoreError;
use crate::id::GrantId;
use crate::store::roles::operation;
use crate::store::sql::failure::Failure;
use crate::store::{RoleChange, RoleSnapshot, RoleStore, RoleWrite, RoleWriteOutcome};

use super::connection::Connection;
use super::database::Pools;
use super::dialect;
use super::rows;
use super::users::lock_actor;

/// The role permissions of a database.
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
                // ATOMIC: every change of permissions holds the guard, so that permissions and revision
                // stay as read until the commit, and the actor's row is locked.
                let mut connection = self.pools.begin().await?;
                dialect::lock_guard(&mut connection).await?;
                let actor = match write.actor {
                    Some(id) if self.has_users => lock_actor(&mut connection, id).await?,
                    _ => None,
                };
                let rows = all(&mut connection).await?;
                let snapshot = RoleSnapshot { actor, keeps_users: self.has_users, rows };
                let is_changed = match (write.decide)(&snapshot) {
                    Err(kind) => return Ok(RoleWriteOutcome::Refused(kind)),
                    Ok(RoleChange::Nothing) => false,
                    Ok(RoleChange::Grant(grants)) => {
                        for grant in &grants {
                            insert(&mut connection, grant).await?;
                        }
                        !grants.is_empty()
                    }
                    Ok(RoleChange::Revoke(id)) => delete(&mut connection, id).await?,
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

/// Reads the grants and their revision in one query, so that they are consistent.
pub(super) async fn all(connection: &mut Connection<'_>) -> Result<RoleRows, Failure> {
    let query = "SELECT goat_guard.roles_revision, granted.id, role, permission, created_at \
                 FROM goat_guard LEFT JOIN goat_permissions AS granted ON 1 = 1 \
                 ORDER BY granted.id";
    let rows = connection.all(sqlx::query(query)).await?;
    let first = rows.first().ok_or(Failure::Row("roles_revision"))?;
    let revision = rows::count(first, "roles_revision")?;
    // Without grants, the outer join returns one row with nulls.
    let grants = if first.try_get::<Option<&str>, _>("id")?.is_none() { &[] } else { &rows[..] };
    let grants = grants.iter().map(rows::grant).collect::<Result<_, _>>()?;
    Ok(RoleRows { revision, grants })
}

async fn insert(connection: &mut Connection<'_>, grant: &Grant) -> Result<(), Failure> {
    let query = "INSERT INTO goat_permissions (id, role, permission, created_at) \
                 VALUES ($1, $2, $3, $4)";
    let query = sqlx::query(query)
        .bind(grant.id.to_string())
        .bind(grant.role.as_str())
        .bind(grant.permission.as_str())
        .bind(grant.created_at.as_millis());
    connection.execute(query).await?;
    Ok(())
}

async fn delete(connection: &mut Connection<'_>, id: GrantId) -> Result<bool, Failure> {
    let query = "DELETE FROM goat_permissions WHERE id = $1";
    Ok(connection.execute(sqlx::query(query).bind(id.to_string())).await? > 0)
}
