//! Storage backends for in-process tests.
//!
//! Invariants: every test has an empty backend of its own (a database, a prefix of keys), and every
//! store takes the time from the clock of the test.

use std::sync::Arc;

use goat_core::store::memory::MemoryLimits;
use goat_core::store::redis::{RedisDatabase, RedisOptions};
use goat_core::store::shared_cache::SharedCache;
use goat_core::store::sql::{MigrateOptions, PostgresDatabase, PostgresOptions};
use goat_core::testing::Failpoints;
use goat_core::{Settings, Stores};
use goat_engines::{Postgres, Redis};
use tempfile::TempDir;

/// Connections to PostgreSQL per test: two concurrent calls, and one that waits.
const CONNECTIONS: u32 = 3;

/// The storage that the API runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// Process memory.
    Memory,
    /// The embedded default: SQLite, with rate limits in memory.
    Sqlite,
    /// PostgreSQL with `LISTEN` for invalidations, and rate limits in memory.
    Postgres,
    /// Users and roles in PostgreSQL behind the shared cache; sessions, rate limits and invalidations
    /// in Redis.
    PostgresAndRedis,
}

impl Backend {
    /// Opens it, empty.
    pub(crate) async fn open(self) -> TestStores {
        match self {
            Self::Memory => TestStores::new(Stores::memory()),
            Self::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let stores = Stores::sqlite(folder.path().join("goat.db")).await.unwrap();
                TestStores { _folder: Some(folder), ..TestStores::new(stores) }
            }
            Self::Postgres => {
                let (database, own) = migrated();
                let stores = Stores {
                    invalidations: database.invalidations(Settings::default().cache_staleness),
                    ..database.stores(Arc::new(MemoryLimits::default()))
                };
                TestStores { database: Some(own), ..TestStores::new(stores) }
            }
            Self::PostgresAndRedis => {
                let (database, own) = migrated();
                TestStores { database: Some(own), ..TestStores::node(&database, Redis::prefix()) }
            }
        }
    }
}

/// Open stores, and the resources that they live in.
pub(crate) struct TestStores {
    pub(crate) stores: Stores,
    /// The cache that the nodes share, in front of these users and roles.
    pub(crate) shared_cache: Option<Arc<dyn SharedCache>>,
    _folder: Option<TempDir>,
    database: Option<OwnDatabase>,
    prefix: Option<String>,
}

impl TestStores {
    fn new(stores: Stores) -> Self {
        Self { stores, shared_cache: None, _folder: None, database: None, prefix: None }
    }

    fn node(database: &PostgresDatabase, prefix: String) -> Self {
        let options = RedisOptions::new(Redis::shared().url()).prefix(&*prefix);
        let redis = RedisDatabase::open(&options.with_caller_clock()).unwrap();
        let stores = Stores {
            sessions: redis.sessions(),
            invalidations: redis.invalidations(Settings::default().cache_staleness),
            ..database.stores(redis.limits())
        };
        Self { shared_cache: Some(redis.shared_cache()), prefix: Some(prefix), ..Self::new(stores) }
    }

    /// Opens the same PostgreSQL and Redis for another node, to be dropped before this one.
    pub(crate) fn second_node(&self) -> Self {
        let (Some(name), Some(prefix)) = (self.database_name(), self.prefix()) else {
            panic!("nodes need PostgreSQL and Redis")
        };
        Self::node(&connect(Postgres::shared().url_of(name)), prefix.to_owned())
    }

    /// Puts failpoints around these stores, which pause or fail their calls.
    pub(crate) fn with_failpoints(self) -> (Self, Failpoints) {
        let (stores, failpoints) = Failpoints::over(self.stores.clone());
        (Self { stores, ..self }, failpoints)
    }

    /// The name of the database in PostgreSQL.
    pub(crate) fn database_name(&self) -> Option<&str> {
        self.database.as_ref().map(|own| own.0.as_str())
    }

    /// The prefix of all keys in Redis.
    pub(crate) fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }
}

/// The name of a database in PostgreSQL that is dropped with this.
struct OwnDatabase(String);

impl Drop for OwnDatabase {
    fn drop(&mut self) {
        // Hundreds of databases would fill the disk. A database that cannot be dropped is removed with
        // the PostgreSQL instance.
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.0);
        let _ = Postgres::shared().try_psql("postgres", &drop);
    }
}

/// An empty database with goat's tables.
fn migrated() -> (PostgresDatabase, OwnDatabase) {
    let url = Postgres::shared().copy_database(|url| {
        let url = url.to_owned();
        // On a runtime of its own: the time of the test's runtime may be paused.
        std::thread::spawn(move || migrate(&url)).join().unwrap();
    });
    let own = OwnDatabase(url.rsplit('/').next().unwrap().to_owned());
    (connect(url), own)
}

fn connect(url: String) -> PostgresDatabase {
    let options = PostgresOptions { connections: CONNECTIONS, ..PostgresOptions::new(url) };
    PostgresDatabase::open_with_caller_clock(&options).unwrap()
}

fn migrate(url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let database = PostgresDatabase::open(&PostgresOptions::new(url)).unwrap();
        database.migrate(MigrateOptions::default()).await.unwrap();
        database.close().await;
    });
}
