//! Every act on one node is in force on the other long before what that one remembers would end.

use goat_engines::{Redis, RedisOptions};

use crate::support::node::{Node, database, node, node_with, soon};
use crate::support::process::Site;
use crate::support::two_nodes::{Act, LONG, Pair, Scene};

/// Does everything on one node while both remember that it was otherwise, and asks both.
fn every_act_is_obeyed(site: impl Fn() -> Site) {
    let sites = [site(), site()].map(|site| site.with(LONG.0, LONG.1));
    let pair = Pair::that_hear(sites);
    let admin = pair.one.administrator();
    for (turn, act) in Act::ALL.into_iter().enumerate() {
        let [at, elsewhere] = if turn % 2 == 0 { pair.nodes() } else { swap(pair.nodes()) };
        let mut scene = Scene::new(at, &admin);
        act.prepare(at, &mut scene);
        act.remember(pair.nodes(), &scene);
        let hits = elsewhere.series(HITS);
        act.remember(pair.nodes(), &scene);
        assert!(elsewhere.series(HITS) > hits, "{act:?}: the other node remembers");

        let response = act.perform(at, &scene).expect("a response");
        assert!((200..300).contains(&response.status), "{act:?}: {response:?}");
        assert!(act.is_obeyed(at, &scene), "{act:?}: it was answered");
        soon("the other node obeys", || act.is_obeyed(elsewhere, &scene));
        for node in pair.nodes() {
            assert!(act.is_obeyed(node, &scene), "{act:?}: and goes on doing so");
            nothing_else_has_changed(act, node, &scene);
        }
    }
    pair.stop();
}

const HITS: &str = "goat_session_cache_hits_total";

fn swap([one, other]: [Node; 2]) -> [Node; 2] {
    [other, one]
}

/// An act ends what it is to end, and no more.
fn nothing_else_has_changed(act: Act, node: Node, scene: &Scene) {
    let (first, second) = match act {
        Act::Logout => (401, 200),
        Act::RevokeSession | Act::RevokeOthers | Act::ChangePassword => (200, 401),
        Act::RevokeAll | Act::RevokeByAdministrator | Act::Suspend | Act::Delete => (401, 401),
        Act::RaiseRole | Act::LowerRole | Act::Grant | Act::TakeGrant => (200, 200),
    };
    for (person, expected) in [(&scene.ann, first), (&scene.second, second)] {
        let response = node.profile(person);
        assert_eq!(response.status, expected, "{act:?}: {response:?}");
        if expected == 401 {
            assert_eq!(node.refresh(person).status, 401, "{act:?}: R4");
        }
    }
    let expected = match act {
        Act::ChangePassword | Act::Delete => 401,
        Act::Suspend => 403,
        _ => 200,
    };
    let response = scene.login(node);
    assert_eq!(response.status, expected, "{act:?}: {response:?}");
}

#[test]
fn on_postgresql_alone_every_act_of_one_node_is_obeyed_by_the_other() {
    let database = database();
    every_act_is_obeyed(|| node(&database));
}

#[test]
fn on_postgresql_and_redis_every_act_of_one_node_is_obeyed_by_the_other() {
    let (database, redis) = (database(), Redis::start(RedisOptions::default()));
    every_act_is_obeyed(|| node_with(&database, &redis.url()));
}

/// What is told reaches each of several, not one of them.
#[test]
fn a_third_node_obeys_too() {
    let redis = Redis::start(RedisOptions::default());
    let (first, second) = (database(), database());
    three(|| node(&first));
    three(|| node_with(&second, &redis.url()));
}

fn three(site: impl Fn() -> Site) {
    let sites = [(); 3].map(|()| site().with(LONG.0, LONG.1));
    let started = sites.each_ref().map(Site::serve);
    let nodes: Vec<Node> = started.iter().map(|(_, address)| Node::at(*address)).collect();
    nodes.iter().for_each(|node| node.wait_until_it_hears());
    let admin = nodes[0].administrator();
    for act in [Act::Logout, Act::Suspend, Act::RevokeAll, Act::RaiseRole] {
        let mut scene = Scene::new(nodes[0], &admin);
        act.prepare(nodes[0], &mut scene);
        for at in &nodes {
            act.remember([*at, nodes[0]], &scene);
        }
        act.perform(nodes[0], &scene).expect("a response");
        for at in &nodes {
            soon("each node obeys", || act.is_obeyed(*at, &scene));
        }
    }
    for (server, _) in started {
        server.stop();
    }
}
