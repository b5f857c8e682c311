//! SQL database handle: its connection pools and the stores on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::{Error, Result, StoreError};
use crate::invalidation::LocalInvalidations;
use crate::limit::LimitStore;
use crate::store::{
    ChallengeStore, KeyStore, NoFactors, RoleStore, SessionStore, Stores, UserStore,
};

use super::Database;
use super::challenges::SqlChallenges;
use super::connection::Connection;
use super::dialect::{self, DriverConnection, Pool, TransactionMode};
use super::keys::SqlKeys;
use super::roles::SqlRoles;
use super::sessions::SqlSessions;
use super::users::SqlUsers;
use crate::store::sql::failure::{Failure, FailureClass};

/// How often a call is repeated after a conflict with a concurrent transaction.
const REPEATS_AFTER_CONFLICT: u32 = 3;

/// The pause before the first repetition, which grows with each: the other transaction goes on meanwhile.
const PAUSE_AFTER_CONFLICT: Duration = Duration::from_millis(20);

/// The connection pools for reads and for writes.
#[derive(Clone, Debug)]
pub(super) struct Pools {
    pub(super) read: Pool,
    pub(super) write: Pool,
    /// For readiness checks alone, which must not wait for the calls of requests.
    pub(super) check: Pool,
    pub(super) mode: TransactionMode,
    /// Whether `read` and `write` are the application's.
    are_application: bool,
    /// Whether the database refused the last write.
    refuses_writes: Arc<AtomicBool>,
}

impl Pools {
    pub(super) fn new(read: Pool, write: Pool, check: Pool, mode: TransactionMode) -> Self {
        Self { read, write, check, mode, are_application: false, refuses_writes: Arc::default() }
    }

    /// Marks the pools for reads and writes as the application's, which closes them.
    pub(super) fn of_application(self) -> Self {
        Self { are_application: true, ..self }
    }

    /// Runs one store operation, and attaches its name to a failure.
    ///
    /// A call that cannot have taken effect is repeated: once if its connection was lost, on another
    /// connection that was opened or tested since; a few times if the database rolled it back because
    /// of a concurrent transaction. After a failed commit its effect is unknown, except if the
    /// database reports such a conflict.
    pub(super) async fn run<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        operation: &'static str,
        call: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        let (mut lost, mut conflicts) = (0, 0);
        loop {
            let failure = match call().await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            match failure.class(dialect::classify) {
                FailureClass::ConnectionLost if !failure.is_commit() && lost == 0 => {
                    self.mode.connection_lost();
                    lost += 1;
                    continue;
                }
                FailureClass::Conflict if conflicts < REPEATS_AFTER_CONFLICT => {
                    conflicts += 1;
                    tokio::time::sleep(PAUSE_AFTER_CONFLICT * conflicts).await;
                    continue;
                }
                FailureClass::WriteRefused => self.refuses_writes.store(true, Ordering::Relaxed),
                _ => {}
            }
            return Err(dialect::store_error(operation)(failure));
        }
    }

    /// Acquires a connection for independent reads.
    pub(super) async fn read(&self) -> Result<Connection<'static>, Failure> {
        self.mode.autocommit(&self.read).await
    }

    /// Begins a read-only snapshot, in which queries use indexes.
    pub(super) async fn snapshot(&self) -> Result<Connection<'static>, Failure> {
        self.mode.snapshot(&self.read).await
    }

    /// Begins a write transaction, which is rolled back if it is dropped before the commit.
    pub(super) async fn begin(&self) -> Result<Connection<'static>, Failure> {
        self.mode.begin(&self.write).await
    }

    /// Joins a transaction of the application.
    pub(super) async fn join<'c>(
        &self,
        transaction: &'c mut DriverConnection,
    ) -> Result<Connection<'c>, Failure> {
        Ok(Connection::join(
            transaction,
            self.mode.named_statements(),
            self.mode.mapped_users.clone(),
        )
        .await?)
    }

    /// Begins a migration step, which has no timeout.
    pub(super) async fn begin_migration(&self) -> Result<Connection<'static>, Failure> {
        self.mode.begin_migration(&self.write).await
    }

    /// Checks that the database responds, and if it refused a write, that it accepts one again.
    pub(super) async fn ping(&self) -> Result<(), Failure> {
        if self.refuses_writes.load(Ordering::Relaxed) {
            self.try_write().await?;
            self.refuses_writes.store(false, Ordering::Relaxed);
            return Ok(());
        }
        self.mode.autocommit(&self.check).await?.one(sqlx::query("SELECT 1")).await?;
        Ok(())
    }

    /// Commits a write that leaves no row: a user is created and deleted, which needs the space of a
    /// sign-up. An update to the same value would not do, since SQLite skips it.
    pub(super) async fn try_write(&self) -> Result<(), Failure> {
        const INSERT: &str = "INSERT INTO goat_users (id, email, email_canonical, email_domain, role, \
            status, password_hash, created_at, updated_at) VALUES ('', '', '', '', '', '', '', 0, 0)";
        let pool = if dialect::SINGLE_WRITER { &self.write } else { &self.check };
        let mut connection = self.mode.begin(pool).await?;
        // In goat's own table, also if users are in one of the application.
        connection.run(INSERT).await?;
        connection.run("DELETE FROM goat_users WHERE id = ''").await?;
        connection.commit().await
    }
}

/// Converts a failed write at startup, where a database that denies writes is a wrong configuration.
pub(super) fn write_error(operation: &'static str) -> impl Fn(Failure) -> Error {
    move |failure| {
        if dialect::denies_writes(&failure) {
            let cause = failure.into_cause();
            return Error::configuration(format!("the database denies writes: {cause}"));
        }
        dialect::store_error(operation)(failure).into()
    }
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

    /// Returns the challenge store. Deleting a user of this database deletes its challenges in the same
    /// transaction.
    #[must_use]
    pub fn challenges(&self) -> Arc<dyn ChallengeStore> {
        Arc::new(SqlChallenges::new(self.pools.clone()))
    }

    /// Returns the store of API keys, for users in this database: a key is read together with its owner, and
    /// deleted with it.
    #[must_use]
    pub fn keys(&self) -> Arc<dyn KeyStore> {
        Arc::new(SqlKeys::with_users(self.pools.clone()))
    }

    /// Returns the store of API keys, for users in another store. User rows in this database are ignored.
    #[must_use]
    pub fn keys_without_users(&self) -> Arc<dyn KeyStore> {
        Arc::new(SqlKeys::without_users(self.pools.clone()))
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
    ///         keys: database.keys_without_users(),
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
            challenges: self.challenges(),
            factors: Arc::new(NoFactors),
            keys: self.keys(),
            limits,
            invalidations: Arc::new(LocalInvalidations::default()),
            shared_cache: None,
        }
    }

    /// Checks that the database accepts writes, by a commit that leaves no row. A program calls this
    /// at startup, once the schema is current.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) if the database denies writes: the file or
    /// its folder is read-only, or the user lacks a right;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if it accepts none at present: it is full, a
    /// standby, or does not respond.
    pub async fn check_writable(&self) -> Result<()> {
        let written = async {
            if let Some(right) = dialect::missing_right(&self.pools).await? {
                return Ok(Err(right));
            }
            self.pools.try_write().await?;
            Ok::<_, Failure>(Ok(()))
        };
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(right)) => Err(Error::configuration(format!(
                "the database denies writes: the user lacks the right to {right}"
            ))),
            Err(failure) => Err(write_error("check_writable")(failure)),
        }
    }

    /// Closes every connection after the calls in progress. Later calls return
    /// [`StoreError::unavailable`]. The application's own pool stays open.
    pub async fn close(&self) {
        if !self.pools.are_application {
            self.pools.read.close().await;
            self.pools.write.close().await;
        }
        self.pools.check.close().await;
    }
}
