//! The life of one engine: a small shell that starts it, tells when it ends, and takes it and its
//! folder away when the owner is gone.
//!
//! Invariants: the shell is the only one that starts the engine, so there is no moment at which an
//! engine runs and nobody would end it; the engine holds no pipe of the owner.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::account::Account;
use crate::process;

const SCRIPT: &str = include_str!("keeper.sh");

/// How long the shell may take to answer, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition is asked for.
const STEP: Duration = Duration::from_millis(5);

#[derive(Clone, Copy)]
enum Event {
    Started(u32),
    /// With its exit code, as a shell gives it.
    Ended(i32),
}

struct State {
    /// None once the instance is being taken down.
    orders: Option<ChildStdin>,
    events: Receiver<Event>,
    engine: Option<u32>,
    /// Where the log of the present run begins.
    log_begins: usize,
}

impl State {
    fn order(&mut self, line: &str) {
        assert!(!line.contains('\n'), "an order is one line");
        let orders = self.orders.as_mut().expect("the instance is in use");
        writeln!(orders, "{line}").expect("the keeper of an engine is alive");
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
            Err(RecvTimeoutError::Disconnected) => panic!("the keeper of an engine has died"),
        }
    }
}

pub(crate) struct Keeper {
    shell: Child,
    folder: PathBuf,
    account: Option<Account>,
    state: Mutex<State>,
}

impl Keeper {
    /// A keeper with an empty folder. `farewell` is the signal that ends the engine at once;
    /// everything runs as `account` where one is given.
    pub(crate) fn start(farewell: &str, account: Option<Account>) -> Keeper {
        let mut command = Command::new("/bin/sh");
        // A signal for the owner's group (Ctrl-C) is not for the keeper: it lives by the pipe.
        command.args(["-c", SCRIPT, "keeper", farewell]).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        plain_environment(&mut command, account);
        let mut shell = command.spawn().expect("/bin/sh can be run");
        let orders = shell.stdin.take();
        let mut answers = BufReader::new(shell.stdout.take().expect("it is piped"));
        let mut first = String::new();
        answers.read_line(&mut first).expect("the keeper says where its folder is");
        let folder = first.trim_end().strip_prefix("folder ").unwrap_or_else(|| {
            panic!("no folder can be made in {}", std::env::temp_dir().display())
        });
        let folder = PathBuf::from(folder);

        let (tell, events) = channel();
        std::thread::spawn(move || {
            for line in answers.lines().map_while(Result::ok) {
                let event = match line.split_once(' ') {
                    Some(("started", id)) => Event::Started(id.parse().expect("an id")),
                    Some(("ended", code)) => Event::Ended(code.parse().expect("a code")),
                    _ => panic!("a keeper says {line:?}"),
                };
                if tell.send(event).is_err() {
                    return;
                }
            }
        });
        let state = Mutex::new(State { orders, events, engine: None, log_begins: 0 });
        Keeper { shell, folder, account, state }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the engine; its words must not contain line breaks.
    pub(crate) fn run(&self, program: &Path, arguments: &[String]) {
        let mut state = self.state();
        assert!(state.engine.is_none(), "the engine runs already");
        state.log_begins = self.whole_log().len();
        state.order(&format!("argument {}", program.display()));
        for argument in arguments {
            state.order(&format!("argument {argument}"));
        }
        state.order("start");
        match state.wait(PATIENCE) {
            Some(Event::Started(id)) => state.engine = Some(id),
            _ => panic!("{} could not be started", program.display()),
        }
    }

    /// Whether the engine runs; one that ended by itself does not.
    pub(crate) fn runs(&self) -> bool {
        let mut state = self.state();
        while state.engine.is_some() && state.wait(Duration::ZERO).is_some() {}
        state.engine.is_some()
    }

    /// The engine's process id while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.runs().then(|| self.state().engine).flatten()
    }

    /// Holds the engine's first process still, and waits until it is; its id.
    pub(crate) fn hold(&self) -> u32 {
        let id = self.id().expect("the engine runs");
        self.signal("STOP", &[id]);
        wait_until("the engine is held", PATIENCE, || {
            process::find(id).is_none_or(|process| process.is_stopped())
        });
        id
    }

    /// Sends a signal to the processes named, without waiting for its effect.
    pub(crate) fn signal(&self, name: &str, ids: &[u32]) {
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        self.state().order(&format!("signal {name} {}", ids.join(" ")));
    }

    /// Waits for the engine's end; its exit code, None where none runs.
    pub(crate) fn wait_for_end(&self) -> Option<i32> {
        let mut state = self.state();
        state.engine?;
        match state.wait(PATIENCE) {
            Some(Event::Ended(code)) => Some(code),
            _ => panic!("an engine does not end: {}", self.whole_log()),
        }
    }

    /// Runs a program that prepares the folder; Err with what it said where it failed.
    pub(crate) fn run_to_end(&self, program: &Path, arguments: &[String]) -> Result<(), String> {
        self.run(program, arguments);
        if self.wait_for_end() == Some(0) { Ok(()) } else { Err(self.log()) }
    }

    /// Sends the signal to the engine and waits for its end; nothing where none runs.
    pub(crate) fn end_by(&self, signal: &str) {
        if let Some(id) = self.id() {
            self.signal(signal, &[id]);
            self.wait_for_end();
        }
    }

    /// What the engine wrote since it was started last.
    pub(crate) fn log(&self) -> String {
        self.whole_log().split_off(self.state().log_begins)
    }

    fn whole_log(&self) -> String {
        let bytes = std::fs::read(self.folder.join("log")).unwrap_or_default();
        bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect()
    }

    /// Waits until the engine answers. Err with its log where it ended instead.
    pub(crate) fn wait_until_ready(&self, ready: impl Fn() -> bool) -> Result<(), String> {
        let begun = Instant::now();
        while !ready() {
            if !self.runs() {
                return Err(self.log());
            }
            assert!(begun.elapsed() < PATIENCE, "an engine does not answer: {}", self.log());
            std::thread::sleep(STEP);
        }
        Ok(())
    }

    /// A command as the engine's own user, in its folder, with nothing of the caller's environment
    /// that could lead it elsewhere.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        plain_environment(&mut command, self.account);
        command.current_dir(&self.folder).stdin(Stdio::null());
        command
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).orders = None;
        let _ = self.shell.wait();
    }
}

/// Only what a tool needs: no `PGHOST`, no `REDISCLI_AUTH` of whoever runs the tests.
fn plain_environment(command: &mut Command, account: Option<Account>) {
    command.env_clear().env("LC_ALL", "C").current_dir("/");
    for name in ["PATH", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    if let Some(account) = account {
        // Its own folder for temporary files may be closed to another user.
        command.env_remove("TMPDIR").uid(account.user).gid(account.group);
    }
}

/// Runs a command to its end; Err with what it said where it failed.
///
/// # Panics
/// Where it cannot be run, or does not end.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let deadline = Instant::now() + PATIENCE;
    let (said, complaint) = (read_all(child.stdout.take()), read_all(child.stderr.take()));
    let [said, complaint] = [said, complaint].map(|text| {
        let left = deadline.saturating_duration_since(Instant::now());
        text.recv_timeout(left).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("no end within {PATIENCE:?}: {command:?}")
        })
    });
    if child.wait().is_ok_and(|status| status.success()) {
        Ok(said)
    } else {
        Err(format!("{said}\n{complaint}"))
    }
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let mut pipe = pipe.expect("it is piped");
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = tell.send(String::from_utf8_lossy(&bytes).trim_end().to_owned());
    });
    told
}

/// Asks until the answer is yes.
///
/// # Panics
/// After `limit`, with `what` was waited for.
pub(crate) fn wait_until(what: &str, limit: Duration, yes: impl Fn() -> bool) {
    let begun = Instant::now();
    while !yes() {
        assert!(begun.elapsed() < limit, "in vain waited {limit:?} until {what}");
        std::thread::sleep(STEP);
    }
}
