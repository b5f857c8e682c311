//! In-process cache of limited keys: until when Redis need not be asked about a key again.
//!
//! Invariants: an entry is used only before the instant that Redis returned, by the callers' monotonic
//! clock; the cache is bounded and drops new entries when it is full.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::limit::{LimitKey, Quota};

/// Enough shards to avoid lock contention on many cores.
const SHARDS: usize = 64;
/// The minimum interval between sweeps of a full shard for expired entries.
const SWEEP: Duration = Duration::from_secs(1);

/// Limited keys and the instants at which their limits end.
#[derive(Debug)]
pub(super) struct LimitedKeys {
    shards: Vec<Mutex<Shard>>,
    /// The capacity of one shard.
    capacity: usize,
}

#[derive(Debug, Default)]
struct Shard {
    ends: HashMap<(LimitKey, Quota), Duration>,
    /// The next sweep of a full shard.
    sweep_at: Duration,
}

impl LimitedKeys {
    /// Creates a cache of about this capacity.
    pub(super) fn new(capacity: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, capacity: capacity.div_ceil(SHARDS) }
    }

    fn shard(&self, key: LimitKey) -> MutexGuard<'_, Shard> {
        // A key is a hash, so any byte of it is evenly distributed.
        let shard = &self.shards[usize::from(key.as_bytes()[0]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the key is limited until `end`.
    pub(super) fn insert(&self, key: LimitKey, quota: Quota, now: Duration, end: Duration) {
        let mut shard = self.shard(key);
        if shard.ends.len() >= self.capacity && !shard.ends.contains_key(&(key, quota)) {
            if now < shard.sweep_at {
                return;
            }
            shard.sweep_at = now.saturating_add(SWEEP);
            shard.ends.retain(|_, end| *end > now);
            if shard.ends.len() >= self.capacity {
                return;
            }
        }
        shard.ends.insert((key, quota), end);
    }

    /// Returns how long the key is still limited, if it is cached.
    pub(super) fn remaining(&self, key: LimitKey, quota: Quota, now: Duration) -> Option<Duration> {
        let mut shard = self.shard(key);
        let end = *shard.ends.get(&(key, quota))?;
        match end.checked_sub(now).filter(|wait| !wait.is_zero()) {
            Some(wait) => Some(wait),
            None => {
                shard.ends.remove(&(key, quota));
                None
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let len =
            |shard: &Mutex<Shard>| shard.lock().unwrap_or_else(PoisonError::into_inner).ends.len();
        self.shards.iter().map(len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Quota = Quota::per_minute(5);

    fn key(number: u32) -> LimitKey {
        LimitKey::text("test", &number.to_string())
    }

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn limited_key_is_cached_until_its_end() {
        let limited = LimitedKeys::new(100);
        limited.insert(key(1), MINUTE, at(100), at(500));
        assert_eq!(limited.remaining(key(1), MINUTE, at(100)), Some(at(400)));
        assert_eq!(limited.remaining(key(1), MINUTE, at(499)), Some(at(1)));
        assert_eq!(limited.remaining(key(2), MINUTE, at(100)), None);
        assert_eq!(limited.remaining(key(1), Quota::per_minute(6), at(100)), None);
        assert_eq!(limited.remaining(key(1), MINUTE, at(500)), None);
        assert_eq!(limited.len(), 0);
        assert_eq!(limited.remaining(key(1), MINUTE, at(100)), None, "the entry was removed");
    }

    /// B7
    #[test]
    fn cache_of_limited_keys_is_bounded() {
        let limited = LimitedKeys::new(6_400);
        for number in 0..100_000 {
            limited.insert(key(number), MINUTE, at(0), at(5_000));
        }
        assert!((6_000..=6_400).contains(&limited.len()), "{} keys", limited.len());
        // Expired entries make room.
        for number in 100_000..200_000 {
            limited.insert(key(number), MINUTE, at(6_000), at(10_000));
        }
        assert!((6_000..=6_400).contains(&limited.len()), "{} keys", limited.len());
        let known = (100_000..200_000)
            .filter(|number| limited.remaining(key(*number), MINUTE, at(7_000)).is_some());
        assert!(known.count() >= 6_000);
    }
}
