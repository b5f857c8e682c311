//! The application's pools, and goat on them.

use std::path::Path;

use goat_core::store::sql::{
    MigrateOptions, PostgresDatabase, PostgresPoolOptions, SqliteDatabase,
};
use goat_engines::Postgres;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{PgPool, SqlitePool};
use tempfile::TempDir;

pub(crate) const ADOPT: MigrateOptions = MigrateOptions { adopt_foreign: true };

pub(crate) fn sqlite_options(path: &Path) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    options.journal_mode(SqliteJournalMode::Wal)
}

/// A SQLite file of the application, and goat on its pool.
pub(crate) async fn sqlite() -> (TempDir, SqlitePool, SqliteDatabase) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = sqlite_options(&folder.path().join("app.db"));
    let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await;
    let pool = pool.expect("a file");
    let database = SqliteDatabase::from_pool(pool.clone()).await.expect("a suitable pool");
    database.migrate(ADOPT).await.expect("a schema");
    (folder, pool, database)
}

/// A PostgreSQL database of the application, and goat on its pool.
pub(crate) async fn postgres() -> ((), PgPool, PostgresDatabase) {
    let url = Postgres::shared().create_database();
    let pool = PgPoolOptions::new().max_connections(4).connect(&url).await.expect("a database");
    let options = PostgresPoolOptions::default();
    let database = PostgresDatabase::from_pool(pool.clone(), options).await;
    let database = database.expect("a suitable pool");
    database.migrate(ADOPT).await.expect("a schema");
    ((), pool, database)
}
