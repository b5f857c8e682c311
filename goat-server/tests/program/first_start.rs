//! The first start creates secrets, the database and an administrator; later starts keep them.

use std::fs;

use crate::support::process::{Program, json, mode, status};

const FILES: [&str; 5] = ["jwt-key.pem", "pepper", "server-key", "admin-password", "goat.db"];

#[test]
fn first_start_creates_private_files_and_an_administrator() {
    let program = Program::new();
    let (server, address) = program.serve();
    assert_ne!(address.port(), 0, "the log shows the real port");
    assert_eq!(status(address, "/api/health"), 200);
    assert_eq!(status(address, "/api/ready"), 200);
    assert_eq!(mode(&program.path("data")), 0o700);
    for file in FILES {
        assert_eq!(mode(&program.path("data").join(file)), 0o600, "{file}");
    }
    let listed = program.run_ok(&["user", "list"], "");
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains("admin@goat.local  admin  active"), "{listed}");

    let secrets = || {
        FILES.map(|file| {
            if file == "goat.db" { String::new() } else { program.read(&format!("data/{file}")) }
        })
    };
    let before = secrets();
    let output = server.stop();
    // L1: no generated secret and no e-mail address is in the log.
    for secret in before.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        assert!(!output.iter().any(|line| line.contains(secret)), "{output:?}");
    }
    assert!(!output.iter().any(|line| line.contains("admin@goat.local")), "{output:?}");
    output.iter().for_each(|line| drop(json(line)));

    let (server, _) = program.serve();
    assert_eq!(secrets(), before);
    server.stop();
    assert_eq!(program.run_ok(&["user", "list"], ""), listed);
    let mut names: Vec<_> = fs::read_dir(program.path("data"))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .filter(|name| !name.starts_with("goat.db"))
        .collect();
    names.sort();
    assert_eq!(names, ["admin-password", "jwt-key.pem", "pepper", "server-key"]);
}

/// One server uses the database; the other is refused, and leaves its files alone.
#[test]
fn of_concurrent_first_starts_one_creates_the_administrator() {
    let program = Program::new();
    let mut servers = [program.launch(), program.launch()];
    let ready = servers.each_mut().map(|server| server.ready_or_exit().is_ok());
    assert!(ready[0] != ready[1], "{ready:?}");
    let listed = program.run_ok(&["user", "list"], "");
    assert_eq!(listed.lines().count(), 2, "{listed}");
    for (server, is_ready) in servers.into_iter().zip(ready) {
        if is_ready {
            server.stop();
        } else {
            let (status, log) = server.wait();
            assert_eq!(status, Some(1));
            assert!(log.iter().any(|line| line.contains("another server uses")), "{log:?}");
        }
    }
}

/// O4.
#[test]
fn start_after_a_kill_keeps_the_files() {
    let program = Program::new();
    let (server, _) = program.serve();
    server.signal("KILL");
    let (status, _) = server.wait();
    assert_eq!(status, None);
    let password = program.read("data/admin-password");
    let (server, _) = program.serve();
    assert_eq!(program.read("data/admin-password"), password);
    server.stop();
}

#[test]
fn unknown_variable_is_a_warning_that_suggests_the_nearest() {
    let program = Program::new().with("GOAT_LITSEN", "x");
    let (server, _) = program.serve();
    let output = server.stop();
    assert!(
        output.iter().any(|line| line.contains("WARN") && line.contains("GOAT_LISTEN")),
        "{output:?}"
    );
}

/// L6.
#[test]
fn metrics_can_have_a_listener_of_their_own() {
    for program in [Program::new(), Program::in_production()] {
        let program = program.with("GOAT_METRICS_LISTEN", "127.0.0.1:0");
        let mut server = program.launch();
        let ready = server.wait_for_message("ready");
        let address =
            |field: &str| ready[field].as_str().expect(field).parse().expect("an address");
        assert_eq!(status(address("metrics_listening"), "/api/metrics"), 200);
        assert_eq!(status(address("listening"), "/api/metrics"), 404);
        server.stop();
    }
}

/// L6.
#[test]
fn metrics_beside_the_api_are_public_in_development_only() {
    for (program, expected) in [(Program::new(), 200), (Program::in_production(), 401)] {
        let (server, address) = program.serve();
        assert_eq!(status(address, "/api/metrics"), expected);
        server.stop();
    }
}
