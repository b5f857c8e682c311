//! Example `keys`: a service that programs call with API keys.

use serde_json::{Value, json};

use crate::program::Program;

/// K1, K2: a key reads within its scopes, until it is revoked; it manages no keys.
#[test]
fn program_calls_with_a_key_of_a_person() {
    let service = Program::start(env!("CARGO_BIN_EXE_keys"));
    let form = json!({ "email": "ann@example.org", "password": "a long walk on a short pier" });
    assert_eq!(service.post("/sign-up", "", form.clone()).status, 201);
    let token = service.post("/sign-in", "", form).text("access_token");
    let wanted = json!({ "name": "nightly", "scopes": ["report:read"] });
    let created = service.post("/keys", &token, wanted.clone());
    assert_eq!(created.status, 201);
    let (id, key) = (created.text("id"), created.text("key"));
    let more = json!({ "name": "more", "scopes": ["report:delete"] });
    assert_eq!(service.post("/keys", &token, more).outcome(), (400, "validation"));

    assert_eq!(service.get("/reports", &token).text("read_by"), "a person");
    assert_eq!(service.get("/reports", &key).text("read_by"), "a program");
    assert_eq!(service.post("/reports", &key, Value::Null).outcome(), (403, "forbidden"));
    assert_eq!(service.post("/reports", &token, Value::Null).status, 201);
    assert_eq!(service.post("/keys", &key, wanted).outcome(), (403, "session-required"));
    assert_eq!(service.get("/keys", &key).outcome(), (403, "session-required"));
    assert_eq!(service.get("/keys", &token).json, json!([{ "id": id, "name": "nightly" }]));

    assert_eq!(service.call("DELETE", &format!("/keys/{id}"), &token, None).status, 204);
    assert_eq!(service.get("/reports", &key).outcome(), (401, "invalid-token"));
    assert_eq!(service.get("/reports", &token).status, 200);
}
