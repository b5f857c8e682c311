//! A cold node under load: single-flight and the shared cache protect the database.

use std::sync::Arc;

use goat_core::auth::{Login, SignUp};
use goat_core::session::Origin;
use goat_core::testing::PlainHasher;
use goat_core::token::TokenKeys;
use goat_core::user::UserState;
use goat_core::{Email, Goat, Stores, SystemClock, UserId};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::shared_cache::support::{Deployment, Node, STALENESS, account, cached, put};

const USERS: usize = 50;
/// Concurrent readers of each user.
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

/// Reads all users concurrently and returns the number of database reads.
async fn stampede(node: &Node, users: &[UserId]) -> usize {
    let start = Arc::new(Barrier::new(USERS * SESSIONS));
    let mut sessions = JoinSet::new();
    for user in users.iter().copied().cycle().take(USERS * SESSIONS) {
        let (node, start) = (node.clone(), Arc::clone(&start));
        sessions.spawn(async move {
            start.wait().await;
            let state: Option<UserState> = node.cached_state(user).await.value;
            assert_eq!(state.expect("the user").revision, 1);
        });
    }
    sessions.join_all().await;
    node.state_reads()
}

/// Cache stampedes: the first node reads each user once, the second none.
async fn stampedes(database: &Stores, node: impl Fn() -> Node) {
    let users = users(database).await;
    assert_eq!(stampede(&node(), &users).await, USERS, "the cache is empty");
    let fresh = node();
    assert_eq!(stampede(&fresh, &users).await, 0, "the first node has filled the cache");
    let counts = fresh.cache.users();
    assert_eq!((counts.hits, counts.misses), ((USERS * SESSIONS) as u64, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cold_node_reads_each_user_once() {
    let deployment = Deployment::new();
    stampedes(&deployment.database, || deployment.node()).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cold_node_reads_each_user_once_with_redis() {
    for redis in [crate::shared_cache::engines::redis(), crate::shared_cache::engines::cluster()] {
        redis.ping().await.expect("a reply");
        let database = Stores::memory();
        let node = || {
            let clock = Arc::new(SystemClock::start());
            cached(database.clone(), redis.shared_cache(), STALENESS * 30, clock)
        };
        stampedes(&database, node).await;
    }
}

const PASSWORD: &str = "a long walk on a short pier";

fn goat(node: &Node, deployment: &Deployment, keys: &TokenKeys) -> Goat {
    let clock = Arc::new(deployment.clock.clone());
    let builder = Goat::builder(node.stores.clone(), keys.clone()).clock(clock);
    builder.hasher(Arc::new(PlainHasher::default())).build().expect("a goat")
}

/// Authenticates all sessions concurrently on a goat that has just started; returns the number of
/// database reads of user states.
async fn authenticate_all(node: &Node, goat: &Goat, tokens: &[String]) -> usize {
    let _earlier = node.database.take_calls();
    let start = Arc::new(Barrier::new(tokens.len()));
    let mut requests = JoinSet::new();
    for token in tokens {
        let (goat, start) = (goat.clone(), Arc::clone(&start));
        let token = token.clone();
        requests.spawn(async move {
            start.wait().await;
            goat.authenticate_token(&token).await.expect("a live session");
        });
    }
    requests.join_all().await;
    node.state_reads()
}

/// The whole path: requests with tokens of different sessions, on goats that have just started.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_on_a_cold_goat_read_each_user_once() {
    let deployment = Deployment::new();
    let keys = TokenKeys::generate();
    let node = deployment.node();
    let first = goat(&node, &deployment, &keys);
    let mut tokens = Vec::new();
    for number in 0..USERS {
        let email = format!("user-{number}@example.org");
        let origin = Origin::default();
        let sign_up = SignUp {
            email: Email::parse(&email).expect("an address"),
            password: Some(PASSWORD.into()),
            origin: origin.clone(),
        };
        first.sign_up(sign_up).await.expect("signed up");
        for _ in 0..SESSIONS {
            let (email, origin) = (email.clone().into(), origin.clone());
            let login = Login { email, password: PASSWORD.into(), device_token: None, origin };
            let signed_in = first.login(login).await.expect("signed in").value;
            tokens.push(signed_in.tokens.access_token.expose().to_owned());
        }
    }
    // All entries are stale now, in the first goat and in the shared cache.
    deployment.clock.advance(STALENESS * 3);
    for expected in [USERS, 0] {
        let node = deployment.node();
        let fresh = goat(&node, &deployment, &keys);
        assert_eq!(authenticate_all(&node, &fresh, &tokens).await, expected);
    }
}
