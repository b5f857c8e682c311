//! Session cache: validated sessions and API keys in process memory.
//!
//! Invariants:
//! - an entry is inserted only if nothing of its shard was evicted since its read began (fill token),
//!   so a slow read never overwrites an eviction;
//! - an entry is never older than the staleness, even if invalidations are lost;
//! - a lookup for a token returns no entry of earlier revisions than the token's;
//! - lookups miss while the invalidation channel is disconnected;
//! - the number of entries is bounded.

use std::collections::HashMap;
use std::time::Duration;

use crate::id::{Credential, SessionId, UserId};
use crate::invalidation::Lease;
use crate::session::CacheStats;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::user::Revisions;

use super::Principal;

const SHARDS: usize = 64;

/// Principals by user and credential.
#[derive(Debug)]
pub(crate) struct SessionCache {
    shards: Box<[Mutex<Shard>]>,
    staleness: Duration,
    most_per_shard: usize,
    /// Held while the invalidation channel is connected.
    lease: Arc<Lease>,
}

#[derive(Clone, Debug, Default)]
struct Shard {
    /// Grouped by user, so that the eviction of a user is one removal.
    users: HashMap<UserId, Vec<Entry>>,
    entries: usize,
    /// Rises with each eviction.
    evictions: u64,
    /// Stopwatch reading at the last eviction of a user.
    users_evicted_at: Option<Duration>,
    stats: CacheStats,
}

#[derive(Clone, Debug)]
struct Entry {
    principal: Principal,
    /// Stopwatch reading at which the entry becomes stale: the staleness after its read began.
    stale_at: Duration,
}

/// The right to insert the result of a read, unless something is evicted after the token was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FillToken {
    evictions: u64,
    /// Stopwatch reading when the token was taken.
    read_at: Duration,
    staleness: Duration,
    users_evicted_at: Option<Duration>,
}

impl FillToken {
    /// Whether a cached user state of this age may be used: it is younger than the staleness, and its
    /// read began after the last eviction of a user, since the writer may have failed to invalidate
    /// the cache that it comes from.
    pub(crate) fn accepts(&self, age: Duration) -> bool {
        let is_later = |evicted_at| {
            self.read_at.checked_sub(age).is_some_and(|began_at| began_at > evicted_at)
        };
        age.is_zero() || age < self.staleness && self.users_evicted_at.is_none_or(is_later)
    }

    /// Returns a number that two tokens share only if nothing was evicted between them and they are
    /// less than the staleness apart. Reads under different numbers do not wait for one another.
    pub(super) fn window(&self) -> (u64, u128) {
        let staleness = self.staleness.as_nanos().max(1);
        (self.evictions, self.read_at.as_nanos() / staleness)
    }
}

impl SessionCache {
    /// Creates a cache of about `most` entries, valid for `staleness`. Zero disables the cache.
    pub(crate) fn new(staleness: Duration, most: usize, lease: Arc<Lease>) -> Self {
        Self::with_shards(SHARDS, staleness, most, lease)
    }

    fn with_shards(count: usize, staleness: Duration, most: usize, lease: Arc<Lease>) -> Self {
        let shards = (0..count).map(|_| Mutex::default()).collect();
        Self { shards, staleness, most_per_shard: most.div_ceil(count).max(1), lease }
    }

    /// Returns the greatest number of entries.
    pub(super) fn most(&self) -> usize {
        self.most_per_shard * self.shards.len()
    }

    /// Whether cached data may be used now.
    pub(super) fn is_enabled(&self, elapsed: Duration) -> bool {
        !self.staleness.is_zero() && self.lease.holds(elapsed)
    }

    /// Renews the lease of the invalidation channel. If it had ended, invalidations may have been lost:
    /// `invalidate` is called and the cache cleared before.
    pub(super) fn connected(&self, elapsed: Duration, lease: Duration, invalidate: impl FnOnce()) {
        if !self.lease.holds(elapsed) {
            // ATOMIC: cleared before the lease is renewed, so that no entry from the time without
            // invalidations is used.
            invalidate();
            self.clear();
        }
        self.lease.renew(elapsed.saturating_add(lease));
    }

    fn shard(&self, user: UserId) -> MutexGuard<'_, Shard> {
        // The low bits of a ULID are random.
        let index = (user.as_u128() % self.shards.len() as u128) as usize;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the principal of a credential, unless it is absent, stale or from before these revisions.
    pub(super) fn get(
        &self,
        user: UserId,
        credential: Credential,
        revisions: Revisions,
        elapsed: Duration,
    ) -> Option<Principal> {
        let (found, mut shard) = self.lookup(user, credential, revisions, elapsed);
        if found.is_some() {
            shard.stats.hits += 1;
        } else {
            shard.stats.misses += 1;
        }
        found
    }

    /// Like [`Self::get`], without counting a hit or miss again.
    pub(super) fn get_uncounted(
        &self,
        user: UserId,
        credential: Credential,
        revisions: Revisions,
        elapsed: Duration,
    ) -> Option<Principal> {
        self.lookup(user, credential, revisions, elapsed).0
    }

    fn lookup(
        &self,
        user: UserId,
        credential: Credential,
        revisions: Revisions,
        elapsed: Duration,
    ) -> (Option<Principal>, MutexGuard<'_, Shard>) {
        // ATOMIC: checked before the shard is read, since the cache is cleared before the lease is
        // renewed.
        let is_connected = self.lease.holds(elapsed);
        let shard = self.shard(user);
        let found = shard.users.get(&user).filter(|_| is_connected).and_then(|entries| {
            entries
                .iter()
                .find(|entry| entry.principal.credential() == credential)
                .filter(|entry| elapsed < entry.stale_at)
                .filter(|entry| entry.principal.revisions().include(revisions))
                .map(|entry| entry.principal.clone())
        });
        (found, shard)
    }

    /// Counts a validation of a user's credential that read the stores without a lookup.
    pub(super) fn count_miss(&self, user: UserId) {
        self.shard(user).stats.misses += 1;
    }

    /// Takes a fill token. To be called before the stores are read.
    pub(super) fn begin(&self, user: UserId, elapsed: Duration) -> FillToken {
        let shard = self.shard(user);
        FillToken {
            evictions: shard.evictions,
            read_at: elapsed,
            staleness: self.staleness,
            users_evicted_at: shard.users_evicted_at,
        }
    }

    /// Inserts a principal, unless something was evicted since the token was taken, or the present entry
    /// is of a later revision. `age` is the age of the oldest input when the token was taken.
    pub(super) fn insert(
        &self,
        fill_token: FillToken,
        principal: &Principal,
        age: Duration,
        elapsed: Duration,
    ) {
        let stale_at = fill_token.read_at + self.staleness.saturating_sub(age);
        if !self.lease.holds(elapsed) || stale_at <= elapsed {
            return;
        }
        let mut shard = self.shard(principal.user());
        if shard.evictions != fill_token.evictions {
            return;
        }
        let (user, credential) = (principal.user(), principal.credential());
        let is_newer = |entry: &Entry| {
            entry.principal.credential() == credential
                && elapsed < entry.stale_at
                && entry.principal.revisions().user > principal.revisions().user
        };
        if shard.users.get(&user).is_some_and(|entries| entries.iter().any(is_newer)) {
            return;
        }
        shard.remove(user, Some(credential.as_u128()));
        if shard.entries >= self.most_per_shard {
            shard.make_room(elapsed);
        }
        let entry = Entry { principal: principal.clone(), stale_at };
        // Most users have one entry.
        shard.users.entry(user).or_insert_with(|| Vec::with_capacity(1)).push(entry);
        shard.entries += 1;
    }

    /// Evicts a session, or the API key of this number, and voids the fill tokens of its shard.
    pub(super) fn evict_session(&self, user: UserId, session: SessionId) {
        let mut shard = self.shard(user);
        shard.evictions += 1;
        let removed = shard.remove(user, Some(session.as_u128()));
        shard.stats.evictions += removed as u64;
    }

    /// Evicts a user, and voids the fill tokens of the shard. Cached user states from before are no longer
    /// accepted.
    pub(super) fn evict_user(&self, user: UserId, elapsed: Duration) {
        let mut shard = self.shard(user);
        shard.users_evicted_at = Some(elapsed);
        shard.evict(user);
    }

    /// Evicts the principals of a user, and voids the fill tokens of the shard. Cached user states remain
    /// acceptable: this process has invalidated them itself.
    pub(super) fn evict_principals(&self, user: UserId) {
        self.shard(user).evict(user);
    }

    /// Clears the cache and voids all fill tokens. Cached user states remain acceptable.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Evicts every user, and voids all fill tokens.
    pub(super) fn evict_all(&self, elapsed: Duration) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.users_evicted_at = Some(elapsed);
            shard.clear();
        }
    }

    /// Returns the statistics.
    pub(super) fn stats(&self) -> CacheStats {
        let mut sum = CacheStats::default();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            sum.hits += shard.stats.hits;
            sum.misses += shard.stats.misses;
            sum.evictions += shard.stats.evictions;
            sum.entries += shard.entries as u64;
        }
        sum
    }
}

impl Shard {
    fn clear(&mut self) {
        self.evictions += 1;
        self.stats.evictions += self.entries as u64;
        self.users.clear();
        self.entries = 0;
    }

    /// Removes a user's entries, and voids all fill tokens.
    fn evict(&mut self, user: UserId) {
        self.evictions += 1;
        let removed = self.remove(user, None);
        self.stats.evictions += removed as u64;
    }

    /// Removes a user's entries, or only those of credentials with one number; returns how many.
    fn remove(&mut self, user: UserId, credential: Option<u128>) -> usize {
        let Some(entries) = self.users.get_mut(&user) else { return 0 };
        let before = entries.len();
        match credential {
            Some(number) => {
                entries.retain(|entry| entry.principal.credential().as_u128() != number);
            }
            None => entries.clear(),
        }
        let removed = before - entries.len();
        if entries.is_empty() {
            self.users.remove(&user);
        }
        self.entries -= removed;
        removed
    }

    /// Removes the stale entries; if there are none, the entries of one user.
    fn make_room(&mut self, elapsed: Duration) {
        let before = self.entries;
        let mut left = 0;
        self.users.retain(|_, entries| {
            entries.retain(|entry| elapsed < entry.stale_at);
            left += entries.len();
            !entries.is_empty()
        });
        self.entries = left;
        if left == before
            && let Some(user) = self.users.keys().next().copied()
        {
            self.remove(user, None);
        }
        self.stats.evictions += (before - self.entries) as u64;
    }
}

// With its path, since the crate that runs this file under loom includes it from elsewhere.
#[cfg(test)]
#[path = "session_cache/tests/mod.rs"]
mod tests;
