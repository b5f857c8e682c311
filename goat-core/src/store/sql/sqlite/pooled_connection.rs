//! A connection of the pool that one call has, with or without a transaction.
//!
//! Invariant: a transaction that is dropped before it was committed never happened.

use sqlx::pool::PoolConnection;
use sqlx::{Pool, Transaction};

use super::dialect::{BEGIN, Db, DriverConnection};

/// A connection, and whether a transaction is open on it.
#[derive(Debug)]
pub(super) enum PooledConnection {
    Autocommit(PoolConnection<Db>),
    Transaction(Transaction<'static, Db>),
}

impl PooledConnection {
    /// A connection on which each statement stands for itself.
    pub(super) async fn autocommit(pool: &Pool<Db>) -> Result<Self, sqlx::Error> {
        Ok(Self::Autocommit(pool.acquire().await?))
    }

    /// A connection within a transaction.
    pub(super) async fn begin(pool: &Pool<Db>) -> Result<Self, sqlx::Error> {
        Ok(Self::Transaction(pool.begin_with(BEGIN).await?))
    }

    /// Ends the call: what it wrote is kept from here on.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Autocommit(_) => Ok(()),
            Self::Transaction(transaction) => transaction.commit().await,
        }
    }

    /// Ends the call: nothing of it is kept, and its locks are free.
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
