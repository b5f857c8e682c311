//! O1: read-only backends, such as a PostgreSQL standby or a Redis replica: reads are served, writes are a
//! 503 without any effect, and the nodes recover after a promotion.

use std::collections::BTreeSet;

use goat_engines::{Postgres, PostgresOptions, Redis, RedisOptions};
use serde_json::json;

use super::responses::{
    in_time, is_success, once_recovered, wait_until_ready, with_short_timeouts,
};
use crate::support::node::{Node, PASSWORD, Tokens, node, node_with};
use crate::support::process::Response;
use crate::support::two_nodes::{Fixture, NodePair, Operation};

fn is_refused(case: &str, ask: impl FnOnce() -> Option<Response>) {
    let response = in_time(case, ask);
    assert!(!is_success(case, &response), "{case}: {response:?}");
}

/// Asserts that writes to the database are unavailable.
fn writes_to_the_database(at: Node, fixture: &Fixture) {
    let credentials = json!({"email": format!("new-{}", fixture.email), "password": PASSWORD});
    is_refused("signup", || at.0.post("/api/v1/auth/signup", None, &credentials));
    for operation in [
        Operation::ChangePassword,
        Operation::Suspend,
        Operation::Delete,
        Operation::RaiseRole,
        Operation::Grant,
    ] {
        is_refused(&format!("{operation:?}"), || operation.perform(at, fixture));
    }
    is_refused("revoke all", || Operation::RevokeAll.perform(at, fixture));
}

fn writes_to_sessions(at: Node, fixture: &Fixture) {
    is_refused("login", || Some(fixture.login(at)));
    is_refused("refresh", || Some(at.refresh(&fixture.first)));
    is_refused("logout", || Operation::Logout.perform(at, fixture));
    is_refused("revoke", || Operation::RevokeSession.perform(at, fixture));
}

fn reads(at: Node, fixture: &Fixture) {
    for _ in 0..3 {
        for tokens in [&fixture.first, &fixture.second] {
            assert_eq!(at.profile(tokens).status, 200);
        }
        let list = fixture.as_admin(at, "GET", "/api/v1/user/list", None).expect("a response");
        assert_eq!(list.status, 200, "{list:?}");
        let sessions = fixture.as_user(at, "GET", "/api/v1/sessions", None).expect("a response");
        assert_eq!(sessions.body["data"].as_array().map(Vec::len), Some(2), "{sessions:?}");
    }
    assert_eq!(at.profile(&forged(&fixture.first)).status, 401, "no token passes unchecked");
}

/// Tokens with an invalid signature.
fn forged(tokens: &Tokens) -> Tokens {
    let (signed, _) = tokens.access.rsplit_once('.').expect("three parts");
    Tokens { access: format!("{signed}.{}", "A".repeat(43)), refresh: tokens.refresh.clone() }
}

/// Asserts that the rejected writes had no effect and are possible again.
fn assert_recovery(nodes: [Node; 2], fixture: &Fixture) {
    for node in nodes {
        wait_until_ready("again", node);
        let profile = once_recovered("profile", || Some(node.profile(&fixture.first)));
        assert_eq!(profile.status, 200, "{profile:?}");
        assert_eq!(once_recovered("second", || Some(node.profile(&fixture.second))).status, 200);
        let login = once_recovered("login", || Some(fixture.login(node)));
        assert_eq!(login.status, 200, "the password is the one before: {login:?}");
    }
    let refreshed = once_recovered("refresh", || Some(nodes[0].refresh(&fixture.first)));
    assert_eq!(refreshed.status, 200, "R3: {refreshed:?}");
    let suspended = once_recovered("suspend", || Operation::Suspend.perform(nodes[0], fixture));
    assert_eq!(suspended.status, 200, "{suspended:?}");
    for node in nodes {
        let next = Tokens::of(&refreshed);
        crate::support::node::soon("the operation is applied", || {
            node.profile(&next).status == 401
        });
    }
}

#[test]
fn standby_serves_reads_and_is_a_503_for_writes() {
    let postgres = Postgres::start(PostgresOptions::default());
    let url = postgres.url();
    let pair = NodePair::start_connected([(); 2].map(|()| with_short_timeouts(node(&url))));
    let admin = pair.first.admin();
    let fixture = Fixture::new(pair.first, &admin);
    postgres.make_standby();
    for node in pair.nodes() {
        // Its connections are broken; requests open new ones.
        assert_eq!(once_recovered("read", || Some(node.profile(&fixture.first))).status, 200);
        reads(node, &fixture);
        writes_to_the_database(node, &fixture);
        writes_to_sessions(node, &fixture);
        reads(node, &fixture);
    }
    postgres.promote();
    assert_recovery(pair.nodes(), &fixture);
    pair.stop();
}

#[test]
fn standby_beside_redis_serves_sessions() {
    let postgres = Postgres::start(PostgresOptions::default());
    let redis = Redis::start(RedisOptions::default());
    let url = postgres.url();
    let pair = NodePair::start_connected(
        [(); 2].map(|()| with_short_timeouts(node_with(&url, &redis.url()))),
    );
    let admin = pair.first.admin();
    let fixture = Fixture::new(pair.first, &admin);
    let gone = Fixture::new(pair.first, &admin);
    postgres.make_standby();
    for node in pair.nodes() {
        assert_eq!(once_recovered("read", || Some(node.profile(&fixture.first))).status, 200);
        reads(node, &fixture);
        writes_to_the_database(node, &fixture);
        reads(node, &fixture);
    }
    // Sessions are in Redis.
    let response = in_time("logout", || Operation::Logout.perform(pair.first, &gone));
    if is_success("logout", &response) {
        crate::support::node::soon("the operation is applied", || {
            pair.second.profile(&gone.first).status == 401
        });
    }
    postgres.promote();
    assert_recovery(pair.nodes(), &fixture);
    assert_eq!(pair.second.profile(&gone.first).status, 401, "{response:?}");
    pair.stop();
}

/// B8
#[test]
fn redis_replica_is_a_503_for_writes() {
    let master = Redis::start(RedisOptions::default());
    let redis = Redis::start(RedisOptions::default());
    let url = Postgres::shared().create_database();
    let program = || node_with(&url, &redis.url());
    let pair = NodePair::start_connected([with_short_timeouts(program()), program()]);
    let admin = pair.first.admin();
    let fixture = Fixture::new(pair.first, &admin);
    // Keys of caches and limits come and go.
    let sessions = |redis: &Redis| {
        let keys = redis.cli(&["KEYS", "*:s"]);
        keys.lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let stored = sessions(&redis);
    assert_eq!(stored.len(), 2, "{stored:?}");
    // The new master is a replica first, since a replica of an empty master is emptied.
    master.replica_of(&redis);
    master.cli(&["REPLICAOF", "NO", "ONE"]);
    redis.replica_of(&master);
    assert_eq!(sessions(&redis), stored);
    for node in pair.nodes() {
        writes_to_sessions(node, &fixture);
    }
    for (node, tokens) in
        [(pair.first, forged(&fixture.first)), (pair.second, forged(&fixture.first))]
    {
        let refused = in_time("forged", || Some(node.profile(&tokens)));
        assert!([401, 503].contains(&refused.status), "{refused:?}");
    }
    redis.cli(&["REPLICAOF", "NO", "ONE"]);
    assert_recovery(pair.nodes(), &fixture);
    pair.stop();
}
