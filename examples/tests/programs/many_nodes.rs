//! Example `many_nodes`: two nodes share one PostgreSQL and one Redis.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use goat_core::token::TokenKeys;
use goat_engines::{Postgres, Redis, RedisOptions};
use serde_json::{Value, json};

use crate::program::Program;

/// The configuration that all nodes share.
struct Installation {
    database: String,
    redis: Redis,
    token_key: String,
}

impl Installation {
    fn new() -> Self {
        Self {
            database: Postgres::shared().create_database(),
            redis: Redis::start(RedisOptions::default()),
            token_key: TokenKeys::generate_pem().expose().clone(),
        }
    }

    fn command(&self, pepper: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_many_nodes"));
        command
            .env("DATABASE_URL", &self.database)
            .env("REDIS_URL", self.redis.url())
            .env("TOKEN_KEY", &self.token_key)
            .env("PASSWORD_PEPPER", pepper);
        command
    }

    fn start_node(&self) -> Program {
        Program::run(&mut self.command("thirty-two bytes or more of noise"))
    }

    /// Starts two nodes concurrently on an empty database.
    fn start_two(&self) -> [Program; 2] {
        thread::scope(|scope| {
            let other = scope.spawn(|| self.start_node());
            [self.start_node(), other.join().expect("it starts")]
        })
    }
}

fn form() -> Value {
    json!({ "email": "ann@example.org", "password": "a long walk on a short pier" })
}

#[test]
fn changes_at_one_node_take_effect_at_the_other() {
    let installation = Installation::new();
    let [one, other] = installation.start_two();

    // A login at one node is valid at the other.
    assert_eq!(one.post("/signup", "", form()).status, 201);
    assert_eq!(other.post("/signup", "", form()).outcome(), (409, "email-taken"));
    let ann = one.post("/login", "", form()).text("access_token");
    let other_session = other.post("/login", "", form()).text("access_token");
    for node in [&one, &other] {
        assert_eq!(node.get("/reports", "").outcome(), (401, "unauthenticated"));
        assert_eq!(node.get("/reports", &ann).status, 200);
        assert_eq!(node.get("/reports", &other_session).status, 200);
    }

    // Five a minute in total, not per node.
    for node in [&one, &other, &other, &one, &other] {
        assert_eq!(node.post("/exports", &ann, Value::Null).status, 200);
    }
    for node in [&one, &other] {
        let limited = node.post("/exports", &other_session, Value::Null);
        assert_eq!(limited.outcome(), (429, "rate-limited"));
    }

    // The nodes share Ann's state, read from PostgreSQL, in the shared cache.
    assert_eq!(installation.redis.cli(&["--scan", "--pattern", "goat:*:u"]).lines().count(), 1);

    // A logout at one node takes effect at the other.
    assert_eq!(one.post("/logout", &ann, Value::Null).status, 204);
    assert_rejected_soon(&one, &ann);
    assert_rejected_soon(&other, &ann);
    assert_eq!(other.get("/reports", &other_session).status, 200);

    // A node that starts later enforces the same state.
    let third = installation.start_node();
    assert_eq!(third.get("/reports", &ann).outcome(), (401, "session-revoked"));
    let limited = third.post("/exports", &other_session, Value::Null);
    assert_eq!(limited.outcome(), (429, "rate-limited"));

    // Revoking all of Ann's sessions there takes effect at all nodes.
    let second = one.post("/login", "", form()).text("access_token");
    for node in [&one, &other] {
        assert_eq!(node.get("/reports", &second).status, 200);
    }
    assert_eq!(third.call("DELETE", "/sessions", &second, None).status, 204);
    for node in [&third, &one, &other] {
        assert_rejected_soon(node, &second);
        assert_rejected_soon(node, &other_session);
    }
}

/// Waits until a node rejects a token. Without the invalidation, its cache would accept the token
/// for ten more seconds; the invalidation may still be in flight when the revoking node responds.
fn assert_rejected_soon(node: &Program, token: &str) {
    let started = Instant::now();
    while node.get("/reports", token).status == 200 {
        assert!(started.elapsed() < Duration::from_secs(8), "no invalidation received");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(node.get("/reports", token).outcome(), (401, "session-revoked"));
}

/// P5: a node with a pepper that would fail every login does not start.
#[test]
fn a_node_with_a_different_pepper_does_not_start() {
    let installation = Installation::new();
    let node = installation.start_node();
    assert_eq!(node.post("/signup", "", form()).status, 201);
    let error = Program::fail(&mut installation.command("another, of thirty-two bytes or more"));
    assert!(error.contains("needs the pepper"), "{error}");
}
