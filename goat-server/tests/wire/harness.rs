//! A server to attack: the real program in any folder, and a client whose every call is answered.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::process::{self, Client, prepare};
pub(crate) use crate::support::process::{ADMIN, ADMIN_PASSWORD, Response, UNLIMITED};

pub(crate) const PASSWORD: &str = "a long walk on a short pier";

/// A server that runs; killed where it is dropped.
pub(crate) struct Server {
    process: process::Server,
    client: Client,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it in a folder, and waits until it is ready.
    pub(crate) fn start(folder: &Path, settings: &[(&str, &str)]) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_goat-server")).arg("serve"), folder, settings)
    }

    /// Starts it by a command that becomes it.
    pub(crate) fn run(command: &mut Command, folder: &Path, settings: &[(&str, &str)]) -> Self {
        prepare(command, folder).envs(settings.iter().copied());
        let mut process = process::Server::launch(command);
        let address = process.address();
        Self { process, client: Client::new(address), address }
    }

    /// Ends it as an operator does; responses all that it said, line by line.
    pub(crate) fn stop(self) -> Vec<String> {
        self.process.stop()
    }

    /// Waits for the end of one that was told to leave; responses all that it said.
    pub(crate) fn end(self) -> Vec<String> {
        self.process.end_well()
    }

    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// A connection.
    pub(crate) fn connect(&self) -> TcpStream {
        self.client.connect().expect("it listens")
    }

    /// Sends bytes as they are, and reads until the server closes.
    pub(crate) fn raw(&self, bytes: impl AsRef<[u8]>) -> Vec<Response> {
        self.client.raw(bytes.as_ref()).expect("all of it is responses")
    }

    /// Makes a request of its own connection.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Response {
        let response = self.client.ask(method, path, headers, body);
        response.unwrap_or_else(|| panic!("{method} {path}: no complete response"))
    }

    /// Makes a request with JSON, and a token unless that is empty.
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

    /// Makes an active user; responses the id.
    pub(crate) fn make(&self, admin: &str, email: &str, role: &str) -> String {
        let body =
            json!({ "email": email, "password": PASSWORD, "role": role, "status": "active" });
        let response = self.json("POST", "/api/v1/user", admin, &body);
        assert_eq!(response.status, 201, "{response:?}");
        response.body["data"]["id"].as_str().expect("an id").to_owned()
    }
}

/// What somebody has who has signed in.
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
