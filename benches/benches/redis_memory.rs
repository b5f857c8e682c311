//! Memory and time of rate limits and sessions in Redis: the packed sliding-window log against a
//! sorted set, and GCRA.
//!
//! Starts a private Redis, fills it through the stores, and prints tables. Asserts that the packed
//! log takes less than the sorted set, and less than 119 bytes per request, the size of a sorted
//! set measured in another service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::redis_fill::{acquire, each, key, microseconds, session, used};
use benches::summary::Summary;
use goat_core::store::SessionStore;
use goat_core::store::redis::{RedisDatabase, RedisOptions};
use goat_core::{Clock, Quota, SessionId, SystemClock, UserId};
use goat_engines::Redis;

/// The common implementation of a sliding-window log: a sorted set with one member per request.
const SORTED_SET: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local window, limit = tonumber(ARGV[1]) * 1000, tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - window))
local count = redis.call('ZCARD', KEYS[1])
if count >= limit then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', now), string.format('%.0f', now) .. ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
";

struct Row {
    bytes: f64,
    server: f64,
    per_second: f64,
}

/// Sends `requests` requests for each of `keys` keys, and measures them.
async fn measured<F>(redis: &Redis, keys: usize, requests: usize, call: impl Fn(usize) -> F) -> Row
where
    F: Future<Output = ()> + Send + 'static,
{
    assert_eq!(redis.cli(&["FLUSHALL"]), "OK");
    assert_eq!(redis.cli(&["CONFIG", "RESETSTAT"]), "OK");
    let (before, started) = (used(redis), Instant::now());
    each(keys * requests, |number| call(number % keys)).await;
    let took = started.elapsed();
    let all = (keys * requests) as f64;
    Row {
        bytes: (used(redis) - before) as f64 / all,
        server: microseconds(redis),
        per_second: all / took.as_secs_f64(),
    }
}

async fn logs(redis: &Redis, url: &str, summary: &mut Summary) {
    let limits = RedisDatabase::open(&RedisOptions::new(url)).expect("a URL").limits();
    let client = redis::Client::open(url).expect("a URL");
    let connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let script = redis::Script::new(SORTED_SET);
    println!(
        "requests  window   packed: B/request  µs  calls/s   sorted set: B/request  µs  calls/s"
    );
    for (keys, requests, window) in [
        (4_000, 1, 60),
        (4_000, 10, 60),
        (4_000, 60, 60),
        (1_000, 300, 60),
        (1_000, 300, 3_600),
        (20, 10_000, 3_600),
        (2, 100_000, 86_400),
    ] {
        let quota = Quota::new(requests as u32, Duration::from_secs(window));
        let packed = measured(redis, keys, requests, |number| {
            acquire(Arc::clone(&limits), key(number), quota)
        })
        .await;
        let sorted = measured(redis, keys, requests, |number| {
            let (mut connection, script) = (connection.clone(), script.clone());
            async move {
                let unique = format!(
                    "-{:06x}",
                    SessionId::generate(SystemClock::start().now()).as_u128() & 0xff_ffff
                );
                let mut call = script.key(format!("goat:{{{:022}}}:{requests}/{window}", number));
                let call = call.arg(window * 1000).arg(requests).arg(unique);
                let admitted: u32 = call.invoke_async(&mut connection).await.expect("a result");
                assert_eq!(admitted, 1);
            }
        })
        .await;
        println!(
            "{requests:>8} {window:>6} s {:>19.1} {:>4.1} {:>8.0} {:>23.1} {:>4.1} {:>8.0}",
            packed.bytes,
            packed.server,
            packed.per_second,
            sorted.bytes,
            sorted.server,
            sorted.per_second,
        );
        summary.row(
            &format!("bytes per request, {requests} in {window} s"),
            packed.bytes / sorted.bytes,
            &format!("{:.1} B", packed.bytes),
            &format!("sorted set, {:.1} B", sorted.bytes),
        );
        assert!(requests < 10 || packed.bytes < 119.0, "{} bytes a request", packed.bytes);
        assert!(packed.bytes < sorted.bytes, "the sorted set is smaller");
    }
}

/// GCRA: one string per key, independent of the number of requests.
async fn bursts(redis: &Redis, url: &str) {
    let limits = RedisDatabase::open(&RedisOptions::new(url)).expect("a URL").limits();
    println!("requests  with a burst: B/key  µs  calls/s");
    for (keys, requests) in [(4_000, 1), (4_000, 10), (4_000, 60), (4_000, 300)] {
        // A low rate and a sufficient burst, so that all requests are allowed.
        let quota = Quota::per_hour(10).burst(requests as u32);
        let row = measured(redis, keys, requests, |number| {
            acquire(Arc::clone(&limits), key(number), quota)
        })
        .await;
        println!(
            "{requests:>8} {:>20.0} {:>4.1} {:>8.0}",
            row.bytes * requests as f64,
            row.server,
            row.per_second,
        );
    }
}

async fn sessions(redis: &Redis, url: &str) {
    const USERS: usize = 5_000;
    let store = RedisDatabase::open(&RedisOptions::new(url)).expect("a URL").sessions();
    println!("  sessions/user   B/session   µs/sign-in   sign-ins/s");
    for per_user in [1, 3, 10] {
        let now = SystemClock::start().now();
        let users: Vec<UserId> = (0..USERS).map(|_| UserId::generate(now)).collect();
        let row = measured(redis, USERS, per_user, |number| {
            let (store, session): (Arc<dyn SessionStore>, _) =
                (Arc::clone(&store), session(users[number]));
            async move {
                store.create(&session, 100).await.expect("a result");
            }
        })
        .await;
        println!(
            "{per_user:>15} {:>11.0} {:>12.1} {:>12.0}",
            row.bytes, row.server, row.per_second
        );
    }
}

#[tokio::main]
async fn main() {
    let redis = Redis::start(goat_engines::RedisOptions::default());
    let url = redis.url();
    let mut summary = Summary::of("redis_memory");
    logs(&redis, &url, &mut summary).await;
    summary.write();
    println!();
    bursts(&redis, &url).await;
    println!();
    sessions(&redis, &url).await;
}
