//! Stores at startup: the database and Redis of the settings, with the schema checked before any
//! other access.
//!
//! | | without Redis | with Redis |
//! |---|---|---|
//! | users, roles | database | database; PostgreSQL's also in the shared cache for the staleness |
//! | sessions | database | Redis |
//! | limits | process | Redis |
//! | invalidations | SQLite: process; PostgreSQL: `LISTEN` | Redis |

use std::path::{Path, absolute};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use goat_core::event::Observer;
use goat_core::limit::LimitStore;
use goat_core::store::memory::MemoryLimits;
use goat_core::store::shared_cache::{CacheEntry, CacheKey, Lookup, SharedCache};
use goat_core::token::TokenKeys;
use goat_core::{Clock, StoreError, Stores};

use crate::failure::Failure;
use crate::start::DataDir;
use crate::start::settings::{self, Settings, StorageSettings};

use super::database::{self, Database, File, SchemaState};
use super::redis::{self, Redis, RedisStatus};
use super::{KeySource, SecretFile};

/// Whether goat may create its tables in a database that holds other tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdoptForeign {
    /// A database with foreign tables is taken for a mistake.
    Refuse,
    /// The operator has confirmed the database.
    Allow,
}

/// The reachable services, in the operator's terms: no host, no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connectivity {
    /// The database's name and version.
    pub database: String,
    /// Redis' version, if it is configured.
    pub redis: Option<String>,
    /// Problems of their configuration, or of the permissions of files, that do not prevent their use.
    pub warnings: Vec<String>,
}

/// An open database, and a Redis client if configured.
#[derive(Clone, Debug)]
pub struct Storage {
    database: Arc<dyn Database>,
    redis: Option<Arc<dyn Redis>>,
}

impl Storage {
    /// Opens the database: an SQLite file, which is created if missing, or a PostgreSQL pool, which
    /// connects on first use.
    ///
    /// # Errors
    ///
    /// If a file cannot be opened, or a URL is malformed.
    pub async fn open(settings: &StorageSettings, data: &DataDir) -> Result<Self, Failure> {
        if let settings::Database::Sqlite(path) = &settings.database
            && is_in(path, data.path())
        {
            data.create()?;
        }
        let redis = redis::open(settings)?;
        Ok(Self { database: database::open(settings).await?, redis })
    }

    /// Opens a database that exists, for a command: an SQLite file is not created.
    ///
    /// # Errors
    ///
    /// As [`Storage::open`]; and if there is no file.
    pub(crate) async fn open_existing(
        settings: &StorageSettings,
        data: &DataDir,
    ) -> Result<Self, Failure> {
        if let settings::Database::Sqlite(path) = &settings.database
            && !path.exists()
        {
            return Err(no_database(path));
        }
        Self::open(settings, data).await
    }

    /// Checks that the database and Redis are usable.
    ///
    /// # Errors
    ///
    /// For each that times out, denies access, or is too old.
    pub async fn check_connectivity(&self) -> Result<Connectivity, Failure> {
        let (database, redis) = tokio::join!(self.probe_database(), self.probe_redis());
        match (database, redis) {
            (Ok(database), Ok(redis)) => {
                let (redis, warning) = redis.map(|redis| (redis.shown, redis.warning)).unzip();
                Ok(Connectivity {
                    database,
                    redis,
                    warnings: warning.flatten().into_iter().collect(),
                })
            }
            (database, redis) => {
                let failures = [database.err(), redis.err()].into_iter().flatten().collect();
                Failure::all(failures)?;
                Err(Failure::new("no store is available"))
            }
        }
    }

    /// Checks the database alone, and returns its name and version for the operator.
    pub(crate) async fn probe_database(&self) -> Result<String, Failure> {
        self.database.probe().await
    }

    async fn probe_redis(&self) -> Result<Option<RedisStatus>, Failure> {
        match &self.redis {
            Some(redis) => redis.probe().await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether other nodes may use the same stores.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.redis.is_some() || self.database.file().is_none()
    }

    /// Compares the schema with the one of this version.
    ///
    /// # Errors
    ///
    /// If the database is unavailable, or was created by an unknown version.
    pub async fn schema_state(&self) -> Result<SchemaState, Failure> {
        self.database.schema_state().await
    }

    /// Migrates the schema to this version, and returns the applied steps. Concurrent migrations
    /// apply each step once.
    ///
    /// # Errors
    ///
    /// If the database is foreign and must not be adopted, if its schema is newer than this
    /// version, or if it is unavailable.
    pub async fn migrate(&self, adopt: AdoptForeign) -> Result<Vec<&'static str>, Failure> {
        let state = self.schema_state().await?;
        if let Some(refusal) = self.refusal(&state, adopt) {
            return Err(refusal);
        }
        self.database.migrate(adopt).await
    }

    /// Migrates the schema at startup, or fails if it is not current.
    ///
    /// # Errors
    ///
    /// As [`Storage::migrate`]; if a migration is needed and not allowed; or for an empty SQLite file
    /// beside the secrets of an earlier start, which is a copy without its write-ahead log.
    pub async fn ensure_schema(&self, migrate: bool, data: &DataDir) -> Result<(), Failure> {
        if migrate {
            self.refuse_lone_copy(data).await?;
            let steps = self.migrate(AdoptForeign::Refuse).await?;
            if !steps.is_empty() {
                tracing::info!(steps = steps.join(", "), "database schema migrated");
            }
            return Ok(());
        }
        let state = self.schema_state().await?;
        match self.refusal(&state, AdoptForeign::Refuse) {
            Some(refusal) => Err(refusal),
            None if state == SchemaState::Current => Ok(()),
            None => Err(Failure::configuration(
                "the database schema is older than this version: run goat-server migrate, \
                 or set GOAT_MIGRATE_ON_START",
            )),
        }
    }

    /// Refuses an SQLite file without tables if the data directory has secrets: the server creates these
    /// after the tables, so that the file lost its tables since.
    pub(crate) async fn refuse_lone_copy(&self, data: &DataDir) -> Result<(), Failure> {
        let Some(File { path, existed }) = self.database.file() else { return Ok(()) };
        let has_secrets = SecretFile::ALL.iter().any(|file| data.path_of(*file).exists());
        if !existed || !has_secrets || self.schema_state().await? != SchemaState::Empty {
            return Ok(());
        }
        Err(Failure::configuration(format!(
            "the database {} is empty, but {} has the secrets of an earlier one: {WAL_ADVICE}; for a new \
             system, remove the file",
            shown(path),
            data.path().display()
        )))
    }

    /// Checks that the schema is current, for a command that migrates nothing.
    ///
    /// # Errors
    ///
    /// If it is not, or the database is unavailable.
    pub(crate) async fn require_schema(&self) -> Result<(), Failure> {
        let state = self.schema_state().await?;
        if let Some(refusal) = self.refusal(&state, AdoptForeign::Refuse) {
            return Err(refusal);
        }
        match (state, self.database.file()) {
            (SchemaState::Current, _) => Ok(()),
            (SchemaState::Empty, Some(File { path, .. })) => Err(Failure::configuration(format!(
                "the database {} is empty: {WAL_ADVICE}; for a new system, start the server or run \
                     goat-server migrate",
                shown(path)
            ))),
            (SchemaState::Empty, None) => Err(Failure::configuration(
                "the database is empty: run goat-server migrate, or check DATABASE_URL",
            )),
            _ => Err(Failure::configuration(
                "the database schema is older than this version: run goat-server migrate, or start \
                 the server",
            )),
        }
    }

    /// Returns why the database must not be used, if so.
    pub(crate) fn refusal(&self, state: &SchemaState, adopt: AdoptForeign) -> Option<Failure> {
        const SHOWN: usize = 3;
        match state {
            SchemaState::Ahead => Some(Failure::configuration(
                "the database schema belongs to a newer version of goat: run that version, or \
                 restore a backup from before the upgrade",
            )),
            SchemaState::Foreign(tables) if adopt == AdoptForeign::Refuse => {
                let names: Vec<&str> = tables.iter().take(SHOWN).map(String::as_str).collect();
                let more = if tables.len() > SHOWN { ", …" } else { "" };
                Some(Failure::configuration(format!(
                    "DATABASE_URL: the database contains only tables of another application \
                     ({}{more}); to create goat's tables beside them, run goat-server migrate --adopt",
                    names.join(", ").escape_debug(),
                )))
            }
            _ => None,
        }
    }

    /// Checks that the database accepts writes. Its schema must be current.
    ///
    /// # Errors
    ///
    /// If it is read-only or full, lacks a right, or is unavailable.
    pub async fn check_writable(&self) -> Result<(), Failure> {
        self.database.check_writable().await
    }

    /// Builds the stores, with their timeout, reporting and shared cache.
    ///
    /// Reporting applies to each store below the shared cache. A hit of the shared cache is
    /// therefore not counted as a database call, and a slow Redis takes no time from the timeout of
    /// a database call.
    ///
    /// Keys in Redis are prefixed with the database's identity: databases that share a Redis share
    /// no data, above all no permissions.
    ///
    /// # Errors
    ///
    /// If the database is unavailable, or its schema is not current.
    pub async fn stores(
        &self,
        settings: &Settings,
        observer: &Arc<dyn Observer>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Stores, Failure> {
        let staleness = settings.sessions.cache_staleness;
        let timeout = settings.storage.store_timeout;
        let redis = match &self.redis {
            Some(redis) => {
                let prefix = format!("goat:{}", self.database.identity().await?);
                Some(redis.stores(&prefix, staleness))
            }
            None => None,
        };
        let limits: Arc<dyn LimitStore> = match &redis {
            Some(redis) => Arc::clone(&redis.limits),
            None => Arc::new(MemoryLimits::new(settings.limits.keys)),
        };
        let mut stores = self.database.stores(limits);
        if let Some(redis) = redis {
            stores.sessions = redis.sessions;
            stores.invalidations = redis.invalidations;
            // A local file is faster than Redis.
            stores.shared_cache = self.database.file().is_none().then_some(redis.shared_cache);
        } else if let Some(invalidations) = self.database.invalidations(staleness) {
            stores.invalidations = invalidations;
        }
        Ok(stores.observed(timeout, Arc::clone(observer), Arc::clone(clock)))
    }

    /// Builds the stores of a command, which has no token keys: it invalidates entries of the shared
    /// cache, and neither reads nor fills it, since the token keys seal its entries.
    ///
    /// # Errors
    ///
    /// As [`Storage::stores`].
    pub(crate) async fn invalidating_stores(
        &self,
        settings: &Settings,
        observer: &Arc<dyn Observer>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Stores, Failure> {
        let mut stores = self.stores(settings, observer, clock).await?;
        stores.shared_cache = stores
            .shared_cache
            .map(|cache| Arc::new(InvalidateOnly(cache)) as Arc<dyn SharedCache>);
        Ok(stores)
    }

    /// Returns the stores of the database alone, for read-only commands; works with an outdated
    /// schema too.
    pub(crate) fn read_only_stores(
        &self,
        settings: &Settings,
        observer: Arc<dyn Observer>,
        clock: Arc<dyn Clock>,
    ) -> Stores {
        let limits = Arc::new(MemoryLimits::new(settings.limits.keys));
        self.database.stores(limits).observed(settings.storage.store_timeout, observer, clock)
    }

    /// Registers this node's signing key, and returns the ids of keys that other nodes on the same
    /// database sign with and that this node does not know: each rejects the other's tokens.
    ///
    /// # Errors
    ///
    /// If the database is unavailable; or if there is such a key while this node's key was
    /// generated, which is never intended.
    pub async fn register_signing_key(
        &self,
        keys: &TokenKeys,
        source: KeySource,
    ) -> Result<Vec<String>, Failure> {
        let unknown = self.database.register_signing_key(keys, SIGNING_KEY_TTL, source).await?;
        if source != KeySource::Configured && !unknown.is_empty() {
            return Err(Failure::configuration(
                "GOAT_JWT_PRIVATE_KEY: another node on this database signs tokens with a different \
                 key, so each would reject the other's tokens; set the same GOAT_JWT_PRIVATE_KEY or \
                 GOAT_JWT_SECRET on all nodes (for example jwt-key.pem from the data directory of \
                 the first node)",
            ));
        }
        Ok(unknown)
    }

    /// Closes every connection once the calls in progress have ended.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

/// How often a node registers its key.
pub(crate) const REGISTER_KEY_INTERVAL: Duration = Duration::from_secs(60);

/// How long a registered key counts: it expires a few intervals after its node stopped.
const SIGNING_KEY_TTL: Duration = Duration::from_secs(180);

/// A shared cache that reads and puts no entries.
#[derive(Debug)]
struct InvalidateOnly(Arc<dyn SharedCache>);

#[async_trait]
impl SharedCache for InvalidateOnly {
    fn name(&self, key: CacheKey) -> String {
        self.0.name(key)
    }

    async fn get(&self, key: CacheKey) -> Result<Lookup, StoreError> {
        Ok(Lookup { entry: None, ..self.0.get(key).await? })
    }

    async fn put(&self, _: CacheKey, _: &CacheEntry, _: Duration) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn invalidate_below(
        &self,
        key: CacheKey,
        revision: u64,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        self.0.invalidate_below(key, revision, ttl).await
    }
}

/// The likely cause of an SQLite file without goat's tables.
const WAL_ADVICE: &str = "if it was copied from a running server, the file ending in -wal is missing beside \
    it (use goat-server backup for a copy)";

/// Returns the failure of a command that finds no SQLite file.
pub(crate) fn no_database(path: &Path) -> Failure {
    let here = std::env::current_dir().unwrap_or_default();
    Failure::configuration(format!(
        "there is no database at {}: run the command in the folder of the server (this one is {}), or set \
         GOAT_DATA_DIR or DATABASE_URL; goat-server serve and goat-server migrate create a database",
        shown(path),
        here.display()
    ))
}

/// Returns the whole path of a file.
fn shown(path: &Path) -> String {
    absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// Whether a file is in a directory, however the two paths are written.
pub(super) fn is_in(file: &Path, directory: &Path) -> bool {
    match (absolute(file), absolute(directory)) {
        (Ok(file), Ok(directory)) => file.parent() == Some(&directory),
        _ => false,
    }
}
