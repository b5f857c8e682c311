//! One server with its connection: the current master of a deployment without slots, or a node of a
//! cluster.
//!
//! Invariants: a connection that broke, whose peer does not respond, or whose server is no longer the
//! master is not used again; no caller waits past its deadline.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::super::failure::{Failure, FailureKind};
use super::connection::Connection;
use super::endpoint::Endpoint;
use super::reconnecting::Reconnecting;
use super::sentinel;

/// Interval between checks that the server is still the master. A demoted master rejects writes, but
/// continues to serve reads, which grow stale.
const ROLE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How the address of a server is found.
#[derive(Clone, Debug)]
pub(super) enum Discovery {
    /// A fixed address, of any role: in a cluster, redirections lead to the owner of a slot.
    Fixed(Box<Endpoint>),
    /// The master among these addresses.
    AnyMaster(Vec<Endpoint>),
    /// The master that the sentinels report.
    Sentinels { sentinels: Vec<Endpoint>, master: Option<String> },
}

/// A server, connected to at first use.
#[derive(Debug)]
pub(super) struct Node {
    discovery: Discovery,
    timeout: Duration,
    connection: Arc<Reconnecting<(Endpoint, Connection)>>,
}

impl Node {
    pub(super) fn new(discovery: Discovery, timeout: Duration) -> Self {
        Self { discovery, timeout, connection: Arc::default() }
    }

    /// Sends a command and returns the reply, by the deadline.
    pub(super) async fn send(
        &self,
        command: &Cmd,
        asking: bool,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let (number, (_, connection)) = self.connection(deadline).await?;
        let reply = if !matches!(self.discovery, Discovery::Fixed(_))
            && connection.is_due(ROLE_CHECK_INTERVAL)
        {
            // Sent together, so the check adds no round trip.
            let sending = connection.send(command, asking, deadline);
            let (reply, role) = tokio::join!(sending, check_role(&connection, deadline));
            // A reply from a replica may be stale.
            role.and(reply)
        } else {
            connection.send(command, asking, deadline).await
        };
        if let Err(failure) = &reply {
            let is_unusable = match failure.kind() {
                FailureKind::Lost => true,
                FailureKind::WrongServer => !matches!(self.discovery, Discovery::Fixed(_)),
                _ => false,
            };
            if is_unusable {
                self.connection.discard(number);
            }
        }
        reply
    }

    /// Lets the next call connect at once.
    pub(super) fn end_backoff(&self) {
        self.connection.end_backoff();
    }

    /// Returns the current address.
    pub(super) async fn endpoint(&self, deadline: Instant) -> Result<Endpoint, Failure> {
        let (_, (endpoint, _)) = self.connection(deadline).await?;
        Ok(endpoint)
    }

    async fn connection(
        &self,
        deadline: Instant,
    ) -> Result<(u64, (Endpoint, Connection)), Failure> {
        loop {
            let open = || connect(self.discovery.clone(), self.timeout);
            let getting = self.connection.get(open);
            let (number, opened) = timeout_at(deadline, getting)
                .await
                .map_err(|_| Failure::new(FailureKind::Unreachable, "no connection in time"))??;
            // One timeout may be due to a short deadline, and cancelled callers observe none: so the
            // connection itself detects an unresponsive peer.
            if !opened.1.is_unresponsive_for(self.timeout) {
                return Ok((number, opened));
            }
            self.connection.discard(number);
        }
    }
}

async fn connect(
    discovery: Discovery,
    timeout: Duration,
) -> Result<(Endpoint, Connection), Failure> {
    match discovery {
        Discovery::Fixed(endpoint) => {
            let connection = Connection::open(&endpoint, timeout).await?;
            Ok((*endpoint, connection))
        }
        Discovery::AnyMaster(endpoints) => {
            first_of(endpoints.into_iter().map(|endpoint| master(endpoint, timeout))).await
        }
        Discovery::Sentinels { sentinels, master: name } => {
            let resolve = |sentinel: Endpoint| {
                let name = name.clone();
                async move {
                    let address = sentinel::master(&sentinel, name.as_deref(), timeout).await?;
                    let endpoint = sentinel.at(&address);
                    let unreadable =
                        || Failure::malformed("a sentinel returned an invalid address");
                    master(endpoint.ok_or_else(unreadable)?, timeout).await
                }
            };
            first_of(sentinels.into_iter().map(resolve)).await
        }
    }
}

/// Connects to a server, if it is a master that is ready.
async fn master(endpoint: Endpoint, timeout: Duration) -> Result<(Endpoint, Connection), Failure> {
    let deadline = Instant::now() + timeout;
    let connection = Connection::open(&endpoint, timeout).await?;
    connection.send(&redis::cmd("PING"), false, deadline).await?;
    check_role(&connection, deadline).await?;
    Ok((endpoint, connection))
}

/// Returns an error if the server is not a master.
async fn check_role(connection: &Connection, deadline: Instant) -> Result<(), Failure> {
    let role = match connection.send(&redis::cmd("ROLE"), false, deadline).await {
        Ok(Value::Array(words)) => words.into_iter().next(),
        // Without the right to call `ROLE`, a replica is detected when it rejects a write.
        Err(failure) if failure.kind() == FailureKind::Rejected => None,
        Err(failure) => return Err(failure),
        Ok(_) => None,
    };
    match role {
        Some(Value::BulkString(role)) if role != b"master" => {
            Err(Failure::new(FailureKind::WrongServer, "the server is not the master"))
        }
        _ => Ok(()),
    }
}

/// Runs all attempts concurrently, returns the first success and cancels the others.
pub(super) async fn first_of<T: Send + 'static>(
    attempts: impl Iterator<Item = impl Future<Output = Result<T, Failure>> + Send + 'static>,
) -> Result<T, Failure> {
    let mut set: JoinSet<_> = attempts.collect();
    let mut last = Failure::new(FailureKind::Unreachable, "no address to connect to");
    while let Some(done) = set.join_next().await {
        match done {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(failure)) => last = failure,
            Err(_) => {}
        }
    }
    Err(last)
}
