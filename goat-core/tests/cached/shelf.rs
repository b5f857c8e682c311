//! What every shelf promises: the one in memory, Redis, and Redis Cluster.

use std::sync::Arc;
use std::time::Duration;

use goat_core::store::shared_cache::{CacheEntry, CacheKey, ServerTime, SharedCache};
use goat_core::testing::ManualClock;

use crate::support::{MemoryShelf, account};

/// Long enough that nothing ends by itself.
const LONG: Duration = Duration::from_secs(60);
/// Short enough that a test waits for its end, and longer than a busy server needs for an answer.
const SHORT: Duration = Duration::from_millis(800);

/// A shelf, and the time that it goes by.
struct Place {
    shelf: Arc<dyn SharedCache>,
    clock: Option<ManualClock>,
}

impl Place {
    fn memory() -> Self {
        let clock = ManualClock::default();
        clock.advance(LONG * 2);
        Self { shelf: Arc::new(MemoryShelf::new(clock.clone())), clock: Some(clock) }
    }

    async fn wait(&self, time: Duration) {
        match &self.clock {
            Some(clock) => clock.advance(time),
            None => tokio::time::sleep(time).await,
        }
    }

    async fn now(&self) -> ServerTime {
        self.shelf.get(key()).await.expect("it answers").now
    }

    async fn put(&self, key: CacheKey, entry: &CacheEntry, life: Duration) -> bool {
        self.shelf.put(key, entry, life).await.expect("it answers")
    }

    async fn raise(&self, key: CacheKey, revision: u64, life: Duration) {
        self.shelf.invalidate_below(key, revision, life).await.expect("it answers");
    }

    async fn lies(&self, key: CacheKey) -> Option<CacheEntry> {
        self.shelf.get(key).await.expect("it answers").entry
    }
}

/// A key that nobody else uses.
fn key() -> CacheKey {
    CacheKey::User(account().user.id)
}

fn entry(revision: u64, read_at: ServerTime) -> CacheEntry {
    CacheEntry { revision, read_at, value: format!("of {revision} at {}", read_at.0) }
}

fn earlier(stamp: ServerTime, by: Duration) -> ServerTime {
    ServerTime(stamp.0 - u64::try_from(by.as_millis()).expect("a short time"))
}

/// What is laid down lies there and nowhere else, to the letter.
async fn what_is_laid_down_lies_there(place: Place) {
    let now = place.now().await;
    let (ann, bob) = (key(), key());
    assert_eq!(place.lies(ann).await, None);
    let value = "1 a\n\u{0}\u{10ffff} '\"".to_owned();
    let first = CacheEntry { revision: u64::from(u32::MAX) * 4, read_at: now, value };
    assert!(place.put(ann, &first, LONG).await);
    assert_eq!(place.lies(ann).await, Some(first.clone()));
    assert_eq!(place.lies(bob).await, None);
    let empty = CacheEntry { revision: 1, read_at: now, value: String::new() };
    place.raise(CacheKey::Roles, 1, LONG).await;
    assert_eq!(place.lies(CacheKey::Roles).await, None);
    assert!(place.put(CacheKey::Roles, &empty, LONG).await);
    assert_eq!(place.lies(CacheKey::Roles).await, Some(empty));
    assert_eq!(place.lies(ann).await, Some(first));
    assert!(place.now().await >= now);
}

/// A higher revision wins, and of one revision the entry that was read last.
async fn only_what_is_newer_is_laid_down(place: Place) {
    let (key, now) = (key(), place.now().await);
    let before = earlier(now, SHORT);
    assert!(place.put(key, &entry(9, before), LONG).await);
    for refused in [entry(9, before), entry(9, earlier(before, SHORT)), entry(8, now)] {
        assert!(!place.put(key, &refused, LONG).await, "{refused:?}");
        assert_eq!(place.lies(key).await, Some(entry(9, before)));
    }
    // Ten comes after nine, as numbers do and texts do not.
    for accepted in [entry(9, now), entry(10, before), entry(10, now), entry(11, before)] {
        assert!(place.put(key, &accepted, LONG).await, "{accepted:?}");
        assert_eq!(place.lies(key).await, Some(accepted));
    }
}

/// A raise removes what is lower and keeps it away; what is as high or higher stays.
async fn a_raise_takes_what_is_lower_and_keeps_it_away(place: Place) {
    let (key, now) = (key(), place.now().await);
    place.put(key, &entry(2, now), LONG).await;
    for lower in 0..3 {
        place.raise(key, lower, LONG).await;
        assert_eq!(place.lies(key).await, Some(entry(2, now)));
    }
    place.raise(key, 10, LONG).await;
    assert_eq!(place.lies(key).await, None);
    place.raise(key, 3, LONG).await;
    let later = ServerTime(now.0 + 1);
    for refused in [entry(2, later), entry(9, later)] {
        assert!(!place.put(key, &refused, LONG).await, "{refused:?}");
        assert_eq!(place.lies(key).await, None);
    }
    assert!(place.put(key, &entry(10, now), LONG).await);
    place.raise(key, 10, LONG).await;
    assert_eq!(place.lies(key).await, Some(entry(10, now)));
}

/// Life counts from the read, not from the arrival.
async fn what_is_too_old_is_not_laid_down(place: Place) {
    let (key, now) = (key(), place.now().await);
    let read_at = earlier(now, LONG);
    assert!(!place.put(key, &entry(2, read_at), LONG).await);
    assert_eq!(place.lies(key).await, None);
    // It is no reason to refuse another.
    assert!(place.put(key, &entry(1, read_at), LONG + LONG).await);
    assert_eq!(place.lies(key).await, Some(entry(1, read_at)));
}

/// When the life of an entry and of a raise is over, nothing is known.
async fn what_is_over_is_forgotten(place: Place) {
    let (ann, bob, now) = (key(), key(), place.now().await);
    let read_at = earlier(now, LONG);
    assert!(place.put(ann, &entry(5, read_at), LONG + SHORT).await);
    place.raise(bob, 5, SHORT).await;
    place.wait(SHORT * 2).await;
    assert_eq!(place.lies(ann).await, None);
    for key in [ann, bob] {
        assert!(place.put(key, &entry(1, now), LONG).await);
    }
}

/// A revision is known as long as any call asked for, also if what lay there was replaced by
/// something that is over earlier.
async fn a_later_call_never_shortens_what_an_earlier_asked_for(place: Place) {
    let (ann, bob, eve) = (key(), key(), key());
    let now = place.now().await;
    let read_at = earlier(now, LONG);
    for key in [ann, bob, eve] {
        place.raise(key, 5, LONG).await;
    }
    assert!(place.put(ann, &entry(5, read_at), LONG + SHORT).await);
    assert!(place.put(bob, &entry(6, read_at), LONG + SHORT).await);
    place.raise(eve, 6, SHORT).await;
    place.wait(SHORT * 2).await;
    for (key, known) in [(ann, 5), (bob, 6), (eve, 6)] {
        assert!(!place.put(key, &entry(known - 1, now), LONG).await, "{known}");
        assert!(place.put(key, &entry(known, now), LONG).await, "{known}");
    }
}

macro_rules! on_every_shelf {
    ($($promise:ident),* $(,)?) => {
        mod memory {
            $(
                #[tokio::test]
                async fn $promise() {
                    super::$promise(super::Place::memory()).await;
                }
            )*
        }
        #[cfg(feature = "redis")]
        mod redis {
            $(
                #[tokio::test]
                async fn $promise() {
                    let shelf = crate::engines::redis().shared_cache();
                    super::$promise(super::Place { shelf, clock: None }).await;
                }
            )*
        }
        #[cfg(feature = "redis")]
        mod redis_cluster {
            $(
                #[tokio::test]
                async fn $promise() {
                    let shelf = crate::engines::cluster().shared_cache();
                    super::$promise(super::Place { shelf, clock: None }).await;
                }
            )*
        }
    };
}

on_every_shelf![
    what_is_laid_down_lies_there,
    only_what_is_newer_is_laid_down,
    a_raise_takes_what_is_lower_and_keeps_it_away,
    what_is_too_old_is_not_laid_down,
    what_is_over_is_forgotten,
    a_later_call_never_shortens_what_an_earlier_asked_for,
];
