//! Measurement in turns: several rounds, in each of which every server is driven once, so that other
//! load affects all alike.

use crate::cpu::CpuTimes;
use crate::options::{LOAD_CORE, Options};
use crate::server::Server;
use crate::statistics::{median, microseconds};
use crate::wrk::{Load, Outcome};

/// Shape of the load.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// One thread on the core of the load generator.
    Pinned,
    /// Two threads on all cores, which the servers share.
    Shared,
}

/// A request that is measured: its server, and the processes whose CPU time counts. The first is the
/// server's own.
pub(crate) struct Subject<'a> {
    pub(crate) server: &'a Server,
    pub(crate) path: &'static str,
    pub(crate) processes: Vec<Vec<u32>>,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(server: &'a Server, path: &'static str) -> Self {
        Self { server, path, processes: vec![vec![server.id()]] }
    }

    /// Counts the CPU time of further processes, as one column.
    pub(crate) fn and(mut self, processes: Vec<u32>) -> Self {
        self.processes.push(processes);
        self
    }
}

/// One turn: CPU microseconds per request of each group of processes, and the load generator's
/// outcome.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) cpu: Vec<f64>,
    pub(crate) outcome: Outcome,
}

/// Drives a server once.
pub(crate) fn drive(load: &Load, server: &Server, processes: &[Vec<u32>]) -> Turn {
    let read = || processes.iter().map(|group| CpuTimes::of(group)).collect::<Vec<_>>();
    let before = read();
    let outcome = load.run();
    let after = read();
    server.empty_log();
    let spent = after.iter().zip(&before).map(|(after, before)| after.since(before));
    let cpu = spent.map(|time| microseconds(time) / outcome.requests).collect();
    Turn { cpu, outcome }
}

/// Drives all subjects in turns; returns the turns of each.
pub(crate) fn take_turns(
    options: &Options,
    shape: Shape,
    subjects: &[Subject<'_>],
) -> Vec<Vec<Turn>> {
    let mut turns = vec![Vec::new(); subjects.len()];
    // The first run fills caches and connection pools.
    for subject in subjects {
        load(1, shape, subject).run();
        subject.server.empty_log();
    }
    for round in 0..options.rounds {
        for place in 0..subjects.len() {
            // Each round starts elsewhere, and every other one runs backwards.
            let place = (place + round) % subjects.len();
            let place = if round % 2 == 0 { place } else { subjects.len() - 1 - place };
            let subject = &subjects[place];
            let load = load(options.seconds, shape, subject);
            turns[place].push(drive(&load, subject.server, &subject.processes));
        }
        eprintln!("round {} of {}", round + 1, options.rounds);
    }
    turns
}

fn load(seconds: u32, shape: Shape, subject: &Subject<'_>) -> Load {
    let (threads, connections, core) = match shape {
        Shape::Pinned => (1, 16, Some(LOAD_CORE)),
        Shape::Shared => (2, 32, None),
    };
    Load {
        address: subject.server.address,
        path: subject.path.to_owned(),
        header: subject.server.header.clone(),
        script: None,
        threads,
        connections,
        seconds,
        core,
    }
}

/// The median of a figure over the rounds.
pub(crate) fn typical(turns: &[Turn], figure: impl Fn(&Turn) -> f64) -> f64 {
    median(&turns.iter().map(figure).collect::<Vec<_>>())
}

/// The median of the ratio of the baseline to the measured in the same round.
pub(crate) fn ratio(baseline: &[Turn], measured: &[Turn], figure: impl Fn(&Turn) -> f64) -> f64 {
    let ratios = baseline.iter().zip(measured).map(|(base, turn)| figure(base) / figure(turn));
    median(&ratios.collect::<Vec<_>>())
}
