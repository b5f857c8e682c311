//! The command `migrate` on PostgreSQL, and the checks of the schema by `serve`.

use std::thread;

use goat_engines::Postgres;

use crate::support::node::{database, node, unconfigured_node};

fn name(database: &str) -> &str {
    database.rsplit_once('/').expect("a name").1
}

fn psql(database: &str, sql: &str) -> String {
    Postgres::shared().psql(name(database), sql)
}

/// O5.
#[test]
fn concurrent_migrations_run_once() {
    let database = database();
    let output: Vec<String> = thread::scope(|scope| {
        let runs: Vec<_> = (0..10)
            .map(|_| scope.spawn(|| unconfigured_node(&database).run_ok(&["migrate"], "")))
            .collect();
        runs.into_iter().map(|run| run.join().expect("no panic")).collect()
    });
    let steps: usize = output
        .iter()
        .map(|output| output.lines().filter(|line| line.starts_with("migrated: ")).count())
        .sum();
    let recorded = psql(&database, "SELECT count(*) FROM goat_migrations");
    assert_eq!(recorded.trim().parse::<usize>().expect("a number"), steps, "{output:?}");
    assert!(steps > 0);
    let lines = output.iter().flat_map(|output| output.lines());
    assert_eq!(lines.filter(|line| *line == "migrated: initial").count(), 1, "{output:?}");
    let again = unconfigured_node(&database).run_ok(&["migrate"], "");
    assert_eq!(again, "the schema is already up to date\n");
}

/// O5.
#[test]
fn newer_schema_is_refused_by_every_command() {
    let database = database();
    unconfigured_node(&database).run_ok(&["migrate"], "");
    psql(
        &database,
        "INSERT INTO goat_migrations (version, name, checksum) VALUES (9999, 'later', 'x')",
    );
    for arguments in [&["serve"][..], &["migrate"], &["migrate", "--adopt"], &["check"]] {
        let exit = node(&database).run(arguments);
        assert_eq!(exit.status, Some(78), "{exit:?}");
        assert!(exit.text().contains("newer version of goat"), "{exit:?}");
    }
}

#[test]
fn foreign_tables_are_refused_until_adopted() {
    let database = database();
    psql(&database, "CREATE TABLE invoices (id INTEGER)");
    for arguments in [&["serve"][..], &["migrate"], &["check"], &["user", "list"]] {
        let exit = node(&database).run(arguments);
        assert_eq!(exit.status, Some(78), "{exit:?}");
        assert!(exit.text().contains("invoices"), "{exit:?}");
        assert!(exit.text().contains("migrate --adopt"), "{exit:?}");
    }
    assert_eq!(psql(&database, "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'goat%'"), "0");
    let output = unconfigured_node(&database).run_ok(&["migrate", "--adopt"], "");
    assert!(output.starts_with("migrated: initial\n"), "{output}");
    let program = node(&database);
    let (server, _) = program.serve();
    server.stop();
}

#[test]
fn serve_migrates_only_if_configured() {
    let database = database();
    let program = || node(&database).with("GOAT_MIGRATE_ON_START", "false");
    let exit = program().run(&["serve"]);
    assert_eq!(exit.status, Some(78), "{exit:?}");
    let messages = exit.messages();
    assert!(messages.iter().any(|text| text.contains("goat-server migrate")), "{messages:?}");
    assert_eq!(psql(&database, "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'goat%'"), "0");
    unconfigured_node(&database).run_ok(&["migrate"], "");
    let program = program();
    let (server, _) = program.serve();
    server.stop();
}
