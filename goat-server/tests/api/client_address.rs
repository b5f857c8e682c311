//! The client's address, as rate limits count it and sessions show it, with and without proxies.

use std::path::Path;

use goat_core::{Quota, Status};
use goat_server::start::settings::{Flags, Settings};
use serde_json::json;

use crate::support::app::{PASSWORD, TestApp, TestRequest};

const EMAIL: &str = "ann@example.org";

/// An app with these settings, which allows one login per address and minute.
async fn configured(variables: &[(&str, &str)]) -> TestApp {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    let nowhere = Path::new("there-is-no.env");
    let settings = Settings::load(variables, &Flags::default(), nowhere).expect("good settings").0;
    let app = TestApp::with(|setup| {
        setup.http = settings.http;
        setup.limits.auth = Some(Quota::per_minute(1));
    })
    .await;
    app.add(EMAIL, "client", Status::Active).await;
    app
}

/// Signs in and returns the address of the session.
async fn seen(app: &TestApp, from: &str, headers: &[(&str, &str)]) -> String {
    let response = sign_in(app, from, headers).send().await;
    assert_eq!(response.status, 200, "{headers:?}: {}", response.json);
    let token = response.data()["access_token"].as_str().expect("a token");
    let listed = app.get("/api/v1/sessions?limit=100").bearer(token).send().await;
    let sessions = listed.data().as_array().expect("a list");
    let current = sessions.iter().find(|session| session["current"] == true).expect("this one");
    // The limit counts the same address.
    assert_eq!(sign_in(app, from, headers).send().await.status, 429, "{headers:?}");
    app.clock.advance(std::time::Duration::from_secs(60));
    current["ip"].as_str().expect("an address").to_owned()
}

fn sign_in<'a>(app: &'a TestApp, from: &str, headers: &[(&str, &str)]) -> TestRequest<'a> {
    let body = json!({"email": EMAIL, "password": PASSWORD});
    let request = app.post("/api/v1/auth/login").json(&body).from(from);
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}

/// I1
#[tokio::test]
async fn forwarding_headers_are_ignored_by_default() {
    let app = configured(&[]).await;
    let claims = [
        ("x-forwarded-for", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9"),
        ("x-real-ip", "203.0.113.9"),
        ("client-ip", "203.0.113.9"),
        ("cf-connecting-ip", "203.0.113.9"),
        ("true-client-ip", "203.0.113.9"),
    ];
    assert_eq!(seen(&app, "198.51.100.1", &claims).await, "198.51.100.1");
    // Another claimed address is no other key.
    assert_eq!(sign_in(&app, "198.51.100.1", &[]).send().await.status, 200);
    for last in 1..5 {
        let claim = format!("203.0.113.{last}");
        let response = sign_in(&app, "198.51.100.1", &[("x-forwarded-for", &claim)]).send().await;
        assert_eq!(response.status, 429);
    }
    assert_eq!(sign_in(&app, "198.51.100.2", &[]).send().await.status, 200);
}

/// I2
#[tokio::test]
async fn first_untrusted_address_behind_trusted_proxies_counts() {
    let proxies = "10.0.0.0/8, 2001:db8:ffff::/48, 192.0.2.1";
    let app = configured(&[("GOAT_TRUSTED_PROXIES", proxies)]).await;
    let name = "x-forwarded-for";
    for (values, expected) in [
        (vec!["203.0.113.9"], "203.0.113.9"),
        (vec!["203.0.113.9, 10.1.1.1"], "203.0.113.9"),
        (vec!["198.51.100.7, 203.0.113.9 , 10.1.1.1,192.0.2.1"], "203.0.113.9"),
        (vec!["198.51.100.7, 203.0.113.9", "10.1.1.1"], "203.0.113.9"),
        // The part left of it is never parsed.
        (vec!["<script>, 203.0.113.9, 10.1.1.1"], "203.0.113.9"),
        // A malformed element yields the peer.
        (vec!["203.0.113.9, nonsense, 10.1.1.1"], "10.0.0.1"),
        (vec!["203.0.113.9, localhost"], "10.0.0.1"),
        (vec!["unknown"], "10.0.0.1"),
        (vec!["_hidden"], "10.0.0.1"),
        (vec!["203.0.113.9:4711"], "203.0.113.9"),
        (vec!["[2001:db8::9]:4711"], "2001:db8::9"),
        (vec!["2001:db8::9, 2001:db8:ffff::1"], "2001:db8::9"),
        (vec!["::ffff:203.0.113.9"], "203.0.113.9"),
    ] {
        let headers: Vec<_> = values.iter().map(|value| (name, *value)).collect();
        assert_eq!(seen(&app, "10.0.0.1", &headers).await, expected, "{values:?}");
    }
    // Other headers, and headers from an untrusted peer, are ignored.
    let other = [("forwarded", "for=203.0.113.9"), ("x-real-ip", "203.0.113.9")];
    assert_eq!(seen(&app, "10.0.0.1", &other).await, "10.0.0.1");
    assert_eq!(seen(&app, "192.0.2.2", &[(name, "203.0.113.9")]).await, "192.0.2.2");
}

/// I1, I2: the part of the header that the client wrote itself is never parsed.
#[tokio::test]
async fn claimed_addresses_left_of_the_proxy_do_not_evade_the_limit() {
    let app = configured(&[("GOAT_TRUSTED_PROXIES", "10.0.0.0/8")]).await;
    let status = async |from: &str, headers: &[(&str, &str)]| {
        sign_in(&app, from, headers).send().await.status
    };
    for number in 0..20 {
        let claimed = format!("203.0.113.{number}, 198.51.100.7, 10.0.0.5");
        let headers = [("x-forwarded-for", &*claimed), ("x-real-ip", "203.0.113.99")];
        let expected = if number < 1 { 200 } else { 429 };
        assert_eq!(status("10.0.0.1", &headers).await, expected, "{claimed}");
    }
    // Another client of the proxy is another address, and a direct client is its own.
    let other = [("x-forwarded-for", "198.51.100.8")];
    assert_eq!(status("10.0.0.1", &other).await, 200);
    let forged = [("x-forwarded-for", "198.51.100.7")];
    assert_eq!(status("192.0.2.1", &forged).await, 200);
}

/// I2
#[tokio::test]
async fn forwarded_header_is_parsed_by_rfc_7239() {
    let proxies = ("GOAT_TRUSTED_PROXIES", "10.0.0.0/8");
    let app = configured(&[proxies, ("GOAT_FORWARDED_HEADER", "forwarded")]).await;
    for (values, expected) in [
        (vec!["for=203.0.113.9"], "203.0.113.9"),
        (vec!["For=203.0.113.9;proto=https;by=10.0.0.1"], "203.0.113.9"),
        (vec!["for=\"203.0.113.9:80\""], "203.0.113.9"),
        (vec!["for=\"[2001:db8::9]:4711\""], "2001:db8::9"),
        (vec!["for=198.51.100.7, for=203.0.113.9, for=10.1.1.1"], "203.0.113.9"),
        (vec!["for=203.0.113.9", "for=10.1.1.1"], "203.0.113.9"),
        (vec!["for=\"_hidden\", for=10.1.1.1"], "10.0.0.1"),
        (vec!["for=unknown"], "10.0.0.1"),
        (vec!["for=\"203.0.113.9"], "10.0.0.1"),
    ] {
        let headers: Vec<_> = values.iter().map(|value| ("forwarded", *value)).collect();
        assert_eq!(seen(&app, "10.0.0.1", &headers).await, expected, "{values:?}");
    }
    let other = [("x-forwarded-for", "203.0.113.9")];
    assert_eq!(seen(&app, "10.0.0.1", &other).await, "10.0.0.1");
}

/// B6
#[tokio::test]
async fn ipv6_is_counted_by_its_64_bit_prefix_and_mapped_addresses_as_ipv4() {
    let app = configured(&[]).await;
    for (first, same, other) in [
        ("2001:db8:1:1::1", "2001:db8:1:1:ffff::2", "2001:db8:1:2::1"),
        ("203.0.113.1", "::ffff:203.0.113.1", "::ffff:203.0.113.2"),
        ("198.51.100.1", "64:ff9b::198.51.100.1", "64:ff9b::198.51.100.2"),
    ] {
        assert_eq!(sign_in(&app, first, &[]).send().await.status, 200);
        assert_eq!(sign_in(&app, same, &[]).send().await.status, 429, "{same}");
        assert_eq!(sign_in(&app, other, &[]).send().await.status, 200, "{other}");
    }
}

/// I3
#[test]
fn trusted_proxies_must_be_address_ranges_and_not_everything() {
    for value in ["0.0.0.0/0", "::/0", "10.0.0.0/8, 0.0.0.0/0", "proxy.example.org", "localhost"] {
        let variables = [("GOAT_TRUSTED_PROXIES".into(), value.into())];
        let nowhere = Path::new("there-is-no.env");
        let refused = Settings::load(variables, &Flags::default(), nowhere);
        let refused = refused.map(|_| ()).expect_err(value);
        assert!(refused.problems[0].to_string().contains("GOAT_TRUSTED_PROXIES"), "{value}");
    }
}
