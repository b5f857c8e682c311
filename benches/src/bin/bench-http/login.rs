//! Sign-in against the ceiling of its Argon2 hash, on one core.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use benches::application::PASSWORD;
use serde_json::json;

use crate::options::{LOAD_CORE, Options, SERVER_CORE};
use crate::report::{Report, table};
use crate::server::{ADMIN, Server};
use crate::statistics::{median, number};
use crate::turns::{Turn, drive, typical};
use crate::wrk::{Load, pinned};

/// Turns are longer than those of other requests: a login takes tens of milliseconds.
const LONGER: u32 = 2;

pub(crate) fn measure(options: &Options, report: &Report) {
    let programs = [Some(options.goat_server()), options.before.clone()];
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let servers: Vec<Server> = programs
        .iter()
        .flatten()
        .zip(&folders)
        .map(|(program, folder)| Server::goat(program, Some(SERVER_CORE), folder.path(), &[]))
        .collect();
    let script = script(folders[0].path(), ADMIN);
    let (mut ceilings, mut turns) = (Vec::new(), vec![Vec::new(); servers.len()]);
    for _ in 0..options.rounds.min(3) {
        ceilings.push(ceiling(options));
        for (server, turns) in servers.iter().zip(&mut turns) {
            let load = Load { seconds: options.seconds * LONGER, ..login(server, &script) };
            turns.push(drive(&load, server, &[vec![server.id()]]));
        }
    }
    let ceiling = median(&ceilings);
    let mut lines = vec![vec![
        "1".to_owned(),
        number(ceiling / 1e3),
        number(1e6 / ceiling),
        "the argon2 crate alone: 19 MiB, two passes, one lane".to_owned(),
    ]];
    for (turns, name) in turns.iter().zip(["`POST /api/v1/auth/login`", "the same, before"]) {
        let cpu = |turn: &Turn| turn.cpu[0];
        let ratios: Vec<f64> =
            ceilings.iter().zip(turns).map(|(ceiling, turn)| ceiling / cpu(turn)).collect();
        lines.push(vec![
            number(median(&ratios)),
            number(typical(turns, cpu) / 1e3),
            number(typical(turns, |turn| turn.outcome.per_second)),
            name.to_owned(),
        ]);
    }
    let head = ["ratio", "CPU ms", "per second and core", "work"];
    report.section("login", &table(&head, &lines));
}

/// CPU microseconds of one hash.
fn ceiling(options: &Options) -> f64 {
    let mut command = pinned(options.reference(), Some(SERVER_CORE));
    let output = command.arg("argon2").stdin(Stdio::null()).output().expect("it can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().expect("a number of microseconds")
}

/// Writes a script for wrk that signs a user in.
///
/// # Panics
/// If the folder cannot be written.
pub(crate) fn script(folder: &Path, email: &str) -> PathBuf {
    let body = json!({"email": email, "password": PASSWORD}).to_string();
    let text = format!(
        "wrk.method = \"POST\"\nwrk.body = {body:?}\n\
         wrk.headers[\"Content-Type\"] = \"application/json\"\n"
    );
    let path = folder.join("login.lua");
    fs::write(&path, text).expect("the folder can be written");
    path
}

/// A load of logins.
pub(crate) fn login(server: &Server, script: &Path) -> Load {
    Load {
        address: server.address,
        path: "/api/v1/auth/login".to_owned(),
        header: String::new(),
        script: Some(script.to_owned()),
        threads: 1,
        connections: 4,
        seconds: 2,
        core: Some(LOAD_CORE),
    }
}
