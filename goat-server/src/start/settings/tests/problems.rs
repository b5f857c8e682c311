//! Problems and warnings: their number, order and wording.

use super::super::LogFormat;
use super::{environment, production, sources};

#[test]
fn value_cannot_forge_a_line_or_flood_the_output() {
    let problem = environment(&[("GOAT_ISSUER", "a\nGOAT_ENV: \u{1b}[2J\u{202e}")]).problem();
    assert!(problem.contains(r#""a\nGOAT_ENV: \u{1b}[2J\u{202e}""#), "{problem}");
    let long = "ä".repeat(5000);
    let problem = environment(&[("GOAT_ISSUER", &long)]).problem();
    assert!(problem.chars().count() < 250, "{problem}");
}

#[test]
fn all_errors_are_reported_in_the_order_of_the_help() {
    let problems = environment(&[
        ("GOAT_LOG_FORMAT", "xml"),
        ("GOAT_HASH_QUEUE", "long"),
        ("GOAT_JWT_SECRET", "short"),
        ("GOAT_LISTEN", "here"),
    ])
    .problems();
    let names: Vec<&str> = problems.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(names, ["GOAT_LISTEN", "GOAT_JWT_SECRET", "GOAT_HASH_QUEUE", "GOAT_LOG_FORMAT"]);
}

#[test]
fn invalid_settings_carry_log_format_and_warnings() {
    let sources =
        environment(&[("GOAT_LOG_FORMAT", "json"), ("GOAT_LISTEN", "x"), ("GOAT_LISTN", "y")]);
    let invalid = sources.load().expect_err("a wrong address");
    assert_eq!(invalid.log_format, Some(LogFormat::Json));
    assert_eq!(invalid.warnings.len(), 1);
}

#[test]
fn problem_names_the_source_of_the_value() {
    let flag = sources().arguments(&["--goat-listen", "x"]).problem();
    assert!(flag.starts_with("GOAT_LISTEN (--goat-listen): \"x\" is not"), "{flag}");
    let sources = sources().dotenv("\n# a comment\nGOAT_LISTEN=x\n");
    let expected = format!("GOAT_LISTEN ({} line 3): ", sources.path(".env").display());
    assert!(sources.problem().starts_with(&expected), "{}", sources.problem());
}

#[test]
fn invalid_setting_is_not_also_a_contradiction() {
    let problem = environment(&[("GOAT_REQUEST_TIMEOUT", "1h")]).problem();
    assert!(problem.starts_with("GOAT_REQUEST_TIMEOUT: "), "{problem}");
    let problem = environment(&[("GOAT_TOKEN_ALGORITHM", "HS256"), ("GOAT_JWT_SECRET", "x")]);
    assert!(problem.problem().starts_with("GOAT_JWT_SECRET: "));
    let problem = production(&[("GOAT_PASSWORD_PEPPER", "x")]).problem();
    assert!(problem.contains("shorter than 32 bytes"), "{problem}");
}

#[test]
fn unknown_goat_variable_warns_with_a_suggestion() {
    let sources = environment(&[
        ("GOAT_LISTN", "canary"),
        ("GOAT_JWT_SECRETS_FILE", "canary"),
        ("goat_listen", "x"),
        ("PATH", "x"),
    ])
    .dotenv("GOAT_LISTN=1\nGOAT_SIGN_UP=closed\nOTHER=1");
    assert_eq!(
        sources.warnings(),
        [
            "GOAT_JWT_SECRETS_FILE is not a known setting; did you mean GOAT_JWT_SECRET_FILE?",
            "GOAT_LISTN is not a known setting; did you mean GOAT_LISTEN?",
            "GOAT_SIGN_UP is not a known setting; did you mean GOAT_SIGNUP?",
            "goat_listen is not a known setting; did you mean GOAT_LISTEN?",
        ]
    );
}

#[test]
fn misspelt_name_without_the_prefix_is_recognised() {
    for (name, nearest) in [
        ("DATABASE_URI", "DATABASE_URL"),
        ("DATABASE_URL_FIL", "DATABASE_URL_FILE"),
        ("REDIS_UR", "REDIS_URL"),
        ("REDIS_URI", "REDIS_URL"),
        ("redis_url", "REDIS_URL"),
        ("GOTA_JWT_SECRET", "GOAT_JWT_SECRET"),
    ] {
        let expected = format!("{name} is not a known setting; did you mean {nearest}?");
        assert_eq!(environment(&[(name, "canary")]).warnings(), [expected]);
    }
    // Other programs' variables.
    for name in
        ["GO_ENV", "NODE_ENV", "DATABASE_NAME", "REDIS_HOST", "REDIS_PASSWORD", "LOG", "URL"]
    {
        assert_eq!(environment(&[(name, "x")]).warnings(), [""; 0], "{name}");
    }
}
