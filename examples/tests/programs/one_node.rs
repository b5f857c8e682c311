//! Examples `axum` and `hyper`: one process with SQLite.

use serde_json::{Value, json};

use crate::program::{Program, Response};

fn form(email: &str) -> Value {
    json!({ "email": email, "password": "a long walk on a short pier" })
}

/// Signs a user up and in, with checks common to both examples; returns the login's response.
fn sign_up_and_in(program: &Program) -> Response {
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

/// Sends requests until the limit of five a minute rejects one.
fn exceed_limit(send: impl Fn() -> Response, used: usize) {
    for _ in used..5 {
        assert_eq!(send().status, 200);
    }
    let limited = send();
    assert_eq!(limited.outcome(), (429, "rate-limited"));
    assert!(limited.head.contains("\nretry-after: "), "{}", limited.head);
}

#[test]
fn the_axum_example_works() {
    let program = Program::start(env!("CARGO_BIN_EXE_axum"));
    let tokens = sign_up_and_in(&program);
    let access = tokens.text("access_token");

    let sessions = program.get("/sessions", &access);
    assert_eq!(sessions.json["sessions"][0]["device"], "a test");
    assert_eq!(sessions.json["sessions"][0]["current"], true);
    assert_eq!(program.get("/", "").status, 200);
    assert_eq!(program.get("/", "not a token").outcome(), (401, "invalid-token"));
    exceed_limit(|| program.post("/exports", &access, Value::Null), 0);

    let body = json!({ "refresh_token": tokens.text("refresh_token") });
    let next = program.post("/refresh", "", body).text("access_token");
    assert_eq!(program.get("/reports", &next).status, 200);
    assert_eq!(program.post("/logout", &next, Value::Null).status, 204);
    for token in [access, next] {
        assert_eq!(program.get("/reports", &token).outcome(), (401, "session-revoked"));
    }
}

#[test]
fn the_hyper_example_works() {
    let program = Program::start(env!("CARGO_BIN_EXE_hyper"));
    let access = sign_up_and_in(&program).text("access_token");
    exceed_limit(|| program.get("/reports", &access), 1);
    assert_eq!(program.get("/elsewhere", "").outcome(), (404, "not-found"));
}
