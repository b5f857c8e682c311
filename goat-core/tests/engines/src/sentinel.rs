//! A private Redis master and replica, and the sentinels that monitor them.

use std::time::Duration;

use crate::port;
use crate::redis::{Redis, RedisOptions};
use crate::supervisor::wait_until;

/// How long the sentinels may take to discover all, or to fail over.
const AGREEMENT: Duration = Duration::from_secs(90);

/// A master, its replica, and sentinels.
pub struct Sentinel {
    nodes: [Redis; 2],
    sentinels: Vec<Redis>,
}

impl Sentinel {
    /// The master's name in the sentinels.
    pub const MASTER: &'static str = "goat";

    /// Starts a master, a replica, and `sentinels` sentinels that know both and each other.
    ///
    /// # Panics
    /// If Redis is not installed, or discovery fails.
    #[must_use]
    pub fn start(sentinels: usize) -> Sentinel {
        Sentinel::start_with(sentinels, None)
    }

    /// Like [`Sentinel::start`], with one password for sentinels and data nodes.
    ///
    /// # Panics
    /// Like [`Sentinel::start`].
    #[must_use]
    pub fn start_with(sentinels: usize, password: Option<&str>) -> Sentinel {
        let name = Sentinel::MASTER;
        let options = |settings: Vec<String>| RedisOptions {
            password: password.map(str::to_owned),
            settings,
            ..RedisOptions::default()
        };
        // Each may become the other's replica.
        let follow: Vec<String> =
            password.iter().map(|word| format!("masterauth {word}")).collect();
        let nodes = [Redis::start(options(follow.clone())), Redis::start(options(follow))];
        nodes[1].replica_of(&nodes[0]);

        let quorum = sentinels / 2 + 1;
        let mut settings = vec![
            format!("sentinel monitor {name} 127.0.0.1 {} {quorum}", nodes[0].port()),
            format!("sentinel down-after-milliseconds {name} 500"),
            format!("sentinel failover-timeout {name} 2000"),
        ];
        if let Some(password) = password {
            settings.push(format!("sentinel auth-pass {name} {password}"));
        }
        let watcher = || Redis::start_at(options(settings.clone()), port::free, true);
        let watchers: Vec<Redis> = (0..sentinels).map(|_| watcher()).collect();
        for watcher in &watchers {
            wait_until("a sentinel has discovered all", AGREEMENT, || {
                let known = watcher.cli(&["SENTINEL", "MASTER", name]);
                field(&known, "num-slaves") == Some("1")
                    && field(&known, "num-other-sentinels")
                        == Some((sentinels - 1).to_string().as_str())
            });
        }
        Sentinel { nodes, sentinels: watchers }
    }

    /// URL of each sentinel.
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Redis::url).collect()
    }

    /// The sentinels.
    pub fn sentinels(&self) -> &[Redis] {
        &self.sentinels
    }

    /// Master and replica in the order of their start.
    pub fn nodes(&self) -> &[Redis; 2] {
        &self.nodes
    }

    /// The current master according to the sentinels.
    ///
    /// # Panics
    /// If they name none of the nodes.
    pub fn master(&self) -> &Redis {
        let named = named_by(&self.sentinels[0]);
        let master = self.nodes.iter().find(|node| node.port() == named);
        master.expect("a sentinel names one of the nodes")
    }

    /// Kills the master and waits until all sentinels name the other node and that one accepts
    /// writes. The replica catches up first, so no acknowledged write is lost.
    ///
    /// # Panics
    /// If the failover fails: a node killed by an earlier failover must have been restarted.
    pub fn failover(&self) {
        let old = self.master();
        let new = self.nodes.iter().find(|node| node.port() != old.port()).expect("there are two");
        new.catch_up_with(old);
        old.kill();
        wait_until("the sentinels name the replica", AGREEMENT, || {
            self.sentinels.iter().all(|sentinel| named_by(sentinel) == new.port())
                && new.cli(&["ROLE"]).starts_with("master")
        });
    }
}

/// The master's port according to a sentinel.
fn named_by(sentinel: &Redis) -> u16 {
    let reply = sentinel.cli(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Sentinel::MASTER]);
    reply.lines().nth(1).and_then(|port| port.parse().ok()).expect("a sentinel knows the master")
}

/// The line after the one with this name.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().skip_while(|line| *line != name).nth(1)
}
