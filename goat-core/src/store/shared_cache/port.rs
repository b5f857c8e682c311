//! Shared cache port: the cache of user states and role permissions that nodes share.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::id::UserId;

/// The key of a cache entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheKey {
    /// The state of a user.
    User(UserId),
    /// The permissions of all roles.
    Roles,
}

/// A time by the cache server's clock, in milliseconds since an arbitrary origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerTime(pub u64);

impl ServerTime {
    /// Returns the time since `earlier`; none if the clock was set back in between.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_millis)
    }
}

/// A cached value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheEntry {
    /// The revision of the value.
    pub revision: u64,
    /// A time before the read of the value began.
    pub read_at: ServerTime,
    /// The encoded value, opaque to the cache.
    pub value: String,
}

/// The result of [`SharedCache::get`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The entry; none on a miss, or if no entry was put since the last invalidation.
    pub entry: Option<CacheEntry>,
    /// The time of the lookup.
    pub now: ServerTime,
}

/// The cache that nodes share. It may lose any entry at any time.
///
/// For each key the cache keeps the highest revision that it was given, and possibly an entry of that
/// revision, until the longest TTL of any call has passed. An implementer guarantees that each call is
/// atomic, that times come from one clock for all nodes, and that a delayed call is decided by the
/// state at which it executes: a call that the client gave up may still execute.
#[async_trait]
pub trait SharedCache: Debug + Send + Sync {
    /// Returns the name of a key, which distinguishes it from every other key of the server, also from
    /// those of another deployment. An entry is valid under its name only. All nodes of a deployment
    /// must have the same names.
    fn name(&self, key: CacheKey) -> String;

    /// Returns the entry of a key, and the time.
    async fn get(&self, key: CacheKey) -> Result<Lookup, StoreError>;

    /// Stores an entry until its age reaches `ttl`. Returns whether it was stored: not if it is already
    /// too old, if a higher revision is known, or if the present entry of the same revision was read at
    /// the same time or later.
    ///
    /// A put never shortens the time for which a revision is known.
    async fn put(
        &self,
        key: CacheKey,
        entry: &CacheEntry,
        ttl: Duration,
    ) -> Result<bool, StoreError>;

    /// Invalidates every entry below a revision, and rejects puts below it for at least `ttl` from now.
    /// An entry of this revision or a higher one stays.
    async fn invalidate_below(
        &self,
        key: CacheKey,
        revision: u64,
        ttl: Duration,
    ) -> Result<(), StoreError>;
}

/// Operation names of [`SharedCache`], as errors and metrics report them.
pub(crate) mod operation {
    pub(crate) const GET: &str = "shared_cache.get";
    pub(crate) const PUT: &str = "shared_cache.put";
    pub(crate) const INVALIDATE_BELOW: &str = "shared_cache.invalidate_below";
}
