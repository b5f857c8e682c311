//! The server behind the database, as a start meets it: whether it lets goat in, and is new enough.

use sqlx::Row as _;

use crate::error::{Error, Result};
use crate::store::sql::failure::Failure;

use super::PostgresDatabase;
use super::dialect::store_error;

/// The oldest server that goat is made for, as `server_version_num` counts.
const OLDEST: i32 = 120_000;

impl PostgresDatabase {
    /// Connects, and answers the server's version, such as `15.4`. A program that wants to fail at
    /// its start rather than at somebody's request asks this first.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) where another try would not help: the
    /// server does not let this user in, has no such database, or is older than 12;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if it does not answer.
    pub async fn version(&self) -> Result<String> {
        const VERSION: &str = "SELECT CAST(current_setting('server_version_num') AS INTEGER) AS n";
        let asked = async {
            let row = self.pools.read().await?.one(sqlx::query(VERSION)).await?;
            Ok::<i32, Failure>(row.try_get("n")?)
        };
        let number = asked.await.map_err(refused)?;
        judge(number)
    }
}

/// The version that a number stands for, if it is new enough.
fn judge(number: i32) -> Result<String> {
    // From 10 on, the last four digits are the minor version.
    let version = format!("{}.{}", number / 10_000, number % 10_000);
    if number < OLDEST {
        return Err(Error::configuration(format!(
            "the server is PostgreSQL {version}, and goat needs 12 or later"
        )));
    }
    Ok(version)
}

/// What a start cannot get past is told from what may pass. While it runs, either is unavailable:
/// a password that was changed at the server may be changed back.
fn refused(failure: Failure) -> Error {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    // Log-in and database name, and the right to connect.
    let is_final = failure.code().is_some_and(|code| {
        matches!(code.get(..2), Some("28" | "3D")) || code == INSUFFICIENT_PRIVILEGE
    });
    if is_final {
        return Error::configuration("the server refuses the connection")
            .with_source(failure.into_cause());
    }
    store_error("version")(failure).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_too_old_is_refused() {
        assert_eq!(judge(120_000).expect("it is new enough"), "12.0");
        assert_eq!(judge(150_018).expect("it is new enough"), "15.18");
        let error = judge(110_022).expect_err("it is too old");
        assert_eq!(error.kind(), crate::ErrorKind::Configuration);
        assert!(error.to_string().contains("PostgreSQL 11.22"), "{error}");
    }
}
