//! Latency of `GET /api/v1/user` during a flood of logins, and the server's memory after it.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::cpu::resident;
use crate::login::{login, script};
use crate::options::Options;
use crate::report::{Report, table};
use crate::server::Server;
use crate::statistics::{mebibytes, milliseconds};
use crate::wrk::{Load, Outcome};

/// Concurrent logins; far more than the hashes that may run and wait.
const LOGINS: u32 = 500;
/// Signs in during the flood. The administrator's own session would end, as the oldest of too many.
const VISITOR: &str = "visitor@example.com";
/// How long the flood lasts before and after the measurement.
const MARGIN: u32 = 1;

pub(crate) fn measure(options: &Options, report: &Report) {
    let programs = [(Some(options.goat_server()), "now"), (options.before.clone(), "before")];
    let mut lines = Vec::new();
    for (program, name) in programs {
        let Some(program) = program else { continue };
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::goat_signed_in(&program, None, folder.path(), &[]);
        let get = Load {
            address: server.address,
            path: "/api/v1/user".to_owned(),
            header: server.header.clone(),
            script: None,
            threads: 1,
            connections: 4,
            seconds: options.seconds + 1,
            core: None,
        };
        let at_rest = resident(server.id()).0;
        let quiet = get.run();
        server.add_user(VISITOR);
        let script = script(folder.path(), VISITOR);
        let seconds = get.seconds + 2 * MARGIN;
        let flood = Load { connections: LOGINS, seconds, core: None, ..login(&server, &script) };
        let mut flood = flood.command().stdout(Stdio::null()).spawn().expect("wrk can be run");
        thread::sleep(Duration::from_secs(MARGIN.into()));
        let flooded = get.run_with_refusals();
        assert!(flooded.refused == 0.0, "{} refused during the flood", flooded.refused);
        assert!(flood.wait().expect("a process").success(), "wrk fails");
        // Idle connections are closed, and buffers returned.
        thread::sleep(Duration::from_secs(1));
        let (after, highest) = resident(server.id());
        let times = |outcome: &Outcome| match outcome.requests {
            0.0 => format!("no response in {} s", get.seconds),
            _ => format!("{} / {}", milliseconds(outcome.median), milliseconds(outcome.p99)),
        };
        lines.push(vec![
            name.to_owned(),
            times(&quiet),
            times(&flooded),
            mebibytes(at_rest),
            mebibytes(highest),
            mebibytes(after),
        ]);
    }
    let head = [
        "",
        "`GET /api/v1/user`, p50 / p99",
        "during the flood, p50 / p99",
        "memory at rest",
        "highest",
        "after the flood",
    ];
    report.section("flood", &table(&head, &lines));
}
