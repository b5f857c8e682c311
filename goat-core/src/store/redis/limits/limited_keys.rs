//! In-process cache of limited keys: until when Redis need not be asked about a key again.
//!
//! Invariants: an entry is used only before the instant that Redis returned, by the callers' monotonic
//! clock, and for at most [`MAX_AGE`], since another node may reset the counter; the cache is bounded
//! and drops new entries when it is full.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::limit::{LimitKey, Quota};

/// Enough shards to avoid lock contention on many cores.
const SHARDS: usize = 64;
/// The minimum interval between sweeps of a full shard for expired entries.
const SWEEP: Duration = Duration::from_secs(1);

/// How long an entry is used without asking Redis again.
const MAX_AGE: Duration = Duration::from_secs(1);

/// Limited keys and the instants at which their limits end.
#[derive(Debug)]
pub(super) struct LimitedKeys {
    shards: Vec<Mutex<Shard>>,
    /// The capacity of one shard.
    capacity: usize,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<(LimitKey, Quota), Entry>,
    /// The next sweep of a full shard.
    sweep_at: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The end of the limit.
    end: Duration,
    used_until: Duration,
}

impl LimitedKeys {
    /// Creates a cache of about this capacity.
    pub(super) fn new(capacity: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, capacity: capacity.div_ceil(SHARDS) }
    }

    fn shard(&self, key: LimitKey) -> MutexGuard<'_, Shard> {
        // A member of a group is a hash, so any byte of it is evenly distributed.
        let shard = &self.shards[usize::from(key.as_bytes()[15]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the key is limited until `end`.
    pub(super) fn insert(&self, key: LimitKey, quota: Quota, now: Duration, end: Duration) {
        let mut shard = self.shard(key);
        if shard.entries.len() >= self.capacity && !shard.entries.contains_key(&(key, quota)) {
            if now < shard.sweep_at {
                return;
            }
            shard.sweep_at = now.saturating_add(SWEEP);
            shard.entries.retain(|_, entry| entry.used_until > now);
            if shard.entries.len() >= self.capacity {
                return;
            }
        }
        let used_until = end.min(now.saturating_add(MAX_AGE));
        shard.entries.insert((key, quota), Entry { end, used_until });
    }

    /// Forgets that the key is limited.
    pub(super) fn remove(&self, key: LimitKey, quota: Quota) {
        self.shard(key).entries.remove(&(key, quota));
    }

    /// Returns how long the key is still limited, if it is cached.
    pub(super) fn remaining(&self, key: LimitKey, quota: Quota, now: Duration) -> Option<Duration> {
        let mut shard = self.shard(key);
        let Entry { end, used_until } = *shard.entries.get(&(key, quota))?;
        if used_until > now {
            return Some(end.saturating_sub(now));
        }
        shard.entries.remove(&(key, quota));
        None
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let len = |shard: &Mutex<Shard>| {
            shard.lock().unwrap_or_else(PoisonError::into_inner).entries.len()
        };
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

    /// B10: a reset on another node takes effect within a second.
    #[test]
    fn limited_key_is_cached_for_at_most_a_second() {
        let limited = LimitedKeys::new(100);
        limited.insert(key(1), MINUTE, at(100), at(60_000));
        assert_eq!(limited.remaining(key(1), MINUTE, at(1_099)), Some(at(58_901)));
        assert_eq!(limited.remaining(key(1), MINUTE, at(1_100)), None);
        limited.insert(key(1), MINUTE, at(1_100), at(60_000));
        limited.remove(key(1), MINUTE);
        assert_eq!(limited.remaining(key(1), MINUTE, at(1_100)), None);
    }

    /// B7
    #[test]
    fn cache_of_limited_keys_is_bounded() {
        let limited = LimitedKeys::new(6_400);
        for number in 0..100_000 {
            limited.insert(key(number), MINUTE, at(0), at(500));
        }
        assert!((6_000..=6_400).contains(&limited.len()), "{} keys", limited.len());
        // Expired entries make room.
        for number in 100_000..200_000 {
            limited.insert(key(number), MINUTE, at(6_000), at(10_000));
        }
        assert!((6_000..=6_400).contains(&limited.len()), "{} keys", limited.len());
        let known = (100_000..200_000)
            .filter(|number| limited.remaining(key(*number), MINUTE, at(6_900)).is_some());
        assert!(known.count() >= 6_000);
    }
}
