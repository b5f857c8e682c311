//! What the API of a test stands on.
//!
//! Invariants: every ground is empty and of its own test alone; on engines too, time is the clock
//! of the test.

use std::sync::Arc;

use goat_core::store::cached::Shelf;
use goat_core::store::memory::MemoryLimits;
use goat_core::store::redis::{RedisDatabase, RedisOptions};
use goat_core::store::sql::{MigrateOptions, PostgresDatabase, PostgresOptions};
use goat_core::testing::Pauses;
use goat_core::{Settings, Stores};
use goat_engines::{Postgres, Redis};

/// Whether this is the run of the tests in which they stand on PostgreSQL and Redis.
const ON_ENGINES: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"on_engines");

/// Connections to PostgreSQL a test: two calls at once, and one that waits.
const CONNECTIONS: u32 = 3;

/// Stores, and what keeps them.
pub(crate) struct Ground {
    pub(crate) stores: Stores,
    /// Where nodes remember together what they read of these users and roles.
    pub(crate) shelf: Option<Arc<dyn Shelf>>,
    _folder: Option<tempfile::TempDir>,
    database: Option<OwnDatabase>,
    prefix: Option<String>,
}

/// A database in PostgreSQL, by its name, which goes with this.
struct OwnDatabase(String);

impl Ground {
    /// Memory; in the run on engines those.
    pub(crate) fn usual() -> Self {
        if ON_ENGINES { Self::engines() } else { Self::memory() }
    }

    /// The database that the server ships with; in the run on engines those.
    pub(crate) async fn database() -> Self {
        if ON_ENGINES { Self::engines() } else { Self::sqlite().await }
    }

    /// Nothing but this process.
    pub(crate) fn memory() -> Self {
        Self::over(Stores::memory())
    }

    fn over(stores: Stores) -> Self {
        Self { stores, shelf: None, _folder: None, database: None, prefix: None }
    }

    /// As the server without settings: SQLite, and limits in the process.
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stores = Stores::sqlite(folder.path().join("goat.db")).await.unwrap();
        Self { _folder: Some(folder), ..Self::over(stores) }
    }

    /// As the server with a `DATABASE_URL` of PostgreSQL: limits in the process, and notices by
    /// `LISTEN`.
    pub(crate) fn postgres() -> Self {
        let (database, own) = migrated();
        let stores = Stores {
            notices: database.notices(Settings::default().cache_staleness),
            ..database.stores(Arc::new(MemoryLimits::default()))
        };
        Self { database: Some(own), ..Self::over(stores) }
    }

    /// As the server with a `REDIS_URL` too: users and roles in PostgreSQL, remembered in Redis;
    /// sessions, limits and notices in Redis.
    pub(crate) fn engines() -> Self {
        let (database, own) = migrated();
        let prefix = Redis::prefix();
        Self { database: Some(own), ..Self::node_of(&database, prefix) }
    }

    /// The same engines for another node, which goes before this one.
    pub(crate) fn neighbour(&self) -> Self {
        let (Some(name), Some(prefix)) = (self.database_name(), self.prefix()) else {
            panic!("nothing that nodes could share")
        };
        Self::node_of(&connect(Postgres::shared().url_of(name)), prefix.to_owned())
    }

    fn node_of(database: &PostgresDatabase, prefix: String) -> Self {
        let options = RedisOptions::new(Redis::shared().url()).prefix(&*prefix);
        let redis = RedisDatabase::open(&options.by_the_callers_clock()).unwrap();
        let stores = Stores {
            sessions: redis.sessions(),
            notices: redis.notices(Settings::default().cache_staleness),
            ..database.stores(redis.limits())
        };
        Self { shelf: Some(redis.shelf()), prefix: Some(prefix), ..Self::over(stores) }
    }

    /// The same, with calls that can be held and made to fail.
    pub(crate) fn with_pauses(self) -> (Self, Pauses) {
        let (stores, pauses) = Pauses::over(self.stores.clone());
        (Self { stores, ..self }, pauses)
    }

    /// The name of its database in PostgreSQL, where there is one.
    pub(crate) fn database_name(&self) -> Option<&str> {
        self.database.as_ref().map(|own| own.0.as_str())
    }

    /// What all its keys in Redis begin with, where there are any.
    pub(crate) fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }
}

impl Drop for OwnDatabase {
    fn drop(&mut self) {
        // Hundreds of them would fill the disk. One that cannot go yet goes with the instance.
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.0);
        let _ = Postgres::shared().try_psql("postgres", &drop);
    }
}

/// An empty database with goat's tables.
fn migrated() -> (PostgresDatabase, OwnDatabase) {
    let url = Postgres::shared().copy_database(|url| {
        let url = url.to_owned();
        // Not on the test's runtime, whose time may stand still.
        std::thread::spawn(move || migrate(&url)).join().unwrap();
    });
    let own = OwnDatabase(url.rsplit('/').next().unwrap().to_owned());
    (connect(url), own)
}

fn connect(url: String) -> PostgresDatabase {
    let options = PostgresOptions { connections: CONNECTIONS, ..PostgresOptions::new(url) };
    PostgresDatabase::open_by_the_callers_clock(&options).unwrap()
}

fn migrate(url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let database = PostgresDatabase::open(&PostgresOptions::new(url)).unwrap();
        database.migrate(MigrateOptions::default()).await.unwrap();
        database.close().await;
    });
}
