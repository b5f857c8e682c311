//! Failures of the real engine: every transient failure is unavailable, and the same handle works
//! again afterwards (O1).

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use goat_core::session::SessionEpoch;
use goat_core::store::sql::{PostgresDatabase, PostgresOptions};
use goat_core::store::{RoleChange, RoleSnapshot, RoleWrite, UserChange, UserSnapshot, UserWrite};
use goat_core::user::{Account, UserQuery};
use goat_core::{PageRequest, StoreError, Timestamp};
use goat_engines::Postgres;

use crate::postgres::support::{Deadline, account, name, now, open, put, role, rotation, session};

/// Waits until the database responds, as a node's readiness would.
async fn wait_until_ready(database: &PostgresDatabase) {
    let deadline = Deadline::after(20);
    while let Err(error) = database.users().ping().await {
        assert!(error.is_unavailable(), "{error:?}");
        assert!(!deadline.has_passed(), "{error:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn unavailable<T: std::fmt::Debug>(answer: Result<T, StoreError>, code: &str) {
    let error = answer.expect_err("an error");
    assert!(error.is_unavailable(), "{error:?}");
    assert!(format!("{error:?}").contains(code), "{error:?}");
}

/// Runs SQL concurrently, and returns when it sleeps; until then it holds its locks.
fn hold(database: &str, sql: String) -> JoinHandle<String> {
    let server = Postgres::shared();
    let holder = std::thread::spawn({
        let database = database.to_owned();
        move || server.psql(&database, &sql)
    });
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND wait_event = 'PgSleep'";
    while server.psql(database, sleeping) == "0" {
        assert!(!holder.is_finished(), "it ended before it was seen asleep");
    }
    holder
}

/// Reads succeed, and writes fail as unavailable with this code.
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
    unavailable(
        roles.write(RoleWrite { actor: None, key: None, deletes: None, decide: &decide }).await,
        code,
    );
}

/// A handle, and a user with a session.
async fn furnished(url: &str) -> (PostgresDatabase, Account) {
    let database = open(&PostgresOptions::new(url)).await;
    let owner = account(&role("client"));
    put(&database.users(), None, &owner).await.expect("the store responds");
    database.sessions().create(&session(owner.user.id), 9).await.expect("the store responds");
    (database, owner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_rejects_writes_until_it_is_promoted() {
    let server = Postgres::start(goat_engines::PostgresOptions::default());
    let (database, owner) = furnished(&server.url()).await;
    server.make_standby();
    wait_until_ready(&database).await;
    is_read_only(&database, &owner, "0A000").await;
    server.promote();
    put(&database.users(), None, &owner).await.expect("writable again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_works_again_after_a_restart_of_the_server() {
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
        server.restart();
        wait_until_ready(&database).await;
        put(&database.users(), None, &owner).await.expect("writable again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_are_unavailable() {
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
    wait_until_ready(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_with_a_terminated_connection_is_repeated() {
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
        assert!(!holder.is_finished(), "the lock was released too early");
    }
    write.await.expect("no panic").expect("the repeated attempt waits for the lock");
    let found = users.by_id(owner.user.id).await.expect("the store responds").expect("the user");
    assert_eq!(found.epoch.number, 7);
    holder.join().expect("it was held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_lock_times_out() {
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

/// An abandoned read occupies its connection until the server responds: calls in between are
/// unavailable, and succeed when the lock is released.
#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_read_occupies_its_connection_until_the_lock_is_released() {
    let server = Postgres::shared();
    let url = server.create_database();
    let (_, owner) = furnished(&url).await;
    let timeout = Duration::from_millis(100);
    let options = PostgresOptions {
        connections: 1,
        acquire_timeout: timeout,
        ..PostgresOptions::new(url.as_str())
    };
    let database = open(&options).await;
    let (users, roles) = (database.users(), database.roles());
    let holder =
        hold(name(&url), "BEGIN; LOCK TABLE goat_users; SELECT pg_sleep(1.5); ROLLBACK".to_owned());
    let read = tokio::time::timeout(timeout, users.by_id(owner.user.id)).await;
    assert!(read.is_err(), "it is locked: {read:?}");
    unavailable(roles.load().await, "");
    holder.join().expect("it was held");
    while let Err(error) = roles.load().await {
        assert!(error.is_unavailable(), "{error:?}");
    }
    assert!(users.by_id(owner.user.id).await.expect("it is free again").is_some());
}

/// As with a node that hangs during a write: the server releases its locks.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_transaction_is_ended_by_the_server() {
    let url = Postgres::shared().create_database();
    let (database, owner) = furnished(&url).await;
    let options = PostgresOptions {
        statement_timeout: Duration::from_millis(250),
        ..PostgresOptions::new(url.as_str())
    };
    let idle = open(&options).await.users();
    let decide = |_: &UserSnapshot| {
        std::thread::sleep(Duration::from_millis(1000));
        Ok(UserChange::Put(owner.clone()))
    };
    let (target, top_role) = (owner.user.id, &role("admin"));
    let write =
        UserWrite { actor: None, key: None, target, top_role, assigns: None, decide: &decide };
    let (ended, concurrent) = tokio::join!(idle.write(write), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        put(&database.users(), None, &owner).await
    });
    concurrent.expect("the row is free again");
    unavailable(ended, "25P03");
    put(&idle, None, &owner).await.expect("usable again");
}

/// Another client locks in another order than goat.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_with_another_client_is_resolved_by_a_retry() {
    let url = Postgres::shared().create_database();
    let (database, owner) = furnished(&url).await;
    let users = database.users();
    // It goes on once goat waits for it. PostgreSQL ends the one that finds the deadlock, after the default of
    // one second.
    let holder = hold(
        name(&url),
        "SET deadlock_timeout = '60s'; BEGIN; SELECT FROM goat_users FOR UPDATE; \
         DO $$ BEGIN \
           WHILE NOT EXISTS (SELECT FROM pg_locks \
             WHERE NOT granted AND transactionid = pg_current_xact_id()::xid) \
           LOOP PERFORM pg_sleep(0.01); END LOOP; \
         END $$; \
         SELECT FROM goat_guard FOR UPDATE; ROLLBACK"
            .to_owned(),
    );
    put(&users, Some(owner.user.id), &owner).await.expect("the retry waits for the lock");
    holder.join().expect("the other client went on");
}

/// W4: calls that hold every pooled connection do not delay the readiness check.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_check_has_a_connection_that_no_call_exhausts() {
    let url = Postgres::shared().create_database();
    let database = open(&PostgresOptions {
        connections: 1,
        acquire_timeout: Duration::from_millis(200),
        ..PostgresOptions::new(&*url)
    })
    .await;
    let lock = "BEGIN; LOCK TABLE goat_users; SELECT pg_sleep(3); ROLLBACK";
    let holder = hold(name(&url), lock.to_owned());
    let users = database.users();
    let waits = tokio::spawn(async move { users.sample_hashes(1).await });
    // The other call finds no connection once the first one waits for the lock.
    let deadline = Deadline::after(20);
    while database.roles().load().await.is_ok() {
        assert!(!deadline.has_passed(), "the connection is free");
    }
    database.users().ping().await.expect("the database responds");
    database.sessions().ping().await.expect("the database responds");
    assert!(!waits.is_finished() || holder.is_finished());
    waits.await.expect("no panic").expect("a read");
    holder.join().expect("the lock is released");
}
