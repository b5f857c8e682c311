//! Fault sweep: a proxy before the backend cuts the connection at the first, second, third … message of a
//! flow, until the flow needs fewer messages, and stops forwarding at each message of another kind. Every
//! response is a success or a 503 in time, acknowledged operations are in effect on both nodes after the
//! recovery, and the others can be retried.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use goat_engines::{Cut, Postgres, Proxy, Redis, RedisOptions};

use super::flows::Flow;
use super::messages::{Message, Place};
use super::responses::{
    GRACE, in_time, is_success, wait_until_ready, with_limits, with_short_timeouts,
};
use crate::support::node::{Node, Tokens, node, node_with};
use crate::support::process::Program;
use crate::support::two_nodes::{Fixture, NodePair, is_heartbeat};

/// More messages than any flow has.
const MOST: u64 = 60;

/// How often a flow is tried if the node is unavailable without a fault, as on a busy machine.
const TRIES: usize = 10;

/// Concurrent sweeps, each with a database of its own. Most of the time they wait for a timeout or a
/// recovery.
const SWEEPS: usize = 6;

/// The nodes of all sweeps share one server, and send one request at a time.
const CONNECTIONS: (&str, &str) = ("GOAT_DATABASE_MAX_CONNECTIONS", "3");

#[derive(Clone, Copy, Debug)]
enum Fault {
    Cut(Cut),
    BlackHole,
}

const CUTS: [Cut; 2] = [Cut::BeforeForwarding, Cut::BeforeAnswer];

/// The machine is too busy for a result.
struct Busy;

/// The counts of a sweep.
#[derive(Default)]
struct Counts {
    struck: AtomicU64,
    successes: AtomicU64,
    refusals: AtomicU64,
}

/// A node behind a proxy, and one with direct connections.
struct Stage {
    /// Dropped after the nodes.
    _redis: Option<Redis>,
    proxy: Proxy,
    /// The messages since the fault was set.
    messages: Arc<Mutex<Vec<Message>>>,
    pair: NodePair,
    admin: Tokens,
}

impl Stage {
    fn new(proxy: Proxy, behind: Program, direct: Program, redis: Option<Redis>) -> Self {
        let messages = Arc::<Mutex<Vec<Message>>>::default();
        let seen = Arc::clone(&messages);
        proxy.count_only(move |bytes| {
            let counts = !is_heartbeat(bytes);
            if counts {
                seen.lock().expect("no panic").push(Message::of(bytes));
            }
            counts
        });
        // The second node has no faults, and waits for a busy server.
        let direct = with_limits(direct).with("GOAT_STORE_TIMEOUT", "8s");
        let programs = [with_short_timeouts(behind), direct];
        let programs = programs.map(|program| program.with(CONNECTIONS.0, CONNECTIONS.1));
        let pair = NodePair::start_connected(programs);
        let admin = pair.second.admin();
        Self { _redis: redis, proxy, messages, pair, admin }
    }

    /// Runs a flow with a fault at message `n`. Returns its place if the flow reached it, or an error if
    /// the machine is too busy: the node was unavailable without a fault, or its recovery took longer than
    /// the grace period allows.
    fn strike(
        &self,
        (flow, fault, n): (Flow, Fault, u64),
        fixture: &mut Fixture,
        counts: &Counts,
    ) -> Result<Option<Place>, Busy> {
        let case = format!("{flow:?}: {fault:?} at message {n}");
        let [at, sound] = self.nodes();
        flow.prepare(at, sound, fixture);
        self.messages.lock().expect("no panic").clear();
        let begun = Instant::now();
        match fault {
            Fault::Cut(cut) => self.proxy.cut_at(n, cut),
            Fault::BlackHole => self.proxy.black_hole_at(n),
        }
        let response = in_time(&case, || flow.send(at, fixture));
        let struck = self.proxy.has_triggered();
        let place = struck.then(|| Place::of(n, &self.messages.lock().expect("no panic")));
        self.proxy.heal();
        assert_ne!(response.status, 500, "{case}: {:?}", self.pair.warnings());
        let done = is_success(&case, &response);
        counts.struck.fetch_add(u64::from(struck), Ordering::Relaxed);
        let count = if done { &counts.successes } else { &counts.refusals };
        count.fetch_add(u64::from(struck), Ordering::Relaxed);
        wait_until_ready(&case, at);
        if begun.elapsed() > GRACE / 2 {
            return Err(Busy);
        }
        flow.check(&case, [at, sound], fixture, done.then_some(&response));
        if struck || done { Ok(place) } else { Err(Busy) }
    }

    fn nodes(&self) -> [Node; 2] {
        self.pair.nodes()
    }

    /// Sweeps a flow with one kind of cut, then with black holes at its messages of new kinds.
    fn sweep(&self, flow: Flow, cut: Cut, places: &Mutex<Vec<(Flow, Place)>>, counts: &Counts) {
        let mut kept = None;
        let mut strike = |fault, n| {
            let tried = (0..TRIES).find_map(|_| {
                let mut fixture =
                    kept.take().unwrap_or_else(|| Fixture::new(self.pair.second, &self.admin));
                let place = self.strike((flow, fault, n), &mut fixture, counts);
                kept = (place.is_ok() && flow.keeps_sessions()).then_some(fixture);
                place.ok()
            });
            tried.unwrap_or_else(|| panic!("{flow:?}: unavailable without a fault"))
        };
        let mut new = Vec::new();
        // Messages of a reconnection may come first: the flow ends at two misses in a row.
        let mut missed = 0;
        for n in 1..MOST {
            match strike(Fault::Cut(cut), n) {
                Some(place) => {
                    missed = 0;
                    let mut known = places.lock().expect("no panic");
                    let place = (flow, place);
                    if !known.contains(&place) {
                        known.push(place);
                        new.push(n);
                    }
                }
                None => missed += 1,
            }
            if missed == 2 {
                break;
            }
        }
        assert_eq!(missed, 2, "{flow:?} has no end");
        // A call without a response takes as long as its timeout.
        for n in new {
            strike(Fault::BlackHole, n);
        }
    }
}

/// Distributes the flows, with each kind of cut, over concurrent sweeps.
fn sweep(flows: &[Flow], stage: impl Fn() -> Stage + Sync) -> Counts {
    let (counts, next, places) = (Counts::default(), AtomicUsize::new(0), Mutex::default());
    let cases: Vec<_> = flows.iter().flat_map(|flow| CUTS.map(|cut| (*flow, cut))).collect();
    thread::scope(|scope| {
        for _ in 0..SWEEPS {
            scope.spawn(|| {
                let stage = stage();
                while let Some((flow, cut)) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    stage.sweep(*flow, *cut, &places, &counts);
                }
                stage.pair.stop();
            });
        }
    });
    counts
}

fn assert_swept(counts: &Counts) {
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    assert!(of(&counts.struck) > 100, "only {} faults were reached", of(&counts.struck));
    assert!(of(&counts.refusals) > 0 && of(&counts.successes) > 0);
}

/// O1, O4, R3, R4.
#[test]
fn faults_at_any_message_to_postgresql() {
    let counts = sweep(&Flow::ALL, || {
        let url = Postgres::shared().create_database();
        let proxy = Proxy::start(Postgres::shared().address());
        let behind = node(&proxy.url(&url));
        Stage::new(proxy, behind, node(&url), None)
    });
    assert_swept(&counts);
}

/// O1, O4, R3, R4.
#[test]
fn faults_at_any_message_to_postgresql_beside_redis() {
    let counts = sweep(&Flow::OF_BOTH, || {
        let (url, redis) =
            (Postgres::shared().create_database(), Redis::start(RedisOptions::default()));
        let proxy = Proxy::start(Postgres::shared().address());
        let behind = node_with(&proxy.url(&url), &redis.url());
        let direct = node_with(&url, &redis.url());
        Stage::new(proxy, behind, direct, Some(redis))
    });
    assert_swept(&counts);
}

/// O1, O4, R3, R4, B8.
#[test]
fn faults_at_any_message_to_redis() {
    let counts = sweep(&Flow::ALL, || {
        let (url, redis) =
            (Postgres::shared().create_database(), Redis::start(RedisOptions::default()));
        let proxy = Proxy::start(redis.address());
        let behind = node_with(&url, &proxy.url(&redis.url()));
        let direct = node_with(&url, &redis.url());
        Stage::new(proxy, behind, direct, Some(redis))
    });
    assert_swept(&counts);
}
