//! What is not about users: keys, health, readiness, metrics, and the page that documents them.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::app::{PASSWORD, TestApp, TestResponse};
use crate::support::backend::{Backend, on_every_backend};
use goat_core::testing::{Pauses, Point};
use goat_core::token::TokenKeys;
use goat_core::{Secret, Stores};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

/// RFC 7517: whoever has the document can verify a token, and needs nothing else.
#[tokio::test]
async fn the_published_keys_verify_a_token_and_no_altered_one() {
    let app = TestApp::new().await;
    let client = app.client().await;
    let answer = app.get("/.well-known/jwks.json").send().await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let [key] = answer.json["keys"].as_array().expect("a list").as_slice() else {
        panic!("one key: {}", answer.json)
    };
    let names: Vec<_> = key.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x"], "and nothing of the private key");
    assert_eq!(
        [&key["alg"], &key["crv"], &key["kty"], &key["use"]],
        ["EdDSA", "Ed25519", "OKP", "sig"]
    );
    let header = jsonwebtoken::decode_header(&client.token).expect("a header");
    assert_eq!(header.kid.as_deref(), key["kid"].as_str());

    let public = DecodingKey::from_ed_components(key["x"].as_str().expect("x")).expect("a key");
    let mut rules = Validation::new(Algorithm::EdDSA);
    // The clock of the test stands still, and this library reads that of the machine.
    (rules.validate_exp, rules.validate_aud) = (false, false);
    let verify = |token: &str| jsonwebtoken::decode::<Value>(token, &public, &rules);
    let claims = verify(&client.token).expect("a good signature").claims;
    assert_eq!(claims["sub"], client.id.to_string());
    let (signed, signature) = client.token.rsplit_once('.').expect("a signature");
    let other = app.admin().await.token;
    let (other, _) = other.rsplit_once('.').expect("a signature");
    assert_ne!(signed, other);
    verify(&format!("{other}.{signature}")).expect_err("the signature of another token");
}

#[tokio::test]
async fn a_secret_is_no_public_key() {
    let keys = TokenKeys::hs256(vec![Secret::new((0..64).collect())]).expect("a secret");
    let app = TestApp::with(|setup| setup.keys = keys).await;
    let client = app.client().await;
    assert_eq!(app.get("/.well-known/jwks.json").send().await.json, json!({"keys": []}));
    assert_eq!(app.get("/api/v1/user").bearer(&client.token).send().await.status, 200);
}

fn assert_not_ready(answer: &TestResponse, case: &str) {
    assert_eq!(answer.failure(), (503, "unavailable"), "{case}");
    assert!(!answer.header("retry-after").is_empty(), "{case}");
    let shown = answer.json.to_string();
    for word in ["users", "sessions", "store", "ping", "127.0.0.1", "localhost"] {
        assert!(!shown.contains(word), "{case}: {shown}");
    }
}

/// O2: readiness depends on the stores and liveness does not; both are bounded in time.
#[tokio::test(start_paused = true)]
async fn ready_is_a_503_while_a_store_fails_or_hangs_and_health_never_is() {
    let (stores, pauses) = Pauses::over(Stores::memory());
    let app = TestApp::with(|setup| setup.stores = stores).await;
    let ready = async || app.get("/api/ready").send().await;
    assert_eq!(ready().await.json, json!({"status": "ready"}));
    for call in ["users.ping", "sessions.ping"] {
        pauses.fail(call, Point::Entry);
        assert_not_ready(&ready().await, call);
        let held = pauses.hold(call, Point::Entry);
        let asked = tokio::time::Instant::now();
        assert_not_ready(&ready().await, call);
        let bound = Duration::from_millis(1_500);
        assert!(asked.elapsed() < bound, "{call}: {:?}", asked.elapsed());
        drop(held);
        assert_eq!(ready().await.status, 200, "{call}");
    }
    let _before = pauses.take_calls();
    let health = app.get("/api/health").send().await;
    assert_eq!(health.json, json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}));
    assert_eq!(pauses.take_calls(), [""; 0], "health touches nothing");
}

/// The exposition, as a scraper of the older format gets it.
async fn scrape(app: &TestApp) -> String {
    let answer = app.get("/api/metrics").send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    String::from_utf8(answer.body.to_vec()).expect("UTF-8")
}

/// The names of all series, with their labels and without their values.
fn series(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').expect("a value").0).collect()
}

on_every_backend!(metrics_tell_of_all_that_the_contract_names);

async fn metrics_tell_of_all_that_the_contract_names(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    for password in [PASSWORD, "wrong"] {
        let body = json!({"email": client.email, "password": password});
        app.post("/api/v1/auth/login").json(&body).send().await;
    }
    let body = json!({"refresh_token": client.refresh_token});
    app.post("/api/v1/auth/refresh").json(&body).send().await;
    app.get("/api/v1/user").bearer(&client.token).send().await;
    app.get("/api/v1/user").bearer(&client.token).send().await;
    let text = scrape(&app).await;
    let shown = series(&text);
    for expected in [
        r#"http_requests_total{method="POST",route="/api/v1/auth/login",status="200"}"#,
        r#"http_requests_total{method="POST",route="/api/v1/auth/login",status="401"}"#,
        r#"http_request_duration_seconds_count{method="GET",route="/api/v1/user",status="200"}"#,
        r#"http_request_duration_seconds_bucket{le="0.005",method="GET",route="/api/v1/user",status="200"}"#,
        r#"http_requests_in_flight{method="GET"}"#,
        r#"goat_logins_total{outcome="success"}"#,
        r#"goat_logins_total{outcome="invalid-credentials"}"#,
        r#"goat_refreshes_total{outcome="success"}"#,
        "goat_session_cache_hits_total",
        "goat_session_cache_misses_total",
        "goat_password_hashes_running",
        "goat_password_hashes_waiting",
        r#"goat_store_calls_total{operation="users.by_email"}"#,
        r#"goat_store_call_errors_total{operation="users.by_email"}"#,
        r#"goat_store_call_duration_seconds_count{operation="sessions.rotate"}"#,
    ] {
        assert!(shown.contains(expected), "{expected}: {text}");
    }
    // Of limits, where this process counts them.
    let counts_limits = app.goat.limits().load().is_some();
    for expected in ["goat_limit_keys", "goat_limit_overflows_total"] {
        assert_eq!(shown.contains(expected), counts_limits, "{expected}: {text}");
    }
    assert!(text.contains("goat_logins_total{outcome=\"invalid-credentials\"} 1\n"), "{text}");
    // L1: nobody is named.
    for secret in
        [&client.email, &client.id.to_string(), crate::support::app::CLIENT, &client.token]
    {
        assert!(!text.contains(secret), "{secret}");
    }
    let accepted = app.get("/api/metrics").header("accept", "application/openmetrics-text");
    let answer = accepted.send().await;
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    assert!(answer.body.ends_with(b"# EOF\n"));
}

/// L3
#[tokio::test]
async fn ten_thousand_paths_and_methods_leave_the_number_of_series_alone() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let send = async |number: usize| {
        let paths = [
            format!("/{number}"),
            format!("/api/v1/user/{number}"),
            format!("/api/v1/permission/role-{number}"),
            format!("/api/v1/user/list?page={number}x"),
            format!("/api/%{number}/v1"),
        ];
        let path = &paths[number % paths.len()];
        app.get(path).bearer(&admin.token).send().await;
        if number.is_multiple_of(10) {
            let method = format!("M{number}").parse().expect("a method");
            app.request(method, path).send().await;
        }
    };
    for number in 0..50 {
        send(number).await;
    }
    scrape(&app).await;
    let before = scrape(&app).await;
    for number in 50..10_000 {
        send(number).await;
    }
    let after = scrape(&app).await;
    assert_eq!(series(&before), series(&after));
    assert_ne!(before, after, "they were counted");
}

/// The policy of the page forbids what stands in the page itself.
#[tokio::test]
async fn the_page_has_no_script_or_style_of_its_own_and_loads_nothing_from_elsewhere() {
    let app = TestApp::new().await;
    let page = app.get("/api/docs").send().await;
    let policy = page.header("content-security-policy");
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ] {
        assert!(policy.split("; ").any(|part| part == rule), "{rule}: {policy}");
    }
    let text = String::from_utf8(page.body.to_vec()).expect("UTF-8");
    for script in text.split("<script").skip(1) {
        let (tag, rest) = script.split_once('>').expect("the end of a tag");
        assert!(tag.contains(" src="), "{tag}");
        assert!(rest.starts_with("</script>"), "an inline script: {rest}");
    }
    for asset in ["/api/docs", "/api/docs/page.js", "/api/docs/page.css"] {
        let answer = app.get(asset).send().await;
        let text = String::from_utf8(answer.body.to_vec()).expect("UTF-8");
        for elsewhere in ["http://", "https://", "javascript:", "@import", "eval("] {
            assert!(!text.contains(elsewhere), "{asset}: {elsewhere}");
        }
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    let document = app.get("/api/openapi.json").send().await;
    let policy = document.header("content-security-policy");
    assert_eq!(policy, "default-src 'none'; frame-ancestors 'none'");
}
