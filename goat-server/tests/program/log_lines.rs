//! What the whole process writes once it logs in JSON: every line, on either stream, is an object.

use std::process::Command;

use goat_server::logging;
use goat_server::settings::{LogFormat, LogSettings};

const CHILD: &str = "GOAT_TEST_LOG_LINES";
const MARK: &str = "-- from here on --";

/// The process that logs: this same test, told so by its environment.
fn be_the_child() -> ! {
    println!("\n{MARK}");
    eprintln!("\n{MARK}");
    let settings = LogSettings { filter: "info".to_owned(), format: Some(LogFormat::Json) };
    logging::init(&settings).expect("nobody logs yet");
    assert!(logging::init(&settings).is_err(), "one process, one log");
    tracing::info!(agent = "curl\n\u{1b}[2J", "hello\nworld");
    let panicked = std::thread::spawn(|| panic!("the secret is {}\n", "hunter2")).join();
    assert!(panicked.is_err());
    std::process::exit(0)
}

/// L1, L2, H5
#[test]
fn every_line_on_either_stream_is_an_object_also_when_something_panics() {
    if std::env::var_os(CHILD).is_some() {
        be_the_child();
    }
    let this = std::env::current_exe().expect("a test has a file");
    let name = "every_line_on_either_stream_is_an_object_also_when_something_panics";
    let output = Command::new(this)
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("the child runs");
    assert!(output.status.success(), "{output:?}");

    let lines = |stream: Vec<u8>| {
        let text = String::from_utf8(stream).expect("UTF-8");
        let (_, lines) = text.split_once(&format!("{MARK}\n")).expect("the mark");
        assert!(!lines.contains("hunter2"), "{lines}");
        let objects = lines.lines().map(|line| serde_json::from_str(line).expect(line));
        objects.collect::<Vec<serde_json::Map<String, serde_json::Value>>>()
    };
    let out = lines(output.stdout);
    assert_eq!(out.len(), 2, "{out:?}");
    assert_eq!(out[0]["message"], "hello\nworld");
    assert_eq!(out[1]["level"], "ERROR");
    assert!(
        out[1]["place"].as_str().expect("a place").starts_with("goat-server/tests/log_lines.rs:")
    );
    assert_eq!(lines(output.stderr).len(), 0);
}
