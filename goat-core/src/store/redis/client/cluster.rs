//! A Redis Cluster: each call goes to the node that has the key's slot.
//!
//! Invariants: a call follows a bounded number of redirections; the map of slots is asked for by one
//! caller for all, and not more often than every so often while nodes are away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::time::{Instant, sleep, timeout_at};

use super::super::failure::{Failure, FailureKind};
use super::endpoint::Endpoint;
use super::node::{Discovery, Node, first_of};
use super::reconnecting::Reconnecting;
use super::slots::Slots;

/// How many redirections a call follows.
const REDIRECTIONS: usize = 5;
/// How old a map must be before it is thrown away for a node that does not answer.
const LEAST_AGE: Duration = Duration::from_millis(200);
/// How many nodes are asked for the map at once.
const WITNESSES: usize = 6;

/// The nodes of a cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    seeds: Vec<Endpoint>,
    timeout: Duration,
    nodes: Mutex<HashMap<String, Arc<Node>>>,
    slots: Arc<Reconnecting<Arc<Slots>>>,
}

impl Cluster {
    pub(super) fn new(seeds: &[Endpoint], timeout: Duration) -> Self {
        let seeds = seeds.iter().map(|seed| seed.in_database(0)).collect();
        Self { seeds, timeout, nodes: Mutex::default(), slots: Arc::default() }
    }

    /// Sends a command to the node that has the slot, and waits for its answer until the deadline.
    pub(super) async fn send(
        self: &Arc<Self>,
        slot: u16,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let (number, slots) = self.slots(deadline).await?;
        let mut node = self.owner(number, &slots, slot)?;
        let mut asking = false;
        let mut last = Failure::new(FailureKind::WrongServer, "the slot moves about");
        for _ in 0..=REDIRECTIONS {
            let failure = match node.send(command, asking, deadline).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            if let Some(redirect) = failure.redirect() {
                let address = redirect.address.clone();
                // A node that does not know its name means the one that was asked.
                let from = node.endpoint(deadline).await?;
                let endpoint = from.at(&address);
                let unreadable = || Failure::broken("a cluster named no address");
                let endpoint = endpoint.ok_or_else(unreadable)?;
                asking = redirect.is_once;
                if !asking {
                    slots.give(slot, &endpoint.address());
                }
                node = self.node(&endpoint);
            } else if failure.kind() == FailureKind::SlotMigrating {
                sleep(Duration::from_millis(5)).await;
            } else {
                let is_stale = matches!(
                    failure.kind(),
                    FailureKind::Lost
                        | FailureKind::Unreachable
                        | FailureKind::TimedOut
                        | FailureKind::WrongServer
                );
                if is_stale {
                    self.forget(number, &slots);
                }
                return Err(failure);
            }
            last = failure;
        }
        Err(last)
    }

    /// The address of the node that has the slot.
    pub(super) async fn endpoint(
        self: &Arc<Self>,
        slot: u16,
        deadline: Instant,
    ) -> Result<Endpoint, Failure> {
        let (number, slots) = self.slots(deadline).await?;
        let reached = self.owner(number, &slots, slot)?.endpoint(deadline).await;
        if reached.is_err() {
            self.forget(number, &slots);
        }
        reached
    }

    fn owner(&self, number: u64, slots: &Slots, slot: u16) -> Result<Arc<Node>, Failure> {
        let endpoint = slots.owner(slot).and_then(|address| self.seeds[0].at(&address));
        let Some(endpoint) = endpoint else {
            self.forget(number, slots);
            return Err(Failure::new(FailureKind::WrongServer, "no node has the slot"));
        };
        Ok(self.node(&endpoint))
    }

    fn node(&self, endpoint: &Endpoint) -> Arc<Node> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let make =
            || Arc::new(Node::new(Discovery::Fixed(Box::new(endpoint.clone())), self.timeout));
        Arc::clone(nodes.entry(endpoint.address()).or_insert_with(make))
    }

    fn forget(&self, number: u64, slots: &Slots) {
        if slots.learnt.elapsed() >= LEAST_AGE {
            self.slots.discard(number);
        }
    }

    async fn slots(self: &Arc<Self>, deadline: Instant) -> Result<(u64, Arc<Slots>), Failure> {
        let make = || {
            let cluster = Arc::clone(self);
            async move { cluster.learn().await }
        };
        timeout_at(deadline, self.slots.get(make))
            .await
            .map_err(|_| Failure::new(FailureKind::Unreachable, "no map of the cluster in time"))?
    }

    /// Asks nodes that are known, and those of the options, for the map.
    async fn learn(self: Arc<Self>) -> Result<Arc<Slots>, Failure> {
        let known: Vec<String> = {
            let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            nodes.keys().take(WITNESSES).cloned().collect()
        };
        let seed = &self.seeds[0];
        let known = known.iter().filter_map(|address| seed.at(address));
        let mut witnesses: Vec<Endpoint> = known.chain(self.seeds.iter().cloned()).collect();
        witnesses.sort_by_key(Endpoint::address);
        witnesses.dedup_by_key(|endpoint| endpoint.address());
        let deadline = Instant::now() + self.timeout;
        let ask = |endpoint: Endpoint| {
            let node = self.node(&endpoint);
            async move {
                let mut command = redis::cmd("CLUSTER");
                command.arg("SLOTS");
                let answer = node.send(&command, false, deadline).await?;
                Slots::read(answer, &endpoint.address())
            }
        };
        let slots = first_of(witnesses.into_iter().map(ask)).await?;
        let addresses = slots.addresses();
        // A node that is no more would be asked for ever.
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|address, _| addresses.contains(address));
        Ok(Arc::new(slots))
    }
}
