//! Races between nodes: each decision is made once.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use goat_engines::{Redis, RedisOptions};
use serde_json::json;

use crate::support::node::{LONG_STALENESS, Node, Tokens, data, database, node, node_with, soon};
use crate::support::process::{Program, Response};
use crate::support::two_nodes::{Fixture, NodePair};

fn on_both_deployments(test: impl Fn(NodePair)) {
    let redis = Redis::start(RedisOptions::default());
    let (first, second) = (database(), database());
    let programs: [&dyn Fn() -> Program; 2] =
        [&|| node(&first), &|| node_with(&second, &redis.url())];
    for program in programs {
        test(NodePair::start_connected(
            [(); 2].map(|()| program().with(LONG_STALENESS.0, LONG_STALENESS.1)),
        ));
    }
}

/// Sends concurrent requests, alternating between the nodes.
fn concurrently(
    nodes: [Node; 2],
    count: usize,
    ask: impl Fn(Node) -> Response + Sync,
) -> Vec<Response> {
    let barrier = Barrier::new(count);
    thread::scope(|scope| {
        let asked: Vec<_> = (0..count)
            .map(|turn| {
                let (barrier, ask, node) = (&barrier, &ask, nodes[turn % 2]);
                scope.spawn(move || {
                    barrier.wait();
                    ask(node)
                })
            })
            .collect();
        asked.into_iter().map(|asked| asked.join().expect("no panic")).collect()
    })
}

/// R1, R2
#[test]
fn concurrent_refreshes_on_two_nodes_have_one_successor() {
    const ROUNDS: usize = 6;
    on_both_deployments(|pair| {
        pair.first.sign_up("ann@example.org");
        let first = pair.first.login("ann@example.org");
        let mut ann = first.clone();
        for round in 0..ROUNDS {
            let responses = concurrently(pair.nodes(), 50, |node| node.refresh(&ann));
            let successors: BTreeSet<String> = responses
                .iter()
                .map(|response| {
                    assert_eq!(response.status, 200, "round {round}: {response:?}");
                    Tokens::of(response).refresh
                })
                .collect();
            assert_eq!(successors.len(), 1, "round {round}");
            ann = Tokens::of(&responses[round % responses.len()]);
            // R5: every issued access token is valid on both nodes.
            for (turn, response) in responses.iter().enumerate().take(4) {
                assert_eq!(pair.nodes()[turn % 2].profile(&Tokens::of(response)).status, 200);
            }
        }
        assert_eq!(pair.second.refresh(&first).failure(), (401, "token-reused"));
        for node in pair.nodes() {
            soon("the session ended", || node.profile(&ann).status == 401);
            assert_eq!(node.refresh(&ann).failure(), (401, "session-revoked"));
        }
        pair.stop();
    });
}

/// A3: each sends the request to a node of its own.
#[test]
fn of_two_administrators_who_demote_each_other_on_two_nodes_one_stays() {
    const ROUNDS: usize = 8;
    on_both_deployments(|pair| {
        let mut wins = [0; 2];
        let first = pair.first.admin();
        let second = Fixture::new(pair.first, &first);
        data(second.change(pair.first, "role", "admin"));
        let id = |tokens: &Tokens| {
            let profile = data(Some(pair.first.profile(tokens)));
            profile["id"].as_str().expect("an id").to_owned()
        };
        let ids = [id(&first), second.id.clone()];
        let sessions = [first, second.first.clone()];
        for node in pair.nodes() {
            soon("both are administrators", || {
                sessions.iter().all(|one| roles(node, one) == Some(200))
            });
        }
        for round in 0..ROUNDS {
            let barrier = Barrier::new(2);
            let demote = &|turn: usize| {
                let path = format!("/api/v1/user/{}/change-role", ids[1 - turn]);
                let (node, token) = (pair.nodes()[turn], &sessions[turn].access);
                barrier.wait();
                let body = json!({"role": "client"});
                node.0.call("PATCH", &path, Some(token), Some(&body)).expect("a response")
            };
            let responses = thread::scope(|scope| {
                let asked = [0, 1].map(|turn| scope.spawn(move || demote(turn)));
                asked.map(|asked| asked.join().expect("no panic"))
            });
            let won: Vec<_> = (0..2).filter(|turn| responses[*turn].status == 200).collect();
            assert_eq!(won.len(), 1, "round {round}: {responses:?}");
            let lost = &responses[1 - won[0]];
            assert!([403, 409].contains(&lost.status), "round {round}: {lost:?}");
            wins[won[0]] += 1;
            // The winner is administrator on both nodes, and promotes the other again.
            for node in pair.nodes() {
                assert_eq!(roles(node, &sessions[won[0]]), Some(200), "round {round}");
                soon("the other is demoted", || roles(node, &sessions[1 - won[0]]) == Some(403));
            }
            let path = format!("/api/v1/user/{}/change-role", ids[1 - won[0]]);
            let body = json!({"role": "admin"});
            data(pair.first.0.call("PATCH", &path, Some(&sessions[won[0]].access), Some(&body)));
            for node in pair.nodes() {
                soon("both are administrators", || {
                    sessions.iter().all(|one| roles(node, one) == Some(200))
                });
            }
        }
        assert_eq!(wins.iter().sum::<usize>(), ROUNDS);
        pair.stop();
    });
}

/// The status of a request that only administrators may send.
fn roles(node: Node, tokens: &Tokens) -> Option<u16> {
    Some(node.0.get("/api/v1/role", &tokens.access)?.status)
}
