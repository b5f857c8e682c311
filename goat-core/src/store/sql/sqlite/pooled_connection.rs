//! Pooled connection: checked out for one call, with or without a transaction.
//!
//! Invariant: a transaction that is dropped before its commit is rolled back.

use sqlx::pool::PoolConnection;
use sqlx::{Pool, Transaction};

use super::dialect::{BEGIN, Db, DriverConnection};

/// A connection, with or without a transaction.
#[derive(Debug)]
pub(super) enum PooledConnection {
    Autocommit(PoolConnection<Db>),
    Transaction(Transaction<'static, Db>),
}

impl PooledConnection {
    /// Acquires a connection in autocommit mode.
    pub(super) async fn autocommit(pool: &Pool<Db>) -> Result<Self, sqlx::Error> {
        Ok(Self::Autocommit(pool.acquire().await?))
    }

    /// Acquires a connection and begins a write transaction.
    pub(super) async fn begin(pool: &Pool<Db>) -> Result<Self, sqlx::Error> {
        Ok(Self::Transaction(pool.begin_with(BEGIN).await?))
    }

    /// Commits the transaction, if there is one.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Autocommit(_) => Ok(()),
            Self::Transaction(transaction) => transaction.commit().await,
        }
    }

    /// Rolls the transaction back, if there is one.
    pub(super) async fn rollback(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Autocommit(_) => Ok(()),
            Self::Transaction(transaction) => transaction.rollback().await,
        }
    }

    pub(super) fn connection(&mut self) -> &mut DriverConnection {
        match self {
            Self::Autocommit(connection) => connection,
            Self::Transaction(transaction) => transaction,
        }
    }
}
