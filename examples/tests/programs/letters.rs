//! Example `letters`: a courier of its own, confirmed sign-up and recovery.

use serde_json::{Value, json};

use crate::program::Program;

/// The address and the text of a letter, the token of its link and its code.
struct Letter {
    head: String,
    token: Option<String>,
    code: Option<String>,
}

fn next_letter(service: &mut Program) -> Letter {
    let line = service.line();
    let (head, link) = line.split_once(": https://forum.example.org/").expect("a link");
    let (link, code) = match link.split_once(" or ") {
        Some((link, code)) => (link, Some(code.to_owned())),
        None => (link, None),
    };
    let token = link.split_once('#').map(|(_, token)| token.to_owned());
    Letter { head: head.to_owned(), token, code }
}

/// M8, M7, M1: nothing exists before the mailbox answers; a letter answers once, by its link or its code.
#[test]
fn sign_up_and_recovery_by_letters() {
    let mut service = Program::start(env!("CARGO_BIN_EXE_letters"));
    let (ann, first, second) =
        ("ann@example.org", "a long walk on a short pier", "seven lamps over the quay");
    let sign_in = |service: &Program, password: &str, device_token: Value| {
        let form = json!({ "email": ann, "password": password, "device_token": device_token });
        service.post("/sign-in", "", form)
    };

    let asked = service.post("/sign-up", "", json!({ "email": ann }));
    assert_eq!(asked.status, 202);
    let letter = next_letter(&mut service);
    assert_eq!(letter.head, "letter to ann@example.org: Complete your sign-up");
    assert_eq!(sign_in(&service, first, Value::Null).outcome(), (401, "invalid-credentials"));
    let token = letter.token.expect("a link");
    let weak = json!({ "token": token, "password": "short" });
    assert_eq!(service.post("/sign-up/confirm", "", weak).outcome(), (400, "validation"));
    let answer = json!({ "token": token, "password": first });
    let confirmed = service.post("/sign-up/confirm", "", answer.clone());
    assert_eq!(confirmed.status, 201);
    let session = confirmed.text("access_token");
    let expected = json!({ "email": ann, "is_verified": true });
    assert_eq!(service.get("/me", &session).json, expected);
    let again = service.post("/sign-up/confirm", "", answer);
    assert_eq!(again.outcome(), (400, "invalid-challenge"));

    // The same response for an address that has an account: its owner is told by the letter.
    let asked = service.post("/sign-up", "", json!({ "email": ann }));
    assert_eq!(asked.status, 202);
    let letter = next_letter(&mut service);
    assert_eq!(letter.head, "letter to ann@example.org: You have an account already");
    assert!(letter.token.is_none());
    assert_eq!(service.post("/recover", "", json!({ "email": "bob@example.org" })).status, 202);

    let asked = service.post("/recover", "", json!({ "email": ann }));
    assert_eq!(asked.status, 202);
    // No letter went to the address without an account.
    let letter = next_letter(&mut service);
    assert_eq!(letter.head, "letter to ann@example.org: Set a new password");
    let code = letter.code.expect("a code");
    let wrong =
        json!({ "challenge": asked.text("challenge"), "code": "00000000", "password": second });
    assert_eq!(service.post("/recover/confirm", "", wrong).outcome(), (400, "invalid-challenge"));
    let typed = code.to_lowercase();
    let answer = json!({ "challenge": asked.text("challenge"), "code": typed, "password": second });
    let recovered = service.post("/recover/confirm", "", answer);
    assert_eq!(recovered.status, 200);
    let letter = next_letter(&mut service);
    assert_eq!(letter.head, "letter to ann@example.org: Your password was changed");
    assert_eq!(service.get("/me", &session).outcome(), (401, "session-revoked"));
    assert_eq!(sign_in(&service, first, Value::Null).outcome(), (401, "invalid-credentials"));
    assert_eq!(sign_in(&service, second, json!(recovered.text("device_token"))).status, 200);
    assert_eq!(sign_in(&service, second, Value::Null).status, 200);
    let letter = next_letter(&mut service);
    assert_eq!(letter.head, "letter to ann@example.org: Sign-in from a new device");
}
