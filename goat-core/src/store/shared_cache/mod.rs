//! Read-through caching of user states and role permissions in a [`SharedCache`], behind the in-process
//! caches, so that a node with a cold cache does not query the database.
//!
//! Invariants:
//! - what [`UserStore::cached_state`] and [`RoleStore::cached`] return is what the store returned
//!   for a read that began less than the staleness ago, with an age that is not understated;
//! - a read after a completed write returns that write or a later one. A write invalidates entries
//!   below its revision after the commit and before it returns; a read that began before the commit
//!   has a revision that is too low to be stored, or is too old. If the invalidation failed, this
//!   node's breaker stays open until every entry is stale; for other nodes the staleness is the bound,
//!   as after a crash between commit and invalidation;
//! - only reads fill the cache: a write does not know the revision of the roles that belongs to its
//!   user's state. So each write costs one read of the store, and entries are consistent;
//! - the shared cache causes no failure. On a timeout or a malformed reply the store is read, and while
//!   the breaker is open no caller waits for the cache.
//!
//! Single-flight: concurrent reads of one key share a read. A caller that arrives during a read waits
//! for it and shares the next one, which began after the caller arrived.
//!
//! [`UserState::roles_revision`](crate::user::UserState::roles_revision) of a cached state is as old as
//! the state, and so a lower bound.

mod breaker;
mod codec;
mod port;
mod read_through;
mod roles;
mod users;

use std::sync::Arc;
use std::time::Duration;

pub use port::{CacheEntry, CacheKey, Lookup, ServerTime, SharedCache};
pub use read_through::SharedCacheCounts;

use crate::clock::Clock;
use crate::store::{RoleStore, UserStore};

use super::Stores;
use breaker::CircuitBreaker;
use read_through::ReadThrough;
use roles::CachedRoles;
use users::CachedUsers;

impl Stores {
    /// The same stores, with users' states and the permissions of roles remembered on a shelf that
    /// nodes share, for at most `staleness`. Zero: nothing is remembered.
    ///
    /// Put it over stores that are watched already, so that their time-outs are its own and what it
    /// spares them is not counted as theirs. The clock's stopwatch is used; give the one that the
    /// goat is built with.
    ///
    /// ```
    /// # #[cfg(feature = "redis")] {
    /// # fn main() -> goat_core::Result<()> {
    /// use std::sync::Arc;
    /// use goat_core::store::redis::{RedisDatabase, RedisOptions};
    /// use goat_core::{Clock, Settings, Stores, SystemClock};
    ///
    /// let redis = RedisDatabase::open(&RedisOptions::new("redis://sessions"))?;
    /// let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    /// let staleness = Settings::default().cache_staleness;
    /// // The second half tells how often the stores were spared a question.
    /// let (stores, cache) = Stores::memory().cached(redis.shared_cache(), staleness, clock);
    /// assert_eq!(cache.users().hits, 0);
    /// # let _ = stores;
    /// # Ok(())
    /// # }
    /// # main().expect("it holds");
    /// # }
    /// ```
    #[must_use]
    pub fn cached(
        self,
        cache: Arc<dyn SharedCache>,
        staleness: Duration,
        clock: Arc<dyn Clock>,
    ) -> (Self, SharedCacheStats) {
        if staleness.is_zero() {
            return (self, SharedCacheStats::default());
        }
        let breaker = Arc::new(CircuitBreaker::new(clock));
        let states = ReadThrough::new(Arc::clone(&cache), staleness, Arc::clone(&breaker));
        let rows = ReadThrough::new(cache, staleness, breaker);
        let users = Arc::new(CachedUsers::new(self.users, states));
        let roles = Arc::new(CachedRoles::new(self.roles, rows));
        let cache =
            SharedCacheStats { users: Some(Arc::clone(&users)), roles: Some(Arc::clone(&roles)) };
        let stores =
            Self { users: users as Arc<dyn UserStore>, roles: roles as Arc<dyn RoleStore>, ..self };
        (stores, cache)
    }
}

/// Tells what a second level has done.
#[derive(Clone, Debug, Default)]
pub struct SharedCacheStats {
    users: Option<Arc<CachedUsers>>,
    roles: Option<Arc<CachedRoles>>,
}

impl SharedCacheStats {
    /// Of users' states.
    #[must_use]
    pub fn users(&self) -> SharedCacheCounts {
        self.users.as_ref().map(|users| users.counts()).unwrap_or_default()
    }

    /// Of what roles may do.
    #[must_use]
    pub fn roles(&self) -> SharedCacheCounts {
        self.roles.as_ref().map(|roles| roles.counts()).unwrap_or_default()
    }
}
