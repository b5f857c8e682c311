//! The program in a folder of its own, with an environment of its own: run to its end, or serving.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use super::PATIENCE;

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
        Self { folder, variables: BTreeMap::new() }.with("GOAT_LISTEN", "127.0.0.1:0")
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
        command
            .args(arguments)
            .env_clear()
            .envs(&self.variables)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
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

    /// Runs a command that is expected to do what it is asked; answers what it says.
    pub(crate) fn run_well(&self, arguments: &[&str], input: &str) -> String {
        let ended = self.run_with_input(arguments, input);
        assert_eq!(ended.status, Some(0), "{arguments:?}: {ended:?}");
        ended.out
    }

    /// Starts a server without waiting for it.
    pub(crate) fn launch(&self) -> Server {
        let mut child = self.command(&["serve"]).spawn().expect("the program starts");
        let (sender, lines) = channel();
        follow(child.stdout.take().expect("a pipe"), sender.clone());
        follow(child.stderr.take().expect("a pipe"), sender);
        Server { child, lines, said: Vec::new() }
    }

    /// Starts a server and waits until it is ready.
    pub(crate) fn serve(&self) -> (Server, SocketAddr) {
        let mut server = self.launch();
        let ready = server.wait_for("ready");
        let address = ready["listening"].as_str().expect("an address").parse();
        (server, address.expect("an address"))
    }
}

/// A server that runs; killed where it is dropped.
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Server {
    /// Waits for the line of the log with this message.
    pub(crate) fn wait_for(&mut self, wanted: &str) -> Value {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("{wanted:?} was not said: {:?}", self.said);
            };
            let value = json(&line);
            self.said.push(line);
            if message(&value).starts_with(wanted) {
                return fields(value);
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .expect("there is a kill command");
        assert!(status.success());
    }

    /// Waits for the end; answers the exit status and everything that was said.
    pub(crate) fn end(mut self) -> (Option<i32>, Vec<String>) {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.said.push(line);
        }
        let status = self.child.wait().expect("it ends");
        (status.code(), std::mem::take(&mut self.said))
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Asks it to leave and waits until it is gone; answers everything that was said.
    pub(crate) fn stop(self) -> Vec<String> {
        self.signal("TERM");
        let (status, said) = self.end();
        assert_eq!(status, Some(0), "{said:?}");
        said
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and that is well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(pipe: impl Read + Send + 'static, lines: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let line = line.expect("text");
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

pub(crate) fn json(line: &str) -> Value {
    match serde_json::from_str(line) {
        Ok(value @ Value::Object(_)) => value,
        _ => panic!("not a JSON object: {line}"),
    }
}

/// The fields of a line, wherever the format puts them.
fn fields(line: Value) -> Value {
    if line["fields"].is_object() { line["fields"].clone() } else { line }
}

pub(crate) fn message(line: &Value) -> String {
    fields(line.clone())["message"].as_str().expect("a message").to_owned()
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
