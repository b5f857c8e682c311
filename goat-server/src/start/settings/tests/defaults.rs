//! Default values, and those that follow other settings.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use goat_core::Quota;

use super::super::table::{Kind, TABLE};
use super::super::{Database, Environment, ForwardedHeader, SigningKeys, Signup};
use super::{environment, production, sources};

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
    assert_eq!(settings.sessions.recent, Duration::from_secs(300));
    assert!(!settings.http.step_up_admin);
    assert_eq!(settings.sessions.cache_staleness, Duration::from_secs(1));
    assert!(settings.passwords.peppers.is_none());
    assert_eq!((settings.passwords.min_length, settings.passwords.max_length), (15, 256));
    assert_eq!(settings.passwords.breached_file, None);
    assert_eq!(settings.passwords.argon2_memory, 19_456);
    assert_eq!(settings.passwords.argon2_iterations, 2);
    assert_eq!(settings.passwords.argon2_parallelism, 1);
    assert!(settings.passwords.hash_concurrency >= 1);
    assert_eq!(settings.passwords.hash_queue, 64);
    assert_eq!(settings.accounts.signup, Signup::Active);
    assert_eq!(settings.accounts.admin_email, "admin@goat.local");
    assert!(settings.accounts.admin_password.is_none());
    assert!(settings.keys.enabled);
    assert_eq!(settings.keys.prefix.as_str(), "goat");
    assert_eq!(settings.keys.ttl, Some(Duration::from_secs(8760 * 3600)));
    assert_eq!(settings.keys.per_user, 50);
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
    assert_eq!(settings.limits.mail, Some(Quota::per_hour(3)));
    assert_eq!(settings.limits.keys, 1_000_000);
    assert_eq!(settings.log.filter, "info");
    assert_eq!(settings.log.format, None);
}

/// L6.
#[test]
fn metrics_are_public_in_development_only() {
    assert!(sources().settings().http.public_metrics);
    assert!(!production(&[]).settings().http.public_metrics);
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
fn default_refresh_ttl_is_capped_by_the_session_ttl() {
    let settings = environment(&[("GOAT_SESSION_TTL", "24h")]).settings();
    assert_eq!(settings.tokens.refresh_ttl, settings.tokens.session_ttl);
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
