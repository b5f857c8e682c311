//! A failing, hanging or slow cache causes no errors, no long waits, and no stale reads.

use std::time::Duration;

use goat_core::testing::Point;
use tokio::time::Instant;

use crate::shared_cache::support::{Deployment, MOMENT, STALENESS, grant};

/// Timeouts of reads and writes.
const READ_TIMEOUT: Duration = Duration::from_millis(100);
const WRITE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long the breaker stays open.
const OPEN_FOR: Duration = Duration::from_millis(250);

#[tokio::test(start_paused = true)]
async fn a_hanging_cache_costs_one_timeout() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let node = deployment.node();
    deployment.cache.hang_all();
    let begun = Instant::now();
    assert_eq!(node.revision(user).await, 1);
    assert_eq!(begun.elapsed(), READ_TIMEOUT);

    // From now on the breaker is open.
    for _ in 0..100 {
        assert_eq!(node.revision(user).await, 1);
        node.cached_rows().await;
    }
    assert_eq!(begun.elapsed(), READ_TIMEOUT);
    assert_eq!(deployment.cache.take_calls(), ["get"]);
    assert_eq!(node.state_reads(), 101);
    assert_eq!((node.cache.users().misses, node.cache.users().failures), (101, 1));

    // Half-open: one call probes the cache and finds it working.
    deployment.clock.advance(OPEN_FOR);
    deployment.cache.recover();
    assert_eq!(node.revision(user).await, 1);
    assert_eq!((node.revision(user).await, node.state_reads()), (1, 1));
    assert_eq!(begun.elapsed(), READ_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_failing_cache_costs_only_reads() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let node = deployment.node();
    deployment.cache.fail_all();
    let begun = Instant::now();
    for revision in 1..4 {
        assert_eq!(node.revision(user).await, revision);
        node.touch(user).await.expect("written");
        assert_eq!(grant(&node.stores).await.expect("granted"), revision);
        assert_eq!(node.cached_rows().await.value.revision, revision);
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_failed_put_does_not_fail_the_read() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let node = deployment.node();
    deployment.cache.fail("put", Point::Entry);
    assert_eq!(node.revision(user).await, 1);
    assert_eq!(node.cache.users().failures, 1);
}

/// The cache has a stale entry that this node failed to invalidate. The node bypasses the cache;
/// other nodes are bounded by the staleness.
#[tokio::test(start_paused = true)]
async fn a_write_with_a_failed_invalidation_is_seen_locally_at_once() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let (node, other) = (deployment.node(), deployment.node());
    for expected in [2, 3] {
        other.revision(user).await;
        let begun = Instant::now();
        if expected == 2 {
            deployment.cache.fail("invalidate_below", Point::Entry);
        } else {
            deployment.cache.hang_all();
        }
        node.touch(user).await.expect("it was committed");
        assert!(begun.elapsed() <= WRITE_TIMEOUT);
        deployment.cache.recover();

        deployment.clock.advance(OPEN_FOR);
        assert_eq!(
            (node.revision(user).await, other.revision(user).await),
            (expected, expected - 1)
        );
        deployment.clock.advance(STALENESS - OPEN_FOR - MOMENT);
        assert_eq!((node.revision(user).await, other.revision(user).await), (expected, expected));
        // Then the node uses the cache again.
        deployment.clock.advance(MOMENT);
        let _reads = node.state_reads();
        assert_eq!((node.revision(user).await, node.state_reads()), (expected, 0));
    }
}

/// A put whose caller timed out is still in transit, and arrives much later.
#[tokio::test(start_paused = true)]
async fn a_late_put_is_rejected() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let (reader, other) = (deployment.node(), deployment.node());
    let put = deployment.cache.hold("put", Point::Entry);
    assert_eq!(reader.revision(user).await, 1, "within its timeout");
    put.reached().await;
    crate::shared_cache::support::touch(&deployment.database, user)
        .await
        .expect("written by a node that crashed");
    deployment.clock.advance(STALENESS);
    put.release();
    tokio::time::sleep(MOMENT).await;
    assert_eq!(other.revision(user).await, 2);
}
