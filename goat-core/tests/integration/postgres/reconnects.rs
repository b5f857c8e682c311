//! S2: pooled connections that were lost fail no call, and a commit with an unknown outcome is not
//! repeated.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use goat_core::session::{Session, SessionEpoch};
use goat_core::store::sql::{PostgresDatabase, PostgresOptions};
use goat_core::store::{RoleChange, RoleSnapshot, RoleWrite, UserChange, UserSnapshot, UserWrite};
use goat_core::user::{Account, UserQuery};
use goat_core::{PageRequest, StoreError, Timestamp};
use goat_engines::{Cut, Postgres, Proxy};

use crate::postgres::pooler::Pooler;
use crate::postgres::stranded::Relay;
use crate::postgres::support::{Deadline, account, name, now, open, put, role, rotation, session};

const CONNECTIONS: usize = 3;

fn options(url: &str) -> PostgresOptions {
    PostgresOptions {
        connections: CONNECTIONS.try_into().expect("few"),
        acquire_timeout: Duration::from_secs(20),
        ..PostgresOptions::new(url)
    }
}

/// A database, and a user with a session.
pub(crate) struct Node {
    pub(crate) database: PostgresDatabase,
    owner: Account,
    session: Session,
}

pub(crate) type Call<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + 'a>>;

impl Node {
    pub(crate) async fn new(url: &str) -> Self {
        let database = open(&options(url)).await;
        let owner = account(&role("client"));
        put(&database.users(), None, &owner).await.expect("the store responds");
        let session = session(owner.user.id);
        database.sessions().create(&session, 99).await.expect("the store responds");
        Self { database, owner, session }
    }

    /// One call of every operation.
    pub(crate) fn calls(&self) -> Vec<(&'static str, Call<'_>)> {
        let (users, sessions) = (self.database.users(), self.database.sessions());
        let roles = self.database.roles();
        let (id, epoch) = (self.owner.user.id, SessionEpoch::default());
        let mut calls: Vec<(&'static str, Call<'_>)> = Vec::new();
        macro_rules! call {
            ($store:ident, $name:literal, $call:expr) => {{
                let $store = Arc::clone(&$store);
                calls.push(($name, Box::pin(async move { $call.await.map(drop) })));
            }};
        }
        let query =
            UserQuery { filter: Default::default(), hidden_roles: vec![], except: Some(id) };
        call!(users, "ping", users.ping());
        call!(users, "by_id", users.by_id(id));
        call!(users, "by_email", users.by_email("a@example.org"));
        call!(users, "state", users.state(id));
        call!(users, "list", users.list(&query));
        call!(users, "signed_in", users.signed_in(id, now(), None));
        call!(users, "sign-up", put(&users, None, &account(&role("client"))));
        call!(users, "write", put(&users, Some(id), &self.owner));
        call!(sessions, "create", sessions.create(&session(id), 99));
        call!(sessions, "find", sessions.find(id, self.session.id));
        call!(sessions, "rotate", async {
            let (token, leeway) = (self.session.current.id, Duration::from_secs(60));
            sessions.rotate(&rotation(&self.session, token, now(), leeway)).await
        });
        call!(sessions, "list", sessions.list(id, epoch, now(), PageRequest::default()));
        call!(sessions, "revoke", sessions.revoke(id, epoch, now(), &[]));
        call!(sessions, "purge", sessions.purge(Timestamp::default(), 9));
        call!(roles, "load", roles.load());
        call!(roles, "grant", async {
            let decide = |_: &RoleSnapshot| Ok(RoleChange::Grant(Vec::new()));
            roles.write(RoleWrite { actor: None, key: None, deletes: None, decide: &decide }).await
        });
        call!(sessions, "end", sessions.end(id, self.session.id));
        call!(sessions, "revoke_all", sessions.revoke_all(id, epoch, now(), None));
        calls
    }

    /// Terminates every connection, so that the next calls open others.
    pub(crate) async fn replace_connections(&self, server: &'static Postgres, url: &str) {
        terminate(server, name(url), "application_name = 'goat'");
        self.database.users().ping().await.expect("a fresh connection");
    }

    /// Opens every connection of the pool: each reads a table that another client has locked.
    async fn fill_pool(&self, server: &'static Postgres, url: &str) {
        let name = name(url).to_owned();
        let holder = std::thread::spawn({
            let name = name.clone();
            move || server.try_psql(&name, "BEGIN; LOCK TABLE goat_users; SELECT pg_sleep(60)")
        });
        let waiting = |event: &str| {
            let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()";
            server.psql(&name, &format!("{count} AND {event}")).parse::<usize>().expect("a number")
        };
        let deadline = Deadline::after(20);
        while waiting("wait_event = 'PgSleep'") == 0 {
            assert!(!deadline.has_passed(), "the table is never locked");
        }
        let reads: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let (users, id) = (self.database.users(), self.owner.user.id);
                tokio::spawn(async move { users.by_id(id).await })
            })
            .collect();
        while waiting("wait_event_type = 'Lock'") < CONNECTIONS {
            assert!(!deadline.has_passed(), "the pool is never full");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        terminate(server, &name, "wait_event = 'PgSleep'");
        for read in reads {
            read.await.expect("no panic").expect("the table is free again");
        }
        let _ = holder.join().expect("no panic");
    }
}

/// Terminates the server processes of a database's clients, and waits until they are gone.
fn terminate(server: &Postgres, database: &str, condition: &str) {
    let of_clients = format!(
        "FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid() AND {condition}"
    );
    server.psql("postgres", &format!("SELECT count(pg_terminate_backend(pid)) {of_clients}"));
    wait_until_gone(server, &of_clients);
}

fn wait_until_gone(server: &Postgres, of_clients: &str) {
    let deadline = Deadline::after(20);
    while server.psql("postgres", &format!("SELECT count(*) {of_clients}")) != "0" {
        assert!(!deadline.has_passed(), "the connections stay");
    }
}

/// S2: also with every pooled connection lost, no operation fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminated_connections_fail_no_call() {
    let server = Postgres::shared();
    let url = server.create_database();
    let node = Node::new(&url).await;
    for (operation, call) in node.calls() {
        node.fill_pool(server, &url).await;
        terminate(server, name(&url), "application_name = 'goat'");
        call.await.unwrap_or_else(|error| panic!("{operation}: {error:?}"));
    }
    // Concurrent calls, each with a lost connection.
    node.fill_pool(server, &url).await;
    terminate(server, name(&url), "application_name = 'goat'");
    let reads = (0..3 * CONNECTIONS).map(|_| {
        let (users, owner) = (node.database.users(), node.owner.clone());
        tokio::spawn(async move { put(&users, None, &owner).await })
    });
    for read in reads.collect::<Vec<_>>() {
        read.await.expect("no panic").expect("a fresh connection");
    }
}

/// S2: a restart, also after a crash.
#[tokio::test(flavor = "multi_thread")]
async fn first_call_after_a_restart_of_the_server_succeeds() {
    let server = Postgres::start(goat_engines::PostgresOptions::default());
    let node = Node::new(&server.url()).await;
    for is_killed in [false, true] {
        if is_killed {
            server.kill();
        } else {
            server.stop();
        }
        server.restart();
        let mut owner = node.owner.clone();
        owner.epoch.number += 1;
        put(&node.database.users(), None, &owner).await.expect("a fresh connection");
    }
}

/// S2: the server ends idle sessions.
#[tokio::test(flavor = "multi_thread")]
async fn idle_session_timeout_fails_no_call() {
    let server = Postgres::shared();
    let url = server.create_database();
    let timeout = format!("ALTER DATABASE {} SET idle_session_timeout = '1s'", name(&url));
    server.psql("postgres", &timeout);
    let node = Node::new(&url).await;
    let users = node.database.users();
    for _ in 0..3 {
        let goat = "application_name = 'goat'";
        wait_until_gone(
            server,
            &format!("FROM pg_stat_activity WHERE datname = '{}' AND {goat}", name(&url)),
        );
        put(&users, None, &node.owner).await.expect("a fresh connection");
    }
}

/// S2: a pooler ends the connections of its clients.
#[tokio::test(flavor = "multi_thread")]
async fn restart_of_a_pooler_fails_no_call() {
    let server = Postgres::shared();
    let url = server.create_database();
    let pooler = Pooler::start(server, 4);
    let pooled = format!("{}?statement-cache-capacity=0", pooler.url(&url));
    let node = Node::new(&pooled).await;
    let port = pooler.port();
    drop(pooler);
    let _pooler = Pooler::start_on(server, 4, port);
    put(&node.database.users(), None, &node.owner).await.expect("a fresh connection");
    node.database.users().by_id(node.owner.user.id).await.expect("a fresh connection");
}

/// S2: a firewall that has forgotten an idle connection drops its packets without notice.
#[tokio::test(flavor = "multi_thread")]
async fn forgotten_idle_connections_fail_no_call() {
    let server = Postgres::shared();
    let url = server.create_database();
    let relay = Relay::start(server.address()).await;
    let relayed = url.replace(&server.address().to_string(), &relay.address.to_string());
    let database =
        open(&PostgresOptions { acquire_timeout: Duration::from_secs(30), ..options(&relayed) })
            .await;
    let owner = account(&role("client"));
    put(&database.users(), None, &owner).await.expect("the store responds");
    // The idle time of a connection is by the driver's clock, and starts once the driver has tested the
    // returned connection.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    relay.strand();
    put(&database.users(), None, &owner).await.expect("a fresh connection");
}

/// S2: a write is cut at each of its messages. It takes effect exactly once; or, if the outcome of its
/// commit is unknown, at most once and with an error.
#[tokio::test(flavor = "multi_thread")]
async fn write_cut_at_any_message_takes_effect_at_most_once() {
    let server = Postgres::shared();
    let url = server.create_database();
    let proxy = Proxy::start(server.address());
    let relayed = url.replace(&server.address().to_string(), &proxy.address().to_string());
    for place in [Cut::BeforeForwarding, Cut::BeforeAnswer] {
        let (mut failures, mut message, mut rounds) = (0, 1, 0);
        // The number of messages varies by one, as the driver fills its buffers: the commit may be missed.
        loop {
            rounds += 1;
            assert!(rounds < 100, "the commit was cut: {place:?}");
            let mut node = Node::new(&relayed).await;
            let users = node.database.users();
            let decided = AtomicUsize::new(0);
            node.owner.epoch.number = 7;
            let decide = |snapshot: &UserSnapshot| {
                decided.fetch_add(1, Ordering::SeqCst);
                let mut next = snapshot.target.clone().expect("the user");
                next.epoch.number += 1;
                Ok(UserChange::Put(next))
            };
            let (target, top_role) = (node.owner.user.id, &role("admin"));
            proxy.cut_at(message, place);
            let written = users
                .write(UserWrite {
                    actor: None,
                    key: None,
                    target,
                    top_role,
                    assigns: None,
                    decide: &decide,
                })
                .await;
            let is_over = !proxy.has_triggered();
            proxy.heal();
            let found = users.by_id(target).await.expect("the store responds").expect("the user");
            match written {
                Ok(_) => assert_eq!(found.epoch.number, 1, "message {message}"),
                Err(error) => {
                    assert!(error.is_unavailable(), "{error:?}");
                    let effect = u64::from(place == Cut::BeforeAnswer);
                    assert_eq!(found.epoch.number, effect, "message {message}");
                    assert_eq!(decided.load(Ordering::SeqCst), 1, "not repeated");
                    failures += 1;
                }
            }
            if is_over && failures > 0 {
                break;
            }
            message = if is_over { message.saturating_sub(3).max(1) } else { message + 1 };
        }
    }
}

/// A trigger that fails its first time with this error, whether that is rolled back or not.
fn fail_once(server: &Postgres, database: &str, code: &str, trigger: &str) {
    server.psql(
        database,
        &format!(
            "CREATE SEQUENCE IF NOT EXISTS tries; SELECT setval('tries', 1, false); \
             CREATE OR REPLACE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF nextval('tries') = 1 THEN RAISE EXCEPTION USING ERRCODE = '{code}'; END IF; \
             RETURN NEW; END $$; DROP TRIGGER IF EXISTS fail_once ON goat_users; \
             CREATE {trigger} FOR EACH ROW EXECUTE FUNCTION fail_once()"
        ),
    );
}

const IN_STATEMENT: &str = "TRIGGER fail_once BEFORE INSERT OR UPDATE ON goat_users";
const AT_COMMIT: &str = "CONSTRAINT TRIGGER fail_once AFTER INSERT OR UPDATE ON goat_users \
    DEFERRABLE INITIALLY DEFERRED";

/// O1: serialization failures and deadlocks, within a statement and at the commit.
#[tokio::test(flavor = "multi_thread")]
async fn conflicts_with_concurrent_transactions_are_retried() {
    let server = Postgres::shared();
    let url = server.create_database();
    let node = Node::new(&url).await;
    for code in ["40001", "40P01"] {
        for trigger in [IN_STATEMENT, AT_COMMIT] {
            fail_once(server, name(&url), code, trigger);
            put(&node.database.users(), None, &node.owner)
                .await
                .unwrap_or_else(|error| panic!("{code} {trigger}: {error:?}"));
            assert_eq!(server.psql(name(&url), "SELECT last_value FROM tries"), "2");
        }
    }
}

/// O1: a connection whose commit failed is closed, and a failed commit is not repeated.
#[tokio::test(flavor = "multi_thread")]
async fn connection_whose_commit_failed_is_closed() {
    let server = Postgres::shared();
    let url = server.create_database();
    let node = Node::new(&url).await;
    let users = node.database.users();
    fail_once(server, name(&url), "53100", AT_COMMIT);
    let pids = || {
        let pids = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                    AND application_name = 'goat'";
        server.psql(name(&url), pids)
    };
    let before = pids();
    let error = put(&users, None, &node.owner).await.expect_err("a failed commit");
    assert!(error.is_unavailable(), "{error:?}");
    let deadline = Deadline::after(20);
    let is_open = |pid: &str| pids().lines().any(|open| open == pid);
    while before.lines().all(is_open) {
        assert!(!deadline.has_passed(), "the connection is kept");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    put(&users, None, &node.owner).await.expect("a fresh connection");
}

/// O1, O2: a store that refuses writes is not ready until it accepts one.
#[tokio::test(flavor = "multi_thread")]
async fn ping_fails_while_writes_are_refused() {
    let server = Postgres::shared();
    let url = server.create_database();
    let node = Node::new(&url).await;
    let users = node.database.users();
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                  RAISE EXCEPTION USING ERRCODE = '53100'; END $$; \
                  CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON goat_users \
                  FOR EACH ROW EXECUTE FUNCTION refuse(); \
                  CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON goat_guard \
                  FOR EACH ROW EXECUTE FUNCTION refuse()";
    server.psql(name(&url), refuse);
    users.ping().await.expect("no write was refused yet");
    assert!(node.database.check_writable().await.expect_err("full").is_unavailable());
    put(&users, None, &node.owner).await.expect_err("full");
    for _ in 0..3 {
        assert!(users.ping().await.expect_err("full").is_unavailable());
        assert!(node.database.sessions().ping().await.expect_err("full").is_unavailable());
    }
    server.psql(name(&url), "DROP FUNCTION refuse CASCADE");
    users.ping().await.expect("a write succeeds");
    node.database.check_writable().await.expect("a write succeeds");
}
