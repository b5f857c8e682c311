//! What this process knows of limited: until when a key need not be asked for again.
//!
//! Invariants: it answers only before an instant that Redis named, by the stopwatch of the callers;
//! it holds a bounded number of keys, and forgets rather than grows.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::limit::{LimitKey, Quota};

/// As many keep many cores apart.
const SHARDS: usize = 64;
/// A full shard is not searched for what has passed more often than this.
const SWEEP: Duration = Duration::from_secs(1);

/// LimitedKeys and their ends.
#[derive(Debug)]
pub(super) struct LimitedKeys {
    shards: Vec<Mutex<Shard>>,
    /// The most keys of one shard.
    most: usize,
}

#[derive(Debug, Default)]
struct Shard {
    ends: HashMap<(LimitKey, Quota), Duration>,
    /// Before this, a full shard stays as it is.
    sweep_at: Duration,
}

impl LimitedKeys {
    /// Holds at most about so many.
    pub(super) fn new(most: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, most: most.div_ceil(SHARDS) }
    }

    fn shard(&self, key: LimitKey) -> MutexGuard<'_, Shard> {
        // A key is a hash, so any of its bytes spreads evenly.
        let shard = &self.shards[usize::from(key.as_bytes()[0]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody need ask before `end`.
    pub(super) fn remember(&self, key: LimitKey, quota: Quota, now: Duration, end: Duration) {
        let mut shard = self.shard(key);
        if shard.ends.len() >= self.most && !shard.ends.contains_key(&(key, quota)) {
            if now < shard.sweep_at {
                return;
            }
            shard.sweep_at = now.saturating_add(SWEEP);
            shard.ends.retain(|_, end| *end > now);
            if shard.ends.len() >= self.most {
                return;
            }
        }
        shard.ends.insert((key, quota), end);
    }

    /// How long the key is refused still, as far as is known.
    pub(super) fn recall(&self, key: LimitKey, quota: Quota, now: Duration) -> Option<Duration> {
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
    fn a_refusal_is_known_until_its_end_and_no_longer() {
        let limited = LimitedKeys::new(100);
        limited.remember(key(1), MINUTE, at(100), at(500));
        assert_eq!(limited.recall(key(1), MINUTE, at(100)), Some(at(400)));
        assert_eq!(limited.recall(key(1), MINUTE, at(499)), Some(at(1)));
        assert_eq!(limited.recall(key(2), MINUTE, at(100)), None);
        assert_eq!(limited.recall(key(1), Quota::per_minute(6), at(100)), None);
        assert_eq!(limited.recall(key(1), MINUTE, at(500)), None);
        assert_eq!(limited.len(), 0);
        assert_eq!(limited.recall(key(1), MINUTE, at(100)), None, "it is forgotten");
    }

    /// B7
    #[test]
    fn a_flood_of_refused_keys_is_bounded() {
        let limited = LimitedKeys::new(6_400);
        for number in 0..100_000 {
            limited.remember(key(number), MINUTE, at(0), at(5_000));
        }
        assert!((6_000..=6_400).contains(&limited.len()), "{} keys", limited.len());
        // Those that have passed make room.
        for number in 100_000..200_000 {
            limited.remember(key(number), MINUTE, at(6_000), at(10_000));
        }
        assert!((6_000..=6_400).contains(&limited.len()), "{} keys", limited.len());
        let known = (100_000..200_000)
            .filter(|number| limited.recall(key(*number), MINUTE, at(7_000)).is_some());
        assert!(known.count() >= 6_000);
    }
}
