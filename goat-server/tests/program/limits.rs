//! The log describes the rate limits at the start.

use crate::support::process::{Program, json, message, status};

/// Once each, even after requests, and even for a limit of many routes.
#[test]
fn each_limit_is_logged_once() {
    let program = Program::new().with("GOAT_RATE_LIMIT_USER", "7/90s");
    let (server, address) = program.serve();
    for path in ["/api/openapi.json", "/api/v1/user", "/api/v1/user/list"] {
        status(address, path);
    }
    let output = server.stop();
    let mut limits: Vec<_> = output
        .iter()
        .map(|line| json(line))
        .filter(|line| message(line).starts_with("limit "))
        .inspect(|line| assert_eq!(line["level"], "INFO", "{line}"))
        .map(|line| message(&line))
        .collect();
    limits.sort();
    let expected = [
        r#"limit "address": 300 per minute, counted by address"#,
        r#"limit "auth": 5 per minute, counted by address as "change-email-confirm""#,
        r#"limit "auth": 5 per minute, counted by address as "change-email-undo""#,
        r#"limit "auth": 5 per minute, counted by address as "invite-confirm""#,
        r#"limit "auth": 5 per minute, counted by address as "login""#,
        r#"limit "auth": 5 per minute, counted by address as "login-confirm""#,
        r#"limit "auth": 5 per minute, counted by address as "recover""#,
        r#"limit "auth": 5 per minute, counted by address as "recover-confirm""#,
        r#"limit "auth": 5 per minute, counted by address as "signup""#,
        r#"limit "public": 100 per minute, counted by address"#,
        r#"limit "refresh": 60 per minute, counted by address"#,
        r#"limit "session-control": 30 per minute, counted by session"#,
        r#"limit "user": 7 per 90 seconds, counted by user"#,
        r#"limit "verify": 1200 per minute, counted by user"#,
    ];
    assert_eq!(limits, expected);
}
