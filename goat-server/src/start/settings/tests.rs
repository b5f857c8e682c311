//! Settings from their sources, and the errors of invalid ones.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use goat_core::Quota;
use tempfile::TempDir;

use super::table::{Exposure, Fallback, Kind, TABLE};
use super::*;
use crate::cli::Invocation;

mod sources;

/// Strong secrets, all different.
const TOKEN_SECRET: &str = "kT9vQ2xLr7ZpWc4NfYb8HsJd3MgUe6Aa";
const OLD_TOKEN_SECRET: &str = "Zq5RmX1tVw8KyCn3LbPj7FhGd2SsEo9u";
const PEPPER: &str = "Bv6Jx0DgTn4WqMz8RkLc2YpHf5UsAe7i";
const PASSWORD: &str = "seven brown bottles stand";
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5\n-----END PRIVATE KEY-----";
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\nbm90IGEga2V5\n-----END PUBLIC KEY-----";

/// Sources of settings: a directory with an optional `.env`, an environment, arguments.
struct Sources {
    directory: TempDir,
    environment: Vec<(OsString, OsString)>,
    arguments: Vec<String>,
}

/// An empty environment.
fn sources() -> Sources {
    let directory = tempfile::tempdir().expect("a directory");
    Sources { directory, environment: Vec::new(), arguments: vec!["goat-server".to_owned()] }
}

/// An environment with these variables.
fn environment(variables: &[(&str, &str)]) -> Sources {
    let mut sources = sources();
    sources.environment =
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    sources
}

/// A valid production environment, overridden by these variables.
fn production(variables: &[(&str, &str)]) -> Sources {
    let mut all = vec![
        ("GOAT_ENV", "production"),
        ("GOAT_JWT_SECRET", TOKEN_SECRET),
        ("GOAT_PASSWORD_PEPPER", PEPPER),
        ("GOAT_ADMIN_PASSWORD", PASSWORD),
    ];
    all.retain(|(name, _)| !variables.iter().any(|(other, _)| name == other));
    all.extend(variables.iter().filter(|(_, value)| *value != "-"));
    environment(&all)
}

impl Sources {
    fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    fn dotenv(self, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.path(".env"), content).expect("a file is written");
        self
    }

    /// A file that only its owner can read.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a file is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn load(&self) -> Result<(Settings, Vec<Warning>), Invalid> {
        let invocation = Invocation::parse(&self.arguments).expect("valid arguments");
        Settings::load(self.environment.clone(), &invocation.flags, &self.path(".env"))
    }

    fn settings(&self) -> Settings {
        self.load().expect("valid settings").0
    }

    fn warnings(&self) -> Vec<String> {
        self.load().expect("valid settings").1.iter().map(Warning::to_string).collect()
    }

    fn problems(&self) -> Vec<String> {
        let invalid = self.load().expect_err("settings that are wrong");
        let lines: Vec<String> = invalid.problems.iter().map(Problem::to_string).collect();
        assert!(lines.iter().all(|line| line.lines().count() == 1), "{lines:?}");
        assert_eq!(invalid.to_string(), lines.join("\n"));
        lines
    }

    /// Returns the only problem.
    fn problem(&self) -> String {
        let problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems.into_iter().next().expect("one")
    }
}

#[test]
fn default_is_development_on_sqlite() {
    let settings = sources().settings();
    assert_eq!(settings.environment, Environment::Development);
    assert_eq!(settings.http.listen, SocketAddr::from(([127, 0, 0, 1], 8080)));
    assert_eq!(settings.http.metrics_listen, None);
    assert_eq!(settings.http.max_connections, 10_000);
    assert_eq!(settings.http.max_connections_per_address, 256);
    assert_eq!(settings.http.header_timeout, Duration::from_secs(5));
    assert_eq!(settings.http.request_timeout, Duration::from_secs(10));
    assert_eq!(settings.http.idle_timeout, Duration::from_secs(60));
    assert_eq!(settings.http.drain_delay, Duration::ZERO);
    assert_eq!(settings.http.shutdown_timeout, Duration::from_secs(15));
    assert!(settings.http.trusted_proxies.is_empty());
    assert_eq!(settings.http.forwarded_header, ForwardedHeader::XForwardedFor);
    assert!(settings.http.cors_origins.is_empty());
    assert_eq!(settings.storage.data_dir, Path::new("./data"));
    let Database::Sqlite(path) = &settings.storage.database else { panic!("not SQLite") };
    assert_eq!(path, Path::new("./data/goat.db"));
    assert!(settings.storage.redis.is_none());
    assert_eq!(settings.storage.max_connections, 10);
    assert_eq!(settings.storage.store_timeout, Duration::from_secs(2));
    assert_eq!(settings.storage.start_timeout, Duration::from_secs(30));
    assert!(settings.storage.migrate_on_start);
    assert!(matches!(settings.tokens.keys, SigningKeys::Generated));
    assert_eq!(settings.tokens.issuer, "goat");
    assert_eq!(settings.tokens.audience, "goat-api");
    assert_eq!(settings.tokens.client_id, "goat");
    assert_eq!(settings.tokens.access_ttl, Duration::from_secs(300));
    assert!(!settings.tokens.access_permissions);
    assert_eq!(settings.tokens.refresh_ttl, Duration::from_secs(168 * 3600));
    assert_eq!(settings.tokens.session_ttl, Duration::from_secs(720 * 3600));
    assert_eq!(settings.tokens.refresh_leeway, Duration::from_secs(10));
    assert_eq!(settings.tokens.clock_leeway, Duration::from_secs(5));
    assert_eq!(settings.sessions.per_user, 50);
    assert_eq!(settings.sessions.cache_staleness, Duration::from_secs(1));
    assert!(settings.passwords.peppers.is_none());
    assert_eq!((settings.passwords.min_length, settings.passwords.max_length), (15, 256));
    assert_eq!(settings.passwords.argon2_memory, 19_456);
    assert_eq!(settings.passwords.argon2_iterations, 2);
    assert_eq!(settings.passwords.argon2_parallelism, 1);
    assert!(settings.passwords.hash_concurrency >= 1);
    assert_eq!(settings.passwords.hash_queue, 64);
    assert_eq!(settings.accounts.signup, Signup::Active);
    assert_eq!(settings.accounts.admin_email, "admin@goat.local");
    assert!(settings.accounts.admin_password.is_none());
    assert_eq!(settings.limits.auth, Some(Quota::per_minute(5)));
    assert_eq!(settings.limits.refresh, Some(Quota::per_minute(60)));
    assert_eq!(settings.limits.public, Some(Quota::per_minute(100)));
    assert_eq!(settings.limits.address, Some(Quota::per_minute(300)));
    assert_eq!(settings.limits.user, Some(Quota::per_minute(60)));
    assert_eq!(settings.limits.account, Some(Quota::per_minute(50)));
    assert_eq!(settings.limits.account_day, Some(Quota::per_day(100)));
    assert_eq!(settings.limits.verify, Some(Quota::per_minute(1200)));
    assert_eq!(settings.limits.session_control, Some(Quota::per_minute(30)));
    assert_eq!(settings.limits.password_check, Some(Quota::per_minute(10)));
    assert_eq!(settings.limits.keys, 1_000_000);
    assert_eq!(settings.log.filter, "info");
    assert_eq!(settings.log.format, None);
}

/// C1, in both forms of an IPv4 address.
#[test]
fn development_listens_on_loopback_addresses_only() {
    for name in ["GOAT_LISTEN", "GOAT_METRICS_LISTEN"] {
        for address in ["127.0.0.1:0", "127.9.9.9:81", "[::1]:81", "[::ffff:127.0.0.1]:81"] {
            environment(&[(name, address)]).settings();
        }
        for address in ["0.0.0.0:81", "[::]:81", "192.0.2.1:81", "[::ffff:0.0.0.0]:81"] {
            let problem = environment(&[(name, address)]).problem();
            let expected = format!(
                "{name}: {address:?} is not a loopback address, but GOAT_ENV is development; expected an \
                 address such as 127.0.0.1:8080 or [::1]:8080, or GOAT_ENV=production"
            );
            assert_eq!(problem, expected);
            production(&[(name, address)]).settings();
        }
    }
    let misspelled = environment(&[("GOAT_ENV", "prod"), ("GOAT_LISTEN", "0.0.0.0:81")]).problem();
    assert!(misspelled.starts_with("GOAT_ENV: "), "{misspelled}");
}

/// L6.
#[test]
fn metrics_are_public_in_development_only() {
    assert!(sources().settings().http.public_metrics);
    assert!(!production(&[]).settings().http.public_metrics);
}

#[test]
fn settings_match_the_documentation() {
    let names: Vec<&str> = TABLE.iter().map(|setting| setting.name).collect();
    assert_eq!(names.len(), 59);
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), names.len());
    let secrets: Vec<&str> = TABLE
        .iter()
        .filter(|setting| setting.exposure == Exposure::Secret)
        .map(|setting| setting.name)
        .collect();
    assert_eq!(
        secrets,
        ["GOAT_JWT_SECRET", "GOAT_JWT_PRIVATE_KEY", "GOAT_PASSWORD_PEPPER", "GOAT_ADMIN_PASSWORD"]
    );
}

#[test]
fn every_setting_rejects_an_empty_value() {
    for setting in TABLE {
        for value in ["", " "] {
            let problem = environment(&[(setting.name, value)]).problem();
            assert!(problem.starts_with(&format!("{}: ", setting.name)), "{problem}");
            assert!(problem.contains(" is empty; expected "), "{problem}");
        }
    }
}

#[test]
fn every_textual_default_is_a_valid_value() {
    for setting in TABLE {
        if let Fallback::Text(text) = setting.default {
            let given = environment(&[(setting.name, text)]).settings();
            assert_eq!(format!("{given:?}"), format!("{:?}", sources().settings()));
        }
    }
}

#[test]
fn choices_accept_exactly_their_words() {
    for setting in TABLE {
        let Kind::Choice(words) = setting.kind else { continue };
        for word in words {
            let complaints = match environment(&[(setting.name, word)]).load() {
                Ok(_) => continue,
                Err(invalid) => invalid.to_string(),
            };
            assert!(!complaints.contains("is not one of"), "{complaints}");
        }
        for wrong in ["perhaps", &words[0].to_uppercase(), &format!("{} ", words[0])] {
            if !words.contains(&wrong) {
                let problem = environment(&[(setting.name, wrong)]).problem();
                assert!(problem.contains(&format!("expected {}", setting.kind)), "{problem}");
            }
        }
    }
}

#[test]
fn numbers_and_durations_are_bounded() {
    let step = Duration::from_millis(1);
    for setting in TABLE {
        let (least, most, outside) = match setting.kind {
            Kind::Count(from, to) => {
                let below = from.checked_sub(1).map(|value| value.to_string());
                let outside = [below, Some((to + 1).to_string())];
                (from.to_string(), to.to_string(), outside)
            }
            Kind::Duration(from, to) => {
                let below = from.checked_sub(step).map(values::show);
                let outside = [below, Some(values::show(to + step))];
                (values::show(from), values::show(to), outside)
            }
            _ => continue,
        };
        for value in outside.into_iter().flatten() {
            let problem = environment(&[(setting.name, &value)]).problem();
            let expected =
                format!("{}: {value:?} is out of range; expected {}", setting.name, setting.kind);
            assert_eq!(problem, expected);
        }
        for value in [least, most] {
            // It may contradict a default, but is within its bounds.
            if let Err(invalid) = environment(&[(setting.name, &value)]).load() {
                assert!(!invalid.to_string().contains("out of range"), "{invalid}");
            }
        }
    }
}

#[test]
fn malformed_values_are_rejected_with_value_and_format() {
    for (name, values) in [
        ("GOAT_LISTEN", &["localhost:8080", ":8080", "127.0.0.1", "127.0.0.1:99999", "8080"][..]),
        ("GOAT_MAX_CONNECTIONS", &["many", "-1", "+1", "1e3", "1_000", "99999999999999999999"]),
        (
            "GOAT_IDLE_TIMEOUT",
            &["10", "10S", "s", "1.5s", "1h30m", "-1s", "10 s", "99999999999999999h"],
        ),
        (
            "GOAT_RATE_LIMIT_AUTH",
            &[
                "5",
                "5/",
                "/1m",
                "0/1m",
                "5/0s",
                "5/999ms",
                "5/1",
                "5/m",
                "1000001/1m",
                "5/8761h",
                "OFF",
                "-5/1m",
            ],
        ),
        (
            "GOAT_TRUSTED_PROXIES",
            &["proxy.example", "10.0.0.0/33", "10.0.0.1,", "10.0.0.1,,10.0.0.2"],
        ),
        (
            "GOAT_PUBLIC_URL",
            &[
                "auth.example",
                "auth.example:443",
                "//auth.example",
                "ftp://auth.example",
                "https://",
                "https:///path",
                "https://:8443",
                "https://a.example:",
                "https://a.example:99999",
                "https://user@a.example",
                "https://a.example/?x",
                "https://a.example/#x",
                "https://a example",
            ],
        ),
        (
            "GOAT_CORS_ORIGINS",
            &[
                "*",
                "null",
                "app.example",
                "https://",
                "https://a.example/",
                "https://a.example/x",
                "https://*.example",
                "https://u@a.example",
                "https://a.example:443",
                "http://a.example:80",
                "https://a.example:99999",
                "https://a.example:",
                "1http://a.example",
                "://a",
                "https://a.example,",
                "https://a.example,*",
            ],
        ),
        ("GOAT_ISSUER", &["my goat", "a\tb"]),
        (
            "GOAT_ADMIN_EMAIL",
            &["admin", "@goat.local", "admin@", "a b@goat.local", "a@b@c", "ä@goat.local"],
        ),
        ("GOAT_LOG", &["goat=loud", "a=b=c", "warning", "info,goat=debug", ","]),
    ] {
        for value in values {
            let problem = environment(&[(name, value)]).problem();
            let setting = TABLE.iter().find(|setting| setting.name == name).expect(name);
            assert!(problem.starts_with(&format!("{name}: {value:?} ")), "{problem}");
            assert!(problem.ends_with(&format!("; expected {}", setting.kind)), "{problem}");
        }
    }
}

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
fn durations_and_limits_are_parsed() {
    for (text, milliseconds) in [
        ("10s", 10_000),
        ("5m", 300_000),
        ("168h", 604_800_000),
        ("500ms", 500),
        ("0", 0),
        ("0s", 0),
    ] {
        assert_eq!(values::duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
    }
    for text in ["500ms", "10s", "90s", "5m", "168h", "0"] {
        assert_eq!(values::duration(text).map(values::show), Ok(text.to_owned()));
    }
    let quota = |text| environment(&[("GOAT_RATE_LIMIT_USER", text)]).settings().limits.user;
    assert_eq!(quota("off"), None);
    assert_eq!(quota("7/90s"), Some(Quota::new(7, Duration::from_secs(90))));
    assert_eq!(quota("1/1000ms"), Some(Quota::per_second(1)));
    assert_eq!(quota("1000000/8760h").map(|quota| quota.limit()), Some(1_000_000));
}

/// B11: the limits per account follow that of sign-in, unless they are set themselves.
#[test]
fn account_limits_follow_the_limit_of_sign_in() {
    let (minute, day) = (Some(Quota::per_minute(50)), Some(Quota::per_day(100)));
    let ninety = Some(Quota::new(70, Duration::from_secs(90)));
    let set = Some(Quota::per_hour(20));
    let [auth, account, daily] =
        ["GOAT_RATE_LIMIT_AUTH", "GOAT_RATE_LIMIT_ACCOUNT", "GOAT_RATE_LIMIT_ACCOUNT_DAY"];
    for (given, expected) in [
        (&[][..], (minute, day)),
        (&[(auth, "7/90s")], (ninety, day)),
        (&[(auth, "off")], (None, None)),
        (&[(auth, "off"), (account, "20/1h")], (set, None)),
        (&[(auth, "off"), (daily, "20/1h")], (None, set)),
        (&[(auth, "off"), (daily, "100/24h")], (None, day)),
        (&[(account, "off")], (None, day)),
        (&[(daily, "off")], (minute, None)),
    ] {
        let limits = environment(given).settings().limits;
        assert_eq!((limits.account, limits.account_day), expected, "{given:?}");
    }
}

/// B11
#[test]
fn limits_that_are_off_are_named() {
    let off = |given: &[(&'static str, &'static str)]| {
        environment(given).settings().limits.off().collect::<Vec<_>>()
    };
    assert!(off(&[]).is_empty());
    let account =
        ["GOAT_RATE_LIMIT_AUTH", "GOAT_RATE_LIMIT_ACCOUNT", "GOAT_RATE_LIMIT_ACCOUNT_DAY"];
    assert_eq!(off(&[("GOAT_RATE_LIMIT_AUTH", "off")]), account);
    // Each setting of a quota.
    for setting in TABLE.iter().filter(|setting| matches!(setting.kind, Kind::Quota)) {
        assert!(off(&[(setting.name, "off")]).contains(&setting.name), "{}", setting.name);
    }
}

#[test]
fn proxies_are_reduced_to_their_network() {
    let sources = environment(&[(
        "GOAT_TRUSTED_PROXIES",
        "10.1.2.3/8, 192.0.2.7,2001:db8::1/32,::1,::ffff:172.16.0.1/108,64:ff9b::10.1.0.0/112",
    )]);
    let shown: Vec<String> =
        sources.settings().http.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::1/128", "172.16.0.0/12", "10.1.0.0/16"]
    );
}

/// I3.
#[test]
fn proxies_covering_all_addresses_are_rejected() {
    for everyone in [
        "0.0.0.0/0",
        "::/0",
        "10.0.0.1,0.0.0.0/0",
        "1.2.3.4/0",
        "::ffff:0:0/96",
        "64:ff9b::/96",
        "64:ff9b::/32",
        "::/64",
        "::ffff:1.2.3.4/90",
    ] {
        let problem = environment(&[("GOAT_TRUSTED_PROXIES", everyone)]).problem();
        assert!(problem.contains("covers every address"), "{problem}");
    }
}

/// H8
#[test]
fn public_url_is_an_http_url() {
    for (text, expected) in [
        ("https://auth.example.com", "https://auth.example.com/"),
        ("HTTPS://auth.example.com:8443/base", "https://auth.example.com:8443/base"),
        ("http://[::1]:8080", "http://[::1]:8080/"),
    ] {
        let settings = environment(&[("GOAT_PUBLIC_URL", text)]).settings();
        assert_eq!(settings.http.public_url.expect("a URL").to_string(), expected);
    }
    assert_eq!(sources().settings().http.public_url, None);
}

#[test]
fn origins_are_normalized_as_browsers_send_them() {
    let origins =
        "https://App.Example, http://localhost:3000,https://[::1]:8443,capacitor://localhost";
    let settings = environment(&[("GOAT_CORS_ORIGINS", origins)]).settings();
    assert_eq!(
        settings.http.cors_origins,
        [
            "https://app.example",
            "http://localhost:3000",
            "https://[::1]:8443",
            "capacitor://localhost"
        ]
    );
}

#[test]
fn sqlite_urls_name_a_file() {
    for (url, expected) in [
        ("sqlite:goat.db", "goat.db"),
        ("sqlite://goat.db", "goat.db"),
        ("sqlite:///var/goat.db", "/var/goat.db"),
        ("sqlite:/var/goat.db", "/var/goat.db"),
        ("sqlite://./a%20b.db", "./a%20b.db"),
    ] {
        let settings = environment(&[("DATABASE_URL", url)]).settings();
        let Database::Sqlite(path) = settings.storage.database else { panic!("{url}") };
        assert_eq!(path, Path::new(expected));
    }
    let moved = environment(&[("GOAT_DATA_DIR", "/srv/goat")]).settings();
    let Database::Sqlite(path) = moved.storage.database else { panic!("not SQLite") };
    assert_eq!(path, Path::new("/srv/goat/goat.db"));
}

#[test]
fn rejected_urls_are_not_shown() {
    for url in [
        "sqlite::memory:?canary",
        "sqlite://:memory:?canary",
        "sqlite:canary?mode=ro",
        "sqlite:canary/",
        "mysql://u:canary@db/g",
        "canary",
        "file:canary",
        "postgres:canary",
        "SQLITE:canary",
    ] {
        let problem = environment(&[("DATABASE_URL", url)]).problem();
        assert!(problem.starts_with("DATABASE_URL: the value "), "{problem}");
        assert!(!problem.contains("canary"), "{problem}");
    }
    for url in ["http://canary", "redis:canary", "redis://a,canary", "redis://"] {
        let problem = environment(&[("REDIS_URL", url)]).problem();
        assert!(!problem.contains("canary"), "{problem}");
    }
}

#[test]
fn postgresql_is_not_migrated_on_start_by_default() {
    let postgres = ("DATABASE_URL", "postgres://u:canary@db/g");
    assert!(sources().settings().storage.migrate_on_start);
    assert!(!environment(&[postgres]).settings().storage.migrate_on_start);
    let asked = environment(&[postgres, ("GOAT_MIGRATE_ON_START", "true")]);
    assert!(asked.settings().storage.migrate_on_start);
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

#[test]
fn problem_names_the_source_of_the_value() {
    let flag = sources().arguments(&["--goat-listen", "x"]).problem();
    assert!(flag.starts_with("GOAT_LISTEN (--goat-listen): \"x\" is not"), "{flag}");
    let sources = sources().dotenv("\n# a comment\nGOAT_LISTEN=x\n");
    let expected = format!("GOAT_LISTEN ({} line 3): ", sources.path(".env").display());
    assert!(sources.problem().starts_with(&expected), "{}", sources.problem());
}

#[test]
fn every_non_secret_setting_has_a_flag() {
    for setting in TABLE.iter().filter(|setting| setting.exposure != Exposure::Secret) {
        let flag = format!("--{}=", setting.name.to_lowercase().replace('_', "-"));
        let problem = sources().arguments(&["serve", &flag]).problem();
        assert!(problem.starts_with(&format!("{} (--", setting.name)), "{problem}");
    }
}

/// J9
#[test]
fn audience_that_equals_the_issuer_is_a_warning() {
    let warnings = environment(&[("GOAT_AUDIENCE", "goat")]).warnings();
    let expected = "GOAT_AUDIENCE: the value is also GOAT_ISSUER, so that services that check aud but not typ accept refresh tokens";
    assert_eq!(warnings, [expected]);
    let differ = [("GOAT_AUDIENCE", "goat"), ("GOAT_ISSUER", "https://id.example")];
    assert_eq!(environment(&differ).warnings(), [""; 0]);
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
        ]
    );
}

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
    for name in ["GOAT_JWT_SECRET", "GOAT_PASSWORD_PEPPER"] {
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
fn contradicting_settings_are_rejected() {
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        (
            &[("GOAT_REFRESH_LEEWAY", "9s")],
            "GOAT_REFRESH_LEEWAY: \"9s\" is shorter than GOAT_REQUEST_TIMEOUT, which is 10s; expected 0, or 10s to 1m",
        ),
        (
            &[("GOAT_REQUEST_TIMEOUT", "40s"), ("GOAT_SHUTDOWN_TIMEOUT", "40s")],
            "GOAT_REFRESH_LEEWAY (default): \"10s\" is shorter than GOAT_REQUEST_TIMEOUT, which is 40s; expected 0, or 40s to 1m",
        ),
        (
            &[
                ("GOAT_REQUEST_TIMEOUT", "90s"),
                ("GOAT_SHUTDOWN_TIMEOUT", "2m"),
                ("GOAT_REFRESH_LEEWAY", "60s"),
            ],
            "GOAT_REFRESH_LEEWAY: \"60s\" is shorter than GOAT_REQUEST_TIMEOUT, which is 90s; expected 0",
        ),
        (
            &[("GOAT_SHUTDOWN_TIMEOUT", "9s")],
            "GOAT_SHUTDOWN_TIMEOUT: \"9s\" is shorter than GOAT_REQUEST_TIMEOUT, which is 10s; expected at least 10s",
        ),
        (
            &[("GOAT_STORE_TIMEOUT", "11s")],
            "GOAT_STORE_TIMEOUT: \"11s\" is longer than GOAT_REQUEST_TIMEOUT, which is 10s; expected at most 10s",
        ),
        (
            &[("GOAT_METRICS_LISTEN", "127.0.0.1:8080")],
            "GOAT_METRICS_LISTEN: \"127.0.0.1:8080\" overlaps GOAT_LISTEN, which is 127.0.0.1:8080; expected another address or port",
        ),
        (
            &[("GOAT_ACCESS_TOKEN_TTL", "1h"), ("GOAT_SESSION_TTL", "30m")],
            "GOAT_ACCESS_TOKEN_TTL: \"1h\" is longer than GOAT_SESSION_TTL, which is 30m; expected at most 30m",
        ),
        (
            &[("GOAT_ACCESS_TOKEN_TTL", "1h"), ("GOAT_REFRESH_TOKEN_TTL", "30m")],
            "GOAT_ACCESS_TOKEN_TTL: \"1h\" is longer than GOAT_REFRESH_TOKEN_TTL, which is 30m; expected at most 30m",
        ),
        (
            &[("GOAT_REFRESH_TOKEN_TTL", "721h")],
            "GOAT_REFRESH_TOKEN_TTL: \"721h\" is longer than GOAT_SESSION_TTL, which is 720h; expected at most 720h",
        ),
        (
            &[("GOAT_PASSWORD_MIN_LENGTH", "100"), ("GOAT_PASSWORD_MAX_LENGTH", "99")],
            "GOAT_PASSWORD_MAX_LENGTH: \"99\" is less than GOAT_PASSWORD_MIN_LENGTH, which is 100; expected at least 100",
        ),
        (
            &[("GOAT_ADMIN_PASSWORD", "canary")],
            "GOAT_ADMIN_PASSWORD: the value is too short or too long; expected 15 to 256 characters",
        ),
        (
            &[("GOAT_TOKEN_ALGORITHM", "HS256")],
            "GOAT_TOKEN_ALGORITHM: \"HS256\" requires GOAT_JWT_SECRET, which is not set; expected EdDSA",
        ),
        (
            &[("GOAT_TOKEN_ALGORITHM", "EdDSA"), ("GOAT_JWT_SECRET", TOKEN_SECRET)],
            "GOAT_JWT_SECRET: the value cannot be used with GOAT_TOKEN_ALGORITHM=EdDSA; expected to be unset",
        ),
        (
            &[
                ("GOAT_TOKEN_ALGORITHM", "HS256"),
                ("GOAT_JWT_SECRET", TOKEN_SECRET),
                ("GOAT_JWT_PRIVATE_KEY", PRIVATE_KEY),
            ],
            "GOAT_JWT_PRIVATE_KEY: the value cannot be used with GOAT_TOKEN_ALGORITHM=HS256; expected to be unset",
        ),
        (
            &[("GOAT_JWT_SECRET", TOKEN_SECRET), ("GOAT_JWT_PRIVATE_KEY", PRIVATE_KEY)],
            "GOAT_JWT_PRIVATE_KEY: the value cannot be combined with GOAT_JWT_SECRET; expected to be unset",
        ),
    ];
    for (variables, expected) in cases {
        assert_eq!(environment(variables).problem(), *expected);
    }
}

#[test]
fn settings_at_the_boundary_of_a_contradiction_are_accepted() {
    let variables: &[&[(&str, &str)]] = &[
        &[("GOAT_REFRESH_LEEWAY", "0")],
        &[("GOAT_REFRESH_LEEWAY", "10s")],
        &[("GOAT_SHUTDOWN_TIMEOUT", "10s")],
        &[("GOAT_STORE_TIMEOUT", "10s")],
        &[("GOAT_LISTEN", "127.0.0.1:0"), ("GOAT_METRICS_LISTEN", "127.0.0.1:0")],
        &[("GOAT_REFRESH_TOKEN_TTL", "720h")],
        &[("GOAT_ACCESS_TOKEN_TTL", "30m"), ("GOAT_SESSION_TTL", "30m")],
        &[("GOAT_PASSWORD_MIN_LENGTH", "64"), ("GOAT_PASSWORD_MAX_LENGTH", "64")],
        &[("GOAT_ADMIN_PASSWORD", "äöüäöüäöüäöüäöü")],
        &[("GOAT_TOKEN_ALGORITHM", "HS256"), ("GOAT_JWT_SECRET", TOKEN_SECRET)],
        &[("GOAT_TOKEN_ALGORITHM", "EdDSA"), ("GOAT_JWT_PRIVATE_KEY", PRIVATE_KEY)],
        &[("GOAT_TOKEN_ALGORITHM", "EdDSA")],
    ];
    for variables in variables {
        environment(variables).settings();
    }
}

#[test]
fn default_refresh_ttl_is_capped_by_the_session_ttl() {
    let settings = environment(&[("GOAT_SESSION_TTL", "24h")]).settings();
    assert_eq!(settings.tokens.refresh_ttl, settings.tokens.session_ttl);
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
    assert_eq!(names, ["GOAT_JWT_PRIVATE_KEY", "GOAT_PASSWORD_PEPPER", "GOAT_ADMIN_PASSWORD"]);
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

/// `UPDATE_SNAPSHOTS=1 cargo test -p goat-server env_example` updates the file.
#[test]
fn env_example_matches_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example");
    let generated = help::env_example();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &generated).expect("the example is written");
    }
    let kept = fs::read_to_string(&path).expect("the example is there");
    assert!(kept == generated, "run with UPDATE_SNAPSHOTS=1 to write {} anew", path.display());
}

#[test]
fn env_example_with_defaults_enabled_changes_nothing() {
    let text: String = help::env_example()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(set) if !set.starts_with(' ') && !set.ends_with('=') => format!("{set}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert!(text.contains("\nGOAT_LISTEN=127.0.0.1:8080\n"));
    let (settings, warnings) = sources().dotenv(&text).load().expect("valid settings");
    assert_eq!(format!("{settings:?}"), format!("{:?}", sources().settings()));
    assert_eq!(warnings, []);
}
