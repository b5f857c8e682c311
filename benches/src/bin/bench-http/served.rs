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
    /// A server that sends the same response to the same request, and does nothing else.
    floor: Option<usize>,
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
    let hyper_floor = on_hyper.floor(&now, "fixed", "/reports");
    let axum_floor = on_axum.floor(&now, "fixed-axum", "/reports");
    let floors = REQUESTS.map(|(_, path, _)| server.floor(&now, "fixed", path));

    let mut subjects = Vec::new();
    let mut add = |server, path| {
        subjects.push(Subject::new(server, path));
        subjects.len() - 1
    };
    let bare = add(&hyper, "/reports");
    let router = add(&axum, "/reports");
    let mut rows = vec![
        Row::new("bare hyper", bare, bare),
        Row {
            before: before_hyper.as_ref().map(|server| add(server, "/reports")),
            floor: Some(add(&hyper_floor, "/reports")),
            goal: Some(0.90),
            ..Row::new(
                "goat-tower on hyper: authenticate, require, limits by address and by user",
                bare,
                add(&on_hyper, "/reports"),
            )
        },
        Row::new("bare axum router", bare, router),
        Row {
            before: before_axum.as_ref().map(|server| add(server, "/reports")),
            floor: Some(add(&axum_floor, "/reports")),
            goal: Some(0.85),
            ..Row::new(
                "goat-tower, the same as four layers of an axum router; ratio to that router",
                router,
                add(&on_axum, "/reports"),
            )
        },
        Row::new(
            "axum-login and tower_governor with headers; ratio to that router",
            router,
            add(&peers, "/reports"),
        ),
    ];
    for ((name, path, goal), floor) in REQUESTS.into_iter().zip(&floors) {
        rows.push(Row {
            before: before_server.as_ref().map(|server| add(server, path)),
            floor: Some(add(floor, path)),
            goal: Some(goal),
            ..Row::new(name, bare, add(&server, path))
        });
    }
    let turns = take_turns(options, Shape::Pinned, &subjects);
    write(options, report, &rows, &turns);
}

impl Row {
    fn new(name: &'static str, baseline: usize, now: usize) -> Self {
        Self { name, baseline, now, before: None, floor: None, goal: None }
    }
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
        let figure_of = |place: Option<usize>, figure: &dyn Fn(usize) -> f64| {
            place.map(|place| number(figure(place))).unwrap_or_default()
        };
        let spent = |place: usize| typical(&turns[place], cpu);
        let rate = typical(&turns[row.now], |turn| turn.outcome.per_second);
        vec![
            figure_of(row.before, &|place| ratio_of(row, place)),
            format!("**{:.2}**", ratio_of(row, row.now)),
            row.goal.map_or(String::new(), |goal| format!("{goal:.2}")),
            figure_of(row.floor, &|place| ratio_of(row, place)),
            figure_of(row.before, &spent),
            number(spent(row.now)),
            figure_of(row.floor, &spent),
            number(rate),
            row.name.to_owned(),
        ]
    });
    let head = [
        "ratio before",
        "ratio",
        "goal",
        "floor",
        "CPU µs before",
        "CPU µs",
        "floor, µs",
        "requests/s",
        "work",
    ];
    let table = table(&head, &lines.collect::<Vec<_>>());
    report.section("served", &format!("{table}\n{}", report::turns(options)));
}
