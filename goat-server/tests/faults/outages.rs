//! O1, O2: an engine that goes away under a server that runs, and comes back.

use std::thread;
use std::time::{Duration, Instant};

use goat_engines::{Postgres, PostgresOptions, Redis, RedisOptions};

use crate::support::node::{Node, PASSWORD, Person, node, node_with, wait_until};
use crate::support::process::Response;

/// What a call may take: the time-out of two calls to a store, and what a busy machine adds.
const BOUND: Duration = Duration::from_secs(6);

/// A 503 that says when to come back, names nothing and nobody, and came in time.
fn assert_unavailable(what: &str, ask: impl Fn() -> Response) {
    let begun = Instant::now();
    let response = ask();
    assert_eq!(response.failure(), (503, "unavailable"), "{what}: {response:?}");
    assert!(begun.elapsed() < BOUND, "{what}: {:?}", begun.elapsed());
    let wait: u64 = response.header("retry-after").parse().expect("seconds");
    assert!(wait >= 1, "{what}");
    for word in ["127.0.0.1", "localhost", "postgres", "redis", "Redis", "Postgre", "goat_"] {
        assert!(!response.text.contains(word), "{what}: {response:?}");
    }
}

/// What holds while an engine is away.
fn is_out(server: Node, ann: &Person) {
    assert_unavailable("ready", || server.ready());
    assert_eq!(server.health(), 200, "liveness does not depend on it");
    assert_unavailable("login", || server.try_login("ann@example.org", PASSWORD));
    assert_unavailable("refresh", || server.refresh(ann));
}

/// What holds again by itself.
fn is_back(server: Node, ann: &Person) {
    wait_until("it is ready", || server.ready().status == 200);
    server.login("ann@example.org");
    // It was shown while the engine was away, and costs nothing.
    wait_until("the session goes on", || server.refresh(ann).status == 200);
}

fn signed_in(server: Node) -> Person {
    server.sign_up("ann@example.org");
    server.login("ann@example.org")
}

#[test]
fn a_postgresql_that_is_killed_is_a_503_until_it_is_back() {
    let postgres = Postgres::start(PostgresOptions::default());
    let site = node(&postgres.url());
    let (running, address) = site.serve();
    let server = Node::at(address);
    let ann = signed_in(server);
    postgres.kill();
    is_out(server, &ann);
    postgres.start_again();
    is_back(server, &ann);
    running.stop();
}

#[test]
fn a_redis_that_is_away_is_a_503_until_it_is_back_though_postgresql_is_there() {
    let postgres = Postgres::shared();
    let redis = Redis::start(RedisOptions::default());
    let site = node_with(&postgres.create_database(), &redis.url());
    let (running, address) = site.serve();
    let server = Node::at(address);
    let ann = signed_in(server);
    // It takes connections, and says nothing.
    redis.freeze();
    is_out(server, &ann);
    redis.thaw();
    is_back(server, &ann);
    redis.kill();
    assert_unavailable("ready", || server.ready());
    assert_eq!(server.health(), 200);
    assert_unavailable("login", || server.try_login("ann@example.org", PASSWORD));
    // R9: what it forgot is over, and nobody gets in by it.
    redis.start_again();
    wait_until("it is ready", || server.ready().status == 200);
    assert_eq!(server.refresh(&ann).failure(), (401, "session-revoked"));
    server.login("ann@example.org");
    running.stop();
}

#[test]
fn a_postgresql_that_is_away_is_a_503_until_it_is_back_though_redis_is_there() {
    let postgres = Postgres::start(PostgresOptions::default());
    let redis = Redis::start(RedisOptions::default());
    let site = node_with(&postgres.url(), &redis.url());
    let (running, address) = site.serve();
    let server = Node::at(address);
    let ann = signed_in(server);
    postgres.stop();
    is_out(server, &ann);
    postgres.start_again();
    is_back(server, &ann);
    running.stop();
}

/// More callers than connections, and none of them is given back for longer than anybody waits.
#[test]
fn a_pool_whose_connections_are_all_held_up_is_a_503_in_time() {
    const HELD: Duration = Duration::from_secs(5);
    let postgres = Postgres::start(PostgresOptions::default());
    let site = node(&postgres.url())
        .with("GOAT_DATABASE_MAX_CONNECTIONS", "2")
        .with("GOAT_STORE_TIMEOUT", "500ms");
    let (running, address) = site.serve();
    let server = Node::at(address);
    let ann = signed_in(server);
    thread::scope(|scope| {
        let lock = scope.spawn(|| {
            let seconds = HELD.as_secs();
            let sql = format!("BEGIN; LOCK TABLE goat_users; SELECT pg_sleep({seconds}); COMMIT");
            postgres.psql("postgres", &sql);
        });
        let locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted \
                      AND relation = 'goat_users'::regclass";
        wait_until("the table is locked", || postgres.psql("postgres", locked).trim() == "1");
        let asked: Vec<_> = (0..12)
            .map(|_| scope.spawn(|| assert_unavailable("refresh", || server.refresh(&ann))))
            .collect();
        asked.into_iter().for_each(|asked| asked.join().expect("a 503"));
        assert!(!lock.is_finished(), "it was held all the time");
        lock.join().expect("no panic");
    });
    is_back(server, &ann);
    running.stop();
}
