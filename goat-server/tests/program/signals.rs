//! Signals: graceful shutdown on SIGTERM and SIGINT, and no other handlers.

use std::process::Command;

use goat_server::serve::{Lifecycle, drain_on_signals};

use crate::own_process::in_own_process;
use crate::support::process::Program;

fn raise(signal: &str) {
    let status = Command::new("kill")
        .args(["-s", signal, &std::process::id().to_string()])
        .status()
        .expect("the kill command");
    assert!(status.success());
}

/// O3
#[test]
fn first_signal_drains_and_the_second_ends_the_wait() {
    in_own_process("signals::first_signal_drains_and_the_second_ends_the_wait", || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(drain_and_end());
    });
}

async fn drain_and_end() {
    let lifecycle = Lifecycle::new();
    lifecycle.ready();
    let second = drain_on_signals(lifecycle.clone()).expect("handlers can be installed");
    let mut second = tokio::spawn(second);

    raise("TERM");
    tokio::select! {
        () = lifecycle.draining() => {}
        _ = &mut second => panic!("one signal was enough"),
    }
    assert!(!second.is_finished());

    raise("INT");
    second.await.expect("the wait ends");
}

/// As the guide to operation says.
#[test]
fn hangup_and_quit_end_the_process_at_once() {
    for (signal, number) in [("HUP", 1), ("QUIT", 3)] {
        // Inherited from nohup, or from a shell that runs a job in the background.
        if is_ignored(number) {
            continue;
        }
        let program = Program::new().with("GOAT_DRAIN_DELAY", "60s");
        let (server, _) = program.serve();
        server.signal(signal);
        let (status, log) = server.wait();
        assert_eq!(status, None, "by the signal: {log:?}");
        assert!(!log.iter().any(|line| line.contains("draining")), "{log:?}");
    }
}

/// Whether this process, and so a program that it starts, ignores a signal.
fn is_ignored(signal: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal - 1) & 1 == 1
}
