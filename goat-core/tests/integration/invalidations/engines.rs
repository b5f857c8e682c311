//! Nodes joined by real servers (PostgreSQL, and Redis standalone, behind Sentinel and as a
//! cluster), and broken connections to them.
//!
//! The nodes use the system clock. The staleness is long in the tests of invalidations, so that no
//! entry expires meanwhile, and short in the tests of lost connections.

use std::sync::Arc;
use std::time::Duration;

use goat_core::invalidation::Invalidations;
use goat_core::session::Origin;
use goat_core::store::redis::{RedisDatabase, RedisOptions};
use goat_core::store::sql::{MigrateOptions, PostgresDatabase, PostgresOptions};
use goat_core::{Clock as _, ErrorKind, Stores, SystemClock};
use goat_engines::{Postgres, Proxy, Redis, RedisCluster, Sentinel};

use crate::invalidations::support::{
    Deployment, Node, changes_on_one_node_apply_on_the_other, wait_until,
};

const LONG: Duration = Duration::from_secs(60);
/// A heartbeat may be late by half of it.
const SHORT: Duration = Duration::from_secs(4);
/// How late a busy machine may detect a loss. `nodes.rs` has the exact bound.
const SLACK: Duration = Duration::from_secs(10);

fn postgres(url: &str) -> PostgresDatabase {
    PostgresDatabase::open(&PostgresOptions::new(url)).expect("a URL")
}

fn redis(urls: &str, prefix: &str) -> RedisDatabase {
    RedisDatabase::open(&RedisOptions::new(urls).prefix(prefix)).expect("a URL")
}

fn deployment(stores: Stores, staleness: Duration) -> Deployment {
    Deployment::new(stores, staleness, Arc::new(SystemClock::start()))
}

/// Users, roles and sessions in a PostgreSQL database of the test's own.
async fn stores_in(database: &PostgresDatabase) -> Stores {
    database.migrate(MigrateOptions::default()).await.expect("a schema");
    database.stores(Stores::memory().limits)
}

/// A7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalidations_over_postgres() {
    let url = Postgres::shared().create_database();
    let (one, other) = (postgres(&url), postgres(&url));
    let stores = stores_in(&one).await;
    let a = deployment(stores, LONG);
    let b = Deployment { stores: stores_in(&other).await, ..a.clone() };
    let (a, b) = (a.node(one.invalidations(LONG)), b.node(other.invalidations(LONG)));
    changes_on_one_node_apply_on_the_other(&a, &b).await;
}

async fn nodes_by(one: RedisDatabase, other: RedisDatabase) {
    let deployment = deployment(Stores::memory(), LONG);
    let (a, b) =
        (deployment.node(one.invalidations(LONG)), deployment.node(other.invalidations(LONG)));
    changes_on_one_node_apply_on_the_other(&a, &b).await;
}

/// A7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalidations_over_redis() {
    let (url, prefix) = (Redis::shared().url(), Redis::prefix());
    nodes_by(redis(&url, &prefix), redis(&url, &prefix)).await;
}

/// A7: the nodes connect to different nodes of the cluster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalidations_over_a_redis_cluster() {
    let (urls, prefix) = (RedisCluster::shared().urls(), Redis::prefix());
    nodes_by(redis(&urls[0], &prefix), redis(&urls[1], &prefix)).await;
}

/// A7: also after a failover.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalidations_over_redis_sentinel_survive_a_failover() {
    let sentinel = Sentinel::start(1);
    let urls = sentinel.urls().join(",");
    nodes_by(redis(&urls, "goat"), redis(&urls, "goat")).await;

    let deployment = deployment(Stores::memory(), SHORT);
    let node = || deployment.node(redis(&urls, "goat").invalidations(SHORT));
    let (a, b) = (node(), node());
    a.wait_until_connected().await;
    b.wait_until_connected().await;
    tokio::task::block_in_place(|| sentinel.failover());
    wait_until("the failover disconnects b", || {
        b.goat.sessions().invalidation_stats().disconnects > 0
    })
    .await;
    wait_until("the failover disconnects a", || {
        a.goat.sessions().invalidation_stats().disconnects > 0
    })
    .await;
    a.wait_until_connected().await;
    b.wait_until_connected().await;
    let before = b.invalidations_received();
    let tokens = a.signed_in_user("ann").await.tokens;
    let me = a.principal(&tokens).await;
    b.principal(&tokens).await;
    a.goat.logout(&me, &Origin::default()).await.expect("signed out");
    b.wait_for_invalidation_after(before).await;
    assert_eq!(b.auth_error(&tokens).await, Some(ErrorKind::SessionRevoked));
}

/// A7: a master that becomes a replica keeps its connections and still publishes, but only to
/// subscribers that stayed with it. Every node leaves it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_leave_a_demoted_master() {
    let start = || Redis::start(goat_engines::RedisOptions::default());
    let (first, second) = (start(), start());
    second.replica_of(&first);
    let urls = format!("{},{}", first.url(), second.url());
    let deployment = deployment(Stores::memory(), LONG);
    let node = || deployment.node(redis(&urls, "goat").invalidations(LONG));
    let a = node();
    a.wait_until_connected().await;
    let tokens = a.signed_in_user("ann").await.tokens;
    let me = a.principal(&tokens).await;

    tokio::task::block_in_place(|| {
        second.cli(&["REPLICAOF", "NO", "ONE"]);
        first.replica_of(&second);
    });
    let b = node();
    b.wait_until_connected().await;
    b.warm_cache(&tokens).await;
    a.goat.logout(&me, &Origin::default()).await.expect("signed out");
    b.wait_for_invalidation_after(0).await;
    assert_eq!(b.auth_error(&tokens).await, Some(ErrorKind::SessionRevoked));
    assert_eq!(a.goat.sessions().invalidation_stats().failed, 0);
}

/// Systems that share a Redis under different prefixes receive none of each other's invalidations.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefixes_separate_systems() {
    let url = Redis::shared().url();
    let (here, there) = (Redis::prefix(), Redis::prefix());
    let deployment = deployment(Stores::memory(), LONG);
    let node = |prefix: &str| deployment.node(redis(&url, prefix).invalidations(LONG));
    let (a, b, c) = (node(&here), node(&here), node(&there));
    for one in [&a, &b, &c] {
        one.wait_until_connected().await;
    }
    let tokens = a.signed_in_user("ann").await.tokens;
    let me = a.principal(&tokens).await;
    a.goat.logout(&me, &Origin::default()).await.expect("signed out");
    b.wait_for_invalidation_after(0).await;
    // An invalidation from the other system would have arrived before this one, on the same
    // connection.
    let tokens = c.signed_in_user("bob").await.tokens;
    let me = c.principal(&tokens).await;
    c.goat.logout(&me, &Origin::default()).await.expect("signed out");
    assert_eq!((c.invalidations_received(), c.goat.sessions().invalidation_stats().sent), (0, 1));
}

/// A7: the connection of the invalidations breaks, that of the stores does not.
async fn reads_the_stores_while_disconnected(proxy: &Proxy, a: &Node, b: &Node) {
    a.wait_until_connected().await;
    b.wait_until_connected().await;
    for breaks in [Proxy::refuse as fn(&Proxy), Proxy::black_hole] {
        let name = format!("user{}", proxy.count());
        let tokens = a.signed_in_user(&name).await.tokens;
        let me = a.principal(&tokens).await;
        b.warm_cache(&tokens).await;
        breaks(proxy);
        let broke = SystemClock::start();
        b.wait_until_disconnected().await;
        let took = broke.elapsed();
        assert!(took < SHORT / 2 + SLACK, "disconnected after {took:?}");
        for _ in 0..5 {
            let calls = b.calls(&tokens).await;
            assert!(calls.contains(&"sessions.find"), "{calls:?}");
        }
        a.goat.logout(&me, &Origin::default()).await.expect("signed out");
        assert_eq!(b.auth_error(&tokens).await, Some(ErrorKind::SessionRevoked));
        proxy.heal();
        b.wait_until_connected().await;
        let tokens = a.signed_in_user(&format!("{name}-again")).await.tokens;
        b.warm_cache(&tokens).await;
        let me = a.principal(&tokens).await;
        let before = b.invalidations_received();
        a.goat.logout(&me, &Origin::default()).await.expect("signed out");
        b.wait_for_invalidation_after(before).await;
        assert_eq!(b.auth_error(&tokens).await, Some(ErrorKind::SessionRevoked));
    }
}

fn pair(stores: Stores, a: Arc<dyn Invalidations>, b: Arc<dyn Invalidations>) -> (Node, Node) {
    let deployment = deployment(stores, SHORT);
    (deployment.node(a), deployment.node(b))
}

/// A7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_disconnected_from_postgres_reads_the_stores() {
    let url = Postgres::shared().create_database();
    let proxy = Proxy::start(Postgres::shared().address());
    let near = postgres(&url);
    let far = postgres(&proxy.url(&url));
    let stores = stores_in(&near).await;
    let (a, b) = pair(stores, near.invalidations(SHORT), far.invalidations(SHORT));
    reads_the_stores_while_disconnected(&proxy, &a, &b).await;
}

/// A7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_disconnected_from_redis_reads_the_stores() {
    let (url, prefix) = (Redis::shared().url(), Redis::prefix());
    let proxy = Proxy::start(Redis::shared().address());
    let (near, far) = (redis(&url, &prefix), redis(&proxy.url(&url), &prefix));
    let (a, b) = pair(Stores::memory(), near.invalidations(SHORT), far.invalidations(SHORT));
    reads_the_stores_while_disconnected(&proxy, &a, &b).await;
}

/// A7: a server that does not respond counts as disconnected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_or_stopped_redis_disconnects_and_its_return_reconnects() {
    let server = Redis::start(goat_engines::RedisOptions::default());
    let deployment = deployment(Stores::memory(), SHORT);
    let node = deployment.node(redis(&server.url(), "goat").invalidations(SHORT));
    node.wait_until_connected().await;
    server.freeze();
    let froze = SystemClock::start();
    node.wait_until_disconnected().await;
    assert!(froze.elapsed() < SHORT / 2 + SLACK, "{:?}", froze.elapsed());
    server.thaw();
    node.wait_until_connected().await;
    server.stop();
    node.wait_until_disconnected().await;
    server.restart();
    node.wait_until_connected().await;
}

/// A connection that PostgreSQL ends is a gap in the invalidations: the node must empty its caches,
/// and the driver must not reconnect without reporting it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminated_listen_connection_empties_the_caches() {
    let url = Postgres::shared().create_database();
    let name = url.rsplit('/').next().expect("a database").to_owned();
    let database = postgres(&url);
    let deployment = deployment(stores_in(&database).await, LONG);
    let node = deployment.node(database.invalidations(LONG));
    node.wait_until_connected().await;
    let tokens = node.signed_in_user("ann").await.tokens;
    node.warm_cache(&tokens).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    let ended = tokio::task::block_in_place(|| Postgres::shared().psql(&name, end));
    assert_eq!(ended.trim(), "t", "one connection listen_calls");
    wait_until("the node counts the disconnect", || {
        node.goat.sessions().invalidation_stats().disconnects == 1
    })
    .await;
    node.wait_until_connected().await;
    assert!(!node.calls(&tokens).await.is_empty(), "the caches are empty");
}

/// The connection closes when the last handle of the invalidations is dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_last_node_closes_the_listen_connection() {
    let url = Postgres::shared().create_database();
    let name = url.rsplit('/').next().expect("a database").to_owned();
    let database = postgres(&url);
    let listening = || {
        let count = "SELECT count(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        tokio::task::block_in_place(|| Postgres::shared().psql(&name, count)).trim().to_owned()
    };
    let deployment = deployment(stores_in(&database).await, LONG);
    let node = deployment.node(database.invalidations(LONG));
    node.wait_until_connected().await;
    assert_eq!(listening(), "1");
    drop(node);
    wait_until("the connection closes", || listening() == "0").await;
}
