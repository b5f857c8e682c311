//! Refused starts: one message in the log's format, an exit status that separates permanent from
//! temporary failures, and no change of any file.

use std::fs;
use std::net::TcpListener;

use crate::support::process::{Program, sql};

/// A program that has run before.
fn used_program() -> Program {
    let program = Program::new();
    let (server, _) = program.serve();
    server.stop();
    program
}

#[test]
fn invalid_settings_are_all_reported_as_json() {
    let program = Program::new()
        .with("GOAT_LISTEN", "here")
        .with("GOAT_PASSWORD_PEPPER", "canary")
        .with("GOAT_RATE_LIMIT_AUTH", "many")
        .with("GOAT_LITSEN", "x");
    for arguments in [&["serve"][..], &[]] {
        let exit = program.run(arguments);
        assert_eq!(exit.status, Some(78));
        let mut messages = exit.messages();
        messages.sort();
        let names: Vec<_> =
            messages.iter().filter_map(|text| text.split([':', ' ']).next()).collect();
        assert_eq!(
            names,
            ["GOAT_LISTEN", "GOAT_LITSEN", "GOAT_PASSWORD_PEPPER", "GOAT_RATE_LIMIT_AUTH"]
        );
        assert!(!exit.text().contains("canary"), "{exit:?}");
    }
    assert!(!program.path("data").exists());
}

#[test]
fn invalid_settings_are_plain_lines_if_configured() {
    let program = Program::new().with("GOAT_LISTEN", "here").with("GOAT_LOG_FORMAT", "pretty");
    let exit = program.run(&["serve"]);
    assert_eq!(exit.status, Some(78));
    assert!(exit.err.starts_with("GOAT_LISTEN: \"here\" "), "{exit:?}");
    let exit = Program::new().with("GOAT_LISTEN", "here").run(&["user", "list"]);
    assert!(exit.err.starts_with("GOAT_LISTEN: \"here\" "), "{exit:?}");
}

/// Both settings are named, and no password of the mail server is shown.
#[test]
fn settings_of_mail_that_contradict_each_other_are_refused() {
    let program = Program::in_production().with("GOAT_SIGNUP", "confirmed");
    for arguments in [&["serve"][..], &["check"]] {
        let exit = program.run(arguments);
        assert_eq!(exit.status, Some(78), "{exit:?}");
        assert!(exit.err.contains("GOAT_SIGNUP: "), "{exit:?}");
        assert!(exit.err.contains("requires mail, but GOAT_MAIL_URL is not set"), "{exit:?}");
    }
    let program = program
        .with("GOAT_MAIL_URL", "smtps://canary:canary@mail.example.org")
        .with("GOAT_PUBLIC_URL", "https://id.example.org");
    let exit = program.run(&["serve"]);
    assert_eq!(exit.status, Some(78), "{exit:?}");
    for name in ["GOAT_MAIL_FROM: ", "GOAT_SERVER_KEY: "] {
        assert!(exit.err.contains(name), "{name} {exit:?}");
    }
    assert!(!exit.text().contains("canary"), "{exit:?}");
}

/// The list is checked before a database or secret is created, and an error names the fault and its line.
#[test]
fn unusable_list_of_breached_passwords_is_refused() {
    let program = Program::new().with("GOAT_PASSWORD_BREACHED_FILE", "pwned.txt");
    for (list, fault) in [
        (None, "No such file"),
        (Some(""), "it is empty"),
        (Some("letmein\n"), "line 1 does not begin with a SHA-1"),
    ] {
        if let Some(list) = list {
            fs::write(program.path("pwned.txt"), list).expect("space");
        }
        for command in ["serve", "check"] {
            let exit = program.run(&[command]);
            assert_eq!(exit.status, Some(78), "{exit:?}");
            assert!(
                exit.err.contains("GOAT_PASSWORD_BREACHED_FILE: the list pwned.txt"),
                "{exit:?}"
            );
            assert!(exit.err.contains(fault), "{exit:?}");
        }
        for file in ["pepper", "jwt-key.pem", "server-key", "goat.db"] {
            assert!(!program.path("data").join(file).exists(), "{file}");
        }
    }
}

/// C1.
#[test]
fn development_mode_listens_on_loopback_addresses_only() {
    for variable in ["GOAT_LISTEN", "GOAT_METRICS_LISTEN"] {
        for address in ["0.0.0.0:0", "[::]:0"] {
            let program = Program::new().with(variable, address);
            let exit = program.run(&["serve"]);
            assert_eq!(exit.status, Some(78), "{exit:?}");
            let messages = exit.messages();
            assert_eq!(messages.len(), 1, "{messages:?}");
            let begin = format!("{variable}: \"{address}\" is not a loopback address");
            assert!(messages[0].starts_with(&begin), "{messages:?}");
            assert!(!program.path("data").exists());
        }
    }
}

#[test]
fn port_in_use_is_a_temporary_failure() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for variable in ["GOAT_LISTEN", "GOAT_METRICS_LISTEN"] {
        // Fewer connections, since the limit on open files may be low here.
        let program = Program::new().with(variable, &address).with("GOAT_MAX_CONNECTIONS", "100");
        let exit = program.run(&["serve"]);
        assert_eq!(exit.status, Some(1));
        let expected = format!("{variable}: the address {address} is already in use");
        assert_eq!(exit.messages(), [expected]);
        assert!(!program.path("data").exists(), "nothing was created");
    }
}

/// P5.
#[test]
fn missing_pepper_is_reported_and_not_replaced() {
    let program = used_program();
    fs::remove_file(program.path("data/pepper")).expect("it is ours");
    let reset = ["user", "reset-password", "admin@goat.local"];
    for arguments in [&["serve"][..], &reset, &["check"]] {
        let exit = program.run(arguments);
        assert_eq!(exit.status, Some(78), "{exit:?}");
        assert!(exit.err.contains("data/pepper is missing"), "{exit:?}");
        assert!(!program.path("data/pepper").exists());
    }
}

#[test]
fn foreign_database_is_refused_until_adopted() {
    let program = Program::new();
    fs::create_dir(program.path("data")).expect("a folder");
    sql(&program.path("data/goat.db"), "CREATE TABLE invoices (id INTEGER)");
    for arguments in [&["serve"][..], &["migrate"], &["check"], &["user", "list"]] {
        let exit = program.run(arguments);
        assert_eq!(exit.status, Some(78), "{exit:?}");
        assert!(exit.err.contains("invoices"), "{exit:?}");
        assert!(exit.err.contains("migrate --adopt"), "{exit:?}");
    }
    let output = program.run_ok(&["migrate", "--adopt"], "");
    assert!(output.starts_with("migrated: initial\n"), "{output}");
    assert_eq!(program.run_ok(&["migrate"], ""), "the schema is already up to date\n");
    let (server, _) = program.serve();
    server.stop();
}

/// O5.
#[test]
fn newer_schema_is_refused() {
    let program = used_program();
    sql(
        &program.path("data/goat.db"),
        "INSERT INTO goat_migrations (version, name, checksum) VALUES (9999, 'later', 'x')",
    );
    for arguments in [&["serve"][..], &["migrate"], &["migrate", "--adopt"], &["check"]] {
        let exit = program.run(arguments);
        assert_eq!(exit.status, Some(78), "{exit:?}");
        assert!(exit.err.contains("newer version of goat"), "{exit:?}");
    }
}

#[test]
fn file_that_is_not_a_database_is_refused() {
    let program = Program::new();
    fs::create_dir(program.path("data")).expect("a folder");
    fs::write(program.path("data/goat.db"), "this is a letter, and not a database. ".repeat(200))
        .expect("it is ours");
    let exit = program.run(&["serve"]);
    assert_eq!(exit.status, Some(78), "{exit:?}");
    assert!(
        exit.messages().iter().any(|text| text.contains("cannot open the database")),
        "{exit:?}"
    );
}

/// A database that is mounted read-only, or belongs to another user. As root, permissions do not apply: the
/// server runs as another user.
#[test]
fn database_that_cannot_be_written_is_refused_and_named() {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    const USER: u32 = 65_534;
    let program = Program::new();
    let mode = |path: &str, mode: u32| {
        let rights = fs::Permissions::from_mode(mode);
        fs::set_permissions(program.path(path), rights).expect("it is ours");
    };
    let run = |arguments: &[&str]| program.run_as(USER, arguments);
    fs::set_permissions(program.path("."), fs::Permissions::from_mode(0o755)).expect("it is ours");
    fs::create_dir(program.path("data")).expect("a folder");
    chown(program.path("data"), Some(USER), Some(USER)).expect("run as root");
    assert_eq!(run(&["migrate"]).status, Some(0));
    assert_eq!(run(&["user", "list"]).status, Some(0));
    mode("data/goat.db", 0o400);
    for arguments in [&["serve"][..], &["user", "list"]] {
        let exit = run(arguments);
        assert_eq!(exit.status, Some(78), "{exit:?}");
        assert!(exit.err.contains("data/goat.db"), "{exit:?}");
    }
    mode("data/goat.db", 0o600);
    mode("data", 0o500);
    for arguments in [&["serve"][..], &["user", "list"]] {
        let exit = run(arguments);
        assert_eq!(exit.status, Some(78), "{exit:?}");
        assert!(exit.err.contains("data/goat.db"), "{exit:?}");
    }
}

#[test]
fn administrator_address_of_another_user_is_refused() {
    let pepper = "p4Wz1uYc7nQe9sKd2mXf6tBh8vRj3gLa";
    let program = Program::new().with("GOAT_PASSWORD_PEPPER", pepper);
    program.run_ok(&["migrate"], "");
    program.run_ok(&["user", "create", "admin@goat.local"], "seven lamps over the quay\n");
    let exit = program.run(&["serve"]);
    assert_eq!(exit.status, Some(78), "{exit:?}");
    let messages = exit.messages();
    assert!(messages.iter().any(|text| text.starts_with("GOAT_ADMIN_EMAIL: ")), "{messages:?}");
    assert!(!exit.text().contains("admin@goat.local"), "{exit:?}");
    program.run_ok(&["user", "set-role", "admin@goat.local", "admin"], "");
    let (server, _) = program.serve();
    server.stop();
}

#[test]
fn log_filter_that_would_silence_everything_is_refused() {
    let exit = Program::new().with("GOAT_LOG", "warning").run(&["serve"]);
    assert_eq!(exit.status, Some(78), "{exit:?}");
    let messages = exit.messages();
    assert!(messages[0].contains("did you mean warn?"), "{messages:?}");
}

#[test]
fn silenced_log_still_reports_a_failed_start() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let exit = Program::new().with("GOAT_LISTEN", &address).with("GOAT_LOG", "off").run(&["serve"]);
    assert_eq!(exit.messages().len(), 1, "{exit:?}");
}
