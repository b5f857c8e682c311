//! The in-process cache of validator: which sessions were found alive, and what they may do.
//!
//! Invariants:
//! - an entry is inserted only if nothing of its shard was evicted since its read began, so that a
//!   slow reader never overwrites an eviction;
//! - an entry is never older than the staleness, whatever invalidations were lost;
//! - nothing is answered while the node does not hear invalidations;
//! - the number of entries is bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::access::Principal;
use crate::id::{SessionId, UserId};
use crate::invalidation::Lease;

const SHARDS: usize = 64;

/// SessionValidator by user and session.
#[derive(Debug)]
pub(crate) struct SessionCache {
    shards: Box<[Mutex<Shard>]>,
    staleness: Duration,
    most_per_shard: usize,
    /// Holds while invalidations are heard.
    lease: Arc<Lease>,
}

#[derive(Debug, Default)]
struct Shard {
    /// A user's sessions lie side by side, so that the user's eviction is one removal.
    users: HashMap<UserId, Vec<Entry>>,
    entries: usize,
    /// Rises with each eviction.
    evictions: u64,
    /// The stopwatch when a user was last evicted.
    users_evicted_at: Option<Duration>,
    counts: CacheStats,
}

#[derive(Debug)]
struct Entry {
    principal: Principal,
    /// The stopwatch when this is stale: the staleness after the read began that it comes from.
    stale_at: Duration,
}

/// What a cache has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
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
pub(crate) struct FillToken {
    evictions: u64,
    /// The stopwatch when it was taken.
    read_at: Duration,
    staleness: Duration,
    users_evicted_at: Option<Duration>,
}

impl FillToken {
    /// Whether a user's state may be used that somebody remembers and that is of such an age.
    ///
    /// It must be younger than the staleness. And after a user's eviction it must come from a read
    /// that began later: whoever wrote may have failed to tell those who remember.
    pub(crate) fn accepts(&self, age: Duration) -> bool {
        let is_later = |evicted_at| {
            self.read_at.checked_sub(age).is_some_and(|began_at| began_at > evicted_at)
        };
        age.is_zero() || age < self.staleness && self.users_evicted_at.is_none_or(is_later)
    }

    /// Whether a read that began under this fill_token may answer somebody who came later, under
    /// `later`: it is young enough, and nothing was evicted in between.
    pub(crate) fn serves(&self, later: &Self) -> bool {
        self.evictions >= later.evictions
            && later.read_at.saturating_sub(self.read_at) < self.staleness
    }
}

impl SessionCache {
    /// A cache of about `most` entries that are trusted for `staleness`. Zero: nothing is cached.
    pub(crate) fn new(staleness: Duration, most: usize, lease: Arc<Lease>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, staleness, most_per_shard: most.div_ceil(SHARDS).max(1), lease }
    }

    /// Whether what is remembered may be used at all now.
    pub(crate) fn is_trusted(&self, elapsed: Duration) -> bool {
        !self.staleness.is_zero() && self.lease.holds(elapsed)
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
        let (found, mut shard) = self.look(user, session, elapsed);
        if found.is_some() {
            shard.counts.hits += 1;
        } else {
            shard.counts.misses += 1;
        }
        found
    }

    /// As [`Self::get`], for somebody who was counted as a miss already.
    pub(crate) fn get_again(
        &self,
        user: UserId,
        session: SessionId,
        elapsed: Duration,
    ) -> Option<Principal> {
        self.look(user, session, elapsed).0
    }

    fn look(
        &self,
        user: UserId,
        session: SessionId,
        elapsed: Duration,
    ) -> (Option<Principal>, MutexGuard<'_, Shard>) {
        // ATOMIC: before the shard is looked at, since everything is forgotten before the lease is
        // renewed.
        let trusted = self.lease.holds(elapsed);
        let shard = self.shard(user);
        let found = shard.users.get(&user).filter(|_| trusted).and_then(|entries| {
            entries
                .iter()
                .find(|entry| entry.principal.session() == session)
                .filter(|entry| elapsed < entry.stale_at)
                .map(|entry| entry.principal.clone())
        });
        (found, shard)
    }

    /// To be called before the stores are read.
    pub(crate) fn begin(&self, user: UserId, elapsed: Duration) -> FillToken {
        let shard = self.shard(user);
        FillToken {
            evictions: shard.evictions,
            read_at: elapsed,
            staleness: self.staleness,
            users_evicted_at: shard.users_evicted_at,
        }
    }

    /// Remembers a verdict, unless something was evicted since the fill_token was taken. `age` is how
    /// old the oldest of what it comes from was when the fill_token was taken.
    pub(crate) fn insert(
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
        shard.remove(principal.user(), Some(principal.session()));
        if shard.entries >= self.most_per_shard {
            shard.make_room(elapsed);
        }
        let entry = Entry { principal: principal.clone(), stale_at };
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
    pub(crate) fn evict_user(&self, user: UserId, elapsed: Duration) {
        let mut shard = self.shard(user);
        shard.evictions += 1;
        shard.users_evicted_at = Some(elapsed);
        let removed = shard.remove(user, None);
        shard.counts.evictions += removed as u64;
    }

    /// Forgets every verdict, and whatever is being read. Says nothing of users' states.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Forgets every user, and whatever is being read of anyone.
    pub(crate) fn evict_everyone(&self, elapsed: Duration) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.users_evicted_at = Some(elapsed);
            shard.clear();
        }
    }

    /// What it has done.
    pub(crate) fn counts(&self) -> CacheStats {
        let mut sum = CacheStats::default();
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
    fn clear(&mut self) {
        self.evictions += 1;
        self.counts.evictions += self.entries as u64;
        self.users.clear();
        self.entries = 0;
    }

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
            0,
            UserId::generate(now),
            SessionId::generate(now),
            Role::parse("client").expect("a role"),
            Arc::new(Rights::default()),
            0,
            now,
        )
    }

    fn cache_of(staleness: Duration, most: usize) -> SessionCache {
        SessionCache::new(staleness, most, Arc::default())
    }

    fn filled() -> (SessionCache, Principal) {
        let cache = cache_of(STALENESS, 1000);
        let principal = principal();
        cache.insert(cache.begin(principal.user(), START), &principal, Duration::ZERO, START);
        (cache, principal)
    }

    fn knows(cache: &SessionCache, principal: &Principal, elapsed: Duration) -> bool {
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
        let cache = cache_of(STALENESS, 1000);
        let principal = principal();
        let fill_token = cache.begin(principal.user(), START);
        cache.insert(fill_token, &principal, Duration::ZERO, START + Duration::from_millis(900));
        assert!(!knows(&cache, &principal, START + STALENESS));
    }

    #[test]
    fn a_slow_reader_does_not_overwrite_an_eviction() {
        let cache = cache_of(STALENESS, 1000);
        let principal = principal();
        let evictions: [&dyn Fn(); 4] = [
            &|| cache.evict_user(principal.user(), START),
            &|| cache.evict_session(principal.user(), principal.session()),
            &|| cache.clear(),
            &|| cache.evict_everyone(START),
        ];
        for evict in evictions {
            let fill_token = cache.begin(principal.user(), START);
            evict();
            cache.insert(fill_token, &principal, Duration::ZERO, START);
            assert!(!knows(&cache, &principal, START));
        }
    }

    #[test]
    fn evicting_forgets_the_user_or_the_session_alone() {
        let (cache, ann) = filled();
        let bob = principal();
        cache.insert(cache.begin(bob.user(), START), &bob, Duration::ZERO, START);
        cache.evict_session(ann.user(), bob.session());
        assert!(knows(&cache, &ann, START));
        cache.evict_session(ann.user(), ann.session());
        assert!(!knows(&cache, &ann, START));
        assert!(knows(&cache, &bob, START));
        cache.evict_user(bob.user(), START);
        assert!(!knows(&cache, &bob, START));
    }

    #[test]
    fn entries_are_bounded() {
        let cache = cache_of(STALENESS, 640);
        for _ in 0..5000 {
            let one = principal();
            cache.insert(cache.begin(one.user(), START), &one, Duration::ZERO, START);
        }
        assert!(cache.counts().entries <= 640);
    }

    #[test]
    fn without_staleness_nothing_is_cached() {
        let cache = cache_of(Duration::ZERO, 1000);
        let principal = principal();
        cache.insert(cache.begin(principal.user(), START), &principal, Duration::ZERO, START);
        assert!(!knows(&cache, &principal, START));
    }

    #[test]
    fn nothing_is_answered_or_remembered_while_the_node_is_deaf() {
        let lease = Arc::new(Lease::default());
        let cache = SessionCache::new(STALENESS, 1000, Arc::clone(&lease));
        let (known, late) = (principal(), principal());
        let insert = |one: &Principal| {
            cache.insert(cache.begin(one.user(), START), one, Duration::ZERO, START);
        };
        insert(&known);
        assert!(knows(&cache, &known, START));
        lease.end();
        insert(&late);
        assert!(!knows(&cache, &known, START) && !cache.is_trusted(START));
        lease.renew(START + Duration::from_millis(1));
        assert!(knows(&cache, &known, START), "forgetting is the listener's to do");
        assert!(!knows(&cache, &late, START));
        assert!(!knows(&cache, &known, START + Duration::from_millis(1)), "it ends by itself");
    }

    #[test]
    fn what_was_remembered_elsewhere_is_stale_when_its_own_read_is() {
        // Also where that read began before this process did.
        for start in [START, Duration::from_millis(100)] {
            let cache = cache_of(STALENESS, 1000);
            let principal = principal();
            let fill_token = cache.begin(principal.user(), start);
            cache.insert(fill_token, &principal, Duration::from_millis(700), start);
            assert!(knows(&cache, &principal, start + Duration::from_millis(299)));
            assert!(!knows(&cache, &principal, start + Duration::from_millis(300)));
        }
    }

    #[test]
    fn a_state_from_before_an_eviction_or_older_than_the_staleness_is_not_accepted() {
        let cache = cache_of(STALENESS, 1000);
        let user = principal().user();
        let half = STALENESS / 2;
        let accepts = |elapsed, age| -> bool { cache.begin(user, elapsed).accepts(age) };
        assert!(accepts(START, Duration::ZERO) && accepts(START, half));
        assert!(!accepts(START, STALENESS));
        cache.evict_session(user, SessionId::generate(Timestamp::from_millis(0)));
        cache.clear();
        assert!(accepts(START, half), "neither says that a user's state has changed");
        cache.evict_user(user, START);
        assert!(accepts(START, Duration::ZERO));
        assert!(!accepts(START + half, half), "it may have been read just before");
        assert!(accepts(START + half, half - Duration::from_millis(1)));
        cache.evict_everyone(START + STALENESS);
        assert!(!accepts(START + STALENESS + half, half));
    }

    #[test]
    fn a_read_serves_whoever_comes_before_an_eviction_and_before_it_is_stale() {
        let cache = cache_of(STALENESS, 1000);
        let user = principal().user();
        let first = cache.begin(user, START);
        assert!(first.serves(&cache.begin(user, START + Duration::from_millis(999))));
        assert!(!first.serves(&cache.begin(user, START + STALENESS)));
        cache.evict_user(user, START);
        let second = cache.begin(user, START);
        assert!(!first.serves(&second));
        assert!(second.serves(&first), "it sees more than was asked for");
    }
}
