//! The name of a log, and the seeded hash by which it is found.
//!
//! Invariant: where a log lies depends on secrets of this process, so that nobody outside can fill
//! one shard or one bucket on purpose.

use std::hash::{BuildHasher, Hash, Hasher};

use crate::limit::LimitKey;
use crate::secret;

use super::log::Rule;

/// Names the log of one key under one quota.
///
/// A key is 16 bytes of a hash. Mixing the quota into them keeps two quotas of one key apart for
/// certain, and makes two keys meet no more often than the hash alone does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    high: u64,
    low: u64,
}

impl Slot {
    pub(super) fn new(key: LimitKey, rule: Rule) -> Self {
        let key = u128::from_be_bytes(*key.as_bytes());
        Self { high: (key >> 64) as u64 ^ rule.window, low: key as u64 ^ u64::from(rule.limit) }
    }
}

impl Hash for Slot {
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

    /// Which of the shards a slot belongs to.
    pub(super) fn pick(self, slot: Slot, shards: usize) -> usize {
        // From the middle of the hash: the table in the shard goes by its lowest and highest bits.
        let middle = (self.hash_one(slot) >> 16) & 0xFFFF_FFFF;
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
    use super::*;

    fn slot(number: u64) -> Slot {
        let rule = Rule { limit: 5, window: 60_000_000_000 };
        Slot::new(LimitKey::text("test", &number.to_string()), rule)
    }

    #[test]
    fn one_key_under_two_quotas_is_two_slots() {
        let key = LimitKey::text("test", "alice");
        let slots = [(5, 60), (6, 60), (5, 61)]
            .map(|(limit, window)| Slot::new(key, Rule { limit, window }));
        assert_ne!(slots[0], slots[1]);
        assert_ne!(slots[0], slots[2]);
        assert_ne!(slots[1], slots[2]);
    }

    /// B7: what is known of a key does not tell where it lies.
    #[test]
    fn another_process_puts_the_same_keys_elsewhere() {
        let (here, there) = (Seed::random(), Seed::random());
        let same = (0..1000)
            .filter(|number| here.pick(slot(*number), 256) == there.pick(slot(*number), 256))
            .count();
        assert!(same < 100, "{same} of 1000 keys lie in the same of 256 shards");
    }

    #[test]
    fn keys_spread_evenly_over_the_shards() {
        let seed = Seed::random();
        let mut count = [0; 10];
        for number in 0..10_000 {
            count[seed.pick(slot(number), 10)] += 1;
        }
        assert!(count.iter().all(|keys| (800..1200).contains(keys)), "{count:?}");
    }
}
