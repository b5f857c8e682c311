//! Cached stores, against the suites of the ports.

use std::sync::Arc;

use goat_core::{Stores, SystemClock, testing};

use crate::support::{Ground, STALENESS, cached};

/// Runs the suites of users and roles over stores that are cached twice, by one shelf: two nodes
/// that take turns would be more than the suites ask.
async fn conforms(database: Stores, shelf: Arc<dyn goat_core::store::cached::Shelf>) {
    let node = cached(database, shelf, STALENESS, Arc::new(SystemClock::start()));
    let Stores { users, roles, .. } = &node.stores;
    testing::users::conformance(users).await;
    testing::roles::conformance(roles).await;
    testing::roles::conformance_with_users(roles, users).await;
    for counts in [node.cache.users(), node.cache.roles()] {
        assert!(counts.hits > 0, "the shelf was never of use: {counts:?}");
        assert_eq!(counts.failures, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_in_memory_conform_on_a_shelf_in_memory() {
    let ground = Ground::new();
    conforms(ground.database, Arc::new(ground.shelf)).await;
}
