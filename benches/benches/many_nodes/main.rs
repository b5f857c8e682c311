//! Several nodes on one PostgreSQL, with and without Redis: propagation delay of changes, and round
//! trips per request.
//!
//! Two nodes, wired and served by `goat-server`, over real sockets and with private engines; only
//! password hashing is disabled, since it is the same everywhere. Run with `cargo bench -p benches
//! --bench many_nodes`.

mod delay;
mod node;
mod trips;

use benches::summary::Summary;
use goat_engines::{Postgres, PostgresOptions, Redis, RedisOptions};

fn main() {
    let postgres = Postgres::start(PostgresOptions::default());
    let redis = Redis::start(RedisOptions::default());
    println!(
        "Propagation delay to another node, from the response to the change and from its request:"
    );
    println!();
    println!(
        "| invalidations by | change | load | after response: median | p99 | longest | after request: median | p99 |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut summary = Summary::of("many_nodes");
    for redis in [Some(&redis), None] {
        delay::measure(&postgres, redis, &mut summary);
    }
    summary.write();
    println!();
    println!(
        "Round trips per request to each engine; heartbeats and health checks of returned connections are not counted:"
    );
    println!();
    println!("| request | PostgreSQL and Redis: PostgreSQL | Redis | PostgreSQL alone |");
    println!("|---|---|---|---|");
    trips::measure(&postgres, &redis);
    println!();
    println!(
        "For comparison: a server without caches, which counts the limits, looks up the session and"
    );
    println!(
        "reads the user each time, needs three Redis scripts and a query for each request with a token."
    );
}
