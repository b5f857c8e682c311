//! `migrate` on PostgreSQL: the step of a deployment, and what `serve` does about the schema.

use std::thread;

use goat_engines::Postgres;

use crate::support::node::{bare, database, node};

fn name(database: &str) -> &str {
    database.rsplit_once('/').expect("a name").1
}

fn psql(database: &str, sql: &str) -> String {
    Postgres::shared().psql(name(database), sql)
}

/// O5.
#[test]
fn ten_migrations_at_once_are_one() {
    let database = database();
    let said: Vec<String> = thread::scope(|scope| {
        let runs: Vec<_> =
            (0..10).map(|_| scope.spawn(|| bare(&database).run_well(&["migrate"], ""))).collect();
        runs.into_iter().map(|run| run.join().expect("no panic")).collect()
    });
    let steps: usize = said
        .iter()
        .map(|said| said.lines().filter(|line| line.starts_with("migrated: ")).count())
        .sum();
    let kept = psql(&database, "SELECT count(*) FROM goat_migrations");
    assert_eq!(kept.trim().parse::<usize>().expect("a number"), steps, "{said:?}");
    assert!(steps > 0);
    let lines = said.iter().flat_map(|said| said.lines());
    assert_eq!(lines.filter(|line| *line == "migrated: initial").count(), 1, "{said:?}");
    let again = bare(&database).run_well(&["migrate"], "");
    assert_eq!(again, "the schema is already up to date\n");
}

/// O5.
#[test]
fn a_newer_schema_is_refused_by_every_command() {
    let database = database();
    bare(&database).run_well(&["migrate"], "");
    psql(
        &database,
        "INSERT INTO goat_migrations (version, name, checksum) VALUES (9999, 'later', 'x')",
    );
    for arguments in [&["serve"][..], &["migrate"], &["migrate", "--adopt"], &["check"]] {
        let ended = node(&database).run(arguments);
        assert_eq!(ended.status, Some(78), "{ended:?}");
        assert!(ended.text().contains("newer version of goat"), "{ended:?}");
    }
}

#[test]
fn tables_of_somebody_else_are_refused_until_they_are_adopted() {
    let database = database();
    psql(&database, "CREATE TABLE invoices (id INTEGER)");
    for arguments in [&["serve"][..], &["migrate"], &["check"], &["user", "list"]] {
        let ended = node(&database).run(arguments);
        assert_eq!(ended.status, Some(78), "{ended:?}");
        assert!(ended.text().contains("invoices"), "{ended:?}");
        assert!(ended.text().contains("migrate --adopt"), "{ended:?}");
    }
    assert_eq!(psql(&database, "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'goat%'"), "0");
    let said = bare(&database).run_well(&["migrate", "--adopt"], "");
    assert!(said.starts_with("migrated: initial\n"), "{said}");
    let site = node(&database);
    let (server, _) = site.serve();
    server.stop();
}

#[test]
fn serve_changes_no_schema_unless_it_is_told_to() {
    let database = database();
    let site = || node(&database).with("GOAT_MIGRATE_ON_START", "false");
    let ended = site().run(&["serve"]);
    assert_eq!(ended.status, Some(78), "{ended:?}");
    let messages = ended.messages();
    assert!(messages.iter().any(|text| text.contains("goat-server migrate")), "{messages:?}");
    assert_eq!(psql(&database, "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'goat%'"), "0");
    bare(&database).run_well(&["migrate"], "");
    let site = site();
    let (server, _) = site.serve();
    server.stop();
}
