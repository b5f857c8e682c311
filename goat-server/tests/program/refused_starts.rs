//! Starts that are refused: each in a sentence, in the log's format, with a status that says
//! whether trying again may help, and with nothing changed.

use std::fs;
use std::net::TcpListener;

use crate::support::process::{Site, sql};

/// The site of a server that has run.
fn in_use() -> Site {
    let site = Site::new();
    let (server, _) = site.serve();
    server.stop();
    site
}

#[test]
fn wrong_settings_are_told_all_at_once_as_json() {
    let site = Site::new()
        .with("GOAT_LISTEN", "here")
        .with("GOAT_PASSWORD_PEPPER", "canary")
        .with("GOAT_RATE_LIMIT_AUTH", "many")
        .with("GOAT_LITSEN", "x");
    for arguments in [&["serve"][..], &[]] {
        let ended = site.run(arguments);
        assert_eq!(ended.status, Some(78));
        let mut messages = ended.messages();
        messages.sort();
        let names: Vec<_> =
            messages.iter().filter_map(|text| text.split([':', ' ']).next()).collect();
        assert_eq!(
            names,
            ["GOAT_LISTEN", "GOAT_LITSEN", "GOAT_PASSWORD_PEPPER", "GOAT_RATE_LIMIT_AUTH"]
        );
        assert!(!ended.text().contains("canary"), "{ended:?}");
    }
    assert!(!site.path("data").exists());
}

#[test]
fn wrong_settings_are_lines_for_people_where_that_was_asked_for() {
    let site = Site::new().with("GOAT_LISTEN", "here").with("GOAT_LOG_FORMAT", "pretty");
    let ended = site.run(&["serve"]);
    assert_eq!(ended.status, Some(78));
    assert!(ended.err.starts_with("GOAT_LISTEN: \"here\" "), "{ended:?}");
    let ended = Site::new().with("GOAT_LISTEN", "here").run(&["user", "list"]);
    assert!(ended.err.starts_with("GOAT_LISTEN: \"here\" "), "{ended:?}");
}

#[test]
fn port_in_use_is_one_line_that_names_the_variable_and_may_pass() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for variable in ["GOAT_LISTEN", "GOAT_METRICS_LISTEN"] {
        let site = Site::new().with(variable, &address);
        let ended = site.run(&["serve"]);
        assert_eq!(ended.status, Some(1));
        let expected = format!("{variable}: the address {address} is already in use");
        assert_eq!(ended.messages(), [expected]);
        assert!(!site.path("data").exists(), "nothing was made");
    }
}

/// P5.
#[test]
fn lost_pepper_is_told_and_not_replaced() {
    let site = in_use();
    fs::remove_file(site.path("data/pepper")).expect("it is ours");
    for arguments in [&["serve"][..], &["user", "list"], &["check"]] {
        let ended = site.run(arguments);
        assert_eq!(ended.status, Some(78), "{ended:?}");
        assert!(ended.err.contains("data/pepper is missing"), "{ended:?}");
        assert!(!site.path("data/pepper").exists());
    }
}

#[test]
fn secret_that_everyone_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = in_use();
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(site.path("data/jwt-key.pem"), open).expect("it is ours");
    let ended = site.run(&["serve"]);
    assert_eq!(ended.status, Some(78));
    assert!(ended.messages().iter().any(|text| text.contains("chmod 600")), "{ended:?}");
}

#[test]
fn database_of_somebody_else_is_refused_until_it_is_adopted() {
    let site = Site::new();
    fs::create_dir(site.path("data")).expect("a folder");
    sql(&site.path("data/goat.db"), "CREATE TABLE invoices (id INTEGER)");
    for arguments in [&["serve"][..], &["migrate"], &["check"], &["user", "list"]] {
        let ended = site.run(arguments);
        assert_eq!(ended.status, Some(78), "{ended:?}");
        assert!(ended.err.contains("invoices"), "{ended:?}");
        assert!(ended.err.contains("migrate --adopt"), "{ended:?}");
    }
    let said = site.run_well(&["migrate", "--adopt"], "");
    assert!(said.starts_with("migrated: initial\n"), "{said}");
    assert_eq!(site.run_well(&["migrate"], ""), "the schema is already up to date\n");
    let (server, _) = site.serve();
    server.stop();
}

/// O5.
#[test]
fn newer_schema_refuses_to_start() {
    let site = in_use();
    sql(
        &site.path("data/goat.db"),
        "INSERT INTO goat_migrations (version, name, checksum) VALUES (9999, 'later', 'x')",
    );
    for arguments in [&["serve"][..], &["migrate"], &["migrate", "--adopt"], &["check"]] {
        let ended = site.run(arguments);
        assert_eq!(ended.status, Some(78), "{ended:?}");
        assert!(ended.err.contains("newer version of goat"), "{ended:?}");
    }
}

#[test]
fn file_that_is_no_database_is_refused() {
    let site = Site::new();
    fs::create_dir(site.path("data")).expect("a folder");
    fs::write(site.path("data/goat.db"), "this is a letter, and not a database. ".repeat(200))
        .expect("it is ours");
    let ended = site.run(&["serve"]);
    assert_eq!(ended.status, Some(78), "{ended:?}");
    assert!(
        ended.messages().iter().any(|text| text.contains("cannot open the database")),
        "{ended:?}"
    );
}

#[test]
fn administrators_address_of_somebody_else_refuses_to_start() {
    let site = Site::new();
    site.run_well(&["user", "create", "admin@goat.local"], "seven lamps over the quay\n");
    let ended = site.run(&["serve"]);
    assert_eq!(ended.status, Some(78), "{ended:?}");
    let messages = ended.messages();
    assert!(messages.iter().any(|text| text.starts_with("GOAT_ADMIN_EMAIL: ")), "{messages:?}");
    assert!(!ended.text().contains("admin@goat.local"), "{ended:?}");
    site.run_well(&["user", "set-role", "admin@goat.local", "admin"], "");
    let (server, _) = site.serve();
    server.stop();
}

#[test]
fn silenced_log_still_says_why_nothing_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ended = Site::new().with("GOAT_LISTEN", &address).with("GOAT_LOG", "off").run(&["serve"]);
    assert_eq!(ended.messages().len(), 1, "{ended:?}");
}
