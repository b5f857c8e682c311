//! Every system of Redis is reached by its URLs alone, and what goes wrong on the way is told
//! without them.

use std::error::Error;
use std::time::Duration;
use tokio::time::Instant;

use goat_core::store::redis::{RedisDatabase, RedisOptions};
use goat_core::{ErrorKind, StoreError};
use goat_engines::{Redis, RedisCluster, Sentinel};

fn open(urls: &str) -> RedisDatabase {
    RedisDatabase::open(&RedisOptions::new(urls)).expect("URLs")
}

/// Everything that a log would show of an error.
fn told(error: &StoreError) -> String {
    format!("{error} {error:?} {}", error.source().map(ToString::to_string).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_is_reached() {
    open(&Redis::shared().url()).ping().await.expect("it answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_recognised_by_any_of_its_nodes() {
    let urls = RedisCluster::shared().urls();
    open(&urls.join(",")).ping().await.expect("it answers");
    for url in urls {
        open(&url).ping().await.expect("it answers");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_name_their_only_master_and_the_one_that_is_asked_for() {
    let sentinel = Sentinel::start(3);
    let urls = sentinel.urls().join(",");
    open(&urls).ping().await.expect("it answers");
    let named = format!("{urls}/?master={}", Sentinel::MASTER);
    open(&named).ping().await.expect("it answers");
    let error = open(&format!("{urls}/?master=nobody")).ping().await.expect_err("no such master");
    assert!(error.is_unavailable(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_for_sentinels_and_for_what_they_watch() {
    let sentinel = Sentinel::start_with(1, Some("gate"));
    open(&sentinel.urls().join(",")).ping().await.expect("it answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_a_password_and_a_database_are_reached() {
    let redis = Redis::start(goat_engines::RedisOptions::default());
    let rights = ["ACL", "SETUSER", "ann", "on", ">gate@/,", "~*", "&*", "+@all"];
    assert_eq!(redis.cli(&rights), "OK");
    assert_eq!(redis.cli(&["ACL", "SETUSER", "default", "on", "-@all", "+ping"]), "OK");
    let url = format!("redis://ann:gate%40%2F%2C@127.0.0.1:{}/3", redis.port());
    let database = open(&url);
    crate::support::works(&database).await;
    let count = ["--user", "ann", "--pass", "gate@/,", "--no-auth-warning", "-n", "3", "DBSIZE"];
    assert_ne!(redis.cli(&count), "0");
    // The default user may do nothing here.
    let error = open(&redis.url()).sessions().ping().await.expect_err("nothing is allowed");
    assert!(error.is_unavailable(), "{error:?}");
}

/// Two parts, the second without scheme and password.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_master_and_its_replica_the_master_is_asked() {
    let options =
        || goat_engines::RedisOptions { password: Some("gate".to_owned()), ..Default::default() };
    let (master, replica) = (Redis::start(options()), Redis::start(options()));
    replica.replica_of(&master);
    for _ in 0..5 {
        let urls = format!("{},127.0.0.1:{}", replica.url(), master.port());
        open(&urls).ping().await.expect("it answers");
    }
    let error = open(&replica.url()).ping().await.expect_err("a replica takes no writes");
    assert!(error.is_unavailable(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_needs_a_certificate_that_is_trusted() {
    let options = goat_engines::RedisOptions { tls: true, ..Default::default() };
    let redis = Redis::start(options);
    let authority = std::fs::read(redis.authority().expect("TLS")).expect("a file");
    let options = RedisOptions::new(redis.url()).authority(authority);
    RedisDatabase::open(&options).expect("a URL").ping().await.expect("it answers");
    let error = open(&redis.url()).ping().await.expect_err("a stranger");
    assert!(error.is_unavailable(), "{error:?}");
    assert!(told(&error).contains("certificate"), "{}", told(&error));
    assert!(!told(&error).contains("127.0.0.1"), "{}", told(&error));
}

/// L1
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_not_shown() {
    let options =
        goat_engines::RedisOptions { password: Some("gate".to_owned()), ..Default::default() };
    let redis = Redis::start(options);
    open(&redis.url()).ping().await.expect("it answers");
    let database = open(&redis.url().replace("gate", "canary"));
    let error = database.ping().await.expect_err("the wrong password");
    assert!(error.is_unavailable(), "{error:?}");
    assert!(told(&error).contains("credentials"), "{}", told(&error));
    for secret in ["canary", "127.0.0.1", &redis.port().to_string()] {
        assert!(!told(&error).contains(secret), "{}", told(&error));
        assert!(!format!("{database:?}").contains(secret), "{database:?}");
    }
}

/// L1
#[tokio::test]
async fn a_url_that_is_none_is_refused_without_being_shown() {
    let urls = [
        "",
        "canary",
        "http://:canary@127.0.0.1",
        "redis://:canary@127.0.0.1:99999",
        "redis://:canary@127.0.0.1/?master=x&unknown=canary",
        "redis://:canary@127.0.0.1/canary",
        "redis://:canary@127.0.0.1,canary:canary",
        // Whoever does not check certificates may as well do without.
        "rediss://:canary@127.0.0.1/#insecure",
    ];
    for url in urls {
        let error = RedisDatabase::open(&RedisOptions::new(url)).expect_err(url);
        assert_eq!(error.kind(), ErrorKind::Configuration, "{url}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{url}: {error:?}");
    }
    let options = RedisOptions::new("rediss://127.0.0.1").authority("canary");
    let _ = RedisDatabase::open(&options);
}

/// O1
#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_told_at_once() {
    let redis = Redis::start(goat_engines::RedisOptions::default());
    redis.kill();
    let database = open(&redis.url());
    for _ in 0..50 {
        let begun = Instant::now();
        let error = database.ping().await.expect_err("nobody is there");
        assert!(error.is_unavailable(), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
    redis.start_again();
    let back = async {
        while database.ping().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), back).await.expect("it is noticed");
}
