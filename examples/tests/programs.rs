//! Starts each example on a database of its own, and calls it as a client would.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything here may take before the test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running example. It is killed when it is dropped.
struct Program {
    child: Child,
    address: String,
    /// Where its database is, for as long as it runs.
    _folder: TempDir,
}

impl Program {
    fn start(path: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(path)
            .arg(folder.path().join("example.db"))
            .arg("127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        out.read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on http://").expect("an address");
        Self { address: address.to_owned(), child, _folder: folder }
    }

    /// Sends a request; answers the status, the head, and the body as JSON (`null` where it is
    /// none).
    fn call(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Answer {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
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
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        let json = serde_json::from_str(body).unwrap_or_default();
        Answer { status, head: head.to_lowercase(), json }
    }

    fn get(&self, path: &str, token: &str) -> Answer {
        self.call("GET", path, token, None)
    }

    fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.call("POST", path, token, Some(body))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and that is well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Answer {
    status: u16,
    head: String,
    json: Value,
}

impl Answer {
    /// The status, and the code of a problem.
    fn outcome(&self) -> (u16, &str) {
        (self.status, self.json["code"].as_str().unwrap_or_default())
    }

    fn text(&self, field: &str) -> String {
        self.json[field].as_str().unwrap_or_else(|| panic!("{field}: {}", self.json)).to_owned()
    }
}

fn form(email: &str) -> Value {
    json!({ "email": email, "password": "a long walk on a short pier" })
}

/// What all examples do: signs somebody up and in; answers what the sign-in brought.
fn enter(program: &Program) -> Answer {
    assert_eq!(program.post("/signup", "", form("no address")).outcome(), (400, "validation"));
    assert_eq!(program.post("/signup", "", form("ann@example.org")).status, 201);
    assert_eq!(
        program.post("/signup", "", form("ann@example.org")).outcome(),
        (409, "email-taken")
    );
    let wrong = program.post("/login", "", form("bob@example.org"));
    assert_eq!(wrong.outcome(), (401, "invalid-credentials"));
    let tokens = program.post("/login", "", form("ann@example.org"));
    assert_eq!(tokens.status, 200);
    let access = tokens.text("access_token");
    assert_eq!(program.get("/reports", "").outcome(), (401, "unauthenticated"));
    assert_eq!(program.get("/audit", &access).outcome(), (403, "forbidden"));
    let allowed = program.get("/reports", &access);
    assert_eq!(allowed.status, 200);
    assert!(allowed.head.contains("\nratelimit: \"address\";r="), "{}", allowed.head);
    tokens
}

/// Asks until the limit of five a minute refuses, which it does after five.
fn ask_too_often(ask: impl Fn() -> Answer, used: usize) {
    for _ in used..5 {
        assert_eq!(ask().status, 200);
    }
    let refused = ask();
    assert_eq!(refused.outcome(), (429, "rate-limited"));
    assert!(refused.head.contains("\nretry-after: "), "{}", refused.head);
}

#[test]
fn the_api_on_axum_does_what_it_says() {
    let program = Program::start(env!("CARGO_BIN_EXE_axum"));
    let tokens = enter(&program);
    let access = tokens.text("access_token");

    let sessions = program.get("/sessions", &access);
    assert_eq!(sessions.json["sessions"][0]["device"], "a test");
    assert_eq!(sessions.json["sessions"][0]["current"], true);
    assert_eq!(program.get("/", "").status, 200);
    assert_eq!(program.get("/", "not a token").outcome(), (401, "invalid-token"));
    ask_too_often(|| program.post("/exports", &access, Value::Null), 0);

    let shown = json!({ "refresh_token": tokens.text("refresh_token") });
    let next = program.post("/refresh", "", shown).text("access_token");
    assert_eq!(program.get("/reports", &next).status, 200);
    assert_eq!(program.post("/logout", &next, Value::Null).status, 204);
    for token in [access, next] {
        assert_eq!(program.get("/reports", &token).outcome(), (401, "session-revoked"));
    }
}

#[test]
fn the_service_on_hyper_does_what_it_says() {
    let program = Program::start(env!("CARGO_BIN_EXE_hyper"));
    let access = enter(&program).text("access_token");
    ask_too_often(|| program.get("/reports", &access), 1);
    assert_eq!(program.get("/elsewhere", "").outcome(), (404, "not-found"));
}
