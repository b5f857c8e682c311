//! `POST /api/v1/auth/login/confirm`, and the pending sign-ins that it answers.

use std::time::Duration;

use goat_core::access::permissions::SESSION_CREATE;
use goat_core::factor::FactorKind;
use goat_core::testing::TestFactors;
use goat_core::{Actor, Quota, Status, UserId};
use goat_server::api::{Rule, table};
use goat_tower::cookie::Cookies;
use serde_json::{Value, json};

use super::{LOGIN, login, members, post, refresh};
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp, TestResponse, TestUser};
use crate::support::backend::Backend;

const CONFIRM: &str = "/api/v1/auth/login/confirm";
const STEP_UP: &str = "/api/v1/auth/step-up";

const HELD: (u16, &str) = (401, "second-factor-required");
const INVALID: (u16, &str) = (400, "invalid-challenge");

/// Adds a user with an authenticator app.
async fn enrolled(app: &TestApp, email: &str) -> UserId {
    let user = app.add(email, "client", Status::Active).await;
    app.factors.enrol(user, FactorKind::Totp, app.goat.time().now());
    user
}

/// Signs in with the right password; returns the members of the problem that an answer needs.
async fn hold(app: &TestApp, email: &str) -> Value {
    let response = login(app, email, PASSWORD).await;
    assert_eq!(response.failure(), HELD, "{}", response.json);
    json!({"challenge": response.json["challenge"], "secret": response.json["secret"]})
}

fn with(pending: &Value, members: &Value) -> Value {
    let mut body = pending.clone();
    for (name, value) in members.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

async fn confirm(app: &TestApp, pending: &Value, members: Value) -> TestResponse {
    post(app, CONFIRM, &with(pending, &members)).await
}

fn code() -> Value {
    json!({"code": TestFactors::CODE})
}

on_every_backend!(sign_in_with_a_factor_in_force_is_confirmed_by_its_code);

/// G1
async fn sign_in_with_a_factor_in_force_is_confirmed_by_its_code(backend: Backend) {
    let app = TestApp::on(backend).await;
    let ann = enrolled(&app, "ann@example.org").await;
    let wrong = login(&app, "ann@example.org", "wrong").await;
    assert_eq!(wrong.failure(), (401, "invalid-credentials"), "no word of the factor");
    let response = login(&app, "ann@example.org", PASSWORD).await;
    assert_eq!(response.failure(), HELD);
    assert_eq!(response.header("www-authenticate"), r#"Bearer realm="goat""#);
    assert_eq!(response.header("cache-control"), "no-store");
    let problem = &response.json;
    assert_eq!(
        members(problem),
        [
            "challenge",
            "code",
            "detail",
            "enrol",
            "expires_at",
            "instance",
            "methods",
            "request_id",
            "secret",
            "status",
            "title",
            "type",
        ]
    );
    assert_eq!(problem["methods"], json!(["totp", "recovery_code"]));
    assert_eq!(problem["enrol"], json!([]));
    assert_eq!(problem["expires_at"], "2026-01-01T00:10:00.000Z");
    assert_eq!(problem["secret"].as_str().expect("a text").len(), 52);

    app.clock.advance(Duration::from_secs(30));
    let pending = json!({"challenge": problem["challenge"], "secret": problem["secret"]});
    let response = confirm(&app, &pending, code()).await;
    assert_eq!(response.status, 200, "{}", response.json);
    assert_eq!(response.header("cache-control"), "no-store");
    assert_eq!(
        members(response.data()),
        [
            "access_token",
            "access_token_expires_at",
            "device_token",
            "expires_in",
            "refresh_token",
            "refresh_token_expires_at",
            "token_type",
            "user",
        ]
    );
    assert_eq!(response.data()["user"]["id"], ann.to_string());
    let token = response.data()["access_token"].as_str().expect("a token");
    let sessions = app.get("/api/v1/sessions").bearer(token).send().await;
    let session = &sessions.data()[0];
    assert_eq!(session["methods"], json!(["password", "totp"]));
    assert_eq!(session["assurance"], "multi");
    assert_eq!(session["authenticated_at"], "2026-01-01T00:00:30.000Z");
    let verified =
        app.get("/api/v1/auth/verify?assurance=multi&max_age=60").bearer(token).send().await;
    assert_eq!((verified.status, verified.header("x-goat-assurance")), (204, "multi"));

    let again = confirm(&app, &pending, code()).await;
    assert_eq!(again.failure(), INVALID, "it answers once");
    let pending = hold(&app, "ann@example.org").await;
    let recovery = json!({"recovery_code": TestFactors::RECOVERY_CODE});
    assert_eq!(confirm(&app, &pending, recovery).await.status, 200);
}

on_every_backend!(pending_sign_in_ends_after_ten_minutes_five_answers_or_a_suspension);

/// G2: what was wrong does not show.
async fn pending_sign_in_ends_after_ten_minutes_five_answers_or_a_suspension(backend: Backend) {
    let app = TestApp::on(backend).await;
    let ann = enrolled(&app, "ann@example.org").await;
    let pending = hold(&app, "ann@example.org").await;
    let other = hold(&app, "ann@example.org").await;
    let mut responses = Vec::new();
    for (secret, answer) in [
        (&pending["secret"], json!({"code": "000000"})),
        (&pending["secret"], json!({"recovery_code": "000000"})),
        (&pending["secret"], json!({"code": ""})),
        (&other["secret"], code()),
        (&json!(""), code()),
        (&pending["secret"], code()),
    ] {
        let body = json!({"challenge": pending["challenge"], "secret": secret});
        responses.push(confirm(&app, &body, answer).await);
    }
    let unknown = json!({"challenge": "01KDWMBY00C8X0F4ZCV7J3T9QH", "secret": "x"});
    responses.push(confirm(&app, &unknown, code()).await);
    for response in &responses {
        assert_eq!(response.failure(), INVALID);
        assert_eq!(response.json["detail"], responses[0].json["detail"]);
        assert_eq!(response.header("www-authenticate"), "");
    }
    app.clock.advance(Duration::from_secs(599));
    assert_eq!(confirm(&app, &other, code()).await.status, 200);
    let late = hold(&app, "ann@example.org").await;
    app.clock.advance(Duration::from_secs(600));
    assert_eq!(confirm(&app, &late, code()).await.failure(), INVALID);
    let pending = hold(&app, "ann@example.org").await;
    for status in [Status::Suspended, Status::Active] {
        let changed = app.goat.users().change_status(Actor::system("a test"), ann, status).await;
        changed.expect("changed");
    }
    assert_eq!(confirm(&app, &pending, code()).await.failure(), INVALID);
}

#[tokio::test]
async fn exactly_one_answer_is_given() {
    let app = TestApp::new().await;
    enrolled(&app, "ann@example.org").await;
    let pending = hold(&app, "ann@example.org").await;
    for (body, fields) in [
        (json!({}), vec!["code", "recovery_code", "challenge", "secret"]),
        (pending.clone(), vec!["code", "recovery_code"]),
        (
            with(&pending, &json!({"code": "1", "recovery_code": "2"})),
            vec!["code", "recovery_code"],
        ),
        (with(&pending, &json!({"code": 123_456})), vec!["code"]),
        (with(&pending, &json!({"code": null})), vec!["code"]),
        (with(&pending, &json!({"code": "1", "challenge": "x"})), vec!["challenge"]),
        (with(&pending, &json!({"code": "1", "secret": 7})), vec!["secret"]),
        (with(&pending, &json!({"code": "1", "session": "cookie"})), vec!["session"]),
        (with(&pending, &json!({"code": "1", "credential": {}})), vec!["credential"]),
        (with(&pending, &json!({"code": "1", "password": "x"})), vec!["password"]),
    ] {
        let response = post(&app, CONFIRM, &body).await;
        assert_eq!(response.failure(), (400, "validation"), "{body}");
        assert_eq!(response.fields(), fields, "{body}");
    }
    assert_eq!(confirm(&app, &pending, code()).await.status, 200, "none of them was an answer");
}

on_every_backend!(a_pending_sign_in_is_refused_wherever_a_session_is_asked_for);

/// G2: on every route of the table, as bearer, in the cookie, and as refresh token.
async fn a_pending_sign_in_is_refused_wherever_a_session_is_asked_for(backend: Backend) {
    let app = TestApp::on_with(backend, |setup| {
        setup.every_route();
        setup.http.session_cookies = Some(Cookies::new());
    })
    .await;
    enrolled(&app, "ann@example.org").await;
    let admin = app.admin().await;
    let pending = hold(&app, "ann@example.org").await;
    let texts = ["secret", "challenge"].map(|name| pending[name].as_str().expect("a text"));
    let mut refused = 0;
    for endpoint in table() {
        let path = endpoint.path().replace("{id}", &admin.id.to_string());
        let path = path.replace("{key}", "client").replace("{name}", "client");
        for text in texts {
            let case = format!("{} {path}", endpoint.method());
            let request = || app.request(endpoint.method().clone(), &path);
            if endpoint.rule().is_protected() {
                let bearer = request().bearer(text).send().await;
                assert_eq!(bearer.failure(), (401, "invalid-token"), "{case}");
                let cookie = format!("__Host-goat-access={text}");
                let cookie = request().header("cookie", &cookie);
                let cookie = cookie.header("sec-fetch-site", "same-origin").send().await;
                assert_eq!(cookie.failure(), (401, "invalid-token"), "{case}");
                refused += 1;
            } else if *endpoint.rule() == Rule::RefreshToken {
                assert_eq!(refresh(&app, text).await.failure(), (401, "invalid-token"), "{case}");
                let cookie = format!("__Host-goat-refresh={text}");
                let cookie = request().header("cookie", &cookie).json(&json!({}));
                let cookie = cookie.header("sec-fetch-site", "same-origin").send().await;
                assert_eq!(cookie.failure(), (401, "invalid-token"), "{case}");
                refused += 1;
            }
        }
    }
    assert!(refused > 60, "{refused}");
    for text in texts {
        let form = || ("application/x-www-form-urlencoded", format!("token={text}"));
        let (media_type, body) = form();
        let introspect = app.post("/api/v1/auth/introspect").bearer(&admin.token);
        let introspected = introspect.body(media_type, body).send().await;
        assert_eq!((introspected.status, &introspected.json), (200, &json!({"active": false})));
        let (media_type, body) = form();
        let revoked = app.post("/api/v1/auth/revoke").body(media_type, body).send().await;
        assert_eq!(revoked.status, 200);
    }
    assert_eq!(confirm(&app, &pending, code()).await.status, 200, "and nothing used it up");
}

on_every_backend!(operator_signs_in_a_user_whose_factor_stays_required);

/// G7
async fn operator_signs_in_a_user_whose_factor_stays_required(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    let ann = enrolled(&app, "ann@example.org").await;
    let open = async |by: &TestUser, body: Value| {
        let path = format!("/api/v1/user/{ann}/session");
        app.post(&path).bearer(&by.token).json(&body).send().await
    };
    for body in [json!({"method": "ldap"}), json!({"method": "ldap", "assurance": "single"})] {
        let held = open(&admin, body).await;
        assert_eq!(held.failure(), HELD);
        let pending = json!({"challenge": held.json["challenge"], "secret": held.json["secret"]});
        let confirmed = confirm(&app, &pending, code()).await;
        let token = confirmed.data()["access_token"].as_str().expect("a token");
        let sessions = app.get("/api/v1/sessions").bearer(token).send().await;
        assert_eq!(sessions.data()[0]["methods"], json!(["totp", "vouched"]));
    }
    // The permission alone, without the rank of an administrator, stands in for a second factor.
    let multi = json!({"method": "smartcard", "assurance": "multi"});
    let operator = app.operator().await;
    assert_eq!(open(&operator, multi.clone()).await.failure(), (403, "forbidden"));
    let granted = app.goat.roles().grant(Actor::system("a test"), "operator", SESSION_CREATE).await;
    granted.expect("granted");
    assert_eq!(open(&operator, multi).await.status, 201);
}

on_every_backend!(step_up_by_a_code_makes_the_session_multi);

/// G4, G5, G6
async fn step_up_by_a_code_makes_the_session_multi(backend: Backend) {
    let app = TestApp::on(backend).await;
    let client = app.client().await;
    let step_up =
        async |token: &str, body: &Value| app.post(STEP_UP).bearer(token).json(body).send().await;
    assert_eq!(step_up(&client.token, &code()).await.failure(), (403, "wrong-code"));
    app.factors.enrol(client.id, FactorKind::Totp, app.goat.time().now());
    for wrong in [json!({"code": "000000"}), json!({"recovery_code": "x"})] {
        let response = step_up(&client.token, &wrong).await;
        assert_eq!(response.failure(), (403, "wrong-code"));
        assert_eq!(response.header("www-authenticate"), "");
    }
    let change = json!({"email": "new@example.org", "current_password": PASSWORD});
    let change = async |token: &str| {
        app.patch("/api/v1/user/change-email").bearer(token).json(&change).send().await
    };
    let refused = change(&client.token).await;
    assert_eq!(refused.failure(), (401, "step-up-required"), "in place of the password");
    assert!(refused.header("www-authenticate").contains(r#"acr_values="multi""#));
    let key = async |token: &str| {
        let body = json!({"name": "backup", "scopes": []});
        app.post("/api/v1/keys").bearer(token).json(&body).send().await
    };
    let refused = key(&client.token).await;
    assert_eq!(refused.failure(), (401, "step-up-required"), "G6");
    assert!(refused.header("www-authenticate").contains(r#"acr_values="multi""#));
    let response = step_up(&client.token, &code()).await;
    assert_eq!(response.status, 200, "{}", response.json);
    let token = response.data()["access_token"].as_str().expect("a token");
    assert_eq!(key(token).await.status, 201);
    assert_eq!(change(token).await.status, 200);
    assert_eq!(change(&client.token).await.failure(), (401, "session-revoked"));
}

/// B20: a sign-in that waits for a second factor sets no cookie; its confirmation does.
#[tokio::test]
async fn cookies_are_set_by_the_confirmation_alone() {
    let app = TestApp::with(|setup| setup.http.session_cookies = Some(Cookies::new())).await;
    enrolled(&app, "ann@example.org").await;
    let send = async |path: &str, body: &Value, site: &str| {
        app.post(path).json(body).header("sec-fetch-site", site).send().await
    };
    let body = json!({"email": "ann@example.org", "password": PASSWORD, "session": "cookie"});
    let held = send(LOGIN, &body, "same-origin").await;
    assert_eq!(held.failure(), HELD);
    assert!(!held.headers.contains_key("set-cookie"));
    let pending = json!({"challenge": held.json["challenge"], "secret": held.json["secret"]});
    let body = with(&pending, &json!({"code": TestFactors::CODE, "session": "cookie"}));
    let elsewhere = send(CONFIRM, &body, "cross-site").await;
    assert_eq!(elsewhere.failure(), (403, "cross-site-request"), "B21");
    let wrong = with(&pending, &json!({"code": "000000", "session": "cookie"}));
    let wrong = send(CONFIRM, &wrong, "same-origin").await;
    assert_eq!((wrong.failure(), wrong.headers.contains_key("set-cookie")), (INVALID, false));
    let confirmed = send(CONFIRM, &body, "same-origin").await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.json);
    assert_eq!(confirmed.headers.get_all("set-cookie").iter().count(), 2);
    assert!(!String::from_utf8_lossy(&confirmed.body).contains("eyJ"), "no token");
}

/// B1, D2: `login/confirm` has a bucket of its own in `auth`, and answers count in the account's.
#[tokio::test]
async fn answers_count_by_address_and_by_account() {
    let app = TestApp::with(|setup| {
        setup.limits.auth = Some(Quota::per_minute(2));
        setup.goat.account_quota = Some(Quota::per_minute(4));
    })
    .await;
    enrolled(&app, "ann@example.org").await;
    let pending = hold(&app, "ann@example.org").await;
    hold(&app, "ann@example.org").await;
    assert_eq!(login(&app, "ann@example.org", PASSWORD).await.failure(), (429, "rate-limited"));
    for _ in 0..2 {
        let wrong = confirm(&app, &pending, json!({"code": "0"})).await;
        assert_eq!(wrong.failure(), INVALID, "the bucket of `login` is another");
        assert!(wrong.header("ratelimit").contains("\"auth\""));
    }
    let limited = confirm(&app, &pending, code()).await;
    assert_eq!(limited.failure(), (429, "rate-limited"));
    assert!(limited.header("ratelimit").contains("\"auth\""));
    let elsewhere = app.post(CONFIRM).json(&with(&pending, &code())).from("198.51.100.9");
    let limited = elsewhere.send().await;
    assert_eq!(limited.failure(), (429, "rate-limited"), "four attempts at the account");
    assert!(limited.header("ratelimit").contains("\"account\""), "{}", limited.header("ratelimit"));
}
