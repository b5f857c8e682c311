//! The in-process cache of verdicts: which sessions were found alive, and what they may do.
//!
//! Invariants:
//! - an entry is inserted only if nothing of its shard was evicted since its read began, so that a
//!   slow reader never overwrites an eviction;
//! - an entry is never older than the staleness, whatever notices were lost;
//! - the number of entries is bounded.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::access::Principal;
use crate::id::{SessionId, UserId};

const SHARDS: usize = 64;

/// Verdicts by user and session.
#[derive(Debug)]
pub(crate) struct VerdictCache {
    shards: Box<[Mutex<Shard>]>,
    staleness: Duration,
    most_per_shard: usize,
}

#[derive(Debug, Default)]
struct Shard {
    /// A user's sessions lie side by side, so that the user's eviction is one removal.
    users: HashMap<UserId, Vec<Entry>>,
    entries: usize,
    /// Rises with each eviction.
    evictions: u64,
    counts: CacheCounts,
}

#[derive(Debug)]
struct Entry {
    principal: Principal,
    /// The stopwatch when the read began that this comes from.
    read_at: Duration,
}

/// What a cache has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Questions that were answered.
    pub hits: u64,
    /// Questions that were not.
    pub misses: u64,
    /// Entries that were removed because something changed, or for room.
    pub evictions: u64,
    /// Entries that are there now.
    pub entries: u64,
}

/// Taken before a read, so that its result is cached only if nothing was evicted meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    evictions: u64,
    read_at: Duration,
}

impl VerdictCache {
    /// A cache of about `most` entries that are trusted for `staleness`. Zero: nothing is cached.
    pub(crate) fn new(staleness: Duration, most: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, staleness, most_per_shard: most.div_ceil(SHARDS).max(1) }
    }

    fn shard(&self, user: UserId) -> MutexGuard<'_, Shard> {
        // The low bits of a ULID are random.
        let index = (user.as_u128() % SHARDS as u128) as usize;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The verdict on a session, if one is remembered that is young enough.
    pub(crate) fn get(
        &self,
        user: UserId,
        session: SessionId,
        elapsed: Duration,
    ) -> Option<Principal> {
        let mut shard = self.shard(user);
        let found = shard.users.get(&user).and_then(|entries| {
            entries
                .iter()
                .find(|entry| entry.principal.session() == session)
                .filter(|entry| elapsed.saturating_sub(entry.read_at) < self.staleness)
                .map(|entry| entry.principal.clone())
        });
        if found.is_some() {
            shard.counts.hits += 1;
        } else {
            shard.counts.misses += 1;
        }
        found
    }

    /// To be called before the stores are read.
    pub(crate) fn begin(&self, user: UserId, elapsed: Duration) -> Ticket {
        Ticket { evictions: self.shard(user).evictions, read_at: elapsed }
    }

    /// Remembers a verdict, unless something was evicted since the ticket was taken.
    pub(crate) fn insert(&self, ticket: Ticket, principal: &Principal, elapsed: Duration) {
        if self.staleness.is_zero() {
            return;
        }
        let mut shard = self.shard(principal.user());
        if shard.evictions != ticket.evictions {
            return;
        }
        shard.remove(principal.user(), Some(principal.session()));
        if shard.entries >= self.most_per_shard {
            shard.make_room(elapsed, self.staleness);
        }
        let entry = Entry { principal: principal.clone(), read_at: ticket.read_at };
        shard.users.entry(principal.user()).or_default().push(entry);
        shard.entries += 1;
    }

    /// Forgets a session, and whatever is being read of its user.
    pub(crate) fn evict_session(&self, user: UserId, session: SessionId) {
        let mut shard = self.shard(user);
        shard.evictions += 1;
        let removed = shard.remove(user, Some(session));
        shard.counts.evictions += removed as u64;
    }

    /// Forgets a user, and whatever is being read of them.
    pub(crate) fn evict_user(&self, user: UserId) {
        let mut shard = self.shard(user);
        shard.evictions += 1;
        let removed = shard.remove(user, None);
        shard.counts.evictions += removed as u64;
    }

    /// Forgets everything, and whatever is being read.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.evictions += 1;
            shard.counts.evictions += shard.entries as u64;
            shard.users.clear();
            shard.entries = 0;
        }
    }

    /// What it has done.
    pub(crate) fn counts(&self) -> CacheCounts {
        let mut sum = CacheCounts::default();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            sum.hits += shard.counts.hits;
            sum.misses += shard.counts.misses;
            sum.evictions += shard.counts.evictions;
            sum.entries += shard.entries as u64;
        }
        sum
    }
}

impl Shard {
    /// Removes a user's entries, or only that of one session. Answers how many.
    fn remove(&mut self, user: UserId, session: Option<SessionId>) -> usize {
        let Some(entries) = self.users.get_mut(&user) else { return 0 };
        let before = entries.len();
        match session {
            Some(session) => entries.retain(|entry| entry.principal.session() != session),
            None => entries.clear(),
        }
        let removed = before - entries.len();
        if entries.is_empty() {
            self.users.remove(&user);
        }
        self.entries -= removed;
        removed
    }

    /// Drops what is too old to be used; if nothing is, drops one user.
    fn make_room(&mut self, elapsed: Duration, staleness: Duration) {
        let before = self.entries;
        let mut left = 0;
        self.users.retain(|_, entries| {
            entries.retain(|entry| elapsed.saturating_sub(entry.read_at) < staleness);
            left += entries.len();
            !entries.is_empty()
        });
        self.entries = left;
        if left == before
            && let Some(user) = self.users.keys().next().copied()
        {
            self.remove(user, None);
        }
        self.counts.evictions += (before - self.entries) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Rights, Role};
    use crate::clock::Timestamp;
    use std::sync::Arc;

    const STALENESS: Duration = Duration::from_secs(1);
    const START: Duration = Duration::from_secs(100);

    fn principal() -> Principal {
        let now = Timestamp::from_millis(0);
        Principal::new(
            UserId::generate(now),
            SessionId::generate(now),
            Role::parse("client").expect("a role"),
            Arc::new(Rights::default()),
            0,
            now,
        )
    }

    fn filled() -> (VerdictCache, Principal) {
        let cache = VerdictCache::new(STALENESS, 1000);
        let principal = principal();
        cache.insert(cache.begin(principal.user(), START), &principal, START);
        (cache, principal)
    }

    fn knows(cache: &VerdictCache, principal: &Principal, elapsed: Duration) -> bool {
        cache.get(principal.user(), principal.session(), elapsed).is_some()
    }

    #[test]
    fn a_verdict_is_trusted_until_it_is_stale() {
        let (cache, principal) = filled();
        assert!(knows(&cache, &principal, START));
        assert!(knows(&cache, &principal, START + Duration::from_millis(999)));
        assert!(!knows(&cache, &principal, START + STALENESS));
    }

    #[test]
    fn age_counts_from_the_beginning_of_the_read() {
        let cache = VerdictCache::new(STALENESS, 1000);
        let principal = principal();
        let ticket = cache.begin(principal.user(), START);
        cache.insert(ticket, &principal, START + Duration::from_millis(900));
        assert!(!knows(&cache, &principal, START + STALENESS));
    }

    #[test]
    fn a_slow_reader_does_not_overwrite_an_eviction() {
        let cache = VerdictCache::new(STALENESS, 1000);
        let principal = principal();
        let evictions: [&dyn Fn(); 3] = [
            &|| cache.evict_user(principal.user()),
            &|| cache.evict_session(principal.user(), principal.session()),
            &|| cache.clear(),
        ];
        for evict in evictions {
            let ticket = cache.begin(principal.user(), START);
            evict();
            cache.insert(ticket, &principal, START);
            assert!(!knows(&cache, &principal, START));
        }
    }

    #[test]
    fn evicting_forgets_the_user_or_the_session_alone() {
        let (cache, ann) = filled();
        let bob = principal();
        cache.insert(cache.begin(bob.user(), START), &bob, START);
        cache.evict_session(ann.user(), bob.session());
        assert!(knows(&cache, &ann, START));
        cache.evict_session(ann.user(), ann.session());
        assert!(!knows(&cache, &ann, START));
        assert!(knows(&cache, &bob, START));
        cache.evict_user(bob.user());
        assert!(!knows(&cache, &bob, START));
    }

    #[test]
    fn entries_are_bounded() {
        let cache = VerdictCache::new(STALENESS, 640);
        for _ in 0..5000 {
            let one = principal();
            cache.insert(cache.begin(one.user(), START), &one, START);
        }
        assert!(cache.counts().entries <= 640);
    }

    #[test]
    fn without_staleness_nothing_is_cached() {
        let cache = VerdictCache::new(Duration::ZERO, 1000);
        let principal = principal();
        cache.insert(cache.begin(principal.user(), START), &principal, START);
        assert!(!knows(&cache, &principal, START));
    }
}
