//! goat's row and the application's commit together or not at all.

use std::sync::Arc;

use goat_core::auth::SignUp;
use goat_core::event::EventKind;
use goat_core::session::Origin;
use goat_core::user::NewUser;
use goat_core::{Actor, Email, ErrorKind, Status, Stores};
use tokio::sync::Barrier;

use crate::flows::support::{Backend, Harness, PASSWORD, address};

const TABLES: &str = "CREATE TABLE teams (id BIGINT PRIMARY KEY); \
    CREATE TABLE profiles (user_id VARCHAR(26) PRIMARY KEY, team BIGINT \
    REFERENCES teams (id) DEFERRABLE INITIALLY DEFERRED); \
    CREATE TABLE attempts (address TEXT NOT NULL); INSERT INTO teams VALUES (1)";
const PROFILE: &str = "INSERT INTO profiles (user_id, team) VALUES ($1, $2)";
const EXISTING_TEAM: i64 = 1;
const MISSING_TEAM: i64 = 404;

fn request(name: &str) -> SignUp {
    SignUp {
        email: Email::parse(&address(name)).expect("an address"),
        password: Some(PASSWORD.into()),
        origin: Origin::default(),
    }
}

fn new_user(harness: &Harness, name: &str, role: &str) -> NewUser {
    NewUser {
        email: Email::parse(&address(name)).expect("an address"),
        password: Some(PASSWORD.into()),
        role: harness.role(role),
        status: Status::Active,
    }
}

async fn exists(harness: &Harness, name: &str) -> bool {
    let email = Email::parse(&address(name)).expect("an address");
    harness.goat.users().find_by_email(&email).await.expect("a result").is_some()
}

/// Sessions and limits are in memory, with the test's clock.
macro_rules! on_every_database {
    ($($database:ident),*) => {$(
        mod $database {
            use super::*;
            use crate::application::support;

            async fn count(pool: &sqlx::Pool<impl_db!($database)>, table: &'static str) -> i64 {
                let query = match table {
                    "profiles" => "SELECT COUNT(*) FROM profiles",
                    _ => "SELECT COUNT(*) FROM attempts",
                };
                sqlx::query_scalar(query).fetch_one(pool).await.expect("a number")
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn both_rows_commit_and_the_event_follows() {
                let (_guard, pool, database) = support::$database().await;
                let harness = harness(database.users(), database.roles());
                sqlx::raw_sql(TABLES).execute(&pool).await.expect("tables");

                let mut transaction = pool.begin().await.expect("begun");
                let sign_up = harness.goat.sign_up_in(&mut transaction, request("ann"));
                let ann = sign_up.await.expect("signed up");
                let profile = sqlx::query(PROFILE).bind(ann.id.to_string()).bind(EXISTING_TEAM);
                profile.execute(&mut *transaction).await.expect("a profile");
                assert!(!exists(&harness, "ann").await, "not before the commit");
                transaction.commit().await.expect("committed");
                assert_eq!(harness.events.take_kinds(), [], "not before the commit");
                let ann = ann.committed().await;

                let events = harness.events.take();
                assert_eq!(events[0].kind, EventKind::SignedUp);
                assert_eq!((events[0].user, &events[0].email), (Some(ann.id), &Some(ann.email)));
                assert_eq!(count(&pool, "profiles").await, 1);
                harness.sign_in("ann").await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn neither_row_outlasts_a_dropped_or_failed_transaction() {
                let (_guard, pool, database) = support::$database().await;
                let harness = harness(database.users(), database.roles());
                sqlx::raw_sql(TABLES).execute(&pool).await.expect("tables");
                // More often than the pool has connections.
                for round in 0..8 {
                    let mut transaction = pool.begin().await.expect("begun");
                    let sign_up = harness.goat.sign_up_in(&mut transaction, request("ann"));
                    let ann = sign_up.await.expect("signed up");
                    let profile = sqlx::query(PROFILE).bind(ann.id.to_string()).bind(MISSING_TEAM);
                    profile.execute(&mut *transaction).await.expect("checked at the commit");
                    drop(ann);
                    if round % 2 == 0 {
                        drop(transaction);
                    } else {
                        transaction.commit().await.expect_err("no such team");
                    }
                    assert!(!exists(&harness, "ann").await, "{round}");
                    assert_eq!(count(&pool, "profiles").await, 0, "{round}");
                }
                assert_eq!(harness.events.take_kinds(), []);
                harness.user("ann", "client").await;
            }

            /// More sign-ups at once than the pool has connections. A taken address costs no hash.
            #[tokio::test(flavor = "multi_thread")]
            async fn prepared_sign_ups_hold_no_connection() {
                let (_guard, pool, database) = support::$database().await;
                let harness = harness(database.users(), database.roles());
                let mut prepared = Vec::new();
                for name in ["ann", "bob", "cai", "dan", "eve", "fay"] {
                    let sign_up = harness.goat.prepare_sign_up(request(name)).await;
                    prepared.push((name, sign_up.expect("prepared")));
                }
                for (name, sign_up) in prepared {
                    let mut transaction = pool.begin().await.expect("begun");
                    let user = sign_up.create_in(&mut transaction).await.expect("created");
                    transaction.commit().await.expect("committed");
                    assert_eq!(user.committed().await.email.as_str(), address(name));
                }
                assert_eq!(harness.events.take_kinds(), vec![EventKind::SignedUp; 6]);
                let hashes = harness.hasher.hashes();
                let taken = harness.goat.prepare_sign_up(request("ann")).await.expect_err("taken");
                assert_eq!(taken.kind(), ErrorKind::EmailTaken);
                assert_eq!(harness.hasher.hashes(), hashes);
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn an_abandoned_call_leaves_no_half() {
                let (_guard, pool, database) = support::$database().await;
                let harness = harness(database.users(), database.roles());
                sqlx::raw_sql(TABLES).execute(&pool).await.expect("tables");
                let mut transaction = pool.begin().await.expect("begun");
                let held = harness.failpoints.hold("users.write_in", goat_core::testing::Point::Entry);
                {
                    let sign_up = harness.goat.sign_up_in(&mut transaction, request("ann"));
                    tokio::select! {
                        _ = sign_up => panic!("the call is held"),
                        () = held.reached() => {}
                    }
                }
                transaction.commit().await.expect("the transaction is usable");
                assert!(!exists(&harness, "ann").await);
            }

            /// Callers of the same address, with a row of each that depends on the outcome. A rejected
            /// sign-up leaves the transaction usable.
            #[tokio::test(flavor = "multi_thread")]
            async fn one_of_several_with_the_same_address_commits() {
                const CALLERS: usize = 4;
                let (_guard, pool, database) = support::$database().await;
                let harness = Arc::new(harness(database.users(), database.roles()));
                sqlx::raw_sql(TABLES).execute(&pool).await.expect("tables");
                let barrier = Arc::new(Barrier::new(CALLERS));
                let callers = (0..CALLERS).map(|_| {
                    let (harness, barrier) = (Arc::clone(&harness), Arc::clone(&barrier));
                    let pool = pool.clone();
                    tokio::spawn(async move {
                        let mut transaction = pool.begin().await.expect("begun");
                        barrier.wait().await;
                        let signed_up =
                            harness.goat.sign_up_in(&mut transaction, request("ann")).await;
                        let kind = signed_up.as_ref().err().map(goat_core::Error::kind);
                        match &signed_up {
                            Ok(ann) => sqlx::query(PROFILE).bind(ann.id.to_string()).bind(EXISTING_TEAM),
                            Err(_) => sqlx::query("INSERT INTO attempts VALUES ($1)").bind("ann"),
                        }
                        .execute(&mut *transaction)
                        .await
                        .expect("the transaction is usable");
                        transaction.commit().await.expect("committed");
                        kind
                    })
                });
                let mut taken = 0;
                for caller in callers.collect::<Vec<_>>() {
                    match caller.await.expect("no panic") {
                        None => {}
                        Some(kind) => {
                            assert_eq!(kind, ErrorKind::EmailTaken);
                            taken += 1;
                        }
                    }
                }
                assert_eq!(taken, CALLERS - 1);
                assert_eq!(count(&pool, "profiles").await, 1);
                assert_eq!(count(&pool, "attempts").await, 3);
            }

            /// A2, A3: the rules hold within the application's transaction.
            #[tokio::test(flavor = "multi_thread")]
            async fn users_are_created_and_deleted_under_the_rules() {
                let (_guard, pool, database) = support::$database().await;
                let harness = harness(database.users(), database.roles());
                let users = harness.goat.users();
                let root = harness.member("root", "admin").await;
                let operator = harness.member("olga", "operator").await;
                let system = || Actor::system("test");

                let mut transaction = pool.begin().await.expect("begun");
                let new = new_user(&harness, "bob", "client");
                let refused = users.create_in(&mut transaction, harness.actor(&operator.tokens).await, new);
                assert_eq!(refused.await.err().map(|error| error.kind()), Some(ErrorKind::Forbidden));
                let refused = users.delete_in(&mut transaction, system(), root.user.id).await;
                let kind = refused.err().map(|error| error.kind());
                assert_eq!(kind, Some(ErrorKind::LastAdministrator));
                let new = new_user(&harness, "bob", "client");
                let bob = users.create_in(&mut transaction, harness.actor(&root.tokens).await, new);
                let bob = bob.await.expect("created");
                let deleted = users.delete_in(&mut transaction, system(), operator.user.id).await;
                let deleted = deleted.expect("deleted");
                // Another connection sees neither.
                harness.principal(&operator.tokens).await;
                assert!(!exists(&harness, "bob").await);
                transaction.commit().await.expect("committed");
                harness.events.take();
                assert_eq!(bob.committed().await.email.as_str(), address("bob"));
                assert_eq!(deleted.committed().await.id, operator.user.id);

                let events = harness.events.take();
                let addresses = events.iter().map(|event| event.email.as_ref().map(|email| email.as_str()));
                assert_eq!(addresses.collect::<Vec<_>>(), [
                    Some(address("bob").as_str()),
                    Some(address("olga").as_str()),
                    Some(address("olga").as_str()),
                ]);
                let kinds: Vec<_> = events.into_iter().map(|event| event.kind).collect();
                assert_eq!(kinds, [
                    EventKind::UserCreated,
                    EventKind::SessionsRevoked(1),
                    EventKind::UserDeleted,
                ]);
                let error = harness.authenticate(&operator.tokens).await.expect_err("deleted");
                assert_eq!(error.kind(), ErrorKind::SessionRevoked);
                harness.sign_in("bob").await;
            }

            /// A7: without [`Uncommitted::committed`](goat_core::auth::Uncommitted::committed) a deleted
            /// user is served no longer than the staleness.
            #[tokio::test(flavor = "multi_thread")]
            async fn a_forgotten_completion_costs_the_event_only() {
                let (_guard, pool, database) = support::$database().await;
                let harness = harness(database.users(), database.roles());
                let ann = harness.member("ann", "client").await;
                harness.principal(&ann.tokens).await;
                let mut transaction = pool.begin().await.expect("begun");
                let actor = Actor::system("test");
                let deleted = harness.goat.users().delete_in(&mut transaction, actor, ann.user.id).await;
                drop(deleted.expect("deleted"));
                transaction.commit().await.expect("committed");
                harness.advance(1);
                let error = harness.authenticate(&ann.tokens).await.expect_err("deleted");
                assert_eq!(error.kind(), ErrorKind::SessionRevoked);
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

on_every_database!(sqlite, postgres);

fn harness(
    users: Arc<dyn goat_core::store::UserStore>,
    roles: Arc<dyn goat_core::store::RoleStore>,
) -> Harness {
    Harness::on(Backend::over(Stores { users, roles, ..Stores::memory() }))
}

/// A store that cannot join a transaction, and a transaction of another database, fail the call.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_cannot_be_joined_is_an_error() {
    use super::support::{postgres, sqlite};
    let (_folder, pool, database) = sqlite().await;
    let (_, other, other_database) = postgres().await;
    let stores = [
        Stores::memory(),
        Stores { users: other_database.users(), roles: other_database.roles(), ..Stores::memory() },
    ];
    for stores in stores {
        let harness = Harness::on(Backend::over(stores));
        let mut transaction = pool.begin().await.expect("begun");
        let refused = harness.goat.sign_up_in(&mut transaction, request("ann")).await;
        assert_eq!(refused.err().map(|error| error.kind()), Some(ErrorKind::Internal));
    }
    drop(database);

    let harness = harness(other_database.users(), other_database.roles());
    for statement in [
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET LOCAL search_path = pg_catalog",
    ] {
        let mut transaction = other.begin().await.expect("begun");
        sqlx::raw_sql(statement).execute(&mut *transaction).await.expect("a setting");
        let refused = harness.goat.sign_up_in(&mut transaction, request("ann")).await;
        let error = refused.err().unwrap_or_else(|| panic!("{statement}"));
        assert_eq!(error.kind(), ErrorKind::Internal, "{error:?}");
    }
}
