//! Session cookies: sign-in, refresh, sign-out and every other route for browsers.

use std::time::Duration;

use goat_server::api::{Rule, table};
use goat_tower::cookie::{Cookies, SameSite};
use http::Method;
use serde_json::{Value, json};

use super::{LOGIN, LOGOUT, REFRESH, members};
use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, Setup, TestApp, TestRequest, TestResponse, TestUser};
use crate::support::backend::Backend;

const ACCESS: &str = "__Host-goat-access";
const REFRESH_COOKIE: &str = "__Host-goat-refresh";
const PROFILE: &str = "/api/v1/user";

/// Another origin, whose pages may use the API.
const PAGE: &str = "https://app.example.org";

fn with_cookies(setup: &mut Setup) {
    let cookies = Cookies::new().allow_origin(PAGE).expect("an origin");
    setup.http.session_cookies = Some(cookies);
    setup.http.cors_origins = vec![PAGE.to_owned()];
}

async fn app() -> TestApp {
    TestApp::with(with_cookies).await
}

/// A browser: the cookies of its session.
#[derive(Clone, Debug, Default)]
struct Browser {
    cookies: Vec<(String, String)>,
}

impl Browser {
    async fn sign_in(app: &TestApp, email: &str) -> Self {
        let mut browser = Self::default();
        let body = json!({"email": email, "password": PASSWORD, "session": "cookie"});
        let response = browser.send(app.post(LOGIN).json(&body)).await;
        assert_eq!(response.status, 200, "{}", response.json);
        browser
    }

    /// A request of a page of the same origin. Its response changes the cookies.
    async fn send(&mut self, request: TestRequest<'_>) -> TestResponse {
        self.send_from("same-origin", request).await
    }

    async fn send_from(&mut self, site: &str, request: TestRequest<'_>) -> TestResponse {
        let response = self.present(request).header("sec-fetch-site", site).send().await;
        for cookie in response.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().expect("ASCII");
            let (pair, attributes) = cookie.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a value");
            self.cookies.retain(|(other, _)| other != name);
            if !attributes.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        response
    }

    /// Adds the cookies to a request.
    fn present<'a>(&self, request: TestRequest<'a>) -> TestRequest<'a> {
        self.cookies.iter().fold(request, |request, (name, value)| {
            request.header("cookie", &format!("{name}={value}"))
        })
    }

    fn value(&self, name: &str) -> &str {
        self.cookies.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    async fn profile(&mut self, app: &TestApp) -> TestResponse {
        self.send(app.get(PROFILE)).await
    }
}

/// B20: asserts that a body contains no token. Every token is a JWT, which begins with `eyJ`.
fn assert_without_tokens(response: &TestResponse) {
    let body = String::from_utf8_lossy(&response.body);
    assert!(!body.contains("eyJ") && !body.contains("_token\""), "{body}");
    assert_eq!(response.header("cache-control"), "no-store");
}

on_every_backend!(sign_in_refresh_and_sign_out_with_cookies);

/// B20
async fn sign_in_refresh_and_sign_out_with_cookies(backend: Backend) {
    let app = TestApp::on_with(backend, with_cookies).await;
    let user = app.client().await;
    let mut browser = Browser::default();
    let body = json!({"email": user.email, "password": PASSWORD, "session": "cookie"});
    let response = browser.send(app.post(LOGIN).json(&body)).await;
    assert_without_tokens(&response);
    let expiries = ["access_token_expires_at", "expires_in", "refresh_token_expires_at"];
    assert_eq!(members(response.data()), [&expiries[..], &["user"]].concat());
    for cookie in response.headers.get_all("set-cookie") {
        let cookie = cookie.to_str().expect("ASCII");
        assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
    }
    assert_eq!(browser.profile(&app).await.data()["email"], user.email);

    let earlier = browser.clone();
    app.clock.advance(Duration::from_secs(3600));
    assert_eq!(browser.profile(&app).await.failure(), (401, "token-expired"));
    let response = browser.send(app.post(REFRESH).json(&json!({}))).await;
    assert_without_tokens(&response);
    assert_eq!(members(response.data()), expiries);
    assert_ne!(browser.value(REFRESH_COOKIE), earlier.value(REFRESH_COOKIE));
    assert_eq!(browser.profile(&app).await.status, 200);

    // R1: the second of two tabs that refresh at once receives the same successor.
    let mut other_tab = earlier.clone();
    assert_eq!(other_tab.send(app.post(REFRESH).json(&json!({}))).await.status, 200);
    assert_eq!(other_tab.value(REFRESH_COOKIE), browser.value(REFRESH_COOKIE));

    let signed_in = browser.clone();
    let response = browser.send(app.post(LOGOUT)).await;
    assert_eq!((response.status, browser.cookies.len()), (204, 0));
    let response = signed_in.clone().profile(&app).await;
    assert_eq!(response.failure(), (401, "session-revoked"));
    // B23: a refresh that fails with 401 clears both cookies.
    let mut stale = signed_in;
    let response = stale.send(app.post(REFRESH).json(&json!({}))).await;
    assert_eq!((response.failure(), stale.cookies.len()), ((401, "session-revoked"), 0));
}

/// R1: two tabs that refresh at once, on every backend.
async fn two_tabs_that_refresh_at_once_get_the_same_successor(backend: Backend) {
    let app = TestApp::on_with(backend, with_cookies).await;
    let user = app.client().await;
    let mut one = Browser::sign_in(&app, &user.email).await;
    let mut other = one.clone();
    let (first, second) = tokio::join!(
        one.send(app.post(REFRESH).json(&json!({}))),
        other.send(app.post(REFRESH).json(&json!({}))),
    );
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(one.value(REFRESH_COOKIE), other.value(REFRESH_COOKIE));
    assert_eq!((one.profile(&app).await.status, other.profile(&app).await.status), (200, 200));
}

mod tabs {
    use super::*;
    on_every_backend!(two_tabs_that_refresh_at_once_get_the_same_successor);
}

#[tokio::test]
async fn the_attribute_is_that_of_the_setting_for_both_cookies() {
    let app = TestApp::with(|setup| {
        setup.http.session_cookies = Some(Cookies::new().same_site(SameSite::Strict));
    })
    .await;
    let user = app.client().await;
    let body = json!({"email": user.email, "password": PASSWORD, "session": "cookie"});
    let response = app.post(LOGIN).header("sec-fetch-site", "none").json(&body).send().await;
    let set: Vec<_> = response.headers.get_all("set-cookie").iter().collect();
    assert_eq!(set.len(), 2);
    assert!(set.iter().all(|cookie| cookie.to_str().expect("ASCII").ends_with("=Strict")));
}

#[tokio::test]
async fn without_the_setting_cookies_are_neither_set_nor_read() {
    let app = TestApp::new().await;
    let user = app.client().await;
    let body = json!({"email": user.email, "password": PASSWORD, "session": "cookie"});
    let response = app.post(LOGIN).header("sec-fetch-site", "same-origin").json(&body).send().await;
    assert_eq!((response.failure(), response.fields()), ((400, "validation"), vec!["session"]));
    let response = app.post(REFRESH).json(&json!({})).send().await;
    assert_eq!(
        (response.failure(), response.fields()),
        ((400, "validation"), vec!["refresh_token"])
    );
    let cookie = format!("{ACCESS}={}", user.token);
    let response = app.get(PROFILE).header("cookie", &cookie).send().await;
    assert_eq!(response.failure(), (401, "unauthenticated"));
}

#[tokio::test]
async fn without_the_member_a_sign_in_has_its_tokens_in_the_body() {
    let app = app().await;
    let user = app.client().await;
    let body = json!({"email": user.email, "password": PASSWORD});
    let response = app.post(LOGIN).json(&body).send().await;
    assert!(response.data()["access_token"].is_string());
    assert!(!response.headers.contains_key("set-cookie"));
    let refresh = json!({"refresh_token": response.data()["refresh_token"]});
    let response = app.post(REFRESH).json(&refresh).send().await;
    assert!(response.data()["access_token"].is_string());
    assert!(!response.headers.contains_key("set-cookie"));
    for session in [json!("cookies"), json!(""), json!(1), Value::Null] {
        let body = json!({"email": user.email, "password": PASSWORD, "session": session});
        let response = app.post(LOGIN).json(&body).send().await;
        assert_eq!((response.status, response.fields()), (400, vec!["session"]), "{session}");
    }
}

/// B21: the origin is checked before the password, so nothing is counted or learned.
#[tokio::test]
async fn a_sign_in_of_another_site_is_rejected_before_the_password_is_verified() {
    let app = app().await;
    let user = app.client().await;
    let verified = app.hasher.verifications();
    let mut browser = Browser::default();
    for site in ["cross-site", "same-site"] {
        for password in [PASSWORD, "a wrong password"] {
            let body = json!({"email": user.email, "password": password, "session": "cookie"});
            let response = browser.send_from(site, app.post(LOGIN).json(&body)).await;
            assert_eq!(response.failure(), (403, "cross-site-request"));
        }
    }
    // Neither header: not a browser that stores cookies.
    let body = json!({"email": user.email, "password": PASSWORD, "session": "cookie"});
    let response = app.post(LOGIN).json(&body).send().await;
    assert_eq!(response.failure(), (403, "cross-site-request"));
    assert_eq!(app.hasher.verifications(), verified);
    assert!(browser.cookies.is_empty());
}

/// H4: a page of a configured origin may send cookies, and no other.
#[tokio::test]
async fn pages_of_allowed_origins_may_use_the_cookies() {
    let app = app().await;
    let user = app.client().await;
    let body = json!({"email": user.email, "password": PASSWORD, "session": "cookie"});
    let request = app.post(LOGIN).header("origin", PAGE).json(&body);
    let mut browser = Browser::default();
    let response = browser.send_from("same-site", request).await;
    assert_eq!(response.status, 200, "{}", response.json);
    assert_eq!(response.header("access-control-allow-origin"), PAGE);
    assert_eq!(response.header("access-control-allow-credentials"), "true");
    let preflight = app.request(Method::OPTIONS, LOGOUT).header("origin", PAGE);
    let preflight = preflight.header("access-control-request-method", "POST").send().await;
    assert_eq!(preflight.header("access-control-allow-credentials"), "true");
    for origin in ["https://evil.example", "null", "*"] {
        let request = app.post(LOGOUT).header("origin", origin);
        let response = browser.send_from("same-site", request).await;
        assert_eq!(response.failure(), (403, "cross-site-request"));
        assert_eq!(response.header("access-control-allow-origin"), "");
    }
}

#[tokio::test]
async fn a_bearer_token_wins_over_a_cookie() {
    let app = app().await;
    let (cookie_user, bearer_user) = (app.client().await, app.client().await);
    let mut browser = Browser::sign_in(&app, &cookie_user.email).await;
    let both = app.get(PROFILE).bearer(&bearer_user.token);
    assert_eq!(browser.send(both).await.data()["email"], bearer_user.email);
    let invalid = app.get(PROFILE).bearer("nonsense");
    assert_eq!(browser.send(invalid).await.failure(), (401, "invalid-token"));
    // A bearer token needs no origin check, and its logout leaves the cookies alone.
    let logout = app.post(LOGOUT).bearer(&bearer_user.token);
    let response = browser.send_from("cross-site", logout).await;
    assert_eq!((response.status, browser.cookies.len()), (204, 2));
    assert_eq!(browser.profile(&app).await.data()["email"], cookie_user.email);
}

/// D5, B20: the new tokens of a changed password are in the cookies.
#[tokio::test]
async fn a_changed_password_continues_the_session_under_new_cookies() {
    let app = app().await;
    let user = app.client().await;
    let mut browser = Browser::sign_in(&app, &user.email).await;
    let mut copy = browser.clone();
    let body = json!({"current_password": PASSWORD, "new_password": "seven lamps over the quay"});
    let change = app.patch("/api/v1/user/change-password").json(&body);
    let response = browser.send(change).await;
    assert_without_tokens(&response);
    assert_eq!(response.data()["revoked_sessions"], 1);
    assert_eq!(browser.profile(&app).await.status, 200);
    assert_eq!(copy.profile(&app).await.failure(), (401, "session-revoked"));
    let response = copy.send(app.post(REFRESH).json(&json!({}))).await;
    assert_eq!(response.failure(), (401, "session-revoked"));
    assert_eq!(browser.send(app.post(REFRESH).json(&json!({}))).await.status, 200);
}

/// A1: every authenticated route accepts the cookie, and its changes only from an accepted origin.
#[tokio::test]
async fn every_authenticated_route_accepts_the_cookie_with_the_origin_check() {
    let app = TestApp::with(|setup| {
        with_cookies(setup);
        setup.every_route();
    })
    .await;
    for endpoint in table().iter().filter(|endpoint| endpoint.rule().is_protected()) {
        let (method, path) = (endpoint.method(), endpoint.path());
        let path = path.replace("{id}", "01KDWMBY00C8X0F4ZCV7J3T9QH").replace("{key}", "client");
        let admin: TestUser = app.admin().await;
        let mut browser = Browser::sign_in(&app, &admin.email).await;
        let request = || app.request(method.clone(), &path);
        let case = format!("{method} {path}");
        let is_unsafe = !method.is_safe() || *endpoint.rule() == Rule::Verify;
        for site in ["cross-site", "same-site"] {
            let response = browser.send_from(site, request()).await;
            let rejected = response.failure() == (403, "cross-site-request");
            assert_eq!(rejected, is_unsafe, "{case} {site}: {}", response.json);
        }
        let response = browser.send(request()).await;
        assert!(!matches!(response.status, 401 | 403), "{case}: {}", response.json);
        assert_eq!(response.header("cache-control"), "no-store", "{case}");
    }
}

/// H1
#[tokio::test]
async fn a_public_document_requested_with_a_cookie_is_not_stored() {
    let app = app().await;
    let user = app.client().await;
    let mut browser = Browser::sign_in(&app, &user.email).await;
    for path in ["/api/health", "/api/openapi.json", "/api/docs"] {
        assert_eq!(browser.send(app.get(path)).await.header("cache-control"), "no-store", "{path}");
        assert_eq!(app.get(path).send().await.header("cache-control"), "", "{path}");
    }
}
