//! `GET /api/link`: the page to which the links of letters lead.

use std::collections::BTreeSet;

use goat_core::courier::Letter;
use goat_core::password::PasswordPolicy;
use goat_server::mail::link_for;
use goat_server::start::settings::LoginPageSettings;
use goat_tower::cookie::Cookies;
use http::Method;
use serde_json::{Value, json};

use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, Setup, TestApp, TestResponse, TestUser};
use crate::support::backend::Backend;
use crate::support::mail::{by_link, with};

const PAGE: &str = "/api/link";
const PARTS: [&str; 3] = [PAGE, "/api/link/page.css", "/api/link/page.js"];
const NEW_PASSWORD: &str = "seven lamps over the quay";

fn text(response: &TestResponse) -> String {
    String::from_utf8(response.body.to_vec()).expect("UTF-8")
}

/// The start tags of the flows in a page.
fn flows(page: &str) -> Vec<&str> {
    let parts = page.split("<section ").skip(1);
    parts.map(|part| part.split('>').next().expect("an end")).collect()
}

#[tokio::test]
async fn without_mail_there_is_no_page() {
    let app = TestApp::new().await;
    for path in PARTS {
        for method in [Method::GET, Method::HEAD, Method::POST] {
            let response = app.request(method.clone(), path).send().await;
            assert_eq!(response.status, 404, "{method} {path}");
        }
    }
}

/// M2: for every form of the request. M5: nothing of it is in the page.
#[tokio::test]
async fn the_page_sets_no_cookie_and_loads_nothing_from_elsewhere() {
    let app = TestApp::with(|setup| {
        setup.every_route();
        setup.http.session_cookies = Some(Cookies::new());
        setup.http.login_page = Some(LoginPageSettings::default());
    })
    .await;
    let user = app.client().await;
    let cookie = format!("__Host-goat-access={}", user.token);
    let expected = app.get(PAGE).send().await;
    for request in [
        app.get(PAGE),
        app.get(&format!("{PAGE}?recover=x&utm_source=mail")),
        app.get(PAGE).header("host", "evil.example"),
        app.get(PAGE).header("forwarded", "host=evil.example;proto=http"),
        app.get(PAGE).header("x-forwarded-host", "evil.example"),
        app.get(PAGE).header("origin", "https://evil.example"),
        app.get(PAGE).header("cookie", &cookie),
        app.get(PAGE).bearer(&user.token),
    ] {
        let page = request.send().await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
        assert_eq!(text(&page), text(&expected));
        assert_eq!(page.header("set-cookie"), "");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("vary"), "accept-language");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        let policy = page.header("content-security-policy");
        let rules: BTreeSet<_> = policy.split("; ").collect();
        let expected = [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ];
        assert_eq!(rules, BTreeSet::from(expected));
    }
    let head = app.request(Method::HEAD, PAGE).send().await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    let length = expected.body.len().to_string();
    assert_eq!((head.header("content-length"), head.header("set-cookie")), (length.as_str(), ""));
    let wrong = app.post(PAGE).send().await;
    assert_eq!(
        (wrong.failure(), wrong.header("allow")),
        ((405, "method-not-allowed"), "GET, HEAD")
    );

    for path in PARTS {
        let part = app.get(path).send().await;
        assert_eq!((part.status, part.header("set-cookie")), (200, ""));
        let part = text(&part);
        for elsewhere in
            ["//", "javascript:", "@import", "url(", "eval(", "innerHTML", "document.cookie"]
        {
            let part = part.lines().map(str::trim).filter(|line| !line.starts_with("//"));
            assert!(part.clone().all(|line| !line.contains(elsewhere)), "{path}: {elsewhere}");
        }
        for store in ["localStorage", "sessionStorage", "indexedDB"] {
            assert!(!part.contains(store), "{path}: {store}");
        }
    }
    // The policy forbids inline scripts, styles and handlers.
    let page = text(&expected);
    assert!(!page.contains("<style"));
    let tags = page.split('<').map(|part| part.split('>').next().expect("a part"));
    for attribute in tags.flat_map(str::split_whitespace).filter(|part| part.contains('=')) {
        assert!(!attribute.starts_with("on") && !attribute.starts_with("style"), "{attribute}");
    }
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains("<script src=\"link/page.js\" defer></script>"));
    assert!(page.contains("<link rel=\"stylesheet\" href=\"link/page.css\">"));
}

#[tokio::test]
async fn the_page_is_in_english_or_german_and_states_the_rule_for_passwords() {
    let app = TestApp::with(|setup| {
        setup.every_route();
        setup.goat.passwords = PasswordPolicy::new(12, 99).expect("a policy");
    })
    .await;
    for (accepts, language, rule) in [
        ("", "en", "12 to 99 characters."),
        ("en-GB, de;q=0.5", "en", "12 to 99 characters."),
        ("de-AT, en;q=0.5", "de", "12 bis 99 Zeichen."),
        ("fr", "en", "12 to 99 characters."),
    ] {
        let page = text(&app.get(PAGE).header("accept-language", accepts).send().await);
        assert!(page.contains(&format!("<html lang=\"{language}\">")), "{accepts}: {page}");
        assert!(page.contains(rule), "{accepts}: {page}");
        assert!(page.contains("autocomplete=\"new-password\"") && page.contains("<noscript>"));
        assert_eq!(flows(&page).len(), 7, "{page}");
    }
}

/// Without session cookies, the page leaves the links unused that need a session of the application.
#[tokio::test]
async fn flows_that_need_session_cookies_have_a_button_with_them_only() {
    for has_cookies in [false, true] {
        let app = TestApp::with(|setup| {
            setup.every_route();
            setup.http.session_cookies = has_cookies.then(Cookies::new);
        })
        .await;
        let page = text(&app.get(PAGE).send().await);
        for flow in flows(&page) {
            let needs = flow.contains("\"verify-email\"") || flow.contains("\"sign-in\"");
            assert_eq!(flow.contains("data-path"), has_cookies || !needs, "{flow}");
        }
        assert!(!page.contains("../login"), "there is no sign-in page");
    }
    let app = TestApp::with(|setup| {
        setup.every_route();
        setup.http.session_cookies = Some(Cookies::new());
        setup.http.login_page = Some(LoginPageSettings::default());
    })
    .await;
    assert!(text(&app.get(PAGE).send().await).contains("<a href=\"../login\">"));
    assert_eq!(app.get("/login").send().await.status, 200);
}

/// A letter with a link, and the bearer token and further members of its answer.
struct Sent(Letter, Option<String>, Value);

/// Has one letter with a link of each kind sent.
async fn letters(app: &TestApp) -> Vec<Sent> {
    let post = async |path: &str, token: Option<&str>, body: Value| {
        let request = app.post(path).json(&body);
        let request = token.iter().fold(request, |request, token| request.bearer(token));
        let response = request.send().await;
        assert!(response.status < 300, "{path}: {}", response.json);
    };
    let change = async |user: &TestUser, email: &str| {
        let body = json!({"email": email, "current_password": PASSWORD});
        let request = app.patch("/api/v1/user/change-email").bearer(&user.token).json(&body);
        assert_eq!(request.send().await.status, 202);
        app.letter(email, "confirm-new-email").await
    };
    let mut sent = Vec::new();
    let (none, password) = (json!({}), json!({"password": NEW_PASSWORD}));

    post("/api/v1/auth/signup", None, json!({"email": "new@example.org"})).await;
    let letter = app.letter("new@example.org", "confirm-sign-up").await;
    sent.push(Sent(letter, None, password.clone()));

    let user = app.client().await;
    post("/api/v1/user/verify-email", Some(&user.token), none.clone()).await;
    let letter = app.letter(&user.email, "verify-email").await;
    sent.push(Sent(letter, Some(user.token), none.clone()));

    let user = app.client().await;
    post("/api/v1/auth/recover", None, json!({"email": user.email})).await;
    let letter = app.letter(&user.email, "reset-password").await;
    sent.push(Sent(letter, None, json!({"new_password": NEW_PASSWORD})));

    let letter = change(&app.client().await, "other@example.org").await;
    sent.push(Sent(letter, None, none.clone()));

    let user = app.client().await;
    app.verify_email(user.id).await;
    let letter = change(&user, "another@example.org").await;
    post("/api/v1/auth/change-email/confirm", None, by_link(&letter)).await;
    let letter = app.letter(&user.email, "email-changed").await;
    sent.push(Sent(letter, None, none.clone()));

    let admin = app.admin().await;
    let body = json!({"email": "invited@example.org"});
    post("/api/v1/user/invite", Some(&admin.token), body).await;
    let letter = app.letter("invited@example.org", "invitation").await;
    sent.push(Sent(letter, None, password));

    let user = app.client().await;
    app.verify_email(user.id).await;
    post("/api/v1/auth/code", None, json!({"email": user.email})).await;
    let letter = app.letter(&user.email, "sign-in-code").await;
    sent.push(Sent(letter, None, none));
    sent
}

on_every_backend!(a_letter_that_a_scanner_opened_still_works);

/// M2: for every kind of letter, also for a scanner that sends the secret behind the `#` to the server.
async fn a_letter_that_a_scanner_opened_still_works(backend: Backend) {
    let app = TestApp::on_with(backend, Setup::every_route).await;
    let sent = letters(&app).await;
    let page = text(&app.get(PAGE).send().await);
    // The page leaves those unused without cookies, but knows their routes.
    let with_cookies = TestApp::with(|setup| {
        setup.every_route();
        setup.http.session_cookies = Some(Cookies::new());
    })
    .await;
    let with_cookies = text(&with_cookies.get(PAGE).send().await);
    let mut seen = BTreeSet::new();
    for Sent(letter, token, members) in sent {
        let name = letter.message.name();
        let link = link_for(&letter.message, PAGE).expect("a link");
        let link = link.expose().strip_prefix(PAGE).and_then(|rest| rest.strip_prefix('#'));
        let (purpose, in_link) = link.and_then(|link| link.split_once('=')).expect("a secret");
        assert!(page.contains(&format!("data-purpose=\"{purpose}\"")), "{purpose}");
        let flow = flows(&with_cookies).into_iter().find(|flow| flow.contains(purpose));
        let path = flow.and_then(|flow| flow.split("data-path=\"").nth(1)?.split('"').next());
        let path = format!("/api/{}", path.expect("a path"));

        let answer = by_link(&letter);
        let secret = answer["token"].as_str().expect("a token");
        assert_eq!(in_link, secret);
        let urls = [
            PAGE.to_owned(),
            format!("{PAGE}?{purpose}={secret}"),
            format!("{PAGE}%23{purpose}={secret}"),
            format!("{path}?token={secret}"),
            path.clone(),
        ];
        for url in PARTS.map(str::to_owned).iter().chain(&urls) {
            let three_times = (0..3).flat_map(|_| [Method::GET, Method::HEAD]);
            for method in three_times {
                let response = app.request(method.clone(), url).send().await;
                let expected = match url {
                    url if url.starts_with(&path) => 405,
                    url if url.contains("%23") => 404,
                    _ => 200,
                };
                assert_eq!(response.status, expected, "{method} {url}");
                assert_eq!(response.header("set-cookie"), "", "{method} {url}");
                if expected == 200 {
                    assert!(!text(&response).contains(secret), "{method} {url}");
                }
            }
        }
        let body = with(&answer, &members);
        let used = app.post(&path).json(&body);
        let used = token.iter().fold(used, |request, token| request.bearer(token)).send().await;
        assert!((200..300).contains(&used.status), "{name}: {}", used.json);
        seen.insert(name);
    }
    let with_links = goat_core::testing::sample_letters(
        &goat_core::Email::parse("ann@example.org").expect("an address"),
        &goat_core::Languages::default(),
        "",
    );
    let with_links = with_links.iter().filter(|letter| letter.message.secret().is_some());
    let expected: BTreeSet<_> = with_links.map(|letter| letter.message.name()).collect();
    assert_eq!(seen, expected, "every kind of letter");
}
