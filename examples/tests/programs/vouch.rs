//! Example `vouch`: sign-in by the application's own means.

use serde_json::{Value, json};

use crate::program::{Program, Response};

fn sign_in(wiki: &Program, name: &str, password: &str) -> Response {
    wiki.post("/sign-in", "", json!({ "name": name, "password": password }))
}

#[test]
fn staff_sign_in_with_the_directory() {
    let wiki = Program::start(env!("CARGO_BIN_EXE_vouch"));
    let wrong = sign_in(&wiki, "ann", "directory-bob");
    assert_eq!(wrong.outcome(), (401, "invalid-credentials"));
    let stranger = sign_in(&wiki, "eve", "directory-eve");
    assert_eq!(stranger.outcome(), (401, "invalid-credentials"));
    // The first sign-in creates the user, and the second one finds it.
    let first = sign_in(&wiki, "ann", "directory-ann").text("access_token");
    let second = sign_in(&wiki, "ann", "directory-ann").text("access_token");
    for token in [&first, &second] {
        let me = wiki.get("/me", token);
        assert_eq!(me.json, json!({ "email": "ann@example.org", "methods": ["vouched"] }));
    }
    assert_eq!(wiki.post("/sign-out", &first, Value::Null).status, 204);
    assert_eq!(wiki.get("/me", &first).outcome(), (401, "session-revoked"));
    assert_eq!(wiki.get("/me", &second).status, 200);
}

#[test]
fn attempts_at_one_name_are_limited() {
    let wiki = Program::start(env!("CARGO_BIN_EXE_vouch"));
    for _ in 0..10 {
        assert_eq!(sign_in(&wiki, "ann", "wrong").status, 401);
    }
    assert_eq!(sign_in(&wiki, "ann", "directory-ann").outcome(), (429, "rate-limited"));
    assert_eq!(sign_in(&wiki, "bob", "directory-bob").status, 200);
}
