//! goat's conformance suite against the application's table, and tests of the table's own rules.

use std::sync::Arc;

use goat_core::store::{UserChange, UserSnapshot, UserStore, UserWrite};
use goat_core::user::Account;
use goat_core::{ErrorKind, Role, testing};
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

use super::adopt;
use super::store::{ADMIN, People};

async fn library() -> (TempDir, SqlitePool) {
    let folder = tempfile::tempdir().expect("a folder");
    let pool = adopt::open(&folder.path().join("library.db")).await.expect("a database");
    (folder, pool)
}

#[tokio::test(flavor = "multi_thread")]
async fn people_pass_the_user_store_conformance_suite() {
    let (_folder, pool) = library().await;
    let store: Arc<dyn UserStore> = Arc::new(People::new(pool));
    testing::users::conformance(&store).await;
}

/// Adopted people get ids with their joining time.
#[tokio::test]
async fn adopted_people_are_listed_in_the_order_of_their_ids() {
    let (_folder, pool) = library().await;
    let store: Arc<dyn UserStore> = Arc::new(People::new(pool));
    testing::users::ids_match_creation_times(&store).await;
}

async fn run(pool: &SqlitePool, statement: &'static str) -> sqlx::Result<()> {
    sqlx::raw_sql(statement).execute(pool).await.map(|_| ())
}

/// Ann, one of the original people.
async fn ann(store: &People) -> Account {
    let found = store.by_email("ann@xn--bcher-kva.example").await.expect("a result");
    found.expect("Ann")
}

#[tokio::test]
async fn only_the_flag_makes_an_administrator() {
    let (_folder, pool) = library().await;
    let store = People::new(pool.clone());
    let admin = Role::parse(ADMIN).expect("a role");
    run(&pool, "UPDATE people SET position = 'admin'").await.expect("written");
    assert_eq!(ann(&store).await.user.role.as_str(), "reader");
    run(&pool, "UPDATE people SET position = 'librarian'").await.expect("written");

    for (role, flag) in [(&admin, true), (&Role::parse("librarian").expect("a role"), false)] {
        let decide = |snapshot: &UserSnapshot| {
            let mut account = snapshot.target.clone().ok_or(ErrorKind::NotFound)?;
            account.user.role = role.clone();
            Ok(UserChange::Put(account))
        };
        let target = ann(&store).await.user.id;
        let write = UserWrite { actor: None, target, top_role: &admin, decide: &decide };
        store.write(write).await.expect("a result");
        assert_eq!(ann(&store).await.user.role, *role);
        let query = "SELECT position, is_admin, full_name, books_lent FROM people \
                     WHERE person_id = 2";
        let row: (String, bool, String, i64) =
            sqlx::query_as(query).fetch_one(&pool).await.expect("a row");
        assert_eq!(row, ("librarian".into(), flag, "Ann O'Hara".into(), 3));
    }
}

#[tokio::test]
async fn external_writes_raise_the_revision_and_blocking_ends_all_sessions() {
    let (_folder, pool) = library().await;
    let store = People::new(pool.clone());
    let before = ann(&store).await;
    for (statement, expected) in [
        ("UPDATE people SET books_lent = 4", (0, 0)),
        ("UPDATE people SET position = 'librarian'", (1, 0)),
        ("UPDATE people SET blocked = 1", (2, 1)),
        ("UPDATE people SET blocked = 0", (3, 1)),
    ] {
        run(&pool, statement).await.expect("written");
        let now = ann(&store).await;
        let raised = (now.revision - before.revision, now.epoch.number - before.epoch.number);
        assert_eq!(raised, expected, "{statement}");
    }
}

#[tokio::test]
async fn external_inserts_and_mail_changes_are_rejected() {
    let (_folder, pool) = library().await;
    let add =
        "INSERT INTO people (mail, pass_hash, joined_at, changed_at) VALUES ('a@b', '', 0, 0)";
    for statement in [add, "UPDATE people SET mail = 'other@example.org' WHERE person_id = 2"] {
        let error = run(&pool, statement).await.expect_err("rejected by a trigger");
        assert!(error.to_string().contains("through goat"), "{error}");
    }
}

/// The adoption is rolled back, so that older programs keep working until the conflict is resolved.
#[tokio::test]
async fn a_duplicate_address_fails_the_adoption_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("library.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.expect("a database");
    run(&pool, include_str!("people.sql")).await.expect("the table as it was");
    let add = "INSERT INTO people (mail, pass_hash, joined_at, changed_at) \
               VALUES ('ANN@Bücher.example', '', 0, 0)";
    run(&pool, add).await.expect("a different spelling is a different text");

    let error = adopt::open(&path).await.expect_err("a duplicate address");
    assert!(error.to_string().starts_with("person 3 shares a mail address"), "{error}");
    run(&pool, "UPDATE people SET mail = 'ann@example.org' WHERE person_id = 3")
        .await
        .expect("resolved");
    adopt::open(&path).await.expect("adopted");
}
