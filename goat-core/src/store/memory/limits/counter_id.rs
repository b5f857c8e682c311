//! The name of a counter, and the seeded hash by which it is found.
//!
//! Invariant: where a counter lies depends on secrets of this process, so that nobody outside can fill
//! one shard or one bucket on purpose.

use std::hash::{BuildHasher, Hash, Hasher};

use crate::limit::{LimitKey, Quota};
use crate::secret;

use super::counter::nanoseconds;

/// Names the counter of one key under one quota.
///
/// A key is 16 bytes of a hash. Mixing the quota into them keeps two quotas of one key apart for
/// certain, and makes two keys meet no more often than the hash alone does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CounterId {
    high: u64,
    low: u64,
}

impl CounterId {
    pub(super) fn new(key: LimitKey, quota: Quota) -> Self {
        let key = u128::from_be_bytes(*key.as_bytes());
        // No burst has a size of 0.
        let burst = u64::from(quota.burst_size().unwrap_or(0)) << 32;
        Self {
            high: (key >> 64) as u64 ^ nanoseconds(quota.window()),
            low: key as u64 ^ (u64::from(quota.limit()) | burst),
        }
    }
}

impl Hash for CounterId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // One half is enough: it is as good as random already.
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

    /// Which of the shards an id belongs to.
    pub(super) fn pick(self, id: CounterId, shards: usize) -> usize {
        // From the middle of the hash: the table in the shard goes by its lowest and highest bits.
        let middle = (self.hash_one(id) >> 16) & 0xFFFF_FFFF;
        ((u128::from(middle) * shards as u128) >> 32) as usize
    }
}

impl BuildHasher for Seed {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded { seed: *self, state: 0 }
    }
}

/// Multiplies to double width by a secret and folds the halves together, so that every bit of the
/// result hangs on every bit of the input in a way that only this process knows.
pub(super) struct Folded {
    seed: Seed,
    state: u64,
}

impl Hasher for Folded {
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
    fn one_key_under_two_quotas_is_two_slots() {
        let key = LimitKey::text("test", "alice");
        let quotas = [
            Quota::per_minute(5),
            Quota::per_minute(6),
            Quota::new(5, Duration::from_secs(61)),
            Quota::per_minute(5).burst(5),
            Quota::per_minute(5).burst(6),
            Quota::per_minute(6).burst(5),
        ];
        let slots: HashSet<_> = quotas.map(|quota| CounterId::new(key, quota)).into();
        assert_eq!(slots.len(), quotas.len());
    }

    /// B7: what is known of a key does not tell where it lies.
    #[test]
    fn another_process_puts_the_same_keys_elsewhere() {
        let (here, there) = (Seed::random(), Seed::random());
        let same = (0..1000)
            .filter(|number| here.pick(id(*number), 256) == there.pick(id(*number), 256))
            .count();
        assert!(same < 100, "{same} of 1000 keys lie in the same of 256 shards");
    }

    #[test]
    fn keys_spread_evenly_over_the_shards() {
        let seed = Seed::random();
        let mut count = [0; 10];
        for number in 0..10_000 {
            count[seed.pick(id(number), 10)] += 1;
        }
        assert!(count.iter().all(|keys| (800..1200).contains(keys)), "{count:?}");
    }
}
