//! Invalidations by `LISTEN` and `NOTIFY`.
//!
//! A node listens over a connection of its own, which must lead to PostgreSQL itself: by way of a
//! pooler that gives each transaction another connection it does not even try, and is deaf. It tells
//! over another of its own, so that no crowd before the pool of connections makes it deaf, which
//! would make the crowd larger. Each notice is a transaction of its own, and one is told after
//! another, so that they arrive in that order.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions as _, Executor, PgConnection, Postgres, Row as _};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::error::StoreError;
use crate::invalidation::{Broadcast, Invalidations, Subscription, Transport};
use crate::store::sql::failure::Failure;

use super::PostgresDatabase;
use super::dialect::store_error;

/// On which all nodes of a database meet.
const CHANNEL: &str = "goat_notices";

/// How long the server may take to name its process while another connection is in a transaction.
const TIMEOUT: Duration = Duration::from_secs(1);

impl PostgresDatabase {
    /// Invalidations to every node that uses this database, by `LISTEN` and `NOTIFY`: for several nodes
    /// without Redis. `staleness` is that of the nodes' caches,
    /// [`Settings::cache_staleness`](crate::Settings::cache_staleness).
    ///
    /// Takes two connections beside the pool's, one that listens and one that tells. They go where
    /// the pool's go, which must not be by a pooler in transaction mode: behind one nothing is heard,
    /// so that nothing is cached. That is right, and slow; a warning in the log says so.
    #[must_use]
    pub fn invalidations(&self, staleness: Duration) -> Arc<dyn Invalidations> {
        let transport = ListenNotify {
            connect: (*self.pools.write.connect_options()).clone(),
            named_statements: self.pools.mode.named_statements(),
            teller: Mutex::default(),
        };
        Broadcast::new(Arc::new(transport), staleness)
    }
}

struct ListenNotify {
    connect: PgConnectOptions,
    /// Whether the statement is prepared once a connection.
    named_statements: bool,
    teller: Mutex<Option<PgConnection>>,
}

impl ListenNotify {
    /// The connection that tells. It is taken, so that one that failed, or whose caller went away
    /// meanwhile, is not used again.
    async fn take(&self, teller: &mut Option<PgConnection>) -> Result<PgConnection, sqlx::Error> {
        match teller.take() {
            Some(connection) => Ok(connection),
            None => self.connect.connect().await,
        }
    }

    /// Whether a pooler gives the connection that is to listen to others between its transactions.
    ///
    /// To listen there would do harm: what is told would turn up among the answers to somebody else.
    /// So it is found out before: while another connection of this node is within a transaction,
    /// such a pooler has either lent it what was this one's, or must lend this one something else.
    async fn is_shared(&self, listener: &mut PgListener) -> Result<bool, sqlx::Error> {
        let mut teller = self.teller.lock().await;
        let mut other = self.take(&mut teller).await?;
        let mut is_shared = false;
        for _ in 0..3 {
            let before = backend(&mut *listener).await?;
            sqlx::raw_sql("BEGIN").execute(&mut other).await?;
            let others = backend(&mut other).await?;
            // A pooler that has no other to lend lets this one wait for the transaction's end.
            let after = timeout(TIMEOUT, backend(&mut *listener)).await.ok().transpose()?;
            sqlx::raw_sql("COMMIT").execute(&mut other).await?;
            is_shared |= others == before || after != Some(before);
            if is_shared {
                break;
            }
        }
        *teller = Some(other);
        Ok(is_shared)
    }

    /// Tells, over a connection that is not to be used again if this fails.
    async fn notify(&self, connection: &mut PgConnection, text: &str) -> Result<(), sqlx::Error> {
        // Without a name, preparing it and running it are two steps, which a pooler keeps together
        // within a transaction only.
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

/// The process of the server at the end of a connection.
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
        let at = |error: sqlx::Error| store_error("invalidations.publish")(Failure::from(error));
        let mut teller = self.teller.lock().await;
        let mut connection = self.take(&mut teller).await.map_err(at)?;
        self.notify(&mut connection, text).await.map_err(at)?;
        *teller = Some(connection);
        Ok(())
    }

    async fn listen(&self) -> Result<Box<dyn Subscription>, StoreError> {
        let at = |error: sqlx::Error| store_error("invalidations.listen")(Failure::from(error));
        // A pool of one, since the driver listens on nothing else. It is this subscription's alone
        // and ends with it.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            .connect_lazy_with(self.connect.clone());
        let mut listener = PgListener::connect_with(&pool).await.map_err(at)?;
        // A connection that is lost is a gap, and is to be told, not mended in silence.
        listener.eager_reconnect(false);
        if self.is_shared(&mut listener).await.map_err(at)? {
            return Err(StoreError::unavailable("invalidations.listen")
                .with_source("a pooler gives the connection to others between transactions"));
        }
        listener.listen(CHANNEL).await.map_err(at)?;
        Ok(Box::new(Listening(listener)))
    }

    fn advice(&self) -> &'static str {
        "LISTEN needs a connection to PostgreSQL itself: a pooler in transaction mode does not do"
    }
}

struct Listening(PgListener);

#[async_trait]
impl Subscription for Listening {
    async fn next(&mut self) -> Result<String, StoreError> {
        match self.0.try_recv().await {
            Ok(Some(notification)) => Ok(notification.payload().to_owned()),
            Ok(None) => Err(StoreError::unavailable("invalidations.hear")
                .with_source("the connection that listens was lost")),
            Err(error) => Err(store_error("invalidations.hear")(Failure::from(error))),
        }
    }
}
