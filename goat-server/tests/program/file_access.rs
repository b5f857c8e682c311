//! Permissions of the data folder and the files in it: wrong ones are a warning in development, and refuse
//! the start in production (L5).

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::process::{Program, Server, mode, prepare};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// A program in production that has generated files from an earlier start in development.
fn used_program() -> Program {
    let program = Program::new();
    program.serve().0.stop();
    program.into_production().with("GOAT_STEP_UP_ADMIN", "on")
}

/// Runs every command in production: each is refused with this message alone.
fn assert_refused(program: &Program, expected: &str) {
    for arguments in [&["serve"][..], &["user", "list"], &["migrate"], &["check"]] {
        let exit = program.run(arguments);
        assert_eq!(exit.status, Some(78), "{exit:?}");
        assert_eq!(exit.err.lines().count(), 1, "{exit:?}");
        assert!(exit.err.contains(expected), "{exit:?}");
    }
}

/// Runs in development, where the message is a warning.
fn assert_warned(program: Program, expected: &str) {
    let program = program.with("GOAT_ENV", "development");
    let (server, _) = program.serve();
    let log = server.stop();
    let mut warnings = log.iter().filter(|line| line.contains("WARN"));
    assert!(warnings.any(|line| line.contains(expected)), "{log:?}");
    let checked = program.run(&["check"]);
    assert_eq!(checked.status, Some(0), "{checked:?}");
    assert!(checked.err.contains("; production would refuse to start\n"), "{checked:?}");
    assert_eq!(program.run(&["check", "--strict"]).status, Some(78));
}

/// L5.
#[test]
fn folder_and_files_that_others_can_change_are_refused_in_production() {
    for (name, wrong, right) in [
        ("data", 0o707, 0o700),
        ("data", 0o1777, 0o770),
        ("data/goat.db", 0o666, 0o660),
        ("data/pepper", 0o602, 0o600),
        ("data/jwt-key.pem", 0o646, 0o640),
        ("data/admin-password", 0o604, 0o600),
    ] {
        let program = used_program();
        set_mode(&program.path(name), right);
        program.serve().0.stop();
        set_mode(&program.path(name), wrong);
        assert_refused(&program, &format!("./{name} "));
        assert_warned(program, &format!("./{name} "));
    }
}

/// L5: the log of the database has its content, too.
#[test]
fn companions_of_the_database_are_checked() {
    let program = used_program();
    let (server, _) = program.serve();
    server.kill();
    let log = program.path("data/goat.db-wal");
    assert_eq!(mode(&log), 0o600);
    set_mode(&log, 0o622);
    assert_refused(&program, "./data/goat.db-wal is writable by every user (mode 622)");
}

/// L5: a symbolic link counts as its target.
#[test]
fn links_are_followed() {
    let program = used_program();
    fs::rename(program.path("data/pepper"), program.path("elsewhere")).expect("it is ours");
    symlink(program.path("elsewhere"), program.path("data/pepper")).expect("a link");
    program.serve().0.stop();
    set_mode(&program.path("elsewhere"), 0o644);
    assert_refused(&program, "./data/pepper contains a secret, but every user can access it");
}

/// L5. Only a superuser can give a file away.
#[test]
fn files_of_another_user_are_refused_in_production() {
    let program = used_program();
    let me = fs::metadata(program.path("data")).expect("it is there").uid();
    let other = 4711;
    if chown(program.path("data/goat.db"), Some(other), None).is_err() {
        return;
    }
    let expected =
        format!("./data/goat.db belongs to user {other}, but the server runs as user {me}");
    assert_refused(&program, &expected);
    assert_warned(program, &expected);
}

/// L5: under any umask of the parent process.
#[test]
fn created_files_are_private_under_any_umask() {
    for umask in ["000", "022", "077"] {
        let program = Program::new();
        let script = format!("umask {umask} && exec \"$0\" serve");
        let mut command = Command::new("sh");
        prepare(&mut command, &program.path(""));
        command.args(["-c", &script, env!("CARGO_BIN_EXE_goat-server")]);
        let mut server = Server::launch(&mut command);
        server.address();
        for (name, expected) in [
            ("data", 0o700),
            ("data/goat.db", 0o600),
            ("data/goat.db-wal", 0o600),
            ("data/goat.db-shm", 0o600),
            ("data/pepper", 0o600),
            ("data/jwt-key.pem", 0o600),
            ("data/admin-password", 0o600),
        ] {
            assert_eq!(mode(&program.path(name)), expected, "{umask}: {name}");
        }
        server.stop();
    }
}

/// L5.
#[test]
fn secret_file_that_others_can_read_is_refused_in_production() {
    let program = Program::in_production().with("GOAT_STEP_UP_ADMIN", "on");
    let path = program.path("password");
    fs::write(&path, "seven lamps over the quay\n").expect("it is ours");
    set_mode(&path, 0o644);
    let program =
        program.without("GOAT_ADMIN_PASSWORD").with("GOAT_ADMIN_PASSWORD_FILE", "password");
    let exit = program.run(&["serve"]);
    assert_eq!(exit.status, Some(78), "{exit:?}");
    let messages = exit.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    let begin = "GOAT_ADMIN_PASSWORD_FILE: names a file that every user of the machine can read";
    assert!(messages[0].starts_with(begin), "{messages:?}");
    set_mode(&path, 0o640);
    program.serve().0.stop();
}
