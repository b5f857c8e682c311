//! Owners of API keys, which the session cache groups its entries by. The owner of a key never changes.
//!
//! Invariants: it only has keys that the store had; their number is bounded.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::id::{KeyId, UserId};

const SHARDS: usize = 64;

/// The owners of API keys that were validated.
#[derive(Debug)]
pub(super) struct KeyOwners {
    shards: Box<[Mutex<HashMap<KeyId, UserId>>]>,
    most_per_shard: usize,
}

impl KeyOwners {
    pub(super) fn new(most: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, most_per_shard: most.div_ceil(SHARDS).max(1) }
    }

    fn shard(&self, key: KeyId) -> &Mutex<HashMap<KeyId, UserId>> {
        // The low bits of a ULID are random.
        let index = (key.as_u128() % self.shards.len() as u128) as usize;
        &self.shards[index]
    }

    pub(super) fn get(&self, key: KeyId) -> Option<UserId> {
        self.shard(key).lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }

    pub(super) fn insert(&self, key: KeyId, owner: UserId) {
        let mut owners = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        if owners.len() >= self.most_per_shard && !owners.contains_key(&key) {
            // Each key that is still in use costs one more read.
            owners.clear();
        }
        owners.insert(key, owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// B7
    #[test]
    fn owners_are_bounded() {
        let owners = KeyOwners::new(640);
        for number in 0..10_000 {
            let (key, owner) = (KeyId::from_u128(number), UserId::from_u128(number));
            owners.insert(key, owner);
            assert_eq!(owners.get(key), Some(owner));
        }
        let count = |shard: &Mutex<HashMap<_, _>>| shard.lock().expect("no panic").len();
        assert!(owners.shards.iter().map(count).sum::<usize>() <= 640);
    }
}
