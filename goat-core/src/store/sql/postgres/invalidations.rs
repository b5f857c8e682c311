//! Invalidation channel over PostgreSQL's `LISTEN` and `NOTIFY`.
//!
//! A node listens on a dedicated connection, which must lead to PostgreSQL itself: behind a pooler in
//! transaction mode the node stays disconnected. It sends on a second dedicated connection, so that an
//! exhausted connection pool does not disconnect it, which would add to the load. Each invalidation is
//! one transaction, and they are sent one after another to keep their order.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions as _, Executor, PgConnection, Postgres, Row as _};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::error::StoreError;
use crate::invalidation::{Broadcast, Invalidations, Subscription, Transport, operation};
use crate::store::sql::failure::Failure;

use super::PostgresDatabase;
use super::dialect::store_error;

/// The channel that all nodes of a database share.
const CHANNEL: &str = "goat_invalidations";

/// Timeout of the query for the server process while another connection is in a transaction.
const TIMEOUT: Duration = Duration::from_secs(1);

impl PostgresDatabase {
    /// Returns an invalidation channel between the nodes of this database, by `LISTEN` and `NOTIFY`: for
    /// several nodes without Redis. `staleness` is
    /// [`Settings::cache_staleness`](crate::Settings::cache_staleness).
    ///
    /// Uses two connections beside the pool's, one to listen and one to send, to the same server. Behind
    /// a pooler in transaction mode the channel stays disconnected and the caches disabled: correct but
    /// slow, and logged as a warning.
    #[must_use]
    pub fn invalidations(&self, staleness: Duration) -> Arc<dyn Invalidations> {
        let transport = ListenNotify {
            connect: self.pools.mode.plain_connect_options(),
            named_statements: self.pools.mode.named_statements(),
            sender: Mutex::default(),
        };
        Broadcast::new(Arc::new(transport), staleness)
    }
}

struct ListenNotify {
    connect: PgConnectOptions,
    /// Whether the statement is prepared once per connection.
    named_statements: bool,
    sender: Mutex<Option<PgConnection>>,
}

impl ListenNotify {
    /// Takes the sending connection, or opens one. It is put back only after success, so that a failed or
    /// abandoned connection is not reused.
    async fn take(&self, sender: &mut Option<PgConnection>) -> Result<PgConnection, sqlx::Error> {
        match sender.take() {
            Some(connection) => Ok(connection),
            None => self.connect.connect().await,
        }
    }

    /// Whether a pooler shares the listening connection with other clients between transactions.
    ///
    /// `LISTEN` would be harmful there: notifications would appear among the results of another client.
    /// The check comes first: while a second connection of this node is in a transaction, such a pooler
    /// has either assigned it the first connection's server process, or assigns the first another.
    async fn is_shared(&self, listener: &mut PgListener) -> Result<bool, sqlx::Error> {
        let mut sender = self.sender.lock().await;
        let mut other = self.take(&mut sender).await?;
        let mut is_shared = false;
        for _ in 0..3 {
            let before = backend(&mut *listener).await?;
            sqlx::raw_sql("BEGIN").execute(&mut other).await?;
            let others = backend(&mut other).await?;
            // A pooler without a free server connection makes this query wait for the transaction.
            let after = timeout(TIMEOUT, backend(&mut *listener)).await.ok().transpose()?;
            sqlx::raw_sql("COMMIT").execute(&mut other).await?;
            is_shared |= others == before || after != Some(before);
            if is_shared {
                break;
            }
        }
        *sender = Some(other);
        Ok(is_shared)
    }

    /// Sends a notification. The connection must not be reused after a failure.
    async fn notify(&self, connection: &mut PgConnection, text: &str) -> Result<(), sqlx::Error> {
        // An unnamed statement is prepared and executed in two steps, which a pooler keeps on one
        // server connection only within a transaction.
        if !self.named_statements {
            sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
        }
        let notify = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(text);
        notify.persistent(self.named_statements).execute(&mut *connection).await?;
        if !self.named_statements {
            sqlx::raw_sql("COMMIT").execute(connection).await?;
        }
        Ok(())
    }
}

/// Returns the process id of a connection's server backend.
async fn backend<'c>(
    connection: impl Executor<'c, Database = Postgres>,
) -> Result<i32, sqlx::Error> {
    sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?.try_get(0)
}

impl fmt::Debug for ListenNotify {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ListenNotify")
    }
}

#[async_trait]
impl Transport for ListenNotify {
    async fn send(&self, text: &str) -> Result<(), StoreError> {
        let at = |error: sqlx::Error| store_error(operation::PUBLISH)(Failure::from(error));
        let mut sender = self.sender.lock().await;
        // A kept connection may have been lost since; a repeated invalidation is harmless.
        if let Some(mut kept) = sender.take()
            && self.notify(&mut kept, text).await.is_ok()
        {
            *sender = Some(kept);
            return Ok(());
        }
        let mut connection = self.connect.connect().await.map_err(at)?;
        self.notify(&mut connection, text).await.map_err(at)?;
        *sender = Some(connection);
        Ok(())
    }

    async fn listen(&self) -> Result<Box<dyn Subscription>, StoreError> {
        let at = |error: sqlx::Error| store_error(operation::LISTEN)(Failure::from(error));
        // The driver listens only through a pool: this one has a single connection and belongs to the
        // subscription.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            .connect_lazy_with(self.connect.clone());
        let mut listener = PgListener::connect_with(&pool).await.map_err(at)?;
        // A lost connection must end the subscription: a silent reconnect would hide lost messages.
        listener.eager_reconnect(false);
        if self.is_shared(&mut listener).await.map_err(at)? {
            return Err(StoreError::unavailable(operation::LISTEN)
                .with_source("a pooler shares the connection between transactions"));
        }
        listener.listen(CHANNEL).await.map_err(at)?;
        Ok(Box::new(Listening(listener)))
    }

    fn advice(&self) -> &'static str {
        "LISTEN needs a direct connection to PostgreSQL, not through a pooler in transaction mode"
    }
}

struct Listening(PgListener);

#[async_trait]
impl Subscription for Listening {
    async fn next(&mut self) -> Result<String, StoreError> {
        match self.0.try_recv().await {
            Ok(Some(notification)) => Ok(notification.payload().to_owned()),
            Ok(None) => Err(StoreError::unavailable(operation::RECEIVE)
                .with_source("the listening connection was lost")),
            Err(error) => Err(store_error(operation::RECEIVE)(Failure::from(error))),
        }
    }
}
