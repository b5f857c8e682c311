//! The metrics in production, as the guide sets up their scraper.

use crate::support::process::{Client, Program};

const GUIDE: &str = include_str!("../../guide/operation.md");

/// L6: Prometheus scrapes with the key of a service account, which has the scope of the metrics alone.
#[test]
fn scraper_of_the_guide_reads_the_metrics_with_a_key() {
    let program = Program::in_production();
    program.run_ok(&["migrate"], "");
    let (_, rest) = GUIDE.split_once("```sh\ngoat-server permission grant").expect("commands");
    let (commands, rest) = rest.split_once("```").expect("their end");
    let mut key = String::new();
    for line in format!("goat-server permission grant{commands}").lines() {
        let (command, file) = line.split_once(" > ").unwrap_or((line, ""));
        let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
        let output = program.run_ok(&arguments, "");
        if !file.is_empty() {
            key = output.trim_end().to_owned();
        }
    }
    let (_, path) = rest.split_once("metrics_path: ").expect("the path");
    let path = path.lines().next().expect("a path");
    let (server, address) = program.serve();
    let client = Client::new(address);
    let scraped = client.get(path, &key).expect("a response");
    assert_eq!(scraped.status, 200, "{scraped:?}");
    assert!(scraped.text.contains("goat_build_info"), "{scraped:?}");
    assert_eq!(client.get(path, "").expect("a response").status, 401);
    let users = client.get("/api/v1/user/list", &key).expect("a response");
    assert_eq!(users.failure(), (403, "forbidden"));
    server.stop();
}
