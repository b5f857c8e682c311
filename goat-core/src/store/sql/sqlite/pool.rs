//! Connection pool of a SQLite file.
//!
//! Invariants:
//! - at most a fixed number of connections is open, each in use by one call;
//! - a returned connection has no open transaction and no running statement.
//!
//! In place of the driver's pool, which tests each returned connection on its worker thread, in a task of
//! its own: that costs more than most reads. A connection to a file is not lost between two calls.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time;

/// The connections of a file. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct SqlitePool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
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
        Self(Arc::new(Inner {
            options: Mutex::new(options),
            most,
            timeout,
            permits: Arc::new(Semaphore::new(most as usize)),
            idle: Mutex::default(),
            is_closed: AtomicBool::new(false),
        }))
    }

    /// Acquires a connection: an idle one, or a new one.
    pub(super) async fn acquire(&self) -> Result<PooledSqlite, sqlx::Error> {
        let pool = Arc::clone(&self.0);
        let acquired = time::timeout(pool.timeout, async {
            let permit = Arc::clone(&pool.permits).acquire_owned().await;
            let permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
            if pool.is_closed.load(Ordering::SeqCst) {
                return Err(sqlx::Error::PoolClosed);
            }
            let idle = pool.idle().pop();
            let connection = match idle {
                Some(connection) => connection,
                None => {
                    let options = lock(&pool.options).clone();
                    options.connect().await?
                }
            };
            Ok((connection, permit))
        });
        let (connection, permit) = acquired.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        Ok(PooledSqlite { connection: Some(connection), pool, _permit: permit })
    }

    /// Closes every connection, each after the call that uses it. Later calls fail.
    pub(super) async fn close(&self) {
        self.0.is_closed.store(true, Ordering::SeqCst);
        // Once all permits are here, no connection is in use.
        let _all = self.0.permits.acquire_many(self.0.most).await;
        let idle = std::mem::take(&mut *self.0.idle());
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
        let mut options = lock(&self.0.options);
        *options = change(options.clone());
    }
}

impl Inner {
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
    connection: Option<SqliteConnection>,
    pool: Arc<Inner>,
    /// Released after the connection is idle.
    _permit: OwnedSemaphorePermit,
}

impl PooledSqlite {
    /// Returns the connection after its running statement has ended, or closes it if it does not respond.
    pub(super) async fn return_to_pool(&mut self) {
        if let Some(connection) = &mut self.connection
            && connection.ping().await.is_err()
            && let Some(connection) = self.connection.take()
        {
            let _ = connection.close_hard().await;
        }
    }

    /// Takes the connection out of the pool.
    pub(super) fn detach(mut self) -> Option<SqliteConnection> {
        self.connection.take()
    }

    /// Closes the connection.
    pub(super) async fn close(mut self) -> Result<(), sqlx::Error> {
        match self.connection.take() {
            Some(connection) => connection.close().await,
            None => Ok(()),
        }
    }
}

impl Deref for PooledSqlite {
    type Target = SqliteConnection;

    #[expect(clippy::expect_used, reason = "methods that take it consume the value")]
    fn deref(&self) -> &SqliteConnection {
        self.connection.as_ref().expect("a connection in use")
    }
}

impl DerefMut for PooledSqlite {
    #[expect(clippy::expect_used, reason = "methods that take it consume the value")]
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.connection.as_mut().expect("a connection in use")
    }
}

impl Drop for PooledSqlite {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.idle().push(connection);
        }
    }
}
