//! A real browser at the page of a link: its policy, its script and its keyboard.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use goat_core::Secret;
use goat_core::courier::Letter;
use goat_core::factor::FactorKind;
use goat_core::testing::TestFactors;
use goat_core::user::Account;
use goat_server::mail::link_for;
use goat_tower::cookie::Cookies;
use serde_json::{Value, json};

use crate::support::app::{PASSWORD, Setup, TestApp};
use crate::support::mail::by_link;
use crate::support::process::Chromium;

const NEW_PASSWORD: &str = "seven lamps over the quay";
const WEAK: &str = "passwordpassword";

/// An app that listens, and the origin at which it does.
async fn served(change: impl FnOnce(&mut Setup)) -> (TestApp, String) {
    let app = TestApp::with(|setup| {
        setup.every_route();
        change(setup);
    })
    .await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let router: Router = app.api.clone().into_router();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    (app, format!("http://localhost:{port}"))
}

/// A browser at the link of a letter.
struct Reader {
    browser: Chromium,
    origin: String,
}

impl Reader {
    fn new(origin: &str) -> Self {
        let mut browser = Chromium::start();
        browser.record();
        Self { browser, origin: origin.to_owned() }
    }

    /// Opens a link, and checks that its secret is gone from the address bar and the history.
    fn open(&mut self, letter: &Letter) {
        let answer = by_link(letter);
        let token = answer["token"].as_str().expect("a token");
        let link = link_for(&letter.message, &format!("{}/api/link", self.origin));
        self.browser.navigate(link.expect("a link").expose());
        self.browser.wait_until("document.readyState === 'complete' && location.hash === ''");
        assert_eq!(self.browser.evaluate("location.href"), format!("{}/api/link", self.origin));
        let history = self.browser.call("Page.getNavigationHistory", &json!({}));
        let entries = history["entries"].as_array().expect("entries");
        assert!(entries.iter().all(|entry| !entry["url"].to_string().contains(token)), "{history}");
        let shown = self.browser.evaluate("document.documentElement.outerHTML");
        assert!(!shown.to_string().contains(token), "{shown}");
    }

    fn text(&mut self, id: &str) -> Value {
        self.browser.evaluate(&format!("document.getElementById('{id}').textContent"))
    }

    fn focus(&mut self) -> Value {
        self.browser.evaluate("document.activeElement.id || document.activeElement.localName")
    }

    /// Presses a key of the keyboard.
    fn press(&mut self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "char", "keyUp"] {
            let text = if kind == "char" && key == "Enter" { "\r" } else { "" };
            if kind == "char" && text.is_empty() {
                continue;
            }
            let event =
                json!({"type": kind, "key": key, "windowsVirtualKeyCode": code, "text": text});
            self.browser.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// Types into the focused field.
    fn type_text(&mut self, text: &str) {
        self.browser.call("Input.insertText", &json!({"text": text}));
    }

    /// Replaces the text of the focused field.
    fn retype(&mut self, text: &str) {
        self.browser.evaluate("document.activeElement.select()");
        self.type_text(text);
    }

    /// Presses Enter, and waits for the outcome.
    fn send(&mut self) {
        self.browser.evaluate("document.getElementById('alert').textContent = ''");
        self.press("Enter", 13);
        self.browser.wait_until(
            "document.getElementById('alert').textContent !== '' || \
             document.getElementById('done').textContent !== ''",
        );
    }

    /// Checks that every request went to this server, and that the browser complained about nothing.
    fn assert_quiet(&self) {
        assert_eq!(self.browser.complaints(), Vec::<&Value>::new());
        self.assert_offline();
    }

    fn assert_offline(&self) {
        let requested = self.browser.requested();
        assert!(requested.len() >= 4, "the page, its parts, and an answer: {requested:?}");
        for url in requested {
            assert!(url.starts_with(&format!("{}/api/", self.origin)), "{url}");
        }
    }
}

async fn ask(app: &TestApp, path: &str, email: &str) {
    let sent = app.post(path).json(&json!({"email": email})).send().await;
    assert_eq!(sent.status, 202, "{}", sent.json);
}

async fn login(app: &TestApp, email: &str) -> u16 {
    let body = json!({"email": email, "password": NEW_PASSWORD});
    app.post("/api/v1/auth/login").json(&body).send().await.status
}

/// M2: in the browser, by keyboard alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sets_a_new_password_by_the_link() {
    let (app, origin) = served(|_| {}).await;
    let user = app.client().await;
    ask(&app, "/api/v1/auth/recover", &user.email).await;
    let letter = app.letter(&user.email, "reset-password").await;
    let mut reader = Reader::new(&origin);
    reader.open(&letter);
    assert_eq!(reader.text("title"), "Set a new password");
    assert_eq!(reader.browser.evaluate("document.title"), "Set a new password");
    let host = origin.strip_prefix("http://").expect("a scheme");
    assert_eq!(reader.text("site"), host);
    // The style sheet and the script are allowed by the policy, and no other style is.
    reader
        .browser
        .wait_until("getComputedStyle(document.querySelector('main')).maxWidth === '448px'");
    reader.press("Tab", 9);
    assert_eq!(reader.focus(), "password");
    assert_eq!(reader.browser.evaluate("document.activeElement.autocomplete"), "new-password");
    reader.type_text(NEW_PASSWORD);
    reader.press("Tab", 9);
    assert_eq!(reader.focus(), "show");
    reader.browser.evaluate("document.activeElement.click()");
    assert_eq!(reader.browser.evaluate("document.getElementById('password').type"), "text");
    reader.press("Tab", 9);
    assert_eq!(reader.focus(), "button");
    reader.send();
    assert_eq!(reader.text("title"), "Your password is set");
    assert!(reader.text("done").as_str().is_some_and(|done| done.starts_with("Sign in with")));
    assert_eq!(reader.focus(), "title");
    assert_eq!(reader.browser.evaluate("document.getElementById('form').hidden"), true);
    assert_eq!(reader.browser.evaluate("document.getElementById('password').value"), "");
    reader.assert_quiet();
    assert!(reader.browser.cookies(&origin).is_empty());
    assert_eq!(login(&app, &user.email).await, 200);

    // The same link again, in the same tab: it is used.
    reader.open(&letter);
    reader.press("Tab", 9);
    reader.type_text(NEW_PASSWORD);
    reader.send();
    let alert = reader.text("alert");
    assert!(
        alert.as_str().is_some_and(|alert| alert.starts_with("This link does not work")),
        "{alert}"
    );
}

/// M8, M2: the page signs nobody in; the session that the answer starts is ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_completes_a_sign_up_by_the_link_in_german() {
    let (app, origin) = served(|setup| setup.http.session_cookies = Some(Cookies::new())).await;
    ask(&app, "/api/v1/auth/signup", "new@example.org").await;
    let letter = app.letter("new@example.org", "confirm-sign-up").await;
    let mut reader = Reader::new(&origin);
    let german = json!({"headers": {"Accept-Language": "de-DE,de;q=0.9"}});
    reader.browser.call("Network.setExtraHTTPHeaders", &german);
    reader.open(&letter);
    assert_eq!(reader.text("title"), "Konto anlegen");
    reader.press("Tab", 9);
    for (password, alert) in [
        ("", "Das Passwort muss mindestens 15 Zeichen haben."),
        ("kurz", "Das Passwort muss mindestens 15 Zeichen haben."),
        (WEAK, "Dieses Passwort ist verbreitet"),
        (
            "a password with \u{200b} in it",
            "Das Passwort darf dieses Zeichen nicht enthalten: U+200B",
        ),
    ] {
        reader.retype(password);
        reader.send();
        let shown = reader.text("alert");
        assert!(shown.as_str().is_some_and(|shown| shown.starts_with(alert)), "{shown}");
        assert_eq!(reader.focus(), "password");
        let is_marked = "document.activeElement.getAttribute('aria-invalid')";
        assert_eq!(reader.browser.evaluate(is_marked), "true");
    }
    reader.retype(NEW_PASSWORD);
    reader.send();
    assert_eq!(reader.text("title"), "Das Konto ist angelegt");
    assert_eq!(reader.text("alert"), "");
    reader.assert_offline();
    assert!(reader.browser.cookies(&origin).is_empty());
    assert_eq!(login(&app, "new@example.org").await, 200);
    // That of the sign-in alone is left, once the page has ended its own.
    let mine = app.sign_in("new@example.org", NEW_PASSWORD).await;
    let sessions = async || {
        let sessions = app.get("/api/v1/sessions").bearer(&mine.token).send().await;
        sessions.data().as_array().expect("sessions").len()
    };
    reader.browser.wait_until(
        "performance.getEntriesByType('resource').some(({name, responseEnd}) => \
                               name.endsWith('/logout') && responseEnd > 0)",
    );
    assert_eq!(sessions().await, 2);
}

/// The page signs in where sessions are in cookies, with a second factor too.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_signs_in_by_the_link_and_a_second_factor_where_sessions_are_in_cookies() {
    let (app, origin) = served(|setup| setup.http.session_cookies = Some(Cookies::new())).await;
    let user = app.client().await;
    app.verify_email(user.id).await;
    app.factors.enrol(user.id, FactorKind::Totp, app.goat.time().now());
    ask(&app, "/api/v1/auth/code", &user.email).await;
    let letter = app.letter(&user.email, "sign-in-code").await;
    let mut reader = Reader::new(&origin);
    reader.open(&letter);
    reader.press("Tab", 9);
    assert_eq!(reader.focus(), "button");
    reader.send();
    let alert = reader.text("alert");
    assert!(alert.as_str().is_some_and(|alert| alert.contains("second factor")), "{alert}");
    assert!(reader.browser.cookies(&origin).is_empty(), "the sign-in waits for the second factor");
    assert_eq!(reader.focus(), "code");
    reader.type_text("000000");
    reader.send();
    let alert = reader.text("alert");
    assert!(alert.as_str().is_some_and(|alert| alert.starts_with("The code is wrong")), "{alert}");
    reader.retype(TestFactors::CODE);
    reader.send();
    let done = reader.text("done");
    assert!(done.as_str().is_some_and(|done| done.contains(&user.email)), "{done}");
    assert_eq!(reader.browser.cookies(&origin).len(), 2);
    reader.assert_offline();
}

/// Only a session verifies an address; its access cookie may have expired.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_verifies_an_address_in_the_session_of_the_browser() {
    let (app, origin) = served(|setup| setup.http.session_cookies = Some(Cookies::new())).await;
    let user = app.client().await;
    let sent = app.post("/api/v1/user/verify-email").bearer(&user.token).send().await;
    assert_eq!(sent.status, 202);
    let letter = app.letter(&user.email, "verify-email").await;
    let mut reader = Reader::new(&origin);
    reader.open(&letter);
    reader.press("Tab", 9);
    reader.send();
    let alert = reader.text("alert");
    assert!(
        alert.as_str().is_some_and(|alert| alert.starts_with("You are not signed in")),
        "{alert}"
    );
    let sign_in = json!({"email": user.email, "password": PASSWORD, "session": "cookie"});
    let sign_in = format!(
        "fetch('/api/v1/auth/login', {{method: 'POST', body: JSON.stringify({sign_in}), \
         headers: {{'content-type': 'application/json'}}}}).then(({{status}}) => window.signedIn = status)"
    );
    reader.browser.evaluate(&sign_in);
    reader.browser.wait_until("window.signedIn === 200");
    reader.browser.expire_cookie(&origin, "__Host-goat-access");
    reader.send();
    assert_eq!(reader.text("title"), "Your address is verified");
    let own = app.get("/api/v1/user").bearer(&user.token).send().await;
    assert_eq!(own.data()["email_verified"], true);
    assert_eq!(reader.browser.cookies(&origin).len(), 2);
}

/// M9: the old owner takes an account back whose second factor is older than the change, and sets a new password
/// by the letter that follows.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_takes_an_account_back_with_a_second_factor() {
    let (app, origin) = served(|_| {}).await;
    let user = app.client().await;
    app.verify_email(user.id).await;
    app.factors.enrol(user.id, FactorKind::Totp, app.goat.time().now());
    app.clock.advance(Duration::from_secs(1));
    let code = json!({"code": TestFactors::CODE});
    let stepped_up = app.post("/api/v1/auth/step-up").bearer(&user.token).json(&code).send().await;
    let token = stepped_up.data()["access_token"].as_str().expect("a token");
    let body = json!({"email": "new@example.org"});
    let sent = app.patch("/api/v1/user/change-email").bearer(token).json(&body).send().await;
    assert_eq!(sent.status, 202, "{}", sent.json);

    let mut reader = Reader::new(&origin);
    reader.open(&app.letter("new@example.org", "confirm-new-email").await);
    reader.press("Tab", 9);
    reader.send();
    assert_eq!(reader.text("title"), "Your address is changed");
    reader.open(&app.letter(&user.email, "email-changed").await);
    reader.press("Tab", 9);
    reader.send();
    let alert = reader.text("alert");
    assert!(alert.as_str().is_some_and(|alert| alert.contains("authenticator app")), "{alert}");
    assert_eq!(reader.focus(), "code");
    reader.type_text("a wrong recovery code");
    reader.send();
    let alert = reader.text("alert");
    assert!(alert.as_str().is_some_and(|alert| alert.starts_with("The code is wrong")), "{alert}");
    reader.retype(&format!("{} {}", &TestFactors::CODE[..3], &TestFactors::CODE[3..]));
    reader.send();
    assert_eq!(reader.text("title"), "Your account is back");
    reader.open(&app.letter(&user.email, "reset-password").await);
    reader.press("Tab", 9);
    reader.type_text(NEW_PASSWORD);
    reader.send();
    assert_eq!(reader.text("title"), "Your password is set");
    reader.assert_offline();
}

/// A user with a second factor and no password shows a recovery code.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_recovers_an_account_with_a_recovery_code() {
    let (app, origin) = served(|_| {}).await;
    let user = app.client().await;
    app.factors.enrol(user.id, FactorKind::Totp, app.goat.time().now());
    let none = Secret::new(Account::NO_PASSWORD.to_owned());
    app.edit(user.id, |account| account.password_hash = none.clone()).await;
    ask(&app, "/api/v1/auth/recover", &user.email).await;
    let mut reader = Reader::new(&origin);
    reader.open(&app.letter(&user.email, "reset-password").await);
    reader.press("Tab", 9);
    reader.type_text(NEW_PASSWORD);
    reader.send();
    let alert = reader.text("alert");
    assert!(alert.as_str().is_some_and(|alert| alert.ends_with("recovery codes.")), "{alert}");
    assert_eq!(reader.focus(), "code");
    reader.type_text(TestFactors::RECOVERY_CODE);
    reader.send();
    assert_eq!(reader.text("title"), "Your password is set");
    reader.assert_offline();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_a_whole_link_says_so_and_sends_nothing() {
    let (app, origin) = served(|_| {}).await;
    let user = app.client().await;
    ask(&app, "/api/v1/auth/recover", &user.email).await;
    let letter = app.letter(&user.email, "reset-password").await;
    let answer = by_link(&letter);
    let token = answer["token"].as_str().expect("a token");
    let mut reader = Reader::new(&origin);
    for hash in [
        String::new(),
        format!("#recover={}", &token[..77]),
        format!("#other={token}"),
        format!("#sign-in={token}"),
    ] {
        reader.browser.navigate("about:blank");
        reader.browser.navigate(&format!("{origin}/api/link{hash}"));
        reader.browser.wait_until("document.readyState === 'complete' && location.pathname === '/api/link' && location.hash === ''");
        assert_eq!(reader.browser.evaluate("document.getElementById('form').hidden"), true);
        let about = reader.text("about");
        let expected = if hash.starts_with("#sign-in") {
            "Type the code"
        } else {
            "Open this page by the link"
        };
        assert!(about.as_str().is_some_and(|about| about.starts_with(expected)), "{hash}: {about}");
    }
    // Another link in the same tab.
    reader.browser.evaluate(&format!("location.hash = 'recover={token}'"));
    reader.browser.wait_until("location.hash === '' && !document.getElementById('form').hidden");
    assert!(reader.browser.requested().iter().all(|url| !url.contains("/v1/")));
    assert_eq!(reader.browser.complaints(), Vec::<&Value>::new());
}
