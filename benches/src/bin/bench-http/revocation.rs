//! Delay until a logout at one node is effective at another one.

use std::thread;
use std::time::{Duration, Instant};

use benches::client::Client;

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
        let mut delays: Vec<Duration> = (0..ROUNDS).map(|_| delay(&here, &there)).collect();
        delays.sort_unstable();
        lines.push(vec![
            name.to_owned(),
            milliseconds(quantile(&delays, 0.5)),
            milliseconds(quantile(&delays, 0.99)),
            "20 ms".to_owned(),
        ]);
    }
    let head = ["invalidations by", "p50", "p99", "bound of p99"];
    report.section("revocation", &table(&head, &lines));
}

/// Time from the response to a logout until the other node rejects the session.
fn delay(here: &Node, there: &Node) -> Duration {
    let access = here.server.sign_in().access;
    let mut polled = Client::new(there.server.address);
    for _ in 0..2 {
        assert_eq!(polled.get("/api/v1/user", &access), 200, "cached");
    }
    let mut client = Client::new(here.server.address);
    thread::scope(|scope| {
        let token = &access;
        let effective = scope.spawn(move || {
            let started = Instant::now();
            while polled.get("/api/v1/user", token) != 401 {
                assert!(started.elapsed() < TIMEOUT, "no effect");
            }
            Instant::now()
        });
        let (status, body) = client.call("POST", "/api/v1/auth/logout", token, None);
        let responded = Instant::now();
        assert_eq!(status, 204, "{body}");
        effective.join().expect("a time").saturating_duration_since(responded)
    })
}
