//! A connection that one call has to itself, with or without a transaction.
//!
//! Invariants: a transaction that is dropped before [`Connection::commit`] never happened; every query
//! runs through here, so that whether its statement has a name is decided in one place.

use sqlx::Database;
use sqlx::query::Query;

use crate::store::sql::failure::Failure;

use super::dialect::{Db, DriverConnection, Row};
use super::pooled_connection::PooledConnection;

type Statement<'q> = Query<'q, Db, <Db as Database>::Arguments>;

/// A connection for one call.
#[derive(Debug)]
pub(super) struct Connection {
    pooled: PooledConnection,
    /// Whether statements are prepared once a connection, by a name, and used again.
    is_named: bool,
}

impl Connection {
    pub(super) fn new(pooled: PooledConnection, is_named: bool) -> Self {
        Self { pooled, is_named }
    }

    /// Ends the call: what it wrote is kept from here on.
    pub(super) async fn commit(self) -> Result<(), Failure> {
        Ok(self.pooled.commit().await?)
    }

    /// Ends the call: nothing of it is kept, and its locks are free.
    pub(super) async fn rollback(self) -> Result<(), Failure> {
        Ok(self.pooled.rollback().await?)
    }

    /// Every row.
    pub(super) async fn all(&mut self, query: Statement<'_>) -> Result<Vec<Row>, sqlx::Error> {
        query.persistent(self.is_named).fetch_all(self.connection()).await
    }

    /// The row, if there is one.
    pub(super) async fn optional(
        &mut self,
        query: Statement<'_>,
    ) -> Result<Option<Row>, sqlx::Error> {
        query.persistent(self.is_named).fetch_optional(self.connection()).await
    }

    /// The row that is always there.
    pub(super) async fn one(&mut self, query: Statement<'_>) -> Result<Row, sqlx::Error> {
        query.persistent(self.is_named).fetch_one(self.connection()).await
    }

    /// How many rows it concerned.
    pub(super) async fn execute(&mut self, query: Statement<'_>) -> Result<u64, sqlx::Error> {
        let done = query.persistent(self.is_named).execute(self.connection()).await?;
        Ok(done.rows_affected())
    }

    /// Several statements at once, without values.
    pub(super) async fn run(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(sql).execute(self.connection()).await?;
        Ok(())
    }

    fn connection(&mut self) -> &mut DriverConnection {
        self.pooled.connection()
    }
}
