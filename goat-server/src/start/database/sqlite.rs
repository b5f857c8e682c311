//! An SQLite file at startup.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use goat_core::Stores;
use goat_core::invalidation::Invalidations;
use goat_core::limit::LimitStore;
use goat_core::store::sql::{SqliteDatabase, SqliteOptions};
use goat_core::token::TokenKeys;

use super::{AdoptForeign, Database, File, KeySource, SchemaState};
use crate::failure::Failure;
use crate::start::settings::StorageSettings;

#[derive(Debug)]
pub(super) struct Sqlite {
    path: PathBuf,
    database: SqliteDatabase,
    existed: bool,
}

impl Sqlite {
    pub(super) async fn open(settings: &StorageSettings, path: &Path) -> Result<Self, Failure> {
        let existed = path.exists();
        let opened = SqliteDatabase::open(options(settings, path)).await;
        let database = opened.map_err(|error| Failure::from(error).after("DATABASE_URL"))?;
        Ok(Self { path: path.to_owned(), database, existed })
    }

    /// Names the file in an error.
    fn named(&self, error: goat_core::Error) -> Failure {
        Failure::from(error).after(&format!("the database {}", self.path.display()))
    }
}

#[async_trait]
impl Database for Sqlite {
    async fn probe(&self) -> Result<String, Failure> {
        // `open` has checked it.
        Ok(format!("SQLite in {}", self.path.display()))
    }

    async fn check_writable(&self) -> Result<(), Failure> {
        self.database.check_writable().await.map_err(|error| self.named(error))
    }

    async fn schema_state(&self) -> Result<SchemaState, Failure> {
        Ok(self.database.schema_state().await?.into())
    }

    async fn migrate(&self, adopt: AdoptForeign) -> Result<Vec<&'static str>, Failure> {
        self.database.migrate(adopt.into()).await.map_err(|error| self.named(error))
    }

    fn stores(&self, limits: Arc<dyn LimitStore>) -> Stores {
        self.database.stores(limits)
    }

    fn invalidations(&self, _: Duration) -> Option<Arc<dyn Invalidations>> {
        None
    }

    async fn identity(&self) -> Result<String, Failure> {
        Ok(self.database.identity().await?)
    }

    async fn register_signing_key(
        &self,
        _: &TokenKeys,
        _: Duration,
        _: KeySource,
    ) -> Result<Vec<String>, Failure> {
        // Every reader of the file also reads the key next to it.
        Ok(Vec::new())
    }

    fn file(&self) -> Option<File<'_>> {
        Some(File { path: &self.path, existed: self.existed })
    }

    async fn close(&self) {
        self.database.close().await;
    }
}

/// Returns the options of an SQLite file.
pub(in crate::start) fn options(settings: &StorageSettings, path: &Path) -> SqliteOptions {
    SqliteOptions {
        // One connection is the writer.
        readers: settings.max_connections.saturating_sub(1).max(1),
        busy_timeout: settings.store_timeout,
        ..SqliteOptions::new(path)
    }
}
