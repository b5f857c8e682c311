//! What a first start makes, and what the second one finds.

use std::fs;

use crate::support::process::{Site, json, mode, status};

const FILES: [&str; 4] = ["jwt-key.pem", "pepper", "admin-password", "goat.db"];

#[test]
fn first_start_makes_private_files_and_an_administrator_and_the_second_keeps_them() {
    let site = Site::new();
    let (server, address) = site.serve();
    assert_ne!(address.port(), 0, "the line says the real port");
    assert_eq!(status(address, "/api/health"), 200);
    assert_eq!(status(address, "/api/ready"), 200);
    assert_eq!(mode(&site.path("data")), 0o700);
    for file in FILES {
        assert_eq!(mode(&site.path("data").join(file)), 0o600, "{file}");
    }
    let listed = site.run_well(&["user", "list"], "");
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains("admin@goat.local  admin  active"), "{listed}");

    let secrets = || {
        FILES.map(|file| {
            if file == "goat.db" { String::new() } else { site.read(&format!("data/{file}")) }
        })
    };
    let before = secrets();
    let said = server.stop();
    // L1: nothing that was generated, and no address, in the log.
    for secret in before.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        assert!(!said.iter().any(|line| line.contains(secret)), "{said:?}");
    }
    assert!(!said.iter().any(|line| line.contains("admin@goat.local")), "{said:?}");
    said.iter().for_each(|line| drop(json(line)));

    let (server, _) = site.serve();
    assert_eq!(secrets(), before);
    server.stop();
    assert_eq!(site.run_well(&["user", "list"], ""), listed);
    let mut names: Vec<_> = fs::read_dir(site.path("data"))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .filter(|name| !name.starts_with("goat.db"))
        .collect();
    names.sort();
    assert_eq!(names, ["admin-password", "jwt-key.pem", "pepper"]);
}

#[test]
fn two_first_starts_at_once_make_one_administrator() {
    let site = Site::new();
    let (mut one, mut other) = (site.launch(), site.launch());
    one.wait_for("ready");
    other.wait_for("ready");
    let listed = site.run_well(&["user", "list"], "");
    assert_eq!(listed.lines().count(), 2, "{listed}");
    one.stop();
    other.stop();
}

/// O4.
#[test]
fn start_that_was_killed_is_taken_up_by_the_next() {
    let site = Site::new();
    let (server, _) = site.serve();
    server.signal("KILL");
    let (status, _) = server.end();
    assert_eq!(status, None);
    let password = site.read("data/admin-password");
    let (server, _) = site.serve();
    assert_eq!(site.read("data/admin-password"), password);
    server.stop();
}

#[test]
fn unknown_variable_is_a_warning_in_the_log_that_names_the_nearest() {
    let site = Site::new().with("GOAT_LITSEN", "x");
    let (server, _) = site.serve();
    let said = server.stop();
    assert!(
        said.iter().any(|line| line.contains("WARN") && line.contains("GOAT_LISTEN")),
        "{said:?}"
    );
}

#[test]
fn metrics_move_to_an_address_of_their_own() {
    let site = Site::new().with("GOAT_METRICS_LISTEN", "127.0.0.1:0");
    let mut server = site.launch();
    let ready = server.wait_for("ready");
    let address = |field: &str| ready[field].as_str().expect(field).parse().expect("an address");
    assert_eq!(status(address("metrics_listening"), "/api/metrics"), 200);
    assert_eq!(status(address("listening"), "/api/metrics"), 404);
    server.stop();
}
