//! The database that the settings name: SQLite or PostgreSQL, and all that differs between the two
//! for a program that stands on one of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use goat_core::limit::LimitStore;
use goat_core::store::sql::{
    MigrateOptions, OnUnknownKey, PostgresDatabase, PostgresOptions, SchemaState, SqliteDatabase,
    SqliteOptions,
};
use goat_core::token::TokenKeys;
use goat_core::{Secret, Stores};
use tokio::time;

use crate::failure::{Failure, deepest};
use crate::start::settings::{self, StorageSettings, show_duration};

/// How long a migration may take: a large table is not rewritten within the time-out of a call.
const MIGRATE_WITHIN: Duration = Duration::from_secs(600);

/// A database that is open, or will be when it is first asked.
#[derive(Clone, Debug)]
pub(super) enum Database {
    /// A file.
    Sqlite { path: PathBuf, database: SqliteDatabase },
    /// A server, and how long a call to it may take.
    Postgres { database: PostgresDatabase, timeout: Duration },
}

impl Database {
    /// Opens the file, or gets ready to connect to the server.
    pub(super) async fn open(settings: &StorageSettings) -> Result<Self, Failure> {
        match &settings.database {
            settings::Database::Sqlite(path) => {
                let database = SqliteDatabase::open(sqlite_options(settings, path)).await?;
                Ok(Self::Sqlite { path: path.clone(), database })
            }
            settings::Database::Postgres(url) => {
                let options = postgres_options(settings, url);
                let database = PostgresDatabase::open(&options).map_err(named)?;
                Ok(Self::Postgres { database, timeout: settings.store_timeout })
            }
        }
    }

    /// Asks it whether it is there and can be used; answers what the operator knows it as.
    pub(super) async fn probe(&self) -> Result<String, Failure> {
        match self {
            // It was opened.
            Self::Sqlite { path, .. } => Ok(format!("SQLite in {}", path.display())),
            Self::Postgres { database, timeout, .. } => {
                let version = within(*timeout, database.version()).await?;
                Ok(format!("PostgreSQL {version}"))
            }
        }
    }

    pub(super) async fn schema_state(&self) -> Result<SchemaState, Failure> {
        match self {
            Self::Sqlite { database, .. } => Ok(database.schema_state().await?),
            Self::Postgres { database, timeout, .. } => {
                within(*timeout, database.schema_state()).await
            }
        }
    }

    pub(super) async fn migrate(
        &self,
        options: MigrateOptions,
    ) -> Result<Vec<&'static str>, Failure> {
        match self {
            Self::Sqlite { database, .. } => Ok(database.migrate(options).await?),
            Self::Postgres { database, .. } => {
                within(MIGRATE_WITHIN, database.migrate(options)).await
            }
        }
    }

    pub(super) fn stores(&self, limits: Arc<dyn LimitStore>) -> Stores {
        match self {
            Self::Sqlite { database, .. } => database.stores(limits),
            Self::Postgres { database, .. } => database.stores(limits),
        }
    }

    /// What tells the database from others.
    pub(super) async fn identity(&self) -> Result<String, Failure> {
        match self {
            Self::Sqlite { database, .. } => Ok(database.identity().await?),
            Self::Postgres { database, timeout, .. } => within(*timeout, database.identity()).await,
        }
    }

    /// Notes with which key this node signs, where others may stand on the same database; answers
    /// the ids of theirs that are not among these.
    pub(super) async fn register_signing_key(
        &self,
        keys: &TokenKeys,
        lately: Duration,
        strange: OnUnknownKey,
    ) -> Result<Vec<String>, Failure> {
        match self {
            // Whoever reads the file reads the key that lies beside it.
            Self::Sqlite { .. } => Ok(Vec::new()),
            Self::Postgres { database, timeout, .. } => {
                within(*timeout, database.register_signing_key(keys, lately, strange)).await
            }
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { database, .. } => database.close().await,
            Self::Postgres { database, .. } => database.close().await,
        }
    }
}

/// Waits so long for a server that may have died in the middle of its answer.
async fn within<T>(
    limit: Duration,
    call: impl Future<Output = goat_core::Result<T>>,
) -> Result<T, Failure> {
    match time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(named),
        Err(_) => Err(Failure::new(format!(
            "DATABASE_URL: PostgreSQL is unavailable: no response within {}",
            show_duration(limit)
        ))),
    }
}

/// A failure of the server, under the name of the setting that it comes from.
fn named(error: goat_core::Error) -> Failure {
    if error.is_unavailable() {
        return Failure::new(format!(
            "DATABASE_URL: PostgreSQL is unavailable: {}",
            deepest(&error)
        ));
    }
    Failure::from(error).after("DATABASE_URL")
}

/// How a file of SQLite is opened.
pub(super) fn sqlite_options(settings: &StorageSettings, path: &Path) -> SqliteOptions {
    SqliteOptions {
        // One connection writes.
        readers: settings.max_connections.saturating_sub(1).max(1),
        busy_timeout: settings.store_timeout,
        ..SqliteOptions::new(path)
    }
}

/// How PostgreSQL is reached. Nobody waits for an answer longer than the time-out of a call, so the
/// server works on none for longer; and the wait for a connection ends before the call's does, so
/// that what is said is that there was none.
pub(super) fn postgres_options(
    settings: &StorageSettings,
    url: &Secret<String>,
) -> PostgresOptions {
    PostgresOptions {
        connections: settings.max_connections,
        acquire_timeout: settings.store_timeout * 9 / 10,
        statement_timeout: settings.store_timeout,
        ..PostgresOptions::new(url.clone())
    }
}
