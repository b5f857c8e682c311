//! Growth from a thousand to a million users and sessions, on SQLite and PostgreSQL.

mod fill;

use std::path::Path;

use goat_engines::Postgres;

use crate::cpu::resident;
use crate::engines::postgres;
use crate::options::{LOAD_CORE, Options, SERVER_CORE};
use crate::report::{Report, table};
use crate::server::Server;
use crate::statistics::{mebibytes, milliseconds, number};
use crate::wrk::Load;

pub(crate) use fill::{Database, fill};

const SIZES: [usize; 2] = [1_000, 1_000_000];

/// The measured requests; the second column says whether the server may use its caches.
const REQUESTS: [(&str, &str, bool); 5] = [
    ("`GET /api/v1/user`, cached", "/api/v1/user", true),
    ("`GET /api/v1/user`, without caches", "/api/v1/user", false),
    ("`GET /api/v1/sessions`", "/api/v1/sessions", true),
    ("`GET /api/v1/user/list`, 20 rows", "/api/v1/user/list", true),
    ("the same, `?search=corp` matches a third", "/api/v1/user/list?search=corp", true),
];

/// Figures of one database at one size: request latencies in seconds, time until ready, memory.
struct Figures {
    latencies: Vec<f64>,
    ready_after: f64,
    resident: f64,
}

pub(crate) fn measure(options: &Options, report: &Report) {
    let sqlite = grow(options, None);
    let postgres = postgres();
    let on_postgres = grow(options, Some(&postgres));
    let mut lines: Vec<Vec<String>> = Vec::new();
    let mut add = |name: &str, unit: &dyn Fn(f64) -> String, of: &dyn Fn(&Figures) -> f64| {
        let mut line = Vec::new();
        for figures in [&sqlite, &on_postgres] {
            let [small, large] = [0, 1].map(|size| of(&figures[size]));
            line.extend([number(large / small), unit(small), unit(large)]);
        }
        line.push(name.to_owned());
        lines.push(line);
    };
    let time = |seconds: f64| milliseconds(std::time::Duration::from_secs_f64(seconds));
    for (place, (name, ..)) in REQUESTS.iter().enumerate() {
        add(name, &time, &|figures| figures.latencies[place]);
    }
    add("start until ready", &time, &|figures| figures.ready_after);
    add("resident memory after these requests", &mebibytes, &|figures| figures.resident);
    let head = [
        "SQLite: ratio",
        "1,000",
        "1,000,000",
        "PostgreSQL: ratio",
        "1,000",
        "1,000,000",
        "p50 of one client",
    ];
    report.section("growth", &table(&head, &lines));
}

/// Fills a database to each size, and measures a server on it.
fn grow(options: &Options, postgres: Option<&Postgres>) -> Vec<Figures> {
    let folder = tempfile::tempdir().expect("a folder");
    let url = postgres.map(Postgres::create_database);
    let mut settings = vec![("GOAT_MIGRATE_ON_START", "true")];
    settings.extend(url.as_deref().map(|url| ("DATABASE_URL", url)));
    // Creates the schema, the administrator, and a session.
    drop(start(options, folder.path(), &settings));
    let database = match (postgres, &url) {
        (Some(postgres), Some(url)) => Database::Postgres(postgres, url),
        _ => Database::Sqlite(folder.path().join("data/goat.db")),
    };
    let mut filled = 0;
    SIZES
        .map(|size| {
            fill(&database, filled..size);
            filled = size;
            let uncached = [&settings[..], &[("GOAT_SESSION_CACHE_STALENESS", "0")]].concat();
            let mut latencies = vec![0.0; REQUESTS.len()];
            let mut ready_after = f64::MAX;
            let mut memory = 0.0;
            for cached in [true, false] {
                let settings = if cached { &settings } else { &uncached };
                let server = start(options, folder.path(), settings);
                ready_after = server.ready_after.as_secs_f64().min(ready_after);
                for (place, (_, path, _)) in
                    REQUESTS.iter().enumerate().filter(|(_, request)| request.2 == cached)
                {
                    latencies[place] = latency(options, &server, path);
                }
                if cached {
                    memory = resident(server.id()).0;
                }
            }
            Figures { latencies, ready_after, resident: memory }
        })
        .into()
}

fn start(options: &Options, folder: &Path, settings: &[(&str, &str)]) -> Server {
    Server::goat_signed_in(&options.goat_server(), Some(SERVER_CORE), folder, settings)
}

/// Median latency in seconds, of one client.
fn latency(options: &Options, server: &Server, path: &str) -> f64 {
    let load = Load {
        address: server.address,
        path: path.to_owned(),
        header: server.header.clone(),
        script: None,
        threads: 1,
        connections: 1,
        seconds: options.seconds,
        core: Some(LOAD_CORE),
    };
    let outcome = load.run_with_refusals();
    assert!(outcome.refused == 0.0, "{path}: {} refused", outcome.refused);
    // Without a response, the duration is a lower bound.
    if outcome.requests > 0.0 { outcome.median.as_secs_f64() } else { load.seconds.into() }
}
