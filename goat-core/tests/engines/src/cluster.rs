//! A private Redis Cluster of three masters.

use std::sync::OnceLock;
use std::time::Duration;

use crate::keeper::wait_until;
use crate::port;
use crate::redis::{Redis, RedisOptions};

/// As many as every cluster has.
const SLOTS: usize = 16_384;

/// How long the nodes may take to agree.
const AGREEMENT: Duration = Duration::from_secs(30);

/// Three masters that share all slots, without replicas.
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// The cluster that all tests of this process share, started by the first who asks; the rules of
    /// [`Redis::shared`] hold.
    pub fn shared() -> &'static RedisCluster {
        static SHARED: OnceLock<RedisCluster> = OnceLock::new();
        SHARED.get_or_init(RedisCluster::start)
    }

    /// Starts the nodes and joins them.
    ///
    /// # Panics
    /// Where Redis is not installed or the nodes do not find together.
    #[must_use]
    pub fn start() -> RedisCluster {
        RedisCluster::start_with(RedisOptions::default())
    }

    /// The same, with options for each node.
    ///
    /// # Panics
    /// Like [`RedisCluster::start`], and where TLS is asked for: each node would have an authority
    /// of its own.
    #[must_use]
    pub fn start_with(mut options: RedisOptions) -> RedisCluster {
        assert!(!options.tls, "a cluster speaks no TLS here");
        let settings = ["cluster-enabled yes", "cluster-node-timeout 2000"];
        options.settings.extend(settings.map(str::to_owned));
        let start = || Redis::start_at(options.clone(), port::free_with_bus, false);
        let nodes: Vec<Redis> = (0..3).map(|_| start()).collect();
        join(&nodes);
        for node in &nodes {
            wait_until("the cluster is whole", AGREEMENT, || {
                node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
            });
        }
        RedisCluster { nodes }
    }

    /// The masters; one can be killed and started again.
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// URL of each node.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }
}

/// Gives each node its share of the slots and introduces all to each other. `redis-cli --cluster
/// create` does the same and sleeps in between.
fn join(nodes: &[Redis]) {
    for (turn, node) in nodes.iter().enumerate() {
        let share = SLOTS * turn / nodes.len()..SLOTS * (turn + 1) / nodes.len();
        let slots: Vec<String> = share.map(|slot| slot.to_string()).collect();
        let mut command = vec!["CLUSTER", "ADDSLOTS"];
        command.extend(slots.iter().map(String::as_str));
        assert_eq!(node.cli(&command), "OK");
        assert_eq!(node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(turn + 1).to_string()]), "OK");
    }
    for (turn, node) in nodes.iter().enumerate() {
        for other in &nodes[turn + 1..] {
            let meet = ["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string()];
            assert_eq!(node.cli(&meet), "OK");
        }
    }
}
