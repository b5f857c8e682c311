//! Commands on the wrong folder, in production, and in the audit log.

use std::fs;

use crate::support::process::{ADMIN_PASSWORD, Program, json};

const PASSWORD: &str = "seven lamps over the quay\n";

/// A program after one run of its server.
fn used_program() -> Program {
    let program = Program::new();
    program.serve().0.stop();
    program
}

fn files(program: &Program) -> usize {
    fs::read_dir(program.path("")).expect("a folder").count()
}

/// Only `serve` and `migrate` create a database, keys or a pepper.
#[test]
fn commands_in_the_wrong_folder_name_it_and_create_nothing() {
    let program = Program::new();
    let folder = fs::canonicalize(program.path("")).expect("a folder");
    let folder = folder.to_str().expect("text");
    for arguments in [
        &["user", "list"][..],
        &["user", "create", "ann@example.org"],
        &["user", "set-role", "ann@example.org", "admin"],
        &["user", "set-status", "ann@example.org", "active"],
        &["user", "reset-password", "ann@example.org"],
        &["user", "revoke-sessions", "--all"],
        &["backup", "copy"],
    ] {
        let exit = program.run_with_input(arguments, PASSWORD);
        assert_eq!(exit.status, Some(78), "{arguments:?} {exit:?}");
        assert_eq!(exit.err.lines().count(), 1, "{exit:?}");
        let begin = format!("there is no database at {folder}/data/goat.db: ");
        assert!(exit.err.starts_with(&begin), "{exit:?}");
        assert!(exit.err.contains("GOAT_DATA_DIR"), "{exit:?}");
        assert_eq!(files(&program), 0, "{arguments:?}");
    }
}

/// `migrate` creates the database, and no command creates the pepper after it.
#[test]
fn command_that_hashes_a_password_creates_no_pepper() {
    let program = Program::new();
    program.run_ok(&["migrate"], "");
    let exit = program.run_with_input(&["user", "create", "ann@example.org"], PASSWORD);
    assert_eq!(exit.status, Some(78), "{exit:?}");
    assert!(exit.err.contains("data/pepper is missing: start the server once"), "{exit:?}");
    assert!(!program.path("data/pepper").exists() && !program.path("data/jwt-key.pem").exists());
    assert_eq!(program.run_ok(&["user", "list"], "").lines().count(), 1);
}

#[test]
fn command_in_production_asks_only_for_the_secrets_that_it_uses() {
    let program = used_program();
    let pepper = program.read("data/pepper");
    // A file that the command does not use is not opened.
    let program = program.with("GOAT_ENV", "production").with("GOAT_JWT_SECRET_FILE", "/nowhere");
    assert!(program.run_ok(&["user", "list"], "").contains("admin@goat.local"));
    program.run_ok(&["migrate"], "");
    program.run_ok(&["user", "set-status", "admin@goat.local", "active"], "");

    let create = ["user", "create", "ann@example.org"];
    let exit = program.run_with_input(&create, PASSWORD);
    assert_eq!(exit.status, Some(78), "{exit:?}");
    assert_eq!(exit.err.lines().count(), 1, "{exit:?}");
    assert!(exit.err.starts_with("GOAT_PASSWORD_PEPPER: is not set"), "{exit:?}");
    let program = program.with("GOAT_PASSWORD_PEPPER", pepper.trim());
    program.run_ok(&create, PASSWORD);
    assert_eq!(program.run(&["serve"]).status, Some(78), "the server uses the keys");
}

/// A password of the first administrator is needed only until there is one.
#[test]
fn administrator_password_is_required_only_while_there_is_no_administrator() {
    let program = Program::in_production().without("GOAT_ADMIN_PASSWORD");
    for command in ["check", "serve"] {
        let exit = program.run(&[command]);
        assert_eq!(exit.status, Some(78), "{exit:?}");
        let text = exit.text();
        assert!(text.contains("GOAT_ADMIN_PASSWORD: is not set, but production"), "{text}");
    }
    assert!(!program.path("data/admin-password").exists(), "none is generated in production");
    let program = program.with("GOAT_ADMIN_PASSWORD", ADMIN_PASSWORD);
    program.serve().0.stop();
    let program = program.without("GOAT_ADMIN_PASSWORD");
    program.serve().0.stop();
    program.run_ok(&["check"], "");
}

/// The audit events of a run, in the order of their names.
fn events(log: &str) -> Vec<String> {
    let lines = log.lines().map(json).filter(|line| line["target"] == "goat_server::audit");
    let mut events: Vec<_> = lines
        .map(|line| {
            assert_eq!(line["by"], "system: command line");
            line["event"].as_str().expect("a name").to_owned()
        })
        .collect();
    events.sort();
    events
}

#[test]
fn every_change_is_an_audit_event_on_standard_error() {
    let program = used_program();
    let ann = "ann@example.org";
    for (arguments, expected) in [
        (&["user", "create", ann][..], &["user-created"][..]),
        (&["user", "list"], &[]),
        (&["user", "set-role", ann, "operator"], &["role-changed"]),
        (&["user", "set-status", ann, "suspended"], &["sessions-revoked", "status-changed"]),
        (&["user", "reset-password", ann], &["password-changed", "sessions-revoked"]),
        (&["user", "revoke-sessions", ann], &["sessions-revoked"]),
        (&["user", "revoke-sessions", "--all"], &["sessions-revoked", "sessions-revoked"]),
    ] {
        let exit = program.run_with_input(arguments, PASSWORD);
        assert_eq!(exit.status, Some(0), "{exit:?}");
        assert_eq!(events(&exit.err), expected, "{arguments:?}: {exit:?}");
        // L1: no line has the address.
        assert!(!exit.err.contains('@'), "{exit:?}");
    }
}

#[test]
fn strict_check_fails_on_warnings() {
    let program = used_program();
    assert_eq!(program.run(&["check", "--strict"]).status, Some(0));
    for name in ["DATABASE_URI", "REDIS_UR", "goat_listen", "GOAT_LISTN"] {
        let program = used_program().with(name, "x");
        let exit = program.run(&["check"]);
        assert_eq!(exit.status, Some(0), "{exit:?}");
        assert!(exit.err.contains(&format!("warning: {name} is not a known setting")), "{exit:?}");
        let exit = program.run(&["check", "--strict"]);
        assert_eq!(exit.status, Some(78), "{exit:?}");
        assert!(exit.err.contains("1 warning"), "{exit:?}");
    }
}
