//! The real program on loopback, with all that it says kept, and a client that sends any bytes.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// Far more than anything here takes: a bound for what hangs, not a measure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const ADMIN: &str = "admin@goat.local";
pub(crate) const ADMIN_PASSWORD: &str = "the password of the administrator";
pub(crate) const PASSWORD: &str = "a long walk on a short pier";

/// Settings under which no limit is met by chance.
pub(crate) const UNLIMITED: [(&str, &str); 6] = [
    ("GOAT_RATE_LIMIT_AUTH", "off"),
    ("GOAT_RATE_LIMIT_REFRESH", "off"),
    ("GOAT_RATE_LIMIT_PUBLIC", "off"),
    ("GOAT_RATE_LIMIT_ADDRESS", "off"),
    ("GOAT_RATE_LIMIT_USER", "off"),
    ("GOAT_ADMIN_PASSWORD", ADMIN_PASSWORD),
];

/// A server that runs; killed where it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    said: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts it in a folder, and waits until it is ready.
    pub(crate) fn start(folder: &Path, settings: &[(&str, &str)]) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_goat-server")).arg("serve"), folder, settings)
    }

    /// Starts it by a command that becomes it.
    pub(crate) fn run(command: &mut Command, folder: &Path, settings: &[(&str, &str)]) -> Self {
        let mut child = command
            .current_dir(folder)
            .env_clear()
            .env("GOAT_LISTEN", "127.0.0.1:0")
            .env("GOAT_LOG_FORMAT", "json")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let said = Arc::new(Mutex::new(String::new()));
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        let err = BufReader::new(child.stderr.take().expect("a pipe"));
        let errors = follow(err, Arc::clone(&said));
        let address = loop {
            let mut line = String::new();
            let length = out.read_line(&mut line).expect("text");
            assert!(length > 0, "it ended: {}", said.lock().expect("no panic"));
            said.lock().expect("no panic").push_str(&line);
            let fields: Value = serde_json::from_str(&line).expect("every line is JSON");
            if let Some(address) = fields["listening"].as_str() {
                break address.parse().expect("an address");
            }
        };
        let readers = vec![follow(out, Arc::clone(&said)), errors];
        Self { child, address, said, readers }
    }

    /// Ends it as an operator does; answers all that it said, line by line.
    pub(crate) fn stop(self) -> Vec<String> {
        self.signal("TERM");
        self.end()
    }

    /// Waits for the end of one that was told to leave; answers all that it said.
    pub(crate) fn end(mut self) -> Vec<String> {
        assert!(self.child.wait().expect("it ends").success());
        for reader in self.readers.drain(..) {
            reader.join().expect("no panic");
        }
        let said = self.said.lock().expect("no panic");
        said.lines().map(str::to_owned).collect()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status();
        assert!(status.expect("there is a kill command").success());
    }

    /// A connection.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        stream
    }

    /// Sends bytes as they are, and reads until the server closes.
    pub(crate) fn raw(&self, bytes: impl AsRef<[u8]>) -> Vec<Answer> {
        let mut stream = self.connect();
        // The server may answer and close before all of it was taken.
        let _ = stream.write_all(bytes.as_ref());
        read_all(stream)
    }

    /// Makes a request of its own connection.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let mut bytes = format!(
            "{method} {path} HTTP/1.1\r\nhost: goat\r\nconnection: close\r\n{headers}\
             content-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        let mut answers = self.raw(bytes);
        assert_eq!(answers.len(), 1, "{method} {path}: {answers:?}");
        answers.remove(0)
    }

    /// Makes a request with JSON, and a token unless that is empty.
    pub(crate) fn json(&self, method: &str, path: &str, token: &str, body: &Value) -> Answer {
        let mut headers = String::new();
        if !token.is_empty() {
            headers.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        if body.is_null() {
            return self.ask(method, path, &headers, b"");
        }
        headers.push_str("content-type: application/json\r\n");
        self.ask(method, path, &headers, body.to_string().as_bytes())
    }

    pub(crate) fn get(&self, path: &str, token: &str) -> Answer {
        self.json("GET", path, token, &Value::Null)
    }

    /// Tries to sign in.
    pub(crate) fn login(&self, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password });
        self.json("POST", "/api/v1/auth/login", "", &body)
    }

    /// Signs in.
    pub(crate) fn sign_in(&self, email: &str, password: &str) -> Tokens {
        let answer = self.login(email, password);
        assert_eq!(answer.status, 200, "{answer:?}");
        let text = |name: &str| answer.body["data"][name].as_str().expect(name).to_owned();
        Tokens { access: text("access_token"), refresh: text("refresh_token") }
    }

    /// Makes an active user; answers the id.
    pub(crate) fn make(&self, admin: &str, email: &str, role: &str) -> String {
        let body =
            json!({ "email": email, "password": PASSWORD, "role": role, "status": "active" });
        let answer = self.json("POST", "/api/v1/user", admin, &body);
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.body["data"]["id"].as_str().expect("an id").to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and that is well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What somebody has who has signed in.
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// The body as text.
    pub(crate) text: String,
    /// The body as JSON; `null` where it is none.
    pub(crate) body: Value,
}

impl Answer {
    /// A header, or the empty text.
    pub(crate) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(one, _)| one.eq_ignore_ascii_case(name));
        values.next().map_or("", |(_, value)| value)
    }

    /// The status and the code of a failure.
    pub(crate) fn failure(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }
}

fn follow(pipe: impl Read + Send + 'static, said: Arc<Mutex<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let line = line.expect("text");
            let mut said = said.lock().expect("no panic");
            said.push_str(&line);
            said.push('\n');
        }
    })
}

/// Reads every answer until the server closes.
pub(crate) fn read_all(mut stream: TcpStream) -> Vec<Answer> {
    let mut bytes = Vec::new();
    // A reset after the answers takes nothing from them.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).expect("text");
    let (mut answers, mut rest) = (Vec::new(), &*text);
    while let Some((head, after)) = rest.split_once("\r\n\r\n") {
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a status");
        let mut answer =
            Answer { status, head: head.to_owned(), text: String::new(), body: Value::Null };
        let length = answer.header("content-length").parse().unwrap_or(0);
        // The answer to HEAD has a length and no body.
        let length = if after.is_empty() { 0 } else { length };
        let (body, next) = after.split_at_checked(length).expect("the whole body");
        answer.text = body.to_owned();
        answer.body = serde_json::from_str(body).unwrap_or_default();
        answers.push(answer);
        rest = next;
    }
    assert_eq!(rest, "", "all of it is answers");
    answers
}

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}
