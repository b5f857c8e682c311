//! The bundle of ports that a goat stands on.

use std::sync::Arc;

use crate::access::RoleStore;
use crate::invalidation::{Invalidations, LocalInvalidations};
use crate::limit::LimitStore;
use crate::session::SessionStore;
use crate::user::UserStore;

use super::memory;
#[cfg(feature = "sqlite")]
use super::sql;

/// Where everything is kept: one port for each concern, so that backends can be mixed.
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
    /// What roles may do.
    pub roles: Arc<dyn RoleStore>,
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// What was spent of limits.
    pub limits: Arc<dyn LimitStore>,
    /// Invalidations between nodes.
    pub invalidations: Arc<dyn Invalidations>,
}

impl Stores {
    /// Everything in the memory of this process, and gone with it.
    #[must_use]
    pub fn memory() -> Self {
        let directory = Arc::new(memory::MemoryDirectory::default());
        Self {
            users: Arc::clone(&directory) as _,
            roles: directory,
            sessions: Arc::new(memory::MemorySessions::default()),
            limits: Arc::new(memory::MemoryLimits::default()),
            invalidations: Arc::new(LocalInvalidations::default()),
        }
    }

    /// Users, permissions and sessions in a SQLite file, made if there is none and brought up to
    /// date; limits in the process. The file may hold tables of the application's own.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened, or holds a schema that is newer than this goat.
    #[cfg(feature = "sqlite")]
    pub async fn sqlite(path: impl AsRef<std::path::Path>) -> crate::error::Result<Self> {
        let options = sql::SqliteOptions::new(path.as_ref());
        let database = sql::SqliteDatabase::open(options).await?;
        database.migrate(sql::MigrateOptions { adopt_foreign: true }).await?;
        Ok(database.stores(Arc::new(memory::MemoryLimits::default())))
    }
}
