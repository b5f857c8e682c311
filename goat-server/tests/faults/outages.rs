//! O1, O2: outages of PostgreSQL and Redis, and recovery.

use std::thread;
use std::time::{Duration, Instant};

use goat_engines::{Postgres, PostgresOptions, Redis, RedisOptions};

use crate::support::node::{Node, PASSWORD, Tokens, node, node_with, wait_until};
use crate::support::process::Response;

/// The bound of a request: the request timeout, and a tolerance for a busy machine.
const BOUND: Duration = Duration::from_secs(20);

/// Asserts a 503 in time, with `Retry-After` and without details.
fn assert_unavailable(case: &str, ask: impl Fn() -> Response) {
    let begun = Instant::now();
    let response = ask();
    assert_eq!(response.failure(), (503, "unavailable"), "{case}: {response:?}");
    assert!(begun.elapsed() < BOUND, "{case}: {:?}", begun.elapsed());
    let wait: u64 = response.header("retry-after").parse().expect("seconds");
    assert!(wait >= 1, "{case}");
    for word in ["127.0.0.1", "localhost", "postgres", "redis", "Redis", "Postgre", "goat_"] {
        assert!(!response.text.contains(word), "{case}: {response:?}");
    }
}

/// Asserts that the server is not ready, once the result of an earlier probe is no longer kept.
fn assert_not_ready(server: Node) {
    wait_until("not ready", || server.ready().status != 200);
    assert_unavailable("ready", || server.ready());
}

/// Asserts that the server is unavailable but alive.
fn assert_outage(server: Node, ann: &Tokens) {
    assert_not_ready(server);
    assert_eq!(server.health(), 200, "liveness");
    assert_unavailable("login", || server.try_login("ann@example.org", PASSWORD));
    assert_unavailable("refresh", || server.refresh(ann));
}

/// Asserts that the server recovers.
fn assert_recovery(server: Node, ann: &Tokens) {
    wait_until("ready", || server.ready().status == 200);
    server.login("ann@example.org");
    // The attempt during the outage did not use up the token.
    wait_until("the session continues", || server.refresh(ann).status == 200);
}

fn signed_in(server: Node) -> Tokens {
    server.sign_up("ann@example.org");
    server.login("ann@example.org")
}

#[test]
fn killed_postgresql_is_a_503_until_it_recovers() {
    let postgres = Postgres::start(PostgresOptions::default());
    let program = node(&postgres.url());
    let (running, address) = program.serve();
    let server = Node::at(address);
    let ann = signed_in(server);
    postgres.kill();
    assert_outage(server, &ann);
    postgres.restart();
    assert_recovery(server, &ann);
    running.stop();
}

#[test]
fn redis_outage_is_a_503_until_it_recovers() {
    let postgres = Postgres::shared();
    let redis = Redis::start(RedisOptions::default());
    let program = node_with(&postgres.create_database(), &redis.url());
    let (running, address) = program.serve();
    let server = Node::at(address);
    let ann = signed_in(server);
    // A frozen server accepts connections and does not respond.
    redis.freeze();
    assert_outage(server, &ann);
    redis.thaw();
    assert_recovery(server, &ann);
    redis.kill();
    assert_not_ready(server);
    assert_eq!(server.health(), 200);
    assert_unavailable("login", || server.try_login("ann@example.org", PASSWORD));
    // R9: lost sessions are ended.
    redis.restart();
    wait_until("ready", || server.ready().status == 200);
    assert_eq!(server.refresh(&ann).failure(), (401, "session-revoked"));
    server.login("ann@example.org");
    running.stop();
}

#[test]
fn postgresql_outage_beside_redis_is_a_503_until_it_recovers() {
    let postgres = Postgres::start(PostgresOptions::default());
    let redis = Redis::start(RedisOptions::default());
    let program = node_with(&postgres.url(), &redis.url());
    let (running, address) = program.serve();
    let server = Node::at(address);
    let ann = signed_in(server);
    postgres.stop();
    assert_outage(server, &ann);
    postgres.restart();
    assert_recovery(server, &ann);
    running.stop();
}

/// All pooled connections are in use for longer than the timeout.
#[test]
fn exhausted_pool_is_a_503_in_time() {
    let postgres = Postgres::start(PostgresOptions::default());
    let program = node(&postgres.url())
        .with("GOAT_DATABASE_MAX_CONNECTIONS", "2")
        .with("GOAT_STORE_TIMEOUT", "500ms");
    let (running, address) = program.serve();
    let server = Node::at(address);
    let ann = signed_in(server);
    thread::scope(|scope| {
        let lock = scope.spawn(|| {
            let sql = "BEGIN; LOCK TABLE goat_users; SELECT pg_sleep(600)";
            let cancelled = postgres.try_psql("postgres", sql);
            assert!(cancelled.is_err(), "{cancelled:?}");
        });
        let locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted \
                      AND relation = 'goat_users'::regclass";
        wait_until("the table is locked", || postgres.psql("postgres", locked).trim() == "1");
        let asked: Vec<_> = (0..12)
            .map(|_| scope.spawn(|| assert_unavailable("refresh", || server.refresh(&ann))))
            .collect();
        asked.into_iter().for_each(|asked| asked.join().expect("a 503"));
        assert!(!lock.is_finished(), "the lock was held");
        let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity \
                      WHERE wait_event = 'PgSleep'";
        assert_eq!(postgres.psql("postgres", cancel).trim(), "1");
        lock.join().expect("no panic");
    });
    assert_recovery(server, &ann);
    running.stop();
}
