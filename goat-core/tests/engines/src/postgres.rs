//! A private PostgreSQL: its own folder, its own port of 127.0.0.1, gone with its owner.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::account::Account;
use crate::certificate::Certificate;
use crate::keeper::{Keeper, output, wait_until};
use crate::{find, port, process};

/// Owner of everything in the instance.
const USER: &str = "goat";

/// How long the processes of a killed instance may take to be gone.
const DEATH: Duration = Duration::from_secs(10);

/// How an instance differs from the usual one.
#[derive(Clone, Debug, Default)]
pub struct PostgresOptions {
    /// Waits for the disk at every commit. A killed process needs it not, since what was written is
    /// the system's; a loss of power and a measurement do.
    pub durable: bool,
    /// Asks for this password (SCRAM) instead of trusting everybody; of letters, digits and dashes.
    pub password: Option<String>,
    /// Takes connections by TLS only, with a certificate of [`Postgres::authority`].
    pub tls: bool,
    /// Further lines of `postgresql.conf`.
    pub settings: Vec<String>,
}

/// A running instance. Dropped, or its process ended in whatever way, it is gone without a trace.
///
/// ```no_run
/// let database = goat_engines::Postgres::shared().create_database();
/// assert!(database.starts_with("postgres://goat@127.0.0.1:"));
/// ```
pub struct Postgres {
    keeper: Keeper,
    options: PostgresOptions,
    port: u16,
    authority: Option<PathBuf>,
    databases: AtomicU32,
    template: OnceLock<String>,
}

impl Postgres {
    /// The instance that all tests of this process share, started by the first who asks. Whoever
    /// stops or kills one starts one of their own.
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Postgres::start(PostgresOptions::default()))
    }

    /// Makes and starts an instance.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn start(options: PostgresOptions) -> Postgres {
        let keeper = Keeper::start("QUIT", Account::for_postgres());
        initialize(&keeper, &options);
        let authority = options.tls.then(|| {
            let made = Certificate::make(&keeper);
            let lines = format!(
                "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n",
                made.certificate.display(),
                made.key.display()
            );
            append(&keeper, &lines);
            made.authority
        });
        let databases = AtomicU32::new(0);
        let template = OnceLock::new();
        let mut postgres = Postgres { keeper, options, port: 0, authority, databases, template };
        for _ in 0..port::TRIES {
            postgres.port = port::free();
            match postgres.run() {
                Ok(()) => return postgres,
                Err(log) if port::was_taken(&log) => {}
                Err(log) => panic!("PostgreSQL does not start: {log}"),
            }
        }
        panic!("PostgreSQL found no free port")
    }

    /// Its folder, with `data` and `log` in it.
    pub fn folder(&self) -> &Path {
        self.keeper.folder()
    }

    /// Id of the server's first process, None while it is down.
    pub fn process_id(&self) -> Option<u32> {
        self.keeper.id()
    }

    /// Port of 127.0.0.1, the same for the whole life.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Address of the instance, for a [`crate::Proxy`].
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The file with what a client must trust, where the instance speaks TLS.
    pub fn authority(&self) -> Option<&Path> {
        self.authority.as_deref()
    }

    /// URL of the database `postgres`.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// URL of a database of the instance.
    pub fn url_of(&self, database: &str) -> String {
        let password = self.options.password.as_ref().map(|password| format!(":{password}"));
        let password = password.unwrap_or_default();
        format!("postgres://{USER}{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes an empty database and returns its URL: each test has one of its own.
    pub fn create_database(&self) -> String {
        self.url_of(&self.create_database_like("template0"))
    }

    /// Makes a copy of a database that `prepare` is given the URL of, once in the life of the
    /// instance, to set up. Nobody may be connected to that one when it returns. Returns the URL.
    pub fn copy_database(&self, prepare: impl FnOnce(&str)) -> String {
        let template = self.template.get_or_init(|| {
            let name = self.create_database_like("template0");
            prepare(&self.url_of(&name));
            name
        });
        self.url_of(&self.create_database_like(template))
    }

    fn create_database_like(&self, template: &str) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"));
        name
    }

    /// Runs SQL; returns the rows, a line each, columns parted by `|`.
    ///
    /// # Panics
    /// Where the SQL is refused.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql).unwrap_or_else(|said| panic!("{sql}: {said}"))
    }

    /// Like [`Postgres::psql`].
    ///
    /// # Errors
    /// What `psql` says where it cannot connect or the SQL is refused.
    pub fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut command = self.keeper.command(&find::postgres_folder().join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"]);
        command.args(["-p", &self.port.to_string(), "-U", USER, "-d", database, "-c", sql]);
        command.env("PGCONNECT_TIMEOUT", "10");
        if let Some(password) = &self.options.password {
            command.env("PGPASSWORD", password);
        }
        if let Some(authority) = &self.authority {
            command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", authority);
        }
        output(&mut command)
    }

    /// Ends it in order: transactions under way are rolled back, all is written.
    pub fn stop(&self) {
        self.keeper.end_by("INT");
    }

    /// Kills the server and every process of it, as a loss of power would.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&self) {
        // Held, it starts no further processes while the present ones are counted.
        let id = self.keeper.hold();
        let mut doomed = process::children_of(id);
        doomed.push(id);
        self.keeper.signal("KILL", &doomed);
        self.keeper.wait_for_end();
        // It would not start again while one of the old lives.
        for id in doomed {
            wait_until("a killed process is gone", DEATH, || {
                process::find(id).is_none_or(|process| process.is_dead())
            });
        }
    }

    /// Starts it again after [`Postgres::stop`] or [`Postgres::kill`]: same port, same data.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start_again(&self) {
        self.run().unwrap_or_else(|log| panic!("PostgreSQL does not start again: {log}"));
    }

    /// Restarts it as a hot standby: it answers reads and refuses writes.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn make_standby(&self) {
        self.stop();
        let signal = self.keeper.folder().join("data/standby.signal");
        std::fs::write(signal, "").expect("the folder can be written");
        self.start_again();
    }

    /// Makes the standby a server that takes writes again.
    ///
    /// # Panics
    /// Where it is no standby.
    pub fn promote(&self) {
        assert_eq!(self.psql("postgres", "SELECT pg_promote()"), "t", "it is promoted");
    }

    fn run(&self) -> Result<(), String> {
        let data = self.keeper.folder().join("data");
        let arguments = ["-D", &data.display().to_string(), "-p", &self.port.to_string()];
        let program = find::postgres_folder().join("postgres");
        self.keeper.run(&program, &arguments.map(str::to_owned));
        // What `pg_ctl` looks at: the first line is the server's id (an old file has another), the
        // eighth its state.
        self.keeper.wait_until_ready(|| {
            let lines = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            let mut lines = lines.lines().map(str::trim);
            let id = lines.next().and_then(|id| id.parse().ok());
            id.is_some()
                && id == self.keeper.id()
                && matches!(lines.nth(6), Some("ready" | "standby"))
        })
    }
}

fn initialize(keeper: &Keeper, options: &PostgresOptions) {
    let folder = keeper.folder().display();
    let mut line = format!("-D {folder}/data -U {USER} -E UTF8 --locale=C --no-sync");
    if let Some(password) = &options.password {
        std::fs::write(keeper.folder().join("password"), password).expect("it can be written");
        line += &format!(" -A scram-sha-256 --pwfile={folder}/password");
    } else {
        line += " -A trust";
    }
    let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
    keeper
        .run_to_end(&find::postgres_folder().join("initdb"), &arguments)
        .unwrap_or_else(|said| panic!("initdb: {said}"));
    if options.tls {
        let method = if options.password.is_some() { "scram-sha-256" } else { "trust" };
        let line = format!("hostssl all all 127.0.0.1/32 {method}\n");
        std::fs::write(keeper.folder().join("data/pg_hba.conf"), line).expect("it can be written");
    }
    // Shared memory as files of the folder, so that it goes with it.
    append(
        keeper,
        "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 200\n\
         shared_buffers = 32MB\ndynamic_shared_memory_type = mmap\njit = off\n",
    );
    if !options.durable {
        append(keeper, "fsync = off\nfull_page_writes = off\n");
    }
    for line in &options.settings {
        append(keeper, &format!("{line}\n"));
    }
}

/// The last line of a setting is the one that counts.
fn append(keeper: &Keeper, lines: &str) {
    use std::io::Write;
    let path = keeper.folder().join("data/postgresql.conf");
    let file = std::fs::OpenOptions::new().append(true).open(path);
    file.and_then(|mut file| file.write_all(lines.as_bytes())).expect("it can be written");
}
