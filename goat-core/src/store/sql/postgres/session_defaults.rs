//! Session defaults: parameters that goat sets itself, so that those of the server, the database and the
//! role do not apply.
//!
//! PostgreSQL takes them at the start of a connection. A pooler refuses or ignores them, since its
//! clients share sessions: behind it every call is a transaction, which sets them for itself alone. So it is
//! on the application's pool, whose connections keep the application's settings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::Pool;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnectOptions;

use super::dialect::Db;

/// How connections get their session defaults. Clones share their state.
#[derive(Clone, Debug)]
pub(super) struct SessionDefaults {
    /// Connect options without session defaults.
    plain: Arc<PgConnectOptions>,
    /// Whether a pooler refused them, or the connections are the application's.
    is_refused: Arc<AtomicBool>,
    are_application: bool,
}

impl SessionDefaults {
    pub(super) fn new(plain: PgConnectOptions) -> Self {
        Self { plain: Arc::new(plain), is_refused: Arc::default(), are_application: false }
    }

    /// For connections of the application, which keep its settings.
    pub(super) fn of_application(plain: Arc<PgConnectOptions>) -> Self {
        Self { plain, is_refused: Arc::new(AtomicBool::new(true)), are_application: true }
    }

    /// Returns the connect options with session defaults.
    pub(super) fn connect_options(&self, timeout: Duration) -> PgConnectOptions {
        let timeout = milliseconds(timeout);
        self.plain().options([
            ("default_transaction_isolation", "read committed"),
            ("default_transaction_read_only", "off"),
            ("default_transaction_deferrable", "off"),
            ("statement_timeout", &timeout),
            ("lock_timeout", &timeout),
            ("idle_in_transaction_session_timeout", &timeout),
        ])
    }

    /// Returns the connect options without session defaults.
    pub(super) fn plain(&self) -> PgConnectOptions {
        (*self.plain).clone()
    }

    /// Whether connections have no session defaults, so that every call must be a transaction.
    pub(super) fn are_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }

    /// Acquires a connection, without session defaults if a pooler refuses them.
    pub(super) async fn acquire(&self, pool: &Pool<Db>) -> Result<PoolConnection<Db>, sqlx::Error> {
        match pool.acquire().await {
            Err(error) if !self.are_application && is_refusal(&error) => {
                self.is_refused.store(true, Ordering::Relaxed);
                pool.set_connect_options(self.plain());
                pool.acquire().await
            }
            acquired => acquired,
        }
    }
}

/// Whether a pooler refused a parameter of the connection.
fn is_refusal(error: &sqlx::Error) -> bool {
    const PROTOCOL_VIOLATION: &str = "08P01";
    const NOT_SUPPORTED: &str = "0A000";
    let Some(error) = error.as_database_error() else { return false };
    let is_named = |name| error.message().contains(name);
    error.code().is_some_and(|code| [PROTOCOL_VIOLATION, NOT_SUPPORTED].contains(&&*code))
        && (is_named("startup parameter") || is_named("options"))
}

/// Returns a duration in milliseconds, at least one: zero would mean no timeout.
pub(super) fn milliseconds(duration: Duration) -> String {
    let most = i32::MAX.unsigned_abs().into();
    duration.as_millis().clamp(1, most).to_string()
}
