//! goat on the application's connection pool: the guarantees of the stores, and the requirements.

use std::time::Duration;

use goat_core::store::sql::{PostgresDatabase, PostgresPoolOptions, SqliteDatabase};
use goat_core::{Error, ErrorKind, testing};
use goat_engines::Postgres;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::support::{postgres, sqlite, sqlite_options};
use crate::postgres::defaults::encoded;
use crate::postgres::pooler::Pooler;
use crate::postgres::support::name;

#[tokio::test(flavor = "multi_thread")]
async fn stores_on_a_sqlite_pool_conform() {
    let (_folder, pool, database) = sqlite().await;
    testing::users::conformance(&database.users()).await;
    testing::roles::conformance_with_users(&database.roles(), &database.users()).await;
    testing::sessions::conformance(&database.sessions()).await;
    database.check_writable().await.expect("writes");
    database.close().await;
    sqlx::query("SELECT 1").execute(&pool).await.expect("the application's pool stays open");
}

/// O1: the settings of the application's connections do not apply to goat's calls, nor goat's to the
/// application's.
#[tokio::test(flavor = "multi_thread")]
async fn stores_on_a_postgres_pool_conform_under_other_settings() {
    const SETTINGS: [(&str, &str); 6] = [
        ("default_transaction_isolation", "serializable"),
        ("default_transaction_read_only", "on"),
        ("default_transaction_deferrable", "on"),
        ("statement_timeout", "1h"),
        ("lock_timeout", "1h"),
        ("idle_in_transaction_session_timeout", "1h"),
    ];
    let (_, pool, database) = postgres().await;
    let connect = pool.connect_options().as_ref().clone().options(SETTINGS);
    let pool = PgPoolOptions::new().connect_with(connect).await.expect("a database");
    let other = PostgresDatabase::from_pool(pool.clone(), PostgresPoolOptions::default()).await;
    let other = other.expect("a suitable pool");
    testing::users::conformance(&other.users()).await;
    testing::roles::conformance_with_users(&other.roles(), &other.users()).await;
    for (setting, expected) in SETTINGS {
        let shown = sqlx::AssertSqlSafe(format!("SHOW {setting}"));
        let value: String = sqlx::query_scalar(shown).fetch_one(&pool).await.expect("a setting");
        assert_eq!(value, expected, "{setting}");
    }
    other.close().await;
    database.close().await;
    assert!(!pool.is_closed(), "the application's pool stays open");
}

fn named<T>(result: Result<T, Error>, requirement: &str) {
    let error = result.err().unwrap_or_else(|| panic!("{requirement} is required"));
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error:?}");
    assert!(error.to_string().contains(requirement), "{error}");
}

#[tokio::test]
async fn requirements_of_a_sqlite_pool_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let good = sqlite_options(&path("good.db"));
    let cases: [(SqliteConnectOptions, &str); 8] = [
        (SqliteConnectOptions::new().in_memory(true), "journal_mode WAL, not memory"),
        (
            sqlite_options(&path("journal.db")).journal_mode(SqliteJournalMode::Delete),
            "journal_mode WAL, not delete",
        ),
        (sqlite_options(&path("utf16.db")).pragma("encoding", "'UTF-16le'"), "UTF-8, not UTF-16le"),
        (good.clone().foreign_keys(false), "foreign_keys ON"),
        (good.clone().synchronous(SqliteSynchronous::Normal), "synchronous FULL"),
        (good.clone().pragma("query_only", "ON"), "query_only OFF"),
        // A file of its own: the connections of an earlier pool may still hold a lock.
        (
            sqlite_options(&path("busy.db")).busy_timeout(Duration::ZERO),
            "a busy_timeout above zero",
        ),
        (good, "at least 2 connections, not 1"),
    ];
    for (options, requirement) in cases {
        let most = if requirement.contains("connections") { 1 } else { 2 };
        let pool = SqlitePoolOptions::new().max_connections(most);
        let pool = pool.connect_with(options).await.expect(requirement);
        named(SqliteDatabase::from_pool(pool).await, requirement);
    }
}

#[tokio::test]
async fn requirements_of_a_postgres_pool_are_named() {
    let server = Postgres::shared();
    let url = server.create_database();
    let options = PostgresPoolOptions::default();
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.expect("a database");
    named(PostgresDatabase::from_pool(pool, options).await, "at least 2 connections, not 1");
    let pool = PgPoolOptions::new().test_before_acquire(false);
    let pool = pool.connect(&url).await.expect("a database");
    named(PostgresDatabase::from_pool(pool, options).await, "test_before_acquire");
    server.psql("postgres", "DROP DATABASE IF EXISTS encoded_latin2");
    let pool = PgPoolOptions::new().connect(&encoded(server, "LATIN2")).await.expect("a database");
    named(PostgresDatabase::from_pool(pool, options).await, "encoding LATIN2");
}

/// A pooler that assigns one client's connection, with its prepared statements, to the next.
#[tokio::test]
async fn pooler_without_prepared_statements_is_named() {
    let server = Postgres::shared();
    let url = server.create_database();
    for connections in [1, 4] {
        let pooler = Pooler::start(server, connections);
        let through: PgConnectOptions = pooler.url(&url).parse().expect("a URL");
        // PgBouncer rejects the parameter.
        let through = through.extra_float_digits(None);
        let pool = PgPoolOptions::new().connect_lazy_with(through.clone());
        let options = PostgresPoolOptions::default();
        let checked = PostgresDatabase::from_pool(pool, options).await;
        named(checked, "max_prepared_statements");

        let pool = PgPoolOptions::new().connect_with(through.statement_cache_capacity(0));
        let pool = pool.await.expect("a database");
        let options = PostgresPoolOptions { prepared_statements: false, ..options };
        let database = PostgresDatabase::from_pool(pool, options).await.expect("suitable");
        let migrated = database.migrate(super::support::ADOPT).await;
        migrated.unwrap_or_else(|error| panic!("{}: {error:?}", name(&url)));
        database.users().ping().await.expect("unnamed statements");
    }
}
