//! Supervisor of one engine process: a small shell that starts it, reports its exit, and removes it
//! and its folder when the owner, the test process, has exited.
//!
//! Invariants: only the shell starts the engine, so the engine is supervised at every moment; the
//! engine inherits no pipe of the owner.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::account::Account;
use crate::process;

const SCRIPT: &str = include_str!("supervisor.sh");

/// Timeout for a response of the shell, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(90);
/// How long a command may take, such as filling a table with a million rows on a busy machine.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(120);

/// Polling interval.
const STEP: Duration = Duration::from_millis(5);

#[derive(Clone, Copy)]
enum Event {
    Started(u32),
    /// The exit code as the shell reports it.
    Ended(i32),
}

struct State {
    /// `None` once the instance is being removed.
    orders: Option<ChildStdin>,
    events: Receiver<Event>,
    engine: Option<u32>,
    /// Where the log of the current run begins.
    log_begins: usize,
}

impl State {
    fn order(&mut self, line: &str) {
        assert!(!line.contains('\n'), "an order must be one line");
        let orders = self.orders.as_mut().expect("the instance is in use");
        writeln!(orders, "{line}").expect("the supervisor is alive");
    }

    fn wait(&mut self, limit: Duration) -> Option<Event> {
        match self.events.recv_timeout(limit) {
            Ok(event) => {
                if let Event::Ended(_) = event {
                    self.engine = None;
                }
                Some(event)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("the supervisor has exited"),
        }
    }
}

pub(crate) struct Supervisor {
    shell: Child,
    folder: PathBuf,
    account: Option<Account>,
    state: Mutex<State>,
}

impl Supervisor {
    /// Starts a supervisor with an empty folder. `kill_signal` is the signal that ends the engine at
    /// once; everything runs as `account` if given.
    pub(crate) fn start(kill_signal: &str, account: Option<Account>) -> Supervisor {
        let mut command = Command::new("/bin/sh");
        // Signals for the owner's process group (Ctrl-C) must not reach the supervisor, which ends
        // with its pipe.
        command.args(["-c", SCRIPT, "supervisor", kill_signal]).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        plain_environment(&mut command, account);
        let mut shell = command.spawn().expect("/bin/sh can be run");
        let orders = shell.stdin.take();
        let mut answers = BufReader::new(shell.stdout.take().expect("it is piped"));
        let mut first = String::new();
        answers.read_line(&mut first).expect("the supervisor reports its folder");
        let folder = first.trim_end().strip_prefix("folder ").unwrap_or_else(|| {
            panic!("cannot create a folder in {}", std::env::temp_dir().display())
        });
        let folder = PathBuf::from(folder);

        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in answers.lines().map_while(Result::ok) {
                let event = match line.split_once(' ') {
                    Some(("started", id)) => Event::Started(id.parse().expect("an id")),
                    Some(("ended", code)) => Event::Ended(code.parse().expect("a code")),
                    _ => panic!("unexpected line from the supervisor: {line:?}"),
                };
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let state = Mutex::new(State { orders, events, engine: None, log_begins: 0 });
        Supervisor { shell, folder, account, state }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the engine; its arguments must not contain line breaks.
    pub(crate) fn run(&self, program: &Path, arguments: &[String]) {
        let mut state = self.state();
        assert!(state.engine.is_none(), "the engine runs already");
        state.log_begins = self.whole_log().len();
        state.order(&format!("argument {}", program.display()));
        for argument in arguments {
            state.order(&format!("argument {argument}"));
        }
        state.order("start");
        match state.wait(TIMEOUT) {
            Some(Event::Started(id)) => state.engine = Some(id),
            _ => panic!("{} could not be started", program.display()),
        }
    }

    /// Whether the engine is running.
    pub(crate) fn runs(&self) -> bool {
        let mut state = self.state();
        while state.engine.is_some() && state.wait(Duration::ZERO).is_some() {}
        state.engine.is_some()
    }

    /// The engine's process id while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.runs().then(|| self.state().engine).flatten()
    }

    /// Stops the engine's first process (SIGSTOP), waits for the effect, and returns its id.
    pub(crate) fn hold(&self) -> u32 {
        let id = self.id().expect("the engine runs");
        self.signal("STOP", &[id]);
        wait_until("the engine is held", TIMEOUT, || {
            process::find(id).is_none_or(|process| process.is_stopped())
        });
        id
    }

    /// Sends a signal to processes, without waiting for its effect.
    pub(crate) fn signal(&self, name: &str, ids: &[u32]) {
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        self.state().order(&format!("signal {name} {}", ids.join(" ")));
    }

    /// Waits for the engine's exit and returns its code; `None` if none is running.
    pub(crate) fn wait_for_end(&self) -> Option<i32> {
        let mut state = self.state();
        state.engine?;
        match state.wait(TIMEOUT) {
            Some(Event::Ended(code)) => Some(code),
            _ => panic!("the engine does not exit: {}", self.whole_log()),
        }
    }

    /// Runs a program that prepares the folder; returns its output if it fails.
    pub(crate) fn run_to_end(&self, program: &Path, arguments: &[String]) -> Result<(), String> {
        self.run(program, arguments);
        if self.wait_for_end() == Some(0) { Ok(()) } else { Err(self.log()) }
    }

    /// Sends the signal to the engine, if it is running, and waits for its exit.
    pub(crate) fn end_by(&self, signal: &str) {
        if let Some(id) = self.id() {
            self.signal(signal, &[id]);
            self.wait_for_end();
        }
    }

    /// The engine's output since its last start.
    pub(crate) fn log(&self) -> String {
        self.whole_log().split_off(self.state().log_begins)
    }

    fn whole_log(&self) -> String {
        let bytes = std::fs::read(self.folder.join("log")).unwrap_or_default();
        bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect()
    }

    /// Waits until the engine is ready. Returns its log if it exits instead.
    pub(crate) fn wait_until_ready(&self, ready: impl Fn() -> bool) -> Result<(), String> {
        let begun = Instant::now();
        while !ready() {
            if !self.runs() {
                return Err(self.log());
            }
            assert!(begun.elapsed() < TIMEOUT, "the engine is not ready: {}", self.log());
            std::thread::sleep(STEP);
        }
        Ok(())
    }

    /// A command run as the engine's user, in its folder, with a clean environment.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        plain_environment(&mut command, self.account);
        command.current_dir(&self.folder).stdin(Stdio::null());
        command
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).orders = None;
        let _ = self.shell.wait();
    }
}

/// Keeps only the variables that tools need: no `PGHOST` or `REDISCLI_AUTH` of the caller.
fn plain_environment(command: &mut Command, account: Option<Account>) {
    command.env_clear().env("LC_ALL", "C").current_dir("/");
    for name in ["PATH", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    if let Some(account) = account {
        command.uid(account.user).gid(account.group);
    }
}

/// Runs a command to completion; returns its output as an error if it fails.
///
/// # Panics
/// If it cannot be run, or does not exit.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let deadline = Instant::now() + COMMAND_TIMEOUT;
    let (stdout, stderr) = (read_all(child.stdout.take()), read_all(child.stderr.take()));
    let [stdout, stderr] = [stdout, stderr].map(|text| {
        let left = deadline.saturating_duration_since(Instant::now());
        text.recv_timeout(left).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("no exit within {COMMAND_TIMEOUT:?}: {command:?}")
        })
    });
    if child.wait().is_ok_and(|status| status.success()) {
        Ok(stdout)
    } else {
        Err(format!("{stdout}\n{stderr}"))
    }
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let mut pipe = pipe.expect("it is piped");
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).trim_end().to_owned());
    });
    receiver
}

/// Polls until the condition holds.
///
/// # Panics
/// After `limit`, with the condition's name.
pub(crate) fn wait_until(condition: &str, limit: Duration, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < limit, "timed out after {limit:?}, waiting until {condition}");
        std::thread::sleep(STEP);
    }
}
