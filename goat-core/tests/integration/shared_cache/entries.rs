//! Cached values are shared by all nodes, within the staleness.

use std::time::Duration;

use goat_core::Stores;
use goat_core::store::shared_cache::{
    CacheKey, ServerTime, SharedCache as _, SharedCacheCounts, sealed_entry,
};
use goat_core::testing::Point;

use crate::flows::captured_log::Lines;
use crate::shared_cache::support::{
    Deployment, MOMENT, STALENESS, grant, keys, keys_of, state_text,
};

#[tokio::test(start_paused = true)]
async fn a_state_is_read_once_for_all_nodes() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let (one, other) = (deployment.node(), deployment.node());
    let read = one.cached_state(user).await;
    assert_eq!((one.state_reads(), read.age), (1, Duration::ZERO));

    deployment.clock.advance(Duration::from_millis(300));
    let cached = other.cached_state(user).await;
    assert_eq!(other.state_reads(), 0);
    assert_eq!(cached.value, read.value);
    assert_eq!(cached.age, Duration::from_millis(300) + MOMENT, "rounded up");
    assert_eq!(one.cache.users(), SharedCacheCounts { hits: 0, misses: 1, failures: 0 });
    assert_eq!(other.cache.users(), SharedCacheCounts { hits: 1, misses: 0, failures: 0 });
}

#[tokio::test(start_paused = true)]
async fn role_rows_are_read_once_for_all_nodes() {
    let deployment = Deployment::new();
    let (one, other) = (deployment.node(), deployment.node());
    grant(&one.stores).await.expect("granted");
    let rows = one.cached_rows().await.value;
    assert_eq!(rows.revision, 1);
    let _reads = other.database.take_calls();
    let cached = other.cached_rows().await;
    assert_eq!((cached.value, cached.age), (rows, MOMENT));
    assert!(other.database.take_calls().is_empty());
    assert_eq!(other.cache.roles(), SharedCacheCounts { hits: 1, misses: 0, failures: 0 });

    assert_eq!(grant(&other.stores).await.expect("granted"), 2);
    assert_eq!(one.cached_rows().await.value.revision, 2);
}

#[tokio::test(start_paused = true)]
async fn the_age_counts_from_the_start_of_the_read() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let (slow, other) = (deployment.node(), deployment.node());
    let held = slow.database.hold("users.state", Point::Entry);
    let reading = slow.spawn_revision(user);
    held.reached().await;
    deployment.clock.advance(Duration::from_millis(600));
    held.release();
    reading.await.expect("no panic");

    assert_eq!(other.cached_state(user).await.age, Duration::from_millis(600) + MOMENT);
    deployment.clock.advance(Duration::from_millis(398));
    assert_eq!(other.cached_state(user).await.age, STALENESS - MOMENT);
    assert_eq!(other.state_reads(), 0);
    deployment.clock.advance(MOMENT);
    assert_eq!(other.cached_state(user).await.age, Duration::ZERO);
    assert_eq!(other.state_reads(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_read_longer_than_the_staleness_is_not_cached() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let slow = deployment.node();
    let held = slow.database.hold("users.state", Point::Return);
    let reading = slow.spawn_revision(user);
    held.reached().await;
    deployment.clock.advance(STALENESS);
    held.release();
    reading.await.expect("no panic");
    assert_eq!(deployment.entry(CacheKey::User(user)).await, None);
}

/// The time of the reply adds to the age.
#[tokio::test(start_paused = true)]
async fn the_time_of_the_reply_adds_to_the_age() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let (one, other) = (deployment.node(), deployment.node());
    one.revision(user).await;
    for (delay, reads) in [(Duration::from_millis(400), 0), (STALENESS - MOMENT, 1)] {
        let held = deployment.cache.hold("get", Point::Return);
        let asking = tokio::spawn({
            let other = other.clone();
            async move { other.cached_state(user).await.age }
        });
        held.reached().await;
        deployment.clock.advance(delay);
        held.release();
        let age = asking.await.expect("no panic");
        assert_eq!(other.state_reads(), reads);
        assert_eq!(age, if reads == 0 { delay + MOMENT } else { Duration::ZERO });
    }
}

#[tokio::test(start_paused = true)]
async fn missing_users_are_not_cached() {
    let deployment = Deployment::new();
    let (node, missing) = (deployment.node(), crate::shared_cache::support::account().user.id);
    for _ in 0..2 {
        let cached = node.cached_state(missing).await;
        assert_eq!((cached.value, cached.age), (None, Duration::ZERO));
        assert_eq!(node.state_reads(), 1);
    }
}

/// An entry without a revision could not be ordered.
#[tokio::test(start_paused = true)]
async fn rows_without_a_revision_are_not_cached() {
    let deployment = Deployment::new();
    let node = deployment.node();
    assert_eq!(node.cached_rows().await.value.revision, 0);
    assert_eq!(deployment.entry(CacheKey::Roles).await, None);
    assert_eq!(deployment.cache.take_calls(), ["get"]);
}

#[tokio::test(start_paused = true)]
async fn without_staleness_the_cache_is_not_used() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let node = deployment.node_over(deployment.database.clone(), Duration::ZERO);
    node.revision(user).await;
    node.touch(user).await.expect("written");
    grant(&node.stores).await.expect("granted");
    node.cached_rows().await;
    assert!(deployment.cache.take_calls().is_empty());
    assert_eq!(node.cache.users(), SharedCacheCounts::default());
    assert_eq!(node.cache.roles(), SharedCacheCounts::default());
}

#[tokio::test(start_paused = true)]
async fn unreadable_entries_are_ignored_and_replaced() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let (node, key) = (deployment.node(), CacheKey::User(user));
    let name = deployment.cache.name(key);
    let cut = state_text("client", 0).replace(" aa", " a");
    for text in ["", "1 client active 0 - -", &cut, "\u{0}", "null"] {
        deployment.cache.invalidate_below(key, 1, STALENESS).await.expect("invalidated");
        deployment.clock.advance(STALENESS);
        let read_at = ServerTime(deployment.cache.get(key).await.expect("a reply").now.0);
        let invalid = sealed_entry(&keys(), &name, 1, read_at, text);
        assert!(deployment.cache.put(key, &invalid, STALENESS).await.expect("put"), "{text:?}");
        deployment.clock.advance(MOMENT);

        let before = node.cache.users();
        assert_eq!(node.revision(user).await, 1);
        let after = node.cache.users();
        assert_eq!((after.misses, after.failures), (before.misses + 1, before.failures + 1));
        assert_eq!(node.state_reads(), 1);
        assert_eq!(node.revision(user).await, 1);
        assert_eq!((node.state_reads(), node.cache.users().hits), (0, before.hits + 1));
    }
}

/// S1: logged once, as the writer may repeat it.
#[tokio::test(start_paused = true)]
async fn entries_with_a_wrong_mac_are_ignored_and_logged_once() {
    let lines = Lines::begin();
    let deployment = Deployment::new();
    let (user, node) = (deployment.user().await, deployment.node());
    let key = CacheKey::User(user);
    let other = keys_of(&["another secret of more than thirty-two bytes"]);
    let name = deployment.cache.name(key);
    for number in 0..3 {
        deployment.clock.advance(MOMENT);
        let now = deployment.cache.get(key).await.expect("a reply").now;
        let forged = sealed_entry(&other, &name, 1, now, &state_text("admin", 0));
        assert!(deployment.cache.put(key, &forged, STALENESS).await.expect("put"));
        let state = node.cached_state(user).await.value.expect("the user");
        assert_eq!(state.user.role.as_str(), "client");
        assert_eq!(node.cache.users().failures, 2 * number + 1);
        // The time of the forged entry keeps the node's own one out.
        deployment.clock.advance(MOMENT);
        assert_eq!(node.revision(user).await, 1);
        deployment.clock.advance(MOMENT);
    }
    let warnings = lines.take_warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("wrong MAC"), "{warnings:?}");
}

/// A cache whose clock was set back does not make entries younger.
#[tokio::test(start_paused = true)]
async fn entries_from_the_future_are_ignored() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let (node, key) = (deployment.node(), CacheKey::User(user));
    let (name, text) = (deployment.cache.name(key), state_text("client", 9));
    let entry = sealed_entry(&keys(), &name, 1, ServerTime(1), &text);
    assert!(deployment.cache.put(key, &entry, STALENESS).await.expect("put"));
    assert_eq!(node.cached_state(user).await.value.expect("the user").epoch.number, 0);
}

/// Other reads go directly to the database.
#[tokio::test(start_paused = true)]
async fn a_fresh_read_is_never_cached() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let node = deployment.node();
    node.revision(user).await;
    crate::shared_cache::support::touch(&deployment.database, user)
        .await
        .expect("written without the cache");
    let Stores { users, .. } = &node.stores;
    assert_eq!(users.state(user).await.expect("read").expect("the user").revision, 2);
    assert_eq!(users.by_id(user).await.expect("read").expect("the user").revision, 2);
    assert_eq!(node.revision(user).await, 1, "a cached read may be stale");
}
