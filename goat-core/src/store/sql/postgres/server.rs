//! Server check at startup: credentials, version, and the properties that goat relies on.

use std::io;

use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use crate::error::{Error, Result};
use crate::store::sql::failure::Failure;

use super::PostgresDatabase;
use super::connection::Connection;
use super::dialect::{self, store_error};

/// The oldest supported server, as `server_version_num`.
const OLDEST: i32 = 120_000;

impl PostgresDatabase {
    /// Connects, checks the database, and returns the server's version, such as `15.4`. A program calls
    /// this at startup, so that a wrong configuration does not surface at the first request.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) where a retry would not help: the server
    /// rejects the user, has no such database, or is older than 12; the database cannot store all of
    /// Unicode, or has no schema for goat's tables; or a column of these has another collation than
    /// goat gave it. [`Unavailable`](crate::ErrorKind::Unavailable) if the server does not respond.
    pub async fn version(&self) -> Result<String> {
        self.connect_once().await?;
        let queried = async {
            let mut connection = self.pools.read().await?;
            dialect::pin_schema(&self.pools, &mut connection).await?;
            Properties::read(&mut connection).await
        };
        queried.await.map_err(startup_error)?.check()
    }

    /// Connects without the pool, which repeats a refused connection until its timeout, and then reports
    /// that and not the cause.
    async fn connect_once(&self) -> Result<()> {
        let connected = self.pools.write.connect_options().connect().await;
        let connection = connected.map_err(|error| startup_error(Failure::from(error)))?;
        // The server notices the end of a connection that fails to close.
        let _ = connection.close().await;
        Ok(())
    }
}

/// Reads the [`Properties`]. Columns that are compared have the collation `C`, for any collation of the
/// database.
const PROPERTIES: &str = "SELECT \
    CAST(current_setting('server_version_num') AS INTEGER) AS version, \
    current_setting('server_encoding') AS encoding, \
    CAST(current_schema() AS TEXT) AS schema, \
    (SELECT MIN(pg_class.relname || '.' || attname || ' has the collation ' || collname) \
    FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_class ON pg_class.oid = attrelid \
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace \
    JOIN pg_catalog.pg_collation ON pg_collation.oid = attcollation \
    WHERE nspname = current_schema() AND collname <> 'C' \
    AND relname IN ('goat_users', 'goat_permissions', 'goat_sessions', 'goat_keys') \
    AND attname IN ('id', 'email_canonical', 'email_domain', 'role', 'status', 'permission', 'user_id', \
    'owner_id')) \
    AS miscollated";

/// Properties of the server and the database.
pub(super) struct Properties {
    version: i32,
    encoding: String,
    schema: Option<String>,
    /// A column with another collation than goat gave it.
    miscollated: Option<String>,
}

impl Properties {
    /// Reads the properties.
    pub(super) async fn read(connection: &mut Connection<'_>) -> Result<Self, Failure> {
        let row = connection.one(sqlx::query(PROPERTIES)).await?;
        Ok(Self {
            version: row.try_get("version")?,
            encoding: row.try_get("encoding")?,
            schema: row.try_get("schema")?,
            miscollated: row.try_get("miscollated")?,
        })
    }

    /// Formats the version, if goat can use the database.
    pub(super) fn check(self) -> Result<String> {
        let version = supported_version(self.version)?;
        if self.encoding != "UTF8" {
            return Err(Error::configuration(format!(
                "the database has the encoding {}, which cannot store all of Unicode; create one \
                 with ENCODING 'UTF8' TEMPLATE template0",
                self.encoding
            )));
        }
        if self.schema.is_none() {
            return Err(Error::configuration(
                "the user's search_path contains no schema of the database; create the schema, or \
                 name another one in search_path",
            ));
        }
        match self.miscollated {
            Some(column) => Err(Error::configuration(format!(
                "the column {column}; goat needs COLLATE \"C\", as its migration sets it"
            ))),
            None => Ok(version),
        }
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
    let remedy = match &failure {
        Failure::Driver(sqlx::Error::Tls(_)) => Some(NO_TLS),
        // A handshake fails this way.
        Failure::Driver(sqlx::Error::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            Some(NO_TLS)
        }
        failure => failure.code().as_deref().and_then(remedy),
    };
    match remedy {
        Some(remedy) => Error::configuration(remedy).with_source(failure.into_cause()),
        None => store_error("version")(failure).into(),
    }
}

const NO_TLS: &str = "no TLS connection to the PostgreSQL server; check sslmode and sslrootcert in the \
    URL, and the server's certificate";

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
