//! Conformance of stores with a shared cache.

use std::sync::Arc;
use std::time::Duration;

use goat_core::store::shared_cache::SharedCache;
use goat_core::{Stores, SystemClock, testing};

use crate::delegating_stores::round_robin;
use crate::shared_cache::support::{Deployment, cached};

/// Long enough that no entry becomes stale.
const STALENESS: Duration = Duration::from_secs(30);

/// Runs the suites over two nodes that take turns, call by call: each must see the writes of the
/// other.
async fn conforms(database: &Stores, cache: &Arc<dyn SharedCache>) {
    let node = || {
        let clock = Arc::new(SystemClock::start());
        cached(database.clone(), Arc::clone(cache), STALENESS, clock)
    };
    let nodes = [node(), node()];
    let both = round_robin([&nodes[0].stores, &nodes[1].stores]);
    testing::users::conformance(&both.users).await;
    testing::roles::conformance(&both.roles).await;
    testing::roles::conformance_with_users(&both.roles, &both.users).await;
    for node in &nodes {
        for counts in [node.cache.users(), node.cache.roles()] {
            assert!(counts.hits > 0, "the cache was never hit: {counts:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_memory_stores_with_an_in_memory_cache_conform() {
    let deployment = Deployment::new();
    let cache: Arc<dyn SharedCache> = Arc::new(deployment.cache.clone());
    conforms(&deployment.database, &cache).await;
}

/// A failing cache changes only the number of store reads.
#[tokio::test(flavor = "multi_thread")]
async fn stores_conform_while_the_cache_is_down() {
    let deployment = Deployment::new();
    deployment.cache.fail_all();
    let node = deployment.node();
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
    async fn sqlite_stores_with_redis_conform() {
        let (_folder, database) = sqlite().await;
        let redis = crate::shared_cache::engines::redis();
        redis.ping().await.expect("a reply");
        conforms(&database, &redis.shared_cache()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sqlite_stores_with_redis_cluster_conform() {
        let (_folder, database) = sqlite().await;
        let redis = crate::shared_cache::engines::cluster();
        redis.ping().await.expect("a reply");
        conforms(&database, &redis.shared_cache()).await;
    }
}
