//! The configured database, SQLite or PostgreSQL, and the differences between the two at startup.

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

/// Timeout of a migration: rewriting a large table takes longer than a store call.
const MIGRATE_WITHIN: Duration = Duration::from_secs(600);

/// An open SQLite file, or a PostgreSQL pool that connects on first use.
#[derive(Clone, Debug)]
pub(super) enum Database {
    /// A file, and whether it existed before it was opened.
    Sqlite { path: PathBuf, database: SqliteDatabase, existed: bool },
    /// A server, and the timeout of a call to it.
    Postgres { database: PostgresDatabase, timeout: Duration },
}

impl Database {
    /// Opens the file, or creates the pool.
    pub(super) async fn open(settings: &StorageSettings) -> Result<Self, Failure> {
        match &settings.database {
            settings::Database::Sqlite(path) => {
                let existed = path.exists();
                let opened = SqliteDatabase::open(sqlite_options(settings, path)).await;
                let database =
                    opened.map_err(|error| Failure::from(error).after("DATABASE_URL"))?;
                Ok(Self::Sqlite { path: path.clone(), database, existed })
            }
            settings::Database::Postgres(url) => {
                let options = postgres_options(settings, url);
                let database = PostgresDatabase::open(&options).map_err(named)?;
                Ok(Self::Postgres { database, timeout: settings.store_timeout })
            }
        }
    }

    /// Checks that the database is usable, and returns its name and version for the operator.
    pub(super) async fn probe(&self) -> Result<String, Failure> {
        match self {
            // `open` has checked it.
            Self::Sqlite { path, .. } => Ok(format!("SQLite in {}", path.display())),
            Self::Postgres { database, timeout, .. } => {
                let version = within(*timeout, database.version()).await?;
                Ok(format!("PostgreSQL {version}"))
            }
        }
    }

    /// Checks that the database accepts writes.
    pub(super) async fn check_writable(&self) -> Result<(), Failure> {
        match self {
            Self::Sqlite { path, database, .. } => {
                database.check_writable().await.map_err(in_file(path))
            }
            Self::Postgres { database, timeout } => {
                within(*timeout, database.check_writable()).await
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
            Self::Sqlite { path, database, .. } => {
                database.migrate(options).await.map_err(in_file(path))
            }
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

    /// Returns an identifier that differs from every other database's.
    pub(super) async fn identity(&self) -> Result<String, Failure> {
        match self {
            Self::Sqlite { database, .. } => Ok(database.identity().await?),
            Self::Postgres { database, timeout, .. } => within(*timeout, database.identity()).await,
        }
    }

    /// Registers this node's signing key where other nodes may use the same database, and returns the
    /// ids of their keys that are not among `keys`.
    pub(super) async fn register_signing_key(
        &self,
        keys: &TokenKeys,
        lately: Duration,
        strange: OnUnknownKey,
    ) -> Result<Vec<String>, Failure> {
        match self {
            // Every reader of the file also reads the key next to it.
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

/// Names the file in an error of SQLite.
fn in_file(path: &Path) -> impl Fn(goat_core::Error) -> Failure {
    move |error| Failure::from(error).after(&format!("the database {}", path.display()))
}

/// Bounds a call to a server that may have died before it responds.
async fn within<T>(
    limit: Duration,
    call: impl Future<Output = goat_core::Result<T>>,
) -> Result<T, Failure> {
    match time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(named),
        Err(_) => Err(Failure::unavailable(format!(
            "DATABASE_URL: PostgreSQL is unavailable: no response within {}",
            show_duration(limit)
        ))),
    }
}

/// Names the setting in an error of the server.
fn named(error: goat_core::Error) -> Failure {
    if error.is_unavailable() {
        return Failure::unavailable(format!(
            "DATABASE_URL: PostgreSQL is unavailable: {}",
            deepest(&error)
        ));
    }
    Failure::from(error).after("DATABASE_URL")
}

/// Returns the options of an SQLite file.
pub(super) fn sqlite_options(settings: &StorageSettings, path: &Path) -> SqliteOptions {
    SqliteOptions {
        // One connection is the writer.
        readers: settings.max_connections.saturating_sub(1).max(1),
        busy_timeout: settings.store_timeout,
        ..SqliteOptions::new(path)
    }
}

/// Returns the options of PostgreSQL. The server works on no statement for longer than the call's
/// timeout; waiting for a pooled connection ends before that, so that the error names the exhausted
/// pool.
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
