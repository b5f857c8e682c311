//! Pooled connection: checked out for one call, with or without a transaction, and returned on drop.
//!
//! Invariants:
//! - a transaction that is dropped before its commit, at any point, is rolled back before the
//!   connection is reused;
//! - a connection whose BEGIN, COMMIT or ROLLBACK failed or was abandoned is closed, since it may be
//!   inside or outside a transaction: SQLite rolls back by itself if a commit finds the disk full;
//! - a connection that does not respond is closed after a timeout, so that the pool opens another. The
//!   driver would wait for the network's timeout, about 15 minutes for a lost host, for all connections
//!   at once.
//!
//! The driver's own transaction type is not used: it loses track of the state if a commit fails, or if
//! it is dropped before a reply.

use std::time::Duration;

use sqlx::{SqlSafeStr as _, SqlStr};
use tokio::runtime::Handle;
use tokio::time;

use super::dialect::{self, Acquired, DriverConnection};

/// The timeout of a rollback in statement timeouts; it waits for a running statement.
const ROLLBACK: u32 = 2;
/// The timeout of a running statement outside a transaction, in statement timeouts. It has no timeout
/// on the server, so closing the connection early would leave it running beside the next.
const AUTOCOMMIT: u32 = 10;

/// Whether a connection has an open transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Autocommit,
    Transaction,
    /// A statement that begins or ends a transaction was sent, and did not succeed so far.
    Unknown,
}

/// A connection, and whether it has an open transaction.
#[derive(Debug)]
pub(super) struct PooledConnection {
    /// Present until the drop.
    connection: Option<Acquired>,
    state: State,
    /// Whether a statement was sent, and did not succeed so far.
    is_running: bool,
    /// The statement timeout of transactions.
    timeout: Duration,
}

impl PooledConnection {
    /// Wraps an acquired connection, which is in autocommit mode.
    pub(super) fn new(connection: Acquired, timeout: Duration) -> Self {
        Self { connection: Some(connection), state: State::Autocommit, is_running: false, timeout }
    }

    /// Begins a transaction with this statement.
    pub(super) async fn begin(mut self, statement: SqlStr) -> Result<Self, sqlx::Error> {
        self.change(statement, State::Transaction).await?;
        Ok(self)
    }

    /// Commits the transaction, if there is one.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.end("COMMIT").await
    }

    /// Rolls the transaction back, if there is one.
    pub(super) async fn rollback(mut self) -> Result<(), sqlx::Error> {
        self.end("ROLLBACK").await
    }

    async fn end(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        if self.state == State::Autocommit {
            return Ok(());
        }
        self.change(statement.into_sql_str(), State::Autocommit).await
    }

    /// Executes a statement that leads to another state.
    async fn change(&mut self, statement: SqlStr, next: State) -> Result<(), sqlx::Error> {
        // Before the statement: if it fails or is cancelled, its outcome is unknown.
        self.state = State::Unknown;
        sqlx::raw_sql(statement).execute(self.connection()).await?;
        self.state = next;
        Ok(())
    }

    /// Returns the connection for a statement.
    pub(super) fn start(&mut self) -> &mut DriverConnection {
        self.is_running = true;
        self.connection()
    }

    /// Notes that the statement succeeded. One that failed or was abandoned is followed by a test of the
    /// connection before its next use.
    pub(super) fn finish(&mut self) {
        self.is_running = false;
    }

    #[expect(clippy::expect_used, reason = "only drop takes it")]
    fn connection(&mut self) -> &mut DriverConnection {
        self.connection.as_mut().expect("a connection until the end")
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let mut connection = if self.state == State::Autocommit && !self.is_running {
            let Some(connection) = dialect::release(connection) else { return };
            connection
        } else {
            connection
        };
        let Ok(runtime) = Handle::try_current() else {
            // Without a runtime the process is shutting down, and the server closes the session.
            drop(connection.detach());
            return;
        };
        let (state, timeout) = (self.state, self.timeout);
        runtime.spawn(async move {
            if state != State::Autocommit {
                // Also in an unknown state: its reply comes after the abandoned statement, which so
                // does not take effect during a later call.
                let rollback = sqlx::raw_sql("ROLLBACK").execute(&mut *connection);
                let rolled_back = time::timeout(timeout * ROLLBACK, rollback).await;
                if state == State::Unknown || !matches!(rolled_back, Ok(Ok(_))) {
                    // The pool opens another only afterwards; at the timeout the driver's end closes.
                    let _ = time::timeout(timeout, connection.close()).await;
                    return;
                }
            }
            // The pool pings a returned connection; on a timeout it is closed.
            let _ = time::timeout(timeout * AUTOCOMMIT, connection.return_to_pool()).await;
        });
    }
}
