//! The load generator: one run of wrk, and its output.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The load of one run.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    /// One header, as text; empty for none.
    pub(crate) header: String,
    /// A script that describes the request instead.
    pub(crate) script: Option<PathBuf>,
    pub(crate) threads: u32,
    pub(crate) connections: u32,
    pub(crate) seconds: u32,
    /// The core of the load generator; `None` for all.
    pub(crate) core: Option<usize>,
}

/// The result of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
    /// Responses other than 2xx and 3xx.
    pub(crate) refused: f64,
}

impl Load {
    /// Runs it.
    ///
    /// # Panics
    /// If wrk fails, a connection fails, or a response is not a success.
    pub(crate) fn run(&self) -> Outcome {
        let outcome = self.run_with_refusals();
        assert!(outcome.refused == 0.0, "{}: {} refused", self.path, outcome.refused);
        assert!(outcome.requests > 0.0, "{}: no response", self.path);
        outcome
    }

    /// Like [`Load::run`], but counts the responses that are not a success, and allows that there is none.
    pub(crate) fn run_with_refusals(&self) -> Outcome {
        let output = self.command().output().expect("wrk can be run");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "wrk: {}{text}", String::from_utf8_lossy(&output.stderr));
        assert!(!text.contains("Socket errors"), "{}: {text}", self.path);
        parse(&text).unwrap_or_else(|| panic!("unexpected output of wrk: {text}"))
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = pinned("wrk", self.core);
        command.arg(format!("-t{}", self.threads)).arg(format!("-c{}", self.connections));
        command.arg(format!("-d{}s", self.seconds)).args(["--latency", "--timeout", "10s"]);
        if !self.header.is_empty() {
            command.args(["-H", &self.header]);
        }
        if let Some(script) = &self.script {
            command.arg("-s").arg(script);
        }
        command.arg(format!("http://{}{}", self.address, self.path));
        command.stdin(Stdio::null());
        command
    }
}

/// A command that runs on one core, or on all, and is killed when this program ends in any way.
pub(crate) fn pinned(program: impl AsRef<std::ffi::OsStr>, core: Option<usize>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(core) = core {
        command.args(["taskset", "-c", &core.to_string()]);
    }
    command.arg(program);
    command
}

fn parse(text: &str) -> Option<Outcome> {
    let line = |start: &str| text.lines().map(str::trim).find_map(|line| line.strip_prefix(start));
    let counted = text.lines().map(str::trim).find(|line| line.contains(" requests in "))?;
    Some(Outcome {
        requests: counted.split(' ').next()?.parse().ok()?,
        per_second: line("Requests/sec:")?.trim().parse().ok()?,
        median: time(line("50%")?.trim())?,
        p99: time(line("99%")?.trim())?,
        refused: match line("Non-2xx or 3xx responses:") {
            Some(count) => count.trim().parse().ok()?,
            None => 0.0,
        },
    })
}

/// Parses `1.23ms`.
fn time(text: &str) -> Option<Duration> {
    let unit = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (value, unit) = text.split_at(unit);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Some(Duration::from_secs_f64(value.parse::<f64>().ok()? * seconds))
}
