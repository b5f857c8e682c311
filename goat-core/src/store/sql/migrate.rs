//! Schema migration to this version of goat.
//!
//! Invariant: each step commits together with the row that records it, so that an interrupted step is
//! rolled back and the next start continues from there.

use sqlx::Row as _;

use crate::error::{Error, Result};

use super::Database;
use super::connection::Connection;
use super::database::{Pools, write_error};
use super::dialect::{self, CREATE_MIGRATIONS, MIGRATIONS, TABLES};
use crate::store::sql::failure::Failure;
use crate::store::sql::schema::{MigrateOptions, Migration, SchemaState};

/// The tables and recorded steps of a database.
struct Found {
    tables: Vec<String>,
    /// The version and checksum of each applied step, in order.
    steps: Vec<(i64, String)>,
}

impl Database {
    /// Returns the state of the schema relative to this version of goat.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) if an applied step differs from the one of
    /// this version; [`Unavailable`](crate::ErrorKind::Unavailable) if the database does not respond.
    pub async fn schema_state(&self) -> Result<SchemaState> {
        let found = self.pools.run("schema_state", || async {
            inspect(&self.pools, &mut self.pools.read().await?).await
        });
        classify(found.await?)
    }

    /// Returns the database's identity, a short text of letters and digits that a copy shares: to
    /// namespace related data elsewhere, such as the keys in a Redis that several databases share.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the database does not respond;
    /// [`Internal`](crate::ErrorKind::Internal) if its schema is older than this version's.
    pub async fn identity(&self) -> Result<String> {
        let found = self.pools.run("identity", || async {
            let query = sqlx::query("SELECT identity FROM goat_guard WHERE id = 1");
            Ok(self.pools.read().await?.one(query).await?.try_get("identity")?)
        });
        Ok(found.await?)
    }

    /// Migrates the schema to this version and returns the names of the applied steps. Concurrent
    /// migrations of one database apply each step once.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) if the schema is newer than this version, if
    /// an applied step differs from the one of this version, if the database has foreign tables and the
    /// options do not allow them, or if it lacks a property that goat relies on; [`Unavailable`](crate::ErrorKind::Unavailable) if the database
    /// does not respond.
    pub async fn migrate(&self, options: MigrateOptions) -> Result<Vec<&'static str>> {
        let mut applied = Vec::new();
        while let Some(name) = self.step(options, MIGRATIONS).await? {
            applied.push(name);
        }
        Ok(applied)
    }

    /// Applies the next step, if there is one.
    pub(super) async fn step(
        &self,
        options: MigrateOptions,
        migrations: &'static [Migration],
    ) -> Result<Option<&'static str>> {
        let failed = write_error("migrate");
        let mut connection = self.pools.begin_migration().await.map_err(&failed)?;
        // ATOMIC: under the lock, no other process applies a step before the commit.
        dialect::lock_migrations(&mut connection).await.map_err(&failed)?;
        dialect::check_database(&mut connection).await?;
        let found = inspect(&self.pools, &mut connection).await.map_err(&failed)?;
        let done = found.steps.len();
        match classify(found)? {
            SchemaState::Ahead => return Err(ahead()),
            SchemaState::Foreign(tables) if !options.adopt_foreign => return Err(foreign(&tables)),
            _ => {}
        }
        let Some(next) = migrations.get(done) else { return Ok(None) };
        let step = async {
            if done == 0 {
                connection.run(CREATE_MIGRATIONS).await?;
            }
            connection.run(next.sql).await?;
            let note = "INSERT INTO goat_migrations (version, name, checksum) VALUES ($1, $2, $3)";
            let note = sqlx::query(note).bind(next.version).bind(next.name).bind(next.checksum());
            connection.execute(note).await?;
            connection.commit().await
        };
        step.await.map_err(&failed)?;
        Ok(Some(next.name))
    }
}

async fn inspect(pools: &Pools, connection: &mut Connection<'_>) -> Result<Found, Failure> {
    dialect::pin_schema(pools, connection).await?;
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

fn classify(found: Found) -> Result<SchemaState> {
    let Found { tables, steps } = found;
    for (migration, (version, checksum)) in MIGRATIONS.iter().zip(&steps) {
        if migration.version != *version || migration.checksum() != *checksum {
            return Err(Error::configuration(format!(
                "the database schema does not match this version of goat: its migration {version} \
                 differs from migration {} {}",
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
        "the database schema is from a newer version of goat; start that version, or restore a backup \
         from before its migration",
    )
}

fn foreign(tables: &[String]) -> Error {
    const SHOWN: usize = 3;
    let shown = tables.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    Error::configuration(format!(
        "the database has {} tables ({shown}{}) and none of goat's; check the database URL, or allow \
         foreign tables",
        tables.len(),
        if tables.len() > SHOWN { ", …" } else { "" },
    ))
}
