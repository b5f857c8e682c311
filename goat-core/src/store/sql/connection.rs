//! Database connection of one call, with or without a transaction: a pooled one, or that of a transaction
//! of the application.
//!
//! Invariants: a transaction that is dropped before [`Connection::commit`] is rolled back; every query
//! runs through this type, which decides whether its prepared statement is named; where users are in a
//! table of the application, every query reads and writes them there.

use std::sync::Arc;

use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection as _, Database, Execute as _, SqlSafeStr, Transaction};

use crate::store::sql::failure::Failure;
use crate::store::sql::user_table::{OWN, VIEW};

use super::adoption::MappedUsers;
use super::database::UniqueViolation;
use super::dialect::{self, Db, DriverConnection, Row};
use super::pooled_connection::PooledConnection;

type Statement<'q> = Query<'q, Db, <Db as Database>::Arguments>;

/// The connection of one call.
#[derive(Debug)]
pub(super) struct Connection<'c> {
    link: Link<'c>,
    /// Whether prepared statements are named, and so cached per connection.
    named_statements: bool,
    /// The application's table of users, if they are there.
    mapped_users: Option<Arc<MappedUsers>>,
}

#[derive(Debug)]
enum Link<'c> {
    Pooled(PooledConnection),
    /// A savepoint in a transaction of the application, which decides on its end. So goat's part takes
    /// effect as a whole or not at all, and a rejected write leaves the application's transaction usable:
    /// PostgreSQL aborts one at the first error.
    Joined(Transaction<'c, Db>),
}

impl Link<'_> {
    /// Returns the connection for a statement.
    fn start(&mut self) -> &mut DriverConnection {
        match self {
            Self::Pooled(pooled) => pooled.start(),
            Self::Joined(savepoint) => savepoint,
        }
    }

    /// Notes that the statement succeeded.
    fn finish(&mut self) {
        match self {
            Self::Pooled(pooled) => pooled.finish(),
            Self::Joined(_) => {}
        }
    }
}

impl<'c> Connection<'c> {
    pub(super) fn new(
        pooled: PooledConnection,
        named_statements: bool,
        mapped_users: Option<Arc<MappedUsers>>,
    ) -> Self {
        Self { link: Link::Pooled(pooled), named_statements, mapped_users }
    }

    /// Joins a transaction of the application, by a savepoint.
    pub(super) async fn join(
        transaction: &'c mut DriverConnection,
        named_statements: bool,
        mapped_users: Option<Arc<MappedUsers>>,
    ) -> Result<Self, sqlx::Error> {
        Ok(Self { link: Link::Joined(transaction.begin().await?), named_statements, mapped_users })
    }

    /// Whether users are in a table of the application.
    pub(super) fn has_mapped_users(&self) -> bool {
        self.mapped_users.is_some()
    }

    /// Returns the unique constraint that a write of a user violated.
    pub(super) fn unique_violation(&self, error: &sqlx::Error) -> Option<UniqueViolation> {
        let mapped = self.mapped_users.as_ref();
        let application = mapped.map_or(&[][..], |mapped| &mapped.constraints);
        dialect::unique_violation(error, application)
    }

    /// Prepares a query: names its statement, and directs it to the table of users.
    fn prepare<'q>(&self, query: Statement<'q>) -> Result<Statement<'q>, sqlx::Error> {
        let query = match self.mapped_users {
            None => query,
            Some(_) => mapped(query)?,
        };
        Ok(query.persistent(self.named_statements))
    }

    /// Commits the transaction, if there is one. In a transaction of the application, its commit decides.
    pub(super) async fn commit(self) -> Result<(), Failure> {
        let committed = match self.link {
            Link::Pooled(pooled) => pooled.commit().await,
            Link::Joined(savepoint) => savepoint.commit().await,
        };
        committed.map_err(Failure::Commit)
    }

    /// Rolls the transaction back, if there is one, and releases its locks.
    pub(super) async fn rollback(self) -> Result<(), Failure> {
        match self.link {
            Link::Pooled(pooled) => Ok(pooled.rollback().await?),
            Link::Joined(savepoint) => Ok(savepoint.rollback().await?),
        }
    }

    /// Fetches all rows.
    pub(super) async fn all(&mut self, query: Statement<'_>) -> Result<Vec<Row>, sqlx::Error> {
        let query = self.prepare(query)?;
        let rows = query.fetch_all(self.link.start()).await?;
        self.link.finish();
        Ok(rows)
    }

    /// Fetches at most one row.
    pub(super) async fn optional(
        &mut self,
        query: Statement<'_>,
    ) -> Result<Option<Row>, sqlx::Error> {
        let query = self.prepare(query)?;
        let row = query.fetch_optional(self.link.start()).await?;
        self.link.finish();
        Ok(row)
    }

    /// Fetches exactly one row.
    pub(super) async fn one(&mut self, query: Statement<'_>) -> Result<Row, sqlx::Error> {
        self.optional(query).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// Executes a statement and returns the number of affected rows.
    pub(super) async fn execute(&mut self, query: Statement<'_>) -> Result<u64, sqlx::Error> {
        let query = self.prepare(query)?;
        let done = query.execute(self.link.start()).await?;
        self.link.finish();
        Ok(done.rows_affected())
    }

    /// Executes several statements without parameters.
    /// They apply to goat's own table of users.
    pub(super) async fn run(&mut self, sql: impl SqlSafeStr) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(sql).execute(self.link.start()).await?;
        self.link.finish();
        Ok(())
    }
}

/// Directs a query to the view of the application's table of users.
fn mapped(mut query: Statement<'_>) -> Result<Statement<'_>, sqlx::Error> {
    let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?.unwrap_or_default();
    // Constant texts, with the names of constants.
    let sql = AssertSqlSafe(query.sql().as_str().replace(OWN, VIEW));
    Ok(sqlx::query_with(sql, arguments))
}
