//! A database as goat uses it: where reads and writes go, and the stores that stand on it.

use std::sync::Arc;

use sqlx::Pool;

use crate::access::RoleStore;
use crate::invalidation::LocalInvalidations;
use crate::limit::LimitStore;
use crate::session::SessionStore;
use crate::store::Stores;
use crate::user::UserStore;

use super::Database;
use super::connection::Connection;
use super::dialect::{Db, TransactionMode};
use super::roles::Roles;
use super::sessions::Sessions;
use super::users::Users;
use crate::store::sql::failure::Failure;

/// Where reads go, and where writes go.
#[derive(Clone, Debug)]
pub(super) struct Pools {
    pub(super) read: Pool<Db>,
    pub(super) write: Pool<Db>,
    pub(super) mode: TransactionMode,
}

impl Pools {
    /// For reads that each stand for themselves.
    pub(super) async fn read(&self) -> Result<Connection, Failure> {
        self.mode.autocommit(&self.read).await
    }

    /// For reads that see one moment, and whose plans are made for their values.
    pub(super) async fn snapshot(&self) -> Result<Connection, Failure> {
        self.mode.snapshot(&self.read).await
    }

    /// For a write of one statement. It counts once the connection is committed.
    pub(super) async fn write(&self) -> Result<Connection, Failure> {
        self.mode.autocommit(&self.write).await
    }

    /// Begins a write. If it is dropped before it commits, nothing happened.
    pub(super) async fn begin(&self) -> Result<Connection, Failure> {
        self.mode.begin(&self.write).await
    }

    /// Begins a step of a migration, which may take as long as it takes.
    pub(super) async fn begin_migration(&self) -> Result<Connection, Failure> {
        self.mode.begin_migration(&self.write).await
    }

    /// Whether the database answers.
    pub(super) async fn ping(&self) -> Result<(), Failure> {
        self.read().await?.one(sqlx::query("SELECT 1")).await?;
        Ok(())
    }
}

/// What a write of a user would have had twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UniqueViolation {
    Email,
    Id,
}

impl Database {
    /// The users that are kept here.
    #[must_use]
    pub fn users(&self) -> Arc<dyn UserStore> {
        Arc::new(Users::new(self.pools.clone()))
    }

    /// The permissions that are kept here. Who changes them is looked up in the same transaction
    /// among the users, who are kept here too.
    #[must_use]
    pub fn roles(&self) -> Arc<dyn RoleStore> {
        Arc::new(Roles::with_users(self.pools.clone()))
    }

    /// The permissions that are kept here, where users are kept elsewhere: who changes them is
    /// looked up there, right before. Rows of users that lie here from an earlier time are not looked
    /// at.
    #[must_use]
    pub fn roles_without_users(&self) -> Arc<dyn RoleStore> {
        Arc::new(Roles::without_users(self.pools.clone()))
    }

    /// The sessions that are kept here, read together with their users, who are kept here too.
    #[must_use]
    pub fn sessions(&self) -> Arc<dyn SessionStore> {
        Arc::new(Sessions::with_users(self.pools.clone()))
    }

    /// The sessions that are kept here, where users are kept elsewhere: rows of users that lie here
    /// from an earlier time are not looked at.
    #[must_use]
    pub fn sessions_without_users(&self) -> Arc<dyn SessionStore> {
        Arc::new(Sessions::without_users(self.pools.clone()))
    }

    /// Everything that is kept here, beside limits and notices, which are not: notices stay within
    /// this process. Where something is kept elsewhere, replace it:
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")] {
    /// use std::sync::Arc;
    /// use goat_core::{Stores, user::UserStore};
    /// use goat_core::store::sql::SqliteDatabase;
    ///
    /// /// Users of one's own, sessions and permissions in a file.
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
        }
    }

    /// Closes every connection, once the calls under way are done. Later calls find the database
    /// unavailable.
    pub async fn close(&self) {
        self.pools.read.close().await;
        self.pools.write.close().await;
    }
}
