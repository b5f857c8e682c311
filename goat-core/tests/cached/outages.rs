//! A shelf that is down, silent or slow makes nothing fail, nobody wait for long, and nothing old.

use std::time::Duration;

use goat_core::testing::Point;
use tokio::time::Instant;

use crate::support::{Ground, MOMENT, STALENESS, grant};

/// How long a reader waits for the shelf, and a writer.
const PATIENCE: Duration = Duration::from_millis(100);
const PATIENCE_OF_A_WRITE: Duration = Duration::from_millis(500);
/// How long a shelf that failed is left alone.
const REST: Duration = Duration::from_millis(250);

#[tokio::test(start_paused = true)]
async fn a_silent_shelf_is_waited_for_once_and_briefly() {
    let ground = Ground::new();
    let user = ground.user().await;
    let node = ground.node();
    ground.shelf.fall_silent();
    let begun = Instant::now();
    assert_eq!(node.sees(user).await, 1);
    assert_eq!(begun.elapsed(), PATIENCE);

    // From now on it is known to be out of order.
    for _ in 0..100 {
        assert_eq!(node.sees(user).await, 1);
        node.recent_rows().await;
    }
    assert_eq!(begun.elapsed(), PATIENCE);
    assert_eq!(ground.shelf.take_calls(), ["get"]);
    assert_eq!(node.state_reads(), 101);
    assert_eq!((node.cache.users().misses, node.cache.users().failures), (101, 1));

    // One tries again for all, and finds it answering.
    ground.clock.advance(REST);
    ground.shelf.come_back();
    assert_eq!(node.sees(user).await, 1);
    assert_eq!((node.sees(user).await, node.state_reads()), (1, 1));
    assert_eq!(begun.elapsed(), PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn a_shelf_that_is_down_costs_nothing_but_reads() {
    let ground = Ground::new();
    let user = ground.user().await;
    let node = ground.node();
    ground.shelf.go_down();
    let begun = Instant::now();
    for revision in 1..4 {
        assert_eq!(node.sees(user).await, revision);
        node.touch(user).await.expect("written");
        assert_eq!(grant(&node.stores).await.expect("granted"), revision);
        assert_eq!(node.recent_rows().await.value.revision, revision);
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_cannot_be_laid_down_is_answered() {
    let ground = Ground::new();
    let user = ground.user().await;
    let node = ground.node();
    ground.shelf.fail("put", Point::Entry);
    assert_eq!(node.sees(user).await, 1);
    assert_eq!(node.cache.users().failures, 1);
}

/// The shelf has something old, and this node could not raise it. The node keeps its promise by
/// doing without; the others are bound by the staleness.
#[tokio::test(start_paused = true)]
async fn a_write_that_the_shelf_did_not_hear_of_is_seen_here_at_once_and_elsewhere_in_time() {
    let ground = Ground::new();
    let user = ground.user().await;
    let (node, other) = (ground.node(), ground.node());
    for expected in [2, 3] {
        other.sees(user).await;
        let begun = Instant::now();
        if expected == 2 {
            ground.shelf.fail("invalidate_below", Point::Entry);
        } else {
            ground.shelf.fall_silent();
        }
        node.touch(user).await.expect("it was committed");
        assert!(begun.elapsed() <= PATIENCE_OF_A_WRITE);
        ground.shelf.come_back();

        ground.clock.advance(REST);
        assert_eq!((node.sees(user).await, other.sees(user).await), (expected, expected - 1));
        ground.clock.advance(STALENESS - REST - MOMENT);
        assert_eq!((node.sees(user).await, other.sees(user).await), (expected, expected));
        // Trusted again, it is of use again.
        ground.clock.advance(MOMENT);
        let _reads = node.state_reads();
        assert_eq!((node.sees(user).await, node.state_reads()), (expected, 0));
    }
}

/// A put that its node has given up on is still on its way, and arrives years later.
#[tokio::test(start_paused = true)]
async fn what_arrives_late_at_the_shelf_is_too_old_for_it() {
    let ground = Ground::new();
    let user = ground.user().await;
    let (reader, other) = (ground.node(), ground.node());
    let put = ground.shelf.hold("put", Point::Entry);
    assert_eq!(reader.sees(user).await, 1, "it did not wait for longer than its patience");
    put.reached().await;
    crate::support::touch(&ground.database, user).await.expect("written by a node that crashed");
    ground.clock.advance(STALENESS);
    put.release();
    tokio::time::sleep(MOMENT).await;
    assert_eq!(other.sees(user).await, 2);
}
