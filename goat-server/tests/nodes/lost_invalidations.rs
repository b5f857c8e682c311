//! Lost invalidations: no response is older than the staleness, and without the session store every
//! request is rejected.

use std::thread;
use std::time::{Duration, Instant};

use goat_engines::{Postgres, PostgresOptions, Redis, RedisOptions};

use crate::support::node::{LONG_STALENESS, Node, Tokens, node, node_with, wait_until};
use crate::support::process::Program;
use crate::support::two_nodes::{Fixture, NodePair, Operation};

const STALENESS: Duration = Duration::from_secs(2);
/// The tolerance for a busy machine. The library's tests have the exact bound, by a manual clock.
const MARGIN: Duration = Duration::from_secs(20);

fn with_short_staleness(program: Program) -> Program {
    program.with("GOAT_SESSION_CACHE_STALENESS", "2s")
}

/// The first node cannot publish after `silence`; the second receives its own heartbeats and so uses its
/// caches.
fn changes_apply_within_the_staleness(silent: Program, connected: Program, silence: impl FnOnce()) {
    let pair = NodePair::start([with_short_staleness(silent), with_short_staleness(connected)]);
    silence();
    pair.second.wait_until_connected();
    wait_until("not even its own", || {
        pair.first.series("goat_invalidation_connected") == Some(0.0)
    });
    let received = || pair.second.series("goat_invalidations_received_total");
    let before = received();
    let admin = pair.first.admin();
    let apply = &|operation: Operation| {
        let mut fixture = Fixture::new(pair.first, &admin);
        operation.prepare(pair.first, &mut fixture);
        operation.warm_caches(pair.nodes(), &fixture);
        operation.warm_caches(pair.nodes(), &fixture);
        let response = operation.perform(pair.first, &fixture).expect("a response");
        let begun = Instant::now();
        assert!((200..300).contains(&response.status), "{operation:?}: {response:?}");
        assert!(operation.is_applied(pair.first, &fixture), "{operation:?}: on its own node");
        let delayed = !operation.is_applied(pair.second, &fixture);
        while !operation.is_applied(pair.second, &fixture) {
            assert!(begun.elapsed() < STALENESS + MARGIN, "{operation:?}: {:?}", begun.elapsed());
            thread::sleep(Duration::from_millis(5));
        }
        // R4: the older state does not return.
        assert!(operation.is_applied(pair.second, &fixture), "{operation:?}");
        delayed
    };
    // Grants concern every client, so these come after the others, one by one.
    let (of_roles, of_users): (Vec<_>, Vec<_>) = Operation::ALL
        .into_iter()
        .partition(|one| matches!(one, Operation::Grant | Operation::RevokeGrant));
    let mut delayed = thread::scope(|scope| {
        let running: Vec<_> =
            of_users.into_iter().map(|one| scope.spawn(move || apply(one))).collect();
        running.into_iter().filter_map(|one| one.join().expect("no panic").then_some(())).count()
    });
    delayed += of_roles.into_iter().filter(|one| apply(*one)).count();
    assert!(delayed > 0, "an invalidation arrived, or nothing was cached");
    assert!(
        pair.first.series("goat_invalidations_failed_total") >= Some(Operation::ALL.len() as f64)
    );
    assert_eq!(received(), before);
    pair.stop();
}

#[test]
fn without_invalidations_by_redis_changes_apply_within_the_staleness() {
    let redis = Redis::start(RedisOptions::default());
    redis.cli(&["ACL", "SETUSER", "silent", "on", ">secret", "~*", "+@all", "&*"]);
    let database = Postgres::shared().create_database();
    let silent = redis.url().replace("redis://", "redis://silent:secret@");
    changes_apply_within_the_staleness(
        node_with(&database, &silent),
        node_with(&database, &redis.url()),
        // A node whose user lacks the right at the start is refused.
        || drop(redis.cli(&["ACL", "SETUSER", "silent", "resetchannels"])),
    );
}

#[test]
fn without_invalidations_by_postgresql_changes_apply_within_the_staleness() {
    let postgres = Postgres::start(PostgresOptions::default());
    let url = postgres.url();
    node(&url).with("GOAT_MIGRATE_ON_START", "true").run_ok(&["migrate"], "");
    postgres.psql(
        "postgres",
        "CREATE ROLE silent LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO silent;
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO silent; GRANT ALL ON SCHEMA public TO silent;
         REVOKE EXECUTE ON FUNCTION pg_notify(text, text) FROM PUBLIC",
    );
    let silent = url.replace("goat@", "silent@");
    changes_apply_within_the_staleness(
        node(&silent).with("GOAT_MIGRATE_ON_START", "false"),
        node(&url),
        || (),
    );
}

/// R9, B8, O1: a cached session is no longer accepted either.
#[test]
fn without_redis_no_session_is_accepted_unchecked() {
    let redis = Redis::start(RedisOptions::default());
    let database = Postgres::shared().create_database();
    let limited =
        |program: Program| with_short_staleness(program).with("GOAT_STORE_TIMEOUT", "500ms");
    let pair =
        NodePair::start_connected([(); 2].map(|()| limited(node_with(&database, &redis.url()))));
    let admin = pair.first.admin();
    let (ann, gone) = (Fixture::new(pair.first, &admin), Fixture::new(pair.first, &admin));
    let status = |node: Node, tokens: &Tokens| node.profile(tokens).status;
    for node in pair.nodes() {
        assert_eq!((status(node, &ann.first), status(node, &gone.first)), (200, 200));
    }
    pair.first.logout(&gone.first);
    redis.kill();
    let begun = Instant::now();
    // A session that was validated within the staleness may still be accepted.
    for node in pair.nodes() {
        while status(node, &ann.first) == 200 {
            assert!(begun.elapsed() < STALENESS + MARGIN, "{:?}", begun.elapsed());
        }
        while status(node, &gone.first) == 200 {
            assert!(begun.elapsed() < STALENESS + MARGIN, "{:?}", begun.elapsed());
        }
    }
    for node in pair.nodes() {
        for tokens in [&ann.first, &ann.second, &gone.first, &admin] {
            for response in [node.profile(tokens), node.refresh(tokens)] {
                assert_eq!(response.failure(), (503, "unavailable"), "{response:?}");
                assert!(response.header("retry-after").parse::<u64>().expect("seconds") >= 1);
            }
        }
        assert_eq!(ann.login(node).failure(), (503, "unavailable"));
    }
    redis.restart();
    for node in pair.nodes() {
        wait_until("ready", || node.ready().status == 200);
        for tokens in [&ann.first, &ann.second, &gone.first] {
            assert_eq!(node.profile(tokens).failure(), (401, "session-revoked"));
            assert_eq!(node.refresh(tokens).failure(), (401, "session-revoked"));
        }
        assert_eq!(ann.login(node).status, 200);
    }
    pair.stop();
}

/// B8: rate limits are in Redis too.
#[test]
fn without_redis_rate_limited_routes_are_unavailable() {
    let redis = Redis::start(RedisOptions::default());
    let database = Postgres::shared().create_database();
    let limited = |program: Program| {
        let names = ["AUTH", "REFRESH", "PUBLIC", "ADDRESS", "USER", "VERIFY", "SESSION_CONTROL"];
        let program = names.into_iter().fold(program, |program, name| {
            program.with(&format!("GOAT_RATE_LIMIT_{name}"), "100000/1m")
        });
        program.with(LONG_STALENESS.0, LONG_STALENESS.1).with("GOAT_STORE_TIMEOUT", "500ms")
    };
    let pair =
        NodePair::start_connected([(); 2].map(|()| limited(node_with(&database, &redis.url()))));
    let admin = pair.first.admin();
    let fixture = Fixture::new(pair.first, &admin);
    Operation::Logout.warm_caches(pair.nodes(), &fixture);
    redis.kill();
    for node in pair.nodes() {
        for _ in 0..3 {
            assert_eq!(node.profile(&fixture.first).failure(), (503, "unavailable"));
        }
    }
    pair.stop();
}
