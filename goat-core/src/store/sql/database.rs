//! SQL database handle: its connection pools and the stores on it.

use std::sync::Arc;

use sqlx::Pool;

use crate::error::StoreError;
use crate::invalidation::LocalInvalidations;
use crate::limit::LimitStore;
use crate::store::{RoleStore, SessionStore, Stores, UserStore};

use super::Database;
use super::connection::Connection;
use super::dialect::{self, Db, TransactionMode};
use super::roles::SqlRoles;
use super::sessions::SqlSessions;
use super::users::SqlUsers;
use crate::store::sql::failure::Failure;

/// The connection pools for reads and for writes.
#[derive(Clone, Debug)]
pub(super) struct Pools {
    pub(super) read: Pool<Db>,
    pub(super) write: Pool<Db>,
    /// For readiness checks alone, which must not wait for the calls of requests.
    pub(super) check: Pool<Db>,
    pub(super) mode: TransactionMode,
}

impl Pools {
    /// Acquires a connection for independent reads.
    pub(super) async fn read(&self) -> Result<Connection, Failure> {
        self.mode.autocommit(&self.read).await
    }

    /// Begins a read-only snapshot, in which each query is planned for its parameters.
    pub(super) async fn snapshot(&self) -> Result<Connection, Failure> {
        self.mode.snapshot(&self.read).await
    }

    /// Acquires a connection for a write of one statement, which is final at the commit.
    pub(super) async fn write(&self) -> Result<Connection, Failure> {
        self.mode.autocommit(&self.write).await
    }

    /// Begins a write transaction, which is rolled back if it is dropped before the commit.
    pub(super) async fn begin(&self) -> Result<Connection, Failure> {
        self.mode.begin(&self.write).await
    }

    /// Begins a migration step, which has no timeout.
    pub(super) async fn begin_migration(&self) -> Result<Connection, Failure> {
        self.mode.begin_migration(&self.write).await
    }

    /// Checks that the database responds.
    pub(super) async fn ping(&self) -> Result<(), Failure> {
        self.mode.autocommit(&self.check).await?.one(sqlx::query("SELECT 1")).await?;
        Ok(())
    }
}

/// Runs one store operation, and attaches its name to a failure.
pub(super) async fn run<T>(
    operation: &'static str,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, StoreError> {
    call.await.map_err(dialect::store_error(operation))
}

/// The unique constraint that a write of a user violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UniqueViolation {
    Email,
    Id,
}

impl Database {
    /// Returns the user store.
    #[must_use]
    pub fn users(&self) -> Arc<dyn UserStore> {
        Arc::new(SqlUsers::new(self.pools.clone()))
    }

    /// Returns the store of role permissions, for users in this database: a write reads its actor in
    /// the same transaction.
    #[must_use]
    pub fn roles(&self) -> Arc<dyn RoleStore> {
        Arc::new(SqlRoles::with_users(self.pools.clone()))
    }

    /// Returns the store of role permissions, for users in another store: the actor is read there right
    /// before a write. User rows in this database are ignored.
    #[must_use]
    pub fn roles_without_users(&self) -> Arc<dyn RoleStore> {
        Arc::new(SqlRoles::without_users(self.pools.clone()))
    }

    /// Returns the session store, for users in this database: a session is read together with its user.
    #[must_use]
    pub fn sessions(&self) -> Arc<dyn SessionStore> {
        Arc::new(SqlSessions::with_users(self.pools.clone()))
    }

    /// Returns the session store, for users in another store. User rows in this database are ignored.
    #[must_use]
    pub fn sessions_without_users(&self) -> Arc<dyn SessionStore> {
        Arc::new(SqlSessions::without_users(self.pools.clone()))
    }

    /// Returns all stores of this database, with the given limits and with invalidations within this
    /// process. Replace a store to keep it elsewhere:
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")] {
    /// use std::sync::Arc;
    /// use goat_core::{Stores, store::UserStore};
    /// use goat_core::store::sql::SqliteDatabase;
    ///
    /// /// Users in another store, sessions and permissions in SQLite.
    /// fn mixed(users: Arc<dyn UserStore>, database: &SqliteDatabase) -> Stores {
    ///     Stores {
    ///         users,
    ///         roles: database.roles_without_users(),
    ///         sessions: database.sessions_without_users(),
    ///         ..Stores::memory()
    ///     }
    /// }
    /// # let _ = mixed;
    /// # }
    /// ```
    #[must_use]
    pub fn stores(&self, limits: Arc<dyn LimitStore>) -> Stores {
        Stores {
            users: self.users(),
            roles: self.roles(),
            sessions: self.sessions(),
            limits,
            invalidations: Arc::new(LocalInvalidations::default()),
            shared_cache: None,
        }
    }

    /// Closes every connection after the calls in progress. Later calls return
    /// [`StoreError::unavailable`].
    pub async fn close(&self) {
        self.pools.read.close().await;
        self.pools.write.close().await;
        self.pools.check.close().await;
    }
}
