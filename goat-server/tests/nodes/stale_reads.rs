//! Stale reads: a read that began before a change does not fill any cache, neither of its node nor the
//! shared one, with the state before it.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use goat_engines::{Postgres, Proxy, Redis, RedisOptions};

use crate::support::node::{LONG_STALENESS, node, node_with, soon};
use crate::support::process::Program;
use crate::support::two_nodes::{Fixture, NodePair, Operation, is_heartbeat};

/// The longest delay of the backend's responses, below the timeout of a store call. The test ends it once
/// the operation has been performed.
const DELAY: Duration = Duration::from_secs(12);
const ROUNDS: usize = 3;
const RECEIVED: &str = "goat_invalidations_received_total";

/// Delays the responses of the backend to the second node: it sends its query, then the first node makes
/// the change, then the response with the old state arrives. Returns how often the old state was read.
fn read_during(
    operation: Operation,
    pair: &NodePair,
    proxy: &Proxy,
    redis: Option<&Redis>,
) -> usize {
    let admin = pair.first.admin();
    let mut slow = 0;
    for round in 0..ROUNDS {
        let mut fixture = Fixture::new(pair.first, &admin);
        operation.prepare(pair.first, &mut fixture);
        soon("the state before", || !operation.is_applied(pair.first, &fixture));
        // Its connections have prepared the statements, so that the first message is the query.
        for _ in 0..3 {
            let another = pair.first.login(&fixture.email);
            assert_eq!(pair.second.profile(&another).status, 200);
        }
        if let Some(redis) = redis {
            // The shared cache would avoid the slow read.
            for keys in [format!("goat:*:{{{}}}:u", fixture.id), "goat:*:{roles}:r".to_owned()] {
                for key in redis.cli(&["KEYS", &keys]).split_whitespace() {
                    redis.cli(&["DEL", key]);
                }
            }
        }
        proxy.delay(DELAY);
        let (before, received) = (proxy.count(), pair.second.series(RECEIVED));
        let late = thread::scope(|scope| {
            let late = scope.spawn(|| operation.probe(pair.second, &fixture));
            soon("the query is sent", || proxy.count() > before);
            let response = operation.perform(pair.first, &fixture).expect("a response");
            assert!((200..300).contains(&response.status), "{operation:?}: {response:?}");
            if redis.is_some() {
                // The invalidation takes another way than the delayed response, and comes first.
                soon("the invalidation arrives", || pair.second.series(RECEIVED) > received);
            }
            proxy.heal();
            late.join().expect("no panic")
        });
        // The query was sent before the change, so the old state is a correct response.
        let (was, is) = operation.statuses();
        assert!(late.status == was || late.status == is, "{operation:?}: {late:?}");
        slow += usize::from(late.status == was);
        for node in [pair.second, pair.first] {
            soon("the operation is applied", || operation.is_applied(node, &fixture));
        }
        for _ in 0..5 {
            for node in pair.nodes() {
                assert!(
                    operation.is_applied(node, &fixture),
                    "{operation:?}, round {round}: the old state returned"
                );
            }
        }
    }
    slow
}

fn proxy_before(address: SocketAddr) -> Proxy {
    let proxy = Proxy::start(address);
    proxy.count_only(|message| !is_heartbeat(message));
    proxy
}

/// One call waits for several delayed responses.
fn pair(programs: [Program; 2]) -> NodePair {
    let with_long_timeout = |program: Program| {
        let program = ["REQUEST_TIMEOUT", "SHUTDOWN_TIMEOUT", "REFRESH_LEEWAY"]
            .into_iter()
            .fold(program, |program, name| program.with(&format!("GOAT_{name}"), "30s"));
        let program =
            program.with("GOAT_STORE_TIMEOUT", "15s").with(LONG_STALENESS.0, LONG_STALENESS.1);
        program.with("GOAT_DATABASE_MAX_CONNECTIONS", "2")
    };
    NodePair::start_connected(programs.map(with_long_timeout))
}

fn read_during_each(
    operations: &[Operation],
    pair: &NodePair,
    proxy: &Proxy,
    redis: Option<&Redis>,
) {
    let slow: Vec<usize> =
        operations.iter().map(|operation| read_during(*operation, pair, proxy, redis)).collect();
    // With Redis most reads find out that they are stale when they fill the shared cache.
    let least = if redis.is_some() { 2 } else { operations.len() };
    assert!(slow.iter().sum::<usize>() >= least, "hardly any read was stale: {slow:?}");
}

#[test]
fn stale_read_of_postgresql_fills_no_cache() {
    let postgres = Postgres::shared();
    let proxy = proxy_before(postgres.address());
    let url = postgres.create_database();
    let pair = pair([node(&url), node(&proxy.url(&url))]);
    let operations = [
        Operation::Logout,
        Operation::Suspend,
        Operation::RevokeAll,
        Operation::ChangePassword,
        Operation::LowerRole,
        Operation::RevokeGrant,
    ];
    read_during_each(&operations, &pair, &proxy, None);
    pair.stop();
}

/// Only PostgreSQL is slow: the invalidation arrives during the read, whose result must enter neither
/// cache.
#[test]
fn stale_read_of_postgresql_beside_redis_fills_no_cache() {
    let (postgres, redis) = (Postgres::shared(), Redis::start(RedisOptions::default()));
    let proxy = proxy_before(postgres.address());
    let url = postgres.create_database();
    let pair = pair([node_with(&url, &redis.url()), node_with(&proxy.url(&url), &redis.url())]);
    let operations = [
        Operation::Suspend,
        Operation::RevokeAll,
        Operation::ChangePassword,
        Operation::LowerRole,
        Operation::RevokeGrant,
    ];
    read_during_each(&operations, &pair, &proxy, Some(&redis));
    pair.stop();
}

/// Sessions are in Redis.
#[test]
fn stale_read_of_redis_fills_no_cache() {
    let (postgres, redis) = (Postgres::shared(), Redis::start(RedisOptions::default()));
    let proxy = proxy_before(redis.address());
    let url = postgres.create_database();
    let pair = pair([node_with(&url, &redis.url()), node_with(&url, &proxy.url(&redis.url()))]);
    read_during_each(&[Operation::Logout, Operation::RevokeSession], &pair, &proxy, None);
    pair.stop();
}
