//! Database connection of one call, with or without a transaction.
//!
//! Invariants: a transaction that is dropped before [`Connection::commit`] is rolled back; every query
//! runs through this type, which decides whether its prepared statement is named.

use sqlx::Database;
use sqlx::query::Query;

use crate::store::sql::failure::Failure;

use super::dialect::{Db, Row};
use super::pooled_connection::PooledConnection;

type Statement<'q> = Query<'q, Db, <Db as Database>::Arguments>;

/// The connection of one call.
#[derive(Debug)]
pub(super) struct Connection {
    pooled: PooledConnection,
    /// Whether prepared statements are named, and so cached per connection.
    named_statements: bool,
}

impl Connection {
    pub(super) fn new(pooled: PooledConnection, named_statements: bool) -> Self {
        Self { pooled, named_statements }
    }

    /// Commits the transaction, if there is one.
    pub(super) async fn commit(self) -> Result<(), Failure> {
        self.pooled.commit().await.map_err(Failure::Commit)
    }

    /// Rolls the transaction back, if there is one, and releases its locks.
    pub(super) async fn rollback(self) -> Result<(), Failure> {
        Ok(self.pooled.rollback().await?)
    }

    /// Fetches all rows.
    pub(super) async fn all(&mut self, query: Statement<'_>) -> Result<Vec<Row>, sqlx::Error> {
        let query = query.persistent(self.named_statements);
        let rows = query.fetch_all(self.pooled.start()).await?;
        self.pooled.finish();
        Ok(rows)
    }

    /// Fetches at most one row.
    pub(super) async fn optional(
        &mut self,
        query: Statement<'_>,
    ) -> Result<Option<Row>, sqlx::Error> {
        let query = query.persistent(self.named_statements);
        let row = query.fetch_optional(self.pooled.start()).await?;
        self.pooled.finish();
        Ok(row)
    }

    /// Fetches exactly one row.
    pub(super) async fn one(&mut self, query: Statement<'_>) -> Result<Row, sqlx::Error> {
        self.optional(query).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// Executes a statement and returns the number of affected rows.
    pub(super) async fn execute(&mut self, query: Statement<'_>) -> Result<u64, sqlx::Error> {
        let query = query.persistent(self.named_statements);
        let done = query.execute(self.pooled.start()).await?;
        self.pooled.finish();
        Ok(done.rows_affected())
    }

    /// Executes several statements without parameters.
    pub(super) async fn run(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(sql).execute(self.pooled.start()).await?;
        self.pooled.finish();
        Ok(())
    }
}
