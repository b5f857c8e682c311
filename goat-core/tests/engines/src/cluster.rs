//! A private Redis Cluster of three masters.

use std::sync::OnceLock;
use std::time::Duration;

use crate::port;
use crate::redis::{Redis, RedisOptions};
use crate::supervisor::wait_until;

/// Fixed number of hash slots of a cluster.
const SLOTS: usize = 16_384;

/// How long the nodes may take to form the cluster.
const AGREEMENT: Duration = Duration::from_secs(90);

/// Three masters that share all slots, without replicas.
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// The cluster shared by all tests of this process, started on first use; the rules of
    /// [`Redis::shared`] apply.
    pub fn shared() -> &'static RedisCluster {
        static SHARED: OnceLock<RedisCluster> = OnceLock::new();
        SHARED.get_or_init(RedisCluster::start)
    }

    /// Starts the nodes and forms the cluster.
    ///
    /// # Panics
    /// If Redis is not installed or the cluster does not form.
    #[must_use]
    pub fn start() -> RedisCluster {
        RedisCluster::start_with(RedisOptions::default())
    }

    /// Like [`RedisCluster::start`], with options for each node.
    ///
    /// # Panics
    /// Like [`RedisCluster::start`], and for TLS, since each node would have its own authority.
    #[must_use]
    pub fn start_with(mut options: RedisOptions) -> RedisCluster {
        assert!(!options.tls, "TLS is not supported for clusters");
        let settings = ["cluster-enabled yes", "cluster-node-timeout 2000"];
        options.settings.extend(settings.map(str::to_owned));
        let start = || Redis::start_at(options.clone(), port::free_with_bus, false);
        let nodes: Vec<Redis> = (0..3).map(|_| start()).collect();
        join(&nodes);
        for node in &nodes {
            wait_until("the cluster state is ok", AGREEMENT, || {
                node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
            });
        }
        RedisCluster { nodes }
    }

    /// The masters; each can be killed and restarted.
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// URL of each node.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }
}

/// Assigns the slots and introduces the nodes to each other. `redis-cli --cluster create` does the
/// same, but sleeps in between.
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
