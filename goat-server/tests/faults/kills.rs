//! O4: PostgreSQL and Redis are killed and restarted repeatedly under load, at moments that the number
//! of responses determines. Acknowledged writes survive, ended sessions stay ended, and every retry
//! after a 503 succeeds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use goat_engines::{Persistence, Postgres, PostgresOptions, Redis, RedisOptions};
use serde_json::json;

use super::responses::{RECOVERY, once_recovered, wait_until_ready, with_short_timeouts};
use crate::support::node::{Node, PASSWORD, Tokens, node, node_with};
use crate::support::process::{Program, Response, TIMEOUT};
use crate::support::two_nodes::NodePair;

const CLIENTS: usize = 4;
const ROUNDS: u64 = 3;

/// Whether sessions survive a kill of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sessions {
    Kept,
    MayBeLost,
}

/// The acknowledged writes.
#[derive(Default)]
struct Ledger {
    /// Ids of users.
    users: Vec<String>,
    /// Live sessions.
    alive: Vec<Tokens>,
    /// Sessions whose end was acknowledged.
    ended: Vec<Tokens>,
}

/// The state of several clients on two nodes.
struct Load<'a> {
    nodes: [Node; 2],
    sessions: Sessions,
    ledger: Mutex<Ledger>,
    answered: AtomicU64,
    refused: AtomicU64,
    names: AtomicU64,
    over: &'a AtomicBool,
}

impl Load<'_> {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no client failed")
    }

    /// Retries on alternating nodes until the response is no 503. Returns also whether there was a retry.
    fn retry(&self, turn: u64, ask: impl Fn(Node) -> Option<Response>) -> (Response, bool) {
        let begun = Instant::now();
        for attempt in turn.. {
            let node = self.nodes[(attempt % 2) as usize];
            let response = ask(node).expect("no connection breaks");
            if response.status != 503 {
                assert_ne!(response.status, 500, "{response:?}");
                self.answered.fetch_add(1, Ordering::SeqCst);
                return (response, attempt > turn);
            }
            assert!(response.header("retry-after").parse::<u64>().is_ok_and(|wait| wait >= 1));
            assert!(begun.elapsed() < RECOVERY * 2, "{response:?}");
            self.refused.fetch_add(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(5));
        }
        unreachable!("it ends by its time")
    }

    /// Whether the rejection may be due to a lost session.
    fn may_be_lost(&self, response: &Response) -> bool {
        self.sessions == Sessions::MayBeLost && response.failure() == (401, "session-revoked")
    }

    /// Signs up, signs in, refreshes, and signs out every other time.
    fn run_client(&self) {
        let name = self.names.fetch_add(1, Ordering::SeqCst);
        let email = format!("user{name}@example.org");
        let credentials = json!({"email": email, "password": PASSWORD});
        let (signed_up, again) =
            self.retry(name, |node| node.0.post("/api/v1/auth/signup", None, &credentials));
        assert!(signed_up.status == 201 || again && signed_up.status == 409, "{signed_up:?}");
        if signed_up.status == 201 {
            let id = signed_up.body["data"]["id"].as_str().expect("an id").to_owned();
            self.ledger().users.push(id);
        }
        let (signed_in, _) = self.retry(name + 1, |node| Some(node.try_login(&email, PASSWORD)));
        assert_eq!(signed_in.status, 200, "{signed_in:?}");
        let mut tokens = Tokens::of(&signed_in);
        for turn in 0..3 {
            let (refreshed, _) = self.retry(turn, |node| Some(node.refresh(&tokens)));
            if self.may_be_lost(&refreshed) {
                return;
            }
            assert_eq!(refreshed.status, 200, "R3: {refreshed:?}");
            tokens = Tokens::of(&refreshed);
            let (profile, _) = self.retry(turn + 1, |node| Some(node.profile(&tokens)));
            if self.may_be_lost(&profile) {
                return;
            }
            assert_eq!(profile.status, 200, "{profile:?}");
        }
        if name.is_multiple_of(2) {
            let token = Some(&*tokens.access);
            let (signed_out, again) =
                self.retry(name, |node| node.0.call("POST", "/api/v1/auth/logout", token, None));
            if self.may_be_lost(&signed_out) {
                return;
            }
            assert!(
                signed_out.status == 204 || again && signed_out.status == 401,
                "{signed_out:?}"
            );
            self.ledger().ended.push(tokens);
        } else {
            self.ledger().alive.push(tokens);
        }
    }

    fn wait_for(&self, what: &AtomicU64, more: u64) {
        let due = what.load(Ordering::SeqCst) + more;
        let begun = Instant::now();
        while what.load(Ordering::SeqCst) < due {
            assert!(begun.elapsed() < TIMEOUT && !self.over.load(Ordering::SeqCst), "no responses");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn verify(&self) {
        let ledger = self.ledger();
        for node in self.nodes {
            wait_until_ready("afterwards", node);
        }
        let admin =
            once_recovered("admin", || {
                Some(self.nodes[0].try_login(
                    crate::support::process::ADMIN,
                    crate::support::process::ADMIN_PASSWORD,
                ))
            });
        let admin = Tokens::of(&admin);
        for id in &ledger.users {
            let path = format!("/api/v1/user/{id}");
            let user = self.nodes[1].0.get(&path, &admin.access).expect("a response");
            assert_eq!(user.status, 200, "an acknowledged user is lost: {user:?}");
        }
        for (turn, tokens) in ledger.alive.iter().enumerate() {
            let refreshed = self.nodes[turn % 2].refresh(tokens);
            assert!(refreshed.status == 200 || self.may_be_lost(&refreshed), "{refreshed:?}");
        }
        for tokens in &ledger.ended {
            for node in self.nodes {
                assert_eq!(node.profile(tokens).failure(), (401, "session-revoked"), "R4");
                assert_eq!(node.refresh(tokens).failure(), (401, "session-revoked"), "R4");
            }
        }
        assert!(!ledger.users.is_empty() && !ledger.ended.is_empty());
    }
}

/// Ends the load, even if a check fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// How to kill and to restart a backend.
type Backend<'a> = (&'a dyn Fn(), &'a dyn Fn());

fn kill_under_load(program: impl Fn() -> Program, backends: &[Backend<'_>], sessions: Sessions) {
    let over = AtomicBool::new(false);
    let pair = NodePair::start_connected([(); 2].map(|()| with_short_timeouts(program())));
    let load = Load {
        nodes: pair.nodes(),
        sessions,
        ledger: Mutex::default(),
        answered: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        names: AtomicU64::new(0),
        over: &over,
    };
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let _ending = Ending(&over);
                while !over.load(Ordering::SeqCst) {
                    load.run_client();
                }
            });
        }
        let _ending = Ending(&over);
        for round in 0..ROUNDS {
            for (kill, start) in backends {
                load.wait_for(&load.answered, 17 + round * 5);
                kill();
                load.wait_for(&load.refused, 3 + round);
                start();
            }
        }
        load.wait_for(&load.answered, 40);
    });
    load.verify();
    pair.stop();
}

#[test]
fn killed_postgresql_keeps_acknowledged_writes() {
    let durable = PostgresOptions { durable: true, ..Default::default() };
    let postgres = Postgres::start(durable);
    let url = postgres.url();
    let backend: Backend<'_> = (&|| postgres.kill(), &|| postgres.restart());
    kill_under_load(|| node(&url), &[backend], Sessions::Kept);
}

fn kill_both_under_load(persistence: Persistence, sessions: Sessions) {
    let postgres = Postgres::start(PostgresOptions { durable: true, ..Default::default() });
    let redis = Redis::start(RedisOptions { persistence, ..Default::default() });
    let (url, redis_url) = (postgres.url(), redis.url());
    let backends: [Backend<'_>; 2] =
        [(&|| redis.kill(), &|| redis.restart()), (&|| postgres.kill(), &|| postgres.restart())];
    kill_under_load(|| node_with(&url, &redis_url), &backends, sessions);
}

#[test]
fn killed_redis_with_persistence_keeps_acknowledged_writes() {
    kill_both_under_load(Persistence::Always, Sessions::Kept);
}

#[test]
fn killed_redis_without_persistence_loses_sessions_but_revives_none() {
    kill_both_under_load(Persistence::Nothing, Sessions::MayBeLost);
}
