//! One server to ask: the master of a system without slots, wherever it is now, or a node of a
//! cluster.
//!
//! Invariants: a connection that broke, went silent, or leads to a server that is not the master any
//! more is not used again; nobody waits past the deadline.

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

/// How long a master is taken for one. A replica that was one refuses writes, which is noticed at
/// once, but answers reads from a past that goes on getting older.
const ROLE_LASTS: Duration = Duration::from_secs(1);

/// Where a node is.
#[derive(Clone, Debug)]
pub(super) enum Discovery {
    /// Here, whatever its role is: a cluster says by itself who has what.
    Fixed(Box<Endpoint>),
    /// Whichever of these is the master.
    AnyMaster(Vec<Endpoint>),
    /// Where sentinels say.
    Sentinels { sentinels: Vec<Endpoint>, master: Option<String> },
}

/// A server, connected to when it is first asked.
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

    /// Sends a command and waits for its answer until the deadline.
    pub(super) async fn send(
        &self,
        command: &Cmd,
        asking: bool,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let (number, (_, connection)) = self.connection(deadline).await?;
        let answer =
            if !matches!(self.discovery, Discovery::Fixed(_)) && connection.is_due(ROLE_LASTS) {
                // Both are under way at once, so it costs no time.
                let sending = connection.send(command, asking, deadline);
                let (answer, role) = tokio::join!(sending, check_role(&connection, deadline));
                // What a replica answered may be of the past.
                role.and(answer)
            } else {
                connection.send(command, asking, deadline).await
            };
        if let Err(failure) = &answer {
            let is_spent = match failure.kind() {
                FailureKind::Lost => true,
                FailureKind::WrongServer => !matches!(self.discovery, Discovery::Fixed(_)),
                _ => false,
            };
            if is_spent {
                self.connection.discard(number);
            }
        }
        answer
    }

    /// The address that it is at now.
    pub(super) async fn endpoint(&self, deadline: Instant) -> Result<Endpoint, Failure> {
        let (_, (endpoint, _)) = self.connection(deadline).await?;
        Ok(endpoint)
    }

    async fn connection(
        &self,
        deadline: Instant,
    ) -> Result<(u64, (Endpoint, Connection)), Failure> {
        loop {
            let make = || connect(self.discovery.clone(), self.timeout);
            let getting = self.connection.get(make);
            let (number, there) = timeout_at(deadline, getting)
                .await
                .map_err(|_| Failure::new(FailureKind::Unreachable, "no connection in time"))??;
            // Late alone may mean that the caller came with little time, and callers that went away
            // before theirs saw nothing of a peer that is gone: so the connection is asked.
            if !there.1.is_silent_for(self.timeout) {
                return Ok((number, there));
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
            let ask = |sentinel: Endpoint| {
                let name = name.clone();
                async move {
                    let address = sentinel::master(&sentinel, name.as_deref(), timeout).await?;
                    let endpoint = sentinel.at(&address);
                    let unreadable = || Failure::broken("a sentinel named no address");
                    master(endpoint.ok_or_else(unreadable)?, timeout).await
                }
            };
            first_of(sentinels.into_iter().map(ask)).await
        }
    }
}

/// Connects, if that is a master which is ready.
async fn master(endpoint: Endpoint, timeout: Duration) -> Result<(Endpoint, Connection), Failure> {
    let deadline = Instant::now() + timeout;
    let connection = Connection::open(&endpoint, timeout).await?;
    connection.send(&redis::cmd("PING"), false, deadline).await?;
    check_role(&connection, deadline).await?;
    Ok((endpoint, connection))
}

/// Fails if the server is not a master.
async fn check_role(connection: &Connection, deadline: Instant) -> Result<(), Failure> {
    let role = match connection.send(&redis::cmd("ROLE"), false, deadline).await {
        Ok(Value::Array(words)) => words.into_iter().next(),
        // A server that keeps its role to itself shows it when it refuses a write.
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

/// Tries all at once; the first that succeeds is it, and the others are dropped.
pub(super) async fn first_of<T: Send + 'static>(
    attempts: impl Iterator<Item = impl Future<Output = Result<T, Failure>> + Send + 'static>,
) -> Result<T, Failure> {
    let mut set: JoinSet<_> = attempts.collect();
    let mut last = Failure::new(FailureKind::Unreachable, "there is nobody to ask");
    while let Some(done) = set.join_next().await {
        match done {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(failure)) => last = failure,
            Err(_) => {}
        }
    }
    Err(last)
}
