//! The sign-in page: `GET` and `POST /login`, `POST /logout`.

use std::time::Duration;

use bytes::Bytes;
use goat_core::factor::FactorKind;
use goat_core::testing::{Failpoints, Point};
use goat_core::{Quota, Status, Stores};
use goat_server::start::settings::{LoginPageSettings, Logo};
use goat_tower::cookie::Cookies;

use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, Setup, TestApp, TestRequest, TestResponse};
use crate::support::backend::Backend;

const FORM: &str = "application/x-www-form-urlencoded";
const ACCESS: &str = "__Host-goat-access";
const APPLICATION: &str = "https://app.example.org";

fn with_page(setup: &mut Setup) {
    setup.http.session_cookies = Some(Cookies::new());
    setup.http.forward.origins = vec![APPLICATION.to_owned()];
    let mut page = LoginPageSettings::default();
    page.name = "Anna's <shop>".to_owned();
    page.logo =
        Some(Logo { content_type: "image/svg+xml", content: Bytes::from_static(b"<svg/>") });
    page.color = [0xff, 0xcc, 0x00];
    setup.http.login_page = Some(page);
}

/// A browser at the page.
#[derive(Clone, Debug, Default)]
struct Browser {
    cookies: Vec<(String, String)>,
}

impl Browser {
    async fn send(&mut self, site: &str, request: TestRequest<'_>) -> TestResponse {
        let request = request.header("sec-fetch-site", site).header("sec-fetch-mode", "navigate");
        let request = self.cookies.iter().fold(request, |request, (name, value)| {
            request.header("cookie", &format!("{name}={value}"))
        });
        let response = request.send().await;
        for cookie in response.headers.get_all("set-cookie") {
            let pair = cookie.to_str().expect("ASCII").split(';').next().expect("a pair");
            let (name, value) = pair.split_once('=').expect("a value");
            self.cookies.retain(|(other, _)| other != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        response
    }

    async fn get(&mut self, app: &TestApp, site: &str, path: &str) -> TestResponse {
        self.send(site, app.get(path)).await
    }

    /// Sends the form.
    async fn sign_in(&mut self, app: &TestApp, email: &str, more: &str) -> TestResponse {
        let form = form(email, PASSWORD, more);
        self.send("same-origin", app.post("/login").body(FORM, form)).await
    }
}

fn form(email: &str, password: &str, more: &str) -> String {
    let (email, password) = (email.replace('@', "%40"), password.replace(' ', "+"));
    format!("email={email}&password={password}{more}")
}

fn text(response: &TestResponse) -> String {
    String::from_utf8(response.body.to_vec()).expect("UTF-8")
}

on_every_backend!(a_user_signs_in_and_out_by_forms_alone);

/// B20
async fn a_user_signs_in_and_out_by_forms_alone(backend: Backend) {
    let app = TestApp::on_with(backend, with_page).await;
    let user = app.client().await;
    let mut browser = Browser::default();
    let page = browser.get(&app, "none", "/login").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(text(&page).contains(r#"<form method="post" action="login">"#), "{}", text(&page));
    assert!(!text(&page).contains("<script"), "it works without JavaScript");

    let signed_in = browser.sign_in(&app, &user.email, "").await;
    assert_eq!((signed_in.status, signed_in.body.len()), (303, 0));
    assert_eq!((signed_in.header("location"), browser.cookies.len()), ("/login", 2));
    let page = browser.get(&app, "same-origin", "/login").await;
    assert!(text(&page).contains(&format!("You are signed in as {}.", user.email)));
    assert!(text(&page).contains(r#"<form method="post" action="logout">"#));
    assert!(!text(&page).contains("eyJ"), "no token");
    assert_eq!(page.header("cache-control"), "no-store");

    let earlier = browser.clone();
    let out = browser.send("same-origin", app.post("/logout").body(FORM, "")).await;
    assert_eq!((out.status, out.header("location")), (303, "/login"));
    assert!(browser.cookies.is_empty());
    // B23: the ended session is not revived.
    let mut stale = earlier;
    stale.cookies.retain(|(name, _)| name != ACCESS);
    let page = stale.get(&app, "same-origin", "/login").await;
    assert_eq!((page.status, stale.cookies.len()), (401, 0));
    assert!(text(&page).contains(r#"action="login""#));
}

#[tokio::test]
async fn the_form_leads_back_to_the_application_and_so_does_a_session() {
    let app = TestApp::with(with_page).await;
    let user = app.client().await;
    let mut browser = Browser::default();
    let target = "https%3A%2F%2Fapp.example.org%2Freports%3Fpage%3D2%26x%3D1";
    let path = format!("/login?return_to={target}");
    let page = browser.get(&app, "cross-site", &path).await;
    let hidden = r#"name="return_to" value="https://app.example.org/reports?page=2&amp;x=1">"#;
    assert!(text(&page).contains(hidden), "{}", text(&page));
    // Browsers check `form-action` for the redirect too.
    let policy = page.header("content-security-policy");
    assert!(policy.contains("form-action 'self' https://app.example.org;"), "{policy}");
    let back = "https://app.example.org/reports?page=2&x=1";
    let response = browser.sign_in(&app, &user.email, &format!("&return_to={target}")).await;
    assert_eq!((response.status, response.header("location")), (303, back));

    // The access token has expired: a link of another site is renewed, and leads on at once.
    app.clock.advance(Duration::from_secs(3600));
    browser.cookies.retain(|(name, _)| name != ACCESS);
    let response = browser.get(&app, "cross-site", &path).await;
    assert_eq!((response.status, response.header("location")), (303, back));
    assert_eq!(browser.cookies.len(), 2, "both cookies are new");
}

/// B22
#[tokio::test]
async fn no_spelling_of_return_to_leads_elsewhere() {
    let app = TestApp::with(with_page).await;
    let user = app.client().await;
    let mut signed_in = Browser::default();
    signed_in.sign_in(&app, &user.email, "").await;
    for target in [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "https:evil.example",
        "https:///evil.example",
        "https://app.example.org@evil.example",
        "https://app.example.org.evil.example",
        "https://app.example.org:8443/",
        "https://app.example.org\\@evil.example",
        "http://app.example.org/",
        "/%2f/evil.example",
        "/%5cevil.example",
        "/.//evil.example",
        "/\t/evil.example",
        "/\r\nset-cookie: a=b",
        "javascript:alert(1)",
        "",
    ] {
        let encoded: String = target.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let page = signed_in.get(&app, "none", &format!("/login?return_to={encoded}")).await;
        assert_eq!((page.status, page.header("location")), (200, ""), "{target:?}");
        let more = format!("&return_to={encoded}");
        let response = Browser::default().sign_in(&app, &user.email, &more).await;
        assert_eq!((response.status, response.header("location")), (303, "/login"), "{target:?}");
        let page =
            Browser::default().get(&app, "none", &format!("/login?return_to={encoded}")).await;
        assert!(!text(&page).contains("return_to"), "{target:?}");
    }
}

/// B21
#[tokio::test]
async fn forms_of_other_sites_are_rejected() {
    let app = TestApp::with(with_page).await;
    let user = app.client().await;
    let mut browser = Browser::default();
    browser.sign_in(&app, &user.email, "").await;
    let verified = app.hasher.verifications();
    for site in ["cross-site", "same-site"] {
        let mut visitor = Browser::default();
        let body = form(&user.email, PASSWORD, "");
        let response = visitor.send(site, app.post("/login").body(FORM, body)).await;
        assert_eq!((response.status, visitor.cookies.len()), (403, 0));
        assert!(text(&response).contains("The form was sent from another site."));
        let response = browser.send(site, app.post("/logout").body(FORM, "")).await;
        assert_eq!((response.status, browser.cookies.len()), (403, 2));
    }
    assert_eq!(app.hasher.verifications(), verified);
}

/// B20: the page has no field for a second factor, and sets no cookie without one.
#[tokio::test]
async fn a_user_with_a_factor_does_not_sign_in_by_the_page() {
    let app = TestApp::with(with_page).await;
    let user = app.client().await;
    app.factors.enrol(user.id, FactorKind::Totp, app.goat.time().now());
    let mut browser = Browser::default();
    let response = browser.sign_in(&app, &user.email, "").await;
    assert_eq!((response.status, browser.cookies.len()), (401, 0));
    assert!(text(&response).contains("A second factor is required"), "{}", text(&response));
}

#[tokio::test]
async fn failures_are_sentences_in_english_and_german() {
    let (stores, failpoints) = Failpoints::over(Stores::memory());
    let app = TestApp::with(|setup| {
        with_page(setup);
        setup.stores = stores;
        setup.limits.auth = Some(Quota::per_minute(5));
    })
    .await;
    let user = app.client().await;
    app.add("inactive@example.org", "client", Status::Inactive).await;
    let send = async |language: &str, body: String| {
        let request = app.post("/login").header("accept-language", language);
        Browser::default().send("same-origin", request.body(FORM, body)).await
    };
    let wrong = form(&user.email, "a wrong password", "");
    let page = send("de-AT,de;q=0.9,en;q=0.5", wrong.clone()).await;
    assert_eq!(page.status, 401);
    assert!(text(&page).contains(r#"<html lang="de">"#), "{}", text(&page));
    assert!(text(&page).contains("Die E-Mail-Adresse oder das Passwort ist falsch."));
    assert!(!text(&page).contains(&user.email), "E3: the identifier is not echoed");
    let page = send("en", form("inactive@example.org", PASSWORD, "")).await;
    assert_eq!(page.status, 403);
    assert!(text(&page).contains("The account is not active yet."));
    let page = send("fr", "email=a".to_owned()).await;
    assert_eq!(page.status, 400);
    assert!(text(&page).contains("Enter the e-mail address and the password."));
    failpoints.fail("users.by_email", Point::Entry);
    let page = send("en", wrong.clone()).await;
    assert_eq!((page.status, page.header("retry-after")), (503, "1"));
    assert!(text(&page).contains("Signing in is not possible at the moment."));
    send("en", wrong.clone()).await;
    let page = send("de", wrong).await;
    assert_eq!((page.status, page.header("content-type")), (429, "text/html; charset=utf-8"));
    let wait = format!("In {} Sekunden", page.header("retry-after"));
    assert!(text(&page).contains(&wait), "{}", text(&page));
    // The same counter as the API's.
    let body = serde_json::json!({"email": user.email, "password": PASSWORD});
    let response = app.post("/api/v1/auth/login").json(&body).send().await;
    assert_eq!(response.failure(), (429, "rate-limited"));
}

#[tokio::test]
async fn the_look_is_that_of_the_settings_and_never_code() {
    let app = TestApp::with(with_page).await;
    let page = app.get("/login").send().await;
    assert!(text(&page).contains("<h1>Anna&#39;s &lt;shop&gt;</h1>"), "{}", text(&page));
    assert!(page.body.len() < 8 * 1024, "W2: {}", page.body.len());
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self'; img-src 'self';"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(page.header("x-frame-options"), "DENY");
    let style = app.get("/login/page.css").send().await;
    assert!(text(&style).starts_with(":root { --accent: #ffcc00; --on-accent: #000000; }"));
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    let logo = app.get("/login/logo").send().await;
    assert_eq!((logo.header("content-type"), text(&logo).as_str()), ("image/svg+xml", "<svg/>"));
    // A picture that is opened by itself loads and runs nothing.
    assert!(logo.header("content-security-policy").starts_with("default-src 'none'"));
    let wrong = app.request(http::Method::PUT, "/login").send().await;
    assert_eq!(
        (wrong.failure(), wrong.header("allow")),
        ((405, "method-not-allowed"), "GET, HEAD, POST")
    );
}

#[tokio::test]
async fn without_the_setting_there_is_no_page() {
    let app = TestApp::with(|setup| setup.http.session_cookies = Some(Cookies::new())).await;
    for path in ["/login", "/logout", "/login/page.css", "/login/logo"] {
        assert_eq!(app.get(path).send().await.failure(), (404, "not-found"), "{path}");
        assert_eq!(app.post(path).send().await.failure(), (404, "not-found"), "{path}");
    }
}
