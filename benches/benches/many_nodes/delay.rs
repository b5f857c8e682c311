//! Propagation delay: how soon a change at one node takes effect at the other, which is polled in a
//! tight loop.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use benches::client::Client;
use benches::summary::Summary;
use goat_engines::{Postgres, Redis};
use serde_json::json;

use super::node::{Node, Person};

const ROUNDS: usize = 200;
/// Clients that send requests continuously during the loaded measurement.
const LOAD: usize = 4;
/// How soon a change must be effective at the other node, at the 99th percentile.
const BOUND: Duration = Duration::from_millis(20);
/// Far longer than any delay: cache entries expire by their age before it.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
enum Change {
    Logout,
    Suspension,
    Demotion,
}

impl Change {
    /// The request sent to the other node, and its status before and after the change.
    fn probe(self) -> (&'static str, u16, u16) {
        match self {
            Self::Logout | Self::Suspension => ("/api/v1/user", 200, 401),
            Self::Demotion => ("/api/v1/user/list", 200, 403),
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
            Self::Demotion => {
                let path = format!("/api/v1/user/{id}/change-role");
                at.call("PATCH", &path, &admin.access, Some(&json!({"role": "client"})))
            }
        };
        assert!((200..300).contains(&status), "{self:?}: {status} {body}");
    }
}

/// Time from the response to the change, and from its request, until it takes effect at the other
/// node.
struct Delay {
    after_response: Duration,
    after_request: Duration,
}

pub(crate) fn measure(postgres: &Postgres, redis: Option<&Redis>, summary: &mut Summary) {
    let (url, redis_url) = (postgres.create_database(), redis.map(Redis::url));
    let nodes = [(); 2].map(|()| Node::start(&url, redis_url.as_deref()));
    let admin = nodes[0].person("admin@example.org", "admin");
    let channel = if redis.is_some() { "Redis" } else { "LISTEN/NOTIFY" };
    for load in [0, LOAD] {
        for change in [Change::Logout, Change::Suspension, Change::Demotion] {
            let stop = AtomicBool::new(false);
            let mut delays = thread::scope(|scope| {
                for turn in 0..load {
                    let (address, stop) = (nodes[turn % 2].address, &stop);
                    let name = format!("load-{channel}-{change:?}-{turn}@example.org");
                    let person =
                        nodes[turn % 2].person(&name.to_lowercase().replace('/', "-"), "client");
                    scope.spawn(move || generate_load(address, person, stop));
                }
                let delays = rounds(&nodes, change, load, &admin);
                stop.store(true, Ordering::SeqCst);
                delays
            });
            let load = if load == 0 { "none".to_owned() } else { format!("{load} clients") };
            let [after_response, after_request] = [
                sorted(&mut delays, |delay| delay.after_response),
                sorted(&mut delays, |delay| delay.after_request),
            ];
            println!(
                "| {channel} | {change:?} | {load} | {} | {} | {} | {} | {} |",
                show(after_response[ROUNDS / 2]),
                show(after_response[ROUNDS * 99 / 100]),
                show(after_response[ROUNDS - 1]),
                show(after_request[ROUNDS / 2]),
                show(after_request[ROUNDS * 99 / 100]),
            );
            let p99 = after_response[ROUNDS * 99 / 100];
            summary.row(
                &format!("{change:?} at another node by {channel}, p99, load: {load}"),
                p99.as_secs_f64() / BOUND.as_secs_f64(),
                &show(p99),
                &format!("bound, {}", show(BOUND)),
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

/// Sends cached requests and refreshes continuously.
fn generate_load(address: SocketAddr, person: Person, stop: &AtomicBool) {
    let (mut client, mut person) = (Client::new(address), person);
    while !stop.load(Ordering::SeqCst) {
        for _ in 0..20 {
            assert_eq!(client.get("/api/v1/user", &person.access), 200);
        }
        let body = json!({"refresh_token": person.refresh});
        let (status, response) = client.call("POST", "/api/v1/auth/refresh", "", Some(&body));
        assert_eq!(status, 200, "{response}");
        let token = |name: &str| response["data"][name].as_str().expect("a token").to_owned();
        (person.access, person.refresh) = (token("access_token"), token("refresh_token"));
    }
}

fn rounds(nodes: &[Node; 2], change: Change, load: usize, admin: &Person) -> Vec<Delay> {
    let (path, before, after) = change.probe();
    let mut here = Client::new(nodes[0].address);
    (0..ROUNDS)
        .map(|round| {
            let email = format!("{change:?}-{load}-{round}@example.org").to_lowercase();
            let person = nodes[0].person(&email, "operator");
            let mut there = Client::new(nodes[1].address);
            for _ in 0..2 {
                assert_eq!(there.get(path, &person.access), before, "cached");
            }
            assert!(nodes[1].goat.sessions().invalidations_connected());
            thread::scope(|scope| {
                let token = &person.access;
                let effective = scope.spawn(move || {
                    let started = Instant::now();
                    while there.get(path, token) != after {
                        assert!(started.elapsed() < TIMEOUT, "no effect");
                    }
                    Instant::now()
                });
                let after_request = Instant::now();
                change.perform(&mut here, &person, admin);
                let after_response = Instant::now();
                let effective = effective.join().expect("a time");
                Delay {
                    after_response: effective.saturating_duration_since(after_response),
                    after_request: effective.saturating_duration_since(after_request),
                }
            })
        })
        .collect()
}
