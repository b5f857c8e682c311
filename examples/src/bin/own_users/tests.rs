//! The store over the application's table, against the suite of goat's port, and what the suite
//! cannot know of this table.

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
async fn the_people_of_the_application_conform_as_users() {
    let (_folder, pool) = library().await;
    let store: Arc<dyn UserStore> = Arc::new(People::new(pool));
    testing::users::conformance(&store).await;
}

/// The ids of people who were there before are made for the time at which they joined.
#[tokio::test]
async fn people_who_were_there_before_stand_in_lists_where_their_ids_say() {
    let (_folder, pool) = library().await;
    let store: Arc<dyn UserStore> = Arc::new(People::new(pool));
    testing::users::ids_match_creation_times(&store).await;
}

async fn run(pool: &SqlitePool, statement: &'static str) -> sqlx::Result<()> {
    sqlx::raw_sql(statement).execute(pool).await.map(|_| ())
}

/// Ann, as she was in the table before goat came.
async fn ann(store: &People) -> Account {
    let found = store.by_email("ann@xn--bcher-kva.example").await.expect("the store answers");
    found.expect("Ann")
}

#[tokio::test]
async fn the_flag_alone_makes_an_administrator() {
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
        store.write(write).await.expect("the store answers");
        assert_eq!(ann(&store).await.user.role, *role);
        let query = "SELECT position, is_admin, full_name, books_lent FROM people \
                     WHERE person_id = 2";
        let row: (String, bool, String, i64) =
            sqlx::query_as(query).fetch_one(&pool).await.expect("a row");
        assert_eq!(row, ("librarian".into(), flag, "Ann O'Hara".into(), 3));
    }
}

#[tokio::test]
async fn what_other_programs_write_is_counted_and_who_is_blocked_loses_all_sessions() {
    let (_folder, pool) = library().await;
    let store = People::new(pool.clone());
    let before = ann(&store).await;
    for (statement, rises) in [
        ("UPDATE people SET books_lent = 4", (0, 0)),
        ("UPDATE people SET position = 'librarian'", (1, 0)),
        ("UPDATE people SET blocked = 1", (2, 1)),
        ("UPDATE people SET blocked = 0", (3, 1)),
    ] {
        run(&pool, statement).await.expect("written");
        let now = ann(&store).await;
        let risen = (now.revision - before.revision, now.epoch.number - before.epoch.number);
        assert_eq!(risen, rises, "{statement}");
    }
}

#[tokio::test]
async fn what_only_goat_can_write_right_is_refused_to_others() {
    let (_folder, pool) = library().await;
    let add =
        "INSERT INTO people (mail, pass_hash, joined_at, changed_at) VALUES ('a@b', '', 0, 0)";
    for statement in [add, "UPDATE people SET mail = 'other@example.org' WHERE person_id = 2"] {
        let refused = run(&pool, statement).await.expect_err("a trigger refuses");
        assert!(refused.to_string().contains("through goat"), "{refused}");
    }
}

/// Nothing is adopted then, so that the older programs can go on until it is mended.
#[tokio::test]
async fn a_table_where_two_share_an_address_stops_the_start_and_stays_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("library.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.expect("a database");
    run(&pool, include_str!("people.sql")).await.expect("the table as it was");
    let add = "INSERT INTO people (mail, pass_hash, joined_at, changed_at) \
               VALUES ('ANN@Bücher.example', '', 0, 0)";
    run(&pool, add).await.expect("another spelling is another text");

    let refused = adopt::open(&path).await.expect_err("two are one");
    assert!(refused.to_string().starts_with("person 3 shares a mail address"), "{refused}");
    run(&pool, "UPDATE people SET mail = 'ann@example.org' WHERE person_id = 3")
        .await
        .expect("mended");
    adopt::open(&path).await.expect("adopted");
}
