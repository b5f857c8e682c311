//! Known API keys: their owners, by which the session cache groups its entries, and the uses that the store
//! does not know yet.
//!
//! Invariants:
//! - it only has keys that the store had; the owner of a key never changes;
//! - a use is recorded once an hour and key while the key is known, and no request waits for its record
//!   (K7);
//! - the numbers of keys and of unrecorded uses are bounded. A use beyond the bound is recorded by a later
//!   one of the hour, or lost.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Timestamp;
use crate::id::{KeyId, UserId};

const SHARDS: usize = 64;

/// How many uses wait to be recorded.
const MOST_USES: usize = 10_000;

const HOUR: i64 = 3_600_000;

/// The API keys that were validated.
#[derive(Debug)]
pub(super) struct KnownKeys {
    shards: Box<[Mutex<HashMap<KeyId, KnownKey>>]>,
    most_per_shard: usize,
    /// With the beginning of the hour of the use.
    uses: Mutex<Vec<(KeyId, Timestamp)>>,
}

/// A known key.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownKey {
    pub(super) owner: UserId,
    /// The hour of the last use that was noted.
    used_in: Option<i64>,
}

impl KnownKey {
    /// Whether a use at `now` is the first of its hour.
    pub(super) fn is_unused(&self, now: Timestamp) -> bool {
        self.used_in != Some(hour(now))
    }
}

fn hour(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(HOUR)
}

impl KnownKeys {
    pub(super) fn new(most: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, most_per_shard: most.div_ceil(SHARDS).max(1), uses: Mutex::default() }
    }

    fn shard(&self, key: KeyId) -> MutexGuard<'_, HashMap<KeyId, KnownKey>> {
        // The low bits of a ULID are random.
        let index = (key.as_u128() % self.shards.len() as u128) as usize;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn uses(&self) -> MutexGuard<'_, Vec<(KeyId, Timestamp)>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: KeyId) -> Option<KnownKey> {
        self.shard(key).get(&key).copied()
    }

    /// Notes a use of a key, unless one of this hour was noted.
    pub(super) fn note_use(&self, key: KeyId, owner: UserId, now: Timestamp) {
        let mut keys = self.shard(key);
        if keys.len() >= self.most_per_shard && !keys.contains_key(&key) {
            // Each key that is still in use costs one more read.
            keys.clear();
        }
        let known = keys.entry(key).or_insert(KnownKey { owner, used_in: None });
        let mut uses = self.uses();
        if known.is_unused(now) && uses.len() < MOST_USES {
            known.used_in = Some(hour(now));
            uses.push((key, Timestamp::from_millis(hour(now) * HOUR)));
        }
    }

    /// Takes at most `most` uses that are to be recorded.
    pub(super) fn take_uses(&self, most: usize) -> Vec<(KeyId, Timestamp)> {
        let mut uses = self.uses();
        let kept = uses.len().saturating_sub(most);
        uses.split_off(kept)
    }

    /// Returns uses that were not recorded.
    pub(super) fn return_uses(&self, taken: Vec<(KeyId, Timestamp)>) {
        let mut uses = self.uses();
        let room = MOST_USES.saturating_sub(uses.len());
        uses.extend(taken.into_iter().take(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(10 * HOUR + 1);

    fn ids(number: u128) -> (KeyId, UserId) {
        (KeyId::from_u128(number), UserId::from_u128(number))
    }

    /// B7
    #[test]
    fn known_keys_and_their_uses_are_bounded() {
        let known = KnownKeys::new(640);
        for number in 0..20_000 {
            let (key, owner) = ids(number);
            known.note_use(key, owner, NOW);
            assert_eq!(known.get(key).map(|known| known.owner), Some(owner));
        }
        let count = |shard: &Mutex<HashMap<_, _>>| shard.lock().expect("no panic").len();
        assert!(known.shards.iter().map(count).sum::<usize>() <= 640);
        assert_eq!(known.take_uses(usize::MAX).len(), MOST_USES);
    }

    /// K7
    #[test]
    fn a_use_is_noted_once_an_hour() {
        let known = KnownKeys::new(100);
        let (key, owner) = ids(1);
        for minutes in 0..150 {
            let now = Timestamp::from_millis(10 * HOUR + minutes * 60_000);
            assert_eq!(known.get(key).is_none_or(|key| key.is_unused(now)), minutes % 60 == 0);
            known.note_use(key, owner, now);
        }
        let hours = [10, 11, 12].map(|hour| (key, Timestamp::from_millis(hour * HOUR)));
        let taken = known.take_uses(2);
        assert_eq!(taken, hours[1..]);
        known.return_uses(taken);
        assert_eq!(known.take_uses(10), hours);
        assert!(known.take_uses(10).is_empty());
    }
}
