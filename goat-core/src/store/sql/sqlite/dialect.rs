//! SQLite dialect: transactions and error codes.
//!
//! One connection writes, and `BEGIN IMMEDIATE` takes the only write lock of the database at once. So
//! the rows that a write reads do not change until it commits, no other locks are needed, and no
//! transaction upgrades from reading to writing, which SQLite may reject.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{SqlSafeStr as _, Sqlite};

use crate::challenge::Subject;
use crate::clock::Timestamp;
use crate::error::{Result, StoreError};
use crate::id::UserId;
use crate::store::sql::failure::{Failure, FailureClass};
use crate::store::sql::schema::Migration;

use super::adoption::MappedUsers;
use super::connection::Connection;
use super::database::{Pools, UniqueViolation};
use super::pool::{PooledSqlite, SqlitePool};
use super::pooled_connection::PooledConnection;

pub(super) type Db = Sqlite;
pub(super) type Row = sqlx::sqlite::SqliteRow;
pub(super) type DriverConnection = sqlx::SqliteConnection;
pub(super) type Pool = SqlitePool;
pub(super) type Acquired = PooledSqlite;

/// Begins a write transaction.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

/// Returns a connection without an open transaction or running statement to goat's own pool; keeps one of
/// the application's, which its pool must test first.
pub(super) fn release(connection: Acquired) -> Option<Acquired> {
    (!connection.is_own()).then_some(connection)
}

/// How transactions begin, by the options.
#[derive(Clone, Debug)]
pub(super) struct TransactionMode {
    timeout: Duration,
    /// The application's table of users, if they are there.
    pub(super) mapped_users: Option<Arc<MappedUsers>>,
}

impl TransactionMode {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout: timeout.max(Duration::from_millis(1)), mapped_users: None }
    }

    fn connection(&self, pooled: PooledConnection, named_statements: bool) -> Connection<'static> {
        Connection::new(pooled, named_statements, self.mapped_users.clone())
    }

    /// Acquires a connection for single statements.
    pub(super) async fn autocommit(&self, pool: &Pool) -> Result<Connection<'static>, Failure> {
        Ok(self.connection(PooledConnection::new(pool.acquire().await?, self.timeout), true))
    }

    /// Acquires a connection for related reads.
    pub(super) async fn snapshot(&self, pool: &Pool) -> Result<Connection<'static>, Failure> {
        self.autocommit(pool).await
    }

    /// Begins a write transaction.
    pub(super) async fn begin(&self, pool: &Pool) -> Result<Connection<'static>, Failure> {
        let pooled = PooledConnection::new(pool.acquire().await?, self.timeout);
        Ok(self.connection(pooled.begin(BEGIN.into_sql_str()).await?, true))
    }

    /// Begins a migration step.
    pub(super) async fn begin_migration(
        &self,
        pool: &Pool,
    ) -> Result<Connection<'static>, Failure> {
        self.begin(pool).await
    }

    /// Whether prepared statements are named.
    pub(super) fn named_statements(&self) -> bool {
        true
    }

    /// Notes that a connection was lost; a file has none to lose.
    pub(super) fn connection_lost(&self) {}

    /// Returns the parameter of [`now`].
    pub(super) fn now(&self, now: Timestamp) -> i64 {
        now.as_millis()
    }
}

/// The current time in milliseconds, by the caller's clock, since there is one machine only.
macro_rules! now {
    ($given:literal) => {
        $given
    };
}
pub(super) use now;

/// Whether at most one write transaction is open.
pub(super) const SINGLE_WRITER: bool = true;

/// Row locks, which SQLite does not need.
macro_rules! for_update {
    () => {
        ""
    };
}
pub(super) use for_update;

/// Locks against deletion, which SQLite does not need.
macro_rules! for_key_share {
    () => {
        ""
    };
}
pub(super) use for_key_share;

/// Row locks that skip locked rows, which SQLite does not need.
macro_rules! for_update_skip_locked {
    () => {
        ""
    };
}
pub(super) use for_update_skip_locked;

/// Prepares a transaction of the application for a write: takes the write lock, which a deferred one does
/// not have before its first write, so that the rows that are read stay as they are. A transaction that
/// has read before another one committed is rejected by SQLite.
pub(super) async fn enter(_: &Pools, connection: &mut Connection<'_>) -> Result<(), Failure> {
    // No row has this id; a statement that may write takes the lock in any case.
    connection.execute(sqlx::query("DELETE FROM goat_guard WHERE id = 0")).await?;
    Ok(())
}

/// Locks the guard row; covered by the write lock.
pub(super) async fn lock_guard(_: &mut Connection<'_>) -> Result<(), Failure> {
    Ok(())
}

/// Locks the set of a user's sessions; covered by the write lock.
pub(super) async fn lock_sessions(_: &mut Connection<'_>, _: UserId) -> Result<(), Failure> {
    Ok(())
}

/// Locks the set of a subject's challenges; covered by the write lock.
pub(super) async fn lock_challenges(_: &mut Connection<'_>, _: &Subject) -> Result<(), Failure> {
    Ok(())
}

/// Locks the set of a user's keys; covered by the write lock.
pub(super) async fn lock_keys(_: &mut Connection<'_>, _: UserId) -> Result<(), Failure> {
    Ok(())
}

/// Locks migrations; covered by the write lock.
pub(super) async fn lock_migrations(_: &mut Connection<'_>) -> Result<(), Failure> {
    Ok(())
}

/// Returns the unique constraint that a write of a user violated.
/// `application` has those of the application.
pub(super) fn unique_violation(
    error: &sqlx::Error,
    application: &[(String, UniqueViolation)],
) -> Option<UniqueViolation> {
    let error = error.as_database_error().filter(|error| error.is_unique_violation())?;
    // SQLite does not report the constraint's name, but its columns.
    let (_, columns) = error.message().rsplit_once(": ")?;
    let mut columns_of = columns.split(", ").flat_map(|column| {
        application.iter().filter(move |(name, _)| name == column).map(|(_, violation)| *violation)
    });
    if let Some(violation) = columns_of.next() {
        return Some(violation);
    }
    match columns.rsplit_once('.')?.1 {
        "email_canonical" | "goat_email_canonical" => Some(UniqueViolation::Email),
        "id" | "goat_id" => Some(UniqueViolation::Id),
        _ => None,
    }
}

/// Converts failures of an operation into [`StoreError`].
pub(super) fn store_error(operation: &'static str) -> impl Fn(Failure) -> StoreError {
    move |failure| failure.in_operation(operation, classify)
}

/// Whether another process holds the lock.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref().and_then(primary), Some(code::BUSY | code::LOCKED))
}

/// Whether the disk is full or fails.
pub(super) fn is_disk_fault(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref().and_then(primary), Some(code::FULL | code::INPUT_OUTPUT))
}

/// Checks the properties that goat relies on; opening the file has.
pub(super) async fn check_database(_: &mut Connection<'_>) -> Result<()> {
    Ok(())
}

/// Keeps later calls in the schema of this connection; SQLite has one schema.
pub(super) async fn pin_schema(_: &Pools, _: &mut Connection<'_>) -> Result<(), Failure> {
    Ok(())
}

/// Returns a right on a table that the user lacks; SQLite has no rights on tables.
pub(super) async fn missing_right(_: &Pools) -> Result<Option<String>, Failure> {
    Ok(None)
}

/// Whether the database denies writes until an operator changes it.
pub(super) fn denies_writes(failure: &Failure) -> bool {
    let code = failure.code();
    matches!(code.as_deref().and_then(primary), Some(code::READ_ONLY | code::CANNOT_OPEN))
}

/// Classifies an error code. An error of the disk or of opening a file (the log, or one of too many)
/// counts as a refused write, since a read meets it only if its pages are not in memory.
pub(super) fn classify(code: &str) -> FailureClass {
    match primary(code) {
        Some(code::READ_ONLY | code::INPUT_OUTPUT | code::FULL | code::CANNOT_OPEN) => {
            FailureClass::WriteRefused
        }
        Some(
            code::BUSY
            | code::LOCKED
            | code::OUT_OF_MEMORY
            | code::INTERRUPTED
            | code::LOCKING_PROTOCOL,
        ) => FailureClass::Transient,
        _ => FailureClass::Permanent,
    }
}

/// Primary result codes, from <https://www.sqlite.org/rescode.html>.
mod code {
    pub(super) const BUSY: u32 = 5;
    pub(super) const LOCKED: u32 = 6;
    pub(super) const OUT_OF_MEMORY: u32 = 7;
    pub(super) const READ_ONLY: u32 = 8;
    pub(super) const INTERRUPTED: u32 = 9;
    pub(super) const INPUT_OUTPUT: u32 = 10;
    pub(super) const FULL: u32 = 13;
    pub(super) const CANNOT_OPEN: u32 = 14;
    pub(super) const LOCKING_PROTOCOL: u32 = 15;
}

/// Returns the primary code of an extended one: its lowest byte.
fn primary(code: &str) -> Option<u32> {
    code.parse::<u32>().ok().map(|code| code & 0xff)
}

/// Lists the tables.
pub(super) const TABLES: &str = "SELECT name FROM sqlite_master \
    WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";

/// Creates the table of migrations.
pub(super) const CREATE_MIGRATIONS: &str = "CREATE TABLE IF NOT EXISTS goat_migrations (
    version    INTEGER NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    checksum   TEXT    NOT NULL,
    applied_at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER) * 1000)
) STRICT";

pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "initial",
        sql: include_str!("../migrations/sqlite/0001_initial.sql"),
    },
    Migration {
        version: 2,
        name: "user_revision",
        sql: include_str!("../migrations/sqlite/0002_user_revision.sql"),
    },
    Migration {
        version: 3,
        name: "lists",
        sql: include_str!("../migrations/sqlite/0003_lists.sql"),
    },
    Migration {
        version: 4,
        name: "identity",
        sql: include_str!("../migrations/sqlite/0004_identity.sql"),
    },
    Migration {
        version: 5,
        name: "token_replacement",
        sql: include_str!("../migrations/sqlite/0005_token_replacement.sql"),
    },
    Migration {
        version: 6,
        name: "previous_used_from",
        sql: include_str!("../migrations/sqlite/0006_previous_used_from.sql"),
    },
    Migration {
        version: 7,
        name: "list_indexes",
        sql: include_str!("../migrations/sqlite/0007_list_indexes.sql"),
    },
    Migration {
        version: 8,
        name: "roles",
        sql: include_str!("../migrations/sqlite/0008_roles.sql"),
    },
    Migration {
        version: 9,
        name: "attributes",
        sql: include_str!("../migrations/sqlite/0009_attributes.sql"),
    },
    Migration {
        version: 10,
        name: "proofs",
        sql: include_str!("../migrations/sqlite/0010_proofs.sql"),
    },
    Migration {
        version: 11,
        name: "challenges",
        sql: include_str!("../migrations/sqlite/0011_challenges.sql"),
    },
    Migration {
        version: 12,
        name: "keys",
        sql: include_str!("../migrations/sqlite/0012_keys.sql"),
    },
    Migration {
        version: 13,
        name: "email_verified",
        sql: include_str!("../migrations/sqlite/0013_email_verified.sql"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// O1: an extended code is classified by its primary code.
    #[test]
    fn transient_errors_are_recognized() {
        for code in ["5", "261", "517", "6", "7", "9", "15"] {
            assert_eq!(classify(code), FailureClass::Transient, "{code}");
        }
        for code in ["8", "264", "1032", "10", "522", "778", "13", "14"] {
            assert_eq!(classify(code), FailureClass::WriteRefused, "{code}");
        }
        for code in ["1", "11", "19", "1555", "2067", "26", "", "x"] {
            assert_eq!(classify(code), FailureClass::Permanent, "{code}");
        }
    }
}
