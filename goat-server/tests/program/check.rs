//! `check`: says what a start would find, and makes nothing.

use std::fs;

use crate::support::process::Site;

#[test]
fn check_of_a_new_folder_says_what_a_start_would_make_and_makes_nothing() {
    let site = Site::new();
    let out = site.run_well(&["check"], "");
    let subjects: Vec<_> = out.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(subjects, ["settings", "token keys", "database", "pepper", "administrator"]);
    assert!(out.contains("generated on start into ./data/jwt-key.pem"), "{out}");
    assert_eq!(fs::read_dir(site.path("")).expect("a folder").count(), 0);
}

#[test]
fn check_of_a_server_in_use_says_what_it_stands_on_without_secrets() {
    let site = Site::new();
    let (server, _) = site.serve();
    let out = site.run_well(&["check"], "");
    for piece in [
        "token keys: EdDSA, signing key ",
        "database: SQLite in ./data/goat.db, schema up to date\n",
        "pepper: from ./data/pepper, matches 1 sampled password hashes",
        "administrator: exists\n",
    ] {
        assert!(out.contains(piece), "{piece}: {out}");
    }
    for file in ["pepper", "admin-password"] {
        assert!(!out.contains(site.read(&format!("data/{file}")).trim()), "{out}");
    }
    server.stop();
}

#[test]
fn check_tells_everything_that_is_wrong_at_once() {
    let site = Site::new();
    let (server, _) = site.serve();
    server.stop();
    fs::remove_file(site.path("data/pepper")).expect("it is ours");
    fs::write(site.path("data/jwt-key.pem"), "no key\n").expect("it is ours");
    let ended = site.run(&["check"]);
    assert_eq!(ended.status, Some(78), "{ended:?}");
    assert_eq!(ended.err.lines().count(), 2, "{ended:?}");
    assert!(ended.out.contains("database: "), "{ended:?}");
}

#[test]
fn openapi_needs_no_settings() {
    let site = Site::new().with("GOAT_LISTEN", "here");
    let document: serde_json::Value =
        serde_json::from_str(&site.run_well(&["openapi"], "")).expect("JSON");
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
}
