//! The measured servers, each a process that is killed when dropped.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use benches::application::PASSWORD;
use benches::client::Client;
use serde_json::json;

use crate::options::SERVER_CORE;
use crate::wrk::pinned;

/// The administrator of every server.
pub(crate) const ADMIN: &str = "admin@example.org";
/// How long a server may take until it listens.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The limits of goat-server; all are set so wide that no request exceeds them.
const LIMITS: [&str; 10] = [
    "AUTH",
    "ACCOUNT",
    "ACCOUNT_DAY",
    "REFRESH",
    "PUBLIC",
    "ADDRESS",
    "USER",
    "VERIFY",
    "SESSION_CONTROL",
    "PASSWORD_CHECK",
];

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// The header of an allowed request.
    pub(crate) header: String,
    log: Option<PathBuf>,
    /// From its start until it listens.
    pub(crate) ready_after: Duration,
}

/// A user's token pair.
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Server {
    /// Starts a server of bench-reference.
    ///
    /// # Panics
    /// If it does not start.
    pub(crate) fn reference(program: &Path, name: &str, core: Option<usize>) -> Self {
        Self::reference_with_input(program, name, core, "")
    }

    /// Starts a server of bench-reference that sends this server's response to the same request, and
    /// does nothing else for it.
    ///
    /// # Panics
    /// If it does not start, or if this server does not respond with success.
    pub(crate) fn floor(&self, program: &Path, name: &str, path: &str) -> Self {
        let credentials = self.header.split_once(": ").map_or("", |(_, value)| value);
        let token = credentials.strip_prefix("Bearer ").unwrap_or_default();
        let received = Client::new(self.address).receive("GET", path, token, None);
        assert!((200..300).contains(&received.status), "{path}: {}", received.status);
        // The server itself adds the other two.
        let is_own =
            |line: &&String| !line.starts_with("date: ") && !line.starts_with("content-length: ");
        let mut input = format!("{}\n", received.status);
        for line in received.headers.iter().filter(is_own) {
            input.push_str(line);
            input.push('\n');
        }
        input.push('\n');
        input.push_str(&String::from_utf8_lossy(&received.body));
        let mut floor = Self::reference_with_input(program, name, Some(SERVER_CORE), &input);
        floor.header = self.header.clone();
        floor
    }

    fn reference_with_input(program: &Path, name: &str, core: Option<usize>, input: &str) -> Self {
        let mut command = pinned(program, core);
        command.arg(name).stdin(Stdio::piped()).stdout(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().expect("bench-reference can be run");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input.as_bytes()).expect("bench-reference reads its input");
        drop(stdin);
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut line = |start: &str| {
            let line = lines.next().expect("a line").expect("a line");
            line.strip_prefix(start).expect("the line of a server").trim().to_owned()
        };
        let address = line("listening").parse().expect("an address");
        let header = line("header");
        let ready_after = started.elapsed();
        Self { child, address, header, log: None, ready_after }
    }

    /// Starts goat-server with its data in `folder`, and the log in a file there.
    ///
    /// # Panics
    /// If it does not start.
    pub(crate) fn goat(
        program: &Path,
        core: Option<usize>,
        folder: &Path,
        settings: &[(&str, &str)],
    ) -> Self {
        let log = folder.join("log");
        let file = |path: &Path| -> File {
            OpenOptions::new().create(true).append(true).open(path).expect("a log")
        };
        let output = file(&log);
        output.set_len(0).expect("a log");
        let mut command = pinned(program, core);
        command.arg("serve").current_dir(folder).stdin(Stdio::null());
        command.stdout(output).stderr(file(&log));
        for (name, _) in std::env::vars().filter(|(name, _)| is_setting(name)) {
            command.env_remove(name);
        }
        command.env("GOAT_LISTEN", "127.0.0.1:0").env("GOAT_LOG_FORMAT", "json");
        command.env("GOAT_DATA_DIR", folder.join("data"));
        command.env("GOAT_ADMIN_EMAIL", ADMIN).env("GOAT_ADMIN_PASSWORD", PASSWORD);
        command.env("GOAT_ACCESS_TOKEN_TTL", "1h");
        command.env("GOAT_MAX_CONNECTIONS_PER_ADDRESS", "10000");
        for limit in LIMITS {
            command.env(format!("GOAT_RATE_LIMIT_{limit}"), "1000000/1s");
        }
        command.envs(settings.iter().copied());
        let started = Instant::now();
        let mut child = command.spawn().expect("goat-server can be run");
        let (address, ready_after) = loop {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if let Some((_, rest)) = text.split_once("\"listening\":\"")
                && let Some((address, _)) = rest.split_once('"')
            {
                break (address.parse().expect("an address"), started.elapsed());
            }
            assert!(child.try_wait().expect("a process").is_none(), "no start: {text}");
            assert!(started.elapsed() < TIMEOUT, "no start: {text}");
            std::thread::sleep(Duration::from_millis(1));
        };
        Self { child, address, header: String::new(), log: Some(log), ready_after }
    }

    /// Starts goat-server, and signs its administrator in.
    pub(crate) fn goat_signed_in(
        program: &Path,
        core: Option<usize>,
        folder: &Path,
        settings: &[(&str, &str)],
    ) -> Self {
        let mut server = Self::goat(program, core, folder, settings);
        server.header = format!("Authorization: Bearer {}", server.sign_in().access);
        server
    }

    /// Signs the administrator in.
    ///
    /// # Panics
    /// If the login fails.
    pub(crate) fn sign_in(&self) -> Tokens {
        let body = json!({"email": ADMIN, "password": PASSWORD});
        let mut client = Client::new(self.address);
        let (status, response) = client.call("POST", "/api/v1/auth/login", "", Some(&body));
        assert_eq!(status, 200, "{response}");
        let token = |name: &str| response["data"][name].as_str().expect("a token").to_owned();
        Tokens { access: token("access_token"), refresh: token("refresh_token") }
    }

    /// Creates an active user, in the name of the administrator that is signed in.
    ///
    /// # Panics
    /// If the user is refused.
    pub(crate) fn add_user(&self, email: &str) {
        let body = json!({"email": email, "password": PASSWORD, "status": "active"});
        let mut client = Client::new(self.address);
        let token = self.header.strip_prefix("Authorization: Bearer ").unwrap_or_default();
        let (status, response) = client.call("POST", "/api/v1/user", token, Some(&body));
        assert_eq!(status, 201, "{response}");
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Empties the log, so that it does not fill the disk.
    pub(crate) fn empty_log(&self) {
        if let Some(log) = &self.log {
            let file = OpenOptions::new().write(true).open(log);
            file.and_then(|file| file.set_len(0)).expect("a log");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_setting(name: &str) -> bool {
    name.starts_with("GOAT_") || name == "DATABASE_URL" || name == "REDIS_URL"
}
