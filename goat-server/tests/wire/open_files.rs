//! W6: the limit on open files.

use std::fs;
use std::process::Command;

use crate::harness::{Server, folder};

/// The soft limit of a process, from `/proc/PID/limits`.
fn soft_limit(process: u32) -> String {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).expect("a process");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a line");
    line.split_whitespace().next().expect("a number").to_owned()
}

/// Starts the server with a hard limit of 512 and a soft limit below.
fn start(connections: &str) -> (Vec<String>, String) {
    let folder = folder();
    let limited = "ulimit -Sn 256 && ulimit -Hn 512 && exec \"$0\" serve";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", limited, env!("CARGO_BIN_EXE_goat-server")]);
    let settings = [("GOAT_MAX_CONNECTIONS", connections)];
    let server = Server::run(&mut command, folder.path(), &settings);
    let soft = soft_limit(server.id());
    (server.stop(), soft)
}

/// W6.
#[test]
fn soft_limit_is_raised_and_a_low_hard_limit_is_a_warning_with_both_numbers() {
    let warning = |log: Vec<String>| {
        log.into_iter().find(|line| line.contains("WARN") && line.contains("open files"))
    };
    let (log, soft) = start("10000");
    assert_eq!(soft, "512");
    let warning_text = warning(log).expect("a warning");
    // Ten thousand connections, 30 files of the pool, and 64 others.
    assert!(warning_text.contains("512") && warning_text.contains("10094"), "{warning_text}");

    let (log, soft) = start("200");
    assert_eq!(soft, "512");
    assert_eq!(warning(log), None);
}
