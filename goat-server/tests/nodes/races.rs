//! What is decided once, however many nodes are asked at the same moment.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use goat_engines::{Redis, RedisOptions};
use serde_json::json;

use crate::support::node::{Node, Person, data, database, node, node_with, soon};
use crate::support::process::{Response, Site};
use crate::support::two_nodes::{LONG, Pair, Scene};

fn on_both_engines(test: impl Fn(Pair)) {
    let redis = Redis::start(RedisOptions::default());
    let (first, second) = (database(), database());
    let sites: [&dyn Fn() -> Site; 2] = [&|| node(&first), &|| node_with(&second, &redis.url())];
    for site in sites {
        test(Pair::that_hear([(); 2].map(|()| site().with(LONG.0, LONG.1))));
    }
}

/// Asks all at the same moment, in turn one node and the other.
fn at_once(nodes: [Node; 2], count: usize, ask: impl Fn(Node) -> Response + Sync) -> Vec<Response> {
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

/// R1, R2: each successor is shown fifty times too, and so on.
#[test]
fn fifty_refreshes_of_one_token_over_two_nodes_have_one_successor_round_after_round() {
    const ROUNDS: usize = 6;
    on_both_engines(|pair| {
        pair.one.sign_up("ann@example.org");
        let first = pair.one.login("ann@example.org");
        let mut ann = first.clone();
        for round in 0..ROUNDS {
            let responses = at_once(pair.nodes(), 50, |node| node.refresh(&ann));
            let successors: BTreeSet<String> = responses
                .iter()
                .map(|response| {
                    assert_eq!(response.status, 200, "round {round}: {response:?}");
                    Person::of(response).refresh
                })
                .collect();
            assert_eq!(successors.len(), 1, "round {round}");
            ann = Person::of(&responses[round % responses.len()]);
            // R5: each access token that was given out is good on either node.
            for (turn, response) in responses.iter().enumerate().take(4) {
                assert_eq!(pair.nodes()[turn % 2].profile(&Person::of(response)).status, 200);
            }
        }
        assert_eq!(pair.other.refresh(&first).failure(), (401, "token-reused"));
        for node in pair.nodes() {
            soon("the session is over", || node.profile(&ann).status == 401);
            assert_eq!(node.refresh(&ann).failure(), (401, "session-revoked"));
        }
        pair.stop();
    });
}

/// A3: each on a node of their own, at the same moment; by role, by status, by deletion.
#[test]
fn of_two_administrators_who_put_each_other_down_on_two_nodes_one_stays() {
    const ROUNDS: usize = 8;
    on_both_engines(|pair| {
        let mut wins = [0; 2];
        let first = pair.one.administrator();
        let second = Scene::new(pair.one, &first);
        data(second.change(pair.one, "role", "admin"));
        let id = |person: &Person| {
            let profile = data(Some(pair.one.profile(person)));
            profile["id"].as_str().expect("an id").to_owned()
        };
        let ids = [id(&first), second.id.clone()];
        let people = [first, second.ann.clone()];
        for node in pair.nodes() {
            soon("both are", || people.iter().all(|one| roles(node, one) == Some(200)));
        }
        for round in 0..ROUNDS {
            let barrier = Barrier::new(2);
            let put_down = &|turn: usize| {
                let path = format!("/api/v1/user/{}/change-role", ids[1 - turn]);
                let (node, token) = (pair.nodes()[turn], &people[turn].access);
                barrier.wait();
                let body = json!({"role": "client"});
                node.0.call("PATCH", &path, Some(token), Some(&body)).expect("a response")
            };
            let responses = thread::scope(|scope| {
                let asked = [0, 1].map(|turn| scope.spawn(move || put_down(turn)));
                asked.map(|asked| asked.join().expect("no panic"))
            });
            let won: Vec<_> = (0..2).filter(|turn| responses[*turn].status == 200).collect();
            assert_eq!(won.len(), 1, "round {round}: {responses:?}");
            let lost = &responses[1 - won[0]];
            assert!([403, 409].contains(&lost.status), "round {round}: {lost:?}");
            wins[won[0]] += 1;
            // Whoever stayed still is one, on both nodes, and makes the other one again.
            for node in pair.nodes() {
                assert_eq!(roles(node, &people[won[0]]), Some(200), "round {round}");
                soon("the other is none", || roles(node, &people[1 - won[0]]) == Some(403));
            }
            let path = format!("/api/v1/user/{}/change-role", ids[1 - won[0]]);
            let body = json!({"role": "admin"});
            data(pair.one.0.call("PATCH", &path, Some(&people[won[0]].access), Some(&body)));
            for node in pair.nodes() {
                soon("both are", || people.iter().all(|one| roles(node, one) == Some(200)));
            }
        }
        assert_eq!(wins.iter().sum::<usize>(), ROUNDS);
        pair.stop();
    });
}

/// The status of what only administrators may ask for.
fn roles(node: Node, person: &Person) -> Option<u16> {
    Some(node.0.get("/api/v1/role", &person.access)?.status)
}
