//! Two nodes on one PostgreSQL and one Redis, and what one of them may not know alone.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use goat_core::token::TokenKeys;
use goat_engines::{Postgres, Redis, RedisOptions};
use serde_json::{Value, json};

use crate::program::Program;

/// What all nodes have in common.
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

    /// Two that start at the same moment, on a database that is empty.
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
fn what_happens_at_one_node_holds_at_the_other() {
    let installation = Installation::new();
    let [one, other] = installation.start_two();

    // Signed up and in at one, let in at the other.
    assert_eq!(one.post("/signup", "", form()).status, 201);
    assert_eq!(other.post("/signup", "", form()).outcome(), (409, "email-taken"));
    let ann = one.post("/login", "", form()).text("access_token");
    let also_ann = other.post("/login", "", form()).text("access_token");
    for node in [&one, &other] {
        assert_eq!(node.get("/reports", "").outcome(), (401, "unauthenticated"));
        assert_eq!(node.get("/reports", &ann).status, 200);
        assert_eq!(node.get("/reports", &also_ann).status, 200);
    }

    // Five a minute, and not five at each.
    for node in [&one, &other, &other, &one, &other] {
        assert_eq!(node.post("/exports", &ann, Value::Null).status, 200);
    }
    for node in [&one, &other] {
        let refused = node.post("/exports", &also_ann, Value::Null);
        assert_eq!(refused.outcome(), (429, "rate-limited"));
    }

    // What the nodes read of Ann in PostgreSQL, they share.
    assert_eq!(installation.redis.cli(&["--scan", "--pattern", "goat:*:u"]).lines().count(), 1);

    // Signed out at one, refused by the other.
    assert_eq!(one.post("/logout", &ann, Value::Null).status, 204);
    assert_refused_soon(&one, &ann);
    assert_refused_soon(&other, &ann);
    assert_eq!(other.get("/reports", &also_ann).status, 200);

    // A node that comes later knows all of it.
    let third = installation.start_node();
    assert_eq!(third.get("/reports", &ann).outcome(), (401, "session-revoked"));
    let refused = third.post("/exports", &also_ann, Value::Null);
    assert_eq!(refused.outcome(), (429, "rate-limited"));

    // And all that Ann has is ended there, for all.
    let anew = one.post("/login", "", form()).text("access_token");
    for node in [&one, &other] {
        assert_eq!(node.get("/reports", &anew).status, 200);
    }
    assert_eq!(third.call("DELETE", "/sessions", &anew, None).status, 204);
    for node in [&third, &one, &other] {
        assert_refused_soon(node, &anew);
        assert_refused_soon(node, &also_ann);
    }
}

/// A node has let somebody in and would go on for ten seconds. The notice that they are out may be
/// on its way when who sent it has answered, and comes at once.
fn assert_refused_soon(node: &Program, token: &str) {
    let began = Instant::now();
    while node.get("/reports", token).status == 200 {
        assert!(began.elapsed() < Duration::from_secs(3), "the invalidation has not come");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(node.get("/reports", token).outcome(), (401, "session-revoked"));
}

/// P5: better no node than one where every password is wrong.
#[test]
fn a_node_with_another_pepper_than_the_others_does_not_start() {
    let installation = Installation::new();
    let node = installation.start_node();
    assert_eq!(node.post("/signup", "", form()).status, 201);
    let said = Program::fail(&mut installation.command("another, of thirty-two bytes or more"));
    assert!(said.contains("needs the pepper"), "{said}");
}
