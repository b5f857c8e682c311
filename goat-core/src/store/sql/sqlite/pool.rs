//! Connection pool of a SQLite file: goat's own, or the application's.
//!
//! Invariants:
//! - at most a fixed number of connections is open, each in use by one call;
//! - a returned connection has no open transaction and no running statement;
//! - on the application's pool, at most one call of goat waits for the write lock, so that writes do
//!   not occupy all connections.
//!
//! goat's own is in place of the driver's pool, which tests each returned connection on its worker thread,
//! in a task of its own: that costs more than most reads. A connection to a file is not lost between two
//! calls.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Sqlite, SqliteConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time;

/// The connections of a file. Clones share them.
#[derive(Clone, Debug)]
pub(super) enum SqlitePool {
    /// goat's own connections.
    Own(Arc<Inner>),
    /// The application's connections.
    Application {
        pool: sqlx::SqlitePool,
        /// The turn of one writer; `None` for reads.
        writer: Option<Arc<Semaphore>>,
        /// The timeout of waiting for the turn.
        timeout: Duration,
    },
}

#[derive(Debug)]
pub(super) struct Inner {
    options: Mutex<SqliteConnectOptions>,
    most: u32,
    /// The timeout of waiting for a connection.
    timeout: Duration,
    /// A permit for each connection that may be in use.
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<SqliteConnection>>,
    is_closed: AtomicBool,
}

impl SqlitePool {
    /// Creates a pool of at most `most` connections, which are opened when they are needed.
    pub(super) fn new(options: SqliteConnectOptions, most: u32, timeout: Duration) -> Self {
        let most = most.max(1);
        Self::Own(Arc::new(Inner {
            options: Mutex::new(options),
            most,
            timeout,
            permits: Arc::new(Semaphore::new(most as usize)),
            idle: Mutex::default(),
            is_closed: AtomicBool::new(false),
        }))
    }

    /// Reads on the application's pool.
    pub(super) fn readers_of(pool: sqlx::SqlitePool, timeout: Duration) -> Self {
        Self::Application { pool, writer: None, timeout }
    }

    /// Writes on the application's pool, one at a time.
    pub(super) fn writer_of(pool: sqlx::SqlitePool, timeout: Duration) -> Self {
        Self::Application { pool, writer: Some(Arc::new(Semaphore::new(1))), timeout }
    }

    /// Acquires a connection: an idle one, or a new one.
    pub(super) async fn acquire(&self) -> Result<PooledSqlite, sqlx::Error> {
        match self {
            Self::Own(inner) => inner.acquire().await,
            Self::Application { pool, writer, timeout } => {
                let turn = match writer {
                    None => None,
                    Some(writer) => {
                        let turn = Arc::clone(writer).acquire_owned();
                        let turn = time::timeout(*timeout, turn).await;
                        let turn = turn.map_err(|_| sqlx::Error::PoolTimedOut)?;
                        Some(turn.map_err(|_| sqlx::Error::PoolClosed)?)
                    }
                };
                let held = Some(Held::Application(pool.acquire().await?));
                Ok(PooledSqlite { held, _permit: turn })
            }
        }
    }

    /// Closes every connection of goat's own, each after the call that uses it. Later calls fail.
    pub(super) async fn close(&self) {
        let Self::Own(inner) = self else { return };
        inner.is_closed.store(true, Ordering::SeqCst);
        // Once all permits are here, no connection is in use.
        let _all = inner.permits.acquire_many(inner.most).await;
        let idle = std::mem::take(&mut *inner.idle());
        for connection in idle {
            let _ = connection.close().await;
        }
    }

    /// Changes the options of later connections.
    #[cfg(test)]
    pub(super) fn change_options(
        &self,
        change: impl FnOnce(SqliteConnectOptions) -> SqliteConnectOptions,
    ) {
        let Self::Own(inner) = self else { return };
        let mut options = lock(&inner.options);
        *options = change(options.clone());
    }
}

impl Inner {
    async fn acquire(self: &Arc<Self>) -> Result<PooledSqlite, sqlx::Error> {
        let acquired = time::timeout(self.timeout, async {
            let permit = Arc::clone(&self.permits).acquire_owned().await;
            let permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
            if self.is_closed.load(Ordering::SeqCst) {
                return Err(sqlx::Error::PoolClosed);
            }
            let idle = self.idle().pop();
            let connection = match idle {
                Some(connection) => connection,
                None => {
                    let options = lock(&self.options).clone();
                    options.connect().await?
                }
            };
            Ok((connection, permit))
        });
        let (connection, permit) = acquired.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        let held = Some(Held::Own { connection, pool: Arc::clone(self) });
        Ok(PooledSqlite { held, _permit: Some(permit) })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<SqliteConnection>> {
        lock(&self.idle)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection in use. It is idle again when dropped.
#[derive(Debug)]
pub(super) struct PooledSqlite {
    /// Present unless it was taken out of the pool.
    held: Option<Held>,
    /// Released after the connection is idle.
    _permit: Option<OwnedSemaphorePermit>,
}

/// A connection, with the pool that it returns to.
#[derive(Debug)]
enum Held {
    Own { connection: SqliteConnection, pool: Arc<Inner> },
    Application(PoolConnection<Sqlite>),
}

impl PooledSqlite {
    /// Whether the connection is one of goat's own, which returns to its pool at once.
    pub(super) fn is_own(&self) -> bool {
        matches!(self.held, Some(Held::Own { .. }))
    }

    /// Returns the connection after its running statement has ended, or closes it if it does not respond.
    pub(super) async fn return_to_pool(&mut self) {
        match &mut self.held {
            Some(Held::Own { connection, .. }) => {
                if connection.ping().await.is_err()
                    && let Some(Held::Own { connection, .. }) = self.held.take()
                {
                    let _ = connection.close_hard().await;
                }
            }
            Some(Held::Application(connection)) => connection.return_to_pool().await,
            None => {}
        }
    }

    /// Takes the connection out of the pool.
    pub(super) fn detach(mut self) -> Option<SqliteConnection> {
        Some(match self.held.take()? {
            Held::Own { connection, .. } => connection,
            Held::Application(connection) => connection.detach(),
        })
    }

    /// Closes the connection.
    pub(super) async fn close(mut self) -> Result<(), sqlx::Error> {
        match self.held.take() {
            Some(Held::Own { connection, .. }) => connection.close().await,
            Some(Held::Application(connection)) => connection.close().await,
            None => Ok(()),
        }
    }
}

impl Deref for PooledSqlite {
    type Target = SqliteConnection;

    #[expect(clippy::expect_used, reason = "methods that take it consume the value")]
    fn deref(&self) -> &SqliteConnection {
        match self.held.as_ref().expect("a connection in use") {
            Held::Own { connection, .. } => connection,
            Held::Application(connection) => connection,
        }
    }
}

impl DerefMut for PooledSqlite {
    #[expect(clippy::expect_used, reason = "methods that take it consume the value")]
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        match self.held.as_mut().expect("a connection in use") {
            Held::Own { connection, .. } => connection,
            Held::Application(connection) => connection,
        }
    }
}

impl Drop for PooledSqlite {
    fn drop(&mut self) {
        if let Some(Held::Own { connection, pool }) = self.held.take() {
            pool.idle().push(connection);
        }
    }
}
