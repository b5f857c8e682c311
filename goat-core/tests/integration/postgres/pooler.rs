//! A pooler in transaction mode, which uses another server connection for each transaction: goat
//! must not depend on connection state, nor change it.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use goat_core::invalidation::{Invalidation, Invalidations, Listener};
use goat_core::store::sql::{PostgresDatabase, PostgresOptions};
use goat_core::testing;
use goat_engines::Postgres;

use crate::postgres::support::{Deadline, account, name, open, open_with_caller_clock, put, role};

/// PgBouncer in transaction mode. It exits with this process, also if that is killed.
pub(crate) struct Pooler {
    /// A shell that ends the pooler when its input closes.
    supervisor: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Pooler {
    /// Starts a pooler with `connections` connections to the server.
    pub(crate) fn start(server: &Postgres, connections: u32) -> Self {
        // If another process takes the port in between, the pooler exits and the test fails.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        Self::start_on(server, connections, port)
    }

    /// Starts a pooler on this port.
    pub(crate) fn start_on(server: &Postgres, connections: u32, port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let all_users = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(folder.path(), all_users).expect("the folder is ours");
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=goat\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = {connections}\n\
             max_db_connections = {connections}\nmax_client_conn = 400\nlogfile = {}\n",
            server.port(),
            folder.path().join("log").display()
        );
        let path = folder.path().join("pgbouncer.ini");
        std::fs::write(&path, settings).expect("the folder is ours");
        // PgBouncer refuses to run as root.
        let script = "account=; [ \"$(id -u)\" = 0 ] && account='-u postgres'; \
                      pgbouncer -q $account \"$1\" & read -r line; kill $!; wait";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, "supervisor"]).arg(&path).stdin(Stdio::piped());
        let supervisor = command.stdout(Stdio::null()).spawn().expect("a shell");
        let deadline = Deadline::after(20);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(!deadline.has_passed(), "install pgbouncer 1.18 or later");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { supervisor, port, _folder: folder }
    }

    /// Runs SQL through the pooler, and returns the rows.
    pub(crate) fn psql(&self, direct: &str, sql: &str) -> String {
        let mut command = Command::new("psql");
        let url = self.url(direct);
        let output = command.args(["-X", "-q", "-A", "-t", "-w", "-c", sql, &url]).output();
        let output = output.expect("psql can be run");
        assert!(output.status.success(), "{sql}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database through the pooler.
    pub(crate) fn url(&self, direct: &str) -> String {
        format!("postgres://goat@127.0.0.1:{}/{}", self.port, name(direct))
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        self.supervisor.wait().expect("the shell is ours");
    }
}

/// Users, roles and sessions in parallel, with more callers than connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suites_pass_behind_a_transaction_mode_pooler() {
    let server = Postgres::shared();
    let pooler = Pooler::start(server, 4);
    let url = pooler.url(&server.create_database());
    let options = |url: &str| PostgresOptions {
        connections: 20,
        acquire_timeout: Duration::from_secs(30),
        ..PostgresOptions::new(format!("{url}?statement-cache-capacity=0"))
    };
    let open = open_with_caller_clock;
    let (database, node) = (open(&options(&url)).await, open(&options(&url)).await);
    // A purge affects all expired sessions, so two session suites need two databases.
    let another = open(&options(&pooler.url(&server.create_database()))).await;
    let (users, sessions, alone) =
        (database.users(), node.sessions(), another.sessions_without_users());
    tokio::join!(
        testing::users::conformance(&users),
        testing::sessions::conformance(&sessions),
        testing::sessions::conformance(&alone),
    );
    testing::roles::conformance(&database.roles()).await;
    testing::roles::conformance_with_users(&database.roles(), &database.users()).await;

    // The next user of these connections finds the server's default settings.
    for setting in ["statement_timeout", "idle_in_transaction_session_timeout"] {
        for _ in 0..4 {
            assert_eq!(pooler.psql(&url, &format!("SHOW {setting}")), "0", "{setting}");
        }
    }
}

/// Two clients that alternate on one connection prepare statements of the same name.
#[tokio::test]
async fn lost_prepared_statements_fail_with_advice() {
    let server = Postgres::shared();
    let url = server.create_database();
    let direct = open(&PostgresOptions::new(url.as_str())).await;
    let account = account(&role("client"));
    put(&direct.users(), None, &account).await.expect("the store responds");

    let pooler = Pooler::start(server, 1);
    let options = PostgresOptions { connections: 1, ..PostgresOptions::new(pooler.url(&url)) };
    let first = PostgresDatabase::open(&options).expect("a URL");
    let second = PostgresDatabase::open(&options).expect("a URL");
    first.users().by_id(account.user.id).await.expect("the first client");
    let error = second.users().by_id(account.user.id).await.expect_err("a duplicate statement");
    let shown = format!("{error:?}");
    assert!(shown.contains("max_prepared_statements"), "{shown}");
    assert!(shown.contains("statement-cache-capacity=0"), "{shown}");

    let options = PostgresOptions { prepared_statements: false, ..options };
    let second = PostgresDatabase::open(&options).expect("a URL");
    for _ in 0..10 {
        let found = second.users().by_id(account.user.id).await.expect("unnamed statements");
        assert_eq!(found.expect("the user").user, account.user);
    }
}

/// A7: `NOTIFY` works through a pooler in transaction mode, `LISTEN` does not. A node behind a pooler
/// stays disconnected, so it reads the database each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_behind_a_pooler_sends_invalidations_and_stays_disconnected() {
    let server = Postgres::shared();
    let url = server.create_database();
    let direct = open(&PostgresOptions::new(url.as_str())).await;
    for connections in [1, 2, 8] {
        let pooler = Pooler::start(server, connections);
        let options = PostgresOptions::new(pooler.url(&url));
        let options = PostgresOptions { prepared_statements: false, ..options };
        let pooled = PostgresDatabase::open(&options).expect("a URL");

        let staleness = Duration::from_millis(200);
        let (direct_node, pooled_node) = (
            LeaseCounter::on(&direct.invalidations(staleness)),
            LeaseCounter::on(&pooled.invalidations(staleness)),
        );
        let deadline = Deadline::after(20);
        while direct_node.0.leases() == 0 {
            assert!(!deadline.has_passed(), "the direct node connects");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        pooled_node.1.publish(Invalidation::Roles { revision: 1 }).await.expect("sent");
        while direct_node.1.stats().received == 0 {
            assert!(!deadline.has_passed(), "an invalidation through the pooler arrives");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // The node behind the pooler has at least the time of 20 leases to connect. Meanwhile, other
        // queries through the pooler receive their own results.
        let users = pooled.users();
        while direct_node.0.leases() < 20 {
            assert!(!deadline.has_passed(), "the direct node stays connected");
            users.ping().await.expect("an answer");
            pooled_node.1.publish(Invalidation::Roles { revision: 1 }).await.expect("sent");
            direct_node.1.publish(Invalidation::Roles { revision: 1 }).await.expect("sent");
        }
        assert_eq!(pooled_node.0.leases(), 0, "no heartbeat returns through the pooler");
        assert_eq!(pooled_node.1.stats().received, 0);
    }
}

/// Counts the leases.
#[derive(Debug, Default)]
struct LeaseCounter(AtomicUsize);

impl LeaseCounter {
    fn on(invalidations: &Arc<dyn Invalidations>) -> (Arc<Self>, Arc<dyn Invalidations>) {
        let counter = Arc::new(Self::default());
        let weak: Weak<Self> = Arc::downgrade(&counter);
        invalidations.subscribe(weak);
        (counter, Arc::clone(invalidations))
    }

    fn leases(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Listener for LeaseCounter {
    fn on_invalidation(&self, _: Invalidation) {}

    fn on_connected(&self, _: Duration) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
