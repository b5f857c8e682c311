//! goat-server on PostgreSQL and Redis, with everything on the same cores: throughput against a bare
//! hyper server that is driven alike.

use std::path::Path;

use goat_engines::{Postgres, PostgresOptions, Redis, RedisOptions};
use tempfile::TempDir;

use crate::chart::{Bar, bars};
use crate::options::Options;
use crate::report::{self, Report, table};
use crate::server::Server;
use crate::statistics::number;
use crate::turns::{Shape, Subject, Turn, ratio, take_turns, typical};

/// The measured requests, with the goals of their ratios.
const REQUESTS: [(&str, &str, f64); 2] = [
    ("`GET /api/v1/auth/verify`", "/api/v1/auth/verify", 0.35),
    ("`GET /api/v1/user`", "/api/v1/user", 0.30),
];

/// Secrets that the nodes of one system share.
const SECRETS: [(&str, &str); 2] = [
    ("GOAT_JWT_SECRET", "kT9vQ2xLr7ZpWc4NfYb8HsJd3MgRu6Ea"),
    ("GOAT_PASSWORD_PEPPER", "Ea6uRgM3dJsH8bYfN4cWpZ7rLx2Qv9Tk"),
];

/// Starts a private PostgreSQL that keeps its data as in production.
pub(crate) fn postgres() -> Postgres {
    let settings = ["shared_buffers = 256MB", "max_wal_size = 4GB"].map(str::to_owned).to_vec();
    Postgres::start(PostgresOptions { durable: true, settings, ..PostgresOptions::default() })
}

/// Starts a private Redis.
pub(crate) fn redis() -> Redis {
    Redis::start(RedisOptions::default())
}

/// Node on engines, with a data folder of its own.
pub(crate) struct Node {
    pub(crate) server: Server,
    _folder: TempDir,
}

impl Node {
    /// Starts a node on all cores, signed in.
    ///
    /// # Panics
    /// If it does not start.
    pub(crate) fn start(program: &Path, database: &str, redis: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = SECRETS.to_vec();
        settings.extend([("DATABASE_URL", database), ("GOAT_MIGRATE_ON_START", "true")]);
        settings.extend(redis.map(|url| ("REDIS_URL", url)));
        let server = Server::goat_signed_in(program, None, folder.path(), &settings);
        Self { server, _folder: folder }
    }
}

/// Process of an engine.
///
/// # Panics
/// If it is down.
pub(crate) fn process(id: Option<u32>) -> Vec<u32> {
    vec![id.expect("the engine runs")]
}

pub(crate) fn measure(options: &Options, report: &Report) {
    let postgres = postgres();
    let programs: Vec<_> =
        [Some(options.goat_server()), options.before.clone()].into_iter().flatten().collect();
    // Each version has a Redis of its own: their keys differ.
    let systems: Vec<(Redis, Node)> = programs
        .iter()
        .map(|program| {
            let redis = redis();
            let node = Node::start(program, &postgres.create_database(), Some(&redis.url()));
            (redis, node)
        })
        .collect();
    let hyper = Server::reference(&options.reference(), "hyper", None);
    let mut subjects = vec![Subject::new(&hyper, "/reports")];
    for (_, path, _) in REQUESTS {
        for (redis, node) in &systems {
            let subject = Subject::new(&node.server, path).and(process(redis.process_id()));
            subjects.push(subject.and(process(postgres.process_id())));
        }
    }
    let turns = take_turns(options, Shape::Shared, &subjects);
    write(options, report, systems.len() == 2, &turns);
}

fn write(options: &Options, report: &Report, has_before: bool, turns: &[Vec<Turn>]) {
    let (bare, turns) = turns.split_first().expect("a baseline");
    let throughput = |turns: &Vec<Turn>| ratio(bare, turns, |turn| 1.0 / turn.outcome.per_second);
    let rate = |turns: &Vec<Turn>| typical(turns, |turn| turn.outcome.per_second);
    let mut lines = vec![vec![String::new(); 8]];
    lines[0][1] = "1".to_owned();
    lines[0][3] = number(rate(bare));
    lines[0][4] = number(typical(bare, |turn| turn.cpu[0]));
    lines[0][7] = "bare hyper".to_owned();
    let mut drawn = Vec::new();
    let systems = if has_before { 2 } else { 1 };
    for ((name, _, goal), turns) in REQUESTS.iter().zip(turns.chunks(systems)) {
        let before = |figure: &dyn Fn(&Vec<Turn>) -> f64| turns.get(1).map(figure);
        let both = |column: usize| {
            let cpu = |turns: &Vec<Turn>| typical(turns, |turn| turn.cpu[column]);
            match before(&cpu) {
                Some(before) => format!("{} → {}", number(before), number(cpu(&turns[0]))),
                None => number(cpu(&turns[0])),
            }
        };
        lines.push(vec![
            before(&throughput).map(number).unwrap_or_default(),
            format!("**{:.2}**", throughput(&turns[0])),
            format!("{goal:.2}"),
            number(rate(&turns[0])),
            both(0),
            both(1),
            both(2),
            (*name).to_owned(),
        ]);
        drawn.push(Bar {
            label: name.replace('`', ""),
            now: throughput(&turns[0]),
            before: before(&throughput),
            goal: Some(*goal),
        });
    }
    let head = [
        "ratio before",
        "ratio",
        "goal",
        "requests/s",
        "server CPU µs",
        "Redis CPU µs",
        "PostgreSQL CPU µs",
        "work",
    ];
    let table = table(&head, &lines);
    report.section("engines", &format!("{table}\n{}", report::turns(options)));
    let title = "PostgreSQL and Redis on the same cores: throughput against bare hyper";
    report.chart("engines", &bars(title, &drawn));
}
