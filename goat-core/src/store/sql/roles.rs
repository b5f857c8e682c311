//! What roles may do.

use async_trait::async_trait;
use sqlx::Row as _;

use crate::access::{
    Grant, RoleChange, RoleRows, RoleSnapshot, RoleStore, RoleWrite, RoleWriteOutcome,
};
use crate::error::StoreError;
use crate::id::GrantId;
use crate::store::sql::failure::Failure;

use super::connection::Connection;
use super::database::Pools;
use super::dialect::{self, store_error};
use super::rows;
use super::users::lock_actor;

/// The permissions of a database's roles.
#[derive(Debug)]
pub(super) struct Roles {
    pools: Pools,
    /// Whether the users that the database holds are the ones that count.
    has_users: bool,
}

impl Roles {
    pub(super) fn with_users(pools: Pools) -> Self {
        Self { pools, has_users: true }
    }

    pub(super) fn without_users(pools: Pools) -> Self {
        Self { pools, has_users: false }
    }

    async fn read(&self) -> Result<RoleRows, Failure> {
        all(&mut self.pools.read().await?).await
    }

    async fn carry_out(&self, write: &RoleWrite<'_>) -> Result<RoleWriteOutcome, Failure> {
        // ATOMIC: whoever changes permissions holds the guard, so that they and the revision stay
        // as they were read until the commit, and the row of who acts is locked.
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
        let rise = "UPDATE goat_guard SET roles_revision = roles_revision + 1";
        connection.execute(sqlx::query(rise)).await?;
        let rows = all(&mut connection).await?;
        connection.commit().await?;
        Ok(RoleWriteOutcome::Written(rows))
    }
}

/// Everything, in one read: the revision always belongs to the grants.
async fn all(connection: &mut Connection) -> Result<RoleRows, Failure> {
    let query = "SELECT goat_guard.roles_revision, granted.id, role, permission, created_at \
                 FROM goat_guard LEFT JOIN goat_permissions AS granted ON 1 = 1 \
                 ORDER BY granted.id";
    let rows = connection.all(sqlx::query(query)).await?;
    let first = rows.first().ok_or(Failure::Row("roles_revision"))?;
    let revision = rows::count(first, "roles_revision")?;
    // Without a grant, there is one row that has none.
    let grants = if first.try_get::<Option<&str>, _>("id")?.is_none() { &[] } else { &rows[..] };
    let grants = grants.iter().map(rows::grant).collect::<Result<_, _>>()?;
    Ok(RoleRows { revision, grants })
}

async fn insert(connection: &mut Connection, grant: &Grant) -> Result<(), Failure> {
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

async fn delete(connection: &mut Connection, id: GrantId) -> Result<bool, Failure> {
    let query = "DELETE FROM goat_permissions WHERE id = $1";
    Ok(connection.execute(sqlx::query(query).bind(id.to_string())).await? > 0)
}

#[async_trait]
impl RoleStore for Roles {
    async fn load(&self) -> Result<RoleRows, StoreError> {
        self.read().await.map_err(store_error("roles.load"))
    }

    async fn write(&self, write: RoleWrite<'_>) -> Result<RoleWriteOutcome, StoreError> {
        self.carry_out(&write).await.map_err(store_error("roles.write"))
    }
}
