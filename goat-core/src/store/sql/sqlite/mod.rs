//! SQLite: one file, one writer, as many readers as there is work for.

mod dialect;
mod pooled_connection;

#[path = "../connection.rs"]
mod connection;
#[path = "../database.rs"]
mod database;
#[path = "../list.rs"]
mod list;
#[path = "../migrate.rs"]
mod migrate;
#[path = "../roles.rs"]
mod roles;
#[path = "../rows.rs"]
mod rows;
#[path = "../sessions.rs"]
mod sessions;
#[path = "../users.rs"]
mod users;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::error::{Error, Result};

use database::Pools;

use SqliteDatabase as Database;

/// How a SQLite database is opened.
///
/// ```
/// use goat_core::store::sql::SqliteOptions;
///
/// let options = SqliteOptions { readers: 8, ..SqliteOptions::new("app.db") };
/// assert_eq!(options.busy_timeout.as_secs(), 5);
/// ```
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The file. It is made if there is none, readable for its owner alone, since it holds
    /// passwords' hashes and people's addresses.
    pub path: PathBuf,
    /// How many connections read, beside the one that writes. A read takes some microseconds, so a
    /// few serve thousands of callers a second.
    pub readers: u32,
    /// How long a caller waits for its turn, and a write for another process that writes.
    pub busy_timeout: Duration,
}

impl SqliteOptions {
    /// Four readers, and five seconds of timeout.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), readers: 4, busy_timeout: Duration::from_secs(5) }
    }
}

/// A SQLite database. Clones share its connections, which close with the last of them.
///
/// Several processes may open the same file, on the same machine: SQLite's write-ahead log does not
/// work over a network file system. What was committed survives the loss of power
/// (`synchronous=FULL`).
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
    /// Opens the file, and makes it if there is none. Its tables are left alone; see
    /// [`SqliteDatabase::migrate`].
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) if the file cannot be made or opened, is
    /// no database, or lies where there can be no write-ahead log;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if another process does not let go of it.
    pub async fn open(options: SqliteOptions) -> Result<Self> {
        let SqliteOptions { path, readers, busy_timeout } = options;
        make_file(&path)?;
        let connect = SqliteConnectOptions::new()
            .filename(&path)
            .foreign_keys(true)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(busy_timeout);
        let pool = |connections: u32| {
            SqlitePoolOptions::new()
                .max_connections(connections.max(1))
                .acquire_timeout(busy_timeout)
                .max_lifetime(None)
                .idle_timeout(None)
                .test_before_acquire(false)
        };
        let logged = connect.clone().journal_mode(SqliteJournalMode::Wal);
        let write = pool(1).connect_lazy_with(logged);
        start_log(&write, &path, busy_timeout).await?;
        let read = pool(readers).connect_lazy_with(connect.pragma("query_only", "ON"));
        Ok(Self { pools: Pools { read, write, mode: dialect::TransactionMode } })
    }
}

impl fmt::Debug for SqliteDatabase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SqliteDatabase")
    }
}

/// Makes the file, before SQLite would with the rights that everybody's files have. Its companions
/// (`-wal`, `-shm`) get the same rights from SQLite.
fn make_file(path: &Path) -> Result<()> {
    if path.as_os_str() == ":memory:" {
        return Err(Error::configuration(
            "a SQLite database that several connections share needs a file; \
             for the memory of the process there is Stores::memory",
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

/// Connects, and sees to it that there is a write-ahead log.
async fn start_log(pool: &SqlitePool, path: &Path, timeout: Duration) -> Result<()> {
    // Where two processes switch a new file over at once, SQLite refuses one of them without
    // waiting. By the time of its next try, it is done.
    const BACKOFF: Duration = Duration::from_millis(10);
    let mut waited = Duration::ZERO;
    let mode: String = loop {
        match sqlx::query_scalar("PRAGMA journal_mode").fetch_one(pool).await {
            Ok(mode) => break mode,
            Err(error) if !dialect::is_held(&error) => {
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
    Err(cannot_open(path, &"its file system does not allow a write-ahead log"))
}

fn cannot_open(path: &Path, reason: &dyn fmt::Display) -> Error {
    Error::configuration(format!("cannot open the database {}: {reason}", path.display()))
}
