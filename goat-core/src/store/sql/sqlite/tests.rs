//! SQLite specifics: the file, the schema, several processes, and malformed rows. The guarantees of the
//! ports are in the conformance suites.

mod lists;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use tempfile::TempDir;

use super::dialect::{BEGIN, CREATE_MIGRATIONS, MIGRATIONS};
use super::{SqliteDatabase, SqliteOptions};
use crate::access::Role;
use crate::error::{ErrorKind, Result, StoreError};
use crate::id::{SessionId, UserId};
use crate::page::PAGE_REACH;
use crate::session::SessionEpoch;
use crate::store::sql::schema::Migration;
use crate::store::sql::{MigrateOptions, SchemaState};
use crate::store::{UserChange, UserSnapshot, UserStore, UserWrite, UserWriteOutcome};
use crate::testing::sample::{START, account, account_of, race, role, session, word};
use crate::user::{Account, Attributes, UserFilter, UserQuery};

fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("goat.db");
    (folder, path)
}

async fn open(path: &PathBuf) -> SqliteDatabase {
    SqliteDatabase::open(SqliteOptions::new(path)).await.expect("a database")
}

async fn migrated() -> (TempDir, SqliteDatabase) {
    let (folder, path) = file();
    let database = open(&path).await;
    database.migrate(MigrateOptions::default()).await.expect("a schema");
    (folder, database)
}

async fn run(database: &SqliteDatabase, sql: &'static str) {
    let mut writer = database.pools.write.acquire().await.expect("the writer");
    sqlx::raw_sql(sql).execute(&mut *writer).await.expect("valid SQL");
}

async fn number(database: &SqliteDatabase, sql: &'static str) -> i64 {
    let mut reader = database.pools.read.acquire().await.expect("a reader");
    sqlx::query_scalar(sql).fetch_one(&mut *reader).await.expect("a number")
}

async fn state(database: &SqliteDatabase) -> SchemaState {
    database.schema_state().await.expect("the database responds")
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("an error").kind()
}

async fn put(
    users: &Arc<dyn UserStore>,
    account: &Account,
) -> Result<UserWriteOutcome, StoreError> {
    let decide = |_: &UserSnapshot| Ok(UserChange::Put(account.clone()));
    let (target, top_role) = (account.user.id, &account.user.role);
    users
        .write(UserWrite {
            actor: None,
            key: None,
            target,
            top_role,
            assigns: None,
            decide: &decide,
        })
        .await
}

#[tokio::test]
async fn new_file_is_empty_until_it_is_migrated() {
    let (_folder, path) = file();
    let database = open(&path).await;
    assert_eq!(state(&database).await, SchemaState::Empty);
    let taken = database.migrate(MigrateOptions::default()).await.expect("a schema");
    assert_eq!(taken, MIGRATIONS.iter().map(|migration| migration.name).collect::<Vec<_>>());
    assert_eq!(state(&database).await, SchemaState::Current);
    let taken = database.migrate(MigrateOptions::default()).await.expect("a schema");
    assert_eq!(taken, [""; 0]);
}

#[tokio::test]
async fn data_survives_reopening_the_file() {
    let (folder, database) = migrated().await;
    let account = account(&role());
    put(&database.users(), &account).await.expect("the store responds");
    database.close().await;
    let error = database.users().ping().await.expect_err("it is closed");
    assert!(error.is_unavailable());
    let database = open(&folder.path().join("goat.db")).await;
    assert_eq!(state(&database).await, SchemaState::Current);
    let found = database.users().by_id(account.user.id).await.expect("the store responds");
    assert_eq!(found.expect("the user").user, account.user);
}

/// W4.
#[tokio::test]
async fn readiness_check_has_a_connection_that_no_call_exhausts() {
    let (_folder, path) = file();
    // Also the time that a busy machine has for opening the file.
    let busy_timeout = Duration::from_secs(4);
    let options = SqliteOptions { readers: 1, busy_timeout, ..SqliteOptions::new(&path) };
    let database = SqliteDatabase::open(options).await.expect("a database");
    database.migrate(MigrateOptions::default()).await.expect("a schema");
    let _reader = database.pools.read.acquire().await.expect("the reader");
    let _writer = database.pools.write.acquire().await.expect("the writer");
    let error = database.users().sample_hashes(1).await.expect_err("no reader is left");
    assert!(error.is_unavailable(), "{error:?}");
    database.users().ping().await.expect("the database responds");
    database.sessions().ping().await.expect("the database responds");
}

/// A process of the version before writes users without the column of attributes, and leaves those that
/// are stored.
#[tokio::test]
async fn users_are_written_without_the_column_of_attributes() {
    let (_folder, database) = migrated().await;
    run(
        &database,
        "INSERT INTO goat_users (id, email, email_canonical, email_domain, role, status, \
         password_hash, created_at, updated_at, last_login_at, session_epoch, kept_session, \
         revision, token_replacement) VALUES ('01KE1Q0J0000000000000000YY', 'a@b', 'a@b', \
         'b', 'client', 'active', '', 1, 1, 0, 0, NULL, 1, NULL)",
    )
    .await;
    let id = UserId::parse("01KE1Q0J0000000000000000YY").expect("an id");
    let users = database.users();
    let mut account = users.by_id(id).await.expect("the store responds").expect("the user");
    assert!(account.user.attributes.is_empty());
    account.user.attributes = Attributes::from_stored(r#"{"plan":"pro"}"#).expect("attributes");
    put(&users, &account).await.expect("the store responds");
    run(&database, "UPDATE goat_users SET email = 'c@b', revision = 3").await;
    let read = users.by_id(id).await.expect("the store responds").expect("the user");
    assert_eq!((read.user.attributes, read.revision), (account.user.attributes, 3));
}

/// O5.
#[tokio::test]
async fn interrupted_migration_is_rolled_back() {
    const BROKEN: &[Migration] = &[Migration {
        version: 1,
        name: "broken",
        sql: "CREATE TABLE goat_users (id TEXT); CREATE TABLE nonsense (",
    }];
    let (_folder, path) = file();
    let database = open(&path).await;

    let mut writer = database.pools.write.acquire().await.expect("the writer");
    let mut transaction = writer.begin_with(BEGIN).await.expect("a transaction");
    sqlx::raw_sql(CREATE_MIGRATIONS).execute(&mut *transaction).await.expect("a table");
    sqlx::raw_sql(MIGRATIONS[0].sql).execute(&mut *transaction).await.expect("tables");
    drop(transaction);
    drop(writer);
    assert_eq!(state(&database).await, SchemaState::Empty);

    database.step(MigrateOptions::default(), BROKEN).await.expect_err("a broken step");
    assert_eq!(state(&database).await, SchemaState::Empty);

    database.migrate(MigrateOptions::default()).await.expect("a schema");
    assert_eq!(state(&database).await, SchemaState::Current);
}

/// O5.
#[tokio::test]
async fn schema_of_a_newer_version_is_rejected() {
    let (_folder, database) = migrated().await;
    run(&database, "INSERT INTO goat_migrations (version, name, checksum) VALUES (99, 'x', 'y')")
        .await;
    assert_eq!(state(&database).await, SchemaState::Ahead);
    let adopting = MigrateOptions { adopt_foreign: true };
    for options in [MigrateOptions::default(), adopting] {
        assert_eq!(kind(database.migrate(options).await), ErrorKind::Configuration);
    }
}

/// O5.
#[tokio::test]
async fn schema_with_another_checksum_is_rejected() {
    let (_folder, database) = migrated().await;
    run(&database, "UPDATE goat_migrations SET checksum = 'another'").await;
    assert_eq!(kind(database.schema_state().await), ErrorKind::Configuration);
    assert_eq!(kind(database.migrate(MigrateOptions::default()).await), ErrorKind::Configuration);
}

#[tokio::test]
async fn foreign_tables_are_rejected_or_left_unchanged() {
    let (_folder, path) = file();
    let database = open(&path).await;
    run(&database, "CREATE TABLE books (title TEXT); INSERT INTO books VALUES ('Emma')").await;
    assert_eq!(state(&database).await, SchemaState::Foreign(vec!["books".to_owned()]));
    let error = database.migrate(MigrateOptions::default()).await.expect_err("an error");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("books"), "{error}");
    assert_eq!(number(&database, "SELECT COUNT(*) FROM sqlite_master").await, 1);

    database.migrate(MigrateOptions { adopt_foreign: true }).await.expect("a schema");
    assert_eq!(state(&database).await, SchemaState::Current);
    assert_eq!(number(&database, "SELECT COUNT(*) FROM books WHERE title = 'Emma'").await, 1);
}

#[cfg(unix)]
#[tokio::test]
async fn created_files_are_accessible_to_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let (folder, _database) = migrated().await;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder.path()).expect("a folder") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("its rights").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().expect("a name"));
    }
    names.sort();
    assert_eq!(names, ["goat.db", "goat.db-shm", "goat.db-wal"]);
}

#[tokio::test]
async fn path_that_cannot_be_a_database_is_rejected() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join("text");
    std::fs::write(&text, "this is a letter and no database, ".repeat(99)).expect("a file");
    let paths =
        [text, folder.path().to_owned(), folder.path().join("no/folder"), ":memory:".into()];
    for path in paths {
        let opened = SqliteDatabase::open(SqliteOptions::new(&path)).await;
        assert_eq!(kind(opened), ErrorKind::Configuration, "{}", path.display());
    }
}

#[tokio::test]
async fn utf_16_database_is_rejected() {
    use sqlx::{ConnectOptions as _, Connection as _};

    let (_folder, path) = file();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut other = options.connect().await.expect("a database");
    let sql = "PRAGMA encoding = 'UTF-16le'; CREATE TABLE books (title TEXT)";
    sqlx::raw_sql(sql).execute(&mut other).await.expect("valid SQL");
    other.close().await.expect("it closes");
    let error = SqliteDatabase::open(SqliteOptions::new(&path)).await.expect_err("an error");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("encoding UTF-16le"), "{error}");
}

/// Separate pools, as in several processes, on a file that does not exist yet.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_processes_open_migrate_and_write_one_file() {
    let (_folder, path) = file();
    let account = account(&role());
    let id = account.user.id;
    let steps = race(10, |_| {
        let (path, account) = (path.clone(), account.clone());
        async move {
            let database = open(&path).await;
            let steps = database.migrate(MigrateOptions::default()).await.expect("a schema");
            let users = database.users();
            for _ in 0..5 {
                let decide = |snapshot: &UserSnapshot| {
                    let mut account = snapshot.target.clone().unwrap_or_else(|| account.clone());
                    account.epoch = account.epoch.next(None);
                    Ok(UserChange::Put(account))
                };
                let top_role = &account.user.role;
                let write = UserWrite {
                    actor: None,
                    key: None,
                    target: id,
                    top_role,
                    assigns: None,
                    decide: &decide,
                };
                users.write(write).await.expect("the store responds");
            }
            steps.len()
        }
    })
    .await;
    assert_eq!(steps.iter().sum::<usize>(), MIGRATIONS.len());
    let users = open(&path).await.users();
    let found = users.by_id(id).await.expect("the store responds").expect("the user");
    assert_eq!(found.epoch.number, 50);
}

/// O1.
#[tokio::test]
async fn file_locked_by_another_process_is_unavailable_until_released() {
    let (folder, other) = migrated().await;
    let options = SqliteOptions {
        busy_timeout: Duration::from_secs(4),
        ..SqliteOptions::new(folder.path().join("goat.db"))
    };
    let users = SqliteDatabase::open(options).await.expect("a database").users();
    let account = account(&role());
    let mut writer = other.pools.write.acquire().await.expect("the writer");
    let held = writer.begin_with(BEGIN).await.expect("a transaction");
    let error = put(&users, &account).await.expect_err("the file is held");
    assert!(error.is_unavailable(), "{error:?}");
    assert_eq!(error.operation(), "users.write");
    assert!(users.by_id(account.user.id).await.expect("reads continue").is_none());
    held.rollback().await.expect("the end of it");
    put(&users, &account).await.expect("the store answers again");
}

/// O1.
#[tokio::test]
async fn full_disk_is_unavailable_and_stores_nothing() {
    let (_folder, database) = migrated().await;
    // No page beyond the present ones.
    run(&database, "PRAGMA max_page_count = 1").await;
    let mut session = session(UserId::generate(START), START);
    session.device = "x".repeat(100_000);
    let error = database.sessions().create(&session, 9).await.expect_err("no room");
    assert!(error.is_unavailable(), "{error:?}");
    assert!(database.sessions().find(session.user, session.id).await.expect("an answer").is_none());
}

/// Makes the next commits of the writer fail, and SQLite roll them back by itself, as on a full disk.
async fn refuse_commits(database: &SqliteDatabase) {
    let mut writer = database.pools.write.acquire().await.expect("the writer");
    writer.lock_handle().await.expect("its handle").set_commit_hook(|| false);
}

/// O1: after a failed commit a connection may be inside or outside a transaction.
#[tokio::test]
async fn connection_whose_commit_failed_is_closed() {
    let (_folder, database) = migrated().await;
    let (users, sessions) = (database.users(), database.sessions());
    let owner = account(&role());
    for _ in 0..3 {
        refuse_commits(&database).await;
        put(&users, &owner).await.expect_err("its commit fails");
        assert!(users.by_id(owner.user.id).await.expect("the store responds").is_none());
        sessions.create(&session(owner.user.id, START), 9).await.expect("another connection");
        refuse_commits(&database).await;
        users.signed_in(owner.user.id, START, None).await.expect_err("its commit fails");
        users.signed_in(owner.user.id, START, None).await.expect("another connection");
    }
    put(&users, &owner).await.expect("another connection");
}

/// O1: a write that is dropped at any await is applied or not, and the writer is free for the next.
#[tokio::test]
async fn dropped_writes_leave_no_open_transaction() {
    let (_folder, database) = migrated().await;
    let users = database.users();
    let mut owner = account(&role());
    put(&users, &owner).await.expect("the store responds");
    let mut completed = 0;
    for polls in 0..60 {
        owner.epoch = owner.epoch.next(None);
        {
            let mut call = std::pin::pin!(put(&users, &owner));
            let mut polled = 0;
            let done = std::future::poll_fn(|context| {
                polled += 1;
                if polled > polls {
                    return std::task::Poll::Ready(false);
                }
                call.as_mut().poll(context).map(|written| written.is_ok())
            });
            completed += usize::from(done.await);
        }
        users.signed_in(owner.user.id, START, None).await.expect("the writer is free");
        owner = users.by_id(owner.user.id).await.expect("an answer").expect("the user");
    }
    assert!(completed > 0, "the last drops come after the last await");
}

/// O1: a database that refused a write is not ready until it accepts one.
#[tokio::test]
async fn ping_fails_while_writes_are_refused() {
    let (_folder, database) = migrated().await;
    let users = database.users();
    let set_read_only = async |is_on: &'static str| {
        // Also on connections that replace one that was refused.
        database.pools.write.change_options(|options| options.pragma("query_only", is_on));
        let mut writer = database.pools.write.acquire().await.expect("the writer");
        let pragma = sqlx::AssertSqlSafe(format!("PRAGMA query_only = {is_on}"));
        sqlx::raw_sql(pragma).execute(&mut *writer).await.expect("valid SQL");
    };
    set_read_only("ON").await;
    users.ping().await.expect("no write was refused yet");
    put(&users, &account(&role())).await.expect_err("read-only");
    for _ in 0..3 {
        assert!(users.ping().await.expect_err("read-only").is_unavailable());
    }
    assert_eq!(kind(database.check_writable().await), ErrorKind::Configuration);
    set_read_only("OFF").await;
    users.ping().await.expect("a write succeeds");
    database.check_writable().await.expect("a write succeeds");
    set_read_only("ON").await;
    users.ping().await.expect("no write was refused since");
}

#[tokio::test]
async fn malformed_rows_are_errors() {
    let (_folder, database) = migrated().await;
    let users = database.users();
    let odd = account(&Role::parse("role_of_another_set").expect("a role"));
    put(&users, &odd).await.expect("the store responds");
    let read = async || users.by_id(odd.user.id).await;
    assert_eq!(read().await.expect("a user").expect("a user").user, odd.user);
    for spoil in [
        "UPDATE goat_users SET status = 'asleep'",
        "UPDATE goat_users SET status = 'active', role = 'Not A Role'",
        "UPDATE goat_users SET role = 'client', session_epoch = -1",
        "UPDATE goat_users SET session_epoch = 0, kept_session = 'x'",
    ] {
        run(&database, spoil).await;
        let error = read().await.expect_err(spoil);
        assert!(!error.is_unavailable(), "{error:?}");
        assert!(!format!("{error:?}").contains("asleep"), "{error:?}");
    }
    run(&database, "UPDATE goat_users SET kept_session = NULL").await;
    assert!(read().await.expect("a user").is_some());
}

/// L1: an error contains no value from SQLite's message.
#[tokio::test]
async fn error_names_the_operation_and_no_value() {
    let (_folder, database) = migrated().await;
    let mut session = session(UserId::generate(START), START);
    session.device = "canary".to_owned();
    let sessions = database.sessions();
    sessions.create(&session, 9).await.expect("the store responds");
    let error = sessions.create(&session, 9).await.expect_err("the same id twice");
    assert_eq!((error.operation(), error.is_unavailable()), ("sessions.create", false));
    let shown = format!("{error:?}");
    assert!(shown.contains("goat_sessions.id"), "{shown}");
    assert!(!shown.contains("canary") && !shown.contains(&session.id.to_string()), "{shown}");
}

#[tokio::test]
async fn session_is_found_with_its_user_in_the_same_database() {
    let (_folder, database) = migrated().await;
    let mut owner = account(&role());
    owner.epoch = SessionEpoch { number: 3, kept: Some(SessionId::generate(START)) };
    put(&database.users(), &owner).await.expect("the store responds");
    let (owned, stray) = (session(owner.user.id, START), session(UserId::generate(START), START));
    let sessions = database.sessions();
    for session in [&owned, &stray] {
        sessions.create(session, 9).await.expect("the store responds");
    }
    let found = sessions
        .find(owned.user, owned.id)
        .await
        .expect("the store responds")
        .expect("the session");
    let state = database.users().state(owner.user.id).await.expect("the store responds");
    assert_eq!((&found.session, found.owner), (&owned, state));
    let found = sessions
        .find(stray.user, stray.id)
        .await
        .expect("the store responds")
        .expect("the session");
    assert_eq!(found.owner, None);
    let alone = database.sessions_without_users();
    let found =
        alone.find(owned.user, owned.id).await.expect("the store responds").expect("the session");
    assert_eq!((found.session, found.owner), (owned, None));
}

#[tokio::test]
async fn total_is_exact_up_to_ten_thousand() {
    let (_folder, database) = migrated().await;
    let users = database.users();
    let role = role();
    let model = account(&role);
    put(&users, &model).await.expect("the store responds");
    sqlx::query(
        "WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers LIMIT $1) \
         INSERT INTO goat_users SELECT printf('%026d', n), email, n || email_canonical, \
         email_domain, role, status, password_hash, created_at, updated_at, last_login_at, \
         session_epoch, kept_session, revision, token_replacement, attributes, \
         email_verified_at FROM numbers, goat_users",
    )
    .bind(i64::try_from(PAGE_REACH).expect("a small number") - 1)
    .execute(&mut *database.pools.write.acquire().await.expect("the writer"))
    .await
    .expect("valid SQL");
    let filter = UserFilter { roles: vec![role.clone()], ..UserFilter::default() };
    let query = UserQuery { filter, hidden_roles: Vec::new(), except: Some(model.user.id) };
    let total = async || {
        let page = users.list(&query).await.expect("the store responds");
        (page.users.len(), page.total, page.total_is_lower_bound)
    };
    assert_eq!(total().await, (20, PAGE_REACH, false));
    let one_more = account_of(&role, &format!("{}@example.org", word()));
    put(&users, &one_more).await.expect("the store responds");
    assert_eq!(total().await, (20, PAGE_REACH, true));
}

/// A session as a node of an earlier version inserts it.
const INSERT_OF_BEFORE: &str = "INSERT INTO goat_sessions (id, user_id, epoch, device, address, created_at, last_used_at, idle_at, ends_at, current_id, \
    current_issued_at, current_expires_at, current_key, previous_id, previous_used_at, \
    previous_used_from) \
    SELECT '01KDVDNXVVEKN867AEX50T9TYB', user_id, epoch, device, address, created_at, last_used_at, idle_at, ends_at, current_id, \
    current_issued_at, current_expires_at, current_key, previous_id, previous_used_at, \
    previous_used_from FROM goat_sessions";

/// The only proof of such a session is its password.
#[tokio::test]
async fn session_of_an_earlier_version_has_the_proof_of_its_login() {
    let (_folder, database) = migrated().await;
    let mut session = session(UserId::generate(START), START);
    let sessions = database.sessions();
    sessions.create(&session, 9).await.expect("the store responds");
    run(&database, INSERT_OF_BEFORE).await;
    session.id = SessionId::parse("01KDVDNXVVEKN867AEX50T9TYB").expect("an id");
    let found = sessions.find(session.user, session.id).await.expect("the store responds");
    assert_eq!(found.map(|view| view.session), Some(session));
}
