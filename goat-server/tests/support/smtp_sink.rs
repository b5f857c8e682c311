//! SMTP sink: a mail server in process that accepts letters, and fails at chosen stages.
//!
//! It keeps each letter whose end arrived, whether it confirmed the letter or not: a letter that is there twice
//! was sent twice.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The stage of a session at which the sink fails instead of its usual reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Banner,
    Ehlo,
    Mail,
    Rcpt,
    Data,
    /// In the content, before its end.
    Content,
    /// After the end of the content.
    End,
    /// After the reply to the end, while the connection is idle.
    Idle,
}

impl Stage {
    pub(crate) const ALL: [Self; 8] = [
        Self::Banner,
        Self::Ehlo,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Content,
        Self::End,
        Self::Idle,
    ];
}

/// How the sink fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It sends this reply, and goes on.
    Reply(&'static str),
    /// It sends this reply, and closes the connection.
    ReplyAndClose(&'static str),
    /// It sends nothing more.
    Stall,
    /// It closes the connection.
    Close,
}

/// A letter whose end arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) content: String,
}

/// A mail server. It ends when it is dropped.
pub(crate) struct Sink {
    address: SocketAddr,
    state: Arc<State>,
    server: JoinHandle<()>,
}

struct State {
    faults: Mutex<VecDeque<(Stage, Fault)>>,
    received: Mutex<Vec<Received>>,
    /// The verbs of all commands.
    commands: Mutex<Vec<String>>,
    counts: watch::Sender<Counts>,
    extensions: &'static [&'static str],
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) connections: usize,
    pub(crate) closed: usize,
    pub(crate) faults: usize,
    /// Letters that the sink confirmed.
    pub(crate) accepted: usize,
}

impl Sink {
    /// Starts a sink that fails once for each of the faults, in their order, when a session reaches the stage
    /// of the next one.
    pub(crate) async fn start(faults: impl IntoIterator<Item = (Stage, Fault)>) -> Self {
        Self::with_extensions(&["8BITMIME", "SIZE 1000000"], faults).await
    }

    /// As [`start`](Self::start), with other extensions in the reply to `EHLO`.
    pub(crate) async fn with_extensions(
        extensions: &'static [&'static str],
        faults: impl IntoIterator<Item = (Stage, Fault)>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            faults: Mutex::new(faults.into_iter().collect()),
            received: Mutex::default(),
            commands: Mutex::default(),
            counts: watch::Sender::default(),
            extensions,
        });
        let server = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, server }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the letters whose end arrived.
    pub(crate) fn received(&self) -> Vec<Received> {
        lock(&self.state.received).clone()
    }

    /// Returns the verbs of all commands.
    pub(crate) fn commands(&self) -> Vec<String> {
        lock(&self.state.commands).clone()
    }

    /// Fails at these stages from now on.
    pub(crate) fn fail_next(&self, faults: impl IntoIterator<Item = (Stage, Fault)>) {
        *lock(&self.state.faults) = faults.into_iter().collect();
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.state.counts.borrow()
    }

    /// Waits until the counts meet a condition.
    pub(crate) async fn until(&self, is_met: impl FnMut(&Counts) -> bool) -> Counts {
        let mut counts = self.state.counts.subscribe();
        *counts.wait_for(is_met).await.expect("the sink is there")
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut sessions = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        state.counts.send_modify(|counts| counts.connections += 1);
        let state = Arc::clone(&state);
        // A session ends with its connection, whatever the client does to it.
        sessions.spawn(async move {
            let _ = Session::new(stream, Arc::clone(&state)).run().await;
            state.counts.send_modify(|counts| counts.closed += 1);
        });
    }
}

struct Session {
    stream: BufReader<TcpStream>,
    state: Arc<State>,
}

/// The session is over.
struct Over;

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl Session {
    fn new(stream: TcpStream, state: Arc<State>) -> Self {
        Self { stream: BufReader::new(stream), state }
    }

    async fn run(mut self) -> Result<(), Over> {
        let (mut from, mut to) = (String::new(), String::new());
        self.reply(Stage::Banner, "220 sink ready").await?;
        loop {
            let line = self.line().await?;
            let verb = line.to_ascii_uppercase();
            let word = verb.split(' ').next().unwrap_or_default().to_owned();
            lock(&self.state.commands).push(word);
            if verb.starts_with("EHLO") {
                let mut reply = String::from("250-sink");
                for extension in self.state.extensions {
                    reply.push_str("\r\n250-");
                    reply.push_str(extension);
                }
                reply.push_str("\r\n250 HELP");
                self.reply(Stage::Ehlo, &reply).await?;
            } else if verb.starts_with("MAIL FROM:") {
                from = bracketed(&line);
                self.reply(Stage::Mail, "250 ok").await?;
            } else if verb.starts_with("RCPT TO:") {
                to = bracketed(&line);
                self.reply(Stage::Rcpt, "250 ok").await?;
            } else if verb == "DATA" {
                if !self.reply(Stage::Data, "354 go on").await? {
                    continue;
                }
                let content = self.content().await?;
                let letter = Received { from: from.clone(), to: to.clone(), content };
                lock(&self.state.received).push(letter);
                if self.reply(Stage::End, "250 accepted").await? {
                    self.state.counts.send_modify(|counts| counts.accepted += 1);
                }
                self.fail_at(Stage::Idle).await?;
            } else if verb == "QUIT" {
                self.write("221 bye").await?;
                return Ok(());
            } else {
                self.write("502 not implemented").await?;
            }
        }
    }

    /// Sends the usual reply of a stage, and returns whether it did; or fails.
    async fn reply(&mut self, stage: Stage, usual: &str) -> Result<bool, Over> {
        let fails = self.fail_at(stage).await?;
        if !fails {
            self.write(usual).await?;
        }
        Ok(!fails)
    }

    /// Fails if the next fault is of this stage, and returns whether it did.
    async fn fail_at(&mut self, stage: Stage) -> Result<bool, Over> {
        let fault = {
            let mut faults = lock(&self.state.faults);
            let is_next = faults.front().is_some_and(|(at, _)| *at == stage);
            is_next.then(|| faults.pop_front()).flatten()
        };
        let Some((_, fault)) = fault else { return Ok(false) };
        let state = Arc::clone(&self.state);
        let count = || state.counts.send_modify(|counts| counts.faults += 1);
        match fault {
            Fault::Reply(reply) => {
                count();
                self.write(reply).await?;
                Ok(true)
            }
            Fault::ReplyAndClose(reply) => {
                self.write(reply).await?;
                count();
                Err(Over)
            }
            Fault::Stall => {
                count();
                // Until the client gives up.
                while self.line().await.is_ok() {}
                Err(Over)
            }
            Fault::Close => {
                count();
                Err(Over)
            }
        }
    }

    async fn content(&mut self) -> Result<String, Over> {
        let mut content = String::new();
        loop {
            let line = self.line().await?;
            if content.is_empty() {
                self.fail_at(Stage::Content).await?;
            }
            if line == "." {
                return Ok(content);
            }
            // Transparency: RFC 5321 §4.5.2.
            content.push_str(line.strip_prefix('.').unwrap_or(&line));
            content.push_str("\r\n");
        }
    }

    async fn line(&mut self) -> Result<String, Over> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(Over);
        }
        Ok(line.strip_suffix("\r\n").ok_or(Over)?.to_owned())
    }

    async fn write(&mut self, reply: &str) -> Result<(), Over> {
        self.stream.get_mut().write_all(format!("{reply}\r\n").as_bytes()).await?;
        Ok(())
    }
}

/// Returns the text in angle brackets.
fn bracketed(line: &str) -> String {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map(|(inner, _)| inner.to_owned()).unwrap_or_default()
}
