//! In-process rate limits in bounded memory: a sliding-window log per key, or GCRA for quotas with a
//! burst.
//!
//! Invariants: a key's counter is in one shard and is accessed under that shard's lock only; a shard's
//! time never goes backwards; a counter is dropped only after it has expired.

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

use crate::limit::{
    LimitKey, LimitLoad, LimitStore, Quota, StoreAcquire, StoreDecision, StoreReply,
};

use self::counter::nanoseconds;
use self::counter_id::{CounterId, Seed};
use self::shard::Shard;

/// The default number of keys.
const DEFAULT_KEYS: usize = 1_000_000;

/// The most keys of one shard: the load of a hash table with 4,096 buckets before it doubles. Small,
/// so that a resize blocks no caller for long.
const MOST_KEYS_PER_SHARD: usize = 3_584;

/// A table this small is not sharded, since small shards fill up unevenly.
const FEWEST_KEYS_PER_SHARD: usize = 512;

/// Enough shards to avoid lock contention on many cores; more only for more keys.
const ENOUGH_SHARDS: usize = 16;

/// Rate limits in the memory of this process.
///
/// **Exact.** The log records every allowed call to the nanosecond of the caller's monotonic clock,
/// without rounding. GCRA, for quotas with a [burst](Quota::burst), stores one instant per key, the
/// theoretical arrival time, to a fraction of a nanosecond. If two threads arrive out of order, the
/// later reading counts for both, so all callers of one store must read the same clock.
///
/// **Bounded.** The store keeps at most `max_keys` counters, and a log is at most as long as its
/// quota's limit. Each call also drops a few expired keys, and nothing else does. Keys are distributed
/// evenly over shards. When a shard is full of live keys, further keys share one *overflow* counter
/// per quota: such a key never gets more than its quota, and may get less. As long as an overflow
/// counter is live, a key that gets a counter of its own starts with a copy of it, because any of its
/// calls may have been that key's. Keys of windows over an hour fill at most half of a shard, so that a
/// flood of them leaves room for the other limits. A caller that shares a counter and waits
/// `retry_after` is allowed unless another caller of the same counter was first. A shard may fill up a
/// few keys before others.
///
/// **Small.** A key with one or two allowed calls takes 73 bytes plus its share of free buckets in two
/// tables: about 85 in a full shard, up to 140 right after a table has doubled. From the third call
/// on, its log takes 8 bytes per entry, doubles up to the limit, and does not shrink before it is
/// dropped. A GCRA key takes 57 bytes plus its share, about 67 in a full shard and up to 110, for any
/// limit, burst and rate of calls.
///
/// Each pair of key and quota has a counter: the same key under another quota counts as another key.
///
/// ```
/// use std::time::Duration;
/// use goat_core::Quota;
/// use goat_core::limit::{LimitKey, LimitStore, StoreAcquire};
/// use goat_core::store::memory::MemoryLimits;
///
/// let limits = MemoryLimits::default();
/// let key = LimitKey::text("export", "alice");
/// let ask = |elapsed| match limits.acquire(key, Quota::per_minute(1), elapsed) {
///     StoreAcquire::Ready(decision) => decision.retry_after,
///     StoreAcquire::Pending(_) => unreachable!("an in-memory store is synchronous"),
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
    /// Creates a store of at most `max_keys` counters; [`Default`] allows a million. Memory is allocated
    /// as keys arrive.
    ///
    /// # Panics
    ///
    /// If the operating system provides no randomness.
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

    /// Returns the number of counters, including expired ones that no call has dropped yet and
    /// excluding overflow counters. Locks each shard in turn; for metrics.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).keys()).sum()
    }

    /// Returns the number of calls decided by an overflow counter since the start. Growth means that
    /// `max_keys` is too low for the traffic, or that a client uses many addresses.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).overflowed()).sum()
    }

    fn shard(&self, id: CounterId) -> MutexGuard<'_, Shard> {
        lock(&self.shards[self.place(id)])
    }

    fn place(&self, id: CounterId) -> usize {
        self.seed.shard_of(id, self.shards.len())
    }

    /// Locks the shards of two counters, always in the same order.
    fn two_shards(&self, ids: [CounterId; 2]) -> TwoShards<'_> {
        let places = ids.map(|id| self.place(id));
        let [first, second] = places;
        let lower = lock(&self.shards[first.min(second)]);
        let upper = (first != second).then(|| lock(&self.shards[first.max(second)]));
        TwoShards { lower, upper, is_upper: places.map(|place| place > first.min(second)) }
    }
}

/// The locked shards of two counters, which may be one shard.
struct TwoShards<'a> {
    lower: MutexGuard<'a, Shard>,
    upper: Option<MutexGuard<'a, Shard>>,
    is_upper: [bool; 2],
}

impl TwoShards<'_> {
    /// Returns the shard of the first or second counter.
    fn of(&mut self, index: usize) -> &mut Shard {
        match &mut self.upper {
            Some(upper) if self.is_upper[index] => upper,
            _ => &mut self.lower,
        }
    }
}

/// Locks a shard, also after a panic: every state in which a panic can leave a shard is usable.
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
    fn acquire(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> StoreAcquire {
        let (id, now) = (CounterId::new(key, quota), nanoseconds(elapsed));
        StoreReply::Ready(self.shard(id).acquire(id, quota, now))
    }

    fn acquire_both(
        &self,
        counters: [(LimitKey, Quota); 2],
        elapsed: Duration,
    ) -> StoreReply<[StoreDecision; 2]> {
        let now = nanoseconds(elapsed);
        let ids = counters.map(|(key, quota)| CounterId::new(key, quota));
        let [(_, first), (_, second)] = counters;
        let mut shards = self.two_shards(ids);
        let state = shards.of(1).peek(ids[1], second, now);
        if state.retry_after.is_some() {
            return StoreReply::Ready([shards.of(0).peek(ids[0], first, now), state]);
        }
        let decision = shards.of(0).acquire(ids[0], first, now);
        if decision.retry_after.is_some() {
            return StoreReply::Ready([decision, state]);
        }
        // Limited only for lack of room for one more overflow counter; then the first counter has
        // counted a call that is rejected.
        StoreReply::Ready([decision, shards.of(1).acquire(ids[1], second, now)])
    }

    fn reset(&self, key: LimitKey, quota: Quota) -> StoreReply<()> {
        let id = CounterId::new(key, quota);
        self.shard(id).reset(id, quota);
        StoreReply::Ready(())
    }

    fn load(&self) -> Option<LimitLoad> {
        Some(LimitLoad { keys: self.keys() as u64, overflowed: self.overflowed() })
    }
}
