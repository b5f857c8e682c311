//! The figures of the capacity guide: cost per request on every engine, bytes per row and key,
//! connections, and the plan computed from them.

use std::sync::Arc;

use benches::client::Client;
use benches::redis_fill::{acquire, each, key, session, used};
use goat_core::store::SessionStore;
use goat_core::store::redis::{RedisDatabase, RedisOptions};
use goat_core::{Clock as _, Quota, SystemClock, UserId};
use goat_engines::{Postgres, Redis, RedisCluster};
use serde_json::json;

use crate::cpu::{CpuTimes, resident};
use crate::engines::{Node, postgres, process, redis};
use crate::growth::{Database, fill};
use crate::idle_nodes;
use crate::login::{login, script};
use crate::options::Options;
use crate::plan::{Bytes, Cost, Measured, write};
use crate::report::Report;
use crate::server::ADMIN;
use crate::statistics::microseconds;
use crate::turns::{Shape, Subject, Turn, drive, take_turns, typical};
use crate::wrk::Load;

/// Refreshes that are measured.
const REFRESHES: u32 = 1_000;
/// Users that fill the database and Redis.
const USERS: usize = 5_000;
/// Requests in the window of a limit's key.
const REQUESTS: usize = 10;

pub(crate) fn measure(options: &Options, report: &Report) {
    let (postgres, redis) = (postgres(), redis());
    let database = postgres.create_database();
    let node = Node::start(&options.goat_server(), &database, Some(&redis.url()));
    let groups =
        [vec![node.server.id()], process(redis.process_id()), process(postgres.process_id())];
    let [verify, user] = requests(options, &node, &groups);
    let login = logins(options, &node, &groups);
    let refresh = refreshes(&node, &groups);
    let name = database.rsplit('/').next().expect("a database");
    let connections = postgres.psql(
        "postgres",
        &format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"),
    );
    let clients = redis.cli(&["CLIENT", "LIST", "TYPE", "normal"]).lines().count()
        + redis.cli(&["CLIENT", "LIST", "TYPE", "pubsub"]).lines().count();
    let node_memory = resident(node.server.id()).1;
    drop(node);
    let measured = Measured {
        verify,
        user,
        login,
        refresh,
        cluster: on_cluster(options, &postgres),
        bytes: bytes(options, &postgres, &redis),
        postgres_connections: connections.trim().parse().expect("a number"),
        // Without the connection of the command itself.
        redis_connections: clients.saturating_sub(1) as f64,
        node_memory,
        idle_redis: idle_nodes::measure(options, &postgres, Some(&redis)),
        idle_postgres: idle_nodes::measure(options, &postgres, None),
    };
    write(report, &measured);
}

fn cost(turns: &[Turn]) -> Cost {
    let column = |place: usize| typical(turns, |turn| turn.cpu[place]);
    Cost { server: column(0), redis: column(1), postgres: column(2) }
}

/// Costs of the verification of a token, and of `GET /api/v1/user`.
fn requests(options: &Options, node: &Node, groups: &[Vec<u32>; 3]) -> [Cost; 2] {
    let subjects = ["/api/v1/auth/verify", "/api/v1/user"].map(|path| {
        let [_, redis, postgres] = groups.clone();
        Subject::new(&node.server, path).and(redis).and(postgres)
    });
    let turns = take_turns(options, Shape::Shared, &subjects);
    [cost(&turns[0]), cost(&turns[1])]
}

fn logins(options: &Options, node: &Node, groups: &[Vec<u32>]) -> Cost {
    let folder = tempfile::tempdir().expect("a folder");
    let script = script(folder.path(), ADMIN);
    let seconds = options.seconds * 2;
    let load = Load { seconds, core: None, ..login(&node.server, &script) };
    cost(&[drive(&load, &node.server, groups)])
}

/// Refreshes one session again and again.
fn refreshes(node: &Node, groups: &[Vec<u32>]) -> Cost {
    let mut client = Client::new(node.server.address);
    let mut token = node.server.sign_in().refresh;
    let read = || groups.iter().map(|group| CpuTimes::of(group)).collect::<Vec<_>>();
    let before = read();
    for _ in 0..REFRESHES {
        let body = json!({"refresh_token": token});
        let (status, response) = client.call("POST", "/api/v1/auth/refresh", "", Some(&body));
        assert_eq!(status, 200, "{response}");
        token = response["data"]["refresh_token"].as_str().expect("a token").to_owned();
    }
    let spent: Vec<f64> = read()
        .iter()
        .zip(&before)
        .map(|(after, before)| microseconds(after.since(before)) / f64::from(REFRESHES))
        .collect();
    Cost { server: spent[0], redis: spent[1], postgres: spent[2] }
}

/// Cost of the verification of a token with the keys on three Redis servers; that of Redis is their
/// sum.
fn on_cluster(options: &Options, postgres: &Postgres) -> Cost {
    let cluster = RedisCluster::start();
    let urls = cluster.urls().join(",");
    let node = Node::start(&options.goat_server(), &postgres.create_database(), Some(&urls));
    let servers = cluster.nodes().iter().flat_map(|redis| process(redis.process_id())).collect();
    let subject = Subject::new(&node.server, "/api/v1/auth/verify").and(servers);
    let turns = take_turns(options, Shape::Shared, &[subject.and(process(postgres.process_id()))]);
    cost(&turns[0])
}

fn bytes(options: &Options, postgres: &Postgres, redis: &Redis) -> Bytes {
    // Without Redis, sessions are in PostgreSQL.
    let url = postgres.create_database();
    drop(Node::start(&options.goat_server(), &url, None));
    let name = url.rsplit('/').next().expect("a database");
    let size = |table: &str| -> f64 {
        let text = postgres.psql(name, &format!("SELECT pg_total_relation_size('{table}')"));
        text.trim().parse().expect("a number")
    };
    let tables = ["goat_users", "goat_sessions"];
    let before = tables.map(size);
    fill(&Database::Postgres(postgres, &url), 0..USERS * 4);
    let after = tables.map(size);
    let per_row = |place: usize| (after[place] - before[place]) / (USERS * 4) as f64;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (session, limit) = runtime.block_on(in_redis(redis));
    Bytes { user: per_row(0), session: per_row(1), redis_session: session, redis_limit: limit }
}

/// Bytes of a session, and of a limit's key, in Redis.
async fn in_redis(redis: &Redis) -> (f64, f64) {
    redis.cli(&["FLUSHALL"]);
    let opened = RedisDatabase::open(&RedisOptions::new(redis.url())).expect("a URL");
    let (sessions, limits) = (opened.sessions(), opened.limits());
    let now = SystemClock::start().now();
    let users: Vec<UserId> = (0..USERS).map(|_| UserId::generate(now)).collect();
    let before = used(redis);
    each(USERS, |number| {
        let (store, session): (Arc<dyn SessionStore>, _) =
            (Arc::clone(&sessions), session(users[number]));
        async move {
            store.create(&session, 100).await.expect("a result");
        }
    })
    .await;
    let between = used(redis);
    let quota = Quota::per_minute(60);
    each(USERS * REQUESTS, |number| acquire(Arc::clone(&limits), key(number % USERS), quota)).await;
    let after = used(redis);
    let per_user = |bytes: u64| bytes as f64 / USERS as f64;
    (per_user(between - before), per_user(after - between))
}
