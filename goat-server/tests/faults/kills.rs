//! O4: engines are killed under load and come back, again and again, at moments that the number of
//! responses names. What was answered is there, what was ended stays so, and nobody who asks again, as
//! a 503 says, is answered anything but a success.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use goat_engines::{Persistence, Postgres, PostgresOptions, Redis, RedisOptions};
use serde_json::json;

use super::responses::{RECOVERY, impatient, once_well, wait_until_ready};
use crate::support::node::{Node, PASSWORD, Person, node, node_with};
use crate::support::process::{PATIENCE, Response, Site};
use crate::support::two_nodes::Pair;

const CLIENTS: usize = 4;
const ROUNDS: u64 = 4;

/// What becomes of the sessions of a Redis that is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sessions {
    Kept,
    MayBeLost,
}

/// What was answered.
#[derive(Default)]
struct Ledger {
    /// Users by id.
    users: Vec<String>,
    /// Who is signed in.
    alive: Vec<Person>,
    /// Whose session's end was answered.
    ended: Vec<Person>,
}

/// Several clients on two nodes.
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

    /// Asks one node after the other until it is no 503. Answers also whether it ever was one.
    fn ask(&self, turn: u64, ask: impl Fn(Node) -> Option<Response>) -> (Response, bool) {
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

    /// Whether a session may be gone that nobody ended.
    fn may_be_lost(&self, response: &Response) -> bool {
        self.sessions == Sessions::MayBeLost && response.failure() == (401, "session-revoked")
    }

    /// One life: signs up, signs in, asks, goes on, and every other time signs out.
    fn live(&self) {
        let name = self.names.fetch_add(1, Ordering::SeqCst);
        let email = format!("user{name}@example.org");
        let credentials = json!({"email": email, "password": PASSWORD});
        let (signed_up, again) =
            self.ask(name, |node| node.0.post("/api/v1/auth/signup", None, &credentials));
        assert!(signed_up.status == 201 || again && signed_up.status == 409, "{signed_up:?}");
        if signed_up.status == 201 {
            let id = signed_up.body["data"]["id"].as_str().expect("an id").to_owned();
            self.ledger().users.push(id);
        }
        let (signed_in, _) = self.ask(name + 1, |node| Some(node.try_login(&email, PASSWORD)));
        assert_eq!(signed_in.status, 200, "{signed_in:?}");
        let mut person = Person::of(&signed_in);
        for turn in 0..3 {
            let (refreshed, _) = self.ask(turn, |node| Some(node.refresh(&person)));
            if self.may_be_lost(&refreshed) {
                return;
            }
            assert_eq!(refreshed.status, 200, "R3: {refreshed:?}");
            person = Person::of(&refreshed);
            let (profile, _) = self.ask(turn + 1, |node| Some(node.profile(&person)));
            if self.may_be_lost(&profile) {
                return;
            }
            assert_eq!(profile.status, 200, "{profile:?}");
        }
        if name.is_multiple_of(2) {
            let token = Some(&*person.access);
            let (signed_out, again) =
                self.ask(name, |node| node.0.call("POST", "/api/v1/auth/logout", token, None));
            if self.may_be_lost(&signed_out) {
                return;
            }
            assert!(
                signed_out.status == 204 || again && signed_out.status == 401,
                "{signed_out:?}"
            );
            self.ledger().ended.push(person);
        } else {
            self.ledger().alive.push(person);
        }
    }

    fn wait_for(&self, what: &AtomicU64, more: u64) {
        let due = what.load(Ordering::SeqCst) + more;
        let begun = Instant::now();
        while what.load(Ordering::SeqCst) < due {
            assert!(
                begun.elapsed() < PATIENCE && !self.over.load(Ordering::SeqCst),
                "no responses"
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn verify(&self) {
        let ledger = self.ledger();
        for node in self.nodes {
            wait_until_ready("afterwards", node);
        }
        let admin =
            once_well("admin", || {
                Some(self.nodes[0].try_login(
                    crate::support::process::ADMIN,
                    crate::support::process::ADMIN_PASSWORD,
                ))
            });
        let admin = Person::of(&admin);
        for id in &ledger.users {
            let path = format!("/api/v1/user/{id}");
            let user = self.nodes[1].0.get(&path, &admin.access).expect("a response");
            assert_eq!(user.status, 200, "a user who was answered is gone: {user:?}");
        }
        for (turn, person) in ledger.alive.iter().enumerate() {
            let refreshed = self.nodes[turn % 2].refresh(person);
            assert!(refreshed.status == 200 || self.may_be_lost(&refreshed), "{refreshed:?}");
        }
        for person in &ledger.ended {
            for node in self.nodes {
                assert_eq!(node.profile(person).failure(), (401, "session-revoked"), "R4");
                assert_eq!(node.refresh(person).failure(), (401, "session-revoked"), "R4");
            }
        }
        assert!(!ledger.users.is_empty() && !ledger.ended.is_empty());
    }
}

/// Sees to it that the load ends, also where a check fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// An engine's death and return.
type Engine<'a> = (&'a dyn Fn(), &'a dyn Fn());

fn engines_die(site: impl Fn() -> Site, engines: &[Engine<'_>], sessions: Sessions) {
    let over = AtomicBool::new(false);
    let pair = Pair::that_hear([(); 2].map(|()| impatient(site())));
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
                    load.live();
                }
            });
        }
        let _ending = Ending(&over);
        for round in 0..ROUNDS {
            for (kill, start) in engines {
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
fn a_postgresql_that_dies_under_load_keeps_what_was_answered() {
    let durable = PostgresOptions { durable: true, ..Default::default() };
    let postgres = Postgres::start(durable);
    let url = postgres.url();
    let engine: Engine<'_> = (&|| postgres.kill(), &|| postgres.start_again());
    engines_die(|| node(&url), &[engine], Sessions::Kept);
}

fn both_die(persistence: Persistence, sessions: Sessions) {
    let postgres = Postgres::start(PostgresOptions { durable: true, ..Default::default() });
    let redis = Redis::start(RedisOptions { persistence, ..Default::default() });
    let (url, redis_url) = (postgres.url(), redis.url());
    let engines: [Engine<'_>; 2] = [
        (&|| redis.kill(), &|| redis.start_again()),
        (&|| postgres.kill(), &|| postgres.start_again()),
    ];
    engines_die(|| node_with(&url, &redis_url), &engines, sessions);
}

#[test]
fn a_redis_that_writes_always_and_dies_under_load_keeps_every_session_and_every_end() {
    both_die(Persistence::Always, Sessions::Kept);
}

#[test]
fn a_redis_that_keeps_nothing_and_dies_under_load_loses_sessions_and_gains_none() {
    both_die(Persistence::Nothing, Sessions::MayBeLost);
}
