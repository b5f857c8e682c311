//! The log in JSON: every line that the process writes, on either stream, is a JSON object.

use std::time::Duration;

use goat_server::observe::logging;
use goat_server::start::settings::{LogFormat, LogSettings};
use serde_json::{Map, Value};

use crate::own_process::in_own_process;

/// L1, L2, H5
#[test]
fn every_line_is_a_json_object_even_after_a_panic() {
    let name = "log_lines::every_line_is_a_json_object_even_after_a_panic";
    let output = in_own_process(name, || {
        let settings = LogSettings { filter: "info".to_owned(), format: Some(LogFormat::Json) };
        let queue = logging::init(&settings).expect("the first logger of the process");
        assert!(logging::init(&settings).is_err(), "a process has one logger");
        tracing::info!(agent = "curl\n\u{1b}[2J", "hello\nworld");
        let panicked = std::thread::spawn(|| panic!("the secret is {}\n", "hunter2")).join();
        assert!(panicked.is_err());
        assert!(queue.flush(Duration::from_secs(60)), "every line is written");
    });
    let parse = |text: &str| -> Vec<Map<String, Value>> {
        assert!(!text.contains("hunter2"), "{text}");
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    };
    let lines = parse(&output.stdout);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0]["message"], "hello\nworld");
    assert_eq!(lines[1]["level"], "ERROR");
    let place = lines[1]["location"].as_str().expect("a place");
    assert!(place.starts_with("goat-server/tests/program/log_lines.rs:"), "{place}");
    assert_eq!(parse(&output.stderr).len(), 0);
}
