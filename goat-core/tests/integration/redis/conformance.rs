//! Conformance suites on one server and on a cluster, by the caller's clock.

use goat_core::store::redis::RedisOptions;
use goat_core::testing::{ManualClock, limits, sessions};
use goat_engines::{Redis, RedisCluster};

use crate::redis::support::{open, shared};

fn a_cluster() -> RedisOptions {
    RedisOptions::new(RedisCluster::shared().urls().join(",")).prefix(Redis::prefix())
}

async fn sessions_conform(options: RedisOptions) {
    let store = open(&options.with_caller_clock()).sessions();
    sessions::conformance_of_expiring(&store).await;
    sessions::a_dropped_replacement_has_its_full_effect_or_none(&store).await;
    sessions::conformance_in(&store, &ManualClock::default()).await;
}

async fn limits_conform(options: RedisOptions) {
    let store = open(&options.with_caller_clock()).limits();
    limits::conformance(&*store, &ManualClock::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_on_one_server_conform() {
    sessions_conform(shared()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_in_a_cluster_conform() {
    sessions_conform(a_cluster()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_on_one_server_conform() {
    limits_conform(shared()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_in_a_cluster_conform() {
    limits_conform(a_cluster()).await;
}
