//! The bundle of ports that a [`Goat`](crate::Goat) is built on.

use std::sync::Arc;

use crate::invalidation::{Invalidations, LocalInvalidations};
use crate::limit::LimitStore;

use super::shared_cache::SharedCache;
#[cfg(feature = "sqlite")]
use super::sql;
use super::{
    ChallengeStore, FactorStore, KeyStore, NoFactors, RoleStore, SessionStore, UserStore, memory,
};

/// The storage: one port per concern, so that backends can be mixed.
///
/// ```
/// # async fn mixed() -> goat_core::Result<()> {
/// use std::sync::Arc;
/// use goat_core::{Stores, store::memory::MemoryLimits};
///
/// let limits = Arc::new(MemoryLimits::new(50_000));
/// let stores = Stores { limits, ..Stores::memory() };
/// # let _ = stores;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Stores {
    /// Users.
    pub users: Arc<dyn UserStore>,
    /// Roles and their permissions.
    pub roles: Arc<dyn RoleStore>,
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// Challenges, kept in the database of the users where there is one.
    pub challenges: Arc<dyn ChallengeStore>,
    /// Second factors.
    pub factors: Arc<dyn FactorStore>,
    /// API keys, kept in the database of the users where there is one.
    pub keys: Arc<dyn KeyStore>,
    /// Counters of rate limits.
    pub limits: Arc<dyn LimitStore>,
    /// The invalidation channel between nodes.
    pub invalidations: Arc<dyn Invalidations>,
    /// The cache of user states and role permissions that nodes share, if there is one.
    pub shared_cache: Option<Arc<dyn SharedCache>>,
}

impl Stores {
    /// Stores everything in the memory of this process.
    #[must_use]
    pub fn memory() -> Self {
        let directory = Arc::new(memory::MemoryDirectory::default());
        Self {
            users: Arc::clone(&directory) as _,
            roles: Arc::clone(&directory) as _,
            keys: directory,
            sessions: Arc::new(memory::MemorySessions::default()),
            challenges: Arc::new(memory::MemoryChallenges::default()),
            factors: Arc::new(NoFactors),
            limits: Arc::new(memory::MemoryLimits::default()),
            invalidations: Arc::new(LocalInvalidations::default()),
            shared_cache: None,
        }
    }

    /// Stores users, permissions, sessions, challenges and API keys in a SQLite file, which is created and
    /// migrated as needed, and limits in the process. The file may contain tables of the application's own.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened, or its schema is newer than this version of goat.
    #[cfg(feature = "sqlite")]
    pub async fn sqlite(path: impl AsRef<std::path::Path>) -> crate::error::Result<Self> {
        let options = sql::SqliteOptions::new(path.as_ref());
        let database = sql::SqliteDatabase::open(options).await?;
        database.migrate(sql::MigrateOptions { adopt_foreign: true }).await?;
        Ok(database.stores(Arc::new(memory::MemoryLimits::default())))
    }
}
