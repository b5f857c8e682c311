//! What PostgreSQL does in its own way.
//!
//! Writes run side by side, so what a write read is locked until it commits. Locks are taken in one
//! order, so that no two writes ever wait for each other: the guard, then rows of users. Who does
//! not hold the guard locks one row of a user and no more. Whoever adds or ends several sessions of
//! a user holds that user's lock first; rotation and sign-out lock one session and nothing else;
//! the purge waits for nobody.

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

/// The planner prefers the whole table to ten thousand rows by an index, as it would be on a slow
/// disk and if it had the table to itself. A list must not read more the more users there are.
const BY_INDEX: &str = "; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; \
    SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off";

/// Whose clock says when a token was used and what is over.
#[derive(Clone, Copy, Debug)]
pub(super) enum ClockSource {
    /// The one that all nodes share.
    Server,
    /// That of each caller: a test moves it.
    #[cfg(feature = "testing")]
    Caller,
}

/// How this process deals with the database, by its options.
///
/// Nothing here outlasts a transaction: a pooler in transaction mode gives the next one to another
/// connection, and this one to somebody else.
#[derive(Clone, Debug)]
pub(super) struct TransactionMode {
    write: SqlStr,
    step: SqlStr,
    snapshot: SqlStr,
    timeout: Duration,
    is_named: bool,
    clock: ClockSource,
}

impl TransactionMode {
    /// The level is named because a database or a role may have another default, under which a lock
    /// that had to be waited for would fail the write. Whether writes are allowed is not: who sets
    /// `default_transaction_read_only` means it.
    pub(super) fn new(timeout: Duration, is_named: bool, clock: ClockSource) -> Self {
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
            is_named,
            clock,
        }
    }

    /// A connection for single statements. Unnamed statements are in two parts, which a pooler keeps
    /// together within a transaction only.
    pub(super) async fn autocommit(&self, pool: &Pool<Db>) -> Result<Connection, Failure> {
        if !self.is_named {
            return self.begin(pool).await;
        }
        Ok(Connection::new(PooledConnection::autocommit(pool, self.timeout).await?, true))
    }

    /// A connection that sees one moment. Its statements have no names, so that each is planned for
    /// its values: a plan for a rare role is no good for a common one.
    pub(super) async fn snapshot(&self, pool: &Pool<Db>) -> Result<Connection, Failure> {
        Ok(Connection::new(
            PooledConnection::begin(pool, &self.snapshot, self.timeout).await?,
            false,
        ))
    }

    /// Begins a write.
    pub(super) async fn begin(&self, pool: &Pool<Db>) -> Result<Connection, Failure> {
        Ok(Connection::new(
            PooledConnection::begin(pool, &self.write, self.timeout).await?,
            self.is_named,
        ))
    }

    /// Begins a step of a migration. To build an index on a large table takes long, and so does
    /// waiting for another process that does.
    pub(super) async fn begin_migration(&self, pool: &Pool<Db>) -> Result<Connection, Failure> {
        Ok(Connection::new(
            PooledConnection::begin(pool, &self.step, self.timeout).await?,
            self.is_named,
        ))
    }

    /// Whether a connection keeps prepared statements, by name.
    pub(super) fn is_named(&self) -> bool {
        self.is_named
    }

    /// What to bind where a text says [`now`]: nothing where the database's clock counts.
    #[cfg_attr(
        not(feature = "testing"),
        expect(unused_variables, reason = "it is the callers' clock")
    )]
    pub(super) fn now(&self, now: Timestamp) -> Option<i64> {
        match self.clock {
            ClockSource::Server => None,
            #[cfg(feature = "testing")]
            ClockSource::Caller => Some(now.as_millis()),
        }
    }
}

/// The present time in milliseconds, by the database's clock, unless the parameter has another. Read
/// once a statement, when it is first needed, so that an index serves the comparison with it.
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

/// Whether a transaction that writes is alone from its beginning.
pub(super) const SINGLE_WRITER: bool = false;

/// Ends a query whose rows stay as they are until the transaction ends.
macro_rules! for_update {
    () => {
        " FOR UPDATE"
    };
}
pub(super) use for_update;

/// Ends a query for rows that nobody else is busy with, which stay as they are.
macro_rules! for_update_skip_locked {
    () => {
        " FOR UPDATE SKIP LOCKED"
    };
}
pub(super) use for_update_skip_locked;

/// The first half of the key of every advisory lock on a user's sessions: "goat". The second half
/// comes from the user's id; two users who share it only wait for each other.
const SESSIONS_LOCK: i32 = 0x676f_6174;

/// The key of the advisory lock under which goat migrates: "goat", and "migr".
const MIGRATIONS_LOCK: i64 = 0x676f_6174_6d69_6772;

/// Waits until no other write holds the guard.
pub(super) async fn lock_guard(connection: &mut Connection) -> Result<(), Failure> {
    connection.one(sqlx::query("SELECT id FROM goat_guard WHERE id = 1 FOR UPDATE")).await?;
    Ok(())
}

/// Waits until nobody else adds sessions to this user's, or ends several.
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

/// Waits until no other process migrates.
pub(super) async fn lock_migrations(connection: &mut Connection) -> Result<(), Failure> {
    connection
        .execute(sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MIGRATIONS_LOCK))
        .await?;
    Ok(())
}

/// Which uniqueness a write of a user would have broken.
pub(super) fn unique_violation(error: &sqlx::Error) -> Option<UniqueViolation> {
    match error.as_database_error()?.constraint()? {
        "goat_users_email" => Some(UniqueViolation::Email),
        "goat_users_id" => Some(UniqueViolation::Id),
        _ => None,
    }
}

/// A failure as the store's error.
pub(super) fn store_error(operation: &'static str) -> impl Fn(Failure) -> StoreError {
    move |failure| failure.in_operation(operation, is_transient)
}

/// Whether another try later may help. The codes are those of the PostgreSQL manual, appendix A;
/// the first two characters are the class.
fn is_transient(code: &str) -> bool {
    const READ_ONLY_TRANSACTION: &str = "25006";
    const IDLE_IN_TRANSACTION: &str = "25P03";
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    let class = code.get(..2).unwrap_or_default();
    // Connection, log-in, database name, rollback for others' sake, resources, operator, system.
    matches!(class, "08" | "28" | "3D" | "40" | "53" | "57" | "58")
        || [READ_ONLY_TRANSACTION, IDLE_IN_TRANSACTION, LOCK_NOT_AVAILABLE].contains(&code)
}

/// The names of all tables in the schema where new ones are made.
pub(super) const TABLES: &str = "SELECT CAST(tablename AS TEXT) AS name FROM pg_catalog.pg_tables \
    WHERE schemaname = current_schema() ORDER BY 1";

/// Makes the table of migrations.
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
];

#[cfg(test)]
mod tests {
    use super::*;

    /// O1.
    #[test]
    fn what_passes_is_told_from_what_is_broken() {
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
