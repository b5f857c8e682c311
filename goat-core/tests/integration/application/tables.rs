//! An existing table of the application that holds goat's users.

use std::sync::Arc;

use goat_core::auth::SignUp;
use goat_core::session::Origin;
use goat_core::store::sql::UserTable;
use goat_core::user::AttributePatch;
use goat_core::{Actor, Email, ErrorKind, Role, Stores, UserId, testing};
use serde_json::json;

use super::support;
use crate::flows::support::{Backend, Harness, PASSWORD, address};

const PEOPLE: UserTable = UserTable {
    name: "people",
    id: "id",
    email: "mail",
    password_hash: "pass_hash",
    role: "position",
};

/// A hash of [`PASSWORD`] by the tests' hasher.
const HASH: &str = "plain$0$YSBsb25nIHdhbGsgb24gYSBzaG9ydCBwaWVy";

fn request(name: &str) -> SignUp {
    SignUp {
        email: Email::parse(&address(name)).expect("an address"),
        password: Some(PASSWORD.into()),
        origin: Origin::default(),
    }
}

macro_rules! on_every_database {
    ($($database:ident, $uuid:literal, $bytes:literal, $serial:literal;)*) => {$(
        mod $database {
            use super::*;

            type Db = impl_db!($database);

            async fn people(pool: &sqlx::Pool<Db>, id: &str) {
                let create = format!(
                    "CREATE TABLE people (id {id}, mail VARCHAR(200) UNIQUE, pass_hash VARCHAR(200), \
                     position VARCHAR(32) NOT NULL DEFAULT 'client', full_name TEXT)"
                );
                sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(pool).await.expect("a table");
            }

            async fn run(pool: &sqlx::Pool<Db>, sql: &'static str) -> sqlx::Result<()> {
                sqlx::raw_sql(sql).execute(pool).await.map(|_| ())
            }

            async fn text(pool: &sqlx::Pool<Db>, sql: &'static str) -> String {
                sqlx::query_scalar(sql).fetch_one(pool).await.expect(sql)
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn stores_over_the_table_conform() {
                tokio::join!(conforms($uuid), conforms($bytes), conforms($serial));
            }

            async fn conforms(id: &str) {
                let (_guard, pool, database) = support::$database().await;
                people(&pool, id).await;
                let database = database.adopt(PEOPLE).await.expect("a plan");
                let database = database.apply().await.expect("adopted");
                testing::users::conformance(&database.users()).await;
                testing::roles::conformance_with_users(&database.roles(), &database.users()).await;
                let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM people")
                    .fetch_one(&pool).await.expect("a number");
                assert!(rows > 10, "the users are rows of the table: {rows}");
                let own: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM goat_users")
                    .fetch_one(&pool).await.expect("a number");
                assert_eq!(own, 0);
                database.check_writable().await.expect("writes");
            }

            /// UUIDs are goat's ids, and those of new rows are of version 7 (RFC 9562).
            #[tokio::test(flavor = "multi_thread")]
            async fn existing_people_sign_in_and_new_ones_get_a_row() {
                let (_guard, pool, database) = support::$database().await;
                people(&pool, $uuid).await;
                let insert = "INSERT INTO people (id, mail, pass_hash, position, full_name) VALUES \
                    ('c2d29867-3d0b-4497-9191-18a9d8ee7830', 'Ann@Example.org', $1, 'operator', 'Ann')";
                sqlx::query(insert).bind(HASH).execute(&pool).await.expect("a row");
                let plan = database.adopt(PEOPLE).await.expect("a plan");
                let shown = plan.to_string();
                assert!(shown.contains("ALTER TABLE \"people\" ADD COLUMN \"goat_id\""), "{shown}");
                assert!(shown.ends_with("-- 1 rows of people to be completed"), "{shown}");
                assert!(!plan.is_empty());
                run(&pool, "SELECT goat_id FROM people").await.expect_err("not before `apply`");
                let database = plan.apply().await.expect("adopted");
                assert!(database.adopt(PEOPLE).await.expect("a plan").is_empty());

                let stores = Stores { users: database.users(), roles: database.roles(), ..Stores::memory() };
                let harness = Harness::on(Backend::over(stores));
                let ann = harness.sign_in("ann").await.user;
                assert_eq!(ann.id, UserId::from_u128(0xc2d2_9867_3d0b_4497_9191_18a9_d8ee_7830));
                assert_eq!(ann.role.as_str(), "operator");
                let role = Role::parse("client").expect("a role");
                harness.goat.users().change_role(Actor::system("test"), ann.id, role).await.expect("changed");
                assert_eq!(text(&pool, "SELECT position FROM people").await, "client");
                assert_eq!(text(&pool, "SELECT full_name FROM people").await, "Ann");

                let mut transaction = pool.begin().await.expect("begun");
                let bob = harness.goat.sign_up_in(&mut transaction, request("bob")).await.expect("signed up");
                let name = sqlx::query("UPDATE people SET full_name = $2 WHERE goat_id = $1");
                name.bind(bob.id.to_string()).bind("Bob").execute(&mut *transaction).await.expect("named");
                transaction.commit().await.expect("committed");
                let bob = bob.committed().await;
                let id = text(&pool, "SELECT CAST(id AS TEXT) FROM people WHERE full_name = 'Bob'").await;
                assert_eq!(id.replace('-', ""), format!("{:032x}", bob.id.as_u128()));
                assert_eq!((id.len(), &id[14..15]), (36, "7"), "{id}");
                assert!("89ab".contains(&id[19..20]), "{id}");
                harness.sign_in("bob").await;
                let taken = harness.goat.sign_up(request("ann")).await.expect_err("taken");
                assert_eq!(taken.kind(), ErrorKind::EmailTaken);

                harness.goat.users().delete(Actor::system("test"), ann.id).await.expect("deleted");
                assert_eq!(text(&pool, "SELECT full_name FROM people").await, "Bob");
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn later_rows_are_completed_and_numbers_get_an_id_of_goat() {
                let (_guard, pool, database) = support::$database().await;
                people(&pool, $serial).await;
                let database = database.adopt(PEOPLE).await.expect("a plan").apply().await.expect("adopted");
                run(&pool, "INSERT INTO people (mail) VALUES ('ann@example.org')").await.expect("a row");
                let users = database.users();
                assert!(users.by_email("ann@example.org").await.expect("a result").is_none());
                let plan = database.adopt(PEOPLE).await.expect("a plan");
                assert_eq!(plan.to_string(), "-- 1 rows of people to be completed");
                let database = plan.apply().await.expect("adopted");
                let ann = database.users().by_email("ann@example.org").await.expect("a result");
                assert_eq!(ann.expect("Ann").password_hash.expose().as_str(), "");
            }

            /// An application that adopted its table with an earlier version has neither attributes nor the time
            /// of a verification, and its running processes write users without these columns: an address that
            /// such a process changes is not verified.
            #[tokio::test(flavor = "multi_thread")]
            async fn a_later_column_is_shown_added_and_not_required() {
                let (_guard, pool, database) = support::$database().await;
                people(&pool, $uuid).await;
                let database = database.adopt(PEOPLE).await.expect("a plan").apply().await.expect("adopted");
                let old = "DROP VIEW goat_application_users; \
                    ALTER TABLE people DROP COLUMN goat_attributes; \
                    ALTER TABLE people DROP COLUMN goat_email_verified_at; \
                    UPDATE goat_application SET definition = 'old'";
                run(&pool, old).await.expect("the version before");
                let plan = database.adopt(PEOPLE).await.expect("a plan");
                let shown = plan.to_string();
                let added: Vec<_> =
                    shown.lines().filter(|line| line.starts_with("ALTER")).collect();
                assert_eq!(added.len(), 2, "{shown}");
                for (added, column) in added.iter().zip(["goat_attributes", "goat_email_verified_at"]) {
                    let begin = format!("ALTER TABLE \"people\" ADD COLUMN \"{column}\"");
                    assert!(added.starts_with(&begin), "{added}");
                }
                let database = plan.apply().await.expect("adopted");
                let insert = "INSERT INTO goat_application_users (id, email, email_canonical, \
                    email_domain, role, status, password_hash, created_at, updated_at, last_login_at, \
                    session_epoch, kept_session, revision, token_replacement) VALUES \
                    ('01KE1Q0J0000000000000000YY', 'a@b.example', 'a@b.example', 'b.example', 'client', 'active', '', 1, 1, 0, 0, NULL, 1, NULL)";
                run(&pool, insert).await.expect("written without the column");
                let stores = Stores { users: database.users(), roles: database.roles(), ..Stores::memory() };
                let goat = Harness::on(Backend::over(stores)).goat;
                let ann = goat.users().find_by_email(&Email::parse("a@b.example").expect("an address")).await;
                let ann = ann.expect("a result").expect("the user");
                let patch = AttributePatch::parse(json!({ "plan": "pro" })).expect("a patch");
                goat.users().change_attributes(Actor::system("test"), ann.id, patch).await.expect("changed");
                assert_eq!(text(&pool, "SELECT goat_attributes FROM people").await, "{\"plan\":\"pro\"}");

                run(&pool, "UPDATE people SET goat_email_verified_at = 5").await.expect("verified");
                for (change, verified_at) in [
                    ("UPDATE goat_application_users SET email = 'A@b.example', revision = revision + 1", "5"),
                    ("UPDATE goat_application_users SET email = 'c@b.example', \
                      email_canonical = 'c@b.example', revision = revision + 1", "none"),
                ] {
                    run(&pool, change).await.expect("written without the column");
                    let read = "SELECT COALESCE(CAST(goat_email_verified_at AS TEXT), 'none') FROM people";
                    assert_eq!(text(&pool, read).await, verified_at, "{change}");
                }
            }

            /// L1: an error names a row, and no address.
            #[tokio::test(flavor = "multi_thread")]
            async fn a_row_that_cannot_be_a_user_is_named_and_nothing_changes() {
                for (values, reason) in [
                    ("('canary', 'client')", "the row 2 of people has an e-mail address that must"),
                    ("(NULL, 'client')", "the row 2 of people has an e-mail address that must"),
                    ("('ANN@example.org', 'client')", "the row 2 of people has the e-mail address of"),
                    ("('canary@example.org', 'No role')", "the row 2 of people has an invalid role"),
                ] {
                    let (_guard, pool, database) = support::$database().await;
                    people(&pool, $serial).await;
                    let insert = format!(
                        "INSERT INTO people (mail, position) VALUES ('ann@example.org', 'client'), {values}"
                    );
                    sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&pool).await.expect("rows");
                    let refused = database.adopt(PEOPLE).await.expect("a plan").apply().await;
                    let error = refused.err().expect(reason);
                    assert_eq!(error.kind(), ErrorKind::Configuration, "{error:?}");
                    assert!(error.to_string().contains(reason), "{error}");
                    assert!(!format!("{error:?}").to_lowercase().contains("canary"), "{error:?}");
                    run(&pool, "SELECT goat_id FROM people").await.expect_err("rolled back");
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn addresses_change_through_goat_only() {
                let (_guard, pool, database) = support::$database().await;
                people(&pool, $uuid).await;
                let database = database.adopt(PEOPLE).await.expect("a plan").apply().await.expect("adopted");
                let stores = Stores { users: database.users(), roles: database.roles(), ..Stores::memory() };
                let harness = Harness::on(Backend::over(stores));
                let ann = harness.user("ann", "client").await;
                let error = run(&pool, "UPDATE people SET mail = 'other@example.org'").await;
                assert!(error.expect_err("rejected").to_string().contains("through goat"));
                run(&pool, "UPDATE people SET position = 'operator'").await.expect("allowed");
                harness.goat.users().invalidate(ann.id).await;
                assert_eq!(harness.sign_in("ann").await.user.role.as_str(), "operator");
                let email = Email::parse("other@example.org").expect("an address");
                let update = goat_core::user::UserUpdate { email: Some(email), password: None };
                harness.goat.users().update(Actor::system("test"), ann.id, update).await.expect("changed");
                assert_eq!(text(&pool, "SELECT mail FROM people").await, "other@example.org");
            }

            #[tokio::test]
            async fn missing_tables_and_columns_are_named() {
                let (_guard, pool, database) = support::$database().await;
                let missing = database.adopt(PEOPLE).await.expect_err("no table");
                assert!(missing.to_string().contains("no table people"), "{missing}");
                people(&pool, $uuid).await;
                for (table, named) in [
                    (UserTable { email: "email", ..PEOPLE }, "no column email"),
                    (UserTable { role: "a\"b", ..PEOPLE }, "contains a quote"),
                ] {
                    let error = database.adopt(table).await.expect_err(named);
                    assert_eq!(error.kind(), ErrorKind::Configuration);
                    assert!(error.to_string().contains(named), "{error}");
                }
            }
        }
    )*};
}

macro_rules! impl_db {
    (sqlite) => {
        sqlx::Sqlite
    };
    (postgres) => {
        sqlx::Postgres
    };
}

on_every_database! {
    sqlite, "TEXT NOT NULL PRIMARY KEY", "BLOB NOT NULL PRIMARY KEY", "INTEGER PRIMARY KEY";
    postgres, "UUID NOT NULL PRIMARY KEY", "BYTEA NOT NULL PRIMARY KEY", "SERIAL PRIMARY KEY";
}

/// A sign-in that waits for another write of the row does not undo it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_keeps_what_a_concurrent_write_changed() {
    let (_, pool, database) = support::postgres().await;
    let create = "CREATE TYPE grade AS ENUM ('client', 'admin'); \
                  CREATE TABLE people (id UUID PRIMARY KEY, mail TEXT NOT NULL, pass_hash TEXT, \
                  position grade NOT NULL)";
    sqlx::raw_sql(create).execute(&pool).await.expect("a table");
    let database = database.adopt(PEOPLE).await.expect("a plan").apply().await.expect("adopted");
    let stores = Stores { users: database.users(), roles: database.roles(), ..Stores::memory() };
    let harness = Arc::new(Harness::on(Backend::over(stores)));
    let ann = harness.user("ann", "client").await;
    let mut transaction = pool.begin().await.expect("begun");
    let write = "UPDATE people SET position = 'admin', goat_revision = goat_revision + 1";
    sqlx::query(write).execute(&mut *transaction).await.expect("written");
    let signing_in = tokio::spawn({
        let users = database.users();
        async move { users.signed_in(ann.id, ann.created_at, None).await }
    });
    loop {
        let waiting = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted";
        let waiting: i64 =
            sqlx::query_scalar(waiting).fetch_one(&mut *transaction).await.expect("a number");
        if waiting > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    transaction.commit().await.expect("committed");
    let state = signing_in.await.expect("no panic").expect("a result").expect("Ann");
    assert_eq!((state.user.role.as_str(), state.revision), ("admin", 3));
}
