//! Guarantees of the PostgreSQL instances.

use std::time::Duration;

use goat_engines::{Postgres, PostgresOptions};

#[test]
fn a_killed_server_restarts_with_the_committed_data() {
    let postgres = Postgres::start(PostgresOptions::default());
    postgres.psql("postgres", "CREATE TABLE kept (value int)");
    postgres.psql("postgres", "INSERT INTO kept VALUES (7)");
    let (port, first) = (postgres.port(), postgres.process_id());
    postgres.kill();
    assert_eq!(postgres.process_id(), None);
    let refused = postgres.try_psql("postgres", "SELECT 1").expect_err("it is down");
    assert!(refused.contains("Connection refused"), "{refused}");
    postgres.restart();
    assert_eq!(postgres.port(), port);
    assert_ne!(postgres.process_id(), first);
    assert_eq!(postgres.psql("postgres", "SELECT value FROM kept"), "7");
    let log = std::fs::read_to_string(postgres.folder().join("log")).expect("a log");
    assert!(log.contains("was not properly shut down"), "it was a kill: {log}");
}

#[test]
fn a_kill_ends_busy_processes_too() {
    let postgres = Postgres::start(PostgresOptions::default());
    postgres.psql("postgres", "CREATE TABLE kept (value int)");
    std::thread::scope(|scope| {
        // A computation without a pause in which the process would notice that the server is gone.
        let work = "INSERT INTO kept SELECT sum(one) FROM generate_series(1, 100000) one, \
                    generate_series(1, 10000000) other";
        let busy = scope.spawn(|| postgres.try_psql("postgres", work));
        let running = "SELECT count(*) FROM pg_stat_activity \
                       WHERE state = 'active' AND query LIKE 'INSERT%'";
        while postgres.psql("postgres", running) != "1" {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(100));
        postgres.kill();
        busy.join().expect("it ends").expect_err("its server is gone");
    });
    postgres.restart();
    assert_eq!(postgres.psql("postgres", "SELECT count(*) FROM kept"), "0");
}

#[test]
fn a_stopped_server_restarts_with_its_data() {
    let postgres = Postgres::start(PostgresOptions::default());
    postgres.psql("postgres", "CREATE TABLE kept AS SELECT 7 AS value");
    postgres.stop();
    postgres.try_psql("postgres", "SELECT 1").expect_err("it is down");
    postgres.restart();
    assert_eq!(postgres.psql("postgres", "SELECT value FROM kept"), "7");
    let log = std::fs::read_to_string(postgres.folder().join("log")).expect("a log");
    assert!(!log.contains("was not properly shut down"), "it was shut down in order: {log}");
}

#[test]
fn a_standby_rejects_writes_until_it_is_promoted() {
    let postgres = Postgres::start(PostgresOptions::default());
    postgres.psql("postgres", "CREATE TABLE kept AS SELECT 7 AS value");
    postgres.make_standby();
    assert_eq!(postgres.psql("postgres", "SELECT value FROM kept"), "7");
    let insert = "INSERT INTO kept VALUES (8)";
    let refused = postgres.try_psql("postgres", insert).expect_err("it is read-only");
    assert!(refused.contains("read-only transaction"), "{refused}");
    postgres.promote();
    postgres.psql("postgres", insert);
    assert_eq!(postgres.psql("postgres", "SELECT sum(value) FROM kept"), "15");
}

#[test]
fn the_shared_instance_gives_each_test_a_database() {
    let (one, other) = (Postgres::shared(), Postgres::shared());
    assert_eq!(one.process_id(), other.process_id());
    let (first, second) = (one.create_database(), other.create_database());
    assert_ne!(first, second);
    let name = |url: &str| url.rsplit('/').next().expect("a name").to_owned();
    one.psql(&name(&first), "CREATE TABLE mine (value int)");
    one.psql(&name(&second), "CREATE TABLE mine (value int)");
    assert_eq!(one.psql(&name(&first), "SHOW server_encoding"), "UTF8");
    assert_eq!(one.psql(&name(&first), "SHOW max_connections"), "200");
}

#[test]
fn copies_of_a_template_are_independent() {
    let postgres = Postgres::start(PostgresOptions::default());
    let name = |url: &str| url.rsplit('/').next().expect("a name").to_owned();
    let mut prepared = 0;
    let [first, second] = [(); 2].map(|()| {
        let url = postgres.copy_database(|url| {
            prepared += 1;
            postgres.psql(&name(url), "CREATE TABLE kept AS SELECT 7 AS value");
        });
        name(&url)
    });
    postgres.psql(&first, "INSERT INTO kept VALUES (8)");
    assert_eq!(postgres.psql(&first, "SELECT sum(value) FROM kept"), "15");
    assert_eq!(postgres.psql(&second, "SELECT sum(value) FROM kept"), "7");
    assert_eq!(prepared, 1);
}

#[test]
fn a_password_is_required_if_configured() {
    let password = Some("a-password".to_owned());
    let postgres = Postgres::start(PostgresOptions { password, ..Default::default() });
    assert_eq!(postgres.psql("postgres", "SELECT 1"), "1");
    let rules = "SELECT DISTINCT auth_method FROM pg_hba_file_rules";
    assert_eq!(postgres.psql("postgres", rules), "scram-sha-256");
    assert!(postgres.url().starts_with("postgres://goat:a-password@127.0.0.1:"));
}

#[test]
fn with_tls_only_encrypted_connections_are_accepted() {
    let postgres = Postgres::start(PostgresOptions { tls: true, ..Default::default() });
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(postgres.psql("postgres", encrypted), "t");
    let rules = "SELECT DISTINCT type FROM pg_hba_file_rules";
    assert_eq!(postgres.psql("postgres", rules), "hostssl");
    assert!(postgres.authority().expect("it has one").exists());
}

#[test]
fn options_reach_the_server() {
    let settings = vec!["max_connections = 33".to_owned()];
    let postgres =
        Postgres::start(PostgresOptions { durable: true, settings, ..Default::default() });
    assert_eq!(postgres.psql("postgres", "SHOW fsync"), "on");
    assert_eq!(postgres.psql("postgres", "SHOW max_connections"), "33");
    assert_eq!(Postgres::shared().psql("postgres", "SHOW fsync"), "off");
}
