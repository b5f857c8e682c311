//! PostgreSQL dialect: transactions, locks, clock and error codes.
//!
//! Writes run concurrently, so a write locks the rows that it reads until it commits. To prevent
//! deadlocks, locks are taken in one order: the guard, then user rows. A write without the guard locks
//! one user row only. A call that adds sessions, or ends several, first takes the user's advisory lock;
//! rotation and logout lock one session only; the purge skips locked rows.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Pool, Postgres, SqlSafeStr as _, SqlStr};

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::UserId;
use crate::store::sql::failure::Failure;
use crate::store::sql::schema::Migration;

use super::connection::Connection;
use super::database::UniqueViolation;
use super::pooled_connection::PooledConnection;

pub(super) type Db = Postgres;
pub(super) type Row = sqlx::postgres::PgRow;
pub(super) type DriverConnection = sqlx::PgConnection;

/// Forces index scans: the planner prefers a sequential scan to ten thousand rows by an index, as for a
/// slow disk. The cost of a list must not grow with the number of users.
const BY_INDEX: &str = "; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; \
    SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off";

/// The clock that decides about token use and expiry.
#[derive(Clone, Copy, Debug)]
pub(super) enum ClockSource {
    /// The server's, which all nodes share.
    Server,
    /// The caller's, which a test advances.
    #[cfg(feature = "testing")]
    Caller,
}

/// How transactions begin, by the options.
///
/// No setting outlasts a transaction, since a pooler in transaction mode assigns another connection to
/// the next one.
#[derive(Clone, Debug)]
pub(super) struct TransactionMode {
    write: SqlStr,
    step: SqlStr,
    snapshot: SqlStr,
    timeout: Duration,
    named_statements: bool,
    clock: ClockSource,
}

impl TransactionMode {
    /// Prepares the statements that begin transactions. They state the isolation level, since a database
    /// or role may have another default, under which a write that waited for a lock would fail. They do
    /// not override `default_transaction_read_only`.
    pub(super) fn new(timeout: Duration, named_statements: bool, clock: ClockSource) -> Self {
        let most = i32::MAX.unsigned_abs().into();
        let given = timeout.max(Duration::from_millis(1));
        let timeout = timeout.as_millis().clamp(1, most);
        let idle = format!("SET LOCAL idle_in_transaction_session_timeout = {timeout}");
        let begin = |mode: &str, timeout: u128, more: &str| {
            let bound = format!("SET LOCAL statement_timeout = {timeout}; {idle}{more}");
            AssertSqlSafe(format!("BEGIN ISOLATION LEVEL {mode}; {bound}")).into_sql_str()
        };
        Self {
            write: begin("READ COMMITTED", timeout, ""),
            step: begin("READ COMMITTED", 0, ""),
            snapshot: begin("REPEATABLE READ READ ONLY", timeout, BY_INDEX),
            timeout: given,
            named_statements,
            clock,
        }
    }

    /// Acquires a connection for single statements. Unnamed statements take two messages, which a pooler
    /// keeps on one connection only within a transaction.
    pub(super) async fn autocommit(&self, pool: &Pool<Db>) -> Result<Connection, Failure> {
        if !self.named_statements {
            return self.begin(pool).await;
        }
        Ok(Connection::new(PooledConnection::autocommit(pool, self.timeout).await?, true))
    }

    /// Begins a read-only snapshot. Its statements are unnamed, so that each is planned for its
    /// parameters: a plan for a rare role is bad for a common one.
    pub(super) async fn snapshot(&self, pool: &Pool<Db>) -> Result<Connection, Failure> {
        Ok(Connection::new(
            PooledConnection::begin(pool, &self.snapshot, self.timeout).await?,
            false,
        ))
    }

    /// Begins a write transaction.
    pub(super) async fn begin(&self, pool: &Pool<Db>) -> Result<Connection, Failure> {
        Ok(Connection::new(
            PooledConnection::begin(pool, &self.write, self.timeout).await?,
            self.named_statements,
        ))
    }

    /// Begins a migration step, without a statement timeout: building an index on a large table takes
    /// long, and so does waiting for another process that does.
    pub(super) async fn begin_migration(&self, pool: &Pool<Db>) -> Result<Connection, Failure> {
        Ok(Connection::new(
            PooledConnection::begin(pool, &self.step, self.timeout).await?,
            self.named_statements,
        ))
    }

    /// Whether prepared statements are named.
    pub(super) fn named_statements(&self) -> bool {
        self.named_statements
    }

    /// Returns the parameter of [`now`]: none for the server's clock.
    #[cfg_attr(
        not(feature = "testing"),
        expect(unused_variables, reason = "only tests use the caller's clock")
    )]
    pub(super) fn now(&self, now: Timestamp) -> Option<i64> {
        match self.clock {
            ClockSource::Server => None,
            #[cfg(feature = "testing")]
            ClockSource::Caller => Some(now.as_millis()),
        }
    }
}

/// The current time in milliseconds, by the server's clock unless the parameter overrides it. Evaluated
/// once per statement, at first use, so that a comparison can use an index.
macro_rules! now {
    ($given:literal) => {
        concat!(
            "(SELECT COALESCE(",
            $given,
            ", CAST(FLOOR(EXTRACT(EPOCH FROM clock_timestamp()) * 1000) AS BIGINT)))"
        )
    };
}
pub(super) use now;

/// Whether at most one write transaction is open.
pub(super) const SINGLE_WRITER: bool = false;

/// Locks the rows of a query until the end of the transaction.
macro_rules! for_update {
    () => {
        " FOR UPDATE"
    };
}
pub(super) use for_update;

/// Locks the rows of a query and skips rows that are already locked.
macro_rules! for_update_skip_locked {
    () => {
        " FOR UPDATE SKIP LOCKED"
    };
}
pub(super) use for_update_skip_locked;

/// The first half of the key of the advisory lock on a user's sessions: "goat". The second half is from
/// the user's id; a collision of two users only makes them wait for each other.
const SESSIONS_LOCK: i32 = 0x676f_6174;

/// The key of the advisory lock for migrations: "goatmigr".
const MIGRATIONS_LOCK: i64 = 0x676f_6174_6d69_6772;

/// Locks the guard row.
pub(super) async fn lock_guard(connection: &mut Connection) -> Result<(), Failure> {
    connection.one(sqlx::query("SELECT id FROM goat_guard WHERE id = 1 FOR UPDATE")).await?;
    Ok(())
}

/// Locks the set of a user's sessions.
pub(super) async fn lock_sessions(
    connection: &mut Connection,
    user: UserId,
) -> Result<(), Failure> {
    // The low bits of a ULID are random.
    let low_bits = (user.as_u128() & u128::from(u32::MAX)).try_into().unwrap_or(u32::MAX);
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)");
    connection.execute(lock.bind(SESSIONS_LOCK).bind(low_bits.cast_signed())).await?;
    Ok(())
}

/// Locks migrations.
pub(super) async fn lock_migrations(connection: &mut Connection) -> Result<(), Failure> {
    connection
        .execute(sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MIGRATIONS_LOCK))
        .await?;
    Ok(())
}

/// Returns the unique constraint that a write of a user violated.
pub(super) fn unique_violation(error: &sqlx::Error) -> Option<UniqueViolation> {
    match error.as_database_error()?.constraint()? {
        "goat_users_email" => Some(UniqueViolation::Email),
        "goat_users_id" => Some(UniqueViolation::Id),
        _ => None,
    }
}

/// Converts failures of an operation into [`StoreError`].
pub(super) fn store_error(operation: &'static str) -> impl Fn(Failure) -> StoreError {
    move |failure| failure.in_operation(operation, is_transient)
}

/// Whether a retry may succeed. For the codes see the PostgreSQL manual, appendix A; the first two
/// characters are the class.
fn is_transient(code: &str) -> bool {
    const READ_ONLY_TRANSACTION: &str = "25006";
    const IDLE_IN_TRANSACTION: &str = "25P03";
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    let class = code.get(..2).unwrap_or_default();
    // Connection, authorization, catalog name, rollback, resources, operator, system.
    matches!(class, "08" | "28" | "3D" | "40" | "53" | "57" | "58")
        || [READ_ONLY_TRANSACTION, IDLE_IN_TRANSACTION, LOCK_NOT_AVAILABLE].contains(&code)
}

/// Lists the tables of the current schema.
pub(super) const TABLES: &str = "SELECT CAST(tablename AS TEXT) AS name FROM pg_catalog.pg_tables \
    WHERE schemaname = current_schema() ORDER BY 1";

/// Creates the table of migrations.
pub(super) const CREATE_MIGRATIONS: &str = "CREATE TABLE IF NOT EXISTS goat_migrations (
    version    BIGINT NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    checksum   TEXT   NOT NULL,
    applied_at BIGINT NOT NULL DEFAULT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)
)";

pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "initial",
        sql: include_str!("../migrations/postgres/0001_initial.sql"),
    },
    Migration {
        version: 2,
        name: "user_revision",
        sql: include_str!("../migrations/postgres/0002_user_revision.sql"),
    },
    Migration {
        version: 3,
        name: "lists",
        sql: include_str!("../migrations/postgres/0003_lists.sql"),
    },
    Migration {
        version: 4,
        name: "signing_keys",
        sql: include_str!("../migrations/postgres/0004_signing_keys.sql"),
    },
    Migration {
        version: 5,
        name: "identity",
        sql: include_str!("../migrations/postgres/0005_identity.sql"),
    },
    Migration {
        version: 6,
        name: "token_replacement",
        sql: include_str!("../migrations/postgres/0006_token_replacement.sql"),
    },
    Migration {
        version: 7,
        name: "previous_used_from",
        sql: include_str!("../migrations/postgres/0007_previous_used_from.sql"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// O1.
    #[test]
    fn transient_errors_are_recognized() {
        for code in ["08006", "25006", "28P01", "3D000", "40001", "40P01", "53100", "53300"] {
            assert!(is_transient(code), "{code}");
        }
        for code in ["25P03", "55P03", "57014", "57P01", "57P03", "58030"] {
            assert!(is_transient(code), "{code}");
        }
        for code in ["23505", "22021", "42P01", "25P02", "XX000", "", "5"] {
            assert!(!is_transient(code), "{code}");
        }
    }
}
