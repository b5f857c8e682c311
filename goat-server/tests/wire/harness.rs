//! A server in a given folder, and a client that requires a response to every call.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::process::{self, Client, prepare};
pub(crate) use crate::support::process::{ADMIN, ADMIN_PASSWORD, Response, UNLIMITED};

pub(crate) const PASSWORD: &str = "a long walk on a short pier";

/// A running server, killed when dropped.
pub(crate) struct Server {
    process: process::Server,
    client: Client,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts the server in a folder, and waits until it is ready.
    pub(crate) fn start(folder: &Path, settings: &[(&str, &str)]) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_goat-server")).arg("serve"), folder, settings)
    }

    /// Starts a command that executes the server.
    pub(crate) fn run(command: &mut Command, folder: &Path, settings: &[(&str, &str)]) -> Self {
        prepare(command, folder).envs(settings.iter().copied());
        let mut process = process::Server::launch(command);
        let address = process.address();
        Self { process, client: Client::new(address), address }
    }

    /// Shuts the server down and returns the log.
    pub(crate) fn stop(self) -> Vec<String> {
        self.process.stop()
    }

    /// Waits for the exit, which must be a success, and returns the log.
    pub(crate) fn wait(self) -> Vec<String> {
        self.process.wait_for_success()
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The resident memory of the process, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(status).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Opens a connection.
    pub(crate) fn connect(&self) -> TcpStream {
        self.client.connect().expect("it listens")
    }

    /// Sends raw bytes and reads until the server closes.
    pub(crate) fn raw(&self, bytes: impl AsRef<[u8]>) -> Vec<Response> {
        self.client.raw(bytes.as_ref()).expect("all of it is responses")
    }

    /// Sends a request on a connection of its own.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Response {
        let response = self.client.send(method, path, headers, body);
        response.unwrap_or_else(|| panic!("{method} {path}: no complete response"))
    }

    /// Sends a request with a JSON body unless it is `null`, and a token unless it is empty.
    pub(crate) fn json(&self, method: &str, path: &str, token: &str, body: &Value) -> Response {
        let token = (!token.is_empty()).then_some(token);
        let body = (!body.is_null()).then_some(body);
        let response = self.client.call(method, path, token, body);
        response.unwrap_or_else(|| panic!("{method} {path}: no complete response"))
    }

    pub(crate) fn get(&self, path: &str, token: &str) -> Response {
        self.json("GET", path, token, &Value::Null)
    }

    /// Tries to sign in.
    pub(crate) fn login(&self, email: &str, password: &str) -> Response {
        let body = json!({ "email": email, "password": password });
        self.json("POST", "/api/v1/auth/login", "", &body)
    }

    /// Signs in.
    pub(crate) fn sign_in(&self, email: &str, password: &str) -> Tokens {
        let response = self.login(email, password);
        assert_eq!(response.status, 200, "{response:?}");
        let text = |name: &str| response.body["data"][name].as_str().expect(name).to_owned();
        Tokens { access: text("access_token"), refresh: text("refresh_token") }
    }
}

/// The tokens of a session.
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

/// Reads every response until the server closes.
pub(crate) fn read_all(stream: TcpStream) -> Vec<Response> {
    process::read_all(stream).expect("all of it is responses")
}

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}
