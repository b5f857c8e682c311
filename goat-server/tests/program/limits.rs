//! What the log says of limits when the server starts.

use crate::support::process::{Site, json, message, status};

/// Each in words, once: also after requests, and though many routes stand behind one of them.
#[test]
fn every_limit_says_once_in_words_what_it_counts() {
    let site = Site::new().with("GOAT_RATE_LIMIT_USER", "7/90s");
    let (server, address) = site.serve();
    for path in ["/api/openapi.json", "/api/v1/user", "/api/v1/user/list"] {
        status(address, path);
    }
    let said = server.stop();
    let mut limits: Vec<_> = said
        .iter()
        .map(|line| json(line))
        .filter(|line| message(line).starts_with("limit "))
        .inspect(|line| assert_eq!(line["level"], "INFO", "{line}"))
        .map(|line| message(&line))
        .collect();
    limits.sort();
    let expected = [
        r#"limit "address": 300 per minute, counted by address"#,
        r#"limit "auth": 5 per minute, counted by address as "login""#,
        r#"limit "auth": 5 per minute, counted by address as "signup""#,
        r#"limit "public": 100 per minute, counted by address"#,
        r#"limit "refresh": 60 per minute, counted by address"#,
        r#"limit "user": 7 per 90 seconds, counted by user"#,
    ];
    assert_eq!(limits, expected);
}
