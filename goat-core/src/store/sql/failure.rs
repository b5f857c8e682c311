//! What goes wrong below a store, and what of it may be told.
//!
//! Invariant: no driver's error leaves this module. A database quotes values in its messages, such
//! as an e-mail address that is there already, and errors end up in logs.

use std::fmt;

use crate::error::StoreError;

/// Why a query gave nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// The driver says so.
    Driver(sqlx::Error),
    /// This column holds what goat never writes.
    Row(&'static str),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(error)
    }
}

impl Failure {
    /// The failure as a store's error. `passes` says of a database's error code whether another try
    /// later may help.
    pub(super) fn in_operation(
        self,
        operation: &'static str,
        is_transient: fn(&str) -> bool,
    ) -> StoreError {
        use sqlx::Error::{
            BeginFailed, Database, Io, PoolClosed, PoolTimedOut, Protocol, Tls, WorkerCrashed,
        };

        let is_transient_failure = match &self {
            Self::Row(_) => false,
            Self::Driver(Database(error)) => error.code().is_some_and(|code| is_transient(&code)),
            // What is no answer at all came from a server, or a relay before it, that is going down or
            // coming up: the driver says so of a connection that ends before its first byte.
            Self::Driver(error) => matches!(
                error,
                Io(_)
                    | Tls(_)
                    | Protocol(_)
                    | PoolTimedOut
                    | PoolClosed
                    | WorkerCrashed
                    | BeginFailed
            ),
        };
        let error = if is_transient_failure {
            StoreError::unavailable(operation)
        } else {
            StoreError::broken(operation)
        };
        error.with_source(self.into_cause())
    }

    /// The database's code, where it was the database that refused.
    #[cfg(feature = "postgres")]
    pub(super) fn code(&self) -> Option<String> {
        match self {
            Self::Driver(sqlx::Error::Database(error)) => error.code().map(String::from),
            _ => None,
        }
    }

    /// The failure without values, for an error that is not a store's.
    pub(super) fn into_cause(self) -> Cause {
        Cause(self.message())
    }

    fn message(self) -> String {
        match self {
            Self::Row(column) => format!("column {column} holds what goat never writes"),
            Self::Driver(sqlx::Error::Database(error)) => {
                let code = error.code().unwrap_or_default().into_owned();
                // PostgreSQL's "invalid SQL statement name" and "duplicate prepared statement".
                if matches!(code.as_str(), "26000" | "42P05") {
                    return format!(
                        "database error {code}: prepared statements do not stay where they are \
                         made; a pooler in transaction mode has to carry them (PgBouncer from 1.21, \
                         max_prepared_statements), or statement-cache-capacity=0 in the URL does \
                         without them"
                    );
                }
                match error.constraint() {
                    Some(constraint) => format!("database error {code} at {constraint}"),
                    // Data exceptions and broken constraints (SQL:2016 classes 22 and 23) quote
                    // values; SQLite's codes are decimal, and its messages name tables and columns.
                    None if code.len() == 5 && code.starts_with('2') => {
                        format!("database error {code}")
                    }
                    None => format!("database error {code}: {}", error.message()),
                }
            }
            Self::Driver(sqlx::Error::ColumnDecode { index, .. }) => {
                format!("column {index} cannot be read as what it should be")
            }
            Self::Driver(error) => error.to_string(),
        }
    }
}

/// What lies beneath a store's error, without values.
#[derive(Debug)]
pub(super) struct Cause(String);

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}
