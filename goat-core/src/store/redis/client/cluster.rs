//! Redis Cluster routing: each call goes to the node that owns the key's hash slot.
//!
//! Invariants: a call follows a bounded number of redirections; concurrent callers share one request
//! for the slot map, and a map is replaced at most every [`LEAST_AGE`].

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

/// The most redirections that a call follows.
const REDIRECTIONS: usize = 5;
/// The age before which an unavailable node does not invalidate the slot map.
const LEAST_AGE: Duration = Duration::from_millis(200);
/// The most nodes that are asked for the slot map at once.
const MAX_SOURCES: usize = 6;

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

    /// Lets the next call to each node connect at once.
    pub(super) fn end_backoff(&self) {
        self.slots.end_backoff();
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.values().for_each(|node| node.end_backoff());
    }

    /// Sends a command to the owner of the slot and returns the reply, by the deadline.
    pub(super) async fn send(
        self: &Arc<Self>,
        slot: u16,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let (number, slots) = self.slots(deadline).await?;
        let mut node = self.owner(number, &slots, slot)?;
        let mut asking = false;
        let mut last = Failure::new(FailureKind::WrongServer, "too many redirections");
        for _ in 0..=REDIRECTIONS {
            let failure = match node.send(command, asking, deadline).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            if let Some(redirect) = failure.redirect() {
                let address = redirect.address.clone();
                // A redirection without a host means the node that sent it.
                let from = node.endpoint(deadline).await?;
                let endpoint = from.at(&address);
                let unreadable = || Failure::malformed("a redirection has no valid address");
                let endpoint = endpoint.ok_or_else(unreadable)?;
                asking = redirect.is_ask;
                if !asking {
                    slots.assign(slot, &endpoint.address());
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
                    self.discard_slots(number, &slots);
                }
                return Err(failure);
            }
            last = failure;
        }
        Err(last)
    }

    /// Returns the address of the slot's owner.
    pub(super) async fn endpoint(
        self: &Arc<Self>,
        slot: u16,
        deadline: Instant,
    ) -> Result<Endpoint, Failure> {
        let (number, slots) = self.slots(deadline).await?;
        let reached = self.owner(number, &slots, slot)?.endpoint(deadline).await;
        if reached.is_err() {
            self.discard_slots(number, &slots);
        }
        reached
    }

    fn owner(&self, number: u64, slots: &Slots, slot: u16) -> Result<Arc<Node>, Failure> {
        let endpoint = slots.owner(slot).and_then(|address| self.seeds[0].at(&address));
        let Some(endpoint) = endpoint else {
            self.discard_slots(number, slots);
            return Err(Failure::new(FailureKind::WrongServer, "no node owns the slot"));
        };
        Ok(self.node(&endpoint))
    }

    fn node(&self, endpoint: &Endpoint) -> Arc<Node> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let make =
            || Arc::new(Node::new(Discovery::Fixed(Box::new(endpoint.clone())), self.timeout));
        Arc::clone(nodes.entry(endpoint.address()).or_insert_with(make))
    }

    fn discard_slots(&self, number: u64, slots: &Slots) {
        if slots.fetched_at.elapsed() >= LEAST_AGE {
            self.slots.discard(number);
        }
    }

    async fn slots(self: &Arc<Self>, deadline: Instant) -> Result<(u64, Arc<Slots>), Failure> {
        let fetch = || {
            let cluster = Arc::clone(self);
            async move { cluster.fetch_slots().await }
        };
        timeout_at(deadline, self.slots.get(fetch))
            .await
            .map_err(|_| Failure::new(FailureKind::Unreachable, "no slot map in time"))?
    }

    /// Fetches the slot map from known nodes and from the configured ones.
    async fn fetch_slots(self: Arc<Self>) -> Result<Arc<Slots>, Failure> {
        let known: Vec<String> = {
            let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            nodes.keys().take(MAX_SOURCES).cloned().collect()
        };
        let seed = &self.seeds[0];
        let known = known.iter().filter_map(|address| seed.at(address));
        let mut sources: Vec<Endpoint> = known.chain(self.seeds.iter().cloned()).collect();
        sources.sort_by_key(Endpoint::address);
        sources.dedup_by_key(|endpoint| endpoint.address());
        let deadline = Instant::now() + self.timeout;
        let fetch = |endpoint: Endpoint| {
            let node = self.node(&endpoint);
            async move {
                let mut command = redis::cmd("CLUSTER");
                command.arg("SLOTS");
                let reply = node.send(&command, false, deadline).await?;
                Slots::parse(reply, &endpoint.address())
            }
        };
        let slots = first_of(sources.into_iter().map(fetch)).await?;
        let addresses = slots.addresses();
        // Nodes that left the cluster are dropped.
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|address, _| addresses.contains(address));
        Ok(Arc::new(slots))
    }
}
