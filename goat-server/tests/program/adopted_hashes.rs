//! Users of another system: their password hashes are verified, replaced, and checked at the start.

use serde_json::json;

use crate::support::process::{Client, Program, sql};

const PASSWORD: &str = "a long walk on a short pier";

/// A program whose server has one user, with this hash of the other system.
fn adopted(statement: &'static str) -> Program {
    let program = Program::new();
    let (server, address) = program.serve();
    let ann = json!({ "email": "ann@example.org", "password": "seven lamps over the quay" });
    let made = Client::new(address).post("/api/v1/auth/signup", None, &ann);
    assert_eq!(made.expect("a response").status, 201);
    server.stop();
    sql(&program.path("data/goat.db"), statement);
    program
}

/// P6: with the password of the other system, and from then on with goat's own hash.
#[test]
fn adopted_user_signs_in_and_gets_a_hash_of_goat() {
    let program = adopted(
        "UPDATE goat_users SET password_hash = \
         '$2b$04$UVyD6z76wc/qhZdc7PnMh.eYpVPbHUfBPZIiNostKZcSs2X6tasr6' \
         WHERE email = 'ann@example.org'",
    );
    assert_eq!(program.run(&["check"]).status, Some(0));
    let (server, address) = program.serve();
    let client = Client::new(address);
    let login = |password: &str| {
        let ann = json!({ "email": "ann@example.org", "password": password });
        client.post("/api/v1/auth/login", None, &ann).expect("a response").status
    };
    assert_eq!(login("seven lamps over the quay"), 401);
    assert_eq!((login(PASSWORD), login(PASSWORD)), (200, 200));
    let log = server.stop();
    let rehashed = log.iter().filter(|line| line.contains("password-rehashed")).count();
    assert_eq!(rehashed, 1, "{log:?}");
}

/// A hash that no hasher verifies fails the start and the check, without showing it.
#[test]
fn hash_that_cannot_be_verified_fails_the_start() {
    let program = adopted(
        "UPDATE goat_users SET password_hash = '$6$saltsalt$canarycanarycanary' \
         WHERE email = 'ann@example.org'",
    );
    for command in ["serve", "check"] {
        let exit = program.run(&[command]);
        assert_eq!(exit.status, Some(78), "{exit:?}");
        let text = exit.text();
        assert!(text.contains("1 of 2 sampled password hashes cannot be verified"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
    // A user without a password does not.
    sql(
        &program.path("data/goat.db"),
        "UPDATE goat_users SET password_hash = '!' WHERE email = 'ann@example.org'",
    );
    program.serve().0.stop();
}
