//! Pooled connection: checked out for one call, with or without a transaction, and returned on drop.
//!
//! Invariants:
//! - a transaction that is dropped before its commit, at any point, is rolled back before the
//!   connection is reused;
//! - a connection that does not respond is closed after a timeout, so that the pool opens another. The
//!   driver would wait for the network's timeout, about 15 minutes for a lost host, for all connections
//!   at once.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Pool, SqlStr};
use tokio::runtime::Handle;
use tokio::time;

use super::dialect::{Db, DriverConnection};

/// The timeout of a rollback in statement timeouts; it waits for a running statement.
const ROLLBACK: u32 = 2;
/// The timeout of a running statement outside a transaction, in statement timeouts. It has no timeout
/// on the server, so closing the connection early would leave it running beside the next.
const AUTOCOMMIT: u32 = 10;

/// A connection, and whether it has an open transaction.
#[derive(Debug)]
pub(super) struct PooledConnection {
    /// Present until the drop.
    connection: Option<PoolConnection<Db>>,
    is_open: bool,
    /// The statement timeout of transactions.
    timeout: Duration,
}

impl PooledConnection {
    /// Acquires a connection in autocommit mode.
    pub(super) async fn autocommit(
        pool: &Pool<Db>,
        timeout: Duration,
    ) -> Result<Self, sqlx::Error> {
        Ok(Self { connection: Some(pool.acquire().await?), is_open: false, timeout })
    }

    /// Acquires a connection and begins a transaction with this statement. The driver's own transaction
    /// type is not used, since it loses track of the state if it is dropped before the reply.
    pub(super) async fn begin(
        pool: &Pool<Db>,
        statement: &SqlStr,
        timeout: Duration,
    ) -> Result<Self, sqlx::Error> {
        let mut pooled = Self::autocommit(pool, timeout).await?;
        // Set before the statement: if it is cancelled, its outcome is unknown.
        pooled.is_open = true;
        sqlx::raw_sql(statement.clone()).execute(pooled.connection()).await?;
        Ok(pooled)
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
        if self.is_open {
            sqlx::raw_sql(statement).execute(self.connection()).await?;
            self.is_open = false;
        }
        Ok(())
    }

    #[expect(clippy::expect_used, reason = "only drop takes it")]
    pub(super) fn connection(&mut self) -> &mut DriverConnection {
        self.connection.as_mut().expect("a connection until the end")
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let Ok(runtime) = Handle::try_current() else {
            // Without a runtime the process is shutting down, and the server closes the session.
            drop(connection.detach());
            return;
        };
        let (is_open, timeout) = (self.is_open, self.timeout);
        runtime.spawn(async move {
            if is_open {
                let rollback = sqlx::raw_sql("ROLLBACK").execute(&mut *connection);
                let rolled_back = time::timeout(timeout * ROLLBACK, rollback).await;
                if !matches!(rolled_back, Ok(Ok(_))) {
                    drop(connection.detach());
                    return;
                }
            }
            // The pool pings a returned connection; on a timeout it is closed.
            let _ = time::timeout(timeout * AUTOCOMMIT, connection.return_to_pool()).await;
        });
    }
}
