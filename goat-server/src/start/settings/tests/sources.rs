//! The texts of settings from environment, flags, `.env` and files.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use goat_core::Secret;

use super::super::{Database, SigningKeys};
use super::{
    PASSWORD, PEPPER, PRIVATE_KEY, Sources, TOKEN_SECRET, environment, production, sources,
};

#[test]
fn wrong_item_of_a_list_is_named() {
    for (name, value, complaint) in [
        (
            "GOAT_CORS_ORIGINS",
            "https://a.example,b.example",
            "\"b.example\", which is not an origin",
        ),
        ("GOAT_CORS_ORIGINS", "https://a.example,,", "\"\", which is empty"),
        (
            "GOAT_CORS_ORIGINS",
            "https://a.example, http://b:80",
            "\"http://b:80\", which has the default",
        ),
        ("GOAT_TRUSTED_PROXIES", "10.0.0.1,proxy", "\"proxy\", which is neither an IP address"),
        ("GOAT_TRUSTED_PROXIES", "10.0.0.1,::/0", "\"::/0\", which covers every address"),
    ] {
        let problem = environment(&[(name, value)]).problem();
        let expected = format!("{name}: {value:?} contains {complaint}");
        assert!(problem.starts_with(&expected), "{problem}");
    }
    // Without its text, which may contain a password.
    let problem = environment(&[("REDIS_URL", "redis://a,canary")]).problem();
    assert!(problem.contains("an entry (number 2) that is not a Redis URL"), "{problem}");
}

#[test]
fn parameter_of_a_sqlite_url_is_named() {
    let problem = environment(&[("DATABASE_URL", "sqlite:x.db?mode=canary")]).problem();
    let expected =
        "DATABASE_URL: the value has parameters (here: mode), and a SQLite URL supports none";
    assert!(problem.starts_with(expected), "{problem}");
}

/// An editor, a shell or a deployment tool adds them, and they would make the secret another one.
#[test]
fn invisible_characters_around_a_value_are_removed_in_every_source() {
    for text in [format!("\u{feff}{PASSWORD}\n"), format!("{PASSWORD}\r\n\n")] {
        let mut from_file = sources();
        let path = from_file.file("password", &text);
        from_file.environment.push(("GOAT_ADMIN_PASSWORD_FILE".into(), path.into()));
        for sources in [
            from_file,
            environment(&[("GOAT_ADMIN_PASSWORD", &text)]),
            sources().dotenv(format!("GOAT_ADMIN_PASSWORD='{text}'\n")),
        ] {
            let password = sources.settings().accounts.admin_password.expect("a password");
            assert_eq!(password.expose(), PASSWORD);
        }
    }
    let flag = sources().arguments(&["--goat-issuer", "\u{feff}issuer\n"]);
    assert_eq!(flag.settings().tokens.issuer, "issuer");
}

#[test]
fn invisible_characters_within_a_value_are_refused_in_every_source() {
    for (character, complaint) in [('\u{feff}', "byte order mark"), ('\0', "NUL character")] {
        let text = format!("canary {character} of some length");
        let mut from_file = sources();
        let path = from_file.file("password", &text);
        from_file.environment.push(("GOAT_ADMIN_PASSWORD_FILE".into(), path.into()));
        for sources in [
            from_file,
            environment(&[("GOAT_ADMIN_PASSWORD", &text)]),
            sources().dotenv(format!("GOAT_ADMIN_PASSWORD='{text}'\n")),
        ] {
            let problem = sources.problem();
            assert!(problem.starts_with("GOAT_ADMIN_PASSWORD"), "{problem}");
            assert!(problem.contains(complaint) && !problem.contains("canary"), "{problem}");
        }
    }
}

/// White space would be a part of the name, and the server would start on a second, empty database.
#[test]
fn white_space_around_a_path_is_removed() {
    let database = |sources: Sources| match sources.settings().storage.database {
        Database::Sqlite(path) => path,
        Database::Postgres(_) => panic!("not SQLite"),
    };
    for path in ["/srv/goat ", " /srv/goat", "\t/srv/goat\n"] {
        let settings = environment(&[("GOAT_DATA_DIR", path)]).settings();
        assert_eq!(settings.storage.data_dir, Path::new("/srv/goat"), "{path:?}");
    }
    for url in [" sqlite:/srv/goat.db", "sqlite:/srv/goat.db ", "sqlite: /srv/goat.db"] {
        assert_eq!(database(environment(&[("DATABASE_URL", url)])), Path::new("/srv/goat.db"));
    }
    let within = environment(&[("GOAT_DATA_DIR", "/srv/the goat")]).settings();
    assert_eq!(within.storage.data_dir, Path::new("/srv/the goat"));
    let url = " postgres://u@db/g\t";
    let Database::Postgres(url) = environment(&[("DATABASE_URL", url)]).settings().storage.database
    else {
        panic!("not PostgreSQL")
    };
    assert_eq!(url.expose(), "postgres://u@db/g");
    let redis = environment(&[("REDIS_URL", " redis://r ")]).settings().storage.redis;
    assert_eq!(redis.expect("it is set").expose(), "redis://r");

    let mut secret = sources();
    let path = secret.file("secret", TOKEN_SECRET).display().to_string();
    secret.environment.push(("GOAT_JWT_SECRET_FILE".into(), format!(" {path} ").into()));
    secret.settings();
}

#[test]
fn path_that_only_a_shell_understands_is_refused() {
    for (name, value) in [
        ("GOAT_DATA_DIR", "~/data"),
        ("GOAT_DATA_DIR", " ~goat"),
        ("DATABASE_URL", "sqlite:~/goat.db"),
        ("DATABASE_URL", "sqlite://~/goat.db"),
        ("GOAT_JWT_SECRET_FILE", "~/secret"),
    ] {
        let problem = environment(&[(name, value)]).problem();
        assert!(problem.starts_with(&format!("{name}: ")), "{problem}");
        assert!(problem.contains("begins with ~, which only a shell replaces"), "{problem}");
    }
    let problem = environment(&[("GOAT_DATA_DIR", "/srv/a\tb")]).problem();
    assert!(problem.contains("contains control characters"), "{problem}");
}

/// L5, also through the symbolic links with which Kubernetes mounts secrets.
#[test]
fn secret_file_that_others_can_read_is_refused_in_production() {
    for (mode, is_open) in [
        (0o600, false),
        (0o400, false),
        (0o640, false),
        (0o644, true),
        (0o602, true),
        (0o444, true),
    ] {
        let variables = [("GOAT_PASSWORD_PEPPER", "-"), ("DATABASE_URL", "sqlite:x")];
        let mut production = production(&variables);
        let path = production.file("pepper", PEPPER);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
        let link = production.path("link");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        production.environment.push(("GOAT_PASSWORD_PEPPER_FILE".into(), link.into()));
        if is_open {
            let problem = production.problem();
            let begin = format!(
                "GOAT_PASSWORD_PEPPER_FILE: names a file that every user of the machine can read or \
                 change (mode {mode:03o}); expected mode 600"
            );
            assert!(problem.starts_with(&begin), "{problem}");
        } else {
            assert_eq!(production.warnings(), [""; 0], "{mode:o}");
        }
        production.environment.retain(|(name, _)| name != "GOAT_ENV");
        assert_eq!(production.warnings().len(), usize::from(is_open), "{mode:o}");
    }
}

#[test]
fn unreadable_dotenv_file_is_rejected() {
    let sources = sources();
    fs::create_dir(sources.path(".env")).expect("a directory");
    let expected = format!("{}: cannot be read", sources.path(".env").display());
    assert!(sources.problem().starts_with(&expected), "{}", sources.problem());
}

/// Where the database and the secrets come from elsewhere, nothing that it may hold can be missed
/// without notice.
#[test]
fn unreadable_dotenv_file_is_a_warning_if_the_settings_come_from_elsewhere() {
    let database = ("DATABASE_URL", "postgres://u@db/g");
    for (sources, is_complete) in [
        (production(&[database]), true),
        (production(&[("GOAT_DATA_DIR", "/srv/goat")]), true),
        (production(&[]), false),
        (
            production(&[database, ("GOAT_ENV", "development"), ("GOAT_PASSWORD_PEPPER", "-")]),
            false,
        ),
    ] {
        fs::create_dir(sources.path(".env")).expect("a directory");
        let file = sources.path(".env").display().to_string();
        let message = if is_complete { sources.warnings().remove(0) } else { sources.problem() };
        assert!(message.starts_with(&format!("{file}: cannot be read")), "{message}");
    }
}

#[test]
fn dollar_that_expands_to_nothing_is_a_warning() {
    let secret = "canary$kT9vQ2xLr7ZpWc4NfYb8HsJd3MgUe6Aa";
    for (line, warns) in [
        (format!("GOAT_ADMIN_PASSWORD={secret}-and-a-long-rest"), true),
        (format!("GOAT_ADMIN_PASSWORD=\"{secret} and a long rest\""), true),
        ("GOAT_ADMIN_PASSWORD=a-long-password-with-a${canary}".to_owned(), true),
        (format!("GOAT_ADMIN_PASSWORD='{secret}'"), false),
        (r"GOAT_ADMIN_PASSWORD=a-long-password-with-a-\$".to_owned(), false),
        ("NAME=a-long-name\nGOAT_ADMIN_PASSWORD=$NAME-for-a-password".to_owned(), false),
        (r"OTHER=$canary".to_owned(), false),
    ] {
        let mut warnings = sources().dotenv(&line).warnings();
        warnings.retain(|warning| !warning.contains("production would refuse"));
        assert_eq!(warnings.len(), usize::from(warns), "{line}: {warnings:?}");
        for warning in warnings {
            assert!(warning.starts_with("GOAT_ADMIN_PASSWORD ("), "{warning}");
            assert!(warning.contains(" line 1): a $ in the value expands to nothing"), "{warning}");
            assert!(!warning.contains("canary") && !warning.contains("kT9v"), "{warning}");
        }
    }
}

#[test]
fn dotenv_file_supports_quotes_comments_and_multiline_values() {
    let sources = sources().dotenv(format!(
        "\u{feff}# goat\r\n\r\nexport GOAT_ISSUER='a$b#c' # why not\r\nGOAT_JWT_PRIVATE_KEY=\"{PRIVATE_KEY}\"\nOTHER=x"
    ));
    let (settings, warnings) = sources.load().expect("valid settings");
    assert_eq!(settings.tokens.issuer, "a$b#c");
    assert!(matches!(settings.tokens.keys, SigningKeys::EdDsa(_)));
    assert_eq!(warnings, []);
}

#[test]
fn malformed_dotenv_line_is_reported_by_number_only() {
    let long = format!("A={}\n=canary\n", "x".repeat(20_000));
    for (content, lines) in [
        ("canary", &[1][..]),
        ("A=1\n\n# x\nGOAT_ISSUER=canary canary\nB=2", &[4]),
        ("A=\"1\n2\"\n=canary\nB=2\n1=canary", &[3, 5]),
        ("A=1\nB=\"canary\n\n\n", &[2]),
        ("A=1\nB='canary", &[2]),
        (&long, &[2]),
    ] {
        let sources = sources().dotenv(content);
        let file = sources.path(".env").display().to_string();
        let problems = sources.problems();
        assert_eq!(problems.len(), lines.len(), "{problems:?}");
        for (problem, line) in problems.iter().zip(lines) {
            assert!(problem.starts_with(&format!("{file} line {line}: is not")), "{problem}");
            assert!(!problem.contains("canary"), "{problem}");
        }
    }
    let binary = sources().dotenv(b"A=1\nB=\xff\n".as_slice());
    assert!(binary.problem().ends_with(" line 2: is not valid UTF-8"), "{}", binary.problem());
}

#[test]
fn duplicate_settings_in_the_dotenv_file_are_rejected() {
    let twice = sources().dotenv("OTHER=1\nOTHER=2\nGOAT_ISSUER=a\nGOAT_ISSUER=b\n");
    let problem = twice.problem();
    assert!(problem.starts_with("GOAT_ISSUER (") && problem.contains("line 3"), "{problem}");
}

#[test]
fn every_secret_can_be_read_from_a_file() {
    for (name, value) in [
        ("GOAT_JWT_SECRET", TOKEN_SECRET),
        ("GOAT_JWT_PRIVATE_KEY", PRIVATE_KEY),
        ("GOAT_PASSWORD_PEPPER", PEPPER),
        ("GOAT_ADMIN_PASSWORD", PASSWORD),
        ("DATABASE_URL", "postgres://u:p@db/g"),
        ("REDIS_URL", "redis://r"),
    ] {
        for end in ["", "\n", "\r\n"] {
            let mut sources = sources();
            let path = sources.file("secret", format!("{value}{end}"));
            sources.environment.push((format!("{name}_FILE").into(), path.into()));
            let settings = sources.settings();
            let text = |secret: &Secret<Vec<u8>>| String::from_utf8(secret.expose().clone());
            let read = match name {
                "GOAT_JWT_SECRET" => match &settings.tokens.keys {
                    SigningKeys::Hs256(secrets) => text(&secrets[0]).ok(),
                    _ => None,
                },
                "GOAT_JWT_PRIVATE_KEY" => match &settings.tokens.keys {
                    SigningKeys::EdDsa(keys) => Some(keys[0].expose().clone()),
                    _ => None,
                },
                "GOAT_PASSWORD_PEPPER" => {
                    settings.passwords.peppers.and_then(|peppers| text(&peppers[0]).ok())
                }
                "GOAT_ADMIN_PASSWORD" => {
                    settings.accounts.admin_password.map(|password| password.expose().clone())
                }
                "DATABASE_URL" => match &settings.storage.database {
                    Database::Postgres(url) => Some(url.expose().clone()),
                    Database::Sqlite(_) => None,
                },
                _ => settings.storage.redis.map(|url| url.expose().clone()),
            };
            assert_eq!(read.as_deref(), Some(value), "{name}");
        }
    }
}

#[test]
fn secret_file_must_be_text_and_the_only_source() {
    let missing = environment(&[("GOAT_JWT_SECRET_FILE", "/canary/that/is/not/there")]).problem();
    assert!(missing.starts_with("GOAT_JWT_SECRET_FILE: names a file that cannot be read"));
    assert!(!missing.contains("canary"), "{missing}");

    let empty = environment(&[("GOAT_JWT_SECRET_FILE", "")]).problem();
    assert!(empty.starts_with("GOAT_JWT_SECRET_FILE: is empty"), "{empty}");

    let mut binary = sources();
    let path = binary.file("secret", [0xff; 40]);
    binary.environment.push(("GOAT_JWT_SECRET_FILE".into(), path.into()));
    assert!(binary.problem().contains("not valid UTF-8"), "{}", binary.problem());

    let mut short = sources();
    let path = short.file("secret", "canary");
    short.environment.push(("GOAT_JWT_SECRET_FILE".into(), path.into()));
    let problem = short.problem();
    assert!(problem.contains("(from the file of GOAT_JWT_SECRET_FILE): the value is shorter"));
    assert!(!problem.contains("canary"), "{problem}");

    let both =
        environment(&[("GOAT_JWT_SECRET", TOKEN_SECRET), ("GOAT_JWT_SECRET_FILE", "/x")]).problem();
    assert!(both.starts_with("GOAT_JWT_SECRET: GOAT_JWT_SECRET_FILE is set too"), "{both}");
}

#[test]
fn environment_secret_file_precedes_dotenv_secret() {
    let mut sources = sources().dotenv(format!("GOAT_ADMIN_PASSWORD='{PASSWORD}'"));
    let path = sources.file("password", "another fine long password");
    sources.environment.push(("GOAT_ADMIN_PASSWORD_FILE".into(), path.into()));
    let password = sources.settings().accounts.admin_password.expect("a password");
    assert_eq!(password.expose(), "another fine long password");
}

#[test]
fn file_variables_exist_for_secrets_only() {
    let warnings = environment(&[("GOAT_ISSUER_FILE", "/x")]).warnings();
    assert_eq!(warnings, ["GOAT_ISSUER_FILE is not a known setting; did you mean GOAT_ISSUER?"]);
}

#[cfg(unix)]
#[test]
fn non_utf8_values_of_settings_are_rejected() {
    use std::os::unix::ffi::OsStringExt;
    let mut sources = sources();
    sources.environment.push(("OTHER".into(), OsString::from_vec(vec![0xff])));
    sources.settings();
    sources.environment.push(("GOAT_ISSUER".into(), OsString::from_vec(vec![0xff])));
    assert_eq!(sources.problem(), "GOAT_ISSUER: is not valid UTF-8");
}

#[test]
fn flag_precedes_environment_precedes_file() {
    let issuer = |sources: Sources| sources.settings().tokens.issuer;
    let variables = [("GOAT_ISSUER", "environment")];
    assert_eq!(issuer(sources()), "goat");
    assert_eq!(issuer(sources().dotenv("GOAT_ISSUER=file")), "file");
    assert_eq!(issuer(environment(&variables).dotenv("GOAT_ISSUER=file")), "environment");
    for arguments in [["--goat-issuer", "flag"], ["serve", "--goat-issuer=flag"]] {
        let sources = environment(&variables).dotenv("GOAT_ISSUER=file").arguments(&arguments);
        assert_eq!(issuer(sources), "flag");
    }
    let inner = sources().arguments(&["--goat-issuer=outer", "check", "--goat-issuer=inner"]);
    assert_eq!(issuer(inner), "inner");
}
