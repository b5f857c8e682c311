//! The database that the settings name: opened, and its schema judged before anything else is done.

use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;

use goat_core::Stores;
use goat_core::store::memory::MemoryLimits;
use goat_core::store::sql::{MigrateOptions, SchemaState, SqliteDatabase, SqliteOptions};

use crate::bootstrap::DataDir;
use crate::failure::Failure;
use crate::settings::{Database, StorageSettings};

/// Whether goat may set up its tables beside those of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// A database with tables that are not goat's is the wrong one.
    Refuse,
    /// Whoever runs the command says that it is the right one.
    Allow,
}

/// An open database.
#[derive(Clone, Debug)]
pub struct Storage {
    path: PathBuf,
    database: SqliteDatabase,
}

impl Storage {
    /// Opens the database, and makes it where it is a file that is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, or this version has no driver for it.
    pub async fn open(settings: &StorageSettings, data: &DataDir) -> Result<Self, Failure> {
        let Database::Sqlite(path) = &settings.database else {
            return Err(Failure::configuration("DATABASE_URL: PostgreSQL is not built yet"));
        };
        if is_in(path, data.path()) {
            data.create()?;
        }
        let database = SqliteDatabase::open(sqlite_options(settings, path)).await?;
        Ok(Self { path: path.clone(), database })
    }

    /// The database, as the operator knows it.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("SQLite in {}", self.path.display())
    }

    /// How the schema stands to this version.
    ///
    /// # Errors
    ///
    /// If the database does not answer, or was set up by a goat that this version does not know.
    pub async fn schema_state(&self) -> Result<SchemaState, Failure> {
        Ok(self.database.schema_state().await?)
    }

    /// Brings the schema to where this version needs it; answers the steps that were taken.
    ///
    /// # Errors
    ///
    /// If the database is not goat's and may not be adopted, if its schema is newer than this
    /// version, or if it does not answer.
    pub async fn migrate(&self, adoption: Adoption) -> Result<Vec<&'static str>, Failure> {
        let state = self.schema_state().await?;
        if let Some(refusal) = self.refusal(&state, adoption) {
            return Err(refusal);
        }
        let options = MigrateOptions { adopt_foreign: adoption == Adoption::Allow };
        Ok(self.database.migrate(options).await?)
    }

    /// What a start does about the schema: migrates, or refuses.
    ///
    /// # Errors
    ///
    /// As [`Storage::migrate`]; or if something is to be migrated and may not be now.
    pub async fn bring_up_to_date(&self, migrate: bool) -> Result<(), Failure> {
        if migrate {
            let steps = self.migrate(Adoption::Refuse).await?;
            if !steps.is_empty() {
                tracing::info!(
                    steps = steps.join(", "),
                    "the database's schema was brought up to date"
                );
            }
            return Ok(());
        }
        let state = self.schema_state().await?;
        match self.refusal(&state, Adoption::Refuse) {
            Some(refusal) => Err(refusal),
            None if state == SchemaState::Current => Ok(()),
            None => Err(Failure::configuration(
                "the database's schema is older than this version: run goat-server migrate, \
                 or set GOAT_MIGRATE_ON_START",
            )),
        }
    }

    /// Why the database is not to be touched, if it is not.
    pub(crate) fn refusal(&self, state: &SchemaState, adoption: Adoption) -> Option<Failure> {
        const SHOWN: usize = 3;
        match state {
            SchemaState::Ahead => Some(Failure::configuration(
                "the database was set up by a newer version of goat, and this one could damage it: \
                 start the newer version, or restore a copy from before it",
            )),
            SchemaState::Foreign(tables) if adoption == Adoption::Refuse => {
                let names: Vec<&str> = tables.iter().take(SHOWN).map(String::as_str).collect();
                let more = if tables.len() > SHOWN { ", …" } else { "" };
                Some(Failure::configuration(format!(
                    "DATABASE_URL: the database has tables ({}{more}), and none of them is goat's; \
                     if it is the right one, goat-server migrate --adopt sets goat's up beside them",
                    names.join(", ").escape_debug(),
                )))
            }
            _ => None,
        }
    }

    /// The stores that stand on it, and limits in the memory of this process with so many keys.
    #[must_use]
    pub fn stores(&self, limit_keys: usize) -> Stores {
        self.database.stores(Arc::new(MemoryLimits::new(limit_keys)))
    }

    /// Closes every connection, once the calls under way are done.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

/// How a file of SQLite is opened.
pub(super) fn sqlite_options(settings: &StorageSettings, path: &Path) -> SqliteOptions {
    SqliteOptions {
        // One connection writes.
        readers: settings.max_connections.saturating_sub(1).max(1),
        busy_timeout: settings.store_timeout,
        ..SqliteOptions::new(path)
    }
}

/// Whether a file lies in a directory, in whatever words the two are named.
fn is_in(file: &Path, directory: &Path) -> bool {
    match (absolute(file), absolute(directory)) {
        (Ok(file), Ok(directory)) => file.parent() == Some(&directory),
        _ => false,
    }
}
