//! What is read once is known to all nodes, for as long as it may be.

use std::time::Duration;

use goat_core::Stores;
use goat_core::store::shared_cache::{
    CacheEntry, CacheKey, ServerTime, SharedCache as _, SharedCacheCounts,
};
use goat_core::testing::Point;

use crate::support::{Ground, MOMENT, STALENESS, grant};

#[tokio::test(start_paused = true)]
async fn what_one_node_read_the_others_do_not_read() {
    let ground = Ground::new();
    let user = ground.user().await;
    let (one, other) = (ground.node(), ground.node());
    let read = one.cached_state(user).await;
    assert_eq!((one.state_reads(), read.age), (1, Duration::ZERO));

    ground.clock.advance(Duration::from_millis(300));
    let remembered = other.cached_state(user).await;
    assert_eq!(other.state_reads(), 0);
    assert_eq!(remembered.value, read.value);
    assert_eq!(remembered.age, Duration::from_millis(300) + MOMENT, "never younger than it is");
    assert_eq!(one.cache.users(), SharedCacheCounts { hits: 0, misses: 1, failures: 0 });
    assert_eq!(other.cache.users(), SharedCacheCounts { hits: 1, misses: 0, failures: 0 });
}

#[tokio::test(start_paused = true)]
async fn what_roles_may_do_is_read_once_too() {
    let ground = Ground::new();
    let (one, other) = (ground.node(), ground.node());
    grant(&one.stores).await.expect("granted");
    let rows = one.recent_rows().await.value;
    assert_eq!(rows.revision, 1);
    let _reads = other.database.take_calls();
    let remembered = other.recent_rows().await;
    assert_eq!((remembered.value, remembered.age), (rows, MOMENT));
    assert!(other.database.take_calls().is_empty());
    assert_eq!(other.cache.roles(), SharedCacheCounts { hits: 1, misses: 0, failures: 0 });

    assert_eq!(grant(&other.stores).await.expect("granted"), 2);
    assert_eq!(one.recent_rows().await.value.revision, 2);
}

#[tokio::test(start_paused = true)]
async fn its_age_counts_from_the_beginning_of_the_read() {
    let ground = Ground::new();
    let user = ground.user().await;
    let (slow, other) = (ground.node(), ground.node());
    let held = slow.database.hold("users.state", Point::Entry);
    let reading = slow.seeing(user);
    held.reached().await;
    ground.clock.advance(Duration::from_millis(600));
    held.release();
    reading.await.expect("no panic");

    assert_eq!(other.cached_state(user).await.age, Duration::from_millis(600) + MOMENT);
    ground.clock.advance(Duration::from_millis(398));
    assert_eq!(other.cached_state(user).await.age, STALENESS - MOMENT);
    assert_eq!(other.state_reads(), 0);
    ground.clock.advance(MOMENT);
    assert_eq!(other.cached_state(user).await.age, Duration::ZERO);
    assert_eq!(other.state_reads(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_took_longer_than_the_staleness_is_not_laid_down() {
    let ground = Ground::new();
    let user = ground.user().await;
    let slow = ground.node();
    let held = slow.database.hold("users.state", Point::Return);
    let reading = slow.seeing(user);
    held.reached().await;
    ground.clock.advance(STALENESS);
    held.release();
    reading.await.expect("no panic");
    assert_eq!(ground.on_the_shelf(CacheKey::User(user)).await, None);
}

/// The way back from the shelf makes what it says older.
#[tokio::test(start_paused = true)]
async fn an_answer_that_was_long_on_its_way_is_so_much_older() {
    let ground = Ground::new();
    let user = ground.user().await;
    let (one, other) = (ground.node(), ground.node());
    one.sees(user).await;
    for (way, reads) in [(Duration::from_millis(400), 0), (STALENESS - MOMENT, 1)] {
        let held = ground.shelf.hold("get", Point::Return);
        let asking = tokio::spawn({
            let other = other.clone();
            async move { other.cached_state(user).await.age }
        });
        held.reached().await;
        ground.clock.advance(way);
        held.release();
        let age = asking.await.expect("no panic");
        assert_eq!(other.state_reads(), reads);
        assert_eq!(age, if reads == 0 { way + MOMENT } else { Duration::ZERO });
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_who_is_not_there_is_asked_of_the_database_each_time() {
    let ground = Ground::new();
    let (node, nobody) = (ground.node(), crate::support::account().user.id);
    for _ in 0..2 {
        let recent = node.cached_state(nobody).await;
        assert_eq!((recent.value, recent.age), (None, Duration::ZERO));
        assert_eq!(node.state_reads(), 1);
    }
}

/// What nobody counts could never be told from something newer.
#[tokio::test(start_paused = true)]
async fn what_has_no_revision_is_not_laid_down() {
    let ground = Ground::new();
    let node = ground.node();
    assert_eq!(node.recent_rows().await.value.revision, 0);
    assert_eq!(ground.on_the_shelf(CacheKey::Roles).await, None);
    assert_eq!(ground.shelf.take_calls(), ["get"]);
}

#[tokio::test(start_paused = true)]
async fn without_staleness_the_shelf_is_never_asked() {
    let ground = Ground::new();
    let user = ground.user().await;
    let node = ground.node_over(ground.database.clone(), Duration::ZERO);
    node.sees(user).await;
    node.touch(user).await.expect("written");
    grant(&node.stores).await.expect("granted");
    node.recent_rows().await;
    assert!(ground.shelf.take_calls().is_empty());
    assert_eq!(node.cache.users(), SharedCacheCounts::default());
    assert_eq!(node.cache.roles(), SharedCacheCounts::default());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_passed_over_and_replaced() {
    let ground = Ground::new();
    let user = ground.user().await;
    let (node, key) = (ground.node(), CacheKey::User(user));
    for value in ["", "2 client active 0 - -", "1 client active 0 -", "\u{0}", "null"] {
        let spoilt = CacheEntry { revision: 1, read_at: ServerTime(0), value: value.to_owned() };
        ground.shelf.invalidate_below(key, 1, STALENESS).await.expect("raised");
        ground.clock.advance(STALENESS);
        let read_at = ServerTime(ground.shelf.get(key).await.expect("looked").now.0);
        let spoilt = CacheEntry { read_at, ..spoilt };
        assert!(ground.shelf.put(key, &spoilt, STALENESS).await.expect("put"), "{value:?}");
        ground.clock.advance(MOMENT);

        let before = node.cache.users();
        assert_eq!(node.sees(user).await, 1);
        let after = node.cache.users();
        assert_eq!((after.misses, after.failures), (before.misses + 1, before.failures + 1));
        assert_eq!(node.state_reads(), 1);
        assert_eq!(node.sees(user).await, 1);
        assert_eq!((node.state_reads(), node.cache.users().hits), (0, before.hits + 1));
    }
}

/// A shelf whose clock was set back makes nothing younger.
#[tokio::test(start_paused = true)]
async fn what_was_read_in_the_future_is_passed_over() {
    let ground = Ground::new();
    let user = ground.user().await;
    let (node, key) = (ground.node(), CacheKey::User(user));
    let value = "1 client active 9 - -".to_owned();
    let entry = CacheEntry { revision: 1, read_at: ServerTime(1), value };
    assert!(ground.shelf.put(key, &entry, STALENESS).await.expect("put"));
    assert_eq!(node.cached_state(user).await.value.expect("the user").epoch.number, 0);
}

/// Everything that is not asked for a recent state goes to the database as it is.
#[tokio::test(start_paused = true)]
async fn a_fresh_state_is_never_a_remembered_one() {
    let ground = Ground::new();
    let user = ground.user().await;
    let node = ground.node();
    node.sees(user).await;
    crate::support::touch(&ground.database, user).await.expect("written behind its back");
    let Stores { users, .. } = &node.stores;
    assert_eq!(users.state(user).await.expect("read").expect("the user").revision, 2);
    assert_eq!(users.by_id(user).await.expect("read").expect("the user").revision, 2);
    assert_eq!(node.sees(user).await, 1, "this one may be old");
}
