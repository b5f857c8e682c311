//! PostgreSQL storage, for one or several nodes.
//!
//! Requires PostgreSQL 12. The newest features in use, with their versions:
//! `WITH … AS MATERIALIZED` (12), `FOR UPDATE SKIP LOCKED` (9.5), `CREATE TABLE IF NOT EXISTS` (9.1),
//! `idle_in_transaction_session_timeout` (9.6), `pg_advisory_xact_lock` (9.1), `WITH RECURSIVE` and
//! window functions (8.4), `DELETE … RETURNING` (8.2). `EXTRACT` returns a float before 14 and an
//! exact number since; both are precise to the microsecond in this century.

mod application;
mod dialect;
mod invalidations;
mod liveness;
mod server;
mod session_defaults;
mod signing_keys;

#[path = "../adoption.rs"]
mod adoption;
#[path = "../challenges.rs"]
mod challenges;
#[path = "../connection.rs"]
mod connection;
#[path = "../database.rs"]
mod database;
#[path = "../keys.rs"]
mod keys;
#[path = "../list.rs"]
mod list;
#[path = "../list_query.rs"]
mod list_query;
#[path = "../migrate.rs"]
mod migrate;
#[path = "../pooled_connection.rs"]
mod pooled_connection;
#[path = "../roles.rs"]
mod roles;
#[path = "../rows.rs"]
mod rows;
#[path = "../sessions.rs"]
mod sessions;
#[path = "../users.rs"]
mod users;

mod user_view;

mod url;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::error::{Error, Result};
use crate::secret::Secret;

pub use application::PostgresPoolOptions;
pub use signing_keys::OnUnknownKey;

use database::Pools;
use dialect::{ClockSource, TransactionMode};
use liveness::Liveness;
use session_defaults::SessionDefaults;

pub use adoption::Adoption as PostgresAdoption;

use PostgresDatabase as Database;

/// Connections for readiness checks: one, and one more while the last check's is on its way back.
const CHECK_CONNECTIONS: u32 = 2;

/// PostgreSQL connection options.
///
/// goat sets isolation level, access mode and timeouts itself, and keeps the schema that it found at its
/// first query: the defaults of the server, the database and the role do not apply.
///
/// A pooler is supported, also in transaction mode: goat keeps no session state on a connection. Behind
/// a pooler that refuses startup options every call is a transaction, as with unnamed statements. The
/// pooler must support prepared statements, as PgBouncer does from 1.21 with
/// `max_prepared_statements` above zero; otherwise disable
/// [`PostgresOptions::prepared_statements`].
///
/// ```
/// use goat_core::store::sql::PostgresOptions;
///
/// let options = PostgresOptions { connections: 20, ..PostgresOptions::new("postgres://localhost/app") };
/// assert_eq!(options.statement_timeout.as_secs(), 30);
/// ```
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=/path/to/ca.pem`.
    /// Omitted parts come from libpq's environment variables and password file, as in every PostgreSQL
    /// client. Without an `sslmode`, TLS is used if the server offers it, without verification of its
    /// certificate. Certificates are verified against the built-in public authorities and that of
    /// `sslrootcert`, not against the platform's. `statement-cache-capacity=0` disables
    /// [`PostgresOptions::prepared_statements`].
    pub url: Secret<String>,
    /// The most pooled connections of this process. Readiness checks use up to two more.
    pub connections: u32,
    /// The timeout of waiting for a connection.
    pub acquire_timeout: Duration,
    /// The server's timeout of a statement, and of an idle transaction, which releases the locks of a
    /// node that crashed.
    pub statement_timeout: Duration,
    /// Whether prepared statements are cached per connection. If false, every call is a transaction that
    /// prepares its statements, which takes three more round trips and works with any pooler in
    /// transaction mode.
    pub prepared_statements: bool,
}

impl PostgresOptions {
    /// Creates options with 10 connections, an acquire timeout of 5 seconds and a statement timeout of
    /// 30 seconds.
    pub fn new(url: impl Into<Secret<String>>) -> Self {
        Self {
            url: url.into(),
            connections: 10,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            prepared_statements: true,
        }
    }
}

/// A PostgreSQL database. Clones share its connections, which close with the last clone.
#[derive(Clone)]
pub struct PostgresDatabase {
    pools: Pools,
}

impl PostgresDatabase {
    /// Creates the connection pool. The first call connects, so that a process may start before its
    /// database.
    ///
    /// Must be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) if the URL is malformed, or has a parameter
    /// that the driver would ignore.
    pub fn open(options: &PostgresOptions) -> Result<Self> {
        Self::open_by(options, ClockSource::Server)
    }

    /// Opens the database with the caller's clock in place of the server's, for tests that advance it.
    ///
    /// # Errors
    ///
    /// As [`PostgresDatabase::open`].
    #[cfg(feature = "testing")]
    pub fn open_with_caller_clock(options: &PostgresOptions) -> Result<Self> {
        Self::open_by(options, ClockSource::Caller)
    }

    fn open_by(options: &PostgresOptions, clock: ClockSource) -> Result<Self> {
        // Without the parse error, since the URL contains a password.
        let malformed = || {
            Error::configuration(
                "the PostgreSQL URL is malformed; expected postgres://user:password@host:port/database, \
                 with special characters of the password percent-encoded",
            )
        };
        let url = options.url.expose();
        let caches_statements = url::check(url)?;
        let connect: PgConnectOptions = url.parse().map_err(|_| malformed())?;
        // goat stores no floats, and poolers reject unknown settings.
        let mut connect = connect.extra_float_digits(None);
        if connect.get_application_name().is_none() {
            connect = connect.application_name("goat");
        }
        let session = SessionDefaults::new(connect);
        let connect = session.connect_options(options.statement_timeout);
        let liveness = Liveness::new(options.acquire_timeout / 3);
        let tested = liveness.clone();
        let pool = PgPoolOptions::new()
            .max_connections(options.connections.max(1))
            .acquire_timeout(options.acquire_timeout)
            // The liveness check tests only connections that may be lost.
            .test_before_acquire(false)
            .before_acquire(move |connection, metadata| {
                let tested = tested.clone();
                Box::pin(async move { tested.check(connection, metadata.idle_for).await })
            })
            .connect_lazy_with(connect.clone());
        let check = PgPoolOptions::new()
            .max_connections(CHECK_CONNECTIONS)
            .acquire_timeout(options.acquire_timeout)
            .connect_lazy_with(connect);
        let mode = TransactionMode::new(
            options.statement_timeout,
            options.prepared_statements && caches_statements,
            clock,
            session,
            liveness,
        );
        Ok(Self { pools: Pools::new(pool.clone(), pool, check, mode) })
    }
}

impl fmt::Debug for PostgresDatabase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PostgresDatabase")
    }
}
