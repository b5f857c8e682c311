//! O3: rolling restarts under load lose no request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use goat_engines::{Redis, RedisOptions};

use crate::support::node::{Node, Tokens, database, node, node_with, wait_until};
use crate::support::process::Program;

const CLIENTS: usize = 3;
const ROUNDS: usize = 3;
/// The interval of the balancer's readiness checks.
const EVERY: Duration = Duration::from_millis(20);
/// Much longer than a round of checks takes, even on a busy machine.
const DRAIN_DELAY: &str = "2s";

/// A round-robin load balancer over the nodes that were ready at the last check.
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

    /// Checks the readiness of every node periodically.
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

/// Signs in, sends requests, refreshes and signs out; every response must be a success.
fn live(balancer: &Balancer, email: &str, over: &AtomicBool, answered: &AtomicUsize) {
    let count = || answered.fetch_add(1, Ordering::SeqCst);
    while !over.load(Ordering::SeqCst) {
        let mut tokens = balancer.next().login(email);
        count();
        for _ in 0..10 {
            let profile = balancer.next().profile(&tokens);
            assert_eq!(profile.status, 200, "{profile:?}");
            count();
            let refreshed = balancer.next().refresh(&tokens);
            assert_eq!(refreshed.status, 200, "{refreshed:?}");
            count();
            tokens = Tokens::of(&refreshed);
        }
        balancer.next().logout(&tokens);
        count();
    }
}

fn rolling_restart(program: impl Fn() -> Program) {
    let programs =
        [program(), program()].map(|program| program.with("GOAT_DRAIN_DELAY", DRAIN_DELAY));
    let mut servers: Vec<_> = programs.iter().map(Program::serve).collect();
    let balancer = Balancer::default();
    balancer.nodes().extend(servers.iter().map(|(_, address)| (*address, true)));
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let emails: Vec<_> = (0..CLIENTS).map(|turn| format!("ann{turn}@example.org")).collect();
    for email in &emails {
        balancer.next().sign_up(email);
    }
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
            let (server, address) = programs[turn % 2].serve();
            balancer.nodes().push((address, false));
            servers.push((server, address));
            wait_until("all nodes are ready", || balancer.nodes().iter().all(|(_, ready)| *ready));
            let after = answered.load(Ordering::SeqCst);
            assert!(after > before + CLIENTS, "the load continued");
        }
        drop(end);
    });
    for (server, _) in servers {
        server.stop();
    }
}

/// Ends the load, even if the test fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn rolling_restart_on_postgresql_loses_no_request() {
    let database = database();
    rolling_restart(|| node(&database));
}

#[test]
fn rolling_restart_on_postgresql_and_redis_loses_no_request() {
    let (database, redis) = (database(), Redis::start(RedisOptions::default()));
    rolling_restart(|| node_with(&database, &redis.url()));
}
