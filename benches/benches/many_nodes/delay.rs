//! How soon the other node obeys: it is asked in a tight loop while the act is done on the first.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use goat_engines::{Postgres, Redis};
use serde_json::json;

use super::client::Client;
use super::node::{Node, Person};

const ROUNDS: usize = 200;
/// How many clients ask as fast as they are answered meanwhile.
const LOAD: usize = 4;
/// Far longer than anything here takes; less would be the end of what is remembered by its age.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
enum Act {
    Logout,
    Suspension,
    RoleChange,
}

impl Act {
    /// What the other is asked, and what it answers before and after.
    fn question(self) -> (&'static str, u16, u16) {
        match self {
            Self::Logout | Self::Suspension => ("/api/v1/user", 200, 401),
            Self::RoleChange => ("/api/v1/user/list", 200, 403),
        }
    }

    fn perform(self, at: &mut Client, person: &Person, admin: &Person) {
        let id = person.id;
        let (status, body) = match self {
            Self::Logout => at.call("POST", "/api/v1/auth/logout", &person.access, None),
            Self::Suspension => {
                let body = json!({"status": "suspended"});
                let path = format!("/api/v1/user/{id}/change-status");
                at.call("PATCH", &path, &admin.access, Some(&body))
            }
            Self::RoleChange => {
                let path = format!("/api/v1/user/{id}/change-role");
                at.call("PATCH", &path, &admin.access, Some(&json!({"role": "client"})))
            }
        };
        assert!((200..300).contains(&status), "{self:?}: {status} {body}");
    }
}

/// The time from the answer, and from the question, until the other obeys.
struct Delay {
    answered: Duration,
    asked: Duration,
}

pub(crate) fn measure(postgres: &Postgres, redis: Option<&Redis>) {
    let (url, redis_url) = (postgres.create_database(), redis.map(Redis::url));
    let nodes = [(); 2].map(|()| Node::start(&url, redis_url.as_deref()));
    let admin = nodes[0].person("admin@example.org", "admin");
    let invalidations = if redis.is_some() { "Redis" } else { "LISTEN/NOTIFY" };
    for load in [0, LOAD] {
        for act in [Act::Logout, Act::Suspension, Act::RoleChange] {
            let over = AtomicBool::new(false);
            let mut delays = thread::scope(|scope| {
                for turn in 0..load {
                    let (address, over) = (nodes[turn % 2].address, &over);
                    let name = format!("load-{invalidations}-{act:?}-{turn}@example.org");
                    let person =
                        nodes[turn % 2].person(&name.to_lowercase().replace('/', "-"), "client");
                    scope.spawn(move || ask_on(address, person, over));
                }
                let delays = rounds(&nodes, act, load, &admin);
                over.store(true, Ordering::SeqCst);
                delays
            });
            let load = if load == 0 { "none".to_owned() } else { format!("{load} clients") };
            let [answered, asked] = [
                sorted(&mut delays, |delay| delay.answered),
                sorted(&mut delays, |delay| delay.asked),
            ];
            println!(
                "| {invalidations} | {act:?} | {load} | {} | {} | {} | {} | {} |",
                show(answered[ROUNDS / 2]),
                show(answered[ROUNDS * 99 / 100]),
                show(answered[ROUNDS - 1]),
                show(asked[ROUNDS / 2]),
                show(asked[ROUNDS * 99 / 100]),
            );
        }
    }
}

fn sorted(delays: &mut [Delay], of: impl Fn(&Delay) -> Duration) -> Vec<Duration> {
    let mut times: Vec<_> = delays.iter().map(of).collect();
    times.sort_unstable();
    times
}

fn show(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// Cached questions and refreshes, as fast as they are answered.
fn ask_on(address: SocketAddr, person: Person, over: &AtomicBool) {
    let (mut client, mut person) = (Client::new(address), person);
    while !over.load(Ordering::SeqCst) {
        for _ in 0..20 {
            assert_eq!(client.get("/api/v1/user", &person.access), 200);
        }
        let body = json!({"refresh_token": person.refresh});
        let (status, answer) = client.call("POST", "/api/v1/auth/refresh", "", Some(&body));
        assert_eq!(status, 200, "{answer}");
        let token = |name: &str| answer["data"][name].as_str().expect("a token").to_owned();
        (person.access, person.refresh) = (token("access_token"), token("refresh_token"));
    }
}

fn rounds(nodes: &[Node; 2], act: Act, load: usize, admin: &Person) -> Vec<Delay> {
    let (path, before, after) = act.question();
    let mut here = Client::new(nodes[0].address);
    (0..ROUNDS)
        .map(|round| {
            let email = format!("{act:?}-{load}-{round}@example.org").to_lowercase();
            let person = nodes[0].person(&email, "operator");
            let mut there = Client::new(nodes[1].address);
            for _ in 0..2 {
                assert_eq!(there.get(path, &person.access), before, "it remembers");
            }
            assert!(nodes[1].goat.sessions().invalidations_connected());
            thread::scope(|scope| {
                let token = &person.access;
                let obeyed = scope.spawn(move || {
                    let begun = Instant::now();
                    while there.get(path, token) != after {
                        assert!(begun.elapsed() < PATIENCE, "it never obeyed");
                    }
                    Instant::now()
                });
                let asked = Instant::now();
                act.perform(&mut here, &person, admin);
                let answered = Instant::now();
                let obeyed = obeyed.join().expect("it obeys");
                Delay {
                    answered: obeyed.saturating_duration_since(answered),
                    asked: obeyed.saturating_duration_since(asked),
                }
            })
        })
        .collect()
}
