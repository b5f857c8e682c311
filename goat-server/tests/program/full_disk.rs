//! O1: a full disk, and a file that must not grow, are a 503 without any effect; the server recovers
//! without a restart.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::process::{Client, Program, TIMEOUT, UNLIMITED, status};

const PASSWORD: &str = "a long walk on a short pier";

/// Sets the largest file that a running process may write.
fn limit_file_size(process: u32, limit: &str) {
    let status = Command::new("prlimit")
        .args(["--pid", &process.to_string(), &format!("--fsize={limit}:unlimited")])
        .status()
        .expect("install util-linux");
    assert!(status.success());
}

fn sign_up(client: &Client, name: &str) -> u16 {
    let body = json!({ "email": format!("{name}@example.org"), "password": PASSWORD });
    let response = client.post("/api/v1/auth/signup", None, &body).expect("a response");
    assert_ne!(response.status, 500, "{response:?}");
    if response.status == 503 {
        assert_ne!(response.header("retry-after"), "", "{response:?}");
    }
    response.status
}

fn log_in(client: &Client, name: &str) -> u16 {
    let body = json!({ "email": format!("{name}@example.org"), "password": PASSWORD });
    client.post("/api/v1/auth/login", None, &body).expect("a response").status
}

fn ready(client: &Client) -> u16 {
    status(client.address, "/api/ready")
}

/// Waits until the remembered result of a probe is replaced.
fn until_ready(client: &Client, expected: u16) {
    let begun = Instant::now();
    while ready(client) != expected {
        assert!(begun.elapsed() < TIMEOUT, "never {expected}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn full_disk_is_a_503_and_the_server_recovers() {
    let program =
        UNLIMITED.iter().fold(Program::new(), |program, (name, value)| program.with(name, value));
    let (server, address) = program.serve();
    let client = Client::new(address);
    assert_eq!(sign_up(&client, "before"), 201);
    assert_eq!(ready(&client), 200);
    for round in 0..3 {
        limit_file_size(server.id(), "1024");
        for attempt in 0..3 {
            assert_eq!(sign_up(&client, &format!("full-{round}-{attempt}")), 503);
            assert_eq!(log_in(&client, "before"), 503);
        }
        until_ready(&client, 503);
        limit_file_size(server.id(), "unlimited");
        // Without any other write: the probe itself finds that writes succeed again.
        until_ready(&client, 200);
        for attempt in 0..3 {
            assert_eq!(log_in(&client, &format!("full-{round}-{attempt}")), 401, "no effect");
            assert_eq!(sign_up(&client, &format!("after-{round}-{attempt}")), 201);
            assert_eq!(log_in(&client, "before"), 200);
        }
    }
    server.stop();
}

/// O5: a migration without space ends with a message about it, at any step, and the next one completes
/// it.
#[test]
fn migration_without_space_is_completed_by_the_next_one() {
    let mut failed = 0;
    for limit in (0..).map(|step| 1024 << step) {
        let program = Program::new();
        let exit = program.run_with_file_limit(limit, &["migrate"]);
        if exit.status == Some(0) {
            break;
        }
        failed += 1;
        assert_eq!(exit.status, Some(1), "a retry may help: {limit}: {exit:?}");
        assert!(exit.err.contains("disk"), "{limit}: {exit:?}");
        program.run_ok(&["migrate"], "");
        assert_eq!(program.run_ok(&["migrate"], ""), "the schema is already up to date\n");
        program.run_ok(&["user", "list"], "");
    }
    assert!(failed > 3, "only {failed} limits were too low");
}
