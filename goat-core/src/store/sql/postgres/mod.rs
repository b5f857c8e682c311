//! PostgreSQL: for several nodes.

mod dialect;
mod nodes;
mod server;

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

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::error::{Error, Result};
use crate::secret::Secret;

pub use nodes::StrangeKeys;

use database::Pools;

use PostgresDatabase as Database;

/// How a PostgreSQL database is reached.
///
/// ```
/// use goat_core::store::sql::PostgresOptions;
///
/// let options = PostgresOptions { connections: 20, ..PostgresOptions::new("postgres://localhost/app") };
/// assert_eq!(options.statement_timeout.as_secs(), 30);
/// ```
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database?sslmode=verify-full`. What it leaves out, the
    /// driver takes from libpq's variables and password file, as every PostgreSQL client does.
    pub url: Secret<String>,
    /// The most connections of this process.
    pub connections: u32,
    /// How long a caller waits for a connection.
    pub acquire_timeout: Duration,
    /// How long the server works on a statement, and waits for the next one of a transaction, before
    /// it gives up: what a node that died holds is free again after that.
    pub statement_timeout: Duration,
}

impl PostgresOptions {
    /// Ten connections, five seconds of patience, and thirty of the server's.
    pub fn new(url: impl Into<Secret<String>>) -> Self {
        Self {
            url: url.into(),
            connections: 10,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
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
    /// [`Configuration`](crate::ErrorKind::Configuration) if the URL is none.
    pub fn open(options: &PostgresOptions) -> Result<Self> {
        // What is wrong with the URL is not said: it holds a password.
        let connect: PgConnectOptions =
            options.url.expose().parse().map_err(|_| {
                Error::configuration("the URL of the PostgreSQL database is malformed")
            })?;
        let milliseconds = options.statement_timeout.as_millis();
        let mut connect = connect.options([
            ("statement_timeout", milliseconds),
            ("idle_in_transaction_session_timeout", milliseconds),
        ]);
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
        Ok(Self { pools: Pools { read: pool.clone(), write: pool } })
    }
}

impl fmt::Debug for PostgresDatabase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PostgresDatabase")
    }
}
