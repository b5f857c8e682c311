//! Values: their formats, and their normalization.

use std::path::Path;
use std::time::Duration;

use goat_core::Quota;
use http::HeaderName;

use super::super::table::TABLE;
use super::super::{Database, VerifyHeader, values};
use super::{environment, production};

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
            "GOAT_VERIFY_HEADERS",
            &[
                "mail",
                "attributes",
                "attributes.",
                "attributes.Plan",
                "attributes.a.b",
                "email,",
                "Email",
            ],
        ),
        ("GOAT_ATTRIBUTES_SELF", &["Plan", "a-b", "a b", "plan,", ",plan"]),
        ("GOAT_TOKEN_ATTRIBUTES", &["Plan", "plan,,teams"]),
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
        ("GOAT_KEY_PREFIX", &["g", "Goat", "goat1", "goat_", "abcdefghijklm"]),
        ("GOAT_KEY_TTL", &["1y", "forever", "OFF", "0"]),
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
    let localhost = |listen| {
        let settings = environment(&[("GOAT_LISTEN", listen)]).settings();
        settings.http.public_url.expect("a URL").to_string()
    };
    assert_eq!(localhost("127.0.0.1:8080"), "http://localhost:8080/");
    assert_eq!(localhost("[::1]:81"), "http://localhost:81/");
    assert_eq!(production(&[]).settings().http.public_url, None);
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

/// The name of a header has no `_`, which many servers drop or take for `-`.
#[test]
fn headers_of_attributes_have_their_key_in_the_name() {
    let settings =
        environment(&[("GOAT_VERIFY_HEADERS", "email, attributes.cost_center")]).settings();
    let attribute = VerifyHeader::Attribute {
        key: "cost_center".to_owned(),
        name: HeaderName::from_static("x-goat-attribute-cost-center"),
    };
    assert_eq!(settings.http.forward.headers, [VerifyHeader::Email, attribute]);
}
