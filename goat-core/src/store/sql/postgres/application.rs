//! PostgreSQL storage on the application's connection pool, with a check of what goat requires of it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool, Postgres, Transaction};

use crate::error::{Error, Result};
use crate::store::StoreTransaction;
use crate::store::sql::failure::{Failure, FailureClass};

use super::database::Pools;
use super::dialect::{ClockSource, TransactionMode, classify, store_error};
use super::liveness::Liveness;
use super::session_defaults::SessionDefaults;
use super::{CHECK_CONNECTIONS, PostgresDatabase};

/// One connection may be in a transaction of the application while goat reads on another.
const LEAST_CONNECTIONS: u32 = 2;

/// Options of goat's calls on the application's pool.
///
/// ```
/// use goat_core::store::sql::PostgresPoolOptions;
///
/// let options = PostgresPoolOptions { prepared_statements: false, ..Default::default() };
/// assert_eq!(options.statement_timeout.as_secs(), 30);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PostgresPoolOptions {
    /// See [`PostgresOptions::statement_timeout`](super::PostgresOptions::statement_timeout).
    pub statement_timeout: Duration,
    /// See [`PostgresOptions::prepared_statements`](super::PostgresOptions::prepared_statements).
    pub prepared_statements: bool,
}

impl Default for PostgresPoolOptions {
    /// A statement timeout of 30 seconds, and prepared statements.
    fn default() -> Self {
        Self { statement_timeout: Duration::from_secs(30), prepared_statements: true }
    }
}

impl PostgresDatabase {
    /// Works on the application's pool, of sqlx 0.9 as goat's own, so that one transaction can span the
    /// application's tables and goat's: see [`Goat::sign_up_in`](crate::Goat::sign_up_in). Does not touch
    /// the tables; see [`PostgresDatabase::migrate`].
    ///
    /// The pool leads to PostgreSQL 12 or later, a database with the encoding UTF-8 and a schema for
    /// goat's tables. It has at least two connections, so that goat reads while the application is in a
    /// transaction, and tests a connection before its use (`test_before_acquire`, sqlx's default), so
    /// that a restart of the server fails no call. Behind a pooler in transaction mode that does not
    /// support prepared statements, disable [`PostgresPoolOptions::prepared_statements`].
    ///
    /// goat leaves the connections' settings as they are: each of its calls is a transaction with
    /// settings of its own, which takes two more round trips than on a pool of goat's own. Readiness
    /// checks use up to two more connections.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) if the pool lacks one of these, which the error
    /// names, and as [`PostgresDatabase::version`]; [`Unavailable`](crate::ErrorKind::Unavailable) if
    /// the server does not respond.
    pub async fn from_pool(pool: PgPool, options: PostgresPoolOptions) -> Result<Self> {
        let most = pool.options().get_max_connections();
        if most < LEAST_CONNECTIONS {
            return Err(lacking(&format!("at least {LEAST_CONNECTIONS} connections, not {most}")));
        }
        if !pool.options().get_test_before_acquire() {
            return Err(lacking("test_before_acquire"));
        }
        let PostgresPoolOptions { statement_timeout, prepared_statements } = options;
        let connect = pool.connect_options();
        let acquire_timeout = pool.options().get_acquire_timeout();
        let mode = TransactionMode::new(
            statement_timeout,
            prepared_statements,
            ClockSource::Server,
            SessionDefaults::of_application(Arc::clone(&connect)),
            Liveness::new(acquire_timeout / 3),
        );
        let check = PgPoolOptions::new()
            .max_connections(CHECK_CONNECTIONS)
            .acquire_timeout(acquire_timeout)
            .connect_lazy_with(connect.as_ref().clone());
        let pools = Pools::new(pool.clone(), pool, check, mode).of_application();
        let database = Self { pools };
        database.version().await?;
        if prepared_statements {
            check_prepared_statements(&connect).await?;
        }
        Ok(database)
    }
}

impl<'a> From<&'a mut Transaction<'_, Postgres>> for StoreTransaction<'a> {
    fn from(transaction: &'a mut Transaction<'_, Postgres>) -> Self {
        Self::new::<PgConnection>(&mut *transaction)
    }
}

/// Checks that a prepared statement is not met by another client: a pooler in transaction mode without
/// support for them assigns the server connection of one client to the next, with its statements.
async fn check_prepared_statements(connect: &PgConnectOptions) -> Result<()> {
    let failed = |error: sqlx::Error| Error::from(store_error("from_pool")(error.into()));
    let mut clients =
        [connect.connect().await.map_err(failed)?, connect.connect().await.map_err(failed)?];
    for client in &mut clients {
        if let Err(error) = prepare(client).await {
            let failure = Failure::from(error);
            if failure.class(classify) != FailureClass::Permanent {
                return Err(store_error("from_pool")(failure).into());
            }
            // The statement would remain for the next client.
            let _ = sqlx::raw_sql("ROLLBACK; DEALLOCATE ALL").execute(client).await;
            return Err(lacking(
                "prepared statements: a pooler in transaction mode must support them (PgBouncer from \
                 1.21, max_prepared_statements); or disable them in the pool, by \
                 statement_cache_capacity(0), and in PostgresPoolOptions",
            )
            .with_source(failure.into_cause()));
        }
    }
    for client in clients {
        // The server notices the end of a connection that fails to close.
        let _ = client.close().await;
    }
    Ok(())
}

/// Executes a prepared statement, as the first one of its connection, in a transaction.
async fn prepare(client: &mut PgConnection) -> sqlx::Result<()> {
    // The settings of the database might end it between two statements.
    const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = '5s'; \
        SET LOCAL idle_in_transaction_session_timeout = '5s'";
    sqlx::raw_sql(BEGIN).execute(&mut *client).await?;
    sqlx::query("SELECT 1").execute(&mut *client).await?;
    sqlx::raw_sql("COMMIT").execute(client).await?;
    Ok(())
}

fn lacking(requirement: &str) -> Error {
    Error::configuration(format!("the application's PostgreSQL pool needs {requirement}"))
}
