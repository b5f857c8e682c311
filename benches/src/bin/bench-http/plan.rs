//! The tables of the capacity guide: measured costs, and the plan that follows from them.

use crate::idle_nodes::IdleLoad;
use crate::report::{Report, machine, table};
use crate::statistics::{mebibytes, number, thousands};

/// CPU microseconds of one request.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) server: f64,
    pub(crate) redis: f64,
    pub(crate) postgres: f64,
}

/// Bytes of a row in PostgreSQL with its indexes, and of a key in Redis.
pub(crate) struct Bytes {
    pub(crate) user: f64,
    pub(crate) session: f64,
    pub(crate) redis_session: f64,
    pub(crate) redis_limit: f64,
}

pub(crate) struct Measured {
    pub(crate) verify: Cost,
    pub(crate) user: Cost,
    pub(crate) login: Cost,
    pub(crate) refresh: Cost,
    /// The verification of a token, on a cluster of three Redis servers.
    pub(crate) cluster: Cost,
    pub(crate) bytes: Bytes,
    /// Connections of one node.
    pub(crate) postgres_connections: f64,
    pub(crate) redis_connections: f64,
    pub(crate) node_memory: f64,
    pub(crate) idle_redis: IdleLoad,
    pub(crate) idle_postgres: IdleLoad,
}

/// Active users of the first column; the next ones are ten and a hundred times that.
const ACTIVE_USERS: f64 = 10_000.0;
const TIMES: [f64; 3] = [1.0, 10.0, 100.0];
/// Registered users, each with a live session, per active user.
const REGISTERED: f64 = 10.0;
/// Seconds between two requests, refreshes and logins of an active user.
const REQUEST_EVERY: f64 = 10.0;
const REFRESH_EVERY: f64 = 300.0;
const LOGIN_EVERY: f64 = 28_800.0;
/// Limits that one user's requests count against: by address and by user.
const LIMITS: f64 = 2.0;
/// Part of a core that is planned for; the rest is for peaks and a lost node.
const UTILIZATION: f64 = 0.5;
const CORES_PER_NODE: f64 = 2.0;
const FEWEST_NODES: f64 = 2.0;

pub(crate) fn write(report: &Report, measured: &Measured) {
    report.section("costs", &format!("{}\n{}.", costs(measured), machine()));
    report.section("state", &state(measured));
    report.section("idle", &idle(measured));
    report.section("plan", &plan(measured));
}

fn costs(measured: &Measured) -> String {
    let line = |name: &str, cost: &Cost| {
        let Cost { server, redis, postgres } = *cost;
        [name.to_owned(), number(server), number(redis), number(postgres)].to_vec()
    };
    let lines = [
        line("`GET /api/v1/auth/verify`", &measured.verify),
        line("the same, Redis Cluster of three", &measured.cluster),
        line("`GET /api/v1/user`", &measured.user),
        line("`POST /api/v1/auth/refresh`", &measured.refresh),
        line("`POST /api/v1/auth/login`", &measured.login),
    ];
    table(&["CPU µs of one request", "server", "Redis", "PostgreSQL"], &lines)
}

fn state(measured: &Measured) -> String {
    let Bytes { user, session, redis_session, redis_limit } = measured.bytes;
    let line = |name: &str, value: String| vec![name.to_owned(), value];
    let bytes = |value: f64| format!("{} B", thousands(value));
    let lines = [
        line("a user in PostgreSQL, with indexes", bytes(user)),
        line("a session in PostgreSQL, with indexes, if there is no Redis", bytes(session)),
        line("a session in Redis", bytes(redis_session)),
        line("a limit's key in Redis, ten requests in its window", bytes(redis_limit)),
        line("a node's memory under load, highest", mebibytes(measured.node_memory)),
        line("a node's connections to PostgreSQL", thousands(measured.postgres_connections)),
        line("a node's connections to Redis", thousands(measured.redis_connections)),
    ];
    table(&["state", "measured"], &lines)
}

fn idle(measured: &Measured) -> String {
    let line = |name: &str, load: &IdleLoad| {
        let measured = load.measured.map(|(_, cores)| number(cores * 100.0));
        let hundred = number(load.cores(100.0) * 100.0);
        [name.to_owned()].into_iter().chain(measured).chain([hundred]).collect()
    };
    let lines = [
        line("Redis", &measured.idle_redis),
        line("PostgreSQL, without Redis", &measured.idle_postgres),
    ];
    let [few, many] = measured.idle_redis.measured.map(|(nodes, _)| format!("{nodes} nodes"));
    table(&["% of a core for idle nodes", &few, &many, "100 nodes, computed"], &lines)
}

/// The requirements of one load.
struct Need {
    users: f64,
    requests: f64,
    refreshes: f64,
    logins: f64,
    nodes: f64,
    server_cores: f64,
    redis_cores: f64,
    redis_bytes: f64,
    postgres_cores: f64,
    postgres_bytes: f64,
}

fn need(measured: &Measured, active: f64) -> Need {
    let (requests, refreshes, logins) =
        (active / REQUEST_EVERY, active / REFRESH_EVERY, active / LOGIN_EVERY);
    let cores = |of: fn(&Cost) -> f64| {
        let microseconds = requests / 2.0 * of(&measured.verify)
            + requests / 2.0 * of(&measured.user)
            + refreshes * of(&measured.refresh)
            + logins * of(&measured.login);
        microseconds / 1e6
    };
    let server_cores = cores(|cost| cost.server);
    let nodes = (server_cores / UTILIZATION / CORES_PER_NODE).ceil().max(FEWEST_NODES);
    let users = active * REGISTERED;
    let bytes = &measured.bytes;
    Need {
        users,
        requests,
        refreshes,
        logins,
        nodes,
        server_cores,
        redis_cores: cores(|cost| cost.redis) + measured.idle_redis.cores(nodes),
        redis_bytes: users * bytes.redis_session + active * LIMITS * bytes.redis_limit,
        postgres_cores: cores(|cost| cost.postgres),
        postgres_bytes: users * bytes.user,
    }
}

fn plan(measured: &Measured) -> String {
    let needs = TIMES.map(|times| need(measured, ACTIVE_USERS * times));
    let line = |name: &str, of: &dyn Fn(&Need) -> String| {
        [name.to_owned()].into_iter().chain(needs.iter().map(of)).collect()
    };
    let servers = |cores: f64| thousands((cores / UTILIZATION).ceil());
    let gibibytes = |bytes: f64| format!("{} GiB", number(bytes / 1_073_741_824.0));
    let lines = [
        line("registered users, a session each", &|need| thousands(need.users)),
        line("requests/s", &|need| thousands(need.requests)),
        line("refreshes/s", &|need| number(need.refreshes)),
        line("logins/s", &|need| number(need.logins)),
        line("server: busy cores", &|need| number(need.server_cores)),
        line("**nodes of two cores**", &|need| format!("**{}**", thousands(need.nodes))),
        line("Redis: busy cores", &|need| number(need.redis_cores)),
        line("**Redis servers**", &|need| format!("**{}**", servers(need.redis_cores))),
        line("Redis: memory", &|need| gibibytes(need.redis_bytes)),
        line("PostgreSQL: busy cores", &|need| number(need.postgres_cores)),
        line("**PostgreSQL: cores**", &|need| format!("**{}**", servers(need.postgres_cores))),
        line("PostgreSQL: users on disk", &|need| gibibytes(need.postgres_bytes)),
        line("PostgreSQL: connections", &|need| {
            thousands(need.nodes * measured.postgres_connections)
        }),
        line("Redis: connections", &|need| thousands(need.nodes * measured.redis_connections)),
    ];
    let heads = TIMES.map(|times| format!("{} active users", thousands(ACTIVE_USERS * times)));
    let [one, ten, hundred] = &heads;
    table(&["", one, ten, hundred], &lines)
}
