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
    match failure.code().as_deref().and_then(remedy) {
        Some(remedy) => Error::configuration(remedy).with_source(failure.into_cause()),
        None => store_error("version")(failure).into(),
    }
}

/// Returns the cause of a permanent error and its remedy, by its SQLSTATE.
fn remedy(code: &str) -> Option<&'static str> {
    match (code, code.get(..2)?) {
        ("28P01", _) => {
            Some("the PostgreSQL server rejects the user or the password; check both in the URL")
        }
        (_, "28") => Some(
            "the PostgreSQL server does not admit the connection; check the user and sslmode in the URL, \
             and pg_hba.conf on the server",
        ),
        (_, "3D") => Some(
            "the PostgreSQL server has no such database; create it, or correct its name in the URL",
        ),
        ("42501", _) => Some(
            "the PostgreSQL user may not connect to the database; grant it the privilege CONNECT",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permanent_errors_have_a_remedy() {
        for (code, expected) in [
            ("28P01", "password"),
            ("28000", "pg_hba.conf"),
            ("3D000", "create it"),
            ("42501", "grant it"),
        ] {
            assert!(remedy(code).expect(code).contains(expected), "{code}");
        }
        for code in ["57P03", "53300", "08006", "22021", ""] {
            assert_eq!(remedy(code), None, "{code}");
        }
    }

    #[test]
    fn server_that_is_too_old_is_rejected() {
        assert_eq!(supported_version(120_000).expect("a supported version"), "12.0");
        assert_eq!(supported_version(150_018).expect("a supported version"), "15.18");
        let error = supported_version(110_022).expect_err("an unsupported version");
        assert_eq!(error.kind(), crate::ErrorKind::Configuration);
        assert!(error.to_string().contains("PostgreSQL 11.22"), "{error}");
    }
}
