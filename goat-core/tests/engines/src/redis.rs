//! A private Redis (or Valkey): its own folder, its own port of 127.0.0.1, gone with its owner.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::certificate::Certificate;
use crate::keeper::{Keeper, output, wait_until};
use crate::{find, port};

/// How long a replica may take to have all of its master.
const FOLLOWING: Duration = Duration::from_secs(20);

/// What is left after a kill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing.
    #[default]
    Nothing,
    /// All but the last second.
    EverySecond,
    /// All that was answered.
    Always,
}

/// How an instance differs from the usual one.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    /// What is left after a kill.
    pub persistence: Persistence,
    /// Asks for this password, of letters, digits and dashes.
    pub password: Option<String>,
    /// Takes connections by TLS only, with a certificate of [`Redis::authority`].
    pub tls: bool,
    /// Further lines of `redis.conf`.
    pub settings: Vec<String>,
}

/// A running instance. Dropped, or its process ended in whatever way, it is gone without a trace.
pub struct Redis {
    keeper: Keeper,
    options: RedisOptions,
    port: u16,
    authority: Option<PathBuf>,
    /// It watches others instead of holding data.
    is_sentinel: bool,
}

impl Redis {
    /// The instance that all tests of this process share, started by the first who asks. A test
    /// keeps to keys below a [`Redis::prefix`] of its own; whoever stops or kills an instance starts
    /// one of their own.
    pub fn shared() -> &'static Redis {
        static SHARED: OnceLock<Redis> = OnceLock::new();
        SHARED.get_or_init(|| Redis::start(RedisOptions::default()))
    }

    /// A prefix for keys that no other test of this process has.
    pub fn prefix() -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // All of one length: none is the beginning of another.
        format!("test{:05}", COUNT.fetch_add(1, Ordering::Relaxed))
    }

    /// Starts an empty instance.
    ///
    /// # Panics
    /// Where Redis is not installed or does not start.
    #[must_use]
    pub fn start(options: RedisOptions) -> Redis {
        Redis::start_at(options, port::free, false)
    }

    /// The same for the parts of a cluster and for a sentinel.
    pub(crate) fn start_at(options: RedisOptions, choose: fn() -> u16, is_sentinel: bool) -> Redis {
        let keeper = Keeper::start("KILL", None);
        let mut redis = Redis { keeper, options, port: 0, authority: None, is_sentinel };
        let certificate = redis.options.tls.then(|| Certificate::make(&redis.keeper));
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

    /// Its folder, with its data and `log` in it.
    pub fn folder(&self) -> &Path {
        self.keeper.folder()
    }

    /// Id of its process, None while it is down.
    pub fn process_id(&self) -> Option<u32> {
        self.keeper.id()
    }

    /// Port of 127.0.0.1, the same for the whole life.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The file with what a client must trust, where the instance speaks TLS.
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

    /// Runs a command with `redis-cli`; returns its answer, also where that is an error.
    ///
    /// # Panics
    /// Where the instance cannot be reached.
    pub fn cli(&self, arguments: &[&str]) -> String {
        self.try_cli(arguments).unwrap_or_else(|said| panic!("{arguments:?}: {said}"))
    }

    /// Like [`Redis::cli`].
    ///
    /// # Errors
    /// What `redis-cli` says where it cannot reach the instance.
    pub fn try_cli(&self, arguments: &[&str]) -> Result<String, String> {
        static CLI: OnceLock<PathBuf> = OnceLock::new();
        let cli = CLI.get_or_init(|| find::program(&["redis-cli", "valkey-cli"], "redis-server"));
        let mut command = self.keeper.command(cli);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        if let Some(authority) = &self.authority {
            command.arg("--tls").arg("--cacert").arg(authority);
        }
        if let Some(password) = &self.options.password {
            command.env("REDISCLI_AUTH", password);
        }
        output(command.args(arguments))
    }

    /// Ends it in order.
    pub fn stop(&self) {
        self.keeper.end_by("TERM");
    }

    /// Kills it, as a loss of power would.
    pub fn kill(&self) {
        self.keeper.end_by("KILL");
    }

    /// Holds it still: it keeps its connections and answers nothing until [`Redis::thaw`].
    ///
    /// # Panics
    /// Where it does not run.
    pub fn freeze(&self) {
        self.keeper.hold();
    }

    /// Ends what [`Redis::freeze`] began.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn thaw(&self) {
        let id = self.keeper.id().expect("it runs");
        self.keeper.signal("CONT", &[id]);
    }

    /// Starts it again after [`Redis::stop`] or [`Redis::kill`]: same port, with the data that its
    /// [`Persistence`] kept.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start_again(&self) {
        self.run().unwrap_or_else(|log| panic!("Redis does not start again: {log}"));
    }

    /// Makes it a replica of the other and waits until it has all of it.
    ///
    /// # Panics
    /// Where it does not succeed.
    pub fn replica_of(&self, master: &Redis) {
        if let Some(password) = &master.options.password {
            self.cli(&["CONFIG", "SET", "masterauth", password]);
        }
        assert_eq!(self.cli(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]), "OK");
        self.catch_up_with(master);
    }

    /// Waits until a replica has all that its master had when this was called.
    ///
    /// # Panics
    /// Where it does not get it.
    pub fn catch_up_with(&self, master: &Redis) {
        let asked = || master.cli(&["INFO", "replication"]);
        let offset = |text: &str, name: &str| text.split_once(name)?.1.lines().next()?.parse().ok();
        let wanted: Option<u64> = offset(&asked(), "master_repl_offset:");
        assert!(wanted.is_some(), "the master says how much it has");
        wait_until("the replica has all of its master", FOLLOWING, || {
            let said = self.cli(&["INFO", "replication"]);
            // The master too must hold it for ready: before, it sends no commands yet.
            said.contains("master_link_status:up")
                && asked().contains(&format!("port={},state=online", self.port))
                && offset(&said, "slave_repl_offset:") >= wanted
        });
    }

    fn write_configuration(&self, certificate: Option<&Certificate>) {
        use std::fmt::Write;
        let (folder, port) = (self.keeper.folder().display(), self.port);
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
        std::fs::write(self.keeper.folder().join("redis.conf"), text).expect("it can be written");
    }

    fn run(&self) -> Result<(), String> {
        let server = server();
        let file = self.keeper.folder().join("redis.conf").display().to_string();
        let (arguments, ready) = if self.is_sentinel {
            (vec![file, "--sentinel".to_owned()], "+monitor master")
        } else {
            (vec![file], "Ready to accept connections")
        };
        self.keeper.run(server, &arguments);
        // Asked by its log, not by its port, where another might answer.
        self.keeper.wait_until_ready(|| self.keeper.log().contains(ready))
    }
}

fn server() -> &'static Path {
    static SERVER: OnceLock<PathBuf> = OnceLock::new();
    SERVER.get_or_init(|| find::program(&["redis-server", "valkey-server"], "redis-server"))
}
