//! Settings of engines that a build does not have.

use super::*;

/// The problems of these variables in a build with these engines.
fn refused(variables: &[(&str, &str)], built: &[Engine]) -> Vec<String> {
    let sources = environment(variables);
    let (flags, file) = (Flags::default(), sources.path(".env"));
    let gathered = crate::start::settings::sources::gather(
        UsedSecrets::ALL,
        sources.environment.clone(),
        &flags,
        &file,
    );
    let is_built = |engine| built.contains(&engine);
    match Settings::read(UsedSecrets::ALL, is_built, Reader::new(gathered)) {
        Ok(_) => Vec::new(),
        Err(invalid) => invalid.problems.iter().map(Problem::to_string).collect(),
    }
}

#[test]
fn settings_of_an_engine_that_is_not_built_name_its_feature() {
    const POSTGRES: (&str, &str) = ("DATABASE_URL", "postgres://goat:canary@db/goat");
    const REDIS: (&str, &str) = ("REDIS_URL", "redis://:canary@sessions");
    let without = |name, feature| {
        format!("this build of goat-server is without {name} (feature `{feature}`)")
    };
    for (variables, built, expected) in [
        (
            &[][..],
            &[Engine::Postgres, Engine::Redis][..],
            vec![format!(
                "DATABASE_URL: is not set, and {}; expected a postgres: URL, or a build with this feature",
                without("SQLite", "sqlite")
            )],
        ),
        (
            &[("DATABASE_URL", "sqlite:goat.db")],
            &[],
            vec![format!(
                "DATABASE_URL: the value cannot be used: {}; expected a build with this feature",
                without("SQLite", "sqlite")
            )],
        ),
        (
            &[POSTGRES, REDIS],
            &[Engine::Sqlite],
            vec![
                format!(
                    "DATABASE_URL: the value cannot be used: {}; expected a sqlite: URL, or a build with \
                     this feature",
                    without("PostgreSQL", "postgres")
                ),
                format!(
                    "REDIS_URL: the value cannot be used: {}; expected no value, or a build with this \
                     feature",
                    without("Redis", "redis")
                ),
            ],
        ),
        // A malformed value has one problem.
        (
            &[("DATABASE_URL", "mysql://db")],
            &[],
            refused(&[("DATABASE_URL", "mysql://db")], &[Engine::Sqlite]),
        ),
        (&[], &[Engine::Sqlite], Vec::new()),
        (&[POSTGRES], &[Engine::Postgres], Vec::new()),
        (&[REDIS], &[Engine::Sqlite, Engine::Redis], Vec::new()),
    ] {
        assert_eq!(refused(variables, built), expected, "{built:?}");
    }
}
