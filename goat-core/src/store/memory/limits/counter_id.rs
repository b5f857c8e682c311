//! Counter id, and the seeded hash that places counters in shards and buckets.
//!
//! Invariant: the placement depends on secrets of this process, so that a client cannot fill one shard
//! or bucket deliberately (hash flooding).

use std::hash::{BuildHasher, Hash, Hasher};

use crate::limit::{LimitKey, Quota};
use crate::secret;

use super::counter::nanoseconds;

/// Identifies the counter of one key under one quota.
///
/// A key is 16 bytes of a hash. Mixing in the quota keeps two quotas of one key apart for certain, and
/// makes collisions of two keys no more likely than the hash alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CounterId {
    high: u64,
    low: u64,
}

impl CounterId {
    pub(super) fn new(key: LimitKey, quota: Quota) -> Self {
        let key = u128::from_be_bytes(*key.as_bytes());
        // A burst is never 0.
        let burst = u64::from(quota.burst_size().unwrap_or(0)) << 32;
        Self {
            high: (key >> 64) as u64 ^ nanoseconds(quota.window()),
            low: key as u64 ^ (u64::from(quota.limit()) | burst),
        }
    }
}

impl Hash for CounterId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // One half is enough, since it is already a hash.
        state.write_u64(self.low);
    }
}

/// The secrets of one store's hash.
#[derive(Clone, Copy)]
pub(super) struct Seed {
    offset: u64,
    factor: u64,
}

impl Seed {
    pub(super) fn random() -> Self {
        Self { offset: secret::random(), factor: secret::random::<u64>() | 1 }
    }

    /// Returns the shard of an id.
    pub(super) fn shard_of(self, id: CounterId, shards: usize) -> usize {
        // The middle bits, since the hash table of the shard uses the lowest and highest ones.
        let middle = (self.hash_one(id) >> 16) & 0xFFFF_FFFF;
        ((u128::from(middle) * shards as u128) >> 32) as usize
    }
}

impl BuildHasher for Seed {
    type Hasher = FoldedMultiply;

    fn build_hasher(&self) -> FoldedMultiply {
        FoldedMultiply { seed: *self, state: 0 }
    }
}

/// Folded multiplication: multiplies to double width by a secret and combines the halves, so that every
/// bit of the result depends on every bit of the input and on the secret.
pub(super) struct FoldedMultiply {
    seed: Seed,
    state: u64,
}

impl Hasher for FoldedMultiply {
    fn write_u64(&mut self, value: u64) {
        let mixed = value ^ self.state ^ self.seed.offset;
        let product = u128::from(mixed) * u128::from(self.seed.factor);
        self.state = (product >> 64) as u64 ^ product as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;

    fn id(number: u64) -> CounterId {
        CounterId::new(LimitKey::text("test", &number.to_string()), Quota::per_minute(5))
    }

    #[test]
    fn each_quota_of_a_key_has_its_own_id() {
        let key = LimitKey::text("test", "alice");
        let quotas = [
            Quota::per_minute(5),
            Quota::per_minute(6),
            Quota::new(5, Duration::from_secs(61)),
            Quota::per_minute(5).burst(5),
            Quota::per_minute(5).burst(6),
            Quota::per_minute(6).burst(5),
        ];
        let ids: HashSet<_> = quotas.map(|quota| CounterId::new(key, quota)).into();
        assert_eq!(ids.len(), quotas.len());
    }

    /// B7: the key alone does not determine its shard.
    #[test]
    fn shard_depends_on_the_seed() {
        let (here, there) = (Seed::random(), Seed::random());
        let same = (0..1000)
            .filter(|number| here.shard_of(id(*number), 256) == there.shard_of(id(*number), 256))
            .count();
        assert!(same < 100, "{same} of 1000 keys are in the same of 256 shards");
    }

    #[test]
    fn keys_are_distributed_evenly_over_shards() {
        let seed = Seed::random();
        let mut count = [0; 10];
        for number in 0..10_000 {
            count[seed.shard_of(id(number), 10)] += 1;
        }
        assert!(count.iter().all(|keys| (800..1200).contains(keys)), "{count:?}");
    }
}
