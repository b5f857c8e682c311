//! Migrations: concurrent, interrupted, refused, and in separate schemas.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use goat_core::store::sql::{MigrateOptions, PostgresDatabase, PostgresOptions, SchemaState};
use goat_core::user::Attributes;
use goat_core::{ErrorKind, UserId};
use goat_engines::Postgres;
use serde_json::json;

use crate::postgres::support::{account, name, now, put, role, session};

fn open(url: &str) -> PostgresDatabase {
    PostgresDatabase::open(&PostgresOptions::new(url)).expect("a URL")
}

async fn state(database: &PostgresDatabase) -> SchemaState {
    database.schema_state().await.expect("the database responds")
}

async fn migrate(database: &PostgresDatabase) -> goat_core::Result<Vec<&'static str>> {
    database.migrate(MigrateOptions::default()).await
}

/// O5: of ten concurrent migrations each step runs once, and all find the schema current.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_migrations_run_each_step_once() {
    let url = Postgres::shared().create_database();
    assert_eq!(state(&open(&url)).await, SchemaState::Empty);
    let migrations: Vec<_> = (0..10)
        .map(|_| {
            let database = open(&url);
            tokio::spawn(async move {
                let taken = migrate(&database).await.expect("a schema");
                assert_eq!(state(&database).await, SchemaState::Current);
                taken
            })
        })
        .collect();
    let mut taken = Vec::new();
    for migration in migrations {
        taken.extend(migration.await.expect("no panic"));
    }
    taken.sort_unstable();
    let each = Postgres::shared().psql(name(&url), "SELECT name FROM goat_migrations ORDER BY 1");
    assert_eq!(taken, each.lines().collect::<Vec<_>>());
}

/// O5: a migration resumes wherever the last one was interrupted.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_migration_is_resumed() {
    let server = Postgres::shared();
    let mut states = Vec::new();
    // Until a migration completes: how often it is polled depends on the machine's load.
    for times in (0..900).step_by(3) {
        let url = server.create_database();
        let database = open(&url);
        {
            let mut migration = pin!(migrate(&database));
            let mut polls = 0;
            poll_fn(|context| {
                polls += 1;
                if polls > times {
                    return Poll::Ready(());
                }
                migration.as_mut().poll(context).map(|_| ())
            })
            .await;
        }
        states.push(state(&database).await);
        migrate(&open(&url)).await.expect("a schema");
        assert_eq!(state(&database).await, SchemaState::Current);
        put(&database.users(), None, &account(&role("client"))).await.expect("the store responds");
        database.close().await;
        if states.contains(&SchemaState::Current) {
            break;
        }
    }
    for seen in [SchemaState::Empty, SchemaState::Behind, SchemaState::Current] {
        assert!(states.contains(&seen), "{seen:?} is missing from {states:?}");
    }
}

/// A node of the version before writes users without the column of attributes, and leaves those that
/// are stored.
#[tokio::test]
async fn users_are_written_without_the_column_of_attributes() {
    let server = Postgres::shared();
    let url = server.create_database();
    let database = open(&url);
    migrate(&database).await.expect("a schema");
    server.psql(
        name(&url),
        "INSERT INTO goat_users (id, email, email_canonical, email_domain, role, status, \
         password_hash, created_at, updated_at, last_login_at, session_epoch, kept_session, \
         revision, token_replacement) VALUES ('01KE1Q0J0000000000000000YY', 'a@b', 'a@b', \
         'b', 'client', 'active', '', 1, 1, 0, 0, NULL, 1, NULL)",
    );
    let id = UserId::parse("01KE1Q0J0000000000000000YY").expect("an id");
    let users = database.users();
    let mut account = users.by_id(id).await.expect("the store responds").expect("the user");
    assert!(account.user.attributes.is_empty());
    let attributes = Attributes::parse(json!({ "plan": "pro" })).expect("attributes");
    account.user.attributes = attributes.clone();
    put(&users, None, &account).await.expect("the store responds");
    server.psql(name(&url), "UPDATE goat_users SET email = 'c@b', revision = 3");
    let read = users.by_id(id).await.expect("the store responds").expect("the user");
    assert_eq!((read.user.attributes, read.revision), (attributes, 3));
}

/// O5
#[tokio::test]
async fn a_schema_of_a_newer_version_is_refused() {
    let server = Postgres::shared();
    let url = server.create_database();
    let database = open(&url);
    migrate(&database).await.expect("a schema");
    let newer = "INSERT INTO goat_migrations (version, name, checksum) VALUES (99, 'x', 'y')";
    server.psql(name(&url), newer);
    assert_eq!(state(&database).await, SchemaState::Ahead);
    for options in [MigrateOptions::default(), MigrateOptions { adopt_foreign: true }] {
        let error = database.migrate(options).await.expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }
}

/// O5
#[tokio::test]
async fn a_schema_with_another_checksum_is_refused() {
    let server = Postgres::shared();
    let url = server.create_database();
    let database = open(&url);
    migrate(&database).await.expect("a schema");
    server.psql(name(&url), "UPDATE goat_migrations SET checksum = 'another' WHERE version = 2");
    let error = database.schema_state().await.expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(migrate(&database).await.expect_err("a refusal").kind(), ErrorKind::Configuration);
}

#[tokio::test]
async fn foreign_tables_are_refused_or_left_alone() {
    let server = Postgres::shared();
    let url = server.create_database();
    let database = open(&url);
    server.psql(name(&url), "CREATE TABLE books (title TEXT); INSERT INTO books VALUES ('Emma')");
    assert_eq!(state(&database).await, SchemaState::Foreign(vec!["books".to_owned()]));
    let error = migrate(&database).await.expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("books"), "{error}");
    assert_eq!(
        server.psql(name(&url), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
        "1"
    );
    database.migrate(MigrateOptions { adopt_foreign: true }).await.expect("a schema");
    assert_eq!(state(&database).await, SchemaState::Current);
    assert_eq!(server.psql(name(&url), "SELECT title FROM books"), "Emma");
}

/// Side by side with an application's tables, and with another goat.
#[tokio::test]
async fn separate_search_paths_are_independent() {
    let server = Postgres::shared();
    let url = server.create_database();
    server
        .psql(name(&url), "CREATE TABLE books (title TEXT); CREATE SCHEMA one; CREATE SCHEMA two");
    for schema in ["one", "two"] {
        let database = open(&format!("{url}?options=-csearch_path%3D{schema}"));
        assert_eq!(state(&database).await, SchemaState::Empty);
        migrate(&database).await.expect("a schema");
        assert_eq!(state(&database).await, SchemaState::Current);
        put(&database.users(), None, &account(&role("client"))).await.expect("the store responds");
        let count = format!("SELECT count(*) FROM {schema}.goat_users");
        assert_eq!(server.psql(name(&url), &count), "1");
    }
    assert_eq!(state(&open(&url)).await, SchemaState::Foreign(vec!["books".to_owned()]));
}

/// Creating an index on a large table takes longer than a request may.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_is_not_subject_to_the_statement_timeout() {
    let server = Postgres::shared();
    let url = server.create_database();
    let timeout = Duration::from_millis(50);
    let options =
        PostgresOptions { statement_timeout: timeout, ..PostgresOptions::new(url.as_str()) };
    let database = PostgresDatabase::open(&options).expect("a URL");
    let key = 0x676f_6174_6d69_6772_i64;
    let hold = format!("SELECT pg_advisory_lock({key}); SELECT pg_sleep(0.4)");
    let locked = name(&url).to_owned();
    let holder = std::thread::spawn({
        let locked = locked.clone();
        move || server.psql(&locked, &hold)
    });
    let held = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND wait_event = 'PgSleep'";
    while server.psql(&locked, held) == "0" {
        assert!(!holder.is_finished(), "the lock was released too early");
    }
    migrate(&database).await.expect("no timeout");
    holder.join().expect("the lock was held");
    assert_eq!(state(&database).await, SchemaState::Current);
}

/// The only proof of a session that a node of an earlier version inserts is its password.
#[tokio::test(flavor = "multi_thread")]
async fn session_of_an_earlier_version_has_the_proof_of_its_login() {
    const INSERT: &str = "INSERT INTO goat_sessions (id, user_id, epoch, device, address, created_at, last_used_at, idle_at, ends_at, current_id, \
    current_issued_at, current_expires_at, current_key, previous_id, previous_used_at, \
    previous_used_from) \
    SELECT '01KDVDNXVVEKN867AEX50T9TYB', user_id, epoch, device, address, created_at, last_used_at, idle_at, ends_at, current_id, \
    current_issued_at, current_expires_at, current_key, previous_id, previous_used_at, \
    previous_used_from FROM goat_sessions";
    let url = Postgres::shared().create_database();
    let database = open(&url);
    migrate(&database).await.expect("a schema");
    let sessions = database.sessions();
    let mut session = session(goat_core::UserId::generate(now()));
    sessions.create(&session, 9).await.expect("the store responds");
    Postgres::shared().psql(name(&url), INSERT);
    session.id = "01KDVDNXVVEKN867AEX50T9TYB".parse().expect("an id");
    let found = sessions.find(session.user, session.id).await.expect("the store responds");
    assert_eq!(found.map(|view| view.session), Some(session));
}
