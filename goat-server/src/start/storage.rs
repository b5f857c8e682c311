//! Where state is kept: the database and Redis that the settings name, and the schema judged before
//! anything else is done.
//!
//! | | without Redis | with Redis |
//! |---|---|---|
//! | users, roles | database | database; PostgreSQL's remembered in Redis for the staleness |
//! | sessions | database | Redis |
//! | limits | process | Redis |
//! | notices | SQLite: process; PostgreSQL: `LISTEN` | Redis |

use std::path::{Path, absolute};
use std::sync::Arc;
use std::time::Duration;

use goat_core::event::Observer;
use goat_core::limit::LimitStore;
use goat_core::store::memory::MemoryLimits;
use goat_core::store::shared_cache::SharedCacheStats;
use goat_core::store::sql::{MigrateOptions, OnUnknownKey, SchemaState};
use goat_core::token::TokenKeys;
use goat_core::{Clock, Stores};

use crate::failure::Failure;
use crate::start::DataDir;
use crate::start::settings::{self, Settings, StorageSettings};

use super::KeySource;
use super::database::Database;
use super::redis::{Redis, RedisStatus};
use super::shelf::WatchedShelf;

/// Whether goat may set up its tables beside those of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdoptForeign {
    /// A database with tables that are not goat's is the wrong one.
    Refuse,
    /// Whoever runs the command says that it is the right one.
    Allow,
}

/// What answered, as the operator knows it: no host, no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connectivity {
    /// The database.
    pub database: String,
    /// Redis, where there is one.
    pub redis: Option<String>,
    /// What is wrong with how they are run, though they can be used.
    pub warnings: Vec<String>,
}

/// The stores that a goat is built on, and what is between them and it.
#[derive(Clone, Debug)]
pub struct BuiltStores {
    /// The stores.
    pub stores: Stores,
    /// What nodes remember together, where they do.
    pub shared: Option<SharedCacheStats>,
}

/// An open database, and Redis where there is one.
#[derive(Clone, Debug)]
pub struct Storage {
    database: Database,
    redis: Option<Redis>,
}

impl Storage {
    /// Opens the database: a file of SQLite, which is made where it is not there; or gets ready to
    /// connect, which the first call does.
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
        let redis = settings.redis.as_ref().map(|urls| Redis::open(settings, urls)).transpose()?;
        Ok(Self { database: Database::open(settings).await?, redis })
    }

    /// Asks all of it whether it is there and can be used.
    ///
    /// # Errors
    ///
    /// Of each that does not answer in time, lets nobody in, or is too old.
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

    /// The same of the database alone; answers what the operator knows it as.
    pub(crate) async fn probe_database(&self) -> Result<String, Failure> {
        self.database.probe().await
    }

    async fn probe_redis(&self) -> Result<Option<RedisStatus>, Failure> {
        match &self.redis {
            Some(redis) => redis.probe().await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether other nodes may stand on the same state.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.redis.is_some() || matches!(self.database, Database::Postgres { .. })
    }

    /// How the schema stands to this version.
    ///
    /// # Errors
    ///
    /// If the database does not answer, or was set up by a goat that this version does not know.
    pub async fn schema_state(&self) -> Result<SchemaState, Failure> {
        self.database.schema_state().await
    }

    /// Brings the schema to where this version needs it; answers the steps that were taken. Several
    /// that do so at once take each step once.
    ///
    /// # Errors
    ///
    /// If the database is not goat's and may not be adopted, if its schema is newer than this
    /// version, or if it does not answer.
    pub async fn migrate(&self, adopt: AdoptForeign) -> Result<Vec<&'static str>, Failure> {
        let state = self.schema_state().await?;
        if let Some(refusal) = self.refusal(&state, adopt) {
            return Err(refusal);
        }
        let options = MigrateOptions { adopt_foreign: adopt == AdoptForeign::Allow };
        self.database.migrate(options).await
    }

    /// What a start does about the schema: migrates, or refuses.
    ///
    /// # Errors
    ///
    /// As [`Storage::migrate`]; or if something is to be migrated and may not be now.
    pub async fn ensure_schema(&self, migrate: bool) -> Result<(), Failure> {
        if migrate {
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

    /// Why the database is not to be touched, if it is not.
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

    /// The stores that stand on it.
    ///
    /// From the inside out: each store; a watch around it, which bounds the time of each call and
    /// reports it; and around both, the second level of what is remembered, which asks Redis before
    /// it asks the database. So what Redis answers is not counted as the database's, and a Redis that
    /// is slow costs no call to the database its time.
    ///
    /// What lies in Redis is named after the database: those that share a Redis share nothing else,
    /// and above all not what roles may do.
    ///
    /// # Errors
    ///
    /// If the database does not answer, or its schema is not of this version.
    pub async fn stores(
        &self,
        settings: &Settings,
        observer: &Arc<dyn Observer>,
        clock: &Arc<dyn Clock>,
    ) -> Result<BuiltStores, Failure> {
        let staleness = settings.sessions.cache_staleness;
        let timeout = settings.storage.store_timeout;
        let redis = match &self.redis {
            Some(redis) => {
                let prefix = format!("goat:{}", self.database.identity().await?);
                Some(redis.database.prefixed(&prefix))
            }
            None => None,
        };
        let limits: Arc<dyn LimitStore> = match &redis {
            Some(redis) => redis.limits(),
            None => Arc::new(MemoryLimits::new(settings.limits.keys)),
        };
        let mut stores = self.database.stores(limits);
        match (&redis, &self.database) {
            (Some(redis), _) => {
                stores.sessions = redis.sessions();
                stores.invalidations = redis.invalidations(staleness);
            }
            (None, Database::Postgres { database, .. }) => {
                stores.invalidations = database.invalidations(staleness);
            }
            // Whoever reads the file is in this process, or has no server that runs beside it.
            (None, Database::Sqlite { .. }) => {}
        }
        let stores = stores.observed(timeout, Arc::clone(observer), Arc::clone(clock));
        Ok(match (&redis, &self.database) {
            (Some(redis), Database::Postgres { .. }) => {
                let shelf = WatchedShelf {
                    inner: redis.shared_cache(),
                    timeout,
                    observer: Arc::clone(observer),
                    clock: Arc::clone(clock),
                };
                let (stores, shared) = stores.cached(Arc::new(shelf), staleness, Arc::clone(clock));
                BuiltStores { stores, shared: Some(shared) }
            }
            // A file of this machine is nearer than Redis.
            _ => BuiltStores { stores, shared: None },
        })
    }

    /// The stores of the database alone, for whoever looks and writes nothing: also while the schema
    /// is older than this version's.
    pub(crate) fn read_only_stores(
        &self,
        settings: &Settings,
        observer: Arc<dyn Observer>,
        clock: Arc<dyn Clock>,
    ) -> Stores {
        let limits = Arc::new(MemoryLimits::new(settings.limits.keys));
        self.database.stores(limits).observed(settings.storage.store_timeout, observer, clock)
    }

    /// Notes with which key this node signs, and answers the ids of keys that others on the same
    /// database sign with and that this node does not know: they will refuse its tokens, and it
    /// theirs.
    ///
    /// # Errors
    ///
    /// If the database does not answer; or if there is such a key, and this node's was generated,
    /// which nobody could have wanted.
    pub async fn register_signing_key(
        &self,
        keys: &TokenKeys,
        source: KeySource,
    ) -> Result<Vec<String>, Failure> {
        let strange = match source {
            KeySource::Configured => OnUnknownKey::Allow,
            KeySource::Stored | KeySource::Generated => OnUnknownKey::Refuse,
        };
        let unknown = self.database.register_signing_key(keys, SIGNING_KEY_TTL, strange).await?;
        if strange == OnUnknownKey::Refuse && !unknown.is_empty() {
            return Err(Failure::configuration(
                "GOAT_JWT_PRIVATE_KEY: another node on this database signs tokens with a different \
                 key, so each would reject the other's tokens; set the same GOAT_JWT_PRIVATE_KEY or \
                 GOAT_JWT_SECRET on all nodes (for example jwt-key.pem from the data directory of \
                 the first node)",
            ));
        }
        Ok(unknown)
    }

    /// Closes every connection, once the calls under way are done.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

/// How often a node notes its key.
pub(crate) const REGISTER_KEY_INTERVAL: Duration = Duration::from_secs(60);

/// How long a note counts: a node that was stopped, or could not write for a while, is forgotten
/// after a few.
const SIGNING_KEY_TTL: Duration = Duration::from_secs(180);

/// Whether a file lies in a directory, in whatever words the two are named.
fn is_in(file: &Path, directory: &Path) -> bool {
    match (absolute(file), absolute(directory)) {
        (Ok(file), Ok(directory)) => file.parent() == Some(&directory),
        _ => false,
    }
}
