//! The examples of one process on one file: axum, and hyper alone.

use serde_json::{Value, json};

use crate::program::{Answer, Program};

fn form(email: &str) -> Value {
    json!({ "email": email, "password": "a long walk on a short pier" })
}

/// What all examples do: signs somebody up and in; answers what the sign-in brought.
fn enter(program: &Program) -> Answer {
    assert_eq!(program.post("/signup", "", form("no address")).outcome(), (400, "validation"));
    assert_eq!(program.post("/signup", "", form("ann@example.org")).status, 201);
    assert_eq!(
        program.post("/signup", "", form("ann@example.org")).outcome(),
        (409, "email-taken")
    );
    let wrong = program.post("/login", "", form("bob@example.org"));
    assert_eq!(wrong.outcome(), (401, "invalid-credentials"));
    let tokens = program.post("/login", "", form("ann@example.org"));
    assert_eq!(tokens.status, 200);
    let access = tokens.text("access_token");
    assert_eq!(program.get("/reports", "").outcome(), (401, "unauthenticated"));
    assert_eq!(program.get("/audit", &access).outcome(), (403, "forbidden"));
    let allowed = program.get("/reports", &access);
    assert_eq!(allowed.status, 200);
    assert!(allowed.head.contains("\nratelimit: \"address\";r="), "{}", allowed.head);
    tokens
}

/// Asks until the limit of five a minute refuses, which it does after five.
fn ask_too_often(ask: impl Fn() -> Answer, used: usize) {
    for _ in used..5 {
        assert_eq!(ask().status, 200);
    }
    let refused = ask();
    assert_eq!(refused.outcome(), (429, "rate-limited"));
    assert!(refused.head.contains("\nretry-after: "), "{}", refused.head);
}

#[test]
fn the_api_on_axum_does_what_it_says() {
    let program = Program::start(env!("CARGO_BIN_EXE_axum"));
    let tokens = enter(&program);
    let access = tokens.text("access_token");

    let sessions = program.get("/sessions", &access);
    assert_eq!(sessions.json["sessions"][0]["device"], "a test");
    assert_eq!(sessions.json["sessions"][0]["current"], true);
    assert_eq!(program.get("/", "").status, 200);
    assert_eq!(program.get("/", "not a token").outcome(), (401, "invalid-token"));
    ask_too_often(|| program.post("/exports", &access, Value::Null), 0);

    let shown = json!({ "refresh_token": tokens.text("refresh_token") });
    let next = program.post("/refresh", "", shown).text("access_token");
    assert_eq!(program.get("/reports", &next).status, 200);
    assert_eq!(program.post("/logout", &next, Value::Null).status, 204);
    for token in [access, next] {
        assert_eq!(program.get("/reports", &token).outcome(), (401, "session-revoked"));
    }
}

#[test]
fn the_service_on_hyper_does_what_it_says() {
    let program = Program::start(env!("CARGO_BIN_EXE_hyper"));
    let access = enter(&program).text("access_token");
    ask_too_often(|| program.get("/reports", &access), 1);
    assert_eq!(program.get("/elsewhere", "").outcome(), (404, "not-found"));
}
