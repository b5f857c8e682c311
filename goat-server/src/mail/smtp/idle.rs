//! Idle connections, kept for the next letter for a short time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::connection::Connection;

/// How long a connection is kept. Servers close idle ones after some minutes.
const KEEP: Duration = Duration::from_secs(30);

/// The idle connections, the one that was used last at the end. Deliveries at once bound their number.
#[derive(Default)]
pub(super) struct IdleConnections {
    kept: Mutex<Vec<(Instant, Connection)>>,
    added: Notify,
}

impl IdleConnections {
    /// Takes the connection that was used last.
    pub(super) fn take(&self) -> Option<Connection> {
        self.kept().pop().map(|(_, connection)| connection)
    }

    /// Keeps a connection.
    pub(super) fn put(&self, connection: Connection) {
        self.kept().push((Instant::now(), connection));
        self.added.notify_one();
    }

    /// Closes connections that were kept for long enough. Never returns.
    pub(super) async fn close_old(&self) {
        loop {
            let oldest = self.kept().first().map(|(since, _)| *since + KEEP);
            match oldest {
                Some(end) => sleep_until(end).await,
                None => self.added.notified().await,
            }
            let now = Instant::now();
            let old: Vec<_> =
                self.kept().extract_if(.., |(since, _)| *since + KEEP <= now).collect();
            for (_, connection) in old {
                connection.quit().await;
            }
        }
    }

    /// Closes all connections.
    pub(super) async fn close_all(&self) {
        let all = std::mem::take(&mut *self.kept());
        for (_, connection) in all {
            connection.quit().await;
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<(Instant, Connection)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
