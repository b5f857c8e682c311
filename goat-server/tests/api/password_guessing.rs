//! Guessing passwords through the whole API: whose guesses count against whom, and when one may go
//! on, by a clock that only the test moves.

use std::time::Duration;

use goat_core::Quota;
use goat_server::start::settings::LimitSettings;
use serde_json::json;

use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, Setup, TestApp, TestResponse};
use crate::support::backend::Backend;

async fn guess(app: &TestApp, from: &str, headers: &[(&str, &str)], email: &str) -> TestResponse {
    let body = json!({ "email": email, "password": "not the password at all" });
    let mut request = app.post("/api/v1/auth/login").json(&body).from(from);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.send().await
}

/// Five guesses a minute by address, twelve by account.
async fn app(backend: Backend, trusted: &str) -> TestApp {
    TestApp::on_with(backend, |setup: &mut Setup| {
        setup.limits = LimitSettings { auth: Some(Quota::per_minute(5)), ..setup.limits.clone() };
        setup.goat.account_quota = Some(Quota::per_minute(12));
        setup.http.trusted_proxies = trusted.split_whitespace().flat_map(str::parse).collect();
    })
    .await
}

/// Waits as long as a response says, and shows that a second less would not have done.
async fn wait_as_told(app: &TestApp, refused: &TestResponse, from: &str, email: &str) {
    assert_eq!(refused.failure(), (429, "rate-limited"));
    let seconds: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!(seconds >= 1);
    app.clock.advance(Duration::from_secs(seconds - 1));
    assert_eq!(guess(app, from, &[], email).await.status, 429, "{seconds} was too long");
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(guess(app, from, &[], email).await.status, 401, "{seconds} was not enough");
}

on_every_backend!(who_waits_as_long_as_told_may_guess_again_from_an_address);

/// B1, B5: by address, whatever the account; also where the first guesses lie apart.
async fn who_waits_as_long_as_told_may_guess_again_from_an_address(backend: Backend) {
    let app = app(backend, "").await;
    for number in 0..5 {
        let email = format!("u{number}@example.org");
        assert_eq!(guess(&app, "192.0.2.1", &[], &email).await.status, 401);
        app.clock.advance(Duration::from_millis(1700));
    }
    let refused = guess(&app, "192.0.2.1", &[], "another@example.org").await;
    assert_eq!(guess(&app, "192.0.2.2", &[], "u0@example.org").await.status, 401);
    wait_as_told(&app, &refused, "192.0.2.1", "another@example.org").await;
}

on_every_backend!(who_waits_as_long_as_told_may_guess_an_account_again);

/// B1, B3, B5: by account, whatever the address and the spelling, whether there is one or not; an
/// address that is refused spends nothing of it.
async fn who_waits_as_long_as_told_may_guess_an_account_again(backend: Backend) {
    let app = app(backend, "").await;
    let ann = app.client().await;
    // The first sign-in of a user who was made here counts, as every other does.
    app.clock.advance(Duration::from_secs(60));
    let mut found = Vec::new();
    for email in [&*ann.email, "nobody@example.org"] {
        // Fifty from one address spend five of the account's, and no more.
        for number in 0..50 {
            let status = guess(&app, "192.0.2.9", &[], email).await.status;
            assert_eq!(status, if number < 5 { 401 } else { 429 });
        }
        app.clock.advance(Duration::from_secs(3));
        for number in 0..7 {
            let spelling = if number % 2 == 0 { email.to_uppercase() } else { format!(" {email}") };
            let from = format!("192.0.2.{}", 20 + number);
            assert_eq!(guess(&app, &from, &[], &spelling).await.status, 401, "{number}");
        }
        let refused = guess(&app, "198.51.100.1", &[], email).await;
        // Also for the one who knows the password: it is not asked.
        let right = json!({ "email": email, "password": PASSWORD });
        let shut = app.post("/api/v1/auth/login").json(&right).from("198.51.100.2").send().await;
        assert_eq!(shut.failure(), (429, "rate-limited"));
        found.push((
            refused.header("retry-after").to_owned(),
            refused.header("ratelimit").to_owned(),
        ));
        let mut from = 10;
        let seconds: u64 = refused.header("retry-after").parse().expect("seconds");
        app.clock.advance(Duration::from_secs(seconds - 1));
        assert_eq!(guess(&app, "198.51.100.3", &[], email).await.status, 429);
        app.clock.advance(Duration::from_secs(1));
        // Five left the window at once.
        while guess(&app, &format!("198.51.100.{from}"), &[], email).await.status == 401 {
            from += 1;
        }
        assert_eq!(from, 15);
        app.clock.advance(Duration::from_secs(60));
    }
    assert_eq!(found[0], found[1], "an account that is there looks like one that is not");
}

on_every_backend!(an_ipv6_network_is_one_address);

/// B6: who has a /64 has one address, and an IPv4 address in IPv6 is the IPv4 address.
async fn an_ipv6_network_is_one_address(backend: Backend) {
    let app = app(backend, "").await;
    for number in 0..5 {
        let from = format!("2001:db8:0:1:{number:x}::{number}");
        assert_eq!(guess(&app, &from, &[], &format!("u{number}@example.org")).await.status, 401);
    }
    assert_eq!(guess(&app, "2001:db8:0:1:ffff::1", &[], "x@example.org").await.status, 429);
    assert_eq!(guess(&app, "2001:db8:0:2::1", &[], "x@example.org").await.status, 401);
    for number in 0..5 {
        let from = if number % 2 == 0 { "::ffff:192.0.2.1" } else { "192.0.2.1" };
        assert_eq!(guess(&app, from, &[], &format!("v{number}@example.org")).await.status, 401);
    }
    for from in ["192.0.2.1", "::ffff:192.0.2.1"] {
        assert_eq!(guess(&app, from, &[], "x@example.org").await.status, 429, "{from}");
    }
}

on_every_backend!(behind_a_proxy_the_part_that_the_client_wrote_buys_no_guess);

/// I1, I2: what a client writes into the header itself, before the proxy adds to it, is never read.
async fn behind_a_proxy_the_part_that_the_client_wrote_buys_no_guess(backend: Backend) {
    let app = app(backend, "10.0.0.0/8").await;
    for number in 0..20 {
        let claimed = format!("203.0.113.{number}, 198.51.100.7, 10.0.0.5");
        let headers = [("x-forwarded-for", &*claimed), ("x-real-ip", "203.0.113.99")];
        let response = guess(&app, "10.0.0.1", &headers, &format!("u{number}@example.org")).await;
        assert_eq!(response.status, if number < 5 { 401 } else { 429 }, "{claimed}");
    }
    // Another client of the same proxy is another address; who comes past the proxy is their own.
    let other = [("x-forwarded-for", "198.51.100.8")];
    assert_eq!(guess(&app, "10.0.0.1", &other, "x@example.org").await.status, 401);
    let forged = [("x-forwarded-for", "198.51.100.7")];
    assert_eq!(guess(&app, "192.0.2.1", &forged, "x@example.org").await.status, 401);
}
