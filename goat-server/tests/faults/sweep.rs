//! A relay before each engine that cuts the connection or falls silent at the first, the second, the
//! third message of a flow, and so on until the flow needs no more: whatever is asked, the response is a
//! success or a 503 in time, what was answered is in force on both nodes once the way is whole again,
//! and who was not answered can go on.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use goat_engines::{Cut, Postgres, Proxy, Redis, RedisOptions};

use super::flows::Flow;
use super::responses::{counted, impatient, in_time, is_success, wait_until_ready};
use crate::support::node::{Node, Person, node, node_with};
use crate::support::process::Site;
use crate::support::two_nodes::{Pair, Scene, is_heartbeat};

/// Far more messages than any flow has.
const MOST: u64 = 60;

/// How many sweep at once, each on engines or databases of their own.
const SWEEPERS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Fault {
    Cut(Cut),
    BlackHole,
}

const FAULTS: [Fault; 3] =
    [Fault::Cut(Cut::BeforeForwarding), Fault::Cut(Cut::BeforeAnswer), Fault::BlackHole];

/// What a sweep has seen.
#[derive(Default)]
struct Seen {
    struck: AtomicU64,
    successes: AtomicU64,
    refusals: AtomicU64,
}

/// A node behind a relay to the engine that fails, and one that reaches all directly.
struct Stage {
    /// Kept for as long as the nodes.
    _redis: Option<Redis>,
    proxy: Proxy,
    pair: Pair,
    admin: Person,
}

impl Stage {
    fn new(proxy: Proxy, behind: Site, direct: Site, redis: Option<Redis>) -> Self {
        proxy.count_only(|message| !is_heartbeat(message));
        let pair = Pair::that_hear([impatient(behind), counted(direct)]);
        let admin = pair.other.administrator();
        Self { _redis: redis, proxy, pair, admin }
    }

    /// Whether the fault was reached.
    fn strike(&self, flow: Flow, fault: Fault, n: u64, seen: &Seen) -> bool {
        let case = format!("{flow:?}: {fault:?} at message {n}");
        let [at, sound] = self.nodes();
        let mut scene = Scene::new(sound, &self.admin);
        flow.prepare(at, sound, &mut scene);
        match fault {
            Fault::Cut(cut) => self.proxy.cut_at(n, cut),
            Fault::BlackHole => self.proxy.black_hole_at(n),
        }
        let response = in_time(&case, || flow.ask(at, &scene));
        let struck = self.proxy.has_struck();
        self.proxy.heal();
        assert_ne!(response.status, 500, "{case}: {:?}", self.pair.complaints());
        let done = is_success(&case, &response);
        assert!(struck || done, "{case}: {response:?}");
        seen.struck.fetch_add(u64::from(struck), Ordering::Relaxed);
        let count = if done { &seen.successes } else { &seen.refusals };
        count.fetch_add(u64::from(struck), Ordering::Relaxed);
        wait_until_ready(&case, at);
        flow.check(&case, [at, sound], &scene, done.then_some(&response));
        struck
    }

    fn nodes(&self) -> [Node; 2] {
        self.pair.nodes()
    }

    fn sweep(&self, flow: Flow, seen: &Seen) {
        for fault in FAULTS {
            // A node's own work, such as connecting anew, may come first: twice out of reach is out.
            let mut missed = 0;
            for n in 1..MOST {
                missed = if self.strike(flow, fault, n, seen) { 0 } else { missed + 1 };
                if missed == 2 {
                    break;
                }
            }
            assert_eq!(missed, 2, "{flow:?} has no end");
        }
    }
}

/// Shares the flows out among the sweepers.
fn sweep(flows: &[Flow], stage: impl Fn() -> Stage + Sync) -> Seen {
    let (seen, next) = (Seen::default(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..SWEEPERS {
            scope.spawn(|| {
                let stage = stage();
                while let Some(flow) = flows.get(next.fetch_add(1, Ordering::SeqCst)) {
                    stage.sweep(*flow, &seen);
                }
                stage.pair.stop();
            });
        }
    });
    seen
}

fn assert_swept(seen: &Seen) {
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    assert!(of(&seen.struck) > 100, "only {} faults were reached", of(&seen.struck));
    assert!(of(&seen.refusals) > 0 && of(&seen.successes) > 0);
}

/// O1, O4, R3, R4.
#[test]
fn a_way_to_postgresql_that_breaks_at_any_message_breaks_no_promise() {
    let seen = sweep(&Flow::ALL, || {
        let url = Postgres::shared().create_database();
        let proxy = Proxy::start(Postgres::shared().address());
        let behind = node(&proxy.url(&url));
        Stage::new(proxy, behind, node(&url), None)
    });
    assert_swept(&seen);
}

/// O1, O4, R3, R4.
#[test]
fn a_way_to_postgresql_that_breaks_at_any_message_beside_redis_breaks_no_promise() {
    let seen = sweep(&Flow::OF_BOTH, || {
        let (url, redis) =
            (Postgres::shared().create_database(), Redis::start(RedisOptions::default()));
        let proxy = Proxy::start(Postgres::shared().address());
        let behind = node_with(&proxy.url(&url), &redis.url());
        let direct = node_with(&url, &redis.url());
        Stage::new(proxy, behind, direct, Some(redis))
    });
    assert_swept(&seen);
}

/// O1, O4, R3, R4, B8.
#[test]
fn a_way_to_redis_that_breaks_at_any_message_breaks_no_promise() {
    let seen = sweep(&Flow::ALL, || {
        let (url, redis) =
            (Postgres::shared().create_database(), Redis::start(RedisOptions::default()));
        let proxy = Proxy::start(redis.address());
        let behind = node_with(&url, &proxy.url(&redis.url()));
        let direct = node_with(&url, &redis.url());
        Stage::new(proxy, behind, direct, Some(redis))
    });
    assert_swept(&seen);
}
