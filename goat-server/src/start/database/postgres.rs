//! A PostgreSQL server at startup.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use goat_core::invalidation::Invalidations;
use goat_core::limit::LimitStore;
use goat_core::store::sql::{OnUnknownKey, PostgresDatabase, PostgresOptions};
use goat_core::token::TokenKeys;
use goat_core::{Secret, Stores};
use tokio::time;

use super::{AdoptForeign, Database, File, KeySource, SchemaState};
use crate::failure::{Failure, deepest};
use crate::start::settings::{StorageSettings, show_duration};

/// Timeout of a migration: rewriting a large table takes longer than a store call.
const MIGRATE_WITHIN: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Postgres {
    database: PostgresDatabase,
    /// Of a call.
    timeout: Duration,
}

impl Postgres {
    pub(super) fn open(settings: &StorageSettings, url: &Secret<String>) -> Result<Self, Failure> {
        let database = PostgresDatabase::open(&options(settings, url)).map_err(named)?;
        Ok(Self { database, timeout: settings.store_timeout })
    }
}

#[async_trait]
impl Database for Postgres {
    async fn probe(&self) -> Result<String, Failure> {
        let version = within(self.timeout, self.database.version()).await?;
        Ok(format!("PostgreSQL {version}"))
    }

    async fn check_writable(&self) -> Result<(), Failure> {
        within(self.timeout, self.database.check_writable()).await
    }

    async fn schema_state(&self) -> Result<SchemaState, Failure> {
        Ok(within(self.timeout, self.database.schema_state()).await?.into())
    }

    async fn migrate(&self, adopt: AdoptForeign) -> Result<Vec<&'static str>, Failure> {
        within(MIGRATE_WITHIN, self.database.migrate(adopt.into())).await
    }

    fn stores(&self, limits: Arc<dyn LimitStore>) -> Stores {
        self.database.stores(limits)
    }

    fn invalidations(&self, staleness: Duration) -> Option<Arc<dyn Invalidations>> {
        Some(self.database.invalidations(staleness))
    }

    async fn identity(&self) -> Result<String, Failure> {
        within(self.timeout, self.database.identity()).await
    }

    async fn register_signing_key(
        &self,
        keys: &TokenKeys,
        ttl: Duration,
        source: KeySource,
    ) -> Result<Vec<String>, Failure> {
        let on_unknown_key = match source {
            KeySource::Configured => OnUnknownKey::Allow,
            KeySource::Stored | KeySource::Generated => OnUnknownKey::Refuse,
        };
        within(self.timeout, self.database.register_signing_key(keys, ttl, on_unknown_key)).await
    }

    fn file(&self) -> Option<File<'_>> {
        None
    }

    async fn close(&self) {
        self.database.close().await;
    }
}

/// Bounds a call to a server that may have died before it responds.
async fn within<T>(
    limit: Duration,
    call: impl Future<Output = goat_core::Result<T>>,
) -> Result<T, Failure> {
    match time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(named),
        Err(_) => Err(Failure::unavailable(format!(
            "DATABASE_URL: PostgreSQL is unavailable: no response within {}",
            show_duration(limit)
        ))),
    }
}

/// Names the setting in an error of the server.
fn named(error: goat_core::Error) -> Failure {
    if error.is_unavailable() {
        return Failure::unavailable(format!(
            "DATABASE_URL: PostgreSQL is unavailable: {}",
            deepest(&error)
        ));
    }
    Failure::from(error).after("DATABASE_URL")
}

/// Returns the options of PostgreSQL. The server works on no statement for longer than the call's
/// timeout; waiting for a pooled connection ends before that, so that the error names the exhausted
/// pool.
pub(in crate::start) fn options(
    settings: &StorageSettings,
    url: &Secret<String>,
) -> PostgresOptions {
    PostgresOptions {
        connections: settings.max_connections,
        acquire_timeout: settings.store_timeout * 9 / 10,
        statement_timeout: settings.store_timeout,
        ..PostgresOptions::new(url.clone())
    }
}
