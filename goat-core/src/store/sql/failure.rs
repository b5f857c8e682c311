//! SQL errors: classified by the reaction to them, and reduced to text that is safe to log.
//!
//! Invariant: no driver error leaves this module. A database quotes values in its messages, such as a
//! duplicate e-mail address, and errors are logged.

use std::fmt;

use crate::error::StoreError;

/// A failed call.
#[derive(Debug)]
pub(super) enum Failure {
    /// An error of the driver or the database, before a commit: the call has not taken effect.
    Driver(sqlx::Error),
    /// A failed commit: the call may have taken effect.
    Commit(sqlx::Error),
    /// The column has a value that goat never writes.
    Row(&'static str),
    /// The transaction of the application cannot be joined, for this reason.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(dead_code, reason = "SQLite has one isolation level")
    )]
    Unsuitable(&'static str),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(error)
    }
}

/// The class of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureClass {
    /// The connection ended, and with it an open transaction.
    ConnectionLost,
    /// The database rolled the transaction back because of a concurrent one.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "SQLite has one writer"))]
    Conflict,
    /// The database accepts no writes: it is read-only or full, or denies the right.
    WriteRefused,
    /// Another failure that a later call may not meet.
    Transient,
    /// A defect, or rows that goat did not write.
    Permanent,
}

impl Failure {
    /// Converts the failure into a [`StoreError`]. `classify` classifies error codes of the database.
    pub(super) fn in_operation(
        self,
        operation: &'static str,
        classify: fn(&str) -> FailureClass,
    ) -> StoreError {
        let error = match self.class(classify) {
            FailureClass::Permanent => StoreError::broken(operation),
            _ => StoreError::unavailable(operation),
        };
        error.with_source(self.into_cause())
    }

    /// Returns the class of the failure.
    pub(super) fn class(&self, classify: fn(&str) -> FailureClass) -> FailureClass {
        use sqlx::Error::{
            BeginFailed, Database, Io, PoolClosed, PoolTimedOut, Protocol, Tls, WorkerCrashed,
        };

        let (Self::Driver(error) | Self::Commit(error)) = self else {
            return FailureClass::Permanent;
        };
        match error {
            Database(error) => error.code().map_or(FailureClass::Permanent, |code| classify(&code)),
            // A protocol error comes from a server or proxy that is starting or shutting down: the
            // driver reports it for a connection that closes before its first byte.
            Io(_) | Tls(_) | Protocol(_) | WorkerCrashed => FailureClass::ConnectionLost,
            PoolTimedOut | PoolClosed | BeginFailed => FailureClass::Transient,
            _ => FailureClass::Permanent,
        }
    }

    /// Whether the commit failed, so that the call may have taken effect.
    pub(super) fn is_commit(&self) -> bool {
        matches!(self, Self::Commit(_))
    }

    /// Returns the error code, for an error of the database.
    pub(super) fn code(&self) -> Option<String> {
        match self {
            Self::Driver(sqlx::Error::Database(error))
            | Self::Commit(sqlx::Error::Database(error)) => error.code().map(String::from),
            _ => None,
        }
    }

    /// Returns the failure without values, as the cause of another error.
    pub(super) fn into_cause(self) -> Cause {
        Cause(self.message())
    }

    fn message(self) -> String {
        let error = match self {
            Self::Row(column) => {
                return format!("column {column} has a value that goat does not write");
            }
            Self::Unsuitable(reason) => return reason.to_owned(),
            Self::Driver(error) | Self::Commit(error) => error,
        };
        match error {
            sqlx::Error::Database(error) => {
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
            sqlx::Error::ColumnDecode { index, .. } => {
                format!("column {index} has an unexpected type")
            }
            error => error.to_string(),
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
