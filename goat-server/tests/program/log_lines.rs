//! The log in JSON: every line that the process writes, on either stream, is a JSON object.

use std::time::Duration;

use goat_server::observe::logging;
use goat_server::start::settings::{LogFormat, LogSettings};
use serde_json::{Map, Value};

use crate::own_process::in_own_process;
use crate::support::process::{Client, Program, json};

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

/// Behind a proxy that is not trusted, all clients share one address: the operator must learn of it, and
/// not from every request.
#[test]
fn forwarding_header_from_an_untrusted_peer_is_one_warning() {
    let program = Program::new().with("GOAT_METRICS_LISTEN", "127.0.0.1:0");
    let mut server = program.launch();
    let ready = server.wait_for_message("ready");
    for (listener, paths) in [
        ("listening", &["/api/health", "/nowhere", "//", "/api/v1/user", "/api/health"][..]),
        ("metrics_listening", &["/api/metrics", "/nowhere"]),
    ] {
        let client =
            Client::new(ready[listener].as_str().expect("an address").parse().expect("one"));
        for path in paths {
            client.send("GET", path, "x-forwarded-for: 203.0.113.9\r\n", b"").expect("a response");
        }
    }
    let log = server.stop();
    let warnings: Vec<_> =
        log.iter().filter(|line| line.contains("GOAT_TRUSTED_PROXIES")).collect();
    assert_eq!(warnings.len(), 1, "{log:?}");
    assert_eq!(json(warnings[0])["peer"], "127.0.0.1");
}
