//! The program in a folder of its own, with an environment of its own: run to its end, or serving.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{Server, json, message};

/// A folder to run the program in.
pub(crate) struct Site {
    folder: TempDir,
    variables: BTreeMap<String, String>,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// What was said on either stream.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// The messages of a run that said nothing but JSON.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.text().lines().map(|line| message(&json(line))).collect()
    }
}

impl Site {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, variables: BTreeMap::new() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
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

    /// Runs the program to its end, with this on its standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child =
            self.command(arguments).stdin(Stdio::piped()).spawn().expect("the program starts");
        let mut pipe = child.stdin.take().expect("a pipe");
        // A program that has ended before it read is no failure of the test.
        let _ = pipe.write_all(input.as_bytes());
        drop(pipe);
        let output = child.wait_with_output().expect("the program ends");
        Ended {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with_input(arguments, "")
    }

    /// Runs a command that is expected to do what it is asked; responses what it says.
    pub(crate) fn run_well(&self, arguments: &[&str], input: &str) -> String {
        let ended = self.run_with_input(arguments, input);
        assert_eq!(ended.status, Some(0), "{arguments:?}: {ended:?}");
        ended.out
    }

    /// Starts a server without waiting for it.
    pub(crate) fn launch(&self) -> Server {
        Server::launch(&mut self.command(&["serve"]))
    }

    /// Starts a server and waits until it is ready.
    pub(crate) fn serve(&self) -> (Server, SocketAddr) {
        let mut server = self.launch();
        let address = server.address();
        (server, address)
    }
}

/// Has a command run in a folder, with no environment but a port of its own, and its output piped.
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

/// Runs SQL on a database of SQLite, which is made if it is not there.
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
