//! Example `mounted`: goat-server's API in an application.

use serde_json::json;

use crate::program::Program;

#[test]
fn the_mounted_example_works() {
    let program = Program::start(env!("CARGO_BIN_EXE_mounted"));
    let ann = json!({"email": "ann@example.org", "password": "a long walk on a short pier"});
    let signed_in = program.post("/auth/api/v1/auth/login", "", ann);
    assert_eq!(signed_in.status, 200);
    let token = signed_in.json["data"]["access_token"].as_str().expect("a token");

    assert_eq!(program.get("/orders", "").outcome(), (401, "unauthenticated"));
    assert_eq!(program.get("/orders", token).status, 200);
    let users = program.get("/staff/api/v1/user/list", token);
    assert_eq!(users.json["data"][0]["email"], "ann@example.org");
    assert_eq!(program.get("/auth/api/ready", "").status, 200);

    let ben = json!({"email": "ben@example.org", "password": "another walk on a long pier"});
    let created = program.post("/staff/api/v1/user", token, ben);
    assert_eq!(created.status, 201);
    assert!(created.head.contains("\nlocation: /staff/api/v1/user/"), "{}", created.head);

    let unknown = program.get("/auth/unknown", "");
    assert_eq!(unknown.outcome(), (404, "not-found"));
    assert_eq!(unknown.json["instance"], "/auth/unknown");
    let page = program.get("/unknown", "");
    assert_eq!((page.status, page.outcome().1), (404, ""));
    assert!(!page.head.contains("x-request-id"), "{}", page.head);
}
