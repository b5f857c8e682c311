//! R9, O1: the master goes, another comes, and calls succeed again by themselves.

use std::sync::Arc;
use std::time::Duration;

use goat_core::session::Rotated;
use goat_core::store::redis::RedisOptions;
use goat_core::testing::{ManualClock, WaitingTime, limits, sessions};
use goat_engines::{Redis, Sentinel};

use crate::support::{found, hasty, is_there, made, open, recovered, rotation, works};

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_lead_to_the_new_master() {
    let sentinel = Sentinel::start(3);
    let urls = sentinel.urls().join(",");
    let database = hasty(&urls);
    works(&database).await;
    let old = made(&database.sessions()).await;
    // A replica that has it, since a failover may lose what it has not.
    let replica = &sentinel.nodes()[1];
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while replica.cli(&["DBSIZE"]) != sentinel.nodes()[0].cli(&["DBSIZE"]) {
        assert!(tokio::time::Instant::now() < deadline, "the replica does not follow");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let failing = tokio::spawn({
        let (database, old) = (database.clone(), old.clone());
        async move {
            let mut failures = 0;
            for _ in 0..100 {
                failures += u32::from(!is_there(database.sessions().find(old.user, old.id).await));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            failures
        }
    });
    tokio::task::block_in_place(|| sentinel.failover());
    recovered(&database).await;
    works(&database).await;
    assert!(failing.await.expect("nothing but unavailable") > 0, "nobody noticed");
    assert_eq!(found(&database.sessions(), &old).await, Some(old));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suites_pass_by_way_of_sentinels() {
    let sentinel = Sentinel::start_with(1, Some("gate"));
    let options = RedisOptions::new(sentinel.urls().join(","));
    let callers = open(&options.clone().with_caller_clock());
    sessions::conformance_of_expiring(&callers.sessions()).await;
    limits::conformance(&*callers.limits(), &ManualClock::default()).await;
    limits::conformance(&*open(&options).limits(), &WaitingTime::default()).await;
}

/// O1
#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_becomes_a_replica_is_unavailable_until_it_is_one_again() {
    let start = || Redis::start(goat_engines::RedisOptions::default());
    let (redis, other) = (start(), start());
    let database = hasty(&redis.url());
    works(&database).await;
    let session = made(&database.sessions()).await;
    tokio::task::block_in_place(|| redis.replica_of(&other));
    let sessions = database.sessions();
    assert!(!is_there(sessions.create(&session, 9).await));
    for _ in 0..20 {
        assert!(!is_there(sessions.rotate(&rotation(&session, Duration::ZERO)).await));
        assert!(!is_there(sessions.find(session.user, session.id).await));
    }
    assert_eq!(redis.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    recovered(&database).await;
    works(&database).await;
}

/// Reads are not refused by a replica, but what it has is of the past: it is noticed within a second
/// or so that it is one.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_the_master_is_not_read_for_long() {
    let start = || Redis::start(goat_engines::RedisOptions::default());
    let (redis, other) = (start(), start());
    let database = hasty(&redis.url());
    let session = made(&database.sessions()).await;
    tokio::task::block_in_place(|| redis.replica_of(&other));
    let begun = tokio::time::Instant::now();
    while is_there(database.sessions().find(session.user, session.id).await) {
        assert!(begun.elapsed() < Duration::from_secs(3), "a replica is read for ever");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The same where both are named: the other one is found.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_change_places_the_new_master_is_found() {
    let start = || Redis::start(goat_engines::RedisOptions::default());
    let (one, other) = (start(), start());
    tokio::task::block_in_place(|| other.replica_of(&one));
    let database = hasty(&format!("{},{}", one.url(), other.url()));
    works(&database).await;
    assert_eq!(other.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    tokio::task::block_in_place(|| one.replica_of(&other));
    // A write is refused by the old master, and made by the new one: nobody hears of it.
    works(&database).await;
}

/// R1: fifty refreshes of one token at once, by two nodes, make one successor.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_rotations_by_two_nodes_make_one_successor() {
    let options = crate::support::shared();
    let nodes = [open(&options).sessions(), open(&options).sessions()];
    for _ in 0..10 {
        let session = made(&nodes[0]).await;
        let mut set = tokio::task::JoinSet::new();
        for number in 0..50 {
            let store = Arc::clone(&nodes[number % 2]);
            let request = rotation(&session, Duration::from_secs(10));
            set.spawn(async move { store.rotate(&request).await.expect("it answers") });
        }
        let outcomes = set.join_all().await;
        let kept = found(&nodes[1], &session).await.expect("it lives");
        let count = |wanted: &Rotated| outcomes.iter().filter(|one| *one == wanted).count();
        assert_eq!(count(&Rotated::Rotated(kept.clone())), 1);
        assert_eq!(count(&Rotated::Repeated(kept)), 49);
    }
}
