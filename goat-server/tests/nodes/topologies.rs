//! Several nodes, one truth: what happens on one holds on the others, wherever state is kept.

use std::collections::BTreeSet;
use std::thread;

use goat_engines::{Redis, RedisCluster, RedisOptions, Sentinel};
use serde_json::json;

use crate::support::node::{
    Node, Person, REMEMBERS, data, database, node, node_with, soon, wait_until,
};
use crate::support::process::Site;

/// Two nodes of the same settings, at work until they are dropped.
fn both(site: impl Fn() -> Site, test: impl FnOnce(Node, Node)) {
    let sites = [site(), site()].map(|site| site.with(REMEMBERS.0, REMEMBERS.1));
    let [(one, first), (other, second)] = sites.each_ref().map(Site::serve);
    let [first, second] = [first, second].map(Node::at);
    first.wait_until_it_hears();
    second.wait_until_it_hears();
    test(first, second);
    one.stop();
    other.stop();
}

/// What one node gives out the other takes, and what one ends the other refuses: sessions, roles,
/// statuses, permissions. The other one remembers that it was good, and would for a minute.
fn two_nodes_are_one(one: Node, other: Node) {
    one.sign_up("ann@example.org");
    let ann = other.login("ann@example.org");
    let remembered = || {
        for _ in 0..2 {
            assert_eq!(one.profile(&ann).status, 200);
            assert_eq!(other.profile(&ann).status, 200);
        }
    };
    let hits = other.series("goat_session_cache_hits_total");
    remembered();
    assert!(other.series("goat_session_cache_hits_total") > hits, "the other node remembers");

    // A right that is given at one is there at the other.
    let admin = one.administrator();
    let list =
        |node: Node| node.0.get("/api/v1/user/list", &ann.access).expect("a response").status;
    assert_eq!(list(other), 403);
    let id = one.profile(&ann).body["data"]["id"].as_str().expect("an id").to_owned();
    let change = |what: &str, body: serde_json::Value| {
        let path = format!("/api/v1/user/{id}/change-{what}");
        data(one.0.call("PATCH", &path, Some(&admin.access), Some(&body)));
    };
    change("role", json!({"role": "operator"}));
    soon("the role is in force", || list(other) == 200);
    let grants = data(one.0.get("/api/v1/permission/operator", &admin.access));
    let read = grants.as_array().expect("a list").iter().find(|one| one["action"] == "user:read");
    let path = format!("/api/v1/permission/{}", read.expect("a grant")["id"].as_str().expect("id"));
    let taken = one.0.call("DELETE", &path, Some(&admin.access), None).expect("a response");
    assert_eq!(taken.status, 204);
    soon("the permission is gone", || list(other) == 403);

    // Signing out at one is obeyed by the other, and ends one session.
    let second = one.login("ann@example.org");
    assert_eq!(other.profile(&second).status, 200);
    remembered();
    one.logout(&second);
    soon("the session is over", || {
        let refused = other.profile(&second);
        refused.status == 401 && refused.failure() == (401, "session-revoked")
    });
    assert_eq!(other.profile(&ann).status, 200);

    // Whoever is suspended at one is out at the other, and stays out when they are let in again.
    remembered();
    change("status", json!({"status": "suspended"}));
    soon("the user is out", || other.profile(&ann).status == 401);
    assert_eq!(other.try_login("ann@example.org", crate::support::node::PASSWORD).status, 403);
    change("status", json!({"status": "active"}));
    assert_eq!(other.profile(&ann).failure(), (401, "session-revoked"));
    assert_eq!(other.refresh(&ann).failure(), (401, "session-revoked"));

    assert!(one.series("goat_invalidations_sent_total") >= Some(4.0));
    assert!(other.series("goat_invalidations_received_total") >= Some(4.0));
    assert_eq!(other.series("goat_invalidations_failed_total"), Some(0.0));
}

#[test]
fn two_nodes_on_postgresql_alone_are_one() {
    let database = database();
    both(
        || node(&database),
        |one, other| {
            two_nodes_are_one(one, other);
            assert!(one.series("goat_limit_keys").is_some(), "limits are counted in the process");
        },
    );
}

#[test]
fn two_nodes_on_postgresql_and_redis_are_one() {
    let (database, redis) = (database(), Redis::start(RedisOptions::default()));
    both(
        || node_with(&database, &redis.url()),
        |one, other| {
            two_nodes_are_one(one, other);
            for name in [
                "sessions.find",
                "invalidations.publish",
                "shared_cache.get",
                "shared_cache.invalidate_below",
            ] {
                let series = format!("goat_store_calls_total{{operation=\"{name}\"}}");
                let calls = [one, other].map(|node| node.series(&series).unwrap_or(0.0));
                assert!(calls[0] + calls[1] > 0.0, "{name}");
            }
            let hits = "goat_shared_cache_hits_total{kind=\"users\"}";
            let hits = [one, other].map(|node| node.series(hits).expect("it is told"));
            assert!(hits[0] + hits[1] > 0.0, "what one reads the other need not");
            assert_eq!(one.series("goat_limit_keys"), None, "no limit is counted here");
        },
    );
}

#[test]
fn two_nodes_on_postgresql_and_a_cluster_are_one() {
    let (database, cluster) = (database(), RedisCluster::start());
    let urls = cluster.urls().join(",");
    both(|| node_with(&database, &urls), two_nodes_are_one);
}

/// And they are again once the sentinels have made the replica the master.
#[test]
fn two_nodes_on_postgresql_and_what_sentinels_watch_are_one() {
    let (database, sentinel) = (database(), Sentinel::start(3));
    let urls = sentinel.urls().join(",");
    both(
        || node_with(&database, &urls),
        |one, other| {
            two_nodes_are_one(one, other);
            sentinel.failover();
            for node in [one, other] {
                wait_until("it is ready", || node.ready().status == 200);
            }
            one.wait_until_it_hears();
            other.wait_until_it_hears();
            let ann = one.login("ann@example.org");
            assert_eq!(other.profile(&ann).status, 200);
            one.logout(&ann);
            soon("the session is over", || other.profile(&ann).status == 401);
        },
    );
}

/// Two processes of one machine.
#[test]
fn two_nodes_on_one_file_and_redis_are_one() {
    let redis = Redis::start(RedisOptions::default());
    let folder = tempfile::tempdir().expect("a folder");
    let file = format!("sqlite://{}", folder.path().join("goat.db").display());
    both(|| node_with(&file, &redis.url()), two_nodes_are_one);
}

/// R1: two tabs that reach two nodes.
#[test]
fn one_refresh_token_shown_to_two_nodes_at_once_has_one_successor() {
    let redis = Redis::start(RedisOptions::default());
    let (first, second) = (database(), database());
    for site in [&(|| node(&first)) as &dyn Fn() -> Site, &|| node_with(&second, &redis.url())] {
        both(site, |one, other| {
            one.sign_up("ann@example.org");
            let ann = one.login("ann@example.org");
            let responses: Vec<_> = thread::scope(|scope| {
                let ask = |node: Node| {
                    scope.spawn({
                        let ann = &ann;
                        move || node.refresh(ann)
                    })
                };
                let asked: Vec<_> = (0..25).flat_map(|_| [ask(one), ask(other)]).collect();
                asked.into_iter().map(|asked| asked.join().expect("no panic")).collect()
            });
            let successors: BTreeSet<_> = responses
                .iter()
                .map(|response| {
                    assert_eq!(response.status, 200, "{response:?}");
                    response.body["data"]["refresh_token"].as_str().expect("a token")
                })
                .collect();
            assert_eq!(successors.len(), 1);
            let next = crate::support::node::Person::of(&responses[0]);
            assert_eq!(other.refresh(&next).status, 200);
            // R2: used twice over, the first one ends the session on both.
            assert_eq!(one.refresh(&ann).failure(), (401, "token-reused"));
            soon("the session is over", || other.profile(&next).status == 401);
        });
    }
}

/// B4: whichever node is asked.
#[test]
fn a_limit_is_one_for_all_nodes_with_redis_and_one_for_each_without() {
    let redis = Redis::start(RedisOptions::default());
    let (first, second) = (database(), database());
    let limited = |site: Site| site.with("GOAT_RATE_LIMIT_AUTH", "6/1h");
    let tries = |one: Node, other: Node| {
        let attempt = |node: Node| node.try_login("nobody@example.org", "wrong").status;
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

/// Systems that were given the same Redis, each with a database of its own, share nothing there: what
/// is spent of a limit in one is not spent in the other.
#[test]
fn systems_on_one_redis_keep_apart() {
    let redis = Redis::start(RedisOptions::default());
    let sites = [database(), database()]
        .map(|database| node_with(&database, &redis.url()).with("GOAT_RATE_LIMIT_REFRESH", "2/1m"));
    let [(one, first), (other, second)] = sites.each_ref().map(Site::serve);
    let nobody = Person { access: String::new(), refresh: "none".to_owned() };
    for address in [first, second] {
        let statuses = [(); 3].map(|()| Node::at(address).refresh(&nobody).status);
        assert_eq!(statuses, [401, 401, 429]);
    }
    one.stop();
    other.stop();
}
