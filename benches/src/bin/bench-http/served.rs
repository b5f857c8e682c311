//! Server CPU per request, against a bare hyper server: goat-tower's layers, their peers, and
//! goat-server on its embedded stores.

use std::path::Path;

use crate::chart::{Bar, bars};
use crate::options::{Options, SERVER_CORE};
use crate::report::{self, Report, table};
use crate::server::Server;
use crate::statistics::number;
use crate::turns::{Shape, Subject, Turn, ratio, take_turns, typical};

/// The requests to goat-server, with their goals.
const REQUESTS: [(&str, &str, f64); 5] = [
    ("goat-server, embedded: `GET /api/v1/user`", "/api/v1/user", 0.60),
    ("goat-server, embedded: `GET /api/v1/auth/verify`", "/api/v1/auth/verify", 0.65),
    ("goat-server, embedded: `GET /api/health`", "/api/health", 0.65),
    ("goat-server, embedded: `GET /api/v1/sessions`, one row", "/api/v1/sessions", 0.15),
    ("goat-server, embedded: `GET /api/v1/user/list`, one row", "/api/v1/user/list", 0.10),
];

/// A line of the table: its subjects by their place, and the goal of the ratio.
struct Row {
    name: &'static str,
    baseline: usize,
    now: usize,
    before: Option<usize>,
    goal: Option<f64>,
}

pub(crate) fn measure(options: &Options, report: &Report) {
    let reference = |program: &Path, name| Server::reference(program, name, Some(SERVER_CORE));
    let now = options.reference();
    let hyper = reference(&now, "hyper");
    let axum = reference(&now, "axum");
    let on_hyper = reference(&now, "goat-hyper");
    let on_axum = reference(&now, "goat-axum");
    let peers = reference(&now, "axum-login and tower_governor");
    let before_on = options.before_reference.as_deref();
    let before_hyper = before_on.map(|program| reference(program, "goat-hyper"));
    let before_axum = before_on.map(|program| reference(program, "goat-axum"));
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let goat = |program: &Path, folder: usize| {
        Server::goat_signed_in(program, Some(SERVER_CORE), folders[folder].path(), &[])
    };
    let server = goat(&options.goat_server(), 0);
    let before_server = options.before.as_deref().map(|program| goat(program, 1));

    let mut subjects = Vec::new();
    let mut add = |server, path| {
        subjects.push(Subject::new(server, path));
        subjects.len() - 1
    };
    let bare = add(&hyper, "/reports");
    let router = add(&axum, "/reports");
    let mut rows = vec![
        row("bare hyper", bare, bare, None, None),
        row(
            "goat-tower on hyper: authenticate, require, limits by address and by user",
            bare,
            add(&on_hyper, "/reports"),
            before_hyper.as_ref().map(|server| add(server, "/reports")),
            Some(0.90),
        ),
        row("bare axum router", bare, router, None, None),
        row(
            "goat-tower, the same as four layers of an axum router; ratio to that router",
            router,
            add(&on_axum, "/reports"),
            before_axum.as_ref().map(|server| add(server, "/reports")),
            Some(0.85),
        ),
        row(
            "axum-login and tower_governor with headers; ratio to that router",
            router,
            add(&peers, "/reports"),
            None,
            None,
        ),
    ];
    for (name, path, goal) in REQUESTS {
        let before = before_server.as_ref().map(|server| add(server, path));
        rows.push(row(name, bare, add(&server, path), before, Some(goal)));
    }
    let turns = take_turns(options, Shape::Pinned, &subjects);
    write(options, report, &rows, &turns);
}

fn row(
    name: &'static str,
    baseline: usize,
    now: usize,
    before: Option<usize>,
    goal: Option<f64>,
) -> Row {
    Row { name, baseline, now, before, goal }
}

fn write(options: &Options, report: &Report, rows: &[Row], turns: &[Vec<Turn>]) {
    let cpu = |turn: &Turn| turn.cpu[0];
    let ratio_of = |row: &Row, place: usize| ratio(&turns[row.baseline], &turns[place], cpu);
    let bars_of = rows.iter().filter(|row| row.now != row.baseline).map(|row| Bar {
        label: row.name.replace('`', ""),
        now: ratio_of(row, row.now),
        before: row.before.map(|place| ratio_of(row, place)),
        goal: row.goal,
    });
    let title = "Server CPU per request: ratio of the bare server to each";
    report.chart("served", &bars(title, &bars_of.collect::<Vec<_>>()));

    let lines = rows.iter().map(|row| {
        let before = |figure: &dyn Fn(usize) -> f64| match row.before {
            Some(place) => number(figure(place)),
            None => String::new(),
        };
        let spent = |place: usize| typical(&turns[place], cpu);
        let rate = typical(&turns[row.now], |turn| turn.outcome.per_second);
        vec![
            before(&|place| ratio_of(row, place)),
            format!("**{:.2}**", ratio_of(row, row.now)),
            row.goal.map_or(String::new(), |goal| format!("{goal:.2}")),
            before(&spent),
            number(spent(row.now)),
            number(rate),
            row.name.to_owned(),
        ]
    });
    let head = ["ratio before", "ratio", "goal", "CPU µs before", "CPU µs", "requests/s", "work"];
    let table = table(&head, &lines.collect::<Vec<_>>());
    report.section("served", &format!("{table}\n{}", report::turns(options)));
}
