//! Cache of verified access tokens: a lookup costs a fiftieth of an Ed25519 verification.
//!
//! Invariants:
//!
//! * an entry is keyed by the SHA-256 of the token's exact bytes, and no token is stored;
//! * it means that signature and form are valid under keys that never change: another key ring
//!   comes with its own [`Checks`](super::checks::Checks) and an empty cache. Times are checked at
//!   every use; the session is the caller's concern;
//! * bounded in entries. Only holders of valid tokens can fill it, and that only slows others down.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fingerprint::Fingerprint;
use super::wire::Validity;
use crate::clock::Timestamp;

/// Shards with a lock each, against contention.
const SHARDS: usize = 16;

/// Maximum entries per shard: 8192 in all, one or two megabytes, and up to eight more with attributes.
const SHARD_CAPACITY: usize = 512;

/// A cached verification: the claims in the caller's form, and the validity period.
pub(super) struct Entry<T> {
    pub(super) claims: Arc<T>,
    pub(super) validity: Validity,
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { claims: Arc::clone(&self.claims), validity: self.validity }
    }
}

/// The cache.
pub(super) struct Verified<T> {
    shards: [Mutex<HashMap<Fingerprint, Entry<T>>>; SHARDS],
}

impl<T> Verified<T> {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// Returns the cached verification of a token. Does not allocate.
    pub(super) fn get(&self, token: &Fingerprint) -> Option<Entry<T>> {
        self.shard(token).get(token).cloned()
    }

    /// Caches a verification.
    pub(super) fn insert(&self, token: Fingerprint, entry: Entry<T>, now: Timestamp) {
        let mut shard = self.shard(&token);
        if shard.len() >= SHARD_CAPACITY {
            shard.retain(|_, entry| entry.validity.expires_at > now);
        }
        if shard.len() >= SHARD_CAPACITY {
            // Evicts an arbitrary half: a fair choice would cost more at every hit than it saves,
            // which is one signature verification each.
            let mut odd = false;
            shard.retain(|_, _| {
                odd = !odd;
                odd
            });
        }
        shard.insert(token, entry);
    }

    fn shard(&self, token: &Fingerprint) -> MutexGuard<'_, HashMap<Fingerprint, Entry<T>>> {
        let shard = &self.shards[usize::from(token.0[0]) % SHARDS];
        // A panic cannot leave the map in an invalid state here.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let lock = |shard: &Mutex<HashMap<_, _>>| shard.lock().map_or(0, |entries| entries.len());
        self.shards.iter().map(lock).sum()
    }
}

impl<T> fmt::Debug for Verified<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Verified").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::claims::AccessClaims;
    use super::*;
    use crate::id::{SessionId, TokenId, UserId};
    use crate::user::{Attributes, Revisions};

    fn entry(expires_at: Timestamp) -> Entry<AccessClaims> {
        let issued_at = Timestamp::default();
        let claims = AccessClaims {
            user: UserId::generate(issued_at),
            session: SessionId::generate(issued_at),
            id: TokenId::generate(issued_at),
            issued_at,
            expires_at,
            client_id: "goat".to_owned(),
            authenticated_at: issued_at,
            amr: Vec::new(),
            acr: None,
            revisions: Revisions::default(),
            epoch: 0,
            permissions: None,
            attributes: Attributes::default(),
        };
        let validity = Validity { issued_at, not_before: issued_at, expires_at };
        Entry { claims: Arc::new(claims), validity }
    }

    /// One of many tokens that share a shard.
    fn fingerprint(index: usize) -> Fingerprint {
        let mut bytes = [0; 32];
        bytes[24..].copy_from_slice(&index.to_be_bytes());
        Fingerprint(bytes)
    }

    #[test]
    fn expired_entries_make_room_before_any_other() {
        let (verified, now) = (Verified::new(), Timestamp::from_seconds(1000));
        let (over, alive) = (now, now + Duration::from_secs(1));
        for index in 0..SHARD_CAPACITY {
            let expires_at = if index % 4 == 0 { over } else { alive };
            verified.insert(fingerprint(index), entry(expires_at), Timestamp::default());
        }
        assert_eq!(verified.len(), SHARD_CAPACITY);
        verified.insert(fingerprint(SHARD_CAPACITY), entry(alive), now);
        for index in 0..=SHARD_CAPACITY {
            let expected = index % 4 != 0 || index == SHARD_CAPACITY;
            assert_eq!(verified.get(&fingerprint(index)).is_some(), expected, "{index}");
        }
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_the_newest() {
        let (verified, now) = (Verified::new(), Timestamp::from_seconds(1000));
        let alive = now + Duration::from_secs(1);
        for index in 0..SHARD_CAPACITY * 4 {
            verified.insert(fingerprint(index), entry(alive), now);
            assert!(verified.len() <= SHARD_CAPACITY);
            assert!(verified.len() > SHARD_CAPACITY / 2 || index < SHARD_CAPACITY);
            assert!(verified.get(&fingerprint(index)).is_some());
        }
    }

    #[test]
    fn tokens_spread_over_the_shards() {
        let (verified, now) = (Verified::new(), Timestamp::default());
        for first in 0..=255 {
            verified.insert(Fingerprint([first; 32]), entry(now), now);
        }
        assert_eq!(verified.len(), 256);
        assert!(verified.shards.iter().all(|shard| shard.lock().is_ok_and(|map| map.len() == 16)));
    }
}
