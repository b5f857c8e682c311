//! Reads of one thing at once become one, and none takes part in a read that began too early.

use goat_core::testing::Point;
use tokio::task::JoinSet;

use crate::support::{Ground, grant};

/// Lets every task come as far as it can.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn misses_at_once_are_one_read() {
    let ground = Ground::new();
    let user = ground.user().await;
    let node = ground.node();
    let held = node.database.hold("users.state", Point::Return);
    let first = node.seeing(user);
    held.reached().await;
    let mut others = JoinSet::new();
    for _ in 0..50 {
        let node = node.clone();
        others.spawn(async move { node.sees(user).await });
    }
    settle().await;
    assert_eq!(node.state_reads(), 1);
    held.release();
    assert_eq!(first.await.expect("no panic"), 1);
    assert_eq!(others.join_all().await, [1; 50]);
    assert_eq!(node.state_reads(), 0, "the first laid it down for them");
}

/// Without the shelf there is one read for all that came while the first was on its way.
#[tokio::test(start_paused = true)]
async fn misses_at_once_are_one_read_also_while_the_shelf_is_down() {
    let ground = Ground::new();
    ground.shelf.go_down();
    let node = ground.node();
    let held = node.database.hold("roles.load", Point::Return);
    let first = tokio::spawn({
        let node = node.clone();
        async move { node.recent_rows().await }
    });
    held.reached().await;
    let mut others = JoinSet::new();
    for _ in 0..50 {
        let node = node.clone();
        others.spawn(async move { node.recent_rows().await.value.revision });
    }
    settle().await;
    grant(&ground.database).await.expect("granted elsewhere");
    held.release();
    assert_eq!(first.await.expect("no panic").value.revision, 0);
    assert_eq!(others.join_all().await, [1; 50]);
    assert_eq!(node.database.take_calls(), ["roles.load"; 2]);
}

/// Whoever comes after a write was answered does not take part in a read that began before it.
#[tokio::test(start_paused = true)]
async fn nobody_takes_part_in_a_read_that_began_before_they_came() {
    for is_down in [false, true] {
        let ground = Ground::new();
        let user = ground.user().await;
        let node = ground.node();
        if is_down {
            ground.shelf.go_down();
        }
        let held = node.database.hold("users.state", Point::Return);
        let first = node.seeing(user);
        held.reached().await;
        node.touch(user).await.expect("written");
        let second = node.seeing(user);
        settle().await;
        held.release();
        assert_eq!(first.await.expect("no panic"), 1);
        assert_eq!(second.await.expect("no panic"), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn different_users_do_not_wait_for_each_other() {
    let ground = Ground::new();
    let (ann, bob) = (ground.user().await, ground.user().await);
    let node = ground.node();
    let held = node.database.hold("users.state", Point::Return);
    let slow = node.seeing(ann);
    held.reached().await;
    assert_eq!(node.sees(bob).await, 1);
    held.release();
    slow.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_goes_away_holds_nobody_up() {
    let ground = Ground::new();
    let user = ground.user().await;
    let node = ground.node();
    let held = node.database.hold("users.state", Point::Return);
    let first = node.seeing(user);
    held.reached().await;
    let second = node.seeing(user);
    settle().await;
    first.abort();
    assert_eq!(second.await.expect("no panic"), 1);
    drop(held);
}
