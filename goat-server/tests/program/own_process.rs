//! Runs a test in a process of its own, for state that belongs to the whole process: the global
//! subscriber, the panic hook, signal handlers.

use std::process::Command;
use std::{env, process};

/// Set in the child process.
const CHILD: &str = "GOAT_TEST_CHILD";
/// Separates the output of the test from that of the test runner.
const MARK: &str = "-- the test starts here --";

/// The output of a test in its own process.
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `test` in a new process of this binary, and returns its output. `name` is the full name of
/// the calling test. In the new process the function does not return.
///
/// # Panics
/// If the process fails, or the name is not that of the calling test.
pub(crate) fn in_own_process(name: &str, test: impl FnOnce()) -> Output {
    if env::var_os(CHILD).is_some() {
        println!("\n{MARK}");
        eprintln!("\n{MARK}");
        test();
        process::exit(0)
    }
    let binary = env::current_exe().expect("the path of the test binary");
    let output = Command::new(binary)
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("the test binary starts");
    assert!(output.status.success(), "{output:?}");
    let after_mark = |stream: Vec<u8>| {
        let text = String::from_utf8(stream).expect("UTF-8");
        let (_, text) = text.split_once(&format!("{MARK}\n")).expect("the test ran");
        text.to_owned()
    };
    Output { stdout: after_mark(output.stdout), stderr: after_mark(output.stderr) }
}
