//! The start on an existing database, and the server at rest.

use std::fs;

use crate::support::process::Program;

/// The most memory of a server that served no request, in KiB: its heap and stacks. The pages of the
/// program are not counted, of which an unoptimized build has several times as many as a release.
const MOST_AT_REST: u64 = 12 * 1024;

/// A start hashes no password: that would take longer than the rest of the start, and 19 MiB which the
/// hasher keeps.
#[cfg(target_os = "linux")]
#[test]
fn server_at_rest_takes_little_memory() {
    let program = Program::new();
    program.serve().0.stop();
    let (server, _) = program.serve();
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).expect("a process");
    let private = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let private: u64 = private
        .and_then(|size| size.trim().strip_suffix(" kB"))
        .and_then(|size| size.parse().ok())
        .expect("a size in kB");
    eprintln!("{private} KiB");
    assert!(private <= MOST_AT_REST, "{private} KiB of memory at rest");
    server.stop();
}
