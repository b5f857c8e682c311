//! Load of idle nodes on the engines: their invalidation channel's heartbeats.
//!
//! Every node receives every heartbeat, so the load grows with the square of the nodes.

use std::thread;
use std::time::{Duration, Instant};

use goat_engines::{Postgres, Redis};

use crate::cpu::CpuTimes;
use crate::engines::{Node, process};
use crate::options::Options;

/// Numbers of nodes that are measured.
const NODES: [usize; 2] = [4, 16];
const SETTLES: Duration = Duration::from_secs(1);
const DURATION: Duration = Duration::from_secs(3);

/// CPU of an engine in cores, by the number of nodes: `per_node` × n + `per_pair` × n².
#[derive(Clone, Copy)]
pub(crate) struct IdleLoad {
    pub(crate) measured: [(usize, f64); 2],
    per_node: f64,
    per_pair: f64,
}

impl IdleLoad {
    pub(crate) fn cores(&self, nodes: f64) -> f64 {
        self.per_node * nodes + self.per_pair * nodes * nodes
    }
}

/// Measures nodes on a PostgreSQL, and a Redis if there is one; the CPU of Redis, else that of
/// PostgreSQL.
pub(crate) fn measure(options: &Options, postgres: &Postgres, redis: Option<&Redis>) -> IdleLoad {
    let database = postgres.create_database();
    let url = redis.map(Redis::url);
    let engine = process(redis.map_or(postgres.process_id(), Redis::process_id));
    let mut nodes = Vec::new();
    let measured = NODES.map(|count| {
        while nodes.len() < count {
            nodes.push(Node::start(&options.goat_server(), &database, url.as_deref()));
        }
        thread::sleep(SETTLES);
        let (started, before) = (Instant::now(), CpuTimes::of(&engine));
        thread::sleep(DURATION);
        let spent = CpuTimes::of(&engine).since(&before);
        (count, spent.as_secs_f64() / started.elapsed().as_secs_f64())
    });
    fit(measured)
}

/// The polynomial through two points; both terms are at least zero.
fn fit(measured: [(usize, f64); 2]) -> IdleLoad {
    let [(few, low), (many, high)] = measured.map(|(nodes, cores)| (nodes as f64, cores));
    let per_pair = ((high / many - low / few) / (many - few)).max(0.0);
    let per_node = (high / many - per_pair * many).max(0.0);
    IdleLoad { measured, per_node, per_pair }
}
