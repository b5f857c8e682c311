//! Deployments of two nodes on Redis Cluster, Sentinel and one SQLite file, and rate limits over nodes.

use goat_engines::{Redis, RedisCluster, RedisOptions, Sentinel};
use serde_json::json;

use crate::support::node::{
    LONG_STALENESS, Node, Tokens, data, database, node, node_with, soon, wait_until,
};
use crate::support::process::Program;

/// Runs a test on two nodes with the same settings.
fn both(program: impl Fn() -> Program, test: impl FnOnce(Node, Node)) {
    let programs =
        [program(), program()].map(|program| program.with(LONG_STALENESS.0, LONG_STALENESS.1));
    let [(one, first), (other, second)] = programs.each_ref().map(Program::serve);
    let [first, second] = [first, second].map(Node::at);
    first.wait_until_connected();
    second.wait_until_connected();
    test(first, second);
    one.stop();
    other.stop();
}

/// Sessions, roles, statuses and permissions that one node changes apply on the other, which has cached
/// the state before.
fn nodes_share_state(one: Node, other: Node) {
    one.sign_up("ann@example.org");
    let ann = other.login("ann@example.org");
    let warm_caches = || {
        for _ in 0..2 {
            assert_eq!(one.profile(&ann).status, 200);
            assert_eq!(other.profile(&ann).status, 200);
        }
    };
    let hits = other.series("goat_session_cache_hits_total");
    warm_caches();
    assert!(other.series("goat_session_cache_hits_total") > hits, "the other node uses its cache");

    // A new role and a revoked permission.
    let admin = one.admin();
    let list =
        |node: Node| node.0.get("/api/v1/user/list", &ann.access).expect("a response").status;
    assert_eq!(list(other), 403);
    let id = one.profile(&ann).body["data"]["id"].as_str().expect("an id").to_owned();
    let change = |what: &str, body: serde_json::Value| {
        let path = format!("/api/v1/user/{id}/change-{what}");
        data(one.0.call("PATCH", &path, Some(&admin.access), Some(&body)));
    };
    change("role", json!({"role": "operator"}));
    soon("the role applies", || list(other) == 200);
    let grants = data(one.0.get("/api/v1/permission/operator", &admin.access));
    let read = grants.as_array().expect("a list").iter().find(|one| one["action"] == "user:read");
    let path = format!("/api/v1/permission/{}", read.expect("a grant")["id"].as_str().expect("id"));
    let taken = one.0.call("DELETE", &path, Some(&admin.access), None).expect("a response");
    assert_eq!(taken.status, 204);
    soon("the permission is revoked", || list(other) == 403);

    // A logout ends one session on both nodes.
    let second = one.login("ann@example.org");
    assert_eq!(other.profile(&second).status, 200);
    warm_caches();
    one.logout(&second);
    soon("the session ended", || {
        let refused = other.profile(&second);
        refused.status == 401 && refused.failure() == (401, "session-revoked")
    });
    assert_eq!(other.profile(&ann).status, 200);

    // A suspension ends the sessions, and reactivation does not restore them.
    warm_caches();
    change("status", json!({"status": "suspended"}));
    soon("the session ended", || other.profile(&ann).status == 401);
    assert_eq!(other.try_login("ann@example.org", crate::support::node::PASSWORD).status, 403);
    change("status", json!({"status": "active"}));
    assert_eq!(other.profile(&ann).failure(), (401, "session-revoked"));
    assert_eq!(other.refresh(&ann).failure(), (401, "session-revoked"));

    assert!(one.series("goat_invalidations_sent_total") >= Some(4.0));
    assert!(other.series("goat_invalidations_received_total") >= Some(4.0));
    assert_eq!(other.series("goat_invalidations_failed_total"), Some(0.0));
}

#[test]
fn nodes_on_redis_cluster_share_state() {
    let (database, cluster) = (database(), RedisCluster::start());
    let urls = cluster.urls().join(",");
    both(|| node_with(&database, &urls), nodes_share_state);
}

/// Before and after a failover.
#[test]
fn nodes_on_sentinel_share_state() {
    let (database, sentinel) = (database(), Sentinel::start(3));
    let urls = sentinel.urls().join(",");
    both(
        || node_with(&database, &urls),
        |one, other| {
            nodes_share_state(one, other);
            sentinel.failover();
            for node in [one, other] {
                wait_until("ready", || node.ready().status == 200);
            }
            one.wait_until_connected();
            other.wait_until_connected();
            let ann = one.login("ann@example.org");
            assert_eq!(other.profile(&ann).status, 200);
            one.logout(&ann);
            soon("the session ended", || other.profile(&ann).status == 401);
        },
    );
}

/// Two processes on one machine.
#[test]
fn nodes_on_one_sqlite_file_and_redis_share_state() {
    let redis = Redis::start(RedisOptions::default());
    let folder = tempfile::tempdir().expect("a folder");
    let file = format!("sqlite://{}", folder.path().join("goat.db").display());
    both(|| node_with(&file, &redis.url()), nodes_share_state);
}

/// B4
#[test]
fn rate_limits_are_shared_with_redis_and_per_node_without() {
    let redis = Redis::start(RedisOptions::default());
    let (first, second) = (database(), database());
    let limited = |program: Program| program.with("GOAT_RATE_LIMIT_AUTH", "6/1h");
    let tries = |one: Node, other: Node| {
        let attempt = |node: Node| node.try_login("unknown@example.org", "wrong").status;
        let statuses: Vec<u16> = (0..6).flat_map(|_| [attempt(one), attempt(other)]).collect();
        statuses.iter().filter(|status| **status == 401).count()
    };
    both(
        || limited(node_with(&first, &redis.url())),
        |one, other| {
            assert_eq!(tries(one, other), 6);
        },
    );
    both(|| limited(node(&second)), |one, other| assert_eq!(tries(one, other), 12));
}

/// Systems with different databases share no counters in one Redis.
#[test]
fn systems_on_one_redis_are_isolated() {
    let redis = Redis::start(RedisOptions::default());
    let programs = [database(), database()]
        .map(|database| node_with(&database, &redis.url()).with("GOAT_RATE_LIMIT_REFRESH", "2/1m"));
    let [(one, first), (other, second)] = programs.each_ref().map(Program::serve);
    let unknown = Tokens { access: String::new(), refresh: "none".to_owned() };
    for address in [first, second] {
        let statuses = [(); 3].map(|()| Node::at(address).refresh(&unknown).status);
        assert_eq!(statuses, [401, 401, 429]);
    }
    one.stop();
    other.stop();
}
