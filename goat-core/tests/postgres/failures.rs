//! What goes wrong with the real engine: every failure that passes is unavailable, and the same
//! handle works again once it has passed (O1).

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use goat_core::access::{RoleChange, RoleSnapshot, RoleWrite};
use goat_core::session::SessionEpoch;
use goat_core::store::sql::{PostgresDatabase, PostgresOptions};
use goat_core::user::{Account, UserChange, UserQuery, UserSnapshot, UserWrite};
use goat_core::{PageRequest, StoreError, Timestamp};
use goat_engines::Postgres;

use crate::support::{Patience, account, name, now, open, put, role, rotation, session};

/// Waits until the database answers again, as a node's readiness would.
async fn answers(database: &PostgresDatabase) {
    let patience = Patience::of(20);
    while let Err(error) = database.users().ping().await {
        assert!(error.is_unavailable(), "{error:?}");
        assert!(!patience.is_over(), "{error:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn unavailable<T: std::fmt::Debug>(answer: Result<T, StoreError>, code: &str) {
    let error = answer.expect_err("it cannot be");
    assert!(error.is_unavailable(), "{error:?}");
    assert!(format!("{error:?}").contains(code), "{error:?}");
}

/// Runs SQL beside, and returns when it sleeps: until then it has what it locked.
fn hold(database: &str, sql: String) -> JoinHandle<String> {
    let server = Postgres::shared();
    let holder = std::thread::spawn({
        let database = database.to_owned();
        move || server.psql(&database, &sql)
    });
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND wait_event = 'PgSleep'";
    while server.psql(database, sleeping) == "0" {
        assert!(!holder.is_finished(), "it sleeps long enough to be seen");
    }
    holder
}

/// Every read goes on, and every write is unavailable by this code.
async fn is_read_only(database: &PostgresDatabase, owner: &Account, code: &str) {
    let (users, sessions, roles) = (database.users(), database.sessions(), database.roles());
    let id = owner.user.id;
    let kept = session(id);
    let (epoch, page) = (SessionEpoch::default(), PageRequest::default());
    let query = UserQuery { filter: Default::default(), hidden_roles: vec![], except: Some(id) };

    assert!(users.by_id(id).await.expect("a read").is_some());
    assert!(users.by_email(owner.user.email.canonical()).await.expect("a read").is_some());
    assert!(users.state(id).await.expect("a read").is_some());
    assert_eq!(users.list(&query).await.expect("a read").total, 1);
    assert!(users.has_active_user_in(&owner.user.role).await.expect("a read"));
    assert_eq!(users.sample_hashes(9).await.expect("a read"), ["hash"]);
    roles.load().await.expect("a read");
    let held = sessions.list(id, epoch, now(), page).await.expect("a read").items.remove(0);
    assert!(sessions.find(id, held.id).await.expect("a read").is_some());

    unavailable(put(&users, None, owner).await, code);
    unavailable(put(&users, Some(id), &account(&role("client"))).await, code);
    unavailable(users.signed_in(id, now(), None).await, code);
    unavailable(sessions.create(&kept, 9).await, code);
    let token = held.current.id;
    unavailable(sessions.rotate(&rotation(&held, token, now(), Duration::ZERO)).await, code);
    unavailable(sessions.revoke(id, epoch, now(), &[held.id]).await, code);
    unavailable(sessions.revoke_all(id, epoch, now(), None).await, code);
    unavailable(sessions.end(id, held.id).await, code);
    unavailable(sessions.purge(Timestamp::default(), 9).await, code);
    let decide = |_: &RoleSnapshot| Ok(RoleChange::Nothing);
    unavailable(roles.write(RoleWrite { actor: None, decide: &decide }).await, code);
}

/// A handle, and a user with a session.
async fn furnished(url: &str) -> (PostgresDatabase, Account) {
    let database = open(&PostgresOptions::new(url)).await;
    let owner = account(&role("client"));
    put(&database.users(), None, &owner).await.expect("the store answers");
    database.sessions().create(&session(owner.user.id), 9).await.expect("the store answers");
    (database, owner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_answers_reads_and_takes_writes_once_it_is_promoted() {
    let server = Postgres::start(goat_engines::PostgresOptions::default());
    let (database, owner) = furnished(&server.url()).await;
    server.make_standby();
    answers(&database).await;
    is_read_only(&database, &owner, "25006").await;
    server.promote();
    put(&database.users(), None, &owner).await.expect("it takes writes again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_set_to_read_only_refuses_writes_until_it_is_not() {
    let server = Postgres::shared();
    let url = server.create_database();
    let (database, owner) = furnished(&url).await;
    let renew = |setting: &str| {
        server.psql("postgres", &format!("ALTER DATABASE {} {setting}", name(&url)));
        let all = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname";
        server.psql("postgres", &format!("{all} = '{}'", name(&url)));
    };
    renew("SET default_transaction_read_only = on");
    answers(&database).await;
    is_read_only(&database, &owner, "25006").await;
    renew("RESET default_transaction_read_only");
    answers(&database).await;
    put(&database.users(), None, &owner).await.expect("it takes writes again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_or_dies_comes_back_to_the_same_handle() {
    let server = Postgres::start(goat_engines::PostgresOptions::default());
    let options = PostgresOptions {
        acquire_timeout: Duration::from_millis(300),
        ..PostgresOptions::new(server.url())
    };
    let database = open(&options).await;
    let owner = account(&role("client"));
    for is_killed in [false, true] {
        if is_killed {
            server.kill();
        } else {
            server.stop();
        }
        for _ in 0..3 {
            unavailable(put(&database.users(), None, &owner).await, "");
            unavailable(database.users().by_id(owner.user.id).await, "");
        }
        server.start_again();
        answers(&database).await;
        put(&database.users(), None, &owner).await.expect("it takes writes again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_are_unavailable_until_there_are_fewer() {
    let server = Postgres::shared();
    let url = server.create_database();
    server.psql("postgres", "CREATE ROLE limited LOGIN CONNECTION LIMIT 1");
    server.psql("postgres", &format!("ALTER DATABASE {} OWNER TO limited", name(&url)));
    let options = PostgresOptions {
        connections: 1,
        acquire_timeout: Duration::from_millis(500),
        ..PostgresOptions::new(url.replace("goat@", "limited@"))
    };
    let first = open(&options).await;
    let second = PostgresDatabase::open(&options).expect("a URL");
    unavailable(second.users().ping().await, "");
    first.close().await;
    answers(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_connection_is_taken_away_never_happened() {
    let server = Postgres::shared();
    let url = server.create_database();
    let (database, mut owner) = furnished(&url).await;
    let users = database.users();
    let holder = hold(
        name(&url),
        "BEGIN; SELECT FROM goat_users FOR UPDATE; SELECT pg_sleep(1.5); ROLLBACK".to_owned(),
    );
    owner.epoch.number = 7;
    let write = tokio::spawn({
        let (users, owner) = (Arc::clone(&users), owner.clone());
        async move { put(&users, None, &owner).await }
    });
    let take = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while server.psql(name(&url), take) == "0" {
        assert!(!holder.is_finished(), "the row is held until somebody waits for it");
    }
    unavailable(write.await.expect("no panic"), "57P01");
    let found = users.by_id(owner.user.id).await.expect("the store answers").expect("the user");
    assert_eq!(found.epoch.number, 0);
    put(&users, None, &owner).await.expect("it takes writes again");
    holder.join().expect("it was held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_not_let_go_of_is_waited_for_so_long() {
    let server = Postgres::shared();
    let url = server.create_database();
    let (_, owner) = furnished(&url).await;
    let options = PostgresOptions {
        statement_timeout: Duration::from_millis(100),
        ..PostgresOptions::new(url.as_str())
    };
    let database = open(&options).await;
    let holder = hold(
        name(&url),
        "BEGIN; SELECT FROM goat_users FOR UPDATE; SELECT pg_sleep(1.5); ROLLBACK".to_owned(),
    );
    unavailable(put(&database.users(), None, &owner).await, "57014");
    holder.join().expect("it was held");
    put(&database.users(), None, &owner).await.expect("it is free again");
    let locks = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert_eq!(server.psql(name(&url), locks), "0");
}

/// A read that the caller gave up on is still the server's until it answers, and so is its connection:
/// what comes meanwhile is told so, and is served again when the lock is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_was_given_up_costs_its_connection_no_longer_than_the_lock() {
    let server = Postgres::shared();
    let url = server.create_database();
    let (_, owner) = furnished(&url).await;
    let patience = Duration::from_millis(100);
    let options = PostgresOptions {
        connections: 1,
        acquire_timeout: patience,
        ..PostgresOptions::new(url.as_str())
    };
    let users = open(&options).await.users();
    let holder =
        hold(name(&url), "BEGIN; LOCK TABLE goat_users; SELECT pg_sleep(1.5); ROLLBACK".to_owned());
    let read = tokio::time::timeout(patience, users.by_id(owner.user.id)).await;
    assert!(read.is_err(), "it is locked: {read:?}");
    unavailable(users.ping().await, "");
    holder.join().expect("it was held");
    while let Err(error) = users.ping().await {
        assert!(error.is_unavailable(), "{error:?}");
    }
    assert!(users.by_id(owner.user.id).await.expect("it is free again").is_some());
}

/// As a node does that stands still in the middle of a write: what it holds is free again.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_stands_still_is_ended_by_the_server() {
    let url = Postgres::shared().create_database();
    let (database, owner) = furnished(&url).await;
    let options = PostgresOptions {
        statement_timeout: Duration::from_millis(250),
        ..PostgresOptions::new(url.as_str())
    };
    let still = open(&options).await.users();
    let decide = |_: &UserSnapshot| {
        std::thread::sleep(Duration::from_millis(1000));
        Ok(UserChange::Put(owner.clone()))
    };
    let (target, top_role) = (owner.user.id, &role("admin"));
    let write = UserWrite { actor: None, target, top_role, decide: &decide };
    let (stood, went_on) = tokio::join!(still.write(write), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        put(&database.users(), None, &owner).await
    });
    went_on.expect("the row is free again");
    unavailable(stood, "25P03");
    put(&still, None, &owner).await.expect("it goes on");
}

/// Somebody else locks in another order than goat does.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_with_somebody_else_is_unavailable() {
    let url = Postgres::shared().create_database();
    let (database, owner) = furnished(&url).await;
    let users = database.users();
    let holder = hold(
        name(&url),
        "SET deadlock_timeout = '20s'; BEGIN; SELECT FROM goat_users FOR UPDATE; \
         SELECT pg_sleep(1); SELECT FROM goat_guard FOR UPDATE; ROLLBACK"
            .to_owned(),
    );
    unavailable(put(&users, Some(owner.user.id), &owner).await, "40P01");
    holder.join().expect("it went on");
    put(&users, Some(owner.user.id), &owner).await.expect("it goes on");
}
