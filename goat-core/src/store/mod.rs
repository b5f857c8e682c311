//! Storage: the bundle of ports that a goat stands on, and the backends that come with it.

pub mod memory;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod sql;

use std::sync::Arc;

use crate::access::RoleStore;
use crate::limit::LimitStore;
use crate::notice::{LocalNotices, Notices};
use crate::session::SessionStore;
use crate::user::UserStore;

/// Where everything is kept: one port for each concern, so that backends can be mixed.
///
/// ```ignore
/// Stores { sessions: redis, ..Stores::sqlite("app.db").await? }
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
    /// Notices between nodes.
    pub notices: Arc<dyn Notices>,
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
            notices: Arc::new(LocalNotices::default()),
        }
    }
}
