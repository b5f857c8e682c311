//! Settings that contradict one another.

use goat_tower::cookie::{Cookies, SameSite};

use super::{PRIVATE_KEY, TOKEN_SECRET, environment, production};

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

/// J9
#[test]
fn audience_that_equals_the_issuer_is_a_warning() {
    let warnings = environment(&[("GOAT_AUDIENCE", "goat")]).warnings();
    let expected = "GOAT_AUDIENCE: the value is also GOAT_ISSUER, so that services that check aud but not typ accept refresh tokens";
    assert_eq!(warnings, [expected]);
    let differ = [("GOAT_AUDIENCE", "goat"), ("GOAT_ISSUER", "https://id.example")];
    assert_eq!(environment(&differ).warnings(), [""; 0]);
}

/// Browsers store such cookies over https only, except from loopback.
#[test]
fn session_cookies_require_a_public_url_that_browsers_trust() {
    let on = |url| environment(&[("GOAT_SESSION_COOKIES", "lax"), ("GOAT_PUBLIC_URL", url)]);
    let expected = "GOAT_SESSION_COOKIES: \"lax\" cannot be used with GOAT_PUBLIC_URL, which browsers \
                    reach without https; expected off";
    assert_eq!(on("http://id.example.org").problem(), expected);
    for url in ["https://id.example.org/api", "http://localhost:8080", "http://127.0.0.1:8080"] {
        on(url).settings();
    }
    environment(&[("GOAT_SESSION_COOKIES", "strict")]).settings();
}

#[test]
fn the_sign_in_page_requires_session_cookies() {
    let problem = environment(&[("GOAT_LOGIN_PAGE", "on")]).problem();
    let expected = "GOAT_LOGIN_PAGE: \"on\" requires GOAT_SESSION_COOKIES, which is off; expected off, or \
                    GOAT_SESSION_COOKIES=lax";
    assert_eq!(problem, expected);
    let on = environment(&[("GOAT_LOGIN_PAGE", "on"), ("GOAT_SESSION_COOKIES", "lax")]).settings();
    assert_eq!(on.http.forward.login_url, None, "the page itself");
    assert_eq!(on.http.login_page.map(|page| page.color), Some([0x0b, 0x57, 0xb0]));
}

#[test]
fn allowed_origins_of_session_cookies_are_the_public_url_and_the_cors_origins() {
    let settings = environment(&[
        ("GOAT_SESSION_COOKIES", "strict"),
        ("GOAT_PUBLIC_URL", "https://ID.example.org:443/api"),
        ("GOAT_CORS_ORIGINS", "https://app.example.org,http://app.example.org,app://x"),
    ])
    .settings();
    let expected = Cookies::new()
        .same_site(SameSite::Strict)
        .allow_origin("https://id.example.org")
        .and_then(|cookies| cookies.allow_origin("https://app.example.org"));
    assert_eq!(settings.http.session_cookies, expected.ok());
    assert_eq!(environment(&[]).settings().http.session_cookies, None);
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
