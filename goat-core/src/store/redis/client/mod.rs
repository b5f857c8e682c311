//! Redis client: one API over a standalone server, a Sentinel deployment or a Cluster.
//!
//! redis-rs provides the protocol and the connections; goat does not use its `ClusterClient`, because
//! that repeats every command whose connection broke and follows redirections by the same setting
//! (`retries`), while goat repeats only idempotent calls, and because redis-rs has a separate client
//! type for each topology.
//!
//! Invariants:
//! - a client has one multiplexed connection to each server;
//! - a connection is opened at first use, and reopened after it broke;
//! - a call ends within the configured timeout, including the time to connect;
//! - a call with an unknown outcome is repeated only if it is idempotent.

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

/// Whether a call is repeated after its connection broke, when its outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Repeat it: the call is idempotent.
    Yes,
    /// Return the failure. Such a call is preceded by a `PING`, since a connection that died while it
    /// was idle would fail the call though the server never received it.
    No,
}

/// A Redis client. Clones share its connections.
#[derive(Clone, Debug)]
pub(super) struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoints: Vec<Endpoint>,
    master: Option<String>,
    timeout: Duration,
    topology: Arc<Reconnecting<Topology>>,
}

/// The deployment that the client is connected to.
#[derive(Clone, Debug)]
enum Topology {
    Single(Arc<Node>),
    Cluster(Arc<Cluster>),
}

impl Client {
    /// Parses the options. Performs no I/O.
    pub(super) fn new(options: &RedisOptions) -> Result<Self> {
        let Endpoints { all, master } = Endpoints::parse(options)?;
        let timeout = options.timeout;
        Ok(Self(Arc::new(Inner { endpoints: all, master, timeout, topology: Arc::default() })))
    }

    /// Returns the number of the Redis database.
    pub(super) fn database(&self) -> i64 {
        self.0.endpoints.first().map_or(0, Endpoint::database)
    }

    /// Sends a command on `key` and returns the reply.
    pub(super) async fn command(
        &self,
        operation: &'static str,
        key: &[u8],
        command: &Cmd,
        retry: Retry,
    ) -> Result<Value, StoreError> {
        let deadline = self.deadline();
        let reply = self.send_with_retry(key, command, retry, deadline).await;
        reply.map_err(|failure| failure.in_operation(operation))
    }

    /// Ends all backoffs, when the deployment is known to respond again.
    pub(super) fn end_backoff(&self) {
        let topology = &self.0.topology;
        topology.end_backoff();
        match topology.opened() {
            Some(Topology::Single(node)) => node.end_backoff(),
            Some(Topology::Cluster(cluster)) => cluster.end_backoff(),
            None => {}
        }
    }

    /// Runs a script on `key` and returns the reply.
    pub(super) async fn script(
        &self,
        operation: &'static str,
        script: &Script,
        key: &[u8],
        arguments: &[&[u8]],
        retry: Retry,
    ) -> Result<Value, StoreError> {
        self.script_on(operation, script, &[key], arguments, retry).await
    }

    /// Runs a script on several keys, of one slot or on one server, and returns the reply.
    pub(super) async fn script_on(
        &self,
        operation: &'static str,
        script: &Script,
        keys: &[&[u8]],
        arguments: &[&[u8]],
        retry: Retry,
    ) -> Result<Value, StoreError> {
        let deadline = self.deadline();
        let key = keys.first().copied().unwrap_or_default();
        let command = script.evalsha(keys, arguments);
        let mut reply = self.send_with_retry(key, &command, retry, deadline).await;
        if reply.as_ref().is_err_and(|failure| failure.kind() == FailureKind::NoScript) {
            let command = script.eval(keys, arguments);
            reply = self.send_with_retry(key, &command, retry, deadline).await;
        }
        reply.map_err(|failure| failure.in_operation(operation))
    }

    /// Whether one server has all keys, so that one call may use any of them.
    pub(super) async fn has_one_server(&self, operation: &'static str) -> Result<bool, StoreError> {
        match self.topology(self.deadline()).await {
            Ok(topology) => Ok(matches!(topology, Topology::Single(_))),
            Err(failure) => Err(failure.in_operation(operation)),
        }
    }

    /// Opens a dedicated Pub/Sub connection to the server that `channel` is published on.
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
            .unwrap_or_else(|_| Err(Failure::new(FailureKind::TimedOut, "no reply in time")));
        connected.map_err(|failure: Failure| failure.in_operation(operation))
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.0.timeout
    }

    /// Sends a command, and sends it once more after a failure where that is safe and may succeed.
    async fn send_with_retry(
        &self,
        key: &[u8],
        command: &Cmd,
        retry: Retry,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        if retry == Retry::No {
            self.send_or_repeat(key, &redis::cmd("PING"), Retry::Yes, deadline).await?;
        }
        self.send_or_repeat(key, command, retry, deadline).await
    }

    async fn send_or_repeat(
        &self,
        key: &[u8],
        command: &Cmd,
        retry: Retry,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let reply = self.send(key, command, deadline).await;
        let Err(failure) = &reply else { return reply };
        let may_retry = match failure.kind() {
            FailureKind::Lost => retry == Retry::Yes,
            // The server did not execute the call, and the right server is looked up again.
            FailureKind::WrongServer => true,
            _ => false,
        };
        if may_retry { self.send(key, command, deadline).await } else { reply }
    }

    async fn send(&self, key: &[u8], command: &Cmd, deadline: Instant) -> Result<Value, Failure> {
        match self.topology(deadline).await? {
            Topology::Single(node) => node.send(command, false, deadline).await,
            Topology::Cluster(cluster) => cluster.send(slot_of(key), command, deadline).await,
        }
    }

    async fn topology(&self, deadline: Instant) -> Result<Topology, Failure> {
        let connect = || {
            let inner = Arc::clone(&self.0);
            async move { inner.detect_topology().await }
        };
        let (_, topology) = timeout_at(deadline, self.0.topology.get(connect))
            .await
            .map_err(|_| Failure::new(FailureKind::Unreachable, "no connection in time"))??;
        Ok(topology)
    }
}

/// The mode that a server reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServerKind {
    Standalone,
    Sentinel,
    Cluster,
}

impl Inner {
    /// Asks the configured addresses for their mode.
    async fn detect_topology(self: Arc<Self>) -> Result<Topology, Failure> {
        let timeout = self.timeout;
        let probe = |endpoint: Endpoint| async move {
            let deadline = Instant::now() + timeout;
            let connection = sentinel::open(&endpoint, timeout).await?;
            let mut command = redis::cmd("INFO");
            command.arg("server");
            Ok(kind(&connection.send(&command, false, deadline).await?))
        };
        let kind = first_of(self.endpoints.iter().cloned().map(probe)).await?;
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

/// Parses the reply to `INFO server` of Redis or Valkey.
fn kind(reply: &Value) -> ServerKind {
    let Value::BulkString(text) = reply else { return ServerKind::Standalone };
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
    fn mode_is_read_from_redis_and_valkey() {
        let mode = |text: &str| kind(&Value::BulkString(text.into()));
        assert_eq!(
            mode("# Server\r\nredis_version:6.0.16\r\nredis_mode:standalone\r\n"),
            ServerKind::Standalone
        );
        assert_eq!(
            mode("# Server\r\nredis_version:7.0.15\r\nredis_mode:cluster\r\n"),
            ServerKind::Cluster
        );
        assert_eq!(mode("redis_version:7.0.15\r\nredis_mode:sentinel\r\n"), ServerKind::Sentinel);
        let valkey = "# Server\r\nserver_name:valkey\r\nvalkey_version:9.0.0\r\nserver_mode:";
        assert_eq!(mode(&format!("{valkey}cluster\r\n")), ServerKind::Cluster);
        assert_eq!(mode(&format!("{valkey}sentinel\r\n")), ServerKind::Sentinel);
        assert_eq!(mode(&format!("{valkey}standalone\r\n")), ServerKind::Standalone);
        assert_eq!(kind(&Value::Nil), ServerKind::Standalone);
    }
}
