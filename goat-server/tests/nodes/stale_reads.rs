//! A reader that was under way while a change was made never brings back what was before: not on its
//! own node, and not by what nodes remember together.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use goat_engines::{Postgres, Proxy, Redis, RedisOptions};

use crate::support::node::{node, node_with, soon};
use crate::support::process::Site;
use crate::support::two_nodes::{Act, LONG, Pair, Scene, is_heartbeat};

/// For how long a response lies on the way: several times as long as an act takes.
const ON_THE_WAY: Duration = Duration::from_millis(150);
const ROUNDS: usize = 3;

/// The other node's responses come late: it has asked, then the change is made, then it gets to know
/// what was before. Answers how often it did.
fn a_slow_reader_meets(act: Act, pair: &Pair, proxy: &Proxy, redis: Option<&Redis>) -> usize {
    let admin = pair.one.administrator();
    let mut slow = 0;
    for round in 0..ROUNDS {
        let mut scene = Scene::new(pair.one, &admin);
        act.prepare(pair.one, &mut scene);
        soon("it is as before", || !act.is_obeyed(pair.one, &scene));
        // Its connections have prepared what it is to ask, so that the first message is the question.
        for _ in 0..3 {
            let another = pair.one.login(&scene.email);
            assert_eq!(pair.other.profile(&another).status, 200);
        }
        if let Some(redis) = redis {
            // What the nodes remember together would spare the other the slow read.
            for keys in [format!("goat:*:{{{}}}:u", scene.id), "goat:*:{roles}:r".to_owned()] {
                for key in redis.cli(&["KEYS", &keys]).split_whitespace() {
                    redis.cli(&["DEL", key]);
                }
            }
        }
        proxy.delay(ON_THE_WAY);
        let before = proxy.count();
        let late = thread::scope(|scope| {
            let late = scope.spawn(|| act.probe(pair.other, &scene));
            soon("it has asked", || proxy.count() > before);
            let response = act.perform(pair.one, &scene).expect("a response");
            assert!((200..300).contains(&response.status), "{act:?}: {response:?}");
            late.join().expect("no panic")
        });
        proxy.heal();
        // It asked before the change: what it is answered may be what was before.
        let (was, is) = act.statuses();
        assert!(late.status == was || late.status == is, "{act:?}: {late:?}");
        slow += usize::from(late.status == was);
        for node in [pair.other, pair.one] {
            soon("it obeys", || act.is_obeyed(node, &scene));
        }
        for _ in 0..5 {
            for node in pair.nodes() {
                assert!(act.is_obeyed(node, &scene), "{act:?}, round {round}: it came back");
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

/// Several responses of one call are late, one after the other.
fn pair(sites: [Site; 2]) -> Pair {
    let patient = |site: Site| {
        let site = site.with("GOAT_STORE_TIMEOUT", "5s").with(LONG.0, LONG.1);
        site.with("GOAT_DATABASE_MAX_CONNECTIONS", "2")
    };
    Pair::that_hear(sites.map(patient))
}

fn all_meet(acts: &[Act], pair: &Pair, proxy: &Proxy, redis: Option<&Redis>) {
    let slow: Vec<usize> =
        acts.iter().map(|act| a_slow_reader_meets(*act, pair, proxy, redis)).collect();
    // With Redis most of them learn, when they put down what they have read, that it is old.
    let least = if redis.is_some() { 2 } else { acts.len() };
    assert!(slow.iter().sum::<usize>() >= least, "hardly any reader was slow: {slow:?}");
}

#[test]
fn on_postgresql_alone_a_slow_reader_brings_nothing_back() {
    let postgres = Postgres::shared();
    let proxy = proxy_before(postgres.address());
    let url = postgres.create_database();
    let pair = pair([node(&url), node(&proxy.url(&url))]);
    let acts = [
        Act::Logout,
        Act::Suspend,
        Act::RevokeAll,
        Act::ChangePassword,
        Act::LowerRole,
        Act::TakeGrant,
    ];
    all_meet(&acts, &pair, &proxy, None);
    pair.stop();
}

/// The way to PostgreSQL is slow, and that of notices is not: the eviction comes amid the read, and
/// what was read is not to be remembered here nor for the others.
#[test]
fn with_redis_a_slow_reader_of_postgresql_brings_nothing_back() {
    let (postgres, redis) = (Postgres::shared(), Redis::start(RedisOptions::default()));
    let proxy = proxy_before(postgres.address());
    let url = postgres.create_database();
    let pair = pair([node_with(&url, &redis.url()), node_with(&proxy.url(&url), &redis.url())]);
    let acts = [Act::Suspend, Act::RevokeAll, Act::ChangePassword, Act::LowerRole, Act::TakeGrant];
    all_meet(&acts, &pair, &proxy, Some(&redis));
    pair.stop();
}

/// The sessions lie there, so it is their end that it meets.
#[test]
fn with_redis_a_slow_reader_of_redis_brings_nothing_back() {
    let (postgres, redis) = (Postgres::shared(), Redis::start(RedisOptions::default()));
    let proxy = proxy_before(redis.address());
    let url = postgres.create_database();
    let pair = pair([node_with(&url, &redis.url()), node_with(&url, &proxy.url(&redis.url()))]);
    all_meet(&[Act::Logout, Act::RevokeSession], &pair, &proxy, None);
    pair.stop();
}
