//! Notices by `LISTEN` and `NOTIFY`.
//!
//! A node listens over a connection of its own, which must lead to PostgreSQL itself: behind a pooler
//! that gives each transaction another connection nothing arrives, and the node is deaf. It tells
//! over the pool of connections, each notice in a transaction of its own, so that notices arrive in
//! the order in which they were sent.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{Pool, Postgres};

use crate::error::StoreError;
use crate::notice::{Broadcast, Notices, Subscription, Transport};
use crate::store::sql::failure::Failure;

use super::PostgresDatabase;
use super::dialect::at;

/// On which all nodes of a database meet.
const CHANNEL: &str = "goat_notices";

impl PostgresDatabase {
    /// Notices to every node that uses this database, by `LISTEN` and `NOTIFY`: for several nodes
    /// without Redis. `staleness` is that of the nodes' caches,
    /// [`Settings::cache_staleness`](crate::Settings::cache_staleness).
    ///
    /// The connection that listens is not of the pool, and goes where the pool's go: not by a pooler
    /// in transaction mode. Behind one nothing is heard, so that nothing is cached: right, and slow.
    /// A warning in the log says so.
    #[must_use]
    pub fn notices(&self, staleness: Duration) -> Arc<dyn Notices> {
        Broadcast::new(Arc::new(ListenNotify { pool: self.pools.write.clone() }), staleness)
    }
}

struct ListenNotify {
    pool: Pool<Postgres>,
}

impl fmt::Debug for ListenNotify {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ListenNotify")
    }
}

#[async_trait]
impl Transport for ListenNotify {
    async fn send(&self, text: &str) -> Result<(), StoreError> {
        sqlx::query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(text)
            .execute(&self.pool)
            .await
            .map_err(|error| at("notices.publish")(Failure::from(error)))?;
        Ok(())
    }

    async fn listen(&self) -> Result<Box<dyn Subscription>, StoreError> {
        let at = |error: sqlx::Error| at("notices.listen")(Failure::from(error));
        // A pool of one, since the driver listens on nothing else. It is this subscription's alone
        // and ends with it.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            .connect_lazy_with((*self.pool.connect_options()).clone());
        let mut listener = PgListener::connect_with(&pool).await.map_err(at)?;
        // A connection that is lost is a gap, and is to be told, not mended in silence.
        listener.eager_reconnect(false);
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
            Ok(None) => Err(StoreError::unavailable("notices.hear")
                .with_source("the connection that listens was lost")),
            Err(error) => Err(at("notices.hear")(Failure::from(error))),
        }
    }
}
