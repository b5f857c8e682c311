//! Nodes, who signs in there, and waiting for what another process does.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use goat_engines::Postgres;
use serde_json::{Value, json};

use crate::support::process::{ADMIN, ADMIN_PASSWORD, Client, PATIENCE, Response, Site, UNLIMITED};

pub(crate) const TOKEN_SECRET: &str = "kT9vQ2xLr7ZpWc4NfYb8HsJd3MgRu6Ea";
pub(crate) const PEPPER: &str = "Xr6HdT3VqzS9nKc1yLfBw8GmJp5Ae2Du";
pub(crate) const PASSWORD: &str = "a long walk on a short pier";

/// An empty database of the instance that all tests share.
pub(crate) fn database() -> String {
    Postgres::shared().create_database()
}

/// A folder to run a node in, whose state is in this database and whose secrets are those of every
/// node here. It migrates when it starts.
pub(crate) fn node(database: &str) -> Site {
    let site = bare(database)
        .with("GOAT_JWT_SECRET", TOKEN_SECRET)
        .with("GOAT_PASSWORD_PEPPER", PEPPER)
        .with("GOAT_MIGRATE_ON_START", "true");
    UNLIMITED.into_iter().fold(site, |site, (name, value)| site.with(name, value))
}

/// A node of this database and Redis.
pub(crate) fn node_with(database: &str, redis: &str) -> Site {
    node(database).with("REDIS_URL", redis)
}

/// The same without any secret, and as shipped.
pub(crate) fn bare(database: &str) -> Site {
    Site::new().with("DATABASE_URL", database)
}

/// Whether a command tells which Redis it has reached: it is Valkey on a machine that has that.
pub(crate) fn names_redis(said: &str) -> bool {
    ["redis: Redis ", "redis: Valkey "].iter().any(|line| said.contains(line))
}

/// How soon another node obeys, on a machine that is busy with tests: far sooner than what it
/// remembers would end by itself where [`REMEMBERS`] is set.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// So long that only a notice brings a change to another node while a test waits.
pub(crate) const REMEMBERS: (&str, &str) = ("GOAT_SESSION_CACHE_STALENESS", "60s");

/// Waits until something holds, and sees to it that this is soon.
pub(crate) fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < SOON, "{what}: not within {SOON:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until something holds, for as long as anything may take.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Somebody who is signed in, and what they were given.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Person {
    pub(crate) fn of(response: &Response) -> Self {
        let token = |name: &str| response.body["data"][name].as_str().expect(name).to_owned();
        Self { access: token("access_token"), refresh: token("refresh_token") }
    }
}

/// A node at work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node(pub(crate) Client);

impl Node {
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self(Client::new(address))
    }

    pub(crate) fn sign_up(self, email: &str) {
        let body = json!({"email": email, "password": PASSWORD});
        let response = self.0.post("/api/v1/auth/signup", None, &body).expect("a response");
        assert_eq!(response.status, 201, "{response:?}");
    }

    pub(crate) fn try_login(self, email: &str, password: &str) -> Response {
        let body = json!({"email": email, "password": password});
        self.0.post("/api/v1/auth/login", None, &body).expect("a response")
    }

    pub(crate) fn login(self, email: &str) -> Person {
        let response = self.try_login(email, PASSWORD);
        assert_eq!(response.status, 200, "{response:?}");
        Person::of(&response)
    }

    pub(crate) fn administrator(self) -> Person {
        let response = self.try_login(ADMIN, ADMIN_PASSWORD);
        assert_eq!(response.status, 200, "{response:?}");
        Person::of(&response)
    }

    pub(crate) fn refresh(self, person: &Person) -> Response {
        let body = json!({"refresh_token": person.refresh});
        self.0.post("/api/v1/auth/refresh", None, &body).expect("a response")
    }

    /// Asks who one is: what every protected request begins with.
    pub(crate) fn profile(self, person: &Person) -> Response {
        self.0.get("/api/v1/user", &person.access).expect("a response")
    }

    pub(crate) fn logout(self, person: &Person) {
        let response = self.0.call("POST", "/api/v1/auth/logout", Some(&person.access), None);
        assert_eq!(response.expect("a response").status, 204);
    }

    pub(crate) fn ready(self) -> Response {
        self.0.call("GET", "/api/ready", None, None).expect("a response")
    }

    pub(crate) fn health(self) -> u16 {
        self.0.call("GET", "/api/health", None, None).expect("a response").status
    }

    /// Waits until it hears notices, so that it remembers what it has read.
    pub(crate) fn wait_until_it_hears(self) {
        wait_until("it hears", || self.series("goat_invalidation_connected") == Some(1.0));
    }

    /// The value of a series, if it is there.
    pub(crate) fn series(self, name: &str) -> Option<f64> {
        let response = self.0.call("GET", "/api/metrics", None, None).expect("a response");
        let value =
            response.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map(|value| value.parse().expect("a number"))
    }
}

/// The data of a response that is expected to be a success.
pub(crate) fn data(response: Option<Response>) -> Value {
    let response = response.expect("a response");
    assert!((200..300).contains(&response.status), "{response:?}");
    response.body["data"].clone()
}
