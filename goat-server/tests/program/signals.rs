//! What SIGTERM and SIGINT do to the process; in a program of its own, since they are for all of it.

use std::process::Command;

use goat_server::serve::{Lifecycle, drain_on_signals};

fn raise(name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &std::process::id().to_string()])
        .status()
        .expect("there is a kill command");
    assert!(status.success());
}

/// O3
#[tokio::test]
async fn first_signal_drains_and_the_second_ends_the_wait() {
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
