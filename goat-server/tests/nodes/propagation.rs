//! Propagation: an operation on one node is in effect on the others long before their caches expire.

use goat_engines::{Redis, RedisOptions};

use crate::support::node::{LONG_STALENESS, Node, database, node, node_with, soon};
use crate::support::process::Program;
use crate::support::two_nodes::{Fixture, NodePair, Operation};

/// Performs every operation on one node while both have cached the state before it.
fn every_operation_reaches_the_other_node(
    program: impl Fn() -> Program,
    check_metrics: impl FnOnce(&NodePair),
) {
    let programs =
        [program(), program()].map(|program| program.with(LONG_STALENESS.0, LONG_STALENESS.1));
    let pair = NodePair::start_connected(programs);
    let admin = pair.first.admin();
    for (turn, operation) in Operation::ALL.into_iter().enumerate() {
        let [at, elsewhere] = if turn % 2 == 0 { pair.nodes() } else { swap(pair.nodes()) };
        let mut fixture = Fixture::new(at, &admin);
        operation.prepare(at, &mut fixture);
        operation.warm_caches(pair.nodes(), &fixture);
        let hits = elsewhere.series(HITS);
        operation.warm_caches(pair.nodes(), &fixture);
        assert!(elsewhere.series(HITS) > hits, "{operation:?}: the other node uses its cache");

        let response = operation.perform(at, &fixture).expect("a response");
        assert!((200..300).contains(&response.status), "{operation:?}: {response:?}");
        assert!(operation.is_applied(at, &fixture), "{operation:?}: on its own node");
        soon("the other node applies it", || operation.is_applied(elsewhere, &fixture));
        for node in pair.nodes() {
            assert!(operation.is_applied(node, &fixture), "{operation:?}: permanently");
            nothing_else_has_changed(operation, node, &fixture);
        }
    }
    check_metrics(&pair);
    pair.stop();
}

const HITS: &str = "goat_session_cache_hits_total";

fn swap([one, other]: [Node; 2]) -> [Node; 2] {
    [other, one]
}

/// Asserts that the operation has no other effect.
fn nothing_else_has_changed(operation: Operation, node: Node, fixture: &Fixture) {
    let (first, second) = match operation {
        Operation::Logout => (401, 200),
        Operation::RevokeSession | Operation::RevokeOthers => (200, 401),
        // Which replaces the tokens of the first session.
        Operation::ChangePassword
        | Operation::RevokeAll
        | Operation::RevokeByAdministrator
        | Operation::Suspend
        | Operation::Delete => (401, 401),
        Operation::RaiseRole | Operation::LowerRole | Operation::Grant | Operation::RevokeGrant => {
            (200, 200)
        }
    };
    for (tokens, expected) in [(&fixture.first, first), (&fixture.second, second)] {
        let response = node.profile(tokens);
        assert_eq!(response.status, expected, "{operation:?}: {response:?}");
        if expected == 401 {
            assert_eq!(node.refresh(tokens).status, 401, "{operation:?}: R4");
        }
    }
    let expected = match operation {
        Operation::ChangePassword | Operation::Delete => 401,
        Operation::Suspend => 403,
        _ => 200,
    };
    let response = fixture.login(node);
    assert_eq!(response.status, expected, "{operation:?}: {response:?}");
}

#[test]
fn operations_reach_the_other_node_through_postgresql() {
    let database = database();
    every_operation_reaches_the_other_node(
        || node(&database),
        |pair| {
            let limits = pair.first.series("goat_limit_keys");
            assert!(limits.is_some(), "rate limits are in memory");
        },
    );
}

#[test]
fn operations_reach_the_other_node_through_redis() {
    let (database, redis) = (database(), Redis::start(RedisOptions::default()));
    every_operation_reaches_the_other_node(
        || node_with(&database, &redis.url()),
        |pair| {
            let sum = |series: &str| -> f64 {
                pair.nodes().iter().filter_map(|node| node.series(series)).sum()
            };
            for name in [
                "sessions.find",
                "invalidations.publish",
                "shared_cache.get",
                "shared_cache.invalidate_below",
            ] {
                let calls = sum(&format!("goat_store_calls_total{{operation=\"{name}\"}}"));
                assert!(calls > 0.0, "{name}");
            }
            let hits = sum("goat_shared_cache_hits_total{kind=\"users\"}");
            assert!(hits > 0.0, "a read of one node serves the other");
            assert_eq!(pair.first.series("goat_limit_keys"), None, "rate limits are in Redis");
        },
    );
}

/// An invalidation reaches every node.
#[test]
fn operations_reach_a_third_node() {
    let redis = Redis::start(RedisOptions::default());
    let (first, second) = (database(), database());
    three(|| node(&first));
    three(|| node_with(&second, &redis.url()));
}

fn three(program: impl Fn() -> Program) {
    let programs = [(); 3].map(|()| program().with(LONG_STALENESS.0, LONG_STALENESS.1));
    let started = programs.each_ref().map(Program::serve);
    let nodes: Vec<Node> = started.iter().map(|(_, address)| Node::at(*address)).collect();
    nodes.iter().for_each(|node| node.wait_until_connected());
    let admin = nodes[0].admin();
    for operation in
        [Operation::Logout, Operation::Suspend, Operation::RevokeAll, Operation::RaiseRole]
    {
        let mut fixture = Fixture::new(nodes[0], &admin);
        operation.prepare(nodes[0], &mut fixture);
        for at in &nodes {
            operation.warm_caches([*at, nodes[0]], &fixture);
        }
        operation.perform(nodes[0], &fixture).expect("a response");
        for at in &nodes {
            soon("each node applies it", || operation.is_applied(*at, &fixture));
        }
    }
    for (server, _) in started {
        server.stop();
    }
}
