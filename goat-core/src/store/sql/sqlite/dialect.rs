//! What SQLite does in its own way.
//!
//! There is one connection that writes, and `BEGIN IMMEDIATE` takes the database's only write lock
//! at once. So what a write reads holds until it commits, nothing else needs to be locked, and no
//! transaction ever has to turn from reading to writing, which is where SQLite would refuse.

use sqlx::Sqlite;

use crate::error::StoreError;
use crate::id::UserId;
use crate::store::sql::failure::Failure;
use crate::store::sql::schema::Migration;

use super::database::Taken;

pub(super) type Db = Sqlite;
pub(super) type Row = sqlx::sqlite::SqliteRow;
pub(super) type Connection = sqlx::SqliteConnection;

/// Begins a write.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

/// Whether a transaction that writes is alone from its beginning.
pub(super) const ONE_WRITER: bool = true;

/// Ends a query whose rows stay as they are until the transaction ends.
macro_rules! for_update {
    () => {
        ""
    };
}
pub(super) use for_update;

/// Ends a query for rows that nobody else is busy with, which stay as they are.
macro_rules! for_update_of_idle {
    () => {
        ""
    };
}
pub(super) use for_update_of_idle;

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
pub(super) fn taken(error: &sqlx::Error) -> Option<Taken> {
    let error = error.as_database_error().filter(|error| error.is_unique_violation())?;
    // SQLite has no names for constraints; it names the columns.
    let (_, columns) = error.message().rsplit_once(": ")?;
    match columns {
        "goat_users.email_canonical" => Some(Taken::Email),
        "goat_users.id" => Some(Taken::Id),
        _ => None,
    }
}

/// A failure as the store's error.
pub(super) fn at(operation: &'static str) -> impl Fn(Failure) -> StoreError {
    move |failure| failure.in_operation(operation, passes)
}

/// Whether another try later may help: locked, full, read-only, out of memory or of files. The
/// codes are those of <https://www.sqlite.org/rescode.html>, the primary one in the lowest byte.
fn passes(code: &str) -> bool {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const OUT_OF_MEMORY: u32 = 7;
    const READ_ONLY: u32 = 8;
    const INTERRUPTED: u32 = 9;
    const INPUT_OUTPUT: u32 = 10;
    const FULL: u32 = 13;
    const CANNOT_OPEN: u32 = 14;
    const LOCKING_PROTOCOL: u32 = 15;
    let primary = code.parse::<u32>().map(|code| code & 0xff);
    matches!(
        primary,
        Ok(BUSY
            | LOCKED
            | OUT_OF_MEMORY
            | READ_ONLY
            | INTERRUPTED
            | INPUT_OUTPUT
            | FULL
            | CANNOT_OPEN
            | LOCKING_PROTOCOL)
    )
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

pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "initial",
    sql: include_str!("../migrations/sqlite/0001_initial.sql"),
}];
