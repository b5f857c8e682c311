//! The shared cache in a real Redis: its keys, and its failures.

use std::sync::Arc;
use std::time::Duration;

use goat_core::store::redis::{RedisDatabase, RedisOptions};
use goat_core::store::shared_cache::{CacheEntry, CacheKey};
use goat_core::testing::{ManualClock, Point};
use goat_core::{Clock, Stores, SystemClock};
use goat_engines::{Redis, RedisCluster, RedisOptions as ServerOptions};
use tokio::time::{Instant, sleep};

use crate::shared_cache::support::{
    Deployment, Node, STALENESS, account, cached, cached_patiently, keys, state_text, touch,
};

/// How long a shared cache that is down may take to be used again.
const RECOVERY: Duration = Duration::from_secs(20);
/// A little more than the breaker stays open.
const OPEN_FOR: Duration = Duration::from_millis(300);

pub(crate) fn open(urls: &str, prefix: &str) -> RedisDatabase {
    let options = RedisOptions::new(urls.to_owned()).prefix(prefix);
    RedisDatabase::open(&options).expect("the options are sound")
}

/// The shared server, with a key prefix of its own.
pub(crate) fn redis() -> RedisDatabase {
    open(&Redis::shared().url(), &Redis::prefix())
}

/// The shared cluster, with a key prefix of its own.
pub(crate) fn cluster() -> RedisDatabase {
    open(&RedisCluster::shared().urls().join(","), &Redis::prefix())
}

/// A node that waits for a busy server.
fn node(database: &Stores, redis: &RedisDatabase, staleness: Duration) -> Node {
    let clock = Arc::new(SystemClock::start());
    cached_patiently(database.clone(), redis.shared_cache(), &keys(), staleness, clock)
}

/// A node with the default timeouts.
fn node_by(clock: impl Clock + 'static, database: &Stores, redis: &RedisDatabase) -> Node {
    cached(database.clone(), redis.shared_cache(), STALENESS, Arc::new(clock))
}

/// Foreign values under goat's keys do no harm: they are misses, and are replaced where possible.
#[tokio::test]
async fn foreign_values_are_misses_and_do_not_open_the_breaker() {
    let (server, prefix) = (Redis::shared(), Redis::prefix());
    let redis = open(&server.url(), &prefix);
    let deployment = Deployment::new();
    let node = node(&deployment.database, &redis, STALENESS * 30);
    let (ann, bob) = (deployment.user().await, deployment.user().await);
    let key = format!("{prefix}:{{{ann}}}:u");
    let admin = state_text("admin", 0);
    let foreign: [(&[&str], bool); 6] = [
        (&["SET", &key, "text"], false),
        (&["HSET", &key, "r", "many", "t", "1", "v", &admin], true),
        (&["HSET", &key, "r", "9", "t", "9999999999999", "v", &admin], true),
        (&["HSET", &key, "r", "-1", "t", "-1", "v", "-1"], true),
        (&["HSET", &key, "t", "1"], true),
        (&["HSET", &key, "other", "field"], true),
    ];
    for (command, is_replaced) in foreign {
        server.cli(&["DEL", &key]);
        server.cli(command);
        for turn in 0..2 {
            let hits = node.cache.users().hits;
            let state = node.cached_state(ann).await.value.expect("the user");
            assert_eq!((state.user.role.as_str(), state.revision), ("client", 1), "{command:?}");
            let is_hit = node.cache.users().hits > hits;
            assert_eq!(is_hit, turn == 1 && is_replaced, "{command:?}");
        }
        // The cache still works for other users.
        node.revision(bob).await;
        let hits = node.cache.users().hits;
        assert_eq!(
            (node.revision(bob).await, node.cache.users().hits),
            (1, hits + 1),
            "{command:?}"
        );
    }
}

/// A user's key is in the slot of their sessions, and all keys expire.
#[tokio::test]
async fn keys_share_the_slot_of_the_users_sessions_and_expire() {
    let (server, prefix) = (Redis::shared(), Redis::prefix());
    let cache = open(&server.url(), &prefix).shared_cache();
    let user = account().user.id;
    let now = cache.get(CacheKey::User(user)).await.expect("a reply").now;
    let entry = CacheEntry { revision: 3, read_at: now, value: state_text("client", 0) };
    let ttl = Duration::from_secs(30);
    assert!(cache.put(CacheKey::User(user), &entry, ttl).await.expect("a reply"));
    cache.invalidate_below(CacheKey::Roles, 3, ttl).await.expect("a reply");
    let mut keys: Vec<String> =
        server.cli(&["KEYS", &format!("{prefix}:*")]).lines().map(str::to_owned).collect();
    keys.sort_by_key(String::len);
    assert_eq!(keys, [format!("{prefix}:{{roles}}:r"), format!("{prefix}:{{{user}}}:u")]);
    for key in keys {
        let left: u64 = server.cli(&["PTTL", &key]).trim().parse().expect("a number");
        assert!((15_000..=30_000).contains(&left), "{key} {left}");
    }
}

/// A server that accepts calls without replying costs one short timeout, and nothing while the
/// breaker is open.
#[tokio::test]
async fn a_frozen_redis_fails_no_call_and_delays_few() {
    let server = Redis::start(ServerOptions::default());
    let redis = open(&server.url(), "goat");
    let deployment = Deployment::new();
    // By this clock the breaker stays open.
    let node = node_by(ManualClock::default(), &deployment.database, &redis);
    let user = deployment.user().await;
    node.revision(user).await;
    server.freeze();
    assert_eq!(node.revision(user).await, 1);
    node.touch(user).await.expect("written");
    for _ in 0..200 {
        assert_eq!(node.revision(user).await, 2);
    }
    let failures = node.cache.users().failures;
    assert!(failures <= 2, "one read and one invalidation wait: {failures}");
    server.thaw();
}

/// A server that is down costs reads; after its restart it is used again.
#[tokio::test]
async fn a_restarted_redis_is_used_again() {
    let server = Redis::start(ServerOptions::default());
    let redis = open(&server.url(), "goat");
    let deployment = Deployment::new();
    let node = node_by(SystemClock::start(), &deployment.database, &redis);
    let user = deployment.user().await;
    node.revision(user).await;
    server.kill();
    for revision in 1..4 {
        assert_eq!(node.revision(user).await, revision);
        node.touch(user).await.expect("written");
    }
    server.restart();
    let deadline = Instant::now() + RECOVERY;
    let hits = node.cache.users().hits;
    while node.cache.users().hits == hits {
        assert!(Instant::now() < deadline, "it is not used again");
        assert_eq!(node.revision(user).await, 4);
        sleep(OPEN_FOR / 10).await;
    }
}

/// A command delivered to a frozen server when it resumes is too old by then.
#[tokio::test]
async fn a_late_put_is_rejected_by_the_servers_clock() {
    let server = Redis::start(ServerOptions::default());
    let redis = open(&server.url(), "goat");
    let deployment = Deployment::new();
    let node = || node_by(SystemClock::start(), &deployment.database, &redis);
    let (reader, other) = (node(), node());
    let user = deployment.user().await;
    // Load the scripts first, so that a single command is sent.
    reader.revision(deployment.user().await).await;
    let held = reader.database.hold("users.state", Point::Return);
    let reading = reader.spawn_revision(user);
    held.reached().await;
    server.freeze();
    held.release();
    assert_eq!(reading.await.expect("no panic"), 1);
    touch(&deployment.database, user).await.expect("written by a node that crashed");
    sleep(STALENESS).await;
    server.thaw();
    sleep(OPEN_FOR).await;
    assert_eq!(server.cli(&["EXISTS", &format!("goat:{{{user}}}:u")]).trim(), "0");
    assert_eq!(other.revision(user).await, 2);
}

/// Entries left by a crash expire by the server's clock, neither early nor late, however long a call
/// takes.
#[tokio::test]
async fn entries_left_by_a_crash_expire_by_the_servers_clock() {
    let redis = redis();
    let deployment = Deployment::new();
    let node = node(&deployment.database, &redis, STALENESS);
    let user = deployment.user().await;
    redis.ping().await.expect("it answers");
    // The entry was read between these two.
    let begun = Instant::now();
    node.revision(user).await;
    let filled = Instant::now();
    touch(&deployment.database, user).await.expect("written by a node that crashed");
    // The clocks of the server and of this process may drift.
    let drift = Duration::from_millis(50);
    loop {
        let least = filled.elapsed();
        let cached = node.cached_state(user).await;
        let most = begun.elapsed();
        if cached.value.expect("the user").revision == 2 {
            assert!(most + drift >= STALENESS, "expired after {most:?}");
            break;
        }
        assert!(least < STALENESS + drift, "still there after {least:?}");
        assert!(cached.age < STALENESS && cached.age + drift >= least, "{:?}", cached.age);
        sleep(Duration::from_millis(20)).await;
    }
}
