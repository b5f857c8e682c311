//! Rate limits: their keys, their headers, and `Retry-After`.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use goat_core::{Quota, Status};
use serde_json::json;
use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;

use crate::backends::on_every_backend;
use crate::support::app::{CLIENT, PASSWORD, Setup, TestApp, TestResponse};
use crate::support::backend::Backend;

const LOGIN: &str = "/api/v1/auth/login";

async fn login(app: &TestApp, from: &str, email: &str, password: &str) -> TestResponse {
    let body = json!({"email": email, "password": password});
    app.post(LOGIN).json(&body).from(from).send().await
}

fn address(number: usize) -> String {
    format!("198.51.{}.{}", number / 250, number % 250 + 1)
}

/// The parameters of one limit in a header such as `"auth";r=4;t=60`.
fn item<'a>(response: &'a TestResponse, header: &str, limit: &str) -> &'a str {
    let items = response.header(header).split(", ");
    let start = format!("\"{limit}\";");
    items.into_iter().find_map(|item| item.strip_prefix(start.as_str())).unwrap_or_default()
}

on_every_backend!(account_limit_counts_all_addresses_and_spellings_known_or_unknown);

/// B1
async fn account_limit_counts_all_addresses_and_spellings_known_or_unknown(backend: Backend) {
    let app = TestApp::on_with(backend, Setup::shipped_limits).await;
    app.add("ann@example.org", "client", Status::Active).await;
    let known = [
        "ann@example.org",
        "ANN@EXAMPLE.ORG",
        " ann@example.org ",
        "Ann@Example.Org\t",
        "ann@ｅｘａｍｐｌｅ.org",
    ];
    let unknown = ["unknown@example.org", "Unknown@example.org ", "UNKNOWN@EXAMPLE.ORG"];
    let mut number = 0;
    for spellings in [&known[..], &unknown[..]] {
        for attempt in 0..50_usize {
            let email = spellings[attempt % spellings.len()];
            let response = login(&app, &address(number), email, "wrong").await;
            number += 1;
            assert_eq!(response.failure(), (401, "invalid-credentials"), "{attempt}");
            assert_eq!(item(&response, "ratelimit", "account"), "", "B12");
        }
        let _ = app.hasher.take_calls();
        for email in spellings {
            // With the right password too: a limited response reveals nothing.
            let response = login(&app, &address(number), email, PASSWORD).await;
            number += 1;
            assert_eq!(response.failure(), (429, "rate-limited"), "{email}");
            assert_eq!(response.header("retry-after"), "60");
            assert_eq!(response.header("ratelimit"), r#""auth";r=4;t=60, "account";r=0;t=60"#);
            assert_eq!(response.header("x-ratelimit-remaining"), "0");
            assert_eq!(response.header("x-ratelimit-limit"), "50");
        }
        // E1: limited attempts do not reach the hasher.
        assert_eq!(app.hasher.verifications(), 0);
    }
}

on_every_backend!(address_limit_counts_all_accounts_and_protects_the_account_quota);

/// B1, B3
async fn address_limit_counts_all_accounts_and_protects_the_account_quota(backend: Backend) {
    let app = TestApp::on_with(backend, Setup::shipped_limits).await;
    app.add("ann@example.org", "client", Status::Active).await;
    for number in 0..5 {
        let email = format!("unknown-{number}@example.org");
        assert_eq!(login(&app, "192.0.2.66", &email, "wrong").await.status, 401);
    }
    for _ in 0..100 {
        let response = login(&app, "192.0.2.66", "ann@example.org", "wrong").await;
        assert_eq!(response.failure(), (429, "rate-limited"));
        assert_eq!(response.header("ratelimit"), r#""auth";r=0;t=60"#);
    }
    // The limited attempts did not count: the account has fifty.
    for number in 0..50 {
        let response = login(&app, &address(number), "ann@example.org", "wrong").await;
        assert_eq!(response.status, 401, "{number}");
    }
    assert_eq!(login(&app, "192.0.2.67", "ann@example.org", PASSWORD).await.status, 429);
}

on_every_backend!(multi_thread concurrent_attempts_do_not_exceed_the_limits);

/// B2
async fn concurrent_attempts_do_not_exceed_the_limits(backend: Backend) {
    for (spread, most) in [(false, 5), (true, 10)] {
        let app = TestApp::on_with(backend, |setup| {
            setup.shipped_limits();
            setup.goat.account_quota = Some(Quota::per_minute(10));
        });
        let app = Arc::new(app.await);
        app.add("ann@example.org", "client", Status::Active).await;
        let _ = app.hasher.take_calls();
        let guesses: Vec<_> = (0..100)
            .map(|number| {
                let app = Arc::clone(&app);
                let from = address(if spread { number } else { 0 });
                tokio::spawn(async move { login(&app, &from, "ann@example.org", "wrong").await })
            })
            .collect();
        let mut statuses = Vec::new();
        for guess in guesses {
            statuses.push(guess.await.expect("a response").status);
        }
        let count = |status| statuses.iter().filter(|other| **other == status).count();
        assert_eq!((count(401), count(429)), (most, 100 - most), "{statuses:?}");
        assert_eq!(app.hasher.verifications(), most);
    }
}

on_every_backend!(request_after_retry_after_succeeds);

/// B3, B5
async fn request_after_retry_after_succeeds(backend: Backend) {
    let app = TestApp::on_with(backend, Setup::shipped_limits).await;
    app.add("ann@example.org", "client", Status::Active).await;
    app.clock.advance(Duration::from_millis(250));
    // Five attempts spread over the window, which leave it one by one.
    for _ in 0..5 {
        assert_eq!(login(&app, "192.0.2.1", "ann@example.org", "wrong").await.status, 401);
        app.clock.advance(Duration::from_millis(7_300));
    }
    for _ in 0..4 {
        let refused = login(&app, "192.0.2.1", "ann@example.org", PASSWORD).await;
        assert_eq!(refused.status, 429);
        let wait: u64 = refused.header("retry-after").parse().expect("whole seconds");
        assert!((1..=60).contains(&wait), "{wait}");
        assert_eq!(item(&refused, "ratelimit", "auth"), format!("r=0;t={wait}"));
        // One second less is too early.
        app.clock.advance(Duration::from_secs(wait - 1));
        assert_eq!(login(&app, "192.0.2.1", "ann@example.org", PASSWORD).await.status, 429);
        app.clock.advance(Duration::from_secs(1));
        assert_eq!(login(&app, "192.0.2.1", "ann@example.org", PASSWORD).await.status, 200);
    }
}

on_every_backend!(retry_after_is_rounded_up_to_whole_seconds);

/// B5
async fn retry_after_is_rounded_up_to_whole_seconds(backend: Backend) {
    let app = TestApp::on_with(backend, |setup| {
        setup.limits.public = Some(Quota::new(1, Duration::from_millis(1_500)));
    })
    .await;
    let path = "/.well-known/jwks.json";
    assert_eq!(app.get(path).send().await.status, 200);
    for (advance, wait) in [(0, "2"), (499, "2"), (1, "1"), (999, "1")] {
        app.clock.advance(Duration::from_millis(advance));
        let refused = app.get(path).send().await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, wait), "{advance}");
    }
    app.clock.advance(Duration::from_millis(1));
    assert_eq!(app.get(path).send().await.status, 200);
}

on_every_backend!(limited_requests_are_not_charged_and_successes_are);

async fn limited_requests_are_not_charged_and_successes_are(backend: Backend) {
    let app = TestApp::on_with(backend, Setup::shipped_limits).await;
    app.add("ann@example.org", "client", Status::Active).await;
    for left in (0..5).rev() {
        let response = login(&app, "192.0.2.1", "ann@example.org", PASSWORD).await;
        assert_eq!(response.status, 200);
        assert_eq!(item(&response, "ratelimit", "auth"), format!("r={left};t=60"));
    }
    app.clock.advance(Duration::from_secs(30));
    for _ in 0..50 {
        assert_eq!(login(&app, "192.0.2.1", "ann@example.org", PASSWORD).await.status, 429);
    }
    // If the fifty were charged, the window would start again with each.
    app.clock.advance(Duration::from_secs(30));
    assert_eq!(login(&app, "192.0.2.1", "ann@example.org", PASSWORD).await.status, 200);
}

on_every_backend!(each_route_reports_the_limits_that_it_charges);

async fn each_route_reports_the_limits_that_it_charges(backend: Backend) {
    let app = TestApp::on_with(backend, Setup::shipped_limits).await;
    app.clock.advance(Duration::from_millis(1_250));
    let client = app.client().await;
    let credentials = json!({"email": "ann@example.org", "password": PASSWORD});
    let refresh = json!({"refresh_token": client.refresh_token});
    let change = json!({"email": "bea@example.org", "current_password": PASSWORD});
    let password =
        json!({"current_password": "wrong", "new_password": "seven lamps over the quay"});
    let bearer = &client.token;
    let responses = [
        (app.post("/api/v1/auth/signup").json(&credentials), "auth", "5"),
        (app.post(LOGIN).json(&credentials), "auth", "5"),
        (app.post("/api/v1/auth/refresh").json(&refresh), "refresh", "60"),
        (app.post("/api/v1/auth/refresh").json(&json!({})), "refresh", "60"),
        (app.get("/.well-known/jwks.json"), "public", "100"),
        (app.get("/api/openapi.json"), "public", "100"),
        (app.get("/nowhere"), "public", "100"),
        (app.get("/api/v1/auth/verify").bearer(bearer), "address verify", "300"),
        (app.get("/api/v1/user").bearer(bearer), "address user", "60"),
        (app.get("/api/v1/auth/verify").bearer("nonsense"), "address", "300"),
        (app.get("/api/v1/user").bearer("nonsense"), "address", "300"),
        (app.get("/api/v1/user"), "address", "300"),
        (app.patch("/api/v1/user"), "address", "300"),
        (
            app.patch("/api/v1/user/change-email").bearer(bearer).json(&change),
            "address user auth password-check",
            "5",
        ),
        (app.delete("/api/v1/sessions").bearer(bearer), "address session-control", "30"),
        (app.delete("/api/v1/keys/x").bearer(bearer), "address session-control", "30"),
        (app.post("/api/v1/keys").bearer(bearer), "address user", "60"),
        (
            app.patch("/api/v1/user/change-password").bearer(bearer).json(&password),
            "address session-control password-check",
            "10",
        ),
        (app.post("/api/v1/auth/logout").bearer(bearer), "address session-control", "30"),
        (app.get("/api/health"), "", ""),
        (app.get("/api/ready"), "", ""),
        (app.get("/api/metrics"), "", ""),
    ];
    for (request, names, least) in responses {
        let response = request.send().await;
        let shown = |header: &str| {
            let items = response.header(header).split(", ").filter(|item| !item.is_empty());
            items.map(|item| item.split('"').nth(1).expect("a name")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!((shown("ratelimit"), shown("ratelimit-policy")), (names.into(), names.into()));
        assert_eq!(response.header("x-ratelimit-limit"), least, "{names}");
        let reset = if names.is_empty() { "" } else { "1767225662" };
        assert_eq!(response.header("x-ratelimit-reset"), reset, "{names}: rounded up");
        assert_eq!(response.header("retry-after"), "", "{names}");
    }
}

on_every_backend!(signup_and_login_are_counted_separately);

async fn signup_and_login_are_counted_separately(backend: Backend) {
    let app = TestApp::on_with(backend, Setup::shipped_limits).await;
    for _ in 0..5 {
        assert_eq!(app.post("/api/v1/auth/signup").json(&json!({})).send().await.status, 400);
    }
    assert_eq!(app.post("/api/v1/auth/signup").json(&json!({})).send().await.status, 429);
    for _ in 0..5 {
        assert_eq!(login(&app, CLIENT, "a@example.org", "wrong").await.status, 401);
    }
    assert_eq!(login(&app, CLIENT, "a@example.org", "wrong").await.status, 429);
}

on_every_backend!(user_limit_counts_all_sessions_and_addresses);

async fn user_limit_counts_all_sessions_and_addresses(backend: Backend) {
    let app =
        TestApp::on_with(backend, |setup| setup.limits.user = Some(Quota::per_minute(2))).await;
    let client = app.client().await;
    let other = app.sign_in(&client.email, PASSWORD).await;
    let get = async |token: &str, from: &str| {
        app.get("/api/v1/user").bearer(token).from(from).send().await
    };
    assert_eq!(get(&client.token, "192.0.2.1").await.status, 200);
    assert_eq!(get(&other.token, "192.0.2.2").await.status, 200);
    let refused = get(&other.token, "192.0.2.3").await;
    assert_eq!(refused.failure(), (429, "rate-limited"));
    assert_eq!(refused.header("cache-control"), "no-store");
    assert_eq!(get(&app.client().await.token, "192.0.2.1").await.status, 200);
}

#[tokio::test]
async fn disabled_limits_send_no_headers() {
    let app = TestApp::with(|setup| {
        setup.limits.auth = None;
        setup.goat.account_quota = None;
        setup.goat.account_day_quota = None;
    })
    .await;
    let response = login(&app, CLIENT, "a@example.org", "wrong").await;
    for header in ["ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-reset"] {
        assert_eq!(response.header(header), "");
    }
}

on_every_backend!(account_limit_is_the_same_for_known_and_unknown_accounts);

/// B1, B3, B5: an address above its own limit does not use up the quota of the account.
async fn account_limit_is_the_same_for_known_and_unknown_accounts(backend: Backend) {
    let app = TestApp::on_with(backend, |setup| {
        setup.limits.auth = Some(Quota::per_minute(5));
        setup.goat.account_quota = Some(Quota::per_minute(12));
    })
    .await;
    let guess = async |from: &str, email: &str| login(&app, from, email, "wrong").await;
    let ann = app.client().await;
    // The login by the setup counts too.
    app.clock.advance(Duration::from_secs(60));
    let mut headers = Vec::new();
    for email in [&*ann.email, "unknown@example.org"] {
        // Fifty attempts from one address use five of the account's quota.
        for number in 0..50 {
            let status = guess("192.0.2.9", email).await.status;
            assert_eq!(status, if number < 5 { 401 } else { 429 });
        }
        app.clock.advance(Duration::from_secs(3));
        for number in 0..7 {
            let spelling = if number % 2 == 0 { email.to_uppercase() } else { format!(" {email}") };
            let from = format!("192.0.2.{}", 20 + number);
            assert_eq!(guess(&from, &spelling).await.status, 401, "{number}");
        }
        let limited = guess("198.51.100.1", email).await;
        // The right password is not checked either.
        let right = login(&app, "198.51.100.2", email, PASSWORD).await;
        assert_eq!(right.failure(), (429, "rate-limited"));
        headers.push((
            limited.header("retry-after").to_owned(),
            limited.header("ratelimit").to_owned(),
        ));
        let mut from = 10;
        let seconds: u64 = limited.header("retry-after").parse().expect("seconds");
        app.clock.advance(Duration::from_secs(seconds - 1));
        assert_eq!(guess("198.51.100.3", email).await.status, 429);
        app.clock.advance(Duration::from_secs(1));
        // Five attempts leave the window at once.
        while guess(&format!("198.51.100.{from}"), email).await.status == 401 {
            from += 1;
        }
        assert_eq!(from, 15);
        app.clock.advance(Duration::from_secs(60));
    }
    assert_eq!(headers[0], headers[1], "known and unknown accounts look the same");
}

#[tokio::test]
async fn limits_are_reported_by_name_and_precede_other_failures() {
    let app = TestApp::with(Setup::shipped_limits).await;
    let client = app.client().await;
    let profile = app.get("/api/v1/user").bearer(&client.token).send().await;
    assert_eq!(profile.header("ratelimit-policy"), r#""address";q=300;w=60, "user";q=60;w=60"#);
    assert_eq!(profile.header("x-ratelimit-remaining"), "59");

    let right = json!({"email": client.email, "password": PASSWORD});
    let response = app.post("/api/v1/auth/login").json(&right).send().await;
    assert_eq!(response.header("ratelimit-policy"), r#""auth";q=5;w=60"#);
    assert_eq!(response.header("ratelimit"), r#""auth";r=4;t=60"#);
    let wrong = json!({"email": client.email, "password": "wrong"});
    for left in (0..4).rev() {
        let response = app.post("/api/v1/auth/login").json(&wrong).send().await;
        assert_eq!(response.status, 401);
        assert!(response.header("ratelimit").starts_with(&format!("\"auth\";r={left};")));
    }
    let refused = app.post("/api/v1/auth/login").body("text/plain", "x").send().await;
    assert_eq!(refused.failure(), (429, "rate-limited"));
    assert_eq!(refused.header("retry-after"), "60");
    assert_eq!(refused.header("ratelimit"), r#""auth";r=0;t=60"#);
    // Other routes and other addresses are counted separately.
    assert_eq!(app.post("/api/v1/auth/signup").json(&json!({})).send().await.status, 400);
    let elsewhere = app.post("/api/v1/auth/login").json(&wrong).from("192.0.2.8").send().await;
    assert_eq!(elsewhere.status, 401);
    app.clock.advance(Duration::from_secs(60));
    assert_eq!(app.post("/api/v1/auth/login").json(&right).send().await.status, 200);
}

/// Even a limit of many routes.
#[tokio::test]
async fn each_limit_is_logged_once_at_the_start() {
    // With a single subscriber, tracing caches whether the first thread that reaches a line wants it,
    // and that may be the thread of another test.
    let _second = Dispatch::new(NoSubscriber::new());
    let app = TestApp::with(Setup::shipped_limits).await;
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || Lines(Arc::clone(&writer)))
        .finish();
    let _ =
        tracing::subscriber::with_default(subscriber, || app.api.clone().into_service::<Body>());
    let text = String::from_utf8(log.lock().expect("no panic").clone());
    let text = text.expect("UTF-8");
    let lines = text.lines().map(|line| line.split_once("goat_tower::limit: ").expect(line).1);
    let mut lines: Vec<_> = lines.collect();
    lines.sort_unstable();
    let limits = &app.limits;
    let says = |name, quota: Option<Quota>, by| {
        format!("limit \"{name}\": {}, counted by {by}", quota.expect("a default limit"))
    };
    let expected = [
        says("address", limits.address, "address"),
        says("auth", limits.auth, "address as \"login\""),
        says("auth", limits.auth, "address as \"login-confirm\""),
        says("auth", limits.auth, "address as \"signup\""),
        says("public", limits.public, "address"),
        says("refresh", limits.refresh, "address"),
        says("session-control", limits.session_control, "session"),
        says("user", limits.user, "user"),
        says("verify", limits.verify, "user"),
    ];
    assert_eq!(lines, expected);
}

/// A writer that collects the log.
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
