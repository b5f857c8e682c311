//! The client to Redis, whatever stands at its end: one server, what sentinels watch, or a cluster.
//!
//! Invariants:
//! - there is one connection to a server, and all calls of this process go over it at once;
//! - nothing is connected before it is needed, and what broke is connected anew by itself;
//! - a call ends within the time-out of the options, the connection that it waited for included;
//! - a call whose fate is unknown is repeated only where that makes no difference.

mod cluster;
mod connection;
mod endpoint;
mod node;
mod reconnecting;
mod script;
mod sentinel;
mod slots;

use std::sync::Arc;
use std::time::Duration;

use redis::aio::PubSub;
use redis::{Cmd, Value};
use tokio::time::{Instant, timeout_at};

use self::cluster::Cluster;
use self::endpoint::{Endpoint, Endpoints};
use self::node::{Discovery, Node, first_of};
use self::reconnecting::Reconnecting;
pub(super) use self::script::Script;
use self::slots::slot_of;
use super::failure::{Failure, FailureKind};
use super::options::RedisOptions;
use crate::error::{Result, StoreError};

/// What to do when a connection broke and nobody knows whether the call was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Ask again: to do it twice is to do it once.
    Yes,
    /// Fail.
    No,
}

/// A client to Redis. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoints: Vec<Endpoint>,
    master: Option<String>,
    timeout: Duration,
    topology: Arc<Reconnecting<Topology>>,
}

/// What stands at the end of the client.
#[derive(Clone, Debug)]
enum Topology {
    Single(Arc<Node>),
    Cluster(Arc<Cluster>),
}

impl Client {
    /// Reads the options; does no I/O.
    pub(super) fn new(options: &RedisOptions) -> Result<Self> {
        let Endpoints { all, master } = Endpoints::parse(options)?;
        let timeout = options.timeout;
        Ok(Self(Arc::new(Inner { endpoints: all, master, timeout, topology: Arc::default() })))
    }

    /// Sends a command that concerns `key`, and waits for the answer.
    pub(super) async fn command(
        &self,
        operation: &'static str,
        key: &[u8],
        command: &Cmd,
        retry: Retry,
    ) -> Result<Value, StoreError> {
        let deadline = self.deadline();
        let answer = self.send_with_retry(key, command, retry, deadline).await;
        answer.map_err(|failure| failure.in_operation(operation))
    }

    /// Runs a script on `key`, and waits for the answer.
    pub(super) async fn script(
        &self,
        operation: &'static str,
        script: &Script,
        key: &[u8],
        arguments: &[&[u8]],
        retry: Retry,
    ) -> Result<Value, StoreError> {
        let deadline = self.deadline();
        let command = script.by_hash(key, arguments);
        let mut answer = self.send_with_retry(key, &command, retry, deadline).await;
        if answer.as_ref().is_err_and(|failure| failure.kind() == FailureKind::NoScript) {
            let command = script.by_text(key, arguments);
            answer = self.send_with_retry(key, &command, retry, deadline).await;
        }
        answer.map_err(|failure| failure.in_operation(operation))
    }

    /// A connection of its own for what is published on `channel`, to a server that hears it.
    pub(super) async fn pubsub(
        &self,
        operation: &'static str,
        channel: &[u8],
    ) -> Result<PubSub, StoreError> {
        let deadline = self.deadline();
        let connecting = async {
            let endpoint = match self.topology(deadline).await? {
                Topology::Single(node) => node.endpoint(deadline).await?,
                Topology::Cluster(cluster) => cluster.endpoint(slot_of(channel), deadline).await?,
            };
            Ok(endpoint.client()?.get_async_pubsub().await?)
        };
        let connected = timeout_at(deadline, connecting).await;
        let connected = connected
            .unwrap_or_else(|_| Err(Failure::new(FailureKind::TimedOut, "no answer in time")));
        connected.map_err(|failure: Failure| failure.in_operation(operation))
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.0.timeout
    }

    /// Asks, and asks once more if that can do no harm and may help.
    async fn send_with_retry(
        &self,
        key: &[u8],
        command: &Cmd,
        retry: Retry,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let answer = self.send(key, command, deadline).await;
        let Err(failure) = &answer else { return answer };
        let is_harmless = match failure.kind() {
            FailureKind::Lost => retry == Retry::Yes,
            // It said that it did nothing, and by now it is known to be the wrong one.
            FailureKind::WrongServer => true,
            _ => false,
        };
        if is_harmless { self.send(key, command, deadline).await } else { answer }
    }

    async fn send(&self, key: &[u8], command: &Cmd, deadline: Instant) -> Result<Value, Failure> {
        match self.topology(deadline).await? {
            Topology::Single(node) => node.send(command, false, deadline).await,
            Topology::Cluster(cluster) => cluster.send(slot_of(key), command, deadline).await,
        }
    }

    async fn topology(&self, deadline: Instant) -> Result<Topology, Failure> {
        let make = || {
            let inner = Arc::clone(&self.0);
            async move { inner.detect_topology().await }
        };
        let (_, topology) = timeout_at(deadline, self.0.topology.get(make))
            .await
            .map_err(|_| Failure::new(FailureKind::Unreachable, "no connection in time"))??;
        Ok(topology)
    }
}

/// What a server says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServerKind {
    Standalone,
    Sentinel,
    Cluster,
}

impl Inner {
    /// Asks the addresses of the options what they are.
    async fn detect_topology(self: Arc<Self>) -> Result<Topology, Failure> {
        let timeout = self.timeout;
        let ask = |endpoint: Endpoint| async move {
            let deadline = Instant::now() + timeout;
            let connection = sentinel::open(&endpoint, timeout).await?;
            let mut command = redis::cmd("INFO");
            command.arg("server");
            Ok(kind(&connection.send(&command, false, deadline).await?))
        };
        let kind = first_of(self.endpoints.iter().cloned().map(ask)).await?;
        let discovery = match kind {
            ServerKind::Cluster => {
                return Ok(Topology::Cluster(Arc::new(Cluster::new(&self.endpoints, timeout))));
            }
            ServerKind::Standalone => Discovery::AnyMaster(self.endpoints.clone()),
            ServerKind::Sentinel => Discovery::Sentinels {
                sentinels: self.endpoints.clone(),
                master: self.master.clone(),
            },
        };
        Ok(Topology::Single(Arc::new(Node::new(discovery, timeout))))
    }
}

/// Reads the answer to `INFO server`, of Redis or of Valkey.
fn kind(answer: &Value) -> ServerKind {
    let Value::BulkString(text) = answer else { return ServerKind::Standalone };
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines().map(str::trim);
    let mode = lines.find_map(|line| {
        line.strip_prefix("redis_mode:").or_else(|| line.strip_prefix("server_mode:"))
    });
    match mode {
        Some("sentinel") => ServerKind::Sentinel,
        Some("cluster") => ServerKind::Cluster,
        _ => ServerKind::Standalone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_and_valkey_say_what_they_are() {
        let said = |text: &str| kind(&Value::BulkString(text.into()));
        assert_eq!(
            said("# Server\r\nredis_version:6.0.16\r\nredis_mode:standalone\r\n"),
            ServerKind::Standalone
        );
        assert_eq!(
            said("# Server\r\nredis_version:7.0.15\r\nredis_mode:cluster\r\n"),
            ServerKind::Cluster
        );
        assert_eq!(said("redis_version:7.0.15\r\nredis_mode:sentinel\r\n"), ServerKind::Sentinel);
        let valkey = "# Server\r\nserver_name:valkey\r\nvalkey_version:9.0.0\r\nserver_mode:";
        assert_eq!(said(&format!("{valkey}cluster\r\n")), ServerKind::Cluster);
        assert_eq!(said(&format!("{valkey}sentinel\r\n")), ServerKind::Sentinel);
        assert_eq!(said(&format!("{valkey}standalone\r\n")), ServerKind::Standalone);
        assert_eq!(kind(&Value::Nil), ServerKind::Standalone);
    }
}
