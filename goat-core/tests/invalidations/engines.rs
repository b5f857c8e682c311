//! Real servers between the nodes: PostgreSQL, and Redis in each of its shapes; and what becomes of
//! the nodes when the way to them breaks.
//!
//! The nodes go by the machine's clock. Their staleness is long where notices are to be seen at work,
//! so that nothing becomes stale in the meantime, and short where silence is.

use std::sync::Arc;
use std::time::Duration;

use goat_core::invalidation::Invalidations;
use goat_core::session::Origin;
use goat_core::store::redis::{RedisDatabase, RedisOptions};
use goat_core::store::sql::{MigrateOptions, PostgresDatabase, PostgresOptions};
use goat_core::{Clock as _, ErrorKind, Stores, SystemClock};
use goat_engines::{Postgres, Proxy, Redis, RedisCluster, Sentinel};

use crate::support::{Common, Node, until, what_one_node_does_the_other_obeys};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(2);

fn postgres(url: &str) -> PostgresDatabase {
    PostgresDatabase::open(&PostgresOptions::new(url)).expect("a URL")
}

fn redis(urls: &str, prefix: &str) -> RedisDatabase {
    RedisDatabase::open(&RedisOptions::new(urls).prefix(prefix)).expect("a URL")
}

fn common(stores: Stores, staleness: Duration) -> Common {
    Common::new(stores, staleness, Arc::new(SystemClock::start()))
}

/// Users, roles and sessions in a database of PostgreSQL that is the test's own.
async fn kept_in(database: &PostgresDatabase) -> Stores {
    database.migrate(MigrateOptions::default()).await.expect("a schema");
    database.stores(Stores::memory().limits)
}

/// A7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_on_postgres_obey_each_other() {
    let url = Postgres::shared().create_database();
    let (one, other) = (postgres(&url), postgres(&url));
    let stores = kept_in(&one).await;
    let a = common(stores, LONG);
    let b = Common { stores: kept_in(&other).await, ..a.clone() };
    let (a, b) = (a.node(one.invalidations(LONG)), b.node(other.invalidations(LONG)));
    what_one_node_does_the_other_obeys(&a, &b).await;
}

async fn nodes_by(one: RedisDatabase, other: RedisDatabase) {
    let common = common(Stores::memory(), LONG);
    let (a, b) = (common.node(one.invalidations(LONG)), common.node(other.invalidations(LONG)));
    what_one_node_does_the_other_obeys(&a, &b).await;
}

/// A7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_on_redis_obey_each_other() {
    let (url, prefix) = (Redis::shared().url(), Redis::prefix());
    nodes_by(redis(&url, &prefix), redis(&url, &prefix)).await;
}

/// A7: whatever node of the cluster each of them knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_on_a_cluster_obey_each_other() {
    let (urls, prefix) = (RedisCluster::shared().urls(), Redis::prefix());
    nodes_by(redis(&urls[0], &prefix), redis(&urls[1], &prefix)).await;
}

/// A7: also after the master was lost and another took its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_behind_sentinels_obey_each_other_and_follow_the_master() {
    let sentinel = Sentinel::start(1);
    let urls = sentinel.urls().join(",");
    nodes_by(redis(&urls, "goat"), redis(&urls, "goat")).await;

    let common = common(Stores::memory(), SHORT);
    let node = || common.node(redis(&urls, "goat").invalidations(SHORT));
    let (a, b) = (node(), node());
    a.hears().await;
    b.hears().await;
    tokio::task::block_in_place(|| sentinel.failover());
    until("it noticed", || b.goat.sessions().invalidation_stats().disconnects > 0).await;
    until("it noticed", || a.goat.sessions().invalidation_stats().disconnects > 0).await;
    a.hears().await;
    b.hears().await;
    let before = b.heard();
    let tokens = a.member("ann").await.tokens;
    let me = a.principal(&tokens).await;
    b.principal(&tokens).await;
    a.goat.logout(&me, &Origin::default()).await.expect("signed out");
    b.hears_more_than(before).await;
    assert_eq!(b.refusal(&tokens).await, Some(ErrorKind::SessionRevoked));
}

/// A7: a master that becomes a replica keeps its connections and still publishes, to nobody but those
/// who stayed with it. Nobody stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_tells_by_a_server_that_is_no_master_any_more() {
    let start = || Redis::start(goat_engines::RedisOptions::default());
    let (first, second) = (start(), start());
    second.replica_of(&first);
    let urls = format!("{},{}", first.url(), second.url());
    let common = common(Stores::memory(), LONG);
    let node = || common.node(redis(&urls, "goat").invalidations(LONG));
    let a = node();
    a.hears().await;
    let tokens = a.member("ann").await.tokens;
    let me = a.principal(&tokens).await;

    tokio::task::block_in_place(|| {
        second.cli(&["REPLICAOF", "NO", "ONE"]);
        first.replica_of(&second);
    });
    let b = node();
    b.hears().await;
    b.learn(&tokens).await;
    a.goat.logout(&me, &Origin::default()).await.expect("signed out");
    b.hears_more_than(0).await;
    assert_eq!(b.refusal(&tokens).await, Some(ErrorKind::SessionRevoked));
    assert_eq!(a.goat.sessions().invalidation_stats().failed, 0);
}

/// Systems that share a Redis under different prefixes hear nothing of each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_keeps_systems_apart() {
    let url = Redis::shared().url();
    let (here, there) = (Redis::prefix(), Redis::prefix());
    let common = common(Stores::memory(), LONG);
    let node = |prefix: &str| common.node(redis(&url, prefix).invalidations(LONG));
    let (a, b, c) = (node(&here), node(&here), node(&there));
    for one in [&a, &b, &c] {
        one.hears().await;
    }
    let tokens = a.member("ann").await.tokens;
    let me = a.principal(&tokens).await;
    a.goat.logout(&me, &Origin::default()).await.expect("signed out");
    b.hears_more_than(0).await;
    // What would have come had been sent before this, over a way that is open.
    let tokens = c.member("bob").await.tokens;
    let me = c.principal(&tokens).await;
    c.goat.logout(&me, &Origin::default()).await.expect("signed out");
    assert_eq!((c.heard(), c.goat.sessions().invalidation_stats().sent), (0, 1));
}

/// A7: the way of the notices breaks, and that of the stores does not.
async fn a_broken_way(proxy: &Proxy, a: &Node, b: &Node) {
    a.hears().await;
    b.hears().await;
    for breaks in [Proxy::refuse as fn(&Proxy), Proxy::black_hole] {
        let name = format!("user{}", proxy.count());
        let tokens = a.member(&name).await.tokens;
        let me = a.principal(&tokens).await;
        b.learn(&tokens).await;
        breaks(proxy);
        let broke = SystemClock::start();
        b.is_deaf().await;
        let took = broke.elapsed();
        // Half the staleness, and what a busy machine takes to look.
        assert!(took < SHORT / 2 + SHORT / 5, "deaf after {took:?}");
        for _ in 0..5 {
            let calls = b.calls(&tokens).await;
            assert!(calls.contains(&"sessions.find"), "{calls:?}");
        }
        a.goat.logout(&me, &Origin::default()).await.expect("signed out");
        assert_eq!(b.refusal(&tokens).await, Some(ErrorKind::SessionRevoked));
        proxy.heal();
        b.hears().await;
        let tokens = a.member(&format!("{name}-again")).await.tokens;
        b.learn(&tokens).await;
        let me = a.principal(&tokens).await;
        let before = b.heard();
        a.goat.logout(&me, &Origin::default()).await.expect("signed out");
        b.hears_more_than(before).await;
        assert_eq!(b.refusal(&tokens).await, Some(ErrorKind::SessionRevoked));
    }
}

fn pair(stores: Stores, a: Arc<dyn Invalidations>, b: Arc<dyn Invalidations>) -> (Node, Node) {
    let common = common(stores, SHORT);
    (common.node(a), common.node(b))
}

/// A7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_from_postgres_notices_asks_the_stores_until_it_hears_again() {
    let url = Postgres::shared().create_database();
    let proxy = Proxy::start(Postgres::shared().address());
    let near = postgres(&url);
    let far = postgres(&proxy.url(&url));
    let stores = kept_in(&near).await;
    let (a, b) = pair(stores, near.invalidations(SHORT), far.invalidations(SHORT));
    a_broken_way(&proxy, &a, &b).await;
}

/// A7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_from_redis_asks_the_stores_until_it_hears_again() {
    let (url, prefix) = (Redis::shared().url(), Redis::prefix());
    let proxy = Proxy::start(Redis::shared().address());
    let (near, far) = (redis(&url, &prefix), redis(&proxy.url(&url), &prefix));
    let (a, b) = pair(Stores::memory(), near.invalidations(SHORT), far.invalidations(SHORT));
    a_broken_way(&proxy, &a, &b).await;
}

/// A7: a server that holds still is as good as none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_holds_still_makes_deaf_and_one_that_goes_on_is_heard_again() {
    let server = Redis::start(goat_engines::RedisOptions::default());
    let common = common(Stores::memory(), SHORT);
    let node = common.node(redis(&server.url(), "goat").invalidations(SHORT));
    node.hears().await;
    server.freeze();
    let froze = SystemClock::start();
    node.is_deaf().await;
    assert!(froze.elapsed() < SHORT / 2 + SHORT / 5, "{:?}", froze.elapsed());
    server.thaw();
    node.hears().await;
    server.stop();
    node.is_deaf().await;
    server.start_again();
    node.hears().await;
}

/// A connection that PostgreSQL ends is a gap that the driver must not mend in silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listening_connection_that_postgres_ends_is_noticed() {
    let url = Postgres::shared().create_database();
    let name = url.rsplit('/').next().expect("a database").to_owned();
    let database = postgres(&url);
    let common = common(kept_in(&database).await, LONG);
    let node = common.node(database.invalidations(LONG));
    node.hears().await;
    let tokens = node.member("ann").await.tokens;
    node.learn(&tokens).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    let ended = tokio::task::block_in_place(|| Postgres::shared().psql(&name, end));
    assert_eq!(ended.trim(), "t", "one connection listens");
    until("it is noticed", || node.goat.sessions().invalidation_stats().disconnects == 1).await;
    node.hears().await;
    assert!(!node.calls(&tokens).await.is_empty(), "what it remembered is forgotten");
}

/// With the last holder of notices its connection goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_is_left_when_nobody_listens() {
    let url = Postgres::shared().create_database();
    let name = url.rsplit('/').next().expect("a database").to_owned();
    let database = postgres(&url);
    let listening = || {
        let count = "SELECT count(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        tokio::task::block_in_place(|| Postgres::shared().psql(&name, count)).trim().to_owned()
    };
    let common = common(kept_in(&database).await, LONG);
    let node = common.node(database.invalidations(LONG));
    node.hears().await;
    assert_eq!(listening(), "1");
    drop(node);
    until("it is gone", || listening() == "0").await;
}
