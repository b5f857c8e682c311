//! A private Redis (or Valkey) with its own folder and port, removed with its owner.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::certificate::Certificate;
use crate::supervisor::{Supervisor, output, wait_until};
use crate::{find, port};

/// How long a replica may take to catch up.
const FOLLOWING: Duration = Duration::from_secs(60);

/// Which data survives a kill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persistence {
    /// None.
    #[default]
    Nothing,
    /// All but the last second.
    EverySecond,
    /// All acknowledged writes.
    Always,
}

/// Options of an instance.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    /// Which data survives a kill.
    pub persistence: Persistence,
    /// Requires this password; letters, digits and dashes.
    pub password: Option<String>,
    /// Accepts TLS connections only, with a certificate of [`Redis::authority`].
    pub tls: bool,
    /// Further lines of `redis.conf`.
    pub settings: Vec<String>,
}

/// A running instance. It is removed when dropped, or when its process exits in any way.
pub struct Redis {
    supervisor: Supervisor,
    options: RedisOptions,
    port: u16,
    authority: Option<PathBuf>,
    /// A sentinel rather than a data node.
    is_sentinel: bool,
}

impl Redis {
    /// The instance shared by all tests of this process, started on first use. A test uses keys
    /// below its own [`Redis::prefix`]; one that stops or kills an instance starts its own.
    pub fn shared() -> &'static Redis {
        static SHARED: OnceLock<Redis> = OnceLock::new();
        SHARED.get_or_init(|| Redis::start(RedisOptions::default()))
    }

    /// A key prefix that is unique in this process.
    pub fn prefix() -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // All of the same length, so that none is a prefix of another.
        format!("test{:05}", COUNT.fetch_add(1, Ordering::Relaxed))
    }

    /// Starts an empty instance.
    ///
    /// # Panics
    /// If Redis is not installed or does not start.
    #[must_use]
    pub fn start(options: RedisOptions) -> Redis {
        Redis::start_at(options, port::free, false)
    }

    /// Like [`Redis::start`], for cluster nodes and sentinels.
    pub(crate) fn start_at(options: RedisOptions, choose: fn() -> u16, is_sentinel: bool) -> Redis {
        let supervisor = Supervisor::start("KILL", None);
        let mut redis = Redis { supervisor, options, port: 0, authority: None, is_sentinel };
        let certificate = redis.options.tls.then(|| Certificate::make(&redis.supervisor));
        for _ in 0..port::TRIES {
            redis.port = choose();
            redis.write_configuration(certificate.as_ref());
            match redis.run() {
                Ok(()) => {
                    redis.authority = certificate.map(|made| made.authority);
                    return redis;
                }
                Err(log) if port::was_taken(&log) => {}
                Err(log) => panic!("Redis does not start: {log}"),
            }
        }
        panic!("Redis found no free port")
    }

    /// The folder, with the data and `log`.
    pub fn folder(&self) -> &Path {
        self.supervisor.folder()
    }

    /// Process id; `None` while it is down.
    pub fn process_id(&self) -> Option<u32> {
        self.supervisor.id()
    }

    /// Port on 127.0.0.1, constant over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The CA certificate for clients, if the instance uses TLS.
    pub fn authority(&self) -> Option<&Path> {
        self.authority.as_deref()
    }

    /// Address of the instance, for a [`crate::Proxy`].
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// URL of the instance, with its password.
    pub fn url(&self) -> String {
        let scheme = if self.options.tls { "rediss" } else { "redis" };
        let password = self.options.password.as_ref().map(|password| format!(":{password}@"));
        format!("{scheme}://{}127.0.0.1:{}", password.unwrap_or_default(), self.port)
    }

    /// Runs a command with `redis-cli` and returns its reply, also if that is an error.
    ///
    /// # Panics
    /// If the instance cannot be reached.
    pub fn cli(&self, arguments: &[&str]) -> String {
        self.try_cli(arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }

    /// Like [`Redis::cli`].
    ///
    /// # Errors
    /// The output of `redis-cli`, if it cannot reach the instance.
    pub fn try_cli(&self, arguments: &[&str]) -> Result<String, String> {
        static CLI: OnceLock<PathBuf> = OnceLock::new();
        let cli = CLI.get_or_init(|| find::program(&["redis-cli", "valkey-cli"], "redis-server"));
        let mut command = self.supervisor.command(cli);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        if let Some(authority) = &self.authority {
            command.arg("--tls").arg("--cacert").arg(authority);
        }
        if let Some(password) = &self.options.password {
            command.env("REDISCLI_AUTH", password);
        }
        output(command.args(arguments))
    }

    /// Shuts it down in order.
    pub fn stop(&self) {
        self.supervisor.end_by("TERM");
    }

    /// Kills it, like a crash.
    pub fn kill(&self) {
        self.supervisor.end_by("KILL");
    }

    /// Stops the process (SIGSTOP): connections stay open without replies until [`Redis::thaw`].
    ///
    /// # Panics
    /// If it is not running.
    pub fn freeze(&self) {
        self.supervisor.hold();
    }

    /// Ends [`Redis::freeze`].
    ///
    /// # Panics
    /// If it is not running.
    pub fn thaw(&self) {
        let id = self.supervisor.id().expect("it runs");
        self.supervisor.signal("CONT", &[id]);
    }

    /// Starts it again after [`Redis::stop`] or [`Redis::kill`], with the same port and the data
    /// that its [`Persistence`] kept.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&self) {
        self.run().unwrap_or_else(|log| panic!("Redis does not start again: {log}"));
    }

    /// Makes it a replica of `master` and waits until it has caught up.
    ///
    /// # Panics
    /// If that fails.
    pub fn replica_of(&self, master: &Redis) {
        if let Some(password) = &master.options.password {
            self.cli(&["CONFIG", "SET", "masterauth", password]);
        }
        assert_eq!(self.cli(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]), "OK");
        self.catch_up_with(master);
    }

    /// Waits until a replica has the data that its master had at the call.
    ///
    /// # Panics
    /// If it does not catch up.
    pub fn catch_up_with(&self, master: &Redis) {
        let status = || master.cli(&["INFO", "replication"]);
        let offset = |text: &str, name: &str| text.split_once(name)?.1.lines().next()?.parse().ok();
        let wanted: Option<u64> = offset(&status(), "master_repl_offset:");
        assert!(wanted.is_some(), "the master reports its offset");
        wait_until("the replica has caught up", FOLLOWING, || {
            let own = self.cli(&["INFO", "replication"]);
            // The master must also list it as online: it sends no commands before.
            own.contains("master_link_status:up")
                && status().contains(&format!("port={},state=online", self.port))
                && offset(&own, "slave_repl_offset:") >= wanted
        });
    }

    fn write_configuration(&self, certificate: Option<&Certificate>) {
        use std::fmt::Write;
        let (folder, port) = (self.supervisor.folder().display(), self.port);
        let mut text = format!("bind 127.0.0.1\ndir {folder}\ndaemonize no\n");
        if !self.is_sentinel {
            text += "save \"\"\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0\n";
            text += match self.options.persistence {
                Persistence::Nothing => "appendonly no\n",
                Persistence::EverySecond => "appendonly yes\nappendfsync everysec\n",
                Persistence::Always => "appendonly yes\nappendfsync always\n",
            };
        }
        if let Some(password) = &self.options.password {
            writeln!(text, "requirepass \"{password}\"").expect("a string can be written");
        }
        match certificate {
            None => writeln!(text, "port {port}"),
            Some(made) => writeln!(
                text,
                "port 0\ntls-port {port}\ntls-cert-file {}\ntls-key-file {}\n\
                 tls-ca-cert-file {}\ntls-auth-clients no\ntls-replication yes",
                made.certificate.display(),
                made.key.display(),
                made.authority.display()
            ),
        }
        .expect("a string can be written");
        for line in &self.options.settings {
            text += line;
            text += "\n";
        }
        std::fs::write(self.supervisor.folder().join("redis.conf"), text)
            .expect("it can be written");
    }

    fn run(&self) -> Result<(), String> {
        let server = server();
        let file = self.supervisor.folder().join("redis.conf").display().to_string();
        let (arguments, ready) = if self.is_sentinel {
            (vec![file, "--sentinel".to_owned()], "+monitor master")
        } else {
            (vec![file], "Ready to accept connections")
        };
        self.supervisor.run(server, &arguments);
        // Ready by its own log: at the port another process might respond.
        self.supervisor.wait_until_ready(|| self.supervisor.log().contains(ready))
    }
}

fn server() -> &'static Path {
    static SERVER: OnceLock<PathBuf> = OnceLock::new();
    SERVER.get_or_init(|| find::program(&["redis-server", "valkey-server"], "redis-server"))
}
