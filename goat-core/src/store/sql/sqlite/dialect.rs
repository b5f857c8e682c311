//! What SQLite does in its own way.
//!
//! There is one connection that writes, and `BEGIN IMMEDIATE` takes the database's only write lock
//! at once. So what a write reads holds until it commits, nothing else needs to be locked, and no
//! transaction ever has to turn from reading to writing, which is where SQLite would refuse.

use sqlx::{Pool, Sqlite};

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::UserId;
use crate::store::sql::failure::Failure;
use crate::store::sql::schema::Migration;

use super::connection::Connection;
use super::database::UniqueViolation;
use super::pooled_connection::PooledConnection;

pub(super) type Db = Sqlite;
pub(super) type Row = sqlx::sqlite::SqliteRow;
pub(super) type DriverConnection = sqlx::SqliteConnection;

/// The statement that begins a write.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

/// How this process deals with the database: there is one way.
#[derive(Clone, Debug)]
pub(super) struct TransactionMode;

impl TransactionMode {
    /// A connection for single statements.
    pub(super) async fn autocommit(&self, pool: &Pool<Db>) -> Result<Connection, Failure> {
        Ok(Connection::new(PooledConnection::autocommit(pool).await?, true))
    }

    /// A connection for reads that belong together.
    pub(super) async fn snapshot(&self, pool: &Pool<Db>) -> Result<Connection, Failure> {
        self.autocommit(pool).await
    }

    /// Begins a write.
    pub(super) async fn begin(&self, pool: &Pool<Db>) -> Result<Connection, Failure> {
        Ok(Connection::new(PooledConnection::begin(pool).await?, true))
    }

    /// Begins a step of a migration.
    pub(super) async fn begin_migration(&self, pool: &Pool<Db>) -> Result<Connection, Failure> {
        self.begin(pool).await
    }

    /// What to bind where a text says [`now`].
    pub(super) fn now(&self, now: Timestamp) -> i64 {
        now.as_millis()
    }
}

/// The present time in milliseconds: the parameter's, since there is no other machine.
macro_rules! now {
    ($given:literal) => {
        $given
    };
}
pub(super) use now;

/// Whether a transaction that writes is alone from its beginning.
pub(super) const SINGLE_WRITER: bool = true;

/// Ends a query whose rows stay as they are until the transaction ends.
macro_rules! for_update {
    () => {
        ""
    };
}
pub(super) use for_update;

/// Ends a query for rows that nobody else is busy with, which stay as they are.
macro_rules! for_update_skip_locked {
    () => {
        ""
    };
}
pub(super) use for_update_skip_locked;

/// Waits until no other write holds the guard.
pub(super) async fn lock_guard(_: &mut Connection) -> Result<(), Failure> {
    Ok(())
}

/// Waits until nobody else adds sessions to this user's, or ends several.
pub(super) async fn lock_sessions(_: &mut Connection, _: UserId) -> Result<(), Failure> {
    Ok(())
}

/// Waits until no other process migrates.
pub(super) async fn lock_migrations(_: &mut Connection) -> Result<(), Failure> {
    Ok(())
}

/// Which uniqueness a write of a user would have broken.
pub(super) fn unique_violation(error: &sqlx::Error) -> Option<UniqueViolation> {
    let error = error.as_database_error().filter(|error| error.is_unique_violation())?;
    // SQLite has no names for constraints; it names the columns.
    let (_, columns) = error.message().rsplit_once(": ")?;
    match columns {
        "goat_users.email_canonical" => Some(UniqueViolation::Email),
        "goat_users.id" => Some(UniqueViolation::Id),
        _ => None,
    }
}

/// A failure as the store's error.
pub(super) fn store_error(operation: &'static str) -> impl Fn(Failure) -> StoreError {
    move |failure| failure.in_operation(operation, is_transient)
}

/// Whether another process is in the way.
pub(super) fn is_held(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref().and_then(primary), Some(code::BUSY | code::LOCKED))
}

/// Whether another try later may help: locked, full, read-only, out of memory or of files.
fn is_transient(code: &str) -> bool {
    matches!(
        primary(code),
        Some(
            code::BUSY
                | code::LOCKED
                | code::OUT_OF_MEMORY
                | code::READ_ONLY
                | code::INTERRUPTED
                | code::INPUT_OUTPUT
                | code::FULL
                | code::CANNOT_OPEN
                | code::LOCKING_PROTOCOL
        )
    )
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

/// The primary code of an extended one: its lowest byte.
fn primary(code: &str) -> Option<u32> {
    code.parse::<u32>().ok().map(|code| code & 0xff)
}

/// The names of all tables.
pub(super) const TABLES: &str = "SELECT name FROM sqlite_master \
    WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";

/// Makes the table of migrations.
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
];

#[cfg(test)]
mod tests {
    use super::*;

    /// O1: extended codes count by their primary one.
    #[test]
    fn what_passes_is_told_from_what_is_broken() {
        for code in ["5", "261", "517", "6", "8", "264", "10", "522", "13", "14", "15"] {
            assert!(is_transient(code), "{code}");
        }
        for code in ["1", "11", "19", "1555", "2067", "26", "", "x"] {
            assert!(!is_transient(code), "{code}");
        }
    }
}
