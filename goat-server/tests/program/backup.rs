//! `backup` and `restore`, and copies of the database without its write-ahead log.

use std::fs;

use serde_json::{Value, json};

use crate::support::process::{ADMIN, Client, Program, mode};

const PASSWORD: &str = "seven lamps over the quay";

fn credentials(email: &str) -> Value {
    json!({ "email": email, "password": PASSWORD })
}

fn login(client: &Client, email: &str) -> Value {
    let response = client.post("/api/v1/auth/login", None, &credentials(email));
    let response = response.expect("a response");
    assert_eq!(response.status, 200, "{response:?}");
    response.body["data"].clone()
}

fn status_with(client: &Client, token: &Value) -> u16 {
    let token = token.as_str().expect("a token");
    client.call("GET", "/api/v1/user", Some(token), None).expect("a response").status
}

/// R9: the copy is consistent while the server runs, and a restore brings everything back but the sessions.
#[test]
fn backup_of_a_running_server_is_restored_without_its_sessions() {
    let program = Program::new();
    let (server, address) = program.serve();
    let client = Client::new(address);
    client.post("/api/v1/auth/signup", None, &credentials("ann@example.org"));
    let ann = login(&client, "ann@example.org");
    assert_eq!(status_with(&client, &ann["access_token"]), 200);
    let output = program.run_ok(&["backup", "copy"], "");
    assert_eq!(output, "copy: goat.db, jwt-key.pem, pepper, server-key, admin-password\n");
    assert_eq!(mode(&program.path("copy")), 0o600);
    let again = program.run(&["backup", "copy"]);
    assert_eq!(again.status, Some(78), "{again:?}");
    assert!(again.err.contains("it exists"), "{again:?}");
    let names: Vec<_> = fs::read_dir(program.path("")).expect("a folder").collect();
    assert_eq!(names.len(), 2, "no draft is left: {names:?}");
    // Users since the backup are not in it.
    client.post("/api/v1/auth/signup", None, &credentials("bo@example.org"));

    // Neither a running server nor an existing database is replaced.
    let exit = program.run(&["restore", "copy"]);
    assert_eq!(exit.status, Some(1), "{exit:?}");
    server.stop();
    let exit = program.run(&["restore", "copy"]);
    assert_eq!(exit.status, Some(78), "{exit:?}");
    assert!(exit.err.contains("data/goat.db exists"), "{exit:?}");

    fs::rename(program.path("data"), program.path("lost")).expect("it is ours");
    let exit = program.run(&["restore", "copy"]);
    assert_eq!(exit.status, Some(0), "{exit:?}");
    let restored = "restored goat.db, jwt-key.pem, pepper, server-key, admin-password\n";
    assert_eq!(exit.out, format!("{restored}all sessions are ended: 1\n"));
    assert!(exit.err.contains(r#""event":"backup-restored""#), "{exit:?}");
    for name in ["pepper", "jwt-key.pem", "server-key", "admin-password"] {
        let path = format!("data/{name}");
        assert_eq!(program.read(&path), program.read(&format!("lost/{name}")));
        assert_eq!(mode(&program.path(&path)), 0o600);
    }
    let database = fs::read(program.path("data/goat.db")).expect("it is there");
    let pepper = program.read("data/pepper");
    let holds = |text: &str| database.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(!holds(pepper.trim()), "the secrets are in no page of the database");

    let (server, address) = program.serve();
    let client = Client::new(address);
    assert_eq!(status_with(&client, &ann["access_token"]), 401);
    let refresh = json!({ "refresh_token": ann["refresh_token"] });
    let refused = client.post("/api/v1/auth/refresh", None, &refresh).expect("a response");
    assert_eq!((refused.status, &refused.body["code"]), (401, &json!("session-revoked")));
    let ann = login(&client, "ann@example.org");
    assert_eq!(status_with(&client, &ann["access_token"]), 200);
    let bo = client.post("/api/v1/auth/login", None, &credentials("bo@example.org"));
    assert_eq!(bo.expect("a response").status, 401);
    server.stop();
}

#[test]
fn restore_refuses_what_is_no_backup_and_leaves_nothing() {
    let program = Program::new();
    program.serve().0.stop();
    fs::rename(program.path("data"), program.path("used")).expect("it is ours");
    fs::write(program.path("letter"), "this is a letter, and not a database").expect("it is ours");
    for (file, expected) in [
        ("used/goat.db", "it is not a backup of goat"),
        ("letter", "it is not a backup of goat"),
        ("nowhere", "there is no such file"),
    ] {
        let exit = program.run(&["restore", file]);
        assert_eq!(exit.status, Some(78), "{exit:?}");
        assert!(exit.err.contains(expected), "{exit:?}");
        let left = fs::read_dir(program.path("data")).expect("a folder");
        let left: Vec<_> = left.map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!(left, ["goat.db.lock"], "{file}");
    }
}

/// A database in use is mostly in its write-ahead log: a copy of the file alone is not taken for a new system.
#[test]
fn lone_database_file_is_recognised() {
    let program = Program::new();
    let (server, _) = program.serve();
    let copy = Program::new();
    fs::create_dir(copy.path("data")).expect("a folder");
    for name in ["goat.db", "pepper", "jwt-key.pem"] {
        let path = format!("data/{name}");
        fs::copy(program.path(&path), copy.path(&path)).expect("it is ours");
    }
    let lone = fs::read(copy.path("data/goat.db")).expect("it is there");
    for command in [&["serve"][..], &["migrate"], &["check"], &["user", "list"]] {
        let exit = copy.run(command);
        assert_eq!(exit.status, Some(78), "{command:?}: {exit:?}");
        assert!(exit.text().contains("the file ending in -wal is missing"), "{exit:?}");
    }
    assert_eq!(fs::read(copy.path("data/goat.db")).expect("it is there"), lone);

    // With the log, the copy is complete.
    fs::copy(program.path("data/goat.db-wal"), copy.path("data/goat.db-wal")).expect("it is ours");
    assert!(copy.run_ok(&["user", "list"], "").contains(ADMIN));
    server.stop();
}
