//! Read-through caching of user states and role permissions in a [`SharedCache`], behind the in-process
//! caches, so that a node with a cold cache does not query the database.
//!
//! Invariants:
//! - [`UserStore::cached_state`](super::UserStore::cached_state) and
//!   [`RoleStore::cached`](super::RoleStore::cached) return a value that the store returned for a read
//!   that began less than the staleness ago, with an age that is not understated;
//! - a read after a completed write returns that write or a later one. A write invalidates entries
//!   below its revision after the commit and before it returns; a read that began before the commit
//!   has a revision that is too low to be stored, or is too old. If the invalidation failed, this
//!   node's breaker stays open until every entry is stale; for other nodes the staleness is the bound,
//!   as after a crash between commit and invalidation;
//! - only reads fill the cache: a write does not know the revision of the roles that belongs to its
//!   user's state. So each write costs one read of the store, and entries are consistent;
//! - an entry whose MAC is wrong is absent;
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
mod seal;
mod users;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use port::operation;
pub use port::{CacheEntry, CacheKey, Lookup, ServerTime, SharedCache};
pub use read_through::SharedCacheCounts;

use crate::clock::Clock;
use crate::token::TokenKeys;

use super::Stores;
use breaker::CircuitBreaker;
use read_through::{ReadThrough, SealedCache, Timeouts};
use roles::CachedRoles;
use seal::Seal;
use users::CachedUsers;

impl Stores {
    /// Puts read-through caches over [`Stores::shared_cache`] in front of the user store and the role
    /// store. An entry is served for at most `staleness`; zero disables the caches. Entries carry a MAC
    /// under keys derived from the token keys: the first key signs, all verify. Without a shared cache
    /// the stores are unchanged, and there are no statistics.
    ///
    /// [`Builder::build`](crate::Builder::build) does this with the goat's keys, settings and clock. Call
    /// [`Stores::observed`] before, so that the timeouts of the stores and of the shared cache are
    /// separate, and a cache hit is not reported as a call of a store.
    ///
    /// ```
    /// # #[cfg(feature = "redis")] {
    /// # fn main() -> goat_core::Result<()> {
    /// use std::sync::Arc;
    /// use goat_core::store::redis::{RedisDatabase, RedisOptions};
    /// use goat_core::token::TokenKeys;
    /// use goat_core::{Settings, Stores, SystemClock};
    ///
    /// let redis = RedisDatabase::open(&RedisOptions::new("redis://sessions"))?;
    /// let stores = Stores { shared_cache: Some(redis.shared_cache()), ..Stores::memory() };
    /// let staleness = Settings::default().cache_staleness;
    /// let (keys, clock) = (TokenKeys::generate(), Arc::new(SystemClock::start()));
    /// let (stores, stats) = stores.read_through(&keys, staleness, clock);
    /// assert_eq!(stats.expect("a shared cache").users().hits, 0);
    /// # let _ = stores;
    /// # Ok(())
    /// # }
    /// # main().expect("it holds");
    /// # }
    /// ```
    #[must_use]
    pub fn read_through(
        self,
        keys: &TokenKeys,
        staleness: Duration,
        clock: Arc<dyn Clock>,
    ) -> (Self, Option<SharedCacheStats>) {
        self.read_through_within(Timeouts::default(), keys, staleness, clock)
    }

    /// As [`Stores::read_through`], with this timeout for each call of the shared cache: for tests that
    /// count hits on a busy machine.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn read_through_with_timeout(
        self,
        timeout: Duration,
        keys: &TokenKeys,
        staleness: Duration,
        clock: Arc<dyn Clock>,
    ) -> (Self, Option<SharedCacheStats>) {
        let timeouts = Timeouts { read: timeout, write: timeout };
        self.read_through_within(timeouts, keys, staleness, clock)
    }

    fn read_through_within(
        mut self,
        timeouts: Timeouts,
        keys: &TokenKeys,
        staleness: Duration,
        clock: Arc<dyn Clock>,
    ) -> (Self, Option<SharedCacheStats>) {
        let Some(cache) = self.shared_cache.take() else { return (self, None) };
        if staleness.is_zero() {
            return (self, Some(SharedCacheStats::default()));
        }
        let breaker = Arc::new(CircuitBreaker::new(clock));
        let sealed = SealedCache { cache, seal: Seal::new(keys.macs()), timeouts };
        let states = ReadThrough::new(sealed.clone(), staleness, Arc::clone(&breaker));
        let rows = ReadThrough::new(sealed, staleness, breaker);
        let users = Arc::new(CachedUsers::new(self.users, states));
        let roles = Arc::new(CachedRoles::new(self.roles, rows));
        let stats =
            SharedCacheStats { users: Some(Arc::clone(&users)), roles: Some(Arc::clone(&roles)) };
        (Self { users, roles, ..self }, Some(stats))
    }
}

/// Returns an entry with the MAC of these keys, as a node would put it under the key of this name: for
/// tests of entries that are authentic and still wrong.
///
/// # Panics
///
/// If the keys cannot sign.
#[cfg(any(test, feature = "testing"))]
#[must_use]
#[expect(clippy::expect_used, reason = "for tests, which should fail on it")]
pub fn sealed_entry(
    keys: &TokenKeys,
    name: &str,
    revision: u64,
    read_at: ServerTime,
    text: &str,
) -> CacheEntry {
    Seal::new(keys.macs()).seal(name, revision, read_at, text).expect("a MAC")
}

/// Decodes a cached user state, and encodes it again.
#[cfg(feature = "testing")]
pub(crate) fn user_state_encoded_again(text: &str) -> Option<String> {
    use codec::CacheValue as _;
    crate::user::UserState::decode(1, text).map(|state| state.encode())
}

/// Decodes cached role permissions, and encodes them again.
#[cfg(feature = "testing")]
pub(crate) fn role_rows_encoded_again(text: &str) -> Option<String> {
    use codec::CacheValue as _;
    crate::access::RoleRows::decode(1, text).map(|rows| rows.encode())
}

/// Statistics of the read-through caches. Clones share the counters.
#[derive(Clone, Debug, Default)]
pub struct SharedCacheStats {
    users: Option<Arc<CachedUsers>>,
    roles: Option<Arc<CachedRoles>>,
}

impl SharedCacheStats {
    /// Returns the counters of user states.
    #[must_use]
    pub fn users(&self) -> SharedCacheCounts {
        self.users.as_ref().map(|users| users.counts()).unwrap_or_default()
    }

    /// Returns the counters of role permissions.
    #[must_use]
    pub fn roles(&self) -> SharedCacheCounts {
        self.roles.as_ref().map(|roles| roles.counts()).unwrap_or_default()
    }
}
