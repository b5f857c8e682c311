//! Secrets: their form, their strength, and that no output shows them.

use super::super::{Environment, SigningKeys};
use super::{
    OLD_TOKEN_SECRET, PEPPER, PRIVATE_KEY, PUBLIC_KEY, TOKEN_SECRET, environment, production,
};

/// J6, J7.
#[test]
fn several_secrets_keep_their_order() {
    let both = format!("{TOKEN_SECRET},{OLD_TOKEN_SECRET}");
    let settings = environment(&[("GOAT_JWT_SECRET", &both)]).settings();
    let SigningKeys::Hs256(secrets) = settings.tokens.keys else { panic!("not HS256") };
    let secrets: Vec<&[u8]> = secrets.iter().map(|secret| secret.expose().as_slice()).collect();
    assert_eq!(secrets, [TOKEN_SECRET.as_bytes(), OLD_TOKEN_SECRET.as_bytes()]);

    let keys = format!("{PRIVATE_KEY}\n,\n{PUBLIC_KEY},{PRIVATE_KEY}").replace('\n', "\\n");
    let settings = environment(&[("GOAT_JWT_PRIVATE_KEY", &keys)]).settings();
    let SigningKeys::EdDsa(keys) = settings.tokens.keys else { panic!("not EdDSA") };
    let keys: Vec<&str> = keys.iter().map(|key| key.expose().as_str()).collect();
    assert_eq!(keys, [PRIVATE_KEY, PUBLIC_KEY, PRIVATE_KEY]);
}

/// J6.
#[test]
fn invalid_secrets_are_rejected_and_not_shown() {
    for name in ["GOAT_JWT_SECRET", "GOAT_PASSWORD_PEPPER", "GOAT_SERVER_KEY"] {
        for (value, complaint) in [
            ("canary".to_owned(), "is shorter than 32 bytes"),
            (format!("{TOKEN_SECRET},canary"), "an entry (number 2) that is shorter"),
            (format!("{TOKEN_SECRET},"), "an entry (number 2) that is empty"),
            (
                format!("{TOKEN_SECRET}, {OLD_TOKEN_SECRET}"),
                "an entry (number 2) that begins or ends with white",
            ),
            (
                format!("{TOKEN_SECRET},{TOKEN_SECRET}"),
                "an entry (number 2) that repeats an earlier one",
            ),
        ] {
            let problem = environment(&[(name, &value)]).problem();
            assert!(problem.contains(complaint), "{problem}");
            assert!(!problem.contains("canary") && !problem.contains(TOKEN_SECRET), "{problem}");
        }
    }
    for (value, complaint) in [
        ("canary".to_owned(), "is not a private key"),
        (PUBLIC_KEY.to_owned(), "is not a private key"),
        (PRIVATE_KEY.replace("PRIVATE", "EC PRIVATE"), "is not a private key"),
        (format!("{PRIVATE_KEY}\n{PUBLIC_KEY}"), "is not a private key"),
        (
            "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----".to_owned(),
            "is not a private key",
        ),
        (
            format!("{PRIVATE_KEY},canary"),
            "an entry (number 2) that is not a private or public key",
        ),
    ] {
        let problem = environment(&[("GOAT_JWT_PRIVATE_KEY", &value)]).problem();
        assert!(problem.contains(complaint), "{problem}");
        assert!(!problem.contains("canary") && !problem.contains("bm90"), "{problem}");
    }
}

#[test]
fn production_accepts_strong_configured_secrets() {
    assert_eq!(production(&[]).settings().environment, Environment::Production);
    production(&[("GOAT_JWT_SECRET", "-"), ("GOAT_JWT_PRIVATE_KEY", PRIVATE_KEY)]).settings();
    assert_eq!(production(&[]).warnings(), [""; 0]);
}

/// J6.
#[test]
fn production_rejects_generated_secrets() {
    let problems = environment(&[("GOAT_ENV", "production")]).problems();
    let names: Vec<&str> = problems.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(names, ["GOAT_JWT_PRIVATE_KEY", "GOAT_PASSWORD_PEPPER"]);
    assert!(problems.iter().all(|problem| problem.contains("is not set")), "{problems:?}");
}

/// J6.
#[test]
fn weak_secrets_are_rejected_in_production_and_warned_about_in_development() {
    let repeated = "x".repeat(32);
    let listed = format!("{TOKEN_SECRET},{repeated}");
    for (name, value, complaint) in [
        ("GOAT_JWT_SECRET", repeated.as_str(), "is one character repeated"),
        ("GOAT_JWT_SECRET", &listed, "is one character repeated"),
        ("GOAT_JWT_SECRET", "please-change-me-please-change-me", "is a known placeholder"),
        ("GOAT_JWT_SECRET", "your-256-bit-secret-for-signing-tokens", "is a known placeholder"),
        ("GOAT_JWT_SECRET", "0123456789abcdef0123456789abcdef", "counts up"),
        ("GOAT_JWT_SECRET", "a-string-secret-at-least-256-bits-long", "is a known placeholder"),
        ("GOAT_PASSWORD_PEPPER", &repeated, "is one character repeated"),
        ("GOAT_PASSWORD_PEPPER", TOKEN_SECRET, "is also used as GOAT_JWT_SECRET"),
        ("GOAT_SERVER_KEY", &repeated, "is one character repeated"),
        ("GOAT_SERVER_KEY", TOKEN_SECRET, "is also used as GOAT_JWT_SECRET"),
        ("GOAT_SERVER_KEY", PEPPER, "is also used as GOAT_PASSWORD_PEPPER"),
        ("GOAT_ADMIN_PASSWORD", "aaaaaaaaaaaaaaa", "is one character repeated"),
        ("GOAT_ADMIN_PASSWORD", "Change me! Change me!", "is a known placeholder"),
    ] {
        let problem = production(&[(name, value)]).problem();
        assert!(problem.starts_with(&format!("{name}: the value {complaint}; ")), "{problem}");
        assert!(!problem.contains(value), "{problem}");

        let development = production(&[(name, value), ("GOAT_ENV", "development")]);
        let expected = format!("{name}: the value {complaint}; production would refuse to start");
        assert_eq!(development.warnings(), [expected]);
    }
}

/// L1.
#[test]
fn debug_output_hides_secrets() {
    let canary = |name: &str| format!("canary-{name}-kT9vQ2xLr7ZpWc4NfYb8HsJd3Mg");
    let key = PRIVATE_KEY.replace("bm90IGEga2V5", "canary");
    let common = [
        ("GOAT_PASSWORD_PEPPER", canary("pepper")),
        ("GOAT_ADMIN_PASSWORD", canary("password")),
        ("DATABASE_URL", "postgres://u:canary@db/goat".to_owned()),
        ("REDIS_URL", "redis://:canary@r".to_owned()),
        ("GOAT_SERVER_KEY", canary("key")),
        ("GOAT_MAIL_URL", "smtps://canary:canary@mail.example.org".to_owned()),
        ("GOAT_MAIL_FROM", "goat <noreply@example.org>".to_owned()),
    ];
    for keys in [("GOAT_JWT_SECRET", canary("secret")), ("GOAT_JWT_PRIVATE_KEY", key)] {
        let mut variables: Vec<(&str, &str)> =
            common.iter().map(|(name, value)| (*name, value.as_str())).collect();
        variables.push((keys.0, &keys.1));
        let sources = environment(&variables);
        let (settings, warnings) = sources.load().expect("valid settings");
        for shown in [format!("{settings:?}"), format!("{settings:#?}"), format!("{warnings:?}")] {
            assert!(!shown.contains("canary"), "{shown}");
        }
        assert!(format!("{settings:?}").contains("[redacted]"));

        variables.push(("GOAT_LISTEN", "x"));
        let invalid = environment(&variables).load().expect_err("a wrong address");
        assert!(!format!("{invalid:?} {invalid}").contains("canary"));
    }
}
