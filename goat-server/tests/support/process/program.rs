//! The program with a working directory and an environment of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::{ADMIN_PASSWORD, PRODUCTION, Server, json, message};

/// A configured program, not yet running.
pub(crate) struct Program {
    folder: TempDir,
    variables: BTreeMap<String, String>,
}

/// The exit status and the output of a run.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Exit {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

impl Exit {
    /// The output of both streams.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// The messages of a run that logged JSON only.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.text().lines().map(|line| message(&json(line))).collect()
    }
}

impl Program {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, variables: BTreeMap::new() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// A program in production on SQLite.
    pub(crate) fn in_production() -> Self {
        PRODUCTION.into_iter().fold(Self::new(), |program, (name, value)| program.with(name, value))
    }

    /// The program in production from now on, with the secrets that an earlier start generated.
    pub(crate) fn into_production(self) -> Self {
        let [pepper, key] = ["data/pepper", "data/jwt-key.pem"].map(|name| self.read(name));
        self.with("GOAT_ENV", "production")
            .with("GOAT_PASSWORD_PEPPER", pepper.trim())
            .with("GOAT_JWT_PRIVATE_KEY", key.trim())
            .with("GOAT_ADMIN_PASSWORD", ADMIN_PASSWORD)
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_goat-server"));
        prepare(&mut command, self.folder.path()).args(arguments).envs(&self.variables);
        command
    }

    /// Runs a command with this standard input, and waits for its exit.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Exit {
        let mut child =
            self.command(arguments).stdin(Stdio::piped()).spawn().expect("the program starts");
        let mut pipe = child.stdin.take().expect("a pipe");
        // The program may exit before it reads its input.
        let _ = pipe.write_all(input.as_bytes());
        drop(pipe);
        Exit::from(child.wait_with_output().expect("the program ends"))
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Exit {
        self.run_with_input(arguments, "")
    }

    /// Runs a command as another user.
    pub(crate) fn run_as(&self, user: u32, arguments: &[&str]) -> Exit {
        let mut command = self.command(arguments);
        let output = std::os::unix::process::CommandExt::uid(&mut command, user).output();
        Exit::from(output.expect("the program starts"))
    }

    /// Runs a command that must not write files larger than `limit` bytes.
    pub(crate) fn run_with_file_limit(&self, limit: u32, arguments: &[&str]) -> Exit {
        let mut command = Command::new("prlimit");
        command.arg(format!("--fsize={limit}:unlimited")).arg(env!("CARGO_BIN_EXE_goat-server"));
        prepare(&mut command, self.folder.path()).args(arguments).envs(&self.variables);
        Exit::from(command.output().expect("install util-linux"))
    }

    /// Runs a command that must succeed, and returns its standard output.
    pub(crate) fn run_ok(&self, arguments: &[&str], input: &str) -> String {
        let ended = self.run_with_input(arguments, input);
        assert_eq!(ended.status, Some(0), "{arguments:?}: {ended:?}");
        ended.out
    }

    /// Starts the server without waiting.
    pub(crate) fn launch(&self) -> Server {
        Server::launch(&mut self.command(&["serve"]))
    }

    /// Starts the server and waits until it is ready. A start that a busy machine keeps from its
    /// stores for longer than a short store timeout is repeated.
    pub(crate) fn serve(&self) -> (Server, SocketAddr) {
        const STARTS: usize = 4;
        for _ in 1..STARTS {
            let mut server = self.launch();
            match server.ready_or_exit() {
                Ok(address) => return (server, address),
                Err(()) => server.assert_unavailable(),
            }
        }
        let mut server = self.launch();
        let address = server.address();
        (server, address)
    }
}

/// Configures a command: this folder, an empty environment except for a free port, and piped output.
pub(crate) fn prepare<'c>(command: &'c mut Command, folder: &Path) -> &'c mut Command {
    command
        .env_clear()
        .env("GOAT_LISTEN", "127.0.0.1:0")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

/// Runs SQL on a SQLite database, and creates it if it does not exist.
pub(crate) fn sql(path: &Path, text: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        use sqlx::{ConnectOptions as _, Connection as _};
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let mut connection = options.create_if_missing(true).connect().await.expect("a database");
        sqlx::raw_sql(text).execute(&mut connection).await.expect("valid SQL");
        connection.close().await.expect("it closes");
    });
}
