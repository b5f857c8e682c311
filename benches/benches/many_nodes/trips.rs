//! Round trips to the engines, counted per request by a proxy in front of each engine.

use std::time::Duration;

use benches::client::Client;
use goat_engines::{Postgres, Proxy, Redis};
use serde_json::json;

use super::node::{Node, Person, password};

/// Repetitions per request; the median is reported.
const REPETITIONS: usize = 9;

const REQUESTS: [&str; 9] = [
    "cached session",
    "session not cached, user cached",
    "neither session nor user cached",
    "sign-up",
    "login",
    "refresh",
    "logout",
    "suspension",
    "password change",
];

pub(crate) fn measure(postgres: &Postgres, redis: &Redis) {
    let both = count(postgres, Some(redis));
    let alone = count(postgres, None);
    for (turn, name) in REQUESTS.iter().enumerate() {
        println!("| {name} | {} | {} | {} |", both[turn].0, both[turn].1, alone[turn].0);
    }
}

/// A node behind counting proxies, and a second node that prepares the requests.
struct Fixture {
    node: Node,
    helper: Node,
    proxies: [Option<Proxy>; 2],
    client: Client,
    admin: Person,
    names: usize,
}

/// Returns the round trips to PostgreSQL and to Redis for each request.
fn count(postgres: &Postgres, redis: Option<&Redis>) -> Vec<(u64, u64)> {
    let url = postgres.create_database();
    // Remove the state of the previous system.
    redis.inspect(|redis| drop(redis.cli(&["FLUSHALL"])));
    let helper = Node::start(&url, redis.map(Redis::url).as_deref());
    let proxies =
        [Some(Proxy::start(postgres.address())), redis.map(|it| Proxy::start(it.address()))];
    for proxy in proxies.iter().flatten() {
        proxy.count_only(|message| !is_heartbeat(message) && message != HEALTH_CHECK);
    }
    let behind = proxies[0].as_ref().map_or(url.clone(), |proxy| proxy.url(&url));
    let redis = redis.zip(proxies[1].as_ref()).map(|(redis, proxy)| proxy.url(&redis.url()));
    let node = Node::start(&behind, redis.as_deref());
    let client = Client::new(node.address);
    let admin = helper.person("admin@example.org", "admin");
    let mut fixture = Fixture { node, helper, proxies, client, admin, names: 0 };
    (0..REQUESTS.len()).map(|turn| fixture.median(turn)).collect()
}

/// PostgreSQL's `Sync` alone: the health check of a returned connection, which no request waits
/// for.
const HEALTH_CHECK: &[u8] = b"S\0\0\0\x04";

/// Matches the heartbeat of the invalidation channel.
fn is_heartbeat(message: &[u8]) -> bool {
    message.windows(22).any(|text| text.starts_with(b"1 ") && &text[18..21] == b" h ")
}

impl Fixture {
    fn counts(&self) -> [u64; 2] {
        self.proxies.each_ref().map(|proxy| proxy.as_ref().map_or(0, Proxy::count))
    }

    /// Returns the median, which excludes statements prepared for the first time.
    fn median(&mut self, turn: usize) -> (u64, u64) {
        let mut seen: [Vec<u64>; 2] = Default::default();
        for _ in 0..REPETITIONS {
            let trips = self.once(turn);
            for (seen, trips) in seen.iter_mut().zip(trips) {
                seen.push(trips);
            }
        }
        let [postgres, redis] = seen.map(|mut seen| {
            seen.sort_unstable();
            seen[seen.len() / 2]
        });
        (postgres, redis)
    }

    fn once(&mut self, turn: usize) -> [u64; 2] {
        self.names += 1;
        let email = format!("user{}@example.org", self.names);
        let person = self.helper.person(&email, "client");
        let token = person.access.clone();
        let cache_session = |fixture: &mut Self, token: &str| {
            assert_eq!(fixture.client.get("/api/v1/auth/verify", token), 204);
        };
        match turn {
            0 | 5 | 6 | 8 => cache_session(self, &token),
            1 => {
                let other = self.helper.sign_in(&email, person.id);
                cache_session(self, &other.access);
            }
            2 => std::thread::sleep(Duration::from_millis(1100)),
            7 => {
                let admin = self.admin.access.clone();
                cache_session(self, &admin);
            }
            _ => {}
        }
        let credentials = json!({"email": email, "password": password()});
        let before = self.counts();
        let client = &mut self.client;
        let (status, body) = match turn {
            0..3 => client.call("GET", "/api/v1/auth/verify", &token, None),
            3 => {
                let body = json!({"email": format!("new-{email}"), "password": password()});
                client.call("POST", "/api/v1/auth/signup", "", Some(&body))
            }
            4 => client.call("POST", "/api/v1/auth/login", "", Some(&credentials)),
            5 => {
                let body = json!({"refresh_token": person.refresh});
                client.call("POST", "/api/v1/auth/refresh", "", Some(&body))
            }
            6 => client.call("POST", "/api/v1/auth/logout", &token, None),
            7 => {
                let path = format!("/api/v1/user/{}/change-status", person.id);
                let body = json!({"status": "suspended"});
                client.call("PATCH", &path, &self.admin.access, Some(&body))
            }
            _ => {
                let body = json!({
                    "current_password": password(), "new_password": "seven lamps over the quay",
                });
                client.call("PATCH", "/api/v1/user/change-password", &token, Some(&body))
            }
        };
        assert!((200..300).contains(&status), "{}: {status} {body}", REQUESTS[turn]);
        let after = self.counts();
        let _ = &self.node;
        [after[0] - before[0], after[1] - before[1]]
    }
}
