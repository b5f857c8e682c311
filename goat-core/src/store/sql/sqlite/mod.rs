//! SQLite storage: one file, one writer connection, several reader connections.

mod application;
mod backup;
mod dialect;
mod pool;

#[path = "../adoption.rs"]
mod adoption;
#[path = "../challenges.rs"]
mod challenges;
#[path = "../connection.rs"]
mod connection;
#[path = "../database.rs"]
mod database;
#[path = "../keys.rs"]
mod keys;
#[path = "../list.rs"]
mod list;
#[path = "../list_query.rs"]
mod list_query;
#[path = "../migrate.rs"]
mod migrate;
#[path = "../pooled_connection.rs"]
mod pooled_connection;
#[path = "../roles.rs"]
mod roles;
#[path = "../rows.rs"]
mod rows;
#[path = "../sessions.rs"]
mod sessions;
#[path = "../users.rs"]
mod users;

mod user_view;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use crate::error::{Error, Result};

use database::Pools;
use dialect::TransactionMode;
use pool::SqlitePool;

pub use adoption::Adoption as SqliteAdoption;
pub use backup::{Attachment, Restore};

use SqliteDatabase as Database;

/// SQLite options.
///
/// ```
/// use goat_core::store::sql::SqliteOptions;
///
/// let options = SqliteOptions { readers: 8, ..SqliteOptions::new("app.db") };
/// assert_eq!(options.busy_timeout.as_secs(), 5);
/// ```
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The file. If it does not exist it is created with access for its owner only, since it contains
    /// password hashes and e-mail addresses.
    pub path: PathBuf,
    /// The number of reader connections, in addition to the writer and to one for readiness checks. A
    /// read takes microseconds, so a few serve thousands of calls per second.
    pub readers: u32,
    /// The timeout of waiting for a connection, and for the write lock of another process.
    pub busy_timeout: Duration,
}

impl SqliteOptions {
    /// Creates options with four readers and a timeout of five seconds.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), readers: 4, busy_timeout: Duration::from_secs(5) }
    }
}

/// A SQLite database. Clones share its connections, which close with the last clone.
///
/// Several processes on one machine may open the same file; SQLite's write-ahead log does not work on a
/// network file system. Commits survive a power loss (`synchronous=FULL`).
///
/// ```no_run
/// use goat_core::store::sql::{MigrateOptions, SqliteDatabase, SqliteOptions};
///
/// # async fn example() -> goat_core::Result<()> {
/// let database = SqliteDatabase::open(SqliteOptions::new("app.db")).await?;
/// database.migrate(MigrateOptions { adopt_foreign: true }).await?;
/// let users = database.users();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteDatabase {
    pools: Pools,
}

impl SqliteDatabase {
    /// Opens the file, and creates it if it does not exist. Does not touch the tables; see
    /// [`SqliteDatabase::migrate`].
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) if the file cannot be created or opened, is
    /// not a database, or is on a file system without support for a write-ahead log;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if another process keeps it locked, or if the disk
    /// is full or fails.
    pub async fn open(options: SqliteOptions) -> Result<Self> {
        let SqliteOptions { path, readers, busy_timeout } = options;
        create_file(&path)?;
        let connect = SqliteConnectOptions::new()
            .filename(&path)
            .foreign_keys(true)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(busy_timeout);
        let with_wal = connect.clone().journal_mode(SqliteJournalMode::Wal);
        let write = SqlitePool::new(with_wal, 1, busy_timeout);
        enable_wal(&write, &path, busy_timeout).await?;
        check_encoding(&write, &path).await?;
        let read_only = connect.pragma("query_only", "ON");
        let read = SqlitePool::new(read_only.clone(), readers, busy_timeout);
        let check = SqlitePool::new(read_only, 1, busy_timeout);
        Ok(Self { pools: Pools::new(read, write, check, TransactionMode::new(busy_timeout)) })
    }
}

impl fmt::Debug for SqliteDatabase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SqliteDatabase")
    }
}

/// Creates the file with access for its owner only, in place of SQLite's default permissions. SQLite
/// gives its companions (`-wal`, `-shm`) the same permissions.
fn create_file(path: &Path) -> Result<()> {
    if path.as_os_str() == ":memory:" {
        return Err(Error::configuration(
            "a SQLite database needs a file, since several connections share it; use Stores::memory \
             for in-memory storage",
        ));
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(cannot_open(path, &error)),
    }
}

/// How long a caller should wait before it opens a file on a full or failing disk again.
const DISK_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Connects, and enables the write-ahead log.
async fn enable_wal(pool: &SqlitePool, path: &Path, timeout: Duration) -> Result<()> {
    // If two processes enable it on a new file at once, SQLite fails one of them without waiting; a
    // retry finds it enabled.
    const BACKOFF: Duration = Duration::from_millis(10);
    let mut waited = Duration::ZERO;
    let mode: String = loop {
        let query = sqlx::query_scalar("PRAGMA journal_mode");
        let mode = async { query.fetch_one(&mut *pool.acquire().await?).await };
        match mode.await {
            Ok(mode) => break mode,
            Err(error) if dialect::is_disk_fault(&error) => {
                let context = format!(
                    "cannot open the database {}: {error}; check the disk and its free space",
                    path.display()
                );
                return Err(Error::unavailable(context, DISK_RETRY_AFTER));
            }
            Err(error) if !dialect::is_busy(&error) => {
                return Err(cannot_open(path, &error));
            }
            Err(error) if waited >= timeout => {
                return Err(dialect::store_error("open")(error.into()).into());
            }
            Err(_) => {}
        }
        waited += BACKOFF;
        tokio::time::sleep(BACKOFF).await;
    };
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    Err(cannot_open(path, &"its file system does not support a write-ahead log"))
}

/// Checks that texts are compared by the bytes of their UTF-8, which decides about the order of lists.
async fn check_encoding(pool: &SqlitePool, path: &Path) -> Result<()> {
    let query = sqlx::query_scalar("PRAGMA encoding");
    let encoding = async { query.fetch_one(&mut *pool.acquire().await?).await };
    let encoding: String =
        encoding.await.map_err(|error| dialect::store_error("open")(error.into()))?;
    if encoding == "UTF-8" {
        return Ok(());
    }
    Err(cannot_open(path, &format!("it has the text encoding {encoding}, and goat needs UTF-8")))
}

fn cannot_open(path: &Path, reason: &dyn fmt::Display) -> Error {
    Error::configuration(format!("cannot open the database {}: {reason}", path.display()))
}
