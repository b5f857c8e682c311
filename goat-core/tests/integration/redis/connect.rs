//! Connecting to each Redis topology by its URLs, and error messages that do not contain them.

use std::error::Error;
use std::time::Duration;
use tokio::time::Instant;

use goat_core::store::redis::{RedisDatabase, RedisOptions};
use goat_core::store::shared_cache::{CacheEntry, CacheKey};
use goat_core::testing::{ManualClock, limits, sessions};
use goat_core::{ErrorKind, StoreError};
use goat_engines::{Redis, RedisCluster, Sentinel};

fn open(urls: &str) -> RedisDatabase {
    RedisDatabase::open(&RedisOptions::new(urls)).expect("URLs")
}

/// Everything of an error that a log may show.
fn shown(error: &StoreError) -> String {
    format!("{error} {error:?} {}", error.source().map(ToString::to_string).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_is_connected() {
    open(&Redis::shared().url()).ping().await.expect("a reply");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_detected_through_any_node() {
    let urls = RedisCluster::shared().urls();
    open(&urls.join(",")).ping().await.expect("a reply");
    for url in urls {
        open(&url).ping().await.expect("a reply");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_resolve_the_only_or_the_named_master() {
    let sentinel = Sentinel::start(3);
    let urls = sentinel.urls().join(",");
    open(&urls).ping().await.expect("a reply");
    let named = format!("{urls}/?master={}", Sentinel::MASTER);
    open(&named).ping().await.expect("a reply");
    let error = open(&format!("{urls}/?master=unknown")).ping().await.expect_err("no such master");
    assert!(error.is_unavailable(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_applies_to_sentinels_and_data_nodes() {
    let sentinel = Sentinel::start_with(1, Some("gate"));
    open(&sentinel.urls().join(",")).ping().await.expect("a reply");
}

#[tokio::test(flavor = "multi_thread")]
async fn user_password_and_database_of_a_url_are_used() {
    let redis = Redis::start(goat_engines::RedisOptions::default());
    let rights = ["ACL", "SETUSER", "ann", "on", ">gate@/,", "~*", "&*", "+@all"];
    assert_eq!(redis.cli(&rights), "OK");
    assert_eq!(redis.cli(&["ACL", "SETUSER", "default", "on", "-@all", "+ping"]), "OK");
    let url = format!("redis://ann:gate%40%2F%2C@127.0.0.1:{}/3", redis.port());
    let database = open(&url);
    crate::redis::support::works(&database).await;
    let count = ["--user", "ann", "--pass", "gate@/,", "--no-auth-warning", "-n", "3", "DBSIZE"];
    assert_ne!(redis.cli(&count), "0");
    // The default user has no rights here.
    let error = open(&redis.url()).sessions().ping().await.expect_err("no permission");
    assert!(error.is_unavailable(), "{error:?}");
}

/// The commands that a standalone server must allow.
const COMMANDS: [&str; 22] = [
    "ping",
    "info",
    "time",
    "eval",
    "evalsha",
    "get",
    "set",
    "getrange",
    "strlen",
    "append",
    "setrange",
    "pttl",
    "pexpire",
    "del",
    "hset",
    "hget",
    "hmget",
    "hgetall",
    "hlen",
    "hdel",
    "publish",
    "subscribe",
];

/// A server with a user that has these rights alone, and the user's URL.
fn restricted(redis: &Redis, changes: &[&str]) -> String {
    let allowed = COMMANDS.map(|command| format!("+{command}"));
    let mut words = vec!["ACL", "SETUSER", "ann", "reset", "on", ">gate", "~goat:*", "&goat:*"];
    // Without it, a demoted master is noticed at the first write only.
    words.push("+role");
    words.extend(allowed.iter().map(String::as_str));
    words.extend(changes);
    assert_eq!(redis.cli(&words), "OK");
    format!("redis://ann:gate@127.0.0.1:{}", redis.port())
}

/// Every store works with these rights, and the check of the server finds no other missing.
#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rights_suffice() {
    let redis = Redis::start(goat_engines::RedisOptions::default());
    let url = restricted(&redis, &[]);
    open(&url).server().await.expect("the rights suffice");
    assert_eq!(redis.cli(&["DBSIZE"]), "0", "the check left a key");
    let database = RedisDatabase::open(&RedisOptions::new(&*url).with_caller_clock());
    let database = database.expect("a URL");
    sessions::conformance_of_expiring(&database.sessions()).await;
    limits::conformance(&*database.limits(), &ManualClock::default()).await;
    crate::redis::support::works(&open(&url)).await;
    let (cache, key) = (database.shared_cache(), CacheKey::Roles);
    let read_at = cache.get(key).await.expect("a reply").now;
    let entry = CacheEntry { revision: 1, read_at, value: "value".to_owned() };
    assert!(cache.put(key, &entry, Duration::from_secs(600)).await.expect("a reply"));
    cache.invalidate_below(key, 2, Duration::from_secs(600)).await.expect("a reply");
    assert_eq!(cache.get(key).await.expect("a reply").entry, None);
    let denied = redis.cli(&["ACL", "LOG"]);
    assert!(!denied.contains("ann"), "{denied}");
}

/// A missing right is not a wrong password, and is named.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_named() {
    let redis = Redis::start(goat_engines::RedisOptions::default());
    let refused = async |changes: &[&str]| {
        let error = open(&restricted(&redis, changes)).server().await.expect_err("a missing right");
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error:?}");
        let text = error.to_string();
        assert!(!text.contains("password") && !text.contains("gate"), "{text}");
        text
    };
    for command in COMMANDS {
        let text = refused(&[&format!("-{command}")]).await;
        assert!(text.contains(&command.to_uppercase()), "{command}: {text}");
    }
    let text = refused(&["-hset", "-evalsha", "resetkeys", "~others:*", "resetchannels"]).await;
    for right in ["its keys", "EVALSHA", "its channels"] {
        assert!(text.contains(right), "{right}: {text}");
    }
    for (change, old, new) in [("on", "gate", "canary"), ("off", "", ""), ("on", "ann", "bob")] {
        let url = restricted(&redis, &[change]).replacen(old, new, 1);
        let error = open(&url).server().await.expect_err("no such user");
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error:?}");
        assert!(error.to_string().contains("rejects the user or the password"), "{error}");
    }
}

/// The check writes, so a server that refuses writes is found at the start.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_writes_is_found_by_the_check() {
    let start = || Redis::start(goat_engines::RedisOptions::default());
    let (redis, master) = (start(), start());
    let database = open(&redis.url());
    database.server().await.expect("a sound server");
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let shown = async || {
        let error = database.server().await.expect_err("it refuses writes");
        assert!(error.is_unavailable(), "{error:?}");
        error.source().and_then(Error::source).map(ToString::to_string).unwrap_or_default()
    };
    let text = shown().await;
    assert!(text.contains("memory is full (OOM)"), "{text}");
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    tokio::task::block_in_place(|| redis.replica_of(&master));
    let text = shown().await;
    assert!(text.contains("replica") || text.contains("not the master"), "{text}");
}

/// Two addresses, the second without scheme and password.
#[tokio::test(flavor = "multi_thread")]
async fn the_master_of_two_configured_servers_is_used() {
    let options =
        || goat_engines::RedisOptions { password: Some("gate".to_owned()), ..Default::default() };
    let (master, replica) = (Redis::start(options()), Redis::start(options()));
    replica.replica_of(&master);
    for _ in 0..5 {
        let urls = format!("{},127.0.0.1:{}", replica.url(), master.port());
        open(&urls).ping().await.expect("a reply");
    }
    let error = open(&replica.url()).ping().await.expect_err("a replica rejects writes");
    assert!(error.is_unavailable(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_requires_a_trusted_certificate() {
    let options = goat_engines::RedisOptions { tls: true, ..Default::default() };
    let redis = Redis::start(options);
    let authority = std::fs::read(redis.authority().expect("TLS")).expect("a file");
    let options = RedisOptions::new(redis.url()).authority(authority);
    RedisDatabase::open(&options).expect("a URL").ping().await.expect("a reply");
    let error = open(&redis.url()).ping().await.expect_err("not trusted");
    assert!(error.is_unavailable(), "{error:?}");
    assert!(shown(&error).contains("certificate"), "{}", shown(&error));
    assert!(!shown(&error).contains("127.0.0.1"), "{}", shown(&error));
}

/// L1
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_not_shown() {
    let options =
        goat_engines::RedisOptions { password: Some("gate".to_owned()), ..Default::default() };
    let redis = Redis::start(options);
    open(&redis.url()).ping().await.expect("a reply");
    let database = open(&redis.url().replace("gate", "canary"));
    let error = database.ping().await.expect_err("the wrong password");
    assert!(error.is_unavailable(), "{error:?}");
    assert!(shown(&error).contains("the user or the password"), "{}", shown(&error));
    for secret in ["canary", "127.0.0.1", &redis.port().to_string()] {
        assert!(!shown(&error).contains(secret), "{}", shown(&error));
        assert!(!format!("{database:?}").contains(secret), "{database:?}");
    }
}

/// L1
#[tokio::test]
async fn an_invalid_url_is_refused_without_being_quoted() {
    let urls = [
        "",
        "canary",
        "http://:canary@127.0.0.1",
        "redis://:canary@127.0.0.1:99999",
        "redis://:canary@127.0.0.1/?master=x&unknown=canary",
        "redis://:canary@127.0.0.1/canary",
        "redis://:canary@127.0.0.1,canary:canary",
        // TLS without certificate verification is not supported.
        "rediss://:canary@127.0.0.1/#insecure",
    ];
    for url in urls {
        let error = RedisDatabase::open(&RedisOptions::new(url)).expect_err(url);
        assert_eq!(error.kind(), ErrorKind::Configuration, "{url}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{url}: {error:?}");
    }
}

/// L1: otherwise it would appear at the first call only, as an untrusted server.
#[tokio::test]
async fn an_invalid_authority_is_refused_without_being_quoted() {
    let invalid = "-----BEGIN CERTIFICATE-----\nY2FuYXJ5\n-----END CERTIFICATE-----\n";
    for pem in ["", "canary", invalid] {
        let options = RedisOptions::new("rediss://127.0.0.1").authority(pem);
        let error = RedisDatabase::open(&options).expect_err(pem);
        assert_eq!(error.kind(), ErrorKind::Configuration, "{pem}");
        assert!(error.to_string().contains("authority"), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

/// O1
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_fails_calls_at_once() {
    let redis = Redis::start(goat_engines::RedisOptions::default());
    redis.kill();
    let database = open(&redis.url());
    for _ in 0..50 {
        let begun = Instant::now();
        let error = database.ping().await.expect_err("it is down");
        assert!(error.is_unavailable(), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    redis.restart();
    let reconnected = async {
        while database.ping().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reconnected).await.expect("a reconnection");
}

/// W4: the readiness check does not wait behind the calls of requests.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_check_has_a_connection_of_its_own() {
    let redis = Redis::start(goat_engines::RedisOptions::default());
    let database = open(&redis.url());
    let connections = || {
        let list = redis.cli(&["CLIENT", "LIST"]);
        list.lines().filter(|line| !line.contains("cmd=client")).count()
    };
    let begun = Instant::now();
    for (expected, check) in [(1, false), (2, true), (2, true)] {
        if check {
            database.ping().await.expect("a reply");
        } else {
            crate::redis::support::works(&database).await;
        }
        // Connections that only detect the topology close a little later.
        while connections() != expected {
            assert!(begun.elapsed() < Duration::from_secs(20), "{} connections", connections());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
