//! Sign-in, refresh and sign-out over cookies.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use goat_core::auth::SignUp;
use goat_core::factor::FactorKind;
use goat_core::session::Origin;
use goat_core::testing::{Failpoints, ManualClock, Point, TestFactors, TestGoat};
use goat_core::{Email, Goat, Settings, Stores, UserId};
use goat_tower::cookie::{self, Cookies};
use http::{HeaderMap, Method, Request};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::TestResponse;

const EMAIL: &str = "ann@example.org";
const PASSWORD: &str = "a long walk on a short pier";
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const ACCESS: &str = "__Host-goat-access";
const REFRESH: &str = "__Host-goat-refresh";

struct Browser {
    goat: Goat,
    clock: ManualClock,
    failpoints: Failpoints,
    factors: TestFactors,
    user: UserId,
    app: axum::Router,
    cookies: String,
}

impl Browser {
    /// A browser without cookies, and a user who can sign in.
    async fn new() -> Self {
        let factors = TestFactors::default();
        let stores = Stores { factors: Arc::new(factors.clone()), ..Stores::memory() };
        let (stores, failpoints) = Failpoints::over(stores);
        let test = TestGoat::build(stores, |builder| {
            let settings = Settings { account_quota: None, ..Settings::default() };
            builder.settings(settings).test_factors(&factors)
        });
        let (email, password) = (Email::parse(EMAIL).unwrap(), PASSWORD.into());
        let user = test
            .goat
            .sign_up(SignUp { email, password: Some(password), origin: Origin::default() })
            .await
            .unwrap()
            .id;
        let app = axum::Router::new().nest("/me", cookie::routes(&test.goat, Cookies::new()));
        let (goat, clock, cookies) = (test.goat, test.clock, String::new());
        Self { goat, clock, failpoints, factors, user, app, cookies }
    }

    /// Sends a request of a page of the same origin, and stores the cookies of the response.
    async fn send(&mut self, path: &str, content_type: &str, body: &str) -> TestResponse {
        self.send_from("same-origin", path, content_type, body).await
    }

    async fn send_from(
        &mut self,
        site: &str,
        path: &str,
        content_type: &str,
        body: &str,
    ) -> TestResponse {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("sec-fetch-site", site)
            .header("content-type", content_type)
            .header("cookie", &self.cookies)
            .body(Body::from(body.to_owned()));
        let response = self.app.clone().oneshot(request.unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        if parts.headers.contains_key("set-cookie") {
            self.cookies = pairs(&parts.headers).join("; ");
        }
        TestResponse { status: parts.status, head: http::Response::from_parts(parts, ()), body }
    }

    async fn sign_in(&mut self) -> TestResponse {
        let body = json!({ "email": EMAIL, "password": PASSWORD }).to_string();
        let response = self.send("/me/login", JSON, &body).await;
        assert_eq!(response.status, 200, "{}", response.body);
        response
    }

    /// Whether the access cookie is that of a live session.
    async fn is_signed_in(&self) -> bool {
        let token = self.cookies.split("; ").find_map(|cookie| cookie.strip_prefix(ACCESS));
        let Some(token) = token.and_then(|token| token.strip_prefix('=')) else { return false };
        self.goat.authenticate_token(token).await.is_ok()
    }
}

/// The cookies that a response sets to a value.
fn pairs(headers: &HeaderMap) -> Vec<&str> {
    let set = headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
    let set = set.filter(|cookie| !cookie.contains("Max-Age=0;"));
    set.map(|cookie| cookie.split(';').next().unwrap()).collect()
}

fn clears_both(response: &TestResponse) -> bool {
    let set = response.head.headers().get_all("set-cookie").iter();
    let cleared = set.filter(|value| value.to_str().unwrap().contains("=; Max-Age=0;"));
    cleared.count() == 2
}

/// A body that signs in, and its media type.
fn credentials(content_type: &'static str, password: &str) -> (&'static str, String) {
    let body = match content_type {
        FORM => format!("email=ann%40example.org&password={}", password.replace(' ', "+")),
        _ => json!({ "email": EMAIL, "password": password }).to_string(),
    };
    (content_type, body)
}

/// B20
#[tokio::test]
async fn no_response_contains_a_token() {
    let mut browser = Browser::new().await;
    for content_type in [JSON, "application/json; charset=utf-8", FORM] {
        let (content_type, body) = match content_type {
            FORM => credentials(FORM, PASSWORD),
            other => (other, credentials(JSON, PASSWORD).1),
        };
        for (path, body) in [("/me/login", body.as_str()), ("/me/refresh", ""), ("/me/logout", "")]
        {
            let response = browser.send(path, content_type, body).await;
            assert!(response.status.is_success() || response.status == 303, "{path} {response:?}");
            // Every token is a JWT: base64url of `{"`.
            assert!(!response.body.contains("eyJ"), "{path}: {}", response.body);
            assert!(!response.body.contains("token"), "{path}: {}", response.body);
            assert_eq!(response.header("cache-control"), "no-store");
        }
    }
}

#[tokio::test]
async fn a_script_signs_in_refreshes_and_signs_out() {
    let mut browser = Browser::new().await;
    let response = browser.sign_in().await;
    let body: Value = serde_json::from_str(&response.body).unwrap();
    assert_eq!(body["expires_in"], 300);
    assert_eq!(body["refresh_expires_in"], 7 * 86_400);
    assert!(browser.is_signed_in().await);

    browser.clock.advance(Duration::from_secs(3600));
    assert!(!browser.is_signed_in().await);
    let refreshed = browser.send("/me/refresh", JSON, "").await;
    let refreshed: Value = serde_json::from_str(&refreshed.body).unwrap();
    assert_eq!(refreshed, body);
    assert!(browser.is_signed_in().await);

    let earlier = browser.cookies.clone();
    let response = browser.send("/me/logout", JSON, "").await;
    assert_eq!((response.status.as_u16(), clears_both(&response)), (204, true));
    browser.cookies = earlier;
    assert!(!browser.is_signed_in().await, "the session has ended");
}

/// G2: without the second factor there is no cookie; a script can answer, a form cannot.
#[tokio::test]
async fn a_sign_in_that_waits_for_a_second_factor_sets_no_cookie() {
    let mut browser = Browser::new().await;
    browser.factors.enrol(browser.user, FactorKind::Totp, browser.goat.time().now());
    let script = json!({ "email": EMAIL, "password": PASSWORD }).to_string();
    let response = browser.send("/me/login", JSON, &script).await;
    assert_eq!(response.status, 401);
    assert!(!response.head.headers().contains_key("set-cookie"));
    let problem: Value = serde_json::from_str(&response.body).unwrap();
    assert_eq!(problem["code"], "second-factor-required");
    assert_eq!(problem["methods"], json!(["totp", "recovery_code"]));
    assert!(problem["challenge"].is_string() && problem["secret"].is_string());
    let form = format!("email=ann%40example.org&password={}", PASSWORD.replace(' ', "+"));
    let response = browser.send("/me/login", FORM, &form).await;
    assert_eq!((response.status.as_u16(), browser.cookies.as_str()), (401, ""));
    assert!(response.body.contains("Second factor required"), "{}", response.body);
}

#[tokio::test]
async fn a_form_leads_back_to_a_path_of_the_host() {
    let mut browser = Browser::new().await;
    let (_, body) = credentials(FORM, PASSWORD);
    let response = browser.send("/me/login", FORM, &body).await;
    assert_eq!((response.status.as_u16(), response.header("location")), (303, "/"));
    let back = format!("{body}&return_to=%2Freports%3Fpage%3D2");
    let response = browser.send("/me/login", FORM, &back).await;
    assert_eq!(response.header("location"), "/reports?page=2");
    assert!(browser.is_signed_in().await);
    let response = browser.send("/me/refresh", FORM, "return_to=/reports").await;
    assert_eq!((response.status.as_u16(), response.header("location")), (303, "/reports"));
    let response = browser.send("/me/logout", FORM, "return_to=/bye").await;
    assert_eq!((response.status.as_u16(), response.header("location")), (303, "/bye"));
    assert!(clears_both(&response));
}

/// B22
#[tokio::test]
async fn a_form_that_leads_elsewhere_does_nothing() {
    let mut browser = Browser::new().await;
    for target in ["//evil.example", "https://evil.example", "%2F%5Cevil.example", "/%252f/evil"] {
        let body = format!("{}&return_to={target}", credentials(FORM, PASSWORD).1);
        let response = browser.send("/me/login", FORM, &body).await;
        assert_eq!(response.status, 400, "{target}");
        assert_eq!((response.header("location"), browser.cookies.as_str()), ("", ""));
    }
}

/// B21: login CSRF, for scripts and forms; and the same for refresh and logout.
#[tokio::test]
async fn requests_of_other_sites_are_rejected() {
    let mut browser = Browser::new().await;
    browser.sign_in().await;
    let earlier = browser.cookies.clone();
    for site in ["cross-site", "same-site"] {
        for content_type in [JSON, FORM] {
            let (_, body) = credentials(content_type, PASSWORD);
            for (path, body) in
                [("/me/login", body.as_str()), ("/me/refresh", ""), ("/me/logout", "")]
            {
                let response = browser.send_from(site, path, content_type, body).await;
                assert_eq!(response.status, 403, "{site} {content_type} {path}");
                assert_eq!(response.header("set-cookie"), "");
            }
        }
    }
    assert_eq!(browser.cookies, earlier);
    assert!(browser.is_signed_in().await);
}

#[tokio::test]
async fn a_failure_has_the_form_of_the_request() {
    let mut browser = Browser::new().await;
    for (content_type, answered) in
        [(JSON, "application/problem+json"), (FORM, "text/html; charset=utf-8")]
    {
        let (_, wrong) = credentials(content_type, "a wrong password, surely");
        let response = browser.send("/me/login", content_type, &wrong).await;
        assert_eq!((response.status.as_u16(), response.header("content-type")), (401, answered));
        assert!(response.body.contains("The e-mail address or the password is wrong."));
        assert_eq!(response.header("set-cookie"), "");
        let response = browser.send("/me/login", content_type, "{}").await;
        assert_eq!((response.status.as_u16(), response.header("content-type")), (400, answered));
    }
    for (content_type, body, outcome) in [
        (JSON, "nonsense", (400, "malformed-json")),
        (JSON, "[]", (400, "malformed-json")),
        (JSON, r#"{"email": 1, "password": "x"}"#, (400, "validation")),
        ("text/plain", "email=a&password=b", (415, "unsupported-media-type")),
        ("multipart/form-data", "", (415, "unsupported-media-type")),
        (JSON, &" ".repeat(20_000), (413, "payload-too-large")),
    ] {
        let response = browser.send("/me/login", content_type, body).await;
        assert_eq!(response.outcome(), outcome, "{content_type} {body:.40}");
    }
}

/// B23
#[tokio::test]
async fn a_refresh_that_fails_with_401_clears_both_cookies_and_a_503_clears_none() {
    let mut browser = Browser::new().await;
    assert_eq!(browser.send("/me/refresh", JSON, "").await.outcome(), (401, "unauthenticated"));
    browser.sign_in().await;
    let earlier = browser.cookies.clone();
    browser.failpoints.fail("sessions.find", Point::Entry);
    let response = browser.send("/me/refresh", JSON, "").await;
    assert_eq!((response.outcome(), response.header("set-cookie")), ((503, "unavailable"), ""));
    browser.send("/me/logout", JSON, "").await;
    for content_type in [JSON, FORM] {
        browser.cookies = earlier.clone();
        let response = browser.send("/me/refresh", content_type, "").await;
        assert_eq!((response.status.as_u16(), clears_both(&response)), (401, true));
    }
}

#[tokio::test]
async fn a_logout_ends_a_session_with_an_expired_access_token_and_succeeds_without_one() {
    let mut browser = Browser::new().await;
    let response = browser.send("/me/logout", JSON, "").await;
    assert_eq!((response.status.as_u16(), clears_both(&response)), (204, true));
    browser.sign_in().await;
    let earlier = browser.cookies.clone();
    browser.clock.advance(Duration::from_secs(3600));
    browser.failpoints.fail("sessions.find", Point::Entry);
    let response = browser.send("/me/logout", JSON, "").await;
    assert_eq!((response.outcome(), response.header("set-cookie")), ((503, "unavailable"), ""));
    let response = browser.send("/me/logout", JSON, "").await;
    assert_eq!((response.status.as_u16(), clears_both(&response)), (204, true));
    browser.cookies = earlier;
    let response = browser.send("/me/refresh", JSON, "").await;
    assert_eq!(response.outcome(), (401, "session-revoked"));
    assert!(!browser.cookies.contains(REFRESH));
}
