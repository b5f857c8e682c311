//! Guarantees of the `SharedCache` port: in memory, Redis, and Redis Cluster.

use std::sync::Arc;
use std::time::Duration;

use goat_core::store::shared_cache::{CacheEntry, CacheKey, ServerTime, SharedCache};
use goat_core::testing::ManualClock;

use crate::shared_cache::support::{MemoryCache, account};

/// Long enough that nothing expires, even on a busy machine.
const LONG: Duration = Duration::from_secs(3600);
/// The test waits for it by [`TestCache::wait`].
const SHORT: Duration = Duration::from_secs(600);

/// A cache, and how its time advances.
struct TestCache {
    cache: Arc<dyn SharedCache>,
    advance: Box<dyn Fn(Duration)>,
}

impl TestCache {
    fn memory() -> Self {
        let clock = ManualClock::default();
        clock.advance(LONG * 2);
        let cache = Arc::new(MemoryCache::new(clock.clone()));
        Self { cache, advance: Box::new(move |time| clock.advance(time)) }
    }

    /// A cache in Redis. Its keys expire sooner instead of time passing.
    #[cfg(feature = "redis")]
    fn redis(
        redis: &goat_core::store::redis::RedisDatabase,
        prefix: String,
        servers: Vec<&'static goat_engines::Redis>,
    ) -> Self {
        let advance = move |time: Duration| {
            for server in &servers {
                for key in server.cli(&["KEYS", &format!("{prefix}:*")]).lines() {
                    let left: i128 = server.cli(&["PTTL", key]).parse().expect("a number");
                    let left = left - i128::try_from(time.as_millis()).expect("a short time");
                    assert_eq!(server.cli(&["PEXPIRE", key, &left.to_string()]), "1");
                }
            }
        };
        Self { cache: redis.shared_cache(), advance: Box::new(advance) }
    }

    fn wait(&self, time: Duration) {
        (self.advance)(time);
    }

    async fn now(&self) -> ServerTime {
        self.cache.get(key()).await.expect("a reply").now
    }

    async fn put(&self, key: CacheKey, entry: &CacheEntry, ttl: Duration) -> bool {
        self.cache.put(key, entry, ttl).await.expect("a reply")
    }

    async fn invalidate_below(&self, key: CacheKey, revision: u64, ttl: Duration) {
        self.cache.invalidate_below(key, revision, ttl).await.expect("a reply");
    }

    async fn get(&self, key: CacheKey) -> Option<CacheEntry> {
        self.cache.get(key).await.expect("a reply").entry
    }
}

/// A unique key.
fn key() -> CacheKey {
    CacheKey::User(account().user.id)
}

fn entry(revision: u64, read_at: ServerTime) -> CacheEntry {
    CacheEntry { revision, read_at, value: format!("of {revision} at {}", read_at.0) }
}

fn earlier(time: ServerTime, by: Duration) -> ServerTime {
    ServerTime(time.0 - u64::try_from(by.as_millis()).expect("a short time"))
}

/// An entry is returned unchanged, under its key only.
async fn an_entry_is_returned_unchanged(cache: TestCache) {
    let now = cache.now().await;
    let (ann, bob) = (key(), key());
    assert_eq!(cache.get(ann).await, None);
    let value = "1 a\n\u{0}\u{10ffff} '\"".to_owned();
    let first = CacheEntry { revision: u64::from(u32::MAX) * 4, read_at: now, value };
    assert!(cache.put(ann, &first, LONG).await);
    assert_eq!(cache.get(ann).await, Some(first.clone()));
    assert_eq!(cache.get(bob).await, None);
    let empty = CacheEntry { revision: 1, read_at: now, value: String::new() };
    cache.invalidate_below(CacheKey::Roles, 1, LONG).await;
    assert_eq!(cache.get(CacheKey::Roles).await, None);
    assert!(cache.put(CacheKey::Roles, &empty, LONG).await);
    assert_eq!(cache.get(CacheKey::Roles).await, Some(empty));
    assert_eq!(cache.get(ann).await, Some(first));
    assert!(cache.now().await >= now);
}

/// A higher revision wins; for equal revisions, the later read.
async fn only_newer_entries_are_stored(cache: TestCache) {
    let (key, now) = (key(), cache.now().await);
    let before = earlier(now, SHORT);
    assert!(cache.put(key, &entry(9, before), LONG).await);
    for refused in [entry(9, before), entry(9, earlier(before, SHORT)), entry(8, now)] {
        assert!(!cache.put(key, &refused, LONG).await, "{refused:?}");
        assert_eq!(cache.get(key).await, Some(entry(9, before)));
    }
    // Revisions compare as numbers, not as texts.
    for accepted in [entry(9, now), entry(10, before), entry(10, now), entry(11, before)] {
        assert!(cache.put(key, &accepted, LONG).await, "{accepted:?}");
        assert_eq!(cache.get(key).await, Some(accepted));
    }
}

/// An invalidation removes lower revisions and rejects them; equal and higher ones stay.
async fn an_invalidation_removes_and_rejects_lower_revisions(cache: TestCache) {
    let (key, now) = (key(), cache.now().await);
    cache.put(key, &entry(2, now), LONG).await;
    for lower in 0..3 {
        cache.invalidate_below(key, lower, LONG).await;
        assert_eq!(cache.get(key).await, Some(entry(2, now)));
    }
    cache.invalidate_below(key, 10, LONG).await;
    assert_eq!(cache.get(key).await, None);
    cache.invalidate_below(key, 3, LONG).await;
    let later = ServerTime(now.0 + 1);
    for refused in [entry(2, later), entry(9, later)] {
        assert!(!cache.put(key, &refused, LONG).await, "{refused:?}");
        assert_eq!(cache.get(key).await, None);
    }
    assert!(cache.put(key, &entry(10, now), LONG).await);
    cache.invalidate_below(key, 10, LONG).await;
    assert_eq!(cache.get(key).await, Some(entry(10, now)));
}

/// The TTL counts from the read, not from the put.
async fn expired_entries_are_not_stored(cache: TestCache) {
    let (key, now) = (key(), cache.now().await);
    let read_at = earlier(now, LONG);
    assert!(!cache.put(key, &entry(2, read_at), LONG).await);
    assert_eq!(cache.get(key).await, None);
    // It does not prevent another entry.
    assert!(cache.put(key, &entry(1, read_at), LONG + LONG).await);
    assert_eq!(cache.get(key).await, Some(entry(1, read_at)));
}

/// Entries and invalidations expire.
async fn entries_and_invalidations_expire(cache: TestCache) {
    let (ann, bob, now) = (key(), key(), cache.now().await);
    let read_at = earlier(now, LONG);
    assert!(cache.put(ann, &entry(5, read_at), LONG + SHORT).await);
    cache.invalidate_below(bob, 5, SHORT).await;
    cache.wait(SHORT * 2);
    assert_eq!(cache.get(ann).await, None);
    for key in [ann, bob] {
        assert!(cache.put(key, &entry(1, now), LONG).await);
    }
}

/// A revision is known for the longest TTL of all calls, also if the entry was replaced by one that
/// expires earlier.
async fn a_later_call_does_not_shorten_an_earlier_ttl(cache: TestCache) {
    let (ann, bob, eve) = (key(), key(), key());
    let now = cache.now().await;
    let read_at = earlier(now, LONG);
    for key in [ann, bob, eve] {
        cache.invalidate_below(key, 5, LONG).await;
    }
    assert!(cache.put(ann, &entry(5, read_at), LONG + SHORT).await);
    assert!(cache.put(bob, &entry(6, read_at), LONG + SHORT).await);
    cache.invalidate_below(eve, 6, SHORT).await;
    cache.wait(SHORT * 2);
    for (key, known) in [(ann, 5), (bob, 6), (eve, 6)] {
        assert!(!cache.put(key, &entry(known - 1, now), LONG).await, "{known}");
        assert!(cache.put(key, &entry(known, now), LONG).await, "{known}");
    }
}

macro_rules! on_every_cache {
    ($($guarantee:ident),* $(,)?) => {
        mod memory {
            $(
                #[tokio::test]
                async fn $guarantee() {
                    super::$guarantee(super::TestCache::memory()).await;
                }
            )*
        }
        #[cfg(feature = "redis")]
        mod redis {
            $(
                #[tokio::test]
                async fn $guarantee() {
                    let prefix = goat_engines::Redis::prefix();
                    let server = goat_engines::Redis::shared();
                    let redis = crate::shared_cache::engines::open(&server.url(), &prefix);
                    super::$guarantee(super::TestCache::redis(&redis, prefix, vec![server])).await;
                }
            )*
        }
        #[cfg(feature = "redis")]
        mod redis_cluster {
            $(
                #[tokio::test]
                async fn $guarantee() {
                    let prefix = goat_engines::Redis::prefix();
                    let cluster = goat_engines::RedisCluster::shared();
                    let urls = cluster.urls().join(",");
                    let redis = crate::shared_cache::engines::open(&urls, &prefix);
                    let servers = cluster.nodes().iter().collect();
                    super::$guarantee(super::TestCache::redis(&redis, prefix, servers)).await;
                }
            )*
        }
    };
}

on_every_cache![
    an_entry_is_returned_unchanged,
    only_newer_entries_are_stored,
    an_invalidation_removes_and_rejects_lower_revisions,
    expired_entries_are_not_stored,
    entries_and_invalidations_expire,
    a_later_call_does_not_shorten_an_earlier_ttl,
];
