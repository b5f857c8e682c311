//! Server check at startup: credentials and version.

use sqlx::Row as _;

use crate::error::{Error, Result};
use crate::store::sql::failure::Failure;

use super::PostgresDatabase;
use super::dialect::store_error;

/// The oldest supported server, as `server_version_num`.
const OLDEST: i32 = 120_000;

impl PostgresDatabase {
    /// Connects and returns the server's version, such as `15.4`. A program calls this at startup, so
    /// that a wrong configuration does not surface at the first request.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) where a retry would not help: the server
    /// rejects the user, has no such database, or is older than 12;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if it does not respond.
    pub async fn version(&self) -> Result<String> {
        const VERSION: &str = "SELECT CAST(current_setting('server_version_num') AS INTEGER) AS n";
        let queried = async {
            let row = self.pools.read().await?.one(sqlx::query(VERSION)).await?;
            Ok::<i32, Failure>(row.try_get("n")?)
        };
        let number = queried.await.map_err(startup_error)?;
        supported_version(number)
    }
}

/// Formats a version number, if the version is supported.
fn supported_version(number: i32) -> Result<String> {
    // From 10 on, the last four digits are the minor version.
    let version = format!("{}.{}", number / 10_000, number % 10_000);
    if number < OLDEST {
        return Err(Error::configuration(format!(
            "the server is PostgreSQL {version}, and goat needs 12 or later"
        )));
    }
    Ok(version)
}

/// Distinguishes permanent errors, for startup. Later both are unavailable, since a password that was
/// changed on the server may be changed back.
fn startup_error(failure: Failure) -> Error {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    // Authorization, catalog name, and the privilege to connect.
    let is_permanent = failure.code().is_some_and(|code| {
        matches!(code.get(..2), Some("28" | "3D")) || code == INSUFFICIENT_PRIVILEGE
    });
    if is_permanent {
        return Error::configuration(
            "the PostgreSQL server rejects the connection; check user, password and database",
        )
        .with_source(failure.into_cause());
    }
    store_error("version")(failure).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_that_is_too_old_is_rejected() {
        assert_eq!(supported_version(120_000).expect("a supported version"), "12.0");
        assert_eq!(supported_version(150_018).expect("a supported version"), "15.18");
        let error = supported_version(110_022).expect_err("an unsupported version");
        assert_eq!(error.kind(), crate::ErrorKind::Configuration);
        assert!(error.to_string().contains("PostgreSQL 11.22"), "{error}");
    }
}
