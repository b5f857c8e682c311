//! A running server process: its log and its exit.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;

use serde_json::Value;

use super::TIMEOUT;

/// A server process, killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// In a mutex, so that threads can share the server.
    lines: Mutex<Receiver<String>>,
    log: Vec<String>,
}

impl Server {
    /// Starts a command whose output is piped.
    pub(crate) fn launch(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let (sender, lines) = channel();
        follow(child.stdout.take().expect("a pipe"), sender.clone());
        follow(child.stderr.take().expect("a pipe"), sender);
        Self { child, lines: Mutex::new(lines), log: Vec::new() }
    }

    fn next_line(&mut self) -> Result<String, RecvTimeoutError> {
        self.lines.get_mut().expect("no panic").recv_timeout(TIMEOUT)
    }

    /// Waits for a line of the log whose message starts with this text, and returns its fields.
    pub(crate) fn wait_for_message(&mut self, wanted: &str) -> Value {
        loop {
            let Ok(line) = self.next_line() else {
                panic!("no line {wanted:?}: {:?}", self.log);
            };
            let value = json(&line);
            self.log.push(line);
            if message(&value).starts_with(wanted) {
                return fields(value);
            }
        }
    }

    /// Waits until the server is ready, and returns its address.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let ready = self.wait_for_message("ready");
        let address = ready["listening"].as_str().expect("an address").parse();
        address.expect("an address")
    }

    /// Waits until the server is ready, or until it exits before that.
    pub(crate) fn ready_or_exit(&mut self) -> Result<SocketAddr, ()> {
        while let Ok(line) = self.next_line() {
            let value = json(&line);
            self.log.push(line);
            if message(&value) == "ready" {
                let ready = fields(value);
                let address = ready["listening"].as_str().expect("an address").parse();
                return Ok(address.expect("an address"));
            }
        }
        Err(())
    }

    /// Asserts that the server exited because a store was unavailable.
    pub(crate) fn assert_unavailable(&self) {
        let last = self.log.last().map(String::as_str).unwrap_or_default();
        assert!(last.contains("unavailable"), "no line \"ready\": {:?}", self.log);
    }

    /// The lines that were logged since the last call.
    pub(crate) fn new_lines(&self) -> Vec<String> {
        self.lines.lock().expect("no panic").try_iter().collect()
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .expect("the kill command");
        assert!(status.success());
    }

    /// Waits for the exit, and returns its status and the log.
    pub(crate) fn wait(mut self) -> (Option<i32>, Vec<String>) {
        while let Ok(line) = self.next_line() {
            self.log.push(line);
        }
        let status = self.child.wait().expect("it ends");
        (status.code(), std::mem::take(&mut self.log))
    }

    /// Waits for the exit, which must be a success, and returns the log.
    pub(crate) fn wait_for_success(self) -> Vec<String> {
        let (status, log) = self.wait();
        assert_eq!(status, Some(0), "{log:?}");
        log
    }

    /// Kills the process.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Shuts the server down and returns the log.
    pub(crate) fn stop(self) -> Vec<String> {
        self.signal("TERM");
        self.wait_for_success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have exited already.
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

/// Parses a line of the log.
///
/// # Panics
/// If it is no JSON object.
pub(crate) fn json(line: &str) -> Value {
    match serde_json::from_str(line) {
        Ok(value @ Value::Object(_)) => value,
        _ => panic!("not a JSON object: {line}"),
    }
}

/// The fields of a line in either format.
fn fields(line: Value) -> Value {
    if line["fields"].is_object() { line["fields"].clone() } else { line }
}

pub(crate) fn message(line: &Value) -> String {
    fields(line.clone())["message"].as_str().expect("a message").to_owned()
}
