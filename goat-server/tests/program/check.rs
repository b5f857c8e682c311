//! The command `check`: reports the state that a start would find, and creates nothing.

use std::fs;

use crate::support::process::Program;

#[test]
fn check_of_a_new_folder_creates_nothing() {
    let program = Program::new();
    let out = program.run_ok(&["check"], "");
    let subjects: Vec<_> = out.lines().filter_map(|line| line.split(':').next()).collect();
    let expected = ["settings", "token keys", "mail", "database", "pepper", "administrator"];
    assert_eq!(subjects, expected);
    assert!(out.contains("generated on start into ./data/jwt-key.pem"), "{out}");
    let mail = "mail: files in ./data/mail, server key generated on start into ./data/server-key\n";
    assert!(out.contains(mail), "{out}");
    assert_eq!(fs::read_dir(program.path("")).expect("a folder").count(), 0);
}

#[test]
fn check_of_a_running_server_shows_no_secrets() {
    let program = Program::new();
    let (server, _) = program.serve();
    let out = program.run_ok(&["check"], "");
    for piece in [
        "token keys: EdDSA, signing key ",
        "database: SQLite in ./data/goat.db, schema up to date\n",
        "pepper: from ./data/pepper, matches 1 sampled password hashes",
        "administrator: exists\n",
    ] {
        assert!(out.contains(piece), "{piece}: {out}");
    }
    for file in ["pepper", "server-key", "admin-password"] {
        assert!(!out.contains(program.read(&format!("data/{file}")).trim()), "{out}");
    }
    server.stop();
}

#[test]
fn check_shows_where_messages_go_and_the_list_of_breached_passwords() {
    let program = Program::in_production()
        .with("GOAT_MAIL_URL", "smtps://canary:canary@mail.example.org")
        .with("GOAT_MAIL_FROM", "goat <noreply@example.org>")
        .with("GOAT_PUBLIC_URL", "https://id.example.org")
        .with("GOAT_SERVER_KEY", "Qe7Zt2MwXk5RbVn9CyJp4LsGf8HdUa3T")
        .with("GOAT_PASSWORD_BREACHED_FILE", "pwned.txt");
    fs::write(program.path("pwned.txt"), format!("{}:1\r\n", "0A".repeat(20))).expect("space");
    let exit = program.run(&["check"]);
    assert_eq!(exit.status, Some(0), "{exit:?}");
    for line in [
        "breached passwords: pwned.txt, 1 MB\n",
        "mail: smtps://mail.example.org:465 (TLS, with a password), 1 server keys from the settings\n",
    ] {
        assert!(exit.out.contains(line), "{line} {exit:?}");
    }
    for hidden in ["canary", "Qe7Zt2MwXk5R"] {
        assert!(!exit.text().contains(hidden), "{exit:?}");
    }
}

#[test]
fn check_reports_every_problem() {
    let program = Program::new();
    let (server, _) = program.serve();
    server.stop();
    fs::remove_file(program.path("data/pepper")).expect("it is ours");
    fs::write(program.path("data/jwt-key.pem"), "no key\n").expect("it is ours");
    let exit = program.run(&["check"]);
    assert_eq!(exit.status, Some(78), "{exit:?}");
    assert_eq!(exit.err.lines().count(), 2, "{exit:?}");
    assert!(exit.out.contains("database: "), "{exit:?}");
}

/// B11: in production each limit that is off is a warning; the check succeeds.
#[test]
fn check_in_production_warns_of_limits_that_are_off() {
    let production = |program: Program| {
        program
            .with("GOAT_ENV", "production")
            .with("GOAT_LISTEN", "127.0.0.1:0")
            .with("GOAT_JWT_SECRET", "yJ2kq0vR8sXw3nTz6bHc1mLf9dGp5aQe")
            .with("GOAT_PASSWORD_PEPPER", "p4Wz1uYc7nQe9sKd2mXf6tBh8vRj3gLa")
            .with("GOAT_ADMIN_PASSWORD", "seven lamps over the quay")
            .with("GOAT_STEP_UP_ADMIN", "on")
    };
    let off = |program: Program| {
        program.with("GOAT_RATE_LIMIT_AUTH", "off").with("GOAT_RATE_LIMIT_VERIFY", "off")
    };
    let exit = production(off(Program::new())).run(&["check"]);
    assert_eq!(exit.status, Some(0), "{exit:?}");
    let warnings: Vec<_> = exit.err.lines().filter(|line| line.contains(" is off: ")).collect();
    let names = ["AUTH", "ACCOUNT", "ACCOUNT_DAY", "VERIFY"];
    assert_eq!(warnings.len(), names.len(), "{exit:?}");
    for (warning, name) in warnings.iter().zip(names) {
        let start = format!("warning: GOAT_RATE_LIMIT_{name} is off: ");
        assert!(warning.starts_with(&start), "{warning}");
    }
    assert!(!production(Program::new()).run(&["check"]).err.contains(" is off"));
    assert!(!off(Program::new()).run(&["check"]).err.contains(" is off"), "in development");
    let exit = production(Program::new()).with("GOAT_STEP_UP_ADMIN", "off").run(&["check"]);
    assert_eq!(exit.status, Some(0), "{exit:?}");
    assert!(exit.err.starts_with("warning: GOAT_STEP_UP_ADMIN is off: "), "{exit:?}");
}

#[test]
fn openapi_needs_no_settings() {
    let program = Program::new().with("GOAT_LISTEN", "here");
    let document: serde_json::Value =
        serde_json::from_str(&program.run_ok(&["openapi"], "")).expect("JSON");
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
}
