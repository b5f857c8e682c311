//! Several nodes on one PostgreSQL, with Redis and without: how soon one obeys what another was told,
//! and how many round trips to the engines a request takes.
//!
//! Two nodes as `goat-server` wires and serves them, over real sockets, on engines of their own; only
//! the hash of passwords costs nothing, since it is the same anywhere. Run by
//! `cargo bench -p benches --bench many_nodes`.

mod client;
mod delay;
mod node;
mod trips;

use goat_engines::{Postgres, PostgresOptions, Redis, RedisOptions};

fn main() {
    let postgres = Postgres::start(PostgresOptions::default());
    let redis = Redis::start(RedisOptions::default());
    println!(
        "How soon another node obeys, from when the act was answered and from when it was asked:"
    );
    println!();
    println!(
        "| invalidations | act | load | answered: median | p99 | longest | asked: median | p99 |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for redis in [Some(&redis), None] {
        delay::measure(&postgres, redis);
    }
    println!();
    println!(
        "Round trips of a request, each engine's own; heartbeats, and the trial of a connection that is given back, are not counted:"
    );
    println!();
    println!("| request | PostgreSQL and Redis: PostgreSQL | Redis | PostgreSQL alone |");
    println!("|---|---|---|---|");
    trips::measure(&postgres, &redis);
    println!();
    println!(
        "For comparison: three scripts of Redis and a query for each request with a token is what"
    );
    println!("a server costs that limits, looks up the session and reads the user every time.");
}
