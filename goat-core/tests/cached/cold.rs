//! A node that starts cold under load.

use std::sync::Arc;

use goat_core::Stores;
use goat_core::user::UserState;
use goat_core::{SystemClock, UserId};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::support::{Ground, Node, STALENESS, account, cached, put};

const USERS: usize = 50;
/// Of each user, all asking at once.
const SESSIONS: usize = 4;

async fn users(database: &Stores) -> Vec<UserId> {
    let mut users = Vec::new();
    for _ in 0..USERS {
        let account = account();
        put(database, &account).await;
        users.push(account.user.id);
    }
    users
}

/// All sessions ask at one moment. Answers how often the database was.
async fn storm(node: &Node, users: &[UserId]) -> usize {
    let start = Arc::new(Barrier::new(USERS * SESSIONS));
    let mut sessions = JoinSet::new();
    for user in users.iter().copied().cycle().take(USERS * SESSIONS) {
        let (node, start) = (node.clone(), Arc::clone(&start));
        sessions.spawn(async move {
            start.wait().await;
            let state: Option<UserState> = node.recent_state(user).await.value;
            assert_eq!(state.expect("the user").revision, 1);
        });
    }
    sessions.join_all().await;
    node.state_reads()
}

/// The first node reads each user once, the second none at all.
async fn storms(database: &Stores, node: impl Fn() -> Node) {
    let users = users(database).await;
    assert_eq!(storm(&node(), &users).await, USERS, "nothing is known yet");
    let fresh = node();
    assert_eq!(storm(&fresh, &users).await, 0, "the first node knew it all");
    let counts = fresh.cache.users();
    assert_eq!((counts.hits, counts.misses), ((USERS * SESSIONS) as u64, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cold_node_does_not_storm_the_database() {
    let ground = Ground::new();
    storms(&ground.database, || ground.node()).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cold_node_does_not_storm_the_database_behind_redis() {
    for redis in [crate::engines::redis(), crate::engines::cluster()] {
        redis.ping().await.expect("it answers");
        let database = Stores::memory();
        let node = || {
            let clock = Arc::new(SystemClock::start());
            cached(database.clone(), redis.shelf(), STALENESS * 30, clock)
        };
        storms(&database, node).await;
    }
}
