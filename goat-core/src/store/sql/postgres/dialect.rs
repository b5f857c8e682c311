//! PostgreSQL dialect: transactions, locks, clock and error codes.
//!
//! Writes run concurrently, so a write locks the rows that it reads until it commits. To prevent
//! deadlocks, locks are taken in one order: the guard, then one role, then user rows. A write without the
//! guard locks the role that it assigns and one user row only. A call that adds sessions, or ends several, first takes the user's advisory lock;
//! rotation and logout lock one session only; a call that adds a challenge takes the subject's advisory lock
//! alone; a purge skips locked rows.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Postgres, Row as _, SqlSafeStr as _, SqlStr};

use crate::challenge::Subject;
use crate::clock::Timestamp;
use crate::error::{Result, StoreError};
use crate::id::UserId;
use crate::store::sql::failure::{Failure, FailureClass};
use crate::store::sql::schema::Migration;

use super::adoption::MappedUsers;
use super::connection::Connection;
use super::database::{Pools, UniqueViolation};
use super::liveness::Liveness;
use super::pooled_connection::PooledConnection;
use super::server::Properties;
use super::session_defaults::{SessionDefaults, milliseconds};

pub(super) type Db = Postgres;
pub(super) type Row = sqlx::postgres::PgRow;
pub(super) type DriverConnection = sqlx::PgConnection;
pub(super) type Pool = sqlx::PgPool;
pub(super) type Acquired = sqlx::pool::PoolConnection<Db>;

/// Keeps a connection that its pool must test first, since the server may have closed it.
pub(super) fn release(connection: Acquired) -> Option<Acquired> {
    Some(connection)
}

/// Forces index scans: the planner prefers a sequential scan to ten thousand rows by an index, as for a
/// slow disk. The cost of a list must not grow with the number of users. The text of a query alone decides
/// about its plan, so one plan serves all parameters; planning a list takes longer than running it.
const BY_INDEX: &str = "; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; \
    SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
    SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off; \
    SET LOCAL plan_cache_mode = force_generic_plan";

/// The clock that decides about token use and expiry.
#[derive(Clone, Copy, Debug)]
pub(super) enum ClockSource {
    /// The server's, which all nodes share.
    Server,
    /// The caller's, which a test advances.
    #[cfg(feature = "testing")]
    Caller,
}

/// The statements that begin transactions. They set what a session default would: the isolation level,
/// since a write that waited for a lock would fail under another one; the access mode; the timeouts;
/// and the schema, once it is known. No setting outlasts a transaction, since a pooler in transaction
/// mode assigns another connection to the next one.
#[derive(Clone, Debug)]
struct Statements {
    write: SqlStr,
    step: SqlStr,
    read: SqlStr,
    snapshot: SqlStr,
    /// The quoted name of the schema, once it is known.
    schema: Option<String>,
}

impl Statements {
    fn new(timeout: Duration, schema: Option<&str>) -> Self {
        let timeout = milliseconds(timeout);
        let name = schema.map(str::to_owned);
        let schema = schema
            .map(|schema| format!("; SET LOCAL search_path = {schema}, pg_temp"))
            .unwrap_or_default();
        let begin = |mode: &str, [timeout, idle]: [&str; 2], more: &str| {
            let text = format!(
                "BEGIN ISOLATION LEVEL {mode}; SET LOCAL statement_timeout = {timeout}; \
                 SET LOCAL lock_timeout = 0; \
                 SET LOCAL idle_in_transaction_session_timeout = {idle}{schema}{more}"
            );
            AssertSqlSafe(Arc::<str>::from(text)).into_sql_str()
        };
        Self {
            write: begin("READ COMMITTED READ WRITE", [&timeout; 2], ""),
            step: begin("READ COMMITTED READ WRITE", ["0", "60000"], ""),
            read: begin("READ COMMITTED READ ONLY", [&timeout; 2], ""),
            snapshot: begin("REPEATABLE READ READ ONLY", [&timeout; 2], BY_INDEX),
            schema: name,
        }
    }
}

/// How calls get their connection, by the options.
#[derive(Clone, Debug)]
pub(super) struct TransactionMode {
    statements: Statements,
    /// The statements with the schema, once it is known.
    with_schema: Arc<OnceLock<Statements>>,
    session: SessionDefaults,
    timeout: Duration,
    named_statements: bool,
    clock: ClockSource,
    liveness: Liveness,
    /// The application's table of users, if they are there.
    pub(super) mapped_users: Option<Arc<MappedUsers>>,
}

impl TransactionMode {
    pub(super) fn new(
        timeout: Duration,
        named_statements: bool,
        clock: ClockSource,
        session: SessionDefaults,
        liveness: Liveness,
    ) -> Self {
        Self {
            statements: Statements::new(timeout, None),
            with_schema: Arc::default(),
            session,
            timeout: timeout.max(Duration::from_millis(1)),
            named_statements,
            clock,
            liveness,
            mapped_users: None,
        }
    }

    /// Notes that a connection was lost: others may be too, and are tested before their next use.
    pub(super) fn connection_lost(&self) {
        self.liveness.connection_lost();
    }

    /// Acquires a connection for single reads. In a transaction, if the session has other defaults than
    /// goat's; or if statements are unnamed, which take two messages that a pooler keeps on one
    /// connection only within a transaction.
    pub(super) async fn autocommit(&self, pool: &Pool) -> Result<Connection<'static>, Failure> {
        let pooled = self.acquire(pool).await?;
        if self.named_statements && !self.session.are_refused() {
            return Ok(self.connection(pooled, true));
        }
        let pooled = pooled.begin(self.statements().read.clone()).await?;
        Ok(self.connection(pooled, self.named_statements))
    }

    /// Begins a read-only snapshot.
    pub(super) async fn snapshot(&self, pool: &Pool) -> Result<Connection<'static>, Failure> {
        let pooled = self.acquire(pool).await?.begin(self.statements().snapshot.clone()).await?;
        Ok(self.connection(pooled, self.named_statements))
    }

    /// Begins a write transaction.
    pub(super) async fn begin(&self, pool: &Pool) -> Result<Connection<'static>, Failure> {
        let pooled = self.acquire(pool).await?.begin(self.statements().write.clone()).await?;
        Ok(self.connection(pooled, self.named_statements))
    }

    /// Begins a migration step, without a statement timeout: building an index on a large table takes
    /// long, and so does waiting for another process that does.
    pub(super) async fn begin_migration(
        &self,
        pool: &Pool,
    ) -> Result<Connection<'static>, Failure> {
        let pooled = self.acquire(pool).await?.begin(self.statements().step.clone()).await?;
        Ok(self.connection(pooled, self.named_statements))
    }

    fn connection(&self, pooled: PooledConnection, named_statements: bool) -> Connection<'static> {
        Connection::new(pooled, named_statements, self.mapped_users.clone())
    }

    async fn acquire(&self, pool: &Pool) -> Result<PooledConnection, Failure> {
        Ok(PooledConnection::new(self.session.acquire(pool).await?, self.timeout))
    }

    fn statements(&self) -> &Statements {
        self.with_schema.get().unwrap_or(&self.statements)
    }

    /// The connect options without session defaults.
    pub(super) fn plain_connect_options(&self) -> PgConnectOptions {
        self.session.plain()
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

/// Locks the rows of a query against deletion until the end of the transaction, as a foreign key does.
macro_rules! for_key_share {
    () => {
        " FOR KEY SHARE"
    };
}
pub(super) use for_key_share;

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

/// The first half of the key of the advisory lock on a subject's challenges: "chal". The second half is from
/// a hash of the subject; a collision of two subjects only makes them wait for each other.
const CHALLENGES_LOCK: i32 = 0x6368_616c;

/// The first half of the key of the advisory lock on a user's keys: "gkey".
const KEYS_LOCK: i32 = 0x676b_6579;

/// The key of the advisory lock for migrations: "goatmigr".
const MIGRATIONS_LOCK: i64 = 0x676f_6174_6d69_6772;

/// Locks the guard row.
pub(super) async fn lock_guard(connection: &mut Connection<'_>) -> Result<(), Failure> {
    connection.one(sqlx::query("SELECT id FROM goat_guard WHERE id = 1 FOR UPDATE")).await?;
    Ok(())
}

/// Checks that a transaction of the application suits a write: rows that were locked are read as they are
/// now, and goat's tables are in its schema.
pub(super) async fn enter(pools: &Pools, connection: &mut Connection<'_>) -> Result<(), Failure> {
    const QUERY: &str = "SELECT current_setting('transaction_isolation') AS isolation, \
        quote_ident(current_schema()) AS schema";
    let row = connection.one(sqlx::query(QUERY)).await?;
    if row.try_get::<&str, _>("isolation")? != "read committed" {
        return Err(Failure::Unsuitable("the transaction must be READ COMMITTED"));
    }
    let schema: Option<&str> = row.try_get("schema")?;
    match &pools.mode.statements().schema {
        Some(own) if schema != Some(own) => {
            Err(Failure::Unsuitable("the transaction has another schema in its search_path"))
        }
        _ => Ok(()),
    }
}

/// Locks the set of a user's sessions.
pub(super) async fn lock_sessions(
    connection: &mut Connection<'_>,
    user: UserId,
) -> Result<(), Failure> {
    lock_of_user(connection, SESSIONS_LOCK, user).await
}

/// Locks the set of a user's keys.
pub(super) async fn lock_keys(
    connection: &mut Connection<'_>,
    user: UserId,
) -> Result<(), Failure> {
    lock_of_user(connection, KEYS_LOCK, user).await
}

async fn lock_of_user(
    connection: &mut Connection<'_>,
    lock: i32,
    user: UserId,
) -> Result<(), Failure> {
    // The low bits of a ULID are random.
    let low_bits = (user.as_u128() & u128::from(u32::MAX)).try_into().unwrap_or(u32::MAX);
    let query = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)");
    connection.execute(query.bind(lock).bind(low_bits.cast_signed())).await?;
    Ok(())
}

/// Locks the set of a subject's challenges.
pub(super) async fn lock_challenges(
    connection: &mut Connection<'_>,
    subject: &Subject,
) -> Result<(), Failure> {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(subject.as_str()));
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)");
    let lock = lock.bind(CHALLENGES_LOCK).bind(i32::from_be_bytes([a, b, c, d]));
    connection.execute(lock).await?;
    Ok(())
}

/// Locks migrations.
pub(super) async fn lock_migrations(connection: &mut Connection<'_>) -> Result<(), Failure> {
    connection
        .execute(sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MIGRATIONS_LOCK))
        .await?;
    Ok(())
}

/// Returns the unique constraint that a write of a user violated.
/// `application` has those of the application.
pub(super) fn unique_violation(
    error: &sqlx::Error,
    application: &[(String, UniqueViolation)],
) -> Option<UniqueViolation> {
    match error.as_database_error()?.constraint()? {
        "goat_users_id" | "goat_application_users_id" => Some(UniqueViolation::Id),
        "goat_users_email" | "goat_application_users_email_canonical" => {
            Some(UniqueViolation::Email)
        }
        constraint => {
            let found = application.iter().find(|(name, _)| name == constraint);
            found.map(|(_, violation)| *violation)
        }
    }
}

/// Converts failures of an operation into [`StoreError`].
pub(super) fn store_error(operation: &'static str) -> impl Fn(Failure) -> StoreError {
    move |failure| failure.in_operation(operation, classify)
}

/// Checks the properties that goat relies on.
pub(super) async fn check_database(connection: &mut Connection<'_>) -> Result<()> {
    let properties = Properties::read(connection).await.map_err(store_error("check_database"))?;
    properties.check().map(drop)
}

/// Keeps later calls in the schema of this connection, whatever the search path of other sessions is.
pub(super) async fn pin_schema(
    pools: &Pools,
    connection: &mut Connection<'_>,
) -> Result<(), Failure> {
    const QUERY: &str = "SELECT quote_ident(current_schema()) AS name";
    let mode = &pools.mode;
    if mode.with_schema.get().is_some() {
        return Ok(());
    }
    let name: Option<String> = connection.one(sqlx::query(QUERY)).await?.try_get("name")?;
    let Some(name) = name else { return Ok(()) };
    mode.with_schema.get_or_init(|| Statements::new(mode.timeout, Some(&name)));
    if !mode.session.are_refused() {
        let options = mode.session.connect_options(mode.timeout);
        let path = format!("{name}, pg_temp");
        let options = options.options([("search_path", path)]);
        pools.write.set_connect_options(options.clone());
        pools.check.set_connect_options(options);
    }
    Ok(())
}

/// Returns a right on a table that the user lacks, such as `UPDATE goat_users`.
pub(super) async fn missing_right(pools: &Pools) -> Result<Option<String>, Failure> {
    const QUERY: &str = "SELECT needed.privilege || ' ' || needed.name AS lacking FROM (\
        SELECT name, privilege FROM (VALUES ('goat_users'), ('goat_sessions'), ('goat_permissions'), \
        ('goat_roles'), ('goat_challenges'), ('goat_signing_keys'), ('goat_keys')) AS tables (name), \
        (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS rights (privilege) \
        UNION ALL VALUES ('goat_guard', 'SELECT'), ('goat_guard', 'UPDATE')) AS needed \
        WHERE NOT has_table_privilege(needed.name, needed.privilege) ORDER BY 1 LIMIT 1";
    let row = pools.read().await?.optional(sqlx::query(QUERY)).await?;
    Ok(row.map(|row| row.try_get("lacking")).transpose()?)
}

/// Whether the database denies writes until an operator changes it.
pub(super) fn denies_writes(failure: &Failure) -> bool {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    failure.code().as_deref() == Some(INSUFFICIENT_PRIVILEGE)
}

/// Classifies an error code. For the codes see the PostgreSQL manual, appendix A; the first two
/// characters are the class.
pub(super) fn classify(code: &str) -> FailureClass {
    match code {
        // Shutdown, crash, not accepting connections yet, or the timeouts of an idle session, an idle
        // transaction and a transaction.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25P04" => FailureClass::ConnectionLost,
        // Statement completion unknown.
        "40003" => FailureClass::Transient,
        // Read-only transaction, a read-write one refused by a standby, disk full, missing right.
        "25006" | "0A000" | "53100" | "42501" => FailureClass::WriteRefused,
        // Lock not available; table or schema missing, as while a backup is restored.
        "55P03" | "42P01" | "3F000" => FailureClass::Transient,
        _ => match code.get(..2).unwrap_or_default() {
            "08" => FailureClass::ConnectionLost,
            "40" => FailureClass::Conflict,
            // Authorization, catalog name, resources, operator, system.
            "28" | "3D" | "53" | "57" | "58" => FailureClass::Transient,
            _ => FailureClass::Permanent,
        },
    }
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
    Migration {
        version: 8,
        name: "list_indexes",
        sql: include_str!("../migrations/postgres/0008_list_indexes.sql"),
    },
    Migration {
        version: 9,
        name: "roles",
        sql: include_str!("../migrations/postgres/0009_roles.sql"),
    },
    Migration {
        version: 10,
        name: "attributes",
        sql: include_str!("../migrations/postgres/0010_attributes.sql"),
    },
    Migration {
        version: 11,
        name: "proofs",
        sql: include_str!("../migrations/postgres/0011_proofs.sql"),
    },
    Migration {
        version: 12,
        name: "challenges",
        sql: include_str!("../migrations/postgres/0012_challenges.sql"),
    },
    Migration {
        version: 13,
        name: "keys",
        sql: include_str!("../migrations/postgres/0013_keys.sql"),
    },
    Migration {
        version: 14,
        name: "email_verified",
        sql: include_str!("../migrations/postgres/0014_email_verified.sql"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// O1.
    #[test]
    fn transient_errors_are_recognized() {
        let cases: [(FailureClass, &[&str]); 5] = [
            (FailureClass::ConnectionLost, &["08006", "57P01", "57P03", "57P05", "25P03"]),
            (FailureClass::Conflict, &["40001", "40P01"]),
            (FailureClass::WriteRefused, &["25006", "0A000", "53100", "42501"]),
            (
                FailureClass::Transient,
                &["28P01", "3D000", "40003", "42P01", "53300", "55P03", "57014", "58030"],
            ),
            (FailureClass::Permanent, &["23505", "22021", "25P02", "XX000", "", "5"]),
        ];
        for (class, codes) in cases {
            for code in codes {
                assert_eq!(classify(code), class, "{code}");
            }
        }
    }
}
