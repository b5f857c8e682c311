//! The shelf in a real Redis: what lies there, and how it breaks.

use std::sync::Arc;
use std::time::Duration;

use goat_core::store::redis::{RedisDatabase, RedisOptions};
use goat_core::store::shared_cache::{CacheEntry, CacheKey};
use goat_core::testing::Point;
use goat_core::{Stores, SystemClock};
use goat_engines::{Redis, RedisCluster, RedisOptions as ServerOptions};
use tokio::time::{Instant, sleep};

use crate::support::{Ground, Node, STALENESS, account, cached, touch};

/// Far more than a reader waits for the shelf, and far less than a store may take.
const SOON: Duration = Duration::from_millis(1000);
/// How long a shelf that failed is left alone, and a little.
const REST: Duration = Duration::from_millis(300);

fn open(urls: &str, prefix: &str) -> RedisDatabase {
    let options = RedisOptions::new(urls.to_owned()).prefix(prefix);
    RedisDatabase::open(&options).expect("the options are sound")
}

/// A part of the server that all tests share, which is this test's own.
pub(crate) fn redis() -> RedisDatabase {
    open(&Redis::shared().url(), &Redis::prefix())
}

/// The same of the cluster.
pub(crate) fn cluster() -> RedisDatabase {
    open(&RedisCluster::shared().urls().join(","), &Redis::prefix())
}

fn node(database: &Stores, redis: &RedisDatabase, staleness: Duration) -> Node {
    cached(database.clone(), redis.shared_cache(), staleness, Arc::new(SystemClock::start()))
}

/// Somebody else's values under goat's names hurt nobody: they are passed over, and replaced where
/// they can be.
#[tokio::test]
async fn what_is_not_goats_is_a_miss_and_no_failure_of_the_shelf() {
    let (server, prefix) = (Redis::shared(), Redis::prefix());
    let redis = open(&server.url(), &prefix);
    let ground = Ground::new();
    let node = node(&ground.database, &redis, STALENESS * 30);
    let (ann, bob) = (ground.user().await, ground.user().await);
    let key = format!("{prefix}:{{{ann}}}:u");
    let spoilt: [(&[&str], bool); 6] = [
        (&["SET", &key, "text"], false),
        (&["HSET", &key, "r", "many", "t", "1", "v", "1 admin active 0 - -"], true),
        (&["HSET", &key, "r", "9", "t", "9999999999999", "v", "1 admin active 0 - -"], true),
        (&["HSET", &key, "r", "-1", "t", "-1", "v", "-1"], true),
        (&["HSET", &key, "t", "1"], true),
        (&["HSET", &key, "other", "field"], true),
    ];
    for (command, is_replaced) in spoilt {
        server.cli(&["DEL", &key]);
        server.cli(command);
        for turn in 0..2 {
            let hits = node.cache.users().hits;
            let state = node.cached_state(ann).await.value.expect("the user");
            assert_eq!((state.role.as_str(), state.revision), ("client", 1), "{command:?}");
            let is_hit = node.cache.users().hits > hits;
            assert_eq!(is_hit, turn == 1 && is_replaced, "{command:?}");
        }
        // The shelf is of use for everybody else.
        node.sees(bob).await;
        let hits = node.cache.users().hits;
        assert_eq!((node.sees(bob).await, node.cache.users().hits), (1, hits + 1), "{command:?}");
    }
}

/// A user's key lies in the slot of their sessions. Whatever lies there ends by itself.
#[tokio::test]
async fn keys_share_the_slot_of_the_users_sessions_and_end_by_themselves() {
    let (server, prefix) = (Redis::shared(), Redis::prefix());
    let shelf = open(&server.url(), &prefix).shared_cache();
    let user = account().user.id;
    let now = shelf.get(CacheKey::User(user)).await.expect("it answers").now;
    let entry = CacheEntry { revision: 3, read_at: now, value: "1 client active 0 - -".to_owned() };
    let life = Duration::from_secs(30);
    assert!(shelf.put(CacheKey::User(user), &entry, life).await.expect("it answers"));
    shelf.invalidate_below(CacheKey::Roles, 3, life).await.expect("it answers");
    let mut keys: Vec<String> =
        server.cli(&["KEYS", &format!("{prefix}:*")]).lines().map(str::to_owned).collect();
    keys.sort_by_key(String::len);
    assert_eq!(keys, [format!("{prefix}:{{roles}}:r"), format!("{prefix}:{{{user}}}:u")]);
    for key in keys {
        let left: u64 = server.cli(&["PTTL", &key]).trim().parse().expect("a number");
        assert!((15_000..=30_000).contains(&left), "{key} {left}");
    }
}

/// A server that takes calls and answers none costs one short wait, and nothing once it is known.
#[tokio::test]
async fn a_frozen_redis_makes_nothing_fail_and_nobody_wait_for_long() {
    let server = Redis::start(ServerOptions::default());
    let redis = open(&server.url(), "goat");
    let ground = Ground::new();
    let node = node(&ground.database, &redis, STALENESS * 30);
    let user = ground.user().await;
    node.sees(user).await;
    server.freeze();
    let begun = Instant::now();
    assert_eq!(node.sees(user).await, 1);
    node.touch(user).await.expect("written");
    for _ in 0..200 {
        assert_eq!(node.sees(user).await, 2);
    }
    assert!(begun.elapsed() < SOON * 2, "{:?}", begun.elapsed());
    assert!(node.cache.users().failures < 20);
    server.thaw();
}

/// A server that is gone costs reads; one that is back is of use again.
#[tokio::test]
async fn a_redis_that_went_away_and_came_back_is_of_use_again() {
    let server = Redis::start(ServerOptions::default());
    let redis = open(&server.url(), "goat");
    let ground = Ground::new();
    let node = node(&ground.database, &redis, SOON);
    let user = ground.user().await;
    node.sees(user).await;
    server.kill();
    let begun = Instant::now();
    for revision in 1..4 {
        assert_eq!(node.sees(user).await, revision);
        node.touch(user).await.expect("written");
    }
    assert!(begun.elapsed() < SOON * 2, "{:?}", begun.elapsed());
    server.start_again();
    let deadline = Instant::now() + SOON * 20;
    let hits = node.cache.users().hits;
    while node.cache.users().hits == hits {
        assert!(Instant::now() < deadline, "it is never asked again");
        assert_eq!(node.sees(user).await, 4);
        sleep(REST / 10).await;
    }
}

/// What was sent to a server that stood still arrives when it goes on, and is too old by then.
#[tokio::test]
async fn what_arrives_when_redis_goes_on_is_judged_by_its_clock() {
    let server = Redis::start(ServerOptions::default());
    let redis = open(&server.url(), "goat");
    let ground = Ground::new();
    let (reader, other) =
        (node(&ground.database, &redis, STALENESS), node(&ground.database, &redis, STALENESS));
    let user = ground.user().await;
    // The server knows the scripts from now on, so that what is sent is whole.
    reader.sees(ground.user().await).await;
    let held = reader.database.hold("users.state", Point::Return);
    let reading = reader.seeing(user);
    held.reached().await;
    server.freeze();
    held.release();
    assert_eq!(reading.await.expect("no panic"), 1);
    touch(&ground.database, user).await.expect("written by a node that crashed");
    sleep(STALENESS).await;
    server.thaw();
    sleep(REST).await;
    assert_eq!(server.cli(&["EXISTS", &format!("goat:{{{user}}}:u")]).trim(), "0");
    assert_eq!(other.sees(user).await, 2);
}

/// The server's own clock ends what a crash left behind, neither too early nor too late.
#[tokio::test]
async fn what_a_crash_left_behind_ends_by_the_servers_clock() {
    let redis = redis();
    let ground = Ground::new();
    let node = node(&ground.database, &redis, STALENESS);
    let user = ground.user().await;
    redis.ping().await.expect("it answers");
    let begun = Instant::now();
    node.sees(user).await;
    touch(&ground.database, user).await.expect("written by a node that crashed");
    loop {
        let asked = begun.elapsed();
        let recent = node.cached_state(user).await;
        if recent.value.expect("the user").revision == 2 {
            break;
        }
        assert!(asked < STALENESS, "{asked:?}");
        assert!(recent.age < STALENESS && recent.age >= asked.saturating_sub(REST));
        sleep(Duration::from_millis(20)).await;
    }
    assert!(node.cache.users().hits > 1, "it was of use until then");
}
