//! Harness: runs an example as a child process and sends HTTP requests to it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// Timeout of each operation, so that a hanging example fails the test.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// A running example; killed on drop.
pub(crate) struct Program {
    child: Child,
    out: BufReader<ChildStdout>,
    address: String,
    /// Folder of the database, if the harness created it.
    folder: Option<TempDir>,
}

impl Program {
    /// Starts an example with a new database.
    pub(crate) fn start(path: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut program = Self::run(Command::new(path).arg(folder.path().join("example.db")));
        program.folder = Some(folder);
        program
    }

    /// Runs a command with the listen address as its last argument.
    pub(crate) fn run(command: &mut Command) -> Self {
        let (child, out, line) = Self::spawn(command.stderr(Stdio::inherit()));
        let address = line.trim().strip_prefix("listening on http://").expect("an address");
        Self { address: address.to_owned(), child, out, folder: None }
    }

    /// Runs a command that must fail at startup; returns its error output.
    pub(crate) fn fail(command: &mut Command) -> String {
        let (mut child, _, line) = Self::spawn(command.stderr(Stdio::piped()));
        // Killing an exited process fails, which is expected.
        let _ = child.kill();
        let output = child.wait_with_output().expect("an exit status");
        assert!(line.is_empty() && !output.status.success(), "it started: {line}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Starts a command and reads its first line, empty if the process exited.
    fn spawn(command: &mut Command) -> (Child, BufReader<ChildStdout>, String) {
        let command = command.arg("127.0.0.1:0").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the example starts");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        out.read_line(&mut line).expect("a line");
        (child, out, line)
    }

    /// Reads the next line of the example's output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// The address on which the example listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a request; returns the status, the head, and the body as JSON (`null` if it is not
    /// JSON).
    pub(crate) fn call(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> Response {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: example\r\nconnection: close\r\n");
        if !token.is_empty() {
            head += &format!("authorization: Bearer {token}\r\n");
        }
        head += &format!(
            "user-agent: a test\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).expect("sent");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        let json = serde_json::from_str(body).unwrap_or_default();
        Response { status, head: head.to_lowercase(), json }
    }

    pub(crate) fn get(&self, path: &str, token: &str) -> Response {
        self.call("GET", path, token, None)
    }

    pub(crate) fn post(&self, path: &str, token: &str, body: Value) -> Response {
        self.call("POST", path, token, Some(body))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Killing an exited process fails, which is expected.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) json: Value,
}

impl Response {
    /// Returns the status, and the code of the problem document.
    pub(crate) fn outcome(&self) -> (u16, &str) {
        (self.status, self.json["code"].as_str().unwrap_or_default())
    }

    pub(crate) fn text(&self, field: &str) -> String {
        self.json[field].as_str().unwrap_or_else(|| panic!("{field}: {}", self.json)).to_owned()
    }
}
