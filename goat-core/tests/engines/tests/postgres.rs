//! What the tests of others rely on when they ask for PostgreSQL.

use goat_engines::{Postgres, PostgresOptions};

#[test]
fn a_killed_server_starts_again_with_what_was_committed() {
    let postgres = Postgres::start(PostgresOptions::default());
    postgres.psql("postgres", "CREATE TABLE kept (value int)");
    postgres.psql("postgres", "INSERT INTO kept VALUES (7)");
    postgres.kill();
    let refused = postgres.try_psql("postgres", "SELECT 1").expect_err("nobody answers");
    assert!(refused.contains("refused"), "{refused}");
    postgres.start_again();
    assert_eq!(postgres.psql("postgres", "SELECT value FROM kept"), "7");
    postgres.create_database();
    drop(postgres);
}
