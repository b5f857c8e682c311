//! Graceful shutdown on SIGTERM and SIGINT.

use std::process::Command;

use goat_server::serve::{Lifecycle, drain_on_signals};

use crate::own_process::in_own_process;

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
