//! Limits counted in this process: an exact log a key, or the theoretical arrival time where the
//! quota has a burst, in bounded memory.
//!
//! Invariants: a key's counter lies in one shard, and only under that shard's lock; a shard's time
//! never runs backwards; a counter is dropped only when all of it has passed.

mod counter;
mod counter_id;
mod gcra_state;
mod shard;
mod sliding_window_log;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::limit::{LimitKey, LimitLoad, LimitStore, Pace, Quota, Spending};

use self::counter::nanoseconds;
use self::counter_id::{CounterId, Seed};
use self::gcra_state::GcraState;
use self::shard::Shard;
use self::sliding_window_log::{Rule, SlidingWindowLog};

/// How many keys are kept unless told otherwise.
const DEFAULT_KEYS: usize = 1_000_000;

/// The most keys of one shard: what a hash table of 4,096 places holds before it doubles. Small,
/// so that no caller waits long for a table that grows.
const MOST_KEYS_PER_SHARD: usize = 3_584;

/// A table this small is not split: shares of a few keys fill up unevenly.
const FEWEST_KEYS_PER_SHARD: usize = 512;

/// As many shards as this keep many cores apart; more come only from more keys.
const ENOUGH_SHARDS: usize = 16;

/// Counts limits in the memory of this process.
///
/// **Exact.** Every admitted call is written down to the nanosecond of the caller's stopwatch;
/// nothing is rounded. Of a key under a quota with a [burst](Quota::burst) one instant is kept, when
/// it will owe nothing any more, to the nanosecond and the fraction of one. Where two threads bring
/// their readings in the wrong order, the later reading counts for both. All callers of one store
/// must therefore read the same clock.
///
/// **Bounded.** At most `max_keys` counters are kept, and a log is as long as its quota's limit at
/// most. Each call also drops a few keys of which all has passed, and nothing else drops any. The
/// keys are split evenly among shards; where a shard is full of live keys, the keys that come new to
/// it share one *overflow* counter a quota: such a key never gets more than its quota, and may get
/// less. While an overflow counter lives, a key that finds room again starts from a copy of it,
/// because any of it may have been its own. Whoever shares a counter and waits `retry_after` gets in
/// if none of those that share it was quicker. A shard may be full a few keys before the others are.
///
/// **Small.** A key with one or two admitted calls takes 73 bytes and its share of the free places
/// in two tables: about 85 in a full shard, up to 140 where a table has just doubled. From the
/// third call on, its log takes 8 bytes for each place, and doubles up to the limit. It is not made
/// smaller before it is dropped. With a burst a key takes 57 bytes and its share, about 67 in a full
/// shard and up to 110, however large the limit and the burst are and however much is asked.
///
/// A pair of key and quota is one counter: the same key under another quota has another one, and
/// takes the place of a key of its own.
///
/// ```
/// use std::time::Duration;
/// use goat_core::Quota;
/// use goat_core::limit::{LimitKey, LimitStore, Spending};
/// use goat_core::store::memory::MemoryLimits;
///
/// let limits = MemoryLimits::default();
/// let key = LimitKey::text("export", "alice");
/// let ask = |elapsed| match limits.spend(key, Quota::per_minute(1), elapsed) {
///     Spending::Done(spent) => spent.retry_after,
///     Spending::Pending(_) => unreachable!("it lies in memory"),
/// };
/// assert_eq!(ask(Duration::from_secs(0)), None);
/// assert_eq!(ask(Duration::from_secs(20)), Some(Duration::from_secs(40)));
/// assert_eq!(ask(Duration::from_secs(60)), None);
/// ```
pub struct MemoryLimits {
    shards: Box<[Mutex<Shard>]>,
    seed: Seed,
    max_keys: usize,
}

impl MemoryLimits {
    /// Keeps at most `max_keys` counters, a million by [`Default`]. Memory is taken as keys come.
    ///
    /// # Panics
    ///
    /// If the operating system has no randomness to give.
    #[must_use]
    pub fn new(max_keys: usize) -> Self {
        let shards = (max_keys / FEWEST_KEYS_PER_SHARD)
            .clamp(1, ENOUGH_SHARDS)
            .max(max_keys.div_ceil(MOST_KEYS_PER_SHARD));
        let seed = Seed::random();
        let share = max_keys / shards;
        let shards = (0..shards).map(|_| Mutex::new(Shard::new(share, seed))).collect();
        Self { shards, seed, max_keys }
    }

    /// How many counters are kept now, those included that have passed and that no call has
    /// dropped yet; overflow counters are not counted. Locks each shard in turn: for metrics.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).keys()).sum()
    }

    /// How many calls found no room and were answered from an overflow counter, since the start. If
    /// this grows, `max_keys` is too low for the traffic, or somebody is trying addresses.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).overflowed()).sum()
    }

    fn shard(&self, id: CounterId) -> MutexGuard<'_, Shard> {
        lock(&self.shards[self.seed.pick(id, self.shards.len())])
    }
}

/// A panic while a shard is locked leaves nothing half-done that matters, so that later callers
/// may go on.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self::new(DEFAULT_KEYS)
    }
}

impl fmt::Debug for MemoryLimits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MemoryLimits")
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}

impl LimitStore for MemoryLimits {
    fn spend(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> Spending {
        let (id, now) = (CounterId::new(key, quota), nanoseconds(elapsed));
        let mut shard = self.shard(id);
        Spending::Done(match Pace::of(quota) {
            None => shard.spend::<SlidingWindowLog>(id, Rule::from(quota), now),
            Some(pace) => shard.spend::<GcraState>(id, pace, now),
        })
    }

    fn load(&self) -> Option<LimitLoad> {
        Some(LimitLoad { keys: self.keys() as u64, overflowed: self.overflowed() })
    }
}
