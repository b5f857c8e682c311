//! The configured database at startup. Each engine is behind the cargo feature of its name.

#[cfg(feature = "postgres")]
pub(super) mod postgres;
#[cfg(feature = "sqlite")]
pub(super) mod sqlite;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use goat_core::Stores;
use goat_core::invalidation::Invalidations;
use goat_core::limit::LimitStore;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use goat_core::store::sql;
use goat_core::token::TokenKeys;

use super::{AdoptForeign, KeySource};
use crate::failure::Failure;
use crate::start::settings::StorageSettings;

/// An open SQLite file, or a PostgreSQL pool that connects on first use.
#[async_trait]
pub(super) trait Database: fmt::Debug + Send + Sync {
    /// Checks that the database is usable, and returns its name and version for the operator.
    async fn probe(&self) -> Result<String, Failure>;

    /// Checks that the database accepts writes.
    async fn check_writable(&self) -> Result<(), Failure>;

    async fn schema_state(&self) -> Result<SchemaState, Failure>;

    async fn migrate(&self, adopt: AdoptForeign) -> Result<Vec<&'static str>, Failure>;

    fn stores(&self, limits: Arc<dyn LimitStore>) -> Stores;

    /// Returns the database's own invalidation channel. Without one, only this process uses the database.
    fn invalidations(&self, staleness: Duration) -> Option<Arc<dyn Invalidations>>;

    /// Returns an identifier that differs from every other database's.
    async fn identity(&self) -> Result<String, Failure>;

    /// Registers this node's signing key for a time where other nodes may use the same database, and
    /// returns the ids of their keys that are not among `keys`; does not register it if there are any, unless
    /// the key is configured.
    async fn register_signing_key(
        &self,
        keys: &TokenKeys,
        ttl: Duration,
        source: KeySource,
    ) -> Result<Vec<String>, Failure>;

    /// Returns the database's file, if it is one.
    fn file(&self) -> Option<File<'_>>;

    async fn close(&self);
}

/// The state of a database's schema relative to this version, of any engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// The database has no tables.
    Empty,
    /// The database has these tables, and none of goat's.
    Foreign(Vec<String>),
    /// The schema is older than this version and can be migrated.
    Behind,
    /// The schema is current.
    Current,
    /// The schema is newer than this version, which must not use it.
    Ahead,
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl From<sql::SchemaState> for SchemaState {
    fn from(state: sql::SchemaState) -> Self {
        match state {
            sql::SchemaState::Empty => Self::Empty,
            sql::SchemaState::Foreign(tables) => Self::Foreign(tables),
            sql::SchemaState::Behind => Self::Behind,
            sql::SchemaState::Current => Self::Current,
            sql::SchemaState::Ahead => Self::Ahead,
        }
    }
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl From<AdoptForeign> for sql::MigrateOptions {
    fn from(adopt: AdoptForeign) -> Self {
        Self { adopt_foreign: adopt == AdoptForeign::Allow }
    }
}

/// The file of a database.
#[derive(Clone, Copy, Debug)]
pub(super) struct File<'a> {
    pub(super) path: &'a Path,
    /// Whether it existed before it was opened.
    pub(super) existed: bool,
}

/// Opens the file, or creates the pool.
pub(super) async fn open(settings: &StorageSettings) -> Result<Arc<dyn Database>, Failure> {
    match &settings.database {
        #[cfg(feature = "sqlite")]
        super::settings::Database::Sqlite(path) => {
            Ok(Arc::new(sqlite::Sqlite::open(settings, path).await?))
        }
        #[cfg(feature = "postgres")]
        super::settings::Database::Postgres(url) => {
            Ok(Arc::new(postgres::Postgres::open(settings, url)?))
        }
        #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
        other => Err(Failure::configuration(format!("DATABASE_URL: {}", other.engine().absence()))),
    }
}
