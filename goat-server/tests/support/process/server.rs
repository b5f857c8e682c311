//! The program while it serves: what it says, and how it ends.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;

use serde_json::Value;

use super::PATIENCE;

/// A server that runs; killed where it is dropped.
pub(crate) struct Server {
    child: Child,
    /// Behind a mutex, so that threads of a test may share the server.
    lines: Mutex<Receiver<String>>,
    said: Vec<String>,
}

impl Server {
    /// Starts it by a command whose output is piped, without waiting for it.
    pub(crate) fn launch(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let (sender, lines) = channel();
        follow(child.stdout.take().expect("a pipe"), sender.clone());
        follow(child.stderr.take().expect("a pipe"), sender);
        Self { child, lines: Mutex::new(lines), said: Vec::new() }
    }

    fn next_line(&mut self) -> Result<String, RecvTimeoutError> {
        self.lines.get_mut().expect("no panic").recv_timeout(PATIENCE)
    }

    /// Waits for the line of the log with this message.
    pub(crate) fn wait_for(&mut self, wanted: &str) -> Value {
        loop {
            let Ok(line) = self.next_line() else {
                panic!("{wanted:?} was not said: {:?}", self.said);
            };
            let value = json(&line);
            self.said.push(line);
            if message(&value).starts_with(wanted) {
                return fields(value);
            }
        }
    }

    /// Waits until it is ready; responses where it listens.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let ready = self.wait_for("ready");
        let address = ready["listening"].as_str().expect("an address").parse();
        address.expect("an address")
    }

    /// Waits until it is ready, or ends without having been.
    pub(crate) fn begin(&mut self) -> Result<SocketAddr, ()> {
        while let Ok(line) = self.next_line() {
            let value = json(&line);
            self.said.push(line);
            if message(&value) == "ready" {
                let ready = fields(value);
                let address = ready["listening"].as_str().expect("an address").parse();
                return Ok(address.expect("an address"));
            }
        }
        Err(())
    }

    /// What it has said that nobody has looked at, without waiting for more.
    pub(crate) fn said_lately(&self) -> Vec<String> {
        self.lines.lock().expect("no panic").try_iter().collect()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .expect("there is a kill command");
        assert!(status.success());
    }

    /// Waits for the end; responses the exit status and everything that was said.
    pub(crate) fn end(mut self) -> (Option<i32>, Vec<String>) {
        while let Ok(line) = self.next_line() {
            self.said.push(line);
        }
        let status = self.child.wait().expect("it ends");
        (status.code(), std::mem::take(&mut self.said))
    }

    /// Waits for the end of one that was told to leave; responses everything that was said.
    pub(crate) fn end_well(self) -> Vec<String> {
        let (status, said) = self.end();
        assert_eq!(status, Some(0), "{said:?}");
        said
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Asks it to leave and waits until it is gone; responses everything that was said.
    pub(crate) fn stop(self) -> Vec<String> {
        self.signal("TERM");
        self.end_well()
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
