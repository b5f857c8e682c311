//! Single-flight: concurrent reads share one, but no caller joins a read that began before its
//! call.

use goat_core::testing::Point;
use tokio::task::JoinSet;

use crate::shared_cache::support::{Deployment, grant};

/// Lets every task progress as far as it can.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_misses_share_one_read() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let node = deployment.node();
    let held = node.database.hold("users.state", Point::Return);
    let first = node.spawn_revision(user);
    held.reached().await;
    let mut others = JoinSet::new();
    for _ in 0..50 {
        let node = node.clone();
        others.spawn(async move { node.revision(user).await });
    }
    settle().await;
    assert_eq!(node.state_reads(), 1);
    held.release();
    assert_eq!(first.await.expect("no panic"), 1);
    assert_eq!(others.join_all().await, [1; 50]);
    assert_eq!(node.state_reads(), 0, "the first filled the cache");
}

/// Without the cache, all callers that arrive during a read share the next one.
#[tokio::test(start_paused = true)]
async fn concurrent_misses_share_one_read_while_the_cache_is_down() {
    let deployment = Deployment::new();
    deployment.cache.fail_all();
    let node = deployment.node();
    let held = node.database.hold("roles.load", Point::Return);
    let first = tokio::spawn({
        let node = node.clone();
        async move { node.cached_rows().await }
    });
    held.reached().await;
    let mut others = JoinSet::new();
    for _ in 0..50 {
        let node = node.clone();
        others.spawn(async move { node.cached_rows().await.value.revision });
    }
    settle().await;
    grant(&deployment.database).await.expect("granted elsewhere");
    held.release();
    assert_eq!(first.await.expect("no panic").value.revision, 0);
    assert_eq!(others.join_all().await, [1; 50]);
    assert_eq!(node.database.take_calls(), ["roles.load"; 2]);
}

/// A caller that arrives after a write has returned does not join a read that began before it.
#[tokio::test(start_paused = true)]
async fn no_caller_joins_a_read_that_began_earlier() {
    for is_down in [false, true] {
        let deployment = Deployment::new();
        let user = deployment.user().await;
        let node = deployment.node();
        if is_down {
            deployment.cache.fail_all();
        }
        let held = node.database.hold("users.state", Point::Return);
        let first = node.spawn_revision(user);
        held.reached().await;
        node.touch(user).await.expect("written");
        let second = node.spawn_revision(user);
        settle().await;
        held.release();
        assert_eq!(first.await.expect("no panic"), 1);
        assert_eq!(second.await.expect("no panic"), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn reads_of_different_users_are_independent() {
    let deployment = Deployment::new();
    let (ann, bob) = (deployment.user().await, deployment.user().await);
    let node = deployment.node();
    let held = node.database.hold("users.state", Point::Return);
    let slow = node.spawn_revision(ann);
    held.reached().await;
    assert_eq!(node.revision(bob).await, 1);
    held.release();
    slow.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_reader_does_not_block_others() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let node = deployment.node();
    let held = node.database.hold("users.state", Point::Return);
    let first = node.spawn_revision(user);
    held.reached().await;
    let second = node.spawn_revision(user);
    settle().await;
    first.abort();
    assert_eq!(second.await.expect("no panic"), 1);
    drop(held);
}
