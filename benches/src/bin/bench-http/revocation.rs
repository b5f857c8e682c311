//! Delay until a logout, or the revocation of an API key, at one node is effective at another one.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use benches::client::Client;
use serde_json::json;

use crate::engines::{Node, postgres, redis};
use crate::options::Options;
use crate::report::{Report, table};
use crate::statistics::{milliseconds, quantile};

const ROUNDS: usize = 100;
/// Far longer than any delay: cache entries expire by their age before it.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long the invalidation channel may take to connect.
const CONNECTS: Duration = Duration::from_secs(1);

pub(crate) fn measure(options: &Options, report: &Report) {
    let (postgres, redis) = (postgres(), redis());
    let mut lines = Vec::new();
    for (name, redis) in [("Redis", Some(redis.url())), ("LISTEN/NOTIFY", None)] {
        let database = postgres.create_database();
        let start = || Node::start(&options.goat_server(), &database, redis.as_deref());
        let (here, there) = (start(), start());
        thread::sleep(CONNECTS);
        for (credential, revoked) in [("session", logout as Revoked), ("API key", revoked_key)] {
            let round = |_| delay(&there, revoked(&here));
            let mut delays: Vec<Duration> = (0..ROUNDS).map(round).collect();
            delays.sort_unstable();
            lines.push(vec![
                name.to_owned(),
                credential.to_owned(),
                milliseconds(quantile(&delays, 0.5)),
                milliseconds(quantile(&delays, 0.99)),
                "20 ms".to_owned(),
            ]);
        }
    }
    let head = ["invalidations by", "of a", "p50", "p99", "bound of p99"];
    report.section("revocation", &table(&head, &lines));
}

/// A credential at one node, and the call that revokes it there.
struct Revocation {
    credential: String,
    address: SocketAddr,
    /// The access token of the call.
    access: String,
    call: (&'static str, String),
}

type Revoked = fn(&Node) -> Revocation;

fn logout(node: &Node) -> Revocation {
    let access = node.server.sign_in().access;
    let call = ("POST", "/api/v1/auth/logout".to_owned());
    Revocation { credential: access.clone(), address: node.server.address, access, call }
}

fn revoked_key(node: &Node) -> Revocation {
    let access = node.server.sign_in().access;
    let new = json!({ "name": "bench", "scopes": "*" });
    let mut client = Client::new(node.server.address);
    let (status, body) = client.call("POST", "/api/v1/keys", &access, Some(&new));
    assert_eq!(status, 201, "{body}");
    let text = |member: &str| body["data"][member].as_str().expect("a text").to_owned();
    let call = ("DELETE", format!("/api/v1/keys/{}", text("id")));
    Revocation { credential: text("key"), address: node.server.address, access, call }
}

/// Time from the response to a revocation until the other node rejects the credential.
fn delay(there: &Node, revocation: Revocation) -> Duration {
    let Revocation { credential, address, access, call: (method, path) } = revocation;
    let mut polled = Client::new(there.server.address);
    // A key is cached by its second use.
    for _ in 0..3 {
        assert_eq!(polled.get("/api/v1/user", &credential), 200, "cached");
    }
    let mut client = Client::new(address);
    thread::scope(|scope| {
        let token = &credential;
        let effective = scope.spawn(move || {
            let started = Instant::now();
            while polled.get("/api/v1/user", token) != 401 {
                assert!(started.elapsed() < TIMEOUT, "no effect");
            }
            Instant::now()
        });
        let (status, body) = client.call(method, &path, &access, None);
        let responded = Instant::now();
        assert_eq!(status, 204, "{body}");
        effective.join().expect("a time").saturating_duration_since(responded)
    })
}
