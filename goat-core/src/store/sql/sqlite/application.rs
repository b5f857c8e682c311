//! SQLite storage on the application's connection pool, with a check of what goat requires of it.

use std::time::Duration;

use sqlx::{Row as _, Sqlite, SqliteConnection, SqlitePool as DriverPool, Transaction};

use crate::error::{Error, Result};
use crate::store::StoreTransaction;

use super::SqliteDatabase;
use super::database::Pools;
use super::dialect::{TransactionMode, store_error};
use super::pool::SqlitePool;

/// One connection may be in a transaction of the application while goat reads on another.
const LEAST_CONNECTIONS: u32 = 2;

/// The settings of a connection, as columns.
const SETTINGS: &str = "SELECT \
    (SELECT journal_mode FROM pragma_journal_mode) AS journal_mode, \
    (SELECT encoding FROM pragma_encoding) AS encoding, \
    (SELECT foreign_keys FROM pragma_foreign_keys) AS foreign_keys, \
    (SELECT synchronous FROM pragma_synchronous) AS synchronous, \
    (SELECT query_only FROM pragma_query_only) AS query_only, \
    (SELECT timeout FROM pragma_busy_timeout) AS busy_timeout";

impl SqliteDatabase {
    /// Works on the application's pool, of sqlx 0.9 as goat's own, so that one transaction can span the
    /// application's tables and goat's: see [`Goat::sign_up_in`](crate::Goat::sign_up_in). Does not touch
    /// the tables; see [`SqliteDatabase::migrate`].
    ///
    /// The pool opens its connections with:
    /// - a file, in WAL mode: `journal_mode(SqliteJournalMode::Wal)`. Not `:memory:`;
    /// - `foreign_keys(true)` and `synchronous(SqliteSynchronous::Full)`, which are sqlx's defaults, so
    ///   that a completed write survives a power loss;
    /// - a `busy_timeout` above zero, sqlx's default being five seconds, since the application and goat
    ///   take turns to write;
    /// - the text encoding UTF-8, SQLite's default.
    ///
    /// It has at least two connections, so that goat reads while the application is in a transaction.
    /// Readiness checks use one more, which goat opens itself.
    ///
    /// ```no_run
    /// use goat_core::store::sql::{MigrateOptions, SqliteDatabase};
    /// use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let options = SqliteConnectOptions::new().filename("app.db");
    /// let pool = sqlx::SqlitePool::connect_with(options.journal_mode(SqliteJournalMode::Wal)).await?;
    /// let database = SqliteDatabase::from_pool(pool.clone()).await?;
    /// database.migrate(MigrateOptions { adopt_foreign: true }).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) if the pool lacks one of these, which the error
    /// names; [`Unavailable`](crate::ErrorKind::Unavailable) if it has no connection within its
    /// timeout.
    pub async fn from_pool(pool: DriverPool) -> Result<Self> {
        let most = pool.options().get_max_connections();
        if most < LEAST_CONNECTIONS {
            return Err(lacking(&format!("at least {LEAST_CONNECTIONS} connections, not {most}")));
        }
        let timeout = check(&pool).await?;
        let check = pool.connect_options().as_ref().clone().pragma("query_only", "ON");
        let pools = Pools::new(
            SqlitePool::readers_of(pool.clone(), timeout),
            SqlitePool::writer_of(pool, timeout),
            SqlitePool::new(check, 1, timeout),
            TransactionMode::new(timeout),
        );
        Ok(Self { pools: pools.of_application() })
    }
}

impl<'a> From<&'a mut Transaction<'_, Sqlite>> for StoreTransaction<'a> {
    fn from(transaction: &'a mut Transaction<'_, Sqlite>) -> Self {
        Self::new::<SqliteConnection>(&mut *transaction)
    }
}

/// Checks the settings of a connection; returns the timeout of waiting for the write lock.
async fn check(pool: &DriverPool) -> Result<Duration> {
    const FULL: i64 = 2;
    let read = async {
        let row = sqlx::query(SETTINGS).fetch_one(pool).await?;
        let text = |name| row.try_get::<String, _>(name);
        let number = |name| row.try_get::<i64, _>(name);
        let texts = (text("journal_mode")?, text("encoding")?);
        let switches = (number("foreign_keys")?, number("synchronous")?, number("query_only")?);
        Ok::<_, sqlx::Error>((texts, switches, number("busy_timeout")?))
    };
    let settings =
        read.await.map_err(|error| Error::from(store_error("from_pool")(error.into())))?;
    let ((journal, encoding), (foreign_keys, synchronous, query_only), busy_timeout) = settings;
    if !journal.eq_ignore_ascii_case("wal") {
        return Err(lacking(&format!("a file with journal_mode WAL, not {journal}")));
    }
    if encoding != "UTF-8" {
        return Err(lacking(&format!("the text encoding UTF-8, not {encoding}")));
    }
    if foreign_keys == 0 {
        return Err(lacking("foreign_keys ON"));
    }
    if synchronous < FULL {
        return Err(lacking("synchronous FULL, for writes to survive a power loss"));
    }
    if query_only != 0 {
        return Err(lacking("query_only OFF, for writes"));
    }
    match u64::try_from(busy_timeout) {
        Ok(milliseconds @ 1..) => Ok(Duration::from_millis(milliseconds)),
        _ => Err(lacking("a busy_timeout above zero")),
    }
}

fn lacking(requirement: &str) -> Error {
    Error::configuration(format!("the application's SQLite pool needs {requirement}"))
}
