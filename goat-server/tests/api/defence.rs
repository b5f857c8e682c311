//! Defence of an attacked account: session control, password checks and device tokens.

use std::time::Duration;

use goat_core::{Quota, Status};
use http::Method;
use serde_json::{Value, json};

use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, Setup, TestApp, TestResponse, TestUser};
use crate::support::backend::Backend;

const NEW_PASSWORD: &str = "seven lamps over the quay";

impl TestApp {
    async fn login(&self, from: &str, body: Value) -> TestResponse {
        self.post("/api/v1/auth/login").json(&body).from(from).send().await
    }

    /// Fails to sign in from many addresses until the account is throttled.
    pub(crate) async fn throttle(&self, email: &str) {
        for number in 0_u32.. {
            let from = format!("198.51.{}.{}", number / 250, number % 250);
            let guess = self.login(&from, json!({"email": email, "password": "wrong"})).await;
            if guess.status == 429 {
                return;
            }
        }
    }

    /// Uses up the limit of a user, from another session.
    async fn use_up(&self, user: &TestUser) {
        let thief = self.sign_in(&user.email, PASSWORD).await;
        while self.get("/api/v1/user").bearer(&thief.token).send().await.status != 429 {}
    }
}

/// Asserts that each call of session control succeeds.
async fn assert_controls_sessions(app: &TestApp, user: &TestUser) {
    let request = app.delete("/api/v1/sessions").bearer(&user.token);
    let response = request.json(&json!({"others": true})).send().await;
    assert_eq!(response.status, 200, "{}", response.json);
    let change = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    let request = app.patch("/api/v1/user/change-password").bearer(&user.token);
    let response = request.json(&change).send().await;
    assert_eq!(response.status, 200, "{}", response.json);
    let token = response.data()["access_token"].as_str().expect("a token");
    let path = format!("/api/v1/sessions/{}", user.session);
    let response = app.delete(&path).bearer(token).send().await;
    assert_eq!(response.status, 204, "{}", response.json);
}

on_every_backend!(owner_of_an_exhausted_user_limit_controls_the_sessions);

/// D1: a stolen token that uses up the limit of the user does not keep its owner from ending sessions
/// and changing the password.
async fn owner_of_an_exhausted_user_limit_controls_the_sessions(backend: Backend) {
    let app = TestApp::on_with(backend, |setup| {
        setup.limits.user = Some(Quota::per_minute(3));
    })
    .await;
    let owner = app.client().await;
    app.use_up(&owner).await;
    assert_eq!(app.get("/api/v1/user").bearer(&owner.token).send().await.status, 429);
    assert_controls_sessions(&app, &owner).await;
    let other = app.client().await;
    app.use_up(&other).await;
    let logout = app.post("/api/v1/auth/logout").bearer(&other.token).send().await;
    assert_eq!(logout.status, 204);
}

on_every_backend!(session_control_counts_per_session);

/// D1: a thief who uses up session control in a stolen session does not keep the owner from a new one.
async fn session_control_counts_per_session(backend: Backend) {
    let app = TestApp::on_with(backend, Setup::shipped_limits).await;
    let stolen = app.client().await;
    let path = "/api/v1/sessions/01KDVDNA00GRWW3VTSM22P7MMD";
    for left in (0..30).rev() {
        let response = app.delete(path).bearer(&stolen.token).from("203.0.113.9").send().await;
        assert_eq!(response.failure(), (404, "not-found"));
        let shown = response.header("ratelimit");
        assert!(shown.ends_with(&format!("\"session-control\";r={left};t=60")), "{shown}");
    }
    let response = app.delete(path).bearer(&stolen.token).from("203.0.113.9").send().await;
    assert_eq!(response.failure(), (429, "rate-limited"));
    assert_eq!(response.header("retry-after"), "60");
    // The limit of the user is not charged.
    let response = app.get("/api/v1/user").bearer(&stolen.token).send().await;
    assert!(response.header("ratelimit").ends_with(r#""user";r=59;t=60"#));
    let owner = app.sign_in(&stolen.email, PASSWORD).await;
    assert_controls_sessions(&app, &owner).await;
}

on_every_backend!(owner_of_a_throttled_account_changes_password_and_address);

/// D2: failed sign-ins of strangers keep no signed-in user from changing password and address, or from
/// deleting the account.
async fn owner_of_a_throttled_account_changes_password_and_address(backend: Backend) {
    let app = TestApp::on_with(backend, Setup::shipped_limits).await;
    let owner = app.client().await;
    app.throttle(&owner.email).await;
    let send = async |method, path: &str, body: Value| {
        app.request(method, path).bearer(&owner.token).json(&body).send().await
    };
    let body = json!({"email": "new@example.org", "current_password": PASSWORD});
    let response = send(Method::PATCH, "/api/v1/user/change-email", body).await;
    assert_eq!(response.status, 200, "{}", response.json);
    let body = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    let response = send(Method::PATCH, "/api/v1/user/change-password", body).await;
    assert_eq!(response.status, 200, "{}", response.json);
    let token = response.data()["access_token"].as_str().expect("a token");
    let body = json!({"current_password": NEW_PASSWORD});
    let response = app.delete("/api/v1/user").bearer(token).json(&body).send().await;
    assert_eq!(response.status, 204, "{}", response.json);
}

on_every_backend!(current_passwords_count_against_the_session);

/// D2: by every route that takes a `current_password`, before it is verified.
async fn current_passwords_count_against_the_session(backend: Backend) {
    let app = TestApp::on_with(backend, |setup| {
        setup.goat.password_check_quota = Some(Quota::per_minute(3));
    })
    .await;
    let client = app.client().await;
    let send = async |method, path: &str, body: &Value| {
        app.request(method, path).bearer(&client.token).json(body).send().await
    };
    let routes = |password: &str| {
        [
            (
                Method::PATCH,
                "/api/v1/user/change-email",
                json!({"email": "x@example.org", "current_password": password}),
            ),
            (
                Method::PATCH,
                "/api/v1/user/change-password",
                json!({"current_password": password, "new_password": NEW_PASSWORD}),
            ),
            (Method::DELETE, "/api/v1/user", json!({"current_password": password})),
        ]
    };
    for (method, path, body) in routes("wrong") {
        assert_eq!(send(method, path, &body).await.failure(), (403, "wrong-password"), "{path}");
    }
    let _ = app.hasher.take_calls();
    for (method, path, body) in routes(PASSWORD) {
        let refused = send(method, path, &body).await;
        assert_eq!(refused.failure(), (429, "rate-limited"), "{path}");
        assert!(refused.header("ratelimit").ends_with(r#""password-check";r=0;t=60"#), "{path}");
    }
    assert_eq!(app.hasher.verifications(), 0);
    // Neither the account nor another session is affected.
    let other = app.sign_in(&client.email, PASSWORD).await;
    let body = json!({"current_password": PASSWORD});
    let deleted = app.delete("/api/v1/user").bearer(&other.token).json(&body).send().await;
    assert_eq!(deleted.status, 204);
}

on_every_backend!(device_of_the_owner_signs_in_to_a_throttled_account);

/// D3, D4
async fn device_of_the_owner_signs_in_to_a_throttled_account(backend: Backend) {
    let app = TestApp::on_with(backend, Setup::shipped_limits).await;
    app.add("ann@example.org", "client", Status::Active).await;
    app.add("ben@example.org", "client", Status::Active).await;
    let sign_in = async |number: usize, email: &str, device: Option<&Value>| {
        let mut body = json!({"email": email, "password": PASSWORD});
        if let Some(device) = device {
            body["device_token"] = device.clone();
        }
        app.login(&format!("192.0.2.{number}"), body).await
    };
    let ann = sign_in(1, "ann@example.org", None).await.data()["device_token"].clone();
    let ben = sign_in(2, "ben@example.org", None).await.data()["device_token"].clone();
    app.throttle("ann@example.org").await;
    assert_eq!(sign_in(3, "ann@example.org", None).await.failure(), (429, "rate-limited"));
    for (number, device) in [&ben, &json!("nonsense"), &json!("")].into_iter().enumerate() {
        let refused = sign_in(10 + number, "ann@example.org", Some(device)).await;
        assert_eq!(refused.failure(), (429, "rate-limited"), "{device}");
        assert!(refused.header("ratelimit").ends_with(r#""account";r=0;t=60"#));
    }
    let signed_in = sign_in(4, "ANN@example.org", Some(&ann)).await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.json);
    assert_eq!(
        signed_in.header("ratelimit"),
        r#""auth";r=4;t=60, "device";r=9;t=60, "device-day";r=49;t=86400"#
    );
    assert_ne!(signed_in.data()["device_token"], ann);
    // It is no other token, and no other member than a string.
    let token = ann.as_str().expect("a string");
    let verify = app.get("/api/v1/auth/verify").bearer(token).send().await;
    assert_eq!(verify.failure(), (401, "invalid-token"));
    let refresh = app.post("/api/v1/auth/refresh").json(&json!({"refresh_token": token}));
    assert_eq!(refresh.send().await.failure(), (401, "invalid-token"));
    for device in [Value::Null, json!(1), json!([token])] {
        let refused = sign_in(5, "ben@example.org", Some(&device)).await;
        assert_eq!(
            (refused.failure(), refused.fields()),
            ((400, "validation"), vec!["device_token"])
        );
        app.clock.advance(Duration::from_secs(20));
    }
}

on_every_backend!(guesses_over_days_are_bounded);

/// B10: a hundred failures in 24 hours, at any pace; the owner's device is not affected, and its login
/// resets the count.
async fn guesses_over_days_are_bounded(backend: Backend) {
    let app = TestApp::on_with(backend, Setup::shipped_limits).await;
    app.add("ann@example.org", "client", Status::Active).await;
    let right = json!({"email": "ann@example.org", "password": PASSWORD});
    let device = app.login("192.0.2.1", right.clone()).await.data()["device_token"].clone();
    let guess = async || {
        app.clock.advance(Duration::from_secs(120));
        app.login("192.0.2.9", json!({"email": "ann@example.org", "password": "wrong"})).await
    };
    for number in 0..100 {
        let response = guess().await;
        assert_eq!(response.status, 401, "{number}");
        assert_eq!(response.header("ratelimit"), r#""auth";r=4;t=60"#, "B12");
    }
    let refused = guess().await;
    assert_eq!(refused.failure(), (429, "rate-limited"));
    // 24 hours after the first.
    let wait = 86_400 - 100 * 120;
    assert_eq!(refused.header("retry-after"), wait.to_string());
    assert_eq!(
        refused.header("ratelimit"),
        format!(r#""auth";r=4;t=60, "account-day";r=0;t={wait}"#)
    );
    let mut with_device = right.clone();
    with_device["device_token"] = device;
    assert_eq!(app.login("192.0.2.2", with_device).await.status, 200);
    app.clock.advance(Duration::from_secs(2));
    assert_eq!(app.login("192.0.2.3", right).await.status, 200, "the success has reset the count");
}

on_every_backend!(an_ipv6_48_has_sixteen_times_the_quota);

/// B9: for every limit by address.
async fn an_ipv6_48_has_sixteen_times_the_quota(backend: Backend) {
    let app = TestApp::on_with(backend, |setup| {
        let twice = Some(Quota::per_minute(2));
        setup.limits.auth = twice;
        setup.limits.refresh = twice;
        setup.limits.public = twice;
        setup.limits.address = twice;
    })
    .await;
    let empty = json!({});
    for (method, path, body, limit) in [
        (Method::POST, "/api/v1/auth/login", Some(&empty), "auth"),
        (Method::POST, "/api/v1/auth/signup", Some(&empty), "auth"),
        (Method::POST, "/api/v1/auth/refresh", Some(&empty), "refresh"),
        (Method::GET, "/nowhere", None, "public"),
        (Method::GET, "/api/v1/user", None, "address"),
    ] {
        let ask = async |from: &str| {
            let request = app.request(method.clone(), path).from(from);
            let request = if let Some(body) = body { request.json(body) } else { request };
            request.send().await
        };
        let mut admitted = 0;
        for subnet in 0..40 {
            admitted += usize::from(ask(&format!("2001:db8:9:{subnet:x}::1")).await.status != 429);
        }
        assert_eq!(admitted, 32, "{path}");
        let refused = ask("2001:db8:9:1::1").await;
        assert_eq!(refused.failure(), (429, "rate-limited"), "{path}");
        let policy = format!("\"{limit}\";q=32;w=60");
        assert_eq!(refused.header("ratelimit-policy"), policy, "{path}");
        assert_ne!(ask("2001:db8:a:1::1").await.status, 429, "{path}: another /48");
        assert_ne!(ask("192.0.2.1").await.status, 429, "{path}");
        app.clock.advance(Duration::from_secs(60));
    }
}

on_every_backend!(change_email_counts_with_sign_up);

/// E3: change-email is no way around the limit of sign-up.
async fn change_email_counts_with_sign_up(backend: Backend) {
    let app = TestApp::on_with(backend, Setup::shipped_limits).await;
    app.add("taken@example.org", "client", Status::Active).await;
    let client = app.client().await;
    let body = json!({"email": "taken@example.org", "current_password": PASSWORD});
    let change = async || {
        app.patch("/api/v1/user/change-email").bearer(&client.token).json(&body).send().await
    };
    for left in (2..5).rev() {
        let response = change().await;
        assert_eq!(response.failure(), (409, "email-taken"));
        assert!(response.header("ratelimit").contains(&format!("\"auth\";r={left};t=60")));
    }
    for _ in 0..2 {
        assert_eq!(app.post("/api/v1/auth/signup").json(&json!({})).send().await.status, 400);
    }
    let refused = change().await;
    assert_eq!(refused.failure(), (429, "rate-limited"));
    assert!(refused.header("ratelimit").ends_with(r#""auth";r=0;t=60"#));
    assert_eq!(app.post("/api/v1/auth/signup").json(&json!({})).send().await.status, 429);
    // Login is counted separately.
    let login = json!({"email": "taken@example.org", "password": PASSWORD});
    let from = crate::support::app::CLIENT;
    assert_eq!(app.login(from, login).await.status, 200);
}
