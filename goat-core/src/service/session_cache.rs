//! Session cache: validated sessions in process memory.
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

use crate::id::{SessionId, UserId};
use crate::invalidation::Lease;
use crate::session::CacheStats;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::user::Revisions;

use super::Principal;

const SHARDS: usize = 64;

/// Principals by user and session.
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

    /// Returns the principal of a session, unless it is absent, stale or from before these revisions.
    pub(super) fn get(
        &self,
        user: UserId,
        session: SessionId,
        revisions: Revisions,
        elapsed: Duration,
    ) -> Option<Principal> {
        let (found, mut shard) = self.lookup(user, session, revisions, elapsed);
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
        session: SessionId,
        revisions: Revisions,
        elapsed: Duration,
    ) -> Option<Principal> {
        self.lookup(user, session, revisions, elapsed).0
    }

    fn lookup(
        &self,
        user: UserId,
        session: SessionId,
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
                .find(|entry| entry.principal.session() == session)
                .filter(|entry| elapsed < entry.stale_at)
                .filter(|entry| entry.principal.revisions().include(revisions))
                .map(|entry| entry.principal.clone())
        });
        (found, shard)
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
        let (user, session) = (principal.user(), principal.session());
        let is_newer = |entry: &Entry| {
            entry.principal.session() == session
                && elapsed < entry.stale_at
                && entry.principal.revisions().user > principal.revisions().user
        };
        if shard.users.get(&user).is_some_and(|entries| entries.iter().any(is_newer)) {
            return;
        }
        shard.remove(user, Some(session));
        if shard.entries >= self.most_per_shard {
            shard.make_room(elapsed);
        }
        let entry = Entry { principal: principal.clone(), stale_at };
        // Most users have one entry.
        shard.users.entry(user).or_insert_with(|| Vec::with_capacity(1)).push(entry);
        shard.entries += 1;
    }

    /// Evicts a session, and voids the fill tokens of its shard.
    pub(super) fn evict_session(&self, user: UserId, session: SessionId) {
        let mut shard = self.shard(user);
        shard.evictions += 1;
        let removed = shard.remove(user, Some(session));
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

    /// Removes a user's entries, or only that of one session; returns how many.
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
#[path = "session_cache/protocol.rs"]
mod protocol;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Role, RoleRows, RoleSet, RoleTable};
    use crate::clock::Timestamp;
    use crate::session::SessionEpoch;
    use crate::testing::sample;
    use crate::user::{User, UserState};
    use std::sync::Arc;

    const STALENESS: Duration = Duration::from_secs(1);
    const START: Duration = Duration::from_secs(100);

    fn principal() -> Principal {
        principal_at(0)
    }

    /// A principal of a new user with this revision.
    fn principal_at(revision: u64) -> Principal {
        let account = sample::account(&Role::parse("client").expect("a role"));
        let epoch = SessionEpoch::default();
        let state = UserState { user: account.user, epoch, roles_revision: Some(0), revision };
        of(&state, SessionId::generate(Timestamp::from_millis(0)))
    }

    fn state_of(principal: &Principal) -> UserState {
        let user = principal.profile().clone();
        let revision = principal.revisions().user;
        UserState { user, epoch: SessionEpoch::default(), roles_revision: Some(0), revision }
    }

    fn of(state: &UserState, session: SessionId) -> Principal {
        let now = Timestamp::from_millis(0);
        let table = Arc::new(RoleTable::new(RoleRows::default(), &RoleSet::default()));
        Principal::new(0, state.clone(), session, table, 0, now)
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

    fn contains(cache: &SessionCache, principal: &Principal, elapsed: Duration) -> bool {
        let revisions = Revisions::default();
        cache.get(principal.user(), principal.session(), revisions, elapsed).is_some()
    }

    #[test]
    fn entry_is_valid_until_it_is_stale() {
        let (cache, principal) = filled();
        assert!(contains(&cache, &principal, START));
        assert!(contains(&cache, &principal, START + Duration::from_millis(999)));
        assert!(!contains(&cache, &principal, START + STALENESS));
    }

    #[test]
    fn age_counts_from_the_start_of_the_read() {
        let cache = cache_of(STALENESS, 1000);
        let principal = principal();
        let fill_token = cache.begin(principal.user(), START);
        cache.insert(fill_token, &principal, Duration::ZERO, START + Duration::from_millis(900));
        assert!(!contains(&cache, &principal, START + STALENESS));
    }

    #[test]
    fn slow_read_does_not_overwrite_an_eviction() {
        let cache = cache_of(STALENESS, 1000);
        let principal = principal();
        let evictions: [&dyn Fn(); 5] = [
            &|| cache.evict_user(principal.user(), START),
            &|| cache.evict_session(principal.user(), principal.session()),
            &|| cache.evict_principals(principal.user()),
            &|| cache.clear(),
            &|| cache.evict_all(START),
        ];
        for evict in evictions {
            let fill_token = cache.begin(principal.user(), START);
            evict();
            cache.insert(fill_token, &principal, Duration::ZERO, START);
            assert!(!contains(&cache, &principal, START));
        }
    }

    #[test]
    fn eviction_removes_only_the_user_or_the_session() {
        let (cache, ann) = filled();
        let bob = principal();
        cache.insert(cache.begin(bob.user(), START), &bob, Duration::ZERO, START);
        cache.evict_session(ann.user(), bob.session());
        assert!(contains(&cache, &ann, START));
        cache.evict_session(ann.user(), ann.session());
        assert!(!contains(&cache, &ann, START));
        assert!(contains(&cache, &bob, START));
        cache.evict_user(bob.user(), START);
        assert!(!contains(&cache, &bob, START));
    }

    #[test]
    fn entry_from_before_a_token_is_not_returned() {
        let cache = cache_of(STALENESS, 1000);
        let one = principal_at(7);
        let returned = |user, roles| {
            let revisions = Revisions { user, roles };
            cache.get(one.user(), one.session(), revisions, START).is_some()
        };
        cache.insert(cache.begin(one.user(), START), &one, Duration::ZERO, START);
        assert!(returned(0, 0) && returned(7, 0));
        assert!(!returned(8, 0) && !returned(7, 1));
    }

    #[test]
    fn entry_is_not_replaced_by_an_earlier_one_until_it_is_stale() {
        let cache = cache_of(STALENESS, 1000);
        let (early, late) = (principal_at(7), principal_at(8));
        let late =
            of(&UserState { user: early.profile().clone(), ..state_of(&late) }, early.session());
        let revision = |elapsed| {
            let none = Revisions::default();
            let found = cache.get(early.user(), early.session(), none, elapsed);
            found.map(|principal| principal.revisions().user)
        };
        let insert = |principal: &Principal, elapsed| {
            cache.insert(cache.begin(early.user(), elapsed), principal, Duration::ZERO, elapsed);
        };
        insert(&early, START);
        insert(&late, START);
        assert_eq!(revision(START), Some(8));
        insert(&early, START);
        assert_eq!(revision(START), Some(8));
        // As after a restore of the database.
        insert(&early, START + STALENESS);
        assert_eq!(revision(START + STALENESS), Some(7));
    }

    #[test]
    fn entries_are_bounded() {
        let cache = cache_of(STALENESS, 640);
        for _ in 0..5000 {
            let one = principal();
            cache.insert(cache.begin(one.user(), START), &one, Duration::ZERO, START);
        }
        assert!(cache.stats().entries <= 640);
    }

    /// Set in the process that is measured.
    #[cfg(target_os = "linux")]
    const MEASURED: &str = "GOAT_TEST_SESSION_CACHE";

    /// B7: as the documentation of `Settings::cache_entries` states it, measured on a process of its own.
    #[cfg(target_os = "linux")]
    #[test]
    fn memory_of_the_default_number_of_entries_is_bounded() {
        const ENTRIES: usize = 100_000;
        let long = "x".repeat(64);
        let longest = format!("{long}@{}", vec!["d".repeat(62); 3].join("."));
        assert_eq!(longest.len(), 253);
        for (email, role, most) in [("ann@example.org", "client", 60), (&*longest, &*long, 130)] {
            if std::env::var_os(MEASURED).is_some_and(|measured| measured != role) {
                continue;
            }
            if std::env::var_os(MEASURED).is_none() {
                let name = "service::session_cache::tests::memory_of_the_default_number_of_entries_is_bounded";
                let mut command =
                    std::process::Command::new(std::env::current_exe().expect("this"));
                let command = command.args(["--exact", name, "--nocapture"]).env(MEASURED, role);
                let output = command.output().expect("it runs");
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                continue;
            }
            let cache = cache_of(STALENESS, ENTRIES);
            let table = Arc::new(RoleTable::new(RoleRows::default(), &RoleSet::default()));
            let sample = sample::account_of(&Role::parse(role).expect("a role"), email).user;
            let before = resident();
            for number in 0..(ENTRIES + ENTRIES / 4) as u128 {
                // Each entry has allocations of its own.
                let (id, role) = (UserId::from_u128(number), Role::parse(role).expect("a role"));
                let user = User { id, role, ..sample.clone() };
                let epoch = SessionEpoch::default();
                let state = UserState { user, epoch, roles_revision: Some(0), revision: 1 };
                let (session, now) = (SessionId::from_u128(number), sample.created_at);
                let one = Principal::new(0, state, session, Arc::clone(&table), 0, now);
                cache.insert(cache.begin(one.user(), START), &one, Duration::ZERO, START);
            }
            assert!(cache.stats().entries > ENTRIES as u64 * 9 / 10);
            let megabytes = (resident() - before) / 1_000_000;
            assert!(megabytes <= most, "{megabytes} MB with {} bytes of address", email.len());
        }
    }

    /// The resident memory of this process, in bytes.
    #[cfg(target_os = "linux")]
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the size");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
    }

    #[test]
    fn zero_staleness_disables_the_cache() {
        let cache = cache_of(Duration::ZERO, 1000);
        let principal = principal();
        cache.insert(cache.begin(principal.user(), START), &principal, Duration::ZERO, START);
        assert!(!contains(&cache, &principal, START));
    }

    #[test]
    fn disconnected_cache_neither_returns_nor_stores_entries() {
        let lease = Arc::new(Lease::default());
        let cache = SessionCache::new(STALENESS, 1000, Arc::clone(&lease));
        let (early, late) = (principal(), principal());
        let insert = |one: &Principal| {
            cache.insert(cache.begin(one.user(), START), one, Duration::ZERO, START);
        };
        insert(&early);
        assert!(contains(&cache, &early, START));
        lease.end();
        insert(&late);
        assert!(!contains(&cache, &early, START) && !cache.is_enabled(START));
        lease.renew(START + Duration::from_millis(1));
        assert!(contains(&cache, &early, START), "clearing is the listener's task");
        assert!(!contains(&cache, &late, START));
        assert!(!contains(&cache, &early, START + Duration::from_millis(1)), "the lease expires");
    }

    #[test]
    fn entry_from_a_cached_state_is_stale_with_that_state() {
        // Also if the read began before this process did.
        for start in [START, Duration::from_millis(100)] {
            let cache = cache_of(STALENESS, 1000);
            let principal = principal();
            let fill_token = cache.begin(principal.user(), start);
            cache.insert(fill_token, &principal, Duration::from_millis(700), start);
            assert!(contains(&cache, &principal, start + Duration::from_millis(299)));
            assert!(!contains(&cache, &principal, start + Duration::from_millis(300)));
        }
    }

    #[test]
    fn state_from_before_an_eviction_or_older_than_the_staleness_is_not_accepted() {
        let cache = cache_of(STALENESS, 1000);
        let user = principal().user();
        let half = STALENESS / 2;
        let accepts = |elapsed, age| -> bool { cache.begin(user, elapsed).accepts(age) };
        assert!(accepts(START, Duration::ZERO) && accepts(START, half));
        assert!(!accepts(START, STALENESS));
        cache.evict_session(user, SessionId::generate(Timestamp::from_millis(0)));
        cache.evict_principals(user);
        cache.clear();
        assert!(accepts(START, half), "none means that a user's state has changed");
        cache.evict_user(user, START);
        assert!(accepts(START, Duration::ZERO));
        assert!(!accepts(START + half, half), "it may have been read just before the eviction");
        assert!(accepts(START + half, half - Duration::from_millis(1)));
        cache.evict_all(START + STALENESS);
        assert!(!accepts(START + STALENESS + half, half));
    }

    #[test]
    fn tokens_share_a_window_until_an_eviction_or_the_staleness() {
        let cache = cache_of(STALENESS, 1000);
        let user = principal().user();
        let first = cache.begin(user, START).window();
        assert_eq!(first, cache.begin(user, START + Duration::from_millis(999)).window());
        assert_ne!(first, cache.begin(user, START + STALENESS).window());
        cache.evict_user(user, START);
        assert_ne!(first, cache.begin(user, START).window());
    }
}
