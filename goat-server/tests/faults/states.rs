//! Backends that are slow, out of connections, emptied, or restored from an older state.

use std::fs;
use std::thread;
use std::time::Duration;

use goat_engines::{Postgres, PostgresOptions, Proxy, Redis, RedisOptions};

use super::responses::{
    in_time, is_success, once_recovered, wait_until_ready, with_short_timeouts,
};
use crate::support::node::{Node, node, node_with, soon, wait_until};
use crate::support::two_nodes::{Fixture, NodePair, Operation, verify};

fn assert_outage(case: &str, at: Node, fixture: &Fixture) {
    for response in [
        in_time(case, || Some(fixture.login(at))),
        in_time(case, || Some(at.refresh(&fixture.first))),
        in_time(case, || Some(at.profile(&fixture.first))),
        in_time(case, || Operation::Suspend.perform(at, fixture)),
    ] {
        assert!(!is_success(case, &response), "{case}: {response:?}");
    }
    assert_eq!(at.health(), 200, "{case}: O2");
    assert_eq!(in_time(case, || Some(at.ready())).status, 503, "{case}: O2");
}

fn assert_recovery(case: &str, at: Node, fixture: &Fixture) {
    wait_until_ready(case, at);
    assert_eq!(once_recovered(case, || Some(fixture.login(at))).status, 200, "{case}");
    assert_eq!(once_recovered(case, || Some(at.profile(&fixture.first))).status, 200, "{case}");
    // R3: the attempt during the outage, perhaps with a rotation, did not use up the token.
    let refreshed = once_recovered(case, || Some(at.refresh(&fixture.first)));
    assert_eq!(refreshed.status, 200, "{case}: {refreshed:?}");
}

/// O1: slower than the timeout, and then just slow.
#[test]
fn slow_backend_is_a_503_only_beyond_the_timeout() {
    let redis = Redis::start(RedisOptions::default());
    for is_redis in [false, true] {
        let url = Postgres::shared().create_database();
        let backend = if is_redis { redis.address() } else { Postgres::shared().address() };
        let proxy = Proxy::start(backend);
        let program = match is_redis {
            false => node(&proxy.url(&url)),
            true => node_with(&url, &proxy.url(&redis.url())),
        };
        let pair = NodePair::start([with_short_timeouts(program), node(&url)]);
        let admin = pair.first.admin();
        let fixture = Fixture::new(pair.first, &admin);
        let case = if is_redis { "a slow Redis" } else { "a slow PostgreSQL" };
        proxy.delay(Duration::from_secs(60));
        // Cached sessions expire first.
        if !is_redis {
            wait_until("caches expired", || pair.first.profile(&fixture.first).status == 503);
        }
        assert_outage(case, pair.first, &fixture);
        proxy.heal();
        assert_recovery(case, pair.first, &fixture);
        proxy.delay(Duration::from_millis(5));
        assert_eq!(once_recovered(case, || Some(fixture.login(pair.first))).status, 200);
        proxy.heal();
        pair.stop();
    }
}

/// O1: other clients use all connections.
#[test]
fn postgresql_without_free_connections_is_a_503() {
    // The remaining connections are reserved for superusers.
    const OTHERS: usize = 8;
    let settings = ["max_connections = 20", "superuser_reserved_connections = 12"];
    let postgres = Postgres::start(PostgresOptions {
        settings: settings.map(str::to_owned).into(),
        ..Default::default()
    });
    let url = postgres.url();
    node(&url).run_ok(&["migrate"], "");
    postgres.psql(
        "postgres",
        "CREATE ROLE app LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app",
    );
    let ours = node(&url.replace("goat@", "app@")).with("GOAT_MIGRATE_ON_START", "false");
    let program = with_short_timeouts(ours.with("GOAT_DATABASE_MAX_CONNECTIONS", "2"));
    let (server, address) = program.serve();
    let at = Node::at(address);
    let admin = at.admin();
    let fixture = Fixture::new(at, &admin);
    thread::scope(|scope| {
        let others: Vec<_> = (0..OTHERS)
            .map(|_| scope.spawn(|| postgres.try_psql("postgres", "SELECT 'other', pg_sleep(600)")))
            .collect();
        let sleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        // This query uses a reserved connection.
        wait_until("all connections are in use", || {
            postgres.try_psql("postgres", sleep).is_ok_and(|count| count == OTHERS.to_string())
        });
        postgres.psql(
            "postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'",
        );
        wait_until("caches expired", || at.profile(&fixture.first).status == 503);
        assert_outage("no connection", at, &fixture);
        assert!(others.iter().all(|other| !other.is_finished()), "the connections stayed in use");
        let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity \
                      WHERE wait_event = 'PgSleep'";
        assert_eq!(postgres.psql("postgres", cancel).trim(), OTHERS.to_string());
        for other in others {
            other.join().expect("no panic").expect_err("it was cancelled");
        }
    });
    assert_recovery("no connection", at, &fixture);
    server.stop();
}

/// R9.
#[test]
fn emptied_redis_ends_all_sessions() {
    let redis = Redis::start(RedisOptions::default());
    let url = Postgres::shared().create_database();
    let pair = NodePair::start_connected(
        [(); 2].map(|()| with_short_timeouts(node_with(&url, &redis.url()))),
    );
    let admin = pair.first.admin();
    let ended =
        [Operation::Logout, Operation::Suspend, Operation::RevokeAll, Operation::ChangePassword]
            .map(|operation| {
                let fixture = Fixture::new(pair.first, &admin);
                let response = operation.perform(pair.first, &fixture).expect("a response");
                assert!((200..300).contains(&response.status), "{response:?}");
                fixture
            });
    let alive = Fixture::new(pair.first, &admin);
    assert_eq!(redis.cli(&["FLUSHALL"]), "OK");
    for node in pair.nodes() {
        for fixture in ended.iter().chain([&alive]) {
            for tokens in [&fixture.first, &fixture.second] {
                // It may be cached for the staleness.
                soon("the session ended", || node.profile(tokens).status == 401);
                assert_eq!(node.refresh(tokens).failure(), (401, "session-revoked"));
            }
        }
        assert_eq!(node.ready().status, 200);
    }
    assert_eq!(ended[1].login(pair.first).status, 403, "suspended as before");
    for node in pair.nodes() {
        let tokens = crate::support::node::Tokens::of(&alive.login(node));
        for node in pair.nodes() {
            assert_eq!(node.profile(&tokens).status, 200);
        }
    }
    pair.stop();
}

/// R9: the epoch in the database rejects the restored sessions.
#[test]
fn restored_redis_revives_no_ended_session() {
    let redis = Redis::start(RedisOptions::default());
    let url = Postgres::shared().create_database();
    let pair = NodePair::start_connected(
        [(); 2].map(|()| with_short_timeouts(node_with(&url, &redis.url()))),
    );
    let admin = pair.first.admin();
    let operations = [
        Operation::Suspend,
        Operation::ChangePassword,
        Operation::RevokeOthers,
        Operation::RevokeAll,
        Operation::RevokeByAdministrator,
        Operation::Delete,
    ];
    let fixtures = operations.map(|_| Fixture::new(pair.first, &admin));
    let alive = Fixture::new(pair.first, &admin);
    // Both nodes cache all sessions.
    for node in pair.nodes() {
        for fixture in &fixtures {
            assert_eq!(
                (node.profile(&fixture.first).status, node.profile(&fixture.second).status),
                (200, 200)
            );
        }
    }
    assert_eq!(redis.cli(&["SAVE"]), "OK");
    let file = redis.folder().join("dump.rdb");
    let older = fs::read(&file).expect("a dump");
    for (operation, fixture) in operations.into_iter().zip(&fixtures) {
        let response = operation.perform(pair.first, fixture).expect("a response");
        assert!((200..300).contains(&response.status), "{operation:?}: {response:?}");
    }
    let users_with_sessions = || redis.cli(&["KEYS", "goat:*:s"]).lines().count();
    let before = users_with_sessions();
    redis.kill();
    fs::write(&file, older).expect("the older dump");
    redis.restart();
    let after = users_with_sessions();
    assert!(after > before, "sessions are restored: {before} users, then {after}");
    for node in pair.nodes() {
        wait_until_ready("back in time", node);
        for (operation, fixture) in operations.into_iter().zip(&fixtures) {
            // A changed password replaces the tokens of the first session.
            let sessions = if operation == Operation::RevokeOthers {
                vec![&fixture.second]
            } else {
                vec![&fixture.first, &fixture.second]
            };
            for tokens in sessions {
                soon("the session ended", || node.profile(tokens).status == 401);
                let refused = once_recovered("refresh", || Some(node.refresh(tokens)));
                assert_eq!(refused.status, 401, "{operation:?}: {refused:?}");
                assert_eq!(node.profile(tokens).status, 401, "{operation:?}");
                // Only session validation, without a read of the user.
                assert_eq!(verify(node, tokens).status, 401, "{operation:?}");
            }
        }
        assert_eq!(once_recovered("alive", || Some(node.profile(&alive.first))).status, 200);
    }
    // Reactivation restores no session.
    let back = once_recovered("active", || fixtures[0].change(pair.first, "status", "active"));
    assert_eq!(back.status, 200, "{back:?}");
    for node in pair.nodes() {
        assert_eq!(node.profile(&fixtures[0].first).status, 401);
        assert_eq!(node.refresh(&fixtures[0].second).status, 401);
    }
    pair.stop();
}
