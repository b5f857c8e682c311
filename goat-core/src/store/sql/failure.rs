//! SQL errors: classified as transient or not, and reduced to text that is safe to log.
//!
//! Invariant: no driver error leaves this module. A database quotes values in its messages, such as a
//! duplicate e-mail address, and errors are logged.

use std::fmt;

use crate::error::StoreError;

/// A failed call.
#[derive(Debug)]
pub(super) enum Failure {
    /// An error of the driver or the database.
    Driver(sqlx::Error),
    /// The column has a value that goat never writes.
    Row(&'static str),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(error)
    }
}

impl Failure {
    /// Converts the failure into a [`StoreError`]. `is_transient` classifies error codes of the
    /// database.
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
            // A protocol error comes from a server or proxy that is starting or shutting down: the
            // driver reports it for a connection that closes before its first byte.
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

    /// Returns the error code, for an error of the database.
    #[cfg(feature = "postgres")]
    pub(super) fn code(&self) -> Option<String> {
        match self {
            Self::Driver(sqlx::Error::Database(error)) => error.code().map(String::from),
            _ => None,
        }
    }

    /// Returns the failure without values, as the cause of another error.
    pub(super) fn into_cause(self) -> Cause {
        Cause(self.message())
    }

    fn message(self) -> String {
        match self {
            Self::Row(column) => format!("column {column} has a value that goat does not write"),
            Self::Driver(sqlx::Error::Database(error)) => {
                let code = error.code().unwrap_or_default().into_owned();
                // PostgreSQL's "invalid SQL statement name" and "duplicate prepared statement".
                if matches!(code.as_str(), "26000" | "42P05") {
                    return format!(
                        "database error {code}: a prepared statement was lost between transactions; \
                         a pooler in transaction mode must support prepared statements (PgBouncer \
                         from 1.21, max_prepared_statements), or disable them with \
                         statement-cache-capacity=0 in the URL"
                    );
                }
                match error.constraint() {
                    Some(constraint) => format!("database error {code} at {constraint}"),
                    // Data exceptions and constraint violations (SQLSTATE classes 22 and 23) quote
                    // values; SQLite's codes are decimal, and its messages name tables and columns.
                    None if code.len() == 5 && code.starts_with('2') => {
                        format!("database error {code}")
                    }
                    None => format!("database error {code}: {}", error.message()),
                }
            }
            Self::Driver(sqlx::Error::ColumnDecode { index, .. }) => {
                format!("column {index} has an unexpected type")
            }
            Self::Driver(error) => error.to_string(),
        }
    }
}

/// The cause of a store error, without values.
#[derive(Debug)]
pub(super) struct Cause(String);

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}
