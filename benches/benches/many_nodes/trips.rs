//! Round trips to the engines: what a relay before each of them sees of one request at a time.

use std::time::Duration;

use goat_engines::{Postgres, Proxy, Redis};
use serde_json::json;

use super::client::Client;
use super::node::{Node, Person, password};

/// Of each request so many are counted, and the usual one is shown.
const REPEATED: usize = 9;

const REQUESTS: [&str; 9] = [
    "a token that is remembered",
    "a token that is not, its user is",
    "a token that is not, nor its user",
    "sign-up",
    "login",
    "refresh",
    "logout",
    "suspension",
    "change of password",
];

pub(crate) fn measure(postgres: &Postgres, redis: &Redis) {
    let both = count(postgres, Some(redis));
    let alone = count(postgres, None);
    for (turn, name) in REQUESTS.iter().enumerate() {
        println!("| {name} | {} | {} | {} |", both[turn].0, both[turn].1, alone[turn].0);
    }
}

/// A node behind relays, and one that prepares what is asked of it.
struct Stage {
    node: Node,
    beside: Node,
    relays: [Option<Proxy>; 2],
    client: Client,
    admin: Person,
    names: usize,
}

/// Of each request the round trips to PostgreSQL and to Redis.
fn count(postgres: &Postgres, redis: Option<&Redis>) -> Vec<(u64, u64)> {
    let url = postgres.create_database();
    // The nodes of one system and no others know of each other.
    redis.inspect(|redis| drop(redis.cli(&["FLUSHALL"])));
    let beside = Node::start(&url, redis.map(Redis::url).as_deref());
    let relays =
        [Some(Proxy::start(postgres.address())), redis.map(|it| Proxy::start(it.address()))];
    for relay in relays.iter().flatten() {
        relay.count_only(|message| !is_heartbeat(message) && message != TEST);
    }
    let behind = relays[0].as_ref().map_or(url.clone(), |relay| relay.url(&url));
    let redis = redis.zip(relays[1].as_ref()).map(|(redis, relay)| relay.url(&redis.url()));
    let node = Node::start(&behind, redis.as_deref());
    let client = Client::new(node.address);
    let admin = beside.person("admin@example.org", "admin");
    let mut stage = Stage { node, beside, relays, client, admin, names: 0 };
    (0..REQUESTS.len()).map(|turn| stage.usual(turn)).collect()
}

/// PostgreSQL's `Sync` alone: a connection that is given back is tried once more, and nobody waits.
const TEST: &[u8] = b"S\0\0\0\x04";

/// A node asks all the time whether it hears itself.
fn is_heartbeat(message: &[u8]) -> bool {
    message.windows(22).any(|text| text.starts_with(b"1 ") && &text[18..21] == b" h ")
}

impl Stage {
    fn counts(&self) -> [u64; 2] {
        self.relays.each_ref().map(|relay| relay.as_ref().map_or(0, Proxy::count))
    }

    /// The median, so that a statement that is prepared for the first time does not count.
    fn usual(&mut self, turn: usize) -> (u64, u64) {
        let mut seen: [Vec<u64>; 2] = Default::default();
        for _ in 0..REPEATED {
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
        let person = self.beside.person(&email, "client");
        let token = person.access.clone();
        let known = |stage: &mut Self, token: &str| {
            assert_eq!(stage.client.get("/api/v1/auth/verify", token), 204);
        };
        match turn {
            0 | 5 | 6 | 8 => known(self, &token),
            1 => {
                let other = self.beside.sign_in(&email, person.id);
                known(self, &other.access);
            }
            2 => std::thread::sleep(Duration::from_millis(1100)),
            7 => {
                let admin = self.admin.access.clone();
                known(self, &admin);
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
