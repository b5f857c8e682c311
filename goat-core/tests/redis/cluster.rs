//! A cluster as it moves: slots change their node, nodes go and come.

use std::time::Duration;

use goat_core::session::Rotated;
use goat_core::store::redis::{RedisDatabase, RedisOptions};
use goat_engines::{Redis, RedisCluster};

use crate::support::{found, hasty, is_there, made, open, recovered, rotation, works};

fn node_id(node: &Redis) -> String {
    node.cli(&["CLUSTER", "MYID"])
}

/// The node that has a user's sessions, another one, and their slot.
fn owner<'a>(cluster: &'a RedisCluster, key: &str) -> (&'a Redis, &'a Redis, String) {
    let slot = cluster.nodes()[0].cli(&["CLUSTER", "KEYSLOT", key]);
    let has = |node: &&Redis| !node.cli(&["EXISTS", key]).starts_with("MOVED");
    let owner = cluster.nodes().iter().find(has).expect("somebody has the slot");
    let other = cluster.nodes().iter().find(|node| node.port() != owner.port()).expect("three");
    (owner, other, slot)
}

async fn a_session_goes_on(database: &RedisDatabase, session: &mut goat_core::session::Session) {
    let sessions = database.sessions();
    let rotated = sessions.rotate(&rotation(session, Duration::ZERO)).await.expect("it answers");
    let Rotated::Rotated(next) = rotated else { panic!("{rotated:?}") };
    assert_eq!(found(&sessions, session).await.as_ref(), Some(&next));
    *session = next;
}

/// ASK and MOVED: nobody hears that a slot moves, before, while and after it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moves_is_followed() {
    let cluster = RedisCluster::start();
    let options = RedisOptions::new(&*cluster.urls()[0]);
    let (database, cold) = (open(&options), open(&options));
    works(&cold).await;
    let mut session = made(&database.sessions()).await;
    let key = format!("goat:{{{}}}:s", session.user);
    let (from, to, slot) = owner(&cluster, &key);
    a_session_goes_on(&database, &mut session).await;

    assert_eq!(to.cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &node_id(from)]), "OK");
    assert_eq!(from.cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &node_id(to)]), "OK");
    // It is still here, so it is served here.
    a_session_goes_on(&database, &mut session).await;
    let port = to.port().to_string();
    assert_eq!(from.cli(&["MIGRATE", "127.0.0.1", &port, &key, "0", "1000"]), "OK");
    // It is there by now: ASK.
    for database in [&database, &cold] {
        a_session_goes_on(database, &mut session).await;
    }
    // Scripts that the other node never saw, among them.
    assert_eq!(to.cli(&["SCRIPT", "FLUSH"]), "OK");
    a_session_goes_on(&database, &mut session).await;

    for node in cluster.nodes() {
        assert_eq!(node.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &node_id(to)]), "OK");
    }
    // MOVED, and the next time straight to it.
    for database in [&database, &cold, &open(&options)] {
        a_session_goes_on(database, &mut session).await;
        a_session_goes_on(database, &mut session).await;
    }
}

/// O1: a node is gone for good, and others have its slots: nobody is left to redirect to them.
#[tokio::test(flavor = "multi_thread")]
async fn slots_that_others_took_over_are_found() {
    let cluster = RedisCluster::start();
    let database = hasty(&cluster.urls().join(","));
    // So many keys that the map is full of connections to all nodes.
    for _ in 0..40 {
        made(&database.sessions()).await;
    }
    let [gone, rest @ ..] = cluster.nodes() else { panic!("there are three") };
    let gone_id = node_id(gone);
    gone.kill();
    for _ in 0..10 {
        is_there(database.sessions().create(&crate::support::session(), 9).await);
    }
    for node in rest {
        assert_eq!(node.cli(&["CLUSTER", "FORGET", &gone_id]), "OK");
    }
    // Those of the first node, as the cluster was dealt.
    let slots: Vec<String> = (0..=5_460).map(|slot| slot.to_string()).collect();
    let mut words = vec!["CLUSTER", "ADDSLOTS"];
    words.extend(slots.iter().map(String::as_str));
    assert_eq!(rest[0].cli(&words), "OK");
    come_back(&database).await;
    works(&database).await;
}

/// Users' keys lie anywhere: a run of successes is all of the cluster.
async fn come_back(database: &RedisDatabase) {
    let (mut row, begun) = (0, tokio::time::Instant::now());
    while row < 40 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not come back");
        recovered(database).await;
        let made = database.sessions().create(&crate::support::session(), 9).await;
        row = if is_there(made) { row + 1 } else { 0 };
    }
}

/// O1
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_and_comes_back_is_used_again() {
    let cluster = RedisCluster::start();
    let database = hasty(&cluster.urls().join(","));
    works(&database).await;
    let session = made(&database.sessions()).await;
    for node in cluster.nodes() {
        node.kill();
        for _ in 0..30 {
            is_there(database.sessions().find(session.user, session.id).await);
            is_there(database.sessions().create(&crate::support::session(), 9).await);
        }
        node.start_again();
        come_back(&database).await;
    }
    works(&database).await;
}
