//! Nodes of the program on PostgreSQL and Redis, and a client for their API.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use goat_engines::Postgres;
use serde_json::{Value, json};

use crate::support::process::{
    ADMIN, ADMIN_PASSWORD, Client, Program, Response, TIMEOUT, UNLIMITED,
};

pub(crate) const TOKEN_SECRET: &str = "kT9vQ2xLr7ZpWc4NfYb8HsJd3MgRu6Ea";
pub(crate) const PEPPER: &str = "Xr6HdT3VqzS9nKc1yLfBw8GmJp5Ae2Du";
pub(crate) const PASSWORD: &str = "a long walk on a short pier";

/// An empty database of the instance that all tests share.
pub(crate) fn database() -> String {
    Postgres::shared().create_database()
}

/// A node on this database, with the secrets that all nodes share and without rate limits. It migrates
/// at the start.
pub(crate) fn node(database: &str) -> Program {
    let program = unconfigured_node(database)
        .with("GOAT_JWT_SECRET", TOKEN_SECRET)
        .with("GOAT_PASSWORD_PEPPER", PEPPER)
        .with("GOAT_MIGRATE_ON_START", "true");
    UNLIMITED.into_iter().fold(program, |program, (name, value)| program.with(name, value))
}

/// A node on this database and Redis.
pub(crate) fn node_with(database: &str, redis: &str) -> Program {
    node(database).with("REDIS_URL", redis)
}

/// A node on this database with the default settings.
pub(crate) fn unconfigured_node(database: &str) -> Program {
    Program::new().with("DATABASE_URL", database)
}

/// Whether the output of a command names the Redis server, which may be Valkey.
pub(crate) fn shows_redis_version(output: &str) -> bool {
    ["redis: Redis ", "redis: Valkey "].iter().any(|line| output.contains(line))
}

/// How soon a change reaches another node, even on a busy machine: far sooner than a cache entry expires
/// with [`LONG_STALENESS`].
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// A staleness so long that only an invalidation brings a change to another node while a test waits, and
/// that a late heartbeat disables no cache.
pub(crate) const LONG_STALENESS: (&str, &str) = ("GOAT_SESSION_CACHE_STALENESS", "60s");

/// Waits until a condition holds.
///
/// # Panics
/// If it does not hold within [`SOON`].
pub(crate) fn soon(condition: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < SOON, "{condition}: not within {SOON:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Like [`soon`], with the long [`TIMEOUT`].
pub(crate) fn wait_until(condition: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < TIMEOUT, "{condition}: not within {TIMEOUT:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The tokens of a session.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Tokens {
    pub(crate) fn of(response: &Response) -> Self {
        let token = |name: &str| response.body["data"][name].as_str().expect(name).to_owned();
        Self { access: token("access_token"), refresh: token("refresh_token") }
    }
}

/// A client of a running node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node(pub(crate) Client);

impl Node {
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self(Client::new(address))
    }

    /// Signs up and returns the id of the user.
    pub(crate) fn sign_up(self, email: &str) -> String {
        let body = json!({"email": email, "password": PASSWORD});
        let response = self.0.post("/api/v1/auth/signup", None, &body).expect("a response");
        assert_eq!(response.status, 201, "{response:?}");
        response.body["data"]["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) fn try_login(self, email: &str, password: &str) -> Response {
        let body = json!({"email": email, "password": password});
        self.0.post("/api/v1/auth/login", None, &body).expect("a response")
    }

    pub(crate) fn login(self, email: &str) -> Tokens {
        let response = self.try_login(email, PASSWORD);
        assert_eq!(response.status, 200, "{response:?}");
        Tokens::of(&response)
    }

    /// Opens a session of a user as an administrator, without the password.
    pub(crate) fn open_session(self, admin: &Tokens, user: &str) -> Tokens {
        let path = format!("/api/v1/user/{user}/session");
        let body = json!({"method": "ldap"});
        let response = self.0.post(&path, Some(&admin.access), &body).expect("a response");
        assert_eq!(response.status, 201, "{response:?}");
        Tokens::of(&response)
    }

    pub(crate) fn admin(self) -> Tokens {
        let response = self.try_login(ADMIN, ADMIN_PASSWORD);
        assert_eq!(response.status, 200, "{response:?}");
        Tokens::of(&response)
    }

    pub(crate) fn refresh(self, tokens: &Tokens) -> Response {
        let body = json!({"refresh_token": tokens.refresh});
        self.0.post("/api/v1/auth/refresh", None, &body).expect("a response")
    }

    /// Gets the profile, a protected request.
    pub(crate) fn profile(self, tokens: &Tokens) -> Response {
        self.0.get("/api/v1/user", &tokens.access).expect("a response")
    }

    pub(crate) fn logout(self, tokens: &Tokens) {
        let response = self.0.call("POST", "/api/v1/auth/logout", Some(&tokens.access), None);
        assert_eq!(response.expect("a response").status, 204);
    }

    pub(crate) fn ready(self) -> Response {
        self.0.call("GET", "/api/ready", None, None).expect("a response")
    }

    pub(crate) fn health(self) -> u16 {
        self.0.call("GET", "/api/health", None, None).expect("a response").status
    }

    /// Waits until the node is connected to the invalidation channel, so that it uses its caches.
    pub(crate) fn wait_until_connected(self) {
        wait_until("connected", || self.series("goat_invalidation_connected") == Some(1.0));
    }

    /// The value of a metric series, if it exists.
    pub(crate) fn series(self, name: &str) -> Option<f64> {
        let response = self.0.call("GET", "/api/metrics", None, None).expect("a response");
        let value =
            response.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map(|value| value.parse().expect("a number"))
    }
}

/// The `data` of a success.
///
/// # Panics
/// If the response is not a success.
pub(crate) fn data(response: Option<Response>) -> Value {
    let response = response.expect("a response");
    assert!((200..300).contains(&response.status), "{response:?}");
    response.body["data"].clone()
}
