//! W7, O3: a log that is not read.

use std::io::{BufRead as _, BufReader, PipeReader, Read as _, Write as _, pipe};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::{ADMIN, Client, TIMEOUT, UNLIMITED, json, message, prepare, status};

/// A server with both streams on one pipe, which the test reads or not.
struct Server {
    child: Child,
    log: BufReader<PipeReader>,
    address: SocketAddr,
    _folder: TempDir,
}

impl Server {
    /// Starts the server and reads its log until it is ready.
    fn start(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (reader, writer) = pipe().expect("a pipe");
        let mut command = Command::new(env!("CARGO_BIN_EXE_goat-server"));
        prepare(&mut command, folder.path())
            .arg("serve")
            .envs(settings.iter().copied())
            .stderr(writer.try_clone().expect("a second end"))
            .stdout(writer);
        let child = command.spawn().expect("the program starts");
        // The ends of this process, so that the pipe breaks with the server's.
        drop(command);
        let mut log = BufReader::new(reader);
        let address = loop {
            let mut line = String::new();
            log.read_line(&mut line).expect("text");
            let line = json(&line);
            if message(&line) == "ready" {
                break line["listening"].as_str().expect("an address").parse().expect("an address");
            }
        };
        Self { child, log, address, _folder: folder }
    }

    /// Sends requests on one connection, and reads each response.
    fn send(&self, request: &str, count: usize) {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        let mut responses = BufReader::new(stream.try_clone().expect("a second handle"));
        for _ in 0..count {
            stream.write_all(request.as_bytes()).expect("sent");
            let mut length = 0;
            loop {
                let mut line = String::new();
                responses.read_line(&mut line).expect("a response");
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.trim().parse().expect("a number");
                }
                if line == "\r\n" {
                    break;
                }
                assert!(!line.is_empty(), "the connection is open");
            }
            let mut body = vec![0; length];
            responses.read_exact(&mut body).expect("a body");
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .expect("the kill command");
        assert!(status.success());
    }

    /// Waits for the exit without reading the log, and returns the status.
    fn wait(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(start.elapsed() < TIMEOUT, "the process does not exit");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn dropped(&self, kind: &str) -> u64 {
        let metrics = Client::new(self.address).call("GET", "/api/metrics", None, None);
        let metrics = metrics.expect("a response").text;
        let name = format!("goat_log_lines_dropped_total{{kind=\"{kind}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&*name));
        value.expect("the metric").parse().expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const UNMATCHED: &str = "GET /nowhere HTTP/1.1\r\nHost: goat\r\n\r\n";

/// More lines than a pipe of 64 KiB holds.
const LINES: usize = 1000;

/// W7, O3.
#[test]
fn unread_log_blocks_neither_requests_nor_signals() {
    let mut server = Server::start(&UNLIMITED);
    server.send(UNMATCHED, LINES);
    // Security events, the stores and the probes work as before.
    let body = serde_json::json!({ "email": ADMIN, "password": "not the password at all" });
    for _ in 0..3 {
        let client = Client::new(server.address);
        let response = client.post("/api/v1/auth/login", None, &body).expect("a response");
        assert_eq!(response.failure(), (401, "invalid-credentials"));
    }
    assert_eq!(status(server.address, "/api/health"), 200);
    assert_eq!(status(server.address, "/api/ready"), 200);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
}

/// W7, O3.
#[test]
fn second_signal_ends_the_process_while_the_log_is_unread() {
    let delay = [&UNLIMITED[..], &[("GOAT_DRAIN_DELAY", "300s")]].concat();
    let mut server = Server::start(&delay);
    server.send(UNMATCHED, LINES);
    server.signal("TERM");
    // The signals may not merge into one.
    let start = Instant::now();
    while status(server.address, "/api/ready") != 503 {
        assert!(start.elapsed() < TIMEOUT, "the first signal has no effect");
    }
    server.signal("TERM");
    assert_eq!(server.wait(), Some(1));
}

/// W7: lines are dropped, counted and reported, in order, and the log continues.
#[test]
fn lines_dropped_by_a_full_queue_are_counted_and_reported() {
    let mut server = Server::start(&UNLIMITED);
    // Fills the queue too: a line with its overhead takes over 300 bytes. The scrapes are lines too.
    let mut sent = 1;
    while server.dropped("request") == 0 {
        server.send(UNMATCHED, LINES);
        sent += LINES as u64 + 1;
        assert!(sent <= 30 * LINES as u64, "the queue is not bounded");
    }

    let mut lines: Vec<Value> = Vec::new();
    let report = loop {
        let mut line = String::new();
        server.log.read_line(&mut line).expect("text");
        let line = json(&line);
        if message(&line).starts_with("log lines dropped") {
            break line;
        }
        lines.push(line);
    };
    assert_eq!(report["level"], "WARN");
    assert_eq!(report["security"], 0);
    let dropped = report["request"].as_u64().expect("a number");
    let written = lines.iter().filter(|line| line["status"].is_u64()).count() as u64;
    assert_eq!(written + dropped, sent, "each line is written or counted");
    let times: Vec<&str> = lines.iter().filter_map(|line| line["timestamp"].as_str()).collect();
    assert!(times.is_sorted(), "the lines are in order");

    server.send(UNMATCHED, 1);
    server.signal("TERM");
    let mut rest = String::new();
    server.log.read_to_string(&mut rest).expect("text");
    let rest: Vec<Value> = rest.lines().map(json).collect();
    assert_eq!(rest[0]["status"], 404);
    assert_eq!(message(rest.last().expect("a line")), "stopped", "the last line is flushed");
    assert_eq!(server.wait(), Some(0));
}

/// W7: the reader of the log dies.
#[test]
fn server_outlives_the_reader_of_its_log() {
    let mut server = Server::start(&UNLIMITED);
    let (unread, _) = pipe().expect("a pipe");
    server.log = BufReader::new(unread);
    server.send(UNMATCHED, LINES);
    assert_eq!(status(server.address, "/api/ready"), 200);
    assert!(server.dropped("request") > 0);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
}

/// W7: probes, and requests that a limit rejects, cannot fill a disk.
#[test]
fn probes_and_rejected_requests_write_few_lines() {
    let mut server = Server::start(&[]);
    for path in ["health", "ready"] {
        server.send(&format!("GET /api/{path} HTTP/1.1\r\nHost: goat\r\n\r\n"), 200);
        server.send(&format!("POST /api/{path} HTTP/1.1\r\nHost: goat\r\n\r\n"), 200);
    }
    server.send(UNMATCHED, 2000);
    server.signal("TERM");
    let mut rest = String::new();
    server.log.read_to_string(&mut rest).expect("text");
    let lines: Vec<Value> = rest.lines().map(json).collect();
    let of = |status: u64| lines.iter().filter(|line| line["status"] == status).count();
    assert_eq!((of(200), of(405)), (0, 0), "probes are logged at debug");
    // A hundred at once, and ten a second.
    assert_eq!(of(404), 100);
    assert!((100..1500).contains(&of(429)), "{}", of(429));
    assert_eq!(server.wait(), Some(0));
}
