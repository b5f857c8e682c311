//! O3: nodes are replaced one after the other under load, and no request is lost.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use goat_engines::{Redis, RedisOptions};

use crate::support::node::{Node, Person, database, node, node_with, wait_until};
use crate::support::process::Site;

const CLIENTS: usize = 3;
const ROUNDS: usize = 3;
/// How often the balancer asks who is ready; the delay of a drain is many times as long.
const EVERY: Duration = Duration::from_millis(30);

/// Sends each request to one of those who said lately that they are ready, in turn.
#[derive(Default)]
struct Balancer {
    nodes: Mutex<Vec<(SocketAddr, bool)>>,
    turn: AtomicUsize,
}

impl Balancer {
    fn nodes(&self) -> MutexGuard<'_, Vec<(SocketAddr, bool)>> {
        self.nodes.lock().expect("no panic")
    }

    fn next(&self) -> Node {
        let nodes = self.nodes();
        let ready: Vec<_> = nodes.iter().filter(|(_, ready)| *ready).collect();
        assert!(!ready.is_empty(), "no node is ready");
        Node::at(ready[self.turn.fetch_add(1, Ordering::Relaxed) % ready.len()].0)
    }

    /// Asks each node whether it is ready, again and again.
    fn watch(&self, over: &AtomicBool) {
        while !over.load(Ordering::SeqCst) {
            let addresses: Vec<SocketAddr> = self.nodes().iter().map(|(node, _)| *node).collect();
            for address in addresses {
                let response = Node::at(address).0.call("GET", "/api/ready", None, None);
                let ready = response.is_some_and(|response| response.status == 200);
                for (node, known) in self.nodes().iter_mut() {
                    if *node == address {
                        *known = ready;
                    }
                }
            }
            thread::sleep(EVERY);
        }
    }
}

/// Signs in, asks, goes on and signs out; every one of it succeeds on whatever node it lands.
fn live(balancer: &Balancer, email: &str, over: &AtomicBool, answered: &AtomicUsize) {
    let count = || answered.fetch_add(1, Ordering::SeqCst);
    while !over.load(Ordering::SeqCst) {
        let mut person = balancer.next().login(email);
        count();
        for _ in 0..10 {
            let profile = balancer.next().profile(&person);
            assert_eq!(profile.status, 200, "{profile:?}");
            count();
            let refreshed = balancer.next().refresh(&person);
            assert_eq!(refreshed.status, 200, "{refreshed:?}");
            count();
            person = Person::of(&refreshed);
        }
        balancer.next().logout(&person);
        count();
    }
}

fn every_node_is_replaced(site: impl Fn() -> Site) {
    let sites = [site(), site()].map(|site| site.with("GOAT_DRAIN_DELAY", "700ms"));
    let mut servers: Vec<_> = sites.iter().map(Site::serve).collect();
    let balancer = Balancer::default();
    balancer.nodes().extend(servers.iter().map(|(_, address)| (*address, true)));
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let emails: Vec<_> = (0..CLIENTS).map(|turn| format!("ann{turn}@example.org")).collect();
    emails.iter().for_each(|email| balancer.next().sign_up(email));
    thread::scope(|scope| {
        scope.spawn(|| balancer.watch(&over));
        for email in &emails {
            let (balancer, over, answered) = (&balancer, &over, &answered);
            scope.spawn(move || live(balancer, email, over, answered));
        }
        let end = Ending(&over);
        for turn in 0..ROUNDS * 2 {
            let before = answered.load(Ordering::SeqCst);
            let (server, address) = servers.remove(0);
            server.stop();
            balancer.nodes().retain(|(node, _)| *node != address);
            let (server, address) = sites[turn % 2].serve();
            balancer.nodes().push((address, false));
            servers.push((server, address));
            wait_until("it takes part", || balancer.nodes().iter().all(|(_, ready)| *ready));
            let after = answered.load(Ordering::SeqCst);
            assert!(after > before + CLIENTS, "the load went on meanwhile");
        }
        drop(end);
    });
    for (server, _) in servers {
        server.stop();
    }
}

/// Ends the load, also where the test fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_rolling_restart_on_postgresql_alone_loses_no_request() {
    let database = database();
    every_node_is_replaced(|| node(&database));
}

#[test]
fn a_rolling_restart_on_postgresql_and_redis_loses_no_request() {
    let (database, redis) = (database(), Redis::start(RedisOptions::default()));
    every_node_is_replaced(|| node_with(&database, &redis.url()));
}
