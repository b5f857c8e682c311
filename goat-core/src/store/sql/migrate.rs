//! Migration: brings a database's schema to where this version of goat needs it.
//!
//! Invariant: each step is one transaction together with the row that notes it, so that a step that
//! was interrupted never happened, and the next start goes on from there.

use sqlx::Row as _;

use crate::error::{Error, Result};

use super::Database;
use super::connection::Connection;
use super::dialect::{self, CREATE_MIGRATIONS, MIGRATIONS, TABLES};
use crate::store::sql::failure::Failure;
use crate::store::sql::schema::{MigrateOptions, Migration, SchemaState};

/// What a database has.
struct Found {
    tables: Vec<String>,
    /// The version and checksum of each step that was taken, in order.
    steps: Vec<(i64, String)>,
}

impl Database {
    /// How the database's schema stands to this version of goat.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) if a step was taken that this version
    /// knows in another form; [`Unavailable`](crate::ErrorKind::Unavailable) if the database does
    /// not answer.
    pub async fn schema_state(&self) -> Result<SchemaState> {
        let found = async {
            let mut connection = self.pools.read().await?;
            look(&mut connection).await
        };
        judge(found.await.map_err(dialect::store_error("schema_state"))?)
    }

    /// What tells this database from others, a short text of letters and digits: to name what is
    /// kept elsewhere beside it, as the keys in a Redis that several databases share. A copy has the
    /// same.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the database does not answer;
    /// [`Internal`](crate::ErrorKind::Internal) if its schema is older than this version's.
    pub async fn identity(&self) -> Result<String> {
        let found = async {
            let query = sqlx::query("SELECT identity FROM goat_guard WHERE id = 1");
            Ok(self.pools.read().await?.one(query).await?.try_get("identity")?)
        };
        Ok(found.await.map_err(dialect::store_error("identity"))?)
    }

    /// Brings the schema to where this version needs it; answers the names of the steps that it
    /// took. Processes that migrate the same database at once take each step once.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) if the schema is newer than this version,
    /// if a step was taken that this version knows in another form, or if the database has tables
    /// of somebody else and the options do not allow for them;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the database does not answer.
    pub async fn migrate(&self, options: MigrateOptions) -> Result<Vec<&'static str>> {
        let mut taken = Vec::new();
        while let Some(name) = self.step(options, MIGRATIONS).await? {
            taken.push(name);
        }
        Ok(taken)
    }

    /// Takes the next step, if there is one.
    pub(super) async fn step(
        &self,
        options: MigrateOptions,
        migrations: &'static [Migration],
    ) -> Result<Option<&'static str>> {
        let failed = dialect::store_error("migrate");
        let mut connection = self.pools.begin_migration().await.map_err(&failed)?;
        // ATOMIC: nobody else takes a step between the look and the commit.
        dialect::lock_migrations(&mut connection).await.map_err(&failed)?;
        let found = look(&mut connection).await.map_err(&failed)?;
        let done = found.steps.len();
        match judge(found)? {
            SchemaState::Ahead => return Err(ahead()),
            SchemaState::Foreign(tables) if !options.adopt_foreign => return Err(foreign(&tables)),
            _ => {}
        }
        let Some(next) = migrations.get(done) else { return Ok(None) };
        let taken = async {
            if done == 0 {
                connection.run(CREATE_MIGRATIONS).await?;
            }
            connection.run(next.sql).await?;
            let note = "INSERT INTO goat_migrations (version, name, checksum) VALUES ($1, $2, $3)";
            let note = sqlx::query(note).bind(next.version).bind(next.name).bind(next.checksum());
            connection.execute(note).await?;
            connection.commit().await
        };
        taken.await.map_err(&failed)?;
        Ok(Some(next.name))
    }
}

async fn look(connection: &mut Connection) -> Result<Found, Failure> {
    let tables = connection.all(sqlx::query(TABLES)).await?;
    let tables =
        tables.iter().map(|row| row.try_get("name")).collect::<Result<Vec<String>, _>>()?;
    if !tables.iter().any(|table| table == "goat_migrations") {
        return Ok(Found { tables, steps: Vec::new() });
    }
    let steps = "SELECT version, checksum FROM goat_migrations ORDER BY version";
    let steps = connection.all(sqlx::query(steps)).await?;
    let step = |row: &super::dialect::Row| Ok((row.try_get("version")?, row.try_get("checksum")?));
    let steps = steps.iter().map(step).collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Found { tables, steps })
}

fn judge(found: Found) -> Result<SchemaState> {
    let Found { tables, steps } = found;
    for (migration, (version, checksum)) in MIGRATIONS.iter().zip(&steps) {
        if migration.version != *version || migration.checksum() != *checksum {
            return Err(Error::configuration(format!(
                "the database was set up by another goat: its migration {version} is not the {} {} \
                 of this version",
                migration.version, migration.name
            )));
        }
    }
    Ok(match steps.len() {
        0 if tables.is_empty() => SchemaState::Empty,
        0 => SchemaState::Foreign(tables),
        done if done < MIGRATIONS.len() => SchemaState::Behind,
        done if done == MIGRATIONS.len() => SchemaState::Current,
        _ => SchemaState::Ahead,
    })
}

fn ahead() -> Error {
    Error::configuration(
        "the database was set up by a newer version of goat, and this one could damage it; \
         start the newer version, or restore a copy from before it",
    )
}

fn foreign(tables: &[String]) -> Error {
    const SHOWN: usize = 3;
    let shown = tables.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    Error::configuration(format!(
        "the database is not goat's: it has {} tables ({shown}{}) and none that goat set up",
        tables.len(),
        if tables.len() > SHOWN { ", …" } else { "" },
    ))
}
