//! Redis Cluster: moving slots, and nodes that fail and return.

use std::time::Duration;

use goat_core::store::Rotated;
use goat_core::store::redis::{RedisDatabase, RedisOptions};
use goat_engines::{Redis, RedisCluster};

use crate::redis::support::{
    found, made, open, recovered, rotation, succeeded, with_short_timeout, works,
};

fn node_id(node: &Redis) -> String {
    node.cli(&["CLUSTER", "MYID"])
}

/// The node with a user's sessions, another node, and their slot.
fn owner<'a>(cluster: &'a RedisCluster, key: &str) -> (&'a Redis, &'a Redis, String) {
    let slot = cluster.nodes()[0].cli(&["CLUSTER", "KEYSLOT", key]);
    let has = |node: &&Redis| !node.cli(&["EXISTS", key]).starts_with("MOVED");
    let owner = cluster.nodes().iter().find(has).expect("a node has the slot");
    let other = cluster.nodes().iter().find(|node| node.port() != owner.port()).expect("three");
    (owner, other, slot)
}

async fn rotate_session(database: &RedisDatabase, session: &mut goat_core::session::Session) {
    let sessions = database.sessions();
    let rotated = sessions.rotate(&rotation(session, Duration::ZERO)).await.expect("a reply");
    let Rotated::Rotated(next) = rotated else { panic!("{rotated:?}") };
    assert_eq!(found(&sessions, session).await.as_ref(), Some(&next));
    *session = next;
}

/// ASK and MOVED: moving a slot causes no errors, before, during and after the move.
#[tokio::test(flavor = "multi_thread")]
async fn a_moving_slot_is_followed() {
    let cluster = RedisCluster::start();
    let options = RedisOptions::new(&*cluster.urls()[0]);
    let (database, cold) = (open(&options), open(&options));
    works(&cold).await;
    let mut session = made(&database.sessions()).await;
    let key = format!("goat:{{{}}}:s", session.user);
    let (from, to, slot) = owner(&cluster, &key);
    rotate_session(&database, &mut session).await;

    assert_eq!(to.cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &node_id(from)]), "OK");
    assert_eq!(from.cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &node_id(to)]), "OK");
    // The key is still here, so it is served here.
    rotate_session(&database, &mut session).await;
    let port = to.port().to_string();
    assert_eq!(from.cli(&["MIGRATE", "127.0.0.1", &port, &key, "0", "1000"]), "OK");
    // The key has moved: ASK.
    for database in [&database, &cold] {
        rotate_session(database, &mut session).await;
    }
    // Including scripts that the other node has not loaded.
    assert_eq!(to.cli(&["SCRIPT", "FLUSH"]), "OK");
    rotate_session(&database, &mut session).await;

    for node in cluster.nodes() {
        assert_eq!(node.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &node_id(to)]), "OK");
    }
    // MOVED, and then directly.
    for database in [&database, &cold, &open(&options)] {
        rotate_session(database, &mut session).await;
        rotate_session(database, &mut session).await;
    }
}

/// O1: a node is lost and others have its slots; no node redirects to them.
#[tokio::test(flavor = "multi_thread")]
async fn slots_taken_over_by_other_nodes_are_found() {
    let cluster = RedisCluster::start();
    let database = with_short_timeout(&cluster.urls().join(","));
    // Enough keys to connect to all nodes.
    for _ in 0..40 {
        made(&database.sessions()).await;
    }
    let [gone, rest @ ..] = cluster.nodes() else { panic!("there are three") };
    let gone_id = node_id(gone);
    gone.kill();
    for _ in 0..10 {
        succeeded(database.sessions().create(&crate::redis::support::session(), 9).await);
    }
    for node in rest {
        assert_eq!(node.cli(&["CLUSTER", "FORGET", &gone_id]), "OK");
    }
    // The slots of the first node.
    let slots: Vec<String> = (0..=5_460).map(|slot| slot.to_string()).collect();
    let mut words = vec!["CLUSTER", "ADDSLOTS"];
    words.extend(slots.iter().map(String::as_str));
    assert_eq!(rest[0].cli(&words), "OK");
    wait_until_recovered(&database).await;
    works(&database).await;
}

/// Keys are spread over the slots: a series of successes covers the cluster.
async fn wait_until_recovered(database: &RedisDatabase) {
    let (mut row, begun) = (0, tokio::time::Instant::now());
    while row < 40 {
        assert!(begun.elapsed() < Duration::from_secs(20), "no recovery");
        recovered(database).await;
        let made = database.sessions().create(&crate::redis::support::session(), 9).await;
        row = if succeeded(made) { row + 1 } else { 0 };
    }
}

/// O1
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_is_used_again() {
    let cluster = RedisCluster::start();
    let database = with_short_timeout(&cluster.urls().join(","));
    works(&database).await;
    let session = made(&database.sessions()).await;
    for node in cluster.nodes() {
        node.kill();
        for _ in 0..30 {
            succeeded(database.sessions().find(session.user, session.id).await);
            succeeded(database.sessions().create(&crate::redis::support::session(), 9).await);
        }
        node.restart();
        wait_until_recovered(&database).await;
    }
    works(&database).await;
}
