//! The port of the place where nodes lay down what they read.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::id::UserId;

/// What something lies under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheKey {
    /// The state of a user.
    User(UserId),
    /// What roles may do.
    Roles,
}

/// A moment by the shelf's own clock, in milliseconds of whatever it counts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerTime(pub u64);

impl ServerTime {
    /// How long after `earlier` this is; none if the clock was set back between the two.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_millis)
    }
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// The revision that was read.
    pub revision: u64,
    /// A moment before the read began.
    pub read_at: ServerTime,
    /// What was read, in short. The shelf does not look inside.
    pub value: String,
}

/// What lies under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// What was read last; none where nothing lies, or nothing since the key was raised.
    pub entry: Option<CacheEntry>,
    /// The moment of the look.
    pub now: ServerTime,
}

/// Where nodes lay down what they read. It may lose everything at any time.
///
/// Under each key it keeps the highest revision that it was shown, and perhaps an entry of that
/// revision, until the longest life is over that any call gave. An implementer guarantees that each
/// call is one atomic step, that it tells the time by one clock for all nodes, and that a call takes
/// effect by the rules of the moment at which it does, however late that is: a call that was given
/// up may still be under way.
#[async_trait]
pub trait SharedCache: Debug + Send + Sync {
    /// What lies there, and the time.
    async fn get(&self, key: CacheKey) -> Result<Lookup, StoreError>;

    /// Lays an entry down, for as long as it is younger than `life`. Answers whether it lies there
    /// now. It does not if it is too old already, if a higher revision is known, or if the entry of
    /// the same revision was read later or at the same moment.
    ///
    /// Laying something down never shortens the time for which a revision is known.
    async fn put(
        &self,
        key: CacheKey,
        entry: &CacheEntry,
        ttl: Duration,
    ) -> Result<bool, StoreError>;

    /// Makes a revision known for `life` from now, or longer: whatever lower one lies there is gone,
    /// and none is laid down. An entry of this revision, or of a higher one, stays.
    async fn invalidate_below(
        &self,
        key: CacheKey,
        revision: u64,
        ttl: Duration,
    ) -> Result<(), StoreError>;
}
