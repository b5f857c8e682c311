//! Failover (R9, O1): when the master changes, calls succeed again by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use goat_core::store::Rotated;
use goat_core::store::redis::RedisOptions;
use goat_core::testing::{ManualClock, limits, sessions};
use goat_engines::{Redis, Sentinel};

use crate::redis::support::{
    found, made, open, recovered, rotation, succeeded, with_short_timeout, works,
};

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_locate_the_new_master() {
    let sentinel = Sentinel::start(3);
    let urls = sentinel.urls().join(",");
    let database = with_short_timeout(&urls);
    works(&database).await;
    let old = made(&database.sessions()).await;
    // Wait for the replica: a failover may lose unreplicated writes.
    let replica = &sentinel.nodes()[1];
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while replica.cli(&["DBSIZE"]) != sentinel.nodes()[0].cli(&["DBSIZE"]) {
        assert!(tokio::time::Instant::now() < deadline, "the replica does not catch up");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let over = Arc::new(AtomicBool::new(false));
    let calling = tokio::spawn({
        let (database, old, over) = (database.clone(), old.clone(), Arc::clone(&over));
        async move {
            let mut calls = 0;
            while !over.load(Ordering::SeqCst) {
                succeeded(database.sessions().find(old.user, old.id).await);
                calls += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            calls
        }
    });
    tokio::task::block_in_place(|| sentinel.failover());
    recovered(&database).await;
    works(&database).await;
    over.store(true, Ordering::SeqCst);
    assert!(calling.await.expect("only unavailable errors") > 0, "no calls");
    assert_eq!(found(&database.sessions(), &old).await, Some(old));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suites_pass_through_sentinels() {
    let sentinel = Sentinel::start_with(1, Some("gate"));
    let options = RedisOptions::new(sentinel.urls().join(","));
    let database = open(&options.with_caller_clock());
    sessions::conformance_of_expiring(&database.sessions()).await;
    sessions::conformance_in(&database.sessions(), &ManualClock::default()).await;
    limits::conformance(&*database.limits(), &ManualClock::default()).await;
}

/// O1
#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_master_is_unavailable() {
    let start = || Redis::start(goat_engines::RedisOptions::default());
    let (redis, other) = (start(), start());
    let database = with_short_timeout(&redis.url());
    works(&database).await;
    let session = made(&database.sessions()).await;
    tokio::task::block_in_place(|| redis.replica_of(&other));
    let sessions = database.sessions();
    assert!(!succeeded(sessions.create(&session, 9).await));
    for _ in 0..20 {
        assert!(!succeeded(sessions.rotate(&rotation(&session, Duration::ZERO)).await));
        assert!(!succeeded(sessions.find(session.user, session.id).await));
    }
    assert_eq!(redis.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    recovered(&database).await;
    works(&database).await;
}

/// A replica serves reads, but possibly stale ones: the demotion is noticed within about a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_master_is_not_read_for_long() {
    let start = || Redis::start(goat_engines::RedisOptions::default());
    let (redis, other) = (start(), start());
    let database = with_short_timeout(&redis.url());
    let session = made(&database.sessions()).await;
    tokio::task::block_in_place(|| redis.replica_of(&other));
    let begun = tokio::time::Instant::now();
    while succeeded(database.sessions().find(session.user, session.id).await) {
        assert!(begun.elapsed() < Duration::from_secs(30), "the replica is still read");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Like the above, if both are configured: the new master is found.
#[tokio::test(flavor = "multi_thread")]
async fn the_new_master_of_two_configured_servers_is_found() {
    let start = || Redis::start(goat_engines::RedisOptions::default());
    let (one, other) = (start(), start());
    tokio::task::block_in_place(|| other.replica_of(&one));
    let database = with_short_timeout(&format!("{},{}", one.url(), other.url()));
    works(&database).await;
    assert_eq!(other.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    tokio::task::block_in_place(|| one.replica_of(&other));
    // The old master rejects a write, and the new one accepts it, without an error.
    works(&database).await;
}

/// R1: fifty concurrent refreshes with one token, on two nodes, make one successor.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_rotations_on_two_nodes_make_one_successor() {
    let options = crate::redis::support::shared();
    let nodes = [open(&options).sessions(), open(&options).sessions()];
    for _ in 0..10 {
        let session = made(&nodes[0]).await;
        let mut set = tokio::task::JoinSet::new();
        for number in 0..50 {
            let store = Arc::clone(&nodes[number % 2]);
            let request = rotation(&session, Duration::from_secs(10));
            set.spawn(async move { store.rotate(&request).await.expect("a reply") });
        }
        let outcomes = set.join_all().await;
        let kept = found(&nodes[1], &session).await.expect("the session");
        let count = |wanted: &Rotated| outcomes.iter().filter(|one| *one == wanted).count();
        assert_eq!(count(&Rotated::Rotated(kept.clone())), 1);
        assert_eq!(count(&Rotated::Repeated(kept)), 49);
    }
}
