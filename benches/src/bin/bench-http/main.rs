//! Benchmarks over HTTP: drives goat-server and reference servers with wrk, and writes the tables and
//! charts of `benches/README.md` and `goat-server/guide/capacity.md`.
//!
//! Servers that are compared run in turns, several rounds, and each figure is a median. A request that
//! is not answered with success fails its part. The parts are independent: those that succeed are
//! written, and the program exits with 1 if one failed.

mod capacity;
mod chart;
mod cpu;
mod engines;
mod flood;
mod growth;
mod idle_nodes;
mod login;
mod options;
mod plan;
mod report;
mod revocation;
mod served;
mod server;
mod statistics;
mod turns;
mod wrk;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use options::Options;
use report::Report;

/// A part of the benchmark: its name, whether it needs the engines, and its code.
type Part = (&'static str, bool, fn(&Options, &Report));

const PARTS: [Part; 7] = [
    ("served", false, served::measure),
    ("login", false, login::measure),
    ("flood", false, flood::measure),
    ("engines", true, engines::measure),
    ("revocation", true, revocation::measure),
    ("growth", true, growth::measure),
    ("capacity", true, capacity::measure),
];

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let report = Report::new(&options);
    let mut failed = Vec::new();
    for (name, needs_engines, part) in PARTS {
        if !options.includes(name) || (needs_engines && !options.engines) {
            continue;
        }
        let started = Instant::now();
        eprintln!("== {name}");
        // Each part starts and drops its own servers, so a failed one leaves nothing behind.
        if catch_unwind(AssertUnwindSafe(|| part(&options, &report))).is_err() {
            failed.push(name);
        }
        eprintln!("== {name}: {:.0} s\n", started.elapsed().as_secs_f64());
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("failed: {}", failed.join(", "));
    ExitCode::FAILURE
}
