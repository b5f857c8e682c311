//! Cached stores, against the suites of the ports.

use std::sync::Arc;
use std::time::Duration;

use goat_core::store::shared_cache::SharedCache;
use goat_core::{Stores, SystemClock, testing};

use crate::support::{Ground, TurnAbout, cached};

/// Long enough that nothing is seen just because what was remembered is over.
const STALENESS: Duration = Duration::from_secs(30);

/// Runs the suites of users and roles over two nodes that take turns, call by call: what one of them
/// answers, the other must show.
async fn conforms(database: &Stores, shelf: &Arc<dyn SharedCache>) {
    let node = || {
        let clock = Arc::new(SystemClock::start());
        cached(database.clone(), Arc::clone(shelf), STALENESS, clock)
    };
    let nodes = [node(), node()];
    let both = TurnAbout::over([&nodes[0], &nodes[1]]).stores();
    testing::users::conformance(&both.users).await;
    testing::roles::conformance(&both.roles).await;
    testing::roles::conformance_with_users(&both.roles, &both.users).await;
    for node in &nodes {
        for counts in [node.cache.users(), node.cache.roles()] {
            assert!(counts.hits > 0, "the shelf was never of use: {counts:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_in_memory_conform_on_a_shelf_in_memory() {
    let ground = Ground::new();
    let shelf: Arc<dyn SharedCache> = Arc::new(ground.shelf.clone());
    conforms(&ground.database, &shelf).await;
}

/// Down or not, the shelf changes nothing but how often the store is asked.
#[tokio::test(flavor = "multi_thread")]
async fn stores_conform_while_their_shelf_is_down() {
    let ground = Ground::new();
    ground.shelf.go_down();
    let node = ground.node();
    testing::users::conformance(&node.stores.users).await;
    testing::roles::conformance(&node.stores.roles).await;
    testing::roles::conformance_with_users(&node.stores.roles, &node.stores.users).await;
}

#[cfg(all(feature = "redis", feature = "sqlite"))]
mod engines {
    use super::*;

    async fn sqlite() -> (tempfile::TempDir, Stores) {
        let folder = tempfile::tempdir().expect("a folder");
        let stores = Stores::sqlite(folder.path().join("goat.db")).await.expect("a database");
        (folder, stores)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn stores_in_sqlite_conform_on_redis() {
        let (_folder, database) = sqlite().await;
        let redis = crate::engines::redis();
        redis.ping().await.expect("it answers");
        conforms(&database, &redis.shared_cache()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn stores_in_sqlite_conform_on_redis_cluster() {
        let (_folder, database) = sqlite().await;
        let redis = crate::engines::cluster();
        redis.ping().await.expect("it answers");
        conforms(&database, &redis.shared_cache()).await;
    }
}
