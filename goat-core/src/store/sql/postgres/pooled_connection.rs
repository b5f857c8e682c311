//! A connection of the pool that one call has, with or without a transaction, and how it is given
//! back.
//!
//! Invariants:
//! - a transaction that is dropped before it was committed is rolled back before anybody else gets
//!   the connection, at whatever moment it was dropped;
//! - a connection that does not answer any more is closed after a while, so that the pool makes
//!   another. The driver would wait for it as long as the network does, which for a machine that is
//!   gone without a word is a quarter of an hour, and for all connections at once.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Pool, SqlStr};
use tokio::runtime::Handle;
use tokio::time;

use super::dialect::{Db, DriverConnection};

/// How often the timeout of a transaction fits into what its rollback may take: what is under way
/// ends first.
const ROLLBACK: u32 = 2;
/// The same for what a statement outside of a transaction may take, which no bound of the server's
/// ends: to give it up early would leave it to the server, beside the next.
const AUTOCOMMIT: u32 = 10;

/// A connection, and whether a transaction is open on it.
#[derive(Debug)]
pub(super) struct PooledConnection {
    /// There until this is dropped.
    connection: Option<PoolConnection<Db>>,
    is_open: bool,
    /// How long the server works on a statement of a transaction.
    timeout: Duration,
}

impl PooledConnection {
    /// A connection on which each statement stands for itself.
    pub(super) async fn autocommit(
        pool: &Pool<Db>,
        timeout: Duration,
    ) -> Result<Self, sqlx::Error> {
        Ok(Self { connection: Some(pool.acquire().await?), is_open: false, timeout })
    }

    /// A connection within a transaction that this statement begins. The driver is not told that it
    /// is one: if it is dropped while it waits for the answer, it forgets that.
    pub(super) async fn begin(
        pool: &Pool<Db>,
        statement: &SqlStr,
        timeout: Duration,
    ) -> Result<Self, sqlx::Error> {
        let mut pooled = Self::autocommit(pool, timeout).await?;
        // Before it is: if this is dropped from here on, nobody knows whether it was begun.
        pooled.is_open = true;
        sqlx::raw_sql(statement.clone()).execute(pooled.connection()).await?;
        Ok(pooled)
    }

    /// Ends the call: what it wrote is kept from here on.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.end("COMMIT").await
    }

    /// Ends the call: nothing of it is kept, and its locks are free.
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

    #[expect(clippy::expect_used, reason = "only the drop takes it")]
    pub(super) fn connection(&mut self) -> &mut DriverConnection {
        self.connection.as_mut().expect("a connection until the end")
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let Ok(runtime) = Handle::try_current() else {
            // The process is ending, and the server sees that its client is gone.
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
            // Whoever gives it back asks it for a sign of life; dropped on the way, it is closed.
            let _ = time::timeout(timeout * AUTOCOMMIT, connection.return_to_pool()).await;
        });
    }
}
