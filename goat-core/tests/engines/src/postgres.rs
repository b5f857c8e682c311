//! A private PostgreSQL with its own folder and port, removed with its owner.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::account::Account;
use crate::certificate::Certificate;
use crate::supervisor::{Supervisor, output, wait_until};
use crate::{find, port, process};

/// Owner of all databases of the instance.
const USER: &str = "goat";

/// How long the processes of a killed instance may take to exit.
const DEATH: Duration = Duration::from_secs(60);

/// Options of an instance.
#[derive(Clone, Debug, Default)]
pub struct PostgresOptions {
    /// Syncs to disk at every commit. Needed against a loss of power and for measurements, not
    /// against a killed process.
    pub durable: bool,
    /// Requires this password (SCRAM) instead of trusting all clients; letters, digits and dashes.
    pub password: Option<String>,
    /// Accepts TLS connections only, with a certificate of [`Postgres::authority`].
    pub tls: bool,
    /// Further lines of `postgresql.conf`.
    pub settings: Vec<String>,
}

/// A running instance. It is removed when dropped, or when its process exits in any way.
///
/// ```no_run
/// let database = goat_engines::Postgres::shared().create_database();
/// assert!(database.starts_with("postgres://goat@127.0.0.1:"));
/// ```
pub struct Postgres {
    supervisor: Supervisor,
    options: PostgresOptions,
    port: u16,
    authority: Option<PathBuf>,
    databases: AtomicU32,
    template: OnceLock<String>,
}

impl Postgres {
    /// The instance shared by all tests of this process, started on first use. A test that stops or
    /// kills an instance starts its own.
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Postgres::start(PostgresOptions::default()))
    }

    /// Creates and starts an instance.
    ///
    /// # Panics
    /// If PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn start(options: PostgresOptions) -> Postgres {
        let supervisor = Supervisor::start("QUIT", Account::for_postgres());
        initialize(&supervisor, &options);
        let authority = options.tls.then(|| {
            let made = Certificate::make(&supervisor);
            let lines = format!(
                "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n",
                made.certificate.display(),
                made.key.display()
            );
            append(&supervisor, &lines);
            made.authority
        });
        let databases = AtomicU32::new(0);
        let template = OnceLock::new();
        let mut postgres =
            Postgres { supervisor, options, port: 0, authority, databases, template };
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

    /// The folder, with `data` and `log`.
    pub fn folder(&self) -> &Path {
        self.supervisor.folder()
    }

    /// Process id of the postmaster; `None` while it is down.
    pub fn process_id(&self) -> Option<u32> {
        self.supervisor.id()
    }

    /// Port on 127.0.0.1, constant over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Address of the instance, for a [`crate::Proxy`].
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The CA certificate for clients, if the instance uses TLS.
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

    /// Creates an empty database and returns its URL: each test has its own.
    pub fn create_database(&self) -> String {
        self.url_of(&self.create_database_like("template0"))
    }

    /// Creates a copy of a template database and returns its URL. `prepare` receives the template's
    /// URL and sets it up, once per instance; no client may be connected to it when it returns.
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

    /// Runs SQL and returns the rows, one per line, with columns separated by `|`.
    ///
    /// # Panics
    /// If the SQL fails.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Like [`Postgres::psql`].
    ///
    /// # Errors
    /// The output of `psql`, if it cannot connect or the SQL fails.
    pub fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut command = self.supervisor.command(&find::postgres_folder().join("psql"));
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

    /// Fast shutdown: open transactions are rolled back, and all data is written.
    pub fn stop(&self) {
        self.supervisor.end_by("INT");
    }

    /// Kills all processes of the server, like a crash.
    ///
    /// # Panics
    /// If it is not running.
    pub fn kill(&self) {
        // While stopped, it starts no further processes.
        let id = self.supervisor.hold();
        let mut processes = process::children_of(id);
        processes.push(id);
        self.supervisor.signal("KILL", &processes);
        self.supervisor.wait_for_end();
        // It does not start again while an old process exists.
        for id in processes {
            wait_until("a killed process is gone", DEATH, || {
                process::find(id).is_none_or(|process| process.is_dead())
            });
        }
    }

    /// Starts it again after [`Postgres::stop`] or [`Postgres::kill`], with the same port and data.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&self) {
        self.run().unwrap_or_else(|log| panic!("PostgreSQL does not start again: {log}"));
    }

    /// Restarts it as a hot standby, which allows reads and rejects writes.
    ///
    /// # Panics
    /// If it does not start.
    pub fn make_standby(&self) {
        self.stop();
        let signal = self.supervisor.folder().join("data/standby.signal");
        std::fs::write(signal, "").expect("the folder can be written");
        self.restart();
    }

    /// Promotes the standby to a primary.
    ///
    /// # Panics
    /// If it is not a standby.
    pub fn promote(&self) {
        assert_eq!(self.psql("postgres", "SELECT pg_promote()"), "t", "it is promoted");
    }

    fn run(&self) -> Result<(), String> {
        let data = self.supervisor.folder().join("data");
        let arguments = ["-D", &data.display().to_string(), "-p", &self.port.to_string()];
        let program = find::postgres_folder().join("postgres");
        self.supervisor.run(&program, &arguments.map(str::to_owned));
        // The state file of `pg_ctl`: the first line is the process id (an old file has another
        // one), the eighth line the state.
        self.supervisor.wait_until_ready(|| {
            let lines = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            let mut lines = lines.lines().map(str::trim);
            let id = lines.next().and_then(|id| id.parse().ok());
            id.is_some()
                && id == self.supervisor.id()
                && matches!(lines.nth(6), Some("ready" | "standby"))
        })
    }
}

fn initialize(supervisor: &Supervisor, options: &PostgresOptions) {
    let folder = supervisor.folder().display();
    let mut line = format!("-D {folder}/data -U {USER} -E UTF8 --locale=C --no-sync");
    if let Some(password) = &options.password {
        std::fs::write(supervisor.folder().join("password"), password).expect("it can be written");
        line += &format!(" -A scram-sha-256 --pwfile={folder}/password");
    } else {
        line += " -A trust";
    }
    let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
    supervisor
        .run_to_end(&find::postgres_folder().join("initdb"), &arguments)
        .unwrap_or_else(|error| panic!("initdb: {error}"));
    if options.tls {
        let method = if options.password.is_some() { "scram-sha-256" } else { "trust" };
        let line = format!("hostssl all all 127.0.0.1/32 {method}\n");
        std::fs::write(supervisor.folder().join("data/pg_hba.conf"), line)
            .expect("it can be written");
    }
    // Shared memory in files of the folder, so that it is removed with it.
    append(
        supervisor,
        "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 200\n\
         shared_buffers = 32MB\ndynamic_shared_memory_type = mmap\njit = off\n",
    );
    if !options.durable {
        append(supervisor, "fsync = off\nfull_page_writes = off\n");
    }
    for line in &options.settings {
        append(supervisor, &format!("{line}\n"));
    }
}

/// The last line of a setting takes effect.
fn append(supervisor: &Supervisor, lines: &str) {
    use std::io::Write;
    let path = supervisor.folder().join("data/postgresql.conf");
    let file = std::fs::OpenOptions::new().append(true).open(path);
    file.and_then(|mut file| file.write_all(lines.as_bytes())).expect("it can be written");
}
