//! Stores that share what they read of users and roles: a second level behind the caches of the
//! nodes, so that one that starts cold asks the [`SharedCache`] and not the database.
//!
//! Invariants:
//! - what [`UserStore::recent_state`] and [`RoleStore::recent`] answer is what the store answered to
//!   a read that began less than the staleness ago, and says no younger age than that;
//! - whoever asks after a write was answered gets that write or a later one. A write raises the
//!   shelf to its revision after the commit and before it answers; a read that began before the
//!   commit and comes late is too low to be laid down, or too old. Where the shelf could not be
//!   raised, this node does without it until whatever may lie there is stale; for others the
//!   staleness is the bound, as it is for what a crash after the commit leaves behind;
//! - only reads are laid down, whole: a write cannot tell the revision of the roles that its user's
//!   state is read with. So what lies there costs one read after each write, and agrees in itself;
//! - the shelf makes nothing fail. What it does not answer in time, or not sensibly, is asked of the
//!   store, and while it is out of order nobody waits for it.
//!
//! Reads of one thing at once become one: who comes while one is on its way waits for it, and takes
//! part in the next, which began after they came.
//!
//! [`UserState::roles_revision`](crate::user::UserState::roles_revision) of a recent state is as old
//! as the state: roles were changed that often at least.

mod breaker;
mod codec;
mod flights;
mod port;
mod read_through;
mod roles;
mod users;

use std::sync::Arc;
use std::time::Duration;

pub use port::{CacheEntry, CacheKey, Lookup, ServerTime, SharedCache};
pub use read_through::SharedCacheCounts;

use crate::access::RoleStore;
use crate::clock::Clock;
use crate::user::UserStore;

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
