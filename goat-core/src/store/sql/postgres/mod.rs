//! PostgreSQL: for several nodes.
//!
//! Nothing newer than PostgreSQL 12 is needed. The newest that is used, and since when:
//! `WITH … AS MATERIALIZED` (12), `FOR UPDATE SKIP LOCKED` (9.5), `CREATE TABLE IF NOT EXISTS` (9.1),
//! `idle_in_transaction_session_timeout` (9.6), `pg_advisory_xact_lock` (9.1), `WITH RECURSIVE` and
//! window functions (8.4), `DELETE … RETURNING` (8.2). `EXTRACT` is a float before 14 and exact from
//! then on; either is precise to the microsecond in this century.

mod dialect;
mod invalidations;
mod pooled_connection;
mod server;
mod signing_keys;

#[path = "../connection.rs"]
mod connection;
#[path = "../database.rs"]
mod database;
#[path = "../list.rs"]
mod list;
#[path = "../migrate.rs"]
mod migrate;
#[path = "../roles.rs"]
mod roles;
#[path = "../rows.rs"]
mod rows;
#[path = "../sessions.rs"]
mod sessions;
#[path = "../users.rs"]
mod users;

mod url;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::error::{Error, Result};
use crate::secret::Secret;

pub use signing_keys::OnUnknownKey;

use database::Pools;
use dialect::{ClockSource, TransactionMode};

use PostgresDatabase as Database;

/// How a PostgreSQL database is reached.
///
/// A pooler may stand in between, also one in transaction mode: goat leaves nothing behind on a
/// connection. What such a pooler must be able to is to carry prepared statements, as PgBouncer does
/// from 1.21 on with `max_prepared_statements` above zero; for one that does not,
/// [`PostgresOptions::prepared_statements`] must be off.
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
    /// What it leaves out, the driver takes from libpq's variables and password file, as every
    /// PostgreSQL client does; without an `sslmode`, TLS is used if the server offers it, and its
    /// certificate is believed. What verifies a certificate trusts the web's public authorities, which
    /// are built in, and that of `sslrootcert`; those of the machine are not looked at.
    /// `statement-cache-capacity=0` turns [`PostgresOptions::prepared_statements`] off.
    pub url: Secret<String>,
    /// The most connections of this process.
    pub connections: u32,
    /// How long a caller waits for a connection.
    pub acquire_timeout: Duration,
    /// How long the server works on a statement of a transaction, and waits for the next one, before
    /// it gives up: what a node that died holds is free again after that. Statements outside of
    /// transactions read by an index, or wait for such transactions, and have no bound of their own;
    /// for one, set `statement_timeout` for the role.
    pub statement_timeout: Duration,
    /// Whether a connection keeps prepared statements, by name. Off, every call is a transaction that
    /// prepares its statements anew, which takes three more round trips, and works with any pooler in
    /// transaction mode.
    pub prepared_statements: bool,
}

impl PostgresOptions {
    /// Ten connections, five seconds of timeout, and thirty of the server's.
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

/// A PostgreSQL database. Clones share its connections, which close with the last of them.
#[derive(Clone)]
pub struct PostgresDatabase {
    pools: Pools,
}

impl PostgresDatabase {
    /// Gets ready to connect. The first call that needs the database connects, so that a process
    /// may start while its database does.
    ///
    /// Must be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) if the URL is none, or has a parameter that
    /// the driver would pass over.
    pub fn open(options: &PostgresOptions) -> Result<Self> {
        Self::open_by(options, ClockSource::Server)
    }

    /// The same, with the caller's clock where otherwise the server's counts: for tests that move it.
    ///
    /// # Errors
    ///
    /// As [`PostgresDatabase::open`].
    #[cfg(feature = "testing")]
    pub fn open_with_caller_clock(options: &PostgresOptions) -> Result<Self> {
        Self::open_by(options, ClockSource::Caller)
    }

    fn open_by(options: &PostgresOptions, clock: ClockSource) -> Result<Self> {
        // What is wrong with the URL is not said: it holds a password.
        let malformed = || Error::configuration("the URL of the PostgreSQL database is malformed");
        let url = options.url.expose();
        let keeps_statements = url::check(url)?;
        let connect: PgConnectOptions = url.parse().map_err(|_| malformed())?;
        // No number here has a fraction, and poolers refuse settings that they do not know.
        let mut connect = connect.extra_float_digits(None);
        if connect.get_application_name().is_none() {
            connect = connect.application_name("goat");
        }
        let pool = PgPoolOptions::new()
            .max_connections(options.connections.max(1))
            .acquire_timeout(options.acquire_timeout)
            // It would cost a round trip a call. A connection that died fails one call, which
            // says unavailable.
            .test_before_acquire(false)
            .connect_lazy_with(connect);
        let mode = TransactionMode::new(
            options.statement_timeout,
            options.prepared_statements && keeps_statements,
            clock,
        );
        Ok(Self { pools: Pools { read: pool.clone(), write: pool, mode } })
    }
}

impl fmt::Debug for PostgresDatabase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PostgresDatabase")
    }
}
