//! The suites of the ports, on one server and on a cluster, by the caller's clock and by the
//! server's.

use goat_core::store::redis::{RedisDatabase, RedisOptions};
use goat_core::testing::{ManualClock, WaitingTime, limits, sessions};
use goat_engines::{Redis, RedisCluster};

/// On the server that tests share, below a prefix of its own.
fn one_server() -> RedisOptions {
    RedisOptions::new(Redis::shared().url()).prefix(Redis::prefix())
}

fn a_cluster() -> RedisOptions {
    RedisOptions::new(RedisCluster::shared().urls().join(",")).prefix(Redis::prefix())
}

fn open(options: &RedisOptions) -> RedisDatabase {
    RedisDatabase::open(options).expect("a URL")
}

async fn sessions_conform(options: RedisOptions) {
    let store = open(&options.clone().with_caller_clock()).sessions();
    sessions::conformance_of_expiring(&store).await;
    sessions::conformance_in(&store, &ManualClock::default()).await;
    let store = open(&options).sessions();
    sessions::conformance_in(&store, &WaitingTime::default()).await;
}

async fn limits_conform(options: RedisOptions) {
    let store = open(&options.clone().with_caller_clock()).limits();
    limits::conformance(&*store, &ManualClock::default()).await;
    let store = open(&options).limits();
    limits::conformance(&*store, &WaitingTime::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_on_one_server_conform() {
    sessions_conform(one_server()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_in_a_cluster_conform() {
    sessions_conform(a_cluster()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_on_one_server_conform() {
    limits_conform(one_server()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_in_a_cluster_conform() {
    limits_conform(a_cluster()).await;
}
